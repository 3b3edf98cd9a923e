// SPDX-License-Identifier: GPL-2.0-only
/*
 * The judge of capability words.  Sources: AMD64 Architecture Programmer's
 * Manual 2, "Enabling SVM"; Intel SDM 3C, "Enabling and Entering VMX Operation"
 * and "Capability Reporting of VMX".
 */
#include <stddef.h>
#include <string.h>

#include "judge.h"

static enum judge_vendor vendor_of(const char *name)
{
	static const struct {
		const char *name;
		enum judge_vendor vendor;
	} known[] = {
		{ "AuthenticAMD", JUDGE_AMD },
		{ "HygonGenuine", JUDGE_AMD },
		{ "GenuineIntel", JUDGE_INTEL },
		{ "CentaurHauls", JUDGE_INTEL },
		{ "  Shanghai  ", JUDGE_INTEL },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(name, known[i].name))
			return known[i].vendor;
	return JUDGE_OTHER_CPU;
}

static const char shadow_remedy[] = "guests run on shadow page tables, which costs them exits";

static void judge_amd(const struct judge_words *w, struct judge_verdict *v)
{
	bool have_a = w->max_ext_leaf >= 0x8000000a;

	if (w->max_ext_leaf < 0x80000001 || !(w->leaf80000001_ecx & JUDGE_80000001_ECX_SVM)) {
		v->virt = JUDGE_VIRT_ABSENT;
		v->virt_remedy = "turn on SVM (AMD-V) in the firmware's CPU settings; "
				 "inside a virtual machine, have its host offer nested SVM";
	} else if (w->vm_cr.known && (w->vm_cr.value & JUDGE_VM_CR_SVMDIS)) {
		v->virt = JUDGE_VIRT_LOCKED_OFF;
		/* SVML says that a key may undo it; without it only the firmware can. */
		v->virt_remedy = have_a && (w->leaf8000000a_edx & JUDGE_8000000A_EDX_SVML) ?
			"SVM is locked off with a key: turn it on in the firmware and power-cycle" :
			"the firmware turned SVM off (VM_CR.SVMDIS): turn it on there and power-cycle";
	}
	if (v->virt == JUDGE_VIRT_ABSENT) {
		v->paging = JUDGE_PAGING_ABSENT;
		v->paging_remedy = "this CPU has no nested paging (NPT); use one that has it";
	} else if (!have_a || !(w->leaf8000000a_edx & JUDGE_8000000A_EDX_NPT)) {
		v->paging = JUDGE_PAGING_SHADOW;
		v->paging_remedy = shadow_remedy;
	}
}

static void judge_intel(const struct judge_words *w, struct judge_verdict *v)
{
	uint64_t fc = w->feature_control.value;

	if (w->max_leaf < 1 || !(w->leaf1_ecx & JUDGE_1_ECX_VMX)) {
		v->virt = JUDGE_VIRT_ABSENT;
		v->virt_remedy = "turn on VT-x (VMX) in the firmware's CPU settings; "
				 "inside a virtual machine, have its host offer nested VMX";
	} else if (w->feature_control.known && (fc & JUDGE_FEATURE_LOCKED) &&
		   !(fc & JUDGE_FEATURE_VMX_OUTSIDE_SMX)) {
		v->virt = JUDGE_VIRT_LOCKED_OFF;
		v->virt_remedy = "the firmware locked VT-x off (IA32_FEATURE_CONTROL): "
				 "turn it on there and power-cycle";
	}
	if (v->virt == JUDGE_VIRT_ABSENT ||
	    (w->procbased.known && !(w->procbased.value & JUDGE_PROCBASED_SECONDARY))) {
		v->paging = JUDGE_PAGING_ABSENT;
		v->paging_remedy = "this CPU's VMX has no secondary controls; use one that has them";
	} else if (w->procbased2.known && !(w->procbased2.value & JUDGE_PROCBASED2_EPT)) {
		v->paging = JUDGE_PAGING_SHADOW;
		v->paging_remedy = shadow_remedy;
	} else if (!w->procbased2.known) {
		v->paging = JUDGE_PAGING_UNKNOWN;
		v->paging_remedy = "load the msr module and ask again as root";
	}
}

struct judge_verdict judge_words(const struct judge_words *w)
{
	struct judge_verdict v = { .vendor = vendor_of(w->vendor) };

	switch (v.vendor) {
	case JUDGE_AMD:
		judge_amd(w, &v);
		break;
	case JUDGE_INTEL:
		judge_intel(w, &v);
		break;
	case JUDGE_OTHER_CPU:
		v.virt = JUDGE_VIRT_UNKNOWN_VENDOR;
		v.virt_remedy = "Umbra runs on Intel CPUs with VT-x and on AMD CPUs with SVM";
		v.paging = JUDGE_PAGING_ABSENT;
		v.paging_remedy = v.virt_remedy;
		break;
	}
	return v;
}
