/* SPDX-License-Identifier: GPL-2.0-only */
/* What the shadow modes' way to the world shares: mmu_shadow.c and mmu_shadow_fault.c. */
#ifndef UMBRA_MMU_SHADOW_H
#define UMBRA_MMU_SHADOW_H

#include "mmu_pool.h"
#include "shadow.h"
#include "umbra.h"

/**
 * struct umbra_vm_shadow - a VM's
 * @core: all tables (M)
 * @vm: whose
 * @spares: what its next tables are made of (M)
 * @slots: those that the quota was computed for (M)
 * @vcpus: how many there were then (M)
 */
struct umbra_vm_shadow {
	struct shadow core;
	struct umbra_vm *vm;
	struct umbra_spares spares;
	const struct umbra_slots *slots;
	int vcpus;
};

/**
 * struct umbra_vcpu_shadow - a vCPU's
 * @pool: for new tables (o)
 * @root: that of the address space, or of each of its 4 GiB (M)
 * @roots: how many
 * @resync: userspace may have changed the guest's tables (o)
 * @pae: what the CPU's CR3 points to outside long mode; below 4 GiB
 * @split_gone: for shadow_flush_gva() (M)
 * @guest_fault: the page of the last #PF that was the guest's (o)
 * @retry_rip: where an instruction was let write that can't be emulated (o)
 * @retries: how often (o)
 */
struct umbra_vcpu_shadow {
	struct shadow_pool pool;
	struct shadow_page *root[4];
	u8 roots;
	bool resync;
	u64 *pae;
	u32 split_gone;
	u64 guest_fault;
	u64 retry_rip;
	u8 retries;
};

static inline struct shadow *core_of(struct umbra_vm *vm)
{
	return &vm->mmu.shadow->core;
}

/* The root for @gva; NULL: there is none. mmu_lock held. */
static inline struct shadow_page *root_of(struct umbra_vcpu *vcpu, gva_t gva)
{
	struct umbra_vcpu_shadow *sv = vcpu->mmu.shadow;

	if (sv->roots == 1)
		return sv->root[0];
	return sv->roots ? sv->root[(gva >> 30) & 3] : NULL;
}

/* mmu_shadow.c */

/* What of the guest's state the tables depend on. */
union shadow_role umbra_shadow_mode(struct umbra_vcpu *vcpu);
/* What the next tables of this vCPU are made of; sleeps. */
int umbra_shadow_fill_pool(struct umbra_vcpu *vcpu);
/* The quota follows slots and vCPUs; mmu_lock held for writing, in vm->srcu. */
void umbra_shadow_set_limits(struct umbra_vm *vm);
/* mmu_lock held for writing. Some tables had to go: who calls tells of it without the lock. */
bool umbra_shadow_make_room(struct umbra_vm *vm);
/* The end of each change: mmu_lock held for writing, and about to be given up. */
void umbra_shadow_settle(struct umbra_vm *vm);

/* mmu_shadow_fault.c: of &struct umbra_mmu_ops */

int umbra_shadow_fault(struct umbra_vcpu *vcpu, u64 gva, u64 error);
bool umbra_shadow_let_write(struct umbra_vcpu *vcpu);

#endif
