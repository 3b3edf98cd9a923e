/* SPDX-License-Identifier: GPL-2.0-only */
/* Where things are in the guest of mmu/oracle, and what its stub and the host agree on. */
#ifndef ORACLE_LAYOUT_H
#define ORACLE_LAYOUT_H

/* The stub's own world, mapped to itself for the supervisor in every address space. */
#define HOME_PT32	0x880000	/* four tables of 4-byte entries: 16 MiB */
#define HOME_PT64	0x890000	/* eight of 8 bytes */
#define HOME_PD		0x898000
#define HOME_PDPT	0x899000
#define HOME_PML4	0x89a000
#define CONTEXT		0x8a0000	/* a page for each vCPU: struct context, and its stack */
#define OPS		0x8b0000	/* for each vCPU 64 KiB: what it shall do */
#define RESULTS		0x8d0000	/* and what came of it */
#define IDT64		0x8f0000
#define IDT32		0x8f1000
#define TSS64		0x8f2000	/* 256 bytes for each vCPU */
#define TSS32		0x8f3000
#define USER_STACK	0x8f5000	/* the top of a page that ring 3 may write */
#define TURN		0x8f6000	/* whose turn it is, when the vCPUs run at once */

/* What the tables under test are made of, and what they map. */
#define TABLES		0x900000
#define NR_TABLES	16
#define DATA		0xc00000
#define DATA_FRAMES	1024
#define HIGH		0x100000000	/* the same once more, for frames of more than 32 bits */

/* In each frame that is mapped: a word to read and write, and code that tells the frame. */
#define WORD_OFFSET	0x40
#define CODE_OFFSET	0x80

#define SEL_UCODE32	0x43

/* What an op does. The first six are accesses, the supervisor's and the user's. */
#define OP_READ		0
#define OP_WRITE	1
#define OP_EXEC		2
#define OP_USER		3	/* and the same three once more */
#define OP_STORE1	6	/* to an entry, by its home address */
#define OP_STORE2	7
#define OP_STORE4	8
#define OP_STORE8	9
#define OP_LOCKED4	10	/* the same, by XCHG */
#define OP_LOAD4	11
#define OP_INVLPG	12
#define OP_CR3		13
#define OP_CONTROL	14	/* EFER, CR0 and CR4, and everything flushed */
#define OP_PKRU		15
#define OP_YIELD	16	/* the host runs the other vCPU */
#define OP_SPIN		17	/* the same where both run at once */
#define OP_END		18

/* struct op */
#define OP_ADDR		0
#define OP_VALUE	8
#define OP_MORE		16
#define OP_KIND		24
#define OP_AC		25
#define OP_SIZE		32

/* struct result */
#define RESULT_DATA	0
#define RESULT_CR2	8
#define RESULT_VECTOR	16
#define RESULT_ERROR	20

/* struct context */
#define CONTEXT_OP	0
#define CONTEXT_RESULT	8
#define CONTEXT_ACCESS	16

#define RETURN_VECTOR	0x80
#define NR_GATES	(RETURN_VECTOR + 1)
#define SAYS_DONE	0x5f0
#define SAYS_SYNC	0x5f1
#define SAYS_FAIL	0x5f2

#endif
