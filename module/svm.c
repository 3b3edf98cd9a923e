// SPDX-License-Identifier: GPL-2.0-only
/*
 * AMD's SVM: the machine, its CPUs, the vCPUs' control blocks, and the way into
 * the guest and out of it. Titles in «» are sections of the manual, volume 2.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/spec-ctrl.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "guest_state.h"
#include "hardware.h"
#include "switches.h"
#include "svm.h"
#include "svm_judge.h"

UMBRA_FEATURE_PARAM(npt, "AMD's nested paging");
UMBRA_FEATURE_PARAM(nrips, "the next RIP that AMD CPUs save at an exit");

/**
 * struct svm_cpu - a CPU that runs guests; its own, with preemption off
 * @enabled: SVM is on here, by us
 * @asids: what it has given out
 * @last_vcpu: &svm_vcpu.id of the guest that ran last
 * @hsave: page where VMRUN keeps the host's state
 * @host: page where VMSAVE keeps the rest of it
 * @host_pa: its address
 */
struct svm_cpu {
	bool enabled;
	struct svm_asid_cpu asids;
	u64 last_vcpu;
	struct page *hsave;
	struct page *host;
	u64 host_pa;
};

static DEFINE_PER_CPU(struct svm_cpu, svm_cpu);

static u32 max_asid __ro_after_init;
static struct page *iopm __ro_after_init;
static atomic64_t last_id;

/* «I/O Intercepts»: a bit a port, and those of an access beyond port 65535. */
#define IOPM_ORDER	2

static u32 svm_probe(void)
{
	struct svm_words words = { .max_extended = cpuid_eax(0x80000000) };

	if (words.max_extended >= 0x80000001)
		words.extended_ecx = cpuid_ecx(0x80000001);
	if (rdmsrl_safe(MSR_VM_CR, &words.vm_cr))
		words.vm_cr = 0;
	rdmsrl(MSR_EFER, words.efer);
	return svm_judge(&words);
}

static void free_pages_of_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpu, cpu);

		if (c->hsave)
			__free_page(c->hsave);
		if (c->host)
			__free_page(c->host);
	}
}

static int alloc_pages_of_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpu, cpu);

		c->hsave = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		c->host = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!c->hsave || !c->host)
			return -ENOMEM;
		c->host_pa = page_to_phys(c->host);
	}
	return 0;
}

static void svm_unsetup(void)
{
	free_pages_of_cpus();
	if (iopm)
		__free_pages(iopm, IOPM_ORDER);
}

/* A bit that the CPU lacks would be a fault of ours at the next entry. */
static u64 spec_ctrl_bits(void)
{
	if (!boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL))
		return 0;
	return (boot_cpu_has(X86_FEATURE_IBRS) ? SPEC_CTRL_IBRS : 0) |
	       (boot_cpu_has(X86_FEATURE_STIBP) ? SPEC_CTRL_STIBP : 0) |
	       (boot_cpu_has(X86_FEATURE_AMD_SSBD) ? SPEC_CTRL_SSBD : 0);
}

static int svm_setup(struct umbra_backend_caps *caps)
{
	/* sysfs then tells what is used. */
	npt = npt && boot_cpu_has(X86_FEATURE_NPT);
	nrips = nrips && boot_cpu_has(X86_FEATURE_NRIPS);
	caps->hardware_paging = npt;
	/* «Nested Table Walk»: nested tables are as deep as the host's own. */
	caps->paging_levels = __read_cr4() & X86_CR4_LA57 ? 5 : 4;
	caps->gbpages = boot_cpu_has(X86_FEATURE_GBPAGES);
	caps->next_rip = nrips;
	caps->tsc_scaling = false;
	caps->tsc_aux = boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
	caps->spec_ctrl = spec_ctrl_bits();
	rdmsrl(MSR_EFER, caps->host_efer);

	/* ASID 0 is the host's. */
	max_asid = cpuid_ebx(SVM_CPUID_FUNC);
	if (max_asid < 2)
		return -ENODEV;
	max_asid--;

	iopm = alloc_pages(GFP_KERNEL, IOPM_ORDER);
	if (!iopm || alloc_pages_of_cpus()) {
		svm_unsetup();
		return -ENOMEM;
	}
	memset(page_address(iopm), 0xff, PAGE_SIZE << IOPM_ORDER);
	return 0;
}

static int svm_enable_cpu(void)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpu);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	/* First, for the NMI of a crash that comes in between. */
	c->enabled = true;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, page_to_phys(c->hsave));
	svm_asid_cpu_on(&c->asids, max_asid);
	return 0;
}

/*
 * Also called in an emergency, from NMI: nothing here may lock or trace. That may come in the
 * middle of this or of svm_enable_cpu().
 */
static void svm_disable_cpu(void)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpu);
	u64 efer;

	if (!c->enabled)
		return;
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME) {
		/* INIT must not stay blocked, should a crash have come with GIF clear. */
		asm volatile("stgi" ::: "memory");
		wrmsrl(MSR_EFER, efer & ~EFER_SVME);
	}
	c->enabled = false;
}

/* «Intercepts»: what the guest must not do by itself. */
static const u8 fixed_intercepts[] = {
	INTERCEPT_CR4_WRITE, INTERCEPT_SELECTIVE_CR0,
	INTERCEPT_INTR, INTERCEPT_NMI, INTERCEPT_SMI, INTERCEPT_INIT,
	INTERCEPT_RDPMC, INTERCEPT_CPUID, INTERCEPT_RSM, INTERCEPT_INVD, INTERCEPT_HLT,
	INTERCEPT_INVLPGA, INTERCEPT_IOIO_PROT, INTERCEPT_MSR_PROT, INTERCEPT_TASK_SWITCH,
	INTERCEPT_FERR_FREEZE, INTERCEPT_SHUTDOWN,
	INTERCEPT_VMRUN, INTERCEPT_VMMCALL, INTERCEPT_VMLOAD, INTERCEPT_VMSAVE, INTERCEPT_STGI,
	INTERCEPT_CLGI, INTERCEPT_SKINIT, INTERCEPT_WBINVD, INTERCEPT_MONITOR, INTERCEPT_MWAIT,
	INTERCEPT_MWAIT_COND, INTERCEPT_XSETBV, INTERCEPT_RDPRU,
};

/* With a shadow CR3 is ours, faults are ours or the guest's, and so are flushes. */
static void init_paging(struct svm_vcpu *svm, bool shadow)
{
	svm_intercept(svm, INTERCEPT_CR3_READ, shadow);
	svm_intercept(svm, INTERCEPT_CR3_WRITE, shadow);
	svm_intercept(svm, INTERCEPT_INVLPG, shadow);
	svm_intercept_exception(svm, X86_TRAP_PF, shadow);
	svm->vmcb->control.nested_ctl = shadow ? 0 : SVM_NESTED_CTL_NP_ENABLE;
	svm_dirty(svm, SVM_CLEAN_NPT);
}

/* What this VM's guests may do by themselves after all. */
static void leave_exits(struct svm_vcpu *svm, const struct umbra_vm *vm)
{
	if (umbra_lets(vm, KVM_X86_DISABLE_EXITS_HLT))
		svm_intercept(svm, INTERCEPT_HLT, false);
	if (umbra_lets(vm, KVM_X86_DISABLE_EXITS_PAUSE))
		svm_intercept(svm, INTERCEPT_PAUSE, false);
	if (umbra_lets(vm, KVM_X86_DISABLE_EXITS_MWAIT)) {
		svm_intercept(svm, INTERCEPT_MONITOR, false);
		svm_intercept(svm, INTERCEPT_MWAIT, false);
		svm_intercept(svm, INTERCEPT_MWAIT_COND, false);
	}
}

static void init_control(struct svm_vcpu *svm, bool shadow)
{
	struct vmcb_control_area *c = &svm->vmcb->control;
	int i;

	for (i = 0; i < ARRAY_SIZE(fixed_intercepts); i++)
		svm_intercept(svm, fixed_intercepts[i], true);
	c->intercepts[INTERCEPT_DR] = SVM_DR_INTERCEPTS;
	/* Machine checks are the host's; the others can recur in their own delivery for ever. */
	svm_intercept_exception(svm, X86_TRAP_MC, true);
	svm_intercept_exception(svm, X86_TRAP_AC, true);
	svm_intercept_exception(svm, X86_TRAP_DB, true);
	/* It may be the other vendor's hypercall, or the prefix that asks for emulation. */
	svm_intercept_exception(svm, X86_TRAP_UD, true);

	if (boot_cpu_has(X86_FEATURE_PAUSEFILTER)) {
		c->pause_filter_count = 3000;
		c->pause_filter_thresh = boot_cpu_has(X86_FEATURE_PFTHRESHOLD) ? 128 : 0;
		svm_intercept(svm, INTERCEPT_PAUSE, true);
	}
	c->iopm_base_pa = page_to_phys(iopm);
	c->msrpm_base_pa = virt_to_phys(svm->msrpm);
	c->int_ctl = V_INTR_MASKING_MASK;
	init_paging(svm, shadow);
}

static int svm_vcpu_create(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = kzalloc(sizeof(*svm), GFP_KERNEL_ACCOUNT);

	if (!svm)
		return -ENOMEM;
	svm->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	svm->msrpm = (void *)__get_free_pages(GFP_KERNEL_ACCOUNT, SVM_MSRPM_ORDER);
	if (!svm->vmcb || !svm->msrpm) {
		free_pages((unsigned long)svm->msrpm, SVM_MSRPM_ORDER);
		free_page((unsigned long)svm->vmcb);
		kfree(svm);
		return -ENOMEM;
	}
	svm->vmcb_pa = virt_to_phys(svm->vmcb);
	svm->id = atomic64_inc_return(&last_id);
	svm->cpu = -1;
	svm_init_msrpm(svm);
	init_control(svm, vcpu->mmu.shadow);
	leave_exits(svm, vcpu->vm);
	vcpu->hw = svm;
	return 0;
}

static void svm_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (!svm)
		return;
	vcpu->hw = NULL;
	free_pages((unsigned long)svm->msrpm, SVM_MSRPM_ORDER);
	free_page((unsigned long)svm->vmcb);
	kfree(svm);
}

static void svm_vcpu_reset(struct umbra_vcpu *vcpu, bool init)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;

	c->event_inj = 0;
	c->int_state = 0;
	c->intercepts[INTERCEPT_DR] = SVM_DR_INTERCEPTS;
	svm->dr_guest = false;
	svm_intercept(svm, INTERCEPT_CR8_WRITE, false);
	svm->nmi_step = false;
	svm->exit_at_once = false;
	svm->injected_trap = false;
	svm_close_irq_window(svm);
	svm_set_nmi_mask(vcpu, false);
	svm->asid.flush = true;
	svm_reset_save(vcpu, init);
}

static void svm_vcpu_load(struct umbra_vcpu *vcpu, int cpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm->cpu == cpu)
		return;
	/* What this CPU has cached of the VMCB and the guest is older than what another did. */
	svm->cpu = cpu;
	svm->clean = 0;
	svm_asid_moved(&svm->asid);
}

static void svm_vcpu_put(struct umbra_vcpu *vcpu)
{
	to_svm(vcpu)->host_saved = false;
}

static void svm_prepare_switch(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct svm_cpu *here = this_cpu_ptr(&svm_cpu);

	if (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID))
		umbra_load_tsc_aux(vcpu->msrs.tsc_aux);
	if (here->last_vcpu == svm->id)
		return;
	/* Another guest ran here: it must not have trained the branches of this one. */
	here->last_vcpu = svm->id;
	if (!cpu_feature_enabled(X86_FEATURE_IBPB_ON_VMEXIT))
		indirect_branch_prediction_barrier();
}

/*
 * VMSAVE what VMLOAD will bring back after the guest: FS, GS, TR, LDTR, and the
 * MSRs of SYSCALL and SYSENTER. They can't change while the vCPU is loaded, but
 * for the LDT: another thread may replace it and tell this CPU so by an IPI.
 */
static void save_host(struct svm_vcpu *svm, struct svm_cpu *here)
{
	u16 ldt;

	asm volatile("sldt %0" : "=rm" (ldt));
	if (svm->host_saved && !svm->host_had_ldt && !ldt)
		return;
	asm volatile("vmsave %0" : : "a" (here->host_pa) : "memory");
	svm->host_had_ldt = ldt;
	svm->host_saved = true;
}

static void choose_asid(struct umbra_vcpu *vcpu, struct svm_cpu *here)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;
	u32 old = svm->asid.asid;
	u64 generation = svm->asid.generation;

	switch (svm_asid_choose(&here->asids, &svm->asid, boot_cpu_has(X86_FEATURE_FLUSHBYASID))) {
	case SVM_ASID_FLUSH_NONE:
		c->tlb_ctl = TLB_CONTROL_DO_NOTHING;
		if (svm->asid.asid != old || svm->asid.generation != generation)
			umbra_ledger_give(vcpu, svm->asid.asid);
		break;
	case SVM_ASID_FLUSH_THIS:
		c->tlb_ctl = TLB_CONTROL_FLUSH_ASID;
		umbra_ledger_flush(vcpu, svm->asid.asid);
		break;
	case SVM_ASID_FLUSH_ALL:
		c->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
		umbra_ledger_flush_all();
		umbra_ledger_flush(vcpu, svm->asid.asid);
		break;
	}
	umbra_ledger_enter(vcpu, svm->asid.asid);
	if (c->asid == svm->asid.asid)
		return;
	c->asid = svm->asid.asid;
	svm_dirty(svm, SVM_CLEAN_ASID);
}

/* Does the guest run with breakpoints of its own or of its debugger's? */
static bool needs_drs(struct umbra_vcpu *vcpu)
{
	return to_svm(vcpu)->dr_guest ||
	       (vcpu->regs.effective_dr7 & (DR_GLOBAL_ENABLE_MASK | DR_LOCAL_ENABLE_MASK));
}

static void load_drs(struct umbra_vcpu *vcpu)
{
	const struct umbra_regs *regs = &vcpu->regs;
	struct svm_vcpu *svm = to_svm(vcpu);
	const u64 *dr = regs->guest_debug & KVM_GUESTDBG_USE_HW_BP ? regs->debug_dr : regs->dr;

	/* No breakpoint of the host's may hit on an address of the guest's, or the reverse. */
	set_debugreg(0, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
	svm->vmcb->save.dr6 = svm->dr_guest ? regs->dr6 : DR6_RESERVED;
	svm_dirty(svm, SVM_CLEAN_DR);
}

/* The guest's turn with the debug registers ends with the exit. */
static void take_drs_back(struct umbra_vcpu *vcpu)
{
	struct umbra_regs *regs = &vcpu->regs;
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->dr_guest = false;
	get_debugreg(regs->dr[0], 0);
	get_debugreg(regs->dr[1], 1);
	get_debugreg(regs->dr[2], 2);
	get_debugreg(regs->dr[3], 3);
	/* The host's is not among what VMRUN keeps, and stale causes would be those of its own next #DB. */
	set_debugreg(DR6_RESERVED, 6);
	regs->dr6 = svm->vmcb->save.dr6;
	regs->dr7 = svm->vmcb->save.dr7;
	regs->effective_dr7 = regs->dr7;
	svm->vmcb->control.intercepts[INTERCEPT_DR] = SVM_DR_INTERCEPTS;
	svm_dirty(svm, SVM_CLEAN_INTERCEPTS);
}

static void write_vmcb(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;
	struct vmcb_save_area *save = &svm->vmcb->save;
	const struct umbra_regs *regs = &vcpu->regs;

	save->rax = regs->gpr[UMBRA_RAX];
	save->rsp = regs->gpr[UMBRA_RSP];
	save->rip = regs->rip;
	save->rflags = regs->rflags | (svm->nmi_step ? X86_EFLAGS_TF : 0);
	save->cr2 = regs->cr2;
	/* A soft event returns behind its instruction, where RIP is already. */
	if (svm->injected_trap)
		c->next_rip = regs->rip;

	svm->tpr = umbra_cr8(vcpu) & V_TPR_MASK;
	c->int_ctl = V_INTR_MASKING_MASK | svm->tpr;
	if (svm->irq_window)
		c->int_ctl |= V_IRQ_MASK | V_IGN_TPR_MASK | V_INTR_PRIO_MASK;
	/* Without a LAPIC here userspace wants to know of each lowering. */
	if (unlikely(!vcpu->lapic))
		svm_intercept(svm, INTERCEPT_CR8_WRITE, svm->tpr);

	c->clean = boot_cpu_has(X86_FEATURE_VMCBCLEAN) ? svm->clean & ~SVM_CLEAN_NEVER : 0;
}

static void read_vmcb(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb_save_area *save = &svm->vmcb->save;
	struct umbra_regs *regs = &vcpu->regs;

	regs->gpr[UMBRA_RAX] = save->rax;
	regs->gpr[UMBRA_RSP] = save->rsp;
	regs->rip = save->rip;
	regs->rflags = save->rflags;
	regs->cr2 = save->cr2;
	/* TS and MP change without an exit while the guest sees what runs. */
	if (!svm_intercepts(svm, INTERCEPT_CR0_WRITE))
		regs->cr0 = save->cr0;
	regs->avail &= ~(BIT(UMBRA_REG_CR3) | BIT(UMBRA_REG_PDPTR));
	svm->clean = SVM_CLEAN_ALL;
}

/*
 * GIF stays clear until the host's GS and TR are back: the NMI or the machine
 * check that waits is taken at STGI, by a whole host.
 */
static noinstr void switch_worlds(struct umbra_vcpu *vcpu, u64 host_pa, u64 guest_spec,
				  u64 host_spec)
{
	struct svm_vcpu *svm = vcpu->hw;

	asm volatile("1: clgi\n2:\n" _ASM_EXTABLE(1b, 2b) ::: "memory");
	umbra_guest_state_enter();
	amd_clear_divider();
	svm_world_switch(vcpu->regs.gpr, svm->vmcb_pa, host_pa, guest_spec, host_spec);
	umbra_guest_state_exit();
	asm volatile("1: stgi\n2:\n" _ASM_EXTABLE(1b, 2b) ::: "memory");
}

static void svm_enter(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct svm_cpu *here = this_cpu_ptr(&svm_cpu);
	u64 host_spec = this_cpu_read(x86_spec_ctrl_current);
	u64 guest_spec = cpu_feature_enabled(X86_FEATURE_V_SPEC_CTRL) ?
			 host_spec : vcpu->msrs.spec_ctrl;
	u64 debugctl = 0;

	if (unlikely(!here->enabled)) {
		/* A reboot has turned SVM off: to the VMM that is a failed entry. */
		svm->vmcb->control.exit_code = SVM_EXIT_ERR;
		svm->vmcb->control.exit_code_hi = SVM_EXIT_ERR;
		return;
	}
	save_host(svm, here);
	choose_asid(vcpu, here);
	write_vmcb(vcpu);
	if (unlikely(needs_drs(vcpu)))
		load_drs(vcpu);
	/* The interrupt waits until the guest runs, and delivery of EVENTINJ comes before it. */
	if (unlikely(svm->exit_at_once)) {
		svm->exit_at_once = false;
		umbra_send_reschedule(smp_processor_id());
	}
	/* Block-stepping of this very task by a debugger is not for its guest. */
	if (unlikely(test_thread_flag(TIF_BLOCKSTEP))) {
		debugctl = get_debugctlmsr();
		update_debugctlmsr(0);
	}

	switch_worlds(vcpu, here->host_pa, guest_spec, host_spec);

	if (unlikely(debugctl))
		update_debugctlmsr(debugctl);
	if (unlikely(svm->dr_guest))
		take_drs_back(vcpu);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	read_vmcb(vcpu);
}

/* To the handler it came from userspace: the kernel itself is not hurt. */
static noinline void host_machine_check(void)
{
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
}

/* Interrupts that ended the guest's time come by themselves once they are enabled. */
static void svm_exit_irqoff(struct umbra_vcpu *vcpu)
{
	if (unlikely(svm_exit_code(to_svm(vcpu)) == SVM_EXIT_EXCP_BASE + X86_TRAP_MC))
		host_machine_check();
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
	/* XFD can't have changed: no guest sees it, and its MSRs exit. */
}

static void svm_load_root(struct umbra_vcpu *vcpu, hpa_t root, int level)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (vcpu->mmu.shadow) {
		/* Outside long mode what it points to may be new although it is the same. */
		svm->vmcb->save.cr3 = root;
		svm->asid.flush = true;
		svm_dirty(svm, SVM_CLEAN_CR);
		return;
	}
	if (svm->vmcb->control.nested_cr3 == root)
		return;
	svm->vmcb->control.nested_cr3 = root;
	svm->asid.flush = true;
	svm_dirty(svm, SVM_CLEAN_NPT);
}

static void svm_flush_all(struct umbra_vcpu *vcpu)
{
	to_svm(vcpu)->asid.flush = true;
}

static void svm_set_tsc_offset(struct umbra_vcpu *vcpu, u64 offset)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb->control.tsc_offset = offset;
	svm_dirty(svm, SVM_CLEAN_INTERCEPTS);
}

/* Instructions that the CPU has and this guest must not. */
static void svm_cpuid_changed(struct umbra_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	const struct kvm_cpuid_entry2 *leaf7 = umbra_cpuid_find(vcpu, 7, 0);
	bool invpcid = leaf7 && (leaf7->ebx & BIT(10));

	svm_intercept(svm, INTERCEPT_RDTSCP, !vcpu->cpuid.rdtscp);
	svm_intercept(svm, INTERCEPT_INVPCID, boot_cpu_has(X86_FEATURE_INVPCID) &&
		      (!invpcid || vcpu->mmu.shadow));
}

/* What the VMCB holds for the guest hangs on who walks its tables. */
static void svm_mode_changed(struct umbra_vcpu *vcpu)
{
	init_paging(to_svm(vcpu), vcpu->mmu.shadow);
	svm_cpuid_changed(vcpu);
	svm_set_efer(vcpu, vcpu->regs.efer);
	svm_set_cr0(vcpu, vcpu->regs.cr0);
	svm_set_cr3(vcpu, vcpu->regs.cr3);
	svm_set_cr4(vcpu, vcpu->regs.cr4);
}

const struct umbra_backend_ops umbra_svm_ops = {
	.name = "SVM",
	.paging_name = "NPT",
	.paging_param = "npt",
	.owner_module = "kvm_amd",
	.vmmcall = true,
	/* «Legacy PAE Mode» */
	.walks_pdptes = true,
	.probe = svm_probe,
	.setup = svm_setup,
	.unsetup = svm_unsetup,
	.enable_cpu = svm_enable_cpu,
	.disable_cpu = svm_disable_cpu,
	.vcpu_create = svm_vcpu_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.vcpu_reset = svm_vcpu_reset,
	.vcpu_load = svm_vcpu_load,
	.vcpu_put = svm_vcpu_put,
	.prepare_switch = svm_prepare_switch,
	.enter = svm_enter,
	.exit_irqoff = svm_exit_irqoff,
	.decode = svm_decode,
	.exit_words = svm_exit_words,
	.cache_reg = svm_cache_reg,
	.get_segment = svm_get_segment,
	.set_segment = svm_set_segment,
	.get_dt = svm_get_dt,
	.set_dt = svm_set_dt,
	.set_cr0 = svm_set_cr0,
	.set_cr3 = svm_set_cr3,
	.set_cr4 = svm_set_cr4,
	.set_efer = svm_set_efer,
	.set_dr7 = svm_set_dr7,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.get_cpl = svm_get_cpl,
	.code64 = svm_code64,
	.interrupt_shadow = svm_interrupt_shadow,
	.set_interrupt_shadow = svm_set_interrupt_shadow,
	.interrupt_allowed = svm_interrupt_allowed,
	.nmi_allowed = svm_nmi_allowed,
	.inject_exception = svm_inject_exception,
	.inject_irq = svm_inject_irq,
	.inject_nmi = svm_inject_nmi,
	.cancel_inject = svm_cancel_inject,
	.set_tpr_threshold = svm_set_tpr_threshold,
	.want_irq_window = svm_want_irq_window,
	.want_nmi_window = svm_want_nmi_window,
	.get_nmi_mask = svm_get_nmi_mask,
	.set_nmi_mask = svm_set_nmi_mask,
	.mode_changed = svm_mode_changed,
	.load_root = svm_load_root,
	.flush_all = svm_flush_all,
	.set_tsc_offset = svm_set_tsc_offset,
	.filter_msrs = svm_filter_msrs,
	.cpuid_changed = svm_cpuid_changed,
	.dump = svm_dump,
	.describe_failure = svm_describe_failure,
};
