// SPDX-License-Identifier: GPL-2.0-only
/* Exit histograms: their memory, their names, and the way to userspace. */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/tsc.h>

#include "stats.h"

static const char names[UMBRA_EXIT_NR][sizeof_field(struct umbra_exit_stats, name)] = {
	[UMBRA_EXIT_UNKNOWN]		= "unknown",
	[UMBRA_EXIT_FAIL_ENTRY]		= "fail_entry",
	[UMBRA_EXIT_INTERRUPT]		= "interrupt",
	[UMBRA_EXIT_NMI]		= "nmi",
	[UMBRA_EXIT_INTR_WINDOW]	= "intr_window",
	[UMBRA_EXIT_NMI_WINDOW]		= "nmi_window",
	[UMBRA_EXIT_EXCEPTION]		= "exception",
	[UMBRA_EXIT_PAGE_FAULT]		= "page_fault",
	[UMBRA_EXIT_IO]			= "io",
	[UMBRA_EXIT_CPUID]		= "cpuid",
	[UMBRA_EXIT_MSR_READ]		= "msr_read",
	[UMBRA_EXIT_MSR_WRITE]		= "msr_write",
	[UMBRA_EXIT_CR]			= "cr",
	[UMBRA_EXIT_DR]			= "dr",
	[UMBRA_EXIT_HLT]		= "hlt",
	[UMBRA_EXIT_HYPERCALL]		= "hypercall",
	[UMBRA_EXIT_INVLPG]		= "invlpg",
	[UMBRA_EXIT_CACHE]		= "cache",
	[UMBRA_EXIT_XSETBV]		= "xsetbv",
	[UMBRA_EXIT_RDPMC]		= "rdpmc",
	[UMBRA_EXIT_PAUSE]		= "pause",
	[UMBRA_EXIT_MONITOR]		= "monitor",
	[UMBRA_EXIT_MWAIT]		= "mwait",
	[UMBRA_EXIT_UNDEFINED]		= "undefined",
	[UMBRA_EXIT_TASK_SWITCH]	= "task_switch",
	[UMBRA_EXIT_SHUTDOWN]		= "shutdown",
	[UMBRA_EXIT_SPURIOUS]		= "spurious",
	[UMBRA_EXIT_TIMER]		= "timer",
	[UMBRA_EXIT_EOI]		= "eoi",
	[UMBRA_EXIT_LOG_FULL]		= "log_full",
	[UMBRA_EXIT_APIC_WRITE]		= "apic_write",
};

const char *umbra_exit_name(u32 reason)
{
	return names[reason];
}

/* Of fixed size, however long the guest runs, and on its owner's account. */
int umbra_stats_create(struct umbra_vcpu *vcpu)
{
	vcpu->stats = kzalloc(sizeof(*vcpu->stats), GFP_KERNEL_ACCOUNT);
	return vcpu->stats ? 0 : -ENOMEM;
}

void umbra_stats_destroy(struct umbra_vcpu *vcpu)
{
	kfree(vcpu->stats);
}

/** umbra_stats_buckets() - a valid reason's histogram, UMBRA_EXIT_BUCKETS words. Any context. */
void umbra_stats_buckets(const struct umbra_vcpu *vcpu, u32 reason, u64 *buckets)
{
	unsigned int i;

	for (i = 0; i < UMBRA_EXIT_BUCKETS; i++)
		buckets[i] = READ_ONCE(vcpu->stats->bucket[reason][i]);
}

/**
 * umbra_stats_get() - one reason's figures, while the vCPU runs or not
 * @vm: no lock wanted
 * @out: vcpu, reason and pad as userspace gave them; the rest is filled
 *
 * Return: 0; -EINVAL pad is not 0; -ENOENT no such vCPU; -ERANGE no such reason
 */
int umbra_stats_get(struct umbra_vm *vm, struct umbra_exit_stats *out)
{
	const struct umbra_stats *stats;
	struct umbra_vcpu *vcpu;
	u32 reason;

	if (out->pad)
		return -EINVAL;
	if (out->reason >= UMBRA_EXIT_NR)
		return -ERANGE;
	vcpu = umbra_vcpu_by_id(vm, out->vcpu);
	if (!vcpu)
		return -ENOENT;
	reason = array_index_nospec(out->reason, UMBRA_EXIT_NR);
	stats = vcpu->stats;
	memcpy(out->name, names[reason], sizeof(out->name));
	out->tsc_khz = tsc_khz;
	umbra_stats_buckets(vcpu, reason, out->bucket);
	out->ticks = READ_ONCE(stats->ticks[reason]);
	/* An exit is counted before its time is: read after it, the count is never the smaller. */
	smp_rmb();
	out->count = READ_ONCE(stats->count[reason]);
	return 0;
}
