// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same ioctls as a 32-bit program calls them: by INT 0x80, which is how
 * .compat_ioctl is reached, and with pointers that fit 32 bits.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

/* 0 or more, or minus an errno. */
static int ioctl32(int fd, uint32_t cmd, const void *arg)
{
	int ret;

	asm volatile("int $0x80"
		     : "=a"(ret)
		     : "a"(54), "b"(fd), "c"(cmd), "d"((uint32_t)(uintptr_t)arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

/* 20 is getpid: there, or the kernel has no 32-bit calls at all. */
static void need_compat(void)
{
	int ret = 20;

	asm volatile("int $0x80" : "+a"(ret) : : "memory", "r8", "r9", "r10",
		     "r11");
	if (ret != getpid())
		SKIP("the kernel takes no 32-bit system calls");
}

static void *low_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	ASSERT(p != MAP_FAILED);
	return p;
}

static void nothing(void)
{
	guest_done();
}

TEST(compat_sys, "32-bit caller: node ioctls")
{
	int sys = dev_open(), fd;

	need_compat();
	EXPECT_EQ(ioctl32(sys, KVM_GET_API_VERSION, NULL), 12);
	EXPECT(ioctl32(sys, KVM_CHECK_EXTENSION,
		       (void *)(uintptr_t)KVM_CAP_USER_MEMORY) > 0);
	fd = ioctl32(sys, KVM_CREATE_VM, NULL);
	EXPECT(fd >= 0);
	EXPECT_EQ(ioctl32(fd, KVM_CREATE_IRQCHIP, NULL), 0);
	EXPECT_EQ(ioctl32(fd, KVM_CREATE_IRQCHIP, NULL), -EEXIST);
}

TEST(compat_unknown, "32-bit caller: an unknown ioctl is refused")
{
	int r;

	need_compat();
	r = ioctl32(dev_open(), _IO(KVMIO, 0xfe), NULL);
	EXPECT_MSG(r == -ENOTTY || (r == -EINVAL && !on_umbra()), "%d", r);
}

TEST(compat_run, "32-bit caller: slot, registers, RUN")
{
	struct kvm_regs *regs = low_pages(4096);
	struct kvm_userspace_memory_region *r = low_pages(4096);
	struct vm vm;
	struct vcpu *v;

	need_compat();
	v = vm_long_mode(&vm, 0, nothing);
	r->slot = 1;
	r->guest_phys_addr = 0x20000000;
	r->memory_size = 4096;
	r->userspace_addr = (uintptr_t)low_pages(4096);
	EXPECT_EQ(ioctl32(vm.fd, KVM_SET_USER_MEMORY_REGION, r), 0);
	r->slot = 2;
	EXPECT_EQ(ioctl32(vm.fd, KVM_SET_USER_MEMORY_REGION, r), -EEXIST);
	EXPECT_EQ(ioctl32(v->fd, KVM_GET_REGS, regs), 0);
	EXPECT_EQ(regs->rip, (uintptr_t)nothing);
	EXPECT_EQ(ioctl32(v->fd, KVM_SET_REGS, regs), 0);
	EXPECT_EQ(ioctl32(v->fd, KVM_RUN, NULL), 0);
	EXPECT(guest_said(v, PORT_DONE, NULL));
}

/* The two that hold a pointer, or a mask in another layout. */

TEST(compat_dirty_log, "32-bit caller: GET_DIRTY_LOG")
{
	struct {
		uint32_t slot, padding;
		uint32_t bitmap, upper;
	} *log = low_pages(4096);
	uint64_t *bits = low_pages(4096);
	struct vm vm;

	need_compat();
	vm_init(&vm, VM_NO_MEMORY);
	ASSERT(!vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0, 64 * 4096,
			map_pages(64 * 4096)));
	log->slot = 1;
	log->bitmap = (uintptr_t)bits;
	/* A 32-bit caller may leave anything in the other half. */
	log->upper = 0xdeadbeef;
	bits[0] = -1ULL;
	EXPECT_EQ(ioctl32(vm.fd, KVM_GET_DIRTY_LOG, log), 0);
	EXPECT_EQ(bits[0], 0);
}

TEST(compat_sigmask, "32-bit caller: SET_SIGNAL_MASK of 8 bytes")
{
	struct kvm_signal_mask *m = low_pages(4096);
	struct vm vm;
	struct vcpu *v;

	need_compat();
	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	m->len = 8;
	EXPECT_EQ(ioctl32(v->fd, KVM_SET_SIGNAL_MASK, m), 0);
	m->len = 7;
	EXPECT_EQ(ioctl32(v->fd, KVM_SET_SIGNAL_MASK, m), -EINVAL);
	EXPECT_EQ(ioctl32(v->fd, KVM_SET_SIGNAL_MASK, NULL), 0);
}

TEST(compat_fault, "32-bit caller: a bad pointer is EFAULT")
{
	struct vm vm;
	struct vcpu *v;

	need_compat();
	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	EXPECT_EQ(ioctl32(v->fd, KVM_GET_REGS, (void *)0xfffff000UL), -EFAULT);
	EXPECT_EQ(ioctl32(vm.fd, KVM_SET_USER_MEMORY_REGION, (void *)8UL),
		  -EFAULT);
}

TEST(compat_msrs, "32-bit caller: MSR and CPUID lists")
{
	struct kvm_msr_list *list = low_pages(4096 * 8);
	struct kvm_cpuid2 *c = low_pages(4096 * 8);
	int sys = dev_open();

	need_compat();
	EXPECT_EQ(ioctl32(sys, KVM_GET_MSR_INDEX_LIST, list), -E2BIG);
	EXPECT(list->nmsrs > 0);
	EXPECT_EQ(ioctl32(sys, KVM_GET_MSR_INDEX_LIST, list), 0);
	c->nent = 256;
	EXPECT_EQ(ioctl32(sys, KVM_GET_SUPPORTED_CPUID, c), 0);
	EXPECT(c->nent > 4 && c->nent < 256);
}
