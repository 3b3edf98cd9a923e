// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cases that selftests/emul/against_cpu runs against a CPU, run by the emulator alone: here
 * the sanitizers and gcov see them. What a CPU would say is that test's business.
 *
 * usage: emul_cases [count [seed]]
 */
#include <stdlib.h>

#include "../emul/gen_priv.h"
#include "../emul/world.h"
#include "model.h"
#include "tap.h"

static struct model m;
static u8 data[DATA_PAGES * 4096], code[(CODE_PAGES + 1) * 4096], gdt[4096];

static void map_pages(const struct gen_case *c, u32 first, u32 last, u32 how)
{
	model_map(&m, gen_data_la(c) + first * 4096, data + first * 4096, (last - first + 1) * 4096, how);
}

/* As the guest of against_cpu has them; the supervisor's page hides from others. */
static void map_memory(const struct gen_case *c)
{
	bool low = gen_paragraphs(c);

	model_map(&m, low ? LOW_CODE_LA : CODE_LA, code, CODE_PAGES * 4096, MODEL_RO);
	model_map(&m, world_table(c, true), gdt, sizeof(gdt), 0);
	if (!gen_paged(c)) {
		map_pages(c, 0, DATA_PAGES - 1, 0);
		return;
	}
	map_pages(c, 0, DATA_ABSENT - 1, 0);
	map_pages(c, DATA_ABSENT + 1, DATA_RO - 1, 0);
	map_pages(c, DATA_RO, DATA_RO, MODEL_RO);
	map_pages(c, DATA_RO + 1, c->cpl ? DATA_KERNEL - 1 : DATA_KERNEL, 0);
	map_pages(c, DATA_KERNEL + 1, DATA_ABSENT2 - 1, 0);
	map_pages(c, DATA_ABSENT2 + 1, DATA_PAGES - 1, 0);
}

static void set_state(const struct gen_case *c)
{
	u32 i;

	model_init(&m, c->mode);
	map_memory(c);
	memcpy(m.e.gpr, c->gpr, sizeof(c->gpr));
	m.e.rip = c->rip;
	m.e.rflags = c->rflags | (c->step ? EMUL_TF : 0);
	m.e.cpl = c->cpl;
	for (i = 0; i < 16; i++)
		memcpy(m.xmm[i], c->vec[i], 32);
	for (i = 0; i < 6; i++)
		gen_segment(c, i, &m.seg[i]);
	m.dt[EMUL_GDTR].base = world_table(c, true);
	m.dt[EMUL_GDTR].limit = world_table_limit(c, true);
	m.cr[0] = c->cr0;
	m.cr[3] = c->cr3;
	m.cr[4] = c->cr4;
	memcpy(code + gen_code_at(c), c->code, GEN_CODE);
	for (i = 0; i < c->nr_patches; i++)
		memcpy(data + c->patch[i].offset, c->patch[i].bytes, c->patch[i].n);
}

/* Whether the emulator kept what it promises of any instruction. */
static const char *run_case(const struct gen_case *c)
{
	int r;

	memcpy(data, gen_data, sizeof(data));
	set_state(c);
	r = model_run(&m, NULL, 0);
	if (r == UMBRA_EMUL_UNHANDLEABLE)
		return "not known";
	if (r != UMBRA_EMUL_OK && m.e.rip != c->rip)
		return "rip moved";
	if (r == UMBRA_EMUL_OK && c->len && m.e.len != c->len)
		return "another length";
	if (r == UMBRA_EMUL_OK && m.e.trap_step != c->step && !m.e.int_shadow)
		return "the step is wrong";
	return NULL;
}

int main(int argc, char **argv)
{
	u32 count = argc > 1 ? strtoul(argv[1], NULL, 0) : 60000, i, done = 0;
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	const char *bad = NULL;
	struct gen_case c;

	tap_begin();
	tap_note("seed %llu", (unsigned long long)seed);
	gen_tables();
	gen_pattern(seed);
	gen_strict = true;
	gen_guards = GUARD_TSD | GUARD_UMIP | GUARD_SMEP | GUARD_SMAP | GUARD_PKE;
	for (i = 0; i < NR_DESC; i++)
		memcpy(gdt + i * 8, &gen_gdt[i].descriptor, 8);
	for (i = 0; i < count && !bad; i++) {
		if (!gen_make(&c, seed, i))
			continue;
		done++;
		bad = run_case(&c);
		if (bad)
			tap_note("case %u, %s: %s", i,
				 gen_name(gen_leaves[c.leaf].op->exec), bad);
	}
	tap_ok(!bad && done > count / 2, "%u cases of all %u rows", done, gen_nr_leaves);
	return tap_end();
}
