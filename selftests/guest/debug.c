// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_GUEST_DEBUG: the VMM steps and stops a guest that knows nothing. */
#include "guest.h"
#include "vm.h"

static volatile uint64_t g_val, g_seen;

static void set_debug(struct vcpu *v, uint32_t control)
{
	struct kvm_guest_debug d = { .control = control };

	ASSERT(!ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
}

/* Run to exit DEBUG, unless this is beyond the emulated CPU: @what it lacks. */
static void want_debug(struct vcpu *v, const char *what)
{
	uint32_t reason = vcpu_run(v);

	if (reason != KVM_EXIT_DEBUG && on_tcg())
		SKIP("the emulated CPU does not %s", what);
	ASSERT_MSG(reason == KVM_EXIT_DEBUG, "exit %s", exit_name(reason));
}

static struct vcpu *debug_vm(struct vm *vm, void (*entry)(void))
{
	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	return vm_long_mode(vm, VM_IRQCHIP, entry);
}

extern char step_a[], step_b[], step_c[], step_d[], step_e[], step_f[], step_g[];

static void stepped(void)
{
	asm volatile("step_a: nop\n"
		     "step_b: xorl %%eax, %%eax\n"
		     "step_c: cpuid\n"
		     "step_d: rdtsc\n"
		     "step_e: movq %%cr4, %%rax\n"
		     "step_f: movq %%rax, %%cr4\n"
		     "step_g: nop"
		     : : : "rax", "rbx", "rcx", "rdx", "memory");
	guest_done();
}

TEST(single_step, "SINGLESTEP: exit DEBUG behind each instruction, CPUID and CR4 too")
{
	static char *const stops[] = { step_b, step_c, step_d, step_e,
					step_f, step_g };
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, stepped);
	unsigned int i;

	host_needs("svm-dr6");
	/* The few instructions of the function's own start. */
	set_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	for (i = 0; i < 20 && vcpu_regs(v).rip != (uintptr_t)step_a; i++)
		ASSERT(vcpu_run(v) == KVM_EXIT_DEBUG);
	for (i = 0; i < ARRAY_SIZE(stops); i++) {
		ASSERT(vcpu_run(v) == KVM_EXIT_DEBUG);
		EXPECT_EQ(v->run->debug.arch.exception, DB_VECTOR);
		EXPECT_EQ(v->run->debug.arch.pc, (uintptr_t)stops[i]);
		EXPECT_EQ(v->run->debug.arch.dr6 & BIT(14), BIT(14));
		EXPECT_EQ(vcpu_regs(v).rip, (uintptr_t)stops[i]);
	}
	set_debug(v, 0);
	vcpu_run_to_end(v);
}

TEST(step_real, "SINGLESTEP in real mode: DEBUG tells the linear address, RIP the offset")
{
	static const uint8_t code[] = { 0x90, 0x90, 0xf4 };	/* nop, nop, hlt */
	struct kvm_regs r;
	struct kvm_sregs s;
	struct vm vm;
	struct vcpu *v;
	uint64_t at;

	host_needs("svm-dr6");
	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	vcpu_real_mode(v, code, sizeof(code));
	r = vcpu_regs(v);
	at = r.rip;
	/* The same place, by another segment. */
	s = vcpu_sregs(v);
	s.cs.selector = 0x40;
	s.cs.base = 0x400;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	r.rip -= 0x400;
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &r));
	set_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	ASSERT(vcpu_run(v) == KVM_EXIT_DEBUG);
	EXPECT_EQ(v->run->debug.arch.pc, at + 1);
	EXPECT_EQ(vcpu_regs(v).rip, at + 1 - 0x400);
}

/* Each stops at io_<name>, the instruction, and io_<name>_end, behind it. */
#define IO_GUEST(name, insn, ...)					\
	extern char io_##name[], io_##name##_end[];			\
	static void name(void)						\
	{								\
		asm volatile("io_" #name ": " insn "\n"			\
			     "io_" #name "_end: nop"			\
			     : : __VA_ARGS__ : "memory");		\
		guest_done();						\
	}

IO_GUEST(d_out, "outb %%al, %%dx", "a"(0x55), "d"(0x123))
IO_GUEST(d_in, "inb %%dx, %%al", "a"(0), "d"(0x123))
IO_GUEST(d_outs, "outsb", "S"(GPA_TEST), "d"(0x123))
IO_GUEST(d_ins, "insb", "D"(GPA_TEST), "d"(0x123))
IO_GUEST(d_write, "movl %%eax, (%%rdi)", "a"(0x55), "D"(GPA_HOLE))
IO_GUEST(d_read, "movl (%%rdi), %%eax", "a"(0), "D"(GPA_HOLE))
IO_GUEST(d_rmw, "addl %%eax, (%%rdi)", "a"(1), "D"(GPA_HOLE))
IO_GUEST(d_wide, "movups %%xmm0, (%%rdi)", "D"(GPA_HOLE))

static const struct io_step {
	const char *name;
	void (*entry)(void);
	char *at, *end;
	uint32_t exit, count;	/* the exits it takes first */
	bool stock;		/* stock KVM loses the step */
} io_steps[] = {
	{ "OUT", d_out, io_d_out, io_d_out_end, KVM_EXIT_IO, 1 },
	{ "IN", d_in, io_d_in, io_d_in_end, KVM_EXIT_IO, 1 },
	{ "OUTS", d_outs, io_d_outs, io_d_outs_end, KVM_EXIT_IO, 1, true },
	{ "INS", d_ins, io_d_ins, io_d_ins_end, KVM_EXIT_IO, 1, true },
	{ "an MMIO write", d_write, io_d_write, io_d_write_end, KVM_EXIT_MMIO, 1, true },
	{ "an MMIO read", d_read, io_d_read, io_d_read_end, KVM_EXIT_MMIO, 1, true },
	{ "a read and a write", d_rmw, io_d_rmw, io_d_rmw_end, KVM_EXIT_MMIO, 2, true },
	{ "a write in two pieces", d_wide, io_d_wide, io_d_wide_end, KVM_EXIT_MMIO, 2, true },
};

TEST_EACH(single_step_io, "SINGLESTEP: exit DEBUG after the exits of ", io_steps, s)
{
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, s->entry);
	unsigned int i;

	if (s->stock && !on_umbra())
		SKIP("stock KVM loses steps over what userspace completes");
	host_needs("svm-dr6");
	set_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	for (i = 0; i < 20 && vcpu_regs(v).rip != (uintptr_t)s->at; i++)
		ASSERT(vcpu_run(v) == KVM_EXIT_DEBUG);
	for (i = 0; i < s->count; i++)
		ASSERT(vcpu_run(v) == s->exit);
	ASSERT(vcpu_run(v) == KVM_EXIT_DEBUG);
	EXPECT_EQ(v->run->debug.arch.exception, DB_VECTOR);
	EXPECT_EQ(v->run->debug.arch.pc, (uintptr_t)s->end);
	EXPECT_EQ(v->run->debug.arch.dr6 & BIT(14), BIT(14));
	EXPECT_EQ(vcpu_regs(v).rip, (uintptr_t)s->end);
	/* The guest has no handler: a #DB of its own would end in a failure. */
	set_debug(v, 0);
	vcpu_run_to_end(v);
}

static void flags_seen(void)
{
	uint64_t flags;

	/* Not the first instruction: that one is stepped. */
	asm volatile("nop; nop; pushfq; popq %0" : "=r"(flags) : : "memory");
	g_val = flags;
	guest_done();
}

TEST(single_step_hidden, "SINGLESTEP does not show in what GET_REGS gives back")
{
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, flags_seen);

	host_needs("svm-dr6");
	set_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	ASSERT(vcpu_run(v) == KVM_EXIT_DEBUG);
	EXPECT_EQ(vcpu_regs(v).rflags & FLAGS_TF, 0);
	set_debug(v, 0);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val) & FLAGS_TF, 0);
}

extern char bp_here[];

static void with_bp(void)
{
	asm volatile("nop\nbp_here: int3\n" : : : "memory");
	guest_done();
}

TEST(sw_bp, "USE_SW_BP: INT3 is exit DEBUG, with RIP at it")
{
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, with_bp);
	struct kvm_regs r;

	set_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
	want_debug(v, "intercept INT3");
	EXPECT_EQ(v->run->debug.arch.exception, BP_VECTOR);
	EXPECT_EQ(v->run->debug.arch.pc, (uintptr_t)bp_here);
	r = vcpu_regs(v);
	EXPECT_EQ(r.rip, (uintptr_t)bp_here);
	r.rip++;
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &r));
	vcpu_run_to_end(v);
}

static void bp_seen(struct frame *f)
{
	g_seen = f->rip;
}

TEST(sw_bp_off, "without USE_SW_BP, INT3 is the guest's own")
{
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, with_bp);

	G(&vm, g_handlers[BP_VECTOR]) = bp_seen;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_seen), (uintptr_t)bp_here + 1);
}

extern char hw_here[];
static volatile uint64_t g_watched;

static void with_hw(void)
{
	asm volatile("nop\nhw_here: nop\n" : : : "memory");
	g_watched = 5;
	asm volatile("nop");
	guest_done();
}

TEST(hw_bp, "USE_HW_BP: exit DEBUG at the instruction, none of it run")
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [0] = (uintptr_t)hw_here, [7] = 0x401 },
	};
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, with_hw);

	ASSERT(!ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
	want_debug(v, "arm breakpoints at VMRUN");
	EXPECT_EQ(v->run->debug.arch.exception, DB_VECTOR);
	EXPECT_EQ(v->run->debug.arch.pc, (uintptr_t)hw_here);
	if (!host_lacks("svm-dr6"))
		EXPECT_EQ(v->run->debug.arch.dr6 & 0xf, 1);
	set_debug(v, 0);
	vcpu_run_to_end(v);
}

TEST(hw_watch, "USE_HW_BP: exit DEBUG behind a write to the address watched")
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [1] = (uintptr_t)&g_watched, [7] = 0x900404 },
	};
	struct kvm_debugregs regs;
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, with_hw);

	ASSERT(!ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
	want_debug(v, "arm breakpoints at VMRUN");
	if (!host_lacks("svm-dr6"))
		EXPECT_EQ(v->run->debug.arch.dr6 & 0xf, 2);
	EXPECT_EQ(G(&vm, g_watched), 5);
	/* The guest's own debug registers are not the VMM's. */
	ASSERT(!ioctl(v->fd, KVM_GET_DEBUGREGS, &regs));
	EXPECT_EQ(regs.db[1], 0);
	EXPECT_EQ(regs.dr7, 0x400);
	set_debug(v, 0);
	vcpu_run_to_end(v);
}

#define OWN_DR0		0x123456789000UL

static void reads_dr0(void)
{
	uint32_t out[4];
	uint64_t v;

	asm volatile("movq %0, %%dr0" : : "r"(OWN_DR0));
	guest_sync(1);
	for (;;) {
		asm volatile("movq %%dr0, %0" : "=r"(v) : : "memory");
		GUEST_ASSERT(v == OWN_DR0);
		/* An exit ends the guest's turn with them, and the next read asks again. */
		cpuid(0, 0, out);
	}
}

TEST(debugger_comes, "a debugger that comes between an exit for a debug register and the register's use")
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [0] = 0x1000, [7] = 0x400 },
	};
	struct kvm_debugregs regs;
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, reads_dr0);
	unsigned int i;

	if (!on_umbra())
		SKIP("stock KVM mixes them up, and warns");
	vcpu_run_to_sync(v, 1);
	/* About every second signal comes between the two. */
	for (i = 0; i < 40 && !ktap_failed(); i++) {
		EXPECT_ERR(vcpu_run_for(v, 5), EINTR);
		if (i % 2)
			set_debug(v, 0);
		else
			ASSERT(!ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
		ASSERT(!ioctl(v->fd, KVM_GET_DEBUGREGS, &regs));
		EXPECT_EQ(regs.db[0], OWN_DR0);
	}
}

TEST(debug_flags, "unknown control bits are EINVAL")
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | 0x8000 };
	struct vm vm;
	struct vcpu *v = debug_vm(&vm, with_bp);

	if (!ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d) && !on_umbra())
		SKIP("stock KVM of this version ignores them");
	EXPECT_ERR(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d), EINVAL);
}
