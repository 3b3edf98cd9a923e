// SPDX-License-Identifier: GPL-2.0-only
/* umbra list: the VMs that run, as a table or as JSON. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "exitcode.h"
#include "runtime.h"
#include "util.h"

/* A runner that was stopped itself must not hold the list up for long. */
#define PATIENCE_SECONDS	5

static const char help_text[] =
"Usage: umbra list [--json]\n"
"Show this user's VMs.\n"
"\n"
"  --json            as a JSON object: \"version\", and \"vms\", an array\n"
"  --help            this text\n";

static int usage(const char *arg)
{
	complain("%s: list takes --json and nothing else; see umbra list --help", arg);
	return UMBRA_EXIT_USAGE;
}

/* The VM's own account; of one that does not give any, its name. NULL: it has just ended. */
static json_t *ask(const char *dir, const char *name)
{
	struct umbra_err err;
	json_t *vm;
	int ret = client_ask(dir, name, "status", NULL, PATIENCE_SECONDS, NULL, &vm, &err);

	if (!ret)
		return vm;
	if (ret == -ENOENT)
		return NULL;
	return json_pack("{s:s,s:s}", "name", name, "state", "unresponsive");
}

static json_t *collect(const char *dir, struct umbra_err *err)
{
	json_t *vms = json_array();
	char **names;
	int i, count = runtime_names(dir, &names, err);

	for (i = 0; i < count; i++) {
		json_t *vm = ask(dir, names[i]);

		if (vm)
			json_array_append_new(vms, vm);
	}
	if (count >= 0) {
		runtime_free_names(names, count);
		return vms;
	}
	json_decref(vms);
	return NULL;
}

static const char *text_of(const json_t *vm, const char *key)
{
	const char *text = json_string_value(json_object_get(vm, key));

	return text ? text : "-";
}

static long long number_of(const json_t *vm, const char *key)
{
	return json_integer_value(json_object_get(vm, key));
}

static void print_table(const json_t *vms)
{
	size_t i;

	printf("%-20s %8s %-12s %5s %9s %s\n", "NAME", "PID", "STATE", "CPUS", "MEMORY", "DEVICE");
	for (i = 0; i < json_array_size(vms); i++) {
		const json_t *vm = json_array_get(vms, i);

		printf("%-20s %8lld %-12s %5lld %8lldM %s\n", text_of(vm, "name"),
		       number_of(vm, "pid"), text_of(vm, "state"), number_of(vm, "cpus"),
		       number_of(vm, "memory") >> 20, text_of(vm, "device"));
	}
}

/* The reference to @vms is taken. */
static int print_json(json_t *vms)
{
	json_t *root = json_pack("{s:i,s:o}", "version", MESSAGE_VERSION, "vms", vms);
	int ret = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;

	json_decref(root);
	putchar('\n');
	return ret ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
}

static int list(bool as_json)
{
	char dir[RUNTIME_PATH_MAX];
	struct umbra_err err;
	json_t *vms = NULL;

	if (!runtime_dir(dir, &err))
		vms = collect(dir, &err);
	if (!vms) {
		complain("%s", err.text);
		return UMBRA_EXIT_MISSING;
	}
	if (as_json)
		return print_json(vms);
	print_table(vms);
	json_decref(vms);
	return UMBRA_EXIT_OK;
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool as_json = false;
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == 'h')
			return fputs(help_text, stdout) < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
		if (id != 'j')
			return usage(argv[optind - 1]);
		as_json = true;
	}
	return optind < argc ? usage(argv[optind]) : list(as_json);
}
