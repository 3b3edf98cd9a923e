// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a CPU may make of an access: a walk of the tables that remembers what their
 * entries were. A CPU may use an old entry until it has flushed what it was used for,
 * if the entry was present; so the walk goes every way that is open, and one way is
 * open after a flush.
 */
#include <string.h>

#include "oracle.h"
#include "x86.h"

#define ADDRESS		0x000ffffffffff000ULL

const char *const paging_name[NR_PAGING] = {
	"no paging", "32-bit", "PAE", "4-level", "5-level",
};

unsigned int paging_levels(enum paging paging)
{
	static const uint8_t levels[] = { 0, 2, 3, 4, 5 };

	return levels[paging];
}

unsigned int entry_size(enum paging paging)
{
	return paging == PAGING_32 ? 4 : 8;
}

/* 6 and 7 lie in the frames of data where a page of 1 GiB begins at 0. */
unsigned int slot_index(enum paging paging, unsigned int slot)
{
	static const uint16_t narrow[] = { 16, 17, 512, 1023 }, wide[] = { 6, 7, 8, 511 };

	return paging == PAGING_32 ? narrow[slot] : wide[slot];
}

uint64_t entry_gpa(enum paging paging, unsigned int table, unsigned int slot)
{
	return TABLES + table * 4096 + slot_index(paging, slot) * entry_size(paging);
}

bool is_access(unsigned int kind)
{
	return kind < OP_STORE1;
}

static bool is_long(const struct model *m)
{
	return m->paging >= PAGING_4;
}

static unsigned int index_of(const struct model *m, uint64_t gva, unsigned int level)
{
	if (m->paging == PAGING_32)
		return gva >> (12 + 10 * (level - 1)) & 1023;
	return gva >> (12 + 9 * (level - 1)) & 511;
}

static int slot_of(const struct model *m, unsigned int index)
{
	int i;

	for (i = 0; i < SLOTS; i++) {
		if (slot_index(m->paging, i) == index)
			return i;
	}
	return -1;
}

/* ------------------------------ entries ------------------------------ */

static uint64_t bits(unsigned int low, unsigned int high)
{
	return (~0ULL >> (63 - high)) & (~0ULL << low);
}

static bool is_leaf(const struct model *m, const struct cpu *cpu, uint64_t pte, unsigned int level)
{
	if (level == 1)
		return true;
	if (m->paging == PAGING_32)
		return pte & PTE_PS && cpu->cr4 & CR4_PSE;
	return pte & PTE_PS && level <= (is_long(m) && m->have->gbpages ? 3 : 2);
}

static bool is_reserved(const struct model *m, const struct cpu *cpu, uint64_t pte,
			unsigned int level)
{
	unsigned int width = m->have->maxphyaddr;
	uint64_t rsvd = 0;

	if (m->paging == PAGING_32) {
		if (level == 1 || !is_leaf(m, cpu, pte, level))
			return false;
		return pte & (BIT(21) | (width < 40 ? bits(13 + width - 32, 20) : 0));
	}
	if (width < 52)
		rsvd |= bits(width, 51);
	if (m->paging == PAGING_PAE)
		rsvd |= bits(52, 62);
	if (!(cpu->efer & EFER_NX))
		rsvd |= PTE_NX;
	if (level > 1 && pte & PTE_PS)
		rsvd |= is_leaf(m, cpu, pte, level) ? bits(13, 12 + 9 * (level - 1) - 1) : PTE_PS;
	return pte & rsvd;
}

/* Where a leaf leads: a frame of data, or NR_FRAMES and more for a table; -1: neither. */
static int frame_at(uint64_t gpa)
{
	if (gpa >= DATA && gpa < DATA + DATA_FRAMES * 4096)
		return (gpa - DATA) >> 12;
	if (gpa >= HIGH + DATA && gpa < HIGH + DATA + DATA_FRAMES * 4096)
		return DATA_FRAMES + ((gpa - DATA - HIGH) >> 12);
	if (gpa >= TABLES && gpa < TABLES + NR_TABLES * 4096)
		return NR_FRAMES + ((gpa - TABLES) >> 12);
	return -1;
}

static uint64_t leaf_gpa(const struct model *m, uint64_t pte, unsigned int level, uint64_t gva)
{
	uint64_t size;

	if (m->paging == PAGING_32) {
		if (level == 1)
			return (pte & 0xfffff000) | (gva & 0xfff);
		return (pte & 0xffc00000) | (pte & bits(13, 20)) << 19 | (gva & 0x3fffff);
	}
	size = 1ULL << (12 + 9 * (level - 1));
	return (pte & ADDRESS & ~(size - 1)) | (gva & (size - 1));
}

/* ------------------------------ rights ------------------------------ */

bool model_denied(const struct cpu *cpu, unsigned int kind, bool ac, unsigned int rights)
{
	bool user = kind >= OP_USER;

	kind %= OP_USER;
	if (user && !(rights & ORACLE_U))
		return true;
	if (kind == OP_EXEC)
		return !(rights & ORACLE_X) ||
		       (!user && rights & ORACLE_U && cpu->cr4 & CR4_SMEP);
	if (kind == OP_WRITE && !(rights & ORACLE_W) && (user || cpu->cr0 & CR0_WP))
		return true;
	return !user && rights & ORACLE_U && cpu->cr4 & CR4_SMAP && !ac;
}

static bool key_denies(const struct model *m, const struct cpu *cpu, unsigned int kind,
		       unsigned int rights, uint64_t pte)
{
	unsigned int key = pte >> 59 & 15, refused = cpu->pkru >> (2 * key) & 3;
	bool user = kind >= OP_USER;

	kind %= OP_USER;
	if (!is_long(m) || !(cpu->cr4 & CR4_PKE) || !(rights & ORACLE_U) || kind == OP_EXEC)
		return false;
	return refused & 1 || (refused & 2 && kind == OP_WRITE && (user || cpu->cr0 & CR0_WP));
}

static uint32_t error_code(const struct model *m, const struct cpu *cpu, unsigned int kind,
			   uint32_t why)
{
	if (kind % OP_USER == OP_WRITE)
		why |= PFERR_W;
	if (kind >= OP_USER)
		why |= PFERR_U;
	if (kind % OP_USER == OP_EXEC &&
	    (cpu->cr4 & CR4_SMEP || (m->paging != PAGING_32 && cpu->efer & EFER_NX)))
		why |= PFERR_I;
	return why;
}

/* ------------------------------ the walk ------------------------------ */

/**
 * struct search - a walk, every way
 * @all, @local: when the CPU has last forgotten @gva, and when unless it was global
 * @path: the entries in force on this way
 */
struct search {
	const struct model *m;
	const struct cpu *cpu;
	const struct op *op;
	struct outcomes *out;
	uint64_t gva;
	uint32_t all, local;
	struct step path[MAX_LEVELS];
	unsigned int steps;
};

#define NEVER	0xffffffff

static void take_step(struct outcomes *out, const struct step *step)
{
	unsigned int i;

	for (i = 0; i < out->nr_steps; i++) {
		if (!memcmp(&out->step[i], step, sizeof(*step)))
			return;
	}
	if (out->nr_steps == MAX_STEPS) {
		out->bad = true;
		return;
	}
	out->step[out->nr_steps++] = *step;
}

/* A way has come to its end. */
static void add(struct search *s, unsigned int level, unsigned int rights, struct outcome o)
{
	struct outcomes *out = s->out;
	unsigned int i;

	out->ways++;
	out->level = level;
	out->rights = rights;
	for (i = 0; i < s->steps; i++)
		take_step(out, &s->path[i]);
	for (i = 0; i < out->nr; i++) {
		if (!memcmp(&out->outcome[i], &o, sizeof(o)))
			return;
	}
	if (out->nr == MAX_OUTCOMES)
		out->bad = true;
	else
		out->outcome[out->nr++] = o;
}

static void fault(struct search *s, unsigned int level, unsigned int rights, uint32_t why)
{
	struct outcome o;

	memset(&o, 0, sizeof(o));
	o.vector = PF_VECTOR;
	o.error = error_code(s->m, s->cpu, s->op->kind, why);
	o.cr2 = s->gva;
	add(s, level, rights, o);
}

static void leaf(struct search *s, uint64_t pte, unsigned int level, unsigned int rights)
{
	int frame = frame_at(leaf_gpa(s->m, pte, level, s->gva));
	struct outcome o;

	if (key_denies(s->m, s->cpu, s->op->kind, rights, pte)) {
		fault(s, level, rights, PFERR_P | PFERR_PK);
	} else if (model_denied(s->cpu, s->op->kind, s->op->ac, rights)) {
		fault(s, level, rights, PFERR_P);
	} else if (frame < 0) {
		s->out->bad = true;
	} else {
		if (frame >= NR_FRAMES)
			s->out->bad_exec = true;
		memset(&o, 0, sizeof(o));
		o.vector = 0xffff;
		o.frame = frame;
		add(s, level, rights, o);
	}
}

/*
 * @stale: when the first of the old entries on this way was replaced; @global_only: it
 * begins at an old root.
 */
static void walk(struct search *s, uint64_t table, unsigned int level, unsigned int rights,
		 uint32_t stale, bool global_only);

/* One value that the entry has or had. @stale: when the oldest of this way was replaced. */
static void one_way(struct search *s, uint64_t pte, unsigned int level, unsigned int rights,
		    uint32_t stale, bool global_only)
{
	bool global;

	if (!(pte & PTE_P) || is_reserved(s->m, s->cpu, pte, level)) {
		if (stale > s->local && !global_only)
			fault(s, level, rights, pte & PTE_P ? PFERR_P | PFERR_RSVD : 0);
		return;
	}
	rights &= (pte & PTE_W ? ORACLE_W : 0) | (pte & PTE_U ? ORACLE_U : 0) |
		  (s->m->paging != PAGING_32 && pte & PTE_NX ? 0 : ORACLE_X);
	if (!is_leaf(s->m, s->cpu, pte, level)) {
		walk(s, pte & (s->m->paging == PAGING_32 ? 0xfffff000 : ADDRESS), level - 1,
		     rights, stale, global_only);
		return;
	}
	global = pte & PTE_G && s->cpu->cr4 & CR4_PGE;
	if (stale > (global ? s->all : s->local) && (global || !global_only))
		leaf(s, pte, level, rights);
}

static void walk(struct search *s, uint64_t table, unsigned int level, unsigned int rights,
		 uint32_t stale, bool global_only)
{
	int frame = frame_at(table), slot = slot_of(s->m, index_of(s->m, s->gva, level));
	const struct entry *e;
	unsigned int i;

	if (frame < 0 || slot < 0) {
		s->out->bad = true;
		return;
	}
	/* As entries, what is in a frame of data is not present. */
	if (frame < NR_FRAMES) {
		one_way(s, 0, level, rights, stale, global_only);
		return;
	}
	e = &s->m->entry[frame - NR_FRAMES][slot];
	s->path[s->steps++] = (struct step){ frame - NR_FRAMES, slot, level };
	one_way(s, e->value, level, rights, stale, global_only);
	s->steps--;
	for (i = 0; i < e->nr_old; i++) {
		uint64_t pte = e->old[i].value;

		if (e->old[i].time > s->all && !is_reserved(s->m, s->cpu, pte, level))
			one_way(s, pte, level, rights,
				e->old[i].time < stale ? e->old[i].time : stale, global_only);
	}
}

static void from_root(struct search *s, uint64_t cr3, uint32_t stale, bool global_only)
{
	unsigned int all = ORACLE_W | ORACLE_U | ORACLE_X, table = (cr3 - TABLES) >> 12;
	uint64_t pdpte;

	if (s->m->paging != PAGING_PAE) {
		walk(s, cr3, paging_levels(s->m->paging), all, stale, global_only);
		return;
	}
	pdpte = s->m->pdpte[table][s->gva >> 30 & 3];
	if (pdpte & PTE_P)
		walk(s, pdpte & ADDRESS, 2, all, stale, global_only);
	else if (!global_only)
		fault(s, 3, all, 0);
}

static bool canonical(const struct model *m, uint64_t gva)
{
	unsigned int shift = m->paging == PAGING_5 ? 7 : 16;

	return (uint64_t)((int64_t)(gva << shift) >> shift) == gva;
}

static void when_flushed(struct search *s)
{
	const struct cpu *cpu = s->cpu;
	unsigned int i;

	s->all = cpu->all;
	s->local = cpu->local;
	for (i = 0; i < MAX_FLUSHED && i < cpu->nr_flushed; i++) {
		if (cpu->flushed[i].value != s->gva >> 12)
			continue;
		if (cpu->flushed[i].time > s->all)
			s->all = cpu->flushed[i].time;
		if (cpu->flushed[i].time > s->local)
			s->local = cpu->flushed[i].time;
	}
}

void model_access(const struct model *m, unsigned int cpu, const struct op *op,
		  struct outcomes *out)
{
	struct search s = { .m = m, .cpu = &m->cpu[cpu], .op = op, .out = out, .gva = op->addr };
	struct outcome o;
	unsigned int i;
	int frame;

	memset(out, 0, offsetof(struct outcomes, outcome));
	memset(&o, 0, sizeof(o));
	if (m->paging == PAGING_OFF) {
		frame = frame_at(op->addr);
		o.vector = 0xffff;
		o.frame = frame;
		out->bad = frame < 0;
		out->bad_exec = frame >= NR_FRAMES;
		add(&s, 0, ORACLE_W | ORACLE_U | ORACLE_X, o);
		return;
	}
	if (is_long(m) && !canonical(m, op->addr)) {
		o.vector = GP_VECTOR;
		add(&s, 0, 0, o);
		return;
	}
	when_flushed(&s);
	from_root(&s, s.cpu->cr3, NEVER, false);
	for (i = 0; i < s.cpu->nr_old_roots; i++)
		from_root(&s, s.cpu->old_root[i].value, s.cpu->old_root[i].time, true);
}

/* ------------------------------ what ops do ------------------------------ */

bool model_can_change(const struct model *m, unsigned int table, unsigned int slot)
{
	return m->entry[table][slot].nr_old < MAX_OLD;
}

/* Old entries that no CPU can have any more. */
static void forget_old(struct model *m)
{
	uint32_t all = m->cpu[0].all < m->cpu[1].all ? m->cpu[0].all : m->cpu[1].all;
	unsigned int t, i, j, n;

	for (t = 0; t < NR_TABLES; t++) {
		for (i = 0; i < SLOTS; i++) {
			struct entry *e = &m->entry[t][i];

			for (j = n = 0; j < e->nr_old; j++) {
				if (e->old[j].time > all)
					e->old[n++] = e->old[j];
			}
			e->nr_old = n;
		}
	}
}

static void store(struct model *m, unsigned int table, unsigned int slot, uint64_t value,
		  uint64_t mask)
{
	struct entry *e = &m->entry[table][slot];
	uint64_t now = (e->value & ~mask) | (value & mask);

	if (now == e->value && !(e->unsure & mask))
		return;
	if (e->value & PTE_P)
		e->old[e->nr_old++] = (struct old){ e->value, m->time };
	e->value = now;
	e->unsure &= ~mask;
}

/* A store of @size bytes somewhere in the tables; what is no entry that is used stays 0. */
static void store_at(struct model *m, uint64_t gpa, uint64_t value, unsigned int size)
{
	unsigned int width = entry_size(m->paging), table = (gpa - TABLES) >> 12;
	unsigned int shift = gpa % width * 8;
	int slot = slot_of(m, (gpa & 4095) / width);
	uint64_t mask = size == 8 ? ~0ULL : (1ULL << size * 8) - 1;

	if (slot >= 0)
		store(m, table, slot, value << shift, mask << shift);
}

static uint64_t accessed_bits(const struct op *op, const struct step *step, unsigned int leaf)
{
	return PTE_A | (step->level == leaf && op->kind % OP_USER == OP_WRITE ? PTE_D : 0);
}

/* Accessed and dirty bits: sure after one way to success; else those of each way may be. */
static void mark(struct model *m, const struct op *op, const struct outcomes *out)
{
	bool sure = out->ways == 1 && out->outcome[0].vector == 0xffff;
	unsigned int i;

	for (i = 0; i < out->nr_steps; i++) {
		const struct step *step = &out->step[i];
		struct entry *e = &m->entry[step->table][step->slot];
		uint64_t set = accessed_bits(op, step, sure ? out->level : step->level);

		if (sure) {
			e->value |= set;
			e->unsure &= ~set;
		} else if (out->ways > 1) {
			e->unsure |= set & ~e->value;
		} else if (step->level > 1) {
			/* Of upper levels after a fault: emulators differ. */
			e->unsure |= PTE_A & ~e->value;
		}
	}
}

/* The words that a read of @frame may find; false: the one that was found is none of them. */
static bool read_word(struct model *m, unsigned int frame, uint32_t found)
{
	struct word *w;

	if (frame >= NR_FRAMES) {
		unsigned int width = entry_size(m->paging);
		int slot = slot_of(m, WORD_OFFSET / width);
		const struct entry *e = &m->entry[frame - NR_FRAMES][slot];

		return !((uint32_t)(e->value ^ found) & ~(uint32_t)e->unsure);
	}
	w = &m->word[frame];
	if (found != w->value && !(w->two && found == w->other))
		return false;
	w->value = found;
	w->two = false;
	return true;
}

static bool is_ok(const struct outcome *o)
{
	return o->vector == 0xffff;
}

/* Some access to @frame was seen to succeed: does what it brought fit? */
static bool data_fits(struct model *m, const struct op *op, unsigned int frame,
		      const struct result *r)
{
	switch (op->kind % OP_USER) {
	case OP_READ:
		return read_word(m, frame, r->data);
	case OP_EXEC:
		return r->data == frame_tag(frame);
	default:
		return true;
	}
}

/* One of the ways was taken: which frames may have been written? */
static void write_words(struct model *m, const struct op *op, const struct outcomes *out,
			bool known_ok)
{
	unsigned int i, n = 0;

	for (i = 0; i < out->nr; i++)
		n += is_ok(&out->outcome[i]);
	for (i = 0; i < out->nr; i++) {
		unsigned int frame = out->outcome[i].frame;
		struct word *w;

		if (!is_ok(&out->outcome[i]))
			continue;
		if (frame >= NR_FRAMES) {
			store_at(m, TABLES + (frame - NR_FRAMES) * 4096 + WORD_OFFSET, op->value, 4);
			continue;
		}
		w = &m->word[frame];
		w->two = n > 1 || !known_ok;
		w->other = w->value;
		w->value = op->value;
	}
}

static bool fits(struct model *m, const struct op *op, const struct outcome *o,
		 const struct result *r)
{
	if (r->vector != o->vector)
		return false;
	if (is_ok(o))
		return data_fits(m, op, o->frame, r);
	return r->error == o->error && (o->vector != PF_VECTOR || r->cr2 == o->cr2);
}

static bool do_access(struct model *m, unsigned int cpu, const struct op *op,
		      const struct result *r, struct outcomes *out)
{
	unsigned int i;
	bool found = !r;

	model_access(m, cpu, op, out);
	/* A read of an entry finds the bits that its own walk has set. */
	mark(m, op, out);
	for (i = 0; i < out->nr && !found; i++)
		found = fits(m, op, &out->outcome[i], r);
	if (op->kind % OP_USER == OP_WRITE && (!r || r->vector == 0xffff))
		write_words(m, op, out, r || out->nr == 1);
	return found;
}

static void load_root(struct model *m, struct cpu *cpu, uint64_t cr3)
{
	if (cpu->cr4 & CR4_PGE) {
		if (cr3 != cpu->cr3)
			cpu->old_root[cpu->nr_old_roots++] = (struct old){ cpu->cr3, m->time };
	} else {
		cpu->all = m->time;
	}
	cpu->cr3 = cr3;
	cpu->local = m->time;
	forget_old(m);
}

static bool loaded(const struct model *m, const struct op *op, const struct result *r)
{
	unsigned int width = entry_size(m->paging), table = (op->addr - TABLES) >> 12;
	unsigned int shift = op->addr % width * 8;
	int slot = slot_of(m, (op->addr & 4095) / width);
	const struct entry *e;

	if (slot < 0)
		return !r->data;
	e = &m->entry[table][slot];
	return !((uint32_t)(e->value >> shift ^ r->data) & ~(uint32_t)(e->unsure >> shift));
}

bool model_op(struct model *m, unsigned int cpu, const struct op *op, const struct result *r,
	      struct outcomes *out)
{
	struct cpu *c = &m->cpu[cpu];

	m->time++;
	if (is_access(op->kind))
		return do_access(m, cpu, op, r, out);
	switch (op->kind) {
	case OP_STORE1 ... OP_STORE8:
		store_at(m, op->addr, op->value, 1 << (op->kind - OP_STORE1));
		break;
	case OP_LOCKED4:
		store_at(m, op->addr, op->value, 4);
		break;
	case OP_LOAD4:
		return !r || loaded(m, op, r);
	case OP_INVLPG:
		c->flushed[c->nr_flushed++ % MAX_FLUSHED] = (struct old){ op->addr >> 12, m->time };
		break;
	case OP_CR3:
		load_root(m, c, op->addr);
		break;
	case OP_CONTROL:
		c->cr0 = op->addr;
		c->cr4 = op->value;
		c->efer = op->more;
		c->all = c->local = m->time;
		c->nr_old_roots = 0;
		forget_old(m);
		break;
	case OP_PKRU:
		c->pkru = op->value;
		break;
	}
	return true;
}
