// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parts of the LAPIC that guest memory stands for.
 *
 * The task priority of guests that write it all the time (32-bit Windows): the VMM
 * asks to hear of each access, has its option ROM patch the instruction, and gives a
 * word of guest memory that then stands for the register. And EOI, for guests that
 * know KVM.
 */
#include <linux/kvm.h>
#include <asm/kvm_para.h>

#include "irq.h"
#include "lapic.h"
#include "memslot.h"
#include "umbra.h"

int umbra_lapic_set_vapic(struct umbra_vcpu *vcpu, gpa_t gpa)
{
	u32 word;

	if (!vcpu->lapic || (gpa && umbra_guest_read(vcpu->vm, gpa, &word, sizeof(word))))
		return -EINVAL;
	vcpu->lapic->vapic = gpa;
	vcpu->shares &= ~UMBRA_SHARES_TPR;
	if (gpa) {
		vcpu->shares |= UMBRA_SHARES_TPR;
		umbra_mmu_leave_apic_page(vcpu->vm);
	}
	lapic_virt_changed(vcpu->lapic);
	return 0;
}

/*
 * Bits 0 to 7 TPR; 12 to 15 the priority class of the highest vector that waits, 24 to
 * 31 the one in service: so the guest knows whether lowering its TPR wants a real write.
 * Without memory behind it, it is a CPU without the word.
 */
static void tpr_to_guest(struct umbra_lapic *apic)
{
	int waits = lapic_highest_vector(apic, APIC_IRR);
	u32 word = lapic_reg(apic, APIC_TASKPRI);

	if (waits >= 0)
		word |= (waits & 0xf0) << 8;
	if (apic->isr_top >= 0)
		word |= (u32)apic->isr_top << 24;
	umbra_guest_write(apic->vcpu->vm, apic->vapic, &word, sizeof(word));
}

static void tpr_from_guest(struct umbra_lapic *apic)
{
	u32 word;

	if (!umbra_guest_read(apic->vcpu->vm, apic->vapic, &word, sizeof(word)))
		lapic_set_tpr(apic, word);
}

/*
 * MSR_KVM_PV_EOI_EN: a byte of guest memory. With bit 0 set in it, the guest may clear
 * that instead of writing EOI, which is done when the guest is next left. It is offered
 * only from an entry to the next exit, and while nothing hangs on the moment.
 */
static gpa_t eoi_gpa(const struct umbra_lapic *apic)
{
	return apic->vcpu->msrs.pv_eoi & ~(u64)KVM_MSR_ENABLED;
}

static void offer_eoi(struct umbra_lapic *apic)
{
	const u8 offer = KVM_PV_EOI_ENABLED;

	if (apic->isr_top < 0 || !(apic->vcpu->msrs.pv_eoi & KVM_MSR_ENABLED))
		apic->vcpu->shares &= ~UMBRA_SHARES_EOI;
	else if (lapic_ends_quietly(apic))
		apic->eoi_offered = !umbra_guest_write(apic->vcpu->vm, eoi_gpa(apic), &offer,
						       sizeof(offer));
}

static void take_eoi(struct umbra_lapic *apic)
{
	const u8 none = KVM_PV_EOI_DISABLED;
	u8 byte;

	if (!apic->eoi_offered)
		return;
	apic->eoi_offered = false;
	if (umbra_guest_read(apic->vcpu->vm, eoi_gpa(apic), &byte, sizeof(byte)))
		return;
	if (byte & KVM_PV_EOI_ENABLED)
		umbra_guest_write(apic->vcpu->vm, eoi_gpa(apic), &none, sizeof(none));
	else
		lapic_write_eoi(apic);
}

void umbra_lapic_share(struct umbra_vcpu *vcpu)
{
	if (vcpu->shares & UMBRA_SHARES_TPR)
		tpr_to_guest(vcpu->lapic);
	if (vcpu->shares & UMBRA_SHARES_EOI)
		offer_eoi(vcpu->lapic);
}

void umbra_lapic_take_back(struct umbra_vcpu *vcpu)
{
	if (vcpu->shares & UMBRA_SHARES_EOI)
		take_eoi(vcpu->lapic);
	if (vcpu->shares & UMBRA_SHARES_TPR)
		tpr_from_guest(vcpu->lapic);
}

void umbra_lapic_report_tpr(struct umbra_vcpu *vcpu, bool on)
{
	if (!vcpu->lapic)
		return;
	vcpu->lapic->reports_tpr = on;
	if (on)
		umbra_mmu_leave_apic_page(vcpu->vm);
	lapic_virt_changed(vcpu->lapic);
}

void lapic_note_tpr_access(struct umbra_lapic *apic, bool write)
{
	if (likely(!apic->reports_tpr))
		return;
	apic->tpr_rip = umbra_rip(apic->vcpu);
	apic->tpr_write = write;
	umbra_request(apic->vcpu, UMBRA_REQ_TPR_ACCESS);
}

void umbra_lapic_tpr_exit(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_TPR_ACCESS;
	run->tpr_access.rip = vcpu->lapic->tpr_rip;
	run->tpr_access.is_write = vcpu->lapic->tpr_write;
	run->tpr_access.pad = 0;
}
