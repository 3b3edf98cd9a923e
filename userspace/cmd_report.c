// SPDX-License-Identifier: GPL-2.0-only
/* umbra report: figures become a page. The program that makes it stands beside this one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "exitcode.h"
#include "util.h"

#define PROGRAM	"umbra-report"

int cmd_report(int argc, char **argv)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(PROGRAM));
	char *name;

	(void)argc;
	if (n <= 0) {
		complain("report: /proc/self/exe: %s", strerror(errno));
		return UMBRA_EXIT_INTERNAL;
	}
	path[n] = '\0';
	name = strrchr(path, '/') + 1;
	strcpy(name, PROGRAM);
	execv(path, argv);
	complain("report: %s: %s; it is built beside umbra, and wants python3", path,
		 strerror(errno));
	return UMBRA_EXIT_MISSING;
}
