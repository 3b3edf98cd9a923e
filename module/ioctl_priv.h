/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the ABI share: ioctl.c and those of its fds, ioctl_vm.c and ioctl_vcpu.c. */
#ifndef UMBRA_IOCTL_PRIV_H
#define UMBRA_IOCTL_PRIV_H

#include <linux/bits.h>
#include <linux/fs.h>

#include "umbra.h"

/* What a row asks for. IN, OUT: the structure is copied; RAW: the handler copies. */
#define F_IN		BIT(0)
#define F_OUT		BIT(1)
#define F_RAW		BIT(2)
#define F_VALUE		BIT(3)	/* the argument is a number */
#define F_NONE		BIT(4)	/* the argument is ignored, as KVM does */
#define F_VM_LOCK	BIT(5)	/* vm->lock */
#define F_LOAD		BIT(6)	/* the vCPU is loaded */
#define F_SRCU		BIT(7)	/* vm->srcu */

/**
 * struct ioctl_call - one call under way
 * @vm: whose fd it came on; NULL on the system's
 * @vcpu: likewise; NULL but on a vCPU's
 * @user: the argument as a pointer
 * @value: the argument as a number
 */
struct ioctl_call {
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	void __user *user;
	unsigned long value;
};

/**
 * struct ioctl_row - a command
 * @cmd: its number, which has the size of its argument
 * @flags: F_*
 * @handler: gets what @flags says; its result is the ioctl's
 */
struct ioctl_row {
	unsigned int cmd;
	unsigned int flags;
	long (*handler)(struct ioctl_call *c, void *data);
};

extern const struct file_operations umbra_vm_fops;
extern const struct file_operations umbra_vcpu_fops;

bool umbra_ioctl_usable(struct umbra_vm *vm);
const struct ioctl_row *umbra_ioctl_find(const struct ioctl_row *rows, unsigned int nr,
					 unsigned int cmd);
long umbra_ioctl_call(const struct ioctl_row *row, struct ioctl_call *c);
long umbra_ioctl_unknown(const struct ioctl_call *c, unsigned int cmd);

/* Handlers of more than one kind of fd. */
long umbra_ioctl_check_extension(struct ioctl_call *c, void *data);
long umbra_ioctl_get_msrs(struct ioctl_call *c, void *data);
long umbra_ioctl_set_msrs(struct ioctl_call *c, void *data);
long umbra_ioctl_stats_fd(struct ioctl_call *c, void *data);

#endif
