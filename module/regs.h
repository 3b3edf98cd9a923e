/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest-visible registers: one owner, regs.c. What the CPU keeps in its VMCS or
 * VMCB is cached here; a field is fetched at most once an exit, and only when
 * somebody asks (umbra_reg_avail), and written back by enter() when dirty.
 */
#ifndef UMBRA_REGS_H
#define UMBRA_REGS_H

#include <linux/bitops.h>
#include <linux/kvm.h>
#include <linux/types.h>

struct umbra_vcpu;

/* General registers by their number in instruction encodings. */
enum { UMBRA_RAX, UMBRA_RCX, UMBRA_RDX, UMBRA_RBX, UMBRA_RSP, UMBRA_RBP, UMBRA_RSI, UMBRA_RDI,
       UMBRA_R8, UMBRA_R9, UMBRA_R10, UMBRA_R11, UMBRA_R12, UMBRA_R13, UMBRA_R14, UMBRA_R15,
       UMBRA_NR_GPRS };

/* Cached pieces, for @avail and @dirty of struct umbra_regs. All others are valid at any time. */
enum umbra_reg { UMBRA_REG_RSP, UMBRA_REG_CR3, UMBRA_REG_PDPTR, UMBRA_REG_NR };

/* Segments, in the order of the encodings, then LDTR and TR. */
enum { VCPU_SREG_ES, VCPU_SREG_CS, VCPU_SREG_SS, VCPU_SREG_DS, VCPU_SREG_FS, VCPU_SREG_GS,
       VCPU_SREG_TR, VCPU_SREG_LDTR, VCPU_NR_SREGS };

/**
 * struct umbra_regs - registers of a vCPU
 * @gpr: general registers; RSP only valid when available
 * @avail: bits of enum umbra_reg that hold the guest's value now. A backend
 *	that copies all of them at each exit keeps every bit set
 * @dirty: bits changed since the backend last took them
 */
struct umbra_regs {
	u64 gpr[UMBRA_NR_GPRS];
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4, cr8, efer;
	u64 pdptr[4];
	u64 dr[4], dr6, dr7;
	u64 xcr0;
	u64 effective_dr7;		/* what runs: the guest's, or the debugger's */
	u32 guest_debug;		/* KVM_GUESTDBG_* */
	u64 debug_dr[4], debug_dr7;	/* KVM_SET_GUEST_DEBUG's */
	u32 avail, dirty;
};

void umbra_cache_reg(struct umbra_vcpu *vcpu, enum umbra_reg reg);	/* calls the backend */
void umbra_reread_pdptes(struct umbra_vcpu *vcpu);	/* called by it */

/* The accessors of single registers, and of modes, stand inline in regs_inline.h, which umbra.h includes. */

/* LMA and CS.L; asks the backend for CS. Owner. */
bool umbra_is_64bit_code(struct umbra_vcpu *vcpu);

/*
 * A guest's write to a control register: 0, or 1 for #GP(0) (not queued here).
 * They judge by the manual, tell the backend, the MMU (umbra_mmu_paging_changed)
 * and CPUID's dynamic bits.
 */
int umbra_set_cr0(struct umbra_vcpu *vcpu, u64 cr0);
int umbra_set_cr3(struct umbra_vcpu *vcpu, u64 cr3);
int umbra_set_cr4(struct umbra_vcpu *vcpu, u64 cr4);
int umbra_set_cr8(struct umbra_vcpu *vcpu, u64 cr8);
u64 umbra_cr8(struct umbra_vcpu *vcpu);
u64 umbra_cr(struct umbra_vcpu *vcpu, unsigned int nr);	/* 0, 2, 3, 4, 8 */
/* @host: from KVM_SET_MSRS, which the guest's CPUID does not bind. */
int umbra_set_efer(struct umbra_vcpu *vcpu, u64 efer, bool host);
/* XSETBV's rules but for CPL and CR4.OSXSAVE; KVM_SET_XCRS too. */
int umbra_set_xcr0(struct umbra_vcpu *vcpu, u64 xcr0);
/*
 * Debug registers 0 to 3, 6 and 7 of the guest's own. What MOV DR checks before is
 * the emulator's; set: 0, or 1 for #GP(0): upper bits.
 */
u64 umbra_get_dr(struct umbra_vcpu *vcpu, int nr);
int umbra_set_dr(struct umbra_vcpu *vcpu, int nr, u64 value);
/*
 * effective_dr7 anew, and tell the backend. Also called when guest_debug has
 * changed, so that set_dr7() is where a backend looks at it (#BP and #DB intercepts).
 */
void umbra_update_dr7(struct umbra_vcpu *vcpu);

/*
 * The state after power-up or @init, segments included; the vCPU is loaded. The
 * backend's vcpu_reset() comes after it and may take what it keeps from here.
 */
void umbra_regs_reset(struct umbra_vcpu *vcpu, bool init);

/*
 * The ioctls; structures are kernel copies and the vCPU is loaded. 0 or -EINVAL with nothing
 * changed; umbra_vcpu_set_guest_debug() also -EBUSY: an exception to inject waits already.
 */
void umbra_vcpu_get_regs(struct umbra_vcpu *vcpu, struct kvm_regs *regs);
int umbra_vcpu_set_regs(struct umbra_vcpu *vcpu, const struct kvm_regs *regs);
void umbra_vcpu_get_sregs(struct umbra_vcpu *vcpu, struct kvm_sregs *sregs);
int umbra_vcpu_set_sregs(struct umbra_vcpu *vcpu, const struct kvm_sregs *sregs);
void umbra_vcpu_get_sregs2(struct umbra_vcpu *vcpu, struct kvm_sregs2 *sregs);
int umbra_vcpu_set_sregs2(struct umbra_vcpu *vcpu, const struct kvm_sregs2 *sregs);
void umbra_vcpu_get_debugregs(struct umbra_vcpu *vcpu, struct kvm_debugregs *dbg);
int umbra_vcpu_set_debugregs(struct umbra_vcpu *vcpu, const struct kvm_debugregs *dbg);
/* What KVM_CAP_SET_GUEST_DEBUG2 reports. */
#define UMBRA_GUESTDBG_VALID						\
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |		\
	 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP |		\
	 KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_INJECT_DB)
int umbra_vcpu_set_guest_debug(struct umbra_vcpu *vcpu, const struct kvm_guest_debug *dbg);

#endif
