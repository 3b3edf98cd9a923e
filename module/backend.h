/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core asks of the CPU. A backend decodes and obeys; it decides
 * nothing, calls no device, and copies nothing from or to userspace.
 */
#ifndef UMBRA_BACKEND_H
#define UMBRA_BACKEND_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/moduleparam.h>
#include <linux/static_call_types.h>
#include <linux/types.h>
#include "missing.h"

struct umbra_vm;
struct umbra_vcpu;
struct umbra_entry_failure;
struct umbra_vmcs_counts;
struct umbra_exit_words;

/* What of a LAPIC's registers the CPU does for the guest; lapic_virt.c. */
enum umbra_apic_virt {
	UMBRA_APIC_SOFTWARE,
	UMBRA_APIC_PAGE,
	UMBRA_APIC_MSRS,
};

/* Facts of a backend and of this machine, set by its setup(). */
struct umbra_backend_caps {
	bool hardware_paging;	/* EPT or NPT is there and not switched off */
	bool ept;		/* its tables have Intel's format */
	u8 paging_levels;	/* levels of a hardware root: 4 or 5 */
	bool gbpages;		/* 1G leaves in hardware tables */
	bool next_rip;		/* exits tell where the instruction ends */
	bool tsc_scaling;	/* set_tsc_multiplier() is there */
	bool exit_timer;	/* set_timer() is there, and used */
	bool write_log;		/* a guest's first writes through hardware tables are told: umbra_log_writes() */
	bool apicv;		/* set_apic_virt() is there, and used */
	bool tsc_aux;		/* MSR_TSC_AUX is the guest's while it runs */
	u64 spec_ctrl;		/* so is MSR_IA32_SPEC_CTRL: its bits that the CPU has */
	u64 host_efer;
};

/*
 * The members, once. R(ret, name, args...) is required, O() may be NULL.
 *
 * name			called with			what
 * probe		load				bits of enum umbra_missing, 0: this is my machine
 * setup		load, once			read capabilities, allocate what all VMs share; errno
 * unsetup		unload
 * enable_cpu		on that CPU, irqs off		turn the extension on; -EBUSY: somebody holds it
 * disable_cpu		on that CPU, irqs off		turn it off; must not fail
 * vm_create		vm being made			errno
 * vm_destroy		no vCPU left
 * prepare_shadow	vm->lock, in the VMM		vCPUs that are there will go to a shadow mode; errno
 * vcpu_create		vCPU being made			allocate vcpu->hw; errno
 * vcpu_destroy
 * vcpu_reset		mutex; @init: INIT, else power-up	the backend's own state
 * vcpu_load		preempt off, on @cpu		this vCPU will run here
 * vcpu_put		preempt off			it won't for now; save what the host needs back
 * prepare_switch	preempt off, irqs on		load guest values that the host's kernel does not use, when vcpu->prepared is not set
 * enter		irqs off, noinstr inside	enter and leave the guest
 * exit_irqoff		irqs off			serve what must be served before irqs come on
 * decode		irqs on				fill vcpu->exit; requeue interrupted events
 * exit_words		loaded, after decode		the last exit in the hardware's words
 * cache_reg		loaded				fill one register of the cache, enum umbra_reg
 * get_segment, set_segment	owner			VCPU_SREG_* of regs.h
 * get_dt, set_dt	owner				@idt: IDTR else GDTR
 * set_cr0 set_cr3 set_cr4 set_efer	owner		values already judged; the cache in regs already has them
 * set_dr7		owner				effective DR7 in regs.effective_dr7 has changed
 * get_msr, set_msr	owner				MSRs that live in the VMCS/VMCB; 1: not mine
 * get_cpl		owner
 * code64		owner				CS is 64-bit code; in long mode
 * unfit		owner				with UMBRA_EMULATE_ASK, which it clears when the CPU can hold the guest's state: can't it?
 * interrupt_shadow	owner				KVM_X86_SHADOW_INT_* bits
 * set_interrupt_shadow	owner
 * interrupt_allowed	owner				an external interrupt could be delivered now
 * nmi_allowed		owner
 * inject_exception inject_irq inject_nmi	owner	from vcpu->events, for the next entry
 * cancel_inject	owner				entry did not happen: requeue what was injected
 * set_tpr_threshold	owner				exit when the guest lowers its TPR (an interrupt waits for that), to less than @class or at all; 0: never
 * want_irq_window want_nmi_window	owner		exit as soon as one could be delivered
 * get_nmi_mask, set_nmi_mask	owner
 * mode_changed		loaded				vcpu->mmu.shadow came or went: what hangs on it; control registers and PDPTEs are in regs
 * load_root		owner				hpa of the root, its levels
 * flush_all		owner, irqs off or preempt off	all translations of this guest, at the next entry
 * flush_gva		owner				one gva of this guest, at the next entry
 * set_tsc_offset	owner				guest TSC = host TSC, scaled, + offset
 * set_tsc_multiplier	owner, with tsc_scaling		what scales it, of 2^48
 * filter_msrs		owner				of the MSRs that pass, let those exit that umbra_msr_allowed() says
 * cpuid_changed	owner				intercepts that hang on CPUID
 * dump			owner				hardware words for FAIL_ENTRY; returns the reason
 * set_timer		owner				exit UMBRA_EXIT_TIMER, once, when the guest's TSC shows @deadline; 0: none
 * set_apic_virt	owner				the CPU works on umbra_lapic_page(); UMBRA_APIC_MSRS: it gives the guest its interrupts, and does reads of @regs (a bit for each 16 bytes), TPR, EOI, IPIs to itself; UMBRA_APIC_PAGE: what the guest reaches at vm->mmu.apic_page
 * apic_changed		owner, with UMBRA_APIC_MSRS	the highest vectors in IRR and ISR, or 0; EOI of @ends is UMBRA_EXIT_EOI
 * vmcs_counts		owner				how often a VMCS was accessed; errno
 * describe_failure	owner				the rest of what an entry that failed is told by
 */
#define UMBRA_BACKEND_OPS(R, O)							\
	R(u32, probe, void)							\
	R(int, setup, struct umbra_backend_caps *caps)				\
	R(void, unsetup, void)							\
	R(int, enable_cpu, void)						\
	R(void, disable_cpu, void)						\
	O(int, vm_create, struct umbra_vm *vm)					\
	O(void, vm_destroy, struct umbra_vm *vm)				\
	O(int, prepare_shadow, struct umbra_vm *vm)				\
	R(int, vcpu_create, struct umbra_vcpu *vcpu)				\
	R(void, vcpu_destroy, struct umbra_vcpu *vcpu)				\
	R(void, vcpu_reset, struct umbra_vcpu *vcpu, bool init)			\
	R(void, vcpu_load, struct umbra_vcpu *vcpu, int cpu)			\
	R(void, vcpu_put, struct umbra_vcpu *vcpu)				\
	R(void, prepare_switch, struct umbra_vcpu *vcpu)			\
	R(void, enter, struct umbra_vcpu *vcpu)					\
	R(void, exit_irqoff, struct umbra_vcpu *vcpu)				\
	R(void, decode, struct umbra_vcpu *vcpu)				\
	R(void, exit_words, struct umbra_vcpu *vcpu, struct umbra_exit_words *words) \
	R(void, cache_reg, struct umbra_vcpu *vcpu, int reg)			\
	R(void, get_segment, struct umbra_vcpu *vcpu, struct kvm_segment *s, int seg) \
	R(void, set_segment, struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg) \
	R(void, get_dt, struct umbra_vcpu *vcpu, struct kvm_dtable *dt, bool idt) \
	R(void, set_dt, struct umbra_vcpu *vcpu, const struct kvm_dtable *dt, bool idt) \
	R(void, set_cr0, struct umbra_vcpu *vcpu, u64 cr0)			\
	R(void, set_cr3, struct umbra_vcpu *vcpu, u64 cr3)			\
	R(void, set_cr4, struct umbra_vcpu *vcpu, u64 cr4)			\
	R(void, set_efer, struct umbra_vcpu *vcpu, u64 efer)			\
	R(void, set_dr7, struct umbra_vcpu *vcpu, u64 dr7)			\
	R(int, get_msr, struct umbra_vcpu *vcpu, u32 index, u64 *value)		\
	R(int, set_msr, struct umbra_vcpu *vcpu, u32 index, u64 value)		\
	R(int, get_cpl, struct umbra_vcpu *vcpu)				\
	R(bool, code64, struct umbra_vcpu *vcpu)				\
	O(bool, unfit, struct umbra_vcpu *vcpu)					\
	R(u32, interrupt_shadow, struct umbra_vcpu *vcpu)			\
	R(void, set_interrupt_shadow, struct umbra_vcpu *vcpu, u32 mask)	\
	R(bool, interrupt_allowed, struct umbra_vcpu *vcpu)			\
	R(bool, nmi_allowed, struct umbra_vcpu *vcpu)				\
	R(void, inject_exception, struct umbra_vcpu *vcpu)			\
	R(void, inject_irq, struct umbra_vcpu *vcpu)				\
	R(void, inject_nmi, struct umbra_vcpu *vcpu)				\
	R(void, cancel_inject, struct umbra_vcpu *vcpu)				\
	R(void, set_tpr_threshold, struct umbra_vcpu *vcpu, u8 class)		\
	R(void, want_irq_window, struct umbra_vcpu *vcpu)			\
	R(void, want_nmi_window, struct umbra_vcpu *vcpu)			\
	R(bool, get_nmi_mask, struct umbra_vcpu *vcpu)				\
	R(void, set_nmi_mask, struct umbra_vcpu *vcpu, bool masked)		\
	R(void, mode_changed, struct umbra_vcpu *vcpu)				\
	R(void, load_root, struct umbra_vcpu *vcpu, hpa_t root, int level)	\
	R(void, flush_all, struct umbra_vcpu *vcpu)				\
	O(void, flush_gva, struct umbra_vcpu *vcpu, gva_t gva)			\
	R(void, set_tsc_offset, struct umbra_vcpu *vcpu, u64 offset)		\
	O(void, set_tsc_multiplier, struct umbra_vcpu *vcpu, u64 multiplier)	\
	R(void, filter_msrs, struct umbra_vcpu *vcpu)				\
	R(void, cpuid_changed, struct umbra_vcpu *vcpu)				\
	O(void, set_timer, struct umbra_vcpu *vcpu, u64 deadline)		\
	O(void, set_apic_virt, struct umbra_vcpu *vcpu, enum umbra_apic_virt how, u64 regs) \
	O(void, apic_changed, struct umbra_vcpu *vcpu, u8 irr, u8 isr, const u64 *ends) \
	O(int, vmcs_counts, struct umbra_vcpu *vcpu, struct umbra_vmcs_counts *counts) \
	R(u64, dump, struct umbra_vcpu *vcpu)					\
	R(void, describe_failure, struct umbra_vcpu *vcpu, struct umbra_entry_failure *out)

#define UMBRA_OP_MEMBER(ret, name, ...) ret (*name)(__VA_ARGS__);

/**
 * struct umbra_backend_ops - a vendor's extension
 * @name: as users know it: "SVM", "VMX"
 * @paging_name: "NPT", "EPT"
 * @paging_param: the module parameter that turns it off
 * @vmmcall: its hypercall instruction is VMMCALL, else VMCALL
 * @walks_pdptes: nested paging reads the PDPTEs of PAE paging at each walk, and judges them
 *	there, instead of when CR3 or CR4 is loaded
 * @owner_module: the stock module that holds the extension: "kvm_amd"
 */
struct umbra_backend_ops {
	const char *name;
	const char *paging_name;
	const char *paging_param;
	const char *owner_module;
	bool vmmcall;
	bool walks_pdptes;
	UMBRA_BACKEND_OPS(UMBRA_OP_MEMBER, UMBRA_OP_MEMBER)
};

/*
 * A parameter by which a backend does without a feature of the CPU's. setup() clears
 * it where there is none, so that sysfs tells what is used.
 */
#define UMBRA_FEATURE_PARAM(name, what)						\
	static bool name = true;						\
	module_param(name, bool, 0444);						\
	MODULE_PARM_DESC(name, "use " what " where there is such a thing (default on)")

extern const struct umbra_backend_ops umbra_svm_ops;
extern const struct umbra_backend_ops umbra_vmx_ops;

/*
 * Those that most exits call, without a pointer to load and to guard against
 * speculation: umbra_hot(decode)(vcpu).
 */
#define UMBRA_HOT_OPS(X) \
	X(enter) X(exit_irqoff) X(decode) X(get_cpl) X(code64) X(set_interrupt_shadow)

#define UMBRA_HOT_TYPE(op)	*((struct umbra_backend_ops *)NULL)->op
#define UMBRA_DECLARE_HOT(op)	DECLARE_STATIC_CALL(umbra_##op, UMBRA_HOT_TYPE(op));
UMBRA_HOT_OPS(UMBRA_DECLARE_HOT)
#define umbra_hot(op)		static_call(umbra_##op)

/* The chosen one and this machine's facts: main.c, set at load. */
extern const struct umbra_backend_ops *umbra_backend;
extern struct umbra_backend_caps umbra_caps;

/*
 * hardware.c: the extension on all CPUs, while somebody needs it. init and exit
 * are main.c's; get and put a VM's: the first get turns it on, the last put off.
 * get: 0, -EBUSY (another owner: said in the log, with the remedy), -EIO.
 */
int umbra_hardware_init(void);
void umbra_hardware_exit(void);
int umbra_hardware_get(void);
void umbra_hardware_put(void);
void umbra_say_owner(const struct umbra_backend_ops *ops);
void umbra_say_node_owner(void);

#endif
