// SPDX-License-Identifier: GPL-2.0-only
/* SVM: what is told of an entry that failed. */
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>

#include "backend.h"
#include "entry_check.h"
#include "failure.h"
#include "svm.h"

u64 svm_dump(struct umbra_vcpu *vcpu)
{
	return svm_exit_code(to_svm(vcpu));
}

#define FIELD_NAME(id, field, name)	[SVM_F_##id] = name,
static const char *const names[SVM_NR_FIELDS] = { SVM_FIELDS(FIELD_NAME) };

static void read_words(const struct svm_vcpu *svm, struct svm_entry_words *w)
{
	const struct vmcb *vmcb = svm->vmcb;

#define READ_FIELD(id, field, name)	w->value[SVM_F_##id] = vmcb->field;
	SVM_FIELDS(READ_FIELD)
	w->event = svm->refused;
	/* What the guest's CPUID does not have is checked before: these two are the upper bounds. */
	w->cr4_allowed = U32_MAX;
	w->efer_allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX | EFER_SVME | EFER_LMSLE |
			  EFER_FFXSR | EFER_AUTOIBRS;
	w->phys_bits = boot_cpu_data.x86_phys_bits;
}

void svm_describe_failure(struct umbra_vcpu *vcpu, struct umbra_entry_failure *out)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct umbra_check check;
	struct svm_entry_words *w;
	int i;

	out->event = svm->refused;
	out->qualification = svm->vmcb->control.exit_info_1;
	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return;
	read_words(svm, w);
	for (i = 0; i < SVM_NR_FIELDS; i++)
		umbra_failure_field(out, names[i], w->value[i]);
	check = svm_check_entry(w);
	umbra_failure_check(out, &check);
	kfree(w);
}
