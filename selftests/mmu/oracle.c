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

/* With fewer accesses some cells may be empty by chance. */
#define COVERED_BY	200000

static struct features have;
static struct script script;
static const char *only;
static bool live;

struct mode {
	uint32_t id;
	struct machine *machine;
	struct judge judge;
};

/* Goes from one to another while it runs. */
#define LIVE	(UMBRA_MMU_SHADOW_EAGER + 1)

static struct mode modes[] = {
	{ UMBRA_MMU_HARDWARE, .judge.name = "hardware" },
	{ UMBRA_MMU_SHADOW_LAZY, .judge.name = "shadow-lazy" },
	{ UMBRA_MMU_SHADOW_EAGER, .judge.name = "shadow-eager" },
	{ UMBRA_MMU_AUTO, .judge.name = "the device's own" },
	{ LIVE, .judge.name = "live" },
};

/* ------------------------------ one script in one mode ------------------------------ */

static void make_machine(struct mode *mode)
{
	bool changes = mode->id == LIVE;

	mode->machine = machine_new(changes ? UMBRA_MMU_AUTO : mode->id);
	if (changes)
		machine_switch(mode->machine, machine_modes());
	/* QEMU's CPU leaves P out of the error code for a reserved bit. */
	mode->judge.lacks_p = (changes || mode->id == UMBRA_MMU_HARDWARE) && on_tcg();
}

static void run_script(struct mode *mode, uint64_t number, bool first)
{
	if (!mode->machine)
		make_machine(mode);
	if (machine_run(mode->machine, &script)) {
		judge(&mode->judge, mode->machine, &script, number, first);
		audit_shadows();
		return;
	}
	judge_lost(&mode->judge, &script, number);
	machine_free(mode->machine);
	mode->machine = NULL;
}

/* ------------------------------ all of them ------------------------------ */

/* Bits of the modes to run: those that the device has, if it is Umbra's. */
static uint32_t modes_here(void)
{
	uint32_t here = machine_modes();
	unsigned int i;

	if (!here)
		here = 1u << UMBRA_MMU_AUTO;
	else if (live && here & (here - 1))
		here |= 1u << LIVE;
	for (i = 0; only && i < ARRAY_SIZE(modes); i++) {
		if (strcmp(only, modes[i].judge.name))
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
	unsigned long differences = 0;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct judge *j = &modes[i].judge;

		if (!(here >> modes[i].id & 1))
			continue;
		differences += j->differences;
		printf("%sok %u %s gives what the walker gives\n", j->differences ? "not " : "",
		       ++nr, j->name);
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
	printf("Usage: oracle [--seed S] [--count N] [--script NUMBER] [--mode NAME] [--live]\n"
	       "N accesses ($ORACLE_COUNT or some 20000 by default), each in every mode that the device has.\n"
	       "--mode leaves the others out. --live adds one that goes among them while it runs.\n"
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
		{ "live", no_argument, NULL, 'l' },
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
		case 'l':
			live = true;
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
