// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults.
 *
 * A work fetches one page: it belongs to the vCPU, which has it in a list, and to the
 * thread that fetches, and goes when both have given it up. That thread may sleep for as
 * long as a userfaultfd's owner likes, and no signal reaches it. So nobody waits for it: a
 * vCPU that ends, or whose guest wants to know no more, cuts the work's way back to itself.
 * What such a thread holds is the process's memory and the module.
 */
#include <linux/atomic.h>
#include <linux/kvm_para.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/refcount.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/stddef.h>
#include <linux/workqueue.h>
#include <asm/kvm_para.h>

#include "apf.h"
#include "backend.h"
#include "compat.h"
#include "irqchip.h"
#include "lapic.h"
#include "stats.h"
#include "trace.h"
#include "umbra.h"

/* Works of one vCPU, as on KVM; and threads of the module's: who finds no room sleeps. */
#define VCPU_WORKS	64
#define ALL_FETCHES	256

/* What a guest must have set to be told anything at all. */
#define EN_BITS		(KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)
#define EN_VALID	(EN_BITS | KVM_ASYNC_PF_SEND_ALWAYS | ~GENMASK_ULL(5, 0))
#define AREA(field)	offsetof(struct kvm_vcpu_pv_apf_data, field)
#define TOKEN_ID_SHIFT	12
#define TOKEN_ALL	(~0u)
/* Those below are exceptions': no LAPIC takes them. */
#define FIRST_VECTOR	16
#define NO_GFN		(~0ULL)

enum fetch_state { FETCHING, FETCHED, FAILED };

/**
 * struct umbra_apf_work - a page on its way
 * @work: the thread's
 * @ref: the vCPU's list and the thread
 * @link: in &umbra_apf.works (o)
 * @lock: @vcpu
 * @vcpu: who wants to know; NULL: nobody any more
 * @mm: whose memory; not its users' count but the structure's is held
 * @hva: the page
 * @gpa: the page as the guest knows it, at the address that faulted
 * @token: what it is called where the guest is told of it
 * @write: it is to be written
 * @told: the guest knows that it is not there (o)
 * @state: enum fetch_state; the thread sets it once
 */
struct umbra_apf_work {
	struct work_struct work;
	refcount_t ref;
	struct list_head link;
	spinlock_t lock;
	struct umbra_vcpu *vcpu;
	struct mm_struct *mm;
	unsigned long hva;
	gpa_t gpa;
	u32 token;
	bool write;
	bool told;
	u8 state;
};

static struct workqueue_struct *queue;
static atomic_t fetches;

int umbra_apf_setup(void)
{
	BUILD_BUG_ON(UMBRA_MAX_VCPU_ID > BIT(TOKEN_ID_SHIFT));
	/* As many as may be asked for: one that sleeps for ever keeps no other from its turn. */
	queue = alloc_workqueue("umbra_apf", WQ_UNBOUND, ALL_FETCHES);
	return queue ? 0 : -ENOMEM;
}

void umbra_apf_exit(void)
{
	destroy_workqueue(queue);
}

void umbra_apf_init(struct umbra_vcpu *vcpu)
{
	INIT_LIST_HEAD(&vcpu->apf.works);
	vcpu->apf.refused = NO_GFN;
}

/* --- the thread that fetches -------------------------------------------- */

static void put_work(struct umbra_apf_work *work)
{
	if (!refcount_dec_and_test(&work->ref))
		return;
	mmdrop(work->mm);
	kfree(work);
}

static bool fetch_page(const struct umbra_apf_work *work)
{
	bool done;

	/* Who exits needs no page. */
	if (!READ_ONCE(work->vcpu) || !mmget_not_zero(work->mm))
		return false;
	done = umbra_fault_in_remote(work->mm, work->hva, work->write);
	mmput(work->mm);
	return done;
}

static void fetch(struct work_struct *w)
{
	struct umbra_apf_work *work = container_of(w, struct umbra_apf_work, work);
	bool done = fetch_page(work);

	spin_lock(&work->lock);
	WRITE_ONCE(work->state, done ? FETCHED : FAILED);
	if (work->vcpu) {
		umbra_request(work->vcpu, UMBRA_REQ_APF_READY);
		umbra_vcpu_kick(work->vcpu);
	}
	spin_unlock(&work->lock);
	put_work(work);
	atomic_dec(&fetches);
	/* What follows is of the module too: umbra_apf_exit() waits for its end. */
	module_put(THIS_MODULE);
}

/* --- a vCPU's works ------------------------------------------------------ */

static void forget(struct umbra_vcpu *vcpu, struct umbra_apf_work *work)
{
	struct umbra_apf *apf = &vcpu->apf;

	spin_lock(&work->lock);
	WRITE_ONCE(work->vcpu, NULL);
	spin_unlock(&work->lock);
	if (apf->awaited == work)
		apf->awaited = NULL;
	list_del(&work->link);
	apf->nr--;
	put_work(work);
}

void umbra_apf_cancel(struct umbra_vcpu *vcpu)
{
	struct umbra_apf *apf = &vcpu->apf;
	struct umbra_apf_work *work, *next;

	list_for_each_entry_safe(work, next, &apf->works, link)
		forget(vcpu, work);
	apf->wake_all = false;
	apf->refused = NO_GFN;
}

static struct umbra_apf_work *find_work(struct umbra_vcpu *vcpu, gfn_t gfn)
{
	struct umbra_apf_work *work;

	list_for_each_entry(work, &vcpu->apf.works, link) {
		if (gpa_to_gfn(work->gpa) == gfn)
			return work;
	}
	return NULL;
}

/* Another one for each of a guest's works, whichever vCPU's; neither 0 nor TOKEN_ALL. */
static u32 next_token(struct umbra_vcpu *vcpu)
{
	u32 ids = BIT(32 - TOKEN_ID_SHIFT) - 1;

	vcpu->apf.last_id = vcpu->apf.last_id % ids + 1;
	return vcpu->apf.last_id << TOKEN_ID_SHIFT | vcpu->id;
}

static struct umbra_apf_work *start_fetch(struct umbra_vcpu *vcpu, const struct umbra_slot *slot,
					  gfn_t gfn, bool write)
{
	struct umbra_apf *apf = &vcpu->apf;
	struct umbra_apf_work *work;

	if (apf->nr >= VCPU_WORKS || !atomic_add_unless(&fetches, 1, ALL_FETCHES))
		return NULL;
	work = kzalloc(sizeof(*work), GFP_KERNEL_ACCOUNT);
	if (!work) {
		atomic_dec(&fetches);
		return NULL;
	}
	INIT_WORK(&work->work, fetch);
	refcount_set(&work->ref, 2);
	spin_lock_init(&work->lock);
	work->vcpu = vcpu;
	work->mm = vcpu->vm->mm;
	mmgrab(work->mm);
	work->hva = umbra_slot_hva(slot, gfn);
	work->gpa = vcpu->exit.fault.gpa;
	work->token = next_token(vcpu);
	work->write = write;
	list_add_tail(&work->link, &apf->works);
	apf->nr++;
	/* The VM has one already. */
	__module_get(THIS_MODULE);
	queue_work(queue, &work->work);
	umbra_count(vcpu, async_faults);
	return work;
}

/* --- what the guest is told ---------------------------------------------- */

static gpa_t area(const struct umbra_vcpu *vcpu)
{
	return vcpu->msrs.apf_en & ~GENMASK_ULL(5, 0);
}

static bool enabled(const struct umbra_vcpu *vcpu)
{
	return (vcpu->msrs.apf_en & EN_BITS) == EN_BITS && vcpu->msrs.apf_int >= FIRST_VECTOR;
}

/*
 * Interrupts reach the guest: else it could do nothing but wait for the page, and would
 * do so deaf to them. And no event is on its way, which a #PF would displace.
 */
static bool may_leave(struct umbra_vcpu *vcpu)
{
	const struct umbra_events *ev = &vcpu->events;

	return vcpu->lapic && !(ev->exc.pending | ev->exc.injected | ev->irq.injected |
				ev->nmi_injected) && umbra_backend->interrupt_allowed(vcpu);
}

static bool tell_missing(struct umbra_vcpu *vcpu, u32 token)
{
	const u32 flags = KVM_PV_REASON_PAGE_NOT_PRESENT;

	if (!enabled(vcpu) ||
	    (!(vcpu->msrs.apf_en & KVM_ASYNC_PF_SEND_ALWAYS) && !umbra_hot(get_cpl)(vcpu)))
		return false;
	if (umbra_guest_write(vcpu->vm, area(vcpu) + AREA(flags), &flags, sizeof(flags)))
		return false;
	umbra_queue_page_fault(vcpu, token, 0);
	return true;
}

/* false: not now: no LAPIC would take the interrupt, or the guest has the last token yet. */
static bool tell_ready(struct umbra_vcpu *vcpu, u32 token)
{
	const struct umbra_irq_msg msg = { .mode = UMBRA_DM_FIXED, .vector = vcpu->msrs.apf_int };
	gpa_t gpa = area(vcpu) + AREA(token);
	u32 last;

	if (!enabled(vcpu) || !lapic_hardware_enabled(vcpu->lapic) ||
	    !lapic_software_enabled(vcpu->lapic))
		return false;
	if (umbra_guest_read(vcpu->vm, gpa, &last, sizeof(last)) || last ||
	    umbra_guest_write(vcpu->vm, gpa, &token, sizeof(token)))
		return false;
	umbra_lapic_send(vcpu, &msg, vcpu);
	return true;
}

bool umbra_apf_start(struct umbra_vcpu *vcpu, const struct umbra_slot *slot, gfn_t gfn, bool write)
{
	struct umbra_apf *apf = &vcpu->apf;
	struct umbra_apf_work *work;

	if (!may_leave(vcpu) || gfn == apf->refused)
		return false;
	umbra_trace(kvm_try_async_get_page, vcpu->exit.fault.gpa, gfn);
	work = find_work(vcpu, gfn);
	if (!work) {
		work = start_fetch(vcpu, slot, gfn, write);
		if (!work)
			return false;
		umbra_trace(kvm_async_pf_not_present, work->token, work->gpa);
		work->told = tell_missing(vcpu, work->token);
		if (work->told)
			return true;
	} else if (READ_ONCE(work->state) != FETCHING) {
		return false;		/* it came, and went again */
	}
	apf->awaited = work;
	umbra_request(vcpu, UMBRA_REQ_APF_WAIT);
	return true;
}

void umbra_apf_ready(struct umbra_vcpu *vcpu)
{
	struct umbra_apf *apf = &vcpu->apf;
	struct umbra_apf_work *work, *next;

	if (apf->wake_all && tell_ready(vcpu, TOKEN_ALL)) {
		apf->wake_all = false;
		umbra_trace(kvm_async_pf_ready, TOKEN_ALL, 0);
	}
	list_for_each_entry_safe(work, next, &apf->works, link) {
		u8 state = READ_ONCE(work->state);

		if (state == FETCHING || (work->told && !tell_ready(vcpu, work->token)))
			continue;
		if (state == FAILED)
			apf->refused = gpa_to_gfn(work->gpa);
		umbra_trace(kvm_async_pf_ready, work->token, work->gpa);
		forget(vcpu, work);
	}
}

bool umbra_apf_waits(const struct umbra_vcpu *vcpu)
{
	return vcpu->apf.awaited && READ_ONCE(vcpu->apf.awaited->state) == FETCHING;
}

void umbra_apf_recheck(struct umbra_vcpu *vcpu)
{
	if (vcpu->apf.nr || vcpu->apf.wake_all)
		umbra_request(vcpu, UMBRA_REQ_APF_READY);
}

/* --- MSRs ---------------------------------------------------------------- */

int umbra_apf_set_en(struct umbra_vcpu *vcpu, u64 value)
{
	if (!vcpu->lapic)
		return !!value;
	if ((value & ~EN_VALID) || ((value & KVM_ASYNC_PF_DELIVERY_AS_INT) &&
				    !umbra_cpuid_has_pv(&vcpu->cpuid, KVM_FEATURE_ASYNC_PF_INT)))
		return 1;
	if ((value & EN_BITS) == EN_BITS &&
	    !umbra_gfn_to_hva(vcpu->vm, gpa_to_gfn(value), NULL))
		return 1;
	vcpu->msrs.apf_en = value;
	/* What it waits for may be known to its life before a save only: it looks again at all. */
	umbra_apf_cancel(vcpu);
	vcpu->apf.wake_all = (value & EN_BITS) == EN_BITS;
	umbra_apf_recheck(vcpu);
	return 0;
}

int umbra_apf_set_int(struct umbra_vcpu *vcpu, u64 value)
{
	if (value & ~0xffULL || (value && !vcpu->lapic))
		return 1;
	vcpu->msrs.apf_int = value;
	umbra_apf_recheck(vcpu);
	return 0;
}

int umbra_apf_set_ack(struct umbra_vcpu *vcpu, u64 value)
{
	if (value & ~1ULL)
		return 1;
	if (value)
		umbra_apf_recheck(vcpu);
	return 0;
}
