// SPDX-License-Identifier: GPL-2.0-only
/* The guest's side of the library: exceptions and the 8259s. */
#include "guest.h"

#include <stddef.h>

volatile uint64_t g_vector, g_error, g_cr2, g_rip, g_fixup;
void (*volatile g_handlers[256])(struct frame *f);
volatile uint32_t g_masked_hits;
volatile uint32_t g_vector32 = NO_VECTOR, g_error32, g_has_error32, g_eip32;

extern char guest_ring3_back[];

/* Called from the entry code with the interrupted state, which it restores. */
void guest_exception(struct frame *f)
{
	if (g_handlers[f->vector]) {
		if (f->vector >= 32 && !(f->rflags & FLAGS_IF) && !(f->cs & 3))
			g_masked_hits++;
		g_handlers[f->vector](f);
		return;
	}
	if (f->vector == 0x80) {
		f->rip = (uint64_t)guest_ring3_back;
		f->cs = 0x08;
		f->ss = 0x10;
		f->rflags = FLAGS_FIXED;
		return;
	}
	if (!g_fixup)
		guest_fail(0xe0000000 | f->vector << 16 | (f->error & 0xffff));
	g_vector = f->vector;
	g_error = f->error;
	g_cr2 = read_cr2();
	g_rip = f->rip;
	f->rip = g_fixup;
	f->rflags &= ~FLAGS_TF;
	g_fixup = 0;
}

void guest_pic_init(uint8_t base, uint16_t open)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, base);
	outb(0xa1, base + 8);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, ~open);
	outb(0xa1, ~(open >> 8));
}
