// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's fast system calls and the base registers that go with them. The vendors differ: in
 * which modes SYSCALL and SYSENTER exist, when SYSRET looks at its target, what it makes of SS.
 */
#include "emul_priv.h"

#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102

#define EFER_SCE		(1ULL << 0)
/* What SYSRET takes from R11: all flags but RF and VM. */
#define SYSRET_FLAGS		(EMUL_FLAGS_ALL & ~(EMUL_RF | EMUL_VM))

#define FLAT_CODE	(EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_G | 0xb)
#define FLAT_DATA	(EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_G | EMUL_SEG_DB | 0x3)

static bool is_amd(struct umbra_emul *e)
{
	return e->ops->cpu_has(e, UMBRA_CPU_AMD);
}

static int flat_code(struct umbra_emul *e, u16 sel, unsigned int cpl, bool wide, u64 rip)
{
	struct umbra_emul_seg cs = {
		.limit = 0xffffffff, .sel = sel,
		.attr = FLAT_CODE | cpl << EMUL_SEG_DPL_SHIFT | (wide ? EMUL_SEG_L : EMUL_SEG_DB),
	};

	if (!wide)
		rip &= 0xffffffff;
	return emul_enter_code(e, &cs, wide ? UMBRA_EMUL_LONG64 : UMBRA_EMUL_PROT32, cpl, rip);
}

static int flat_stack(struct umbra_emul *e, u16 sel, unsigned int cpl)
{
	struct umbra_emul_seg ss = {
		.limit = 0xffffffff, .sel = (sel & ~3u) | cpl,
		.attr = FLAT_DATA | cpl << EMUL_SEG_DPL_SHIFT,
	};

	return emul_put_seg(e, EMUL_SS, &ss);
}

/* EFER.SCE, and a vendor that has the instruction outside of 64-bit mode. */
static bool syscall_enabled(struct umbra_emul *e)
{
	u64 efer;

	if (!emul_long(e) && !is_amd(e))
		return false;
	return !e->ops->get_msr(e, MSR_EFER, &efer) && (efer & EFER_SCE);
}

/* Outside of long mode, on AMD's CPUs alone: the target is in STAR. */
static int syscall_legacy(struct umbra_emul *e, u64 star)
{
	int r = flat_stack(e, (star >> 32) + 8, 0);

	emul_pend(e, EMUL_RCX, 4, e->next_rip);
	e->new_flags &= ~(EMUL_VM | EMUL_IF);
	return r ? r : flat_code(e, star >> 32, 0, false, star);
}

int emul_op_syscall(struct umbra_emul *e)
{
	bool wide = emul_long(e);
	u64 star, target, mask;
	int r;

	if (!emul_prot(e) || !syscall_enabled(e))
		return emul_ud(e);
	r = e->ops->get_msr(e, MSR_STAR, &star);
	if (r)
		return r;
	/* Whether it traps is for the flags that it leaves to say. */
	e->step_rule = EMUL_STEP_NEW;
	if (!emul_lma(e))
		return syscall_legacy(e, star);
	r = e->ops->get_msr(e, wide ? MSR_LSTAR : MSR_CSTAR, &target);
	if (!r)
		r = e->ops->get_msr(e, MSR_SFMASK, &mask);
	if (!r)
		r = flat_stack(e, (star >> 32) + 8, 0);
	if (r)
		return r;
	emul_pend(e, EMUL_RCX, 8, e->next_rip);
	emul_pend(e, 11, 8, e->new_flags);
	e->new_flags = (e->new_flags & ~mask) | EMUL_FIXED;
	return flat_code(e, star >> 32, 0, true, target);
}

/* AMD's SYSRET gives SS a selector and a level; what else it has, stays. */
static int sysret_stack(struct umbra_emul *e, u16 sel)
{
	struct umbra_emul_seg ss;

	if (!is_amd(e))
		return flat_stack(e, sel, 3);
	ss = *emul_seg(e, EMUL_SS);
	ss.sel = sel | 3;
	ss.attr |= 3 << EMUL_SEG_DPL_SHIFT;
	return emul_put_seg(e, EMUL_SS, &ss);
}

int emul_op_sysret(struct umbra_emul *e)
{
	bool wide = e->opsize == 8;
	u64 star, rip = e->gpr[EMUL_RCX];
	int r;

	if (!syscall_enabled(e))
		return emul_ud(e);
	/* It is recognized in protected mode only. */
	if (!emul_prot(e) || e->cpl)
		return emul_gp0(e);
	/* Intel's CPUs fault here, at level 0; AMD's at the target, at level 3. */
	if (wide && !is_amd(e) && !emul_canonical(e, rip))
		return emul_gp0(e);
	r = e->ops->get_msr(e, MSR_STAR, &star);
	if (!r)
		r = sysret_stack(e, (star >> 48) + 8);
	if (r)
		return r;
	/* A step is taken before the first instruction there. */
	e->step_rule = EMUL_STEP_NEW;
	/* Outside of 64-bit code IF is set, and that is all: AMD64 vol. 3, SYSRET. */
	if (emul_long(e))
		e->new_flags = (e->gpr[11] & SYSRET_FLAGS) | EMUL_FIXED;
	else
		e->new_flags |= EMUL_IF;
	return flat_code(e, ((star >> 48) + (wide ? 16 : 0)) | 3, 3, wide, rip);
}

int emul_op_sysenter(struct umbra_emul *e)
{
	bool lma = emul_lma(e);
	u64 cs, esp, eip;
	int r;

	if (lma && is_amd(e))
		return emul_ud(e);
	if (e->mode == UMBRA_EMUL_REAL)
		return emul_gp0(e);
	r = e->ops->get_msr(e, MSR_SYSENTER_CS, &cs);
	if (!r)
		r = e->ops->get_msr(e, MSR_SYSENTER_ESP, &esp);
	if (!r)
		r = e->ops->get_msr(e, MSR_SYSENTER_EIP, &eip);
	if (r)
		return r;
	if (!(cs & 0xfffc))
		return emul_gp0(e);
	r = flat_stack(e, (cs & ~3u) + 8, 0);
	if (r)
		return r;
	emul_pend(e, EMUL_RSP, lma ? 8 : 4, esp);
	e->new_flags &= ~(EMUL_VM | EMUL_IF);
	e->step_rule = EMUL_STEP_NEW;
	return flat_code(e, cs & 0xfffc, 0, lma, eip);
}

int emul_op_sysexit(struct umbra_emul *e)
{
	bool wide = e->opsize == 8;
	u64 cs, rip = e->gpr[EMUL_RDX], rsp = e->gpr[EMUL_RCX];
	int r;

	if (emul_lma(e) && is_amd(e))
		return emul_ud(e);
	if (!emul_prot(e) || e->cpl)
		return emul_gp0(e);
	r = e->ops->get_msr(e, MSR_SYSENTER_CS, &cs);
	if (r)
		return r;
	if (!(cs & 0xfffc) || (wide && (!emul_canonical(e, rip) || !emul_canonical(e, rsp))))
		return emul_gp0(e);
	r = flat_stack(e, cs + (wide ? 40 : 24), 3);
	if (r)
		return r;
	emul_pend(e, EMUL_RSP, wide ? 8 : 4, rsp);
	return flat_code(e, (cs + (wide ? 32 : 16)) | 3, 3, wide, rip);
}

/* Bases of FS and GS */

int emul_op_swapgs(struct umbra_emul *e)
{
	u64 user, kernel;
	int r;

	if (!emul_long(e))
		return emul_ud(e);
	if (e->cpl)
		return emul_gp0(e);
	r = e->ops->get_msr(e, MSR_GS_BASE, &user);
	if (!r)
		r = e->ops->get_msr(e, MSR_KERNEL_GS_BASE, &kernel);
	if (!r)
		r = e->ops->set_msr(e, MSR_KERNEL_GS_BASE, user);
	return r ? r : e->ops->set_msr(e, MSR_GS_BASE, kernel);
}

/* The ModRM reg field tells which: 0 RDFSBASE, 1 RDGSBASE, 2 WRFSBASE, 3 WRGSBASE. */
static int base_msr(struct umbra_emul *e, u32 *index)
{
	if (!emul_long(e) || !(e->ops->get_cr(e, 4) & EMUL_CR4_FSGSBASE))
		return emul_ud(e);
	*index = (e->modrm & 8) ? MSR_GS_BASE : MSR_FS_BASE;
	return UMBRA_EMUL_OK;
}

int emul_op_rdbase(struct umbra_emul *e)
{
	u32 index;
	int r = base_msr(e, &index);

	return r ? r : e->ops->get_msr(e, index, &e->dst.val);
}

int emul_op_wrbase(struct umbra_emul *e)
{
	u32 index;
	int r = base_msr(e, &index);

	return r ? r : e->ops->set_msr(e, index, e->dst.val);
}
