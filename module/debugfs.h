/* SPDX-License-Identifier: GPL-2.0-only */
/* Figures as files: below /sys/kernel/debug/umbra, for reading only. */
#ifndef UMBRA_DEBUGFS_H
#define UMBRA_DEBUGFS_H

struct umbra_vcpu;
struct umbra_vm;

/* None of these fails: without the files all else works. */
void umbra_debugfs_init(void);
void umbra_debugfs_exit(void);
void umbra_debugfs_add(struct umbra_vm *vm);
void umbra_debugfs_add_vcpu(struct umbra_vcpu *vcpu);
/* Waits for who reads just now; who still has a file open gets EIO. */
void umbra_debugfs_remove(struct umbra_vm *vm);

#endif
