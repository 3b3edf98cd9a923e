/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's trace of the module's events, in an instance of its own. */
#ifndef SELFTESTS_TRACEFS_H
#define SELFTESTS_TRACEFS_H

#include <stdbool.h>
#include <stdint.h>

#define TRACEFS		"/sys/kernel/tracing"

/* An instance with a buffer of so many KiB for each CPU: @event of the module's, or all for "". */
struct trace_ring {
	const char *name;
	const char *event;
	unsigned int kib;
};

/* Of how many events it was told, and how many of those it has no more or never had. */
struct trace_lost {
	uint64_t kept, lost;
};

void trace_ring_start(const struct trace_ring *ring);
/* Switch it off, count, and remove it. */
struct trace_lost trace_ring_end(const struct trace_ring *ring);

/*
 * Begin to trace the events of events/umbra/, and throw away what a test before left. They
 * are switched on once for all tests of a program, which takes a debug kernel seconds.
 * Skips the test where the kernel has no trace.
 */
void trace_start(void);
/* Record no more; what was traced stays. */
void trace_stop(void);
/* Switch the events off. */
void trace_off(void);
/* How many events called @event, or of any name for NULL, have @text in theirs? */
unsigned int trace_count(const char *event, const char *text);
/* Print what was traced, the first @lines of it. */
void trace_show(unsigned int lines);
/* Remove the instance, which is made once too. */
void trace_end(void);

#endif
