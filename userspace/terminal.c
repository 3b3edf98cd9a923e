// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process has one controlling terminal, and a signal handler has no argument
 * to find a VM by: so this, unlike all else, is kept in file statics.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "terminal.h"

static volatile sig_atomic_t is_raw;
static int terminal_fd = -1;
static struct termios original;

void terminal_restore(void)
{
	if (!is_raw)
		return;
	is_raw = 0;
	tcsetattr(terminal_fd, TCSANOW, &original);
}

static void on_fatal(int sig)
{
	terminal_restore();
	/* SA_RESETHAND has put the default back: this ends the process. */
	raise(sig);
}

static void install_handlers(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction sa = { .sa_handler = on_fatal, .sa_flags = SA_RESETHAND };
	size_t i;

	for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &sa, NULL);
	atexit(terminal_restore);
}

int terminal_make_raw(int fd, const struct termios *saved, struct umbra_err *err)
{
	struct termios t = *saved;

	if (terminal_fd < 0)
		install_handlers();
	terminal_fd = fd;
	original = *saved;
	cfmakeraw(&t);
	is_raw = 1;
	if (!tcsetattr(fd, TCSANOW, &t))
		return 0;
	return umbra_fail(err, -errno, "terminal: %s", strerror(errno));
}
