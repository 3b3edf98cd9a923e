/* SPDX-License-Identifier: GPL-2.0-only */
/* A byte ring of a power-of-two size. Its user locks it. */
#ifndef UMBRA_RING_H
#define UMBRA_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_SIZE	(64u * 1024)

/** struct ring - @head: where the next byte goes in; @tail: where one comes out */
struct ring {
	uint32_t head;
	uint32_t tail;
	uint8_t data[RING_SIZE];
};

static inline uint32_t ring_used(const struct ring *r)
{
	return r->head - r->tail;
}

static inline uint32_t ring_room(const struct ring *r)
{
	return RING_SIZE - ring_used(r);
}

/* The caller has seen that there is room. */
static inline void ring_put(struct ring *r, uint8_t byte)
{
	r->data[r->head++ % RING_SIZE] = byte;
}

/* The caller has seen that there is a byte. */
static inline uint8_t ring_get(struct ring *r)
{
	return r->data[r->tail++ % RING_SIZE];
}

#endif
