// SPDX-License-Identifier: GPL-2.0-only
/* The opcodes behind a VEX prefix: vector moves, and the BMI sets. */
#include "emul_tables.h"

#define VEX_AVX		(F_AVX | F_NOREP | F_CPU(AVX) | F_MODRM)
#define VEX_BMI1	(F_NOREP | F_L0 | F_VVVV | F_CPU(BMI1) | F_MODRM)
#define VEX_BMI2	(F_NOREP | F_L0 | F_CPU(BMI2) | F_MODRM)

#define VEX_AVX2	(F_AVX | F_NOREP | F_CPU(AVX2) | F_MODRM)

#define LOAD		(XREG_XRM(4) | F_VECL | F_MOV)
#define STORE		(XRM_XREG(4) | F_VECL | F_MOV)

/* By prefix: none, 66, F3, F2. */
static const struct emul_opcode vmovss_load[2] = {
	I(vmov, XREG_XRM(2) | F_MOV), I(vmov_low, XREG_XRM(2) | F_MOV | F_VVVV),
};
static const struct emul_opcode vmovsd_load[2] = {
	I(vmov, XREG_XRM(3) | F_MOV), I(vmov_low, XREG_XRM(3) | F_MOV | F_VVVV),
};
static const struct emul_opcode vmovss_store[2] = {
	I(vmov, XRM_XREG(2) | F_MOV), I(vmov_low, XRM_XREG(2) | F_MOV | F_VVVV),
};
static const struct emul_opcode vmovsd_store[2] = {
	I(vmov, XRM_XREG(3) | F_MOV), I(vmov_low, XRM_XREG(3) | F_MOV | F_VVVV),
};
static const struct emul_opcode vex_10[4] = {
	I(vmov, LOAD), I(vmov, LOAD), T(DUAL, vmovss_load, 0), T(DUAL, vmovsd_load, 0),
};
static const struct emul_opcode vex_11[4] = {
	I(vmov, STORE), I(vmov, STORE), T(DUAL, vmovss_store, 0), T(DUAL, vmovsd_store, 0),
};
static const struct emul_opcode vlow_load[2] = {
	I(vmov_low, XREG_XRM(3) | F_MOV | F_VVVV | F_L0),
	I(vmov_hl, XREG_XRM(4) | F_MOV | F_VVVV | F_L0),
};
static const struct emul_opcode vhigh_load[2] = {
	I(vmov_high, XREG_XRM(3) | F_MOV | F_VVVV | F_L0),
	I(vmov_high, XREG_XRM(4) | F_MOV | F_VVVV | F_L0),
};
static const struct emul_opcode vex_12[4] = {
	T(DUAL, vlow_load, 0), I(vmov_low, XREG_XRM(3) | F_MOV | F_VVVV | F_L0 | F_MEMONLY),
	I(vdup_even, LOAD), I(vmovddup, F_OP(O_XREG, O_XRM) | F_VSIZE(3) | F_SELF),
};
static const struct emul_opcode vex_13[4] = {
	I(vmov, XRM_XREG(3) | F_MOV | F_MEMONLY | F_L0),
	I(vmov, XRM_XREG(3) | F_MOV | F_MEMONLY | F_L0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_16[4] = {
	T(DUAL, vhigh_load, 0), I(vmov_high, XREG_XRM(3) | F_MOV | F_VVVV | F_L0 | F_MEMONLY),
	I(vdup_odd, LOAD), UNDEF(0),
};
static const struct emul_opcode vex_17[4] = {
	I(vmov_high, XRM_XREG(3) | F_MOV | F_MEMONLY | F_L0),
	I(vmov_high, XRM_XREG(3) | F_MOV | F_MEMONLY | F_L0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_28[4] = {
	I(vmov, LOAD | F_ALIGN), I(vmov, LOAD | F_ALIGN), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_29[4] = {
	I(vmov, STORE | F_ALIGN), I(vmov, STORE | F_ALIGN), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_2b[4] = {
	I(vmov, STORE | F_ALIGN | F_MEMONLY), I(vmov, STORE | F_ALIGN | F_MEMONLY),
	UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_6e[4] = {
	UNDEF(0), I(vmov, F_OP(O_XREG, O_RM) | F_VSIZE(4) | F_MOV | F_L0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_6f[4] = {
	UNDEF(0), I(vmov, LOAD | F_ALIGN), I(vmov, LOAD), UNDEF(0),
};
static const struct emul_opcode vex_77[4] = {
	I(vzero, F_SELF | F_AVX | F_CPU(AVX)), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_7e[4] = {
	UNDEF(0), I(vmov, F_OP(O_RM, O_XREG) | F_VSIZE(4) | F_MOV | F_L0),
	I(vmov, XREG_XRM(3) | F_MOV | F_L0), UNDEF(0),
};
static const struct emul_opcode vex_7f[4] = {
	UNDEF(0), I(vmov, STORE | F_ALIGN), I(vmov, STORE), UNDEF(0),
};
static const struct emul_opcode vldmxcsr[4] = {
	I(ldmxcsr, F_SRC(O_RM32) | F_L0 | F_MEMONLY), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vstmxcsr[4] = {
	I(stmxcsr, F_DST(O_RM32) | F_MOV | F_L0 | F_MEMONLY), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_ae[8] = {
	UNDEF(0), UNDEF(0), T(MANDATORY, vldmxcsr, 0), T(MANDATORY, vstmxcsr, 0),
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_d6[4] = {
	UNDEF(0), I(vmov, XRM_XREG(3) | F_MOV | F_L0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_e7[4] = {
	UNDEF(0), I(vmov, STORE | F_ALIGN | F_MEMONLY), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vmaskmovdqu[2] = {
	UNDEF(0), I(maskmov, XREG_XRM(4) | F_NOWRITE | F_L0),
};
static const struct emul_opcode vex_f7[4] = {
	UNDEF(0), T(DUAL, vmaskmovdqu, 0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex_f0[4] = {
	UNDEF(0), UNDEF(0), UNDEF(0), I(vmov, LOAD | F_MEMONLY),
};

const struct emul_opcode emul_vex_0f[256] = {
	[0x10] = T(MANDATORY, vex_10, VEX_AVX), [0x11] = T(MANDATORY, vex_11, VEX_AVX),
	[0x12] = T(MANDATORY, vex_12, VEX_AVX), [0x13] = T(MANDATORY, vex_13, VEX_AVX),
	[0x16] = T(MANDATORY, vex_16, VEX_AVX), [0x17] = T(MANDATORY, vex_17, VEX_AVX),
	[0x28] = T(MANDATORY, vex_28, VEX_AVX), [0x29] = T(MANDATORY, vex_29, VEX_AVX),
	[0x2b] = T(MANDATORY, vex_2b, VEX_AVX),
	[0x6e] = T(MANDATORY, vex_6e, VEX_AVX), [0x6f] = T(MANDATORY, vex_6f, VEX_AVX),
	[0x77] = T(MANDATORY, vex_77, 0),
	[0x7e] = T(MANDATORY, vex_7e, VEX_AVX), [0x7f] = T(MANDATORY, vex_7f, VEX_AVX),
	[0xae] = T(GROUP, vex_ae, VEX_AVX),
	[0xd6] = T(MANDATORY, vex_d6, VEX_AVX), [0xe7] = T(MANDATORY, vex_e7, VEX_AVX),
	[0xf0] = T(MANDATORY, vex_f0, VEX_AVX), [0xf7] = T(MANDATORY, vex_f7, VEX_AVX),
};

/* src is r/m, src2 the register in VEX.vvvv. */
#define RM_VVVV		(F_OP(O_REG, O_RM) | F_SRC2(O_VVVV) | F_VVVV | F_MOV)

static const struct emul_opcode vntdqa[4] = {
	UNDEF(0), I(vmov, LOAD | F_ALIGN | F_MEMONLY | F_L_AVX2), UNDEF(0), UNDEF(0),
};
/* Elements whose bit in the register of VEX.vvvv is set. */
#define MASKED_LOAD	(F_OP(O_XREG, O_ADDR) | F_VSIZE(4) | F_VECL | F_VVVV | F_SELF)
#define MASKED_STORE	(F_OP(O_ADDR, O_XREG) | F_VSIZE(4) | F_VECL | F_VVVV | F_SELF)
static const struct emul_opcode vmaskmovp_load[4] = {
	UNDEF(0), I(vmaskmov, MASKED_LOAD | F_W0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vmaskmovp_store[4] = {
	UNDEF(0), I(vmaskmov, MASKED_STORE | F_W0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vpmaskmov_load[4] = {
	UNDEF(0), I(vmaskmov, MASKED_LOAD), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vpmaskmov_store[4] = {
	UNDEF(0), I(vmaskmov, MASKED_STORE), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex38_f2[4] = {
	I(andn, RM_VVVV | VEX_BMI1), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode group17[8] = {
	UNDEF(0),
	I(blsr, F_OP(O_VVVV, O_RM) | F_MOV), I(blsmsk, F_OP(O_VVVV, O_RM) | F_MOV),
	I(blsi, F_OP(O_VVVV, O_RM) | F_MOV),
	UNDEF(0), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex38_f3[4] = {
	T(GROUP, group17, VEX_BMI1), UNDEF(0), UNDEF(0), UNDEF(0),
};
static const struct emul_opcode vex38_f5[4] = {
	I(bzhi, RM_VVVV | VEX_BMI2), UNDEF(0), I(pext, RM_VVVV | VEX_BMI2), I(pdep, RM_VVVV | VEX_BMI2),
};
static const struct emul_opcode vex38_f6[4] = {
	UNDEF(0), UNDEF(0), UNDEF(0), I(mulx, RM_VVVV | F_NOWRITE | VEX_BMI2),
};
static const struct emul_opcode vex38_f7[4] = {
	I(bextr, RM_VVVV | VEX_BMI1), I(shlx, RM_VVVV | VEX_BMI2), I(sarx, RM_VVVV | VEX_BMI2),
	I(shrx, RM_VVVV | VEX_BMI2),
};

const struct emul_opcode emul_vex_0f38[256] = {
	[0x2a] = T(MANDATORY, vntdqa, VEX_AVX),
	[0x2c] = T(MANDATORY, vmaskmovp_load, VEX_AVX), [0x2d] = T(MANDATORY, vmaskmovp_load, VEX_AVX),
	[0x2e] = T(MANDATORY, vmaskmovp_store, VEX_AVX), [0x2f] = T(MANDATORY, vmaskmovp_store, VEX_AVX),
	[0x8c] = T(MANDATORY, vpmaskmov_load, VEX_AVX2), [0x8e] = T(MANDATORY, vpmaskmov_store, VEX_AVX2),
	[0xf2] = T(MANDATORY, vex38_f2, F_MODRM), [0xf3] = T(MANDATORY, vex38_f3, F_MODRM),
	[0xf5] = T(MANDATORY, vex38_f5, F_MODRM), [0xf6] = T(MANDATORY, vex38_f6, F_MODRM),
	[0xf7] = T(MANDATORY, vex38_f7, F_MODRM),
};

static const struct emul_opcode rorx_pfx[4] = {
	UNDEF(0), UNDEF(0), UNDEF(0),
	I(rorx, F_OP(O_REG, O_RM) | F_SRC2(O_UIMM8) | F_MOV | VEX_BMI2),
};
const struct emul_opcode emul_vex_0f3a_f0 = T(MANDATORY, rorx_pfx, F_MODRM);

const struct emul_opcode emul_vex_unknown = ONLY(AVX);
const struct emul_opcode emul_evex = ONLY(AVX512F);
