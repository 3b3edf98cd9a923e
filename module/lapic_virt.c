// SPDX-License-Identifier: GPL-2.0-only
/*
 * A LAPIC on whose register page the CPU works by itself, as far as it can: the guest
 * reads and writes registers there without an exit, and is given interrupts and ends
 * them. It is done for an x2APIC, whose registers are MSRs. What is in the page is the
 * LAPIC's state all the same; the CPU is told when software has changed it.
 *
 * The page must not be written while a CPU works on it: requests that other threads
 * make are posted, and the owner moves them to IRR between exit and entry.
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
 * interrupts, nor where each access to TPR is to be seen, nor while it is disabled by
 * software, when it takes none: the CPU would not know.
 */
static bool wants_virt(const struct umbra_lapic *apic)
{
	const struct umbra_vcpu *vcpu = apic->vcpu;

	return umbra_caps.apicv && lapic_x2(apic) && lapic_software_enabled(apic) &&
	       !vcpu->mmu.shadow && !vcpu->vm->emulate && !apic->reports_tpr && !apic->vapic;
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
	bool virt = wants_virt(apic);

	if (virt == apic->virt)
		return;
	apic->virt = virt;
	/* The guest's own write of EOI is cheaper than a word of memory that stands for it. */
	if (virt)
		vcpu->shares &= ~UMBRA_SHARES_EOI;
	umbra_backend->set_apic_virt(vcpu, virt ? lapic_plain_regs : 0);
	lapic_regs_changed(apic);
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

/* What the CPU has left for us of a write: an IPI to itself with a vector that can't be sent. */
void umbra_lapic_write_exit(struct umbra_vcpu *vcpu, unsigned int reg)
{
	struct umbra_lapic *apic = vcpu->lapic;

	if (reg == APIC_SELF_IPI)
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
