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
#include "histogram.h"
#include "runtime.h"
#include "util.h"

#define PATIENCE_SECONDS	60

static const char help_text[] =
"Usage: umbra exits NAME [OPTION]...\n"
"Show what a VM's exits were for, and how long its guest stood still for them.\n"
"\n"
"  NAME              the VM's, as `umbra list` shows it\n"
"  --vcpu N          of this vCPU only, counted from 0\n"
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

static int print_table(const json_t *result)
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
	for (i = 0; i < count; i++)
		print_reason(sorted[i], khz > 0 ? khz : 1);
	free(sorted);
	return UMBRA_EXIT_OK;
}

static int exits(const char *name, json_t *args, bool as_json)
{
	char dir[RUNTIME_PATH_MAX];
	struct umbra_err err;
	json_t *result;
	int ret;

	if (runtime_dir(dir, &err)) {
		complain("exits %s: %s", name, err.text);
		json_decref(args);
		return UMBRA_EXIT_MISSING;
	}
	ret = client_ask(dir, name, "exits", args, PATIENCE_SECONDS, NULL, &result, &err);
	if (ret)
		return client_failure("exits", name, ret, &err);
	if (as_json) {
		ret = json_dumpf(result, stdout, JSON_INDENT(2)) ? UMBRA_EXIT_INTERNAL :
								   UMBRA_EXIT_OK;
		putchar('\n');
	} else {
		ret = print_table(result);
	}
	json_decref(result);
	return ret;
}

int cmd_exits(int argc, char **argv)
{
	static const struct option options[] = {
		{ "vcpu", required_argument, NULL, 'v' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *vcpu = NULL;
	bool as_json = false;
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
	if (!valid_name(argv[optind]))
		return usage("that is no name");
	return exits(argv[optind], vcpu ? json_pack("{s:i}", "vcpu", atoi(vcpu)) : NULL, as_json);
}
