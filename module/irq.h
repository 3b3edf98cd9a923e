/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupt chips: PIC, IOAPIC, LAPICs, and the routes between pins and them. */
#ifndef UMBRA_IRQ_H
#define UMBRA_IRQ_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;
struct umbra_irq_msg;

#define UMBRA_NR_GSIS		4096
#define UMBRA_IOAPIC_PINS	24
/*
 * Sources that may hold a level line up, each on its own: userspace, the PIT, irqfds
 * without and with a resamplefd.
 */
enum {
	UMBRA_SOURCE_USER,
	UMBRA_SOURCE_PIT,
	UMBRA_SOURCE_IRQFD,
	UMBRA_SOURCE_RESAMPLE,
	UMBRA_SOURCES
};

/* KVM_CREATE_IRQCHIP: vm->lock held. 0, -EEXIST, -EINVAL (vCPUs exist), -ENOMEM */
int umbra_irqchip_create(struct umbra_vm *vm);
/*
 * KVM_CAP_SPLIT_IRQCHIP: LAPICs here, PICs and IOAPIC in userspace; vm->lock held. 0, -EEXIST
 * (vCPUs or chips exist), -EINVAL (too many pins, arguments that are not 0), -ENOMEM
 */
int umbra_irqchip_split(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
/* No vCPU runs and none will: after it no chip acts by itself. The vCPUs still exist. */
void umbra_irqchip_quiesce(struct umbra_vm *vm);
/* The vCPUs are gone. */
void umbra_irqchip_destroy(struct umbra_vm *vm);
bool umbra_irqchip_in_kernel(struct umbra_vm *vm);	/* LAPICs at least */
bool umbra_pic_in_kernel(struct umbra_vm *vm);		/* all of them */
/* KVM_GET/SET_IRQCHIP: 0, -EINVAL, -ENXIO without chips */
int umbra_irqchip_get(struct umbra_vm *vm, struct kvm_irqchip *chip);
int umbra_irqchip_set(struct umbra_vm *vm, const struct kvm_irqchip *chip);
/* KVM_CREATE_PIT2: vm->lock held. 0, -EEXIST, -ENOENT (no irqchip), -EINVAL, -ENOMEM */
int umbra_pit_create(struct umbra_vm *vm, const struct kvm_pit_config *config);
void umbra_pit_destroy(struct umbra_vm *vm);
int umbra_pit_get(struct umbra_vm *vm, struct kvm_pit_state2 *state);	/* -ENXIO */
int umbra_pit_set(struct umbra_vm *vm, const struct kvm_pit_state2 *state);
/* KVM_REINJECT_CONTROL: are ticks that the guest has missed made up for? 0, -ENXIO */
int umbra_pit_reinject(struct umbra_vm *vm, bool on);

/*
 * Raise or lower a line from one source: <0 masked or no route (-1), 0
 * coalesced, >0 delivered. Any context that may take spinlocks.
 */
int umbra_set_irq(struct umbra_vm *vm, int source, u32 gsi, int level);
/* Raise it and lower it again: one message, or one edge. Any context, as above. */
void umbra_pulse_irq(struct umbra_vm *vm, int source, u32 gsi);
/* Does a GSI lead to this pin, of the IOAPIC (0 to 23) or of the PICs (0 to 15)? In RCU. */
bool umbra_gsi_has_pin(struct umbra_vm *vm, u32 gsi, bool ioapic, unsigned int pin);
/* KVM_SET_GSI_ROUTING: a kernel copy. 0, -EINVAL, -ENOMEM */
int umbra_set_routing(struct umbra_vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr);
/* KVM_SIGNAL_MSI: as umbra_set_irq(). */
int umbra_signal_msi(struct umbra_vm *vm, const struct kvm_msi *msi);

/* The LAPIC. vcpu->lapic is NULL without in-kernel chips; these accept that. */
int umbra_lapic_create(struct umbra_vcpu *vcpu);	/* -ENOMEM */
void umbra_lapic_destroy(struct umbra_vcpu *vcpu);
void umbra_lapic_reset(struct umbra_vcpu *vcpu, bool init);
/*
 * An interrupt waits for this vCPU: the LAPIC's vector above PPR; 0: the PIC's,
 * whose vector only umbra_ack_irq() can tell; -1: none. Owner. TPR is CR8:
 * umbra_lapic_set_tpr().
 */
int umbra_pending_irq(struct umbra_vcpu *vcpu);
/* The same, without what the CPU delivers by itself. */
int umbra_irq_to_inject(struct umbra_vcpu *vcpu);
/* No chip has an interrupt for this vCPU, deliverable or not. false: look closer. Any thread. */
bool umbra_irq_quiet(struct umbra_vcpu *vcpu);
/* The priority class of an interrupt that waits and only the TPR holds back, or 0. Owner. */
u8 umbra_irq_held_by_tpr(struct umbra_vcpu *vcpu);
/* A message of @from's for this vCPU's LAPIC; as umbra_set_irq(). */
int umbra_lapic_send(struct umbra_vcpu *vcpu, const struct umbra_irq_msg *msg,
		     struct umbra_vcpu *from);
/* Take it: IRR to ISR, or the PIC's INTA; the vector, or -1 when it went away. Owner. */
int umbra_ack_irq(struct umbra_vcpu *vcpu);
/* With a LAPIC: does an interrupt of the PIC reach this CPU? */
bool umbra_lapic_hears_pic(struct umbra_vcpu *vcpu);
void umbra_lapic_set_tpr(struct umbra_vcpu *vcpu, u64 cr8);
u64 umbra_lapic_tpr(struct umbra_vcpu *vcpu);	/* of one that has a LAPIC */
/* The guest has changed TPR in the register page by itself. Owner, with a LAPIC. */
void umbra_lapic_tpr_moved(struct umbra_vcpu *vcpu);
/* The page of the LAPIC's registers, which a backend may give to the CPU; NULL without a LAPIC. */
void *umbra_lapic_page(struct umbra_vcpu *vcpu);
/* At UMBRA_REQ_APIC_VIRT: shall the CPU work on that page by itself? Owner. */
void umbra_lapic_choose_virt(struct umbra_vcpu *vcpu);
/* Before an entry: tell it what software has done to the page since. Owner. */
void umbra_lapic_inform(struct umbra_vcpu *vcpu);
/* UMBRA_EXIT_EOI and UMBRA_EXIT_APIC_WRITE. */
void umbra_lapic_eoi_exit(struct umbra_vcpu *vcpu, u8 vector);
void umbra_lapic_write_exit(struct umbra_vcpu *vcpu, unsigned int reg);
/* The way of a VM's memory has changed. Owner. */
void umbra_lapic_mode_changed(struct umbra_vcpu *vcpu);
/* Somebody waits for the end of an interrupt who did not before. Any context. */
void umbra_lapic_ends_wanted(struct umbra_vm *vm);
u64 umbra_apic_base(struct umbra_vcpu *vcpu);
int umbra_set_apic_base(struct umbra_vcpu *vcpu, u64 value, bool host);	/* 0, 1 */
/* x2APIC MSRs 0x800..0x8ff: 0, 1. */
int umbra_x2apic_read(struct umbra_vcpu *vcpu, u32 msr, u64 *value);
int umbra_x2apic_write(struct umbra_vcpu *vcpu, u32 msr, u64 value);
/* To userspace (@host) a deadline that has come is still there until it is an interrupt. */
u64 umbra_tsc_deadline(struct umbra_vcpu *vcpu, bool host);
void umbra_set_tsc_deadline(struct umbra_vcpu *vcpu, u64 value);
/* The guest's TSC has jumped: a deadline that is armed is another time away now. Owner. */
void umbra_lapic_tsc_changed(struct umbra_vcpu *vcpu);
/* The timer's interrupt, at UMBRA_REQ_APIC_TIMER. Owner. */
void umbra_lapic_timer_expired(struct umbra_vcpu *vcpu);
/* The guest does not run until its deadline, but halts or is emulated: a timer of the host's. Owner. */
void umbra_lapic_timer_outside(struct umbra_vcpu *vcpu);
/* UMBRA_EXIT_TIMER. */
void umbra_lapic_timer_exit(struct umbra_vcpu *vcpu);
/* The vCPU is loaded on another CPU than last time. Preemption off. */
void umbra_lapic_changed_cpu(struct umbra_vcpu *vcpu);
/* Take the timer along, at UMBRA_REQ_MOVE_TIMER. Owner; waits for the timer's callback. */
void umbra_lapic_move_timer(struct umbra_vcpu *vcpu);
bool umbra_lapic_timer_pending(struct umbra_vcpu *vcpu);
/* The LAPIC's own page, 1 to 8 bytes: 0 handled, -EOPNOTSUPP not in its window. Owner. */
int umbra_lapic_mmio_read(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data);
int umbra_lapic_mmio_write(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data);
/* INIT and SIPI that reached the LAPIC while blocked or between entries: act on them. Owner. true: mp_state changed */
bool umbra_lapic_accept_events(struct umbra_vcpu *vcpu);
bool umbra_lapic_has_init_sipi(struct umbra_vcpu *vcpu);	/* any thread */
/* KVM_SET_MP_STATE(SIPI_RECEIVED): a SIPI with that vector is latched. Owner. */
void umbra_lapic_latch_sipi(struct umbra_vcpu *vcpu);
/* KVM_SET_VCPU_EVENTS: the vector of a latched SIPI. Owner. */
void umbra_lapic_set_sipi_vector(struct umbra_vcpu *vcpu, u32 vector);
/* KVM_SET_VAPIC_ADDR, in vm->srcu: 0; -EINVAL no LAPIC, or no memory there. 0: none any more. */
int umbra_lapic_set_vapic(struct umbra_vcpu *vcpu, gpa_t gpa);
/*
 * Before an entry, and after an exit or where there was no entry after all, in vm->srcu,
 * where vcpu->shares says something. Owner.
 */
void umbra_lapic_share(struct umbra_vcpu *vcpu);
void umbra_lapic_take_back(struct umbra_vcpu *vcpu);
/* KVM_TPR_ACCESS_REPORTING */
void umbra_lapic_report_tpr(struct umbra_vcpu *vcpu, bool on);
/* Fill the run page with KVM_EXIT_TPR_ACCESS, at UMBRA_REQ_TPR_ACCESS. Owner. */
void umbra_lapic_tpr_exit(struct umbra_vcpu *vcpu);
int umbra_lapic_get(struct umbra_vcpu *vcpu, struct kvm_lapic_state *state);	/* -EINVAL */
int umbra_lapic_set(struct umbra_vcpu *vcpu, const struct kvm_lapic_state *state);

#endif
