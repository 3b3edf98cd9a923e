// SPDX-License-Identifier: GPL-2.0-only
/*
 * Single steps across instructions that the hypervisor finishes for the guest:
 * with TF set, DB comes after exactly that one.
 */
#include "guest.h"
#include "vm.h"

static volatile uint64_t g_db_rip, g_db_dr6, g_nr_db;
extern char step_end[];

static void on_db(struct frame *f)
{
	uint64_t dr6;

	asm volatile("movq %%dr6, %0" : "=r"(dr6));
	g_db_rip = f->rip;
	g_db_dr6 = dr6;
	g_nr_db++;
	f->rflags &= ~FLAGS_TF;
}

/* TF takes effect after the instruction behind POPF: that is @insn. */
#define STEP_GUEST(name, insn, ...)					\
	static volatile uint64_t name##_want;				\
	static void name(void)						\
	{								\
		g_handlers[DB_VECTOR] = on_db;				\
		asm volatile("movq $1f, %c[want]\n\t"			\
			     "pushfq; orq $0x100, (%%rsp); popfq\n\t"	\
			     insn "\n"					\
			     "1: nop; nop; nop"				\
			     : : [want] "i"(&name##_want), __VA_ARGS__	\
			     : "rbx", "memory");			\
		guest_done();						\
	}

STEP_GUEST(s_nop, "nop", "a"(0))
STEP_GUEST(s_out, "outb %%al, %%dx", "a"(0x55), "d"(0x123))
STEP_GUEST(s_in, "inb %%dx, %%al", "a"(0), "d"(0x123))
STEP_GUEST(s_mmio_wr, "movl %%eax, (%%rdi)", "a"(0x55), "D"(GPA_HOLE))
STEP_GUEST(s_mmio_rd, "movl (%%rdi), %%eax", "a"(0), "D"(GPA_HOLE))
STEP_GUEST(s_rdmsr, "rdmsr", "a"(0), "c"(MSR_PAT), "d"(0))
STEP_GUEST(s_wrmsr, "wrmsr", "a"(0x00070406), "c"(MSR_PAT), "d"(0x00070406))
STEP_GUEST(s_cr0, "movq %%rax, %%cr0", "a"(0x80010033))
STEP_GUEST(s_cr4, "movq %%rax, %%cr4", "a"(0x620))
STEP_GUEST(s_invlpg, "invlpg (%%rdi)", "D"(GPA_TEST))
STEP_GUEST(s_wbinvd, "wbinvd", "a"(0))
STEP_GUEST(s_vmmcall, "vmmcall", "a"(0x7777))
STEP_GUEST(s_vmcall, "vmcall", "a"(0x7777))
STEP_GUEST(s_rdtsc, "rdtsc", "a"(0), "d"(0))

static volatile uint64_t s_cpuid_want;
static void s_cpuid(void)
{
	g_handlers[DB_VECTOR] = on_db;
	asm volatile("movq $1f, %c[want]\n\t"
		     "pushfq; orq $0x100, (%%rsp); popfq\n\t"
		     "cpuid\n"
		     "1: nop; nop; nop"
		     : : [want] "i"(&s_cpuid_want), "a"(0), "c"(0)
		     : "rbx", "rdx", "memory");
	guest_done();
}

static const struct step {
	const char *name;
	void (*entry)(void);
	volatile uint64_t *want;
	uint32_t exit;		/* the exit it takes, or 0 */
} steps[] = {
	{ "NOP, which nobody intercepts", s_nop, &s_nop_want, 0 },
	{ "CPUID", s_cpuid, &s_cpuid_want, 0 },
	{ "RDMSR", s_rdmsr, &s_rdmsr_want, 0 },
	{ "WRMSR", s_wrmsr, &s_wrmsr_want, 0 },
	{ "MOV to CR0", s_cr0, &s_cr0_want, 0 },
	{ "MOV to CR4", s_cr4, &s_cr4_want, 0 },
	{ "INVLPG", s_invlpg, &s_invlpg_want, 0 },
	{ "WBINVD", s_wbinvd, &s_wbinvd_want, 0 },
	{ "RDTSC", s_rdtsc, &s_rdtsc_want, 0 },
	{ "a hypercall", s_vmmcall, &s_vmmcall_want, 0 },
	{ "OUT", s_out, &s_out_want, KVM_EXIT_IO },
	{ "IN", s_in, &s_in_want, KVM_EXIT_IO },
	{ "MMIO write", s_mmio_wr, &s_mmio_wr_want, KVM_EXIT_MMIO },
	{ "MMIO read", s_mmio_rd, &s_mmio_rd_want, KVM_EXIT_MMIO },
};

TEST_EACH(step, "TF: one DB, right behind ", steps, s)
{
	bool vmcall = s->entry == s_vmmcall && cpu_is_intel();
	uint64_t want;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, vmcall ? s_vmcall : s->entry);

	if (s->exit)
		ASSERT(vcpu_run(v) == s->exit);
	vcpu_run_to_end(v);
	memcpy(&want, vm.mem + (uintptr_t)(vmcall ? &s_vmcall_want : s->want), 8);
	EXPECT_EQ(G(&vm, g_nr_db), 1);
	if (G(&vm, g_db_rip) == want + 1 && !on_umbra())
		SKIP("stock KVM steps one instruction too far here");
	EXPECT_EQ(G(&vm, g_db_rip), want);
	EXPECT_EQ(G(&vm, g_db_dr6) & BIT(14), BIT(14));
}

static volatile uint64_t s_hlt_want;
static void s_sti_nop(void)
{
	g_handlers[DB_VECTOR] = on_db;
	asm volatile("movq $1f, %c[want]\n\t"
		     "pushfq; orq $0x100, (%%rsp); popfq\n\t"
		     "cli\n"
		     "1: nop; nop"
		     : : [want] "i"(&s_hlt_want) : "memory");
	guest_done();
}

extern char stop_here[];

static void on_stop(struct frame *f)
{
	on_db(f);
	f->rflags |= FLAGS_RF;
}

static void stop_guest(void)
{
	g_handlers[DB_VECTOR] = on_stop;
	asm volatile("mov %0, %%dr0" : : "r"(stop_here));
	asm volatile("mov %0, %%dr7" : : "r"(0x403UL));
	asm volatile("movl $1, %%eax\n"
		     "stop_here: addl $1, %%eax; cmpl $2, %%eax; je 1f; ud2; 1:" : : : "rax", "cc");
	asm volatile("mov %0, %%dr7" : : "r"(0x400UL));
	guest_done();
}

TEST(stop, "a breakpoint stops the guest in front of its instruction, once")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, stop_guest);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_nr_db), 1);
	EXPECT_EQ(G(&vm, g_db_rip), (uintptr_t)stop_here);
	EXPECT_EQ(G(&vm, g_db_dr6) & 0xf, 1);
}

TEST(step_cli, "TF: one DB, right behind CLI")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, s_sti_nop);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_nr_db), 1);
	EXPECT_EQ(G(&vm, g_db_rip), G(&vm, s_hlt_want));
}
