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

#include "guest.h"
#include "sides.h"
#include "vm.h"

#define PAGE		4096ULL
#define RWU		(PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define AREA		0x40000000ULL		/* linear */
#define PAGES		512			/* of it: one table's */
#define TABLES		(GPA_TEST + 0x100000)	/* behind the measured program's own */
#define DATA		(GPA_TEST + 0x300000)
#define SPARE		0x20000000ULL		/* physical; nobody uses it */
#define SPARE_SIZE	(256ULL << 20)
#define WARM_UP		2			/* batches */
#define SPACES		64
#define TOUCHED		8			/* pages in each address space */
#define ROUND		2			/* a batch of dirty_writer begins */

static volatile uint64_t g_batches, g_ops, g_ticks, g_spaces;

/* ------------------------------ the guest's side ------------------------------ */

static inline uint64_t rdtsc_now(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

static inline volatile uint64_t *at(uint64_t address)
{
	return (volatile uint64_t *)address;
}

static inline uint64_t page_of(unsigned int i)
{
	return AREA + i * PAGE;
}

static void set_table(uint64_t bits)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		at(TABLES)[i] = bits ? (DATA + i * PAGE) | bits : 0;
	write_cr3(read_cr3());
}

static void prepare(void)
{
	set_table(RWU);
	at(GPA_PD)[AREA >> 21] = TABLES | RWU;
	write_cr3(read_cr3());
}

/* What a kernel does for a page that is not there, or may not be written yet. */
static void on_page_fault(struct frame *f)
{
	unsigned int i = (read_cr2() - AREA) / PAGE;

	(void)f;
	at(TABLES)[i] = (DATA + i * PAGE) | RWU;
}

/* @before each batch, which is not counted, all of @op is done @n times. */
#define BATCHES(name, n, before, op)						\
static void name(void)								\
{										\
	uint64_t batch, i, start;						\
										\
	prepare();								\
	g_handlers[14] = on_page_fault;						\
	for (batch = 0; batch < WARM_UP + g_batches; batch++) {			\
		before;								\
		if (batch == WARM_UP)						\
			guest_sync(1);						\
		start = rdtsc_now();						\
		for (i = 0; i < (n); i++) {					\
			op;							\
		}								\
		if (batch >= WARM_UP)						\
			g_ticks += rdtsc_now() - start, g_ops += (n);		\
	}									\
	guest_done();								\
}

static void read_all(void)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		(void)*at(page_of(i));
}

/* Map, touch and unmap a few pages, as a process does with a buffer. */
static inline void churn(unsigned int first)
{
	unsigned int i;

	for (i = first; i < first + 16; i++)
		*at(page_of(i)) = i;
	for (i = first; i < first + 16; i++) {
		at(TABLES)[i] = 0;
		invlpg(page_of(i));
	}
}

/* Address spaces that share the table of what is below 1 GiB. */
static inline uint64_t space(unsigned int i)
{
	return TABLES + PAGE + i * 4 * PAGE;
}

static void make_spaces(void)
{
	unsigned int s, i;

	for (s = 0; s < g_spaces; s++) {
		uint64_t root = space(s);

		for (i = 0; i < 512; i++) {
			at(root)[i] = 0;
			at(root + PAGE)[i] = i == 0 ? at(GPA_PDPT)[0] : 0;
			at(root + 2 * PAGE)[i] = 0;
			at(root + 3 * PAGE)[i] = i < TOUCHED ?
				(DATA + (s * TOUCHED + i) * PAGE) | RWU : 0;
		}
		at(root)[0] = (root + PAGE) | RWU;
		at(root + PAGE)[AREA >> 30] = (root + 2 * PAGE) | RWU;
		at(root + 2 * PAGE)[0] = (root + 3 * PAGE) | RWU;
	}
}

static inline void switch_to(unsigned int s)
{
	unsigned int i;

	write_cr3(space(s));
	for (i = 0; i < TOUCHED; i++)
		*at(page_of(i)) += 1;
}

/* The VMM takes its log of the spare memory before each batch. */
static void before_round(uint64_t batch)
{
	unsigned int i;

	for (i = 0; !batch && i < PAGES; i++)
		at(TABLES)[i] = (SPARE + i * PAGE) | RWU;
	if (!batch)
		write_cr3(read_cr3());
	guest_sync(ROUND);
}

static inline void compute(void)
{
	unsigned int i;

	for (i = 0; i < 1000; i++)
		asm volatile("imul %0, %0" : "+r"(i) : : "cc");
}

BATCHES(g_fault_true, PAGES, set_table(0), *at(page_of(i)) = i)
BATCHES(g_fault_prot, PAGES, (set_table(RWU & ~(PTE_W | PTE_D)), read_all()), *at(page_of(i)) = i)
BATCHES(g_mmap_churn, PAGES / 16, set_table(0), churn(i * 16))
BATCHES(g_ctx, SPACES * 4, if (!batch) make_spaces(), switch_to(i % g_spaces))
BATCHES(g_pte_store, PAGES, (set_table(RWU), read_all()),
	at(TABLES)[i] = (DATA + i * PAGE) | RWU | BIT(9); *at(page_of(i)) = i)
BATCHES(g_dirty, PAGES, before_round(batch), *at(page_of(i)) = i)
BATCHES(g_cpu, 100, , compute())

static const struct row {
	const char *name;
	void (*entry)(void);
	unsigned int batches, spaces;
	const char *what;
} rows[] = {
	{ "fault_true", g_fault_true, 4, 0, "a write to a page that is not there; the handler puts it in" },
	{ "fault_prot", g_fault_prot, 4, 0, "a write to a page that may only be read; the handler allows it" },
	{ "mmap_churn", g_mmap_churn, 4, 0, "16 such pages touched, and taken away with INVLPG" },
	{ "ctx_2", g_ctx, 4, 2, "MOV to CR3 of the other of 2 address spaces, and 8 pages touched" },
	{ "ctx_8", g_ctx, 4, 8, "the same with 8" },
	{ "ctx_64", g_ctx, 4, 64, "the same with 64" },
	{ "pte_store", g_pte_store, 4, 0, "a store to a page table, and to the page, which is in use" },
	{ "dirty_writer", g_dirty, 4, 0, "a write to a page of a slot whose log the VMM takes before" },
	{ "cpu", g_cpu, 4, 0, "1000 rounds of arithmetic" },
};

#define NR_ROWS	ARRAY_SIZE(rows)

/* ------------------------------ the host's side ------------------------------ */

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

static struct result (*results)[NR_ROWS];
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

static void take_log(struct vm *vm)
{
	static uint64_t pages[SPARE_SIZE / PAGE / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = pages };

	ASSERT(!ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
}

/* Up to the first batch that counts. */
static void run_warm_up(struct vm *vm, struct vcpu *v, const struct row *row)
{
	unsigned int batch;

	for (batch = 0; row->entry == g_dirty && batch <= WARM_UP; batch++) {
		vcpu_run_to_sync(v, ROUND);
		take_log(vm);
	}
	vcpu_run_to_sync(v, 1);
}

/* The others; the end is the guest's. */
static void run_rest(struct vm *vm, struct vcpu *v, const struct row *row)
{
	unsigned int batch;

	for (batch = 1; row->entry == g_dirty && batch < row->batches; batch++) {
		vcpu_run_to_sync(v, ROUND);
		take_log(vm);
	}
	vcpu_run_to_end(v);
}

static void measure(const struct row *row, uint32_t mode, struct result *r)
{
	uint64_t before[64] = { 0 }, after[64] = { 0 };
	char name[64][16] = { "" };
	struct vcpu *v;
	struct vm vm;
	void *spare;

	vm_init(&vm, VM_IRQCHIP);
	if (mode <= UMBRA_MMU_SHADOW_EAGER)
		ASSERT(!ioctl(vm.fd, UMBRA_SET_MMU, &mode));
	/* A shadow's quota is a share of the memory: as much as small guests have. */
	spare = mmap(NULL, SPARE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT(!vm_slot(&vm, 1, row->entry == g_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0, SPARE, SPARE_SIZE, spare));
	v = vm_vcpu(&vm, 0);
	vcpu_long_mode(v, row->entry);
	G(&vm, g_batches) = row->batches;
	G(&vm, g_spaces) = row->spaces;
	run_warm_up(&vm, v, row);
	count_exits(&vm, before, name);
	run_rest(&vm, v, row);
	count_exits(&vm, after, name);
	r->ticks = (double)G(&vm, g_ticks) / G(&vm, g_ops);
	set_exits(r, before, after, name, G(&vm, g_ops));
}

/* Each in a process of its own: what it leaves behind dies with it. */
static void measure_column(enum column c)
{
	unsigned int i;

	setenv("UMBRA_DEV", c < KVM_NESTED ? "/dev/umbra" : "/dev/kvm", 1);
	for (i = 0; i < NR_ROWS; i++) {
		pid_t pid;
		int status;

		if (only_row && strcmp(only_row, rows[i].name))
			continue;
		pid = fork();
		if (!pid) {
			measure(&rows[i], c, &results[c][i]);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		if (status || !results[c][i].ticks)
			fprintf(stderr, "mmu: %s fails in column %d\n", rows[i].name, c);
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
	return &results[c == HARDWARE ? KVM_NESTED : KVM_SHADOW][row];
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
	for (i = 0; i < NR_ROWS; i++) {
		for (c = HARDWARE; c <= EAGER; c++) {
			const struct result *r = &results[c][i], *k = kvm_beside(c, i);

			if (!r->ticks)
				continue;
			printf("%-12s %-14s %10.1f %10.1f %7.2f %8.2f ", rows[i].name, mode_name[c],
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
	for (i = 0; i < NR_ROWS; i++) {
		for (c = HARDWARE; c <= EAGER; c++) {
			const struct result *r = &results[c][i], *k = kvm_beside(c, i);

			if (!r->ticks)
				continue;
			printf("%s{\"name\":\"%s\",\"mode\":\"%s\",\"umbra\":%.1f,\"kvm\":%.1f,\"ratio\":%.3f,\"exits\":%.3f,\"exits_by\":{",
			       comma, rows[i].name, mode_name[c], r->ticks, k->ticks,
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
	for (i = 0; i < NR_ROWS; i++)
		printf("  %-12s %s\n", rows[i].name, rows[i].what);
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
	results = mmap(NULL, COLUMNS * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || !both_sides(umbra_side, cpu_is_intel() ? intel_sides : amd_sides))
		return 1;
	(json ? print_json : print_table)();
	return 0;
}
