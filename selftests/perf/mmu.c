// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the ways to virtualize memory cost: instructions per operation of one guest
 * program, in each of Umbra's modes, beside stock KVM with nested paging and without.
 * It reads the TSC, which counts instructions in a host that `lab/run -i` boots;
 * elsewhere the figures are cycles and noise, and the limits mean nothing. Two things favour
 * one side: instructions know nothing of caches and TLBs, of which each exit costs some, and
 * the emulator walks page tables for nothing, those of nested paging too.
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
#define REASONS	16

struct result {
	double ticks;		/* an operation; 0: not measured */
	double exits;
	/* Of a shadow in use at the end: what it takes, and for what; KVM's tables, 0: not known. */
	uint64_t pages;
	struct shadow_size size;
	struct {
		char name[16];
		double n;
	} by[REASONS];
};

/* Of each column, the rows: the guest program's, and the boot of Linux. */
static struct result *results;
#define BOOT		nr_paging_works
#define ROWS		(nr_paging_works + 1)
#define RESULT(c, row)	(&results[(c) * ROWS + (row)])

static uint32_t only;		/* a bit for each that was asked for; 0: all */
static uint32_t modes;

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

/* Entries, and what the guest's are of. KVM has a word for each page of the slots besides. */
#define KVM_TABLE_PAGES	2U

static void count_tables(struct vm *vm, enum column c, struct result *r)
{
	uint64_t made, zapped;

	if (c == LAZY || c == EAGER) {
		r->pages = figure(vm->fd, "mmu_table_pages");
		r->size = audit_shadows();
	} else if (c == KVM_SHADOW) {
		made = figure(vm->fd, "mmu_cache_miss");
		/* A root that goes while it is in use counts twice. */
		zapped = figure(vm->fd, "mmu_shadow_zapped");
		r->size.tables = made > zapped ? made - zapped : 0;
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
	count_tables(&vm, c, r);
}

/* One in some boots hangs where QEMU loses what is injected: Documentation/errata.rst. */
#define BOOT_TRIES	3
/* Of the host's time, which is some 7 where instructions are counted. */
#define BOOT_SECONDS	15

static int boot(enum column c, const char *stats)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "PATH=/umbra/bin:$PATH exec timeout %d umbra run --dev %s --mmu %s --memory 256M"
		 " --kernel /boot/vmlinuz-$(uname -r) --initrd /umbra/guest/initrd.img"
		 " --append 'console=ttyS0 quiet MARK_ONLY=1' --console file=/dev/null"
		 " --stats %s </dev/null >&2", BOOT_SECONDS,
		 c < KVM_NESTED ? "/dev/umbra" : "/dev/kvm",
		 c < KVM_NESTED ? mode_name[c] : "auto", stats);
	return system(command);
}

/* Debian's kernel from the first KVM_RUN to init's mark. */
static void measure_boot(enum column c, struct result *r)
{
	char stats[] = "/tmp/mmu.XXXXXX", line[128], reason[16];
	unsigned long long value;
	unsigned int tries, n = 0;
	int fd = mkstemp(stats);
	FILE *f;

	ASSERT(fd >= 0);
	for (tries = 0; tries < BOOT_TRIES && boot(c, stats); tries++)
		fprintf(stderr, "mmu: a boot in column %d has not ended\n", c);
	f = fdopen(fd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "mark_ns %llu", &value) == 1)
			r->ticks = value;
		if (n < REASONS && sscanf(line, "mark_0_exits_%15s %llu", reason, &value) == 2 &&
		    value) {
			memcpy(r->by[n].name, reason, sizeof(reason));
			r->by[n++].n = value;
			r->exits += value;
		}
	}
	if (f)
		fclose(f);
	unlink(stats);
}

static const char *row_name(unsigned int row)
{
	return row == BOOT ? "boot" : paging_works[row].name;
}

static bool asked_for(unsigned int row)
{
	return !only || (only & BIT(row));
}

static bool ask_for(const char *name)
{
	unsigned int i;

	for (i = 0; i < ROWS; i++) {
		if (!strcmp(name, row_name(i))) {
			only |= BIT(i);
			return true;
		}
	}
	fprintf(stderr, "mmu: no workload is called %s: see mmu --help\n", name);
	return false;
}

/* Each in a process of its own: what it leaves behind dies with it. */
static void measure_column(enum column c)
{
	unsigned int i;

	setenv("UMBRA_DEV", c < KVM_NESTED ? "/dev/umbra" : "/dev/kvm", 1);
	for (i = 0; i < ROWS; i++) {
		pid_t pid;
		int status;

		if (!asked_for(i))
			continue;
		pid = fork();
		if (!pid) {
			if (i == BOOT)
				measure_boot(c, RESULT(c, i));
			else
				measure(&paging_works[i], c, RESULT(c, i));
			_exit(0);
		}
		waitpid(pid, &status, 0);
		if (status || !RESULT(c, i)->ticks)
			fprintf(stderr, "mmu: %s fails in column %d\n", row_name(i), c);
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
	modes = info.modes;
	for (c = HARDWARE; c <= EAGER; c++) {
		if (modes >> c & 1)
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

/* ------------------------------ TAP ------------------------------ */

/*
 * Umbra's instructions for one of KVM's, at most: what is aimed at. The eager mode is judged
 * where it has no more exits than KVM's shadow; what exits in no mode costs the same in all.
 */
static const struct limit {
	const char *name;
	double of[3];		/* by mode, from hardware on; 0: none */
} limits[] = {
	{ "fault_true", { 1.02, 0.7 } },
	{ "fault_prot", { 1.02, 0.7, 1 } },
	{ "mmap_churn", { 1.02, 0.7 } },
	{ "ctx_2", { 1.02, 0.7, 0.7 } },
	{ "ctx_8", { 1.02, 0.7, 0.7 } },
	{ "ctx_64", { 1.02, 0.7, 0.7 } },
	{ "fork_exec", { 1.02, 0.6, 1 } },
	{ "boot", { 1.02, 1, 1 } },
	{ "pte_store", { 1.02, 1.02 } },
	{ "pte_flush", { 1.02, 0.7, 0.7 } },
	{ "dirty_writer", { 1.02, 0.7, 0.7 } },
	{ "getpid", { 1.02, 1.02, 1.02 } },
	{ "getpid_pti", { 1.02, 0.7, 0.7 } },
	{ "divzero", { 1.02, 1.02, 1.02 } },
	{ "io", { 0.7, 0.7, 0.7 } },
	{ "cpu", { 1.02, 1.02, 1.02 } },
};

/* What two of the host's ticks are worth to an operation, of which few are done: 5 each, on QEMU. */
#define TICKS	12

static double limit_of(const char *name, enum column c)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		if (!strcmp(limits[i].name, name))
			return limits[i].of[c - HARDWARE];
	}
	return 0;
}

static bool good(const struct result *r, const struct result *k, double limit)
{
	return !limit || (r->ticks && r->ticks <= limit * k->ticks + TICKS);
}

/* What build_page_tables() makes for every guest, whether it uses them or not. */
#define GUEST_TABLES	6

/*
 * A shadow may take a page and a half for each table of the guest's, and a page for each part of a
 * large page; and no more than KVM's.
 */
static bool is_small(const struct result *r, const struct result *k)
{
	uint64_t guests = r->size.frames > GUEST_TABLES ? r->size.frames : GUEST_TABLES;

	return (!k->size.tables || r->pages <= k->size.tables * KVM_TABLE_PAGES) &&
	       r->pages * 2 <= guests * 3 + r->size.direct * 2;
}

/* A mode that the CPU can't do has no line, nor has a row that was not asked for. */
static bool has_line(enum column c, unsigned int row)
{
	return (modes >> c & 1) && asked_for(row);
}

static bool print_line(unsigned int number, enum column c, unsigned int row)
{
	const char *name = row_name(row);
	const struct result *r = RESULT(c, row), *k = kvm_beside(c, row);
	double limit = limit_of(name, c);
	bool ok = r->ticks && (!k->ticks || (good(r, k, limit) && is_small(r, k)));
	unsigned int n;

	printf("# %s %s: umbra %.1f, kvm %.1f, ratio %.2f; exits %.2f:", name, mode_name[c],
	       r->ticks, k->ticks, ratio(r->ticks, k->ticks), r->exits);
	for (n = 0; n < REASONS && r->by[n].name[0]; n++)
		printf(" %s %.2f", r->by[n].name, r->by[n].n);
	if (r->pages)
		printf("; %lu pages for %lu of the guest's tables and %lu parts, kvm %lu tables",
		       r->pages, r->size.frames, r->size.direct, k->size.tables);
	printf("\n%s %u %s, %s", ok ? "ok" : "not ok", number, name, mode_name[c]);
	if (!k->ticks)
		printf(" # SKIP no stock KVM beside it\n");
	else if (!r->pages)
		printf(": at most %.2f of KVM's\n", limit);
	else if (limit)
		printf(": at most %.2f of KVM's, 1.5 pages for each table\n", limit);
	else
		printf(": at most 1.5 pages for each table\n");
	return ok;
}

static bool print_tap(void)
{
	unsigned int number = 0, i;
	bool all = true;
	enum column c;

	for (i = 0; i < ROWS; i++) {
		for (c = HARDWARE; c <= EAGER; c++)
			number += has_line(c, i);
	}
	printf("TAP version 13\n1..%u\n", number);
	printf("# counted instructions favour the shadow: what an exit costs the caches and TLBs is none of them\n");
	printf("# and nested paging: its longer walks are the CPU's, and count for none\n");
	number = 0;
	for (i = 0; i < ROWS; i++) {
		for (c = HARDWARE; c <= EAGER; c++) {
			if (has_line(c, i))
				all &= print_line(++number, c, i);
		}
	}
	return all;
}

/* ------------------------------ JSON ------------------------------ */

/* What these guests cause: of exceptions #PF alone exits, and of control registers CR3 is loaded. */
static const char *reason_name(const char *name)
{
	if (!strcmp(name, "exception"))
		return "pf";
	if (!strcmp(name, "cr"))
		return "cr3";
	return strcmp(name, "page_fault") ? name : "npf";
}

static void print_json(void)
{
	const char *comma = "";
	unsigned int i, n;
	enum column c;

	printf("{\"rows\":[");
	for (i = 0; i < ROWS; i++) {
		for (c = HARDWARE; c <= EAGER; c++) {
			const struct result *r = RESULT(c, i), *k = kvm_beside(c, i);

			if (!r->ticks)
				continue;
			printf("%s{\"name\":\"%s\",\"mode\":\"%s\",\"umbra\":%.1f,\"kvm\":%.1f,\"ratio\":%.3f,\"exits\":%.3f,\"exits_by\":{",
			       comma, row_name(i), mode_name[c], r->ticks, k->ticks,
			       ratio(r->ticks, k->ticks), r->exits);
			for (n = 0; n < REASONS && r->by[n].name[0]; n++)
				printf("%s\"%s\":%.3f", n ? "," : "", reason_name(r->by[n].name),
				       r->by[n].n);
			printf("}}");
			comma = ",";
		}
	}
	printf("]}\n");
}

static void usage(void)
{
	unsigned int i;

	printf("Usage: mmu [--json] [--only NAME]...\n"
	       "Instructions per operation in each mode, beside stock KVM with nested paging and\n"
	       "without, in a host that counts them (lab/run -i), as TAP: a line for each mode and\n"
	       "workload, with its limit, and with that of a shadow's tables. Loads and unloads both modules.\n"
	       "MODULE= names umbra.ko.\n\n");
	for (i = 0; i < nr_paging_works; i++)
		printf("  %-12s %s\n", paging_works[i].name, paging_works[i].what);
	printf("  %-12s %s\n", row_name(BOOT), "Debian's kernel as a guest, from its first instruction to init");
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
			if (!ask_for(optarg))
				return 64;
			break;
		case 'h':
			usage();
			return 0;
		default:
			return 64;
		}
	}
	results = mmap(NULL, COLUMNS * ROWS * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || !both_sides(umbra_side, cpu_is_intel() ? intel_sides : amd_sides))
		return 1;
	if (!json)
		return print_tap() ? 0 : 1;
	print_json();
	return 0;
}
