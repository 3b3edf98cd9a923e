// SPDX-License-Identifier: GPL-2.0-only
/* umbra monitor: what happens to VMs, as it happens. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "commands.h"
#include "exitcode.h"
#include "kernel.h"
#include "monitor.h"
#include "util.h"
#include "view.h"

static const char help_text[] =
"Usage: umbra monitor [OPTION]...\n"
"Show what happens to VMs, first those that there are. Wants root (CAP_NET_ADMIN).\n"
"\n"
"  --json            a JSON object a line\n"
"  --stats           each VM's figures too, as the kernel gives them now and then\n"
"  --help            this text\n";

static int usage(const char *arg)
{
	complain("monitor: %s: unknown; see umbra monitor --help", arg);
	return UMBRA_EXIT_USAGE;
}

/* One line at once, so that a reader never sees half of it. Return: an exit code. */
static int print(const json_t *object, bool as_json)
{
	int ret = 0;

	if (as_json) {
		ret = json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		view_event(stdout, object);
	}
	return ret || fflush(stdout) ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
}

static int print_known(struct kernel *k, bool as_json)
{
	struct umbra_err err;
	json_t *vms, *vm;
	int ret = kernel_dump(k, UMBRA_NL_CMD_VM_GET, 0, &vms, &err);
	size_t i;

	if (ret)
		return kernel_failure("monitor", ret, &err);
	json_array_foreach(vms, i, vm) {
		ret = print(vm, as_json);
		if (ret)
			break;
	}
	json_decref(vms);
	return ret;
}

static int print_gap(json_int_t missing, bool as_json)
{
	json_t *gap = json_pack("{s:s,s:I}", "type", "gap", "missing", missing);
	int ret = UMBRA_EXIT_OK;

	if (as_json)
		ret = print(gap, true);
	else if (printf("%8s %-14s %lld events\n", "-", "gap", (long long)missing) < 0)
		ret = UMBRA_EXIT_INTERNAL;
	json_decref(gap);
	return ret;
}

/* For ever, or until nobody reads. */
static int follow(struct kernel *k, bool as_json)
{
	struct monitor_place place = { .seq = 0 };
	struct umbra_err err;
	json_int_t missing;
	json_t *event;
	int ret;

	for (;;) {
		ret = kernel_next(k, &event, &err);
		if (ret == -ENOBUFS)
			continue;	/* the next number says how many */
		if (ret)
			return kernel_failure("monitor", ret, &err);
		missing = monitor_missing(&place, event);
		ret = missing ? print_gap(missing, as_json) : 0;
		if (!ret)
			ret = print(event, as_json);
		json_decref(event);
		if (ret)
			return ret;
	}
}

static int monitor(bool as_json, bool stats)
{
	struct kernel events, asker;
	struct umbra_err err;
	int ret = kernel_open(&events, &err);

	if (ret)
		return kernel_failure("monitor", ret, &err);
	/* First this, so that nothing happens unseen between the two. */
	ret = kernel_join(&events, UMBRA_NL_GROUP_EVENTS, &err);
	if (!ret && stats)
		ret = kernel_join(&events, UMBRA_NL_GROUP_STATS, &err);
	if (!ret)
		ret = kernel_open(&asker, &err);
	if (ret) {
		kernel_close(&events);
		return kernel_failure("monitor", ret, &err);
	}
	ret = print_known(&asker, as_json);
	kernel_close(&asker);
	if (!ret)
		ret = follow(&events, as_json);
	kernel_close(&events);
	return ret;
}

int cmd_monitor(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "stats", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool as_json = false, stats = false;
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == 'h')
			return fputs(help_text, stdout) < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
		if (id == '?')
			return usage(argv[optind - 1]);
		as_json |= id == 'j';
		stats |= id == 's';
	}
	return optind < argc ? usage(argv[optind]) : monitor(as_json, stats);
}
