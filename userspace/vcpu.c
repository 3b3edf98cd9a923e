// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU's thread: KVM_RUN, and a table of answers to its exits. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vm.h"

#define INSN_MAX	15
#define REASONS_MAX	64	/* of exits, with their names */

/* Only the first reason to stop has words; whoever gives it (true) is alone in writing them. */
__attribute__((format(printf, 3, 4)))
static bool stop_with(struct vm *vm, enum stop_why why, const char *fmt, ...)
{
	va_list ap;

	if (!vm_stop(vm, why))
		return false;
	va_start(ap, fmt);
	vsnprintf(vm->stop_text, sizeof(vm->stop_text), fmt, ap);
	va_end(ap);
	return true;
}

static unsigned long long current_rip(const struct vcpu *vcpu)
{
	struct kvm_regs regs = { 0 };

	umbra_ioctl(vcpu->kvm.fd, KVM_GET_REGS, "", (unsigned long)&regs, NULL);
	return regs.rip;
}

static void exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;
	uint32_t i;

	vcpu->stats.io++;
	for (i = 0; i < run->io.count; i++, data += size) {
		uint32_t value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, size);
			bus_write(&vcpu->vm->pio, run->io.port, value, size);
		} else {
			value = bus_read(&vcpu->vm->pio, run->io.port, size);
			memcpy(data, &value, size);
		}
	}
}

/* Where no device is, or not in that width, reads give all ones, writes go nowhere. */
static void exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	struct bus *bus = &vcpu->vm->mmio;
	uint32_t value = 0;

	vcpu->stats.mmio++;
	if (run->mmio.len > sizeof(value)) {
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	} else if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, run->mmio.len);
		bus_write(bus, run->mmio.phys_addr, value, run->mmio.len);
	} else {
		value = bus_read(bus, run->mmio.phys_addr, run->mmio.len);
		memcpy(run->mmio.data, &value, run->mmio.len);
	}
}

static void exit_shutdown(struct vcpu *vcpu)
{
	stop_with(vcpu->vm, STOP_TRIPLE_FAULT, "guest: triple fault at rip %#llx on vCPU %u",
		  current_rip(vcpu), vcpu->kvm.id);
}

/* Stock KVM keeps no record. */
static void tell_refusal(struct vcpu *vcpu)
{
	struct umbra_entry_failure record;
	refusal_reason names[REASONS_MAX];
	struct umbra_exit_stats stats;
	unsigned int nr;

	if (umbra_ioctl(vcpu->kvm.fd, UMBRA_GET_ENTRY_FAILURE, "", (unsigned long)&record, NULL) < 0)
		return;
	for (nr = 0; nr < REASONS_MAX; nr++) {
		if (umbra_exit_stats(&vcpu->vm->kvm, vcpu->kvm.id, nr, &stats, NULL))
			break;
		memcpy(names[nr], stats.name, sizeof(names[nr]));
	}
	refusal_text(vcpu->vm->refusal, &record, names, nr);
}

static void exit_fail_entry(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->kvm.run;
	bool first;

	first = stop_with(vcpu->vm, STOP_ENTRY_FAILED,
		  "guest: the CPU refused to enter vCPU %u: hardware reason %#llx on CPU %u, rip %#llx",
		  vcpu->kvm.id,
		  (unsigned long long)run->fail_entry.hardware_entry_failure_reason,
		  run->fail_entry.cpu, current_rip(vcpu));
	if (first)
		tell_refusal(vcpu);
}

/* The bytes at RIP: from the exit itself where it has them, else through the guest's tables. */
static unsigned int insn_bytes(const struct vcpu *vcpu, uint64_t rip, uint8_t *bytes)
{
	const struct kvm_run *run = vcpu->kvm.run;
	struct kvm_translation tr = { .linear_address = rip };
	const void *at;

	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	    run->emulation_failure.ndata >= 1 &&
	    (run->emulation_failure.flags &
	     KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) &&
	    run->emulation_failure.insn_size <= INSN_MAX) {
		memcpy(bytes, run->emulation_failure.insn_bytes,
		       run->emulation_failure.insn_size);
		return run->emulation_failure.insn_size;
	}
	if (umbra_ioctl(vcpu->kvm.fd, KVM_TRANSLATE, "", (unsigned long)&tr, NULL) < 0 ||
	    !tr.valid)
		return 0;
	at = ram_at(&vcpu->vm->ram, tr.physical_address, INSN_MAX);
	/* One page only: the next may be mapped elsewhere. */
	if (!at || tr.physical_address % 4096 > 4096 - INSN_MAX)
		return 0;
	memcpy(bytes, at, INSN_MAX);
	return INSN_MAX;
}

static void exit_internal_error(struct vcpu *vcpu)
{
	unsigned long long rip = current_rip(vcpu);
	uint8_t bytes[INSN_MAX];
	char hex[INSN_MAX * 3 + 1] = " unknown";
	unsigned int i, n = insn_bytes(vcpu, rip, bytes);

	for (i = 0; i < n; i++)
		snprintf(hex + i * 3, sizeof(hex) - i * 3, " %02x", bytes[i]);
	stop_with(vcpu->vm, STOP_INTERNAL,
		  "the hypervisor gave up: internal error, suberror %u, at rip %#llx on vCPU %u, instruction bytes%s",
		  vcpu->kvm.run->internal.suberror, rip, vcpu->kvm.id, hex);
}

/* KVM_RUN returned 0 for a signal that is already dealt with. */
static void exit_intr(struct vcpu *vcpu)
{
	vcpu->stats.interrupted++;
}

static void (*const on_exit_reason[])(struct vcpu *vcpu) = {
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_INTR] = exit_intr,
};

static void handle_exit(struct vcpu *vcpu)
{
	uint32_t reason = vcpu->kvm.run->exit_reason;

	vcpu->stats.exits++;
	if (reason < sizeof(on_exit_reason) / sizeof(on_exit_reason[0]) && on_exit_reason[reason])
		on_exit_reason[reason](vcpu);
	else
		stop_with(vcpu->vm, STOP_INTERNAL,
			  "the hypervisor returned exit reason %u (%s), which nothing here answers",
			  reason, umbra_exit_name(reason));
}

void vm_run_vcpu(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu->stats.start_ns = clock_ns();
	/* Pairs with vm_kick(): what is to be seen here is set before the kick. */
	while (atomic_load(&vm->stop) == STOP_NOT) {
		int ret;

		if (pause_wanted(&vm->pause)) {
			pause_park(&vm->pause, &vm->stop);
			continue;
		}
		ret = umbra_vcpu_run(&vcpu->kvm);
		if (!ret) {
			handle_exit(vcpu);
		} else if (ret == -EINTR || ret == -EAGAIN) {
			vcpu->stats.interrupted++;
			/* Taken back before we look at what the kick was for. */
			__atomic_store_n(&vcpu->kvm.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		} else {
			stop_with(vm, STOP_INTERNAL, "KVM_RUN of vCPU %u: %s", vcpu->kvm.id,
				  strerror(-ret));
		}
	}
	vcpu->stats.end_ns = clock_ns();
}
