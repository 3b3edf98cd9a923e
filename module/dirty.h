/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which pages of guest memory were written: a bitmap a slot, or a ring a vCPU
 * that its VMM maps. A VM has the one or the other.
 */
#ifndef UMBRA_DIRTY_H
#define UMBRA_DIRTY_H

#include <linux/kvm.h>
#include <linux/types.h>

struct page;
struct umbra_slot;
struct umbra_vcpu;
struct umbra_vm;

#define UMBRA_MANUAL_LOG_FLAGS	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)
#define UMBRA_RING_MAX_BYTES	(65536 * sizeof(struct kvm_dirty_gfn))

/**
 * struct umbra_dirty_ring - a vCPU's log of written pages
 * @gfns: the entries, a power of 2 of them, which userspace can write too:
 *	nothing that is read from them is trusted; NULL: the VM has no rings (c)
 * @dirty: how many were ever made; its owner's, others acquire it
 * @reset: how many of those were given back; under slots_lock, the owner reads it
 * @last_gfn: the page of the entry made last (o)
 */
struct umbra_dirty_ring {
	struct kvm_dirty_gfn *gfns;
	u32 dirty;
	u32 reset;
	u64 last_gfn;
};

/* Somebody wrote to @gfn of @slot: the log must know. Any context; with rings, the vCPU's thread. */
void umbra_mark_dirty(struct umbra_vm *vm, const struct umbra_slot *slot, u64 gfn);
/* Does a new log begin with all pages in it, and nothing protected? */
bool umbra_log_initially_set(const struct umbra_vm *vm);

/**
 * umbra_get_dirty_log() - KVM_GET_DIRTY_LOG: which pages were written
 * @vm: slots_lock is not held, nor vm->srcu
 * @id: slot number
 * @bitmap: room for a bit a page, in whole 64-bit words
 *
 * Without manual protection they are forgotten and protected again.
 *
 * Return: 0; -EINVAL: @id; -ENOENT: no such slot, or it keeps no log; -ENXIO:
 * the VM has rings; -EFAULT (no bit is lost then); -ENOMEM
 */
int umbra_get_dirty_log(struct umbra_vm *vm, u32 id, void __user *bitmap);
/**
 * umbra_clear_dirty_log() - KVM_CLEAR_DIRTY_LOG: forget pages and protect them again
 * @vm: slots_lock is not held, nor vm->srcu
 * @log: which pages
 * @bitmap: a bit for each
 *
 * Return: 0; -EINVAL: a range that is not the slot's or does not begin and end
 * with a word; -EFAULT: what stands before the bad address is done; the rest as
 * umbra_get_dirty_log()
 */
int umbra_clear_dirty_log(struct umbra_vm *vm, const struct kvm_clear_dirty_log *log,
			  const void __user *bitmap);
/* KVM_ENABLE_CAP, vm->lock held: 0, -EINVAL, -E2BIG. */
int umbra_enable_manual_log(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
int umbra_enable_rings(struct umbra_vm *vm, const struct kvm_enable_cap *cap);

int umbra_ring_create(struct umbra_vcpu *vcpu);		/* if the VM has rings; -ENOMEM */
void umbra_ring_destroy(struct umbra_vcpu *vcpu);
/* A page of the ring by its offset in the vCPU's mapping; NULL: it has no such page. */
struct page *umbra_ring_page(struct umbra_vcpu *vcpu, unsigned long pgoff);
/* Must the vCPU wait until entries are given back? What it may write until it asks again has room. */
bool umbra_ring_is_full(const struct umbra_vcpu *vcpu);
/* KVM_RESET_DIRTY_RINGS: how many entries were given back; -EINVAL: the VM has no rings. */
int umbra_reset_rings(struct umbra_vm *vm);

#endif
