/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: slots map gfns to host addresses; everything else that reaches
 * guest memory from the kernel goes through here.
 */
#ifndef UMBRA_MEMSLOT_H
#define UMBRA_MEMSLOT_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/nospec.h>
#include <linux/types.h>
#include <asm/page.h>

#include "slots.h"

struct umbra_vm;
struct umbra_vcpu;

#define UMBRA_MAX_SLOTS		32764
/* Behind those that userspace can name: the backend's own, in memory of the VMM's process. */
#define UMBRA_SLOT_IDENTITY	UMBRA_MAX_SLOTS
#define UMBRA_SLOT_TSS		(UMBRA_MAX_SLOTS + 1)
#define UMBRA_MAX_SLOT_PAGES	((1UL << 31) - 1)

static inline gfn_t gpa_to_gfn(gpa_t gpa)
{
	return gpa >> PAGE_SHIFT;
}

/* Does the VM want to know of each page of @slot that is written? */
static inline bool umbra_slot_logged(const struct umbra_slot *slot)
{
	return slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

/* All of these read the slots: the caller is in vm->srcu or holds slots_lock. */
struct umbra_slots *umbra_slots(struct umbra_vm *vm);
struct umbra_slot *umbra_gfn_to_slot(struct umbra_vm *vm, gfn_t gfn);
/* The address that backs @gfn, or 0; *@writable (if not NULL): not a KVM_MEM_READONLY slot. */
unsigned long umbra_gfn_to_hva(struct umbra_vm *vm, gfn_t gfn, bool *writable);

/**
 * umbra_guest_read() - copy from guest memory
 * @vm: in its mm's context (a vCPU thread or ioctl)
 * @gpa: any address; may cross pages
 * @data: kernel buffer of @len bytes
 * @len: bytes
 *
 * Return: 0, or -EFAULT where a page has no slot or can't be read
 */
int umbra_guest_read(struct umbra_vm *vm, gpa_t gpa, void *data, unsigned int len);
/** umbra_guest_write() - its counterpart; marks the pages dirty; -EFAULT for read-only slots too */
int umbra_guest_write(struct umbra_vm *vm, gpa_t gpa, const void *data, unsigned int len);
/* A byte, without sleeping: 0; -EFAULT: not in memory now, or it can't be written. Any context of @vm's mm. */
int umbra_guest_poke(struct umbra_vm *vm, gpa_t gpa, u8 value);
int umbra_guest_peek_entries(struct umbra_vm *vm, gpa_t gpa, u64 *values, unsigned int n,
			     unsigned int size);
/* One aligned entry of a page table, 4 or 8 bytes (@size), in a single access: 0, -EFAULT. */
int umbra_guest_read_entry(struct umbra_vm *vm, gpa_t gpa, u64 *value, unsigned int size);
/*
 * Atomic compare and exchange of 1, 2, 4, 8 or 16 bytes of a slot through the
 * user mapping: 0 with *@old updated to what was there (equal to what it was
 * before: exchanged), -EFAULT, -EINVAL for another size, and where this CPU has no
 * atomic access: 16 bytes that are not aligned, or a lock that it refuses to split.
 */
int umbra_guest_cmpxchg(struct umbra_vm *vm, gpa_t gpa, void *old, const void *new,
			unsigned int size);
/**
 * struct umbra_pfn - a host page found for a gfn
 * @pfn: host frame
 * @writable: may be mapped writable
 * @page: a reference is held on its page (memory with struct page), to be
 *	dropped by umbra_pfn_put() after it is mapped or given up
 */
struct umbra_pfn {
	kvm_pfn_t pfn;
	bool writable;
	struct page *page;
};

/**
 * umbra_gfn_to_pfn() - find, and fault in, the page behind a gfn
 * @slot: the slot that holds @gfn
 * @gfn: the page
 * @write: the page is about to be written
 * @wait: for what somebody else must do first: read it from a disk, supply it
 * @out: the page; put it with umbra_pfn_put()
 *
 * Sleeps, even if it does not @wait. The page may be mapped into the guest only under mmu_lock and while
 * umbra_mmu_stale() says no: see there.
 *
 * Return: 0; -EFAULT: nothing behind that address, or it can't be written;
 * -EHWPOISON: the page is broken memory; -EINTR: a signal is pending;
 * -EROFS: @write into a read-only slot, or into a device's memory that is mapped
 * read-only; -EAGAIN: it would have to wait
 */
int umbra_gfn_to_pfn(const struct umbra_slot *slot, gfn_t gfn, bool write, bool wait,
		     struct umbra_pfn *out);
/*
 * The guest has it now: let the host take it as used, and as dirty if it is
 * writable. mmu_lock is still held, or the host could have cleaned it before.
 */
void umbra_pfn_mapped(const struct umbra_pfn *pfn);
/* Drop the reference, once it is mapped or given up. */
void umbra_pfn_put(struct umbra_pfn *pfn);

/* The address of a page of @slot; @gfn lies in it. Not steered out of it by speculation. */
static inline unsigned long umbra_slot_hva(const struct umbra_slot *slot, gfn_t gfn)
{
	return slot->hva + (array_index_nospec(gfn - slot->base, slot->npages) << PAGE_SHIFT);
}

int umbra_slots_create(struct umbra_vm *vm);		/* empty; -ENOMEM */
void umbra_slots_destroy(struct umbra_vm *vm);
/**
 * umbra_set_memory_region() - KVM_SET_USER_MEMORY_REGION
 * @vm: slots_lock is not held, nor vm->srcu
 * @mem: the kernel's copy of the argument
 *
 * Return: 0; -EINVAL: flags, alignment, slot number, size, wrap, beyond what
 * the guest can address, an address that is not the user's, a slot that changes
 * size, memory or KVM_MEM_READONLY, a slot to delete that is not there;
 * -EEXIST: it overlaps another slot; -ENOMEM
 */
int umbra_set_memory_region(struct umbra_vm *vm, const struct kvm_userspace_memory_region *mem);
/* The same, for the backend's slots too. */
int umbra_set_any_region(struct umbra_vm *vm, const struct kvm_userspace_memory_region *mem);
/* mmu_notifier: register for current->mm, and the end of it. */
int umbra_notifier_register(struct umbra_vm *vm);
void umbra_notifier_unregister(struct umbra_vm *vm);

#endif
