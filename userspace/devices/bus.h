/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bus, of ports or of memory: sorted ranges, found by bisection. Built before the
 * VM runs, then constant but for its counts.
 */
#ifndef UMBRA_BUS_H
#define UMBRA_BUS_H

#include <stdatomic.h>
#include <stdint.h>

#define BUS_MAX_RANGES	24

/**
 * struct bus_ops - how a device answers
 * @read: @off from the range's base, @size 1, 2 or 4; called on any vCPU's
 *	thread, on several at once
 * @write: likewise; NULL in either takes all ones, or drops the value
 * @max_size: the widest access that the device decodes; a wider one is unclaimed
 */
struct bus_ops {
	const char *name;
	unsigned int max_size;
	uint32_t (*read)(void *dev, uint16_t off, unsigned int size);
	void (*write)(void *dev, uint16_t off, uint32_t value, unsigned int size);
};

/** struct bus_range - addresses @base up to @last. @hits: accesses, for --stats. */
struct bus_range {
	uint64_t base;
	uint64_t last;
	const struct bus_ops *ops;
	void *dev;
	_Atomic uint64_t hits;
};

/** struct bus - @top: its last address; @unclaimed: accesses that no device answered */
struct bus {
	uint64_t top;
	struct bus_range range[BUS_MAX_RANGES];
	unsigned int count;
	_Atomic uint64_t unclaimed;
};

/** bus_add() - claim addresses. Return: 0, -EEXIST on overlap, -ENOSPC, -EINVAL. */
int bus_add(struct bus *bus, uint64_t base, uint16_t len, const struct bus_ops *ops, void *dev);

/** bus_read() - answer a read; all ones where nothing is. */
uint32_t bus_read(struct bus *bus, uint64_t addr, unsigned int size);

/** bus_write() - take a write; dropped and counted where nothing is. */
void bus_write(struct bus *bus, uint64_t addr, uint32_t value, unsigned int size);

#endif
