// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs that userspace keeps from a guest, or serves itself: KVM_X86_SET_MSR_FILTER.
 */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/kvm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "msr.h"
#include "umbra.h"

#define RANGE_FLAGS	(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)
/* Of one range's bitmap, as in KVM. */
#define BITMAP_MAX	0x600

/**
 * struct umbra_msr_filter - replaced as a whole
 * @rcu: readers look in a read-side section
 * @allow: what holds for MSRs in no range
 * @nr: valid entries of @ranges
 * @ranges: the first that has an MSR, for this kind of access, decides: a set bit allows
 */
struct umbra_msr_filter {
	struct rcu_head rcu;
	bool allow;
	u32 nr;
	struct {
		u32 flags, base, nmsrs;
		unsigned long *bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct umbra_msr_filter *filter)
{
	u32 i;

	if (!filter)
		return;
	for (i = 0; i < filter->nr; i++)
		kfree(filter->ranges[i].bitmap);
	kfree(filter);
}

static int take_range(struct umbra_msr_filter *filter, const struct kvm_msr_filter_range *in)
{
	size_t size = BITS_TO_LONGS((u64)in->nmsrs) * sizeof(long);
	unsigned long *bitmap;

	if (!in->nmsrs)
		return 0;
	if ((in->flags & ~RANGE_FLAGS) || !in->flags || size > BITMAP_MAX)
		return -EINVAL;
	bitmap = memdup_user((void __user *)in->bitmap, size);
	if (IS_ERR(bitmap))
		return PTR_ERR(bitmap);
	filter->ranges[filter->nr].flags = in->flags;
	filter->ranges[filter->nr].base = in->base;
	filter->ranges[filter->nr].nmsrs = in->nmsrs;
	filter->ranges[filter->nr++].bitmap = bitmap;
	return 0;
}

int umbra_msr_filter_set(struct umbra_vm *vm, const struct kvm_msr_filter *in)
{
	struct umbra_msr_filter *filter, *old;
	int i, r = 0;

	if (in->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	if (!filter)
		return -ENOMEM;
	filter->allow = !(in->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (i = 0; i < ARRAY_SIZE(in->ranges) && !r; i++)
		r = take_range(filter, &in->ranges[i]);
	/* A guest without any MSR could do nothing. */
	if (!r && !filter->nr && !filter->allow)
		r = -EINVAL;
	if (r) {
		filter_free(filter);
		return r;
	}
	old = rcu_replace_pointer(vm->msr_filter, filter, lockdep_is_held(&vm->lock));
	umbra_request_all(vm, UMBRA_REQ_MSR_FILTER);
	if (old) {
		synchronize_rcu();
		filter_free(old);
	}
	return 0;
}

void umbra_msr_filter_destroy(struct umbra_vm *vm)
{
	filter_free(rcu_dereference_protected(vm->msr_filter, true));
}

static bool filter_allows(const struct umbra_msr_filter *filter, u32 index, u32 access)
{
	u32 i;

	for (i = 0; i < filter->nr; i++) {
		if ((filter->ranges[i].flags & access) &&
		    index - filter->ranges[i].base < filter->ranges[i].nmsrs)
			return test_bit(index - filter->ranges[i].base, filter->ranges[i].bitmap);
	}
	return filter->allow;
}

bool umbra_msr_allowed(struct umbra_vm *vm, u32 index, u32 access)
{
	const struct umbra_msr_filter *filter;
	bool allowed;

	/* The x2APIC's are the LAPIC. */
	if (index >= 0x800 && index <= 0x8ff)
		return true;
	rcu_read_lock();
	filter = rcu_dereference(vm->msr_filter);
	allowed = !filter || filter_allows(filter, index, access);
	rcu_read_unlock();
	return allowed;
}
