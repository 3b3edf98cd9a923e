// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold once|wait|node: make a VM with a vCPU that runs one instruction, and be
 * gone; or say «ready» and hold it until the end of input. node: hold no more
 * than the device. Exit: 0, or the errno of what failed. For scripts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int fail(const char *what)
{
	int e = errno;

	fprintf(stderr, "%s: %s\n", what, strerror(e));
	return e;
}

/* HLT at the reset vector of a vCPU whose CS is at 0. */
static int run_one(int vm, int sys)
{
	struct kvm_userspace_memory_region slot = { .memory_size = 4096 };
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_run *run;
	unsigned char *mem;
	int vcpu, size;

	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return fail("mmap");
	mem[0] = 0xf4;
	slot.userspace_addr = (unsigned long)mem;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		return fail("KVM_SET_USER_MEMORY_REGION");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0UL);
	if (vcpu < 0)
		return fail("KVM_CREATE_VCPU");
	size = ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, 0UL);
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return fail("mmap of the vCPU");
	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return fail("KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) ||
	    ioctl(vcpu, KVM_SET_REGS, &regs))
		return fail("KVM_SET_REGS");
	if (ioctl(vcpu, KVM_RUN, 0UL))
		return fail("KVM_RUN");
	if (run->exit_reason != KVM_EXIT_HLT) {
		fprintf(stderr, "exit %u, not HLT\n", run->exit_reason);
		return EIO;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *dev = getenv("UMBRA_DEV");
	int sys, vm, ret;
	char c;

	if (argc != 2)
		return EINVAL;
	sys = open(dev && *dev ? dev : "/dev/umbra", O_RDWR | O_CLOEXEC);
	if (sys < 0)
		return fail("open");
	if (strcmp(argv[1], "node")) {
		vm = ioctl(sys, KVM_CREATE_VM, 0UL);
		if (vm < 0)
			return fail("KVM_CREATE_VM");
		ret = run_one(vm, sys);
		if (ret)
			return ret;
	}
	if (strcmp(argv[1], "once")) {
		puts("ready");
		fflush(stdout);
		while (read(0, &c, 1) > 0)
			;
	}
	return 0;
}
