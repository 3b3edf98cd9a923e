// SPDX-License-Identifier: GPL-2.0-only
/* Which walks were seen to end how: where, with which rights, for which access. */
#include <stdio.h>

#include "oracle.h"
#include "x86.h"

enum end { END_OK, END_DENIED, END_KEY, END_ABSENT, END_RESERVED, NR_ENDS };

static const char *const end_name[NR_ENDS] = {
	"allowed", "denied", "denied by key", "not present", "reserved bit",
};
static const char *const kind_name[OP_STORE1] = {
	"read", "write", "exec", "user read", "user write", "user exec",
};

#define NR_RIGHTS	8

/* Rights count where the walk came to a page. */
static unsigned long seen[NR_PAGING][MAX_LEVELS + 1][NR_RIGHTS][OP_STORE1][NR_ENDS];

static enum end end_of(const struct outcome *o)
{
	if (o->vector != PF_VECTOR)
		return END_OK;
	if (!(o->error & PFERR_P))
		return END_ABSENT;
	if (o->error & PFERR_RSVD)
		return END_RESERVED;
	return o->error & PFERR_PK ? END_KEY : END_DENIED;
}

void cover(const struct model *m, const struct op *op, const struct outcomes *out)
{
	enum end end = end_of(&out->outcome[0]);
	unsigned int rights = end < END_KEY ? out->rights : 0;

	if (out->ways != 1 || out->outcome[0].vector == GP_VECTOR)
		return;
	seen[m->paging][out->level][rights][op->kind][end]++;
}

static bool leaves_at(const struct features *have, enum paging paging, unsigned int level)
{
	if (paging == PAGING_OFF)
		return level == 0;
	return level == 1 || level == 2 || (level == 3 && paging >= PAGING_4 && have->gbpages);
}

static bool can_be_reserved(const struct features *have, enum paging paging, unsigned int level)
{
	switch (paging) {
	case PAGING_OFF:
		return false;
	case PAGING_32:
		return level == 2;
	case PAGING_PAE:
		return level < 3;
	default:
		return level > 3 || level == 2 || have->maxphyaddr < 52 || have->nx;
	}
}

/* Is there a set of registers under which the rights make it end so? */
static bool can_be_denied(const struct features *have, enum paging paging, unsigned int rights,
			  unsigned int kind, bool denied)
{
	unsigned int i;

	if (paging == PAGING_OFF)
		return !denied && rights == (ORACLE_W | ORACLE_U | ORACLE_X);
	if (!(rights & ORACLE_X) && (paging == PAGING_32 || !have->nx))
		return false;
	for (i = 0; i < 16; i++) {
		struct cpu cpu = {
			.cr0 = i & 1 ? CR0_WP : 0,
			.cr4 = (i & 2 && have->smep ? CR4_SMEP : 0) |
			       (i & 4 && have->smap ? CR4_SMAP : 0),
		};

		if (model_denied(&cpu, kind, i & 8, rights) == denied)
			return true;
	}
	return false;
}

static bool can_be(const struct features *have, enum paging paging, unsigned int level,
		   unsigned int rights, unsigned int kind, enum end end)
{
	bool leaf = leaves_at(have, paging, level);

	switch (end) {
	case END_OK:
	case END_DENIED:
		return leaf && can_be_denied(have, paging, rights, kind, end == END_DENIED);
	case END_KEY:
		return leaf && paging >= PAGING_4 && have->pku && !rights &&
		       kind % OP_USER != OP_EXEC;
	case END_ABSENT:
		return !rights && level && paging;
	default:
		return !rights && level && can_be_reserved(have, paging, level);
	}
}

static unsigned int print_level(const struct features *have, enum paging paging,
				unsigned int level)
{
	unsigned int cells = 0, empty = 0, rights, kind, end;
	unsigned long least = ~0UL, accesses = 0;

	for (rights = 0; rights < NR_RIGHTS; rights++) {
		for (kind = 0; kind < OP_STORE1; kind++) {
			for (end = 0; end < NR_ENDS; end++) {
				unsigned long n = seen[paging][level][rights][kind][end];

				accesses += n;
				if (!can_be(have, paging, level, rights, kind, end))
					continue;
				cells++;
				least = n < least ? n : least;
				if (n)
					continue;
				if (!empty++)
					printf("# empty, for example: %s, level %u, %s%s%s, %s, %s\n",
					       paging_name[paging], level,
					       rights & ORACLE_W ? "w" : "-",
					       rights & ORACLE_U ? "u" : "-",
					       rights & ORACLE_X ? "x" : "-", kind_name[kind],
					       end_name[end]);
			}
		}
	}
	printf("# %s, level %u: %lu walks end there, in %u ways, each %lu times or more\n",
	       paging_name[paging], level, accesses, cells, least);
	return empty;
}

unsigned int cover_print(const struct features *have)
{
	unsigned int paging, level, empty = 0;

	for (paging = 0; paging < NR_PAGING; paging++) {
		if (paging == PAGING_5 && !have->la57)
			continue;
		for (level = !!paging; level <= paging_levels(paging); level++)
			empty += print_level(have, paging, level);
	}
	return empty;
}
