// SPDX-License-Identifier: GPL-2.0-only
/* Intel's VMX: the CPUs, the vCPUs' control structures, and the host's state around a guest's. */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/cpufeature.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "backend.h"
#include "clockmath.h"
#include "hardware.h"
#include "irq.h"
#include "switches.h"
#include "vmx.h"

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);

static DEFINE_IDA(vpids);
static atomic64_t last_id;

#define VPID_MAX	0xffff

static void vmx_unsetup(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		free_page((unsigned long)per_cpu(vmx_cpu.vmxon, cpu));
}

static int vmx_setup(struct umbra_backend_caps *caps)
{
	int cpu, r;

	r = vmx_read_caps(caps);
	if (r)
		return r;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = per_cpu_ptr(&vmx_cpu, cpu);

		INIT_LIST_HEAD(&c->vmcss);
		c->vmxon = (void *)get_zeroed_page(GFP_KERNEL);
		if (!c->vmxon) {
			vmx_unsetup();
			return -ENOMEM;
		}
		*(u32 *)c->vmxon = vmx_controls.revision;
	}
	return 0;
}

/* ------------------------------ CPUs ------------------------------ */

static int vmxon(phys_addr_t pa)
{
	asm goto("1: vmxon %0\n"
		 "   jbe %l[failed]\n"
		 _ASM_EXTABLE(1b, %l[failed])
		 : : "m" (pa) : "cc", "memory" : failed);
	return 0;
failed:
	return -EIO;
}

static void vmclear(void *vmcs)
{
	phys_addr_t pa = __pa(vmcs);

	asm volatile("1: vmclear %0\n2:\n" _ASM_EXTABLE(1b, 2b) : : "m" (pa) : "cc", "memory");
}

static void vmptrld(void *vmcs)
{
	phys_addr_t pa = __pa(vmcs);

	asm volatile("1: vmptrld %0\n2:\n" _ASM_EXTABLE(1b, 2b) : : "m" (pa) : "cc", "memory");
}

static int vmx_enable_cpu(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	int r;

	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;
	/* First, for the NMI of a crash that comes in between. */
	c->enabled = true;
	cr4_set_bits_irqsoff(X86_CR4_VMXE);
	r = vmxon(__pa(c->vmxon));
	if (r) {
		cr4_clear_bits_irqsoff(X86_CR4_VMXE);
		c->enabled = false;
		return r;
	}
	intel_pt_handle_vmx(1);
	if (umbra_caps.hardware_paging)
		vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
	return 0;
}

/* The CPU gives the VMCS up; interrupts off. */
static void forget_vmcs(struct vmx_cpu *c, struct vmx_vcpu *vmx)
{
	vmclear(vmx->vmcs);
	if (c->current_vmcs == vmx)
		c->current_vmcs = NULL;
	list_del(&vmx->link);
	vmx->cpu = -1;
	vmx->launched = false;
}

/*
 * Also called in an emergency, from NMI: nothing here may lock or trace. That may come in the
 * middle of this, of vmx_enable_cpu(), or of a change of the list, which is whole forwards then.
 */
static void vmx_disable_cpu(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx;

	if (!c->enabled)
		return;
	list_for_each_entry(vmx, &c->vmcss, link) {
		vmclear(vmx->vmcs);
		vmx->cpu = -1;
		vmx->launched = false;
	}
	INIT_LIST_HEAD(&c->vmcss);
	c->current_vmcs = NULL;
	asm volatile("1: vmxoff\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
	intel_pt_handle_vmx(0);
	cr4_clear_bits_irqsoff(X86_CR4_VMXE);
	c->enabled = false;
}

/* ------------------------------ vCPUs ------------------------------ */

static void *vmcs_alloc(void)
{
	void *vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (vmcs) {
		*(u32 *)vmcs = vmx_controls.revision;
		vmclear(vmcs);
	}
	return vmcs;
}

static void free_vcpu(struct vmx_vcpu *vmx)
{
	if (vmx->vpid)
		ida_free(&vpids, vmx->vpid);
	free_page((unsigned long)vmx->vmcs);
	free_page((unsigned long)vmx->own_apic);
	free_page((unsigned long)vmx->msr_bitmap);
	free_page((unsigned long)vmx->msrs);
	free_page((unsigned long)vmx->pml);
	kfree(vmx->real);
	kfree(vmx->counts);
	kfree(vmx);
}

/* What this VM's guests may do by themselves after all. */
static void leave_exits(struct vmx_vcpu *vmx, const struct umbra_vm *vm)
{
	if (umbra_lets(vm, KVM_X86_DISABLE_EXITS_HLT))
		vmx->primary &= ~CPU_BASED_HLT_EXITING;
	if (umbra_lets(vm, KVM_X86_DISABLE_EXITS_PAUSE))
		vmx->secondary &= ~SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	if (umbra_lets(vm, KVM_X86_DISABLE_EXITS_MWAIT))
		vmx->primary &= ~(CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING);
}

static int vmx_vcpu_create(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = kzalloc(sizeof(*vmx), GFP_KERNEL_ACCOUNT);
	bool lapic = umbra_irqchip_in_kernel(vcpu->vm);
	int id, r;

	if (!vmx)
		return -ENOMEM;
	/* The VM holds VMX on: VMCLEAR may be executed on any CPU. */
	vmx->vmcs = vmcs_alloc();
	vmx->own_apic = lapic ? NULL : (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->msr_bitmap = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->msrs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (umbra_mmu_cpu_logs(vcpu->vm))
		vmx->pml = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs || !(lapic || vmx->own_apic) || !vmx->msr_bitmap || !vmx->msrs ||
	    !(vmx->pml || !umbra_mmu_cpu_logs(vcpu->vm))) {
		free_vcpu(vmx);
		return -ENOMEM;
	}
	/* More guests than VPIDs: the last ones go without, which flushes at each switch. */
	id = vmx_controls.vpid ? ida_alloc_range(&vpids, 1, VPID_MAX, GFP_KERNEL) : 0;
	vmx->vpid = max(id, 0);
	vmx->id = atomic64_inc_return(&last_id);
	vmx->cpu = -1;
	vmx->pin = vmx_controls.pin;
	vmx->primary = vmx_controls.primary & ~VMX_PRIMARY_UNWANTED;
	vmx->secondary = vmx_controls.secondary;
	if (!vmx->vpid)
		vmx->secondary &= ~SECONDARY_EXEC_ENABLE_VPID;
	if (vcpu->mmu.shadow)
		vmx->secondary &= ~VMX_SECONDARY_NESTED;
	if (!vmx->pml)
		vmx->secondary &= ~SECONDARY_EXEC_ENABLE_PML;
	leave_exits(vmx, vcpu->vm);
	vmx->todo.flush = true;
	vmx->todo.write = true;
	vmx->todo.tpr = vmx->own_apic;
	vmx->eptp = vmx_controls.eptp;
	vmx_init_msrs(vmx);
	vmx->counts = vmx_counts_alloc();
	vcpu->hw = vmx;
	r = lapic && vmx_controls.apic_page ? umbra_mmu_make_apic_page(vcpu->vm) : 0;
	r = r ?: vmx_real_create(vcpu);
	if (r) {
		vcpu->hw = NULL;
		free_vcpu(vmx);
	}
	return r;
}

static void forget_here(void *arg)
{
	struct vmx_vcpu *vmx = arg;
	unsigned long flags;

	local_irq_save(flags);
	if (vmx->cpu == smp_processor_id())
		forget_vmcs(this_cpu_ptr(&vmx_cpu), vmx);
	local_irq_restore(flags);
}

/* Take the VMCS from the CPU that holds it, if one does. Preemption off or not loaded. */
static void take_vmcs(struct vmx_vcpu *vmx)
{
	int cpu = READ_ONCE(vmx->cpu);

	/* A CPU that has gone offline has given it up on its way. */
	if (cpu >= 0)
		smp_call_function_single(cpu, forget_here, vmx, 1);
}

static void vmx_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!vmx)
		return;
	vcpu->hw = NULL;
	take_vmcs(vmx);
	free_vcpu(vmx);
}

/* Fields that never change, but with the CPU: write_host_of_cpu(). */
static void write_constants(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int msrs = vmx_controls.switches_efer ? VMX_NR_PASSED : VMX_NR_MSRS;
	struct desc_ptr idt;
	u64 value;

	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, vmx->pin);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx->primary);
	vmcs_write(VM_EXIT_CONTROLS, vmx_controls.exit);
	vmcs_write(VM_ENTRY_CONTROLS, vmx_controls.entry);
	if (vmx->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (vmx->secondary & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		vmcs_write(PLE_GAP, 128);
		vmcs_write(PLE_WINDOW, 4096);
	}
	if (vmx->secondary & VMX_SECONDARY_XSAVES)
		vmcs_write(XSS_EXIT_BITMAP, 0);
	if (vmx->secondary & SECONDARY_EXEC_ENCLS_EXITING)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ULL);
	if (vmx->pml) {
		vmcs_write(PML_ADDRESS, __pa(vmx->pml));
		vmcs_write(GUEST_PML_INDEX, VMX_PML_ENTRIES - 1);
	}
	vmcs_write(MSR_BITMAP, __pa(vmx->msr_bitmap));
	vmx->virtual_apic = vmx->own_apic ?: umbra_lapic_page(vcpu);
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(vmx->virtual_apic));
	vmcs_write(TPR_THRESHOLD, 0);
	if (vcpu->vm->mmu.apic_page)
		vmcs_write(APIC_ACCESS_ADDR, __pa(vcpu->vm->mmu.apic_page));
	vmcs_write(VMCS_LINK_POINTER, ~0ULL);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(CR0_GUEST_HOST_MASK, ~0ULL);
	vmcs_write(CR4_GUEST_HOST_MASK, ~0ULL);

	vmcs_write(VM_EXIT_MSR_STORE_COUNT, VMX_NR_PASSED);
	vmcs_write(VM_EXIT_MSR_STORE_ADDR, __pa(vmx->msrs->guest));
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, msrs);
	vmcs_write(VM_ENTRY_MSR_LOAD_ADDR, __pa(vmx->msrs->guest));
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, msrs);
	vmcs_write(VM_EXIT_MSR_LOAD_ADDR, __pa(vmx->msrs->host));

	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_IA32_DEBUGCTL, 0);

	vmcs_write(HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	store_idt(&idt);
	vmcs_write(HOST_IDTR_BASE, idt.address);
	vmcs_write(HOST_RIP, (unsigned long)vmx_left_guest);
	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmcs_write(HOST_IA32_SYSENTER_CS, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmcs_write(HOST_IA32_SYSENTER_EIP, value);
	rdmsrl(MSR_IA32_CR_PAT, value);
	if (vmx_controls.switches_pat)
		vmcs_write(HOST_IA32_PAT, value);
	if (vmx_controls.switches_efer)
		vmcs_write(HOST_IA32_EFER, umbra_caps.host_efer);
	vmx->msrs->host[VMX_MSR_EFER].value = umbra_caps.host_efer;
	vmx->prepared = true;
}

static unsigned long tss_base(const struct desc_ptr *gdt)
{
	const struct ldttss_desc *tss = (void *)(gdt->address + GDT_ENTRY_TSS * 8);

	return tss->base0 | tss->base1 << 16 | (unsigned long)tss->base2 << 24 |
	       (unsigned long)tss->base3 << 32;
}

/* What of the host's state is this CPU's own. */
static void write_host_of_cpu(struct vmx_vcpu *vmx)
{
	struct desc_ptr gdt;
	u64 value;

	native_store_gdt(&gdt);
	vmcs_write(HOST_GDTR_BASE, gdt.address);
	vmcs_write(HOST_TR_BASE, tss_base(&gdt));
	rdmsrl(MSR_IA32_SYSENTER_ESP, value);
	vmcs_write(HOST_IA32_SYSENTER_ESP, value);
	rdmsrl(MSR_GS_BASE, value);
	vmcs_write(HOST_GS_BASE, value);
	vmx->host_cr3 = 0;
	vmx->host_cr4 = 0;
}

static void vmx_vcpu_load(struct umbra_vcpu *vcpu, int cpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_cpu *here = this_cpu_ptr(&vmx_cpu);
	bool moved = vmx->cpu != cpu;
	unsigned long flags;

	if (moved) {
		take_vmcs(vmx);
		local_irq_save(flags);
		list_add(&vmx->link, &here->vmcss);
		vmx->cpu = cpu;
		local_irq_restore(flags);
		/* What this CPU has cached of the guest is older than what another did. */
		vmx->todo.flush = true;
	}
	if (here->current_vmcs != vmx) {
		vmptrld(vmx->vmcs);
		here->current_vmcs = vmx;
	}
	if (!vmx->prepared)
		write_constants(vcpu);
	if (moved)
		write_host_of_cpu(vmx);
	/* KVM_SET_REGS takes a guest into vm86 mode, or out of it, without a word. */
	if (vmx_restricted(vmx) && (vmx->rflags ^ vcpu->regs.rflags) & X86_EFLAGS_VM)
		vcpu->emulate |= UMBRA_EMULATE_ASK;
}

/*
 * Give the host back what an exit loses: data segments, selectors of FS and GS that
 * name the LDT or have a privilege, the LDT, and the limits of TSS and GDT.
 */
static void vmx_vcpu_put(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long flags;
	u64 kernel_gs;

	if (!vmx->host_saved)
		return;
	vmx->host_saved = false;
	kernel_gs = vmx->msrs->host[VMX_MSR_KERNEL_GS].value;
	if (vmx->host_ldt)
		asm volatile("lldt %0" : : "rm" (vmx->host_ldt));
	if (vmx->host_fs) {
		u64 base;

		rdmsrl(MSR_FS_BASE, base);
		loadsegment(fs, vmx->host_fs);
		wrmsrl(MSR_FS_BASE, base);
	}
	if (vmx->host_gs) {
		local_irq_save(flags);
		load_gs_index(vmx->host_gs);
		local_irq_restore(flags);
		wrmsrl(MSR_KERNEL_GS_BASE, kernel_gs);
	}
	if (vmx->host_ds || vmx->host_es) {
		loadsegment(ds, vmx->host_ds);
		loadsegment(es, vmx->host_es);
	}
	invalidate_tss_limit();
	load_fixmap_gdt(raw_smp_processor_id());
}

/* The host's state that goes with the thread. The kernel does not use it. */
static void save_host(struct vmx_vcpu *vmx)
{
	static const u32 indexes[VMX_NR_PASSED] = {
		MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE,
	};
	u64 value;
	int i;

	savesegment(ds, vmx->host_ds);
	savesegment(es, vmx->host_es);
	savesegment(fs, vmx->host_fs);
	savesegment(gs, vmx->host_gs);
	store_ldt(vmx->host_ldt);
	rdmsrl(MSR_FS_BASE, value);
	vmcs_write(HOST_FS_BASE, value);
	for (i = 0; i < VMX_NR_PASSED; i++)
		rdmsrl(indexes[i], vmx->msrs->host[i].value);
	vmx->host_saved = true;
}

static void vmx_prepare_switch(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_cpu *here = this_cpu_ptr(&vmx_cpu);

	if (!vmx->host_saved)
		save_host(vmx);
	if (umbra_caps.tsc_aux)
		umbra_load_tsc_aux(vcpu->msrs.tsc_aux);
	if (here->last_vcpu == vmx->id)
		return;
	/* Another guest ran here: it must not have trained the branches of this one. */
	here->last_vcpu = vmx->id;
	indirect_branch_prediction_barrier();
}

static void vmx_vcpu_reset(struct umbra_vcpu *vcpu, bool init)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmx->interruptibility = ~0U;
	vmx_set_interruptibility(vmx, 0);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmx->pending_debug = 0;
	vmx->soft = false;
	vmx->dr_guest = false;
	vmx_set_primary(vmx, CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING, false);
	vmx_set_primary(vmx, CPU_BASED_MOV_DR_EXITING, true);
	vmx_set_tpr_threshold(vcpu, 0);
	vmx_reset_state(vcpu, init);
}

static void vmx_load_root(struct umbra_vcpu *vcpu, hpa_t root, int level)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 eptp = vmx_controls.eptp | root;

	if (vcpu->mmu.shadow) {
		/* Outside long mode what it points to may be new although it is the same. */
		vmcs_write(GUEST_CR3, root);
		vmx->todo.flush = true;
		return;
	}
	if (vmx->eptp == eptp)
		return;
	vmx->eptp = eptp;
	vmcs_write(EPT_POINTER, eptp);
	vmx->todo.flush = true;
}

static void vmx_flush_all(struct umbra_vcpu *vcpu)
{
	to_vmx(vcpu)->todo.flush = true;
}

/* On whatever CPU this runs: one that the guest moves to flushes all. */
static void vmx_flush_gva(struct umbra_vcpu *vcpu, gva_t gva)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->vpid && vmx_controls.invvpid_gva)
		vmx_invvpid(VMX_VPID_EXTENT_INDIVIDUAL_ADDR, vmx->vpid, gva);
	else
		vmx->todo.flush = true;
}

static void vmx_set_timer(struct umbra_vcpu *vcpu, u64 deadline)
{
	to_vmx(vcpu)->timer = deadline;
	to_vmx(vcpu)->todo.timer = true;
}

static void vmx_set_tsc_offset(struct umbra_vcpu *vcpu, u64 offset)
{
	to_vmx(vcpu)->tsc_offset = offset;
	to_vmx(vcpu)->todo.write = true;
}

static void vmx_set_tsc_multiplier(struct umbra_vcpu *vcpu, u64 multiplier)
{
	to_vmx(vcpu)->tsc_multiplier = multiplier;
	vmx_set_secondary(to_vmx(vcpu), SECONDARY_EXEC_TSC_SCALING,
			  multiplier != UMBRA_TSC_MULTIPLIER_ONE);
}

/* Instructions that the CPU has and this guest must not. */
static void vmx_cpuid_changed(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const struct kvm_cpuid_entry2 *leaf7 = umbra_cpuid_find(vcpu, 7, 0);
	bool invpcid = leaf7 && (leaf7->ebx & BIT(10));

	vmx_set_secondary(vmx, SECONDARY_EXEC_ENABLE_RDTSCP,
			  vcpu->cpuid.rdtscp && boot_cpu_has(X86_FEATURE_RDTSCP));
	vmx_set_secondary(vmx, SECONDARY_EXEC_ENABLE_INVPCID,
			  invpcid && boot_cpu_has(X86_FEATURE_INVPCID));
}

const struct umbra_backend_ops umbra_vmx_ops = {
	.name = "VMX",
	.paging_name = "EPT",
	.paging_param = "ept",
	.owner_module = "kvm_intel",
	.probe = vmx_probe,
	.setup = vmx_setup,
	.unsetup = vmx_unsetup,
	.enable_cpu = vmx_enable_cpu,
	.disable_cpu = vmx_disable_cpu,
	.vm_destroy = vmx_vm_destroy,
	.prepare_shadow = vmx_prepare_shadow,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_put = vmx_vcpu_put,
	.prepare_switch = vmx_prepare_switch,
	.enter = vmx_enter,
	.exit_irqoff = vmx_exit_irqoff,
	.decode = vmx_decode,
	.exit_words = vmx_exit_words,
	.cache_reg = vmx_cache_reg,
	.get_segment = vmx_get_segment,
	.set_segment = vmx_set_segment,
	.get_dt = vmx_get_dt,
	.set_dt = vmx_set_dt,
	.set_cr0 = vmx_set_cr0,
	.set_cr3 = vmx_set_cr3,
	.set_cr4 = vmx_set_cr4,
	.set_efer = vmx_set_efer,
	.set_dr7 = vmx_set_dr7,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.get_cpl = vmx_get_cpl,
	.code64 = vmx_code64,
	.unfit = vmx_unfit,
	.interrupt_shadow = vmx_interrupt_shadow,
	.set_interrupt_shadow = vmx_set_interrupt_shadow,
	.interrupt_allowed = vmx_interrupt_allowed,
	.nmi_allowed = vmx_nmi_allowed,
	.inject_exception = vmx_inject_exception,
	.inject_irq = vmx_inject_irq,
	.inject_nmi = vmx_inject_nmi,
	.cancel_inject = vmx_cancel_inject,
	.set_tpr_threshold = vmx_set_tpr_threshold,
	.want_irq_window = vmx_want_irq_window,
	.want_nmi_window = vmx_want_nmi_window,
	.get_nmi_mask = vmx_get_nmi_mask,
	.set_nmi_mask = vmx_set_nmi_mask,
	.mode_changed = vmx_mode_changed,
	.load_root = vmx_load_root,
	.flush_all = vmx_flush_all,
	.flush_gva = vmx_flush_gva,
	.set_tsc_offset = vmx_set_tsc_offset,
	.set_tsc_multiplier = vmx_set_tsc_multiplier,
	.filter_msrs = vmx_filter_msrs,
	.cpuid_changed = vmx_cpuid_changed,
	.set_timer = vmx_set_timer,
	.set_apic_virt = vmx_set_apic_virt,
	.apic_changed = vmx_apic_changed,
	.vmcs_counts = vmx_vmcs_counts,
	.dump = vmx_dump,
	.describe_failure = vmx_describe_failure,
};
