/* SPDX-License-Identifier: GPL-2.0-only */
/* The client's side of a VM's socket. */
#ifndef UMBRA_CLIENT_H
#define UMBRA_CLIENT_H

#include "message.h"

/**
 * client_ask() - one request to a VM, and its answer
 * @args: or NULL; the reference is taken
 * @seconds: how long it may take
 * @fd: NULL, or gets the connection, still open, for client_wait_end()
 * @result: gets a reference
 *
 * Return: 0; -ENOENT no such VM; -EACCES; -EREMOTEIO it refused; -EINVAL it refused the
 * arguments; -ETIMEDOUT; -EPROTO; another negative errno; @err filled.
 */
int client_ask(const char *dir, const char *name, const char *verb, json_t *args,
	       unsigned int seconds, int *fd, json_t **result, struct umbra_err *err);

/** client_wait_end() - until the VM is gone, then close @fd. Return: 0, -ETIMEDOUT. */
int client_wait_end(int fd);

/**
 * client_failure() - say in a line on stderr that a request failed, and the remedy
 * @command: the subcommand
 * @code: what client_ask() or client_wait_end() gave
 *
 * Return: the exit code that belongs to it.
 */
int client_failure(const char *command, const char *name, int code,
		   const struct umbra_err *err);

#endif
