// SPDX-License-Identifier: GPL-2.0-only
/* How long a halted vCPU polls: module/halt_math.h. */
#include "halt_math.h"
#include "tap.h"

static const struct halt_poll defaults = { .grow = 2, .grow_start = 10000 };
static const struct halt_poll gentle = { .grow = 3, .grow_start = 1000, .shrink = 4 };
static const struct halt_poll still = { .grow = 0, .grow_start = 10000, .shrink = 1 };

static void steps(void)
{
	static const struct {
		const char *name;
		const struct halt_poll *p;
		u32 window, max;
		u64 halted;
		u32 want;
	} t[] = {
		{ "a short halt starts to poll", &defaults, 0, 200000, 5000, 10000 },
		{ "one in the window leaves it", &defaults, 10000, 200000, 10000, 10000 },
		{ "one a bit longer doubles it", &defaults, 10000, 200000, 10001, 20000 },
		{ "it grows no further than the limit", &defaults, 160000, 200000, 199999, 200000 },
		{ "the start is limited too", &defaults, 0, 5000, 4000, 5000 },
		{ "a halt of the limit's length was in vain", &defaults, 200000, 200000, 200001, 0 },
		{ "a long halt stops it", &defaults, 80000, 200000, 4000000, 0 },
		{ "and leaves nothing at nothing", &defaults, 0, 200000, 4000000, 0 },
		{ "with a divisor it shrinks", &gentle, 80000, 200000, 4000000, 20000 },
		{ "below the start it stops", &gentle, 3999, 200000, 4000000, 0 },
		{ "a factor of 0 keeps it from growing", &still, 0, 200000, 5000, 0 },
		{ "and a divisor of 1 from shrinking", &still, 20000, 200000, 4000000, 20000 },
		{ "a lower limit cuts it", &defaults, 200000, 50000, 100, 50000 },
		{ "a limit of 0 is the end", &defaults, 200000, 0, 100, 0 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		tap_ok(halt_poll_next(t[i].p, t[i].window, t[i].max, t[i].halted) == t[i].want,
		       "%s", t[i].name);
}

static void extremes(void)
{
	static const u32 v[] = { 0, 1, 2, 10000, 0x7fffffff, 0x80000000, 0xffffffff };
	const unsigned int n = sizeof(v) / sizeof(v[0]);
	unsigned int i, bad = 0;

	/* Each of five values by one digit of @i. */
	for (i = 0; i < n * n * n * n * n; i++) {
		struct halt_poll p = {
			.grow = v[i % n], .grow_start = v[i / n % n],
			.shrink = v[i / n / n % n],
		};
		u32 window = v[i / n / n / n % n], max = v[i / n / n / n / n];
		u64 halted;

		for (halted = 1; halted; halted <<= 1)
			bad += halt_poll_next(&p, window, max, halted) > max;
	}
	tap_ok(!bad, "no parameters make it poll longer than the limit");
}

int main(void)
{
	tap_begin();
	steps();
	extremes();
	return tap_end();
}
