// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: which pages of guest memory were written. The guest's own
 * writes are seen because the MMU lets a logged page be written only after it
 * has asked here; the kernel's writes call here on their own.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/kvm.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "trace.h"
#include "umbra.h"

/* What a vCPU writes at most from one look at UMBRA_REQ_RING_FULL to the next, generously. */
#define RING_RESERVE	64

#define WORD_PAGES	64		/* pages a word of a bitmap */

static bool ring_has_room(const struct umbra_vm *vm, const struct umbra_dirty_ring *ring, u32 room)
{
	return ring->dirty - READ_ONCE(ring->reset) + room < vm->ring_entries;
}

bool umbra_ring_is_full(const struct umbra_vcpu *vcpu)
{
	return !ring_has_room(vcpu->vm, &vcpu->ring, RING_RESERVE);
}

/*
 * An entry for @gfn. None is needed while the last one says the same and was not
 * given back: userspace reads the page after that. The barrier is between the
 * write to the page (or the right to it) and the look at @reset; it pairs with
 * those between giving back and protecting, and before the user reads.
 */
static void ring_push(struct umbra_vcpu *vcpu, const struct umbra_slot *slot, u64 gfn)
{
	struct umbra_dirty_ring *ring = &vcpu->ring;
	struct kvm_dirty_gfn *entry;

	smp_mb();
	if (ring->last_gfn == gfn && ring->dirty != READ_ONCE(ring->reset))
		return;
	if (!ring_has_room(vcpu->vm, ring, 0)) {
		umbra_vm_kill(vcpu->vm, "a dirty ring ran over");
		return;
	}
	entry = &ring->gfns[ring->dirty & (vcpu->vm->ring_entries - 1)];
	WRITE_ONCE(entry->slot, slot->id);
	WRITE_ONCE(entry->offset, gfn - slot->base);
	smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
	ring->last_gfn = gfn;
	umbra_trace(kvm_dirty_ring_push, vcpu, slot->id, gfn - slot->base);
	/* Only now may the entry be given back. */
	smp_store_release(&ring->dirty, ring->dirty + 1);
	if (umbra_ring_is_full(vcpu))
		umbra_request(vcpu, UMBRA_REQ_RING_FULL);
}

/* The vCPU that this thread has loaded; it stays the thread's wherever that goes. */
static struct umbra_vcpu *own_vcpu(void)
{
	struct umbra_vcpu *vcpu;

	preempt_disable();
	vcpu = umbra_running_vcpu();
	preempt_enable();
	return vcpu;
}

void umbra_mark_dirty(struct umbra_vm *vm, const struct umbra_slot *slot, u64 gfn)
{
	unsigned long i = gfn - slot->base;
	struct umbra_vcpu *vcpu;

	if (!umbra_slot_logged(slot))
		return;
	umbra_trace(umbra_mark_dirty, slot->id, gfn);
	if (vm->ring_entries) {
		vcpu = own_vcpu();
		/* Nothing but a vCPU's thread writes to guest memory. */
		if (!WARN_ON_ONCE(!vcpu || vcpu->vm != vm))
			ring_push(vcpu, slot, gfn);
	} else if (!test_bit(i, slot->dirty)) {
		set_bit(i, slot->dirty);
	}
}

void umbra_log_writes(struct umbra_vm *vm, const u64 *gpas, unsigned int nr)
{
	int idx = srcu_read_lock(&vm->srcu);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct umbra_slot *slot = umbra_gfn_to_slot(vm, gpas[i] >> PAGE_SHIFT);

		if (slot)
			umbra_mark_dirty(vm, slot, gpas[i] >> PAGE_SHIFT);
	}
	srcu_read_unlock(&vm->srcu, idx);
}

/* ------------------------------ bitmaps ------------------------------ */

bool umbra_log_initially_set(const struct umbra_vm *vm)
{
	return vm->manual_log & KVM_DIRTY_LOG_INITIALLY_SET && !vm->ring_entries;
}

int umbra_enable_manual_log(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 flags = cap->args[0];

	if (flags & ~(u64)UMBRA_MANUAL_LOG_FLAGS)
		return -EINVAL;
	/* Only who clears by hand can make sense of a log that begins full. */
	if (flags == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm->manual_log = flags;
	mutex_unlock(&vm->slots_lock);
	return 0;
}

#define LOG_CHUNK	(PAGE_SIZE / sizeof(u64))

/* What is to be done with a chunk of a log: @words are the user's, or become that. */
typedef int (*chunk_fn)(struct umbra_vm *vm, const struct umbra_slot *slot, unsigned long first,
			unsigned int count, u64 *words, u64 __user *user);

static int each_chunk(struct umbra_vm *vm, const struct umbra_slot *slot, unsigned long first,
		      unsigned long total, u64 __user *user, chunk_fn fn)
{
	u64 *words = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT);
	unsigned int count;
	int r = 0;

	if (!words)
		return -ENOMEM;
	for (; total && !r; first += count, user += count, total -= count) {
		count = min_t(unsigned long, total, LOG_CHUNK);
		r = fn(vm, slot, first, count, words, user);
		cond_resched();
	}
	free_page((unsigned long)words);
	return r;
}

/*
 * Forget those pages of the log that @words has, and protect them, so that
 * their next write is seen; @words keeps what was in the log. mmu_lock is taken.
 */
static void protect(struct umbra_vm *vm, const struct umbra_slot *slot, unsigned long first,
		    unsigned int count, u64 *words)
{
	atomic_long_t *log = (atomic_long_t *)slot->dirty + first;
	bool flush = false;
	unsigned int i;

	write_lock(&vm->mmu_lock);
	for (i = 0; i < count; i++) {
		words[i] &= atomic_long_read(&log[i]);
		if (!words[i])
			continue;
		words[i] &= atomic_long_fetch_andnot(words[i], &log[i]);
		flush |= umbra_mmu_write_protect(vm, slot->base + (first + i) * WORD_PAGES,
						 words[i]);
	}
	write_unlock(&vm->mmu_lock);
	/* What is written after this is in the next log, so the user may read the pages now. */
	if (flush)
		umbra_mmu_flush_remote(vm);
}

/* The user did not get these: they must come with the next call. */
static void put_back(const struct umbra_slot *slot, unsigned long first, unsigned int count,
		     const u64 *words)
{
	atomic_long_t *log = (atomic_long_t *)slot->dirty + first;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (words[i])
			atomic_long_or(words[i], &log[i]);
	}
}

static int take_chunk(struct umbra_vm *vm, const struct umbra_slot *slot, unsigned long first,
		      unsigned int count, u64 *words, u64 __user *user)
{
	memset(words, 0xff, count * sizeof(*words));
	protect(vm, slot, first, count, words);
	if (!copy_to_user(user, words, count * sizeof(*words)))
		return 0;
	put_back(slot, first, count, words);
	return -EFAULT;
}

static int show_chunk(struct umbra_vm *vm, const struct umbra_slot *slot, unsigned long first,
		      unsigned int count, u64 *words, u64 __user *user)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		words[i] = READ_ONCE(slot->dirty[first + i]);
	return copy_to_user(user, words, count * sizeof(*words)) ? -EFAULT : 0;
}

static int clear_chunk(struct umbra_vm *vm, const struct umbra_slot *slot, unsigned long first,
		       unsigned int count, u64 *words, u64 __user *user)
{
	if (copy_from_user(words, user, count * sizeof(*words)))
		return -EFAULT;
	protect(vm, slot, first, count, words);
	return 0;
}

/* slots_lock held: the slot that keeps a bitmap, or an error. */
static struct umbra_slot *logged_slot(struct umbra_vm *vm, u32 id)
{
	struct umbra_slot *slot = slots_find_id(umbra_slots(vm), id);

	return slot && slot->dirty ? slot : ERR_PTR(-ENOENT);
}

int umbra_get_dirty_log(struct umbra_vm *vm, u32 id, void __user *bitmap)
{
	struct umbra_slot *slot;
	int r;

	if (READ_ONCE(vm->ring_entries))
		return -ENXIO;
	if (id >= UMBRA_MAX_SLOTS)
		return -EINVAL;
	umbra_mmu_sync_log(vm);
	mutex_lock(&vm->slots_lock);
	slot = logged_slot(vm, id);
	if (IS_ERR(slot))
		r = PTR_ERR(slot);
	else
		r = each_chunk(vm, slot, 0, BITS_TO_LONGS(slot->npages), bitmap,
			       vm->manual_log ? show_chunk : take_chunk);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* Whole words, but where the slot ends within one. */
static int check_clear(const struct umbra_slot *slot, const struct kvm_clear_dirty_log *log)
{
	if (log->first_page > slot->npages || log->num_pages > slot->npages - log->first_page)
		return -EINVAL;
	if (log->num_pages % WORD_PAGES && log->num_pages != slot->npages - log->first_page)
		return -EINVAL;
	return 0;
}

int umbra_clear_dirty_log(struct umbra_vm *vm, const struct kvm_clear_dirty_log *log,
			  const void __user *bitmap)
{
	struct umbra_slot *slot;
	int r;

	if (READ_ONCE(vm->ring_entries))
		return -ENXIO;
	if (log->slot >= UMBRA_MAX_SLOTS || log->first_page % WORD_PAGES)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	slot = logged_slot(vm, log->slot);
	r = PTR_ERR_OR_ZERO(slot);
	if (!r)
		r = check_clear(slot, log);
	if (!r)
		r = each_chunk(vm, slot, log->first_page / WORD_PAGES,
			       BITS_TO_LONGS(log->num_pages), (u64 __user *)bitmap, clear_chunk);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* ------------------------------ rings ------------------------------ */

int umbra_enable_rings(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 bytes = cap->args[0];

	if (!is_power_of_2(bytes) || bytes < PAGE_SIZE)
		return -EINVAL;
	if (bytes > UMBRA_RING_MAX_BYTES)
		return -E2BIG;
	if (vm->ring_entries || vm->online_vcpus)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	WRITE_ONCE(vm->ring_entries, bytes / sizeof(struct kvm_dirty_gfn));
	mutex_unlock(&vm->slots_lock);
	return 0;
}

/** umbra_ring_create() - a new vCPU's ring, if the VM has rings; -ENOMEM */
int umbra_ring_create(struct umbra_vcpu *vcpu)
{
	size_t bytes = vcpu->vm->ring_entries * sizeof(struct kvm_dirty_gfn);

	if (!bytes)
		return 0;
	vcpu->ring.gfns = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return vcpu->ring.gfns ? 0 : -ENOMEM;
}

/** umbra_ring_destroy() - the pages that are still mapped go with their mapping */
void umbra_ring_destroy(struct umbra_vcpu *vcpu)
{
	vfree(vcpu->ring.gfns);
	vcpu->ring.gfns = NULL;
}

struct page *umbra_ring_page(struct umbra_vcpu *vcpu, unsigned long pgoff)
{
	unsigned long pages = vcpu->vm->ring_entries * sizeof(struct kvm_dirty_gfn) >> PAGE_SHIFT;
	unsigned long i = pgoff - KVM_DIRTY_LOG_PAGE_OFFSET;

	if (!vcpu->ring.gfns || i >= pages)
		return NULL;
	i = array_index_nospec(i, pages);
	return vmalloc_to_page((char *)vcpu->ring.gfns + (i << PAGE_SHIFT));
}

/* Pages of one word's range to be protected at once: entries often come in a row. */
struct reset_batch {
	const struct umbra_slot *slot;
	u64 first;
	u64 mask;
	bool flush;
};

static void batch_flush(struct umbra_vm *vm, struct reset_batch *batch)
{
	if (!batch->mask)
		return;
	write_lock(&vm->mmu_lock);
	batch->flush |= umbra_mmu_write_protect(vm, batch->slot->base + batch->first, batch->mask);
	write_unlock(&vm->mmu_lock);
	batch->mask = 0;
}

/* @id and @offset are whatever userspace has put there. */
static void batch_add(struct umbra_vm *vm, struct reset_batch *batch, u32 id, u64 offset)
{
	const struct umbra_slot *slot = slots_find_id(umbra_slots(vm), id);

	if (!slot || !umbra_slot_logged(slot) || offset >= slot->npages)
		return;
	if (slot != batch->slot || offset - batch->first >= WORD_PAGES) {
		batch_flush(vm, batch);
		batch->slot = slot;
		batch->first = ALIGN_DOWN(offset, WORD_PAGES);
	}
	batch->mask |= BIT_ULL(offset - batch->first);
}

/* Take back what userspace has done with; no more than was given out. */
static int reset_ring(struct umbra_vm *vm, struct umbra_dirty_ring *ring,
		      struct reset_batch *batch)
{
	u32 dirty = smp_load_acquire(&ring->dirty);
	struct kvm_dirty_gfn *entry;
	u64 offset;
	int n = 0;
	u32 id;

	for (; ring->reset != dirty && !fatal_signal_pending(current); n++) {
		entry = &ring->gfns[ring->reset & (vm->ring_entries - 1)];
		if (!(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		id = READ_ONCE(entry->slot);
		offset = READ_ONCE(entry->offset);
		WRITE_ONCE(entry->flags, 0);
		/* The owner may write the entry anew as soon as it sees this. */
		smp_store_release(&ring->reset, ring->reset + 1);
		batch_add(vm, batch, id, offset);
		cond_resched();
	}
	return n;
}

int umbra_reset_rings(struct umbra_vm *vm)
{
	struct reset_batch batch = {};
	struct umbra_vcpu *vcpu;
	int i, n = 0;

	if (!READ_ONCE(vm->ring_entries))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	umbra_for_each_vcpu(vm, i, vcpu)
		n += reset_ring(vm, &vcpu->ring, &batch);
	batch_flush(vm, &batch);
	/* What is written from now on has an entry of its own. */
	if (batch.flush)
		umbra_mmu_flush_remote(vm);
	smp_mb();	/* what was written without one can be read: see ring_push() */
	mutex_unlock(&vm->slots_lock);
	return n;
}
