/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest time: the TSC, and kvmclock's pages. */
#ifndef UMBRA_TIME_H
#define UMBRA_TIME_H

#include <linux/kvm.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;

/**
 * struct umbra_vm_time - what all vCPUs share
 * @lock: leaf; the offset and the wall clock page's version
 * @kvmclock_offset: ns to add to the host's boot clock
 * @wall_clock: MSR_KVM_WALL_CLOCK_NEW's value
 */
struct umbra_vm_time {
	raw_spinlock_t lock;
	s64 kvmclock_offset;
	u64 wall_clock;
	u64 last_tsc_write, last_tsc_ns;	/* to keep the TSCs of an SMP guest equal */
	u64 last_tsc_offset;
};

struct umbra_vcpu_time {
	u64 tsc_offset;			/* guest TSC = host TSC + this */
	u32 tsc_khz;			/* the guest's; the host's without scaling */
	u64 tsc_adjust;
	u64 system_time;		/* MSR_KVM_SYSTEM_TIME_NEW: gpa | enable */
	u32 version;
	bool paused;			/* KVM_KVMCLOCK_CTRL: tell the guest once */
};

void umbra_time_vm_init(struct umbra_vm *vm);
void umbra_time_vcpu_init(struct umbra_vcpu *vcpu);
u64 umbra_guest_tsc(struct umbra_vcpu *vcpu);		/* now */
u64 umbra_host_to_guest_tsc(struct umbra_vcpu *vcpu, u64 host_tsc);
void umbra_set_guest_tsc(struct umbra_vcpu *vcpu, u64 tsc, bool host);	/* MSR_IA32_TSC */
void umbra_set_tsc_adjust(struct umbra_vcpu *vcpu, u64 adjust);
int umbra_set_tsc_khz(struct umbra_vcpu *vcpu, u32 khz);	/* KVM_SET_TSC_KHZ: 0 or -EINVAL */
/* MSR_KVM_*_TIME*, MSR_KVM_WALL_CLOCK*: 0 or 1. */
int umbra_set_system_time(struct umbra_vcpu *vcpu, u64 value);
int umbra_set_wall_clock(struct umbra_vcpu *vcpu, u64 value);
/* UMBRA_REQ_CLOCK: write the page; may fault, called with preemption on. */
void umbra_clock_update(struct umbra_vcpu *vcpu);
void umbra_get_clock(struct umbra_vm *vm, struct kvm_clock_data *data);	/* KVM_GET_CLOCK */
int umbra_set_clock(struct umbra_vm *vm, const struct kvm_clock_data *data);	/* 0, -EINVAL */
int umbra_kvmclock_ctrl(struct umbra_vcpu *vcpu);	/* 0, -EINVAL without a clock page */

#endif
