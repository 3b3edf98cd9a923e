// SPDX-License-Identifier: GPL-2.0-only
/* The Intel backend's judge of capability words (module/vmx_judge.h). */
#include "tap.h"
#include "vmx_judge.h"

#define VMX	(1u << 5)
#define LOCKED	(1ull << 0)
#define SMX	(1ull << 1)
#define OUTSIDE	(1ull << 2)
#define VMXE	(1ull << 13)

static unsigned int judge(unsigned int ecx, unsigned long long control, unsigned long long cr4)
{
	struct vmx_words words = { .features_ecx = ecx, .feature_control = control, .cr4 = cr4 };

	return vmx_judge(&words);
}

int main(void)
{
	const unsigned int other = 1u << 31;
	const unsigned long long pae = 1 << 5;

	tap_begin();
	tap_ok(!judge(VMX | other, LOCKED | OUTSIDE, pae), "VMX there, on and free");
	tap_ok(judge(other, LOCKED | OUTSIDE, VMXE) == UMBRA_MISSING_CPU,
	       "a CPU without VMX: no other word counts");
	tap_ok(judge(VMX, LOCKED, 0) == UMBRA_MISSING_FIRMWARE, "locked and off: firmware");
	tap_ok(judge(VMX, LOCKED | SMX, 0) == UMBRA_MISSING_FIRMWARE,
	       "locked, on inside SMX only: firmware");
	tap_ok(judge(VMX, 0, 0) == UMBRA_MISSING_FIRMWARE, "neither on nor locked: firmware");
	tap_ok(judge(VMX, OUTSIDE, 0) == UMBRA_MISSING_FIRMWARE,
	       "on but not locked: VMXON would fault");
	tap_ok(judge(VMX, LOCKED | OUTSIDE, VMXE | pae) == UMBRA_MISSING_OWNER,
	       "CR4.VMXE set: an owner");
	return tap_end();
}
