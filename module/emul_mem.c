// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's way to memory: segmentation with its checks, the stack, branch targets,
 * the I/O permission bitmap.
 */
#include "emul_priv.h"

static int seg_fault(struct umbra_emul *e, unsigned int seg)
{
	return emul_fault_err(e, seg == EMUL_SS ? EMUL_SS_FAULT : EMUL_GP, 0);
}

/* Data accesses only: a code segment can be read if its W bit (here: readable) is set. */
static bool rights_ok(const struct umbra_emul_seg *s, bool write)
{
	if (!(s->attr & EMUL_SEG_P))
		return false;
	if (s->attr & EMUL_SEG_CODE)
		return !write && (s->attr & EMUL_SEG_WRITE);
	return !write || (s->attr & EMUL_SEG_WRITE);
}

/* #AC for an access of level 3 with RFLAGS.AC set: the caller has looked at these. */
int emul_check_alignment(struct umbra_emul *e, u64 la, unsigned int size)
{
	/* Of odd sizes and large images no alignment is asked. */
	if (size <= 16 && !(size & (size - 1)) && (la & (size - 1)) && (e->ops->get_cr(e, 0) & EMUL_CR0_AM))
		return emul_fault_err(e, EMUL_AC_FAULT, 0);
	return UMBRA_EMUL_OK;
}

/* All of emul_linear(), whose inline part has found something other than the usual case. */
int emul_linear_slow(struct umbra_emul *e, unsigned int seg, u64 off, unsigned int size,
		     bool write, u64 *la)
{
	const struct umbra_emul_seg *s;

	if (emul_long(e)) {
		if (seg >= EMUL_FS)
			off += emul_seg(e, seg)->base;
		*la = off;
		if (!emul_canonical(e, off) || !emul_canonical(e, off + size - 1))
			return seg_fault(e, seg);
	} else {
		s = emul_seg(e, seg);
		if (emul_prot(e) && !rights_ok(s, write))
			return seg_fault(e, seg);
		if (!emul_limit_ok(s, off, size))
			return seg_fault(e, seg);
		*la = (s->base + off) & 0xffffffff;
	}
	if ((e->flags & F_ALIGN) && size >= 16 && (*la & (size - 1)))
		return emul_gp0(e);
	if ((e->rflags & EMUL_AC) && e->cpl == 3)
		return emul_check_alignment(e, *la, size);
	return UMBRA_EMUL_OK;
}

/* Read with @acc, EMUL_ACC_*: EMUL_ACC_WRITE asks for the rights of the write that will follow. */
int emul_read(struct umbra_emul *e, unsigned int seg, u64 off, void *buf, unsigned int size,
	      unsigned int acc)
{
	u64 la;
	int r = emul_linear(e, seg, off, size, acc & EMUL_ACC_WRITE, &la);

	return r ? r : e->ops->read_mem(e, la, buf, size, acc);
}

int emul_write(struct umbra_emul *e, unsigned int seg, u64 off, const void *buf,
	       unsigned int size, unsigned int acc)
{
	u64 la;
	int r = emul_linear(e, seg, off, size, true, &la);

	return r ? r : e->ops->write_mem(e, la, buf, size, acc | EMUL_ACC_WRITE);
}

/* Width of the stack pointer in bytes. */
unsigned int emul_stack_size(struct umbra_emul *e)
{
	if (emul_long(e))
		return 8;
	if (e->mode == UMBRA_EMUL_VM86)
		return 2;
	return (emul_seg(e, EMUL_SS)->attr & EMUL_SEG_DB) ? 4 : 2;
}

int emul_stack_read(struct umbra_emul *e, u64 rsp, u64 *val, unsigned int size)
{
	*val = 0;
	return emul_read(e, EMUL_SS, rsp & emul_mask(emul_stack_size(e)), val, size, 0);
}

int emul_stack_write(struct umbra_emul *e, u64 rsp, u64 val, unsigned int size)
{
	return emul_write(e, EMUL_SS, rsp & emul_mask(emul_stack_size(e)), &val, size, 0);
}

/* The stack pointer becomes @rsp when the instruction commits. */
void emul_set_rsp(struct umbra_emul *e, u64 rsp)
{
	emul_pend(e, EMUL_RSP, emul_stack_size(e), rsp);
}

int emul_push(struct umbra_emul *e, u64 val, unsigned int size)
{
	u64 rsp = e->gpr[EMUL_RSP] - size;
	int r = emul_stack_write(e, rsp, val, size);

	if (!r)
		emul_set_rsp(e, rsp);
	return r;
}

int emul_pop(struct umbra_emul *e, u64 *val, unsigned int size)
{
	int r = emul_stack_read(e, e->gpr[EMUL_RSP], val, size);

	if (!r)
		emul_set_rsp(e, e->gpr[EMUL_RSP] + size);
	return r;
}

/* Go to @target in this code segment, if one may be there. */
int emul_branch(struct umbra_emul *e, u64 target)
{
	if (emul_long(e)) {
		if (e->opsize == 2)
			target &= 0xffff;
		if (!emul_canonical(e, target))
			return emul_gp0(e);
	} else {
		target &= emul_mask(e->opsize);
		if (target > emul_seg(e, EMUL_CS)->limit)
			return emul_gp0(e);
	}
	e->next_rip = target;
	return UMBRA_EMUL_OK;
}

/* Does the I/O bitmap of the TSS allow @size ports from @port? */
static int check_io_bitmap(struct umbra_emul *e, u16 port, unsigned int size)
{
	const struct umbra_emul_seg *tr = emul_seg(e, EMUL_TR);
	unsigned int type = tr->attr & EMUL_SEG_TYPE;
	u16 map = 0, bits = 0;
	u32 off;
	int r;

	/* A 16-bit TSS has no bitmap. */
	if (!(tr->attr & EMUL_SEG_P) || (type != 9 && type != 11) || tr->limit < 103)
		return emul_gp0(e);
	r = e->ops->read_mem(e, tr->base + 102, &map, 2, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	/* Two bytes are read always, so the map ends with a byte of ones. */
	off = (u32)map + port / 8;
	if (off + 1 > tr->limit)
		return emul_gp0(e);
	r = e->ops->read_mem(e, tr->base + off, &bits, 2, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	if ((bits >> (port & 7)) & ((1u << size) - 1))
		return emul_gp0(e);
	return UMBRA_EMUL_OK;
}

int emul_io_allowed(struct umbra_emul *e, u16 port, unsigned int size)
{
	if (e->mode == UMBRA_EMUL_REAL)
		return UMBRA_EMUL_OK;
	if (e->mode != UMBRA_EMUL_VM86 && e->cpl <= emul_iopl(e))
		return UMBRA_EMUL_OK;
	return check_io_bitmap(e, port, size);
}
