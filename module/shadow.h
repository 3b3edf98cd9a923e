/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shadow engine's core: tables that the CPU walks from a guest's linear
 * address to host memory, made of what the guest's own tables say, and kept true
 * to them. It takes no lock, allocates nothing and knows no kernel: the unit tests
 * build it as it is. mmu_shadow.c is its way to the world.
 */
#ifndef UMBRA_SHADOW_H
#define UMBRA_SHADOW_H

#include "emul_types.h"
#include "gwalk.h"

#define SHADOW_LEVELS		5
#define SHADOW_ENTRIES		512
/* What stands beside the entries of a table comes in parts. */
#define SHADOW_PARTS		16
#define SHADOW_PART_ENTRIES	(SHADOW_ENTRIES / SHADOW_PARTS)
#define SHADOW_PART_SIZE	(SHADOW_PART_ENTRIES * 8)

/* Bits of an entry of ours. One that is not present is 0. */
#define SHADOW_P		(1ULL << 0)
#define SHADOW_W		(1ULL << 1)
#define SHADOW_U		(1ULL << 2)
#define SHADOW_A		(1ULL << 5)
#define SHADOW_D		(1ULL << 6)
/* Of the level above the last: it maps a page of 2 MiB. */
#define SHADOW_LARGE		(1ULL << 7)
/* Ours: it was found accessed, and the bit was cleared to find out whether that goes on. */
#define SHADOW_WAS_A		(1ULL << 9)
/* Ours: it may be written but for its frame, which is a table; so it is given back with that. */
#define SHADOW_HELD		(1ULL << 10)
#define SHADOW_NX		(1ULL << 63)
#define SHADOW_ADDR		0x000ffffffffff000ULL
/* Rights stand in the leaf alone: what leads there allows all. */
#define SHADOW_TABLE		(SHADOW_P | SHADOW_W | SHADOW_U | SHADOW_A)

/* Rights of a role. */
#define SHADOW_MAY_WRITE	1
#define SHADOW_MAY_USER		2
#define SHADOW_MAY_EXEC		4
#define SHADOW_MAY_ALL		7

/**
 * union shadow_role - all but the frame that decides what a table of ours says
 * @word: all of it
 * @level: 1 is the last
 * @direct: it maps consecutive frames: a part of a large page of the guest's, or
 *	memory itself where paging is off
 * @access: SHADOW_MAY_*: rights that the way here allows
 * @narrow: the guest's entries have 4 bytes
 * @quadrant: which part of such a table, whose 1024 entries are more than ours
 * @wide: long mode
 * @wp: CR0.WP
 * @nx: EFER.NXE
 * @pse: CR4.PSE
 * @pkey: direct: the large page's protection key
 */
union shadow_role {
	u32 word;
	struct {
		u32 level : 3;
		u32 direct : 1;
		u32 access : 3;
		u32 narrow : 1;
		u32 quadrant : 2;
		u32 wide : 1;
		u32 wp : 1;
		u32 nx : 1;
		u32 pse : 1;
		u32 pkey : 4;
	};
};

/**
 * struct shadow_page - a table of ours
 * @hash_next: another whose frame has the same hash
 * @newer, @older: by when they were made or became a root
 * @gfn: of the guest's table; direct: the first frame that it maps
 * @role: the rest of what it is
 * @epoch: when it was last compared with the guest's table
 * @roots: vCPUs that have it as their root
 * @dead: it was zapped; it goes with its last @roots
 * @unsync: the guest writes its table unseen; so it is for all tables of a frame
 * @writes: to the guest's table since the shadow was last used to map something, or was
 *	found in use by a CPU
 * @to_compare: another that is about to be compared with the guest's
 * @present: entries of @spt
 * @marked: those of them that lead to what is unsynced, and others
 * @spt: the entries
 * @gpte: the guest's entry that each present one was made of; none if direct
 * @next: the entry that follows each in its chain: of the leaves that map a frame,
 *	or of the entries that point to a table. Of both there is a part for each
 *	SHADOW_PART_ENTRIES of which one has ever been
 * @parents: entries that point here
 */
struct shadow_page {
	struct shadow_page *hash_next;
	struct shadow_page *newer, *older;
	u64 gfn;
	union shadow_role role;
	u32 epoch;
	u32 roots;
	bool dead, unsync;
	u8 writes;
	struct shadow_page *to_compare;
	u64 present[SHADOW_ENTRIES / 64];
	u64 marked[SHADOW_ENTRIES / 64];
	u64 *spt;
	u64 *gpte[SHADOW_PARTS];
	u64 **next[SHADOW_PARTS];
	u64 *parents;
};

/* One fault makes at most a table for each level below its root; four make a PAE guest's root. */
#define SHADOW_POOL_TABLES	(SHADOW_LEVELS - 1)
/* And it puts an entry, or neighbours, into one of each level. */
#define SHADOW_POOL_PARTS	(SHADOW_LEVELS * 2)

/**
 * struct shadow_pool - what new tables are made of; filled by the caller
 * @spt: zeroed pages: the entries
 * @part: SHADOW_PART_SIZE bytes of any content: what stands beside an entry counts while that is
 *	present
 * @table: zeroed
 */
struct shadow_pool {
	void *spt[SHADOW_POOL_TABLES];
	void *part[SHADOW_POOL_PARTS];
	struct shadow_page *table[SHADOW_POOL_TABLES];
	u16 spts, parts, tables;
};

struct shadow;

/**
 * struct shadow_ops - what the core needs of the world
 * @read_gptes: @n entries of a guest's table that follow each other, each in one access,
 *	without sleeping: 0; 1: they are in memory that the guest can't write; negative: not now
 * @free: a table is in no use any more. A CPU may walk its @spt until it has flushed
 * @made: a table was taken from a pool
 * @flush: no CPU uses what it has cached when this returns; clears &shadow.flush and
 *	&shadow.stale
 */
struct shadow_ops {
	int (*read_gptes)(struct shadow *m, u64 gpa, u64 *values, unsigned int n, unsigned int size);
	void (*free)(struct shadow *m, struct shadow_page *sp);
	void (*made)(struct shadow *m, struct shadow_page *sp);
	void (*flush)(struct shadow *m);
};

#define SHADOW_HASH_BITS	11
#define SHADOW_RMAP_BITS	15
#define SHADOW_TRACKED_BITS	12

/**
 * struct shadow - a VM's
 * @ops: the world
 * @hash: tables by frame
 * @rmap: leaves by the frame that they map, and their level
 * @tracked: tables of the guest's that have a shadow, by the 2 MiB that they lie in. Some of
 *	those share a count
 * @newest, @oldest: all tables but dead ones
 * @nr: how many
 * @parts: of all of them, and of dead ones
 * @used: how many of those are roots in use
 * @quota: how many others there may be
 * @longest: entries of a chain; at most so many map one frame
 * @orphan: a table that the guest has just taken away from where it was used last
 * @epoch: counts the times when memory may have been changed unseen
 * @split_gone: counts large pages of the guest's that were mapped by more than one leaf and are
 *	no more: of each a CPU may have cached many
 * @lazy: the guest may write tables of its last level unseen
 * @flush: the host or we rely on no CPU having something cached: the caller flushes and
 *	clears it, and @stale
 * @stale: CPUs may have cached what the guest will flush, and what is in no chain any more
 * @reload: roots in use were zapped: the caller makes their vCPUs load others, and clears it
 */
struct shadow {
	const struct shadow_ops *ops;
	struct shadow_page **hash;
	u64 **rmap;
	u32 *tracked;
	struct shadow_page *newest, *oldest;
	unsigned long nr, parts, used, quota;
	unsigned int longest;
	struct shadow_page *orphan;
	u32 epoch, split_gone;
	bool lazy, flush, stale, reload;
};

/**
 * struct shadow_map - a page to be mapped
 * @gva: where
 * @walk: what the guest's tables say of it, for an access that they allow
 * @mode: of the tables: narrow, wide, wp, nx, pse
 * @write: the access is a write
 * @alone: the page is new to the guest, and so is none beside it
 * @writable: the host lets it be written, and no log must see the first write
 * @large: so it is, as a whole, with the 2 MiB around it, which are one page of the guest's or a
 *	part of one, and of the host's
 * @entry: address and encryption of the host's frame, as bits of an entry
 */
struct shadow_map {
	u64 gva;
	const struct umbra_gwalk *walk;
	union shadow_role mode;
	bool write, alone, writable, large;
	u64 entry;
};

/**
 * enum shadow_result - what became of it
 * @SHADOW_MAPPED: it is there
 * @SHADOW_RETRY: the guest's tables have changed: walk them again
 * @SHADOW_EMULATE: it is a write that the CPU can't be let do: to a guest's table, or
 *	one that only CR0.WP clear allows. What can be mapped is mapped.
 */
enum shadow_result { SHADOW_MAPPED, SHADOW_RETRY, SHADOW_EMULATE };

/* Forget up to @count of the oldest tables but roots in use: how many. */
unsigned int shadow_zap_unused(struct shadow *m, unsigned int count);
/* Room for what one fault makes; roots in use stay. How many tables had to go for it. */
unsigned int shadow_make_room(struct shadow *m);
/* A root, with one more user; NULL: the pool is empty. */
struct shadow_page *shadow_get_root(struct shadow *m, struct shadow_pool *pool, u64 gfn,
				    union shadow_role role);
void shadow_put_root(struct shadow *m, struct shadow_page *root);
/*
 * What a leaf that maps @gfn already says of it, one that lets write if there is; 0: none is
 * known. It is taken away before the host has another page there, or may not have it written.
 */
u64 shadow_known_leaf(const struct shadow *m, u64 gfn);
/* @root: that of the address. The pool is full, and shadow_make_room() was called before. */
enum shadow_result shadow_map(struct shadow *m, struct shadow_pool *pool, struct shadow_page *root,
			      const struct shadow_map *map);
/* Does @root lead to small leaves in the 2 MiB around @gva? They would have to go for a large one. */
bool shadow_is_split(const struct shadow_page *root, u64 gva);
/* The frame that a CPU finds at @gva; SHADOW_NO_FRAME: none is mapped there. */
#define SHADOW_NO_FRAME	(~0ULL)
u64 shadow_frame_at(const struct shadow_page *root, u64 gva);
/* Is @gfn a table of the guest's that has a shadow? */
bool shadow_tracks(const struct shadow *m, u64 gfn);
/* And one whose writes must be told? */
bool shadow_sees_writes(const struct shadow *m, u64 gfn);
/*
 * Where a walk of the guest's tables for @gva may begin: what leads to another table of ours
 * says what the guest's entry says. False: at the guest's root.
 */
bool shadow_walk_start(const struct shadow *m, const struct shadow_page *root, u64 gva,
		       struct umbra_gwalk_start *start);
/*
 * [offset, offset + len) of frame @gfn was written. After too many writes without a use
 * it is taken for a table no more.
 */
void shadow_written(struct shadow *m, u64 gfn, unsigned int offset, unsigned int len);
/* Take @gfn for a table no more, until it is used as one. */
void shadow_untrack(struct shadow *m, u64 gfn);
/*
 * The guest has flushed @gva: what leads there by @root must be what memory says. That is all of
 * a large page, whose leaves, if they are many, the CPU knows nothing of as one. @seen: the CPU's, of
 * &shadow.split_gone. True: the CPU forgets all that it has, not @gva alone.
 */
bool shadow_flush_gva(struct shadow *m, struct shadow_page *root, u64 gva, u32 *seen);
/* So it has by a #PF for @gva, but what is told of is as ever. */
void shadow_faulted(struct shadow *m, struct shadow_page *root, u64 gva);
/*
 * The guest has flushed all that @sp leads to: it and all tables below say what memory
 * says, and writes to them are seen.
 */
void shadow_sync(struct shadow *m, struct shadow_page *sp);
/* What leads away from roots that are got from now on must be what memory says. */
void shadow_distrust(struct shadow *m);
/* Forget all mappings of [start, end), and tables of the guest's that lie there. */
void shadow_zap(struct shadow *m, u64 start, u64 end);
/* The next write of each page of [start, end) must fault. */
void shadow_protect(struct shadow *m, u64 start, u64 end);
/* Was any page of [start, end) used since it was asked last? */
bool shadow_age(struct shadow *m, u64 start, u64 end, bool clear);
/* Forget the @count oldest tables. */
void shadow_zap_oldest(struct shadow *m, unsigned int count);

#endif
