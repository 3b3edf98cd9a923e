/* SPDX-License-Identifier: GPL-2.0-only */
/* What a listener has missed, by the numbers of what it got. */
#ifndef UMBRA_MONITOR_H
#define UMBRA_MONITOR_H

#include <jansson.h>

/**
 * struct monitor_place - how far a listener has come
 * @seq: the last event's number; 0: none has come yet
 * @lost: what it said was sent to nobody
 */
struct monitor_place {
	json_int_t seq, lost;
};

/**
 * monitor_missing() - how many events before this one did not come
 * @event: an nlmsg_object(); samples, which have numbers of their own, miss nothing
 */
json_int_t monitor_missing(struct monitor_place *place, const json_t *event);

#endif
