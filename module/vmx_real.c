// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX without unrestricted guest: an entry wants protection and paging on, and segment
 * registers that protected mode could have loaded. Paging that the guest does not have
 * goes through an identity table, or through a shadow's tables. Real mode is a vm86 task where its segments hide
 * nothing; there the exceptions exit, what such a task may not do is emulated, and
 * events are delivered in software. In any other state that an entry would refuse,
 * unreal mode or the middle of a change of modes, the emulator does the instructions.
 *
 * The task runs at IOPL 0 and without CR4.VME, so that PUSHF, POPF, CLI, STI, INT and
 * IRET are emulated too: their flags are the guest's own to the bit.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/processor-flags.h>

#include "backend.h"
#include "entry_check.h"
#include "vmx.h"

/* Four pages from here on are the backend's where the VMM does not say others. */
#define DEFAULT_IDENTITY	0xfffbc000
#define DEFAULT_TSS		0xfffbd000
#define TSS_PAGES		3

/* «Task-State Segment (TSS)»: 32 bits wide, the I/O bitmap behind it and a byte of ones. */
#define TSS_MAP_BASE		102
#define TSS_SIZE		104
#define TSS_LIMIT		(TSS_SIZE + 65536 / 8)

/* Access rights as the VMCS has them. */
#define RIGHTS_VM86		0xf3
#define RIGHTS_TSS32		0x8b
#define RIGHTS_UNUSABLE		BIT(16)

/* kvm_segment.type */
#define TYPE_ACCESSED		1
#define TYPE_WRITABLE		2

/**
 * struct vmx_real - a vCPU without unrestricted guest
 * @segs: the guest's segments while the CPU has a vm86 task's; of the first six
 *	selector and base are what that task made of them
 * @iopl: the guest's, likewise
 * @words: what the checks of an entry look at; those of segments need few
 */
struct vmx_real {
	struct kvm_segment segs[VCPU_NR_SREGS];
	u64 iopl;
	struct vmx_entry_words words;
};

/* ------------------------------ memory ------------------------------ */

/* 1024 entries of 4 MiB; accessed and dirty, so that the CPU does not write to it. */
static int write_identity(unsigned long hva)
{
	u32 __user *table = (u32 __user *)hva;
	u32 i;

	for (i = 0; i < 1024; i++) {
		if (put_user(i << 22 | _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED |
			     _PAGE_DIRTY | _PAGE_PSE, table + i))
			return -EFAULT;
	}
	return 0;
}

/* The bitmap lets every port through: what exits is for the controls to say. */
static int write_tss(unsigned long hva)
{
	if (put_user((u16)TSS_SIZE, (u16 __user *)(hva + TSS_MAP_BASE)) ||
	    put_user((u8)0xff, (u8 __user *)(hva + TSS_LIMIT)))
		return -EFAULT;
	return 0;
}

static int make_slots(struct umbra_vm *vm, unsigned long hva)
{
	struct kvm_userspace_memory_region identity = {
		.slot = UMBRA_SLOT_IDENTITY, .guest_phys_addr = vm->identity_map_addr,
		.memory_size = PAGE_SIZE, .userspace_addr = hva,
	};
	struct kvm_userspace_memory_region tss = {
		.slot = UMBRA_SLOT_TSS, .guest_phys_addr = vm->tss_addr,
		.memory_size = TSS_PAGES * PAGE_SIZE, .userspace_addr = hva + PAGE_SIZE,
	};
	int r = umbra_set_any_region(vm, &identity);

	if (r)
		return r;
	r = umbra_set_any_region(vm, &tss);
	if (r) {
		identity.memory_size = 0;
		WARN_ON_ONCE(umbra_set_any_region(vm, &identity));
	}
	return r;
}

/* The VM's pages, in memory of the VMM's process. vm->lock held. */
int vmx_prepare_shadow(struct umbra_vm *vm)
{
	unsigned long hva, size = (1 + TSS_PAGES) * PAGE_SIZE;
	int r;

	if (vm->hw)
		return 0;
	vm->identity_map_addr = vm->identity_map_addr ?: DEFAULT_IDENTITY;
	vm->tss_addr = vm->tss_addr ?: DEFAULT_TSS;
	/* A table of 32-bit paging. */
	if (vm->identity_map_addr >> 32)
		return -EINVAL;
	hva = vm_mmap(NULL, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(hva))
		return (long)hva;
	r = write_identity(hva) ?: write_tss(hva + PAGE_SIZE) ?: make_slots(vm, hva);
	if (r)
		vm_munmap(hva, size);
	else
		vm->hw = (void *)hva;
	return r;
}

void vmx_vm_destroy(struct umbra_vm *vm)
{
	/* With the process its memory goes. */
	if (vm->hw && current->mm == vm->mm)
		vm_munmap((unsigned long)vm->hw, (1 + TSS_PAGES) * PAGE_SIZE);
}

int vmx_real_create(struct umbra_vcpu *vcpu)
{
	int r = vmx_restricted(to_vmx(vcpu)) ? vmx_prepare_shadow(vcpu->vm) : 0;

	if (r)
		return r;
	to_vmx(vcpu)->real = kzalloc(sizeof(struct vmx_real), GFP_KERNEL_ACCOUNT);
	return to_vmx(vcpu)->real ? 0 : -ENOMEM;
}

/* ------------------------------ the vm86 task ------------------------------ */

static u64 task_rflags(u64 rflags)
{
	return (rflags & ~(u64)X86_EFLAGS_IOPL) | X86_EFLAGS_VM;
}

/* RFLAGS for the VMCS. */
u64 vmx_real_rflags(struct umbra_vcpu *vcpu, u64 rflags)
{
	to_vmx(vcpu)->real->iopl = rflags & X86_EFLAGS_IOPL;
	return task_rflags(rflags);
}

/* And back: the task can't have changed its IOPL. */
u64 vmx_real_guest_rflags(struct umbra_vcpu *vcpu, u64 rflags)
{
	return (rflags & ~(u64)(X86_EFLAGS_VM | X86_EFLAGS_IOPL)) | to_vmx(vcpu)->real->iopl;
}

/* The segments are in the VMCS as the guest has them, and all fit. */
static void enter_task(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int i;

	vmx->vm86 = true;
	for (i = VCPU_SREG_ES; i <= VCPU_SREG_GS; i++)
		vmx_write_rights(i, RIGHTS_VM86);
	vmcs_write(GUEST_TR_SELECTOR, 0);
	vmcs_write(GUEST_TR_BASE, vcpu->vm->tss_addr);
	vmcs_write(GUEST_TR_LIMIT, TSS_LIMIT);
	vmx_write_rights(VCPU_SREG_TR, RIGHTS_TSS32);
	vmx_write_rights(VCPU_SREG_LDTR, RIGHTS_UNUSABLE);
	/* SYSENTER, which real mode has not, would lead out of the task. */
	vmx->sysenter_cs = vmcs_read(GUEST_SYSENTER_CS);
	vmcs_write(GUEST_SYSENTER_CS, 0);
	vmcs_write(GUEST_RFLAGS, vmx_real_rflags(vcpu, vcpu->regs.rflags));
	vmx->rflags = vcpu->regs.rflags;
	vmx_write_exceptions(vcpu);
}

/* The VMCS has the guest's own segments again, which an entry would not take. */
static void leave_task(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct kvm_segment s;
	int i;

	for (i = 0; i < VCPU_NR_SREGS; i++) {
		vmx_real_get_segment(vcpu, &s, i);
		vmx_write_segment(vcpu, &s, i);
	}
	vmx->vm86 = false;
	vmcs_write(GUEST_SYSENTER_CS, vmx->sysenter_cs);
	vmcs_write(GUEST_RFLAGS, vcpu->regs.rflags);
	vmx->rflags = vcpu->regs.rflags;
	vmx_write_exceptions(vcpu);
	vcpu->emulate |= UMBRA_EMULATE_ASK;
}

/* With vmx->vm86. In real mode a load changes selector and base alone. */
void vmx_real_get_segment(struct umbra_vcpu *vcpu, struct kvm_segment *s, int seg)
{
	struct kvm_segment task;

	*s = to_vmx(vcpu)->real->segs[seg];
	if (seg > VCPU_SREG_GS)
		return;
	vmx_read_segment(&task, seg);
	s->selector = task.selector;
	s->base = task.base;
}

/* Could a vm86 task have it: does it hide nothing? */
static bool fits_task(const struct kvm_segment *s, int seg)
{
	if (s->base != (u64)s->selector << 4 || s->limit != 0xffff)
		return false;
	if (s->unusable || !s->present || !s->s || s->g)
		return false;
	if (seg == VCPU_SREG_CS)
		return !s->db;
	/* Data that grows upwards and can be written. */
	return (s->type & ~TYPE_ACCESSED) == TYPE_WRITABLE && !(seg == VCPU_SREG_SS && s->db);
}

/* false: it is to be written as it is. */
bool vmx_real_set_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->vm86) {
		if (seg > VCPU_SREG_GS || fits_task(s, seg)) {
			vmx->real->segs[seg] = *s;
			if (seg <= VCPU_SREG_GS) {
				vmx_write_segment(vcpu, s, seg);
				vmx_write_rights(seg, RIGHTS_VM86);
			}
			return true;
		}
		leave_task(vcpu);
	}
	vcpu->emulate |= UMBRA_EMULATE_ASK;
	return false;
}

/* ------------------------------ what fits ------------------------------ */

/* A guest in real mode. */
static bool task_unfit(struct umbra_vcpu *vcpu)
{
	struct kvm_segment *segs = to_vmx(vcpu)->real->segs;
	int i;

	for (i = 0; i < VCPU_NR_SREGS; i++) {
		vmx_read_segment(&segs[i], i);
		if (i <= VCPU_SREG_GS && !fits_task(&segs[i], i))
			return true;
	}
	enter_task(vcpu);
	return false;
}

/* A guest in protected mode, its control registers in the VMCS as an entry wants them. */
static bool segments_unfit(struct umbra_vcpu *vcpu)
{
	struct vmx_entry_words *w = &to_vmx(vcpu)->real->words;

	vmx_read_fields(w, VMX_F_ES_SEL, VMX_F_TR_RIGHTS);
	w->value[VMX_F_CR0] = X86_CR0_PE | X86_CR0_PG;
	w->value[VMX_F_RFLAGS] = umbra_rflags(vcpu);
	w->value[VMX_F_ENTRY] = umbra_is_long(vcpu) ? VM_ENTRY_IA32E_MODE : 0;
	return !vmx_segments_pass(w);
}

/* The backend's unfit(): asked as long as nobody knows, and while it says yes. */
bool vmx_unfit(struct umbra_vcpu *vcpu)
{
	if (!(vcpu->emulate & UMBRA_EMULATE_ASK))
		return false;
	if (!to_vmx(vcpu)->vm86 &&
	    (umbra_is_protected(vcpu) ? segments_unfit(vcpu) : task_unfit(vcpu)))
		return true;
	vcpu->emulate &= ~UMBRA_EMULATE_ASK;
	return false;
}

/* The vCPU has unrestricted guest now, or not: vmx_restricted(). */
void vmx_real_set_mode(struct umbra_vcpu *vcpu)
{
	if (vmx_restricted(to_vmx(vcpu))) {
		vcpu->emulate |= UMBRA_EMULATE_ASK;
		return;
	}
	if (to_vmx(vcpu)->vm86)
		leave_task(vcpu);
	vcpu->emulate &= ~UMBRA_EMULATE_ASK;
}

/* Is an event to be delivered in software? */
bool vmx_real_delivers(struct umbra_vcpu *vcpu)
{
	return vmx_restricted(to_vmx(vcpu)) && (!umbra_is_protected(vcpu) || vmx_unfit(vcpu));
}

/* ------------------------------ control registers ------------------------------ */

/* The CPU pages by the identity table, or no longer. While it does CR3 is not the guest's. */
static void hold_paging(struct umbra_vcpu *vcpu, bool hold)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->identity == hold)
		return;
	umbra_reg_get(vcpu, UMBRA_REG_CR3);
	vmx->identity = hold;
	vmx_write_cr3_exits(vcpu);
	vmx_set_cr3(vcpu, vcpu->regs.cr3);
}

/* CR0 for the VMCS; the caller has the guest's, @changed bits of it, in the cache of registers. */
u64 vmx_real_cr0(struct umbra_vcpu *vcpu, u64 cr0, u64 changed)
{
	if (!umbra_is_protected(vcpu))
		cr0 &= ~(u64)X86_CR0_AM;	/* the task has a CPL for it */
	else if (to_vmx(vcpu)->vm86)
		leave_task(vcpu);
	hold_paging(vcpu, !umbra_is_paging(vcpu) && !vcpu->mmu.shadow);
	if (changed & (X86_CR0_PE | X86_CR0_PG)) {
		vmx_set_cr4(vcpu, umbra_cr4(vcpu));
		vcpu->emulate |= UMBRA_EMULATE_ASK;
	}
	return cr0 | X86_CR0_PE | X86_CR0_PG;
}

/* CR4 for the VMCS: the identity table's format, and nothing that looks at its rights. */
u64 vmx_real_cr4(struct umbra_vcpu *vcpu, u64 cr4)
{
	if (!umbra_is_protected(vcpu))
		cr4 &= ~(u64)X86_CR4_VME;
	if (!to_vmx(vcpu)->identity)
		return cr4;
	return (cr4 & ~(u64)(X86_CR4_PAE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE |
			     X86_CR4_LA57 | X86_CR4_PCIDE)) | X86_CR4_PSE;
}
