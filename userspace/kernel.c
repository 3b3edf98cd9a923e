// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <string.h>

#include "exitcode.h"
#include "kernel.h"
#include "nlmsg.h"
#include "util.h"

#define TRIES	10
#define QUEUE	(1 << 20)

/* libnl's errors as errno, as far as something is made of them. */
static int code_of(int nle)
{
	switch (-nle) {
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_NOMEM:		/* ENOBUFS too */
		return -ENOBUFS;
	case NLE_INTR:
		return -EINTR;
	default:
		return -EIO;
	}
}

static int failed(struct umbra_err *err, const char *what, int nle)
{
	return umbra_fail(err, code_of(nle), "%s: %s", what, nl_geterror(nle));
}

int kernel_open(struct kernel *k, struct umbra_err *err)
{
	int ret;

	k->sock = nl_socket_alloc();
	if (!k->sock)
		return umbra_fail(err, -ENOMEM, "no memory");
	/* Events have numbers of their own. */
	nl_socket_disable_seq_check(k->sock);
	ret = genl_connect(k->sock);
	if (!ret)
		ret = k->family = genl_ctrl_resolve(k->sock, UMBRA_NL_FAMILY);
	if (ret >= 0)
		return 0;
	kernel_close(k);
	if (code_of(ret) == -ENOENT)
		return umbra_fail(err, -ENOENT, "the kernel knows no umbra: load it with modprobe umbra");
	return failed(err, "netlink", ret);
}

void kernel_close(struct kernel *k)
{
	nl_socket_free(k->sock);
	k->sock = NULL;
}

static int append(struct nl_msg *msg, void *arg)
{
	json_t *object = nlmsg_object(nlmsg_hdr(msg));

	if (object)
		json_array_append_new(arg, object);
	return NL_OK;
}

static int ask(struct kernel *k, int cmd, uint32_t vm)
{
	struct nl_msg *msg = nlmsg_alloc();
	int ret = -NLE_NOMEM;

	if (!msg)
		return ret;
	if (genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, k->family, 0, NLM_F_DUMP, (uint8_t)cmd,
			UMBRA_NL_VERSION) &&
	    (!vm || !nla_put_u32(msg, UMBRA_NL_A_VM_ID, vm)))
		ret = nl_send_auto(k->sock, msg);
	nlmsg_free(msg);
	return ret < 0 ? ret : 0;
}

int kernel_dump(struct kernel *k, int cmd, uint32_t vm, json_t **all, struct umbra_err *err)
{
	int ret, tries = 0;

	*all = json_array();
	nl_socket_modify_cb(k->sock, NL_CB_VALID, NL_CB_CUSTOM, append, *all);
	do {
		json_array_clear(*all);
		ret = ask(k, cmd, vm);
		if (!ret)
			ret = nl_recvmsgs_default(k->sock);
	} while (ret == -NLE_DUMP_INTR && ++tries < TRIES);
	if (ret >= 0 || ret == -NLE_DUMP_INTR)
		return 0;
	json_decref(*all);
	*all = NULL;
	return failed(err, "netlink", ret);
}

int kernel_join(struct kernel *k, const char *group, struct umbra_err *err)
{
	int ret = genl_ctrl_resolve_grp(k->sock, UMBRA_NL_FAMILY, group);

	if (ret >= 0) {
		nl_socket_set_buffer_size(k->sock, QUEUE, 0);
		ret = nl_socket_add_membership(k->sock, ret);
	}
	if (ret < 0 && code_of(ret) == -EPERM)
		return umbra_fail(err, -EPERM, "the kernel's events are for root (CAP_NET_ADMIN) only");
	return ret < 0 ? failed(err, "netlink", ret) : 0;
}

static int keep(struct nl_msg *msg, void *arg)
{
	json_t **message = arg;

	*message = nlmsg_object(nlmsg_hdr(msg));
	return NL_STOP;
}

int kernel_next(struct kernel *k, json_t **message, struct umbra_err *err)
{
	struct pollfd wait = { .fd = nl_socket_get_fd(k->sock), .events = POLLIN };
	int ret;

	*message = NULL;
	nl_socket_modify_cb(k->sock, NL_CB_VALID, NL_CB_CUSTOM, keep, message);
	while (!*message) {
		/* libnl goes on where a signal comes. */
		if (poll(&wait, 1, -1) < 0)
			return umbra_fail(err, -errno, "%s", strerror(errno));
		ret = nl_recvmsgs_default(k->sock);
		if (ret < 0)
			return failed(err, "netlink", ret);
	}
	return 0;
}

int kernel_failure(const char *command, int code, const struct umbra_err *err)
{
	complain("%s: %s", command, err->text);
	switch (code) {
	case -ENOENT:
		return UMBRA_EXIT_MISSING;
	case -EPERM:
		return UMBRA_EXIT_NOT_PERMITTED;
	default:
		return UMBRA_EXIT_INTERNAL;
	}
}
