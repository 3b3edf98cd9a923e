// SPDX-License-Identifier: GPL-2.0-only
/* SVM: what an exit means, and how events go in. */
#include <linux/kvm.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <asm/processor.h>
#include <asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "svm.h"

/* Exits whose code says all; UMBRA_EXIT_UNKNOWN, which is 0, where more must be looked at. */
static const u8 plain_exits[] = {
	[SVM_EXIT_INTR]		= UMBRA_EXIT_INTERRUPT,
	[SVM_EXIT_NMI]		= UMBRA_EXIT_NMI,
	[SVM_EXIT_SMI]		= UMBRA_EXIT_SPURIOUS,
	[SVM_EXIT_INIT]		= UMBRA_EXIT_SPURIOUS,
	[SVM_EXIT_VINTR]	= UMBRA_EXIT_INTR_WINDOW,
	[SVM_EXIT_RDPMC]	= UMBRA_EXIT_RDPMC,
	[SVM_EXIT_CPUID]	= UMBRA_EXIT_CPUID,
	[SVM_EXIT_RSM]		= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_INVD]		= UMBRA_EXIT_CACHE,
	[SVM_EXIT_PAUSE]	= UMBRA_EXIT_PAUSE,
	[SVM_EXIT_HLT]		= UMBRA_EXIT_HLT,
	[SVM_EXIT_INVLPGA]	= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_FERR_FREEZE]	= UMBRA_EXIT_SPURIOUS,
	[SVM_EXIT_SHUTDOWN]	= UMBRA_EXIT_SHUTDOWN,
	[SVM_EXIT_VMRUN]	= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_VMMCALL]	= UMBRA_EXIT_HYPERCALL,
	[SVM_EXIT_VMLOAD]	= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_VMSAVE]	= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_STGI]		= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_CLGI]		= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_SKINIT]	= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_RDTSCP]	= UMBRA_EXIT_UNDEFINED,
	[SVM_EXIT_WBINVD]	= UMBRA_EXIT_CACHE,
	[SVM_EXIT_MONITOR]	= UMBRA_EXIT_MONITOR,
	[SVM_EXIT_MWAIT]	= UMBRA_EXIT_MWAIT,
	[SVM_EXIT_MWAIT_COND]	= UMBRA_EXIT_MWAIT,
	[SVM_EXIT_XSETBV]	= UMBRA_EXIT_XSETBV,
	[SVM_EXIT_RDPRU]	= UMBRA_EXIT_UNDEFINED,
};

/* «Decode Assists»: a MOV names its register, and says that it is a MOV. */
#define MOV_CR_VALID	BIT_ULL(63)

static void decode_cr(struct umbra_vcpu *vcpu, u32 code)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_CR;
	if (code == SVM_EXIT_CR0_SEL_WRITE)
		code = SVM_EXIT_WRITE_CR0;
	exit->reg.write = code >= SVM_EXIT_WRITE_CR0;
	exit->reg.nr = code & 0xf;
	exit->reg.gpr = -1;
	exit->reg.value = 0;
	if (!boot_cpu_has(X86_FEATURE_DECODEASSISTS) || !(c->exit_info_1 & MOV_CR_VALID))
		return;
	exit->reg.gpr = c->exit_info_1 & SVM_EXITINFO_REG_MASK;
	if (exit->reg.write)
		exit->reg.value = umbra_gpr(vcpu, exit->reg.gpr);
}

/*
 * The first use of a debug register since the last exit: unless a debugger has
 * them, let the guest own all of them now, and execute the instruction itself.
 */
static void decode_dr(struct umbra_vcpu *vcpu, u32 code)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb_control_area *c = &svm->vmcb->control;
	struct umbra_exit *exit = &vcpu->exit;

	if (!vcpu->regs.guest_debug) {
		svm->vmcb->control.intercepts[INTERCEPT_DR] = 0;
		svm->dr_guest = true;
		svm_dirty(svm, SVM_CLEAN_INTERCEPTS | SVM_CLEAN_DR);
		exit->reason = UMBRA_EXIT_SPURIOUS;
		return;
	}
	exit->reason = UMBRA_EXIT_DR;
	exit->reg.write = code >= SVM_EXIT_WRITE_DR0;
	exit->reg.nr = code & 0xf;
	exit->reg.gpr = -1;
	exit->reg.value = 0;
	if (!boot_cpu_has(X86_FEATURE_DECODEASSISTS))
		return;
	exit->reg.gpr = c->exit_info_1 & SVM_EXITINFO_REG_MASK;
	if (exit->reg.write)
		exit->reg.value = umbra_gpr(vcpu, exit->reg.gpr);
}

/* «Decode Assists»: the bytes of an instruction whose access has faulted. */
static __always_inline void take_insn(struct umbra_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	struct umbra_exit *exit = &vcpu->exit;

	if (!boot_cpu_has(X86_FEATURE_DECODEASSISTS))
		return;
	exit->insn_len = min_t(u8, c->insn_len & 0xf, UMBRA_MAX_INSN);
	memcpy(exit->insn, c->insn_bytes, exit->insn_len);
}

static void decode_exception(struct umbra_vcpu *vcpu, u8 vector, bool stepped)
{
	const struct vmcb *vmcb = to_svm(vcpu)->vmcb;
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_EXCEPTION;
	exit->exc.vector = vector;
	exit->exc.has_error = false;
	exit->exc.error = 0;
	exit->exc.payload = 0;
	switch (vector) {
	case X86_TRAP_MC:
		exit->reason = UMBRA_EXIT_NMI;		/* served by exit_irqoff() */
		break;
	case X86_TRAP_DB:
		exit->exc.payload = vmcb->save.dr6 ^ DR6_RESERVED;
		if (!stepped)
			break;
		/* The step was ours: nobody else may see it. */
		exit->exc.payload &= ~(u64)DR_STEP;
		if (!(exit->exc.payload & DR_TRAP_BITS))
			exit->reason = UMBRA_EXIT_NMI_WINDOW;
		break;
	case X86_TRAP_PF:
		exit->exc.payload = vmcb->control.exit_info_2;
		take_insn(vcpu);
		fallthrough;
	case X86_TRAP_AC:
		exit->exc.has_error = true;
		exit->exc.error = vmcb->control.exit_info_1;
		break;
	}
}

/* «IOIO Intercept»: EXITINFO1 describes the access, EXITINFO2 is the RIP behind it. */
static void decode_io(struct umbra_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	u32 info = c->exit_info_1;
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_IO;
	exit->io.port = info >> 16;
	exit->io.size = (info & SVM_IOIO_SIZE_MASK) >> SVM_IOIO_SIZE_SHIFT;
	exit->io.in = info & SVM_IOIO_TYPE_MASK;
	exit->io.string = info & SVM_IOIO_STR_MASK;
	exit->io.rep = info & BIT(SVM_IOIO_REP_SHIFT);
	exit->next_rip = c->exit_info_2;
}

static void decode_task_switch(struct umbra_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_TASK_SWITCH;
	exit->task.selector = c->exit_info_1;
	exit->task.has_error = c->exit_info_2 & BIT_ULL(SVM_EXITINFOSHIFT_TS_HAS_ERROR_CODE);
	exit->task.error = c->exit_info_2;
	if (c->exit_info_2 & BIT_ULL(SVM_EXITINFOSHIFT_TS_REASON_IRET))
		exit->task.source = 1;
	else if (c->exit_info_2 & BIT_ULL(SVM_EXITINFOSHIFT_TS_REASON_JMP))
		exit->task.source = 2;
	else
		exit->task.source = c->exit_int_info & SVM_EXITINTINFO_VALID ? 3 : 0;
}

static void decode_npf(struct umbra_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_PAGE_FAULT;
	exit->fault.gpa = c->exit_info_2;
	exit->fault.error = c->exit_info_1;
	take_insn(vcpu);
}

/*
 * The IRET that ends an NMI's service is about to execute. Until it has, the next
 * NMI must wait: RIP tells.
 */
static void decode_iret(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm_intercept(svm, INTERCEPT_IRET, false);
	svm->iret_seen = true;
	svm->iret_rip = vcpu->regs.rip;
	vcpu->exit.reason = UMBRA_EXIT_SPURIOUS;
	umbra_request(vcpu, UMBRA_REQ_EVENT);
}

static void decode_reason(struct umbra_vcpu *vcpu, bool stepped)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb_control_area *c = &svm->vmcb->control;
	struct umbra_exit *exit = &vcpu->exit;
	u64 code = svm_exit_code(svm);

	if (code < ARRAY_SIZE(plain_exits) && plain_exits[code]) {
		exit->reason = plain_exits[code];
		return;
	}
	switch (code) {
	case SVM_EXIT_READ_CR0 ... SVM_EXIT_READ_CR0 + 0x1f:
	case SVM_EXIT_CR0_SEL_WRITE:
		decode_cr(vcpu, code);
		return;
	case SVM_EXIT_READ_DR0 ... SVM_EXIT_READ_DR0 + 0x1f:
		decode_dr(vcpu, code);
		return;
	case SVM_EXIT_EXCP_BASE ... SVM_EXIT_LAST_EXCP:
		decode_exception(vcpu, code - SVM_EXIT_EXCP_BASE, stepped);
		return;
	case SVM_EXIT_IRET:
		decode_iret(vcpu);
		return;
	case SVM_EXIT_INVLPG:
		exit->reason = UMBRA_EXIT_INVLPG;
		exit->reg.gpr = boot_cpu_has(X86_FEATURE_DECODEASSISTS) ? 0 : -1;
		exit->reg.value = c->exit_info_1;
		return;
	case SVM_EXIT_INVPCID:
		/* The emulator knows whether this guest has it. */
		exit->reason = UMBRA_EXIT_INVLPG;
		exit->reg.gpr = -1;
		return;
	case SVM_EXIT_MSR:
		exit->reason = c->exit_info_1 & 1 ? UMBRA_EXIT_MSR_WRITE : UMBRA_EXIT_MSR_READ;
		return;
	case SVM_EXIT_IOIO:
		decode_io(vcpu);
		return;
	case SVM_EXIT_TASK_SWITCH:
		decode_task_switch(vcpu);
		return;
	case SVM_EXIT_NPF:
		decode_npf(vcpu);
		return;
	}
	exit->reason = (s64)code == SVM_EXIT_ERR || (u32)code == (u32)SVM_EXIT_ERR ?
		       UMBRA_EXIT_FAIL_ENTRY : UMBRA_EXIT_UNKNOWN;
	exit->hw.code = code;
	exit->hw.info[0] = c->exit_info_1;
	exit->hw.info[1] = c->exit_info_2;
}

/* An event word of the VMCB, EXITINTINFO or EVENTINJ, back to where it came from. */
static void requeue(struct umbra_vcpu *vcpu, u32 info, u32 error)
{
	u8 vector = info & SVM_EVTINJ_VEC_MASK;
	u32 type = info & SVM_EVTINJ_TYPE_MASK;
	bool trap = (type == SVM_EVTINJ_TYPE_EXEPT &&
		     (vector == X86_TRAP_BP || vector == X86_TRAP_OF)) ||
		    type == SVM_EVTINJ_TYPE_SOFT;

	if (!(info & SVM_EVTINJ_VALID))
		return;
	/*
	 * INT3, INTO or INT n of the guest's own: RIP is still at it, so that executing
	 * it again raises it again. Injected once more it would return to itself.
	 */
	if (trap && !to_svm(vcpu)->injected_trap)
		return;
	switch (type) {
	case SVM_EVTINJ_TYPE_NMI:
		umbra_requeue_nmi(vcpu);
		break;
	case SVM_EVTINJ_TYPE_EXEPT:
		umbra_requeue_exception(vcpu, vector, info & SVM_EVTINJ_VALID_ERR, error);
		break;
	case SVM_EVTINJ_TYPE_SOFT:
		umbra_requeue_interrupt(vcpu, vector, true);
		break;
	case SVM_EVTINJ_TYPE_INTR:
		umbra_requeue_interrupt(vcpu, vector, false);
		break;
	}
}

/* Has the IRET executed, and what became of the step over it? */
static bool finish_nmi_step(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	bool stepped = svm->nmi_step;
	bool over_iret = svm->iret_seen;

	if (svm->iret_seen && vcpu->regs.rip != svm->iret_rip) {
		svm->iret_seen = false;
		svm->nmi_masked = false;
		umbra_request(vcpu, UMBRA_REQ_EVENT);
	}
	if (!stepped)
		return false;
	svm->nmi_step = false;
	/* TF was ours, unless the IRET has loaded a RFLAGS of the guest's. */
	if (!over_iret || svm->iret_seen)
		vcpu->regs.rflags &= ~(u64)X86_EFLAGS_TF;
	return true;
}

void svm_decode(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;
	struct umbra_exit *exit = &vcpu->exit;
	u8 tpr = c->int_ctl & V_TPR_MASK;
	u32 inject = c->event_inj;
	bool stepped = false;

	exit->insn_len = 0;
	exit->next_rip = umbra_caps.next_rip ? c->next_rip : 0;
	exit->plain = !((vcpu->regs.rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) |
			(c->int_state & SVM_INTERRUPT_SHADOW_MASK));
	if (tpr != svm->tpr) {
		svm->tpr = tpr;
		umbra_set_cr8(vcpu, tpr);
	}
	if (svm->irq_window)
		svm_close_irq_window(svm);
	if (unlikely(svm->iret_seen || svm->nmi_step))
		stepped = finish_nmi_step(vcpu);

	decode_reason(vcpu, stepped);

	umbra_events_delivered(&vcpu->events);
	c->event_inj = 0;
	if (unlikely(exit->reason == UMBRA_EXIT_FAIL_ENTRY)) {
		svm->refused = inject | (u64)c->event_inj_err << 32;
		requeue(vcpu, inject, c->event_inj_err);
	} else if (unlikely(c->exit_int_info & SVM_EVTINJ_VALID)) {
		requeue(vcpu, c->exit_int_info, c->exit_int_info_err);
	}
	svm->injected_trap = false;
}

void svm_exit_words(struct umbra_vcpu *vcpu, struct umbra_exit_words *words)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	u32 event = c->exit_int_info;

	*words = (struct umbra_exit_words) {
		.reason = svm_exit_code(to_svm(vcpu)),
		.info1 = c->exit_info_1,
		.info2 = c->exit_info_2,
		.intr_info = event,
	};
	if ((event & SVM_EXITINTINFO_VALID) && (event & SVM_EXITINTINFO_VALID_ERR))
		words->error_code = c->exit_int_info_err;
}

/* This CPU does not tell STI's shadow from MOV SS's. */
u32 svm_interrupt_shadow(struct umbra_vcpu *vcpu)
{
	if (to_svm(vcpu)->vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK)
		return KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS;
	return 0;
}

void svm_set_interrupt_shadow(struct umbra_vcpu *vcpu, u32 mask)
{
	struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;

	if (mask)
		c->int_state |= SVM_INTERRUPT_SHADOW_MASK;
	else
		c->int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
}

bool svm_interrupt_allowed(struct umbra_vcpu *vcpu)
{
	return (vcpu->regs.rflags & X86_EFLAGS_IF) && !svm_interrupt_shadow(vcpu) &&
	       !(to_svm(vcpu)->vmcb->control.event_inj & SVM_EVTINJ_VALID);
}

bool svm_nmi_allowed(struct umbra_vcpu *vcpu)
{
	return !to_svm(vcpu)->nmi_masked && !svm_interrupt_shadow(vcpu) &&
	       !(to_svm(vcpu)->vmcb->control.event_inj & SVM_EVTINJ_VALID);
}

void svm_inject_exception(struct umbra_vcpu *vcpu)
{
	const struct umbra_event_exception *exc = &vcpu->events.exc;
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;

	c->event_inj = exc->vector | SVM_EVTINJ_TYPE_EXEPT | SVM_EVTINJ_VALID |
		       (exc->has_error ? SVM_EVTINJ_VALID_ERR : 0);
	c->event_inj_err = exc->error;
	svm->injected_trap = exc->vector == X86_TRAP_BP || exc->vector == X86_TRAP_OF;
}

void svm_inject_irq(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	bool soft = vcpu->events.irq.soft;

	svm->vmcb->control.event_inj = vcpu->events.irq.vector | SVM_EVTINJ_VALID |
				       (soft ? SVM_EVTINJ_TYPE_SOFT : SVM_EVTINJ_TYPE_INTR);
	svm->injected_trap = soft;
}

void svm_inject_nmi(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb->control.event_inj = SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_NMI | X86_TRAP_NMI;
	svm_set_nmi_mask(vcpu, true);
}

void svm_cancel_inject(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;
	u32 inject = c->event_inj;

	c->event_inj = 0;
	requeue(vcpu, inject, c->event_inj_err);
	svm->injected_trap = false;
	svm_close_irq_window(svm);
	svm->nmi_step = false;
	svm->exit_at_once = false;
}

void svm_set_tpr_threshold(struct umbra_vcpu *vcpu, u8 class)
{
	svm_intercept(to_svm(vcpu), INTERCEPT_CR8_WRITE, class);
}

/* A virtual interrupt that the CPU would take as soon as the guest lets it: its intercept is the window. */
void svm_want_irq_window(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->irq_window = true;
	svm_intercept(svm, INTERCEPT_VINTR, true);
}

/*
 * While an NMI is in service the intercept of its IRET is on already. Behind that
 * exit, or in an interrupt shadow, one instruction is what it takes.
 */
void svm_want_nmi_window(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm->nmi_masked && !svm->iret_seen)
		return;
	/* A step would leave its TF in the frame that the delivery pushes. */
	if (svm->vmcb->control.event_inj & SVM_EVTINJ_VALID) {
		svm->exit_at_once = true;
		return;
	}
	/* A step of the guest's own or of a debugger's exits, and we look again. */
	svm->nmi_step = !(vcpu->regs.rflags & X86_EFLAGS_TF);
}

bool svm_get_nmi_mask(struct umbra_vcpu *vcpu)
{
	return to_svm(vcpu)->nmi_masked;
}

void svm_set_nmi_mask(struct umbra_vcpu *vcpu, bool masked)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->nmi_masked = masked;
	svm->iret_seen = false;
	svm_intercept(svm, INTERCEPT_IRET, masked);
}
