// SPDX-License-Identifier: GPL-2.0-only
/* The dirty log: each page that was written, and no other. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL
#define MIB	(1UL << 20)
#define GPA	0x20000000UL
#define SLOT	7
#define PAGES	(4 * MIB / PAGE)
#define WORDS	(PAGES / 64)

/* The guest touches the pages whose bits are set, and says when it is done. */
static volatile uint64_t g_map[WORDS], g_write, g_value;

static void toucher(void)
{
	uint64_t i, sum = 0;

	for (;;) {
		for (i = 0; i < PAGES; i++) {
			volatile uint64_t *p = (void *)(GPA + i * PAGE);

			if (!(g_map[i / 64] >> i % 64 & 1))
				continue;
			if (g_write)
				*p = g_value;
			else
				sum += *p;
		}
		guest_sync(1);
	}
}

static struct vm vm;
static struct vcpu *v;
static char *mem;
static uint64_t log_bits[WORDS];

static void touch(const uint64_t *map, bool write)
{
	memcpy((void *)&G(&vm, g_map), map, sizeof(g_map));
	G(&vm, g_write) = write;
	G(&vm, g_value)++;
	vcpu_run_to_sync(v, 1);
}

/* How the log is kept and read. */
enum kind {
	AUTOMATIC,	/* KVM_GET_DIRTY_LOG clears and protects */
	MANUAL,		/* KVM_CLEAR_DIRTY_LOG does */
	RING,		/* the vCPUs write entries */
};

static const struct way {
	const char *name;
	enum kind kind;
	int advice;
} ways[] = {
	{ "bitmap, small pages", AUTOMATIC, MADV_NOHUGEPAGE },
	{ "bitmap, large pages", AUTOMATIC, MADV_HUGEPAGE },
	{ "cleared by hand, small pages", MANUAL, MADV_NOHUGEPAGE },
	{ "cleared by hand, large pages", MANUAL, MADV_HUGEPAGE },
	{ "ring, small pages", RING, MADV_NOHUGEPAGE },
	{ "ring, large pages", RING, MADV_HUGEPAGE },
};

static enum kind kind;
static struct kvm_dirty_gfn *ring[MAX_VCPUS];
static uint32_t ring_entries, ring_next[MAX_VCPUS];

static int enable(uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap e = { .cap = cap, .args = { arg } };

	return ioctl(vm.fd, KVM_ENABLE_CAP, &e);
}

static int get_bitmap(void *bits)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	return ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log);
}

static int clear_bitmap(uint64_t first, uint32_t pages, void *bits)
{
	struct kvm_clear_dirty_log log = {
		.slot = SLOT, .first_page = first, .num_pages = pages, .dirty_bitmap = bits,
	};

	return ioctl(vm.fd, KVM_CLEAR_DIRTY_LOG, &log);
}

/* Take the entries that the vCPU has made, but don't give them back yet. */
static unsigned int harvest(int vcpu, uint64_t *bits)
{
	unsigned int n = 0;

	for (;; ring_next[vcpu]++, n++) {
		struct kvm_dirty_gfn *e = &ring[vcpu][ring_next[vcpu] & (ring_entries - 1)];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			return n;
		ASSERT(e->slot == SLOT && e->offset < PAGES);
		bits[e->offset / 64] |= 1ULL << e->offset % 64;
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

static int get_rings(uint64_t *bits)
{
	int i, n = 0;

	memset(bits, 0, WORDS * 8);
	for (i = 0; i < vm.nr_vcpus; i++)
		n += harvest(i, bits);
	ASSERT(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL) == n);
	return 0;
}

static int get_log(void *bits)
{
	switch (kind) {
	case AUTOMATIC:
		return get_bitmap(bits);
	case MANUAL:
		return get_bitmap(bits) ?: clear_bitmap(0, PAGES, bits);
	default:
		return get_rings(bits);
	}
}

static void want_log(const uint64_t *want)
{
	unsigned int i;

	memset(log_bits, 0xa5, sizeof(log_bits));
	ASSERT(!get_log(log_bits));
	for (i = 0; i < WORDS; i++) {
		if (log_bits[i] != want[i])
			ktap_fail(__FILE__, __LINE__, "word %u of the log is %#llx, wanted %#llx",
				  i, (unsigned long long)log_bits[i],
				  (unsigned long long)want[i]);
	}
}

static const uint64_t none[WORDS];

static void new_vcpu(void (*entry)(void))
{
	struct vcpu *new = vm_vcpu(&vm, vm.nr_vcpus);

	vcpu_long_mode(new, entry);
	if (!ring_entries)
		return;
	ring[new->id] = mmap(NULL, ring_entries * sizeof(**ring), PROT_READ | PROT_WRITE,
			     MAP_SHARED, new->fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
	ASSERT(ring[new->id] != MAP_FAILED);
}

/* A VM with one vCPU, and SLOT with @flags. */
static void start(uint32_t flags, const struct way *way, void (*entry)(void))
{
	vm_init(&vm, 0);
	kind = way->kind;
	if (kind == MANUAL)
		ASSERT(!enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
			       KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE));
	if (kind == RING) {
		if (!ring_entries)
			ring_entries = 4096;
		ASSERT(!enable(KVM_CAP_DIRTY_LOG_RING, ring_entries * sizeof(**ring)));
	}
	new_vcpu(entry);
	v = &vm.vcpu[0];
	mem = map_aligned(PAGES * PAGE, 2 * MIB);
	madvise(mem, PAGES * PAGE, way->advice);
	ASSERT(!vm_slot(&vm, SLOT, flags, GPA, PAGES * PAGE, mem));
}

static void some_pages(uint64_t *map, unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		map[i] = (uint64_t)rand_r(&seed) << 32 ^ rand_r(&seed);
	map[WORDS - 1] |= 1ULL << 63;
	map[0] |= 1;
}

TEST_EACH(exact, "log: just the pages written, each round anew: ", ways, w)
{
	uint64_t map[WORDS];
	unsigned int round;

	start(KVM_MEM_LOG_DIRTY_PAGES, w, toucher);
	want_log(none);
	for (round = 1; round < 6; round++) {
		some_pages(map, round);
		touch(map, true);
		want_log(map);
		want_log(none);
	}
}

TEST(by_cpu, "log: where the CPU keeps one, a page's first write is no exit of its own")
{
	uint64_t all[WORDS], faults, full;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	start(KVM_MEM_LOG_DIRTY_PAGES, &ways[0], toucher);
	if (vm_shadow(&vm))
		SKIP("the CPU does not see which page of the guest's it is");
	memset(all, 0xff, sizeof(all));
	touch(all, true);
	want_log(all);
	faults = exit_count(&vm, "page_fault");
	full = exit_count(&vm, "log_full");
	touch(all, true);
	want_log(all);
	faults = exit_count(&vm, "page_fault") - faults;
	full = exit_count(&vm, "log_full") - full;
	ktap_diag("%lu pages: %llu faults, %llu times a full log", PAGES,
		  (unsigned long long)faults, (unsigned long long)full);
	if (cpu_is_intel() && umbra_parameter("pml") == 'Y') {
		EXPECT_EQ(faults, 0);
		EXPECT(full >= 1);
	} else {
		EXPECT(faults >= PAGES);
		EXPECT_EQ(full, 0);
	}
}

TEST_EACH(reads, "log: reading marks nothing: ", ways, w)
{
	uint64_t map[WORDS];

	start(KVM_MEM_LOG_DIRTY_PAGES, w, toucher);
	some_pages(map, 3);
	touch(map, false);
	want_log(none);
	touch(map, true);
	touch(map, false);
	want_log(map);
	touch(map, false);
	want_log(none);
}

TEST_EACH(begins, "log: switched on over pages that are mapped: ", ways, w)
{
	uint64_t map[WORDS], all[WORDS];
	int i;

	start(0, w, toucher);
	memset(all, 0xff, sizeof(all));
	touch(all, true);
	for (i = 0; i < 3; i++) {
		ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA,
				PAGES * PAGE, mem));
		some_pages(map, i);
		touch(map, true);
		want_log(map);
		touch(map, true);
		ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGES * PAGE, mem));
		if (kind != RING)
			EXPECT_ERR(get_log(log_bits), ENOENT);
		touch(all, true);
		/* What was written before is still in the ring. */
		if (kind == RING)
			want_log(map);
	}
}

TEST_EACH(moves, "log: moved with its slot: ", ways, w)
{
	uint64_t map[WORDS] = { 0x8000000000000001 };

	start(KVM_MEM_LOG_DIRTY_PAGES, w, toucher);
	touch(map, true);
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, 2 * GPA,
			PAGES * PAGE, mem));
	want_log(map);
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE,
			mem));
	want_log(none);
	touch(map, true);
	want_log(map);
}

TEST_EACH(dontneed, "log: a page that was dropped and written again is in it: ", ways, w)
{
	uint64_t map[WORDS] = { 0xff };

	start(KVM_MEM_LOG_DIRTY_PAGES, w, toucher);
	touch(map, true);
	want_log(map);
	ASSERT(!madvise(mem, 4 * PAGE, MADV_DONTNEED));
	want_log(none);
	touch(map, true);
	want_log(map);
}

TEST(put_back, "log: EFAULT loses no page")
{
	uint64_t map[WORDS];

	start(KVM_MEM_LOG_DIRTY_PAGES, &ways[0], toucher);
	some_pages(map, 9);
	touch(map, true);
	EXPECT_ERR(get_log(NULL), EFAULT);
	if (!on_umbra()) {
		ktap_diag("KVM loses them");
		return;
	}
	want_log(map);
}

TEST(odd_size, "log: of a slot of 67 pages, no bit behind its end")
{
	uint64_t bits[3] = { -1, -1, -1 }, map[WORDS] = { 1, 4 };

	v = vm_long_mode(&vm, 0, toucher);
	mem = map_pages(67 * PAGE);
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, 67 * PAGE, mem));
	touch(map, true);
	ASSERT(!get_log(bits));
	EXPECT_EQ(bits[0], 1);
	EXPECT_EQ(bits[1], 4);
	EXPECT_EQ(bits[2], -1ULL);
}

#define PORT	0x1240

static void string_input(void)
{
	uint64_t di = GPA + 3 * PAGE + 0xff8, cx = 4;

	asm volatile("rep insl" : "+D"(di), "+c"(cx) : "d"(PORT) : "memory");
	guest_done();
}

TEST_EACH(emulated, "log: what is written for the guest is in it (INS across pages): ", ways, w)
{
	uint64_t map[WORDS] = { 3 << 3 };

	start(KVM_MEM_LOG_DIRTY_PAGES, w, string_input);
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == PORT)
		memset(io_data(v), 0x31, v->run->io.size * v->run->io.count);
	EXPECT_EQ(guest_said(v, PORT_DONE, NULL), 1);
	EXPECT_EQ(*(uint64_t *)(mem + 4 * PAGE), 0x3131313131313131);
	want_log(map);
}

/* A page table in the logged slot, whose accessed and dirty bits the CPU sets. */
static void walks_table(void)
{
	volatile uint64_t *pml4 = (void *)GPA_PML4, *table = (void *)GPA;
	uint64_t i;

	for (i = 0; i < 512; i++)
		table[i] = pml4[i];
	table[511] = GPA_PDPT | PTE_P | PTE_W | PTE_U;
	guest_sync(1);
	write_cr3(GPA);
	guest_sync(2);
	*(volatile uint64_t *)(0xffffff8000000000 | GPA_TEST) = 5;
	guest_done();
}

TEST_EACH(page_tables, "log: the CPU's accessed bits mark the page of the table: ", ways, w)
{
	uint64_t map[WORDS] = { 1 };

	start(KVM_MEM_LOG_DIRTY_PAGES, w, walks_table);
	vcpu_run_to_sync(v, 1);
	want_log(map);
	vcpu_run_to_sync(v, 2);
	ASSERT(!get_log(log_bits));
	vcpu_run_to_end(v);
	want_log(map);
}

/*
 * A set of tables in the logged slot, with the accessed and dirty bits clear in
 * the directory entry that maps the pages from GPA + 2M on. The emulator's walk
 * sets them.
 */
static void input_through_tables(void)
{
	volatile uint64_t *pml4 = (void *)GPA, *pdpt = (void *)(GPA + PAGE);
	volatile uint64_t *pd = (void *)(GPA + 2 * PAGE);
	volatile uint64_t *old = (void *)GPA_PD;
	uint64_t i, di = GPA + 2 * MIB + 0x123, cx = 4;

	for (i = 0; i < 512; i++)
		pd[i] = old[i];
	pd[(GPA + 2 * MIB) >> 21] &= ~(PTE_A | PTE_D);
	pdpt[0] = (GPA + 2 * PAGE) | PTE_P | PTE_W | PTE_U;
	pml4[0] = (GPA + PAGE) | PTE_P | PTE_W | PTE_U;
	write_cr3(GPA);
	guest_sync(1);
	asm volatile("rep insl" : "+D"(di), "+c"(cx) : "d"(PORT) : "memory");
	guest_done();
}

TEST_EACH(emulated_walk, "log: accessed and dirty bits that the emulator sets are in it: ", ways, w)
{
	const unsigned int target = 2 * MIB / PAGE / 64;
	unsigned int i;

	start(KVM_MEM_LOG_DIRTY_PAGES, w, input_through_tables);
	vcpu_run_to_sync(v, 1);
	ASSERT(!get_log(log_bits));
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == PORT)
		memset(io_data(v), 0x32, v->run->io.size * v->run->io.count);
	EXPECT_EQ(guest_said(v, PORT_DONE, NULL), 1);
	EXPECT_EQ(*(uint64_t *)(mem + 2 * MIB + 0x123), 0x3232323232323232);
	EXPECT_EQ(((uint64_t *)(mem + 2 * PAGE))[(GPA + 2 * MIB) >> 21] & (PTE_A | PTE_D),
		  PTE_A | PTE_D);
	ASSERT(!get_log(log_bits));
	/* To a CPU with nested paging each of its own walks may be a write to the tables. */
	EXPECT_EQ(log_bits[0] | 3, 7);
	for (i = 1; i < WORDS; i++)
		EXPECT_EQ(log_bits[i], i == target);
}

#define MSR_WALL_CLOCK	0x4b564d00
#define MSR_CLOCK	0x4b564d01

static void reads_clock(void)
{
	wrmsr(MSR_CLOCK, (GPA + 5 * PAGE + 0x40) | 1);
	guest_sync(1);
	wrmsr(MSR_WALL_CLOCK, GPA + 70 * PAGE);
	guest_done();
}

TEST_EACH(clocks, "log: the clock pages that the kernel writes are in it: ", ways, w)
{
	uint64_t map[WORDS] = { 1 << 5 };

	start(KVM_MEM_LOG_DIRTY_PAGES, w, reads_clock);
	vcpu_run_to_sync(v, 1);
	want_log(map);
	vcpu_run_to_end(v);
	ASSERT(!get_log(log_bits));
	/* KVM may write the clock again at any entry. */
	EXPECT_EQ(log_bits[0] & ~(1ULL << 5), 0);
	EXPECT_EQ(log_bits[1], 1 << 6);
}

/* ---- clearing by hand ---- */

TEST(by_hand, "log: cleared by hand: GET keeps it, CLEAR takes just what it is told")
{
	uint64_t map[WORDS], half[WORDS];
	unsigned int i;

	start(KVM_MEM_LOG_DIRTY_PAGES, &ways[2], toucher);
	some_pages(map, 4);
	touch(map, true);
	for (i = 0; i < 2; i++) {
		ASSERT(!get_bitmap(log_bits));
		EXPECT(!memcmp(log_bits, map, sizeof(map)));
	}
	/* Words 1 and 2 only, and of those what is not 0xf0f0... */
	for (i = 0; i < WORDS; i++)
		half[i] = 0xf0f0f0f0f0f0f0f0;
	ASSERT(!clear_bitmap(64, 128, half));
	map[1] &= ~half[1];
	map[2] &= ~half[2];
	ASSERT(!get_bitmap(log_bits));
	EXPECT(!memcmp(log_bits, map, sizeof(map)));
	/* A page that was cleared is seen again, and one that never was can be cleared. */
	memset(half, 0, sizeof(half));
	half[1] = 1 << 4;
	touch(half, true);
	map[1] |= 1 << 4;
	ASSERT(!get_bitmap(log_bits));
	EXPECT(!memcmp(log_bits, map, sizeof(map)));
	memset(half, 0xff, sizeof(half));
	ASSERT(!clear_bitmap(0, PAGES, half));
	want_log(none);
}

static const struct way first_full[] = {
	{ "small pages", MANUAL, MADV_NOHUGEPAGE },
	{ "large pages", MANUAL, MADV_HUGEPAGE },
};

TEST_EACH(initially_set, "log: one that begins full sees each page once it is cleared: ", first_full, w)
{
	uint64_t map[WORDS], all[WORDS], half[WORDS];
	unsigned int i;

	start(0, w, toucher);
	ASSERT(!enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
							  KVM_DIRTY_LOG_INITIALLY_SET));
	memset(all, 0xff, sizeof(all));
	touch(all, true);
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE, mem));
	ASSERT(!get_bitmap(log_bits));
	EXPECT(!memcmp(log_bits, all, sizeof(all)));
	/* Half of it is cleared: just there, what is written is news. */
	for (i = 0; i < WORDS; i++)
		half[i] = i & 1 ? 0 : 0x5555555555555555;
	ASSERT(!clear_bitmap(0, PAGES, half));
	some_pages(map, 8);
	touch(map, true);
	ASSERT(!get_bitmap(log_bits));
	for (i = 0; i < WORDS; i++)
		EXPECT_EQ(log_bits[i], ~half[i] | map[i]);
}

TEST(full_odd_size, "log: one that begins full has no bit behind the slot's end")
{
	uint64_t bits[3] = { 0, 0, -1 };

	vm_init(&vm, 0);
	ASSERT(!enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
							  KVM_DIRTY_LOG_INITIALLY_SET));
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, 67 * PAGE,
			map_pages(67 * PAGE)));
	ASSERT(!get_bitmap(bits));
	EXPECT_EQ(bits[0], -1ULL);
	EXPECT_EQ(bits[1], 7);
	EXPECT_EQ(bits[2], -1ULL);
	ASSERT(!clear_bitmap(64, 3, bits));
	ASSERT(!get_bitmap(bits));
	EXPECT_EQ(bits[0], -1ULL);
	EXPECT_EQ(bits[1], 0);
}

/* ---- rings ---- */

TEST(ring_full, "ring: a full one stops the vCPU until entries are given back")
{
	uint64_t all[WORDS], seen[WORDS] = { 0 };
	unsigned int stops = 0, n;

	ring_entries = PAGE / sizeof(**ring);
	start(KVM_MEM_LOG_DIRTY_PAGES, &ways[4], toucher);
	memset(all, 0xff, sizeof(all));
	memcpy((void *)&G(&vm, g_map), all, sizeof(all));
	G(&vm, g_write) = 1;
	while (vcpu_run(v) == KVM_EXIT_DIRTY_RING_FULL) {
		stops++;
		/* It says so again, and makes no progress, until there is room. */
		EXPECT_EQ(vcpu_run(v), KVM_EXIT_DIRTY_RING_FULL);
		n = harvest(0, seen);
		EXPECT(n && n < ring_entries);
		/* Harvested is not given back. */
		EXPECT_EQ(vcpu_run(v), KVM_EXIT_DIRTY_RING_FULL);
		EXPECT_EQ(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL), n);
	}
	EXPECT(guest_said(v, PORT_SYNC, NULL));
	harvest(0, seen);
	EXPECT(stops >= PAGES / ring_entries);
	EXPECT(!memcmp(seen, all, sizeof(all)));
}

TEST(ring_not_given_back, "ring: only what is given back, from the oldest on, is seen again")
{
	uint64_t map[WORDS] = { 0xff }, seen[WORDS] = { 0 };
	unsigned int i;

	start(KVM_MEM_LOG_DIRTY_PAGES, &ways[4], toucher);
	touch(map, true);
	/* A gap: the third entry is not marked. */
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(ring[0][i].flags, KVM_DIRTY_GFN_F_DIRTY);
		EXPECT_EQ(ring[0][i].offset, i);
		if (i != 2)
			ring[0][i].flags = KVM_DIRTY_GFN_F_RESET;
	}
	EXPECT_EQ(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL), 2);
	EXPECT_EQ(ring[0][0].flags, 0);
	touch(map, true);
	ring_next[0] = 8;
	EXPECT_EQ(harvest(0, seen), 2);
	EXPECT_EQ(seen[0], 3);
}

/* What a hostile VMM may put into entries that it gives back. */
static const struct entry {
	const char *name;
	uint32_t slot;
	uint64_t offset;
} entries[] = {
	{ "another slot", 0, 5 },
	{ "no slot", 99, 5 },
	{ "a slot number out of range", 0xffff, 5 },
	{ "another address space", 0x70000 | SLOT, 5 },
	{ "all bits", 0xffffffff, -1ULL },
	{ "the first page behind the slot", SLOT, PAGES },
	{ "an offset that wraps", SLOT, -1ULL },
	{ "an offset that wraps by a word", SLOT, -64ULL },
	{ "an offset that is a sign bit", SLOT, 1ULL << 63 },
	{ "an offset whose address wraps", SLOT, 1ULL << 52 },
};

TEST_EACH(ring_hostile, "ring: an entry given back with ", entries, e)
{
	uint64_t map[WORDS] = { 0xffff }, rest[WORDS] = { 0xf0ff };
	unsigned int i;

	if (e->slot == SLOT && e->offset == -1ULL && !on_umbra())
		SKIP("KVM takes it for a page before its neighbours, and protects none of them");
	start(KVM_MEM_LOG_DIRTY_PAGES, &ways[4], toucher);
	touch(map, true);
	for (i = 0; i < 16; i++) {
		if (i >= 8 && i < 12) {
			ring[0][i].slot = e->slot;
			ring[0][i].offset = e->offset;
		}
		ring[0][i].flags = ~0;
	}
	/* They count as given back, but protect nothing. */
	EXPECT_EQ(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL), 16);
	ring_next[0] = 16;
	touch(map, true);
	want_log(rest);
}

TEST(ring_all_flags, "ring: entries that were never made can't be given back")
{
	uint64_t map[WORDS] = { 7 };
	unsigned int i;

	start(KVM_MEM_LOG_DIRTY_PAGES, &ways[4], toucher);
	touch(map, true);
	for (i = 0; i < ring_entries; i++)
		ring[0][i].flags = KVM_DIRTY_GFN_F_RESET;
	i = ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL);
	if (!on_umbra()) {
		ktap_diag("KVM takes back %u", i);
		return;
	}
	EXPECT_EQ(i, 3);
	EXPECT_EQ(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL), 0);
	memset(ring[0], 0, ring_entries * sizeof(**ring));
	ring_next[0] = 3;
	touch(map, true);
	want_log(map);
}

/*
 * What a migration does: copy what the log names while the guest writes, then
 * stop it and copy the rest. The copy has to be complete.
 */
static volatile uint64_t g_seed, g_writes;

static void writer(void)
{
	uint64_t x = g_seed, n = 0;

	for (;;) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		*(volatile uint64_t *)(GPA + (x >> 33) % PAGES * PAGE +
				       (x >> 20 & 0x1f8)) = ++n;
		g_writes++;
		if (!(n & 0xfff))
			guest_sync(2);
	}
}

static volatile bool stop;

/* A ring that is full is for the other thread to empty. */
static void *run_writer(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!stop) {
		uint32_t reason = vcpu_run(vcpu);

		if (reason == KVM_EXIT_DIRTY_RING_FULL)
			sleep_ms(1);
		else if (!guest_said(vcpu, PORT_SYNC, NULL))
			ktap_fail(__FILE__, __LINE__, "exit %s", exit_name(reason));
	}
	return NULL;
}

static void copy_dirty(char *copy)
{
	unsigned int i;

	ASSERT(!get_log(log_bits));
	for (i = 0; i < PAGES; i++) {
		if (log_bits[i / 64] >> i % 64 & 1)
			memcpy(copy + i * PAGE, mem + i * PAGE, PAGE);
	}
}

static void migrate(const struct way *w, unsigned int rounds)
{
	char *copy = map_pages(PAGES * PAGE);
	pthread_t thread[2];
	unsigned int i;

	start(0, w, writer);
	new_vcpu(writer);
	G(&vm, g_seed) = ktap_env("SEED", 1);
	for (i = 0; i < 2; i++)
		ASSERT(!pthread_create(&thread[i], NULL, run_writer, &vm.vcpu[i]));
	while (!*(volatile uint64_t *)&G(&vm, g_writes))
		sleep_ms(1);
	/* The log begins while they write; then all of memory is copied once. */
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE, mem));
	memcpy(copy, mem, PAGES * PAGE);
	for (i = 0; i < rounds; i++)
		copy_dirty(copy);
	stop = true;
	for (i = 0; i < 2; i++)
		ASSERT(!pthread_join(thread[i], NULL));
	copy_dirty(copy);
	for (i = 0; i < PAGES; i++) {
		if (memcmp(copy + i * PAGE, mem + i * PAGE, PAGE)) {
			ktap_fail(__FILE__, __LINE__, "page %u of the copy is old", i);
			break;
		}
	}
}

TEST_EACH(migration, "log: a copy made by it while two vCPUs write is complete: ", ways, w)
{
	migrate(w, ktap_env("ROUNDS", 60));
}

TEST(migration_small_ring, "log: a copy made by rings that are full again and again is complete")
{
	ring_entries = PAGE / sizeof(**ring);
	migrate(&ways[5], ktap_env("ROUNDS", 60));
}
