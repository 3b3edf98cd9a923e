// SPDX-License-Identifier: GPL-2.0-only
/* The verb exits: the kernel's figures, summed over vCPUs, as JSON. */
#include <errno.h>
#include <string.h>

#include "vm_control.h"

int vm_exits_sum(struct vm *vm, int only, uint32_t reason, struct umbra_exit_stats *sum,
		 struct umbra_err *err)
{
	struct umbra_exit_stats one;
	unsigned int i, b;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < vm->cfg->cpus; i++) {
		int ret;

		if (only >= 0 && (unsigned int)only != i)
			continue;
		ret = umbra_exit_stats(&vm->kvm, vm->vcpus[i].kvm.id, reason, &one, err);
		if (ret)
			return ret;
		memcpy(sum->name, one.name, sizeof(sum->name));
		sum->tsc_khz = one.tsc_khz;
		sum->count += one.count;
		sum->ticks += one.ticks;
		for (b = 0; b < UMBRA_EXIT_BUCKETS; b++)
			sum->bucket[b] += one.bucket[b];
	}
	return 0;
}

static json_t *reason_object(const struct umbra_exit_stats *s)
{
	json_t *buckets = json_array();
	unsigned int b, used = UMBRA_EXIT_BUCKETS;

	while (used && !s->bucket[used - 1])
		used--;
	for (b = 0; b < used; b++)
		json_array_append_new(buckets, json_integer((json_int_t)s->bucket[b]));
	return json_pack("{s:s%,s:I,s:I,s:o}", "name", s->name, strnlen(s->name, sizeof(s->name)),
			 "count", (json_int_t)s->count, "ticks", (json_int_t)s->ticks,
			 "buckets", buckets);
}

json_t *vm_exits(void *ctx, json_t *args, struct umbra_err *err)
{
	const json_t *vcpu = json_object_get(args, "vcpu");
	int only = vcpu ? (int)json_integer_value(vcpu) : -1, ret;
	struct umbra_exit_stats s = { .tsc_khz = 0 };
	json_t *reasons = json_array();
	uint32_t reason, khz = 0;

	for (reason = 0; !(ret = vm_exits_sum(ctx, only, reason, &s, err)); reason++) {
		khz = s.tsc_khz;
		if (s.count)
			json_array_append_new(reasons, reason_object(&s));
	}
	if (ret == -ERANGE)
		return json_pack("{s:I,s:o}", "tsc_khz", (json_int_t)khz, "reasons", reasons);
	json_decref(reasons);
	if (ret == -ENOTTY)
		umbra_fail(err, 0, "only Umbra's own device counts exits (--dev /dev/umbra)");
	return NULL;
}

enum message_code vm_exits_begin(void *ctx, json_t *args, struct umbra_err *err)
{
	const struct vm *vm = ctx;
	const json_t *vcpu = json_object_get(args, "vcpu");

	if (json_object_size(args) != (vcpu ? 1 : 0))
		return umbra_fail(err, MESSAGE_BAD_ARGS, "exits takes \"vcpu\" and nothing else");
	if (vcpu && (!json_is_integer(vcpu) || json_integer_value(vcpu) < 0 ||
		     json_integer_value(vcpu) >= vm->cfg->cpus))
		return umbra_fail(err, MESSAGE_BAD_ARGS, "the VM's vCPUs are 0 to %u",
				  vm->cfg->cpus - 1);
	return MESSAGE_OK;
}
