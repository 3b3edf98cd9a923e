/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the shadow engine's core share: shadow.c, which maps and forgets,
 * shadow_rmap.c, which has the entries and their chains, and shadow_sync.c, which follows
 * the guest's changes to its tables.
 */
#ifndef UMBRA_SHADOW_PRIV_H
#define UMBRA_SHADOW_PRIV_H

#include "shadow.h"
#include "shadow_env.h"

#define GPTE_P		(1ULL << 0)
#define GPTE_W		(1ULL << 1)
#define GPTE_U		(1ULL << 2)
#define GPTE_A		(1ULL << 5)
#define GPTE_D		(1ULL << 6)
#define GPTE_NX		(1ULL << 63)
/* Global, and what software keeps there. */
#define GPTE_IGNORED	(0xfULL << 8)

static inline unsigned int index_of(u64 gva, int level)
{
	return (gva >> (12 + 9 * (level - 1))) & (SHADOW_ENTRIES - 1);
}

static inline unsigned int entry_index(const u64 *sptep)
{
	return ((unsigned long)sptep & 4095) / sizeof(*sptep);
}

static inline struct shadow_page *child_of(u64 spte)
{
	return shadow_owner(shadow_table_of(spte & SHADOW_ADDR));
}

/* The guest's entry that the present one was made of. */
static inline u64 *gpte_of(const struct shadow_page *sp, unsigned int i)
{
	return &sp->gpte[i / SHADOW_PART_ENTRIES][i % SHADOW_PART_ENTRIES];
}

/* What follows it in its chain. */
static inline u64 **next_of(const struct shadow_page *sp, unsigned int i)
{
	return &sp->next[i / SHADOW_PART_ENTRIES][i % SHADOW_PART_ENTRIES];
}

static inline u64 *next_in_chain(const u64 *sptep)
{
	return *next_of(shadow_owner(sptep), entry_index(sptep));
}

/* Is there room for both? */
static inline bool has_parts(const struct shadow_page *sp, unsigned int i)
{
	return sp->next[i / SHADOW_PART_ENTRIES];
}

/* A present entry: does it map memory? */
static inline bool shadow_is_leaf(const struct shadow_page *sp, unsigned int i)
{
	return sp->role.level == 1 || sp->spt[i] & SHADOW_LARGE;
}

static inline u64 level_pages(int level)
{
	return 1ULL << (9 * (level - 1));
}

static inline unsigned int gpte_size(const struct shadow_page *sp)
{
	return sp->role.narrow ? 4 : 8;
}

/* Which of the guest's entries is the @i-th of ours made of? Of 32-bit directories two are of one. */
static inline unsigned int gpte_index(const struct shadow_page *sp, unsigned int i)
{
	if (!sp->role.narrow)
		return i;
	i += sp->role.quadrant * SHADOW_ENTRIES;
	return sp->role.level == 2 ? i / 2 : i;
}

/* The frame that the guest's entry of a page, not a large one, names. */
static inline u64 shadow_gpte_gfn(const struct shadow_page *sp, u64 gpte)
{
	return (gpte & (sp->role.narrow ? 0xfffff000 : SHADOW_ADDR)) >> 12;
}

/*
 * The first frame that the @i-th entry maps where the guest's is a large page's. One of 4 MiB is
 * two of ours, and has address bits from 32 on in bits 13 to 20.
 */
static inline u64 shadow_large_gfn(const struct shadow_page *sp, unsigned int i, u64 gpte)
{
	if (!sp->role.narrow)
		return (gpte & SHADOW_ADDR) >> 12 & ~(level_pages(2) - 1);
	return ((gpte & 0xffc00000) | (gpte & 0x1fe000) << 19) >> 12 | (i & 1) * level_pages(2);
}

/* The first frame that the present leaf maps: a direct table counts, others remember the entry. */
static inline u64 shadow_leaf_gfn(const struct shadow_page *sp, unsigned int i)
{
	if (sp->role.direct)
		return sp->gfn + i * level_pages(sp->role.level);
	return sp->role.level == 1 ? shadow_gpte_gfn(sp, *gpte_of(sp, i)) :
				     shadow_large_gfn(sp, i, *gpte_of(sp, i));
}

/* The table that the entry leads to; NULL: to none. */
static inline struct shadow_page *shadow_child(const struct shadow_page *sp, unsigned int i)
{
	return sp->spt[i] & SHADOW_P && !shadow_is_leaf(sp, i) ? child_of(sp->spt[i]) : NULL;
}

/* Those of the @n entries of ours from @i on: of tables of the last level, or one. */
static inline int read_gptes(struct shadow *m, const struct shadow_page *sp, unsigned int i,
			     u64 *gpte, unsigned int n)
{
	return m->ops->read_gptes(m, (sp->gfn << 12) + gpte_index(sp, i) * gpte_size(sp), gpte, n,
				  gpte_size(sp));
}

/* So many are read at once, and begin where their number is a multiple of it. */
#define GROUP	16

/* Which entries of the group that begins at @i have a mark? */
static inline unsigned int marks_of_group(const u64 *map, unsigned int i)
{
	return map[i / 64] >> (i % 64) & ((1U << GROUP) - 1);
}

/* Bits for the entries of a table. */

static inline void set_mark(u64 *map, unsigned int i)
{
	map[i / 64] |= 1ULL << (i % 64);
}

static inline void clear_mark(u64 *map, unsigned int i)
{
	map[i / 64] &= ~(1ULL << (i % 64));
}

static inline bool has_mark(const u64 *map, unsigned int i)
{
	return map[i / 64] >> (i % 64) & 1;
}

/* The first mark from @i on, or SHADOW_ENTRIES. */
static inline unsigned int next_mark(const u64 *map, unsigned int i)
{
	while (i < SHADOW_ENTRIES) {
		u64 rest = map[i / 64] >> (i % 64);

		if (rest)
			return i + __builtin_ctzll(rest);
		i = (i | 63) + 1;
	}
	return SHADOW_ENTRIES;
}

/* Where tables and leaves are found by frame. */
static inline unsigned int shadow_hash(u64 gfn, unsigned int bits)
{
	return (gfn * 0x9e3779b97f4a7c15ULL) >> (64 - bits);
}

/* shadow_rmap.c */

/* Which chain has the leaves of @level that map the page which begins with @gfn? */
unsigned int shadow_rmap_hash(u64 gfn, int level);
/* Take an entry away, if it is present. */
void shadow_drop(struct shadow *m, struct shadow_page *sp, unsigned int i);
/* The entry, which is not present, leads to @child. */
void shadow_link(struct shadow *m, struct shadow_page *sp, unsigned int i,
		 struct shadow_page *child);
/* Put a leaf in that maps @gfn because the guest's entry is @gpte, whatever was there. */
void shadow_set_leaf(struct shadow *m, struct shadow_page *sp, unsigned int i, u64 gfn, u64 gpte,
		     u64 leaf);
/* Take away the leaves that map [start, end). */
void shadow_drop_leaves(struct shadow *m, u64 start, u64 end);
/* The next write of @gfn, which is a table of the guest's, must fault. */
void shadow_hold(struct shadow *m, u64 gfn);
/* It is none any more: what could be written but for that can be. */
void shadow_release(struct shadow *m, u64 gfn);

/* shadow.c */

/* The table of this frame and role; NULL: there is none. */
struct shadow_page *shadow_find(const struct shadow *m, u64 gfn, union shadow_role role);
/* How many tables of the guest's that have a shadow may there be in the 2 MiB around @gfn? */
u32 *shadow_tracked_around(const struct shadow *m, u64 gfn);
/* Tables of the guest's frame @gfn: the first, and the one after @sp. */
struct shadow_page *shadow_first_of(const struct shadow *m, u64 gfn);
struct shadow_page *shadow_next_of(const struct shadow_page *sp);
void shadow_zap_page(struct shadow *m, struct shadow_page *sp);
/* The bits of the guest's entry that leave a leaf at its place, with other rights. */
u64 shadow_soft_bits(const struct shadow_page *sp);
/* What remains of a leaf of @sp whose guest's entry becomes @now, of the same frame. */
u64 shadow_narrow_leaf(const struct shadow_page *sp, u64 leaf, u64 now);
/* Does a leaf that becomes @leaf lose anything that a CPU may have cached of @old? */
bool shadow_loses(u64 old, u64 leaf);

/* The guest has written its @i-th entry: map what it says, where nobody need be asked. */
void shadow_map_written(struct shadow *m, struct shadow_page *sp, unsigned int i);

/* shadow_sync.c */

/* Is a present entry still what the guest's says? What is not is taken away. */
void shadow_check_entry(struct shadow *m, struct shadow_page *sp, unsigned int i);
/* Is the frame one of those that the guest writes unseen? */
bool shadow_is_unsync(const struct shadow *m, u64 gfn);
/* From now on it is none: its tables say what it says. */
void shadow_sync_frame(struct shadow *m, u64 gfn);
/* Let the guest write @gfn, a table of its, unseen; false: that can't be. */
bool shadow_unsync(struct shadow *m, u64 gfn);

#endif
