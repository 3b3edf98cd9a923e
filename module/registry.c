// SPDX-License-Identifier: GPL-2.0-only
/* All VMs that there are, by number. */
#include <linux/cred.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/ratelimit.h>
#include <linux/xarray.h>

#include "debugfs.h"
#include "genl.h"
#include "registry.h"
#include "umbra.h"

/* A VM's own share of events, against floods; more of them count as lost. */
#define LIMIT_INTERVAL	(5 * HZ)
#define LIMIT_BURST	64

static DEFINE_XARRAY_FLAGS(vms, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
static DEFINE_MUTEX(registry_lock);
static u32 next_id;
static unsigned int generation = 1;

void umbra_registry_lock(void)
{
	mutex_lock(&registry_lock);
}

void umbra_registry_unlock(void)
{
	mutex_unlock(&registry_lock);
}

struct umbra_vm *umbra_registry_from(unsigned long id)
{
	lockdep_assert_held(&registry_lock);
	return xa_find(&vms, &id, UINT_MAX, XA_PRESENT);
}

unsigned int umbra_registry_generation(void)
{
	lockdep_assert_held(&registry_lock);
	return generation;
}

static void changed(void)
{
	if (!++generation)
		generation = 1;
}

static void describe_maker(struct umbra_listing *listing)
{
	listing->maker = get_pid(task_tgid(current));
	listing->uid = current_uid();
	get_task_comm(listing->comm, current->group_leader);
	ratelimit_state_init(&listing->limit, LIMIT_INTERVAL, LIMIT_BURST);
	ratelimit_set_flags(&listing->limit, RATELIMIT_MSG_ON_RELEASE);
	listing->quota_told = jiffies - UMBRA_QUOTA_EVERY;
}

int umbra_registry_add(struct umbra_vm *vm)
{
	struct umbra_listing *listing = &vm->listing;
	int r;

	describe_maker(listing);
	umbra_registry_lock();
	r = xa_alloc_cyclic(&vms, &listing->id, vm, xa_limit_31b, &next_id, GFP_KERNEL_ACCOUNT);
	if (r >= 0)
		changed();
	umbra_registry_unlock();
	if (r < 0) {
		put_pid(listing->maker);
		return r;
	}
	umbra_debugfs_add(vm);
	umbra_event_vm(vm, UMBRA_NL_CMD_VM_NEW);
	umbra_genl_wake_sampler();
	return 0;
}

void umbra_registry_remove(struct umbra_vm *vm)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_registry_lock();
	xa_erase(&vms, vm->listing.id);
	changed();
	umbra_registry_unlock();
	umbra_debugfs_remove(vm);
	umbra_for_each_vcpu(vm, i, vcpu)
		umbra_event_vcpu(vcpu, UMBRA_NL_CMD_VCPU_GONE);
	umbra_event_vm(vm, UMBRA_NL_CMD_VM_GONE);
	put_pid(vm->listing.maker);
}

void umbra_registry_add_vcpu(struct umbra_vcpu *vcpu)
{
	umbra_registry_lock();
	changed();
	umbra_registry_unlock();
	umbra_debugfs_add_vcpu(vcpu);
	umbra_event_vcpu(vcpu, UMBRA_NL_CMD_VCPU_NEW);
}
