/* SPDX-License-Identifier: GPL-2.0-only */
/* An entry that the CPU has refused, in words. */
#ifndef UMBRA_REFUSAL_H
#define UMBRA_REFUSAL_H

#include <linux/umbra.h>
#include <stddef.h>

/* A screenful, with a line left for what else is said. */
#define REFUSAL_LINES	23
#define REFUSAL_WIDTH	79
#define REFUSAL_MAX	(REFUSAL_LINES * (REFUSAL_WIDTH + 1) + 1)

typedef char refusal_reason[16];

/**
 * refusal_text() - what a record says, in at most REFUSAL_LINES lines
 * @out: REFUSAL_MAX bytes
 * @record: as the kernel gave it
 * @names: what its reasons are called, by number
 * @nr: how many names there are
 *
 * Fields that are 0 are left out, and those for which there is no room.
 */
void refusal_text(char *out, const struct umbra_entry_failure *record,
		  const refusal_reason *names, unsigned int nr);

#endif
