// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ioeventfds: a guest's write signals an eventfd, and the guest goes on at once.
 * Irqfds: an eventfd that is signalled interrupts the guest, right from the wait
 * queue's callback, which is atomic: following a route needs RCU and raw locks only.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "compat.h"
#include "eventfd.h"
#include "irq.h"
#include "trace.h"
#include "umbra.h"

/* --- writes that signal ------------------------------------------------- */

#define PIO_END		0x10000

/* A write that signals @ctx; @ctx NULL: it was removed, its place is free. */
struct ioevent {
	gpa_t addr;
	u64 datamatch;
	struct eventfd_ctx *ctx;
	u8 len;			/* 0: any */
	bool any_value;
};

/* Those of one bus, sorted by address; replaced whole to add one. */
struct umbra_ioevents {
	u32 nr;
	struct ioevent events[];
};

static struct umbra_ioevents *events_locked(struct umbra_vm *vm, enum umbra_bus bus)
{
	return rcu_dereference_protected(vm->ioevents[bus], lockdep_is_held(&vm->slots_lock));
}

/* The first event at @addr or above. */
static u32 first_at(const struct umbra_ioevents *t, gpa_t addr)
{
	u32 lo = 0, hi = t->nr;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (t->events[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool umbra_ioevent_write(struct umbra_vm *vm, enum umbra_bus bus, gpa_t addr, unsigned int len,
			 const void *data)
{
	const struct umbra_ioevents *t = srcu_dereference(vm->ioevents[bus], &vm->srcu);
	u64 value = 0;
	u32 i;

	if (!t)
		return false;
	memcpy(&value, data, min_t(unsigned int, len, sizeof(value)));
	for (i = first_at(t, addr); i < t->nr && t->events[i].addr == addr; i++) {
		const struct ioevent *e = &t->events[i];
		struct eventfd_ctx *ctx = READ_ONCE(e->ctx);

		if (ctx && (!e->len || e->len == len) && (e->any_value || e->datamatch == value)) {
			umbra_trace(umbra_ioeventfd, bus == UMBRA_BUS_PIO, addr, len, value);
			umbra_eventfd_signal(ctx);
			return true;
		}
	}
	return false;
}

/* Is there a write that both would take? */
static bool events_clash(const struct ioevent *a, const struct ioevent *b)
{
	if (a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len &&
	       (a->any_value || b->any_value || a->datamatch == b->datamatch);
}

static int add_event(struct umbra_vm *vm, enum umbra_bus bus, const struct ioevent *event)
{
	struct umbra_ioevents *old, *new;
	u32 i, n = 0, live = 0;

	lockdep_assert_held(&vm->slots_lock);
	old = events_locked(vm, bus);
	for (i = 0; old && i < old->nr; i++) {
		if (!old->events[i].ctx)
			continue;
		if (events_clash(&old->events[i], event))
			return -EEXIST;
		live++;
	}
	if (live >= UMBRA_MAX_IOEVENTS)
		return -ENOSPC;
	new = kvmalloc(struct_size(new, events, live + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->nr = live + 1;
	for (i = 0; old && i < old->nr && old->events[i].addr <= event->addr; i++)
		if (old->events[i].ctx)
			new->events[n++] = old->events[i];
	new->events[n++] = *event;
	for (; old && i < old->nr; i++)
		if (old->events[i].ctx)
			new->events[n++] = old->events[i];

	rcu_assign_pointer(vm->ioevents[bus], new);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
	return 0;
}

static bool same_event(const struct ioevent *a, const struct ioevent *b)
{
	return a->addr == b->addr && a->ctx == b->ctx && a->len == b->len &&
	       a->any_value == b->any_value && (a->any_value || a->datamatch == b->datamatch);
}

/* Needs no memory, so that it can't fail for want of it: add_event() drops the empty places. */
static int remove_event(struct umbra_vm *vm, enum umbra_bus bus, const struct ioevent *event)
{
	struct umbra_ioevents *t = events_locked(vm, bus);
	struct ioevent *found = NULL;
	u32 i, left = 0;

	for (i = 0; t && i < t->nr; i++) {
		if (!found && t->events[i].ctx && same_event(&t->events[i], event))
			found = &t->events[i];
		else if (t->events[i].ctx)
			left++;
	}
	if (!found)
		return -ENOENT;
	WRITE_ONCE(found->ctx, NULL);
	if (!left)
		rcu_assign_pointer(vm->ioevents[bus], NULL);
	synchronize_srcu_expedited(&vm->srcu);
	if (!left)
		kvfree(t);
	eventfd_ctx_put(event->ctx);	/* the table's */
	return 0;
}

static int parse_event(const struct kvm_ioeventfd *args, struct ioevent *event)
{
	bool pio = args->flags & KVM_IOEVENTFD_FLAG_PIO;

	if (args->flags & ~(u32)(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
				 KVM_IOEVENTFD_FLAG_DEASSIGN))
		return -EINVAL;
	switch (args->len) {
	case 0:
		/* Of a write of any length there is no value to match. */
		if (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
			return -EINVAL;
		break;
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return -EINVAL;
	}
	if (args->addr + args->len < args->addr ||
	    (pio && (args->addr >= PIO_END || args->addr + args->len > PIO_END)))
		return -EINVAL;
	*event = (struct ioevent){
		.addr = args->addr,
		.datamatch = args->datamatch,
		.len = args->len,
		.any_value = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
	};
	return 0;
}

int umbra_ioeventfd(struct umbra_vm *vm, const struct kvm_ioeventfd *args)
{
	enum umbra_bus bus = args->flags & KVM_IOEVENTFD_FLAG_PIO ? UMBRA_BUS_PIO : UMBRA_BUS_MMIO;
	bool remove = args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct ioevent event;
	int r;

	r = parse_event(args, &event);
	if (r)
		return r;
	event.ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(event.ctx))
		return PTR_ERR(event.ctx);
	mutex_lock(&vm->slots_lock);
	r = remove ? remove_event(vm, bus, &event) : add_event(vm, bus, &event);
	mutex_unlock(&vm->slots_lock);
	/* What was added keeps the reference. */
	if (r || remove)
		eventfd_ctx_put(event.ctx);
	return r;
}

void umbra_ioevents_release(struct umbra_vm *vm)
{
	struct umbra_ioevents *t;
	int bus;
	u32 i;

	for (bus = 0; bus < ARRAY_SIZE(vm->ioevents); bus++) {
		t = rcu_replace_pointer(vm->ioevents[bus], NULL, true);
		for (i = 0; t && i < t->nr; i++)
			if (t->events[i].ctx)
				eventfd_ctx_put(t->events[i].ctx);
		kvfree(t);
	}
}

/* --- eventfds that interrupt -------------------------------------------- */

/**
 * struct resampler - a GSI whose line irqfds hold up until the guest ends the interrupt
 * @node: in vm->resamplers, under RCU
 * @irqfds: those irqfds, under RCU
 * @gsi: the line
 * @live: how many of them can still raise it; who takes the last one away lowers the line
 * @users: how many of them there are, under vm->irq_lock
 */
struct resampler {
	struct list_head node;
	struct list_head irqfds;
	u32 gsi;
	atomic_t live;
	u32 users;
};

/**
 * struct irqfd - an eventfd that interrupts
 * @vm: whose; it lets go of its irqfds before it goes away
 * @node: in vm->irqfds, under vm->irq_lock
 * @wait: in the eventfd's queue
 * @ctx: the eventfd
 * @gsi: what it raises
 * @hung: the eventfd's last descriptor was closed: to be freed by the next call
 * @resampler: NULL: each signal is an edge
 * @resample_ctx: signalled when the guest has ended the interrupt
 * @resample_node: in @resampler->irqfds
 */
struct irqfd {
	struct umbra_vm *vm;
	struct list_head node;
	wait_queue_entry_t wait;
	struct eventfd_ctx *ctx;
	u32 gsi;
	bool hung;
	struct resampler *resampler;
	struct eventfd_ctx *resample_ctx;
	struct list_head resample_node;
};

static void raise(struct irqfd *f)
{
	umbra_trace(umbra_irqfd, f->gsi, f->resampler);
	if (f->resampler)
		umbra_set_irq(f->vm, UMBRA_SOURCE_RESAMPLE, f->gsi, 1);
	else
		umbra_pulse_irq(f->vm, UMBRA_SOURCE_IRQFD, f->gsi);
}

static void leave_line(struct irqfd *f)
{
	if (f->resampler && atomic_dec_and_test(&f->resampler->live))
		umbra_set_irq(f->vm, UMBRA_SOURCE_RESAMPLE, f->gsi, 0);
}

/*
 * The eventfd's queue is locked, interrupts are off. Nobody frees the irqfd
 * meanwhile: that waits for the queue's lock.
 */
static int woken(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *f = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;

	if (events & EPOLLHUP) {
		list_del_init(&wait->entry);
		WRITE_ONCE(f->hung, true);
		leave_line(f);
		return 0;
	}
	if (!(events & EPOLLIN))
		return 0;
	eventfd_ctx_do_read(f->ctx, &count);
	raise(f);
	return 1;	/* taken: nobody else is to wake up for it */
}

struct listening {
	poll_table pt;
	struct irqfd *f;
	wait_queue_head_t *queue;
};

static void join_queue(struct file *file, wait_queue_head_t *queue, poll_table *pt)
{
	struct listening *l = container_of(pt, struct listening, pt);

	l->queue = queue;
	/* Before those that poll, who would find it signalled and take it. */
	add_wait_queue_priority(queue, &l->f->wait);
}

/* From now on it interrupts, and at once if it was signalled before. */
static void listen(struct irqfd *f, struct file *file)
{
	struct listening l = { .f = f };
	u64 count;

	init_waitqueue_func_entry(&f->wait, woken);
	init_poll_funcptr(&l.pt, join_queue);
	if (!(vfs_poll(file, &l.pt) & EPOLLIN))
		return;
	/* In the queue's lock, as woken(): two raises must not make one edge. */
	spin_lock_irq(&l.queue->lock);
	eventfd_ctx_do_read(f->ctx, &count);
	raise(f);
	spin_unlock_irq(&l.queue->lock);
}

/*
 * Free all that are on @doomed, which are in vm->irqfds no more. Nobody is inside one
 * afterwards; the lines that they alone held up are down.
 */
static void free_irqfds(struct umbra_vm *vm, struct list_head *doomed)
{
	struct irqfd *f, *next;
	bool wait = false;
	u64 count;

	list_for_each_entry(f, doomed, node) {
		/* Waits for a callback that runs; then it is out of the queue, hung or not. */
		eventfd_ctx_remove_wait_queue(f->ctx, &f->wait, &count);
		if (!f->hung)
			leave_line(f);
		if (!f->resampler)
			continue;
		list_del_rcu(&f->resample_node);
		if (list_empty(&f->resampler->irqfds))
			list_del_rcu(&f->resampler->node);
		wait = true;
	}
	if (wait)
		synchronize_rcu();
	list_for_each_entry_safe(f, next, doomed, node) {
		if (f->resampler && !--f->resampler->users)
			kfree(f->resampler);
		if (f->resample_ctx)
			eventfd_ctx_put(f->resample_ctx);
		eventfd_ctx_put(f->ctx);
		kfree(f);
	}
}

/* Free those whose eventfd was closed: whoever closes one does not tell us in a context that could. */
static void free_hung(struct umbra_vm *vm)
{
	struct irqfd *f, *next;
	LIST_HEAD(doomed);

	list_for_each_entry_safe(f, next, &vm->irqfds, node) {
		if (READ_ONCE(f->hung))
			list_move(&f->node, &doomed);
	}
	free_irqfds(vm, &doomed);
}

/* 0; -ENOMEM; -EAGAIN: all that held the line hang up just now, free_hung() finds them */
static int join_resampler(struct irqfd *f)
{
	struct umbra_vm *vm = f->vm;
	struct resampler *r;

	list_for_each_entry(r, &vm->resamplers, node) {
		if (r->gsi != f->gsi)
			continue;
		if (!atomic_inc_not_zero(&r->live))
			return -EAGAIN;
		goto join;
	}
	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	INIT_LIST_HEAD(&r->irqfds);
	r->gsi = f->gsi;
	atomic_set(&r->live, 1);
	list_add_rcu(&r->node, &vm->resamplers);
join:
	r->users++;
	f->resampler = r;
	list_add_rcu(&f->resample_node, &r->irqfds);
	return 0;
}

static bool in_use(struct umbra_vm *vm, const struct eventfd_ctx *ctx)
{
	struct irqfd *f;

	list_for_each_entry(f, &vm->irqfds, node)
		if (f->ctx == ctx)
			return true;
	return false;
}

static int add_irqfd(struct irqfd *f, struct file *file)
{
	struct umbra_vm *vm = f->vm;
	int r;

	mutex_lock(&vm->irq_lock);
	do {
		free_hung(vm);
		if (in_use(vm, f->ctx))
			r = -EBUSY;
		else
			r = f->resample_ctx ? join_resampler(f) : 0;
	} while (r == -EAGAIN);
	if (!r) {
		list_add(&f->node, &vm->irqfds);
		if (f->resampler)
			umbra_lapic_ends_wanted(vm);
		listen(f, file);
	}
	mutex_unlock(&vm->irq_lock);
	return r;
}

static int assign(struct umbra_vm *vm, const struct kvm_irqfd *args)
{
	struct file *file;
	struct irqfd *f;
	int r;

	file = eventfd_fget(args->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	r = -ENOMEM;
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		goto out;
	f->vm = vm;
	f->gsi = args->gsi;
	f->ctx = eventfd_ctx_fileget(file);
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		f->resample_ctx = eventfd_ctx_fdget(args->resamplefd);
		if (IS_ERR(f->resample_ctx)) {
			r = PTR_ERR(f->resample_ctx);
			f->resample_ctx = NULL;
			goto err_free;
		}
	}
	r = add_irqfd(f, file);
	if (!r)
		goto out;
err_free:
	if (f->resample_ctx)
		eventfd_ctx_put(f->resample_ctx);
	eventfd_ctx_put(f->ctx);
	kfree(f);
out:
	fput(file);
	return r;
}

/* As KVM's: where there is none to remove, that is no error. */
static int deassign(struct umbra_vm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);
	struct irqfd *f, *next;
	LIST_HEAD(doomed);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	mutex_lock(&vm->irq_lock);
	list_for_each_entry_safe(f, next, &vm->irqfds, node) {
		if (READ_ONCE(f->hung) || (f->ctx == ctx && f->gsi == args->gsi))
			list_move(&f->node, &doomed);
	}
	free_irqfds(vm, &doomed);
	mutex_unlock(&vm->irq_lock);
	eventfd_ctx_put(ctx);
	return 0;
}

int umbra_irqfd(struct umbra_vm *vm, const struct kvm_irqfd *args)
{
	if ((args->flags & ~(u32)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)) ||
	    args->gsi >= UMBRA_NR_GSIS || !umbra_irqchip_in_kernel(vm))
		return -EINVAL;
	/* The end of an interrupt at userspace's own chips is not ours to see. */
	if ((args->flags & KVM_IRQFD_FLAG_RESAMPLE) && !umbra_pic_in_kernel(vm))
		return -EINVAL;
	return args->flags & KVM_IRQFD_FLAG_DEASSIGN ? deassign(vm, args) : assign(vm, args);
}

void umbra_resample_pin(struct umbra_vm *vm, bool ioapic, unsigned int pin)
{
	struct resampler *r;
	struct irqfd *f;

	rcu_read_lock();
	list_for_each_entry_rcu(r, &vm->resamplers, node) {
		if (!umbra_gsi_has_pin(vm, r->gsi, ioapic, pin))
			continue;
		umbra_set_irq(vm, UMBRA_SOURCE_RESAMPLE, r->gsi, 0);
		list_for_each_entry_rcu(f, &r->irqfds, resample_node)
			umbra_eventfd_signal(f->resample_ctx);
	}
	rcu_read_unlock();
}

/* --- the VM ------------------------------------------------------------- */

void umbra_eventfd_vm_init(struct umbra_vm *vm)
{
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->resamplers);
}

void umbra_irqfds_release(struct umbra_vm *vm)
{
	LIST_HEAD(doomed);

	list_splice_init(&vm->irqfds, &doomed);
	free_irqfds(vm, &doomed);
}
