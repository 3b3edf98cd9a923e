/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a machine's capability words allow SVM. Words in, verdict out: unit
 * tests build this as it is, because no emulator can show a locked firmware.
 */
#ifndef UMBRA_SVM_JUDGE_H
#define UMBRA_SVM_JUDGE_H

#include "missing.h"

/**
 * struct svm_words - what the CPU says
 * @max_extended: CPUID 0x80000000.eax
 * @extended_ecx: CPUID 0x80000001.ecx, 0 when that leaf is absent
 * @vm_cr: MSR VM_CR, 0 where it can't be read
 * @efer: MSR EFER
 */
struct svm_words {
	unsigned int max_extended;
	unsigned int extended_ecx;
	unsigned long long vm_cr;
	unsigned long long efer;
};

#define SVM_JUDGE_CPUID_SVM	(1U << 2)
#define SVM_JUDGE_VM_CR_SVMDIS	(1ULL << 4)
#define SVM_JUDGE_EFER_SVME	(1ULL << 12)

/* Manual: «Enabling SVM». Bits of enum umbra_missing; 0: SVM can be turned on. */
static inline unsigned int svm_judge(const struct svm_words *w)
{
	if (w->max_extended < 0x8000000a || !(w->extended_ecx & SVM_JUDGE_CPUID_SVM))
		return UMBRA_MISSING_CPU;
	if (w->vm_cr & SVM_JUDGE_VM_CR_SVMDIS)
		return UMBRA_MISSING_FIRMWARE;
	if (w->efer & SVM_JUDGE_EFER_SVME)
		return UMBRA_MISSING_OWNER;
	return 0;
}

#endif
