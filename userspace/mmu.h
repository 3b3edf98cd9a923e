/* SPDX-License-Identifier: GPL-2.0-only */
/* The ways to virtualize a guest's memory, by their names on the command line. */
#ifndef UMBRA_RUNNER_MMU_H
#define UMBRA_RUNNER_MMU_H

#include <stdbool.h>

#include "lib/libumbra.h"

/** mmu_known() - whether @mode is one of the names. */
bool mmu_known(const char *mode);

/**
 * mmu_choose() - give a new VM its mode
 * @dev: the device's path, for the text
 *
 * "auto" asks nothing of the device; every other mode needs Umbra's own ioctls.
 *
 * Return: 0, or an exit code with @err filled.
 */
int mmu_choose(const struct umbra_vm *vm, const char *dev, const char *mode,
	       struct umbra_err *err);

/**
 * mmu_change() - change the mode of a VM, which may run
 *
 * Return: 0, or a negative errno with @err filled; -EBUSY: a vCPU is still on its way from
 * the change before.
 */
int mmu_change(const struct umbra_vm *vm, const char *mode, struct umbra_err *err);

/** mmu_of() - the VM's mode. Return: its name; NULL with @err filled. */
const char *mmu_of(const struct umbra_vm *vm, struct umbra_err *err);

#endif
