/* SPDX-License-Identifier: GPL-2.0-only */
/* What vm.c, ioctl.c and the chips need of vcpu.c beyond umbra.h. */
#ifndef UMBRA_VCPU_H
#define UMBRA_VCPU_H

#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;
struct kvm_enable_cap;
struct kvm_mp_state;
struct kvm_signal_mask;

void umbra_vcpu_init_preempt(struct umbra_vcpu *vcpu);
void umbra_vcpu_reset(struct umbra_vcpu *vcpu, bool init);
void umbra_vm_publish_vcpu(struct umbra_vcpu *vcpu);
void umbra_vm_discard_vcpu(struct umbra_vcpu *vcpu);

/* halt.c */
/* vm->halt_poll_ns: the parameter of the module's is valid. */
#define UMBRA_HALT_POLL_DEFAULT	(~0u)
void umbra_halt_vm_init(struct umbra_vm *vm);
/* KVM_CAP_HALT_POLL: 0, -EINVAL (over a second, arguments that are not 0) */
int umbra_set_halt_poll(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
/* The vCPU is halted, or waits for INIT or SIPI: >0 look again, -EIO the VM is dead. */
int umbra_vcpu_block(struct umbra_vcpu *vcpu);
/* UMBRA_REQ_APF_WAIT: sleep until the page has come, or something else is to be done. */
void umbra_vcpu_await_page(struct umbra_vcpu *vcpu);
/* The CPU has seen it spin on PAUSE: let one that has no CPU run instead. */
void umbra_vcpu_on_spin(struct umbra_vcpu *vcpu);
/* The caller's CPU for @vcpu, which belongs to another thread, if that has none. */
void umbra_vcpu_yield_to(struct umbra_vcpu *vcpu);

int umbra_vcpu_get_mp_state(struct umbra_vcpu *vcpu, struct kvm_mp_state *state);
int umbra_vcpu_set_mp_state(struct umbra_vcpu *vcpu, const struct kvm_mp_state *state);

#endif
