// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

#define EVENTS		8	/* and as many new clients, each time they are served */
#define LISTENER	CONTROL_CLIENTS		/* its number in the epoll set */

static void drop(struct control_client *cl)
{
	close(cl->fd);		/* and the epoll set forgets it */
	free(cl->out);
	message_free(&cl->rq);
	*cl = (struct control_client){ .fd = -1 };
}

/* A whole request that has not been taken. Return: its length without the newline, or -1. */
static ssize_t request_len(const struct control_client *cl)
{
	const char *end = memchr(cl->in, '\n', cl->in_len);

	return end ? end - cl->in : -1;
}

/*
 * What to wait for: while an answer is due, or being sent, nothing is read. A client whose
 * next request is there already has its turn when there is room for an answer, mostly at once.
 */
static void set_interest(struct control *c, struct control_client *cl)
{
	struct epoll_event ev = { .data.u32 = (uint32_t)(cl - c->clients) };

	if (cl->out || (!cl->verb && request_len(cl) >= 0))
		ev.events = EPOLLOUT;
	else if (!cl->verb && !cl->no_more)
		ev.events = EPOLLIN;
	epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, cl->fd, &ev);
}

/* Sends what it can. Return: false when the client is gone. */
static bool flush(struct control_client *cl)
{
	while (cl->out) {
		ssize_t n = send(cl->fd, cl->out + cl->out_at, cl->out_len - cl->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		cl->out_at += (size_t)n;
		if (cl->out_at < cl->out_len)
			continue;
		free(cl->out);
		cl->out = NULL;
	}
	return true;
}

/* @text is taken; NULL: memory ran out, which ends the connection. */
static bool answer(struct control_client *cl, char *text)
{
	message_free(&cl->rq);
	cl->verb = NULL;
	if (!text)
		return false;
	cl->out = text;
	cl->out_len = strlen(text);
	cl->out_at = 0;
	return flush(cl);
}

static bool refuse(struct control_client *cl, enum message_code code, const struct umbra_err *err)
{
	return answer(cl, message_refusal(cl->rq.id, code, err->text));
}

static bool finish_if_ready(struct control *c, struct control_client *cl)
{
	struct umbra_err err = { "no memory" };
	json_t *result;

	if (cl->verb->ready && !cl->verb->ready(c->ctx))
		return true;
	result = cl->verb->finish(c->ctx, cl->rq.args, &err);
	if (!result)
		return refuse(cl, MESSAGE_FAILED, &err);
	return answer(cl, message_answer(cl->rq.id, result));
}

static const struct control_verb *find_verb(const struct control *c, const char *name)
{
	const struct control_verb *v;

	for (v = c->verbs; v->name; v++)
		if (!strcmp(name, v->name))
			return v;
	return NULL;
}

static enum message_code begin(struct control *c, struct control_client *cl, struct umbra_err *err)
{
	const struct control_verb *v = find_verb(c, cl->rq.verb);
	enum message_code code = MESSAGE_OK;

	if (!v)
		return umbra_fail(err, MESSAGE_UNKNOWN_VERB, "this runner has no such verb");
	if (cl->rq.args && !v->takes_args)
		return umbra_fail(err, MESSAGE_BAD_ARGS, "%s takes no arguments", v->name);
	if (v->begin)
		code = v->begin(c->ctx, cl->rq.args, err);
	if (code == MESSAGE_OK)
		cl->verb = v;
	return code;
}

/* One request, without its newline. Return: false when the client is to go. */
static bool take_request(struct control *c, struct control_client *cl, const char *text, size_t len)
{
	struct umbra_err err = { "" };
	enum message_code code;

	cl->serial = ++c->serial;
	code = message_parse(&cl->rq, text, len, &err);
	if (code == MESSAGE_OK)
		code = begin(c, cl, &err);
	if (code != MESSAGE_OK)
		return refuse(cl, code, &err);
	return finish_if_ready(c, cl);
}

/*
 * The next request, if it is there and the last one's answer is gone: one each time, so that
 * who sends many does not keep the others waiting. Return: false when the client is to go.
 */
static bool take_next(struct control *c, struct control_client *cl)
{
	static const struct umbra_err too_long = { "a request is longer than 4096 bytes" };
	ssize_t len = request_len(cl);

	if (cl->out || cl->verb)
		return true;
	if (len >= 0) {
		if (!take_request(c, cl, cl->in, (size_t)len))
			return false;
		cl->in_len -= (size_t)len + 1;
		memmove(cl->in, cl->in + len + 1, cl->in_len);
	} else if (cl->in_len == sizeof(cl->in) && !cl->no_more) {
		cl->no_more = true;
		if (!refuse(cl, MESSAGE_BAD_REQUEST, &too_long))
			return false;
	}
	return !cl->no_more || cl->out || cl->verb || request_len(cl) >= 0;
}

static bool read_some(struct control_client *cl)
{
	ssize_t n = recv(cl->fd, cl->in + cl->in_len, sizeof(cl->in) - cl->in_len, MSG_DONTWAIT);

	if (n > 0)
		cl->in_len += (size_t)n;
	else if (!n)
		cl->no_more = true;
	else
		return errno == EAGAIN || errno == EINTR;
	return true;
}

static void serve_client(struct control *c, struct control_client *cl, uint32_t events)
{
	bool stays = true;

	if (events & EPOLLIN)
		stays = read_some(cl);
	else if (events & (EPOLLHUP | EPOLLERR))
		stays = false;
	if (stays && (events & EPOLLOUT))
		stays = flush(cl);
	if (stays && take_next(c, cl))
		set_interest(c, cl);
	else
		drop(cl);
}

static struct control_client *room(struct control *c)
{
	struct control_client *cl, *oldest = c->clients;

	for (cl = c->clients; cl < c->clients + CONTROL_CLIENTS; cl++) {
		if (cl->fd < 0)
			return cl;
		if (cl->serial < oldest->serial)
			oldest = cl;
	}
	drop(oldest);
	return oldest;
}

static bool peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       control_peer_allowed(peer.uid, geteuid());
}

/* No descriptor is left: or the listener would be readable for ever. */
static void turn_away(struct control *c)
{
	int fd;

	close(c->spare_fd);
	fd = accept(c->listener.fd, NULL, NULL);
	if (fd >= 0)
		close(fd);
	c->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Return: whether there was one. */
static bool accept_client(struct control *c)
{
	int fd = accept4(c->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };
	struct control_client *cl;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			turn_away(c);
		return false;
	}
	if (!peer_allowed(fd)) {
		close(fd);
		return true;
	}
	cl = room(c);
	*cl = (struct control_client){ .fd = fd, .serial = ++c->serial };
	ev.data.u32 = (uint32_t)(cl - c->clients);
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		drop(cl);
	return true;
}

void control_serve(struct control *c)
{
	struct epoll_event ev[EVENTS];
	int i, n = epoll_wait(c->epoll_fd, ev, EVENTS, 0);
	bool more = false;

	for (i = 0; i < n; i++) {
		if (ev[i].data.u32 == LISTENER)
			more = true;
		else
			serve_client(c, &c->clients[ev[i].data.u32], ev[i].events);
	}
	/* Last, as a new client may take the place of one that an event was for. */
	for (i = 0; more && i < EVENTS; i++)
		more = accept_client(c);
}

void control_wake(struct control *c)
{
	struct control_client *cl;

	if (c->epoll_fd < 0)
		return;
	for (cl = c->clients; cl < c->clients + CONTROL_CLIENTS; cl++) {
		if (cl->fd < 0 || !cl->verb)
			continue;
		if (finish_if_ready(c, cl) && take_next(c, cl))
			set_interest(c, cl);
		else
			drop(cl);
	}
}

void control_init(struct control *c)
{
	unsigned int i;

	memset(c, 0, sizeof(*c));
	c->listener.fd = c->epoll_fd = c->spare_fd = -1;
	for (i = 0; i < CONTROL_CLIENTS; i++)
		c->clients[i].fd = -1;
}

int control_open(struct control *c, const char *dir, const char *name,
		 const struct control_verb *verbs, void *ctx, pid_t *owner, struct umbra_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = LISTENER };
	int ret;

	c->verbs = verbs;
	c->ctx = ctx;
	ret = runtime_listen(&c->listener, dir, name, owner, err);
	if (ret)
		return ret;
	c->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->spare_fd >= 0 && c->epoll_fd >= 0 &&
	    !epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->listener.fd, &ev))
		return 0;
	ret = umbra_fail(err, -errno, "epoll: %s", strerror(errno));
	control_close(c);
	return ret;
}

void control_close(struct control *c)
{
	unsigned int i;

	if (c->listener.fd < 0)
		return;
	runtime_close(&c->listener);
	for (i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].fd >= 0)
			drop(&c->clients[i]);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	if (c->spare_fd >= 0)
		close(c->spare_fd);
	c->epoll_fd = c->spare_fd = -1;
}
