// SPDX-License-Identifier: GPL-2.0-only
/*
 * A LAPIC on whose register page the CPU works by itself, as far as it can. What is in
 * the page is the LAPIC's state all the same.
 *
 * UMBRA_APIC_MSRS: the guest reads and writes an x2APIC's registers without an exit, and
 * is given interrupts and ends them. The CPU is told when software has changed the page,
 * which must not be written while a CPU works on it: requests that other threads make are
 * posted, and the owner moves them to IRR between exit and entry.
 *
 * UMBRA_APIC_PAGE: the guest reads most of an xAPIC's registers, and reads and writes TPR,
 * without an exit; any other write exits when the value is in the page. Interrupts are
 * software's. What the guest reaches is by the VM's tables, which all its vCPUs share; see
 * umbra_mmu_map_apic_page().
 */
#include <linux/bitmap.h>
#include <linux/kernel.h>

#include "backend.h"
#include "eventfd.h"
#include "irq.h"
#include "lapic.h"
#include "umbra.h"

void *umbra_lapic_page(struct umbra_vcpu *vcpu)
{
	return vcpu->lapic ? vcpu->lapic->regs : NULL;
}

void lapic_move_posted(struct umbra_lapic *apic)
{
	unsigned int i;

	for (i = 0; i < BITS_TO_LONGS(256); i++) {
		unsigned int reg = APIC_IRR + i * 0x20;
		u64 bits;

		if (!READ_ONCE(apic->posted[i]))
			continue;
		bits = xchg(&apic->posted[i], 0);
		lapic_set_reg(apic, reg, lapic_reg(apic, reg) | (u32)bits);
		lapic_set_reg(apic, reg + 0x10, lapic_reg(apic, reg + 0x10) | bits >> 32);
	}
}

/*
 * Not where the CPU can't run all of the guest, which software must then give its
 * interrupts, nor where each access to TPR is to be seen. An x2APIC that is disabled by
 * software takes no interrupts, which the CPU would not know.
 */
static enum umbra_apic_virt wanted(const struct umbra_lapic *apic)
{
	const struct umbra_vcpu *vcpu = apic->vcpu;

	if (!umbra_caps.apicv || vcpu->mmu.shadow || vcpu->vm->emulate || apic->reports_tpr ||
	    apic->vapic)
		return UMBRA_APIC_SOFTWARE;
	if (lapic_x2(apic))
		return lapic_software_enabled(apic) ? UMBRA_APIC_MSRS : UMBRA_APIC_SOFTWARE;
	return umbra_mmu_has_apic_page(vcpu->vm) ? UMBRA_APIC_PAGE : UMBRA_APIC_SOFTWARE;
}

void lapic_virt_changed(struct umbra_lapic *apic)
{
	if (umbra_caps.apicv)
		umbra_request(apic->vcpu, UMBRA_REQ_APIC_VIRT);
}

void umbra_lapic_mode_changed(struct umbra_vcpu *vcpu)
{
	if (vcpu->lapic)
		lapic_virt_changed(vcpu->lapic);
}

void umbra_lapic_choose_virt(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	enum umbra_apic_virt how = wanted(apic);

	if (how != apic->how) {
		apic->how = how;
		apic->virt = how == UMBRA_APIC_MSRS;
		/* The guest's own write of EOI is cheaper than a word of memory that stands for it. */
		if (apic->virt)
			vcpu->shares &= ~UMBRA_SHARES_EOI;
		umbra_backend->set_apic_virt(vcpu, how, lapic_plain_regs);
		lapic_regs_changed(apic);
	}
	/* Each time: the tables may be new. */
	if (how == UMBRA_APIC_PAGE)
		umbra_mmu_map_apic_page(vcpu);
}

/* The vectors whose end others must hear of. */
static void awaited_ends(const struct umbra_lapic *apic, u64 *ends)
{
	bool all = umbra_any_resampler(apic->vcpu->vm);
	unsigned int i;

	for (i = 0; i < BITS_TO_LONGS(256); i++) {
		unsigned int reg = APIC_TMR + i * 0x20;

		ends[i] = all ? ~0ULL : lapic_reg(apic, reg) |
					(u64)lapic_reg(apic, reg + 0x10) << 32;
	}
}

void umbra_lapic_inform(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	u64 ends[BITS_TO_LONGS(256)];

	if (likely(!apic || !apic->virt) || !READ_ONCE(apic->irr_pending))
		return;
	WRITE_ONCE(apic->irr_pending, false);
	smp_mb();	/* pairs with lapic_set_irr(): it writes true after ours, or we see its bit */
	lapic_take_posted(apic);
	awaited_ends(apic, ends);
	umbra_backend->apic_changed(vcpu, max(lapic_highest_vector(apic, APIC_IRR), 0),
				    max(lapic_highest_vector(apic, APIC_ISR), 0), ends);
}

void umbra_lapic_eoi_exit(struct umbra_vcpu *vcpu, u8 vector)
{
	lapic_ended(vcpu->lapic, vector);
}

/*
 * What the CPU has left for us of a write: of an xAPIC's, all that hangs on it; of an
 * x2APIC's, an IPI to itself with a vector that can't be sent.
 */
void umbra_lapic_write_exit(struct umbra_vcpu *vcpu, unsigned int reg)
{
	struct umbra_lapic *apic = vcpu->lapic;

	if (!lapic_x2(apic))
		lapic_written(apic, reg);
	else if (reg == APIC_SELF_IPI)
		lapic_send_ipi(apic, APIC_DEST_SELF | (lapic_reg(apic, reg) & APIC_VECTOR_MASK), 0);
}

void umbra_lapic_ends_wanted(struct umbra_vm *vm)
{
	struct umbra_vcpu *vcpu;
	int i;

	if (!umbra_caps.apicv)
		return;
	umbra_for_each_vcpu(vm, i, vcpu) {
		if (!vcpu->lapic)
			continue;
		WRITE_ONCE(vcpu->lapic->irr_pending, true);
		umbra_request(vcpu, UMBRA_REQ_EVENT);
		umbra_vcpu_kick(vcpu);
	}
}
