// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory changes while vCPUs use it. A guest may see old memory while a change
 * is under way, but never after the system call that made it has returned.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL
#define MIB	(1UL << 20)
#define GPA	0x20000000UL
#define GPA2	0x30000000UL
#define SLOT	7
#define PAGES	64UL
#define SECONDS	ktap_env("RACE_SECONDS", 3)

/* All with interrupts on: Bochs's VMX holds the host's back from a guest that masks them. */

/*
 * The host writes a generation into the first word of every page of new memory,
 * puts it in the place of the old, then publishes the number. The guest reads
 * the number first: no page may be older.
 */
static volatile uint64_t g_published, g_reads, g_old_page, g_old_value;
#define HOLE	(1ULL << 63)		/* what the VMM lets a hole read as */

static void watcher(void)
{
	uint64_t i = 0, least, got;

	sti();
	for (;;) {
		least = g_published;
		asm volatile("" : : : "memory");
		got = *(volatile uint64_t *)(GPA + i * PAGE);
		if (got < least) {
			g_old_page = i;
			g_old_value = got;
			guest_fail(__LINE__);
		}
		g_reads++;
		i = (i + 1) % PAGES;
	}
}

static struct vm vm;
static volatile bool stop;
static volatile unsigned long mmio_exits;

static void nothing(int sig)
{
	(void)sig;
}

/* Run a vCPU until it is told to stop. Holes read as newer than everything. */
static void *run_watcher(void *arg)
{
	struct vcpu *v = arg;
	struct kvm_run *run = v->run;

	while (!stop) {
		if (vcpu_run_raw(v)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			ktap_fail(__FILE__, __LINE__, "KVM_RUN: %s", strerror(errno));
			break;
		}
		if (run->exit_reason == KVM_EXIT_MMIO) {
			mmio_exits++;
			*(uint64_t *)run->mmio.data = HOLE;
			continue;
		}
		ktap_fail(__FILE__, __LINE__, "page %llu: read %#llx, at least %#llx was published",
			  (unsigned long long)G(&vm, g_old_page),
			  (unsigned long long)G(&vm, g_old_value),
			  (unsigned long long)G(&vm, g_published));
		vcpu_diag(v);
		break;
	}
	return NULL;
}

static pthread_t thread[MAX_VCPUS];
static int nr_threads;

static void start(int vcpus, void (*entry)(void))
{
	struct sigaction act = { .sa_handler = nothing };
	int i;

	ASSERT(!sigaction(SIGUSR1, &act, NULL));
	vm_init(&vm, 0);
	for (i = 0; i < vcpus; i++)
		vcpu_long_mode(vm_vcpu(&vm, i), entry);
	nr_threads = vcpus;
}

static void go(void)
{
	int i;

	for (i = 0; i < nr_threads; i++)
		ASSERT(!pthread_create(&thread[i], NULL, run_watcher, &vm.vcpu[i]));
}

static void finish(void)
{
	int i;

	stop = true;
	for (i = 0; i < nr_threads; i++) {
		vm.vcpu[i].run->immediate_exit = 1;
		ASSERT(!pthread_kill(thread[i], SIGUSR1));
		ASSERT(!pthread_join(thread[i], NULL));
	}
}

static void fill(void *mem, uint64_t generation)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		*(uint64_t *)((char *)mem + i * PAGE) = generation;
}

static void *new_memory(uint64_t generation)
{
	void *p = map_pages(PAGES * PAGE);

	fill(p, generation);
	return p;
}

/* The ways to change what stands behind the slot; @mem is mapped there. */
static void by_mremap(char *mem, uint64_t generation)
{
	void *p = new_memory(generation);

	ASSERT(mremap(p, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      mem) == mem);
}

static void by_slot(char *mem, uint64_t generation)
{
	static void *old;
	void *p = new_memory(generation);

	(void)mem;
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, 0, NULL));
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGES * PAGE, p));
	if (old)
		ASSERT(!munmap(old, PAGES * PAGE));
	old = p;
}

/* Two slots: one is at GPA, the other parked. */
static void by_moving_slots(char *mem, uint64_t generation)
{
	static const uint64_t park[2] = { GPA2, GPA2 + 16 * MIB };
	static char *place[2];
	static int shown;
	int hidden = !shown;

	if (!place[0]) {
		place[0] = mem;
		place[1] = new_memory(generation);
		ASSERT(!vm_slot(&vm, SLOT + 1, 0, park[1], PAGES * PAGE, place[1]));
	}
	fill(place[hidden], generation);
	ASSERT(!vm_slot(&vm, SLOT + shown, 0, park[shown], PAGES * PAGE, place[shown]));
	ASSERT(!vm_slot(&vm, SLOT + hidden, 0, GPA, PAGES * PAGE, place[hidden]));
	shown = hidden;
}

static void by_mprotect(char *mem, uint64_t generation)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		*(volatile uint64_t *)(mem + i * PAGE) = generation;
		ASSERT(!mprotect(mem + i * PAGE, PAGE, PROT_READ));
		ASSERT(!mprotect(mem + i * PAGE, PAGE, PROT_READ | PROT_WRITE));
	}
}

static void by_fork(char *mem, uint64_t generation)
{
	/* Each fork makes the parent's pages copy-on-write: its next write moves them. */
	pid_t child = fork();

	ASSERT(child >= 0);
	if (!child) {
		pause();
		_exit(0);
	}
	fill(mem, generation);
	ASSERT(!kill(child, SIGKILL));
	ASSERT(waitpid(child, NULL, 0) == child);
}

static const struct change {
	const char *name;
	void (*fn)(char *mem, uint64_t generation);
} changes[] = {
	{ "mremap over the old", by_mremap },
	{ "slot deleted and made anew", by_slot },
	{ "slots moved in and out", by_moving_slots },
	{ "mprotect", by_mprotect },
	{ "copy on write after fork", by_fork },
};

static void race(const struct change *c, int vcpus)
{
	uint64_t generation = 1, end = now_ns() + SECONDS * 1000000000ULL;
	char *mem = new_memory(generation);

	start(vcpus, watcher);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGES * PAGE, mem));
	G(&vm, g_published) = generation;
	go();
	/* A slow host gets the time that it takes. */
	while ((now_ns() < end || generation <= 2 || G(&vm, g_reads) <= 100) && !ktap_failed()) {
		c->fn(mem, ++generation);
		*(volatile uint64_t *)&G(&vm, g_published) = generation;
	}
	finish();
	ktap_diag("%llu changes, %llu reads by the guest, %lu exits to holes",
		  (unsigned long long)generation,
		  (unsigned long long)G(&vm, g_reads), mmio_exits);
}

TEST_EACH(race1, "race: one vCPU never sees old memory: ", changes, c)
{
	race(c, 1);
}

TEST_EACH(race3, "race: three vCPUs never see old memory: ", changes, c)
{
	race(c, 3);
}

/* One guest counts in every page of memory, alone, so that it knows what must be there. */
static volatile uint64_t g_counts;

static void counter(void)
{
	uint64_t i = 0, n = 0;

	sti();
	for (;;) {
		volatile uint64_t *p = (void *)(GPA + i * PAGE);

		if (*p != n) {
			g_old_page = i;
			g_old_value = *p;
			guest_fail(__LINE__);
		}
		*p = n + 1;
		g_counts++;
		if (++i == 2 * MIB / PAGE) {
			i = 0;
			n++;
		}
	}
}

TEST_SECONDS(remodelled, "race: no write is lost while pages change size and the log comes and goes", 60)
{
	uint64_t end = now_ns() + SECONDS * 1000000000ULL;
	char *mem = map_aligned(4 * MIB, 2 * MIB);
	unsigned int i = 0;
	char *bits = map_pages(PAGE);
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	if (madvise(mem, 2 * MIB, MADV_HUGEPAGE))
		ktap_diag("no transparent huge pages here");
	start(1, counter);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, 2 * MIB, mem));
	go();
	while ((now_ns() < end || i <= 4 || G(&vm, g_counts) <= 1000) && !ktap_failed()) {
		uint32_t flags = i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0;

		ASSERT(!vm_slot(&vm, SLOT, flags, GPA, 2 * MIB, mem));
		if (flags)
			ASSERT(!ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
		/* Splits a large page in the host, and makes it whole again. */
		ASSERT(!mprotect(mem + i % 512 * PAGE, PAGE,
				 PROT_READ | PROT_WRITE | PROT_EXEC));
		sleep_ms(1);
		ASSERT(!mprotect(mem, 2 * MIB, PROT_READ | PROT_WRITE));
		madvise(mem, 2 * MIB, i & 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		i++;
	}
	finish();
	ktap_diag("%u changes, %llu writes", i, (unsigned long long)G(&vm, g_counts));
}

/*
 * Each vCPU counts in pages of its own, while their slot comes and goes. A write
 * that finds no memory there goes to the VMM, which puts it where it belongs: so
 * none may be lost, and none be done twice.
 */
static char *kept;
static volatile uint64_t g_done[MAX_VCPUS];

static void keeper(uint64_t id)
{
	uint64_t i = id, n = 0;

	sti();
	for (;;) {
		volatile uint64_t *p = (void *)(GPA + i * PAGE);

		if (*p != n) {
			g_old_page = i;
			g_old_value = *p;
			guest_fail(__LINE__);
		}
		*p = n + 1;
		g_done[id]++;
		i += 3;
		if (i >= PAGES) {
			i = id;
			n++;
		}
	}
}

/* What the guest could not do because there was no slot, or a read-only one. */
static void do_for_guest(struct kvm_run *run)
{
	uint64_t *at = (void *)(kept + (run->mmio.phys_addr - GPA));

	ASSERT(run->mmio.phys_addr >= GPA && run->mmio.phys_addr < GPA + PAGES * PAGE &&
	       run->mmio.len == 8);
	if (run->mmio.is_write)
		memcpy(at, run->mmio.data, 8);
	else
		memcpy(run->mmio.data, at, 8);
}

static void *run_keeper(void *arg)
{
	struct vcpu *v = arg;

	while (!stop) {
		if (vcpu_run_raw(v)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			ktap_fail(__FILE__, __LINE__, "KVM_RUN: %s", strerror(errno));
			break;
		}
		if (v->run->exit_reason != KVM_EXIT_MMIO) {
			ktap_fail(__FILE__, __LINE__, "page %llu holds %llu",
				  (unsigned long long)G(&vm, g_old_page),
				  (unsigned long long)G(&vm, g_old_value));
			vcpu_diag(v);
			break;
		}
		mmio_exits++;
		do_for_guest(v->run);
	}
	return NULL;
}

static int set(uint32_t flags, uint64_t gpa, uint64_t pages)
{
	return vm_slot(&vm, SLOT, flags, gpa, pages * PAGE, kept);
}

static void delete_it(unsigned int i)
{
	(void)i;
	ASSERT(!set(0, GPA, 0));
}

static void move_it(unsigned int i)
{
	(void)i;
	ASSERT(!set(0, GPA2, PAGES));
	ASSERT(!set(0, GPA, PAGES));
	ASSERT(!set(0, GPA, 0));
}

static void resize_it(unsigned int i)
{
	ASSERT(!set(0, GPA, 0));
	ASSERT(!set(0, GPA, 1 + i * 7 % PAGES));
	ASSERT(!set(0, GPA, 0));
}

static void make_it_readonly(unsigned int i)
{
	(void)i;
	ASSERT(!set(0, GPA, 0));
	ASSERT(!set(KVM_MEM_READONLY, GPA, PAGES));
	ASSERT(!set(0, GPA, 0));
}

static void log_it(unsigned int i)
{
	static uint64_t bits[PAGES / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	ASSERT(!set(KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES));
	ASSERT(!ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	if (i & 1)
		ASSERT(!set(0, GPA, PAGES));
	ASSERT(!set(0, GPA, 0));
}

static const struct coming {
	const char *name;
	void (*fn)(unsigned int i);
} comings[] = {
	{ "deleted and made anew", delete_it },
	{ "moved away and back", move_it },
	{ "resized", resize_it },
	{ "read-only for a while", make_it_readonly },
	{ "logged for a while", log_it },
};

TEST_EACH(kept_writes, "race: no write of three vCPUs is lost while their slot is ", comings, c)
{
	uint64_t end = now_ns() + SECONDS * 1000000000ULL, writes = 0;
	unsigned int i;

	kept = map_pages(PAGES * PAGE);
	start(3, (void (*)(void))keeper);
	for (i = 0; i < 3; i++) {
		struct kvm_regs regs = vcpu_regs(&vm.vcpu[i]);

		regs.rdi = i;
		ASSERT(!ioctl(vm.vcpu[i].fd, KVM_SET_REGS, &regs));
	}
	ASSERT(!set(0, GPA, PAGES));
	for (i = 0; i < 3; i++)
		ASSERT(!pthread_create(&thread[i], NULL, run_keeper, &vm.vcpu[i]));
	for (i = 0; now_ns() < end && !ktap_failed(); i++) {
		c->fn(i);
		ASSERT(!set(0, GPA, PAGES));
	}
	finish();
	for (i = 0; i < 3; i++)
		writes += G(&vm, g_done)[i];
	ktap_diag("%llu writes, %lu of them and of the reads by the VMM",
		  (unsigned long long)writes, mmio_exits);
	EXPECT(writes > 100);
}

/* All at once: what comes out is not judged but by the host's log and by ending. */
static volatile char *storm_mem;

static void *drop_pages(void *arg)
{
	unsigned int seed = (uintptr_t)arg;

	while (!stop) {
		madvise((char *)storm_mem + rand_r(&seed) % PAGES * PAGE, PAGE, MADV_DONTNEED);
		if (!(rand_r(&seed) % 16))
			madvise((char *)storm_mem, PAGES * PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void scribbler(void)
{
	uint64_t x = rdtsc() | 1;

	sti();
	for (;;) {
		x = x * 6364136223846793005ULL + 1;
		if (x >> 40 & 1)
			*(volatile uint64_t *)(GPA + (x >> 33) % PAGES * PAGE) = x;
		else
			g_reads += *(volatile uint64_t *)(GPA + (x >> 33) % PAGES * PAGE) & 1;
	}
}

TEST_SECONDS(storm, "race: slots, drops and the log against three vCPUs", 60)
{
	uint64_t end = now_ns() + 2 * SECONDS * 1000000000ULL;
	uint64_t bits[(PAGES + 63) / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };
	pthread_t dropper[2];
	unsigned int i = 0;

	storm_mem = map_pages(PAGES * PAGE);
	start(3, scribbler);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGES * PAGE, (void *)storm_mem));
	go();
	for (i = 0; i < 2; i++)
		ASSERT(!pthread_create(&dropper[i], NULL, drop_pages,
				       (void *)(uintptr_t)(i + 1)));
	for (i = 0; now_ns() < end && !ktap_failed(); i++) {
		ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE,
				(void *)storm_mem));
		ASSERT(!ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
		ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA2, PAGES * PAGE,
				(void *)storm_mem));
		ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGES * PAGE, (void *)storm_mem));
		ASSERT(!vm_slot(&vm, SLOT, 0, GPA, 0, NULL));
		ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGES * PAGE, (void *)storm_mem));
	}
	finish();
	for (i = 0; i < 2; i++)
		ASSERT(!pthread_join(dropper[i], NULL));
	EXPECT(mmio_exits > 0);
}
