// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest-visible registers: the rules for writing them, reset values, and the
 * ioctls that move them in and out.
 *
 * Rules are those of the manuals («Control Registers», «Paging», «Debug
 * Registers», «Processor State After Reset»); what a hypervisor call may set is
 * judged as KVM judges it, so that programs written for it find no surprise.
 */
#include <linux/srcu.h>
#include <linux/string.h>

#include <asm/fpu/types.h>

#include "backend.h"
#include "irq.h"
#include "umbra.h"

/* Bits of CR0 that exist; writes to the others are dropped, but for the upper half. */
#define CR0_KNOWN	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)
#define CR0_UPPER	0xffffffff00000000ULL
/* A change of these under PAE paging reads the PDPTEs anew. */
#define CR0_PDPTE	(X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)
#define CR4_PDPTE	(X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)
/* A change of these changes what a linear address means or who may use it. */
#define CR0_TRANSLATION	(X86_CR0_PG | X86_CR0_WP)
#define CR4_TRANSLATION	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | \
			 X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_LA57)
#define EFER_TRANSLATION (EFER_NX | EFER_LMA)
/* Bit 63 of a MOV to CR3 under PCIDE: keep this PCID's translations. */
#define CR3_NO_FLUSH	BIT_ULL(63)

#define DR6_FIXED	0xffff0ff0ULL	/* read as 1: no RTM, no bus-lock trap */
#define DR6_VOLATILE	0x0000e00fULL
#define DR7_FIXED	0x00000400ULL
#define DR7_VOLATILE	0xffff2bffULL
#define DR7_GD		BIT_ULL(13)
#define DR_UPPER	0xffffffff00000000ULL

#define PDPTE_PRESENT	BIT_ULL(0)

void umbra_cache_reg(struct umbra_vcpu *vcpu, enum umbra_reg reg)
{
	umbra_backend->cache_reg(vcpu, reg);
	vcpu->regs.avail |= BIT(reg);
}

bool umbra_is_64bit_code(struct umbra_vcpu *vcpu)
{
	return umbra_is_long(vcpu) && umbra_hot(code64)(vcpu);
}

/* PAE paging outside long mode, where CR3 stands for four PDPTEs in registers. */
static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LMA);
}

static int read_pdptes(struct umbra_vcpu *vcpu, u64 cr3, u64 pdpte[4])
{
	int idx = srcu_read_lock(&vcpu->vm->srcu), r;

	r = umbra_guest_read(vcpu->vm, cr3 & GENMASK_ULL(31, 5), pdpte, 4 * sizeof(*pdpte));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/* Load the PDPTEs that @cr3 names: 0, or 1 with the old ones kept. */
static int load_pdptes(struct umbra_vcpu *vcpu, u64 cr3)
{
	u64 reserved = GENMASK_ULL(63, umbra_maxphyaddr(vcpu)) | GENMASK_ULL(8, 5) |
		       GENMASK_ULL(2, 1);
	u64 pdpte[4];
	int i;

	/* Nothing is kept, and what is wrong with them is for the walk to find. */
	if (umbra_backend->walks_pdptes && !vcpu->mmu.shadow) {
		vcpu->regs.avail &= ~BIT(UMBRA_REG_PDPTR);
		return 0;
	}
	if (read_pdptes(vcpu, cr3, pdpte))
		return 1;
	for (i = 0; i < 4; i++) {
		if ((pdpte[i] & PDPTE_PRESENT) && (pdpte[i] & reserved))
			return 1;
	}
	memcpy(vcpu->regs.pdptr, pdpte, sizeof(pdpte));
	umbra_reg_put(vcpu, UMBRA_REG_PDPTR);
	return 0;
}

/**
 * umbra_reread_pdptes() - PAE paging on a CPU that keeps no PDPTEs
 * @vcpu: its owner; no spinlock held
 *
 * A backend's cache_reg(), where nested paging reads them from memory at each walk
 * («Legacy PAE Mode»): as they are there, the CPU has judged them.
 */
void umbra_reread_pdptes(struct umbra_vcpu *vcpu)
{
	if (!pae_paging(umbra_cr0(vcpu), umbra_cr4(vcpu), vcpu->regs.efer))
		return;
	if (read_pdptes(vcpu, umbra_cr3(vcpu), vcpu->regs.pdptr))
		memset(vcpu->regs.pdptr, 0, sizeof(vcpu->regs.pdptr));
}

static void put_cr0(struct umbra_vcpu *vcpu, u64 cr0)
{
	vcpu->regs.cr0 = cr0;
	umbra_backend->set_cr0(vcpu, cr0);
}

static void put_cr3(struct umbra_vcpu *vcpu, u64 cr3)
{
	vcpu->regs.cr3 = cr3;
	umbra_reg_put(vcpu, UMBRA_REG_CR3);
	umbra_backend->set_cr3(vcpu, cr3);
}

static void put_cr4(struct umbra_vcpu *vcpu, u64 cr4)
{
	u64 changed = vcpu->regs.cr4 ^ cr4;

	vcpu->regs.cr4 = cr4;
	umbra_backend->set_cr4(vcpu, cr4);
	if (changed & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		umbra_cpuid_update(vcpu);
}

static void put_efer(struct umbra_vcpu *vcpu, u64 efer)
{
	vcpu->regs.efer = efer;
	umbra_backend->set_efer(vcpu, efer);
}

static bool cr0_valid(u64 cr0)
{
	if (cr0 & CR0_UPPER)
		return false;
	if ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD))
		return false;
	return !(cr0 & X86_CR0_PG) || (cr0 & X86_CR0_PE);
}

/* Turning paging on: does it lead to long mode, and may it? 0, or 1: #GP; *@efer gains LMA. */
static int enable_paging(struct umbra_vcpu *vcpu, u64 *efer)
{
	struct kvm_segment cs;

	if (!(*efer & EFER_LME))
		return 0;
	if (!umbra_is_pae(vcpu))
		return 1;
	umbra_backend->get_segment(vcpu, &cs, VCPU_SREG_CS);
	if (cs.l)
		return 1;
	*efer |= EFER_LMA;
	return 0;
}

int umbra_set_cr0(struct umbra_vcpu *vcpu, u64 cr0)
{
	u64 old = umbra_cr0(vcpu), cr4 = umbra_cr4(vcpu), efer = vcpu->regs.efer;
	u64 changed;

	if (!cr0_valid(cr0))
		return 1;
	cr0 = (cr0 & CR0_KNOWN) | X86_CR0_ET;
	changed = old ^ cr0;

	if (changed & cr0 & X86_CR0_PG) {
		if (enable_paging(vcpu, &efer))
			return 1;
	} else if (!(cr0 & X86_CR0_PG)) {
		if ((cr4 & X86_CR4_PCIDE) || umbra_is_64bit_code(vcpu))
			return 1;
		efer &= ~EFER_LMA;
	}
	if ((changed & CR0_PDPTE) && pae_paging(cr0, cr4, efer) &&
	    load_pdptes(vcpu, umbra_cr3(vcpu)))
		return 1;

	if (efer != vcpu->regs.efer)
		put_efer(vcpu, efer);
	put_cr0(vcpu, cr0);
	if (changed & (CR0_TRANSLATION | CR0_PDPTE))
		umbra_mmu_paging_changed(vcpu);
	return 0;
}

int umbra_set_cr3(struct umbra_vcpu *vcpu, u64 cr3)
{
	if (umbra_is_long(vcpu)) {
		if (umbra_cr4(vcpu) & X86_CR4_PCIDE)
			cr3 &= ~CR3_NO_FLUSH;
		if (cr3 & GENMASK_ULL(63, umbra_maxphyaddr(vcpu)))
			return 1;
	} else if (pae_paging(umbra_cr0(vcpu), umbra_cr4(vcpu), vcpu->regs.efer) &&
		   load_pdptes(vcpu, cr3)) {
		return 1;
	}
	put_cr3(vcpu, cr3);
	umbra_mmu_paging_changed(vcpu);
	return 0;
}

int umbra_set_cr4(struct umbra_vcpu *vcpu, u64 cr4)
{
	u64 old = umbra_cr4(vcpu), changed = old ^ cr4;

	if (cr4 & umbra_cpuid_cr4_reserved(vcpu))
		return 1;
	if (umbra_is_long(vcpu)) {
		if (!(cr4 & X86_CR4_PAE) || (changed & X86_CR4_LA57))
			return 1;
	}
	if ((changed & cr4 & X86_CR4_PCIDE) &&
	    (!umbra_is_long(vcpu) || (umbra_cr3(vcpu) & GENMASK_ULL(11, 0))))
		return 1;
	if ((changed & CR4_PDPTE) && pae_paging(umbra_cr0(vcpu), cr4, vcpu->regs.efer) &&
	    load_pdptes(vcpu, umbra_cr3(vcpu)))
		return 1;

	put_cr4(vcpu, cr4);
	if (changed & CR4_TRANSLATION)
		umbra_mmu_paging_changed(vcpu);
	return 0;
}

u64 umbra_cr(struct umbra_vcpu *vcpu, unsigned int nr)
{
	switch (nr) {
	case 0:
		return umbra_cr0(vcpu);
	case 2:
		return vcpu->regs.cr2;
	case 3:
		return umbra_cr3(vcpu);
	case 4:
		return umbra_cr4(vcpu);
	default:
		return umbra_cr8(vcpu);
	}
}

u64 umbra_cr8(struct umbra_vcpu *vcpu)
{
	return vcpu->lapic ? umbra_lapic_tpr(vcpu) : vcpu->regs.cr8;
}

int umbra_set_cr8(struct umbra_vcpu *vcpu, u64 cr8)
{
	if (cr8 & ~GENMASK_ULL(3, 0))
		return 1;
	vcpu->regs.cr8 = cr8;
	if (vcpu->lapic)
		umbra_lapic_set_tpr(vcpu, cr8);
	return 0;
}

int umbra_set_efer(struct umbra_vcpu *vcpu, u64 efer, bool host)
{
	u64 old = vcpu->regs.efer;

	if (efer & ~(host ? umbra_cpuid_host_efer() : umbra_cpuid_efer(vcpu)))
		return 1;
	if (umbra_is_paging(vcpu) && ((old ^ efer) & EFER_LME))
		return 1;
	efer = (efer & ~EFER_LMA) | (old & EFER_LMA);
	put_efer(vcpu, efer);
	if ((old ^ efer) & EFER_TRANSLATION)
		umbra_mmu_paging_changed(vcpu);
	return 0;
}

/* Components that only make sense together, or on top of others. */
static bool xcr0_consistent(u64 xcr0)
{
	const u64 bound = XFEATURE_MASK_BNDREGS | XFEATURE_MASK_BNDCSR;
	const u64 tile = XFEATURE_MASK_XTILE_CFG | XFEATURE_MASK_XTILE_DATA;

	if (!(xcr0 & XFEATURE_MASK_FP))
		return false;
	if ((xcr0 & XFEATURE_MASK_YMM) && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	if ((xcr0 & bound) && (xcr0 & bound) != bound)
		return false;
	if ((xcr0 & XFEATURE_MASK_AVX512) &&
	    ((xcr0 & XFEATURE_MASK_AVX512) != XFEATURE_MASK_AVX512 || !(xcr0 & XFEATURE_MASK_YMM)))
		return false;
	return !(xcr0 & tile) || (xcr0 & tile) == tile;
}

int umbra_set_xcr0(struct umbra_vcpu *vcpu, u64 xcr0)
{
	if (!xcr0_consistent(xcr0) || (xcr0 & ~(vcpu->cpuid.xcr0_allowed | XFEATURE_MASK_FP)))
		return 1;
	if (vcpu->regs.xcr0 != xcr0) {
		vcpu->regs.xcr0 = xcr0;
		umbra_cpuid_update(vcpu);
	}
	return 0;
}

u64 umbra_get_dr(struct umbra_vcpu *vcpu, int nr)
{
	switch (nr) {
	case 6:
		return vcpu->regs.dr6;
	case 7:
		return vcpu->regs.dr7;
	default:
		return vcpu->regs.dr[nr & 3];
	}
}

int umbra_set_dr(struct umbra_vcpu *vcpu, int nr, u64 value)
{
	if (nr >= 6 && (value & DR_UPPER))
		return 1;
	switch (nr) {
	case 6:
		vcpu->regs.dr6 = (value & DR6_VOLATILE) | DR6_FIXED;
		break;
	case 7:
		vcpu->regs.dr7 = (value & DR7_VOLATILE) | DR7_FIXED;
		umbra_update_dr7(vcpu);
		break;
	default:
		vcpu->regs.dr[nr & 3] = value;
	}
	return 0;
}

void umbra_update_dr7(struct umbra_vcpu *vcpu)
{
	struct umbra_regs *regs = &vcpu->regs;

	regs->effective_dr7 = regs->guest_debug & KVM_GUESTDBG_USE_HW_BP ?
			      regs->debug_dr7 : regs->dr7;
	umbra_backend->set_dr7(vcpu, regs->effective_dr7);
}

static void reset_segments(struct umbra_vcpu *vcpu)
{
	struct kvm_segment data = { .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
	struct kvm_segment cs = { .base = 0xffff0000, .limit = 0xffff, .selector = 0xf000,
				  .type = 11, .present = 1, .s = 1 };
	struct kvm_segment ldtr = { .limit = 0xffff, .type = 2, .present = 1 };
	struct kvm_segment tr = { .limit = 0xffff, .type = 11, .present = 1 };
	struct kvm_dtable dt = { .limit = 0xffff };
	int i;

	for (i = VCPU_SREG_ES; i <= VCPU_SREG_GS; i++)
		umbra_backend->set_segment(vcpu, i == VCPU_SREG_CS ? &cs : &data, i);
	umbra_backend->set_segment(vcpu, &ldtr, VCPU_SREG_LDTR);
	umbra_backend->set_segment(vcpu, &tr, VCPU_SREG_TR);
	umbra_backend->set_dt(vcpu, &dt, false);
	umbra_backend->set_dt(vcpu, &dt, true);
}

void umbra_regs_reset(struct umbra_vcpu *vcpu, bool init)
{
	const struct kvm_cpuid_entry2 *version = umbra_cpuid_find(vcpu, 1, 0);
	struct umbra_regs *regs = &vcpu->regs;
	u64 cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;

	/* INIT leaves the caching bits as they are. */
	if (init)
		cr0 = (umbra_cr0(vcpu) & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;

	/* Everything is valid here, and new to the backend. */
	regs->avail = BIT(UMBRA_REG_NR) - 1;
	regs->dirty = BIT(UMBRA_REG_NR) - 1;
	memset(regs->gpr, 0, sizeof(regs->gpr));
	regs->gpr[UMBRA_RDX] = version ? version->eax : 0x600;
	regs->rip = 0xfff0;
	umbra_set_rflags(vcpu, X86_EFLAGS_FIXED);
	regs->cr2 = 0;
	memset(regs->pdptr, 0, sizeof(regs->pdptr));
	memset(regs->dr, 0, sizeof(regs->dr));
	regs->dr6 = DR6_FIXED;
	regs->dr7 = DR7_FIXED;
	if (!init)
		regs->xcr0 = XFEATURE_MASK_FP;

	reset_segments(vcpu);
	put_efer(vcpu, 0);
	put_cr0(vcpu, cr0);
	put_cr3(vcpu, 0);
	put_cr4(vcpu, 0);
	umbra_set_cr8(vcpu, 0);
	umbra_update_dr7(vcpu);
	umbra_cpuid_update(vcpu);
	umbra_mmu_paging_changed(vcpu);
}

void umbra_vcpu_get_regs(struct umbra_vcpu *vcpu, struct kvm_regs *regs)
{
	*regs = (struct kvm_regs) {
		.rax = umbra_gpr(vcpu, UMBRA_RAX), .rbx = umbra_gpr(vcpu, UMBRA_RBX),
		.rcx = umbra_gpr(vcpu, UMBRA_RCX), .rdx = umbra_gpr(vcpu, UMBRA_RDX),
		.rsi = umbra_gpr(vcpu, UMBRA_RSI), .rdi = umbra_gpr(vcpu, UMBRA_RDI),
		.rsp = umbra_gpr(vcpu, UMBRA_RSP), .rbp = umbra_gpr(vcpu, UMBRA_RBP),
		.r8 = umbra_gpr(vcpu, UMBRA_R8), .r9 = umbra_gpr(vcpu, UMBRA_R9),
		.r10 = umbra_gpr(vcpu, UMBRA_R10), .r11 = umbra_gpr(vcpu, UMBRA_R11),
		.r12 = umbra_gpr(vcpu, UMBRA_R12), .r13 = umbra_gpr(vcpu, UMBRA_R13),
		.r14 = umbra_gpr(vcpu, UMBRA_R14), .r15 = umbra_gpr(vcpu, UMBRA_R15),
		.rip = umbra_rip(vcpu), .rflags = umbra_rflags(vcpu),
	};
}

int umbra_vcpu_set_regs(struct umbra_vcpu *vcpu, const struct kvm_regs *regs)
{
	umbra_set_gpr(vcpu, UMBRA_RAX, regs->rax);
	umbra_set_gpr(vcpu, UMBRA_RBX, regs->rbx);
	umbra_set_gpr(vcpu, UMBRA_RCX, regs->rcx);
	umbra_set_gpr(vcpu, UMBRA_RDX, regs->rdx);
	umbra_set_gpr(vcpu, UMBRA_RSI, regs->rsi);
	umbra_set_gpr(vcpu, UMBRA_RDI, regs->rdi);
	umbra_set_gpr(vcpu, UMBRA_RSP, regs->rsp);
	umbra_set_gpr(vcpu, UMBRA_RBP, regs->rbp);
	umbra_set_gpr(vcpu, UMBRA_R8, regs->r8);
	umbra_set_gpr(vcpu, UMBRA_R9, regs->r9);
	umbra_set_gpr(vcpu, UMBRA_R10, regs->r10);
	umbra_set_gpr(vcpu, UMBRA_R11, regs->r11);
	umbra_set_gpr(vcpu, UMBRA_R12, regs->r12);
	umbra_set_gpr(vcpu, UMBRA_R13, regs->r13);
	umbra_set_gpr(vcpu, UMBRA_R14, regs->r14);
	umbra_set_gpr(vcpu, UMBRA_R15, regs->r15);
	umbra_set_rip(vcpu, regs->rip);
	umbra_set_rflags(vcpu, regs->rflags);

	/* An exception that was about to be raised belonged to the instruction before. */
	vcpu->events.exc.pending = false;
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}

/* What SREGS and SREGS2 share; their first members are laid out alike. */
struct sregs_common {
	struct kvm_segment cs, ds, es, fs, gs, ss;
	struct kvm_segment tr, ldt;
	struct kvm_dtable gdt, idt;
	__u64 cr0, cr2, cr3, cr4, cr8;
	__u64 efer;
	__u64 apic_base;
};
static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) == sizeof(struct sregs_common));
static_assert(offsetof(struct kvm_sregs2, flags) == sizeof(struct sregs_common));
static_assert(offsetof(struct kvm_sregs, efer) == offsetof(struct sregs_common, efer));
static_assert(offsetof(struct kvm_sregs2, efer) == offsetof(struct sregs_common, efer));

static void get_sregs(struct umbra_vcpu *vcpu, struct sregs_common *s)
{
	memset(s, 0, sizeof(*s));
	umbra_backend->get_segment(vcpu, &s->cs, VCPU_SREG_CS);
	umbra_backend->get_segment(vcpu, &s->ds, VCPU_SREG_DS);
	umbra_backend->get_segment(vcpu, &s->es, VCPU_SREG_ES);
	umbra_backend->get_segment(vcpu, &s->fs, VCPU_SREG_FS);
	umbra_backend->get_segment(vcpu, &s->gs, VCPU_SREG_GS);
	umbra_backend->get_segment(vcpu, &s->ss, VCPU_SREG_SS);
	umbra_backend->get_segment(vcpu, &s->tr, VCPU_SREG_TR);
	umbra_backend->get_segment(vcpu, &s->ldt, VCPU_SREG_LDTR);
	umbra_backend->get_dt(vcpu, &s->gdt, false);
	umbra_backend->get_dt(vcpu, &s->idt, true);
	s->cr0 = umbra_cr0(vcpu);
	s->cr2 = vcpu->regs.cr2;
	s->cr3 = umbra_cr3(vcpu);
	s->cr4 = umbra_cr4(vcpu);
	s->cr8 = umbra_cr8(vcpu);
	s->efer = vcpu->regs.efer;
	s->apic_base = umbra_apic_base(vcpu);
}

static bool sregs_valid(struct umbra_vcpu *vcpu, const struct sregs_common *s)
{
	bool long_mode = (s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG);

	if (!cr0_valid(s->cr0) || (s->cr4 & umbra_cpuid_cr4_reserved(vcpu)))
		return false;
	if ((s->efer & ~umbra_cpuid_host_efer()) || (s->cr8 & ~GENMASK_ULL(3, 0)))
		return false;
	if (!long_mode)
		return !(s->efer & EFER_LMA) && !s->cs.l;
	if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & EFER_LMA))
		return false;
	if (s->cs.l && s->cs.db)
		return false;
	return !(s->cr3 & GENMASK_ULL(63, umbra_maxphyaddr(vcpu)));
}

/* Userspace that predates KVM_SET_MP_STATE resets a halted boot CPU by its registers alone. */
static bool is_reset_vector(struct umbra_vcpu *vcpu, const struct sregs_common *s)
{
	return vcpu->id == vcpu->vm->boot_vcpu_id && umbra_rip(vcpu) == 0xfff0 &&
	       s->cs.selector == 0xf000 && s->cs.base == 0xffff0000 && !(s->cr0 & X86_CR0_PE);
}

static int set_sregs(struct umbra_vcpu *vcpu, const struct sregs_common *s)
{
	if (!sregs_valid(vcpu, s))
		return -EINVAL;
	/* The only step that can still refuse; it changes nothing then. */
	if (umbra_set_apic_base(vcpu, s->apic_base, true))
		return -EINVAL;

	umbra_backend->set_dt(vcpu, &s->idt, true);
	umbra_backend->set_dt(vcpu, &s->gdt, false);
	vcpu->regs.cr2 = s->cr2;
	umbra_set_cr8(vcpu, s->cr8);
	put_efer(vcpu, s->efer);
	/* As given, like KVM: what is read back is what was set. */
	put_cr0(vcpu, s->cr0);
	put_cr3(vcpu, s->cr3);
	put_cr4(vcpu, s->cr4);

	umbra_backend->set_segment(vcpu, &s->cs, VCPU_SREG_CS);
	umbra_backend->set_segment(vcpu, &s->ds, VCPU_SREG_DS);
	umbra_backend->set_segment(vcpu, &s->es, VCPU_SREG_ES);
	umbra_backend->set_segment(vcpu, &s->fs, VCPU_SREG_FS);
	umbra_backend->set_segment(vcpu, &s->gs, VCPU_SREG_GS);
	umbra_backend->set_segment(vcpu, &s->ss, VCPU_SREG_SS);
	umbra_backend->set_segment(vcpu, &s->tr, VCPU_SREG_TR);
	umbra_backend->set_segment(vcpu, &s->ldt, VCPU_SREG_LDTR);

	if (is_reset_vector(vcpu, s))
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
	umbra_mmu_tables_set(vcpu);
	umbra_mmu_paging_changed(vcpu);
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}

/*
 * The PDPTEs for PAE paging just set: from memory, which userspace may fill only
 * later. Then they stay absent, and the guest's next MOV to CR3 loads them.
 */
static void sregs_load_pdptes(struct umbra_vcpu *vcpu)
{
	if (!pae_paging(umbra_cr0(vcpu), umbra_cr4(vcpu), vcpu->regs.efer))
		return;
	if (load_pdptes(vcpu, umbra_cr3(vcpu))) {
		memset(vcpu->regs.pdptr, 0, sizeof(vcpu->regs.pdptr));
		umbra_reg_put(vcpu, UMBRA_REG_PDPTR);
	}
}

void umbra_vcpu_get_sregs(struct umbra_vcpu *vcpu, struct kvm_sregs *sregs)
{
	memset(sregs, 0, sizeof(*sregs));
	get_sregs(vcpu, (struct sregs_common *)sregs);
	if (vcpu->events.irq.injected && !vcpu->events.irq.soft)
		sregs->interrupt_bitmap[vcpu->events.irq.vector / 64] =
			BIT_ULL(vcpu->events.irq.vector % 64);
}

int umbra_vcpu_set_sregs(struct umbra_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	int i, r;

	r = set_sregs(vcpu, (const struct sregs_common *)sregs);
	if (r)
		return r;
	sregs_load_pdptes(vcpu);
	/* At most one interrupt can be on its way: the lowest wins. */
	for (i = 0; i < ARRAY_SIZE(sregs->interrupt_bitmap); i++) {
		if (sregs->interrupt_bitmap[i]) {
			umbra_requeue_interrupt(vcpu, i * 64 + __ffs64(sregs->interrupt_bitmap[i]),
						false);
			break;
		}
	}
	return 0;
}

void umbra_vcpu_get_sregs2(struct umbra_vcpu *vcpu, struct kvm_sregs2 *sregs)
{
	memset(sregs, 0, sizeof(*sregs));
	get_sregs(vcpu, (struct sregs_common *)sregs);
	if (pae_paging(sregs->cr0, sregs->cr4, sregs->efer)) {
		umbra_reg_get(vcpu, UMBRA_REG_PDPTR);
		memcpy(sregs->pdptrs, vcpu->regs.pdptr, sizeof(sregs->pdptrs));
		sregs->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	}
}

int umbra_vcpu_set_sregs2(struct umbra_vcpu *vcpu, const struct kvm_sregs2 *sregs)
{
	bool pdptrs = sregs->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	int r;

	if (sregs->flags & ~KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if (pdptrs && !pae_paging(sregs->cr0, sregs->cr4, sregs->efer))
		return -EINVAL;
	r = set_sregs(vcpu, (const struct sregs_common *)sregs);
	if (r)
		return r;
	if (pdptrs) {
		memcpy(vcpu->regs.pdptr, sregs->pdptrs, sizeof(sregs->pdptrs));
		umbra_reg_put(vcpu, UMBRA_REG_PDPTR);
	} else {
		sregs_load_pdptes(vcpu);
	}
	return 0;
}

void umbra_vcpu_get_debugregs(struct umbra_vcpu *vcpu, struct kvm_debugregs *dbg)
{
	memset(dbg, 0, sizeof(*dbg));
	memcpy(dbg->db, vcpu->regs.dr, sizeof(dbg->db));
	dbg->dr6 = vcpu->regs.dr6;
	dbg->dr7 = vcpu->regs.dr7;
}

int umbra_vcpu_set_debugregs(struct umbra_vcpu *vcpu, const struct kvm_debugregs *dbg)
{
	if (dbg->flags || (dbg->dr6 & DR_UPPER) || (dbg->dr7 & DR_UPPER))
		return -EINVAL;
	memcpy(vcpu->regs.dr, dbg->db, sizeof(dbg->db));
	vcpu->regs.dr6 = dbg->dr6;
	vcpu->regs.dr7 = dbg->dr7;
	umbra_update_dr7(vcpu);
	return 0;
}

int umbra_vcpu_set_guest_debug(struct umbra_vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	struct umbra_regs *regs = &vcpu->regs;
	u64 rflags = umbra_rflags(vcpu);
	int i;

	if (dbg->control & ~UMBRA_GUESTDBG_VALID)
		return -EINVAL;
	if (dbg->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (vcpu->events.exc.pending)
			return -EBUSY;
		umbra_queue_exception(vcpu, dbg->control & KVM_GUESTDBG_INJECT_DB ? 1 : 3);
	}

	regs->guest_debug = dbg->control & KVM_GUESTDBG_ENABLE ? dbg->control : 0;
	memset(regs->debug_dr, 0, sizeof(regs->debug_dr));
	regs->debug_dr7 = 0;
	if (regs->guest_debug & KVM_GUESTDBG_USE_HW_BP) {
		for (i = 0; i < 4; i++)
			regs->debug_dr[i] = dbg->arch.debugreg[i];
		/* The upper half must be zero, and GD would trap the guest's own MOV DR. */
		regs->debug_dr7 = (dbg->arch.debugreg[7] & DR7_VOLATILE & ~DR7_GD) | DR7_FIXED;
	}
	umbra_update_dr7(vcpu);
	/* Puts the debugger's TF in, or takes it out. */
	umbra_set_rflags(vcpu, rflags);
	return 0;
}
