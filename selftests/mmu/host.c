// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host does to memory on its own: it swaps, moves, merges, collapses,
 * splits and protects pages, while a guest checksums them. The guest must not
 * notice any of it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL
#define WORDS	(PAGE / 8)
#define MIB	(1UL << 20)
#define GIB	(1UL << 30)
#define SLOT	7
#define VCPUS	2UL
#define SIZE	(2 * MIB)		/* as large as one large page */
#define STRIDE	4UL			/* the guest uses each fourth page */
#define PAGES	(SIZE / PAGE / STRIDE)
#define PART	(PAGES / VCPUS)		/* pages of one vCPU */

/* ---- in the guest ---- */

static volatile uint64_t g_base, g_sums[PAGES], g_rounds[VCPUS];
static volatile bool g_still;		/* it writes nothing */
static volatile bool g_alike;		/* all pages get the same content */

/* All with interrupts on: Bochs's VMX holds the host's back from a guest that masks them. */

/*
 * Each round: the words of every page must add up to what they did when they
 * were last written. Then one of them changes. The sum follows the word, so that
 * page and sum agree at the moment of the write.
 */
static void checker(uint64_t part)
{
	uint64_t i, k, sum, old, new;

	sti();
	for (;; g_rounds[part]++) {
		for (i = part * PART; i < (part + 1) * PART; i++) {
			volatile uint64_t *p = (void *)(g_base + i * STRIDE * PAGE);

			for (sum = k = 0; k < WORDS; k++)
				sum += p[k];
			if (sum != g_sums[i])
				guest_fail(i);
			if (g_still)
				continue;
			k = g_rounds[part] * 37 % WORDS;
			old = p[k];
			new = g_rounds[part] << 32 | (g_alike ? 0 : i << 10) | 1;
			p[k] = new;
			g_sums[i] = sum - old + new;
		}
	}
}

/*
 * For memory that the host may empty: every word is what was written there, or
 * zero, which is made good.
 */
static void refiller(uint64_t part)
{
	uint64_t i, k, got;

	sti();
	for (;; g_rounds[part]++) {
		for (i = part * PART; i < (part + 1) * PART; i++) {
			volatile uint64_t *p = (void *)(g_base + i * STRIDE * PAGE);

			for (k = 0; k < WORDS; k += 16) {
				got = p[k];
				if (!got)
					p[k] = i << 12 | k | 1;
				else if (got != (i << 12 | k | 1))
					guest_fail(i);
			}
		}
	}
}

/* ---- running it ---- */

static struct vm vm;
static char *mem;
static pthread_t thread[VCPUS];
static volatile bool stop;

static void nothing(int sig)
{
	(void)sig;
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	uint32_t page = ~0;

	while (!stop) {
		if (!vcpu_run_raw(v)) {
			guest_said(v, PORT_FAIL, &page);
			ktap_fail(__FILE__, __LINE__, "vCPU %d: page %u is wrong", v->id, page);
			vcpu_diag(v);
			break;
		}
		if (errno != EINTR && errno != EAGAIN) {
			ktap_fail(__FILE__, __LINE__, "KVM_RUN: %s", strerror(errno));
			break;
		}
	}
	return NULL;
}

static volatile uint64_t *page_of(uint64_t i)
{
	return (void *)(mem + i * STRIDE * PAGE);
}

/* Guests over @size bytes of memory at @mem, of which they use SIZE. */
static void start(void (*entry)(uint64_t part), size_t size, uint64_t gpa)
{
	struct sigaction act = { .sa_handler = nothing };
	uint64_t i, k;

	ASSERT(!sigaction(SIGUSR1, &act, NULL));
	vm_init(&vm, 0);
	ASSERT(!vm_slot(&vm, SLOT, 0, gpa, size, mem));
	G(&vm, g_base) = gpa;
	for (i = 0; i < PAGES && entry == checker; i++) {
		for (k = 0; k < WORDS; k++)
			page_of(i)[k] = G(&vm, g_alike) ? k : i << 16 | k;
		G(&vm, g_sums)[i] = WORDS * (WORDS - 1) / 2 +
				    (G(&vm, g_alike) ? 0 : (i << 16) * WORDS);
	}
	for (i = 0; i < VCPUS; i++) {
		struct vcpu *v = vm_vcpu(&vm, i);
		struct kvm_regs regs;

		vcpu_long_mode(v, (void (*)(void))entry);
		regs = vcpu_regs(v);
		regs.rdi = i;
		ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
		ASSERT(!pthread_create(&thread[i], NULL, run_vcpu, v));
	}
}

static void finish(void)
{
	uint64_t i;

	stop = true;
	for (i = 0; i < VCPUS; i++) {
		vm.vcpu[i].run->immediate_exit = 1;
		ASSERT(!pthread_kill(thread[i], SIGUSR1));
		ASSERT(!pthread_join(thread[i], NULL));
	}
}

/* Until each vCPU has gone through all its pages once more. */
static void wait_round(void)
{
	uint64_t i, end[VCPUS];

	for (i = 0; i < VCPUS; i++)
		end[i] = G(&vm, g_rounds)[i] + 2;
	for (i = 0; i < VCPUS && !ktap_failed(); i++) {
		while (*(volatile uint64_t *)&G(&vm, g_rounds)[i] < end[i] && !ktap_failed())
			sleep_ms(1);
	}
}

static void want_page_sum(uint64_t page, const char *when)
{
	volatile uint64_t *p = page_of(page);
	uint64_t k, sum = 0;

	for (k = 0; k < WORDS; k++)
		sum += p[k];
	EXPECT_MSG(sum == G(&vm, g_sums)[page], "page %llu %s: the host sees another sum",
		   (unsigned long long)page, when);
}

static void want_sums(void)
{
	uint64_t i;

	for (i = 0; i < PAGES && !ktap_failed(); i++)
		want_page_sum(i, "at the end");
}

static void map_memory(int advice)
{
	mem = map_aligned(2 * SIZE, 2 * MIB);
	madvise(mem, SIZE, advice);
}

/* @step, again and again; after each the guests look at everything. */
static void while_checksummed(unsigned int steps, void (*step)(unsigned int i))
{
	unsigned int i;

	wait_round();
	for (i = 0; i < steps && !ktap_failed(); i++) {
		step(i);
		wait_round();
	}
	finish();
	want_sums();
}

/* ---- what the host counts ---- */

static long number_of(const char *path, const char *format)
{
	FILE *f = fopen(path, "r");
	char line[200];
	long n = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f) && sscanf(line, format, &n) != 1)
		;
	fclose(f);
	return n;
}

#define VMSTAT(name)	number_of("/proc/vmstat", name " %ld")

static bool put_number(const char *path, long n)
{
	FILE *f = fopen(path, "w");
	bool good;

	if (!f)
		return false;
	good = fprintf(f, "%ld\n", n) > 0;
	return !fclose(f) && good;
}

/* ---- swap ---- */

static char swap_device[32];
static long swap_id;

/*
 * Swap on a compressed RAM disk: it writes at once, so that pages are gone at
 * once, where a slower one would leave them in reach for a while.
 */
static void swap_on(void)
{
	const uint32_t head[3] = { 1, 8 * SIZE / PAGE - 1, 0 };
	char path[64];
	int fd;

	if (system("modprobe zram"))
		SKIP("no zram");
	swap_id = number_of("/sys/class/zram-control/hot_add", "%ld");
	ASSERT(swap_id >= 0);
	snprintf(path, sizeof(path), "/sys/block/zram%ld/disksize", swap_id);
	ASSERT(put_number(path, 8 * SIZE));
	snprintf(swap_device, sizeof(swap_device), "/dev/zram%ld", swap_id);
	fd = open(swap_device, O_RDWR);
	ASSERT(fd >= 0);
	ASSERT(pwrite(fd, head, sizeof(head), 1024) == sizeof(head));
	ASSERT(pwrite(fd, "SWAPSPACE2", 10, PAGE - 10) == 10 && !fsync(fd) && !close(fd));
	ASSERT(!swapon(swap_device, 0));
}

/*
 * A page that the guest has used since it was last asked for stays, and the first
 * call only asks. In between the guest has no turn.
 */
static void page_out(unsigned int i)
{
	struct sched_param first = { .sched_priority = 1 }, as_ever = { 0 };
	long before = VMSTAT("pswpout");
	int tries;

	(void)i;
	ASSERT(!sched_setscheduler(0, SCHED_FIFO, &first));
	for (tries = 0; tries < 100 && VMSTAT("pswpout") < before + (long)PAGES; tries++)
		ASSERT(!madvise(mem, SIZE, MADV_PAGEOUT));
	ASSERT(!sched_setscheduler(0, SCHED_OTHER, &as_ever));
}

static void map_memfd(void)
{
	int fd = memfd_create("guest", 0);

	ASSERT(fd >= 0 && !ftruncate(fd, SIZE));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(mem != MAP_FAILED);
}

static void map_small(void)
{
	map_memory(MADV_NOHUGEPAGE);
}

static void map_large(void)
{
	map_memory(MADV_HUGEPAGE);
}

static const struct kind {
	const char *name;
	void (*map)(void);
} kinds[] = {
	{ "of its own", map_small },
	{ "of its own, large pages", map_large },
	{ "of a memfd", map_memfd },
};

TEST_EACH_SECONDS(swapped, "host: memory is swapped out and comes back: ", kinds, k, 60)
{
	long out, in;
	cpu_set_t one;

	/* On a CPU of its own the guest would use all pages between any two looks at them. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ASSERT(!sched_setaffinity(0, sizeof(one), &one));
	swap_on();
	k->map();
	out = VMSTAT("pswpout");
	in = VMSTAT("pswpin");
	start(checker, SIZE, GIB);
	while_checksummed(6, page_out);
	ktap_diag("%ld pages went out, %ld came in", VMSTAT("pswpout") - out,
		  VMSTAT("pswpin") - in);
	EXPECT(VMSTAT("pswpout") >= out + (long)PAGES);
	EXPECT(VMSTAT("pswpin") > in);
	/* Swap that goes brings all pages back. */
	page_out(0);
	ASSERT(!swapoff(swap_device));
	want_sums();
	EXPECT(put_number("/sys/class/zram-control/hot_remove", swap_id));
}

/* ---- moves ---- */

static void compact(unsigned int i)
{
	(void)i;
	ASSERT(put_number("/proc/sys/vm/compact_memory", 1));
}

TEST_SECONDS(compacted, "host: memory is compacted", 60)
{
	long before = VMSTAT("pgmigrate_success");
	unsigned int i;

	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP("this kernel does not compact memory");
	map_small();
	/* Of the memory behind it most goes again, so that there are gaps to fill. */
	memset(mem + SIZE, 1, SIZE);
	start(checker, SIZE, GIB);
	for (i = 0; i < SIZE / PAGE / 16; i++)
		ASSERT(!munmap(mem + SIZE + i * 16 * PAGE, 15 * PAGE));
	while_checksummed(10, compact);
	ktap_diag("%ld pages moved", VMSTAT("pgmigrate_success") - before);
}

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

/* Takes the frame of some pages out of use; what was in them moves elsewhere. */
static void soft_offline(unsigned int i)
{
	unsigned int n;
	int tries, r;

	for (n = 0; n < 4; n++) {
		/* One that is in use just then can't go. */
		for (tries = 0, r = -1; r && tries < 1000; tries++)
			r = madvise((char *)page_of((i * 17 + n * 32) % PAGES), PAGE,
				    MADV_SOFT_OFFLINE);
		ASSERT(!r);
	}
}

TEST_EACH_SECONDS(offlined, "host: frames are taken out of use: memory ", kinds, k, 60)
{
	long before = VMSTAT("pgmigrate_success");

	k->map();
	start(checker, SIZE, GIB);
	if (madvise(mem, PAGE, MADV_SOFT_OFFLINE)) {
		finish();
		SKIP("this kernel can't do that: %s", strerror(errno));
	}
	while_checksummed(4, soft_offline);
	EXPECT(VMSTAT("pgmigrate_success") >= before + 8);
}

#define NODE1	"/sys/devices/system/node/node1"

static void change_node(unsigned int i)
{
	int tries, n, left = 0, nodes[PAGES], status[PAGES];
	void *pages[PAGES];

	for (n = 0; n < (int)PAGES; n++) {
		pages[n] = (void *)page_of(n);
		nodes[n] = i & 1;
	}
	/* A page that is in use just then is left where it is. */
	for (tries = 0; tries < 1000; tries++) {
		ASSERT(syscall(SYS_move_pages, 0, PAGES, pages, nodes, status, 2) >= 0);
		ASSERT(!syscall(SYS_move_pages, 0, PAGES, pages, NULL, status, 0));
		for (n = left = 0; n < (int)PAGES; n++)
			left += status[n] != nodes[n];
		if (!left)
			return;
	}
	EXPECT_EQ(left, 0);
}

TEST_EACH_SECONDS(moved, "host: memory goes to another node and back: ", kinds, k, 60)
{
	if (access(NODE1, F_OK))
		SKIP("this host has one node");
	k->map();
	start(checker, SIZE, GIB);
	while_checksummed(6, change_node);
}

#define BALANCING	"/sys/kernel/debug/sched/numa_balancing/"

/* Until the scheduler has made pages fault, to see which node uses them. */
static void balance(unsigned int i)
{
	long before = VMSTAT("numa_hint_faults");

	(void)i;
	while (VMSTAT("numa_hint_faults") == before && !ktap_failed())
		sleep_ms(1);
}

TEST_SECONDS(balanced, "host: NUMA balancing takes mappings away to see who uses them", 60)
{
	static const struct {
		const char *path;
		long value;
	} tune[] = {
		{ "/proc/sys/kernel/numa_balancing", 1 },
		{ BALANCING "scan_delay_ms", 1 },
		{ BALANCING "scan_period_min_ms", 10 },
		{ BALANCING "scan_period_max_ms", 20 },
	};
	long before[ARRAY_SIZE(tune)];
	unsigned int i;

	if (access(NODE1, F_OK))
		SKIP("this host has one node");
	for (i = 0; i < ARRAY_SIZE(tune); i++) {
		before[i] = number_of(tune[i].path, "%ld");
		if (!put_number(tune[i].path, tune[i].value))
			SKIP("NUMA balancing can't be tuned");
	}
	map_small();
	start(checker, SIZE, GIB);
	while_checksummed(2, balance);
	while (i--)
		ASSERT(put_number(tune[i].path, before[i]));
}

/* ---- same pages ---- */

#define KSM	"/sys/kernel/mm/ksm/"

static long merged(void)
{
	return number_of(KSM "pages_sharing", "%ld");
}

static void merge_and_part(unsigned int i)
{
	G(&vm, g_still) = true;
	while (merged() < (long)PAGES / 2 && !ktap_failed())
		sleep_ms(5);
	wait_round();
	if (i & 1) {
		/* The host undoes it, then the guest writes. */
		ASSERT(put_number(KSM "run", 2));
		EXPECT_EQ(merged(), 0);
		ASSERT(put_number(KSM "run", 1));
	}
	G(&vm, g_still) = false;
}

TEST_SECONDS(ksm, "host: same pages are merged, and part when the guest writes", 60)
{
	if (!put_number(KSM "sleep_millisecs", 2) || !put_number(KSM "pages_to_scan", 2000) ||
	    !put_number(KSM "run", 1))
		SKIP("this kernel has no KSM");
	/* Newer kernels leave out pages that they could not merge before. */
	put_number(KSM "smart_scan", 0);
	map_small();
	ASSERT(!madvise(mem, SIZE, MADV_MERGEABLE));
	g_alike = true;
	start(checker, SIZE, GIB);
	while_checksummed(4, merge_and_part);
	ASSERT(put_number(KSM "run", 2) && put_number(KSM "run", 0));
}

/* ---- large pages ---- */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

static long large_kib(void)
{
	char line[200];
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	long kib = 0, n;
	bool ours = false;

	ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = from < (uintptr_t)mem + SIZE && to > (uintptr_t)mem;
		else if (ours && sscanf(line, "AnonHugePages: %ld", &n) == 1)
			kib += n;
	}
	fclose(f);
	return kib;
}

static void split(void)
{
	FILE *f = fopen("/sys/kernel/debug/split_huge_pages", "w");

	if (f) {
		fprintf(f, "%d,%#lx,%#lx", getpid(), (unsigned long)mem,
			(unsigned long)mem + SIZE);
		fclose(f);
	}
	/* Where it can't be had whole, at least its mapping is split. */
	ASSERT(!mprotect(mem, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	ASSERT(!mprotect(mem, PAGE, PROT_READ | PROT_WRITE));
}

static void collapse_and_split(unsigned int i)
{
	int tries, r = -1;

	if (i & 1) {
		split();
		EXPECT_EQ(large_kib(), 0);
		return;
	}
	/* Pages that are in use just then are in the way. */
	for (tries = 0; tries < 1000 && r; tries++)
		r = madvise(mem, SIZE, MADV_COLLAPSE);
	ASSERT(!r);
	EXPECT_EQ(large_kib(), SIZE >> 10);
}

TEST_SECONDS(collapsed, "host: small pages become a large one, and that small ones again", 60)
{
	map_large();
	*mem = 1;
	if (madvise(mem, SIZE, MADV_COLLAPSE))
		SKIP("this kernel does not make large pages: %s", strerror(errno));
	start(checker, SIZE, GIB);
	while_checksummed(10, collapse_and_split);
}

/* ---- hugetlb ---- */

static pid_t other;

/* Its pages are shared with a child, so that the guest's writes go to copies. */
static void fork_and_kill(unsigned int i)
{
	(void)i;
	if (other) {
		ASSERT(!kill(other, SIGKILL));
		ASSERT(waitpid(other, NULL, 0) == other);
	}
	other = fork();
	ASSERT(other >= 0);
	if (!other) {
		pause();
		_exit(0);
	}
}

static const struct huge {
	const char *name;
	const char *nr;
	size_t size;
	long pages;
	int flags;
} huge[] = {
	{ "2 MiB", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
	  2 * MIB, 2, 21 << MAP_HUGE_SHIFT },
	{ "1 GiB", "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
	  GIB, 1, 30 << MAP_HUGE_SHIFT },
};

TEST_EACH_SECONDS(hugetlb, "host: hugetlb pages of ", huge, h, 60)
{
	long before = number_of(h->nr, "%ld");

	if (before < 0 || !put_number(h->nr, before + h->pages) ||
	    number_of(h->nr, "%ld") < before + h->pages) {
		put_number(h->nr, before);
		SKIP("the host can't set such pages aside");
	}
	mem = mmap(NULL, h->size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | h->flags, -1, 0);
	ASSERT(mem != MAP_FAILED);
	start(checker, h->size, GIB);
	/* A copy needs a second page. */
	while_checksummed(h->pages > 1 ? 3 : 1, h->pages > 1 ? fork_and_kill : compact);
	if (other) {
		kill(other, SIGKILL);
		waitpid(other, NULL, 0);
	}
	vm_free(&vm);
	ASSERT(!munmap(mem, h->size));
	put_number(h->nr, before);
}

/* ---- memory that is emptied ---- */

static void want_whole(void)
{
	uint64_t i, k;

	for (i = 0; i < PAGES && !ktap_failed(); i++) {
		volatile uint64_t *p = page_of(i);

		/* It goes into these pages, not into those that were taken away. */
		for (k = 0; k < WORDS; k += 16)
			EXPECT_EQ(p[k], i << 12 | k | 1);
	}
}

static int memfd;

static void punch(uint64_t first, uint64_t pages)
{
	ASSERT(!fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first * PAGE,
			  pages * PAGE));
}

static void drop(uint64_t first, uint64_t pages)
{
	ASSERT(!madvise(mem + first * PAGE, pages * PAGE, MADV_DONTNEED));
}

static void map_memfd_kept(void)
{
	memfd = memfd_create("guest", 0);
	ASSERT(memfd >= 0 && !ftruncate(memfd, SIZE));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT(mem != MAP_FAILED);
}

static const struct emptied {
	const char *name;
	void (*map)(void);
	void (*empty)(uint64_t first, uint64_t pages);
} emptied[] = {
	{ "holes are punched into a memfd", map_memfd_kept, punch },
	{ "memory is dropped", map_small, drop },
	{ "memory is dropped, large pages", map_large, drop },
};

TEST_EACH_SECONDS(refilled, "host: ", emptied, e, 60)
{
	unsigned int seed = 1, i, n;

	e->map();
	start(refiller, SIZE, GIB);
	for (i = 0; i < 8 && !ktap_failed(); i++) {
		for (n = 0; n < 8; n++) {
			uint64_t first = rand_r(&seed) % (SIZE / PAGE);

			e->empty(first, 1 + rand_r(&seed) % (SIZE / PAGE - first));
		}
		wait_round();
		want_whole();
	}
	finish();
}

/* ---- userfaultfd ---- */

static int uffd;
static volatile unsigned long faults;

/* A userfaultfd over the memory, or SKIP. */
static void watch(uint64_t features, uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = SIZE }, .mode = mode,
	};

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		SKIP("no such userfaultfd: %s", strerror(errno));
}

/* The host has nothing better than zeros, or what the guest would write. */
static void *supply(void *arg)
{
	uint64_t *page = (void *)map_pages(PAGE), i, k;
	struct uffd_msg msg;

	(void)arg;
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~(PAGE - 1),
			.src = (uintptr_t)page,
			.len = PAGE,
		};

		i = (copy.dst - (uintptr_t)mem) / PAGE / STRIDE;
		for (k = 0; k < WORDS; k += 16)
			page[k] = faults & 1 ? 0 : i << 12 | k | 1;
		faults++;
		if (ioctl(uffd, UFFDIO_COPY, &copy) && errno != EEXIST && errno != EAGAIN)
			ktap_fail(__FILE__, __LINE__, "UFFDIO_COPY: %s", strerror(errno));
	}
	return NULL;
}

TEST_SECONDS(supplied, "host: userfaultfd supplies pages that are missing", 60)
{
	unsigned int seed = 1, i, n;
	pthread_t supplier;

	map_small();
	watch(0, UFFDIO_REGISTER_MODE_MISSING);
	ASSERT(!pthread_create(&supplier, NULL, supply, NULL));
	start(refiller, SIZE, GIB);
	wait_round();
	EXPECT(faults >= PAGES);
	for (i = 0; i < 10 && !ktap_failed(); i++) {
		for (n = 0; n < 8; n++)
			drop(rand_r(&seed) % PAGES * STRIDE, 1);
		wait_round();
		want_whole();
	}
	EXPECT(faults > PAGES);
	finish();
}

static int write_protect(uint64_t start, uint64_t len, uint64_t mode)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = start, .len = len }, .mode = mode,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

/*
 * A page that a guest wants to write: it can't have changed since the guest
 * added it up, or the guest could write to it although it must not.
 */
static void *look_before_write(void *arg)
{
	struct uffd_msg msg;

	(void)arg;
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		uint64_t at = msg.arg.pagefault.address & ~(PAGE - 1);

		if (!(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)) {
			ktap_fail(__FILE__, __LINE__, "a fault that is none of protection");
			continue;
		}
		want_page_sum((at - (uintptr_t)mem) / PAGE / STRIDE, "when written");
		faults++;
		if (write_protect(at, PAGE, 0))
			ktap_fail(__FILE__, __LINE__, "UFFDIO_WRITEPROTECT: %s", strerror(errno));
	}
	return NULL;
}

static void protect_all(unsigned int i)
{
	unsigned long before = faults;

	(void)i;
	ASSERT(!write_protect((uintptr_t)mem, SIZE, UFFDIO_WRITEPROTECT_MODE_WP));
	wait_round();
	EXPECT(faults >= before + PAGES);
}

TEST_EACH_SECONDS(protected, "host: userfaultfd protects pages from writes: memory ", kinds, k, 60)
{
	pthread_t looker;

	k->map();
	memset(mem, 1, SIZE);
	watch(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	      UFFDIO_REGISTER_MODE_WP);
	ASSERT(!pthread_create(&looker, NULL, look_before_write, NULL));
	start(checker, SIZE, GIB);
	while_checksummed(4, protect_all);
}
