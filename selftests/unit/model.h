/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine for the emulator to work on: memory by regions of linear addresses, ports that log,
 * registers as plain arrays. Tests set it up, run one instruction and look.
 */
#ifndef UNIT_MODEL_H
#define UNIT_MODEL_H

#include "emulate.h"

#define MODEL_REGIONS	8

/* How a region answers. */
#define MODEL_RO	1	/* writes are #PF */
#define MODEL_MMIO	2	/* reads need userspace, writes are logged */
#define MODEL_NOEXEC	4	/* fetches are #PF */

struct model_region {
	u64 la;
	u32 size;
	u32 how;
	u8 *mem;
};

struct model_access {
	bool write;
	u64 la;
	u32 size;
	u64 val;
};

struct model {
	struct umbra_emul e;
	struct model_region region[MODEL_REGIONS];
	unsigned int nr_regions;
	struct umbra_emul_seg seg[EMUL_NR_SEGS];
	struct umbra_emul_dtable dt[2];
	u64 cr[16];
	u64 dr[8];
	u8 xmm[16][32];
	u8 fpu[512];
	u64 xcr0;
	u32 pkru;
	u64 lacks;			/* bits by enum umbra_emul_cpu; AMD's ways among them */

	/* MMIO: reads answered so far in this unit, and what was asked of userspace. */
	bool mmio_direct;		/* reads are answered in place */
	unsigned int replay_step, replayed, nr_answers;
	u64 answer[8];
	u64 want_la;
	u32 want_size;
	struct model_access log[1100];
	unsigned int nr_log;
	unsigned int stop_after;	/* MMIO writes until the queue is full; 0: never */

	/* Ports */
	bool pio_user;			/* the first read of each needs userspace */
	bool pio_ready;
	u8 pio_next;			/* bytes read count up from here */
	unsigned int nr_in, nr_out, in_items;
	u16 port;
	u32 pio_size, pio_count;
	u8 pio_data[UMBRA_EMUL_IO_BUF];

	/* Other effects */
	unsigned int cmpxchg_lose;	/* times a compare fails although it would not */
	unsigned int nr_cmpxchg, nr_fetch, fetch_bytes, nr_hlt, nr_wbinvd, nr_invlpg;
	unsigned int nr_probe;
	unsigned int nr_operand, nr_other;	/* accesses with and without EMUL_ACC_OPERAND */
	u64 invlpg_la;
	u32 msr_index;
	u64 msr_val;
	struct { u32 index; u64 val; } msr[16];	/* those with a value of their own */
	unsigned int nr_msrs;
	u8 write_cpl;			/* whose rights the last write had */
	unsigned int nr_tr;		/* loads of TR */
	unsigned int nr_hypercall, nr_nmi_unmask, nr_invpcid, invpcid_type;
	u16 invpcid_pcid;
	u64 invpcid_la;
	bool no_vector;			/* vector registers out of reach */
};

extern const struct umbra_emul_ops model_ops;

void model_init(struct model *m, unsigned int mode);
void model_map(struct model *m, u64 la, void *mem, u32 size, u32 how);
/* Decode and execute, answering every MMIO or port read that needs userspace with @answer. */
int model_run(struct model *m, const void *code, unsigned int n);
int model_execute(struct model *m);
/* From now on MSR @index is remembered by itself. */
void model_msr(struct model *m, u32 index, u64 val);
u64 model_get_msr(const struct model *m, u32 index);

#endif
