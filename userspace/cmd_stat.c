// SPDX-License-Identifier: GPL-2.0-only
/* umbra stat, umbra top: a VM's figures, and who does most; once or again and again. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "exitcode.h"
#include "find.h"
#include "util.h"
#include "view.h"

static const char stat_help[] =
"Usage: umbra stat NAME [OPTION]...\n"
"Show a VM's figures: those of its own, and those of its vCPUs together.\n"
"\n"
"  NAME              the VM's, as `umbra list` shows it, a process number, or @ and the\n"
"                    number of `umbra top`\n"
"  --interval S      again every S seconds, with rates, until the VM ends\n"
"  --count N         N times, then end\n"
"  --vcpu N          of this vCPU only\n"
"  --json            a JSON object each time, one a line\n"
"  --help            this text\n";

static const char top_help[] =
"Usage: umbra top [OPTION]...\n"
"Show all VMs, those with most exits a second first, and what these are for.\n"
"\n"
"  --interval S      every S seconds (default 2)\n"
"  --count N         N times, then end\n"
"  --help            this text\n";

/* What both take. */
struct options {
	double interval;	/* seconds; 0: once */
	long count;		/* 0: for ever */
	int vcpu;		/* -1: all */
	bool as_json;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_for(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds };

	fflush(stdout);
	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
}

/* What is looked at, and how. */
struct watch {
	struct kernel k;
	const struct options *o;
	const char *arg;	/* stat's: the VM */
	json_t *vm;
	/* An exit code; nothing in *@found: that was the end, and no failure. */
	int (*look)(struct watch *w, bool first, json_t **found);
	/* The same; @before is NULL the first time. */
	int (*print)(const struct watch *w, const json_t *before, const json_t *found,
		     double seconds);
};

/* As often as was wanted. */
static int follow(struct watch *w)
{
	json_t *before = NULL, *found;
	int code = UMBRA_EXIT_OK;
	double at = 0, last;
	long i;

	for (i = 0; !code && (!w->o->count || i < w->o->count); i++) {
		if (i)
			wait_for(w->o->interval);
		found = NULL;
		code = w->look(w, !i, &found);
		if (code || !found)
			break;
		last = at;
		at = now();
		code = w->print(w, before, found, at - last);
		json_decref(before);
		before = found;
	}
	json_decref(before);
	return code;
}

/* ------------------------------ stat ------------------------------ */

static int look_at_one(struct watch *w, bool first, json_t **sum)
{
	struct umbra_err err;
	int ret = find_figures(&w->k, w->vm, w->o->vcpu, sum, &err);

	if (!ret || (ret == -ENOENT && !first))
		return UMBRA_EXIT_OK;
	if (ret != -EINVAL)
		return find_failure("stat", w->arg, ret, &err);
	complain("stat %s: %s", w->arg, err.text);
	return UMBRA_EXIT_USAGE;
}

static int print_stat(const struct watch *w, const json_t *before, const json_t *sum,
		      double seconds)
{
	if (!w->o->as_json) {
		if (before)
			putchar('\n');
		view_figures(stdout, before, sum, seconds);
		return UMBRA_EXIT_OK;
	}
	if (json_dumpf(sum, stdout, JSON_COMPACT))
		return UMBRA_EXIT_INTERNAL;
	return putchar('\n') == EOF ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
}

static int stat_vm(const char *arg, const struct options *o)
{
	struct watch w = { .o = o, .arg = arg, .look = look_at_one, .print = print_stat };
	struct umbra_err err;
	int ret = kernel_open(&w.k, &err);

	if (ret)
		return kernel_failure("stat", ret, &err);
	ret = find_vm(&w.k, arg, &w.vm, &err);
	ret = ret ? find_failure("stat", arg, ret, &err) : follow(&w);
	json_decref(w.vm);
	kernel_close(&w.k);
	return ret;
}

/* ------------------------------ top ------------------------------ */

/* All VMs and the sums of their figures: an array of {"vm","sum"}. */
static int look_at_all(struct watch *w, bool first, json_t **all)
{
	json_t *vms, *vm, *sum;
	struct umbra_err err;
	size_t i;
	int ret = kernel_dump(&w->k, UMBRA_NL_CMD_VM_GET, 0, &vms, &err);

	(void)first;
	if (ret)
		return kernel_failure("top", ret, &err);
	*all = json_array();
	json_array_foreach(vms, i, vm) {
		/* One that has just ended is not shown. */
		if (!find_figures(&w->k, vm, -1, &sum, &err))
			json_array_append_new(*all, json_pack("{s:O,s:o}", "vm", vm, "sum", sum));
	}
	json_decref(vms);
	return UMBRA_EXIT_OK;
}

/* What was seen of the same VM the last time; NULL: nothing. */
static const json_t *seen_before(const json_t *all, const json_t *vm)
{
	json_int_t id = json_integer_value(json_object_get(vm, "vm"));
	const json_t *one;
	size_t i;

	json_array_foreach(all, i, one) {
		if (json_integer_value(json_object_get(json_object_get(one, "vm"), "vm")) == id)
			return json_object_get(one, "sum");
	}
	return NULL;
}

static int print_top(const struct watch *w, const json_t *before, const json_t *all,
		     double seconds)
{
	size_t i, count = json_array_size(all);
	struct view_row *rows = calloc(count + 1, sizeof(rows[0]));

	(void)w;
	if (!rows) {
		complain("no memory");
		return UMBRA_EXIT_INTERNAL;
	}
	for (i = 0; i < count; i++) {
		const json_t *one = json_array_get(all, i);

		rows[i].vm = json_object_get(one, "vm");
		rows[i].now = json_object_get(one, "sum");
		rows[i].before = seen_before(before, rows[i].vm);
	}
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[J", stdout);
	else if (before)
		putchar('\n');
	view_top(stdout, rows, count, seconds);
	free(rows);
	return ferror(stdout) ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
}

static int top(const struct options *o)
{
	struct watch w = { .o = o, .look = look_at_all, .print = print_top };
	struct umbra_err err;
	int ret = kernel_open(&w.k, &err);

	if (ret)
		return kernel_failure("top", ret, &err);
	ret = follow(&w);
	kernel_close(&w.k);
	return ret;
}

/* ------------------------------ options ------------------------------ */

static int usage(const char *command, const char *why)
{
	complain("%s: %s; see umbra %s --help", command, why, command);
	return UMBRA_EXIT_USAGE;
}

/* Return: NULL, or what is wrong. */
static const char *take(struct options *o, int id, const char *arg)
{
	double number;

	switch (id) {
	case 'i':
		return parse_seconds(arg, &o->interval) ?
		       "--interval wants seconds, 0.1 to 86400" : NULL;
	case 'c':
		if (parse_seconds(arg, &number) || number < 1 || number != (double)(long)number)
			return "--count wants a number, 1 to 86400";
		o->count = (long)number;
		return NULL;
	default:
		if (strlen(arg) > 4 || !arg[0] || strspn(arg, "0123456789") != strlen(arg))
			return "--vcpu wants a number";
		o->vcpu = atoi(arg);
		return NULL;
	}
}

static int parse(struct options *o, int argc, char **argv, const struct option *options,
		 const char *help_text)
{
	const char *wrong;
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (id == 'h')
			return fputs(help_text, stdout) < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
		if (id == 'j') {
			o->as_json = true;
			continue;
		}
		wrong = id == ':' ? "an option's argument is missing" :
			id == '?' ? "unknown option" : take(o, id, optarg);
		if (wrong)
			return usage(argv[0], wrong);
	}
	return -1;
}

int cmd_stat(int argc, char **argv)
{
	static const struct option options[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'c' },
		{ "vcpu", required_argument, NULL, 'v' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .vcpu = -1 };
	int code = parse(&o, argc, argv, options, stat_help);

	if (code >= 0)
		return code;
	if (optind == argc)
		return usage("stat", "the VM's name is missing");
	if (optind + 1 < argc)
		return usage("stat", "one name only");
	if (!view_argument(argv[optind]))
		return usage("stat", "that is no name");
	if (o.count > 1 && o.interval <= 0)
		return usage("stat", "--count wants --interval too");
	if (o.interval <= 0)
		o.count = 1;
	return stat_vm(argv[optind], &o);
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .interval = 2, .vcpu = -1 };
	int code = parse(&o, argc, argv, options, top_help);

	if (code >= 0)
		return code;
	return optind < argc ? usage("top", "it takes no name") : top(&o);
}
