// SPDX-License-Identifier: GPL-2.0-only
/* Far transfers, returns and interrupts: where they go to, and the frames that they take. */
#include "gen_priv.h"
#include "world.h"

static u64 pick(const u16 *from, u32 n)
{
	return from[gen_random() % n];
}

/* Selectors for CS, most of them of code at the level that they ask for. */
static u16 code_selector(const struct gen_case *c)
{
	static const u16 good[] = {
		SEL_K64, SEL_K32, SEL_K16, SEL_U64 | 3, SEL_U32 | 3, SEL_U16 | 3, SEL_CONF,
	};
	static const u16 user[] = { SEL_U64 | 3, SEL_U32 | 3, SEL_U16 | 3, SEL_CONF | 3 };
	static const u16 odd[] = {
		SEL_FLAT, SEL_XO, SEL_ABSENT, SEL_SYSTEM, SEL_TR, 0, 4, 0xfff8, SEL_K64, SEL_U64,
	};

	if (gen_paragraphs(c))
		return LOW_CODE_LA >> 4;
	if (gen_chance(6))
		return pick(odd, sizeof(odd) / 2) | (gen_random() & 3);
	return c->cpl ? pick(user, sizeof(user) / 2) : pick(good, sizeof(good) / 2);
}

/* What goes into SS along with a CS: QEMU does not look whether that is 64-bit code. */
static u16 stack_selector(u16 cs)
{
	static const u16 outer[] = { SEL_FLAT, SEL_FLAT, SEL_DATA16, SEL_BASED };
	static const u16 inner[] = { SEL_KSTACK, SEL_KSTACK, SEL_KSTACK16 };
	static const u16 odd[] = { SEL_RO, SEL_XO, SEL_ABSENT, SEL_SYSTEM, SEL_FLAT, SEL_KSTACK };

	if (gen_chance(8))
		return pick(odd, sizeof(odd) / 2) | (cs & 3);
	if ((cs & ~3) == SEL_K64 && gen_chance(4))
		return cs & 3;
	if (cs & 3)
		return pick(outer, sizeof(outer) / 2) | 3;
	return pick(inner, sizeof(inner) / 2);
}

/* Where INT3 stands, far from the case's own code. */
static u64 landing(const struct gen_case *c, u16 cs)
{
	u32 at = 0x1400 + (gen_random() & 0x3ff);

	if (gen_paragraphs(c) || gen_gdt[(cs / 8) % NR_DESC].base)
		return at;
	return CODE_LA + at;
}

/* @n values of @size bytes each, the first one lowest. */
static void patch_values(struct gen_case *c, u32 target, const u64 *val, u32 n, u32 size)
{
	u8 bytes[sizeof(c->patch[0].bytes)];
	u32 i;

	for (i = 0; i < n; i++)
		memcpy(bytes + i * size, &val[i], size);
	gen_patch(c, target, bytes, n * size);
}

/* QEMU reads and writes stacks with the supervisor's rights, which SMAP takes away. */
static bool stack_is_refused(const struct gen_case *c)
{
	return !gen_strict && c->cpl && c->cr4 & GUARD_SMAP;
}

/*
 * QEMU pushes with the supervisor's rights, and in 64-bit mode 32 bits to the low half of the stack's
 * address: then the pages of a far call's pushes must take them either way.
 */
static bool pushes_are_plain(const struct gen_case *c, u32 top)
{
	return gen_strict || (!c->cpl && c->mode != UMBRA_EMUL_LONG64) ||
	       (top >= 64 && gen_is_plain(top - 64) && gen_is_plain(top));
}

static u32 draw_stack(struct gen_case *c)
{
	u32 top = gen_plain_target() & ~7u;

	gen_set(c, EMUL_RSP, 8, gen_offset(c, EMUL_SS, top));
	return top;
}

bool gen_iret(struct gen_build *b)
{
	struct gen_case *c = b->c;
	u32 top = draw_stack(c);
	u64 val[5];

	val[1] = code_selector(c);
	val[0] = landing(c, val[1]);
	/* QEMU goes to vm86 mode in long mode too, and leaves VIF and VIP alone. */
	val[2] = gen_random() & (EMUL_FLAGS_ALL & ~(EMUL_VM | EMUL_VIF | EMUL_VIP | EMUL_TF));
	if (gen_chance(4))
		val[2] |= EMUL_TF;
	val[3] = gen_data_la(c) + gen_plain_target();
	val[4] = stack_selector(val[1]);
	patch_values(c, top, val, 5, b->e.opsize);
	if (stack_is_refused(c))
		return false;
	/* Bochs leaves the stack in 64-bit mode too unless the level changes or the size is 64 bits. */
	return !gen_bochs || c->mode != UMBRA_EMUL_LONG64 || b->e.opsize == 8 ||
	       (val[1] & 3) != c->cpl;
}

bool gen_retf(struct gen_build *b)
{
	struct gen_case *c = b->c;
	u32 top = draw_stack(c), size = b->e.opsize, drop = 0;
	u64 val[4];

	if (b->leaf->opcode == 0xca) {
		drop = gen_chance(2) ? gen_random() & 0x3f : 0;
		c->code[b->n] = drop;
		c->code[b->n + 1] = 0;
	}
	val[1] = code_selector(c);
	val[0] = landing(c, val[1]);
	val[2] = gen_data_la(c) + gen_plain_target();
	val[3] = stack_selector(val[1]);
	patch_values(c, top, val, 2, size);
	patch_values(c, top + 2 * size + drop, val + 2, 2, size);
	/* Of the frame for the outer level all must be there. */
	return gen_is_plain(top + 64) && !stack_is_refused(c);
}

/* From a call to 64-bit code Bochs pushes as that code would. */
static bool call_goes_wide(const struct gen_build *b, u16 cs)
{
	return b->c->mode != UMBRA_EMUL_LONG64 && ((cs & ~7) == SEL_K64 || (cs & ~7) == SEL_U64) &&
	       (b->e.op->exec == emul_op_call_far || b->e.op->exec == emul_op_call_far_mem);
}

/* 9A and EA have the pointer in the code. */
bool gen_far(struct gen_build *b)
{
	struct gen_case *c = b->c;
	u16 cs = code_selector(c);
	u64 rip = landing(c, cs);

	if (gen_bochs && call_goes_wide(b, cs))
		return false;
	memcpy(c->code + b->n, &rip, b->e.opsize);
	memcpy(c->code + b->n + b->e.opsize, &cs, 2);
	c->faulty = true;
	return pushes_are_plain(c, draw_stack(c)) && !stack_is_refused(c);
}

bool gen_far_mem(struct gen_build *b)
{
	struct gen_case *c = b->c;
	u16 cs = code_selector(c);
	u64 rip = landing(c, cs);
	u32 top = c->gpr[EMUL_RSP] - gen_offset(c, EMUL_SS, 0);

	/* QEMU and Bochs read 64 bits where the CPU that they say they are reads 32. */
	if (b->target == NO_TARGET || ((!gen_strict || gen_bochs_svm) && b->e.opsize == 8) ||
	    (gen_bochs && call_goes_wide(b, cs)))
		return false;
	gen_patch(c, b->target, &rip, b->e.opsize);
	gen_patch(c, b->target + b->e.opsize, &cs, 2);
	c->faulty = true;
	return pushes_are_plain(c, top) && !stack_is_refused(c);
}

bool gen_interrupt(struct gen_build *b)
{
	static const u8 vector[] = { 3, 4, 0x20, 0x2f, 0x30, 0x3f, 0x40, 0xff };

	/* Not one whose handler would take an error code from the stack. */
	b->c->code[b->n] = vector[gen_random() & (gen_strict ? 7 : 3)];
	return true;
}
