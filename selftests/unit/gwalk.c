// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's page-table walk: every paging mode, every right, every error code, accessed and dirty
 * bits, races. Tables are built in a small guest-physical memory; a second, naive walker judges
 * random tables.
 */
#include <stdlib.h>
#include <time.h>

#include "gwalk.h"
#include "tap.h"

#define PG	(1ull << 31)
#define WP	(1ull << 16)
#define PSE	(1ull << 4)
#define PAE	(1ull << 5)
#define LA57	(1ull << 12)
#define SMEP	(1ull << 20)
#define SMAP	(1ull << 21)
#define PKE	(1ull << 22)
#define LMA	(1ull << 10)
#define NXE	(1ull << 11)
#define AC	(1ull << 18)

#define P	1ull
#define W	2ull
#define U	4ull
#define A	0x20ull
#define D	0x40ull
#define PS	0x80ull
#define NX	(1ull << 63)

#define WR	UMBRA_GWALK_WRITE
#define EX	UMBRA_GWALK_EXEC
#define US	UMBRA_GWALK_USER

enum { OK = UMBRA_GWALK_OK, FAULT = UMBRA_GWALK_FAULT, NOTABLE = UMBRA_GWALK_NO_TABLE,
       NONCANON = UMBRA_GWALK_NONCANONICAL, RACE = UMBRA_GWALK_RACE };

/* Guest-physical memory: tables at 0x1000 (root) to 0x5000, down to the last level. */
#define MEM	0x8000
static u8 memory[MEM];
static bool readonly;
static unsigned int lose_races, nr_set;
static u64 race_flip;

static int read_gpte(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 *val, unsigned int size)
{
	(void)ctx;
	if (gpa > MEM - size || gpa % size)
		return -1;
	*val = 0;
	memcpy(val, memory + gpa, size);
	return 0;
}

static int cmpxchg_gpte(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 old, u64 new,
			unsigned int size)
{
	u64 now;

	if (readonly || read_gpte(ctx, gpa, &now, size))
		return -1;
	if (lose_races) {
		/* Another CPU was faster. */
		lose_races--;
		now ^= race_flip;
		memcpy(memory + gpa, &now, size);
	}
	if (now != old)
		return 1;
	memcpy(memory + gpa, &new, size);
	nr_set++;
	return 0;
}

static const struct umbra_gwalk_ops ops = { read_gpte, cmpxchg_gpte };

enum mode { NOPAGING, M32, MPAE, M4, M5, NR_MODES };
static const char *const mode_name[] = { "no paging", "32-bit", "PAE", "4-level", "5-level" };
static const u8 mode_levels[] = { 0, 2, 3, 4, 5 };
static const u64 mode_gva[] = { 0x12345678, 0xc0402345, 0xc0602345, 0x00007f8040602345,
				0x00ff7f8040602345 };

static struct umbra_gwalk_ctx ctx;
static struct umbra_gwalk out;

static unsigned int index_of(enum mode mode, u64 gva, unsigned int level)
{
	if (mode == M32)
		return (gva >> (level == 2 ? 22 : 12)) & 1023;
	return (gva >> (12 + 9 * (level - 1))) & 511;
}

static unsigned int width(enum mode mode)
{
	return mode == M32 ? 4 : 8;
}

/* Where the entry of @level for the mode's gva is. */
static u64 entry_gpa(enum mode mode, unsigned int level)
{
	unsigned int top = mode_levels[mode];

	return 0x1000 * (top - level + 1) + index_of(mode, mode_gva[mode], level) * width(mode);
}

static void put(enum mode mode, unsigned int level, u64 gpte)
{
	if (mode == MPAE && level == 3)
		ctx.pdpte[(mode_gva[mode] >> 30) & 3] = gpte;
	else
		memcpy(memory + entry_gpa(mode, level), &gpte, width(mode));
}

static u64 get(enum mode mode, unsigned int level)
{
	u64 v = 0;

	memcpy(&v, memory + entry_gpa(mode, level), width(mode));
	return v;
}

/* A complete walk with all rights down to a 4 KiB page at 0x5555000. */
static void set_up(enum mode mode)
{
	unsigned int level;

	memset(memory, 0, MEM);
	memset(&ctx, 0, sizeof(ctx));
	memset(&out, 0x55, sizeof(out));
	readonly = false;
	lose_races = 0;
	nr_set = 0;
	race_flip = 1ull << 9;
	ctx.ops = &ops;
	ctx.maxphyaddr = 46;
	ctx.gbpages = true;
	ctx.cr0 = 1;
	if (mode == NOPAGING)
		return;
	ctx.cr0 |= PG | WP;
	ctx.cr3 = 0x1000;
	if (mode >= MPAE) {
		ctx.cr4 |= PAE;
		ctx.efer |= NXE;
	}
	if (mode >= M4)
		ctx.efer |= LMA | (1 << 8);
	if (mode == M5)
		ctx.cr4 |= LA57;
	for (level = mode_levels[mode]; level > 1; level--)
		put(mode, level, 0x1000 * (mode_levels[mode] - level + 2) |
		    (mode == MPAE && level == 3 ? P : P | W | U));
	put(mode, 1, 0x5555000 | P | W | U);
}

static bool note(const char *what, u64 got, u64 want)
{
	if (got != want)
		tap_note("%s is %#llx, not %#llx", what, (unsigned long long)got,
			 (unsigned long long)want);
	return got == want;
}

static int walk(enum mode mode, unsigned int access)
{
	return umbra_gwalk(&ctx, mode_gva[mode], access, &out);
}

static bool faults(enum mode mode, unsigned int access, u32 code)
{
	bool ok = note("result", walk(mode, access), FAULT);

	return ok && note("error code", out.error_code, code) & note("entries written", nr_set, 0);
}

static bool passes(enum mode mode, unsigned int access)
{
	return note("result", walk(mode, access), OK);
}

/* Translation and the bits it sets, in each mode. */
static void test_modes(void)
{
	unsigned int mode, level;
	bool ok;

	set_up(NOPAGING);
	tap_ok(passes(NOPAGING, WR | US) && out.gpa == 0x12345678 && out.level == 0 &&
	       out.page_shift == 32 && out.writable && out.executable, "no paging");
	ctx.cr4 = PAE | SMEP | SMAP;
	tap_ok(umbra_gwalk(&ctx, 0xfff00000123, 0, &out) == OK && out.gpa == 0x123,
	       "no paging: addresses have 32 bits");

	for (mode = M32; mode < NR_MODES; mode++) {
		unsigned int top = mode_levels[mode], marked = mode == MPAE ? 2 : top;

		set_up(mode);
		ok = passes(mode, US) && note("gpa", out.gpa, 0x5555000 | (mode_gva[mode] & 0xfff));
		ok &= out.level == 1 && out.top_level == top && out.page_shift == 12;
		ok &= out.writable && out.user && out.executable && !out.dirty;
		for (level = top; level && ok; level--)
			if (!(mode == MPAE && level == 3))
				ok &= note("table", out.table_gpa[level - 1], entry_gpa(mode, level));
		tap_ok(ok, "%s: a read translates", mode_name[mode]);

		ok = true;
		for (level = 1; level <= marked; level++)
			ok &= note("A and D", get(mode, level) & (A | D), A);
		tap_ok(ok && nr_set == marked, "%s: and sets A on all levels", mode_name[mode]);

		nr_set = 0;
		ok = passes(mode, WR) && note("written", nr_set, 1) && out.dirty &&
		     note("leaf", get(mode, 1) & (A | D), A | D) &&
		     note("directory", get(mode, 2) & D, 0);
		tap_ok(ok, "%s: a write sets D on the leaf", mode_name[mode]);
		nr_set = 0;
		tap_ok(passes(mode, WR | US) && nr_set == 0 && out.dirty, "%s: only once", mode_name[mode]);

		set_up(mode);
		tap_ok(passes(mode, WR | UMBRA_GWALK_NO_AD) && nr_set == 0 && !out.dirty,
		       "%s: NO_AD sets none", mode_name[mode]);

		for (level = 1; level <= top; level++) {
			set_up(mode);
			put(mode, level, 0x5000000 | W | U);
			tap_ok(faults(mode, US, 4) && out.level == level && faults(mode, WR, 2) &&
			       faults(mode, 0, 0), "%s: not present at level %u", mode_name[mode], level);
		}

		set_up(mode);
		put(mode, 2, 0x7000000 | P | W | U);
		tap_ok(note("result", walk(mode, 0), NOTABLE) && out.level == 1 && nr_set == 0 &&
		       (out.table_gpa[0] & ~0xfffull) == 0x7000000, "%s: no table", mode_name[mode]);
		set_up(mode);
		readonly = true;
		tap_ok(note("result", walk(mode, 0), NOTABLE) && out.level == marked &&
		       passes(mode, UMBRA_GWALK_NO_AD), "%s: a table that cannot be written", mode_name[mode]);
	}
}

/* Rights at each level of each mode. */
static void test_rights(void)
{
	unsigned int mode, level;

	for (mode = M32; mode < NR_MODES; mode++) {
		unsigned int top = mode == MPAE ? 2 : mode_levels[mode];
		u32 i_bit = mode >= MPAE ? 0x10 : 0;
		bool w_ok = true, u_ok = true, nx_ok = true, smep_ok = true;

		for (level = 1; level <= top; level++) {
			set_up(mode);
			put(mode, level, get(mode, level) & ~W);
			w_ok &= faults(mode, WR | US, 7) && faults(mode, WR, 3) && !out.writable;
			w_ok &= passes(mode, US);
			ctx.cr0 &= ~WP;
			w_ok &= passes(mode, WR);
			nr_set = 0;
			w_ok &= faults(mode, WR | US, 7);

			set_up(mode);
			put(mode, level, get(mode, level) & ~U);
			u_ok &= faults(mode, US, 5) && !out.user && faults(mode, WR | US, 7) &&
				faults(mode, EX | US, 5 | i_bit);
			u_ok &= passes(mode, WR) && passes(mode, EX);

			if (mode == M32)
				continue;
			set_up(mode);
			put(mode, level, get(mode, level) | NX);
			nx_ok &= faults(mode, EX, 0x11) && !out.executable &&
				 faults(mode, EX | US, 0x15);
			nx_ok &= passes(mode, WR | US);
			nr_set = 0;
			ctx.efer &= ~NXE;
			nx_ok &= faults(mode, 0, 9) && faults(mode, EX, 9);
		}
		tap_ok(w_ok, "%s: W at each level, CR0.WP", mode_name[mode]);
		tap_ok(u_ok, "%s: U at each level", mode_name[mode]);
		if (mode != M32)
			tap_ok(nx_ok, "%s: NX at each level, reserved without EFER.NXE", mode_name[mode]);

		set_up(mode);
		ctx.cr4 |= SMEP;
		smep_ok &= faults(mode, EX, 0x11);
		put(mode, 1, get(mode, 1) & ~P);
		smep_ok &= faults(mode, EX | US, 0x14);
		put(mode, 1, (get(mode, 1) | P) & ~U);
		smep_ok &= passes(mode, EX);
		put(mode, 1, get(mode, 1) | U);
		smep_ok &= passes(mode, EX | US);
		tap_ok(smep_ok, "%s: SMEP", mode_name[mode]);

		set_up(mode);
		ctx.cr4 |= SMAP;
		smep_ok = faults(mode, 0, 1) && faults(mode, WR, 3) &&
			  faults(mode, UMBRA_GWALK_IMPLICIT, 1);
		ctx.rflags = AC;
		smep_ok &= faults(mode, UMBRA_GWALK_IMPLICIT, 1);
		smep_ok &= passes(mode, 0) && passes(mode, WR) && passes(mode, US) && passes(mode, EX);
		tap_ok(smep_ok, "%s: SMAP, with AC, implicit", mode_name[mode]);
	}

	set_up(M4);
	ctx.efer &= ~NXE;
	put(M4, 1, get(M4, 1) & ~P);
	tap_ok(faults(M4, EX, 0), "no fetch bit without NXE and SMEP");
	set_up(M32);
	put(M32, 1, 0);
	ctx.efer |= NXE;
	tap_ok(faults(M32, EX, 0), "no fetch bit by NXE without PAE");
}

static void test_pkeys(void)
{
	bool ok;

	set_up(M4);
	ctx.cr4 |= PKE;
	put(M4, 1, get(M4, 1) | (5ull << 59));
	ok = passes(M4, WR | US) && out.pkey == 5;
	nr_set = 0;
	ctx.pkru = 1u << 10;
	ok &= faults(M4, US, 0x25) && faults(M4, 0, 0x21) && faults(M4, WR | US, 0x27);
	ok &= passes(M4, EX | US);
	tap_ok(ok, "protection key: access disabled, not for a fetch");
	ctx.pkru = 2u << 10;
	nr_set = 0;
	ok = passes(M4, US) && faults(M4, WR | US, 0x27) && faults(M4, WR, 0x23);
	ctx.cr0 &= ~WP;
	ok &= passes(M4, WR) && faults(M4, WR | US, 0x27);
	tap_ok(ok, "protection key: write disabled, CR0.WP");
	ctx.cr0 |= WP;
	put(M4, 1, get(M4, 1) & ~U);
	ok = passes(M4, WR);
	put(M4, 1, get(M4, 1) | U);
	ctx.cr4 &= ~PKE;
	ok &= passes(M4, WR | US);
	tap_ok(ok, "protection key: not for supervisor pages, not without CR4.PKE");
	set_up(M4);
	ctx.cr4 |= PKE;
	ctx.pkru = 3;
	put(M4, 1, get(M4, 1) & ~W);
	/* Intel's vol. 3, «Page-Fault Exceptions»: PKRU alone decides about the bit. */
	tap_ok(faults(M4, WR | US, 0x27) && faults(M4, WR, 0x23),
	       "protection key: said beside an ordinary refusal");
}

static void test_large(void)
{
	set_up(M32);
	put(M32, 2, 0x40000000 | P | W | U | PS);
	tap_ok(note("result", walk(M32, 0), NOTABLE) && out.level == 1,
	       "32-bit: PS is ignored without CR4.PSE");
	ctx.cr4 |= PSE;
	tap_ok(passes(M32, WR) && out.level == 2 && out.page_shift == 22 && out.gpa == 0x40002345 &&
	       get(M32, 2) == (0x40000000 | P | W | U | PS | A | D), "32-bit: 4 MiB page");
	put(M32, 2, 0x40000000 | P | W | U | PS | (0x35 << 13));
	tap_ok(passes(M32, 0) && out.gpa == 0x3540002345, "32-bit: PSE-36");
	ctx.maxphyaddr = 36;
	nr_set = 0;
	tap_ok(faults(M32, 0, 9), "32-bit: PSE-36 beyond the physical width");
	put(M32, 2, 0x40000000 | P | W | U | PS | (0x5 << 13));
	tap_ok(passes(M32, 0) && out.gpa == 0x540002345, "32-bit: PSE-36 within it");
	put(M32, 2, 0x40000000 | P | W | U | PS | (1 << 21));
	nr_set = 0;
	tap_ok(faults(M32, WR | US, 15), "32-bit: reserved bit 21");

	set_up(MPAE);
	put(MPAE, 2, 0x40000000 | P | W | U | PS | (1 << 12));
	tap_ok(passes(MPAE, 0) && out.page_shift == 21 && out.gpa == 0x40002345, "PAE: 2 MiB page, PAT");
	put(MPAE, 2, 0x40000000 | P | W | U | PS | (1 << 13));
	nr_set = 0;
	tap_ok(faults(MPAE, 0, 9), "PAE: reserved bit 13 of a large page");

	set_up(M4);
	put(M4, 2, 0x40000000 | P | W | U | PS);
	tap_ok(passes(M4, WR) && out.level == 2 && out.page_shift == 21 && out.gpa == 0x40002345,
	       "4-level: 2 MiB page");
	put(M4, 2, 0x40000000 | P | W | U | PS | (1 << 20));
	nr_set = 0;
	tap_ok(faults(M4, 0, 9), "4-level: reserved bit 20 of a 2 MiB page");
	put(M4, 3, 0x80000000 | P | W | U | PS);
	tap_ok(passes(M4, WR) && out.level == 3 && out.page_shift == 30 && out.gpa == 0x80602345 &&
	       get(M4, 3) == (0x80000000 | P | W | U | PS | A | D), "4-level: 1 GiB page");
	nr_set = 0;
	put(M4, 3, 0xa0000000 | P | W | U | PS);
	tap_ok(faults(M4, 0, 9), "4-level: reserved bit 29 of a 1 GiB page");
	put(M4, 3, 0x80000000 | P | W | U | PS);
	ctx.gbpages = false;
	tap_ok(faults(M4, 0, 9) && out.level == 3, "4-level: no 1 GiB pages, PS is reserved");
	set_up(M4);
	put(M4, 4, get(M4, 4) | PS);
	tap_ok(faults(M4, 0, 9) && out.level == 4, "4-level: PS at level 4 is reserved");
	set_up(M5);
	put(M5, 5, get(M5, 5) | PS);
	tap_ok(faults(M5, 0, 9) && out.level == 5, "5-level: PS at level 5 is reserved");
}

static void test_reserved(void)
{
	unsigned int mode, level, bit;
	bool ok;

	for (mode = MPAE; mode < NR_MODES; mode++) {
		unsigned int top = mode == MPAE ? 2 : mode_levels[mode];

		ok = true;
		for (level = 1; level <= top; level++)
			for (bit = 40; bit < 63; bit++) {
				bool rsvd = (bit >= 46 && bit < 52) || (mode == MPAE && bit >= 52);
				int r;

				set_up(mode);
				put(mode, level, get(mode, level) | (1ull << bit));
				r = walk(mode, 0);
				if (rsvd)
					ok &= note("result", r, FAULT) && out.error_code == 9 &&
					      out.level == level;
				else if (bit < 46 && level > 1)
					ok &= note("result", r, NOTABLE);
				else
					ok &= note("result", r, OK);
			}
		tap_ok(ok, "%s: reserved bits by physical width", mode_name[mode]);
	}
	set_up(M4);
	ctx.maxphyaddr = 52;
	put(M4, 1, get(M4, 1) | (1ull << 51));
	tap_ok(passes(M4, 0) && out.gpa == (0x5555345 | (1ull << 51)), "52 physical bits have no reserved ones");
	set_up(M32);
	put(M32, 1, 0xfffff000 | P | W | U);
	tap_ok(passes(M32, 0) && out.gpa == 0xfffff345, "32-bit entries reach 4 GiB");
	set_up(MPAE);
	put(MPAE, 3, 0x2000 | P | NX);
	tap_ok(passes(MPAE, EX | US) && nr_set == 2, "PAE: a PDPTE refuses no access and has no A");
	set_up(M4);
	ctx.cr3 |= 0x18 | (1ull << 63);
	tap_ok(passes(M4, 0), "CR3's low bits and bit 63 are no address");
}

static void test_canonical(void)
{
	set_up(M4);
	tap_ok(umbra_gwalk(&ctx, 0x0000800000000000, 0, &out) == NONCANON, "4-level: non-canonical");
	tap_ok(umbra_gwalk(&ctx, 0xffff7fffffffffff, 0, &out) == NONCANON, "4-level: non-canonical, high");
	tap_ok(umbra_gwalk(&ctx, 0xffff800000000000, 0, &out) == FAULT, "4-level: canonical, high");
	set_up(M5);
	tap_ok(umbra_gwalk(&ctx, 0x0000800000000000, 0, &out) == FAULT, "5-level: canonical there");
	tap_ok(umbra_gwalk(&ctx, 0x0100000000000000, 0, &out) == NONCANON, "5-level: non-canonical");
	set_up(MPAE);
	tap_ok(umbra_gwalk(&ctx, mode_gva[MPAE] | (5ull << 32), 0, &out) == OK, "PAE: 32 bits count");
}

static void test_races(void)
{
	set_up(M4);
	lose_races = 2;
	tap_ok(passes(M4, WR) && (get(M4, 1) & (A | D)) == (A | D), "a lost race walks again");
	set_up(M4);
	lose_races = 1000;
	tap_ok(note("result", walk(M4, 0), RACE) && lose_races > 900, "but not for ever");
	set_up(M4);
	lose_races = 1;
	race_flip = P;
	tap_ok(note("result", walk(M4, 0), FAULT) && out.error_code == 0 && out.level == 4,
	       "the entry that won is looked at again");
}

/* Random tables against a walker that follows the manual line by line. */

static u64 seed;

static u64 random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static bool chance(unsigned int n)
{
	return random64() % n == 0;
}

/* The walk leaves the tables that were set up. */
#define ELSEWHERE	-1

static int judge(enum mode mode, unsigned int access, u32 *code, u64 *gpa)
{
	unsigned int level, shift = 12;
	bool w = true, u = true, x = true, user = access & US;
	bool has_i = (ctx.cr4 & SMEP) || ((ctx.cr4 & PAE) && (ctx.efer & NXE));
	u64 g = 0;

	*code = ((access & WR) ? 2 : 0) | (user ? 4 : 0) | ((access & EX) && has_i ? 0x10 : 0);
	for (level = mode_levels[mode]; level; level--) {
		bool large = false;

		g = mode == MPAE && level == 3 ? ctx.pdpte[3] : get(mode, level);
		if (!(g & P))
			return FAULT;
		if (mode == MPAE && level == 3)
			continue;
		if (mode == M32)
			large = level == 2 && (g & PS) && (ctx.cr4 & PSE);
		else
			large = level > 1 && (g & PS);
		if (mode != M32 && ((g & 0x000fc00000000000) ||
				    (mode == MPAE && (g & 0x7ff0000000000000)) ||
				    ((g & NX) && !(ctx.efer & NXE)) ||
				    (large && level > 3) || (large && level == 3 && !ctx.gbpages) ||
				    (large && level == 3 && (g & 0x3fffe000)) ||
				    (large && level == 2 && (g & 0x1fe000)))) {
			*code |= 9;
			return FAULT;
		}
		if (large && mode == M32 && (g & 0x200000)) {
			*code |= 9;
			return FAULT;
		}
		if (level > 1 && !large &&
		    (g & 0x000ffffffffff000) != 0x1000 * (mode_levels[mode] - level + 2))
			return ELSEWHERE;
		w &= !!(g & W);
		u &= !!(g & U);
		x &= mode == M32 || !(g & NX);
		if (large) {
			shift = mode == M32 ? 22 : level == 2 ? 21 : 30;
			break;
		}
	}
	*code |= 1;
	if ((ctx.cr4 & PKE) && mode >= M4 && u && !(access & EX)) {
		unsigned int key = (ctx.pkru >> (2 * ((g >> 59) & 15))) & 3;

		if ((key & 1) || ((key & 2) && (access & WR) && (user || (ctx.cr0 & WP)))) {
			*code |= 0x20;
			return FAULT;
		}
	}
	if (user && !u)
		return FAULT;
	if (!user && u && (access & EX) && (ctx.cr4 & SMEP))
		return FAULT;
	if (!user && u && !(access & EX) && (ctx.cr4 & SMAP) && !(ctx.rflags & AC))
		return FAULT;
	if ((access & WR) && !w && (user || (ctx.cr0 & WP)))
		return FAULT;
	if ((access & EX) && !x)
		return FAULT;
	*gpa = g & 0x000ffffffffff000 & ~((1ull << shift) - 1);
	if (shift == 22)
		*gpa |= ((g >> 13) & 0xff) << 32;
	*gpa |= mode_gva[mode] & ((1ull << shift) - 1);
	return OK;
}

static void random_tables(enum mode mode)
{
	static const u64 bits[] = { W, U, P, PS, NX, 1ull << 47, 1ull << 13, 1ull << 21, 1ull << 55,
				    1ull << 29, A, D };
	unsigned int level, i;

	set_up(mode);
	for (level = 1; level <= mode_levels[mode]; level++)
		for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
			if (chance(12) && !(mode == MPAE && level == 3 && bits[i] != P))
				put(mode, level, bits[i] ^ (mode == MPAE && level == 3 ? ctx.pdpte[3] :
							    get(mode, level)));
	if (chance(4))
		put(mode, 1, get(mode, 1) | (random64() << 59 & ~NX & ~(1ull << 62)));
	ctx.cr4 |= (chance(2) ? SMEP : 0) | (chance(2) ? SMAP : 0) | (chance(2) ? PSE : 0) |
		   (chance(2) ? PKE : 0);
	ctx.rflags = chance(2) ? AC : 0;
	ctx.pkru = chance(2) ? random64() : 0;
	if (chance(3))
		ctx.cr0 &= ~WP;
	if (chance(4))
		ctx.efer &= ~NXE;
	ctx.gbpages = chance(2);
}

/* A walk that begins at any table of the way of the one before, which came to @got, comes to the same. */
static bool comes_from(enum mode mode, unsigned int access, int got)
{
	unsigned int level = out.level + random64() % (out.top_level - out.level + 1), above;
	struct umbra_gwalk_start start = { .way = ~NX, .level = level };
	struct umbra_gwalk whole = out;
	int again;

	start.table = out.table_gpa[level - 1] & (mode == MPAE && level == 3 ? ~31ull : ~4095ull);
	for (above = level + 1; above <= out.top_level; above++) {
		if (mode == MPAE && above == 3)
			continue;
		start.way = (start.way & ~(W | U)) | (start.way & out.gpte[above - 1] & (W | U));
		start.way |= out.gpte[above - 1] & NX;
	}
	again = umbra_gwalk_from(&ctx, mode_gva[mode], access, &start, &out);
	if (!note("result from below", again, got) || !note("its top", out.top_level, level))
		return false;
	if (got == FAULT)
		return note("error code from below", out.error_code, whole.error_code);
	return note("gpa from below", out.gpa, whole.gpa) &&
	       note("rights from below", out.writable | out.user << 1 | out.executable << 2 | out.dirty << 3,
		    whole.writable | whole.user << 1 | whole.executable << 2 | whole.dirty << 3);
}

static bool agree(enum mode mode, unsigned int rounds)
{
	static const u8 kinds[] = { 0, WR, EX, US, US | WR, US | EX };
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		unsigned int access = kinds[random64() % sizeof(kinds)];
		int want, got;
		u64 gpa = 0;
		u32 code;

		random_tables(mode);
		want = judge(mode, access, &code, &gpa);
		got = walk(mode, access);
		if (want == ELSEWHERE)
			continue;
		if (!note("result", got, want) ||
		    (got == FAULT && !note("error code", out.error_code, code)) ||
		    (got == OK && !note("gpa", out.gpa, gpa)) || !comes_from(mode, access, got)) {
			tap_note("round %u, access %#x", i, access);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	unsigned int mode;

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (u64)time(NULL) * 2654435761u + 1;
	tap_begin();
	tap_note("seed %llu", (unsigned long long)seed);
	test_modes();
	test_rights();
	test_pkeys();
	test_large();
	test_reserved();
	test_canonical();
	test_races();
	for (mode = M32; mode < NR_MODES; mode++)
		tap_ok(agree(mode, 50000), "%s: 50000 random walks as judged, and the same from below", mode_name[mode]);
	return tap_end();
}
