/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where everything is in the guest of the emulator's proof. A case runs in an address space of its
 * own, in which nothing but the following exists: its data, its code, the way out of it, and
 * what lies so far up that no case hits it by chance.
 */
#ifndef EMUL_LAYOUT_H
#define EMUL_LAYOUT_H

#define NR_VECTORS	64

/* The test's own page tables: lib's, GPA_PML4. */
#define MAIN_CR3	0x4000
/* PE MP ET NE WP PG */
#define CASE_CR0	0x80010033
/* PAE OSFXSR OSXMMEXCPT, and OSXSAVE where the CPU has it */
#define CASE_CR4	0x620
#define CASE_CR4_XSAVE	0x40000

/* Linear addresses of a case. The data can be reached with 16, 32 and 64 bits. */
#define DATA_LA		0x20000000
#define DATA_PAGES	16
#define CODE_LA		0x30000000
#define CODE_PAGES	2
#define HIGH_LA		0xffffc00000000000

/* Pages from HIGH_LA on. */
#define HIGH_GDT	0
#define HIGH_IDT	1
#define HIGH_TSS	2	/* and two more, for the I/O bitmap */
#define HIGH_STACK	5
#define HIGH_FRAME	6
#define HIGH_PAGES	7

/* The same in guest physical memory; all above GPA_TEST. */
#define DATA_GPA	0x800000
#define CODE_GPA	0x820000
#define HIGH_GPA	0x830000
#define TABLES_GPA	0x840000

/*
 * Worlds that the guest does not get to by itself (world.h) have data and code at the same linear
 * addresses, which are physical ones where there is no paging, and once more where 16 bits
 * and a paragraph reach them; beside them their own structures.
 */
#define LOW_REAL_LA	0x10000
#define LOW_DATA_LA	0x20000
#define LOW_CODE_LA	0x40000
#define WORLD_LA	0x38000000
#define WORLD_GPA	0x860000	/* in the guest that makes the cases */

/* Pages from WORLD_LA on. */
#define WORLD_REAL_IDT	0	/* real mode's vectors, and where they lead to: at LOW_REAL_LA too */
#define WORLD_GDT	1
#define WORLD_IDT32	2
#define WORLD_IDT64	3
#define WORLD_TSS32	4	/* and two more, for the I/O bitmap */
#define WORLD_TSS64	7	/* likewise */
#define WORLD_STACK	10
#define WORLD_HALT	11	/* a HLT for each vector */
#define WORLD_TABLES	12
#define WORLD_TABLE_PAGES	7	/* of each set of page tables */
#define WORLD_PAGES	(WORLD_TABLES + 6 * WORLD_TABLE_PAGES)

/* In the page WORLD_REAL_IDT. */
#define REAL_HALT	0x400

/* Of CR4: what can guard pages and instructions. */
#define GUARD_TSD	(1u << 2)
#define GUARD_UMIP	(1u << 11)
#define GUARD_SMEP	(1u << 20)
#define GUARD_SMAP	(1u << 21)
#define GUARD_PKE	(1u << 22)
/* Key 1 denies writing, key 2 all. */
#define CASE_PKRU	(2 << 2 | 1 << 4)

/* Selectors. Those for data are of DPL 3, but for the supervisor's stacks. */
#define SEL_K64		0x08
#define SEL_KSTACK	0x10
#define SEL_K32		0x18
#define SEL_K16		0x20
#define SEL_U64		0x28
#define SEL_U32		0x30
#define SEL_U16		0x38
#define SEL_FLAT	0x40
#define SEL_DATA16	0x48	/* base DATA_LA, 64 KiB, 16-bit stack */
#define SEL_KSTACK16	0x50
#define SEL_BASED	0x58	/* base DATA_LA + 0x1230 */
#define SEL_SMALL	0x60	/* base DATA_LA + 0x4000, 8 KiB */
#define SEL_RO		0x68
#define SEL_XO		0x70	/* code, execute only */
#define SEL_CONF	0x78	/* code, readable, conforming */
#define SEL_ABSENT	0x80
#define SEL_SYSTEM	0x88	/* an LDT's descriptor, 16 bytes */
#define SEL_TR		0x98	/* 16 bytes */
#define SEL_IDLE_TSS	0xa8	/* a TSS that is not busy, 16 bytes */
#define NR_DESC		23

#endif
