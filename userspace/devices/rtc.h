/* SPDX-License-Identifier: GPL-2.0-only */
/* The MC146818 clock with its CMOS memory, at ports 0x70 and 0x71. */
#ifndef UMBRA_RTC_H
#define UMBRA_RTC_H

#include <stdint.h>

#include "bus.h"

#define RTC_PORT	0x70
#define RTC_PORTS	2

/* A moment by the calendar: month and day count from 1, Sunday is weekday 0. */
struct rtc_moment {
	int year, month, day, weekday, hour, minute, second;
};

/*
 * Only the vCPU's thread touches it.
 * @offset: seconds that the guest's clock is ahead of the host's UTC
 * @held: the time while the guest holds the clock still (register B, SET); its
 *	fields are no valid date until the guest has written them all
 */
struct rtc {
	uint8_t index;
	uint8_t cmos[128];
	int64_t offset;
	struct rtc_moment held;
	int64_t (*now)(void);
};

extern const struct bus_ops rtc_bus_ops;

/** rtc_init() - @now: the host's UTC in seconds since 1970; NULL: the real one */
void rtc_init(struct rtc *rtc, int64_t (*now)(void));

#endif
