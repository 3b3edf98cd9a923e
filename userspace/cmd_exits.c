// SPDX-License-Identifier: GPL-2.0-only
/* umbra exits: what a VM's exits were for and how long they took. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "exitcode.h"
#include "find.h"
#include "histogram.h"
#include "runtime.h"
#include "util.h"
#include "view.h"

#define PATIENCE_SECONDS	60

static const char help_text[] =
"Usage: umbra exits NAME [OPTION]...\n"
"Show what a VM's exits were for, and how long its guest stood still for them.\n"
"\n"
"  NAME              the VM's, as `umbra list` shows it, a process number, or @ and the\n"
"                    number of `umbra top`\n"
"  --vcpu N          of this vCPU only, counted from 0\n"
"  --histogram       how many exits took how long, drawn\n"
"  --json            as a JSON object, with the histograms\n"
"  --help            this text\n";

static int usage(const char *why)
{
	complain("exits: %s; see umbra exits --help", why);
	return UMBRA_EXIT_USAGE;
}

/* Those that cost most come first. */
static int by_ticks(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "ticks"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "ticks"));

	return (x < y) - (x > y);
}

static void print_reason(const json_t *reason, double khz)
{
	const char *name = json_string_value(json_object_get(reason, "name"));
	double count = (double)json_integer_value(json_object_get(reason, "count"));
	double ticks = (double)json_integer_value(json_object_get(reason, "ticks"));
	double median = histogram_median(json_object_get(reason, "buckets"));

	printf("%-16s %12.0f %14.3f %12.3f %12.3f\n", name ? name : "-", count, ticks / khz,
	       count > 0 ? ticks / count / khz * 1000 : 0, median / khz * 1000);
}

static int print_table(const json_t *result, bool histogram)
{
	const json_t *reasons = json_object_get(result, "reasons");
	double khz = (double)json_integer_value(json_object_get(result, "tsc_khz"));
	size_t i, count = json_array_size(reasons);
	json_t **sorted = calloc(count + 1, sizeof(sorted[0]));

	if (!sorted) {
		complain("no memory");
		return UMBRA_EXIT_INTERNAL;
	}
	for (i = 0; i < count; i++)
		sorted[i] = json_array_get(reasons, i);
	qsort(sorted, count, sizeof(sorted[0]), by_ticks);
	printf("%-16s %12s %14s %12s %12s\n", "REASON", "COUNT", "TOTAL-MS", "MEAN-US",
	       "MEDIAN-US");
	for (i = 0; i < count; i++) {
		print_reason(sorted[i], khz > 0 ? khz : 1);
		if (histogram)
			view_histogram(stdout, json_object_get(sorted[i], "buckets"), khz);
	}
	free(sorted);
	return UMBRA_EXIT_OK;
}

/* What a runner would answer, of a VM that has none that we may ask. */
static int ask_kernel(const char *name, int vcpu, json_t **result, struct umbra_err *err)
{
	json_t *vm, *sum;
	struct kernel k;
	int ret = kernel_open(&k, err);

	if (ret)
		return ret;
	ret = find_vm(&k, name, &vm, err);
	if (!ret)
		ret = find_figures(&k, vm, vcpu, &sum, err);
	if (!ret) {
		*result = json_pack("{s:O,s:O}", "tsc_khz", json_object_get(sum, "tsc_khz"),
				    "reasons", json_object_get(sum, "exits"));
		json_decref(sum);
	}
	json_decref(vm);
	kernel_close(&k);
	return ret;
}

static int ask_runner(const char *name, int vcpu, json_t **result, struct umbra_err *err)
{
	json_t *args = vcpu < 0 ? NULL : json_pack("{s:i}", "vcpu", vcpu);
	char dir[RUNTIME_PATH_MAX];
	int ret = runtime_dir(dir, err);

	if (!ret)
		return client_ask(dir, name, "exits", args, PATIENCE_SECONDS, NULL, result, err);
	json_decref(args);
	return -ENOENT;
}

/* By the kernel, of any program's VM. On stock KVM its runner says why there are none. */
static int exits(const char *name, int vcpu, bool as_json, bool histogram)
{
	struct umbra_err err, runners;
	json_t *result = NULL;
	int ret = ask_kernel(name, vcpu, &result, &err), r = -ENOENT;

	/* Of several with one name this user's own runner is meant. */
	if ((ret == -ENOENT || ret == -EEXIST) && valid_name(name))
		r = ask_runner(name, vcpu, &result, &runners);
	if (r && r != -ENOENT)
		return client_failure("exits", name, r, &runners);
	if (ret == -EINVAL)
		return client_failure("exits", name, ret, &err);
	if (ret && r)
		return find_failure("exits", name, ret, &err);
	if (as_json) {
		ret = json_dumpf(result, stdout, JSON_INDENT(2)) ? UMBRA_EXIT_INTERNAL :
								   UMBRA_EXIT_OK;
		putchar('\n');
	} else {
		ret = print_table(result, histogram);
	}
	json_decref(result);
	return ret;
}

int cmd_exits(int argc, char **argv)
{
	static const struct option options[] = {
		{ "vcpu", required_argument, NULL, 'v' },
		{ "histogram", no_argument, NULL, 'g' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *vcpu = NULL;
	bool as_json = false, histogram = false;
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (id) {
		case 'v':
			if (!optarg[0] || strlen(optarg) > 4 ||
			    strspn(optarg, "0123456789") != strlen(optarg))
				return usage("--vcpu wants a number");
			vcpu = optarg;
			break;
		case 'j':
			as_json = true;
			break;
		case 'g':
			histogram = true;
			break;
		case 'h':
			return fputs(help_text, stdout) < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
		case ':':
			return usage("--vcpu wants an argument");
		default:
			return usage("unknown option");
		}
	}
	if (optind == argc)
		return usage("the VM's name is missing");
	if (optind + 1 < argc)
		return usage("one name only");
	if (!view_argument(argv[optind]))
		return usage("that is no name");
	return exits(argv[optind], vcpu ? atoi(vcpu) : -1, as_json, histogram);
}
