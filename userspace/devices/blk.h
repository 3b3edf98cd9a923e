/* SPDX-License-Identifier: GPL-2.0-only */
/* A virtio block device (Virtual I/O Device 1.2, "Block Device"), whatever holds its data. */
#ifndef UMBRA_BLK_H
#define UMBRA_BLK_H

#include <linux/virtio_blk.h>

#include "virtio.h"

#define BLK_SECTOR	512

/**
 * struct blk_host - where the data is
 * @read: fill @n buffers from byte @at on; @write: likewise; @flush: all that was
 *	written lasts from now on
 *
 * Each returns 0 or a negative errno, and runs on the device's thread.
 */
struct blk_host {
	void *ctx;
	int (*read)(void *ctx, struct iovec *iov, unsigned int n, uint64_t at);
	int (*write)(void *ctx, struct iovec *iov, unsigned int n, uint64_t at);
	int (*flush)(void *ctx);
};

/** struct blk_stats - requests by what they were, and how many of them failed */
struct blk_stats {
	uint64_t reads, writes, flushes, errors;
};

/** struct blk - a disk. @stats: of the device's thread */
struct blk {
	struct virtio virtio;
	const struct blk_host *host;
	uint64_t sectors;
	bool readonly;
	char id[VIRTIO_BLK_ID_BYTES];
	struct virtio_blk_config config;
	struct blk_stats stats;
};

/**
 * blk_init() - a disk of @sectors sectors
 * @id: what the guest reads as its serial number; cut to 20 bytes
 */
void blk_init(struct blk *b, const struct blk_host *host, const struct virtio_host *machine,
	      const struct guest_ram *ram, uint64_t sectors, bool readonly, const char *id);

#endif
