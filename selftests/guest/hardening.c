// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the emulators and intercepts of others were broken: cases 35 to 45 of
 * Documentation/hardening.rst. Where it matters both ways, a case runs on the CPU
 * and in a VM that the emulator runs alone.
 */
#define _GNU_SOURCE
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define GPA_INSN	0x900000	/* code that a case lays down */

static volatile uint64_t g_result, g_far[2];

/* A VM in long mode; @emulated: no instruction of its is the CPU's. */
static struct vcpu *make(struct vm *vm, void (*entry)(void), bool emulated)
{
	struct vcpu *v;

	if (emulated)
		emulator_alone(true);
	v = vm_long_mode(vm, 0, entry);
	if (emulated)
		emulator_alone(false);
	return v;
}

/* 35 */

/* Where the first word of #DB's frame goes, on a stack of its own. */
#define DB_FRAME	(GPA_STACK_IST - 8UL)

static volatile uint64_t g_watched, g_deliveries;

static void write_watched(void)
{
	for (;;)
		*(volatile uint64_t *)g_watched = 0;
}

static void recurring_db(void)
{
	/* The handler never returns, but its stack begins anew each time. */
	((volatile uint8_t *)GPA_IDT)[DB_VECTOR * 16 + 4] = 1;
	asm volatile("mov %0, %%dr0" : : "r"(g_watched));
	asm volatile("mov %0, %%dr7" : : "r"(0x90403UL));	/* writes, 8 bytes */
	write_watched();
}

static void db_again(struct frame *f)
{
	(void)f;
	g_deliveries++;
	write_watched();
}

static void disarm(void)
{
	asm volatile("mov %0, %%dr7" : : "r"(0x400UL));
	guest_done();
}

static const struct recurring {
	const char *name;
	uint64_t watched;
} recurrings[] = {
	{ "its handler", GPA_TEST }, { "its delivery", DB_FRAME },
};

/* When the delivery raises it, the handler's first instruction never executes. */
static bool db_recurs(struct vcpu *v)
{
	return G(v->vm, g_deliveries) > 2 ||
	       vcpu_regs(v).rip == (uintptr_t)guest_idt_stubs + DB_VECTOR * 16;
}

TEST_EACH(recurring, "case 35: a debug exception raised again for ever by ", recurrings, c)
{
	struct kvm_vcpu_events none = { 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, recurring_db);

	if (c->watched == DB_FRAME && on_tcg())
		SKIP("QEMU ends at a breakpoint on the stack of a delivery");
	G(&vm, g_watched) = c->watched;
	G(&vm, g_handlers[DB_VECTOR]) = db_again;
	do
		EXPECT_ERR(vcpu_run_for(v, 50), EINTR);
	while (!ktap_failed() && !db_recurs(v));
	/* The guest itself disarms it: errata.rst has why QEMU wants that. */
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &none));
	vcpu_long_mode(v, disarm);
	vcpu_run_to_end(v);
}

/* In ring 3, where alignment is checked, as the delivery to ring 3 is too. */
asm(".text; .code32;"
    "code32_ac: movl 1, %eax; code32_ac_end: jmp code32_ac_end;"
    ".code64");
extern char code32_ac[], code32_ac_end[];

static void alignment_checked(struct vm *vm, struct vcpu *v)
{
	uint64_t cs = SEL_FREE | 3, at = (uintptr_t)code32_ac;
	uint64_t gate = (at & 0xffff) | cs << 16 | 0xee00ULL << 32 | at >> 16 << 48;
	uint64_t code = 0x00cffb000000ffffULL;
	struct kvm_regs regs = {
		.rip = at, .rsp = GPA_STACK - 0x1ff, .rflags = FLAGS_FIXED | FLAGS_AC,
	};
	struct kvm_sregs s;

	vcpu_prot32(v, NULL);
	s = vcpu_sregs(v);
	s.cr0 |= CR0_AM;
	s.cs.selector = cs;
	s.ds.selector = s.es.selector = s.ss.selector = SEL_UDATA;
	s.cs.dpl = s.ds.dpl = s.es.dpl = s.ss.dpl = 3;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
	memcpy(vm->mem + GPA_GDT + SEL_FREE, &code, sizeof(code));
	memcpy(vm->mem + GPA_IDT + AC_VECTOR * 8, &gate, sizeof(gate));
}

TEST(recurring_ac, "case 35: an alignment check raised again for ever by its delivery")
{
	struct kvm_vcpu_events e;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	alignment_checked(&vm, v);
	do {
		EXPECT_ERR(vcpu_run_for(v, 50), EINTR);
		if (vcpu_regs(v).rip == (uintptr_t)code32_ac_end)
			SKIP("the emulated CPU checks no alignment");
		ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	} while (!ktap_failed() && (e.exception.nr != AC_VECTOR ||
				    !(e.exception.injected || e.exception.pending)));
	EXPECT_EQ(vcpu_regs(v).rip, (uintptr_t)code32_ac);
}

/* 36, 38: from ring 3 */

static void user_dr(void)
{
	GUEST_TRY("mov %%rax, %%dr0", : : "a"(0x1234UL) : "memory");
	g_result = g_vector;
	GUEST_TRY("mov %%dr7, %%rax", : : : "rax", "memory");
	g_far[0] = g_vector;
}

static void user_dr_main(void)
{
	guest_call_ring3(user_dr);
	guest_done();
}

static const struct both {
	const char *name;
	bool emulated;
} both[] = { { "on the CPU", false }, { "by the emulator", true } };

TEST_EACH(ring3_dr, "case 36: a debug register from ring 3 is GP: ", both, b)
{
	struct vm vm;
	struct vcpu *v = make(&vm, user_dr_main, b->emulated);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), GP_VECTOR);
	EXPECT_EQ(G(&vm, g_far[0]), GP_VECTOR);
}

static volatile uint16_t g_ss = SEL_DATA;

static void watch_ss(void)
{
	asm volatile("mov %0, %%dr0" : : "r"(&g_ss));
	asm volatile("mov %0, %%dr7" : : "r"(0x70403UL));	/* reads and writes, 2 bytes */
}

static void mov_ss_int3(void)
{
	watch_ss();
	GUEST_TRY("mov %0, %%ss; int3", : : "m"(g_ss) : "memory");
	g_result = g_vector;
	disarm();
}

extern char behind_mov_ss[];

static void mov_ss_syscall(void)
{
	wrmsr(MSR_LSTAR, (uintptr_t)behind_mov_ss);
	wrmsr(MSR_STAR, (uint64_t)SEL_CODE64 << 32);
	watch_ss();
	GUEST_TRY("mov %0, %%ss; syscall\n\t"
		  ".globl behind_mov_ss\nbehind_mov_ss:", : : "m"(g_ss) : "rcx", "r11", "memory");
	g_result = g_vector;
	disarm();
}

static const struct behind_ss {
	const char *name;
	void (*entry)(void);
	uint64_t vector;
} behind_ss[] = {
	{ "INT3", mov_ss_int3, BP_VECTOR }, { "SYSCALL", mov_ss_syscall, NO_VECTOR },
};

TEST_EACH(mov_ss, "case 36: a breakpoint on the operand of MOV SS costs nobody but the guest: ",
	  behind_ss, b)
{
	int emulated;

	for (emulated = 0; emulated < 2; emulated++) {
		struct vm vm;
		struct vcpu *v = make(&vm, b->entry, emulated);

		vcpu_run_to_end(v);
		EXPECT(G(&vm, g_result) == b->vector || G(&vm, g_result) == DB_VECTOR);
		vm_free(&vm);
	}
}

static void hypercalls(void)
{
	uint64_t amd = 1, intel = 1;

	GUEST_TRY("vmmcall", : "+a"(amd) : : "memory");
	GUEST_TRY("vmcall", : "+a"(intel) : : "memory");
	g_result = amd;
	g_far[0] = intel;
	guest_done();
}

/* Descriptors of that level, and ports are open to it. */
static void go_to_level(struct vcpu *v, unsigned int cpl)
{
	uint64_t code = 0x00af9b000000ffffULL | (uint64_t)cpl << 45;
	uint64_t data = 0x00cf93000000ffffULL | (uint64_t)cpl << 45;
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_regs r = vcpu_regs(v);

	memcpy(v->vm->mem + GPA_GDT + SEL_FREE, &code, sizeof(code));
	memcpy(v->vm->mem + GPA_GDT + SEL_FREE + 8, &data, sizeof(data));
	s.cs.selector = SEL_FREE | cpl;
	s.ss.selector = (SEL_FREE + 8) | cpl;
	s.cs.dpl = s.ss.dpl = cpl;
	r.rflags |= FLAGS_IOPL;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &r));
}

static const struct level {
	const char *name;
	unsigned int cpl;
} levels[] = { { "1", 1 }, { "2", 2 }, { "3", 3 } };

TEST_EACH(outer_hypercall, "case 38: hypercalls are refused in ring ", levels, l)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, hypercalls);

	go_to_level(v, l->cpl);
	vcpu_run_to_end(v);
	/* Either the call says EPERM or the instruction is none. */
	EXPECT(G(&vm, g_result) == (uint64_t)-1 || G(&vm, g_result) == 1);
	EXPECT(G(&vm, g_far[0]) == (uint64_t)-1 || G(&vm, g_far[0]) == 1);
}

/* 37: what ring 3 must not do, on a page without memory */

#define USER_MMIO(name, insn)						\
	static void name(void)						\
	{								\
		GUEST_TRY(insn, : : "D"(GPA_HOLE), "a"(0) : "memory");	\
		g_result = g_vector;					\
	}

USER_MMIO(u_sgdt, "sgdt (%%rdi)")
USER_MMIO(u_sidt, "sidt (%%rdi)")
USER_MMIO(u_sldt, "sldt (%%rdi)")
USER_MMIO(u_str, "str (%%rdi)")
USER_MMIO(u_smsw, "smsw (%%rdi)")
USER_MMIO(u_lldt, "lldt (%%rdi)")
USER_MMIO(u_ltr, "ltr (%%rdi)")
USER_MMIO(u_lgdt, "lgdt (%%rdi)")
USER_MMIO(u_lidt, "lidt (%%rdi)")
USER_MMIO(u_lmsw, "lmsw (%%rdi)")
USER_MMIO(u_invlpg, "invlpg (%%rdi)")

static void user_far(void)
{
	g_far[0] = 0x1000;
	g_far[1] = 0;
	/* A null selector behind the offset. */
	GUEST_TRY("ljmp *%0", : : "m"(g_far) : "memory");
	g_result = g_vector;
}

static const struct user_insn {
	const char *name;
	void (*run)(void);
	bool umip;
} user_insns[] = {
	{ "SGDT under UMIP", u_sgdt, true }, { "SIDT under UMIP", u_sidt, true },
	{ "SLDT under UMIP", u_sldt, true }, { "STR under UMIP", u_str, true },
	{ "SMSW under UMIP", u_smsw, true }, { "LLDT", u_lldt }, { "LTR", u_ltr },
	{ "LGDT", u_lgdt }, { "LIDT", u_lidt }, { "LMSW", u_lmsw }, { "INVLPG", u_invlpg },
	{ "a far jump to a null selector", user_far },
};

static void (*volatile g_user)(void);
static volatile uint8_t g_umip;

static void user_insn_main(void)
{
	if (g_umip)
		write_cr4(read_cr4() | BIT(11));
	guest_call_ring3(g_user);
	guest_done();
}

TEST_EACH(user_insn, "case 37: in ring 3, on the CPU and emulated, GP: ", user_insns, u)
{
	struct kvm_cpuid_entry2 *features = cpuid_find(supported_cpuid(), 7, 0);
	int emulated;

	if (u->umip && !(features && features->ecx & BIT(2)))
		SKIP("no UMIP");
	for (emulated = 0; emulated < 2; emulated++) {
		struct vm vm;
		struct vcpu *v = make(&vm, user_insn_main, emulated);

		G(&vm, g_user) = u->run;
		G(&vm, g_umip) = u->umip;
		vcpu_run_to_end(v);
		EXPECT_EQ(G(&vm, g_result), GP_VECTOR);
		EXPECT_EQ(G(&vm, g_error), 0);
		vm_free(&vm);
	}
}

/* 39 */

static volatile uint64_t g_code;

static void long_insn(void)
{
	GUEST_TRY("call *%0", : : "r"(g_code), "D"(GPA_HOLE) : "rax", "memory");
	g_result = g_vector;
	guest_done();
}

static const struct prefixes {
	const char *name;
	unsigned int nr;
	uint32_t at;		/* offset in GPA_INSN's page */
	uint64_t vector;
} prefixes[] = {
	{ "13 and MOV are 15 bytes", 13, 0x100, NO_VECTOR },
	{ "14 and MOV are 16 bytes", 14, 0x100, GP_VECTOR },
	{ "15 and MOV are 17 bytes", 15, 0x100, GP_VECTOR },
	{ "13 and MOV across a page", 13, 0xffa, NO_VECTOR },
	{ "14 and MOV across a page", 14, 0xffa, GP_VECTOR },
};

/* MOV EAX, (RDI) on a page without memory, behind @p->nr prefixes; RET. */
static void long_case(const struct prefixes *p, bool emulated)
{
	struct vm vm;
	struct vcpu *v = make(&vm, long_insn, emulated);
	uint8_t *code = vm.mem + GPA_INSN + p->at;

	memset(code, 0x3e, p->nr);
	memcpy(code + p->nr, "\x8b\x07\xc3", 3);
	G(&vm, g_code) = GPA_INSN + p->at;
	if (p->vector == NO_VECTOR) {
		want_mmio(v, GPA_HOLE, 4, false);
		memset(v->run->mmio.data, 0x11, 4);
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), p->vector);
	vm_free(&vm);
}

TEST_EACH(too_long, "case 39: prefixes before an access to a device: ", prefixes, p)
{
	long_case(p, false);
	long_case(p, true);
}

/* The page behind GPA_INSN's is not mapped. */
static const struct edge {
	const char *name;
	unsigned int nr, in;	/* prefixes, bytes in front of that page */
	bool executes;
} edges[] = {
	{ "15 bytes up to it", 13, 15, true },
	{ "15 bytes, the last one in it", 13, 14, false },
	{ "15 bytes, all but one in it", 13, 1, false },
	{ "17 bytes, the last three in it", 15, 14, false },
};

/* Pages of 4 KiB where GPA_INSN is. */
static void map_up_to_insn(struct vm *vm)
{
	uint64_t base = GPA_INSN & ~0x1fffffULL, rw = PTE_P | PTE_W, pde = GPA_PT | rw, pte;
	unsigned int i;

	for (i = 0; i < 512; i++) {
		pte = (base + i * 4096) | rw;
		if (base + i * 4096 == GPA_INSN + 4096)
			pte = 0;
		memcpy(vm->mem + GPA_PT + i * 8, &pte, 8);
	}
	memcpy(vm->mem + GPA_PD + (base >> 21) * 8, &pde, 8);
}

static void edge_case(const struct edge *e, bool emulated)
{
	struct vm vm;
	struct vcpu *v = make(&vm, long_insn, emulated);
	uint8_t *code = vm.mem + GPA_INSN + 4096 - e->in;

	map_up_to_insn(&vm);
	memset(code, 0x3e, e->nr);
	memcpy(code + e->nr, "\x8b\x07\xc3", 3);
	G(&vm, g_code) = GPA_INSN + 4096 - e->in;
	if (e->executes)
		want_mmio(v, GPA_HOLE, 4, false);
	/* If not for this instruction, then for the one behind it. */
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), PF_VECTOR);
	if (!host_lacks("svm-cr2"))
		EXPECT_EQ(G(&vm, g_cr2), GPA_INSN + 4096);
	EXPECT_EQ(G(&vm, g_rip), GPA_INSN + 4096 - (e->executes ? 0 : e->in));
	vm_free(&vm);
}

TEST_EACH(into_absent, "case 39: an access to a device before an unmapped page: ", edges, e)
{
	edge_case(e, false);
	edge_case(e, true);
}

/* 40 */

/* Writes of one instruction: FXSAVE's. */
#define MAX_LEFT	52

static uint32_t run_some(struct vcpu *v)
{
	unsigned int i;

	/* What a device would answer, a few times; then it is enough. */
	for (i = 0; i < 8; i++) {
		uint32_t reason = vcpu_run(v);

		if (reason != KVM_EXIT_MMIO &&
		    (reason != KVM_EXIT_IO || guest_said(v, PORT_FAIL, NULL)))
			return reason;
		if (reason == KVM_EXIT_MMIO)
			memset(v->run->mmio.data, 0x5a, sizeof(v->run->mmio.data));
	}
	return KVM_EXIT_MMIO;
}

static void nothing(void)
{
	guest_done();
}

static void try_opcode(struct vm *vm, struct vcpu *v, const uint8_t *code, unsigned int n)
{
	static const uint32_t ends[] = {
		KVM_EXIT_MMIO, KVM_EXIT_IO, KVM_EXIT_HLT, KVM_EXIT_SHUTDOWN,
		KVM_EXIT_INTERNAL_ERROR,
	};
	struct kvm_regs regs = {
		.rip = GPA_INSN, .rsp = GPA_STACK - 0x200, .rflags = FLAGS_FIXED,
		.rax = GPA_HOLE, .rbx = GPA_HOLE, .rcx = 1, .rdx = 0x80,
		.rsi = GPA_HOLE, .rdi = GPA_HOLE, .rbp = GPA_HOLE,
	};
	uint8_t *p = vm->mem + GPA_INSN;
	uint32_t reason;
	unsigned int i;

	/* Elsewhere first: a read that the last one has left open is given up, its writes come yet. */
	vcpu_long_mode(v, nothing);
	v->run->immediate_exit = 1;
	for (i = 0; i < MAX_LEFT && !vcpu_run_raw(v); i++)
		;
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	v->run->immediate_exit = 0;
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
	/* Behind it only HLT; its operands are zero, so that jumps lead there. */
	memset(p, 0xf4, 64);
	memcpy(p, code, n);
	memset(p + n, 0, 8);
	reason = run_some(v);
	for (i = 0; i < ARRAY_SIZE(ends) && reason != ends[i]; i++)
		;
	if (i < ARRAY_SIZE(ends))
		return;
	vcpu_diag(v);
	EXPECT_MSG(0, "opcode %02x %02x %02x ends in exit %u", code[0], code[1], code[2], reason);
}

static const struct map {
	const char *name;
	uint8_t escape[2];
	unsigned int n;
} maps[] = {
	{ "one byte", { 0 }, 0 }, { "0F", { 0x0f }, 1 }, { "0F 38", { 0x0f, 0x38 }, 2 },
	{ "0F 3A", { 0x0f, 0x3a }, 2 },
};

TEST_EACH_SECONDS(all_opcodes, "case 40: every opcode on a device, behind every prefix: ", maps, map,
		  60)
{
	static const uint8_t prefix[] = { 0, 0x66, 0xf2, 0xf3, 0xf0, 0x48 };
	static const uint8_t modrm[] = { 0x00, 0x0f, 0x17, 0x3f };
	struct vm vm;
	struct vcpu *v = make(&vm, nothing, true);
	unsigned int op, i;

	for (op = 0; op < 256; op++)
		for (i = 0; i < ARRAY_SIZE(prefix) * ARRAY_SIZE(modrm); i++) {
			uint8_t code[5], n = 0;

			if (prefix[i / ARRAY_SIZE(modrm)])
				code[n++] = prefix[i / ARRAY_SIZE(modrm)];
			memcpy(code + n, map->escape, map->n);
			n += map->n;
			code[n++] = op;
			code[n++] = modrm[i % ARRAY_SIZE(modrm)];
			try_opcode(&vm, v, code, n);
		}
}

/* 41 */

/* Null, data, the TSS, an empty descriptor, one beyond the table; and the error codes. */
static const struct {
	uint16_t sel, error;
} targets[] = {
	{ 0, 0 }, { 3, 0 }, { SEL_DATA, SEL_DATA }, { SEL_TSS, SEL_TSS }, { SEL_FREE, SEL_FREE },
	{ 0xfff8, 0xfff8 },
};

static volatile uint64_t g_sel, g_target;

/* The stack is spoilt. */
static void tell_fault(void)
{
	g_result = g_vector;
	g_far[0] = g_error;
	guest_done();
}

static void bad_ret(void)
{
	GUEST_TRY("pushq %0; pushq %1; lretq", : : "r"(g_sel), "r"(g_target) : "memory");
	tell_fault();
}

static void bad_iret(void)
{
	GUEST_TRY("movq %%rsp, %%rax; pushq %2; pushq %%rax; pushfq; pushq %0; pushq %1; iretq",
		  : : "r"(g_sel), "r"(g_target), "i"(SEL_DATA) : "rax", "memory");
	tell_fault();
}

static void bad_jmp(void)
{
	g_far[0] = g_target | g_sel << 32;
	GUEST_TRY("ljmp *%0", : : "m"(g_far) : "memory");
	tell_fault();
}

static const struct transfer {
	const char *name;
	void (*entry)(void);
	bool wide;		/* it takes 64 bits of an address */
} transfers[] = {
	{ "a far return", bad_ret, true }, { "IRET", bad_iret, true }, { "a far jump", bad_jmp, false },
};

static void refuse(struct vcpu *v, const struct transfer *t, uint64_t sel, uint64_t to, uint64_t error)
{
	vcpu_long_mode(v, t->entry);
	G(v->vm, g_sel) = sel;
	G(v->vm, g_target) = to;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(v->vm, g_result), GP_VECTOR);
	EXPECT_EQ(G(v->vm, g_far[0]), error);
}

static void refuse_all(const struct transfer *t, bool emulated)
{
	struct vm vm;
	struct vcpu *v = make(&vm, t->entry, emulated);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(targets); i++)
		refuse(v, t, targets[i].sel, 0x1000, targets[i].error);
	/* An address that is not canonical; QEMU's CPU goes there. */
	if (t->wide && (emulated || !on_tcg()))
		refuse(v, t, SEL_CODE64, 1ULL << 47, 0);
	vm_free(&vm);
}

TEST_EACH(bad_target, "case 41: to what is no code, on the CPU and emulated, GP: ", transfers, t)
{
	refuse_all(t, false);
	refuse_all(t, true);
}

/* 42 */

extern char syscall_target[];

static volatile uint64_t g_mask, g_steps, g_step_rip;

static void on_step(struct frame *f)
{
	g_steps++;
	g_step_rip = f->rip;
	f->rflags &= ~FLAGS_TF;
}

static void syscall_step(void)
{
	g_result = 0;
	g_handlers[DB_VECTOR] = on_step;
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_target);
	wrmsr(MSR_STAR, (uint64_t)SEL_CODE64 << 32);
	wrmsr(MSR_SFMASK, g_mask);
	/* TF as it is behind SYSCALL decides, not as it was before. */
	asm volatile("pushfq; orq $0x100, (%%rsp); popfq; syscall\n\t"
		     ".globl syscall_target\n"
		     "syscall_target: movq $1, g_result"
		     : : : "rcx", "r11", "memory", "cc");
	/* SYSCALL is AMD's and Intel's here; without SCE it is nobody's. */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SCE);
	GUEST_TRY("syscall", : : : "rcx", "r11", "memory");
	g_far[0] = g_vector;
	guest_done();
}

TEST_EACH(syscalls, "case 42: SYSCALL under a single step, and UD without EFER.SCE: ", both, b)
{
	uint64_t mask;

	for (mask = 0; mask <= FLAGS_TF; mask += FLAGS_TF) {
		struct vm vm;
		struct vcpu *v;

		if (mask && !b->emulated && host_lacks("syscall-step"))
			continue;
		v = make(&vm, syscall_step, b->emulated);
		G(&vm, g_mask) = mask;
		vcpu_run_to_end(v);
		EXPECT_EQ(G(&vm, g_result), 1);
		EXPECT_EQ(G(&vm, g_far[0]), UD_VECTOR);
		EXPECT_EQ(G(&vm, g_steps), mask ? 0 : 1);
		EXPECT_EQ(G(&vm, g_step_rip), mask ? 0 : (uintptr_t)syscall_target);
		vm_free(&vm);
	}
}

/* In compatibility mode SYSCALL is AMD's alone. */
asm(".text; .code32; compat_syscall: syscall; hlt; .code64;"
    "compat_entry: jmp from_compat");
extern char compat_syscall[], compat_entry[];

void from_compat(void)
{
	g_result = 1;
	guest_done();
}

static void undefined_there(struct frame *f)
{
	g_result = f->vector;
	g_far[0] = f->rip;
	guest_done();
}

static void compat_main(void)
{
	g_handlers[UD_VECTOR] = undefined_there;
	wrmsr(MSR_CSTAR, (uintptr_t)compat_entry);
	wrmsr(MSR_STAR, (uint64_t)SEL_CODE64 << 32);
	asm volatile("pushq %0; pushq %1; lretq" : : "i"(SEL_CODE32), "r"(compat_syscall) : "memory");
}

TEST_EACH(compat, "case 42: SYSCALL in compatibility mode, where there is one: ", both, b)
{
	struct vm vm;
	struct vcpu *v = make(&vm, compat_main, b->emulated);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), cpu_is_intel() ? UD_VECTOR : 1);
	EXPECT_EQ(G(&vm, g_far[0]), cpu_is_intel() ? (uintptr_t)compat_syscall : 0);
}

/* 43 */

static volatile uint64_t g_address;

static void fragment_read(void)
{
	uint64_t val = 0;

	asm volatile("movq (%1), %0" : "=r"(val) : "r"(g_address) : "memory");
	g_result = val;
	guest_done();
}

TEST(fragments, "case 43: reads over the edge of memory are made of both sides")
{
	unsigned int in;

	for (in = 1; in < 8; in++) {
		uint64_t want = 0x5a5a5a5a5a5a5a5aULL << in * 8 | 0x1111111111111111ULL >> (64 - in * 8);
		struct vm vm;
		struct vcpu *v = vm_long_mode(&vm, 0, fragment_read);

		memset(vm.mem + MEM_SIZE - in, 0x11, in);
		G(&vm, g_address) = MEM_SIZE - in;
		want_mmio(v, MEM_SIZE, 8 - in, false);
		memset(v->run->mmio.data, 0x5a, 8);
		vcpu_run_to_end(v);
		EXPECT_EQ(G(&vm, g_result), want);
		vm_free(&vm);
	}
}

#define ISLAND_GPA	(GPA_HOLE + 0x200000)	/* a page of memory among devices */

uint8_t g_data[32];
static void (*volatile g_access)(void);
static volatile uint8_t g_avx;

#define FRAGMENT(n, mov, reg)							\
	static void read_##n(void)						\
	{									\
		asm volatile(mov " (%0), %%" reg "; " mov " %%" reg ", g_data"	\
			     : : "r"(g_address) : "rax", "memory");		\
	}									\
	static void write_##n(void)						\
	{									\
		asm volatile(mov " g_data, %%" reg "; " mov " %%" reg ", (%0)"	\
			     : : "r"(g_address) : "rax", "memory");		\
	}
FRAGMENT(2, "movw", "ax")
FRAGMENT(4, "movl", "eax")
FRAGMENT(8, "movq", "rax")
FRAGMENT(16, "movups", "xmm0")
FRAGMENT(32, "vmovups", "ymm0")

static const struct width {
	const char *name;
	unsigned int size;
	void (*read)(void), (*write)(void);
} widths[] = {
	{ "2 bytes", 2, read_2, write_2 }, { "4 bytes", 4, read_4, write_4 },
	{ "8 bytes", 8, read_8, write_8 }, { "16 bytes", 16, read_16, write_16 },
	{ "32 bytes", 32, read_32, write_32 },
};

/* The host says what access, for as long as it wants one. */
static void fragment_guest(void)
{
	if (g_avx)
		write_cr4(read_cr4() | CR4_OSXSAVE);
	for (;;) {
		guest_sync(1);
		g_access();
	}
}

static uint8_t byte_at(uint64_t gpa)
{
	return gpa * 7 + 1;
}

/* The memory at @gpa, or NULL: a device's. */
static uint8_t *memory_at(struct vm *vm, uint8_t *island, uint64_t gpa)
{
	if (gpa < MEM_SIZE)
		return vm->mem + gpa;
	return gpa / 4096 == ISLAND_GPA / 4096 ? island + gpa % 4096 : NULL;
}

/* @late: userspace comes back once for nothing before the guest goes on. */
static uint32_t run_late(struct vcpu *v, bool late)
{
	int r;

	v->run->immediate_exit = late;
	r = late ? vcpu_run_raw(v) : -1;
	v->run->immediate_exit = 0;
	ASSERT(!late || !r || errno == EINTR);
	return r ? vcpu_run(v) : v->run->exit_reason;
}

/* What of an access of @size bytes at @at lies on devices: at most 8 bytes, and one page, a time. */
static void serve_pieces(struct vcpu *v, uint8_t *island, uint64_t at, unsigned int size, bool write,
			 bool late)
{
	struct kvm_run *run = v->run;
	unsigned int i, j, n;

	for (i = 0; i < size; i += n) {
		n = 4096 - (at + i) % 4096;
		if (n > size - i)
			n = size - i;
		if (memory_at(v->vm, island, at + i))
			continue;
		if (n > 8)
			n = 8;
		EXPECT_EQ(run_late(v, late), KVM_EXIT_MMIO);
		EXPECT_EQ(run->mmio.phys_addr, at + i);
		EXPECT_EQ(run->mmio.len, n);
		EXPECT_EQ(run->mmio.is_write, write);
		for (j = 0; j < n; j++) {
			if (write)
				EXPECT_EQ(run->mmio.data[j], i + j + 1);
			else
				run->mmio.data[j] = byte_at(at + i + j);
		}
	}
}

static void fragment(struct vcpu *v, uint8_t *island, uint64_t at, const struct width *w, bool write,
		     bool late)
{
	unsigned int i;
	uint8_t *p;

	for (i = 0; i < w->size; i++) {
		G(v->vm, g_data)[i] = write ? i + 1 : 0;
		p = memory_at(v->vm, island, at + i);
		if (p)
			*p = write ? 0 : byte_at(at + i);
	}
	G(v->vm, g_address) = at;
	G(v->vm, g_access) = write ? w->write : w->read;
	serve_pieces(v, island, at, w->size, write, late);
	EXPECT_EQ(run_late(v, late), KVM_EXIT_IO);
	ASSERT(guest_said(v, PORT_SYNC, NULL));
	for (i = 0; i < w->size; i++) {
		p = memory_at(v->vm, island, at + i);
		if (!write)
			EXPECT_EQ(G(v->vm, g_data)[i], byte_at(at + i));
		else if (p)
			EXPECT_EQ(*p, i + 1);
	}
}

/* Without AVX there is no access of 32 bytes. */
static void turn_on_avx(struct vcpu *v)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0xd, 0);
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = 7 };

	if (!e || (e->eax & 7) != 7)
		SKIP("no AVX");
	ASSERT(!ioctl(v->fd, KVM_SET_XCRS, &x));
	G(v->vm, g_avx) = 1;
}

TEST_EACH(edge_fragments, "case 43: over edges of memory and devices, both ways: ", widths, w)
{
	static const uint64_t edge[] = { MEM_SIZE, GPA_HOLE + 4096, ISLAND_GPA, ISLAND_GPA + 4096 };
	uint8_t *island = map_pages(4096);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, fragment_guest);
	unsigned int i, in, how;

	if (w->size > 16)
		turn_on_avx(v);
	ASSERT(!vm_slot(&vm, 1, 0, ISLAND_GPA, 4096, island));
	vcpu_run_to_sync(v, 1);
	for (i = 0; i < ARRAY_SIZE(edge); i++)
		for (in = 1; in < w->size; in++)
			for (how = 0; how < 4; how++)
				fragment(v, island, edge[i] - in, w, how & 1, how & 2);
}

/* 44 */

static void port_storm(void)
{
	unsigned int i;

	for (i = 0; i < 1000; i++)
		outb(0x80, i);
	guest_done();
}

TEST(storm, "case 44: each of a thousand writes to port 0x80 reaches the VMM")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, port_storm);
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		want_io(v, KVM_EXIT_IO_OUT, 0x80, 1, 1);
		ASSERT(*(uint8_t *)io_data(v) == (uint8_t)i);
	}
	vcpu_run_to_end(v);
}

static void last_port(void)
{
	outl(0xffff, 0x12345678);
	guest_done();
}

TEST(last_port, "case 44: four bytes to port 65535 are one access there")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, last_port);

	want_io(v, KVM_EXIT_IO_OUT, 0xffff, 4, 1);
	vcpu_run_to_end(v);
}

/* 45 */

static volatile uint64_t g_pte;

static void far_away(void)
{
	/* Where 2 MiB at GPA_TEST + 2 MiB lead. */
	((volatile uint64_t *)GPA_PD)[(GPA_TEST >> 21) + 1] = g_pte;
	write_cr3(read_cr3());
	GUEST_TRY("movq (%0), %%rax", : : "r"(GPA_TEST + 0x200000UL) : "rax", "memory");
	g_result = g_vector;
	guest_done();
}

TEST(oversized, "case 45: an address that no slot can have ends in an exit, not in a loop")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, far_away);

	/* Bit 38: within any guest's width, and far behind its memory. */
	G(&vm, g_pte) = BIT(38) | PTE_PS | PTE_P | PTE_W | PTE_U;
	want_mmio(v, BIT(38), 8, false);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), NO_VECTOR);
}

TEST(reserved, "case 45: a reserved bit is the guest's page fault, not the host's")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, far_away);

	G(&vm, g_pte) = BIT(51) | PTE_PS | PTE_P | PTE_W | PTE_U;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), PF_VECTOR);
}
