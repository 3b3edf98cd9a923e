// SPDX-License-Identifier: GPL-2.0-only
/* The manuals' entry checks (module/vmx_checks.c, svm_checks.c): each rule, broken alone. */
#include <stdio.h>
#include <string.h>

#include "entry_check.h"
#include "tap.h"

#define BIT(n)		(1ull << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define NONCANONICAL	BIT(62)
#define ALL_ALLOWED	0xffffffff00000000ull

static bool says(struct umbra_check c, const char *wanted)
{
	char text[160] = "";

	if (c.section)
		snprintf(text, sizeof(text), "%s: %s", c.what, c.rule);
	if (strcmp(text, wanted))
		tap_note("said '%s', wanted '%s'", text, wanted);
	return !strcmp(text, wanted);
}

/* ---- VMX ---- */

static void code_and_data(struct vmx_entry_words *w)
{
	int i;

	for (i = VMX_F_ES_SEL; i < VMX_F_LDTR_SEL; i += 4) {
		w->value[i] = 0x10;
		w->value[i + 2] = 0xffffffff;
		w->value[i + 3] = 0xc093;
	}
	w->value[VMX_F_CS_SEL] = 8;
	w->value[VMX_F_CS_RIGHTS] = 0xa09b;
	w->value[VMX_F_LDTR_RIGHTS] = 0x10000;
	w->value[VMX_F_TR_SEL] = 0x30;
	w->value[VMX_F_TR_LIMIT] = 0x67;
	w->value[VMX_F_TR_RIGHTS] = 0x8b;
}

/* A guest of 64 bits in a host of 64 bits. */
static struct vmx_entry_words vmx_good(void)
{
	struct vmx_entry_words w = {
		.pin = ALL_ALLOWED | 0x16, .primary = ALL_ALLOWED, .secondary = ALL_ALLOWED,
		.exit = ALL_ALLOWED, .entry = ALL_ALLOWED,
		.cr0_fixed = 0x80000021, .cr0_allowed = 0xffffffff,
		.cr4_fixed = 0x2000, .cr4_allowed = 0x1767ff, .phys_bits = 40,
	};
	u64 *v = w.value;

	v[VMX_F_PIN] = 0x17 | BIT(3) | BIT(5);
	v[VMX_F_PRIMARY] = BIT(31) | BIT(28) | BIT(21);
	v[VMX_F_SECONDARY] = BIT(1) | BIT(4) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(17);
	v[VMX_F_EXIT] = BIT(21);
	v[VMX_F_ENTRY] = BIT(9) | BIT(15);
	v[VMX_F_VPID] = 1;
	v[VMX_F_EPTP] = 0x1000 | 3 << 3 | 6;
	v[VMX_F_CR0] = v[VMX_F_HOST_CR0] = 0x80000031;
	v[VMX_F_CR4] = v[VMX_F_HOST_CR4] = 0x2020;
	v[VMX_F_EFER] = v[VMX_F_HOST_EFER] = 0xd01;
	v[VMX_F_PAT] = v[VMX_F_HOST_PAT] = 0x0007040600070406ull;
	v[VMX_F_HOST_CS] = 0x10;
	v[VMX_F_HOST_TR] = 0x40;
	v[VMX_F_DR7] = 0x400;
	v[VMX_F_RFLAGS] = 2;
	v[VMX_F_LINK] = ~0ull;
	code_and_data(&w);
	return w;
}

#define EVENT(type, vector, more)	(0x80000000u | (type) << 8 | (vector) | (more))
#define HAS_ERROR			BIT(11)

/* @field is set to @value, or @event given; each breaks one rule. */
static const struct vmx_row {
	bool guest;
	enum vmx_field field;
	u64 value;
	u32 event;
	const char *says;
} vmx_rows[] = {
	{ false, VMX_F_PIN, 0x28, 0, "pin controls: bits that the CPU does not allow" },
	{ false, VMX_F_CR3_TARGETS, 5, 0, "CR3 targets: more than 4" },
	{ false, VMX_F_MSR_BITMAP, 0x800, 0, "MSR bitmap: address" },
	{ false, VMX_F_VIRTUAL_APIC, BIT(40), 0, "virtual APIC: address" },
	{ false, VMX_F_TPR_THRESHOLD, 16, 0, "TPR threshold: more than 15" },
	{ false, VMX_F_PRIMARY, BIT(31), 0, "virtual APIC: without TPR shadow" },
	{ false, VMX_F_SECONDARY, BIT(0) | BIT(1) | BIT(4), 0, "APIC access: with x2APIC mode" },
	{ false, VMX_F_APIC_ACCESS, BIT(40) | 1, 0, "" },
	{ false, VMX_F_PIN, 0x3e, 0, "interrupt delivery: without interrupt exiting" },
	{ false, VMX_F_PIN, 0x37, 0, "virtual NMIs: without NMI exiting" },
	{ false, VMX_F_PRIMARY, BIT(22), 0, "" },
	{ false, VMX_F_VPID, 0, 0, "VPID: 0" },
	{ false, VMX_F_EPTP, 0x1006, 0, "EPT pointer: address or depth" },
	{ false, VMX_F_SECONDARY, BIT(7), 0, "unrestricted guest: without EPT" },
	{ false, VMX_F_SECONDARY, BIT(17), 0, "page-modification log: without EPT" },
	{ false, VMX_F_EXIT_LOAD, 8, 0, "MSR areas: address" },
	{ false, VMX_F_ENTRY_LOAD, 8, 0, "MSR area: address" },
	{ false, VMX_F_CR0, 0x80000031, EVENT(1, 3, 0), "event: type" },
	{ false, VMX_F_CR0, 0x80000031, EVENT(2, 3, 0), "event: vector" },
	{ false, VMX_F_CR0, 0x80000031, EVENT(3, 13, 0),
	  "event: error code, or none, against the vector" },
	{ false, VMX_F_CR0, 0x80000031, EVENT(3, 13, HAS_ERROR), "" },
	{ false, VMX_F_CR0, 0x80000031, EVENT(3, 3, HAS_ERROR),
	  "event: error code, or none, against the vector" },
	{ false, VMX_F_CR0, 0x30, EVENT(3, 13, HAS_ERROR),
	  "event: error code, or none, against the vector" },
	{ false, VMX_F_CR0, 0x80000031, EVENT(0, 0x20, 0x1000), "event: reserved bits" },
	{ false, VMX_F_INSN_LEN, 16, EVENT(4, 0x80, 0), "event: instruction length" },
	{ false, VMX_F_HOST_CR0, 0, 0, "host CR0: fixed bits" },
	{ false, VMX_F_HOST_CR4, 0x2000, 0, "host CR4: fixed bits, or no PAE" },
	{ false, VMX_F_HOST_CR3, BIT(40), 0, "host CR3: beyond the physical address width" },
	{ false, VMX_F_HOST_EIP, NONCANONICAL, 0, "host SYSENTER: not canonical" },
	{ false, VMX_F_HOST_PAT, 2, 0, "host PAT: memory type" },
	{ false, VMX_F_HOST_EFER, 0x501, 0, "" },
	{ false, VMX_F_HOST_EFER, 0x101, 0, "host EFER: reserved bits, or no long mode" },
	{ false, VMX_F_HOST_DS, 3, 0, "host selectors: RPL or TI is not 0" },
	{ false, VMX_F_HOST_TR, 0, 0, "host CS or TR: 0" },
	{ false, VMX_F_HOST_GS_BASE, NONCANONICAL, 0, "host bases and RIP: not canonical" },

	{ true, VMX_F_CR0, 0x80000011, 0, "CR0: fixed bits" },
	{ true, VMX_F_CR0, 0x80000030, 0, "CR0: PG without PE" },
	{ true, VMX_F_CR0, 0x31, 0, "CR0: no PG in long mode" },
	{ true, VMX_F_CR4, 0x20, 0, "CR4: fixed bits" },
	{ true, VMX_F_CR4, 0x2000, 0, "CR4: no PAE in long mode" },
	{ true, VMX_F_CR3, BIT(40), 0, "CR3: beyond the physical address width" },
	{ true, VMX_F_DR7, BIT(32), 0, "DR7: upper half" },
	{ true, VMX_F_SYSENTER_ESP, NONCANONICAL, 0, "SYSENTER_ESP: not canonical" },
	{ true, VMX_F_SYSENTER_EIP, NONCANONICAL, 0, "SYSENTER_EIP: not canonical" },
	{ true, VMX_F_PAT, 3, 0, "PAT: memory type" },
	{ true, VMX_F_EFER, 0x2d01, 0, "EFER: reserved bits" },
	{ true, VMX_F_EFER, 0x901, 0, "EFER: LMA against the entry control" },
	{ true, VMX_F_EFER, 0xc01, 0, "EFER: LMA against LME" },
	{ true, VMX_F_ENTRY, BIT(15), 0, "EFER: LMA against the entry control" },
	{ true, VMX_F_ENTRY, 0, 0, "" },
	{ true, VMX_F_TR_SEL, 0x34, 0, "TR: selector names the LDT" },
	{ true, VMX_F_TR_BASE, NONCANONICAL, 0, "TR: base is not canonical" },
	{ true, VMX_F_TR_RIGHTS, 0x83, 0, "TR: type" },
	{ true, VMX_F_TR_RIGHTS, 0x9b, 0, "TR: not a system segment" },
	{ true, VMX_F_TR_RIGHTS, 0xb, 0, "TR: not present" },
	{ true, VMX_F_TR_RIGHTS, 0x1008b, 0, "TR: unusable" },
	{ true, VMX_F_TR_RIGHTS, 0x18b, 0, "TR: reserved bits" },
	{ true, VMX_F_TR_RIGHTS, 0x808b, 0, "TR: limit against granularity" },
	{ true, VMX_F_LDTR_RIGHTS, 0x83, 0, "LDTR: type" },
	{ true, VMX_F_LDTR_RIGHTS, 0x82, 0, "" },
	{ true, VMX_F_FS_BASE, NONCANONICAL, 0, "FS: base is not canonical" },
	{ true, VMX_F_GS_BASE, NONCANONICAL, 0, "GS: base is not canonical" },
	{ true, VMX_F_RFLAGS, 2 | BIT(17), 0, "ES: base in virtual-8086 mode" },
	{ true, VMX_F_CS_RIGHTS, 0xa091, 0, "CS: type" },
	{ true, VMX_F_CS_RIGHTS, 0xc093, 0, "" },
	{ true, VMX_F_CS_RIGHTS, 0xc0b3, 0, "CS: DPL of a data segment is not 0" },
	{ true, VMX_F_CS_RIGHTS, 0xa0bb, 0, "CS: DPL is not SS's" },
	{ true, VMX_F_CS_RIGHTS, 0xa0bf, 0, "CS: DPL is above SS's" },
	{ true, VMX_F_CS_RIGHTS, 0xe09b, 0, "CS: L and D together" },
	{ true, VMX_F_CS_RIGHTS, 0x209b, 0, "CS: limit against granularity" },
	{ true, VMX_F_CS_RIGHTS, 0xa01b, 0, "CS: not present" },
	{ true, VMX_F_CS_RIGHTS, 0xa08b, 0, "CS: a system segment" },
	{ true, VMX_F_CS_BASE, BIT(32), 0, "CS: upper half of the base" },
	{ true, VMX_F_SS_RIGHTS, 0xc091, 0, "SS: type" },
	{ true, VMX_F_SS_BASE, BIT(32), 0, "SS: upper half of the base" },
	{ true, VMX_F_DS_RIGHTS, 0xc092, 0, "DS: type" },
	{ true, VMX_F_DS_RIGHTS, 0xc099, 0, "DS: type" },
	{ true, VMX_F_ES_RIGHTS, 0xc193, 0, "ES: reserved bits" },
	{ true, VMX_F_GDTR_BASE, NONCANONICAL, 0, "GDTR or IDTR: base is not canonical" },
	{ true, VMX_F_IDTR_LIMIT, 0x10000, 0, "GDTR or IDTR: limit above 65535" },
	{ true, VMX_F_RIP, NONCANONICAL, 0, "RIP: not canonical" },
	{ true, VMX_F_RFLAGS, 0, 0, "RFLAGS: reserved bits" },
	{ true, VMX_F_RFLAGS, 2, EVENT(0, 0x20, 0), "RFLAGS: IF is 0 for an interrupt" },
	{ true, VMX_F_RFLAGS, 0x202, EVENT(0, 0x20, 0), "" },
	{ true, VMX_F_SHADOW, 0x20, 0, "interruptibility: reserved bits" },
	{ true, VMX_F_SHADOW, 3, 0, "interruptibility: STI's shadow and MOV SS's" },
	{ true, VMX_F_SHADOW, 1, 0, "interruptibility: STI's shadow with IF 0" },
	{ true, VMX_F_SHADOW, 4, 0, "interruptibility: SMIs blocked outside of SMM" },
	{ true, VMX_F_SHADOW, 2, EVENT(2, 2, 0), "interruptibility: an NMI in MOV SS's shadow" },
	{ true, VMX_F_SHADOW, 8, EVENT(2, 2, 0), "interruptibility: an NMI while they are blocked" },
	{ true, VMX_F_SHADOW, 8, 0, "" },
	{ true, VMX_F_ACTIVITY, 4, 0, "activity: no such state" },
	{ true, VMX_F_LINK, 0x1000, 0, "VMCS link: in use" },
};

static void vmx(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vmx_rows); i++) {
		const struct vmx_row *row = &vmx_rows[i];
		struct vmx_entry_words w = vmx_good();
		struct umbra_check c;

		w.value[row->field] = row->value;
		w.event = row->event;
		c = row->guest ? vmx_check_guest(&w) : vmx_check_controls(&w);
		tap_ok(says(c, row->says), "VMX, %u: %s", i, row->says[0] ? row->says : "allowed");
	}
}

/* What more than one field has to be set for. */
static void vmx_modes(void)
{
	struct vmx_entry_words w = vmx_good();
	u64 *v = w.value;

	tap_ok(says(vmx_check_guest(&w), "") && says(vmx_check_controls(&w), ""),
	       "VMX: nothing is wrong with what is right");
	v[VMX_F_RFLAGS] = 0x102;
	v[VMX_F_SHADOW] = 2;
	tap_ok(says(vmx_check_guest(&w), "pending debug: step against TF"),
	       "VMX: in a shadow a step is pending with TF");
	v[VMX_F_PENDING_DB] = BIT(14);
	tap_ok(says(vmx_check_guest(&w), ""), "VMX: and then all is well");

	w = vmx_good();
	v[VMX_F_ENTRY] = 0;
	v[VMX_F_EFER] = 0;
	v[VMX_F_CS_RIGHTS] = 0xc09b;
	tap_ok(says(vmx_check_guest(&w), ""), "VMX: a guest of PAE");
	v[VMX_F_PDPTE2] = 0x2000 | 3;
	tap_ok(says(vmx_check_guest(&w), "PDPTE: reserved bits"), "VMX: its PDPTEs");
	v[VMX_F_PDPTE2] = 0;
	v[VMX_F_RIP] = BIT(32);
	tap_ok(says(vmx_check_guest(&w), "RIP: upper half outside 64-bit code"), "VMX: its RIP");

	w = vmx_good();
	v[VMX_F_SECONDARY] = BIT(1);
	v[VMX_F_CR0] = 0x30;
	tap_ok(says(vmx_check_guest(&w), "CR0: fixed bits"), "VMX: no real mode without unrestricted guest");
	v[VMX_F_CR0] = 0x80000031;
	v[VMX_F_SS_SEL] = 0x13;
	tap_ok(says(vmx_check_guest(&w), "SS: RPL is not CS's"), "VMX: nor SS of another ring");
	v[VMX_F_SS_SEL] = 0x10;
	v[VMX_F_DS_SEL] = 0x13;
	tap_ok(says(vmx_check_guest(&w), "DS: DPL is below the RPL"), "VMX: nor DS");
}

static void vmx_xapic(void)
{
	struct vmx_entry_words w = vmx_good();
	u64 *v = w.value;

	v[VMX_F_SECONDARY] = BIT(0) | BIT(1) | BIT(5) | BIT(8);
	v[VMX_F_APIC_ACCESS] = 0x3000;
	v[VMX_F_TPR_THRESHOLD] = 6;
	w.vtpr = 0x5f;
	tap_ok(says(vmx_check_controls(&w), ""), "VMX: an APIC-access page");
	v[VMX_F_APIC_ACCESS] = 0x3800;
	tap_ok(says(vmx_check_controls(&w), "APIC access: address"), "VMX: not aligned");
	v[VMX_F_APIC_ACCESS] = BIT(40);
	tap_ok(says(vmx_check_controls(&w), "APIC access: address"), "VMX: too wide");
	v[VMX_F_SECONDARY] = BIT(1) | BIT(5);
	tap_ok(says(vmx_check_controls(&w), "TPR threshold: above TPR"), "VMX: a threshold above TPR");
	w.vtpr = 0x60;
	tap_ok(says(vmx_check_controls(&w), ""), "VMX: and one that is not");
}

/* ---- SVM ---- */

static struct svm_entry_words svm_good(void)
{
	struct svm_entry_words w = {
		.cr4_allowed = 0xffffffff, .efer_allowed = 0x1d01, .phys_bits = 40,
	};
	u64 *v = w.value;

	v[SVM_F_EFER] = 0x1d01;
	v[SVM_F_CR0] = 0x80000031;
	v[SVM_F_CR4] = 0x20;
	v[SVM_F_CS_RIGHTS] = 0x29b;
	v[SVM_F_INTERCEPT4] = 1;
	v[SVM_F_ASID] = 1;
	return w;
}

static const struct svm_row {
	enum svm_field field;
	u64 value, event;
	const char *says;
} svm_rows[] = {
	{ SVM_F_CR0, 0x80000031, 0, "" },
	{ SVM_F_EFER, 0xd01, 0, "EFER: SVME is 0" },
	{ SVM_F_CR0, 0xa0000031, 0, "CR0: NW without CD" },
	{ SVM_F_CR0, BIT(32) | 0x80000031, 0, "CR0: upper half" },
	{ SVM_F_CR3, BIT(40), 0, "CR3: beyond the physical address width" },
	{ SVM_F_CR4, BIT(40) | 0x20, 0, "CR4: reserved bits" },
	{ SVM_F_DR6, BIT(32), 0, "DR6: upper half" },
	{ SVM_F_DR7, BIT(32), 0, "DR7: upper half" },
	{ SVM_F_EFER, 0x1d01 | BIT(40), 0, "EFER: reserved bits" },
	{ SVM_F_CR4, 0, 0, "CR4: no PAE in long mode" },
	{ SVM_F_CR0, 0x80000030, 0, "CR0: PG without PE in long mode" },
	{ SVM_F_CS_RIGHTS, 0x69b, 0, "CS: L and D together" },
	{ SVM_F_INTERCEPT4, 0, 0, "intercepts: VMRUN's is 0" },
	{ SVM_F_MSRPM, BIT(40), 0, "MSR bitmap: beyond the physical address width" },
	{ SVM_F_IOPM, BIT(40), 0, "I/O bitmap: beyond the physical address width" },
	{ SVM_F_ASID, 0, 0, "ASID: 0" },
	{ SVM_F_ASID, 1, EVENT(1, 3, 0), "event: type" },
	{ SVM_F_ASID, 1, EVENT(3, 2, 0), "event: vector of no exception" },
	{ SVM_F_ASID, 1, EVENT(3, 13, HAS_ERROR), "" },
};

static void svm(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(svm_rows); i++) {
		const struct svm_row *row = &svm_rows[i];
		struct svm_entry_words w = svm_good();

		w.value[row->field] = row->value;
		w.event = row->event;
		tap_ok(says(svm_check_entry(&w), row->says), "SVM, %u: %s", i,
		       row->says[0] ? row->says : "allowed");
	}
}

int main(void)
{
	tap_begin();
	vmx();
	vmx_modes();
	vmx_xapic();
	svm();
	return tap_end();
}
