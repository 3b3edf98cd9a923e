// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "view.h"

#define BAR	40

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* ------------------------------ which VM ------------------------------ */

static const char *process_label(const json_t *vm, char buf[VIEW_LABEL_MAX])
{
	const char *comm = text_of(vm, "comm");

	snprintf(buf, VIEW_LABEL_MAX, "%lld/%s", (long long)number_of(vm, "pid"), comm ? comm : "-");
	return buf;
}

const char *view_label(const json_t *vm, char buf[VIEW_LABEL_MAX])
{
	const char *name = text_of(vm, "name");

	if (!name)
		return process_label(vm, buf);
	snprintf(buf, VIEW_LABEL_MAX, "%s", name);
	return buf;
}

bool view_matches(const json_t *vm, const char *arg)
{
	const char *name = text_of(vm, "name");
	char text[VIEW_LABEL_MAX];

	if (arg[0] == '@') {
		snprintf(text, sizeof(text), "@%lld", (long long)number_of(vm, "vm"));
		return !strcmp(text, arg);
	}
	if (name && !strcmp(name, arg))
		return true;
	if (!strcmp(process_label(vm, text), arg))
		return true;
	snprintf(text, sizeof(text), "%lld", (long long)number_of(vm, "pid"));
	return !strcmp(text, arg);
}

bool view_argument(const char *arg)
{
	size_t digits;

	if (valid_name(arg))
		return true;
	arg += arg[0] == '@';
	digits = strspn(arg, "0123456789");
	return digits && (!arg[digits] || arg[digits] == '/');
}

/* ------------------------------ sums ------------------------------ */

static void add_counters(json_t *sum, json_t *counters)
{
	void *i;

	for (i = json_object_iter(counters); i; i = json_object_iter_next(counters, i)) {
		const char *key = json_object_iter_key(i);
		json_int_t value = json_integer_value(json_object_iter_value(i));

		json_object_set_new(sum, key, json_integer(number_of(sum, key) + value));
	}
}

static json_t *reason_in(json_t *exits, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach(exits, i, one) {
		if (text_of(one, "name") && !strcmp(text_of(one, "name"), name))
			return one;
	}
	one = json_pack("{s:s,s:i,s:i,s:[]}", "name", name, "count", 0, "ticks", 0, "buckets");
	json_array_append_new(exits, one);
	return one;
}

static void add_buckets(json_t *sum, const json_t *buckets)
{
	size_t i;

	while (json_array_size(sum) < json_array_size(buckets))
		json_array_append_new(sum, json_integer(0));
	for (i = 0; i < json_array_size(buckets); i++)
		json_array_set_new(sum, i, json_integer(
			json_integer_value(json_array_get(sum, i)) +
			json_integer_value(json_array_get(buckets, i))));
}

static void add_exits(json_t *sum, json_t *exits)
{
	json_t *one, *to;
	size_t i;

	json_array_foreach(exits, i, one) {
		if (!text_of(one, "name"))
			continue;
		to = reason_in(sum, text_of(one, "name"));
		json_object_set_new(to, "count", json_integer(number_of(to, "count") +
							      number_of(one, "count")));
		json_object_set_new(to, "ticks", json_integer(number_of(to, "ticks") +
							      number_of(one, "ticks")));
		add_buckets(json_object_get(to, "buckets"), json_object_get(one, "buckets"));
	}
}

json_t *view_sum(const json_t *figures, int vcpu)
{
	json_t *sum = json_pack("{s:i,s:{},s:[]}", "tsc_khz", 0, "counters", "exits"), *one;
	bool found = vcpu < 0;
	size_t i;

	json_array_foreach(figures, i, one) {
		bool of_vcpu = json_object_get(one, "vcpu");

		if (vcpu >= 0 && (!of_vcpu || number_of(one, "vcpu") != vcpu))
			continue;
		found = true;
		if (json_object_get(one, "tsc_khz"))
			json_object_set(sum, "tsc_khz", json_object_get(one, "tsc_khz"));
		add_counters(json_object_get(sum, "counters"), json_object_get(one, "counters"));
		add_exits(json_object_get(sum, "exits"), json_object_get(one, "exits"));
	}
	if (found)
		return sum;
	json_decref(sum);
	return NULL;
}

json_int_t view_exits(const json_t *sum)
{
	const json_t *exits = json_object_get(sum, "exits"), *one;
	json_int_t all = 0;
	size_t i;

	json_array_foreach(exits, i, one)
		all += number_of(one, "count");
	return all;
}

/* ------------------------------ events ------------------------------ */

/* What a line shows besides number, kind, VM and vCPU, where it is there. */
static const struct {
	const char *key, *label;
} details[] = {
	{ "pid", "process" }, { "uid", "user" }, { "state", "state" }, { "mmu", "mmu" },
	{ "old_mmu", "was" }, { "cpus", "cpus" }, { "tid", "thread" }, { "suberror", "suberror" },
	{ "quota", "quota" }, { "recycled", "recycled" },
};

static void print_value(FILE *out, const json_t *value)
{
	if (json_is_string(value))
		fputs(json_string_value(value), out);
	else
		fprintf(out, "%lld", (long long)json_integer_value(value));
}

void view_event(FILE *out, const json_t *event)
{
	const char *type = text_of(event, "type"), *name = text_of(event, "name");
	const json_t *value;
	size_t i;

	fprintf(out, "%8lld %-14s @%lld", (long long)number_of(event, "seq"), type ? type : "-",
		(long long)number_of(event, "vm"));
	if (name || text_of(event, "comm"))
		fprintf(out, " %s", name ? name : text_of(event, "comm"));
	value = json_object_get(event, "vcpu");
	if (value)
		fprintf(out, " vcpu %lld", (long long)json_integer_value(value));
	for (i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
		value = json_object_get(event, details[i].key);
		if (!value)
			continue;
		fprintf(out, " %s ", details[i].label);
		print_value(out, value);
	}
	value = json_object_get(event, "reason");
	if (value)
		fprintf(out, " reason 0x%llx", (unsigned long long)json_integer_value(value));
	if (text_of(event, "check"))
		fprintf(out, " (%s)", text_of(event, "check"));
	if (json_object_get(event, "exits"))
		fprintf(out, " exits %lld", (long long)view_exits(event));
	fputc('\n', out);
}

/* ------------------------------ figures ------------------------------ */

static double rate(json_int_t before, json_int_t now, double seconds)
{
	return seconds > 0 ? (double)(now - before) / seconds : 0;
}

static void print_figure(FILE *out, const char *name, const char *suffix, json_int_t before,
			 json_int_t now, double seconds)
{
	char whole[64];

	snprintf(whole, sizeof(whole), "%s%s", name, suffix);
	fprintf(out, "%-24s %16lld", whole, (long long)now);
	if (seconds > 0)
		fprintf(out, " %14.1f", rate(before, now, seconds));
	fputc('\n', out);
}

/* A reason's exits so far; those of one that was not there before are none. */
static json_int_t count_in(const json_t *sum, const char *name)
{
	const json_t *exits = json_object_get(sum, "exits"), *one;
	size_t i;

	json_array_foreach(exits, i, one) {
		if (text_of(one, "name") && !strcmp(text_of(one, "name"), name))
			return number_of(one, "count");
	}
	return 0;
}

void view_figures(FILE *out, const json_t *before, const json_t *now, double seconds)
{
	json_t *counters = json_object_get(now, "counters"), *exits = json_object_get(now, "exits");
	json_t *value;
	size_t i;
	void *at;

	if (!before)
		seconds = 0;
	fprintf(out, "%-24s %16s%s\n", "FIGURE", "TOTAL", seconds > 0 ? "     PER-SECOND" : "");
	for (at = json_object_iter(counters); at; at = json_object_iter_next(counters, at)) {
		const char *key = json_object_iter_key(at);

		print_figure(out, key, "", number_of(json_object_get(before, "counters"), key),
			     json_integer_value(json_object_iter_value(at)), seconds);
	}
	json_array_foreach(exits, i, value) {
		const char *name = text_of(value, "name");

		if (name)
			print_figure(out, name, "_exits", count_in(before, name),
				     number_of(value, "count"), seconds);
	}
}

/* ------------------------------ top ------------------------------ */

#define REASONS	3

static json_int_t new_exits(const struct view_row *row)
{
	return row->before ? view_exits(row->now) - view_exits(row->before) : 0;
}

static int by_exits(const void *a, const void *b)
{
	const struct view_row *x = a, *y = b;
	json_int_t m = new_exits(x), n = new_exits(y);

	if (m != n)
		return (m < n) - (m > n);
	return number_of(x->vm, "vm") < number_of(y->vm, "vm") ? -1 : 1;
}

/* The reasons that most exits of late were for. */
static void print_reasons(FILE *out, const struct view_row *row, double seconds)
{
	const json_t *exits = json_object_get(row->now, "exits"), *one, *best[REASONS] = { NULL };
	json_int_t most[REASONS] = { 0 };
	size_t i, j, k;

	json_array_foreach(exits, i, one) {
		const char *name = text_of(one, "name");
		json_int_t n = name ? number_of(one, "count") - count_in(row->before, name) : 0;

		for (j = 0; j < REASONS && n <= most[j]; j++)
			;
		for (k = REASONS - 1; j < REASONS && k > j; k--) {
			most[k] = most[k - 1];
			best[k] = best[k - 1];
		}
		if (j < REASONS) {
			most[j] = n;
			best[j] = one;
		}
	}
	for (i = 0; i < REASONS && best[i]; i++)
		fprintf(out, " %s:%.0f", text_of(best[i], "name"), rate(0, most[i], seconds));
}

void view_top(FILE *out, struct view_row *rows, size_t count, double seconds)
{
	char label[VIEW_LABEL_MAX];
	size_t i;

	qsort(rows, count, sizeof(rows[0]), by_exits);
	fprintf(out, "%6s %-20s %8s %-8s %5s %12s  %s\n", "VM", "NAME", "PID", "STATE", "CPUS",
		"EXITS/S", "MOST");
	for (i = 0; i < count; i++) {
		const json_t *vm = rows[i].vm;
		const char *state = text_of(vm, "state");

		fprintf(out, "%6lld %-20s %8lld %-8s %5lld %12.1f ", (long long)number_of(vm, "vm"),
			view_label(vm, label), (long long)number_of(vm, "pid"), state ? state : "-",
			(long long)number_of(vm, "cpus"),
			rate(0, new_exits(&rows[i]), seconds));
		if (rows[i].before)
			print_reasons(out, &rows[i], seconds);
		fputc('\n', out);
	}
}

/* ------------------------------ histograms ------------------------------ */

/* Ticks as a time, in the unit that leaves few digits. */
static void print_time(FILE *out, double ticks, double khz)
{
	double ns = khz > 0 ? ticks / khz * 1e6 : 0;

	if (ns < 1e3)
		fprintf(out, "%7.0f ns", ns);
	else if (ns < 1e6)
		fprintf(out, "%7.1f us", ns / 1e3);
	else if (ns < 1e9)
		fprintf(out, "%7.1f ms", ns / 1e6);
	else
		fprintf(out, "%7.1f s ", ns / 1e9);
}

static void print_bar(FILE *out, json_int_t count, json_int_t most)
{
	int i, len = (int)((double)count / (double)most * BAR + 0.5);

	fputc('|', out);
	for (i = 0; i < BAR; i++)
		fputc(i < len || (!i && count > 0) ? '#' : ' ', out);
	fputs("|\n", out);
}

void view_histogram(FILE *out, const json_t *buckets, double khz)
{
	size_t i, first, size = json_array_size(buckets);
	json_int_t count, most = 0;

	for (i = 0; i < size; i++) {
		count = json_integer_value(json_array_get(buckets, i));
		most = count > most ? count : most;
	}
	if (!most || size > 64)
		return;
	for (first = 0; json_integer_value(json_array_get(buckets, first)) <= 0; first++)
		;
	for (i = first; i < size; i++) {
		count = json_integer_value(json_array_get(buckets, i));
		print_time(out, i ? (double)(1ull << i) : 0, khz);
		fprintf(out, " %12lld ", (long long)count);
		print_bar(out, count > 0 ? count : 0, most);
	}
}
