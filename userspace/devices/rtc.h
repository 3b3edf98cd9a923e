/* SPDX-License-Identifier: GPL-2.0-only */
/* The MC146818 clock with its CMOS memory, at ports 0x70 and 0x71. */
#ifndef UMBRA_RTC_H
#define UMBRA_RTC_H

#include <pthread.h>
#include <stdint.h>

#include "board.h"
#include "bus.h"

#define RTC_PORT	0x70
#define RTC_PORTS	2
#define RTC_GSI		8

/* A moment by the calendar: month and day count from 1, Sunday is weekday 0. */
struct rtc_moment {
	int year, month, day, weekday, hour, minute, second;
};

/**
 * struct rtc_host - the clock behind the clock
 * @now: UTC in nanoseconds since 1970
 * @arm: have rtc_tick() called in @ns nanoseconds, once; any thread, under rtc's lock
 */
struct rtc_host {
	void *ctx;
	int64_t (*now)(void *ctx);
	void (*arm)(void *ctx, uint64_t ns);
};

/*
 * [C] constant after rtc_init(), [L] under lock.
 * @offset: L: seconds that the guest's clock is ahead of the host's
 * @held: L: the time while the guest holds the clock still (register B, SET); its
 *	fields are no valid date until the guest has written them all
 * @ticked: L: the guest's second up to which alarms have been looked for
 */
struct rtc {
	pthread_mutex_t lock;
	const struct board *board;	/* C */
	const struct rtc_host *host;	/* C */
	uint8_t index;			/* L */
	uint8_t cmos[128];		/* L */
	int64_t offset;
	struct rtc_moment held;
	int64_t ticked;
};

extern const struct bus_ops rtc_bus_ops;

void rtc_init(struct rtc *rtc, const struct board *board, const struct rtc_host *host);

void rtc_destroy(struct rtc *rtc);

/** rtc_tick() - a second has ended: raise what alarm and update interrupt are due. */
void rtc_tick(struct rtc *rtc);

#endif
