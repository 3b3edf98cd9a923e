/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AMD's SVM, shared by the files of the backend: svm.c (machine, CPUs, vCPUs,
 * the way in and out), svm_exit.c (decoding, events), svm_regs.c (registers).
 * Titles in «» are sections of the AMD64 manual, volume 2.
 */
#ifndef UMBRA_SVM_H
#define UMBRA_SVM_H

#include <linux/bits.h>
#include <linux/types.h>
#include <asm/svm.h>

#include "svm_asid.h"
#include "umbra.h"

/* «VMCB Clean Bits»: what the CPU may still have cached of a VMCB. */
enum svm_clean {
	SVM_CLEAN_INTERCEPTS	= BIT(0),	/* and the TSC offset */
	SVM_CLEAN_PERM_MAPS	= BIT(1),
	SVM_CLEAN_ASID		= BIT(2),
	SVM_CLEAN_INTR		= BIT(3),
	SVM_CLEAN_NPT		= BIT(4),
	SVM_CLEAN_CR		= BIT(5),
	SVM_CLEAN_DR		= BIT(6),
	SVM_CLEAN_DT		= BIT(7),
	SVM_CLEAN_SEG		= BIT(8),
	SVM_CLEAN_CR2		= BIT(9),
	SVM_CLEAN_LBR		= BIT(10),
	SVM_CLEAN_ALL		= GENMASK(10, 0),
	/* The CPU or we write these at each round. */
	SVM_CLEAN_NEVER		= SVM_CLEAN_INTR | SVM_CLEAN_CR2,
};

/**
 * struct svm_vcpu - vcpu->hw; all of it belongs to the vCPU's owner
 * @vmcb, @vmcb_pa: the control block
 * @msrpm: its MSR bitmap, two pages: deny by default
 * @id: never 0 and never given twice: tells vCPUs apart where an address could be reused
 * @asid: its ASID on @cpu, and whether its translations are stale
 * @cpu: where the VMCB ran last, or -1
 * @clean: bits of enum svm_clean that still hold
 * @host_saved: the host's half has been VMSAVEd since the vCPU was loaded
 * @host_had_ldt: it had an LDT, which another thread may replace: save it each time
 * @dr_guest: the guest has used a debug register and owns them all until the next exit
 * @irq_window: leave the guest when it can take an interrupt
 * @tpr: what V_TPR held at entry
 * @nmi_masked: an NMI is in service
 * @iret_seen: the IRET at @iret_rip has exited and will end that service
 * @nmi_step: single-step one instruction, after which an NMI can go in
 * @exit_at_once: leave the guest as soon as EVENTINJ is delivered
 * @injected_trap: the #BP, #OF or INT n in EVENTINJ comes from us: RIP is behind it
 * @refused: the event that went with an entry that has failed
 */
struct svm_vcpu {
	struct vmcb *vmcb;
	phys_addr_t vmcb_pa;
	u32 *msrpm;
	u64 id;
	struct svm_asid asid;
	int cpu;
	u32 clean;
	bool host_saved, host_had_ldt;
	bool dr_guest;
	bool irq_window;
	u8 tpr;
	bool nmi_masked, iret_seen, nmi_step, exit_at_once;
	bool injected_trap;
	u64 refused;
	u64 iret_rip;
};

#define SVM_MSRPM_ORDER		1
#define SVM_MSRPM_SIZE		(PAGE_SIZE << SVM_MSRPM_ORDER)

/* All debug registers, reads in the low half and writes in the high one. */
#define SVM_DR_INTERCEPTS	0x00ff00ffU

static inline struct svm_vcpu *to_svm(struct umbra_vcpu *vcpu)
{
	return vcpu->hw;
}

static inline void svm_dirty(struct svm_vcpu *svm, u32 bits)
{
	svm->clean &= ~bits;
}

/* @bit: INTERCEPT_* of <asm/svm.h>: 32 bits a word. */
static inline bool svm_intercepts(const struct svm_vcpu *svm, int bit)
{
	return svm->vmcb->control.intercepts[bit / 32] & BIT(bit % 32);
}

static inline void svm_intercept(struct svm_vcpu *svm, int bit, bool on)
{
	u32 *word = &svm->vmcb->control.intercepts[bit / 32];
	u32 value = on ? *word | BIT(bit % 32) : *word & ~BIT(bit % 32);

	if (*word == value)
		return;
	*word = value;
	svm_dirty(svm, SVM_CLEAN_INTERCEPTS);
}

static inline void svm_intercept_exception(struct svm_vcpu *svm, int vector, bool on)
{
	svm_intercept(svm, INTERCEPT_EXCEPTION_OFFSET + vector, on);
}

static inline void svm_close_irq_window(struct svm_vcpu *svm)
{
	svm->irq_window = false;
	svm_intercept(svm, INTERCEPT_VINTR, false);
}

/* svm.c: the exit code of the last entry. */
static inline u64 svm_exit_code(const struct svm_vcpu *svm)
{
	return svm->vmcb->control.exit_code | (u64)svm->vmcb->control.exit_code_hi << 32;
}

/* svm_exit.c */
void svm_decode(struct umbra_vcpu *vcpu);
void svm_exit_words(struct umbra_vcpu *vcpu, struct umbra_exit_words *words);
u32 svm_interrupt_shadow(struct umbra_vcpu *vcpu);
void svm_set_interrupt_shadow(struct umbra_vcpu *vcpu, u32 mask);
bool svm_interrupt_allowed(struct umbra_vcpu *vcpu);
bool svm_nmi_allowed(struct umbra_vcpu *vcpu);
void svm_inject_exception(struct umbra_vcpu *vcpu);
void svm_inject_irq(struct umbra_vcpu *vcpu);
void svm_inject_nmi(struct umbra_vcpu *vcpu);
void svm_cancel_inject(struct umbra_vcpu *vcpu);
void svm_set_tpr_threshold(struct umbra_vcpu *vcpu, u8 class);
void svm_want_irq_window(struct umbra_vcpu *vcpu);
void svm_want_nmi_window(struct umbra_vcpu *vcpu);
bool svm_get_nmi_mask(struct umbra_vcpu *vcpu);
void svm_set_nmi_mask(struct umbra_vcpu *vcpu, bool masked);

/* svm_regs.c */
void svm_cache_reg(struct umbra_vcpu *vcpu, int reg);
void svm_get_segment(struct umbra_vcpu *vcpu, struct kvm_segment *s, int seg);
void svm_set_segment(struct umbra_vcpu *vcpu, const struct kvm_segment *s, int seg);
void svm_get_dt(struct umbra_vcpu *vcpu, struct kvm_dtable *dt, bool idt);
void svm_set_dt(struct umbra_vcpu *vcpu, const struct kvm_dtable *dt, bool idt);
void svm_set_cr0(struct umbra_vcpu *vcpu, u64 cr0);
void svm_set_cr3(struct umbra_vcpu *vcpu, u64 cr3);
void svm_set_cr4(struct umbra_vcpu *vcpu, u64 cr4);
void svm_set_efer(struct umbra_vcpu *vcpu, u64 efer);
void svm_set_dr7(struct umbra_vcpu *vcpu, u64 dr7);
int svm_get_msr(struct umbra_vcpu *vcpu, u32 index, u64 *value);
int svm_set_msr(struct umbra_vcpu *vcpu, u32 index, u64 value);
int svm_get_cpl(struct umbra_vcpu *vcpu);
bool svm_code64(struct umbra_vcpu *vcpu);
void svm_filter_msrs(struct umbra_vcpu *vcpu);
void svm_init_msrpm(struct svm_vcpu *svm);
void svm_reset_save(struct umbra_vcpu *vcpu, bool init);

/* svm_failure.c */
u64 svm_dump(struct umbra_vcpu *vcpu);
void svm_describe_failure(struct umbra_vcpu *vcpu, struct umbra_entry_failure *out);

/* svm_entry.S */
asmlinkage void svm_world_switch(u64 *gprs, u64 vmcb_pa, u64 host_pa, u64 guest_spec,
				 u64 host_spec);

#endif
