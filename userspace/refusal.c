// SPDX-License-Identifier: GPL-2.0-only
/* An entry that the CPU has refused, in words, on one screen. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "refusal.h"

/* Text that fills lines of a screen: what does not fit is left out. */
struct page {
	char *at;
	unsigned int lines, column;
};

static void end_line(struct page *p)
{
	if (!p->column)
		return;
	*p->at++ = '\n';
	*p->at = '\0';
	p->column = 0;
	p->lines++;
}

/* A word of a line, or the first of the next one. */
__attribute__((format(printf, 2, 3)))
static void put(struct page *p, const char *fmt, ...)
{
	char word[REFUSAL_WIDTH + 1];
	unsigned int len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(word, sizeof(word), fmt, ap);
	va_end(ap);
	len = strlen(word);
	if (p->column && p->column + 2 + len > REFUSAL_WIDTH)
		end_line(p);
	if (p->lines >= REFUSAL_LINES)
		return;
	p->at += sprintf(p->at, "%s%s", p->column ? "  " : "", word);
	p->column += (p->column ? 2 : 0) + len;
}

static void put_exits(struct page *p, const struct umbra_entry_failure *record,
		      const refusal_reason *names, unsigned int nr)
{
	unsigned int i, same;

	put(p, "exits, the last one first:");
	for (i = 0; i < record->nr_exits && i < UMBRA_ENTRY_EXITS; i += same) {
		unsigned int reason = record->exit[i].reason;

		for (same = 1; i + same < record->nr_exits && i + same < UMBRA_ENTRY_EXITS &&
			       record->exit[i + same].reason == reason; same++)
			;
		if (reason < nr)
			put(p, "%.16s x%u @%#llx", names[reason], same,
			    (unsigned long long)record->exit[i].rip);
	}
	end_line(p);
}

void refusal_text(char *out, const struct umbra_entry_failure *record,
		  const refusal_reason *names, unsigned int nr)
{
	struct page p = { .at = out };
	unsigned int i;

	*out = '\0';
	put(&p, "%.*s", (int)sizeof(record->check) - 1,
	    record->check[0] ? record->check : "no check that Umbra knows has failed");
	end_line(&p);
	put(&p, "qualification %#llx", (unsigned long long)record->qualification);
	put(&p, "event %#llx", (unsigned long long)record->event);
	put(&p, "refused %llu times", (unsigned long long)record->count);
	end_line(&p);
	put_exits(&p, record, names, nr);
	for (i = 0; i < record->nr_fields && i < UMBRA_ENTRY_FIELDS; i++)
		if (record->field[i].value)
			put(&p, "%.*s %#llx", (int)sizeof(record->field[i].name),
			    record->field[i].name, (unsigned long long)record->field[i].value);
	end_line(&p);
}
