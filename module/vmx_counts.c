// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX: accesses of the VMCS, counted by what the exit was for. A test wants to know;
 * while the parameter is off it costs a NOP at each access.
 */
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/umbra.h>

#include "backend.h"
#include "vmx.h"

/* By enum umbra_exit_reason; the vCPU's owner's. */
struct vmx_counts {
	struct {
		u64 exits, reads, writes;
	} of[UMBRA_EXIT_NR];
};

DEFINE_STATIC_KEY_FALSE(vmx_counting);
DEFINE_PER_CPU(struct vmx_accesses, vmx_accesses);
static bool count_vmcs;

static int set_counting(const char *val, const struct kernel_param *kp)
{
	int r = param_set_bool(val, kp);

	if (r)
		return r;
	if (count_vmcs)
		static_branch_enable(&vmx_counting);
	else
		static_branch_disable(&vmx_counting);
	return 0;
}

static const struct kernel_param_ops counting_ops = {
	.set = set_counting,
	.get = param_get_bool,
};

module_param_cb(count_vmcs, &counting_ops, &count_vmcs, 0644);
MODULE_PARM_DESC(count_vmcs, "for tests: count the accesses of new vCPUs' VMCSs (default 0)");

struct vmx_counts *vmx_counts_alloc(void)
{
	if (!static_branch_unlikely(&vmx_counting))
		return NULL;
	return kzalloc(sizeof(struct vmx_counts), GFP_KERNEL_ACCOUNT);
}

/* About to enter: what there was since the last entry was for the exit between. Interrupts off. */
void vmx_count(struct umbra_vcpu *vcpu)
{
	struct vmx_counts *counts = to_vmx(vcpu)->counts;
	struct vmx_accesses *here = this_cpu_ptr(&vmx_accesses);
	u32 reason = vcpu->exit.reason;

	if (counts) {
		counts->of[reason].exits++;
		counts->of[reason].reads += here->reads;
		counts->of[reason].writes += here->writes;
	}
	*here = (struct vmx_accesses){ 0 };
}

int vmx_vmcs_counts(struct umbra_vcpu *vcpu, struct umbra_vmcs_counts *out)
{
	const struct vmx_counts *counts = to_vmx(vcpu)->counts;
	u32 reason = array_index_nospec(out->reason, UMBRA_EXIT_NR);

	if (!counts)
		return -EOPNOTSUPP;
	out->exits = counts->of[reason].exits;
	out->reads = counts->of[reason].reads;
	out->writes = counts->of[reason].writes;
	return 0;
}
