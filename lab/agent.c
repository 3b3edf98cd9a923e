// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first process of the emulated host and of the small guest. It runs one
 * command and carries its input, output and status over a channel, as frames:
 * a type byte, three zero bytes, a little-endian 32-bit length, the payload.
 *
 *   agent CHANNEL           emulated host: waits for the command on the channel
 *   agent -p PORT CHANNEL   the same, but what it sends goes to the parallel port
 *                           there: an emulated serial line is as slow as a real one
 *   agent CHANNEL FILE      guest: the command is FILE's content; sends only
 *                           'o', 'e' and 'x' and powers off
 *
 *   to the host:   'C' command (struct start, TERM, NUL, command, NUL)
 *                  'i' input   'z' end of input   'w' window size
 *                  'h' an interrupt for each CPU
 *   from the host: 'r' ready   'b' begun   'o' output   'e' error output
 *                  'k' kernel log since COMMAND began   'x' status (32 bits)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define FRAME_MAX	65536
#define KLOG_CONSOLE_LEVEL 8

/* Bits of a parallel port's control register. */
#define LPT_STROBE	0x01
#define LPT_NO_RESET	0x04
#define LPT_SELECT	0x08

struct frame {
	uint8_t type;
	uint8_t zero[3];
	uint32_t len;
};

struct start {
	uint32_t tty_mask;	/* bit N: file descriptor N is a terminal */
	struct winsize size;
};

struct agent {
	int channel;
	unsigned short lpt;	/* port that sends instead, or 0 */
	int kmsg;
	int sigs;
	int in;			/* writes to COMMAND's input, or -1 */
	int out[2];		/* reads its output and error output, or -1 */
	int pty;		/* master side, or -1 */
	int visitor;		/* a byte sends it round the CPUs */
	pid_t child;
	char pending[FRAME_MAX];	/* input not yet taken by COMMAND */
	size_t pending_len;
	size_t pending_off;
	int in_ends;		/* close `in` once nothing is pending */
};

static void die(const char *what)
{
	fprintf(stderr, "lab agent: %s: %s\n", what, strerror(errno));
	exit(1);		/* the kernel panics, lab/run shows the console */
}

static void write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd wait = { .fd = fd, .events = POLLOUT };

			poll(&wait, 1, -1);
			continue;
		}
		if (n <= 0)
			die("write");
		p += n;
		len -= n;
	}
}

/* An emulated printer is never busy: a byte goes out with each rise of the strobe. */
static void print_all(unsigned short port, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	for (; len; len--) {
		outb(*p++, port);
		outb(LPT_SELECT | LPT_NO_RESET | LPT_STROBE, port + 2);
		outb(LPT_SELECT | LPT_NO_RESET, port + 2);
	}
}

static void send_bytes(struct agent *a, const void *buf, size_t len)
{
	if (a->lpt)
		print_all(a->lpt, buf, len);
	else
		write_all(a->channel, buf, len);
}

static void send_frame(struct agent *a, uint8_t type, const void *buf, size_t len)
{
	struct frame f = { .type = type, .len = len };

	send_bytes(a, &f, sizeof(f));
	send_bytes(a, buf, len);
}

/*
 * Returns 0, having read nothing, if the channel has no other end now: behind a
 * suspend of the emulated host a virtio port seems closed until the emulator has
 * told that it is not.
 */
static int read_all(int fd, void *buf, size_t len)
{
	size_t all = len;
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd wait = { .fd = fd, .events = POLLIN };

			poll(&wait, 1, -1);
			continue;
		}
		if (n < 0)
			die("read");
		if (n == 0) {
			poll(NULL, 0, 10);	/* ms */
			if (len == all)
				return 0;
		}
		p += n;
		len -= n;
	}
	return 1;
}

/*
 * Receive one frame; returns its type, the payload stands in buf with a NUL behind
 * it. Returns 0 if the channel has no other end now.
 */
static uint8_t receive_frame(struct agent *a, char *buf, uint32_t *len)
{
	struct frame f;

	if (!read_all(a->channel, &f, sizeof(f)))
		return 0;
	if (f.len > FRAME_MAX) {
		errno = EPROTO;
		die("frame");
	}
	while (f.len && !read_all(a->channel, buf, f.len))
		;
	buf[f.len] = 0;
	*len = f.len;
	return f.type;
}

static void open_pty(struct agent *a, const struct start *start, int *slave)
{
	a->pty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (a->pty < 0 || grantpt(a->pty) || unlockpt(a->pty))
		die("pty");
	ioctl(a->pty, TIOCSWINSZ, &start->size);
	*slave = open(ptsname(a->pty), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		die("pty slave");
}

/* In the child: take the descriptors and become COMMAND. */
static void run_command(const int *fds, int slave, char *term, const char *command)
{
	sigset_t none;
	int i;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (slave >= 0)
		ioctl(slave, TIOCSCTTY, 0);
	for (i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			die("dup2");
	if (*term)
		setenv("TERM", term, 1);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	die("/bin/sh");
}

static void start_command(struct agent *a, char *buf, uint32_t len)
{
	struct start start;
	char *term = buf + sizeof(start);
	int fds[3], slave = -1, ends[3][2], i;

	if (len < sizeof(start) + 2) {
		errno = EPROTO;
		die("start");
	}
	memcpy(&start, buf, sizeof(start));
	if (start.tty_mask)
		open_pty(a, &start, &slave);
	for (i = 0; i < 3; i++) {
		fds[i] = slave;
		ends[i][0] = ends[i][1] = -1;
		if (start.tty_mask & (1u << i))
			continue;
		if (pipe2(ends[i], O_CLOEXEC))
			die("pipe");
		fds[i] = ends[i][i ? 1 : 0];
	}
	a->in = start.tty_mask & 1 ? a->pty : ends[0][1];
	a->out[0] = ends[1][0];
	a->out[1] = ends[2][0];
	a->child = fork();
	if (a->child < 0)
		die("fork");
	if (!a->child)
		run_command(fds, slave, term, term + strlen(term) + 1);
	for (i = 0; i < 3; i++)
		if (fds[i] != slave)
			close(fds[i]);
	close(slave);
	fcntl(a->in, F_SETFL, O_NONBLOCK);
	for (i = 0; i < 2; i++)
		if (a->out[i] >= 0)
			fcntl(a->out[i], F_SETFL, O_NONBLOCK);
	if (a->pty >= 0)
		fcntl(a->pty, F_SETFL, O_NONBLOCK);
}

/* Pass on what stands in *fd; returns 1 when it may hold more, 0 when drained or ended. */
static int relay(struct agent *a, int *fd, uint8_t type)
{
	char buf[16384];
	ssize_t n;

	if (*fd < 0)
		return 0;
	n = read(*fd, buf, sizeof(buf));
	if (n > 0) {
		send_frame(a, type, buf, n);
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (fd != &a->pty)	/* a pty ends for good only with its child */
		close(*fd);
	*fd = -1;
	return 0;
}

static void close_input(struct agent *a)
{
	if (a->in >= 0 && a->in != a->pty)
		close(a->in);
	a->in = -1;
	a->pending_len = a->pending_off = 0;
}

static void feed(struct agent *a)
{
	ssize_t n;

	if (a->in >= 0 && a->pending_off < a->pending_len) {
		n = write(a->in, a->pending + a->pending_off, a->pending_len - a->pending_off);
		if (n > 0)
			a->pending_off += n;
		else if (errno != EAGAIN && errno != EINTR)
			close_input(a);
	}
	if (a->pending_off == a->pending_len) {
		a->pending_len = a->pending_off = 0;
		if (a->in_ends)
			close_input(a);
	}
}

/* Before all other processes, so that its coming interrupts the CPU. */
static void visit_cpus(int orders)
{
	const struct sched_param first = { .sched_priority = 1 };
	long cpu, cpus = sysconf(_SC_NPROCESSORS_CONF);
	cpu_set_t all, one;
	char order;

	if (sched_setscheduler(0, SCHED_FIFO, &first) || sched_getaffinity(0, sizeof(all), &all))
		die("visitor");
	while (read(orders, &order, 1) == 1) {
		for (cpu = 0; cpu < cpus; cpu++) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof(one), &one);	/* a CPU may be away */
		}
		/* No CPU that goes away meanwhile is its only one. */
		sched_setaffinity(0, sizeof(all), &all);
	}
	_exit(0);
}

static void start_visitor(struct agent *a)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(ends[1]);
		visit_cpus(ends[0]);
	}
	close(ends[0]);
	a->visitor = ends[1];
	fcntl(a->visitor, F_SETFL, O_NONBLOCK);
}

static void take_frame(struct agent *a)
{
	static char buf[FRAME_MAX + 1];
	uint32_t len;

	switch (receive_frame(a, buf, &len)) {
	case 'i':
		if (a->in < 0)
			break;
		memcpy(a->pending, buf, len);
		a->pending_len = len;
		a->pending_off = 0;
		feed(a);
		break;
	case 'z':
		a->in_ends = 1;
		feed(a);
		break;
	case 'w':
		if (a->pty >= 0 && len == sizeof(struct winsize))
			ioctl(a->pty, TIOCSWINSZ, buf);
		break;
	case 'h':	/* if it is not under way still */
		if (write(a->visitor, "", 1) < 0 && errno != EAGAIN)
			die("visitor");
		break;
	}
}

/* Reap every process that ended; returns 1 and COMMAND's status once it is among them. */
static int reap(struct agent *a, uint32_t *status)
{
	struct signalfd_siginfo info;
	int found = 0, st;
	pid_t pid;

	if (read(a->sigs, &info, sizeof(info)) < 0)
		return 0;
	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		if (pid != a->child)
			continue;
		*status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
		found = 1;
	}
	return found;
}

static uint32_t serve(struct agent *a)
{
	uint32_t status = 0;

	for (;;) {
		int waiting = a->pending_off < a->pending_len;
		struct pollfd p[] = {
			{ .fd = a->sigs, .events = POLLIN },
			{ .fd = a->out[0], .events = POLLIN },
			{ .fd = a->out[1], .events = POLLIN },
			{ .fd = a->pty, .events = POLLIN },
			{ .fd = waiting ? -1 : a->channel, .events = POLLIN },
			{ .fd = waiting ? a->in : -1, .events = POLLOUT },
		};

		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0 && errno != EINTR)
			die("poll");
		if (p[1].revents)
			relay(a, &a->out[0], 'o');
		if (p[2].revents)
			relay(a, &a->out[1], 'e');
		if (p[3].revents)
			relay(a, &a->pty, 'o');
		if (p[4].revents)
			take_frame(a);
		if (p[5].revents)
			feed(a);
		if (p[0].revents && reap(a, &status))
			break;
	}
	while (relay(a, &a->out[0], 'o') || relay(a, &a->out[1], 'e') ||
	       relay(a, &a->pty, 'o'))
		;
	return status;
}

/* The guest's way: run the command that stands in a file, report, power off. */
static void run_file(struct agent *a, const char *path)
{
	static char buf[sizeof(struct start) + 1 + FRAME_MAX + 1];
	size_t head = sizeof(struct start) + 1;	/* no terminal, no TERM */
	uint32_t status;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(path);
	n = read(fd, buf + head, FRAME_MAX);
	if (n < 0)
		die(path);
	start_command(a, buf, head + n + 1);
	close_input(a);
	status = serve(a);
	send_frame(a, 'x', &status, sizeof(status));
	tcdrain(a->channel);
	sync();
	reboot(RB_POWER_OFF);
	die("power-off");
}

static void send_kernel_log(struct agent *a)
{
	char buf[8192], *text, *end;
	ssize_t n;

	for (;;) {
		n = read(a->kmsg, buf, sizeof(buf) - 1);
		if (n < 0 && errno == EPIPE)	/* older records were overwritten */
			continue;
		if (n <= 0)
			return;
		buf[n] = 0;
		text = strchr(buf, ';');
		end = strchr(buf, '\n');
		if (text && end && text < end)
			send_frame(a, 'k', text + 1, end - text);
	}
}

static void open_channel(struct agent *a, const char *path)
{
	struct termios raw;

	a->channel = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (a->channel < 0)
		die(path);
	if (!tcgetattr(a->channel, &raw)) {
		cfmakeraw(&raw);
		cfsetspeed(&raw, B115200);
		tcsetattr(a->channel, TCSANOW, &raw);
	}
}

/*
 * Without its FIFO the emulator holds the next byte back until the last one is
 * taken: nothing is overrun however long interrupts are off.
 */
static void open_printer(struct agent *a, const char *port)
{
	struct serial_struct serial;

	a->lpt = strtoul(port, NULL, 0);
	if (ioctl(a->channel, TIOCGSERIAL, &serial))
		die("serial port");
	if (ioperm(a->lpt, 3, 1) || ioperm(serial.port + UART_FCR, 1, 1))
		die("I/O ports");
	outb(0, serial.port + UART_FCR);
}

int main(int argc, char **argv)
{
	static struct agent a = { .in = -1, .out = { -1, -1 }, .pty = -1 };
	static char buf[FRAME_MAX + 1];
	const char *port = NULL;
	uint32_t len, status;
	sigset_t chld;
	uint8_t type;

	if (argc == 4 && !strcmp(argv[1], "-p")) {
		port = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc != 2 && argc != 3)
		return 1;
	open_channel(&a, argv[1]);
	if (port)
		open_printer(&a, port);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	a.sigs = signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC);
	a.kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (a.sigs < 0 || a.kmsg < 0)
		die("set-up");
	if (argc == 3)
		run_file(&a, argv[2]);

	send_frame(&a, 'r', NULL, 0);
	while (!(type = receive_frame(&a, buf, &len)))
		;
	if (type != 'C')
		die("start expected");
	/* From here on the console carries warnings and worse, at once. */
	klogctl(KLOG_CONSOLE_LEVEL, NULL, 5);
	lseek(a.kmsg, 0, SEEK_END);
	send_frame(&a, 'b', NULL, 0);
	start_visitor(&a);
	start_command(&a, buf, len);
	status = serve(&a);
	send_kernel_log(&a);
	send_frame(&a, 'x', &status, sizeof(status));
	for (;;)		/* lab/run ends the emulator */
		pause();
}
