/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel must be told around a guest: whose time it is, that RCU need
 * not wait for this CPU, and that interrupts are as good as on. The kernel's own
 * helpers for that live in a header of KVM's.
 */
#ifndef UMBRA_GUEST_STATE_H
#define UMBRA_GUEST_STATE_H

#include <linux/context_tracking.h>
#include <linux/ftrace.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/percpu.h>
#include <linux/vtime.h>

#include "compat.h"

DECLARE_PER_CPU(unsigned long, umbra_quiescent_at);	/* vcpu.c: jiffies */

/* From here on time is the guest's. Interrupts off. */
static __always_inline void umbra_guest_timing_enter(void)
{
	vtime_account_guest_enter();
}

/* The guest's time ends. Interrupts off; the interrupt that ended it has been served. */
static __always_inline void umbra_guest_timing_exit(void)
{
	vtime_account_guest_exit();
}

/*
 * A guest is a quiescent state of this CPU. RCU looks for one when its tick comes,
 * so that one in each is enough. Only where no context tracking tells it.
 */
static __always_inline void umbra_note_quiescent(void)
{
	unsigned long now = jiffies;

	if (likely(raw_cpu_read(umbra_quiescent_at) == now))
		return;
	raw_cpu_write(umbra_quiescent_at, now);
	umbra_rcu_note_guest();
}

/*
 * Just before and just after the world switch, from noinstr code with interrupts
 * off. In between neither RCU, tracing nor lockdep may be touched.
 */
static __always_inline void umbra_guest_state_enter(void)
{
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();

	if (!context_tracking_guest_enter())
		umbra_note_quiescent();
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void umbra_guest_state_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	if (!umbra_context_guest_exit())
		umbra_note_quiescent();

	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

#endif
