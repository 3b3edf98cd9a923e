// SPDX-License-Identifier: GPL-2.0-only
/* libumbra: thin wrapper of KVM's ioctls. The contract of each is in libumbra.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libumbra.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

int umbra_fail(struct umbra_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return code;
}

int umbra_ioctl(int fd, unsigned long cmd, const char *name, unsigned long arg,
		struct umbra_err *err)
{
	int ret = ioctl(fd, cmd, arg);
	int code = errno;

	if (ret >= 0)
		return ret;
	return umbra_fail(err, -code, "%s: %s", name, strerror(code));
}

int umbra_dev_open(const char *path, struct umbra_err *err)
{
	int fd, version;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		int code = errno;

		return umbra_fail(err, -code, "%s: %s", path, strerror(code));
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0UL);
	if (version == KVM_API_VERSION)
		return fd;
	close(fd);
	if (version < 0)
		return umbra_fail(err, -EPROTO, "%s: does not answer KVM's ioctls", path);
	return umbra_fail(err, -EPROTO, "%s: API version %d, wanted %d", path, version,
			  KVM_API_VERSION);
}

int umbra_check_cap(int fd, int nr)
{
	int ret = ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)nr);

	return ret < 0 ? 0 : ret;
}

const struct umbra_cap *umbra_missing_cap(int fd, const struct umbra_cap *caps)
{
	for (; caps->name; caps++)
		if (!umbra_check_cap(fd, caps->nr))
			return caps;
	return NULL;
}

int umbra_vm_open(struct umbra_vm *vm, const char *path, struct umbra_err *err)
{
	int ret;

	*vm = (struct umbra_vm){ .dev_fd = -1, .fd = -1 };
	ret = umbra_dev_open(path, err);
	if (ret < 0)
		return ret;
	vm->dev_fd = ret;
	ret = UMBRA_IOCTL(vm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0, err);
	if (ret >= 0 && (size_t)ret < sizeof(struct kvm_run))
		ret = umbra_fail(err, -EPROTO, "KVM_GET_VCPU_MMAP_SIZE: %d bytes are too few", ret);
	if (ret >= 0) {
		vm->run_size = (size_t)ret;
		ret = UMBRA_IOCTL(vm->dev_fd, KVM_CREATE_VM, 0, err);
	}
	if (ret < 0) {
		umbra_vm_close(vm);
		return ret;
	}
	vm->fd = ret;
	return 0;
}

int umbra_vm_set_name(const struct umbra_vm *vm, const char *name, struct umbra_err *err)
{
	struct umbra_name n = { "" };

	if (strlen(name) >= sizeof(n.name))
		return umbra_fail(err, -EINVAL, "%.80s: too long for a VM's name", name);
	memcpy(n.name, name, strlen(name));
	return UMBRA_IOCTL(vm->fd, UMBRA_SET_NAME, &n, err);
}

int umbra_exit_stats(const struct umbra_vm *vm, uint32_t vcpu, uint32_t reason,
		     struct umbra_exit_stats *out, struct umbra_err *err)
{
	*out = (struct umbra_exit_stats){ .vcpu = vcpu, .reason = reason };
	return UMBRA_IOCTL(vm->fd, UMBRA_GET_EXIT_STATS, out, err);
}

void umbra_vm_close(struct umbra_vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->dev_fd >= 0)
		close(vm->dev_fd);
	vm->fd = -1;
	vm->dev_fd = -1;
}

int umbra_vm_add_memory(struct umbra_vm *vm, uint32_t slot, uint32_t flags,
			uint64_t gpa, uint64_t size, void *hva, struct umbra_err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return UMBRA_IOCTL(vm->fd, KVM_SET_USER_MEMORY_REGION, &region, err);
}

int umbra_irq_line(const struct umbra_vm *vm, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}

int umbra_vcpu_create(struct umbra_vm *vm, uint32_t id, struct umbra_vcpu *vcpu,
		      struct umbra_err *err)
{
	void *run;
	int fd;

	*vcpu = (struct umbra_vcpu){ .fd = -1, .id = id };
	fd = UMBRA_IOCTL(vm->fd, KVM_CREATE_VCPU, id, err);
	if (fd < 0)
		return fd;
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED) {
		int code = errno;

		close(fd);
		return umbra_fail(err, -code, "mapping vCPU %u: %s", id, strerror(code));
	}
	vcpu->fd = fd;
	vcpu->run = run;
	vcpu->run_size = vm->run_size;
	return 0;
}

void umbra_vcpu_close(struct umbra_vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	vcpu->run = NULL;
	vcpu->fd = -1;
}

int umbra_vcpu_run(struct umbra_vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0UL) < 0 ? -errno : 0;
}

int umbra_supported_cpuid(int dev_fd, struct kvm_cpuid2 **out, struct umbra_err *err)
{
	uint32_t room;

	for (room = 64; room <= 1024; room *= 2) {
		struct kvm_cpuid2 *list;
		int ret;

		list = calloc(1, sizeof(*list) + room * sizeof(list->entries[0]));
		if (!list)
			return umbra_fail(err, -ENOMEM, "no memory for %u CPUID entries", room);
		list->nent = room;
		ret = UMBRA_IOCTL(dev_fd, KVM_GET_SUPPORTED_CPUID, list, err);
		if (ret >= 0) {
			*out = list;
			return 0;
		}
		free(list);
		if (ret != -E2BIG)
			return ret;
	}
	return -E2BIG;
}

int umbra_set_msrs(struct umbra_vcpu *vcpu, const struct kvm_msr_entry *msrs,
		   uint32_t count, struct umbra_err *err)
{
	size_t size = sizeof(struct kvm_msrs) + count * sizeof(*msrs);
	struct kvm_msrs *list = calloc(1, size);
	int ret;

	if (!list)
		return umbra_fail(err, -ENOMEM, "no memory for %u MSRs", count);
	list->nmsrs = count;
	memcpy(list->entries, msrs, count * sizeof(*msrs));
	ret = UMBRA_IOCTL(vcpu->fd, KVM_SET_MSRS, list, err);
	free(list);
	if (ret < 0)
		return ret;
	if ((uint32_t)ret < count)
		return umbra_fail(err, -EINVAL, "KVM_SET_MSRS: MSR %#x refused (value %#llx)",
				  msrs[ret].index, (unsigned long long)msrs[ret].data);
	return 0;
}

const char *umbra_exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "KVM_EXIT_UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "KVM_EXIT_EXCEPTION",
		[KVM_EXIT_IO] = "KVM_EXIT_IO",
		[KVM_EXIT_HYPERCALL] = "KVM_EXIT_HYPERCALL",
		[KVM_EXIT_DEBUG] = "KVM_EXIT_DEBUG",
		[KVM_EXIT_HLT] = "KVM_EXIT_HLT",
		[KVM_EXIT_MMIO] = "KVM_EXIT_MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "KVM_EXIT_IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "KVM_EXIT_SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "KVM_EXIT_FAIL_ENTRY",
		[KVM_EXIT_INTR] = "KVM_EXIT_INTR",
		[KVM_EXIT_SET_TPR] = "KVM_EXIT_SET_TPR",
		[KVM_EXIT_TPR_ACCESS] = "KVM_EXIT_TPR_ACCESS",
		[KVM_EXIT_NMI] = "KVM_EXIT_NMI",
		[KVM_EXIT_INTERNAL_ERROR] = "KVM_EXIT_INTERNAL_ERROR",
		[KVM_EXIT_SYSTEM_EVENT] = "KVM_EXIT_SYSTEM_EVENT",
		[KVM_EXIT_IOAPIC_EOI] = "KVM_EXIT_IOAPIC_EOI",
	};

	if (reason < ARRAY_SIZE(names) && names[reason])
		return names[reason];
	return "unknown";
}
