// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "virtio.h"

#define MAGIC		0x74726976u	/* "virt" */
#define VERSION		2u
#define VENDOR		0x52424d55u	/* "UMBR" */
#define NO_SHM		UINT32_MAX	/* the length of a region that is not there */

#define FEATURE(bit)	(1ull << (bit))

static bool running(const struct virtio *v)
{
	return (v->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET) && v->queue.ready;
}

static void interrupt(struct virtio *v, uint32_t why)
{
	atomic_fetch_or(&v->isr, why);
	v->host->irq(v->host->ctx);
}

static void needs_reset(struct virtio *v)
{
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(v, VIRTIO_MMIO_INT_CONFIG);
}

static void reset(struct virtio *v)
{
	v->status = 0;
	v->offered_sel = 0;
	v->accepted_sel = 0;
	v->queue_sel = 0;
	v->accepted = 0;
	v->queue = (struct vqueue){ .ram = v->queue.ram };
	atomic_store(&v->isr, 0);
}

static void write_status(struct virtio *v, uint32_t value)
{
	uint32_t set = value & ~v->status;

	if (!value) {
		reset(v);
		return;
	}
	/* Without VERSION_1 it would be a legacy driver's ring. */
	if ((set & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ((v->accepted & ~v->offered) || !(v->accepted & FEATURE(VIRTIO_F_VERSION_1))))
		set &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	/* Bits stay until a reset, and this one is the device's alone to set. */
	v->status |= set & 0xff & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (set & VIRTIO_CONFIG_S_DRIVER_OK)
		v->host->kick(v->host->ctx);
}

static void write_ready(struct virtio *v, uint32_t value)
{
	v->queue.indirect = v->accepted & FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	if (!(value & 1))
		v->queue.ready = false;
	else if (!v->queue.ready && !vqueue_enable(&v->queue))
		needs_reset(v);
}

static void set_half(uint64_t *reg, unsigned int half, uint32_t value)
{
	*reg = half ? (*reg & UINT32_MAX) | (uint64_t)value << 32 : (*reg & ~0xffffffffull) | value;
}

/* What only the queue that is there has, and only while it is not in use. */
static void write_queue(struct virtio *v, uint16_t off, uint32_t value)
{
	struct vqueue *q = &v->queue;

	if (v->queue_sel || (q->ready && off != VIRTIO_MMIO_QUEUE_READY))
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		write_ready(v, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&q->desc, off == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&q->avail, off == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&q->used, off == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		break;
	}
}

static void write_locked(struct virtio *v, uint16_t off, uint32_t value)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		v->offered_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		/* Once FEATURES_OK is set they stand. */
		if (v->accepted_sel < 2 && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&v->accepted, v->accepted_sel, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		v->accepted_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		v->queue_sel = value;
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(v, value);
		break;
	default:
		write_queue(v, off, value);
	}
}

static void virtio_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	struct virtio *v = dev;

	/* The configuration space has nothing to write; registers are 32 bits wide. */
	if (off >= VIRTIO_MMIO_CONFIG || size != 4 || off % 4)
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (!value)
			v->host->kick(v->host->ctx);
		return;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&v->isr, ~value);
		return;
	}
	pthread_mutex_lock(&v->lock);
	write_locked(v, off, value);
	pthread_mutex_unlock(&v->lock);
}

static uint32_t read_config(const struct virtio *v, uint16_t off, unsigned int size)
{
	uint32_t value = 0;

	if (off + size <= v->config_len)
		memcpy(&value, (const uint8_t *)v->config + off, size);
	return value;
}

static uint32_t read_locked(const struct virtio *v, uint16_t off)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return v->offered_sel < 2 ? (uint32_t)(v->offered >> 32 * v->offered_sel) : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return v->queue_sel ? 0 : VQUEUE_SIZE;
	case VIRTIO_MMIO_QUEUE_READY:
		return !v->queue_sel && v->queue.ready;
	case VIRTIO_MMIO_STATUS:
		return v->status;
	default:
		return 0;
	}
}

static uint32_t virtio_read(void *dev, uint16_t off, unsigned int size)
{
	struct virtio *v = dev;
	uint32_t value;

	if (off >= VIRTIO_MMIO_CONFIG)
		return read_config(v, off - VIRTIO_MMIO_CONFIG, size);
	if (size != 4 || off % 4)
		return 0;
	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return v->model->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return atomic_load(&v->isr);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
		return NO_SHM;
	}
	pthread_mutex_lock(&v->lock);
	value = read_locked(v, off);
	pthread_mutex_unlock(&v->lock);
	return value;
}

const struct bus_ops virtio_bus_ops = {
	.name = "virtio",
	.max_size = 4,
	.read = virtio_read,
	.write = virtio_write,
};

/* Do one request. Return: whether to look for another. Under lock. */
static bool serve_one(struct virtio *v)
{
	struct vchain *c = &v->chain;
	int64_t written;
	int ret;

	if (!running(v))
		return false;
	ret = vqueue_next(&v->queue, c);
	if (!ret) {
		/* The driver may have added one while it was asked to be quiet. */
		vqueue_quiet(&v->queue, false);
		ret = vqueue_next(&v->queue, c);
		if (!ret)
			return false;
	}
	if (ret < 0) {
		needs_reset(v);
		return false;
	}
	vqueue_quiet(&v->queue, true);
	written = v->model->serve(v->dev, c, v->accepted);
	if (written < 0) {
		needs_reset(v);
		return false;
	}
	vqueue_put(&v->queue, c->head, (uint32_t)written);
	if (vqueue_wants_irq(&v->queue))
		interrupt(v, VIRTIO_MMIO_INT_VRING);
	return true;
}

void virtio_serve(struct virtio *v)
{
	bool more = true;

	/* The lock is dropped after each one, for a driver that wants to reset. */
	while (more) {
		pthread_mutex_lock(&v->lock);
		more = serve_one(v);
		pthread_mutex_unlock(&v->lock);
	}
}

void virtio_init(struct virtio *v, const struct virtio_model *model, void *dev,
		 const struct virtio_host *host, const struct guest_ram *ram,
		 uint64_t features, const void *config, uint16_t config_len)
{
	memset(v, 0, sizeof(*v));
	v->model = model;
	v->dev = dev;
	v->host = host;
	v->config = config;
	v->config_len = config_len;
	v->offered = features | FEATURE(VIRTIO_F_VERSION_1) |
		     FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	v->queue.ram = ram;
	pthread_mutex_init(&v->lock, NULL);
}

void virtio_destroy(struct virtio *v)
{
	pthread_mutex_destroy(&v->lock);
}
