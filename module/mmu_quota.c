// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many tables a shadow may have: a share of the guest's memory, or what userspace
 * says; and fewer when the host is short of memory.
 */
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/shrinker.h>

#include "compat.h"
#include "mmu_quota.h"
#include "shadow.h"
#include "umbra.h"

/* As KVM has it: tables for a fiftieth of the guest's memory, and some for a small guest. */
#define QUOTA_SHARE	50

/* Tables that are freed before others may have mmu_lock. */
#define SHRINK_AT_ONCE	64U

static unsigned long quota_by_memory(struct umbra_vm *vm)
{
	const struct umbra_slots *slots = umbra_slots(vm);
	unsigned long pages = 0;
	u32 i;

	for (i = 0; i < slots->nr; i++)
		pages += slots->slot[i]->npages;
	return max(pages / QUOTA_SHARE, (unsigned long)UMBRA_QUOTA_LEAST);
}

unsigned long umbra_shadow_quota(struct umbra_vm *vm)
{
	return READ_ONCE(vm->mmu.quota) ?: quota_by_memory(vm);
}

int umbra_shadow_set_quota(struct umbra_vm *vm, unsigned long quota)
{
	unsigned int over;

	if (quota < UMBRA_QUOTA_LEAST)
		return -EINVAL;
	WRITE_ONCE(vm->mmu.quota, quota);
	do {
		write_lock(&vm->mmu_lock);
		over = umbra_shadow_over_quota(vm, quota);
		/* Roots in use may be all that is left. */
		if (over && !umbra_shadow_shrink(vm, min(over, SHRINK_AT_ONCE)))
			over = 0;
		write_unlock(&vm->mmu_lock);
		cond_resched();
	} while (over);
	return 0;
}

/* ------------------------------ a host that is short of memory ------------------------------ */

static LIST_HEAD(vms);
static DEFINE_MUTEX(vms_lock);
static struct shrinker *shrinker;

void umbra_shrink_add(struct umbra_vm *vm)
{
	mutex_lock(&vms_lock);
	list_add_tail(&vm->mmu.shrink, &vms);
	mutex_unlock(&vms_lock);
}

void umbra_shrink_del(struct umbra_vm *vm)
{
	mutex_lock(&vms_lock);
	list_del(&vm->mmu.shrink);
	mutex_unlock(&vms_lock);
}

/* Tables, about. Those of the hardware mode stay: they are few. */
static unsigned long count_tables(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long n = 0;
	struct umbra_vm *vm;

	if (!mutex_trylock(&vms_lock))
		return 0;
	list_for_each_entry(vm, &vms, mmu.shrink) {
		if (READ_ONCE(vm->mmu.shadow))
			n += atomic_long_read(&vm->mmu.pages);
	}
	mutex_unlock(&vms_lock);
	return n ?: SHRINK_EMPTY;
}

/* Who has the lock is at work there: another VM's turn. */
static unsigned int shrink(struct umbra_vm *vm, unsigned long count)
{
	unsigned int n;

	if (!write_trylock(&vm->mmu_lock))
		return 0;
	n = umbra_shadow_shrink(vm, min_t(unsigned long, SHRINK_AT_ONCE, count));
	write_unlock(&vm->mmu_lock);
	return n;
}

/* The VMs have their turns. Any thread may come here that wants memory, with no lock of ours. */
static unsigned long free_tables(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long freed = 0;
	struct umbra_vm *vm, *next;
	LIST_HEAD(done);

	if (!mutex_trylock(&vms_lock))
		return SHRINK_STOP;
	list_for_each_entry_safe(vm, next, &vms, mmu.shrink) {
		if (freed >= sc->nr_to_scan)
			break;
		list_move_tail(&vm->mmu.shrink, &done);
		freed += shrink(vm, sc->nr_to_scan - freed);
	}
	list_splice_tail(&done, &vms);
	mutex_unlock(&vms_lock);
	return freed ?: SHRINK_STOP;
}

int umbra_shrink_init(void)
{
	shrinker = umbra_shrinker_register(count_tables, free_tables, "umbra-shadow");
	return IS_ERR(shrinker) ? PTR_ERR(shrinker) : 0;
}

void umbra_shrink_exit(void)
{
	umbra_shrinker_unregister(shrinker);
}
