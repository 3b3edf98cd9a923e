// SPDX-License-Identifier: GPL-2.0-only
/* Umbra's generic netlink family, by bare sockets. */
#define _GNU_SOURCE
#include "nl.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "nl_spec.h"
#include "vm.h"

struct request {
	struct nlmsghdr nlh;
	struct genlmsghdr genl;
	struct nlattr attr;
	union {
		uint32_t value;
		char text[16];
	};
};

const void *nl_data(const struct nlattr *attr)
{
	return (const char *)attr + NLA_HDRLEN;
}

size_t nl_size(const struct nlattr *attr)
{
	return attr->nla_len - NLA_HDRLEN;
}

/* The attribute at @at, which must lie before @end; NULL: the end. */
static const struct nlattr *attr_at(const char *at, const char *end)
{
	const struct nlattr *attr = (const void *)at;

	if (at == end)
		return NULL;
	ASSERT(end - at >= NLA_HDRLEN);
	ASSERT(attr->nla_len >= NLA_HDRLEN && attr->nla_len <= end - at);
	return attr;
}

static const struct nlattr *attr_after(const struct nlattr *attr, const char *end)
{
	const char *at = (const char *)attr + NLA_ALIGN(attr->nla_len);

	return attr_at(at < end ? at : end, end);
}

static int type_of(const struct nlattr *attr)
{
	return attr->nla_type & NLA_TYPE_MASK;
}

void nl_send(struct nl *nl, const void *bytes, size_t size)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	ASSERT(sendto(nl->fd, bytes, size, 0, (void *)&kernel, sizeof(kernel)) == (ssize_t)size);
}

void nl_ask(struct nl *nl, uint8_t cmd, uint16_t flags, uint16_t attr, uint32_t value)
{
	struct request rq = {
		.nlh.nlmsg_len = attr ? offsetof(struct request, value) + sizeof(value) :
					offsetof(struct request, attr),
		.nlh.nlmsg_type = nl->family,
		.nlh.nlmsg_flags = NLM_F_REQUEST | flags,
		.nlh.nlmsg_seq = ++nl->seq,
		.genl = { .cmd = cmd, .version = UMBRA_NL_VERSION },
		.attr = { .nla_len = NLA_HDRLEN + sizeof(value), .nla_type = attr },
		.value = value,
	};

	nl_send(nl, &rq, rq.nlh.nlmsg_len);
}

/* The next header; NULL: recv() failed. */
static const struct nlmsghdr *take(struct nl *nl)
{
	const struct nlmsghdr *nlh;
	ssize_t n;

	if (nl->pos >= nl->len) {
		n = recv(nl->fd, nl->buf, sizeof(nl->buf), MSG_TRUNC);
		if (n < 0)
			return NULL;
		ASSERT((size_t)n <= sizeof(nl->buf));
		nl->len = n;
		nl->pos = 0;
	}
	nlh = (const void *)(nl->buf + nl->pos);
	ASSERT(nl->len - nl->pos >= sizeof(*nlh));
	ASSERT(nlh->nlmsg_len >= sizeof(*nlh) && nlh->nlmsg_len <= nl->len - nl->pos);
	nl->pos += NLMSG_ALIGN(nlh->nlmsg_len);
	return nlh;
}

static void take_apart(struct nl_msg *msg, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = NLMSG_DATA(nlh);
	const struct nlattr *attr;

	ASSERT(nlh->nlmsg_len >= NLMSG_LENGTH(GENL_HDRLEN));
	memset(msg, 0, sizeof(*msg));
	msg->cmd = genl->cmd;
	msg->flags = nlh->nlmsg_flags;
	msg->end = (const char *)nlh + nlh->nlmsg_len;
	for (attr = attr_at((const char *)genl + GENL_HDRLEN, msg->end); attr;
	     attr = attr_after(attr, msg->end)) {
		nl_spec_check(msg->cmd, attr);
		if (!msg->attr[type_of(attr)])
			msg->attr[type_of(attr)] = attr;
	}
}

int nl_next(struct nl *nl, struct nl_msg *msg)
{
	const struct nlmsghdr *nlh = take(nl);

	if (!nlh)
		return -errno;
	msg->flags = nlh->nlmsg_flags;
	if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE)
		return nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(int)) ? *(int *)NLMSG_DATA(nlh) : 0;
	ASSERT(nlh->nlmsg_type == nl->family);
	take_apart(msg, nlh);
	return 1;
}

int nl_dump(struct nl *nl, uint8_t cmd, uint32_t vm_id,
	    void (*each)(const struct nl_msg *msg, void *arg), void *arg, bool *intr)
{
	struct nl_msg msg;
	int r;

	nl_ask(nl, cmd, NLM_F_DUMP, vm_id ? UMBRA_NL_A_VM_ID : 0, vm_id);
	while ((r = nl_next(nl, &msg)) == 1) {
		if (intr && (msg.flags & NLM_F_DUMP_INTR))
			*intr = true;
		if (each)
			each(&msg, arg);
	}
	return r;
}

bool nl_has(const struct nl_msg *msg, int attr)
{
	return msg->attr[attr];
}

uint32_t nl_u32(const struct nl_msg *msg, int attr)
{
	ASSERT_MSG(msg->attr[attr] && nl_size(msg->attr[attr]) == 4, "no u32 %d", attr);
	return *(const uint32_t *)nl_data(msg->attr[attr]);
}

uint64_t nl_u64_of(const struct nlattr *attr)
{
	uint64_t value;

	ASSERT(attr && nl_size(attr) == sizeof(value));
	memcpy(&value, nl_data(attr), sizeof(value));
	return value;
}

uint64_t nl_u64(const struct nl_msg *msg, int attr)
{
	return nl_u64_of(msg->attr[attr]);
}

static const char *text_of(const struct nlattr *attr)
{
	const char *text = attr ? nl_data(attr) : NULL;

	ASSERT(text && nl_size(attr) && memchr(text, 0, nl_size(attr)));
	return text;
}

const char *nl_text(const struct nl_msg *msg, int attr)
{
	return text_of(msg->attr[attr]);
}

const struct nlattr *nl_first(const struct nlattr *nest)
{
	return attr_at(nl_data(nest), (const char *)nest + nest->nla_len);
}

const struct nlattr *nl_after(const struct nlattr *in, const struct nlattr *nest)
{
	return attr_after(in, (const char *)nest + nest->nla_len);
}

const struct nlattr *nl_inside(const struct nlattr *nest, int attr)
{
	const struct nlattr *in;

	for (in = nl_first(nest); in; in = nl_after(in, nest))
		if (type_of(in) == attr)
			return in;
	return NULL;
}

const struct nlattr *nl_nested(const struct nl_msg *msg, int attr, int name_attr, const char *name)
{
	const struct nlattr *nest;

	for (nest = msg->attr[attr]; nest; nest = attr_after(nest, msg->end))
		if (type_of(nest) == attr && !strcmp(text_of(nl_inside(nest, name_attr)), name))
			return nest;
	return NULL;
}

/* The groups' numbers, which the controller lists one nested in the other. */
static void note_groups(struct nl *nl, const struct nlattr *groups)
{
	const struct nlattr *g;

	for (g = nl_first(groups); g; g = nl_after(g, groups)) {
		const char *name = text_of(nl_inside(g, CTRL_ATTR_MCAST_GRP_NAME));
		uint32_t id = *(uint32_t *)nl_data(nl_inside(g, CTRL_ATTR_MCAST_GRP_ID));

		if (!strcmp(name, UMBRA_NL_GROUP_EVENTS))
			nl->events = id;
		else if (!strcmp(name, UMBRA_NL_GROUP_STATS))
			nl->stats = id;
		nl->groups++;
	}
	ASSERT(nl->events && nl->stats);
}

static void note_ops(struct nl *nl, const struct nlattr *ops)
{
	const struct nlattr *op;

	for (op = nl_first(ops); op; op = nl_after(op, ops)) {
		uint32_t cmd = *(uint32_t *)nl_data(nl_inside(op, CTRL_ATTR_OP_ID));

		ASSERT(cmd <= UMBRA_NL_CMD_MAX);
		nl->can[cmd] = *(uint32_t *)nl_data(nl_inside(op, CTRL_ATTR_OP_FLAGS));
	}
}

static void resolve(struct nl *nl)
{
	struct request rq = {
		.nlh = {
			.nlmsg_len = offsetof(struct request, text) + sizeof(UMBRA_NL_FAMILY),
			.nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST,
		},
		.genl = { .cmd = CTRL_CMD_GETFAMILY, .version = 2 },
		.attr = {
			.nla_len = NLA_HDRLEN + sizeof(UMBRA_NL_FAMILY),
			.nla_type = CTRL_ATTR_FAMILY_NAME,
		},
		.text = UMBRA_NL_FAMILY,
	};
	const struct nlmsghdr *nlh;
	const struct nlattr *attr;
	const char *end;

	nl_send(nl, &rq, rq.nlh.nlmsg_len);
	nlh = take(nl);
	ASSERT(nlh && nlh->nlmsg_type == GENL_ID_CTRL);
	end = (const char *)nlh + nlh->nlmsg_len;
	for (attr = attr_at((const char *)NLMSG_DATA(nlh) + GENL_HDRLEN, end); attr;
	     attr = attr_after(attr, end)) {
		if (type_of(attr) == CTRL_ATTR_FAMILY_ID)
			nl->family = *(uint16_t *)nl_data(attr);
		else if (type_of(attr) == CTRL_ATTR_MCAST_GROUPS)
			note_groups(nl, attr);
		else if (type_of(attr) == CTRL_ATTR_OPS)
			note_ops(nl, attr);
	}
	ASSERT(nl->family && nl->events);
}

void nl_open(struct nl *nl)
{
	if (!on_umbra())
		SKIP("these are Umbra's own");
	memset(nl, 0, sizeof(*nl));
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	ASSERT(nl->fd >= 0);
	resolve(nl);
}

void nl_close(struct nl *nl)
{
	close(nl->fd);
}

int nl_join(struct nl *nl, uint32_t group)
{
	return setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
}

static void note_own(const struct nl_msg *msg, void *arg)
{
	uint32_t *id = arg;

	if (nl_u32(msg, UMBRA_NL_A_PID) != (uint32_t)getpid())
		return;
	ASSERT(!*id);
	*id = nl_u32(msg, UMBRA_NL_A_VM_ID);
}

uint32_t nl_own_vm(struct nl *nl)
{
	uint32_t id = 0;

	ASSERT(!nl_dump(nl, UMBRA_NL_CMD_VM_GET, 0, note_own, &id, NULL));
	ASSERT(id);
	return id;
}
