// SPDX-License-Identifier: GPL-2.0-only
/* The emulator's ops on registers, and those that ask what the guest's CPU is. */
#include <linux/kvm.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "emul_ops.h"
#include "trace.h"
#include "umbra.h"

static int gp(struct umbra_emul *e)
{
	return umbra_emul_fault(e, X86_TRAP_GP, true, 0, 0);
}

/* LDTR and TR stand the other way round in the emulator's list. */
static int sreg(unsigned int nr)
{
	if (nr == EMUL_LDTR)
		return VCPU_SREG_LDTR;
	return nr == EMUL_TR ? VCPU_SREG_TR : nr;
}

void umbra_emul_get_seg(struct umbra_emul *e, unsigned int nr, struct umbra_emul_seg *seg)
{
	struct kvm_segment s;

	umbra_backend->get_segment(umbra_to_ve(e)->vcpu, &s, sreg(nr));
	seg->base = s.base;
	seg->limit = s.limit;
	seg->sel = s.selector;
	seg->attr = s.type | s.s << 4 | s.dpl << EMUL_SEG_DPL_SHIFT |
		    (s.present && !s.unusable ? EMUL_SEG_P : 0) |
		    s.avl << 8 | s.l << 9 | s.db << 10 | s.g << 11;
}

int umbra_emul_set_seg(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_seg *seg)
{
	struct kvm_segment s = {
		.base = seg->base,
		.limit = seg->limit,
		.selector = seg->sel,
		.type = seg->attr & EMUL_SEG_TYPE,
		.s = !!(seg->attr & EMUL_SEG_S),
		.dpl = (seg->attr >> EMUL_SEG_DPL_SHIFT) & 3,
		.present = !!(seg->attr & EMUL_SEG_P),
		.avl = !!(seg->attr & EMUL_SEG_AVL),
		.l = !!(seg->attr & EMUL_SEG_L),
		.db = !!(seg->attr & EMUL_SEG_DB),
		.g = !!(seg->attr & EMUL_SEG_G),
		.unusable = !(seg->attr & EMUL_SEG_P),
	};

	umbra_backend->set_segment(umbra_to_ve(e)->vcpu, &s, sreg(nr));
	return UMBRA_EMUL_OK;
}

u64 umbra_emul_get_cr(struct umbra_emul *e, unsigned int nr)
{
	return umbra_cr(umbra_to_ve(e)->vcpu, nr);
}

int umbra_emul_set_cr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	struct umbra_vcpu *vcpu = umbra_to_ve(e)->vcpu;
	int r = 0;

	umbra_trace(kvm_cr, true, nr, val);
	switch (nr) {
	case 0:
		r = umbra_set_cr0(vcpu, val);
		break;
	case 2:
		vcpu->regs.cr2 = val;
		break;
	case 3:
		r = umbra_set_cr3(vcpu, val);
		break;
	case 4:
		r = umbra_set_cr4(vcpu, val);
		break;
	default:
		r = umbra_set_cr8(vcpu, val);
		break;
	}
	return r ? gp(e) : UMBRA_EMUL_OK;
}

u64 umbra_emul_get_dr(struct umbra_emul *e, unsigned int nr)
{
	return umbra_get_dr(umbra_to_ve(e)->vcpu, nr);
}

int umbra_emul_set_dr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	return umbra_set_dr(umbra_to_ve(e)->vcpu, nr, val) ? gp(e) : UMBRA_EMUL_OK;
}

/*
 * RDMSR and WRMSR: userspace may want to see those that fail. With its answer the instruction is
 * executed once more.
 */
static int msr_failed(struct umbra_emul *e, int result, bool write, u32 index, u64 val)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);

	if (!umbra_msr_exit(ve->vcpu, result, write, index, val))
		return gp(e);
	ve->msr = MSR_ASKED;
	return UMBRA_EMUL_IO;
}

static int msr_answer(struct umbra_emul *e)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);
	bool refused = ve->msr == MSR_REFUSED;

	ve->msr = MSR_NONE;
	return refused ? gp(e) : UMBRA_EMUL_OK;
}

int umbra_emul_rdmsr(struct umbra_emul *e, u32 index, u64 *val)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);
	int r;

	if (ve->msr) {
		*val = ve->msr_value;
		r = msr_answer(e);
	} else {
		r = umbra_msr_read(ve->vcpu, index, val, false);
		r = r ? msr_failed(e, r, false, index, 0) : UMBRA_EMUL_OK;
	}
	if (r != UMBRA_EMUL_IO)
		umbra_trace(kvm_msr, false, index, *val, r);
	return r;
}

int umbra_emul_wrmsr(struct umbra_emul *e, u32 index, u64 val)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);
	int r;

	if (ve->msr) {
		r = msr_answer(e);
	} else {
		r = umbra_msr_write(ve->vcpu, index, val, false);
		r = r ? msr_failed(e, r, true, index, val) : UMBRA_EMUL_OK;
	}
	if (r != UMBRA_EMUL_IO)
		umbra_trace(kvm_msr, true, index, val, r);
	return r;
}

/* Userspace's filter is for RDMSR and WRMSR alone. */
int umbra_emul_get_msr(struct umbra_emul *e, u32 index, u64 *val)
{
	return umbra_msr_read(umbra_to_ve(e)->vcpu, index, val, true) ? gp(e) : UMBRA_EMUL_OK;
}

int umbra_emul_set_msr(struct umbra_emul *e, u32 index, u64 val)
{
	return umbra_msr_write(umbra_to_ve(e)->vcpu, index, val, true) ? gp(e) : UMBRA_EMUL_OK;
}

int umbra_emul_cpuid(struct umbra_emul *e, u32 regs[4])
{
	umbra_cpuid(umbra_to_ve(e)->vcpu, &regs[0], &regs[1], &regs[2], &regs[3]);
	return UMBRA_EMUL_OK;
}

void umbra_emul_get_dtable(struct umbra_emul *e, unsigned int nr, struct umbra_emul_dtable *dt)
{
	struct kvm_dtable t;

	umbra_backend->get_dt(umbra_to_ve(e)->vcpu, &t, nr == EMUL_IDTR);
	dt->base = t.base;
	dt->limit = t.limit;
}

int umbra_emul_set_dtable(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_dtable *dt)
{
	struct kvm_dtable t = { .base = dt->base, .limit = dt->limit };

	umbra_backend->set_dt(umbra_to_ve(e)->vcpu, &t, nr == EMUL_IDTR);
	return UMBRA_EMUL_OK;
}

u64 umbra_emul_tsc(struct umbra_emul *e, u32 *aux)
{
	struct umbra_vcpu *vcpu = umbra_to_ve(e)->vcpu;

	*aux = vcpu->msrs.tsc_aux;
	return umbra_guest_tsc(vcpu);
}

int umbra_emul_get_xmm(struct umbra_emul *e, unsigned int reg, void *buf, unsigned int n)
{
	return umbra_fpu_get_xmm(umbra_to_ve(e)->vcpu, reg, buf, n) ? UMBRA_EMUL_UNHANDLEABLE : UMBRA_EMUL_OK;
}

int umbra_emul_set_xmm(struct umbra_emul *e, unsigned int reg, const void *buf, unsigned int n)
{
	return umbra_fpu_set_xmm(umbra_to_ve(e)->vcpu, reg, buf, n) ? UMBRA_EMUL_UNHANDLEABLE : UMBRA_EMUL_OK;
}

int umbra_emul_hlt(struct umbra_emul *e)
{
	umbra_to_ve(e)->halt = true;
	return UMBRA_EMUL_OK;
}

int umbra_emul_wbinvd(struct umbra_emul *e)
{
	return UMBRA_EMUL_OK;
}

int umbra_emul_invlpg(struct umbra_emul *e, u64 la)
{
	umbra_mmu_flush_gva(umbra_to_ve(e)->vcpu, la);
	return UMBRA_EMUL_OK;
}

int umbra_emul_invpcid(struct umbra_emul *e, unsigned int type, u16 pcid, u64 la)
{
	struct umbra_vcpu *vcpu = umbra_to_ve(e)->vcpu;

	if (type == 0 && pcid == (umbra_cr3(vcpu) & GENMASK_ULL(11, 0)))
		return umbra_emul_invlpg(e, la);
	umbra_mmu_flush_guest(vcpu);
	return UMBRA_EMUL_OK;
}

int umbra_emul_get_fpu(struct umbra_emul *e, u8 *image)
{
	return umbra_fpu_get_image(umbra_to_ve(e)->vcpu, image) ? UMBRA_EMUL_UNHANDLEABLE : UMBRA_EMUL_OK;
}

int umbra_emul_set_fpu(struct umbra_emul *e, const u8 *image)
{
	return umbra_fpu_set_image(umbra_to_ve(e)->vcpu, image) ? UMBRA_EMUL_UNHANDLEABLE : UMBRA_EMUL_OK;
}

u64 umbra_emul_get_xcr0(struct umbra_emul *e)
{
	return umbra_to_ve(e)->vcpu->regs.xcr0;
}

int umbra_emul_get_xinuse(struct umbra_emul *e, u64 *val)
{
	struct umbra_vcpu *vcpu = umbra_to_ve(e)->vcpu;
	const struct kvm_cpuid_entry2 *entry = umbra_cpuid_find(vcpu, 0xd, 1);

	if (!entry || !(entry->eax & BIT(X86_FEATURE_XGETBV1 & 31)))
		return gp(e);
	return umbra_fpu_get_xinuse(vcpu, val) ? UMBRA_EMUL_UNHANDLEABLE : UMBRA_EMUL_OK;
}

int umbra_emul_set_xcr0(struct umbra_emul *e, u64 val)
{
	return umbra_set_xcr0(umbra_to_ve(e)->vcpu, val) ? gp(e) : UMBRA_EMUL_OK;
}

u32 umbra_emul_get_pkru(struct umbra_emul *e)
{
	return umbra_to_ve(e)->vcpu->fpu.pkru;
}

void umbra_emul_set_pkru(struct umbra_emul *e, u32 val)
{
	umbra_to_ve(e)->vcpu->fpu.pkru = val;
}

/* No counters are offered. */
int umbra_emul_rdpmc(struct umbra_emul *e, u32 index, u64 *val)
{
	return gp(e);
}

int umbra_emul_hypercall(struct umbra_emul *e)
{
	bool wide = e->mode == UMBRA_EMUL_LONG64;
	long result = umbra_hypercall(umbra_to_ve(e)->vcpu, e->gpr, wide);

	e->gpr[UMBRA_RAX] = wide ? result : (u32)result;
	return UMBRA_EMUL_OK;
}

void umbra_emul_nmi_unmask(struct umbra_emul *e)
{
	struct umbra_vcpu *vcpu = umbra_to_ve(e)->vcpu;

	if (umbra_backend->get_nmi_mask(vcpu))
		umbra_backend->set_nmi_mask(vcpu, false);
}

enum cpuid_reg { EAX, EBX, ECX, EDX };

/* Where CPUID tells, and the kernel's number for the same, whose low five bits are the bit. */
static const struct {
	u32 function;
	enum cpuid_reg reg;
	int feature;
	u32 index;
} features[UMBRA_NR_CPU_FEATURES] = {
	[UMBRA_CPU_3DNOW]	= { 0x80000001, EDX, X86_FEATURE_3DNOW },
	[UMBRA_CPU_ADX]		= { 7, EBX, X86_FEATURE_ADX },
	[UMBRA_CPU_AVX]		= { 1, ECX, X86_FEATURE_AVX },
	[UMBRA_CPU_AVX2]	= { 7, EBX, X86_FEATURE_AVX2 },
	[UMBRA_CPU_AVX512F]	= { 7, EBX, X86_FEATURE_AVX512F },
	[UMBRA_CPU_BMI1]	= { 7, EBX, X86_FEATURE_BMI1 },
	[UMBRA_CPU_BMI2]	= { 7, EBX, X86_FEATURE_BMI2 },
	[UMBRA_CPU_CLFLUSH]	= { 1, EDX, X86_FEATURE_CLFLUSH },
	[UMBRA_CPU_CLFLUSHOPT]	= { 7, EBX, X86_FEATURE_CLFLUSHOPT },
	[UMBRA_CPU_CLWB]	= { 7, EBX, X86_FEATURE_CLWB },
	[UMBRA_CPU_CLZERO]	= { 0x80000008, EBX, X86_FEATURE_CLZERO },
	[UMBRA_CPU_CR8_LEGACY]	= { 0x80000001, ECX, X86_FEATURE_CR8_LEGACY },
	[UMBRA_CPU_CX16]	= { 1, ECX, X86_FEATURE_CX16 },
	[UMBRA_CPU_CX8]		= { 1, EDX, X86_FEATURE_CX8 },
	[UMBRA_CPU_FSGSBASE]	= { 7, EBX, X86_FEATURE_FSGSBASE },
	[UMBRA_CPU_FXSR]	= { 1, EDX, X86_FEATURE_FXSR },
	[UMBRA_CPU_INVPCID]	= { 7, EBX, X86_FEATURE_INVPCID },
	[UMBRA_CPU_LZCNT]	= { 0x80000001, ECX, X86_FEATURE_ABM },
	[UMBRA_CPU_MMX]		= { 1, EDX, X86_FEATURE_MMX },
	[UMBRA_CPU_MOVBE]	= { 1, ECX, X86_FEATURE_MOVBE },
	[UMBRA_CPU_MOVDIR64B]	= { 7, ECX, X86_FEATURE_MOVDIR64B },
	[UMBRA_CPU_MOVDIRI]	= { 7, ECX, X86_FEATURE_MOVDIRI },
	[UMBRA_CPU_PKU]		= { 7, ECX, X86_FEATURE_PKU },
	[UMBRA_CPU_POPCNT]	= { 1, ECX, X86_FEATURE_POPCNT },
	[UMBRA_CPU_RDPID]	= { 7, ECX, X86_FEATURE_RDPID },
	[UMBRA_CPU_RDRAND]	= { 1, ECX, X86_FEATURE_RDRAND },
	[UMBRA_CPU_RDSEED]	= { 7, EBX, X86_FEATURE_RDSEED },
	[UMBRA_CPU_RDTSCP]	= { 0x80000001, EDX, X86_FEATURE_RDTSCP },
	[UMBRA_CPU_SEP]		= { 1, EDX, X86_FEATURE_SEP },
	[UMBRA_CPU_SERIALIZE]	= { 7, EDX, X86_FEATURE_SERIALIZE },
	[UMBRA_CPU_SMAP]	= { 7, EBX, X86_FEATURE_SMAP },
	[UMBRA_CPU_SSE2]	= { 1, EDX, X86_FEATURE_XMM2 },
	[UMBRA_CPU_SSE3]	= { 1, ECX, X86_FEATURE_XMM3 },
	[UMBRA_CPU_SSE41]	= { 1, ECX, X86_FEATURE_XMM4_1 },
	[UMBRA_CPU_SSE42]	= { 1, ECX, X86_FEATURE_XMM4_2 },
	[UMBRA_CPU_SSE4A]	= { 0x80000001, ECX, X86_FEATURE_SSE4A },
	[UMBRA_CPU_XOP]		= { 0x80000001, ECX, X86_FEATURE_XOP },
	[UMBRA_CPU_XSAVE]	= { 1, ECX, X86_FEATURE_XSAVE },
	[UMBRA_CPU_XSAVEC]	= { 0xd, EAX, X86_FEATURE_XSAVEC, 1 },
	[UMBRA_CPU_XSAVEOPT]	= { 0xd, EAX, X86_FEATURE_XSAVEOPT, 1 },
	[UMBRA_CPU_XSAVES]	= { 0xd, EAX, X86_FEATURE_XSAVES, 1 },
};

/* A guest that was given no CPUID runs on a CPU like the host's. */
bool umbra_emul_cpu_has(struct umbra_emul *e, enum umbra_emul_cpu feature)
{
	struct umbra_vcpu *vcpu = umbra_to_ve(e)->vcpu;
	const struct kvm_cpuid_entry2 *entry;
	u32 words[4];

	if (feature == UMBRA_CPU_MWAIT)
		return umbra_cpuid_mwait(vcpu);
	if (!vcpu->cpuid.nent) {
		if (feature == UMBRA_CPU_AMD)
			return boot_cpu_data.x86_vendor == X86_VENDOR_AMD;
		return boot_cpu_has(features[feature].feature);
	}
	if (feature == UMBRA_CPU_AMD)
		return vcpu->cpuid.amd;
	entry = umbra_cpuid_find(vcpu, features[feature].function, features[feature].index);
	if (!entry)
		return false;
	words[EAX] = entry->eax;
	words[EBX] = entry->ebx;
	words[ECX] = entry->ecx;
	words[EDX] = entry->edx;
	return words[features[feature].reg] & BIT(features[feature].feature & 31);
}
