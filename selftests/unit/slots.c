// SPDX-License-Identifier: GPL-2.0-only
/* The array of memory slots: module/slots.h. */
#include <stdlib.h>

#include "slots.h"
#include "tap.h"

#define IDS	24
#define SPAN	120

/* The model: each slot by its number, or NULL. */
static struct umbra_slot *model[IDS];
static struct umbra_slots *slots;

static struct umbra_slots *make(u32 nr)
{
	struct umbra_slots *s = malloc(sizeof(*s) + 2 * nr * sizeof(s->slot[0]));

	s->nr = nr;
	return s;
}

static bool model_overlap(const struct umbra_slot *except, gfn_t base, unsigned long npages)
{
	unsigned int i;

	for (i = 0; i < IDS; i++) {
		if (model[i] && model[i] != except && base < model[i]->base + model[i]->npages &&
		    model[i]->base < base + npages)
			return true;
	}
	return false;
}

/* Every lookup must say what the model says. */
static bool agrees(void)
{
	unsigned int i, n = 0;
	gfn_t gfn;

	for (i = 0; i < IDS; i++) {
		n += !!model[i];
		if (slots_find_id(slots, i) != model[i])
			return false;
	}
	for (gfn = 0; gfn < SPAN + 10; gfn++) {
		struct umbra_slot *want = NULL;

		for (i = 0; i < IDS; i++) {
			if (model[i] && gfn - model[i]->base < model[i]->npages)
				want = model[i];
		}
		if (slots_find_gfn(slots, gfn) != want)
			return false;
	}
	return slots->nr == n;
}

/* One random change, if it is legal; whether the array took it as the model did. */
static bool change(void)
{
	unsigned int id = rand() % IDS;
	struct umbra_slot *old = model[id], *new = NULL;
	gfn_t base = rand() % SPAN;
	unsigned long npages = rand() % 8;
	struct umbra_slots *after;
	bool clash = model_overlap(old, base, npages ? npages : 1);

	if (slots_overlap(slots, old, base, npages ? npages : 1) != clash)
		return false;
	if ((!npages && !old) || (npages && clash))
		return true;
	if (npages) {
		new = calloc(1, sizeof(*new));
		new->base = base;
		new->npages = npages;
		new->id = id;
	}
	after = make(slots->nr - !!old + !!new);
	slots_edit(after, slots, old, new);
	model[id] = new;
	free(old);
	free(slots);
	slots = after;
	return agrees();
}

static void random_changes(void)
{
	unsigned int i;

	srand(1);
	slots = make(0);
	for (i = 0; i < 20000; i++) {
		if (!change())
			break;
	}
	tap_ok(i == 20000, "20000 random changes agree with a model (stopped at %u)", i);
	for (i = 0; i < IDS; i++)
		free(model[i]);
	free(slots);
}

static void page_sizes(void)
{
	static const struct {
		const char *what;
		gfn_t base;
		unsigned long npages, hva;
		gfn_t gfn;
		unsigned long page;
		bool want;
	} t[] = {
		{ "a small page always", 3, 1, 0x7000, 3, 1, true },
		{ "2 MiB that are the slot", 512, 512, 0x200000, 700, 512, true },
		{ "the slot ends a page short", 512, 511, 0x200000, 700, 512, false },
		{ "the slot begins a page late", 513, 1000, 0x201000, 700, 512, false },
		{ "its second 2 MiB fit", 513, 1600, 0x201000, 1200, 512, true },
		{ "memory not as aligned", 512, 512, 0x201000, 700, 512, false },
		{ "both off by the same", 515, 1600, 0x203000, 1100, 512, true },
		{ "1 GiB", 0x40000, 0x40000, 0x40000000, 0x50000, 0x40000, true },
		{ "1 GiB, memory aligned to 2 MiB alone", 0x40000, 0x40000, 0x40200000, 0x50000,
		  0x40000, false },
		{ "at the end of what 52 bits address", (1ull << 40) - 512, 512, 0x200000,
		  (1ull << 40) - 1, 512, true },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct umbra_slot slot = {
			.base = t[i].base, .npages = t[i].npages, .hva = t[i].hva,
		};

		tap_ok(slot_fits_page(&slot, t[i].gfn, t[i].page) == t[i].want, "page size: %s",
		       t[i].what);
	}
}

int main(void)
{
	tap_begin();
	random_changes();
	page_sizes();
	return tap_end();
}
