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
 *   cow          a child that writes to 64 pages that it shares
 *   getpid       that system call
 *   divzero      a division by zero and the signal for it
 */
#define _GNU_SOURCE
#include <signal.h>
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
#define PAGE		4096
#define CHURN		(1 << 20)
#define SHARED		64
#define WARM_UP		4

static volatile char shared[SHARED * PAGE];

static void await(pid_t child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child || status) {
		perror("work: a child");
		exit(1);
	}
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

static void mmap_churn(void)
{
	volatile char *at = mmap(NULL, CHURN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
	size_t i;

	if (at == MAP_FAILED) {
		perror("work: mmap");
		exit(1);
	}
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

static const struct work {
	const char *name;
	void (*once)(void);
} works[] = {
	{ "fork_storm", fork_storm },
	{ "fork_exec", fork_exec },
	{ "mmap_churn", mmap_churn },
	{ "cow", cow },
	{ "getpid", getpid_loop },
	{ "divzero", divzero },
};

static void measure(const struct work *work, unsigned long count)
{
	unsigned long i;

	for (i = 0; i < WARM_UP; i++)
		work->once();
	outb(0, MARK_PORT);
	for (i = 0; i < count; i++)
		work->once();
	outb(0, MARK_PORT);
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
	const struct sigaction action = { .sa_sigaction = skip_division, .sa_flags = SA_SIGINFO };
	char *list = getenv("WORK");
	int status = 1;

	/* The child of fork_exec. */
	if (argc > 1 && !strcmp(argv[1], "-"))
		return 0;
	if (list && !iopl(3) && !sigaction(SIGFPE, &action, NULL))
		status = do_work(list);
	printf("work: %s\n", status ? "failed" : "done");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return status;
}
