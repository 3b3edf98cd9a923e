/* SPDX-License-Identifier: GPL-2.0-only */
/* MSR policy, once for both vendors: what a guest may read and write. */
#ifndef UMBRA_MSR_H
#define UMBRA_MSR_H

#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;
struct kvm_msr_filter;
struct kvm_x86_mce;

#define UMBRA_MCE_BANKS		10
/* MCG_CAP bits that KVM_X86_GET_MCE_CAP_SUPPORTED reports: MCG_CTL is there, and software recovery. */
#define UMBRA_MCE_CAP		((1ULL << 8) | (1ULL << 24))
#define UMBRA_MTRR_VARIABLE	8

struct msr_row;

/**
 * struct umbra_msrs - MSRs that no VMCS or VMCB field holds
 * @mtrr_var: base and mask by turns
 * @mce: control, status, address and misc of each bank
 * @last_row: of @last_index, the MSR that the guest used last: it uses it again.
 *            NULL: none, or CPUID has changed since
 *
 * TSC, APIC base, kvmclock and the TSC deadline belong to time.c and lapic.c.
 */
struct umbra_msrs {
	u64 pat;
	u64 misc_enable;
	u64 mtrr_def;
	u64 mtrr_fixed[11];
	u64 mtrr_var[2 * UMBRA_MTRR_VARIABLE];
	u64 mcg_cap, mcg_status, mcg_ctl;
	u64 mce[UMBRA_MCE_BANKS * 4];
	u64 spec_ctrl;
	u64 tsc_aux;
	u64 platform_info;
	u64 power_ctl;
	u64 arch_capabilities;
	u64 microcode_version;
	u64 hwcr, de_cfg;
	u64 osvw_length, osvw_status;
	u64 steal_time, pv_eoi, poll_control;
	u64 apf_en, apf_int;
	u64 xss;			/* always 0: no supervisor state is offered */
	const struct msr_row *last_row;
	u32 last_index;
};

void umbra_msrs_reset(struct umbra_vcpu *vcpu, bool init);

/**
 * enum umbra_msr_result - what became of an access
 * @UMBRA_MSR_OK: done
 * @UMBRA_MSR_REFUSED: not this value, or not to this caller
 * @UMBRA_MSR_UNKNOWN: there is no such MSR
 * @UMBRA_MSR_FILTERED: userspace keeps the guest from it
 */
enum umbra_msr_result {
	UMBRA_MSR_OK,
	UMBRA_MSR_REFUSED,
	UMBRA_MSR_UNKNOWN,
	UMBRA_MSR_FILTERED,
};

/**
 * umbra_msr_read() - read a guest's MSR
 * @vcpu: owned
 * @index: MSR number, any
 * @value: result
 * @host: for KVM_GET_MSRS: what the guest's CPUID hides may be read too
 *
 * Return: enum umbra_msr_result; but for 0 the guest gets #GP(0)
 */
int umbra_msr_read(struct umbra_vcpu *vcpu, u32 index, u64 *value, bool host);
/** umbra_msr_write() - its counterpart */
int umbra_msr_write(struct umbra_vcpu *vcpu, u32 index, u64 value, bool host);

/* KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST: arrays and their lengths, fixed at load. */
void umbra_msr_setup(void);
unsigned int umbra_msr_list(const u32 **list);
unsigned int umbra_msr_feature_list(const u32 **list);
/* KVM_X86_SETUP_MCE: 0, -EINVAL. KVM_X86_SET_MCE likewise; it may queue #MC or a triple fault. */
int umbra_vcpu_setup_mce(struct umbra_vcpu *vcpu, u64 mcg_cap);
int umbra_vcpu_set_mce(struct umbra_vcpu *vcpu, const struct kvm_x86_mce *mce);
/* A feature MSR as the system fd reads it: 0 or 1. */
int umbra_msr_feature(u32 index, u64 *value);

/*
 * msr_filter.c. KVM_X86_SET_MSR_FILTER, vm->lock held: 0, -EINVAL, -EFAULT, -ENOMEM. Each vCPU
 * sees it by its next entry.
 */
int umbra_msr_filter_set(struct umbra_vm *vm, const struct kvm_msr_filter *in);
void umbra_msr_filter_destroy(struct umbra_vm *vm);	/* no vCPU left */
/* May the guest have this access, KVM_MSR_FILTER_READ or _WRITE? Any context. */
bool umbra_msr_allowed(struct umbra_vm *vm, u32 index, u32 access);

#endif
