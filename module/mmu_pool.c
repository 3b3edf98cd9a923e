// SPDX-License-Identifier: GPL-2.0-only
/*
 * What shadow tables are made of. A guest that starts and ends processes makes tables and
 * gives them up all the time, and to allocate and clear their pages costs more than to map
 * what is in them: some are kept. Those that were kept are nobody's tables and count for none.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "mmu_pool.h"
#include "umbra.h"

static void move(void **to, u16 *n, unsigned int wanted, void **from, u16 *left)
{
	while (*n < wanted && *left)
		to[(*n)++] = from[--*left];
}

static void take_spares(struct umbra_vm *vm, struct umbra_spares *s, struct shadow_pool *pool)
{
	write_lock(&vm->mmu_lock);
	move((void **)pool->table, &pool->tables, ARRAY_SIZE(pool->table),
	     (void **)s->table, &s->tables);
	move(pool->spt, &pool->spts, ARRAY_SIZE(pool->spt), s->spt, &s->spts);
	move(pool->part, &pool->parts, ARRAY_SIZE(pool->part), s->part, &s->parts);
	write_unlock(&vm->mmu_lock);
}

/* What a failure left short stays so although the spares had all tables: look at each. */
static bool is_full(const struct shadow_pool *pool)
{
	return pool->tables == ARRAY_SIZE(pool->table) && pool->spts == ARRAY_SIZE(pool->spt) &&
	       pool->parts == ARRAY_SIZE(pool->part);
}

int umbra_pool_fill(struct umbra_vm *vm, struct umbra_spares *spares, struct shadow_pool *pool)
{
	if (is_full(pool))
		return 0;
	if (READ_ONCE(spares->tables))
		take_spares(vm, spares, pool);
	while (pool->spts < ARRAY_SIZE(pool->spt)) {
		void *page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

		if (!page)
			return -ENOMEM;
		pool->spt[pool->spts++] = page;
	}
	while (pool->parts < ARRAY_SIZE(pool->part)) {
		void *part = kmalloc(SHADOW_PART_SIZE, GFP_KERNEL_ACCOUNT);

		if (!part)
			return -ENOMEM;
		pool->part[pool->parts++] = part;
	}
	while (pool->tables < ARRAY_SIZE(pool->table)) {
		struct shadow_page *sp = kzalloc(sizeof(*sp), GFP_KERNEL_ACCOUNT);

		if (!sp)
			return -ENOMEM;
		pool->table[pool->tables++] = sp;
	}
	return 0;
}

static void free_pages_of(void **page, u16 *n)
{
	while (*n)
		free_page((unsigned long)page[--*n]);
}

static void free_all_of(void **object, u16 *n)
{
	while (*n)
		kfree(object[--*n]);
}

void umbra_pool_free(struct shadow_pool *pool)
{
	free_all_of((void **)pool->table, &pool->tables);
	free_pages_of(pool->spt, &pool->spts);
	free_all_of(pool->part, &pool->parts);
}

void umbra_spares_free(struct umbra_spares *spares)
{
	free_all_of((void **)spares->table, &spares->tables);
	free_pages_of(spares->spt, &spares->spts);
	free_all_of(spares->part, &spares->parts);
}

static void keep_part(struct umbra_spares *s, void *part)
{
	if (!part)
		return;
	if (s->parts == ARRAY_SIZE(s->part))
		kfree(part);
	else
		s->part[s->parts++] = part;
}

void umbra_spares_keep(struct umbra_vm *vm, struct umbra_spares *s, struct shadow_page *sp)
{
	unsigned int i;

	lockdep_assert_held_write(&vm->mmu_lock);
	for (i = 0; i < SHADOW_PARTS; i++) {
		keep_part(s, sp->gpte[i]);
		keep_part(s, sp->next[i]);
	}
	if (s->spts == ARRAY_SIZE(s->spt)) {
		umbra_mmu_bury_page(vm, sp->spt);
	} else {
		atomic_long_dec(&vm->mmu.pages);
		s->spt[s->spts++] = sp->spt;
	}
	if (s->tables == ARRAY_SIZE(s->table)) {
		kfree(sp);
		return;
	}
	memset(sp, 0, sizeof(*sp));
	s->table[s->tables] = sp;
	WRITE_ONCE(s->tables, s->tables + 1);
}
