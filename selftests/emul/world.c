// SPDX-License-Identifier: GPL-2.0-only
/* What the worlds have, as the generator and those who run the cases need it. */
#include "gen_priv.h"
#include "world.h"

#define CR0_PE		(1u << 0)
#define CR0_WP		(1u << 16)
/* MP ET NE, which all have */
#define CR0_ALL		0x32
#define CR0_PROT	(CR0_ALL | CR0_PE)
#define CR0_PAGED	(CR0_PROT | 1u << 31)

#define CR4_PAE		(1u << 5)
/* OSFXSR OSXMMEXCPT */
#define CR4_ALL		0x600

/* SCE NX, and LME LMA */
#define EFER_ALL	0x801
#define EFER_LONG	0x500

#define M(mode)		(1u << UMBRA_EMUL_##mode)

const struct gen_world gen_worlds[NR_WORLDS] = {
	[WORLD_OWN] = {
		"long mode", M(LONG64) | M(PROT32) | M(PROT16), CASE_CR0, CASE_CR4,
		EFER_ALL | EFER_LONG, 0,
	},
	[WORLD_GUARDED] = {
		"long mode, guarded", M(LONG64) | M(PROT32) | M(PROT16), CR0_PAGED, CASE_CR4,
		EFER_ALL | EFER_LONG, GUARD_SMEP | GUARD_SMAP | GUARD_PKE | GUARD_UMIP | GUARD_TSD,
	},
	[WORLD_REAL] = {
		"real mode", M(REAL), CR0_ALL, CR4_ALL, EFER_ALL, GUARD_UMIP | GUARD_TSD,
	},
	[WORLD_UNREAL] = { "unreal mode", M(REAL), CR0_ALL, CR4_ALL, EFER_ALL, 0 },
	[WORLD_VM86] = {
		"vm86 mode", M(VM86), CR0_PAGED, CR4_ALL, EFER_ALL,
		GUARD_SMEP | GUARD_SMAP | GUARD_UMIP | GUARD_TSD,
	},
	[WORLD_FLAT] = {
		"protected mode", M(PROT32) | M(PROT16), CR0_PROT, CR4_ALL, EFER_ALL,
		GUARD_UMIP | GUARD_TSD,
	},
	[WORLD_PAGED] = {
		"protected mode, paging", M(PROT32) | M(PROT16), CR0_PAGED, CR4_ALL, EFER_ALL,
		GUARD_SMEP | GUARD_SMAP | GUARD_UMIP | GUARD_TSD,
	},
	[WORLD_PAE] = {
		"protected mode, PAE", M(PROT32) | M(PROT16), CR0_PAGED, CR4_ALL | CR4_PAE, EFER_ALL,
		GUARD_SMEP | GUARD_SMAP | GUARD_UMIP | GUARD_TSD,
	},
};

u64 gen_guards;
const struct gen_world *gen_only_world;

static u8 draw_mode(const struct gen_world *w, const struct gen_leaf *leaf)
{
	static const u8 all[] = {
		UMBRA_EMUL_LONG64, UMBRA_EMUL_LONG64, UMBRA_EMUL_PROT32, UMBRA_EMUL_PROT16,
		UMBRA_EMUL_REAL, UMBRA_EMUL_VM86,
	};
	u32 modes = w->modes, i;

	if (leaf->long64 >= 0)
		modes &= leaf->long64 ? M(LONG64) : ~M(LONG64);
	do {
		i = gen_random() % sizeof(all);
	} while (!(modes & 1u << all[i]));
	return all[i];
}

/* Tables whose pages the case can use, most of them. */
static u32 draw_tables(struct gen_case *c)
{
	bool kernel = !c->cpl && (c->cr4 & GUARD_SMAP) && !gen_chance(8);
	u32 form = TABLES_32;

	/* The code has to begin; and the frame of an exception may have to be the supervisor's. */
	if (gen_guarded_fetch(c) || (gen_same_stack(c) && c->cr4 & GUARD_SMAP))
		kernel = true;
	if (gen_long(c))
		form = TABLES_LONG;
	else if (c->cr4 & CR4_PAE)
		form = TABLES_PAE;
	return world_root(form, kernel);
}

static void draw_own(struct gen_case *c, const struct gen_leaf *leaf)
{
	u64 r = gen_random();

	if (leaf->long64 == 1 || (leaf->long64 < 0 && (r & 1)))
		c->mode = UMBRA_EMUL_LONG64;
	else
		c->mode = r & 2 ? UMBRA_EMUL_PROT32 : UMBRA_EMUL_PROT16;
	c->cpl = r & 4 ? 3 : 0;
	c->step = (r & 0x18) == 0;
	c->cr0 = CASE_CR0;
	c->cr3 = TABLES_GPA;
	c->cr4 = gen_cr4();
}

bool gen_draw_world(struct gen_case *c, const struct gen_leaf *leaf, bool own)
{
	static const u8 others[] = {
		WORLD_GUARDED, WORLD_GUARDED, WORLD_REAL, WORLD_UNREAL, WORLD_VM86, WORLD_FLAT,
		WORLD_PAGED, WORLD_PAE,
	};
	const struct gen_world *w;

	if (own) {
		draw_own(c, leaf);
		return !gen_only_world || gen_only_world == gen_worlds;
	}
	c->world = others[gen_random() % sizeof(others)];
	if (leaf->long64 == 1)
		c->world = WORLD_GUARDED;
	w = &gen_worlds[c->world];
	if (gen_only_world && gen_only_world != w)
		return false;
	/* Bochs ends itself at an exit of SVM from there. */
	if (gen_bochs_svm && c->world == WORLD_VM86)
		return false;
	c->mode = draw_mode(w, leaf);
	c->cpl = c->mode == UMBRA_EMUL_VM86 || (c->mode != UMBRA_EMUL_REAL && gen_chance(2)) ? 3 : 0;
	c->step = gen_chance(4);
	c->cr0 = w->cr0;
	c->cr4 = w->cr4;
	c->cr4 |= gen_random() & w->guards & gen_guards;
	if (c->mode == UMBRA_EMUL_VM86 && gen_chance(2))
		c->cr4 |= CR4_PAE;
	if (!gen_paged(c))
		return true;
	c->cr0 |= gen_chance(4) ? 0 : CR0_WP;
	c->cr3 = draw_tables(c);
	return true;
}

static void paragraph_segment(const struct gen_case *c, u32 nr, struct umbra_emul_seg *seg)
{
	bool big = c->world == WORLD_UNREAL && nr != EMUL_CS;

	seg->base = c->sel[nr] << 4;
	seg->limit = big ? 0xffffffff : 0xffff;
	seg->attr = EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_ACCESSED | EMUL_SEG_WRITE;
	if (big)
		seg->attr |= EMUL_SEG_G;
	if (c->mode == UMBRA_EMUL_VM86)
		seg->attr |= 3 << EMUL_SEG_DPL_SHIFT;
	else if (nr == EMUL_CS)
		seg->attr |= EMUL_SEG_CODE;
}

void gen_segment(const struct gen_case *c, u32 nr, struct umbra_emul_seg *seg)
{
	u64 d = gen_gdt[c->sel[nr] / 8 % NR_DESC].descriptor;

	seg->sel = c->sel[nr];
	if (gen_paragraphs(c)) {
		paragraph_segment(c, nr, seg);
		return;
	}
	seg->base = gen_gdt[c->sel[nr] / 8 % NR_DESC].base;
	seg->attr = (d >> 40 & 0xff) | (d >> 44 & 0xf00);
	seg->limit = (d & 0xffff) | (d >> 32 & 0xf0000);
	if (seg->attr & EMUL_SEG_G)
		seg->limit = seg->limit << 12 | 0xfff;
}

u32 gen_data_la(const struct gen_case *c)
{
	return gen_paragraphs(c) ? LOW_DATA_LA : DATA_LA;
}

/* Is the code segment's base where the code pages begin? */
static bool code_based(const struct gen_case *c)
{
	return c->mode <= UMBRA_EMUL_PROT16;
}

u64 gen_code_rip(const struct gen_case *c, u32 at)
{
	return code_based(c) ? at : CODE_LA + at;
}

u32 gen_code_at(const struct gen_case *c)
{
	return code_based(c) ? c->rip : c->rip - CODE_LA;
}

u64 world_table(const struct gen_case *c, bool gdt)
{
	if (c->world == WORLD_OWN)
		return HIGH_LA + (gdt ? HIGH_GDT : HIGH_IDT) * 4096;
	if (gdt)
		return world_page(WORLD_GDT);
	if (c->mode == UMBRA_EMUL_REAL)
		return LOW_REAL_LA;
	return world_page(gen_long(c) ? WORLD_IDT64 : WORLD_IDT32);
}

u16 world_table_limit(const struct gen_case *c, bool gdt)
{
	u32 gate = gen_long(c) ? 16 : c->mode == UMBRA_EMUL_REAL ? 4 : 8;

	return gdt ? NR_DESC * 8 - 1 : NR_VECTORS * gate - 1;
}
