/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's end of a serial line: file descriptors on one side, a UART on the
 * other.  Only the main thread reads and writes the descriptors; the vCPU's
 * thread does no more than arm a timer when output begins to wait.
 */
#ifndef UMBRA_PORT_H
#define UMBRA_PORT_H

#include <stdbool.h>
#include <termios.h>

#include "devices/uart.h"
#include "lib/libumbra.h"

/**
 * struct port - one serial line's host side
 * @in_fd, @out_fd: -1 where there is none
 * @timer_fd: fires when output has waited long enough to be worth a write
 * @wake_fd: an eventfd: the UART has room for input again
 * @pty_fd: our own hold on a pseudo-terminal's other side
 * @out_is_socket: written with MSG_DONTWAIT instead of O_NONBLOCK
 * @in_polled: @in_fd can be waited for; a regular file cannot
 * @escape: Ctrl-A is looked for in the input
 * @raw: @saved holds the terminal's settings, to be given back
 */
struct port {
	struct uart *uart;
	struct uart_host host;
	int in_fd, out_fd, timer_fd, wake_fd, pty_fd;
	bool own_in, own_out;
	bool out_is_socket;
	bool in_polled;
	bool in_paused;
	bool escape, escape_seen;
	bool raw;
	struct termios saved;
	uint8_t out[4096];
	unsigned int out_len, out_at;
	uint8_t in[256];
	unsigned int in_len;
};

/** PORT_CLOSED - a port that port_close() may be given. */
#define PORT_CLOSED ((struct port){ .in_fd = -1, .out_fd = -1, .timer_fd = -1, .wake_fd = -1, \
				      .pty_fd = -1 })

/** port_init() - an unconnected port for @uart. */
int port_init(struct port *p, struct uart *uart, struct umbra_err *err);

/** port_open_stdio() - stdin and stdout; a terminal goes raw. */
int port_open_stdio(struct port *p, struct umbra_err *err);

/** port_open_pty() - a new pseudo-terminal; its name goes to @name. */
int port_open_pty(struct port *p, char *name, size_t size, struct umbra_err *err);

/** port_open_file() - output to a file, created or truncated. */
int port_open_file(struct port *p, const char *path, struct umbra_err *err);

/**
 * port_open_channel() - a descriptor's number, or a path
 * @spec: a number: an inherited descriptor, used in the directions it is open for;
 *	a UNIX socket: connected to; a FIFO or terminal: both ways; anything else:
 *	a file for output, created or truncated
 *
 * Each of these returns 0 or a negative errno.
 */
int port_open_channel(struct port *p, const char *spec, struct umbra_err *err);

/** port_flush() - write what waits. Return: false if the reader is too slow for now. */
bool port_flush(struct port *p);

/**
 * port_input() - move input to the UART
 *
 * Return: false when the user typed the escape.
 */
bool port_input(struct port *p);

/** port_drain() - write all that waits, for as long as somebody takes it. */
void port_drain(struct port *p);

/** port_reraw() - after SIGCONT: the shell may have changed the terminal. */
void port_reraw(struct port *p);

/** port_close() - restore the terminal, close what was opened. Harmless twice. */
void port_close(struct port *p);

#endif
