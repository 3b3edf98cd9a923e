// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core of the shadow engine against a model of a machine: guest memory with random
 * page tables in it, CPUs that walk the shadow and have TLBs, a host that takes pages
 * away. What an access yields must be what a walk of the guest's own tables yields, with
 * each entry as it is or was at a time since the CPU has flushed what it has of that
 * address; an auditor looks at every table of the shadow in between.
 */
#include <stdio.h>
#include <stdlib.h>

#include "shadow_audit.h"
#include "shadow_priv.h"
#include "tap.h"

#define CR0_WP		(1ull << 16)
#define CR0_PG		(1ull << 31)
#define CR4_PSE		(1ull << 4)
#define CR4_PAE		(1ull << 5)
#define CR4_LA57	(1ull << 12)
#define EFER_LMA	(1ull << 10)
#define EFER_NX		(1ull << 11)

#define P		1ull
#define W		2ull
#define U		4ull
#define A		0x20ull
#define D		0x40ull
#define PS		0x80ull
#define NX		(1ull << 63)
#define ADDR		0x000ffffffffff000ull
#define KEY		(15ull << 59)

/* Guest memory: tables in the first frames, data in all. One frame is ROM, one is nowhere. */
#define FRAMES		64
#define TABLES		24
#define ROM		22
#define HOLE		23
/* More tables, where large pages of the guest's begin: such a page is none of ours then. */
#define FAR_TABLES	8
static u64 far_gfn;
static u8 memory[FRAMES + FAR_TABLES][4096];

enum mode { NOPAGING, M32, MPAE, M4, M5, NR_MODES };
static const char *const mode_name[] = { "no paging", "32-bit", "PAE", "4-level", "5-level" };

/* ------------------------------ the machine ------------------------------ */

struct cpu {
	struct umbra_gwalk_ctx ctx;
	union shadow_role mode;
	struct shadow_page *root[4];
	int roots;
	u64 flushed;
	u32 split_gone;
};

/* A translation that a CPU may have cached. */
struct tlb {
	bool valid, large;
	u64 page;
	u64 spte;
};

#define NR_CPUS	2
#define TLB	64

static struct shadow m;
static struct cpu cpus[NR_CPUS];
static struct tlb tlb[NR_CPUS][TLB];
static struct shadow_page *hash_heads[1 << SHADOW_HASH_BITS];
static u64 *rmap_heads[1 << SHADOW_RMAP_BITS];
static u32 tracked[1 << SHADOW_TRACKED_BITS];
static unsigned long large;
/* Nothing else writes, and nothing is by chance. */
static bool alone;
static long live;
static u64 seed;
static u64 frees[4096];
static unsigned int nr_frees;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull >> 16;
}

static unsigned int below(unsigned int n)
{
	return rnd() % n;
}

/* Those of data are many times there, so that large pages find memory wherever they are. */
static u64 frame_of(u64 gfn)
{
	return gfn < FRAMES ? gfn : TABLES + gfn % (FRAMES - TABLES);
}

/* A frame that has one address; NULL: another. */
static u8 *page_of(u64 gfn)
{
	if (gfn < FRAMES)
		return memory[gfn];
	return gfn - far_gfn < FAR_TABLES ? memory[FRAMES + gfn - far_gfn] : NULL;
}

/* One that can be a table. */
static u64 table_gfn(void)
{
	unsigned int n = below(TABLES + FAR_TABLES);

	return n < TABLES ? n : far_gfn + n - TABLES;
}

static bool is_rom(u64 gpa)
{
	return gpa >> 12 == ROM;
}

/* ------------------------------ what memory was ------------------------------ */

/* A word of memory before it was changed. */
struct change {
	u64 time;
	u64 at;
	u64 old;
};

#define CHANGES	(1u << 15)

static struct change changes[CHANGES];
static unsigned long nr_changes;
static u64 now;

/* When a CPU has flushed a page, where that was not long ago. */
#define FLUSHES	256
static struct flush {
	u64 page, time;
} flushes[NR_CPUS][FLUSHES];

static void flushed_page(const struct cpu *c, u64 gva)
{
	unsigned int i;

	flushes[c - cpus][(gva >> 12) % FLUSHES] = (struct flush){ gva >> 12, now };
	for (i = 0; i < TLB; i++) {
		struct tlb *t = &tlb[c - cpus][i];

		if (t->page == gva >> 12 || (t->large && t->page >> 9 == gva >> 21))
			t->valid = false;
	}
}

/* Everything that a CPU knows of @gva is of a time since then. */
static u64 flushed_at(const struct cpu *c, u64 gva)
{
	const struct flush *f = &flushes[c - cpus][(gva >> 12) % FLUSHES];

	return f->page == gva >> 12 && f->time > c->flushed ? f->time : c->flushed;
}

/* Every write to memory while CPUs run. */
static void poke(u64 gpa, const void *data, unsigned int len)
{
	u64 at;

	now++;
	for (at = gpa & ~7ull; at < gpa + len; at += 8) {
		struct change *ch = &changes[nr_changes++ % CHANGES];

		ch->time = now;
		ch->at = at;
		memcpy(&ch->old, page_of(at >> 12) + (at & 4095), 8);
	}
	memcpy(page_of(gpa >> 12) + (gpa & 4095), data, len);
}

static void fail(const char *what)
{
	printf("# %s, seed state 0x%llx\n", what, (unsigned long long)seed);
	fflush(stdout);
	abort();
}

/* Tables have one address each: what lies above is data. */
static int read_entry(u64 gpa, u64 *value, unsigned int size)
{
	const u8 *page = page_of(gpa >> 12);

	if (!page || gpa >> 12 == HOLE)
		return -1;
	*value = 0;
	memcpy(value, page + (gpa & 4095), size);
	return 0;
}

static u64 frame_entry(u64 gfn)
{
	/* The host's frame of a guest's, told apart from it. */
	return (gfn + 0x1000000) << 12;
}

static bool frame_is_unsync(u64 gfn)
{
	const struct shadow_page *sp;

	for (sp = m.oldest; sp; sp = sp->newer) {
		if (sp->gfn == gfn && !sp->role.direct && sp->unsync)
			return true;
	}
	return false;
}

/* Entries are believed only when no CPU can write them unseen any more. */
static int core_read(struct shadow *s, u64 gpa, u64 *values, unsigned int n, unsigned int size)
{
	unsigned int cpu, i;

	(void)s;
	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		for (i = 0; i < TLB; i++) {
			const struct tlb *t = &tlb[cpu][i];

			if (t->valid && t->spte & SHADOW_W && !frame_is_unsync(gpa >> 12) &&
			    (t->spte & ADDR) == frame_entry(gpa >> 12))
				fail("a table is read that a CPU can write unseen");
		}
	}
	for (i = 0; i < n; i++) {
		if (read_entry(gpa + i * size, &values[i], size))
			return -1;
	}
	return is_rom(gpa);
}

static void flush_all_tlbs(void)
{
	unsigned int i;

	memset(tlb, 0, sizeof(tlb));
	for (i = 0; i < nr_frees; i++)
		free((void *)frees[i]);
	nr_frees = 0;
}

/* A CPU may walk the entries until it has flushed: they stay until then. */
static void core_free(struct shadow *s, struct shadow_page *sp)
{
	unsigned int i;

	(void)s;
	memset(sp->spt, 0, 4096);
	if (nr_frees == sizeof(frees) / sizeof(*frees))
		fail("too much is freed without a flush");
	frees[nr_frees++] = (uintptr_t)sp->spt;
	for (i = 0; i < SHADOW_PARTS; i++) {
		free(sp->gpte[i]);
		free(sp->next[i]);
	}
	free(sp);
	live--;
}

static void core_made(struct shadow *s, struct shadow_page *sp)
{
	(void)s;
	(void)sp;
	live++;
}

static void core_flush(struct shadow *s)
{
	flush_all_tlbs();
	s->flush = s->stale = false;
}

static const struct shadow_ops core_ops = { core_read, core_free, core_made, core_flush };

static void fill_pool(struct shadow_pool *pool)
{
	while (pool->tables < SHADOW_POOL_TABLES)
		pool->table[pool->tables++] = calloc(1, sizeof(struct shadow_page));
	/* The page behind holds what shadow_set_owner() sets. */
	while (pool->spts < SHADOW_POOL_TABLES) {
		void *page = aligned_alloc(4096, 8192);

		memset(page, 0, 8192);
		pool->spt[pool->spts++] = page;
	}
	while (pool->parts < SHADOW_POOL_PARTS) {
		void *part = malloc(SHADOW_PART_SIZE);

		memset(part, 0xa5, SHADOW_PART_SIZE);
		pool->part[pool->parts++] = part;
	}
}

static struct shadow_pool pool;

static void get_roots(struct cpu *c, struct shadow_page **root, int *roots);

static void put_roots(struct shadow_page **root, int roots)
{
	int i;

	for (i = 0; i < roots; i++) {
		if (root[i])
			shadow_put_root(&m, root[i]);
	}
}

static void load_roots(struct cpu *c)
{
	struct shadow_page *old[4];
	int roots = c->roots, i;

	memcpy(old, c->root, sizeof(old));
	fill_pool(&pool);
	shadow_make_room(&m);
	get_roots(c, c->root, &c->roots);
	for (i = 0; i < c->roots; i++) {
		if (c->root[i])
			shadow_sync(&m, c->root[i]);
	}
	put_roots(old, roots);
	/* The load itself flushes the CPU that does it. */
	memset(tlb[c - cpus], 0, sizeof(tlb[0]));
	c->flushed = now;
}

/* What mmu_shadow.c does at the end of each change. */
static void settle(void)
{
	int i;

	while (m.reload || m.flush) {
		if (m.flush)
			core_flush(&m);
		if (!m.reload)
			break;
		m.reload = false;
		for (i = 0; i < NR_CPUS; i++)
			load_roots(&cpus[i]);
	}
}

static void guest_wrote(u64 gpa, unsigned int len)
{
	unsigned int n;

	for (; len; len -= n, gpa += n) {
		n = 4096 - (gpa & 4095);
		if (n > len)
			n = len;
		shadow_written(&m, gpa >> 12, gpa & 4095, n);
		settle();
	}
}

static int walk_read(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 *value, unsigned int size)
{
	(void)ctx;
	return read_entry(gpa, value, size);
}

static int walk_cmpxchg(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 old, u64 new,
			unsigned int size)
{
	u64 entry;

	(void)ctx;
	if (is_rom(gpa))
		return 0;
	if (read_entry(gpa, &entry, size))
		return -1;
	if (entry != old)
		return 1;
	poke(gpa, &new, size);
	guest_wrote(gpa, size);
	return 0;
}

static const struct umbra_gwalk_ops walk_ops = { walk_read, walk_cmpxchg };

static void get_roots(struct cpu *c, struct shadow_page **root, int *roots)
{
	union shadow_role mode = c->mode;
	int i;

	if (mode.wide) {
		mode.level = c->ctx.cr4 & CR4_LA57 ? 5 : 4;
		root[0] = shadow_get_root(&m, &pool, (c->ctx.cr3 & ADDR) >> 12, mode);
		*roots = 1;
		return;
	}
	mode.level = 2;
	for (i = 0; i < 4; i++) {
		u64 gfn = mode.direct ? (u64)i << 18 : (u32)c->ctx.cr3 >> 12;

		root[i] = NULL;
		if (mode.narrow)
			mode.quadrant = i;
		if (!mode.direct && !mode.narrow) {
			if (!(c->ctx.pdpte[i] & P))
				continue;
			gfn = (c->ctx.pdpte[i] & ADDR) >> 12;
		}
		root[i] = shadow_get_root(&m, &pool, gfn, mode);
	}
	*roots = 4;
}

static struct shadow_page *root_of(const struct cpu *c, u64 gva)
{
	return c->roots == 1 ? c->root[0] : c->root[(gva >> 30) & 3];
}

static void set_mode(struct cpu *c, enum mode mode)
{
	int i;

	memset(&c->ctx, 0, sizeof(c->ctx));
	c->ctx.ops = &walk_ops;
	c->ctx.maxphyaddr = 40;
	c->ctx.gbpages = true;
	c->ctx.cr0 = mode == NOPAGING ? 0 : CR0_PG | (below(4) ? CR0_WP : 0);
	c->ctx.cr4 = mode >= MPAE ? CR4_PAE : mode == M32 && below(2) ? CR4_PSE : 0;
	if (mode == M5)
		c->ctx.cr4 |= CR4_LA57;
	if (mode >= MPAE && below(4))
		c->ctx.efer = EFER_NX;
	if (mode >= M4)
		c->ctx.efer |= EFER_LMA;
	c->ctx.cr3 = below(4) << 12;
	for (i = 0; i < 4; i++)
		c->ctx.pdpte[i] = below(4) ? P | (u64)below(8) << 12 : 0;

	c->mode.word = 0;
	c->mode.access = SHADOW_MAY_ALL;
	if (mode == NOPAGING) {
		c->mode.direct = true;
		return;
	}
	c->mode.wp = !!(c->ctx.cr0 & CR0_WP);
	c->mode.nx = !!(c->ctx.efer & EFER_NX);
	c->mode.wide = mode >= M4;
	c->mode.narrow = mode == M32;
	c->mode.pse = !!(c->ctx.cr4 & CR4_PSE);
}

/* ------------------------------ the CPU ------------------------------ */

static bool entry_allows(const struct cpu *c, u64 spte, unsigned int access)
{
	bool user = access & UMBRA_GWALK_USER;

	(void)c;
	if (!(spte & SHADOW_P) || (user && !(spte & SHADOW_U)))
		return false;
	if ((access & UMBRA_GWALK_WRITE) && !(spte & SHADOW_W))
		return false;
	return !((access & UMBRA_GWALK_EXEC) && (spte & SHADOW_NX));
}

/* The leaf that the CPU finds, by its TLB or by the tables; 0: none. */
static u64 hw_walk(struct cpu *c, u64 gva)
{
	struct tlb *t = &tlb[c - cpus][(gva >> 12) % TLB];
	const struct shadow_page *root = root_of(c, gva);
	const u64 *table;
	u64 spte;
	int level;

	if (t->valid && t->page == gva >> 12)
		return t->spte;
	if (!root)
		return 0;
	table = root->spt;
	for (level = root->role.level;; level--) {
		spte = table[(gva >> (12 + 9 * (level - 1))) & 511];
		if (!(spte & SHADOW_P) || level == 1)
			break;
		if (spte & SHADOW_LARGE)
			break;
		table = (const u64 *)(uintptr_t)(spte & SHADOW_ADDR);
	}
	if (!(spte & SHADOW_P))
		return spte;
	/* What a CPU caches may be less than the page, and what it drops is all of it. */
	if (level > 1) {
		spte = (spte & ~SHADOW_LARGE) + (gva & 0x1ff000);
		large++;
	}
	*t = (struct tlb){ .valid = true, .large = level > 1, .page = gva >> 12, .spte = spte };
	return spte;
}

static bool host_writable[FRAMES];
/* The host has large pages, and no log. */
static bool host_large = true;

/* Not where something is no memory, or not to be written. */
static bool is_large(const struct umbra_gwalk *walk)
{
	return host_large && walk->level != 1 && walk->gpa >> 21 && (alone || below(4));
}


/* Between the walk and what follows from it others clear bits, or change an entry. */
static bool other_cpu_interferes(const struct umbra_gwalk *walk)
{
	unsigned int level, size = cpus[0].mode.narrow ? 4 : 8;
	u64 at, e;

	if (alone || below(24) || !walk->level)
		return false;
	level = walk->level + below(walk->top_level - walk->level + 1);
	at = walk->table_gpa[level - 1];
	if (read_entry(at, &e, size) || is_rom(at))
		return false;
	e &= below(2) ? ~A : below(2) ? ~D : ~W;
	poke(at, &e, size);
	guest_wrote(at, size);
	return true;
}

/*
 * One access, as mmu_shadow_fault.c serves it: 0 with the frame's entry in *@entry, 1 with the
 * error code, 2: to be emulated, at *@entry's frame, -1: no memory or tables that are nowhere.
 */
static int access_by_shadow(struct cpu *c, u64 gva, unsigned int access, u64 *entry, u32 *error)
{
	struct umbra_gwalk walk;
	int tries, r;

	for (tries = 0; tries < 100; tries++) {
		u64 spte = hw_walk(c, gva);
		struct shadow_page *root;
		bool interfered;
		u64 known;
		struct shadow_map map = { .gva = gva, .walk = &walk, .mode = c->mode };
		struct umbra_gwalk_start start;
		u64 gfn;

		if (entry_allows(c, spte, access)) {
			*entry = spte & (ADDR | KEY);
			return 0;
		}
		if (shadow_walk_start(&m, root_of(c, gva), gva, &start))
			r = umbra_gwalk_from(&c->ctx, gva, access, &start, &walk);
		else
			r = umbra_gwalk(&c->ctx, gva, access, &walk);
		if (r == UMBRA_GWALK_FAULT) {
			/* Which flushes the address. */
			if (root_of(c, gva))
				shadow_faulted(&m, root_of(c, gva), gva);
			*error = walk.error_code;
			return 1;
		}
		if (r != UMBRA_GWALK_OK)
			return -1;
		interfered = other_cpu_interferes(&walk);
		gfn = walk.gpa >> 12;
		*entry = frame_entry(gfn) | (u64)walk.pkey << 59;
		map.write = access & UMBRA_GWALK_WRITE;
		if (gfn == HOLE || (map.write && gfn == ROM))
			return -1;
		if (map.write && shadow_sees_writes(&m, gfn)) {
			if (interfered)
				continue;
			return 2;
		}
		map.entry = frame_entry(gfn);
		map.writable = gfn != ROM && (map.write || host_writable[frame_of(gfn)]);
		map.large = is_large(&walk);
		/* The host need not be asked where the shadow knows. */
		known = shadow_known_leaf(&m, gfn);
		if (known && ((known & ADDR) != map.entry || (known & SHADOW_W && gfn == ROM)))
			fail("a frame is known for what it is not");
		if (below(2) && (known & SHADOW_W || (known && !map.write)))
			map.writable = known & SHADOW_W;
		fill_pool(&pool);
		shadow_make_room(&m);
		root = root_of(c, gva);
		if (!root)
			fail("no root where the guest has a page");
		r = shadow_map(&m, &pool, root, &map);
		/* A fault drops what the CPU has cached of its address. */
		tlb[c - cpus][(gva >> 12) % TLB].valid = false;
		settle();
		if (r == SHADOW_EMULATE)
			return 2;
	}
	fail("an access never ends");
	return -1;
}

/* ------------------------------ the auditor ------------------------------ */

/* The host's side of a leaf is the model's; the rest are the engine's own rules. */
static void audit(void)
{
	const struct shadow_page *sp;
	struct shadow_audit a;
	unsigned int i;

	shadow_audit(&m, &a);
	if (a.broken)
		fail(a.broken);
	/* One fault, or roots of all CPUs that were others' tables before, have come since. */
	if (m.nr - m.used > m.quota + 4 * NR_CPUS)
		fail("there are more tables than may be");
	for (sp = m.oldest; sp; sp = sp->newer) {
		for (i = 0; sp->epoch == m.epoch && i < 512; i++) {
			if (has_mark(sp->present, i) && shadow_is_leaf(sp, i) &&
			    (sp->spt[i] & ADDR) != frame_entry(shadow_leaf_gfn(sp, i)))
				fail("a leaf maps another frame than the guest says");
		}
	}
}

/* ------------------------------ random guests ------------------------------ */

static u64 random_entry(unsigned int size)
{
	u64 e = (below(20) ? P : 0) | (below(6) ? W : 0) | (below(6) ? U : 0) |
		(below(2) ? A : 0) | (below(3) ? 0 : D) | (below(16) ? 0 : PS);

	if (size == 8 && !below(12))
		e |= NX;
	if (size == 8 && !below(12))
		e |= (u64)below(16) << 59;
	if (!below(200))
		e |= size == 8 ? 1ull << 45 : 1ull << 21;	/* reserved somewhere */
	/* A large page's address is aligned; where this is none the low frames are tables. */
	if (e & PS)
		return e | (u64)below(4) << (size == 8 ? 30 : 22);
	return e | (below(4) ? below(FRAMES) : table_gfn()) << 12;
}

/* An entry that random addresses can meet: few indices, so that they meet often. */
static unsigned int random_index(unsigned int entries)
{
	static const unsigned int some[] = { 0, 1, 2, 3, 256, 511 };
	unsigned int i = some[below(6)];

	if (entries == 1024 && below(2))
		i += 512;
	return i;
}

static u64 random_gva(enum mode mode)
{
	u64 gva = below(4096);
	int level;

	if (mode == M32 || mode == NOPAGING)
		return gva | (u64)random_index(1024) << 12 | (u64)random_index(1024) << 22;
	if (mode == MPAE)
		return gva | (u64)random_index(512) << 12 | (u64)random_index(512) << 21 |
		       (u64)below(4) << 30;
	for (level = 1; level <= (mode == M5 ? 5 : 4); level++)
		gva |= (u64)random_index(512) << (12 + 9 * (level - 1));
	level = mode == M5 ? 7 : 16;
	return (u64)((int64_t)(gva << level) >> level);
}

/* Addresses that were mapped not long ago are used again, and their entries changed. */
#define RECENT	8
static u64 recent[RECENT];

static u64 some_gva(enum mode mode)
{
	return below(4) ? recent[below(RECENT)] : random_gva(mode);
}

static void random_tables(unsigned int size)
{
	unsigned int frame, n;

	memset(memory, 0, sizeof(memory));
	far_gfn = (size == 8 ? 1ull << 30 : 1ull << 22) >> 12;
	for (frame = 0; frame < TABLES + FAR_TABLES; frame++) {
		u8 *page = memory[frame < TABLES ? frame : frame - TABLES + FRAMES];

		for (n = 0; n < 12; n++) {
			u64 e = random_entry(size);
			/* Mostly to other tables, so that walks get somewhere. */
			if (below(3) && !(e & PS))
				e = (e & ~ADDR) | table_gfn() << 12;
			memcpy(&page[random_index(4096 / size) * size], &e, size);
		}
	}
}

static unsigned long faults, mapped, emulated, unseen, old;

/* A write of the guest's to memory, which goes the way that any access goes. */
static void guest_store(struct cpu *c, u64 gva, const void *data, unsigned int len)
{
	u64 entry, gfn;
	u32 error;
	int r = access_by_shadow(c, gva, UMBRA_GWALK_WRITE, &entry, &error);

	if (r != 0 && r != 2)
		return;
	gfn = ((entry & ADDR) >> 12) - 0x1000000;
	/* Another name of a frame that may be a table by its first. */
	if (!page_of(gfn))
		return;
	if (!r && shadow_tracks(&m, gfn)) {
		if (!frame_is_unsync(gfn))
			fail("the CPU writes to a table unseen");
		unseen++;
	}
	if (len > 4096 - (gva & 4095))
		len = 4096 - (gva & 4095);
	poke(gfn << 12 | (gva & 4095), data, len);
	if (r == 2)
		guest_wrote(gfn << 12 | (gva & 4095), len);
}

/*
 * The walk of a CPU that has cached what it pleases: each entry that it reads is as it is
 * now, or was since @past_since. past_choice[] says which, for each read of a walk.
 */
#define CHOICES	16
static u64 past_since;
static unsigned int past_choice[8], past_choices[8], past_reads;

static int past_read(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 *value, unsigned int size)
{
	unsigned int n = 1, i;
	u64 found[CHOICES];
	unsigned long c;

	(void)ctx;
	if (read_entry(gpa, &found[0], size))
		return -1;
	for (c = nr_changes; c && nr_changes - c < CHANGES && n < CHOICES; c--) {
		const struct change *ch = &changes[(c - 1) % CHANGES];

		if (ch->time <= past_since)
			break;
		if (ch->at != (gpa & ~7ull))
			continue;
		found[n] = size == 8 ? ch->old : (u32)(ch->old >> 8 * (gpa & 4));
		for (i = 0; i < n && found[i] != found[n]; i++)
			;
		n += i == n;
	}
	past_choices[past_reads] = n;
	*value = found[past_choice[past_reads++]];
	return 0;
}

/* The next way to choose; false: all were tried. */
static bool choose_next(void)
{
	while (past_reads--) {
		if (++past_choice[past_reads] < past_choices[past_reads])
			return true;
		past_choice[past_reads] = 0;
	}
	return false;
}

static bool has_bits(const struct umbra_gwalk *walk, unsigned int access)
{
	u64 needed = access & UMBRA_GWALK_WRITE ? A | D : A;

	/* Tables in ROM have none. */
	return !walk->level || is_rom(walk->table_gpa[walk->level - 1]) ||
	       !(needed & ~walk->gpte[walk->level - 1]);
}

/* Could the guest's tables have given @r, with that error code or frame? */
static bool could_be(const struct cpu *c, u64 gva, unsigned int access, int r, u64 entry, u32 error)
{
	static const struct umbra_gwalk_ops past_ops = { past_read, walk_cmpxchg };
	struct umbra_gwalk_ctx ctx = c->ctx;
	struct umbra_gwalk want;
	bool first = true;
	int got;

	ctx.ops = &past_ops;
	past_since = flushed_at(c, gva);
	memset(past_choice, 0, sizeof(past_choice));
	do {
		past_reads = 0;
		got = umbra_gwalk(&ctx, gva, access | UMBRA_GWALK_NO_AD, &want);
		if (r == 1 ? got == UMBRA_GWALK_FAULT && error == want.error_code :
		    got == UMBRA_GWALK_OK && has_bits(&want, access) &&
		    entry == (frame_entry(want.gpa >> 12) | (u64)want.pkey << 59)) {
			old += !first;
			return true;
		}
		first = false;
	} while (choose_next());
	return false;
}

/* One access of a CPU by the shadow must be what the guest's tables say. */
static void check_access(struct cpu *c, u64 gva)
{
	static const unsigned int kinds[] = {
		0, UMBRA_GWALK_WRITE, UMBRA_GWALK_EXEC, UMBRA_GWALK_USER,
		UMBRA_GWALK_USER | UMBRA_GWALK_WRITE, UMBRA_GWALK_USER | UMBRA_GWALK_EXEC,
	};
	unsigned int access = kinds[below(6)];
	u64 entry = 0;
	u32 error = 0;
	int r = access_by_shadow(c, gva, access, &entry, &error);

	if (r < 0)
		return;
	if (!could_be(c, gva, access, r, entry, error))
		fail(r == 1 ? "a fault that the guest's tables do not give" :
		     "an access that the guest's tables do not allow, or not there");
	faults += r == 1;
	mapped += !r;
	if (!r)
		recent[below(RECENT)] = gva;
	emulated += r == 2;
	if (r == 1)
		flushed_page(c, gva);
}

/* An entry of the way of an address, or any; false: where nobody can write. */
static bool choose_entry(struct cpu *c, enum mode mode, unsigned int size, u64 *at)
{
	struct umbra_gwalk walk;
	unsigned int level;

	*at = table_gfn() << 12 | random_index(4096 / size) * size;
	if (mode != NOPAGING && below(8)) {
		umbra_gwalk(&c->ctx, some_gva(mode), UMBRA_GWALK_NO_AD, &walk);
		level = walk.level;
		if (level < walk.top_level && !below(8))
			level++;
		/* PDPTEs are in registers. */
		if (level && level <= walk.top_level && !(level == 3 && mode == MPAE))
			*at = walk.table_gpa[level - 1];
	}
	return page_of(*at >> 12) && *at >> 12 != HOLE && !is_rom(*at);
}

/* Mostly some rights change, or bits that the CPU sets. */
static u64 changed_entry(u64 at, unsigned int size)
{
	static const u64 bits[] = { P, W, U, A, D, A | D, 1ull << 9, NX };
	u64 entry;

	if (!below(4))
		return random_entry(size);
	read_entry(at, &entry, size);
	return entry ^ bits[below(size == 8 ? 8 : 7)];
}

/* By the emulator, or unseen where that can be. */
static void change_entry(struct cpu *c, enum mode mode, unsigned int size)
{
	u64 at, entry;

	if (!choose_entry(c, mode, size, &at))
		return;
	entry = changed_entry(at, size);
	if (shadow_tracks(&m, at >> 12) && !below(3))
		shadow_unsync(&m, at >> 12);
	poke(at, &entry, size);
	if (frame_is_unsync(at >> 12) && below(4))
		unseen++;
	else
		guest_wrote(at, size);
}

/* By a device, which tells nobody; then all CPUs flush. */
static void change_behind(struct cpu *c, enum mode mode, unsigned int size)
{
	u64 at, entry;
	int i;

	if (!choose_entry(c, mode, size, &at))
		return;
	entry = changed_entry(at, size);
	poke(at, &entry, size);
	shadow_distrust(&m);
	for (i = 0; i < NR_CPUS; i++)
		load_roots(&cpus[i]);
	settle();
}

/* Bytes that no entry's borders are those of. */
static void change_bytes(void)
{
	u64 data[2] = { rnd(), rnd() };
	unsigned int len = 1 + below(16), n = below(4096 - 16);
	u64 frame = table_gfn();

	if (frame == ROM || frame == HOLE)
		return;
	poke(frame << 12 | n, data, len);
	guest_wrote(frame << 12 | n, len);
}

static void flush_gva(struct cpu *c, u64 gva)
{
	if (root_of(c, gva) && shadow_flush_gva(&m, root_of(c, gva), gva, &c->split_gone))
		memset(tlb[c - cpus], 0, sizeof(tlb[0]));
	settle();
	flushed_page(c, gva);
}

/* A log begins, for all of memory, or ends. */
static void log_or_not(void)
{
	const struct shadow_page *sp;
	unsigned int i;

	host_large ^= true;
	if (host_large)
		return;
	shadow_protect(&m, 0, 1ull << 40);
	for (sp = m.oldest; sp; sp = sp->newer) {
		for (i = 0; i < 512; i++) {
			if (has_mark(sp->present, i) && shadow_is_leaf(sp, i) &&
			    (sp->role.level > 1 || sp->spt[i] & SHADOW_W))
				fail("a log does not see each page's first write");
		}
	}
}

static void change_something(struct cpu *c, enum mode mode)
{
	unsigned int size = mode == M32 ? 4 : 8;
	u64 frame = table_gfn();
	u64 data[2] = { random_entry(size), random_entry(size) };

	switch (below(64)) {
	case 0 ... 27:
		change_entry(c, mode, size);
		return;
	case 28 ... 39:
		flush_gva(c, some_gva(mode));
		return;
	case 40 ... 51:
		guest_store(c, some_gva(mode), data, 1 << below(5));
		return;
	case 52:
		change_bytes();
		return;
	case 53:
		change_behind(c, mode, size);
		return;
	case 54:	/* the host takes memory */
		shadow_zap(&m, frame, frame + 1 + below(4));
		break;
	case 55 ... 56:
		host_writable[below(FRAMES)] ^= true;
		shadow_protect(&m, frame, frame + 8);
		if (!below(4))
			log_or_not();
		break;
	case 57:
		shadow_age(&m, 0, below(2) ? FRAMES : 1ull << 40, below(2));
		if (below(50) == 0)
			shadow_zap(&m, 0, 1ull << 40);
		break;
	case 58:
		shadow_untrack(&m, frame);
		break;
	default:
		if (below(8) == 0)
			set_mode(c, mode);
		else
			c->ctx.cr3 = below(4) << 12;
		load_roots(c);
		break;
	}
	settle();
}

static void new_shadow(bool lazy)
{
	memset(&m, 0, sizeof(m));
	memset(hash_heads, 0, sizeof(hash_heads));
	memset(rmap_heads, 0, sizeof(rmap_heads));
	memset(tracked, 0, sizeof(tracked));
	memset(cpus, 0, sizeof(cpus));
	m.ops = &core_ops;
	m.hash = hash_heads;
	m.rmap = rmap_heads;
	m.tracked = tracked;
	m.quota = 64;
	m.longest = 8;
	m.lazy = lazy;
}

static void run(enum mode mode, bool lazy, unsigned long count)
{
	const char *kind = lazy ? "lazy" : "eager";
	unsigned long n;
	int i;

	new_shadow(lazy);
	faults = mapped = emulated = unseen = old = large = 0;
	random_tables(mode == M32 ? 4 : 8);
	for (i = 0; i < NR_CPUS; i++) {
		set_mode(&cpus[i], mode);
		load_roots(&cpus[i]);
	}
	settle();
	for (n = 0; n < count; n++) {
		struct cpu *c = &cpus[below(NR_CPUS)];

		if (below(4) == 0)
			change_something(c, mode);
		else
			check_access(c, some_gva(mode));
		if (n % 64 == 0)
			audit();
		if (n % 4096 == 4095)
			random_tables(mode == M32 ? 4 : 8), shadow_zap_oldest(&m, -1), settle();
	}
	for (i = 0; i < NR_CPUS; i++)
		put_roots(cpus[i].root, cpus[i].roots);
	shadow_zap_oldest(&m, -1);
	core_flush(&m);
	tap_ok(!live && !m.nr && !m.oldest && !m.parts, "%s, %s: no table is left", mode_name[mode], kind);
	for (i = 0; i < 1 << SHADOW_TRACKED_BITS && !tracked[i]; i++)
		;
	tap_ok(large && i == 1 << SHADOW_TRACKED_BITS,
	       "%s, %s: %lu walks end at a large leaf, and no table is counted at the end",
	       mode_name[mode], kind, large);
	tap_ok(mapped && (mode == NOPAGING || (faults && emulated && old && lazy == !!unseen)),
	       "%s, %s: %lu accesses mapped, %lu refused, %lu emulated, %lu of them by entries that were cached; %lu writes unseen",
	       mode_name[mode], kind, mapped, faults, emulated, old, unseen);
}

/* One CPU with four levels of paging whose root is frame 0, and nothing else that writes. */
static void begin_alone(struct cpu *c, bool lazy)
{
	alone = true;
	new_shadow(lazy);
	memset(memory, 0, sizeof(memory));
	memset(tlb, 0, sizeof(tlb));
	set_mode(c, M4);
	c->ctx.cr0 |= CR0_WP;
	c->ctx.efer |= EFER_NX;
	c->mode.wp = c->mode.nx = true;
	c->ctx.cr3 = 0;
}

static void end_alone(struct cpu *c)
{
	audit();
	put_roots(c->root, c->roots);
	c->roots = 0;
	shadow_zap_oldest(&m, -1);
	core_flush(&m);
	alone = false;
}

/* What is mapped beside a page that is used: entry n of its table, where the shadow knows the frame. */
static void beside(void)
{
	static const struct {
		u64 entry, want;
		const char *what;
	} cases[] = {
		[1] = { P | A | D | W | U, SHADOW_P | SHADOW_W | SHADOW_D | SHADOW_U, "all rights" },
		[2] = { P | A | D | U, SHADOW_P | SHADOW_U, "read-only" },
		[3] = { P | A | W, SHADOW_P, "not dirty, the supervisor's" },
		[4] = { P | D | W | U, 0, "not accessed" },
		[5] = { A | D | W | U, 0, "not present" },
		[6] = { P | A | D | W | U | 1ull << 45, 0, "with a reserved bit" },
		[7] = { P | A | D | W | U | NX, SHADOW_P | SHADOW_W | SHADOW_D | SHADOW_U | SHADOW_NX, "not executable" },
		[8] = { P | A | D | W | U | 3ull << 59, 0, "with another key" },
		[9] = { P | A | D | W | U, 0, "of a frame that is not known" },
		[16] = { P | A | D | W | U, 0, "of the next group" },
	};
	const u64 leaf = P | A | D | W | U;
	struct cpu *c = &cpus[0];
	unsigned int i;
	u64 entry;
	u32 error;

	begin_alone(c, true);
	((u64 *)memory[0])[0] = 1 << 12 | leaf;
	((u64 *)memory[1])[0] = 2 << 12 | leaf;
	((u64 *)memory[2])[0] = 3 << 12 | leaf;
	((u64 *)memory[2])[1] = 4 << 12 | leaf;
	for (i = 0; i <= 16; i++) {
		((u64 *)memory[3])[i] = (u64)(TABLES + i) << 12 | (i ? cases[i].entry : leaf);
		/* By other names, in groups of their own. */
		if (i != 9)
			((u64 *)memory[4])[i * 16] = (u64)(TABLES + i) << 12 | leaf;
	}
	load_roots(c);
	settle();
	for (i = 0; i <= 16; i++)
		access_by_shadow(c, 1 << 21 | i << 16, UMBRA_GWALK_WRITE, &entry, &error);
	access_by_shadow(c, 0, 0, &entry, &error);
	for (i = 1; i <= 16; i++) {
		u64 found = hw_walk(c, i << 12);

		if (!cases[i].what)
			continue;
		tap_ok(found == (cases[i].want ? cases[i].want | frame_entry(TABLES + i) : 0),
		       "beside a page that is used: %s", cases[i].what);
	}
	end_alone(c);
}

/* The guest writes an entry of the table in frame @table, and of what it is nothing changes but a bit. */
static void write_entry(unsigned int table, unsigned int times)
{
	while (times--) {
		*(u64 *)memory[table] ^= 1 << 9;
		shadow_written(&m, table, 0, 8);
		settle();
	}
}

/* A table is one as long as it is used; a page that is none any more is written without exits. */
static void released(void)
{
	const u64 leaf = P | A | D | W | U;
	struct cpu *c = &cpus[0];
	u64 entry;
	u32 error;

	begin_alone(c, false);
	*(u64 *)memory[0] = 1 << 12 | leaf;
	*(u64 *)memory[1] = 2 << 12 | leaf;
	*(u64 *)memory[2] = 3 << 12 | leaf;
	*(u64 *)memory[3] = (u64)TABLES << 12 | leaf;
	load_roots(c);
	settle();
	access_by_shadow(c, 0, UMBRA_GWALK_WRITE, &entry, &error);
	write_entry(3, 5);
	tap_ok(shadow_tracks(&m, 3), "a table that the CPU uses is one after many writes");
	write_entry(3, 5);
	tap_ok(!shadow_tracks(&m, 3), "a table that is not used is none after many writes");
	access_by_shadow(c, 0, UMBRA_GWALK_WRITE, &entry, &error);
	tap_ok(shadow_tracks(&m, 3), "it is one again with its next use");
	*(u64 *)memory[2] = 0;
	shadow_written(&m, 2, 0, 8);
	settle();
	tap_ok(!shadow_tracks(&m, 3) && shadow_tracks(&m, 2), "a table that is taken away is none at once");
	end_alone(c);
}

/* Another address space with the same table. */
static void shared(void)
{
	const u64 leaf = P | A | D | W | U, kernel = 0xffffULL << 48 | 1ULL << 47;
	struct cpu *c = &cpus[0];
	u64 entry;
	u32 error;

	begin_alone(c, true);
	((u64 *)memory[0])[256] = 1 << 12 | leaf;
	*(u64 *)memory[1] = 2 << 12 | leaf;
	*(u64 *)memory[2] = 3 << 12 | leaf;
	*(u64 *)memory[3] = (u64)TABLES << 12 | leaf;
	((u64 *)memory[4])[256] = 1 << 12 | leaf;
	((u64 *)memory[5])[256] = 1 << 12 | (leaf & ~A);
	((u64 *)memory[6])[256] = 1 << 12 | (leaf & ~W);
	load_roots(c);
	settle();
	access_by_shadow(c, kernel, UMBRA_GWALK_WRITE, &entry, &error);
	c->ctx.cr3 = 4 << 12;
	load_roots(c);
	settle();
	tap_ok(hw_walk(c, kernel), "what address spaces share is there in each at once");
	c->ctx.cr3 = 5 << 12;
	load_roots(c);
	settle();
	tap_ok(!hw_walk(c, kernel), "not where the guest has not used it");
	c->ctx.cr3 = 6 << 12;
	load_roots(c);
	settle();
	tap_ok(!hw_walk(c, kernel), "nor with other rights");
	end_alone(c);
}

/* INVLPG ends a large page as a whole, and small leaves of ours for it are many in a TLB. */
static void large_flushed(bool split)
{
	const u64 leaf = P | A | D | W | U;
	struct cpu *c = &cpus[0];
	u64 entry;
	u32 error;

	begin_alone(c, true);
	host_large = !split;
	*(u64 *)memory[0] = 1 << 12 | leaf;
	*(u64 *)memory[1] = 2 << 12 | leaf;
	*(u64 *)memory[2] = 512 << 12 | leaf | PS;
	load_roots(c);
	settle();
	access_by_shadow(c, 0, UMBRA_GWALK_WRITE, &entry, &error);
	access_by_shadow(c, 4096, UMBRA_GWALK_WRITE, &entry, &error);
	hw_walk(c, 0);
	hw_walk(c, 4096);
	*(u64 *)memory[2] = 1024 << 12 | leaf | PS;
	shadow_written(&m, 2, 0, 8);
	settle();
	flush_gva(c, 0);
	access_by_shadow(c, 4096, UMBRA_GWALK_WRITE, &entry, &error);
	tap_ok((entry & ADDR) == frame_entry(1025),
	       "INVLPG of one address of a large page is of all of them, mapped %s",
	       split ? "small" : "large");
	host_large = true;
	end_alone(c);
}

/* A page of 4 MiB is two of ours. */
static void halves(void)
{
	const u32 leaf = P | A | D | W | U | PS, high = 3u << 13;
	const u64 gfn = 3ull << 20;
	struct cpu *c = &cpus[0];
	u64 entry[3];
	u32 error;

	begin_alone(c, true);
	set_mode(c, M32);
	c->ctx.cr0 |= CR0_WP;
	c->ctx.cr4 = CR4_PSE;
	c->mode.pse = c->mode.wp = true;
	c->ctx.cr3 = 0;
	*(u32 *)memory[0] = 1024 << 12 | leaf | high;
	load_roots(c);
	settle();
	access_by_shadow(c, 0x1000, UMBRA_GWALK_WRITE, &entry[0], &error);
	access_by_shadow(c, 0x201000, UMBRA_GWALK_WRITE, &entry[1], &error);
	tap_ok(entry[0] == frame_entry(gfn + 1024 + 1) && entry[1] == frame_entry(gfn + 1536 + 1) &&
	       shadow_frame_at(c->root[0], 0x3ff000) == gfn + 2047,
	       "of a page of 4 MiB above 4 GiB two large leaves are made");
	hw_walk(c, 0x1000);
	hw_walk(c, 0x201000);
	*(u32 *)memory[0] = 2048 << 12 | leaf;
	shadow_written(&m, 0, 0, 4);
	settle();
	flush_gva(c, 0);
	access_by_shadow(c, 0x201000, UMBRA_GWALK_WRITE, &entry[2], &error);
	tap_ok(entry[2] == frame_entry(2048 + 512 + 1), "INVLPG of one half is of both");
	end_alone(c);
}

/* Which level has the leaf of @gva? */
static int level_at(const struct cpu *c, u64 gva)
{
	const struct shadow_page *sp = root_of(c, gva);
	unsigned int i = index_of(gva, sp->role.level);

	while (has_mark(sp->present, i) && !shadow_is_leaf(sp, i)) {
		sp = child_of(sp->spt[i]);
		i = index_of(gva, sp->role.level);
	}
	return has_mark(sp->present, i) ? sp->role.level : 0;
}

/* A page of 1 GiB, in whose first 2 MiB a frame becomes a table, and is none later. */
static void large_and_small(void)
{
	const u64 leaf = P | A | D | W | U, gib = 1ull << 30;
	struct cpu *c = &cpus[0];
	u64 entry;
	u32 error;

	begin_alone(c, true);
	far_gfn = gib >> 12;
	((u64 *)memory[0])[0] = 1 << 12 | leaf;
	((u64 *)memory[1])[0] = gib | leaf | PS;
	((u64 *)memory[1])[1] = 2 << 12 | leaf;
	((u64 *)memory[2])[0] = gib | leaf;
	((u64 *)memory[2])[1] = 3 << 12 | leaf;
	((u64 *)memory[3])[0] = (gib + 0x201000) | leaf;
	((u64 *)memory[FRAMES])[0] = (u64)TABLES << 12 | leaf;
	load_roots(c);
	settle();
	access_by_shadow(c, 0, UMBRA_GWALK_WRITE, &entry, &error);
	access_by_shadow(c, 0x201000, UMBRA_GWALK_WRITE, &entry, &error);
	tap_ok(level_at(c, 0) == 2 && level_at(c, 0x200000) == 2,
	       "a page of 1 GiB is mapped by large leaves");
	tap_ok((shadow_known_leaf(&m, (gib >> 12) + 513) & (ADDR | SHADOW_W)) ==
	       (frame_entry((gib >> 12) + 513) | SHADOW_W), "what is in one is known");
	access_by_shadow(c, gib + 0x200000, UMBRA_GWALK_WRITE, &entry, &error);
	tap_ok(level_at(c, 0x200000) == 2 && level_at(c, gib + 0x200000) == 1,
	       "a small page of the guest's that lies there has a small leaf");
	access_by_shadow(c, gib, 0, &entry, &error);
	tap_ok(shadow_tracks(&m, gib >> 12) && !level_at(c, 0),
	       "where a frame becomes a table the large leaf goes");
	access_by_shadow(c, 0x1000, UMBRA_GWALK_WRITE, &entry, &error);
	tap_ok(level_at(c, 0x1000) == 1 && level_at(c, 0x200000) == 2, "and small ones come");
	shadow_untrack(&m, gib >> 12);
	settle();
	access_by_shadow(c, 0x2000, UMBRA_GWALK_WRITE, &entry, &error);
	tap_ok(level_at(c, 0x2000) == 1, "they stay when it is none any more");
	shadow_zap(&m, gib >> 12, (gib >> 12) + 512);
	settle();
	access_by_shadow(c, 0x2000, UMBRA_GWALK_WRITE, &entry, &error);
	tap_ok(level_at(c, 0x2000) == 2 && entry == frame_entry((gib >> 12) + 2),
	       "until none is left");
	shadow_protect(&m, (gib >> 12) + 512 + 7, (gib >> 12) + 512 + 8);
	settle();
	tap_ok(!level_at(c, 0x200000) && level_at(c, 0) == 2,
	       "a log has it mapped anew, where it begins alone");
	far_gfn = 0;
	end_alone(c);
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 30000;
	int mode;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x5eed;
	tap_begin();
	beside();
	released();
	shared();
	large_flushed(true);
	large_flushed(false);
	halves();
	large_and_small();
	for (mode = NOPAGING; mode < NR_MODES; mode++) {
		run(mode, false, count);
		run(mode, true, count);
	}
	while (pool.tables)
		free(pool.table[--pool.tables]);
	while (pool.spts)
		free(pool.spt[--pool.spts]);
	while (pool.parts)
		free(pool.part[--pool.parts]);
	return tap_end();
}
