// SPDX-License-Identifier: GPL-2.0-only
/*
 * A #PF in a shadow mode: the guest's own, or a page that is to be mapped, a write that is
 * to be emulated, or what leads to no memory.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/umbra.h>

#include "backend.h"
#include "genl.h"
#include "gwalk.h"
#include "mmu_shadow.h"
#include "umbra.h"

/* An instruction that can't be emulated is let write a table of the guest's so often. */
#define MANY_RETRIES	8

static u32 walk_access(struct umbra_vcpu *vcpu, u64 error)
{
	u32 access = (error & PFERR_WRITE ? UMBRA_GWALK_WRITE : 0) |
		     (error & PFERR_FETCH ? UMBRA_GWALK_EXEC : 0);

	if (error & PFERR_USER)
		return access | UMBRA_GWALK_USER;
	/* Of a user's instruction, but not an access of its own: to a descriptor or the like. */
	return umbra_hot(get_cpl)(vcpu) == 3 ? access | UMBRA_GWALK_IMPLICIT : access;
}

/* From here on it is as if nested paging had told of the access. */
static void found_access(struct umbra_vcpu *vcpu, gpa_t gpa, u64 error)
{
	struct umbra_exit *exit = &vcpu->exit;

	exit->reason = UMBRA_EXIT_PAGE_FAULT;
	exit->fault.gpa = gpa;
	exit->fault.error = (error & (PFERR_WRITE | PFERR_USER | PFERR_FETCH)) |
			    PFERR_GUEST_FINAL;
}

bool umbra_shadow_let_write(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_shadow *sv = vcpu->mmu.shadow;
	const struct umbra_exit *exit = &vcpu->exit;
	struct umbra_vm *vm = vcpu->vm;
	bool tracked;

	if (exit->reason != UMBRA_EXIT_PAGE_FAULT || !(exit->fault.error & PFERR_WRITE))
		return false;
	/* It needs the table for itself, to be fetched for example: it would go on so for ever. */
	if (sv->retries++ >= MANY_RETRIES)
		return false;
	sv->retry_rip = umbra_rip(vcpu);
	write_lock(&vm->mmu_lock);
	tracked = shadow_tracks(core_of(vm), gpa_to_gfn(exit->fault.gpa));
	shadow_untrack(core_of(vm), gpa_to_gfn(exit->fault.gpa));
	umbra_shadow_settle(vm);
	write_unlock(&vm->mmu_lock);
	return tracked;
}

/* A write that must be done here. That of an event's frame can't be: it is no instruction's. */
static int must_emulate(struct umbra_vcpu *vcpu)
{
	const struct umbra_events *ev = &vcpu->events;

	if (!ev->exc.injected && !ev->irq.injected && !ev->nmi_injected)
		return UMBRA_FAULT_EMULATE;
	return umbra_shadow_let_write(vcpu) ? UMBRA_FAULT_DONE : UMBRA_FAULT_MMIO;
}

/* mmu_lock held for writing, the pool is full. @tight: other tables had to go. */
static int put_in(struct umbra_vcpu *vcpu, const struct shadow_map *map, bool *tight)
{
	struct shadow_page *root = root_of(vcpu, map->gva);
	struct umbra_vm *vm = vcpu->vm;

	if (!root)
		return SHADOW_RETRY;
	umbra_shadow_set_limits(vm);
	*tight = umbra_shadow_make_room(vm);
	return shadow_map(core_of(vm), &vcpu->mmu.shadow->pool, root, map);
}

#define NOT_KNOWN	(-1)

/* Do without the host's page tables if other leaves tell what is behind the frame; or NOT_KNOWN. */
static int map_known(struct umbra_vcpu *vcpu, struct shadow_map *map, gfn_t gfn, bool *tight)
{
	struct umbra_vm *vm = vcpu->vm;
	int result = NOT_KNOWN;
	u64 known;

	write_lock(&vm->mmu_lock);
	known = shadow_known_leaf(core_of(vm), gfn);
	if (map->write && shadow_sees_writes(core_of(vm), gfn)) {
		result = SHADOW_EMULATE;
	} else if (map->large && !shadow_is_split(root_of(vcpu, map->gva), map->gva)) {
		/* Whether it is one page of the host's as well those tables alone tell. */
	} else if (known & SHADOW_W || (known && !map->write)) {
		map->entry = known & SHADOW_ADDR;
		map->large = false;
		/* It was marked dirty when it became writable. */
		map->writable = known & SHADOW_W;
		result = put_in(vcpu, map, tight);
		umbra_shadow_settle(vm);
	}
	write_unlock(&vm->mmu_lock);
	return result;
}

static int map_asked(struct umbra_vcpu *vcpu, struct shadow_map *map, const struct umbra_slot *slot,
		     gfn_t gfn, unsigned long seq, bool *tight)
{
	struct umbra_vm *vm = vcpu->vm;
	int result = SHADOW_RETRY, r;
	struct umbra_pfn pfn;

	r = umbra_mmu_fault_pfn(vcpu, slot, gfn, map->write, &pfn);
	if (r)
		return umbra_mmu_page_error(slot, gfn, r);
	map->entry = pfn.pfn << PAGE_SHIFT;
	/* Only memory that the host encrypts is encrypted: not that of devices. */
	if (pfn.page)
		map->entry = __sme_set(map->entry);
	/* With a log, a page becomes writable with its first write. */
	map->writable = pfn.writable && (map->write || !umbra_slot_logged(slot));

	write_lock(&vm->mmu_lock);
	if (!umbra_mmu_stale(vm, seq, umbra_slot_hva(slot, gfn))) {
		map->large = map->large && umbra_mmu_page_level(vm, slot, gfn, 2) == 2;
		result = put_in(vcpu, map, tight);
		umbra_pfn_mapped(&pfn);
		if (map->write && result == SHADOW_MAPPED)
			umbra_mark_dirty(vm, slot, gfn);
	}
	umbra_shadow_settle(vm);
	write_unlock(&vm->mmu_lock);
	umbra_pfn_put(&pfn);
	return result == SHADOW_EMULATE ? UMBRA_FAULT_EMULATE : UMBRA_FAULT_DONE;
}

static int map_page(struct umbra_vcpu *vcpu, struct shadow_map *map, const struct umbra_slot *slot,
		    gfn_t gfn, unsigned long seq)
{
	int r = umbra_shadow_fill_pool(vcpu);
	bool tight = false;

	if (r)
		return r;
	switch (map_known(vcpu, map, gfn, &tight)) {
	case NOT_KNOWN:
		r = map_asked(vcpu, map, slot, gfn, seq, &tight);
		break;
	case SHADOW_EMULATE:
		r = UMBRA_FAULT_EMULATE;
		break;
	default:
		r = UMBRA_FAULT_DONE;
	}
	if (unlikely(tight))
		umbra_event_quota(vcpu->vm);
	return r == UMBRA_FAULT_EMULATE ? must_emulate(vcpu) : r;
}

/* As far as guest and slot go. Without paging all is one page. */
static bool may_be_large(const struct umbra_gwalk *walk, const struct umbra_slot *slot, gfn_t gfn)
{
	return walk->level != 1 && umbra_mmu_slot_level(slot, gfn, 2) == 2 &&
	       !(umbra_mmu_large_code_hurts() && (walk->executable || !walk->level));
}

/* The guest's tables allow the access, and lead to memory or not. */
static int allowed_fault(struct umbra_vcpu *vcpu, gva_t gva, u64 error,
			 const struct umbra_gwalk *walk)
{
	struct shadow_map map = {
		.gva = gva,
		.walk = walk,
		.mode = umbra_shadow_mode(vcpu),
		.write = error & PFERR_WRITE,
		/* Pages of files come many at once, those that are written one by one. */
		.alone = error & PFERR_WRITE && vcpu->mmu.shadow->guest_fault == gva >> PAGE_SHIFT,
	};
	gfn_t gfn = gpa_to_gfn(walk->gpa);
	const struct umbra_slot *slot;
	unsigned long seq = umbra_mmu_read_seq(vcpu->vm);
	int r;

	slot = umbra_gfn_to_slot(vcpu->vm, gfn);
	found_access(vcpu, walk->gpa, error);
	if (!slot || (map.write && slot->flags & KVM_MEM_READONLY))
		return UMBRA_FAULT_MMIO;
	map.large = may_be_large(walk, slot, gfn);
	r = map_page(vcpu, &map, slot, gfn, seq);
	/* A key that refuses writes does not bind a supervisor without CR0.WP, but ours is set. */
	if (r == UMBRA_FAULT_DONE && error & PFERR_PK && !map.mode.wp &&
	    !vcpu->events.exc.pending)
		return must_emulate(vcpu);
	return r;
}

/* The guest takes a #PF, and the CPU would have nothing cached for @gva. */
static void shadow_gva_faulted(struct umbra_vcpu *vcpu, gva_t gva)
{
	struct umbra_vm *vm = vcpu->vm;
	struct shadow_page *root;

	/* On the way from the lazy mode to this one there are still tables of its kind. */
	if (READ_ONCE(vm->mmu.ops) == &umbra_mmu_shadow_eager)
		return;
	write_lock(&vm->mmu_lock);
	root = root_of(vcpu, gva);
	if (root && !root->dead)
		shadow_faulted(core_of(vm), root, gva);
	umbra_shadow_settle(vm);
	write_unlock(&vm->mmu_lock);
}

int umbra_shadow_fault(struct umbra_vcpu *vcpu, u64 gva, u64 error)
{
	struct umbra_vcpu_shadow *sv = vcpu->mmu.shadow;
	struct umbra_gwalk walk;

	if (unlikely(error & PFERR_RSVD)) {
		pr_err_ratelimited("reserved bits in the tables for linear address 0x%llx\n", gva);
		return -EIO;
	}
	if (sv->retry_rip != umbra_rip(vcpu))
		sv->retries = 0;
	switch (umbra_walk_gva(vcpu, gva, walk_access(vcpu, error), &walk)) {
	case UMBRA_GWALK_OK:
		return allowed_fault(vcpu, gva, error, &walk);
	case UMBRA_GWALK_FAULT:
		if (error & PFERR_PRESENT)
			shadow_gva_faulted(vcpu, gva);
		sv->guest_fault = gva >> PAGE_SHIFT;
		umbra_queue_page_fault(vcpu, gva, walk.error_code);
		return UMBRA_FAULT_DONE;
	case UMBRA_GWALK_RACE:
		return UMBRA_FAULT_DONE;
	default:
		/* The guest's tables are where no memory is. */
		return UMBRA_FAULT_MMIO;
	}
}
