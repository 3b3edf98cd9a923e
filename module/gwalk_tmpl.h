/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's page-table walk for one width of entries. gwalk.c includes this once with
 * GPTE_BITS 32 (two levels of 1024 entries) and once with 64 (PAE, 4 and 5 levels of 512).
 *
 * What depends on the width comes from two macros and the functions gwalk.c defines for it:
 * reserved bits (of any entry, and more of one of a large page), the leaf test and the large-page
 * address.
 */

#define GW_GLUE2(a, b)	a##b
#define GW_GLUE(a, b)	GW_GLUE2(a, b)
#define GW(name)	GW_GLUE(name, GPTE_BITS)

#define GW_SIZE		(GPTE_BITS / 8)
#define GW_INDEX_BITS	(GPTE_BITS == 64 ? 9 : 10)
#define GW_SHIFT(level)	(12 + GW_INDEX_BITS * ((level) - 1))

/* Set @bits in the entry of @level. */
static int GW(set_bits)(const struct umbra_gwalk_ctx *ctx, struct umbra_gwalk *out,
			unsigned int level, u64 bits)
{
	u64 old = out->gpte[level - 1];
	int r;

	if ((old & bits) == bits)
		return UMBRA_GWALK_OK;
	r = ctx->ops->cmpxchg_gpte(ctx, out->table_gpa[level - 1], old, old | bits, GW_SIZE);
	if (r < 0) {
		out->level = level;
		return UMBRA_GWALK_NO_TABLE;
	}
	return r ? UMBRA_GWALK_RACE : UMBRA_GWALK_OK;
}

/* The access is allowed: mark the entries from the top down, as hardware meets them. */
static int GW(mark_entries)(const struct umbra_gwalk_ctx *ctx, unsigned int access,
			    struct umbra_gwalk *out)
{
	unsigned int level, leaf = out->level;
	int r;

	if (access & UMBRA_GWALK_NO_AD)
		return UMBRA_GWALK_OK;
	for (level = out->top_level; level >= leaf; level--) {
		u64 bits = GPTE_A;

		/* PAE's top level is in registers and has no accessed bit. */
		if (level == 3 && is_pae(ctx))
			continue;
		if (level == leaf && (access & UMBRA_GWALK_WRITE))
			bits |= GPTE_D;
		r = GW(set_bits)(ctx, out, level, bits);
		if (r)
			return r;
	}
	if (access & UMBRA_GWALK_WRITE)
		out->dirty = true;
	return UMBRA_GWALK_OK;
}

/* Get the entry of @level in the table at @table. */
static int GW(read_entry)(const struct umbra_gwalk_ctx *ctx, u64 gva, u64 table,
			  unsigned int level, struct umbra_gwalk *out)
{
	unsigned int index = (gva >> GW_SHIFT(level)) & ((1u << GW_INDEX_BITS) - 1);

	if (level == 3 && is_pae(ctx)) {
		out->table_gpa[2] = table + (index & 3) * GW_SIZE;
		/* W, U and NX are not there: nothing is refused by this level. */
		out->gpte[2] = ctx->pdpte[index & 3] & ~(GPTE_NX | GPTE_PS);
		return 0;
	}
	out->table_gpa[level - 1] = table + index * GW_SIZE;
	return ctx->ops->read_gpte(ctx, out->table_gpa[level - 1], &out->gpte[level - 1], GW_SIZE);
}

/* One attempt: down the tables, then rights, then accessed and dirty bits. */
static int GW(walk)(const struct umbra_gwalk_ctx *ctx, u64 gva, unsigned int access,
		    const struct umbra_gwalk_start *start, struct umbra_gwalk *out)
{
	u64 table = start->table, gpte, all = start->way, any = all, rsvd = GW(always_reserved)(ctx);
	unsigned int level = start->level;
	bool pae = is_pae(ctx), leaf;
	int r;

	out->top_level = level;
	for (;; level--) {
		out->level = level;
		if (GW(read_entry)(ctx, gva, table, level, out) < 0)
			return UMBRA_GWALK_NO_TABLE;
		gpte = out->gpte[level - 1];
		if (!(gpte & GPTE_P))
			return page_fault(ctx, access, 0, out);
		leaf = GW(is_leaf)(ctx, gpte, level);
		/* PDPTE registers were checked when they were loaded, and have no rights. */
		if (!(level == 3 && pae)) {
			if (gpte & (leaf && level > 1 ?
				    rsvd | GW(reserved_large)(ctx, level) : rsvd))
				return page_fault(ctx, access, UMBRA_PF_P | UMBRA_PF_RSVD, out);
			all &= gpte;
			any |= gpte;
		}
		if (leaf)
			break;
		table = gpte & GPTE_ADDR;
	}

	out->writable = all & GPTE_W;
	out->user = all & GPTE_U;
	out->executable = !(any & GPTE_NX);
	out->page_shift = GW_SHIFT(level);
	out->pkey = (ctx->efer & EFER_LMA) ? (gpte >> 59) & 15 : 0;
	out->dirty = gpte & GPTE_D;
	r = check_rights(ctx, access, out);
	if (r)
		return r;
	out->gpa = GW(leaf_gpa)(gpte, level) | (gva & ((1ull << out->page_shift) - 1));
	return GW(mark_entries)(ctx, access, out);
}

#undef GW_SHIFT
#undef GW_INDEX_BITS
#undef GW_SIZE
#undef GW
#undef GW_GLUE
#undef GW_GLUE2
#undef GPTE_BITS
