// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the shadow follows the guest's changes to its tables. Where the guest can't write
 * a table unseen each write is told, and what it changed is taken away at once.
 *
 * A lazy shadow lets the guest write tables of the last level unseen, from their first
 * write on: such a frame is unsynced, and with it all tables of ours that are made of
 * it. What they say the guest could have cached since it flushed last. When it flushes,
 * or such a table is to be linked anew, they are compared with the frame, which is
 * made read-only again first. To find them, each entry on a way to one is marked.
 */
#include "shadow_priv.h"

/* Writes to a table, without a use of it, that make it none. */
#define MANY_WRITES	4

u64 shadow_soft_bits(const struct shadow_page *sp)
{
	return GPTE_W | GPTE_U | GPTE_A | GPTE_D | GPTE_IGNORED |
	       (sp->role.nx && !sp->role.narrow ? GPTE_NX : 0);
}

/* Does it lead elsewhere now, or lack a bit that the next access has to set? */
static bool is_other(const struct shadow_page *sp, u64 old, u64 now)
{
	if (sp->role.level == 1)
		return (old ^ now) & ~shadow_soft_bits(sp) || old & ~now & GPTE_A;
	return (old ^ now) & ~(GPTE_A | GPTE_D) || old & ~now;
}

/*
 * Where the guest has an entry lead nowhere it takes a table away, most often because it
 * needs the table no more.
 */
static void note_orphan(struct shadow *m, const struct shadow_page *sp, unsigned int i, u64 now)
{
	struct shadow_page *child = shadow_child(sp, i);

	if (child && !(now & GPTE_P) && !child->role.direct && !child->roots)
		m->orphan = child;
}

/* Its page will be written as memory, or be cleared for another table: either would exit. */
static void release_orphan(struct shadow *m)
{
	struct shadow_page *sp = m->orphan;

	m->orphan = NULL;
	if (sp && !sp->parents && !sp->roots)
		shadow_zap_page(m, sp);
}

/* The guest's entry is @now. */
static void update_entry(struct shadow *m, struct shadow_page *sp, unsigned int i, u64 now)
{
	u64 leaf;

	if (*gpte_of(sp, i) == now)
		return;
	if (is_other(sp, *gpte_of(sp, i), now)) {
		if (sp->role.level > 1)
			note_orphan(m, sp, i, now);
		shadow_drop(m, sp, i);
		return;
	}
	*gpte_of(sp, i) = now;
	if (sp->role.level > 1)
		return;
	leaf = shadow_narrow_leaf(sp, sp->spt[i], now);
	if (shadow_loses(sp->spt[i], leaf))
		m->stale = true;
	WRITE_ONCE(sp->spt[i], leaf);
}

void shadow_check_entry(struct shadow *m, struct shadow_page *sp, unsigned int i)
{
	u64 now;

	if (!has_mark(sp->present, i))
		return;
	if (read_gptes(m, sp, i, &now, 1) < 0)
		shadow_drop(m, sp, i);
	else
		update_entry(m, sp, i, now);
}

bool shadow_walk_start(const struct shadow *m, const struct shadow_page *root, u64 gva,
		       struct umbra_gwalk_start *start)
{
	const struct shadow_page *sp = root, *next;

	if (!sp || sp->role.direct || sp->epoch != m->epoch)
		return false;
	for (; sp->role.level > 1; sp = next) {
		next = shadow_child(sp, index_of(gva, sp->role.level));
		if (!next || next->role.direct || next->epoch != m->epoch)
			break;
	}
	start->table = sp->gfn << 12;
	start->way = (sp->role.access & SHADOW_MAY_WRITE ? GPTE_W : 0) |
		     (sp->role.access & SHADOW_MAY_USER ? GPTE_U : 0) |
		     (sp->role.access & SHADOW_MAY_EXEC ? 0 : GPTE_NX);
	start->level = sp->role.level;
	return true;
}

/* ------------------------------ what is seen ------------------------------ */

static void check_written(struct shadow *m, struct shadow_page *sp, unsigned int offset,
			  unsigned int len)
{
	unsigned int first = offset / gpte_size(sp), last = (offset + len - 1) / gpte_size(sp);

	if (sp->role.narrow) {
		unsigned int base = sp->role.quadrant * SHADOW_ENTRIES;

		if (sp->role.level == 2) {
			first *= 2;
			last = last * 2 + 1;
		}
		if (last < base || first >= base + SHADOW_ENTRIES)
			return;
		first = first < base ? 0 : first - base;
		last -= base;
	}
	for (; first <= last && first < SHADOW_ENTRIES; first++) {
		shadow_check_entry(m, sp, first);
		shadow_map_written(m, sp, first);
	}
}

/*
 * Has a CPU used it since it was asked last, as far as it has forgotten what it had cached?
 * Who forks writes to many entries of tables that are used before and after.
 */
static bool was_used(struct shadow_page *sp)
{
	bool used = false;
	unsigned int i;

	for (i = 0; (i = next_mark(sp->present, i)) < SHADOW_ENTRIES; i++) {
		u64 leaf = sp->spt[i];

		if (!shadow_is_leaf(sp, i) || !(leaf & SHADOW_A))
			continue;
		used = true;
		WRITE_ONCE(sp->spt[i], (leaf & ~SHADOW_A) | SHADOW_WAS_A);
	}
	return used;
}

static bool is_flooded(struct shadow_page *sp)
{
	if (sp->roots || ++sp->writes <= MANY_WRITES)
		return false;
	if (!was_used(sp))
		return true;
	sp->writes = 0;
	return false;
}

void shadow_written(struct shadow *m, u64 gfn, unsigned int offset, unsigned int len)
{
	struct shadow_page *sp = shadow_first_of(m, gfn), *next;

	for (; sp && !sp->unsync; sp = next) {
		next = shadow_next_of(sp);
		if (is_flooded(sp))
			shadow_zap_page(m, sp);
		else
			check_written(m, sp, offset, len);
	}
	release_orphan(m);
}

bool shadow_flush_gva(struct shadow *m, struct shadow_page *root, u64 gva, u32 *seen)
{
	struct shadow_page *sp = root;
	unsigned int i;
	bool wide;

	for (;; sp = child_of(sp->spt[i])) {
		i = index_of(gva, sp->role.level);
		if (!sp->role.direct)
			shadow_check_entry(m, sp, i);
		/* The other half of a page of 4 MiB. */
		if (sp->role.narrow && sp->role.level == 2)
			shadow_check_entry(m, sp, i ^ 1);
		if (!(sp->spt[i] & SHADOW_P) || shadow_is_leaf(sp, i))
			break;
	}
	wide = *seen != m->split_gone;
	*seen = m->split_gone;
	return wide;
}

void shadow_faulted(struct shadow *m, struct shadow_page *root, u64 gva)
{
	struct shadow_page *sp = root;
	unsigned int i = index_of(gva, sp->role.level);

	/* Unsynced tables of the last level alone can say what is no more. */
	for (; sp->role.level > 1; i = index_of(gva, sp->role.level)) {
		sp = has_mark(sp->marked, i) ? shadow_child(sp, i) : NULL;
		if (!sp)
			return;
	}
	if (sp->unsync)
		shadow_check_entry(m, sp, i);
}

void shadow_distrust(struct shadow *m)
{
	m->epoch++;
}

/* ------------------------------ what is not ------------------------------ */

bool shadow_is_unsync(const struct shadow *m, u64 gfn)
{
	const struct shadow_page *sp = shadow_first_of(m, gfn);

	return sp && sp->unsync;
}

/* Only of the last level: it has no mark of its own, and what it leads to is memory. */
static bool can_unsync(const struct shadow *m, u64 gfn)
{
	const struct shadow_page *sp;

	for (sp = shadow_first_of(m, gfn); sp; sp = shadow_next_of(sp)) {
		if (sp->role.level > 1)
			return false;
	}
	return m->lazy;
}

bool shadow_sees_writes(const struct shadow *m, u64 gfn)
{
	return shadow_tracks(m, gfn) && !can_unsync(m, gfn);
}

/* Mark what leads to @sp, up to where all is marked already. */
static void mark_way(struct shadow_page *sp)
{
	u64 *p;

	for (p = sp->parents; p; p = next_in_chain(p)) {
		struct shadow_page *parent = shadow_owner(p);
		bool first = next_mark(parent->marked, 0) == SHADOW_ENTRIES;

		set_mark(parent->marked, entry_index(p));
		if (first)
			mark_way(parent);
	}
}

bool shadow_unsync(struct shadow *m, u64 gfn)
{
	struct shadow_page *sp;

	if (!can_unsync(m, gfn))
		return false;
	shadow_trace_unsync(gfn);
	for (sp = shadow_first_of(m, gfn); sp; sp = shadow_next_of(sp)) {
		sp->unsync = true;
		mark_way(sp);
	}
	return true;
}

/* The frame is read-only from the next flush on. Its tables are put on @list. */
static void end_unsync(struct shadow *m, u64 gfn, struct shadow_page **list)
{
	struct shadow_page *sp;

	shadow_trace_sync(gfn);
	for (sp = shadow_first_of(m, gfn); sp; sp = shadow_next_of(sp)) {
		sp->unsync = false;
		sp->writes = 0;
		sp->to_compare = *list;
		*list = sp;
	}
	shadow_hold(m, gfn);
}

static void collect(struct shadow *m, struct shadow_page *sp, struct shadow_page **list)
{
	struct shadow_page *child;
	unsigned int i;

	if (sp->unsync)
		end_unsync(m, sp->gfn, list);
	for (i = 0; (i = next_mark(sp->marked, i)) < SHADOW_ENTRIES; i++) {
		clear_mark(sp->marked, i);
		child = shadow_child(sp, i);
		if (child)
			collect(m, child, list);
	}
}

/* The entries of ours from @i on whose numbers @present has against the guest's. */
static void compare_group(struct shadow *m, struct shadow_page *sp, unsigned int i,
			  unsigned int present)
{
	u64 now[GROUP];
	bool read;

	if (!present)
		return;
	read = read_gptes(m, sp, i, now, GROUP) >= 0;
	for (; present; present &= present - 1) {
		unsigned int n = __builtin_ctz(present);

		if (read)
			update_entry(m, sp, i + n, now[n]);
		else
			shadow_drop(m, sp, i + n);
	}
}

/* Nobody writes to their frames unseen once the CPUs have flushed. */
static void compare(struct shadow *m, struct shadow_page *sp)
{
	unsigned int i;

	if (sp && m->flush)
		m->ops->flush(m);
	for (; sp; sp = sp->to_compare) {
		for (i = 0; i < SHADOW_ENTRIES; i += GROUP)
			compare_group(m, sp, i, marks_of_group(sp->present, i));
	}
}

void shadow_sync_frame(struct shadow *m, u64 gfn)
{
	struct shadow_page *list = NULL;

	end_unsync(m, gfn, &list);
	compare(m, list);
}

void shadow_sync(struct shadow *m, struct shadow_page *sp)
{
	struct shadow_page *list = NULL;

	collect(m, sp, &list);
	compare(m, list);
}
