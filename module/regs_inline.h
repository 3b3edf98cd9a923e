/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Register accessors that stand on every exit's way. Included at the end of
 * umbra.h, because they need struct umbra_vcpu complete. Owner only.
 */
#ifndef UMBRA_REGS_INLINE_H
#define UMBRA_REGS_INLINE_H

#include <uapi/asm/debugreg.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "umbra.h"

static inline void umbra_reg_get(struct umbra_vcpu *vcpu, enum umbra_reg reg)
{
	if (unlikely(!(vcpu->regs.avail & BIT(reg))))
		umbra_cache_reg(vcpu, reg);
}

static inline void umbra_reg_put(struct umbra_vcpu *vcpu, enum umbra_reg reg)
{
	vcpu->regs.avail |= BIT(reg);
	vcpu->regs.dirty |= BIT(reg);
}

/*
 * General registers. The mask bounds a number that a guest's instruction chose,
 * under speculation too.
 */
static inline u64 umbra_gpr(struct umbra_vcpu *vcpu, int nr)
{
	nr &= UMBRA_NR_GPRS - 1;
	if (nr == UMBRA_RSP)
		umbra_reg_get(vcpu, UMBRA_REG_RSP);
	return vcpu->regs.gpr[nr];
}

static inline void umbra_set_gpr(struct umbra_vcpu *vcpu, int nr, u64 value)
{
	nr &= UMBRA_NR_GPRS - 1;
	if (nr == UMBRA_RSP)
		umbra_reg_put(vcpu, UMBRA_REG_RSP);
	vcpu->regs.gpr[nr] = value;
}

static inline u64 umbra_rip(struct umbra_vcpu *vcpu)
{
	return vcpu->regs.rip;
}

static inline void umbra_set_rip(struct umbra_vcpu *vcpu, u64 rip)
{
	vcpu->regs.rip = rip;
}

/*
 * RFLAGS as the guest has them: while a debugger single-steps, TF in regs.rflags
 * is the debugger's, and neither guest nor userspace sees it.
 */
static inline u64 umbra_rflags(struct umbra_vcpu *vcpu)
{
	if (unlikely(vcpu->regs.guest_debug & KVM_GUESTDBG_SINGLESTEP))
		return vcpu->regs.rflags & ~X86_EFLAGS_TF;
	return vcpu->regs.rflags;
}

static inline void umbra_set_rflags(struct umbra_vcpu *vcpu, u64 rflags)
{
	if (unlikely(vcpu->regs.guest_debug & KVM_GUESTDBG_SINGLESTEP))
		rflags |= X86_EFLAGS_TF;
	vcpu->regs.rflags = rflags | X86_EFLAGS_FIXED;
}

static inline u64 umbra_cr0(struct umbra_vcpu *vcpu)
{
	return vcpu->regs.cr0;
}

static inline u64 umbra_cr3(struct umbra_vcpu *vcpu)
{
	umbra_reg_get(vcpu, UMBRA_REG_CR3);
	return vcpu->regs.cr3;
}

static inline u64 umbra_cr4(struct umbra_vcpu *vcpu)
{
	return vcpu->regs.cr4;
}

/* EFER.LMA */
static inline bool umbra_is_long(struct umbra_vcpu *vcpu)
{
	return vcpu->regs.efer & EFER_LMA;
}

/* CR0.PE */
static inline bool umbra_is_protected(struct umbra_vcpu *vcpu)
{
	return umbra_cr0(vcpu) & X86_CR0_PE;
}

/* CR0.PG */
static inline bool umbra_is_paging(struct umbra_vcpu *vcpu)
{
	return umbra_cr0(vcpu) & X86_CR0_PG;
}

/* CR4.PAE */
static inline bool umbra_is_pae(struct umbra_vcpu *vcpu)
{
	return umbra_cr4(vcpu) & X86_CR4_PAE;
}

/* Physical-address width by the guest's CPUID; 36 before it has one. */
static inline u8 umbra_maxphyaddr(struct umbra_vcpu *vcpu)
{
	return vcpu->cpuid.maxphyaddr ? : 36;
}

/* Is @gva canonical for the guest's present paging: 57 bits with CR4.LA57, else 48. */
static inline bool umbra_canonical(struct umbra_vcpu *vcpu, u64 gva)
{
	int unused = 64 - (umbra_cr4(vcpu) & X86_CR4_LA57 ? 57 : 48);

	return (u64)((s64)(gva << unused) >> unused) == gva;
}

/* What the CPU's breakpoint registers hold while the guest runs: its own, or the debugger's. */
static inline u64 umbra_effective_dr(struct umbra_vcpu *vcpu, int nr)
{
	nr &= 3;
	if (unlikely(vcpu->regs.guest_debug & KVM_GUESTDBG_USE_HW_BP))
		return vcpu->regs.debug_dr[nr];
	return vcpu->regs.dr[nr];
}

/* Is any breakpoint enabled, of the guest or of its debugger? */
static inline bool umbra_breakpoints(struct umbra_vcpu *vcpu)
{
	return unlikely(vcpu->regs.effective_dr7 & (DR_LOCAL_ENABLE_MASK | DR_GLOBAL_ENABLE_MASK));
}

#endif
