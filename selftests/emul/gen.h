/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cases for the emulator's proof, generated from its own opcode tables: bytes of one instruction,
 * and a state in which it is worth executing. Knows no guest and no host: no libc.
 */
#ifndef EMUL_GEN_H
#define EMUL_GEN_H

#include "emul_priv.h"
#include "layout.h"

#define GEN_MAX_LEAVES	4096
#define GEN_VEX		0x10	/* of gen_leaf.map: behind VEX */
#define NO_REGISTER	0xff
#define GEN_CODE	24	/* bytes of a case's code: the instruction, then INT3 */

/**
 * struct gen_leaf - a row of the tables, and what leads to it
 * @op: the row
 * @flags: those of the way to it added up
 * @map: 0 one byte, 1 0F, 2 0F38, 3 0F3A, with GEN_VEX or without
 * @opcode: the last opcode byte
 * @reg, @rm: fields of the ModRM byte, or -1 for any
 * @mod: 0 memory, 1 register, -1 any
 * @prefix: 0 none, 1 66, 2 F3, 3 F2, -1 any
 * @long64: 1 in 64-bit mode only, 0 in others only, -1 any
 */
struct gen_leaf {
	const struct emul_opcode *op;
	u64 flags;
	u8 map, opcode;
	s8 reg, rm, mod, prefix, long64;
};

/* Bytes that stand in memory before the instruction. */
struct gen_patch {
	u32 offset;		/* in the data pages */
	u8 n;
	u8 bytes[40];
};

/**
 * struct gen_case - one case
 * @leaf: index of its row
 * @code: the instruction, followed by INT3
 * @len: its length as the emulator decodes it, 0 if it does not
 * @world: enum gen_world_nr: in what state of the machine
 * @mode: enum umbra_emul_mode, one that the world has
 * @cpl: 0 or 3
 * @step: RFLAGS.TF is set, so that the instruction ends in #DB; else INT3 does
 * @sel: selectors in the order of their encoding
 * @rip: offset of the instruction in its code segment
 * @cr0, @cr3, @cr4: control registers
 * @undefined: flags that the manuals leave undefined after it
 * @fault_undefined: more of them if it faults
 * @scanned: register that they leave undefined if ZF is set behind it, or NO_REGISTER
 * @time: EAX and EDX will be the time
 * @faulty: partial effects of a fault may be in memory
 * @writes: it reads the operand in memory that it writes
 * @fxsave: the data pages hold an image whose reserved bytes may be anything
 * @loose, @nr_loose: bytes of the data pages that the manuals leave undefined
 * @patch: what the data pages hold apart from the pattern
 */
struct gen_case {
	u32 leaf;
	u8 code[GEN_CODE];
	u8 len, world, mode, cpl;
	bool step, time, faulty, writes, debug, msr, fxsave;
	u8 nr_loose, scanned;
	u32 loose;
	u16 sel[6];
	u64 gpr[16], rip, rflags, cr0, cr3, cr4, undefined, fault_undefined;
	u8 vec[16][32];
	struct gen_patch patch[2];
	u8 nr_patches;
};

/* A segment that a selector of layout.h stands for. */
struct gen_segment {
	u64 descriptor;		/* as in the GDT */
	u32 base;
};

extern const struct gen_segment gen_gdt[NR_DESC];
extern struct gen_leaf gen_leaves[GEN_MAX_LEAVES];
extern u32 gen_nr_leaves;
/* The pattern of the data pages. */
extern u8 gen_data[DATA_PAGES * 4096];

void gen_tables(void);
/* New data for a batch of cases. */
void gen_pattern(u64 seed);
/* Case @index of @seed; false: the row has none in the mode drawn. */
bool gen_make(struct gen_case *c, u64 seed, u64 index);
/* Why a row cannot be tried on this CPU, or NULL. */
const char *gen_excluded(const struct gen_leaf *l);
/* The CPU under test is not QEMU's, which does not look at all that it should. */
extern bool gen_strict;
/* It is Bochs's, which has ways of its own; and one of AMD's, with Bochs's SVM. */
extern bool gen_bochs, gen_bochs_svm;
/* XCR0 of the cases, 0 without XSAVE. */
extern u64 gen_xcr0;
/* If not NULL, only the rows of this handler, which gen_name() has as it is here. */
extern const char *gen_only;
/* Only cases that do not run in the guest's own world. */
extern bool gen_elsewhere;
const char *gen_name(emul_exec_t exec);

static inline u64 gen_cr4(void)
{
	return CASE_CR4 | (gen_xcr0 ? CASE_CR4_XSAVE : 0);
}

#endif
