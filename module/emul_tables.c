// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one-byte opcodes. An entry without handler or table is an instruction the emulator does not
 * know: UMBRA_EMUL_UNHANDLEABLE.
 */
#include "emul_tables.h"

/* The six forms of a two-operand ALU instruction from opcode @base. */
#define ALU(base, name, locked, f)					\
	[(base) + 0] = I(name, RM_REG | F_BYTE | (locked) | (f)),	\
	[(base) + 1] = I(name, RM_REG | (locked) | (f)),		\
	[(base) + 2] = I(name, REG_RM | F_BYTE | (f)),			\
	[(base) + 3] = I(name, REG_RM | (f)),				\
	[(base) + 4] = I(name, F_OP(O_ACC, O_IMM) | F_BYTE | (f)),	\
	[(base) + 5] = I(name, F_OP(O_ACC, O_IMM) | (f))

static const struct emul_opcode group1[8] = {
	I(add, F_LOCK), I(or, F_LOCK), I(adc, F_LOCK), I(sbb, F_LOCK),
	I(and, F_LOCK), I(sub, F_LOCK), I(xor, F_LOCK), I(cmp, F_NOWRITE),
};

static const struct emul_opcode group1a[8] = {
	I(pop, F_OP(O_RM, O_NONE) | F_MOV | F_D64 | F_POPEA | F_TWOMEM),
	ONLY(XOP), ONLY(XOP), ONLY(XOP), ONLY(XOP), ONLY(XOP), ONLY(XOP), ONLY(XOP),
};

static const struct emul_opcode group2[8] = {
	I(rol, 0), I(ror, 0), I(rcl, 0), I(rcr, 0), I(shl, 0), I(shr, 0), I(shl, 0), I(sar, 0),
};

static const struct emul_opcode group3[8] = {
	I(test, F_SRC(O_IMM) | F_NOWRITE), I(test, F_SRC(O_IMM) | F_NOWRITE),
	I(not, F_LOCK), I(neg, F_LOCK),
	I(mul, F_NOWRITE), I(imul, F_NOWRITE), I(div, F_NOWRITE), I(idiv, F_NOWRITE),
};

static const struct emul_opcode group4[8] = {
	I(inc, F_DST(O_RM) | F_LOCK), I(dec, F_DST(O_RM) | F_LOCK),
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};

static const struct emul_opcode group5[8] = {
	[0] = I(inc, F_DST(O_RM) | F_LOCK),
	[1] = I(dec, F_DST(O_RM) | F_LOCK),
	[2] = I(call_abs, F_SRC(O_RM) | F_NEAR | F_TWOMEM),
	[3] = I(call_far_mem, F_SRC(O_ADDR) | F_SELF),
	[4] = I(jmp_abs, F_SRC(O_RM) | F_NEAR),
	[5] = I(jmp_far_mem, F_SRC(O_ADDR) | F_SELF),
	[6] = I(push, F_SRC(O_RM) | F_D64 | F_TWOMEM),
	[7] = UNDEF(0),
};

static const struct emul_opcode group11[8] = {
	I(mov, F_OP(O_RM, O_IMM) | F_MOV),
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};

static const struct emul_opcode movsxd[2] = {
	I(arpl, F_OP(O_RM16, O_REG) | F_PROT),
	I(movsx, F_OP(O_REG, O_RM32) | F_MOV),
};

/* The x87's control instructions; its arithmetic is not done. */
static const struct emul_opcode d9_mem[8] = {
	[5] = I(fldcw, F_DST(O_ADDR) | F_SELF),
	[7] = I(fnstcw, F_DST(O_ADDR) | F_SELF),
};
static const struct emul_opcode d9[2] = { T(GROUP, d9_mem, 0) };
static const struct emul_opcode db_reg4[8] = {
	[2] = I(fnclex, F_SELF),
	[3] = I(fninit, F_SELF),
};
static const struct emul_opcode db_reg[8] = { [4] = T(GROUPRM, db_reg4, 0) };
static const struct emul_opcode db[2] = { [1] = T(GROUP, db_reg, 0) };
static const struct emul_opcode dd_mem[8] = { [7] = I(fnstsw, F_DST(O_ADDR) | F_SELF) };
static const struct emul_opcode dd[2] = { T(GROUP, dd_mem, 0) };
static const struct emul_opcode df_reg4[8] = { I(fnstsw, F_SELF) };
static const struct emul_opcode df_reg[8] = { [4] = T(GROUPRM, df_reg4, 0) };
static const struct emul_opcode df[2] = { [1] = T(GROUP, df_reg, 0) };

const struct emul_opcode emul_opcodes[256] = {
	ALU(0x00, add, F_LOCK, 0),
	[0x06] = I(push_sreg, F_NO64), [0x07] = I(pop_sreg, F_NO64),
	ALU(0x08, or, F_LOCK, 0),
	[0x0e] = I(push_sreg, F_NO64), [0x0f] = { .flags = F_ESC0F },
	ALU(0x10, adc, F_LOCK, 0),
	[0x16] = I(push_sreg, F_NO64), [0x17] = I(pop_sreg, F_NO64),
	ALU(0x18, sbb, F_LOCK, 0),
	[0x1e] = I(push_sreg, F_NO64), [0x1f] = I(pop_sreg, F_NO64),
	ALU(0x20, and, F_LOCK, 0),
	[0x26] = PREFIX, [0x27] = I(daa, F_NO64),
	ALU(0x28, sub, F_LOCK, 0),
	[0x2e] = PREFIX, [0x2f] = I(das, F_NO64),
	ALU(0x30, xor, F_LOCK, 0),
	[0x36] = PREFIX, [0x37] = I(aaa, F_NO64),
	ALU(0x38, cmp, 0, F_NOWRITE),
	[0x3e] = PREFIX, [0x3f] = I(aas, F_NO64),
	/* REX in 64-bit mode */
	[0x40 ... 0x47] = I(inc, F_PREFIX | F_DST(O_OPREG)),
	[0x48 ... 0x4f] = I(dec, F_PREFIX | F_DST(O_OPREG)),
	[0x50 ... 0x57] = I(push, F_SRC(O_OPREG) | F_D64),
	[0x58 ... 0x5f] = I(pop, F_DST(O_OPREG) | F_MOV | F_D64),
	[0x60] = I(pusha, F_NO64), [0x61] = I(popa, F_NO64),
	[0x62] = I(bound, F_ESC0F | F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF | F_NO64),
	[0x63] = T(BY64, movsxd, F_MODRM),
	[0x64 ... 0x67] = PREFIX,
	[0x68] = I(push, F_SRC(O_IMM) | F_D64),
	[0x69] = I(imul3, REG_RM | F_SRC2(O_IMM) | F_MOV),
	[0x6a] = I(push, F_SRC(O_SIMM8) | F_D64),
	[0x6b] = I(imul3, REG_RM | F_SRC2(O_SIMM8) | F_MOV),
	[0x6c] = I(ins, F_STRING | F_IO | F_BYTE), [0x6d] = I(ins, F_STRING | F_IO),
	[0x6e] = I(outs, F_STRING | F_IO | F_BYTE), [0x6f] = I(outs, F_STRING | F_IO),
	[0x70 ... 0x7f] = I(jcc, F_SRC(O_SIMM8) | F_NEAR),
	[0x80] = T(GROUP, group1, F_MODRM | F_OP(O_RM, O_IMM) | F_BYTE),
	[0x81] = T(GROUP, group1, F_MODRM | F_OP(O_RM, O_IMM)),
	[0x82] = T(GROUP, group1, F_MODRM | F_OP(O_RM, O_IMM) | F_BYTE | F_NO64),
	[0x83] = T(GROUP, group1, F_MODRM | F_OP(O_RM, O_SIMM8)),
	[0x84] = I(test, RM_REG | F_BYTE | F_NOWRITE), [0x85] = I(test, RM_REG | F_NOWRITE),
	[0x86] = I(xchg, RM_REG | F_BYTE | F_LOCK | F_XCHG | F_WBSRC),
	[0x87] = I(xchg, RM_REG | F_LOCK | F_XCHG | F_WBSRC),
	[0x88] = I(mov, RM_REG | F_BYTE | F_MOV), [0x89] = I(mov, RM_REG | F_MOV),
	[0x8a] = I(mov, REG_RM | F_BYTE | F_MOV), [0x8b] = I(mov, REG_RM | F_MOV),
	[0x8c] = I(mov_from_sreg, F_MODRM | F_OP(O_RMW, O_SREG) | F_MOV),
	[0x8d] = I(lea, F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF),
	[0x8e] = I(mov_to_sreg, F_MODRM | F_OP(O_SREG, O_RM16) | F_MOV | F_NOWRITE | F_TWOMEM),
	[0x8f] = T(GROUP, group1a, F_MODRM),
	[0x90] = I(xchg_acc, 0),
	[0x91 ... 0x97] = I(xchg, F_OP(O_OPREG, O_ACC) | F_WBSRC),
	[0x98] = I(cwde, 0), [0x99] = I(cdq, 0),
	[0x9a] = I(call_far, F_OP(O_IMM, O_UIMM16) | F_SELF | F_NO64),
	[0x9b] = I(fwait, F_SELF),
	[0x9c] = I(pushf, F_D64), [0x9d] = I(popf, F_D64),
	[0x9e] = I(sahf, 0), [0x9f] = I(lahf, 0),
	[0xa0] = I(mov, F_OP(O_ACC, O_MOFFS) | F_BYTE | F_MOV),
	[0xa1] = I(mov, F_OP(O_ACC, O_MOFFS) | F_MOV),
	[0xa2] = I(mov, F_OP(O_MOFFS, O_ACC) | F_BYTE | F_MOV),
	[0xa3] = I(mov, F_OP(O_MOFFS, O_ACC) | F_MOV),
	[0xa4] = I(movs, F_STRING | F_BYTE), [0xa5] = I(movs, F_STRING),
	[0xa6] = I(cmps, F_STRING | F_BYTE), [0xa7] = I(cmps, F_STRING),
	[0xa8] = I(test, F_OP(O_ACC, O_IMM) | F_BYTE | F_NOWRITE),
	[0xa9] = I(test, F_OP(O_ACC, O_IMM) | F_NOWRITE),
	[0xaa] = I(stos, F_STRING | F_BYTE), [0xab] = I(stos, F_STRING),
	[0xac] = I(lods, F_STRING | F_BYTE), [0xad] = I(lods, F_STRING),
	[0xae] = I(scas, F_STRING | F_BYTE), [0xaf] = I(scas, F_STRING),
	[0xb0 ... 0xb7] = I(mov, F_OP(O_OPREG, O_IMM) | F_BYTE | F_MOV),
	[0xb8 ... 0xbf] = I(mov, F_OP(O_OPREG, O_IMMV) | F_MOV),
	[0xc0] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_UIMM8) | F_BYTE),
	[0xc1] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_UIMM8)),
	[0xc2] = I(ret, F_SRC(O_UIMM16) | F_NEAR), [0xc3] = I(ret, F_NEAR),
	/* or VEX */
	[0xc4] = I(les, F_ESC0F | F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF | F_NO64),
	[0xc5] = I(lds, F_ESC0F | F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF | F_NO64),
	[0xc6] = T(GROUP, group11, F_MODRM | F_BYTE), [0xc7] = T(GROUP, group11, F_MODRM),
	[0xc8] = I(enter, F_SRC(O_UIMM16) | F_SRC2(O_UIMM8) | F_D64), [0xc9] = I(leave, F_D64),
	[0xca] = I(retf, F_SRC(O_UIMM16) | F_SELF), [0xcb] = I(retf, F_SELF),
	[0xcc] = I(int3, F_SELF), [0xcd] = I(int, F_SRC(O_UIMM8) | F_SELF),
	[0xce] = I(into, F_SELF | F_NO64), [0xcf] = I(iret, F_SELF),
	[0xd0] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_ONE) | F_BYTE),
	[0xd1] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_ONE)),
	[0xd2] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_CL) | F_BYTE),
	[0xd3] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_CL)),
	[0xd4] = I(aam, F_SRC(O_UIMM8) | F_NO64), [0xd5] = I(aad, F_SRC(O_UIMM8) | F_NO64),
	[0xd6] = I(salc, F_NO64),
	[0xd7] = I(xlat, 0),
	[0xd9] = T(DUAL, d9, F_MODRM), [0xdb] = T(DUAL, db, F_MODRM),
	[0xdd] = T(DUAL, dd, F_MODRM), [0xdf] = T(DUAL, df, F_MODRM),
	[0xe0 ... 0xe2] = I(loop, F_SRC(O_SIMM8) | F_NEAR),
	[0xe3] = I(jcxz, F_SRC(O_SIMM8) | F_NEAR),
	[0xe4] = I(in, F_OP(O_ACC, O_UIMM8) | F_BYTE | F_MOV | F_IO),
	[0xe5] = I(in, F_OP(O_ACC, O_UIMM8) | F_MOV | F_IO),
	[0xe6] = I(out, F_OP(O_UIMM8, O_ACC) | F_BYTE | F_NOWRITE | F_IO),
	[0xe7] = I(out, F_OP(O_UIMM8, O_ACC) | F_NOWRITE | F_IO),
	[0xe8] = I(call, F_SRC(O_IMM) | F_NEAR), [0xe9] = I(jmp, F_SRC(O_IMM) | F_NEAR),
	[0xea] = I(jmp_far, F_OP(O_IMM, O_UIMM16) | F_SELF | F_NO64),
	[0xeb] = I(jmp, F_SRC(O_SIMM8) | F_NEAR),
	[0xec] = I(in, F_OP(O_ACC, O_DX) | F_BYTE | F_MOV | F_IO),
	[0xed] = I(in, F_OP(O_ACC, O_DX) | F_MOV | F_IO),
	[0xee] = I(out, F_OP(O_DX, O_ACC) | F_BYTE | F_NOWRITE | F_IO),
	[0xef] = I(out, F_OP(O_DX, O_ACC) | F_NOWRITE | F_IO),
	[0xf0] = PREFIX, [0xf1] = I(int1, F_SELF), [0xf2] = PREFIX, [0xf3] = PREFIX,
	[0xf4] = I(hlt, F_PRIV), [0xf5] = I(cmc, 0),
	[0xf6] = T(GROUP, group3, F_MODRM | F_OP(O_RM, O_NONE) | F_BYTE),
	[0xf7] = T(GROUP, group3, F_MODRM | F_OP(O_RM, O_NONE)),
	[0xf8] = I(clc, 0), [0xf9] = I(stc, 0), [0xfa] = I(cli, 0), [0xfb] = I(sti, 0),
	[0xfc] = I(cld, 0), [0xfd] = I(std, 0),
	[0xfe] = T(GROUP, group4, F_MODRM | F_BYTE), [0xff] = T(GROUP, group5, F_MODRM),
};
