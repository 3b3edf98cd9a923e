/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worlds in which cases run: one is that of the guest which makes them, 64-bit and
 * compatibility mode. The others are those that a CPU in long mode does not get to by itself;
 * there a second virtual machine that shares the memory takes the case (world_run.c).
 */
#ifndef EMUL_WORLD_H
#define EMUL_WORLD_H

#include "gen.h"

/**
 * enum gen_world_nr - where a case runs
 * @WORLD_OWN: in the guest's own long mode
 * @WORLD_GUARDED: in long mode, with what CR4 has to guard pages and instructions
 * @WORLD_REAL: real mode
 * @WORLD_UNREAL: real mode whose data segments have limits of 4 GiB
 * @WORLD_VM86: virtual-8086 mode
 * @WORLD_FLAT: protected mode without paging
 * @WORLD_PAGED: protected mode, 32-bit page tables
 * @WORLD_PAE: protected mode, PAE's page tables
 */
enum gen_world_nr {
	WORLD_OWN,
	WORLD_GUARDED,
	WORLD_REAL,
	WORLD_UNREAL,
	WORLD_VM86,
	WORLD_FLAT,
	WORLD_PAGED,
	WORLD_PAE,
	NR_WORLDS
};

/* Forms of page tables; each stands there twice. */
enum { TABLES_32, TABLES_PAE, TABLES_LONG };

/**
 * struct gen_world - what all cases of a world have
 * @name: for people
 * @modes: bits by enum umbra_emul_mode
 * @cr0, @cr4, @efer: what cannot be drawn
 * @guards: what can be drawn of CR4
 */
struct gen_world {
	const char *name;
	u32 modes;
	u64 cr0, cr4, efer, guards;
};

extern const struct gen_world gen_worlds[NR_WORLDS];
/* Of CR4, what the CPU has to guard pages and instructions. */
extern u64 gen_guards;
/* If not NULL, the one world to draw. */
extern const struct gen_world *gen_only_world;

/* Linear address of a page of the worlds' own structures, by its number in layout.h. */
static inline u32 world_page(u32 page)
{
	return WORLD_LA + page * 4096;
}

/* The root of page tables of @form; @kernel: most pages are the supervisor's. */
static inline u32 world_root(u32 form, bool kernel)
{
	return world_page(WORLD_TABLES + (form * 2 + kernel) * WORLD_TABLE_PAGES);
}

static inline bool gen_paged(const struct gen_case *c)
{
	return c->cr0 >> 31;
}

/* CR3 stands for four PDPTEs. */
static inline bool gen_pdptes(const struct gen_case *c)
{
	return gen_paged(c) && c->world > WORLD_GUARDED && c->cr4 & 1u << 5;
}

/* Segments are paragraphs. */
static inline bool gen_paragraphs(const struct gen_case *c)
{
	return c->mode <= UMBRA_EMUL_VM86;
}

/* EFER.LMA is set. */
static inline bool gen_long(const struct gen_case *c)
{
	return c->world <= WORLD_GUARDED;
}

/* An exception's frame goes on the stack that the case has. */
static inline bool gen_same_stack(const struct gen_case *c)
{
	return !gen_long(c) && !c->cpl;
}

/* Code in user pages, as the last ones of it are, cannot run. */
static inline bool gen_guarded_fetch(const struct gen_case *c)
{
	return !c->cpl && c->cr4 & GUARD_SMEP;
}

/* Draw world, mode, level and control registers; false: not the world that was asked for. */
bool gen_draw_world(struct gen_case *c, const struct gen_leaf *leaf, bool own);
/* A segment register of the case when it begins. */
void gen_segment(const struct gen_case *c, u32 nr, struct umbra_emul_seg *seg);
/* Linear address of the first data page. */
u32 gen_data_la(const struct gen_case *c);
/* The GDT or the IDT of the case: where it is, and its limit. */
u64 world_table(const struct gen_case *c, bool gdt);
u16 world_table_limit(const struct gen_case *c, bool gdt);
/* The offset in its segment of byte @at of the code pages, and back. */
u64 gen_code_rip(const struct gen_case *c, u32 at);
u32 gen_code_at(const struct gen_case *c);

#endif
