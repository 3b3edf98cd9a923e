// SPDX-License-Identifier: GPL-2.0-only
/* What is known of each moment that the guest marks by a write to the measurement port. */
#include <string.h>

#include "vm.h"

void vm_mark(void *ctx, unsigned int nr)
{
	struct umbra_exit_stats one;
	struct vm *vm = ctx;
	uint32_t reason;
	unsigned int i;

	for (reason = 0; reason < EXIT_REASONS_MAX; reason++) {
		for (i = 0; i < vm->cfg->cpus; i++) {
			/* Past the last one, or on stock KVM, which tells of none. */
			if (umbra_exit_stats(&vm->kvm, vm->vcpus[i].kvm.id, reason, &one, NULL))
				return;
			vm->mark_exits[nr].by[reason].count += one.count;
			vm->mark_exits[nr].by[reason].ticks += one.ticks;
		}
		memcpy(vm->mark_exits[nr].by[reason].name, one.name, sizeof(one.name));
	}
}

void vm_marks_write(const struct vm *vm, FILE *to)
{
	unsigned int marks = vm->mark.count < MARKS_MAX ? vm->mark.count : MARKS_MAX, nr, i;
	uint64_t start = vm->stats.start_ns;

	if (marks)
		fprintf(to, "mark_ns %llu\n", (unsigned long long)(vm->mark.at[0].begin_ns - start));
	for (nr = 0; nr < marks; nr++) {
		const struct mark_exits *exits = &vm->mark_exits[nr];

		fprintf(to, "mark_%u_begin_ns %llu\nmark_%u_end_ns %llu\n",
			nr, (unsigned long long)(vm->mark.at[nr].begin_ns - start),
			nr, (unsigned long long)(vm->mark.at[nr].end_ns - start));
		for (i = 0; i < EXIT_REASONS_MAX && exits->by[i].name[0]; i++)
			if (exits->by[i].count)
				fprintf(to, "mark_%u_exits_%.16s %llu\nmark_%u_ticks_%.16s %llu\n",
					nr, exits->by[i].name,
					(unsigned long long)exits->by[i].count,
					nr, exits->by[i].name,
					(unsigned long long)exits->by[i].ticks);
	}
}
