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

/*
 * What else is counted of a vCPU, each in one line: X(name, meaning). It is counted
 * by umbra_count(vcpu, name); all who show figures find it here.
 */
#define UMBRA_VCPU_COUNTERS(X)						\
	X(runs,		"calls of KVM_RUN")				\
	X(user_exits,	"calls of KVM_RUN that returned with an exit")	\
	X(interrupted,	"calls of KVM_RUN that a signal ended")		\
	X(halts,	"times that it was halted and had to wait")	\
	X(halt_polls,	"of those, the ones whose end polling saw")	\
	X(root_loads,	"times that it was given a root of its tables")	\
	X(flushes,	"flushes of all translations, before an entry")	\
	X(emulated,	"instructions that the emulator did, or tried")	\
	X(async_faults,	"pages that were fetched while the guest could do something else")

/**
 * struct umbra_stats - of one vCPU, by enum umbra_exit_reason
 * @counters: UMBRA_VCPU_COUNTERS
 * @count: exits
 * @ticks: the host's TSC, from the exit until the guest was entered again
 * @bucket: [n]: how many took 2^n to 2^(n+1) - 1 ticks; the last one: or longer
 * @recent: the last exits in turn, the owner's alone; @nr_recent counts them
 * @reason: of the last one, as it was counted
 */
struct umbra_stats {
	struct umbra_counters {
#define UMBRA_COUNTER_MEMBER(name, text)	u64 name;
		UMBRA_VCPU_COUNTERS(UMBRA_COUNTER_MEMBER)
	} counters;
	u64 count[UMBRA_EXIT_NR];
	u64 ticks[UMBRA_EXIT_NR];
	u64 bucket[UMBRA_EXIT_NR][UMBRA_EXIT_BUCKETS];
	struct umbra_entry_exit recent[UMBRA_ENTRY_EXITS];
	u32 nr_recent;
	u32 reason;
};

/* One more of what UMBRA_VCPU_COUNTERS has by that name. Only for the vCPU's owner. */
#define umbra_count(vcpu, name)	((void)(vcpu)->stats->counters.name++)

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

	stats->reason = reason;
	stats->count[reason]++;
	recent->rip = vcpu->regs.rip;
	recent->reason = reason;
}

/*
 * The guest is about to be entered: the exit before, which was counted, is over. It may
 * have turned out to be another kind meanwhile, as a #PF that is a shadow's.
 * TSCs of two CPUs that differ can make a time negative; it counts as none.
 */
static inline void umbra_stats_enter(struct umbra_vcpu *vcpu)
{
	struct umbra_stats *stats = vcpu->stats;
	u32 reason = stats->reason;
	unsigned long bucket;
	u64 ticks;

	if (unlikely(!vcpu->exit_tsc))
		return;
	ticks = rdtsc() - vcpu->exit_tsc;
	bucket = __fls(ticks | 1);
	if (unlikely(bucket >= UMBRA_EXIT_BUCKETS)) {
		ticks = max_t(s64, ticks, 0);
		bucket = ticks ? UMBRA_EXIT_BUCKETS - 1 : 0;
	}
	stats->ticks[reason] += ticks;
	stats->bucket[reason][bucket]++;
}

/* stats.c; from «All figures» on: figures.c */
int umbra_stats_create(struct umbra_vcpu *vcpu);	/* -ENOMEM */
void umbra_stats_destroy(struct umbra_vcpu *vcpu);
int umbra_stats_get(struct umbra_vm *vm, struct umbra_exit_stats *out);
const char *umbra_exit_name(u32 reason);		/* of a valid one */
void umbra_stats_buckets(const struct umbra_vcpu *vcpu, u32 reason, u64 *buckets);

/*
 * All figures there are, of VMs and of vCPUs, in one form for all who show them. Their
 * values lie one behind the other, each a word or, of a histogram, several.
 */

#define UMBRA_FIGURE_NAME	48

/**
 * struct umbra_figure - one of them
 * @name: as users know it
 * @text: what it says
 * @flags: KVM_STATS_TYPE_*, KVM_STATS_UNIT_*
 * @offset: its first word
 * @size: how many words; more than 1: a histogram as KVM_STATS_TYPE_LOG_HIST
 */
struct umbra_figure {
	char name[UMBRA_FIGURE_NAME];
	const char *text;
	u32 flags;
	u32 offset;
	u32 size;
};

/* The figure number @i, from 0, of a vCPU or of a VM; false: there is none. */
bool umbra_figure_describe(bool of_vcpu, u32 i, struct umbra_figure *out);
/* How many there are; of these the first so many are not about exits; how many words. */
u32 umbra_nr_figures(bool of_vcpu);
u32 umbra_nr_counters(bool of_vcpu);
u32 umbra_figure_words(bool of_vcpu);
u64 umbra_vm_memory(struct umbra_vm *vm);	/* bytes of all slots; may sleep */
/* A word of @vcpu's, or of @vm's where that is NULL. Any word may be asked for. May sleep. */
u64 umbra_figure_word(struct umbra_vm *vm, const struct umbra_vcpu *vcpu, u32 word);

/*
 * stats_fd.c, KVM_GET_STATS_FD: of @vcpu, or of @vm where that is NULL. The caller has a
 * reference to @vm. A file descriptor, -ENOMEM, -EMFILE.
 */
int umbra_stats_fd(struct umbra_vm *vm, struct umbra_vcpu *vcpu);

#endif
