// SPDX-License-Identifier: GPL-2.0-only
/* VM ioctls besides slots and interrupts: vCPU numbers, addresses, clock. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"
#include "x86.h"

static const struct { const char *name; unsigned long id; } vcpu_ids[] = {
	{ "-1", -1UL }, { "2^31", 1UL << 31 }, { "2^32 - 2", 0xfffffffeUL },
	{ "MAX_VCPU_ID", 0 }, { "MAX_VCPU_ID + 1", 1 },
};

TEST_EACH(vcpu_id_bad, "CREATE_VCPU is EINVAL for id ", vcpu_ids, i)
{
	unsigned long id = i->id;
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	if (id <= 1)
		id += dev_cap(KVM_CAP_MAX_VCPU_ID);
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_VCPU, id), EINVAL);
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_VCPU, 0UL));
}

TEST(vcpu_id_last, "CREATE_VCPU takes the last id, MAX_VCPU_ID - 1")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_VCPU,
			(unsigned long)dev_cap(KVM_CAP_MAX_VCPU_ID) - 1));
}

TEST(vcpu_id_twice, "CREATE_VCPU is EEXIST for an id in use")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_VCPU, 3UL));
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_VCPU, 3UL), EEXIST);
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_VCPU, 2UL));
}

TEST(vcpu_id_closed, "CREATE_VCPU is EEXIST for an id whose fd was closed")
{
	struct vm vm;
	int fd;

	vm_init(&vm, VM_NO_MEMORY);
	fd = ioctl(vm.fd, KVM_CREATE_VCPU, 3UL);
	ASSERT(fd >= 0);
	close(fd);
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_VCPU, 3UL), EEXIST);
}

TEST(vcpu_many, "CREATE_VCPU makes 64 of them, or MAX_VCPUS if that is less")
{
	unsigned long i, max = dev_cap(KVM_CAP_MAX_VCPUS);
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	for (i = 0; i < (max < 64 ? max : 64); i++)
		ASSERT(ioctl(vm.fd, KVM_CREATE_VCPU, i) >= 0);
	if (max < 64)
		EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_VCPU, max), EINVAL);
}

TEST(vcpu_mmap_zero, "the run page of a new vCPU is zeros")
{
	struct vm vm;
	struct vcpu *v;
	size_t i, dirty = 0;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	for (i = 0; i < sizeof(*v->run); i++)
		dirty += ((uint8_t *)v->run)[i] != 0;
	/* cr8 and apic_base are the device's to fill in at the first run. */
	EXPECT_EQ(dirty, 0);
}

TEST(vcpu_mmap_end, "the page behind a vCPU's mapping cannot be reached")
{
	struct vm vm;
	struct vcpu *v;
	volatile char *p;
	int status;
	pid_t pid;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	p = mmap(NULL, v->run_size + 4096, PROT_READ, MAP_SHARED, v->fd, 0);
	if (p == MAP_FAILED)
		return;
	pid = fork();
	if (!pid) {
		(void)p[v->run_size];
		_exit(0);
	}
	ASSERT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static const struct { const char *name; unsigned long addr; int err; } tss[] = {
	{ "0xfffbd000 is taken", 0xfffbd000, 0 },
	{ "0xffffd000, the last one, is taken", 0xffffd000, 0 },
	{ "0xffffe000, whose pages pass 4 GiB, is EINVAL", 0xffffe000, EINVAL },
	{ "2^32 is EINVAL", 1UL << 32, EINVAL },
	{ "-1 is EINVAL", -1UL, EINVAL },
};

TEST_EACH(tss_addr, "SET_TSS_ADDR: ", tss, t)
{
	int sys = dev_open(), vm = ioctl(sys, KVM_CREATE_VM, 0UL);

	ASSERT(vm >= 0);
	if (t->err)
		EXPECT_ERR(ioctl(vm, KVM_SET_TSS_ADDR, t->addr), EINVAL);
	else
		EXPECT_OK(ioctl(vm, KVM_SET_TSS_ADDR, t->addr));
}

TEST(identity_late, "SET_IDENTITY_MAP_ADDR and SET_TSS_ADDR after a vCPU are EINVAL")
{
	uint64_t addr = 0xfffbc000;
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	vm_vcpu_raw(&vm, 0);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, &addr), EINVAL);
	/* Stock KVM moves its pages, or does nothing. */
	if (on_umbra())
		EXPECT_ERR(ioctl(vm.fd, KVM_SET_TSS_ADDR, 0xfffbd000UL), EINVAL);
}

TEST(boot_cpu, "SET_BOOT_CPU_ID: that vCPU is the BSP, the others are not")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0UL));
	EXPECT_OK(ioctl(vm.fd, KVM_SET_BOOT_CPU_ID, 2UL));
	vm_vcpu_raw(&vm, 0);
	vm_vcpu_raw(&vm, 2);
	EXPECT(!(vcpu_sregs(&vm.vcpu[0]).apic_base & APIC_BASE_BSP));
	EXPECT(vcpu_sregs(&vm.vcpu[1]).apic_base & APIC_BASE_BSP);
}

TEST(boot_cpu_late, "SET_BOOT_CPU_ID after a vCPU is EBUSY")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_BOOT_CPU_ID, 1UL), EBUSY);
}

/* The VM's clock. */

TEST(clock_runs, "GET_CLOCK goes forward with host time")
{
	struct kvm_clock_data a, b;
	struct vm vm;
	uint64_t t0, t1;

	vm_init(&vm, VM_NO_MEMORY);
	t0 = now_ns();
	ASSERT(!ioctl(vm.fd, KVM_GET_CLOCK, &a));
	sleep_ms(50);
	ASSERT(!ioctl(vm.fd, KVM_GET_CLOCK, &b));
	t1 = now_ns();
	EXPECT(b.clock - a.clock >= 50000000);
	EXPECT_MSG(b.clock - a.clock <= t1 - t0 + 1000000,
		   "clock went %llu ns, the host %llu",
		   (unsigned long long)(b.clock - a.clock),
		   (unsigned long long)(t1 - t0));
}

TEST(clock_set, "SET_CLOCK sets it, forward and back")
{
	static const uint64_t at[] = { 0, 1000000000000ULL, 5000000000ULL };
	struct kvm_clock_data c;
	unsigned int i;
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		memset(&c, 0, sizeof(c));
		c.clock = at[i];
		EXPECT_OK(ioctl(vm.fd, KVM_SET_CLOCK, &c));
		EXPECT_OK(ioctl(vm.fd, KVM_GET_CLOCK, &c));
		EXPECT_MSG(c.clock >= at[i] && c.clock < at[i] + 2000000000ULL,
			   "%llu after it was set to %llu",
			   (unsigned long long)c.clock,
			   (unsigned long long)at[i]);
	}
}

TEST(clock_flags, "SET_CLOCK with an unknown flag is EINVAL")
{
	struct kvm_clock_data c = { .clock = 5, .flags = 0x80000000 };
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_CLOCK, &c), EINVAL);
	c.flags = 0x100;
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_CLOCK, &c), EINVAL);
}

TEST(clock_padding, "GET_CLOCK leaves no old byte in the padding")
{
	struct kvm_clock_data c;
	struct vm vm;
	unsigned int i;

	vm_init(&vm, VM_NO_MEMORY);
	memset(&c, 0xa5, sizeof(c));
	ASSERT(!ioctl(vm.fd, KVM_GET_CLOCK, &c));
	EXPECT_EQ(c.pad0, 0);
	for (i = 0; i < ARRAY_SIZE(c.pad); i++)
		EXPECT_EQ(c.pad[i], 0);
	EXPECT(c.flags <= 0xf);
}

TEST(check_ext_vm, "capabilities that are reported have ioctls that answer")
{
	static const struct { int cap; unsigned long cmd; } promise[] = {
		{ KVM_CAP_MCE, KVM_X86_GET_MCE_CAP_SUPPORTED },
	};
	unsigned int i;
	uint8_t buf[4096];

	for (i = 0; i < ARRAY_SIZE(promise); i++) {
		int r = ioctl(dev_open(), promise[i].cmd, buf);

		if (dev_cap(promise[i].cap) > 0)
			EXPECT_MSG(!r, "%#lx: %s", promise[i].cmd,
				   strerror(errno));
		else
			EXPECT_MSG(r, "%#lx works without its capability",
				   promise[i].cmd);
	}
}

static const struct { const char *name; int cap; } enable_bad[] = {
	{ "an unassigned number", 99999 },
	{ "number 0, which nobody enables", KVM_CAP_IRQCHIP },
	{ "number 2^32 - 1", -1 },
};

TEST_EACH(enable_cap_bad, "ENABLE_CAP on a VM is refused for ", enable_bad, b)
{
	struct kvm_enable_cap cap = { .cap = b->cap };
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_EQ(ioctl(vm.fd, KVM_ENABLE_CAP, &cap), -1);
	EXPECT_MSG(errno == EINVAL || errno == ENOTTY, "%s", strerror(errno));
}

TEST(vm_faults, "VM ioctls with their argument in a guard page are EFAULT")
{
	static const unsigned long cmds[] = {
		KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG, KVM_IRQ_LINE,
		KVM_SET_GSI_ROUTING, KVM_SET_CLOCK, KVM_GET_CLOCK,
		KVM_SET_IDENTITY_MAP_ADDR, KVM_CREATE_PIT2, KVM_GET_IRQCHIP,
		KVM_SET_IRQCHIP, KVM_GET_PIT2, KVM_SET_PIT2,
	};
	struct vm vm;
	unsigned int i;
	uint8_t *edge = map_guarded(4);

	vm_init(&vm, VM_IRQCHIP | VM_PIT | VM_NO_MEMORY);
	memset(edge, 0, 4);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		int r = ioctl(vm.fd, cmds[i], edge);

		EXPECT_MSG(r == -1 && errno == EFAULT, "%#lx: %d, %s", cmds[i],
			   r, strerror(errno));
		r = ioctl(vm.fd, cmds[i], NULL);
		EXPECT_MSG(r == -1 && errno == EFAULT, "%#lx, NULL: %d, %s",
			   cmds[i], r, strerror(errno));
		r = ioctl(vm.fd, cmds[i], 0xffff888000000000UL);
		EXPECT_MSG(r == -1 && errno == EFAULT, "%#lx, kernel: %d, %s",
			   cmds[i], r, strerror(errno));
	}
}

TEST(no_vcpu, "calls that write or mark guest memory are harmless without a vCPU")
{
	uint8_t bits[MEM_SIZE / 4096 / 8];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };
	struct kvm_enable_cap ring = {
		.cap = KVM_CAP_DIRTY_LOG_RING, .args = { 4096 },
	};
	struct kvm_clock_data c = { .clock = 5 };
	struct vm vm;
	size_t i;

	vm_init(&vm, VM_IRQCHIP);
	ASSERT(!vm_slot(&vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, MEM_SIZE, vm.mem));
	EXPECT_OK(ioctl(vm.fd, KVM_SET_CLOCK, &c));
	EXPECT_OK(ioctl(vm.fd, KVM_GET_CLOCK, &c));
	EXPECT_OK(vm_irq(&vm, 4, 1));
	memset(bits, 0xff, sizeof(bits));
	EXPECT_OK(ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < sizeof(bits); i++)
		EXPECT_EQ(bits[i], 0);
	vm_free(&vm);

	vm_init(&vm, VM_NO_MEMORY);
	NEED_CAP(KVM_CAP_DIRTY_LOG_RING);
	EXPECT_OK(ioctl(vm.fd, KVM_ENABLE_CAP, &ring));
	EXPECT_EQ(ioctl(vm.fd, KVM_RESET_DIRTY_RINGS, 0UL), 0);
}
