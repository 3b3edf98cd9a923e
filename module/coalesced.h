/* SPDX-License-Identifier: GPL-2.0-only */
/* Writes that wait in a ring until the VMM looks. */
#ifndef UMBRA_COALESCED_H
#define UMBRA_COALESCED_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/types.h>

#include "iodev.h"

struct umbra_vm;

/* Zones of a VM: they are searched one by one. */
#define UMBRA_MAX_ZONES	1000

int umbra_coalesced_vm_init(struct umbra_vm *vm);	/* -ENOMEM */
/* No vCPU is left. */
void umbra_coalesced_vm_destroy(struct umbra_vm *vm);
/* KVM_REGISTER_COALESCED_MMIO: 0, -EINVAL (range, no bus), -ENOSPC, -ENOMEM */
int umbra_register_zone(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone *zone);
/* KVM_UNREGISTER_COALESCED_MMIO: 0, -EINVAL. Nothing is added for it afterwards. */
int umbra_unregister_zone(struct umbra_vm *vm, const struct kvm_coalesced_mmio_zone *zone);
/* In vm->srcu. true: the write waits in the ring; false: no zone, or the ring is full. */
bool umbra_coalesce_write(struct umbra_vm *vm, enum umbra_bus bus, gpa_t addr, unsigned int len,
			  const void *data);

#endif
