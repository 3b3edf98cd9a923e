// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's arithmetic: handlers work on e->dst, e->src and e->src2 values and leave flags in
 * e->new_flags. Flags the manuals call undefined are left as one CPU family leaves them, or
 * unchanged; tests mask them.
 */
#include "emul_priv.h"

/* Parity of the low byte: bit n of the constant is set where nibble n has even parity. */
static u64 parity_flag(u64 val)
{
	unsigned int nibble = (val ^ (val >> 4)) & 15;

	return ((0x9669 >> nibble) & 1) ? EMUL_PF : 0;
}

static u64 szp_flags(u64 res, unsigned int size)
{
	u64 f = parity_flag(res);

	if (!(res & emul_mask(size)))
		f |= EMUL_ZF;
	if (res & emul_sign_bit(size))
		f |= EMUL_SF;
	return f;
}

static void set_flags(struct umbra_emul *e, u64 mask, u64 flags)
{
	e->new_flags = (e->new_flags & ~mask) | (flags & mask);
}

static void logic_flags(struct umbra_emul *e)
{
	set_flags(e, EMUL_ARITH, szp_flags(e->dst.val, e->dst.size));
}

/* dst = a + b + carry. Carries out of each bit are (a & b) | ((a | b) & ~res). */
static void add_carry(struct umbra_emul *e, u64 carry)
{
	u64 a = e->dst.val, b = e->src.val, res = a + b + carry;
	u64 sign = emul_sign_bit(e->dst.size), out = (a & b) | ((a | b) & ~res);
	u64 f = szp_flags(res, e->dst.size);

	if (out & sign)
		f |= EMUL_CF;
	if (out & 8)
		f |= EMUL_AF;
	if ((a ^ res) & (b ^ res) & sign)
		f |= EMUL_OF;
	e->dst.val = res;
	set_flags(e, EMUL_ARITH, f);
}

static u64 sub_flags(u64 a, u64 b, u64 res, unsigned int size)
{
	u64 sign = emul_sign_bit(size), borrow = (~a & b) | ((~a | b) & res);
	u64 f = szp_flags(res, size);

	if (borrow & sign)
		f |= EMUL_CF;
	if (borrow & 8)
		f |= EMUL_AF;
	if ((a ^ b) & (a ^ res) & sign)
		f |= EMUL_OF;
	return f;
}

static u64 sub_borrow(struct umbra_emul *e, u64 borrow)
{
	u64 a = e->dst.val, b = e->src.val, res = a - b - borrow;

	set_flags(e, EMUL_ARITH, sub_flags(a, b, res, e->dst.size));
	return res;
}

/* Flags of a compare of @a with @b, for CMPS and SCAS. */
void emul_flags_sub(struct umbra_emul *e, u64 a, u64 b, unsigned int size)
{
	set_flags(e, EMUL_ARITH, sub_flags(a, b, a - b, size));
}

/* Condition code @cc (low four bits of Jcc, SETcc, CMOVcc). */
bool emul_condition(u64 rflags, unsigned int cc)
{
	bool sf_of = !(rflags & EMUL_SF) != !(rflags & EMUL_OF);
	bool res;

	switch ((cc >> 1) & 7) {
	case 0:
		res = rflags & EMUL_OF;
		break;
	case 1:
		res = rflags & EMUL_CF;
		break;
	case 2:
		res = rflags & EMUL_ZF;
		break;
	case 3:
		res = rflags & (EMUL_CF | EMUL_ZF);
		break;
	case 4:
		res = rflags & EMUL_SF;
		break;
	case 5:
		res = rflags & EMUL_PF;
		break;
	case 6:
		res = sf_of;
		break;
	default:
		res = sf_of || (rflags & EMUL_ZF);
		break;
	}
	return res != (cc & 1);
}

int emul_op_add(struct umbra_emul *e)
{
	add_carry(e, 0);
	return UMBRA_EMUL_OK;
}

int emul_op_adc(struct umbra_emul *e)
{
	add_carry(e, e->rflags & EMUL_CF);
	return UMBRA_EMUL_OK;
}

int emul_op_sub(struct umbra_emul *e)
{
	e->dst.val = sub_borrow(e, 0);
	return UMBRA_EMUL_OK;
}

int emul_op_sbb(struct umbra_emul *e)
{
	e->dst.val = sub_borrow(e, e->rflags & EMUL_CF);
	return UMBRA_EMUL_OK;
}

int emul_op_cmp(struct umbra_emul *e)
{
	sub_borrow(e, 0);
	return UMBRA_EMUL_OK;
}

int emul_op_and(struct umbra_emul *e)
{
	e->dst.val &= e->src.val;
	logic_flags(e);
	return UMBRA_EMUL_OK;
}

int emul_op_or(struct umbra_emul *e)
{
	e->dst.val |= e->src.val;
	logic_flags(e);
	return UMBRA_EMUL_OK;
}

int emul_op_xor(struct umbra_emul *e)
{
	e->dst.val ^= e->src.val;
	logic_flags(e);
	return UMBRA_EMUL_OK;
}

int emul_op_test(struct umbra_emul *e)
{
	set_flags(e, EMUL_ARITH, szp_flags(e->dst.val & e->src.val, e->dst.size));
	return UMBRA_EMUL_OK;
}

int emul_op_inc(struct umbra_emul *e)
{
	u64 res = (e->dst.val + 1) & emul_mask(e->dst.size);
	u64 f = szp_flags(res, e->dst.size);

	if (!(res & 15))
		f |= EMUL_AF;
	if (res == emul_sign_bit(e->dst.size))
		f |= EMUL_OF;
	e->dst.val = res;
	set_flags(e, EMUL_ARITH & ~EMUL_CF, f);
	return UMBRA_EMUL_OK;
}

int emul_op_dec(struct umbra_emul *e)
{
	u64 res = (e->dst.val - 1) & emul_mask(e->dst.size);
	u64 f = szp_flags(res, e->dst.size);

	if ((res & 15) == 15)
		f |= EMUL_AF;
	if (res == emul_sign_bit(e->dst.size) - 1)
		f |= EMUL_OF;
	e->dst.val = res;
	set_flags(e, EMUL_ARITH & ~EMUL_CF, f);
	return UMBRA_EMUL_OK;
}

int emul_op_not(struct umbra_emul *e)
{
	e->dst.val = ~e->dst.val;
	return UMBRA_EMUL_OK;
}

int emul_op_neg(struct umbra_emul *e)
{
	u64 a = e->dst.val;

	e->dst.val = -a;
	set_flags(e, EMUL_ARITH, sub_flags(0, a, -a, e->dst.size));
	return UMBRA_EMUL_OK;
}

int emul_op_mov(struct umbra_emul *e)
{
	e->dst.val = e->src.val;
	return UMBRA_EMUL_OK;
}

int emul_op_movsx(struct umbra_emul *e)
{
	e->dst.val = emul_sext(e->src.val, e->src.size);
	return UMBRA_EMUL_OK;
}

int emul_op_xchg(struct umbra_emul *e)
{
	u64 old = e->dst.val;

	e->dst.val = e->src.val;
	e->src.val = old;
	return UMBRA_EMUL_OK;
}

/* Opcode 90: NOP, which leaves the upper half of RAX alone, or XCHG R8, rAX. */
int emul_op_xchg_acc(struct umbra_emul *e)
{
	if (e->rex & 1) {
		u64 old = e->gpr[8];

		emul_pend(e, 8, e->opsize, e->gpr[EMUL_RAX]);
		emul_pend(e, EMUL_RAX, e->opsize, old);
	}
	return UMBRA_EMUL_OK;
}

int emul_op_xadd(struct umbra_emul *e)
{
	u64 old = e->dst.val;

	add_carry(e, 0);
	e->src.val = old;
	return UMBRA_EMUL_OK;
}

int emul_op_cmpxchg(struct umbra_emul *e)
{
	u64 acc = emul_reg_read(e, EMUL_RAX, e->dst.size);

	emul_flags_sub(e, acc, e->dst.val, e->dst.size);
	if (acc == e->dst.val)
		e->dst.val = e->src.val;
	else
		emul_pend(e, EMUL_RAX, e->dst.size, e->dst.val);
	return UMBRA_EMUL_OK;
}

/* CMPXCHG8B, and 16B with REX.W; a 16-byte operand must be aligned. */
int emul_op_cmpxchg8b(struct umbra_emul *e)
{
	unsigned int half = e->dst.size / 2;
	u64 low, high;

	if (half == 8 && !e->ops->cpu_has(e, UMBRA_CPU_CX16))
		return emul_ud(e);

	if (half == 8) {
		low = e->dst.word[0];
		high = e->dst.word[1];
	} else {
		low = e->dst.val & 0xffffffff;
		high = e->dst.val >> 32;
	}
	if (low == emul_reg_read(e, EMUL_RAX, half) && high == emul_reg_read(e, EMUL_RDX, half)) {
		low = emul_reg_read(e, EMUL_RBX, half);
		high = emul_reg_read(e, EMUL_RCX, half);
		if (half == 8) {
			e->dst.word[0] = low;
			e->dst.word[1] = high;
		} else {
			e->dst.val = low | (high << 32);
		}
		e->new_flags |= EMUL_ZF;
	} else {
		emul_pend(e, EMUL_RAX, half, low);
		emul_pend(e, EMUL_RDX, half, high);
		e->new_flags &= ~EMUL_ZF;
	}
	return UMBRA_EMUL_OK;
}

static u64 swap_bytes(u64 val, unsigned int size)
{
	return __builtin_bswap64(val) >> (64 - 8 * size);
}

int emul_op_bswap(struct umbra_emul *e)
{
	/* Undefined for 16 bits; CPUs give zero. */
	e->dst.val = e->dst.size == 2 ? 0 : swap_bytes(e->dst.val, e->dst.size);
	return UMBRA_EMUL_OK;
}

int emul_op_movbe(struct umbra_emul *e)
{
	e->dst.val = swap_bytes(e->src.val, e->src.size);
	return UMBRA_EMUL_OK;
}

int emul_op_setcc(struct umbra_emul *e)
{
	e->dst.val = emul_condition(e->rflags, e->opcode);
	return UMBRA_EMUL_OK;
}

int emul_op_cmov(struct umbra_emul *e)
{
	if (emul_condition(e->rflags, e->opcode))
		e->dst.val = e->src.val;
	return UMBRA_EMUL_OK;
}

/* Shifts and rotates. A masked count of zero changes neither value nor flags. */

static unsigned int shift_count(const struct umbra_emul *e, u64 count)
{
	return count & (e->dst.size == 8 ? 63 : 31);
}

int emul_op_rol(struct umbra_emul *e)
{
	unsigned int bits = e->dst.size * 8, count = shift_count(e, e->src.val);
	unsigned int n = count % bits;
	u64 v = e->dst.val, f = 0;

	if (!count)
		return UMBRA_EMUL_OK;
	if (n)
		v = (v << n) | (v >> (bits - n));
	e->dst.val = v;
	if (v & 1)
		f |= EMUL_CF;
	if (!(v & emul_sign_bit(e->dst.size)) != !(v & 1))
		f |= EMUL_OF;
	set_flags(e, EMUL_CF | EMUL_OF, f);
	return UMBRA_EMUL_OK;
}

int emul_op_ror(struct umbra_emul *e)
{
	unsigned int bits = e->dst.size * 8, count = shift_count(e, e->src.val);
	unsigned int n = count % bits;
	u64 v = e->dst.val, sign = emul_sign_bit(e->dst.size), f = 0;

	if (!count)
		return UMBRA_EMUL_OK;
	if (n)
		v = (v >> n) | (v << (bits - n));
	e->dst.val = v;
	if (v & sign)
		f |= EMUL_CF;
	if (!(v & sign) != !(v & (sign >> 1)))
		f |= EMUL_OF;
	set_flags(e, EMUL_CF | EMUL_OF, f);
	return UMBRA_EMUL_OK;
}

/* Rotate left through carry by @n of the operand's bits plus one. */
static void rotate_carry_left(struct umbra_emul *e, unsigned int n)
{
	unsigned int bits = e->dst.size * 8;
	u64 v = e->dst.val, carry = e->rflags & EMUL_CF, res = v;

	if (n) {
		res = n < bits ? v << n : 0;
		res |= carry << (n - 1);
		if (n > 1)
			res |= v >> (bits + 1 - n);
		carry = (v >> (bits - n)) & 1;
	}
	e->dst.val = res & emul_mask(e->dst.size);
	set_flags(e, EMUL_CF, carry ? EMUL_CF : 0);
}

int emul_op_rcl(struct umbra_emul *e)
{
	unsigned int count = shift_count(e, e->src.val);
	bool top;

	if (!count)
		return UMBRA_EMUL_OK;
	rotate_carry_left(e, count % (e->dst.size * 8 + 1));
	top = e->dst.val & emul_sign_bit(e->dst.size);
	set_flags(e, EMUL_OF, top != !!(e->new_flags & EMUL_CF) ? EMUL_OF : 0);
	return UMBRA_EMUL_OK;
}

int emul_op_rcr(struct umbra_emul *e)
{
	unsigned int bits = e->dst.size * 8, count = shift_count(e, e->src.val);
	u64 sign = emul_sign_bit(e->dst.size);
	unsigned int n = count % (bits + 1);

	if (!count)
		return UMBRA_EMUL_OK;
	rotate_carry_left(e, n ? bits + 1 - n : 0);
	set_flags(e, EMUL_OF, !(e->dst.val & sign) != !(e->dst.val & (sign >> 1)) ? EMUL_OF : 0);
	return UMBRA_EMUL_OK;
}

int emul_op_shl(struct umbra_emul *e)
{
	unsigned int bits = e->dst.size * 8, count = shift_count(e, e->src.val);
	u64 v = e->dst.val, res, f;

	if (!count)
		return UMBRA_EMUL_OK;
	res = v << count;
	f = szp_flags(res, e->dst.size);
	if (count <= bits && ((v >> (bits - count)) & 1))
		f |= EMUL_CF;
	if (!(res & emul_sign_bit(e->dst.size)) != !(f & EMUL_CF))
		f |= EMUL_OF;
	e->dst.val = res;
	set_flags(e, EMUL_ARITH, f);
	return UMBRA_EMUL_OK;
}

int emul_op_shr(struct umbra_emul *e)
{
	unsigned int count = shift_count(e, e->src.val);
	u64 v = e->dst.val, f;

	if (!count)
		return UMBRA_EMUL_OK;
	e->dst.val = v >> count;
	f = szp_flags(e->dst.val, e->dst.size);
	if ((v >> (count - 1)) & 1)
		f |= EMUL_CF;
	if (v & emul_sign_bit(e->dst.size))
		f |= EMUL_OF;
	set_flags(e, EMUL_ARITH, f);
	return UMBRA_EMUL_OK;
}

int emul_op_sar(struct umbra_emul *e)
{
	unsigned int count = shift_count(e, e->src.val);
	s64 v = emul_sext(e->dst.val, e->dst.size);
	u64 f;

	if (!count)
		return UMBRA_EMUL_OK;
	e->dst.val = v >> count;
	f = szp_flags(e->dst.val, e->dst.size);
	if ((v >> (count - 1)) & 1)
		f |= EMUL_CF;
	set_flags(e, EMUL_ARITH, f);
	return UMBRA_EMUL_OK;
}

/* Double shifts: src comes in from the other side, src2 is the count. */
int emul_op_shld(struct umbra_emul *e)
{
	unsigned int bits = e->dst.size * 8, count = shift_count(e, e->src2.val);
	u64 v = e->dst.val, res, f;

	if (!count)
		return UMBRA_EMUL_OK;
	/* Beyond 16 bits of a 16-bit operand the result is undefined; rotate in dst again. */
	if (count > bits) {
		res = (e->src.val << (count - bits)) | (v >> (2 * bits - count));
		f = ((e->src.val >> (2 * bits - count)) & 1) ? EMUL_CF : 0;
	} else {
		res = (count < bits ? v << count : 0) | (e->src.val >> (bits - count));
		f = ((v >> (bits - count)) & 1) ? EMUL_CF : 0;
	}
	f |= szp_flags(res, e->dst.size);
	if ((res ^ v) & emul_sign_bit(e->dst.size))
		f |= EMUL_OF;
	e->dst.val = res;
	set_flags(e, EMUL_ARITH, f);
	return UMBRA_EMUL_OK;
}

int emul_op_shrd(struct umbra_emul *e)
{
	unsigned int bits = e->dst.size * 8, count = shift_count(e, e->src2.val);
	u64 v = e->dst.val, res, f;

	if (!count)
		return UMBRA_EMUL_OK;
	if (count > bits) {
		res = (e->src.val >> (count - bits)) | (v << (2 * bits - count));
		f = ((e->src.val >> (count - bits - 1)) & 1) ? EMUL_CF : 0;
	} else {
		res = (count < bits ? v >> count : 0) | (e->src.val << (bits - count));
		f = ((v >> (count - 1)) & 1) ? EMUL_CF : 0;
	}
	f |= szp_flags(res, e->dst.size);
	if ((res ^ v) & emul_sign_bit(e->dst.size))
		f |= EMUL_OF;
	e->dst.val = res;
	set_flags(e, EMUL_ARITH, f);
	return UMBRA_EMUL_OK;
}

/* Bits. Decode has moved the address, so only the offset inside the operand counts. */

static u64 test_bit_flag(struct umbra_emul *e)
{
	u64 bit = 1ull << (e->src.val & (e->dst.size * 8 - 1));

	set_flags(e, EMUL_CF, (e->dst.val & bit) ? EMUL_CF : 0);
	return bit;
}

int emul_op_bt(struct umbra_emul *e)
{
	test_bit_flag(e);
	return UMBRA_EMUL_OK;
}

int emul_op_bts(struct umbra_emul *e)
{
	e->dst.val |= test_bit_flag(e);
	return UMBRA_EMUL_OK;
}

int emul_op_btr(struct umbra_emul *e)
{
	e->dst.val &= ~test_bit_flag(e);
	return UMBRA_EMUL_OK;
}

int emul_op_btc(struct umbra_emul *e)
{
	e->dst.val ^= test_bit_flag(e);
	return UMBRA_EMUL_OK;
}

/* A source of zero leaves the destination alone, as both vendors' CPUs do. */
int emul_op_bsf(struct umbra_emul *e)
{
	set_flags(e, EMUL_ZF, e->src.val ? 0 : EMUL_ZF);
	if (e->src.val)
		e->dst.val = __builtin_ctzll(e->src.val);
	return UMBRA_EMUL_OK;
}

int emul_op_bsr(struct umbra_emul *e)
{
	set_flags(e, EMUL_ZF, e->src.val ? 0 : EMUL_ZF);
	if (e->src.val)
		e->dst.val = 63 - __builtin_clzll(e->src.val);
	return UMBRA_EMUL_OK;
}

/* Multiplication and division */

/* The double-width result goes to AX or to rDX:rAX. */
static void pend_double(struct umbra_emul *e, unsigned int size, u64 low, u64 high)
{
	if (size == 1) {
		emul_pend(e, EMUL_RAX, 2, (low & 0xff) | (high << 8));
	} else {
		emul_pend(e, EMUL_RAX, size, low);
		emul_pend(e, EMUL_RDX, size, high);
	}
}

static void mul_flags(struct umbra_emul *e, u64 low, bool overflow)
{
	u64 f = szp_flags(low, e->opsize) & (EMUL_SF | EMUL_PF);

	if (overflow)
		f |= EMUL_CF | EMUL_OF;
	set_flags(e, EMUL_CF | EMUL_OF | EMUL_SF | EMUL_PF, f);
}

int emul_op_mul(struct umbra_emul *e)
{
	unsigned int size = e->opsize;
	unsigned __int128 res;
	u64 low, high;

	res = (unsigned __int128)emul_reg_read(e, EMUL_RAX, size) * e->dst.val;
	low = (u64)res & emul_mask(size);
	high = (u64)(res >> (8 * size));
	pend_double(e, size, low, high);
	mul_flags(e, low, high & emul_mask(size));
	return UMBRA_EMUL_OK;
}

static __int128 signed_product(const struct umbra_emul *e, u64 a, u64 b)
{
	return (__int128)emul_sext(a, e->opsize) * emul_sext(b, e->opsize);
}

int emul_op_imul(struct umbra_emul *e)
{
	unsigned int size = e->opsize;
	__int128 res = signed_product(e, e->gpr[EMUL_RAX], e->dst.val);
	u64 low = (u64)res & emul_mask(size);

	pend_double(e, size, low, (u64)(res >> (8 * size)));
	mul_flags(e, low, res != emul_sext(low, size));
	return UMBRA_EMUL_OK;
}

/* IMUL with two operands (dst *= src) or three (dst = src * src2). */
int emul_op_imul3(struct umbra_emul *e)
{
	u64 b = e->src2.kind == K_NONE ? e->dst.val : e->src2.val;
	__int128 res = signed_product(e, e->src.val, b);

	e->dst.val = (u64)res & emul_mask(e->opsize);
	mul_flags(e, e->dst.val, res != emul_sext(e->dst.val, e->opsize));
	return UMBRA_EMUL_OK;
}

/* high:low / divisor, with high < divisor so that it cannot trap. */
static u64 divide(u64 high, u64 low, u64 divisor, u64 *rem)
{
	u64 quot;

	asm("divq %4" : "=a" (quot), "=d" (*rem) : "0" (low), "1" (high), "rm" (divisor) : "cc");
	return quot;
}

/* rDX:rAX (AX for a byte) as two 64-bit halves. */
static void get_dividend(struct umbra_emul *e, u64 *low, u64 *high)
{
	unsigned int size = e->opsize;

	*high = 0;
	if (size == 1) {
		*low = emul_reg_read(e, EMUL_RAX, 2);
	} else if (size == 8) {
		*low = e->gpr[EMUL_RAX];
		*high = e->gpr[EMUL_RDX];
	} else {
		*low = emul_reg_read(e, EMUL_RAX, size) |
		       (emul_reg_read(e, EMUL_RDX, size) << (8 * size));
	}
}

int emul_op_div(struct umbra_emul *e)
{
	u64 low, high, quot, rem;

	get_dividend(e, &low, &high);
	if (high >= e->dst.val)
		return emul_fault(e, EMUL_DE);
	quot = divide(high, low, e->dst.val, &rem);
	if (quot > emul_mask(e->opsize))
		return emul_fault(e, EMUL_DE);
	pend_double(e, e->opsize, quot, rem);
	return UMBRA_EMUL_OK;
}

int emul_op_idiv(struct umbra_emul *e)
{
	u64 low, high, quot, rem, limit = emul_sign_bit(e->opsize);
	s64 divisor = emul_sext(e->dst.val, e->opsize);
	bool neg_num, neg_quot;

	get_dividend(e, &low, &high);
	if (e->opsize < 8) {
		low = emul_sext(low, e->opsize * 2);
		high = (s64)low < 0 ? ~0ull : 0;
	}
	neg_num = (s64)high < 0;
	neg_quot = neg_num != (divisor < 0);
	if (neg_num) {
		high = ~high + !low;
		low = -low;
	}
	if (divisor < 0)
		divisor = -(u64)divisor;
	if (high >= (u64)divisor)
		return emul_fault(e, EMUL_DE);
	quot = divide(high, low, divisor, &rem);
	/* -2^(n-1) fits, +2^(n-1) does not. */
	if (quot > limit || (quot == limit && !neg_quot))
		return emul_fault(e, EMUL_DE);
	pend_double(e, e->opsize, neg_quot ? -quot : quot, neg_num ? -rem : rem);
	return UMBRA_EMUL_OK;
}

int emul_op_cwde(struct umbra_emul *e)
{
	emul_pend(e, EMUL_RAX, e->opsize, emul_sext(e->gpr[EMUL_RAX], e->opsize / 2));
	return UMBRA_EMUL_OK;
}

int emul_op_cdq(struct umbra_emul *e)
{
	s64 acc = emul_sext(e->gpr[EMUL_RAX], e->opsize);

	emul_pend(e, EMUL_RDX, e->opsize, acc < 0 ? ~0ull : 0);
	return UMBRA_EMUL_OK;
}

/* BCD, by the pseudo-code of the manuals. */

static int bcd_adjust(struct umbra_emul *e, bool subtract)
{
	u8 al = e->gpr[EMUL_RAX], res = al;
	u64 f = 0;

	if ((al & 15) > 9 || (e->rflags & EMUL_AF)) {
		f |= EMUL_AF;
		if (subtract && al < 6)
			f |= EMUL_CF;
		res += subtract ? -6 : 6;
	}
	if (al > 0x99 || (e->rflags & EMUL_CF)) {
		f |= EMUL_CF;
		res += subtract ? -0x60 : 0x60;
	}
	emul_pend(e, EMUL_RAX, 1, res);
	set_flags(e, EMUL_ARITH & ~EMUL_OF, f | szp_flags(res, 1));
	return UMBRA_EMUL_OK;
}

int emul_op_daa(struct umbra_emul *e)
{
	return bcd_adjust(e, false);
}

int emul_op_das(struct umbra_emul *e)
{
	return bcd_adjust(e, true);
}

static int ascii_adjust(struct umbra_emul *e, int by)
{
	u16 ax = e->gpr[EMUL_RAX];
	bool adjust = (ax & 15) > 9 || (e->rflags & EMUL_AF);

	if (adjust)
		ax += by;
	emul_pend(e, EMUL_RAX, 2, ax & 0xff0f);
	set_flags(e, EMUL_AF | EMUL_CF, adjust ? EMUL_AF | EMUL_CF : 0);
	return UMBRA_EMUL_OK;
}

int emul_op_aaa(struct umbra_emul *e)
{
	return ascii_adjust(e, 0x106);
}

int emul_op_aas(struct umbra_emul *e)
{
	return ascii_adjust(e, -0x106);
}

int emul_op_aam(struct umbra_emul *e)
{
	u8 al = e->gpr[EMUL_RAX], base = e->src.val;

	if (!base)
		return emul_fault(e, EMUL_DE);
	emul_pend(e, EMUL_RAX, 2, ((al / base) << 8) | (al % base));
	set_flags(e, EMUL_SF | EMUL_ZF | EMUL_PF, szp_flags(al % base, 1));
	return UMBRA_EMUL_OK;
}

int emul_op_aad(struct umbra_emul *e)
{
	u16 ax = e->gpr[EMUL_RAX];
	u8 al = ax + (ax >> 8) * e->src.val;

	emul_pend(e, EMUL_RAX, 2, al);
	set_flags(e, EMUL_SF | EMUL_ZF | EMUL_PF, szp_flags(al, 1));
	return UMBRA_EMUL_OK;
}

/* Single flags */

int emul_op_clc(struct umbra_emul *e)
{
	e->new_flags &= ~EMUL_CF;
	return UMBRA_EMUL_OK;
}

int emul_op_stc(struct umbra_emul *e)
{
	e->new_flags |= EMUL_CF;
	return UMBRA_EMUL_OK;
}

int emul_op_cmc(struct umbra_emul *e)
{
	e->new_flags ^= EMUL_CF;
	return UMBRA_EMUL_OK;
}

int emul_op_cld(struct umbra_emul *e)
{
	e->new_flags &= ~EMUL_DF;
	return UMBRA_EMUL_OK;
}

int emul_op_std(struct umbra_emul *e)
{
	e->new_flags |= EMUL_DF;
	return UMBRA_EMUL_OK;
}

#define LAHF_FLAGS	(EMUL_SF | EMUL_ZF | EMUL_AF | EMUL_PF | EMUL_CF)

int emul_op_lahf(struct umbra_emul *e)
{
	u64 ah = (e->rflags & LAHF_FLAGS) | EMUL_FIXED;

	emul_pend(e, EMUL_RAX, 2, (e->gpr[EMUL_RAX] & 0xff) | (ah << 8));
	return UMBRA_EMUL_OK;
}

int emul_op_sahf(struct umbra_emul *e)
{
	set_flags(e, LAHF_FLAGS, e->gpr[EMUL_RAX] >> 8);
	return UMBRA_EMUL_OK;
}

int emul_op_salc(struct umbra_emul *e)
{
	emul_pend(e, EMUL_RAX, 1, (e->rflags & EMUL_CF) ? 0xff : 0);
	return UMBRA_EMUL_OK;
}
