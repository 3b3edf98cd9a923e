// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core of the shadow engine. The rules that keep it true:
 *
 * - a table of ours is found by the guest's frame and by all of its role;
 * - a frame of the guest's that has such a table is writable nowhere, unless the table
 *   is unsynced. Who makes one takes the right away and has the CPUs flush, and only
 *   then believes an entry;
 * - rights are those of the whole way and stand in the leaf;
 * - every leaf is in the chain of its frame, every other entry in that of the
 *   table it points to, so that either can be taken away from there;
 * - no table of the guest's that has a shadow lies in what a large leaf maps.
 */
#include "shadow_priv.h"

#define PKEY_BITS	(0xfULL << 59)

/* Address bits that no entry has reserved. */
#define NEAR_ADDR	0xfffff000ULL

static struct shadow_page **page_chain(const struct shadow *m, u64 gfn)
{
	return &m->hash[shadow_hash(gfn, SHADOW_HASH_BITS)];
}

static bool is_empty(const struct shadow_page *sp)
{
	return next_mark(sp->present, 0) == SHADOW_ENTRIES;
}

u64 shadow_frame_at(const struct shadow_page *root, u64 gva)
{
	const struct shadow_page *sp = root;
	unsigned int i;

	for (;; sp = child_of(sp->spt[i])) {
		i = index_of(gva, sp->role.level);
		if (!has_mark(sp->present, i))
			return SHADOW_NO_FRAME;
		if (shadow_is_leaf(sp, i))
			return shadow_leaf_gfn(sp, i) + (gva >> 12 & (level_pages(sp->role.level) - 1));
	}
}

bool shadow_is_split(const struct shadow_page *root, u64 gva)
{
	const struct shadow_page *sp = root;

	while (sp && sp->role.level > 1)
		sp = shadow_child(sp, index_of(gva, sp->role.level));
	return sp && !is_empty(sp);
}

/* ------------------------------ taking away ------------------------------ */

static struct shadow_page *skip_others(struct shadow_page *sp, u64 gfn)
{
	while (sp && (sp->gfn != gfn || sp->role.direct))
		sp = sp->hash_next;
	return sp;
}

struct shadow_page *shadow_first_of(const struct shadow *m, u64 gfn)
{
	return skip_others(*page_chain(m, gfn), gfn);
}

struct shadow_page *shadow_next_of(const struct shadow_page *sp)
{
	return skip_others(sp->hash_next, sp->gfn);
}

static void unlist(struct shadow *m, struct shadow_page *sp)
{
	if (sp->newer)
		sp->newer->older = sp->older;
	else
		m->newest = sp->older;
	if (sp->older)
		sp->older->newer = sp->newer;
	else
		m->oldest = sp->newer;
	m->nr--;
}

static void enlist(struct shadow *m, struct shadow_page *sp)
{
	sp->newer = NULL;
	sp->older = m->newest;
	if (m->newest)
		m->newest->newer = sp;
	else
		m->oldest = sp;
	m->newest = sp;
	m->nr++;
}

static void free_table(struct shadow *m, struct shadow_page *sp)
{
	unsigned int n;

	for (n = 0; n < SHADOW_PARTS; n++)
		m->parts -= !!sp->next[n] + !!sp->gpte[n];
	m->ops->free(m, sp);
}

/* Nothing leads to @sp or away from it afterwards. A root in use is freed by its last user. */
void shadow_zap_page(struct shadow *m, struct shadow_page *sp)
{
	struct shadow_page **p = page_chain(m, sp->gfn);
	unsigned int i = 0;

	while ((i = next_mark(sp->present, i)) < SHADOW_ENTRIES)
		shadow_drop(m, sp, i);
	while (sp->parents)
		shadow_drop(m, shadow_owner(sp->parents), entry_index(sp->parents));
	while (*p != sp)
		p = &(*p)->hash_next;
	*p = sp->hash_next;
	if (!sp->role.direct)
		--*shadow_tracked_around(m, sp->gfn);
	unlist(m, sp);
	sp->dead = true;
	if (m->orphan == sp)
		m->orphan = NULL;
	/* A CPU may have cached what led here, also what was taken away before. */
	m->flush = true;
	if (!sp->role.direct && !shadow_tracks(m, sp->gfn))
		shadow_release(m, sp->gfn);
	if (sp->roots) {
		m->used--;
		m->reload = true;
		return;
	}
	free_table(m, sp);
}

void shadow_untrack(struct shadow *m, u64 gfn)
{
	struct shadow_page *sp = shadow_first_of(m, gfn), *next;

	for (; sp; sp = next) {
		next = shadow_next_of(sp);
		shadow_zap_page(m, sp);
	}
}

void shadow_zap(struct shadow *m, u64 start, u64 end)
{
	struct shadow_page *sp, *next;
	u64 gfn;

	shadow_drop_leaves(m, start, end);
	if (end - start < m->nr) {
		for (gfn = start; gfn < end; gfn++)
			shadow_untrack(m, gfn);
		return;
	}
	for (sp = m->oldest; sp; sp = next) {
		next = sp->newer;
		if (!sp->role.direct && sp->gfn >= start && sp->gfn < end)
			shadow_zap_page(m, sp);
	}
}

void shadow_zap_oldest(struct shadow *m, unsigned int count)
{
	for (; m->oldest && count; count--)
		shadow_zap_page(m, m->oldest);
}

unsigned int shadow_zap_unused(struct shadow *m, unsigned int count)
{
	struct shadow_page *sp, *next;
	unsigned int n = 0;

	for (sp = m->oldest; sp && n < count; sp = next) {
		next = sp->newer;
		if (sp->roots)
			continue;
		shadow_zap_page(m, sp);
		n++;
	}
	return n;
}

unsigned int shadow_make_room(struct shadow *m)
{
	unsigned long wanted = m->nr - m->used + SHADOW_LEVELS;

	return wanted > m->quota ? shadow_zap_unused(m, wanted - m->quota) : 0;
}

/* ------------------------------ tables ------------------------------ */

bool shadow_tracks(const struct shadow *m, u64 gfn)
{
	return shadow_first_of(m, gfn);
}

u32 *shadow_tracked_around(const struct shadow *m, u64 gfn)
{
	return &m->tracked[shadow_hash(gfn / level_pages(2), SHADOW_TRACKED_BITS)];
}

struct shadow_page *shadow_find(const struct shadow *m, u64 gfn, union shadow_role role)
{
	struct shadow_page *sp;

	for (sp = *page_chain(m, gfn); sp; sp = sp->hash_next) {
		if (sp->gfn == gfn && sp->role.word == role.word)
			return sp;
	}
	return NULL;
}

/*
 * Memory may have been changed unseen since @sp was used. What it leads to is to be
 * looked at as well, so that it is found anew by the next faults.
 */
static void refresh(struct shadow *m, struct shadow_page *sp)
{
	unsigned int i;

	for (i = 0; (i = next_mark(sp->present, i)) < SHADOW_ENTRIES; i++) {
		if (sp->role.level > 1)
			shadow_drop(m, sp, i);
		else if (!sp->role.direct)
			shadow_check_entry(m, sp, i);
	}
	sp->epoch = m->epoch;
}

static struct shadow_page *get_table(struct shadow *m, struct shadow_pool *pool, u64 gfn,
				    union shadow_role role)
{
	struct shadow_page **chain = page_chain(m, gfn);
	struct shadow_page *sp = shadow_find(m, gfn, role);

	if (sp) {
		if (sp->epoch != m->epoch)
			refresh(m, sp);
		return sp;
	}
	if (!pool->tables || !pool->spts)
		return NULL;
	sp = pool->table[--pool->tables];
	sp->spt = pool->spt[--pool->spts];
	sp->gfn = gfn;
	sp->role = role;
	sp->epoch = m->epoch;
	shadow_set_owner(sp->spt, sp);
	if (!role.direct) {
		if (shadow_is_unsync(m, gfn))
			shadow_sync_frame(m, gfn);
		else
			shadow_hold(m, gfn);
		++*shadow_tracked_around(m, gfn);
	}
	sp->hash_next = *chain;
	*chain = sp;
	enlist(m, sp);
	m->ops->made(m, sp);
	return sp;
}

/* Room beside the entry, before it is put in; false: the pool is empty. */
static bool give_parts(struct shadow *m, struct shadow_pool *pool, struct shadow_page *sp,
		       unsigned int i)
{
	unsigned int n = i / SHADOW_PART_ENTRIES;

	if (has_parts(sp, i))
		return true;
	if (pool->parts < 2)
		return false;
	sp->next[n] = pool->part[--pool->parts];
	m->parts++;
	if (sp->role.direct)
		return true;
	sp->gpte[n] = pool->part[--pool->parts];
	m->parts++;
	return true;
}

void shadow_put_root(struct shadow *m, struct shadow_page *root)
{
	if (--root->roots)
		return;
	if (!root->dead) {
		m->used--;
		return;
	}
	m->flush = true;
	free_table(m, root);
}

/* ------------------------------ mapping ------------------------------ */

/* Rights that a guest's entry leaves. */
static unsigned int gpte_rights(u64 gpte, bool narrow)
{
	return (gpte & GPTE_W ? SHADOW_MAY_WRITE : 0) | (gpte & GPTE_U ? SHADOW_MAY_USER : 0) |
	       (!narrow && gpte & GPTE_NX ? 0 : SHADOW_MAY_EXEC);
}

/*
 * Rights of the page itself. Without CR0.WP a supervisor writes where the tables say no: on
 * pages of its own all who come may. And none is written before its entry is dirty.
 */
static unsigned int leaf_rights(unsigned int access, bool dirty, bool wp)
{
	if (!wp && !(access & SHADOW_MAY_USER))
		access |= SHADOW_MAY_WRITE;
	return dirty ? access : access & ~SHADOW_MAY_WRITE;
}

/*
 * What a new address space shares with others is its kernel, in the upper half: tables that
 * are known are linked where its entries have been used, before a fault asks for each.
 */
static void link_known(struct shadow *m, struct shadow_pool *pool, struct shadow_page *root)
{
	union shadow_role role = root->role;
	struct shadow_page *child;
	u64 now[GROUP];
	unsigned int i;

	/* A CPU may still think that it can write the frame. */
	if (m->flush)
		m->ops->flush(m);
	for (i = SHADOW_ENTRIES / 2; i < SHADOW_ENTRIES; i++) {
		u64 gpte;

		if (!(i % GROUP) && read_gptes(m, root, i, now, GROUP) < 0)
			return;
		gpte = now[i % GROUP];
		if (~gpte & (GPTE_P | GPTE_A) ||
		    gpte & ~(GPTE_P | shadow_soft_bits(root) | NEAR_ADDR))
			continue;
		role.level = root->role.level - 1;
		role.access = root->role.access & gpte_rights(gpte, false);
		child = shadow_find(m, shadow_gpte_gfn(root, gpte), role);
		if (!child || child->epoch != m->epoch)
			continue;
		if (!give_parts(m, pool, root, i))
			return;
		shadow_sync(m, child);
		*gpte_of(root, i) = gpte;
		shadow_link(m, root, i, child);
	}
}

struct shadow_page *shadow_get_root(struct shadow *m, struct shadow_pool *pool, u64 gfn,
				    union shadow_role role)
{
	struct shadow_page *sp = get_table(m, pool, gfn, role);

	if (!sp)
		return NULL;
	unlist(m, sp);
	enlist(m, sp);
	if (!sp->roots++)
		m->used++;
	if (role.wide && is_empty(sp))
		link_known(m, pool, sp);
	return sp;
}

/*
 * The way of one address, from level @top to that of the leaf, @bottom: our table at each, and the
 * guest's entry in it as it is now.
 */
struct way {
	struct shadow_page *sp[SHADOW_LEVELS + 1];
	u64 gpte[SHADOW_LEVELS + 1];
	unsigned int access;
	int top, bottom;
};

/* Which table must be below @sp? @access is what the way allows so far. */
static u64 next_role(const struct shadow_page *sp, const struct shadow_map *map,
		     unsigned int access, union shadow_role *role)
{
	const struct umbra_gwalk *walk = map->walk;
	int level = sp->role.level;

	if (sp->role.direct) {
		*role = sp->role;
		role->level--;
		return sp->gfn + index_of(map->gva, level) * level_pages(level);
	}
	if (walk->level == level) {
		role->word = 0;
		role->level = level - 1;
		role->direct = true;
		role->access = leaf_rights(access, walk->dirty, map->mode.wp);
		role->nx = map->mode.nx;
		role->wide = map->mode.wide;
		role->pkey = walk->pkey;
		return (walk->gpa >> 12) & ~(level_pages(level) - 1);
	}
	*role = map->mode;
	role->level = level - 1;
	role->access = access;
	/* The guest's table has twice as many entries as ours. */
	if (role->narrow)
		role->quadrant = (map->gva >> 21) & 1;
	return walk->table_gpa[level - 2] >> 12;
}

/* The table below @sp, linked already or not; NULL: the pool is empty. */
static struct shadow_page *next_table(struct shadow *m, struct shadow_pool *pool,
				      const struct shadow_page *sp, const struct shadow_map *map,
				      unsigned int access)
{
	unsigned int i = index_of(map->gva, sp->role.level);
	struct shadow_page *child;
	union shadow_role role;
	u64 gfn = next_role(sp, map, access, &role);

	child = shadow_child(sp, i);
	if (child && child->gfn == gfn && child->role.word == role.word && child->epoch == m->epoch)
		return child;
	child = get_table(m, pool, gfn, role);
	/*
	 * The guest need not flush to use what was not there: what is not linked yet must
	 * say nothing old.
	 */
	if (child && shadow_child(sp, i) != child)
		shadow_sync(m, child);
	return child;
}

/* Our table of that where the walk began, which need not be the root; NULL: it is not there any more. */
static struct shadow_page *walked_from(struct shadow_page *root, const struct shadow_map *map)
{
	struct shadow_page *sp = root;
	unsigned int top = map->walk->top_level;

	if (sp->role.direct || sp->role.level <= top)
		return sp;
	while (sp->role.level > top) {
		sp->writes = 0;
		sp = shadow_child(sp, index_of(map->gva, sp->role.level));
		if (!sp)
			return NULL;
	}
	return !sp->role.direct && sp->gfn == map->walk->table_gpa[top - 1] >> 12 ? sp : NULL;
}

/* May the leaf stand in @sp? Small ones that are there stay: who needed them may need them again. */
static bool is_bottom(const struct shadow *m, const struct shadow_page *sp,
		      const struct shadow_map *map)
{
	const struct shadow_page *child;

	if (sp->role.level != 2)
		return sp->role.level == 1;
	child = shadow_child(sp, index_of(map->gva, 2));
	return map->large && !*shadow_tracked_around(m, map->walk->gpa >> 12) &&
	       (!child || is_empty(child));
}

/* Find or make all tables of the way; false: the pool is empty, or the way has changed. */
static bool find_way(struct shadow *m, struct shadow_pool *pool, struct shadow_page *root,
		     const struct shadow_map *map, struct way *way)
{
	struct shadow_page *sp = walked_from(root, map);
	int level;

	if (!sp)
		return false;
	way->top = sp->role.level;
	way->access = sp->role.access;
	for (level = way->top;; level--) {
		way->sp[level] = sp;
		if (!give_parts(m, pool, sp, index_of(map->gva, level)))
			return false;
		if (!sp->role.direct)
			way->access &= gpte_rights(map->walk->gpte[level - 1], sp->role.narrow);
		way->bottom = level;
		if (is_bottom(m, sp, map))
			return true;
		sp = next_table(m, pool, sp, map, way->access);
		if (!sp)
			return false;
	}
}

/* Is the entry as it was walked? What is linked follows the guest's, and need not be read. */
static bool entry_so(struct shadow *m, const struct shadow_map *map, struct way *way, int level)
{
	const struct shadow_page *sp = way->sp[level];
	unsigned int i = index_of(map->gva, level);
	u64 now, walked = map->walk->gpte[level - 1], needed = GPTE_A;
	int r;

	if (level > way->bottom && shadow_child(sp, i) == way->sp[level - 1] &&
	    !((walked ^ *gpte_of(sp, i)) & ~(GPTE_A | GPTE_D))) {
		way->gpte[level] = *gpte_of(sp, i);
		return true;
	}
	r = read_gptes(m, sp, i, &now, 1);
	if (r < 0 || ((walked ^ now) & ~(GPTE_A | GPTE_D)))
		return false;
	if (level == map->walk->level && map->walk->dirty)
		needed |= GPTE_D;
	/* The walk has set the bits that it needs, unless they are in ROM, where nobody can. */
	if (!r && needed & ~now)
		return false;
	way->gpte[level] = now;
	return true;
}

/* The guest's entries as they are now that nobody writes them unseen. */
static bool still_so(struct shadow *m, const struct shadow_map *map, struct way *way)
{
	int level;

	for (level = way->top; level >= way->bottom && !way->sp[level]->role.direct; level--) {
		if (!entry_so(m, map, way, level))
			return false;
	}
	return true;
}

static void link_tables(struct shadow *m, const struct shadow_map *map, const struct way *way)
{
	int level;

	for (level = way->top; level > way->bottom; level--) {
		struct shadow_page *sp = way->sp[level], *child = way->sp[level - 1];
		unsigned int i = index_of(map->gva, level);

		sp->writes = 0;
		if (shadow_child(sp, i) != child) {
			/* The guest has nothing to flush, and small leaves follow. */
			if (sp->spt[i] & SHADOW_LARGE)
				m->flush = true;
			shadow_drop(m, sp, i);
			shadow_link(m, sp, i, child);
		}
		if (!sp->role.direct)
			*gpte_of(sp, i) = way->gpte[level];
	}
}

/* The bits of a leaf that are rights. */
#define RIGHTS	(SHADOW_W | SHADOW_D | SHADOW_U | SHADOW_NX)

static u64 rights_bits(const struct shadow_page *sp, unsigned int access, bool writable)
{
	return (access & SHADOW_MAY_USER ? SHADOW_U : 0) |
	       (writable && access & SHADOW_MAY_WRITE ? SHADOW_W | SHADOW_D : 0) |
	       (sp->role.nx && !(access & SHADOW_MAY_EXEC) ? SHADOW_NX : 0);
}

u64 shadow_narrow_leaf(const struct shadow_page *sp, u64 leaf, u64 now)
{
	unsigned int access = sp->role.access & gpte_rights(now, sp->role.narrow);

	access = leaf_rights(access, now & GPTE_D, sp->role.wp);
	if (!(access & SHADOW_MAY_WRITE))
		leaf &= ~SHADOW_HELD;
	return (leaf & ~RIGHTS) | rights_bits(sp, access, leaf & SHADOW_W);
}

bool shadow_loses(u64 old, u64 leaf)
{
	return old & ~leaf & (SHADOW_W | SHADOW_U) || leaf & ~old & SHADOW_NX ||
	       (old ^ leaf) & PKEY_BITS;
}

static void map_unasked(struct shadow *m, struct shadow_page *sp, unsigned int i, u64 gpte)
{
	unsigned int access = leaf_rights(sp->role.access & gpte_rights(gpte, sp->role.narrow),
					  gpte & GPTE_D, sp->role.wp);
	u64 gfn = shadow_gpte_gfn(sp, gpte), known = shadow_known_leaf(m, gfn), leaf;

	if (!known)
		return;
	/* No accessed bit: nobody has used it here. */
	leaf = (known & SHADOW_ADDR) | SHADOW_P | rights_bits(sp, access, known & SHADOW_W);
	if (sp->role.wide)
		leaf |= gpte & PKEY_BITS;
	shadow_set_leaf(m, sp, i, gfn, gpte, leaf);
}

void shadow_map_written(struct shadow *m, struct shadow_page *sp, unsigned int i)
{
	u64 now;

	if (sp->role.level > 1 || has_mark(sp->present, i) || !has_parts(sp, i) || m->flush ||
	    read_gptes(m, sp, i, &now, 1) < 0)
		return;
	/* Nobody has walked it: it is believed if none of its bits can be reserved. */
	if (~now & (GPTE_P | GPTE_A) || now & ~(GPTE_P | shadow_soft_bits(sp) | NEAR_ADDR))
		return;
	map_unasked(m, sp, i, now);
	if (has_mark(sp->present, i))
		sp->writes = 0;
}

/*
 * Who uses a page uses those beside it, often. Their entries are believed where the walked one
 * is, which has no reserved bit. What the host has for a frame is learned from other leaves
 * alone.
 */
static void map_around(struct shadow *m, struct shadow_page *sp, unsigned int i, u64 walked)
{
	u64 same = ~(shadow_soft_bits(sp) | NEAR_ADDR) | GPTE_P | GPTE_A, now[GROUP];
	unsigned int first = i & ~(GROUP - 1), missing, n;

	missing = ~(marks_of_group(sp->present, first) | 1U << (i - first)) & ((1U << GROUP) - 1);
	if (!missing || read_gptes(m, sp, first, now, GROUP) < 0)
		return;
	for (; missing; missing &= missing - 1) {
		n = __builtin_ctz(missing);
		if (!((now[n] ^ walked) & same))
			map_unasked(m, sp, first + n, now[n]);
	}
}

/* Where a large leaf will stand: small ones, and what CPUs may have of some, are no more. */
static void clear_below(struct shadow *m, struct shadow_page *sp, unsigned int i)
{
	struct shadow_page *child = shadow_child(sp, i);

	if (child)
		shadow_zap_page(m, child);
	if (!(sp->spt[i] & SHADOW_P) && m->stale)
		m->flush = true;
}

/* Put the leaf in, and return it. */
static u64 map_leaf(struct shadow *m, const struct shadow_map *map, const struct way *way)
{
	struct shadow_page *sp = way->sp[way->bottom];
	u64 inside = level_pages(way->bottom) - 1, gfn = map->walk->gpa >> 12 & ~inside;
	u64 leaf = (map->entry & ~(inside << 12)) | SHADOW_P | SHADOW_A;
	unsigned int i = index_of(map->gva, way->bottom), access;
	bool writable;

	access = sp->role.direct ? sp->role.access :
		 leaf_rights(way->access, map->walk->dirty, map->mode.wp);
	/* What can be written already need not wait for another first write. */
	writable = map->writable || (sp->spt[i] & SHADOW_W && shadow_leaf_gfn(sp, i) == gfn &&
				     !((sp->spt[i] ^ leaf) & SHADOW_ADDR));
	if (shadow_tracks(m, gfn) && !shadow_is_unsync(m, gfn))
		writable = map->write && access & SHADOW_MAY_WRITE && shadow_unsync(m, gfn);
	leaf |= rights_bits(sp, access, writable) | (way->bottom > 1 ? SHADOW_LARGE : 0);
	if (sp->role.wide)
		leaf |= (u64)map->walk->pkey << 59;
	/* First, so that of chains that grow too long the leaf that is wanted goes last. */
	if (way->bottom == 1 && !sp->role.direct && !map->alone)
		map_around(m, sp, i, way->gpte[1] | GPTE_A);
	shadow_set_leaf(m, sp, i, gfn, way->gpte[way->bottom], leaf);
	return leaf;
}

enum shadow_result shadow_map(struct shadow *m, struct shadow_pool *pool, struct shadow_page *root,
			      const struct shadow_map *map)
{
	struct way way = {};
	u64 leaf;

	if (root->dead || !find_way(m, pool, root, map, &way))
		return SHADOW_RETRY;
	if (way.bottom > 1)
		clear_below(m, way.sp[way.bottom], index_of(map->gva, way.bottom));
	/* A CPU may still think that it can write a frame which has just become a table. */
	if (m->flush)
		m->ops->flush(m);
	if (!still_so(m, map, &way))
		return SHADOW_RETRY;
	link_tables(m, map, &way);
	way.sp[way.bottom]->writes = 0;
	leaf = map_leaf(m, map, &way);
	return map->write && !(leaf & SHADOW_W) ? SHADOW_EMULATE : SHADOW_MAPPED;
}
