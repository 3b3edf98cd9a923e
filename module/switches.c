// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kvm.h>
#include <asm/cpufeature.h>

#include "switches.h"
#include "umbra.h"

/* The first argument, if it is at most @max and there is no other. */
static bool take_arg(const struct kvm_enable_cap *cap, u64 max, u64 *arg)
{
	*arg = cap->args[0];
	return *arg <= max && !(cap->args[1] | cap->args[2] | cap->args[3]);
}

int umbra_enable_user_msrs(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	const u64 known = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
			  KVM_MSR_EXIT_REASON_FILTER;
	u64 mask;

	if (!take_arg(cap, known, &mask) || (mask & ~known))
		return -EINVAL;
	WRITE_ONCE(vm->user_msrs, mask);
	return 0;
}

static int set_bool(const struct kvm_enable_cap *cap, bool *flag, bool when_on)
{
	u64 on;

	if (!take_arg(cap, 1, &on))
		return -EINVAL;
	WRITE_ONCE(*flag, on ? when_on : !when_on);
	return 0;
}

int umbra_enable_exception_payload(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_bool(cap, &vm->exception_payload, true);
}

int umbra_enable_triple_fault_event(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_bool(cap, &vm->triple_fault_event, true);
}

int umbra_enable_platform_info(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_bool(cap, &vm->no_platform_info, false);
}

/* Those of before stay disabled or not as this one says. */
int umbra_disable_quirks(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 mask;

	if (!take_arg(cap, UMBRA_QUIRKS, &mask) || (mask & ~UMBRA_QUIRKS))
		return -EINVAL;
	WRITE_ONCE(vm->disabled_quirks, mask);
	return 0;
}

/* What was asked for once stays: a guest's interrupts may have come to rely on it. */
int umbra_enable_x2apic_api(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 flags;

	if (!take_arg(cap, UMBRA_X2APIC_API, &flags))
		return -EINVAL;
	WRITE_ONCE(vm->x2apic_api, vm->x2apic_api | flags);
	return 0;
}

/* Deep sleep of the host's CPU by MWAIT must stop neither its timer nor its wake-up. */
u32 umbra_exits_to_disable(void)
{
	bool mwait = boot_cpu_has(X86_FEATURE_MWAIT) && boot_cpu_has(X86_FEATURE_ARAT) &&
		     !boot_cpu_has_bug(X86_BUG_MONITOR);

	return KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |
	       (mwait ? KVM_X86_DISABLE_EXITS_MWAIT : 0);
}

/* A vCPU is made with the exits that it has. */
int umbra_disable_exits(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 exits;

	if (!take_arg(cap, umbra_exits_to_disable(), &exits) ||
	    (exits & ~(u64)umbra_exits_to_disable()) || vm->online_vcpus)
		return -EINVAL;
	vm->disabled_exits |= exits;
	return 0;
}

/* Once, and before the first vCPU: that fixes it. */
int umbra_enable_max_vcpu_id(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 ids;

	if (!take_arg(cap, UMBRA_MAX_VCPU_ID, &ids) || !ids)
		return -EINVAL;
	if (vm->max_vcpu_id && vm->max_vcpu_id != ids)
		return -EINVAL;
	vm->max_vcpu_id = ids;
	return 0;
}

int umbra_enforce_pv_features(struct umbra_vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	/* The MSR used last may be one that is not there any more. */
	vcpu->msrs.last_row = NULL;
	return set_bool(cap, &vcpu->cpuid.enforce_pv, true);
}
