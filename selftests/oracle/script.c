// SPDX-License-Identifier: GPL-2.0-only
/* Random page tables, and what is done with them. */
#include <string.h>

#include "oracle.h"
#include "x86.h"

#define NR_ROOTS	2
#define NR_ADDRESSES	12
/* Of the ops of a vCPU; a step may have some thirty, and there are turns. */
#define NR_STEPS	960

struct gen {
	struct script *s;
	struct model now;
	const struct features *have;
	uint64_t random;
	uint64_t address[NR_ADDRESSES];
	unsigned int cpu, turn;
};

static uint32_t rnd(struct gen *g, uint32_t n)
{
	g->random ^= g->random >> 12;
	g->random ^= g->random << 25;
	g->random ^= g->random >> 27;
	return (g->random * 0x2545f4914f6cdd1dULL >> 32) % n;
}

static bool chance(struct gen *g, unsigned int percent)
{
	return rnd(g, 100) < percent;
}

/* ------------------------------ tables ------------------------------ */

/* The level at which a table is mostly used: two roots, and the more the lower. */
static unsigned int level_of(enum paging paging, unsigned int table)
{
	static const uint8_t levels[NR_PAGING][NR_TABLES] = {
		[PAGING_OFF] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 },
		[PAGING_32] = { 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 },
		[PAGING_PAE] = { 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1 },
		[PAGING_4] = { 4, 4, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1 },
		[PAGING_5] = { 5, 5, 4, 4, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1 },
	};

	return levels[paging][table];
}

static uint64_t table_gpa(unsigned int table)
{
	return TABLES + table * 4096;
}

static uint64_t random_table(struct gen *g, unsigned int level)
{
	unsigned int table;

	do {
		table = rnd(g, NR_TABLES);
	} while (level_of(g->now.paging, table) != level && !chance(g, 3));
	return table_gpa(table);
}

/* Where a leaf of that level may lead: frames below and above 4 GiB, now and then a table. */
static uint64_t leaf_address(struct gen *g, unsigned int level)
{
	bool narrow = g->now.paging == PAGING_32, high = chance(g, 40);
	uint64_t base;

	if (level == 3)
		return 0;
	if (level == 2 && narrow)
		return DATA | (high ? BIT(13) : 0);
	base = level == 1 ? rnd(g, DATA_FRAMES) * 4096ULL : chance(g, 50) ? BIT(21) : 0;
	base += DATA + (high && !narrow ? HIGH : 0);
	return level == 1 && chance(g, 8) ? random_table(g, 1 + rnd(g, 2)) : base;
}

static uint64_t reserved_bit(struct gen *g, unsigned int level, bool large)
{
	enum paging paging = g->now.paging;
	unsigned int width = g->have->maxphyaddr;

	if (paging == PAGING_32)
		return large ? BIT(21) : 0;
	if (paging == PAGING_PAE && chance(g, 40))
		return BIT(52 + rnd(g, 11));
	if (large && chance(g, 40))
		return BIT(13 + rnd(g, 9 * (level - 1) - 1));
	if (level > 3 && chance(g, 40))
		return PTE_PS;
	return width < 52 ? BIT(width + rnd(g, 52 - width)) : 0;
}

static uint64_t new_entry(struct gen *g, unsigned int level)
{
	enum paging paging = g->now.paging;
	unsigned int open;
	bool large = (level == 2 && chance(g, 25)) ||
		     (level == 3 && paging >= PAGING_4 && g->have->gbpages && chance(g, 20));
	uint64_t pte = PTE_P;

	open = level == 1 || large ? 62 : 87;
	pte |= level == 1 || large ? leaf_address(g, level) : random_table(g, level - 1);
	pte |= chance(g, open) ? PTE_W : 0;
	pte |= chance(g, open) ? PTE_U : 0;
	pte |= chance(g, 50) ? PTE_A : 0;
	pte |= chance(g, 50) ? PTE_D : 0;
	/* AMD reserves that bit at the top. */
	pte |= level < 4 && chance(g, 25) ? PTE_G : 0;
	pte |= large ? PTE_PS : 0;
	pte |= rnd(g, 8) << 9;
	if (paging != PAGING_32)
		pte |= chance(g, 100 - open) ? PTE_NX : 0;
	/* Bits that are ignored, and protection keys. */
	if (paging >= PAGING_4)
		pte |= (uint64_t)rnd(g, 2048) << 52;
	if (chance(g, 5))
		pte |= reserved_bit(g, level, large);
	if (chance(g, 8))
		pte &= ~PTE_P;
	return paging == PAGING_32 ? (uint32_t)pte : pte;
}

static void make_tables(struct gen *g)
{
	struct model *m = &g->now;
	unsigned int t, i;

	for (t = 0; t < NR_TABLES; t++) {
		unsigned int level = level_of(m->paging, t);

		for (i = 0; i < SLOTS; i++)
			m->entry[t][i].value = new_entry(g, level == 3 && m->paging == PAGING_PAE ?
							 2 : level);
	}
	if (m->paging != PAGING_PAE)
		return;
	for (t = 0; t < NR_ROOTS; t++) {
		m->pdpte[t][0] = HOME_PD | PTE_P;
		for (i = 1; i < 4; i++)
			m->pdpte[t][i] = chance(g, 90) ? random_table(g, 2) | PTE_P : 0;
	}
}

/* ------------------------------ registers ------------------------------ */

static uint64_t random_cr0(struct gen *g)
{
	return CR0_PE | CR0_MP | CR0_ET | CR0_NE | (chance(g, 70) ? CR0_WP : 0) |
	       (g->now.paging ? CR0_PG : 0);
}

/* Changes of CR4 load PDPTEs, and those with an accessed bit can't be loaded. */
static bool cr4_is_kept(const struct gen *g)
{
	return g->now.paging == PAGING_PAE && g->have->marks_pdptes;
}

static uint64_t random_cr4(struct gen *g)
{
	enum paging paging = g->now.paging;
	uint64_t cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;

	cr4 |= paging >= PAGING_PAE ? CR4_PAE : 0;
	cr4 |= paging == PAGING_5 ? CR4_LA57 : 0;
	cr4 |= paging == PAGING_32 && chance(g, 80) ? CR4_PSE : 0;
	cr4 |= chance(g, 50) && !cr4_is_kept(g) ? CR4_PGE : 0;
	cr4 |= g->have->smep && chance(g, 30) ? CR4_SMEP : 0;
	cr4 |= g->have->smap && chance(g, 30) ? CR4_SMAP : 0;
	cr4 |= paging >= PAGING_4 && g->have->pku && chance(g, 30) ? CR4_PKE : 0;
	return cr4;
}

static uint64_t random_efer(struct gen *g)
{
	uint64_t efer = g->now.paging >= PAGING_4 ? EFER_LME | EFER_LMA : 0;

	return efer | (g->have->nx && chance(g, 85) ? EFER_NX : 0);
}

static void make_cpu(struct gen *g, struct cpu *cpu)
{
	cpu->cr0 = random_cr0(g);
	cpu->cr3 = table_gpa(rnd(g, NR_ROOTS));
	cpu->cr4 = random_cr4(g);
	cpu->efer = random_efer(g);
}

/* ------------------------------ ops ------------------------------ */

static struct op *append(struct gen *g, unsigned int cpu, unsigned int kind)
{
	struct op *op = &g->s->op[cpu][g->s->nr[cpu]++];

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	g->s->cpu[g->s->steps++] = cpu;
	return op;
}

static void done(struct gen *g, const struct op *op)
{
	struct outcomes out;

	model_op(&g->now, g->cpu, op, NULL, &out);
}

static uint64_t random_address(struct gen *g)
{
	unsigned int level, levels = paging_levels(g->now.paging), shift = 12;
	uint64_t gva = 0;

	if (!levels)
		return (chance(g, 5) ? TABLES : DATA) + rnd(g, NR_TABLES) * 4096;
	for (level = 1; level <= levels; level++) {
		unsigned int index = slot_index(g->now.paging, rnd(g, SLOTS));

		if (g->now.paging == PAGING_PAE && level == 3)
			index = 1 + rnd(g, 3);
		gva |= (uint64_t)index << shift;
		shift += g->now.paging == PAGING_32 ? 10 : 9;
	}
	if (g->now.paging >= PAGING_4 && gva >> (shift - 1) & 1)
		gva |= ~0ULL << shift;
	return gva;
}

static uint64_t some_address(struct gen *g)
{
	return chance(g, 85) ? g->address[rnd(g, NR_ADDRESSES)] : random_address(g);
}

/* May it be done, whatever way it goes? */
static bool harmless(struct gen *g, const struct op *op)
{
	struct outcomes out;
	unsigned int i, ok = 0;

	model_access(&g->now, g->cpu, op, &out);
	if (out.bad)
		return false;
	if (op->kind % OP_USER == OP_EXEC)
		return !out.bad_exec;
	if (op->kind % OP_USER == OP_READ)
		return true;
	for (i = 0; i < out.nr; i++) {
		unsigned int frame = out.outcome[i].frame;

		if (out.outcome[i].vector != 0xffff)
			continue;
		if (out.nr > 1 && (ok++ || frame >= NR_FRAMES || g->now.word[frame].two))
			return false;
		/* Wherever the word lies there is a table's third or first entry. */
		if (frame >= NR_FRAMES &&
		    !model_can_change(&g->now, frame - NR_FRAMES,
				      g->now.paging == PAGING_32 ? 0 : 2))
			return false;
	}
	return true;
}

static void access_at(struct gen *g, uint64_t address)
{
	bool noncanonical = g->now.paging >= PAGING_4 && chance(g, 1);
	unsigned int offset[] = { WORD_OFFSET, WORD_OFFSET, CODE_OFFSET };
	struct op op = { .kind = rnd(g, OP_STORE1), .ac = chance(g, 40) };

	op.addr = address + offset[op.kind % OP_USER];
	if (noncanonical)
		op.addr ^= BIT(62);
	/* No two are alike, and none is a present entry. */
	op.value = 0x10000000 | g->now.time << 8;
	if (!harmless(g, &op))
		return;
	*append(g, g->cpu, op.kind) = op;
	g->s->accesses++;
	done(g, &op);
}

static void flush_address(struct gen *g, uint64_t address)
{
	struct op *op = append(g, g->cpu, OP_INVLPG);

	op->addr = address;
	done(g, op);
}

static void new_keys(struct gen *g)
{
	struct op *op;

	if (!(g->now.cpu[g->cpu].cr4 & CR4_PKE))
		return;
	op = append(g, g->cpu, OP_PKRU);
	/* Half of the keys refuse nothing; key 0 is that of the user's stack. */
	op->value = (rnd(g, 0x10000) << 16 | rnd(g, 0x10000)) &
		    (rnd(g, 0x10000) << 16 | rnd(g, 0x10000)) & ~3u;
	done(g, op);
}

static void control(struct gen *g)
{
	struct op *op = append(g, g->cpu, OP_CONTROL);

	op->addr = random_cr0(g);
	op->ac = cr4_is_kept(g);
	op->value = op->ac ? g->now.cpu[g->cpu].cr4 : random_cr4(g);
	op->more = random_efer(g);
	done(g, op);
	new_keys(g);
}

static void load_cr3(struct gen *g)
{
	struct op *op;

	if (g->now.cpu[g->cpu].nr_old_roots == MAX_OLD) {
		control(g);
		return;
	}
	op = append(g, g->cpu, OP_CR3);
	op->addr = table_gpa(rnd(g, NR_ROOTS));
	done(g, op);
}

/* One of the entries that @address is translated by now, if there is one. */
static bool entry_of(struct gen *g, uint64_t address, unsigned int *table, unsigned int *slot)
{
	struct op op = { .addr = address, .kind = OP_READ };
	struct outcomes out;
	unsigned int i;

	model_access(&g->now, g->cpu, &op, &out);
	if (!out.nr_steps)
		return false;
	i = rnd(g, out.nr_steps);
	*table = out.step[i].table;
	*slot = out.step[i].slot;
	return true;
}

static uint64_t changed(struct gen *g, uint64_t pte, unsigned int table)
{
	static const uint64_t bit[] = {
		PTE_P, PTE_W, PTE_W, PTE_U, PTE_U, PTE_A, PTE_D, PTE_G, PTE_NX,
	};
	unsigned int level = level_of(g->now.paging, table);
	unsigned int n = g->now.paging == PAGING_32 ? 8 : 9;
	uint64_t flip;

	if (g->now.paging == PAGING_PAE && level == 3)
		level = 2;
	if (chance(g, 35))
		return new_entry(g, level);
	if (chance(g, 25))
		return pte & ~(PTE_A | PTE_D);
	flip = bit[rnd(g, n)];
	return flip == PTE_G && level >= 4 ? pte : pte ^ flip;
}

static void store_entry(struct gen *g, unsigned int table, unsigned int slot)
{
	uint64_t old = g->now.entry[table][slot].value, new = changed(g, old, table);
	uint64_t gpa = entry_gpa(g->now.paging, table, slot);
	struct op *op;

	if (g->now.paging >= PAGING_4 && chance(g, 70)) {
		op = append(g, g->cpu, OP_STORE8);
	} else if (!((old ^ new) & ~0xffULL) && chance(g, 50)) {
		op = append(g, g->cpu, OP_STORE1);
	} else if (!((old ^ new) & ~0xffffULL) && chance(g, 50)) {
		op = append(g, g->cpu, OP_STORE2);
	} else {
		if (g->now.paging != PAGING_32 && old >> 32 != new >> 32) {
			op = append(g, g->cpu, OP_STORE4);
			op->addr = gpa + 4;
			op->value = new >> 32;
			done(g, op);
			if (!model_can_change(&g->now, table, slot))
				return;
		}
		op = append(g, g->cpu, chance(g, 50) ? OP_STORE4 : OP_LOCKED4);
	}
	op->addr = gpa;
	op->value = new;
	done(g, op);
}

static void change(struct gen *g)
{
	uint64_t address = some_address(g);
	unsigned int table, slot;

	if (!g->now.paging || !entry_of(g, address, &table, &slot)) {
		table = rnd(g, NR_TABLES);
		slot = rnd(g, SLOTS);
	}
	if (!model_can_change(&g->now, table, slot)) {
		control(g);
		return;
	}
	store_entry(g, table, slot);
	if (chance(g, 60))
		flush_address(g, address);
	else if (chance(g, 30))
		load_cr3(g);
	if (g->now.paging || chance(g, 10))
		access_at(g, address);
}

static void look_at_entry(struct gen *g)
{
	unsigned int table, slot;
	struct op *op;

	if (!g->now.paging || !entry_of(g, some_address(g), &table, &slot))
		return;
	op = append(g, g->cpu, OP_LOAD4);
	op->addr = entry_gpa(g->now.paging, table, slot);
}

/* The other vCPU goes on. */
static void pass_turn(struct gen *g)
{
	struct op *op = append(g, g->cpu, g->have->two_cpus ? OP_SPIN : OP_YIELD);

	/* Turns count up: the other's begins, and after it ours. */
	op->value = ++g->turn;
	op->more = g->turn + 1;
	g->cpu ^= 1;
}

static void one_step(struct gen *g)
{
	unsigned int r = rnd(g, 100), n;

	if (r < 62)
		for (n = 1 + rnd(g, 28); n; n--)
			access_at(g, some_address(g));
	else if (r < 84)
		change(g);
	else if (r < 91)
		flush_address(g, some_address(g));
	else if (r < 93)
		load_cr3(g);
	else if (r < 94)
		control(g);
	else if (r < 98)
		look_at_entry(g);
	else
		new_keys(g);
	if (g->s->cpus == 2 && chance(g, 10))
		pass_turn(g);
}

static enum paging random_paging(struct gen *g)
{
	enum paging paging;

	if (chance(g, 4))
		return PAGING_OFF;
	do {
		paging = PAGING_32 + rnd(g, 4);
	} while (paging == PAGING_5 && !g->have->la57);
	return paging;
}

static void begin(struct gen *g)
{
	struct model *m = &g->now;
	unsigned int i;

	m->have = g->have;
	m->paging = random_paging(g);
	make_tables(g);
	for (i = 0; i < g->s->cpus; i++)
		make_cpu(g, &m->cpu[i]);
	if (g->s->cpus == 1)
		m->cpu[1].all = ~0u;
	for (i = 0; i < NR_FRAMES; i++)
		m->word[i].value = frame_tag(i);
	for (i = 0; i < NR_ADDRESSES; i++)
		g->address[i] = random_address(g);
	g->s->start = *m;
	if (g->s->cpus == 2 && g->have->two_cpus)
		append(g, 1, OP_SPIN)->more = 1;
	/* What is there from other scripts nobody knows. */
	for (g->cpu = g->s->cpus; g->cpu--;)
		new_keys(g);
	g->cpu = 0;
}

static void end(struct gen *g)
{
	append(g, g->cpu, OP_END);
	/* The other one waits for its turn, or has not begun. */
	if (g->s->cpus == 2)
		append(g, g->cpu ^ 1, OP_END);
}

void script_make(struct script *s, const struct features *have, uint64_t seed, uint64_t number)
{
	static struct gen g;
	unsigned int i;

	memset(&g, 0, sizeof(g));
	memset(s, 0, offsetof(struct script, op));
	g.s = s;
	g.have = have;
	g.random = (seed + 1) * 0x9e3779b97f4a7c15ULL ^ (number + 1) * 0xd1342543de82ef95ULL;
	for (i = 0; i < 8; i++)
		rnd(&g, 1);
	s->cpus = 1 + chance(&g, 40);
	begin(&g);
	while (s->nr[0] < NR_STEPS && s->nr[1] < NR_STEPS)
		one_step(&g);
	end(&g);
}
