// SPDX-License-Identifier: GPL-2.0-only
/* VMX: what is told of an entry that failed. */
#include <linux/slab.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "backend.h"
#include "entry_check.h"
#include "failure.h"
#include "vmx.h"

#define FIELD_ROW(id, encoding, name)	[VMX_F_##id] = { encoding, name },
static const struct {
	u16 encoding;
	const char *name;
} fields[VMX_NR_FIELDS] = { VMX_FIELDS(FIELD_ROW) };

u64 vmx_dump(struct umbra_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	return vmx->failed ? vmcs_read(VM_INSTRUCTION_ERROR) : vmx->reason;
}

/* What of the VMCS an entry is judged by, from one enum vmx_field to another. */
void vmx_read_fields(struct vmx_entry_words *w, int first, int last)
{
	int i;

	for (i = first; i <= last; i++)
		w->value[i] = vmcs_read(fields[i].encoding);
}

static void read_words(struct vmx_vcpu *vmx, struct vmx_entry_words *w)
{
	vmx_read_fields(w, 0, VMX_NR_FIELDS - 1);
	w->event = vmx->refused;
	w->vtpr = *(u8 *)(vmx->virtual_apic + APIC_TASKPRI);
	rdmsrl(MSR_IA32_VMX_TRUE_PINBASED_CTLS, w->pin);
	rdmsrl(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, w->primary);
	rdmsrl(MSR_IA32_VMX_PROCBASED_CTLS2, w->secondary);
	rdmsrl(MSR_IA32_VMX_TRUE_EXIT_CTLS, w->exit);
	rdmsrl(MSR_IA32_VMX_TRUE_ENTRY_CTLS, w->entry);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, w->cr0_fixed);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED1, w->cr0_allowed);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, w->cr4_fixed);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, w->cr4_allowed);
	w->phys_bits = boot_cpu_data.x86_phys_bits;
}

/* «VM-Instruction Error Numbers»: 7 and 8 are of the controls and the host's fields. */
static bool controls_refused(struct vmx_vcpu *vmx, u64 reason)
{
	return vmx->failed && (reason == 7 || reason == 8);
}

void vmx_describe_failure(struct umbra_vcpu *vcpu, struct umbra_entry_failure *out)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct umbra_check check = { .section = NULL };
	struct vmx_entry_words *w;
	int i;

	out->event = vmx->refused;
	if (!vmx->failed)
		out->qualification = vmcs_read(EXIT_QUALIFICATION);
	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return;
	read_words(vmx, w);
	for (i = 0; i < VMX_NR_FIELDS; i++)
		umbra_failure_field(out, fields[i].name, w->value[i]);
	if (controls_refused(vmx, out->reason))
		check = vmx_check_controls(w);
	else if (!vmx->failed && (u16)vmx->reason == EXIT_REASON_INVALID_STATE)
		check = vmx_check_guest(w);
	umbra_failure_check(out, &check);
	kfree(w);
}
