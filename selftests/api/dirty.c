// SPDX-License-Identifier: GPL-2.0-only
/* The calls around the dirty log: what they refuse, and what excludes what. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define PAGE	4096UL
#define GPA	0x20000000UL
#define SLOT	7
#define PAGES	200UL
#define MAX_RING	(1UL << 20)
#define RING_AT	(KVM_DIRTY_LOG_PAGE_OFFSET * PAGE)

static struct vm vm;

static int enable(uint32_t cap, uint32_t flags, uint64_t arg)
{
	struct kvm_enable_cap e = { .cap = cap, .flags = flags, .args = { arg } };

	return ioctl(vm.fd, KVM_ENABLE_CAP, &e);
}

static int clear(uint32_t slot, uint64_t first, uint32_t pages, void *bits)
{
	struct kvm_clear_dirty_log log = {
		.slot = slot, .first_page = first, .num_pages = pages, .dirty_bitmap = bits,
	};

	return ioctl(vm.fd, KVM_CLEAR_DIRTY_LOG, &log);
}

static void start(uint32_t flags)
{
	vm_init(&vm, 0);
	ASSERT(!vm_slot(&vm, SLOT, flags, GPA, PAGES * PAGE, map_pages(PAGES * PAGE)));
}

TEST(caps, "log: the capabilities that it has")
{
	EXPECT_EQ(dev_cap(KVM_CAP_ENABLE_CAP_VM), 1);
	EXPECT_EQ(dev_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2),
		  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	EXPECT_EQ(dev_cap(KVM_CAP_DIRTY_LOG_RING), MAX_RING);
	EXPECT_EQ(dev_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL), MAX_RING);
}

TEST(enable_unknown, "KVM_ENABLE_CAP: unknown capabilities and flags, no memory")
{
	vm_init(&vm, 0);
	EXPECT_ERR(enable(0xffff, 0, 0), EINVAL);
	EXPECT_ERR(enable(0xffffffff, 0, 0), EINVAL);
	EXPECT_ERR(enable(KVM_CAP_USER_MEMORY, 0, 0), EINVAL);
	EXPECT_ERR(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1, 1), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_ENABLE_CAP, NULL), EFAULT);
}

static const struct manual {
	const char *name;
	uint64_t flags;
	int error;
} manual[] = {
	{ "off", 0, 0 },
	{ "by hand", 1, 0 },
	{ "by hand, begins full", 3, 0 },
	{ "begins full, but not by hand", 2, EINVAL },
	{ "an unknown flag", 5, EINVAL },
	{ "an unknown flag far up", 1ULL << 32 | 1, EINVAL },
};

TEST_EACH(enable_manual, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: ", manual, m)
{
	vm_init(&vm, 0);
	if (m->error)
		EXPECT_ERR(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0, m->flags), m->error);
	else
		EXPECT_OK(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 0, m->flags));
}

static const struct size {
	const char *name;
	uint64_t bytes;
	int error;
} sizes[] = {
	{ "a page", PAGE, 0 },
	{ "64 KiB", 1 << 16, 0 },
	{ "the largest", MAX_RING, 0 },
	{ "0", 0, EINVAL },
	{ "half a page", PAGE / 2, EINVAL },
	{ "no power of 2", 3 * PAGE, EINVAL },
	{ "too large", 2 * MAX_RING, E2BIG },
	{ "2^63", 1ULL << 63, E2BIG },
	{ "2^32 and a page", (1ULL << 32) + PAGE, EINVAL },
};

TEST_EACH(enable_ring, "KVM_CAP_DIRTY_LOG_RING: ", sizes, s)
{
	uint32_t cap = s->bytes & PAGE ? KVM_CAP_DIRTY_LOG_RING : KVM_CAP_DIRTY_LOG_RING_ACQ_REL;

	if (s->bytes >> 32 && !on_umbra())
		SKIP("KVM looks at the lower 32 bits alone");
	vm_init(&vm, 0);
	if (s->error) {
		EXPECT_ERR(enable(cap, 0, s->bytes), s->error);
		return;
	}
	EXPECT_OK(enable(cap, 0, s->bytes));
	/* Once only. */
	EXPECT_ERR(enable(KVM_CAP_DIRTY_LOG_RING, 0, s->bytes), EINVAL);
}

TEST(ring_late, "KVM_CAP_DIRTY_LOG_RING: not once there is a vCPU")
{
	vm_init(&vm, 0);
	vm_vcpu(&vm, 0);
	EXPECT_ERR(enable(KVM_CAP_DIRTY_LOG_RING, 0, PAGE), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL), EINVAL);
}

TEST(ring_excludes, "log: with rings there is no bitmap")
{
	uint64_t bits[4];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };

	vm_init(&vm, 0);
	ASSERT(!enable(KVM_CAP_DIRTY_LOG_RING, 0, PAGE));
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE,
			map_pages(PAGES * PAGE)));
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), ENXIO);
	EXPECT_ERR(clear(SLOT, 0, 64, bits), ENXIO);
	/* With no vCPU there is nothing to give back. */
	EXPECT_EQ(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL), 0);
}

static sigjmp_buf bus;

static void bus_error(int sig)
{
	siglongjmp(bus, sig);
}

/* Whether touching the page is a SIGBUS. */
static bool is_void(volatile char *p)
{
	struct sigaction act = { .sa_handler = bus_error };

	ASSERT(!sigaction(SIGBUS, &act, NULL));
	if (sigsetjmp(bus, 1))
		return true;
	(void)*p;
	return false;
}

static void *map_ring(struct vcpu *v, size_t bytes, int prot, int flags)
{
	return mmap(NULL, bytes, prot, flags, v->fd, RING_AT);
}

TEST(ring_mapped, "ring: its mapping: shared, not executable, and no longer than it is")
{
	struct vcpu *v;
	char *p;

	vm_init(&vm, 0);
	ASSERT(!enable(KVM_CAP_DIRTY_LOG_RING, 0, 4 * PAGE));
	v = vm_vcpu(&vm, 0);
	EXPECT(map_ring(v, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED &&
	       errno == EINVAL);
	EXPECT(map_ring(v, 4 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED) == MAP_FAILED &&
	       errno == EINVAL);
	/* One that begins before the ring and ends in it. */
	EXPECT(mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, v->fd,
		    RING_AT - PAGE) == MAP_FAILED && errno == EINVAL);
	p = map_ring(v, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT(p != MAP_FAILED);
	EXPECT(!is_void(p) && !is_void(p + 3 * PAGE));
	EXPECT(is_void(p + 4 * PAGE));
	EXPECT_EQ(*p, 0);
	/* It outlives the vCPU. */
	vm_free(&vm);
	p[PAGE] = 1;
	EXPECT_EQ(p[PAGE], 1);
}

TEST(no_ring, "ring: none there, nothing to map")
{
	struct vcpu *v;
	char *p;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	p = map_ring(v, PAGE, PROT_READ, MAP_SHARED);
	ASSERT(p != MAP_FAILED);
	EXPECT(is_void(p));
}

static const struct range {
	const char *name;
	uint32_t slot;
	uint64_t first;
	uint32_t pages;
	int error;
} ranges[] = {
	{ "all", SLOT, 0, PAGES, 0 },
	{ "some words", SLOT, 64, 128, 0 },
	{ "the last, partial word", SLOT, 192, PAGES - 192, 0 },
	{ "nothing", SLOT, 64, 0, 0 },
	{ "nothing at the end", SLOT, 192, 0, 0 },
	{ "no slot", SLOT + 1, 0, 64, ENOENT },
	{ "no slot number", 0xffff, 0, 64, EINVAL },
	{ "another address space", 2 << 16 | SLOT, 0, 64, EINVAL },
	{ "a slot without a log", 0, 0, 64, ENOENT },
	{ "begins within a word", SLOT, 63, 64, EINVAL },
	{ "ends within a word", SLOT, 0, 100, EINVAL },
	{ "behind the slot", SLOT, 256, 64, EINVAL },
	{ "over the end", SLOT, 0, 256, EINVAL },
	{ "a start that wraps", SLOT, -64ULL, 128, EINVAL },
	{ "as many as can be said", SLOT, 0, 0xffffffc0, EINVAL },
};

TEST_EACH(clear_range, "KVM_CLEAR_DIRTY_LOG: ", ranges, r)
{
	uint64_t bits[4] = { -1, -1, -1, -1 };

	start(KVM_MEM_LOG_DIRTY_PAGES);
	if (r->error)
		EXPECT_ERR(clear(r->slot, r->first, r->pages, bits), r->error);
	else
		EXPECT_OK(clear(r->slot, r->first, r->pages, bits));
}

TEST(clear_fault, "KVM_CLEAR_DIRTY_LOG: EFAULT, and no byte behind the bitmap is read")
{
	start(KVM_MEM_LOG_DIRTY_PAGES);
	EXPECT_ERR(clear(SLOT, 0, PAGES, NULL), EFAULT);
	EXPECT_ERR(clear(SLOT, 0, PAGES, map_guarded(24)), EFAULT);
	EXPECT_OK(clear(SLOT, 0, PAGES, map_guarded(32)));
	EXPECT_ERR(ioctl(vm.fd, KVM_CLEAR_DIRTY_LOG, NULL), EFAULT);
}
