// SPDX-License-Identifier: GPL-2.0-only
/* Medians of histograms by powers of two. */
#include <math.h>

#include "../histogram.h"
#include "tap.h"

static const struct {
	const char *what, *json;
	double median;
} cases[] = {
	{ "nothing counted", "[0,0,0]", 0 },
	{ "empty", "[]", 0 },
	{ "one bucket, halfway", "[0,0,0,10]", 12 },
	{ "the lowest bucket begins at 0", "[4]", 1 },
	{ "between two", "[0,0,3,3]", 8 },
	{ "mostly low", "[0,0,0,8,0,2]", 13 },
	{ "mostly high", "[0,0,0,2,0,8]", 44 },
	{ "not an array", "{\"a\":1}", 0 },
	{ "what is no number counts nothing", "[0,\"x\",-5,10]", 12 },
	{ "too long", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
	  "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0 },
};

int main(void)
{
	struct tap tap = { 0 };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *buckets = json_loads(cases[i].json, 0, NULL);
		double median = histogram_median(buckets);

		tap_ok(&tap, fabs(median - cases[i].median) < 1e-9, "median: %s (%g)",
		       cases[i].what, median);
		json_decref(buckets);
	}
	tap_ok(&tap, histogram_median(NULL) == 0, "median: of nothing at all");
	return tap_done(&tap);
}
