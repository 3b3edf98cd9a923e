// SPDX-License-Identifier: GPL-2.0-only
/* Records of refused entries: on one screen, whatever is in them. */
#include <string.h>

#include "../refusal.h"
#include "tap.h"

static const refusal_reason names[] = { "unknown", "fail_entry", "cpuid", "io" };
#define NR_NAMES	4

static char text[REFUSAL_MAX];

static void expect_screen(struct tap *tap, const char *what)
{
	unsigned int lines = 0;
	size_t longest = 0;
	const char *at = text;

	while (*at) {
		size_t len = strcspn(at, "\n");

		longest = len > longest ? len : longest;
		at += len + (at[len] != '\0');
		lines++;
	}
	tap_ok(tap, lines <= REFUSAL_LINES && longest <= REFUSAL_WIDTH && strlen(text) < REFUSAL_MAX,
	       "refusal: %s is a screenful (%u lines of %zu)", what, lines, longest);
}

static bool has(const char *words)
{
	return strstr(text, words) != NULL;
}

int main(void)
{
	struct umbra_entry_failure r = {
		.count = 2, .reason = 0x80000021, .qualification = 4, .event = 0x80000b0d,
		.nr_fields = 3, .nr_exits = 4, .check = "Checks on This: that",
		.exit = { { 0x10, 1 }, { 0x20, 2 }, { 0x30, 2 }, { 0x40, 3 } },
		.field = { { "guest RIP", 0x1234 }, { "guest CR2", 0 }, { "host CR3", 0x5000 } },
	};
	struct tap tap = { 0 };
	unsigned int i;

	refusal_text(text, &r, names, NR_NAMES);
	tap_ok(&tap, !strncmp(text, "Checks on This: that\n", 21), "refusal: the check comes first");
	tap_ok(&tap, has("qualification 0x4  event 0x80000b0d  refused 2 times\n"),
	       "refusal: then the words");
	tap_ok(&tap, has("fail_entry x1 @0x10") && has("cpuid x2 @0x20") && has("io x1 @0x40"),
	       "refusal: exits, equal ones once");
	tap_ok(&tap, has("guest RIP 0x1234  host CR3 0x5000\n") && !has("CR2"),
	       "refusal: fields, but for those of 0");
	expect_screen(&tap, "a short one");

	r.check[0] = '\0';
	r.exit[0].reason = 77;
	refusal_text(text, &r, names, NR_NAMES);
	tap_ok(&tap, has("no check that Umbra knows") && !has("@0x10") && has("@0x20"),
	       "refusal: no check, and a reason without a name");

	/* All that a record can hold, and counts that no kernel gives. */
	memset(&r, 0xff, sizeof(r));
	memset(r.check, 'c', sizeof(r.check));
	for (i = 0; i < UMBRA_ENTRY_FIELDS; i++)
		memset(r.field[i].name, 'n', sizeof(r.field[i].name));
	for (i = 0; i < UMBRA_ENTRY_EXITS; i++)
		r.exit[i].reason = i % NR_NAMES;
	refusal_text(text, &r, names, NR_NAMES);
	expect_screen(&tap, "the longest");
	return tap_done(&tap);
}
