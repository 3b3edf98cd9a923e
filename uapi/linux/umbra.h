/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What Umbra has beyond KVM's ABI. Umbra's file descriptors take KVM's ioctls
 * (<linux/kvm.h>) and, under a type of their own, these; stock KVM refuses
 * them (ENOTTY on a VM, EINVAL on the node), which tells the two apart.
 */
#ifndef _UAPI_LINUX_UMBRA_H
#define _UAPI_LINUX_UMBRA_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define UMBRA_IO	0xBB

/* The version of this header's ABI: grows when something is added. */
#define UMBRA_ABI_VERSION	2

/**
 * struct umbra_info - what this machine and this module can do
 * @version: out: UMBRA_ABI_VERSION of the module
 * @modes: out: bits 1 << UMBRA_MMU_*, the modes that a VM can have here
 * @backend: out: "SVM" or "VMX", zero-padded
 * @paging: out: "NPT" or "EPT", or empty when there is no such hardware
 * @flags: out: UMBRA_INFO_*
 * @pad: out: 0
 */
struct umbra_info {
	__u32 version;
	__u32 modes;
	char backend[8];
	char paging[8];
	__u32 flags;
	__u32 pad[9];
};

#define UMBRA_INFO_NEXT_RIP	(1U << 0)	/* exits tell where the instruction ends */

/* The ways to virtualize a VM's memory. */
#define UMBRA_MMU_AUTO		0
#define UMBRA_MMU_HARDWARE	1
#define UMBRA_MMU_SHADOW_LAZY	2
#define UMBRA_MMU_SHADOW_EAGER	3

/* System fd: 0, -EFAULT */
#define UMBRA_GET_INFO		_IOR(UMBRA_IO, 0x00, struct umbra_info)

/*
 * VM fd: the mode, one of UMBRA_MMU_*. SET before the first vCPU: 0, -EINVAL
 * for a number that is no mode, -EOPNOTSUPP for one that this machine or this
 * module can't do, -EBUSY after a vCPU was created.
 */
#define UMBRA_GET_MMU		_IOR(UMBRA_IO, 0x10, __u32)
#define UMBRA_SET_MMU		_IOW(UMBRA_IO, 0x11, __u32)

/**
 * struct umbra_name - what a VM is called in the log and by tools
 * @name: 1 to 63 letters, digits and any of . _ - with a letter or digit first;
 *	zero-padded. GET: all zero when the VM has none
 *
 * The kernel does not compare names: that no two are alike is userspace's affair.
 */
struct umbra_name {
	char name[64];
};

/*
 * VM fd. SET once in a VM's life: 0, -EINVAL for what is no name, -EBUSY when it has
 * one; -EFAULT.
 */
#define UMBRA_GET_NAME		_IOR(UMBRA_IO, 0x12, struct umbra_name)
#define UMBRA_SET_NAME		_IOW(UMBRA_IO, 0x13, struct umbra_name)

#define UMBRA_EXIT_BUCKETS	32

/**
 * struct umbra_exit_stats - a vCPU's exits for one reason
 * @vcpu: in: the vCPU's id
 * @reason: in: 0, 1, 2... until -ERANGE. A reason keeps its number; new ones follow
 * @name: out: what it is called, such as "cpuid"; zero-padded
 * @count: out: how many there were since the vCPU was created
 * @ticks: out: the time they took together, from the guest's exit to its next entry,
 *	in ticks of the host's TSC; a time in userspace or asleep counts as well
 * @tsc_khz: out: those ticks a millisecond
 * @pad: 0
 * @bucket: out: [n]: how many exits took 2^n ticks or more, and less than 2^(n+1);
 *	[0] has those of none, the last one those of more
 *
 * Of a vCPU that runs meanwhile the figures are of slightly different moments. The
 * exit that is being served is in @count and in nothing else yet, so that @count is
 * never less than the sum of @bucket.
 */
struct umbra_exit_stats {
	__u32 vcpu;
	__u32 reason;
	char name[16];
	__u64 count;
	__u64 ticks;
	__u32 tsc_khz;
	__u32 pad;
	__u64 bucket[UMBRA_EXIT_BUCKETS];
};

/*
 * VM fd; it does not wait for the vCPU. 0; -ENOENT no such vCPU, -ERANGE no such
 * reason, -EINVAL @pad is not 0; -EFAULT.
 */
#define UMBRA_GET_EXIT_STATS	_IOWR(UMBRA_IO, 0x14, struct umbra_exit_stats)

#endif
