/* SPDX-License-Identifier: GPL-2.0-only */
/* Accesses to guest-physical addresses without memory. The caller is the vCPU's owner, in vm->srcu. */
#ifndef UMBRA_MMIO_H
#define UMBRA_MMIO_H

#include <linux/kvm_types.h>
#include <linux/types.h>

struct umbra_vcpu;

/* At most 8 bytes from or to the device in the kernel that answers @gpa: 0, or -EOPNOTSUPP: nobody. */
int umbra_device_read(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data);
int umbra_device_write(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data);
/* Does the exit say where an access of the instruction at RIP led? Not where its code stands. */
bool umbra_mmio_address(struct umbra_vcpu *vcpu, gpa_t *gpa, bool *write);
/* Fill the run page for KVM_EXIT_MMIO; @data: NULL for a read. */
void umbra_mmio_exit(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data);
/* Do the instruction whose access found no memory; as umbra_handle_exit(). */
int umbra_mmio_fault(struct umbra_vcpu *vcpu);
/* Do the instruction whose access the CPU can't be let do, although it is to memory; likewise. */
int umbra_store_fault(struct umbra_vcpu *vcpu);

#endif
