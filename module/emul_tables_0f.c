// SPDX-License-Identifier: GPL-2.0-only
/* The opcodes behind 0F and 0F 38. An entry without handler or table is not known. */
#include "emul_tables.h"

static const struct emul_opcode group6[8] = {
	I(sldt, F_DST(O_RMW) | F_MOV | F_PROT),
	I(str, F_DST(O_RMW) | F_MOV | F_PROT),
	I(lldt, F_SRC(O_RM16) | F_PROT | F_PRIV | F_TWOMEM),
	I(ltr, F_SRC(O_RM16) | F_PROT | F_PRIV | F_TWOMEM),
	I(verr, F_SRC(O_RM16) | F_PROT | F_TWOMEM),
	I(verw, F_SRC(O_RM16) | F_PROT | F_TWOMEM),
	UNDEF(0), UNDEF(0),
};

/* 0F 01 with a register: instructions of their own. No guest has VMX or SVM. */
static const struct emul_opcode group7_reg0[8] = {
	UNDEF(0), I(vmcall, F_SELF), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode group7_reg1[8] = {
	I(monitor, F_SELF), I(mwait, F_SELF),
	I(clac, F_SELF | F_CPU(SMAP) | F_NODATA66), I(stac, F_SELF | F_CPU(SMAP) | F_NODATA66),
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode group7_reg2[8] = {
	I(xgetbv, F_SELF | F_CPU(XSAVE) | F_NODATA66),
	I(xsetbv, F_SELF | F_CPU(XSAVE) | F_NODATA66),
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode group7_reg3[8] = {
	UNDEF(0), I(vmcall, F_SELF), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode group7_reg5[8] = {
	I(nop, F_CPU(SERIALIZE) | F_NODATA66), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
	I(rdpkru, F_SELF | F_CPU(PKU) | F_NODATA66), I(wrpkru, F_SELF | F_CPU(PKU) | F_NODATA66),
};
static const struct emul_opcode group7_reg7[8] = {
	I(swapgs, F_SELF), I(rdtscp, F_CPU(RDTSCP)), UNDEF(0), UNDEF(0),
	I(clzero, F_SELF | F_CPU(CLZERO)), UNDEF(0), UNDEF(0), UNDEF(0),
};

static const struct emul_opcode group7_0[2] = {
	I(sgdt, F_DST(O_ADDR) | F_SELF), T(GROUPRM, group7_reg0, 0)
};
static const struct emul_opcode group7_1[2] = {
	I(sidt, F_DST(O_ADDR) | F_SELF), T(GROUPRM, group7_reg1, 0)
};
static const struct emul_opcode group7_2[2] = {
	I(lgdt, F_DST(O_ADDR) | F_SELF | F_PRIV), T(GROUPRM, group7_reg2, 0)
};
static const struct emul_opcode group7_3[2] = {
	I(lidt, F_DST(O_ADDR) | F_SELF | F_PRIV), T(GROUPRM, group7_reg3, 0)
};
static const struct emul_opcode group7_5[2] = { UNDEF(0), T(GROUPRM, group7_reg5, 0) };
static const struct emul_opcode group7_7[2] = {
	I(invlpg, F_DST(O_ADDR) | F_SELF | F_PRIV), T(GROUPRM, group7_reg7, 0)
};

static const struct emul_opcode group7[8] = {
	T(DUAL, group7_0, 0),
	T(DUAL, group7_1, 0),
	T(DUAL, group7_2, 0),
	T(DUAL, group7_3, 0),
	I(smsw, F_DST(O_RMW) | F_MOV),
	T(DUAL, group7_5, 0),
	I(lmsw, F_SRC(O_RM16) | F_PRIV),
	T(DUAL, group7_7, 0),
};

static const struct emul_opcode group8[8] = {
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
	I(bt, F_NOWRITE), I(bts, F_LOCK), I(btr, F_LOCK), I(btc, F_LOCK),
};

static const struct emul_opcode rdseed_pfx[4] = {
	ONLY(RDSEED), ONLY(RDSEED),
	I(rdpid, F_DST(O_RMNATIVE) | F_MOV | F_CPU(RDPID)), UNDEF(0),
};
static const struct emul_opcode group9_1[2] = {
	I(cmpxchg8b, F_DST(O_MEM2X) | F_LOCK | F_ALIGN | F_CPU(CX8)), UNDEF(0),
};
static const struct emul_opcode group9_3[2] = {
	I(xsave, F_DST(O_ADDR) | F_SELF | F_CPU(XSAVES) | F_NODATA66), UNDEF(0),
};
static const struct emul_opcode group9_4[2] = {
	I(xsave, F_DST(O_ADDR) | F_SELF | F_CPU(XSAVEC) | F_NODATA66), UNDEF(0),
};
static const struct emul_opcode group9_6[2] = { UNDEF(0), ONLY(RDRAND) };
static const struct emul_opcode group9_7[2] = { UNDEF(0), T(MANDATORY, rdseed_pfx, 0) };
static const struct emul_opcode group9[8] = {
	UNDEF(0),
	T(DUAL, group9_1, 0),
	UNDEF(0),
	T(DUAL, group9_3, 0),
	T(DUAL, group9_4, 0),
	T(DUAL, group9_3, 0),
	T(DUAL, group9_6, 0),
	T(DUAL, group9_7, 0),
};

/* 0F AE: state images and flushes with memory; with registers fences, and F3 the bases. */
static const struct emul_opcode fxsave_pfx[4] = { I(fxsave, F_DST(O_ADDR) | F_SELF | F_CPU(FXSR)) };
static const struct emul_opcode fxrstor_pfx[4] = {
	I(fxrstor, F_DST(O_ADDR) | F_SELF | F_CPU(FXSR))
};
static const struct emul_opcode ldmxcsr_pfx[4] = { I(ldmxcsr, F_SRC(O_RM32) | F_SSE) };
static const struct emul_opcode stmxcsr_pfx[4] = { I(stmxcsr, F_DST(O_RM32) | F_MOV | F_SSE) };
static const struct emul_opcode rdbase_pfx[4] = {
	UNDEF(0), UNDEF(0), I(rdbase, F_DST(O_RM) | F_MOV | F_CPU(FSGSBASE)), UNDEF(0)
};
static const struct emul_opcode wrbase_pfx[4] = {
	UNDEF(0), UNDEF(0), I(wrbase, F_DST(O_RM) | F_NOWRITE | F_CPU(FSGSBASE)), UNDEF(0)
};
static const struct emul_opcode xsave_pfx[4] = {
	I(xsave, F_DST(O_ADDR) | F_SELF | F_CPU(XSAVE)), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode clwb_pfx[4] = {
	I(xsave, F_DST(O_ADDR) | F_SELF | F_CPU(XSAVEOPT)), I(clflush, F_DST(O_ADDR) | F_SELF | F_CPU(CLWB)), UNDEF(0), UNDEF(0)
};
static const struct emul_opcode clflush_pfx[4] = {
	I(clflush, F_DST(O_ADDR) | F_SELF | F_CPU(CLFLUSH)),
	I(clflush, F_DST(O_ADDR) | F_SELF | F_CPU(CLFLUSHOPT)), UNDEF(0), UNDEF(0)
};
static const struct emul_opcode fence_pfx[4] = { I(nop, F_CPU(SSE2)), UNDEF(0), UNDEF(0), UNDEF(0) };

static const struct emul_opcode group15_0[2] = {
	T(MANDATORY, fxsave_pfx, 0), T(MANDATORY, rdbase_pfx, 0)
};
static const struct emul_opcode group15_1[2] = {
	T(MANDATORY, fxrstor_pfx, 0), T(MANDATORY, rdbase_pfx, 0)
};
static const struct emul_opcode group15_2[2] = {
	T(MANDATORY, ldmxcsr_pfx, 0), T(MANDATORY, wrbase_pfx, 0)
};
static const struct emul_opcode group15_3[2] = {
	T(MANDATORY, stmxcsr_pfx, 0), T(MANDATORY, wrbase_pfx, 0)
};
static const struct emul_opcode group15_4[2] = { T(MANDATORY, xsave_pfx, 0), UNDEF(0) };
static const struct emul_opcode group15_5[2] = {
	T(MANDATORY, xsave_pfx, 0), T(MANDATORY, fence_pfx, 0)
};
static const struct emul_opcode group15_6[2] = {
	T(MANDATORY, clwb_pfx, 0), T(MANDATORY, fence_pfx, 0)
};
static const struct emul_opcode group15_7[2] = {
	T(MANDATORY, clflush_pfx, 0), T(MANDATORY, fence_pfx, 0)
};
static const struct emul_opcode group15[8] = {
	T(DUAL, group15_0, 0), T(DUAL, group15_1, 0), T(DUAL, group15_2, 0),
	T(DUAL, group15_3, 0), T(DUAL, group15_4, 0), T(DUAL, group15_5, 0),
	T(DUAL, group15_6, 0), T(DUAL, group15_7, 0),
};

/* F3 makes other instructions of BSF and BSR where the CPU has them. */
static const struct emul_opcode bsf_pfx[4] = { I(bsf, 0), I(bsf, 0), I(tzcnt, 0), I(bsf, 0) };
static const struct emul_opcode bsr_pfx[4] = { I(bsr, 0), I(bsr, 0), I(lzcnt, 0), I(bsr, 0) };
static const struct emul_opcode popcnt_pfx[4] = {
	UNDEF(0), UNDEF(0), I(popcnt, F_MOV | F_CPU(POPCNT)), UNDEF(0)
};

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
static const struct emul_opcode low_load[2] = {
	I(vmov_low, XREG_XRM(3)), I(vmov_hl, XREG_XRM(4)),
};
static const struct emul_opcode high_load[2] = {
	I(vmov_high, XREG_XRM(3)), I(vmov_high, XREG_XRM(4)),
};
static const struct emul_opcode pfx_0f12[4] = {
	T(DUAL, low_load, 0), I(vmov_low, XREG_XRM(3) | F_MEMONLY),
	I(vdup_even, XREG_XRM(4) | F_MOV | F_ALIGN | F_CPU(SSE3)),
	I(vdup_low, XREG_XRM(3) | F_MOV | F_CPU(SSE3)),
};
static const struct emul_opcode pfx_0f13[4] = {
	I(vmov, XRM_XREG(3) | F_MOV | F_MEMONLY), I(vmov, XRM_XREG(3) | F_MOV | F_MEMONLY),
	UNDEF(0), UNDEF(0),
};
static const struct emul_opcode pfx_0f16[4] = {
	T(DUAL, high_load, 0), I(vmov_high, XREG_XRM(3) | F_MEMONLY),
	I(vdup_odd, XREG_XRM(4) | F_MOV | F_ALIGN | F_CPU(SSE3)), UNDEF(0),
};
static const struct emul_opcode pfx_0f17[4] = {
	I(vmov_high, XRM_XREG(3) | F_MOV | F_MEMONLY),
	I(vmov_high, XRM_XREG(3) | F_MOV | F_MEMONLY), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode pfx_0f28[4] = {
	I(vmov, XREG_XRM(4) | F_MOV | F_ALIGN), I(vmov, XREG_XRM(4) | F_MOV | F_ALIGN),
	UNDEF(0), UNDEF(0),
};
static const struct emul_opcode pfx_0f29[4] = {
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN), I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN),
	UNDEF(0), UNDEF(0),
};
static const struct emul_opcode pfx_0f2b[4] = {
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN | F_MEMONLY),
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN | F_MEMONLY),
	I(vmov, XRM_XREG(2) | F_MOV | F_MEMONLY | F_CPU(SSE4A)),
	I(vmov, XRM_XREG(3) | F_MOV | F_MEMONLY | F_CPU(SSE4A)),
};
/* SSE4a: a field's length and place are two bytes of code, or in the second register. */
static const struct emul_opcode extrq_imm[8] = {
	I(extrq, F_OP(O_XRM, O_UIMM16) | F_VSIZE(4) | F_CPU(SSE4A) | VEC),
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode extrq_imm_reg[2] = { UNDEF(0), T(GROUP, extrq_imm, 0) };
static const struct emul_opcode insertq_imm_reg[2] = {
	UNDEF(0), I(insertq, XREG_XRM(4) | F_SRC2(O_UIMM16) | F_CPU(SSE4A) | VEC),
};
static const struct emul_opcode pfx_0f78[4] = {
	UNDEF(0), T(DUAL, extrq_imm_reg, 0), UNDEF(0), T(DUAL, insertq_imm_reg, 0),
};
static const struct emul_opcode extrq_reg[2] = {
	UNDEF(0), I(extrq, XREG_XRM(4) | F_CPU(SSE4A) | VEC),
};
static const struct emul_opcode insertq_reg[2] = {
	UNDEF(0), I(insertq, XREG_XRM(4) | F_CPU(SSE4A) | VEC),
};
static const struct emul_opcode pfx_0f79[4] = {
	UNDEF(0), T(DUAL, extrq_reg, 0), UNDEF(0), T(DUAL, insertq_reg, 0),
};
/* MMX without a prefix. */
static const struct emul_opcode pfx_0f6e[4] = {
	I(vmov, F_OP(O_MREG, O_RM) | F_MOV | F_MMX | F_CPU(MMX)),
	I(vmov, F_OP(O_XREG, O_RM) | F_VSIZE(4) | F_MOV | VEC),
	UNDEF(0), UNDEF(0),
};
static const struct emul_opcode pfx_0f6f[4] = {
	I(vmov, F_OP(O_MREG, O_MRM) | F_MOV | F_MMX | F_CPU(MMX)),
	I(vmov, XREG_XRM(4) | F_MOV | F_ALIGN | VEC),
	I(vmov, XREG_XRM(4) | F_MOV | VEC),
	UNDEF(0),
};
static const struct emul_opcode pfx_0f77[4] = {
	I(emms, F_SELF | F_MMX | F_CPU(MMX)), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode pfx_0f7e[4] = {
	I(vmov, F_OP(O_RM, O_MREG) | F_MOV | F_MMX | F_CPU(MMX)),
	I(vmov, F_OP(O_RM, O_XREG) | F_VSIZE(4) | F_MOV | VEC),
	I(vmov, XREG_XRM(3) | F_MOV | VEC),
	UNDEF(0),
};
static const struct emul_opcode pfx_0f7f[4] = {
	I(vmov, F_OP(O_MRM, O_MREG) | F_MOV | F_MMX | F_CPU(MMX)),
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN | VEC),
	I(vmov, XRM_XREG(4) | F_MOV | VEC),
	UNDEF(0),
};
static const struct emul_opcode pfx_0fc3[4] = {
	I(mov, F_OP(O_RM, O_REG) | F_MOV | F_MEMONLY | F_NOREP | F_CPU(SSE2)),
	UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode movq2dq[2] = {
	UNDEF(0), I(vmov, F_OP(O_XREG, O_MRM) | F_VSIZE(4) | F_MOV | F_MMX | VEC),
};
static const struct emul_opcode movdq2q[2] = {
	UNDEF(0), I(vmov, F_OP(O_MREG, O_XRM) | F_VSIZE(4) | F_MOV | F_MMX | VEC),
};
static const struct emul_opcode pfx_0fd6[4] = {
	UNDEF(0), I(vmov, XRM_XREG(3) | F_MOV | VEC), T(DUAL, movq2dq, 0), T(DUAL, movdq2q, 0),
};
static const struct emul_opcode pfx_0fe7[4] = {
	I(vmov, F_OP(O_MRM, O_MREG) | F_MOV | F_MEMONLY | F_MMX | F_CPU(SSE2)),
	I(vmov, XRM_XREG(4) | F_MOV | F_ALIGN | F_MEMONLY | VEC),
};
static const struct emul_opcode maskmovq[2] = {
	UNDEF(0), I(maskmov, F_OP(O_MREG, O_MRM) | F_NOWRITE | F_MMX | F_CPU(SSE2)),
};
static const struct emul_opcode maskmovdqu[2] = {
	UNDEF(0), I(maskmov, XREG_XRM(4) | F_NOWRITE | VEC),
};
static const struct emul_opcode pfx_0ff7[4] = {
	T(DUAL, maskmovq, 0), T(DUAL, maskmovdqu, 0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode pfx_0ff0[4] = {
	UNDEF(0), UNDEF(0), UNDEF(0), I(vmov, XREG_XRM(4) | F_MOV | F_MEMONLY | F_CPU(SSE3)),
};

const struct emul_opcode emul_opcodes_0f[256] = {
	[0x00] = T(GROUP, group6, F_MODRM),
	[0x01] = T(GROUP, group7, F_MODRM),
	[0x02] = I(lar, F_MODRM | F_OP(O_REG, O_RM16) | F_MOV | F_NOWRITE | F_PROT | F_TWOMEM),
	[0x03] = I(lsl, F_MODRM | F_OP(O_REG, O_RM16) | F_MOV | F_NOWRITE | F_PROT | F_TWOMEM),
	[0x04] = UNDEF(0),
	[0x05] = I(syscall, F_SELF), [0x06] = I(clts, F_PRIV), [0x07] = I(sysret, F_SELF),
	/* F3 0F 09 is WBNOINVD, which is as harmless. */
	[0x08] = I(wbinvd, F_PRIV), [0x09] = I(wbinvd, F_PRIV),
	[0x0a] = UNDEF(0), [0x0b] = UNDEF(0), [0x0c] = UNDEF(0),
	/* Prefetches and hint NOPs touch no memory that anyone could see. */
	[0x0d] = I(nop, F_MODRM | F_DST(O_RM) | F_SELF),
	[0x0e] = ONLY(3DNOW), [0x0f] = ONLY(3DNOW),
	[0x10] = T(MANDATORY, pfx_0f10, F_MODRM | VEC),
	[0x11] = T(MANDATORY, pfx_0f11, F_MODRM | VEC),
	[0x12] = T(MANDATORY, pfx_0f12, F_MODRM | VEC),
	[0x13] = T(MANDATORY, pfx_0f13, F_MODRM | VEC),
	[0x16] = T(MANDATORY, pfx_0f16, F_MODRM | VEC),
	[0x17] = T(MANDATORY, pfx_0f17, F_MODRM | VEC),
	[0x18 ... 0x1f] = I(nop, F_MODRM | F_DST(O_RM) | F_SELF),
	[0x20] = I(mov_from_cr, F_MODRM | F_REGRM | F_OP(O_RMNATIVE, O_CR) | F_MOV | F_PRIV),
	[0x21] = I(mov_from_dr, F_MODRM | F_REGRM | F_OP(O_RMNATIVE, O_DR) | F_MOV),
	[0x22] = I(mov_to_cr, F_MODRM | F_REGRM | F_OP(O_CR, O_RMNATIVE) | F_MOV | F_NOWRITE |
		   F_PRIV),
	[0x23] = I(mov_to_dr, F_MODRM | F_REGRM | F_OP(O_DR, O_RMNATIVE) | F_MOV | F_NOWRITE),
	[0x24 ... 0x27] = UNDEF(0),
	[0x28] = T(MANDATORY, pfx_0f28, F_MODRM | VEC),
	[0x29] = T(MANDATORY, pfx_0f29, F_MODRM | VEC),
	[0x2b] = T(MANDATORY, pfx_0f2b, F_MODRM | VEC),
	[0x30] = I(wrmsr, F_PRIV), [0x31] = I(rdtsc, 0), [0x32] = I(rdmsr, F_PRIV),
	[0x33] = I(rdpmc, 0),
	[0x34] = I(sysenter, F_SELF | F_CPU(SEP)), [0x35] = I(sysexit, F_SELF | F_CPU(SEP)),
	[0x36] = UNDEF(0), [0x37] = UNDEF(0),
	[0x38] = { .flags = F_ESC38 },
	[0x39] = UNDEF(0), [0x3b ... 0x3f] = UNDEF(0),
	[0x40 ... 0x4f] = I(cmov, REG_RM),
	[0x6e] = T(MANDATORY, pfx_0f6e, F_MODRM | F_NOREP),
	[0x6f] = T(MANDATORY, pfx_0f6f, F_MODRM | F_NOREP),
	[0x77] = T(MANDATORY, pfx_0f77, 0),
	[0x78] = T(MANDATORY, pfx_0f78, F_MODRM), [0x79] = T(MANDATORY, pfx_0f79, F_MODRM),
	[0x7a] = UNDEF(0), [0x7b] = UNDEF(0),
	[0x7e] = T(MANDATORY, pfx_0f7e, F_MODRM | F_NOREP),
	[0x7f] = T(MANDATORY, pfx_0f7f, F_MODRM | F_NOREP),
	[0x80 ... 0x8f] = I(jcc, F_SRC(O_IMM) | F_NEAR),
	[0x90 ... 0x9f] = I(setcc, F_MODRM | F_DST(O_RM) | F_BYTE | F_MOV),
	[0xa0] = I(push_sreg, F_D64), [0xa1] = I(pop_sreg, F_D64),
	[0xa2] = I(cpuid, 0),
	[0xa3] = I(bt, RM_REG | F_BITOFF | F_NOWRITE),
	[0xa4] = I(shld, RM_REG | F_SRC2(O_UIMM8)), [0xa5] = I(shld, RM_REG | F_SRC2(O_CL)),
	[0xa6] = UNDEF(0), [0xa7] = UNDEF(0),
	[0xa8] = I(push_sreg, F_D64), [0xa9] = I(pop_sreg, F_D64),
	/* RSM: there is no system management mode. */
	[0xaa] = UNDEF(0),
	[0xab] = I(bts, RM_REG | F_BITOFF | F_LOCK),
	[0xac] = I(shrd, RM_REG | F_SRC2(O_UIMM8)), [0xad] = I(shrd, RM_REG | F_SRC2(O_CL)),
	[0xae] = T(GROUP, group15, F_MODRM),
	[0xaf] = I(imul3, REG_RM),
	[0xb0] = I(cmpxchg, RM_REG | F_BYTE | F_LOCK), [0xb1] = I(cmpxchg, RM_REG | F_LOCK),
	[0xb2] = I(lss, F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF),
	[0xb3] = I(btr, RM_REG | F_BITOFF | F_LOCK),
	[0xb4] = I(lfs, F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF),
	[0xb5] = I(lgs, F_MODRM | F_OP(O_REG, O_ADDR) | F_SELF),
	[0xb6] = I(mov, F_MODRM | F_OP(O_REG, O_RM8) | F_MOV),
	[0xb7] = I(mov, F_MODRM | F_OP(O_REG, O_RM16) | F_MOV),
	[0xb8] = T(MANDATORY, popcnt_pfx, REG_RM),
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
	[0xd6] = T(MANDATORY, pfx_0fd6, F_MODRM | F_NOREP),
	[0xe7] = T(MANDATORY, pfx_0fe7, F_MODRM | F_NOREP),
	[0xf0] = T(MANDATORY, pfx_0ff0, F_MODRM | VEC),
	[0xf7] = T(MANDATORY, pfx_0ff7, F_MODRM | F_NOREP),
	[0xff] = UNDEF(F_MODRM),
};

static const struct emul_opcode movntdqa[4] = {
	[1] = I(vmov, XREG_XRM(4) | F_MOV | F_ALIGN | F_MEMONLY | F_CPU(SSE41)),
};
static const struct emul_opcode invpcid_pfx[4] = {
	[1] = I(invpcid, F_OP(O_REG, O_ADDR) | F_SELF | F_CPU(INVPCID)),
};
/* F2 makes CRC32 of MOVBE. */
static const struct emul_opcode movbe_load[4] = {
	I(movbe, REG_RM | F_MOV | F_MEMONLY | F_CPU(MOVBE)),
	I(movbe, REG_RM | F_MOV | F_MEMONLY | F_CPU(MOVBE)),
	UNDEF(0),
	I(crc32, F_OP(O_REG, O_RM8) | F_MOV | F_NOWRITE | F_CPU(SSE42)),
};
static const struct emul_opcode movbe_store[4] = {
	I(movbe, RM_REG | F_MOV | F_MEMONLY | F_CPU(MOVBE)),
	I(movbe, RM_REG | F_MOV | F_MEMONLY | F_CPU(MOVBE)),
	UNDEF(0),
	I(crc32, REG_RM | F_MOV | F_NOWRITE | F_CPU(SSE42)),
};
static const struct emul_opcode adx_pfx[4] = {
	[1] = I(adcx, REG_RM | F_NOREP | F_CPU(ADX)),
	[2] = I(adox, REG_RM | F_NOREP | F_CPU(ADX)),
};
/* ENQCMD and ENQCMDS want a PASID, which no guest has. */
static const struct emul_opcode movdir64b[4] = {
	UNDEF(0), I(movdir64b, F_OP(O_REG, O_ADDR) | F_SELF | F_NOREP | F_CPU(MOVDIR64B)),
	UNDEF(0), UNDEF(0),
};
static const struct emul_opcode movdiri[4] = {
	I(mov, RM_REG | F_MOV | F_MEMONLY | F_NOREP | F_CPU(MOVDIRI)),
};

const struct emul_opcode emul_opcodes_0f38[256] = {
	[0x2a] = T(MANDATORY, movntdqa, F_MODRM | VEC),
	/* INVEPT and INVVPID belong to VMX. */
	[0x80] = UNDEF(F_MODRM), [0x81] = UNDEF(F_MODRM),
	[0x82] = T(MANDATORY, invpcid_pfx, F_MODRM),
	[0xf0] = T(MANDATORY, movbe_load, F_MODRM),
	[0xf1] = T(MANDATORY, movbe_store, F_MODRM),
	[0xf6] = T(MANDATORY, adx_pfx, F_MODRM),
	[0xf8] = T(MANDATORY, movdir64b, F_MODRM),
	[0xf9] = T(MANDATORY, movdiri, F_MODRM),
};
