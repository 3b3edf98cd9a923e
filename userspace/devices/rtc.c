// SPDX-License-Identifier: GPL-2.0-only
/*
 * MC146818: the time of day, alarm and update-ended interrupts, and 128 bytes of
 * CMOS memory.  The enables of the periodic interrupt and of the square wave stay
 * clear: a driver that asks for them sees that it gets none.
 */
#include <stdbool.h>
#include <string.h>

#include "rtc.h"

enum {
	REG_SECONDS = 0,
	REG_SECONDS_ALARM = 1,
	REG_MINUTES = 2,
	REG_MINUTES_ALARM = 3,
	REG_HOURS = 4,
	REG_HOURS_ALARM = 5,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	REG_CENTURY = 0x32,
};

#define A_32KHZ_1024HZ	0x26	/* what a PC's BIOS leaves there */
#define A_WRITABLE	0x7f	/* all but update-in-progress */
#define B_SET		0x80
#define B_BINARY	0x04
#define B_24H		0x02
#define B_ALARM		0x20
#define B_UPDATE	0x10
#define B_WRITABLE	(B_SET | B_ALARM | B_UPDATE | B_BINARY | B_24H | 0x01)
#define C_IRQ		0x80
#define D_VALID		0x80
#define HOUR_PM		0x80
#define ALARM_ANY	0xc0	/* both bits set: any value will do */

#define SECOND_NS	1000000000ll
#define ALARM_LOOKBACK	3600	/* seconds of a host that slept, through which alarms are sought */

static uint8_t encode(const struct rtc *rtc, int value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[REG_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

#define DAY		86400
#define EPOCH_DAYS	719468		/* from 1 March of year 0 to 1970 */
#define ERA_DAYS	146097		/* 400 years */

/*
 * The C library's gmtime_r() would open the time zone's file at its first call:
 * a wait for a disk in the middle of the guest's start.  Years begin in March
 * here, so that the day that comes and goes is the last of the year.
 */
static struct rtc_moment from_seconds(int64_t t)
{
	int64_t days = t / DAY - (t % DAY < 0), secs = t - days * DAY;
	int64_t z = days + EPOCH_DAYS;
	int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
	int doe = (int)(z - era * ERA_DAYS);
	int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int shifted = (5 * doy + 2) / 153;
	int month = shifted < 10 ? shifted + 3 : shifted - 9;

	return (struct rtc_moment){
		.year = (int)(yoe + era * 400) + (month <= 2),
		.month = month,
		.day = doy - (153 * shifted + 2) / 5 + 1,
		.weekday = (int)(((days + 4) % 7 + 7) % 7),
		.hour = (int)(secs / 3600),
		.minute = (int)(secs / 60 % 60),
		.second = (int)(secs % 60),
	};
}

/* Fields beyond their range carry over, so anything that a guest writes is some time. */
static int64_t to_seconds(const struct rtc_moment *m)
{
	int64_t y = m->year - (m->month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m->month > 2 ? m->month - 3 : m->month + 9) + 2) / 5 + m->day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return (era * ERA_DAYS + doe - EPOCH_DAYS) * DAY + m->hour * 3600 + m->minute * 60 +
	       m->second;
}

static int64_t host_seconds(const struct rtc *rtc)
{
	return rtc->host->now(rtc->host->ctx) / SECOND_NS;
}

static struct rtc_moment guest_time(const struct rtc *rtc)
{
	if (rtc->cmos[REG_B] & B_SET)
		return rtc->held;
	return from_seconds(host_seconds(rtc) + rtc->offset);
}

static bool is_time(uint8_t reg)
{
	switch (reg) {
	case REG_SECONDS: case REG_MINUTES: case REG_HOURS: case REG_WEEKDAY:
	case REG_DAY: case REG_MONTH: case REG_YEAR: case REG_CENTURY:
		return true;
	default:
		return false;
	}
}

static uint8_t read_time(const struct rtc *rtc, uint8_t reg)
{
	struct rtc_moment m = guest_time(rtc);

	switch (reg) {
	case REG_SECONDS:	return encode(rtc, m.second);
	case REG_MINUTES:	return encode(rtc, m.minute);
	case REG_HOURS:		return encode_hour(rtc, m.hour);
	case REG_WEEKDAY:	return encode(rtc, m.weekday + 1);
	case REG_DAY:		return encode(rtc, m.day);
	case REG_MONTH:		return encode(rtc, m.month);
	case REG_YEAR:		return encode(rtc, m.year % 100);
	default:		return encode(rtc, m.year / 100 % 100);
	}
}

static void write_time(struct rtc *rtc, uint8_t reg, uint8_t value)
{
	struct rtc_moment m = guest_time(rtc);
	int n = decode(rtc, value);

	switch (reg) {
	case REG_SECONDS:	m.second = n; break;
	case REG_MINUTES:	m.minute = n; break;
	case REG_HOURS:		m.hour = decode_hour(rtc, value); break;
	case REG_WEEKDAY:	return;		/* follows from the date */
	case REG_DAY:		m.day = n; break;
	case REG_MONTH:		m.month = n; break;
	case REG_YEAR:		m.year = m.year / 100 * 100 + n; break;
	default:		m.year = n * 100 + m.year % 100; break;
	}
	if (rtc->cmos[REG_B] & B_SET)
		rtc->held = m;
	else
		rtc->offset = to_seconds(&m) - host_seconds(rtc);
}

/* Counts seconds from here on, as long as an interrupt waits for one. */
static void arm(struct rtc *rtc)
{
	int64_t now = rtc->host->now(rtc->host->ctx);

	if (rtc->cmos[REG_B] & (B_ALARM | B_UPDATE))
		rtc->host->arm(rtc->host->ctx, (uint64_t)(SECOND_NS - now % SECOND_NS));
}

static bool alarm_matches(const struct rtc *rtc, int64_t t)
{
	struct rtc_moment m = from_seconds(t);
	const uint8_t *a = rtc->cmos;

	return (a[REG_SECONDS_ALARM] >= ALARM_ANY ||
		a[REG_SECONDS_ALARM] == encode(rtc, m.second)) &&
	       (a[REG_MINUTES_ALARM] >= ALARM_ANY ||
		a[REG_MINUTES_ALARM] == encode(rtc, m.minute)) &&
	       (a[REG_HOURS_ALARM] >= ALARM_ANY ||
		a[REG_HOURS_ALARM] == encode_hour(rtc, m.hour));
}

static void tick_locked(struct rtc *rtc)
{
	int64_t now = host_seconds(rtc) + rtc->offset;
	uint8_t enabled = rtc->cmos[REG_B], due = 0;

	if (enabled & B_SET)
		return;
	if (now > rtc->ticked)
		due = enabled & B_UPDATE;
	if (now - rtc->ticked > ALARM_LOOKBACK)
		rtc->ticked = now - ALARM_LOOKBACK;
	while (rtc->ticked < now)
		if (alarm_matches(rtc, ++rtc->ticked))
			due |= enabled & B_ALARM;
	if (!due)
		return;
	rtc->cmos[REG_C] |= due | C_IRQ;
	rtc->board->set_irq(rtc->board->ctx, RTC_GSI, true);
}

void rtc_tick(struct rtc *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	tick_locked(rtc);
	arm(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

/* Reading register C takes the flags away, and with them the interrupt. */
static uint8_t read_c(struct rtc *rtc)
{
	uint8_t flags = rtc->cmos[REG_C];

	rtc->cmos[REG_C] = 0;
	if (flags)
		rtc->board->set_irq(rtc->board->ctx, RTC_GSI, false);
	return flags;
}

static void write_b(struct rtc *rtc, uint8_t value)
{
	uint8_t old = rtc->cmos[REG_B];
	struct rtc_moment now = guest_time(rtc);

	value &= B_WRITABLE;
	if (!(old & B_SET) && (value & B_SET))
		rtc->held = now;
	if ((old & B_SET) && !(value & B_SET))
		rtc->offset = to_seconds(&rtc->held) - host_seconds(rtc);
	rtc->cmos[REG_B] = value;
	/* What was not waited for until now does not come late. */
	if (!(value & B_SET) && ((value & ~old) & (B_ALARM | B_UPDATE) || (old & B_SET)))
		rtc->ticked = host_seconds(rtc) + rtc->offset;
	arm(rtc);
}

static uint8_t read_locked(struct rtc *rtc)
{
	if (is_time(rtc->index))
		return read_time(rtc, rtc->index);
	return rtc->index == REG_C ? read_c(rtc) : rtc->cmos[rtc->index];
}

static void write_locked(struct rtc *rtc, uint8_t value)
{
	if (is_time(rtc->index))
		write_time(rtc, rtc->index, value);
	else if (rtc->index == REG_A)
		rtc->cmos[REG_A] = value & A_WRITABLE;
	else if (rtc->index == REG_B)
		write_b(rtc, value);
	else if (rtc->index != REG_C && rtc->index != REG_D)
		rtc->cmos[rtc->index] = value;
}

static uint32_t rtc_read(void *dev, uint16_t off, unsigned int size)
{
	struct rtc *rtc = dev;
	uint8_t value;

	(void)size;
	if (off == 0)
		return 0xff;	/* the index register is write-only */
	pthread_mutex_lock(&rtc->lock);
	value = read_locked(rtc);
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void rtc_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	struct rtc *rtc = dev;

	(void)size;
	pthread_mutex_lock(&rtc->lock);
	if (off == 0)
		rtc->index = value & 0x7f;	/* bit 7 gates NMI on a PC */
	else
		write_locked(rtc, (uint8_t)value);
	pthread_mutex_unlock(&rtc->lock);
}

const struct bus_ops rtc_bus_ops = {
	.name = "rtc",
	.max_size = 1,
	.read = rtc_read,
	.write = rtc_write,
};

void rtc_init(struct rtc *rtc, const struct board *board, const struct rtc_host *host)
{
	memset(rtc, 0, sizeof(*rtc));
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->board = board;
	rtc->host = host;
	rtc->cmos[REG_A] = A_32KHZ_1024HZ;
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_D] = D_VALID;
}

void rtc_destroy(struct rtc *rtc)
{
	pthread_mutex_destroy(&rtc->lock);
}
