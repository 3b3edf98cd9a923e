/* SPDX-License-Identifier: GPL-2.0-only */
/* What the guest of against_cpu says to its host. */
#ifndef EMUL_AGAINST_CPU_H
#define EMUL_AGAINST_CPU_H

#include "gen.h"
#include "world.h"

#define NO_DIFFERENCE	~0u
#define NR_SYSTEM	15
#define NR_HIDDEN	20
/* Of outcome.vector, besides those that exist. */
#define VECTOR_SHUTDOWN	0x100	/* a third fault, for want of a stack */
#define VECTOR_NONE	0x101	/* no end that says anything: the case is dropped */
/* What the guest tells its host to do. */
#define SYNC_REPORT	1	/* print g_difference */
#define SYNC_WORLD	2	/* run g_case in its world, and leave g_outcome */
#define FX_SIZE		160	/* of FXSAVE's image, up to the XMM registers */

/**
 * struct outcome - what a run left
 * @system: CR0, CR3, CR4, CR8, the MSR in rCX, then DR0 to DR3, DR6 and DR7, the size of the IDT
 *	and of the GDT, those that were looked at; LDTR and TR, XCR0
 * @fx: the x87's state as FXSAVE stores it, but for pointers and the opcode
 * @hidden: in another world, what segment and table registers hold besides: base, limit and
 *	attributes of ES, DS, FS, GS and SS; bases of GDT, IDT, TR and LDTR; EFER
 * @dirty: a bit for each data page that was written
 */
struct outcome {
	u64 gpr[16], rip, rflags, cs, ss, vector, error, cr2;
	u64 vec[64], system[NR_SYSTEM], hidden[NR_HIDDEN];
	u16 seg[4], dirty;
	u8 fx[FX_SIZE];
};

struct difference {
	u64 index;
	struct gen_case c;
	struct outcome native, emulated;
	u32 memory;
	u8 memory_native, memory_emulated;
	bool unknown;
};

/* Why a difference is set aside. */
enum {
	MASK_READ_FIRST,
	MASK_CANONICAL_STACK,
	MASK_ABSENT_STACK,
	MASK_PARTIAL_RESTORE,
	MASK_MMX_FIRST,
	MASK_LOST_CR2,
	NR_MASKS
};
extern const char *const mask_reasons[NR_MASKS];

extern volatile u64 g_seed, g_first, g_count, g_index, g_cases, g_differences;
extern volatile u64 g_lost_rip;		/* of an exception outside of a case */
extern volatile u8 g_tcg, g_unknown, g_emulating;
extern struct gen_case g_case;
extern struct difference g_difference;
extern u32 g_runs[GEN_MAX_LEAVES], g_unknowns[GEN_MAX_LEAVES], g_bad[GEN_MAX_LEAVES];
extern u64 g_masked[NR_MASKS], g_in_world[NR_WORLDS];
extern struct outcome g_outcome;

/* stub.S */
extern char emul_stub_begin[], emul_stub_end[], emul_vectors[];

void emul_guest(void);
u64 emul_data_rights(u32 page);

#endif
