// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID. A feature is offered when the host's kernel uses it, this table names it
 * (anything that needs state switched or an instruction emulated is named only
 * once that exists), and the backend can carry it.
 */
#include <linux/mm.h>
#include <linux/string.h>

#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <asm/kvm_para.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <asm/processor-flags.h>

#include "backend.h"
#include "irq.h"
#include "switches.h"
#include "trace.h"
#include "umbra.h"

#define F(name)		BIT(X86_FEATURE_##name & 31)

#define PV_BASE		0x40000000
#define PV_FEATURES	0x40000001
#define UMBRA_BASE	0x40000100
#define EXT_BASE	0x80000000
#define MAX_BASIC	0xd
#define MAX_EXT		0x80000021

enum word_reg { EAX, EBX, ECX, EDX };

/**
 * struct word - one register of one leaf that holds feature bits
 * @function: leaf
 * @index: subleaf
 * @reg: enum word_reg
 * @cap: the kernel's word of the same bits, enum cpuid_leafs
 * @allow: what a guest may have where the host has it
 * @emulate: what it may have anywhere
 */
struct word {
	u32 function, index;
	u8 reg, cap;
	u32 allow, emulate;
};

enum word_nr { W_1_EDX, W_1_ECX, W_7_EBX, W_7_ECX, W_7_EDX, W_7_1_EAX, W_EXT1_EDX, W_EXT1_ECX,
	       W_EXT8_EBX, NR_WORDS };

/* The bits that AMD repeats in 0x80000001.edx. */
#define COMMON_EDX	(F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | F(MCE) | \
			 F(CX8) | F(APIC) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT) | \
			 F(PSE36) | F(MMX) | F(FXSR))

static const struct word words[NR_WORDS] = {
	[W_1_EDX] = { 1, 0, EDX, CPUID_1_EDX,
		.allow = COMMON_EDX | F(SEP) | F(CLFLUSH) | F(XMM) | F(XMM2) | F(SELFSNOOP) },
	[W_1_ECX] = { 1, 0, ECX, CPUID_1_ECX,
		.allow = F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(PCID) |
			 F(XMM4_1) | F(XMM4_2) | F(MOVBE) | F(POPCNT) | F(AES) | F(XSAVE) |
			 F(AVX) | F(F16C) | F(RDRAND),
		.emulate = F(X2APIC) | F(HYPERVISOR) },
	[W_7_EBX] = { 7, 0, EBX, CPUID_7_0_EBX,
		.allow = F(FSGSBASE) | F(BMI1) | F(AVX2) | F(FDP_EXCPTN_ONLY) | F(SMEP) | F(BMI2) |
			 F(ERMS) | F(INVPCID) | F(ZERO_FCS_FDS) | F(AVX512F) | F(AVX512DQ) |
			 F(RDSEED) | F(ADX) | F(SMAP) | F(AVX512IFMA) | F(CLFLUSHOPT) | F(CLWB) |
			 F(AVX512PF) | F(AVX512ER) | F(AVX512CD) | F(SHA_NI) | F(AVX512BW) |
			 F(AVX512VL),
		.emulate = F(TSC_ADJUST) },
	[W_7_ECX] = { 7, 0, ECX, CPUID_7_ECX,
		.allow = F(AVX512VBMI) | F(UMIP) | F(PKU) | F(AVX512_VBMI2) | F(GFNI) | F(VAES) |
			 F(VPCLMULQDQ) | F(AVX512_VNNI) | F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ) |
			 F(LA57) | F(RDPID) | F(CLDEMOTE) | F(MOVDIRI) | F(MOVDIR64B) },
	[W_7_EDX] = { 7, 0, EDX, CPUID_7_EDX,
		.allow = F(AVX512_4VNNIW) | F(AVX512_4FMAPS) | F(FSRM) | F(AVX512_VP2INTERSECT) |
			 F(MD_CLEAR) | F(SERIALIZE) | F(AVX512_FP16) | F(SPEC_CTRL) |
			 F(INTEL_STIBP) | F(SPEC_CTRL_SSBD),
		.emulate = F(ARCH_CAPABILITIES) },
	[W_7_1_EAX] = { 7, 1, EAX, CPUID_7_1_EAX,
		.allow = F(AVX_VNNI) | F(AVX512_BF16) },
	[W_EXT1_EDX] = { 0x80000001, 0, EDX, CPUID_8000_0001_EDX,
		.allow = COMMON_EDX | F(SYSCALL) | F(NX) | F(MMXEXT) | F(FXSR_OPT) | F(GBPAGES) |
			 F(RDTSCP) | F(LM) | F(3DNOWEXT) | F(3DNOW) },
	[W_EXT1_ECX] = { 0x80000001, 0, ECX, CPUID_8000_0001_ECX,
		.allow = F(LAHF_LM) | F(CR8_LEGACY) | F(ABM) | F(SSE4A) | F(MISALIGNSSE) |
			 F(3DNOWPREFETCH) | F(OSVW) | F(XOP) | F(FMA4) | F(TBM) },
	[W_EXT8_EBX] = { 0x80000008, 0, EBX, CPUID_8000_0008_EBX,
		.allow = F(CLZERO) | F(XSAVEERPTR) | F(WBNOINVD) | F(AMD_IBPB) | F(AMD_IBRS) |
			 F(AMD_STIBP) | F(AMD_SSBD) | F(AMD_SSB_NO) },
};

/* What words[] comes to on this host; written once at load. */
static u32 offered[NR_WORDS] __ro_after_init;
static u64 host_efer __ro_after_init;

/* Components of XSAVE areas: size and offset in bytes, and alignment when compacted. */
static struct { u32 size, offset; bool align; } xstate[64] __ro_after_init;

static u32 host_cpuid(u32 function, u32 index, enum word_reg reg)
{
	u32 r[4];

	cpuid_count(function, index, &r[EAX], &r[EBX], &r[ECX], &r[EDX]);
	return r[reg];
}

static bool host_has_leaf(u32 function)
{
	u32 max = cpuid_eax(function & 0xffff0000);

	return max >= function && (max & 0xffff0000) == (function & 0xffff0000);
}

/* Take @bits of a word away unless @have. */
static void require(bool have, enum word_nr w, u32 bits)
{
	if (!have)
		offered[w] &= ~bits;
}

/* Features that hang on something else than the CPU: on state that we must switch. */
static void require_support(void)
{
	u64 xcr0 = umbra_fpu_supported_xcr0();
	bool avx512 = (xcr0 & XFEATURE_MASK_AVX512) == XFEATURE_MASK_AVX512;
	bool ymm = xcr0 & XFEATURE_MASK_YMM;

	require(xcr0, W_1_ECX, F(XSAVE));
	require(ymm, W_1_ECX, F(AVX) | F(FMA) | F(F16C));
	require(ymm, W_7_EBX, F(AVX2));
	require(ymm, W_7_ECX, F(VAES) | F(VPCLMULQDQ));
	require(ymm, W_7_1_EAX, F(AVX_VNNI));
	require(ymm, W_EXT1_ECX, F(XOP) | F(FMA4));
	require(avx512, W_7_EBX, F(AVX512F) | F(AVX512DQ) | F(AVX512IFMA) | F(AVX512PF) |
		F(AVX512ER) | F(AVX512CD) | F(AVX512BW) | F(AVX512VL));
	require(avx512, W_7_ECX, F(AVX512VBMI) | F(AVX512_VBMI2) | F(AVX512_VNNI) |
		F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ));
	require(avx512, W_7_EDX, F(AVX512_4VNNIW) | F(AVX512_4FMAPS) | F(AVX512_VP2INTERSECT) |
		F(AVX512_FP16));
	require(avx512, W_7_1_EAX, F(AVX512_BF16));
	require(xcr0 & XFEATURE_MASK_PKRU, W_7_ECX, F(PKU));

	require(umbra_caps.tsc_aux, W_EXT1_EDX, F(RDTSCP));
	require(umbra_caps.tsc_aux, W_7_ECX, F(RDPID));
	require(umbra_caps.spec_ctrl, W_7_EDX, F(SPEC_CTRL) | F(INTEL_STIBP) | F(SPEC_CTRL_SSBD));
	require(umbra_caps.spec_ctrl, W_EXT8_EBX, F(AMD_IBRS) | F(AMD_STIBP) | F(AMD_SSBD));
	require(boot_cpu_has(X86_FEATURE_IBPB), W_EXT8_EBX, F(AMD_IBPB));
}

void umbra_cpuid_setup(void)
{
	u64 xcr0 = umbra_fpu_supported_xcr0();
	u32 edx;
	int i;

	for (i = 0; i < NR_WORDS; i++) {
		const struct word *w = &words[i];

		offered[i] = 0;
		if (host_has_leaf(w->function))
			offered[i] = host_cpuid(w->function, w->index, w->reg) &
				     boot_cpu_data.x86_capability[w->cap] & w->allow;
		offered[i] |= w->emulate;
	}
	/* Only AMD repeats leaf 1 there; the kernel's word is clear of it elsewhere. */
	require_support();

	edx = offered[W_EXT1_EDX];
	host_efer = EFER_SCE;
	if (edx & F(LM))
		host_efer |= EFER_LME | EFER_LMA;
	if (edx & F(NX))
		host_efer |= EFER_NX;
	if (edx & F(FXSR_OPT))
		host_efer |= EFER_FFXSR;

	for (i = 2; i < ARRAY_SIZE(xstate); i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		xstate[i].size = host_cpuid(0xd, i, EAX);
		xstate[i].offset = host_cpuid(0xd, i, EBX);
		xstate[i].align = host_cpuid(0xd, i, ECX) & BIT(1);
	}
}

u32 umbra_xstate_size(u64 xcr0, bool compacted)
{
	u32 size = 512 + 64, at;	/* legacy area and header */
	int i;

	for (i = 2; i < ARRAY_SIZE(xstate); i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		at = xstate[i].offset;
		if (compacted)
			at = xstate[i].align ? ALIGN(size, 64) : size;
		size = max(size, at + xstate[i].size);
	}
	return size;
}

u64 umbra_cpuid_host_efer(void)
{
	return host_efer;
}

/* The list that KVM_GET_SUPPORTED_CPUID fills. */
struct list {
	struct kvm_cpuid_entry2 *entry;
	u32 nr, max;
};

/* The next entry, zeroed but for its name; past the end one that nobody reads. */
static struct kvm_cpuid_entry2 *add(struct list *l, u32 function, u32 index, bool indexed)
{
	struct kvm_cpuid_entry2 *e = &l->entry[min(l->nr, l->max)];

	l->nr++;
	*e = (struct kvm_cpuid_entry2) {
		.function = function,
		.index = index,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
	};
	return e;
}

static void copy_host(struct kvm_cpuid_entry2 *e)
{
	cpuid_count(e->function, e->index, &e->eax, &e->ebx, &e->ecx, &e->edx);
}

static void put_signature(struct kvm_cpuid_entry2 *e, const char *sig)
{
	memcpy(&e->ebx, sig, 4);
	memcpy(&e->ecx, sig + 4, 4);
	memcpy(&e->edx, sig + 8, 4);
}

static void leaf_max(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add(l, function, 0, false);

	copy_host(e);
	e->eax = min_t(u32, e->eax, function ? MAX_EXT : MAX_BASIC);
}

static void leaf_host(struct list *l, u32 function)
{
	copy_host(add(l, function, 0, false));
}

static void leaf_1(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add(l, function, 0, false);

	/* Model, and the size of a cache line; one logical CPU with APIC ID 0. */
	e->eax = cpuid_eax(1);
	e->ebx = (cpuid_ebx(1) & GENMASK(15, 8)) | BIT(16);
	e->ecx = offered[W_1_ECX];
	e->edx = offered[W_1_EDX];
}

/* Caches, as Intel (4) and AMD (0x8000001d) describe them: alike, but not shared. */
static void leaf_caches(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e;
	u32 i;

	for (i = 0; i < 16; i++) {
		e = add(l, function, i, true);
		copy_host(e);
		if (!(e->eax & GENMASK(4, 0))) {
			e->eax = e->ebx = e->ecx = e->edx = 0;
			break;
		}
		e->eax &= ~GENMASK(31, 14);
	}
}

static void leaf_6(struct list *l, u32 function)
{
	/* The LAPIC timer runs in every C-state: it is a host timer. */
	add(l, function, 0, false)->eax = BIT(2);
}

static void leaf_7(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add(l, function, 0, true);

	e->eax = offered[W_7_1_EAX] ? 1 : 0;
	e->ebx = offered[W_7_EBX];
	e->ecx = offered[W_7_ECX];
	e->edx = offered[W_7_EDX];
	if (offered[W_7_1_EAX])
		add(l, function, 1, true)->eax = offered[W_7_1_EAX];
}

static void leaf_xsave(struct list *l, u32 function)
{
	u64 xcr0 = umbra_fpu_supported_xcr0();
	struct kvm_cpuid_entry2 *e = add(l, function, 0, true);
	int i;

	if (!(offered[W_1_ECX] & F(XSAVE)))
		return;
	e->eax = lower_32_bits(xcr0);
	e->edx = upper_32_bits(xcr0);
	e->ebx = umbra_xstate_size(xcr0, false);
	e->ecx = e->ebx;

	e = add(l, function, 1, true);
	e->eax = host_cpuid(function, 1, EAX) & boot_cpu_data.x86_capability[CPUID_D_1_EAX] &
		 (F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1));
	if (e->eax & F(XSAVEC))
		e->ebx = umbra_xstate_size(xcr0, true);

	for (i = 2; i < ARRAY_SIZE(xstate); i++) {
		if (!xstate[i].size)
			continue;
		e = add(l, function, i, true);
		e->eax = xstate[i].size;
		e->ebx = xstate[i].offset;
		e->ecx = xstate[i].align ? BIT(1) : 0;
	}
}

static void leaf_ext1(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add(l, function, 0, false);

	e->eax = cpuid_eax(function);
	e->ecx = offered[W_EXT1_ECX];
	e->edx = offered[W_EXT1_EDX];
}

static void leaf_power(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add(l, function, 0, false);

	/* A TSC that never stops nor changes its rate is the host's to have. */
	if (boot_cpu_has(X86_FEATURE_CONSTANT_TSC) && boot_cpu_has(X86_FEATURE_NONSTOP_TSC))
		e->edx = BIT(8);
}

static void leaf_addresses(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add(l, function, 0, false);

	e->eax = boot_cpu_data.x86_phys_bits;
	e->eax |= (offered[W_7_ECX] & F(LA57) ? 57 : 48) << 8;
	e->ebx = offered[W_EXT8_EBX];
}

static void leaf_ext21(struct list *l, u32 function)
{
	struct kvm_cpuid_entry2 *e = add(l, function, 0, false);

	/* No nested data breakpoints; LFENCE serializes; a null selector clears the base. */
	e->eax = cpuid_eax(function) & (BIT(0) | BIT(2) | BIT(6));
}

/* Leaves that hold something, by number; all others in range are zero. */
static const struct {
	u32 function;
	void (*fill)(struct list *l, u32 function);
} leaves[] = {
	{ 0, leaf_max },
	{ 1, leaf_1 },
	{ 2, leaf_host },		/* cache descriptors */
	{ 4, leaf_caches },
	{ 6, leaf_6 },
	{ 7, leaf_7 },
	{ 0xd, leaf_xsave },
	{ EXT_BASE, leaf_max },
	{ 0x80000001, leaf_ext1 },
	{ 0x80000002, leaf_host },	/* the brand string */
	{ 0x80000003, leaf_host },
	{ 0x80000004, leaf_host },
	{ 0x80000005, leaf_host },	/* AMD: caches and TLBs */
	{ 0x80000006, leaf_host },
	{ 0x80000007, leaf_power },
	{ 0x80000008, leaf_addresses },
	{ 0x80000021, leaf_ext21 },
};

/* Leaves @base to the highest of its range. */
static void fill_range(struct list *l, u32 base, u32 limit)
{
	u32 function, max = min(cpuid_eax(base), limit);
	int i = 0;

	for (function = base; function <= max; function++) {
		while (i < ARRAY_SIZE(leaves) && leaves[i].function < function)
			i++;
		if (i < ARRAY_SIZE(leaves) && leaves[i].function == function)
			leaves[i].fill(l, function);
		else
			add(l, function, 0, function == 0xb);
	}
}

static void fill_paravirt(struct list *l)
{
	struct kvm_cpuid_entry2 *e;

	e = add(l, PV_BASE, 0, false);
	e->eax = PV_FEATURES;
	put_signature(e, KVM_SIGNATURE);
	e = add(l, PV_FEATURES, 0, false);
	e->eax = umbra_pv_features;

	e = add(l, UMBRA_BASE, 0, false);
	e->eax = UMBRA_BASE;
	put_signature(e, "UmbraUmbra  ");
}

int umbra_cpuid_supported(struct kvm_cpuid_entry2 *entries, u32 max)
{
	/* The entry that takes what does not fit is the last one: then nobody reads any. */
	struct list l = { .entry = entries, .max = max - 1 };

	if (!max)
		return -E2BIG;
	fill_range(&l, 0, MAX_BASIC);
	fill_paravirt(&l);
	if (host_has_leaf(EXT_BASE))
		fill_range(&l, EXT_BASE, MAX_EXT);
	return l.nr > max ? -E2BIG : l.nr;
}

/* The three ranges in use fall into different buckets; subleaves share theirs. */
static u32 bucket(u32 function)
{
	return (function + (function >> 28) * 4) % UMBRA_CPUID_BUCKETS;
}

static struct kvm_cpuid_entry2 *find(struct umbra_cpuid *c, u32 function, u32 index)
{
	u16 i;

	if (c->last < c->nent && umbra_cpuid_matches(&c->entries[c->last], function, index))
		return &c->entries[c->last];
	for (i = c->head[bucket(function)]; i; i = c->next[i - 1]) {
		if (umbra_cpuid_matches(&c->entries[i - 1], function, index)) {
			c->last = i - 1;
			return &c->entries[i - 1];
		}
	}
	return NULL;
}

const struct kvm_cpuid_entry2 *umbra_cpuid_find(struct umbra_vcpu *vcpu, u32 function, u32 index)
{
	return find(&vcpu->cpuid, function, index);
}

/* The first entry wins where userspace gives two for one leaf: chains are built from the end. */
static void build_index(struct umbra_cpuid *c)
{
	u16 *head;
	u32 i;

	memset(c->head, 0, sizeof(c->head));
	c->last = 0;
	for (i = c->nent; i > 0; i--) {
		head = &c->head[bucket(c->entries[i - 1].function)];
		c->next[i - 1] = *head;
		*head = i;
	}
}

static void set_bit_if(u32 *word, u32 bit, bool on)
{
	*word = on ? *word | bit : *word & ~bit;
}

/* Write into @e what follows the vCPU's state. */
static void update_entry(struct umbra_vcpu *vcpu, struct kvm_cpuid_entry2 *e)
{
	u64 xcr0 = vcpu->regs.xcr0;

	switch (e->function) {
	case 1:
		if (offered[W_1_ECX] & F(XSAVE))
			set_bit_if(&e->ecx, F(OSXSAVE), umbra_cr4(vcpu) & X86_CR4_OSXSAVE);
		set_bit_if(&e->edx, F(APIC), umbra_apic_base(vcpu) & MSR_IA32_APICBASE_ENABLE);
		if (!umbra_has_quirk(vcpu->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
			set_bit_if(&e->ecx, F(MWAIT),
				   vcpu->msrs.misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
		break;
	case 7:
		if (!e->index && (offered[W_7_ECX] & F(PKU)))
			set_bit_if(&e->ecx, F(OSPKE), umbra_cr4(vcpu) & X86_CR4_PKE);
		break;
	case 0xd:
		if (!e->index)
			e->ebx = umbra_xstate_size(xcr0, false);
		if (e->index == 1 && (e->eax & (F(XSAVES) | F(XSAVEC))))
			e->ebx = umbra_xstate_size(xcr0 | vcpu->msrs.xss, true);
		break;
	}
}

void umbra_cpuid_update(struct umbra_vcpu *vcpu)
{
	struct umbra_cpuid *c = &vcpu->cpuid;
	u32 i;

	for (i = 0; i < c->nent; i++)
		update_entry(vcpu, &c->entries[i]);
}

bool umbra_cpuid_mwait(struct umbra_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e;

	if (umbra_has_quirk(vcpu->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		return true;
	e = find(&vcpu->cpuid, 1, 0);
	return e && (e->ecx & F(MWAIT));
}

/* Bits of CR4 that exist only with a CPUID bit; all below bit 11 exist always. */
static const struct {
	u64 cr4;
	enum word_nr word;
	u32 bit;
} cr4_features[] = {
	{ X86_CR4_UMIP, W_7_ECX, F(UMIP) },
	{ X86_CR4_LA57, W_7_ECX, F(LA57) },
	{ X86_CR4_FSGSBASE, W_7_EBX, F(FSGSBASE) },
	{ X86_CR4_PCIDE, W_1_ECX, F(PCID) },
	{ X86_CR4_OSXSAVE, W_1_ECX, F(XSAVE) },
	{ X86_CR4_SMEP, W_7_EBX, F(SMEP) },
	{ X86_CR4_SMAP, W_7_EBX, F(SMAP) },
	{ X86_CR4_PKE, W_7_ECX, F(PKU) },
};

/* @have: words as offered, or as a guest has them */
static u64 cr4_reserved(const u32 *have)
{
	u64 known = GENMASK_ULL(10, 0);
	int i;

	for (i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		if (have[cr4_features[i].word] & cr4_features[i].bit)
			known |= cr4_features[i].cr4;
	}
	return ~known;
}

u64 umbra_cpuid_cr4_reserved(struct umbra_vcpu *vcpu)
{
	return vcpu->cpuid.nent ? vcpu->cpuid.cr4_reserved : cr4_reserved(offered);
}

u64 umbra_cpuid_efer(struct umbra_vcpu *vcpu)
{
	return vcpu->cpuid.nent ? vcpu->cpuid.efer_allowed : host_efer;
}

/* A guest's feature words, limited to what it can really have. */
static void guest_words(struct umbra_cpuid *c, u32 *have)
{
	const struct kvm_cpuid_entry2 *e;
	int i;

	for (i = 0; i < NR_WORDS; i++) {
		have[i] = 0;
		e = find(c, words[i].function, words[i].index);
		if (!e)
			continue;
		have[i] = words[i].reg == EAX ? e->eax : words[i].reg == EBX ? e->ebx :
			  words[i].reg == ECX ? e->ecx : e->edx;
	}
}

static bool guest_is_amd(struct umbra_cpuid *c)
{
	const struct kvm_cpuid_entry2 *e = find(c, 0, 0);
	char vendor[12];

	if (!e)
		return false;
	memcpy(vendor, &e->ebx, 4);
	memcpy(vendor + 4, &e->edx, 4);
	memcpy(vendor + 8, &e->ecx, 4);
	return !memcmp(vendor, "AuthenticAMD", 12) || !memcmp(vendor, "HygonGenuine", 12);
}

/* KVM's paravirtual leaves stand at a multiple of 0x100, the first with its signature. */
static u32 guest_pv_features(struct umbra_cpuid *c)
{
	const struct kvm_cpuid_entry2 *e;
	u32 base;

	for (base = PV_BASE; base < PV_BASE + 0x10000; base += 0x100) {
		e = find(c, base, 0);
		if (!e || memcmp(&e->ebx, KVM_SIGNATURE, 12))
			continue;
		e = find(c, base + 1, 0);
		return e ? e->eax : 0;
	}
	return 0;
}

/* The words that are asked often, from the list. */
static void digest(struct umbra_cpuid *c)
{
	const struct kvm_cpuid_entry2 *e;
	u32 have[NR_WORDS];

	guest_words(c, have);
	c->amd = guest_is_amd(c);
	c->pv_features = guest_pv_features(c);
	c->kvmclock = c->pv_features & (BIT(KVM_FEATURE_CLOCKSOURCE) |
					BIT(KVM_FEATURE_CLOCKSOURCE2));

	c->x2apic = have[W_1_ECX] & F(X2APIC);
	c->tsc_deadline = have[W_1_ECX] & F(TSC_DEADLINE_TIMER);
	c->xsave = have[W_1_ECX] & F(XSAVE);
	c->mtrr = have[W_1_EDX] & F(MTRR);
	c->tsc_adjust = have[W_7_EBX] & F(TSC_ADJUST);
	c->smep = have[W_7_EBX] & F(SMEP);
	c->smap = have[W_7_EBX] & F(SMAP);
	c->la57 = have[W_7_ECX] & F(LA57);
	c->pku = have[W_7_ECX] & F(PKU);
	c->rdpid = have[W_7_ECX] & F(RDPID);
	c->spec_ctrl = (have[W_7_EDX] & (F(SPEC_CTRL) | F(INTEL_STIBP) | F(SPEC_CTRL_SSBD))) ||
		       (have[W_EXT8_EBX] & (F(AMD_IBRS) | F(AMD_STIBP) | F(AMD_SSBD)));
	c->pred_cmd = (have[W_7_EDX] & F(SPEC_CTRL)) || (have[W_EXT8_EBX] & F(AMD_IBPB));
	c->nx = have[W_EXT1_EDX] & F(NX);
	c->longmode = have[W_EXT1_EDX] & F(LM);
	c->gbpages = have[W_EXT1_EDX] & F(GBPAGES);
	c->rdtscp = have[W_EXT1_EDX] & F(RDTSCP);

	c->efer_allowed = EFER_SCE;
	if (c->longmode)
		c->efer_allowed |= EFER_LME | EFER_LMA;
	if (c->nx)
		c->efer_allowed |= EFER_NX;
	if (have[W_EXT1_EDX] & F(FXSR_OPT))
		c->efer_allowed |= EFER_FFXSR;
	c->efer_allowed &= host_efer;
	c->cr4_reserved = cr4_reserved(have) | cr4_reserved(offered);

	e = find(c, 0xd, 0);
	c->xcr0_allowed = e ? (e->eax | (u64)e->edx << 32) & umbra_fpu_supported_xcr0() : 0;

	c->maxphyaddr = 36;
	e = find(c, EXT_BASE, 0);
	if (e && e->eax >= 0x80000008) {
		e = find(c, 0x80000008, 0);
		if (e)
			c->maxphyaddr = clamp(e->eax & 0xff, 32U, 52U);
	}
}

/* 48 or 57 bits of linear address, or nothing said: no other CPU exists. */
static int check_addresses(const struct kvm_cpuid_entry2 *entries, u32 nent)
{
	u32 i, bits;

	for (i = 0; i < nent; i++) {
		if (entries[i].function != 0x80000008)
			continue;
		bits = (entries[i].eax >> 8) & 0xff;
		return !bits || bits == 48 || bits == 57 ? 0 : -EINVAL;
	}
	return 0;
}

/* After the first RUN the same list may be given again, and no other. */
static int check_equal(struct umbra_vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nent)
{
	struct umbra_cpuid *c = &vcpu->cpuid;
	u32 i;

	if (nent != c->nent)
		return -EINVAL;
	for (i = 0; i < nent; i++) {
		update_entry(vcpu, &entries[i]);
		if (memcmp(&entries[i], &c->entries[i],
			   offsetof(struct kvm_cpuid_entry2, padding)))
			return -EINVAL;
	}
	return 0;
}

int umbra_cpuid_set(struct umbra_vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nent)
{
	struct umbra_cpuid *c = &vcpu->cpuid;
	int r;

	if (nent > UMBRA_CPUID_MAX)
		return -E2BIG;
	r = check_addresses(entries, nent);
	if (!r && c->ran)
		r = check_equal(vcpu, entries, nent);
	if (r)
		return r;

	kvfree(c->entries);
	c->entries = entries;
	c->nent = nent;
	build_index(c);
	umbra_cpuid_update(vcpu);
	digest(c);
	vcpu->msrs.last_row = NULL;
	umbra_backend->cpuid_changed(vcpu);
	return 0;
}

void umbra_cpuid_free(struct umbra_vcpu *vcpu)
{
	kvfree(vcpu->cpuid.entries);
	vcpu->cpuid.entries = NULL;
	vcpu->cpuid.nent = 0;
}

/*
 * A leaf that the list does not have. Intel's CPUs answer a leaf above its
 * range's maximum with the highest basic leaf; AMD's with zeros.
 */
static const struct kvm_cpuid_entry2 *out_of_range(struct umbra_cpuid *c, u32 function, u32 index)
{
	const struct kvm_cpuid_entry2 *basic = find(c, 0, 0), *range;

	if (!basic || c->amd)
		return NULL;
	if (function >= PV_BASE && function < PV_BASE + 0x10000000)
		range = find(c, function & 0xffffff00, 0);
	else
		range = find(c, function & EXT_BASE, 0);
	if (range && function <= range->eax)
		return NULL;
	return find(c, basic->eax, index);
}

void umbra_cpuid(struct umbra_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	struct umbra_cpuid *c = &vcpu->cpuid;
	u32 function = *eax, index = *ecx;
	const struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid_entry2 none;
	bool found;

	e = find(c, function, index);
	found = e;
	if (unlikely(!e))
		e = out_of_range(c, function, index);
	if (likely(e)) {
		*eax = e->eax;
		*ebx = e->ebx;
		*ecx = e->ecx;
		*edx = e->edx;
		umbra_trace(kvm_cpuid, function, index, e, found, !found);
		return;
	}
	*eax = *ebx = *ecx = *edx = 0;
	/* Topology leaves name the CPU and the level asked for, at any level. */
	if (function == 0xb || function == 0x1f) {
		e = find(c, function, 1);
		if (e) {
			*ecx = index & 0xff;
			*edx = e->edx;
		}
	}
	none = (struct kvm_cpuid_entry2){ .ecx = *ecx, .edx = *edx };
	umbra_trace(kvm_cpuid, function, index, &none, false, false);
}
