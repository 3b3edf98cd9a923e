// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC: registers by MMIO and MSR, priorities, what is in service.
 * The timer is in lapic_timer.c, messages are in lapic_message.c, what the CPU does
 * by itself in lapic_virt.c; the locking rule stands at struct umbra_lapic.
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
#define BASE_BSP		BIT_ULL(8)
#define BASE_MODE		(XAPIC_ENABLE | X2APIC_ENABLE)

#define SPIV_BITS	(APIC_VECTOR_MASK | APIC_SPIV_APIC_ENABLED | APIC_SPIV_FOCUS_DISABLED)

/* Registers by number, which is offset / 16. */
#define REG(offset)		BIT_ULL((offset) >> 4)
#define REGS8(offset)		(0xffull << ((offset) >> 4))

const u64 lapic_plain_regs =
	REG(APIC_ID) | REG(APIC_LVR) | REG(APIC_TASKPRI) | REG(APIC_PROCPRI) | REG(APIC_LDR) |
	REG(APIC_SPIV) | REGS8(APIC_ISR) | REGS8(APIC_TMR) | REGS8(APIC_IRR) | REG(APIC_ESR) |
	REG(APIC_LVTT) | REG(APIC_LVTTHMR) | REG(APIC_LVTPC) | REG(APIC_LVT0) | REG(APIC_LVT1) |
	REG(APIC_LVTERR) | REG(APIC_TMICT) | REG(APIC_TDCR);
/* The timer's count, and an x2APIC's ICR, whose halves lie apart, are not. */
static const u64 other_readable_regs = REG(APIC_ICR) | REG(APIC_TMCCT);
/* Only in xAPIC mode. */
static const u64 readable_xapic_regs =
	REG(APIC_ARBPRI) | REG(APIC_DFR) | REG(APIC_ICR2);
static const u64 writable_regs =
	REG(APIC_TASKPRI) | REG(APIC_EOI) | REG(APIC_SPIV) | REG(APIC_ESR) | REG(APIC_ICR) |
	REG(APIC_LVTT) | REG(APIC_LVTTHMR) | REG(APIC_LVTPC) | REG(APIC_LVT0) | REG(APIC_LVT1) |
	REG(APIC_LVTERR) | REG(APIC_TMICT) | REG(APIC_TDCR);
static const u64 writable_xapic_regs =
	REG(APIC_LDR) | REG(APIC_DFR) | REG(APIC_ICR2);

static u64 readable_regs(void)
{
	return lapic_plain_regs | other_readable_regs;
}

/* Is the guest's register in a set? *@reg is then an offset that speculation can't widen. */
static bool reg_in(unsigned int *reg, u64 set)
{
	if (*reg >= LAPIC_REGS_SIZE)
		return false;
	*reg = array_index_nospec(*reg, LAPIC_REGS_SIZE);
	return set & REG(*reg);
}

/* --- vectors ------------------------------------------------------------ */

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

/* The highest vector in service, or -1. */
static int in_service(const struct umbra_lapic *apic)
{
	return unlikely(apic->virt) ? lapic_highest_vector(apic, APIC_ISR) : apic->isr_top;
}

/* Its priority class. */
static u32 service_class(const struct umbra_lapic *apic)
{
	int vector = in_service(apic);

	return vector >= 0 ? vector & 0xf0 : 0;
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

void umbra_lapic_tpr_moved(struct umbra_vcpu *vcpu)
{
	update_ppr(vcpu->lapic);
	recheck_irr(vcpu->lapic);
}

/* The vector to deliver now, or -1. */
static int deliverable_vector(struct umbra_lapic *apic)
{
	int vector;

	if (!READ_ONCE(apic->irr_pending) && likely(!apic->virt))
		return -1;
	lapic_take_posted(apic);
	vector = lapic_highest_vector(apic, APIC_IRR);
	if (vector < 0 || (vector & 0xf0) <= (lapic_reg(apic, APIC_PROCPRI) & 0xf0))
		return -1;
	return vector;
}

/* IRR was changed by the owner. A bit set meanwhile by others is never forgotten. */
static void refresh_irr_pending(struct umbra_lapic *apic)
{
	WRITE_ONCE(apic->irr_pending, false);
	smp_mb();	/* pairs with lapic_set_irr(): it writes true after ours, or we see its bit */
	lapic_take_posted(apic);
	if (lapic_highest_vector(apic, APIC_IRR) >= 0)
		WRITE_ONCE(apic->irr_pending, true);
}

static void clear_irr(struct umbra_lapic *apic, u8 vector)
{
	clear_bit(vector % 32, lapic_vector_word(apic, APIC_IRR, vector));
	refresh_irr_pending(apic);
}

bool lapic_set_irr(struct umbra_lapic *apic, u8 vector)
{
	bool new;

	if (umbra_caps.apicv)
		new = !test_and_set_bit(vector, apic->posted) &&
		      !lapic_test_vector(apic, APIC_IRR, vector);
	else
		new = !test_and_set_bit(vector % 32, lapic_vector_word(apic, APIC_IRR, vector));
	WRITE_ONCE(apic->irr_pending, true);
	return new;
}

static void begin_service(struct umbra_lapic *apic, u8 vector)
{
	if (!__test_and_set_bit(vector % 32, lapic_vector_word(apic, APIC_ISR, vector)))
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
	       !lapic_test_vector(apic, APIC_TMR, apic->isr_top) &&
	       !umbra_any_resampler(apic->vcpu->vm);
}

void lapic_ended(struct umbra_lapic *apic, u8 vector)
{
	umbra_trace(kvm_eoi, apic->vcpu->id, vector);
	if (unlikely(lapic_test_vector(apic, APIC_TMR, vector)) ||
	    umbra_any_resampler(apic->vcpu->vm))
		umbra_vector_ended(apic->vcpu, vector);
}

void lapic_write_eoi(struct umbra_lapic *apic)
{
	int vector = in_service(apic);

	if (vector < 0)
		return;
	__clear_bit(vector % 32, lapic_vector_word(apic, APIC_ISR, vector));
	if (unlikely(apic->virt))
		WRITE_ONCE(apic->irr_pending, true);
	else
		apic->isr_top = --apic->isr_count ? lapic_highest_vector(apic, APIC_ISR) : -1;
	update_ppr(apic);
	lapic_ended(apic, vector);
	recheck_irr(apic);
}

void lapic_regs_changed(struct umbra_lapic *apic)
{
	apic->isr_top = lapic_highest_vector(apic, APIC_ISR);
	apic->isr_count = count_vectors(apic, APIC_ISR);
	refresh_irr_pending(apic);
	if (apic->virt)
		WRITE_ONCE(apic->irr_pending, true);
	lapic_timer_take_regs(apic);
	update_ppr(apic);
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
	if (!lapic_software_enabled(apic))
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

	lapic_set_reg(apic, APIC_SPIV, val & SPIV_BITS);
	lapic_virt_changed(apic);
	if (lapic_software_enabled(apic)) {
		umbra_apf_recheck(apic->vcpu);
		return;
	}
	for (i = 0; i < LAPIC_NR_LVT; i++)
		lapic_set_reg(apic, lvt_regs[i], lapic_reg(apic, lvt_regs[i]) | APIC_LVT_MASKED);
}

static void write_icr(struct umbra_lapic *apic, u32 low, u32 high)
{
	low &= ~APIC_ICR_BUSY;
	lapic_set_reg(apic, APIC_ICR2, high);
	lapic_set_reg(apic, APIC_ICR, low);
	lapic_send_ipi(apic, low, lapic_x2(apic) ? high : high >> 24);
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
	case APIC_PROCPRI:
	case APIC_ARBPRI:
		/* Of a TPR that the guest wrote by itself an exit takes the class only. */
		update_ppr(apic);
		return lapic_reg(apic, APIC_PROCPRI);
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
	if (!reg_in(&reg, readable_regs() | readable_xapic_regs)) {
		lapic_note_error(apic, APIC_ESR_ILLREGA, apic);
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
	} else if (!reg_in(&offset, readable_regs() | readable_xapic_regs)) {
		lapic_note_error(apic, APIC_ESR_ILLREGA, apic);
	}
	return 0;
}

/* What is not four bytes from a register's first on has changed those bytes all the same. */
void lapic_written(struct umbra_lapic *apic, unsigned int reg)
{
	u32 val = lapic_reg(apic, reg);

	if (!reg_in(&reg, writable_regs | writable_xapic_regs)) {
		lapic_set_identity(apic);
		return;
	}
	umbra_trace(kvm_apic, true, reg, val);
	write_reg(apic, reg, val);
	/* It reads as 0. */
	if (reg == APIC_EOI && val)
		lapic_set_reg(apic, APIC_EOI, 0);
}

/* --- x2APIC MSRs -------------------------------------------------------- */

int umbra_x2apic_read(struct umbra_vcpu *vcpu, u32 msr, u64 *value)
{
	struct umbra_lapic *apic = vcpu->lapic;
	unsigned int reg = (msr - APIC_BASE_MSR) << 4;

	if (!apic || !lapic_x2(apic) || !reg_in(&reg, readable_regs()))
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
		return ~(u64)SPIV_BITS;
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
		lapic_send_ipi(apic, APIC_DEST_SELF | (u32)value, 0);
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
	memset(apic->regs, 0, LAPIC_REGS_SIZE);
	bitmap_zero(apic->posted, 256);
	lapic_regs_changed(apic);
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
	lapic_set_identity(apic);
}

int umbra_lapic_create(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = kzalloc(sizeof(*apic), GFP_KERNEL_ACCOUNT);

	if (!apic)
		return -ENOMEM;
	/* A page and nothing else in it: the CPU may get it. */
	apic->regs = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!apic->regs) {
		kfree(apic);
		return -ENOMEM;
	}
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
	free_page((unsigned long)vcpu->lapic->regs);
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
		lapic_virt_changed(vcpu->lapic);
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
	if (vcpu->lapic && !lapic_at_default(vcpu->lapic))
		umbra_mmu_leave_apic_page(vcpu->vm);
	if (!((old ^ value) & BASE_MODE))
		return 0;
	umbra_cpuid_update(vcpu);
	if (!vcpu->lapic)
		return 0;
	/* Switched off it loses everything. */
	if (!host && !(value & XAPIC_ENABLE))
		reset_regs(vcpu->lapic);
	else
		lapic_set_identity(vcpu->lapic);
	lapic_virt_changed(vcpu->lapic);
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}

/* --- the vCPU's side ---------------------------------------------------- */

/* With the latched message, if one has come. */
static bool hears_pic(const struct umbra_lapic *apic)
{
	u32 lvt;

	/* Without a LAPIC the INTR pin is wired straight through. */
	if (!lapic_hardware_enabled(apic))
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

int umbra_irq_to_inject(struct umbra_vcpu *vcpu)
{
	if (unlikely(vcpu->lapic && vcpu->lapic->virt))
		return pic_pending(vcpu->lapic) ? 0 : -1;
	return umbra_pending_irq(vcpu);
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
	if (unlikely(apic->virt))
		return -1;
	vector = deliverable_vector(apic);
	if (vector < 0)
		return -1;
	clear_irr(apic, vector);
	begin_service(apic, vector);
	return vector;
}

u8 umbra_irq_held_by_tpr(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	int vector;

	if (!apic || apic->virt || !READ_ONCE(apic->irr_pending))
		return 0;
	lapic_take_posted(apic);
	vector = lapic_highest_vector(apic, APIC_IRR);
	if (vector < 0 || (vector & 0xf0) <= service_class(apic) ||
	    (vector & 0xf0) > (lapic_reg(apic, APIC_TASKPRI) & 0xf0))
		return 0;
	return vector >> 4;
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

/* The ID register in KVM's format: where the mode has the ID lie is the VMM's to ask for. */
static u32 saved_id(const struct umbra_lapic *apic)
{
	bool wide = READ_ONCE(apic->vcpu->vm->x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS;

	return wide && lapic_x2(apic) ? lapic_id(apic) : lapic_id(apic) << 24;
}

int umbra_lapic_get(struct umbra_vcpu *vcpu, struct kvm_lapic_state *state)
{
	struct umbra_lapic *apic = vcpu->lapic;
	u32 count, id;

	if (!apic)
		return -EINVAL;
	count = lapic_timer_save(apic);
	lapic_take_posted(apic);
	update_ppr(apic);
	memcpy(state->regs, apic->regs, sizeof(state->regs));
	id = saved_id(apic);
	memcpy(state->regs + APIC_ID, &id, sizeof(id));
	memcpy(state->regs + APIC_TMCCT, &count, sizeof(count));
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

	/* A guest with an x2APIC may read 8 bytes of each 16. */
	for (i = 0; i < LAPIC_REGS_SIZE; i += 16)
		memset(apic->regs + i + 4, 0, 12);
	lapic_set_reg(apic, APIC_LVR, LAPIC_VERSION);
	lapic_set_reg(apic, APIC_TASKPRI, lapic_reg(apic, APIC_TASKPRI) & 0xff);
	lapic_set_reg(apic, APIC_DFR, lapic_reg(apic, APIC_DFR) | 0x0fffffff);
	lapic_set_reg(apic, APIC_LDR, lapic_reg(apic, APIC_LDR) & APIC_LDR_MASK);
	lapic_set_identity(apic);
	lapic_set_reg(apic, APIC_ESR, lapic_reg(apic, APIC_ESR) & 0xef);
	lapic_set_reg(apic, APIC_ICR, lapic_reg(apic, APIC_ICR) & ~APIC_ICR_BUSY);
	lapic_set_reg(apic, APIC_TDCR, lapic_reg(apic, APIC_TDCR) & 0xb);
	for (i = 0; i < LAPIC_NR_LVT; i++)
		lapic_set_reg(apic, lvt_regs[i],
			      lapic_reg(apic, lvt_regs[i]) & lvt_mask(lvt_regs[i], apic->vcpu));
	/* Not as the guest writes it: after power-up LINT0 is open while the LAPIC is disabled. */
	lapic_set_reg(apic, APIC_SPIV, lapic_reg(apic, APIC_SPIV) & SPIV_BITS);
	lapic_virt_changed(apic);
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
	if (id != saved_id(apic))
		return -EINVAL;

	deadline = umbra_tsc_deadline(vcpu, true);
	lapic_timer_reset(apic);
	memcpy(apic->regs, state->regs, LAPIC_REGS_SIZE);
	bitmap_zero(apic->posted, 256);
	sanitize_regs(apic);
	atomic_set(&apic->errors, 0);
	lapic_regs_changed(apic);
	WRITE_ONCE(apic->extint, false);
	lapic_timer_restore(apic, lapic_reg(apic, APIC_TMCCT), deadline);
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}
