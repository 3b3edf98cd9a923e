/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a guest that knows KVM shares with it beyond clocks: the time that others took,
 * and hypercalls. The word that stands for EOI is in vapic.c.
 */
#ifndef UMBRA_PV_H
#define UMBRA_PV_H

#include <linux/types.h>

struct umbra_vcpu;

/* Every feature of KVM's CPUID leaf that is built; bits. */
extern const u32 umbra_pv_features;

/**
 * struct umbra_pv - a vCPU's part; the MSRs themselves are in &struct umbra_msrs
 * @run_delay: how long its thread had waited for a CPU, when steal time was last counted (o)
 * @marked: its steal-time area says, or may say, that it has no CPU (o)
 * @kicked: another vCPU has ended its halt, the present one or the next; any thread sets it
 */
struct umbra_pv {
	u64 run_delay;
	bool marked;
	bool kicked;
};

/* MSR_KVM_STEAL_TIME: 0, 1. Owner. */
int umbra_set_steal_time(struct umbra_vcpu *vcpu, u64 value);
/* UMBRA_REQ_STEAL: count, and say that it has a CPU; in vm->srcu. Owner. */
void umbra_steal_update(struct umbra_vcpu *vcpu);
/* The vCPU has a CPU, or loses it to the scheduler: preemption off, rq locks may be held. */
void umbra_steal_load(struct umbra_vcpu *vcpu);
void umbra_steal_sched_out(struct umbra_vcpu *vcpu);
/* It runs in another thread than before. Owner. */
void umbra_steal_new_thread(struct umbra_vcpu *vcpu);

/**
 * umbra_hypercall() - do what a guest's VMCALL or VMMCALL asks
 * @vcpu: its owner
 * @gpr: the general registers: the number in rAX, arguments in rBX, rCX, rDX and rSI
 * @wide: all 64 bits of them count
 *
 * Return: what rAX becomes: negative: a KVM_E* of <linux/kvm_para.h>
 */
long umbra_hypercall(struct umbra_vcpu *vcpu, const u64 *gpr, bool wide);

#endif
