/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vCPU's exits were for, and how long its guest stood still for each. Always
 * counted, so it must cost next to nothing: plain increments by the vCPU's owner
 * alone, which anybody may read meanwhile, an aligned u64 at a time.
 */
#ifndef UMBRA_STATS_H
#define UMBRA_STATS_H

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/umbra.h>
#include <asm/msr.h>

#include "umbra.h"

/**
 * struct umbra_stats - of one vCPU, by enum umbra_exit_reason
 * @count: exits
 * @ticks: the host's TSC, from the exit until the guest was entered again
 * @bucket: [n]: how many took 2^n to 2^(n+1) - 1 ticks; the last one: or longer
 * @recent: the last exits in turn, the owner's alone; @nr_recent counts them
 */
struct umbra_stats {
	u64 count[UMBRA_EXIT_NR];
	u64 ticks[UMBRA_EXIT_NR];
	u64 bucket[UMBRA_EXIT_NR][UMBRA_EXIT_BUCKETS];
	struct umbra_entry_exit recent[UMBRA_ENTRY_EXITS];
	u32 nr_recent;
};

/* The guest has just been left. */
static inline void umbra_stats_left(struct umbra_vcpu *vcpu)
{
	vcpu->exit_tsc = rdtsc();
}

/* It is known why. */
static inline void umbra_stats_reason(struct umbra_vcpu *vcpu, u32 reason)
{
	struct umbra_stats *stats = vcpu->stats;
	struct umbra_entry_exit *recent = &stats->recent[stats->nr_recent++ % UMBRA_ENTRY_EXITS];

	stats->count[reason]++;
	recent->rip = vcpu->regs.rip;
	recent->reason = reason;
}

/*
 * The guest is about to be entered: the exit before, which was counted, is over.
 * TSCs of two CPUs that differ can make a time negative; it counts as none.
 */
static inline void umbra_stats_enter(struct umbra_vcpu *vcpu)
{
	struct umbra_stats *stats = vcpu->stats;
	u32 reason = vcpu->exit.reason;
	s64 ticks;

	if (unlikely(!vcpu->exit_tsc))
		return;
	ticks = max_t(s64, rdtsc() - vcpu->exit_tsc, 0);
	stats->ticks[reason] += ticks;
	stats->bucket[reason][min_t(unsigned long, __fls(ticks | 1), UMBRA_EXIT_BUCKETS - 1)]++;
}

/* stats.c */
int umbra_stats_create(struct umbra_vcpu *vcpu);	/* -ENOMEM */
void umbra_stats_destroy(struct umbra_vcpu *vcpu);
int umbra_stats_get(struct umbra_vm *vm, struct umbra_exit_stats *out);
const char *umbra_exit_name(u32 reason);		/* of a valid one */

/*
 * stats_fd.c, KVM_GET_STATS_FD: of @vcpu, or of @vm where that is NULL. The caller has a
 * reference to @vm. A file descriptor, -ENOMEM, -EMFILE.
 */
int umbra_stats_fd(struct umbra_vm *vm, struct umbra_vcpu *vcpu);

#endif
