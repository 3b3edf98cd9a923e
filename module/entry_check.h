/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a CPU refuses to enter a guest: the manuals' checks done once more by software,
 * to name the one that failed. Words in, verdict out: unit tests build this as it is.
 */
#ifndef UMBRA_ENTRY_CHECK_H
#define UMBRA_ENTRY_CHECK_H

#include "emul_types.h"

/**
 * struct umbra_check - a check that failed; @section is NULL when none has
 * @section: the manual's title of where it stands
 * @what: register or field
 * @rule: what is wrong with it
 */
struct umbra_check {
	const char *section, *what, *rule;
};

/* Note the first rule that is broken: the checks are chains of these. */
static inline bool umbra_check_broken(struct umbra_check *check, bool broken, const char *what,
				      const char *rule)
{
	if (broken) {
		check->what = what;
		check->rule = rule;
	}
	return broken;
}

/* Bits @from to 63 of an address all equal bit @from. */
static inline bool umbra_check_canonical(u64 address, unsigned int from)
{
	return (u64)((s64)(address << (63 - from)) >> (63 - from)) == address;
}

/* The fields of a VMCS that a record shows: identifier, encoding, name. */
#define VMX_FIELDS(X)									\
	X(PIN, PIN_BASED_VM_EXEC_CONTROL, "pin controls")				\
	X(PRIMARY, CPU_BASED_VM_EXEC_CONTROL, "primary controls")			\
	X(SECONDARY, SECONDARY_VM_EXEC_CONTROL, "secondary controls")			\
	X(EXIT, VM_EXIT_CONTROLS, "exit controls")					\
	X(ENTRY, VM_ENTRY_CONTROLS, "entry controls")					\
	X(EXCEPTIONS, EXCEPTION_BITMAP, "exceptions")					\
	X(CR3_TARGETS, CR3_TARGET_COUNT, "CR3 targets")					\
	X(TPR_THRESHOLD, TPR_THRESHOLD, "TPR threshold")				\
	X(VPID, VIRTUAL_PROCESSOR_ID, "VPID")						\
	X(EPTP, EPT_POINTER, "EPT pointer")						\
	X(MSR_BITMAP, MSR_BITMAP, "MSR bitmap")						\
	X(VIRTUAL_APIC, VIRTUAL_APIC_PAGE_ADDR, "virtual APIC")				\
	X(APIC_ACCESS, APIC_ACCESS_ADDR, "APIC access")					\
	X(EXIT_STORE, VM_EXIT_MSR_STORE_ADDR, "exit MSR store")				\
	X(EXIT_LOAD, VM_EXIT_MSR_LOAD_ADDR, "exit MSR load")				\
	X(ENTRY_LOAD, VM_ENTRY_MSR_LOAD_ADDR, "entry MSR load")				\
	X(INSN_LEN, VM_ENTRY_INSTRUCTION_LEN, "event length")				\
	X(CR0, GUEST_CR0, "guest CR0")							\
	X(CR3, GUEST_CR3, "guest CR3")							\
	X(CR4, GUEST_CR4, "guest CR4")							\
	X(DR7, GUEST_DR7, "guest DR7")							\
	X(RSP, GUEST_RSP, "guest RSP")							\
	X(RIP, GUEST_RIP, "guest RIP")							\
	X(RFLAGS, GUEST_RFLAGS, "guest RFLAGS")						\
	VMX_SEGMENT_FIELDS(X, ES) VMX_SEGMENT_FIELDS(X, CS) VMX_SEGMENT_FIELDS(X, SS)	\
	VMX_SEGMENT_FIELDS(X, DS) VMX_SEGMENT_FIELDS(X, FS) VMX_SEGMENT_FIELDS(X, GS)	\
	VMX_SEGMENT_FIELDS(X, LDTR) VMX_SEGMENT_FIELDS(X, TR)				\
	X(GDTR_BASE, GUEST_GDTR_BASE, "guest GDTR base")				\
	X(GDTR_LIMIT, GUEST_GDTR_LIMIT, "guest GDTR limit")				\
	X(IDTR_BASE, GUEST_IDTR_BASE, "guest IDTR base")				\
	X(IDTR_LIMIT, GUEST_IDTR_LIMIT, "guest IDTR limit")				\
	X(EFER, GUEST_IA32_EFER, "guest EFER")						\
	X(PAT, GUEST_IA32_PAT, "guest PAT")						\
	X(SYSENTER_ESP, GUEST_SYSENTER_ESP, "guest SYSENTER_ESP")			\
	X(SYSENTER_EIP, GUEST_SYSENTER_EIP, "guest SYSENTER_EIP")			\
	X(ACTIVITY, GUEST_ACTIVITY_STATE, "guest activity")				\
	X(SHADOW, GUEST_INTERRUPTIBILITY_INFO, "guest interruptibility")		\
	X(PENDING_DB, GUEST_PENDING_DBG_EXCEPTIONS, "guest pending debug")		\
	X(LINK, VMCS_LINK_POINTER, "VMCS link")						\
	X(PDPTE0, GUEST_PDPTR0, "guest PDPTE0")						\
	X(PDPTE1, GUEST_PDPTR1, "guest PDPTE1")						\
	X(PDPTE2, GUEST_PDPTR2, "guest PDPTE2")						\
	X(PDPTE3, GUEST_PDPTR3, "guest PDPTE3")						\
	X(HOST_CR0, HOST_CR0, "host CR0")						\
	X(HOST_CR3, HOST_CR3, "host CR3")						\
	X(HOST_CR4, HOST_CR4, "host CR4")						\
	X(HOST_EFER, HOST_IA32_EFER, "host EFER")					\
	X(HOST_PAT, HOST_IA32_PAT, "host PAT")						\
	X(HOST_CS, HOST_CS_SELECTOR, "host CS")						\
	X(HOST_SS, HOST_SS_SELECTOR, "host SS")						\
	X(HOST_DS, HOST_DS_SELECTOR, "host DS")						\
	X(HOST_ES, HOST_ES_SELECTOR, "host ES")						\
	X(HOST_FS, HOST_FS_SELECTOR, "host FS")						\
	X(HOST_GS, HOST_GS_SELECTOR, "host GS")						\
	X(HOST_TR, HOST_TR_SELECTOR, "host TR")						\
	X(HOST_FS_BASE, HOST_FS_BASE, "host FS base")					\
	X(HOST_GS_BASE, HOST_GS_BASE, "host GS base")					\
	X(HOST_TR_BASE, HOST_TR_BASE, "host TR base")					\
	X(HOST_GDTR, HOST_GDTR_BASE, "host GDTR base")					\
	X(HOST_IDTR, HOST_IDTR_BASE, "host IDTR base")					\
	X(HOST_ESP, HOST_IA32_SYSENTER_ESP, "host SYSENTER_ESP")			\
	X(HOST_EIP, HOST_IA32_SYSENTER_EIP, "host SYSENTER_EIP")			\
	X(HOST_RSP, HOST_RSP, "host RSP")						\
	X(HOST_RIP, HOST_RIP, "host RIP")

#define VMX_SEGMENT_FIELDS(X, seg)							\
	X(seg##_SEL, GUEST_##seg##_SELECTOR, "guest " #seg)				\
	X(seg##_BASE, GUEST_##seg##_BASE, "guest " #seg " base")			\
	X(seg##_LIMIT, GUEST_##seg##_LIMIT, "guest " #seg " limit")			\
	X(seg##_RIGHTS, GUEST_##seg##_AR_BYTES, "guest " #seg " rights")

#define VMX_FIELD_ID(id, encoding, name)	VMX_F_##id,
enum vmx_field { VMX_FIELDS(VMX_FIELD_ID) VMX_NR_FIELDS };

/**
 * struct vmx_entry_words - what an entry is judged by
 * @value: the VMCS
 * @event: the event that was to be injected
 * @vtpr: TPR in the virtual-APIC page
 * @pin, @primary, @secondary, @exit, @entry: capability MSRs: what must be on, and
 *	above it what may be
 * @cr0_fixed, @cr4_fixed: bits that must be set; @cr0_allowed, @cr4_allowed: that may be
 * @phys_bits: the width of a physical address
 */
struct vmx_entry_words {
	u64 value[VMX_NR_FIELDS];
	u32 event;
	u8 vtpr;
	u64 pin, primary, secondary, exit, entry;
	u64 cr0_fixed, cr0_allowed, cr4_fixed, cr4_allowed;
	u8 phys_bits;
};

/* «Checks on VMX Controls», «Checks on Host Control Registers ...»: VMfail. */
struct umbra_check vmx_check_controls(const struct vmx_entry_words *w);
/* «Checking and Loading Guest State»: a failed entry, reason 33. */
struct umbra_check vmx_check_guest(const struct vmx_entry_words *w);
/* «Checks on Guest Segment Registers» alone, by those, CR0, RFLAGS and the controls. */
bool vmx_segments_pass(const struct vmx_entry_words *w);

/* The same of SVM: its control block's fields, by their names in <asm/svm.h>. */
#define SVM_FIELDS(X)									\
	X(EXIT_CODE, control.exit_code, "exit code")					\
	X(INFO1, control.exit_info_1, "exit info 1")					\
	X(INFO2, control.exit_info_2, "exit info 2")					\
	X(ASID, control.asid, "ASID")							\
	X(TLB_CTL, control.tlb_ctl, "TLB control")					\
	X(INT_CTL, control.int_ctl, "virtual interrupt")				\
	X(INT_STATE, control.int_state, "interrupt shadow")				\
	X(NESTED, control.nested_ctl, "nested paging")					\
	X(NCR3, control.nested_cr3, "nested CR3")					\
	X(MSRPM, control.msrpm_base_pa, "MSR bitmap")					\
	X(IOPM, control.iopm_base_pa, "I/O bitmap")					\
	X(EXCEPTIONS, control.intercepts[2], "exceptions")				\
	X(INTERCEPT3, control.intercepts[3], "intercepts 3")				\
	X(INTERCEPT4, control.intercepts[4], "intercepts 4")				\
	X(CR0, save.cr0, "guest CR0")							\
	X(CR2, save.cr2, "guest CR2")							\
	X(CR3, save.cr3, "guest CR3")							\
	X(CR4, save.cr4, "guest CR4")							\
	X(DR6, save.dr6, "guest DR6")							\
	X(DR7, save.dr7, "guest DR7")							\
	X(EFER, save.efer, "guest EFER")						\
	X(PAT, save.g_pat, "guest PAT")							\
	X(RAX, save.rax, "guest RAX")							\
	X(RSP, save.rsp, "guest RSP")							\
	X(RIP, save.rip, "guest RIP")							\
	X(RFLAGS, save.rflags, "guest RFLAGS")						\
	SVM_SEGMENT_FIELDS(X, ES, es) SVM_SEGMENT_FIELDS(X, CS, cs)			\
	SVM_SEGMENT_FIELDS(X, SS, ss) SVM_SEGMENT_FIELDS(X, DS, ds)			\
	SVM_SEGMENT_FIELDS(X, FS, fs) SVM_SEGMENT_FIELDS(X, GS, gs)			\
	SVM_SEGMENT_FIELDS(X, LDTR, ldtr) SVM_SEGMENT_FIELDS(X, TR, tr)			\
	SVM_SEGMENT_FIELDS(X, GDTR, gdtr) SVM_SEGMENT_FIELDS(X, IDTR, idtr)

#define SVM_SEGMENT_FIELDS(X, seg, field)						\
	X(seg##_SEL, save.field.selector, "guest " #seg)				\
	X(seg##_BASE, save.field.base, "guest " #seg " base")				\
	X(seg##_LIMIT, save.field.limit, "guest " #seg " limit")			\
	X(seg##_RIGHTS, save.field.attrib, "guest " #seg " rights")

#define SVM_FIELD_ID(id, field, name)	SVM_F_##id,
enum svm_field { SVM_FIELDS(SVM_FIELD_ID) SVM_NR_FIELDS };

/**
 * struct svm_entry_words - what an entry is judged by
 * @value: the control block
 * @event: the event that was to be injected
 * @cr4_allowed, @efer_allowed: bits that this CPU has
 * @phys_bits: the width of a physical address
 */
struct svm_entry_words {
	u64 value[SVM_NR_FIELDS];
	u64 event;
	u64 cr4_allowed, efer_allowed;
	u8 phys_bits;
};

/* «Canonicalization and Consistency Checks» */
struct umbra_check svm_check_entry(const struct svm_entry_words *w);

#endif
