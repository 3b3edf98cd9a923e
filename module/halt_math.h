/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long a halted vCPU polls before it sleeps: arithmetic alone, which the unit
 * tests build as it is.
 */
#ifndef UMBRA_HALT_MATH_H
#define UMBRA_HALT_MATH_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
typedef uint32_t u32;
typedef uint64_t u64;
#endif

/* No vCPU polls longer at once, whatever is asked for. */
#define HALT_POLL_LIMIT_NS	1000000000u

/**
 * struct halt_poll - the parameters, named as KVM's
 * @grow: a window that was too short is multiplied by it; 0: it does not grow
 * @grow_start: what it grows to from less than that
 * @shrink: a window that was in vain is divided by it; 0: polling stops
 */
struct halt_poll {
	u32 grow, grow_start, shrink;
};

static inline u32 halt_poll_grown(const struct halt_poll *p, u32 window, u32 max)
{
	u64 grown = (u64)window * p->grow;

	if (!p->grow)
		return window;
	if (grown < p->grow_start)
		grown = p->grow_start;
	return grown < max ? grown : max;
}

static inline u32 halt_poll_shrunk(const struct halt_poll *p, u32 window)
{
	u32 shrunk = p->shrink ? window / p->shrink : 0;

	/* What would grow from the start again is nothing. */
	return shrunk < p->grow_start ? 0 : shrunk;
}

/**
 * halt_poll_next() - the window for the next halt
 * @p: the parameters
 * @window: the window of this halt, ns
 * @max: what it may be, ns
 * @halted: how long this halt was, ns
 *
 * A halt that ended in its window leaves it alone. One that a longer window, within
 * @max, would have caught lets it grow; one that none would have, shrink.
 */
static inline u32 halt_poll_next(const struct halt_poll *p, u32 window, u32 max, u64 halted)
{
	if (window > max)
		window = max;
	if (halted <= window)
		return window;
	return halted < max ? halt_poll_grown(p, window, max) : halt_poll_shrunk(p, window);
}

#endif
