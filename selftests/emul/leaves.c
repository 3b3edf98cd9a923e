// SPDX-License-Identifier: GPL-2.0-only
/* The rows of the emulator's opcode tables, found by walking them. */
#include "gen.h"

struct gen_leaf gen_leaves[GEN_MAX_LEAVES];
u32 gen_nr_leaves;

/* In an order of decreasing depth: what is still to be visited. */
struct visit {
	struct gen_leaf leaf;
	u32 next;
};

static u32 branches(u64 flags)
{
	if (flags & (F_GROUP | F_GROUPRM))
		return 8;
	return (flags & F_MANDATORY) ? 4 : 2;
}

/* @leaf goes on to member @i of its table. */
static void descend(struct gen_leaf *leaf, u32 i)
{
	u64 flags = leaf->op->flags;

	if (flags & F_GROUP)
		leaf->reg = i;
	else if (flags & F_GROUPRM)
		leaf->rm = i;
	else if (flags & F_DUAL)
		leaf->mod = i;
	else if (flags & F_MANDATORY)
		leaf->prefix = i;
	else
		leaf->long64 = i;
	leaf->op = &leaf->op->table[i];
	leaf->flags |= leaf->op->flags;
}

static void add(const struct gen_leaf *leaf)
{
	if (!leaf->op->exec && !(leaf->flags & F_UNDEF))
		return;
	if (gen_nr_leaves < GEN_MAX_LEAVES)
		gen_leaves[gen_nr_leaves++] = *leaf;
}

static void walk(const struct gen_leaf *root)
{
	struct visit stack[8];
	u32 depth = 0;

	stack[0].leaf = *root;
	stack[0].next = 0;
	for (;;) {
		struct visit *v = &stack[depth];

		if (!(v->leaf.op->flags & F_TABLE)) {
			add(&v->leaf);
		} else if (v->next < branches(v->leaf.op->flags)) {
			stack[depth + 1].leaf = v->leaf;
			stack[depth + 1].next = 0;
			descend(&stack[depth + 1].leaf, v->next++);
			depth++;
			continue;
		}
		if (!depth)
			return;
		depth--;
	}
}

static void walk_map(const struct emul_opcode *ops, u32 n, u8 map, u8 first)
{
	u32 i;

	for (i = 0; i < n; i++) {
		struct gen_leaf leaf = {
			.op = &ops[i], .flags = ops[i].flags, .map = map, .opcode = first + i,
			.reg = -1, .rm = -1, .mod = -1, .prefix = -1, .long64 = -1,
		};

		/* 40 to 4F are prefixes in 64-bit mode alone. */
		if ((leaf.flags & F_PREFIX) && !ops[i].exec)
			continue;
		if (leaf.flags & F_PREFIX)
			leaf.long64 = 0;
		/* 62, C4 and C5 are escapes, but with memory in other modes. */
		if ((leaf.flags & F_ESC0F) && !(leaf.flags & F_MODRM))
			continue;
		if (leaf.flags & F_ESC0F) {
			leaf.long64 = 0;
			leaf.mod = 0;
		}
		walk(&leaf);
	}
}

void gen_tables(void)
{
	gen_nr_leaves = 0;
	walk_map(emul_opcodes, 256, 0, 0);
	walk_map(emul_opcodes_0f, 256, 1, 0);
	walk_map(emul_opcodes_0f38, 256, 2, 0);
	walk_map(emul_vex_0f, 256, GEN_VEX | 1, 0);
	walk_map(emul_vex_0f38, 256, GEN_VEX | 2, 0);
	walk_map(&emul_vex_0f3a_f0, 1, GEN_VEX | 3, 0xf0);
}

#define X(name) { emul_op_##name, #name },
static const struct {
	emul_exec_t exec;
	const char *name;
} names[] = {
	EMUL_HANDLERS(X)
};
#undef X

const char *gen_name(emul_exec_t exec)
{
	u32 i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].exec == exec)
			return names[i].name;
	return "#UD";
}
