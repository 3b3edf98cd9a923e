// SPDX-License-Identifier: GPL-2.0-only
/* VMX: the way into the guest and out of it. */
#include <linux/sched.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/mce.h>
#include <asm/mmu_context.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/spec-ctrl.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "clockmath.h"
#include "guest_state.h"
#include "vmx.h"

/* Does the guest run with breakpoints of its own or of its debugger's? */
static bool needs_drs(struct umbra_vcpu *vcpu)
{
	return to_vmx(vcpu)->dr_guest ||
	       (vcpu->regs.effective_dr7 & (DR_GLOBAL_ENABLE_MASK | DR_LOCAL_ENABLE_MASK));
}

static void load_drs(struct umbra_vcpu *vcpu)
{
	const struct umbra_regs *regs = &vcpu->regs;
	const u64 *dr = regs->guest_debug & KVM_GUESTDBG_USE_HW_BP ? regs->debug_dr : regs->dr;

	/* No breakpoint of the host's may hit on an address of the guest's, or the reverse. */
	set_debugreg(0, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
	set_debugreg(to_vmx(vcpu)->dr_guest ? regs->dr6 : DR6_RESERVED, 6);
}

/* The guest's turn with the debug registers ends with the exit. */
static void take_drs_back(struct umbra_vcpu *vcpu)
{
	struct umbra_regs *regs = &vcpu->regs;
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->dr_guest = false;
	get_debugreg(regs->dr[0], 0);
	get_debugreg(regs->dr[1], 1);
	get_debugreg(regs->dr[2], 2);
	get_debugreg(regs->dr[3], 3);
	get_debugreg(regs->dr6, 6);
	/* No exit resets it, and the host takes what it finds there for the causes of its own next #DB. */
	set_debugreg(DR6_RESERVED, 6);
	regs->dr7 = vmcs_read(GUEST_DR7);
	regs->effective_dr7 = regs->dr7;
	vmx_set_primary(vmx, CPU_BASED_MOV_DR_EXITING, true);
}

/* Without a LAPIC here userspace has the TPR, and wants to know of each lowering. */
static void write_own_tpr(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->tpr = vcpu->regs.cr8;
	*(u32 *)(vmx->own_apic + APIC_TASKPRI) = vmx->tpr << 4;
	vmx_set_primary(vmx, CPU_BASED_CR8_LOAD_EXITING, vmx->tpr);
}

#define PENDING_STEP	BIT_ULL(14)	/* as in DR6 */

/*
 * «Checks on Guest Non-Register State»: in an interrupt shadow a step is pending if
 * TF is set, and else not. Outside of one none is: what a step traps behind is either
 * done, and the trap taken, or will be executed again. (Bochs 2.7 saves one at each
 * exit with TF set.)
 */
static void write_pending_debug(struct vmx_vcpu *vmx, u64 rflags)
{
	u64 pending = vmx->pending_debug & ~PENDING_STEP;

	if (likely(!vmx->pending_debug && !(rflags & X86_EFLAGS_TF)))
		return;
	if (rflags & X86_EFLAGS_TF && vmx->interruptibility & VMX_SHADOW)
		pending |= PENDING_STEP;
	if (pending == vmx->pending_debug)
		return;
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
	vmx->pending_debug = pending;
}

/* @written: what stands there */
#define write_once(field, value, written)				\
	do {								\
		if (unlikely((value) != (written))) {			\
			(written) = (value);				\
			vmcs_write(field, value);			\
		}							\
	} while (0)

static void write_vmcs(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const struct umbra_regs *regs = &vcpu->regs;
	u64 rip = regs->rip - vmx->soft;
	/* As they are: an exit must bring back what an entry takes away. */
	u64 cr3 = __native_read_cr3(), cr4 = native_read_cr4();

	if (rip != vmx->rip)
		vmcs_write(GUEST_RIP, rip);
	if (regs->rflags != vmx->rflags)
		vmcs_write(GUEST_RFLAGS, unlikely(vmx->vm86) ? vmx_real_rflags(vcpu, regs->rflags) :
							       regs->rflags);
	write_pending_debug(vmx, regs->rflags);
	if (regs->avail & BIT(UMBRA_REG_RSP))
		vmcs_write(GUEST_RSP, regs->gpr[UMBRA_RSP]);
	if (regs->dirty & BIT(UMBRA_REG_PDPTR))
		vmx_write_pdptrs(vcpu);
	write_once(HOST_CR3, cr3, vmx->host_cr3);
	write_once(HOST_CR4, cr4, vmx->host_cr4);
}

static void read_vmcs(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct umbra_regs *regs = &vcpu->regs;

	vmx->rip = vmcs_read(GUEST_RIP);
	vmx->rflags = vmcs_read(GUEST_RFLAGS);
	if (unlikely(vmx->vm86))
		vmx->rflags = vmx_real_guest_rflags(vcpu, vmx->rflags);
	vmx->interruptibility = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	vmx->pending_debug = 0;
	if (unlikely(vmx->rflags & X86_EFLAGS_TF || vmx->interruptibility & VMX_SHADOW))
		vmx->pending_debug = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS);
	regs->rip = vmx->rip;
	regs->rflags = vmx->rflags;
	regs->avail &= ~(BIT(UMBRA_REG_RSP) | BIT(UMBRA_REG_CR3) | BIT(UMBRA_REG_PDPTR));
	regs->dirty = 0;
}

/*
 * «Page-Modification Logging»: what the CPU has logged, before anybody can take the guest for
 * left. While no slot has a log there is nothing but what is left of one.
 */
static noinline void take_log(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u16 index = vmcs_read(GUEST_PML_INDEX);
	unsigned int first = index < VMX_PML_ENTRIES ? index + 1 : 0;

	if (first == VMX_PML_ENTRIES)
		return;
	umbra_log_writes(vcpu->vm, vmx->pml + first, VMX_PML_ENTRIES - first);
	vmcs_write(GUEST_PML_INDEX, VMX_PML_ENTRIES - 1);
}

/* How far the CPU's TSC goes until the guest's shows the deadline. */
static u64 ticks_left(const struct vmx_vcpu *vmx)
{
	bool scaled = vmx->secondary & SECONDARY_EXEC_TSC_SCALING;
	u64 now = rdtsc(), left;

	if (unlikely(scaled))
		now = umbra_scale_tsc(now, vmx->tsc_multiplier);
	now += vmx->tsc_offset;
	left = vmx->timer > now ? vmx->timer - now : 0;
	return unlikely(scaled) ? umbra_unscale_tsc(left, vmx->tsc_multiplier) : left;
}

/* The pin control follows the deadline; the count is anew for each entry. */
static void write_timer(struct vmx_vcpu *vmx)
{
	u32 pin = vmx_controls.pin | (vmx->timer ? PIN_BASED_VMX_PREEMPTION_TIMER : 0);
	u8 shift = vmx_controls.timer_shift;
	u64 left;

	if (pin != vmx->pin) {
		vmcs_write(PIN_BASED_VM_EXEC_CONTROL, pin);
		vmx->pin = pin;
	}
	if (!vmx->timer)
		return;
	vmx->todo.timer = true;
	left = min_t(u64, (ticks_left(vmx) >> shift) + 1, U32_MAX);
	vmcs_write(VMX_PREEMPTION_TIMER_VALUE, left);
}

/* Without either each entry flushes. */
static void flush_guest(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->secondary & SECONDARY_EXEC_ENABLE_EPT)
		vmx_invept(VMX_EPT_EXTENT_CONTEXT, vmx->eptp);
	if (vmx->vpid)
		vmx_invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vmx->vpid, 0);
	umbra_ledger_flush(vcpu, vmx->vpid);
}

/* What has changed since the last entry, or wants to be written for each. */
static noinline void catch_up(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	union vmx_todo todo = vmx->todo;

	vmx->todo = (union vmx_todo) { .tpr = todo.tpr };
	if (todo.flush)
		flush_guest(vcpu);
	if (todo.write) {
		write_once(SECONDARY_VM_EXEC_CONTROL, vmx->secondary, vmx->written_secondary);
		write_once(TSC_OFFSET, vmx->tsc_offset, vmx->written_offset);
		write_once(TSC_MULTIPLIER, vmx->tsc_multiplier, vmx->written_multiplier);
	}
	if (todo.tpr)
		write_own_tpr(vcpu);
	if (todo.timer)
		write_timer(vmx);
}

/*
 * An NMI that came while the guest ran has been taken by the exit; no other comes
 * before it is served. Its handler must not find itself in what still counts as guest.
 */
static noinstr void switch_worlds(struct umbra_vcpu *vcpu)
{
	const u32 nmi = INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR;
	struct vmx_vcpu *vmx = vcpu->hw;
	u32 reason;

	umbra_guest_state_enter();
	native_write_cr2(vcpu->regs.cr2);
	vmx->failed = vmx_world_switch(vcpu->regs.gpr, vmx->launched, &vmx->host_rsp);
	/* The guest runs with the host's value, but on these CPUs an exit wants it written anew. */
	if (cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS))
		native_wrmsrl(MSR_IA32_SPEC_CTRL, this_cpu_read(x86_spec_ctrl_current));
	vcpu->regs.cr2 = native_read_cr2();
	umbra_guest_state_exit();
	if (unlikely(vmx->failed))
		return;
	reason = vmcs_read(VM_EXIT_REASON);
	vmx->reason = reason;
	if (unlikely(reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		return;
	vmx->launched = true;
	if (reason == EXIT_REASON_EXCEPTION_NMI &&
	    (vmcs_read(VM_EXIT_INTR_INFO) & (nmi | INTR_INFO_INTR_TYPE_MASK)) == nmi)
		vmx_serve_nmi();
}

void vmx_enter(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 debugctl;
	unsigned long ldt;

	/* A reboot has turned VMX off: to the VMM that is a failed entry. */
	if (unlikely(!this_cpu_read(vmx_cpu.enabled))) {
		vmx->failed = true;
		return;
	}
	write_vmcs(vcpu);
	if (unlikely(vmx->todo.any))
		catch_up(vcpu);
	umbra_ledger_enter(vcpu, vmx->vpid);
	if (unlikely(needs_drs(vcpu)))
		load_drs(vcpu);
	if (static_cpu_has_bug(X86_BUG_L1TF) && static_cpu_has(X86_FEATURE_FLUSH_L1D))
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	/* Each exit takes the LDT away; another thread may have made one since the last. */
	asm volatile("sldt %0" : "=r" (ldt));
	if (unlikely(ldt))
		vmx->host_ldt = ldt;
	/* The exit clears it; the host's own is brought back. */
	debugctl = __rdmsr(MSR_IA32_DEBUGCTLMSR);
	if (static_branch_unlikely(&vmx_counting))
		vmx_count(vcpu);

	switch_worlds(vcpu);

	if (unlikely(debugctl))
		update_debugctlmsr(debugctl);
	if (unlikely(vmx->dr_guest))
		take_drs_back(vcpu);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	if (unlikely(vmx->failed))
		return;
	read_vmcs(vcpu);
	/* It was in a HLT of its own: what ended that for us does for the guest, as on SVM. */
	if (unlikely(!(vmx->primary & CPU_BASED_HLT_EXITING)))
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	if (unlikely(vmx->pml) && (READ_ONCE(vcpu->vm->mmu.logged) ||
				   vmx->reason == EXIT_REASON_PML_FULL))
		take_log(vcpu);
}

static noinline void serve_machine_check(void)
{
	u32 info = vmcs_read(VM_EXIT_INTR_INFO);
	/* To the handler it came from userspace: the kernel itself is not hurt. */
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	if ((info & (INTR_INFO_INTR_TYPE_MASK | INTR_INFO_VECTOR_MASK)) ==
	    (INTR_TYPE_HARD_EXCEPTION | X86_TRAP_MC))
		do_machine_check(&regs);
}

/* Interrupts that ended the guest's time come by themselves once they are enabled. */
void vmx_exit_irqoff(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->failed)
		return;
	if (unlikely(vmx->reason == EXIT_REASON_EXCEPTION_NMI))
		serve_machine_check();
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
}
