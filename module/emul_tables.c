// SPDX-License-Identifier: GPL-2.0-only
/*
 * The opcode tables. An entry without handler or table is an instruction the emulator does not
 * know: UMBRA_EMUL_UNHANDLEABLE.
 */
#include "emul_priv.h"

/* An instruction, and tables reached through a discriminator; flags add up on the way. */
#define I(name, f)	{ .flags = (f), .exec = emul_op_##name }
#define T(kind, tbl, f)	{ .flags = F_##kind | (f), .table = (tbl) }
#define UNDEF(f)	{ .flags = F_UNDEF | (f) }
#define PREFIX		{ .flags = F_PREFIX }

#define RM_REG		(F_MODRM | F_OP(O_RM, O_REG))
#define REG_RM		(F_MODRM | F_OP(O_REG, O_RM))
#define VEC		(F_SSE | F_NOREP)
#define XREG_XRM(n)	(F_OP(O_XREG, O_XRM) | F_VSIZE(n))
#define XRM_XREG(n)	(F_OP(O_XRM, O_XREG) | F_VSIZE(n))

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
	[4] = I(jmp_abs, F_SRC(O_RM) | F_NEAR),
	[6] = I(push, F_SRC(O_RM) | F_D64 | F_TWOMEM),
	[7] = UNDEF(0),
};

static const struct emul_opcode group6[8] = {
	[0] = I(sldt, F_DST(O_RMW) | F_MOV | F_PROT),
	[1] = I(str, F_DST(O_RMW) | F_MOV | F_PROT),
};

static const struct emul_opcode group7_reg7[8] = {
	[1] = I(rdtscp, 0),
};

static const struct emul_opcode group7_0[2] = { I(sgdt, F_DST(O_ADDR) | F_SELF), };
static const struct emul_opcode group7_1[2] = { I(sidt, F_DST(O_ADDR) | F_SELF), };
static const struct emul_opcode group7_2[2] = { I(lgdt, F_DST(O_ADDR) | F_SELF | F_PRIV), };
static const struct emul_opcode group7_3[2] = { I(lidt, F_DST(O_ADDR) | F_SELF | F_PRIV), };
static const struct emul_opcode group7_7[2] = {
	I(invlpg, F_DST(O_ADDR) | F_SELF | F_PRIV),
	T(GROUPRM, group7_reg7, 0),
};

static const struct emul_opcode group7[8] = {
	[0] = T(DUAL, group7_0, 0),
	[1] = T(DUAL, group7_1, 0),
	[2] = T(DUAL, group7_2, 0),
	[3] = T(DUAL, group7_3, 0),
	[4] = I(smsw, F_DST(O_RMW) | F_MOV),
	[6] = I(lmsw, F_SRC(O_RM16) | F_PRIV),
	[7] = T(DUAL, group7_7, 0),
};

static const struct emul_opcode group8[8] = {
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
	I(bt, F_NOWRITE), I(bts, F_LOCK), I(btr, F_LOCK), I(btc, F_LOCK),
};

static const struct emul_opcode group9_1[2] = {
	I(cmpxchg8b, F_DST(O_MEM2X) | F_LOCK | F_ALIGN),
	UNDEF(0),
};

static const struct emul_opcode group9[8] = {
	[1] = T(DUAL, group9_1, 0),
};

static const struct emul_opcode group11[8] = {
	I(mov, F_OP(O_RM, O_IMM) | F_MOV),
};

static const struct emul_opcode clflush_pfx[4] = {
	I(clflush, F_DST(O_ADDR) | F_SELF), I(clflush, F_DST(O_ADDR) | F_SELF),
};

static const struct emul_opcode clwb_pfx[4] = { [1] = I(clflush, F_DST(O_ADDR) | F_SELF) };
static const struct emul_opcode fence_pfx[4] = { I(nop, 0) };
static const struct emul_opcode group15_5[2] = { [1] = T(MANDATORY, fence_pfx, 0) };
static const struct emul_opcode group15_6[2] = {
	T(MANDATORY, clwb_pfx, 0), T(MANDATORY, fence_pfx, 0)
};
static const struct emul_opcode group15_7[2] = {
	T(MANDATORY, clflush_pfx, 0), T(MANDATORY, fence_pfx, 0)
};

static const struct emul_opcode group15[8] = {
	[5] = T(DUAL, group15_5, 0),
	[6] = T(DUAL, group15_6, 0),
	[7] = T(DUAL, group15_7, 0),
};

/* 63: MOVSXD, or ARPL, which is not done. */
static const struct emul_opcode movsxd[2] = {
	[1] = I(movsx, F_OP(O_REG, O_RM32) | F_MOV),
};

/* F3 makes other instructions of BSF and BSR where the CPU has them. */
static const struct emul_opcode bsf_pfx[4] = { I(bsf, 0), I(bsf, 0) };
static const struct emul_opcode bsr_pfx[4] = { I(bsr, 0), I(bsr, 0) };

/* Vector moves by prefix: none, 66, F3, F2. */
static const struct emul_opcode movss_load[2] = {
	I(vmov, XREG_XRM(2) | F_MOV), I(vmov_low, XREG_XRM(2)),
};
static const struct emul_opcode movsd_load[2] = {
	I(vmov, XREG_XRM(3) | F_MOV), I(vmov_low, XREG_XRM(3)),
};
static const struct emul_opcode movss_store[2] = {
	I(vmov, XRM_XREG(2) | F_MOV), I(vmov_low, XRM_XREG(2)),
};
static const struct emul_opcode movsd_store[2] = {
	I(vmov, XRM_XREG(3) | F_MOV), I(vmov_low, XRM_XREG(3)),
};
static const struct emul_opcode pfx_0f10[4] = {
	I(vmov, XREG_XRM(4) | F_MOV), I(vmov, XREG_XRM(4) | F_MOV),
	T(DUAL, movss_load, 0), T(DUAL, movsd_load, 0),
};
static const struct emul_opcode pfx_0f11[4] = {
	I(vmov, XRM_XREG(4) | F_MOV), I(vmov, XRM_XREG(4) | F_MOV),
	T(DUAL, movss_store, 0), T(DUAL, movsd_store, 0),
};
static const struct emul_opcode low_load[2] = { I(vmov_low, XREG_XRM(3)) };
static const struct emul_opcode low_store[2] = { I(vmov, XRM_XREG(3) | F_MOV) };
static const struct emul_opcode high_load[2] = { I(vmov_high, XREG_XRM(3)) };
static const struct emul_opcode high_store[2] = { I(vmov_high, XRM_XREG(3) | F_MOV) };
static const struct emul_opcode pfx_0f12[4] = {
	T(DUAL, low_load, 0), T(DUAL, low_load, 0)
};
static const struct emul_opcode pfx_0f13[4] = {
	T(DUAL, low_store, 0), T(DUAL, low_store, 0)
};
static const struct emul_opcode pfx_0f16[4] = {
	T(DUAL, high_load, 0), T(DUAL, high_load, 0)
};
static const struct emul_opcode pfx_0f17[4] = {
	T(DUAL, high_store, 0), T(DUAL, high_store, 0)
};
static const struct emul_opcode pfx_0f28[4] = {
	I(vmov, XREG_XRM(4) | F_MOV | F_ALIGN), I(vmov, XREG_XRM(4) | F_MOV | F_ALIGN),
};
static const struct emul_opcode pfx_0f29[4] = {
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN), I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN),
};
static const struct emul_opcode pfx_0f2b[4] = {
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN | F_MEMONLY),
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN | F_MEMONLY),
};
static const struct emul_opcode pfx_0f6e[4] = {
	[1] = I(vmov, F_OP(O_XREG, O_RM) | F_VSIZE(4) | F_MOV),
};
static const struct emul_opcode pfx_0f6f[4] = {
	[1] = I(vmov, XREG_XRM(4) | F_MOV | F_ALIGN),
	[2] = I(vmov, XREG_XRM(4) | F_MOV),
};
static const struct emul_opcode pfx_0f7e[4] = {
	[1] = I(vmov, F_OP(O_RM, O_XREG) | F_VSIZE(4) | F_MOV),
	[2] = I(vmov, XREG_XRM(3) | F_MOV),
};
static const struct emul_opcode pfx_0f7f[4] = {
	[1] = I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN),
	[2] = I(vmov, XRM_XREG(4) | F_MOV),
};
static const struct emul_opcode pfx_0fc3[4] = {
	I(mov, F_OP(O_RM, O_REG) | F_MOV | F_MEMONLY | F_NOREP),
};
static const struct emul_opcode pfx_0fd6[4] = {
	[1] = I(vmov, XRM_XREG(3) | F_MOV),
};
static const struct emul_opcode pfx_0fe7[4] = {
	[1] = I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN | F_MEMONLY),
};
static const struct emul_opcode pfx_0ff0[4] = {
	[3] = I(vmov, XREG_XRM(4) | F_MOV | F_MEMONLY),
};

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
	[0x62] = I(bound, F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF | F_NO64),
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
	[0xc6] = T(GROUP, group11, F_MODRM | F_BYTE), [0xc7] = T(GROUP, group11, F_MODRM),
	[0xc8] = I(enter, F_SRC(O_UIMM16) | F_SRC2(O_UIMM8) | F_D64), [0xc9] = I(leave, F_D64),
	[0xd0] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_ONE) | F_BYTE),
	[0xd1] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_ONE)),
	[0xd2] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_CL) | F_BYTE),
	[0xd3] = T(GROUP, group2, F_MODRM | F_OP(O_RM, O_CL)),
	[0xd4] = I(aam, F_SRC(O_UIMM8) | F_NO64), [0xd5] = I(aad, F_SRC(O_UIMM8) | F_NO64),
	[0xd6] = I(salc, F_NO64),
	[0xd7] = I(xlat, 0),
	[0xe0 ... 0xe2] = I(loop, F_SRC(O_SIMM8) | F_NEAR),
	[0xe3] = I(jcxz, F_SRC(O_SIMM8) | F_NEAR),
	[0xe4] = I(in, F_OP(O_ACC, O_UIMM8) | F_BYTE | F_MOV | F_IO),
	[0xe5] = I(in, F_OP(O_ACC, O_UIMM8) | F_MOV | F_IO),
	[0xe6] = I(out, F_OP(O_UIMM8, O_ACC) | F_BYTE | F_NOWRITE | F_IO),
	[0xe7] = I(out, F_OP(O_UIMM8, O_ACC) | F_NOWRITE | F_IO),
	[0xe8] = I(call, F_SRC(O_IMM) | F_NEAR), [0xe9] = I(jmp, F_SRC(O_IMM) | F_NEAR),
	[0xeb] = I(jmp, F_SRC(O_SIMM8) | F_NEAR),
	[0xec] = I(in, F_OP(O_ACC, O_DX) | F_BYTE | F_MOV | F_IO),
	[0xed] = I(in, F_OP(O_ACC, O_DX) | F_MOV | F_IO),
	[0xee] = I(out, F_OP(O_DX, O_ACC) | F_BYTE | F_NOWRITE | F_IO),
	[0xef] = I(out, F_OP(O_DX, O_ACC) | F_NOWRITE | F_IO),
	[0xf0] = PREFIX, [0xf2] = PREFIX, [0xf3] = PREFIX,
	[0xf4] = I(hlt, F_PRIV), [0xf5] = I(cmc, 0),
	[0xf6] = T(GROUP, group3, F_MODRM | F_OP(O_RM, O_NONE) | F_BYTE),
	[0xf7] = T(GROUP, group3, F_MODRM | F_OP(O_RM, O_NONE)),
	[0xf8] = I(clc, 0), [0xf9] = I(stc, 0), [0xfa] = I(cli, 0), [0xfb] = I(sti, 0),
	[0xfc] = I(cld, 0), [0xfd] = I(std, 0),
	[0xfe] = T(GROUP, group4, F_MODRM | F_BYTE), [0xff] = T(GROUP, group5, F_MODRM),
};

const struct emul_opcode emul_opcodes_0f[256] = {
	[0x00] = T(GROUP, group6, F_MODRM),
	[0x01] = T(GROUP, group7, F_MODRM),
	[0x06] = I(clts, F_PRIV),
	[0x08] = I(wbinvd, F_PRIV), [0x09] = I(wbinvd, F_PRIV),
	[0x0b] = UNDEF(0),
	/* Prefetches and hint NOPs touch no memory that anyone could see. */
	[0x0d] = I(nop, F_MODRM | F_DST(O_RM) | F_MOV | F_NOWRITE),
	[0x10] = T(MANDATORY, pfx_0f10, F_MODRM | VEC),
	[0x11] = T(MANDATORY, pfx_0f11, F_MODRM | VEC),
	[0x12] = T(MANDATORY, pfx_0f12, F_MODRM | VEC),
	[0x13] = T(MANDATORY, pfx_0f13, F_MODRM | VEC),
	[0x16] = T(MANDATORY, pfx_0f16, F_MODRM | VEC),
	[0x17] = T(MANDATORY, pfx_0f17, F_MODRM | VEC),
	[0x18 ... 0x1f] = I(nop, F_MODRM | F_DST(O_RM) | F_MOV | F_NOWRITE),
	[0x20] = I(mov_from_cr, F_MODRM | F_REGRM | F_OP(O_RMNATIVE, O_CR) | F_MOV | F_PRIV),
	[0x21] = I(mov_from_dr, F_MODRM | F_REGRM | F_OP(O_RMNATIVE, O_DR) | F_MOV),
	[0x22] = I(mov_to_cr, F_MODRM | F_REGRM | F_OP(O_CR, O_RMNATIVE) | F_MOV | F_NOWRITE |
		   F_PRIV),
	[0x23] = I(mov_to_dr, F_MODRM | F_REGRM | F_OP(O_DR, O_RMNATIVE) | F_MOV | F_NOWRITE),
	[0x28] = T(MANDATORY, pfx_0f28, F_MODRM | VEC),
	[0x29] = T(MANDATORY, pfx_0f29, F_MODRM | VEC),
	[0x2b] = T(MANDATORY, pfx_0f2b, F_MODRM | VEC),
	[0x30] = I(wrmsr, F_PRIV), [0x31] = I(rdtsc, 0), [0x32] = I(rdmsr, F_PRIV),
	[0x38] = { .flags = F_ESC38 },
	[0x40 ... 0x4f] = I(cmov, REG_RM),
	[0x6e] = T(MANDATORY, pfx_0f6e, F_MODRM | VEC),
	[0x6f] = T(MANDATORY, pfx_0f6f, F_MODRM | VEC),
	[0x7e] = T(MANDATORY, pfx_0f7e, F_MODRM | VEC),
	[0x7f] = T(MANDATORY, pfx_0f7f, F_MODRM | VEC),
	[0x80 ... 0x8f] = I(jcc, F_SRC(O_IMM) | F_NEAR),
	[0x90 ... 0x9f] = I(setcc, F_MODRM | F_DST(O_RM) | F_BYTE | F_MOV),
	[0xa0] = I(push_sreg, F_D64), [0xa1] = I(pop_sreg, F_D64),
	[0xa2] = I(cpuid, 0),
	[0xa3] = I(bt, RM_REG | F_BITOFF | F_NOWRITE),
	[0xa4] = I(shld, RM_REG | F_SRC2(O_UIMM8)), [0xa5] = I(shld, RM_REG | F_SRC2(O_CL)),
	[0xa8] = I(push_sreg, F_D64), [0xa9] = I(pop_sreg, F_D64),
	[0xab] = I(bts, RM_REG | F_BITOFF | F_LOCK),
	[0xac] = I(shrd, RM_REG | F_SRC2(O_UIMM8)), [0xad] = I(shrd, RM_REG | F_SRC2(O_CL)),
	[0xae] = T(GROUP, group15, F_MODRM),
	[0xaf] = I(imul3, REG_RM),
	[0xb0] = I(cmpxchg, RM_REG | F_BYTE | F_LOCK), [0xb1] = I(cmpxchg, RM_REG | F_LOCK),
	[0xb3] = I(btr, RM_REG | F_BITOFF | F_LOCK),
	[0xb6] = I(mov, F_MODRM | F_OP(O_REG, O_RM8) | F_MOV),
	[0xb7] = I(mov, F_MODRM | F_OP(O_REG, O_RM16) | F_MOV),
	[0xb9] = UNDEF(F_MODRM),
	[0xba] = T(GROUP, group8, F_MODRM | F_OP(O_RM, O_UIMM8)),
	[0xbb] = I(btc, RM_REG | F_BITOFF | F_LOCK),
	[0xbc] = T(MANDATORY, bsf_pfx, REG_RM), [0xbd] = T(MANDATORY, bsr_pfx, REG_RM),
	[0xbe] = I(movsx, F_MODRM | F_OP(O_REG, O_RM8) | F_MOV),
	[0xbf] = I(movsx, F_MODRM | F_OP(O_REG, O_RM16) | F_MOV),
	[0xc0] = I(xadd, RM_REG | F_BYTE | F_LOCK | F_WBSRC),
	[0xc1] = I(xadd, RM_REG | F_LOCK | F_WBSRC),
	[0xc3] = T(MANDATORY, pfx_0fc3, F_MODRM),
	[0xc7] = T(GROUP, group9, F_MODRM),
	[0xc8 ... 0xcf] = I(bswap, F_DST(O_OPREG)),
	[0xd6] = T(MANDATORY, pfx_0fd6, F_MODRM | VEC),
	[0xe7] = T(MANDATORY, pfx_0fe7, F_MODRM | VEC),
	[0xf0] = T(MANDATORY, pfx_0ff0, F_MODRM | VEC),
	[0xff] = UNDEF(F_MODRM),
};

/* F2 makes CRC32 of them. */
static const struct emul_opcode movbe_load[4] = {
	I(movbe, REG_RM | F_MOV | F_MEMONLY), I(movbe, REG_RM | F_MOV | F_MEMONLY),
};
static const struct emul_opcode movbe_store[4] = {
	I(movbe, RM_REG | F_MOV | F_MEMONLY), I(movbe, RM_REG | F_MOV | F_MEMONLY),
};

const struct emul_opcode emul_opcodes_0f38_fx[16] = {
	[0x0] = T(MANDATORY, movbe_load, F_MODRM),
	[0x1] = T(MANDATORY, movbe_store, F_MODRM),
};
