// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "exitcode.h"
#include "runtime.h"
#include "util.h"

#define CHUNK	4096u

/* A stopped or overloaded runner; the socket's own time limit gives EAGAIN. */
static int failure(int code, struct umbra_err *err)
{
	if (code == EAGAIN)
		return umbra_fail(err, -ETIMEDOUT, "the runner does not answer");
	return umbra_fail(err, -code, "%s", strerror(code));
}

static int send_all(int fd, const char *text, struct umbra_err *err)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = send(fd, text, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure(errno, err);
		text += n;
		left -= (size_t)n;
	}
	return 0;
}

/* One line; *@line is for free(), also after a failure. Return: its length without the newline. */
static ssize_t receive_line(int fd, char **line, struct umbra_err *err)
{
	size_t used = 0;

	*line = NULL;
	while (used < MESSAGE_ANSWER_MAX) {
		char *more = realloc(*line, used + CHUNK);
		ssize_t n;

		if (!more)
			return umbra_fail(err, -ENOMEM, "no memory");
		*line = more;
		n = recv(fd, more + used, CHUNK, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure(errno, err);
		if (!n)
			return umbra_fail(err, -EPROTO, "the runner ended before it answered");
		used += (size_t)n;
		if (more[used - 1] == '\n')
			return (ssize_t)used - 1;
	}
	return umbra_fail(err, -EPROTO, "the runner's answer has no end");
}

int client_ask(const char *dir, const char *name, const char *verb, json_t *args,
	       unsigned int seconds, int *fd, json_t **result, struct umbra_err *err)
{
	char *request = message_ask(verb, args), *line = NULL;
	int sock, ret;
	ssize_t len;

	*result = NULL;
	if (!request)
		return umbra_fail(err, -ENOMEM, "no memory");
	sock = runtime_connect(dir, name, seconds);
	if (sock < 0) {
		free(request);
		return failure(-sock, err);
	}
	ret = send_all(sock, request, err);
	free(request);
	if (!ret) {
		len = receive_line(sock, &line, err);
		ret = len < 0 ? (int)len : message_read_answer(line, (size_t)len, result, err);
		free(line);
	}
	if (fd && !ret)
		*fd = sock;
	else
		close(sock);
	return ret;
}

int client_wait_end(int fd)
{
	char byte;
	ssize_t n;
	int ret;

	do {
		n = recv(fd, &byte, 1, 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
	ret = n < 0 && errno == EAGAIN ? -ETIMEDOUT : 0;
	close(fd);
	return ret;
}

int client_failure(const char *command, const char *name, int code,
		   const struct umbra_err *err)
{
	switch (code) {
	case -ENOENT:
		complain("%s: no VM %s runs; `umbra list` shows those that do", command, name);
		return UMBRA_EXIT_MISSING;
	case -EACCES:
	case -EPERM:
		complain("%s %s: %s; only its own user and root may", command, name, err->text);
		return UMBRA_EXIT_NOT_PERMITTED;
	case -EINVAL:
		complain("%s %s: %s", command, name, err->text);
		return UMBRA_EXIT_USAGE;
	case -EREMOTEIO:
		complain("%s %s: %s", command, name, err->text);
		return UMBRA_EXIT_MISSING;
	default:
		complain("%s %s: %s", command, name, err->text);
		return UMBRA_EXIT_INTERNAL;
	}
}
