// SPDX-License-Identifier: GPL-2.0-only
/*
 * The console from the guest's registers to a pipe, with the real event loop: the
 * vCPU's thread is played by a driver that works as Linux's does, by interrupts.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <linux/serial_reg.h>

#include "../vm.h"
#include "tap.h"

#define IRQ_TIMEOUT_S	10

/* The board, and the one guest that runs on it. */
struct rig {
	struct vm *vm;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t raised;
	bool level, edge;
	bool lost;		/* an interrupt that was waited for did not come */
	uint32_t send, receive;
	uint32_t received;
	bool mismatch;
};

static struct rig rig;

static void rig_irq(void *ctx, unsigned int gsi, bool level)
{
	struct rig *r = ctx;

	(void)gsi;
	pthread_mutex_lock(&r->lock);
	r->edge |= level && !r->level;
	r->level = level;
	pthread_cond_signal(&r->raised);
	pthread_mutex_unlock(&r->lock);
}

/* Sleeps, like HLT, until the interrupt line has risen. */
static bool wait_irq(struct rig *r)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += IRQ_TIMEOUT_S;
	pthread_mutex_lock(&r->lock);
	while (!r->edge && !ret)
		ret = pthread_cond_timedwait(&r->raised, &r->lock, &until);
	r->edge = false;
	pthread_mutex_unlock(&r->lock);
	return !ret;
}

static uint8_t in(struct rig *r, uint16_t reg)
{
	return (uint8_t)uart_bus_ops.read(&r->vm->com1, reg, 1);
}

static void out(struct rig *r, uint16_t reg, uint8_t value)
{
	uart_bus_ops.write(&r->vm->com1, reg, value, 1);
}

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 167 + (i >> 8));
}

/* One interrupt's work: what is received, then a FIFO's fill. Return: bytes sent so far. */
static uint32_t serve(struct rig *r, uint32_t sent)
{
	unsigned int i;

	while (!(in(r, UART_IIR) & UART_IIR_NO_INT)) {
		uint8_t lsr = in(r, UART_LSR);

		for (i = 0; (lsr & UART_LSR_DR) && i < 256; i++) {
			r->mismatch |= in(r, UART_RX) != pattern(r->received++);
			lsr = in(r, UART_LSR);
		}
		if (!(lsr & UART_LSR_THRE) || !(in(r, UART_IER) & UART_IER_THRI))
			continue;
		for (i = 0; i < UART_FIFO && sent < r->send; i++)
			out(r, UART_TX, pattern(sent++));
		if (sent == r->send)
			out(r, UART_IER, UART_IER_RDI);
	}
	return sent;
}

static void *driver(void *arg)
{
	struct rig *r = arg;
	uint32_t sent = 0;

	out(r, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(r, UART_MCR, UART_MCR_OUT2);
	out(r, UART_IER, UART_IER_RDI | UART_IER_THRI);
	while (!r->lost && (sent < r->send || r->received < r->receive)) {
		r->lost = !wait_irq(r);
		sent = serve(r, sent);
	}
	eventfd_write(r->vm->done_fd, 1);
	return NULL;
}

/* These stand in for vm.c. */
int vm_start(struct vm *vm)
{
	(void)vm;
	return -pthread_create(&rig.thread, NULL, driver, &rig);
}

void vm_join(struct vm *vm)
{
	(void)vm;
	pthread_join(rig.thread, NULL);
}

bool vm_stop(struct vm *vm, enum stop_why why)
{
	(void)vm;
	(void)why;
	return true;
}

void vm_kick(struct vm *vm)
{
	(void)vm;
}

/* The other ends of the two pipes. */
struct peer {
	int fd;
	uint32_t count;		/* to write; or what was read */
	useconds_t pause;	/* before each read or write */
	size_t chunk;
	bool mismatch;
};

static void *reader(void *arg)
{
	struct peer *p = arg;
	uint8_t buf[65536];
	ssize_t n, i;

	while ((n = read(p->fd, buf, p->chunk)) > 0) {
		for (i = 0; i < n; i++)
			p->mismatch |= buf[i] != pattern(p->count++);
		if (p->pause)
			usleep(p->pause);
	}
	close(p->fd);
	return NULL;
}

static void *writer(void *arg)
{
	struct peer *p = arg;
	uint32_t at = 0;

	while (at < p->count) {
		uint8_t buf[65536];
		size_t n = p->count - at < p->chunk ? p->count - at : p->chunk, i;

		for (i = 0; i < n; i++)
			buf[i] = pattern(at + (uint32_t)i);
		if (write(p->fd, buf, n) != (ssize_t)n)
			break;
		at += (uint32_t)n;
		if (p->pause)
			usleep(p->pause);
	}
	close(p->fd);
	return NULL;
}

static const struct {
	const char *name;
	uint32_t send, receive;
	struct peer to, from;
	unsigned int repeat;
} cases[] = {
	{ "a short line", 10, 0, { .chunk = 4096 }, { .chunk = 1 }, 50 },
	{ "a quick reader", 300000, 0, { .chunk = 65536 }, { .chunk = 1 }, 5 },
	{ "a slow reader", 300000, 0, { .chunk = 4096, .pause = 2000 }, { .chunk = 1 }, 1 },
	{ "a reader of crumbs", 100000, 0, { .chunk = 7 }, { .chunk = 1 }, 2 },
	{ "input", 0, 300000, { .chunk = 4096 }, { .chunk = 65536 }, 3 },
	{ "input in crumbs", 0, 3000, { .chunk = 4096 }, { .chunk = 3, .pause = 50 }, 1 },
	{ "both ways", 300000, 300000, { .chunk = 65536 }, { .chunk = 4096 }, 3 },
};

static bool run_case(size_t nr)
{
	struct peer to = cases[nr].to, from = cases[nr].from;
	pthread_t read_thread, write_thread;
	int out_pipe[2], in_pipe[2];
	struct umbra_err err;
	struct vm *vm = calloc(1, sizeof(*vm));
	bool good;

	rig = (struct rig){
		.vm = vm, .send = cases[nr].send, .receive = cases[nr].receive,
		.lock = PTHREAD_MUTEX_INITIALIZER, .raised = PTHREAD_COND_INITIALIZER,
	};
	vm->board = (struct board){ .ctx = &rig, .set_irq = rig_irq };
	vm->done_fd = eventfd(0, EFD_NONBLOCK);
	vm->rtc_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	control_init(&vm->control);
	good = !pause_init(&vm->pause) && !port_init(&vm->console, &vm->com1, &err) &&
	       !port_init(&vm->channel, &vm->com2, &err) && !pipe(out_pipe) && !pipe(in_pipe);
	uart_init(&vm->com1, &vm->board, &vm->console.host, 4);
	uart_init(&vm->com2, &vm->board, &vm->channel.host, 3);
	dup2(in_pipe[0], STDIN_FILENO);
	dup2(out_pipe[1], STDOUT_FILENO);
	close(in_pipe[0]);
	close(out_pipe[1]);
	to.fd = out_pipe[0];
	from.fd = in_pipe[1];
	from.count = cases[nr].receive;
	pthread_create(&read_thread, NULL, reader, &to);
	pthread_create(&write_thread, NULL, writer, &from);

	good = good && !port_open_stdio(&vm->console, &err) && !vm_loop(vm);
	port_close(&vm->console);
	port_close(&vm->channel);
	dup2(STDERR_FILENO, STDOUT_FILENO);	/* ends the pipe, keeps the number */
	pthread_join(read_thread, NULL);
	pthread_join(write_thread, NULL);
	pause_destroy(&vm->pause);
	close(vm->done_fd);
	close(vm->rtc_timer);
	good = good && !rig.lost && !rig.mismatch && rig.received == rig.receive &&
	       !to.mismatch && to.count == rig.send && !vm->com1.tx_dropped;
	uart_destroy(&vm->com1);
	uart_destroy(&vm->com2);
	free(vm);
	return good;
}

/* Reads 8 bytes of a pseudo-terminal that its owner is about to close. */
static void *late_reader(void *arg)
{
	struct peer *p = arg;
	uint8_t buf[8];
	ssize_t n = 1;

	usleep(p->pause);
	while (p->count < sizeof(buf) && n > 0) {
		n = read(p->fd, buf, sizeof(buf) - p->count);
		p->count += n > 0 ? (uint32_t)n : 0;
	}
	return NULL;
}

static bool run_pty(void)
{
	struct peer peer = { .pause = 200000 };
	struct umbra_err err;
	struct board board = { .ctx = &rig, .set_irq = rig_irq };
	struct uart uart;
	struct port port;
	pthread_t thread;
	char name[64];
	unsigned int i;
	bool good;

	rig = (struct rig){
		.lock = PTHREAD_MUTEX_INITIALIZER, .raised = PTHREAD_COND_INITIALIZER,
	};
	good = !port_init(&port, &uart, &err) && !port_open_pty(&port, name, sizeof(name), &err);
	uart_init(&uart, &board, &port.host, 4);
	peer.fd = open(name, O_RDWR | O_NOCTTY);
	good = good && peer.fd >= 0;
	pthread_create(&thread, NULL, late_reader, &peer);
	for (i = 0; i < 8; i++)
		uart_bus_ops.write(&uart, UART_TX, (uint64_t)('a' + i), 1);
	port_drain(&port);
	port_close(&port);
	pthread_join(thread, NULL);
	close(peer.fd);
	uart_destroy(&uart);
	return good && peer.count == 8;
}

int main(void)
{
	struct tap tap = { 0 };
	int out_fd = dup(STDOUT_FILENO), in_fd = dup(STDIN_FILENO);
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int n = cases[i].repeat;
		bool good = true;

		while (good && n--)
			good = run_case(i);
		dup2(out_fd, STDOUT_FILENO);
		dup2(in_fd, STDIN_FILENO);
		tap_ok(&tap, good, "console: %s (an interrupt was %slost)", cases[i].name,
		       rig.lost ? "" : "not ");
		fflush(stdout);
	}
	tap_ok(&tap, run_pty(), "console: what a pseudo-terminal's reader is late for");
	close(out_fd);
	close(in_fd);
	return tap_done(&tap);
}
