// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the ways to virtualize memory cost: instructions per operation of one guest
 * program, in each of Umbra's modes, beside stock KVM with nested paging and without.
 * It reads the TSC, which counts instructions in a host that `lab/run -i` boots;
 * elsewhere the figures are cycles and noise. Two things favour one side: instructions
 * know nothing of caches and TLBs, of which each exit costs some, and the emulator
 * walks page tables for nothing, those of nested paging too.
 */
#include <fcntl.h>
#include <getopt.h>
#include <linux/umbra.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "paging_work.h"
#include "sides.h"
#include "vm.h"
#include "x86.h"

/* Columns: Umbra's modes by their numbers in the ABI, then stock KVM. */
enum column { HARDWARE = UMBRA_MMU_HARDWARE, LAZY = UMBRA_MMU_SHADOW_LAZY,
	      EAGER = UMBRA_MMU_SHADOW_EAGER, KVM_NESTED, KVM_SHADOW, COLUMNS };

static const char *const mode_name[] = {
	[HARDWARE] = "hardware", [LAZY] = "shadow-lazy", [EAGER] = "shadow-eager",
};

/* Exits told apart: by the names of UMBRA_GET_EXIT_STATS. */
#define REASONS	8

struct result {
	double ticks;		/* an operation; 0: not measured */
	double exits;
	struct {
		char name[16];
		double n;
	} by[REASONS];
};

/* Of each column, the rows. */
static struct result *results;
#define RESULT(c, row)	(&results[(c) * nr_paging_works + (row)])

static const char *only_row;

static void count_exits(struct vm *vm, uint64_t *count, char (*name)[16])
{
	struct umbra_exit_stats s = { 0 };

	for (; s.reason < 64 && !ioctl(vm->fd, UMBRA_GET_EXIT_STATS, &s); s.reason++) {
		count[s.reason] = s.count;
		memcpy(name[s.reason], s.name, sizeof(s.name));
	}
}

static void set_exits(struct result *r, const uint64_t *before, const uint64_t *after,
		      char (*name)[16], uint64_t ops)
{
	unsigned int i, n = 0;

	for (i = 0; i < 64; i++) {
		if (after[i] == before[i])
			continue;
		r->exits += (double)(after[i] - before[i]) / ops;
		if (n < REASONS) {
			memcpy(r->by[n].name, name[i], sizeof(r->by[n].name));
			r->by[n++].n = (double)(after[i] - before[i]) / ops;
		}
	}
}

static void measure(const struct paging_work *work, enum column c, struct result *r)
{
	uint64_t before[64] = { 0 }, after[64] = { 0 };
	char name[64][16] = { "" };
	uint64_t ops;
	struct vm vm;

	paging_work_begin(&vm, work, c < KVM_NESTED ? (int)c : -1);
	count_exits(&vm, before, name);
	paging_work_finish(&vm, work);
	count_exits(&vm, after, name);
	ops = paging_work_ops(&vm, work);
	r->ticks = (double)paging_work_ticks(&vm) / ops;
	set_exits(r, before, after, name, ops);
}

/* Each in a process of its own: what it leaves behind dies with it. */
static void measure_column(enum column c)
{
	unsigned int i;

	setenv("UMBRA_DEV", c < KVM_NESTED ? "/dev/umbra" : "/dev/kvm", 1);
	for (i = 0; i < nr_paging_works; i++) {
		pid_t pid;
		int status;

		if (only_row && strcmp(only_row, paging_works[i].name))
			continue;
		pid = fork();
		if (!pid) {
			measure(&paging_works[i], c, RESULT(c, i));
			_exit(0);
		}
		waitpid(pid, &status, 0);
		if (status || !RESULT(c, i)->ticks)
			fprintf(stderr, "mmu: %s fails in column %d\n", paging_works[i].name, c);
	}
}

static void umbra_side(void)
{
	struct umbra_info info;
	int fd = open("/dev/umbra", O_RDWR), r, c;

	r = ioctl(fd, UMBRA_GET_INFO, &info);
	close(fd);
	if (r)
		return;
	for (c = HARDWARE; c <= EAGER; c++) {
		if (info.modes >> c & 1)
			measure_column(c);
	}
}

static void kvm_nested_side(void)
{
	measure_column(KVM_NESTED);
}

static void kvm_shadow_side(void)
{
	measure_column(KVM_SHADOW);
}

static const struct side amd_sides[] = {
	{ "npt=1", kvm_nested_side },
	{ "npt=0", kvm_shadow_side },
	{ }
}, intel_sides[] = {
	{ "ept=1", kvm_nested_side },
	{ "ept=0", kvm_shadow_side },
	{ }
};

static const struct result *kvm_beside(enum column c, unsigned int row)
{
	return RESULT(c == HARDWARE ? KVM_NESTED : KVM_SHADOW, row);
}

static double ratio(double a, double b)
{
	return b ? a / b : 0;
}

static void print_table(void)
{
	unsigned int i, n;
	enum column c;

	printf("%-12s %-14s %10s %10s %7s %8s\n", "operation", "mode", "umbra", "kvm", "ratio", "exits");
	for (i = 0; i < nr_paging_works; i++) {
		for (c = HARDWARE; c <= EAGER; c++) {
			const struct result *r = RESULT(c, i), *k = kvm_beside(c, i);

			if (!r->ticks)
				continue;
			printf("%-12s %-14s %10.1f %10.1f %7.2f %8.2f ", paging_works[i].name, mode_name[c],
			       r->ticks, k->ticks, ratio(r->ticks, k->ticks), r->exits);
			for (n = 0; n < REASONS && r->by[n].name[0]; n++)
				printf(" %s %.2f", r->by[n].name, r->by[n].n);
			printf("\n");
		}
	}
}

static void print_json(void)
{
	const char *comma = "";
	unsigned int i, n;
	enum column c;

	printf("{\"rows\":[");
	for (i = 0; i < nr_paging_works; i++) {
		for (c = HARDWARE; c <= EAGER; c++) {
			const struct result *r = RESULT(c, i), *k = kvm_beside(c, i);

			if (!r->ticks)
				continue;
			printf("%s{\"name\":\"%s\",\"mode\":\"%s\",\"umbra\":%.1f,\"kvm\":%.1f,\"ratio\":%.3f,\"exits\":%.3f,\"exits_by\":{",
			       comma, paging_works[i].name, mode_name[c], r->ticks, k->ticks,
			       ratio(r->ticks, k->ticks), r->exits);
			for (n = 0; n < REASONS && r->by[n].name[0]; n++)
				printf("%s\"%s\":%.3f", n ? "," : "", r->by[n].name, r->by[n].n);
			printf("}}");
			comma = ",";
		}
	}
	printf("]}\n");
}

static void usage(void)
{
	unsigned int i;

	printf("Usage: mmu [--json] [--only NAME]\n"
	       "Instructions per operation in each mode, beside stock KVM with nested paging and\n"
	       "without, in a host that counts them (lab/run -i). Loads and unloads both modules.\n"
	       "MODULE= names umbra.ko.\n\n");
	for (i = 0; i < nr_paging_works; i++)
		printf("  %-12s %s\n", paging_works[i].name, paging_works[i].what);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "only", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'o':
			only_row = optarg;
			break;
		case 'h':
			usage();
			return 0;
		default:
			return 64;
		}
	}
	results = mmap(NULL, COLUMNS * nr_paging_works * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || !both_sides(umbra_side, cpu_is_intel() ? intel_sides : amd_sides))
		return 1;
	(json ? print_json : print_table)();
	return 0;
}
