// SPDX-License-Identifier: GPL-2.0-only
/*
 * The task priority of guests that write it all the time (32-bit Windows): the VMM
 * asks to hear of each access, has its option ROM patch the instruction, and gives a
 * word of guest memory that then stands for the register.
 */
#include <linux/kvm.h>

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
	vcpu->shares_tpr = gpa;
	return 0;
}

/*
 * Bits 0 to 7 TPR; 12 to 15 the priority class of the highest vector that waits, 24 to
 * 31 the one in service: so the guest knows whether lowering its TPR wants a real write.
 * Without memory behind it, it is a CPU without the word.
 */
void umbra_lapic_tpr_to_guest(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	int waits = lapic_highest_vector(apic, APIC_IRR);
	u32 word = lapic_reg(apic, APIC_TASKPRI);

	if (waits >= 0)
		word |= (waits & 0xf0) << 8;
	if (apic->isr_top >= 0)
		word |= (u32)apic->isr_top << 24;
	umbra_guest_write(vcpu->vm, apic->vapic, &word, sizeof(word));
}

void umbra_lapic_tpr_from_guest(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	u32 word;

	if (!umbra_guest_read(vcpu->vm, apic->vapic, &word, sizeof(word)))
		lapic_set_tpr(apic, word);
}

void umbra_lapic_report_tpr(struct umbra_vcpu *vcpu, bool on)
{
	if (vcpu->lapic)
		vcpu->lapic->reports_tpr = on;
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
