/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel tells, as text for people. All of it is of JSON objects as
 * nlmsg_object() makes them; what they lack is shown as "-" or 0.
 */
#ifndef UMBRA_VIEW_H
#define UMBRA_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define VIEW_LABEL_MAX	96

/** view_label() - what to call a VM: its name, or process and command as PID/COMM. */
const char *view_label(const json_t *vm, char buf[VIEW_LABEL_MAX]);

/**
 * view_matches() - does @arg mean this VM?
 * @arg: a name, a process number, PID/COMM as view_label() gives it, or @ and the VM's
 *	number
 */
bool view_matches(const json_t *vm, const char *arg);

/** view_argument() - can @arg mean a VM at all? */
bool view_argument(const char *arg);

/**
 * view_sum() - figures of one VM in one object
 * @figures: an array of "figures": the VM's own, and those of its vCPUs
 * @vcpu: of this vCPU only; less than 0: of all together
 *
 * Return: "counters" and "exits", summed, and "tsc_khz"; NULL: no such vCPU, or no memory.
 */
json_t *view_sum(const json_t *figures, int vcpu);

/** view_exits() - how many exits there were, for all reasons together; of a view_sum(). */
json_int_t view_exits(const json_t *sum);

/** view_event() - an event, or a sample, as a line. */
void view_event(FILE *out, const json_t *event);

/**
 * view_figures() - figures as a table: total, and how many a second
 * @before: the view_sum() of @seconds ago; NULL: totals alone
 */
void view_figures(FILE *out, const json_t *before, const json_t *now, double seconds);

/* A VM in the table of `umbra top`. */
struct view_row {
	const json_t *vm;
	const json_t *before, *now;	/* view_sum()s; @before may be NULL */
};

/** view_top() - who exits most comes first; @rows are sorted in place. */
void view_top(FILE *out, struct view_row *rows, size_t count, double seconds);

/**
 * view_histogram() - a histogram by powers of two, a bucket a line
 * @buckets: as histogram_median() takes them
 * @khz: the ticks of a millisecond
 */
void view_histogram(FILE *out, const json_t *buckets, double khz);

#endif
