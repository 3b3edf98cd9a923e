// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ledger of flushes: ledger.h. A tag that was met before must be this VM's still, be used
 * with the root that it was filled from, and have been flushed since the last flush of all vCPUs
 * that has ended. One that is on its way has asked for an exit or will, and waits for this CPU.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/bug.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include "ledger.h"
#include "umbra.h"

#ifdef CONFIG_PROVE_LOCKING

/* A module has 8 KiB of what each CPU has for itself. */
#define TAGS	64

/**
 * struct known - what a CPU may have cached by a tag
 * @tag: it; 0: nothing is known
 * @vm: whose
 * @root: what was walked
 * @flushed: the VM's &umbra_ledger.asked at the last flush
 */
struct known {
	u32 tag;
	u64 vm;
	hpa_t root;
	u64 flushed;
};

struct ledger_cpu {
	struct known known[TAGS];
};

static DEFINE_PER_CPU(struct ledger_cpu, ledger_cpu);

void umbra_ledger_init(struct umbra_ledger *ledger)
{
	static atomic64_t last;

	ledger->id = atomic64_inc_return(&last);
}

u64 umbra_ledger_ask(struct umbra_ledger *ledger)
{
	return atomic64_inc_return(&ledger->asked);
}

void umbra_ledger_promise(struct umbra_ledger *ledger, u64 asked)
{
	s64 old = atomic64_read(&ledger->promised);

	while (old < (s64)asked && !atomic64_try_cmpxchg(&ledger->promised, &old, asked))
		;
}

/* Tags that have the same place push each other out: nothing is known of the older. */
static struct known *known_of(u32 tag)
{
	return &this_cpu_ptr(&ledger_cpu)->known[tag % TAGS];
}

void umbra_ledger_flush(struct umbra_vcpu *vcpu, u32 tag)
{
	struct umbra_ledger *ledger = &vcpu->vm->mmu.ledger;

	*known_of(tag) = (struct known) {
		.tag = tag,
		.vm = ledger->id,
		.root = vcpu->mmu.root,
		.flushed = atomic64_read(&ledger->asked),
	};
}

void umbra_ledger_flush_all(void)
{
	memset(this_cpu_ptr(&ledger_cpu), 0, sizeof(struct ledger_cpu));
}

void umbra_ledger_give(struct umbra_vcpu *vcpu, u32 tag)
{
	WARN_ONCE(known_of(tag)->tag == tag, "umbra: tag %u was used, and is given again\n", tag);
	umbra_ledger_flush(vcpu, tag);
}

void umbra_ledger_enter(struct umbra_vcpu *vcpu, u32 tag)
{
	struct umbra_ledger *ledger = &vcpu->vm->mmu.ledger;
	const struct known *k = known_of(tag);

	if (!tag || k->tag != tag)
		return;
	WARN_ONCE(k->vm != ledger->id, "umbra: tag %u has another VM's translations\n", tag);
	WARN_ONCE(k->root != vcpu->mmu.root, "umbra: tag %u has translations of another root\n", tag);
	WARN_ONCE((s64)k->flushed < atomic64_read(&ledger->promised),
		  "umbra: tag %u has translations that were taken away\n", tag);
}

#endif
