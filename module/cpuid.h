/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID: what this host can give a guest, and what a guest was given. */
#ifndef UMBRA_CPUID_H
#define UMBRA_CPUID_H

#include <linux/kvm.h>
#include <linux/types.h>

struct umbra_vcpu;

#define UMBRA_CPUID_MAX	256

/**
 * struct umbra_cpuid - a guest's CPUID, and the words of it that are asked often
 * @entries: allocated, @nent of them; sorted by nothing, looked up linearly but
 *	for the last hit
 */
struct umbra_cpuid {
	struct kvm_cpuid_entry2 *entries;
	u32 nent;
	u8 maxphyaddr;
	bool ran;			/* KVM_RUN has been called: CPUID is fixed */
	u64 cr4_reserved, efer_allowed, xcr0_allowed;
	bool x2apic, tsc_deadline, kvmclock, xsave, rdtscp, nx, longmode, gbpages, la57, smep, smap, pku, amd;
	u32 pv_features;		/* 0x40000001.eax */
};

/* At load: judge the host's CPU once. */
void umbra_cpuid_setup(void);
/*
 * KVM_GET_SUPPORTED_CPUID into @entries (room for @max): count, or -E2BIG.
 */
int umbra_cpuid_supported(struct kvm_cpuid_entry2 *entries, u32 max);
/* Takes ownership of @entries (kvmalloc'ed) when it returns 0. -EINVAL, -EBUSY after RUN with a change. */
int umbra_cpuid_set(struct umbra_vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nent);
void umbra_cpuid_free(struct umbra_vcpu *vcpu);
/* Bits that follow state: OSXSAVE, APIC, OSPKE, XSAVE sizes. */
void umbra_cpuid_update(struct umbra_vcpu *vcpu);
/* The instruction: in EAX and ECX of @regs 0 and 2; out all four. Out of range leaves as the vendor does. */
void umbra_cpuid(struct umbra_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
const struct kvm_cpuid_entry2 *umbra_cpuid_find(struct umbra_vcpu *vcpu, u32 function, u32 index);

#endif
