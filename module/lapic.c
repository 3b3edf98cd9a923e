// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC: registers by MMIO and MSR, acceptance of messages, priorities.
 * The timer is in lapic_timer.c, the locking rule at struct umbra_lapic.
 */
#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/kvm_para.h>

#include "backend.h"
#include "eventfd.h"
#include "irqchip.h"
#include "lapic.h"
#include "switches.h"
#include "trace.h"
#include "umbra.h"
#include "vcpu.h"

#define LAPIC_WINDOW		4096
#define LAPIC_NR_LVT		6
#define LAPIC_VERSION		(0x14 | (LAPIC_NR_LVT - 1) << 16)
#define LAPIC_X2_ALL		0xffffffffu
#define LAPIC_XAPIC_ALL		0xffu

#define BASE_BSP		BIT_ULL(8)
#define BASE_MODE		(XAPIC_ENABLE | X2APIC_ENABLE)

#define ICR_SHORTHAND		(3u << 18)
#define ICR_SELF		APIC_DEST_SELF
#define ICR_ALL			APIC_DEST_ALLINC
#define ICR_OTHERS		APIC_DEST_ALLBUT

/* Vectors below are exceptions' and can't be sent. */
#define FIRST_VECTOR		16

/* Registers by number, which is offset / 16. */
#define REG(offset)		BIT_ULL((offset) >> 4)
#define REGS8(offset)		(0xffull << ((offset) >> 4))

static const u64 readable_regs =
	REG(APIC_ID) | REG(APIC_LVR) | REG(APIC_TASKPRI) | REG(APIC_PROCPRI) | REG(APIC_LDR) |
	REG(APIC_SPIV) | REGS8(APIC_ISR) | REGS8(APIC_TMR) | REGS8(APIC_IRR) | REG(APIC_ESR) |
	REG(APIC_ICR) | REG(APIC_LVTT) | REG(APIC_LVTTHMR) | REG(APIC_LVTPC) | REG(APIC_LVT0) |
	REG(APIC_LVT1) | REG(APIC_LVTERR) | REG(APIC_TMICT) | REG(APIC_TMCCT) | REG(APIC_TDCR);
/* Only in xAPIC mode. */
static const u64 readable_xapic_regs =
	REG(APIC_ARBPRI) | REG(APIC_DFR) | REG(APIC_ICR2);
static const u64 writable_regs =
	REG(APIC_TASKPRI) | REG(APIC_EOI) | REG(APIC_SPIV) | REG(APIC_ESR) | REG(APIC_ICR) |
	REG(APIC_LVTT) | REG(APIC_LVTTHMR) | REG(APIC_LVTPC) | REG(APIC_LVT0) | REG(APIC_LVT1) |
	REG(APIC_LVTERR) | REG(APIC_TMICT) | REG(APIC_TDCR);
static const u64 writable_xapic_regs =
	REG(APIC_LDR) | REG(APIC_DFR) | REG(APIC_ICR2);

/* Is the guest's register in a set? *@reg is then an offset that speculation can't widen. */
static bool reg_in(unsigned int *reg, u64 set)
{
	if (*reg >= LAPIC_REGS_SIZE)
		return false;
	*reg = array_index_nospec(*reg, LAPIC_REGS_SIZE);
	return set & REG(*reg);
}

/* --- vectors ------------------------------------------------------------ */

static unsigned long *vector_word(struct umbra_lapic *apic, unsigned int bank, u8 vector)
{
	return (unsigned long *)(apic->regs + bank + (vector / 32) * 16);
}

static bool test_vector(struct umbra_lapic *apic, unsigned int bank, u8 vector)
{
	return test_bit(vector % 32, vector_word(apic, bank, vector));
}

/* The highest vector set in a bank, or -1. */
int lapic_highest_vector(const struct umbra_lapic *apic, unsigned int bank)
{
	int i;

	for (i = 7; i >= 0; i--) {
		u32 word = lapic_reg(apic, bank + i * 16);

		if (word)
			return i * 32 + __fls(word);
	}
	return -1;
}

static u32 count_vectors(const struct umbra_lapic *apic, unsigned int bank)
{
	u32 n = 0;
	int i;

	for (i = 0; i < 8; i++)
		n += hweight32(lapic_reg(apic, bank + i * 16));
	return n;
}

/* Priority class of what is in service. */
static u32 service_class(const struct umbra_lapic *apic)
{
	return apic->isr_top >= 0 ? apic->isr_top & 0xf0 : 0;
}

/* The processor priority follows TPR and the highest vector in service. */
static void update_ppr(struct umbra_lapic *apic)
{
	u32 tpr = lapic_reg(apic, APIC_TASKPRI);
	u32 service = service_class(apic);

	lapic_set_reg(apic, APIC_PROCPRI, (tpr & 0xf0) >= service ? tpr : service);
}

/* The owner has lowered a priority: something masked may be deliverable now. */
static void recheck_irr(struct umbra_lapic *apic)
{
	if (READ_ONCE(apic->irr_pending))
		umbra_request(apic->vcpu, UMBRA_REQ_EVENT);
}

void lapic_set_tpr(struct umbra_lapic *apic, u32 tpr)
{
	lapic_set_reg(apic, APIC_TASKPRI, tpr & 0xff);
	update_ppr(apic);
	recheck_irr(apic);
}

/* The vector to deliver now, or -1. Any thread. */
static int deliverable_vector(struct umbra_lapic *apic)
{
	int vector;

	if (!READ_ONCE(apic->irr_pending))
		return -1;
	vector = lapic_highest_vector(apic, APIC_IRR);
	if (vector < 0 || (vector & 0xf0) <= (lapic_reg(apic, APIC_PROCPRI) & 0xf0))
		return -1;
	return vector;
}

/* IRR was changed by the owner. A bit set meanwhile by others is never forgotten. */
static void refresh_irr_pending(struct umbra_lapic *apic)
{
	WRITE_ONCE(apic->irr_pending, false);
	smp_mb();	/* pairs with set_irr(): it writes true after ours, or we see its bit */
	if (lapic_highest_vector(apic, APIC_IRR) >= 0)
		WRITE_ONCE(apic->irr_pending, true);
}

static void clear_irr(struct umbra_lapic *apic, u8 vector)
{
	clear_bit(vector % 32, vector_word(apic, APIC_IRR, vector));
	refresh_irr_pending(apic);
}

/* true: it was not there yet */
static bool set_irr(struct umbra_lapic *apic, u8 vector)
{
	bool new = !test_and_set_bit(vector % 32, vector_word(apic, APIC_IRR, vector));

	WRITE_ONCE(apic->irr_pending, true);
	return new;
}

static void begin_service(struct umbra_lapic *apic, u8 vector)
{
	if (!__test_and_set_bit(vector % 32, vector_word(apic, APIC_ISR, vector)))
		apic->isr_count++;
	apic->isr_top = vector;
	update_ppr(apic);
	if (apic->vcpu->msrs.pv_eoi & KVM_MSR_ENABLED)
		apic->vcpu->shares |= UMBRA_SHARES_EOI;
}

/* Does the end of the one interrupt in service change nothing but ISR and PPR? */
bool lapic_ends_quietly(struct umbra_lapic *apic)
{
	return apic->isr_count == 1 && !READ_ONCE(apic->irr_pending) &&
	       !test_vector(apic, APIC_TMR, apic->isr_top) && !umbra_any_resampler(apic->vcpu->vm);
}

void lapic_write_eoi(struct umbra_lapic *apic)
{
	int vector = apic->isr_top;

	if (vector < 0)
		return;
	__clear_bit(vector % 32, vector_word(apic, APIC_ISR, vector));
	apic->isr_top = --apic->isr_count ? lapic_highest_vector(apic, APIC_ISR) : -1;
	update_ppr(apic);
	umbra_trace(kvm_eoi, apic->vcpu->id, vector);
	if (unlikely(test_vector(apic, APIC_TMR, vector)) || umbra_any_resampler(apic->vcpu->vm))
		umbra_vector_ended(apic->vcpu, vector);
	recheck_irr(apic);
}

/* --- acceptance --------------------------------------------------------- */

static bool software_enabled(const struct umbra_lapic *apic)
{
	return lapic_reg(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED;
}

static bool hardware_enabled(const struct umbra_lapic *apic)
{
	return READ_ONCE(apic->base) & XAPIC_ENABLE;
}

/* What was changed must be seen by the vCPU; @src is the LAPIC of this thread, or NULL. */
static void notify(struct umbra_lapic *apic, const struct umbra_lapic *src)
{
	umbra_request(apic->vcpu, UMBRA_REQ_EVENT);
	if (src != apic)
		umbra_vcpu_kick(apic->vcpu);
}

static void note_error(struct umbra_lapic *apic, u32 bit, const struct umbra_lapic *src)
{
	if (!(atomic_fetch_or(bit, &apic->errors) & bit))
		lapic_raise_lvt(apic, APIC_LVTERR, src);
}

static int accept_vector(struct umbra_lapic *apic, u8 vector, bool level,
			 const struct umbra_lapic *src)
{
	if (!software_enabled(apic))
		return -1;
	if (vector < FIRST_VECTOR) {
		note_error(apic, APIC_ESR_RECVILL, src);
		return -1;
	}
	/* TMR first: who sees the bit in IRR may end the interrupt. */
	if (unlikely(level != test_vector(apic, APIC_TMR, vector))) {
		if (level)
			set_bit(vector % 32, vector_word(apic, APIC_TMR, vector));
		else
			clear_bit(vector % 32, vector_word(apic, APIC_TMR, vector));
	}
	if (!set_irr(apic, vector))
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

	if (!hardware_enabled(apic) || (lvt & APIC_LVT_MASKED))
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

static u32 apic_id(const struct umbra_lapic *apic)
{
	return apic->vcpu->id;
}

static u32 x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

static bool match_physical(const struct umbra_lapic *apic, u32 dest)
{
	/* An xAPIC has 8 bits of ID; vCPUs beyond them are reached in x2APIC mode only. */
	return apic_id(apic) == dest && (lapic_x2(apic) || dest < LAPIC_XAPIC_ALL);
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

static bool match(const struct umbra_lapic *apic, const struct umbra_irq_msg *msg, bool wide)
{
	if (!apic || !hardware_enabled(apic))
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
	struct umbra_lapic *best = NULL;
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		struct umbra_lapic *apic = vcpu->lapic;

		if (match(apic, msg, src && lapic_x2(src)) && software_enabled(apic) &&
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
	bool wide = src && lapic_x2(src);
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
	if (!hardware_enabled(apic) || msg->mode == UMBRA_DM_EXTINT)
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

		if (apic && hardware_enabled(apic) && !(others && apic == src))
			accept(apic, msg, src);
	}
}

static void send_ipi(struct umbra_lapic *apic, u32 icr, u32 dest)
{
	struct umbra_irq_msg msg = {
		.dest = dest,
		.mode = GET_APIC_DELIVERY_MODE(icr),
		.vector = icr & APIC_VECTOR_MASK,
		.logical = icr & APIC_DEST_LOGICAL,
	};

	umbra_trace(kvm_apic_ipi, icr, dest);
	if (msg.mode <= UMBRA_DM_LOWEST && msg.vector < FIRST_VECTOR) {
		note_error(apic, APIC_ESR_SENDILL, apic);
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
		if (hardware_enabled(apic) && GET_APIC_DELIVERY_MODE(lvt) != UMBRA_DM_EXTINT)
			lapic_raise_lvt(apic, APIC_LVT0, NULL);
		else if (!hardware_enabled(apic) || !(lvt & APIC_LVT_MASKED))
			notify(apic, NULL);
	}
}

/* --- registers ---------------------------------------------------------- */

static u32 lvt_mask(unsigned int reg, struct umbra_vcpu *vcpu)
{
	switch (reg) {
	case APIC_LVTT:
		return LVT_VECTOR | APIC_LVT_MASKED | APIC_LVT_TIMER_PERIODIC |
		       (vcpu->cpuid.tsc_deadline ? APIC_LVT_TIMER_TSCDEADLINE : 0);
	case APIC_LVT0:
	case APIC_LVT1:
		return LVT_VECTOR | APIC_MODE_MASK | APIC_INPUT_POLARITY |
		       APIC_LVT_LEVEL_TRIGGER | APIC_LVT_MASKED;
	case APIC_LVTERR:
		return LVT_VECTOR | APIC_LVT_MASKED;
	default:
		return LVT_VECTOR | APIC_MODE_MASK | APIC_LVT_MASKED;
	}
}

static const u16 lvt_regs[LAPIC_NR_LVT] = {
	APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR,
};

static void write_lvt(struct umbra_lapic *apic, unsigned int reg, u32 val)
{
	val &= lvt_mask(reg, apic->vcpu);
	if (!software_enabled(apic))
		val |= APIC_LVT_MASKED;
	if (reg == APIC_LVTT)
		lapic_timer_write_lvtt(apic, val);
	else
		lapic_set_reg(apic, reg, val);
	/* The PIC may have waited for LINT0 to open. */
	if (reg == APIC_LVT0)
		umbra_request(apic->vcpu, UMBRA_REQ_EVENT);
}

static void write_svr(struct umbra_lapic *apic, u32 val)
{
	unsigned int i;

	lapic_set_reg(apic, APIC_SPIV,
		      val & (APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED | APIC_SPIV_FOCUS_DISABLED));
	if (software_enabled(apic))
		return;
	for (i = 0; i < LAPIC_NR_LVT; i++)
		lapic_set_reg(apic, lvt_regs[i], lapic_reg(apic, lvt_regs[i]) | APIC_LVT_MASKED);
}

static void write_icr(struct umbra_lapic *apic, u32 low, u32 high)
{
	low &= ~APIC_ICR_BUSY;
	lapic_set_reg(apic, APIC_ICR2, high);
	lapic_set_reg(apic, APIC_ICR, low);
	send_ipi(apic, low, lapic_x2(apic) ? high : high >> 24);
}

/* Write a register that the mode of the LAPIC knows as writable. */
static void write_reg(struct umbra_lapic *apic, unsigned int reg, u32 val)
{
	switch (reg) {
	case APIC_EOI:
		lapic_write_eoi(apic);
		break;
	case APIC_TASKPRI:
		lapic_note_tpr_access(apic, true);
		lapic_set_tpr(apic, val);
		break;
	case APIC_LDR:
		lapic_set_reg(apic, APIC_LDR, val & APIC_LDR_MASK);
		break;
	case APIC_DFR:
		lapic_set_reg(apic, APIC_DFR, val | 0x0fffffff);
		break;
	case APIC_SPIV:
		write_svr(apic, val);
		break;
	case APIC_ESR:
		/* Any write makes the register show what has gathered since the last. */
		lapic_set_reg(apic, APIC_ESR, atomic_xchg(&apic->errors, 0));
		break;
	case APIC_ICR:
		write_icr(apic, val, lapic_reg(apic, APIC_ICR2));
		break;
	case APIC_ICR2:
		lapic_set_reg(apic, APIC_ICR2, val & 0xff000000);
		break;
	case APIC_TMICT:
		lapic_timer_write_tmict(apic, val);
		break;
	case APIC_TDCR:
		lapic_timer_write_tdcr(apic, val);
		break;
	default:
		write_lvt(apic, reg, val);
	}
}

static u32 read_reg(struct umbra_lapic *apic, unsigned int reg)
{
	switch (reg) {
	case APIC_TASKPRI:
		lapic_note_tpr_access(apic, false);
		break;
	case APIC_TMCCT:
		return lapic_timer_current(apic);
	case APIC_ARBPRI:
		return lapic_reg(apic, APIC_PROCPRI);
	case APIC_ID:
		return lapic_x2(apic) ? apic_id(apic) : apic_id(apic) << 24;
	}
	return lapic_reg(apic, reg);
}

/* --- MMIO --------------------------------------------------------------- */

static bool in_window(const struct umbra_lapic *apic, gpa_t gpa)
{
	return apic && gpa - (apic->base & PAGE_MASK) < LAPIC_WINDOW;
}

/* Neither disabled nor in x2APIC mode does it answer. */
static bool answers_mmio(const struct umbra_lapic *apic)
{
	return (apic->base & BASE_MODE) == XAPIC_ENABLE;
}

/* The bus then floats, as on KVM; without that quirk somebody else may answer. */
static int unanswered(const struct umbra_lapic *apic)
{
	return umbra_has_quirk(apic->vcpu->vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE) ? 0 : -EOPNOTSUPP;
}

int umbra_lapic_mmio_read(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data)
{
	struct umbra_lapic *apic = vcpu->lapic;
	unsigned int offset = gpa & (LAPIC_WINDOW - 1), reg = offset & ~0xf;
	u32 val;

	if (!in_window(apic, gpa))
		return -EOPNOTSUPP;
	if (!answers_mmio(apic)) {
		memset(data, 0xff, len);
		return unanswered(apic);
	}
	memset(data, 0, len);
	/* A register is the first 4 bytes of each 16. */
	if ((offset & 0xf) + len > 4)
		return 0;
	if (!reg_in(&reg, readable_regs | readable_xapic_regs)) {
		note_error(apic, APIC_ESR_ILLREGA, apic);
		return 0;
	}
	val = read_reg(apic, reg);
	umbra_trace(kvm_apic, false, reg, val);
	memcpy(data, (u8 *)&val + (offset & 3), len);
	return 0;
}

int umbra_lapic_mmio_write(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data)
{
	struct umbra_lapic *apic = vcpu->lapic;
	unsigned int offset = gpa & (LAPIC_WINDOW - 1);
	u32 val;

	if (!in_window(apic, gpa))
		return -EOPNOTSUPP;
	if (!answers_mmio(apic))
		return unanswered(apic);
	/* The manual leaves other accesses undefined: they do nothing. */
	if (len != sizeof(val) || (offset & 0xf))
		return 0;
	memcpy(&val, data, sizeof(val));
	if (likely(reg_in(&offset, writable_regs | writable_xapic_regs))) {
		umbra_trace(kvm_apic, true, offset, val);
		write_reg(apic, offset, val);
	} else if (!reg_in(&offset, readable_regs | readable_xapic_regs)) {
		note_error(apic, APIC_ESR_ILLREGA, apic);
	}
	return 0;
}

/* --- x2APIC MSRs -------------------------------------------------------- */

int umbra_x2apic_read(struct umbra_vcpu *vcpu, u32 msr, u64 *value)
{
	struct umbra_lapic *apic = vcpu->lapic;
	unsigned int reg = (msr - APIC_BASE_MSR) << 4;

	if (!apic || !lapic_x2(apic) || !reg_in(&reg, readable_regs))
		return 1;
	*value = read_reg(apic, reg);
	if (reg == APIC_ICR)
		*value |= (u64)lapic_reg(apic, APIC_ICR2) << 32;
	umbra_trace(kvm_apic, false, reg, *value);
	return 0;
}

/* Bits that WRMSR refuses with #GP in @reg. */
static u64 x2apic_reserved(struct umbra_vcpu *vcpu, unsigned int reg)
{
	switch (reg) {
	case APIC_EOI:
	case APIC_ESR:
		return ~0ull;
	case APIC_TASKPRI:
	case APIC_SELF_IPI:
		return ~0xffull;
	case APIC_SPIV:
		return ~(u64)(APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED |
			      APIC_SPIV_FOCUS_DISABLED);
	case APIC_TDCR:
		return ~0xbull;
	case APIC_TMICT:
		return ~0xffffffffull;
	case APIC_ICR:
		/* KVM's users find reserved bits ignored here. */
		return 0;
	}
	/* LVTs: their read-only status bits may be written back. */
	return ~(u64)(lvt_mask(reg, vcpu) | APIC_SEND_PENDING | APIC_LVT_REMOTE_IRR);
}

int umbra_x2apic_write(struct umbra_vcpu *vcpu, u32 msr, u64 value)
{
	struct umbra_lapic *apic = vcpu->lapic;
	unsigned int reg = (msr - APIC_BASE_MSR) << 4;

	if (!apic || !lapic_x2(apic) ||
	    !reg_in(&reg, writable_regs | REG(APIC_SELF_IPI)) ||
	    (value & x2apic_reserved(vcpu, reg)))
		return 1;
	umbra_trace(kvm_apic, true, reg, value);
	if (reg == APIC_ICR)
		write_icr(apic, value, value >> 32);
	else if (reg == APIC_SELF_IPI)
		send_ipi(apic, ICR_SELF | (u32)value, 0);
	else
		write_reg(apic, reg, value);
	return 0;
}

/* --- the base MSR, creation, reset -------------------------------------- */

static void set_base(struct umbra_vcpu *vcpu, u64 base)
{
	vcpu->apic_base = base;
	if (vcpu->lapic)
		WRITE_ONCE(vcpu->lapic->base, base);
}

/* All registers as after power-up, but the base MSR. */
static void reset_regs(struct umbra_lapic *apic)
{
	unsigned int i;

	lapic_timer_reset(apic);
	memset(apic->regs, 0, sizeof(apic->regs));
	apic->isr_top = -1;
	apic->isr_count = 0;
	refresh_irr_pending(apic);
	WRITE_ONCE(apic->extint, false);
	atomic_set(&apic->errors, 0);
	lapic_set_reg(apic, APIC_LVR, LAPIC_VERSION);
	lapic_set_reg(apic, APIC_DFR, APIC_DFR_FLAT);
	lapic_set_reg(apic, APIC_SPIV, 0xff);
	for (i = 0; i < LAPIC_NR_LVT; i++)
		lapic_set_reg(apic, lvt_regs[i], APIC_LVT_MASKED);
	/* As KVM: a PC's firmware finds the PIC connected. */
	if (lapic_is_boot_cpu(apic->vcpu) &&
	    umbra_has_quirk(apic->vcpu->vm, KVM_X86_QUIRK_LINT0_REENABLED))
		lapic_set_reg(apic, APIC_LVT0, UMBRA_DM_EXTINT << 8);
	if (lapic_x2(apic))
		lapic_set_reg(apic, APIC_LDR, x2apic_ldr(apic_id(apic)));
}

int umbra_lapic_create(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);

	if (!apic)
		return -ENOMEM;
	apic->vcpu = vcpu;
	lapic_timer_init(apic);
	vcpu->lapic = apic;
	return 0;
}

void umbra_lapic_destroy(struct umbra_vcpu *vcpu)
{
	if (!vcpu->lapic)
		return;
	hrtimer_cancel(&vcpu->lapic->timer.hrtimer);
	kfree(vcpu->lapic);
	vcpu->lapic = NULL;
}

void umbra_lapic_reset(struct umbra_vcpu *vcpu, bool init)
{
	if (!init) {
		set_base(vcpu, APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE |
			       (lapic_is_boot_cpu(vcpu) ? BASE_BSP : 0));
		if (vcpu->lapic)
			vcpu->lapic->latched = 0;
	}
	if (vcpu->lapic) {
		reset_regs(vcpu->lapic);
		umbra_lapic_set_vapic(vcpu, 0);
	}
}

u64 umbra_apic_base(struct umbra_vcpu *vcpu)
{
	return vcpu->apic_base;
}

/* Between the modes a guest may go off, on, x2APIC and off again, each a step. */
static bool legal_transition(u64 old, u64 new)
{
	old &= BASE_MODE;
	new &= BASE_MODE;
	if (old == BASE_MODE)
		return new != XAPIC_ENABLE;
	return new != BASE_MODE || old == XAPIC_ENABLE;
}

int umbra_set_apic_base(struct umbra_vcpu *vcpu, u64 value, bool host)
{
	u64 old = vcpu->apic_base;
	u64 allowed = BASE_BSP | BASE_MODE |
		      GENMASK_ULL(max_t(u8, umbra_maxphyaddr(vcpu), 32) - 1, PAGE_SHIFT);

	if (!host && !vcpu->cpuid.x2apic && !(old & X2APIC_ENABLE))
		allowed &= ~X2APIC_ENABLE;
	if ((value & ~allowed) || (value & BASE_MODE) == X2APIC_ENABLE)
		return 1;
	if (!host && !legal_transition(old, value))
		return 1;

	set_base(vcpu, value);
	if (!((old ^ value) & BASE_MODE))
		return 0;
	umbra_cpuid_update(vcpu);
	if (!vcpu->lapic)
		return 0;
	/* Switched off it loses everything; x2APIC derives LDR from the ID. */
	if (!host && !(value & XAPIC_ENABLE))
		reset_regs(vcpu->lapic);
	else if (value & X2APIC_ENABLE)
		lapic_set_reg(vcpu->lapic, APIC_LDR, x2apic_ldr(apic_id(vcpu->lapic)));
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}

/* --- the vCPU's side ---------------------------------------------------- */

/* With the latched message, if one has come. */
static bool hears_pic(const struct umbra_lapic *apic)
{
	u32 lvt;

	/* Without a LAPIC the INTR pin is wired straight through. */
	if (!hardware_enabled(apic))
		return lapic_is_boot_cpu(apic->vcpu);
	lvt = lapic_reg(apic, APIC_LVT0);
	return READ_ONCE(apic->extint) ||
	       (!(lvt & APIC_LVT_MASKED) && GET_APIC_DELIVERY_MODE(lvt) == UMBRA_DM_EXTINT);
}

bool umbra_lapic_hears_pic(struct umbra_vcpu *vcpu)
{
	return hears_pic(vcpu->lapic);
}

/* The PIC asks, or userspace in its place. */
static bool pic_asks(const struct umbra_vcpu *vcpu)
{
	return unlikely(READ_ONCE(vcpu->vm->irqchip->pic.output) ||
			READ_ONCE(vcpu->events.ext_irq) >= 0);
}

/* And this CPU is where it is heard. */
static bool pic_pending(const struct umbra_lapic *apic)
{
	return pic_asks(apic->vcpu) && hears_pic(apic);
}

/* INTA: as umbra_pic_ack() */
static int ack_pic(struct umbra_vcpu *vcpu)
{
	int vector = vcpu->events.ext_irq;

	if (!vcpu->vm->irqchip->split)
		return umbra_pic_ack(vcpu->vm->irqchip);
	WRITE_ONCE(vcpu->events.ext_irq, -1);
	return vector;
}

bool umbra_irq_quiet(struct umbra_vcpu *vcpu)
{
	const struct umbra_lapic *apic = vcpu->lapic;

	return apic && !READ_ONCE(apic->irr_pending) && !pic_asks(vcpu);
}

int umbra_pending_irq(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;

	if (!apic)
		return -1;
	if (pic_pending(apic))
		return 0;
	return deliverable_vector(apic);
}

int umbra_ack_irq(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	int vector;

	if (!apic)
		return -1;
	if (pic_pending(apic)) {
		vector = ack_pic(vcpu);
		WRITE_ONCE(apic->extint, false);
		umbra_request(vcpu, UMBRA_REQ_EVENT);
		if (vector >= 0)
			return vector;
	}
	vector = deliverable_vector(apic);
	if (vector < 0)
		return -1;
	clear_irr(apic, vector);
	begin_service(apic, vector);
	return vector;
}

bool umbra_irq_held_by_tpr(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	int vector;

	if (!apic || !READ_ONCE(apic->irr_pending))
		return false;
	vector = lapic_highest_vector(apic, APIC_IRR);
	return vector >= 0 && (vector & 0xf0) > service_class(apic) &&
	       (vector & 0xf0) <= (lapic_reg(apic, APIC_TASKPRI) & 0xf0);
}

void umbra_lapic_set_tpr(struct umbra_vcpu *vcpu, u64 cr8)
{
	u32 tpr = (cr8 & 0xf) << 4;

	if (vcpu->lapic && lapic_reg(vcpu->lapic, APIC_TASKPRI) >> 4 != (cr8 & 0xf))
		lapic_set_tpr(vcpu->lapic, tpr);
}

u64 umbra_lapic_tpr(struct umbra_vcpu *vcpu)
{
	return lapic_reg(vcpu->lapic, APIC_TASKPRI) >> 4;
}

/* --- saved state -------------------------------------------------------- */

int umbra_lapic_get(struct umbra_vcpu *vcpu, struct kvm_lapic_state *state)
{
	struct umbra_lapic *apic = vcpu->lapic;
	u32 val;

	if (!apic)
		return -EINVAL;
	umbra_lapic_timer_expired(vcpu);
	memcpy(state->regs, apic->regs, sizeof(state->regs));
	/* KVM's format without KVM_CAP_X2APIC_API: the ID is in the top byte in both modes. */
	val = apic_id(apic) << 24;
	memcpy(state->regs + APIC_ID, &val, sizeof(val));
	val = lapic_timer_current(apic);
	memcpy(state->regs + APIC_TMCCT, &val, sizeof(val));
	return 0;
}

/*
 * Make a page that userspace wrote one that a guest could have made; but for vectors
 * below 16 in IRR and ISR, which KVM keeps too: their class is no higher than any
 * priority, so that none is ever delivered, or holds another up.
 */
static void sanitize_regs(struct umbra_lapic *apic)
{
	unsigned int i;

	lapic_set_reg(apic, APIC_LVR, LAPIC_VERSION);
	lapic_set_reg(apic, APIC_TASKPRI, lapic_reg(apic, APIC_TASKPRI) & 0xff);
	lapic_set_reg(apic, APIC_DFR, lapic_reg(apic, APIC_DFR) | 0x0fffffff);
	lapic_set_reg(apic, APIC_LDR, lapic_x2(apic) ? x2apic_ldr(apic_id(apic)) :
				      lapic_reg(apic, APIC_LDR) & APIC_LDR_MASK);
	lapic_set_reg(apic, APIC_ESR, lapic_reg(apic, APIC_ESR) & 0xef);
	lapic_set_reg(apic, APIC_ICR, lapic_reg(apic, APIC_ICR) & ~APIC_ICR_BUSY);
	lapic_set_reg(apic, APIC_TDCR, lapic_reg(apic, APIC_TDCR) & 0xb);
	for (i = 0; i < LAPIC_NR_LVT; i++)
		lapic_set_reg(apic, lvt_regs[i],
			      lapic_reg(apic, lvt_regs[i]) & lvt_mask(lvt_regs[i], apic->vcpu));
	write_svr(apic, lapic_reg(apic, APIC_SPIV));
}

int umbra_lapic_set(struct umbra_vcpu *vcpu, const struct kvm_lapic_state *state)
{
	struct umbra_lapic *apic = vcpu->lapic;
	u64 deadline;
	u32 id;

	if (!apic)
		return -EINVAL;
	/* IDs are the vCPUs' and don't change. */
	memcpy(&id, state->regs + APIC_ID, sizeof(id));
	if (id != apic_id(apic) << 24)
		return -EINVAL;

	deadline = umbra_tsc_deadline(vcpu);
	lapic_timer_reset(apic);
	memcpy(apic->regs, state->regs, sizeof(apic->regs));
	sanitize_regs(apic);
	atomic_set(&apic->errors, 0);
	apic->isr_top = lapic_highest_vector(apic, APIC_ISR);
	apic->isr_count = count_vectors(apic, APIC_ISR);
	refresh_irr_pending(apic);
	WRITE_ONCE(apic->extint, false);
	update_ppr(apic);
	lapic_timer_restore(apic, lapic_reg(apic, APIC_TMCCT), deadline);
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}
