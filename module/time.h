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
 * struct umbra_tsc_rate - how fast a guest's TSC goes
 * @multiplier: what the CPU multiplies its own by, of 2^48
 * @khz: what comes of that. Two that have it equal have the same @multiplier
 */
struct umbra_tsc_rate {
	u64 multiplier;
	u32 khz;
};

/**
 * struct umbra_vm_time - what all vCPUs share
 * @lock: leaf, interrupts off; guards all of this and every vCPU's tsc_offset
 *	and rate
 * @tsc_khz: the rate of vCPUs that are made from now on, without the lock
 * @kvmclock_offset: ns to add to the host's clock (raw monotonic plus time spent
 *	suspended) for kvmclock
 * @wall_clock: MSR_KVM_WALL_CLOCK_NEW's value
 * @stable: every vCPU has one TSC offset and rate, and the host's clock is its TSC; then all
 *	clock pages are made from one pair, @stable_tsc and @stable_ns, and guests
 *	may compare times of different vCPUs
 * @stable_tsc: host TSC at @stable_ns of the host's clock
 * @stable_rate: of the vCPUs' TSCs while @stable
 * @last_tsc: the TSC last given to a vCPU, at @last_tsc_ns of the host's clock,
 *	by @last_tsc_offset and @last_rate; to keep the TSCs of an SMP guest equal
 * @tsc_given: the four are valid
 * @tsc_written: userspace has given one
 */
struct umbra_vm_time {
	raw_spinlock_t lock;
	u32 tsc_khz;
	s64 kvmclock_offset;
	u64 wall_clock;
	bool stable;
	u64 stable_tsc, stable_ns;
	struct umbra_tsc_rate stable_rate;
	bool tsc_given, tsc_written;
	u64 last_tsc, last_tsc_ns;
	u64 last_tsc_offset;
	struct umbra_tsc_rate last_rate;
};

/**
 * struct umbra_vcpu_time - a vCPU's part
 * @rate, @tsc_offset: guest TSC = host TSC * rate.multiplier / 2^48 + tsc_offset
 * @tsc_khz: the rate that userspace was told or has set; rate.khz within 250 ppm
 * @tsc_adjust: MSR_IA32_TSC_ADJUST
 * @system_time: MSR_KVM_SYSTEM_TIME_NEW: gpa | enable
 * @paused: KVM_KVMCLOCK_CTRL: tell the guest once
 * @put_tsc: the guest's TSC when it last left a CPU, at @put_ns of the host's clock;
 *	kept on hosts whose TSCs differ
 */
struct umbra_vcpu_time {
	struct umbra_tsc_rate rate;
	u64 tsc_offset;
	u32 tsc_khz;
	u64 tsc_adjust;
	u64 system_time;
	bool paused;
	u64 put_tsc, put_ns;
};

void umbra_time_vm_init(struct umbra_vm *vm);
/* After the backend's vcpu_create(). A new vCPU's TSC starts at 0, or where its VM's TSC is. */
void umbra_time_vcpu_init(struct umbra_vcpu *vcpu);
/* The backend has loaded the vCPU on this CPU, or is about to put it: preemption off. */
void umbra_time_load(struct umbra_vcpu *vcpu);
void umbra_time_put(struct umbra_vcpu *vcpu);
u64 umbra_guest_tsc(struct umbra_vcpu *vcpu);		/* now */
u64 umbra_host_to_guest_tsc(struct umbra_vcpu *vcpu, u64 host_tsc);
/*
 * MSR_IA32_TSC. A host's write (@host) of 0, or within a second of what the last
 * one written has become by now, gives the VM's common offset. A guest's write moves
 * TSC_ADJUST along.
 */
void umbra_set_guest_tsc(struct umbra_vcpu *vcpu, u64 tsc, bool host);
/* KVM_VCPU_TSC_OFFSET: exact, and the VM's common one from here. */
void umbra_set_tsc_offset(struct umbra_vcpu *vcpu, u64 offset);
/* MSR_IA32_TSC_ADJUST: a guest's write moves the TSC, a host's restores the register alone. */
void umbra_set_tsc_adjust(struct umbra_vcpu *vcpu, u64 adjust, bool host);
/*
 * KVM_SET_TSC_KHZ, of a vCPU and of those that a VM will have: 0, or -EINVAL. Without TSC
 * scaling there is only the host's rate, which 0 names. A vCPU's TSC goes on from where it is,
 * or as the VM's common one where that has the rate.
 */
int umbra_set_tsc_khz(struct umbra_vcpu *vcpu, unsigned long khz);
int umbra_set_vm_tsc_khz(struct umbra_vm *vm, unsigned long khz);
/* MSR_KVM_*_TIME*, MSR_KVM_WALL_CLOCK*: 0 or 1. */
int umbra_set_system_time(struct umbra_vcpu *vcpu, u64 value);
int umbra_set_wall_clock(struct umbra_vcpu *vcpu, u64 value);
u64 umbra_wall_clock(struct umbra_vm *vm);
/* UMBRA_REQ_CLOCK: write the page; may fault, called with preemption on. */
void umbra_clock_update(struct umbra_vcpu *vcpu);
/* What KVM_CAP_ADJUST_CLOCK reports. */
#define UMBRA_CLOCK_FLAGS	(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)
void umbra_get_clock(struct umbra_vm *vm, struct kvm_clock_data *data);	/* KVM_GET_CLOCK */
int umbra_set_clock(struct umbra_vm *vm, const struct kvm_clock_data *data);	/* 0, -EINVAL */
int umbra_kvmclock_ctrl(struct umbra_vcpu *vcpu);	/* 0, -EINVAL without a clock page */

#endif
