// SPDX-License-Identifier: GPL-2.0-only
/* Runs the tests of one program and prints their TAP. */
#define _GNU_SOURCE
#include "ktap.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SECONDS	20
/* How long a killed child may take to go: one stuck in the kernel never does. */
#define REAP_SECONDS	10
/* A failure that the emulator may have made counts when it comes each time. */
#define DOUBTFUL_TRIES	3

extern const struct ktap_test __start_ktap_tests[] __attribute__((weak));
extern const struct ktap_test __stop_ktap_tests[] __attribute__((weak));

/* What a child tells its parent, in memory that both share. */
struct verdict {
	int failures;
	bool doubtful;
	char skip[200];
};

static struct verdict *verdict;
bool (*ktap_doubts)(void);

static void diag_line(const char *fmt, va_list ap)
{
	char buf[1024];
	int n = vsnprintf(buf, sizeof(buf), fmt, ap);

	/* One write a line, so that threads do not mix theirs. */
	if (n >= 0)
		dprintf(STDOUT_FILENO, "# %s\n", buf);
}

void ktap_diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_line(fmt, ap);
	va_end(ap);
}

void ktap_fail(const char *file, int line, const char *fmt, ...)
{
	char buf[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	/* A program with a main() of its own has no table of tests. */
	if (!verdict) {
		ktap_diag("%s:%d: %s", file, line, buf);
		exit(KSFT_FAIL);
	}
	if (ktap_doubts && ktap_doubts())
		verdict->doubtful = true;
	/* A loop that fails a million times needs to say so a few times only. */
	if (__atomic_fetch_add(&verdict->failures, 1, __ATOMIC_RELAXED) < 20)
		ktap_diag("%s:%d: %s", file, line, buf);
}

void ktap_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(verdict->skip, sizeof(verdict->skip), fmt, ap);
	va_end(ap);
	_exit(verdict->failures ? KSFT_FAIL : KSFT_SKIP);
}

void ktap_end_now(void)
{
	_exit(verdict->failures ? KSFT_FAIL : KSFT_PASS);
}

bool ktap_failed(void)
{
	return verdict->failures != 0;
}

/**
 * ktap_env - a number that the caller may scale from the environment
 * @name:     the variable
 * @fallback: its value where it is absent or no number
 */
long ktap_env(const char *name, long fallback)
{
	const char *s = getenv(name);
	char *end;
	long v;

	if (!s || !*s)
		return fallback;
	v = strtol(s, &end, 0);
	return *end ? fallback : v;
}

/* Wait for @pid up to @seconds; 0 when it ended, -1 when it did not. */
static int wait_for(pid_t pid, unsigned int seconds, int *status)
{
	struct timespec now, end;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	for (;;) {
		struct timespec left = { .tv_nsec = 200000000 };

		if (waitpid(pid, status, WNOHANG) == pid)
			return 0;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end.tv_sec)
			return -1;
		sigtimedwait(&set, NULL, &left);
	}
}

static void child_main(const struct ktap_test *t, const char *row)
{
	sigset_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (t->fn)
		t->fn();
	else
		t->row_fn(row);
	ktap_end_now();
}

bool host_lacks(const char *what)
{
	const char *words = getenv("HOST_LACKS");
	size_t len = strlen(what);
	const char *at;

	for (at = words ? strstr(words, what) : NULL; at; at = strstr(at + 1, what)) {
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	}
	return false;
}

void host_needs(const char *what)
{
	static const struct { const char *what, *why; } reasons[] = {
		{ "svm-shutdown", "the emulator ends itself at a triple fault of a guest" },
		{ "svm-cr2", "the emulator's VMRUN does not load CR2" },
		{ "svm-dr6", "the emulator leaves DR6 alone at a #DB that is intercepted" },
		{ "vmx-interrupts",
		  "the emulator holds interrupts back from a guest that has masked them" },
		{ "vmx-virtual-if",
		  "the emulator gives virtual interrupts to a guest that has masked them" },
	};
	size_t i;

	if (!host_lacks(what))
		return;
	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (!strcmp(reasons[i].what, what))
			ktap_skip("%s", reasons[i].why);
	}
	ktap_fail(__FILE__, __LINE__, "no reason why a host lacks %s", what);
	ktap_end_now();
}

/* Run one test; @why gets the reason where it was killed or skipped. */
static int run_one(const struct ktap_test *t, const char *row, char *why,
		   size_t len)
{
	unsigned int limit = t->seconds ? t->seconds : DEFAULT_SECONDS;
	int status;
	pid_t pid;

	limit *= ktap_env("KTAP_SLOWER", 1);
	memset(verdict, 0, sizeof(*verdict));
	*why = '\0';
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		snprintf(why, len, "fork: %s", strerror(errno));
		return KSFT_FAIL;
	}
	if (!pid)
		child_main(t, row);
	if (wait_for(pid, limit, &status)) {
		snprintf(why, len, "no end after %u s, killed", limit);
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		if (wait_for(pid, REAP_SECONDS, &status))
			snprintf(why, len, "no end after %u s and not to be killed",
				 limit);
		return KSFT_FAIL;
	}
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status)) {
		snprintf(why, len, "died of signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
		return KSFT_FAIL;
	}
	if (WEXITSTATUS(status) == KSFT_SKIP)
		snprintf(why, len, "%s", verdict->skip);
	return WEXITSTATUS(status);
}

static int run_undoubted(const struct ktap_test *t, const char *row, char *why, size_t len)
{
	int tries = 1, ret;

	while ((ret = run_one(t, row, why, len)) == KSFT_FAIL && verdict->doubtful &&
	       tries++ < DOUBTFUL_TRIES)
		printf("# the emulator may have delivered an interrupt twice: again\n");
	return ret;
}

/* The name of row @i, or the test's own; static buffer. */
static const char *test_name(const struct ktap_test *t, const char *row)
{
	static char buf[300];

	if (t->fn)
		return t->name;
	snprintf(buf, sizeof(buf), "%s%s", t->name,
		 *(const char *const *)row);
	return buf;
}

/* With arguments, only tests are run whose name holds one of them. */
static bool wanted(const char *name, char **filters)
{
	if (!*filters)
		return true;
	for (; *filters; filters++)
		if (strstr(name, *filters))
			return true;
	return false;
}

/* Weak: a benchmark links the library too and has a main of its own. */
__attribute__((weak)) int main(int argc, char **argv)
{
	unsigned int nr = 0, done = 0, failed = 0, skipped = 0;
	const struct ktap_test *t;
	sigset_t set;
	char why[256];
	size_t i;

	(void)argc;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (verdict == MAP_FAILED) {
		puts("Bail out! no shared memory");
		return KSFT_FAIL;
	}
	for (t = __start_ktap_tests; t < __stop_ktap_tests; t++)
		for (i = 0; i < t->nr; i++)
			nr += wanted(test_name(t, (const char *)t->rows +
					       i * t->stride), argv + 1);
	printf("TAP version 13\n1..%u\n", nr);
	for (t = __start_ktap_tests; t < __stop_ktap_tests; t++) {
		for (i = 0; i < t->nr; i++) {
			const char *row = (const char *)t->rows + i * t->stride;
			const char *name = test_name(t, row);
			int ret;

			if (!wanted(name, argv + 1))
				continue;
			ret = run_undoubted(t, row, why, sizeof(why));
			done++;
			if (ret == KSFT_SKIP) {
				skipped++;
				printf("ok %u %s # SKIP %s\n", done, name, why);
				continue;
			}
			if (*why)
				printf("# %s\n", why);
			failed += ret != KSFT_PASS;
			printf("%s %u %s\n", ret ? "not ok" : "ok", done, name);
		}
	}
	printf("# pass:%u fail:%u skip:%u\n", done - failed - skipped, failed,
	       skipped);
	if (failed)
		return KSFT_FAIL;
	return skipped == done ? KSFT_SKIP : KSFT_PASS;
}
