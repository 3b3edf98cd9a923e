/* SPDX-License-Identifier: GPL-2.0-only */
/* What vm.c, ioctl.c and the chips need of vcpu.c beyond umbra.h. */
#ifndef UMBRA_VCPU_H
#define UMBRA_VCPU_H

#include <linux/types.h>

struct umbra_vcpu;
struct kvm_mp_state;
struct kvm_signal_mask;

void umbra_vcpu_init_preempt(struct umbra_vcpu *vcpu);
void umbra_vcpu_reset(struct umbra_vcpu *vcpu, bool init);
void umbra_vm_publish_vcpu(struct umbra_vcpu *vcpu);
void umbra_vm_discard_vcpu(struct umbra_vcpu *vcpu);

int umbra_vcpu_get_mp_state(struct umbra_vcpu *vcpu, struct kvm_mp_state *state);
int umbra_vcpu_set_mp_state(struct umbra_vcpu *vcpu, const struct kvm_mp_state *state);

#endif
