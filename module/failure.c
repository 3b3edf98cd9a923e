// SPDX-License-Identifier: GPL-2.0-only
/* Why an entry failed: the record that is kept of the last one, for who asks. */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "backend.h"
#include "entry_check.h"
#include "failure.h"
#include "stats.h"

static bool log_entry_failures;
module_param(log_entry_failures, bool, 0644);
MODULE_PARM_DESC(log_entry_failures,
		 "say in the log why the CPU refused to enter a guest (default off; rate-limited)");

void umbra_failure_field(struct umbra_entry_failure *out, const char *name, u64 value)
{
	struct umbra_entry_field *field = &out->field[out->nr_fields];

	if (WARN_ON_ONCE(out->nr_fields >= UMBRA_ENTRY_FIELDS))
		return;
	out->nr_fields++;
	strscpy(field->name, name, sizeof(field->name));
	field->value = value;
}

void umbra_failure_check(struct umbra_entry_failure *out, const struct umbra_check *check)
{
	if (check->section)
		snprintf(out->check, sizeof(out->check), "%s: %s: %s", check->section, check->what,
			 check->rule);
}

static void note_exits(const struct umbra_stats *stats, struct umbra_entry_failure *out)
{
	u32 i;

	out->nr_exits = min_t(u32, stats->nr_recent, UMBRA_ENTRY_EXITS);
	for (i = 0; i < out->nr_exits; i++)
		out->exit[i] = stats->recent[(stats->nr_recent - 1 - i) % UMBRA_ENTRY_EXITS];
}

/**
 * umbra_failure_note() - an entry has failed: keep why
 * @vcpu: loaded, owned; its control structure is as the CPU has left it
 * @reason: the backend's dump()
 *
 * Most vCPUs never need the memory; without it there is no record.
 */
void umbra_failure_note(struct umbra_vcpu *vcpu, u64 reason)
{
	struct umbra_entry_failure *out = vcpu->failure;
	u64 count = out ? out->count : 0;

	if (!out)
		out = vcpu->failure = kzalloc(sizeof(*out), GFP_KERNEL_ACCOUNT);
	if (!out)
		return;
	memset(out, 0, sizeof(*out));
	out->count = count + 1;
	out->reason = reason;
	note_exits(vcpu->stats, out);
	umbra_backend->describe_failure(vcpu, out);
	if (READ_ONCE(log_entry_failures))
		pr_info_ratelimited("vCPU %d was refused: reason 0x%llx, %s\n", vcpu->id, reason,
				    out->check[0] ? out->check : "no check that Umbra knows");
}

int umbra_failure_get(struct umbra_vcpu *vcpu, struct umbra_entry_failure *out)
{
	if (!vcpu->failure)
		return -ENOENT;
	*out = *vcpu->failure;
	return 0;
}

void umbra_failure_destroy(struct umbra_vcpu *vcpu)
{
	kfree(vcpu->failure);
}
