/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arithmetic of an 8254 counter, apart from any kernel call: the unit tests
 * build this file as it is. A counter of 0 is never loaded; nothing here
 * divides by zero, whatever is passed.
 */
#ifndef UMBRA_PIT_MATH_H
#define UMBRA_PIT_MATH_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#endif

#define PIT_HZ			1193182u
#define PIT_NS_PER_S		1000000000u

/* A periodic channel 0 interrupts no more often, whatever the guest asks. */
#define PIT_MIN_PERIOD_NS	200000u

static inline u64 pit_ns_to_ticks(u64 ns)
{
	return ns / PIT_NS_PER_S * PIT_HZ + ns % PIT_NS_PER_S * PIT_HZ / PIT_NS_PER_S;
}

/* Rounded up: after so many ns the ticks are over. */
static inline u64 pit_ticks_to_ns(u64 ticks)
{
	return ticks / PIT_HZ * PIT_NS_PER_S +
	       (ticks % PIT_HZ * PIT_NS_PER_S + PIT_HZ - 1) / PIT_HZ;
}

/* What a full counter holds: written as 0. */
static inline u32 pit_full(bool bcd)
{
	return bcd ? 10000 : 0x10000;
}

/* A written count as a number, 1 to pit_full(). */
static inline u32 pit_decode_count(u16 written, bool bcd)
{
	u32 n = written;

	if (bcd)
		n = (written >> 12) * 1000 + (written >> 8 & 0xf) * 100 +
		    (written >> 4 & 0xf) * 10 + (written & 0xf);
	if (!n || n > pit_full(bcd))
		return pit_full(bcd);
	return n;
}

/* A counter's value as the guest reads it. */
static inline u16 pit_encode_count(u32 n, bool bcd)
{
	n %= pit_full(bcd);
	if (!bcd)
		return n;
	return (n / 1000) << 12 | (n / 100 % 10) << 8 | (n / 10 % 10) << 4 | n % 10;
}

static inline bool pit_periodic(u8 mode)
{
	return mode == 2 || mode == 3;
}

/* The counter @ticks after it was loaded with @initial. */
static inline u32 pit_counter(u8 mode, u32 initial, u64 ticks, bool bcd)
{
	u32 full = pit_full(bcd);

	if (!initial)
		return 0;
	if (mode == 2)
		return initial - (u32)(ticks % initial);
	if (mode == 3)	/* counts by two, twice a period */
		return initial - (u32)(ticks * 2 % initial);
	/* The others wrap and count on. */
	return (initial % full + full - (u32)(ticks % full)) % full;
}

/* The OUT pin, @ticks after loading. */
static inline bool pit_out(u8 mode, u32 initial, u64 ticks)
{
	if (!initial)
		return mode != 0;
	switch (mode) {
	case 0:
	case 1:
		return ticks >= initial;
	case 2:
		return ticks % initial != initial - 1;
	case 3:
		return ticks % initial < (initial + 1) / 2;
	default:
		return ticks != initial;
	}
}

/* ns between two interrupts of a periodic channel 0. */
static inline u64 pit_period_ns(u32 initial)
{
	u64 ns = pit_ticks_to_ns(initial);

	return ns < PIT_MIN_PERIOD_NS ? PIT_MIN_PERIOD_NS : ns;
}

#endif
