/* SPDX-License-Identifier: GPL-2.0-only */
/* A LAPIC's insides, for the files named after it. */
#ifndef UMBRA_LAPIC_H
#define UMBRA_LAPIC_H

#include <asm/apicdef.h>
#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/compiler.h>
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/types.h>

#include "backend.h"
#include "umbra.h"

#define LAPIC_REGS_SIZE		sizeof(struct kvm_lapic_state)

#define LVT_TIMER_MODE		(3u << 17)
#define LVT_VECTOR		0xffu

/* Bits of @latched. */
enum { LAPIC_LATCHED_INIT, LAPIC_LATCHED_SIPI };

/**
 * struct lapic_timer - the LAPIC's timer
 * @hrtimer: runs on the CPU where the vCPU last armed it
 * @expired: the callback was there; the owner raises the interrupt
 * @deadline: MSR_IA32_TSC_DEADLINE; 0 when disarmed
 * @period: ns between expiries in periodic mode, else 0; the callback reads it
 * @mode, @initial, @divide: what LVTT, TMICT and TDCR say; of a register that the guest
 *	has just written by itself, what it said before
 * @cpu: where @hrtimer was started
 * @armed: @hrtimer was started for the current programming
 * @in_guest: the backend's timer was, which stands still outside the guest: at a halt
 *	@hrtimer takes over
 */
struct lapic_timer {
	struct hrtimer hrtimer;
	int expired;
	u64 deadline;
	u64 period;
	u32 mode, initial, divide;
	int cpu;
	bool armed, in_guest;
};

/**
 * struct umbra_lapic - a local APIC
 * @vcpu: whose
 * @base: MSR_IA32_APICBASE; written by the owner, others look at its mode bits
 * @irr_pending: false only if no bit of IRR is set; with @virt: if the CPU knows of all
 *	that software has done to the registers
 * @isr_top: highest vector in service, or -1; not with @virt
 * @isr_count: bits set in ISR; not with @virt
 * @extint: an ExtINT message has come for which INTA is to be done
 * @latched: LAPIC_LATCHED_*: INIT and SIPI that wait for the owner
 * @sipi_vector: the last SIPI's, valid with its bit in @latched
 * @errors: ESR bits since the guest last wrote ESR
 * @arbitrated: lowest-priority messages won; for turns among equals
 * @vapic: where in guest memory the word is that stands for TPR, or 0; vapic.c
 * @eoi_offered: guest memory says that an EOI need not be written
 * @reports_tpr: accesses to TPR are KVM_EXIT_TPR_ACCESS
 * @tpr_rip, @tpr_write: the last of them, for UMBRA_REQ_TPR_ACCESS
 * @timer: the timer
 * @regs: the register page as the ABI has it, which the CPU may work on too
 * @posted: requests on their way to IRR, where the CPU may be at work on that one
 * @how: which registers the CPU reads and writes for the guest: lapic_virt.c
 * @virt: an x2APIC's, and it delivers
 *
 * There is no lock. IRR (on a machine whose CPU works on it: @posted), TMR, @latched
 * and @errors are changed by any thread with atomic bit operations; every other
 * register only by the owner, and others read it with READ_ONCE: a message that races
 * with the write of a register may meet the old value or the new one, as on the bus.
 */
struct umbra_lapic {
	struct umbra_vcpu *vcpu;
	u64 base;
	bool irr_pending;
	bool extint;
	s16 isr_top;
	u16 isr_count;
	unsigned long latched;
	u8 sipi_vector;
	atomic_t errors;
	u32 arbitrated;
	gpa_t vapic;
	bool eoi_offered;
	bool reports_tpr;
	bool tpr_write;
	u64 tpr_rip;
	struct lapic_timer timer;
	u8 *regs;
	DECLARE_BITMAP(posted, 256);
	enum umbra_apic_virt how;
	bool virt;
};

static inline u32 lapic_reg(const struct umbra_lapic *apic, unsigned int reg)
{
	return READ_ONCE(*(const u32 *)(apic->regs + reg));
}

static inline void lapic_set_reg(struct umbra_lapic *apic, unsigned int reg, u32 val)
{
	WRITE_ONCE(*(u32 *)(apic->regs + reg), val);
}

static inline bool lapic_x2(const struct umbra_lapic *apic)
{
	return READ_ONCE(apic->base) & X2APIC_ENABLE;
}

static inline bool lapic_is_boot_cpu(const struct umbra_vcpu *vcpu)
{
	return vcpu->id == (int)vcpu->vm->boot_vcpu_id;
}

static inline u32 lapic_id(const struct umbra_lapic *apic)
{
	return apic->vcpu->id;
}

static inline u32 lapic_x2_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 0xf);
}

static inline bool lapic_software_enabled(const struct umbra_lapic *apic)
{
	return lapic_reg(apic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED;
}

static inline bool lapic_hardware_enabled(const struct umbra_lapic *apic)
{
	return READ_ONCE(apic->base) & XAPIC_ENABLE;
}

/* An xAPIC, enabled, where all of them are after power-up. */
static inline bool lapic_at_default(const struct umbra_lapic *apic)
{
	return (READ_ONCE(apic->base) & (PAGE_MASK | XAPIC_ENABLE | X2APIC_ENABLE)) ==
	       (APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE);
}

static inline unsigned long *lapic_vector_word(struct umbra_lapic *apic, unsigned int bank,
					       u8 vector)
{
	return (unsigned long *)(apic->regs + bank + (vector / 32) * 16);
}

static inline bool lapic_test_vector(struct umbra_lapic *apic, unsigned int bank, u8 vector)
{
	return test_bit(vector % 32, lapic_vector_word(apic, bank, vector));
}

/* The highest vector set in a bank, APIC_IRR for example, or -1. */
int lapic_highest_vector(const struct umbra_lapic *apic, unsigned int bank);
/* Owner. */
void lapic_set_tpr(struct umbra_lapic *apic, u32 tpr);

void lapic_write_eoi(struct umbra_lapic *apic);
/* An interrupt's service has ended: whoever waits for that. */
void lapic_ended(struct umbra_lapic *apic, u8 vector);
bool lapic_ends_quietly(struct umbra_lapic *apic);

static inline void lapic_set_identity(struct umbra_lapic *apic)
{
	u32 id = lapic_id(apic);

	lapic_set_reg(apic, APIC_ID, lapic_x2(apic) ? id : id << 24);
	/* An x2APIC derives it from the ID. */
	if (lapic_x2(apic))
		lapic_set_reg(apic, APIC_LDR, lapic_x2_ldr(id));
}

/* The guest has written an xAPIC's register into the page by itself. Owner. */
void lapic_written(struct umbra_lapic *apic, unsigned int reg);
/* Its registers, or who works on them, have changed: what hangs on them. Owner. */
void lapic_regs_changed(struct umbra_lapic *apic);

/* Registers that an x2APIC has and that are what the page says, a bit for each 16 bytes of it. */
extern const u64 lapic_plain_regs;

/* lapic_virt.c. Owner. */
void lapic_move_posted(struct umbra_lapic *apic);

/* Move what was posted to IRR, where the CPU works on that. */
static inline void lapic_take_posted(struct umbra_lapic *apic)
{
	if (unlikely(umbra_caps.apicv))
		lapic_move_posted(apic);
}

void lapic_virt_changed(struct umbra_lapic *apic);

/* A vector is requested. true: it was not yet. Any thread. */
bool lapic_set_irr(struct umbra_lapic *apic, u8 vector);

/* lapic_message.c; @src is @apic in its owner, else the LAPIC of this thread, or NULL. */
void lapic_note_error(struct umbra_lapic *apic, u32 bit, const struct umbra_lapic *src);
void lapic_send_ipi(struct umbra_lapic *apic, u32 icr, u32 dest);

/* vapic.c: the guest has read or written TPR. Owner. */
void lapic_note_tpr_access(struct umbra_lapic *apic, bool write);

/* Raise what an LVT entry says, unless it is masked; @src is @apic in its owner. true: raised. */
bool lapic_raise_lvt(struct umbra_lapic *apic, unsigned int reg, const struct umbra_lapic *src);

/* lapic_timer.c; all but the hrtimer's callback run in the owner. */
void lapic_timer_init(struct umbra_lapic *apic);
/* The page is another. */
void lapic_timer_take_regs(struct umbra_lapic *apic);
/* Stop; an expiry that was not raised yet is raised when @flush, else forgotten. */
void lapic_timer_stop(struct umbra_lapic *apic, bool flush);
/* Forget programming and expiry: reset, or before new state comes. */
void lapic_timer_reset(struct umbra_lapic *apic);
void lapic_timer_write_lvtt(struct umbra_lapic *apic, u32 val);
void lapic_timer_write_tmict(struct umbra_lapic *apic, u32 val);
void lapic_timer_write_tdcr(struct umbra_lapic *apic, u32 val);
u32 lapic_timer_current(struct umbra_lapic *apic);
/*
 * For KVM_GET_LAPIC: the current count, 0 only where the timer does not run: what has run
 * out is an interrupt by then. A deadline is MSR_IA32_TSC_DEADLINE's to tell.
 */
u32 lapic_timer_save(struct umbra_lapic *apic);
/* After KVM_SET_LAPIC: run on from a current count of @count, or up to @deadline. */
void lapic_timer_restore(struct umbra_lapic *apic, u32 count, u64 deadline);

#endif
