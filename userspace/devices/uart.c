// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 16550A as the PC16550D data sheet describes it, but for the wire: a byte is
 * sent the moment it is written, and the line never has an error.
 */
#include <string.h>
#include <linux/serial_reg.h>

#include "uart.h"

static bool fifo_on(const struct uart *u)
{
	return u->fcr & UART_FCR_ENABLE_FIFO;
}

static bool looping(const struct uart *u)
{
	return u->mcr & UART_MCR_LOOP;
}

/* How many bytes the guest can see in its receiver now. */
static uint32_t rx_visible(const struct uart *u)
{
	uint32_t depth = fifo_on(u) ? UART_FIFO : 1;
	uint32_t used;

	if (looping(u))
		return u->loop_used;
	if (!(u->ier & UART_IER_RDI))
		return 0;
	used = ring_used(&u->rx);
	return used < depth ? used : depth;
}

/* Bits 4 to 7 of the modem status: the other side is always there. */
static uint8_t modem_lines(const struct uart *u)
{
	uint8_t lines = 0;

	if (!looping(u))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	if (u->mcr & UART_MCR_RTS)
		lines |= UART_MSR_CTS;
	if (u->mcr & UART_MCR_DTR)
		lines |= UART_MSR_DSR;
	if (u->mcr & UART_MCR_OUT1)
		lines |= UART_MSR_RI;
	if (u->mcr & UART_MCR_OUT2)
		lines |= UART_MSR_DCD;
	return lines;
}

static uint8_t rx_trigger(const struct uart *u)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };

	return fifo_on(u) ? level[u->fcr >> 6] : 1;
}

/* The interrupt that is pending with the highest priority, as IIR tells it. */
static uint8_t pending(const struct uart *u)
{
	uint32_t visible;

	if ((u->ier & UART_IER_RLSI) && u->overrun)
		return UART_IIR_RLSI;
	visible = u->ier & UART_IER_RDI ? rx_visible(u) : 0;
	if (visible >= rx_trigger(u))
		return UART_IIR_RDI;
	if (visible)
		return UART_IIR_RX_TIMEOUT;
	if ((u->ier & UART_IER_THRI) && u->thre_pending)
		return UART_IIR_THRI;
	if ((u->ier & UART_IER_MSI) && u->msr_delta)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

static void update_irq(struct uart *u)
{
	bool level = pending(u) != UART_IIR_NO_INT && (u->mcr & UART_MCR_OUT2) && !looping(u);

	if (level == u->irq_level)
		return;
	u->irq_level = level;
	u->board->set_irq(u->board->ctx, u->gsi, level);
}

static void loop_back(struct uart *u, uint8_t byte)
{
	if (u->loop_used == (fifo_on(u) ? UART_FIFO : 1))
		u->overrun = true;
	else
		u->loop[u->loop_used++] = byte;
}

static void transmit(struct uart *u, uint8_t byte)
{
	uint32_t used = ring_used(&u->tx);

	if (looping(u)) {
		loop_back(u, byte);
	} else if (used == RING_SIZE) {
		u->tx_dropped++;
	} else {
		ring_put(&u->tx, byte);
		if (used == 0 || used == RING_SIZE / 2)
			u->host->tx_ready(u->host->ctx, used != 0);
		/* A whole FIFO must always fit once THRE has been shown. */
		u->tx_stalled = ring_room(&u->tx) < UART_FIFO;
	}
	u->thre_pending = !u->tx_stalled;
}

static uint8_t receive(struct uart *u)
{
	uint8_t byte;

	if (!rx_visible(u))
		return 0;
	if (looping(u)) {
		byte = u->loop[0];
		memmove(u->loop, u->loop + 1, --u->loop_used);
		return byte;
	}
	byte = ring_get(&u->rx);
	if (u->rx_starved && ring_used(&u->rx) < RING_SIZE / 2) {
		u->rx_starved = false;
		u->host->rx_wanted(u->host->ctx);
	}
	return byte;
}

static void set_ier(struct uart *u, uint8_t value)
{
	uint8_t rising = value & ~u->ier;

	u->ier = value & 0x0f;
	/* The chip interrupts at once when this is enabled over an empty transmitter. */
	if ((rising & UART_IER_THRI) && !u->tx_stalled)
		u->thre_pending = true;
}

static void set_fcr(struct uart *u, uint8_t value)
{
	uint32_t n;

	if ((value ^ u->fcr) & UART_FCR_ENABLE_FIFO)
		value |= UART_FCR_CLEAR_RCVR;
	if (value & UART_FCR_CLEAR_RCVR) {
		for (n = rx_visible(u); n; n--)
			receive(u);
		u->overrun = false;
	}
	u->fcr = value & (UART_FCR_ENABLE_FIFO | UART_FCR_DMA_SELECT | UART_FCR_TRIGGER_MASK);
}

static void set_mcr(struct uart *u, uint8_t value)
{
	uint8_t before = modem_lines(u), changed;

	if (!(value & UART_MCR_LOOP))
		u->loop_used = 0;
	u->mcr = value & 0x1f;
	changed = before ^ modem_lines(u);
	u->msr_delta |= (changed & (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)) >> 4;
	/* The ring indicator reports only its trailing edge. */
	if ((changed & before) & UART_MSR_RI)
		u->msr_delta |= UART_MSR_TERI;
}

static uint8_t line_status(struct uart *u)
{
	uint8_t lsr = u->tx_stalled ? 0 : UART_LSR_THRE | UART_LSR_TEMT;

	if (rx_visible(u))
		lsr |= UART_LSR_DR;
	if (u->overrun)
		lsr |= UART_LSR_OE;
	u->overrun = false;
	return lsr;
}

static uint8_t interrupt_id(struct uart *u)
{
	uint8_t iir = pending(u);

	if (iir == UART_IIR_THRI)
		u->thre_pending = false;
	return iir | (fifo_on(u) ? 0xc0 : 0);
}

static uint8_t modem_status(struct uart *u)
{
	uint8_t msr = modem_lines(u) | u->msr_delta;

	u->msr_delta = 0;
	return msr;
}

static uint8_t read_locked(struct uart *u, uint16_t reg)
{
	bool dlab = u->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:	return dlab ? u->dll : receive(u);
	case UART_IER:	return dlab ? u->dlm : u->ier;
	case UART_IIR:	return interrupt_id(u);
	case UART_LCR:	return u->lcr;
	case UART_MCR:	return u->mcr;
	case UART_LSR:	return line_status(u);
	case UART_MSR:	return modem_status(u);
	default:	return u->scr;
	}
}

static void write_locked(struct uart *u, uint16_t reg, uint8_t value)
{
	bool dlab = u->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (dlab)
			u->dll = value;
		else
			transmit(u, value);
		break;
	case UART_IER:
		if (dlab)
			u->dlm = value;
		else
			set_ier(u, value);
		break;
	case UART_FCR:
		set_fcr(u, value);
		break;
	case UART_LCR:
		u->lcr = value;
		break;
	case UART_MCR:
		set_mcr(u, value);
		break;
	case UART_SCR:
		u->scr = value;
		break;
	default:	/* LSR and MSR are read-only */
		break;
	}
}

static uint32_t uart_read(void *dev, uint16_t off, unsigned int size)
{
	struct uart *u = dev;
	uint8_t value;

	(void)size;
	pthread_mutex_lock(&u->lock);
	value = read_locked(u, off);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
	return value;
}

static void uart_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	struct uart *u = dev;

	(void)size;
	pthread_mutex_lock(&u->lock);
	write_locked(u, off, (uint8_t)value);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

const struct bus_ops uart_bus_ops = {
	.name = "uart",
	.max_size = 1,
	.read = uart_read,
	.write = uart_write,
};

void uart_init(struct uart *u, const struct board *board, const struct uart_host *host,
	       unsigned int gsi)
{
	memset(u, 0, sizeof(*u));
	pthread_mutex_init(&u->lock, NULL);
	u->board = board;
	u->host = host;
	u->gsi = gsi;
	u->dll = 12;	/* 9600 baud, as after a BIOS */
	u->thre_pending = true;
}

void uart_destroy(struct uart *u)
{
	pthread_mutex_destroy(&u->lock);
}

uint32_t uart_tx_take(struct uart *u, uint8_t *buf, uint32_t len)
{
	uint32_t n = 0;

	pthread_mutex_lock(&u->lock);
	while (n < len && ring_used(&u->tx))
		buf[n++] = ring_get(&u->tx);
	if (u->tx_stalled && ring_room(&u->tx) >= RING_SIZE / 2) {
		u->tx_stalled = false;
		u->thre_pending = true;
		update_irq(u);
	}
	pthread_mutex_unlock(&u->lock);
	return n;
}

uint32_t uart_rx_put(struct uart *u, const uint8_t *buf, uint32_t len)
{
	uint32_t n = 0;

	pthread_mutex_lock(&u->lock);
	while (n < len && ring_room(&u->rx))
		ring_put(&u->rx, buf[n++]);
	u->rx_starved = n < len;
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
	return n;
}
