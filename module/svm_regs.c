// SPDX-License-Identifier: GPL-2.0-only
/* SVM: the guest's registers as its VMCB holds them. */
#include <linux/kvm.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <asm/processor.h>
#include <asm/debugreg.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "svm.h"

void svm_cache_reg(struct umbra_vcpu *vcpu, int reg)
{
	vcpu->regs.avail |= BIT(reg);
	/* All but these is copied at each exit. With a shadow they are nowhere else. */
	if (vcpu->mmu.shadow)
		return;
	if (reg == UMBRA_REG_CR3)
		vcpu->regs.cr3 = to_svm(vcpu)->vmcb->save.cr3;
	/* No state of this CPU under nested paging: it reads them when it needs them. */
	if (reg == UMBRA_REG_PDPTR)
		umbra_reread_pdptes(vcpu);
}

static struct vmcb_seg *segment(struct umbra_vcpu *vcpu, int seg)
{
	struct vmcb_save_area *save = &to_svm(vcpu)->vmcb->save;

	switch (seg) {
	case VCPU_SREG_ES:
		return &save->es;
	case VCPU_SREG_CS:
		return &save->cs;
	case VCPU_SREG_SS:
		return &save->ss;
	case VCPU_SREG_DS:
		return &save->ds;
	case VCPU_SREG_FS:
		return &save->fs;
	case VCPU_SREG_GS:
		return &save->gs;
	case VCPU_SREG_TR:
		return &save->tr;
	default:
		return &save->ldtr;
	}
}

void svm_get_segment(struct umbra_vcpu *vcpu, struct kvm_segment *s, int seg)
{
	const struct vmcb_seg *v = segment(vcpu, seg);
	u16 attr = v->attrib;

	*s = (struct kvm_segment) {
		.base = v->base,
		.limit = v->limit,
		.selector = v->selector,
		.type = attr & SVM_SELECTOR_TYPE_MASK,
		.s = !!(attr & SVM_SELECTOR_S_MASK),
		.dpl = (attr & SVM_SELECTOR_DPL_MASK) >> SVM_SELECTOR_DPL_SHIFT,
		.present = !!(attr & SVM_SELECTOR_P_MASK),
		.avl = !!(attr & SVM_SELECTOR_AVL_MASK),
		.l = !!(attr & SVM_SELECTOR_L_MASK),
		.db = !!(attr & SVM_SELECTOR_DB_MASK),
		.g = !!(attr & SVM_SELECTOR_G_MASK),
		.unusable = !(attr & SVM_SELECTOR_P_MASK),
	};

	/* What this CPU leaves open and the other vendor's entry checks, after a migration, don't. */
	switch (seg) {
	case VCPU_SREG_CS:
		s->g = s->limit > 0xfffff;
		break;
	case VCPU_SREG_TR:
		s->type |= 2;		/* busy */
		break;
	case VCPU_SREG_SS:
		if (s->unusable)
			s->db = 0;
		s->dpl = to_svm(vcpu)->vmcb->save.cpl;
		break;
	case VCPU_SREG_DS:
	case VCPU_SREG_ES:
	case VCPU_SREG_FS:
	case VCPU_SREG_GS:
		if (!s->unusable)
			s->type |= 1;	/* accessed */
		break;
	}
}

void svm_set_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_seg *v = segment(vcpu, seg);

	v->base = s->base;
	v->limit = s->limit;
	v->selector = s->selector;
	v->attrib = (s->type & SVM_SELECTOR_TYPE_MASK) |
		    (s->s & 1) << SVM_SELECTOR_S_SHIFT |
		    (s->dpl & 3) << SVM_SELECTOR_DPL_SHIFT |
		    (s->present && !s->unusable) << SVM_SELECTOR_P_SHIFT |
		    (s->avl & 1) << SVM_SELECTOR_AVL_SHIFT |
		    (s->l & 1) << SVM_SELECTOR_L_SHIFT |
		    (s->db & 1) << SVM_SELECTOR_DB_SHIFT |
		    (s->g & 1) << SVM_SELECTOR_G_SHIFT;
	/* The CPL has a field of its own here; everybody else reads it from SS. */
	if (seg == VCPU_SREG_SS)
		svm->vmcb->save.cpl = s->dpl & 3;
	svm_dirty(svm, SVM_CLEAN_SEG);
}

void svm_get_dt(struct umbra_vcpu *vcpu, struct kvm_dtable *dt, bool idt)
{
	const struct vmcb_save_area *save = &to_svm(vcpu)->vmcb->save;
	const struct vmcb_seg *v = idt ? &save->idtr : &save->gdtr;

	*dt = (struct kvm_dtable) { .base = v->base, .limit = v->limit };
}

void svm_set_dt(struct umbra_vcpu *vcpu, const struct kvm_dtable *dt, bool idt)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_seg *v = idt ? &svm->vmcb->save.idtr : &svm->vmcb->save.gdtr;

	v->base = dt->base;
	v->limit = dt->limit;
	svm_dirty(svm, SVM_CLEAN_DT);
}

/* VMRUN refuses to run a guest without SVME. */
static u64 real_efer(struct umbra_vcpu *vcpu)
{
	return umbra_mmu_efer(vcpu, vcpu->regs.efer) | EFER_SVME;
}

/*
 * CD and NW are the guest's to see but not to have: they would take the host's
 * caches away. While its view differs from what runs, each access is intercepted;
 * else only writes that change more than TS and MP are.
 */
void svm_set_cr0(struct umbra_vcpu *vcpu, u64 cr0)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_save_area *save = &svm->vmcb->save;
	u64 real = umbra_mmu_cr0(vcpu, cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW));

	if ((save->cr0 ^ real) & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
		svm->asid.flush = true;
	save->cr0 = real;
	save->efer = real_efer(vcpu);
	svm_dirty(svm, SVM_CLEAN_CR);
	svm_intercept(svm, INTERCEPT_CR0_READ, real != cr0);
	svm_intercept(svm, INTERCEPT_CR0_WRITE, real != cr0);
	if (vcpu->mmu.shadow)
		svm_set_cr4(vcpu, vcpu->regs.cr4);
}

void svm_set_cr3(struct umbra_vcpu *vcpu, u64 cr3)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	vcpu->regs.avail |= BIT(UMBRA_REG_CR3);
	/* A shadow's root is loaded in its stead. */
	if (vcpu->mmu.shadow)
		return;
	svm->vmcb->save.cr3 = cr3;
	/* The CPU has not executed this load, so that it has flushed nothing. */
	svm->asid.flush = true;
	svm_dirty(svm, SVM_CLEAN_CR);
}

/* A machine check with CR4.MCE clear would shut the host down: it stays set. */
void svm_set_cr4(struct umbra_vcpu *vcpu, u64 cr4)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 real = umbra_mmu_cr4(vcpu, cr4) | (cr4_read_shadow() & X86_CR4_MCE);

	if (svm->vmcb->save.cr4 != real)
		svm->asid.flush = true;
	svm->vmcb->save.cr4 = real;
	svm_dirty(svm, SVM_CLEAN_CR);
	svm_intercept(svm, INTERCEPT_CR4_READ, real != cr4);
}

void svm_set_efer(struct umbra_vcpu *vcpu, u64 efer)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 real = real_efer(vcpu);

	if (svm->vmcb->save.efer != real)
		svm->asid.flush = true;
	svm->vmcb->save.efer = real;
	svm_dirty(svm, SVM_CLEAN_CR);
}

void svm_set_dr7(struct umbra_vcpu *vcpu, u64 dr7)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb->save.dr7 = dr7;
	svm_dirty(svm, SVM_CLEAN_DR);
	/* They may be a debugger's from now on: what the guest was about to do with them exits again. */
	if (svm->dr_guest) {
		svm->dr_guest = false;
		svm->vmcb->control.intercepts[INTERCEPT_DR] = SVM_DR_INTERCEPTS;
		svm_dirty(svm, SVM_CLEAN_INTERCEPTS);
	}
	svm_intercept_exception(svm, X86_TRAP_BP, (vcpu->regs.guest_debug &
			(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP)) ==
			(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP));
}

int svm_get_cpl(struct umbra_vcpu *vcpu)
{
	return to_svm(vcpu)->vmcb->save.cpl;
}

bool svm_code64(struct umbra_vcpu *vcpu)
{
	return to_svm(vcpu)->vmcb->save.cs.attrib & SVM_SELECTOR_L_MASK;
}

/* MSRs that VMLOAD, VMSAVE and VMRUN switch. */
static u64 *msr_field(struct umbra_vcpu *vcpu, u32 index)
{
	struct vmcb_save_area *save = &to_svm(vcpu)->vmcb->save;

	switch (index) {
	case MSR_STAR:
		return &save->star;
	case MSR_LSTAR:
		return &save->lstar;
	case MSR_CSTAR:
		return &save->cstar;
	case MSR_SYSCALL_MASK:
		return &save->sfmask;
	case MSR_FS_BASE:
		return &save->fs.base;
	case MSR_GS_BASE:
		return &save->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &save->kernel_gs_base;
	case MSR_IA32_SYSENTER_CS:
		return &save->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &save->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &save->sysenter_eip;
	default:
		return NULL;
	}
}

/* The same, for the bitmap: they pass, because the CPU checks and switches them. */
static const u32 passed_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_FS_BASE, MSR_GS_BASE,
	MSR_KERNEL_GS_BASE, MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

int svm_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *value)
{
	const u64 *field = msr_field(vcpu, index);

	if (!field)
		return 1;
	*value = *field;
	return 0;
}

int svm_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 value)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 *field = msr_field(vcpu, index);

	if (field) {
		*field = value;
		svm_dirty(svm, SVM_CLEAN_SEG);
		return 0;
	}
	switch (index) {
	case MSR_IA32_CR_PAT:
		svm->vmcb->save.g_pat = value;
		svm_dirty(svm, SVM_CLEAN_NPT);
		return 0;
	case MSR_IA32_SPEC_CTRL:
		/* Where the CPU switches it; otherwise svm_enter() takes it from vcpu->msrs. */
		if (!cpu_feature_enabled(X86_FEATURE_V_SPEC_CTRL))
			return 1;
		svm->vmcb->save.spec_ctrl = value;
		return 0;
	default:
		return 1;
	}
}

/* «MSR Intercepts»: three ranges of 8192 MSRs in 2 KiB each, a read and a write bit an MSR. */
static int msrpm_bit(u32 msr)
{
	static const u32 base[] = { 0, 0xc0000000, 0xc0010000 };
	int i;

	for (i = 0; i < ARRAY_SIZE(base); i++) {
		if (msr - base[i] < 8192)
			return i * 2048 * 8 + (msr - base[i]) * 2;
	}
	return -1;
}

void svm_filter_msrs(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	int i;

	for (i = 0; i < ARRAY_SIZE(passed_msrs); i++) {
		bool read = umbra_msr_allowed(vcpu->vm, passed_msrs[i], KVM_MSR_FILTER_READ);
		bool write = umbra_msr_allowed(vcpu->vm, passed_msrs[i], KVM_MSR_FILTER_WRITE);
		int bit = msrpm_bit(passed_msrs[i]);

		svm->msrpm[bit / 32] &= ~(3U << (bit % 32));
		svm->msrpm[bit / 32] |= ((read ? 0U : 1U) | (write ? 0U : 2U)) << (bit % 32);
	}
	svm_dirty(svm, SVM_CLEAN_PERM_MAPS);
}

/* The CPU's own check of a passed WRMSR gives the guest its #GP for a non-canonical value. */
void svm_init_msrpm(struct svm_vcpu *svm)
{
	int i, bit;

	memset(svm->msrpm, 0xff, SVM_MSRPM_SIZE);
	for (i = 0; i < ARRAY_SIZE(passed_msrs); i++) {
		bit = msrpm_bit(passed_msrs[i]);
		svm->msrpm[bit / 32] &= ~(3U << (bit % 32));
	}
}

static void reset_segment(struct vmcb_seg *v, u16 attr)
{
	*v = (struct vmcb_seg) { .limit = 0xffff, .attrib = attr | SVM_SELECTOR_P_MASK };
}

/* Manual: «Initial Processor State»; INIT leaves the MSRs alone. */
void svm_reset_save(struct umbra_vcpu *vcpu, bool init)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_save_area *save = &svm->vmcb->save;
	const u16 data = SVM_SELECTOR_S_MASK | SVM_SELECTOR_WRITE_MASK | 1;
	int i;

	for (i = VCPU_SREG_ES; i <= VCPU_SREG_GS; i++)
		reset_segment(segment(vcpu, i), data);
	reset_segment(&save->cs, data | SVM_SELECTOR_CODE_MASK);
	save->cs.selector = 0xf000;
	save->cs.base = 0xffff0000;
	reset_segment(&save->ldtr, 2);
	reset_segment(&save->tr, 3);
	save->gdtr = (struct vmcb_seg) { .limit = 0xffff };
	save->idtr = (struct vmcb_seg) { .limit = 0xffff };
	save->cpl = 0;
	save->dr6 = DR6_RESERVED;
	save->dr7 = vcpu->regs.effective_dr7;
	save->g_pat = vcpu->msrs.pat;
	if (!init) {
		for (i = 0; i < ARRAY_SIZE(passed_msrs); i++) {
			u64 *field = msr_field(vcpu, passed_msrs[i]);

			/* FS and GS have just been reset, their bases with them. */
			*field = 0;
		}
		save->spec_ctrl = 0;
	}
	svm_set_efer(vcpu, vcpu->regs.efer);
	svm_set_cr0(vcpu, vcpu->regs.cr0);
	svm_set_cr3(vcpu, vcpu->regs.cr3);
	svm_set_cr4(vcpu, vcpu->regs.cr4);
	vcpu->regs.avail = GENMASK(UMBRA_REG_NR - 1, 0);
	svm->clean = 0;
}
