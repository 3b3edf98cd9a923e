// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "blk.h"

#define FEATURE(bit)	(1ull << (bit))

/* Take @len bytes off the front of @n buffers; what is left begins at the returned index. */
static unsigned int skip(struct iovec *iov, unsigned int n, size_t len)
{
	unsigned int i;

	for (i = 0; i < n && len >= iov[i].iov_len; i++)
		len -= iov[i].iov_len;
	if (i < n) {
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + len;
		iov[i].iov_len -= len;
	}
	return i;
}

/* Copy @len bytes between @n buffers, which hold as many, and @buf. */
static void copy(struct iovec *iov, unsigned int n, void *buf, size_t len, bool to_guest)
{
	unsigned int i;

	for (i = 0; i < n && len; i++) {
		size_t part = iov[i].iov_len < len ? iov[i].iov_len : len;

		if (to_guest)
			memcpy(iov[i].iov_base, buf, part);
		else
			memcpy(buf, iov[i].iov_base, part);
		buf = (uint8_t *)buf + part;
		len -= part;
	}
}

/* Drop the last byte of @n buffers, which have one. Return: where it is. */
static uint8_t *last_byte(struct iovec *iov, unsigned int *n)
{
	struct iovec *last;

	while (!iov[*n - 1].iov_len)
		--*n;
	last = &iov[*n - 1];
	return (uint8_t *)last->iov_base + --last->iov_len;
}

/* Whether @len bytes from @sector on are whole sectors of the disk. */
static bool in_range(const struct blk *b, uint64_t sector, uint32_t len)
{
	return !(len % BLK_SECTOR) && sector <= b->sectors &&
	       len / BLK_SECTOR <= b->sectors - sector;
}

static int transfer(struct blk *b, bool write, uint64_t sector, struct iovec *iov,
		    unsigned int n, uint32_t len, bool cached)
{
	int ret;

	if (!in_range(b, sector, len) || (write && b->readonly))
		return VIRTIO_BLK_S_IOERR;
	if (!write)
		return b->host->read(b->host->ctx, iov, n, sector * BLK_SECTOR) ?
		       VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
	ret = b->host->write(b->host->ctx, iov, n, sector * BLK_SECTOR);
	/* A driver that cannot flush takes what is written as safe. */
	if (!ret && !cached)
		ret = b->host->flush(b->host->ctx);
	return ret ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static int get_id(struct blk *b, struct iovec *iov, unsigned int n, uint32_t len)
{
	if (len < sizeof(b->id))
		return VIRTIO_BLK_S_IOERR;
	copy(iov, n, b->id, sizeof(b->id), true);
	return VIRTIO_BLK_S_OK;
}

/* @in_len: bytes for the device to write but the status. Return: the status. */
static int serve_header(struct blk *b, const struct virtio_blk_outhdr *h, struct vchain *c,
			unsigned int in, uint32_t in_len, bool cached)
{
	unsigned int first;

	switch (h->type) {
	case VIRTIO_BLK_T_IN:
		b->stats.reads++;
		return transfer(b, false, h->sector, c->iov + c->out, in, in_len, cached);
	case VIRTIO_BLK_T_OUT:
		b->stats.writes++;
		first = skip(c->iov, c->out, sizeof(*h));
		return transfer(b, true, h->sector, c->iov + first, c->out - first,
				c->out_len - sizeof(*h), cached);
	case VIRTIO_BLK_T_FLUSH:
		b->stats.flushes++;
		return b->host->flush(b->host->ctx) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		return get_id(b, c->iov + c->out, in, in_len);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static int64_t serve(void *dev, struct vchain *c, uint64_t accepted)
{
	struct virtio_blk_outhdr h = { 0 };
	struct blk *b = dev;
	unsigned int in = c->in;
	uint8_t *status;
	int result = VIRTIO_BLK_S_IOERR;

	if (!c->in_len)
		return -EINVAL;
	status = last_byte(c->iov + c->out, &in);
	if (c->out_len >= sizeof(h)) {
		copy(c->iov, c->out, &h, sizeof(h), false);
		result = serve_header(b, &h, c, in, c->in_len - 1,
				      accepted & FEATURE(VIRTIO_BLK_F_FLUSH));
	}
	if (result != VIRTIO_BLK_S_OK)
		b->stats.errors++;
	*status = (uint8_t)result;
	/* What a failed read left in its buffers is not said to be data. */
	if (result == VIRTIO_BLK_S_OK)
		return h.type == VIRTIO_BLK_T_OUT || h.type == VIRTIO_BLK_T_FLUSH ? 1 : c->in_len;
	return c->in_len == 1 ? 1 : 0;
}

static const struct virtio_model blk_model = { .id = VIRTIO_ID_BLOCK, .serve = serve };

void blk_init(struct blk *b, const struct blk_host *host, const struct virtio_host *machine,
	      const struct guest_ram *ram, uint64_t sectors, bool readonly, const char *id)
{
	uint64_t features = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_FLUSH);

	memset(b, 0, sizeof(*b));
	b->host = host;
	b->sectors = sectors;
	b->readonly = readonly;
	memcpy(b->id, id, strnlen(id, sizeof(b->id)));
	b->config.capacity = sectors;
	b->config.seg_max = VQUEUE_SIZE - 2;	/* the header and the status beside them */
	if (readonly)
		features |= FEATURE(VIRTIO_BLK_F_RO);
	virtio_init(&b->virtio, &blk_model, b, machine, ram, features, &b->config,
		    offsetof(struct virtio_blk_config, geometry));
}
