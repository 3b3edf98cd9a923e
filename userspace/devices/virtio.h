/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio device of one queue behind the memory-mapped transport (Virtual I/O
 * Device 1.2, "Virtio Over MMIO"), without its legacy interface.
 *
 * vCPUs come by the registers, and the device's own thread serves the queue. A
 * reset waits until the request that is being served has ended.
 */
#ifndef UMBRA_VIRTIO_H
#define UMBRA_VIRTIO_H

#include <pthread.h>
#include <stdatomic.h>

#include "bus.h"
#include "vqueue.h"

#define VIRTIO_REGS	0x200	/* bytes, with the configuration space */

/**
 * struct virtio_model - what kind of device it is
 * @id: its number in the standard
 * @serve: do one request; @accepted: the features that the driver took
 *
 * @serve returns how many bytes it wrote to the request, or -EINVAL where the
 * request has no room to say how it went.
 */
struct virtio_model {
	uint32_t id;
	int64_t (*serve)(void *dev, struct vchain *c, uint64_t accepted);
};

/**
 * struct virtio_host - what the device may ask of the machine
 * @kick: have virtio_serve() called by the device's thread; any thread
 * @irq: an edge of the device's interrupt; any thread
 */
struct virtio_host {
	void *ctx;
	void (*kick)(void *ctx);
	void (*irq)(void *ctx);
};

/* [C] constant after virtio_init(), [L] under lock, [A] atomic. */
struct virtio {
	const struct virtio_model *model;	/* C */
	void *dev;				/* C: the model's own */
	const struct virtio_host *host;		/* C */
	const void *config;			/* C */
	uint16_t config_len;			/* C */
	uint64_t offered;			/* C: features */
	pthread_mutex_t lock;
	uint32_t status;			/* L */
	uint32_t offered_sel, accepted_sel, queue_sel;	/* L */
	uint64_t accepted;			/* L */
	struct vqueue queue;			/* L */
	struct vchain chain;			/* L: the request being served */
	_Atomic uint32_t isr;			/* A */
};

/**
 * virtio_init() - a device as after reset
 * @features: of the model; the transport adds its own
 * @config: the configuration space, @config_len bytes that stay as they are
 */
void virtio_init(struct virtio *v, const struct virtio_model *model, void *dev,
		 const struct virtio_host *host, const struct guest_ram *ram,
		 uint64_t features, const void *config, uint16_t config_len);

/** virtio_destroy() - after the last access. */
void virtio_destroy(struct virtio *v);

/** virtio_serve() - do all that waits in the queue; the device's thread. */
void virtio_serve(struct virtio *v);

extern const struct bus_ops virtio_bus_ops;	/* struct virtio */

#endif
