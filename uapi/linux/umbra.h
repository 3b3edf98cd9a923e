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
#define UMBRA_ABI_VERSION	4

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
#define UMBRA_INFO_LIVE_MMU	(1U << 1)	/* UMBRA_SET_MMU with vCPUs too */

/* The ways to virtualize a VM's memory. */
#define UMBRA_MMU_AUTO		0
#define UMBRA_MMU_HARDWARE	1
#define UMBRA_MMU_SHADOW_LAZY	2
#define UMBRA_MMU_SHADOW_EAGER	3

/* System fd: 0, -EFAULT */
#define UMBRA_GET_INFO		_IOR(UMBRA_IO, 0x00, struct umbra_info)

/*
 * VM fd: the mode, one of UMBRA_MMU_*. SET: 0, -EINVAL for a number that is no mode,
 * -EOPNOTSUPP for one that this machine or this module can't do, or without
 * UMBRA_INFO_LIVE_MMU after a vCPU was created; -ENOMEM, -EEXIST (memory of the VMM's where
 * Intel's backend wants pages of its own), and the mode is as before.
 *
 * vCPUs may run meanwhile. SET waits for none of them: each changes before it next
 * enters its guest, and GET gives the new mode at once. -EBUSY: one has not yet made
 * the last change, because a system call on it has not come to an end since.
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

#define UMBRA_ENTRY_FIELDS	112
#define UMBRA_ENTRY_EXITS	32

/**
 * struct umbra_entry_exit - one of the exits before an entry failed
 * @rip: where the guest was
 * @reason: a number of UMBRA_GET_EXIT_STATS
 * @pad: 0
 */
struct umbra_entry_exit {
	__u64 rip;
	__u32 reason;
	__u32 pad;
};

/**
 * struct umbra_entry_field - a field of the CPU's control structure
 * @name: as a user knows it, such as "guest CR0"; zero-padded
 * @value: what it held
 */
struct umbra_entry_field {
	char name[24];
	__u64 value;
};

/**
 * struct umbra_entry_failure - why the CPU refused to enter a guest
 * @count: out: how many entries of this vCPU have failed; the rest is of the last one
 * @reason: out: what KVM_EXIT_FAIL_ENTRY gave: VMX: the VM-instruction error, or the
 *	exit reason with bit 31 set; SVM: the exit code
 * @qualification: out: VMX: the exit qualification; SVM: EXITINFO1
 * @event: out: the event that was to be injected, in the CPU's own form; 0: none
 * @nr_fields: out: how many of @field are valid
 * @nr_exits: out: how many of @exit are
 * @check: out: the check of the manual that failed, its section first; empty when
 *	Umbra knows none that does; zero-padded
 * @exit: out: the exits before it, the last one first
 * @field: out: the control structure: controls, guest and host
 */
struct umbra_entry_failure {
	__u64 count;
	__u64 reason;
	__u64 qualification;
	__u64 event;
	__u32 nr_fields;
	__u32 nr_exits;
	char check[128];
	struct umbra_entry_exit exit[UMBRA_ENTRY_EXITS];
	struct umbra_entry_field field[UMBRA_ENTRY_FIELDS];
};

/* vCPU fd: 0; -ENOENT no entry has failed, or there was no memory to note it; -EFAULT. */
#define UMBRA_GET_ENTRY_FAILURE	_IOR(UMBRA_IO, 0x20, struct umbra_entry_failure)

/**
 * struct umbra_vmcs_counts - how often a vCPU's VMCS was accessed, for one exit reason
 * @reason: in: a number of UMBRA_GET_EXIT_STATS
 * @pad: 0
 * @exits: out: how many exits there were while the parameter count_vmcs was on
 * @reads: out: VMREADs from those exits until the next entries
 * @writes: out: VMWRITEs
 */
struct umbra_vmcs_counts {
	__u32 reason;
	__u32 pad;
	__u64 exits;
	__u64 reads;
	__u64 writes;
};

/*
 * vCPU fd: 0; -EOPNOTSUPP on SVM, and where count_vmcs was off when the vCPU was made;
 * -ERANGE no such reason, -EINVAL @pad is not 0; -EFAULT.
 */
#define UMBRA_GET_VMCS_COUNTS	_IOWR(UMBRA_IO, 0x21, struct umbra_vmcs_counts)

#endif
