/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the generator share. */
#ifndef EMUL_GEN_PRIV_H
#define EMUL_GEN_PRIV_H

#include "gen.h"

#define NO_TARGET	~0u

/* The data pages that are not plain memory. */
#define DATA_ABSENT	3
#define DATA_RO		6
#define DATA_KERNEL	9
#define DATA_ABSENT2	12
#define DATA_KEY1	0	/* where there are protection keys */
#define DATA_KEY2	15

/**
 * struct gen_build - a case in the making
 * @c: the case
 * @leaf: its row
 * @e: decoded
 * @n: bytes of code so far
 * @opcode_at, @modrm_at: where they stand in the code
 * @target: offset in the data pages of the memory operand, or NO_TARGET
 */
struct gen_build {
	struct gen_case *c;
	const struct gen_leaf *leaf;
	struct umbra_emul e;
	u32 n, opcode_at, modrm_at, target;
};

u64 gen_random(void);
bool gen_chance(u32 n);
u64 gen_value(void);
u32 gen_target(void);
u32 gen_plain_target(void);
bool gen_is_plain(u32 target);
u16 gen_paragraph(const struct gen_case *c, u32 seg);
u64 gen_offset(const struct gen_case *c, u32 seg, u32 target);
void gen_set(struct gen_case *c, u32 reg, u32 size, u64 val);
void gen_patch(struct gen_case *c, u32 target, const void *bytes, u32 n);
struct emul_operand *gen_memory(struct gen_build *b);

/* gen_care.c: what single instructions need. */
bool gen_allowed(const struct gen_build *b);
bool gen_string(struct gen_build *b);
bool gen_care(struct gen_build *b);
u64 gen_undefined(const struct umbra_emul *e);

/* gen_far.c: far transfers, each with somewhere to go. */
bool gen_iret(struct gen_build *b);
bool gen_retf(struct gen_build *b);
bool gen_far(struct gen_build *b);
bool gen_far_mem(struct gen_build *b);
bool gen_interrupt(struct gen_build *b);

#endif
