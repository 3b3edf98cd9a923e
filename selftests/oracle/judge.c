// SPDX-License-Identifier: GPL-2.0-only
/* What a machine made of a script, against the model. */
#include <stdio.h>
#include <string.h>

#include "ktap.h"
#include "oracle.h"
#include "x86.h"

#define MAX_PRINTED	10

static const char *const kind_name[] = {
	"read", "write", "exec", "user read", "user write", "user exec", "store1", "store2",
	"store4", "store8", "locked4", "load4", "invlpg", "cr3", "control", "pkru",
};
_Static_assert(ARRAY_SIZE(kind_name) == OP_YIELD, "the rest give no result");

static bool differs(struct judge *j, const struct script *s, uint64_t number)
{
	if (j->differences++ >= MAX_PRINTED)
		return false;
	printf("# %s differs in script %llu, %s:\n", j->name, (unsigned long long)number,
	       paging_name[s->start.paging]);
	return true;
}

static void print_entries(const struct model *m, const struct outcomes *out)
{
	unsigned int i, j;

	for (i = 0; i < out->nr_steps; i++) {
		const struct step *s = &out->step[i];
		const struct entry *e = &m->entry[s->table][s->slot];

		printf("#   level %u, table %u, slot %u: %#llx, unsure %#llx", s->level, s->table,
		       s->slot, (unsigned long long)e->value, (unsigned long long)e->unsure);
		for (j = 0; j < e->nr_old; j++)
			printf(", was %#llx", (unsigned long long)e->old[j].value);
		printf("\n");
	}
}

static void print_op(const struct model *m, unsigned int cpu, unsigned int i, const struct op *op,
		     const struct result *r, const struct outcomes *out)
{
	const struct cpu *c = &m->cpu[cpu];
	unsigned int n;

	printf("#   op %u of vCPU %u: %s at %#llx, value %#llx%s: vector %#x error %#x cr2 %#llx data %#llx\n",
	       i, cpu, kind_name[op->kind], (unsigned long long)op->addr,
	       (unsigned long long)op->value, op->ac ? ", AC" : "", r->vector, r->error,
	       (unsigned long long)r->cr2, (unsigned long long)r->data);
	printf("#   cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx pkru %#x\n",
	       (unsigned long long)c->cr0, (unsigned long long)c->cr3, (unsigned long long)c->cr4,
	       (unsigned long long)c->efer, c->pkru);
	if (!is_access(op->kind))
		return;
	for (n = 0; n < out->nr; n++) {
		const struct outcome *o = &out->outcome[n];

		printf("#   may be: vector %#x error %#x cr2 %#llx frame %u\n", o->vector, o->error,
		       (unsigned long long)o->cr2, o->frame);
	}
	print_entries(m, out);
}

/* The tables at the end, but for the stub's own entries at the begin of each. */
static void compare_tables(struct judge *j, const struct machine *mc, const struct script *s,
			   uint64_t number, const struct model *m)
{
	unsigned int size = entry_size(m->paging), t, i;

	for (t = 0; t < NR_TABLES; t++) {
		for (i = 0; i < SLOTS; i++) {
			const struct entry *e = &m->entry[t][i];
			uint64_t got = 0;

			memcpy(&got, machine_memory(mc, entry_gpa(m->paging, t, i)), size);
			if (((got ^ e->value) & ~e->unsure) && differs(j, s, number))
				printf("#   at the end table %u, slot %u is %#llx, not %#llx (unsure: %#llx)\n",
				       t, i, (unsigned long long)got, (unsigned long long)e->value,
				       (unsigned long long)e->unsure);
		}
	}
}

void judge(struct judge *j, const struct machine *mc, const struct script *s, uint64_t number,
	   bool covering)
{
	unsigned int i, done[MAX_CPUS] = { 0 };
	static struct outcomes out;
	static struct model m;

	m = s->start;
	for (i = 0; i < s->steps; i++) {
		unsigned int cpu = s->cpu[i], n = done[cpu]++;
		const struct op *op = &s->op[cpu][n];
		struct result r = *machine_result(mc, cpu, n);

		/* QEMU's CPU leaves P out of the error code for a reserved bit. */
		if (j->lacks_p && r.error & PFERR_RSVD)
			r.error |= PFERR_P;
		if (!model_op(&m, cpu, op, &r, &out)) {
			if (differs(j, s, number))
				print_op(&m, cpu, n, op, &r, &out);
			/* What follows hangs on it. */
			return;
		}
		if (covering && is_access(op->kind))
			cover(&m, op, &out);
	}
	compare_tables(j, mc, s, number, &m);
}

void judge_lost(struct judge *j, const struct script *s, uint64_t number)
{
	if (differs(j, s, number))
		printf("#   the guest is lost\n");
}
