// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "bus.h"

/* The index of the first range that ends at or after @addr. */
static unsigned int lower_bound(const struct bus *bus, uint64_t addr)
{
	unsigned int lo = 0, hi = bus->count;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (bus->range[mid].last < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int bus_add(struct bus *bus, uint64_t base, uint16_t len, const struct bus_ops *ops, void *dev)
{
	uint64_t last = base + len - 1;
	unsigned int at = lower_bound(bus, base);

	if (!len || last < base || last > bus->top)
		return -EINVAL;
	if (bus->count == BUS_MAX_RANGES)
		return -ENOSPC;
	if (at < bus->count && bus->range[at].base <= last)
		return -EEXIST;
	memmove(&bus->range[at + 1], &bus->range[at],
		(bus->count - at) * sizeof(bus->range[0]));
	bus->range[at] = (struct bus_range){
		.base = base, .last = last, .ops = ops, .dev = dev,
	};
	bus->count++;
	return 0;
}

static struct bus_range *find(struct bus *bus, uint64_t addr, unsigned int size)
{
	unsigned int at = lower_bound(bus, addr);
	struct bus_range *r = &bus->range[at];

	if (at == bus->count || addr < r->base || size > r->ops->max_size ||
	    addr + size - 1 > r->last) {
		atomic_fetch_add_explicit(&bus->unclaimed, 1, memory_order_relaxed);
		return NULL;
	}
	atomic_fetch_add_explicit(&r->hits, 1, memory_order_relaxed);
	return r;
}

static uint32_t all_ones(unsigned int size)
{
	return size >= 4 ? UINT32_MAX : (1u << (size * 8)) - 1;
}

uint32_t bus_read(struct bus *bus, uint64_t addr, unsigned int size)
{
	struct bus_range *r = find(bus, addr, size);

	if (!r || !r->ops->read)
		return all_ones(size);
	return r->ops->read(r->dev, (uint16_t)(addr - r->base), size);
}

void bus_write(struct bus *bus, uint64_t addr, uint32_t value, unsigned int size)
{
	struct bus_range *r = find(bus, addr, size);

	if (r && r->ops->write)
		r->ops->write(r->dev, (uint16_t)(addr - r->base), value, size);
}
