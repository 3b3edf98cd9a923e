/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which values memory-type registers take. They have no effect on a guest whose
 * memory is the host's, but a guest that reads them back must find sense. No
 * kernel header beyond types: the unit tests build it as it is.
 */
#ifndef UMBRA_MTRR_H
#define UMBRA_MTRR_H

#include "emul_types.h"

/* Types of «Memory Cache Control»: UC 0, WC 1, WT 4, WP 5, WB 6; PAT adds UC- 7. */
#define UMBRA_MTRR_TYPES	0x73
#define UMBRA_PAT_TYPES		0xf3

static inline bool umbra_memtypes_valid(u64 value, unsigned int types)
{
	int i;

	for (i = 0; i < 8; i++, value >>= 8) {
		if ((value & 0xff) > 7 || !(types >> (value & 0xff) & 1))
			return false;
	}
	return true;
}

/* MSR_IA32_CR_PAT: eight types. */
static inline bool umbra_pat_valid(u64 value)
{
	return umbra_memtypes_valid(value, UMBRA_PAT_TYPES);
}

/* A fixed-range MTRR: eight types. */
static inline bool umbra_mtrr_fixed_valid(u64 value)
{
	return umbra_memtypes_valid(value, UMBRA_MTRR_TYPES);
}

/* MSR_MTRRdefType: a type, and enables in bits 10 and 11. */
static inline bool umbra_mtrr_def_valid(u64 value)
{
	return !(value & ~0xcffULL) && umbra_memtypes_valid(value & 0xff, UMBRA_MTRR_TYPES);
}

/* A variable-range pair's base (address and type) or @mask (address and valid bit). */
static inline bool umbra_mtrr_var_valid(u64 value, bool mask, unsigned int maxphyaddr)
{
	u64 reserved = ~0ULL << maxphyaddr;

	if (mask)
		return !(value & (reserved | 0x7ff));
	return !(value & (reserved | 0xf00)) && umbra_memtypes_valid(value & 0xff, UMBRA_MTRR_TYPES);
}

#endif
