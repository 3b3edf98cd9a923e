// SPDX-License-Identifier: GPL-2.0-only
/*
 * MC146818: the time of day and 128 bytes of CMOS memory.  It is a clock to read
 * and set: register B's interrupt enables stay clear, so a driver that asks for
 * alarms sees that it gets none.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "rtc.h"

enum {
	REG_SECONDS = 0,
	REG_MINUTES = 2,
	REG_HOURS = 4,
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
#define B_WRITABLE	(B_SET | B_BINARY | B_24H | 0x01)
#define D_VALID		0x80
#define HOUR_PM		0x80

static int64_t host_now(void)
{
	return time(NULL);
}

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

static void guest_time(const struct rtc *rtc, struct tm *tm)
{
	time_t t = rtc->cmos[REG_B] & B_SET ? rtc->frozen : rtc->now() + rtc->offset;

	if (!gmtime_r(&t, tm))
		memset(tm, 0, sizeof(*tm));
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
	struct tm tm;

	guest_time(rtc, &tm);
	switch (reg) {
	case REG_SECONDS:	return encode(rtc, tm.tm_sec);
	case REG_MINUTES:	return encode(rtc, tm.tm_min);
	case REG_HOURS:		return encode_hour(rtc, tm.tm_hour);
	case REG_WEEKDAY:	return encode(rtc, tm.tm_wday + 1);
	case REG_DAY:		return encode(rtc, tm.tm_mday);
	case REG_MONTH:		return encode(rtc, tm.tm_mon + 1);
	case REG_YEAR:		return encode(rtc, tm.tm_year % 100);
	default:		return encode(rtc, 19 + tm.tm_year / 100);
	}
}

static void write_time(struct rtc *rtc, uint8_t reg, uint8_t value)
{
	int64_t t;
	struct tm tm;
	int n = decode(rtc, value);

	guest_time(rtc, &tm);
	switch (reg) {
	case REG_SECONDS:	tm.tm_sec = n; break;
	case REG_MINUTES:	tm.tm_min = n; break;
	case REG_HOURS:		tm.tm_hour = decode_hour(rtc, value); break;
	case REG_WEEKDAY:	return;		/* follows from the date */
	case REG_DAY:		tm.tm_mday = n; break;
	case REG_MONTH:		tm.tm_mon = n - 1; break;
	case REG_YEAR:		tm.tm_year = tm.tm_year / 100 * 100 + n; break;
	default:		tm.tm_year = (n - 19) * 100 + tm.tm_year % 100; break;
	}
	t = timegm(&tm);
	if (rtc->cmos[REG_B] & B_SET)
		rtc->frozen = t;
	else
		rtc->offset = t - rtc->now();
}

static void write_b(struct rtc *rtc, uint8_t value)
{
	uint8_t old = rtc->cmos[REG_B];

	if (!(old & B_SET) && (value & B_SET))
		rtc->frozen = rtc->now() + rtc->offset;
	if ((old & B_SET) && !(value & B_SET))
		rtc->offset = rtc->frozen - rtc->now();
	rtc->cmos[REG_B] = value & B_WRITABLE;
}

static uint32_t rtc_read(void *dev, uint16_t off, unsigned int size)
{
	struct rtc *rtc = dev;

	(void)size;
	if (off == 0)
		return 0xff;	/* the index register is write-only */
	if (is_time(rtc->index))
		return read_time(rtc, rtc->index);
	return rtc->cmos[rtc->index];
}

static void rtc_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	struct rtc *rtc = dev;

	(void)size;
	if (off == 0)
		rtc->index = value & 0x7f;	/* bit 7 gates NMI on a PC */
	else if (is_time(rtc->index))
		write_time(rtc, rtc->index, (uint8_t)value);
	else if (rtc->index == REG_A)
		rtc->cmos[REG_A] = value & A_WRITABLE;
	else if (rtc->index == REG_B)
		write_b(rtc, (uint8_t)value);
	else if (rtc->index != REG_C && rtc->index != REG_D)
		rtc->cmos[rtc->index] = (uint8_t)value;
}

const struct bus_ops rtc_bus_ops = {
	.name = "rtc",
	.max_size = 1,
	.read = rtc_read,
	.write = rtc_write,
};

void rtc_init(struct rtc *rtc, int64_t (*now)(void))
{
	memset(rtc, 0, sizeof(*rtc));
	rtc->now = now ? now : host_now;
	rtc->cmos[REG_A] = A_32KHZ_1024HZ;
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_D] = D_VALID;
}
