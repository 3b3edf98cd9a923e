/* SPDX-License-Identifier: GPL-2.0-only */
/* The subcommands. Each returns an exit code. */
#ifndef UMBRA_COMMANDS_H
#define UMBRA_COMMANDS_H

/** cmd_run() - boot a guest. @argv[0] is "run". */
int cmd_run(int argc, char **argv);

/** cmd_check() - say what the machine has and lacks. @argv[0] is "check". */
int cmd_check(int argc, char **argv);

#endif
