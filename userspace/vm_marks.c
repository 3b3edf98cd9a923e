// SPDX-License-Identifier: GPL-2.0-only
/* What is known of each moment that the guest marks by a write to the measurement port. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vm.h"
#include "vm_control.h"

#define FIGURE_NAME_MAX	128

/* Where the figure of that name stands in a file of figures; 0: nowhere. */
static uint64_t find_figure(int fd, const char *wanted)
{
	struct kvm_stats_header h;
	struct {
		struct kvm_stats_desc desc;
		char name[FIGURE_NAME_MAX];
	} one;
	uint32_t i;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || h.name_size > FIGURE_NAME_MAX)
		return 0;
	for (i = 0; i < h.num_desc; i++) {
		ssize_t size = offsetof(typeof(one), name) + h.name_size;

		if (pread(fd, &one, size, h.desc_offset + (uint64_t)i * size) != size)
			return 0;
		if (!strncmp(one.name, wanted, h.name_size))
			return h.data_offset + one.desc.offset;
	}
	return 0;
}

void vm_marks_open(struct vm *vm)
{
	struct umbra_exit_stats own;
	unsigned int i;

	for (i = 0; i < vm->cfg->cpus; i++) {
		struct vcpu_figures *f = &vm->vcpus[i].figures;

		if (umbra_exit_stats(&vm->kvm, vm->vcpus[i].kvm.id, 0, &own, NULL) != -ENOTTY)
			return;
		f->fd = ioctl(vm->vcpus[i].kvm.fd, KVM_GET_STATS_FD, 0UL);
		if (f->fd >= 0)
			f->exits = find_figure(f->fd, "exits");
	}
}

static uint64_t kvm_exits(const struct vm *vm)
{
	uint64_t sum = 0, one;
	unsigned int i;

	for (i = 0; i < vm->cfg->cpus; i++) {
		const struct vcpu_figures *f = &vm->vcpus[i].figures;

		if (f->exits && pread(f->fd, &one, sizeof(one), f->exits) == sizeof(one))
			sum += one;
	}
	return sum;
}

void vm_mark(void *ctx, unsigned int nr)
{
	struct umbra_exit_stats sum;
	struct vm *vm = ctx;
	uint32_t reason;

	vm->mark_exits[nr].total = kvm_exits(vm);
	for (reason = 0; reason < EXIT_REASONS_MAX; reason++) {
		/* Past the last one, or on stock KVM, which tells of none. */
		if (vm_exits_sum(vm, -1, reason, &sum, NULL))
			return;
		vm->mark_exits[nr].by[reason].count = sum.count;
		vm->mark_exits[nr].by[reason].ticks = sum.ticks;
		memcpy(vm->mark_exits[nr].by[reason].name, sum.name, sizeof(sum.name));
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
		if (exits->total)
			fprintf(to, "mark_%u_exits %llu\n", nr, (unsigned long long)exits->total);
		for (i = 0; i < EXIT_REASONS_MAX && exits->by[i].name[0]; i++)
			if (exits->by[i].count)
				fprintf(to, "mark_%u_exits_%.16s %llu\nmark_%u_ticks_%.16s %llu\n",
					nr, exits->by[i].name,
					(unsigned long long)exits->by[i].count,
					nr, exits->by[i].name,
					(unsigned long long)exits->by[i].ticks);
	}
}
