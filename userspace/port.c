// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "port.h"
#include "terminal.h"

#define FLUSH_DELAY_NS	4000000L	/* output waits this long for more to join it */
#define DRAIN_STALL_MS	2000		/* at the end, how long a stuck reader is waited for */
#define PTY_STALL_MS	500		/* the same for a pseudo-terminal that nobody may read */
#define PTY_STEP_MS	20
#define CTRL_A		0x01

static void arm_timer(void *ctx, bool urgent)
{
	const struct port *p = ctx;
	struct itimerspec when = { .it_value.tv_nsec = urgent ? 1 : FLUSH_DELAY_NS };

	timerfd_settime(p->timer_fd, 0, &when, NULL);
}

static void want_input(void *ctx)
{
	const struct port *p = ctx;

	eventfd_write(p->wake_fd, 1);
}

int port_init(struct port *p, struct uart *uart, struct umbra_err *err)
{
	*p = PORT_CLOSED;
	p->uart = uart;
	p->host = (struct uart_host){
		.ctx = p, .tx_ready = arm_timer, .rx_wanted = want_input,
	};
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->timer_fd < 0 || p->wake_fd < 0) {
		int code = errno;

		port_close(p);
		return umbra_fail(err, -code, "timerfd or eventfd: %s", strerror(code));
	}
	return 0;
}

/*
 * Makes writes to @fd non-blocking without setting O_NONBLOCK on a description
 * that is shared with our parent: opens it a second time where that is possible.
 */
static void set_output(struct port *p, int fd, bool own)
{
	char path[32];
	struct stat st;
	int again;

	p->out_fd = fd;
	p->own_out = own;
	if (fstat(fd, &st) || S_ISREG(st.st_mode))
		return;
	p->out_is_socket = S_ISSOCK(st.st_mode);
	if (p->out_is_socket)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again < 0)
		return;
	if (own && fd != p->in_fd)
		close(fd);
	p->out_fd = again;
	p->own_out = true;
}

static void set_input(struct port *p, int fd, bool own)
{
	struct stat st;

	p->in_fd = fd;
	p->own_in = own;
	p->in_polled = fstat(fd, &st) || !S_ISREG(st.st_mode);
}

int port_open_stdio(struct port *p, struct umbra_err *err)
{
	if (fcntl(STDIN_FILENO, F_GETFD) >= 0)
		set_input(p, STDIN_FILENO, false);
	if (fcntl(STDOUT_FILENO, F_GETFD) >= 0)
		set_output(p, STDOUT_FILENO, false);
	if (p->in_fd < 0 || !isatty(p->in_fd))
		return 0;
	if (tcgetattr(p->in_fd, &p->saved))
		return umbra_fail(err, -errno, "terminal: %s", strerror(errno));
	p->escape = true;
	p->raw = true;
	return terminal_make_raw(p->in_fd, &p->saved, err);
}

int port_open_pty(struct port *p, char *name, size_t size, struct umbra_err *err)
{
	struct termios t;
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || grantpt(fd) || unlockpt(fd) || ptsname_r(fd, name, size)) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return umbra_fail(err, -code, "pseudo-terminal: %s", strerror(code));
	}
	/* Raw from the start, or what the guest prints would be echoed back to it. */
	p->pty_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (p->pty_fd >= 0 && !tcgetattr(p->pty_fd, &t)) {
		cfmakeraw(&t);
		tcsetattr(p->pty_fd, TCSANOW, &t);
	}
	set_input(p, fd, true);
	p->out_fd = fd;
	return 0;
}

int port_open_file(struct port *p, const char *path, struct umbra_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);

	if (fd < 0)
		return umbra_fail(err, -errno, "%s: %s", path, strerror(errno));
	set_output(p, fd, true);
	return 0;
}

static int connect_socket(struct port *p, const char *path, struct umbra_err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return umbra_fail(err, -ENAMETOOLONG, "%s: too long for a socket's name", path);
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return umbra_fail(err, -code, "%s: %s", path, strerror(code));
	}
	set_input(p, fd, true);
	set_output(p, fd, false);
	return 0;
}

static int use_descriptor(struct port *p, const char *number, struct umbra_err *err)
{
	int fd = atoi(number);
	int flags = strlen(number) > 9 ? -1 : fcntl(fd, F_GETFL);

	if (flags < 0)
		return umbra_fail(err, -EBADF, "%s is not an open file descriptor", number);
	if ((flags & O_ACCMODE) != O_WRONLY)
		set_input(p, fd, false);
	if ((flags & O_ACCMODE) != O_RDONLY)
		set_output(p, fd, false);
	return 0;
}

int port_open_channel(struct port *p, const char *spec, struct umbra_err *err)
{
	struct stat st;
	int fd;

	if (*spec && strspn(spec, "0123456789") == strlen(spec))
		return use_descriptor(p, spec, err);
	if (stat(spec, &st) || S_ISREG(st.st_mode))
		return port_open_file(p, spec, err);
	if (S_ISSOCK(st.st_mode))
		return connect_socket(p, spec, err);
	fd = open(spec, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return umbra_fail(err, -errno, "%s: %s", spec, strerror(errno));
	/* Of a FIFO we would read back our own output. */
	if (S_ISFIFO(st.st_mode)) {
		p->out_fd = fd;
		p->own_out = true;
	} else {
		set_input(p, fd, true);
		p->out_fd = fd;
	}
	return 0;
}

static ssize_t write_some(const struct port *p, const uint8_t *buf, size_t len)
{
	struct pollfd pfd = { .fd = p->out_fd, .events = POLLOUT };

	if (p->out_is_socket)
		return send(p->out_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Where the second opening failed, room for something at least is seen to. */
	if (poll(&pfd, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (pfd.revents & POLLHUP) {	/* a pseudo-terminal that nobody has open */
		errno = EIO;
		return -1;
	}
	return write(p->out_fd, buf, len);
}

bool port_flush(struct port *p)
{
	for (;;) {
		ssize_t n;

		if (p->out_at == p->out_len) {
			p->out_at = 0;
			p->out_len = uart_tx_take(p->uart, p->out, sizeof(p->out));
			if (!p->out_len)
				return true;
		}
		if (p->out_fd < 0) {	/* nobody listens: the line goes nowhere */
			p->out_at = p->out_len;
			continue;
		}
		n = write_some(p, p->out + p->out_at, p->out_len - p->out_at);
		if (n >= 0)
			p->out_at += (unsigned int)n;
		else if (errno == EAGAIN)
			return false;
		else if (errno != EINTR)	/* the reader is gone, or the disk is full */
			p->out_at = p->out_len;
	}
}

/* Takes Ctrl-A out of the input. Return: false when X follows it. */
static bool filter_escape(struct port *p)
{
	unsigned int i, kept = 0;

	for (i = 0; i < p->in_len; i++) {
		uint8_t c = p->in[i];

		if (!p->escape_seen && c == CTRL_A) {
			p->escape_seen = true;
			continue;
		}
		if (p->escape_seen && tolower(c) == 'x')
			return false;
		/* Ctrl-A twice sends one; before anything else it is sent along. */
		if (p->escape_seen && c != CTRL_A) {
			uint8_t ctrl_a = CTRL_A;

			uart_rx_put(p->uart, &ctrl_a, 1);
		}
		p->escape_seen = false;
		p->in[kept++] = c;
	}
	p->in_len = kept;
	return true;
}

bool port_input(struct port *p)
{
	for (;;) {
		struct pollfd pfd = { .fd = p->in_fd, .events = POLLIN };
		uint32_t taken;
		ssize_t n;

		if (p->in_len) {
			taken = uart_rx_put(p->uart, p->in, p->in_len);
			p->in_len -= taken;
			memmove(p->in, p->in + taken, p->in_len);
		}
		/* A terminal is read on, or its user could not leave a stuck guest. */
		if (p->in_len && p->escape)
			p->in_len = 0;
		p->in_paused = p->in_len != 0;
		if (p->in_paused || p->in_fd < 0)
			return true;
		if (p->in_polled && poll(&pfd, 1, 0) <= 0)
			return true;
		n = read(p->in_fd, p->in, sizeof(p->in));
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EIO))
			return true;	/* EIO: a pseudo-terminal waits for its next user */
		if (n <= 0) {	/* the end of input ends nothing */
			if (p->own_in && p->in_fd != p->out_fd)
				close(p->in_fd);
			p->in_fd = -1;
			return true;
		}
		p->in_len = (unsigned int)n;
		if (p->escape && !filter_escape(p))
			return false;
	}
}

/*
 * A pseudo-terminal whose master closes forgets what nobody has read yet. The
 * pause before the first look is for the kernel, which passes bytes on by a worker.
 */
static void drain_pty(const struct port *p)
{
	int waited, left, before = -1;

	for (waited = 0; waited < PTY_STALL_MS; waited += PTY_STEP_MS) {
		poll(NULL, 0, PTY_STEP_MS);
		if (ioctl(p->pty_fd, FIONREAD, &left) || !left)
			return;
		if (left != before)
			waited = 0;
		before = left;
	}
}

void port_drain(struct port *p)
{
	struct pollfd pfd = { .events = POLLOUT };

	while (!port_flush(p)) {
		pfd.fd = p->out_fd;
		if (poll(&pfd, 1, DRAIN_STALL_MS) <= 0)
			return;
	}
	if (p->pty_fd >= 0)
		drain_pty(p);
}

void port_reraw(struct port *p)
{
	if (p->raw)
		terminal_make_raw(p->in_fd, &p->saved, NULL);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void port_close(struct port *p)
{
	if (p->raw)
		terminal_restore();
	p->raw = false;
	if (p->own_out && p->out_fd != p->in_fd)
		close_fd(&p->out_fd);
	if (p->own_in)
		close_fd(&p->in_fd);
	close_fd(&p->pty_fd);
	close_fd(&p->timer_fd);
	close_fd(&p->wake_fd);
}
