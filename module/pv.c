// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KVM offers to guests that know it: steal time, whose area also says whether a
 * vCPU has a CPU and takes flushes for one that has none; and hypercalls.
 */
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/srcu.h>
#include <asm/apicdef.h>
#include <asm/kvm_para.h>

#include "backend.h"
#include "irqchip.h"
#include "pv.h"
#include "trace.h"
#include "umbra.h"
#include "vcpu.h"

#define STEAL_GPA(value)	((value) & ~(u64)(KVM_STEAL_RESERVED_MASK | KVM_MSR_ENABLED))
/* How often others may change the mark while we take it: they have a CPU, and so know. */
#define MARK_TRIES		8

/* An area of 64 bytes, aligned to its size: it never crosses a page. */
#define STEAL_FIELD(name)	offsetof(struct kvm_steal_time, name)

const u32 umbra_pv_features =
	BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
	BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_ASYNC_PF) |
	BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_EOI) |
	BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_TLB_FLUSH) |
	BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_POLL_CONTROL) |
	BIT(KVM_FEATURE_PV_SCHED_YIELD) | BIT(KVM_FEATURE_ASYNC_PF_INT) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);

/* --- steal time --------------------------------------------------------- */

static bool steal_enabled(const struct umbra_vcpu *vcpu)
{
	return vcpu->msrs.steal_time & KVM_MSR_ENABLED;
}

int umbra_set_steal_time(struct umbra_vcpu *vcpu, u64 value)
{
	if (!sched_info_on() || (value & KVM_STEAL_RESERVED_MASK))
		return 1;
	vcpu->msrs.steal_time = value;
	/* What the area says of this vCPU may come from another life of the guest. */
	vcpu->pv.marked = true;
	vcpu->pv.run_delay = current->sched_info.run_delay;
	if (value & KVM_MSR_ENABLED)
		umbra_request(vcpu, UMBRA_REQ_STEAL);
	return 0;
}

/* Say that the vCPU has a CPU, and what was asked of it while it had none. */
static int take_mark(struct umbra_vcpu *vcpu, gpa_t gpa)
{
	u8 old = 0, seen = 0, none = 0;
	unsigned int tries = 0;
	int r;

	/* The first try tells what stands there, which others change by locked instructions. */
	do {
		if (tries++ == MARK_TRIES)
			return -EAGAIN;
		old = seen;
		r = umbra_guest_cmpxchg(vcpu->vm, gpa, &seen, &none, sizeof(none));
		if (r)
			return r;
	} while (seen != old);
	vcpu->pv.marked = false;
	if ((old & KVM_VCPU_FLUSH_TLB) && umbra_cpuid_has_pv(&vcpu->cpuid, KVM_FEATURE_PV_TLB_FLUSH))
		umbra_mmu_flush_guest(vcpu);
	return 0;
}

/* Time that the thread has waited for a CPU since it was last counted; readers see all or nothing. */
static void count_steal(struct umbra_vcpu *vcpu, gpa_t gpa)
{
	u64 delay = current->sched_info.run_delay, steal;
	struct umbra_vm *vm = vcpu->vm;
	u32 version;

	if (umbra_guest_read(vm, gpa + STEAL_FIELD(steal), &steal, sizeof(steal)) ||
	    umbra_guest_read(vm, gpa + STEAL_FIELD(version), &version, sizeof(version)))
		return;
	version |= 1;
	if (umbra_guest_write(vm, gpa + STEAL_FIELD(version), &version, sizeof(version)))
		return;
	smp_wmb();	/* odd version before the sum */
	steal += delay - vcpu->pv.run_delay;
	if (umbra_guest_write(vm, gpa + STEAL_FIELD(steal), &steal, sizeof(steal)))
		return;
	vcpu->pv.run_delay = delay;
	version++;
	smp_wmb();	/* the sum before the even version */
	umbra_guest_write(vm, gpa + STEAL_FIELD(version), &version, sizeof(version));
}

void umbra_steal_update(struct umbra_vcpu *vcpu)
{
	gpa_t gpa = STEAL_GPA(vcpu->msrs.steal_time);

	if (!steal_enabled(vcpu))
		return;
	if (vcpu->pv.marked && take_mark(vcpu, gpa + STEAL_FIELD(preempted)))
		return;		/* no memory there, or no peace: the guest's own loss */
	count_steal(vcpu, gpa);
}

void umbra_steal_load(struct umbra_vcpu *vcpu)
{
	if (steal_enabled(vcpu) &&
	    (vcpu->pv.marked || current->sched_info.run_delay != vcpu->pv.run_delay))
		umbra_request(vcpu, UMBRA_REQ_STEAL);
}

/*
 * It is only a hint: where it can't be given without sleeping, or a dirty ring has
 * little room, there is none.
 */
void umbra_steal_sched_out(struct umbra_vcpu *vcpu)
{
	const u8 mark = KVM_VCPU_PREEMPTED;
	int idx;

	if (!steal_enabled(vcpu) || vcpu->pv.marked ||
	    (vcpu->vm->ring_entries && umbra_ring_is_full(vcpu)))
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (!umbra_guest_poke(vcpu->vm, STEAL_GPA(vcpu->msrs.steal_time) + STEAL_FIELD(preempted),
			      mark))
		vcpu->pv.marked = true;
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

void umbra_steal_new_thread(struct umbra_vcpu *vcpu)
{
	vcpu->pv.run_delay = current->sched_info.run_delay;
}

/* --- hypercalls --------------------------------------------------------- */

/* To each LAPIC whose ID is @first plus the number of a bit in @low, or in @high from 64 (32) on. */
static long send_ipi(struct umbra_vcpu *vcpu, u64 low, u64 high, u32 first, u64 icr, bool wide)
{
	struct umbra_irq_msg msg = {
		.mode = GET_APIC_DELIVERY_MODE(icr),
		.vector = icr & APIC_VECTOR_MASK,
	};
	unsigned int bits = wide ? 64 : 32;
	unsigned long maps[] = { low, high }, bit;
	struct umbra_vcpu *target;
	long sent = 0;
	int i;

	if (icr & (APIC_DEST_ALLBUT | APIC_DEST_LOGICAL))
		return -KVM_EINVAL;
	for (i = 0; i < ARRAY_SIZE(maps); i++, first += bits) {
		for_each_set_bit(bit, &maps[i], bits) {
			target = umbra_vcpu_by_id(vcpu->vm, first + bit);
			if (target && umbra_lapic_send(target, &msg, vcpu) > 0)
				sent++;
		}
	}
	return sent;
}

static long kick(struct umbra_vcpu *vcpu, u32 id)
{
	struct umbra_vcpu *target = umbra_vcpu_by_id(vcpu->vm, id);

	if (target) {
		WRITE_ONCE(target->pv.kicked, true);
		umbra_vcpu_kick(target);
	}
	return 0;
}

static long sched_yield(struct umbra_vcpu *vcpu, u32 id)
{
	struct umbra_vcpu *target = umbra_vcpu_by_id(vcpu->vm, id);

	if (target && target != vcpu)
		umbra_vcpu_yield_to(target);
	return 0;
}

static const struct {
	u8 nr, feature;
} calls[] = {
	{ KVM_HC_KICK_CPU,	KVM_FEATURE_PV_UNHALT },
	{ KVM_HC_SEND_IPI,	KVM_FEATURE_PV_SEND_IPI },
	{ KVM_HC_SCHED_YIELD,	KVM_FEATURE_PV_SCHED_YIELD },
};

/* Those of a feature that the guest was not given are not there. */
static bool offered(const struct umbra_vcpu *vcpu, u64 nr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (calls[i].nr == nr)
			return vcpu->lapic && umbra_cpuid_has_pv(&vcpu->cpuid, calls[i].feature);
	}
	return nr == KVM_HC_VAPIC_POLL_IRQ;
}

long umbra_hypercall(struct umbra_vcpu *vcpu, const u64 *gpr, bool wide)
{
	u64 mask = wide ? ~0ULL : U32_MAX;
	u64 nr = gpr[UMBRA_RAX] & mask, a0 = gpr[UMBRA_RBX] & mask, a1 = gpr[UMBRA_RCX] & mask;

	umbra_trace(kvm_hypercall, vcpu, nr);
	if (umbra_hot(get_cpl)(vcpu))
		return -KVM_EPERM;
	if (!offered(vcpu, nr))
		return -KVM_ENOSYS;
	switch (nr) {
	case KVM_HC_KICK_CPU:
		return kick(vcpu, a1);
	case KVM_HC_SEND_IPI:
		return send_ipi(vcpu, a0, a1, gpr[UMBRA_RDX], gpr[UMBRA_RSI] & mask, wide);
	case KVM_HC_SCHED_YIELD:
		return sched_yield(vcpu, a0);
	}
	return 0;
}
