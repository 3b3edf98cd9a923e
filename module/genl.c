// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: what VMs there are, to those who may know. A caller
 * sees the VMs of its own user, and with CAP_NET_ADMIN in the initial user namespace
 * all. The family is that of the initial network namespace; others have none.
 */
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/sizes.h>
#include <asm/tsc.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "compat.h"
#include "genl.h"
#include "genl_priv.h"
#include "stats.h"
#include "umbra.h"

/* Room for the largest message, a vCPU's figures with a histogram for each reason. */
#define DUMP_ROOM	SZ_16K

/* ------------------------------ attributes ------------------------------ */

static int put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put_u64_64bit(skb, attr, value, UMBRA_NL_A_PAD);
}

int umbra_put_subject(struct sk_buff *skb, struct umbra_vm *vm, const struct umbra_vcpu *vcpu)
{
	if (nla_put_u32(skb, UMBRA_NL_A_VM_ID, vm->listing.id))
		return -EMSGSIZE;
	if (smp_load_acquire(&vm->name[0]) && nla_put_string(skb, UMBRA_NL_A_NAME, vm->name))
		return -EMSGSIZE;
	if (vcpu && nla_put_u32(skb, UMBRA_NL_A_VCPU_ID, vcpu->id))
		return -EMSGSIZE;
	return 0;
}

static u32 state_of(const struct umbra_vm *vm)
{
	if (READ_ONCE(vm->dead))
		return UMBRA_NL_STATE_DEAD;
	return READ_ONCE(vm->listing.ran) ? UMBRA_NL_STATE_RUNNING : UMBRA_NL_STATE_NEW;
}

int umbra_put_vm(struct sk_buff *skb, struct umbra_vm *vm, struct pid_namespace *ns)
{
	const struct umbra_listing *listing = &vm->listing;

	if (umbra_put_subject(skb, vm, NULL) ||
	    nla_put_u32(skb, UMBRA_NL_A_PID, pid_nr_ns(listing->maker, ns)) ||
	    nla_put_string(skb, UMBRA_NL_A_COMM, listing->comm) ||
	    nla_put_u32(skb, UMBRA_NL_A_UID, from_kuid_munged(&init_user_ns, listing->uid)) ||
	    nla_put_u32(skb, UMBRA_NL_A_STATE, state_of(vm)) ||
	    nla_put_u32(skb, UMBRA_NL_A_MMU_MODE, READ_ONCE(vm->mmu.ops)->id) ||
	    nla_put_u32(skb, UMBRA_NL_A_VCPUS, READ_ONCE(vm->online_vcpus)) ||
	    put_u64(skb, UMBRA_NL_A_MEMORY, umbra_vm_memory(vm)))
		return -EMSGSIZE;
	return 0;
}

int umbra_put_vcpu(struct sk_buff *skb, struct umbra_vcpu *vcpu, struct pid_namespace *ns)
{
	struct pid *pid;
	u32 tid;

	rcu_read_lock();
	pid = rcu_dereference(vcpu->pid);
	tid = pid ? pid_nr_ns(pid, ns) : 0;
	rcu_read_unlock();
	if (umbra_put_subject(skb, vcpu->vm, vcpu) || nla_put_u32(skb, UMBRA_NL_A_TID, tid) ||
	    nla_put_u32(skb, UMBRA_NL_A_MP_STATE, READ_ONCE(vcpu->mp_state)))
		return -EMSGSIZE;
	return 0;
}

static int put_counter(struct sk_buff *skb, const char *name, u64 value)
{
	struct nlattr *nest = nla_nest_start(skb, UMBRA_NL_A_COUNTER);

	if (!nest || nla_put_string(skb, UMBRA_NL_COUNTER_NAME, name) ||
	    nla_put_u64_64bit(skb, UMBRA_NL_COUNTER_VALUE, value, UMBRA_NL_COUNTER_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int umbra_put_counters(struct sk_buff *skb, struct umbra_vm *vm, const struct umbra_vcpu *vcpu)
{
	struct umbra_figure figure;
	u32 i;

	for (i = 0; i < umbra_nr_counters(vcpu); i++) {
		umbra_figure_describe(vcpu, i, &figure);
		if (put_counter(skb, figure.name, umbra_figure_word(vm, vcpu, figure.offset)))
			return -EMSGSIZE;
	}
	return 0;
}

int umbra_put_exits(struct sk_buff *skb, const struct umbra_exits *exits)
{
	struct nlattr *nest = nla_nest_start(skb, UMBRA_NL_A_EXIT);

	if (!nest || nla_put_string(skb, UMBRA_NL_EXIT_NAME, umbra_exit_name(exits->reason)) ||
	    nla_put_u64_64bit(skb, UMBRA_NL_EXIT_COUNT, exits->count, UMBRA_NL_EXIT_PAD) ||
	    nla_put_u64_64bit(skb, UMBRA_NL_EXIT_TICKS, exits->ticks, UMBRA_NL_EXIT_PAD))
		return -EMSGSIZE;
	if (exits->buckets && nla_put(skb, UMBRA_NL_EXIT_BUCKETS,
				      UMBRA_EXIT_BUCKETS * sizeof(u64), exits->buckets))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_all_exits(struct sk_buff *skb, const struct umbra_vcpu *vcpu)
{
	u64 buckets[UMBRA_EXIT_BUCKETS];
	struct umbra_exits exits = { .buckets = buckets };
	u32 reason;

	for (reason = 0; reason < UMBRA_EXIT_NR; reason++) {
		exits.reason = reason;
		umbra_stats_buckets(vcpu, reason, buckets);
		exits.ticks = READ_ONCE(vcpu->stats->ticks[reason]);
		/* As in umbra_stats_get(): never less than the sum of the buckets. */
		smp_rmb();
		exits.count = READ_ONCE(vcpu->stats->count[reason]);
		if (exits.count && umbra_put_exits(skb, &exits))
			return -EMSGSIZE;
	}
	return 0;
}

/* ------------------------------ who may see what ------------------------------ */

/* By who opened the socket: nobody else can be made to ask for him. */
static bool may_see(const struct sk_buff *request, const struct umbra_vm *vm)
{
	return uid_eq(NETLINK_CB(request).sk->sk_uid, vm->listing.uid) ||
	       netlink_capable(request, CAP_NET_ADMIN);
}

/* Locked. A VM that the caller may not see is not there. */
static struct umbra_vm *find_vm(const struct sk_buff *request, u32 id)
{
	struct umbra_vm *vm = umbra_registry_from(id);

	return vm && vm->listing.id == id && may_see(request, vm) ? vm : NULL;
}

/* ------------------------------ requests ------------------------------ */

static int put_vm_message(struct sk_buff *skb, struct umbra_vm *vm, struct umbra_vcpu *none)
{
	return umbra_put_vm(skb, vm, task_active_pid_ns(current));
}

static int put_vcpu_message(struct sk_buff *skb, struct umbra_vm *vm, struct umbra_vcpu *vcpu)
{
	return umbra_put_vcpu(skb, vcpu, task_active_pid_ns(current));
}

static int put_stats_message(struct sk_buff *skb, struct umbra_vm *vm, struct umbra_vcpu *vcpu)
{
	if (umbra_put_subject(skb, vm, vcpu) || umbra_put_counters(skb, vm, vcpu))
		return -EMSGSIZE;
	if (!vcpu)
		return 0;
	return nla_put_u32(skb, UMBRA_NL_A_TSC_KHZ, tsc_khz) ? -EMSGSIZE : put_all_exits(skb, vcpu);
}

static int vm_get(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *answer;
	struct umbra_vm *vm;
	void *header;
	int r;

	if (!info->attrs[UMBRA_NL_A_VM_ID]) {
		NL_SET_ERR_MSG(info->extack, "which VM? VM_ID is missing");
		return -EINVAL;
	}
	answer = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!answer)
		return -ENOMEM;
	header = genlmsg_put_reply(answer, info, &umbra_genl_family, 0, UMBRA_NL_CMD_VM_GET);
	umbra_registry_lock();
	vm = find_vm(skb, nla_get_u32(info->attrs[UMBRA_NL_A_VM_ID]));
	r = vm ? put_vm_message(answer, vm, NULL) : -ENOENT;
	umbra_registry_unlock();
	if (r) {
		nlmsg_free(answer);
		return r;
	}
	genlmsg_end(answer, header);
	return genlmsg_reply(answer, info);
}

/* Where a dump goes on, in its netlink_callback's ctx. */
struct place {
	u32 only;	/* the one VM that is asked for; 0: all */
	u32 id;		/* the VM */
	u32 part;	/* what of it: 0 itself, n + 1 its vCPU of index n */
};

static int dump_start(struct netlink_callback *cb)
{
	struct place *place = (struct place *)cb->ctx;
	const struct nlattr *id = umbra_dump_attrs(cb)[UMBRA_NL_A_VM_ID];
	bool found;

	BUILD_BUG_ON(sizeof(*place) > sizeof(cb->ctx));
	cb->min_dump_alloc = DUMP_ROOM;
	if (!id)
		return 0;
	place->only = place->id = nla_get_u32(id);
	umbra_registry_lock();
	found = find_vm(cb->skb, place->only);
	umbra_registry_unlock();
	return found ? 0 : -ENOENT;
}

/* What a dump is made of. */
struct dump {
	u8 cmd;
	bool vms, vcpus;
	int (*put)(struct sk_buff *skb, struct umbra_vm *vm, struct umbra_vcpu *vcpu);
};

static int dump_one(struct sk_buff *skb, struct netlink_callback *cb, const struct dump *dump,
		    struct umbra_vm *vm, struct umbra_vcpu *vcpu)
{
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   &umbra_genl_family, NLM_F_MULTI, dump->cmd);

	if (!header)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, header);
	if (dump->put(skb, vm, vcpu)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

static int dump_vm(struct sk_buff *skb, struct netlink_callback *cb, const struct dump *dump,
		   struct umbra_vm *vm)
{
	struct place *place = (struct place *)cb->ctx;
	u32 parts = 1 + (dump->vcpus ? smp_load_acquire(&vm->online_vcpus) : 0);
	struct umbra_vcpu *vcpu;

	for (; place->part < parts; place->part++) {
		if (!place->part && !dump->vms)
			continue;
		vcpu = place->part ? umbra_vcpu_by_index(vm, place->part - 1) : NULL;
		if (dump_one(skb, cb, dump, vm, vcpu))
			return -EMSGSIZE;
	}
	return 0;
}

/* No VM goes meanwhile; between two calls of a dump any may, which the dump's flag tells. */
static int dump_all(struct sk_buff *skb, struct netlink_callback *cb, const struct dump *dump)
{
	struct place *place = (struct place *)cb->ctx;
	struct umbra_vm *vm;
	int r = 0;

	umbra_registry_lock();
	cb->seq = umbra_registry_generation();
	while ((vm = umbra_registry_from(place->id)) != NULL) {
		if (place->only && vm->listing.id != place->only)
			break;
		if (place->id != vm->listing.id)
			*place = (struct place){ place->only, vm->listing.id, 0 };
		r = may_see(cb->skb, vm) ? dump_vm(skb, cb, dump, vm) : 0;
		if (r)
			break;
		*place = (struct place){ place->only, vm->listing.id + 1, 0 };
	}
	umbra_registry_unlock();
	return r && !skb->len ? r : skb->len;
}

static int vm_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	static const struct dump dump = {
		.cmd = UMBRA_NL_CMD_VM_GET, .vms = true, .put = put_vm_message,
	};

	return dump_all(skb, cb, &dump);
}

static int vcpu_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	static const struct dump dump = {
		.cmd = UMBRA_NL_CMD_VCPU_GET, .vcpus = true, .put = put_vcpu_message,
	};

	return dump_all(skb, cb, &dump);
}

static int stats_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	static const struct dump dump = {
		.cmd = UMBRA_NL_CMD_STATS_GET, .vms = true, .vcpus = true,
		.put = put_stats_message,
	};

	return dump_all(skb, cb, &dump);
}

/* ------------------------------ the family ------------------------------ */

/* All that a request can carry: anything else is refused. */
static const struct nla_policy policy[] = {
	[UMBRA_NL_A_VM_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct genl_ops ops[] = {
	{ .cmd = UMBRA_NL_CMD_VM_GET, .doit = vm_get, .start = dump_start, .dumpit = vm_dump },
	{ .cmd = UMBRA_NL_CMD_VCPU_GET, .start = dump_start, .dumpit = vcpu_dump },
	{ .cmd = UMBRA_NL_CMD_STATS_GET, .start = dump_start, .dumpit = stats_dump },
};

static const struct genl_multicast_group groups[] = {
	[UMBRA_GROUP_EVENTS] = {
		.name = UMBRA_NL_GROUP_EVENTS, .flags = GENL_MCAST_CAP_NET_ADMIN,
	},
	[UMBRA_GROUP_STATS] = {
		.name = UMBRA_NL_GROUP_STATS, .flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

struct genl_family umbra_genl_family __ro_after_init = {
	.name = UMBRA_NL_FAMILY,
	.version = UMBRA_NL_VERSION,
	.module = THIS_MODULE,
	.maxattr = ARRAY_SIZE(policy) - 1,
	.policy = policy,
	.parallel_ops = true,
	.resv_start_op = UMBRA_NL_CMD_VM_GET,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

int __init umbra_genl_init(void)
{
	return genl_register_family(&umbra_genl_family);
}

/* No VM is left, so that nothing happens any more. */
void umbra_genl_exit(void)
{
	umbra_sampler_stop();
	genl_unregister_family(&umbra_genl_family);
}
