// SPDX-License-Identifier: GPL-2.0-only
/* Which values MTRRs and PAT take: module/mtrr.h. */
#include "mtrr.h"
#include "tap.h"

static void types(void)
{
	unsigned int i, bad_pat = 0, bad_fixed = 0, byte;

	for (byte = 0; byte < 8; byte++) {
		for (i = 0; i < 256; i++) {
			u64 value = (u64)i << (byte * 8);
			bool mtrr = i == 0 || i == 1 || i == 4 || i == 5 || i == 6;

			bad_fixed += umbra_mtrr_fixed_valid(value) != mtrr;
			bad_pat += umbra_pat_valid(value) != (mtrr || i == 7);
		}
	}
	tap_ok(!bad_fixed, "each byte of a fixed MTRR takes UC, WC, WT, WP and WB");
	tap_ok(!bad_pat, "each byte of PAT takes these and UC-");
	tap_ok(umbra_pat_valid(0x0007040600070406ull), "PAT's value after reset is valid");
	tap_ok(!umbra_mtrr_fixed_valid(0x0607060606060606ull), "one bad byte of eight is enough");
}

static void def_type(void)
{
	unsigned int i, bad = 0;

	for (i = 0; i < 64; i++) {
		u64 value = 1ull << i;

		/* 1 and 4 are types, 10 and 11 switches. */
		bad += umbra_mtrr_def_valid(value) != (i == 0 || i == 2 || i == 10 || i == 11);
	}
	tap_ok(!bad, "the default type takes a type and two enables");
	tap_ok(umbra_mtrr_def_valid(0xc06), "write-back, both on");
	tap_ok(!umbra_mtrr_def_valid(0xc07), "UC- is PAT's alone");
	tap_ok(!umbra_mtrr_def_valid(2), "2 is reserved");
}

static void variable(void)
{
	tap_ok(umbra_mtrr_var_valid(0xe0000000, false, 36), "a base with type UC");
	tap_ok(umbra_mtrr_var_valid(0xe0000006, false, 36), "a base with type WB");
	tap_ok(!umbra_mtrr_var_valid(0xe0000007, false, 36), "not with type 7");
	tap_ok(!umbra_mtrr_var_valid(0xe0000106, false, 36), "nor with bit 8");
	tap_ok(!umbra_mtrr_var_valid(1ull << 36, false, 36), "nor beyond the address width");
	tap_ok(umbra_mtrr_var_valid(1ull << 36, false, 40), "unless that is wider");
	tap_ok(umbra_mtrr_var_valid(0xfe0000800ull, true, 36), "a mask with its valid bit");
	tap_ok(!umbra_mtrr_var_valid(0xfe0000400ull, true, 36), "not with bit 10");
	tap_ok(!umbra_mtrr_var_valid(1ull << 52, true, 52), "nor with bit 52, ever");
}

int main(void)
{
	tap_begin();
	types();
	def_type();
	variable();
	return tap_end();
}
