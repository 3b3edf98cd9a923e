/* SPDX-License-Identifier: GPL-2.0-only */
/* Messages of the kernel's netlink family umbra, as JSON objects. */
#ifndef UMBRA_NLMSG_H
#define UMBRA_NLMSG_H

#include <jansson.h>
#include <linux/netlink.h>

/**
 * nlmsg_object() - a message taken apart
 * @nlh: with all the bytes that its length says
 *
 * "type" is what it is, such as "vm-new"; the other members are the attributes that it
 * has: numbers, strings, "counters" (an object) and "exits" (an array of objects as the
 * verb exits has them, which Documentation/control.rst describes). What this program does
 * not know is left out. Strings hold printable ASCII only, whatever the kernel was told:
 * they go to terminals.
 *
 * Return: an object; NULL when it is no message of the family, or memory ran out.
 */
json_t *nlmsg_object(struct nlmsghdr *nlh);

#endif
