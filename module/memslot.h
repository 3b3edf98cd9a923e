/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: slots map gfns to host addresses; everything else that reaches
 * guest memory from the kernel goes through here.
 */
#ifndef UMBRA_MEMSLOT_H
#define UMBRA_MEMSLOT_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;

#define UMBRA_MAX_SLOTS		32764
#define UMBRA_MAX_SLOT_PAGES	((1UL << 31) - 1)

/**
 * struct umbra_slot - one memory slot, immutable once published but for @dirty
 * @base: first gfn
 * @npages: its length in pages, never 0
 * @hva: page-aligned userspace address of @base
 * @flags: KVM_MEM_*
 * @id: the caller's slot number
 * @dirty: dirty bitmap of @npages bits, set atomically; NULL when not logged
 */
struct umbra_slot {
	gfn_t base;
	unsigned long npages;
	unsigned long hva;
	u32 flags;
	u16 id;
	unsigned long *dirty;
};

/**
 * struct umbra_slots - all slots of a VM, sorted by @base; replaced as a whole
 * @generation: grows with each change
 */
struct umbra_slots {
	u64 generation;
	u32 nr;
	struct umbra_slot *slot[];
};

/* All of these read the slots: the caller is in vm->srcu (a running vCPU is), but for the ioctls. */
struct umbra_slot *umbra_gfn_to_slot(struct umbra_vm *vm, gfn_t gfn);
/* The address that backs @gfn, or 0 for none; *@writable: not a KVM_MEM_READONLY slot. */
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
/*
 * Atomic compare and exchange of 1, 2, 4, 8 or 16 naturally aligned bytes
 * through the user mapping: 0 with *@old updated to what was there, -EFAULT.
 */
int umbra_guest_cmpxchg(struct umbra_vm *vm, gpa_t gpa, void *old, const void *new, unsigned int size);
void umbra_mark_dirty(struct umbra_vm *vm, gfn_t gfn);

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

/*
 * Find and fault in the page behind @gfn. 0; -EFAULT; -EHWPOISON; -EAGAIN: a
 * signal is pending. Sleeps. -EROFS: @write into a read-only slot. -ENOENT: no slot.
 */
int umbra_gfn_to_pfn(struct umbra_vm *vm, const struct umbra_slot *slot, gfn_t gfn, bool write,
		     struct umbra_pfn *out);
void umbra_pfn_put(struct umbra_pfn *pfn, bool dirtied);

int umbra_slots_create(struct umbra_vm *vm);		/* empty; -ENOMEM */
void umbra_slots_destroy(struct umbra_vm *vm);
/* KVM_SET_USER_MEMORY_REGION; takes slots_lock. 0, -EINVAL, -EEXIST, -ENOMEM, -EFAULT */
int umbra_set_memory_region(struct umbra_vm *vm, const struct kvm_userspace_memory_region *mem);
/* KVM_GET_DIRTY_LOG: @bitmap user pointer; 0, -ENOENT, -EINVAL, -EFAULT, -ENOMEM */
int umbra_get_dirty_log(struct umbra_vm *vm, u32 id, void __user *bitmap);
/* mmu_notifier: register for current->mm, and the end of it. */
int umbra_notifier_register(struct umbra_vm *vm);
void umbra_notifier_unregister(struct umbra_vm *vm);

#endif
