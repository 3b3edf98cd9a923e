// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a benchmark has Linux do as a guest: init runs it where the kernel's command line
 * has WORK=NAME:COUNT[,NAME:COUNT...], instead of anything else. Each is done a few times
 * unmeasured, then a byte goes to the measurement port (umbra run --stats), then it is
 * done COUNT times, and then another byte goes there.
 *
 *   fork_storm   a child that ends, waited for
 *   fork_exec    a child that runs this program anew, which ends
 *   mmap_churn   a megabyte mapped, written to page by page, unmapped
 *   fault_prot   a write to a page that may only be read; the signal's handler allows it
 *   cow          a child that writes to 64 pages that it shares
 *   ctx_N        N processes, 2, 8 or 64, hand a byte on by pipes: one such step
 *   getpid       that system call
 *   divzero      a division by zero and the signal for it
 *   random_walk  a word changed at random in 64 MiB of 4 KiB pages, all of them touched before
 *   cpu          1000 rounds of arithmetic
 *   smp_faults   a megabyte mapped, written to and unmapped by each CPU at once, a thread on each
 *
 * Between the two bytes, first and last, a word is written at MARK_ADDRESS, by which an
 * observer of all memory accesses (lab/tlb.c) knows what to count; and before all of them
 * one behind it, by which it knows that another guest has begun.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define MARK_PORT	0xf4
#define MARK_ADDRESS	0x5ab1e0000000ul	/* lab/tlb.c has it too */
#define PAGE		4096
#define CHURN		(1 << 20)
#define SHARED		64
#define WALKED		(64ul << 20)
#define CPUS_MAX	64
#define WARM_UP		4

static volatile char shared[SHARED * PAGE];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void await(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child || status)
		die("work: a child");
}

static void fork_storm(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	await(child);
}

static void fork_exec(void)
{
	pid_t child = fork();

	if (!child) {
		execl("/work", "/work", "-", NULL);
		_exit(127);
	}
	await(child);
}

static void *map(void *where, size_t size, int flags)
{
	void *at = mmap(where, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		die("work: mmap");
	return at;
}

static void mmap_churn(void)
{
	volatile char *at = map(NULL, CHURN, MAP_PRIVATE);
	size_t i;

	for (i = 0; i < CHURN; i += PAGE)
		at[i] = 1;
	munmap((void *)at, CHURN);
}

static void write_shared(void)
{
	size_t i;

	for (i = 0; i < sizeof(shared); i += PAGE)
		shared[i]++;
}

static void cow(void)
{
	pid_t child;

	write_shared();
	child = fork();
	if (!child) {
		write_shared();
		_exit(0);
	}
	await(child);
}

static void getpid_loop(void)
{
	syscall(SYS_getpid);
}

/* The address of the page is the signal's. */
static volatile char *guarded;

static void allow_write(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (info->si_addr != guarded || mprotect(info->si_addr, PAGE, PROT_READ | PROT_WRITE))
		_exit(1);
}

static void prepare_guarded(unsigned int n)
{
	(void)n;
	guarded = map(NULL, PAGE, MAP_PRIVATE);
}

static void fault_prot(void)
{
	if (mprotect((void *)guarded, PAGE, PROT_READ))
		die("work: mprotect");
	*guarded = 1;
}

/*
 * A ring: this process has the last pipe's end to read and the first one's to write;
 * the children between them pass on what they read until there is no more.
 */
static int ring_in, ring_out;
static unsigned int ring_size, ring_at;

static void pass_on(int from, int to)
{
	char c;

	while (read(from, &c, 1) == 1 && write(to, &c, 1) == 1)
		;
	_exit(0);
}

static void prepare_ring(unsigned int n)
{
	int fd[2], from;
	unsigned int i;

	if (pipe(fd))
		die("work: pipe");
	ring_out = fd[1];
	from = fd[0];
	for (i = 1; i < n; i++) {
		if (pipe(fd))
			die("work: pipe");
		switch (fork()) {
		case -1:
			die("work: fork");
			break;
		case 0:
			close(ring_out);
			close(fd[0]);
			pass_on(from, fd[1]);
		}
		close(from);
		close(fd[1]);
		from = fd[0];
	}
	ring_in = from;
	ring_size = n;
	ring_at = 0;
}

/* All the way round is as many steps as there are processes. */
static void ring_step(void)
{
	char c = 0;

	if (ring_at++ % ring_size)
		return;
	if (write(ring_out, &c, 1) != 1 || read(ring_in, &c, 1) != 1)
		die("work: a pipe");
}

static void end_ring(void)
{
	unsigned int i;
	int status;

	close(ring_out);
	for (i = 1; i < ring_size; i++)
		if (wait(&status) < 0 || status)
			die("work: a process of the ring");
	close(ring_in);
}

/* The division is two bytes long. */
static void skip_division(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void divzero(void)
{
	asm volatile("divl %0" : : "r"(0) : "eax", "edx", "cc");
}

static volatile uint32_t *walked;
static uint32_t walk = 1;

static void prepare_walk(unsigned int n)
{
	size_t i;

	(void)n;
	walked = map(NULL, WALKED, MAP_PRIVATE);
	madvise((void *)walked, WALKED, MADV_NOHUGEPAGE);
	for (i = 0; i < WALKED / sizeof(*walked); i += PAGE / sizeof(*walked))
		walked[i] = 1;
}

/* Marsaglia's generator. */
static void random_walk(void)
{
	walk ^= walk << 13;
	walk ^= walk >> 17;
	walk ^= walk << 5;
	walked[walk % (WALKED / sizeof(*walked))]++;
}

static void end_walk(void)
{
	munmap((void *)walked, WALKED);
}

static void cpu(void)
{
	uint32_t i, x = 1;

	for (i = 0; i < 1000; i++)
		asm volatile("imull %1, %0; addl %1, %0" : "+r"(x) : "r"(i) : "cc");
}

/* The others do what this thread does, at once, each time that it says so. */
static pthread_t others[CPUS_MAX];
static unsigned int other_count;
static pthread_barrier_t begin, end;
static volatile bool all_done;

static void *follow(void *unused)
{
	while (pthread_barrier_wait(&begin), !all_done) {
		mmap_churn();
		pthread_barrier_wait(&end);
	}
	return unused;
}

static void prepare_threads(unsigned int n)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	(void)n;
	other_count = cpus < 1 ? 0 : cpus > CPUS_MAX ? CPUS_MAX - 1 : cpus - 1;
	pthread_barrier_init(&begin, NULL, other_count + 1);
	pthread_barrier_init(&end, NULL, other_count + 1);
	for (unsigned int i = 0; i < other_count; i++)
		if (pthread_create(&others[i], NULL, follow, NULL))
			die("work: a thread");
}

static void smp_faults(void)
{
	pthread_barrier_wait(&begin);
	mmap_churn();
	pthread_barrier_wait(&end);
}

static void end_threads(void)
{
	all_done = true;
	pthread_barrier_wait(&begin);
	for (unsigned int i = 0; i < other_count; i++)
		pthread_join(others[i], NULL);
}

/* @before gets @n; it and @after may be NULL, and are not measured. */
static const struct work {
	const char *name;
	void (*once)(void);
	void (*before)(unsigned int n);
	void (*after)(void);
	unsigned int n;
} works[] = {
	{ .name = "fork_storm", .once = fork_storm },
	{ .name = "fork_exec", .once = fork_exec },
	{ .name = "mmap_churn", .once = mmap_churn },
	{ .name = "fault_prot", .once = fault_prot, .before = prepare_guarded },
	{ .name = "cow", .once = cow },
	{ .name = "ctx_2", .once = ring_step, .before = prepare_ring, .after = end_ring, .n = 2 },
	{ .name = "ctx_8", .once = ring_step, .before = prepare_ring, .after = end_ring, .n = 8 },
	{ .name = "ctx_64", .once = ring_step, .before = prepare_ring, .after = end_ring, .n = 64 },
	{ .name = "getpid", .once = getpid_loop },
	{ .name = "divzero", .once = divzero },
	{ .name = "random_walk", .once = random_walk, .before = prepare_walk, .after = end_walk },
	{ .name = "cpu", .once = cpu },
	{ .name = "smp_faults", .once = smp_faults, .before = prepare_threads,
	  .after = end_threads },
};

static void measure(const struct work *work, unsigned long count)
{
	volatile uint64_t *mark = (volatile uint64_t *)MARK_ADDRESS;
	/* A ring's warm-up ends where it began. */
	unsigned long i, warm_up = WARM_UP * (work->n ? work->n : 1);

	if (work->before)
		work->before(work->n);
	for (i = 0; i < warm_up; i++)
		work->once();
	outb(0, MARK_PORT);
	*mark = 0;
	for (i = 0; i < count; i++)
		work->once();
	*mark = 0;
	outb(0, MARK_PORT);
	if (work->after)
		work->after();
}

static int do_work(char *list)
{
	char *name, *count;
	size_t i;

	for (name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		count = strchr(name, ':');
		if (!count)
			return 1;
		*count++ = '\0';
		for (i = 0; i < sizeof(works) / sizeof(*works); i++)
			if (!strcmp(name, works[i].name))
				break;
		if (i == sizeof(works) / sizeof(*works)) {
			fprintf(stderr, "work: %s is unknown\n", name);
			return 1;
		}
		measure(&works[i], strtoul(count, NULL, 0));
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct sigaction skip = { .sa_sigaction = skip_division, .sa_flags = SA_SIGINFO };
	const struct sigaction allow = { .sa_sigaction = allow_write, .sa_flags = SA_SIGINFO };
	char *list = getenv("WORK");
	int status = 1;

	/* The child of fork_exec. */
	if (argc > 1 && !strcmp(argv[1], "-"))
		return 0;
	/*
	 * Shared, so that no fork makes the next write to it a fault; and there already, by
	 * the write that says that the work begins.
	 */
	((volatile uint64_t *)map((void *)MARK_ADDRESS, PAGE,
				  MAP_SHARED | MAP_FIXED_NOREPLACE))[1] = 0;
	if (list && !iopl(3) && !sigaction(SIGFPE, &skip, NULL) && !sigaction(SIGSEGV, &allow, NULL))
		status = do_work(list);
	printf("work: %s\n", status ? "failed" : "done");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return status;
}
