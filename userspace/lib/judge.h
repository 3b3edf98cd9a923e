/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The judge of capability words: what a CPU's CPUID and MSR values say about
 * running a hypervisor on it.  Pure: it reads no CPU, so that machines which
 * nobody here owns can be put before it in a test.
 */
#ifndef UMBRA_JUDGE_H
#define UMBRA_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

/* CPUID */
#define JUDGE_1_ECX_VMX			(1u << 5)
#define JUDGE_80000001_ECX_SVM		(1u << 2)
#define JUDGE_8000000A_EDX_NPT		(1u << 0)
#define JUDGE_8000000A_EDX_SVML		(1u << 2)
/* MSR VM_CR (0xc0010114) */
#define JUDGE_MSR_VM_CR			0xc0010114u
#define JUDGE_VM_CR_SVMDIS		(1ull << 4)
/* MSR IA32_FEATURE_CONTROL (0x3a) */
#define JUDGE_MSR_FEATURE_CONTROL	0x3au
#define JUDGE_FEATURE_LOCKED		(1ull << 0)
#define JUDGE_FEATURE_VMX_OUTSIDE_SMX	(1ull << 2)
/* MSRs IA32_VMX_PROCBASED_CTLS (0x482) and _CTLS2 (0x48b), allowed-1 halves */
#define JUDGE_MSR_VMX_PROCBASED		0x482u
#define JUDGE_MSR_VMX_PROCBASED2	0x48bu
#define JUDGE_PROCBASED_SECONDARY	(1ull << 63)
#define JUDGE_PROCBASED2_EPT		(1ull << 33)

/**
 * struct judge_word - an MSR's value, where it could be read
 * @known: @value was read; a word that is not known accuses nobody
 */
struct judge_word {
	bool known;
	uint64_t value;
};

/**
 * struct judge_words - what a CPU says of itself
 * @vendor: the 12 letters of CPUID leaf 0 and a NUL
 * @max_leaf, @max_ext_leaf: EAX of leaves 0 and 0x80000000
 * @leaf1_ecx, @leaf80000001_ecx: the feature words that hold VMX and SVM
 * @leaf8000000a_edx: SVM's features
 * @vm_cr: AMD's VM_CR
 * @feature_control, @procbased, @procbased2: Intel's
 */
struct judge_words {
	char vendor[13];
	uint32_t max_leaf;
	uint32_t max_ext_leaf;
	uint32_t leaf1_ecx;
	uint32_t leaf80000001_ecx;
	uint32_t leaf8000000a_edx;
	struct judge_word vm_cr;
	struct judge_word feature_control;
	struct judge_word procbased;
	struct judge_word procbased2;
};

enum judge_vendor { JUDGE_OTHER_CPU, JUDGE_AMD, JUDGE_INTEL };

enum judge_virt {
	JUDGE_VIRT_OK,
	JUDGE_VIRT_UNKNOWN_VENDOR,	/* neither an Intel nor an AMD CPU */
	JUDGE_VIRT_ABSENT,		/* CPUID does not show VMX or SVM */
	JUDGE_VIRT_LOCKED_OFF,		/* the firmware turned it off and locked it */
};

enum judge_paging {
	JUDGE_PAGING_OK,
	JUDGE_PAGING_ABSENT,
	JUDGE_PAGING_SHADOW,		/* absent too, and not needed: guests run on shadow tables */
	JUDGE_PAGING_UNKNOWN,		/* Intel, and its MSRs could not be read */
};

/**
 * struct judge_verdict - the judge's answer
 * @virt_remedy, @paging_remedy: what the user can do, NULL where all is well
 */
struct judge_verdict {
	enum judge_vendor vendor;
	enum judge_virt virt;
	enum judge_paging paging;
	const char *virt_remedy;
	const char *paging_remedy;
};

/** judge_words() - judge one CPU's words. */
struct judge_verdict judge_words(const struct judge_words *w);

#endif
