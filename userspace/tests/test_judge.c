// SPDX-License-Identifier: GPL-2.0-only
/* The judge of capability words, on machines of which no emulator can produce all. */
#include <string.h>

#include "../lib/judge.h"
#include "tap.h"

#define SVM	JUDGE_80000001_ECX_SVM
#define NPT	JUDGE_8000000A_EDX_NPT
#define SVML	JUDGE_8000000A_EDX_SVML
#define VMX	JUDGE_1_ECX_VMX
#define EPT	JUDGE_PROCBASED2_EPT
#define KNOWN(v)	{ true, (v) }
#define AMD	.vendor = "AuthenticAMD", .max_leaf = 13, .max_ext_leaf = 0x8000001f
#define INTEL	.vendor = "GenuineIntel", .max_leaf = 22, .max_ext_leaf = 0x80000008

static const struct {
	const char *name;
	struct judge_words words;
	enum judge_virt virt;
	enum judge_paging paging;
} cases[] = {
	{ "AMD, SVM and NPT, VM_CR not readable",
	  { AMD, .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT },
	  JUDGE_VIRT_OK, JUDGE_PAGING_OK },
	{ "AMD, VM_CR clear",
	  { AMD, .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT | SVML, .vm_cr = KNOWN(0) },
	  JUDGE_VIRT_OK, JUDGE_PAGING_OK },
	{ "AMD, VM_CR locked but SVM left on",
	  { AMD, .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT, .vm_cr = KNOWN(1 << 3) },
	  JUDGE_VIRT_OK, JUDGE_PAGING_OK },
	{ "AMD, SVMDIS and LOCK",
	  { AMD, .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT, .vm_cr = KNOWN(0x18) },
	  JUDGE_VIRT_LOCKED_OFF, JUDGE_PAGING_OK },
	{ "AMD, SVMDIS with a key (SVML)",
	  { AMD, .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT | SVML, .vm_cr = KNOWN(0x10) },
	  JUDGE_VIRT_LOCKED_OFF, JUDGE_PAGING_OK },
	{ "AMD, no SVM bit: its NPT bit means nothing",
	  { AMD, .leaf8000000a_edx = NPT, .vm_cr = KNOWN(0x18) },
	  JUDGE_VIRT_ABSENT, JUDGE_PAGING_ABSENT },
	{ "AMD, SVM without nested paging",
	  { AMD, .leaf80000001_ecx = SVM },
	  JUDGE_VIRT_OK, JUDGE_PAGING_SHADOW },
	{ "AMD, leaf 0x8000000a beyond the highest",
	  { .vendor = "AuthenticAMD", .max_leaf = 1, .max_ext_leaf = 0x80000008,
	    .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT },
	  JUDGE_VIRT_OK, JUDGE_PAGING_SHADOW },
	{ "AMD, no extended leaves at all",
	  { .vendor = "AuthenticAMD", .max_leaf = 1, .leaf80000001_ecx = SVM },
	  JUDGE_VIRT_ABSENT, JUDGE_PAGING_ABSENT },
	{ "Hygon counts as AMD",
	  { .vendor = "HygonGenuine", .max_leaf = 13, .max_ext_leaf = 0x8000001f,
	    .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT },
	  JUDGE_VIRT_OK, JUDGE_PAGING_OK },
	{ "AMD: Intel's words do not matter",
	  { AMD, .leaf80000001_ecx = SVM, .leaf8000000a_edx = NPT,
	    .feature_control = KNOWN(1), .procbased2 = KNOWN(0) },
	  JUDGE_VIRT_OK, JUDGE_PAGING_OK },
	{ "Intel, VMX, MSRs not readable",
	  { INTEL, .leaf1_ecx = VMX }, JUDGE_VIRT_OK, JUDGE_PAGING_UNKNOWN },
	{ "Intel, locked with VMX on, EPT",
	  { INTEL, .leaf1_ecx = VMX, .feature_control = KNOWN(5),
	    .procbased = KNOWN(1ull << 63), .procbased2 = KNOWN(EPT) },
	  JUDGE_VIRT_OK, JUDGE_PAGING_OK },
	{ "Intel, not locked: the kernel may turn it on",
	  { INTEL, .leaf1_ecx = VMX, .feature_control = KNOWN(0),
	    .procbased = KNOWN(1ull << 63), .procbased2 = KNOWN(EPT) },
	  JUDGE_VIRT_OK, JUDGE_PAGING_OK },
	{ "Intel, locked off",
	  { INTEL, .leaf1_ecx = VMX, .feature_control = KNOWN(1),
	    .procbased = KNOWN(1ull << 63), .procbased2 = KNOWN(EPT) },
	  JUDGE_VIRT_LOCKED_OFF, JUDGE_PAGING_OK },
	{ "Intel, locked with VMX inside SMX only",
	  { INTEL, .leaf1_ecx = VMX, .feature_control = KNOWN(3) },
	  JUDGE_VIRT_LOCKED_OFF, JUDGE_PAGING_UNKNOWN },
	{ "Intel, no EPT",
	  { INTEL, .leaf1_ecx = VMX, .feature_control = KNOWN(5),
	    .procbased = KNOWN(1ull << 63), .procbased2 = KNOWN(0) },
	  JUDGE_VIRT_OK, JUDGE_PAGING_SHADOW },
	{ "Intel, no secondary controls, so no MSR that speaks of EPT",
	  { INTEL, .leaf1_ecx = VMX, .feature_control = KNOWN(5), .procbased = KNOWN(0) },
	  JUDGE_VIRT_OK, JUDGE_PAGING_ABSENT },
	{ "Intel, no VMX",
	  { INTEL }, JUDGE_VIRT_ABSENT, JUDGE_PAGING_ABSENT },
	{ "another vendor",
	  { .vendor = "SiS SiS SiS ", .max_leaf = 1, .leaf1_ecx = VMX,
	    .leaf80000001_ecx = SVM },
	  JUDGE_VIRT_UNKNOWN_VENDOR, JUDGE_PAGING_ABSENT },
};

int main(void)
{
	struct tap tap = { 0 };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct judge_verdict v = judge_words(&cases[i].words);
		bool remedies = (v.virt == JUDGE_VIRT_OK) == !v.virt_remedy &&
				(v.paging == JUDGE_PAGING_OK) == !v.paging_remedy;

		tap_ok(&tap, v.virt == cases[i].virt && v.paging == cases[i].paging && remedies,
		       "judge: %s", cases[i].name);
	}
	return tap_done(&tap);
}
