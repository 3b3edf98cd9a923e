/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtual machine in which cases of other worlds than the guest's own run. */
#ifndef EMUL_WORLD_RUN_H
#define EMUL_WORLD_RUN_H

#include "against_cpu.h"
#include "vm.h"

/**
 * struct worlds - that machine
 * @vm, @v: it has no interrupt controller, so that a HLT is an exit
 * @mem: of the guest that makes the cases; data, code and tables are the same memory
 * @start: system registers of a vCPU that has not run
 */
struct worlds {
	struct vm vm;
	struct vcpu *v;
	u8 *mem;
	struct kvm_sregs start;
};

void worlds_init(struct worlds *w, u8 *mem);
void worlds_free(struct worlds *w);
/* Run @c; *unknown: the emulator does not know the instruction. */
void worlds_run(struct worlds *w, const struct gen_case *c, bool emulated, struct outcome *o,
		volatile u8 *unknown);

/* world_tables.c: what the worlds have in memory, and which data pages a case has written. */
void worlds_build(struct worlds *w);
u8 *worlds_idle_tss(struct worlds *w);
void worlds_clear_dirty(struct worlds *w, const struct gen_case *c);
u16 worlds_dirty(struct worlds *w, const struct gen_case *c);

#endif
