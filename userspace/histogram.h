/* SPDX-License-Identifier: GPL-2.0-only */
/* Histograms by powers of two, as the verb exits gives them. */
#ifndef UMBRA_HISTOGRAM_H
#define UMBRA_HISTOGRAM_H

#include <jansson.h>

/**
 * histogram_median() - the middle of what was counted
 * @buckets: an array; [n] counts what is at least 2^n and less than 2^(n+1), [0] also 0
 *
 * Return: the median, taken as lying in its bucket as far along as its rank does; 0
 * when nothing was counted, or @buckets is no such array.
 */
double histogram_median(const json_t *buckets);

#endif
