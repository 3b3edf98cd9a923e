// SPDX-License-Identifier: GPL-2.0-only
/* Cases from the rows of the opcode tables: bytes, registers, operands where something is. */
#include "gen.h"
#include "gen_priv.h"
#include "world.h"

/* base, limit, bits 8..15 and 20..23 of the descriptor */
#define DESC(base_, limit_, attr)						\
	{ .descriptor = ((u64)(limit_) & 0xffff) | ((u64)(base_) & 0xffffff) << 16 |	\
			(u64)((attr) & 0xff) << 40 | ((u64)(limit_) & 0xf0000) << 32 |	\
			(u64)((attr) & 0xf00) << 44 | ((u64)(base_) & 0xff000000) << 32,	\
	  .base = (base_) }
#define DPL3	0x60
#define FLAT32	0xc00
#define DATA	0x93
#define CODE	0x9b
#define TSS_LA	(HIGH_LA + HIGH_TSS * 4096)

const struct gen_segment gen_gdt[NR_DESC] = {
	[SEL_K64 / 8]		= DESC(0, 0xfffff, CODE | 0xa00),
	[SEL_KSTACK / 8]	= DESC(0, 0xfffff, DATA | FLAT32),
	[SEL_K32 / 8]		= DESC(0, 0xfffff, CODE | FLAT32),
	[SEL_K16 / 8]		= DESC(CODE_LA, 0xfffff, CODE | 0x800),
	[SEL_U64 / 8]		= DESC(0, 0xfffff, CODE | DPL3 | 0xa00),
	[SEL_U32 / 8]		= DESC(0, 0xfffff, CODE | DPL3 | FLAT32),
	[SEL_U16 / 8]		= DESC(CODE_LA, 0xfffff, CODE | DPL3 | 0x800),
	[SEL_FLAT / 8]		= DESC(0, 0xfffff, DATA | DPL3 | FLAT32),
	[SEL_DATA16 / 8]	= DESC(DATA_LA, 0xffff, DATA | DPL3),
	[SEL_KSTACK16 / 8]	= DESC(DATA_LA, 0xffff, DATA),
	[SEL_BASED / 8]		= DESC(DATA_LA + 0x1230, 0xfffff, DATA | DPL3 | FLAT32),
	[SEL_SMALL / 8]		= DESC(DATA_LA + 0x4000, 0x1fff, DATA | DPL3 | 0x400),
	[SEL_RO / 8]		= DESC(0, 0xfffff, 0x91 | DPL3 | FLAT32),
	[SEL_XO / 8]		= DESC(0, 0xfffff, 0x99 | DPL3 | FLAT32),
	[SEL_CONF / 8]		= DESC(0, 0xfffff, 0x9f | FLAT32),
	[SEL_ABSENT / 8]	= DESC(0, 0xfffff, 0x13 | DPL3 | FLAT32),
	[SEL_SYSTEM / 8]	= DESC(DATA_LA, 0xfff, 0x82),
	[SEL_IDLE_TSS / 8]		= DESC(TSS_LA & 0xffffffff, 103, 0x89),
	[SEL_IDLE_TSS / 8 + 1]	= { .descriptor = TSS_LA >> 32 },
};

u8 gen_data[DATA_PAGES * 4096];
bool gen_strict, gen_bochs, gen_bochs_svm;
u64 gen_xcr0;
const char *gen_only;
bool gen_elsewhere;

static u64 state;
static bool keys;	/* some pages are under one */

u64 gen_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull >> 1;
}

/* Neighbouring seeds must not give neighbouring cases. */
static void start(u64 seed, u64 index)
{
	state = (seed + index) * 0x9e3779b97f4a7c15ull;
	state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
	state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
	state = (state ^ (state >> 31)) | 1;
}

bool gen_chance(u32 n)
{
	return gen_random() % n == 0;
}

/* Values near which arithmetic goes wrong come often. */
u64 gen_value(void)
{
	static const u64 edges[] = {
		0, 1, 2, 0x0f, 0x10, 0x1f, 0x7f, 0x80, 0x81, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
		~0ull, ~1ull,
	};
	u64 r = gen_random();

	switch (r & 3) {
	case 0:
		return edges[(r >> 8) % (sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return gen_random() << 1 >> ((r >> 8) & 63);
	default:
		return gen_random() << 1 | (r >> 2 & 1);
	}
}

void gen_pattern(u64 seed)
{
	u32 i;

	start(seed, 0x5eed);
	for (i = 0; i < sizeof(gen_data); i += 8) {
		u64 v = gen_value();

		memcpy(gen_data + i, &v, 8);
	}
}

/* Where a page is absent, read-only, the supervisor's or under a key: emul_data_rights(). */
static bool plain_page(u32 page)
{
	return page < DATA_PAGES && page != DATA_ABSENT && page != DATA_RO &&
	       page != DATA_KERNEL && page != DATA_ABSENT2 &&
	       !(keys && (page == DATA_KEY1 || page == DATA_KEY2));
}

bool gen_is_plain(u32 target)
{
	return plain_page(target / 4096) && plain_page((target + 64) / 4096);
}

/* An offset in the data pages worth accessing; the second cannot fault. */
u32 gen_target(void)
{
	u64 r = gen_random();
	u32 page = (r >> 8) % DATA_PAGES, offset = (r >> 16) & 0xfff;

	switch (r & 7) {
	case 0:		/* over the page's end */
		offset = 0xff0 | offset;
		break;
	case 1:		/* whatever page it is */
		break;
	default:
		while (!plain_page(page) || !plain_page(page + 1))
			page = (page + 1) % DATA_PAGES;
		break;
	}
	if (r >> 60)
		offset &= (r >> 32 & 1) ? ~7u : ~15u;
	return page * 4096 + offset;
}

u32 gen_plain_target(void)
{
	u32 target;

	do {
		target = gen_target();
	} while (!gen_is_plain(target));
	return target;
}

/* Offset of @target in the segment that @sel names; the base is added in every mode but for flat ones. */
static u64 in_segment(const struct gen_case *c, u32 seg, u32 target)
{
	u64 la = gen_data_la(c) + target;
	struct umbra_emul_seg s;

	if (c->mode == UMBRA_EMUL_LONG64 && seg < EMUL_FS)
		return la;
	gen_segment(c, seg, &s);
	return la - s.base;
}

u64 gen_offset(const struct gen_case *c, u32 seg, u32 target)
{
	return in_segment(c, seg, target);
}

void gen_set(struct gen_case *c, u32 reg, u32 size, u64 val)
{
	u64 mask = emul_mask(size);

	c->gpr[reg] = (c->gpr[reg] & ~mask) | (val & mask);
}

/* Make the bytes at @target @n of @bytes. */
void gen_patch(struct gen_case *c, u32 target, const void *bytes, u32 n)
{
	struct gen_patch *p;

	if (c->nr_patches == 2 || target + n > sizeof(gen_data))
		return;
	p = &c->patch[c->nr_patches++];
	p->offset = target;
	p->n = n;
	memcpy(p->bytes, bytes, n);
}

/* State */

/* From which 64 KiB reach most of the data, or in unreal mode 4 GiB; a stack always does. */
u16 gen_paragraph(const struct gen_case *c, u32 seg)
{
	u64 r = gen_random();

	if (seg == EMUL_SS)
		return LOW_DATA_LA >> 4;
	if (c->world == WORLD_UNREAL && r & 1)
		return r >> 8 & 0xfff;
	return (LOW_DATA_LA >> 4) - (r & 2 ? r >> 8 & 0xff : 0);
}

static u16 data_selector(const struct gen_case *c, u32 seg)
{
	static const u16 wide[] = {
		SEL_FLAT, SEL_FLAT, SEL_FLAT, SEL_FLAT, SEL_FLAT, SEL_DATA16, SEL_BASED, SEL_SMALL,
	};
	static const u16 narrow[] = {
		SEL_DATA16, SEL_DATA16, SEL_DATA16, SEL_DATA16, SEL_DATA16, SEL_BASED, SEL_FLAT,
		SEL_SMALL,
	};
	u64 r = gen_random() & 7;

	if (gen_paragraphs(c))
		return gen_paragraph(c, seg);
	if (c->mode == UMBRA_EMUL_LONG64)
		return seg >= EMUL_FS ? wide[4 + (r & 3)] : SEL_FLAT;
	if (gen_strict && gen_chance(16))
		return r & 1 ? SEL_RO : SEL_CONF;
	return c->mode == UMBRA_EMUL_PROT32 ? wide[r] : narrow[r];
}

static void draw_segments(struct gen_case *c)
{
	static const u16 code[2][5] = {
		{ 0, 0, SEL_K16, SEL_K32, SEL_K64 }, { 0, 0, SEL_U16, SEL_U32, SEL_U64 },
	};
	bool user = c->cpl == 3, narrow = c->mode == UMBRA_EMUL_PROT16;
	u32 i;

	for (i = 0; i < 6; i++)
		c->sel[i] = data_selector(c, i) | (gen_paragraphs(c) ? 0 : c->cpl);
	if (gen_paragraphs(c)) {
		c->sel[EMUL_CS] = LOW_CODE_LA >> 4;
		return;
	}
	c->sel[EMUL_CS] = code[user][c->mode] | c->cpl;
	if (user)
		c->sel[EMUL_SS] = (narrow ? SEL_DATA16 : SEL_FLAT) | 3;
	else
		c->sel[EMUL_SS] = narrow ? SEL_KSTACK16 : SEL_KSTACK;
}

static void draw_state(struct gen_case *c)
{
	u32 i;

	draw_segments(c);
	for (i = 0; i < 16; i++) {
		u64 v[4] = { gen_value(), gen_value(), gen_value(), gen_value() };

		c->gpr[i] = gen_value();
		if (gen_chance(2))
			gen_set(c, i, 8, gen_offset(c, EMUL_DS, gen_target()));
		memcpy(c->vec[i], v, 32);
	}
	c->gpr[EMUL_RSP] = gen_offset(c, EMUL_SS, gen_target() & ~7u);
	c->gpr[EMUL_RBP] = gen_offset(c, EMUL_SS, gen_target());
	c->rflags = EMUL_FIXED | (gen_random() & EMUL_ARITH);
	c->rflags |= gen_chance(4) ? EMUL_DF : 0;
	c->rflags |= gen_chance(2) ? EMUL_IOPL : 0;
	c->rflags |= gen_chance(8) ? EMUL_AC : 0;
	c->rflags |= gen_chance(8) ? EMUL_ID : 0;
	c->rflags |= gen_chance(16) ? EMUL_NT : 0;
	c->rflags |= gen_chance(8) ? EMUL_IF : 0;
	c->rflags |= c->mode == UMBRA_EMUL_VM86 ? EMUL_VM : 0;
}

static void draw_place(struct gen_case *c)
{
	u64 r = gen_random();
	u32 at = 0x100 + (r >> 8 & 0x7ff);

	if ((r & 15) == 0 && gen_paged(c) && !gen_guarded_fetch(c))
		at = CODE_PAGES * 4096 - (r >> 32) % 16;	/* into an absent page */
	else if ((r & 7) == 1)
		at = 4096 - (r >> 32) % 16 - gen_guarded_fetch(c);
	c->rip = gen_code_rip(c, at);
}

/* Bytes */

static void draw_prefixes(struct gen_build *b)
{
	const struct gen_leaf *l = b->leaf;
	u8 p[16];
	u32 n = 0, i;

	if (l->prefix == 1 || (l->prefix != 0 && gen_chance(l->prefix < 0 ? 4 : 8)))
		p[n++] = 0x66;
	if (l->prefix >= 2)
		p[n++] = l->prefix == 2 ? 0xf3 : 0xf2;
	else if (l->prefix < 0 && gen_chance((l->flags & F_STRING) ? 2 : 32))
		p[n++] = gen_chance(2) ? 0xf2 : 0xf3;
	if (gen_chance(8))
		p[n++] = 0x67;
	if ((gen_strict || ((l->flags & F_LOCK) && !(l->flags & F_UNDEF))) &&
	    gen_chance((l->flags & F_LOCK) ? 4 : 48))
		p[n++] = 0xf0;
	if (gen_chance(6)) {
		static const u8 seg[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

		p[n++] = seg[gen_random() % sizeof(seg)];
	}
	if (gen_chance(64))
		for (i = gen_random() % 12; i && n < 13; i--)
			p[n++] = gen_chance(2) ? 0x26 : 0x3e;
	while (n) {
		i = gen_random() % n;
		b->c->code[b->n++] = p[i];
		p[i] = p[--n];
	}
	/* QEMU takes four bits for the number of an MMX register. */
	if (b->c->mode == UMBRA_EMUL_LONG64 && gen_chance(2))
		b->c->code[b->n++] = 0x40 | (gen_random() & (!gen_strict && l->flags & F_MMX ? 10 : 15));
}

/* The three-byte form, or the two-byte one where it can say the same. */
static void draw_vex(struct gen_build *b)
{
	static const u8 seg[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x67 };
	const struct gen_leaf *l = b->leaf;
	u8 *code = b->c->code, r = gen_random(), last = gen_random();

	if (gen_chance(4))
		code[b->n++] = seg[gen_random() % sizeof(seg)];
	if (l->prefix >= 0)
		last = (last & ~3) | l->prefix;
	if (!(l->flags & F_VVVV) && ((!gen_strict && (l->flags & F_AVX)) || !gen_chance(8)))
		last |= 0x78;
	/* QEMU looks at VEX.L where it means nothing or must be 0. */
	if (!gen_strict && (l->flags & F_AVX) && !(l->flags & F_VECL) &&
	    l->op->exec != emul_op_vzero && l->op->exec != emul_op_vmovddup)
		last &= ~4;
	/* Where there are eight registers QEMU and Bochs take all four bits of vvvv; QEMU for RORX any. */
	if ((!gen_strict || gen_bochs) && b->c->mode != UMBRA_EMUL_LONG64)
		last |= 0x40;
	if (!gen_strict && l->op->exec == emul_op_rorx)
		last |= 0x78;
	if (!gen_strict && (l->flags & F_W0))
		last &= 0x7f;
	if (!(r & 3) && l->map == (GEN_VEX | 1)) {
		code[b->n++] = 0xc5;
		code[b->n++] = (b->c->mode == UMBRA_EMUL_LONG64 ? last : last | 0xc0);
		return;
	}
	code[b->n++] = 0xc4;
	code[b->n++] = (l->map & 0xf) | (b->c->mode == UMBRA_EMUL_LONG64 ? r & 0xe0 : 0xe0);
	/* And Bochs does not ignore VEX.W there. */
	code[b->n++] = gen_bochs && b->c->mode != UMBRA_EMUL_LONG64 ? last & 0x7f : last;
}

static void draw_modrm(struct gen_build *b)
{
	const struct gen_leaf *l = b->leaf;
	u32 mod = gen_random() % 3, reg = gen_random() & 7, rm = gen_random() & 7;

	if (l->mod == 1 || (l->mod < 0 && gen_chance((l->flags & F_MEMONLY) ? 8 : 2)))
		mod = 3;
	/* QEMU reads memory before it finds that there is no such instruction, and stores to
	 * registers where only memory can be. */
	if (!gen_strict && l->mod < 0 && (l->flags & F_UNDEF))
		mod = 3;
	if (!gen_strict && mod == 3 && l->mod < 0 && (l->flags & (F_SSE | F_AVX | F_MMX)) &&
	    (l->op->flags & F_MEMONLY))
		mod = 0;
	if (l->reg >= 0)
		reg = l->reg;
	if (l->rm >= 0)
		rm = l->rm;
	b->modrm_at = b->n;
	b->c->code[b->n++] = mod << 6 | reg << 3 | rm;
}

static void draw_code(struct gen_build *b)
{
	struct gen_case *c = b->c;
	u32 i;

	for (i = 0; i < GEN_CODE; i++)
		c->code[i] = gen_random();
	if (b->leaf->map & GEN_VEX) {
		draw_vex(b);
	} else {
		draw_prefixes(b);
		if (b->leaf->map)
			c->code[b->n++] = 0x0f;
		if (b->leaf->map == 2)
			c->code[b->n++] = 0x38;
	}
	b->opcode_at = b->n;
	c->code[b->n++] = b->leaf->opcode;
	if (b->leaf->flags & F_MODRM)
		draw_modrm(b);
}

/* All bytes are there: decode asks for none. */
static int no_fetch(struct umbra_emul *e, u64 la, void *buf, unsigned int n)
{
	(void)la;
	(void)buf;
	(void)n;
	return emul_gp0(e);
}

/* What the CPU lacks it finds undefined by itself. */
static bool cpu_has(struct umbra_emul *e, enum umbra_emul_cpu feature)
{
	(void)e;
	return feature != UMBRA_CPU_XOP && feature != UMBRA_CPU_AVX512F &&
	       feature != UMBRA_CPU_3DNOW;
}

static int decode(struct gen_build *b)
{
	static const struct umbra_emul_ops ops = { .fetch = no_fetch, .cpu_has = cpu_has };
	struct umbra_emul *e = &b->e;

	e->ops = &ops;
	memcpy(e->gpr, b->c->gpr, sizeof(e->gpr));
	e->rip = b->c->rip;
	e->rflags = b->c->rflags;
	e->mode = b->c->mode;
	e->cpl = b->c->cpl;
	e->la_bits = 48;
	return umbra_emul_decode(e, b->c->code, UMBRA_EMUL_MAX_LEN);
}

struct emul_operand *gen_memory(struct gen_build *b)
{
	if (b->e.dst.kind == K_MEM)
		return &b->e.dst;
	return b->e.src.kind == K_MEM ? &b->e.src : NULL;
}

/*
 * Add @delta to the address of the memory operand: to its base register, or to its
 * displacement where there is none.
 */
static void move_address(struct gen_build *b, u64 delta)
{
	static const u8 base16[8] = {
		EMUL_RBX, EMUL_RBX, EMUL_RBP, EMUL_RBP, EMUL_RSI, EMUL_RDI, EMUL_RBP, EMUL_RBX,
	};
	const struct umbra_emul *e = &b->e;
	u32 mod = e->modrm >> 6, base = e->modrm & 7, at = b->modrm_at + 1, size = 4;
	u64 disp = 0;

	if (!(e->flags & F_MODRM)) {	/* MOV with an absolute offset */
		at = b->opcode_at + 1;
		size = e->adsize;
	} else if (e->adsize == 2) {
		if (mod || base != 6) {
			gen_set(b->c, base16[base], 2, b->c->gpr[base16[base]] + delta);
			return;
		}
		size = 2;
	} else {
		if (base == 4)
			base = b->c->code[at++] & 7;
		if (mod || base != 5) {
			base |= (e->rex & 1) << 3;
			gen_set(b->c, base, e->adsize, b->c->gpr[base] + delta);
			return;
		}
	}
	memcpy(&disp, b->c->code + at, size);
	disp += delta;
	memcpy(b->c->code + at, &disp, size);
}

/* Lead the memory operand to the data pages, mostly. */
static bool place_operand(struct gen_build *b)
{
	struct emul_operand *o = gen_memory(b);
	u64 want;

	b->target = NO_TARGET;
	if (!o || (gen_strict && gen_chance(16)))
		return true;
	if (b->c->mode == UMBRA_EMUL_LONG64 && gen_chance(16))
		return true;
	b->target = gen_target();
	want = gen_offset(b->c, b->e.seg, b->target);
	move_address(b, want - o->ea);
	if (decode(b))
		return false;
	o = gen_memory(b);
	if (o->ea != want)
		b->target = NO_TARGET;
	return true;
}

/* What segmentation would refuse: only where the CPU under test looks at it. */
static bool inside_limit(const struct gen_case *c, u32 seg, u64 off, u64 mask)
{
	u64 limit = 0xffffffff - 64;

	/* Coming from 64-bit code, a 16-bit stack gets the low half of ESP alone. */
	if (seg == EMUL_SS && c->world == WORLD_OWN && c->mode == UMBRA_EMUL_PROT16 &&
	    c->gpr[EMUL_RSP] > 0xffff)
		return false;
	if (c->mode == UMBRA_EMUL_LONG64 || gen_strict)
		return true;
	if (gen_paragraphs(c))
		limit = c->world == WORLD_UNREAL && seg != EMUL_CS ? limit : 0xffff - 64;
	else if ((c->sel[seg] & ~7) == SEL_DATA16 || (c->sel[seg] & ~7) == SEL_KSTACK16)
		limit = 0xffff - 64;
	else if ((c->sel[seg] & ~7) == SEL_SMALL)
		limit = 0x1fff - 64;
	return (off & mask) <= limit && (off & mask) >= 64;
}

static bool within_limits(struct gen_build *b)
{
	struct emul_operand *o = gen_memory(b);
	const struct umbra_emul *e = &b->e;
	const struct gen_case *c = b->c;
	u32 src = e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS;
	u64 mask = emul_mask(e->adsize), stack = c->mode <= UMBRA_EMUL_PROT16 ? 0xffff : 0xffffffff;

	if (o && !inside_limit(c, e->seg, o->ea, mask))
		return false;
	/* Nothing can be written to a code segment, but for QEMU. */
	if (!gen_strict && c->mode != UMBRA_EMUL_LONG64 && !gen_paragraphs(c) &&
	    ((o && e->seg == EMUL_CS) || (e->op->exec == emul_op_maskmov && src == EMUL_CS)))
		return false;
	/* QEMU does not look whether a branch stays below the limit. */
	if (!gen_strict && gen_paragraphs(c) && (e->flags & F_NEAR) && e->opsize == 4 &&
	    e->src.kind == K_IMM && (u32)(c->rip + e->len + e->src.val) > 0xffff)
		return false;
	if (e->op->exec == emul_op_xlat && !inside_limit(c, src, c->gpr[EMUL_RBX] + 255, mask))
		return false;
	if (e->op->exec == emul_op_monitor && !inside_limit(c, src, c->gpr[EMUL_RAX], mask))
		return false;
	if (e->op->exec == emul_op_maskmov && !inside_limit(c, src, c->gpr[EMUL_RDI], mask))
		return false;
	if (e->flags & F_STRING)
		return inside_limit(c, src, c->gpr[EMUL_RSI], mask) &&
		       inside_limit(c, EMUL_ES, c->gpr[EMUL_RDI], mask);
	return inside_limit(c, EMUL_SS, c->gpr[EMUL_RSP], stack) &&
	       inside_limit(c, EMUL_SS, c->gpr[EMUL_RBP], stack);
}

/* What follows the instruction stops the guest. */
static void end_code(struct gen_build *b)
{
	u32 i;

	b->c->len = b->e.len;
	for (i = b->c->len; i < GEN_CODE; i++)
		b->c->code[i] = 0xcc;
}

/* Bytes of code up to a page from which nothing is fetched. */
static u32 room(const struct gen_case *c)
{
	return (gen_guarded_fetch(c) ? 4096 : CODE_PAGES * 4096) - gen_code_at(c);
}

/* May the CPU find the opcode undefined before it has fetched all of it? */
static bool maybe_lacking(u64 flags)
{
	switch ((flags & F_CPU_MASK) >> F_CPU_SHIFT) {
	case UMBRA_CPU_NONE:
	case UMBRA_CPU_CLFLUSH:
	case UMBRA_CPU_CX8:
	case UMBRA_CPU_FXSR:
	case UMBRA_CPU_MMX:
	case UMBRA_CPU_SEP:
	case UMBRA_CPU_SSE2:
		return false;
	default:
		return true;
	}
}

/* What is refused for its opcode and the privilege may fault before all of it is fetched. */
static bool refused_early(const struct gen_build *b)
{
	if (maybe_lacking(b->e.flags))
		return true;
	/* The latter are what CR4.UMIP refuses. */
	return b->c->cpl && ((b->e.flags & (F_PRIV | F_IO)) ||
			     (b->leaf->map == 1 && (b->leaf->opcode >> 2 == 8 ||
						    b->leaf->opcode <= 1)));
}

/* Where no stack is switched to, that of the case has to take the exception's frame. */
static bool end_state(struct gen_case *c)
{
	u32 mask = c->mode <= UMBRA_EMUL_PROT16 ? 0xffff : ~0u, top, i;

	if (gen_long(c))
		return true;
	for (i = 0; i < 16; i++)
		c->gpr[i] = (u32)c->gpr[i];
	if (c->cpl)
		return true;
	top = (c->gpr[EMUL_RSP] & mask) - (u32)gen_offset(c, EMUL_SS, 0);
	return top >= 64 && top < sizeof(gen_data) && gen_is_plain(top - 64) && gen_is_plain(top);
}

static bool is_stack_pointer(const struct emul_operand *o)
{
	return o->kind == K_GPR && o->reg == EMUL_RSP;
}

/* Does it put the stack elsewhere? */
static bool moves_stack(const struct umbra_emul *e)
{
	static const emul_exec_t far[] = {
		emul_op_leave, emul_op_lss, emul_op_pop_sreg, emul_op_ret, emul_op_syscall,
		emul_op_sysenter,
	};
	u32 i;

	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		if (e->op->exec == far[i])
			return true;
	return (!(e->flags & F_NOWRITE) && is_stack_pointer(&e->dst)) ||
	       ((e->flags & F_WBSRC) && is_stack_pointer(&e->src)) ||
	       (e->dst.kind == K_SREG && e->dst.reg == EMUL_SS);
}

bool gen_make(struct gen_case *c, u64 seed, u64 index)
{
	static struct gen_build b;

	start(seed, index);
	memset(c, 0, sizeof(*c));
	c->leaf = index % gen_nr_leaves;
	c->scanned = NO_REGISTER;
	b.leaf = &gen_leaves[c->leaf];
	if (gen_excluded(b.leaf))
		return false;
	b.c = c;
	b.n = 0;
	if (!gen_draw_world(c, b.leaf, index / gen_nr_leaves % 6 != 5) || (gen_elsewhere && !c->world))
		return false;
	/* Bochs takes the step over an instruction that exits in the host, which ends there. */
	if (gen_bochs_svm)
		c->step = false;
	keys = c->world == WORLD_GUARDED;
	draw_state(c);
	draw_place(c);
	draw_code(&b);
	if (!gen_allowed(&b))
		return false;
	if (decode(&b)) {
		/* Whether bytes behind an undefined opcode are fetched is the CPU's affair. */
		c->rip = gen_code_rip(c, 0x400);
		/* What comes first, too many bytes or an opcode that the CPU lacks, is its affair too. */
		if (b.e.exception.vector == EMUL_GP && maybe_lacking(b.leaf->flags))
			return false;
		/* QEMU has read the operand when it comes to the sixteenth byte. */
		if (!gen_strict && b.e.exception.vector == EMUL_GP && (b.leaf->flags & F_MODRM) &&
		    c->code[b.modrm_at] < 0xc0)
			return false;
		/* A fault of decoding: nothing shall happen but that. QEMU looks at the CPL before it
		 * looks at the number of a control register. */
		c->step = true;
		return (gen_strict || !c->cpl || (b.leaf->opcode & 0xfc) != 0x20) && end_state(c);
	}
	if (room(c) < 16 && refused_early(&b))
		return false;
	if ((b.e.flags & F_STRING) && !gen_string(&b))
		return false;
	if (!place_operand(&b) || !gen_care(&b) || decode(&b) || !within_limits(&b))
		return false;
	/* Where an exception then finds no stack the CPU shuts down, and Bochs ends itself. */
	if (gen_bochs_svm && gen_same_stack(c) && moves_stack(&b.e))
		return false;
	if (b.e.flags & F_NEAR)
		c->step = true;
	c->undefined = gen_undefined(&b.e);
	/* QEMU stores 16 bytes as twice 8. */
	c->faulty |= !gen_strict && b.e.dst.kind == K_MEM && b.e.dst.size > 8;
	c->writes = b.e.dst.kind == K_MEM && !(b.e.flags & (F_MOV | F_NOWRITE | F_SELF));
	end_code(&b);
	return end_state(c);
}
