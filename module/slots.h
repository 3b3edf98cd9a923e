/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The array of memory slots, as far as it is arithmetic: no lock, no kernel. The
 * unit tests build it as it is.
 */
#ifndef UMBRA_SLOTS_H
#define UMBRA_SLOTS_H

#include "emul_types.h"

typedef u64 gfn_t;		/* as <linux/kvm_types.h> has it */

/**
 * struct umbra_slot - one memory slot, immutable once published but for @dirty
 * @base: first gfn
 * @npages: its length in pages, never 0
 * @hva: page-aligned userspace address of @base
 * @flags: KVM_MEM_*
 * @id: the caller's slot number
 * @dirty: dirty bitmap of @npages bits, set atomically; NULL when the slot
 *	is not logged, or logged in the rings of the vCPUs
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
 * struct umbra_slots - all slots of a VM, replaced as a whole
 * @nr: how many
 * @slot: @nr of them sorted by @base, which never overlap, then the same @nr
 *	sorted by @id
 */
struct umbra_slots {
	u32 nr;
	struct umbra_slot *slot[];
};

/* The index of the slot that holds @gfn; else of the first behind it, @nr if there is none. */
static inline u32 slots_search_gfn(const struct umbra_slots *slots, gfn_t gfn)
{
	u32 low = 0, high = slots->nr;

	while (low < high) {
		u32 mid = low + (high - low) / 2;
		const struct umbra_slot *slot = slots->slot[mid];

		if (gfn - slot->base < slot->npages)
			return mid;
		if (gfn < slot->base)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static inline struct umbra_slot *slots_find_gfn(const struct umbra_slots *slots, gfn_t gfn)
{
	u32 i = slots_search_gfn(slots, gfn);

	if (i == slots->nr || gfn - slots->slot[i]->base >= slots->slot[i]->npages)
		return NULL;
	return slots->slot[i];
}

/* The index, within the second half, of the first slot whose number is @id or more. */
static inline u32 slots_search_id(const struct umbra_slots *slots, u32 id)
{
	u32 low = 0, high = slots->nr;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (slots->slot[slots->nr + mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static inline struct umbra_slot *slots_find_id(const struct umbra_slots *slots, u32 id)
{
	u32 i = slots_search_id(slots, id);

	if (i == slots->nr || slots->slot[slots->nr + i]->id != id)
		return NULL;
	return slots->slot[slots->nr + i];
}

/* Does any slot but @except (may be NULL) have a page of [base, base + npages)? */
static inline bool slots_overlap(const struct umbra_slots *slots, const struct umbra_slot *except,
				 gfn_t base, unsigned long npages)
{
	u32 i;

	for (i = slots_search_gfn(slots, base); i < slots->nr; i++) {
		if (slots->slot[i]->base >= base + npages)
			return false;
		if (slots->slot[i] != except)
			return true;
	}
	return false;
}

/*
 * Copy a half of the array, without the slot at the index @skip (or @nr: with
 * all), and with @in, if there is one, before that which was at @at.
 */
static inline void slots_copy_half(struct umbra_slot **dst, struct umbra_slot *const *src, u32 nr,
				   u32 skip, struct umbra_slot *in, u32 at)
{
	memcpy(dst, src, skip * sizeof(*dst));
	if (skip < nr) {
		memcpy(dst + skip, src + skip + 1, (nr - skip - 1) * sizeof(*dst));
		nr--;
		at -= at > skip;
	}
	if (!in)
		return;
	memmove(dst + at + 1, dst + at, (nr - at) * sizeof(*dst));
	dst[at] = in;
}

/* Fill @new, whose @nr is right already, from @old: without @out, with @in (each may be NULL). */
static inline void slots_edit(struct umbra_slots *new, const struct umbra_slots *old,
			      const struct umbra_slot *out, struct umbra_slot *in)
{
	slots_copy_half(new->slot, old->slot, old->nr,
			out ? slots_search_gfn(old, out->base) : old->nr,
			in, in ? slots_search_gfn(old, in->base) : 0);
	slots_copy_half(new->slot + new->nr, old->slot + old->nr, old->nr,
			out ? slots_search_id(old, out->id) : old->nr,
			in, in ? slots_search_id(old, in->id) : 0);
}

/*
 * Can one page of @npages, a power of 2, map @gfn: does all of it lie in the
 * slot, and is the memory behind as aligned as the guest's address?
 */
static inline bool slot_fits_page(const struct umbra_slot *slot, gfn_t gfn, unsigned long npages)
{
	gfn_t mask = npages - 1;
	gfn_t first = gfn & ~mask;

	return first >= slot->base && first + mask - slot->base < slot->npages &&
	       !((slot->base ^ (slot->hva >> 12)) & mask);
}

#endif
