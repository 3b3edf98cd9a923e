// SPDX-License-Identifier: GPL-2.0-only
/* Exceptions: raised by guest instructions, and put in by the VMM. */
#include "guest.h"
#include "vm.h"

static volatile uint64_t g_val;

#define FAR	0x7f0000000000ULL	/* canonical, mapped nowhere */

/*
 * Guests that raise one exception each and note it. What follows GUEST_TRY's
 * instruction is its operands.
 */
#define RAISE(name, ...)						\
	static void name(void)						\
	{								\
		GUEST_TRY(__VA_ARGS__);					\
		g_val = g_vector;					\
		guest_done();						\
	}

RAISE(x_de, "xorl %%ecx, %%ecx; divl %%ecx",
      : : "a"(1), "d"(0) : "rcx", "memory")
RAISE(x_bp, "int3", : : : "memory")
RAISE(x_ud, "ud2", : : : "memory")
RAISE(x_int, "int $0x42", : : : "memory")
RAISE(x_np, "movl %0, %%fs", : : "r"(SEL_FREE) : "memory")
RAISE(x_np_gate, "int $0x90", : : : "memory")
RAISE(x_gp_sel, "movl %0, %%ds", : : "r"(0x1230) : "memory")
RAISE(x_gp_canon, "movq (%0), %%rax",
      : : "r"(0x8000000000000000UL) : "rax", "memory")
RAISE(x_gp_int, "int $0x99", : : : "memory")
RAISE(x_ss, "pushq %%rbp; movq %0, %%rbp; movq (%%rbp), %%rax; popq %%rbp",
      : : "r"(0x8000000000000000UL) : "rax", "memory")
RAISE(x_pf_read, "movq (%0), %%rax", : : "r"(FAR + 0x123) : "rax", "memory")
RAISE(x_pf_write, "movq %%rax, (%0)", : : "r"(FAR + 8) : "memory")
RAISE(x_pf_fetch, "call *%0", : : "r"(FAR) : "memory")

static void x_np_main(void)
{
	/* A data segment that is not there. */
	*(volatile uint64_t *)(GPA_GDT + SEL_FREE) = 0x00cf13000000ffffULL;
	x_np();
}

static void x_np_gate_main(void)
{
	((volatile uint8_t *)GPA_IDT)[0x90 * 16 + 5] &= ~0x80;
	x_np_gate();
}

static void x_ss_sel(void)
{
	*(volatile uint64_t *)(GPA_GDT + SEL_FREE) = 0x00cf13000000ffffULL;
	GUEST_TRY("movl %0, %%ss", : : "r"(SEL_FREE) : "memory");
	g_val = g_vector;
	guest_done();
}

static void x_gp_gate(void)
{
	/* The gate's code segment is a data segment. */
	*(volatile uint16_t *)(GPA_IDT + 0x99 * 16 + 2) = SEL_DATA;
	x_gp_int();
}

static void x_nm(void)
{
	write_cr0(read_cr0() | CR0_TS);
	GUEST_TRY("fninit", : : : "memory");
	asm volatile("clts");
	g_val = g_vector;
	guest_done();
}

static void x_mf(void)
{
	uint16_t cw = 0x37e;		/* invalid operation unmasked */

	asm volatile("fninit; fldcw %0; fldz; fldz; fdivp" : : "m"(cw));
	GUEST_TRY("fwait", : : : "memory");
	asm volatile("fninit");
	g_val = g_vector;
	guest_done();
}

static void x_db_watch(void)
{
	static volatile uint64_t watched;

	asm volatile("movq %0, %%dr0" : : "r"(&watched));
	asm volatile("movq %0, %%dr7" : : "r"(0x90403UL));
	GUEST_TRY("movq $1, %0; nop", : "=m"(watched) : : "memory");
	asm volatile("movq %0, %%dr7" : : "r"(0x400UL));
	g_val = g_vector;
	guest_done();
}

static void pf_page(uint64_t bits)
{
	/* 4 KiB pages for the 2 MiB at GPA_TEST; the first has @bits. */
	volatile uint64_t *pt = (void *)GPA_PT;
	unsigned int i;

	for (i = 0; i < 512; i++)
		pt[i] = (GPA_TEST + i * 4096UL) | PTE_P | PTE_W | PTE_U;
	pt[0] = GPA_TEST | bits;
	((volatile uint64_t *)GPA_PD)[GPA_TEST >> 21] =
		GPA_PT | PTE_P | PTE_W | PTE_U;
	write_cr3(read_cr3());
}

static void x_pf_ro(void)
{
	pf_page(PTE_P);
	GUEST_TRY("movq %%rax, (%0)", : : "r"(GPA_TEST + 16) : "memory");
	g_val = g_vector;
	guest_done();
}

static void x_pf_np(void)
{
	pf_page(PTE_W);
	GUEST_TRY("movq (%0), %%rax", : : "r"(GPA_TEST + 24) : "rax", "memory");
	g_val = g_vector;
	guest_done();
}

static void x_pf_nx(void)
{
	pf_page(PTE_P | PTE_NX);
	GUEST_TRY("call *%0", : : "r"((uint64_t)GPA_TEST) : "memory");
	g_val = g_vector;
	guest_done();
}

static void x_pf_rsvd(void)
{
	pf_page(PTE_P | PTE_W | BIT(51));
	GUEST_TRY("movq (%0), %%rax", : : "r"((uint64_t)GPA_TEST)
		  : "rax", "memory");
	g_val = g_vector;
	guest_done();
}

static void user_read(void)
{
	GUEST_TRY("movq (%0), %%rax", : : "r"((uint64_t)GPA_TEST)
		  : "rax", "memory");
	g_val = g_vector;
}

static void x_pf_user(void)
{
	pf_page(PTE_P | PTE_W);
	guest_call_ring3(user_read);
	guest_done();
}

static const struct raised {
	const char *name;
	void (*entry)(void);
	uint64_t vector, error, cr2;
	/* QEMU's TCG has some of them wrong: what it gives instead. */
	uint64_t tcg_vector, tcg_error;
} raised[] = {
	{ "DE from DIV", x_de, DE_VECTOR },
	{ "DB from a data breakpoint", x_db_watch, DB_VECTOR },
	{ "BP from INT3", x_bp, BP_VECTOR },
	{ "UD from UD2", x_ud, UD_VECTOR },
	{ "NM from x87 with CR0.TS", x_nm, NM_VECTOR },
	{ "NP from a data segment", x_np_main, NP_VECTOR, SEL_FREE },
	{ "NP from an interrupt gate", x_np_gate_main, NP_VECTOR, 0x90 * 8 + 2,
	  .tcg_error = 0x90 * 16 + 2 },
	{ "SS from a stack segment that is absent", x_ss_sel, SS_VECTOR,
	  SEL_FREE },
	{ "SS from a stack address that is not canonical", x_ss, SS_VECTOR,
	  .tcg_vector = GP_VECTOR },
	{ "GP from a selector beyond the GDT", x_gp_sel, GP_VECTOR, 0x1230 },
	{ "GP from an address that is not canonical", x_gp_canon, GP_VECTOR },
	{ "GP from a gate to a data segment", x_gp_gate, GP_VECTOR, SEL_DATA },
	{ "MF from x87", x_mf, MF_VECTOR },
	{ "a software interrupt, INT 0x42", x_int, 0x42 },
	{ "PF, read of an absent page", x_pf_read, PF_VECTOR, 0, FAR + 0x123 },
	{ "PF, write of an absent page", x_pf_write, PF_VECTOR, PFERR_W,
	  FAR + 8 },
	{ "PF, fetch from an absent page", x_pf_fetch, PF_VECTOR, PFERR_I, FAR },
	{ "PF, PTE not present", x_pf_np, PF_VECTOR, 0, GPA_TEST + 24 },
	{ "PF, write of a read-only page", x_pf_ro, PF_VECTOR,
	  PFERR_P | PFERR_W, GPA_TEST + 16 },
	{ "PF, fetch from an NX page", x_pf_nx, PF_VECTOR, PFERR_P | PFERR_I,
	  GPA_TEST },
	{ "PF, reserved bit", x_pf_rsvd, PF_VECTOR, PFERR_P | PFERR_RSVD,
	  GPA_TEST, .tcg_error = PFERR_RSVD },
	{ "PF, supervisor page from ring 3", x_pf_user, PF_VECTOR,
	  PFERR_P | PFERR_U, GPA_TEST },
};

TEST_EACH(raise, "raised in the guest, with its error code: ", raised, r)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, r->entry);

	/* Whose walk it was tells the error. */
	bool tcg = on_tcg() && !(r->vector == PF_VECTOR && vm_shadow(&vm));

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), r->tcg_vector && tcg ? r->tcg_vector : r->vector);
	EXPECT_EQ(G(&vm, g_error), r->tcg_error && tcg ? r->tcg_error : r->error);
	if (r->vector == PF_VECTOR)
		EXPECT_EQ(G(&vm, g_cr2), r->cr2);
}

/* 32-bit protected mode, for what 64-bit mode does not have. */
asm(".text; .code32;"
    "code32_of: movl $0x7fffffff, %eax; addl $1, %eax; into; hlt;"
    "code32_br: pushl $20; pushl $10; movl $30, %eax; boundl %eax, (%esp); hlt;"
    "code32_ts: pushfl; orl $0x4000, (%esp); popfl; iretl; hlt;"
    "code32_gp: movl $0x1230, %eax; movl %eax, %fs; hlt;"
    "code32_ss: movl $0x40, %eax; movl %eax, %ss; hlt;"
    "code32_bp: int3; hlt;"
    "code32_de: xorl %ecx, %ecx; divl %ecx; hlt;"
    "code32_ud: ud2;"
    ".code64");
extern char code32_of[], code32_br[], code32_ts[], code32_gp[], code32_ss[];
extern char code32_bp[], code32_de[], code32_ud[];

static const struct raised32 {
	const char *name;
	char *entry;
	uint32_t vector, has_error, error;
} raised32[] = {
	{ "OF from INTO", code32_of, OF_VECTOR },
	{ "BR from BOUND", code32_br, BR_VECTOR },
	{ "TS from IRET with NT set and a bad link", code32_ts, TS_VECTOR, 1,
	  SEL_DATA },
	{ "GP from a bad selector", code32_gp, GP_VECTOR, 1, 0x1230 },
	{ "SS from an absent stack segment", code32_ss, SS_VECTOR, 1,
	  SEL_FREE },
	{ "BP from INT3", code32_bp, BP_VECTOR },
	{ "DE from DIV", code32_de, DE_VECTOR },
	{ "UD from UD2", code32_ud, UD_VECTOR },
};

TEST_EACH(raise32, "raised in 32-bit mode: ", raised32, r)
{
	uint64_t absent = 0x00cf13000000ffffULL;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	memcpy(vm.mem + GPA_GDT + SEL_FREE, &absent, 8);
	*(uint16_t *)(vm.mem + GPA_TSS) = SEL_DATA;	/* the back link */
	vcpu_prot32(v, (void (*)(void))r->entry);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_vector32), r->vector);
	EXPECT_EQ(G(&vm, g_has_error32), r->has_error);
	if (r->has_error)
		EXPECT_EQ(G(&vm, g_error32), r->error);
}

/* Put in by the VMM, before the first instruction. */

static void inject_seen(struct frame *f)
{
	g_val = f->vector;
	g_error = f->error;
	g_rip = f->rip;
	guest_done();
}

static void inject_guest(void)
{
	guest_sync(1);
	asm volatile("nop");
	guest_sync(2);
	guest_done();
}

static const struct injected {
	const char *name;
	uint8_t vector;
	bool has_error;
} injected[] = {
	{ "DE", DE_VECTOR, false }, { "DB", DB_VECTOR, false },
	/* Not BP and OF, which belong to an instruction of the guest. */
	{ "BR", BR_VECTOR, false }, { "UD", UD_VECTOR, false },
	{ "NM", NM_VECTOR, false },
	{ "DF", DF_VECTOR, true }, { "TS", TS_VECTOR, true },
	{ "NP", NP_VECTOR, true }, { "SS", SS_VECTOR, true },
	{ "GP", GP_VECTOR, true }, { "PF", PF_VECTOR, true },
	{ "MF", MF_VECTOR, false }, { "AC", AC_VECTOR, true },
	{ "MC", MC_VECTOR, false }, { "XM", XM_VECTOR, false },
};

TEST_EACH(inject, "put in by SET_VCPU_EVENTS, reaches the handler: ", injected, i)
{
	struct kvm_vcpu_events e = { 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, inject_guest);
	uint64_t rip;

	G(&vm, g_handlers[i->vector]) = inject_seen;
	vcpu_run_to_sync(v, 1);
	/* Completes the OUT, so that RIP is behind it. */
	v->run->immediate_exit = 1;
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	v->run->immediate_exit = 0;
	rip = vcpu_regs(v).rip;
	e.exception.injected = 1;
	e.exception.nr = i->vector;
	e.exception.has_error_code = i->has_error;
	/* AC has no other, and some CPUs know. */
	e.exception.error_code = i->has_error && i->vector != AC_VECTOR &&
				 i->vector != DF_VECTOR ? 6 : 0;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), i->vector);
	EXPECT_EQ(G(&vm, g_error), e.exception.error_code);
	EXPECT_EQ(G(&vm, g_rip), rip);
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT_EQ(e.exception.injected, 0);
}

/* Faults while a fault is delivered. */

static void df_seen(struct frame *f)
{
	g_val = f->vector;
	g_error = f->error;
	guest_done();
}

/*
 * Touch what the delivery of DF reads and writes: QEMU's TCG forgets the first
 * of the two faults when a nested page fault comes in between.
 */
static void double_fault_ready(void)
{
	g_handlers[DF_VECTOR] = df_seen;
	(void)*(volatile uint32_t *)GPA_TSS;
	(void)*(volatile uint32_t *)GPA_GDT;
	*(volatile uint64_t *)(GPA_STACK_IST - 64) = 0;
}

static void double_fault_pf(void)
{
	double_fault_ready();
	/* The gate of PF itself is absent: NP during PF makes DF. */
	((volatile uint8_t *)GPA_IDT)[PF_VECTOR * 16 + 5] &= ~0x80;
	*(volatile uint64_t *)FAR = 1;
	guest_fail(__LINE__);
}

static void double_fault_de(void)
{
	double_fault_ready();
	((volatile uint8_t *)GPA_IDT)[DE_VECTOR * 16 + 5] &= ~0x80;
	asm volatile("divl %%ecx" : : "a"(1), "d"(0), "c"(0));
	guest_fail(__LINE__);
}

static const struct { const char *name; void (*entry)(void); } doubles[] = {
	{ "NP while PF is delivered", double_fault_pf },
	{ "NP while DE is delivered", double_fault_de },
};

TEST_EACH(double_fault, "a double fault is DF with error code 0: ", doubles, d)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, d->entry);

	if (on_tcg() && vm_shadow(&vm))
		ktap_skip("QEMU's CPU forgets that what it delivers was injected");
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), DF_VECTOR);
	EXPECT_EQ(G(&vm, g_error), 0);
}

static void triple_fault(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = {
		0, 0
	};

	asm volatile("lidt %0; int3" : : "m"(none));
	guest_fail(__LINE__);
}

TEST(triple_fault, "a triple fault is exit SHUTDOWN")
{
	struct vm vm;
	struct vcpu *v;

	host_needs("svm-shutdown");
	v = vm_long_mode(&vm, 0, triple_fault);
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_SHUTDOWN);
}

TEST(triple_fault_again, "after SHUTDOWN the vCPU can be set up anew and runs")
{
	struct vm vm;
	struct vcpu *v;

	host_needs("svm-shutdown");
	v = vm_long_mode(&vm, 0, triple_fault);
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_SHUTDOWN);
	vcpu_long_mode(v, x_ud);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), UD_VECTOR);
}

/* An exception whose delivery faults on memory the host must fill in first. */

static void stack_absent(void)
{
	/* A fresh stack that no access has touched yet. */
	asm volatile("movq %0, %%rsp; ud2" : : "r"(GPA_TEST + 0x1ff000UL)
		     : "memory");
}

TEST(inject_cold_stack, "an exception on a stack never touched is delivered")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, stack_absent);

	G(&vm, g_handlers[UD_VECTOR]) = inject_seen;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), UD_VECTOR);
}

/* 16-bit real mode. */
asm(".text; .code16;"
    "code16_ud: movw $0x5f0, %dx; ud2;"
    "code16_ud_end:"
    "code16_int: sti; int $0x21; hlt;"
    "code16_int_end:"
    "code16_io: movb $0x5a, %al; outb %al, $0x10; inb $0x11, %al;"
    "  movb %al, %es:0x500; movw $0x1234, %ax; movw %ax, %ds; hlt;"
    "code16_io_end:"
    ".code64");
extern char code16_ud[], code16_ud_end[], code16_int[], code16_int_end[];
extern char code16_io[], code16_io_end[];

/* XOR EAX, EAX; OUT DX, EAX; HLT */
static const uint8_t real_handler[] = {
	0x66, 0x31, 0xc0, 0xba, 0xf0, 0x05, 0x66, 0xef, 0xf4,
};

static void real_vector(struct vm *vm, int vector)
{
	memcpy(vm->mem + 0x9000, real_handler, sizeof(real_handler));
	*(uint32_t *)(vm->mem + vector * 4) = 0x9000;
}

TEST(real_ud, "real mode: UD goes through the vector table")
{
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	vcpu_real_mode(v, code16_ud, code16_ud_end - code16_ud);
	real_vector(&vm, UD_VECTOR);
	vcpu_run_to_end(v);
	EXPECT_EQ(vcpu_regs(v).rsp & 0xffff, 0x7ffe - 6);
}

TEST(real_int, "real mode: INT pushes FLAGS, CS and IP and clears IF")
{
	struct vm vm;
	struct vcpu *v;
	uint16_t *stack;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	vcpu_real_mode(v, code16_int, code16_int_end - code16_int);
	real_vector(&vm, 0x21);
	vcpu_run_to_end(v);
	stack = (uint16_t *)(vm.mem + 0x7ffe - 6);
	EXPECT_EQ(stack[0], GPA_CODE16 + 3);
	EXPECT_EQ(stack[1], 0);
	EXPECT(stack[2] & FLAGS_IF);
	EXPECT(!(vcpu_regs(v).rflags & FLAGS_IF));
}

TEST(real_io, "real mode: port I/O, and a segment load changes the base")
{
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	vcpu_real_mode(v, code16_io, code16_io_end - code16_io);
	want_io(v, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	EXPECT_EQ(*(uint8_t *)io_data(v), 0x5a);
	want_io(v, KVM_EXIT_IO_IN, 0x11, 1, 1);
	*(uint8_t *)io_data(v) = 0x77;
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_HLT);
	EXPECT_EQ(vm.mem[0x500], 0x77);
	EXPECT_EQ(vcpu_sregs(v).ds.selector, 0x1234);
	EXPECT_EQ(vcpu_sregs(v).ds.base, 0x12340);
}
