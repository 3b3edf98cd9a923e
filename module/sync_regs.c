// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_SYNC_REGS: registers by way of the run page, without a call for each set of them. */
#include <linux/kvm.h>
#include <linux/srcu.h>
#include <linux/string.h>

#include "sync_regs.h"
#include "umbra.h"

static int sync_regs(struct umbra_vcpu *vcpu, const struct kvm_sync_regs *page)
{
	struct kvm_regs regs;

	memcpy(&regs, &page->regs, sizeof(regs));
	return umbra_vcpu_set_regs(vcpu, &regs);
}

static int sync_sregs(struct umbra_vcpu *vcpu, const struct kvm_sync_regs *page)
{
	struct kvm_sregs sregs;
	int idx, r;

	memcpy(&sregs, &page->sregs, sizeof(sregs));
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = umbra_vcpu_set_sregs(vcpu, &sregs);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

static int sync_events(struct umbra_vcpu *vcpu, const struct kvm_sync_regs *page)
{
	struct kvm_vcpu_events events;

	memcpy(&events, &page->events, sizeof(events));
	return umbra_vcpu_set_events(vcpu, &events);
}

static const struct {
	u64 bit;
	/* The page is the user's to scribble on: what is judged is a copy. */
	int (*take)(struct umbra_vcpu *vcpu, const struct kvm_sync_regs *page);
} sets[] = {
	{ KVM_SYNC_X86_REGS, sync_regs },
	{ KVM_SYNC_X86_SREGS, sync_sregs },
	{ KVM_SYNC_X86_EVENTS, sync_events },
};

int umbra_sync_in(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 valid = READ_ONCE(run->kvm_valid_regs), dirty = READ_ONCE(run->kvm_dirty_regs);
	int i;

	if (likely(!(valid | dirty)))
		return 0;
	if ((valid | dirty) & ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(sets); i++) {
		if (!(dirty & sets[i].bit))
			continue;
		if (sets[i].take(vcpu, &run->s.regs))
			return -EINVAL;
		dirty &= ~sets[i].bit;
		WRITE_ONCE(run->kvm_dirty_regs, dirty);
	}
	return 0;
}

void umbra_sync_out(struct umbra_vcpu *vcpu)
{
	struct kvm_sync_regs *page = &vcpu->run->s.regs;
	u64 valid = READ_ONCE(vcpu->run->kvm_valid_regs);

	if (likely(!valid))
		return;
	if (valid & KVM_SYNC_X86_REGS)
		umbra_vcpu_get_regs(vcpu, &page->regs);
	if (valid & KVM_SYNC_X86_SREGS)
		umbra_vcpu_get_sregs(vcpu, &page->sregs);
	if (valid & KVM_SYNC_X86_EVENTS) {
		memset(&page->events, 0, sizeof(page->events));
		umbra_vcpu_get_events(vcpu, &page->events);
	}
}
