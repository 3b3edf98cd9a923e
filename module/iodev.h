/* SPDX-License-Identifier: GPL-2.0-only */
/* The buses: who answers a port or an MMIO address in the kernel. */
#ifndef UMBRA_IODEV_H
#define UMBRA_IODEV_H

#include <linux/kvm_types.h>
#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;
struct umbra_iodev;

struct umbra_iodev_ops {
	/* 0 handled; -EOPNOTSUPP not mine after all. @vcpu is the accessor. */
	int (*read)(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr, unsigned int len, void *data);
	int (*write)(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr, unsigned int len, const void *data);
};

struct umbra_iodev {
	const struct umbra_iodev_ops *ops;
};

enum umbra_bus { UMBRA_BUS_PIO, UMBRA_BUS_MMIO };

/* slots_lock held. -EEXIST, -ENOMEM, -ENOSPC */
int umbra_iodev_register(struct umbra_vm *vm, enum umbra_bus bus, gpa_t addr, u64 len, struct umbra_iodev *dev);
/* slots_lock held; after it returns nobody is inside @dev. */
void umbra_iodev_unregister(struct umbra_vm *vm, enum umbra_bus bus, struct umbra_iodev *dev);
/* In vm->srcu. 0 handled, -EOPNOTSUPP nobody's. */
int umbra_io_read(struct umbra_vcpu *vcpu, enum umbra_bus bus, gpa_t addr, unsigned int len, void *data);
int umbra_io_write(struct umbra_vcpu *vcpu, enum umbra_bus bus, gpa_t addr, unsigned int len, const void *data);
void umbra_io_buses_destroy(struct umbra_vm *vm);

#endif
