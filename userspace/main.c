// SPDX-License-Identifier: GPL-2.0-only
/* umbra: one program, a table of subcommands. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "exitcode.h"
#include "util.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", cmd_run, "boot a Linux guest" },
	{ "exec", cmd_exec, "run a program written for KVM, QEMU for example, on Umbra" },
	{ "check", cmd_check, "say what this machine has and lacks for running guests" },
	{ "list", cmd_list, "show the VMs that run" },
	{ "pause", cmd_verb, "stop a VM's CPUs" },
	{ "resume", cmd_verb, "let them go on" },
	{ "stop", cmd_verb, "end a VM" },
	{ "monitor", cmd_monitor, "show what happens to VMs" },
	{ "stat", cmd_stat, "show a VM's figures" },
	{ "top", cmd_top, "show which VMs do most" },
	{ "exits", cmd_exits, "show what a VM's exits were for, and their time" },
	{ "report", cmd_report, "draw a page of what was measured" },
	{ "mmu", cmd_mmu, "show or change how a VM's memory is virtualized" },
};

#define COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static int help(void)
{
	size_t i;

	printf("Usage: umbra COMMAND [OPTION]...\n\nCommands:\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-8s%s\n", commands[i].name, commands[i].help);
	printf("\n`umbra COMMAND --help` tells its options; umbra(1) tells the exit codes.\n");
	return UMBRA_EXIT_OK;
}

/*
 * A descriptor from 0 to 2 that came closed would be given to the next file
 * opened, a device perhaps, and then printed to.
 */
static int open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -1;
	return close(fd);
}

int main(int argc, char **argv)
{
	size_t i;

	if (open_standard())
		return UMBRA_EXIT_INTERNAL;
	if (argc < 2) {
		complain("a command is missing; see umbra --help");
		return UMBRA_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help();
	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	complain("unknown command %s; see umbra --help", argv[1]);
	return UMBRA_EXIT_USAGE;
}
