// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random page tables and random accesses: each mode against a walker in software, and so
 * against each other. After a flush there is one thing that an access can end in; before
 * it, what the tables were since the last one.
 */
#include <getopt.h>
#include <linux/umbra.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../oracle/oracle.h"
#include "vm.h"
#include "x86.h"

#define MAX_PRINTED	10
/* With fewer accesses some cells may be empty by chance. */
#define COVERED_BY	200000

static struct features have;
static struct script script;
static unsigned long differences;
static const char *only;

struct mode {
	const char *name;
	uint32_t id;
	struct machine *machine;
	unsigned long differences;
};

static struct mode modes[] = {
	{ "hardware", UMBRA_MMU_HARDWARE },
	{ "shadow-lazy", UMBRA_MMU_SHADOW_LAZY },
	{ "shadow-eager", UMBRA_MMU_SHADOW_EAGER },
	{ "the device's own", UMBRA_MMU_AUTO },
};

static const char *const kind_name[] = {
	"read", "write", "exec", "user read", "user write", "user exec", "store1", "store2",
	"store4", "store8", "locked4", "load4", "invlpg", "cr3", "control", "pkru",
};
_Static_assert(ARRAY_SIZE(kind_name) == OP_YIELD, "the rest give no result");

/* ------------------------------ differences ------------------------------ */

static bool differs(struct mode *mode, uint64_t number)
{
	differences++;
	if (mode->differences++ >= MAX_PRINTED)
		return false;
	printf("# %s differs in script %llu, %s:\n", mode->name, (unsigned long long)number,
	       paging_name[script.start.paging]);
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

/* ------------------------------ one script in one mode ------------------------------ */

/* The tables at the end, but for the stub's own entries at the begin of each. */
static void compare_tables(struct mode *mode, uint64_t number, const struct model *m)
{
	unsigned int size = entry_size(m->paging), t, i;

	for (t = 0; t < NR_TABLES; t++) {
		for (i = 0; i < SLOTS; i++) {
			const struct entry *e = &m->entry[t][i];
			uint64_t got = 0;

			memcpy(&got, machine_memory(mode->machine, entry_gpa(m->paging, t, i)), size);
			if (((got ^ e->value) & ~e->unsure) && differs(mode, number))
				printf("#   at the end table %u, slot %u is %#llx, not %#llx (unsure: %#llx)\n",
				       t, i, (unsigned long long)got, (unsigned long long)e->value,
				       (unsigned long long)e->unsure);
		}
	}
}

static void compare(struct mode *mode, uint64_t number, bool first)
{
	bool qemu = mode->id == UMBRA_MMU_HARDWARE && on_tcg();
	unsigned int i, done[MAX_CPUS] = { 0 };
	static struct outcomes out;
	static struct model m;

	m = script.start;
	for (i = 0; i < script.steps; i++) {
		unsigned int cpu = script.cpu[i], n = done[cpu]++;
		const struct op *op = &script.op[cpu][n];
		struct result r = *machine_result(mode->machine, cpu, n);

		/* QEMU's CPU leaves P out of the error code for a reserved bit. */
		if (qemu && r.error & PFERR_RSVD)
			r.error |= PFERR_P;
		if (!model_op(&m, cpu, op, &r, &out)) {
			if (differs(mode, number))
				print_op(&m, cpu, n, op, &r, &out);
			/* What follows hangs on it. */
			return;
		}
		if (first && is_access(op->kind))
			cover(&m, op, &out);
	}
	compare_tables(mode, number, &m);
}

static void run_script(struct mode *mode, uint64_t number, bool first)
{
	if (!mode->machine)
		mode->machine = machine_new(mode->id);
	if (machine_run(mode->machine, &script)) {
		compare(mode, number, first);
		return;
	}
	if (differs(mode, number))
		printf("#   the guest is lost\n");
	machine_free(mode->machine);
	mode->machine = NULL;
}

/* ------------------------------ all of them ------------------------------ */

/* Bits of the modes to run: those that the device has, if it is Umbra's. */
static uint32_t modes_here(void)
{
	uint32_t here = 1u << UMBRA_MMU_AUTO;
	struct umbra_info info;
	unsigned int i;
	int fd;

	if (on_umbra()) {
		fd = dev_open();
		ASSERT(!ioctl(fd, UMBRA_GET_INFO, &info));
		close(fd);
		here = info.modes & ~(1u << UMBRA_MMU_AUTO);
	}
	for (i = 0; only && i < ARRAY_SIZE(modes); i++) {
		if (strcmp(only, modes[i].name))
			here &= ~(1u << modes[i].id);
	}
	return here;
}

static unsigned long run_all(uint64_t seed, unsigned long count, uint64_t number, bool one)
{
	uint32_t here = modes_here();
	unsigned long accesses = 0;
	unsigned int i;

	while (accesses < count) {
		bool first = true;

		script_make(&script, &have, seed, number);
		for (i = 0; i < ARRAY_SIZE(modes); i++) {
			if (!(here >> modes[i].id & 1))
				continue;
			run_script(&modes[i], number, first);
			first = false;
		}
		accesses += script.accesses;
		number++;
		if (one)
			break;
	}
	return accesses;
}

static int verdict(uint64_t seed, unsigned long accesses)
{
	uint32_t here = modes_here();
	unsigned int i, nr = 0, empty = cover_print(&have);
	bool covered = !empty || accesses < COVERED_BY;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!(here >> modes[i].id & 1))
			continue;
		printf("%sok %u %s gives what the walker gives\n",
		       modes[i].differences ? "not " : "", ++nr, modes[i].name);
		if (modes[i].machine)
			machine_free(modes[i].machine);
	}
	printf("%sok %u walks ended in every way at every level%s\n", covered ? "" : "not ", ++nr,
	       empty && covered ? " # SKIP too few accesses" : "");
	printf("1..%u\n# %lu accesses, %lu differences, seed %llu\n", nr, accesses, differences,
	       (unsigned long long)seed);
	return differences || !covered;
}

static int usage(int status)
{
	printf("Usage: oracle [--seed S] [--count N] [--script NUMBER] [--mode NAME]\n"
	       "N accesses ($ORACLE_COUNT or some 20000 by default), each in every mode that the device has.\n"
	       "--mode leaves the others out.\n"
	       "--script runs the one that a report names, with the report's seed.\n");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'c' },
		{ "script", required_argument, NULL, 'n' },
		{ "mode", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	unsigned long count = ktap_env("ORACLE_COUNT", 20000 / ktap_env("KTAP_SLOWER", 1));
	uint64_t seed = 1, number = 0;
	bool one = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			count = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			number = strtoull(optarg, NULL, 0);
			one = true;
			break;
		case 'm':
			only = optarg;
			break;
		default:
			return usage(c == 'h' ? 0 : 64);
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	machine_features(&have);
	return verdict(seed, run_all(seed, count, number, one)) ? KSFT_FAIL : KSFT_PASS;
}
