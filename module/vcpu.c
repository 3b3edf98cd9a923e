// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run loop: requests, entry, exit. What a vCPU does while it must wait is in halt.c.
 * Documentation/requests.rst draws the protocol of requests and kicks.
 */
#include <linux/kvm.h>
#include <linux/rcuwait.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/smp.h>
#include <linux/task_work.h>

#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>

#include "backend.h"
#include "compat.h"
#include "genl.h"
#include "guest_state.h"
#include "irq.h"
#include "stats.h"
#include "sync_regs.h"
#include "trace.h"
#include "umbra.h"
#include "vcpu.h"

static DEFINE_PER_CPU(struct umbra_vcpu *, running_vcpu);
DEFINE_PER_CPU(unsigned long, umbra_quiescent_at);

/** umbra_running_vcpu() - the vCPU loaded on this CPU, or NULL. Preemption off. */
struct umbra_vcpu *umbra_running_vcpu(void)
{
	return __this_cpu_read(running_vcpu);
}

static void load_here(struct umbra_vcpu *vcpu, int cpu)
{
	__this_cpu_write(running_vcpu, vcpu);
	umbra_backend->vcpu_load(vcpu, cpu);
	vcpu->prepared = false;
	if (vcpu->cpu != cpu)
		umbra_lapic_changed_cpu(vcpu);
	WRITE_ONCE(vcpu->cpu, cpu);
	umbra_time_load(vcpu);
	umbra_steal_load(vcpu);
}

static void put_here(struct umbra_vcpu *vcpu)
{
	umbra_time_put(vcpu);
	umbra_backend->vcpu_put(vcpu);
	__this_cpu_write(running_vcpu, NULL);
}

static void sched_in(struct preempt_notifier *pn, int cpu)
{
	struct umbra_vcpu *vcpu = container_of(pn, struct umbra_vcpu, preempt);

	WRITE_ONCE(vcpu->starved, false);
	load_here(vcpu, cpu);
}

static void sched_out(struct preempt_notifier *pn, struct task_struct *next)
{
	struct umbra_vcpu *vcpu = container_of(pn, struct umbra_vcpu, preempt);

	/* It would run on, but another takes the CPU. */
	if (task_is_running(current))
		WRITE_ONCE(vcpu->starved, true);
	umbra_steal_sched_out(vcpu);
	put_here(vcpu);
}

static struct preempt_ops preempt_ops = {
	.sched_in = sched_in,
	.sched_out = sched_out,
};

void umbra_vcpu_init_preempt(struct umbra_vcpu *vcpu)
{
	preempt_notifier_init(&vcpu->preempt, &preempt_ops);
}

/** umbra_vcpu_load() - this thread works on the vCPU now. vcpu->mutex held, preemption on. */
void umbra_vcpu_load(struct umbra_vcpu *vcpu)
{
	int cpu = get_cpu();

	preempt_notifier_register(&vcpu->preempt);
	load_here(vcpu, cpu);
	put_cpu();
}

/** umbra_vcpu_put() - the counterpart of umbra_vcpu_load() */
void umbra_vcpu_put(struct umbra_vcpu *vcpu)
{
	preempt_disable();
	put_here(vcpu);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

/** umbra_vcpu_wake() - wake it if it is halted; requests and events were set before. Any context. */
void umbra_vcpu_wake(struct umbra_vcpu *vcpu)
{
	/* Until it is scheduled it has no CPU. */
	if (rcuwait_wake_up(&vcpu->wait))
		WRITE_ONCE(vcpu->starved, true);
}

/**
 * umbra_vcpu_kick() - make a vCPU look at its requests: wake it, or leave the guest
 * @vcpu: any vCPU of a VM that the caller holds
 *
 * Any context. The request must be set before; the cmpxchg is a full barrier
 * that pairs with the one in enter_guest().
 */
void umbra_vcpu_kick(struct umbra_vcpu *vcpu)
{
	int me, cpu;

	umbra_vcpu_wake(vcpu);
	me = get_cpu();
	if (cmpxchg(&vcpu->mode, UMBRA_IN_GUEST, UMBRA_EXITING) == UMBRA_IN_GUEST) {
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu != me && cpu >= 0 && cpu_online(cpu))
			umbra_send_reschedule(cpu);
	}
	put_cpu();
}

/** umbra_request_all() - a request to every vCPU, each kicked. Any context. */
void umbra_request_all(struct umbra_vm *vm, enum umbra_request req)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		umbra_request(vcpu, req);
		umbra_vcpu_kick(vcpu);
	}
}

/**
 * umbra_vcpu_reset() - the state after power-up or INIT
 * @vcpu: loaded, owned
 * @init: INIT, which leaves what the manual's table says; else power-up
 */
void umbra_vcpu_reset(struct umbra_vcpu *vcpu, bool init)
{
	umbra_lapic_reset(vcpu, init);
	umbra_events_init(vcpu);
	vcpu->io.complete = NULL;
	umbra_regs_reset(vcpu, init);
	umbra_backend->vcpu_reset(vcpu, init);
	umbra_apf_cancel(vcpu);
	umbra_msrs_reset(vcpu, init);
	umbra_fpu_reset(vcpu, init);
	umbra_mmu_paging_changed(vcpu);
	if (!init)
		WRITE_ONCE(vcpu->mp_state, vcpu->id == (int)vcpu->vm->boot_vcpu_id || !vcpu->lapic ?
			   KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED);
}

static bool vcpu_runnable(struct umbra_vcpu *vcpu)
{
	return READ_ONCE(vcpu->mp_state) == KVM_MP_STATE_RUNNABLE;
}

/* Requests to write to the guest's memory. */
static void serve_pages(struct umbra_vcpu *vcpu)
{
	int idx;

	if (!(READ_ONCE(vcpu->requests) &
	      (BIT(UMBRA_REQ_CLOCK) | BIT(UMBRA_REQ_STEAL) | BIT(UMBRA_REQ_APF_READY))))
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (umbra_test_request(vcpu, UMBRA_REQ_CLOCK))
		umbra_clock_update(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_STEAL))
		umbra_steal_update(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_APF_READY))
		umbra_apf_ready(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

static int serve_requests(struct umbra_vcpu *vcpu)
{
	if (test_bit(UMBRA_REQ_STOP, &vcpu->requests)) {
		umbra_event_death(vcpu->vm);
		return -EIO;
	}
	if (umbra_test_request(vcpu, UMBRA_REQ_TRIPLE_FAULT)) {
		umbra_event_vcpu(vcpu, UMBRA_NL_CMD_TRIPLE_FAULT);
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	/* Before anything that writes to guest memory. */
	if (umbra_test_request(vcpu, UMBRA_REQ_RING_FULL) && umbra_ring_is_full(vcpu)) {
		umbra_request(vcpu, UMBRA_REQ_RING_FULL);
		vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
		return 0;
	}
	if (umbra_test_request(vcpu, UMBRA_REQ_IOAPIC_EOI)) {
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = vcpu->ended_vector;
		return 0;
	}
	if (umbra_test_request(vcpu, UMBRA_REQ_TPR_ACCESS)) {
		umbra_lapic_tpr_exit(vcpu);
		return 0;
	}
	if (umbra_test_request(vcpu, UMBRA_REQ_APIC_TIMER))
		umbra_lapic_timer_expired(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_MOVE_TIMER))
		umbra_lapic_move_timer(vcpu);
	if (umbra_lapic_has_init_sipi(vcpu)) {
		umbra_lapic_accept_events(vcpu);
		if (!vcpu_runnable(vcpu))
			return 1;
	}
	serve_pages(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_MSR_FILTER))
		umbra_backend->filter_msrs(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_MMU_MODE))
		umbra_mmu_move(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_APIC_VIRT))
		umbra_lapic_choose_virt(vcpu);
	if (umbra_test_request(vcpu, UMBRA_REQ_LOAD_ROOT))
		vcpu->mmu.root = INVALID_PAGE;
	if (umbra_test_request(vcpu, UMBRA_REQ_FLUSH_TLB)) {
		umbra_count(vcpu, flushes);
		umbra_backend->flush_all(vcpu);
	}
	umbra_test_request(vcpu, UMBRA_REQ_EVENT);
	umbra_test_request(vcpu, UMBRA_REQ_UNBLOCK);
	umbra_test_request(vcpu, UMBRA_REQ_NONE_KICK);
	/* Last: what was asked is done by then. What is asked meanwhile ends the wait or can wait too. */
	if (umbra_test_request(vcpu, UMBRA_REQ_APF_WAIT))
		umbra_vcpu_await_page(vcpu);
	return 1;
}

#ifdef CONFIG_MEMCG
static bool memcg_wants_to_throttle(void)
{
	return current->memcg_nr_pages_over_high;
}
#else
static bool memcg_wants_to_throttle(void)
{
	return false;
}
#endif

/*
 * Signals, and work that the kernel does only on the way to userspace. Each
 * preemption raises NOTIFY_RESUME too, for restartable sequences: those are due
 * when userspace runs again, however late, so that the flag alone means nothing.
 */
static bool userspace_needed(unsigned long flags)
{
	if (flags & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL))
		return true;
	return (flags & _TIF_NOTIFY_RESUME) &&
	       (task_work_pending(current) || memcg_wants_to_throttle());
}

/* @flags: the thread's */
static __always_inline bool host_work_pending(unsigned long flags)
{
	if (likely(!(flags & (_TIF_NEED_RESCHED | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL |
			      _TIF_NOTIFY_RESUME))))
		return false;
	return (flags & _TIF_NEED_RESCHED) || userspace_needed(flags);
}

/*
 * What host_work_pending() sees, if it does. A signal ends the call. Other work that
 * the kernel does on the way to userspace (6.12 has some every 100 ms) must not: the
 * VMM would see an EINTR that nobody sent. The kernel's
 * xfer_to_guest_mode_handle_work() would do that work here, but writes to KVM's own
 * private vCPU structure. So the system call is made to start anew:
 * TIF_NOTIFY_SIGNAL sends it through the signal code, which does the work, finds no
 * signal, and restarts it; with a handler to run it is EINTR.
 */
static int host_work(struct umbra_vcpu *vcpu)
{
	unsigned long work = read_thread_flags();

	if (userspace_needed(work)) {
		vcpu->run->exit_reason = KVM_EXIT_INTR;
		if (work & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL))
			return -EINTR;
		set_thread_flag(TIF_NOTIFY_SIGNAL);
		return -ERESTARTNOHAND;
	}
	if (work & _TIF_NEED_RESCHED) {
		cond_resched();
		if (need_resched())
			schedule();
	}
	return 1;
}

/* Guest memory stands for a part of the LAPIC: keep the two in step. */
static noinline void share(struct umbra_vcpu *vcpu, void (*way)(struct umbra_vcpu *vcpu))
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);

	way(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

static int back_out(struct umbra_vcpu *vcpu)
{
	smp_store_release(&vcpu->mode, UMBRA_OUTSIDE_GUEST);
	local_irq_enable();
	preempt_enable();
	umbra_backend->cancel_inject(vcpu);
	if (unlikely(vcpu->shares))
		share(vcpu, umbra_lapic_take_back);
	return host_work(vcpu);
}

static bool event_on_its_way(struct umbra_vcpu *vcpu)
{
	const struct umbra_events *ev = &vcpu->events;

	return ev->irq.injected || ev->exc.pending || ev->exc.injected || ev->nmi_injected;
}

static bool must_emulate(struct umbra_vcpu *vcpu)
{
	if ((vcpu->emulate & UMBRA_EMULATE_ASK) && umbra_backend->unfit(vcpu))
		return true;
	return (vcpu->emulate & UMBRA_EMULATE_ALL) && !event_on_its_way(vcpu);
}

/* In place of the guest's turn on the CPU: an instruction, and a look at what else waits. */
static int emulate_next(struct umbra_vcpu *vcpu)
{
	int r = 1;

	umbra_lapic_timer_outside(vcpu);
	/* An event whose delivery faulted or must be tried again comes first. */
	if (!event_on_its_way(vcpu))
		r = umbra_emulate_next(vcpu);
	return r > 0 ? host_work(vcpu) : r;
}

/* Does the guest run with another XCR0, XSS or PKRU than its host? */
static __always_inline bool fpu_differs(struct umbra_vcpu *vcpu)
{
	u64 cr4 = umbra_cr4(vcpu), xcr0 = vcpu->regs.xcr0;

	/* A guest without OSXSAVE has no instruction that could tell. */
	if ((cr4 & X86_CR4_OSXSAVE) &&
	    (xcr0 != umbra_host_xcr0 || vcpu->msrs.xss != umbra_host_xss))
		return true;
	return cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	       ((cr4 & X86_CR4_PKE) || (xcr0 & XFEATURE_MASK_PKRU));
}

/*
 * One trip into the guest and what its exit means: as umbra_handle_exit().
 * The order is design: see «The way of one exit» in Documentation/architecture.rst.
 */
static int enter_guest(struct umbra_vcpu *vcpu)
{
	unsigned long flags;
	int r;

	if (READ_ONCE(vcpu->requests)) {
		r = serve_requests(vcpu);
		if (r <= 0 || !vcpu_runnable(vcpu))
			return r;
	}
	if (unlikely(vcpu->mmu.root == INVALID_PAGE)) {
		r = umbra_mmu_load_root(vcpu);
		if (r)
			return r;
	}
	if (!umbra_nothing_waits(vcpu))
		umbra_inject_events(vcpu);
	if (unlikely(vcpu->emulate) && must_emulate(vcpu))
		return emulate_next(vcpu);
	if (unlikely(vcpu->shares))
		share(vcpu, umbra_lapic_share);

	preempt_disable();
	if (unlikely(!vcpu->prepared)) {
		umbra_backend->prepare_switch(vcpu);
		vcpu->prepared = true;
	}
	local_irq_disable();
	/*
	 * A full barrier: either we see the request, or who made it sees
	 * IN_GUEST and interrupts us. Pairs with umbra_vcpu_kick().
	 */
	smp_store_mb(vcpu->mode, UMBRA_IN_GUEST);
	flags = read_thread_flags();
	if (unlikely(READ_ONCE(vcpu->requests) || host_work_pending(flags)))
		return back_out(vcpu);

	umbra_stats_enter(vcpu);
	/* An interrupt may have used the FPU since umbra_fpu_load(). */
	if (unlikely(flags & _TIF_NEED_FPU_LOAD))
		switch_fpu_return();
	if (unlikely(fpu_differs(vcpu)))
		umbra_fpu_switch_in(vcpu);
	umbra_trace(kvm_entry, vcpu);
	umbra_guest_timing_enter();
	umbra_hot(enter)(vcpu);
	smp_store_release(&vcpu->mode, UMBRA_OUTSIDE_GUEST);
	if (unlikely(vcpu->fpu.xcrs_switched | vcpu->fpu.pkru_switched))
		umbra_fpu_switch_out(vcpu);
	umbra_hot(exit_irqoff)(vcpu);
	umbra_stats_left(vcpu);
	/* The interrupt that ended the guest's time is served here, on the guest's bill. */
	local_irq_enable();
	nop();		/* STI opens the door behind the next instruction only */
	local_irq_disable();
	umbra_guest_timing_exit();
	local_irq_enable();
	preempt_enable();

	umbra_hot(decode)(vcpu);
	if (unlikely(vcpu->shares))
		share(vcpu, umbra_lapic_take_back);
	return umbra_handle_exit(vcpu);
}

/*
 * Could the guest take an interrupt of userspace's PIC now? Not while another event is
 * on its way: userspace may want to write that one anew with KVM_SET_SREGS.
 */
static bool ready_for_user_irq(struct umbra_vcpu *vcpu)
{
	return umbra_takes_user_irq(vcpu) && !event_on_its_way(vcpu) &&
	       umbra_backend->interrupt_allowed(vcpu);
}

/* Whose PIC is in userspace asks to know when the guest can take an interrupt. */
static bool window_for_user(struct umbra_vcpu *vcpu)
{
	return READ_ONCE(vcpu->run->request_interrupt_window) && ready_for_user_irq(vcpu);
}

static int run_loop(struct umbra_vcpu *vcpu)
{
	int r;

	for (;;) {
		if (vcpu_runnable(vcpu)) {
			r = enter_guest(vcpu);
		} else {
			r = umbra_vcpu_block(vcpu);
			if (r > 0)
				r = host_work(vcpu);
		}
		if (r <= 0)
			return r;
		if (window_for_user(vcpu)) {
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			return 0;
		}
	}
}

/* What the run page tells userspace at every return. */
static void fill_run_page(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(umbra_rflags(vcpu) & X86_EFLAGS_IF);
	run->cr8 = umbra_cr8(vcpu);
	run->apic_base = umbra_apic_base(vcpu);
	run->flags = 0;
	run->ready_for_interrupt_injection = umbra_pic_in_kernel(vcpu->vm) ||
					     ready_for_user_irq(vcpu);
}

/* An AP that nobody has started: wait for it here, then let userspace look. */
static int run_unstarted(struct umbra_vcpu *vcpu)
{
	int r;

	if (umbra_immediate_exit(vcpu->run))
		return -EINTR;
	r = umbra_vcpu_block(vcpu);
	if (r < 0)
		return r;
	if (signal_pending(current)) {
		vcpu->run->exit_reason = KVM_EXIT_INTR;
		return -EINTR;
	}
	return -EAGAIN;
}

static int finish_user_io(struct umbra_vcpu *vcpu)
{
	int (*complete)(struct umbra_vcpu *vcpu) = vcpu->io.complete;
	int idx, r;

	if (!complete)
		return 1;
	vcpu->io.complete = NULL;
	/* Userspace may have set RFLAGS and the interrupt shadow since. */
	vcpu->exit.plain = false;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = complete(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

static int run_prepared(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	int r;

	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED)
		return run_unstarted(vcpu);
	r = umbra_sync_in(vcpu);
	if (r)
		return r;
	if (!vcpu->lapic && umbra_set_cr8(vcpu, READ_ONCE(run->cr8)))
		return -EINVAL;
	r = finish_user_io(vcpu);
	if (r <= 0)
		return r;
	if (umbra_immediate_exit(run))
		return -EINTR;
	return run_loop(vcpu);
}

static void note_thread(struct umbra_vcpu *vcpu)
{
	struct pid *old, *pid = task_pid(current);

	if (likely(rcu_access_pointer(vcpu->pid) == pid))
		return;
	old = rcu_access_pointer(vcpu->pid);
	rcu_assign_pointer(vcpu->pid, get_pid(pid));
	/* Somebody may just now lend it a CPU. A vCPU rarely changes its thread. */
	if (old)
		synchronize_rcu();
	put_pid(old);
	if (!xchg(&vcpu->vm->listing.ran, true))
		umbra_event_vm(vcpu->vm, UMBRA_NL_CMD_VM_STATE);
	umbra_event_vcpu(vcpu, UMBRA_NL_CMD_VCPU_STATE);
	umbra_steal_new_thread(vcpu);
	/* umbra_vcpu_put() of another thread's CPU flushed nothing speculative: see svm.c. */
}

/*
 * The thread's own mask waits in real_blocked, as in sigtimedwait(): the kernel would else
 * end the process at once by a signal that ends it by default, where it is to end KVM_RUN
 * and stay pending.
 */
static void unblock_signals(struct umbra_vcpu *vcpu)
{
	sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);
}

static void block_signals(void)
{
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
}

/**
 * umbra_vcpu_run() - KVM_RUN
 * @vcpu: its mutex is held by this thread
 *
 * Return: 0 with the run page filled; -EINTR (signal, immediate_exit);
 * -ERESTARTNOHAND, which userspace never sees: the kernel has work to do on the
 * way there, and calls again; -EAGAIN (an AP was started);
 * -EIO (the VM is dead); -EFAULT (memory behind a slot is not there); -EINVAL
 */
int umbra_vcpu_run(struct umbra_vcpu *vcpu)
{
	int r;

	note_thread(vcpu);
	umbra_vcpu_load(vcpu);
	if (vcpu->sigset_active)
		unblock_signals(vcpu);
	umbra_fpu_load(vcpu);
	vcpu->cpuid.ran = true;

	umbra_count(vcpu, runs);
	r = run_prepared(vcpu);
	if (!r)
		umbra_count(vcpu, user_exits);
	else if (r == -EINTR)
		umbra_count(vcpu, interrupted);

	umbra_trace(kvm_userspace_exit, READ_ONCE(vcpu->run->exit_reason), r);
	umbra_fpu_put(vcpu);
	fill_run_page(vcpu);
	umbra_sync_out(vcpu);
	if (vcpu->sigset_active)
		block_signals();
	umbra_vcpu_put(vcpu);
	return r;
}

int umbra_vcpu_get_mp_state(struct umbra_vcpu *vcpu, struct kvm_mp_state *state)
{
	umbra_lapic_accept_events(vcpu);
	state->mp_state = vcpu->mp_state;
	/* A kick that came meanwhile is not saved otherwise. */
	if (state->mp_state == KVM_MP_STATE_HALTED && READ_ONCE(vcpu->pv.kicked))
		state->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

/* KVM_SET_MP_STATE: -EINVAL for a state that x86 lacks, or one that needs a LAPIC in the kernel. */
int umbra_vcpu_set_mp_state(struct umbra_vcpu *vcpu, const struct kvm_mp_state *state)
{
	switch (state->mp_state) {
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_HALTED:
		if (!vcpu->lapic)
			return -EINVAL;
		break;
	case KVM_MP_STATE_INIT_RECEIVED:
		if (!vcpu->lapic)
			return -EINVAL;
		break;
	case KVM_MP_STATE_SIPI_RECEIVED:
		/* The SIPI is acted on at the next KVM_RUN. */
		if (!vcpu->lapic)
			return -EINVAL;
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_INIT_RECEIVED);
		umbra_lapic_latch_sipi(vcpu);
		return 0;
	case KVM_MP_STATE_RUNNABLE:
		break;
	default:
		return -EINVAL;
	}
	WRITE_ONCE(vcpu->mp_state, state->mp_state);
	umbra_request(vcpu, UMBRA_REQ_EVENT);
	return 0;
}
