/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instructions that have exited before, so that they need not be fetched and
 * decoded anew: guests exit at the same few places.
 */
#ifndef UMBRA_MEMO_H
#define UMBRA_MEMO_H

#include <linux/kvm_types.h>
#include <linux/types.h>

#include "emulate.h"
#include "gwalk.h"

struct umbra_vcpu;

#define UMBRA_MEMO_SET_BITS	3
#define UMBRA_MEMO_WAYS		4

/**
 * struct umbra_memo - one instruction of 64-bit code
 * @rip: where it stands, by way of
 * @cr4, @efer, @cpl: this state of paging
 * @seq: and the slots at umbra_mmu_read_seq()
 * @gfn: in this frame, by a shadow
 * @cr3: or by these tables, where the hardware translates
 * @levels: and this many entries of them; 0: nothing is remembered
 * @gpte_at: which are here
 * @gpte: and were these
 * @code: its bytes, the first of 16 in their page
 * @word: what they were, with other bytes than its own as 0
 * @mask: which are its own
 * @len: how many
 * @insn: enum umbra_emul_known, or UMBRA_NR_INSNS: a MOV
 * @mov: what it moves then
 * @gpr: MOV to CR3, INVLPG: the register that it names as its operand; -1: not known
 */
struct umbra_memo {
	u64 rip, cr3, cr4, efer;
	unsigned long seq;
	gfn_t gfn;
	u8 cpl, levels, len;
	u8 insn;
	s8 gpr;
	struct umbra_emul_mov mov;
	const u64 __user *gpte_at[UMBRA_GWALK_LEVELS];
	u64 gpte[UMBRA_GWALK_LEVELS];
	const u64 __user *code;
	u64 word[2], mask[2];
};

/* A vCPU's, in sets by a hash of their addresses. */
struct umbra_memos {
	struct umbra_memo set[1 << UMBRA_MEMO_SET_BITS][UMBRA_MEMO_WAYS];
	unsigned int turn;
};

/**
 * umbra_memo_find() - is the instruction at RIP one that was seen here?
 * @vcpu: loaded, in 64-bit code and the VM's mm
 *
 * All that a walk of the guest's tables and a fetch depend on is compared, the
 * entries and the bytes as they are in memory now: a guest that changes either
 * finds them looked at anew. A shadow's tables, by which the CPU has fetched it, stand for
 * the entries, so that one address space profits from another.
 *
 * Return: it, until the next umbra_memo_learn(); NULL: fetch and decode
 */
const struct umbra_memo *umbra_memo_find(struct umbra_vcpu *vcpu);

/**
 * umbra_memo_learn() - remember the instruction at RIP, if it can be
 * @vcpu: loaded, in 64-bit code and the VM's mm, in vm->srcu
 * @bytes: as fetched
 * @len: how many the instruction has
 * @insn: as in struct umbra_memo
 * @mov: likewise, NULL for another instruction
 * @gpr: likewise
 */
void umbra_memo_learn(struct umbra_vcpu *vcpu, const u8 *bytes, unsigned int len, u8 insn,
		      const struct umbra_emul_mov *mov, s8 gpr);

#endif
