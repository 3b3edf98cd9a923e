/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's page-table walk, for the emulator, the shadow engine and KVM_TRANSLATE alike.
 * No kernel header beyond emul_types.h: the unit tests build it as it is.
 */
#ifndef UMBRA_GWALK_H
#define UMBRA_GWALK_H

#include "emul_types.h"

struct umbra_gwalk_ctx;

/* What the access is. Neither WRITE nor EXEC: a data read. */
#define UMBRA_GWALK_WRITE	0x01
#define UMBRA_GWALK_EXEC	0x02
#define UMBRA_GWALK_USER	0x04	/* CPL 3, and not an implicit supervisor access */
#define UMBRA_GWALK_IMPLICIT	0x08	/* implicit supervisor access: RFLAGS.AC does not help */
#define UMBRA_GWALK_NO_AD	0x10	/* leave accessed and dirty bits alone */

/* Bits of a page fault's error code. */
#define UMBRA_PF_P		0x01
#define UMBRA_PF_W		0x02
#define UMBRA_PF_U		0x04
#define UMBRA_PF_RSVD		0x08
#define UMBRA_PF_I		0x10
#define UMBRA_PF_PK		0x20

/**
 * enum umbra_gwalk_result - how a walk ended
 * @UMBRA_GWALK_OK: the translation is in struct umbra_gwalk
 * @UMBRA_GWALK_FAULT: inject #PF with @error_code of struct umbra_gwalk, CR2 = gva
 * @UMBRA_GWALK_NONCANONICAL: no walk: the gva is not canonical, which is #GP or #SS
 * @UMBRA_GWALK_NO_TABLE: a table is not in readable (for A/D: writable) guest memory;
 *	@table_gpa of struct umbra_gwalk tells where
 * @UMBRA_GWALK_RACE: other vCPUs changed entries under the walk too often: enter the guest again
 */
enum umbra_gwalk_result {
	UMBRA_GWALK_OK,
	UMBRA_GWALK_FAULT,
	UMBRA_GWALK_NONCANONICAL,
	UMBRA_GWALK_NO_TABLE,
	UMBRA_GWALK_RACE,
};

/**
 * struct umbra_gwalk_ops - the walk's way to guest-physical memory
 * @read_gpte: read the entry of @size bytes (4 or 8) at @gpa, in one access. 0, or negative
 *	when there is no memory.
 * @cmpxchg_gpte: if the entry is still @old make it @new, atomically. 0: done; 1: it had
 *	changed; negative: no writable memory.
 */
struct umbra_gwalk_ops {
	int (*read_gpte)(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 *val, unsigned int size);
	int (*cmpxchg_gpte)(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 old, u64 new,
			    unsigned int size);
};

/**
 * struct umbra_gwalk_ctx - the paging state that a walk depends on
 * @ops: memory
 * @cr0: control registers and EFER as the guest sees them
 * @cr3: root
 * @cr4: likewise
 * @efer: likewise
 * @rflags: for AC under SMAP
 * @pdpte: the four PDPTE registers, for PAE paging outside long mode
 * @pkru: protection keys of user pages, used when CR4.PKE and long mode are on
 * @maxphyaddr: the guest's physical-address width in bits (32 to 52)
 * @gbpages: the guest's CPUID offers 1 GiB pages
 */
struct umbra_gwalk_ctx {
	const struct umbra_gwalk_ops *ops;
	u64 cr0;
	u64 cr3;
	u64 cr4;
	u64 efer;
	u64 rflags;
	u64 pdpte[4];
	u32 pkru;
	u8 maxphyaddr;
	bool gbpages;
};

#define UMBRA_GWALK_LEVELS	5

/**
 * struct umbra_gwalk - result of a walk
 * @gpa: translated address, offset included (OK)
 * @table_gpa: guest-physical address of the entry used at each level, [level - 1]; those of levels
 *	from @level to @top_level are valid after OK, FAULT and NO_TABLE
 * @gpte: that entry as read, before the walk set bits in it
 * @error_code: for #PF (FAULT)
 * @level: of the leaf, or where the walk ended: 1 is 4 KiB, 2 is 2 or 4 MiB, 3 is 1 GiB; 0 with
 *	paging off
 * @top_level: level of the root table; 0 with paging off
 * @page_shift: log2 of the page's size in bytes; 32 with paging off (OK)
 * @pkey: protection key of the leaf (long mode)
 * @writable: W set at every level (OK, or FAULT of an otherwise complete walk)
 * @user: U set at every level
 * @executable: no NX at any level
 * @dirty: the leaf's D was set or is set now
 */
struct umbra_gwalk {
	u64 gpa;
	u64 table_gpa[UMBRA_GWALK_LEVELS];
	u64 gpte[UMBRA_GWALK_LEVELS];
	u32 error_code;
	u8 level;
	u8 top_level;
	u8 page_shift;
	u8 pkey;
	bool writable;
	bool user;
	bool executable;
	bool dirty;
};

/**
 * umbra_gwalk - translate a linear address through the guest's own page tables
 * @ctx: paging state
 * @gva: linear address
 * @access: UMBRA_GWALK_*
 * @out: result; which members are valid depends on the return value
 *
 * Rights are checked after the whole walk, as hardware does; accessed bits (and on a write the
 * leaf's dirty bit) are set only when the access is allowed. Each entry is read once for each
 * attempt. No lock is taken; what the ops need is the caller's business.
 *
 * Return: enum umbra_gwalk_result.
 */
int umbra_gwalk(const struct umbra_gwalk_ctx *ctx, u64 gva, unsigned int access,
		struct umbra_gwalk *out);

/**
 * struct umbra_gwalk_start - a table on the way, where what leads there is known
 * @table: its guest-physical address
 * @way: W and U as all entries above it have them, NX if any has it
 * @level: its level
 */
struct umbra_gwalk_start {
	u64 table;
	u64 way;
	unsigned int level;
};

/**
 * umbra_gwalk_from - the rest of a walk
 * @ctx: paging state, with paging on; its root is not looked at
 * @gva: as for umbra_gwalk()
 * @access: likewise
 * @start: where to begin; the accessed bits above are set already
 * @out: result, as if the root were there
 *
 * Return: enum umbra_gwalk_result.
 */
int umbra_gwalk_from(const struct umbra_gwalk_ctx *ctx, u64 gva, unsigned int access,
		     const struct umbra_gwalk_start *start, struct umbra_gwalk *out);

#endif /* UMBRA_GWALK_H */
