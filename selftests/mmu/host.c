// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host does to memory on its own: it swaps and migrates pages, waits
 * for userspace to supply them, and finds broken ones. The guest must not notice,
 * but for the last.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL
#define MIB	(1UL << 20)
#define GPA	0x20000000UL
#define SLOT	7

static volatile uint64_t g_pages, g_round, g_bad;

/* Each round: every page must hold what the last round left, and gets one more. */
static void counter(void)
{
	uint64_t i;

	for (;; g_round++) {
		for (i = 0; i < g_pages; i++) {
			volatile uint64_t *p = (void *)(GPA + i * PAGE);

			if (*p != g_round) {
				g_bad = i;
				guest_fail(__LINE__);
			}
			*p = g_round + 1;
		}
		guest_sync(1);
	}
}

static struct vm vm;
static struct vcpu *v;

static void start(void *mem, uint64_t pages, void (*entry)(void))
{
	v = vm_long_mode(&vm, 0, entry);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, pages * PAGE, mem));
	G(&vm, g_pages) = pages;
}

/* 64 MiB of swap in a file; false: this machine does not let us. */
static bool swap_on(const char *path)
{
	const uint32_t head[3] = { 1, 64 * MIB / PAGE - 1, 0 };
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *zero = map_pages(MIB);
	bool good = fd >= 0;
	int i;

	for (i = 0; good && i < 64; i++)
		good = write(fd, zero, MIB) == (ssize_t)MIB;
	good = good && pwrite(fd, head, sizeof(head), 1024) == sizeof(head) &&
	       pwrite(fd, "SWAPSPACE2", 10, PAGE - 10) == 10 && !fsync(fd);
	if (fd >= 0)
		close(fd);
	if (good && !swapon(path, 0))
		return true;
	unlink(path);
	return false;
}

/* Pages of this process that are in swap. */
static unsigned long pages_out(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[200];

	ASSERT(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "VmSwap: %lu", &kib) != 1)
		;
	fclose(f);
	return kib * 1024 / PAGE;
}

TEST_SECONDS(swapped, "host: pages that were swapped out come back", 90)
{
	enum { PAGES = 1024 };
	const char *path = "/var/tmp/umbra-selftest-swap";
	char *mem = map_pages(PAGES * PAGE);
	unsigned long out = 0;
	unsigned int i;

	if (!swap_on(path))
		SKIP("no swap file can be made: %s", strerror(errno));
	madvise(mem, PAGES * PAGE, MADV_NOHUGEPAGE);
	start(mem, PAGES, counter);
	for (i = 0; i < 5; i++) {
		vcpu_run_to_sync(v, 1);
		if (madvise(mem, PAGES * PAGE, MADV_PAGEOUT))
			SKIP("no MADV_PAGEOUT: %s", strerror(errno));
		out += pages_out();
	}
	vcpu_run_to_sync(v, 1);
	ktap_diag("%lu of %u pages went out", out, 5 * PAGES);
	EXPECT_EQ(*(uint64_t *)(mem + 5 * PAGE), 6);
	swapoff(path);
	unlink(path);
	if (!out && !ktap_failed())
		SKIP("this host puts nothing into swap");
}

static volatile bool stop;

static void *compact(void *arg)
{
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);

	(void)arg;
	while (!stop && fd >= 0 && write(fd, "1", 1) == 1)
		;
	return NULL;
}

TEST_SECONDS(migrated, "host: pages migrate while the guest counts in them", 60)
{
	enum { PAGES = 2048 };
	char *mem = map_pages(2 * PAGES * PAGE);
	uint64_t end = now_ns() + 3000000000ULL;
	unsigned int i, rounds = 0;
	pthread_t thread;

	if (access("/proc/sys/vm/compact_memory", W_OK))
		SKIP("this kernel does not compact memory");
	madvise(mem, 2 * PAGES * PAGE, MADV_NOHUGEPAGE);
	/* Every second page stays free, so that there is something to compact. */
	memset(mem, 0, 2 * PAGES * PAGE);
	for (i = 0; i < PAGES / 16; i++)
		ASSERT(!munmap(mem + PAGES * PAGE + i * 16 * PAGE, 15 * PAGE));
	start(mem, PAGES, counter);
	ASSERT(!pthread_create(&thread, NULL, compact, NULL));
	while (now_ns() < end) {
		vcpu_run_to_sync(v, 1);
		rounds++;
	}
	stop = true;
	ASSERT(!pthread_join(thread, NULL));
	ktap_diag("%u rounds", rounds);
	EXPECT(rounds > 1);
}

/* Supplies zeroed pages with a mark, one at a time, a while after they are missed. */
static void *supply(void *arg)
{
	char *page = map_pages(PAGE);
	int fd = *(int *)arg;
	struct uffd_msg msg;

	while (read(fd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~(PAGE - 1),
			.src = (uintptr_t)page,
			.len = PAGE,
		};

		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		sleep_ms(1);
		if (ioctl(fd, UFFDIO_COPY, &copy) && errno != EEXIST)
			ktap_fail(__FILE__, __LINE__, "UFFDIO_COPY: %s", strerror(errno));
	}
	return NULL;
}

/* A userfaultfd for @pages at @mem, or -1. */
static int missing(void *mem, uint64_t pages, int flags)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = pages * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -1;
	return fd;
}

TEST(supplied, "host: userfaultfd supplies each page when the guest misses it")
{
	enum { PAGES = 64 };
	char *mem = map_pages(PAGES * PAGE);
	int fd = missing(mem, PAGES, 0);
	pthread_t thread;

	if (fd < 0)
		SKIP("no userfaultfd: %s", strerror(errno));
	ASSERT(!pthread_create(&thread, NULL, supply, &fd));
	start(mem, PAGES, counter);
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(*(uint64_t *)(mem + 63 * PAGE), 2);
}

static void *run_thread(void *arg)
{
	(void)arg;
	vcpu_run_raw(v);
	return NULL;
}

TEST(never_supplied, "host: a vCPU that waits for a page for ever can be killed")
{
	char *mem = map_pages(PAGE);
	int fd = missing(mem, 1, 0);
	pthread_t thread;

	if (fd < 0)
		SKIP("no userfaultfd: %s", strerror(errno));
	start(mem, 1, counter);
	ASSERT(!pthread_create(&thread, NULL, run_thread, NULL));
	sleep_ms(100);
	/* The end of this test's process is the test: it must come, and does with ktap's limit. */
	EXPECT_EQ(pthread_tryjoin_np(thread, NULL), EBUSY);
}

static volatile int bus_code;
static void *volatile bus_address;

static void bus_error(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	bus_code = info->si_code;
	bus_address = info->si_addr;
}

TEST(poisoned, "host: broken memory is a SIGBUS that names it")
{
	struct sigaction act = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO };
	char *mem = map_pages(4 * PAGE);

	ASSERT(!sigaction(SIGBUS, &act, NULL));
	start(mem, 4, counter);
	vcpu_run_to_sync(v, 1);
	if (madvise(mem + 2 * PAGE, PAGE, MADV_HWPOISON))
		SKIP("this kernel can't poison memory: %s", strerror(errno));
	bus_code = 0;
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	EXPECT_EQ(bus_code, BUS_MCEERR_AR);
	EXPECT_EQ((uintptr_t)bus_address, (uintptr_t)mem + 2 * PAGE);
	/* A new page heals it. */
	ASSERT(mmap(mem + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	*(uint64_t *)(mem + 2 * PAGE) = 1;
	vcpu_run_to_sync(v, 1);
}
