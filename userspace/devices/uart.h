/* SPDX-License-Identifier: GPL-2.0-only */
/* A 16550A serial port between the guest and two byte rings. */
#ifndef UMBRA_UART_H
#define UMBRA_UART_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "bus.h"
#include "ring.h"

#define UART_FIFO	16
#define UART_PORTS	8

/**
 * struct uart_host - whoever stands at the wire's other end
 * @tx_ready: the first byte stands in the ring, or half the ring is full (@urgent).
 *            Called with the lock held, so it may only wake somebody.
 * @rx_wanted: there is room again after uart_rx_put() took less than it was given.
 */
struct uart_host {
	void *ctx;
	void (*tx_ready)(void *ctx, bool urgent);
	void (*rx_wanted)(void *ctx);
};

/*
 * [V] only the vCPU's thread, [L] under lock, [C] constant after uart_init().
 */
struct uart {
	pthread_mutex_t lock;
	const struct board *board;	/* C */
	const struct uart_host *host;	/* C */
	unsigned int gsi;		/* C */

	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;	/* L */
	uint8_t msr_delta;		/* L: modem status changes not read yet */
	bool overrun;			/* L */
	bool thre_pending;		/* L: transmitter-empty interrupt not taken yet */
	bool tx_stalled;		/* L: the ring is full; THRE reads 0 */
	bool rx_starved;		/* L: host->rx_wanted() is owed */
	bool irq_level;			/* L */
	uint8_t loop[UART_FIFO];	/* L: bytes on their way back in loopback mode */
	unsigned int loop_used;		/* L */
	uint64_t tx_dropped;		/* L: written against a full ring */
	struct ring tx, rx;		/* L */
};

extern const struct bus_ops uart_bus_ops;

/** uart_init() - power-on state. @host may be NULL until bytes are to flow. */
void uart_init(struct uart *u, const struct board *board, const struct uart_host *host,
	       unsigned int gsi);

void uart_destroy(struct uart *u);

/**
 * uart_tx_take() - take up to @len bytes that the guest has sent
 *
 * Return: how many; 0 when there are none.
 */
uint32_t uart_tx_take(struct uart *u, uint8_t *buf, uint32_t len);

/**
 * uart_rx_put() - give the guest bytes
 *
 * They wait in the ring until the guest turns the receive interrupt on, so what
 * is typed ahead of its driver is not lost.
 *
 * Return: how many were taken; fewer than @len means that host->rx_wanted() follows.
 */
uint32_t uart_rx_put(struct uart *u, const uint8_t *buf, uint32_t len);

#endif
