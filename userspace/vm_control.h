/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM's name and its socket: what umbra list, pause, resume and stop talk to. */
#ifndef UMBRA_VM_CONTROL_H
#define UMBRA_VM_CONTROL_H

#include "vm.h"

/**
 * vm_control_open() - give the VM its name, in the kernel too, and its socket
 *
 * Without --name it is called by the runner's process number.  A user without a
 * runtime directory is told that there is no socket, and gets the VM.
 *
 * Return: 0, or an exit code with @err filled.
 */
int vm_control_open(struct vm *vm, struct umbra_err *err);

/** vm_control_close() - the last answers, and the end of the socket. Harmless twice. */
void vm_control_close(struct vm *vm);

/* The verb exits, of vm_exits.c: see struct control_verb. @ctx is the VM. */
enum message_code vm_exits_begin(void *ctx, json_t *args, struct umbra_err *err);
json_t *vm_exits(void *ctx, json_t *args, struct umbra_err *err);

/**
 * vm_exits_sum() - the exits for a reason, as the kernel counts them
 * @only: of this vCPU; less than 0: of all together
 *
 * Return: 0; -ERANGE: past the last reason; -ENOTTY: not Umbra's device; another errno.
 */
int vm_exits_sum(struct vm *vm, int only, uint32_t reason, struct umbra_exit_stats *sum,
		 struct umbra_err *err);

#endif
