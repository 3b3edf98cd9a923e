/* SPDX-License-Identifier: GPL-2.0-only */
/* Are a shadow's tables what they must be? For tests; nothing asks otherwise. */
#ifndef UMBRA_SHADOW_AUDIT_H
#define UMBRA_SHADOW_AUDIT_H

#include "shadow.h"

/**
 * struct shadow_audit - what an audit has found
 * @broken: the rule that is broken, in words; NULL: none
 * @sp: the table where it is, or NULL
 * @index: of its entry
 * @tables: how many were looked at
 * @frames: of how many tables of the guest's those are
 * @direct: how many are of none: parts of large pages, or of all memory
 * @entries: how many of theirs are present, leaves and others
 * @leaves: how many of those map memory
 */
struct shadow_audit {
	const char *broken;
	const struct shadow_page *sp;
	unsigned int index;
	unsigned long tables, frames, direct, entries, leaves;
};

/**
 * shadow_audit - look at all tables, all entries and all chains
 * @m: at the end of a change: nothing is to be flushed
 * @a: out: what was found; after the first broken rule nothing is looked at
 *
 * Each entry of ours is held against the guest's in memory or, where the guest may write
 * that unseen, against what it was when it was read last. Who writes to memory and has yet to
 * tell of it makes a rule look broken.
 */
void shadow_audit(struct shadow *m, struct shadow_audit *a);

#endif
