// SPDX-License-Identifier: GPL-2.0-only
/* VMX: the guest's registers as its VMCS holds them. */
#include <linux/kvm.h>
#include <linux/string.h>
#include <asm/apicdef.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "vmx.h"

static bool pae_paging(struct umbra_vcpu *vcpu)
{
	return umbra_is_paging(vcpu) && umbra_is_pae(vcpu) && !umbra_is_long(vcpu);
}

void vmx_cache_reg(struct umbra_vcpu *vcpu, int reg)
{
	struct umbra_regs *regs = &vcpu->regs;
	bool ours = to_vmx(vcpu)->identity || vcpu->mmu.shadow;
	int i;

	switch (reg) {
	case UMBRA_REG_RSP:
		regs->gpr[UMBRA_RSP] = vmcs_read(GUEST_RSP);
		break;
	case UMBRA_REG_CR3:
		if (!ours)
			regs->cr3 = vmcs_read(GUEST_CR3);
		break;
	case UMBRA_REG_PDPTR:
		if (ours || !pae_paging(vcpu))
			break;
		for (i = 0; i < ARRAY_SIZE(regs->pdptr); i++)
			regs->pdptr[i] = vmcs_read(GUEST_PDPTR0 + 2 * i);
		break;
	}
	regs->avail |= BIT(reg);
}

/*
 * «Checks on Guest Page-Directory-Pointer-Table Entries»: with EPT the CPU takes them from
 * here. A shadow's come from its root.
 */
void vmx_write_pdptrs(struct umbra_vcpu *vcpu)
{
	int i;

	if (vcpu->mmu.shadow)
		return;
	for (i = 0; i < ARRAY_SIZE(vcpu->regs.pdptr); i++)
		vmcs_write(GUEST_PDPTR0 + 2 * i, vcpu->regs.pdptr[i]);
}

/* The fields of a segment, in the order of the encodings; bases are 8 bytes apart. */
static const struct {
	u16 selector, base, limit, rights;
} fields[] = {
#define SEGMENT(name) [VCPU_SREG_##name] = {						\
	GUEST_##name##_SELECTOR, GUEST_##name##_BASE, GUEST_##name##_LIMIT,		\
	GUEST_##name##_AR_BYTES }
	SEGMENT(ES), SEGMENT(CS), SEGMENT(SS), SEGMENT(DS), SEGMENT(FS), SEGMENT(GS),
	SEGMENT(TR), SEGMENT(LDTR),
};

/* «Guest Register State»: access rights. */
#define RIGHTS_S		BIT(4)
#define RIGHTS_DPL_SHIFT	5
#define RIGHTS_P		BIT(7)
#define RIGHTS_AVL		BIT(12)
#define RIGHTS_L		BIT(13)
#define RIGHTS_DB		BIT(14)
#define RIGHTS_G		BIT(15)
#define RIGHTS_UNUSABLE		BIT(16)

#define TYPE_ACCESSED		1
#define TYPE_BUSY		2
#define TYPE_BUSY_TSS_64	11

/* As the VMCS has it, which for a guest in real mode may be another than the guest's. */
void vmx_read_segment(struct kvm_segment *s, int seg)
{
	u32 rights = vmcs_read(fields[seg].rights);

	*s = (struct kvm_segment) {
		.base = vmcs_read(fields[seg].base),
		.limit = vmcs_read(fields[seg].limit),
		.selector = vmcs_read(fields[seg].selector),
		.type = rights & 0xf,
		.s = !!(rights & RIGHTS_S),
		.dpl = rights >> RIGHTS_DPL_SHIFT & 3,
		/* An unusable one keeps its bits: SS's DPL is the CPL. */
		.present = !(rights & RIGHTS_UNUSABLE),
		.avl = !!(rights & RIGHTS_AVL),
		.l = !!(rights & RIGHTS_L),
		.db = !!(rights & RIGHTS_DB),
		.g = !!(rights & RIGHTS_G),
		.unusable = !!(rights & RIGHTS_UNUSABLE),
	};
}

void vmx_get_segment(struct umbra_vcpu *vcpu, struct kvm_segment *s, int seg)
{
	if (unlikely(to_vmx(vcpu)->vm86))
		vmx_real_get_segment(vcpu, s, seg);
	else
		vmx_read_segment(s, seg);
}

void vmx_write_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg)
{
	u32 rights = (s->type & 0xf) | (s->s ? RIGHTS_S : 0) |
		     (s->dpl & 3) << RIGHTS_DPL_SHIFT | RIGHTS_P |
		     (s->avl ? RIGHTS_AVL : 0) | (s->l ? RIGHTS_L : 0) |
		     (s->db ? RIGHTS_DB : 0) | (s->g ? RIGHTS_G : 0);

	/* What the other vendor leaves open and «Checks on Guest Segment Registers» want. */
	if (s->unusable || !s->present)
		rights = (rights & ~RIGHTS_P) | RIGHTS_UNUSABLE;
	else if (seg != VCPU_SREG_LDTR && seg != VCPU_SREG_TR)
		rights |= TYPE_ACCESSED;
	if (seg == VCPU_SREG_TR) {
		rights &= ~RIGHTS_UNUSABLE;
		rights |= TYPE_BUSY | RIGHTS_P;
		if (umbra_is_long(vcpu))
			rights |= TYPE_BUSY_TSS_64;
	}
	vmcs_write(fields[seg].base, s->base);
	vmcs_write(fields[seg].limit, s->limit);
	vmcs_write(fields[seg].selector, s->selector);
	vmcs_write(fields[seg].rights, rights);
}

void vmx_write_rights(int seg, u32 rights)
{
	vmcs_write(fields[seg].rights, rights);
}

void vmx_set_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg)
{
	if (!vmx_restricted(to_vmx(vcpu)) || !vmx_real_set_segment(vcpu, s, seg))
		vmx_write_segment(vcpu, s, seg);
}

void vmx_get_dt(struct umbra_vcpu *vcpu, struct kvm_dtable *dt, bool idt)
{
	*dt = (struct kvm_dtable) {
		.base = vmcs_read(idt ? GUEST_IDTR_BASE : GUEST_GDTR_BASE),
		.limit = vmcs_read(idt ? GUEST_IDTR_LIMIT : GUEST_GDTR_LIMIT),
	};
}

void vmx_set_dt(struct umbra_vcpu *vcpu, const struct kvm_dtable *dt, bool idt)
{
	vmcs_write(idt ? GUEST_IDTR_BASE : GUEST_GDTR_BASE, dt->base);
	vmcs_write(idt ? GUEST_IDTR_LIMIT : GUEST_GDTR_LIMIT, dt->limit);
}

/* Entry controls and EFER follow LMA, which follows CR0.PG. */
static void write_efer(struct umbra_vcpu *vcpu)
{
	u32 entry = vmx_controls.entry;
	u64 efer = umbra_mmu_efer(vcpu, vcpu->regs.efer);
	u32 rights;

	if (umbra_is_long(vcpu)) {
		entry |= VM_ENTRY_IA32E_MODE;
		/* A TSS of 16 or 32 bits that was loaded before may stay, but not here. */
		rights = vmcs_read(GUEST_TR_AR_BYTES);
		vmcs_write(GUEST_TR_AR_BYTES, rights | TYPE_BUSY_TSS_64);
	}
	vmcs_write(VM_ENTRY_CONTROLS, entry);
	/* While the CPU pages for a guest that does not, LME is to be what LMA is. */
	if (to_vmx(vcpu)->identity)
		efer &= ~(u64)EFER_LME;
	if (vmx_controls.switches_efer)
		vmcs_write(GUEST_IA32_EFER, efer);
	to_vmx(vcpu)->msrs->guest[VMX_MSR_EFER].value = efer;
}

/*
 * CD and NW are the guest's to see but not to have: they would take the host's
 * caches away. NE must be on. The guest reads its own view from the shadow.
 */
void vmx_set_cr0(struct umbra_vcpu *vcpu, u64 cr0)
{
	u64 real = (cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW)) | X86_CR0_NE | X86_CR0_ET;

	real = umbra_mmu_cr0(vcpu, real);
	if (vmx_restricted(to_vmx(vcpu)))
		real = vmx_real_cr0(vcpu, real, vmcs_read(CR0_READ_SHADOW) ^ cr0);
	vmcs_write(GUEST_CR0, real);
	vmcs_write(CR0_READ_SHADOW, cr0);
	write_efer(vcpu);
	to_vmx(vcpu)->todo.flush = true;
}

void vmx_set_cr3(struct umbra_vcpu *vcpu, u64 cr3)
{
	vcpu->regs.avail |= BIT(UMBRA_REG_CR3);
	/* A shadow's root is loaded in its stead. */
	if (vcpu->mmu.shadow)
		return;
	vmcs_write(GUEST_CR3, to_vmx(vcpu)->identity ? vcpu->vm->identity_map_addr : cr3);
	/* The CPU has not executed this load, so that it has flushed nothing. */
	to_vmx(vcpu)->todo.flush = true;
}

/* A machine check with CR4.MCE clear would shut the host down; VMXE is what makes it a guest. */
void vmx_set_cr4(struct umbra_vcpu *vcpu, u64 cr4)
{
	u64 real = umbra_mmu_cr4(vcpu, cr4) | X86_CR4_VMXE | (cr4_read_shadow() & X86_CR4_MCE);

	if (vmx_restricted(to_vmx(vcpu)))
		real = vmx_real_cr4(vcpu, real);
	vmcs_write(GUEST_CR4, real);
	vmcs_write(CR4_READ_SHADOW, cr4);
	to_vmx(vcpu)->todo.flush = true;
}

void vmx_set_efer(struct umbra_vcpu *vcpu, u64 efer)
{
	write_efer(vcpu);
	to_vmx(vcpu)->todo.flush = true;
}

/*
 * Machine checks are the host's; #AC and #DB can recur in their own delivery for ever; #UD
 * may be the other vendor's hypercall, or the prefix that asks for emulation.
 */
void vmx_write_exceptions(struct umbra_vcpu *vcpu)
{
	u32 exceptions = BIT(X86_TRAP_MC) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_UD);
	u32 debug = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;

	if ((vcpu->regs.guest_debug & debug) == debug)
		exceptions |= BIT(X86_TRAP_BP);
	if (vcpu->mmu.shadow)
		exceptions |= BIT(X86_TRAP_PF);
	/* The CPU would deliver them by an IDT, and the guest has an IVT. */
	if (to_vmx(vcpu)->vm86)
		exceptions = ~0U;
	vmcs_write(EXCEPTION_BITMAP, exceptions);
}

void vmx_set_dr7(struct umbra_vcpu *vcpu, u64 dr7)
{
	vmcs_write(GUEST_DR7, dr7);
	/* They may be a debugger's from now on: what the guest was about to do with them exits again. */
	if (to_vmx(vcpu)->dr_guest) {
		to_vmx(vcpu)->dr_guest = false;
		vmx_set_primary(to_vmx(vcpu), CPU_BASED_MOV_DR_EXITING, true);
	}
	vmx_write_exceptions(vcpu);
}

/* MSRs that the lists switch, by their place there. */
static const u32 listed_msrs[VMX_NR_PASSED] = {
	[VMX_MSR_STAR] = MSR_STAR, [VMX_MSR_LSTAR] = MSR_LSTAR, [VMX_MSR_CSTAR] = MSR_CSTAR,
	[VMX_MSR_SFMASK] = MSR_SYSCALL_MASK, [VMX_MSR_KERNEL_GS] = MSR_KERNEL_GS_BASE,
};

/* MSRs that fields of the VMCS hold. */
static const struct {
	u32 msr;
	u32 field;
} field_msrs[] = {
	{ MSR_FS_BASE, GUEST_FS_BASE },
	{ MSR_GS_BASE, GUEST_GS_BASE },
	{ MSR_IA32_SYSENTER_CS, GUEST_SYSENTER_CS },
	{ MSR_IA32_SYSENTER_ESP, GUEST_SYSENTER_ESP },
	{ MSR_IA32_SYSENTER_EIP, GUEST_SYSENTER_EIP },
};

int vmx_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *value)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(listed_msrs); i++) {
		if (listed_msrs[i] == index) {
			*value = to_vmx(vcpu)->msrs->guest[i].value;
			return 0;
		}
	}
	if (index == MSR_IA32_SYSENTER_CS && unlikely(to_vmx(vcpu)->vm86)) {
		*value = to_vmx(vcpu)->sysenter_cs;
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(field_msrs); i++) {
		if (field_msrs[i].msr == index) {
			*value = vmcs_read(field_msrs[i].field);
			return 0;
		}
	}
	return 1;
}

/* What a shadow's tables map has the host's memory types: they name the first entry only. */
static void write_pat(struct umbra_vcpu *vcpu, u64 pat)
{
	if (!vmx_controls.switches_pat)
		return;
	if (vcpu->mmu.shadow)
		rdmsrl(MSR_IA32_CR_PAT, pat);
	vmcs_write(GUEST_IA32_PAT, pat);
}

int vmx_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 value)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(listed_msrs); i++) {
		if (listed_msrs[i] == index) {
			to_vmx(vcpu)->msrs->guest[i].value = value;
			return 0;
		}
	}
	if (index == MSR_IA32_SYSENTER_CS && unlikely(to_vmx(vcpu)->vm86)) {
		to_vmx(vcpu)->sysenter_cs = value;
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(field_msrs); i++) {
		if (field_msrs[i].msr == index) {
			vmcs_write(field_msrs[i].field, value);
			return 0;
		}
	}
	if (index != MSR_IA32_CR_PAT)
		return 1;
	write_pat(vcpu, value);
	return 0;
}

/* «MSR-Bitmap Address»: two ranges of 8192 MSRs in 1 KiB each, reads and then writes. */
static void pass_msr(struct vmx_vcpu *vmx, u32 msr, bool read, bool write)
{
	unsigned int bit = (msr & 0x1fff) + (msr >= 0xc0000000 ? 8192 : 0);
	unsigned long *map = vmx->msr_bitmap;

	__assign_bit(bit, map, !read);
	__assign_bit(bit + 2 * 8192, map, !write);
}

static void filter_msr(struct umbra_vcpu *vcpu, u32 msr)
{
	pass_msr(to_vmx(vcpu), msr, umbra_msr_allowed(vcpu->vm, msr, KVM_MSR_FILTER_READ),
		 umbra_msr_allowed(vcpu->vm, msr, KVM_MSR_FILTER_WRITE));
}

void vmx_filter_msrs(struct umbra_vcpu *vcpu)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(field_msrs); i++)
		filter_msr(vcpu, field_msrs[i].msr);
	for (i = 0; i < VMX_NR_PASSED; i++)
		filter_msr(vcpu, listed_msrs[i]);
}

#define X2APIC_MSR(reg)	(APIC_BASE_MSR + (reg))

/*
 * «Virtualizing MSR-Based APIC Accesses»: the registers that may be written are the CPU's
 * choice. «Virtualizing Memory-Mapped APIC Accesses»: those that may be read are too. No
 * entry takes both controls.
 */
void vmx_set_apic_virt(struct umbra_vcpu *vcpu, enum umbra_apic_virt how, u64 regs)
{
	const u64 writes = BIT_ULL(APIC_TASKPRI >> 4) | BIT_ULL(APIC_EOI >> 4) |
			   BIT_ULL(APIC_SELF_IPI >> 4);
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool msrs = how == UMBRA_APIC_MSRS;
	int i;

	for (i = 0; i < 64; i++)
		pass_msr(vmx, X2APIC_MSR(i), msrs && regs & BIT_ULL(i), msrs && writes & BIT_ULL(i));
	vmx_set_secondary(vmx, VMX_SECONDARY_APICV | VMX_SECONDARY_APIC_PAGE, false);
	/* «Guidelines for Use of the INVEPT Instruction»: what is cached knows nothing of the page. */
	vmx->todo.flush = true;
	if (how == UMBRA_APIC_PAGE)
		vmx_set_secondary(vmx, VMX_SECONDARY_APIC_PAGE, true);
	if (!msrs)
		return;
	vmx_set_secondary(vmx, VMX_SECONDARY_APICV, true);
	vmcs_write(GUEST_INTR_STATUS, 0);
	for (i = 0; i < ARRAY_SIZE(vmx->ends); i++) {
		vmx->ends[i] = 0;
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, 0);
	}
}

/* The CPU's own check of a passed WRMSR gives the guest its #GP for a non-canonical value. */
void vmx_init_msrs(struct vmx_vcpu *vmx)
{
	int i;

	memset(vmx->msr_bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(field_msrs); i++)
		pass_msr(vmx, field_msrs[i].msr, true, true);
	for (i = 0; i < VMX_NR_PASSED; i++) {
		pass_msr(vmx, listed_msrs[i], true, true);
		vmx->msrs->guest[i].index = listed_msrs[i];
		vmx->msrs->host[i].index = listed_msrs[i];
	}
	vmx->msrs->guest[VMX_MSR_EFER].index = MSR_EFER;
	vmx->msrs->host[VMX_MSR_EFER].index = MSR_EFER;
}

int vmx_get_cpl(struct umbra_vcpu *vcpu)
{
	if (unlikely(to_vmx(vcpu)->vm86))
		return 0;
	return vmcs_read(GUEST_SS_AR_BYTES) >> RIGHTS_DPL_SHIFT & 3;
}

bool vmx_code64(struct umbra_vcpu *vcpu)
{
	return vmcs_read(GUEST_CS_AR_BYTES) & RIGHTS_L;
}

/* With a shadow CR3 is ours, faults are ours or the guest's, and so are flushes. */
void vmx_mode_changed(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct umbra_regs *regs = &vcpu->regs;
	bool shadow = vcpu->mmu.shadow;

	vmx_set_primary(vmx, CPU_BASED_INVLPG_EXITING, shadow);
	vmx_write_cr3_exits(vcpu);
	vmx_set_secondary(vmx, vmx_controls.secondary & VMX_SECONDARY_NESTED, !shadow);
	if (!vmx->pml)
		vmx_set_secondary(vmx, SECONDARY_EXEC_ENABLE_PML, false);
	vmx_real_set_mode(vcpu);
	vmx_write_exceptions(vcpu);
	vmx_set_efer(vcpu, regs->efer);
	vmx_set_cr0(vcpu, regs->cr0);
	vmx_set_cr3(vcpu, regs->cr3);
	vmx_set_cr4(vcpu, regs->cr4);
	write_pat(vcpu, vcpu->msrs.pat);
	/* EPT has them from the VMCS. */
	umbra_reg_put(vcpu, UMBRA_REG_PDPTR);
	vmx->todo.flush = true;
}

/* Manual: «Processor State After Reset»; INIT leaves the MSRs alone. */
void vmx_reset_state(struct umbra_vcpu *vcpu, bool init)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct umbra_regs *regs = &vcpu->regs;
	int i;

	if (!init) {
		for (i = 0; i < VMX_NR_PASSED; i++)
			vmx->msrs->guest[i].value = 0;
		for (i = 2; i < ARRAY_SIZE(field_msrs); i++)
			vmcs_write(field_msrs[i].field, 0);
	}
	regs->avail = GENMASK(UMBRA_REG_NR - 1, 0);
	vmx_mode_changed(vcpu);
	vmx_set_dr7(vcpu, regs->effective_dr7);
	/* What the VMCS has of these is nobody's. */
	vmx->rip = regs->rip;
	vmx->rflags = regs->rflags;
	vmcs_write(GUEST_RIP, regs->rip);
	vmcs_write(GUEST_RFLAGS, regs->rflags);
	vmcs_write(GUEST_RSP, regs->gpr[UMBRA_RSP]);
}
