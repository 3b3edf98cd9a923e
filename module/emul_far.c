// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's far control transfers: JMP, CALL and RET to other code segments, through call gates
 * and to other privilege levels; the stack frames and checks that interrupts and IRET share.
 *
 * Everything that can fault is done first: reads, then checks of what will be written, then the
 * writes. Segment registers change last, when only the commit is left.
 */
#include "emul_priv.h"

#define GATE_PARAMS_MAX	31

/* The bytes at @la, which may lie in two pages, can be accessed. */
int emul_probe(struct umbra_emul *e, u64 la, unsigned int n, unsigned int acc)
{
	unsigned int first = 4096 - (la & 4095);
	bool ram;
	int r;

	if (first > n)
		first = n;
	r = e->ops->probe(e, la, first, acc, &ram);
	if (!r && first < n)
		r = e->ops->probe(e, la + first, n - first, acc, &ram);
	return r;
}

void emul_current_stack(struct umbra_emul *e, struct emul_stack *st)
{
	st->ss = *emul_seg(e, EMUL_SS);
	st->sp = e->gpr[EMUL_RSP];
	st->width = emul_stack_size(e);
	st->cpl = e->cpl;
	st->error = 0;
}

/* Where @size bytes at @sp of a stack are. */
static int stack_linear(struct umbra_emul *e, const struct emul_stack *st, u64 sp,
			unsigned int size, u64 *la)
{
	u64 off = sp & emul_mask(st->width);
	bool ok;

	if (st->width == 8) {
		*la = off;
		ok = emul_canonical(e, off) && emul_canonical(e, off + size - 1);
	} else {
		*la = (st->ss.base + off) & 0xffffffff;
		ok = emul_limit_ok(&st->ss, off, size);
	}
	if (!ok)
		return emul_fault_err(e, EMUL_SS_FAULT, st->error);
	if ((e->rflags & EMUL_AC) && st->cpl == 3)
		return emul_check_alignment(e, *la, size);
	return UMBRA_EMUL_OK;
}

static int walk_frame(struct umbra_emul *e, const struct emul_stack *st, const u64 *vals,
		      unsigned int n, unsigned int size, bool write)
{
	u64 la, sp = st->sp;
	unsigned int i;
	int r = UMBRA_EMUL_OK;

	for (i = 0; !r && i < n; i++) {
		sp -= size;
		r = stack_linear(e, st, sp, size, &la);
		if (r)
			break;
		if (write)
			r = e->ops->write_mem(e, la, &vals[i], size, EMUL_ACC_WRITE);
		else
			r = emul_probe(e, la, size, EMUL_ACC_WRITE);
	}
	return r;
}

static int with_rights(struct umbra_emul *e, const struct emul_stack *st, const u64 *vals,
		       unsigned int n, unsigned int size, bool write)
{
	u8 cpl = e->cpl;
	int r;

	e->cpl = st->cpl;
	r = walk_frame(e, st, vals, n, size, write);
	e->cpl = cpl;
	return r;
}

int emul_check_frame(struct umbra_emul *e, const struct emul_stack *st, unsigned int n,
		     unsigned int size)
{
	return with_rights(e, st, NULL, n, size, false);
}

int emul_write_frame(struct umbra_emul *e, struct emul_stack *st, const u64 *vals,
		     unsigned int n, unsigned int size)
{
	int r = with_rights(e, st, vals, n, size, true);

	st->sp -= (u64)n * size;
	return r;
}

/* The stack for privilege level @cpl as the TSS has it, checked. */
int emul_inner_stack(struct umbra_emul *e, unsigned int cpl, struct emul_stack *st)
{
	const struct umbra_emul_seg *tr = emul_seg(e, EMUL_TR);
	bool tss32 = (tr->attr & EMUL_SEG_TYPE) & 8;
	unsigned int size = tss32 ? 4 : 2, off = tss32 ? 4 + 8 * cpl : 2 + 4 * cpl;
	struct emul_desc d;
	u16 sel;
	int r;

	if (off + size + 1 > tr->limit)
		return emul_fault_err(e, EMUL_TS, tr->sel & ~3u);
	st->sp = 0;
	r = e->ops->read_mem(e, tr->base + off, &st->sp, size, EMUL_ACC_SYSTEM);
	if (!r)
		r = e->ops->read_mem(e, tr->base + off + size, &sel, 2, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	if (!(sel & ~3u))
		return emul_fault_err(e, EMUL_TS, 0);
	r = emul_read_desc(e, sel, EMUL_TS, &d);
	if (r)
		return r;
	if (!emul_data_seg_ok(&d.seg, EMUL_SS, cpl))
		return emul_fault_err(e, EMUL_TS, sel & ~3u);
	if (!(d.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_SS_FAULT, sel & ~3u);
	st->error = sel & ~3u;
	st->width = (d.seg.attr & EMUL_SEG_DB) ? 4 : 2;
	st->cpl = cpl;
	st->desc = d;
	st->has_desc = true;
	st->ss = d.seg;
	return UMBRA_EMUL_OK;
}

/* In long mode the TSS has stack pointers alone: number @nr, 0 to 2, or 4 to 10 for IST 1 to 7. */
int emul_inner_stack64(struct umbra_emul *e, unsigned int nr, unsigned int cpl,
		       struct emul_stack *st)
{
	const struct umbra_emul_seg *tr = emul_seg(e, EMUL_TR);
	unsigned int off = 4 + 8 * nr;
	int r;

	if (off + 7 > tr->limit)
		return emul_fault_err(e, EMUL_TS, tr->sel & ~3u);
	r = e->ops->read_mem(e, tr->base + off, &st->sp, 8, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	st->width = 8;
	st->cpl = cpl;
	st->error = 0;
	st->ss = (struct umbra_emul_seg) {
		.sel = cpl, .attr = cpl << EMUL_SEG_DPL_SHIFT,
	};
	return UMBRA_EMUL_OK;
}

/* Code segments */

unsigned int emul_code_mode(const struct umbra_emul_seg *cs, bool lma)
{
	if (lma && (cs->attr & EMUL_SEG_L))
		return UMBRA_EMUL_LONG64;
	return (cs->attr & EMUL_SEG_DB) ? UMBRA_EMUL_PROT32 : UMBRA_EMUL_PROT16;
}

bool emul_is_code(const struct umbra_emul_seg *seg)
{
	return (seg->attr & EMUL_SEG_S) && (seg->attr & EMUL_SEG_CODE);
}

/* L and D together are reserved in long mode. */
static bool code_size_ok(const struct umbra_emul_seg *cs, bool lma)
{
	return !lma || (cs->attr & (EMUL_SEG_L | EMUL_SEG_DB)) != (EMUL_SEG_L | EMUL_SEG_DB);
}

int emul_check_target(struct umbra_emul *e, const struct umbra_emul_seg *cs, unsigned int mode,
		      u64 rip)
{
	if (mode == UMBRA_EMUL_LONG64 ? !emul_canonical(e, rip) : rip > cs->limit)
		return emul_gp0(e);
	return UMBRA_EMUL_OK;
}

/* Go to @rip in @cs at @cpl. Nothing can fail any more. */
int emul_enter_code(struct umbra_emul *e, const struct umbra_emul_seg *cs, unsigned int mode,
		    unsigned int cpl, u64 rip)
{
	struct umbra_emul_seg seg = *cs;
	int r;

	seg.sel = (seg.sel & ~3u) | cpl;
	r = emul_put_seg(e, EMUL_CS, &seg);
	e->mode = mode;
	e->cpl = cpl;
	e->next_rip = rip;
	return r;
}

/* Real and vm86 mode: the base follows the selector, limit and rights stay. */
int emul_enter_real(struct umbra_emul *e, u16 sel, u64 ip)
{
	struct umbra_emul_seg cs = *emul_seg(e, EMUL_CS);

	cs.sel = sel;
	cs.base = (u64)sel << 4;
	e->next_rip = ip;
	return emul_put_seg(e, EMUL_CS, &cs);
}

static int far_real(struct umbra_emul *e, u16 sel, u64 ip, bool call)
{
	u64 frame[2] = { emul_seg(e, EMUL_CS)->sel, e->next_rip };
	struct emul_stack st;
	int r;

	if (ip > emul_seg(e, EMUL_CS)->limit)
		return emul_gp0(e);
	if (call) {
		emul_current_stack(e, &st);
		r = emul_check_frame(e, &st, 2, e->opsize);
		if (!r)
			r = emul_write_frame(e, &st, frame, 2, e->opsize);
		if (r)
			return r;
		emul_set_rsp(e, st.sp);
	}
	return emul_enter_real(e, sel, ip);
}

/* Straight to a code segment, without a change of privilege. */
static int far_code(struct umbra_emul *e, struct emul_desc *d, u64 rip, bool call)
{
	unsigned int sel = d->seg.sel, dpl = emul_dpl(&d->seg), mode;
	u64 frame[2] = { emul_seg(e, EMUL_CS)->sel, e->next_rip };
	bool lma = emul_lma(e), ok;
	struct emul_stack st;
	int r;

	if (d->seg.attr & EMUL_SEG_DOWN)	/* conforming */
		ok = dpl <= e->cpl;
	else
		ok = dpl == e->cpl && (sel & 3) <= e->cpl;
	if (!emul_is_code(&d->seg) || !ok || !code_size_ok(&d->seg, lma))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(d->seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);

	mode = emul_code_mode(&d->seg, lma);
	if (mode != UMBRA_EMUL_LONG64)
		rip &= 0xffffffff;
	emul_current_stack(e, &st);
	r = call ? emul_check_frame(e, &st, 2, e->opsize) : UMBRA_EMUL_OK;
	if (!r)
		r = emul_check_target(e, &d->seg, mode, rip);
	if (!r)
		r = emul_mark_accessed(e, d);
	if (!r && call) {
		r = emul_write_frame(e, &st, frame, 2, e->opsize);
		emul_set_rsp(e, st.sp);
	}
	return r ? r : emul_enter_code(e, &d->seg, mode, e->cpl, rip);
}

/* A call gate and the code behind it. */
struct gate {
	struct emul_desc code;
	u64 rip;
	u8 size;	/* of what it pushes */
	u8 params;
	u8 mode;
};

static int read_gate(struct umbra_emul *e, const struct emul_desc *d, bool call, struct gate *g)
{
	unsigned int gsel = d->seg.sel, gdpl = emul_dpl(&d->seg), dpl;
	bool lma = emul_lma(e), conforming;
	u16 sel = emul_gate_sel(d->raw);
	u64 upper = 0;
	int r;

	if (gdpl < e->cpl || (gsel & 3) > gdpl)
		return emul_fault_err(e, EMUL_GP, gsel & ~3u);
	if (!(d->seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, gsel & ~3u);
	if (lma) {
		r = emul_read_desc_upper(e, d, &upper);
		if (r)
			return r;
		if ((upper >> 40) & 0x1f)
			return emul_fault_err(e, EMUL_GP, gsel & ~3u);
	}
	if (!(sel & ~3u))
		return emul_gp0(e);
	r = emul_read_desc(e, sel, EMUL_GP, &g->code);
	if (r)
		return r;
	dpl = emul_dpl(&g->code.seg);
	conforming = g->code.seg.attr & EMUL_SEG_DOWN;
	if (!emul_is_code(&g->code.seg) || dpl > e->cpl ||
	    (!call && !conforming && dpl != e->cpl) ||
	    (lma && (g->code.seg.attr & (EMUL_SEG_L | EMUL_SEG_DB)) != EMUL_SEG_L))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(g->code.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);

	g->mode = emul_code_mode(&g->code.seg, lma);
	g->rip = emul_gate_offset(d->raw) | upper << 32;
	g->params = lma ? 0 : (d->raw >> 32) & GATE_PARAMS_MAX;
	if (lma)
		g->size = 8;
	else
		g->size = (d->seg.attr & EMUL_SEG_TYPE) == EMUL_TYPE_CALL16 ? 2 : 4;
	if (g->size == 2)
		g->rip &= 0xffff;
	return UMBRA_EMUL_OK;
}

/* CALL through a gate to more privilege: another stack, and the parameters move there. */
static int gate_inner(struct umbra_emul *e, struct gate *g)
{
	unsigned int cpl = emul_dpl(&g->code.seg), n = 0, i;
	u64 frame[GATE_PARAMS_MAX + 4];
	struct emul_stack st = {};
	int r;

	if (g->mode == UMBRA_EMUL_LONG64)
		r = emul_inner_stack64(e, cpl, cpl, &st);
	else
		r = emul_inner_stack(e, cpl, &st);
	if (r)
		return r;
	frame[n++] = emul_seg(e, EMUL_SS)->sel;
	frame[n++] = e->gpr[EMUL_RSP];
	for (i = g->params; i-- > 0;) {
		r = emul_stack_read(e, e->gpr[EMUL_RSP] + i * g->size, &frame[n++], g->size);
		if (r)
			return r;
	}
	frame[n++] = emul_seg(e, EMUL_CS)->sel;
	frame[n++] = e->next_rip;

	r = emul_check_frame(e, &st, n, g->size);
	if (!r)
		r = emul_check_target(e, &g->code.seg, g->mode, g->rip);
	if (!r)
		r = emul_mark_accessed(e, &g->code);
	if (!r)
		r = emul_enter_stack(e, &st, frame, n, g->size);
	return r ? r : emul_enter_code(e, &g->code.seg, g->mode, cpl, g->rip);
}

/* Write the frame to the stack @st and make it SS:rSP. */
int emul_enter_stack(struct umbra_emul *e, struct emul_stack *st, const u64 *frame,
		     unsigned int n, unsigned int size)
{
	int r = UMBRA_EMUL_OK;

	if (st->has_desc) {
		r = emul_mark_accessed(e, &st->desc);
		st->ss = st->desc.seg;
	}
	if (!r)
		r = emul_write_frame(e, st, frame, n, size);
	if (r)
		return r;
	emul_pend(e, EMUL_RSP, st->width, st->sp);
	return emul_put_seg(e, EMUL_SS, &st->ss);
}

static int far_gate(struct umbra_emul *e, const struct emul_desc *d, bool call)
{
	u64 frame[2] = { emul_seg(e, EMUL_CS)->sel, e->next_rip };
	struct emul_stack st;
	struct gate g;
	int r = read_gate(e, d, call, &g);

	if (r)
		return r;
	if (call && !(g.code.seg.attr & EMUL_SEG_DOWN) && emul_dpl(&g.code.seg) < e->cpl)
		return gate_inner(e, &g);

	emul_current_stack(e, &st);
	if (g.mode == UMBRA_EMUL_LONG64)
		st.width = 8;
	r = call ? emul_check_frame(e, &st, 2, g.size) : UMBRA_EMUL_OK;
	if (!r)
		r = emul_check_target(e, &g.code.seg, g.mode, g.rip);
	if (!r)
		r = emul_mark_accessed(e, &g.code);
	if (!r && call) {
		r = emul_write_frame(e, &st, frame, 2, g.size);
		emul_pend(e, EMUL_RSP, st.width, st.sp);
	}
	return r ? r : emul_enter_code(e, &g.code.seg, g.mode, e->cpl, g.rip);
}

/* A TSS, or a task gate that names one. */
static int far_task(struct umbra_emul *e, struct emul_desc *d, bool call)
{
	enum umbra_emul_task how = call ? UMBRA_TASK_CALL : UMBRA_TASK_JMP;
	unsigned int sel = d->seg.sel, dpl = emul_dpl(&d->seg);

	if (dpl < e->cpl || (sel & 3) > dpl)
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if ((d->seg.attr & EMUL_SEG_TYPE) != EMUL_TYPE_TASK_GATE)
		return emul_task_switch(e, sel, how, NULL);
	if (!(d->seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);
	return emul_task_switch(e, emul_gate_sel(d->raw), how, NULL);
}

static int far_transfer(struct umbra_emul *e, u16 sel, u64 off, bool call)
{
	struct emul_desc d;
	int r;

	if (!emul_prot(e))
		return far_real(e, sel, off, call);
	if (!(sel & ~3u))
		return emul_gp0(e);
	r = emul_read_desc(e, sel, EMUL_GP, &d);
	if (r)
		return r;
	if (d.seg.attr & EMUL_SEG_S)
		return far_code(e, &d, off, call);

	switch (d.seg.attr & EMUL_SEG_TYPE) {
	case EMUL_TYPE_CALL32:
		return far_gate(e, &d, call);
	case EMUL_TYPE_CALL16:
		if (!emul_lma(e))
			return far_gate(e, &d, call);
		break;
	case EMUL_TYPE_TASK_GATE:
	case EMUL_TYPE_TSS16:
	case EMUL_TYPE_TSS32:
		if (!emul_lma(e))
			return far_task(e, &d, call);
		break;
	}
	return emul_fault_err(e, EMUL_GP, sel & ~3u);
}

/* 9A and EA: the pointer stands in the instruction. */
int emul_op_call_far(struct umbra_emul *e)
{
	return far_transfer(e, e->src.val, e->dst.val, true);
}

int emul_op_jmp_far(struct umbra_emul *e)
{
	return far_transfer(e, e->src.val, e->dst.val, false);
}

static int far_mem(struct umbra_emul *e, bool call)
{
	u64 off;
	u16 sel;
	int r = emul_read_far(e, &off, &sel);

	/* What AMD's CPUs read as 32 bits, they push as 32 bits. */
	if (e->opsize == 8 && e->ops->cpu_has(e, UMBRA_CPU_AMD))
		e->opsize = 4;
	return r ? r : far_transfer(e, sel, off, call);
}

int emul_op_call_far_mem(struct umbra_emul *e)
{
	return far_mem(e, true);
}

int emul_op_jmp_far_mem(struct umbra_emul *e)
{
	return far_mem(e, false);
}

/* Returns */

/* The code segment to return to, whose RPL says at which level. */
int emul_return_code(struct umbra_emul *e, u16 sel, struct emul_desc *d)
{
	unsigned int dpl;
	int r;

	if (!(sel & ~3u))
		return emul_gp0(e);
	r = emul_read_desc(e, sel, EMUL_GP, d);
	if (r)
		return r;
	dpl = emul_dpl(&d->seg);
	if (!emul_is_code(&d->seg) || (sel & 3) < e->cpl ||
	    ((d->seg.attr & EMUL_SEG_DOWN) ? dpl > (sel & 3u) : dpl != (sel & 3u)) ||
	    !code_size_ok(&d->seg, emul_lma(e)))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(d->seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);
	return UMBRA_EMUL_OK;
}

/* The stack segment that goes with a return to @cpl; 64-bit code but that of CPL 3 may have none. */
int emul_return_stack(struct umbra_emul *e, u16 sel, unsigned int cpl, unsigned int mode,
		      struct emul_stack *st)
{
	int r;

	st->has_desc = false;
	st->cpl = cpl;
	if (!(sel & ~3u)) {
		if (mode != UMBRA_EMUL_LONG64 || cpl == 3 || (sel & 3) != cpl)
			return emul_gp0(e);
		st->ss = (struct umbra_emul_seg) {
			.sel = sel, .attr = cpl << EMUL_SEG_DPL_SHIFT,
		};
		st->width = 8;
		return UMBRA_EMUL_OK;
	}
	r = emul_read_desc(e, sel, EMUL_GP, &st->desc);
	if (r)
		return r;
	if (!emul_data_seg_ok(&st->desc.seg, EMUL_SS, cpl))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(st->desc.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_SS_FAULT, sel & ~3u);
	st->has_desc = true;
	st->ss = st->desc.seg;
	if (mode == UMBRA_EMUL_LONG64)
		st->width = 8;
	else
		st->width = (st->ss.attr & EMUL_SEG_DB) ? 4 : 2;
	return UMBRA_EMUL_OK;
}

/* Data segments that the outer level may not use become null. */
static int drop_segments(struct umbra_emul *e, unsigned int cpl)
{
	static const u8 nrs[] = { EMUL_ES, EMUL_DS, EMUL_FS, EMUL_GS };
	static const struct umbra_emul_seg null;
	unsigned int i;
	int r = UMBRA_EMUL_OK;

	for (i = 0; !r && i < sizeof(nrs); i++) {
		const struct umbra_emul_seg *s = emul_seg(e, nrs[i]);

		if (!(s->attr & EMUL_SEG_P) || !(s->sel & ~3u) || emul_dpl(s) >= cpl)
			continue;
		if ((s->attr & EMUL_SEG_CODE) && (s->attr & EMUL_SEG_DOWN))
			continue;
		r = emul_put_seg(e, nrs[i], &null);
	}
	return r;
}

/* Everything is checked: go to @code's RPL at @rip with the stack @st, whose sp is the new one. */
int emul_return_to(struct umbra_emul *e, struct emul_desc *code, u64 rip, struct emul_stack *st)
{
	unsigned int cpl = code->seg.sel & 3, mode = emul_code_mode(&code->seg, emul_lma(e));
	bool outer = cpl > e->cpl;
	int r = emul_mark_accessed(e, code);

	if (!r && st->has_desc) {
		r = emul_mark_accessed(e, &st->desc);
		st->ss = st->desc.seg;
	}
	if (!r)
		r = emul_put_seg(e, EMUL_SS, &st->ss);
	if (!r && outer)
		r = drop_segments(e, cpl);
	if (r)
		return r;
	emul_pend(e, EMUL_RSP, st->width, st->sp);
	return emul_enter_code(e, &code->seg, mode, cpl, rip);
}

static int retf_real(struct umbra_emul *e, u64 ip, u16 sel, u64 drop)
{
	if (ip > emul_seg(e, EMUL_CS)->limit)
		return emul_gp0(e);
	emul_set_rsp(e, e->gpr[EMUL_RSP] + 2 * e->opsize + drop);
	return emul_enter_real(e, sel, ip);
}

/* RETF, with a number of bytes to drop from both stacks. */
int emul_op_retf(struct umbra_emul *e)
{
	u64 rsp = e->gpr[EMUL_RSP], drop = e->src.kind == K_IMM ? e->src.val : 0;
	unsigned int size = e->opsize, mode;
	struct emul_stack st = {};
	u64 rip, sel, sp = 0, ss = 0;
	struct emul_desc d;
	int r = emul_stack_read(e, rsp, &rip, size);

	if (!r)
		r = emul_stack_read(e, rsp + size, &sel, size);
	if (r)
		return r;
	if (!emul_prot(e))
		return retf_real(e, rip, sel, drop);
	r = emul_return_code(e, sel, &d);
	if (r)
		return r;
	mode = emul_code_mode(&d.seg, emul_lma(e));
	if ((sel & 3) == e->cpl) {
		emul_current_stack(e, &st);
		st.sp += 2 * size + drop;
	} else {
		r = emul_stack_read(e, rsp + 2 * size + drop, &sp, size);
		if (!r)
			r = emul_stack_read(e, rsp + 3 * size + drop, &ss, size);
		if (!r)
			r = emul_return_stack(e, ss, sel & 3, mode, &st);
		if (r)
			return r;
		st.sp = sp + drop;
	}
	r = emul_check_target(e, &d.seg, mode, rip);
	return r ? r : emul_return_to(e, &d, rip, &st);
}
