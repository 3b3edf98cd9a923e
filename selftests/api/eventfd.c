// SPDX-License-Identifier: GPL-2.0-only
/* Ioeventfds, irqfds and coalesced writes: good calls, bad calls, and calls that race. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define DOORBELL	GPA_HOLE

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	ASSERT(fd >= 0);
	return fd;
}

/* A descriptor that is none, and one of something else. */
static int closed_fd(void)
{
	int fd = new_eventfd();

	close(fd);
	return fd;
}

static int ioeventfd(struct vm *vm, struct kvm_ioeventfd e)
{
	return ioctl(vm->fd, KVM_IOEVENTFD, &e);
}

static int irqfd(struct vm *vm, int fd, uint32_t gsi, uint32_t flags, int resamplefd)
{
	struct kvm_irqfd i = {
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resamplefd,
	};

	return ioctl(vm->fd, KVM_IRQFD, &i);
}

static const struct { const char *name; int cap; } caps[] = {
	{ "KVM_CAP_IOEVENTFD", KVM_CAP_IOEVENTFD },
	{ "KVM_CAP_IOEVENTFD_NO_LENGTH", KVM_CAP_IOEVENTFD_NO_LENGTH },
	{ "KVM_CAP_IOEVENTFD_ANY_LENGTH", KVM_CAP_IOEVENTFD_ANY_LENGTH },
	{ "KVM_CAP_IRQFD", KVM_CAP_IRQFD },
	{ "KVM_CAP_IRQFD_RESAMPLE", KVM_CAP_IRQFD_RESAMPLE },
	{ "KVM_CAP_COALESCED_MMIO", KVM_CAP_COALESCED_MMIO },
	{ "KVM_CAP_COALESCED_PIO", KVM_CAP_COALESCED_PIO },
};

TEST_EACH(caps, "the device has ", caps, c)
{
	EXPECT(dev_cap(c->cap) > 0);
}

#define PIO	KVM_IOEVENTFD_FLAG_PIO
#define MATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define REMOVE	KVM_IOEVENTFD_FLAG_DEASSIGN

static const struct {
	const char *name;
	struct kvm_ioeventfd e;
} bad_events[] = {
	{ "an unknown flag", { .addr = DOORBELL, .len = 4, .flags = 1u << 5 } },
	{ "3 bytes", { .addr = DOORBELL, .len = 3 } },
	{ "16 bytes", { .addr = DOORBELL, .len = 16 } },
	{ "any length and a value to match", { .addr = DOORBELL, .flags = MATCH } },
	{ "an address that wraps", { .addr = ~0ULL, .len = 2 } },
};

TEST_EACH(bad_events, "KVM_IOEVENTFD refuses with EINVAL ", bad_events, b)
{
	struct kvm_ioeventfd e = b->e;
	struct vm vm;

	vm_init(&vm, 0);
	e.fd = new_eventfd();
	EXPECT_ERR(ioeventfd(&vm, e), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_IOEVENTFD, NULL), EFAULT);
	/* Stock KVM looks for it all the same. */
	e.flags |= REMOVE;
	if (on_umbra())
		EXPECT_ERR(ioeventfd(&vm, e), EINVAL);
}

TEST(event_ports, "KVM_IOEVENTFD refuses ports behind the last one, and s390's bus")
{
	struct vm vm;
	int fd = new_eventfd();

	if (!on_umbra())
		SKIP("stock KVM takes them, and they never fire");
	vm_init(&vm, 0);
	EXPECT_ERR(ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = 0x10000, .len = 1, .fd = fd, .flags = PIO }), EINVAL);
	EXPECT_ERR(ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = 0xffff, .len = 2, .fd = fd, .flags = PIO }), EINVAL);
	EXPECT_OK(ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = 0xffff, .len = 1, .fd = fd, .flags = PIO }));
	EXPECT_ERR(ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = DOORBELL, .len = 1, .fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY }), EINVAL);
}

TEST(event_fds, "KVM_IOEVENTFD wants an open descriptor of an eventfd")
{
	struct kvm_ioeventfd e = { .addr = DOORBELL, .len = 4 };
	struct vm vm;

	vm_init(&vm, 0);
	e.fd = -1;
	EXPECT_ERR(ioeventfd(&vm, e), EBADF);
	e.fd = closed_fd();
	EXPECT_ERR(ioeventfd(&vm, e), EBADF);
	e.fd = vm.fd;
	EXPECT_ERR(ioeventfd(&vm, e), EINVAL);
}

/* After one of 4 bytes with the value 5 stands at the address. */
static const struct {
	const char *name;
	uint32_t len, flags;
	uint64_t value;
	uint64_t offset;
	bool clash;
} second[] = {
	{ "the same", 4, MATCH, 5, 0, true },
	{ "any value", 4, 0, 0, 0, true },
	{ "any length", 0, 0, 0, 0, true },
	{ "another value", 4, MATCH, 6, 0, false },
	{ "another length", 2, MATCH, 5, 0, false },
	{ "the next address", 4, MATCH, 5, 1, false },
};

TEST_EACH(event_clash, "of two ioeventfds that one write would match the second is EEXIST: ",
	  second, s)
{
	struct kvm_ioeventfd e = {
		.addr = DOORBELL, .len = 4, .flags = MATCH, .datamatch = 5,
		.fd = new_eventfd(),
	}, other = {
		.addr = DOORBELL + s->offset, .len = s->len, .flags = s->flags,
		.datamatch = s->value, .fd = new_eventfd(),
	};
	struct vm vm;

	vm_init(&vm, 0);
	EXPECT_OK(ioeventfd(&vm, e));
	if (s->clash)
		EXPECT_ERR(ioeventfd(&vm, other), EEXIST);
	else
		EXPECT_OK(ioeventfd(&vm, other));
	/* The ports are another world. */
	other.flags |= PIO;
	other.addr = 0x600;
	EXPECT_OK(ioeventfd(&vm, other));
	/* Once the first is gone there is no clash. */
	e.flags |= REMOVE;
	EXPECT_OK(ioeventfd(&vm, e));
	other.flags &= ~PIO;
	other.addr = DOORBELL + s->offset;
	if (s->clash)
		EXPECT_OK(ioeventfd(&vm, other));
	else
		EXPECT_ERR(ioeventfd(&vm, other), EEXIST);
}

TEST(event_remove, "an ioeventfd is removed by all that it was made with, else ENOENT")
{
	struct kvm_ioeventfd e = {
		.addr = DOORBELL, .len = 4, .flags = MATCH, .datamatch = 5,
		.fd = new_eventfd(),
	}, other;
	struct vm vm;

	vm_init(&vm, 0);
	other = e;
	other.flags |= REMOVE;
	EXPECT_ERR(ioeventfd(&vm, other), ENOENT);
	EXPECT_OK(ioeventfd(&vm, e));
	other.addr++;
	EXPECT_ERR(ioeventfd(&vm, other), ENOENT);
	other.addr--;
	other.len = 2;
	EXPECT_ERR(ioeventfd(&vm, other), ENOENT);
	other.len = 4;
	other.datamatch = 6;
	EXPECT_ERR(ioeventfd(&vm, other), ENOENT);
	other.datamatch = 5;
	other.flags &= ~MATCH;
	EXPECT_ERR(ioeventfd(&vm, other), ENOENT);
	other.flags |= MATCH;
	other.fd = new_eventfd();
	EXPECT_ERR(ioeventfd(&vm, other), ENOENT);
	other.fd = e.fd;
	EXPECT_OK(ioeventfd(&vm, other));
	EXPECT_ERR(ioeventfd(&vm, other), ENOENT);
}

TEST(event_many, "2000 ioeventfds, more than other devices may have ranges")
{
	struct kvm_ioeventfd e = { .len = 4, .fd = new_eventfd() };
	struct vm vm;
	int i;

	vm_init(&vm, 0);
	/* In an order that is neither up nor down. */
	for (i = 0; i < 2000; i++) {
		e.addr = DOORBELL + (i * 769) % 2000 * 8;
		ASSERT(!ioeventfd(&vm, e));
	}
	e.flags = REMOVE;
	for (i = 0; i < 2000; i += 2) {
		e.addr = DOORBELL + (i * 769) % 2000 * 8;
		ASSERT(!ioeventfd(&vm, e));
	}
}

/* Irqfds. */

static const struct {
	const char *name;
	uint32_t flags, gsi;
} bad_irqfds[] = {
	{ "an unknown flag", 1u << 2, 5 },
	{ "an unknown flag among known ones", 1u << 31 | KVM_IRQFD_FLAG_RESAMPLE, 5 },
};

TEST_EACH(bad_irqfds, "KVM_IRQFD refuses with EINVAL ", bad_irqfds, b)
{
	struct vm vm;
	int fd = new_eventfd();

	vm_init(&vm, VM_IRQCHIP);
	EXPECT_ERR(irqfd(&vm, fd, b->gsi, b->flags, new_eventfd()), EINVAL);
	EXPECT_ERR(irqfd(&vm, fd, b->gsi, b->flags | KVM_IRQFD_FLAG_DEASSIGN, fd), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_IRQFD, NULL), EFAULT);
}

TEST(irqfd_gsi, "KVM_IRQFD refuses a GSI that no route can have")
{
	struct vm vm;

	if (!on_umbra())
		SKIP("stock KVM takes it, and it never interrupts");
	vm_init(&vm, VM_IRQCHIP);
	EXPECT_ERR(irqfd(&vm, new_eventfd(), dev_cap(KVM_CAP_IRQ_ROUTING), 0, 0), EINVAL);
	EXPECT_ERR(irqfd(&vm, new_eventfd(), ~0u, 0, 0), EINVAL);
	EXPECT_OK(irqfd(&vm, new_eventfd(), dev_cap(KVM_CAP_IRQ_ROUTING) - 1, 0, 0));
}

TEST(irqfd_chips, "KVM_IRQFD wants interrupt chips in the kernel")
{
	struct vm vm;

	vm_init(&vm, 0);
	EXPECT_ERR(irqfd(&vm, new_eventfd(), 5, 0, 0), EINVAL);
	EXPECT_ERR(irqfd(&vm, new_eventfd(), 5, KVM_IRQFD_FLAG_RESAMPLE, new_eventfd()), EINVAL);
}

TEST(irqfd_fds, "KVM_IRQFD wants open descriptors of eventfds")
{
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP);
	EXPECT_ERR(irqfd(&vm, -1, 5, 0, 0), EBADF);
	EXPECT_ERR(irqfd(&vm, closed_fd(), 5, 0, 0), EBADF);
	EXPECT_ERR(irqfd(&vm, vm.fd, 5, 0, 0), EINVAL);
	EXPECT_ERR(irqfd(&vm, new_eventfd(), 5, KVM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
	EXPECT_ERR(irqfd(&vm, new_eventfd(), 5, KVM_IRQFD_FLAG_RESAMPLE, vm.fd), EINVAL);
	EXPECT_ERR(irqfd(&vm, -1, 5, KVM_IRQFD_FLAG_DEASSIGN, 0), EBADF);
	EXPECT_ERR(irqfd(&vm, vm.fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0), EINVAL);
}

TEST(irqfd_busy, "an eventfd is the irqfd of one GSI at most, until it is removed")
{
	struct vm vm;
	int fd = new_eventfd();

	vm_init(&vm, VM_IRQCHIP);
	EXPECT_OK(irqfd(&vm, fd, 5, 0, 0));
	EXPECT_ERR(irqfd(&vm, fd, 5, 0, 0), EBUSY);
	EXPECT_ERR(irqfd(&vm, fd, 6, 0, 0), EBUSY);
	EXPECT_ERR(irqfd(&vm, fd, 6, KVM_IRQFD_FLAG_RESAMPLE, new_eventfd()), EBUSY);
	/* Another GSI's: nothing to remove, which is no error. */
	EXPECT_OK(irqfd(&vm, fd, 6, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_ERR(irqfd(&vm, fd, 6, 0, 0), EBUSY);
	EXPECT_OK(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_OK(irqfd(&vm, fd, 6, 0, 0));
}

static bool is_signalled(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	ASSERT(write(fd, &one, sizeof(one)) == sizeof(one));
}

/* The PIC's request register. */
static bool requested(struct vm *vm, unsigned int line)
{
	struct kvm_irqchip chip = {
		.chip_id = line < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
	};

	ASSERT(!ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	return chip.chip.pic.irr >> line % 8 & 1;
}

TEST(irqfd_takes, "an irqfd takes what its eventfd counts, and raises an edge of its GSI")
{
	struct vm vm;
	int fd = new_eventfd();

	vm_init(&vm, VM_IRQCHIP);
	EXPECT_OK(irqfd(&vm, fd, 5, 0, 0));
	EXPECT(!requested(&vm, 5));
	signal_fd(fd);
	EXPECT(requested(&vm, 5));
	EXPECT(!is_signalled(fd));
	EXPECT_OK(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0));
	signal_fd(fd);
	EXPECT(is_signalled(fd));
}

TEST(irqfd_before, "what was signalled before KVM_IRQFD interrupts as it is called")
{
	struct vm vm;
	int fd = new_eventfd();

	vm_init(&vm, VM_IRQCHIP);
	signal_fd(fd);
	EXPECT_OK(irqfd(&vm, fd, 10, 0, 0));
	EXPECT(requested(&vm, 10));
}

/* A level-triggered line's request is its level. */
static void make_level(struct vm *vm, unsigned int line)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	ASSERT(!ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	chip.chip.pic.elcr |= 1u << line;
	ASSERT(!ioctl(vm->fd, KVM_SET_IRQCHIP, &chip));
}

TEST(resample_holds, "an irqfd with a resamplefd holds its line up, until it is removed")
{
	struct vm vm;
	int fd = new_eventfd(), resample = new_eventfd();

	vm_init(&vm, VM_IRQCHIP);
	make_level(&vm, 5);
	EXPECT_OK(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, resample));
	signal_fd(fd);
	EXPECT(requested(&vm, 5));
	EXPECT(!is_signalled(resample));
	EXPECT_OK(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT(!requested(&vm, 5));
}

TEST(resample_shared, "two irqfds that share a line lower it when the last one goes")
{
	struct vm vm;
	int a = new_eventfd(), b = new_eventfd();

	vm_init(&vm, VM_IRQCHIP);
	make_level(&vm, 5);
	EXPECT_OK(irqfd(&vm, a, 5, KVM_IRQFD_FLAG_RESAMPLE, new_eventfd()));
	EXPECT_OK(irqfd(&vm, b, 5, KVM_IRQFD_FLAG_RESAMPLE, new_eventfd()));
	signal_fd(b);
	EXPECT_OK(irqfd(&vm, a, 5, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT(requested(&vm, 5));
	EXPECT_OK(irqfd(&vm, b, 5, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT(!requested(&vm, 5));
}

TEST(resample_closed, "closing the eventfd lowers its line, and another can have the GSI")
{
	struct vm vm;
	int i, fd;

	vm_init(&vm, VM_IRQCHIP);
	make_level(&vm, 5);
	for (i = 0; i < 20; i++) {
		fd = new_eventfd();
		EXPECT_OK(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, new_eventfd()));
		signal_fd(fd);
		EXPECT(requested(&vm, 5));
		close(fd);
		/* Stock KVM does it in a thread of its own. */
		while (!on_umbra() && requested(&vm, 5))
			;
		EXPECT(!requested(&vm, 5));
	}
}

TEST(irqfd_outlived, "eventfds go on working when their VM is gone, and the other way round")
{
	struct kvm_ioeventfd e = { .addr = DOORBELL, .len = 4 };
	int fd = new_eventfd(), resample = new_eventfd(), bell = new_eventfd();
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP);
	e.fd = bell;
	EXPECT_OK(ioeventfd(&vm, e));
	EXPECT_OK(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, resample));
	vm_free(&vm);
	signal_fd(fd);
	EXPECT(is_signalled(fd));
	EXPECT(!is_signalled(bell));

	vm_init(&vm, VM_IRQCHIP);
	EXPECT_OK(ioeventfd(&vm, e));
	EXPECT_OK(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, resample));
	close(fd);
	close(resample);
	close(bell);
	vm_free(&vm);
}

/* Zones of coalesced writes. */

static int zone(struct vm *vm, bool add, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return ioctl(vm->fd, add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
		     &z);
}

static const struct {
	const char *name;
	uint64_t addr;
	uint32_t size, pio;
	bool kvm_takes;
} bad_zones[] = {
	{ "a bus that is none", DOORBELL, 16, 2, false },
	{ "a bus that is none, by a high bit", DOORBELL, 16, 1u << 31, false },
	{ "an empty zone", DOORBELL, 0, 0, true },
	{ "a zone that wraps", ~0ULL - 3, 5, 0, true },
	{ "ports behind the last one", 0xfff0, 17, 1, true },
	{ "ports far behind the last one", 1ULL << 32, 1, 1, true },
};

TEST_EACH(bad_zones, "KVM_REGISTER_COALESCED_MMIO refuses with EINVAL ", bad_zones, z)
{
	struct vm vm;

	if (z->kvm_takes && !on_umbra())
		SKIP("stock KVM takes it, and nothing ever waits for it");
	vm_init(&vm, 0);
	EXPECT_ERR(zone(&vm, true, z->addr, z->size, z->pio), EINVAL);
	EXPECT_ERR(zone(&vm, false, z->addr, z->size, z->pio), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_REGISTER_COALESCED_MMIO, NULL), EFAULT);
}

TEST(zones_many, "1000 zones at most, and removed ones make room")
{
	struct vm vm;
	int i;

	if (!on_umbra())
		SKIP("stock KVM counts other devices too");
	vm_init(&vm, 0);
	for (i = 0; i < 1000; i++)
		ASSERT(!zone(&vm, true, DOORBELL + i * 16, 16, 0));
	EXPECT_ERR(zone(&vm, true, 0x600, 4, 1), ENOSPC);
	EXPECT_OK(zone(&vm, false, DOORBELL + 500 * 16, 16, 0));
	EXPECT_OK(zone(&vm, true, 0x600, 4, 1));
	EXPECT_ERR(zone(&vm, true, 0x604, 4, 1), ENOSPC);
	/* None there: no error. */
	EXPECT_OK(zone(&vm, false, DOORBELL + 500 * 16, 16, 0));
	/* Partly in each of two: in none. */
	EXPECT_OK(zone(&vm, false, DOORBELL + 8, 16, 0));
	EXPECT_ERR(zone(&vm, true, 0x604, 4, 1), ENOSPC);
}

/* Races: nothing breaks, and what is wanted at the end holds. */

static volatile bool stop;

static pthread_t start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	ASSERT(!pthread_create(&t, NULL, fn, arg));
	return t;
}

static void race_for_a_while(void)
{
	sleep_ms(ktap_env("RACE_MS", 1000));
	stop = true;
}

struct racers {
	struct vm vm;
	int fd, resample;
	volatile uint32_t doorbells;
};

static void *signaller(void *arg)
{
	struct racers *r = arg;
	uint64_t one = 1;

	/* The counter may be full when nobody takes it. */
	while (!stop)
		if (write(r->fd, &one, sizeof(one)) < 0)
			is_signalled(r->fd);
	return NULL;
}

static void *assigner(void *arg)
{
	struct racers *r = arg;

	while (!stop) {
		irqfd(&r->vm, r->fd, 5, KVM_IRQFD_FLAG_RESAMPLE, r->resample);
		irqfd(&r->vm, r->fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0);
		irqfd(&r->vm, r->fd, 6, 0, 0);
		irqfd(&r->vm, r->fd, 6, KVM_IRQFD_FLAG_DEASSIGN, 0);
	}
	return NULL;
}

static void *router(void *arg)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[1];
	} routes = { .head.nr = 1, .e = { {
		.gsi = 5, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = 0x81 },
	} } };
	struct racers *r = arg;

	while (!stop) {
		routes.e[0].gsi = 11 - routes.e[0].gsi;
		ASSERT(!ioctl(r->vm.fd, KVM_SET_GSI_ROUTING, &routes));
	}
	return NULL;
}

TEST(race_irqfd, "signals against KVM_IRQFD of the same eventfd and new routes")
{
	static struct racers r;
	pthread_t t[4];
	unsigned int i;

	vm_init(&r.vm, VM_IRQCHIP);
	vm_vcpu(&r.vm, 0);
	r.fd = new_eventfd();
	r.resample = new_eventfd();
	t[0] = start(signaller, &r);
	t[1] = start(assigner, &r);
	t[2] = start(assigner, &r);
	t[3] = start(router, &r);
	race_for_a_while();
	for (i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	irqfd(&r.vm, r.fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0);
	irqfd(&r.vm, r.fd, 6, KVM_IRQFD_FLAG_DEASSIGN, 0);
	EXPECT_OK(irqfd(&r.vm, r.fd, 7, 0, 0));
}

static void *closer(void *arg)
{
	struct racers *r = arg;
	uint64_t one = 1;

	while (!stop) {
		int fd = new_eventfd();

		if (irqfd(&r->vm, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, r->resample))
			ktap_fail(__FILE__, __LINE__, "KVM_IRQFD: %s", strerror(errno));
		if (write(fd, &one, sizeof(one)) < 0)
			ktap_fail(__FILE__, __LINE__, "write: %s", strerror(errno));
		close(fd);
	}
	return NULL;
}

TEST(race_close, "eventfds closed while they are irqfds of one line, from two threads")
{
	static struct racers r;
	pthread_t t[2];

	vm_init(&r.vm, VM_IRQCHIP);
	make_level(&r.vm, 5);
	r.resample = new_eventfd();
	t[0] = start(closer, &r);
	t[1] = start(closer, &r);
	race_for_a_while();
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	while (!on_umbra() && requested(&r.vm, 5))
		;
	EXPECT(!requested(&r.vm, 5));
}

static volatile uint64_t g_served;

static void level_hit(struct frame *f)
{
	(void)f;
	g_served++;
	apic_eoi();
}

/* Serves a level-triggered line, and comes back to userspace again and again. */
static void level_guest(void)
{
	g_handlers[0x82] = level_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	ioapic_write(0x11 + 40, 0);
	ioapic_write(0x10 + 40, 0x82 | BIT(15));
	sti();
	for (;;)
		guest_sync(1);
}

static void *run_server(void *arg)
{
	struct racers *r = arg;

	while (!stop)
		vcpu_run_to_sync(&r->vm.vcpu[0], 1);
	return NULL;
}

static void *level_assigner(void *arg)
{
	struct racers *r = arg;

	while (!stop) {
		irqfd(&r->vm, r->fd, 20, KVM_IRQFD_FLAG_RESAMPLE, r->resample);
		irqfd(&r->vm, r->fd, 20, KVM_IRQFD_FLAG_DEASSIGN, 0);
	}
	return NULL;
}

TEST(race_eoi, "a guest's EOIs against signals and KVM_IRQFD of the resampled line that it serves")
{
	static struct racers r;
	pthread_t t[3];
	uint64_t served;
	unsigned int i;

	vm_long_mode(&r.vm, VM_IRQCHIP, level_guest);
	r.fd = new_eventfd();
	r.resample = new_eventfd();
	t[0] = start(run_server, &r);
	t[1] = start(signaller, &r);
	t[2] = start(level_assigner, &r);
	race_for_a_while();
	for (i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	/* The line works on, once for each signal. */
	irqfd(&r.vm, r.fd, 20, KVM_IRQFD_FLAG_DEASSIGN, 0);
	vcpu_run_to_sync(&r.vm.vcpu[0], 1);
	is_signalled(r.fd);
	is_signalled(r.resample);
	EXPECT_OK(irqfd(&r.vm, r.fd, 20, KVM_IRQFD_FLAG_RESAMPLE, r.resample));
	served = G(&r.vm, g_served);
	signal_fd(r.fd);
	vcpu_run_to_sync(&r.vm.vcpu[0], 1);
	vcpu_run_to_sync(&r.vm.vcpu[0], 1);
	EXPECT_EQ(G(&r.vm, g_served), served + 1);
	EXPECT(is_signalled(r.resample));
}

TEST(race_vm, "signals while the VM of the irqfd goes away")
{
	static struct racers r;
	int rounds = ktap_env("RACE_MS", 1000) / 20 + 1;
	pthread_t t;

	r.fd = new_eventfd();
	r.resample = new_eventfd();
	t = start(signaller, &r);
	while (rounds--) {
		vm_init(&r.vm, VM_IRQCHIP);
		vm_vcpu(&r.vm, 0);
		ASSERT(!irqfd(&r.vm, r.fd, 5, rounds & 1 ? KVM_IRQFD_FLAG_RESAMPLE : 0,
			      r.resample));
		vm_free(&r.vm);
	}
	stop = true;
	pthread_join(t, NULL);
}

static void *spoiler(void *arg)
{
	struct racers *r = arg;
	struct kvm_coalesced_mmio_ring *ring = (void *)
		((uint8_t *)r->vm.vcpu[0].run + KVM_COALESCED_MMIO_PAGE_OFFSET * 4096);
	uint32_t x = 1;

	while (!stop) {
		x = x * 1664525 + 1013904223;
		*(volatile uint32_t *)&ring->first = x >> (x >> 27);
		x = x * 1664525 + 1013904223;
		*(volatile uint32_t *)&ring->last = x >> (x >> 27);
	}
	return NULL;
}

static volatile uint64_t g_rings;

static void ringer(void)
{
	for (;; g_rings++)
		*(volatile uint32_t *)DOORBELL = 1;
}

static void *run_ringer(void *arg)
{
	struct racers *r = arg;

	while (!stop) {
		if (vcpu_run(&r->vm.vcpu[0]) != KVM_EXIT_MMIO) {
			ktap_fail(__FILE__, __LINE__, "exit %u",
				  r->vm.vcpu[0].run->exit_reason);
			break;
		}
		r->doorbells++;
	}
	return NULL;
}

static void *zoner(void *arg)
{
	struct racers *r = arg;

	while (!stop) {
		zone(&r->vm, true, DOORBELL, 16, 0);
		zone(&r->vm, true, DOORBELL, 8, 0);
		zone(&r->vm, false, DOORBELL, 16, 0);
		zone(&r->vm, false, DOORBELL, 4, 0);
	}
	return NULL;
}

TEST(race_zones, "writes to zones that come and go, into a ring that userspace scribbles on")
{
	static struct racers r;
	pthread_t t[3];
	unsigned int i;

	vm_long_mode(&r.vm, 0, ringer);
	t[0] = start(run_ringer, &r);
	t[1] = start(spoiler, &r);
	t[2] = start(zoner, &r);
	race_for_a_while();
	pthread_join(t[1], NULL);
	pthread_join(t[2], NULL);
	/* No zone is left, so that the next write exits. */
	pthread_join(t[0], NULL);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(vcpu_run(&r.vm.vcpu[0]), KVM_EXIT_MMIO);
}

TEST(race_event, "each write of a guest signals or exits while its ioeventfd comes and goes")
{
	static struct racers r;
	struct kvm_ioeventfd e = { .addr = DOORBELL, .len = 4 };
	uint64_t count, sum = 0;
	int rounds = 0;
	pthread_t t;

	vm_long_mode(&r.vm, 0, ringer);
	e.fd = r.fd = new_eventfd();
	t = start(run_ringer, &r);
	while (rounds < 20) {
		uint32_t seen = r.doorbells;

		e.flags = 0;
		ASSERT(!ioeventfd(&r.vm, e));
		while (read(r.fd, &count, sizeof(count)) < 0)
			;
		sum += count;
		e.flags = REMOVE;
		ASSERT(!ioeventfd(&r.vm, e));
		while (r.doorbells == seen)
			;
		rounds++;
	}
	stop = true;
	pthread_join(t, NULL);
	if (read(r.fd, &count, sizeof(count)) == sizeof(count))
		sum += count;
	/* The last exit's write is counted by the guest when it is run again. */
	EXPECT_EQ(G(&r.vm, g_rings) + 1, sum + r.doorbells);
}
