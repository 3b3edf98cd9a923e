// SPDX-License-Identifier: GPL-2.0-only
/* Page tables, descriptors and vectors of the worlds that the guest does not get to by itself. */
#include <emmintrin.h>

#include "guest.h"
#include "gen_priv.h"
#include "world_run.h"

#define PTE_KEY(n)	((uint64_t)(n) << 59)

/* Table pages in a set, from its root on; those not needed stay empty. */
enum { T_ROOT, T_PDPT, T_PD, T_LOW, T_DATA, T_CODE, T_WORLD };

/* A set of page tables being made; the upper levels refer to others by linear address. */
struct set {
	u8 *at;
	u32 la, form;
	bool kernel;
};

static u8 *world_memory(struct worlds *w, u32 page)
{
	return w->mem + WORLD_GPA + page * 4096;
}

static void put(void *at, u64 val, u32 size)
{
	memcpy(at, &val, size);
}

static u32 entry_size(const struct set *s)
{
	return s->form == TABLES_32 ? 4 : 8;
}

static void set_entry(const struct set *s, u32 table, u32 index, u64 entry)
{
	put(s->at + table * 4096 + index * entry_size(s), entry, entry_size(s));
}

static u64 table(const struct set *s, u32 nr)
{
	return (s->la + nr * 4096) | PTE_P | PTE_W | PTE_U;
}

/* The directory entry for what is at @la. */
static void set_directory(const struct set *s, u32 la, u32 nr)
{
	if (s->form == TABLES_32)
		set_entry(s, T_ROOT, la >> 22, table(s, nr));
	else
		set_entry(s, T_PD, la >> 21, table(s, nr));
}

static void map(const struct set *s, u32 nr, u32 la, u64 gpa_and_rights)
{
	set_entry(s, nr, la >> 12 & (s->form == TABLES_32 ? 1023 : 511), gpa_and_rights);
}

/* The supervisor's, but for the one page that is not in other tables. */
static u64 data_rights(const struct set *s, u32 page)
{
	u64 rights = emul_data_rights(page);

	if (s->kernel && rights)
		rights ^= PTE_U;
	if (s->form != TABLES_32)
		rights |= PTE_NX;
	if (s->form == TABLES_LONG && (page == DATA_KEY1 || page == DATA_KEY2))
		rights |= PTE_KEY(page == DATA_KEY1 ? 1 : 2);
	return rights;
}

static u64 code_rights(const struct set *s, u32 page)
{
	return PTE_P | (s->kernel && !page ? 0 : PTE_U);
}

static void build_set(struct worlds *w, u32 form, bool kernel)
{
	u32 la = world_root(form, kernel), i;
	const struct set s = {
		.at = w->mem + WORLD_GPA + (la - WORLD_LA), .la = la, .form = form, .kernel = kernel,
	};

	if (form == TABLES_PAE)
		set_entry(&s, T_ROOT, 0, (la + T_PD * 4096) | PTE_P);
	if (form == TABLES_LONG) {
		set_entry(&s, T_ROOT, 0, table(&s, T_PDPT));
		set_entry(&s, T_PDPT, 0, table(&s, T_PD));
	}
	set_directory(&s, LOW_DATA_LA, T_LOW);
	set_directory(&s, DATA_LA, T_DATA);
	set_directory(&s, CODE_LA, T_CODE);
	set_directory(&s, WORLD_LA, T_WORLD);
	for (i = 0; i < DATA_PAGES; i++) {
		u64 pte = (DATA_LA + i * 4096) | data_rights(&s, i);

		map(&s, T_DATA, DATA_LA + i * 4096, pte);
		map(&s, T_LOW, LOW_DATA_LA + i * 4096, pte);
	}
	for (i = 0; i < CODE_PAGES; i++) {
		u64 pte = (CODE_LA + i * 4096) | code_rights(&s, i);

		map(&s, T_CODE, CODE_LA + i * 4096, pte);
		map(&s, T_LOW, LOW_CODE_LA + i * 4096, pte);
	}
	/* The page tables themselves are nowhere to be seen. */
	for (i = 0; i < WORLD_TABLES; i++)
		map(&s, T_WORLD, world_page(i), world_page(i) | PTE_P | PTE_W);
}

/* Which vectors INT may name at level 3. */
static u64 gate_type(u32 vector)
{
	bool user = vector == BP_VECTOR || vector == OF_VECTOR || (vector >= 32 && vector < 48);

	return user ? 0xee00 : 0x8e00;
}

/* Each vector leads to a HLT of its own. */
static void build_vectors(struct worlds *w)
{
	u8 *real = world_memory(w, WORLD_REAL_IDT), *idt32 = world_memory(w, WORLD_IDT32);
	u8 *idt64 = world_memory(w, WORLD_IDT64);
	u32 i;

	memset(world_memory(w, WORLD_HALT), 0xf4, 4096);
	memset(real + REAL_HALT, 0xf4, NR_VECTORS);
	for (i = 0; i < NR_VECTORS; i++) {
		u64 at = world_page(WORLD_HALT) + i;
		u64 gate = (at & 0xffff) | gate_type(i) << 32 | (at >> 16) << 48;

		put(real + i * 4, (LOW_REAL_LA >> 4 << 16) | (REAL_HALT + i), 4);
		put(idt32 + i * 8, gate | SEL_K32 << 16, 8);
		/* With a stack from the TSS in any case. */
		put(idt64 + i * 16, gate | SEL_K64 << 16 | 1ull << 32, 8);
	}
}

/* Some ports are open to everybody. */
static void build_io_bitmap(u8 *tss)
{
	tss[102] = 104;
	memset(tss + 104, 0xff, 8193);
	tss[104 + 0x21 / 8] = 0;
	tss[104 + 0x80 / 8] = 0;
	tss[104 + 0x1234 / 8] = 0x0f;
}

/* The descriptor of a TSS of @limit at @page; @type: 9, or 11 for a busy one. */
static void put_tss(u8 *at, u32 page, u32 limit, u64 type)
{
	u64 la = world_page(page);

	put(at, limit | (la & 0xffffff) << 16 | (0x80 | type) << 40 | la >> 24 << 56, 8);
	put(at + 8, 0, 8);
}

/* A TSS that LTR can load, and whether it has. */
u8 *worlds_idle_tss(struct worlds *w)
{
	return world_memory(w, WORLD_GDT) + SEL_IDLE_TSS + 5;
}

static void build_descriptors(struct worlds *w)
{
	u8 *gdt = world_memory(w, WORLD_GDT), *tss32 = world_memory(w, WORLD_TSS32);
	u8 *tss64 = world_memory(w, WORLD_TSS64);
	u64 top = world_page(WORLD_STACK + 1);
	u32 i;

	for (i = 0; i < NR_DESC; i++)
		put(gdt + i * 8, gen_gdt[i].descriptor, 8);
	put_tss(gdt + SEL_TR, WORLD_TSS32, 104 + 8192, 11);
	put_tss(gdt + SEL_IDLE_TSS, WORLD_TSS64, 103, 9);
	put(tss32 + 4, top, 4);
	put(tss32 + 8, SEL_KSTACK, 2);
	put(tss64 + 4, top, 8);
	put(tss64 + 36, top, 8);
	build_io_bitmap(tss32);
	build_io_bitmap(tss64);
}

void worlds_build(struct worlds *w)
{
	u32 form;

	for (form = TABLES_32; form <= TABLES_LONG; form++) {
		build_set(w, form, false);
		build_set(w, form, true);
	}
	build_vectors(w);
	build_descriptors(w);
}

/* The low byte of the entry for data page @page in table @nr of those that @c has. */
static u8 *data_entry(struct worlds *w, const struct gen_case *c, u32 nr, u32 page)
{
	u32 size = c->cr4 & CR4_PAE ? 8 : 4;
	u32 la = (nr == T_LOW ? LOW_DATA_LA : DATA_LA) + page * 4096;

	return w->mem + WORLD_GPA + (c->cr3 - WORLD_LA) + nr * 4096 +
	       (la >> 12 & (4096 / size - 1)) * size;
}

void worlds_clear_dirty(struct worlds *w, const struct gen_case *c)
{
	u32 i;

	for (i = 0; i < DATA_PAGES && gen_paged(c); i++) {
		*data_entry(w, c, T_LOW, i) &= ~(PTE_A | PTE_D);
		*data_entry(w, c, T_DATA, i) &= ~(PTE_A | PTE_D);
	}
}

static bool is_pattern(struct worlds *w, u32 page)
{
	const __m128i *is = (const __m128i *)(w->mem + DATA_GPA + page * 4096);
	const __m128i *was = (const __m128i *)(w->mem + (uintptr_t)gen_data + page * 4096);
	__m128i other;
	u32 i;

	for (i = 0; i < 256; i += 4) {
		other = (is[i] ^ was[i]) | (is[i + 1] ^ was[i + 1]) | (is[i + 2] ^ was[i + 2]) |
			(is[i + 3] ^ was[i + 3]);
		if (_mm_movemask_epi8(_mm_cmpeq_epi8(other, _mm_setzero_si128())) != 0xffff)
			return false;
	}
	return true;
}

/*
 * By the page tables' own bits; without tables, by what is there. A log of the hypervisor's would
 * make each first store fault, and for QEMU not all instructions can be done again.
 */
u16 worlds_dirty(struct worlds *w, const struct gen_case *c)
{
	u16 dirty = 0;
	u32 i;

	for (i = 0; i < DATA_PAGES; i++) {
		bool d = gen_paged(c) ? (*data_entry(w, c, T_LOW, i) |
					 *data_entry(w, c, T_DATA, i)) & PTE_D :
					!is_pattern(w, i);

		dirty |= (u16)d << i;
	}
	return dirty;
}
