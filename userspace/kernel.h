/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel tells about VMs: its netlink family umbra. */
#ifndef UMBRA_KERNEL_H
#define UMBRA_KERNEL_H

#include <jansson.h>
#include <linux/umbra_netlink.h>

#include "lib/libumbra.h"

struct nl_sock;

/**
 * struct kernel - a connection
 * @family: the family's number
 */
struct kernel {
	struct nl_sock *sock;
	int family;
};

/** kernel_open() - Return: 0; -ENOENT: no such family, the module is not loaded; an errno. */
int kernel_open(struct kernel *k, struct umbra_err *err);
void kernel_close(struct kernel *k);	/* harmless twice */

/**
 * kernel_dump() - all messages that answer a request
 * @cmd: UMBRA_NL_CMD_*_GET
 * @vm: of this VM only; 0: of all
 * @all: gets an array of nlmsg_object()s
 *
 * Asked again while VMs come and go in the middle of it; after some times it is taken
 * as it is.
 *
 * Return: 0; -ENOENT: no such VM, it may have ended; another errno.
 */
int kernel_dump(struct kernel *k, int cmd, uint32_t vm, json_t **all, struct umbra_err *err);

/** kernel_join() - get what a group gets. Return: 0, -EPERM, another errno. */
int kernel_join(struct kernel *k, const char *group, struct umbra_err *err);

/**
 * kernel_next() - wait for the next message of a group
 * @message: gets a reference
 *
 * Return: 0; -ENOBUFS: some were lost, ask again; -EINTR; another errno.
 */
int kernel_next(struct kernel *k, json_t **message, struct umbra_err *err);

/**
 * kernel_failure() - say in a line on stderr what failed
 * @code: what one of the above gave
 *
 * Return: the exit code that belongs to it.
 */
int kernel_failure(const char *command, int code, const struct umbra_err *err);

#endif
