/* SPDX-License-Identifier: GPL-2.0-only */
/* How many tables a VM's shadow may have. */
#ifndef UMBRA_MMU_QUOTA_H
#define UMBRA_MMU_QUOTA_H

#include <linux/types.h>

struct umbra_vm;

/* As on KVM. What one instruction of each vCPU needs there may be besides. */
#define UMBRA_QUOTA_LEAST	64

/* In vm->srcu. */
unsigned long umbra_shadow_quota(struct umbra_vm *vm);
/* KVM_SET_NR_MMU_PAGES: for the VM's life, whatever its slots and modes; 0, -EINVAL. Sleeps. */
int umbra_shadow_set_quota(struct umbra_vm *vm, unsigned long quota);

/* mmu_shadow.c, with mmu_lock held for writing: forget some old tables: how many. */
unsigned int umbra_shadow_shrink(struct umbra_vm *vm, unsigned int count);
/* A new quota: how many tables are too many now. */
unsigned int umbra_shadow_over_quota(struct umbra_vm *vm, unsigned long quota);
/* mmu_shadow.c, takes mmu_lock: pages that are kept for the next tables. */
u64 umbra_shadow_spare_pages(struct umbra_vm *vm);
/* What stands beside the entries of its tables, in pages. */
u64 umbra_shadow_part_pages(struct umbra_vm *vm);

/* A VM's tables may go when the host is short of memory. Sleeps. */
void umbra_shrink_add(struct umbra_vm *vm);
void umbra_shrink_del(struct umbra_vm *vm);
/* main.c's; errno */
int umbra_shrink_init(void);
void umbra_shrink_exit(void);

#endif
