// SPDX-License-Identifier: GPL-2.0-only
/* The model of a TLB that reports count misses by (lab/tlb.c), without QEMU around it. */
#include "../../lab/tlb.c"

#include <unistd.h>

#include "tap.h"

#define VMRUN_AT	0xffffffffc0001000ull
#define BEHIND		(VMRUN_AT + VMRUN_SIZE)
#define PAGES_AT	0x100000ull	/* the first page's number */

struct qemu_plugin_insn {
	uint64_t vaddr;
	const char *bytes;
	size_t size;
	void (*exec)(unsigned int cpu, void *ctx);
};

/* A block of one instruction. */
struct qemu_plugin_tb {
	struct qemu_plugin_insn insn;
};

struct qemu_plugin_hwaddr {
	uint64_t ram;
	bool io;
};

static struct qemu_plugin_hwaddr behind_page;
static uint64_t ram_offset;
static bool is_io;
static void (*on_translated)(uint64_t id, struct qemu_plugin_tb *tb);
static void (*on_access)(unsigned int cpu, uint32_t info, uint64_t vaddr, void *ctx);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
	(void)tb;
	return 1;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i)
{
	(void)i;
	return (struct qemu_plugin_insn *)&tb->insn;
}

const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn)
{
	return insn->bytes;
}

size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn)
{
	return insn->size;
}

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn)
{
	return insn->vaddr;
}

struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(uint32_t info, uint64_t vaddr)
{
	(void)info;
	behind_page = (struct qemu_plugin_hwaddr){ vaddr + ram_offset, is_io };
	return &behind_page;
}

bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *hwaddr)
{
	return hwaddr->io;
}

uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *hwaddr)
{
	return hwaddr->ram;
}

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id,
								  struct qemu_plugin_tb *tb))
{
	(void)id;
	on_translated = cb;
}

void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int cpu, void *ctx), int flags,
					    void *ctx)
{
	(void)flags;
	(void)ctx;
	insn->exec = cb;
}

void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*cb)(unsigned int cpu, uint32_t info,
						 uint64_t vaddr, void *ctx),
				      int flags, int rw, void *ctx)
{
	(void)insn;
	(void)flags;
	(void)ctx;
	on_access = rw == MEM_BOTH ? cb : NULL;
}

static void touch(uint64_t vaddr)
{
	on_access(0, 0, vaddr, NULL);
}

static void run(const struct qemu_plugin_tb *tb)
{
	if (tb->insn.exec)
		tb->insn.exec(0, NULL);
}

/* What a stretch of @rounds over so many pages is counted as, the marks' own page aside. */
static void stretch(unsigned int pages, unsigned int rounds)
{
	unsigned int i, r;

	touch(MARK_ADDRESS);
	for (r = 0; r < rounds; r++)
		for (i = 0; i < pages; i++)
			touch((PAGES_AT + i) << PAGE_SHIFT);
	touch(MARK_ADDRESS);
}

/* The next line of the file. */
static bool told(FILE *in, uint64_t host, uint64_t host_misses, uint64_t guest,
		 uint64_t guest_misses)
{
	uint64_t n[4] = { 0 };

	if (fscanf(in, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &n[0], &n[1], &n[2],
		   &n[3]) != 4)
		return false;
	if (n[0] == host && n[1] == host_misses && n[2] == guest && n[3] == guest_misses)
		return true;
	printf("# host %" PRIu64 " %" PRIu64 ", guest %" PRIu64 " %" PRIu64 "\n", n[0], n[1], n[2],
	       n[3]);
	return false;
}

static bool told_start(FILE *in)
{
	char word[8];

	return fscanf(in, "%7s", word) == 1 && !strcmp(word, "start");
}

static void test_counts(struct tap *tap, FILE *in, struct qemu_plugin_tb *vmrun,
			struct qemu_plugin_tb *behind)
{
	/* The first mark is itself an access of the stretch that it begins, and a miss. */
	touch(MARK_ADDRESS);
	touch(PAGES_AT << PAGE_SHIFT);
	run(vmrun);
	stretch(64, 2);
	tap_ok(tap, told(in, 0, 0, 129, 65), "tlb: nothing of the host is a mark; 64 pages miss once");
	stretch(64, 1);
	tap_ok(tap, told(in, 0, 0, 65, 0), "tlb: nothing is lost between two stretches");
	/* The marks' page takes a place in one of 128 sets: so 11 of 12 ways. */
	stretch(1408, 1);
	tap_ok(tap, told(in, 0, 0, 1409, 1408 - 64), "tlb: more pages miss once");
	stretch(1408, 3);
	tap_ok(tap, told(in, 0, 0, 3 * 1408 + 1, 0), "tlb: 1408 pages stay");
	stretch(3072, 1);
	tap_ok(tap, told(in, 0, 0, 3073, 3072 - 1408), "tlb: those that stay are found, the rest miss");
	/* By now the marks' page has had to go too. */
	stretch(3072, 2);
	tap_ok(tap, told(in, 0, 0, 6145, 6145), "tlb: twice as many as fit, in a row, always miss");
	ram_offset = 1ull << 40;
	touch(MARK_ADDRESS);
	touch(PAGES_AT << PAGE_SHIFT);
	run(behind);
	touch(PAGES_AT << PAGE_SHIFT);
	touch((PAGES_AT + 1) << PAGE_SHIFT);
	is_io = true;
	touch(PAGES_AT << PAGE_SHIFT);
	is_io = false;
	run(vmrun);
	touch(MARK_ADDRESS);
	tap_ok(tap, told(in, 2, 1, 2, 2), "tlb: other memory behind a page misses; the host's are apart");

	/* A stretch that no mark ends, as its guest hangs, then another guest; two pages are new. */
	touch(MARK_ADDRESS);
	touch(PAGES_AT << PAGE_SHIFT);
	touch(START_ADDRESS);
	touch(PAGES_AT << PAGE_SHIFT);
	stretch(4, 1);
	tap_ok(tap, told_start(in) && told(in, 0, 0, 5, 2),
	       "tlb: a guest's start is a line, and ends a stretch without an end");
}

int main(void)
{
	char path[] = "/tmp/umbra-tlb.XXXXXX", out_path[64], *argv[] = { out_path };
	struct qemu_plugin_tb vmrun = { { VMRUN_AT, VMRUN, VMRUN_SIZE, NULL } };
	struct qemu_plugin_tb behind = { { BEHIND, "\x90", 1, NULL } };
	struct qemu_plugin_tb other = { { BEHIND + 1, "\x0f\x01\xd9", 3, NULL } };
	struct tap tap = { 0 };
	int fd = mkstemp(path);
	FILE *in;

	snprintf(out_path, sizeof(out_path), "in=%s", path);
	tap_ok(&tap, qemu_plugin_install(0, NULL, 1, argv), "tlb: an unknown argument is refused");
	snprintf(out_path, sizeof(out_path), "out=%s", path);
	tap_ok(&tap, !qemu_plugin_install(0, NULL, 1, argv) && on_translated, "tlb: installed");
	on_translated(0, &vmrun);
	on_translated(0, &behind);
	on_translated(0, &other);
	tap_ok(&tap, vmrun.insn.exec && behind.insn.exec && !other.insn.exec && on_access,
	       "tlb: VMRUN and what is behind it are seen, nothing else");
	in = fdopen(fd, "r");
	test_counts(&tap, in, &vmrun, &behind);
	fclose(in);
	unlink(path);
	return tap_done(&tap);
}
