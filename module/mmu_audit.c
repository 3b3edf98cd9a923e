// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM's shadow tables, audited by who reads mmu_audit in its directory of debugfs: for tests,
 * and for who looks for a fault in the engine. It costs nothing while nobody asks. The rules
 * are shadow_audit.c's, which the unit tests hold as well.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/workqueue.h>

#include "mmu_audit.h"
#include "shadow_audit.h"
#include "umbra.h"

/* A vCPU that has written to a table and has yet to tell of it comes round within one of these. */
#define TRIES		16
#define PAUSE_MS	2

/* For a thread of the kernel's, as the guest's memory is behind addresses of the VMM's. */
struct request {
	struct work_struct work;
	struct umbra_vm *vm;
	struct shadow_audit found;
	union shadow_role role;
	u64 gfn;
	bool shadow, gone;
};

static void audit_once(struct request *q)
{
	struct umbra_vm *vm = q->vm;
	int idx;

	idx = srcu_read_lock(&vm->srcu);
	write_lock(&vm->mmu_lock);
	q->shadow = umbra_shadow_audit(vm, &q->found);
	if (q->shadow && q->found.sp) {
		q->gfn = q->found.sp->gfn;
		q->role = q->found.sp->role;
	}
	write_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
}

static void audit_work(struct work_struct *work)
{
	struct request *q = container_of(work, struct request, work);

	if (!mmget_not_zero(q->vm->mm)) {
		q->gone = true;
		return;
	}
	kthread_use_mm(q->vm->mm);
	audit_once(q);
	kthread_unuse_mm(q->vm->mm);
	mmput(q->vm->mm);
}

static void audit(struct request *q)
{
	INIT_WORK_ONSTACK(&q->work, audit_work);
	schedule_work(&q->work);
	flush_work(&q->work);
	destroy_work_on_stack(&q->work);
}

int umbra_mmu_audit(struct seq_file *m, struct umbra_vm *vm)
{
	struct request q = { .vm = vm };
	unsigned int tries;

	for (tries = 0; tries < TRIES; tries++) {
		audit(&q);
		if (q.gone || !q.shadow || !q.found.broken)
			break;
		if (msleep_interruptible(PAUSE_MS))
			return -EINTR;
	}
	if (q.gone || !q.shadow) {
		seq_puts(m, "none\n");
	} else if (!q.found.broken) {
		seq_printf(m, "ok tables %lu frames %lu direct %lu entries %lu leaves %lu\n",
			   q.found.tables, q.found.frames, q.found.direct, q.found.entries,
			   q.found.leaves);
	} else {
		seq_printf(m, "broken: %s", q.found.broken);
		if (q.found.sp)
			seq_printf(m, "; frame 0x%llx, role 0x%x, entry %u", q.gfn, q.role.word,
				   q.found.index);
		seq_putc(m, '\n');
	}
	return 0;
}
