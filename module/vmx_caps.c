// SPDX-License-Identifier: GPL-2.0-only
/* VMX: whether this machine has it, what it can do, and what of that is used. */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/module.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "backend.h"
#include "vmx.h"
#include "vmx_judge.h"

UMBRA_FEATURE_PARAM(ept, "Intel's nested paging");
UMBRA_FEATURE_PARAM(vpid, "translations that Intel CPUs tag by guest");
UMBRA_FEATURE_PARAM(unrestricted_guest, "real mode that Intel CPUs run as it is");
UMBRA_FEATURE_PARAM(true_controls, "the true capability MSRs of Intel CPUs");
UMBRA_FEATURE_PARAM(pml, "Intel CPUs' log of the pages that a guest writes");
UMBRA_FEATURE_PARAM(apicv, "Intel CPUs' own work on the registers of a guest's APIC");
UMBRA_FEATURE_PARAM(preemption_timer, "Intel's preemption timer for a guest's LAPIC");

struct vmx_controls vmx_controls __ro_after_init;

u32 vmx_probe(void)
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

/* «Algorithms for Determining VMX Capabilities»: the true ones, where a CPU has them. */
#define capability(name)	(true_controls ? MSR_IA32_VMX_TRUE_##name : MSR_IA32_VMX_##name)

#define PIN_WANTED	(PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS)
#define PRIMARY_WANTED	(CPU_BASED_HLT_EXITING | CPU_BASED_USE_TSC_OFFSETTING |		\
			 CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |		\
			 CPU_BASED_RDPMC_EXITING | CPU_BASED_MOV_DR_EXITING |		\
			 CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_USE_MSR_BITMAPS |	\
			 CPU_BASED_TPR_SHADOW | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
#define SECONDARY_MAY	(SECONDARY_EXEC_WBINVD_EXITING | VMX_SECONDARY_XSAVES |			\
			 SECONDARY_EXEC_ENCLS_EXITING | SECONDARY_EXEC_PAUSE_LOOP_EXITING)
#define EXIT_WANTED	(VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_DEBUG_CONTROLS)
#define EXIT_MAY	(VM_EXIT_SAVE_IA32_PAT | VM_EXIT_LOAD_IA32_PAT |			\
			 VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER)
#define ENTRY_WANTED	VM_ENTRY_LOAD_DEBUG_CONTROLS
#define ENTRY_MAY	(VM_ENTRY_LOAD_IA32_PAT | VM_ENTRY_LOAD_IA32_EFER)

/* It is the guest's TSC that deadlines are compared with, which must not be slewed or halt. */
static void read_timer(void)
{
	u64 pin, misc;

	if (rdmsrl_safe(capability(PINBASED_CTLS), &pin) ||
	    !(pin >> 32 & PIN_BASED_VMX_PREEMPTION_TIMER) || !boot_cpu_has(X86_FEATURE_CONSTANT_TSC))
		preemption_timer = false;
	if (!preemption_timer)
		return;
	rdmsrl(MSR_IA32_VMX_MISC, misc);
	vmx_controls.timer_shift = vmx_misc_preemption_timer_rate(misc);
}

/* All controls that switch an MSR, or none of them. */
static bool switches(u32 exit, u32 entry)
{
	struct vmx_controls *c = &vmx_controls;

	if ((c->exit & exit) == exit && c->entry & entry)
		return true;
	c->exit &= ~exit;
	c->entry &= ~entry;
	return false;
}

static int read_controls(void)
{
	struct vmx_controls *c = &vmx_controls;
	u32 may = SECONDARY_MAY;
	u64 basic;
	int r;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	c->revision = vmx_basic_vmcs_revision_id(basic);
	if (!(basic & BIT_ULL(55)))
		true_controls = false;
	if (vpid)
		may |= SECONDARY_EXEC_ENABLE_VPID;
	/* Where loads of CR3 can't but exit the CPU has no use for it. */
	ept &= true_controls;
	if (ept)
		may |= SECONDARY_EXEC_ENABLE_EPT;
	if (ept && unrestricted_guest)
		may |= SECONDARY_EXEC_UNRESTRICTED_GUEST;
	if (apicv)
		may |= VMX_SECONDARY_APICV | VMX_SECONDARY_APIC_PAGE;
	if (pml)
		may |= SECONDARY_EXEC_ENABLE_PML;
	/* Without a rate that stays there is nothing to scale. */
	if (boot_cpu_has(X86_FEATURE_CONSTANT_TSC) && tsc_khz)
		may |= SECONDARY_EXEC_TSC_SCALING;
	r = choose_controls(capability(PINBASED_CTLS), PIN_WANTED, 0, &c->pin) ?:
	    choose_controls(capability(PROCBASED_CTLS), PRIMARY_WANTED, 0, &c->primary) ?:
	    choose_controls(MSR_IA32_VMX_PROCBASED_CTLS2, 0, may, &c->secondary) ?:
	    choose_controls(capability(EXIT_CTLS), EXIT_WANTED, EXIT_MAY, &c->exit) ?:
	    choose_controls(capability(ENTRY_CTLS), ENTRY_WANTED, ENTRY_MAY, &c->entry);
	if (r)
		return r;
	c->switches_pat = switches(VM_EXIT_SAVE_IA32_PAT | VM_EXIT_LOAD_IA32_PAT,
				   VM_ENTRY_LOAD_IA32_PAT);
	c->switches_efer = switches(VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER,
				    VM_ENTRY_LOAD_IA32_EFER);
	return 0;
}

/* Is EPT all that the hardware mode wants of it? @words: IA32_VMX_EPT_VPID_CAP. */
static bool usable_ept(u64 words)
{
	const u64 wanted = VMX_EPT_PAGE_WALK_4_BIT | VMX_EPTP_WB_BIT | VMX_EPT_2MB_PAGE_BIT |
			   VMX_EPT_INVEPT_BIT | VMX_EPT_EXTENT_CONTEXT_BIT;
	const struct vmx_controls *c = &vmx_controls;

	if (!(c->secondary & SECONDARY_EXEC_ENABLE_EPT))
		return false;
	if ((words & wanted) == wanted && c->switches_pat && c->switches_efer)
		return true;
	pr_warn("this CPU's EPT lacks 4 levels, write-back, 2M pages, INVEPT, or a switch of PAT and EFER: shadow modes only\n");
	return false;
}

static void read_paging(struct umbra_backend_caps *caps)
{
	const u32 invvpid = VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT;
	struct vmx_controls *c = &vmx_controls;
	u64 words;

	/* A CPU with neither has no such MSR. */
	if (rdmsrl_safe(MSR_IA32_VMX_EPT_VPID_CAP, &words))
		words = 0;
	ept = usable_ept(words);
	if (!ept)
		c->secondary &= ~VMX_SECONDARY_NESTED;
	unrestricted_guest = c->secondary & SECONDARY_EXEC_UNRESTRICTED_GUEST;
	c->eptp = VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;
	if (words & VMX_EPT_AD_BIT)
		c->eptp |= VMX_EPTP_AD_ENABLE_BIT;
	if (((words >> 32) & invvpid) != invvpid)
		c->secondary &= ~SECONDARY_EXEC_ENABLE_VPID;
	c->vpid = c->secondary & SECONDARY_EXEC_ENABLE_VPID;
	c->invvpid_gva = words >> 32 & VMX_VPID_EXTENT_INDIVIDUAL_ADDR_BIT;
	vpid = c->vpid;
	caps->hardware_paging = ept;
	caps->ept = true;
	caps->paging_levels = 4;
	caps->gbpages = words & VMX_EPT_1GB_PAGE_BIT;
	/* It goes by the dirty bit. */
	pml = c->secondary & SECONDARY_EXEC_ENABLE_PML && words & VMX_EPT_AD_BIT;
	if (!pml)
		c->secondary &= ~SECONDARY_EXEC_ENABLE_PML;
	caps->write_log = pml;
}

/*
 * Each vCPU turns it on for itself. It delivers by the guest's IDT, which a guest in
 * real mode has only with unrestricted guest.
 */
static void read_apicv(void)
{
	struct vmx_controls *c = &vmx_controls;

	apicv = (c->secondary & VMX_SECONDARY_APICV) == VMX_SECONDARY_APICV && unrestricted_guest;
	c->apic_page = apicv && c->secondary & SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;
	c->secondary &= ~(VMX_SECONDARY_APICV | VMX_SECONDARY_APIC_PAGE);
}

int vmx_read_caps(struct umbra_backend_caps *caps)
{
	int r = read_controls();

	if (r)
		return r;
	read_paging(caps);
	read_apicv();
	caps->apicv = apicv;
	caps->next_rip = true;
	/* Each vCPU turns it on for itself, where its rate is another. */
	caps->tsc_scaling = vmx_controls.secondary & SECONDARY_EXEC_TSC_SCALING;
	vmx_controls.secondary &= ~SECONDARY_EXEC_TSC_SCALING;
	caps->tsc_aux = boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
	/* The guest runs with the host's SPEC_CTRL, and does not see the MSR. */
	caps->spec_ctrl = 0;
	rdmsrl(MSR_EFER, caps->host_efer);
	read_timer();
	caps->exit_timer = preemption_timer;
	return 0;
}
