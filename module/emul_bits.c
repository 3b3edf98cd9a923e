// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's bit counts, CRC32, the BMI sets and ADX. Flags that the manuals leave undefined
 * are left unchanged.
 */
#include "emul_priv.h"

static void set_flags(struct umbra_emul *e, u64 mask, u64 flags)
{
	e->new_flags = (e->new_flags & ~mask) | (flags & mask);
}

static unsigned int operand_bits(const struct umbra_emul *e)
{
	return e->opsize * 8;
}

int emul_op_popcnt(struct umbra_emul *e)
{
	u64 val = e->src.val;

	/* In steps of one, two and four bits, then the sum of the bytes. */
	set_flags(e, EMUL_ARITH, val ? 0 : EMUL_ZF);
	val -= (val >> 1) & 0x5555555555555555ull;
	val = (val & 0x3333333333333333ull) + ((val >> 2) & 0x3333333333333333ull);
	val = (val + (val >> 4)) & 0x0f0f0f0f0f0f0f0full;
	e->dst.val = (val * 0x0101010101010101ull) >> 56;
	return UMBRA_EMUL_OK;
}

/* TZCNT and LZCNT: the operand's width for no bit at all, and then CF. */
static void count_flags(struct umbra_emul *e)
{
	set_flags(e, EMUL_CF | EMUL_ZF,
		  (e->src.val ? 0 : EMUL_CF) | (e->dst.val ? 0 : EMUL_ZF));
}

/* On a CPU that does not know them they are BSF and BSR with a prefix that means nothing. */

int emul_op_tzcnt(struct umbra_emul *e)
{
	if (!e->ops->cpu_has(e, UMBRA_CPU_BMI1))
		return emul_op_bsf(e);
	e->dst.val = e->src.val ? (u64)__builtin_ctzll(e->src.val) : operand_bits(e);
	count_flags(e);
	return UMBRA_EMUL_OK;
}

int emul_op_lzcnt(struct umbra_emul *e)
{
	unsigned int unused = 64 - operand_bits(e);

	if (!e->ops->cpu_has(e, UMBRA_CPU_LZCNT))
		return emul_op_bsr(e);
	e->dst.val = e->src.val ? (u64)__builtin_clzll(e->src.val) - unused : operand_bits(e);
	count_flags(e);
	return UMBRA_EMUL_OK;
}

/* CRC-32C, bit by bit: the reflected polynomial is 82F63B78. */
int emul_op_crc32(struct umbra_emul *e)
{
	u32 crc = emul_reg_read(e, e->dst.reg, 4);
	unsigned int i, bit;

	for (i = 0; i < e->src.size; i++) {
		crc ^= (e->src.val >> (8 * i)) & 0xff;
		for (bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78 : 0);
	}
	/* 66 makes the source a word; the result has 32 bits always. */
	emul_pend(e, e->dst.reg, 8, crc);
	return UMBRA_EMUL_OK;
}

/* BMI1. Their results have no more than SF, ZF and CF to tell. */

static void result_flags(struct umbra_emul *e, u64 res, bool carry)
{
	u64 f = carry ? EMUL_CF : 0;

	res &= emul_mask(e->opsize);
	if (!res)
		f |= EMUL_ZF;
	if (res & emul_sign_bit(e->opsize))
		f |= EMUL_SF;
	set_flags(e, EMUL_SF | EMUL_ZF | EMUL_CF | EMUL_OF, f);
	e->dst.val = res;
}

int emul_op_andn(struct umbra_emul *e)
{
	result_flags(e, ~e->src2.val & e->src.val, false);
	return UMBRA_EMUL_OK;
}

/* BLSR, BLSMSK and BLSI write the register of VEX.vvvv, which is dst here. */
int emul_op_blsr(struct umbra_emul *e)
{
	result_flags(e, e->src.val & (e->src.val - 1), !e->src.val);
	return UMBRA_EMUL_OK;
}

int emul_op_blsmsk(struct umbra_emul *e)
{
	result_flags(e, e->src.val ^ (e->src.val - 1), !e->src.val);
	return UMBRA_EMUL_OK;
}

int emul_op_blsi(struct umbra_emul *e)
{
	result_flags(e, e->src.val & -e->src.val, e->src.val);
	return UMBRA_EMUL_OK;
}

/* Start and length are the two low bytes of the control. */
int emul_op_bextr(struct umbra_emul *e)
{
	unsigned int start = e->src2.val & 0xff, len = (e->src2.val >> 8) & 0xff;
	u64 res = start < operand_bits(e) ? e->src.val >> start : 0;

	if (len < operand_bits(e))
		res &= (1ull << len) - 1;
	set_flags(e, EMUL_ZF | EMUL_CF | EMUL_OF, res ? 0 : EMUL_ZF);
	e->dst.val = res;
	return UMBRA_EMUL_OK;
}

int emul_op_bzhi(struct umbra_emul *e)
{
	unsigned int n = e->src2.val & 0xff;
	u64 res = e->src.val;

	if (n < operand_bits(e))
		res &= (1ull << n) - 1;
	result_flags(e, res, n >= operand_bits(e));
	return UMBRA_EMUL_OK;
}

/* BMI2: none of these touches flags. */

int emul_op_pdep(struct umbra_emul *e)
{
	u64 mask = e->src.val, res = 0, bits = e->src2.val;

	for (; mask; mask &= mask - 1, bits >>= 1)
		if (bits & 1)
			res |= mask & -mask;
	e->dst.val = res;
	return UMBRA_EMUL_OK;
}

int emul_op_pext(struct umbra_emul *e)
{
	u64 mask = e->src.val, res = 0;
	unsigned int n = 0;

	for (; mask; mask &= mask - 1, n++)
		if (e->src2.val & mask & -mask)
			res |= 1ull << n;
	e->dst.val = res;
	return UMBRA_EMUL_OK;
}

/* High half to dst, low half to VEX.vvvv; the high one wins where they are one register. */
int emul_op_mulx(struct umbra_emul *e)
{
	unsigned __int128 res = (unsigned __int128)e->src.val *
				emul_reg_read(e, EMUL_RDX, e->opsize);

	emul_pend(e, e->src2.reg, e->opsize, (u64)res);
	emul_pend(e, e->dst.reg, e->opsize, (u64)(res >> operand_bits(e)));
	return UMBRA_EMUL_OK;
}

static unsigned int shift_count(const struct umbra_emul *e)
{
	return e->src2.val & (operand_bits(e) - 1);
}

int emul_op_rorx(struct umbra_emul *e)
{
	unsigned int n = shift_count(e);
	u64 val = e->src.val;

	e->dst.val = n ? (val >> n) | (val << (operand_bits(e) - n)) : val;
	return UMBRA_EMUL_OK;
}

int emul_op_sarx(struct umbra_emul *e)
{
	e->dst.val = emul_sext(e->src.val, e->opsize) >> shift_count(e);
	return UMBRA_EMUL_OK;
}

int emul_op_shlx(struct umbra_emul *e)
{
	e->dst.val = e->src.val << shift_count(e);
	return UMBRA_EMUL_OK;
}

int emul_op_shrx(struct umbra_emul *e)
{
	e->dst.val = e->src.val >> shift_count(e);
	return UMBRA_EMUL_OK;
}

/* ADCX carries through CF, ADOX through OF. */
static void add_with(struct umbra_emul *e, u64 flag)
{
	unsigned __int128 res = (unsigned __int128)e->dst.val + e->src.val +
				((e->rflags & flag) ? 1 : 0);

	set_flags(e, flag, (u64)(res >> operand_bits(e)) ? flag : 0);
	e->dst.val = (u64)res;
}

int emul_op_adcx(struct umbra_emul *e)
{
	add_with(e, EMUL_CF);
	return UMBRA_EMUL_OK;
}

int emul_op_adox(struct umbra_emul *e)
{
	add_with(e, EMUL_OF);
	return UMBRA_EMUL_OK;
}
