// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator and descriptors: reading them from their tables, loading data segment registers, LDTR
 * and TR, and the instructions that ask what a selector may be used for.
 */
#include "emul_priv.h"

#define MSR_EFER	0xc0000080
#define EFER_LMA	(1ULL << 10)

bool emul_lma(struct umbra_emul *e)
{
	u64 efer = 0;

	if (emul_long(e) || !emul_prot(e))
		return emul_long(e);
	return !e->ops->get_msr(e, MSR_EFER, &efer) && (efer & EFER_LMA);
}

int emul_put_seg(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_seg *seg)
{
	e->segs_valid &= ~(1u << nr);
	return e->ops->set_seg(e, nr, seg);
}

static void unpack(struct emul_desc *d, u16 sel)
{
	struct umbra_emul_seg *seg = &d->seg;

	seg->sel = sel;
	seg->base = ((d->raw >> 16) & 0xffffff) | ((d->raw >> 32) & 0xff000000);
	seg->attr = ((d->raw >> 40) & 0xff) | ((d->raw >> 44) & 0xf00);
	seg->limit = (d->raw & 0xffff) | ((d->raw >> 32) & 0xf0000);
	if (seg->attr & EMUL_SEG_G)
		seg->limit = (seg->limit << 12) | 0xfff;
}

/* Where the descriptor of @sel is, if @size bytes of it lie within the table. */
static bool find_desc(struct umbra_emul *e, u16 sel, unsigned int size, u64 *la)
{
	struct umbra_emul_dtable dt = {};
	const struct umbra_emul_seg *ldt;

	if (sel & 4) {
		ldt = emul_seg(e, EMUL_LDTR);
		*la = ldt->base + (sel & ~7u);
		return (ldt->attr & EMUL_SEG_P) && (sel & ~7u) + size - 1 <= ldt->limit;
	}
	e->ops->get_dtable(e, EMUL_GDTR, &dt);
	*la = dt.base + (sel & ~7u);
	return (sel & ~7u) + size - 1 <= dt.limit;
}

int emul_read_desc(struct umbra_emul *e, u16 sel, u8 vector, struct emul_desc *d)
{
	int r;

	if (!find_desc(e, sel, 8, &d->la))
		return emul_fault_err(e, vector, sel & ~3u);
	r = e->ops->read_mem(e, d->la, &d->raw, 8, EMUL_ACC_SYSTEM);
	if (!r)
		unpack(d, sel);
	return r;
}

int emul_read_desc_upper(struct umbra_emul *e, const struct emul_desc *d, u64 *upper)
{
	u64 la;

	if (!find_desc(e, d->seg.sel, 16, &la))
		return emul_fault_err(e, EMUL_GP, d->seg.sel & ~3u);
	return e->ops->read_mem(e, d->la + 8, upper, 8, EMUL_ACC_SYSTEM);
}

int emul_change_desc(struct umbra_emul *e, struct emul_desc *d, u64 clear, u64 set)
{
	u64 new = (d->raw & ~clear) | set, old = d->raw;
	int r;

	if (new == old)
		return UMBRA_EMUL_OK;
	r = e->ops->cmpxchg_mem(e, d->la, &old, &new, 8, EMUL_ACC_SYSTEM | EMUL_ACC_WRITE);
	if (r)
		return r;
	/* Another CPU has changed it: look at it again. */
	if (old != d->raw)
		return UMBRA_EMUL_RESTART;
	d->raw = new;
	unpack(d, d->seg.sel);
	return UMBRA_EMUL_OK;
}

int emul_mark_accessed(struct umbra_emul *e, struct emul_desc *d)
{
	return emul_change_desc(e, d, 0, EMUL_DESC_ACCESSED);
}

/* Loads of data segment registers and SS */

/* Real and vm86 mode: the base follows the selector, the limit stays (unreal mode). */
static int load_seg_real(struct umbra_emul *e, unsigned int nr, u16 sel)
{
	struct umbra_emul_seg seg = *emul_seg(e, nr);

	seg.sel = sel;
	seg.base = (u64)sel << 4;
	return emul_put_seg(e, nr, &seg);
}

static int load_seg_null(struct umbra_emul *e, unsigned int nr, u16 sel)
{
	struct umbra_emul_seg seg = { .sel = sel };

	if (nr == EMUL_SS) {
		if (!emul_long(e) || e->cpl == 3 || (sel & 3) != e->cpl)
			return emul_gp0(e);
		seg.attr = e->cpl << EMUL_SEG_DPL_SHIFT;
	}
	return emul_put_seg(e, nr, &seg);
}

bool emul_data_seg_ok(const struct umbra_emul_seg *seg, unsigned int nr, unsigned int cpl)
{
	unsigned int dpl = emul_dpl(seg), rpl = seg->sel & 3;
	unsigned int type = seg->attr & (EMUL_SEG_CODE | EMUL_SEG_DOWN | EMUL_SEG_WRITE);

	if (!(seg->attr & EMUL_SEG_S))
		return false;
	if (nr == EMUL_SS)
		return !(type & EMUL_SEG_CODE) && (type & EMUL_SEG_WRITE) &&
		       rpl == cpl && dpl == cpl;
	if ((type & EMUL_SEG_CODE) && !(type & EMUL_SEG_WRITE))
		return false;
	/* Conforming code may be read from any privilege. */
	if ((type & EMUL_SEG_CODE) && (type & EMUL_SEG_DOWN))
		return true;
	return dpl >= cpl && dpl >= rpl;
}

/* Load @sel into ES, SS, DS, FS or GS with all checks; the caller has read what it reads. */
int emul_load_seg(struct umbra_emul *e, unsigned int nr, u16 sel)
{
	struct emul_desc d;
	int r;

	if (!emul_prot(e))
		return load_seg_real(e, nr, sel);
	if (!(sel & ~3u))
		return load_seg_null(e, nr, sel);
	r = emul_read_desc(e, sel, EMUL_GP, &d);
	if (r)
		return r;
	if (!emul_data_seg_ok(&d.seg, nr, e->cpl))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(d.seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, nr == EMUL_SS ? EMUL_SS_FAULT : EMUL_NP, sel & ~3u);
	r = emul_mark_accessed(e, &d);
	return r ? r : emul_put_seg(e, nr, &d.seg);
}

/*
 * Far pointers in memory: the offset, then the selector. AMD's CPUs read 32 bits of offset
 * where REX.W is given; the rest of a 64-bit register becomes zero.
 */
int emul_read_far(struct umbra_emul *e, u64 *off, u16 *sel)
{
	unsigned int size = e->opsize;
	int r;

	if (size == 8 && e->ops->cpu_has(e, UMBRA_CPU_AMD))
		size = 4;
	*off = 0;
	r = emul_read(e, e->seg, e->src.ea, off, size, 0);
	return r ? r : emul_read(e, e->seg, (e->src.ea + size) & emul_mask(e->adsize), sel, 2, 0);
}

static int load_far(struct umbra_emul *e, unsigned int nr)
{
	u64 off;
	u16 sel;
	int r = emul_read_far(e, &off, &sel);

	if (!r)
		r = emul_load_seg(e, nr, sel);
	if (!r)
		emul_pend(e, e->dst.reg, e->opsize, off);
	return r;
}

int emul_op_les(struct umbra_emul *e)
{
	return load_far(e, EMUL_ES);
}

int emul_op_lds(struct umbra_emul *e)
{
	return load_far(e, EMUL_DS);
}

/* Unlike MOV and POP it holds nothing off: rSP comes with SS. */
int emul_op_lss(struct umbra_emul *e)
{
	return load_far(e, EMUL_SS);
}

int emul_op_lfs(struct umbra_emul *e)
{
	return load_far(e, EMUL_FS);
}

int emul_op_lgs(struct umbra_emul *e)
{
	return load_far(e, EMUL_GS);
}

/* System segments */

/* CR4.UMIP keeps SGDT, SIDT, SLDT, STR and SMSW for CPL 0. */
bool emul_umip_denied(struct umbra_emul *e)
{
	return e->cpl && (e->ops->get_cr(e, 4) & EMUL_CR4_UMIP);
}

int emul_op_sldt(struct umbra_emul *e)
{
	if (emul_umip_denied(e))
		return emul_gp0(e);
	e->dst.val = emul_seg(e, EMUL_LDTR)->sel;
	return UMBRA_EMUL_OK;
}

int emul_op_str(struct umbra_emul *e)
{
	if (emul_umip_denied(e))
		return emul_gp0(e);
	e->dst.val = emul_seg(e, EMUL_TR)->sel;
	return UMBRA_EMUL_OK;
}

/* The base of a system descriptor, which has 16 bytes in long mode. */
static int read_system_base(struct umbra_emul *e, struct emul_desc *d)
{
	u64 upper;
	int r;

	if (!emul_lma(e))
		return UMBRA_EMUL_OK;
	r = emul_read_desc_upper(e, d, &upper);
	if (r)
		return r;
	d->seg.base |= upper << 32;
	/* What would be the type of a second descriptor must be zero. */
	if (((upper >> 40) & 0x1f) || !emul_canonical(e, d->seg.base))
		return emul_fault_err(e, EMUL_GP, d->seg.sel & ~3u);
	return UMBRA_EMUL_OK;
}

/* A system descriptor of one of @types for LLDT and LTR, which take them from the GDT. */
static int read_system(struct umbra_emul *e, u16 sel, u32 types, struct emul_desc *d)
{
	int r;

	if (sel & 4)
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	r = emul_read_desc(e, sel, EMUL_GP, d);
	if (r)
		return r;
	if ((d->seg.attr & EMUL_SEG_S) || !((types >> (d->seg.attr & EMUL_SEG_TYPE)) & 1))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(d->seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, EMUL_NP, sel & ~3u);
	return read_system_base(e, d);
}

int emul_op_lldt(struct umbra_emul *e)
{
	u16 sel = e->src.val;
	struct umbra_emul_seg null = { .sel = sel };
	struct emul_desc d;
	int r;

	if (!(sel & ~3u))
		return emul_put_seg(e, EMUL_LDTR, &null);
	r = read_system(e, sel, 1u << EMUL_TYPE_LDT, &d);
	return r ? r : emul_put_seg(e, EMUL_LDTR, &d.seg);
}

int emul_op_ltr(struct umbra_emul *e)
{
	u32 types = 1u << EMUL_TYPE_TSS32;
	u16 sel = e->src.val;
	struct umbra_emul_seg seg;
	struct emul_desc d;
	int r;

	if (!(sel & ~3u))
		return emul_gp0(e);
	if (!emul_lma(e))
		types |= 1u << EMUL_TYPE_TSS16;
	r = read_system(e, sel, types, &d);
	if (r)
		return r;
	seg = d.seg;
	seg.attr |= EMUL_TYPE_BUSY;
	r = emul_change_desc(e, &d, 0, EMUL_DESC_BUSY);
	return r ? r : emul_put_seg(e, EMUL_TR, &seg);
}

/* What may a selector be used for? These answer in ZF and fault for memory alone. */

/* Bits: system types that LAR and LSL know; fewer in long mode. */
#define LAR_TYPES	0x1a3e	/* TSSs, LDT, call and task gates */
#define LAR_TYPES_LMA	0x1a04
#define LSL_TYPES	0x0a0e	/* TSSs, LDT */
#define LSL_TYPES_LMA	0x0a04

/* false with OK: the selector is no good. */
static int look_up(struct umbra_emul *e, u16 sel, struct emul_desc *d, bool *found)
{
	u64 la;

	*found = (sel & ~3u) && find_desc(e, sel, 8, &la);
	return *found ? emul_read_desc(e, sel, EMUL_GP, d) : UMBRA_EMUL_OK;
}

/* Is the segment within reach of CPL and RPL? Conforming code always is. */
static bool reachable(const struct umbra_emul *e, const struct umbra_emul_seg *seg)
{
	u16 conforming = EMUL_SEG_S | EMUL_SEG_CODE | EMUL_SEG_DOWN;

	if ((seg->attr & conforming) == conforming)
		return true;
	return emul_dpl(seg) >= e->cpl && emul_dpl(seg) >= (seg->sel & 3);
}

static void answer(struct umbra_emul *e, bool yes)
{
	e->new_flags = (e->new_flags & ~EMUL_ZF) | (yes ? EMUL_ZF : 0);
}

static int query(struct umbra_emul *e, u32 types, u32 types_lma, struct emul_desc *d, bool *ok)
{
	int r = look_up(e, e->src.val, d, ok);

	if (r || !*ok)
		return r;
	if (!(d->seg.attr & EMUL_SEG_S)) {
		if (emul_lma(e))
			types = types_lma;
		*ok = (types >> (d->seg.attr & EMUL_SEG_TYPE)) & 1;
	}
	*ok = *ok && reachable(e, &d->seg);
	return UMBRA_EMUL_OK;
}

int emul_op_lar(struct umbra_emul *e)
{
	struct emul_desc d;
	bool ok;
	int r = query(e, LAR_TYPES, LAR_TYPES_LMA, &d, &ok);

	if (r)
		return r;
	if (ok)
		emul_pend(e, e->dst.reg, e->opsize, (d.raw >> 32) & 0xf0ff00);
	answer(e, ok);
	return UMBRA_EMUL_OK;
}

int emul_op_lsl(struct umbra_emul *e)
{
	struct emul_desc d;
	bool ok;
	int r = query(e, LSL_TYPES, LSL_TYPES_LMA, &d, &ok);

	if (r)
		return r;
	if (ok)
		emul_pend(e, e->dst.reg, e->opsize, d.seg.limit);
	answer(e, ok);
	return UMBRA_EMUL_OK;
}

static int verify(struct umbra_emul *e, bool write)
{
	struct emul_desc d;
	bool ok;
	int r = query(e, 0, 0, &d, &ok);

	if (r)
		return r;
	if (ok && (d.seg.attr & EMUL_SEG_CODE))
		ok = !write && (d.seg.attr & EMUL_SEG_WRITE);	/* readable */
	else if (ok)
		ok = !write || (d.seg.attr & EMUL_SEG_WRITE);
	answer(e, ok);
	return UMBRA_EMUL_OK;
}

int emul_op_verr(struct umbra_emul *e)
{
	return verify(e, false);
}

int emul_op_verw(struct umbra_emul *e)
{
	return verify(e, true);
}

/* Raise the RPL of a selector to that of another. */
int emul_op_arpl(struct umbra_emul *e)
{
	bool lower = (e->dst.val & 3) < (e->src.val & 3);

	if (lower)
		e->dst.val = (e->dst.val & ~3ull) | (e->src.val & 3);
	answer(e, lower);
	return UMBRA_EMUL_OK;
}
