/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where running VMs are found: a directory of the user's own, which holds one
 * Unix socket a VM, NAME.sock.  A runner that was killed leaves its socket behind;
 * nobody accepts on it, which is how it is told from a live one.
 */
#ifndef UMBRA_RUNTIME_H
#define UMBRA_RUNTIME_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include "lib/libumbra.h"

#define RUNTIME_PATH_MAX	sizeof(((struct sockaddr_un *)NULL)->sun_path)

/**
 * struct runtime_socket - a VM's socket, which this process listens on
 * @fd: -1 when there is none
 * @dev, @ino: of the file that was made: it may have been replaced since
 */
struct runtime_socket {
	int fd;
	char dir[RUNTIME_PATH_MAX], path[RUNTIME_PATH_MAX];
	dev_t dev;
	ino_t ino;
};

/**
 * runtime_dir() - where this user's sockets stand
 * @buf: RUNTIME_PATH_MAX bytes: /run/umbra for root, $XDG_RUNTIME_DIR/umbra for others
 *
 * Return: 0; -ENOENT when XDG_RUNTIME_DIR is not set; -ENAMETOOLONG.
 */
int runtime_dir(char *buf, struct umbra_err *err);

/**
 * runtime_listen() - make a VM's socket and listen on it
 * @dir: made if it is not there; it must belong to this user alone
 *
 * Replaces a dead runner's socket of that name.  Runners that start at the same
 * time take turns by a lock on the directory.
 *
 * Return: 0; -EEXIST when a live one has the name, and then *@owner is its process, or
 * 0; -EPERM when others can write to @dir; another negative errno.
 */
int runtime_listen(struct runtime_socket *s, const char *dir, const char *name, pid_t *owner,
		   struct umbra_err *err);

/** runtime_close() - remove the socket, if it is still ours, and close it. Harmless twice. */
void runtime_close(struct runtime_socket *s);

/**
 * runtime_connect() - connect to a VM
 * @seconds: how long this, and each later read or write, may take; 0: for ever
 *
 * Return: a descriptor; -ENOENT when there is no such VM, or only what a dead runner
 * left of it; -EAGAIN when it had no room for another client in that time; -EACCES; another
 * negative errno.
 */
int runtime_connect(const char *dir, const char *name, unsigned int seconds);

/**
 * runtime_names() - the VMs that have a socket in @dir, sorted
 * @names: gets an array of strings, all to be freed by runtime_free_names()
 *
 * Sockets of dead runners are removed. A directory that is not there is an empty one.
 *
 * Return: how many; a negative errno.
 */
int runtime_names(const char *dir, char ***names, struct umbra_err *err);

void runtime_free_names(char **names, int count);

#endif
