// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's page-table walk in every paging mode. The walk itself stands once, in gwalk_tmpl.h,
 * and is compiled for 32-bit and for 64-bit entries; here is what the two share and what differs.
 */
#include "gwalk.h"

#define CR0_WP		(1ULL << 16)
#define CR0_PG		(1ULL << 31)
#define CR4_PSE		(1ULL << 4)
#define CR4_PAE		(1ULL << 5)
#define CR4_LA57	(1ULL << 12)
#define CR4_SMEP	(1ULL << 20)
#define CR4_SMAP	(1ULL << 21)
#define CR4_PKE		(1ULL << 22)
#define EFER_LMA	(1ULL << 10)
#define EFER_NX		(1ULL << 11)
#define RFLAGS_AC	(1ULL << 18)

#define GPTE_P		(1ULL << 0)
#define GPTE_W		(1ULL << 1)
#define GPTE_U		(1ULL << 2)
#define GPTE_A		(1ULL << 5)
#define GPTE_D		(1ULL << 6)
#define GPTE_PS		(1ULL << 7)
#define GPTE_NX		(1ULL << 63)
#define GPTE_ADDR	0x000ffffffffff000ULL

/* How often a walk starts again because an entry changed under it. */
#define WALK_TRIES	8

/* Bits @low to @high. */
static u64 bit_range(unsigned int low, unsigned int high)
{
	return (~0ull >> (63 - high)) & (~0ull << low);
}

static bool is_pae(const struct umbra_gwalk_ctx *ctx)
{
	return !(ctx->efer & EFER_LMA) && (ctx->cr4 & CR4_PAE);
}

static u64 root_gpa(const struct umbra_gwalk_ctx *ctx)
{
	if (ctx->efer & EFER_LMA)
		return ctx->cr3 & GPTE_ADDR;
	return ctx->cr3 & ((ctx->cr4 & CR4_PAE) ? 0xffffffe0 : 0xfffff000);
}

static int page_fault(const struct umbra_gwalk_ctx *ctx, unsigned int access, u32 code,
		      struct umbra_gwalk *out)
{
	if (access & UMBRA_GWALK_WRITE)
		code |= UMBRA_PF_W;
	if (access & UMBRA_GWALK_USER)
		code |= UMBRA_PF_U;
	/* The fetch bit exists only where a fetch can be refused as such. */
	if ((access & UMBRA_GWALK_EXEC) &&
	    ((ctx->cr4 & CR4_SMEP) || ((ctx->cr4 & CR4_PAE) && (ctx->efer & EFER_NX))))
		code |= UMBRA_PF_I;
	out->error_code = code;
	return UMBRA_GWALK_FAULT;
}

/* Does the protection key of a user page refuse a data access? */
static bool pkey_denied(const struct umbra_gwalk_ctx *ctx, unsigned int access,
			const struct umbra_gwalk *out)
{
	unsigned int rights;

	if (!(ctx->cr4 & CR4_PKE) || !(ctx->efer & EFER_LMA) || !out->user ||
	    (access & UMBRA_GWALK_EXEC))
		return false;
	rights = (ctx->pkru >> (2 * out->pkey)) & 3;
	if (rights & 1)
		return true;
	return (rights & 2) && (access & UMBRA_GWALK_WRITE) &&
	       ((access & UMBRA_GWALK_USER) || (ctx->cr0 & CR0_WP));
}

static bool smap_denied(const struct umbra_gwalk_ctx *ctx, unsigned int access)
{
	if (!(ctx->cr4 & CR4_SMAP))
		return false;
	return (access & UMBRA_GWALK_IMPLICIT) || !(ctx->rflags & RFLAGS_AC);
}

/* Rights of the whole walk against the access; what a key refuses, the error code says besides. */
static int check_rights(const struct umbra_gwalk_ctx *ctx, unsigned int access,
			struct umbra_gwalk *out)
{
	bool user = access & UMBRA_GWALK_USER, ok = true;

	if (user && !out->user)
		ok = false;
	if ((access & UMBRA_GWALK_EXEC) &&
	    (!out->executable || (!user && out->user && (ctx->cr4 & CR4_SMEP))))
		ok = false;
	if ((access & UMBRA_GWALK_WRITE) && !out->writable && (user || (ctx->cr0 & CR0_WP)))
		ok = false;
	if (!(access & UMBRA_GWALK_EXEC) && !user && out->user && smap_denied(ctx, access))
		ok = false;
	if (pkey_denied(ctx, access, out))
		return page_fault(ctx, access, UMBRA_PF_P | UMBRA_PF_PK, out);
	if (!ok)
		return page_fault(ctx, access, UMBRA_PF_P, out);
	return UMBRA_GWALK_OK;
}

/* 32-bit entries: 4 MiB pages with CR4.PSE, whose bits 13 to 20 are address bits 32 to 39. */

static bool is_leaf32(const struct umbra_gwalk_ctx *ctx, u64 gpte, unsigned int level)
{
	return level == 1 || ((gpte & GPTE_PS) && (ctx->cr4 & CR4_PSE));
}

static u64 always_reserved32(const struct umbra_gwalk_ctx *ctx)
{
	(void)ctx;
	return 0;
}

static u64 reserved_large32(const struct umbra_gwalk_ctx *ctx, unsigned int level)
{
	u64 rsvd = 1ull << 21;

	(void)level;
	if (ctx->maxphyaddr < 40)
		rsvd |= bit_range(13 + ctx->maxphyaddr - 32, 20);
	return rsvd;
}

static u64 leaf_gpa32(u64 gpte, unsigned int level)
{
	if (level == 1)
		return gpte & 0xfffff000;
	return (gpte & 0xffc00000) | ((gpte & bit_range(13, 20)) << 19);
}

/* 64-bit entries: 2 MiB at level 2, 1 GiB at level 3 in long mode where the CPU has it. */

static bool is_leaf64(const struct umbra_gwalk_ctx *ctx, u64 gpte, unsigned int level)
{
	(void)ctx;
	/* Where PS may not be set it is a reserved bit, and the walk has ended there. */
	return level == 1 || (gpte & GPTE_PS);
}

static u64 always_reserved64(const struct umbra_gwalk_ctx *ctx)
{
	u64 rsvd = 0;

	if (ctx->maxphyaddr < 52)
		rsvd |= bit_range(ctx->maxphyaddr, 51);
	if (is_pae(ctx))
		rsvd |= bit_range(52, 62);
	if (!(ctx->efer & EFER_NX))
		rsvd |= GPTE_NX;
	return rsvd;
}

static u64 reserved_large64(const struct umbra_gwalk_ctx *ctx, unsigned int level)
{
	if (level > 3 || (level == 3 && !ctx->gbpages))
		return GPTE_PS;
	return bit_range(13, level == 3 ? 29 : 20);
}

static u64 leaf_gpa64(u64 gpte, unsigned int level)
{
	return gpte & GPTE_ADDR & (~0ull << (12 + 9 * (level - 1)));
}

#define GPTE_BITS 32
#include "gwalk_tmpl.h"
#define GPTE_BITS 64
#include "gwalk_tmpl.h"

static unsigned int root_level(const struct umbra_gwalk_ctx *ctx)
{
	if (ctx->efer & EFER_LMA)
		return (ctx->cr4 & CR4_LA57) ? 5 : 4;
	return (ctx->cr4 & CR4_PAE) ? 3 : 2;
}

static int no_paging(u64 gva, struct umbra_gwalk *out)
{
	out->gpa = gva & 0xffffffff;
	out->level = 0;
	out->top_level = 0;
	out->page_shift = 32;
	out->pkey = 0;
	out->error_code = 0;
	out->writable = true;
	out->user = true;
	out->executable = true;
	out->dirty = true;
	return UMBRA_GWALK_OK;
}

int umbra_gwalk_from(const struct umbra_gwalk_ctx *ctx, u64 gva, unsigned int access,
		     const struct umbra_gwalk_start *start, struct umbra_gwalk *out)
{
	unsigned int tries, shift;
	int r;

	if (ctx->efer & EFER_LMA) {
		shift = (ctx->cr4 & CR4_LA57) ? 7 : 16;
		if ((u64)((s64)(gva << shift) >> shift) != gva)
			return UMBRA_GWALK_NONCANONICAL;
	} else {
		gva &= 0xffffffff;
	}
	for (tries = 0; tries < WALK_TRIES; tries++) {
		out->error_code = 0;
		if (ctx->cr4 & CR4_PAE)
			r = walk64(ctx, gva, access, start, out);
		else
			r = walk32(ctx, gva, access, start, out);
		if (r != UMBRA_GWALK_RACE)
			return r;
	}
	return UMBRA_GWALK_RACE;
}

int umbra_gwalk(const struct umbra_gwalk_ctx *ctx, u64 gva, unsigned int access,
		struct umbra_gwalk *out)
{
	struct umbra_gwalk_start start;

	if (!(ctx->cr0 & CR0_PG))
		return no_paging(gva, out);
	start.table = root_gpa(ctx);
	start.way = ~GPTE_NX;
	start.level = root_level(ctx);
	return umbra_gwalk_from(ctx, gva, access, &start, out);
}
