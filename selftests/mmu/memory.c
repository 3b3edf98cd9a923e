// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stands behind a slot changes under the guest: the guest must see what a
 * process would see at that address, at once.
 *
 * The guest does single loads and stores at addresses that the test chooses, so
 * that each test reads as a list of steps.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/umbra.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL
#define MIB	(1UL << 20)
#define GPA	0x20000000UL		/* the slot under test */
#define GPA2	0x30000000UL
#define SLOT	7

enum op { OP_READ, OP_WRITE, OP_FILL, OP_SUM, OP_CALL };
static volatile uint64_t g_op, g_addr, g_value, g_pages;

/*
 * Word 0 of each page is touched: FILL puts value + page number there, SUM adds them up, and
 * CALL calls it.
 */
static void servant(void)
{
	uint64_t i, sum;

	for (;;) {
		volatile uint64_t *p = (void *)g_addr;

		switch (g_op) {
		case OP_READ:
			g_value = *p;
			break;
		case OP_WRITE:
			*p = g_value;
			break;
		case OP_FILL:
			for (i = 0; i < g_pages; i++)
				p[i * (PAGE / 8)] = g_value + i;
			break;
		case OP_SUM:
			for (sum = i = 0; i < g_pages; i++)
				sum += p[i * (PAGE / 8)];
			g_value = sum;
			break;
		case OP_CALL:
			for (i = 0; i < g_pages; i++)
				((void (*)(void))&p[i * (PAGE / 8)])();
			break;
		}
		guest_sync(1);
	}
}

static struct vm vm;
static struct vcpu *v;

/* A VM whose guest waits for orders, with @size bytes at @mem as a slot at GPA. */
static void start(void *mem, size_t size, uint32_t flags)
{
	v = vm_long_mode(&vm, 0, servant);
	if (mem)
		ASSERT(!vm_slot(&vm, SLOT, flags, GPA, size, mem));
}

static void order(enum op op, uint64_t addr, uint64_t value, uint64_t pages)
{
	G(&vm, g_op) = op;
	G(&vm, g_addr) = addr;
	G(&vm, g_value) = value;
	G(&vm, g_pages) = pages;
}

static uint64_t guest_read(uint64_t addr)
{
	order(OP_READ, addr, 0, 0);
	vcpu_run_to_sync(v, 1);
	return G(&vm, g_value);
}

static void guest_write(uint64_t addr, uint64_t value)
{
	order(OP_WRITE, addr, value, 0);
	vcpu_run_to_sync(v, 1);
}

static void guest_fill(uint64_t addr, uint64_t value, uint64_t pages)
{
	order(OP_FILL, addr, value, pages);
	vcpu_run_to_sync(v, 1);
}

static uint64_t guest_sum(uint64_t addr, uint64_t pages)
{
	order(OP_SUM, addr, 0, pages);
	vcpu_run_to_sync(v, 1);
	return G(&vm, g_value);
}

/* The sum that FILL leaves. */
static uint64_t sum_of(uint64_t value, uint64_t pages)
{
	return value * pages + pages * (pages - 1) / 2;
}

/* The next order ends KVM_RUN with EFAULT; the guest forgets it. */
static void want_efault(enum op op, uint64_t addr)
{
	order(op, addr, 1, 0);
	EXPECT_ERR(vcpu_run_raw(v), EFAULT);
	vcpu_long_mode(v, servant);
}

static volatile uint64_t *word(void *mem, size_t offset)
{
	return (void *)((char *)mem + offset);
}

TEST(demand, "memory: fresh pages read as zero and keep what is written")
{
	void *mem = map_pages(16 * PAGE);

	start(mem, 16 * PAGE, 0);
	EXPECT_EQ(guest_read(GPA), 0);
	guest_write(GPA, 0x1234);
	EXPECT_EQ(*word(mem, 0), 0x1234);
	guest_write(GPA + 15 * PAGE + 8, 5);
	EXPECT_EQ(*word(mem, 15 * PAGE + 8), 5);
	*word(mem, 15 * PAGE + 8) = 6;
	EXPECT_EQ(guest_read(GPA + 15 * PAGE + 8), 6);
}

TEST(zero_page, "memory: a page that was read first is written as well")
{
	void *mem = map_pages(4 * PAGE);

	start(mem, 4 * PAGE, 0);
	EXPECT_EQ(guest_sum(GPA, 4), 0);
	guest_fill(GPA, 100, 4);
	EXPECT_EQ(guest_sum(GPA, 4), sum_of(100, 4));
	EXPECT_EQ(*word(mem, 3 * PAGE), 103);
}

TEST(dontneed, "memory: MADV_DONTNEED leaves zeros")
{
	void *mem = map_pages(16 * PAGE);

	start(mem, 16 * PAGE, 0);
	guest_fill(GPA, 7, 16);
	ASSERT(!madvise((char *)mem + PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(guest_read(GPA + PAGE), 0);
	EXPECT_EQ(guest_read(GPA + 2 * PAGE), 9);
	guest_write(GPA + PAGE, 77);
	EXPECT_EQ(*word(mem, PAGE), 77);
}

TEST(map_over, "memory: another mapping at the address is seen")
{
	void *mem = map_pages(16 * PAGE);

	start(mem, 16 * PAGE, 0);
	guest_fill(GPA, 7, 16);
	ASSERT(mmap(mem, 16 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	*word(mem, 3 * PAGE) = 0xabc;
	EXPECT_EQ(guest_read(GPA + 3 * PAGE), 0xabc);
	EXPECT_EQ(guest_read(GPA), 0);
}

TEST(moved_mapping, "memory: mremap takes the pages away and brings others")
{
	void *mem = map_pages(4 * PAGE), *other = map_pages(4 * PAGE);

	start(mem, 4 * PAGE, 0);
	guest_fill(GPA, 7, 4);
	*word(other, 0) = 0x55;
	ASSERT(mremap(other, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      mem) == mem);
	EXPECT_EQ(guest_read(GPA), 0x55);
	EXPECT_EQ(guest_read(GPA + PAGE), 0);
}

TEST(unmapped, "memory: nothing behind the slot is EFAULT, and heals")
{
	void *mem = map_pages(4 * PAGE);

	start(mem, 4 * PAGE, 0);
	guest_fill(GPA, 7, 4);
	ASSERT(!munmap(mem, 4 * PAGE));
	want_efault(OP_READ, GPA);
	want_efault(OP_WRITE, GPA);
	ASSERT(mmap(mem, 4 * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	EXPECT_EQ(guest_read(GPA), 0);
}

TEST(prot_none, "memory: PROT_NONE is EFAULT, and heals")
{
	void *mem = map_pages(4 * PAGE);

	start(mem, 4 * PAGE, 0);
	guest_fill(GPA, 7, 4);
	ASSERT(!mprotect(mem, 4 * PAGE, PROT_NONE));
	want_efault(OP_READ, GPA);
	ASSERT(!mprotect(mem, 4 * PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(guest_read(GPA + PAGE), 8);
}

TEST(prot_read, "memory: a PROT_READ mapping is readable, a write is EFAULT")
{
	void *mem = map_pages(4 * PAGE);

	start(mem, 4 * PAGE, 0);
	guest_fill(GPA, 7, 4);
	ASSERT(!mprotect(mem, 4 * PAGE, PROT_READ));
	EXPECT_EQ(guest_read(GPA + PAGE), 8);
	want_efault(OP_WRITE, GPA + PAGE);
	EXPECT_EQ(*word(mem, PAGE), 8);
	ASSERT(!mprotect(mem, 4 * PAGE, PROT_READ | PROT_WRITE));
	guest_write(GPA + PAGE, 9);
	EXPECT_EQ(*word(mem, PAGE), 9);
}

TEST(readonly_slot, "memory: a write to a read-only slot goes to the VMM")
{
	void *mem = map_pages(4 * PAGE);

	*word(mem, 0) = 0x11;
	start(mem, 4 * PAGE, KVM_MEM_READONLY);
	EXPECT_EQ(guest_read(GPA), 0x11);
	order(OP_WRITE, GPA, 0x22, 0);
	want_mmio(v, GPA, 8, true);
	EXPECT_EQ(*(uint64_t *)v->run->mmio.data, 0x22);
	EXPECT_EQ(*word(mem, 0), 0x11);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(guest_read(GPA), 0x11);
	*word(mem, 0) = 0x33;
	EXPECT_EQ(guest_read(GPA), 0x33);
}

/*
 * Tables in ROM whose accessed and dirty bits are clear: the CPU can't set them,
 * so that each instruction through them is done for it.
 */
static void walks_rom(void)
{
	uint64_t sum, n = 20;

	asm volatile("mov %[rom], %%cr3\n\t"
		     "xor %[sum], %[sum]\n"
		     "1: add %[n], (%[at])\n\t"
		     "add (%[at]), %[sum]\n\t"
		     "dec %[n]\n\t"
		     "jnz 1b\n\t"
		     "mov %[ram], %%cr3"
		     : [sum] "=&r"(sum), [n] "+&r"(n)
		     : [rom] "r"(GPA), [ram] "r"((uint64_t)GPA_PML4), [at] "r"((uint64_t)GPA_TEST)
		     : "memory", "cc");
	g_value = sum;
	guest_done();
}

TEST(tables_in_rom, "memory: page tables in a read-only slot, accessed bits clear")
{
	const uint64_t bits = PTE_P | PTE_W | PTE_U;
	uint64_t i, *table = map_pages(3 * PAGE), before[3 * PAGE / 8], want = 0, at = 0;

	table[0] = (GPA + PAGE) | bits;
	table[PAGE / 8] = (GPA + 2 * PAGE) | bits;
	for (i = 0; i < 512; i++)
		table[2 * PAGE / 8 + i] = i << 21 | PTE_PS | bits;
	memcpy(before, table, sizeof(before));
	start(table, 3 * PAGE, KVM_MEM_READONLY);
	vcpu_long_mode(v, walks_rom);
	vcpu_run_to_end(v);
	for (i = 20; i; i--) {
		at += i;
		want += at;
	}
	EXPECT_EQ(G(&vm, g_value), want);
	EXPECT_EQ(*(uint64_t *)(vm.mem + GPA_TEST), at);
	/* It is ROM. */
	EXPECT(!memcmp(before, table, sizeof(before)));
}

static void want_mmio_read(uint64_t addr, uint64_t answer)
{
	order(OP_READ, addr, 0, 0);
	want_mmio(v, addr, 8, false);
	*(uint64_t *)v->run->mmio.data = answer;
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_value), answer);
}

TEST(deleted_slot, "slots: a deleted one is MMIO at once, memory when it is back")
{
	void *mem = map_pages(4 * PAGE);
	int i;

	start(mem, 4 * PAGE, 0);
	for (i = 0; i < 20; i++) {
		guest_write(GPA + PAGE, i);
		ASSERT(!vm_slot(&vm, SLOT, 0, GPA, 0, mem));
		want_mmio_read(GPA + PAGE, 0x1000 + i);
		ASSERT(!vm_slot(&vm, SLOT, 0, GPA, 4 * PAGE, mem));
		EXPECT_EQ(guest_read(GPA + PAGE), i);
	}
}

TEST(moved_slot, "slots: a moved one takes its memory along")
{
	void *mem = map_pages(4 * PAGE);

	start(mem, 4 * PAGE, 0);
	guest_fill(GPA, 40, 4);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA2, 4 * PAGE, mem));
	want_mmio_read(GPA, 1);
	EXPECT_EQ(guest_sum(GPA2, 4), sum_of(40, 4));
	/* Onto itself, a page further. */
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA2 + PAGE, 4 * PAGE, mem));
	want_mmio_read(GPA2, 2);
	EXPECT_EQ(guest_sum(GPA2 + PAGE, 4), sum_of(40, 4));
	EXPECT_EQ(guest_read(GPA2 + 4 * PAGE), 43);
}

TEST(mmio_becomes_memory, "slots: an address that was MMIO becomes memory")
{
	void *mem = map_pages(4 * PAGE);

	start(NULL, 0, 0);
	want_mmio_read(GPA2 + 8, 0x99);
	*word(mem, 8) = 0x1122;
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA2, 4 * PAGE, mem));
	EXPECT_EQ(guest_read(GPA2 + 8), 0x1122);
}

TEST(other_memory, "slots: another slot at the same place shows other memory")
{
	void *one = map_pages(4 * PAGE), *two = map_pages(4 * PAGE);

	start(one, 4 * PAGE, 0);
	guest_fill(GPA, 10, 4);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, 0, one));
	ASSERT(!vm_slot(&vm, SLOT + 1, 0, GPA, 4 * PAGE, two));
	EXPECT_EQ(guest_sum(GPA, 4), 0);
	guest_fill(GPA, 20, 4);
	EXPECT_EQ(*word(one, 0), 10);
	EXPECT_EQ(*word(two, 0), 20);
}

TEST(alias, "slots: two views of one memory agree, and lose it together")
{
	void *mem = map_pages(4 * PAGE);

	start(mem, 4 * PAGE, 0);
	ASSERT(!vm_slot(&vm, SLOT + 1, 0, GPA2, 4 * PAGE, mem));
	guest_fill(GPA, 10, 4);
	EXPECT_EQ(guest_sum(GPA2, 4), sum_of(10, 4));
	guest_write(GPA2, 99);
	EXPECT_EQ(guest_read(GPA), 99);
	ASSERT(!madvise(mem, PAGE, MADV_DONTNEED));
	EXPECT_EQ(guest_read(GPA), 0);
	EXPECT_EQ(guest_read(GPA2), 0);
}

TEST(slots_side_by_side, "slots: accesses go right across slots and holes")
{
	enum { N = 16 };
	char *mem = map_pages(N * PAGE);
	int i;

	start(NULL, 0, 0);
	/* Backwards in host memory, every third missing. */
	for (i = 0; i < N; i++) {
		*word(mem, i * PAGE) = i;
		if (i % 3 != 2)
			ASSERT(!vm_slot(&vm, SLOT + i, 0, GPA + (N - i) * PAGE,
					PAGE, mem + i * PAGE));
	}
	for (i = 0; i < N; i++) {
		if (i % 3 != 2)
			EXPECT_EQ(guest_read(GPA + (N - i) * PAGE), i);
		else
			want_mmio_read(GPA + (N - i) * PAGE, 77);
	}
}

TEST(hole_punched, "memfd: a punched hole reads as zero")
{
	int fd = memfd_create("guest", 0);
	char *mem, *view;

	ASSERT(fd >= 0 && !ftruncate(fd, 16 * PAGE));
	mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	view = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(mem != MAP_FAILED && view != MAP_FAILED);
	start(mem, 16 * PAGE, 0);
	guest_fill(GPA, 7, 16);
	EXPECT_EQ(*word(view, 2 * PAGE), 9);
	ASSERT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE,
			  2 * PAGE));
	EXPECT_EQ(guest_read(GPA + PAGE), 0);
	*word(view, PAGE) = 42;
	EXPECT_EQ(guest_read(GPA + PAGE), 42);
	EXPECT_EQ(guest_read(GPA + 3 * PAGE), 10);
}

TEST(file_truncated, "memfd: a page behind the end of the file is EFAULT")
{
	int fd = memfd_create("guest", 0);
	char *mem;

	ASSERT(fd >= 0 && !ftruncate(fd, 4 * PAGE));
	mem = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(mem != MAP_FAILED);
	start(mem, 4 * PAGE, 0);
	guest_fill(GPA, 7, 4);
	ASSERT(!ftruncate(fd, 2 * PAGE));
	EXPECT_EQ(guest_read(GPA + PAGE), 8);
	want_efault(OP_READ, GPA + 2 * PAGE);
	ASSERT(!ftruncate(fd, 4 * PAGE));
	EXPECT_EQ(guest_read(GPA + 2 * PAGE), 0);
}

TEST(forked, "memory: after fork the guest writes to the parent's copy alone")
{
	void *mem = map_pages(4 * PAGE);
	int ready[2], go[2], status;
	pid_t child;
	char c = 0;

	start(mem, 4 * PAGE, 0);
	guest_fill(GPA, 10, 4);
	ASSERT(!pipe(ready) && !pipe(go));
	child = fork();
	ASSERT(child >= 0);
	if (!child) {
		if (read(go[0], &c, 1) != 1)
			_exit(2);
		_exit(*word(mem, PAGE) != 11);
	}
	guest_write(GPA + PAGE, 99);
	EXPECT_EQ(*word(mem, PAGE), 99);
	ASSERT(write(go[1], &c, 1) == 1);
	ASSERT(waitpid(child, &status, 0) == child);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(guest_read(GPA + PAGE), 99);
}

static const struct size {
	const char *name;
	size_t offset;		/* of the memory from 2 MiB alignment */
	int advice;
} sizes[] = {
	{ "large pages, aligned", 0, MADV_HUGEPAGE },
	{ "large pages, not aligned as the slot is", 8 * PAGE, MADV_HUGEPAGE },
	{ "small pages", 0, MADV_NOHUGEPAGE },
};

TEST_EACH(page_sizes, "memory: 8 MiB, a page dropped and others kept: ", sizes, s)
{
	enum { PAGES = 8 * MIB / PAGE };
	char *mem = map_aligned(10 * MIB, 2 * MIB);

	mem += s->offset;
	if (madvise(mem, 8 * MIB, s->advice))
		SKIP("this kernel has no transparent huge pages");
	start(mem, 8 * MIB, 0);
	guest_fill(GPA, 1000, PAGES);
	EXPECT_EQ(*word(mem, 5 * MIB), 1000 + 5 * MIB / PAGE);
	ASSERT(!madvise(mem + 3 * MIB, PAGE, MADV_DONTNEED));
	EXPECT_EQ(guest_read(GPA + 3 * MIB), 0);
	EXPECT_EQ(guest_sum(GPA, PAGES),
		  sum_of(1000, PAGES) - 1000 - 3 * MIB / PAGE);
	ASSERT(!madvise(mem, 8 * MIB, MADV_DONTNEED));
	EXPECT_EQ(guest_sum(GPA, PAGES), 0);
	guest_fill(GPA, 5, PAGES);
	EXPECT_EQ(guest_sum(GPA, PAGES), sum_of(5, PAGES));
}

/*
 * Something else in the host may take a page away meanwhile, and ask for a flush; 512 of
 * them can't be meant.
 */
#define OTHER_FLUSHES	8

TEST(flushes, "memory: 512 pages that come, are logged and go cost no flush each")
{
	enum { PAGES = 512 };
	const uint32_t hardware = UMBRA_MMU_HARDWARE;
	char *mem = map_aligned(PAGES * PAGE, 2 * MIB);
	uint64_t bits[PAGES / 64], before;
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };
	unsigned int i, seen = 0;

	if (!on_umbra())
		SKIP("not Umbra's device");
	/* Without, or told not to have, transparent huge pages: small ones. */
	madvise(mem, PAGES * PAGE, MADV_NOHUGEPAGE);
	v = vm_long_mode(&vm, 0, servant);
	if (ioctl(vm.fd, UMBRA_SET_MMU, &hardware))
		SKIP("no nested paging here: a guest's own flushes count too");
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE, mem));
	guest_write(GPA, 1);
	before = figure(v->fd, "flushes");
	guest_fill(GPA, 1, PAGES);
	ASSERT(!ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < ARRAY_SIZE(bits); i++)
		seen += __builtin_popcountll(bits[i]);
	EXPECT_EQ(seen, PAGES);
	guest_fill(GPA, 2, PAGES);
	ASSERT(!madvise(mem, PAGES * PAGE, MADV_DONTNEED));
	EXPECT_EQ(guest_sum(GPA, PAGES), 0);
	EXPECT(figure(v->fd, "flushes") - before <= 2 + OTHER_FLUSHES);
}

TEST(slot_in_large_page, "memory: a slot that ends inside a large page ends there")
{
	char *mem = map_aligned(4 * MIB, 2 * MIB);

	if (madvise(mem, 4 * MIB, MADV_HUGEPAGE))
		SKIP("this kernel has no transparent huge pages");
	memset(mem, 0x5a, 4 * MIB);
	start(mem, 2 * MIB + 3 * PAGE, 0);
	EXPECT_EQ(guest_read(GPA), 0x5a5a5a5a5a5a5a5a);
	EXPECT_EQ(guest_read(GPA + 2 * MIB + 2 * PAGE), 0x5a5a5a5a5a5a5a5a);
	want_mmio_read(GPA + 2 * MIB + 3 * PAGE, 3);
	want_mmio_read(GPA + 3 * MIB, 4);
}

static bool cpu_has_bug(const char *name)
{
	char line[2000];
	FILE *f = fopen("/proc/cpuinfo", "r");
	bool has = false;

	ASSERT(f);
	while (!has && fgets(line, sizeof(line), f))
		has = !strncmp(line, "bugs", 4) && strstr(line, name);
	fclose(f);
	return has;
}

/* In a shadow mode they are exceptions. */
static uint64_t faults(void)
{
	return exit_count(&vm, "page_fault") + exit_count(&vm, "exception");
}

/*
 * Afterwards another such sum finds all that the guest itself needs: its first write to a large
 * page of its own can have what was mapped read-only mapped anew.
 */
static void settle(uint64_t addr)
{
	guest_sum(addr, 2);
	guest_sum(addr, 2);
}

TEST(code_small, "memory: code in a large page is mapped small where the CPU needs it (31)")
{
	char *mem = map_aligned(2 * MIB, 2 * MIB);
	uint64_t before, data, small;

	if (!cpu_has_bug("itlb_multihit"))
		SKIP("this CPU may run code from large pages");
	if (madvise(mem, 2 * MIB, MADV_HUGEPAGE))
		SKIP("this kernel has no transparent huge pages");
	memset(mem, 0xc3, 2 * MIB);		/* RET */
	start(mem, 2 * MIB, 0);
	/* What the guest itself needs for it is mapped then. */
	vm.mem[GPA_TEST] = 0xc3;
	order(OP_CALL, GPA_TEST, 0, 1);
	vcpu_run_to_sync(v, 1);
	settle(GPA_TEST);
	before = faults();
	guest_sum(GPA, 8);
	data = faults();
	/* What a shadow maps may be executed at once, if the guest's tables say so. */
	small = vm_shadow(&vm) ? 8 : 0;
	if (data != before + (small ? small : 1))
		SKIP("no large page was to be had");
	order(OP_CALL, GPA, 0, 8);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(faults() - data, 8 - small);
}

/* How many KiB of the memory around @mem does the host have in large pages? */
static long huge_kib(const void *mem)
{
	unsigned long from, to;
	char line[256];
	bool here = false;
	long kib = -1;
	FILE *f = fopen("/proc/self/smaps", "r");

	ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)mem && (uintptr_t)mem < to;
		else if (here)
			sscanf(line, "AnonHugePages: %ld", &kib);
	}
	fclose(f);
	return kib;
}

/* The guest's entry for the page of 2 MiB at GPA, in what vm_init() builds. */
static uint64_t *entry_of_gpa(void)
{
	uint64_t *table = (uint64_t *)(vm.mem + GPA_PML4);
	unsigned int level;

	for (level = 4; level > 2; level--)
		table = (uint64_t *)(vm.mem + (table[GPA >> (12 + 9 * (level - 1)) & 511] &
					       0xffffffffff000));
	return &table[GPA >> 21 & 511];
}

#define ENTRY_LARGE	(1ULL << 7)
#define ENTRY_NX	(1ULL << 63)

static const struct way_of_memory {
	const char *name;
	uint32_t id;
} ways[] = {
	{ "hardware", UMBRA_MMU_HARDWARE },
	{ "shadow-lazy", UMBRA_MMU_SHADOW_LAZY },
	{ "shadow-eager", UMBRA_MMU_SHADOW_EAGER },
};

TEST_EACH(large, "memory: 8 MiB of large pages in guest and host are a fault each: ", ways, way)
{
	enum { PAGES = 8 * MIB / PAGE, LARGE = 4 };
	char *mem = map_aligned(8 * MIB, 2 * MIB);
	uint64_t *entry, before;
	unsigned int i;

	if (!on_umbra())
		SKIP("not Umbra's device");
	if (madvise(mem, 8 * MIB, MADV_HUGEPAGE))
		SKIP("this kernel has no transparent huge pages");
	memset(mem, 0, 8 * MIB);
	if (huge_kib(mem) < 8 * 1024)
		SKIP("the host has no large pages left");
	v = vm_long_mode(&vm, 0, servant);
	if (ioctl(vm.fd, UMBRA_SET_MMU, &way->id))
		SKIP("this host does not have the mode");
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, 8 * MIB, mem));
	/* Where code must not be mapped large, what may be code is not. */
	entry = entry_of_gpa();
	for (i = 0; i < LARGE; i++) {
		ASSERT(entry[i] & ENTRY_LARGE);
		entry[i] |= ENTRY_NX;
	}
	guest_write(GPA + PAGE, 5);
	settle(GPA);
	before = faults();
	EXPECT_EQ(guest_sum(GPA, PAGES), 5);
	EXPECT_EQ(faults() - before, LARGE - 1);
	before = faults();
	guest_fill(GPA, 1000, PAGES);
	/* In a shadow the first write sets the dirty bit of the guest's entry. */
	EXPECT_EQ(faults() - before, vm_shadow(&vm) ? LARGE - 1 : 0);
	EXPECT_EQ(*word(mem, 5 * MIB), 1000 + 5 * MIB / PAGE);
	/* One small page of the host's: those around it are small as well, the others are not. */
	before = faults();
	ASSERT(!madvise(mem + 3 * MIB, PAGE, MADV_DONTNEED));
	EXPECT_EQ(guest_sum(GPA, PAGES), sum_of(1000, PAGES) - 1000 - 3 * MIB / PAGE);
	EXPECT_EQ(faults() - before, 512);
}

static long read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

static bool write_number(const char *path, long n)
{
	FILE *f = fopen(path, "w");
	bool good;

	if (!f)
		return false;
	good = fprintf(f, "%ld\n", n) > 0;
	return !fclose(f) && good;
}

TEST(hugetlb, "memory: hugetlbfs pages")
{
	const char *nr = "/proc/sys/vm/nr_hugepages";
	long before = read_number(nr);
	char *mem;

	if (before < 0 || !write_number(nr, before + 2))
		SKIP("hugetlb pages can't be reserved");
	mem = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED) {
		write_number(nr, before);
		SKIP("no free hugetlb pages");
	}
	start(mem, 4 * MIB, 0);
	guest_fill(GPA, 3, 4 * MIB / PAGE);
	EXPECT_EQ(guest_sum(GPA, 4 * MIB / PAGE), sum_of(3, 4 * MIB / PAGE));
	EXPECT_EQ(*word(mem, 3 * MIB), 3 + 3 * MIB / PAGE);
	ASSERT(!munmap(mem, 4 * MIB));
	want_efault(OP_READ, GPA);
	write_number(nr, before);
}

#define KSM	"/sys/kernel/mm/ksm/"

TEST_SECONDS(ksm, "memory: merged pages part again when the guest writes", 60)
{
	enum { PAGES = 64 };
	char *mem = map_pages(PAGES * PAGE);
	uint64_t i;
	int tries;

	if (!write_number(KSM "sleep_millisecs", 5) ||
	    !write_number(KSM "pages_to_scan", 2000) || !write_number(KSM "run", 1))
		SKIP("this kernel has no KSM");
	for (i = 0; i < PAGES; i++)
		memset(mem + i * PAGE, 0x77, PAGE);
	start(mem, PAGES * PAGE, 0);
	ASSERT(!madvise(mem, PAGES * PAGE, MADV_MERGEABLE));
	EXPECT_EQ(guest_sum(GPA, PAGES), PAGES * 0x7777777777777777UL);
	for (tries = 0; tries < 400; tries++) {
		if (read_number(KSM "pages_sharing") >= PAGES / 2)
			break;
		sleep_ms(50);
	}
	EXPECT_MSG(tries < 400, "nothing was merged");
	EXPECT_EQ(guest_read(GPA + 5 * PAGE), 0x7777777777777777);
	guest_write(GPA + 5 * PAGE, 1);
	EXPECT_EQ(guest_sum(GPA, PAGES), (PAGES - 1) * 0x7777777777777777UL + 1);
	EXPECT_EQ(*word(mem, 6 * PAGE), 0x7777777777777777);
	write_number(KSM "run", 0);
}

TEST(device_memory, "memory: a VM_PFNMAP mapping, here of the BIOS")
{
	int fd = open("/dev/mem", O_RDONLY);
	char *mem;
	int i;

	if (fd < 0)
		SKIP("no /dev/mem");
	mem = mmap(NULL, 16 * PAGE, PROT_READ, MAP_SHARED, fd, 0xf0000);
	if (mem == MAP_FAILED)
		SKIP("/dev/mem can't be mapped");
	start(mem, 16 * PAGE, 0);
	for (i = 0; i < 16; i++)
		EXPECT_EQ(guest_read(GPA + i * PAGE + 0xff0),
			  *word(mem, i * PAGE + 0xff0));
	/* No memory to write to: the VMM is told. */
	order(OP_WRITE, GPA, 1, 0);
	want_mmio(v, GPA, 8, true);
	vcpu_run_to_sync(v, 1);
	ASSERT(!munmap(mem, 16 * PAGE));
	want_efault(OP_READ, GPA);
}

TEST(gpa_limit, "slots: the last page that the CPU can address works")
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0x80000008, 0);
	uint64_t top = 1ULL << (e ? e->eax & 0xff : 36);
	void *mem = map_pages(PAGE);

	start(NULL, 0, 0);
	EXPECT_OK(vm_slot(&vm, SLOT, 0, top - PAGE, PAGE, mem));
	EXPECT_ERR(vm_slot(&vm, SLOT + 1, 0, top, PAGE, mem), EINVAL);
}
