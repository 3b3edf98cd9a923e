/* SPDX-License-Identifier: GPL-2.0-only */
/* What a guest does with its page tables, to be counted. */
#ifndef PAGING_WORK_H
#define PAGING_WORK_H

#include <stdint.h>

struct vm;

/**
 * struct paging_work - one kind of operation, done in batches
 * @name: as in reports
 * @entry: of the guest
 * @batches: that count, after some that do not
 * @spaces: address spaces it makes
 * @each: operations that the guest counts as one
 * @what: the operation, in words
 */
struct paging_work {
	const char *name;
	void (*entry)(void);
	unsigned int batches, spaces, each;
	const char *what;
};

extern const struct paging_work paging_works[];
extern const unsigned int nr_paging_works;

/* A VM in this mode (UMBRA_MMU_*; -1: as it comes) that has run up to the first batch that counts. */
void paging_work_begin(struct vm *vm, const struct paging_work *work, int mode);
/* The rest. The last exit is one of I/O, by which the guest says so. */
void paging_work_finish(struct vm *vm, const struct paging_work *work);
/* How much was done, and how long it took by the guest's TSC, without what stands before each batch. */
uint64_t paging_work_ops(struct vm *vm, const struct paging_work *work);
uint64_t paging_work_ticks(struct vm *vm);

#endif
