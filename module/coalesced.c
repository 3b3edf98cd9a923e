// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coalesced MMIO and PIO: writes to the VMM's zones wait in a ring that it reads
 * at its leisure. The ring is mapped by userspace, which may write anything there:
 * its indices are looked at once and believed only as far as the array goes.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/string.h>

#include "coalesced.h"
#include "umbra.h"

#define PIO_END		0x10000

/* Replaced whole to add one; a zone of size 0 was removed. */
struct umbra_zones {
	u32 nr;
	struct kvm_coalesced_mmio_zone zones[];
};

int umbra_coalesced_vm_init(struct umbra_vm *vm)
{
	spin_lock_init(&vm->ring_lock);
	vm->ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vm->ring ? 0 : -ENOMEM;
}

void umbra_coalesced_vm_destroy(struct umbra_vm *vm)
{
	kvfree(rcu_replace_pointer(vm->zones, NULL, true));
	free_page((unsigned long)vm->ring);
}

static bool contains(const struct kvm_coalesced_mmio_zone *zone, u32 pio, u64 addr, u64 len)
{
	u32 size = READ_ONCE(zone->size);

	return zone->pio == pio && addr >= zone->addr && len <= size &&
	       addr - zone->addr <= size - len;
}

/* Both sides have one slot free at least, so that full and empty differ. */
static bool add_to_ring(struct umbra_vm *vm, u32 pio, gpa_t addr, unsigned int len,
			const void *data)
{
	struct kvm_coalesced_mmio_ring *ring = vm->ring;
	struct kvm_coalesced_mmio *entry;
	bool added = false;
	u32 last;

	spin_lock(&vm->ring_lock);
	last = READ_ONCE(ring->last);
	if (last >= KVM_COALESCED_MMIO_MAX ||
	    (last + 1) % KVM_COALESCED_MMIO_MAX == READ_ONCE(ring->first))
		goto out;
	last = array_index_nospec(last, KVM_COALESCED_MMIO_MAX);
	entry = &ring->coalesced_mmio[last];
	entry->phys_addr = addr;
	entry->len = len;
	memset(entry->data, 0, sizeof(entry->data));
	memcpy(entry->data, data, min_t(size_t, len, sizeof(entry->data)));
	entry->pio = pio;
	/* Who sees the index finds the entry: pairs with the reader in userspace. */
	smp_store_release(&ring->last, (last + 1) % KVM_COALESCED_MMIO_MAX);
	added = true;
out:
	spin_unlock(&vm->ring_lock);
	return added;
}

bool umbra_coalesce_write(struct umbra_vm *vm, enum umbra_bus bus, gpa_t addr, unsigned int len,
			  const void *data)
{
	const struct umbra_zones *t = srcu_dereference(vm->zones, &vm->srcu);
	u32 i, pio = bus == UMBRA_BUS_PIO;

	for (i = 0; t && i < t->nr; i++)
		if (contains(&t->zones[i], pio, addr, len))
			return add_to_ring(vm, pio, addr, len, data);
	return false;
}

static bool valid_zone(const struct kvm_coalesced_mmio_zone *zone)
{
	u64 end;

	return zone->pio <= 1 && zone->size &&
	       !check_add_overflow(zone->addr, (u64)zone->size - 1, &end) &&
	       !(zone->pio && end >= PIO_END);
}

static struct umbra_zones *zones_locked(struct umbra_vm *vm)
{
	return rcu_dereference_protected(vm->zones, lockdep_is_held(&vm->slots_lock));
}

static int add_zone(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct umbra_zones *old = zones_locked(vm), *new;
	u32 i, n = 0, nr = old ? old->nr : 0;

	for (i = 0; i < nr; i++)
		n += !!old->zones[i].size;
	if (n >= UMBRA_MAX_ZONES)
		return -ENOSPC;
	new = kvmalloc(struct_size(new, zones, n + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	for (i = 0, n = 0; i < nr; i++)
		if (old->zones[i].size)
			new->zones[n++] = old->zones[i];
	new->zones[n++] = *zone;
	new->nr = n;

	rcu_assign_pointer(vm->zones, new);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
	return 0;
}

int umbra_register_zone(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	int r;

	if (!valid_zone(zone))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = add_zone(vm, zone);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* As on KVM: every zone that holds all of @zone goes, and none is no error. */
int umbra_unregister_zone(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct umbra_zones *t;
	bool found = false;
	u32 i;

	if (!valid_zone(zone))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	t = zones_locked(vm);
	for (i = 0; t && i < t->nr; i++) {
		if (!contains(&t->zones[i], zone->pio, zone->addr, zone->size))
			continue;
		/* In place, so that it can't fail for want of memory. */
		WRITE_ONCE(t->zones[i].size, 0);
		found = true;
	}
	if (found)
		synchronize_srcu_expedited(&vm->srcu);
	mutex_unlock(&vm->slots_lock);
	return 0;
}
