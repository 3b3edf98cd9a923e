// SPDX-License-Identifier: GPL-2.0-only
/* The arithmetic of the LAPIC's timer: module/lapic_math.h. */
#include <stdlib.h>

#include "lapic_math.h"
#include "tap.h"

static void dividers(void)
{
	/* The divide configuration register, from the manual's figure. */
	static const struct { u32 tdcr, div; } t[] = {
		{ 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 },
		{ 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
		/* Bit 2 and all above bit 3 count for nothing. */
		{ 0x4, 2 }, { 0xf, 1 }, { 0xfffffff0, 2 }, { 0xffffffff, 1 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		tap_ok(lapic_divider(t[i].tdcr) == t[i].div, "TDCR %#x divides by %u",
		       t[i].tdcr, t[i].div);
}

static void periods(void)
{
	tap_ok(lapic_count_to_ns(0xffffffff, 128) == 0xffffffffull * 128,
	       "the longest count does not overflow");
	tap_ok(lapic_period_ns(0, 1) == 0, "a count of 0 is no period");
	tap_ok(lapic_period_ns(1, 1) == LAPIC_MIN_PERIOD_NS, "a short period is stretched");
	tap_ok(lapic_period_ns(LAPIC_MIN_PERIOD_NS, 1) == LAPIC_MIN_PERIOD_NS,
	       "a period at the limit is kept");
	tap_ok(lapic_period_ns(1000000, 16) == 16000000, "a long period is kept");
}

static void counts(void)
{
	tap_ok(lapic_ns_to_count(0, 1, 100) == 0, "nothing remains: 0");
	tap_ok(lapic_ns_to_count(-1, 1, 100) == 0, "overdue: 0");
	tap_ok(lapic_ns_to_count(INT64_MIN, 128, 100) == 0, "long overdue: 0");
	tap_ok(lapic_ns_to_count(1, 128, 100) == 1, "a part of a tick is not yet 0");
	tap_ok(lapic_ns_to_count(128, 128, 100) == 1, "one tick is 1");
	tap_ok(lapic_ns_to_count(129, 128, 100) == 2, "a bit more is 2");
	tap_ok(lapic_ns_to_count(INT64_MAX, 1, 100) == 100, "never above the initial count");
	tap_ok(lapic_ns_to_count(100, 0, 100) == 0, "a divider of 0 is survived");
}

static void deadlines(void)
{
	tap_ok(lapic_deadline_ns(100, 100, 1000000) == 0, "a deadline now has passed");
	tap_ok(lapic_deadline_ns(99, 100, 1000000) == 0, "a deadline before has passed");
	tap_ok(lapic_deadline_ns(0, ~0ull, 1000000) == 0, "so has deadline 0");
	tap_ok(lapic_deadline_ns(101, 100, 1000000) == 1, "1 GHz: one tick is 1 ns");
	tap_ok(lapic_deadline_ns(101, 100, 3000000) == 1, "3 GHz: one tick rounds up to 1 ns");
	tap_ok(lapic_deadline_ns(3000000001ull, 0, 3000000) == 1000000001,
	       "3 GHz: a second and a bit");
	tap_ok(lapic_deadline_ns(1, 0, 1) == 1000000, "1 kHz: one tick is 1 ms");
	tap_ok(lapic_deadline_ns(~0ull, 0, 1) == LAPIC_MAX_NS, "the furthest is cut off");
	tap_ok(lapic_deadline_ns(~0ull, 0, 5000000) < LAPIC_MAX_NS,
	       "2^64 ticks of 5 GHz are not");
	tap_ok(lapic_deadline_ns(~0ull, 0, 0xffffffff) > 0, "the fastest clock is survived");
	tap_ok(lapic_deadline_ns(5, 0, 0) == LAPIC_MAX_NS, "a clock of 0 never gets there");
}

/* After the ns it was told to wait, the TSC is there: never early, and late by a tick of ns. */
static void never_early(void)
{
	unsigned int i, bad = 0;

	srand(1);
	for (i = 0; i < 100000; i++) {
		u32 khz = 1 + (u32)rand() % 5000000;
		u64 delta = 1 + ((u64)rand() << 8 ^ (u64)rand()) % 1000000000000ull;
		u64 ns = lapic_deadline_ns(delta, 0, khz);
		unsigned __int128 ticks = (unsigned __int128)ns * khz / 1000000;
		unsigned __int128 before = (unsigned __int128)(ns - 1) * khz;

		if (ticks < delta || before >= (unsigned __int128)delta * 1000000)
			bad++;
	}
	tap_ok(!bad, "100000 deadlines are met within a ns, none early");
}

int main(void)
{
	tap_begin();
	dividers();
	periods();
	counts();
	deadlines();
	never_early();
	return tap_end();
}
