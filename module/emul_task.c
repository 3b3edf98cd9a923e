// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's task switches: manual, «Task Switching», in its order of checks and steps.
 *
 * Up to the point of no return a fault belongs to the old task, which then has not changed. Behind
 * it the registers are the new task's, and so is a fault over its segments.
 */
#include "emul_priv.h"

/* A TSS as memory has it, both widths brought to one form. */
struct task_state {
	u64 cr3, rip, rflags;
	u64 gpr[8];
	u16 seg[6];	/* in the order of the encodings */
	u16 ldt;
	bool trap;
};

#define TSS16_LIMIT	0x2b
#define TSS32_LIMIT	0x67
/* The part that holds what a running task changes: from (E)IP to the last data segment. */
#define TSS16_STATE	0x0e
#define TSS16_SIZE	28
#define TSS32_STATE	0x20
#define TSS32_SIZE	64

#define CR0_PG		(1ULL << 31)
/* L0 to L3 and LE: breakpoints of one task. */
#define DR7_LOCAL	0x155ULL

static bool is_tss32(const struct umbra_emul_seg *tss)
{
	return (tss->attr & EMUL_SEG_TYPE) & 8;
}

static u64 field(const u8 *buf, unsigned int off, unsigned int size)
{
	u64 val = 0;

	memcpy(&val, buf + off, size);
	return val;
}

static int read_tss(struct umbra_emul *e, const struct umbra_emul_seg *tss, struct task_state *t)
{
	bool wide = is_tss32(tss);
	unsigned int size = wide ? 4 : 2, from = wide ? 0x1c : 0x0e, i;
	u8 buf[TSS32_LIMIT + 1] = {};
	int r = e->ops->read_mem(e, tss->base, buf, wide ? 64 : TSS16_LIMIT + 1, EMUL_ACC_SYSTEM);

	if (!r && wide)
		r = e->ops->read_mem(e, tss->base + 64, buf + 64, TSS32_LIMIT + 1 - 64,
				     EMUL_ACC_SYSTEM);
	if (r)
		return r;
	*t = (struct task_state) {};
	if (wide) {
		t->cr3 = field(buf, 0x1c, 4);
		t->trap = buf[0x64] & 1;
		from += 4;
	}
	t->rip = field(buf, from, size);
	t->rflags = field(buf, from + size, size);
	for (i = 0; i < 8; i++)
		t->gpr[i] = field(buf, from + (2 + i) * size, size);
	for (i = 0; i < (wide ? 6 : 4); i++)
		t->seg[i] = field(buf, from + (10 + i) * size, 2);
	t->ldt = field(buf, wide ? 0x60 : 0x2a, 2);
	return UMBRA_EMUL_OK;
}

static int write_tss(struct umbra_emul *e, const struct umbra_emul_seg *tss, u64 rflags)
{
	bool wide = is_tss32(tss);
	unsigned int size = wide ? 4 : 2, i;
	u8 buf[TSS32_SIZE] = {};

	memcpy(buf, &e->next_rip, size);
	memcpy(buf + size, &rflags, size);
	for (i = 0; i < 8; i++)
		memcpy(buf + (2 + i) * size, &e->gpr[i], size);
	for (i = 0; i < (wide ? 6 : 4); i++)
		memcpy(buf + (10 + i) * size, &emul_seg(e, i)->sel, 2);
	return e->ops->write_mem(e, tss->base + (wide ? TSS32_STATE : TSS16_STATE), buf,
				 wide ? TSS32_SIZE : TSS16_SIZE, EMUL_ACC_SYSTEM | EMUL_ACC_WRITE);
}

/* The TSS to go to. What is wrong with it is #GP, or #TS for the one that IRET goes back to. */
static int read_new_tss(struct umbra_emul *e, u16 sel, enum umbra_emul_task how,
			struct emul_desc *d)
{
	bool back = how == UMBRA_TASK_IRET;
	u8 vector = back ? EMUL_TS : EMUL_GP;
	u32 types = 1u << EMUL_TYPE_TSS16 | 1u << EMUL_TYPE_TSS32;
	int r;

	if (!(sel & ~3u) || (sel & 4))
		return emul_fault_err(e, vector, sel & ~3u);
	r = emul_read_desc(e, sel, vector, d);
	if (r)
		return r;
	if (back)
		types <<= EMUL_TYPE_BUSY;	/* bit numbers of the busy types */
	if ((d->seg.attr & EMUL_SEG_S) || !((types >> (d->seg.attr & EMUL_SEG_TYPE)) & 1))
		return emul_fault_err(e, vector, sel & ~3u);
	if (!(d->seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);
	if (d->seg.limit < (is_tss32(&d->seg) ? TSS32_LIMIT : TSS16_LIMIT))
		return emul_fault_err(e, EMUL_TS, sel & ~3u);
	return UMBRA_EMUL_OK;
}

/* Everything that the switch will write can be written. */
static int check_writes(struct umbra_emul *e, const struct umbra_emul_seg *old,
			const struct emul_desc *new, bool nested)
{
	unsigned int acc = EMUL_ACC_SYSTEM | EMUL_ACC_WRITE;
	bool wide = is_tss32(old);
	int r = emul_probe(e, old->base + (wide ? TSS32_STATE : TSS16_STATE),
			   wide ? TSS32_SIZE : TSS16_SIZE, acc);

	if (!r && nested)
		r = emul_probe(e, new->seg.base, 2, acc);
	return r ? r : emul_probe(e, new->la, 8, acc);
}

/* The old task's state goes to its TSS, and the two TSSs change their busy bits. */
static int leave_old(struct umbra_emul *e, enum umbra_emul_task how, struct emul_desc *new)
{
	bool nested = how == UMBRA_TASK_CALL || how == UMBRA_TASK_GATE;
	struct umbra_emul_seg old = *emul_seg(e, EMUL_TR);
	u64 rflags = e->new_flags;
	struct emul_desc d;
	int r;

	r = check_writes(e, &old, new, nested);
	if (r)
		return r;
	if (!nested) {
		r = emul_read_desc(e, old.sel, EMUL_TS, &d);
		if (!r)
			r = emul_change_desc(e, &d, EMUL_DESC_BUSY, 0);
		if (r)
			return r;
	}
	if (how == UMBRA_TASK_IRET)
		rflags &= ~EMUL_NT;
	r = write_tss(e, &old, rflags);
	if (!r && nested)
		r = e->ops->write_mem(e, new->seg.base, &old.sel, 2,
				      EMUL_ACC_SYSTEM | EMUL_ACC_WRITE);
	if (!r && how != UMBRA_TASK_IRET)
		r = emul_change_desc(e, new, 0, EMUL_DESC_BUSY);
	return r;
}

/* The point of no return: registers of the new task, selectors without their descriptors. */
static int enter_new(struct umbra_emul *e, const struct task_state *t, const struct emul_desc *new,
		     bool nested)
{
	struct umbra_emul_seg seg = new->seg;
	unsigned int i;
	int r;

	for (i = 0; i < 8; i++)
		e->gpr[i] = t->gpr[i];
	e->new_flags = (t->rflags & EMUL_FLAGS_ALL) | EMUL_FIXED | (nested ? EMUL_NT : 0);
	e->rflags = e->new_flags;
	e->rip = t->rip;
	e->next_rip = t->rip;
	e->cpl = t->seg[EMUL_CS] & 3;

	seg.attr |= EMUL_TYPE_BUSY;
	r = emul_put_seg(e, EMUL_TR, &seg);
	for (i = 0; !r && i < 6; i++) {
		seg = (struct umbra_emul_seg) { .sel = t->seg[i] };
		/* The level is that of the code to run. */
		if (i == EMUL_SS)
			seg.attr = e->cpl << EMUL_SEG_DPL_SHIFT;
		r = emul_put_seg(e, i, &seg);
	}
	seg = (struct umbra_emul_seg) { .sel = t->ldt };
	if (!r)
		r = emul_put_seg(e, EMUL_LDTR, &seg);
	if (!r)
		r = e->ops->set_dr(e, 7, e->ops->get_dr(e, 7) & ~DR7_LOCAL);
	if (!r)
		r = e->ops->set_cr(e, 0, e->ops->get_cr(e, 0) | EMUL_CR0_TS);
	if (!r && is_tss32(&new->seg) && (e->ops->get_cr(e, 0) & CR0_PG))
		r = e->ops->set_cr(e, 3, t->cr3);
	return r;
}

static int load_ldt(struct umbra_emul *e, u16 sel)
{
	struct emul_desc d;
	int r;

	if (!(sel & ~3u))
		return UMBRA_EMUL_OK;
	if (sel & 4)
		return emul_fault_err(e, EMUL_TS, sel & ~3u);
	r = emul_read_desc(e, sel, EMUL_TS, &d);
	if (r)
		return r;
	if ((d.seg.attr & (EMUL_SEG_S | EMUL_SEG_TYPE)) != EMUL_TYPE_LDT ||
	    !(d.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_TS, sel & ~3u);
	return emul_put_seg(e, EMUL_LDTR, &d.seg);
}

static int load_cs(struct umbra_emul *e, u16 sel)
{
	struct emul_desc d;
	unsigned int dpl;
	int r;

	if (!(sel & ~3u))
		return emul_fault_err(e, EMUL_TS, 0);
	r = emul_read_desc(e, sel, EMUL_TS, &d);
	if (r)
		return r;
	dpl = emul_dpl(&d.seg);
	if (!emul_is_code(&d.seg) ||
	    ((d.seg.attr & EMUL_SEG_DOWN) ? dpl > (sel & 3u) : dpl != (sel & 3u)))
		return emul_fault_err(e, EMUL_TS, sel & ~3u);
	if (!(d.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);
	r = emul_mark_accessed(e, &d);
	if (r)
		return r;
	e->mode = emul_code_mode(&d.seg, false);
	return emul_put_seg(e, EMUL_CS, &d.seg);
}

static int load_data(struct umbra_emul *e, unsigned int nr, u16 sel)
{
	struct emul_desc d;
	int r;

	if (!(sel & ~3u))
		return nr == EMUL_SS ? emul_fault_err(e, EMUL_TS, 0) : UMBRA_EMUL_OK;
	r = emul_read_desc(e, sel, EMUL_TS, &d);
	if (r)
		return r;
	if (!emul_data_seg_ok(&d.seg, nr, e->cpl))
		return emul_fault_err(e, EMUL_TS, sel & ~3u);
	if (!(d.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, nr == EMUL_SS ? EMUL_SS_FAULT : EMUL_NP, sel & ~3u);
	r = emul_mark_accessed(e, &d);
	return r ? r : emul_put_seg(e, nr, &d.seg);
}

static int load_vm86(struct umbra_emul *e, const struct task_state *t)
{
	unsigned int i;
	int r = UMBRA_EMUL_OK;

	for (i = 0; !r && i < 6; i++) {
		struct umbra_emul_seg seg = {
			.base = (u64)t->seg[i] << 4, .limit = 0xffff, .sel = t->seg[i],
			.attr = EMUL_SEG_P | EMUL_SEG_S | 3 << EMUL_SEG_DPL_SHIFT | 3,
		};

		r = emul_put_seg(e, i, &seg);
	}
	e->mode = UMBRA_EMUL_VM86;
	e->cpl = 3;
	return r;
}

static int load_segments(struct umbra_emul *e, const struct task_state *t)
{
	static const u8 data[] = { EMUL_DS, EMUL_ES, EMUL_FS, EMUL_GS };
	unsigned int i;
	int r = load_ldt(e, t->ldt);

	if (r)
		return r;
	if (t->rflags & EMUL_VM)
		return load_vm86(e, t);
	r = load_cs(e, t->seg[EMUL_CS]);
	if (!r)
		r = load_data(e, EMUL_SS, t->seg[EMUL_SS]);
	for (i = 0; !r && i < sizeof(data); i++)
		r = load_data(e, data[i], t->seg[data[i]]);
	return r;
}

static int push_error(struct umbra_emul *e, u32 error, unsigned int size)
{
	struct emul_stack st;
	u64 val = error;
	int r;

	emul_current_stack(e, &st);
	r = emul_check_frame(e, &st, 1, size);
	if (!r)
		r = emul_write_frame(e, &st, &val, 1, size);
	if (!r)
		emul_reg_write(e, EMUL_RSP, st.width, st.sp);
	return r;
}

int emul_task_switch(struct umbra_emul *e, u16 sel, enum umbra_emul_task how, const u32 *error)
{
	bool nested = how == UMBRA_TASK_CALL || how == UMBRA_TASK_GATE;
	struct task_state t;
	struct emul_desc d;
	int r = read_new_tss(e, sel, how, &d);

	if (!r)
		r = read_tss(e, &d.seg, &t);
	if (!r)
		r = leave_old(e, how, &d);
	if (r)
		return r;

	e->npend = 0;
	e->step_rule = EMUL_STEP_NONE;
	r = enter_new(e, &t, &d, nested);
	if (!r)
		r = load_segments(e, &t);
	if (!r && error)
		r = push_error(e, *error, is_tss32(&d.seg) ? 4 : 2);
	if (!r && t.rip > emul_seg(e, EMUL_CS)->limit)
		r = emul_gp0(e);
	e->trap_task = t.trap;
	return r;
}

int umbra_emul_task_switch(struct umbra_emul *e, u16 sel, enum umbra_emul_task how,
			   const u32 *error)
{
	int r;

	emul_begin_event(e);
	r = emul_task_switch(e, sel, how, error);
	return r ? r : emul_commit(e);
}
