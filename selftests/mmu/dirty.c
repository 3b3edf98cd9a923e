// SPDX-License-Identifier: GPL-2.0-only
/* The dirty log: each page that was written, and no other. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

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

static int get_log(void *bits)
{
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	return ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log);
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

static void start(uint32_t flags, int advice)
{
	char *p = map_pages(PAGES * PAGE + 2 * MIB);

	v = vm_long_mode(&vm, 0, toucher);
	mem = (void *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));
	madvise(mem, PAGES * PAGE, advice);
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

static const struct pages {
	const char *name;
	int advice;
} pages[] = {
	{ "small pages", MADV_NOHUGEPAGE },
	{ "large pages", MADV_HUGEPAGE },
};

TEST_EACH(exact, "log: just the pages written, each round anew: ", pages, p)
{
	uint64_t map[WORDS];
	unsigned int round;

	start(KVM_MEM_LOG_DIRTY_PAGES, p->advice);
	want_log(none);
	for (round = 1; round < 6; round++) {
		some_pages(map, round);
		touch(map, true);
		want_log(map);
		want_log(none);
	}
}

TEST_EACH(reads, "log: reading marks nothing: ", pages, p)
{
	uint64_t map[WORDS];

	start(KVM_MEM_LOG_DIRTY_PAGES, p->advice);
	some_pages(map, 3);
	touch(map, false);
	want_log(none);
	touch(map, true);
	touch(map, false);
	want_log(map);
	touch(map, false);
	want_log(none);
}

TEST_EACH(begins, "log: switched on over pages that are mapped: ", pages, p)
{
	uint64_t map[WORDS], all[WORDS];
	int i;

	start(0, p->advice);
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
		EXPECT_ERR(get_log(log_bits), ENOENT);
		touch(all, true);
	}
}

TEST(moves, "log: moved with its slot")
{
	uint64_t map[WORDS] = { 0x8000000000000001 };

	start(KVM_MEM_LOG_DIRTY_PAGES, MADV_NOHUGEPAGE);
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

TEST(dontneed, "log: a page that was dropped and written again is in it")
{
	uint64_t map[WORDS] = { 0xff };

	start(KVM_MEM_LOG_DIRTY_PAGES, MADV_NOHUGEPAGE);
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

	start(KVM_MEM_LOG_DIRTY_PAGES, MADV_NOHUGEPAGE);
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

TEST(emulated, "log: what is written for the guest is in it (INS across pages)")
{
	uint64_t map[WORDS] = { 3 << 3 };

	start(KVM_MEM_LOG_DIRTY_PAGES, MADV_NOHUGEPAGE);
	vcpu_long_mode(v, string_input);
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

TEST(page_tables, "log: the CPU's accessed bits mark the page of the table")
{
	uint64_t map[WORDS] = { 1 };

	start(KVM_MEM_LOG_DIRTY_PAGES, MADV_NOHUGEPAGE);
	vcpu_long_mode(v, walks_table);
	vcpu_run_to_sync(v, 1);
	want_log(map);
	vcpu_run_to_sync(v, 2);
	ASSERT(!get_log(log_bits));
	vcpu_run_to_end(v);
	want_log(map);
}

/*
 * What a migration does: copy what the log names while the guest writes, then
 * stop it and copy the rest. The copy has to be complete.
 */
static volatile uint64_t g_seed;

static void writer(void)
{
	uint64_t x = g_seed, n = 0;

	for (;;) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		*(volatile uint64_t *)(GPA + (x >> 33) % PAGES * PAGE +
				       (x >> 20 & 0x1f8)) = ++n;
		if (!(n & 0xfff))
			guest_sync(2);
	}
}

static volatile bool stop;

static void *run_writer(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!stop)
		vcpu_run_to_sync(vcpu, 2);
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

TEST_SECONDS(migration, "log: a copy made by it while two vCPUs write is complete", 60)
{
	char *copy = map_pages(PAGES * PAGE);
	uint64_t end = now_ns() + 4000000000ULL;
	pthread_t thread[2];
	unsigned int i, rounds = 0;

	start(0, MADV_HUGEPAGE);
	vm_vcpu(&vm, 1);
	G(&vm, g_seed) = ktap_env("SEED", 1);
	for (i = 0; i < 2; i++) {
		vcpu_long_mode(&vm.vcpu[i], writer);
		ASSERT(!pthread_create(&thread[i], NULL, run_writer, &vm.vcpu[i]));
	}
	sleep_ms(100);
	/* The log begins while they write; then all of memory is copied once. */
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE, mem));
	memcpy(copy, mem, PAGES * PAGE);
	while (now_ns() < end) {
		copy_dirty(copy);
		rounds++;
	}
	stop = true;
	for (i = 0; i < 2; i++)
		ASSERT(!pthread_join(thread[i], NULL));
	copy_dirty(copy);
	ktap_diag("%u rounds", rounds);
	for (i = 0; i < PAGES; i++) {
		if (memcmp(copy + i * PAGE, mem + i * PAGE, PAGE)) {
			ktap_fail(__FILE__, __LINE__, "page %u of the copy is old", i);
			break;
		}
	}
}
