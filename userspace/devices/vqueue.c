// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "vqueue.h"

/* The end of an area without the fields that only VIRTIO_F_EVENT_IDX adds. */
#define AVAIL_BYTES(n)	(offsetof(struct vring_avail, ring) + 2ull * (n))
#define USED_BYTES(n)	(offsetof(struct vring_used, ring) + 8ull * (n))

bool vqueue_enable(struct vqueue *q)
{
	uint32_t n = q->size;

	q->ready = false;
	q->next_avail = 0;
	q->next_used = 0;
	if (!n || n > VQUEUE_SIZE || (n & (n - 1)))
		return false;
	if (q->desc % 16 || q->avail % 2 || q->used % 4)
		return false;
	q->desc_at = ram_at(q->ram, q->desc, 16ull * n);
	q->avail_at = ram_at(q->ram, q->avail, AVAIL_BYTES(n));
	q->used_at = ram_at(q->ram, q->used, USED_BYTES(n));
	q->ready = q->desc_at && q->avail_at && q->used_at;
	return q->ready;
}

/*
 * The guest may change a descriptor while it is read: only the copy counts. A table
 * of a driver's own stands at any address.
 */
static struct vring_desc read_desc(const uint8_t *table, uint32_t i)
{
	struct vring_desc d;

	memcpy(&d, table + i * sizeof(d), sizeof(d));
	__asm__ volatile("" ::: "memory");	/* and not the original once more */
	return d;
}

static int add_buffer(const struct vqueue *q, struct vchain *c, const struct vring_desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;
	uint32_t *sum = in ? &c->in_len : &c->out_len;
	void *at = ram_at(q->ram, d->addr, d->len);

	/* What the device reads stands before what it writes. */
	if (!at || (!in && c->in) || __builtin_add_overflow(*sum, d->len, sum))
		return -EINVAL;
	c->iov[c->out + c->in] = (struct iovec){ .iov_base = at, .iov_len = d->len };
	if (in)
		c->in++;
	else
		c->out++;
	return 0;
}

/*
 * Walk a table of @count descriptors from @at. No chain is longer than the queue, so
 * that a loop ends too. @indirect: it is such a table itself.
 */
static int walk(const struct vqueue *q, struct vchain *c, const uint8_t *table,
		uint32_t count, uint32_t at, bool indirect)
{
	for (;;) {
		struct vring_desc d;

		if (at >= count || c->out + c->in >= q->size)
			return -EINVAL;
		d = read_desc(table, at);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			const uint8_t *inner = ram_at(q->ram, d.addr, d.len);

			if (indirect || !q->indirect || (d.flags & VRING_DESC_F_NEXT) || !inner ||
			    !d.len || d.len % sizeof(d))
				return -EINVAL;
			return walk(q, c, inner, d.len / sizeof(d), 0, true);
		}
		if (add_buffer(q, c, &d))
			return -EINVAL;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		at = d.next;
	}
}

int vqueue_next(struct vqueue *q, struct vchain *c)
{
	uint16_t index = __atomic_load_n(&q->avail_at->idx, __ATOMIC_ACQUIRE);
	uint16_t waiting = (uint16_t)(index - q->next_avail);

	if (!waiting)
		return 0;
	if (waiting > q->size)
		return -EINVAL;
	c->head = __atomic_load_n(&q->avail_at->ring[q->next_avail % q->size], __ATOMIC_RELAXED);
	c->out = 0;
	c->in = 0;
	c->out_len = 0;
	c->in_len = 0;
	if (walk(q, c, q->desc_at, q->size, c->head, false))
		return -EINVAL;
	q->next_avail++;
	return 1;
}

void vqueue_put(struct vqueue *q, uint16_t head, uint32_t written)
{
	struct vring_used_elem *e = &q->used_at->ring[q->next_used % q->size];

	__atomic_store_n(&e->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&e->len, written, __ATOMIC_RELAXED);
	__atomic_store_n(&q->used_at->idx, ++q->next_used, __ATOMIC_RELEASE);
}

bool vqueue_wants_irq(const struct vqueue *q)
{
	/* The driver clears the flag, then looks at the index; we the other way around. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(__atomic_load_n(&q->avail_at->flags, __ATOMIC_RELAXED) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

void vqueue_quiet(struct vqueue *q, bool quiet)
{
	__atomic_store_n(&q->used_at->flags, quiet ? VRING_USED_F_NO_NOTIFY : 0,
			 __ATOMIC_RELAXED);
	/* The driver writes the index, then looks at the flag; we the other way around. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
