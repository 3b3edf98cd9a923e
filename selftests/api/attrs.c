// SPDX-License-Identifier: GPL-2.0-only
/* Attributes of the system and of a vCPU, XSAVE areas, and switches of a VM. */
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

static int attr(int fd, unsigned long cmd, uint32_t group, uint64_t number, void *value)
{
	struct kvm_device_attr a = { .group = group, .attr = number, .addr = (uintptr_t)value };

	return ioctl(fd, cmd, &a);
}

static int enable(struct vm *vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &c);
}

TEST(attr_xcomp, "the system's attribute: what of XCR0 guests may have")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, 0);
	int sys = dev_open();
	uint64_t got = 0;

	EXPECT_OK(attr(sys, KVM_HAS_DEVICE_ATTR, 0, KVM_X86_XCOMP_GUEST_SUPP, NULL));
	ASSERT(!attr(sys, KVM_GET_DEVICE_ATTR, 0, KVM_X86_XCOMP_GUEST_SUPP, &got));
	EXPECT_EQ(got, e ? (uint64_t)e->edx << 32 | e->eax : 0);
	EXPECT_ERR(attr(sys, KVM_HAS_DEVICE_ATTR, 1, KVM_X86_XCOMP_GUEST_SUPP, NULL), ENXIO);
	EXPECT_ERR(attr(sys, KVM_GET_DEVICE_ATTR, 0, 1, &got), ENXIO);
	EXPECT_ERR(attr(sys, KVM_GET_DEVICE_ATTR, 0, KVM_X86_XCOMP_GUEST_SUPP, (void *)8), EFAULT);
}

static volatile uint64_t g_tsc;

static void tsc_guest(void)
{
	g_tsc = rdtsc();
	guest_done();
}

TEST(attr_tsc_offset, "a vCPU's attribute: the guest's TSC is the host's and the offset")
{
	uint64_t offset = 1ULL << 50, got = 0, before, after;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, tsc_guest);

	EXPECT_OK(attr(v->fd, KVM_HAS_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, NULL));
	ASSERT(!attr(v->fd, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, &offset));
	ASSERT(!attr(v->fd, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, &got));
	EXPECT_EQ(got, offset);
	before = rdtsc();
	vcpu_run_to_end(v);
	after = rdtsc();
	/* On a host whose TSCs are not to be trusted it is kept by the clock: about right. */
	EXPECT(G(&vm, g_tsc) >= before + offset - (1ULL << 32));
	EXPECT(G(&vm, g_tsc) <= after + offset + (1ULL << 32));
}

TEST(attr_bad, "a vCPU's attributes: none of that group or number, no memory")
{
	uint64_t value = 0;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu(&vm, 0);
	EXPECT_ERR(attr(v->fd, KVM_HAS_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, 1, NULL), ENXIO);
	EXPECT_ERR(attr(v->fd, KVM_GET_DEVICE_ATTR, 7, KVM_VCPU_TSC_OFFSET, &value), ENXIO);
	EXPECT_ERR(attr(v->fd, KVM_SET_DEVICE_ATTR, 7, KVM_VCPU_TSC_OFFSET, &value), ENXIO);
	EXPECT_ERR(attr(v->fd, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			(void *)8), EFAULT);
	EXPECT_ERR(attr(v->fd, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			(void *)8), EFAULT);
}

TEST(xsave2, "GET_XSAVE2 gives KVM_CAP_XSAVE2 bytes, which begin as GET_XSAVE's; SET_XSAVE takes them")
{
	struct kvm_xsave first;
	struct vm vm;
	struct vcpu *v;
	int size = dev_cap(KVM_CAP_XSAVE2);
	uint8_t *area;

	ASSERT(size >= (int)sizeof(first));
	area = malloc(size);
	ASSERT(area);
	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu(&vm, 0);
	memset(area, 0xa5, size);
	memset(&first, 0x5a, sizeof(first));
	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE, &first));
	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE2, area));
	EXPECT(!memcmp(&first, area, sizeof(first)));
	/* ST0's first byte, with the legacy state in the header. */
	area[32] = 0x77;
	area[512] |= 3;
	ASSERT(!ioctl(v->fd, KVM_SET_XSAVE, area));
	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE2, area));
	EXPECT_EQ(area[32], 0x77);
	EXPECT_ERR(ioctl(v->fd, KVM_GET_XSAVE2, 8UL), EFAULT);
	EXPECT_ERR(ioctl(v->fd, KVM_SET_XSAVE, 8UL), EFAULT);
	free(area);
}

TEST(max_vcpu_id, "ENABLE_CAP of MAX_VCPU_ID binds CREATE_VCPU, once")
{
	int most = dev_cap(KVM_CAP_MAX_VCPU_ID);
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(enable(&vm, KVM_CAP_MAX_VCPU_ID, most + 1UL), EINVAL);
	EXPECT_ERR(enable(&vm, KVM_CAP_MAX_VCPU_ID, 1ULL << 32 | 2), EINVAL);
	EXPECT_OK(enable(&vm, KVM_CAP_MAX_VCPU_ID, 2));
	EXPECT_OK(enable(&vm, KVM_CAP_MAX_VCPU_ID, 2));
	EXPECT_ERR(enable(&vm, KVM_CAP_MAX_VCPU_ID, 3), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_VCPU, 2UL), EINVAL);
	EXPECT(ioctl(vm.fd, KVM_CREATE_VCPU, 1UL) >= 0);
}

TEST(max_vcpu_id_late, "and comes too late for a VM that has a vCPU")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	EXPECT_ERR(enable(&vm, KVM_CAP_MAX_VCPU_ID, 2), EINVAL);
}

static volatile uint64_t g_info;

static void platform_guest(void)
{
	g_info = rdmsr(0xce);
	guest_sync(1);
	GUEST_TRY("rdmsr", : : "c"(0xce) : "rax", "rdx");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_done();
}

TEST(platform_info, "MSR_PLATFORM_INFO is the VMM's to give, and to hide")
{
	uint64_t got;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, platform_guest);

	EXPECT_EQ(vcpu_set_msr(v, 0xce, 0xff00), 1);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_info), 0xff00);
	ASSERT(!enable(&vm, KVM_CAP_MSR_PLATFORM_INFO, 0));
	vcpu_run_to_end(v);
	EXPECT_EQ(vcpu_get_msr(v, 0xce, &got), 1);
	EXPECT_EQ(got, 0xff00);
	EXPECT_ERR(enable(&vm, KVM_CAP_MSR_PLATFORM_INFO, 2), EINVAL);
}
