// SPDX-License-Identifier: GPL-2.0-only
/* The local APICs: messages between them, which one is meant, and what it does with it. */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/minmax.h>

#include "irqchip.h"
#include "lapic.h"
#include "trace.h"
#include "umbra.h"
#include "vcpu.h"

#define LAPIC_X2_ALL		0xffffffffu
#define LAPIC_XAPIC_ALL		0xffu

#define ICR_SHORTHAND		(3u << 18)
#define ICR_SELF		APIC_DEST_SELF
#define ICR_ALL			APIC_DEST_ALLINC
#define ICR_OTHERS		APIC_DEST_ALLBUT

/* Vectors below are exceptions' and can't be sent. */
#define FIRST_VECTOR		16

/* What was changed must be seen by the vCPU; @src is the LAPIC of this thread, or NULL. */
static void notify(struct umbra_lapic *apic, const struct umbra_lapic *src)
{
	umbra_request(apic->vcpu, UMBRA_REQ_EVENT);
	if (src != apic)
		umbra_vcpu_kick(apic->vcpu);
}

void lapic_note_error(struct umbra_lapic *apic, u32 bit, const struct umbra_lapic *src)
{
	if (!(atomic_fetch_or(bit, &apic->errors) & bit))
		lapic_raise_lvt(apic, APIC_LVTERR, src);
}

static int accept_vector(struct umbra_lapic *apic, u8 vector, bool level,
			 const struct umbra_lapic *src)
{
	bool turned;

	if (!lapic_software_enabled(apic))
		return -1;
	if (vector < FIRST_VECTOR) {
		lapic_note_error(apic, APIC_ESR_RECVILL, src);
		return -1;
	}
	/* TMR first: who sees the bit in IRR may end the interrupt. */
	turned = level != lapic_test_vector(apic, APIC_TMR, vector);
	if (unlikely(turned)) {
		if (level)
			set_bit(vector % 32, lapic_vector_word(apic, APIC_TMR, vector));
		else
			clear_bit(vector % 32, lapic_vector_word(apic, APIC_TMR, vector));
	}
	/* Whether its end is an exit may have to be told although nothing else is new. */
	if (!lapic_set_irr(apic, vector) && likely(!turned))
		return 0;
	notify(apic, src);
	return 1;
}

/* A message has reached this LAPIC; returns as umbra_set_irq(). Any thread. */
static int accept(struct umbra_lapic *apic, const struct umbra_irq_msg *msg,
		  const struct umbra_lapic *src)
{
	umbra_trace(kvm_apic_accept_irq, apic->vcpu->id, msg->mode << 8, msg->level, msg->vector);
	switch (msg->mode) {
	case UMBRA_DM_FIXED:
	case UMBRA_DM_LOWEST:
		return accept_vector(apic, msg->vector, msg->level, src);
	case UMBRA_DM_NMI:
		umbra_inject_nmi(apic->vcpu);
		return 1;
	case UMBRA_DM_INIT:
		/* INIT undoes a SIPI that came before it. */
		clear_bit(LAPIC_LATCHED_SIPI, &apic->latched);
		set_bit(LAPIC_LATCHED_INIT, &apic->latched);
		notify(apic, src);
		return 1;
	case UMBRA_DM_SIPI:
		WRITE_ONCE(apic->sipi_vector, msg->vector);
		smp_wmb();	/* pairs with umbra_lapic_accept_events() */
		set_bit(LAPIC_LATCHED_SIPI, &apic->latched);
		notify(apic, src);
		return 1;
	case UMBRA_DM_EXTINT:
		/* INTA would find nothing while the PIC is quiet. */
		if (!READ_ONCE(apic->vcpu->vm->irqchip->pic.output))
			return -1;
		WRITE_ONCE(apic->extint, true);
		notify(apic, src);
		return 1;
	}
	return -1;	/* SMI: these guests have no SMM; reserved */
}

bool lapic_raise_lvt(struct umbra_lapic *apic, unsigned int reg, const struct umbra_lapic *src)
{
	u32 lvt = lapic_reg(apic, reg);
	struct umbra_irq_msg msg = { .vector = lvt & LVT_VECTOR };

	if (!lapic_hardware_enabled(apic) || (lvt & APIC_LVT_MASKED))
		return false;
	/* These two have no mode field. */
	if (reg != APIC_LVTT && reg != APIC_LVTERR)
		msg.mode = GET_APIC_DELIVERY_MODE(lvt);
	/* An error entry with a bad vector must not report itself for ever. */
	if (reg == APIC_LVTERR && msg.vector < FIRST_VECTOR)
		return false;
	return accept(apic, &msg, src) >= 0;
}

/* --- who is meant ------------------------------------------------------- */

static bool match_physical(const struct umbra_lapic *apic, u32 dest)
{
	/* An xAPIC has 8 bits of ID; vCPUs beyond them are reached in x2APIC mode only. */
	return lapic_id(apic) == dest && (lapic_x2(apic) || dest < LAPIC_XAPIC_ALL);
}

static bool match_logical(const struct umbra_lapic *apic, u32 dest)
{
	u32 ldr = lapic_reg(apic, APIC_LDR);

	if (lapic_x2(apic))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= 24;
	if (lapic_reg(apic, APIC_DFR) == APIC_DFR_FLAT)
		return ldr & dest & 0xff;
	return ldr >> 4 == (dest & 0xff) >> 4 && (ldr & dest & 0xf);
}

/* May @dest be a broadcast? */
static bool means_all(u32 dest)
{
	return dest == LAPIC_X2_ALL || dest == LAPIC_XAPIC_ALL;
}

/* Is it one for this LAPIC? Among x2APICs (@wide) 0xff is just an ID. */
static bool match_all(const struct umbra_lapic *apic, u32 dest, bool wide)
{
	return dest == LAPIC_X2_ALL || (dest == LAPIC_XAPIC_ALL && !(wide && lapic_x2(apic)));
}

/*
 * Does the sender speak to x2APICs as one of them? Of what is no LAPIC (@src is NULL) KVM
 * takes 0xff for a broadcast all the same, unless the VMM has said that it means the ID.
 */
static bool speaks_x2(const struct umbra_vm *vm, const struct umbra_lapic *src)
{
	if (src)
		return lapic_x2(src);
	return READ_ONCE(vm->x2apic_api) & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
}

static bool match(const struct umbra_lapic *apic, const struct umbra_irq_msg *msg, bool wide)
{
	if (!apic || !lapic_hardware_enabled(apic))
		return false;
	if (match_all(apic, msg->dest, wide))
		return true;
	return msg->logical ? match_logical(apic, msg->dest) : match_physical(apic, msg->dest);
}

/* Is @a the better receiver of a lowest-priority message? */
static bool wins(const struct umbra_lapic *a, const struct umbra_lapic *b)
{
	u32 pa = lapic_reg(a, APIC_PROCPRI) >> 4, pb = lapic_reg(b, APIC_PROCPRI) >> 4;

	if (pa != pb)
		return pa < pb;
	return (s32)(READ_ONCE(a->arbitrated) - READ_ONCE(b->arbitrated)) < 0;
}

static int deliver_lowest(struct umbra_vm *vm, const struct umbra_irq_msg *msg,
			  struct umbra_lapic *src)
{
	bool wide = speaks_x2(vm, src);
	struct umbra_lapic *best = NULL;
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		struct umbra_lapic *apic = vcpu->lapic;

		if (match(apic, msg, wide) && lapic_software_enabled(apic) &&
		    (!best || wins(apic, best)))
			best = apic;
	}
	if (!best)
		return -1;
	/* Lost counts only make the turns a bit less fair. */
	WRITE_ONCE(best->arbitrated, best->arbitrated + 1);
	return accept(best, msg, src);
}

int umbra_lapic_deliver(struct umbra_vm *vm, const struct umbra_irq_msg *msg,
			struct umbra_lapic *src)
{
	bool wide = speaks_x2(vm, src);
	struct umbra_vcpu *vcpu;
	int i, ret = -1;

	if (msg->mode == UMBRA_DM_LOWEST)
		return deliver_lowest(vm, msg, src);
	if (!msg->logical && !means_all(msg->dest)) {
		vcpu = umbra_vcpu_by_id(vm, msg->dest);
		if (!vcpu || !match(vcpu->lapic, msg, wide))
			return -1;
		return accept(vcpu->lapic, msg, src);
	}
	umbra_for_each_vcpu(vm, i, vcpu) {
		if (match(vcpu->lapic, msg, wide)) {
			int r = accept(vcpu->lapic, msg, src);

			if (r >= 0)
				ret = max(ret, 0) + r;
		}
	}
	return ret;
}

int umbra_lapic_send(struct umbra_vcpu *vcpu, const struct umbra_irq_msg *msg,
		     struct umbra_vcpu *from)
{
	struct umbra_lapic *apic = vcpu->lapic;

	/* No IPI asks the PIC. */
	if (!lapic_hardware_enabled(apic) || msg->mode == UMBRA_DM_EXTINT)
		return -1;
	return accept(apic, msg, from->lapic);
}

static void deliver_shorthand(struct umbra_lapic *src, const struct umbra_irq_msg *msg,
			      bool others)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(src->vcpu->vm, i, vcpu) {
		struct umbra_lapic *apic = vcpu->lapic;

		if (apic && lapic_hardware_enabled(apic) && !(others && apic == src))
			accept(apic, msg, src);
	}
}

void lapic_send_ipi(struct umbra_lapic *apic, u32 icr, u32 dest)
{
	struct umbra_irq_msg msg = {
		.dest = dest,
		.mode = GET_APIC_DELIVERY_MODE(icr),
		.vector = icr & APIC_VECTOR_MASK,
		.logical = icr & APIC_DEST_LOGICAL,
	};

	umbra_trace(kvm_apic_ipi, icr, dest);
	if (msg.mode <= UMBRA_DM_LOWEST && msg.vector < FIRST_VECTOR) {
		lapic_note_error(apic, APIC_ESR_SENDILL, apic);
		return;
	}
	/* INIT level de-assert only synchronised the arbitration of old APICs. */
	if (msg.mode == UMBRA_DM_INIT && (icr & APIC_INT_LEVELTRIG) && !(icr & APIC_INT_ASSERT))
		return;
	/* No IPI asks the PIC. */
	if (msg.mode == UMBRA_DM_EXTINT)
		return;

	switch (icr & ICR_SHORTHAND) {
	case ICR_SELF:
		/* Other modes are not valid with it. */
		if (msg.mode == UMBRA_DM_FIXED)
			accept(apic, &msg, apic);
		break;
	case ICR_ALL:
		deliver_shorthand(apic, &msg, false);
		break;
	case ICR_OTHERS:
		deliver_shorthand(apic, &msg, true);
		break;
	default:
		umbra_lapic_deliver(apic->vcpu->vm, &msg, apic);
	}
}

void umbra_lapic_pic_raised(struct umbra_vm *vm)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		struct umbra_lapic *apic = vcpu->lapic;
		u32 lvt;

		if (!apic)
			continue;
		lvt = lapic_reg(apic, APIC_LVT0);
		if (lapic_hardware_enabled(apic) && GET_APIC_DELIVERY_MODE(lvt) != UMBRA_DM_EXTINT)
			lapic_raise_lvt(apic, APIC_LVT0, NULL);
		else if (!lapic_hardware_enabled(apic) || !(lvt & APIC_LVT_MASKED))
			notify(apic, NULL);
	}
}
