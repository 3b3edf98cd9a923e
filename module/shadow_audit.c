// SPDX-License-Identifier: GPL-2.0-only
/*
 * The auditor of the shadow engine's core: what must hold of its tables between two changes.
 *
 * - each entry says what the guest's says, and allows no more;
 * - what maps a frame is in the frame's chain, what leads to a table in the table's, and
 *   nothing else is: nothing that was freed can be reached, and nothing is forgotten when a
 *   frame or a table goes;
 * - a table of the guest's is written unseen only where all that was made of it says so, and
 *   the ways there are marked.
 *
 * Chains are compared by counting: each of an entry's chain is one that is present and leads
 * there, and there are as many of them as of entries in the tables.
 */
#include "shadow_audit.h"
#include "shadow_priv.h"

#define PKEY_BITS	(0xfULL << 59)

static bool breaks(struct shadow_audit *a, const struct shadow_page *sp, unsigned int i,
		   const char *rule)
{
	a->broken = rule;
	a->sp = sp;
	a->index = i;
	return false;
}

/* ------------------------------ an entry ------------------------------ */

/* What the guest's entry lets be done, where nothing above takes it away. */
static bool leaf_allowed(struct shadow_audit *a, const struct shadow_page *sp, unsigned int i,
			 u64 gpte, bool rom)
{
	u64 spte = sp->spt[i];

	if (spte & SHADOW_W && !(gpte & GPTE_D) && !rom)
		return breaks(a, sp, i, "a page is writable whose entry is not dirty");
	if (spte & SHADOW_W && sp->role.wp && !(gpte & GPTE_W))
		return breaks(a, sp, i, "a page is writable that the guest has read-only");
	if (spte & SHADOW_U && !(gpte & GPTE_U))
		return breaks(a, sp, i, "a page is the user's that is the guest's supervisor's");
	if (!(spte & SHADOW_NX) && gpte & GPTE_NX && sp->role.nx && !sp->role.narrow)
		return breaks(a, sp, i, "a page is executable that the guest has not");
	return true;
}

/* What the way here lets be done, which a table's role remembers. */
static bool way_allows(struct shadow_audit *a, const struct shadow_page *sp, unsigned int i)
{
	u64 spte = sp->spt[i];
	unsigned int access = sp->role.access;

	if (spte & SHADOW_U && !(access & SHADOW_MAY_USER))
		return breaks(a, sp, i, "a page is the user's in a table of the supervisor's");
	/* Without CR0.WP a supervisor writes on pages of its own. A direct table's role says that. */
	if (spte & SHADOW_W && !(access & SHADOW_MAY_WRITE) &&
	    (sp->role.direct || sp->role.wp || spte & SHADOW_U))
		return breaks(a, sp, i, "a page is writable in a read-only table");
	if (!(spte & SHADOW_NX) && !(access & SHADOW_MAY_EXEC) && sp->role.nx)
		return breaks(a, sp, i, "a page is executable in a table where none is");
	return true;
}

static bool tracks_any(const struct shadow *m, u64 gfn, u64 count)
{
	while (count--) {
		if (shadow_tracks(m, gfn++))
			return true;
	}
	return false;
}

static bool leaf_ok(struct shadow *m, struct shadow_audit *a, const struct shadow_page *sp,
		    unsigned int i, u64 gpte, bool rom)
{
	u64 spte = sp->spt[i], gfn = shadow_leaf_gfn(sp, i), key, known;

	if (sp->role.level > 1 ? tracks_any(m, gfn, level_pages(sp->role.level)) :
	    spte & SHADOW_W && shadow_tracks(m, gfn) && !shadow_is_unsync(m, gfn))
		return breaks(a, sp, i, "a table of the guest's is writable, or in a large page");
	key = sp->role.direct ? (u64)sp->role.pkey << 59 : gpte & PKEY_BITS;
	if (sp->role.wide && (spte & PKEY_BITS) != key)
		return breaks(a, sp, i, "a leaf has another protection key than the guest says");
	known = shadow_known_leaf(m, gfn);
	if (known && (known ^ spte) & SHADOW_ADDR)
		return breaks(a, sp, i, "leaves of a frame map different memory");
	if (!way_allows(a, sp, i))
		return false;
	return sp->role.direct || leaf_allowed(a, sp, i, gpte, rom);
}

/* Rights stand in leaves alone. */
static bool link_ok(struct shadow *m, struct shadow_audit *a, const struct shadow_page *sp,
		    unsigned int i)
{
	const struct shadow_page *child = child_of(sp->spt[i]);

	if (~sp->spt[i] & SHADOW_TABLE)
		return breaks(a, sp, i, "a right is taken away above the leaf");
	if (!child || child->role.level + 1 != sp->role.level)
		return breaks(a, sp, i, "an entry leads to a table of another level");
	if (child->epoch != m->epoch)
		return breaks(a, sp, i, "an entry leads to a table that was not compared");
	if (child->role.access & ~sp->role.access && !child->role.direct)
		return breaks(a, sp, i, "a table allows what the way there does not");
	return true;
}

static bool entry_ok(struct shadow *m, struct shadow_audit *a, const struct shadow_page *sp,
		     unsigned int i)
{
	u64 gpte = 0;
	int r = 0;

	if (!sp->role.direct) {
		r = read_gptes(m, sp, i, &gpte, 1);
		if (sp->unsync) {
			gpte = *gpte_of(sp, i);
		} else if (r < 0) {
			/* It can't be read now. */
			return true;
		} else if (sp->role.level == 1 ? shadow_leaf_gfn(sp, i) != shadow_gpte_gfn(sp, gpte) :
						 (gpte ^ *gpte_of(sp, i)) & ~(GPTE_A | GPTE_D)) {
			return breaks(a, sp, i, "an entry leads elsewhere than the guest's");
		}
		if (!(gpte & GPTE_P) || (!(gpte & GPTE_A) && r <= 0))
			return breaks(a, sp, i, "an entry of what the guest has not, or has not used");
	}
	return shadow_is_leaf(sp, i) ? leaf_ok(m, a, sp, i, gpte, r > 0) : link_ok(m, a, sp, i);
}

/* ------------------------------ a table ------------------------------ */

/* Each way down to an unsynced table is marked, and all tables of its frame are unsynced. */
static bool unsync_ok(struct shadow *m, struct shadow_audit *a, const struct shadow_page *sp)
{
	const u64 *p;

	if (sp->unsync && (sp->role.level > 1 || sp->role.direct || !m->lazy))
		return breaks(a, sp, 0, "a table is unsynced that may not be");
	if (!sp->role.direct && sp->unsync != shadow_is_unsync(m, sp->gfn))
		return breaks(a, sp, 0, "of two tables of a frame one is unsynced");
	if (!sp->unsync && next_mark(sp->marked, 0) == SHADOW_ENTRIES)
		return true;
	for (p = sp->parents; p; p = next_in_chain(p)) {
		if (!has_mark(shadow_owner(p)->marked, entry_index(p)))
			return breaks(a, sp, 0, "a way to an unsynced table is not marked");
	}
	return true;
}

/* Who points here; adds to *@linked. */
static bool parents_ok(struct shadow_audit *a, const struct shadow_page *sp, unsigned long *linked)
{
	const u64 *p;

	for (p = sp->parents; p; p = next_in_chain(p)) {
		if (shadow_child(shadow_owner(p), entry_index(p)) != sp || shadow_owner(p)->dead)
			return breaks(a, sp, 0, "a table is not where its chain says");
		++*linked;
	}
	return true;
}

static bool table_ok(struct shadow *m, struct shadow_audit *a, const struct shadow_page *sp)
{
	unsigned int i;

	a->tables++;
	a->direct += sp->role.direct;
	a->frames += shadow_first_of(m, sp->gfn) == sp;
	if (shadow_owner(sp->spt) != sp || sp->dead)
		return breaks(a, sp, 0, "a table has another owner, or is dead");
	if (shadow_find(m, sp->gfn, sp->role) != sp)
		return breaks(a, sp, 0, "a table is not found by its frame and role");
	if (!unsync_ok(m, a, sp))
		return false;
	for (i = 0; i < SHADOW_ENTRIES; i++) {
		if (!(sp->spt[i] & SHADOW_P) != !has_mark(sp->present, i))
			return breaks(a, sp, i, "an entry is wrongly taken for present");
		if (!(sp->spt[i] & SHADOW_P) && sp->spt[i])
			return breaks(a, sp, i, "an entry that is not present is not zero");
		if (!has_mark(sp->present, i))
			continue;
		a->entries++;
		a->leaves += shadow_is_leaf(sp, i);
		/* One that was not compared since memory changed unseen leads nobody anywhere. */
		if (sp->epoch == m->epoch && !entry_ok(m, a, sp, i))
			return false;
	}
	return true;
}

/* ------------------------------ all ------------------------------ */

/* Every leaf that a frame's chain has; adds to *@chained. */
static bool chain_ok(struct shadow *m, struct shadow_audit *a, unsigned int hash,
		     unsigned long *chained)
{
	const u64 *p = m->rmap[hash];
	unsigned int n = 0;

	for (; p; p = next_in_chain(p)) {
		const struct shadow_page *sp = shadow_owner(p);

		if (++n > m->longest)
			return breaks(a, sp, entry_index(p), "a chain is longer than it may be");
		if (!(*p & SHADOW_P) || !shadow_is_leaf(sp, entry_index(p)) || sp->dead ||
		    shadow_rmap_hash(shadow_leaf_gfn(sp, entry_index(p)), sp->role.level) != hash)
			return breaks(a, sp, entry_index(p), "a chain has what maps another frame, or none");
		++*chained;
	}
	return true;
}

void shadow_audit(struct shadow *m, struct shadow_audit *a)
{
	unsigned long linked = 0, chained = 0, used = 0;
	const struct shadow_page *sp;
	unsigned int i;

	*a = (struct shadow_audit){};
	/* First those that lead nowhere wrong: what is behind an entry is looked at then. */
	for (sp = m->oldest; sp; sp = sp->newer) {
		used += sp->roots > 0;
		if (!parents_ok(a, sp, &linked))
			return;
	}
	for (i = 0; i < 1U << SHADOW_RMAP_BITS; i++) {
		if (!chain_ok(m, a, i, &chained))
			return;
	}
	for (sp = m->oldest; sp; sp = sp->newer) {
		if (!table_ok(m, a, sp))
			return;
	}
	if (a->leaves != chained)
		breaks(a, NULL, 0, "a leaf is not in the chain of its frame");
	else if (a->entries - a->leaves != linked)
		breaks(a, NULL, 0, "an entry leads to a table that does not know it");
	else if (a->tables != m->nr || used != m->used)
		breaks(a, NULL, 0, "the count of tables is wrong");
}
