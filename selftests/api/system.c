// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of the device node itself. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"
#include "x86.h"

TEST(api_version, "GET_API_VERSION is 12")
{
	EXPECT_EQ(ioctl(dev_open(), KVM_GET_API_VERSION, 0UL), 12);
}

TEST(api_version_arg, "GET_API_VERSION with an argument is EINVAL")
{
	EXPECT_ERR(ioctl(dev_open(), KVM_GET_API_VERSION, 1UL), EINVAL);
}

TEST(mmap_size, "GET_VCPU_MMAP_SIZE is whole pages that hold struct kvm_run")
{
	int size = ioctl(dev_open(), KVM_GET_VCPU_MMAP_SIZE, 0UL);

	EXPECT(size >= (int)sizeof(struct kvm_run));
	EXPECT_EQ(size % 4096, 0);
}

TEST(mmap_size_arg, "GET_VCPU_MMAP_SIZE with an argument is EINVAL")
{
	EXPECT_ERR(ioctl(dev_open(), KVM_GET_VCPU_MMAP_SIZE, 1UL), EINVAL);
}

TEST(node_no_mmap, "the node cannot be mapped")
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, dev_open(), 0);

	EXPECT(p == MAP_FAILED);
	EXPECT_EQ(errno, ENODEV);
}

TEST(node_no_read, "the node cannot be read or written")
{
	int fd = dev_open();
	char c = 0;

	EXPECT_ERR(read(fd, &c, 1), EINVAL);
	EXPECT_ERR(write(fd, &c, 1), EINVAL);
}

static const struct cap {
	const char *name;
	int cap;
	int least;
} caps_yes[] = {
	{ "IRQCHIP", KVM_CAP_IRQCHIP, 1 },
	{ "HLT", KVM_CAP_HLT, 1 },
	{ "USER_MEMORY", KVM_CAP_USER_MEMORY, 1 },
	{ "SET_TSS_ADDR", KVM_CAP_SET_TSS_ADDR, 1 },
	{ "EXT_CPUID", KVM_CAP_EXT_CPUID, 1 },
	{ "CLOCKSOURCE", KVM_CAP_CLOCKSOURCE, 1 },
	{ "NR_VCPUS, at least 4", KVM_CAP_NR_VCPUS, 1 },
	{ "MAX_VCPUS, at least 288", KVM_CAP_MAX_VCPUS, 288 },
	{ "MAX_VCPU_ID, at least 4", KVM_CAP_MAX_VCPU_ID, 4 },
	{ "NR_MEMSLOTS, at least 32764", KVM_CAP_NR_MEMSLOTS, 32764 },
	{ "MP_STATE", KVM_CAP_MP_STATE, 1 },
	{ "SYNC_MMU", KVM_CAP_SYNC_MMU, 1 },
	{ "DESTROY_MEMORY_REGION_WORKS", KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ "USER_NMI", KVM_CAP_USER_NMI, 1 },
	{ "IRQ_ROUTING", KVM_CAP_IRQ_ROUTING, 1 },
	{ "JOIN_MEMORY_REGIONS_WORKS", KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ "PIT2", KVM_CAP_PIT2, 1 },
	{ "SET_BOOT_CPU_ID", KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ "PIT_STATE2", KVM_CAP_PIT_STATE2, 1 },
	{ "SET_IDENTITY_MAP_ADDR", KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ "MCE, at least 10 banks", KVM_CAP_MCE, 10 },
	{ "ADJUST_CLOCK", KVM_CAP_ADJUST_CLOCK, 1 },
	{ "INTERNAL_ERROR_DATA", KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ "VCPU_EVENTS", KVM_CAP_VCPU_EVENTS, 1 },
	{ "DEBUGREGS", KVM_CAP_DEBUGREGS, 1 },
	{ "XSAVE", KVM_CAP_XSAVE, 1 },
	{ "XCRS", KVM_CAP_XCRS, 1 },
	{ "GET_TSC_KHZ", KVM_CAP_GET_TSC_KHZ, 1 },
	{ "TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ "READONLY_MEM", KVM_CAP_READONLY_MEM, 1 },
	{ "CHECK_EXTENSION_VM", KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ "IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ "SET_GUEST_DEBUG2", KVM_CAP_SET_GUEST_DEBUG2, 1 },
	{ "SREGS2", KVM_CAP_SREGS2, 1 },
	{ "VAPIC", KVM_CAP_VAPIC, 1 },
	{ "SYNC_REGS", KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ "X86_ROBUST_SINGLESTEP", KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ "X86_USER_SPACE_MSR", KVM_CAP_X86_USER_SPACE_MSR, 1 },
	{ "X86_MSR_FILTER", KVM_CAP_X86_MSR_FILTER, 1 },
	{ "EXCEPTION_PAYLOAD", KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ "X86_TRIPLE_FAULT_EVENT", KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ "MSR_PLATFORM_INFO", KVM_CAP_MSR_PLATFORM_INFO, 1 },
	{ "VCPU_ATTRIBUTES", KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ "SYS_ATTRIBUTES", KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ "XSAVE2, at least 4096", KVM_CAP_XSAVE2, 4096 },
	{ "BINARY_STATS_FD", KVM_CAP_BINARY_STATS_FD, 1 },
	{ "ENABLE_CAP", KVM_CAP_ENABLE_CAP, 1 },
	{ "ENFORCE_PV_FEATURE_CPUID", KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
};

TEST_EACH(cap_yes, "CHECK_EXTENSION has ", caps_yes, c)
{
	int sys = dev_open(), vm = ioctl(sys, KVM_CREATE_VM, 0UL);
	int of_sys = ioctl(sys, KVM_CHECK_EXTENSION, (unsigned long)c->cap);

	ASSERT(vm >= 0);
	EXPECT_MSG(of_sys >= c->least, "on the node: %d", of_sys);
	EXPECT_EQ(ioctl(vm, KVM_CHECK_EXTENSION, (unsigned long)c->cap),
		  of_sys);
}

static const struct { const char *name; unsigned long cap; } caps_no[] = {
	{ "an unassigned number", 99999 },
	{ "a negative number", -1UL },
	{ "a number over 32 bits", 1UL << 32 | KVM_CAP_IRQCHIP | 1UL << 62 },
	{ "another architecture's (S390_UCONTROL)", KVM_CAP_S390_UCONTROL },
	{ "another architecture's (PPC_SMT)", KVM_CAP_PPC_SMT },
};

TEST_EACH(cap_no, "CHECK_EXTENSION has not ", caps_no, c)
{
	EXPECT_EQ(ioctl(dev_open(), KVM_CHECK_EXTENSION, c->cap), 0);
}

static const struct { const char *name; unsigned long type; } vm_types[] = {
	{ "1", 1 }, { "0x80000000", 0x80000000UL }, { "-1", -1UL },
	{ "2^32", 1UL << 32 },
};

TEST_EACH(create_vm_type, "CREATE_VM is EINVAL for type ", vm_types, t)
{
	EXPECT_ERR(ioctl(dev_open(), KVM_CREATE_VM, t->type), EINVAL);
}

TEST(create_vm_cloexec, "CREATE_VM and CREATE_VCPU give close-on-exec fds")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	EXPECT_EQ(fcntl(vm.fd, F_GETFD), FD_CLOEXEC);
	EXPECT_EQ(fcntl(vm.vcpu[0].fd, F_GETFD), FD_CLOEXEC);
}

TEST(create_vm_many, "64 VMs at once, each with its own vCPU 0")
{
	int sys = dev_open(), vm[64], i;

	for (i = 0; i < 64; i++) {
		vm[i] = ioctl(sys, KVM_CREATE_VM, 0UL);
		ASSERT_MSG(vm[i] >= 0, "VM %d: %s", i, strerror(errno));
		ASSERT(ioctl(vm[i], KVM_CREATE_VCPU, 0UL) >= 0);
	}
}

TEST(create_vm_emfile, "CREATE_VM with the fd table full is EMFILE")
{
	int sys = dev_open(), fd, i;

	while (dup(sys) >= 0)
		;
	EXPECT_EQ(errno, EMFILE);
	for (i = 0; i < 100; i++) {
		fd = ioctl(sys, KVM_CREATE_VM, 0UL);
		EXPECT(fd == -1 && errno == EMFILE);
	}
}

static const struct { const char *name; unsigned long cmd; } unknown[] = {
	{ "a free number of KVM's type", _IO(KVMIO, 0xfe) },
	{ "another type", _IO('x', 0x80) },
	{ "CREATE_VM with a size in it", _IOW(KVMIO, 0x01, int) },
	{ "the number 0", 0 },
	{ "all bits set", 0xffffffffUL },
};

static void expect_unknown(int fd, unsigned long cmd)
{
	int r = ioctl(fd, cmd, 0UL);
	int e = errno;

	EXPECT_EQ(r, -1);
	if (r == -1 && e == EINVAL && !on_umbra())
		SKIP("stock KVM says EINVAL, Umbra is to say ENOTTY");
	EXPECT_MSG(e == ENOTTY, "%s", strerror(e));
}

TEST_EACH(unknown_sys, "unknown ioctl on the node is ENOTTY: ", unknown, u)
{
	expect_unknown(dev_open(), u->cmd);
}

TEST_EACH(unknown_vm, "unknown ioctl on a VM is ENOTTY: ", unknown, u)
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	expect_unknown(vm.fd, u->cmd);
}

TEST_EACH(unknown_vcpu, "unknown ioctl on a vCPU is ENOTTY: ", unknown, u)
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	expect_unknown(vm_vcpu_raw(&vm, 0)->fd, u->cmd);
}

TEST(wrong_fd, "an ioctl of a VM or a vCPU on another kind of fd fails")
{
	struct kvm_regs regs;
	struct vm vm;
	int fd;

	vm_init(&vm, VM_NO_MEMORY);
	fd = vm_vcpu_raw(&vm, 0)->fd;
	EXPECT_EQ(ioctl(vm.sys, KVM_GET_REGS, &regs), -1);
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_REGS, &regs), -1);
	EXPECT_EQ(ioctl(vm.fd, KVM_RUN, 0UL), -1);
	EXPECT_EQ(ioctl(vm.sys, KVM_CREATE_VCPU, 1UL), -1);
	EXPECT_EQ(ioctl(fd, KVM_CREATE_VCPU, 1UL), -1);
	EXPECT_EQ(ioctl(fd, KVM_CREATE_VM, 0UL), -1);
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_API_VERSION, 0UL), -1);
}

/* The lists that say how much room they want. */

TEST(msr_list_dance, "GET_MSR_INDEX_LIST: E2BIG writes the count, which fits")
{
	struct kvm_msr_list probe = { .nmsrs = 0 }, *list;
	int sys = dev_open();

	EXPECT_ERR(ioctl(sys, KVM_GET_MSR_INDEX_LIST, &probe), E2BIG);
	ASSERT(probe.nmsrs > 0 && probe.nmsrs < 4096);
	list = map_guarded(sizeof(*list) + probe.nmsrs * 4);
	list->nmsrs = probe.nmsrs;
	EXPECT_OK(ioctl(sys, KVM_GET_MSR_INDEX_LIST, list));
	EXPECT_EQ(list->nmsrs, probe.nmsrs);
}

TEST(msr_list_short, "GET_MSR_INDEX_LIST one short is E2BIG, no entry written")
{
	struct kvm_msr_list probe = { .nmsrs = 0 }, *list;
	int sys = dev_open();

	EXPECT_ERR(ioctl(sys, KVM_GET_MSR_INDEX_LIST, &probe), E2BIG);
	list = map_guarded(sizeof(*list) + (probe.nmsrs - 1) * 4);
	memset(list, 0xa5, sizeof(*list) + (probe.nmsrs - 1) * 4);
	list->nmsrs = probe.nmsrs - 1;
	EXPECT_ERR(ioctl(sys, KVM_GET_MSR_INDEX_LIST, list), E2BIG);
	EXPECT_EQ(list->nmsrs, probe.nmsrs);
	EXPECT_EQ(list->indices[0], 0xa5a5a5a5);
}

TEST(msr_list_fault, "GET_MSR_INDEX_LIST into a guard page is EFAULT")
{
	struct kvm_msr_list *list = map_guarded(sizeof(*list));
	int sys = dev_open();

	list->nmsrs = 4096;
	EXPECT_ERR(ioctl(sys, KVM_GET_MSR_INDEX_LIST, list), EFAULT);
	EXPECT_ERR(ioctl(sys, KVM_GET_MSR_INDEX_LIST, NULL), EFAULT);
	EXPECT_ERR(ioctl(sys, KVM_GET_MSR_INDEX_LIST, -4096UL), EFAULT);
}

static struct kvm_msr_list *msr_list(int cmd)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 4096 * 4);

	list->nmsrs = 4096;
	ASSERT(!ioctl(dev_open(), cmd, list));
	return list;
}

static const struct { const char *name; uint32_t msr; } listed[] = {
	{ "IA32_TSC", MSR_TSC }, { "STAR", MSR_STAR }, { "LSTAR", MSR_LSTAR },
	{ "CSTAR", MSR_CSTAR }, { "SFMASK", MSR_SFMASK },
	{ "KERNEL_GS_BASE", MSR_KERNEL_GS_BASE },
	{ "SYSENTER_CS", MSR_SYSENTER_CS },
	{ "SYSENTER_ESP", MSR_SYSENTER_ESP },
	{ "SYSENTER_EIP", MSR_SYSENTER_EIP }, { "PAT", MSR_PAT },
	{ "TSC_DEADLINE", MSR_TSC_DEADLINE },
	{ "KVM_SYSTEM_TIME_NEW", 0x4b564d01 },
	{ "KVM_WALL_CLOCK_NEW", 0x4b564d00 },
	{ "KVM_ASYNC_PF_EN", 0x4b564d02 }, { "KVM_ASYNC_PF_INT", 0x4b564d06 },
	{ "KVM_ASYNC_PF_ACK", 0x4b564d07 },
};

TEST_EACH(msr_listed, "GET_MSR_INDEX_LIST has ", listed, m)
{
	struct kvm_msr_list *list = msr_list(KVM_GET_MSR_INDEX_LIST);
	uint32_t i;

	for (i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == m->msr)
			return;
	EXPECT_MSG(false, "%#x is not in the list", m->msr);
}

TEST(msr_list_unique, "GET_MSR_INDEX_LIST names no MSR twice")
{
	struct kvm_msr_list *list = msr_list(KVM_GET_MSR_INDEX_LIST);
	uint32_t i, j;

	for (i = 0; i < list->nmsrs; i++)
		for (j = 0; j < i; j++)
			EXPECT_MSG(list->indices[i] != list->indices[j],
				   "%#x twice", list->indices[i]);
}

TEST(msr_features, "each feature MSR that is listed can be read on the node")
{
	struct kvm_msr_list *list;
	uint32_t i;
	int sys = dev_open();

	NEED_CAP(KVM_CAP_GET_MSR_FEATURES);
	list = msr_list(KVM_GET_MSR_FEATURE_INDEX_LIST);
	for (i = 0; i < list->nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry e;
		} m = { .head.nmsrs = 1, .e.index = list->indices[i] };
		int r = ioctl(sys, KVM_GET_MSRS, &m);

		EXPECT_MSG(r == 1, "%#x: %d", list->indices[i], r);
	}
}

TEST(cpuid_dance, "GET_SUPPORTED_CPUID: E2BIG until the room suffices")
{
	struct kvm_cpuid2 *c = NULL;
	int sys = dev_open(), r = -1;
	uint32_t n;

	for (n = 0; n < 1024 && r; n = n ? n * 2 : 1) {
		c = map_guarded(sizeof(*c) + n * sizeof(c->entries[0]));
		c->nent = n;
		r = ioctl(sys, KVM_GET_SUPPORTED_CPUID, c);
		if (r)
			ASSERT_MSG(errno == E2BIG, "%s", strerror(errno));
	}
	ASSERT(!r);
	EXPECT(c->nent > 4);
	EXPECT(c->nent <= n);
}

TEST(cpuid_exact, "GET_SUPPORTED_CPUID with exactly the room needed succeeds")
{
	uint32_t n = supported_cpuid()->nent;
	size_t size = sizeof(struct kvm_cpuid2) +
		      n * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *c = map_guarded(size);

	c->nent = n;
	EXPECT_OK(ioctl(dev_open(), KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_EQ(c->nent, n);
	c->nent = n - 1;
	EXPECT_ERR(ioctl(dev_open(), KVM_GET_SUPPORTED_CPUID, c), E2BIG);
}

TEST(cpuid_huge, "GET_SUPPORTED_CPUID with nent 2^31 and little room is safe")
{
	struct kvm_cpuid2 *c = map_guarded(sizeof(*c));

	c->nent = 1U << 31;
	EXPECT_ERR(ioctl(dev_open(), KVM_GET_SUPPORTED_CPUID, c), EFAULT);
	c->nent = -1U;
	EXPECT_ERR(ioctl(dev_open(), KVM_GET_SUPPORTED_CPUID, c), EFAULT);
	EXPECT_ERR(ioctl(dev_open(), KVM_GET_SUPPORTED_CPUID, NULL), EFAULT);
}

TEST(cpuid_padding, "GET_SUPPORTED_CPUID leaves no padding unwritten")
{
	size_t size = sizeof(struct kvm_cpuid2) +
		      256 * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *c = malloc(size);
	uint32_t i, j;

	memset(c, 0xa5, size);
	c->nent = 256;
	ASSERT(!ioctl(dev_open(), KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_EQ(c->padding, 0xa5a5a5a5);	/* not the device's to write */
	for (i = 0; i < c->nent; i++)
		for (j = 0; j < 3; j++)
			EXPECT_EQ(c->entries[i].padding[j], 0);
	if (c->nent < 256)
		EXPECT_EQ(c->entries[c->nent].function, 0xa5a5a5a5);
}

TEST(cpuid_signature, "GET_SUPPORTED_CPUID offers KVM's signature")
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0x40000000, 0);

	ASSERT(e);
	EXPECT(!memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 4));
	EXPECT(!memcmp(&e->ecx, "VMKV", 4));
	EXPECT_EQ(e->edx, 'M');
	EXPECT(e->eax >= 0x40000001);
}

TEST(cpuid_kvmclock, "GET_SUPPORTED_CPUID offers kvmclock and its stable bit")
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0x40000001, 0);

	ASSERT(e);
	EXPECT(e->eax & BIT(3));	/* CLOCKSOURCE2 */
	EXPECT(e->eax & BIT(24));	/* CLOCKSOURCE_STABLE_BIT */
}

TEST(cpuid_addr_bits, "GET_SUPPORTED_CPUID gives 48 or 57 virtual address bits")
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0x80000008, 0);
	uint32_t va;

	ASSERT(e);
	va = e->eax >> 8 & 0xff;
	EXPECT_MSG(va == 48 || va == 57, "%u", va);
	EXPECT((e->eax & 0xff) >= 36);
}

TEST(cpuid_no_nested, "GET_SUPPORTED_CPUID offers neither VMX nor SVM")
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 1, 0);
	struct kvm_cpuid_entry2 *x = cpuid_find(supported_cpuid(), 0x80000001, 0);

	if (!on_umbra())
		SKIP("stock KVM can nest");
	ASSERT(e && x);
	EXPECT(!(e->ecx & BIT(5)));
	EXPECT(!(x->ecx & BIT(2)));
	EXPECT_EQ(dev_cap(KVM_CAP_NESTED_STATE), 0);
}

TEST(cpuid_deterministic, "GET_SUPPORTED_CPUID says the same twice")
{
	size_t size = sizeof(struct kvm_cpuid2) +
		      256 * sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *a = malloc(size);

	memset(a, 0, size);
	a->nent = 256;
	ASSERT(!ioctl(dev_open(), KVM_GET_SUPPORTED_CPUID, a));
	EXPECT(!memcmp(a->entries, supported_cpuid()->entries,
		       a->nent * sizeof(a->entries[0])));
}
