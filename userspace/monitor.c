// SPDX-License-Identifier: GPL-2.0-only
#include "monitor.h"

json_int_t monitor_missing(struct monitor_place *place, const json_t *event)
{
	json_int_t seq = json_integer_value(json_object_get(event, "seq"));
	json_int_t lost = json_integer_value(json_object_get(event, "lost")), missing = 0;

	if (!json_object_get(event, "lost"))
		return 0;
	if (place->seq)
		missing = seq - place->seq - 1 + lost - place->lost;
	place->seq = seq;
	place->lost = lost;
	return missing;
}
