// SPDX-License-Identifier: GPL-2.0-only
/* How many tables a shadow may have: what userspace says, and a host short of memory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/umbra.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"
#include "nl.h"
#include "vm.h"

#define PAGE	4096UL
#define RWU	(PTE_P | PTE_W | PTE_U)
#define ROOTS	0x20000000UL	/* linear and physical: a root for each address space */
#define SPACES	4000UL
#define SLOT	7
#define LEAST	64
/* Tables that stay beside those of the quota. */
#define RESERVE	80

static struct vm vm;

/* A vCPU in a VM of that mode, if there is such a mode here. */
static struct vcpu *start(uint32_t mode, void (*entry)(void))
{
	struct umbra_info info;
	struct vcpu *v;

	if (!on_umbra())
		SKIP("not Umbra's device");
	ASSERT(!ioctl(dev_open(), UMBRA_GET_INFO, &info));
	if (!(info.modes >> mode & 1))
		SKIP("no shadow here");
	vm_init(&vm, 0);
	ASSERT(!ioctl(vm.fd, UMBRA_SET_MMU, &mode));
	v = vm_vcpu(&vm, 0);
	vcpu_long_mode(v, entry);
	return v;
}

static const struct mode {
	const char *name;
	uint32_t id;
} modes[] = {
	{ "lazy", UMBRA_MMU_SHADOW_LAZY },
	{ "eager", UMBRA_MMU_SHADOW_EAGER },
};

static volatile uint64_t g_spaces;

static volatile uint64_t *at(uint64_t addr)
{
	return (volatile uint64_t *)addr;
}

/* In each address space in turn, and again: a page of its own, by its own and a common table. */
static void spaces_guest(void)
{
	uint64_t round, i;

	for (i = 0; i < g_spaces; i++) {
		at(ROOTS + i * PAGE)[0] = at(GPA_PML4)[0];
		at(ROOTS + i * PAGE)[256] = GPA_PML4 | RWU;
	}
	for (round = 0; round < 2; round++) {
		for (i = 0; i < g_spaces; i++) {
			write_cr3(ROOTS + i * PAGE);
			*at(ROOTS + i * PAGE + 64) = i + round;
			GUEST_ASSERT(*at(ROOTS + i * PAGE + 64) == i + round);
		}
		guest_sync(1 + round);
	}
	for (;;) {
		for (i = 0; i < g_spaces; i++) {
			write_cr3(ROOTS + i * PAGE);
			GUEST_ASSERT(*at(ROOTS + i * PAGE + 64) == i + 1);
		}
		guest_sync(3);
	}
}

static struct vcpu *start_spaces(uint32_t mode, unsigned long spaces)
{
	struct vcpu *v = start(mode, spaces_guest);

	ASSERT(!vm_slot(&vm, SLOT, 0, ROOTS, SPACES * PAGE, map_pages(SPACES * PAGE)));
	G(&vm, g_spaces) = spaces;
	return v;
}

TEST_EACH_SECONDS(spaces, "quota: 4,000 address spaces with the smallest quota, shadow-", modes,
		  mode, 120)
{
	struct vcpu *v = start_spaces(mode->id, SPACES / ktap_env("KTAP_SLOWER", 1));

	EXPECT_OK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, LEAST));
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_NR_MMU_PAGES, 0), LEAST);
	vcpu_run_to_sync(v, 1);
	EXPECT(figure(vm.fd, "mmu_table_pages") <= (LEAST + RESERVE) * SHADOW_TABLE_PAGES);
	vcpu_run_to_sync(v, 2);
	EXPECT(figure(vm.fd, "mmu_table_pages") <= (LEAST + RESERVE) * SHADOW_TABLE_PAGES);
}

TEST_EACH(lowered, "quota: what is lowered frees tables at once, and the guest goes on, shadow-", modes,
	  mode)
{
	struct vcpu *v = start_spaces(mode->id, 400);

	EXPECT_OK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, 100000));
	vcpu_run_to_sync(v, 1);
	EXPECT(figure(vm.fd, "mmu_table_pages") > 400);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, LEAST));
	EXPECT(figure(vm.fd, "mmu_table_pages") <= (LEAST + RESERVE) * SHADOW_TABLE_PAGES);
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_sync(v, 3);
}

static struct nl nl;

static void count_quota(struct nl_msg *msg, unsigned int *events, uint64_t *recycled)
{
	if (msg->cmd != UMBRA_NL_CMD_MMU_QUOTA)
		return;
	EXPECT_EQ(nl_u64(msg, UMBRA_NL_A_QUOTA), LEAST);
	EXPECT(nl_u64(msg, UMBRA_NL_A_RECYCLED) > *recycled);
	*recycled = nl_u64(msg, UMBRA_NL_A_RECYCLED);
	++*events;
}

TEST_EACH(told, "quota: netlink tells that tables had to go, once a second at most, shadow-", modes,
	  mode)
{
	uint64_t recycled = 0, all, since = now_ns(), seconds;
	unsigned int events = 0;
	struct nl_msg msg;
	struct vcpu *v;
	uint32_t id;

	if (getuid())
		SKIP("wants root, who may listen");
	nl_open(&nl);
	v = start_spaces(mode->id, 200);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, LEAST));
	id = nl_own_vm(&nl);
	EXPECT_OK(nl_join(&nl, nl.events));
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_sync(v, 2);
	seconds = (now_ns() - since) / 1000000000;
	all = figure(vm.fd, "mmu_recycled");
	vm_free(&vm);
	do {
		ASSERT(nl_next(&nl, &msg) == 1);
		if (nl_u32(&msg, UMBRA_NL_A_VM_ID) == id)
			count_quota(&msg, &events, &recycled);
	} while (nl_u32(&msg, UMBRA_NL_A_VM_ID) != id || msg.cmd != UMBRA_NL_CMD_VM_GONE);
	EXPECT(events >= 1 && events <= 2 + seconds);
	/* 200 spaces have a root at least each, of which so many may stay. */
	EXPECT(all >= recycled && all >= 200 - LEAST - RESERVE);
}

/* All that the shrinkers give. */
static void drop_slabs(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		SKIP("/proc/sys/vm/drop_caches: %s", strerror(errno));
	ASSERT(write(fd, "2", 1) == 1);
	close(fd);
}

TEST_EACH(pressure, "quota: a host short of memory takes tables, and the guest goes on, shadow-", modes,
	  mode)
{
	struct vcpu *v;
	uint64_t before;

	v = start_spaces(mode->id, 400);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, 100000));
	vcpu_run_to_sync(v, 1);
	before = figure(vm.fd, "mmu_table_pages");
	drop_slabs();
	EXPECT(figure(vm.fd, "mmu_table_pages") < before / 2);
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_sync(v, 3);
}

TEST(spares, "quota: a host short of memory takes what is kept for the next tables")
{
	struct vcpu *v = start_spaces(UMBRA_MMU_SHADOW_LAZY, 400);
	uint32_t eager = UMBRA_MMU_SHADOW_EAGER;

	EXPECT_OK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, 100000));
	vcpu_run_to_sync(v, 1);
	/* All tables end, and what some were made of is kept. */
	EXPECT_OK(ioctl(vm.fd, UMBRA_SET_MMU, &eager));
	EXPECT(figure(vm.fd, "mmu_spare_pages") > 0);
	drop_slabs();
	EXPECT_EQ(figure(vm.fd, "mmu_spare_pages"), 0);
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_sync(v, 3);
}

TEST(arguments, "quota: fewer than 64 tables are EINVAL; by itself it follows the memory")
{
	static const unsigned long bad[] = { 0, 1, LEAST - 1 };
	unsigned int i;

	if (!on_umbra())
		SKIP("KVM's own");
	EXPECT(dev_cap(KVM_CAP_MMU_SHADOW_CACHE_CONTROL) > 0);
	vm_init(&vm, 0);
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_NR_MMU_PAGES, 0), MEM_SIZE / PAGE / 50);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERR(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, bad[i]), EINVAL);
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_NR_MMU_PAGES, 0), MEM_SIZE / PAGE / 50);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_NR_MMU_PAGES, 1000));
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_NR_MMU_PAGES, 0), 1000);
	ASSERT(!vm_slot(&vm, SLOT, 0, ROOTS, SPACES * PAGE, map_pages(SPACES * PAGE)));
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_NR_MMU_PAGES, 0), 1000);
}
