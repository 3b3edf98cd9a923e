/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Intel's VMX, shared by the files of the backend: vmx_caps.c (the machine), vmx.c
 * (CPUs, vCPUs, the host's state), vmx_enter.c (the way in and out), vmx_exit.c
 * (decoding, events), vmx_regs.c (registers).
 * Titles in «» are sections of Intel's manual, volume 3.
 */
#ifndef UMBRA_VMX_H
#define UMBRA_VMX_H

#include <linux/bits.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/vmx.h>

#include "backend.h"
#include "umbra.h"

/* «VM-Entry Controls for MSRs»: an entry of the lists that the CPU loads and stores. */
struct vmx_msr {
	u32 index;
	u32 reserved;
	u64 value;
};

/*
 * MSRs that no field of the VMCS holds: the CPU switches them by lists. The guest has the
 * first ones for itself; EFER is there on CPUs that have no control for it.
 */
enum { VMX_MSR_STAR, VMX_MSR_LSTAR, VMX_MSR_CSTAR, VMX_MSR_SFMASK, VMX_MSR_KERNEL_GS, VMX_NR_PASSED,
       VMX_MSR_EFER = VMX_NR_PASSED, VMX_NR_MSRS };

struct vmx_msr_lists {
	struct vmx_msr guest[VMX_NR_MSRS];
	struct vmx_msr host[VMX_NR_MSRS];
};

/**
 * struct vmx_controls - what this machine's VMX does, as the VMCS wants it said
 * @revision: of its VMCS
 * @pin, @primary, @secondary, @exit, @entry: controls with all that must be on
 * @eptp: the bits of an EPT pointer but the address
 * @apic_page: VMX_SECONDARY_APIC_PAGE may be used
 * @vpid: VPIDs are used
 * @invvpid_gva: INVVPID can flush one address
 * @switches_pat, @switches_efer: an entry loads the guest's, an exit the host's
 * @timer_shift: the preemption timer counts when this bit of the TSC changes
 */
struct vmx_controls {
	u32 revision;
	u32 pin, primary, secondary, exit, entry;
	u64 eptp;
	bool apic_page;
	bool vpid, invvpid_gva;
	bool switches_pat, switches_efer;
	u8 timer_shift;
};

extern struct vmx_controls vmx_controls;

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

DECLARE_PER_CPU(struct vmx_cpu, vmx_cpu);

/*
 * Bytes, for they are set while the vCPU is loaded anew too, which may come in between: all
 * translations are stale; @secondary, @tsc_offset or @tsc_multiplier is new; so is the timer, or it runs;
 * the TPR is not the LAPIC's, and written for each entry.
 */
union vmx_todo {
	struct {
		bool flush, write, timer, tpr;
	};
	u32 any;
};

/**
 * struct vmx_vcpu - vcpu->hw; all of it belongs to the vCPU's owner
 * @vmcs: the control structure, current on @cpu while the vCPU is loaded
 * @virtual_apic: the page that holds the TPR where the guest's CR8 goes to: the
 *	LAPIC's registers, or @own_apic
 * @own_apic: a page for it where there is no LAPIC, or NULL
 * @msr_bitmap: deny by default
 * @msrs: the lists of MSRs
 * @pml: the pages that the CPU has logged, from the last one down, or NULL
 * @link: in @cpu's list of VMCSs that it may hold
 * @cpu: where the VMCS was active last, or -1
 * @id: never 0 and never given twice
 * @vpid: its VPID, or 0
 * @prepared: the VMCS has its constant fields
 * @launched: it has been launched since it was last cleared
 * @todo: what enter() does before the next entry, which mostly is nothing
 * @failed: the last entry did not happen at all
 * @host_saved: the host's selectors and bases were written since the vCPU was loaded
 * @primary: controls as they stand in the VMCS
 * @secondary, @tsc_offset, @tsc_multiplier: what enter() writes there when it differs from
 * @written_secondary, @written_offset, @written_multiplier: what stands there; both change while the vCPU
 *	is not loaded, and its VMCS not current
 * @interruptibility: as it stands there; valid outside the guest
 * @rip, @rflags: as they stand there; with @vm86 RFLAGS as the guest has them
 * @pending_debug: as it stands there; valid outside the guest
 * @host_rsp: as it stands there
 * @reason, @qualification: of the last exit
 * @eptp: EPT pointer
 * @host_cr3, @host_cr4: as they stand in the VMCS
 * @host_ds, @host_es, @host_fs, @host_gs, @host_ldt: what the exit does not bring back
 * @tpr: the class there when it was last looked at
 * @tpr_threshold, @ends: as they stand in the VMCS
 * @dr_guest: the guest owns the debug registers until the next exit
 * @soft: the soft interrupt in the entry's field comes from us: RIP is behind it
 * @timer: guest TSC at which to exit, or 0
 * @pin: controls as they stand in the VMCS
 * @counts: accesses of the VMCS by exit reason, or NULL
 * @refused: the event that went with an entry that has failed
 * @identity: the guest does not page, and the CPU does, by the identity table
 * @vm86: the guest is in real mode, and the CPU in a vm86 task
 * @sysenter_cs: the guest's, while @vm86
 * @real: what it needs while it has no unrestricted guest
 */
struct vmx_vcpu {
	void *vmcs;
	void *virtual_apic, *own_apic;
	void *msr_bitmap;
	struct vmx_msr_lists *msrs;
	u64 *pml;
	struct list_head link;
	int cpu;
	u64 id;
	u16 vpid;
	bool prepared, launched, failed;
	union vmx_todo todo;
	bool host_saved;
	u32 primary, secondary, written_secondary;
	u64 tsc_offset, written_offset;
	u64 tsc_multiplier, written_multiplier;
	u32 interruptibility;
	u64 rip, rflags;
	u64 pending_debug;
	unsigned long host_rsp;
	u32 reason;
	u64 qualification;
	u64 eptp;
	u64 host_cr3, host_cr4;
	u16 host_ds, host_es, host_fs, host_gs, host_ldt;
	u8 tpr;
	u8 tpr_threshold;
	u64 ends[4];
	bool dr_guest;
	bool soft;
	u64 timer;
	u32 pin;
	struct vmx_counts *counts;
	u32 refused;
	bool identity, vm86;
	u64 sysenter_cs;
	struct vmx_real *real;
};

static __always_inline struct vmx_vcpu *to_vmx(struct umbra_vcpu *vcpu)
{
	return vcpu->hw;
}

/* What exits by default and need not: the «true» capability MSRs may let it go. */
#define VMX_PRIMARY_UNWANTED (CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |	\
			      CPU_BASED_INVLPG_EXITING)
/* What only the hardware mode has. */
#define VMX_SECONDARY_NESTED (SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST |	\
			      SECONDARY_EXEC_ENABLE_PML)
#define VMX_PML_ENTRIES	512
/* All three, or none. */
#define VMX_SECONDARY_APICV (SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |				\
			     SECONDARY_EXEC_APIC_REGISTER_VIRT |				\
			     SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)
/* Of an xAPIC. */
#define VMX_SECONDARY_APIC_PAGE (SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES |			\
				 SECONDARY_EXEC_APIC_REGISTER_VIRT)
/* The name in the kernel's header has changed. */
#define VMX_SECONDARY_XSAVES	VMCS_CONTROL_BIT(XSAVES)

/* How often this CPU's VMCS was accessed since the last entry; see vmx_counts.c. */
struct vmx_accesses {
	u64 reads, writes;
};

DECLARE_STATIC_KEY_FALSE(vmx_counting);
DECLARE_PER_CPU(struct vmx_accesses, vmx_accesses);

/* The bits of interruptibility that are an interrupt shadow. */
#define VMX_SHADOW	(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS)

/*
 * A field of the current VMCS. These fault only when a crash has turned VMX off
 * under us: what is read then does not matter any more.
 */
static __always_inline u64 vmcs_read(unsigned long field)
{
	u64 value;

	if (static_branch_unlikely(&vmx_counting))
		raw_cpu_inc(vmx_accesses.reads);
	asm volatile("1: vmread %1, %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : "=r" (value) : "r" (field) : "cc");
	return value;
}

static __always_inline void vmcs_write(unsigned long field, u64 value)
{
	if (static_branch_unlikely(&vmx_counting))
		raw_cpu_inc(vmx_accesses.writes);
	asm volatile("1: vmwrite %1, %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "r" (field), "r" (value) : "cc", "memory");
}

static inline void vmx_invept(u64 extent, u64 eptp)
{
	struct { u64 eptp, zero; } operand = { eptp, 0 };

	asm volatile("1: invept %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (operand), "r" (extent) : "cc", "memory");
}

static inline void vmx_invvpid(u64 extent, u16 id, u64 gva)
{
	struct { u64 vpid, gva; } operand = { id, gva };

	asm volatile("1: invvpid %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m" (operand), "r" (extent) : "cc", "memory");
}

static inline void vmx_set_primary(struct vmx_vcpu *vmx, u32 bits, bool on)
{
	u32 value = on ? vmx->primary | bits : vmx->primary & ~bits;

	if (value == vmx->primary)
		return;
	vmx->primary = value;
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, value);
}

static inline void vmx_set_secondary(struct vmx_vcpu *vmx, u32 bits, bool on)
{
	vmx->secondary = on ? vmx->secondary | bits : vmx->secondary & ~bits;
	vmx->todo.write = true;
}

/* CR3 is not the guest's while the CPU pages by a shadow or by the identity table. */
static inline void vmx_write_cr3_exits(struct umbra_vcpu *vcpu)
{
	vmx_set_primary(to_vmx(vcpu), CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING,
			to_vmx(vcpu)->identity || vcpu->mmu.shadow);
}

/* Without unrestricted guest: what vmx_real.c is for. */
static inline bool vmx_restricted(const struct vmx_vcpu *vmx)
{
	return unlikely(!(vmx->secondary & SECONDARY_EXEC_UNRESTRICTED_GUEST));
}

static inline void vmx_set_interruptibility(struct vmx_vcpu *vmx, u32 value)
{
	if (value == vmx->interruptibility)
		return;
	vmx->interruptibility = value;
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, value);
}

/* vmx_caps.c */
u32 vmx_probe(void);
int vmx_read_caps(struct umbra_backend_caps *caps);

/* vmx_enter.c */
void vmx_enter(struct umbra_vcpu *vcpu);
void vmx_exit_irqoff(struct umbra_vcpu *vcpu);

/* vmx_exit.c */
void vmx_decode(struct umbra_vcpu *vcpu);
void vmx_exit_words(struct umbra_vcpu *vcpu, struct umbra_exit_words *words);
u32 vmx_interrupt_shadow(struct umbra_vcpu *vcpu);
void vmx_set_interrupt_shadow(struct umbra_vcpu *vcpu, u32 mask);
bool vmx_interrupt_allowed(struct umbra_vcpu *vcpu);
bool vmx_nmi_allowed(struct umbra_vcpu *vcpu);
void vmx_inject_exception(struct umbra_vcpu *vcpu);
void vmx_inject_irq(struct umbra_vcpu *vcpu);
void vmx_inject_nmi(struct umbra_vcpu *vcpu);
void vmx_cancel_inject(struct umbra_vcpu *vcpu);
void vmx_set_tpr_threshold(struct umbra_vcpu *vcpu, u8 class);
void vmx_apic_changed(struct umbra_vcpu *vcpu, u8 irr, u8 isr, const u64 *ends);
void vmx_want_irq_window(struct umbra_vcpu *vcpu);
void vmx_want_nmi_window(struct umbra_vcpu *vcpu);
bool vmx_get_nmi_mask(struct umbra_vcpu *vcpu);
void vmx_set_nmi_mask(struct umbra_vcpu *vcpu, bool masked);

/* vmx_regs.c */
void vmx_cache_reg(struct umbra_vcpu *vcpu, int reg);
void vmx_write_pdptrs(struct umbra_vcpu *vcpu);
void vmx_get_segment(struct umbra_vcpu *vcpu, struct kvm_segment *s, int seg);
void vmx_set_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg);
void vmx_get_dt(struct umbra_vcpu *vcpu, struct kvm_dtable *dt, bool idt);
void vmx_set_dt(struct umbra_vcpu *vcpu, const struct kvm_dtable *dt, bool idt);
void vmx_set_cr0(struct umbra_vcpu *vcpu, u64 cr0);
void vmx_set_cr3(struct umbra_vcpu *vcpu, u64 cr3);
void vmx_set_cr4(struct umbra_vcpu *vcpu, u64 cr4);
void vmx_set_efer(struct umbra_vcpu *vcpu, u64 efer);
void vmx_mode_changed(struct umbra_vcpu *vcpu);
void vmx_set_dr7(struct umbra_vcpu *vcpu, u64 dr7);
int vmx_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *value);
int vmx_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 value);
int vmx_get_cpl(struct umbra_vcpu *vcpu);
bool vmx_code64(struct umbra_vcpu *vcpu);
void vmx_filter_msrs(struct umbra_vcpu *vcpu);
void vmx_set_apic_virt(struct umbra_vcpu *vcpu, enum umbra_apic_virt how, u64 regs);
void vmx_init_msrs(struct vmx_vcpu *vmx);
void vmx_reset_state(struct umbra_vcpu *vcpu, bool init);
void vmx_read_segment(struct kvm_segment *s, int seg);
void vmx_write_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg);
void vmx_write_rights(int seg, u32 rights);
void vmx_write_exceptions(struct umbra_vcpu *vcpu);

/* vmx_real.c */
int vmx_real_create(struct umbra_vcpu *vcpu);
void vmx_vm_destroy(struct umbra_vm *vm);
int vmx_prepare_shadow(struct umbra_vm *vm);
void vmx_real_set_mode(struct umbra_vcpu *vcpu);
bool vmx_unfit(struct umbra_vcpu *vcpu);
bool vmx_real_delivers(struct umbra_vcpu *vcpu);
void vmx_real_get_segment(struct umbra_vcpu *vcpu, struct kvm_segment *s, int seg);
bool vmx_real_set_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg);
u64 vmx_real_cr0(struct umbra_vcpu *vcpu, u64 cr0, u64 changed);
u64 vmx_real_cr4(struct umbra_vcpu *vcpu, u64 cr4);
u64 vmx_real_rflags(struct umbra_vcpu *vcpu, u64 rflags);
u64 vmx_real_guest_rflags(struct umbra_vcpu *vcpu, u64 rflags);

/* vmx_counts.c */
struct vmx_counts;
struct vmx_counts *vmx_counts_alloc(void);	/* NULL: nothing is counted */
void vmx_count(struct umbra_vcpu *vcpu);
int vmx_vmcs_counts(struct umbra_vcpu *vcpu, struct umbra_vmcs_counts *out);

/* vmx_failure.c */
u64 vmx_dump(struct umbra_vcpu *vcpu);
struct vmx_entry_words;
void vmx_read_fields(struct vmx_entry_words *w, int first, int last);
void vmx_describe_failure(struct umbra_vcpu *vcpu, struct umbra_entry_failure *out);

/* vmx_entry.S */
asmlinkage unsigned int vmx_world_switch(u64 *gprs, unsigned int launched,
					 unsigned long *host_rsp);
asmlinkage void vmx_serve_nmi(void);
extern const char vmx_left_guest[];

#endif
