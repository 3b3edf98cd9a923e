// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's system instructions: ports, control and debug registers, MSRs, descriptor tables,
 * TLB and caches, calls of the hypervisor.
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

int emul_op_rdpid(struct umbra_emul *e)
{
	u32 aux = 0;

	e->ops->tsc(e, &aux);
	e->dst.val = aux;
	return UMBRA_EMUL_OK;
}

int emul_op_rdpmc(struct umbra_emul *e)
{
	u64 val = 0;
	int r;

	if (e->cpl && !(e->ops->get_cr(e, 4) & EMUL_CR4_PCE))
		return emul_gp0(e);
	r = e->ops->rdpmc(e, e->gpr[EMUL_RCX], &val);
	if (!r)
		pend_edx_eax(e, val);
	return r;
}

int emul_op_clts(struct umbra_emul *e)
{
	return e->ops->set_cr(e, 0, e->ops->get_cr(e, 0) & ~EMUL_CR0_TS);
}

int emul_op_smsw(struct umbra_emul *e)
{
	if (emul_umip_denied(e))
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

/* The descriptor has 16 bytes: PCID in the low 12 bits, which the rest of the first 8 must leave alone. */
int emul_op_invpcid(struct umbra_emul *e)
{
	u64 type = emul_reg_read(e, e->dst.reg, emul_long(e) ? 8 : 4), desc[2];
	int r;

	if (e->cpl)
		return emul_gp0(e);
	r = emul_read(e, e->seg, e->src.ea, desc, 16, 0);
	if (r)
		return r;
	if (type > 3 || desc[0] >> 12)
		return emul_gp0(e);
	if (type < 2 && desc[0] && !(e->ops->get_cr(e, 4) & EMUL_CR4_PCIDE))
		return emul_gp0(e);
	if (type == 0 && !emul_canonical(e, desc[1]))
		return emul_gp0(e);
	return e->ops->invpcid(e, type, desc[0], desc[1]);
}

/* Extended control registers: there is one, XCR0; number 1 tells what of it is in use. */

int emul_op_xgetbv(struct umbra_emul *e)
{
	int r = UMBRA_EMUL_OK;
	u64 val;

	if (!(e->ops->get_cr(e, 4) & EMUL_CR4_OSXSAVE))
		return emul_ud(e);
	if (emul_reg_read(e, EMUL_RCX, 4) > 1)
		return emul_gp0(e);
	val = e->ops->get_xcr0(e);
	if (emul_reg_read(e, EMUL_RCX, 4))
		r = e->ops->get_xinuse(e, &val);
	if (!r)
		pend_edx_eax(e, val);
	return r;
}

int emul_op_xsetbv(struct umbra_emul *e)
{
	if (!(e->ops->get_cr(e, 4) & EMUL_CR4_OSXSAVE))
		return emul_ud(e);
	if (e->cpl || emul_reg_read(e, EMUL_RCX, 4))
		return emul_gp0(e);
	return e->ops->set_xcr0(e, emul_reg_read(e, EMUL_RAX, 4) | e->gpr[EMUL_RDX] << 32);
}

/* XSAVE and its like: of where they may be used, nothing is known but that. */
int emul_op_xsave(struct umbra_emul *e)
{
	if (!(e->ops->get_cr(e, 4) & EMUL_CR4_OSXSAVE))
		return emul_ud(e);
	return UMBRA_EMUL_UNHANDLEABLE;
}

/* PKRU, which there is where CR4.PKE is set. */

static int pkru_denied(struct umbra_emul *e, bool write)
{
	if (!(e->ops->get_cr(e, 4) & EMUL_CR4_PKE))
		return emul_ud(e);
	if (emul_reg_read(e, EMUL_RCX, 4) || (write && emul_reg_read(e, EMUL_RDX, 4)))
		return emul_gp0(e);
	return UMBRA_EMUL_OK;
}

int emul_op_rdpkru(struct umbra_emul *e)
{
	int r = pkru_denied(e, false);

	if (!r)
		pend_edx_eax(e, e->ops->get_pkru(e));
	return r;
}

int emul_op_wrpkru(struct umbra_emul *e)
{
	int r = pkru_denied(e, true);

	if (!r)
		e->ops->set_pkru(e, e->gpr[EMUL_RAX]);
	return r;
}

int emul_op_clac(struct umbra_emul *e)
{
	if (e->cpl)
		return emul_ud(e);
	e->new_flags &= ~EMUL_AC;
	return UMBRA_EMUL_OK;
}

int emul_op_stac(struct umbra_emul *e)
{
	if (e->cpl)
		return emul_ud(e);
	e->new_flags |= EMUL_AC;
	return UMBRA_EMUL_OK;
}

/* Hidden in CPUID, and no-ops where a guest tries them all the same, as when the CPU exits for them. */

int emul_op_monitor(struct umbra_emul *e)
{
	unsigned int seg = e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS;
	bool ram;
	u64 la;
	int r;

	if (e->cpl || !e->ops->cpu_has(e, UMBRA_CPU_MWAIT))
		return emul_ud(e);
	if (emul_reg_read(e, EMUL_RCX, 4))
		return emul_gp0(e);
	r = emul_linear(e, seg, emul_reg_read(e, EMUL_RAX, e->adsize), 1, false, &la);
	return r ? r : e->ops->probe(e, la, 1, 0, &ram);
}

int emul_op_mwait(struct umbra_emul *e)
{
	if (e->cpl || !e->ops->cpu_has(e, UMBRA_CPU_MWAIT))
		return emul_ud(e);
	/* Bit 0, to end with interrupts held back, is the one extension that there is. */
	if (emul_reg_read(e, EMUL_RCX, 4) > 1)
		return emul_gp0(e);
	return UMBRA_EMUL_OK;
}

int emul_op_vmcall(struct umbra_emul *e)
{
	return e->ops->hypercall(e);
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

/* Zeros for the 64 bytes around the address in rAX. */
int emul_op_clzero(struct umbra_emul *e)
{
	static const u8 zeros[64];
	unsigned int seg = e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS;

	return emul_write(e, seg, emul_reg_read(e, EMUL_RAX, e->adsize) & ~63ull, zeros,
			  sizeof(zeros), EMUL_ACC_OPERAND);
}

/* 64 bytes at once, to an aligned address in ES that a register holds. */
int emul_op_movdir64b(struct umbra_emul *e)
{
	u64 to = emul_reg_read(e, e->dst.reg, e->adsize), la;
	u8 bytes[64];
	int r = emul_linear(e, EMUL_ES, to, sizeof(bytes), true, &la);

	if (!r && (la & (sizeof(bytes) - 1)))
		r = emul_gp0(e);
	if (!r)
		r = emul_probe(e, la, sizeof(bytes), EMUL_ACC_WRITE);
	if (!r)
		r = emul_read(e, e->seg, e->src.ea, bytes, sizeof(bytes), 0);
	return r ? r : e->ops->write_mem(e, la, bytes, sizeof(bytes), EMUL_ACC_WRITE);
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

	if (emul_umip_denied(e))
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
