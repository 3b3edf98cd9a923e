// SPDX-License-Identifier: GPL-2.0-only
/*
 * storm DIR WORKERS ROUNDS [SECONDS]: processes that fork, exec, map and unmap, on
 * files in DIR, each byte of which is known from a seed. Ends after ROUNDS rounds of
 * each worker, but not before SECONDS have passed. Exit: 0 if every byte was right.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096ul
#define MIN_PAGES	16
#define MAX_PAGES	256
#define FILES		4	/* of each worker: one stays while the next ones are made */

static const char *self;

static void die(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t word(uint64_t seed, size_t i)
{
	return mix(seed + 0x9e3779b97f4a7c15ull * (i + 1));
}

static size_t size_of(uint64_t seed)
{
	return (MIN_PAGES + mix(seed) % (MAX_PAGES - MIN_PAGES)) * PAGE;
}

static void fill(uint64_t *at, size_t size, uint64_t seed)
{
	size_t i;

	for (i = 0; i < size / 8; i++)
		at[i] = word(seed, i);
}

static int check(const uint64_t *at, size_t size, uint64_t seed, const char *what)
{
	size_t i;

	for (i = 0; i < size / 8; i++)
		if (at[i] != word(seed, i)) {
			fprintf(stderr, "storm: %s: word %zu is %#llx instead of %#llx\n", what, i,
				(unsigned long long)at[i], (unsigned long long)word(seed, i));
			return 1;
		}
	return 0;
}

static void *map(int fd, size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* The exec'd half: make a file by a shared mapping, which is let go in two pieces. */
static int write_file(const char *path, uint64_t seed)
{
	size_t size = size_of(seed), half = size / PAGE / 2 * PAGE;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *p;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		die(path);
	p = map(fd, size, MAP_SHARED);
	fill((uint64_t *)p, size, seed);
	if (munmap(p, half))
		die("munmap");
	/* Of every fourth the pages go to the disk, and come back from there. */
	if (seed % 4 == 0 && (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)))
		die("fsync");
	if (munmap(p + half, size - half))
		die("munmap");
	return close(fd) ? 1 : 0;
}

static int child_status(pid_t pid)
{
	int status;

	if (pid < 0)
		die("fork");
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

static int exec_writer(const char *path, uint64_t seed)
{
	char text[24];
	pid_t pid;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
	pid = fork();
	if (!pid) {
		execl(self, self, "--write", path, text, (char *)NULL);
		die(self);
	}
	return child_status(pid);
}

static int check_file(const char *path, uint64_t seed)
{
	size_t size = size_of(seed);
	int bad, fd = open(path, O_RDONLY);
	uint64_t *p;

	if (fd < 0)
		die(path);
	/* A private mapping, of which one page is written to: the file keeps its own. */
	p = map(fd, size, MAP_PRIVATE);
	bad = check(p, size, seed, path);
	memset(p, 0xff, PAGE);
	munmap(p, size);
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	bad |= check(p, PAGE, seed, path);
	munmap(p, size);
	close(fd);
	return bad;
}

/* Memory that a child shares until one of the two writes: each must keep its own. */
static int check_fork(uint64_t seed)
{
	size_t size = size_of(seed);
	uint64_t *p = map(-1, size, MAP_PRIVATE | MAP_ANONYMOUS);
	pid_t pid;
	int bad;

	fill(p, size, seed);
	pid = fork();
	if (!pid) {
		bad = check(p, size, seed, "the child's memory");
		fill(p, size, seed + 1);
		_exit(bad | check(p, size, seed + 1, "what the child wrote"));
	}
	fill(p, size / 2 / PAGE * PAGE, seed + 2);
	bad = child_status(pid);
	bad |= check(p, size / 2 / PAGE * PAGE, seed + 2, "what the parent wrote");
	fill(p, size, seed);
	bad |= check(p, size, seed, "the parent's memory");
	munmap(p, size);
	return bad;
}

static int work(const char *dir, int worker, long rounds, time_t until)
{
	uint64_t seeds[FILES] = { 0 };
	char path[256];
	long round;
	int bad = 0;

	for (round = 0; !bad && (round < rounds || time(NULL) < until); round++) {
		int slot = (int)(round % FILES);

		snprintf(path, sizeof(path), "%s/w%d-%d", dir, worker, slot);
		/* What was written FILES rounds ago has aged in the page cache, or left it. */
		if (seeds[slot])
			bad |= check_file(path, seeds[slot]);
		if (seeds[slot] && round % 3 == 0 && unlink(path))
			die(path);
		seeds[slot] = mix(((uint64_t)worker << 32) + (uint64_t)round) | 1u << 31;
		bad |= exec_writer(path, seeds[slot]);
		bad |= check_file(path, seeds[slot]);
		bad |= check_fork(seeds[slot]);
	}
	printf("worker %d: %ld rounds, %s\n", worker, round, bad ? "WRONG" : "right");
	fflush(stdout);
	return bad;
}

int main(int argc, char **argv)
{
	int i, workers, bad = 0;
	time_t until;

	self = argv[0];
	if (argc == 4 && !strcmp(argv[1], "--write"))
		return write_file(argv[2], strtoull(argv[3], NULL, 10));
	if (argc < 4) {
		fprintf(stderr, "usage: storm DIR WORKERS ROUNDS [SECONDS]\n");
		return 64;
	}
	workers = atoi(argv[2]);
	until = argc > 4 ? time(NULL) + atol(argv[4]) : 0;
	for (i = 0; i < workers; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid)
			return work(argv[1], i, atol(argv[3]), until);
	}
	for (i = 0; i < workers; i++) {
		int status;

		if (wait(&status) < 0)
			die("wait");
		bad |= status != 0;
	}
	return bad;
}
