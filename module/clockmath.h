/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of pvclock and of TSC synchronization. No kernel header beyond
 * types: the unit tests build it as it is.
 */
#ifndef UMBRA_CLOCKMATH_H
#define UMBRA_CLOCKMATH_H

#include "emul_types.h"

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
