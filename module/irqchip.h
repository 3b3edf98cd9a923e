/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interrupt chips of one VM share among themselves; nobody else
 * includes it. All locks here are raw and taken with interrupts off, for the
 * timers raise their lines from hard interrupt context:
 *
 *	pit->lock, an eventfd's queue lock   >   pic.lock, ioapic.lock (never both)
 *
 * Below them come only the scheduler's locks, by a kick.
 */
#ifndef UMBRA_IRQCHIP_H
#define UMBRA_IRQCHIP_H

#include <linux/kvm.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "iodev.h"
#include "irq.h"

struct umbra_lapic;
struct umbra_routes;

/* Delivery modes, as ICR, LVTs, redirection entries and MSI data encode them. */
enum umbra_delivery {
	UMBRA_DM_FIXED,
	UMBRA_DM_LOWEST,
	UMBRA_DM_SMI,
	UMBRA_DM_RESERVED,
	UMBRA_DM_NMI,
	UMBRA_DM_INIT,
	UMBRA_DM_SIPI,
	UMBRA_DM_EXTINT,
};

/**
 * struct umbra_irq_msg - one message on the APIC bus
 * @dest: APIC ID or logical set; 8 bits but from an x2APIC
 * @mode: enum umbra_delivery
 * @vector: meaningless for NMI, SMI, INIT and ExtINT
 * @logical: @dest is matched with LDR and DFR
 * @level: trigger mode: the receiver's EOI must reach the IOAPIC
 */
struct umbra_irq_msg {
	u32 dest;
	u8 mode;
	u8 vector;
	bool logical;
	bool level;
};

/**
 * struct umbra_pic - the pair of 8259s
 * @lock: all below
 * @chip: state as the ABI has it; 0 is the master
 * @lines: for each pin the sources that hold it up
 * @output: the master asks for the CPU; read without the lock
 */
struct umbra_pic {
	raw_spinlock_t lock;
	struct kvm_pic_state chip[2];
	u8 lines[16];
	bool output;
	struct umbra_iodev master, slave, elcr;
};

/**
 * struct umbra_ioapic - the IOAPIC
 * @lock: all below
 * @id: bits 24..27 of the ID register
 * @regsel: the register that the window shows
 * @irr: lines that are up
 * @lines: for each pin the sources that hold it up
 * @redir: redirection entries
 * @storm: how many times running an EOI found the line of a pin still up
 * @deferred: pins that storm, waiting for @work
 */
struct umbra_ioapic {
	raw_spinlock_t lock;
	u32 id;
	u8 regsel;
	u32 irr;
	u8 lines[UMBRA_IOAPIC_PINS];
	u64 redir[UMBRA_IOAPIC_PINS];
	u16 storm[UMBRA_IOAPIC_PINS];
	u32 deferred;
	struct delayed_work work;
	struct umbra_iodev dev;
};

/**
 * struct umbra_irqchip - all chips of a VM but the LAPICs and the PIT
 * @split: PICs and IOAPIC are userspace's; those here are on no bus and quiet
 * @reserved: with @split: GSIs below it are the pins of userspace's IOAPICs
 * @routes: replaced whole under vm->irq_lock, read under RCU, for a timer's
 *	interrupt is a reader too
 */
struct umbra_irqchip {
	struct umbra_vm *vm;
	bool split;
	u32 reserved;
	struct umbra_pic pic;
	struct umbra_ioapic ioapic;
	struct umbra_routes __rcu *routes;
};

/* pic.c */
void umbra_pic_init(struct umbra_irqchip *chip);
int umbra_pic_set_pin(struct umbra_irqchip *chip, int source, unsigned int pin, int level);
/* INTA: the vector, or -1: the request has gone. */
int umbra_pic_ack(struct umbra_irqchip *chip);
void umbra_pic_get(struct umbra_irqchip *chip, unsigned int nr, struct kvm_pic_state *state);
void umbra_pic_set(struct umbra_irqchip *chip, unsigned int nr, const struct kvm_pic_state *state);
/* Put the chips on the buses; slots_lock held. 0 or errno, then nothing is there. */
int umbra_pic_register(struct umbra_irqchip *chip);
void umbra_pic_unregister(struct umbra_irqchip *chip);

/* ioapic.c */
void umbra_ioapic_init(struct umbra_irqchip *chip);
/* Wait for its work, which must not be queued again. */
void umbra_ioapic_stop(struct umbra_irqchip *chip);
int umbra_ioapic_set_pin(struct umbra_irqchip *chip, int source, unsigned int pin, int level);
/* A LAPIC ends a level-triggered interrupt. */
void umbra_ioapic_eoi(struct umbra_irqchip *chip, u8 vector);
void umbra_ioapic_get(struct umbra_irqchip *chip, struct kvm_ioapic_state *state);
int umbra_ioapic_set(struct umbra_irqchip *chip, const struct kvm_ioapic_state *state);
int umbra_ioapic_register(struct umbra_irqchip *chip);

/* irq.c */
/* The owner has ended @vector, which is level-triggered, or somebody waits for an end. */
void umbra_vector_ended(struct umbra_vcpu *vcpu, u8 vector);

/* lapic.c */
/**
 * umbra_lapic_deliver() - send a message to the LAPICs that it names
 * @vm: the VM; vCPUs may be none
 * @msg: the message
 * @src: the LAPIC that sends it; NULL: IOAPIC or MSI
 *
 * Any context. Return: -1 nobody took it; 0 coalesced; else the number of
 * LAPICs that took it anew
 */
int umbra_lapic_deliver(struct umbra_vm *vm, const struct umbra_irq_msg *msg,
			struct umbra_lapic *src);
/* The PIC's output has risen: tell the CPUs whose LINT0 listens. */
void umbra_lapic_pic_raised(struct umbra_vm *vm);

#endif
