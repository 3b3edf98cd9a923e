// SPDX-License-Identifier: GPL-2.0-only
/*
 * All figures of VMs and vCPUs, as one numbered list: the stats fd, debugfs and
 * netlink show what stands here, and know no figure by name.
 */
#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/nospec.h>
#include <linux/srcu.h>
#include <linux/string.h>

#include "mmu_quota.h"
#include "stats.h"

#define INSTANT		(KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE)
#define BYTES		(KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BYTES)
#define TICKS		(KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_CYCLES)
#define EVENTS		(KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE)
#define CYCLES		(KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_CYCLES)
#define HISTOGRAM	(KVM_STATS_TYPE_LOG_HIST | KVM_STATS_UNIT_CYCLES)

/* ------------------------------ a VM's ------------------------------ */

static u64 vm_vcpus(struct umbra_vm *vm)
{
	return READ_ONCE(vm->online_vcpus);
}

static u64 vm_table_pages(struct umbra_vm *vm)
{
	return atomic_long_read(&vm->mmu.pages) + umbra_shadow_part_pages(vm);
}

static u64 vm_mmu_recycled(struct umbra_vm *vm)
{
	return READ_ONCE(vm->mmu.recycled);
}

static u64 vm_mmu_switches(struct umbra_vm *vm)
{
	return READ_ONCE(vm->mmu.switches);
}

static u64 vm_switch_cycles(struct umbra_vm *vm)
{
	return READ_ONCE(vm->mmu.move_ticks);
}

static u64 vm_slots(struct umbra_vm *vm)
{
	int idx = srcu_read_lock(&vm->srcu);
	u64 nr = umbra_slots(vm)->nr;

	srcu_read_unlock(&vm->srcu, idx);
	return nr;
}

u64 umbra_vm_memory(struct umbra_vm *vm)
{
	int idx = srcu_read_lock(&vm->srcu);
	const struct umbra_slots *slots = umbra_slots(vm);
	u64 pages = 0;
	u32 i;

	for (i = 0; i < slots->nr; i++)
		pages += slots->slot[i]->npages;
	srcu_read_unlock(&vm->srcu, idx);
	return pages << PAGE_SHIFT;
}

/* One line each: name, kind, how it is found, what it says. */
static const struct {
	const char *name;
	u32 flags;
	u64 (*value)(struct umbra_vm *vm);
	const char *text;
} vm_figures[] = {
	{ "vcpus",		INSTANT, vm_vcpus,		"vCPUs that there are" },
	{ "mmu_table_pages",	INSTANT, vm_table_pages,	"pages of tables in use" },
	{ "mmu_spare_pages",	INSTANT, umbra_shadow_spare_pages, "pages kept for the next tables" },
	{ "mmu_recycled",	EVENTS,	 vm_mmu_recycled,	"tables that went for want of quota" },
	{ "mmu_switches",	EVENTS,	 vm_mmu_switches,	"changes of the MMU mode" },
	{ "mmu_switch_cycles",	TICKS,	 vm_switch_cycles,
	  "in the last of them, the longest that a vCPU took for it" },
	{ "slots",		INSTANT, vm_slots,		"memory slots" },
	{ "memory",		BYTES,	 umbra_vm_memory,	"memory of all slots" },
};

/* ------------------------------ a vCPU's ------------------------------ */

static const struct {
	const char *name;
	const char *text;
} vcpu_counters[] = {
#define COUNTER(name, text)	{ #name, text },
	UMBRA_VCPU_COUNTERS(COUNTER)
};

#define VCPU_COUNTERS	ARRAY_SIZE(vcpu_counters)

/*
 * Of each reason behind them. KVM's histogram has a bucket for what took no tick at all,
 * which is never filled: ours has these in one with those of a tick.
 */
#define HIST_WORDS	(UMBRA_EXIT_BUCKETS + 1)

static const struct {
	const char *suffix;
	u32 flags, offset, size;
	const char *text;
} per_reason[] = {
	{ "_exits",	  EVENTS,    0, 1,	    "exits for this reason" },
	{ "_cycles",	  CYCLES,    1, 1,	    "TSC ticks from these exits to the next entries" },
	{ "_cycles_hist", HISTOGRAM, 2, HIST_WORDS, "the same, how many took how long" },
};

#define REASON_FIGURES	ARRAY_SIZE(per_reason)
#define REASON_WORDS	(2 + HIST_WORDS)

static void describe_reason(u32 reason, u32 i, struct umbra_figure *out)
{
	snprintf(out->name, sizeof(out->name), "%s%s", umbra_exit_name(reason),
		 per_reason[i].suffix);
	out->text = per_reason[i].text;
	out->flags = per_reason[i].flags;
	out->offset = VCPU_COUNTERS + reason * REASON_WORDS + per_reason[i].offset;
	out->size = per_reason[i].size;
}

static u64 vcpu_word(const struct umbra_vcpu *vcpu, u32 word)
{
	const struct umbra_stats *stats = vcpu->stats;
	u32 reason, i;

	BUILD_BUG_ON(sizeof(stats->counters) != VCPU_COUNTERS * sizeof(u64));
	if (word < VCPU_COUNTERS)
		return READ_ONCE(((const u64 *)&stats->counters)[word]);
	word -= VCPU_COUNTERS;
	reason = array_index_nospec(word / REASON_WORDS, UMBRA_EXIT_NR);
	i = word % REASON_WORDS;
	if (!i)
		return READ_ONCE(stats->count[reason]);
	if (i == 1)
		return READ_ONCE(stats->ticks[reason]);
	return i == 2 ? 0 : READ_ONCE(stats->bucket[reason][i - 3]);
}

/* ------------------------------ both ------------------------------ */

u32 umbra_nr_counters(bool of_vcpu)
{
	return of_vcpu ? VCPU_COUNTERS : ARRAY_SIZE(vm_figures);
}

u32 umbra_nr_figures(bool of_vcpu)
{
	return umbra_nr_counters(of_vcpu) + (of_vcpu ? UMBRA_EXIT_NR * REASON_FIGURES : 0);
}

u32 umbra_figure_words(bool of_vcpu)
{
	return umbra_nr_counters(of_vcpu) + (of_vcpu ? UMBRA_EXIT_NR * REASON_WORDS : 0);
}

bool umbra_figure_describe(bool of_vcpu, u32 i, struct umbra_figure *out)
{
	if (i >= umbra_nr_figures(of_vcpu))
		return false;
	i = array_index_nospec(i, umbra_nr_figures(of_vcpu));
	if (of_vcpu && i >= VCPU_COUNTERS) {
		i -= VCPU_COUNTERS;
		describe_reason(i / REASON_FIGURES, i % REASON_FIGURES, out);
		return true;
	}
	strscpy(out->name, of_vcpu ? vcpu_counters[i].name : vm_figures[i].name,
		sizeof(out->name));
	out->text = of_vcpu ? vcpu_counters[i].text : vm_figures[i].text;
	out->flags = of_vcpu ? EVENTS : vm_figures[i].flags;
	out->offset = i;
	out->size = 1;
	return true;
}

u64 umbra_figure_word(struct umbra_vm *vm, const struct umbra_vcpu *vcpu, u32 word)
{
	u32 words = umbra_figure_words(vcpu);

	if (word >= words)
		return 0;
	word = array_index_nospec(word, words);
	return vcpu ? vcpu_word(vcpu, word) : vm_figures[word].value(vm);
}
