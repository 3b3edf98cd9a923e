// SPDX-License-Identifier: GPL-2.0-only
/* Port I/O: what the VMM sees of it, and what the guest gets back. */
#include "guest.h"
#include "vm.h"

#define PORT	0x1230

static volatile uint64_t g_rax;
static uint8_t g_buf[8192] __attribute__((aligned(4096)));
static volatile uint64_t g_si, g_cx;

static void out1(void) { outb(PORT, 0x12); guest_done(); }
static void out2(void) { outw(PORT, 0x1234); guest_done(); }
static void out4(void) { outl(PORT, 0x12345678); guest_done(); }

static const struct width {
	const char *name;
	void (*entry)(void);
	int size;
	uint64_t want;
} outs_[] = {
	{ "1 byte", out1, 1, 0x12 },
	{ "2 bytes", out2, 2, 0x1234 },
	{ "4 bytes", out4, 4, 0x12345678 },
};

TEST_EACH(out_width, "OUT gives the VMM port, size and data: ", outs_, w)
{
	uint64_t got = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, w->entry);

	want_io(v, KVM_EXIT_IO_OUT, PORT, w->size, 1);
	memcpy(&got, io_data(v), w->size);
	EXPECT_EQ(got, w->want);
	vcpu_run_to_end(v);
}

#define IN_GUEST(name, insn)						\
	static void name(void)						\
	{								\
		uint64_t rax = 0x1122334455667788;			\
									\
		asm volatile(insn : "+a"(rax) : "d"(PORT) : "memory");	\
		g_rax = rax;						\
		guest_done();						\
	}

IN_GUEST(in1, "inb %%dx, %%al")
IN_GUEST(in2, "inw %%dx, %%ax")
IN_GUEST(in4, "inl %%dx, %%eax")

static const struct width ins_[] = {
	{ "1 byte, rest of RAX kept", in1, 1, 0x11223344556677ef },
	{ "2 bytes, rest of RAX kept", in2, 2, 0x112233445566beef },
	{ "4 bytes, upper half of RAX cleared", in4, 4, 0xdeadbeef },
};

TEST_EACH(in_width, "IN takes the VMM's data: ", ins_, w)
{
	uint32_t data = 0xdeadbeef;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, w->entry);

	want_io(v, KVM_EXIT_IO_IN, PORT, w->size, 1);
	memcpy(io_data(v), &data, 4);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_rax), w->want);
}

static void imm_port(void)
{
	asm volatile("outb %%al, $0x42; inb $0x43, %%al; movq %%rax, %0"
		     : "=m"(g_rax) : "a"(0x99UL) : "memory");
	guest_done();
}

TEST(io_imm, "IN and OUT with the port in the instruction")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, imm_port);

	want_io(v, KVM_EXIT_IO_OUT, 0x42, 1, 1);
	EXPECT_EQ(*(uint8_t *)io_data(v), 0x99);
	want_io(v, KVM_EXIT_IO_IN, 0x43, 1, 1);
	*(uint8_t *)io_data(v) = 0x77;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_rax), 0x77);
}

static void port_ends(void)
{
	outb(0, 1);
	outb(0xffff, 2);
	outb(0x80, 3);
	guest_done();
}

TEST(io_ends, "the first and the last port, and port 0x80, all exit")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, port_ends);

	want_io(v, KVM_EXIT_IO_OUT, 0, 1, 1);
	want_io(v, KVM_EXIT_IO_OUT, 0xffff, 1, 1);
	want_io(v, KVM_EXIT_IO_OUT, 0x80, 1, 1);
	vcpu_run_to_end(v);
}

static void port_wrap(void) { outl(0xfffe, 5); guest_done(); }

TEST(io_wrap, "4 bytes out at port 0xfffe do not hurt the host")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, port_wrap);

	want_io(v, KVM_EXIT_IO_OUT, 0xfffe, 4, 1);
	vcpu_run_to_end(v);
}

/*
 * String I/O. The VMM may get it in as many exits as the device likes; it has
 * to come in order, complete, and with the registers right at the end.
 */
#define OUTS_GUEST(name, insn, unit, n)					\
	static void name(void)						\
	{								\
		uint64_t si = (uint64_t)g_buf, cx = n;			\
		unsigned int i;						\
									\
		for (i = 0; i < unit * n; i++)				\
			g_buf[i] = i * 7 + 1;				\
		asm volatile("rep " insn : "+S"(si), "+c"(cx)		\
			     : "d"(PORT) : "memory");			\
		g_si = si - (uint64_t)g_buf;				\
		g_cx = cx;						\
		guest_done();						\
	}

OUTS_GUEST(outs1, "outsb", 1, 100)
OUTS_GUEST(outs2, "outsw", 2, 100)
OUTS_GUEST(outs4, "outsl", 4, 100)
OUTS_GUEST(outs4_pages, "outsl", 4, 1500)

static const struct string {
	const char *name;
	void (*entry)(void);
	unsigned int unit, n;
} rep_outs[] = {
	{ "REP OUTSB", outs1, 1, 100 },
	{ "REP OUTSW", outs2, 2, 100 },
	{ "REP OUTSD", outs4, 4, 100 },
	{ "REP OUTSD across pages", outs4_pages, 4, 1500 },
};

TEST_EACH(string_out, "string output comes in order: ", rep_outs, s)
{
	unsigned int at = 0, i;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, s->entry);

	while (at < s->unit * s->n) {
		ASSERT(vcpu_run(v) == KVM_EXIT_IO);
		ASSERT(v->run->io.port == PORT);
		ASSERT(v->run->io.direction == KVM_EXIT_IO_OUT);
		ASSERT(v->run->io.size == s->unit);
		ASSERT(v->run->io.count > 0);
		ASSERT(v->run->io.data_offset +
		       v->run->io.count * s->unit <= v->run_size);
		for (i = 0; i < v->run->io.count * s->unit; i++, at++)
			EXPECT_EQ(((uint8_t *)io_data(v))[i],
				  (uint8_t)(at * 7 + 1));
	}
	EXPECT_EQ(at, s->unit * s->n);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_si), s->unit * s->n);
	EXPECT_EQ(G(&vm, g_cx), 0);
}

#define INS_GUEST(name, insn, n)					\
	static void name(void)						\
	{								\
		uint64_t di = (uint64_t)g_buf, cx = n;			\
									\
		asm volatile("rep " insn : "+D"(di), "+c"(cx)		\
			     : "d"(PORT) : "memory");			\
		g_si = di - (uint64_t)g_buf;				\
		g_cx = cx;						\
		guest_done();						\
	}

INS_GUEST(ins1, "insb", 100)
INS_GUEST(ins2, "insw", 100)
INS_GUEST(ins4, "insl", 100)
INS_GUEST(ins4_pages, "insl", 1500)

static const struct string rep_ins[] = {
	{ "REP INSB", ins1, 1, 100 },
	{ "REP INSW", ins2, 2, 100 },
	{ "REP INSD", ins4, 4, 100 },
	{ "REP INSD across pages", ins4_pages, 4, 1500 },
};

TEST_EACH(string_in, "string input reaches guest memory: ", rep_ins, s)
{
	unsigned int at = 0, i;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, s->entry);

	while (at < s->unit * s->n) {
		ASSERT(vcpu_run(v) == KVM_EXIT_IO);
		ASSERT(v->run->io.port == PORT);
		ASSERT(v->run->io.direction == KVM_EXIT_IO_IN);
		ASSERT(v->run->io.size == s->unit);
		ASSERT(v->run->io.count > 0);
		for (i = 0; i < v->run->io.count * s->unit; i++, at++)
			((uint8_t *)io_data(v))[i] = at * 5 + 3;
	}
	vcpu_run_to_end(v);
	for (i = 0; i < at; i++)
		EXPECT_EQ(G(&vm, g_buf)[i], (uint8_t)(i * 5 + 3));
	EXPECT_EQ(G(&vm, g_si), s->unit * s->n);
	EXPECT_EQ(G(&vm, g_cx), 0);
}

static void outs_down(void)
{
	uint64_t si = (uint64_t)g_buf + 9, cx = 10;
	unsigned int i;

	for (i = 0; i < 10; i++)
		g_buf[i] = i;
	asm volatile("std; rep outsb; cld" : "+S"(si), "+c"(cx) : "d"(PORT)
		     : "memory");
	g_si = si - (uint64_t)g_buf;
	guest_done();
}

TEST(string_down, "REP OUTSB with the direction flag set goes down")
{
	int left = 10;
	uint32_t i;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, outs_down);

	while (left) {
		ASSERT(vcpu_run(v) == KVM_EXIT_IO);
		for (i = 0; i < v->run->io.count; i++)
			EXPECT_EQ(((uint8_t *)io_data(v))[i], --left);
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_si), -1ULL);
}

static void outs_zero(void)
{
	uint64_t si = (uint64_t)g_buf, cx = 0;

	asm volatile("rep outsb" : "+S"(si), "+c"(cx) : "d"(PORT) : "memory");
	g_si = si - (uint64_t)g_buf;
	guest_done();
}

TEST(string_zero, "REP OUTSB with a count of 0 does nothing")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, outs_zero);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_si), 0);
}

static void ins_fault(void)
{
	uint64_t di = 0x200000000, cx = 4;

	GUEST_TRY("rep insb", : "+D"(di), "+c"(cx) : "d"(PORT) : "memory");
	g_si = g_vector;
	g_cx = cx;
	g_rax = g_cr2;
	guest_done();
}

TEST(string_fault, "REP INSB to an unmapped address is a page fault there")
{
	struct vm vm;
	struct vcpu *v;

	host_needs("svm-cr2");
	v = vm_long_mode(&vm, 0, ins_fault);

	/* Whether the port is read before the fault is the device's choice. */
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == PORT)
		;
	ASSERT(guest_said(v, PORT_DONE, NULL));
	EXPECT_EQ(G(&vm, g_si), PF_VECTOR);
	EXPECT_EQ(G(&vm, g_rax), 0x200000000);
	EXPECT_EQ(G(&vm, g_error), PFERR_W);
	EXPECT_EQ(G(&vm, g_cx), 4);
}

static void io_loop(void)
{
	uint32_t i, sum = 0;

	for (i = 0; i < 1000; i++) {
		outl(PORT, i);
		sum += inl(PORT + 4);
	}
	g_rax = sum;
	guest_done();
}

TEST(io_many, "1000 OUT and IN in turn, none lost or repeated")
{
	uint32_t i, sum = 0, v32;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, io_loop);

	for (i = 0; i < 1000; i++) {
		want_io(v, KVM_EXIT_IO_OUT, PORT, 4, 1);
		EXPECT_EQ(*(uint32_t *)io_data(v), i);
		want_io(v, KVM_EXIT_IO_IN, PORT + 4, 4, 1);
		v32 = i * 2654435761u;
		memcpy(io_data(v), &v32, 4);
		sum += v32;
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_rax), sum);
}

static void ring3_io(void)
{
	outb(PORT, 0x33);
}

static void ring3_io_main(void)
{
	guest_call_ring3(ring3_io);
	guest_done();
}

TEST(io_ring3, "OUT from ring 3 with IOPL 3 exits like any other")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, ring3_io_main);

	want_io(v, KVM_EXIT_IO_OUT, PORT, 1, 1);
	EXPECT_EQ(*(uint8_t *)io_data(v), 0x33);
	vcpu_run_to_end(v);
}

static void ring3_iopl0(void)
{
	asm volatile("pushfq; andl $~0x3000, (%%rsp); popfq" : : : "memory");
	GUEST_TRY("outb %%al, %%dx", : : "a"(1), "d"(PORT) : "memory");
	g_rax = g_vector;
}

static void iopl0_frame(struct frame *f)
{
	/* Down to IOPL 0 for ring 3: POPF there may not do it. */
	f->rflags &= ~0x3000UL;
}

static void ring3_set_iopl(void)
{
	asm volatile("int $0x81" : : : "memory");
	ring3_iopl0();
}

static void ring3_iopl0_main(void)
{
	g_handlers[0x81] = iopl0_frame;
	((volatile uint8_t *)GPA_IDT)[0x81 * 16 + 5] |= 0x60;
	guest_call_ring3(ring3_set_iopl);
	guest_done();
}

TEST(io_ring3_denied, "OUT from ring 3 with IOPL 0 and no bitmap is GP, no exit")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, ring3_iopl0_main);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_rax), GP_VECTOR);
	EXPECT_EQ(G(&vm, g_error), 0);
}
