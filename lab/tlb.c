// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's (-plugin libtlb.so,out=FILE) that counts the misses of a model of a
 * TLB, since counted instructions know nothing of page walks, and what QEMU keeps in place
 * of a TLB is none. All data accesses pass it, the host's and its guest's, in one:
 *
 *   first level   64 entries, 4 ways; second level 1536 entries, 12 ways; 4 KiB pages;
 *                 the one used longest ago makes room
 *   tags          linear page and the RAM behind it, so that entries of all address spaces
 *                 live side by side, as with PCIDs and ASIDs, and what has changed is not
 *                 found. No flush empties it: it misses less than CPUs do.
 *   not counted   fetches of instructions; what the page walk itself reads
 *
 * Between two writes at MARK_ADDRESS (guest/work.c) it counts accesses and misses, those
 * of the guest apart: the guest is what runs from VMRUN on until the instruction behind it.
 * Each such stretch is one line of FILE. A write at START_ADDRESS, before a boot's first
 * stretch, is a line with the word "start", and ends a stretch that had no end. For one CPU.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What of QEMU's plugin interface, version 1, this needs: Debian has no package with its
 * header.
 */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(uint32_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *hwaddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *hwaddr);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id,
								  struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int cpu, void *ctx), int flags,
					    void *ctx);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*cb)(unsigned int cpu, uint32_t info,
						 uint64_t vaddr, void *ctx),
				      int flags, int rw, void *ctx);

#define CB_NO_REGS	0
#define MEM_BOTH	3
#define EXPORT		__attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

#define MARK_ADDRESS	0x5ab1e0000000ul	/* guest/work.c */
#define START_ADDRESS	(MARK_ADDRESS + sizeof(uint64_t))
#define PAGE_SHIFT	12
#define VMRUN		"\x0f\x01\xd8"
#define VMRUN_SIZE	3
#define VMRUNS_MAX	64

struct entry {
	uint64_t page, ram;
	uint64_t used;		/* 0: free */
};

/* @sets is a power of two. */
struct level {
	unsigned int sets, ways;
	struct entry *entries;
};

static struct entry first_entries[64], second_entries[1536];
static struct level first = { 16, 4, first_entries }, second = { 128, 12, second_entries };
static uint64_t now;
static bool in_guest, counting;
static struct {
	uint64_t accesses, misses;
} counts[2];		/* the host's, the guest's */
static FILE *out;

/* Where the host goes on behind each VMRUN that it has. */
static uint64_t behind_vmrun[VMRUNS_MAX];
static unsigned int vmruns;

/* Whether it was there; it is afterwards. */
static bool look_up(struct level *level, uint64_t page, uint64_t ram)
{
	struct entry *set = &level->entries[(page & (level->sets - 1)) * level->ways];
	struct entry *oldest = set, *e;

	for (e = set; e < set + level->ways; e++) {
		if (e->used && e->page == page && e->ram == ram) {
			e->used = now;
			return true;
		}
		if (e->used < oldest->used)
			oldest = e;
	}
	*oldest = (struct entry){ page, ram, now };
	return false;
}

static void mark(void)
{
	if (counting)
		fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			counts[0].accesses, counts[0].misses, counts[1].accesses,
			counts[1].misses);
	fflush(out);
	memset(counts, 0, sizeof(counts));
	counting = !counting;
}

/* Another boot: the one before may have hung and been ended. */
static void start(void)
{
	fprintf(out, "start\n");
	fflush(out);
	counting = false;
}

static void access_memory(unsigned int cpu, uint32_t info, uint64_t vaddr, void *ctx)
{
	struct qemu_plugin_hwaddr *hwaddr;
	uint64_t page = vaddr >> PAGE_SHIFT, ram;

	(void)cpu;
	(void)ctx;
	if (vaddr == MARK_ADDRESS && in_guest)
		mark();
	if (vaddr == START_ADDRESS && in_guest)
		start();
	if (!counting)
		return;
	hwaddr = qemu_plugin_get_hwaddr(info, vaddr);
	if (!hwaddr || qemu_plugin_hwaddr_is_io(hwaddr))
		return;
	ram = qemu_plugin_hwaddr_phys_addr(hwaddr) >> PAGE_SHIFT;
	now++;
	counts[in_guest].accesses++;
	if (!look_up(&first, page, ram) && !look_up(&second, page, ram))
		counts[in_guest].misses++;
}

static void enter(unsigned int cpu, void *ctx)
{
	(void)cpu;
	(void)ctx;
	in_guest = true;
}

static void leave(unsigned int cpu, void *ctx)
{
	(void)cpu;
	(void)ctx;
	in_guest = false;
}

static bool is_behind_vmrun(uint64_t address)
{
	unsigned int i;

	for (i = 0; i < vmruns; i++)
		if (behind_vmrun[i] == address)
			return true;
	return false;
}

static void saw_vmrun(uint64_t behind)
{
	if (is_behind_vmrun(behind))
		return;
	if (vmruns == VMRUNS_MAX) {
		fprintf(stderr, "tlb: more than %d VMRUNs\n", VMRUNS_MAX);
		exit(1);
	}
	behind_vmrun[vmruns++] = behind;
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (is_behind_vmrun(qemu_plugin_insn_vaddr(insn)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, leave, CB_NO_REGS, NULL);
		if (qemu_plugin_insn_size(insn) == VMRUN_SIZE &&
		    !memcmp(qemu_plugin_insn_data(insn), VMRUN, VMRUN_SIZE)) {
			saw_vmrun(qemu_plugin_insn_vaddr(insn) + VMRUN_SIZE);
			qemu_plugin_register_vcpu_insn_exec_cb(insn, enter, CB_NO_REGS, NULL);
		}
		qemu_plugin_register_vcpu_mem_cb(insn, access_memory, CB_NO_REGS, MEM_BOTH, NULL);
	}
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc == 1 && !strncmp(argv[0], "out=", 4))
		out = fopen(argv[0] + 4, "w");
	if (!out) {
		fprintf(stderr, "tlb: out=FILE, one that can be written, is what it takes\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
