// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shadow's entries and their chains: of the leaves that map a frame, by which the
 * host's changes and a table's protection find them, and of the entries that point to a
 * table. An entry comes and goes here alone, so that it is in its chain.
 */
#include "shadow_priv.h"

/* Leaves of one frame, or of its hash, that are looked at before it counts as unknown. */
#define LOOKED_AT	4

unsigned int shadow_rmap_hash(u64 gfn, int level)
{
	/* No frame has so high a number. */
	return shadow_hash(gfn | (u64)(level - 1) << 60, SHADOW_RMAP_BITS);
}

static u64 **rmap_chain(const struct shadow *m, u64 gfn, int level)
{
	return &m->rmap[shadow_rmap_hash(gfn, level)];
}

/* That of the large leaves around @gfn. */
static u64 **large_chain(const struct shadow *m, u64 gfn)
{
	return rmap_chain(m, gfn & ~(level_pages(2) - 1), 2);
}

/* ------------------------------ entries ------------------------------ */

static void chain_add(u64 **head, u64 *sptep)
{
	*next_of(shadow_owner(sptep), entry_index(sptep)) = *head;
	*head = sptep;
}

static void chain_del(u64 **head, u64 *sptep)
{
	while (*head != sptep)
		head = next_of(shadow_owner(*head), entry_index(*head));
	*head = next_in_chain(sptep);
}

void shadow_drop(struct shadow *m, struct shadow_page *sp, unsigned int i)
{
	u64 *sptep = &sp->spt[i], gfn;

	if (!(*sptep & SHADOW_P))
		return;
	if (shadow_is_leaf(sp, i)) {
		gfn = shadow_leaf_gfn(sp, i);
		chain_del(rmap_chain(m, gfn, sp->role.level), sptep);
		/* A half of one of 4 MiB. */
		m->split_gone += sp->role.narrow && sp->role.level > 1;
		shadow_trace_zap(gfn, sp->role.level, *sptep);
	} else {
		chain_del(&child_of(*sptep)->parents, sptep);
		m->split_gone += !sp->role.direct && child_of(*sptep)->role.direct;
	}
	WRITE_ONCE(*sptep, 0);
	clear_mark(sp->present, i);
	m->stale = true;
}

/*
 * A chain grows by an entry, and not beyond bounds: a guest can map one frame as often as
 * it likes, and to take an entry out of the middle is to look for it.
 */
static void chain_grow(struct shadow *m, u64 **head, u64 *sptep)
{
	unsigned int n = 1;
	u64 *p, *next;

	chain_add(head, sptep);
	for (p = *head; p; p = next) {
		next = next_in_chain(p);
		if (n++ > m->longest)
			shadow_drop(m, shadow_owner(p), entry_index(p));
	}
}

/* A new entry. */
static void put(struct shadow_page *sp, unsigned int i, u64 spte)
{
	WRITE_ONCE(sp->spt[i], spte);
	set_mark(sp->present, i);
}

void shadow_link(struct shadow *m, struct shadow_page *sp, unsigned int i,
		 struct shadow_page *child)
{
	put(sp, i, shadow_entry_of(child->spt) | SHADOW_TABLE);
	chain_grow(m, &child->parents, &sp->spt[i]);
}

void shadow_set_leaf(struct shadow *m, struct shadow_page *sp, unsigned int i, u64 gfn, u64 gpte,
		     u64 leaf)
{
	u64 old = sp->spt[i];
	bool grown = false;

	if (old & SHADOW_P && shadow_is_leaf(sp, i) && shadow_leaf_gfn(sp, i) == gfn &&
	    !((old ^ leaf) & SHADOW_ADDR)) {
		/* More rights need no flush: who lacks them faults. */
		if (shadow_loses(old, leaf))
			m->stale = true;
	} else {
		shadow_drop(m, sp, i);
		grown = true;
	}
	if (!sp->role.direct)
		*gpte_of(sp, i) = gpte;
	put(sp, i, leaf);
	shadow_trace_set(gfn, sp->role.level, &sp->spt[i]);
	if (grown)
		chain_grow(m, rmap_chain(m, gfn, sp->role.level), &sp->spt[i]);
}

/* A leaf of @level in the chain that maps the page which begins with @gfn. */
static u64 known_in(const u64 *sptep, u64 gfn, int level)
{
	unsigned int n, i;
	u64 known = 0;

	for (n = 0; sptep && n < LOOKED_AT && !(known & SHADOW_W); n++) {
		const struct shadow_page *sp = shadow_owner(sptep);

		i = entry_index(sptep);
		if (sp->role.level == level && shadow_leaf_gfn(sp, i) == gfn)
			known = *sptep;
		sptep = *next_of(sp, i);
	}
	return known;
}

u64 shadow_known_leaf(const struct shadow *m, u64 gfn)
{
	u64 in_large = gfn & (level_pages(2) - 1);
	u64 known = known_in(*rmap_chain(m, gfn, 1), gfn, 1);

	if (known & SHADOW_W)
		return known;
	/* The frame's part of a large page's leaf. */
	if (*large_chain(m, gfn)) {
		u64 large = known_in(*large_chain(m, gfn), gfn - in_large, 2);

		if (large)
			known = (large & ~SHADOW_LARGE) + (in_large << 12);
	}
	return known;
}

/* ------------------------------ all leaves of frames ------------------------------ */

typedef bool (*leaf_fn)(struct shadow *m, struct shadow_page *sp, unsigned int i, bool clear);

/* Call @fn for each leaf of a chain that maps some of [start, end); it may drop that leaf. */
static bool in_chain(struct shadow *m, u64 *sptep, u64 start, u64 end, leaf_fn fn, bool clear)
{
	bool any = false;
	u64 *next;

	for (; sptep; sptep = next) {
		struct shadow_page *sp = shadow_owner(sptep);
		unsigned int i = entry_index(sptep);
		u64 gfn = shadow_leaf_gfn(sp, i);

		next = *next_of(sp, i);
		if (gfn < end && gfn + level_pages(sp->role.level) > start)
			any |= fn(m, sp, i, clear);
	}
	return any;
}

static bool drop_leaf(struct shadow *m, struct shadow_page *sp, unsigned int i, bool clear)
{
	(void)clear;
	shadow_drop(m, sp, i);
	m->flush = true;
	return true;
}

/*
 * A large leaf goes, as the next write is of a part that must be known, or to be emulated alone.
 * Of bits that the CPU sets meanwhile none is needed.
 */
static bool make_read_only(struct shadow *m, struct shadow_page *sp, unsigned int i, u64 set,
			   u64 clear)
{
	u64 *sptep = &sp->spt[i], spte = *sptep;

	if (sp->role.level > 1)
		return drop_leaf(m, sp, i, false);
	if (!(spte & (SHADOW_W | clear)))
		return false;
	if (spte & SHADOW_W)
		m->flush = true;
	else
		set = 0;
	WRITE_ONCE(*sptep, (spte & ~(SHADOW_W | SHADOW_D | clear)) | set);
	return true;
}

static bool protect_leaf(struct shadow *m, struct shadow_page *sp, unsigned int i, bool clear)
{
	(void)clear;
	return make_read_only(m, sp, i, 0, SHADOW_HELD);
}

static bool hold_leaf(struct shadow *m, struct shadow_page *sp, unsigned int i, bool clear)
{
	(void)clear;
	return make_read_only(m, sp, i, SHADOW_HELD, 0);
}

static bool release_leaf(struct shadow *m, struct shadow_page *sp, unsigned int i, bool clear)
{
	u64 spte = sp->spt[i];

	(void)m;
	(void)clear;
	if (!(spte & SHADOW_HELD))
		return false;
	WRITE_ONCE(sp->spt[i], (spte & ~SHADOW_HELD) | SHADOW_W | SHADOW_D);
	return true;
}

static bool age_leaf(struct shadow *m, struct shadow_page *sp, unsigned int i, bool clear)
{
	u64 spte = READ_ONCE(sp->spt[i]);

	(void)m;
	if (!(spte & (SHADOW_A | SHADOW_WAS_A)))
		return false;
	if (clear)
		WRITE_ONCE(sp->spt[i], spte & ~(SHADOW_A | SHADOW_WAS_A));
	return true;
}

static bool each_leaf(struct shadow *m, u64 start, u64 end, leaf_fn fn, bool clear)
{
	bool any = false;
	unsigned int i;
	u64 gfn;

	/* What was dropped for the guest's sake is in no chain, and in a CPU perhaps. */
	if (fn != age_leaf && m->stale)
		m->flush = true;
	if (end - start < 1U << SHADOW_RMAP_BITS) {
		for (gfn = start; gfn < end; gfn++)
			any |= in_chain(m, *rmap_chain(m, gfn, 1), gfn, gfn + 1, fn, clear);
		for (gfn = start; gfn < end; gfn = (gfn | (level_pages(2) - 1)) + 1)
			any |= in_chain(m, *large_chain(m, gfn), gfn, gfn + 1, fn, clear);
		return any;
	}
	for (i = 0; i < 1U << SHADOW_RMAP_BITS; i++)
		any |= in_chain(m, m->rmap[i], start, end, fn, clear);
	return any;
}

void shadow_drop_leaves(struct shadow *m, u64 start, u64 end)
{
	each_leaf(m, start, end, drop_leaf, false);
}

void shadow_protect(struct shadow *m, u64 start, u64 end)
{
	each_leaf(m, start, end, protect_leaf, false);
}

void shadow_hold(struct shadow *m, u64 gfn)
{
	each_leaf(m, gfn, gfn + 1, hold_leaf, false);
}

void shadow_release(struct shadow *m, u64 gfn)
{
	each_leaf(m, gfn, gfn + 1, release_leaf, false);
}

bool shadow_age(struct shadow *m, u64 start, u64 end, bool clear)
{
	return each_leaf(m, start, end, age_leaf, clear);
}
