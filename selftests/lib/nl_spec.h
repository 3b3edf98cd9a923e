/* SPDX-License-Identifier: GPL-2.0-only */
/* The description of the netlink family for programs, umbra_netlink.yaml: is it true? */
#ifndef SELFTESTS_NL_SPEC_H
#define SELFTESTS_NL_SPEC_H

#include <linux/umbra_netlink.h>
#include <stdbool.h>
#include <stdint.h>

struct nlattr;

/* What can be done by an operation, and the attributes that its messages may have, as bits. */
struct nl_spec_op {
	const char *name;
	bool can_do, can_dump;
	uint64_t attrs;
};

/* By their numbers. */
extern const struct nl_spec_op nl_spec_ops[UMBRA_NL_CMD_MAX + 1];
/* Names, with spaces between. */
extern const char nl_spec_groups[];

/* An attribute of a message of @cmd's: one that may be there, of its type. */
void nl_spec_check(uint8_t cmd, const struct nlattr *attr);

#endif
