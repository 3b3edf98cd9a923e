// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a vCPU does while it must wait: it polls for a while, as long as nobody else
 * wants the CPU, then sleeps. And what one does that spins: it lends its CPU to a
 * vCPU that has none.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pid.h>
#include <linux/rcuwait.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/srcu.h>

#include "halt_math.h"
#include "irq.h"
#include "stats.h"
#include "trace.h"
#include "umbra.h"
#include "vcpu.h"

static int set_window(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 0, HALT_POLL_LIMIT_NS);
}

static const struct kernel_param_ops window_ops = {
	.set = set_window,
	.get = param_get_uint,
};

static unsigned int halt_poll_ns = 200000;
module_param_cb(halt_poll_ns, &window_ops, &halt_poll_ns, 0644);
MODULE_PARM_DESC(halt_poll_ns, "how long a halted vCPU polls at most before it sleeps, ns (default 200000, at most 1000000000)");

static struct halt_poll poll_params = { .grow = 2, .grow_start = 10000 };
module_param_named(halt_poll_ns_grow, poll_params.grow, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow, "factor by which too short a poll grows (default 2; 0: it does not)");
module_param_cb(halt_poll_ns_grow_start, &window_ops, &poll_params.grow_start, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow_start, "what a poll grows to from less, ns (default 10000)");
module_param_named(halt_poll_ns_shrink, poll_params.shrink, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_shrink, "divisor by which a vain poll shrinks (default 0: to nothing)");

void umbra_halt_vm_init(struct umbra_vm *vm)
{
	vm->halt_poll_ns = UMBRA_HALT_POLL_DEFAULT;
}

int umbra_set_halt_poll(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] > HALT_POLL_LIMIT_NS || cap->args[1] || cap->args[2] || cap->args[3])
		return -EINVAL;
	WRITE_ONCE(vm->halt_poll_ns, cap->args[0]);
	return 0;
}

static u32 longest_poll(const struct umbra_vcpu *vcpu)
{
	u32 max = READ_ONCE(vcpu->vm->halt_poll_ns);

	/* MSR_KVM_POLL_CONTROL: the guest has polled already. */
	if (!(vcpu->msrs.poll_control & 1))
		return 0;
	return max == UMBRA_HALT_POLL_DEFAULT ? READ_ONCE(halt_poll_ns) : max;
}

/* Something that ends any wait, whatever the vCPU waits for. */
static bool must_look(struct umbra_vcpu *vcpu)
{
	return test_bit(UMBRA_REQ_STOP, &vcpu->requests) ||
	       test_bit(UMBRA_REQ_TRIPLE_FAULT, &vcpu->requests) ||
	       test_bit(UMBRA_REQ_MMU_MODE, &vcpu->requests) ||
	       umbra_lapic_has_init_sipi(vcpu);
}

/* There is something for the guest. */
static bool has_news(struct umbra_vcpu *vcpu)
{
	return test_bit(UMBRA_REQ_APF_READY, &vcpu->requests) ||
	       umbra_lapic_timer_pending(vcpu) || umbra_has_event(vcpu);
}

/* Of a vCPU that is halted, or not started. */
static bool wait_is_over(struct umbra_vcpu *vcpu)
{
	if (must_look(vcpu))
		return true;
	if (READ_ONCE(vcpu->mp_state) != KVM_MP_STATE_HALTED)
		return READ_ONCE(vcpu->mp_state) == KVM_MP_STATE_RUNNABLE;
	return test_bit(UMBRA_REQ_UNBLOCK, &vcpu->requests) || READ_ONCE(vcpu->pv.kicked) ||
	       has_news(vcpu);
}

/* Of one that runs, but for a page. */
static bool page_wait_is_over(struct umbra_vcpu *vcpu)
{
	return !umbra_apf_waits(vcpu) || must_look(vcpu) || has_news(vcpu);
}

static void sleep_until(struct umbra_vcpu *vcpu, bool (*over)(struct umbra_vcpu *vcpu))
{
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (over(vcpu) || signal_pending(current))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
}

static void sleep_until_woken(struct umbra_vcpu *vcpu)
{
	sleep_until(vcpu, wait_is_over);
}

void umbra_vcpu_await_page(struct umbra_vcpu *vcpu)
{
	umbra_lapic_timer_outside(vcpu);
	sleep_until(vcpu, page_wait_is_over);
}

/* Nobody else wants this CPU. */
static bool cpu_is_ours(void)
{
	return single_task_running() && !need_resched();
}

/* true: the wait ended before @until */
static bool poll_until(struct umbra_vcpu *vcpu, u64 until)
{
	do {
		if (wait_is_over(vcpu) || signal_pending(current))
			return true;
		cpu_relax();
	} while (cpu_is_ours() && ktime_get_ns() < until);
	return false;
}

/*
 * As on KVM. Where the CPU has something else to do there is no polling, and the
 * length of the halt says nothing about how long to poll: it is not measured.
 */
static void poll_and_sleep(struct umbra_vcpu *vcpu)
{
	u32 max = longest_poll(vcpu), window = min(vcpu->poll_window, max);
	struct halt_poll params;
	u64 start, ns;
	bool sleeps;

	if (!max || !cpu_is_ours()) {
		start = trace_kvm_vcpu_wakeup_enabled() ? ktime_get_ns() : 0;
		sleep_until_woken(vcpu);
		if (start)
			umbra_trace(kvm_vcpu_wakeup, ktime_get_ns() - start, true,
				    !signal_pending(current));
		return;
	}
	start = ktime_get_ns();
	sleeps = !window || !poll_until(vcpu, start + window);
	if (sleeps)
		sleep_until_woken(vcpu);
	else
		umbra_count(vcpu, halt_polls);
	ns = ktime_get_ns() - start;
	umbra_trace(kvm_vcpu_wakeup, ns, sleeps, !signal_pending(current));
	params = (struct halt_poll){
		.grow = READ_ONCE(poll_params.grow),
		.grow_start = READ_ONCE(poll_params.grow_start),
		.shrink = READ_ONCE(poll_params.shrink),
	};
	vcpu->poll_window = halt_poll_next(&params, window, max, ns);
	if (vcpu->poll_window != window)
		umbra_trace(kvm_halt_poll_ns, vcpu->id, vcpu->poll_window, window);
}

static void wait(struct umbra_vcpu *vcpu)
{
	if (wait_is_over(vcpu))
		return;
	if (vcpu->mp_state == KVM_MP_STATE_HALTED) {
		umbra_count(vcpu, halts);
		poll_and_sleep(vcpu);
	} else {
		sleep_until_woken(vcpu);
	}
}

/* A page has come for another thread of the guest's than that which has halted. */
static void take_pages(struct umbra_vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);

	umbra_apf_ready(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

int umbra_vcpu_block(struct umbra_vcpu *vcpu)
{
	umbra_lapic_timer_outside(vcpu);
	wait(vcpu);
	while (umbra_test_request(vcpu, UMBRA_REQ_MMU_MODE)) {
		umbra_mmu_move(vcpu);
		wait(vcpu);
	}
	umbra_lapic_accept_events(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_APIC_TIMER))
		umbra_lapic_timer_expired(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_APF_READY))
		take_pages(vcpu);
	if (vcpu->mp_state == KVM_MP_STATE_HALTED &&
	    (umbra_test_request(vcpu, UMBRA_REQ_UNBLOCK) || READ_ONCE(vcpu->pv.kicked) ||
	     umbra_has_event(vcpu))) {
		WRITE_ONCE(vcpu->pv.kicked, false);
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
	}
	if (test_bit(UMBRA_REQ_STOP, &vcpu->requests))
		return -EIO;
	return 1;
}

/* --- who spins ---------------------------------------------------------- */

/* Threads on CPUs where nobody else waits can't be helped: so many are tried. */
#define YIELD_TRIES	3

/* As yield_to(): >0 it runs now; -ESRCH it can't be helped. */
static int yield_to_vcpu(struct umbra_vcpu *vcpu)
{
	struct task_struct *task = NULL;
	struct pid *pid;
	int r;

	rcu_read_lock();
	pid = rcu_dereference(vcpu->pid);
	if (pid)
		task = get_pid_task(pid, PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return 0;
	r = yield_to(task, true);
	put_task_struct(task);
	return r;
}

void umbra_vcpu_yield_to(struct umbra_vcpu *vcpu)
{
	if (READ_ONCE(vcpu->starved))
		yield_to_vcpu(vcpu);
}

void umbra_vcpu_on_spin(struct umbra_vcpu *me)
{
	struct umbra_vm *vm = me->vm;
	int nr = smp_load_acquire(&vm->online_vcpus);
	int i, r, last = READ_ONCE(vm->last_boosted), tries = YIELD_TRIES;
	struct umbra_vcpu *vcpu;

	/* In turns: whom it helped last is asked last. */
	for (i = 1; i <= nr; i++) {
		vcpu = umbra_vcpu_by_index(vm, (last + i) % nr);
		if (!vcpu || vcpu == me || !READ_ONCE(vcpu->starved))
			continue;
		r = yield_to_vcpu(vcpu);
		if (r > 0) {
			WRITE_ONCE(vm->last_boosted, vcpu->index);
			return;
		}
		if (r < 0 && !--tries)
			return;
	}
}
