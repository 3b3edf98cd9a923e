// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction emulator: decode, the common path of execution, commit.
 *
 * A table entry (emul_tables.c) names where the operands are and what their sizes depend on;
 * decode turns that into struct emul_operand; execute reads them, calls the entry's handler
 * on values, and writes back. Registers, flags and rip change only in emul_commit() and just
 * before it, when nothing can fail any more, so every other way out leaves the guest as it was.
 */
#include "emul_priv.h"

#define LOCK_TRIES	8

/* Get bytes until @n of them are there behind pos. */
static int fetch_more(struct umbra_emul *e, unsigned int n)
{
	if (e->pos + n > UMBRA_EMUL_MAX_LEN)
		return emul_gp0(e);

	while (e->nbytes < e->pos + n) {
		unsigned int chunk = UMBRA_EMUL_MAX_LEN - e->nbytes;
		u64 la = e->rip + e->nbytes;
		int r;

		if (emul_long(e)) {
			if (!emul_canonical(e, la))
				return emul_gp0(e);
		} else {
			const struct umbra_emul_seg *cs = emul_seg(e, EMUL_CS);
			u64 off = la & 0xffffffff;

			if (off > cs->limit)
				return emul_gp0(e);
			if (chunk > cs->limit - off + 1)
				chunk = cs->limit - off + 1;
			la = (cs->base + off) & 0xffffffff;
		}
		if (chunk > 4096 - (la & 4095))
			chunk = 4096 - (la & 4095);
		r = e->ops->fetch(e, la, e->bytes + e->nbytes, chunk);
		if (r)
			return r;
		e->nbytes += chunk;
	}
	return UMBRA_EMUL_OK;
}

static inline int need(struct umbra_emul *e, unsigned int n)
{
	if (likely(e->pos + n <= e->nbytes))
		return UMBRA_EMUL_OK;
	return fetch_more(e, n);
}

/* The next @n bytes (1, 2, 4 or 8) of code, sign-extended. */
static int fetch_imm(struct umbra_emul *e, unsigned int n, u64 *val)
{
	u64 v;
	int r = need(e, n);

	if (r)
		return r;
	memcpy(&v, e->bytes + e->pos, 8);
	*val = emul_sext(v, n);
	e->pos += n;
	return UMBRA_EMUL_OK;
}

/* Take @b as a prefix. False: it is an opcode in this mode. */
static bool take_prefix(struct umbra_emul *e, u8 b)
{
	if ((b & 0xf0) == 0x40) {
		if (!emul_long(e))
			return false;
		e->rex = b;
		return true;
	}
	/* REX counts only just before the opcode. */
	e->rex = 0;
	switch (b) {
	case 0x66:
		e->opsize_prefix = true;
		break;
	case 0x67:
		if (emul_long(e))
			e->adsize = 4;
		else
			e->adsize = e->mode == UMBRA_EMUL_PROT32 ? 2 : 4;
		break;
	case 0xf0:
		e->lock = true;
		break;
	case 0xf2:
	case 0xf3:
		e->rep = b;
		break;
	case 0x64:
		e->seg_override = EMUL_FS;
		break;
	case 0x65:
		e->seg_override = EMUL_GS;
		break;
	default:	/* 26, 2e, 36, 3e: ES, CS, SS, DS */
		if (!emul_long(e))
			e->seg_override = (b >> 3) & 3;
		break;
	}
	return true;
}

/*
 * C4, C5 and 62 begin a VEX or EVEX prefix in 64-bit code; in other protected modes only where
 * LES, LDS or BOUND would have a register for memory.
 */
static int decode_vex(struct umbra_emul *e, u8 b, const struct emul_opcode **opp)
{
	unsigned int n = b == 0xc4 ? 2 : 1, map = 1;
	const u8 *p = e->bytes + e->pos;
	int r = need(e, 1);
	u8 last;

	if (r || (!emul_long(e) && (!emul_prot(e) || p[0] < 0xc0)))
		return r;
	if (e->rex || e->opsize_prefix || e->rep || e->lock)
		return emul_ud(e);
	*opp = &emul_evex;
	if (b == 0x62)
		return UMBRA_EMUL_OK;
	r = need(e, n + 1);
	if (r)
		return r;
	last = p[n - 1];
	e->vex = true;
	e->rex = (~p[0] >> 5) & (n == 2 ? 7 : 4);
	if (n == 2) {
		map = p[0] & 0x1f;
		e->rex |= (last >> 4) & 8;
		e->vexw = last & 0x80;
	}
	e->rex = emul_long(e) ? e->rex | 0x40 : 0x40;
	e->vvvv = (~last >> 3) & (emul_long(e) ? 15 : 7);
	e->vexl = (last >> 2) & 1;
	e->opsize_prefix = (last & 3) == 1;
	if (last & 2)
		e->rep = (last & 1) ? 0xf2 : 0xf3;
	e->pos += n + 1;
	e->opcode = p[n];
	if (map == 1)
		*opp = &emul_vex_0f[e->opcode];
	else if (map == 2)
		*opp = &emul_vex_0f38[e->opcode];
	else if (map == 3)
		*opp = e->opcode == 0xf0 ? &emul_vex_0f3a_f0 : &emul_vex_unknown;
	else
		return emul_ud(e);
	return UMBRA_EMUL_OK;
}

static int decode_opcode(struct umbra_emul *e, const struct emul_opcode **opp)
{
	const struct emul_opcode *op;
	int r;
	u8 b;

	do {
		r = need(e, 1);
		if (r)
			return r;
		b = e->bytes[e->pos++];
		op = &emul_opcodes[b];
	} while ((op->flags & F_PREFIX) && take_prefix(e, b));

	if (op->flags & F_ESC0F) {
		if (b != 0x0f) {
			e->opcode = b;
			*opp = op;
			return decode_vex(e, b, opp);
		}
		r = need(e, 1);
		if (r)
			return r;
		b = e->bytes[e->pos++];
		op = &emul_opcodes_0f[b];
		if (op->flags & F_ESC38) {
			r = need(e, 1);
			if (r)
				return r;
			b = e->bytes[e->pos++];
			op = &emul_opcodes_0f38[b];
		}
	}
	e->opcode = b;
	*opp = op;
	return UMBRA_EMUL_OK;
}

/* Which of the four members of a mandatory-prefix table applies; F2 and F3 beat 66. */
static unsigned int mandatory_index(const struct umbra_emul *e)
{
	if (e->rep)
		return e->rep == 0xf3 ? 2 : 3;
	return e->opsize_prefix;
}

/* Go down from an entry that is a table to the one that is an instruction. */
static const struct emul_opcode *resolve(struct umbra_emul *e, const struct emul_opcode *op,
					 u64 *flags)
{
	while (op->flags & F_TABLE) {
		unsigned int i;

		if (op->flags & F_GROUP)
			i = (e->modrm >> 3) & 7;
		else if (op->flags & F_DUAL)
			i = e->modrm >= 0xc0;
		else if (op->flags & F_GROUPRM)
			i = e->modrm & 7;
		else if (op->flags & F_MANDATORY)
			i = mandatory_index(e);
		else
			i = emul_long(e);
		op = &op->table[i];
		*flags |= op->flags;
	}
	return op;
}

static unsigned int operand_size(struct umbra_emul *e, u64 flags)
{
	if (flags & F_BYTE)
		return 1;
	if (emul_long(e)) {
		/* To Intel's CPUs 66 means nothing on a near branch, to AMD's 16 bits. */
		if ((flags & F_NEAR) && e->opsize_prefix && !(e->rex & 8) &&
		    e->ops->cpu_has(e, UMBRA_CPU_AMD))
			return 2;
		if ((e->rex & 8) || (flags & F_NEAR))
			return (flags & F_IO) ? 4 : 8;
		if (flags & F_NOREP)
			return 4;
		if (e->opsize_prefix)
			return 2;
		return (flags & F_D64) ? 8 : 4;
	}
	if (flags & F_NOREP)
		return 4;
	return (e->mode == UMBRA_EMUL_PROT32) != e->opsize_prefix ? 4 : 2;
}

static int decode_ea16(struct umbra_emul *e, u64 *ea)
{
	static const s8 base[8] = {
		EMUL_RBX, EMUL_RBX, EMUL_RBP, EMUL_RBP, -1, -1, EMUL_RBP, EMUL_RBX
	};
	static const s8 index[8] = {
		EMUL_RSI, EMUL_RDI, EMUL_RSI, EMUL_RDI, EMUL_RSI, EMUL_RDI, -1, -1
	};
	unsigned int mod = e->modrm >> 6, rm = e->modrm & 7;
	u64 addr = 0, disp = 0;
	int r = UMBRA_EMUL_OK;

	if (mod == 0 && rm == 6) {
		r = fetch_imm(e, 2, &disp);
	} else {
		if (base[rm] >= 0)
			addr += e->gpr[base[rm]];
		if (index[rm] >= 0)
			addr += e->gpr[index[rm]];
		if (base[rm] == EMUL_RBP)
			e->seg = EMUL_SS;
		if (mod)
			r = fetch_imm(e, mod, &disp);
	}
	*ea = (addr + disp) & 0xffff;
	return r;
}

/* 32- and 64-bit addressing. rIP-relative gets its rIP at the end of decode. */
static int decode_ea32(struct umbra_emul *e, u64 flags, u64 *ea)
{
	unsigned int mod = e->modrm >> 6, base = e->modrm & 7;
	u64 addr = 0, disp = 0;
	bool has_base = true;
	int r;

	if (base == 4) {
		unsigned int index;
		u8 sib;

		r = need(e, 1);
		if (r)
			return r;
		sib = e->bytes[e->pos++];
		base = sib & 7;
		index = ((sib >> 3) & 7) | ((e->rex & 2) << 2);
		if (index != 4)
			addr = e->gpr[index] << (sib >> 6);
		if (base == 5 && mod == 0) {
			has_base = false;
			e->absolute = index == 4;
		}
	} else if (base == 5 && mod == 0) {
		has_base = false;
		e->rip_relative = emul_long(e);
	}

	if (has_base) {
		base |= (e->rex & 1) << 3;
		addr += e->gpr[base];
		if (base == EMUL_RSP || base == EMUL_RBP)
			e->seg = EMUL_SS;
		if (base == EMUL_RSP && (flags & F_POPEA))
			addr += e->opsize;
	}
	if (mod || !has_base) {
		r = fetch_imm(e, mod == 1 ? 1 : 4, &disp);
		if (r)
			return r;
	}
	*ea = (addr + disp) & emul_mask(e->adsize);
	return UMBRA_EMUL_OK;
}

static void set_gpr(struct umbra_emul *e, struct emul_operand *o, unsigned int reg)
{
	o->kind = K_GPR;
	o->high = o->size == 1 && !e->rex && reg >= 4;
	o->reg = o->high ? reg - 4 : reg;
}

static unsigned int vector_size(const struct umbra_emul *e, u64 flags)
{
	return 1u << (((flags >> F_VSIZE_SHIFT) & 31) + ((flags & F_VECL) ? e->vexl : 0));
}

static int decode_rm(struct umbra_emul *e, struct emul_operand *o, u64 flags, unsigned int kind)
{
	int r;

	if (kind != O_RM) {
		switch (kind) {
		case O_RM8:
			o->size = 1;
			break;
		case O_RM16:
			o->size = 2;
			break;
		case O_RM32:
			o->size = 4;
			break;
		case O_RMW:
			if (e->modrm < 0xc0)
				o->size = 2;
			break;
		case O_RMNATIVE:
			o->size = emul_long(e) ? 8 : 4;
			break;
		case O_MEM2X:
			o->size = e->opsize == 8 ? 16 : 8;
			break;
		case O_MRM:
			o->size = 8;
			break;
		case O_XRM:
			o->size = vector_size(e, flags);
			break;
		}
	}
	if (e->modrm >= 0xc0 || (flags & F_REGRM)) {
		unsigned int reg = (e->modrm & 7) | ((e->rex & 1) << 3);

		if (kind == O_MEM2X || kind == O_ADDR)
			return emul_ud(e);
		if (kind == O_XRM) {
			o->kind = K_XMM;
			o->reg = reg;
		} else if (kind == O_MRM) {
			o->kind = K_MMX;
			o->reg = reg & 7;
		} else {
			set_gpr(e, o, reg);
		}
		return UMBRA_EMUL_OK;
	}

	o->kind = K_MEM;
	e->seg = EMUL_DS;
	r = e->adsize == 2 ? decode_ea16(e, &o->ea) : decode_ea32(e, flags, &o->ea);
	if (e->seg_override != EMUL_NR_SEGS)
		e->seg = e->seg_override;
	return r;
}

static int decode_imm(struct umbra_emul *e, struct emul_operand *o, unsigned int kind)
{
	unsigned int n = o->size;
	int r;

	o->kind = K_IMM;
	switch (kind) {
	case O_ONE:
		o->val = 1;
		return UMBRA_EMUL_OK;
	case O_CL:
		o->val = e->gpr[EMUL_RCX] & 0xff;
		return UMBRA_EMUL_OK;
	case O_IMM:
		if (n > 4)
			n = 4;
		break;
	case O_SIMM8:
	case O_UIMM8:
		n = 1;
		break;
	case O_UIMM16:
		n = 2;
		break;
	}
	r = fetch_imm(e, n, &o->val);
	if (kind == O_UIMM8 || kind == O_UIMM16)
		o->val &= emul_mask(n);
	else
		o->val &= emul_mask(o->size);
	return r;
}

static int decode_moffs(struct umbra_emul *e, struct emul_operand *o)
{
	int r = fetch_imm(e, e->adsize, &o->ea);

	o->kind = K_MEM;
	o->ea &= emul_mask(e->adsize);
	e->seg = e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS;
	return r;
}

/* The ModRM reg field as one of the kinds of special registers. */
static int decode_special(struct umbra_emul *e, struct emul_operand *o, u64 flags,
			  unsigned int kind)
{
	o->reg = ((e->modrm >> 3) & 7) | ((e->rex & 4) << 1);
	switch (kind) {
	case O_SREG:
		o->kind = K_SREG;
		o->reg &= 7;
		o->size = 2;
		/* CS cannot be loaded, whatever the source holds. */
		if (o->reg > EMUL_GS || (o->reg == EMUL_CS && e->opcode == 0x8e))
			return emul_ud(e);
		return UMBRA_EMUL_OK;
	case O_CR:
		o->kind = K_CR;
		/* AMD's way to CR8 where there is no REX prefix. */
		if (e->lock && !o->reg && e->ops->cpu_has(e, UMBRA_CPU_CR8_LEGACY)) {
			e->lock = false;
			o->reg = 8;
		}
		return ((1u << o->reg) & 0x11d) ? UMBRA_EMUL_OK : emul_ud(e);
	case O_DR:
		o->kind = K_DR;
		return o->reg > 7 ? emul_ud(e) : UMBRA_EMUL_OK;
	case O_MREG:
		o->kind = K_MMX;
		o->reg &= 7;
		o->size = 8;
		return UMBRA_EMUL_OK;
	default: /* O_XREG */
		o->kind = K_XMM;
		o->size = vector_size(e, flags);
		return UMBRA_EMUL_OK;
	}
}

static int decode_operand(struct umbra_emul *e, struct emul_operand *o, u64 flags,
			  unsigned int kind)
{
	o->size = e->opsize;
	if (kind == O_NONE) {
		o->kind = K_NONE;
		return UMBRA_EMUL_OK;
	}
	if (kind == O_RM)
		return decode_rm(e, o, flags, kind);
	if (kind == O_REG) {
		set_gpr(e, o, ((e->modrm >> 3) & 7) | ((e->rex & 4) << 1));
		return UMBRA_EMUL_OK;
	}
	switch (kind) {
	case O_OPREG:
		set_gpr(e, o, (e->opcode & 7) | ((e->rex & 1) << 3));
		return UMBRA_EMUL_OK;
	case O_ACC:
		set_gpr(e, o, EMUL_RAX);
		return UMBRA_EMUL_OK;
	case O_VVVV:
		o->kind = K_GPR;
		o->reg = e->vvvv;
		o->high = false;
		/* The only operand that src2 can be which is not in the code. */
		o->val = emul_reg_read(e, o->reg, o->size);
		return UMBRA_EMUL_OK;
	case O_DX:
		o->kind = K_GPR;
		o->size = 2;
		o->reg = EMUL_RDX;
		o->high = false;
		return UMBRA_EMUL_OK;
	case O_RM8:
	case O_RM16:
	case O_RM32:
	case O_RMW:
	case O_RMNATIVE:
	case O_MEM2X:
	case O_ADDR:
	case O_XRM:
	case O_MRM:
		return decode_rm(e, o, flags, kind);
	case O_MOFFS:
		return decode_moffs(e, o);
	case O_SREG:
	case O_CR:
	case O_DR:
	case O_XREG:
	case O_MREG:
		return decode_special(e, o, flags, kind);
	default:
		return decode_imm(e, o, kind);
	}
}

static int decode_operands(struct umbra_emul *e, u64 flags)
{
	int r;

	r = decode_operand(e, &e->dst, flags, flags & 31);
	if (r)
		return r;
	r = decode_operand(e, &e->src, flags, (flags >> 5) & 31);
	if (r)
		return r;
	if (!(flags & F_SRC2(31))) {
		e->src2.kind = K_NONE;
		return UMBRA_EMUL_OK;
	}
	return decode_operand(e, &e->src2, flags, (flags >> 10) & 31);
}

/* BT and its like with a register offset reach any bit around the memory operand. */
static void move_bit_address(struct umbra_emul *e)
{
	s64 bit = emul_sext(e->gpr[e->src.reg & 15], e->opsize);
	s64 bytes = (bit >> 3) & ~(s64)(e->opsize - 1);

	e->dst.ea = (e->dst.ea + bytes) & emul_mask(e->adsize);
}

/* What the CPU, the mode or a prefix forbids. */
static int check_decoded(struct umbra_emul *e, const struct emul_opcode *op, u64 flags)
{
	unsigned int feature = (flags & F_CPU_MASK) >> F_CPU_SHIFT;

	if (!(flags & F_DECODED) && op->exec)
		return UMBRA_EMUL_OK;
	/* All that is not in the tables of VEX is AVX. */
	if (e->vex && !feature)
		feature = UMBRA_CPU_AVX;
	if (e->vex && e->vexl && (flags & F_L_AVX2))
		feature = UMBRA_CPU_AVX2;
	if ((flags & F_UNDEF) || (feature && !e->ops->cpu_has(e, feature)))
		return emul_ud(e);
	if ((flags & F_NO64) && emul_long(e))
		return emul_ud(e);
	if ((flags & F_PROT) && !emul_prot(e))
		return emul_ud(e);
	if ((flags & F_MEMONLY) && e->modrm >= 0xc0)
		return emul_ud(e);
	if ((flags & F_L0) && e->vexl)
		return emul_ud(e);
	if ((flags & F_W0) && e->vex && e->vexw)
		return emul_ud(e);
	if ((flags & F_NODATA66) && (e->opsize_prefix || e->rep))
		return emul_ud(e);
	if (!op->exec)
		return UMBRA_EMUL_UNHANDLEABLE;
	if (e->vex && e->vvvv && !(flags & F_VVVV))
		return emul_ud(e);
	return UMBRA_EMUL_OK;
}

static void reset(struct umbra_emul *e, const u8 *bytes, unsigned int n)
{
	if (n > UMBRA_EMUL_MAX_LEN)
		n = UMBRA_EMUL_MAX_LEN;
	if (n == UMBRA_EMUL_MAX_LEN)	/* the usual number: no call to memcpy() */
		memcpy(e->bytes, bytes, UMBRA_EMUL_MAX_LEN);
	else if (n)
		memcpy(e->bytes, bytes, n);
	e->nbytes = n;
	e->pos = 0;
	e->len = 0;
	e->modrm = 0;
	e->rex = 0;
	e->rep = 0;
	e->opsize_prefix = false;
	e->lock = false;
	e->rip_relative = false;
	e->absolute = false;
	e->vex = false;
	e->vexl = 0;
	e->vexw = false;
	e->vvvv = 0;
	e->seg_override = EMUL_NR_SEGS;
	e->seg = EMUL_DS;
	e->segs_valid = 0;
	e->step = 0;
	e->trap_step = false;
	e->trap_task = false;
	if (emul_long(e))
		e->adsize = 8;
	else
		e->adsize = e->mode == UMBRA_EMUL_PROT32 ? 4 : 2;
}

int umbra_emul_decode(struct umbra_emul *e, const u8 *bytes, unsigned int n)
{
	const struct emul_opcode *op;
	u64 flags;
	int r;

	reset(e, bytes, n);
	r = decode_opcode(e, &op);
	if (r)
		return r;
	flags = op->flags;
	if (flags & F_MODRM) {
		r = need(e, 1);
		if (r)
			return r;
		e->modrm = e->bytes[e->pos++];
	}
	op = resolve(e, op, &flags);
	r = check_decoded(e, op, flags);
	if (r)
		return r;

	e->opsize = operand_size(e, flags);
	r = decode_operands(e, flags);
	if (r)
		return r;
	if (e->lock && (!(flags & F_LOCK) || e->dst.kind != K_MEM))
		return emul_ud(e);

	e->len = e->pos;
	if (e->rip_relative) {
		struct emul_operand *o = e->dst.kind == K_MEM ? &e->dst : &e->src;

		o->ea = (o->ea + e->rip + e->len) & emul_mask(e->adsize);
	}
	if ((flags & F_BITOFF) && e->dst.kind == K_MEM)
		move_bit_address(e);
	e->flags = flags;
	e->op = op;
	return UMBRA_EMUL_OK;
}

/* Execution */

static unsigned int operand_acc(const struct umbra_emul *e)
{
	return (e->flags & F_TWOMEM) ? 0 : EMUL_ACC_OPERAND;
}

static int load(struct umbra_emul *e, struct emul_operand *o, unsigned int acc)
{
	if (o->kind == K_MEM) {
		o->val = 0;
		return emul_read(e, e->seg, o->ea, o->raw, o->size, acc | operand_acc(e));
	}
	switch (o->kind) {
	case K_GPR:
		o->val = e->gpr[o->reg & 15] >> (o->high ? 8 : 0);
		o->val &= emul_mask(o->size);
		return UMBRA_EMUL_OK;
	case K_SREG:
		o->val = emul_seg(e, o->reg)->sel;
		return UMBRA_EMUL_OK;
	case K_XMM:
		return e->ops->get_xmm(e, o->reg, o->raw, o->size > 16 ? 32 : 16);
	case K_MMX:
		return emul_mmx_read(e, o->reg, &o->val);
	default:
		return UMBRA_EMUL_OK;
	}
}

static int store_reg(struct umbra_emul *e, const struct emul_operand *o)
{
	if (o->kind == K_XMM)
		return e->ops->set_xmm(e, o->reg, o->raw, e->vex ? 32 : 16);
	if (o->kind == K_MMX)
		return emul_mmx_write(e, o->reg, o->val);
	if (o->high) {
		u64 *p = &e->gpr[o->reg & 15];

		*p = (*p & ~0xff00ull) | ((o->val & 0xff) << 8);
	} else {
		emul_reg_write(e, o->reg, o->size, o->val);
	}
	return UMBRA_EMUL_OK;
}

/* Before operands: may this instruction run at all? */
static int check_rights(struct umbra_emul *e)
{
	u64 cr0;

	if ((e->flags & F_PRIV) && e->cpl)
		return emul_gp0(e);
	if (!(e->flags & (F_SSE | F_AVX | F_MMX)))
		return UMBRA_EMUL_OK;

	cr0 = e->ops->get_cr(e, 0);
	if (e->flags & F_AVX) {
		if (!(e->ops->get_cr(e, 4) & EMUL_CR4_OSXSAVE) || (e->ops->get_xcr0(e) & 6) != 6)
			return emul_ud(e);
	} else if (cr0 & EMUL_CR0_EM) {
		return emul_ud(e);
	}
	if ((e->flags & F_SSE) && !(e->ops->get_cr(e, 4) & EMUL_CR4_OSFXSR))
		return emul_ud(e);
	if (cr0 & EMUL_CR0_TS)
		return emul_fault(e, EMUL_NM);
	return (e->flags & F_MMX) ? emul_fpu_pending(e) : UMBRA_EMUL_OK;
}

/* What every execution starts with. */
void emul_begin(struct umbra_emul *e)
{
	e->int_shadow = 0;
	e->stop_rep = false;
	e->trap_step = false;
	e->trap_task = false;
	e->step_rule = EMUL_STEP_OLD;
	e->npend = 0;
	e->new_flags = e->rflags & ~EMUL_RF;
}

void emul_begin_event(struct umbra_emul *e)
{
	emul_begin(e);
	e->segs_valid = 0;
	e->flags = 0;
	e->next_rip = e->rip;
}

int emul_commit(struct umbra_emul *e)
{
	u64 step = e->step_rule == EMUL_STEP_OLD ? e->rflags : e->new_flags;
	unsigned int i;

	for (i = 0; i < e->npend; i++)
		emul_reg_write(e, e->pend[i].reg, e->pend[i].size, e->pend[i].val);
	e->trap_step = (step & EMUL_TF) && e->step_rule != EMUL_STEP_NONE &&
		       !(e->int_shadow & UMBRA_EMUL_SHADOW_MOV_SS);
	e->rflags = e->new_flags;
	e->rip = e->next_rip;
	e->step++;
	return UMBRA_EMUL_OK;
}

/* Read operands and run the handler: everything that may be done twice. */
static int run_handler(struct umbra_emul *e)
{
	int r = load(e, &e->src, 0);

	if (r)
		return r;
	if (!(e->flags & F_MOV)) {
		r = load(e, &e->dst, (e->flags & F_NOWRITE) ? 0 : EMUL_ACC_WRITE);
		if (r)
			return r;
	}
	return e->op->exec(e);
}

/* Read, modify and write memory as one atomic step. */
static int run_locked(struct umbra_emul *e)
{
	unsigned int tries, acc = EMUL_ACC_WRITE | EMUL_ACC_OPERAND;
	u64 la;
	int r;

	r = emul_linear(e, e->seg, e->dst.ea, e->dst.size, true, &la);
	if (r)
		return r;
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		u64 seen[2] = {}, old[2] = {};

		e->new_flags = e->rflags & ~EMUL_RF;
		e->npend = 0;
		r = load(e, &e->src, 0);
		if (r)
			return r;
		r = e->ops->read_mem(e, la, seen, e->dst.size, acc);
		if (r)
			return r;
		memcpy(e->dst.raw, seen, sizeof(seen));
		r = e->op->exec(e);
		if (r)
			return r;
		memcpy(old, seen, sizeof(old));
		r = e->ops->cmpxchg_mem(e, la, old, e->dst.raw, e->dst.size, acc);
		if (r || !memcmp(old, seen, sizeof(old)))
			return r;
	}
	return UMBRA_EMUL_RESTART;
}

int umbra_emul_execute(struct umbra_emul *e)
{
	u64 flags = e->flags;
	int r;

	emul_begin(e);
	e->next_rip = e->rip + e->len;
	if (!emul_long(e))
		e->next_rip &= 0xffffffff;

	if (flags & F_CHECK) {
		r = check_rights(e);
		if (r)
			return r;
		if (flags & (F_STRING | F_SELF)) {
			r = e->op->exec(e);
			if (r || (flags & F_STRING))
				return r;
			return emul_commit(e);
		}
	}

	if (unlikely((e->lock || (flags & F_XCHG)) && e->dst.kind == K_MEM)) {
		r = run_locked(e);
		if (r)
			return r;
	} else {
		r = run_handler(e);
		if (r)
			return r;
		if (!(flags & F_NOWRITE) && e->dst.kind == K_MEM) {
			r = emul_write(e, e->seg, e->dst.ea, e->dst.raw, e->dst.size,
				       operand_acc(e));
			if (r)
				return r;
		}
	}

	/* Nothing fails from here on, but for a vector register the caller cannot reach. */
	if (!(flags & F_NOWRITE) && e->dst.kind >= K_XMM) {
		r = store_reg(e, &e->dst);
		if (r)
			return r;
	}
	if (unlikely(flags & F_MMX)) {
		r = emul_mmx_enter(e);
		if (r)
			return r;
	}
	if (flags & F_WBSRC)
		store_reg(e, &e->src);
	emul_commit(e);
	if (!(flags & F_NOWRITE) && e->dst.kind == K_GPR)
		store_reg(e, &e->dst);
	return UMBRA_EMUL_OK;
}

/* Where a MOV in 64-bit code finds its memory operand, at @ea now. */
static void note_address(const struct umbra_emul *e, u64 ea, struct umbra_emul_mov *mov)
{
	mov->base = UMBRA_EMUL_ANY_BASE;
	mov->offset = ea;
	if (e->seg >= EMUL_FS || e->adsize != 8)
		return;
	if (!(e->flags & F_MODRM) || e->rip_relative || e->absolute) {
		mov->base = UMBRA_EMUL_NO_BASE;
	} else if ((e->modrm & 7) != 4) {	/* no SIB byte */
		mov->base = (e->modrm & 7) | (e->rex & 1) << 3;
		mov->offset = ea - e->gpr[mov->base];
	}
}

bool umbra_emul_repeats(const struct umbra_emul *e)
{
	return e->rep && e->flags & F_STRING;
}

bool umbra_emul_plain_mov(const struct umbra_emul *e, struct umbra_emul_mov *mov)
{
	bool write = e->dst.kind == K_MEM;
	const struct emul_operand *mem = write ? &e->dst : &e->src;
	const struct emul_operand *other = write ? &e->src : &e->dst;

	if (e->op->exec != emul_op_mov || mem->kind != K_MEM || mem->size != other->size ||
	    (other->kind != K_GPR && other->kind != K_IMM) || (other->kind == K_GPR && other->high))
		return false;
	*mov = (struct umbra_emul_mov) {
		.write = write,
		.constant = other->kind == K_IMM,
		.size = mem->size,
		.reg = other->kind == K_GPR ? other->reg & 15 : 0,
		.value = other->kind == K_IMM ? other->val : 0,
	};
	note_address(e, mem->ea, mov);
	return true;
}
