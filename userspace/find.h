/* SPDX-License-Identifier: GPL-2.0-only */
/* One VM of those that the kernel knows, by what a user calls it. */
#ifndef UMBRA_FIND_H
#define UMBRA_FIND_H

#include "kernel.h"

/**
 * find_vm() - the VM that @arg means, see view_matches()
 * @vm: gets a reference to its object
 *
 * Return: 0; -ENOENT: none; -EEXIST: several, @err->text says what to call one; an errno.
 */
int find_vm(struct kernel *k, const char *arg, json_t **vm, struct umbra_err *err);

/** find_failure() - say that in a line on stderr. Return: the exit code that belongs to it. */
int find_failure(const char *command, const char *arg, int code, const struct umbra_err *err);

/**
 * find_figures() - a VM's figures as they are now
 * @vcpu: of this vCPU only; less than 0: of all together
 * @sum: gets a view_sum()
 *
 * Return: 0; -ENOENT: the VM is gone; -EINVAL: no such vCPU; another errno.
 */
int find_figures(struct kernel *k, const json_t *vm, int vcpu, json_t **sum, struct umbra_err *err);

#endif
