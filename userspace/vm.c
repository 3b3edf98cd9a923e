// SPDX-License-Identifier: GPL-2.0-only
/* Putting a VM together, and taking it apart. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "boot/e820.h"
#include "exitcode.h"
#include "machine.h"
#include "mmu.h"
#include "util.h"
#include "vm.h"
#include "vm_control.h"

#define HUGE_PAGE	0x200000ull
/* KVM wants three pages and one more for itself, on Intel without unrestricted guests. */
#define IDENTITY_MAP_ADDR	0xfffbc000ull
#define TSS_ADDR		0xfffbd000ul

#define COM1_PORT	0x3f8
#define COM1_GSI	4
#define COM2_PORT	0x2f8
#define COM2_GSI	3

static const struct umbra_cap needed[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_PIT2, "KVM_CAP_PIT2" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ 0, NULL },
};

static void board_set_irq(void *ctx, unsigned int gsi, bool level)
{
	struct vm *vm = ctx;

	umbra_irq_line(&vm->kvm, gsi, level);
}

static void board_stop(void *ctx, enum stop_why why)
{
	vm_stop(ctx, why);
}

static int64_t rtc_now(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void rtc_arm(void *ctx, uint64_t ns)
{
	const struct vm *vm = ctx;
	struct itimerspec when = {
		.it_value = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) },
	};

	timerfd_settime(vm->rtc_timer, 0, &when, NULL);
}

static int open_device(struct vm *vm, struct umbra_err *err)
{
	const struct umbra_cap *missing;
	struct judge_verdict verdict;
	struct judge_words words;
	struct umbra_err detail;
	int most, ret = umbra_vm_open(&vm->kvm, vm->cfg->dev, &detail);

	if (ret) {
		machine_words(&words);
		verdict = judge_words(&words);
		return open_failure(vm->cfg->dev, ret, detail.text, &verdict, err->text,
				    sizeof(err->text));
	}
	missing = umbra_missing_cap(vm->kvm.fd, needed);
	if (missing)
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "%s lacks %s, which a guest needs; use a newer hypervisor module",
				  vm->cfg->dev, missing->name);
	most = umbra_check_cap(vm->kvm.fd, KVM_CAP_MAX_VCPUS);
	if (vm->cfg->cpus > 1 && vm->cfg->cpus > (unsigned int)most)
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "--cpus %u is more than the %d that %s allows; give fewer",
				  vm->cfg->cpus, most, vm->cfg->dev);
	return mmu_choose(&vm->kvm, vm->cfg->dev, vm->cfg->mmu, err);
}

/* The interrupt chips must stand before the first vCPU. */
static int create_chips(struct vm *vm, struct umbra_err *err)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity = IDENTITY_MAP_ADDR;

	if (UMBRA_IOCTL(vm->kvm.fd, KVM_SET_IDENTITY_MAP_ADDR, &identity, err) < 0 ||
	    UMBRA_IOCTL(vm->kvm.fd, KVM_SET_TSS_ADDR, TSS_ADDR, err) < 0 ||
	    UMBRA_IOCTL(vm->kvm.fd, KVM_CREATE_IRQCHIP, 0, err) < 0 ||
	    UMBRA_IOCTL(vm->kvm.fd, KVM_CREATE_PIT2, &pit, err) < 0)
		return UMBRA_EXIT_INTERNAL;
	return 0;
}

static int map_memory(struct vm *vm, struct umbra_err *err)
{
	uint64_t size = vm->cfg->memory;
	uintptr_t base;

	vm->map_size = size + HUGE_PAGE;
	vm->map = mmap(NULL, vm->map_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (vm->map == MAP_FAILED) {
		vm->map = NULL;
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "no %llu MiB of memory for the guest: %s; give less with --memory",
				  (unsigned long long)(size >> 20), strerror(errno));
	}
	/* Huge pages of the host can back huge pages of the guest only if both are aligned. */
	base = ((uintptr_t)vm->map + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
	vm->ram = (struct guest_ram){ .host = (uint8_t *)base, .size = size };
	madvise(vm->ram.host, size, MADV_HUGEPAGE);
	return 0;
}

static int add_memory(struct vm *vm, struct umbra_err *err)
{
	uint64_t size = vm->ram.size, low = mem_low(size);

	if (umbra_vm_add_memory(&vm->kvm, 0, 0, 0, low, vm->ram.host, err) < 0)
		return UMBRA_EXIT_INTERNAL;
	if (size > low && umbra_vm_add_memory(&vm->kvm, 1, 0, MEM_HIGH_BASE, size - low,
					      vm->ram.host + low, err) < 0)
		return UMBRA_EXIT_INTERNAL;
	return 0;
}

static int create_devices(struct vm *vm, struct umbra_err *err)
{
	const struct {
		uint16_t base, len;
		const struct bus_ops *ops;
		void *dev;
	} ports[] = {
		{ I8042_DATA_PORT, 1, &absent_bus_ops, NULL },
		{ I8042_CMD_PORT, 1, &i8042_bus_ops, &vm->board },
		{ RTC_PORT, RTC_PORTS, &rtc_bus_ops, &vm->rtc },
		{ MARK_PORT, 1, &mark_bus_ops, &vm->mark },
		{ COM1_PORT, UART_PORTS, &uart_bus_ops, &vm->com1 },
		{ PM_PORT, PM_PORTS, &pm_bus_ops, &vm->pm },
		{ PCI_ADDR_PORT, 1, &absent_bus_ops, NULL },
		{ RESET_PORT, 1, &reset_bus_ops, &vm->board },
		{ RESET_PORT + 1, 2, &absent_bus_ops, NULL },
		{ PCI_DATA_PORT, 4, &absent_bus_ops, NULL },
	};
	unsigned int i;
	int ret;

	vm->pio.top = UINT16_MAX;
	rtc_init(&vm->rtc, &vm->board, &vm->rtc_host);
	vm->pm = (struct pm){ .board = &vm->board, .control = 1 };
	vm->mark = (struct mark){ .take = vm->cfg->stats ? vm_mark : NULL, .ctx = vm };
	uart_init(&vm->com1, &vm->board, &vm->console.host, COM1_GSI);
	uart_init(&vm->com2, &vm->board, &vm->channel.host, COM2_GSI);
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		ret = bus_add(&vm->pio, ports[i].base, ports[i].len, ports[i].ops, ports[i].dev);
		if (ret)
			return umbra_fail(err, UMBRA_EXIT_INTERNAL, "port %#x: %s", ports[i].base,
					  strerror(-ret));
	}
	if (!vm->cfg->channel)
		return 0;
	ret = bus_add(&vm->pio, COM2_PORT, UART_PORTS, &uart_bus_ops, &vm->com2);
	return ret ? umbra_fail(err, UMBRA_EXIT_INTERNAL, "port %#x: %s", COM2_PORT,
				strerror(-ret)) : 0;
}

static int io_failure(const char *option, const struct umbra_err *detail, int code,
		      struct umbra_err *err)
{
	int exit_code = code == -EACCES || code == -EPERM ? UMBRA_EXIT_NOT_PERMITTED :
			UMBRA_EXIT_MISSING;

	return umbra_fail(err, exit_code, "%s %.200s", option, detail->text);
}

static int open_console(struct vm *vm, struct umbra_err *err)
{
	const char *spec = vm->cfg->console;
	struct umbra_err detail;
	char name[64];
	int ret;

	if (!strcmp(spec, "stdio")) {
		ret = port_open_stdio(&vm->console, &detail);
	} else if (!strcmp(spec, "pty")) {
		ret = port_open_pty(&vm->console, name, sizeof(name), &detail);
		if (!ret)
			complain("console on %s", name);
	} else {
		ret = port_open_file(&vm->console, spec + strlen("file="), &detail);
	}
	if (ret)
		return io_failure("--console", &detail, ret, err);
	if (!vm->cfg->channel)
		return 0;
	ret = port_open_channel(&vm->channel, vm->cfg->channel, &detail);
	return ret ? io_failure("--channel", &detail, ret, err) : 0;
}

static int create_vcpus(struct vm *vm, const struct boot_entry *entry, struct umbra_err *err)
{
	unsigned int i;

	for (i = 0; i < vm->cfg->cpus; i++) {
		struct umbra_vcpu *vcpu = &vm->vcpus[i].kvm;

		if (umbra_vcpu_create(&vm->kvm, i, vcpu, err) ||
		    boot_firmware(&vm->kvm, vcpu, vm->cfg->cpus, err))
			return UMBRA_EXIT_INTERNAL;
	}
	return boot_start(&vm->vcpus[0].kvm, entry, err) ? UMBRA_EXIT_INTERNAL : 0;
}

static int open_disks(struct vm *vm, struct umbra_err *err)
{
	int ret = 0;

	while (!ret && vm->disks_open < vm->cfg->disk_count) {
		unsigned int i = vm->disks_open++;

		ret = disk_open(&vm->disks[i], &vm->cfg->disks[i], &vm->ram, i, err);
	}
	return ret;
}

static int attach_disks(struct vm *vm, struct umbra_err *err)
{
	unsigned int i;
	int ret = 0;

	vm->mmio.top = UINT64_MAX;
	for (i = 0; !ret && i < vm->disks_open; i++)
		ret = disk_attach(&vm->disks[i], &vm->kvm, &vm->mmio, err);
	return ret;
}

static int create_parts(struct vm *vm, struct umbra_err *err)
{
	const struct acpi_machine machine = {
		.cpus = vm->cfg->cpus, .disks = vm->cfg->disk_count,
		.disk_base = DISK_BASE, .disk_stride = DISK_STRIDE, .disk_gsi = DISK_FIRST_GSI,
	};
	struct boot_entry entry;
	int ret;

	/* The files first: what is wrong with them can be said on any machine. */
	ret = map_memory(vm, err);
	if (!ret)
		ret = boot_load(&vm->ram, vm->cfg->kernel, vm->cfg->initrd, vm->cfg->cmdline,
				&machine, &entry, err);
	if (!ret)
		ret = open_disks(vm, err);
	if (!ret)
		ret = open_device(vm, err);
	if (!ret)
		ret = create_chips(vm, err);
	if (!ret)
		ret = add_memory(vm, err);
	if (!ret)
		ret = create_devices(vm, err);
	if (!ret)
		ret = attach_disks(vm, err);
	if (!ret)
		ret = create_vcpus(vm, &entry, err);
	if (!ret && vm->cfg->stats)
		vm_marks_open(vm);
	if (!ret)
		ret = vm_control_open(vm, err);
	/* Last, so that no failure above has to give a terminal back. */
	return ret ? ret : open_console(vm, err);
}

int vm_create(struct vm *vm, const struct vm_config *cfg, struct umbra_err *err)
{
	unsigned int i;

	memset(vm, 0, sizeof(*vm));
	vm->cfg = cfg;
	vm->kvm = (struct umbra_vm){ .dev_fd = -1, .fd = -1 };
	vm->console = PORT_CLOSED;
	vm->channel = PORT_CLOSED;
	control_init(&vm->control);
	vm->pause.idle_fd = -1;
	vm->board = (struct board){ .ctx = vm, .set_irq = board_set_irq, .stop = board_stop };
	vm->rtc_host = (struct rtc_host){ .ctx = vm, .now = rtc_now, .arm = rtc_arm };
	vm->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	vm->rtc_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	vm->vcpus = calloc(cfg->cpus, sizeof(vm->vcpus[0]));
	if (!vm->vcpus)
		return umbra_fail(err, UMBRA_EXIT_INTERNAL, "no memory for %u vCPUs", cfg->cpus);
	for (i = 0; i < cfg->cpus; i++)
		vm->vcpus[i] = (struct vcpu){ .vm = vm, .kvm = { .fd = -1 },
					      .figures = { .fd = -1 } };
	if (vm->done_fd < 0 || vm->rtc_timer < 0 || pause_init(&vm->pause))
		return umbra_fail(err, UMBRA_EXIT_INTERNAL, "eventfd or timerfd: %s",
				  strerror(errno));
	if (port_init(&vm->console, &vm->com1, err) || port_init(&vm->channel, &vm->com2, err))
		return UMBRA_EXIT_INTERNAL;
	return create_parts(vm, err);
}

bool vm_stop(struct vm *vm, enum stop_why why)
{
	int none = STOP_NOT;

	return atomic_compare_exchange_strong(&vm->stop, &none, why);
}

void vm_kick(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->started; i++) {
		/* In this order: a vCPU that enters after the signal sees the flag instead. */
		__atomic_store_n(&vm->vcpus[i].kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(vm->vcpus[i].thread, SIGUSR1);
	}
	pause_wake(&vm->pause);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	vm_run_vcpu(vcpu);
	pause_drop_thread(&vcpu->vm->pause);
	eventfd_write(vcpu->vm->done_fd, 1);
	return NULL;
}

static void on_kick(int sig)
{
	(void)sig;	/* it has interrupted KVM_RUN: that is all */
}

int vm_start(struct vm *vm)
{
	struct sigaction sa = { .sa_handler = on_kick };
	unsigned int i;
	sigset_t kick;
	int ret = 0;

	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&kick);
	sigaddset(&kick, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &kick, NULL);
	for (i = 0; !ret && i < vm->disks_open; i++)
		ret = -disk_start(&vm->disks[i]);
	while (!ret && vm->started < vm->cfg->cpus) {
		struct vcpu *vcpu = &vm->vcpus[vm->started];

		pause_add_thread(&vm->pause);
		ret = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
		if (ret)
			pause_drop_thread(&vm->pause);
		else
			vm->started++;
	}
	if (ret) {
		vm_stop(vm, STOP_INTERNAL);
		vm_kick(vm);
		vm_join(vm);
	}
	return -ret;
}

static void add_stats(struct vcpu_stats *sum, const struct vcpu_stats *one)
{
	sum->exits += one->exits;
	sum->io += one->io;
	sum->mmio += one->mmio;
	sum->interrupted += one->interrupted;
	if (!sum->start_ns || one->start_ns < sum->start_ns)
		sum->start_ns = one->start_ns;
	if (one->end_ns > sum->end_ns)
		sum->end_ns = one->end_ns;
}

void vm_join(struct vm *vm)
{
	unsigned int i;

	while (vm->started) {
		struct vcpu *vcpu = &vm->vcpus[--vm->started];

		pthread_join(vcpu->thread, NULL);
		add_stats(&vm->stats, &vcpu->stats);
	}
	for (i = 0; i < vm->disks_open; i++)
		disk_stop(&vm->disks[i]);
}

void vm_destroy(struct vm *vm)
{
	unsigned int i;

	port_close(&vm->console);
	port_close(&vm->channel);
	uart_destroy(&vm->com1);
	uart_destroy(&vm->com2);
	rtc_destroy(&vm->rtc);
	for (i = 0; vm->vcpus && i < vm->cfg->cpus; i++) {
		if (vm->vcpus[i].figures.fd >= 0)
			close(vm->vcpus[i].figures.fd);
		umbra_vcpu_close(&vm->vcpus[i].kvm);
	}
	free(vm->vcpus);
	vm->vcpus = NULL;
	umbra_vm_close(&vm->kvm);
	while (vm->disks_open)
		disk_close(&vm->disks[--vm->disks_open]);
	if (vm->map)
		munmap(vm->map, vm->map_size);
	/* The end of its connections tells the clients that the VM is gone. */
	vm_control_close(vm);
	pause_destroy(&vm->pause);
	if (vm->done_fd >= 0)
		close(vm->done_fd);
	if (vm->rtc_timer >= 0)
		close(vm->rtc_timer);
	vm->map = NULL;
	vm->done_fd = -1;
	vm->rtc_timer = -1;
}

int vm_write_stats(const struct vm *vm, const char *path)
{
	FILE *f = fopen(path, "we");
	unsigned int i;

	if (!f)
		return -errno;
	vm_marks_write(vm, f);
	fprintf(f, "run_ns %llu\nexits %llu\nexits_io %llu\nexits_mmio %llu\ninterrupted %llu\n"
		"io_unclaimed %llu\n",
		(unsigned long long)(vm->stats.end_ns - vm->stats.start_ns),
		(unsigned long long)vm->stats.exits, (unsigned long long)vm->stats.io,
		(unsigned long long)vm->stats.mmio, (unsigned long long)vm->stats.interrupted,
		(unsigned long long)vm->pio.unclaimed);
	for (i = 0; i < vm->cfg->disk_count; i++)
		disk_write_stats(&vm->disks[i], i, f);
	for (i = 0; i < vm->pio.count; i++)
		if (vm->pio.range[i].hits)
			fprintf(f, "io_%s_%#llx %llu\n", vm->pio.range[i].ops->name,
				(unsigned long long)vm->pio.range[i].base,
				(unsigned long long)vm->pio.range[i].hits);
	return fclose(f) ? -errno : 0;
}
