/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What userspace turns on with KVM_ENABLE_CAP that is a switch and no more. All with
 * vm->lock held: 0, -EINVAL (an argument that is not known).
 */
#ifndef UMBRA_SWITCHES_H
#define UMBRA_SWITCHES_H

#include <linux/kvm.h>

/* What KVM does against the manuals, for the sake of old guests, unless it is told not to. */
#define UMBRA_QUIRKS	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE |	\
			 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
			 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

#define UMBRA_X2APIC_API	(KVM_X2APIC_API_USE_32BIT_IDS |	\
				 KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

#define umbra_lets(vm, exits)		((vm)->disabled_exits & (exits))
#define umbra_has_quirk(vm, quirk)	(!(READ_ONCE((vm)->disabled_quirks) & (quirk)))

struct kvm_enable_cap;
struct umbra_vm;
struct umbra_vcpu;

int umbra_enable_user_msrs(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
int umbra_enable_exception_payload(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
int umbra_enable_triple_fault_event(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
int umbra_enable_platform_info(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
int umbra_disable_quirks(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
int umbra_enable_x2apic_api(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
/* KVM_X86_DISABLE_EXITS_* that this machine can do without. */
u32 umbra_exits_to_disable(void);
int umbra_disable_exits(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
int umbra_enable_max_vcpu_id(struct umbra_vm *vm, const struct kvm_enable_cap *cap);

/* Of a vCPU, loaded or not; 0, -EINVAL likewise. */
int umbra_enforce_pv_features(struct umbra_vcpu *vcpu, const struct kvm_enable_cap *cap);

#endif
