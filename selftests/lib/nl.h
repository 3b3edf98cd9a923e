/* SPDX-License-Identifier: GPL-2.0-only */
/* Umbra's generic netlink family, by bare sockets: so that bad messages can be made too. */
#ifndef SELFTESTS_NL_H
#define SELFTESTS_NL_H

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/umbra_netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ktap.h"

/* One socket. */
struct nl {
	int fd;
	uint16_t family;
	uint32_t seq;
	uint32_t events, stats;		/* the groups' numbers */
	unsigned int groups;		/* how many there are */
	uint32_t can[UMBRA_NL_CMD_MAX + 1];	/* what each request can, GENL_CMD_CAP_* */
	/* What was received and not taken yet. */
	char buf[65536] __attribute__((aligned(4)));
	size_t pos, len;
};

/* A message of the family, taken apart; it stays valid until the next is taken. */
struct nl_msg {
	uint8_t cmd;
	uint16_t flags;
	const struct nlattr *attr[UMBRA_NL_A_MAX + 1];	/* the first of its kind */
	const char *end;
};

void nl_open(struct nl *nl);
void nl_close(struct nl *nl);
int nl_join(struct nl *nl, uint32_t group);	/* -1 with errno */

/* A request, with one u32 attribute unless @attr is 0. */
void nl_ask(struct nl *nl, uint8_t cmd, uint16_t flags, uint16_t attr, uint32_t value);
/* Just these bytes, whatever they are. */
void nl_send(struct nl *nl, const void *bytes, size_t size);
/* The next message: 1; 0 the end of a dump, or an acknowledgement; -errno, also of recv(). */
int nl_next(struct nl *nl, struct nl_msg *msg);
/* All of a dump, to @each; its end as nl_next() has it. *@intr, if not NULL: it was inconsistent. */
int nl_dump(struct nl *nl, uint8_t cmd, uint32_t vm_id,
	    void (*each)(const struct nl_msg *msg, void *arg), void *arg, bool *intr);

bool nl_has(const struct nl_msg *msg, int attr);
uint32_t nl_u32(const struct nl_msg *msg, int attr);
uint64_t nl_u64(const struct nl_msg *msg, int attr);
const char *nl_text(const struct nl_msg *msg, int attr);

/* Of the nested attributes of one kind, the one whose string @name_attr is @name; or NULL. */
const struct nlattr *nl_nested(const struct nl_msg *msg, int attr, int name_attr,
			       const char *name);
/* The first attribute inside a nested one, the one after it; NULL: there is none. */
const struct nlattr *nl_first(const struct nlattr *nest);
const struct nlattr *nl_after(const struct nlattr *in, const struct nlattr *nest);
/* An attribute inside a nested one, or NULL; its payload. */
const struct nlattr *nl_inside(const struct nlattr *nest, int attr);
const void *nl_data(const struct nlattr *attr);
size_t nl_size(const struct nlattr *attr);
uint64_t nl_u64_of(const struct nlattr *attr);

/* This process's only VM. */
uint32_t nl_own_vm(struct nl *nl);

#endif
