// SPDX-License-Identifier: GPL-2.0-only
/* The bus, the serial port, the clock and the small devices, without a VM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/serial_reg.h>

#include "../devices/platform.h"
#include "../devices/rtc.h"
#include "../devices/uart.h"
#include "tap.h"

struct fake_board {
	struct board board;
	bool irq;
	unsigned int edges;
	enum stop_why why;
};

static void fake_irq(void *ctx, unsigned int gsi, bool level)
{
	struct fake_board *f = ctx;

	(void)gsi;
	f->edges += level && !f->irq;
	f->irq = level;
}

static void fake_stop(void *ctx, enum stop_why why)
{
	((struct fake_board *)ctx)->why = why;
}

static void fake_board_init(struct fake_board *f)
{
	*f = (struct fake_board){ .board = { f, fake_irq, fake_stop } };
}

/* A bus ---------------------------------------------------------------- */

struct reg {
	uint32_t value;
	uint16_t off;
	unsigned int size;
};

static uint32_t reg_read(void *dev, uint16_t off, unsigned int size)
{
	struct reg *r = dev;

	r->off = off;
	r->size = size;
	return r->value;
}

static void reg_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	*(struct reg *)dev = (struct reg){ value, off, size };
}

static const struct bus_ops byte_ops = { "byte", 1, reg_read, reg_write };
static const struct bus_ops wide_ops = { "wide", 4, reg_read, reg_write };

static void test_bus(struct tap *tap)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	struct reg a = { 0x11, 0, 0 }, b = { 0x22334455, 0, 0 };
	unsigned int i;
	int ret = 0;

	bus->top = 0xffff;
	tap_ok(tap, !bus_add(bus, 0x3f8, 8, &byte_ops, &a) &&
	       !bus_add(bus, 0x60, 4, &wide_ops, &b) &&
	       !bus_add(bus, 0xfffc, 4, &wide_ops, &b), "bus: ranges are added");
	tap_ok(tap, bus_add(bus, 0x3ff, 1, &byte_ops, &a) == -EEXIST &&
	       bus_add(bus, 0x3f0, 9, &byte_ops, &a) == -EEXIST &&
	       bus_add(bus, 0x5f, 0x1000, &byte_ops, &a) == -EEXIST &&
	       bus_add(bus, 0x61, 1, &byte_ops, &a) == -EEXIST, "bus: overlaps are refused");
	tap_ok(tap, bus_add(bus, 0xfffe, 4, &byte_ops, &a) == -EINVAL &&
	       bus_add(bus, 1, 0, &byte_ops, &a) == -EINVAL, "bus: bad lengths are refused");
	tap_ok(tap, bus_read(bus, 0x3fd, 1) == 0x11 && a.off == 5, "bus: offset");
	tap_ok(tap, bus_read(bus, 0x60, 4) == 0x22334455 && b.size == 4, "bus: size");
	tap_ok(tap, bus_read(bus, 0xfffc, 4) == 0x22334455, "bus: the last port");
	tap_ok(tap, bus->unclaimed == 0, "bus: nothing unclaimed so far");
	tap_ok(tap, bus_read(bus, 0x3f7, 1) == 0xff && bus_read(bus, 0x400, 2) == 0xffff &&
	       bus_read(bus, 0, 4) == 0xffffffff, "bus: all ones between devices");
	tap_ok(tap, bus_read(bus, 0x3f8, 2) == 0xffff && bus_read(bus, 0x62, 4) == 0xffffffff,
	       "bus: too wide, or over the end, is unclaimed");
	bus_write(bus, 0x3f0, 1, 1);
	tap_ok(tap, bus->unclaimed == 6, "bus: unclaimed accesses are counted");
	for (i = 0; !ret; i++)
		ret = bus_add(bus, (uint16_t)(0x1000 + i), 1, &byte_ops, &a);
	tap_ok(tap, ret == -ENOSPC && bus->count == BUS_MAX_RANGES, "bus: full");
	free(bus);
}

/* A serial port --------------------------------------------------------- */

struct line {
	struct fake_board f;
	struct uart_host host;
	struct uart uart;
	unsigned int ready, urgent, wanted;
};

static void on_ready(void *ctx, bool urgent)
{
	struct line *l = ctx;

	l->ready += !urgent;
	l->urgent += urgent;
}

static void on_wanted(void *ctx)
{
	((struct line *)ctx)->wanted++;
}

static struct line *new_line(void)
{
	struct line *l = calloc(1, sizeof(*l));

	fake_board_init(&l->f);
	l->host = (struct uart_host){ l, on_ready, on_wanted };
	uart_init(&l->uart, &l->f.board, &l->host, 4);
	return l;
}

static void free_line(struct line *l)
{
	uart_destroy(&l->uart);
	free(l);
}

static uint8_t in(struct line *l, uint16_t reg)
{
	return (uint8_t)uart_bus_ops.read(&l->uart, reg, 1);
}

static void out(struct line *l, uint16_t reg, uint8_t value)
{
	uart_bus_ops.write(&l->uart, reg, value, 1);
}

static void test_uart_probe(struct tap *tap)
{
	struct line *l = new_line();
	uint8_t iir;

	out(l, UART_IER, 0xff);
	tap_ok(tap, in(l, UART_IER) == 0x0f, "uart: four interrupt enables");
	out(l, UART_IER, 0);
	out(l, UART_SCR, 0xa5);
	tap_ok(tap, in(l, UART_SCR) == 0xa5, "uart: scratch register");
	out(l, UART_LCR, UART_LCR_DLAB);
	out(l, UART_DLL, 1);
	out(l, UART_DLM, 2);
	tap_ok(tap, in(l, UART_DLL) == 1 && in(l, UART_DLM) == 2, "uart: divisor latch");
	out(l, UART_LCR, 3);
	tap_ok(tap, in(l, UART_IER) == 0 && in(l, UART_LCR) == 3, "uart: latch closed again");
	out(l, UART_FCR, UART_FCR_ENABLE_FIFO);
	iir = in(l, UART_IIR);
	tap_ok(tap, iir == (0xc0 | UART_IIR_NO_INT), "uart: a 16550A by its IIR");
	out(l, UART_MCR, UART_MCR_LOOP | UART_MCR_RTS | UART_MCR_OUT2);
	tap_ok(tap, (in(l, UART_MSR) & 0xf0) == (UART_MSR_CTS | UART_MSR_DCD),
	       "uart: modem lines loop back");
	out(l, UART_TX, 'x');
	tap_ok(tap, (in(l, UART_LSR) & UART_LSR_DR) && in(l, UART_RX) == 'x' && !l->ready,
	       "uart: bytes loop back and do not leave");
	out(l, UART_MCR, 0);
	tap_ok(tap, (in(l, UART_MSR) & 0xf0) == (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS),
	       "uart: the other side is there");
	free_line(l);
}

static void test_uart_tx(struct tap *tap)
{
	struct line *l = new_line();
	uint8_t buf[4096];
	unsigned int i;

	out(l, UART_TX, 'a');
	out(l, UART_TX, 'b');
	tap_ok(tap, l->ready == 1, "uart: the host is told once of waiting output");
	tap_ok(tap, uart_tx_take(&l->uart, buf, sizeof(buf)) == 2 && !memcmp(buf, "ab", 2),
	       "uart: output comes out in order");
	out(l, UART_MCR, UART_MCR_OUT2);
	out(l, UART_IER, UART_IER_THRI);
	tap_ok(tap, l->f.irq && in(l, UART_IIR) == UART_IIR_THRI && !l->f.irq,
	       "uart: enabling over an empty transmitter interrupts once");
	out(l, UART_TX, 'c');
	tap_ok(tap, l->f.irq, "uart: empty again after each byte");
	for (i = 1; in(l, UART_LSR) & UART_LSR_THRE; i++)
		out(l, UART_TX, (uint8_t)i);
	tap_ok(tap, i > RING_SIZE - UART_FIFO && i <= RING_SIZE && l->urgent == 1,
	       "uart: THRE falls before the ring is full (%u bytes)", i);
	tap_ok(tap, !l->f.irq, "uart: no interrupt while it is full");
	for (; i < RING_SIZE + 5; i++)
		out(l, UART_TX, 0);
	tap_ok(tap, l->uart.tx_dropped == 5, "uart: writes against a full ring are counted");
	while (!l->f.irq && uart_tx_take(&l->uart, buf, sizeof(buf)) == sizeof(buf))
		continue;
	tap_ok(tap, l->f.irq && (in(l, UART_LSR) & UART_LSR_THRE),
	       "uart: room brings the interrupt back");
	free_line(l);
}

static void test_uart_rx(struct tap *tap)
{
	static uint8_t many[RING_SIZE + 100];
	struct line *l = new_line();
	unsigned int i;

	out(l, UART_MCR, UART_MCR_OUT2);
	tap_ok(tap, uart_rx_put(&l->uart, (const uint8_t *)"early", 5) == 5 &&
	       !(in(l, UART_LSR) & UART_LSR_DR), "uart: input waits for its driver");
	out(l, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	out(l, UART_IER, UART_IER_RDI);
	tap_ok(tap, l->f.irq && in(l, UART_IIR) == (0xc0 | UART_IIR_RDI) && in(l, UART_RX) == 'e',
	       "uart: and is not lost by the driver's clearing");
	out(l, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_14);
	tap_ok(tap, in(l, UART_IIR) == (0xc0 | UART_IIR_RX_TIMEOUT),
	       "uart: below the trigger it is a timeout");
	out(l, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	tap_ok(tap, !(in(l, UART_LSR) & UART_LSR_DR) && !l->f.irq, "uart: clearing empties it");
	tap_ok(tap, uart_rx_put(&l->uart, many, sizeof(many)) == RING_SIZE,
	       "uart: no more is taken than fits");
	for (i = 0; i < RING_SIZE / 2; i++)
		in(l, UART_RX);
	tap_ok(tap, !l->wanted, "uart: no call for more while half full");
	in(l, UART_RX);
	in(l, UART_RX);
	tap_ok(tap, l->wanted == 1, "uart: one call for more below that");
	out(l, UART_MCR, 0);
	tap_ok(tap, !l->f.irq, "uart: OUT2 gates the interrupt");
	free_line(l);
}

/* The clock ------------------------------------------------------------- */

static int64_t fake_time;
static unsigned int armed;

static int64_t fake_now(void *ctx)
{
	(void)ctx;
	return fake_time * 1000000000 + 250000000;
}

static void fake_arm(void *ctx, uint64_t ns)
{
	(void)ctx;
	armed += ns == 750000000;
}

static const struct rtc_host fake_host = { NULL, fake_now, fake_arm };

static uint8_t cmos_get(struct rtc *rtc, uint8_t reg)
{
	rtc_bus_ops.write(rtc, 0, reg, 1);
	return (uint8_t)rtc_bus_ops.read(rtc, 1, 1);
}

static void cmos_set(struct rtc *rtc, uint8_t reg, uint8_t value)
{
	rtc_bus_ops.write(rtc, 0, reg, 1);
	rtc_bus_ops.write(rtc, 1, value, 1);
}

static int bcd(uint8_t v)
{
	return (v >> 4) * 10 + (v & 15);
}

/* The C library is the oracle: every day of four centuries, at odd times of day. */
static void test_calendar(struct tap *tap)
{
	struct fake_board f;
	struct rtc rtc;
	int64_t t;
	bool good = true;

	fake_board_init(&f);
	rtc_init(&rtc, &f.board, &fake_host);
	for (t = 0; good && t < 9223300000ll; t += 86400 + 61) {
		time_t want = t;
		struct tm tm;

		fake_time = t;
		gmtime_r(&want, &tm);
		good = bcd(cmos_get(&rtc, 0)) == tm.tm_sec && bcd(cmos_get(&rtc, 2)) == tm.tm_min &&
		       bcd(cmos_get(&rtc, 4)) == tm.tm_hour &&
		       bcd(cmos_get(&rtc, 6)) == tm.tm_wday + 1 &&
		       bcd(cmos_get(&rtc, 7)) == tm.tm_mday &&
		       bcd(cmos_get(&rtc, 8)) == tm.tm_mon + 1 &&
		       bcd(cmos_get(&rtc, 9)) == tm.tm_year % 100 &&
		       bcd(cmos_get(&rtc, 0x32)) == 19 + tm.tm_year / 100;
	}
	tap_ok(tap, good, "rtc: every day from 1970 to 2262 (stopped at %lld)", (long long)t);
}

static void test_rtc(struct tap *tap)
{
	struct fake_board f;
	struct rtc rtc;

	fake_time = 1709210096;	/* 2024-02-29 12:34:56 */
	fake_board_init(&f);
	rtc_init(&rtc, &f.board, &fake_host);
	tap_ok(tap, cmos_get(&rtc, 13) == 0x80 && !(cmos_get(&rtc, 10) & 0x80),
	       "rtc: valid, no update in progress");
	cmos_set(&rtc, 11, 0x80 | 0x02);
	cmos_set(&rtc, 0, 0x00);
	cmos_set(&rtc, 2, 0x59);
	cmos_set(&rtc, 4, 0x23);
	cmos_set(&rtc, 7, 0x31);
	cmos_set(&rtc, 8, 0x12);
	cmos_set(&rtc, 9, 0x99);
	fake_time += 100;
	tap_ok(tap, cmos_get(&rtc, 0) == 0 && cmos_get(&rtc, 2) == 0x59, "rtc: SET holds it still");
	cmos_set(&rtc, 11, 0x02);
	fake_time += 61;
	tap_ok(tap, cmos_get(&rtc, 0) == 1 && cmos_get(&rtc, 4) == 0 && cmos_get(&rtc, 7) == 1 &&
	       cmos_get(&rtc, 8) == 1 && cmos_get(&rtc, 9) == 0 && cmos_get(&rtc, 0x32) == 0x21,
	       "rtc: set to the last minute of a century, it runs over");
	cmos_set(&rtc, 11, 0x04 | 0x02);
	cmos_set(&rtc, 4, 13);
	tap_ok(tap, cmos_get(&rtc, 4) == 13, "rtc: binary, 24 hours");
	cmos_set(&rtc, 11, 0);
	tap_ok(tap, cmos_get(&rtc, 4) == (0x80 | 0x01), "rtc: BCD, 12 hours, afternoon");
	cmos_set(&rtc, 4, 0x12);
	cmos_set(&rtc, 11, 0x02);
	tap_ok(tap, cmos_get(&rtc, 4) == 0, "rtc: 12 in the morning is midnight");
	cmos_set(&rtc, 11, 0x4a);
	tap_ok(tap, cmos_get(&rtc, 11) == 0x02, "rtc: no periodic interrupt, no square wave");
	cmos_set(&rtc, 0x40, 0x5a);
	cmos_set(&rtc, 12, 0xff);
	tap_ok(tap, cmos_get(&rtc, 0x40) == 0x5a && cmos_get(&rtc, 12) == 0, "rtc: CMOS memory");
}

static void test_rtc_interrupts(struct tap *tap)
{
	struct fake_board f;
	struct rtc rtc;

	fake_time = 1709210096;	/* 2024-02-29 12:34:56 */
	fake_board_init(&f);
	rtc_init(&rtc, &f.board, &fake_host);
	armed = 0;
	cmos_set(&rtc, 11, 0x12);
	tap_ok(tap, armed == 1 && !f.irq, "rtc: the update interrupt waits for the next second");
	fake_time++;
	rtc_tick(&rtc);
	tap_ok(tap, f.irq && cmos_get(&rtc, 12) == 0x90 && !f.irq && !cmos_get(&rtc, 12),
	       "rtc: it comes, and goes when C is read");
	rtc_tick(&rtc);
	tap_ok(tap, !f.irq, "rtc: a tick within the second brings none");
	cmos_set(&rtc, 1, 0x05);
	cmos_set(&rtc, 3, 0x35);
	cmos_set(&rtc, 5, 0xff);
	cmos_set(&rtc, 11, 0x22);
	fake_time += 7;		/* 12:35:04 */
	rtc_tick(&rtc);
	tap_ok(tap, !f.irq, "rtc: the alarm waits for its time");
	fake_time += 30;	/* past it: nobody called in between */
	rtc_tick(&rtc);
	tap_ok(tap, f.irq && cmos_get(&rtc, 12) == 0xa0, "rtc: a second that was slept over counts");
	fake_time += 3600;
	rtc_tick(&rtc);
	tap_ok(tap, f.irq, "rtc: every hour, where the hour may be any");
	cmos_get(&rtc, 12);
	armed = 0;
	cmos_set(&rtc, 11, 0x02);
	fake_time += 3600;
	rtc_tick(&rtc);
	tap_ok(tap, !f.irq && !armed, "rtc: disabled, nothing comes and nothing is armed");
	rtc_destroy(&rtc);
}

/* ACPI, reset ------------------------------------------------------------ */

static unsigned int marks_taken[MARKS_MAX + 1];

static void take_mark(void *ctx, unsigned int nr)
{
	((unsigned int *)ctx)[nr <= MARKS_MAX ? nr : MARKS_MAX]++;
}

static void test_platform(struct tap *tap)
{
	struct fake_board f;
	struct pm pm;
	struct mark mark = { .take = take_mark, .ctx = marks_taken };
	unsigned int i;

	fake_board_init(&f);
	pm = (struct pm){ .board = &f.board, .control = 1 };
	tap_ok(tap, pm_bus_ops.read(&pm, PM_CNT_OFF, 2) & 1, "acpi: SCI_EN reads 1");
	pm_bus_ops.write(&pm, PM_CNT_OFF, 0, 2);
	tap_ok(tap, pm_bus_ops.read(&pm, PM_CNT_OFF, 2) == 1, "acpi: and stays so");
	pm_bus_ops.write(&pm, PM_EVT_OFF + 2, 0x120, 2);
	tap_ok(tap, pm_bus_ops.read(&pm, PM_EVT_OFF + 2, 2) == 0x120 &&
	       pm_bus_ops.read(&pm, PM_EVT_OFF, 4) == 0x1200000, "acpi: event enables");
	pm_bus_ops.write(&pm, PM_CNT_OFF, 1 << 13 | 1 << 10, 2);
	tap_ok(tap, f.why == STOP_NOT, "acpi: another sleep type does nothing");
	pm_bus_ops.write(&pm, PM_CNT_OFF, PM_S5_TYPE << 10, 2);
	tap_ok(tap, f.why == STOP_NOT, "acpi: nor does the type without SLP_EN");
	pm_bus_ops.write(&pm, PM_CNT_OFF, 1 << 13 | PM_S5_TYPE << 10, 2);
	tap_ok(tap, f.why == STOP_POWEROFF, "acpi: S5 powers off");
	tap_ok(tap, pm_bus_ops.read(&pm, PM_TMR_OFF, 4) < 1 << 24, "acpi: a 24-bit timer");

	fake_board_init(&f);
	i8042_bus_ops.write(&f.board, 0, 0xd1, 1);
	tap_ok(tap, f.why == STOP_NOT, "i8042: another command does nothing");
	i8042_bus_ops.write(&f.board, 0, 0xfe, 1);
	tap_ok(tap, f.why == STOP_RESET, "i8042: 0xfe resets");
	fake_board_init(&f);
	reset_bus_ops.write(&f.board, 0, 2, 1);
	tap_ok(tap, f.why == STOP_NOT, "reset register: 2 only arms");
	reset_bus_ops.write(&f.board, 0, RESET_VALUE, 1);
	tap_ok(tap, f.why == STOP_RESET, "reset register: 6 resets");

	mark_bus_ops.write(&mark, 0, 0, 1);
	mark_bus_ops.write(&mark, 0, 0, 1);
	tap_ok(tap, mark.at[0].begin_ns && mark.at[0].begin_ns <= mark.at[0].end_ns &&
	       mark.at[0].end_ns <= mark.at[1].begin_ns && marks_taken[0] == 1 &&
	       marks_taken[1] == 1, "mark: each write has its time");
	for (i = 0; i < 2 * MARKS_MAX; i++)
		mark_bus_ops.write(&mark, 0, 0, 1);
	tap_ok(tap, mark.count == MARKS_MAX && marks_taken[MARKS_MAX - 1] == 1 &&
	       !marks_taken[MARKS_MAX], "mark: no more are kept than there is room for");
}

/* Hostile guests (59) ----------------------------------------------------- */

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Every register of every device, in any order, width and value; the sanitizers judge. */
static void test_hostile(struct tap *tap)
{
	static const uint32_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x80000000, 0xffffffff };
	struct bus *bus = calloc(1, sizeof(*bus));
	struct line *l = new_line();
	struct pm pm = { .board = &l->f.board };
	struct mark mark = { .take = take_mark, .ctx = marks_taken };
	uint32_t seed = 59, value;
	bool narrow = true;
	struct rtc rtc;
	unsigned int i;

	bus->top = 0xffff;
	rtc_init(&rtc, &l->f.board, &fake_host);
	bus_add(bus, 0, 8, &uart_bus_ops, &l->uart);
	bus_add(bus, 8, 2, &rtc_bus_ops, &rtc);
	bus_add(bus, 10, PM_PORTS, &pm_bus_ops, &pm);
	bus_add(bus, 22, 1, &i8042_bus_ops, &l->f.board);
	bus_add(bus, 23, 1, &reset_bus_ops, &l->f.board);
	bus_add(bus, 24, 1, &mark_bus_ops, &mark);
	bus_add(bus, 25, 4, &absent_bus_ops, NULL);
	for (i = 0; i < 300000; i++) {
		uint64_t port = next_random(&seed) % 32;
		unsigned int size = 1u << next_random(&seed) % 3;

		value = next_random(&seed) & 1 ? edges[next_random(&seed) % 8] :
						 next_random(&seed) << 8;
		if (next_random(&seed) % 3)
			bus_write(bus, port, value, size);
		else
			narrow &= size == 4 || !(bus_read(bus, port, size) >> 8 * size);
		if (i % 64 == 0) {
			fake_time += next_random(&seed) % 100000;
			rtc_tick(&rtc);
		}
	}
	tap_ok(tap, narrow, "hostile accesses (59): none is answered with more than it asks for");
	for (i = 0; i < bus->count; i++)
		tap_ok(tap, bus->range[i].hits > 1000, "hostile accesses (59): they reach each device");
	rtc_destroy(&rtc);
	free_line(l);
	free(bus);
}

int main(void)
{
	struct tap tap = { 0 };

	test_bus(&tap);
	test_uart_probe(&tap);
	test_uart_tx(&tap);
	test_uart_rx(&tap);
	test_calendar(&tap);
	test_rtc(&tap);
	test_rtc_interrupts(&tap);
	test_platform(&tap);
	test_hostile(&tap);
	return tap_done(&tap);
}
