/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Asynchronous page faults: the host fetches a page that it would have to sleep for while
 * the guest runs something else, or waits where interrupts still reach it.
 */
#ifndef UMBRA_APF_H
#define UMBRA_APF_H

#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/types.h>

struct umbra_vcpu;
struct umbra_slot;
struct umbra_apf_work;

/**
 * struct umbra_apf - a vCPU's part, all of it the owner's; the MSRs are in &struct umbra_msrs
 * @works: pages that were asked for, and those that came and of which the guest must be told
 * @nr: how many
 * @last_id: of the last work; a part of its token
 * @refused: could not be fetched: its next fault is to say why
 * @awaited: what the vCPU waits for, until it has come; one of @works, or NULL
 * @wake_all: tell the guest that all it waits for has come
 */
struct umbra_apf {
	struct list_head works;
	unsigned int nr;
	u32 last_id;
	gfn_t refused;
	struct umbra_apf_work *awaited;
	bool wake_all;
};

int umbra_apf_setup(void);	/* at load: -ENOMEM */
void umbra_apf_exit(void);	/* no VM is left */
void umbra_apf_init(struct umbra_vcpu *vcpu);
/* Forget all that was asked for: who fetches it finds nobody to tell. Owner, or nobody runs it. */
void umbra_apf_cancel(struct umbra_vcpu *vcpu);

/**
 * umbra_apf_start() - have the host fetch a page that a fault would sleep for
 * @vcpu: its owner, in vm->srcu, at a fault of the guest's
 * @slot: that holds @gfn
 * @gfn: the page
 * @write: it is to be written
 *
 * The guest is told, where it wants to be and can, by a #PF whose CR2 is a token;
 * else the vCPU waits before it next enters its guest.
 *
 * Return: true: the fault is served for now; false: sleep for the page
 */
bool umbra_apf_start(struct umbra_vcpu *vcpu, const struct umbra_slot *slot, gfn_t gfn, bool write);
/* UMBRA_REQ_APF_READY: pages have come, or the guest can be told of one more. In vm->srcu. Owner. */
void umbra_apf_ready(struct umbra_vcpu *vcpu);
/* UMBRA_REQ_APF_WAIT: is what it waits for still on its way? Owner. */
bool umbra_apf_waits(const struct umbra_vcpu *vcpu);
/* The guest may now be told what it could not be before. Owner. */
void umbra_apf_recheck(struct umbra_vcpu *vcpu);

/* MSR_KVM_ASYNC_PF_EN (in vm->srcu), _INT and _ACK: 0, 1. Owner. */
int umbra_apf_set_en(struct umbra_vcpu *vcpu, u64 value);
int umbra_apf_set_int(struct umbra_vcpu *vcpu, u64 value);
int umbra_apf_set_ack(struct umbra_vcpu *vcpu, u64 value);

#endif
