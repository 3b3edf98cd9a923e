// SPDX-License-Identifier: GPL-2.0-only
/* umbra exec: a program written for KVM, with Umbra's device where it looks for KVM's. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "exitcode.h"
#include "lib/libumbra.h"
#include "machine.h"
#include "util.h"

#define KVM_NODE	"/dev/kvm"

static const char help_text[] =
"Usage: umbra exec [--dev PATH] -- CMD [ARG]...\n"
"Run CMD with Umbra's device on " KVM_NODE ", in a mount namespace of its own.\n"
"\n"
"  --dev PATH        the device (default " UMBRA_DEV_DEFAULT ")\n"
"  --help            this text\n"
"\n"
"The exit status is CMD's.\n";

static int usage(const char *what, const char *arg)
{
	complain("exec: %s%s; see umbra exec --help", what, arg);
	return UMBRA_EXIT_USAGE;
}

static int lacking(const char *what)
{
	int denied = errno == EPERM || errno == EACCES;

	complain("exec: %s: %s", what, strerror(errno));
	return denied ? UMBRA_EXIT_NOT_PERMITTED : UMBRA_EXIT_MISSING;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ok;

	if (fd < 0)
		return -1;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	return close(fd) || !ok ? -1 : 0;
}

/* Who may make no mount namespace may have a user namespace of his own, in which he may. */
static int own_user_namespace(void)
{
	char users[64], groups[64];

	snprintf(users, sizeof(users), "%u %u 1", geteuid(), geteuid());
	snprintf(groups, sizeof(groups), "%u %u 1", getegid(), getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -1;
	if (write_file("/proc/self/uid_map", users) || write_file("/proc/self/setgroups", "deny"))
		return -1;
	return write_file("/proc/self/gid_map", groups);
}

/* An exit code: 0 once @dev lies on KVM's node, for this process and its children only. */
static int take_place(const char *dev)
{
	struct stat st;

	if (stat(KVM_NODE, &st))
		return lacking("there is no " KVM_NODE " to put the device on (mknod " KVM_NODE
			       " c 10 232 makes one)");
	if (unshare(CLONE_NEWNS) && (errno != EPERM || own_user_namespace()))
		return lacking("no mount namespace can be made");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return lacking("the mounts cannot be made private");
	if (mount(dev, KVM_NODE, NULL, MS_BIND, NULL))
		return lacking("the device cannot be put on " KVM_NODE);
	return UMBRA_EXIT_OK;
}

/* An exit code: 0 when @dev makes VMs. */
static int try_device(const char *dev)
{
	struct judge_verdict verdict;
	struct judge_words words;
	struct umbra_vm vm;
	struct umbra_err err;
	char text[400];
	int ret = umbra_vm_open(&vm, dev, &err);

	if (!ret) {
		umbra_vm_close(&vm);
		return UMBRA_EXIT_OK;
	}
	machine_words(&words);
	verdict = judge_words(&words);
	ret = open_failure(dev, ret, err.text, &verdict, text, sizeof(text));
	complain("exec: %s", text);
	return ret;
}

int cmd_exec(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *dev = UMBRA_DEV_DEFAULT;
	int id, ret;

	opterr = 0;
	while ((id = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (id) {
		case 'd':
			dev = optarg;
			break;
		case 'h':
			return fputs(help_text, stdout) < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
		case ':':
			return usage("an argument is missing to ", argv[optind - 1]);
		default:
			return usage("unknown option ", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return usage("the command to run is missing", "");
	ret = try_device(dev);
	if (!ret)
		ret = take_place(dev);
	if (ret)
		return ret;
	execvp(argv[optind], argv + optind);
	return lacking(argv[optind]);
}
