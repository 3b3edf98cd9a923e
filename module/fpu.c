// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's FPU and extended state. The registers live in a container of the
 * kernel's, swapped with the thread's own for the length of a KVM_RUN; XCR0, XSS
 * and PKRU, which the kernel itself depends on, are switched around each entry.
 */
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/msr.h>
#include <asm/pkru.h>
#include <asm/processor-flags.h>

#include "fpu.h"
#include "umbra.h"

/* Features that guests may have where the host has them; AMX asks for a permission of its own. */
#define GUEST_XFEATURES	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM | \
			 XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | \
			 XFEATURE_MASK_Hi16_ZMM | XFEATURE_MASK_PKRU)

u64 umbra_host_xcr0 __ro_after_init;
u64 umbra_host_xss __ro_after_init;
static u64 supported_xcr0 __ro_after_init;
static u32 uabi_size __ro_after_init;

void __init umbra_fpu_setup(void)
{
	u32 size, offset, ecx, edx;
	int i;

	uabi_size = sizeof(struct kvm_xsave);
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return;
	umbra_host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, umbra_host_xss);
	supported_xcr0 = umbra_host_xcr0 & GUEST_XFEATURES;
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		supported_xcr0 &= ~(u64)XFEATURE_MASK_PKRU;
	for (i = XFEATURE_YMM; i < XFEATURE_MAX; i++) {
		if (!(supported_xcr0 & BIT_ULL(i)))
			continue;
		cpuid_count(XSTATE_CPUID, i, &size, &offset, &ecx, &edx);
		uabi_size = max(uabi_size, offset + size);
	}
}

u64 umbra_fpu_supported_xcr0(void)
{
	return supported_xcr0;
}

u32 umbra_fpu_uabi_size(void)
{
	return uabi_size;
}

int umbra_fpu_create(struct umbra_vcpu *vcpu)
{
	return fpu_alloc_guest_fpstate(&vcpu->fpu.guest) ? 0 : -ENOMEM;
}

void umbra_fpu_destroy(struct umbra_vcpu *vcpu)
{
	if (vcpu->fpu.guest.fpstate)
		fpu_free_guest_fpstate(&vcpu->fpu.guest);
}

void umbra_fpu_load(struct umbra_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu.guest, true);
	vcpu->fpu.loaded = true;
}

void umbra_fpu_put(struct umbra_vcpu *vcpu)
{
	vcpu->fpu.loaded = false;
	fpu_swap_kvm_fpstate(&vcpu->fpu.guest, false);
}

void umbra_fpu_switch_in(struct umbra_vcpu *vcpu)
{
	struct umbra_fpu *fpu = &vcpu->fpu;
	u64 cr4 = umbra_cr4(vcpu);

	/* A guest without OSXSAVE has no instruction that could tell. */
	if (cr4 & X86_CR4_OSXSAVE) {
		fpu->xcrs_switched = true;
		if (vcpu->regs.xcr0 != umbra_host_xcr0)
			xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->regs.xcr0);
		if (boot_cpu_has(X86_FEATURE_XSAVES) && vcpu->msrs.xss != umbra_host_xss)
			wrmsrl(MSR_IA32_XSS, vcpu->msrs.xss);
	}
	if (cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	    ((cr4 & X86_CR4_PKE) || (vcpu->regs.xcr0 & XFEATURE_MASK_PKRU))) {
		fpu->pkru_switched = true;
		fpu->host_pkru = rdpkru();
		if (fpu->pkru != fpu->host_pkru)
			wrpkru(fpu->pkru);
	}
}

void umbra_fpu_switch_out(struct umbra_vcpu *vcpu)
{
	struct umbra_fpu *fpu = &vcpu->fpu;

	if (fpu->pkru_switched) {
		fpu->pkru_switched = false;
		fpu->pkru = rdpkru();
		if (fpu->pkru != fpu->host_pkru)
			wrpkru(fpu->host_pkru);
	}
	if (fpu->xcrs_switched) {
		fpu->xcrs_switched = false;
		/* The guest's own change of either exits first. */
		if (vcpu->regs.xcr0 != umbra_host_xcr0)
			xsetbv(XCR_XFEATURE_ENABLED_MASK, umbra_host_xcr0);
		if (boot_cpu_has(X86_FEATURE_XSAVES) && vcpu->msrs.xss != umbra_host_xss)
			wrmsrl(MSR_IA32_XSS, umbra_host_xss);
	}
}

/*
 * One vector register by its number, which an instruction can't take from a
 * register: X() is made once for each.
 */
#define FOR_EACH_XMM(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) \
			X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static void store_xmm(unsigned int reg, void *buf)
{
	switch (reg) {
#define STORE(n) case n: asm volatile("movdqu %%xmm" #n ", %0" : "=m" (*(u8 (*)[16])buf)); break;
	FOR_EACH_XMM(STORE)
#undef STORE
	}
}

static void load_xmm(unsigned int reg, const void *buf)
{
	switch (reg) {
#define LOAD(n) case n: asm volatile("movdqu %0, %%xmm" #n : : "m" (*(const u8 (*)[16])buf)); break;
	FOR_EACH_XMM(LOAD)
#undef LOAD
	}
}

static void store_ymm(unsigned int reg, void *buf)
{
	switch (reg) {
#define STORE(n) case n: asm volatile("vmovdqu %%ymm" #n ", %0" : "=m" (*(u8 (*)[32])buf)); break;
	FOR_EACH_XMM(STORE)
#undef STORE
	}
}

static void load_ymm(unsigned int reg, const void *buf)
{
	switch (reg) {
#define LOAD(n) case n: asm volatile("vmovdqu %0, %%ymm" #n : : "m" (*(const u8 (*)[32])buf)); break;
	FOR_EACH_XMM(LOAD)
#undef LOAD
	}
}

static bool vector_access_ok(struct umbra_vcpu *vcpu, unsigned int reg, unsigned int n)
{
	return vcpu->fpu.loaded && reg < 16 &&
	       (n == 16 || (n == 32 && (supported_xcr0 & XFEATURE_MASK_YMM)));
}

/* The guest's registers are in the CPU from here to fpregs_unlock(). */
static void lock_guest_fpregs(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

int umbra_fpu_get_xmm(struct umbra_vcpu *vcpu, unsigned int reg, void *buf, unsigned int n)
{
	if (!vector_access_ok(vcpu, reg, n))
		return -EOPNOTSUPP;
	lock_guest_fpregs();
	if (n == 16)
		store_xmm(reg, buf);
	else
		store_ymm(reg, buf);
	fpregs_unlock();
	return 0;
}

int umbra_fpu_set_xmm(struct umbra_vcpu *vcpu, unsigned int reg, const void *buf, unsigned int n)
{
	if (!vector_access_ok(vcpu, reg, n))
		return -EOPNOTSUPP;
	lock_guest_fpregs();
	if (n == 16)
		load_xmm(reg, buf);
	else
		load_ymm(reg, buf);
	fpregs_unlock();
	return 0;
}

/* What XGETBV with ECX 1 would say to the guest. */
int umbra_fpu_get_xinuse(struct umbra_vcpu *vcpu, u64 *val)
{
	if (!vcpu->fpu.loaded || !boot_cpu_has(X86_FEATURE_XGETBV1))
		return -EOPNOTSUPP;
	lock_guest_fpregs();
	*val = xfeatures_in_use() & vcpu->regs.xcr0;
	fpregs_unlock();
	return 0;
}

int umbra_fpu_get_image(struct umbra_vcpu *vcpu, void *image)
{
	struct fxregs_state fx;

	if (!vcpu->fpu.loaded)
		return -EOPNOTSUPP;
	lock_guest_fpregs();
	asm volatile("fxsaveq %0" : "=m" (fx));
	fpregs_unlock();
	memcpy(image, &fx, sizeof(fx));
	return 0;
}

int umbra_fpu_set_image(struct umbra_vcpu *vcpu, const void *image)
{
	struct fxregs_state fx;

	if (!vcpu->fpu.loaded)
		return -EOPNOTSUPP;
	memcpy(&fx, image, sizeof(fx));
	lock_guest_fpregs();
	asm volatile("fxrstorq %0" : : "m" (fx));
	fpregs_unlock();
	return 0;
}

/* What of the container the guest's CPUID lets userspace see. */
static u64 visible_xfeatures(struct umbra_vcpu *vcpu)
{
	return vcpu->cpuid.xcr0_allowed | XFEATURE_MASK_FPSSE;
}

static void get_uabi(struct umbra_vcpu *vcpu, void *buf, u32 size)
{
	fpu_copy_guest_fpstate_to_uabi(&vcpu->fpu.guest, buf, size, visible_xfeatures(vcpu),
				       vcpu->fpu.pkru);
}

static int set_uabi(struct umbra_vcpu *vcpu, const void *buf)
{
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->fpu.guest, buf, supported_xcr0,
					      &vcpu->fpu.pkru);
}

/* INIT leaves the FPU alone. At power-up the container is new, and initialized by the kernel. */
void umbra_fpu_reset(struct umbra_vcpu *vcpu, bool init)
{
	if (!init)
		vcpu->fpu.pkru = 0;
}

int umbra_vcpu_get_xsave(struct umbra_vcpu *vcpu, void *buf, u32 size)
{
	if (size < sizeof(struct kvm_xsave))
		return -EINVAL;
	memset(buf, 0, size);
	get_uabi(vcpu, buf, size);
	return 0;
}

int umbra_vcpu_set_xsave(struct umbra_vcpu *vcpu, const void *buf, u32 size)
{
	/* The kernel reads as far as the features in the header reach. */
	if (size < max(uabi_size, vcpu->fpu.guest.uabi_size))
		return -EINVAL;
	return set_uabi(vcpu, buf);
}

/* The legacy image is the first 512 bytes of the extended one. */
int umbra_vcpu_get_fpu(struct umbra_vcpu *vcpu, struct kvm_fpu *fpu)
{
	struct xregs_state *x = kzalloc(uabi_size, GFP_KERNEL_ACCOUNT);
	const struct fxregs_state *fx;

	if (!x)
		return -ENOMEM;
	get_uabi(vcpu, x, uabi_size);
	fx = &x->i387;
	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
	fpu->fcw = fx->cwd;
	fpu->fsw = fx->swd;
	fpu->ftwx = fx->twd;
	fpu->last_opcode = fx->fop;
	fpu->last_ip = fx->rip;
	fpu->last_dp = fx->rdp;
	memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
	fpu->mxcsr = fx->mxcsr;
	kfree(x);
	return 0;
}

int umbra_vcpu_set_fpu(struct umbra_vcpu *vcpu, const struct kvm_fpu *fpu)
{
	struct xregs_state *x = kzalloc(uabi_size, GFP_KERNEL_ACCOUNT);
	struct fxregs_state *fx;
	int r;

	if (!x)
		return -ENOMEM;
	get_uabi(vcpu, x, uabi_size);
	fx = &x->i387;
	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	fx->mxcsr = fpu->mxcsr;
	x->header.xfeatures |= XFEATURE_MASK_FPSSE;
	r = set_uabi(vcpu, x);
	kfree(x);
	return r;
}

int umbra_vcpu_get_xcrs(struct umbra_vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	memset(xcrs, 0, sizeof(*xcrs));
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return 0;
	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	xcrs->xcrs[0].value = vcpu->regs.xcr0;
	return 0;
}

int umbra_vcpu_set_xcrs(struct umbra_vcpu *vcpu, const struct kvm_xcrs *xcrs)
{
	u32 i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE) || xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	/* XCR0 is the only one that this module knows; others are no error to KVM either. */
	for (i = 0; i < xcrs->nr_xcrs; i++) {
		if (xcrs->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return umbra_set_xcr0(vcpu, xcrs->xcrs[i].value) ? -EINVAL : 0;
	}
	return 0;
}
