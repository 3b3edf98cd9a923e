// SPDX-License-Identifier: GPL-2.0-only
/* VMX: what an exit means, and how events go in. */
#include <linux/kvm.h>
#include <linux/string.h>
#include <asm/apicdef.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "irq.h"
#include "vmx.h"

/* Such an exit tells the length of an instruction, which the guest is then done with. */
#define DONE	0x80

/* Exits whose reason says all; UMBRA_EXIT_UNKNOWN, which is 0, where more must be looked at. */
static const u8 plain_exits[] = {
	[EXIT_REASON_EXTERNAL_INTERRUPT]	= UMBRA_EXIT_INTERRUPT,
	[EXIT_REASON_TRIPLE_FAULT]		= UMBRA_EXIT_SHUTDOWN,
	[EXIT_REASON_INIT_SIGNAL]		= UMBRA_EXIT_SPURIOUS,
	[EXIT_REASON_INTERRUPT_WINDOW]		= UMBRA_EXIT_INTR_WINDOW,
	[EXIT_REASON_NMI_WINDOW]		= UMBRA_EXIT_NMI_WINDOW,
	[EXIT_REASON_CPUID]			= DONE | UMBRA_EXIT_CPUID,
	[EXIT_REASON_HLT]			= DONE | UMBRA_EXIT_HLT,
	[EXIT_REASON_INVD]			= DONE | UMBRA_EXIT_CACHE,
	[EXIT_REASON_RDPMC]			= DONE | UMBRA_EXIT_RDPMC,
	[EXIT_REASON_VMCALL]			= DONE | UMBRA_EXIT_HYPERCALL,
	[EXIT_REASON_VMCLEAR]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMLAUNCH]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMPTRLD]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMPTRST]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMREAD]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMRESUME]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMWRITE]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMOFF]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_VMON]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_MSR_READ]			= DONE | UMBRA_EXIT_MSR_READ,
	[EXIT_REASON_MSR_WRITE]			= DONE | UMBRA_EXIT_MSR_WRITE,
	[EXIT_REASON_MWAIT_INSTRUCTION]		= DONE | UMBRA_EXIT_MWAIT,
	[EXIT_REASON_MONITOR_INSTRUCTION]	= DONE | UMBRA_EXIT_MONITOR,
	[EXIT_REASON_PAUSE_INSTRUCTION]		= DONE | UMBRA_EXIT_PAUSE,
	[EXIT_REASON_TPR_BELOW_THRESHOLD]	= UMBRA_EXIT_INTR_WINDOW,
	[EXIT_REASON_MCE_DURING_VMENTRY]	= UMBRA_EXIT_FAIL_ENTRY,
	[EXIT_REASON_INVEPT]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_PREEMPTION_TIMER]		= UMBRA_EXIT_TIMER,
	[EXIT_REASON_INVVPID]			= DONE | UMBRA_EXIT_UNDEFINED,
	[EXIT_REASON_WBINVD]			= DONE | UMBRA_EXIT_CACHE,
	[EXIT_REASON_XSETBV]			= DONE | UMBRA_EXIT_XSETBV,
	[EXIT_REASON_ENCLS]			= DONE | UMBRA_EXIT_UNDEFINED,
};

/* «Exit Qualification for Control-Register Accesses» */
#define CR_NUMBER(q)	((q) & 0xf)
#define CR_TYPE(q)	((q) >> 4 & 3)
#define CR_GPR(q)	((q) >> 8 & 0xf)
enum { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

static void decode_cr(struct umbra_vcpu *vcpu, u64 q)
{
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_CR;
	exit->reg.write = CR_TYPE(q) != CR_MOV_FROM;
	exit->reg.nr = CR_TYPE(q) == CR_MOV_TO || CR_TYPE(q) == CR_MOV_FROM ? CR_NUMBER(q) : 0;
	exit->reg.gpr = -1;
	exit->reg.value = 0;
	if (CR_TYPE(q) != CR_MOV_TO)
		return;
	exit->reg.gpr = CR_GPR(q);
	exit->reg.value = umbra_gpr(vcpu, exit->reg.gpr);
}

/*
 * The first use of a debug register since the last exit: unless a debugger has
 * them, let the guest own all of them now, and execute the instruction itself.
 * With GD set the instruction must fault first: this exit comes before that check.
 */
static void decode_dr(struct umbra_vcpu *vcpu, u64 q)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct umbra_exit *exit = &vcpu->exit;

	if (!vcpu->regs.guest_debug) {
		vmx_set_primary(vmx, CPU_BASED_MOV_DR_EXITING, false);
		vmx->dr_guest = true;
		exit->reason = UMBRA_EXIT_SPURIOUS;
		return;
	}
	exit->reason = UMBRA_EXIT_DR;
	exit->reg.write = !(q & TYPE_MOV_FROM_DR);
	exit->reg.nr = q & DEBUG_REG_ACCESS_NUM;
	exit->reg.gpr = DEBUG_REG_ACCESS_REG(q);
	exit->reg.value = exit->reg.write ? umbra_gpr(vcpu, exit->reg.gpr) : 0;
}

static void decode_exception(struct umbra_vcpu *vcpu, u64 q)
{
	u32 info = vmcs_read(VM_EXIT_INTR_INFO);
	u8 vector = info & INTR_INFO_VECTOR_MASK;
	struct umbra_exit *exit = &vcpu->exit;

	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR || vector == X86_TRAP_MC) {
		exit->reason = UMBRA_EXIT_NMI;		/* served already */
		return;
	}
	/* INT1 is done, but RIP still at it. */
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
		umbra_set_rip(vcpu, vcpu->regs.rip + vmcs_read(VM_EXIT_INSTRUCTION_LEN));
	exit->reason = UMBRA_EXIT_EXCEPTION;
	exit->exc.vector = vector;
	exit->exc.has_error = info & INTR_INFO_DELIVER_CODE_MASK;
	exit->exc.error = exit->exc.has_error ? vmcs_read(VM_EXIT_INTR_ERROR_CODE) : 0;
	exit->exc.payload = vector == X86_TRAP_DB || vector == X86_TRAP_PF ? q : 0;
}

/* «Exit Qualification for I/O Instructions» */
static void decode_io(struct umbra_vcpu *vcpu, u64 q)
{
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_IO;
	exit->io.port = q >> 16;
	exit->io.size = (q & 7) + 1;
	exit->io.in = q & BIT(3);
	exit->io.string = q & BIT(4);
	exit->io.rep = q & BIT(5);
}

static void decode_task_switch(struct umbra_vcpu *vcpu, u64 q)
{
	u32 vectoring = vmcs_read(IDT_VECTORING_INFO_FIELD);
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_TASK_SWITCH;
	exit->task.selector = q;
	exit->task.source = q >> 30 & 3;
	exit->task.has_error = vectoring & VECTORING_INFO_VALID_MASK &&
			       vectoring & VECTORING_INFO_DELIVER_CODE_MASK;
	exit->task.error = exit->task.has_error ? vmcs_read(IDT_VECTORING_ERROR_CODE) : 0;
}

static void decode_ept_violation(struct umbra_vcpu *vcpu, u64 q)
{
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_PAGE_FAULT;
	exit->fault.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->fault.error = PFERR_USER |
			    (q & EPT_VIOLATION_RWX_MASK ? PFERR_PRESENT : 0) |
			    (q & EPT_VIOLATION_ACC_WRITE ? PFERR_WRITE : 0) |
			    (q & EPT_VIOLATION_ACC_INSTR ? PFERR_FETCH : 0) |
			    (q & EPT_VIOLATION_GVA_TRANSLATED ? PFERR_GUEST_FINAL : PFERR_GUEST_PAGE);
}

/*
 * «Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical
 * Accesses». The latter do not tell an offset: no table of the guest's lies there that
 * was one before.
 */
static void decode_apic_access(struct umbra_vcpu *vcpu, u64 q)
{
	struct umbra_exit *exit = &vcpu->exit;
	u64 type = q & APIC_ACCESS_TYPE;
	bool linear = type <= TYPE_LINEAR_APIC_EVENT;

	exit->reason = UMBRA_EXIT_PAGE_FAULT;
	exit->fault.gpa = APIC_DEFAULT_PHYS_BASE | (linear ? q & APIC_ACCESS_OFFSET : 0);
	exit->fault.error = PFERR_USER | (linear ? PFERR_GUEST_FINAL : PFERR_GUEST_PAGE) |
			    (type == TYPE_LINEAR_APIC_INST_WRITE ? PFERR_WRITE : 0) |
			    (type == TYPE_LINEAR_APIC_INST_FETCH ? PFERR_FETCH : 0);
}

static void decode_unknown(struct umbra_vcpu *vcpu, u32 reason, u64 q)
{
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_UNKNOWN;
	exit->hw.code = reason;
	exit->hw.info[0] = q;
	exit->hw.info[1] = 0;
}

/* Exits that more must be read of. true: the length of an instruction comes with it. */
static bool decode_more(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 q = vmcs_read(EXIT_QUALIFICATION);

	vmx->qualification = q;
	switch (vmx->reason) {
	case EXIT_REASON_EXCEPTION_NMI:
		decode_exception(vcpu, q);
		return false;
	case EXIT_REASON_CR_ACCESS:
		decode_cr(vcpu, q);
		return true;
	case EXIT_REASON_DR_ACCESS:
		decode_dr(vcpu, q);
		return true;
	case EXIT_REASON_INVLPG:
		vcpu->exit.reason = UMBRA_EXIT_INVLPG;
		vcpu->exit.reg.gpr = 0;
		vcpu->exit.reg.value = q;
		return true;
	case EXIT_REASON_INVPCID:
		vcpu->exit.reason = UMBRA_EXIT_INVLPG;
		vcpu->exit.reg.gpr = -1;
		return false;
	case EXIT_REASON_IO_INSTRUCTION:
		decode_io(vcpu, q);
		return true;
	case EXIT_REASON_TASK_SWITCH:
		decode_task_switch(vcpu, q);
		return true;
	case EXIT_REASON_EPT_VIOLATION:
		decode_ept_violation(vcpu, q);
		return false;
	case EXIT_REASON_APIC_ACCESS:
		decode_apic_access(vcpu, q);
		return false;
	case EXIT_REASON_PML_FULL:
		vcpu->exit.reason = UMBRA_EXIT_LOG_FULL;
		return false;
	case EXIT_REASON_EOI_INDUCED:
		vcpu->exit.reason = UMBRA_EXIT_EOI;
		vcpu->exit.apic.vector = q;
		return false;
	case EXIT_REASON_APIC_WRITE:
		vcpu->exit.reason = UMBRA_EXIT_APIC_WRITE;
		vcpu->exit.apic.reg = q & 0xff0;
		return false;
	default:
		decode_unknown(vcpu, vmx->reason, q);
		return false;
	}
}

/* «Information for VM Exits That Occur During Event Delivery», back to where it came from. */
static void requeue(struct umbra_vcpu *vcpu, u32 info, u32 error, bool entered)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u8 vector = info & VECTORING_INFO_VECTOR_MASK;
	bool has_error = info & VECTORING_INFO_DELIVER_CODE_MASK;

	if (!(info & VECTORING_INFO_VALID_MASK))
		return;
	switch (info & VECTORING_INFO_TYPE_MASK) {
	case INTR_TYPE_NMI_INTR:
		/* It has blocked NMIs; the next try does it again. */
		vmx_set_interruptibility(vmx, vmx->interruptibility & ~GUEST_INTR_STATE_NMI);
		umbra_requeue_nmi(vcpu);
		break;
	case INTR_TYPE_HARD_EXCEPTION:
		umbra_requeue_exception(vcpu, vector, has_error, error);
		break;
	case INTR_TYPE_EXT_INTR:
		umbra_requeue_interrupt(vcpu, vector, false);
		break;
	case INTR_TYPE_SOFT_INTR:
		/* The guest's own is executed again, which raises it again. */
		if (!vmx->soft)
			break;
		/* enter() has put RIP back by one; see vmx_inject_irq(). */
		if (entered)
			vcpu->regs.rip++;
		umbra_requeue_interrupt(vcpu, vector, true);
		break;
	}
}

/*
 * «IRET with virtual NMIs»: the fault came after the IRET had let NMIs in again, and
 * it will be executed once more.
 */
static void block_nmis_again(struct vmx_vcpu *vmx, u32 vectoring)
{
	u64 word;

	if (vectoring & VECTORING_INFO_VALID_MASK)
		return;
	if (vmx->reason == EXIT_REASON_EXCEPTION_NMI) {
		word = vmcs_read(VM_EXIT_INTR_INFO);
		if ((word & INTR_INFO_VECTOR_MASK) == X86_TRAP_DF)
			return;
	} else if (vmx->reason == EXIT_REASON_EPT_VIOLATION ||
		   vmx->reason == EXIT_REASON_PML_FULL) {
		word = vmx->qualification;
	} else {
		return;
	}
	if (word & INTR_INFO_UNBLOCK_NMI)
		vmx_set_interruptibility(vmx, vmx->interruptibility | GUEST_INTR_STATE_NMI);
}

/* Exits that may come out of the delivery of an event: «Information for VM Exits ...». */
static bool in_delivery(u32 reason)
{
	return reason == EXIT_REASON_EXCEPTION_NMI || reason == EXIT_REASON_EPT_VIOLATION ||
	       reason == EXIT_REASON_EPT_MISCONFIG || reason == EXIT_REASON_TASK_SWITCH ||
	       reason == EXIT_REASON_PML_FULL || reason == EXIT_REASON_APIC_ACCESS;
}

static noinline void close_windows(struct vmx_vcpu *vmx)
{
	vmx_set_primary(vmx, CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING, false);
}

/* What the entry was to inject goes back; @entered: enter() has read RIP anew. */
static void take_injection_back(struct umbra_vcpu *vcpu, bool entered)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 info = vmcs_read(VM_ENTRY_INTR_INFO_FIELD);

	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	umbra_events_delivered(&vcpu->events);
	/* Both words have the same form. */
	if (info & INTR_INFO_VALID_MASK)
		requeue(vcpu, info, vmcs_read(VM_ENTRY_EXCEPTION_ERROR_CODE), entered);
	vmx->soft = false;
	close_windows(vmx);
}

/* The guest has moved to CR8. */
static noinline void take_tpr(struct umbra_vcpu *vcpu, u8 tpr)
{
	to_vmx(vcpu)->tpr = tpr;
	if (vcpu->lapic)
		umbra_lapic_tpr_moved(vcpu);
	else
		vcpu->regs.cr8 = tpr;
}

void vmx_decode(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct umbra_exit *exit = &vcpu->exit;
	u32 vectoring;
	u8 plain, tpr;
	bool length;

	exit->insn_len = 0;
	exit->next_rip = 0;
	if (vmx->failed || vmx->reason & VMX_EXIT_REASONS_FAILED_VMENTRY) {
		exit->reason = UMBRA_EXIT_FAIL_ENTRY;
		vmx->refused = vmcs_read(VM_ENTRY_INTR_INFO_FIELD);
		take_injection_back(vcpu, !vmx->failed);
		return;
	}
	exit->plain = !((vcpu->regs.rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) |
			(vmx->interruptibility & VMX_SHADOW));
	tpr = *(u32 *)(vmx->virtual_apic + APIC_TASKPRI) >> 4 & 0xf;
	if (unlikely(tpr != vmx->tpr))
		take_tpr(vcpu, tpr);
	if (unlikely(vmx->primary & (CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING)))
		close_windows(vmx);

	plain = vmx->reason < ARRAY_SIZE(plain_exits) ? plain_exits[vmx->reason] : 0;
	length = plain & DONE;
	if (plain)
		exit->reason = plain & ~DONE;
	else
		length = decode_more(vcpu);
	if (length) {
		exit->next_rip = vcpu->regs.rip + vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		if (!umbra_is_long(vcpu))
			exit->next_rip = (u32)exit->next_rip;
	}
	umbra_events_delivered(&vcpu->events);
	if (!plain && in_delivery(vmx->reason)) {
		vectoring = vmcs_read(IDT_VECTORING_INFO_FIELD);
		block_nmis_again(vmx, vectoring);
		if (vectoring & VECTORING_INFO_VALID_MASK)
			requeue(vcpu, vectoring, vmcs_read(IDT_VECTORING_ERROR_CODE), true);
	}
	vmx->soft = false;
}

void vmx_exit_words(struct umbra_vcpu *vcpu, struct umbra_exit_words *words)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 event = vmcs_read(VM_EXIT_INTR_INFO);

	/* Without an entry there is no exit: the VMCS still has the last one's words. */
	if (vmx->failed) {
		*words = (struct umbra_exit_words) { .reason = U32_MAX };
		return;
	}
	*words = (struct umbra_exit_words) {
		.reason = vmx->reason,
		.info1 = vmcs_read(EXIT_QUALIFICATION),
		.info2 = vmcs_read(IDT_VECTORING_INFO_FIELD),
		.intr_info = event,
	};
	if ((event & INTR_INFO_VALID_MASK) && (event & INTR_INFO_DELIVER_CODE_MASK))
		words->error_code = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
}

u32 vmx_interrupt_shadow(struct umbra_vcpu *vcpu)
{
	u32 state = to_vmx(vcpu)->interruptibility;

	return (state & GUEST_INTR_STATE_STI ? KVM_X86_SHADOW_INT_STI : 0) |
	       (state & GUEST_INTR_STATE_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
}

/* «Checks on Guest Non-Register State» do not allow both at once. */
void vmx_set_interrupt_shadow(struct umbra_vcpu *vcpu, u32 mask)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 state = vmx->interruptibility & ~VMX_SHADOW;

	if (likely(!mask && state == vmx->interruptibility))
		return;
	if (mask & KVM_X86_SHADOW_INT_MOV_SS)
		state |= GUEST_INTR_STATE_MOV_SS;
	else if (mask & KVM_X86_SHADOW_INT_STI)
		state |= GUEST_INTR_STATE_STI;
	vmx_set_interruptibility(vmx, state);
}

static bool event_waits(void)
{
	return vmcs_read(VM_ENTRY_INTR_INFO_FIELD) & INTR_INFO_VALID_MASK;
}

bool vmx_interrupt_allowed(struct umbra_vcpu *vcpu)
{
	return (vcpu->regs.rflags & X86_EFLAGS_IF) && !vmx_interrupt_shadow(vcpu) &&
	       !event_waits();
}

bool vmx_nmi_allowed(struct umbra_vcpu *vcpu)
{
	return !vmx_get_nmi_mask(vcpu) && !vmx_interrupt_shadow(vcpu) && !event_waits();
}

/*
 * As an exception of the hardware's even where an instruction raises it: what is
 * pushed then is RIP as it stands, behind that instruction.
 */
void vmx_inject_exception(struct umbra_vcpu *vcpu)
{
	const struct umbra_event_exception *exc = &vcpu->events.exc;
	u32 info = exc->vector | INTR_TYPE_HARD_EXCEPTION | INTR_INFO_VALID_MASK;
	u32 error = exc->error;

	if (vmx_real_delivers(vcpu)) {
		umbra_emulate_event(vcpu, exc->vector, false, exc->has_error ? &error : NULL);
		return;
	}
	/* «VM-Entry Controls for Event Injection»: no error code in real mode. */
	if (exc->has_error && umbra_is_protected(vcpu)) {
		info |= INTR_INFO_DELIVER_CODE_MASK;
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, exc->error);
	}
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info);
}

/*
 * A software interrupt pushes RIP plus the length of its instruction: enter() puts
 * RIP back by one, and one is the length.
 */
void vmx_inject_irq(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx_real_delivers(vcpu)) {
		umbra_emulate_event(vcpu, vcpu->events.irq.vector, vcpu->events.irq.soft, NULL);
		return;
	}
	vmx->soft = vcpu->events.irq.soft;
	if (vmx->soft)
		vmcs_write(VM_ENTRY_INSTRUCTION_LEN, 1);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, vcpu->events.irq.vector | INTR_INFO_VALID_MASK |
		   (vmx->soft ? INTR_TYPE_SOFT_INTR : INTR_TYPE_EXT_INTR));
}

void vmx_inject_nmi(struct umbra_vcpu *vcpu)
{
	if (vmx_real_delivers(vcpu)) {
		if (umbra_emulate_event(vcpu, X86_TRAP_NMI, false, NULL))
			vmx_set_nmi_mask(vcpu, true);
		return;
	}
	/* The delivery itself blocks NMIs; until then they must not be blocked. */
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD,
		   INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR | X86_TRAP_NMI);
}

void vmx_cancel_inject(struct umbra_vcpu *vcpu)
{
	take_injection_back(vcpu, false);
}

void vmx_set_tpr_threshold(struct umbra_vcpu *vcpu, u8 class)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (class == vmx->tpr_threshold)
		return;
	vmx->tpr_threshold = class;
	vmcs_write(TPR_THRESHOLD, class);
}

void vmx_apic_changed(struct umbra_vcpu *vcpu, u8 irr, u8 isr, const u64 *ends)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int i;

	vmcs_write(GUEST_INTR_STATUS, isr << 8 | irr);
	for (i = 0; i < ARRAY_SIZE(vmx->ends); i++) {
		if (ends[i] == vmx->ends[i])
			continue;
		vmx->ends[i] = ends[i];
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, ends[i]);
	}
}

void vmx_want_irq_window(struct umbra_vcpu *vcpu)
{
	vmx_set_primary(to_vmx(vcpu), CPU_BASED_INTR_WINDOW_EXITING, true);
}

/* STI's shadow need not close the NMI's window: the exit would come before any instruction. */
void vmx_want_nmi_window(struct umbra_vcpu *vcpu)
{
	if (to_vmx(vcpu)->interruptibility & GUEST_INTR_STATE_STI)
		vmx_want_irq_window(vcpu);
	else
		vmx_set_primary(to_vmx(vcpu), CPU_BASED_NMI_WINDOW_EXITING, true);
}

bool vmx_get_nmi_mask(struct umbra_vcpu *vcpu)
{
	return to_vmx(vcpu)->interruptibility & GUEST_INTR_STATE_NMI;
}

void vmx_set_nmi_mask(struct umbra_vcpu *vcpu, bool masked)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 state = vmx->interruptibility & ~GUEST_INTR_STATE_NMI;

	vmx_set_interruptibility(vmx, state | (masked ? GUEST_INTR_STATE_NMI : 0));
}
