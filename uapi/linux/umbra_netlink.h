/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The generic netlink family by which Umbra tells what VMs there are, what they do
 * and what happens to them. It controls nothing: that needs a VM's file descriptor.
 * umbra_netlink.yaml beside this file says the same to programs; Documentation/netlink.rst
 * says who may ask, and what is promised about order and loss.
 */
#ifndef _UAPI_LINUX_UMBRA_NETLINK_H
#define _UAPI_LINUX_UMBRA_NETLINK_H

#define UMBRA_NL_FAMILY		"umbra"
#define UMBRA_NL_VERSION	1

/* Multicast groups; joining either wants CAP_NET_ADMIN. */
#define UMBRA_NL_GROUP_EVENTS	"events"
#define UMBRA_NL_GROUP_STATS	"stats"

/**
 * enum umbra_nl_cmd - requests, and what the groups get
 * @UMBRA_NL_CMD_VM_GET: one VM, by VM_ID, or (dump) all that the caller may see
 * @UMBRA_NL_CMD_VCPU_GET: dump: the vCPUs of all, or of VM_ID
 * @UMBRA_NL_CMD_STATS_GET: dump: the figures of all VMs and vCPUs, or of VM_ID
 * @UMBRA_NL_CMD_VM_NEW: event: a VM was made
 * @UMBRA_NL_CMD_VM_GONE: event: it is no more
 * @UMBRA_NL_CMD_VM_STATE: event: its state or its name is another
 * @UMBRA_NL_CMD_VCPU_NEW: event: a vCPU was made
 * @UMBRA_NL_CMD_VCPU_GONE: event: it is no more; vCPUs end with their VM
 * @UMBRA_NL_CMD_VCPU_STATE: event: another thread runs it, the first one too
 * @UMBRA_NL_CMD_ENTRY_FAILED: event: the CPU refused to enter the guest
 * @UMBRA_NL_CMD_TRIPLE_FAULT: event: the guest has shut down by a triple fault
 * @UMBRA_NL_CMD_INTERNAL_ERROR: event: KVM_RUN gave KVM_EXIT_INTERNAL_ERROR
 * @UMBRA_NL_CMD_MMU_MODE: event: the VM's memory is virtualized in another way
 * @UMBRA_NL_CMD_STATS: group stats: a VM's figures, once in a while
 * @UMBRA_NL_CMD_MMU_QUOTA: event: a shadow needs more tables than it may have: some went
 */
enum umbra_nl_cmd {
	UMBRA_NL_CMD_UNSPEC,
	UMBRA_NL_CMD_VM_GET,
	UMBRA_NL_CMD_VCPU_GET,
	UMBRA_NL_CMD_STATS_GET,
	UMBRA_NL_CMD_VM_NEW,
	UMBRA_NL_CMD_VM_GONE,
	UMBRA_NL_CMD_VM_STATE,
	UMBRA_NL_CMD_VCPU_NEW,
	UMBRA_NL_CMD_VCPU_GONE,
	UMBRA_NL_CMD_VCPU_STATE,
	UMBRA_NL_CMD_ENTRY_FAILED,
	UMBRA_NL_CMD_TRIPLE_FAULT,
	UMBRA_NL_CMD_INTERNAL_ERROR,
	UMBRA_NL_CMD_MMU_MODE,
	UMBRA_NL_CMD_STATS,
	UMBRA_NL_CMD_MMU_QUOTA,
	__UMBRA_NL_CMD_MAX,
	UMBRA_NL_CMD_MAX = __UMBRA_NL_CMD_MAX - 1
};

/**
 * enum umbra_nl_attr - attributes of all messages
 * @UMBRA_NL_A_PAD: before some u64, so that it is aligned
 * @UMBRA_NL_A_VM_ID: u32, from 1: a VM's number, which no other VM gets soon after it
 * @UMBRA_NL_A_VCPU_ID: u32, KVM_CREATE_VCPU's argument
 * @UMBRA_NL_A_SEQ: u64, the message's number in its group: each one more than the last
 * @UMBRA_NL_A_LOST: u64, how many events were never sent since the module was loaded
 * @UMBRA_NL_A_PID: u32, the process that made the VM; 0: not to be seen from here
 * @UMBRA_NL_A_COMM: string, that process's name when it made the VM
 * @UMBRA_NL_A_UID: u32, whose the VM is
 * @UMBRA_NL_A_NAME: string, of UMBRA_SET_NAME; absent: it has none
 * @UMBRA_NL_A_STATE: u32, enum umbra_nl_state
 * @UMBRA_NL_A_MMU_MODE: u32, UMBRA_MMU_*
 * @UMBRA_NL_A_OLD_MMU_MODE: u32, what it was before
 * @UMBRA_NL_A_VCPUS: u32, how many vCPUs there are
 * @UMBRA_NL_A_MEMORY: u64, bytes of all slots
 * @UMBRA_NL_A_TID: u32, the thread that ran the vCPU last; 0: none, or not to be seen
 * @UMBRA_NL_A_MP_STATE: u32, KVM_MP_STATE_*
 * @UMBRA_NL_A_REASON: u64, KVM_EXIT_FAIL_ENTRY's reason
 * @UMBRA_NL_A_CHECK: string, the manual's check that failed, where it is known
 * @UMBRA_NL_A_SUBERROR: u32, KVM_EXIT_INTERNAL_ERROR's
 * @UMBRA_NL_A_TSC_KHZ: u32, the ticks of the figures, a millisecond
 * @UMBRA_NL_A_COUNTER: nested, enum umbra_nl_counter_attr; any number of them
 * @UMBRA_NL_A_EXIT: nested, enum umbra_nl_exit_attr; one for each reason that occurred
 * @UMBRA_NL_A_QUOTA: u64, how many tables a shadow may have
 * @UMBRA_NL_A_RECYCLED: u64, how many went for want of quota since the VM was made
 */
enum umbra_nl_attr {
	UMBRA_NL_A_UNSPEC,
	UMBRA_NL_A_PAD,
	UMBRA_NL_A_VM_ID,
	UMBRA_NL_A_VCPU_ID,
	UMBRA_NL_A_SEQ,
	UMBRA_NL_A_LOST,
	UMBRA_NL_A_PID,
	UMBRA_NL_A_COMM,
	UMBRA_NL_A_UID,
	UMBRA_NL_A_NAME,
	UMBRA_NL_A_STATE,
	UMBRA_NL_A_MMU_MODE,
	UMBRA_NL_A_OLD_MMU_MODE,
	UMBRA_NL_A_VCPUS,
	UMBRA_NL_A_MEMORY,
	UMBRA_NL_A_TID,
	UMBRA_NL_A_MP_STATE,
	UMBRA_NL_A_REASON,
	UMBRA_NL_A_CHECK,
	UMBRA_NL_A_SUBERROR,
	UMBRA_NL_A_TSC_KHZ,
	UMBRA_NL_A_COUNTER,
	UMBRA_NL_A_EXIT,
	UMBRA_NL_A_QUOTA,
	UMBRA_NL_A_RECYCLED,
	__UMBRA_NL_A_MAX,
	UMBRA_NL_A_MAX = __UMBRA_NL_A_MAX - 1
};

/**
 * enum umbra_nl_counter_attr - one figure of a VM or vCPU
 * @UMBRA_NL_COUNTER_PAD: before some u64
 * @UMBRA_NL_COUNTER_NAME: string
 * @UMBRA_NL_COUNTER_VALUE: u64
 */
enum umbra_nl_counter_attr {
	UMBRA_NL_COUNTER_UNSPEC,
	UMBRA_NL_COUNTER_PAD,
	UMBRA_NL_COUNTER_NAME,
	UMBRA_NL_COUNTER_VALUE,
	__UMBRA_NL_COUNTER_MAX,
	UMBRA_NL_COUNTER_MAX = __UMBRA_NL_COUNTER_MAX - 1
};

/**
 * enum umbra_nl_exit_attr - the exits for one reason, as in struct umbra_exit_stats
 * @UMBRA_NL_EXIT_PAD: before some u64
 * @UMBRA_NL_EXIT_NAME: string
 * @UMBRA_NL_EXIT_COUNT: u64
 * @UMBRA_NL_EXIT_TICKS: u64
 * @UMBRA_NL_EXIT_BUCKETS: binary, UMBRA_EXIT_BUCKETS times u64; not in group stats
 */
enum umbra_nl_exit_attr {
	UMBRA_NL_EXIT_UNSPEC,
	UMBRA_NL_EXIT_PAD,
	UMBRA_NL_EXIT_NAME,
	UMBRA_NL_EXIT_COUNT,
	UMBRA_NL_EXIT_TICKS,
	UMBRA_NL_EXIT_BUCKETS,
	__UMBRA_NL_EXIT_MAX,
	UMBRA_NL_EXIT_MAX = __UMBRA_NL_EXIT_MAX - 1
};

/**
 * enum umbra_nl_state - how far a VM has come
 * @UMBRA_NL_STATE_NEW: no vCPU has run yet
 * @UMBRA_NL_STATE_RUNNING: one has
 * @UMBRA_NL_STATE_DEAD: it can't run any more: calls are EIO
 */
enum umbra_nl_state {
	UMBRA_NL_STATE_NEW,
	UMBRA_NL_STATE_RUNNING,
	UMBRA_NL_STATE_DEAD,
};

#endif
