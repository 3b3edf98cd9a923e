// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_USER_MEMORY_REGION: what it takes, and what it must refuse. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"
#include "x86.h"

#define PAGE	4096ULL
#define GOOD	0x10000ULL	/* four pages of memory at this address */

/* One call on a VM that has slot 1 with four pages at GOOD. */
static const struct bad {
	const char *name;
	uint32_t slot, flags;
	uint64_t gpa, size;
	uint64_t hva;		/* 0: some good memory */
	int err;
} bad[] = {
	{ "unaligned guest address", 0, 0, 0x800, PAGE, 0, EINVAL },
	{ "unaligned size", 0, 0, 0, 0x800, 0, EINVAL },
	{ "size one byte over a page", 0, 0, 0, PAGE + 1, 0, EINVAL },
	{ "unaligned host address", 0, 0, 0, PAGE, 0x10000801, EINVAL },
	{ "kernel host address", 0, 0, 0, PAGE, 0xffff888000000000, EINVAL },
	{ "non-canonical host address", 0, 0, 0, PAGE, 0x8000000000000000,
	  EINVAL },
	{ "host range that leaves user space", 0, 0, 0x40000000, 1ULL << 30,
	  0x00ffffffffff0000, EINVAL },
	{ "host range that wraps", 0, 0, 0x40000000, 1ULL << 30, 0xfffffffffffff000,
	  EINVAL },
	{ "guest range that wraps", 0, 0, 0xfffffffffffff000, 2 * PAGE, 0,
	  EINVAL },
	{ "guest range that ends at 2^64", 0, 0, 0xfffffffffffff000, PAGE, 0,
	  EINVAL },
	{ "guest address beyond what the CPU can address", 0, 0, 1ULL << 60,
	  PAGE, 0, EINVAL },
	{ "2^31 pages", 0, 0, 0, 1ULL << 43, 0, EINVAL },
	{ "size over all address space", 0, 0, 0, 0xfffffffffffff000, 0,
	  EINVAL },
	{ "slot number out of range", 0xffff, 0, 0, PAGE, 0, EINVAL },
	{ "address space out of range", 0x70000, 0, 0, PAGE, 0, EINVAL },
	{ "slot number -1", 0xffffffff, 0, 0, PAGE, 0, EINVAL },
	{ "unknown flag 4", 0, 4, 0, PAGE, 0, EINVAL },
	{ "unknown flag 2^31", 0, 0x80000000, 0, PAGE, 0, EINVAL },
	{ "deletion of an empty slot", 0, 0, 0, 0, 0, EINVAL },
	{ "overlap from below", 0, 0, GOOD - PAGE, 2 * PAGE, 0, EEXIST },
	{ "overlap from above", 0, 0, GOOD + 3 * PAGE, 2 * PAGE, 0, EEXIST },
	{ "overlap inside", 0, 0, GOOD + PAGE, PAGE, 0, EEXIST },
	{ "overlap around", 0, 0, GOOD - PAGE, 6 * PAGE, 0, EEXIST },
	{ "overlap exactly", 0, 0, GOOD, 4 * PAGE, 0, EEXIST },
	{ "resizing a slot", 1, 0, GOOD, 3 * PAGE, 0, EINVAL },
	{ "growing a slot", 1, 0, GOOD, 5 * PAGE, 0, EINVAL },
	{ "another host address for a slot", 1, 0, GOOD, 4 * PAGE, 0x7f0000000000,
	  EINVAL },
	{ "making a slot read-only", 1, KVM_MEM_READONLY, GOOD, 4 * PAGE, 0,
	  EINVAL },
};

static void *memory;

static void vm_with_slot(struct vm *vm)
{
	vm_init(vm, VM_NO_MEMORY);
	memory = map_pages(64 * PAGE);
	ASSERT(!vm_slot(vm, 1, 0, GOOD, 4 * PAGE, memory));
}

TEST_EACH(slot_bad, "slot refused: ", bad, b)
{
	struct vm vm;
	int r;

	vm_with_slot(&vm);
	r = vm_slot(&vm, b->slot, b->flags, b->gpa, b->size,
		    b->hva ? (void *)b->hva : memory);
	EXPECT_EQ(r, -1);
	EXPECT_MSG(errno == b->err, "%s, wanted %s", strerror(errno),
		   strerror(b->err));
	/* What was there is there unchanged: the same call again is fine. */
	EXPECT_OK(vm_slot(&vm, 1, 0, GOOD, 4 * PAGE, memory));
	EXPECT_OK(vm_slot(&vm, 1, 0, GOOD, 0, memory));
}

TEST(slot_fault, "slot: argument in a guard page is EFAULT")
{
	struct vm vm;
	uint8_t *p = map_guarded(16);

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION, p), EFAULT);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION, NULL), EFAULT);
}

TEST(slot_adjacent, "slot: neighbours that touch are taken")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 2, 0, GOOD - PAGE, PAGE, memory));
	EXPECT_OK(vm_slot(&vm, 3, 0, GOOD + 4 * PAGE, PAGE, memory));
}

TEST(slot_shared_memory, "slot: the same host memory may back two slots")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 2, 0, 0x100000, 4 * PAGE, memory));
}

TEST(slot_again, "slot: the same call twice is no error")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 1, 0, GOOD, 4 * PAGE, memory));
}

TEST(slot_move, "slot: moved, the old place is free and the new one taken")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 1, 0, 0x100000, 4 * PAGE, memory));
	EXPECT_ERR(vm_slot(&vm, 2, 0, 0x100000, PAGE, memory), EEXIST);
	EXPECT_OK(vm_slot(&vm, 2, 0, GOOD, PAGE, memory));
}

TEST(slot_move_overlap, "slot: moved onto itself is fine, onto another EEXIST")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 1, 0, GOOD + PAGE, 4 * PAGE, memory));
	EXPECT_OK(vm_slot(&vm, 2, 0, 0x100000, 4 * PAGE, memory));
	EXPECT_ERR(vm_slot(&vm, 1, 0, 0x100000 + PAGE, 4 * PAGE, memory),
		   EEXIST);
}

TEST(slot_delete, "slot: deleted once is fine, twice EINVAL")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 1, 0, GOOD, 0, memory));
	EXPECT_ERR(vm_slot(&vm, 1, 0, GOOD, 0, memory), EINVAL);
	EXPECT_OK(vm_slot(&vm, 1, 0, GOOD, 4 * PAGE, memory));
}

TEST(slot_delete_other_gpa, "slot: deletion goes by the number alone")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 1, 0, 0, 0, NULL));
	EXPECT_OK(vm_slot(&vm, 2, 0, GOOD, 4 * PAGE, memory));
}

TEST(slot_log_flag, "slot: dirty logging may be switched on and off")
{
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, GOOD, 4 * PAGE,
			  memory));
	EXPECT_OK(vm_slot(&vm, 1, 0, GOOD, 4 * PAGE, memory));
}

TEST(slot_readonly, "slot: a read-only one over a read-only mapping is taken")
{
	struct vm vm;

	vm_with_slot(&vm);
	ASSERT(!mprotect(memory, 64 * PAGE, PROT_READ));
	EXPECT_OK(vm_slot(&vm, 2, KVM_MEM_READONLY, 0x100000, 4 * PAGE, memory));
}

TEST(slot_not_mapped, "slot: host memory that is not mapped yet is taken")
{
	struct vm vm;

	vm_with_slot(&vm);
	ASSERT(!munmap(memory, 64 * PAGE));
	EXPECT_OK(vm_slot(&vm, 2, 0, 0x100000, 4 * PAGE, memory));
}

TEST(slot_last_number, "slot: the last number works, the next is EINVAL")
{
	int nr = dev_cap(KVM_CAP_NR_MEMSLOTS);
	struct vm vm;

	vm_with_slot(&vm);
	EXPECT_OK(vm_slot(&vm, nr - 1, 0, 0x100000, PAGE, memory));
	EXPECT_ERR(vm_slot(&vm, nr, 0, 0x200000, PAGE, memory), EINVAL);
}

TEST(slot_many, "slot: as many as NR_MEMSLOTS says, up to 509, all at once")
{
	int i, nr = dev_cap(KVM_CAP_NR_MEMSLOTS);
	struct vm vm;

	if (nr > 509)
		nr = 509;
	vm_init(&vm, VM_NO_MEMORY);
	memory = map_pages(PAGE);
	for (i = 0; i < nr; i++)
		ASSERT(!vm_slot(&vm, i, 0, i * 2 * PAGE, PAGE, memory));
	for (i = nr - 1; i >= 0; i--)
		ASSERT(!vm_slot(&vm, i, 0, 0, 0, NULL));
}

TEST(slot_random, "slot: 2000 random changes agree with a model")
{
	enum { SLOTS = 8, SPAN = 32 };
	struct { uint64_t page, n; } m[SLOTS] = { 0 };
	unsigned int seed = ktap_env("SEED", 1), i, j;
	struct vm vm;

	ktap_diag("SEED=%u", seed);
	vm_init(&vm, VM_NO_MEMORY);
	memory = map_pages(SPAN * PAGE);
	for (i = 0; i < 2000; i++) {
		unsigned int s = rand_r(&seed) % SLOTS;
		uint64_t page = rand_r(&seed) % SPAN;
		uint64_t n = rand_r(&seed) % 6;
		int want = 0, r;

		if (!n) {
			want = m[s].n ? 0 : EINVAL;
		} else if (m[s].n && m[s].n != n) {
			want = EINVAL;
		} else {
			for (j = 0; j < SLOTS; j++)
				if (j != s && m[j].n && page < m[j].page + m[j].n &&
				    m[j].page < page + n)
					want = EEXIST;
		}
		r = vm_slot(&vm, s, 0, page * PAGE, n * PAGE, memory);
		ASSERT_MSG((r ? errno : 0) == want,
			   "step %u, slot %u page %u+%u: %s, wanted %s", i, s,
			   (unsigned int)page, (unsigned int)n,
			   r ? strerror(errno) : "done", strerror(want));
		if (!want) {
			m[s].page = page;
			m[s].n = n;
		}
	}
}

/* Dirty logs, as far as no guest is needed. */

TEST(log_no_slot, "GET_DIRTY_LOG of an absent slot is ENOENT")
{
	struct kvm_dirty_log log = { .slot = 5, .dirty_bitmap = memory };
	struct vm vm;

	vm_with_slot(&vm);
	log.dirty_bitmap = memory;
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), ENOENT);
}

TEST(log_not_logging, "GET_DIRTY_LOG of a slot that does not log is ENOENT")
{
	struct kvm_dirty_log log = { .slot = 1 };
	struct vm vm;

	vm_with_slot(&vm);
	log.dirty_bitmap = memory;
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), ENOENT);
}

TEST(log_bad_slot, "GET_DIRTY_LOG of a slot number out of range is EINVAL")
{
	struct kvm_dirty_log log = { .slot = 0xffff };
	struct vm vm;

	vm_with_slot(&vm);
	log.dirty_bitmap = memory;
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), EINVAL);
	log.slot = 0x70001;
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), EINVAL);
}

TEST(log_clean, "GET_DIRTY_LOG of an untouched slot is zeros")
{
	struct kvm_dirty_log log = { .slot = 2 };
	uint64_t bits[2] = { -1, -1 };
	struct vm vm;

	vm_with_slot(&vm);
	ASSERT(!vm_slot(&vm, 2, KVM_MEM_LOG_DIRTY_PAGES, 0x100000, 64 * PAGE,
			memory));
	log.dirty_bitmap = bits;
	EXPECT_OK(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(bits[0], 0);
	EXPECT_EQ(bits[1], -1ULL);
}

TEST(log_fault, "GET_DIRTY_LOG into a guard page is EFAULT")
{
	struct kvm_dirty_log log = { .slot = 2 };
	struct vm vm;

	vm_with_slot(&vm);
	ASSERT(!vm_slot(&vm, 2, KVM_MEM_LOG_DIRTY_PAGES, 0x100000, 64 * PAGE,
			memory));
	log.dirty_bitmap = map_guarded(4);
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log), EFAULT);
}
