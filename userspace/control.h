/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server's side of a VM's socket: clients, their requests one after the other,
 * and a table of verbs.  It belongs to one thread, and never waits for a client:
 * what one sends and does not fetch is bounded, and when there are too many the one
 * that was silent longest goes.
 */
#ifndef UMBRA_CONTROL_H
#define UMBRA_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/libumbra.h"
#include "message.h"
#include "runtime.h"

#define CONTROL_CLIENTS	16

/**
 * struct control_verb - what a client can ask for
 * @name: NULL ends the table
 * @begin: start it. MESSAGE_OK, or what to refuse with, @err filled; NULL: nothing to start
 * @ready: whether it is done; asked at once, and at each control_wake(). NULL: at once
 * @finish: the result, a new reference; NULL with @err filled when it could not be done
 *
 * @args is NULL or an object. A verb that takes none leaves @takes_args false.
 */
struct control_verb {
	const char *name;
	bool takes_args;
	enum message_code (*begin)(void *ctx, json_t *args, struct umbra_err *err);
	bool (*ready)(void *ctx);
	json_t *(*finish)(void *ctx, json_t *args, struct umbra_err *err);
};

/**
 * struct control_client - one connection
 * @fd: -1: free
 * @serial: counts up with each request; the lowest was silent longest
 * @in: what came and is no whole request yet
 * @out, @out_len, @out_at: the answer that is being sent; nothing is read meanwhile
 * @verb: what it waits for; @rq is the request. NULL: nothing
 * @no_more: the client has sent all it will, or what it must not: close once @out is sent
 */
struct control_client {
	int fd;
	uint64_t serial;
	char in[MESSAGE_REQUEST_MAX];
	size_t in_len;
	char *out;
	size_t out_len, out_at;
	const struct control_verb *verb;
	struct message_request rq;
	bool no_more;
};

struct control {
	struct runtime_socket listener;
	int epoll_fd;		/* readable when control_serve() has something to do */
	int spare_fd;		/* closed to accept and refuse when descriptors run out */
	uint64_t serial;
	const struct control_verb *verbs;
	void *ctx;
	struct control_client clients[CONTROL_CLIENTS];
};

/** control_init() - one that is not open; control_close() may be given it. */
void control_init(struct control *c);

/**
 * control_open() - listen at @dir/@name.sock
 * @c: after control_init()
 * @ctx: for the verbs
 * @owner: as for runtime_listen(), whose results it also gives
 */
int control_open(struct control *c, const char *dir, const char *name,
		 const struct control_verb *verbs, void *ctx, pid_t *owner, struct umbra_err *err);

/** control_serve() - do what there is to do, for each client one read and one request at most. */
void control_serve(struct control *c);

/** control_wake() - something has changed: ask the verbs again that are waited for. */
void control_wake(struct control *c);

/** control_close() - remove the socket, then part from all clients. Harmless twice. */
void control_close(struct control *c);

/** control_peer_allowed() - whether a process of @uid may ask a runner of user @own. */
static inline bool control_peer_allowed(uid_t uid, uid_t own)
{
	return uid == own || uid == 0;
}

#endif
