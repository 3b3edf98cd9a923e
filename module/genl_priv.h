/* SPDX-License-Identifier: GPL-2.0-only */
/* What genl.c and genl_events.c share. */
#ifndef UMBRA_GENL_PRIV_H
#define UMBRA_GENL_PRIV_H

#include <linux/types.h>
#include <linux/umbra_netlink.h>

struct genl_family;
struct pid_namespace;
struct sk_buff;
struct umbra_vcpu;
struct umbra_vm;

/* The multicast groups, by their place in the family. */
enum umbra_genl_group {
	UMBRA_GROUP_EVENTS,
	UMBRA_GROUP_STATS,
};

extern struct genl_family umbra_genl_family;

/* Put what the name says into a message, pids as @ns has them: 0, -EMSGSIZE. */
int umbra_put_subject(struct sk_buff *skb, struct umbra_vm *vm, const struct umbra_vcpu *vcpu);
int umbra_put_vm(struct sk_buff *skb, struct umbra_vm *vm, struct pid_namespace *ns);
int umbra_put_vcpu(struct sk_buff *skb, struct umbra_vcpu *vcpu, struct pid_namespace *ns);
/* The figures of @vcpu, or of @vm where that is NULL, but those about exits. */
int umbra_put_counters(struct sk_buff *skb, struct umbra_vm *vm, const struct umbra_vcpu *vcpu);

/* The exits for one reason. */
struct umbra_exits {
	u32 reason;
	u64 count;
	u64 ticks;
	const u64 *buckets;	/* UMBRA_EXIT_BUCKETS words, or NULL */
};

int umbra_put_exits(struct sk_buff *skb, const struct umbra_exits *exits);

/* genl_events.c */
void umbra_sampler_stop(void);

#endif
