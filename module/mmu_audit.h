/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef UMBRA_MMU_AUDIT_H
#define UMBRA_MMU_AUDIT_H

#include <linux/types.h>

struct seq_file;
struct shadow_audit;
struct umbra_vm;

/**
 * umbra_mmu_audit() - are a VM's shadow tables what they must be?
 * @m: gets one line: "ok" and how much was looked at, "none" where no shadow is in use, or
 *	"broken" with the rule and the place
 * @vm: alive; vCPUs may run
 *
 * Sleeps, and holds mmu_lock while it looks. -EINTR: a signal came.
 */
int umbra_mmu_audit(struct seq_file *m, struct umbra_vm *vm);

/* mmu_shadow.c's: mmu_lock held for writing, in vm->srcu and the VM's mm. False: none is in use. */
bool umbra_shadow_audit(struct umbra_vm *vm, struct shadow_audit *a);

#endif
