/* SPDX-License-Identifier: GPL-2.0-only */
/* Small parsers of what stands on the command line. */
#ifndef UMBRA_UTIL_H
#define UMBRA_UTIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/judge.h"

/**
 * parse_size() - "256M", "1G", "65536K", or a bare number of MiB
 *
 * Return: 0 with *@bytes set; -EINVAL if @text is no such thing or is zero;
 * -ERANGE if the number of bytes does not fit.
 */
int parse_size(const char *text, uint64_t *bytes);

/**
 * parse_seconds() - a decimal number of seconds, 0.1 to 86400
 *
 * Return: 0; -EINVAL, -ERANGE.
 */
int parse_seconds(const char *text, double *seconds);

/** valid_name() - whether @text can name a VM: 1 to 63 of [A-Za-z0-9._-], no sign first. */
bool valid_name(const char *text);

/** complain() - one line on stderr, after "umbra: ". */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * holders() - which loaded modules could own the CPU's virtualization
 * @modules: text in the form of /proc/modules
 * @buf: gets their names, separated by ", "; empty if there are none
 *
 * Return: how many.
 */
unsigned int holders(const char *modules, char *buf, unsigned int size);

/**
 * flock_owner() - who holds a lock of flock(2)
 * @locks: text in the form of /proc/locks
 *
 * Return: the pid, or 0 where the text knows none.
 */
unsigned int flock_owner(const char *locks, dev_t dev, ino_t ino);

/** read_text() - the start of a file as a string. Return: its length, or a negative errno. */
int read_text(const char *path, char *buf, unsigned int size);

/**
 * open_failure() - why a device cannot be used, and the remedy
 * @code: the negative errno that opening it, or creating a VM on it, gave
 * @detail: that errno in words
 * @verdict: what the judge says of this machine: where the device is not there or
 *	will not work, that is the cause to name
 *
 * Return: the exit code that belongs to it; @buf holds the sentence.
 */
int open_failure(const char *dev, int code, const char *detail,
		 const struct judge_verdict *verdict, char *buf, unsigned int size);

#endif
