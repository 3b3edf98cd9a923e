/* SPDX-License-Identifier: GPL-2.0-only */
/* What shadow tables are made of, and where it goes when they end. */
#ifndef UMBRA_MMU_POOL_H
#define UMBRA_MMU_POOL_H

#include "shadow.h"

struct umbra_vm;

/* Tables whose memory a VM keeps: about those of a process that ends while another starts. */
#define UMBRA_SPARE_TABLES	16

/**
 * struct umbra_spares - memory of tables that have ended; mmu_lock held for writing
 * @spt: pages of zeroes: an entry that is taken away becomes 0
 * @part: what stands beside entries, of any content
 * @table: zeroed
 */
struct umbra_spares {
	void *spt[UMBRA_SPARE_TABLES];
	void *part[UMBRA_SPARE_TABLES * SHADOW_PARTS];
	struct shadow_page *table[UMBRA_SPARE_TABLES];
	u16 spts, parts, tables;
};

/* Make a pool full; may sleep, and takes mmu_lock. */
int umbra_pool_fill(struct umbra_vm *vm, struct umbra_spares *spares, struct shadow_pool *pool);
void umbra_pool_free(struct shadow_pool *pool);
/*
 * A table has ended, and the CPUs flush before mmu_lock, which is held for writing, is given
 * up: who takes what was kept does so under the lock anew.
 */
void umbra_spares_keep(struct umbra_vm *vm, struct umbra_spares *spares, struct shadow_page *sp);
/* Those that were kept; the CPUs have flushed. */
void umbra_spares_free(struct umbra_spares *spares);

#endif
