/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arithmetic of the LAPIC timer, apart from any kernel call: the unit tests
 * build this file as it is. No division here can be by zero.
 */
#ifndef UMBRA_LAPIC_MATH_H
#define UMBRA_LAPIC_MATH_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
#endif

/* The timer's input clock: 1 GHz, which KVM has too, so that a count is ns. */
#define LAPIC_BUS_NS	1

/* A periodic timer fires no more often, whatever the guest asks. */
#define LAPIC_MIN_PERIOD_NS	200000

/* Times are cut off here: 146 years, and sums of two don't overflow an s64. */
#define LAPIC_MAX_NS	((u64)1 << 62)

/* What the divide configuration register divides by: 1, 2, 4, ... 128. */
static inline u32 lapic_divider(u32 tdcr)
{
	u32 code = (tdcr & 3) | ((tdcr & 8) >> 1);

	return 1u << ((code + 1) & 7);
}

/* How long @count ticks of the divided clock last. */
static inline u64 lapic_count_to_ns(u32 count, u32 divider)
{
	return (u64)count * divider * LAPIC_BUS_NS;
}

/* The period of a periodic timer with initial count @count, 0 for stopped. */
static inline u64 lapic_period_ns(u32 count, u32 divider)
{
	u64 ns = lapic_count_to_ns(count, divider);

	return ns && ns < LAPIC_MIN_PERIOD_NS ? LAPIC_MIN_PERIOD_NS : ns;
}

/*
 * What the current count register shows @remaining ns before expiry; rounded
 * up, for 0 means expired. Never above @initial.
 */
static inline u32 lapic_ns_to_count(s64 remaining, u32 divider, u32 initial)
{
	u64 tick = (u64)divider * LAPIC_BUS_NS, count;

	if (remaining <= 0 || !tick)
		return 0;
	count = ((u64)remaining + tick - 1) / tick;
	return count < initial ? (u32)count : initial;
}

/*
 * How many ns until a TSC of @khz that shows @now will show @deadline: 0 when
 * it does already; rounded up, so that the guest never finds itself early.
 */
static inline u64 lapic_deadline_ns(u64 deadline, u64 now, u32 khz)
{
	u64 delta = deadline - now, ms;

	if (deadline <= now)
		return 0;
	if (!khz)
		return LAPIC_MAX_NS;
	ms = delta / khz;
	if (ms >= LAPIC_MAX_NS / 1000000 - 1)
		return LAPIC_MAX_NS;
	return ms * 1000000 + ((delta % khz) * 1000000 + khz - 1) / khz;
}

#endif
