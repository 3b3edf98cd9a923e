/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a machine's capability words allow VMX. Words in, verdict out: unit
 * tests build this as it is.
 */
#ifndef UMBRA_VMX_JUDGE_H
#define UMBRA_VMX_JUDGE_H

#include "missing.h"

/**
 * struct vmx_words - what the CPU says
 * @features_ecx: CPUID 1.ecx
 * @feature_control: MSR IA32_FEATURE_CONTROL, 0 where it can't be read
 * @cr4: CR4
 */
struct vmx_words {
	unsigned int features_ecx;
	unsigned long long feature_control;
	unsigned long long cr4;
};

#define VMX_JUDGE_CPUID_VMX	(1U << 5)
#define VMX_JUDGE_LOCKED	(1ULL << 0)
#define VMX_JUDGE_OUTSIDE_SMX	(1ULL << 2)
#define VMX_JUDGE_CR4_VMXE	(1ULL << 13)

/*
 * Manual: «Enabling and Entering VMX Operation». Bits of enum umbra_missing; 0: VMX can be
 * turned on. The kernel locks the MSR at boot where the firmware has not.
 */
static inline unsigned int vmx_judge(const struct vmx_words *w)
{
	const unsigned long long needed = VMX_JUDGE_LOCKED | VMX_JUDGE_OUTSIDE_SMX;

	if (!(w->features_ecx & VMX_JUDGE_CPUID_VMX))
		return UMBRA_MISSING_CPU;
	if ((w->feature_control & needed) != needed)
		return UMBRA_MISSING_FIRMWARE;
	if (w->cr4 & VMX_JUDGE_CR4_VMXE)
		return UMBRA_MISSING_OWNER;
	return 0;
}

#endif
