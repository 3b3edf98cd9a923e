/* SPDX-License-Identifier: GPL-2.0-only */
/* TAP for one test program: each check is a line, the plan comes last. */
#ifndef UMBRA_TESTS_TAP_H
#define UMBRA_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

struct tap {
	unsigned int count, failed;
};

__attribute__((format(printf, 3, 4)))
static inline void tap_ok(struct tap *tap, bool good, const char *fmt, ...)
{
	va_list ap;

	tap->count++;
	tap->failed += !good;
	printf("%sok %u ", good ? "" : "not ", tap->count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static inline int tap_done(const struct tap *tap)
{
	printf("1..%u\n", tap->count);
	return tap->failed != 0;
}

#endif
