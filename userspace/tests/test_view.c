// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel tells, as text: labels, sums, events, tables, histograms, gaps. */
#include <stdlib.h>
#include <string.h>

#include "../monitor.h"
#include "../view.h"
#include "tap.h"

static json_t *parse(const char *text)
{
	return json_loads(text, 0, NULL);
}

static void is(struct tap *tap, char *got, const char *want, const char *what)
{
	tap_ok(tap, !strcmp(got, want), "%s", what);
	if (strcmp(got, want))
		printf("# got: %s\n", got);
	free(got);
}

static const struct {
	const char *vm, *arg;
	bool match;
} matches[] = {
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\",\"name\":\"one\"}", "one", true },
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\",\"name\":\"one\"}", "77", true },
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\",\"name\":\"one\"}", "@4", true },
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\",\"name\":\"one\"}", "77/qemu", true },
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\",\"name\":\"one\"}", "on", false },
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\",\"name\":\"one\"}", "4", false },
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\",\"name\":\"one\"}", "@77", false },
	{ "{\"vm\":4,\"pid\":77,\"comm\":\"qemu\"}", "77/qemu", true },
	{ "{\"vm\":4,\"pid\":77}", "qemu", false },
	{ "{}", "@4", false },
};

static void labels(struct tap *tap)
{
	static const char *const good[] = { "one", "12", "@3", "12/qemu-system-x86" };
	static const char *const bad[] = { "", "@", "@x", "/x", "-x", "12;", "a b" };
	char buf[VIEW_LABEL_MAX];
	json_t *vm;
	size_t i;

	for (i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		vm = parse(matches[i].vm);
		tap_ok(tap, view_matches(vm, matches[i].arg) == matches[i].match, "%s %s %s",
		       matches[i].arg, matches[i].match ? "means" : "does not mean", matches[i].vm);
		json_decref(vm);
	}
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		tap_ok(tap, view_argument(good[i]), "%s can mean a VM", good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		tap_ok(tap, !view_argument(bad[i]), "'%s' cannot", bad[i]);
	vm = parse("{\"pid\":9,\"comm\":\"x\"}");
	tap_ok(tap, !strcmp(view_label(vm, buf), "9/x"), "a VM without name is called by its process");
	json_decref(vm);
}

static json_t *figures(void)
{
	return parse("[{\"vm\":1,\"counters\":{\"vcpus\":2}},"
		     "{\"vm\":1,\"vcpu\":0,\"tsc_khz\":1000,\"counters\":{\"runs\":3},"
		     "\"exits\":[{\"name\":\"io\",\"count\":2,\"ticks\":9,\"buckets\":[0,2]}]},"
		     "{\"vm\":1,\"vcpu\":5,\"tsc_khz\":1000,\"counters\":{\"runs\":4},"
		     "\"exits\":[{\"name\":\"io\",\"count\":1,\"ticks\":1,\"buckets\":[1]},"
		     "{\"name\":\"hlt\",\"count\":7,\"ticks\":70,\"buckets\":[0,0,7]}]}]");
}

static char *dump(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : strdup("none");

	json_decref(object);
	return text;
}

static void sums(struct tap *tap)
{
	json_t *all = figures();

	is(tap, dump(view_sum(all, -1)), "{\"tsc_khz\":1000,\"counters\":{\"vcpus\":2,\"runs\":7},"
	   "\"exits\":[{\"name\":\"io\",\"count\":3,\"ticks\":10,\"buckets\":[1,2]},"
	   "{\"name\":\"hlt\",\"count\":7,\"ticks\":70,\"buckets\":[0,0,7]}]}", "the sum of a VM");
	is(tap, dump(view_sum(all, 0)), "{\"tsc_khz\":1000,\"counters\":{\"runs\":3},"
	   "\"exits\":[{\"name\":\"io\",\"count\":2,\"ticks\":9,\"buckets\":[0,2]}]}", "one vCPU's");
	is(tap, dump(view_sum(all, 1)), "none", "of a vCPU that there is not");
	json_decref(all);
	all = parse("[{\"exits\":[{},{\"name\":\"x\"}]}]");
	is(tap, dump(view_sum(all, -1)), "{\"tsc_khz\":0,\"counters\":{},"
	   "\"exits\":[{\"name\":\"x\",\"count\":0,\"ticks\":0,\"buckets\":[]}]}", "of odd figures");
	json_decref(all);
}

static char *event_text(const char *json)
{
	json_t *event = parse(json);
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	view_event(f, event);
	fclose(f);
	json_decref(event);
	return text;
}

static void events(struct tap *tap)
{
	is(tap, event_text("{\"type\":\"vm-new\",\"seq\":12,\"lost\":0,\"vm\":3,\"pid\":7,"
			   "\"comm\":\"qemu\",\"state\":\"new\",\"mmu\":\"hardware\",\"cpus\":0}"),
	   "      12 vm-new         @3 qemu process 7 state new mmu hardware cpus 0\n", "a new VM");
	is(tap, event_text("{\"type\":\"entry-failed\",\"seq\":1,\"vm\":3,\"name\":\"one\",\"vcpu\":0,"
			   "\"reason\":2147483681,\"check\":\"CS: type\"}"),
	   "       1 entry-failed   @3 one vcpu 0 reason 0x80000021 (CS: type)\n", "a failed entry");
	is(tap, event_text("{\"type\":\"stats\",\"seq\":2,\"vm\":3,\"exits\":"
			   "[{\"name\":\"io\",\"count\":5},{\"name\":\"hlt\",\"count\":2}]}"),
	   "       2 stats          @3 exits 7\n", "a sample");
	is(tap, event_text("{}"), "       0 -              @0\n", "nothing at all");
}

static void gaps(struct tap *tap)
{
	static const struct {
		const char *event, *what;
		json_int_t missing;
	} rows[] = {
		{ "{\"seq\":10,\"lost\":4}", "the first one", 0 },
		{ "{\"seq\":11,\"lost\":4}", "the next one", 0 },
		{ "{\"seq\":15,\"lost\":4}", "a jump", 3 },
		{ "{\"seq\":2}", "a sample between", 0 },
		{ "{\"seq\":16,\"lost\":9}", "what was sent to nobody", 5 },
		{ "{\"seq\":18,\"lost\":10}", "both", 2 },
	};
	struct monitor_place place = { .seq = 0 };
	json_t *event;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		event = parse(rows[i].event);
		tap_ok(tap, monitor_missing(&place, event) == rows[i].missing, "missing: %s",
		       rows[i].what);
		json_decref(event);
	}
}

static void tables(struct tap *tap)
{
	json_t *all = figures(), *now = view_sum(all, -1), *before = view_sum(all, 0);
	json_t *vm = parse("{\"vm\":1,\"pid\":7,\"comm\":\"qemu\",\"state\":\"running\",\"cpus\":2}");
	json_t *other = parse("{\"vm\":2,\"pid\":8,\"comm\":\"x\",\"name\":\"two\"}");
	struct view_row rows[] = {
		{ .vm = other, .now = before, .before = before },
		{ .vm = vm, .now = now, .before = before },
	};
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	view_figures(f, before, now, 2);
	fclose(f);
	is(tap, text, "FIGURE                              TOTAL     PER-SECOND\n"
	   "vcpus                                   2            1.0\n"
	   "runs                                    7            2.0\n"
	   "io_exits                                3            0.5\n"
	   "hlt_exits                               7            3.5\n", "figures with rates");
	f = open_memstream(&text, &size);
	view_figures(f, NULL, before, 2);
	fclose(f);
	is(tap, text, "FIGURE                              TOTAL\n"
	   "runs                                    3\n"
	   "io_exits                                2\n", "figures without");
	f = open_memstream(&text, &size);
	view_top(f, rows, 2, 2);
	fclose(f);
	is(tap, text,
	   "    VM NAME                      PID STATE     CPUS      EXITS/S  MOST\n"
	   "     1 7/qemu                      7 running      2          4.0  hlt:4 io:0\n"
	   "     2 two                         8 -            0          0.0 \n", "top");
	json_decref(vm);
	json_decref(other);
	json_decref(now);
	json_decref(before);
	json_decref(all);
}

static char *histogram_text(const char *json, double khz)
{
	json_t *buckets = parse(json);
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	view_histogram(f, buckets, khz);
	fclose(f);
	json_decref(buckets);
	return text;
}

static void histograms(struct tap *tap)
{
	is(tap, histogram_text("[0,0,1,4]", 1e6),
	   "      4 ns            1 |##########                              |\n"
	   "      8 ns            4 |########################################|\n", "a histogram");
	is(tap, histogram_text("[0,0,0]", 1e6), "", "of nothing");
	is(tap, histogram_text("[]", 1e6), "", "without buckets");
	is(tap, histogram_text("[1,1000]", 0.001),
	   "      0 ns            1 |#                                       |\n"
	   "    2.0 s          1000 |########################################|\n", "little is seen too");
}

int main(void)
{
	struct tap tap = { 0 };

	labels(&tap);
	sums(&tap);
	events(&tap);
	gaps(&tap);
	tables(&tap);
	histograms(&tap);
	return tap_done(&tap);
}
