// SPDX-License-Identifier: GPL-2.0-only
/* The arithmetic of the clock pages and of equal TSCs: module/clockmath.h. */
#include <stdlib.h>

#include "clockmath.h"
#include "tap.h"

static const u32 rates[] = { 1, 999, 1000, 32768, 499999, 500000, 999999, 1000000, 1000001,
			     1999999, 2000000, 2893202, 3700000, 5000000, 4294967295u };

/* Cycles to ns without a fraction's trick; 128 bits hold it all. */
static u64 exact_ns(u64 cycles, u32 khz)
{
	return (unsigned __int128)cycles * 1000000 / khz;
}

static void scales(void)
{
	unsigned int i, bad_mul = 0, bad_ns = 0, j;

	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		struct umbra_tsc_scale s = umbra_tsc_scale(rates[i]);

		bad_mul += s.mul < 0x80000000u;
		for (j = 0; j < 10000; j++) {
			/* An hour's worth of cycles at most. */
			u64 cycles = ((u64)rand() << 20 ^ rand()) % ((u64)rates[i] * 3600000);
			u64 want = exact_ns(cycles, rates[i]);
			u64 ns = umbra_tsc_to_ns(cycles, s);
			/* A unit of mul in 2^31, and what a right shift cuts off. */
			u64 slack = want / 0x80000000u + 2 + (s.shift < 0 ? 1 : 0);

			if (ns > want + 1 || ns + slack < want)
				bad_ns++;
		}
	}
	tap_ok(!bad_mul, "every rate from 1 kHz to 4 THz has a full 32 bits of multiplier");
	tap_ok(!bad_ns, "cycles to ns are exact to half of 1e-9, up to an hour");
	tap_ok(umbra_tsc_to_ns(1000000000, umbra_tsc_scale(1000000)) == 1000000000,
	       "at 1 GHz a cycle is a ns");
	tap_ok(umbra_tsc_to_ns(3000000000ull, umbra_tsc_scale(3000000)) >= 999999999,
	       "at 3 GHz three are");
	tap_ok(umbra_tsc_to_ns(0, umbra_tsc_scale(2893202)) == 0, "none are none");
}

static void cycles(void)
{
	unsigned int i, bad = 0;

	tap_ok(umbra_ns_to_tsc(1000000000, 2893202) == 2893202000ull, "a second has 1000 * khz cycles");
	tap_ok(umbra_ns_to_tsc(1, 2893202) == 2, "a ns of 2.9 cycles has 2 whole ones");
	for (i = 0; i < 100000; i++) {
		u64 ns = (u64)rand() << 26 ^ rand();

		bad += umbra_ns_to_tsc(ns, 3700000) !=
		       (u64)((unsigned __int128)ns * 3700000 / 1000000);
	}
	tap_ok(!bad, "ns to cycles do not overflow for a year");
}

static void matches(void)
{
	const u32 khz = 2000000;
	const u64 second = 2000000000, last = 1ull << 40;

	tap_ok(umbra_tsc_matches(last, last, 0, khz), "the same value at once matches");
	tap_ok(umbra_tsc_matches(last + second, last, 1000000000, khz), "a second later, a second more");
	tap_ok(umbra_tsc_matches(last, last, 999000000, khz), "the same value within the second");
	tap_ok(!umbra_tsc_matches(last, last, 1000000000, khz), "but not when it is over");
	tap_ok(!umbra_tsc_matches(last + second, last, 0, khz), "nor a value of the next second");
	tap_ok(!umbra_tsc_matches(last - second, last, 0, khz), "nor one of the second before");
	tap_ok(!umbra_tsc_matches(0, last, 0, khz), "0 is far from a TSC that ran for long");
	tap_ok(umbra_tsc_matches(5, ~0ull - 5, 1000, khz), "values on both sides of the wrap match");
}

static void tolerance(void)
{
	tap_ok(umbra_tsc_khz_close(1000000, 1000000), "the host's rate is close");
	tap_ok(umbra_tsc_khz_close(1000250, 1000000), "250 ppm above too");
	tap_ok(umbra_tsc_khz_close(999750, 1000000), "and below");
	tap_ok(!umbra_tsc_khz_close(1000251, 1000000), "251 ppm above is not");
	tap_ok(!umbra_tsc_khz_close(999749, 1000000), "nor below");
	tap_ok(!umbra_tsc_khz_close(4294967295u, 1000000), "nor what userspace makes up");
	tap_ok(!umbra_tsc_khz_close(1, 4294967295u), "nor 1 kHz");
}

static u64 random64(void)
{
	return (u64)rand() << 42 ^ (u64)rand() << 21 ^ rand();
}

/* By long multiplication, digits of 32 bits. */
static u64 slow_scale(u64 tsc, u64 multiplier)
{
	u64 a = tsc >> 32, b = (u32)tsc, c = multiplier >> 32, d = (u32)multiplier;
	u64 middle = a * d + (b * d >> 32), cross = b * c + (u32)middle;
	u64 high = a * c + (middle >> 32) + (cross >> 32), low = cross << 32 | (u32)(b * d);

	return high << 16 | low >> 48;
}

static void multipliers(void)
{
	const u64 one = UMBRA_TSC_MULTIPLIER_ONE;
	unsigned int i, j, bad = 0;

	tap_ok(umbra_tsc_multiplier(2893202, 2893202) == one, "the host's own rate has multiplier 1");
	tap_ok(umbra_tsc_multiplier(2000000, 1000000) == 2 * one, "twice the rate has 2");
	tap_ok(umbra_tsc_multiplier(500000, 1000000) == one / 2, "half has 1/2");
	tap_ok(umbra_tsc_multiplier(1, 3) == one / 3, "a third is rounded down");
	tap_ok(umbra_tsc_multiplier(65535, 1) == 65535 * one, "65535 is in reach");
	tap_ok(!umbra_tsc_multiplier(65536, 1), "65536 is not: it has 65 bits");
	tap_ok(!umbra_tsc_multiplier(1000000, 0), "nor is anything of a host without a rate");
	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++)
		for (j = 0; j < sizeof(rates) / sizeof(*rates); j++) {
			unsigned __int128 want = ((unsigned __int128)rates[i] << 48) / rates[j];

			bad += umbra_tsc_multiplier(rates[i], rates[j]) !=
			       (want >> 64 ? 0 : (u64)want);
		}
	tap_ok(!bad, "of every pair of rates it is the quotient, or 0 where that has more than 64 bits");
}

static void scaled(void)
{
	const u64 one = UMBRA_TSC_MULTIPLIER_ONE, most = ~0ull;
	unsigned int i, bad = 0;

	tap_ok(umbra_scale_tsc(most, one) == most, "multiplier 1 leaves every TSC as it is");
	tap_ok(umbra_scale_tsc(1ull << 63, 2 * one) == 0, "what is beyond 64 bits is lost");
	tap_ok(umbra_scale_tsc((1ull << 63) + 5, 2 * one) == 10, "and only that");
	tap_ok(umbra_scale_tsc(most, most) == 0xfffffffffffe0000, "the largest of both");
	tap_ok(umbra_scale_tsc(3, one / 2) == 1, "a fraction is cut off");
	for (i = 0; i < 100000; i++) {
		u64 tsc = random64() >> rand() % 64, multiplier = random64() >> rand() % 64;

		bad += umbra_scale_tsc(tsc, multiplier) != slow_scale(tsc, multiplier);
	}
	tap_ok(!bad, "by long multiplication it is the same");
}

static void unscaled(void)
{
	const u64 one = UMBRA_TSC_MULTIPLIER_ONE, most = ~0ull;
	unsigned int i, early = 0, late = 0;

	tap_ok(umbra_unscale_tsc(most, one) == most, "multiplier 1 leaves every distance as it is");
	tap_ok(umbra_unscale_tsc(0, 3 * one) == 0, "none is none");
	tap_ok(umbra_unscale_tsc(7, 2 * one) == 4, "half of 7 is rounded up");
	tap_ok(umbra_unscale_tsc(7, one / 2) == 14, "twice 7 is 14");
	tap_ok(umbra_unscale_tsc(most, one / 2) == most, "what has more than 64 bits is the most there is");
	tap_ok(umbra_unscale_tsc(most, most) == one, "the largest of both");
	tap_ok(umbra_unscale_tsc(5, 0) == most, "multiplier 0 never gets there");
	for (i = 0; i < 100000; i++) {
		u64 multiplier = random64() >> rand() % 63 | 1, ticks = random64() >> rand() % 64;
		u64 host = umbra_unscale_tsc(ticks, multiplier);

		if (host == most || !host)
			continue;
		early += (unsigned __int128)host * multiplier >> 48 < ticks;
		late += (unsigned __int128)(host - 1) * multiplier >> 48 >= ticks;
	}
	tap_ok(!early, "after as many of the host's ticks the guest's have gone");
	tap_ok(!late, "and with one less they have not");
}

int main(void)
{
	tap_begin();
	srand(1);
	scales();
	cycles();
	matches();
	tolerance();
	multipliers();
	scaled();
	unscaled();
	return tap_end();
}
