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
#include "kernel.h"
#include "runtime.h"
#include "util.h"
#include "view.h"

/* A runner that was stopped itself must not hold the list up for long. */
#define PATIENCE_SECONDS	5

static const char help_text[] =
"Usage: umbra list [--json]\n"
"Show this user's VMs, of whatever program; root's list has everybody's.\n"
"\n"
"  --json            as a JSON object: \"version\", and \"vms\", an array\n"
"  --help            this text\n";

static int usage(const char *arg)
{
	complain("%s: list takes --json and nothing else; see umbra list --help", arg);
	return UMBRA_EXIT_USAGE;
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

/* What the kernel says of a VM that its runner has told of itself. */
static void merge(json_t *vm, const json_t *known)
{
	static const char *const more[] = { "vm", "uid", "comm", "mmu" };
	size_t i;

	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		json_object_set(vm, more[i], json_object_get(known, more[i]));
}

static bool is_same(const json_t *vm, const json_t *known)
{
	const char *name = text_of(known, "name");

	return number_of(vm, "pid") == number_of(known, "pid") && !strcmp(name, text_of(vm, "name"));
}

/* A VM of some other program, or of another user's runner. */
static void add_other(json_t *vms, json_t *known)
{
	char label[VIEW_LABEL_MAX];

	json_object_set_new(known, "name", json_string(view_label(known, label)));
	json_object_set_new(known, "device", json_string(UMBRA_DEV_DEFAULT));
	json_object_del(known, "type");
	json_array_append(vms, known);
}

/* All that the kernel knows of besides; without the module, or on stock KVM, nothing. */
static void add_known(json_t *vms)
{
	size_t runners = json_array_size(vms), i, j;
	struct umbra_err err;
	struct kernel k;
	json_t *known, *one;

	if (kernel_open(&k, &err))
		return;
	if (!kernel_dump(&k, UMBRA_NL_CMD_VM_GET, 0, &known, &err)) {
		json_array_foreach(known, i, one) {
			for (j = 0; j < runners && !is_same(json_array_get(vms, j), one); j++)
				;
			if (j < runners)
				merge(json_array_get(vms, j), one);
			else
				add_other(vms, one);
		}
		json_decref(known);
	}
	kernel_close(&k);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(text_of(*(json_t *const *)a, "name"), text_of(*(json_t *const *)b, "name"));
}

/* The reference is taken; NULL: no memory. */
static json_t *sort(json_t *vms)
{
	size_t i, count = json_array_size(vms);
	json_t **order = calloc(count + 1, sizeof(order[0])), *sorted = json_array();

	for (i = 0; order && i < count; i++)
		order[i] = json_array_get(vms, i);
	if (order)
		qsort(order, count, sizeof(order[0]), by_name);
	for (i = 0; order && i < count; i++)
		json_array_append(sorted, order[i]);
	if (!order) {
		json_decref(sorted);
		sorted = NULL;
	}
	free(order);
	json_decref(vms);
	return sorted;
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
	add_known(vms);
	vms = sort(vms);
	if (!vms) {
		complain("no memory");
		return UMBRA_EXIT_INTERNAL;
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
