/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libumbra: a thin wrapper of KVM's ioctls, for the runner and the selftests.
 *
 * It speaks KVM's ABI, so it drives /dev/kvm and /dev/umbra alike; what only Umbra
 * has says so.  No function exits, prints or keeps state of its own: each returns 0 (or the
 * stated value) or a negative errno, and then describes the failure in the
 * struct umbra_err that it was given (which may be NULL).
 */
#ifndef LIBUMBRA_H
#define LIBUMBRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>
#include <linux/umbra.h>

#define UMBRA_DEV_DEFAULT	"/dev/umbra"

/** struct umbra_err - what failed. @text: one line, no newline at its end. */
struct umbra_err {
	char text[256];
};

/**
 * umbra_fail() - describe a failure
 * @err: gets the text; may be NULL
 * @code: what the caller wants to return
 *
 * Return: @code.
 */
int umbra_fail(struct umbra_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** struct umbra_cap - a capability that a caller cannot do without. */
struct umbra_cap {
	int nr;			/* KVM_CAP_* */
	const char *name;
};

/** struct umbra_vm - an open device and one VM on it. @fd: -1 before creation. */
struct umbra_vm {
	int dev_fd;
	int fd;
	size_t run_size;	/* bytes of a vCPU's shared page area */
};

/** struct umbra_vcpu - one vCPU and its shared run page. */
struct umbra_vcpu {
	int fd;
	uint32_t id;
	struct kvm_run *run;
	size_t run_size;
};

/**
 * umbra_ioctl() - an ioctl whose failure is described
 * @name: the command's name, for the text
 *
 * Return: the ioctl's own non-negative result, or a negative errno.
 */
int umbra_ioctl(int fd, unsigned long cmd, const char *name, unsigned long arg,
		struct umbra_err *err);

/** UMBRA_IOCTL() - umbra_ioctl() with the command's name taken from the source. */
#define UMBRA_IOCTL(fd, cmd, arg, err) \
	umbra_ioctl(fd, cmd, #cmd, (unsigned long)(arg), err)

/**
 * umbra_dev_open() - open the device node and check its API version
 * @path: such as UMBRA_DEV_DEFAULT
 *
 * Return: a file descriptor; -ENOENT, -EACCES, -EBUSY, -ENODEV... as open()
 * gives them; -EPROTO when the node is no KVM-like device or another version.
 */
int umbra_dev_open(const char *path, struct umbra_err *err);

/** umbra_check_cap() - KVM_CHECK_EXTENSION. Return: its value, 0 on failure. */
int umbra_check_cap(int fd, int nr);

/**
 * umbra_missing_cap() - the first capability of a list that @fd lacks
 * @caps: ends with an entry whose name is NULL
 *
 * Return: the entry, or NULL when none is missing.
 */
const struct umbra_cap *umbra_missing_cap(int fd, const struct umbra_cap *caps);

/**
 * umbra_vm_open() - open @path and create a VM there
 *
 * Return: 0, with @vm filled and to be closed by umbra_vm_close(); a negative
 * errno otherwise, with nothing open.
 */
int umbra_vm_open(struct umbra_vm *vm, const char *path, struct umbra_err *err);

/**
 * umbra_vm_set_name() - UMBRA_SET_NAME
 * @name: 1 to 63 of [A-Za-z0-9._-], a letter or digit first
 *
 * Return: 0; -ENOTTY from stock KVM, which has no names; -EINVAL; -EBUSY when the VM
 * has a name already.
 */
int umbra_vm_set_name(const struct umbra_vm *vm, const char *name, struct umbra_err *err);

/**
 * umbra_exit_stats() - UMBRA_GET_EXIT_STATS
 * @vcpu: the vCPU's id
 * @reason: 0, 1, 2... until -ERANGE
 *
 * Return: 0 with @out filled; -ERANGE no such reason; -ENOENT no such vCPU; -ENOTTY from
 * stock KVM, which keeps no such figures.
 */
int umbra_exit_stats(const struct umbra_vm *vm, uint32_t vcpu, uint32_t reason,
		     struct umbra_exit_stats *out, struct umbra_err *err);

/** umbra_vm_close() - close both descriptors; harmless when done twice. */
void umbra_vm_close(struct umbra_vm *vm);

/**
 * umbra_vm_add_memory() - set one memory slot
 * @slot: slot number
 * @flags: KVM_MEM_*
 * @gpa: guest-physical address, page aligned
 * @size: bytes, page aligned; 0 deletes the slot
 * @hva: where the memory stands in this process
 */
int umbra_vm_add_memory(struct umbra_vm *vm, uint32_t slot, uint32_t flags,
			uint64_t gpa, uint64_t size, void *hva, struct umbra_err *err);

/** umbra_irq_line() - set GSI @gsi to @level. Return: 0 or a negative errno. */
int umbra_irq_line(const struct umbra_vm *vm, uint32_t gsi, bool level);

/** umbra_vcpu_create() - create vCPU @id and map its run page. */
int umbra_vcpu_create(struct umbra_vm *vm, uint32_t id, struct umbra_vcpu *vcpu,
		      struct umbra_err *err);

/** umbra_vcpu_close() - unmap and close; harmless when done twice. */
void umbra_vcpu_close(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_run() - KVM_RUN once
 *
 * Return: 0 with run->exit_reason set; -EINTR on a signal or immediate_exit;
 * another negative errno when the vCPU cannot run.
 */
int umbra_vcpu_run(struct umbra_vcpu *vcpu);

/**
 * umbra_supported_cpuid() - KVM_GET_SUPPORTED_CPUID with a list that fits
 *
 * Return: 0 with *@out to be freed by the caller, or a negative errno.
 */
int umbra_supported_cpuid(int dev_fd, struct kvm_cpuid2 **out, struct umbra_err *err);

/**
 * umbra_set_msrs() - KVM_SET_MSRS, all or nothing as far as the caller sees
 *
 * Return: 0; -EINVAL naming the first MSR that the device refused; another
 * negative errno.
 */
int umbra_set_msrs(struct umbra_vcpu *vcpu, const struct kvm_msr_entry *msrs,
		   uint32_t count, struct umbra_err *err);

/** umbra_exit_name() - the name of a KVM_EXIT_* number, "unknown" if it has none. */
const char *umbra_exit_name(uint32_t reason);

#endif
