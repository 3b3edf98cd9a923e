// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSR policy: one table, for both vendors. What it does not name does not exist
 * for a guest. A write that could not take effect is refused, not swallowed.
 */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/printk.h>
#include <linux/stddef.h>

#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/mce.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>

#include "backend.h"
#include "irq.h"
#include "mtrr.h"
#include "pv.h"
#include "umbra.h"

#define PAT_RESET	0x0007040600070406ULL
#define MISC_RESET	(MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)
/* The two above tell of no perf counters and are not the guest's to change. */
#define MISC_GUEST	(MSR_IA32_MISC_ENABLE_FAST_STRING |	\
			 MSR_IA32_MISC_ENABLE_ENHANCED_SPEEDSTEP | \
			 MSR_IA32_MISC_ENABLE_MWAIT |		\
			 MSR_IA32_MISC_ENABLE_LIMIT_CPUID |	\
			 MSR_IA32_MISC_ENABLE_XTPR_DISABLE |	\
			 MSR_IA32_MISC_ENABLE_XD_DISABLE)
/* Fixed ranges, and WC. */
#define MTRR_CAP	(UMBRA_MTRR_VARIABLE | BIT_ULL(8) | BIT_ULL(10))
#define HWCR_MC_STATUS_WR	BIT_ULL(18)
#define HWCR_TSC_FREQ_SEL	BIT_ULL(24)
/* A Linux guest on family 0xf sets these; caches and TLBs work without. */
#define HWCR_HARMLESS		(BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8))
#define DE_CFG_LFENCE		BIT_ULL(1)
#define AMD_MICROCODE		0x01000065
#define INTEL_MICROCODE		0x100000000ULL
#define MSR_MTRR_VARIABLE	0x200
#define TURBO_RATIOS		0x0000ff000000ff00ULL

struct msr_row;

/**
 * struct msr_op - one read or write
 * @vcpu: whose
 * @row: the table's row
 * @nr: which of the MSRs in @row
 * @value: to write, or what was read
 * @host: by the VMM, whom the guest's CPUID does not bind
 */
struct msr_op {
	struct umbra_vcpu *vcpu;
	const struct msr_row *row;
	u32 nr;
	bool host;
	u64 value;
};

/**
 * struct msr_row - one MSR, or a run of them
 * @first: its number
 * @count: how many follow each other; 0 stands for 1
 * @flags: ROW_*
 * @field: offset in struct umbra_msrs of the u64 that holds the first
 * @valid: bits that a write may set, where @set does not judge itself
 * @value: a constant's value
 * @get: 0 or 1; NULL: the field
 * @set: 0 or 1; NULL: the field, if @valid allows the value
 * @have: on this machine; NULL: always
 * @shown: the guest's CPUID has it; NULL: always. Does not bind the host
 */
struct msr_row {
	u32 first;
	u16 count;
	u16 flags;
	u16 field;
	u64 valid, value;
	int (*get)(struct msr_op *op);
	int (*set)(struct msr_op *op);
	bool (*have)(void);
	bool (*shown)(const struct umbra_cpuid *cpuid);
};

#define ROW_SAVE	BIT(0)	/* state: in KVM_GET_MSR_INDEX_LIST */
#define ROW_HOST_WRITE	BIT(1)	/* only the host may change it */
#define ROW_FEATURE	BIT(2)	/* in KVM_GET_MSR_FEATURE_INDEX_LIST */

#define FIELD(name)	offsetof(struct umbra_msrs, name)

static u64 *field_of(struct msr_op *op)
{
	u32 nr = array_index_nospec(op->nr, op->row->count ? : 1);

	return (u64 *)((char *)&op->vcpu->msrs + op->row->field) + nr;
}

static int field_get(struct msr_op *op)
{
	op->value = *field_of(op);
	return 0;
}

static int field_set(struct msr_op *op)
{
	if (op->value & ~op->row->valid)
		return 1;
	*field_of(op) = op->value;
	return 0;
}

static int const_get(struct msr_op *op)
{
	op->value = op->row->value;
	return 0;
}

/* Drivers write back what they read; anything else would be lost. */
static int const_set(struct msr_op *op)
{
	return op->value != op->row->value;
}

static int refuse_get(struct msr_op *op)
{
	return 1;
}

static int refuse_set(struct msr_op *op)
{
	return 1;
}

/* Linear addresses in MSRs are checked against the widest that the CPU has, whatever CR4 says. */
static bool canonical_msr(struct msr_op *op)
{
	bool wide = op->host ? boot_cpu_has(X86_FEATURE_LA57) : op->vcpu->cpuid.la57;
	int unused = 64 - (wide ? 57 : 48);

	return (u64)((s64)(op->value << unused) >> unused) == op->value;
}

static int backend_get(struct msr_op *op)
{
	return umbra_backend->get_msr(op->vcpu, op->row->first + op->nr, &op->value);
}

static int backend_set(struct msr_op *op)
{
	if (op->value & ~op->row->valid)
		return 1;
	return umbra_backend->set_msr(op->vcpu, op->row->first + op->nr, op->value);
}

static int backend_set_address(struct msr_op *op)
{
	if (!canonical_msr(op))
		return 1;
	return umbra_backend->set_msr(op->vcpu, op->row->first + op->nr, op->value);
}

static int base_get(struct msr_op *op)
{
	struct kvm_segment s;

	umbra_backend->get_segment(op->vcpu, &s, op->nr ? VCPU_SREG_GS : VCPU_SREG_FS);
	op->value = s.base;
	return 0;
}

static int base_set(struct msr_op *op)
{
	int seg = op->nr ? VCPU_SREG_GS : VCPU_SREG_FS;
	struct kvm_segment s;

	if (!canonical_msr(op))
		return 1;
	umbra_backend->get_segment(op->vcpu, &s, seg);
	s.base = op->value;
	umbra_backend->set_segment(op->vcpu, &s, seg);
	return 0;
}

/* Time. */

static int tsc_get(struct msr_op *op)
{
	op->value = umbra_guest_tsc(op->vcpu);
	return 0;
}

static int tsc_set(struct msr_op *op)
{
	umbra_set_guest_tsc(op->vcpu, op->value, op->host);
	return 0;
}

static int tsc_adjust_get(struct msr_op *op)
{
	op->value = op->vcpu->time.tsc_adjust;
	return 0;
}

static int tsc_adjust_set(struct msr_op *op)
{
	umbra_set_tsc_adjust(op->vcpu, op->value, op->host);
	return 0;
}

static int deadline_get(struct msr_op *op)
{
	op->value = umbra_tsc_deadline(op->vcpu, op->host);
	return 0;
}

static int deadline_set(struct msr_op *op)
{
	umbra_set_tsc_deadline(op->vcpu, op->value);
	return 0;
}

static int system_time_get(struct msr_op *op)
{
	op->value = op->vcpu->time.system_time;
	return 0;
}

static int system_time_set(struct msr_op *op)
{
	return umbra_set_system_time(op->vcpu, op->value);
}

static int wall_clock_get(struct msr_op *op)
{
	op->value = umbra_wall_clock(op->vcpu->vm);
	return 0;
}

static int wall_clock_set(struct msr_op *op)
{
	return umbra_set_wall_clock(op->vcpu, op->value);
}

static int steal_time_set(struct msr_op *op)
{
	return umbra_set_steal_time(op->vcpu, op->value);
}

static int pv_eoi_set(struct msr_op *op)
{
	/* The interface asks for an address aligned to 4. */
	if (op->value & 2)
		return 1;
	op->vcpu->msrs.pv_eoi = op->value;
	return 0;
}

static int apf_en_set(struct msr_op *op)
{
	return umbra_apf_set_en(op->vcpu, op->value);
}

static int apf_int_set(struct msr_op *op)
{
	return umbra_apf_set_int(op->vcpu, op->value);
}

static int apf_ack_set(struct msr_op *op)
{
	return umbra_apf_set_ack(op->vcpu, op->value);
}

/* The local APIC. */

static int apic_base_get(struct msr_op *op)
{
	op->value = umbra_apic_base(op->vcpu);
	return 0;
}

static int apic_base_set(struct msr_op *op)
{
	return umbra_set_apic_base(op->vcpu, op->value, op->host);
}

static int x2apic_get(struct msr_op *op)
{
	return umbra_x2apic_read(op->vcpu, op->row->first + op->nr, &op->value);
}

static int x2apic_set(struct msr_op *op)
{
	return umbra_x2apic_write(op->vcpu, op->row->first + op->nr, op->value);
}

/* Memory types. */

static int pat_set(struct msr_op *op)
{
	if (!umbra_pat_valid(op->value))
		return 1;
	op->vcpu->msrs.pat = op->value;
	/* A backend without a field for it has nothing to do. */
	umbra_backend->set_msr(op->vcpu, MSR_IA32_CR_PAT, op->value);
	return 0;
}

static int mtrr_def_set(struct msr_op *op)
{
	if (!umbra_mtrr_def_valid(op->value))
		return 1;
	op->vcpu->msrs.mtrr_def = op->value;
	return 0;
}

static int mtrr_fixed_set(struct msr_op *op)
{
	if (!umbra_mtrr_fixed_valid(op->value))
		return 1;
	*field_of(op) = op->value;
	return 0;
}

static int mtrr_var_set(struct msr_op *op)
{
	if (!umbra_mtrr_var_valid(op->value, op->nr & 1, umbra_maxphyaddr(op->vcpu)))
		return 1;
	*field_of(op) = op->value;
	return 0;
}

/* Machine checks. */

static u32 mce_banks(struct umbra_vcpu *vcpu)
{
	return vcpu->msrs.mcg_cap & 0xff;
}

static int mcg_ctl_get(struct msr_op *op)
{
	if (!(op->vcpu->msrs.mcg_cap & MCG_CTL_P) && !op->host)
		return 1;
	op->value = op->vcpu->msrs.mcg_ctl;
	return 0;
}

static int mcg_ctl_set(struct msr_op *op)
{
	if (!(op->vcpu->msrs.mcg_cap & MCG_CTL_P) && (op->value || !op->host))
		return 1;
	if (op->value && op->value != ~0ULL)
		return 1;
	op->vcpu->msrs.mcg_ctl = op->value;
	return 0;
}

static int mce_get(struct msr_op *op)
{
	if (op->nr / 4 >= mce_banks(op->vcpu) && !op->host)
		return 1;
	return field_get(op);
}

static int mce_set(struct msr_op *op)
{
	if (op->nr / 4 >= mce_banks(op->vcpu) && (!op->host || op->value))
		return 1;
	switch (op->nr % 4) {
	case 0:
		/* All on or all off; for some chipsets Linux clears bit 10 or bit 0. */
		if (op->value && (op->value | BIT_ULL(10) | BIT_ULL(0)) != ~0ULL)
			return 1;
		break;
	case 1:
		if (!op->host && op->value && !(op->vcpu->msrs.hwcr & HWCR_MC_STATUS_WR))
			return 1;
		break;
	}
	*field_of(op) = op->value;
	return 0;
}

int umbra_vcpu_setup_mce(struct umbra_vcpu *vcpu, u64 mcg_cap)
{
	u32 i, banks = mcg_cap & 0xff;

	if (!banks || banks > UMBRA_MCE_BANKS)
		return -EINVAL;
	if (mcg_cap & ~(UMBRA_MCE_CAP | 0xff | GENMASK_ULL(23, 16)))
		return -EINVAL;
	vcpu->msrs.mcg_cap = mcg_cap;
	if (mcg_cap & MCG_CTL_P)
		vcpu->msrs.mcg_ctl = ~0ULL;
	for (i = 0; i < banks; i++)
		vcpu->msrs.mce[i * 4] = ~0ULL;
	return 0;
}

/* An uncorrected error: #MC, or shutdown where the guest can't take one now. */
static void raise_machine_check(struct umbra_vcpu *vcpu, u64 *bank, const struct kvm_x86_mce *mce)
{
	u64 status = mce->status;

	if ((vcpu->msrs.mcg_status & MCG_STATUS_MCIP) || !(umbra_cr4(vcpu) & X86_CR4_MCE)) {
		umbra_request(vcpu, UMBRA_REQ_TRIPLE_FAULT);
		return;
	}
	if (bank[1] & MCI_STATUS_VAL)
		status |= MCI_STATUS_OVER;
	bank[1] = status;
	bank[2] = mce->addr;
	bank[3] = mce->misc;
	vcpu->msrs.mcg_status = mce->mcg_status;
	umbra_queue_exception(vcpu, 18);
}

int umbra_vcpu_set_mce(struct umbra_vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	u64 *bank;

	if (mce->bank >= mce_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->msrs.mce[4 * array_index_nospec(mce->bank, UMBRA_MCE_BANKS)];

	if (mce->status & MCI_STATUS_UC) {
		/* Reporting is off, for all banks or for this one: the error goes unseen. */
		if ((vcpu->msrs.mcg_cap & MCG_CTL_P) && vcpu->msrs.mcg_ctl != ~0ULL)
			return 0;
		if (bank[0] == ~0ULL)
			raise_machine_check(vcpu, bank, mce);
		return 0;
	}
	if (bank[1] & MCI_STATUS_VAL) {
		/* A logged uncorrected error outweighs a corrected one. */
		if (bank[1] & MCI_STATUS_UC) {
			bank[1] |= MCI_STATUS_OVER;
			return 0;
		}
		bank[1] = mce->status | MCI_STATUS_OVER;
	} else {
		bank[1] = mce->status;
	}
	bank[2] = mce->addr;
	bank[3] = mce->misc;
	return 0;
}

/* Modes, features, and what has no state of its own. */

static int efer_get(struct msr_op *op)
{
	op->value = op->vcpu->regs.efer;
	return 0;
}

static int efer_set(struct msr_op *op)
{
	return umbra_set_efer(op->vcpu, op->value, op->host);
}

static int misc_enable_set(struct msr_op *op)
{
	if (op->value & ~(MISC_GUEST | MISC_RESET))
		return 1;
	if (!op->host && ((op->value ^ op->vcpu->msrs.misc_enable) & MISC_RESET))
		return 1;
	op->vcpu->msrs.misc_enable = op->value;
	umbra_cpuid_update(op->vcpu);
	return 0;
}

static int tsc_aux_set(struct msr_op *op)
{
	if (op->value & ~op->row->valid)
		return 1;
	op->vcpu->msrs.tsc_aux = op->value;
	op->vcpu->prepared = false;
	umbra_backend->set_msr(op->vcpu, MSR_TSC_AUX, op->value);
	return 0;
}

static int spec_ctrl_set(struct msr_op *op)
{
	if (op->value & ~umbra_caps.spec_ctrl)
		return 1;
	op->vcpu->msrs.spec_ctrl = op->value;
	/* Where the CPU switches it; elsewhere the entry takes it from here. */
	umbra_backend->set_msr(op->vcpu, MSR_IA32_SPEC_CTRL, op->value);
	return 0;
}

/* Intel's way to ask for the microcode's version begins with a write of 0. */
static int microcode_set(struct msr_op *op)
{
	if (op->host)
		op->vcpu->msrs.microcode_version = op->value;
	return !op->host && op->value;
}

static int platform_info_get(struct msr_op *op)
{
	if (!op->host && READ_ONCE(op->vcpu->vm->no_platform_info))
		return 1;
	return field_get(op);
}

static int arch_capabilities_set(struct msr_op *op)
{
	u64 supported;

	umbra_msr_feature(MSR_IA32_ARCH_CAPABILITIES, &supported);
	if (op->value & ~supported)
		return 1;
	op->vcpu->msrs.arch_capabilities = op->value;
	return 0;
}

static int hwcr_set(struct msr_op *op)
{
	op->value &= ~HWCR_HARMLESS;
	return field_set(op);
}

/* The guest may write back what it has, and no more. */
static int de_cfg_set(struct msr_op *op)
{
	u64 supported;

	umbra_msr_feature(MSR_AMD64_DE_CFG, &supported);
	if ((op->value & ~supported) || (!op->host && op->value != op->vcpu->msrs.de_cfg))
		return 1;
	op->vcpu->msrs.de_cfg = op->value;
	return 0;
}

static int pred_cmd_set(struct msr_op *op)
{
	if (op->value & ~PRED_CMD_IBPB)
		return 1;
	if (op->value)
		indirect_branch_prediction_barrier();
	return 0;
}

static bool have_tsc_aux(void)
{
	return umbra_caps.tsc_aux;
}

static bool have_spec_ctrl(void)
{
	return umbra_caps.spec_ctrl;
}

static bool have_ibpb(void)
{
	return boot_cpu_has(X86_FEATURE_IBPB);
}

static bool shows_tsc_aux(const struct umbra_cpuid *cpuid)
{
	return cpuid->rdtscp || cpuid->rdpid;
}

static bool shows_spec_ctrl(const struct umbra_cpuid *cpuid)
{
	return cpuid->spec_ctrl;
}

static bool shows_pred_cmd(const struct umbra_cpuid *cpuid)
{
	return cpuid->pred_cmd;
}

static bool shows_tsc_adjust(const struct umbra_cpuid *cpuid)
{
	return cpuid->tsc_adjust;
}

static bool shows_deadline(const struct umbra_cpuid *cpuid)
{
	return cpuid->tsc_deadline;
}

#define SHOWS_PV(name, feature)							\
static bool shows_##name(const struct umbra_cpuid *cpuid)			\
{										\
	return umbra_cpuid_has_pv(cpuid, feature);				\
}

SHOWS_PV(clock, KVM_FEATURE_CLOCKSOURCE)
SHOWS_PV(clock2, KVM_FEATURE_CLOCKSOURCE2)
SHOWS_PV(async_pf, KVM_FEATURE_ASYNC_PF)
SHOWS_PV(async_pf_int, KVM_FEATURE_ASYNC_PF_INT)
SHOWS_PV(steal_time, KVM_FEATURE_STEAL_TIME)
SHOWS_PV(pv_eoi, KVM_FEATURE_PV_EOI)
SHOWS_PV(poll_control, KVM_FEATURE_POLL_CONTROL)

static bool shows_long_mode(const struct umbra_cpuid *cpuid)
{
	return cpuid->longmode;
}

/* Constants are zero unless .value says otherwise. */
#define CONST	.get = const_get, .set = const_set

/* By number. */
static const struct msr_row rows[] = {
	{ MSR_IA32_TSC, .flags = ROW_SAVE, .get = tsc_get, .set = tsc_set },
	{ MSR_KVM_WALL_CLOCK, .flags = ROW_SAVE, .get = wall_clock_get, .set = wall_clock_set,
	  .shown = shows_clock },
	{ MSR_KVM_SYSTEM_TIME, .flags = ROW_SAVE, .get = system_time_get, .set = system_time_set,
	  .shown = shows_clock },
	{ MSR_IA32_PLATFORM_ID, CONST },
	{ MSR_IA32_APICBASE, .flags = ROW_SAVE, .get = apic_base_get, .set = apic_base_set },
	{ MSR_IA32_EBL_CR_POWERON, CONST },
	/* Pentium 4's bus: 100 MHz. */
	{ MSR_EBC_FREQUENCY_ID, CONST, .value = 1 << 24 },
	{ MSR_IA32_TSC_ADJUST, .flags = ROW_SAVE, .get = tsc_adjust_get, .set = tsc_adjust_set,
	  .shown = shows_tsc_adjust },
	{ MSR_IA32_SPEC_CTRL, .flags = ROW_SAVE, .field = FIELD(spec_ctrl),
	  .set = spec_ctrl_set, .have = have_spec_ctrl, .shown = shows_spec_ctrl },
	{ MSR_IA32_PRED_CMD, .get = refuse_get, .set = pred_cmd_set,
	  .have = have_ibpb, .shown = shows_pred_cmd },
	{ MSR_IA32_UCODE_REV, .flags = ROW_SAVE | ROW_FEATURE, .field = FIELD(microcode_version),
	  .set = microcode_set },
	{ MSR_P6_PERFCTR0, .count = 2, CONST },
	/* Core's bus: 166 MHz. */
	{ MSR_FSB_FREQ, CONST, .value = 3 },
	{ MSR_PLATFORM_INFO, .flags = ROW_SAVE | ROW_FEATURE | ROW_HOST_WRITE,
	  .field = FIELD(platform_info), .get = platform_info_get, .valid = TURBO_RATIOS },
	{ MSR_MTRRcap, CONST, .value = MTRR_CAP },
	{ MSR_IA32_ARCH_CAPABILITIES, .flags = ROW_SAVE | ROW_FEATURE | ROW_HOST_WRITE,
	  .field = FIELD(arch_capabilities), .set = arch_capabilities_set },
	/* Pentium II's cache control: enabled, no errors. */
	{ MSR_IA32_BBL_CR_CTL3, CONST, .value = 0xbe702111 },
	{ MSR_MISC_FEATURES_ENABLES, CONST },
	{ MSR_IA32_SYSENTER_CS, .flags = ROW_SAVE, .get = backend_get, .set = backend_set,
	  .valid = GENMASK_ULL(31, 0) },
	{ MSR_IA32_SYSENTER_ESP, .count = 2, .flags = ROW_SAVE, .get = backend_get,
	  .set = backend_set_address },
	{ MSR_IA32_MCG_CAP, .field = FIELD(mcg_cap), .set = refuse_set },
	{ MSR_IA32_MCG_STATUS, .flags = ROW_SAVE, .field = FIELD(mcg_status),
	  .valid = GENMASK_ULL(3, 0) },
	{ MSR_IA32_MCG_CTL, .flags = ROW_SAVE, .get = mcg_ctl_get, .set = mcg_ctl_set },
	{ MSR_P6_EVNTSEL0, .count = 2, CONST },
	/* Ratio 4, and a TSC tick of 1000, as KVM says. */
	{ MSR_IA32_PERF_STATUS, CONST, .value = 1000 | (4ULL << 40) },
	{ MSR_IA32_PERF_CTL, CONST },
	{ MSR_IA32_MISC_ENABLE, .flags = ROW_SAVE, .field = FIELD(misc_enable),
	  .set = misc_enable_set },
	{ MSR_IA32_DEBUGCTLMSR, CONST },
	{ MSR_IA32_LASTBRANCHFROMIP, .count = 4, CONST },
	/* What it tunes no guest can see. */
	{ MSR_IA32_POWER_CTL, .flags = ROW_SAVE, .field = FIELD(power_ctl), .valid = ~0ULL },
	{ MSR_MTRR_VARIABLE, .count = 2 * UMBRA_MTRR_VARIABLE, .flags = ROW_SAVE,
	  .field = FIELD(mtrr_var), .set = mtrr_var_set },
	{ MSR_MTRRfix64K_00000, .flags = ROW_SAVE, .field = FIELD(mtrr_fixed[0]),
	  .set = mtrr_fixed_set },
	{ MSR_MTRRfix16K_80000, .count = 2, .flags = ROW_SAVE, .field = FIELD(mtrr_fixed[1]),
	  .set = mtrr_fixed_set },
	{ MSR_MTRRfix4K_C0000, .count = 8, .flags = ROW_SAVE, .field = FIELD(mtrr_fixed[3]),
	  .set = mtrr_fixed_set },
	{ MSR_IA32_CR_PAT, .flags = ROW_SAVE, .field = FIELD(pat), .set = pat_set },
	{ MSR_MTRRdefType, .flags = ROW_SAVE, .field = FIELD(mtrr_def), .set = mtrr_def_set },
	{ MSR_IA32_MC0_CTL, .count = 4 * UMBRA_MCE_BANKS, .flags = ROW_SAVE, .field = FIELD(mce),
	  .get = mce_get, .set = mce_set },
	/* Energy meters that stand still. */
	{ MSR_RAPL_POWER_UNIT, CONST },
	{ MSR_PKG_ENERGY_STATUS, CONST },
	{ MSR_DRAM_ENERGY_STATUS, CONST },
	{ MSR_PP0_ENERGY_STATUS, CONST },
	{ MSR_PP1_ENERGY_STATUS, CONST },
	{ MSR_IA32_TSC_DEADLINE, .flags = ROW_SAVE, .get = deadline_get, .set = deadline_set,
	  .shown = shows_deadline },
	{ 0x800, .count = 0x100, .get = x2apic_get, .set = x2apic_set },
	{ MSR_KVM_WALL_CLOCK_NEW, .flags = ROW_SAVE, .get = wall_clock_get, .set = wall_clock_set,
	  .shown = shows_clock2 },
	{ MSR_KVM_SYSTEM_TIME_NEW, .flags = ROW_SAVE, .get = system_time_get,
	  .set = system_time_set, .shown = shows_clock2 },
	{ MSR_KVM_ASYNC_PF_EN, .flags = ROW_SAVE, .field = FIELD(apf_en), .set = apf_en_set,
	  .shown = shows_async_pf },
	{ MSR_KVM_STEAL_TIME, .flags = ROW_SAVE, .field = FIELD(steal_time),
	  .set = steal_time_set, .shown = shows_steal_time },
	{ MSR_KVM_PV_EOI_EN, .flags = ROW_SAVE, .field = FIELD(pv_eoi), .set = pv_eoi_set,
	  .shown = shows_pv_eoi },
	{ MSR_KVM_POLL_CONTROL, .flags = ROW_SAVE, .field = FIELD(poll_control), .valid = 1,
	  .shown = shows_poll_control },
	{ MSR_KVM_ASYNC_PF_INT, .flags = ROW_SAVE, .field = FIELD(apf_int), .set = apf_int_set,
	  .shown = shows_async_pf_int },
	/* A command, which leaves nothing to read. */
	{ MSR_KVM_ASYNC_PF_ACK, .flags = ROW_SAVE, .get = const_get, .set = apf_ack_set,
	  .shown = shows_async_pf_int },
	{ MSR_EFER, .flags = ROW_SAVE, .get = efer_get, .set = efer_set },
	{ MSR_STAR, .flags = ROW_SAVE, .get = backend_get, .set = backend_set, .valid = ~0ULL,
	  .shown = shows_long_mode },
	{ MSR_LSTAR, .count = 2, .flags = ROW_SAVE, .get = backend_get, .set = backend_set_address,
	  .shown = shows_long_mode },
	{ MSR_SYSCALL_MASK, .flags = ROW_SAVE, .get = backend_get, .set = backend_set,
	  .valid = ~0ULL, .shown = shows_long_mode },
	{ MSR_FS_BASE, .count = 2, .flags = ROW_SAVE, .get = base_get, .set = base_set,
	  .shown = shows_long_mode },
	{ MSR_KERNEL_GS_BASE, .flags = ROW_SAVE, .get = backend_get, .set = backend_set_address,
	  .shown = shows_long_mode },
	{ MSR_TSC_AUX, .flags = ROW_SAVE, .field = FIELD(tsc_aux), .set = tsc_aux_set,
	  .valid = GENMASK_ULL(31, 0), .have = have_tsc_aux, .shown = shows_tsc_aux },
	{ MSR_K7_EVNTSEL0, .count = 8, CONST },		/* and the four counters */
	{ MSR_AMD64_SYSCFG, CONST },
	{ MSR_K7_HWCR, .flags = ROW_SAVE, .field = FIELD(hwcr), .set = hwcr_set,
	  .valid = HWCR_MC_STATUS_WR | HWCR_TSC_FREQ_SEL },
	{ MSR_AMD64_NB_CFG, CONST },
	{ MSR_K8_INT_PENDING_MSG, CONST },
	{ MSR_FAM10H_MMIO_CONF_BASE, CONST },
	{ MSR_K8_TSEG_ADDR, .count = 2, CONST },
	{ MSR_AMD64_OSVW_ID_LENGTH, .flags = ROW_SAVE | ROW_HOST_WRITE, .field = FIELD(osvw_length),
	  .valid = GENMASK_ULL(15, 0) },
	{ MSR_AMD64_OSVW_STATUS, .flags = ROW_SAVE | ROW_HOST_WRITE, .field = FIELD(osvw_status),
	  .valid = ~0ULL },
	{ MSR_AMD64_DC_CFG, CONST },
	{ MSR_AMD64_DE_CFG, .flags = ROW_SAVE | ROW_FEATURE, .field = FIELD(de_cfg),
	  .set = de_cfg_set },
	{ MSR_AMD64_BU_CFG2, CONST },
	{ MSR_F15H_EX_CFG, CONST },
};

static u32 row_last(const struct msr_row *row)
{
	return row->first + (row->count ? row->count - 1 : 0);
}

static const struct msr_row *find_row(u32 index)
{
	size_t low = 0, high = ARRAY_SIZE(rows);

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (index < rows[mid].first)
			high = mid;
		else if (index > row_last(&rows[mid]))
			low = mid + 1;
		else
			return rows[mid].have && !rows[mid].have() ? NULL : &rows[mid];
	}
	return NULL;
}

static noinline const struct msr_row *look_for_row(struct umbra_vcpu *vcpu, u32 index, bool host)
{
	const struct msr_row *row = find_row(index);

	if (!row || (!host && row->shown && !row->shown(&vcpu->cpuid))) {
		pr_debug_ratelimited("vCPU %d: no MSR %#x\n", vcpu->id, index);
		return NULL;
	}
	if (!host) {
		vcpu->msrs.last_row = row;
		vcpu->msrs.last_index = index;
	}
	return row;
}

/* The row of an MSR that exists for this caller. */
static __always_inline const struct msr_row *visible_row(struct umbra_vcpu *vcpu, u32 index,
							 bool host)
{
	const struct umbra_msrs *msrs = &vcpu->msrs;

	if (!host && msrs->last_row && msrs->last_index == index)
		return msrs->last_row;
	return look_for_row(vcpu, index, host);
}

static __always_inline bool filtered(struct umbra_vcpu *vcpu, u32 index, u32 access)
{
	return unlikely(rcu_access_pointer(vcpu->vm->msr_filter)) &&
	       !umbra_msr_allowed(vcpu->vm, index, access);
}

int umbra_msr_read(struct umbra_vcpu *vcpu, u32 index, u64 *value, bool host)
{
	struct msr_op op = { .vcpu = vcpu, .row = visible_row(vcpu, index, host), .host = host };
	int r;

	*value = 0;
	if (!host && filtered(vcpu, index, KVM_MSR_FILTER_READ))
		return UMBRA_MSR_FILTERED;
	if (!op.row)
		return UMBRA_MSR_UNKNOWN;
	op.nr = index - op.row->first;
	r = op.row->get ? op.row->get(&op) : field_get(&op);
	if (!r)
		*value = op.value;
	return r;
}

int umbra_msr_write(struct umbra_vcpu *vcpu, u32 index, u64 value, bool host)
{
	struct msr_op op = { .vcpu = vcpu, .row = visible_row(vcpu, index, host), .host = host,
			     .value = value };

	if (!host && filtered(vcpu, index, KVM_MSR_FILTER_WRITE))
		return UMBRA_MSR_FILTERED;
	if (!op.row)
		return UMBRA_MSR_UNKNOWN;
	if (!host && (op.row->flags & ROW_HOST_WRITE))
		return UMBRA_MSR_REFUSED;
	op.nr = index - op.row->first;
	return op.row->set ? op.row->set(&op) : field_set(&op);
}

void umbra_msrs_reset(struct umbra_vcpu *vcpu, bool init)
{
	struct umbra_msrs *msrs = &vcpu->msrs;

	msrs->spec_ctrl = 0;
	/* What is in memory is no more what the guest thinks that it is. */
	msrs->steal_time = 0;
	msrs->pv_eoi = 0;
	msrs->apf_en = 0;
	msrs->apf_int = 0;
	if (init)
		return;
	*msrs = (struct umbra_msrs) {
		.misc_enable = MISC_RESET,
		.mcg_cap = UMBRA_MCE_BANKS,
		.poll_control = 1,
		.hwcr = boot_cpu_has(X86_FEATURE_CONSTANT_TSC) ? HWCR_TSC_FREQ_SEL : 0,
	};
	umbra_msr_feature(MSR_IA32_UCODE_REV, &msrs->microcode_version);
	umbra_msr_feature(MSR_IA32_ARCH_CAPABILITIES, &msrs->arch_capabilities);
	umbra_msr_feature(MSR_AMD64_DE_CFG, &msrs->de_cfg);
	umbra_msr_write(vcpu, MSR_IA32_CR_PAT, PAT_RESET, true);
	umbra_msr_write(vcpu, MSR_TSC_AUX, 0, true);
}

/* Immunities that hold for a guest because they hold for the host's CPU. */
static u64 arch_capabilities(void)
{
	const u64 inherited = ARCH_CAP_RDCL_NO | ARCH_CAP_RSBA | ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO |
			      ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO |
			      ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA |
			      ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO;
	u64 value = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES) &&
	    !rdmsrl_safe(MSR_IA32_ARCH_CAPABILITIES, &value))
		value &= inherited;
	/* The L1 data cache is flushed for the guest where the host says so, not by the guest. */
	value |= ARCH_CAP_SKIP_VMENTRY_L1DFLUSH;
	if (!boot_cpu_has_bug(X86_BUG_CPU_MELTDOWN))
		value |= ARCH_CAP_RDCL_NO;
	if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		value |= ARCH_CAP_SSB_NO;
	if (!boot_cpu_has_bug(X86_BUG_MDS))
		value |= ARCH_CAP_MDS_NO;
	if (!boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT))
		value |= ARCH_CAP_PSCHANGE_MC_NO;
	return value;
}

int umbra_msr_feature(u32 index, u64 *value)
{
	bool amd = boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
		   boot_cpu_data.x86_vendor == X86_VENDOR_HYGON;

	*value = 0;
	switch (index) {
	case MSR_IA32_ARCH_CAPABILITIES:
		*value = arch_capabilities();
		return 0;
	case MSR_IA32_UCODE_REV:
		*value = amd ? AMD_MICROCODE : INTEL_MICROCODE;
		return 0;
	case MSR_AMD64_DE_CFG:
		*value = boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? DE_CFG_LFENCE : 0;
		return 0;
	case MSR_PLATFORM_INFO:
		return 0;
	}
	return 1;
}

/* The two lists, from the table; written once at load. */
static u32 saved[192] __ro_after_init, features[8] __ro_after_init;
static unsigned int nr_saved __ro_after_init, nr_features __ro_after_init;

static void add_to_list(u32 *list, unsigned int room, unsigned int *nr, u32 index)
{
	if (!WARN_ON(*nr >= room))
		list[(*nr)++] = index;
}

void umbra_msr_setup(void)
{
	const struct msr_row *row;
	u32 index;

	nr_saved = 0;
	nr_features = 0;
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		/* find_row() needs the order. */
		WARN_ON(row > rows && row->first <= row_last(row - 1));
		if (row->have && !row->have())
			continue;
		for (index = row->first; index <= row_last(row); index++) {
			if (row->flags & ROW_SAVE)
				add_to_list(saved, ARRAY_SIZE(saved), &nr_saved, index);
			if (row->flags & ROW_FEATURE)
				add_to_list(features, ARRAY_SIZE(features), &nr_features, index);
		}
	}
}

unsigned int umbra_msr_list(const u32 **list)
{
	*list = saved;
	return nr_saved;
}

unsigned int umbra_msr_feature_list(const u32 **list)
{
	*list = features;
	return nr_features;
}
