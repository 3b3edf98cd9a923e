/* SPDX-License-Identifier: GPL-2.0-only */
/* The buses: who answers a port or an MMIO address in the kernel. */
#ifndef UMBRA_IODEV_H
#define UMBRA_IODEV_H

#include <linux/kvm_types.h>
#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;
struct umbra_iodev;

/**
 * struct umbra_iodev_ops - what a device answers
 * @read: fill @len bytes of @data; 0 handled, -EOPNOTSUPP: not mine after all
 * @write: take @len bytes of @data; the same
 *
 * Both are called by the vCPU that makes the access, in vm->srcu, with
 * preemption on; [@addr, @addr + @len) lies in the registered range.
 */
struct umbra_iodev_ops {
	int (*read)(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		    unsigned int len, void *data);
	int (*write)(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		     unsigned int len, const void *data);
};

struct umbra_iodev {
	const struct umbra_iodev_ops *ops;
};

enum umbra_bus { UMBRA_BUS_PIO, UMBRA_BUS_MMIO };

/* Ranges of one bus. */
#define UMBRA_BUS_MAX	1000

/**
 * umbra_iodev_register() - let a device answer a range of addresses
 * @vm: its slots_lock is held
 * @bus: which address space
 * @addr: first address
 * @len: how many, at least 1
 * @dev: who answers; it may own several ranges
 *
 * Return: 0; -EINVAL: empty or wrapping range; -EEXIST: part of it is taken;
 * -ENOSPC: the bus is full; -ENOMEM. After an error the bus is as it was.
 */
int umbra_iodev_register(struct umbra_vm *vm, enum umbra_bus bus, gpa_t addr, u64 len,
			 struct umbra_iodev *dev);
/**
 * umbra_iodev_unregister() - take all ranges of a device off a bus
 * @vm: its slots_lock is held
 * @bus: which address space
 * @dev: the device; after the return nobody is inside it. It need not be there
 *
 * Cannot fail, whatever memory there is. Sleeps.
 */
void umbra_iodev_unregister(struct umbra_vm *vm, enum umbra_bus bus, struct umbra_iodev *dev);
/* In vm->srcu. 0 handled, -EOPNOTSUPP nobody's. */
int umbra_io_read(struct umbra_vcpu *vcpu, enum umbra_bus bus, gpa_t addr, unsigned int len,
		  void *data);
int umbra_io_write(struct umbra_vcpu *vcpu, enum umbra_bus bus, gpa_t addr, unsigned int len,
		   const void *data);
/* The VM goes away: no vCPU left. */
void umbra_io_buses_destroy(struct umbra_vm *vm);

#endif
