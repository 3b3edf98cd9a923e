// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events for the guest: which one goes in at the next entry, and what becomes
 * of it when its delivery exits.
 */
#include <linux/kvm.h>
#include <linux/sched.h>
#include <linux/srcu.h>
#include <asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "irq.h"
#include "trace.h"
#include "umbra.h"

#define DR7_GD			BIT(13)
#define DR_ENABLES		(DR_GLOBAL_ENABLE_MASK | DR_LOCAL_ENABLE_MASK)
#define INSN_HLT		0xf4

/* Vectors below 32 that push an error code: #DF #TS #NP #SS #GP #PF #AC #CP. */
#define ERROR_CODE_VECTORS	(BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | \
				 BIT(14) | BIT(17) | BIT(21))
/* Faults, whose saved RFLAGS has RF set: all but #DB, NMI, the traps and the aborts. */
#define FAULT_VECTORS		(BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(9) | BIT(10) | \
				 BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(16) | BIT(17) | \
				 BIT(19) | BIT(21))

enum exception_class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static enum exception_class exception_class(u8 vector)
{
	switch (vector) {
	case X86_TRAP_PF:
		return PAGE_FAULT;
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return CONTRIBUTORY;
	default:
		return BENIGN;
	}
}

void umbra_events_init(struct umbra_vcpu *vcpu)
{
	vcpu->events = (struct umbra_events) { .ext_irq = -1 };
}

/*
 * Manual: «Double-Fault Exception (#DF)», the table of class pairs. What was
 * there is delivered first in time: @vector arose from its delivery.
 */
static void queue_exception(struct umbra_vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	struct umbra_event_exception *exc = &vcpu->events.exc;

	if (exc->pending || exc->injected) {
		enum exception_class first = exception_class(exc->vector);
		enum exception_class second = exception_class(vector);

		if (exc->vector == X86_TRAP_DF) {
			umbra_request(vcpu, UMBRA_REQ_TRIPLE_FAULT);
			return;
		}
		if ((first == CONTRIBUTORY && second == CONTRIBUTORY) ||
		    (first == PAGE_FAULT && second != BENIGN)) {
			vector = X86_TRAP_DF;
			has_error = true;
			error = 0;
		}
	}
	*exc = (struct umbra_event_exception) {
		.pending = true,
		.vector = vector,
		/* Real mode pushes none. */
		.has_error = has_error && umbra_is_protected(vcpu),
		.error = error,
	};
	umbra_request(vcpu, UMBRA_REQ_EVENT);
}

void umbra_queue_exception(struct umbra_vcpu *vcpu, u8 vector)
{
	queue_exception(vcpu, vector, false, 0);
}

void umbra_queue_exception_e(struct umbra_vcpu *vcpu, u8 vector, u32 error)
{
	queue_exception(vcpu, vector, true, error);
}

void umbra_queue_page_fault(struct umbra_vcpu *vcpu, u64 cr2, u32 error)
{
	vcpu->regs.cr2 = cr2;
	queue_exception(vcpu, X86_TRAP_PF, true, error);
}

static void set_dr6(struct umbra_vcpu *vcpu, u64 bits)
{
	vcpu->regs.dr6 &= ~DR_TRAP_BITS;
	vcpu->regs.dr6 |= bits | DR6_RESERVED;
}

void umbra_queue_debug(struct umbra_vcpu *vcpu, u64 dr6_bits)
{
	set_dr6(vcpu, dr6_bits);
	queue_exception(vcpu, X86_TRAP_DB, false, 0);
}

void umbra_requeue_exception(struct umbra_vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	vcpu->events.exc = (struct umbra_event_exception) {
		.injected = true,
		.vector = vector,
		.has_error = has_error,
		.error = error,
	};
	umbra_request(vcpu, UMBRA_REQ_EVENT);
}

void umbra_requeue_interrupt(struct umbra_vcpu *vcpu, u8 vector, bool soft)
{
	vcpu->events.irq.injected = true;
	vcpu->events.irq.vector = vector;
	vcpu->events.irq.soft = soft;
	umbra_request(vcpu, UMBRA_REQ_EVENT);
}

void umbra_requeue_nmi(struct umbra_vcpu *vcpu)
{
	vcpu->events.nmi_injected = true;
	umbra_request(vcpu, UMBRA_REQ_EVENT);
}

void umbra_inject_nmi(struct umbra_vcpu *vcpu)
{
	atomic_inc(&vcpu->events.nmi_queued);
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	umbra_vcpu_kick(vcpu);
}

/* One NMI in service and one latched is all that a CPU remembers. */
static void collect_nmis(struct umbra_vcpu *vcpu)
{
	struct umbra_events *ev = &vcpu->events;
	unsigned int queued, limit = 2;

	if (!atomic_read(&ev->nmi_queued))
		return;
	queued = atomic_xchg(&ev->nmi_queued, 0);
	if (ev->nmi_injected || umbra_backend->get_nmi_mask(vcpu))
		limit = 1;
	ev->nmi_pending = min(ev->nmi_pending + queued, limit);
}

/* The vector that waits for this vCPU, from the chips or from KVM_INTERRUPT, or -1. */
static int pending_vector(struct umbra_vcpu *vcpu)
{
	return vcpu->lapic ? umbra_pending_irq(vcpu) : vcpu->events.ext_irq;
}

/* And that must be injected. */
static int vector_to_inject(struct umbra_vcpu *vcpu)
{
	return vcpu->lapic ? umbra_irq_to_inject(vcpu) : vcpu->events.ext_irq;
}

static int take_vector(struct umbra_vcpu *vcpu)
{
	int vector;

	if (vcpu->lapic)
		return umbra_ack_irq(vcpu);
	vector = vcpu->events.ext_irq;
	vcpu->events.ext_irq = -1;
	return vector;
}

bool umbra_has_event(struct umbra_vcpu *vcpu)
{
	struct umbra_events *ev = &vcpu->events;

	collect_nmis(vcpu);
	if (ev->exc.pending || ev->exc.injected || ev->irq.injected || ev->nmi_injected)
		return true;
	if (ev->nmi_pending && umbra_backend->nmi_allowed(vcpu))
		return true;
	return pending_vector(vcpu) >= 0 && umbra_backend->interrupt_allowed(vcpu);
}

/* Userspace may have restored anything: an error code goes only where the CPU pushes one. */
static void inject_exception(struct umbra_vcpu *vcpu, bool again)
{
	struct umbra_event_exception *exc = &vcpu->events.exc;

	if (!(ERROR_CODE_VECTORS & BIT(exc->vector & 31)) || !umbra_is_protected(vcpu))
		exc->has_error = false;
	umbra_trace(kvm_inj_exception, exc->vector, exc->has_error, exc->error, again);
	umbra_backend->inject_exception(vcpu);
}

static void inject_nmi(struct umbra_vcpu *vcpu, bool again)
{
	umbra_trace(umbra_inj_nmi, again);
	umbra_backend->inject_nmi(vcpu);
}

static __always_inline void inject_irq(struct umbra_vcpu *vcpu, bool again)
{
	const struct umbra_events *ev = &vcpu->events;

	umbra_trace(kvm_inj_virq, ev->irq.vector, ev->irq.soft, again);
	umbra_backend->inject_irq(vcpu);
}

/* What was under way when the guest was left comes first, and alone. */
static bool reinject(struct umbra_vcpu *vcpu)
{
	struct umbra_events *ev = &vcpu->events;

	if (ev->exc.injected && !ev->exc.pending)
		inject_exception(vcpu, true);
	else if (ev->nmi_injected)
		inject_nmi(vcpu, true);
	else if (ev->irq.injected)
		inject_irq(vcpu, true);
	else
		return false;
	return true;
}

/* What goes with the exception into a register of its own, for one that was restored. */
static void write_payload(struct umbra_vcpu *vcpu)
{
	struct umbra_event_exception *exc = &vcpu->events.exc;

	if (exc->vector == X86_TRAP_PF)
		vcpu->regs.cr2 = exc->payload;
	else if (exc->vector == X86_TRAP_DB)
		set_dr6(vcpu, exc->payload);
	exc->has_payload = false;
}

static void inject_pending_exception(struct umbra_vcpu *vcpu)
{
	struct umbra_event_exception *exc = &vcpu->events.exc;

	if (unlikely(exc->has_payload))
		write_payload(vcpu);
	if (FAULT_VECTORS & BIT(exc->vector))
		umbra_set_rflags(vcpu, umbra_rflags(vcpu) | X86_EFLAGS_RF);
	if (exc->vector == X86_TRAP_DB && (vcpu->regs.dr7 & DR7_GD)) {
		vcpu->regs.dr7 &= ~DR7_GD;
		umbra_update_dr7(vcpu);
	}
	exc->pending = false;
	exc->injected = true;
	inject_exception(vcpu, false);
}

/* true: something was told to the CPU, so that nothing else can be. */
static bool inject_one(struct umbra_vcpu *vcpu)
{
	struct umbra_events *ev = &vcpu->events;
	int vector;

	if (reinject(vcpu))
		return true;
	if (ev->exc.pending) {
		inject_pending_exception(vcpu);
		return true;
	}
	if (ev->nmi_pending && umbra_backend->nmi_allowed(vcpu)) {
		ev->nmi_pending--;
		ev->nmi_injected = true;
		inject_nmi(vcpu, false);
		return true;
	}
	if (!umbra_backend->interrupt_allowed(vcpu))
		return false;
	vector = take_vector(vcpu);
	if (vector < 0)
		return false;
	ev->irq.injected = true;
	ev->irq.soft = false;
	ev->irq.vector = vector;
	inject_irq(vcpu, false);
	return true;
}

/*
 * An interrupt waits, and only the shadow of STI keeps it out of a halt that it would
 * end: the halt is over before it begins, without a window's exit and HLT's own. It is
 * no mere saving: where an exit of the host's comes between the two instructions, QEMU
 * loses the shadow, the handler would run before the HLT, and nothing would end that.
 */
static bool halt_is_over(struct umbra_vcpu *vcpu)
{
	u8 bytes[UMBRA_MAX_INSN];
	int idx;

	if (!vcpu->lapic || !umbra_backend->interrupt_shadow(vcpu) ||
	    (umbra_rflags(vcpu) & (X86_EFLAGS_IF | X86_EFLAGS_TF | X86_EFLAGS_RF)) !=
	    X86_EFLAGS_IF || vcpu->regs.guest_debug || (vcpu->regs.dr7 & DR_ENABLES) ||
	    umbra_hot(get_cpl)(vcpu) || umbra_pending_irq(vcpu) < 0)
		return false;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (!umbra_fetch_insn(vcpu, bytes))
		bytes[0] = 0;
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (bytes[0] != INSN_HLT)
		return false;
	umbra_set_rip(vcpu, umbra_is_64bit_code(vcpu) ? umbra_rip(vcpu) + 1 :
							(u32)(umbra_rip(vcpu) + 1));
	umbra_hot(set_interrupt_shadow)(vcpu, 0);
	return true;
}

bool umbra_takes_user_irq(struct umbra_vcpu *vcpu)
{
	if (umbra_pic_in_kernel(vcpu->vm) || vcpu->events.ext_irq >= 0)
		return false;
	return !vcpu->lapic || umbra_lapic_hears_pic(vcpu);
}

/* Userspace has an interrupt of its own to inject, once the guest can take it. */
static bool user_wants_window(struct umbra_vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->request_interrupt_window) && umbra_takes_user_irq(vcpu);
}

/* With chips in the kernel, and none of them asks. */
bool umbra_nothing_waits(struct umbra_vcpu *vcpu)
{
	const struct umbra_events *ev = &vcpu->events;

	return !(ev->exc.pending | ev->exc.injected | ev->irq.injected | ev->nmi_injected |
		 ev->nmi_pending | ev->tpr_held | atomic_read(&ev->nmi_queued) |
		 READ_ONCE(vcpu->run->request_interrupt_window)) &&
	       umbra_irq_quiet(vcpu);
}

void umbra_inject_events(struct umbra_vcpu *vcpu)
{
	struct umbra_events *ev = &vcpu->events;

	collect_nmis(vcpu);
	umbra_lapic_inform(vcpu);
	if (!inject_one(vcpu) && unlikely(halt_is_over(vcpu)))
		inject_one(vcpu);
	if (ev->nmi_pending)
		umbra_backend->want_nmi_window(vcpu);
	if (vector_to_inject(vcpu) >= 0 || user_wants_window(vcpu))
		umbra_backend->want_irq_window(vcpu);
	if (vcpu->lapic) {
		ev->tpr_held = umbra_irq_held_by_tpr(vcpu);
		umbra_backend->set_tpr_threshold(vcpu, ev->tpr_held);
	}
}

int umbra_vcpu_get_events(struct umbra_vcpu *vcpu, struct kvm_vcpu_events *out)
{
	struct umbra_events *ev = &vcpu->events;

	collect_nmis(vcpu);
	out->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (READ_ONCE(vcpu->vm->exception_payload)) {
		out->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
		out->exception.injected = ev->exc.injected;
		out->exception.pending = ev->exc.pending;
		out->exception_has_payload = ev->exc.has_payload;
		out->exception_payload = ev->exc.payload;
	} else {
		/* Then a pending one is reported as injected. */
		out->exception.injected = ev->exc.injected || ev->exc.pending;
	}
	if (READ_ONCE(vcpu->vm->triple_fault_event)) {
		out->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		out->triple_fault.pending = test_bit(UMBRA_REQ_TRIPLE_FAULT, &vcpu->requests);
	}
	out->exception.nr = ev->exc.vector;
	out->exception.has_error_code = ev->exc.has_error;
	out->exception.error_code = ev->exc.error;
	out->interrupt.injected = ev->irq.injected && !ev->irq.soft;
	out->interrupt.nr = ev->irq.vector;
	out->interrupt.shadow = umbra_backend->interrupt_shadow(vcpu);
	out->nmi.injected = ev->nmi_injected;
	out->nmi.pending = ev->nmi_pending;
	out->nmi.masked = umbra_backend->get_nmi_mask(vcpu);
	return 0;
}

static bool events_valid(struct umbra_vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	bool payload = in->flags & KVM_VCPUEVENT_VALID_PAYLOAD;
	u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		    KVM_VCPUEVENT_VALID_SHADOW;

	if (READ_ONCE(vcpu->vm->exception_payload))
		known |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(vcpu->vm->triple_fault_event))
		known |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	if (in->flags & ~known)
		return false;
	if ((in->exception.injected || (payload && in->exception.pending)) &&
	    (in->exception.nr > 31 || in->exception.nr == X86_TRAP_NMI))
		return false;
	return !(in->flags & KVM_VCPUEVENT_VALID_SHADOW) ||
	       !(in->interrupt.shadow & ~(KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI));
}

int umbra_vcpu_set_events(struct umbra_vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	struct umbra_events *ev = &vcpu->events;
	bool pending = (in->flags & KVM_VCPUEVENT_VALID_PAYLOAD) && in->exception.pending;

	if (!events_valid(vcpu, in))
		return -EINVAL;

	ev->exc = (struct umbra_event_exception) {
		.pending = pending,
		.injected = in->exception.injected && !pending,
		.vector = in->exception.nr,
		.has_error = in->exception.has_error_code,
		.error = in->exception.error_code,
		.has_payload = pending && in->exception_has_payload,
		.payload = in->exception_payload,
	};
	if (in->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		if (in->triple_fault.pending)
			umbra_request(vcpu, UMBRA_REQ_TRIPLE_FAULT);
		else
			clear_bit(UMBRA_REQ_TRIPLE_FAULT, &vcpu->requests);
	}
	ev->irq.injected = in->interrupt.injected;
	ev->irq.vector = in->interrupt.nr;
	ev->irq.soft = in->interrupt.soft;
	if (in->flags & KVM_VCPUEVENT_VALID_SHADOW)
		umbra_backend->set_interrupt_shadow(vcpu, in->interrupt.shadow);
	ev->nmi_injected = in->nmi.injected;
	if (in->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		atomic_set(&ev->nmi_queued, 0);
		ev->nmi_pending = min_t(u8, in->nmi.pending, 2);
	}
	umbra_backend->set_nmi_mask(vcpu, in->nmi.masked);
	if ((in->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->lapic)
		umbra_lapic_set_sipi_vector(vcpu, in->sipi_vector);
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}
