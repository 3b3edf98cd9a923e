// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "runtime.h"
#include "util.h"

#define SUFFIX	".sock"
#define BACKLOG	16

int runtime_dir(char *buf, struct umbra_err *err)
{
	const char *base = geteuid() ? getenv("XDG_RUNTIME_DIR") : "/run";
	int n;

	if (!base || base[0] != '/')
		return umbra_fail(err, -ENOENT, "XDG_RUNTIME_DIR is not set to a directory");
	n = snprintf(buf, RUNTIME_PATH_MAX, "%s/umbra", base);
	if (n < 0 || (size_t)n >= RUNTIME_PATH_MAX)
		return umbra_fail(err, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long for a socket");
	return 0;
}

static int socket_path(char *buf, const char *dir, const char *name)
{
	int n = snprintf(buf, RUNTIME_PATH_MAX, "%s/%s" SUFFIX, dir, name);

	return n < 0 || (size_t)n >= RUNTIME_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* The directory, locked against others who change what is in it. */
static int lock_dir(const char *dir, struct umbra_err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int code;

	if (fd < 0 || fstat(fd, &st))
		goto fail;
	if (st.st_uid != geteuid() || (st.st_mode & 022)) {
		close(fd);
		return umbra_fail(err, -EPERM, "%s: others can write there; remove it, it is made anew",
				  dir);
	}
	if (!flock(fd, LOCK_EX))
		return fd;
fail:
	code = errno;
	if (fd >= 0)
		close(fd);
	return umbra_fail(err, -code, "%s: %s", dir, strerror(code));
}

/* @patience: for this and each later read and write; NULL: none of them waits. */
static int connect_path(const char *path, const struct timeval *patience)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int flags = patience ? SOCK_CLOEXEC : SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0), ret;

	if (fd < 0)
		return -errno;
	if (patience) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, sizeof(*patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, patience, sizeof(*patience));
	}
	strcpy(addr.sun_path, path);	/* socket_path() saw to its length */
	do {
		ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	} while (ret && errno == EINTR);
	if (ret) {
		int code = errno;

		close(fd);
		return -code;
	}
	return fd;
}

/*
 * With the directory's lock, so that nobody is between bind() and listen().
 * A full backlog (EAGAIN) is a live runner's.
 */
static bool is_dead(const char *path, pid_t *owner)
{
	int fd = connect_path(path, NULL);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	*owner = 0;
	if (fd < 0)
		return fd == -ECONNREFUSED;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		*owner = peer.pid;
	close(fd);
	return false;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISSOCK(st.st_mode);
}

/* With the lock. */
static int bind_socket(struct runtime_socket *s, pid_t *owner, struct umbra_err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int ret;

	memcpy(addr.sun_path, s->path, sizeof(addr.sun_path));
	/* The file takes its mode from here. */
	ret = fchmod(s->fd, 0600);
	if (!ret)
		ret = bind(s->fd, (struct sockaddr *)&addr, sizeof(addr));
	if (ret && errno == EADDRINUSE) {
		if (!is_socket(s->path) || !is_dead(s->path, owner))
			return umbra_fail(err, -EEXIST, "%s is in use", s->path);
		ret = unlink(s->path);
		if (!ret)
			ret = bind(s->fd, (struct sockaddr *)&addr, sizeof(addr));
	}
	if (ret || listen(s->fd, BACKLOG) || lstat(s->path, &st))
		return umbra_fail(err, -errno, "%s: %s", s->path, strerror(errno));
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

int runtime_listen(struct runtime_socket *s, const char *dir, const char *name, pid_t *owner,
		   struct umbra_err *err)
{
	int lock, ret;

	*s = (struct runtime_socket){ .fd = -1 };
	*owner = 0;
	if (socket_path(s->path, dir, name))
		return umbra_fail(err, -ENAMETOOLONG, "%s/%s" SUFFIX " is too long for a socket",
				  dir, name);
	strcpy(s->dir, dir);
	if (mkdir(dir, 0700) && errno != EEXIST)
		return umbra_fail(err, -errno, "%s: %s", dir, strerror(errno));
	lock = lock_dir(dir, err);
	if (lock < 0)
		return lock;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		ret = umbra_fail(err, -errno, "socket: %s", strerror(errno));
	else
		ret = bind_socket(s, owner, err);
	if (ret && s->fd >= 0) {
		close(s->fd);
		s->fd = -1;
	}
	close(lock);
	return ret;
}

void runtime_close(struct runtime_socket *s)
{
	struct stat st;
	int lock;

	if (s->fd < 0)
		return;
	lock = lock_dir(s->dir, NULL);
	if (lock >= 0) {
		if (!lstat(s->path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
			unlink(s->path);
		close(lock);
	}
	close(s->fd);
	s->fd = -1;
}

int runtime_connect(const char *dir, const char *name, unsigned int seconds)
{
	struct timeval patience = { .tv_sec = seconds };
	char path[RUNTIME_PATH_MAX];
	int fd;

	if (socket_path(path, dir, name))
		return -ENOENT;
	fd = connect_path(path, &patience);
	return fd == -ECONNREFUSED ? -ENOENT : fd;
}

/* Whether it is a live VM's socket, or at least no dead one's. With the lock. */
static bool keep(const char *dir, const char *name)
{
	char path[RUNTIME_PATH_MAX];
	pid_t owner;

	if (socket_path(path, dir, name) || !is_socket(path))
		return false;
	if (!is_dead(path, &owner))
		return true;
	unlink(path);
	return false;
}

/* The VM's name that a file's name gives, or NULL. */
static char *name_of(const char *file)
{
	size_t len = strlen(file), suffix = strlen(SUFFIX);
	char *name;

	if (len <= suffix || strcmp(file + len - suffix, SUFFIX))
		return NULL;
	name = strndup(file, len - suffix);
	if (name && valid_name(name))
		return name;
	free(name);
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(DIR *d, const char *dir, char ***names)
{
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(d))) {
		char *name = name_of(entry->d_name);
		char **more;

		if (!name)
			continue;
		more = keep(dir, name) ? realloc(*names, (count + 1) * sizeof(**names)) : NULL;
		if (!more) {
			free(name);
			continue;
		}
		*names = more;
		more[count++] = name;
	}
	if (count)
		qsort(*names, count, sizeof(**names), by_name);
	return count;
}

int runtime_names(const char *dir, char ***names, struct umbra_err *err)
{
	int lock = lock_dir(dir, err), count;
	DIR *d;

	*names = NULL;
	if (lock < 0)
		return lock == -ENOENT ? 0 : lock;
	d = fdopendir(lock);
	if (!d) {
		int code = errno;

		close(lock);
		return umbra_fail(err, -code, "%s: %s", dir, strerror(code));
	}
	count = read_names(d, dir, names);
	closedir(d);	/* and the lock */
	return count;
}

void runtime_free_names(char **names, int count)
{
	int i;

	for (i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
