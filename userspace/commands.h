/* SPDX-License-Identifier: GPL-2.0-only */
/* The subcommands. Each returns an exit code. */
#ifndef UMBRA_COMMANDS_H
#define UMBRA_COMMANDS_H

/** cmd_run() - boot a guest. @argv[0] is "run". */
int cmd_run(int argc, char **argv);

/** cmd_check() - say what the machine has and lacks. @argv[0] is "check". */
int cmd_check(int argc, char **argv);

/** cmd_list() - the VMs that run. @argv[0] is "list". */
int cmd_list(int argc, char **argv);

/** cmd_verb() - ask one VM for something; @argv[0] is "pause", "resume" or "stop". */
int cmd_verb(int argc, char **argv);

/** cmd_monitor() - what happens to VMs. @argv[0] is "monitor". */
int cmd_monitor(int argc, char **argv);

/** cmd_stat() - one VM's figures. @argv[0] is "stat". */
int cmd_stat(int argc, char **argv);

/** cmd_top() - which VMs do most. @argv[0] is "top". */
int cmd_top(int argc, char **argv);

/** cmd_exits() - what one VM's exits were for. @argv[0] is "exits". */
int cmd_exits(int argc, char **argv);

/** cmd_mmu() - how one VM's memory is virtualized. @argv[0] is "mmu". */
int cmd_mmu(int argc, char **argv);

/** cmd_report() - a page of what was measured. @argv[0] is "report". */
int cmd_report(int argc, char **argv);

/** cmd_exec() - run a program with our device as KVM's. @argv[0] is "exec". */
int cmd_exec(int argc, char **argv);

#endif
