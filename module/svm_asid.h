/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which ASID a guest runs under, and what must be flushed for it. No kernel header:
 * a unit test runs it against a model of TLBs, because emulators flush theirs at
 * each world switch and would hide a mistake.
 */
#ifndef UMBRA_SVM_ASID_H
#define UMBRA_SVM_ASID_H

#include "emul_types.h"

/**
 * struct svm_asid_cpu - what a CPU has given out
 * @generation: grows when all ASIDs were used up, and whenever SVM is turned on;
 *	never starts anew, so that an ASID of before is never taken for valid
 * @next: the next to give out in this generation
 * @max: the last; 0 is the host's
 */
struct svm_asid_cpu {
	u64 generation;
	u32 next, max;
};

/**
 * struct svm_asid - a guest's, on the CPU where it ran last
 * @generation: that of the CPU when it was given; 0: none
 * @asid: it
 * @flush: its translations are stale
 */
struct svm_asid {
	u64 generation;
	u32 asid;
	bool flush;
};

enum svm_asid_flush { SVM_ASID_FLUSH_NONE, SVM_ASID_FLUSH_THIS, SVM_ASID_FLUSH_ALL };

/* SVM goes on: translations of before may have survived, so that all ASIDs are used up. */
static inline void svm_asid_cpu_on(struct svm_asid_cpu *cpu, u32 max)
{
	cpu->generation++;
	cpu->max = max;
	cpu->next = max + 1;
}

/* The guest is on another CPU now, where neither its ASID nor its flushes were known. */
static inline void svm_asid_moved(struct svm_asid *guest)
{
	guest->generation = 0;
}

/*
 * Manual: «TLB Management». An ASID that nobody has used since the last flush of
 * all needs none; @by_asid: the CPU can flush one alone.
 */
static inline enum svm_asid_flush svm_asid_choose(struct svm_asid_cpu *cpu, struct svm_asid *guest,
						  bool by_asid)
{
	enum svm_asid_flush flush = SVM_ASID_FLUSH_NONE;

	if (guest->generation == cpu->generation) {
		if (!guest->flush)
			return SVM_ASID_FLUSH_NONE;
		if (by_asid) {
			guest->flush = false;
			return SVM_ASID_FLUSH_THIS;
		}
	}
	if (cpu->next > cpu->max) {
		cpu->generation++;
		cpu->next = 1;
		flush = SVM_ASID_FLUSH_ALL;
	}
	guest->asid = cpu->next++;
	guest->generation = cpu->generation;
	guest->flush = false;
	return flush;
}

#endif
