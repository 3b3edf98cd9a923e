// SPDX-License-Identifier: GPL-2.0-only
#include "histogram.h"

#define BUCKETS_MAX	64

static double count_at(const json_t *buckets, size_t n)
{
	json_int_t count = json_integer_value(json_array_get(buckets, n));

	return count > 0 ? (double)count : 0;
}

double histogram_median(const json_t *buckets)
{
	size_t n, size = json_array_size(buckets);
	double total = 0, rank, low;

	if (size > BUCKETS_MAX)
		return 0;
	for (n = 0; n < size; n++)
		total += count_at(buckets, n);
	rank = total / 2;
	for (n = 0; n < size; n++) {
		double count = count_at(buckets, n);

		if (count > 0 && rank <= count) {
			low = n ? (double)(1ull << n) : 0;
			return low + rank / count * ((double)(1ull << n) * (n ? 1 : 2));
		}
		rank -= count;
	}
	return 0;
}
