/* SPDX-License-Identifier: GPL-2.0-only */
/* All VMs that there are, for who looks at them from outside: netlink and debugfs. */
#ifndef UMBRA_REGISTRY_H
#define UMBRA_REGISTRY_H

#include <linux/ratelimit_types.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct dentry;
struct pid;
struct umbra_vcpu;
struct umbra_vm;

/**
 * struct umbra_listing - a VM's entry
 * @id: from 1; taken in turn, so that a VM that is gone is not soon mistaken (c)
 * @maker: the process that made it, referenced (c)
 * @uid: whose process that was (c)
 * @comm: its name at that time (c)
 * @dir: in debugfs (c)
 * @limit: of the events that a guest or its VMM can cause as often as it likes
 * @quota_told: when the VM's quota was told of last, in jiffies (a)
 * @ran: a vCPU has run (a)
 * @death_told: the event of its death was sent (a)
 */
struct umbra_listing {
	u32 id;
	struct pid *maker;
	kuid_t uid;
	char comm[TASK_COMM_LEN];
	struct dentry *dir;
	struct ratelimit_state limit;
	unsigned long quota_told;
	bool ran;
	bool death_told;
};

/* A VM that is complete begins to be seen; -ENOMEM. Its end: nobody looks at it any more. */
int umbra_registry_add(struct umbra_vm *vm);
void umbra_registry_remove(struct umbra_vm *vm);
/* A vCPU that is complete; vm->lock held. */
void umbra_registry_add_vcpu(struct umbra_vcpu *vcpu);

/* While locked no VM comes or goes; inside vm->lock. */
void umbra_registry_lock(void);
void umbra_registry_unlock(void);
/* Locked: the VM with the least id from @id on, or NULL. */
struct umbra_vm *umbra_registry_from(unsigned long id);
/* Locked: another number than before when a VM or vCPU came or went. Never 0. */
unsigned int umbra_registry_generation(void);

#endif
