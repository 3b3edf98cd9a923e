// SPDX-License-Identifier: GPL-2.0-only
/* The answers to a vCPU's exits, also to those that no lab machine gives. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "../vm.h"
#include "tap.h"

/* What the fake device does next: an errno of KVM_RUN's, or an exit. */
struct step {
	int ret;
	struct kvm_run run;
	uint8_t data[32];	/* of a port access */
};

#define DATA_OFFSET	4096
#define RUN_SIZE	8192

static const struct step *next_step;
static uint8_t answered[32];	/* the port data that the last exit left behind */
static uint8_t answered_mmio[8];
static uint8_t immediate_exit;	/* as KVM_RUN found it */
static struct vm *the_vm;
static bool stop_late;		/* another vCPU stops the VM while this one is in the guest */

/* These stand in for libumbra and for vm.c. */
int umbra_vcpu_run(struct umbra_vcpu *vcpu)
{
	const struct step *s = next_step++;

	immediate_exit = vcpu->run->immediate_exit;
	memcpy(answered, (uint8_t *)vcpu->run + DATA_OFFSET, sizeof(answered));
	memcpy(answered_mmio, vcpu->run->mmio.data, sizeof(answered_mmio));
	*vcpu->run = s->run;
	memcpy((uint8_t *)vcpu->run + DATA_OFFSET, s->data, sizeof(s->data));
	if (stop_late)
		vm_stop(the_vm, STOP_POWEROFF);
	return s->ret;
}

int umbra_ioctl(int fd, unsigned long cmd, const char *name, unsigned long arg,
		struct umbra_err *err)
{
	(void)fd;
	(void)name;
	(void)err;
	if (cmd == KVM_GET_REGS)
		((struct kvm_regs *)arg)->rip = 0x1234;
	if (cmd == KVM_TRANSLATE)
		*(struct kvm_translation *)arg = (struct kvm_translation){
			.valid = 1, .physical_address = 0x1234,
		};
	if (cmd == UMBRA_GET_ENTRY_FAILURE)
		*(struct umbra_entry_failure *)arg = (struct umbra_entry_failure){
			.check = "Checks on This: that",
		};
	return 0;
}

int umbra_exit_stats(const struct umbra_vm *vm, uint32_t vcpu, uint32_t reason,
		     struct umbra_exit_stats *out, struct umbra_err *err)
{
	(void)vm;
	(void)vcpu;
	(void)reason;
	(void)out;
	(void)err;
	return -ENOTTY;
}

const char *umbra_exit_name(uint32_t reason)
{
	return reason == KVM_EXIT_DEBUG ? "KVM_EXIT_DEBUG" : "unknown";
}

bool vm_stop(struct vm *vm, enum stop_why why)
{
	int none = STOP_NOT;

	return atomic_compare_exchange_strong(&vm->stop, &none, why);
}

/* A device of one register that ends the VM when 0xff is written to it. */
struct probe {
	struct vm *vm;
	unsigned int writes;
	uint32_t last;
};

static uint32_t probe_read(void *dev, uint16_t off, unsigned int size)
{
	(void)off;
	(void)size;
	return 0xa0 + ((struct probe *)dev)->writes++;
}

static void probe_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	struct probe *p = dev;

	(void)off;
	(void)size;
	p->writes++;
	p->last = value;
	if (value == 0xff)
		vm_stop(p->vm, STOP_POWEROFF);
}

static const struct bus_ops probe_ops = { "probe", 4, probe_read, probe_write };

static struct vm *new_vm(struct probe *p)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	the_vm = vm;
	*p = (struct probe){ .vm = vm };
	vm->vcpus = calloc(1, sizeof(*vm->vcpus));
	vm->vcpus->vm = vm;
	vm->vcpus->kvm.run = calloc(1, RUN_SIZE);
	vm->ram.host = calloc(1, 65536);
	vm->ram.size = 65536;
	vm->pio.top = UINT16_MAX;
	vm->mmio.top = UINT64_MAX;
	bus_add(&vm->mmio, 0xfeb00000, 8, &probe_ops, p);
	bus_add(&vm->pio, 0x10, 4, &probe_ops, p);
	return vm;
}

static void free_vm(struct vm *vm)
{
	free(vm->ram.host);
	free(vm->vcpus->kvm.run);
	free(vm->vcpus);
	free(vm);
}

#define IO(dir, sz, n)	{ .exit_reason = KVM_EXIT_IO, .io = { .direction = (dir), .size = (sz), \
			  .count = (n), .port = 0x10, .data_offset = DATA_OFFSET } }
#define OFF		{ .run = IO(KVM_EXIT_IO_OUT, 1, 1), .data = { 0xff } }

static void run(struct vm *vm, const struct step *script)
{
	next_step = script;
	vm_run_vcpu(vm->vcpus);
}

static void test_io(struct tap *tap)
{
	static const struct step out[] = {
		{ .ret = -EINTR }, { .ret = -EAGAIN },
		{ .run = IO(KVM_EXIT_IO_OUT, 2, 3), .data = { 1, 0, 2, 0, 3, 1 } },
		OFF,
	};
	static const struct step in[] = { { .run = IO(KVM_EXIT_IO_IN, 1, 4) }, OFF };
	static const struct step mmio[] = {
		{ .run = { .exit_reason = KVM_EXIT_MMIO, .mmio = { .len = 8 } } }, OFF,
	};
	struct probe p;
	struct vm *vm = new_vm(&p);

	run(vm, out);
	tap_ok(tap, p.writes == 4 && atomic_load(&vm->stop) == STOP_POWEROFF && vm->vcpus->stats.io == 2 &&
	       vm->vcpus->stats.interrupted == 2, "vcpu: port writes, repeated ones too; signals");
	free_vm(vm);

	vm = new_vm(&p);
	run(vm, in);
	tap_ok(tap, p.writes == 5 && !memcmp(answered, "\xa0\xa1\xa2\xa3", 5),
	       "vcpu: port reads, repeated");
	free_vm(vm);

	vm = new_vm(&p);
	run(vm, mmio);
	tap_ok(tap, vm->vcpus->stats.mmio == 1 && !memcmp(answered_mmio, "\xff\xff\xff\xff\xff\xff\xff\xff", 8),
	       "vcpu: memory where nothing is reads all ones");
	free_vm(vm);
}

static const struct {
	const char *name;
	struct step step;
	enum stop_why why;
	const char *says;
} ends[] = {
	{ "triple fault", { .run = { .exit_reason = KVM_EXIT_SHUTDOWN } },
	  STOP_TRIPLE_FAULT, "triple fault at rip 0x1234 on vCPU 0" },
	{ "entry failure", { .run = { .exit_reason = KVM_EXIT_FAIL_ENTRY, .fail_entry = {
		.hardware_entry_failure_reason = 0xffffffffffffffffull, .cpu = 7 } } },
	  STOP_ENTRY_FAILED, "reason 0xffffffffffffffff on CPU 7" },
	{ "emulation failure with its bytes", { .run = { .exit_reason = KVM_EXIT_INTERNAL_ERROR,
		.emulation_failure = { .suberror = KVM_INTERNAL_ERROR_EMULATION, .ndata = 4,
			.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
			{ { .insn_size = 3, .insn_bytes = { 0x0f, 0x0b, 0x90 } } } } } },
	  STOP_INTERNAL, "suberror 1, at rip 0x1234 on vCPU 0, instruction bytes 0f 0b 90" },
	{ "emulation failure, bytes read from the guest", { .run = {
		.exit_reason = KVM_EXIT_INTERNAL_ERROR,
		.internal = { .suberror = KVM_INTERNAL_ERROR_EMULATION } } },
	  STOP_INTERNAL, "instruction bytes 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00" },
	{ "an absurd instruction length", { .run = { .exit_reason = KVM_EXIT_INTERNAL_ERROR,
		.emulation_failure = { .suberror = KVM_INTERNAL_ERROR_EMULATION, .ndata = 4,
			.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
			{ { .insn_size = 200 } } } } },
	  STOP_INTERNAL, "instruction bytes 00 00" },
	{ "an exit without an answer", { .run = { .exit_reason = KVM_EXIT_DEBUG } },
	  STOP_INTERNAL, "reason 4 (KVM_EXIT_DEBUG)" },
	{ "an exit that nobody knows", { .run = { .exit_reason = 0xffffffff } },
	  STOP_INTERNAL, "4294967295 (unknown)" },
	{ "KVM_RUN fails", { .ret = -EFAULT }, STOP_INTERNAL, "KVM_RUN of vCPU 0: Bad address" },
};

/* Of two vCPUs that stop the VM the first one says why. */
static void test_first(struct tap *tap)
{
	static const struct step fault = { .run = { .exit_reason = KVM_EXIT_SHUTDOWN } };
	struct probe p;
	struct vm *vm = new_vm(&p);
	bool first = vm_stop(vm, STOP_POWEROFF), second = vm_stop(vm, STOP_RESET);

	tap_ok(tap, first && !second && atomic_load(&vm->stop) == STOP_POWEROFF,
	       "vcpu: the first reason to stop stands");
	/* As a vCPU does that was in the guest when the other one stopped the VM. */
	atomic_store(&vm->stop, STOP_NOT);
	next_step = &fault;
	stop_late = true;
	vm_run_vcpu(vm->vcpus);
	stop_late = false;
	tap_ok(tap, atomic_load(&vm->stop) == STOP_POWEROFF && !vm->stop_text[0],
	       "vcpu: a vCPU that fails later does not say why instead");
	free_vm(vm);
}

static void *run_in_thread(void *arg)
{
	struct vm *vm = arg;

	vm_run_vcpu(vm->vcpus);
	pause_drop_thread(&vm->pause);
	return NULL;
}

static bool wait_idle(struct vm *vm)
{
	struct pollfd pfd = { .fd = vm->pause.idle_fd, .events = POLLIN };
	eventfd_t n;

	return poll(&pfd, 1, 60000) == 1 && !eventfd_read(pfd.fd, &n);
}

static void test_pause(struct tap *tap)
{
	static const struct step kicked[] = {
		{ .ret = -EINTR, .run.immediate_exit = 1 }, OFF,
	};
	static const struct step off[] = { OFF };
	struct probe p;
	struct vm *vm = new_vm(&p);
	pthread_t thread;
	bool idle;

	run(vm, kicked);
	tap_ok(tap, !immediate_exit, "vcpu: a kick is over once KVM_RUN has returned for it");
	free_vm(vm);

	vm = new_vm(&p);
	next_step = off;
	idle = !pause_init(&vm->pause);
	pause_begin(&vm->pause);
	pause_add_thread(&vm->pause);
	pthread_create(&thread, NULL, run_in_thread, vm);
	idle = idle && wait_idle(vm) && pause_idle(&vm->pause);
	tap_ok(tap, idle && next_step == off, "vcpu: a paused one does not enter the guest");
	pause_end(&vm->pause);
	pthread_join(thread, NULL);
	tap_ok(tap, next_step == off + 1, "vcpu: and goes on where the pause ends");
	pause_destroy(&vm->pause);
	free_vm(vm);

	vm = new_vm(&p);
	idle = !pause_init(&vm->pause);
	pause_begin(&vm->pause);
	pause_add_thread(&vm->pause);
	pthread_create(&thread, NULL, run_in_thread, vm);
	idle = idle && wait_idle(vm);
	vm_stop(vm, STOP_USER);
	pause_wake(&vm->pause);
	pthread_join(thread, NULL);
	tap_ok(tap, idle && next_step == off + 1 && pause_idle(&vm->pause),
	       "vcpu: a paused one can be stopped");
	pause_destroy(&vm->pause);
	free_vm(vm);
}

int main(void)
{
	struct tap tap = { 0 };
	struct probe p;
	size_t i;

	test_io(&tap);
	test_first(&tap);
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct vm *vm = new_vm(&p);

		run(vm, &ends[i].step);
		tap_ok(&tap, atomic_load(&vm->stop) == (int)ends[i].why &&
		       strstr(vm->stop_text, ends[i].says) && !strchr(vm->stop_text, '\n') &&
		       (ends[i].why == STOP_ENTRY_FAILED) == !!strstr(vm->refusal, "This: that\n"),
		       "vcpu: %s", ends[i].name);
		free_vm(vm);
	}
	test_pause(&tap);
	return tap_done(&tap);
}
