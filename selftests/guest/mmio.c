// SPDX-License-Identifier: GPL-2.0-only
/* Accesses to guest physical addresses that no slot backs. */
#include <pthread.h>
#include <sched.h>

#include "guest.h"
#include "vm.h"

#define HOLE	GPA_HOLE

static volatile uint64_t g_val, g_val2;

#define MMIO_GUEST(name, ...)						\
	static void name(void)						\
	{								\
		uint64_t val = 0x1122334455667788;			\
									\
		asm volatile(__VA_ARGS__				\
			     : "+a"(val) : "D"(HOLE + 8) : "memory", "rcx", "rdx"); \
		g_val = val;						\
		guest_done();						\
	}

MMIO_GUEST(wr1, "movb %%al, (%%rdi)")
MMIO_GUEST(wr2, "movw %%ax, (%%rdi)")
MMIO_GUEST(wr4, "movl %%eax, (%%rdi)")
MMIO_GUEST(wr8, "movq %%rax, (%%rdi)")
MMIO_GUEST(wr_imm1, "movb $0x12, (%%rdi)")
MMIO_GUEST(wr_imm2, "movw $0x1234, (%%rdi)")
MMIO_GUEST(wr_imm4, "movl $0x12345678, (%%rdi)")
MMIO_GUEST(wr_imm8, "movq $-2, (%%rdi)")
MMIO_GUEST(wr_high, "movb %%ah, (%%rdi)")
MMIO_GUEST(wr_disp, "movq $2, %%rcx; movl %%eax, 0x100(%%rdi,%%rcx,4)")
MMIO_GUEST(wr_r15, "pushq %%r15; movq %%rax, %%r15; movq %%r15, (%%rdi); popq %%r15")
MMIO_GUEST(wr_stos, "stosl")

static const struct mmio_row {
	const char *name;
	void (*entry)(void);
	uint32_t len;
	uint64_t gpa;
	uint64_t data;		/* written, or the answer to a read */
	uint64_t want;		/* of a read: what RAX is afterwards */
} writes[] = {
	{ "MOV, 1 byte", wr1, 1, HOLE + 8, 0x88 },
	{ "MOV, 2 bytes", wr2, 2, HOLE + 8, 0x7788 },
	{ "MOV, 4 bytes", wr4, 4, HOLE + 8, 0x55667788 },
	{ "MOV, 8 bytes", wr8, 8, HOLE + 8, 0x1122334455667788 },
	{ "MOV of a constant, 1 byte", wr_imm1, 1, HOLE + 8, 0x12 },
	{ "MOV of a constant, 2 bytes", wr_imm2, 2, HOLE + 8, 0x1234 },
	{ "MOV of a constant, 4 bytes", wr_imm4, 4, HOLE + 8, 0x12345678 },
	{ "MOV of a constant, sign-extended to 8", wr_imm8, 8, HOLE + 8, -2ULL },
	{ "MOV of AH", wr_high, 1, HOLE + 8, 0x77 },
	{ "MOV to base + index * 4 + displacement", wr_disp, 4, HOLE + 0x110,
	  0x55667788 },
	{ "MOV of R15", wr_r15, 8, HOLE + 8, 0x1122334455667788 },
	{ "STOSD", wr_stos, 4, HOLE + 8, 0x55667788 },
};

TEST_EACH(mmio_write, "MMIO write gives the VMM address, length, data: ", writes, w)
{
	uint64_t got = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, w->entry);

	want_mmio(v, w->gpa, w->len, true);
	memcpy(&got, v->run->mmio.data, w->len);
	EXPECT_EQ(got, w->data);
	vcpu_run_to_end(v);
}

MMIO_GUEST(rd1, "movb (%%rdi), %%al")
MMIO_GUEST(rd2, "movw (%%rdi), %%ax")
MMIO_GUEST(rd4, "movl (%%rdi), %%eax")
MMIO_GUEST(rd8, "movq (%%rdi), %%rax")
MMIO_GUEST(rd_high, "movb (%%rdi), %%ah")
MMIO_GUEST(movzx1, "movzbl (%%rdi), %%eax")
MMIO_GUEST(movzx2, "movzwq (%%rdi), %%rax")
MMIO_GUEST(movsx1, "movsbl (%%rdi), %%eax")
MMIO_GUEST(movsx2, "movswq (%%rdi), %%rax")
MMIO_GUEST(movsx4, "movslq (%%rdi), %%rax")
MMIO_GUEST(or4, "orl (%%rdi), %%eax")
MMIO_GUEST(and8, "andq (%%rdi), %%rax")
MMIO_GUEST(add4, "addl (%%rdi), %%eax")
MMIO_GUEST(cmp4, "cmpl $0x55, (%%rdi); sete %%al; movzbl %%al, %%eax")
MMIO_GUEST(test4, "testl $0x100, (%%rdi); setnz %%al; movzbl %%al, %%eax")
MMIO_GUEST(lods4, "movq %%rdi, %%rsi; lodsl")

static const struct mmio_row reads[] = {
	{ "MOV, 1 byte", rd1, 1, HOLE + 8, 0xef, 0x11223344556677ef },
	{ "MOV, 2 bytes", rd2, 2, HOLE + 8, 0xbeef, 0x112233445566beef },
	{ "MOV, 4 bytes", rd4, 4, HOLE + 8, 0xdeadbeef, 0xdeadbeef },
	{ "MOV, 8 bytes", rd8, 8, HOLE + 8, 0xfeedface12345678,
	  0xfeedface12345678 },
	{ "MOV to AH", rd_high, 1, HOLE + 8, 0xef, 0x112233445566ef88 },
	{ "MOVZX, 1 to 4 bytes", movzx1, 1, HOLE + 8, 0xf0, 0xf0 },
	{ "MOVZX, 2 to 8 bytes", movzx2, 2, HOLE + 8, 0xf00f, 0xf00f },
	{ "MOVSX, 1 to 4 bytes", movsx1, 1, HOLE + 8, 0xf0, 0xfffffff0 },
	{ "MOVSX, 2 to 8 bytes", movsx2, 2, HOLE + 8, 0xf00f,
	  0xfffffffffffff00f },
	{ "MOVSXD", movsx4, 4, HOLE + 8, 0x80000001, 0xffffffff80000001 },
	{ "OR", or4, 4, HOLE + 8, 0x80000000, 0xd5667788 },
	{ "AND", and8, 8, HOLE + 8, 0xff000000000000ff, 0x1100000000000088 },
	{ "ADD", add4, 4, HOLE + 8, 1, 0x55667789 },
	{ "CMP with a constant", cmp4, 4, HOLE + 8, 0x55, 1 },
	{ "TEST with a constant", test4, 4, HOLE + 8, 0x100, 1 },
};

TEST_EACH(mmio_read, "MMIO read takes the VMM's data: ", reads, r)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, r->entry);

	want_mmio(v, r->gpa, r->len, false);
	memcpy(v->run->mmio.data, &r->data, 8);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), r->want);
}

MMIO_GUEST(rmw_or, "orl $0x80, (%%rdi)")
MMIO_GUEST(rmw_inc, "incb (%%rdi)")
MMIO_GUEST(rmw_lock_add, "lock; addl %%eax, (%%rdi)")
MMIO_GUEST(rmw_xchg, "xchgl %%eax, (%%rdi)")

static const struct rmw {
	const char *name;
	void (*entry)(void);
	uint32_t len;
	uint32_t read, written;
	uint64_t rax;
} rmws[] = {
	{ "OR of a constant", rmw_or, 4, 0x11, 0x91, 0x1122334455667788 },
	{ "INC, 1 byte", rmw_inc, 1, 0xff, 0, 0x1122334455667788 },
	{ "LOCK ADD", rmw_lock_add, 4, 1, 0x55667789, 0x1122334455667788 },
	{ "XCHG", rmw_xchg, 4, 0xabcdef01, 0x55667788, 0xabcdef01 },
};

TEST_EACH(mmio_rmw, "MMIO read, then write of the result: ", rmws, r)
{
	uint32_t got = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, r->entry);

	want_mmio(v, HOLE + 8, r->len, false);
	memcpy(v->run->mmio.data, &r->read, 4);
	want_mmio(v, HOLE + 8, r->len, true);
	memcpy(&got, v->run->mmio.data, r->len);
	EXPECT_EQ(got, r->written);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), r->rax);
}

static void cross_write(void)
{
	*(volatile uint64_t *)(HOLE + 0xffd) = 0x1122334455667788;
	guest_done();
}

TEST(mmio_cross_write, "an 8-byte MMIO write across pages arrives complete")
{
	uint8_t got[8] = { 0 };
	unsigned int at = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cross_write);

	while (at < 8) {
		ASSERT(vcpu_run(v) == KVM_EXIT_MMIO);
		EXPECT_EQ(v->run->mmio.phys_addr, HOLE + 0xffd + at);
		EXPECT_EQ(v->run->mmio.is_write, 1);
		ASSERT(v->run->mmio.len <= 8 - at);
		memcpy(got + at, v->run->mmio.data, v->run->mmio.len);
		at += v->run->mmio.len;
	}
	EXPECT_EQ(*(uint64_t *)got, 0x1122334455667788);
	vcpu_run_to_end(v);
}

static void cross_read(void)
{
	g_val = *(volatile uint64_t *)(HOLE + 0xffd);
	guest_done();
}

TEST(mmio_cross_read, "an 8-byte MMIO read across pages is put together")
{
	static const uint64_t data = 0x8877665544332211;
	unsigned int at = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cross_read);

	while (at < 8) {
		ASSERT(vcpu_run(v) == KVM_EXIT_MMIO);
		EXPECT_EQ(v->run->mmio.phys_addr, HOLE + 0xffd + at);
		EXPECT_EQ(v->run->mmio.is_write, 0);
		ASSERT(v->run->mmio.len <= 8 - at);
		memcpy(v->run->mmio.data, (uint8_t *)&data + at,
		       v->run->mmio.len);
		at += v->run->mmio.len;
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), data);
}

static void ram_edge(void)
{
	*(volatile uint32_t *)(MEM_SIZE - 2) = 0xaabbccdd;
	g_val = *(volatile uint32_t *)(MEM_SIZE - 2);
	guest_done();
}

TEST(mmio_ram_edge, "an access across the end of memory: half RAM, half MMIO")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, ram_edge);

	want_mmio(v, MEM_SIZE, 2, true);
	EXPECT_EQ(*(uint16_t *)v->run->mmio.data, 0xaabb);
	want_mmio(v, MEM_SIZE, 2, false);
	*(uint16_t *)v->run->mmio.data = 0x1234;
	vcpu_run_to_end(v);
	EXPECT_EQ(*(uint16_t *)(vm.mem + MEM_SIZE - 2), 0xccdd);
	EXPECT_EQ((uint32_t)G(&vm, g_val), 0x1234ccdd);
}

static void movs_from(void)
{
	uint64_t si = HOLE + 0x100, di = GPA_TEST, cx = 16;

	asm volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(cx) : : "memory");
	g_val = si;
	g_val2 = cx;
	guest_done();
}

TEST(mmio_rep_movs_from, "REP MOVSD from MMIO to memory")
{
	uint32_t i;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, movs_from);

	for (i = 0; i < 16; i++) {
		uint32_t data = i * 0x01010101;

		want_mmio(v, HOLE + 0x100 + i * 4, 4, false);
		memcpy(v->run->mmio.data, &data, 4);
	}
	vcpu_run_to_end(v);
	for (i = 0; i < 16; i++)
		EXPECT_EQ(((uint32_t *)(vm.mem + GPA_TEST))[i], i * 0x01010101);
	EXPECT_EQ(G(&vm, g_val), HOLE + 0x140);
	EXPECT_EQ(G(&vm, g_val2), 0);
}

static void movs_to(void)
{
	uint64_t si = GPA_TEST, di = HOLE + 0x100, cx = 16;

	asm volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(cx) : : "memory");
	g_val = di;
	g_val2 = cx;
	guest_done();
}

TEST(mmio_rep_movs_to, "REP MOVSD from memory to MMIO")
{
	uint32_t i;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, movs_to);

	for (i = 0; i < 16; i++)
		((uint32_t *)(vm.mem + GPA_TEST))[i] = i * 0x10203;
	for (i = 0; i < 16; i++) {
		want_mmio(v, HOLE + 0x100 + i * 4, 4, true);
		EXPECT_EQ(*(uint32_t *)v->run->mmio.data, i * 0x10203);
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), HOLE + 0x140);
	EXPECT_EQ(G(&vm, g_val2), 0);
}

static void stos_to(void)
{
	uint64_t di = HOLE, cx = 8;

	asm volatile("rep stosb" : "+D"(di), "+c"(cx) : "a"(0x5a) : "memory");
	g_val = di;
	guest_done();
}

TEST(mmio_rep_stos, "REP STOSB to MMIO writes each byte once")
{
	unsigned int i;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, stos_to);

	for (i = 0; i < 8; i++) {
		want_mmio(v, HOLE + i, 1, true);
		EXPECT_EQ(v->run->mmio.data[0], 0x5a);
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), HOLE + 8);
}

TEST(mmio_lods, "LODSD from MMIO")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, lods4);

	want_mmio(v, HOLE + 8, 4, false);
	*(uint32_t *)v->run->mmio.data = 0x13572468;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0x13572468);
}

static void many(void)
{
	volatile uint32_t *p = (void *)HOLE;
	uint32_t i, sum = 0;

	for (i = 0; i < 500; i++) {
		p[i] = i;
		sum += p[i + 500];
	}
	g_val = sum;
	guest_done();
}

TEST(mmio_many, "500 MMIO writes and reads in turn, none lost or repeated")
{
	uint32_t i, sum = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, many);

	for (i = 0; i < 500; i++) {
		want_mmio(v, HOLE + i * 4, 4, true);
		EXPECT_EQ(*(uint32_t *)v->run->mmio.data, i);
		want_mmio(v, HOLE + 2000 + i * 4, 4, false);
		*(uint32_t *)v->run->mmio.data = i * i;
		sum += i * i;
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), sum);
}

static void fetch_hole(void)
{
	asm volatile("call *%0" : : "r"(HOLE) : "memory");
	guest_done();
}

TEST(mmio_fetch, "fetching instructions from MMIO is an error exit, not a loop")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, fetch_hole);
	int r = vcpu_run_for(v, 1000);

	ASSERT_MSG(!r, "KVM_RUN: %s", strerror(errno));
	EXPECT_EQ(v->run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_EQ(vcpu_regs(v).rip, HOLE);
}

/* What the emulator does not know; g_val is where it stands. */
#define UNKNOWN_GUEST(name, insn)					\
	static void name(void)						\
	{								\
		asm volatile("leaq 1f(%%rip), %%rax; movq %%rax, %0\n"	\
			     "1: " insn : "=m"(g_val) : "D"(HOLE) : "memory", "rax"); \
		guest_done();						\
	}

UNKNOWN_GUEST(x87_add, "fadds (%%rdi)")
UNKNOWN_GUEST(sse_add, "addps (%%rdi), %%xmm0")

static const struct unknown_row {
	const char *name;
	void (*entry)(void);
	uint8_t bytes[3], n;
} unknowns[] = {
	{ "FADD", x87_add, { 0xd8, 0x07 }, 2 },
	{ "ADDPS", sse_add, { 0x0f, 0x58, 0x07 }, 3 },
};

TEST_EACH(mmio_unknown, "what can't be emulated ends with its bytes, and RIP stays: ", unknowns, u)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, u->entry);
	struct kvm_run *run = v->run;

	EXPECT_EQ(vcpu_run(v), KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	ASSERT(run->internal.ndata >= 3);
	EXPECT_EQ(run->emulation_failure.flags,
		  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	ASSERT(run->emulation_failure.insn_size >= u->n);
	EXPECT_EQ(memcmp(run->emulation_failure.insn_bytes, u->bytes, u->n), 0);
	EXPECT_EQ(vcpu_regs(v).rip, G(&vm, g_val));
	if (on_umbra()) {
		EXPECT_EQ(run->internal.ndata, 4);
		EXPECT_EQ(run->internal.data[3], G(&vm, g_val));
	}
}

static void ring3_mmio(void)
{
	*(volatile uint32_t *)(HOLE + 4) = 0x3333;
}

static void ring3_mmio_main(void)
{
	guest_call_ring3(ring3_mmio);
	guest_done();
}

TEST(mmio_ring3, "an MMIO write from ring 3 exits like any other")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, ring3_mmio_main);

	want_mmio(v, HOLE + 4, 4, true);
	vcpu_run_to_end(v);
}

static void ro_page_hole(void)
{
	/* The page table, not the slot, forbids it: a fault, no exit. */
	((volatile uint64_t *)GPA_PD)[HOLE >> 21] = HOLE | PTE_P | PTE_PS;
	write_cr3(read_cr3());
	GUEST_TRY("movl %%eax, (%%rdi)", : : "D"(HOLE), "a"(1) : "memory");
	g_val = g_vector;
	guest_done();
}

TEST(mmio_fault, "an MMIO write the guest's page table forbids is a page fault")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, ro_page_hole);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), PF_VECTOR);
	EXPECT_EQ(G(&vm, g_error), PFERR_P | PFERR_W);
	EXPECT_EQ(G(&vm, g_cr2), HOLE);
}

/*
 * The same few instructions make nearly all of a guest's MMIO, so a hypervisor may
 * remember them. Each of these puts another one where they stood.
 */
#define CODE_RAX	"\x8b\x07\xc3"		/* mov (%rdi), %eax; ret */
#define CODE_RBX	"\x8b\x1f\xc3"		/* mov (%rdi), %ebx; ret */
#define CODE_GPA	GPA_TEST
#define CODE_GPA2	(GPA_TEST + 0x200000)
#define CODE_VA		0x40000000ULL		/* of a 2 MiB page of its own */

static volatile uint64_t g_rax[6], g_rbx[6];

/* Call what stands at @at; RAX and RBX are -1 before. */
static void call_code(unsigned int i, uint64_t at)
{
	uint64_t a = -1, b = -1;

	asm volatile("call *%%rcx" : "+a"(a), "+b"(b) : "D"(HOLE + 8), "c"(at) : "memory");
	g_rax[i] = a;
	g_rbx[i] = b;
}

static void put_code(uint64_t at, const char *code)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		((volatile char *)at)[i] = code[i];
}

static void patched(void)
{
	put_code(CODE_GPA, CODE_RAX);
	call_code(0, CODE_GPA);
	call_code(1, CODE_GPA);
	call_code(2, CODE_GPA);
	put_code(CODE_GPA, CODE_RBX);
	call_code(3, CODE_GPA);
	call_code(4, CODE_GPA);
	put_code(CODE_GPA, CODE_RAX);
	call_code(5, CODE_GPA);
	guest_done();
}

static void map_code(uint64_t gpa)
{
	((volatile uint64_t *)GPA_PD)[CODE_VA >> 21] = gpa | PTE_P | PTE_W | PTE_PS;
	invlpg(CODE_VA);
}

static void remapped(void)
{
	put_code(CODE_GPA, CODE_RAX);
	put_code(CODE_GPA2, CODE_RBX);
	map_code(CODE_GPA);
	call_code(0, CODE_VA);
	call_code(1, CODE_VA);
	call_code(2, CODE_VA);
	map_code(CODE_GPA2);
	call_code(3, CODE_VA);
	call_code(4, CODE_VA);
	map_code(CODE_GPA);
	call_code(5, CODE_VA);
	guest_done();
}

/* The same, with another table behind CR3. */
static void other_root(void)
{
	volatile uint64_t *pd = (void *)(GPA_TEST + 0x100000);
	uint64_t cr3 = read_cr3();
	unsigned int i;

	put_code(CODE_GPA, CODE_RAX);
	put_code(CODE_GPA2, CODE_RBX);
	map_code(CODE_GPA);
	/* A copy of all tables but for the page of the code. */
	for (i = 0; i < 512; i++) {
		pd[i] = ((volatile uint64_t *)GPA_PD)[512 + i];
		pd[512 + i] = ((volatile uint64_t *)GPA_PDPT)[i];
		pd[1024 + i] = ((volatile uint64_t *)GPA_PML4)[i];
	}
	pd[0] = CODE_GPA2 | PTE_P | PTE_W | PTE_PS;
	pd[512 + 1] = (uint64_t)pd | PTE_P | PTE_W;
	pd[1024] = (uint64_t)(pd + 512) | PTE_P | PTE_W;
	for (i = 0; i < 6; i++) {
		write_cr3(i == 3 || i == 4 ? (uint64_t)(pd + 1024) : cr3);
		call_code(i, CODE_VA);
	}
	guest_done();
}

static const struct moved {
	const char *name;
	void (*entry)(void);
} moved[] = {
	{ "code that the guest patches", patched },
	{ "another page at its address, after INVLPG", remapped },
	{ "another page at its address, by another CR3", other_root },
};

/* Reads 3 and 4 are RBX's, the others RAX's. */
static void answer_reads(struct vcpu *v, unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = first; i < first + n; i++) {
		uint32_t answer = 0x100 + i;

		want_mmio(v, HOLE + 8, 4, false);
		memcpy(v->run->mmio.data, &answer, sizeof(answer));
	}
}

static void expect_reads(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		bool rbx = i == 3 || i == 4;

		EXPECT_EQ(G(vm, g_rax)[i], rbx ? -1ULL : 0x100 + i);
		EXPECT_EQ(G(vm, g_rbx)[i], rbx ? 0x100 + i : -1ULL);
	}
}

TEST_EACH(mmio_moved, "an MMIO read is the instruction's that stands there now: ", moved, m)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, m->entry);

	answer_reads(v, 0, 6);
	vcpu_run_to_end(v);
	expect_reads(&vm);
}

#define SLOT_GPA	0x20000000ULL
#define SLOT_SIZE	0x200000

static void slot_main(void)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		if (i == 3 || i == 5)
			guest_sync(i);
		call_code(i, SLOT_GPA);
	}
	guest_done();
}

TEST(mmio_slot, "an MMIO read by code whose memory slot the VMM replaces")
{
	uint8_t *rax = map_pages(SLOT_SIZE), *rbx = map_pages(SLOT_SIZE);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, slot_main);

	memcpy(rax, CODE_RAX, 3);
	memcpy(rbx, CODE_RBX, 3);
	ASSERT(!vm_slot(&vm, 5, 0, SLOT_GPA, SLOT_SIZE, rax));
	answer_reads(v, 0, 3);
	vcpu_run_to_sync(v, 3);
	ASSERT(!vm_slot(&vm, 5, 0, SLOT_GPA, 0, rax));
	ASSERT(!vm_slot(&vm, 5, 0, SLOT_GPA, SLOT_SIZE, rbx));
	answer_reads(v, 3, 2);
	vcpu_run_to_sync(v, 5);
	/* The same memory, and other code in it by the VMM's own hand. */
	memcpy(rbx, CODE_RAX, 3);
	answer_reads(v, 5, 1);
	vcpu_run_to_end(v);
	expect_reads(&vm);
}

static void waiting(void)
{
	put_code(CODE_GPA, CODE_RAX);
	call_code(0, CODE_GPA);
	guest_done();
}

TEST(mmio_once, "an MMIO read whose code changes while the VMM has it is what it was (37)")
{
	uint32_t answer = 0x100;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, waiting);

	want_mmio(v, HOLE + 8, 4, false);
	memcpy(vm.mem + CODE_GPA, CODE_RBX, 3);
	memcpy(v->run->mmio.data, &answer, sizeof(answer));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_rax)[0], 0x100);
	EXPECT_EQ(G(&vm, g_rbx)[0], -1ULL);
}

/* A thread of the VMM's makes a load of a store and back, by its first byte. */
#define FLIPPED		400
#define LOAD		0x8b
#define STORE		0x89
#define ANSWER		0x77

static volatile uint64_t g_loads, g_stores;
static volatile uint8_t g_over;

static void flipped(void)
{
	uint32_t i, a;

	put_code(CODE_GPA, CODE_RAX);
	for (i = 0; i < FLIPPED; i++) {
		a = i | 0x100;
		asm volatile("call *%%rcx" : "+a"(a) : "D"(HOLE + 8), "c"(CODE_GPA) : "memory");
		if (a == ANSWER)
			g_loads++;
		else if (a == (i | 0x100))
			g_stores++;
	}
	guest_done();
}

static void *flip(void *arg)
{
	struct vm *vm = arg;

	while (!G(vm, g_over)) {
		*(volatile uint8_t *)(vm->mem + CODE_GPA) ^= LOAD ^ STORE;
		sched_yield();
	}
	return NULL;
}

/* Each is one or the other, from the exit to its end. */
TEST(mmio_flipped, "an MMIO access whose code another thread changes all the time (37)")
{
	uint32_t i, answer = ANSWER, loads = 0;
	struct kvm_run *run;
	pthread_t thread;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, flipped);

	run = v->run;
	/* From the first access on the guest itself changes no code. */
	for (i = 0; i < FLIPPED; i++) {
		ASSERT(vcpu_run(v) == KVM_EXIT_MMIO);
		if (!i)
			ASSERT(!pthread_create(&thread, NULL, flip, &vm));
		sched_yield();
		EXPECT_EQ(run->mmio.phys_addr, HOLE + 8);
		EXPECT_EQ(run->mmio.len, 4);
		if (run->mmio.is_write) {
			EXPECT_EQ(*(uint32_t *)run->mmio.data, i | 0x100);
			continue;
		}
		loads++;
		memcpy(run->mmio.data, &answer, sizeof(answer));
	}
	vcpu_run_to_end(v);
	G(&vm, g_over) = 1;
	ASSERT(!pthread_join(thread, NULL));
	EXPECT_EQ(G(&vm, g_loads), loads);
	EXPECT_EQ(G(&vm, g_stores), FLIPPED - loads);
	ktap_diag("%u loads, %u stores", loads, FLIPPED - loads);
}
