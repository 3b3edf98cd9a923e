// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots: which host memory stands behind a gfn, and everything that
 * follows from it: the kernel's own reads and writes, and the host's notice that
 * its memory is about to change. The dirty log stands in dirty.c.
 *
 * The slots of a VM are one sorted array, replaced as a whole. It is published
 * under mmu_lock, together with a new invalidate_seq: a fault that looked up the
 * old array can't map anything after that, so that a zap which follows is final.
 * SRCU only says when the old array's memory may go.
 */
#include <linux/bitmap.h>
#include <linux/cache.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "umbra.h"

struct umbra_slots *umbra_slots(struct umbra_vm *vm)
{
	return srcu_dereference_check(vm->slots, &vm->srcu, lockdep_is_held(&vm->slots_lock));
}

/**
 * umbra_gfn_to_slot() - the slot that holds a gfn, or NULL
 * @vm: in vm->srcu, or slots_lock held
 * @gfn: as a guest chose it
 */
struct umbra_slot *umbra_gfn_to_slot(struct umbra_vm *vm, gfn_t gfn)
{
	return slots_find_gfn(umbra_slots(vm), gfn);
}

/** umbra_gfn_to_hva() - the user address that backs @gfn, or 0 */
unsigned long umbra_gfn_to_hva(struct umbra_vm *vm, gfn_t gfn, bool *writable)
{
	const struct umbra_slot *slot = umbra_gfn_to_slot(vm, gfn);

	if (!slot)
		return 0;
	if (writable)
		*writable = !(slot->flags & KVM_MEM_READONLY);
	return umbra_slot_hva(slot, gfn);
}

/* What of [gpa, gpa + len) lies in gpa's page. */
static unsigned int in_page(gpa_t gpa, unsigned int len)
{
	return min_t(unsigned int, len, PAGE_SIZE - offset_in_page(gpa));
}

int umbra_guest_read(struct umbra_vm *vm, gpa_t gpa, void *data, unsigned int len)
{
	unsigned long hva;
	unsigned int n;

	for (; len; len -= n, gpa += n, data += n) {
		n = in_page(gpa, len);
		hva = umbra_gfn_to_hva(vm, gpa_to_gfn(gpa), NULL);
		if (!hva || copy_from_user(data, (void __user *)(hva + offset_in_page(gpa)), n))
			return -EFAULT;
	}
	return 0;
}

/* The slot to write to and the user address of @gpa; NULL: not writable. */
static const struct umbra_slot *writable_slot(struct umbra_vm *vm, gpa_t gpa, unsigned long *hva)
{
	const struct umbra_slot *slot = umbra_gfn_to_slot(vm, gpa_to_gfn(gpa));

	if (!slot || slot->flags & KVM_MEM_READONLY)
		return NULL;
	*hva = umbra_slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa);
	return slot;
}

/* What a CPU writes in one access others see as one: entries of page tables above all. */
static int write_user(unsigned long hva, const void *data, unsigned int n)
{
	u64 value = 0;

	if (n > sizeof(value) || hva & (n - 1))
		return copy_to_user((void __user *)hva, data, n) ? -EFAULT : 0;
	memcpy(&value, data, n);
	switch (n) {
	case 8:
		return put_user(value, (u64 __user *)hva);
	case 4:
		return put_user((u32)value, (u32 __user *)hva);
	case 2:
		return put_user((u16)value, (u16 __user *)hva);
	default:
		return copy_to_user((void __user *)hva, data, n) ? -EFAULT : 0;
	}
}

/* @len bytes of a page have been written. */
static void note_write(struct umbra_vm *vm, const struct umbra_slot *slot, gpa_t gpa, unsigned int len)
{
	umbra_mark_dirty(vm, slot, gpa_to_gfn(gpa));
	/* The write before the look: what follows reads it, or is told of it. */
	smp_mb();
	if (unlikely(READ_ONCE(vm->mmu.shadow)))
		umbra_mmu_written(vm, gpa, len);
}

int umbra_guest_write(struct umbra_vm *vm, gpa_t gpa, const void *data, unsigned int len)
{
	const struct umbra_slot *slot;
	unsigned long hva;
	unsigned int n;

	for (; len; len -= n, gpa += n, data += n) {
		n = in_page(gpa, len);
		slot = writable_slot(vm, gpa, &hva);
		if (!slot || write_user(hva, data, n))
			return -EFAULT;
		note_write(vm, slot, gpa, n);
	}
	return 0;
}

/* A shadow of a page table there does not hear of it: the guest has no business with one. */
int umbra_guest_poke(struct umbra_vm *vm, gpa_t gpa, u8 value)
{
	const struct umbra_slot *slot;
	unsigned long hva;
	int r;

	slot = writable_slot(vm, gpa, &hva);
	if (!slot)
		return -EFAULT;
	pagefault_disable();
	r = put_user(value, (u8 __user *)hva);
	pagefault_enable();
	if (!r)
		umbra_mark_dirty(vm, slot, gpa_to_gfn(gpa));
	return r;
}

/* Each in one access; false: not in memory now. */
static bool peek(unsigned long hva, u64 *values, unsigned int n, unsigned int size)
{
	unsigned int i;
	u32 low;

	if (!user_access_begin((void __user *)hva, n * size))
		return false;
	for (i = 0; i < n; i++, hva += size) {
		if (size == 8) {
			unsafe_get_user(values[i], (u64 __user *)hva, fault);
		} else {
			unsafe_get_user(low, (u32 __user *)hva, fault);
			values[i] = low;
		}
	}
	user_access_end();
	return true;
fault:
	user_access_end();
	return false;
}

/**
 * umbra_guest_peek_entries() - entries of a page table, without sleeping
 * @vm: in vm->srcu; locks may be held
 * @gpa: of the first; all are in its page
 * @values: what they are
 * @n: how many
 * @size: of each: 4 or 8
 *
 * Return: 0; 1: the guest can't write there; -EFAULT: not in memory now, or nowhere
 */
int umbra_guest_peek_entries(struct umbra_vm *vm, gpa_t gpa, u64 *values, unsigned int n,
			     unsigned int size)
{
	const struct umbra_slot *slot = umbra_gfn_to_slot(vm, gpa_to_gfn(gpa));
	bool ok;

	if (!slot)
		return -EFAULT;
	pagefault_disable();
	ok = peek(umbra_slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa), values, n, size);
	pagefault_enable();
	return ok ? !!(slot->flags & KVM_MEM_READONLY) : -EFAULT;
}

/** umbra_guest_read_entry() - one aligned page-table entry, read in one access */
int umbra_guest_read_entry(struct umbra_vm *vm, gpa_t gpa, u64 *value, unsigned int size)
{
	unsigned long hva = umbra_gfn_to_hva(vm, gpa_to_gfn(gpa), NULL);
	u32 low;
	int r;

	if (!hva)
		return -EFAULT;
	hva += offset_in_page(gpa);
	if (size == 8)
		return get_user(*value, (u64 __user *)hva);
	r = get_user(low, (u32 __user *)hva);
	*value = low;
	return r;
}

/*
 * The helper's 1 says that the exchange was not done. Here that is no error:
 * *@old, which keeps what was found, tells it too.
 */
#define CMPXCHG_USER(type, hva, old, new) ({						\
	int __r = __try_cmpxchg_user((type __user *)(hva), (type *)(old),		\
				     *(const type *)(new), fault_##type);		\
	__r < 0 ? __r : 0;								\
})

/* 16 bytes: the kernel's helper stops at 8. */
static int cmpxchg16_user(unsigned long hva, u64 *old, const u64 *new)
{
	u64 *p = (u64 *)hva;
	int err = 0;

	if (!boot_cpu_has(X86_FEATURE_CX16))
		return -EINVAL;
	__uaccess_begin_nospec();
	asm volatile("1: lock cmpxchg16b (%[mem])\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %[err])
		     : [err] "+r" (err), "+a" (old[0]), "+d" (old[1])
		     : [mem] "r" (p), "b" (new[0]), "c" (new[1])
		     : "memory", "cc");
	__uaccess_end();
	return err;
}

static int cmpxchg_user(unsigned long hva, void *old, const void *new, unsigned int size)
{
	switch (size) {
	case 1:
		return CMPXCHG_USER(u8, hva, old, new);
	case 2:
		return CMPXCHG_USER(u16, hva, old, new);
	case 4:
		return CMPXCHG_USER(u32, hva, old, new);
	case 8:
		return CMPXCHG_USER(u64, hva, old, new);
	case 16:
		return cmpxchg16_user(hva, old, new);
	default:
		return -EINVAL;
	}
}

/* A lock over two cache lines ends the kernel where the CPU refuses to split locks. */
static bool lockable(gpa_t gpa, unsigned int size)
{
	unsigned int line = cache_line_size();

	if (size == 16)
		return !(gpa & 15);
	return !boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) || (gpa & (line - 1)) + size <= line;
}

int umbra_guest_cmpxchg(struct umbra_vm *vm, gpa_t gpa, void *old, const void *new,
			unsigned int size)
{
	unsigned int first = in_page(gpa, size);
	const struct umbra_slot *slot;
	unsigned long hva;
	int r;

	if (!lockable(gpa, size))
		return -EINVAL;
	slot = writable_slot(vm, gpa, &hva);
	/* Pages of one slot are neighbours in the user's memory too. */
	if (!slot || umbra_gfn_to_slot(vm, gpa_to_gfn(gpa + size - 1)) != slot)
		return -EFAULT;
	r = cmpxchg_user(hva, old, new, size);
	if (r)
		return r;
	/* A locked instruction writes even where it puts back what was there. */
	note_write(vm, slot, gpa, first);
	if (first < size)
		note_write(vm, slot, gpa + first, size - first);
	return 0;
}

/*
 * Memory that the kernel has no reference counts for, or must not touch them:
 * the pfn from the user's page tables. It is held by nothing; that the
 * notifier will tell before it goes is what makes it safe to map.
 */
static int remapped_pfn(struct vm_area_struct *vma, unsigned long hva, bool write,
			struct umbra_pfn *out)
{
	bool unlocked = false;
	int r;

	if (!(vma->vm_flags & VM_READ))
		return -EFAULT;
	if (write && !(vma->vm_flags & VM_WRITE))
		return -EROFS;
	r = umbra_follow_pfnmap(vma, hva, &out->pfn, &out->writable);
	if (r || (write && !out->writable)) {
		r = fixup_user_fault(current->mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
		if (unlocked)
			return -EAGAIN;		/* @vma may be gone */
		if (r)
			return r == -EHWPOISON ? r : -EFAULT;
		r = umbra_follow_pfnmap(vma, hva, &out->pfn, &out->writable);
	}
	if (r)
		return -EFAULT;
	return write && !out->writable ? -EROFS : 0;
}

/* What get_user_pages() does not give. */
static int special_pfn(unsigned long hva, bool write, bool may_write, struct umbra_pfn *out)
{
	struct vm_area_struct *vma;
	int r;

	do {
		mmap_read_lock(current->mm);
		vma = vma_lookup(current->mm, hva);
		if (vma && vma->vm_flags & (VM_IO | VM_PFNMAP))
			r = remapped_pfn(vma, hva, write, out);
		else
			r = -EFAULT;
		mmap_read_unlock(current->mm);
		if (r == -EAGAIN && signal_pending(current))
			return -EINTR;
	} while (r == -EAGAIN);
	/* The user may write where a read-only slot does not let the guest. */
	if (!may_write)
		out->writable = false;
	return r;
}

int umbra_gfn_to_pfn(const struct umbra_slot *slot, gfn_t gfn, bool write, bool wait,
		     struct umbra_pfn *out)
{
	bool may_write = !(slot->flags & KVM_MEM_READONLY);
	unsigned long hva = umbra_slot_hva(slot, gfn);
	unsigned int flags = FOLL_HWPOISON | (write ? FOLL_WRITE : 0) |
			     (wait ? UMBRA_FOLL_INTERRUPTIBLE : FOLL_NOWAIT);
	struct page *writable;
	long n;

	if (write && !may_write)
		return -EROFS;
	might_sleep();
	out->page = NULL;
	/* What the host already has writable needs no second fault to become it here. */
	if (may_write && get_user_page_fast_only(hva, FOLL_WRITE, &out->page)) {
		out->writable = true;
		out->pfn = page_to_pfn(out->page);
		return 0;
	}
	n = get_user_pages_unlocked(hva, 1, &out->page, flags);
	if (n != 1) {
		out->page = NULL;
		if (!n && !wait)
			return -EAGAIN;
		if (n == -EHWPOISON)
			return -EHWPOISON;
		if ((n == -EINTR || n == -EAGAIN) && signal_pending(current))
			return -EINTR;
		return special_pfn(hva, write, may_write, out);
	}
	out->writable = write;
	/* A read may have found memory that can be written as it is. */
	if (!write && may_write && get_user_page_fast_only(hva, FOLL_WRITE, &writable)) {
		put_page(out->page);
		out->page = writable;
		out->writable = true;
	}
	out->pfn = page_to_pfn(out->page);
	return 0;
}

void umbra_pfn_mapped(const struct umbra_pfn *pfn)
{
	struct folio *folio;

	if (!pfn->page)
		return;
	folio = page_folio(pfn->page);
	if (folio_test_reserved(folio))
		return;
	/*
	 * The guest may write from now until the notifier takes the page away,
	 * which the host does before it cleans a page.
	 */
	if (pfn->writable && !folio_test_dirty(folio))
		folio_set_dirty(folio);
	if (!folio_test_referenced(folio))
		folio_set_referenced(folio);
}

void umbra_pfn_put(struct umbra_pfn *pfn)
{
	if (pfn->page)
		put_page(pfn->page);
	pfn->page = NULL;
}

/* ------------------------------ changing slots ------------------------------ */

static void slot_free(struct umbra_slot *slot)
{
	if (slot)
		kvfree(slot->dirty);
	kfree(slot);
}

static struct umbra_slots *slots_alloc(u32 nr)
{
	struct umbra_slots *slots;

	slots = kvmalloc(struct_size(slots, slot, 2 * (size_t)nr), GFP_KERNEL_ACCOUNT);
	if (slots)
		slots->nr = nr;
	return slots;
}

/* From here on faults find the new slots, and those that found the old ones are stale. */
static void publish(struct umbra_vm *vm, struct umbra_slots *new)
{
	write_lock(&vm->mmu_lock);
	rcu_assign_pointer(vm->slots, new);
	vm->mmu.invalidate_seq++;
	write_unlock(&vm->mmu_lock);
}

/*
 * Put @new in the place of @old (each may be NULL), slots_lock held. Both are
 * complete, and nothing can fail once the new array is there.
 */
static int replace_slot(struct umbra_vm *vm, struct umbra_slot *old, struct umbra_slot *new)
{
	struct umbra_slots *before = umbra_slots(vm);
	struct umbra_slots *after = slots_alloc(before->nr - !!old + !!new);
	bool same_place = old && new && old->base == new->base;
	bool had_log = old && umbra_slot_logged(old);
	bool has_log = new && umbra_slot_logged(new);

	if (!after)
		return -ENOMEM;
	slots_edit(after, before, old, new);
	WRITE_ONCE(vm->mmu.logged, vm->mmu.logged + has_log - had_log);
	publish(vm, after);
	if (new && UMBRA_APIC_GFN - new->base < new->npages)
		umbra_mmu_leave_apic_page(vm);
	if (same_place && has_log && !had_log && !umbra_log_initially_set(vm))
		umbra_mmu_start_log(vm, old->base, old->base + old->npages);
	else if (old && (!same_place || (had_log && !has_log)))
		/* Gone or moved, or large pages may come back with the log's end. */
		umbra_mmu_zap(vm, old->base, old->base + old->npages, true);
	/* Nobody writes through the old slot when the call returns. */
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(before);
	if (old && new && old->dirty == new->dirty)
		old->dirty = NULL;
	slot_free(old);
	return 0;
}

/* What can be judged of the argument alone. */
static int check_region(const struct umbra_vm *vm, const struct kvm_userspace_memory_region *mem)
{
	u64 npages = mem->memory_size >> PAGE_SHIFT;

	if (mem->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if ((mem->memory_size | mem->guest_phys_addr | mem->userspace_addr) & ~PAGE_MASK)
		return -EINVAL;
	if (!access_ok((void __user *)(unsigned long)mem->userspace_addr, mem->memory_size) ||
	    mem->userspace_addr > TASK_SIZE_MAX - mem->memory_size)
		return -EINVAL;
	if (mem->guest_phys_addr + mem->memory_size < mem->guest_phys_addr)
		return -EINVAL;
	if (npages > UMBRA_MAX_SLOT_PAGES)
		return -EINVAL;
	if (npages && (mem->guest_phys_addr >> PAGE_SHIFT) + npages > vm->mmu.ops->max_gfn())
		return -EINVAL;
	return 0;
}

static struct umbra_slot *slot_alloc(const struct umbra_vm *vm,
				     const struct kvm_userspace_memory_region *mem,
				     const struct umbra_slot *old)
{
	struct umbra_slot *slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->base = mem->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = mem->memory_size >> PAGE_SHIFT;
	slot->hva = mem->userspace_addr;
	slot->flags = mem->flags;
	slot->id = mem->slot;
	if (!umbra_slot_logged(slot) || vm->ring_entries)
		return slot;
	if (old && old->dirty) {
		slot->dirty = old->dirty;
		return slot;
	}
	slot->dirty = kvcalloc(BITS_TO_LONGS(slot->npages), sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty) {
		kfree(slot);
		return NULL;
	}
	if (umbra_log_initially_set(vm))
		bitmap_set(slot->dirty, 0, slot->npages);
	return slot;
}

/* Create, move, or change the flags of a slot; slots_lock held. */
static int set_slot(struct umbra_vm *vm, const struct kvm_userspace_memory_region *mem,
		    struct umbra_slot *old)
{
	unsigned long npages = mem->memory_size >> PAGE_SHIFT;
	gfn_t base = mem->guest_phys_addr >> PAGE_SHIFT;
	struct umbra_slot *new;
	int r;

	if (old) {
		if (mem->userspace_addr != old->hva || npages != old->npages ||
		    (mem->flags ^ old->flags) & KVM_MEM_READONLY)
			return -EINVAL;
		if (base == old->base && mem->flags == old->flags)
			return 0;
	}
	if ((!old || base != old->base) && slots_overlap(umbra_slots(vm), old, base, npages))
		return -EEXIST;
	new = slot_alloc(vm, mem, old);
	if (!new)
		return -ENOMEM;
	r = replace_slot(vm, old, new);
	if (r) {
		if (old && old->dirty == new->dirty)
			new->dirty = NULL;
		slot_free(new);
	}
	return r;
}

int umbra_set_memory_region(struct umbra_vm *vm, const struct kvm_userspace_memory_region *mem)
{
	/* The upper half is the address space, of which there is one. */
	if (mem->slot >= UMBRA_MAX_SLOTS)
		return -EINVAL;
	return umbra_set_any_region(vm, mem);
}

int umbra_set_any_region(struct umbra_vm *vm, const struct kvm_userspace_memory_region *mem)
{
	struct umbra_slot *old;
	int r = check_region(vm, mem);

	if (r)
		return r;
	mutex_lock(&vm->slots_lock);
	old = slots_find_id(umbra_slots(vm), mem->slot);
	if (mem->memory_size)
		r = set_slot(vm, mem, old);
	else
		r = old ? replace_slot(vm, old, NULL) : -EINVAL;
	mutex_unlock(&vm->slots_lock);
	return r;
}

/** umbra_slots_create() - a new VM has none */
int umbra_slots_create(struct umbra_vm *vm)
{
	struct umbra_slots *slots = slots_alloc(0);

	if (!slots)
		return -ENOMEM;
	RCU_INIT_POINTER(vm->slots, slots);
	return 0;
}

/** umbra_slots_destroy() - of a VM that nobody can reach, its MMU gone */
void umbra_slots_destroy(struct umbra_vm *vm)
{
	struct umbra_slots *slots = rcu_dereference_protected(vm->slots, true);
	u32 i;

	for (i = 0; i < slots->nr; i++) {
		slot_free(slots->slot[i]);
		cond_resched();
	}
	kvfree(slots);
	RCU_INIT_POINTER(vm->slots, NULL);
}

/* ------------------------------ the notifier ------------------------------ */

typedef bool (*range_fn)(struct umbra_vm *vm, gfn_t start, gfn_t end, bool may_sleep);

/*
 * Call @fn for each run of gfns whose memory lies in [start, end), aliases too;
 * whether any call said true.
 */
static bool for_each_range(struct umbra_vm *vm, unsigned long start, unsigned long end,
			   bool may_sleep, range_fn fn)
{
	int i, idx = srcu_read_lock(&vm->srcu);
	struct umbra_slots *slots = srcu_dereference(vm->slots, &vm->srcu);
	bool any = false;

	for (i = 0; i < slots->nr; i++) {
		const struct umbra_slot *slot = slots->slot[i];
		unsigned long from = max(start, slot->hva);
		unsigned long to = min(end, slot->hva + (slot->npages << PAGE_SHIFT));

		if (from < to)
			any |= fn(vm, slot->base + ((from - slot->hva) >> PAGE_SHIFT),
				  slot->base + ((to - slot->hva + PAGE_SIZE - 1) >> PAGE_SHIFT),
				  may_sleep);
	}
	srcu_read_unlock(&vm->srcu, idx);
	return any;
}

static bool zap_range(struct umbra_vm *vm, gfn_t start, gfn_t end, bool may_sleep)
{
	umbra_mmu_zap(vm, start, end, may_sleep);
	return false;
}

static bool age(struct umbra_vm *vm, gfn_t start, gfn_t end, bool clear)
{
	bool young;

	write_lock(&vm->mmu_lock);
	young = umbra_mmu_age(vm, start, end, clear);
	write_unlock(&vm->mmu_lock);
	return young;
}

static bool age_range(struct umbra_vm *vm, gfn_t start, gfn_t end, bool may_sleep)
{
	return age(vm, start, end, true);
}

static bool test_range(struct umbra_vm *vm, gfn_t start, gfn_t end, bool may_sleep)
{
	return age(vm, start, end, false);
}

static struct umbra_vm *vm_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct umbra_vm, notifier);
}

/*
 * The order matters: the slots are looked up after invalidate_active is up, so
 * that a fault through a slot published since then is stale, and what was mapped
 * through one published before is found here.
 */
static int invalidate_range_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct umbra_vm *vm = vm_of(mn);
	struct umbra_vm_mmu *mmu = &vm->mmu;

	write_lock(&vm->mmu_lock);
	if (!mmu->invalidate_active++) {
		mmu->invalidate_start = range->start;
		mmu->invalidate_end = range->end;
	} else {
		mmu->invalidate_start = min(mmu->invalidate_start, range->start);
		mmu->invalidate_end = max(mmu->invalidate_end, range->end);
	}
	write_unlock(&vm->mmu_lock);
	for_each_range(vm, range->start, range->end, mmu_notifier_range_blockable(range),
		       zap_range);
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct umbra_vm *vm = vm_of(mn);

	write_lock(&vm->mmu_lock);
	vm->mmu.invalidate_seq++;
	WARN_ON_ONCE(--vm->mmu.invalidate_active < 0);
	write_unlock(&vm->mmu_lock);
}

static int clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
			     unsigned long end)
{
	struct umbra_vm *vm = vm_of(mn);
	bool young = for_each_range(vm, start, end, false, age_range);

	if (young)
		umbra_mmu_flush_remote(vm);
	return young;
}

/* Without a flush the next use may go unnoticed for a while: the caller can live with that. */
static int clear_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
		       unsigned long end)
{
	return for_each_range(vm_of(mn), start, end, false, age_range);
}

static int test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long address)
{
	return for_each_range(vm_of(mn), address, address + 1, false, test_range);
}

/* The address space goes, and with it all its memory; nobody runs in it any more. */
static void release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	for_each_range(vm_of(mn), 0, ULONG_MAX, true, zap_range);
}

static const struct mmu_notifier_ops notifier_ops = {
	.release = release,
	.invalidate_range_start = invalidate_range_start,
	.invalidate_range_end = invalidate_range_end,
	.clear_flush_young = clear_flush_young,
	.clear_young = clear_young,
	.test_young = test_young,
};

/** umbra_notifier_register() - the host tells of changes to vm->mm, current's, from now on */
int umbra_notifier_register(struct umbra_vm *vm)
{
	vm->notifier.ops = &notifier_ops;
	return mmu_notifier_register(&vm->notifier, vm->mm);
}

/** umbra_notifier_unregister() - no notifier is under way when this returns. May sleep. */
void umbra_notifier_unregister(struct umbra_vm *vm)
{
	mmu_notifier_unregister(&vm->notifier, vm->mm);
}
