// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens to VMs, for the group events, in one order for all; and samples of
 * their figures, for the group stats. Without listeners neither costs anything.
 */
#include <linux/mutex.h>
#include <linux/moduleparam.h>
#include <linux/pid_namespace.h>
#include <linux/ratelimit.h>
#include <linux/workqueue.h>
#include <asm/tsc.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "failure.h"
#include "genl.h"
#include "genl_priv.h"
#include "mmu_quota.h"
#include "stats.h"
#include "umbra.h"

/* Makes the order of the numbers that of the messages in each listener's queue. */
static DEFINE_MUTEX(event_lock);
static u64 event_seq, events_lost;	/* event_lock */

/* What an event says, as far as its command has it. */
struct umbra_news {
	u8 cmd;
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;	/* NULL: it is the VM's */
	u64 reason;
	const char *check;
	u32 suberror;
	u32 old_mode;
	u64 quota;
};

static int put_mode(struct sk_buff *skb, const struct umbra_news *news)
{
	if (umbra_put_subject(skb, news->vm, NULL) ||
	    nla_put_u32(skb, UMBRA_NL_A_MMU_MODE, READ_ONCE(news->vm->mmu.ops)->id) ||
	    nla_put_u32(skb, UMBRA_NL_A_OLD_MMU_MODE, news->old_mode))
		return -EMSGSIZE;
	return 0;
}

static int put_quota(struct sk_buff *skb, const struct umbra_news *news)
{
	if (umbra_put_subject(skb, news->vm, NULL) ||
	    nla_put_u64_64bit(skb, UMBRA_NL_A_QUOTA, news->quota, UMBRA_NL_A_PAD) ||
	    nla_put_u64_64bit(skb, UMBRA_NL_A_RECYCLED, READ_ONCE(news->vm->mmu.recycled),
			      UMBRA_NL_A_PAD))
		return -EMSGSIZE;
	return 0;
}

static int put_failure(struct sk_buff *skb, const struct umbra_news *news)
{
	if (umbra_put_subject(skb, news->vm, news->vcpu) ||
	    nla_put_u64_64bit(skb, UMBRA_NL_A_REASON, news->reason, UMBRA_NL_A_PAD))
		return -EMSGSIZE;
	return news->check ? nla_put_string(skb, UMBRA_NL_A_CHECK, news->check) : 0;
}

static int put_internal_error(struct sk_buff *skb, const struct umbra_news *news)
{
	if (umbra_put_subject(skb, news->vm, news->vcpu))
		return -EMSGSIZE;
	return nla_put_u32(skb, UMBRA_NL_A_SUBERROR, news->suberror);
}

static int put_news(struct sk_buff *skb, const struct umbra_news *news)
{
	switch (news->cmd) {
	case UMBRA_NL_CMD_VM_NEW:
	case UMBRA_NL_CMD_VM_GONE:
	case UMBRA_NL_CMD_VM_STATE:
		return umbra_put_vm(skb, news->vm, &init_pid_ns);
	case UMBRA_NL_CMD_VCPU_NEW:
	case UMBRA_NL_CMD_VCPU_STATE:
		return umbra_put_vcpu(skb, news->vcpu, &init_pid_ns);
	case UMBRA_NL_CMD_ENTRY_FAILED:
		return put_failure(skb, news);
	case UMBRA_NL_CMD_INTERNAL_ERROR:
		return put_internal_error(skb, news);
	case UMBRA_NL_CMD_MMU_MODE:
		return put_mode(skb, news);
	case UMBRA_NL_CMD_MMU_QUOTA:
		return put_quota(skb, news);
	default:
		return umbra_put_subject(skb, news->vm, news->vcpu);
	}
}

/* A whole message, but for what @news says; NULL: no memory. */
static struct sk_buff *new_message(u8 cmd, u64 seq, void **header)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*header = genlmsg_put(skb, 0, 0, &umbra_genl_family, 0, cmd);
	if (!*header || nla_put_u64_64bit(skb, UMBRA_NL_A_SEQ, seq, UMBRA_NL_A_PAD)) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

static bool send_locked(const struct umbra_news *news)
{
	struct sk_buff *skb;
	void *header;

	skb = new_message(news->cmd, event_seq + 1, &header);
	if (!skb)
		return false;
	if (nla_put_u64_64bit(skb, UMBRA_NL_A_LOST, events_lost, UMBRA_NL_A_PAD) ||
	    put_news(skb, news)) {
		nlmsg_free(skb);
		return false;
	}
	genlmsg_end(skb, header);
	event_seq++;
	/* Whose queue is full is told so by the kernel, and misses a number. */
	genlmsg_multicast(&umbra_genl_family, skb, 0, UMBRA_GROUP_EVENTS, GFP_KERNEL);
	return true;
}

/* There is one of each in a VM's or vCPU's life; of the others there can be floods. */
static bool is_rare(u8 cmd)
{
	return cmd == UMBRA_NL_CMD_VM_NEW || cmd == UMBRA_NL_CMD_VM_GONE ||
	       cmd == UMBRA_NL_CMD_VCPU_NEW || cmd == UMBRA_NL_CMD_VCPU_GONE;
}

static void tell(const struct umbra_news *news)
{
	bool wanted;

	if (!genl_has_listeners(&umbra_genl_family, &init_net, UMBRA_GROUP_EVENTS))
		return;
	wanted = is_rare(news->cmd) || __ratelimit(&news->vm->listing.limit);
	mutex_lock(&event_lock);
	if (!wanted || !send_locked(news))
		events_lost++;
	mutex_unlock(&event_lock);
}

void umbra_event_vm(struct umbra_vm *vm, u8 cmd)
{
	tell(&(struct umbra_news){ .cmd = cmd, .vm = vm });
}

void umbra_event_vcpu(struct umbra_vcpu *vcpu, u8 cmd)
{
	tell(&(struct umbra_news){ .cmd = cmd, .vm = vcpu->vm, .vcpu = vcpu });
}

void umbra_event_entry_failed(struct umbra_vcpu *vcpu, u64 reason)
{
	const struct umbra_entry_failure *failure = vcpu->failure;

	tell(&(struct umbra_news){
		.cmd = UMBRA_NL_CMD_ENTRY_FAILED, .vm = vcpu->vm, .vcpu = vcpu, .reason = reason,
		.check = failure && failure->check[0] ? failure->check : NULL,
	});
}

void umbra_event_internal_error(struct umbra_vcpu *vcpu, u32 suberror)
{
	tell(&(struct umbra_news){
		.cmd = UMBRA_NL_CMD_INTERNAL_ERROR, .vm = vcpu->vm, .vcpu = vcpu,
		.suberror = suberror,
	});
}

void umbra_event_mmu_mode(struct umbra_vm *vm, u32 old)
{
	tell(&(struct umbra_news){ .cmd = UMBRA_NL_CMD_MMU_MODE, .vm = vm, .old_mode = old });
}

void umbra_event_quota(struct umbra_vm *vm)
{
	unsigned long told = READ_ONCE(vm->listing.quota_told), now = jiffies;

	/* Of several vCPUs one tells. */
	if (time_before(now, told + UMBRA_QUOTA_EVERY) ||
	    cmpxchg(&vm->listing.quota_told, told, now) != told)
		return;
	tell(&(struct umbra_news){
		.cmd = UMBRA_NL_CMD_MMU_QUOTA, .vm = vm, .quota = umbra_shadow_quota(vm),
	});
}

void umbra_event_death(struct umbra_vm *vm)
{
	if (!xchg(&vm->listing.death_told, true))
		umbra_event_vm(vm, UMBRA_NL_CMD_VM_STATE);
}

/* ------------------------------ samples ------------------------------ */

#define SAMPLE_MS_MIN	100
#define SAMPLE_MS_MAX	3600000

static int set_interval(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, SAMPLE_MS_MIN, SAMPLE_MS_MAX);
}

static const struct kernel_param_ops interval_ops = {
	.set = set_interval,
	.get = param_get_uint,
};

static unsigned int stats_interval_ms = 1000;
module_param_cb(stats_interval_ms, &interval_ops, &stats_interval_ms, 0644);
MODULE_PARM_DESC(stats_interval_ms,
		 "how often netlink's group stats gets each VM's figures (default 1000, 100 to 3600000)");

static void sample(struct work_struct *work);
static DECLARE_DELAYED_WORK(sampler, sample);
static u64 sample_seq;		/* the sampler's */

/* Of all vCPUs together, without histograms. */
static int put_sums(struct sk_buff *skb, struct umbra_vm *vm)
{
	struct umbra_vcpu *vcpu;
	u32 reason;
	int i;

	for (reason = 0; reason < UMBRA_EXIT_NR; reason++) {
		struct umbra_exits exits = { .reason = reason };

		umbra_for_each_vcpu(vm, i, vcpu) {
			exits.count += READ_ONCE(vcpu->stats->count[reason]);
			exits.ticks += READ_ONCE(vcpu->stats->ticks[reason]);
		}
		if (exits.count && umbra_put_exits(skb, &exits))
			return -EMSGSIZE;
	}
	return 0;
}

static void send_sample(struct umbra_vm *vm)
{
	struct sk_buff *skb;
	void *header;

	skb = new_message(UMBRA_NL_CMD_STATS, ++sample_seq, &header);
	if (!skb)
		return;
	if (umbra_put_subject(skb, vm, NULL) || nla_put_u32(skb, UMBRA_NL_A_TSC_KHZ, tsc_khz) ||
	    umbra_put_counters(skb, vm, NULL) || put_sums(skb, vm)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, header);
	genlmsg_multicast(&umbra_genl_family, skb, 0, UMBRA_GROUP_STATS, GFP_KERNEL);
}

/* A look a second whether anybody listens, as long as there is a VM. */
static void sample(struct work_struct *work)
{
	bool wanted = genl_has_listeners(&umbra_genl_family, &init_net, UMBRA_GROUP_STATS);
	struct umbra_vm *vm;
	bool more;

	umbra_registry_lock();
	vm = umbra_registry_from(0);
	more = vm;
	for (; vm && wanted; vm = umbra_registry_from(vm->listing.id + 1))
		send_sample(vm);
	umbra_registry_unlock();
	if (more)
		umbra_genl_wake_sampler();
}

void umbra_genl_wake_sampler(void)
{
	queue_delayed_work(system_power_efficient_wq, &sampler,
			   msecs_to_jiffies(READ_ONCE(stats_interval_ms)));
}

void umbra_sampler_stop(void)
{
	cancel_delayed_work_sync(&sampler);
}
