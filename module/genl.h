/* SPDX-License-Identifier: GPL-2.0-only */
/* Generic netlink: genl.c answers requests, genl_events.c tells what happens. */
#ifndef UMBRA_GENL_H
#define UMBRA_GENL_H

#include <linux/types.h>
#include <linux/umbra_netlink.h>

struct umbra_vcpu;
struct umbra_vm;

int umbra_genl_init(void);
void umbra_genl_exit(void);
/* There is a VM: send samples of its figures to the group stats, while anybody listens. */
void umbra_genl_wake_sampler(void);

/*
 * Something has happened: tell the group events. Without a listener this is next to
 * nothing. They sleep; a spinlock may not be held, mutexes and SRCU may.
 */
void umbra_event_vm(struct umbra_vm *vm, u8 cmd);
void umbra_event_vcpu(struct umbra_vcpu *vcpu, u8 cmd);
/* After umbra_failure_note(); by the vCPU's owner. */
void umbra_event_entry_failed(struct umbra_vcpu *vcpu, u64 reason);
void umbra_event_internal_error(struct umbra_vcpu *vcpu, u32 suberror);
/* The VM's mode is another than @old, a UMBRA_MMU_*. */
void umbra_event_mmu_mode(struct umbra_vm *vm, u32 old);
/* Tables went for want of quota: told once a second, as it may be so at each fault. In vm->srcu. */
#define UMBRA_QUOTA_EVERY	HZ
void umbra_event_quota(struct umbra_vm *vm);
/* umbra_vm_kill() was called, perhaps where nothing may sleep: told once, by who sees it. */
void umbra_event_death(struct umbra_vm *vm);

#endif
