// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC's timer, on a host timer.
 *
 * The callback only notes the expiry and wakes the vCPU; its owner raises the
 * interrupt, so that LVTT and the registers have one writer. The host's timer
 * stands on the CPU where it was armed, and follows when the vCPU runs on another
 * one: an expiry elsewhere costs an interrupt between the two.
 */
#include <linux/hrtimer.h>
#include <linux/smp.h>
#include <asm/tsc.h>

#include "backend.h"
#include "irqchip.h"
#include "lapic.h"
#include "lapic_math.h"
#include "umbra.h"

static u32 timer_mode(const struct umbra_lapic *apic)
{
	return apic->timer.mode;
}

static bool deadline_mode(const struct umbra_lapic *apic)
{
	return timer_mode(apic) == APIC_LVT_TIMER_TSCDEADLINE;
}

static u32 divider(const struct umbra_lapic *apic)
{
	return lapic_divider(apic->timer.divide);
}

void lapic_timer_take_regs(struct umbra_lapic *apic)
{
	apic->timer.mode = lapic_reg(apic, APIC_LVTT) & LVT_TIMER_MODE;
	apic->timer.initial = lapic_reg(apic, APIC_TMICT);
	apic->timer.divide = lapic_reg(apic, APIC_TDCR);
}

static void set_initial(struct umbra_lapic *apic, u32 val)
{
	apic->timer.initial = val;
	lapic_set_reg(apic, APIC_TMICT, val);
}

static void set_lvtt(struct umbra_lapic *apic, u32 val)
{
	apic->timer.mode = val & LVT_TIMER_MODE;
	lapic_set_reg(apic, APIC_LVTT, val);
}

static enum hrtimer_restart timer_fired(struct hrtimer *hrtimer)
{
	struct umbra_lapic *apic = container_of(hrtimer, struct umbra_lapic, timer.hrtimer);
	u64 period = READ_ONCE(apic->timer.period);

	WRITE_ONCE(apic->timer.expired, 1);
	umbra_request(apic->vcpu, UMBRA_REQ_APIC_TIMER);
	umbra_vcpu_kick(apic->vcpu);
	if (!period)
		return HRTIMER_NORESTART;
	/* Periods that nobody could notice are skipped, the phase is kept. */
	hrtimer_forward_now(hrtimer, ns_to_ktime(period));
	return HRTIMER_RESTART;
}

void lapic_timer_init(struct umbra_lapic *apic)
{
	hrtimer_init(&apic->timer.hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED_HARD);
	apic->timer.hrtimer.function = timer_fired;
}

static void start_at(struct umbra_lapic *apic, ktime_t when)
{
	apic->timer.armed = true;
	apic->timer.cpu = raw_smp_processor_id();
	hrtimer_start(&apic->timer.hrtimer, when, HRTIMER_MODE_ABS_PINNED_HARD);
}

/* A timer that has fired meanwhile has said so: it is the owner's to look at. */
static void move_here(struct umbra_lapic *apic)
{
	if (apic->timer.armed && apic->timer.cpu != raw_smp_processor_id() &&
	    hrtimer_cancel(&apic->timer.hrtimer))
		start_at(apic, hrtimer_get_expires(&apic->timer.hrtimer));
}

void umbra_lapic_move_timer(struct umbra_vcpu *vcpu)
{
	move_here(vcpu->lapic);
}

void umbra_lapic_changed_cpu(struct umbra_vcpu *vcpu)
{
	/* Not here: the callback may have to be waited for. */
	if (vcpu->lapic && vcpu->lapic->timer.armed)
		umbra_request(vcpu, UMBRA_REQ_MOVE_TIMER);
}

/* A deadline nearer than this is waited for: a timer of the host's and its interrupt take longer. */
#define NEAR_NS		1000

static void start_in(struct umbra_lapic *apic, u64 ns)
{
	start_at(apic, ktime_add_ns(ktime_get(), ns));
}

/*
 * The deadline, @ns away. A guest that runs until then leaves at it by itself, where
 * the CPU can do that: no timer of the host's has to be set, or interrupts it.
 */
static void start_deadline(struct umbra_lapic *apic, u64 ns)
{
	if (!umbra_caps.exit_timer || check_tsc_unstable()) {
		start_in(apic, ns);
		return;
	}
	apic->timer.in_guest = true;
	umbra_backend->set_timer(apic->vcpu, apic->timer.deadline);
}

static void stop_in_guest(struct umbra_lapic *apic)
{
	if (!apic->timer.in_guest)
		return;
	apic->timer.in_guest = false;
	umbra_backend->set_timer(apic->vcpu, 0);
}

static u64 deadline_ns(struct umbra_lapic *apic)
{
	return lapic_deadline_ns(apic->timer.deadline, umbra_guest_tsc(apic->vcpu),
				 apic->vcpu->time.tsc_khz);
}

void umbra_lapic_timer_outside(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;

	if (!apic || !apic->timer.in_guest)
		return;
	stop_in_guest(apic);
	start_in(apic, deadline_ns(apic));
}

void umbra_lapic_timer_exit(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;

	/* One that came a little early is still set. */
	if (deadline_ns(apic))
		return;
	stop_in_guest(apic);
	WRITE_ONCE(apic->timer.expired, 1);
	umbra_lapic_timer_expired(vcpu);
}

void lapic_timer_stop(struct umbra_lapic *apic, bool flush)
{
	stop_in_guest(apic);
	if (apic->timer.armed) {
		hrtimer_cancel(&apic->timer.hrtimer);
		apic->timer.armed = false;
	}
	if (!READ_ONCE(apic->timer.expired))
		return;
	if (flush)
		umbra_lapic_timer_expired(apic->vcpu);
	else
		WRITE_ONCE(apic->timer.expired, 0);
}

void lapic_timer_reset(struct umbra_lapic *apic)
{
	lapic_timer_stop(apic, false);
	apic->timer.deadline = 0;
	WRITE_ONCE(apic->timer.period, 0);
}

/* Run for @count ticks, then, if periodic, for TMICT ticks again and again. */
static void run_count(struct umbra_lapic *apic, u32 count)
{
	u32 initial = apic->timer.initial;
	u64 period = 0, ns = lapic_count_to_ns(count, divider(apic));

	if (timer_mode(apic) == APIC_LVT_TIMER_PERIODIC) {
		period = lapic_period_ns(initial, divider(apic));
		/* A short first period alone would be the way around the limit. */
		if (count == initial)
			ns = period;
	}
	WRITE_ONCE(apic->timer.period, period);
	if (count)
		start_in(apic, ns);
}

void lapic_timer_write_tmict(struct umbra_lapic *apic, u32 val)
{
	if (deadline_mode(apic)) {
		set_initial(apic, apic->timer.initial);
		return;
	}
	lapic_timer_stop(apic, true);
	set_initial(apic, val);
	run_count(apic, val);
}

void lapic_timer_write_tdcr(struct umbra_lapic *apic, u32 val)
{
	u32 count = lapic_timer_current(apic);
	bool running = apic->timer.armed && !deadline_mode(apic);

	if (running)
		lapic_timer_stop(apic, true);
	apic->timer.divide = val & 0xb;
	lapic_set_reg(apic, APIC_TDCR, val & 0xb);
	if (running)
		run_count(apic, count);
}

void lapic_timer_write_lvtt(struct umbra_lapic *apic, u32 val)
{
	u32 old = timer_mode(apic), new = val & LVT_TIMER_MODE;
	u32 count = 0;

	/* What expired under the old entry is raised by it. */
	if (READ_ONCE(apic->timer.expired))
		umbra_lapic_timer_expired(apic->vcpu);
	if (old == new) {
		set_lvtt(apic, val);
		return;
	}

	if (old != APIC_LVT_TIMER_TSCDEADLINE)
		count = lapic_timer_current(apic);
	lapic_timer_stop(apic, true);
	set_lvtt(apic, val);
	if (old == APIC_LVT_TIMER_TSCDEADLINE || new == APIC_LVT_TIMER_TSCDEADLINE) {
		/* In and out of deadline mode disarms. */
		apic->timer.deadline = 0;
		set_initial(apic, 0);
		WRITE_ONCE(apic->timer.period, 0);
	} else {
		run_count(apic, count);
	}
}

u32 lapic_timer_current(struct umbra_lapic *apic)
{
	if (!apic->timer.armed || deadline_mode(apic))
		return 0;
	return lapic_ns_to_count(ktime_to_ns(hrtimer_get_remaining(&apic->timer.hrtimer)),
				 divider(apic), apic->timer.initial);
}

u32 lapic_timer_save(struct umbra_lapic *apic)
{
	u32 count = 0;
	bool runs;

	if (deadline_mode(apic))
		return 0;
	/* Held: it must not run out between the look at it and that at IRR. */
	runs = apic->timer.armed && hrtimer_cancel(&apic->timer.hrtimer);
	umbra_lapic_timer_expired(apic->vcpu);
	if (runs) {
		count = max(lapic_timer_current(apic), 1U);
		start_at(apic, hrtimer_get_expires(&apic->timer.hrtimer));
	}
	return count;
}

void lapic_timer_restore(struct umbra_lapic *apic, u32 count, u64 deadline)
{
	u32 initial = apic->timer.initial;

	if (deadline_mode(apic))
		umbra_set_tsc_deadline(apic->vcpu, deadline);
	else if (!count && timer_mode(apic) == APIC_LVT_TIMER_PERIODIC)
		run_count(apic, initial);	/* it never stands still */
	else
		run_count(apic, min(count, initial));
}

u64 umbra_tsc_deadline(struct umbra_vcpu *vcpu, bool host)
{
	struct umbra_lapic *apic = vcpu->lapic;

	if (!apic || !deadline_mode(apic) || (!host && READ_ONCE(apic->timer.expired)))
		return 0;
	return apic->timer.deadline;
}

void umbra_set_tsc_deadline(struct umbra_vcpu *vcpu, u64 value)
{
	struct umbra_lapic *apic = vcpu->lapic;
	u64 ns;

	if (!apic || !deadline_mode(apic))
		return;
	lapic_timer_stop(apic, true);
	apic->timer.deadline = value;
	if (!value)
		return;
	ns = deadline_ns(apic);
	while (ns && ns < NEAR_NS) {
		cpu_relax();
		ns = deadline_ns(apic);
	}
	if (ns) {
		start_deadline(apic, ns);
	} else {
		apic->timer.deadline = 0;
		lapic_raise_lvt(apic, APIC_LVTT, apic);
	}
}

void umbra_lapic_tsc_changed(struct umbra_vcpu *vcpu)
{
	u64 deadline = umbra_tsc_deadline(vcpu, false);

	if (deadline)
		umbra_set_tsc_deadline(vcpu, deadline);
}

bool umbra_lapic_timer_pending(struct umbra_vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->timer.expired);
}

void umbra_lapic_timer_expired(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	struct lapic_timer *timer = &apic->timer;

	if (!xchg(&timer->expired, 0))
		return;
	if (deadline_mode(apic)) {
		u64 ns = deadline_ns(apic);

		/* The host's clock may be slewed: never show a TSC below the deadline. */
		if (ns && timer->armed) {
			start_in(apic, ns);
			return;
		}
		timer->deadline = 0;
	}
	lapic_raise_lvt(apic, APIC_LVTT, apic);

	if (!timer->period)
		timer->armed = false;
}
