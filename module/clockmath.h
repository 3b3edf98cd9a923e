/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of pvclock and of TSC synchronization. No kernel header beyond
 * types: the unit tests build it as it is.
 */
#ifndef UMBRA_CLOCKMATH_H
#define UMBRA_CLOCKMATH_H

#include "emul_types.h"

/* A TSC multiplier is a fraction of 2^48, as VMX has it: this one is 1. */
#define UMBRA_TSC_MULTIPLIER_BITS	48
#define UMBRA_TSC_MULTIPLIER_ONE	(1ULL << UMBRA_TSC_MULTIPLIER_BITS)

/* As the CPU does it: the product has 128 bits, and what is beyond 64 after the shift is lost. */
static inline u64 umbra_scale_tsc(u64 tsc, u64 multiplier)
{
	return (unsigned __int128)tsc * multiplier >> UMBRA_TSC_MULTIPLIER_BITS;
}

/* (@n << 48) / @d, and whether something is left; false: more than 64 bits, or @d is 0. */
static inline bool umbra_shift48_div(u64 n, u64 d, u64 *quotient, bool *rest)
{
	u64 high = n >> (64 - UMBRA_TSC_MULTIPLIER_BITS), low = n << UMBRA_TSC_MULTIPLIER_BITS;

	/* The kernel has no 128-bit division; the CPU has, of what fits. */
	if (high >= d)
		return false;
	asm("divq %2" : "+a" (low), "+d" (high) : "rm" (d) : "cc");
	*quotient = low;
	*rest = high;
	return true;
}

/* What makes a TSC of @khz of one of @host_khz, rounded down; 0: there is none. */
static inline u64 umbra_tsc_multiplier(u32 khz, u32 host_khz)
{
	u64 multiplier;
	bool rest;

	return umbra_shift48_div(khz, host_khz, &multiplier, &rest) ? multiplier : 0;
}

/* How far a TSC goes while what @multiplier makes of it goes @ticks: at least; 2^64 - 1 at most. */
static inline u64 umbra_unscale_tsc(u64 ticks, u64 multiplier)
{
	u64 quotient;
	bool rest;

	if (!umbra_shift48_div(ticks, multiplier, &quotient, &rest))
		return ~0ULL;
	/* Does not wrap: of 2^64 - 1 there is a rest for no divisor. */
	return quotient + rest;
}

/**
 * struct umbra_tsc_scale - cycles to ns: ((cycles << shift) * mul) >> 32
 * @mul: from 2^31 to 2^32 - 1, so that no precision is lost
 * @shift: to the left; negative: to the right
 */
struct umbra_tsc_scale {
	u32 mul;
	s8 shift;
};

/* The scale of a TSC of @khz, which is not 0. */
static inline struct umbra_tsc_scale umbra_tsc_scale(u32 khz)
{
	struct umbra_tsc_scale s = { 0 };
	u64 ns = 1000000, cycles = khz;	/* in a millisecond */

	while (ns >= cycles) {
		cycles <<= 1;
		s.shift++;
	}
	while (ns * 2 < cycles) {
		ns <<= 1;
		s.shift--;
	}
	s.mul = (ns << 32) / cycles;
	return s;
}

static inline u64 umbra_tsc_to_ns(u64 cycles, struct umbra_tsc_scale s)
{
	if (s.shift < 0)
		cycles >>= -s.shift;
	else
		cycles <<= s.shift;
	return (u64)(((unsigned __int128)cycles * s.mul) >> 32);
}

/* @ns in cycles of a TSC of @khz. */
static inline u64 umbra_ns_to_tsc(u64 ns, u32 khz)
{
	u64 ms = ns / 1000000, rest = ns % 1000000;

	return ms * khz + rest * khz / 1000000;
}

/*
 * Was @tsc written in the attempt to give a vCPU the value that the TSC last
 * written (@last, @elapsed_ns ago) has by now? Within a second of it: it was.
 */
static inline bool umbra_tsc_matches(u64 tsc, u64 last, u64 elapsed_ns, u32 khz)
{
	u64 second = (u64)khz * 1000;
	s64 error = tsc - (last + umbra_ns_to_tsc(elapsed_ns, khz));

	return error > -(s64)second && error < (s64)second;
}

/* Is @khz within 250 parts per million of the host's @host_khz: the same crystal, measured twice. */
static inline bool umbra_tsc_khz_close(u32 khz, u32 host_khz)
{
	u64 difference = khz > host_khz ? khz - host_khz : host_khz - khz;

	return difference * 1000000 <= (u64)host_khz * 250;
}

#endif
