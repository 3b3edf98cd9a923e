// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's vector moves: what drivers use on device memory. No arithmetic.
 *
 * With VEX a move that changes a part of its register takes the rest from VEX.vvvv, and what lies
 * above the 16 or 32 bytes of the operand becomes zero.
 */
#include "emul_priv.h"

/* The register that a partial move changes a part of. */
static int merge(struct umbra_emul *e)
{
	if (!e->vex || e->dst.kind == K_MEM)
		return UMBRA_EMUL_OK;
	memset(e->dst.raw, 0, sizeof(e->dst.raw));
	return e->ops->get_xmm(e, e->vvvv, e->dst.raw, 16);
}

/*
 * A move of dst.size bytes. A load from memory or a general register clears the rest of the
 * 16-byte register; so do MOVQ and the full moves between registers, which come here too.
 */
int emul_op_vmov(struct umbra_emul *e)
{
	unsigned int size = e->src.size < e->dst.size ? e->src.size : e->dst.size;

	memset(e->dst.raw, 0, sizeof(e->dst.raw));
	memcpy(e->dst.raw, e->src.raw, size);
	return UMBRA_EMUL_OK;
}

/* MOVSS, MOVSD between registers and MOVLPS: the low part alone changes. */
int emul_op_vmov_low(struct umbra_emul *e)
{
	int r = merge(e);

	memcpy(e->dst.raw, e->src.raw, e->src.size);
	return r;
}

/* MOVHPS, and MOVLHPS: the upper eight bytes of the register. */
int emul_op_vmov_high(struct umbra_emul *e)
{
	int r = merge(e);

	if (e->dst.kind == K_MEM)
		e->dst.word[0] = e->src.word[1];
	else
		e->dst.word[1] = e->src.word[0];
	return r;
}

/* MOVHLPS */
int emul_op_vmov_hl(struct umbra_emul *e)
{
	int r = merge(e);

	e->dst.word[0] = e->src.word[1];
	return r;
}

/* MOVDDUP: the low half of each 16 bytes twice. */
int emul_op_vdup_low(struct umbra_emul *e)
{
	u64 low = e->src.word[0], high = e->dst.size == 32 ? e->src.word[2] : 0;

	e->dst.word[0] = low;
	e->dst.word[1] = low;
	e->dst.word[2] = high;
	e->dst.word[3] = high;
	return UMBRA_EMUL_OK;
}

/* VMOVDDUP: 8 bytes of memory, but 32 with VEX.L. */
int emul_op_vmovddup(struct umbra_emul *e)
{
	unsigned int size = e->vexl ? 32 : 8;
	int r;

	memset(e->src.raw, 0, sizeof(e->src.raw));
	if (e->src.kind == K_MEM)
		r = emul_read(e, e->seg, e->src.ea, e->src.raw, size, EMUL_ACC_OPERAND);
	else
		r = e->ops->get_xmm(e, e->src.reg, e->src.raw, e->vexl ? 32 : 16);
	if (r)
		return r;
	e->dst.size = e->vexl ? 32 : 16;
	emul_op_vdup_low(e);
	return e->ops->set_xmm(e, e->dst.reg, e->dst.raw, 32);
}

/* MOVSLDUP and MOVSHDUP: the even or the odd ones of the 32-bit elements twice. */
static void duplicate(struct umbra_emul *e, unsigned int odd)
{
	unsigned int i;

	memset(e->dst.raw, 0, sizeof(e->dst.raw));
	for (i = 0; i < e->dst.size; i += 8) {
		memcpy(e->dst.raw + i, e->src.raw + i + 4 * odd, 4);
		memcpy(e->dst.raw + i + 4, e->src.raw + i + 4 * odd, 4);
	}
}

int emul_op_vdup_even(struct umbra_emul *e)
{
	duplicate(e, 0);
	return UMBRA_EMUL_OK;
}

int emul_op_vdup_odd(struct umbra_emul *e)
{
	duplicate(e, 1);
	return UMBRA_EMUL_OK;
}

/*
 * EXTRQ and INSERTQ of SSE4a: a field of a 64-bit number, its length in the low byte of @how (0
 * means 64), its place in the high one. What reaches beyond bit 63 is undefined.
 */
static u64 field_bits(u16 how)
{
	unsigned int len = how & 63;

	return len ? (1ull << len) - 1 : ~0ull;
}

int emul_op_extrq(struct umbra_emul *e)
{
	u16 how = e->src.val;

	e->dst.word[0] = (e->dst.word[0] >> (how >> 8 & 63)) & field_bits(how);
	return UMBRA_EMUL_OK;
}

int emul_op_insertq(struct umbra_emul *e)
{
	u16 how = e->src2.kind == K_IMM ? e->src2.val : e->src.word[1];
	u64 mask = field_bits(how);
	unsigned int at = how >> 8 & 63;

	e->dst.word[0] = (e->dst.word[0] & ~(mask << at)) | (e->src.word[0] & mask) << at;
	return UMBRA_EMUL_OK;
}

/* Masked moves: of the elements whose mask has its uppermost bit set. Others are not touched. */

/**
 * struct masked - a masked move
 * @la: where each of its elements is, valid for those that move
 * @set: a bit for each of them
 * @n: how many elements there are
 * @size: bytes of each
 */
struct masked {
	u64 la[16];
	u32 set;
	unsigned int n, size;
};

static void set_mask(struct masked *k, const u8 *mask, unsigned int bytes, unsigned int size)
{
	unsigned int i;

	k->set = 0;
	k->n = bytes / size;
	k->size = size;
	for (i = 0; i < k->n; i++)
		k->set |= (u32)(mask[(i + 1) * size - 1] >> 7) << i;
}

/* All of them are looked at before any is moved. */
static int check_masked(struct umbra_emul *e, struct masked *k, unsigned int seg, u64 off, bool write)
{
	unsigned int i;
	int r;

	for (i = 0; i < k->n; i++) {
		if (!(k->set >> i & 1))
			continue;
		r = emul_linear(e, seg, (off + i * k->size) & emul_mask(e->adsize), k->size, write,
				&k->la[i]);
		if (!r)
			r = emul_probe(e, k->la[i], k->size, write ? EMUL_ACC_WRITE : 0);
		if (r)
			return r;
	}
	return UMBRA_EMUL_OK;
}

/* How many elements from @i on are side by side in memory: one access, as a device has room for few. */
static unsigned int neighbours(const struct masked *k, unsigned int i)
{
	unsigned int n = 1;

	while (i + n < k->n && (k->set >> (i + n) & 1) && k->la[i + n] == k->la[i] + n * k->size)
		n++;
	return n;
}

static int move_masked(struct umbra_emul *e, unsigned int seg, u64 off, struct masked *k, u8 *data,
		       bool write)
{
	unsigned int i, n;
	int r = check_masked(e, k, seg, off, write);

	for (i = 0; !r && i < k->n; i += n) {
		u8 *p = data + i * k->size;

		n = 1;
		if (!(k->set >> i & 1))
			continue;
		n = neighbours(k, i);
		if (write)
			r = e->ops->write_mem(e, k->la[i], p, n * k->size, EMUL_ACC_WRITE);
		else
			r = e->ops->read_mem(e, k->la[i], p, n * k->size, 0);
	}
	return r;
}

/* MASKMOVQ and MASKMOVDQU: bytes to where rDI points. */
int emul_op_maskmov(struct umbra_emul *e)
{
	unsigned int seg = e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS;
	struct masked k;

	set_mask(&k, e->src.raw, e->dst.size, 1);
	return move_masked(e, seg, emul_reg_read(e, EMUL_RDI, e->adsize), &k, e->dst.raw, true);
}

/* VMASKMOVPS and PD, VPMASKMOVD and Q; the mask is in VEX.vvvv. What a load leaves out becomes zero. */
int emul_op_vmaskmov(struct umbra_emul *e)
{
	unsigned int bytes = e->vexl ? 32 : 16, size = (e->opcode & 1) || e->vexw ? 8 : 4;
	bool store = e->opcode & 2;
	struct emul_operand *reg = store ? &e->src : &e->dst;
	u8 mask[32];
	struct masked k;
	int r = e->ops->get_xmm(e, e->vvvv, mask, bytes);

	memset(reg->raw, 0, sizeof(reg->raw));
	if (!r && store)
		r = e->ops->get_xmm(e, reg->reg, reg->raw, bytes);
	if (r)
		return r;
	set_mask(&k, mask, bytes, size);
	r = move_masked(e, e->seg, store ? e->dst.ea : e->src.ea, &k, reg->raw, store);
	return r || store ? r : e->ops->set_xmm(e, reg->reg, reg->raw, 32);
}

/* VZEROUPPER, and VZEROALL with VEX.L: all registers of the mode. */
int emul_op_vzero(struct umbra_emul *e)
{
	unsigned int reg, n = emul_long(e) ? 16 : 8;
	u8 val[32] = {};
	int r;

	for (reg = 0; reg < n; reg++) {
		r = e->vexl ? UMBRA_EMUL_OK : e->ops->get_xmm(e, reg, val, 16);
		if (!r)
			r = e->ops->set_xmm(e, reg, val, 32);
		if (r)
			return r;
	}
	return UMBRA_EMUL_OK;
}
