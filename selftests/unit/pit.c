// SPDX-License-Identifier: GPL-2.0-only
/* The arithmetic of the 8254: module/pit_math.h. */
#include <stdlib.h>

#include "pit_math.h"
#include "tap.h"

static void clocks(void)
{
	unsigned int i, bad = 0;

	tap_ok(pit_ns_to_ticks(0) == 0 && pit_ticks_to_ns(0) == 0, "0 is 0");
	tap_ok(pit_ns_to_ticks(1000000000) == PIT_HZ, "a second has 1193182 ticks");
	tap_ok(pit_ticks_to_ns(PIT_HZ) == 1000000000, "1193182 ticks are a second");
	tap_ok(pit_ns_to_ticks(~0ull) > 0, "the longest time is survived");
	srand(2);
	for (i = 0; i < 100000; i++) {
		u64 ticks = (u64)rand() << 10 ^ (u64)rand();

		/* The first ns at which the ticks are over. */
		if (pit_ns_to_ticks(pit_ticks_to_ns(ticks)) != ticks ||
		    (ticks && pit_ns_to_ticks(pit_ticks_to_ns(ticks) - 1) >= ticks))
			bad++;
	}
	tap_ok(!bad, "ticks to ns and back, 100000 times");
}

static void counts(void)
{
	u32 n, bad = 0;

	tap_ok(pit_decode_count(0, false) == 65536, "0 loads 65536");
	tap_ok(pit_decode_count(0, true) == 10000, "0 in BCD loads 10000");
	tap_ok(pit_decode_count(0x1234, true) == 1234, "BCD 1234");
	tap_ok(pit_decode_count(0xffff, true) <= 10000, "digits above 9 stay in range");
	tap_ok(pit_encode_count(65536, false) == 0, "65536 reads as 0");
	tap_ok(pit_encode_count(10000, true) == 0, "10000 in BCD reads as 0");
	for (n = 1; n <= 65536; n++)
		bad += pit_decode_count(pit_encode_count(n, false), false) != n;
	for (n = 1; n <= 10000; n++)
		bad += pit_decode_count(pit_encode_count(n, true), true) != n;
	tap_ok(!bad, "each count, binary and BCD, there and back");
}

static void counters(void)
{
	tap_ok(pit_counter(0, 100, 0, false) == 100, "mode 0 starts at the count");
	tap_ok(pit_counter(0, 100, 100, false) == 0, "and ends at 0");
	tap_ok(pit_counter(0, 100, 101, false) == 0xffff, "and wraps");
	tap_ok(pit_counter(0, 100, 101, true) == 9999, "to 9999 in BCD");
	tap_ok(pit_counter(0, 65536, 0, false) % 65536 == 0, "a full count reads as 0");
	tap_ok(pit_counter(0, 65536, 1, false) == 65535, "and then 65535");
	tap_ok(pit_counter(2, 100, 99, false) == 1, "mode 2 goes down to 1");
	tap_ok(pit_counter(2, 100, 100, false) == 100, "and starts again");
	tap_ok(pit_counter(3, 100, 1, false) == 98, "mode 3 counts by two");
	tap_ok(pit_counter(3, 100, 50, false) == 100, "twice a period");
	tap_ok(pit_counter(2, 0, 5, false) == 0, "no count is survived");
}

static void outs(void)
{
	tap_ok(!pit_out(0, 100, 99) && pit_out(0, 100, 100), "mode 0 rises at the end");
	tap_ok(pit_out(0, 100, 1000000), "and stays up");
	tap_ok(pit_out(2, 100, 98) && !pit_out(2, 100, 99) && pit_out(2, 100, 100),
	       "mode 2 is low for one tick");
	tap_ok(pit_out(3, 100, 49) && !pit_out(3, 100, 50) && pit_out(3, 100, 100),
	       "mode 3 is high for half a period");
	tap_ok(pit_out(3, 5, 2) && !pit_out(3, 5, 3), "an odd one is high for longer");
	tap_ok(pit_out(4, 100, 99) && !pit_out(4, 100, 100) && pit_out(4, 100, 101),
	       "mode 4 strobes once");
	tap_ok(!pit_out(0, 0, 0) && pit_out(3, 0, 0), "without a count: low in mode 0, else high");
}

static void extremes(void)
{
	static const u64 ticks[] = { 0, 1, 65535, 65536, 1ull << 32, ~0ull };
	static const u32 initial[] = { 0, 1, 2, 9999, 10000, 65535, 65536 };
	unsigned int mode, i, j, bcd, bad = 0;

	for (mode = 0; mode < 8; mode++)
		for (i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++)
			for (j = 0; j < sizeof(initial) / sizeof(initial[0]); j++)
				for (bcd = 0; bcd < 2; bcd++) {
					bad += pit_counter(mode, initial[j], ticks[i], bcd) > 65536;
					pit_out(mode, initial[j], ticks[i]);
				}
	tap_ok(!bad, "every mode with extreme counts and times stays in range");
	tap_ok(pit_period_ns(1) == PIT_MIN_PERIOD_NS, "the shortest period is stretched");
	tap_ok(pit_period_ns(65536) == 54925401 || pit_period_ns(65536) == 54925402,
	       "the longest is 54.9 ms");
}

int main(void)
{
	tap_begin();
	clocks();
	counts();
	counters();
	outs();
	extremes();
	return tap_end();
}
