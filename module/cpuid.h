/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID: what this host can give a guest, and what a guest was given. */
#ifndef UMBRA_CPUID_H
#define UMBRA_CPUID_H

#include <linux/kvm.h>
#include <linux/types.h>

struct umbra_vcpu;

#define UMBRA_CPUID_MAX		256
#define UMBRA_CPUID_BUCKETS	64

/**
 * struct umbra_cpuid - a guest's CPUID, and the words of it that are asked often
 * @entries: allocated, @nent of them, in the order that userspace gave
 * @last: the entry found last; guests ask for the same leaf again
 * @head: first entry of each hash bucket plus one, 0 for none
 * @next: the entry after this one in its bucket, likewise
 * @ran: KVM_RUN has been called: CPUID is fixed
 * @cr4_reserved: bits of CR4 that this CPUID does not have; see umbra_cpuid_cr4_reserved()
 * @xcr0_allowed: what leaf 0xd offers, of what the host can give
 * @pv_features: 0x40000001.eax
 * @enforce_pv: what that does not name is not there for the guest
 */
struct umbra_cpuid {
	struct kvm_cpuid_entry2 *entries;
	u32 nent;
	u16 last;
	u16 head[UMBRA_CPUID_BUCKETS];
	u16 next[UMBRA_CPUID_MAX];
	u8 maxphyaddr;
	bool ran;
	u64 cr4_reserved, efer_allowed, xcr0_allowed;
	bool x2apic, tsc_deadline, kvmclock, xsave, rdtscp, rdpid, nx, longmode, gbpages, la57, smep;
	bool smap, pku, tsc_adjust, mtrr, spec_ctrl, pred_cmd, amd;
	u32 pv_features;
	bool enforce_pv;
};

/* Is a paravirtual feature of KVM's there, KVM_FEATURE_*? */
static inline bool umbra_cpuid_has_pv(const struct umbra_cpuid *c, unsigned int feature)
{
	return !c->enforce_pv || (c->pv_features & (1U << feature));
}

/* At load, after the backend's and the FPU's setup: judge the host's CPU once. */
void umbra_cpuid_setup(void);
/*
 * KVM_GET_SUPPORTED_CPUID into @entries (room for @max): count, or -E2BIG.
 */
int umbra_cpuid_supported(struct kvm_cpuid_entry2 *entries, u32 max);
/*
 * Takes ownership of @entries (kvmalloc'ed) when it returns 0. -E2BIG; -EINVAL: an address
 * width that no CPU has, or a change after RUN.
 */
int umbra_cpuid_set(struct umbra_vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nent);
void umbra_cpuid_free(struct umbra_vcpu *vcpu);
/* Are MONITOR and MWAIT there for the guest, in CPUID or by KVM's quirk? */
bool umbra_cpuid_mwait(struct umbra_vcpu *vcpu);
/* Bits that follow state: OSXSAVE, APIC, OSPKE, MWAIT without KVM's quirk, XSAVE sizes. */
void umbra_cpuid_update(struct umbra_vcpu *vcpu);
/*
 * The instruction: leaf in *@eax, subleaf in *@ecx; out all four. Leaves out of range
 * as the guest's vendor answers them.
 */
void umbra_cpuid(struct umbra_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
/* Does @e speak for this leaf and subleaf? */
static inline bool umbra_cpuid_matches(const struct kvm_cpuid_entry2 *e, u32 function, u32 index)
{
	return e->function == function &&
	       (e->index == index || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX));
}

/* The entry that was found last, where it is asked for again: the usual case. NULL: it is not. */
static inline const struct kvm_cpuid_entry2 *umbra_cpuid_again(const struct umbra_cpuid *c,
							       u32 function, u32 index)
{
	const struct kvm_cpuid_entry2 *e = &c->entries[c->last];

	return c->last < c->nent && umbra_cpuid_matches(e, function, index) ? e : NULL;
}
const struct kvm_cpuid_entry2 *umbra_cpuid_find(struct umbra_vcpu *vcpu, u32 function, u32 index);

/* Bits of CR4 that @vcpu may not set: by its CPUID, or the host's before it has one. */
u64 umbra_cpuid_cr4_reserved(struct umbra_vcpu *vcpu);
/* Bits of EFER that @vcpu's CPUID allows, and those that this host can give at all. */
u64 umbra_cpuid_efer(struct umbra_vcpu *vcpu);
u64 umbra_cpuid_host_efer(void);
/* Bytes of an XSAVE area for @xcr0, in the standard or the compacted format. */
u32 umbra_xstate_size(u64 xcr0, bool compacted);

#endif
