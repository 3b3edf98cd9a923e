/* SPDX-License-Identifier: GPL-2.0-only */
/* How the opcode tables are written; for emul_tables*.c alone. */
#ifndef UMBRA_EMUL_TABLES_H
#define UMBRA_EMUL_TABLES_H

#include "emul_priv.h"

/* An instruction, and tables reached through a discriminator; flags add up on the way. */
#define I(name, f)	{ .flags = (f), .exec = emul_op_##name }
#define T(kind, tbl, f)	{ .flags = F_##kind | (f), .table = (tbl) }
#define UNDEF(f)	{ .flags = F_UNDEF | (f) }
#define PREFIX		{ .flags = F_PREFIX }
/* Undefined where the CPU lacks the feature; where it has it, an instruction not known here. */
#define ONLY(name)	{ .flags = F_CPU(name) }

#define RM_REG		(F_MODRM | F_OP(O_RM, O_REG))
#define REG_RM		(F_MODRM | F_OP(O_REG, O_RM))
#define VEC		(F_SSE | F_NOREP)
#define XREG_XRM(n)	(F_OP(O_XREG, O_XRM) | F_VSIZE(n))
#define XRM_XREG(n)	(F_OP(O_XRM, O_XREG) | F_VSIZE(n))

#endif
