// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's system instructions: ports, control and debug registers, MSRs, descriptor tables,
 * and loads of segment registers.
 */
#include "emul_priv.h"

#define DR7_GD		(1ULL << 13)
#define DR6_BD		(1ULL << 13)

int emul_op_in(struct umbra_emul *e)
{
	u16 port = e->src.val;
	u64 val = 0;
	int r = emul_io_allowed(e, port, e->dst.size);

	if (!r)
		r = e->ops->pio_in(e, port, e->dst.size, &val, 1);
	e->dst.val = val;
	return r;
}

int emul_op_out(struct umbra_emul *e)
{
	u16 port = e->dst.val;
	int r = emul_io_allowed(e, port, e->src.size);

	return r ? r : e->ops->pio_out(e, port, e->src.size, &e->src.val, 1);
}

int emul_op_hlt(struct umbra_emul *e)
{
	return e->ops->hlt(e);
}

int emul_op_cpuid(struct umbra_emul *e)
{
	static const u8 reg[4] = { EMUL_RAX, EMUL_RBX, EMUL_RCX, EMUL_RDX };
	u32 regs[4] = { e->gpr[EMUL_RAX], e->gpr[EMUL_RBX], e->gpr[EMUL_RCX], e->gpr[EMUL_RDX] };
	unsigned int i;
	int r = e->ops->cpuid(e, regs);

	if (r)
		return r;
	for (i = 0; i < 4; i++)
		emul_reg_write(e, reg[i], 4, regs[i]);
	return UMBRA_EMUL_OK;
}

static void pend_edx_eax(struct umbra_emul *e, u64 val)
{
	emul_pend(e, EMUL_RAX, 4, val);
	emul_pend(e, EMUL_RDX, 4, val >> 32);
}

int emul_op_rdmsr(struct umbra_emul *e)
{
	u64 val = 0;
	int r = e->ops->rdmsr(e, e->gpr[EMUL_RCX], &val);

	if (!r)
		pend_edx_eax(e, val);
	return r;
}

int emul_op_wrmsr(struct umbra_emul *e)
{
	return e->ops->wrmsr(e, e->gpr[EMUL_RCX],
			     (e->gpr[EMUL_RAX] & 0xffffffff) | (e->gpr[EMUL_RDX] << 32));
}

static bool tsc_denied(struct umbra_emul *e)
{
	return e->cpl && (e->ops->get_cr(e, 4) & EMUL_CR4_TSD);
}

int emul_op_rdtsc(struct umbra_emul *e)
{
	u32 aux;

	if (tsc_denied(e))
		return emul_gp0(e);
	pend_edx_eax(e, e->ops->tsc(e, &aux));
	return UMBRA_EMUL_OK;
}

int emul_op_rdtscp(struct umbra_emul *e)
{
	u32 aux = 0;

	if (tsc_denied(e))
		return emul_gp0(e);
	pend_edx_eax(e, e->ops->tsc(e, &aux));
	emul_reg_write(e, EMUL_RCX, 4, aux);
	return UMBRA_EMUL_OK;
}

int emul_op_clts(struct umbra_emul *e)
{
	return e->ops->set_cr(e, 0, e->ops->get_cr(e, 0) & ~EMUL_CR0_TS);
}

/* CR4.UMIP keeps SGDT, SIDT, SLDT, STR and SMSW for CPL 0. */
static bool umip_denied(struct umbra_emul *e)
{
	return e->cpl && (e->ops->get_cr(e, 4) & EMUL_CR4_UMIP);
}

int emul_op_smsw(struct umbra_emul *e)
{
	if (umip_denied(e))
		return emul_gp0(e);
	e->dst.val = e->ops->get_cr(e, 0);
	return UMBRA_EMUL_OK;
}

/* LMSW loads PE, MP, EM, TS, and cannot clear PE. */
int emul_op_lmsw(struct umbra_emul *e)
{
	u64 cr0 = e->ops->get_cr(e, 0);

	return e->ops->set_cr(e, 0, (cr0 & ~0xeull) | (e->src.val & 0xf));
}

int emul_op_invlpg(struct umbra_emul *e)
{
	u64 la = e->dst.ea;

	/* No segment check and no canonical check: a bad address is simply not cached. */
	if (emul_long(e)) {
		if (e->seg >= EMUL_FS)
			la += emul_seg(e, e->seg)->base;
		if (!emul_canonical(e, la))
			return UMBRA_EMUL_OK;
	} else {
		la = (la + emul_seg(e, e->seg)->base) & 0xffffffff;
	}
	return e->ops->invlpg(e, la);
}

int emul_op_wbinvd(struct umbra_emul *e)
{
	return e->ops->wbinvd(e);
}

/* CLFLUSH and its like have a byte of memory to check, and nothing else visible. */
int emul_op_clflush(struct umbra_emul *e)
{
	bool ram;
	u64 la;
	int r = emul_linear(e, e->seg, e->dst.ea, 1, false, &la);

	return r ? r : e->ops->probe(e, la, 1, 0, &ram);
}

int emul_op_mov_from_cr(struct umbra_emul *e)
{
	e->dst.val = e->ops->get_cr(e, e->src.reg);
	return UMBRA_EMUL_OK;
}

int emul_op_mov_to_cr(struct umbra_emul *e)
{
	return e->ops->set_cr(e, e->dst.reg, e->src.val);
}

/* DR4 and DR5 are DR6 and DR7, or #UD under CR4.DE; DR7.GD guards them all. */
static int check_dr(struct umbra_emul *e, unsigned int *nr)
{
	if (*nr == 4 || *nr == 5) {
		if (e->ops->get_cr(e, 4) & EMUL_CR4_DE)
			return emul_ud(e);
		*nr += 2;
	}
	if (e->cpl)
		return emul_gp0(e);
	if (e->ops->get_dr(e, 7) & DR7_GD) {
		int r = e->ops->set_dr(e, 6, e->ops->get_dr(e, 6) | DR6_BD);

		return r ? r : emul_fault(e, EMUL_DB);
	}
	return UMBRA_EMUL_OK;
}

int emul_op_mov_from_dr(struct umbra_emul *e)
{
	unsigned int nr = e->src.reg;
	int r = check_dr(e, &nr);

	if (!r)
		e->dst.val = e->ops->get_dr(e, nr);
	return r;
}

int emul_op_mov_to_dr(struct umbra_emul *e)
{
	unsigned int nr = e->dst.reg;
	int r = check_dr(e, &nr);

	if (r)
		return r;
	if (nr >= 6 && e->src.val >> 32)
		return emul_gp0(e);
	return e->ops->set_dr(e, nr, e->src.val);
}

/* Descriptor tables: a 16-bit limit, then a base of 24, 32 or 64 bits. */

static int store_dtable(struct umbra_emul *e, unsigned int nr)
{
	struct umbra_emul_dtable dt;
	u8 buf[10];

	if (umip_denied(e))
		return emul_gp0(e);
	e->ops->get_dtable(e, nr, &dt);
	memcpy(buf, &dt.limit, 2);
	memcpy(buf + 2, &dt.base, 8);
	return emul_write(e, e->seg, e->dst.ea, buf, emul_long(e) ? 10 : 6, 0);
}

static int load_dtable(struct umbra_emul *e, unsigned int nr)
{
	struct umbra_emul_dtable dt = {};
	unsigned int base_size = emul_long(e) ? 8 : 4;
	u8 buf[10];
	int r = emul_read(e, e->seg, e->dst.ea, buf, 2 + base_size, 0);

	if (r)
		return r;
	memcpy(&dt.limit, buf, 2);
	memcpy(&dt.base, buf + 2, base_size);
	if (!emul_long(e) && e->opsize == 2)
		dt.base &= 0xffffff;
	if (emul_long(e) && !emul_canonical(e, dt.base))
		return emul_gp0(e);
	return e->ops->set_dtable(e, nr, &dt);
}

int emul_op_sgdt(struct umbra_emul *e)
{
	return store_dtable(e, EMUL_GDTR);
}

int emul_op_sidt(struct umbra_emul *e)
{
	return store_dtable(e, EMUL_IDTR);
}

int emul_op_lgdt(struct umbra_emul *e)
{
	return load_dtable(e, EMUL_GDTR);
}

int emul_op_lidt(struct umbra_emul *e)
{
	return load_dtable(e, EMUL_IDTR);
}

int emul_op_sldt(struct umbra_emul *e)
{
	if (umip_denied(e))
		return emul_gp0(e);
	e->dst.val = emul_seg(e, EMUL_LDTR)->sel;
	return UMBRA_EMUL_OK;
}

int emul_op_str(struct umbra_emul *e)
{
	if (umip_denied(e))
		return emul_gp0(e);
	e->dst.val = emul_seg(e, EMUL_TR)->sel;
	return UMBRA_EMUL_OK;
}

/* Loads of data segment registers and SS */

static int load_cached(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_seg *seg)
{
	e->segs_valid &= ~(1u << nr);
	return e->ops->set_seg(e, nr, seg);
}

/* Real and vm86 mode: the base follows the selector, the limit stays (unreal mode). */
static int load_seg_real(struct umbra_emul *e, unsigned int nr, u16 sel)
{
	struct umbra_emul_seg seg = *emul_seg(e, nr);

	seg.sel = sel;
	seg.base = (u64)sel << 4;
	return load_cached(e, nr, &seg);
}

static int load_seg_null(struct umbra_emul *e, unsigned int nr, u16 sel)
{
	struct umbra_emul_seg seg = { .sel = sel };

	if (nr == EMUL_SS) {
		if (!emul_long(e) || e->cpl == 3 || (sel & 3) != e->cpl)
			return emul_gp0(e);
		seg.attr = e->cpl << EMUL_SEG_DPL_SHIFT;
	}
	return load_cached(e, nr, &seg);
}

/* Read the descriptor of @sel and where it stands. */
static int read_descriptor(struct umbra_emul *e, u16 sel, u64 *la, u64 *desc)
{
	struct umbra_emul_dtable dt = {};
	u32 limit;
	u64 base;

	if (sel & 4) {
		const struct umbra_emul_seg *ldt = emul_seg(e, EMUL_LDTR);

		if (!(ldt->attr & EMUL_SEG_P))
			return emul_fault_err(e, EMUL_GP, sel & ~3u);
		base = ldt->base;
		limit = ldt->limit;
	} else {
		e->ops->get_dtable(e, EMUL_GDTR, &dt);
		base = dt.base;
		limit = dt.limit;
	}
	if ((sel | 7u) > limit)
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	*la = base + (sel & ~7u);
	return e->ops->read_mem(e, *la, desc, 8, EMUL_ACC_SYSTEM);
}

static void unpack_descriptor(u64 desc, u16 sel, struct umbra_emul_seg *seg)
{
	seg->sel = sel;
	seg->base = ((desc >> 16) & 0xffffff) | ((desc >> 32) & 0xff000000);
	seg->attr = ((desc >> 40) & 0xff) | ((desc >> 44) & 0xf00);
	seg->limit = (desc & 0xffff) | ((desc >> 32) & 0xf0000);
	if (seg->attr & EMUL_SEG_G)
		seg->limit = (seg->limit << 12) | 0xfff;
}

static bool data_seg_ok(const struct umbra_emul *e, const struct umbra_emul_seg *seg,
			unsigned int nr)
{
	unsigned int dpl = (seg->attr >> EMUL_SEG_DPL_SHIFT) & 3, rpl = seg->sel & 3;
	unsigned int type = seg->attr & (EMUL_SEG_CODE | EMUL_SEG_DOWN | EMUL_SEG_WRITE);

	if (!(seg->attr & EMUL_SEG_S))
		return false;
	if (nr == EMUL_SS)
		return !(type & EMUL_SEG_CODE) && (type & EMUL_SEG_WRITE) &&
		       rpl == e->cpl && dpl == e->cpl;
	if ((type & EMUL_SEG_CODE) && !(type & EMUL_SEG_WRITE))
		return false;
	/* Conforming code may be read from any privilege. */
	if ((type & EMUL_SEG_CODE) && (type & EMUL_SEG_DOWN))
		return true;
	return dpl >= e->cpl && dpl >= rpl;
}

/* Load @sel into ES, SS, DS, FS or GS with all checks; the caller has read what it reads. */
int emul_load_seg(struct umbra_emul *e, unsigned int nr, u16 sel)
{
	struct umbra_emul_seg seg;
	u64 la, desc, new;
	int r;

	if (!emul_prot(e))
		return load_seg_real(e, nr, sel);
	if (!(sel & ~3u))
		return load_seg_null(e, nr, sel);
	r = read_descriptor(e, sel, &la, &desc);
	if (r)
		return r;
	unpack_descriptor(desc, sel, &seg);
	if (!data_seg_ok(e, &seg, nr))
		return emul_fault_err(e, EMUL_GP, sel & ~3u);
	if (!(seg.attr & EMUL_SEG_P))
		return emul_fault_err(e, nr == EMUL_SS ? EMUL_SS_FAULT : EMUL_NP, sel & ~3u);
	if (!(seg.attr & EMUL_SEG_ACCESSED)) {
		seg.attr |= EMUL_SEG_ACCESSED;
		new = desc | (1ull << 40);
		r = e->ops->cmpxchg_mem(e, la, &desc, &new, 8, EMUL_ACC_SYSTEM | EMUL_ACC_WRITE);
		if (r)
			return r;
	}
	return load_cached(e, nr, &seg);
}
