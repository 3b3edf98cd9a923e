// SPDX-License-Identifier: GPL-2.0-only
/* Umbra's own ioctls: what the machine has, the mode of a VM's memory, its name. */
#include <linux/umbra.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

static void nothing(void)
{
	guest_done();
}

static void need_umbra(void)
{
	if (!on_umbra())
		SKIP("these are Umbra's own");
}

TEST(info, "GET_INFO tells Umbra, which answers, from stock KVM, which refuses")
{
	struct umbra_info info;
	int r, e;

	memset(&info, 0xa5, sizeof(info));
	r = ioctl(dev_open(), UMBRA_GET_INFO, &info);
	e = errno;
	EXPECT_EQ(!r, on_umbra());
	if (r)
		EXPECT(e == ENOTTY || e == EINVAL);
}

TEST(info_content, "GET_INFO: version, back end, paging, modes; padding is 0")
{
	struct umbra_info info;
	unsigned int i;

	need_umbra();
	memset(&info, 0xa5, sizeof(info));
	ASSERT(!ioctl(dev_open(), UMBRA_GET_INFO, &info));
	EXPECT_EQ(info.version, UMBRA_ABI_VERSION);
	EXPECT(!strcmp(info.backend, "SVM") || !strcmp(info.backend, "VMX"));
	EXPECT(!strcmp(info.paging, "NPT") || !strcmp(info.paging, "EPT") ||
	       !info.paging[0]);
	EXPECT(info.modes);
	EXPECT_EQ(info.flags & ~(UMBRA_INFO_NEXT_RIP | UMBRA_INFO_LIVE_MMU), 0);
	for (i = 0; i < ARRAY_SIZE(info.pad); i++)
		EXPECT_EQ(info.pad[i], 0);
	for (i = strlen(info.backend); i < sizeof(info.backend); i++)
		EXPECT_EQ(info.backend[i], 0);
}

TEST(info_fault, "GET_INFO into a guard page is EFAULT")
{
	need_umbra();
	EXPECT_ERR(ioctl(dev_open(), UMBRA_GET_INFO, map_guarded(8)), EFAULT);
}

TEST(mmu_default, "GET_MMU of a new VM is a mode that GET_INFO has")
{
	struct umbra_info info;
	uint32_t mode = -1;
	struct vm vm;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	ASSERT(!ioctl(vm.sys, UMBRA_GET_INFO, &info));
	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &mode));
	EXPECT(mode < 32 && info.modes >> mode & 1);
}

TEST(mmu_bad, "SET_MMU of a number that is no mode is EINVAL")
{
	static const uint32_t bad[] = { 4, 5, 31, 32, 0x80000000, -1U };
	uint32_t before, after;
	struct vm vm;
	unsigned int i;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &before));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_MMU, &bad[i]), EINVAL);
	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &after));
	EXPECT_EQ(after, before);
}

TEST(mmu_each, "SET_MMU takes each mode GET_INFO has, which then runs; no other")
{
	struct umbra_info info;
	uint32_t mode, got;

	need_umbra();
	ASSERT(!ioctl(dev_open(), UMBRA_GET_INFO, &info));
	for (mode = UMBRA_MMU_HARDWARE; mode <= UMBRA_MMU_SHADOW_EAGER; mode++) {
		struct vm vm;
		struct vcpu *v;

		vm_init(&vm, 0);
		if (!(info.modes >> mode & 1)) {
			EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_MMU, &mode),
				   EOPNOTSUPP);
			vm_free(&vm);
			continue;
		}
		EXPECT_OK(ioctl(vm.fd, UMBRA_SET_MMU, &mode));
		ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &got));
		EXPECT_EQ(got, mode);
		v = vm_vcpu(&vm, 0);
		vcpu_long_mode(v, nothing);
		vcpu_run_to_end(v);
		vm_free(&vm);
	}
}

TEST(mmu_fault, "GET_MMU and SET_MMU with a bad pointer are EFAULT")
{
	struct vm vm;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_GET_MMU, NULL), EFAULT);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_MMU, map_guarded(2)), EFAULT);
}

#define NAME_63 "123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *name;
	struct umbra_name in;
	int err;
} names[] = {
	{ "letters", { "web" } },
	{ "one digit", { "7" } },
	{ "all that may stand in one", { "Az09.x_y-z" } },
	{ "63 bytes", { NAME_63 } },
	{ "64 bytes without an end", { NAME_63 "4" }, EINVAL },
	{ "nothing", { "" }, EINVAL },
	{ "a sign first", { "-a" }, EINVAL },
	{ "a dot first", { "." }, EINVAL },
	{ "a slash", { "a/b" }, EINVAL },
	{ "a blank", { "a b" }, EINVAL },
	{ "a newline", { "a\n" }, EINVAL },
	{ "a percent sign", { "a%s" }, EINVAL },
	{ "UTF-8", { "a\xc3\xa4" }, EINVAL },
	{ "a byte after the end", { "a\0b" }, EINVAL },
};

TEST_EACH(name_each, "SET_NAME", names, row)
{
	struct umbra_name got, none = { "" };
	struct vm vm;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	if (row->err)
		EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_NAME, &row->in), row->err);
	else
		EXPECT_OK(ioctl(vm.fd, UMBRA_SET_NAME, &row->in));
	memset(&got, 0xa5, sizeof(got));
	ASSERT(!ioctl(vm.fd, UMBRA_GET_NAME, &got));
	EXPECT(!memcmp(&got, row->err ? &none : &row->in, sizeof(got)));
}

TEST(name_once, "SET_NAME a second time is EBUSY and changes nothing")
{
	struct umbra_name a = { "a" }, b = { "b" }, got;
	struct vm vm, other;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	vm_init(&other, VM_NO_MEMORY);
	ASSERT(!ioctl(vm.fd, UMBRA_SET_NAME, &a));
	EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_NAME, &b), EBUSY);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_NAME, &a), EBUSY);
	ASSERT(!ioctl(vm.fd, UMBRA_GET_NAME, &got));
	EXPECT(!memcmp(&got, &a, sizeof(got)));
	/* The kernel compares no names. */
	EXPECT_OK(ioctl(other.fd, UMBRA_SET_NAME, &a));
}

TEST(name_fault, "GET_NAME and SET_NAME with a bad pointer are EFAULT")
{
	struct vm vm;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_GET_NAME, map_guarded(63)), EFAULT);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_NAME, map_guarded(63)), EFAULT);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_NAME, NULL), EFAULT);
}

struct namer {
	struct vm *vm;
	struct umbra_name name;
	int r, err;
};

static void *set_one(void *arg)
{
	struct namer *n = arg;

	n->r = ioctl(n->vm->fd, UMBRA_SET_NAME, &n->name);
	n->err = errno;
	return NULL;
}

TEST(name_race, "SET_NAME by eight threads at once: one of them wins")
{
	struct namer n[8];
	pthread_t threads[ARRAY_SIZE(n)];
	unsigned int i, round, winners, winner = 0;

	need_umbra();
	for (round = 0; round < 50; round++) {
		struct umbra_name got;
		struct vm vm;

		vm_init(&vm, VM_NO_MEMORY);
		for (i = 0; i < ARRAY_SIZE(n); i++) {
			n[i] = (struct namer){ .vm = &vm };
			snprintf(n[i].name.name, sizeof(n[i].name.name), "vm-%u", i);
			ASSERT(!pthread_create(&threads[i], NULL, set_one, &n[i]));
		}
		winners = 0;
		for (i = 0; i < ARRAY_SIZE(n); i++) {
			pthread_join(threads[i], NULL);
			if (n[i].r)
				EXPECT_EQ(n[i].err, EBUSY);
			else
				winner = i;
			winners += !n[i].r;
		}
		EXPECT_EQ(winners, 1);
		ASSERT(!ioctl(vm.fd, UMBRA_GET_NAME, &got));
		EXPECT(!memcmp(&got, &n[winner].name, sizeof(got)));
		vm_free(&vm);
	}
}
