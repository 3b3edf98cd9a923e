/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's FPU and extended state, in the host kernel's guest containers. */
#ifndef UMBRA_FPU_H
#define UMBRA_FPU_H

#include <linux/types.h>
#include <asm/page.h>
#include <asm/fpu/types.h>

struct umbra_vcpu;
struct kvm_fpu;
struct kvm_xsave;
struct kvm_xcrs;

/**
 * struct umbra_fpu - a vCPU's extended state; all of it belongs to the owner
 * @guest: the kernel's container, swapped in while KVM_RUN is under way
 * @loaded: it is
 * @xcrs_switched: XCR0 and XSS are the guest's: between umbra_fpu_switch_in() and _out()
 * @pkru_switched: PKRU is
 * @pkru: the guest's, which its XSAVE area does not hold
 * @host_pkru: the thread's, meanwhile
 */
struct umbra_fpu {
	struct fpu_guest guest;
	bool loaded;
	bool xcrs_switched, pkru_switched;
	u32 pkru, host_pkru;
};

/* At load: what of XCR0 guests may have. */
void umbra_fpu_setup(void);
u64 umbra_fpu_supported_xcr0(void);
u32 umbra_fpu_uabi_size(void);	/* KVM_CAP_XSAVE2's answer: bytes, 4096 at least */

int umbra_fpu_create(struct umbra_vcpu *vcpu);		/* -ENOMEM */
void umbra_fpu_destroy(struct umbra_vcpu *vcpu);
void umbra_fpu_reset(struct umbra_vcpu *vcpu, bool init);
/* KVM_RUN's begin and end; preemption on. */
void umbra_fpu_load(struct umbra_vcpu *vcpu);
void umbra_fpu_put(struct umbra_vcpu *vcpu);
/* Irqs off, next to enter(): XCR0, XSS and PKRU, where they are not the host's (vcpu.c asks). */
void umbra_fpu_switch_in(struct umbra_vcpu *vcpu);
void umbra_fpu_switch_out(struct umbra_vcpu *vcpu);
extern u64 umbra_host_xcr0, umbra_host_xss;	/* set at load */

/* The emulator's: @n is 16 or 32 bytes of a vector register; while KVM_RUN is under way. -EOPNOTSUPP */
int umbra_fpu_get_xmm(struct umbra_vcpu *vcpu, unsigned int reg, void *buf, unsigned int n);
int umbra_fpu_set_xmm(struct umbra_vcpu *vcpu, unsigned int reg, const void *buf, unsigned int n);

/* Also the emulator's: x87 and SSE state as FXSAVE64 stores it, 512 bytes; MXCSR must be valid. -EOPNOTSUPP */
int umbra_fpu_get_image(struct umbra_vcpu *vcpu, void *image);
int umbra_fpu_get_xinuse(struct umbra_vcpu *vcpu, u64 *val);
int umbra_fpu_set_image(struct umbra_vcpu *vcpu, const void *image);

/*
 * The ioctls; kernel copies, and the vCPU is not in KVM_RUN. 0; -EINVAL with nothing
 * changed: bits, sizes or features that this vCPU lacks; -ENOMEM.
 */
int umbra_vcpu_get_fpu(struct umbra_vcpu *vcpu, struct kvm_fpu *fpu);
int umbra_vcpu_set_fpu(struct umbra_vcpu *vcpu, const struct kvm_fpu *fpu);
int umbra_vcpu_get_xsave(struct umbra_vcpu *vcpu, void *buf, u32 size);
int umbra_vcpu_set_xsave(struct umbra_vcpu *vcpu, const void *buf, u32 size);
int umbra_vcpu_get_xcrs(struct umbra_vcpu *vcpu, struct kvm_xcrs *xcrs);
int umbra_vcpu_set_xcrs(struct umbra_vcpu *vcpu, const struct kvm_xcrs *xcrs);

#endif
