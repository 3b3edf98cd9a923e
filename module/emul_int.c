// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's software interrupts, delivered through the IVT or the IDT of the mode, and IRET in
 * all its kinds.
 */
#include "emul_priv.h"

/* What delivery clears beside IF. */
#define CLEARED		(EMUL_TF | EMUL_NT | EMUL_RF | EMUL_VM)
/* What IRET of 32 bits takes from the stack in real mode; IF, IOPL, VIF and VIP have rules of their own. */
#define IRET_FLAGS	(EMUL_ARITH | EMUL_TF | EMUL_IF | EMUL_DF | EMUL_IOPL | EMUL_NT | EMUL_RF | \
			 EMUL_AC | EMUL_ID)

/* Real-mode delivery, also of vm86 mode under CR4.VME: IVT at @base, @flags on the stack. */
static int deliver_ivt(struct umbra_emul *e, u8 vector, u64 base, u64 flags, u64 clear)
{
	u64 frame[3] = { flags, emul_seg(e, EMUL_CS)->sel, e->next_rip };
	struct emul_stack st;
	u32 entry;
	int r = e->ops->read_mem(e, (base + vector * 4u) & 0xffffffff, &entry, 4, EMUL_ACC_SYSTEM);

	if (r)
		return r;
	emul_current_stack(e, &st);
	r = emul_check_frame(e, &st, 3, 2);
	if (!r && (entry & 0xffff) > emul_seg(e, EMUL_CS)->limit)
		r = emul_gp0(e);
	if (!r)
		r = emul_write_frame(e, &st, frame, 3, 2);
	if (r)
		return r;
	emul_set_rsp(e, st.sp);
	e->new_flags &= ~clear;
	return emul_enter_real(e, entry >> 16, entry & 0xffff);
}

static int deliver_real(struct umbra_emul *e, u8 vector)
{
	struct umbra_emul_dtable idt = {};

	e->ops->get_dtable(e, EMUL_IDTR, &idt);
	if (vector * 4u + 3 > idt.limit)
		return emul_fault_err(e, EMUL_GP, vector * 8u + 2);
	return deliver_ivt(e, vector, idt.base, e->new_flags,
			   EMUL_IF | EMUL_TF | EMUL_AC | EMUL_RF);
}

/* An entry of the IDT, and the code it leads to. */
struct idt_gate {
	u64 raw, rip;
	struct emul_desc code;
	u8 size;	/* of what delivery pushes */
	u8 ist;
	u8 cpl;		/* of the handler */
};

static int read_idt(struct umbra_emul *e, u8 vector, bool soft, bool lma, struct idt_gate *g)
{
	unsigned int size = lma ? 16 : 8, off = vector * size, type;
	u32 error = vector * 8u + 2;
	struct umbra_emul_dtable idt = {};
	u64 raw[2] = {};
	int r;

	e->ops->get_dtable(e, EMUL_IDTR, &idt);
	if (off + size - 1 > idt.limit)
		return emul_fault_err(e, EMUL_GP, error);
	r = e->ops->read_mem(e, idt.base + off, raw, size, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	g->raw = raw[0];
	g->rip = emul_gate_offset(raw[0]) | raw[1] << 32;
	type = (raw[0] >> 40) & 0x1f;	/* with S, which a gate does not have */
	g->ist = lma ? (raw[0] >> 32) & 7 : 0;
	if (type == EMUL_TYPE_INT32 || type == EMUL_TYPE_TRAP32)
		g->size = lma ? 8 : 4;
	else if (!lma && (type == EMUL_TYPE_INT16 || type == EMUL_TYPE_TRAP16))
		g->size = 2;
	else if (!lma && type == EMUL_TYPE_TASK_GATE)
		g->size = 0;
	else
		return emul_fault_err(e, EMUL_GP, error);
	if (g->size == 2)
		g->rip &= 0xffff;
	if (soft && ((raw[0] >> 45) & 3) < e->cpl)
		return emul_fault_err(e, EMUL_GP, error);
	if (!((raw[0] >> 47) & 1))
		return emul_fault_err(e, EMUL_NP, error);
	return UMBRA_EMUL_OK;
}

static int read_handler(struct umbra_emul *e, bool lma, struct idt_gate *g)
{
	u16 sel = emul_gate_sel(g->raw);
	bool conforming;
	int r;

	if (!(sel & ~3u))
		return emul_gp0(e);
	r = emul_read_desc(e, sel, EMUL_GP, &g->code);
	if (r)
		return r;
	conforming = g->code.seg.attr & EMUL_SEG_DOWN;
	g->cpl = conforming ? e->cpl : emul_dpl(&g->code.seg);
	if (!emul_is_code(&g->code.seg) || emul_dpl(&g->code.seg) > e->cpl ||
	    (lma && (g->code.seg.attr & (EMUL_SEG_L | EMUL_SEG_DB)) != EMUL_SEG_L) ||
	    /* From vm86 mode only level 0 can be entered. */
	    (e->mode == UMBRA_EMUL_VM86 && g->cpl))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(g->code.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);
	return UMBRA_EMUL_OK;
}

static int handler_stack(struct umbra_emul *e, bool lma, const struct idt_gate *g,
			 struct emul_stack *st)
{
	int r = UMBRA_EMUL_OK;

	if (!lma) {
		if (g->cpl < e->cpl)
			return emul_inner_stack(e, g->cpl, st);
		emul_current_stack(e, st);
		return UMBRA_EMUL_OK;
	}
	if (g->ist)
		r = emul_inner_stack64(e, 3 + g->ist, g->cpl, st);
	else if (g->cpl < e->cpl)
		r = emul_inner_stack64(e, g->cpl, g->cpl, st);
	else
		emul_current_stack(e, st);
	/* Without a change of level SS stays. */
	if (g->cpl == e->cpl)
		st->ss = *emul_seg(e, EMUL_SS);
	st->width = 8;
	st->sp &= ~15ull;
	return r;
}

/* The frame that delivery pushes: the first value goes highest; @error may be NULL. */
static unsigned int make_frame(struct umbra_emul *e, bool with_stack, const u32 *error, u64 *frame)
{
	static const u8 data[] = { EMUL_GS, EMUL_FS, EMUL_DS, EMUL_ES };
	unsigned int n = 0, i;

	if (e->mode == UMBRA_EMUL_VM86)
		for (i = 0; i < sizeof(data); i++)
			frame[n++] = emul_seg(e, data[i])->sel;
	if (with_stack) {
		frame[n++] = emul_seg(e, EMUL_SS)->sel;
		frame[n++] = e->gpr[EMUL_RSP];
	}
	frame[n++] = e->new_flags;
	frame[n++] = emul_seg(e, EMUL_CS)->sel;
	frame[n++] = e->next_rip;
	if (error)
		frame[n++] = *error;
	return n;
}

static int drop_vm86_segments(struct umbra_emul *e)
{
	static const u8 data[] = { EMUL_ES, EMUL_DS, EMUL_FS, EMUL_GS };
	static const struct umbra_emul_seg null;
	unsigned int i;
	int r = UMBRA_EMUL_OK;

	for (i = 0; !r && i < sizeof(data); i++)
		r = emul_put_seg(e, data[i], &null);
	return r;
}

/* Delivery through the IDT. @soft: by INT n, INT3 or INTO, which look at the gate's DPL. */
static int deliver_idt(struct umbra_emul *e, u8 vector, bool soft, const u32 *error)
{
	bool lma = emul_lma(e);
	struct emul_stack st = {};
	unsigned int n, mode;
	struct idt_gate g;
	u64 frame[10];
	int r = read_idt(e, vector, soft, lma, &g);

	if (r)
		return r;
	if (!g.size)
		return emul_task_switch(e, emul_gate_sel(g.raw), UMBRA_TASK_GATE, error);
	r = read_handler(e, lma, &g);
	if (!r)
		r = handler_stack(e, lma, &g, &st);
	if (r)
		return r;
	mode = emul_code_mode(&g.code.seg, lma);
	n = make_frame(e, lma || g.cpl < e->cpl, error, frame);
	r = emul_check_frame(e, &st, n, g.size);
	if (!r)
		r = emul_check_target(e, &g.code.seg, mode, g.rip);
	if (!r)
		r = emul_mark_accessed(e, &g.code);
	if (!r)
		r = emul_enter_stack(e, &st, frame, n, g.size);
	if (!r && e->mode == UMBRA_EMUL_VM86)
		r = drop_vm86_segments(e);
	if (r)
		return r;
	/* The lowest bit of the type tells a trap gate, which leaves IF alone. */
	e->new_flags &= ~(CLEARED | ((g.raw >> 40) & 1 ? 0 : EMUL_IF));
	return emul_enter_code(e, &g.code.seg, mode, g.cpl, g.rip);
}

/* CR4.VME: does the TSS's bitmap send INT @vector to the vm86 program itself? */
static int redirected(struct umbra_emul *e, u8 vector, bool *yes)
{
	const struct umbra_emul_seg *tr = emul_seg(e, EMUL_TR);
	u16 map = 0;
	u8 bits;
	u32 off;
	int r;

	*yes = false;
	if (!(e->ops->get_cr(e, 4) & EMUL_CR4_VME))
		return UMBRA_EMUL_OK;
	if (tr->limit < 103)
		return emul_gp0(e);
	r = e->ops->read_mem(e, tr->base + 102, &map, 2, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	/* It stands in the 32 bytes before the I/O bitmap. */
	off = map - 32u + vector / 8;
	if (off > tr->limit)
		return emul_gp0(e);
	r = e->ops->read_mem(e, tr->base + off, &bits, 1, EMUL_ACC_SYSTEM);
	*yes = !((bits >> (vector & 7)) & 1);
	return r;
}

static int deliver_vm86(struct umbra_emul *e, u8 vector)
{
	u64 flags = e->new_flags;
	bool yes;
	int r = redirected(e, vector, &yes);

	if (r)
		return r;
	if (!yes)
		return emul_iopl(e) < 3 ? emul_gp0(e) : deliver_idt(e, vector, true, NULL);
	if (emul_iopl(e) == 3)
		return deliver_ivt(e, vector, 0, flags, EMUL_IF | EMUL_TF | EMUL_RF);
	flags = (flags & ~EMUL_IF) | EMUL_IOPL | ((flags & EMUL_VIF) ? EMUL_IF : 0);
	return deliver_ivt(e, vector, 0, flags, EMUL_VIF | EMUL_TF | EMUL_RF);
}

/* A handler starts without single steps: none is owed for the instruction that called it. */
static int interrupt(struct umbra_emul *e, u8 vector, bool soft, const u32 *error)
{
	e->step_rule = EMUL_STEP_NONE;
	if (e->mode == UMBRA_EMUL_REAL)
		return deliver_real(e, vector);
	return deliver_idt(e, vector, soft, error);
}

int umbra_emul_interrupt(struct umbra_emul *e, u8 vector, bool soft, const u32 *error)
{
	struct umbra_emul_exception *x = &e->exception;
	int r;

	emul_begin_event(e);
	/* What is pushed has RF where the event is a fault. */
	e->new_flags = e->rflags;
	r = interrupt(e, vector, soft, error);
	/* «Error Code»: EXT tells that no instruction of the program's is to blame. */
	if (r == UMBRA_EMUL_FAULT && !soft && x->vector >= EMUL_TS && x->vector <= EMUL_GP)
		x->error_code |= 1;
	return r ? r : emul_commit(e);
}

int emul_op_int(struct umbra_emul *e)
{
	if (e->mode == UMBRA_EMUL_VM86) {
		e->step_rule = EMUL_STEP_NONE;
		return deliver_vm86(e, e->src.val);
	}
	return interrupt(e, e->src.val, true, NULL);
}

int emul_op_int3(struct umbra_emul *e)
{
	return interrupt(e, EMUL_BP, true, NULL);
}

int emul_op_into(struct umbra_emul *e)
{
	return (e->rflags & EMUL_OF) ? interrupt(e, EMUL_OF_TRAP, true, NULL) : UMBRA_EMUL_OK;
}

/* F1 is the hardware's own interrupt: no DPL keeps anybody from it. */
int emul_op_int1(struct umbra_emul *e)
{
	return interrupt(e, EMUL_DB, false, NULL);
}

/* IRET */

static void load_flags(struct umbra_emul *e, u64 flags, u64 mask)
{
	mask &= emul_mask(e->opsize);
	e->new_flags = (e->new_flags & ~mask) | (flags & mask) | EMUL_FIXED;
}

/* In vm86 mode below IOPL 3 with CR4.VME: IF means VIF. */
static int iret_vme(struct umbra_emul *e, u64 flags)
{
	if (!(e->ops->get_cr(e, 4) & EMUL_CR4_VME) || e->opsize != 2 || (flags & EMUL_TF) ||
	    ((flags & EMUL_IF) && (e->rflags & EMUL_VIP)))
		return emul_gp0(e);
	load_flags(e, flags, IRET_FLAGS & ~(EMUL_IF | EMUL_IOPL));
	e->new_flags &= ~EMUL_VIF;
	if (flags & EMUL_IF)
		e->new_flags |= EMUL_VIF;
	return UMBRA_EMUL_OK;
}

static int iret_real(struct umbra_emul *e, const u64 *frame)
{
	bool vm86 = e->mode == UMBRA_EMUL_VM86;

	if (frame[0] > emul_seg(e, EMUL_CS)->limit)
		return emul_gp0(e);
	if (vm86 && emul_iopl(e) < 3) {
		int r = iret_vme(e, frame[2]);

		if (r)
			return r;
	} else {
		load_flags(e, frame[2], vm86 ? IRET_FLAGS & ~EMUL_IOPL : IRET_FLAGS);
	}
	emul_set_rsp(e, e->gpr[EMUL_RSP] + 3 * e->opsize);
	return emul_enter_real(e, frame[1], frame[0]);
}

/* Level 0 enters vm86 mode: stack and data segments are on its stack too. */
static int iret_to_vm86(struct umbra_emul *e, const u64 *frame)
{
	static const u8 nrs[] = { EMUL_CS, EMUL_SS, EMUL_ES, EMUL_DS, EMUL_FS, EMUL_GS };
	u64 val[6];	/* ESP, then SS, ES, DS, FS, GS */
	unsigned int i;
	int r;

	for (i = 0; i < 6; i++) {
		r = emul_stack_read(e, e->gpr[EMUL_RSP] + 12 + 4 * i, &val[i], 4);
		if (r)
			return r;
	}
	if (frame[0] > 0xffff)
		return emul_gp0(e);
	for (i = 0; i < sizeof(nrs); i++) {
		u16 sel = i ? val[i] : frame[1];
		struct umbra_emul_seg seg = {
			.base = (u64)sel << 4, .limit = 0xffff, .sel = sel,
			.attr = EMUL_SEG_P | EMUL_SEG_S | 3 << EMUL_SEG_DPL_SHIFT | 3,
		};

		r = emul_put_seg(e, nrs[i], &seg);
		if (r)
			return r;
	}
	emul_pend(e, EMUL_RSP, 4, val[0]);
	load_flags(e, frame[2], IRET_FLAGS | EMUL_VM | EMUL_VIF | EMUL_VIP);
	e->mode = UMBRA_EMUL_VM86;
	e->cpl = 3;
	e->next_rip = frame[0];
	return UMBRA_EMUL_OK;
}

static u64 iret_mask(const struct umbra_emul *e)
{
	u64 mask = IRET_FLAGS & ~(EMUL_IF | EMUL_IOPL);

	if (e->cpl <= emul_iopl(e))
		mask |= EMUL_IF;
	if (!e->cpl)
		mask |= EMUL_IOPL | EMUL_VIF | EMUL_VIP;
	return mask;
}

static int iret_prot(struct umbra_emul *e, const u64 *frame)
{
	unsigned int size = e->opsize, mode;
	u64 rsp = e->gpr[EMUL_RSP], sp = 0, ss = 0;
	u64 mask = iret_mask(e);
	struct emul_stack st = {};
	struct emul_desc d;
	int r = emul_return_code(e, frame[1], &d);

	if (r)
		return r;
	mode = emul_code_mode(&d.seg, emul_lma(e));
	/* 64-bit code takes the stack from the frame always. */
	if (emul_long(e) || (frame[1] & 3) > e->cpl) {
		r = emul_stack_read(e, rsp + 3 * size, &sp, size);
		if (!r)
			r = emul_stack_read(e, rsp + 4 * size, &ss, size);
		if (!r)
			r = emul_return_stack(e, ss, frame[1] & 3, mode, &st);
		st.sp = sp;
	} else {
		emul_current_stack(e, &st);
		st.sp += 3 * size;
	}
	if (!r)
		r = emul_check_target(e, &d.seg, mode, frame[0]);
	if (!r)
		r = emul_return_to(e, &d, frame[0], &st);
	if (!r)
		load_flags(e, frame[2], mask);
	return r;
}

/* NT: the task that this one interrupted is named in its TSS. */
static int iret_task(struct umbra_emul *e)
{
	u16 link;
	int r;

	if (emul_lma(e))
		return emul_gp0(e);
	r = e->ops->read_mem(e, emul_seg(e, EMUL_TR)->base, &link, 2, EMUL_ACC_SYSTEM);
	return r ? r : emul_task_switch(e, link, UMBRA_TASK_IRET, NULL);
}

int emul_op_iret(struct umbra_emul *e)
{
	u64 frame[3];	/* rIP, CS, flags */
	unsigned int i;
	int r;

	if (e->mode == UMBRA_EMUL_VM86 && emul_iopl(e) < 3 &&
	    (!(e->ops->get_cr(e, 4) & EMUL_CR4_VME) || e->opsize != 2))
		return emul_gp0(e);
	if (emul_prot(e) && (e->rflags & EMUL_NT)) {
		r = iret_task(e);
	} else {
		for (i = 0; i < 3; i++) {
			r = emul_stack_read(e, e->gpr[EMUL_RSP] + i * e->opsize, &frame[i],
					    e->opsize);
			if (r)
				return r;
		}
		if (!emul_prot(e))
			r = iret_real(e, frame);
		else if ((frame[2] & EMUL_VM) && !e->cpl && e->opsize == 4 && !emul_lma(e))
			r = iret_to_vm86(e, frame);
		else
			r = iret_prot(e, frame);
	}
	if (!r)
		e->ops->nmi_unmask(e);
	return r;
}
