// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each call without memory: its first allocation fails, then its second, and so on
 * until all are passed. A call that fails says ENOMEM and leaves nothing behind, so
 * that it does when it is tried again; what takes something away never fails. Needs
 * a kernel that makes allocations fail on request: the lab's debug kernel does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/umbra.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define MAX_ALLOCATIONS	500
#define EXTRA		0x20000000ULL

static int nth_fd = -1;

static void put_text(const char *dir, const char *name, const char *text)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP("this kernel does not make allocations fail");
	ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* Also those that could wait for memory, and no report of each in the kernel's log. */
static void need_failures(void)
{
	put_text("failslab", "ignore-gfp-wait", "N");
	put_text("failslab", "verbose", "0");
	put_text("fail_page_alloc", "ignore-gfp-wait", "N");
	put_text("fail_page_alloc", "ignore-gfp-highmem", "N");
	put_text("fail_page_alloc", "min-order", "0");
	put_text("fail_page_alloc", "verbose", "0");
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT(nth_fd >= 0);
}

/* The @n-th allocation of this thread from now on fails, one time. 0: none. */
static void fail_nth(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	ASSERT(pwrite(nth_fd, text, len, 0) == len);
}

static bool has_failed(void)
{
	char text[16] = "";

	ASSERT(pread(nth_fd, text, sizeof(text) - 1, 0) > 0);
	return !strtoul(text, NULL, 10);
}

/* What a case works on; the descriptors that it makes are closed behind it. */
struct subject {
	struct vm vm;
	struct vcpu *v;
	void *wide;
	int event, event2, made;
};

static int slot(struct subject *s, uint32_t flags, uint64_t gpa, uint64_t size)
{
	return vm_slot(&s->vm, 1, flags, gpa, size, s->vm.mem);
}

static long make_vm(struct subject *s)
{
	return s->made = ioctl(s->vm.sys, KVM_CREATE_VM, 0UL);
}

static long make_vcpu(struct subject *s)
{
	return s->made = ioctl(s->vm.fd, KVM_CREATE_VCPU, 1UL);
}

static long make_chips(struct subject *s)
{
	return ioctl(s->vm.fd, KVM_CREATE_IRQCHIP, 0UL);
}

static long make_split_chip(struct subject *s)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	return ioctl(s->vm.fd, KVM_ENABLE_CAP, &cap);
}

static long make_pit(struct subject *s)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return ioctl(s->vm.fd, KVM_CREATE_PIT2, &pit);
}

static void enable_rings(struct subject *s)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .args = { 1 << 16 },
	};

	ASSERT(!ioctl(s->vm.fd, KVM_ENABLE_CAP, &cap));
}

static long add_slot(struct subject *s)
{
	return slot(s, 0, EXTRA, MEM_SIZE);
}

static void with_slot(struct subject *s)
{
	ASSERT(!add_slot(s));
}

static long log_slot(struct subject *s)
{
	return slot(s, KVM_MEM_LOG_DIRTY_PAGES, EXTRA, MEM_SIZE);
}

static long move_slot(struct subject *s)
{
	return slot(s, 0, 2 * EXTRA, MEM_SIZE);
}

static long delete_slot(struct subject *s)
{
	return slot(s, 0, 0, 0);
}

static void with_log(struct subject *s)
{
	ASSERT(!log_slot(s));
}

static long get_log(struct subject *s)
{
	static uint64_t bitmap[MEM_SIZE / 4096 / 64] = { 1 };
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	return ioctl(s->vm.fd, KVM_GET_DIRTY_LOG, &log);
}

static long doorbell(struct subject *s, uint32_t flags)
{
	struct kvm_ioeventfd e = {
		.addr = GPA_HOLE, .len = 4, .fd = s->event, .flags = flags,
	};

	return ioctl(s->vm.fd, KVM_IOEVENTFD, &e);
}

static long add_doorbell(struct subject *s)
{
	return doorbell(s, 0);
}

static void with_doorbell(struct subject *s)
{
	ASSERT(!add_doorbell(s));
}

static long remove_doorbell(struct subject *s)
{
	return doorbell(s, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static long irqfd(struct subject *s, uint32_t flags)
{
	struct kvm_irqfd i = {
		.fd = s->event, .gsi = 5, .flags = flags, .resamplefd = s->event2,
	};

	return ioctl(s->vm.fd, KVM_IRQFD, &i);
}

static long add_irqfd(struct subject *s)
{
	return irqfd(s, 0);
}

static long add_resampler(struct subject *s)
{
	return irqfd(s, KVM_IRQFD_FLAG_RESAMPLE);
}

static void with_resampler(struct subject *s)
{
	ASSERT(!add_resampler(s));
}

static long remove_irqfd(struct subject *s)
{
	return irqfd(s, KVM_IRQFD_FLAG_DEASSIGN);
}

static const struct kvm_coalesced_mmio_zone zone = { .addr = GPA_HOLE, .size = 4096 };

static long add_zone(struct subject *s)
{
	return ioctl(s->vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

static void with_zone(struct subject *s)
{
	ASSERT(!add_zone(s));
}

static long remove_zone(struct subject *s)
{
	return ioctl(s->vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone);
}

static long set_routes(struct subject *s)
{
	static struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[2];
	} r = {
		.head.nr = 2,
		.entry = {
			{ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP,
			  .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 7 } },
			{ .gsi = 40, .type = KVM_IRQ_ROUTING_MSI,
			  .u.msi.address_lo = APIC_BASE_GPA },
		},
	};

	return ioctl(s->vm.fd, KVM_SET_GSI_ROUTING, &r);
}

static struct kvm_cpuid2 *cpuid_table;

static void with_cpuid(struct subject *s)
{
	(void)s;
	cpuid_table = supported_cpuid();
}

static long set_cpuid(struct subject *s)
{
	return ioctl(s->v->fd, KVM_SET_CPUID2, cpuid_table);
}

static long get_cpuid(struct subject *s)
{
	cpuid_table->nent = 256;
	return ioctl(s->vm.sys, KVM_GET_SUPPORTED_CPUID, cpuid_table);
}

static long set_msr(struct subject *s)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry = { .index = MSR_STAR, .data = 5 } };

	return ioctl(s->v->fd, KVM_SET_MSRS, &m);
}

static long get_lapic(struct subject *s)
{
	struct kvm_lapic_state state;

	return ioctl(s->v->fd, KVM_GET_LAPIC, &state);
}

static void touch(void)
{
	uint64_t at;

	/* Memory in several tables, and a device. */
	for (at = GPA_TEST; at < MEM_SIZE; at += 1 << 20)
		*(volatile uint64_t *)at = at;
	outb(0x80, 1);
	guest_done();
}

static long run(struct subject *s)
{
	int r;

	for (;;) {
		r = vcpu_run_raw(s->v);
		if (r || guest_said(s->v, PORT_DONE, NULL))
			return r;
		if (s->v->run->exit_reason != KVM_EXIT_IO) {
			vcpu_diag(s->v);
			errno = EIO;
			return -1;
		}
	}
}

static void set_mode(struct subject *s, uint32_t mode)
{
	if (ioctl(s->vm.fd, UMBRA_SET_MMU, &mode))
		SKIP("no shadow modes: %s", strerror(errno));
}

static void in_shadow(struct subject *s)
{
	set_mode(s, UMBRA_MMU_SHADOW_LAZY);
}

#define WIDE	(48u << 20)

static void touch_wide(void)
{
	uint64_t at;

	/* A table for each of 2 MiB: more than are kept. */
	for (at = EXTRA; at < EXTRA + WIDE; at += 2 << 20)
		*(volatile uint64_t *)at = at;
	guest_done();
}

/* From the lazy mode to the eager one all tables go, and what some were made of is kept. */
static void with_spares(struct subject *s)
{
	in_shadow(s);
	s->wide = map_pages(WIDE);
	ASSERT(!vm_slot(&s->vm, 1, 0, EXTRA, WIDE, s->wide));
	vcpu_long_mode(s->v, touch_wide);
	ASSERT(run(s) >= 0);
	set_mode(s, UMBRA_MMU_SHADOW_EAGER);
	ASSERT(figure(s->vm.fd, "mmu_spare_pages") > 0);
	vcpu_long_mode(s->v, touch_wide);
}

static long close_all(struct subject *s)
{
	munmap(s->v->run, s->v->run_size);
	close(s->v->fd);
	close(s->vm.fd);
	s->v = NULL;
	s->vm.nr_vcpus = 0;
	s->vm.fd = -1;
	return 0;
}

#define NO_VCPU		1	/* before there is one */
#define NO_CHIP		2
#define SURE		4	/* needs no memory, or does without */
#define TOUCHES		8	/* guest memory that the host has to find first: EFAULT too */

static const struct no_memory {
	const char *name;
	long (*call)(struct subject *s);
	unsigned int flags;
	void (*before)(struct subject *s);
} calls[] = {
	{ "CREATE_VM", make_vm, NO_VCPU },
	{ "CREATE_VCPU", make_vcpu },
	{ "CREATE_VCPU with a dirty ring", make_vcpu, NO_VCPU, enable_rings },
	{ "CREATE_VCPU without chips", make_vcpu, NO_CHIP },
	{ "CREATE_IRQCHIP", make_chips, NO_VCPU | NO_CHIP },
	{ "a split chip", make_split_chip, NO_VCPU | NO_CHIP },
	{ "CREATE_PIT2", make_pit },
	{ "a slot", add_slot },
	{ "a slot's log", log_slot, 0, with_slot },
	{ "a slot that moves", move_slot, 0, with_slot },
	{ "a slot that goes", delete_slot, 0, with_log },
	{ "GET_DIRTY_LOG", get_log, 0, with_log },
	{ "an ioeventfd", add_doorbell },
	{ "an ioeventfd that goes", remove_doorbell, SURE, with_doorbell },
	{ "an irqfd", add_irqfd },
	{ "an irqfd with a resampler", add_resampler },
	{ "an irqfd that goes", remove_irqfd, SURE, with_resampler },
	{ "a zone of coalesced writes", add_zone },
	{ "a zone that goes", remove_zone, SURE, with_zone },
	{ "SET_GSI_ROUTING", set_routes },
	{ "SET_CPUID2", set_cpuid, 0, with_cpuid },
	{ "GET_SUPPORTED_CPUID", get_cpuid, 0, with_cpuid },
	{ "SET_MSRS", set_msr },
	{ "GET_LAPIC", get_lapic },
	{ "RUN", run, TOUCHES },
	{ "RUN in a shadow mode", run, TOUCHES, in_shadow },
	{ "RUN with spare tables", run, TOUCHES, with_spares },
	{ "the end of a VM with everything", close_all, SURE, with_resampler },
};

static void subject_make(struct subject *s, const struct no_memory *c)
{
	memset(s, 0, sizeof(*s));
	s->made = -1;
	vm_init(&s->vm, c->flags & NO_CHIP ? 0 : VM_IRQCHIP);
	if (!(c->flags & NO_VCPU)) {
		s->v = vm_vcpu(&s->vm, 0);
		vcpu_long_mode(s->v, touch);
	}
	s->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	s->event2 = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT(s->event >= 0 && s->event2 >= 0);
	if (c->before)
		c->before(s);
}

static void subject_end(struct subject *s)
{
	if (s->made >= 0)
		close(s->made);
	close(s->event);
	close(s->event2);
	vm_free(&s->vm);
	if (s->wide)
		munmap(s->wide, WIDE);
}

/* false: all allocations are passed */
static bool nth_fails(const struct no_memory *c, unsigned int n)
{
	struct subject s;
	bool failed;
	long r;
	int e;

	subject_make(&s, c);
	fail_nth(n);
	r = c->call(&s);
	e = errno;
	failed = has_failed();
	fail_nth(0);
	if (r < 0 && (c->flags & SURE || !failed ||
		      (e != ENOMEM && !(c->flags & TOUCHES && e == EFAULT))))
		ktap_fail(__FILE__, __LINE__, "allocation %u: %s", n, strerror(e));
	else if (r < 0)
		EXPECT_MSG(c->call(&s) >= 0, "after allocation %u: %s", n, strerror(errno));
	subject_end(&s);
	return failed && !ktap_failed();
}

TEST_EACH_SECONDS(no_memory, "each allocation fails once (70): ", calls, c, 60)
{
	unsigned int n = 1;

	need_failures();
	while (n < MAX_ALLOCATIONS && nth_fails(c, n))
		n++;
	ktap_diag("%u allocations", n - 1);
	EXPECT(n < MAX_ALLOCATIONS);
}
