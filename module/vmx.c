// SPDX-License-Identifier: GPL-2.0-only
/*
 * Intel's VMX: the machine, its CPUs, the vCPUs' control structures, and the way
 * into the guest and out of it. Titles in «» are sections of the manual, volume 3.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/mmu_context.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>
#include <asm/spec-ctrl.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "compat.h"
#include "guest_state.h"
#include "hardware.h"
#include "vmx.h"
#include "vmx_judge.h"

/* The name in the kernel's header has changed. */
#define SECONDARY_XSAVES	VMCS_CONTROL_BIT(XSAVES)

static bool ept = true;
module_param(ept, bool, 0444);
MODULE_PARM_DESC(ept, "use Intel's nested paging where the CPU has it (default on)");

static bool vpid = true;
module_param(vpid, bool, 0444);
MODULE_PARM_DESC(vpid, "tag translations by guest where Intel CPUs can (default on)");

/**
 * struct vmx_cpu - a CPU that runs guests; its own, with interrupts off
 * @enabled: VMX is on here, by us
 * @vmcss: VMCSs that this CPU may hold, &vmx_vcpu.link
 * @current_vmcs: the one that VMREAD reads
 * @last_vcpu: &vmx_vcpu.id of the guest that ran last
 * @vmxon: what VMXON wants
 */
struct vmx_cpu {
	bool enabled;
	struct list_head vmcss;
	struct vmx_vcpu *current_vmcs;
	u64 last_vcpu;
	void *vmxon;
};

static DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);

struct vmx_controls vmx_controls __ro_after_init;
static DEFINE_IDA(vpids);
static atomic64_t last_id;

#define VPID_MAX	0xffff

/* ------------------------------ the machine ------------------------------ */

static u32 vmx_probe(void)
{
	struct vmx_words words = { .features_ecx = cpuid_ecx(1), .cr4 = __read_cr4() };

	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &words.feature_control))
		words.feature_control = 0;
	return vmx_judge(&words);
}

/*
 * «Reserved Controls and Default Settings»: the low half of a capability MSR has what
 * must be on, the high half what may be. @want must be there; @may is taken where it is.
 */
static int choose_controls(u32 msr, u32 want, u32 may, u32 *controls)
{
	u64 caps;
	u32 must, can;

	if (rdmsrl_safe(msr, &caps))
		return -EOPNOTSUPP;
	must = caps;
	can = caps >> 32;
	if (want & ~can) {
		pr_err("this CPU's VMX lacks controls: MSR 0x%x, bits 0x%x; Umbra needs them\n",
		       msr, want & ~can);
		return -EOPNOTSUPP;
	}
	*controls = must | want | (may & can);
	return 0;
}

#define PIN_WANTED	(PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS)
#define PRIMARY_WANTED	(CPU_BASED_HLT_EXITING | CPU_BASED_USE_TSC_OFFSETTING |		\
			 CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |		\
			 CPU_BASED_RDPMC_EXITING | CPU_BASED_MOV_DR_EXITING |		\
			 CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_USE_MSR_BITMAPS |	\
			 CPU_BASED_TPR_SHADOW | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
/* What exits by default and need not: the «true» capability MSRs may let it go. */
#define PRIMARY_UNWANTED (CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |	\
			  CPU_BASED_INVLPG_EXITING)
#define SECONDARY_WANTED (SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST)
#define SECONDARY_MAY	(SECONDARY_EXEC_WBINVD_EXITING | SECONDARY_XSAVES |			\
			 SECONDARY_EXEC_ENCLS_EXITING)
#define EXIT_WANTED	(VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_DEBUG_CONTROLS |	\
			 VM_EXIT_SAVE_IA32_PAT | VM_EXIT_LOAD_IA32_PAT |			\
			 VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER)
#define ENTRY_WANTED	(VM_ENTRY_LOAD_DEBUG_CONTROLS | VM_ENTRY_LOAD_IA32_PAT |		\
			 VM_ENTRY_LOAD_IA32_EFER)

/* Asked first, of the MSRs that the oldest CPUs have too. */
static bool may_secondary(u32 bit)
{
	u64 primary, secondary;

	if (rdmsrl_safe(MSR_IA32_VMX_PROCBASED_CTLS, &primary) ||
	    !(primary >> 32 & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS) ||
	    rdmsrl_safe(MSR_IA32_VMX_PROCBASED_CTLS2, &secondary))
		return false;
	return secondary >> 32 & bit;
}

static int read_controls(void)
{
	struct vmx_controls *c = &vmx_controls;
	u32 may = SECONDARY_MAY;
	u64 basic;
	int r;

	if (!may_secondary(SECONDARY_EXEC_UNRESTRICTED_GUEST)) {
		pr_err("this CPU's VMX has no unrestricted guest: no guest could start in real mode, and no way without it is built\n");
		return -EOPNOTSUPP;
	}
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	c->revision = vmx_basic_vmcs_revision_id(basic);
	if (!(basic & BIT_ULL(55))) {
		pr_err("this CPU's VMX has no true capability MSRs; Umbra needs them\n");
		return -EOPNOTSUPP;
	}
	if (vpid)
		may |= SECONDARY_EXEC_ENABLE_VPID;
	may |= SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	r = choose_controls(MSR_IA32_VMX_TRUE_PINBASED_CTLS, PIN_WANTED, 0, &c->pin) ?:
	    choose_controls(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, PRIMARY_WANTED, 0, &c->primary) ?:
	    choose_controls(MSR_IA32_VMX_PROCBASED_CTLS2, SECONDARY_WANTED, may, &c->secondary) ?:
	    choose_controls(MSR_IA32_VMX_TRUE_EXIT_CTLS, EXIT_WANTED, 0, &c->exit) ?:
	    choose_controls(MSR_IA32_VMX_TRUE_ENTRY_CTLS, ENTRY_WANTED, 0, &c->entry);
	if (r)
		return r;
	c->pause_loops = c->secondary & SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	return 0;
}

static int read_paging(struct umbra_backend_caps *caps)
{
	const u64 single = VMX_EPT_INVEPT_BIT | VMX_EPT_EXTENT_CONTEXT_BIT;
	const u32 invvpid = VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT;
	struct vmx_controls *c = &vmx_controls;
	u64 ept;

	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, ept);
	if (!(ept & VMX_EPT_PAGE_WALK_4_BIT) || !(ept & VMX_EPTP_WB_BIT) ||
	    !(ept & VMX_EPT_2MB_PAGE_BIT) || (ept & single) != single) {
		pr_err("this CPU's EPT lacks 4 levels, write-back, 2M pages or INVEPT; Umbra needs them\n");
		return -EOPNOTSUPP;
	}
	c->invept = VMX_EPT_EXTENT_CONTEXT;
	c->eptp = VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;
	if (ept & VMX_EPT_AD_BIT)
		c->eptp |= VMX_EPTP_AD_ENABLE_BIT;
	if (((ept >> 32) & invvpid) != invvpid)
		c->secondary &= ~SECONDARY_EXEC_ENABLE_VPID;
	c->vpid = c->secondary & SECONDARY_EXEC_ENABLE_VPID;
	vpid = c->vpid;
	caps->ept = true;
	caps->paging_levels = 4;
	caps->gbpages = ept & VMX_EPT_1GB_PAGE_BIT;
	return 0;
}

static void vmx_unsetup(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		free_page((unsigned long)per_cpu(vmx_cpu.vmxon, cpu));
}

static int vmx_setup(struct umbra_backend_caps *caps)
{
	int cpu, r;

	caps->hardware_paging = ept && may_secondary(SECONDARY_EXEC_ENABLE_EPT);
	ept = caps->hardware_paging;
	if (!ept)
		return 0;	/* the choice of a mode says what that means */
	r = read_controls() ?: read_paging(caps);
	if (r)
		return r;
	caps->next_rip = true;
	caps->tsc_scaling = false;
	caps->tsc_aux = boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
	/* The guest runs with the host's SPEC_CTRL, and does not see the MSR. */
	caps->spec_ctrl = 0;
	rdmsrl(MSR_EFER, caps->host_efer);

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

static void invept(u64 extent, u64 eptp)
{
	struct { u64 eptp, zero; } operand = { eptp, 0 };

	asm volatile("1: invept %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (operand), "r" (extent) : "cc", "memory");
}

static void invvpid(u64 extent, u16 id)
{
	struct { u64 vpid, address; } operand = { id, 0 };

	asm volatile("1: invvpid %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (operand), "r" (extent) : "cc", "memory");
}

static int vmx_enable_cpu(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	int r;

	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;
	cr4_set_bits_irqsoff(X86_CR4_VMXE);
	r = vmxon(__pa(c->vmxon));
	if (r) {
		cr4_clear_bits_irqsoff(X86_CR4_VMXE);
		return r;
	}
	intel_pt_handle_vmx(1);
	invept(VMX_EPT_EXTENT_GLOBAL, 0);
	c->enabled = true;
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

/* Also called in an emergency, from NMI: nothing here may lock or trace. */
static void vmx_disable_cpu(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx, *next;

	if (!c->enabled)
		return;
	c->enabled = false;
	list_for_each_entry_safe(vmx, next, &c->vmcss, link)
		forget_vmcs(c, vmx);
	asm volatile("1: vmxoff\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
	intel_pt_handle_vmx(0);
	cr4_clear_bits_irqsoff(X86_CR4_VMXE);
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
	free_page((unsigned long)vmx->virtual_apic);
	free_page((unsigned long)vmx->msr_bitmap);
	free_page((unsigned long)vmx->msrs);
	kfree(vmx);
}

static int vmx_vcpu_create(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = kzalloc(sizeof(*vmx), GFP_KERNEL_ACCOUNT);
	int id;

	if (!vmx)
		return -ENOMEM;
	/* The VM holds VMX on: VMCLEAR may be executed on any CPU. */
	vmx->vmcs = vmcs_alloc();
	vmx->virtual_apic = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->msr_bitmap = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->msrs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs || !vmx->virtual_apic || !vmx->msr_bitmap || !vmx->msrs) {
		free_vcpu(vmx);
		return -ENOMEM;
	}
	/* More guests than VPIDs: the last ones go without, which flushes at each switch. */
	id = vmx_controls.vpid ? ida_alloc_range(&vpids, 1, VPID_MAX, GFP_KERNEL) : 0;
	vmx->vpid = max(id, 0);
	vmx->id = atomic64_inc_return(&last_id);
	vmx->cpu = -1;
	vmx->primary = vmx_controls.primary & ~PRIMARY_UNWANTED;
	vmx->secondary = vmx_controls.secondary;
	if (!vmx->vpid)
		vmx->secondary &= ~SECONDARY_EXEC_ENABLE_VPID;
	vmx->eptp = vmx_controls.eptp;
	vmx_init_msrs(vmx);
	vcpu->hw = vmx;
	return 0;
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
static void write_constants(struct vmx_vcpu *vmx)
{
	struct desc_ptr idt;
	u64 value;

	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, vmx_controls.pin);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx->primary);
	vmcs_write(VM_EXIT_CONTROLS, vmx_controls.exit);
	vmcs_write(VM_ENTRY_CONTROLS, vmx_controls.entry);
	if (vmx->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (vmx_controls.pause_loops) {
		vmcs_write(PLE_GAP, 128);
		vmcs_write(PLE_WINDOW, 4096);
	}
	if (vmx->secondary & SECONDARY_XSAVES)
		vmcs_write(XSS_EXIT_BITMAP, 0);
	if (vmx->secondary & SECONDARY_EXEC_ENCLS_EXITING)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ULL);
	vmcs_write(MSR_BITMAP, __pa(vmx->msr_bitmap));
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(vmx->virtual_apic));
	vmcs_write(TPR_THRESHOLD, 0);
	vmcs_write(VMCS_LINK_POINTER, ~0ULL);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(CR0_GUEST_HOST_MASK, ~0ULL);
	vmcs_write(CR4_GUEST_HOST_MASK, ~0ULL);

	vmcs_write(VM_EXIT_MSR_STORE_COUNT, VMX_NR_MSRS);
	vmcs_write(VM_EXIT_MSR_STORE_ADDR, __pa(vmx->msrs->guest));
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, VMX_NR_MSRS);
	vmcs_write(VM_ENTRY_MSR_LOAD_ADDR, __pa(vmx->msrs->guest));
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, VMX_NR_MSRS);
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
	vmcs_write(HOST_IA32_PAT, value);
	vmcs_write(HOST_IA32_EFER, umbra_caps.host_efer);
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
		vmx->flush = true;
	}
	if (here->current_vmcs != vmx) {
		vmptrld(vmx->vmcs);
		here->current_vmcs = vmx;
	}
	if (!vmx->prepared)
		write_constants(vmx);
	if (moved)
		write_host_of_cpu(vmx);
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
	static const u32 indexes[VMX_NR_MSRS] = {
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
	for (i = 0; i < VMX_NR_MSRS; i++)
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
	vmx->flush = true;
	vmx_reset_state(vcpu, init);
}

/* ------------------------------ in and out ------------------------------ */

/* Does the guest run with breakpoints of its own or of its debugger's? */
static bool needs_drs(struct umbra_vcpu *vcpu)
{
	return to_vmx(vcpu)->dr_guest ||
	       (vcpu->regs.effective_dr7 & (DR_GLOBAL_ENABLE_MASK | DR_LOCAL_ENABLE_MASK));
}

static void load_drs(struct umbra_vcpu *vcpu)
{
	const struct umbra_regs *regs = &vcpu->regs;
	const u64 *dr = regs->guest_debug & KVM_GUESTDBG_USE_HW_BP ? regs->debug_dr : regs->dr;

	/* No breakpoint of the host's may hit on an address of the guest's, or the reverse. */
	set_debugreg(0, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
	set_debugreg(to_vmx(vcpu)->dr_guest ? regs->dr6 : DR6_RESERVED, 6);
}

/* The guest's turn with the debug registers ends with the exit. */
static void take_drs_back(struct umbra_vcpu *vcpu)
{
	struct umbra_regs *regs = &vcpu->regs;
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->dr_guest = false;
	get_debugreg(regs->dr[0], 0);
	get_debugreg(regs->dr[1], 1);
	get_debugreg(regs->dr[2], 2);
	get_debugreg(regs->dr[3], 3);
	get_debugreg(regs->dr6, 6);
	/* No exit resets it, and the host takes what it finds there for the causes of its own next #DB. */
	set_debugreg(DR6_RESERVED, 6);
	regs->dr7 = vmcs_read(GUEST_DR7);
	regs->effective_dr7 = regs->dr7;
	vmx_set_primary(vmx, CPU_BASED_MOV_DR_EXITING, true);
}

static u32 *virtual_tpr(struct vmx_vcpu *vmx)
{
	return vmx->virtual_apic + APIC_TASKPRI;
}

#define PENDING_STEP	BIT_ULL(14)	/* as in DR6 */

/*
 * «Checks on Guest Non-Register State»: in an interrupt shadow a step is pending if
 * TF is set, and else not. Outside of one none is: what a step traps behind is either
 * done, and the trap taken, or will be executed again. (Bochs 2.7 saves one at each
 * exit with TF set.)
 */
static void write_pending_debug(struct vmx_vcpu *vmx, u64 rflags)
{
	u64 pending = vmx->pending_debug & ~PENDING_STEP;

	if (rflags & X86_EFLAGS_TF && vmx->interruptibility & VMX_SHADOW)
		pending |= PENDING_STEP;
	if (pending == vmx->pending_debug)
		return;
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
	vmx->pending_debug = pending;
}

static void write_vmcs(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const struct umbra_regs *regs = &vcpu->regs;
	u64 rip = regs->rip - vmx->soft;
	u64 cr3 = __get_current_cr3_fast(), cr4 = cr4_read_shadow();

	if (rip != vmx->rip)
		vmcs_write(GUEST_RIP, rip);
	if (regs->rflags != vmx->rflags)
		vmcs_write(GUEST_RFLAGS, regs->rflags);
	write_pending_debug(vmx, regs->rflags);
	if (regs->avail & BIT(UMBRA_REG_RSP))
		vmcs_write(GUEST_RSP, regs->gpr[UMBRA_RSP]);
	if (regs->dirty & BIT(UMBRA_REG_PDPTR))
		vmx_write_pdptrs(vcpu);
	if (vmx->secondary != vmx->written_secondary)
		vmcs_write(SECONDARY_VM_EXEC_CONTROL, vmx->secondary);
	if (vmx->tsc_offset != vmx->written_offset)
		vmcs_write(TSC_OFFSET, vmx->tsc_offset);
	vmx->written_secondary = vmx->secondary;
	vmx->written_offset = vmx->tsc_offset;
	if (cr3 != vmx->host_cr3)
		vmcs_write(HOST_CR3, cr3);
	if (cr4 != vmx->host_cr4)
		vmcs_write(HOST_CR4, cr4);
	vmx->host_cr3 = cr3;
	vmx->host_cr4 = cr4;

	vmx->tpr = umbra_cr8(vcpu) & 0xf;
	*virtual_tpr(vmx) = vmx->tpr << 4;
	/* Without a LAPIC here userspace wants to know of each lowering. */
	vmx_set_primary(vmx, CPU_BASED_CR8_LOAD_EXITING,
			vcpu->lapic ? vmx->tpr_intercept : vmx->tpr);
}

static void read_vmcs(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct umbra_regs *regs = &vcpu->regs;

	vmx->rip = vmcs_read(GUEST_RIP);
	vmx->rflags = vmcs_read(GUEST_RFLAGS);
	vmx->interruptibility = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	vmx->pending_debug = 0;
	if (unlikely(vmx->rflags & X86_EFLAGS_TF || vmx->interruptibility & VMX_SHADOW))
		vmx->pending_debug = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS);
	regs->rip = vmx->rip;
	regs->rflags = vmx->rflags;
	regs->avail &= ~(BIT(UMBRA_REG_RSP) | BIT(UMBRA_REG_CR3) | BIT(UMBRA_REG_PDPTR));
	regs->dirty = 0;
}

static void flush_guest(struct vmx_vcpu *vmx)
{
	vmx->flush = false;
	invept(vmx_controls.invept, vmx->eptp);
	if (vmx->vpid)
		invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vmx->vpid);
}

/*
 * An NMI that came while the guest ran has been taken by the exit; no other comes
 * before it is served. Its handler must not find itself in what still counts as guest.
 */
static noinstr void switch_worlds(struct umbra_vcpu *vcpu)
{
	const u32 nmi = INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR;
	struct vmx_vcpu *vmx = vcpu->hw;
	u32 reason;

	umbra_guest_state_enter();
	native_write_cr2(vcpu->regs.cr2);
	vmx->failed = vmx_world_switch(vcpu->regs.gpr, vmx->launched, &vmx->host_rsp);
	/* The guest runs with the host's value, but on these CPUs an exit wants it written anew. */
	if (cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS))
		native_wrmsrl(MSR_IA32_SPEC_CTRL, this_cpu_read(x86_spec_ctrl_current));
	vcpu->regs.cr2 = native_read_cr2();
	umbra_guest_state_exit();
	if (unlikely(vmx->failed))
		return;
	reason = vmcs_read(VM_EXIT_REASON);
	vmx->reason = reason;
	if (unlikely(reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		return;
	vmx->launched = true;
	if (reason == EXIT_REASON_EXCEPTION_NMI &&
	    (vmcs_read(VM_EXIT_INTR_INFO) & (nmi | INTR_INFO_INTR_TYPE_MASK)) == nmi)
		vmx_serve_nmi();
}

static void vmx_enter(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 debugctl;
	u16 ldt;

	/* A reboot has turned VMX off: to the VMM that is a failed entry. */
	if (unlikely(!this_cpu_read(vmx_cpu.enabled))) {
		vmx->failed = true;
		return;
	}
	if (vmx->flush)
		flush_guest(vmx);
	write_vmcs(vcpu);
	if (unlikely(needs_drs(vcpu)))
		load_drs(vcpu);
	if (boot_cpu_has_bug(X86_BUG_L1TF) && boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	/* Each exit takes the LDT away; another thread may have made one since the last. */
	store_ldt(ldt);
	if (unlikely(ldt))
		vmx->host_ldt = ldt;
	/* The exit clears it; the host's own is brought back. */
	debugctl = get_debugctlmsr();

	switch_worlds(vcpu);

	if (unlikely(debugctl))
		update_debugctlmsr(debugctl);
	if (unlikely(vmx->failed))
		return;
	if (unlikely(vmx->dr_guest))
		take_drs_back(vcpu);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	read_vmcs(vcpu);
}

/* Interrupts that ended the guest's time come by themselves once they are enabled. */
static void vmx_exit_irqoff(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 info;

	if (vmx->failed)
		return;
	if (vmx->reason == EXIT_REASON_EXCEPTION_NMI) {
		info = vmcs_read(VM_EXIT_INTR_INFO);
		if ((info & (INTR_INFO_INTR_TYPE_MASK | INTR_INFO_VECTOR_MASK)) ==
		    (INTR_TYPE_HARD_EXCEPTION | X86_TRAP_MC)) {
			/* To the handler it came from userspace: the kernel itself is not hurt. */
			struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

			do_machine_check(&regs);
		}
	}
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
}

static void vmx_load_root(struct umbra_vcpu *vcpu, hpa_t root, int level)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u64 eptp = vmx_controls.eptp | root;

	if (vmx->eptp == eptp)
		return;
	vmx->eptp = eptp;
	vmcs_write(EPT_POINTER, eptp);
	vmx->flush = true;
}

static void vmx_flush_all(struct umbra_vcpu *vcpu)
{
	to_vmx(vcpu)->flush = true;
}

static void vmx_set_tsc_offset(struct umbra_vcpu *vcpu, u64 offset)
{
	to_vmx(vcpu)->tsc_offset = offset;
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

static u64 vmx_dump(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	return vmx->failed ? vmcs_read(VM_INSTRUCTION_ERROR) : vmx->reason;
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
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_put = vmx_vcpu_put,
	.prepare_switch = vmx_prepare_switch,
	.enter = vmx_enter,
	.exit_irqoff = vmx_exit_irqoff,
	.decode = vmx_decode,
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
	.interrupt_shadow = vmx_interrupt_shadow,
	.set_interrupt_shadow = vmx_set_interrupt_shadow,
	.interrupt_allowed = vmx_interrupt_allowed,
	.nmi_allowed = vmx_nmi_allowed,
	.inject_exception = vmx_inject_exception,
	.inject_irq = vmx_inject_irq,
	.inject_nmi = vmx_inject_nmi,
	.cancel_inject = vmx_cancel_inject,
	.set_tpr_intercept = vmx_set_tpr_intercept,
	.want_irq_window = vmx_want_irq_window,
	.want_nmi_window = vmx_want_nmi_window,
	.get_nmi_mask = vmx_get_nmi_mask,
	.set_nmi_mask = vmx_set_nmi_mask,
	.load_root = vmx_load_root,
	.flush_all = vmx_flush_all,
	.set_tsc_offset = vmx_set_tsc_offset,
	.update_msr_intercept = vmx_update_msr_intercept,
	.cpuid_changed = vmx_cpuid_changed,
	.dump = vmx_dump,
};
