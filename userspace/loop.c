// SPDX-License-Identifier: GPL-2.0-only
/* The main thread's loop: terminal, files, signals, until the vCPUs' threads have ended. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vm.h"

#define EVENTS	8

struct loop {
	struct vm *vm;
	int epoll_fd;
	int signal_fd;
	bool ended;
};

/* Who an event is for; kept in the epoll set as a number. */
enum source { ON_CONSOLE, ON_CHANNEL, ON_SIGNAL, ON_RTC, ON_DONE, ON_CONTROL, ON_PAUSE };

static void stop(struct loop *l, enum stop_why why)
{
	vm_stop(l->vm, why);
	vm_kick(l->vm);
}

static void clear_counter(int fd)
{
	uint64_t n;

	/* A timer or an eventfd, non-blocking: nothing there is no failure. */
	if (read(fd, &n, sizeof(n)) < 0)
		return;
}

static void on_port(struct loop *l, struct port *p)
{
	clear_counter(p->timer_fd);
	clear_counter(p->wake_fd);
	port_flush(p);
	if (!port_input(p))
		stop(l, STOP_USER);
}

static void on_signal(struct loop *l)
{
	struct signalfd_siginfo si;

	while (read(l->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCONT)
			port_reraw(&l->vm->console);
		else
			stop(l, STOP_SIGNAL);
	}
}

static int watch(struct loop *l, int fd, uint32_t events, enum source who)
{
	struct epoll_event ev = { .events = events | EPOLLET, .data.u32 = who };

	/* EPERM: a regular file, which is always ready. */
	if (fd < 0 || !epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) || errno == EPERM)
		return 0;
	return -errno;
}

static int watch_port(struct loop *l, struct port *p, enum source who)
{
	int ret = watch(l, p->in_fd, EPOLLIN | (p->in_fd == p->out_fd ? EPOLLOUT : 0), who);

	if (!ret && p->out_fd != p->in_fd)
		ret = watch(l, p->out_fd, EPOLLOUT, who);
	if (!ret)
		ret = watch(l, p->timer_fd, EPOLLIN, who);
	if (!ret)
		ret = watch(l, p->wake_fd, EPOLLIN, who);
	return ret;
}

/* Those of the signals that end us which our parent has not told us to ignore. */
static int open_signals(struct loop *l)
{
	static const int ending[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	struct sigaction sa;
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	sigaddset(&set, SIGCONT);
	for (i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (!sigaction(ending[i], NULL, &sa) && sa.sa_handler != SIG_IGN)
			sigaddset(&set, ending[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	l->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return l->signal_fd < 0 ? -errno : 0;
}

/* By level: each time it serves a part of what is there. */
static int watch_control(struct loop *l)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = ON_CONTROL };
	int fd = l->vm->control.epoll_fd;

	return fd >= 0 && epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int set_up(struct loop *l)
{
	int ret;

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return -errno;
	ret = open_signals(l);
	if (!ret)
		ret = watch(l, l->signal_fd, EPOLLIN, ON_SIGNAL);
	if (!ret)
		ret = watch(l, l->vm->rtc_timer, EPOLLIN, ON_RTC);
	if (!ret)
		ret = watch(l, l->vm->done_fd, EPOLLIN, ON_DONE);
	if (!ret)
		ret = watch(l, l->vm->pause.idle_fd, EPOLLIN, ON_PAUSE);
	if (!ret)
		ret = watch_control(l);
	if (!ret)
		ret = watch_port(l, &l->vm->console, ON_CONSOLE);
	if (!ret)
		ret = watch_port(l, &l->vm->channel, ON_CHANNEL);
	return ret;
}

static void dispatch(struct loop *l, uint32_t who)
{
	switch (who) {
	case ON_CONSOLE:
		on_port(l, &l->vm->console);
		break;
	case ON_CHANNEL:
		on_port(l, &l->vm->channel);
		break;
	case ON_SIGNAL:
		on_signal(l);
		break;
	case ON_RTC:
		clear_counter(l->vm->rtc_timer);
		rtc_tick(&l->vm->rtc);
		break;
	case ON_DONE:
		l->ended = true;
		break;
	case ON_CONTROL:
		control_serve(&l->vm->control);
		break;
	case ON_PAUSE:
		clear_counter(l->vm->pause.idle_fd);
		control_wake(&l->vm->control);
		break;
	}
}

int vm_loop(struct vm *vm)
{
	struct loop l = { .vm = vm, .epoll_fd = -1, .signal_fd = -1 };
	struct epoll_event ev[EVENTS];
	int ret = set_up(&l), i, n;

	if (!ret)
		ret = vm_start(vm);
	if (ret)
		goto out;
	/* What is readable already gives no edge; a regular file never does. */
	on_port(&l, &vm->console);
	on_port(&l, &vm->channel);
	while (!l.ended) {
		n = epoll_wait(l.epoll_fd, ev, EVENTS, -1);
		for (i = 0; i < n; i++)
			dispatch(&l, ev[i].data.u32);
	}
	/* One vCPU ends only with the VM: the others may still sleep or run. */
	vm_kick(vm);
	vm_join(vm);
	port_drain(&vm->console);
	port_drain(&vm->channel);
out:
	if (l.signal_fd >= 0)
		close(l.signal_fd);
	if (l.epoll_fd >= 0)
		close(l.epoll_fd);
	return ret;
}
