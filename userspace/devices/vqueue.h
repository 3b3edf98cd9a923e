/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device's side of a split virtqueue (Virtual I/O Device 1.2, "Split Virtqueues").
 * The guest writes all of it at any time: each field is read once into the
 * runner's own memory and checked there.
 */
#ifndef UMBRA_VQUEUE_H
#define UMBRA_VQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../boot/e820.h"

#define VQUEUE_SIZE	128	/* the largest queue, and so the longest chain */

/**
 * struct vqueue - one queue
 * @size, @desc, @avail, @used: as the driver set them: addresses in the guest
 * @indirect: the driver may use tables of descriptors, by VIRTIO_RING_F_INDIRECT_DESC
 * @ready: the areas were checked, and stand at the three pointers
 */
struct vqueue {
	const struct guest_ram *ram;
	uint32_t size;
	uint64_t desc, avail, used;
	bool indirect;
	bool ready;
	const uint8_t *desc_at;
	struct vring_avail *avail_at;
	struct vring_used *used_at;
	uint16_t next_avail, next_used;
};

/**
 * struct vchain - one request: @out buffers for the device to read, then @in buffers
 * for it to write, all in the guest's memory, however the guest changes its ring
 */
struct vchain {
	uint16_t head;
	unsigned int out, in;
	uint32_t out_len, in_len;
	struct iovec iov[VQUEUE_SIZE];
};

/** vqueue_enable() - check size and areas. Return: whether the queue is ready now. */
bool vqueue_enable(struct vqueue *q);

/**
 * vqueue_next() - take the next request from a ready queue
 *
 * Return: 1 with @c filled, 0 when there is none, -EINVAL when the ring is not one
 * that a driver may write: the device needs a reset then.
 */
int vqueue_next(struct vqueue *q, struct vchain *c);

/** vqueue_put() - give a request back. @written: bytes that the device wrote to it */
void vqueue_put(struct vqueue *q, uint16_t head, uint32_t written);

/** vqueue_wants_irq() - whether the driver wants to be told of what was put. */
bool vqueue_wants_irq(const struct vqueue *q);

/** vqueue_quiet() - ask the driver not to notify, or to do so again; then look once more. */
void vqueue_quiet(struct vqueue *q, bool quiet);

#endif
