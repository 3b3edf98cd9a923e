// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio block device from its registers to its data: a driver as the standard
 * wants it, and guests that write whatever they like into the rings. The guest's
 * memory is a block of its own, so that ASan sees each byte beyond it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "../devices/blk.h"
#include "tap.h"

#define RAM	0x10000u
#define SECTORS	64u
#define QUEUE	16u

/* Where the driver keeps its things. */
enum { DESC = 0x1000, AVAIL = 0x2000, USED = 0x3000, HEADER = 0x4000, DATA = 0x5000,
       STATUS = 0x6000, TABLE = 0x7000 };

#define V1		(1ull << VIRTIO_F_VERSION_1)
#define INDIRECT	(1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define FLUSH		(1ull << VIRTIO_BLK_F_FLUSH)
#define RO		(1ull << VIRTIO_BLK_F_RO)
#define SEG_MAX		(1ull << VIRTIO_BLK_F_SEG_MAX)
#define DRIVER		(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

struct rig {
	struct guest_ram ram;
	struct blk blk;
	struct blk_host host;
	struct virtio_host machine;
	uint8_t disk[SECTORS * BLK_SECTOR];
	int fail;			/* what the host's calls return */
	unsigned int flushes, kicks, irqs;
	uint16_t added;
};

static int host_move(struct rig *r, struct iovec *iov, unsigned int n, uint64_t at, bool write)
{
	unsigned int i;

	for (i = 0; !r->fail && i < n; i++) {
		if (at > sizeof(r->disk) || iov[i].iov_len > sizeof(r->disk) - at)
			abort();
		if (write)
			memmove(r->disk + at, iov[i].iov_base, iov[i].iov_len);
		else
			memmove(iov[i].iov_base, r->disk + at, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return r->fail;
}

static int host_read(void *ctx, struct iovec *iov, unsigned int n, uint64_t at)
{
	return host_move(ctx, iov, n, at, false);
}

static int host_write(void *ctx, struct iovec *iov, unsigned int n, uint64_t at)
{
	return host_move(ctx, iov, n, at, true);
}

static int host_flush(void *ctx)
{
	struct rig *r = ctx;

	r->flushes++;
	return r->fail;
}

static void kick(void *ctx)
{
	((struct rig *)ctx)->kicks++;
}

static void irq(void *ctx)
{
	((struct rig *)ctx)->irqs++;
}

static struct rig *new_rig(bool readonly)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->ram = (struct guest_ram){ .host = calloc(1, RAM), .size = RAM };
	r->host = (struct blk_host){ r, host_read, host_write, host_flush };
	r->machine = (struct virtio_host){ r, kick, irq };
	blk_init(&r->blk, &r->host, &r->machine, &r->ram, SECTORS, readonly,
		 "a-name-of-more-than-20-letters");
	return r;
}

static void free_rig(struct rig *r)
{
	virtio_destroy(&r->blk.virtio);
	free(r->ram.host);
	free(r);
}

static uint32_t rd(struct rig *r, uint16_t off)
{
	return virtio_bus_ops.read(&r->blk.virtio, off, 4);
}

static void wr(struct rig *r, uint16_t off, uint32_t value)
{
	virtio_bus_ops.write(&r->blk.virtio, off, value, 4);
}

static uint64_t offered(struct rig *r)
{
	uint64_t low;

	wr(r, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = rd(r, VIRTIO_MMIO_DEVICE_FEATURES);
	wr(r, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	return low | (uint64_t)rd(r, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
}

/* Return: whether the device takes these features. */
static bool accept(struct rig *r, uint64_t features)
{
	wr(r, VIRTIO_MMIO_STATUS, 0);
	r->added = 0;
	memset(r->ram.host, 0, RAM);
	wr(r, VIRTIO_MMIO_STATUS, DRIVER);
	wr(r, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(r, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	wr(r, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(r, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	wr(r, VIRTIO_MMIO_STATUS, DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
	return rd(r, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static bool set_queue(struct rig *r, uint32_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
	wr(r, VIRTIO_MMIO_QUEUE_SEL, 0);
	wr(r, VIRTIO_MMIO_QUEUE_NUM, size);
	wr(r, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)desc);
	wr(r, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(desc >> 32));
	wr(r, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)avail);
	wr(r, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(avail >> 32));
	wr(r, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
	wr(r, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(used >> 32));
	wr(r, VIRTIO_MMIO_QUEUE_READY, 1);
	return rd(r, VIRTIO_MMIO_QUEUE_READY);
}

/* From nothing to a driver that works. */
static bool begin(struct rig *r, uint64_t features)
{
	bool good = accept(r, features) && set_queue(r, QUEUE, DESC, AVAIL, USED);

	wr(r, VIRTIO_MMIO_STATUS, DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
				  VIRTIO_CONFIG_S_DRIVER_OK);
	r->irqs = 0;
	r->flushes = 0;
	r->fail = 0;
	return good;
}

static struct vring_desc *desc(struct rig *r, unsigned int i)
{
	return (struct vring_desc *)(r->ram.host + DESC) + i;
}

static struct vring_avail *avail(struct rig *r)
{
	return (struct vring_avail *)(r->ram.host + AVAIL);
}

static struct vring_used *used(struct rig *r)
{
	return (struct vring_used *)(r->ram.host + USED);
}

static void submit(struct rig *r, uint16_t head)
{
	avail(r)->ring[r->added++ % QUEUE] = head;
	avail(r)->idx = r->added;
	virtio_serve(&r->blk.virtio);
}

#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE

/* A request of header, @len bytes of data and status, at descriptors 0, 1, 2. */
static void build(struct rig *r, uint32_t type, uint64_t sector, uint32_t len)
{
	struct virtio_blk_outhdr h = { .type = type, .sector = sector };
	uint16_t to_guest = type == VIRTIO_BLK_T_OUT ? 0 : WRITE;

	memcpy(r->ram.host + HEADER, &h, sizeof(h));
	r->ram.host[STATUS] = 0xaa;
	*desc(r, 0) = (struct vring_desc){ HEADER, sizeof(h), NEXT, len ? 1 : 2 };
	*desc(r, 1) = (struct vring_desc){ DATA, len, (uint16_t)(NEXT | to_guest), 2 };
	*desc(r, 2) = (struct vring_desc){ STATUS, 1, WRITE, 0 };
}

/* Return: the status that the device gave, or 0xaa where it gave none. */
static int request(struct rig *r, uint32_t type, uint64_t sector, uint32_t len)
{
	build(r, type, sector, len);
	submit(r, 0);
	return r->ram.host[STATUS];
}

static bool broken(struct rig *r)
{
	return rd(r, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void test_registers(struct tap *tap)
{
	struct rig *r = new_rig(false);
	uint64_t all = offered(r);

	tap_ok(tap, rd(r, VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976 &&
	       rd(r, VIRTIO_MMIO_VERSION) == 2 && rd(r, VIRTIO_MMIO_DEVICE_ID) == 2,
	       "virtio: who it is");
	tap_ok(tap, all == (V1 | INDIRECT | FLUSH | SEG_MAX), "virtio: what it offers");
	tap_ok(tap, !accept(r, FLUSH) && !accept(r, V1 | 1ull << 40) && !accept(r, V1 | RO) &&
	       accept(r, V1) && accept(r, all),
	       "virtio: features are taken with VERSION_1, and no others than were offered");
	wr(r, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	tap_ok(tap, r->blk.virtio.accepted == all, "virtio: then they stand");
	wr(r, VIRTIO_MMIO_QUEUE_SEL, 1);
	tap_ok(tap, !rd(r, VIRTIO_MMIO_QUEUE_NUM_MAX), "virtio: there is one queue");
	wr(r, VIRTIO_MMIO_QUEUE_SEL, 0);
	tap_ok(tap, rd(r, VIRTIO_MMIO_QUEUE_NUM_MAX) == VQUEUE_SIZE, "virtio: of 128 entries");
	tap_ok(tap, rd(r, VIRTIO_MMIO_CONFIG) == SECTORS && !rd(r, VIRTIO_MMIO_CONFIG + 4) &&
	       rd(r, VIRTIO_MMIO_CONFIG + 12) == VQUEUE_SIZE - 2 &&
	       !rd(r, VIRTIO_MMIO_CONFIG + 14) && !rd(r, VIRTIO_MMIO_CONFIG + 16) &&
	       !rd(r, VIRTIO_REGS - 4) &&
	       virtio_bus_ops.read(&r->blk.virtio, VIRTIO_MMIO_CONFIG, 1) == SECTORS,
	       "virtio: the configuration space, and nothing beyond it");
	virtio_bus_ops.write(&r->blk.virtio, VIRTIO_MMIO_STATUS, 0, 1);
	virtio_bus_ops.write(&r->blk.virtio, VIRTIO_MMIO_CONFIG, 1, 4);
	tap_ok(tap, rd(r, VIRTIO_MMIO_STATUS) == (DRIVER | VIRTIO_CONFIG_S_FEATURES_OK) &&
	       rd(r, VIRTIO_MMIO_CONFIG) == SECTORS, "virtio: narrow writes do nothing");
	r->kicks = 0;
	wr(r, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	wr(r, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	tap_ok(tap, r->kicks == 1, "virtio: a notification of the queue that is there");
	free_rig(r);
}

static void test_requests(struct tap *tap)
{
	struct rig *r = new_rig(false);
	bool good = begin(r, V1 | FLUSH);

	memset(r->ram.host + DATA, 0x5c, 1024);
	good = good && request(r, VIRTIO_BLK_T_OUT, 3, 1024) == VIRTIO_BLK_S_OK;
	tap_ok(tap, good && used(r)->idx == 1 && used(r)->ring[0].len == 1 &&
	       r->disk[3 * 512] == 0x5c && r->disk[5 * 512 - 1] == 0x5c && !r->disk[5 * 512],
	       "blk: a write");
	tap_ok(tap, r->irqs == 1 && rd(r, VIRTIO_MMIO_INTERRUPT_STATUS) == 1,
	       "blk: its interrupt");
	wr(r, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	tap_ok(tap, !rd(r, VIRTIO_MMIO_INTERRUPT_STATUS), "blk: acknowledged");
	memset(r->ram.host + DATA, 0, 1024);
	tap_ok(tap, request(r, VIRTIO_BLK_T_IN, 4, 512) == VIRTIO_BLK_S_OK &&
	       r->ram.host[DATA + 511] == 0x5c && !r->ram.host[DATA + 512] &&
	       used(r)->ring[1].len == 513, "blk: a read");
	tap_ok(tap, request(r, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_OK && r->flushes == 1,
	       "blk: a flush, the only one so far");
	tap_ok(tap, request(r, VIRTIO_BLK_T_GET_ID, 0, 20) == VIRTIO_BLK_S_OK &&
	       !memcmp(r->ram.host + DATA, "a-name-of-more-than-20-letters", 20) &&
	       request(r, VIRTIO_BLK_T_GET_ID, 0, 19) == VIRTIO_BLK_S_IOERR, "blk: its name");
	tap_ok(tap, request(r, 77, 0, 512) == VIRTIO_BLK_S_UNSUPP, "blk: an unknown request");
	tap_ok(tap, request(r, VIRTIO_BLK_T_IN, SECTORS - 1, 512) == VIRTIO_BLK_S_OK &&
	       request(r, VIRTIO_BLK_T_IN, SECTORS - 1, 1024) == VIRTIO_BLK_S_IOERR &&
	       request(r, VIRTIO_BLK_T_IN, SECTORS, 512) == VIRTIO_BLK_S_IOERR &&
	       request(r, VIRTIO_BLK_T_OUT, 1ull << 55, 512) == VIRTIO_BLK_S_IOERR &&
	       request(r, VIRTIO_BLK_T_OUT, UINT64_MAX, 1024) == VIRTIO_BLK_S_IOERR &&
	       request(r, VIRTIO_BLK_T_IN, 0, 511) == VIRTIO_BLK_S_IOERR,
	       "blk: beyond the end, and no whole sector");
	r->fail = -EIO;
	tap_ok(tap, request(r, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_IOERR &&
	       request(r, VIRTIO_BLK_T_OUT, 0, 512) == VIRTIO_BLK_S_IOERR &&
	       request(r, VIRTIO_BLK_T_FLUSH, 0, 0) == VIRTIO_BLK_S_IOERR,
	       "blk: a disk that fails is told to the guest");
	r->fail = 0;
	r->irqs = 0;
	avail(r)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	tap_ok(tap, request(r, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK && !r->irqs &&
	       !used(r)->flags, "blk: no interrupt where none is wanted, but notifications");
	tap_ok(tap, !broken(r), "blk: and no reset is needed");

	good = begin(r, V1) && request(r, VIRTIO_BLK_T_OUT, 0, 512) == VIRTIO_BLK_S_OK;
	tap_ok(tap, good && r->flushes == 1, "blk: a driver that cannot flush has each write safe");
	free_rig(r);

	r = new_rig(true);
	good = begin(r, V1 | RO | FLUSH);
	tap_ok(tap, good && (offered(r) & RO) &&
	       request(r, VIRTIO_BLK_T_OUT, 0, 512) == VIRTIO_BLK_S_IOERR &&
	       request(r, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK, "blk: read-only");
	free_rig(r);
}

/* However a driver cuts its request into buffers. */
static void test_framing(struct tap *tap)
{
	struct rig *r = new_rig(false);
	bool good = begin(r, V1 | INDIRECT | FLUSH);

	memset(r->ram.host + DATA, 0x77, 512);
	build(r, VIRTIO_BLK_T_OUT, 1, 512);
	*desc(r, 0) = (struct vring_desc){ HEADER, 5, NEXT, 3 };
	*desc(r, 3) = (struct vring_desc){ HEADER + 5, 11, NEXT, 4 };
	*desc(r, 4) = (struct vring_desc){ DATA, 0, NEXT, 5 };
	*desc(r, 5) = (struct vring_desc){ DATA, 100, NEXT, 6 };
	*desc(r, 6) = (struct vring_desc){ DATA + 100, 412, NEXT, 2 };
	submit(r, 0);
	tap_ok(tap, good && !r->ram.host[STATUS] && r->disk[512] == 0x77 && r->disk[1023] == 0x77 &&
	       !r->disk[1024], "blk: header and data in pieces");

	/* Header and data in one buffer; the status behind the data, and an empty buffer. */
	build(r, VIRTIO_BLK_T_IN, 1, 512);
	*desc(r, 1) = (struct vring_desc){ DATA, 513, NEXT | WRITE, 2 };
	*desc(r, 2) = (struct vring_desc){ DATA, 0, WRITE, 0 };
	memset(r->ram.host + DATA, 0xee, 514);
	submit(r, 0);
	tap_ok(tap, r->ram.host[DATA] == 0x77 && !r->ram.host[DATA + 512] &&
	       r->ram.host[DATA + 513] == 0xee, "blk: the status in the data's buffer");

	build(r, VIRTIO_BLK_T_IN, 1, 512);
	memcpy(r->ram.host + TABLE + 5, desc(r, 0), 48);
	*desc(r, 9) = (struct vring_desc){ TABLE + 5, 48, VRING_DESC_F_INDIRECT, 0 };
	r->ram.host[STATUS] = 0xaa;
	submit(r, 9);
	tap_ok(tap, !r->ram.host[STATUS] && used(r)->ring[2].id == 9 && !broken(r),
	       "blk: a table of descriptors, at an odd address");
	free_rig(r);
}

/* --- hostile rings ------------------------------------------------------ */

static void loop_one(struct rig *r)
{
	desc(r, 1)->next = 1;
}

static void loop_two(struct rig *r)
{
	desc(r, 2)->flags |= NEXT;
	desc(r, 2)->next = 1;
}

static void next_outside(struct rig *r)
{
	desc(r, 1)->next = QUEUE;
}

static void next_far_outside(struct rig *r)
{
	desc(r, 1)->next = 0xffff;
}

static void address_outside(struct rig *r)
{
	desc(r, 1)->addr = RAM;
}

static void address_at_the_end(struct rig *r)
{
	desc(r, 1)->addr = RAM - 511;
}

static void address_wraps(struct rig *r)
{
	desc(r, 1)->addr = UINT64_MAX - 100;
}

static void address_in_the_hole(struct rig *r)
{
	desc(r, 1)->addr = 0xfee00000;
}

static void address_above_4g(struct rig *r)
{
	desc(r, 1)->addr = MEM_HIGH_BASE;
}

static void length_huge(struct rig *r)
{
	desc(r, 1)->len = UINT32_MAX;
}

static void read_after_write(struct rig *r)
{
	*desc(r, 0) = (struct vring_desc){ STATUS, 1, WRITE | NEXT, 1 };
	*desc(r, 1) = (struct vring_desc){ HEADER, 16, 0, 0 };
}

static void no_status(struct rig *r)
{
	desc(r, 0)->flags = 0;
}

static void empty_status(struct rig *r)
{
	*desc(r, 0) = (struct vring_desc){ HEADER, 16, NEXT, 2 };
	desc(r, 2)->len = 0;
}

static void head_outside(struct rig *r)
{
	avail(r)->ring[0] = QUEUE;
}

static void index_jumps(struct rig *r)
{
	avail(r)->idx = QUEUE + 1;
}

static void index_behind(struct rig *r)
{
	avail(r)->idx = 0xffff;
}

static struct vring_desc *indirect(struct rig *r, uint64_t at, uint32_t bytes)
{
	struct vring_desc *table = (struct vring_desc *)(r->ram.host + TABLE);

	memcpy(table, desc(r, 0), 3 * sizeof(*table));
	*desc(r, 0) = (struct vring_desc){ at, bytes, VRING_DESC_F_INDIRECT, 0 };
	return table;
}

static void table_empty(struct rig *r)
{
	indirect(r, TABLE, 0);
}

static void table_of_no_whole(struct rig *r)
{
	indirect(r, TABLE, 49);
}

static void table_outside(struct rig *r)
{
	indirect(r, RAM - 16, 48);
}

static void table_wraps(struct rig *r)
{
	indirect(r, UINT64_MAX - 15, 48);
}

static void table_in_table(struct rig *r)
{
	struct vring_desc *t = indirect(r, TABLE, 48);

	t[1] = (struct vring_desc){ TABLE, 48, VRING_DESC_F_INDIRECT, 0 };
}

static void table_with_next(struct rig *r)
{
	indirect(r, TABLE, 48);
	desc(r, 0)->flags |= NEXT;
	desc(r, 0)->next = 2;
}

static void table_left(struct rig *r)
{
	indirect(r, TABLE, 48)[1].next = 3;
}

static void table_loops(struct rig *r)
{
	indirect(r, TABLE, 48)[1].next = 0;
}

/* A chain without a loop, but longer than the queue. */
static void table_too_long(struct rig *r)
{
	struct vring_desc *t = indirect(r, TABLE, (QUEUE + 1) * sizeof(*t));
	unsigned int i;

	for (i = 0; i <= QUEUE; i++)
		t[i] = (struct vring_desc){ HEADER, 16, i < QUEUE ? NEXT : 0, (uint16_t)(i + 1) };
}

#define CASE(f)	{ #f, f }
static const struct {
	const char *name;
	void (*spoil)(struct rig *r);
} hostile[] = {
	CASE(loop_one), CASE(loop_two), CASE(next_outside), CASE(next_far_outside),
	CASE(address_outside), CASE(address_at_the_end), CASE(address_wraps),
	CASE(address_in_the_hole), CASE(address_above_4g), CASE(length_huge),
	CASE(read_after_write), CASE(no_status), CASE(empty_status), CASE(head_outside),
	CASE(index_jumps), CASE(index_behind), CASE(table_empty), CASE(table_of_no_whole),
	CASE(table_outside), CASE(table_wraps), CASE(table_in_table),
	CASE(table_with_next), CASE(table_left), CASE(table_loops), CASE(table_too_long),
};

static void test_hostile(struct tap *tap)
{
	struct rig *r = new_rig(false);
	size_t i;

	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		bool good = begin(r, V1 | INDIRECT);

		build(r, VIRTIO_BLK_T_IN, 0, 512);
		avail(r)->idx = 1;
		hostile[i].spoil(r);
		virtio_serve(&r->blk.virtio);
		good = good && broken(r) && !used(r)->idx && r->irqs == 1 &&
		       (rd(r, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
		/* It stays so, whatever comes, and a reset heals it. */
		r->added = 1;
		good = good && request(r, VIRTIO_BLK_T_IN, 0, 512) == 0xaa && begin(r, V1) &&
		       request(r, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK;
		tap_ok(tap, good, "hostile ring (60): %s", hostile[i].name);
	}
	begin(r, V1);
	build(r, VIRTIO_BLK_T_IN, 0, 512);
	indirect(r, TABLE, 48);
	submit(r, 0);
	tap_ok(tap, broken(r), "hostile ring (60): a table that was not negotiated");
	free_rig(r);
}

static const struct {
	const char *name;
	uint32_t size;
	uint64_t desc, avail, used;
} areas[] = {
	{ "no entries", 0, DESC, AVAIL, USED },
	{ "no power of two", 3, DESC, AVAIL, USED },
	{ "too many entries", 256, DESC, AVAIL, USED },
	{ "more entries than 32 bits of bytes", 1u << 31, DESC, AVAIL, USED },
	{ "descriptors not aligned", QUEUE, DESC + 8, AVAIL, USED },
	{ "available ring not aligned", QUEUE, DESC, AVAIL + 1, USED },
	{ "used ring not aligned", QUEUE, DESC, AVAIL, USED + 2 },
	{ "descriptors beyond memory", QUEUE, RAM - 16, AVAIL, USED },
	{ "available ring beyond memory", QUEUE, DESC, RAM - 4, USED },
	{ "used ring beyond memory", QUEUE, DESC, AVAIL, RAM - 8 },
	{ "used ring that wraps", QUEUE, DESC, AVAIL, UINT64_MAX - 7 },
	{ "descriptors above 4 GiB", QUEUE, MEM_HIGH_BASE, AVAIL, USED },
};

static void test_areas(struct tap *tap)
{
	struct rig *r = new_rig(false);
	size_t i;

	for (i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		bool ready = accept(r, V1) && set_queue(r, areas[i].size, areas[i].desc,
							areas[i].avail, areas[i].used);

		wr(r, VIRTIO_MMIO_STATUS, DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
					  VIRTIO_CONFIG_S_DRIVER_OK);
		virtio_serve(&r->blk.virtio);
		tap_ok(tap, !ready && broken(r), "hostile queue (60): %s", areas[i].name);
	}
	/* A queue in use stays where it is. */
	begin(r, V1);
	wr(r, VIRTIO_MMIO_QUEUE_NUM, 256);
	wr(r, VIRTIO_MMIO_QUEUE_DESC_LOW, RAM);
	tap_ok(tap, request(r, VIRTIO_BLK_T_IN, 0, 512) == VIRTIO_BLK_S_OK && !broken(r),
	       "hostile queue (60): moved while it is in use");
	free_rig(r);
}

static uint32_t random_state;

static uint32_t any(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * below >> 32);
}

/* Rings of chance: nothing beyond the guest's memory and the disk is ever touched. */
static void test_random(struct tap *tap)
{
	struct rig *r = new_rig(false);
	unsigned int round, i, served = 0, resets = 0;

	random_state = 20261122;
	for (round = 0; round < 20000; round++) {
		begin(r, V1 | (any(2) ? INDIRECT : 0));
		build(r, any(6), any(SECTORS + 2), 512);
		for (i = any(5); i; i--) {
			struct vring_desc *d = any(4) ? desc(r, any(4)) :
					       (struct vring_desc *)(r->ram.host + TABLE) + any(4);

			*d = (struct vring_desc){
				any(8) ? any(RAM / 16) * 16 : (uint64_t)any(-1u) << any(33),
				any(3) ? any(80) * 16 : any(-1u), (uint16_t)any(8),
				(uint16_t)any(any(4) ? 5 : 0xffff),
			};
		}
		for (i = any(4); i; i--)
			r->ram.host[any(RAM)] = (uint8_t)any(256);
		avail(r)->ring[0] = (uint16_t)any(4);
		avail(r)->idx = (uint16_t)any(any(8) ? 3 : 0x10000);
		virtio_serve(&r->blk.virtio);
		if (broken(r))
			resets++;
		else
			served++;
	}
	tap_ok(tap, served > 1000 && resets > 1000,
	       "hostile rings (60) of chance: %u served, %u refused", served, resets);
	free_rig(r);
}

static void test_ram(struct tap *tap)
{
	uint8_t *base = (uint8_t *)0x100000;
	const struct guest_ram small = { base, 0x10000 }, big = { base, MEM_LOW_TOP + 0x2000 };

	tap_ok(tap, ram_at(&small, 0, 0x10000) == base && !ram_at(&small, 0, 0x10001) &&
	       ram_at(&small, 0xffff, 1) == base + 0xffff && !ram_at(&small, 0x10000, 1) &&
	       !ram_at(&small, MEM_HIGH_BASE, 1) && !ram_at(&small, UINT64_MAX, 2) &&
	       !ram_at(&small, 1, UINT64_MAX), "memory: all below the hole");
	tap_ok(tap, ram_at(&big, MEM_LOW_TOP - 1, 1) && !ram_at(&big, MEM_LOW_TOP - 1, 2) &&
	       !ram_at(&big, MEM_LOW_TOP, 1) && !ram_at(&big, MEM_HIGH_BASE - 1, 2) &&
	       ram_at(&big, MEM_HIGH_BASE, 0x2000) == base + MEM_LOW_TOP &&
	       !ram_at(&big, MEM_HIGH_BASE, 0x2001) && !ram_at(&big, MEM_HIGH_BASE + 0x2000, 1),
	       "memory: on both sides of it");
}

int main(void)
{
	struct tap tap = { 0 };

	test_ram(&tap);
	test_registers(&tap);
	test_requests(&tap);
	test_framing(&tap);
	test_hostile(&tap);
	test_areas(&tap);
	test_random(&tap);
	return tap_done(&tap);
}
