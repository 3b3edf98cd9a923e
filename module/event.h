/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events on their way into the guest: exceptions, NMIs and interrupts, from
 * «somebody wants it» (pending) through «the CPU has been told» (injected) to
 * delivered, and back to injected when the delivery itself exited.
 */
#ifndef UMBRA_EVENT_H
#define UMBRA_EVENT_H

#include <linux/types.h>

struct umbra_vcpu;
struct kvm_vcpu_events;

/*
 * CR2 and DR6 are written when the exception is queued, so that nothing is owed later;
 * but for one that userspace restores with the value still to be written, @payload.
 */
struct umbra_event_exception {
	bool pending;		/* to be injected at the next entry */
	bool injected;		/* told to the CPU; delivery not known to be done */
	u8 vector;
	bool has_error;
	bool has_payload;
	u32 error;
	u64 payload;
};

struct umbra_events {
	struct umbra_event_exception exc;
	struct {
		bool injected, soft;
		u8 vector;
	} irq;
	u8 nmi_pending;		/* at most 2: one latched behind the one in service */
	bool nmi_injected;
	atomic_t nmi_queued;	/* by other threads; moved to nmi_pending by the owner */
	int ext_irq;		/* KVM_INTERRUPT: vector, or -1; with a PIC in the kernel always */
	u8 tpr_held;		/* class of an interrupt that waits for the guest to lower its TPR, or 0 */
};

void umbra_events_init(struct umbra_vcpu *vcpu);

/*
 * Queue an exception. A second one while one is pending or injected becomes
 * #DF or a triple fault by the manual's table «Interrupt and exception classes».
 * RIP must still be at the faulting instruction (faults) or behind it (traps).
 */
void umbra_queue_exception(struct umbra_vcpu *vcpu, u8 vector);
void umbra_queue_exception_e(struct umbra_vcpu *vcpu, u8 vector, u32 error);
void umbra_queue_page_fault(struct umbra_vcpu *vcpu, u64 cr2, u32 error);
void umbra_queue_debug(struct umbra_vcpu *vcpu, u64 dr6_bits);

/* The delivery of an event exited: put it back, to be injected again. */
void umbra_requeue_exception(struct umbra_vcpu *vcpu, u8 vector, bool has_error, u32 error);
void umbra_requeue_interrupt(struct umbra_vcpu *vcpu, u8 vector, bool soft);
void umbra_requeue_nmi(struct umbra_vcpu *vcpu);
/* All injected events were delivered: forget them. decode() calls it first. */
static inline void umbra_events_delivered(struct umbra_events *events)
{
	events->exc.injected = false;
	events->irq.injected = false;
	events->nmi_injected = false;
}

/* Any thread: an NMI for this vCPU. */
void umbra_inject_nmi(struct umbra_vcpu *vcpu);
/* Is the PIC userspace's, and would another interrupt of its reach this vCPU? Owner. */
bool umbra_takes_user_irq(struct umbra_vcpu *vcpu);

/* Is there an event that must wake this halted vCPU? Owner. */
bool umbra_has_event(struct umbra_vcpu *vcpu);

/* Before entry: choose one event, tell the backend, ask for windows for the rest. */
void umbra_inject_events(struct umbra_vcpu *vcpu);
/* There is nothing to choose from, nor to ask for: the usual case, in few instructions. */
bool umbra_nothing_waits(struct umbra_vcpu *vcpu);

int umbra_vcpu_get_events(struct umbra_vcpu *vcpu, struct kvm_vcpu_events *ev);
int umbra_vcpu_set_events(struct umbra_vcpu *vcpu, const struct kvm_vcpu_events *ev);

#endif
