// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buses: a sorted array of ranges per bus, never changed in place but
 * replaced whole, so that a lookup needs SRCU and a binary search only.
 */
#include <linux/errno.h>
#include <linux/lockdep.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "coalesced.h"
#include "eventfd.h"
#include "iodev.h"
#include "umbra.h"

struct bus_range {
	gpa_t start, last;
	struct umbra_iodev *dev;	/* WRITE_ONCE: becomes &vacant at most */
};

struct umbra_io_bus {
	u32 nr;
	struct bus_range ranges[];
};

static int vacant_read(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		       unsigned int len, void *data)
{
	return -EOPNOTSUPP;
}

static int vacant_write(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
			unsigned int len, const void *data)
{
	return -EOPNOTSUPP;
}

static const struct umbra_iodev_ops vacant_ops = {
	.read = vacant_read,
	.write = vacant_write,
};

/* Stands in for a device that left when there was no memory for a new array. */
static struct umbra_iodev vacant = { .ops = &vacant_ops };

static struct umbra_io_bus __rcu **bus_slot(struct umbra_vm *vm, enum umbra_bus bus)
{
	return bus == UMBRA_BUS_PIO ? &vm->pio_bus : &vm->mmio_bus;
}

static struct umbra_io_bus *bus_locked(struct umbra_vm *vm, enum umbra_bus bus)
{
	return rcu_dereference_protected(*bus_slot(vm, bus),
					 lockdep_is_held(&vm->slots_lock));
}

/* Copy the ranges that are neither vacant nor @without's; returns their number. */
static u32 copy_ranges(struct bus_range *to, const struct umbra_io_bus *from,
		       const struct umbra_iodev *without)
{
	u32 i, n = 0;

	for (i = 0; from && i < from->nr; i++) {
		if (from->ranges[i].dev == &vacant || from->ranges[i].dev == without)
			continue;
		if (to)
			to[n] = from->ranges[i];
		n++;
	}
	return n;
}

static void publish_bus(struct umbra_vm *vm, enum umbra_bus bus, struct umbra_io_bus *new)
{
	struct umbra_io_bus *old = bus_locked(vm, bus);

	rcu_assign_pointer(*bus_slot(vm, bus), new);
	synchronize_srcu_expedited(&vm->srcu);
	kfree(old);
}

int umbra_iodev_register(struct umbra_vm *vm, enum umbra_bus bus, gpa_t addr, u64 len,
			 struct umbra_iodev *dev)
{
	struct umbra_io_bus *old, *new;
	gpa_t last;
	u32 n, i;

	lockdep_assert_held(&vm->slots_lock);
	if (!len || check_add_overflow(addr, len - 1, &last))
		return -EINVAL;

	old = bus_locked(vm, bus);
	n = copy_ranges(NULL, old, NULL);
	if (n >= UMBRA_BUS_MAX)
		return -ENOSPC;
	new = kmalloc(struct_size(new, ranges, n + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->nr = n + 1;
	copy_ranges(new->ranges, old, NULL);

	/* Those above @last move up by one. */
	for (i = n; i > 0 && new->ranges[i - 1].start > last; i--)
		new->ranges[i] = new->ranges[i - 1];
	if (i > 0 && new->ranges[i - 1].last >= addr) {
		kfree(new);
		return -EEXIST;
	}
	new->ranges[i] = (struct bus_range){ .start = addr, .last = last, .dev = dev };

	publish_bus(vm, bus, new);
	return 0;
}

void umbra_iodev_unregister(struct umbra_vm *vm, enum umbra_bus bus, struct umbra_iodev *dev)
{
	struct umbra_io_bus *old, *new = NULL;
	u32 n, i;

	lockdep_assert_held(&vm->slots_lock);
	old = bus_locked(vm, bus);
	n = copy_ranges(NULL, old, dev);
	if (!old || n == old->nr)
		return;
	if (n) {
		new = kmalloc(struct_size(new, ranges, n), GFP_KERNEL_ACCOUNT);
		if (!new)
			goto vacate;
		new->nr = n;
		copy_ranges(new->ranges, old, dev);
	}
	publish_bus(vm, bus, new);
	return;

vacate:
	for (i = 0; i < old->nr; i++)
		if (old->ranges[i].dev == dev)
			WRITE_ONCE(old->ranges[i].dev, &vacant);
	synchronize_srcu_expedited(&vm->srcu);
}

/* The device whose range holds all of [@addr, @addr + @len), or NULL. */
static noinline struct umbra_iodev *search_dev(struct umbra_vcpu *vcpu, enum umbra_bus bus,
					       const struct umbra_io_bus *b, gpa_t addr,
					       unsigned int len)
{
	u32 lo = 0, hi = b->nr;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		const struct bus_range *r = &b->ranges[mid];

		if (addr < r->start) {
			hi = mid;
		} else if (addr > r->last) {
			lo = mid + 1;
		} else if (len - 1 > r->last - addr) {
			break;
		} else {
			vcpu->last_range[bus] = mid;
			return READ_ONCE(r->dev);
		}
	}
	return NULL;
}

/* Drivers use one port many times: where the last search ended comes first. */
static __always_inline struct umbra_iodev *find_dev(struct umbra_vcpu *vcpu, enum umbra_bus bus,
						    gpa_t addr, unsigned int len)
{
	struct umbra_vm *vm = vcpu->vm;
	const struct umbra_io_bus *b = srcu_dereference(*bus_slot(vm, bus), &vm->srcu);
	u32 last = vcpu->last_range[bus];

	if (!b)
		return NULL;
	/* A guess only: the bus may be another by now. */
	if (likely(last < b->nr && addr >= b->ranges[last].start &&
		   addr <= b->ranges[last].last && len - 1 <= b->ranges[last].last - addr))
		return READ_ONCE(b->ranges[last].dev);
	return search_dev(vcpu, bus, b, addr, len);
}

int umbra_io_read(struct umbra_vcpu *vcpu, enum umbra_bus bus, gpa_t addr, unsigned int len,
		  void *data)
{
	struct umbra_iodev *dev = find_dev(vcpu, bus, addr, len);

	return dev ? dev->ops->read(vcpu, dev, addr, len, data) : -EOPNOTSUPP;
}

int umbra_io_write(struct umbra_vcpu *vcpu, enum umbra_bus bus, gpa_t addr, unsigned int len,
		   const void *data)
{
	struct umbra_vm *vm = vcpu->vm;
	struct umbra_iodev *dev;

	/* Who asks for an address of a chip's means it. */
	if (rcu_access_pointer(vm->ioevents[bus]) && umbra_ioevent_write(vm, bus, addr, len, data))
		return 0;
	dev = find_dev(vcpu, bus, addr, len);
	if (dev && !dev->ops->write(vcpu, dev, addr, len, data))
		return 0;
	if (rcu_access_pointer(vm->zones) && umbra_coalesce_write(vm, bus, addr, len, data))
		return 0;
	return -EOPNOTSUPP;
}

void umbra_io_buses_destroy(struct umbra_vm *vm)
{
	kfree(rcu_replace_pointer(vm->pio_bus, NULL, true));
	kfree(rcu_replace_pointer(vm->mmio_bus, NULL, true));
}
