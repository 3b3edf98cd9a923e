// SPDX-License-Identifier: GPL-2.0-only
/* Messages of the kernel's family as JSON, whole, odd and cut off. */
#include <linux/umbra.h>
#include <linux/umbra_netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>

#include "../nlmsg.h"
#include "tap.h"

static struct nl_msg *message(uint8_t cmd)
{
	struct nl_msg *msg = nlmsg_alloc();

	genlmsg_put(msg, 0, 0, 30, 0, 0, cmd, UMBRA_NL_VERSION);
	return msg;
}

/* The message in memory of just its size, which is freed; its object as text. */
static char *text_of(struct nl_msg *msg, size_t cut)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg), *copy;
	size_t size = nlh->nlmsg_len - cut;
	json_t *object;
	char *text;

	copy = malloc(size);
	memcpy(copy, nlh, size);
	copy->nlmsg_len = (uint32_t)size;
	nlmsg_free(msg);
	object = nlmsg_object(copy);
	text = object ? json_dumps(object, JSON_COMPACT) : strdup("none");
	json_decref(object);
	free(copy);
	return text;
}

static void is(struct tap *tap, struct nl_msg *msg, const char *want, const char *what)
{
	char *got = text_of(msg, 0);

	tap_ok(tap, !strcmp(got, want), "%s", what);
	if (strcmp(got, want))
		printf("# got %s\n", got);
	free(got);
}

static struct nl_msg *a_vm(void)
{
	struct nl_msg *msg = message(UMBRA_NL_CMD_VM_NEW);

	nla_put_u64(msg, UMBRA_NL_A_SEQ, 7);
	nla_put_u64(msg, UMBRA_NL_A_LOST, 0);
	nla_put_u32(msg, UMBRA_NL_A_VM_ID, 3);
	nla_put_string(msg, UMBRA_NL_A_NAME, "one");
	nla_put_u32(msg, UMBRA_NL_A_STATE, UMBRA_NL_STATE_RUNNING);
	nla_put_u32(msg, UMBRA_NL_A_MMU_MODE, UMBRA_MMU_SHADOW_LAZY);
	nla_put_u64(msg, UMBRA_NL_A_MEMORY, 1ull << 33);
	return msg;
}

static struct nl_msg *figures(void)
{
	uint64_t buckets[UMBRA_EXIT_BUCKETS] = { 0, 0, 5, 1 };
	struct nl_msg *msg = message(UMBRA_NL_CMD_STATS_GET);
	struct nlattr *nest;

	nla_put_u32(msg, UMBRA_NL_A_VM_ID, 3);
	nest = nla_nest_start(msg, UMBRA_NL_A_COUNTER);
	nla_put_string(msg, UMBRA_NL_COUNTER_NAME, "runs");
	nla_put_u64(msg, UMBRA_NL_COUNTER_VALUE, 12);
	nla_nest_end(msg, nest);
	nest = nla_nest_start(msg, UMBRA_NL_A_COUNTER);
	nla_put_string(msg, UMBRA_NL_COUNTER_NAME, "halts");
	nla_put_u64(msg, UMBRA_NL_COUNTER_VALUE, 1);
	nla_nest_end(msg, nest);
	nest = nla_nest_start(msg, UMBRA_NL_A_EXIT);
	nla_put_string(msg, UMBRA_NL_EXIT_NAME, "io");
	nla_put_u64(msg, UMBRA_NL_EXIT_COUNT, 6);
	nla_put_u64(msg, UMBRA_NL_EXIT_TICKS, 40);
	nla_put(msg, UMBRA_NL_EXIT_BUCKETS, sizeof(buckets), buckets);
	nla_nest_end(msg, nest);
	return msg;
}

static void odd(struct tap *tap)
{
	struct nl_msg *msg = message(UMBRA_NL_CMD_VM_GET);
	struct nlattr *nest;

	nla_put_string(msg, UMBRA_NL_A_COMM, "a\033[2Jb\xff");
	is(tap, msg, "{\"type\":\"vm\",\"comm\":\"a?[2Jb?\"}", "a name that a terminal would obey");
	msg = message(UMBRA_NL_CMD_VM_GET);
	nla_put(msg, UMBRA_NL_A_NAME, 3, "abc");
	is(tap, msg, "{\"type\":\"vm\",\"name\":\"abc\"}", "a string without its end");
	msg = message(UMBRA_NL_CMD_VM_GET);
	nla_put(msg, UMBRA_NL_A_VM_ID, 3, "abc");
	nla_put(msg, UMBRA_NL_A_STATE, 2, "ab");
	is(tap, msg, "{\"type\":\"vm\"}", "numbers of odd sizes are left out");
	msg = message(UMBRA_NL_CMD_VM_GET);
	nla_put_u32(msg, UMBRA_NL_A_STATE, 99);
	nla_put_u32(msg, UMBRA_NL_A_MAX + 5, 1);
	is(tap, msg, "{\"type\":\"vm\",\"state\":\"unknown\"}", "a state and an attribute of later days");
	msg = message(UMBRA_NL_CMD_STATS);
	nest = nla_nest_start(msg, UMBRA_NL_A_COUNTER);
	nla_put_u64(msg, UMBRA_NL_COUNTER_VALUE, 1);
	nla_nest_end(msg, nest);
	nla_put(msg, UMBRA_NL_A_EXIT, 2, "ab");
	is(tap, msg, "{\"type\":\"stats\",\"counters\":{},\"exits\":[]}",
	   "nested ones without a name, and with half a header");
	is(tap, message(UMBRA_NL_CMD_MAX + 1), "none", "a command of later days");
	is(tap, message(UMBRA_NL_CMD_UNSPEC), "none", "command 0");
}

/* Whatever comes, nothing is read behind it: ASan looks. */
static void cut(struct tap *tap)
{
	struct nl_msg *msg = figures();
	size_t n, most = nlmsg_hdr(msg)->nlmsg_len - NLMSG_HDRLEN;

	nlmsg_free(msg);
	for (n = 0; n <= most; n++) {
		free(text_of(figures(), n));
		if (n <= 40)
			free(text_of(a_vm(), n));
	}
	tap_ok(tap, true, "cut off at each byte, nothing is read behind the end");
}

int main(void)
{
	struct tap tap = { 0 };

	is(&tap, a_vm(), "{\"type\":\"vm-new\",\"seq\":7,\"lost\":0,\"vm\":3,\"name\":\"one\","
	   "\"state\":\"running\",\"mmu\":\"shadow-lazy\",\"memory\":8589934592}", "a VM");
	is(&tap, figures(), "{\"type\":\"figures\",\"vm\":3,\"counters\":{\"runs\":12,\"halts\":1},"
	   "\"exits\":[{\"name\":\"io\",\"count\":6,\"ticks\":40,\"buckets\":[0,0,5,1]}]}", "figures");
	odd(&tap);
	cut(&tap);
	return tap_done(&tap);
}
