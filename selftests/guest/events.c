// SPDX-License-Identifier: GPL-2.0-only
/* Guests that ring ioeventfds and are interrupted by irqfds. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define BELL	(GPA_HOLE + 8)
#define PORT	0x600

static volatile uint64_t g_hits, g_last, g_val, g_val2;
static volatile uint64_t g_size, g_port;

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	ASSERT(fd >= 0);
	return fd;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	ASSERT(write(fd, &one, sizeof(one)) == sizeof(one));
}

/* How often it was signalled since it was last asked. */
static uint64_t signals(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void ioeventfd(struct vm *vm, struct kvm_ioeventfd e)
{
	ASSERT(!ioctl(vm->fd, KVM_IOEVENTFD, &e));
}

static void irqfd(struct vm *vm, int fd, uint32_t gsi, int resamplefd)
{
	struct kvm_irqfd i = {
		.fd = fd, .gsi = gsi, .resamplefd = resamplefd,
		.flags = resamplefd >= 0 ? KVM_IRQFD_FLAG_RESAMPLE : 0,
	};

	ASSERT(!ioctl(vm->fd, KVM_IRQFD, &i));
}

/* Ioeventfds. */

static void bell_guest(void)
{
	uint64_t v = g_val;

	if (g_port && g_size == 1)
		outb(PORT, v);
	else if (g_port && g_size == 2)
		outw(PORT, v);
	else if (g_port)
		outl(PORT, v);
	else if (g_size == 1)
		*(volatile uint8_t *)BELL = v;
	else if (g_size == 2)
		*(volatile uint16_t *)BELL = v;
	else if (g_size == 4)
		*(volatile uint32_t *)BELL = v;
	else
		*(volatile uint64_t *)BELL = v;
	guest_done();
}

static const struct bell_row {
	const char *name;
	bool port;
	uint32_t len;		/* of the ioeventfd */
	bool match;
	uint64_t want;		/* what it matches */
	uint32_t size;		/* of the guest's write */
	uint64_t value;
	bool rings;
} bells[] = {
	{ "MMIO, 1 byte", false, 1, false, 0, 1, 3, true },
	{ "MMIO, 2 bytes", false, 2, false, 0, 2, 3, true },
	{ "MMIO, 4 bytes", false, 4, false, 0, 4, 3, true },
	{ "MMIO, 8 bytes", false, 8, false, 0, 8, 3, true },
	{ "MMIO, 2 bytes where 4 are wanted", false, 4, false, 0, 2, 3, false },
	{ "MMIO, 8 bytes where 4 are wanted", false, 4, false, 0, 8, 3, false },
	{ "MMIO, any length, 1 byte", false, 0, false, 0, 1, 3, true },
	{ "MMIO, any length, 8 bytes", false, 0, false, 0, 8, 3, true },
	{ "MMIO, the wanted value", false, 4, true, 0x89abcdef, 4, 0x89abcdef, true },
	{ "MMIO, another value", false, 4, true, 0x89abcdef, 4, 0x9abcdef, false },
	{ "MMIO, the wanted value of 8 bytes", false, 8, true, 1ULL << 63, 8, 1ULL << 63, true },
	{ "MMIO, 8 bytes that differ in the top bit", false, 8, true, 1ULL << 63, 8, 0, false },
	{ "port, 1 byte", true, 1, false, 0, 1, 3, true },
	{ "port, 2 bytes", true, 2, false, 0, 2, 3, true },
	{ "port, 4 bytes", true, 4, false, 0, 4, 3, true },
	{ "port, 4 bytes where 2 are wanted", true, 2, false, 0, 4, 3, false },
	{ "port, any length, 2 bytes", true, 0, false, 0, 2, 3, true },
	{ "port, the wanted value", true, 2, true, 0x1234, 2, 0x1234, true },
	{ "port, another value", true, 2, true, 0x1234, 2, 0x1235, false },
	{ "port, a value that 2 bytes can't be", true, 2, true, 0x11234, 2, 0x1234, false },
};

TEST_EACH(bell, "a guest's write signals the ioeventfd that it matches, else it exits: ", bells, b)
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, bell_guest);

	ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = b->port ? PORT : BELL, .len = b->len, .datamatch = b->want, .fd = fd,
		.flags = (b->port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (b->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	});
	G(&vm, g_port) = b->port;
	G(&vm, g_size) = b->size;
	G(&vm, g_val) = b->value;
	if (!b->rings && b->port) {
		want_io(v, KVM_EXIT_IO_OUT, PORT, b->size, 1);
		EXPECT(!memcmp(io_data(v), &b->value, b->size));
	} else if (!b->rings) {
		want_mmio(v, BELL, b->size, true);
		EXPECT(!memcmp(v->run->mmio.data, &b->value, b->size));
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(signals(fd), b->rings);
}

static void read_guest(void)
{
	g_val = *(volatile uint32_t *)BELL;
	g_val2 = inl(PORT);
	guest_done();
}

TEST(bell_read, "a read where an ioeventfd is signals nothing and exits")
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_guest);

	ioeventfd(&vm, (struct kvm_ioeventfd) { .addr = BELL, .fd = fd });
	ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = PORT, .fd = fd, .flags = KVM_IOEVENTFD_FLAG_PIO });
	want_mmio(v, BELL, 4, false);
	want_io(v, KVM_EXIT_IO_IN, PORT, 4, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(signals(fd), 0);
}

static void queues_guest(void)
{
	uint32_t i;

	for (i = 0; i < 8; i++)
		*(volatile uint16_t *)BELL = 7 - i;
	for (i = 0; i < 8; i++)
		*(volatile uint16_t *)(BELL + 0x1000 + i * 2) = 1;
	guest_done();
}

TEST(bell_queues, "queues told apart by value or by address each signal their own eventfd")
{
	int by_value[8], by_addr[8];
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, queues_guest);
	unsigned int i;

	for (i = 0; i < 8; i++) {
		by_value[i] = new_eventfd();
		by_addr[i] = new_eventfd();
		ioeventfd(&vm, (struct kvm_ioeventfd) {
			.addr = BELL, .len = 2, .datamatch = i, .fd = by_value[i],
			.flags = KVM_IOEVENTFD_FLAG_DATAMATCH });
		ioeventfd(&vm, (struct kvm_ioeventfd) {
			.addr = BELL + 0x1000 + i * 2, .len = 2, .fd = by_addr[i] });
	}
	vcpu_run_to_end(v);
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(signals(by_value[i]), 1);
		EXPECT_EQ(signals(by_addr[i]), 1);
	}
}

static const uint16_t g_words[] = { 5, 5, 6, 5 };

static void string_guest(void)
{
	const uint16_t *p = g_words;
	uint64_t n = ARRAY_SIZE(g_words);

	asm volatile("rep outsw" : "+S"(p), "+c"(n) : "d"(PORT) : "memory");
	GUEST_ASSERT(!n && p == g_words + ARRAY_SIZE(g_words));
	guest_done();
}

TEST(bell_string, "of a string to a port the VMM gets all from the first that no ioeventfd takes")
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, string_guest);

	if (!on_umbra())
		SKIP("stock KVM drops the rest");
	ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = PORT, .len = 2, .datamatch = 5, .fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH });
	want_io(v, KVM_EXIT_IO_OUT, PORT, 2, 2);
	EXPECT(!memcmp(io_data(v), g_words + 2, 4));
	EXPECT_EQ(signals(fd), 2);
	vcpu_run_to_end(v);
}

static void rom_guest(void)
{
	*(volatile uint32_t *)(GPA_HOLE + 0x100000) = 7;
	guest_done();
}

TEST(bell_rom, "an ioeventfd in a read-only slot is signalled")
{
	uint32_t *mem = map_pages(4096);
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, rom_guest);

	ASSERT(!vm_slot(&vm, 1, KVM_MEM_READONLY, GPA_HOLE + 0x100000, 4096, mem));
	ioeventfd(&vm, (struct kvm_ioeventfd) {
		.addr = GPA_HOLE + 0x100000, .len = 4, .fd = fd });
	vcpu_run_to_end(v);
	EXPECT_EQ(signals(fd), 1);
	EXPECT_EQ(*mem, 0);
}

/* Irqfds. */

static void open_shut(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

static void apic_hit(struct frame *f)
{
	g_hits++;
	g_last = f->vector;
	apic_eoi();
}

static void route(int pin, uint32_t low)
{
	ioapic_write(0x11 + pin * 2, 0);
	ioapic_write(0x10 + pin * 2, low);
}

static void set_routes(struct vm *vm, const struct kvm_irq_routing_entry *e, uint32_t nr)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[4];
	} r = { .head.nr = nr };

	memcpy(r.e, e, nr * sizeof(*e));
	ASSERT(!ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r));
}

static void msi_to(struct vm *vm, uint32_t gsi, uint32_t addr, uint32_t data)
{
	struct kvm_irq_routing_entry e = {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = addr, .data = data },
	};

	set_routes(vm, &e, 1);
}

static void steps_guest(void)
{
	uint32_t step;

	g_handlers[0x81] = apic_hit;
	g_handlers[0x82] = apic_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x82);
	for (step = 1; step < 5; step++) {
		guest_sync(step);
		open_shut();
	}
	guest_done();
}

TEST(irqfd_msi, "an irqfd sends the message that its GSI is routed to, the new one once it is routed anew")
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, steps_guest);

	msi_to(&vm, 30, 0xfee00000, 0x81);
	irqfd(&vm, fd, 30, -1);
	vcpu_run_to_sync(v, 1);
	signal_fd(fd);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x81);
	msi_to(&vm, 30, 0xfee00000, 0x82);
	signal_fd(fd);
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(G(&vm, g_last), 0x82);
	/* Nobody's address: the signal is taken, and that is all. */
	msi_to(&vm, 30, 0xfed00000, 0x81);
	signal_fd(fd);
	vcpu_run_to_sync(v, 4);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(signals(fd), 0);
}

TEST(irqfd_edge, "each signal of an irqfd is an edge at its pin")
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, steps_guest);
	uint32_t step;

	irqfd(&vm, fd, 20, -1);
	for (step = 1; step < 4; step++) {
		vcpu_run_to_sync(v, step);
		EXPECT_EQ(G(&vm, g_hits), step - 1);
		signal_fd(fd);
	}
	vcpu_run_to_sync(v, 4);
	EXPECT_EQ(G(&vm, g_hits), 3);
	EXPECT_EQ(G(&vm, g_last), 0x82);
}

static void wait_guest(void)
{
	g_handlers[0x81] = apic_hit;
	apic_on();
	guest_sync(1);
	while (g_hits < 100)
		sti_hlt_cli();
	guest_done();
}

struct wakers {
	struct vm vm;
	int fd;
};

/* Each signal after the one before was handled, so that each must wake the guest. */
static void *waker(void *arg)
{
	struct wakers *w = arg;
	uint64_t i;

	for (i = 0; i < 100; i++) {
		while (G(&w->vm, g_hits) < i)
			usleep(100);
		signal_fd(w->fd);
	}
	return NULL;
}

static const struct { const char *name; long ns; } polls[] = {
	{ "as long as the module says", -1 }, { "not at all", 0 }, { "1 us", 1000 },
	{ "50 us", 50000 }, { "1 s", 1000000000 },
};

TEST_EACH(irqfd_wakes, "100 signals of an irqfd each wake a guest that halts, with polls of ",
	  polls, p)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { p->ns } };
	static struct wakers w;
	struct vcpu *v = vm_long_mode(&w.vm, VM_IRQCHIP, wait_guest);
	pthread_t t;

	if (p->ns >= 0)
		ASSERT(!ioctl(w.vm.fd, KVM_ENABLE_CAP, &cap));

	w.fd = new_eventfd();
	msi_to(&w.vm, 30, 0xfee00000, 0x81);
	irqfd(&w.vm, w.fd, 30, -1);
	vcpu_run_to_sync(v, 1);
	ASSERT(!pthread_create(&t, NULL, waker, &w));
	vcpu_run_to_end(v);
	pthread_join(t, NULL);
	EXPECT_EQ(G(&w.vm, g_hits), 100);
}

static void echo_guest(void)
{
	uint32_t i;

	g_handlers[0x81] = apic_hit;
	apic_on();
	for (i = 1; i <= 50; i++) {
		*(volatile uint32_t *)BELL = i;
		sti_hlt_cli();
		GUEST_ASSERT(g_hits == i);
	}
	guest_done();
}

TEST(echo, "an eventfd that is ioeventfd and irqfd interrupts the guest that writes, without an exit")
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, echo_guest);

	msi_to(&vm, 30, 0xfee00000, 0x81);
	irqfd(&vm, fd, 30, -1);
	ioeventfd(&vm, (struct kvm_ioeventfd) { .addr = BELL, .len = 4, .fd = fd });
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 50);
}

/* Lines that are held up until the guest has served them. */

static void no_eoi_hit(struct frame *f)
{
	g_hits++;
	g_last = f->vector;
}

static void level_cycle(void)
{
	g_handlers[0x82] = no_eoi_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x82 | g_val);
	guest_sync(1);
	open_shut();
	guest_sync(2);
	apic_eoi();
	guest_sync(3);
	open_shut();
	guest_sync(4);
	apic_eoi();
	open_shut();
	guest_done();
}

static const struct { const char *name; uint32_t mode; } triggers[] = {
	{ "level-triggered", BIT(15) }, { "edge-triggered", 0 },
};

TEST_EACH(resample, "EOI lowers a resampled line and signals the resamplefd, once, ",
	  triggers, t)
{
	int fd = new_eventfd(), resample = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, level_cycle);

	irqfd(&vm, fd, 20, resample);
	G(&vm, g_val) = t->mode;
	vcpu_run_to_sync(v, 1);
	signal_fd(fd);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(signals(resample), 0);
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(signals(resample), 1);
	/* The device is not done: it asks again. */
	signal_fd(fd);
	vcpu_run_to_sync(v, 4);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(signals(resample), 0);
	/* Now it is: no third interrupt. */
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(signals(resample), 1);
}

TEST(resample_shared, "EOI signals the resamplefd of each irqfd that shares the line, and no other")
{
	int fd = new_eventfd(), resample[3] = { new_eventfd(), new_eventfd(), new_eventfd() };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, level_cycle);

	irqfd(&vm, fd, 20, resample[0]);
	irqfd(&vm, new_eventfd(), 20, resample[1]);
	irqfd(&vm, new_eventfd(), 21, resample[2]);
	G(&vm, g_val) = BIT(15);
	vcpu_run_to_sync(v, 1);
	signal_fd(fd);
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(signals(resample[0]), 1);
	EXPECT_EQ(signals(resample[1]), 1);
	EXPECT_EQ(signals(resample[2]), 0);
}

TEST(resample_user, "a line that userspace holds up too interrupts again after EOI")
{
	int fd = new_eventfd(), resample = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, level_cycle);

	irqfd(&vm, fd, 20, resample);
	G(&vm, g_val) = BIT(15);
	vcpu_run_to_sync(v, 1);
	signal_fd(fd);
	EXPECT_OK(vm_irq(&vm, 20, 1));
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(signals(resample), 1);
	vcpu_run_to_sync(v, 4);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_OK(vm_irq(&vm, 20, 0));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 2);
}

/* The line asks again from its own resamplefd: as a device that has always more. */
static void endless_hit(struct frame *f)
{
	if (g_hits == 19)
		route(20, 0x82 | BIT(15) | BIT(16));
	apic_hit(f);
}

static void endless_guest(void)
{
	g_handlers[0x82] = endless_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x82 | BIT(15));
	guest_sync(1);
	sti();
	while (g_hits < 20)
		cpu_relax();
	cli();
	guest_done();
}

TEST(resample_self, "an eventfd that is irqfd and resamplefd interrupts after each EOI")
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, endless_guest);

	irqfd(&vm, fd, 20, fd);
	vcpu_run_to_sync(v, 1);
	signal_fd(fd);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 20);
}

static void pic_hit(struct frame *f)
{
	g_hits++;
	g_last = f->vector;
}

static void pic_eoi(void)
{
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void pic_cycle(void)
{
	int i;

	for (i = 0x20; i < 0x30; i++)
		g_handlers[i] = pic_hit;
	guest_pic_init(0x20, 0xffff);
	outb(0x4d0, BIT(5));
	outb(0x4d1, BIT(2));
	guest_sync(1);
	open_shut();
	guest_sync(2);
	pic_eoi();
	guest_sync(3);
	open_shut();
	guest_sync(4);
	pic_eoi();
	open_shut();
	guest_done();
}

static const struct { const char *name; uint32_t line; } pic_lines[] = {
	{ "master", 5 }, { "slave", 10 },
};

TEST_EACH(resample_pic, "EOI at a PIC lowers a resampled line and signals the resamplefd: ",
	  pic_lines, l)
{
	int fd = new_eventfd(), resample = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_cycle);

	irqfd(&vm, fd, l->line, resample);
	vcpu_run_to_sync(v, 1);
	signal_fd(fd);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x20 + l->line);
	EXPECT_EQ(signals(resample), 0);
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(signals(resample), 1);
	signal_fd(fd);
	vcpu_run_to_sync(v, 4);
	EXPECT_EQ(G(&vm, g_hits), 2);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(signals(resample), 1);
}

static void pic_auto(void)
{
	g_handlers[0x25] = pic_hit;
	guest_pic_init(0x20, BIT(5));
	outb(0x4d0, BIT(5));
	/* Once more, with automatic EOI. */
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 3);
	outb(0x21, 0xff & ~BIT(5));
	guest_sync(1);
	open_shut();
	open_shut();
	guest_sync(2);
	open_shut();
	guest_done();
}

TEST(resample_auto, "a PIC's automatic EOI lowers a resampled line as the interrupt is taken")
{
	int fd = new_eventfd(), resample = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_auto);

	irqfd(&vm, fd, 5, resample);
	vcpu_run_to_sync(v, 1);
	signal_fd(fd);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(signals(resample), 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

/* Coalesced writes. */

static struct kvm_coalesced_mmio_ring *ring_of(struct vcpu *v)
{
	int page = dev_cap(KVM_CAP_COALESCED_MMIO);

	ASSERT(page > 0 && (size_t)(page + 1) * 4096 <= v->run_size);
	return (void *)((uint8_t *)v->run + page * 4096);
}

static void zone(struct vm *vm, bool port, uint64_t addr, uint32_t size)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = port };

	ASSERT(!ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &z));
}

/* As many as a page has room for behind the indices. */
#define RING	((4096 - sizeof(struct kvm_coalesced_mmio_ring)) /	\
		 sizeof(struct kvm_coalesced_mmio))

static void writes_guest(void)
{
	*(volatile uint8_t *)BELL = 0x11;
	*(volatile uint16_t *)(BELL + 1) = 0x2222;
	*(volatile uint32_t *)(BELL + 3) = 0x33333333;
	*(volatile uint64_t *)(BELL + 7) = 0x4444444444444444;
	outb(PORT, 0x55);
	outl(PORT, 0x66666666);
	guest_sync(1);
	/* Partly outside. */
	*(volatile uint16_t *)(BELL - 1) = 1;
	*(volatile uint32_t *)(BELL + 13) = 2;
	outw(PORT + 3, 3);
	g_val = *(volatile uint8_t *)BELL;
	guest_done();
}

static const struct { uint64_t addr; uint32_t len, pio; uint64_t data; } written[] = {
	{ BELL, 1, 0, 0x11 },
	{ BELL + 1, 2, 0, 0x2222 },
	{ BELL + 3, 4, 0, 0x33333333 },
	{ BELL + 7, 8, 0, 0x4444444444444444 },
	{ PORT, 1, 1, 0x55 },
	{ PORT, 4, 1, 0x66666666 },
};

TEST(coalesced, "writes inside a coalesced zone wait in the ring, in order; all else exits")
{
	struct kvm_coalesced_mmio_ring *ring;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, writes_guest);
	unsigned int i;

	zone(&vm, false, BELL, 16);
	zone(&vm, true, PORT, 4);
	ring = ring_of(v);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(ring->first, 0);
	EXPECT_EQ(ring->last, ARRAY_SIZE(written));
	for (i = 0; i < ARRAY_SIZE(written); i++) {
		EXPECT_EQ(ring->coalesced_mmio[i].phys_addr, written[i].addr);
		EXPECT_EQ(ring->coalesced_mmio[i].len, written[i].len);
		EXPECT_EQ(ring->coalesced_mmio[i].pio, written[i].pio);
		EXPECT(!memcmp(ring->coalesced_mmio[i].data, &written[i].data, written[i].len));
	}
	want_mmio(v, BELL - 1, 2, true);
	want_mmio(v, BELL + 13, 4, true);
	want_io(v, KVM_EXIT_IO_OUT, PORT + 3, 2, 1);
	want_mmio(v, BELL, 1, false);
	vcpu_run_to_end(v);
	EXPECT_EQ(ring->last, ARRAY_SIZE(written));
}

static void flood_guest(void)
{
	uint32_t i;

	for (i = 0; i < RING * 2 + 5; i++)
		*(volatile uint32_t *)BELL = i;
	guest_done();
}

TEST(coalesced_full, "a full ring lets the next write exit; what was read makes room, around the end")
{
	struct kvm_coalesced_mmio_ring *ring;
	uint32_t value, want = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, flood_guest);

	zone(&vm, false, BELL, 4);
	ring = ring_of(v);
	while (vcpu_run(v) == KVM_EXIT_MMIO) {
		EXPECT_EQ((ring->last + RING - ring->first) % RING, RING - 1);
		for (; ring->first != ring->last; ring->first = (ring->first + 1) % RING) {
			memcpy(&value, ring->coalesced_mmio[ring->first].data, 4);
			EXPECT_EQ(value, want++);
		}
		EXPECT_EQ(v->run->mmio.phys_addr, BELL);
		memcpy(&value, v->run->mmio.data, 4);
		EXPECT_EQ(value, want++);
	}
	EXPECT(guest_said(v, PORT_DONE, NULL));
	/* RING - 1 wait, one exits; twice; then the rest waits. */
	EXPECT_EQ(want, RING * 2);
	EXPECT_EQ((ring->last + RING - ring->first) % RING, 5);
}

static const struct {
	const char *name;
	uint32_t first, last;
	bool exits;
} indices[] = {
	{ "both behind the end", 0xffffffff, 0xffffffff, true },
	{ "the VMM's far behind the end", 0xfffffff0, 0, false },
	{ "the kernel's at the end", 0, RING, true },
	{ "the kernel's beyond it", 3, 0x10000, true },
	{ "the kernel's negative", 0, 0x80000000, true },
};

TEST_EACH(coalesced_bad, "indices that the VMM spoils cost it the ring alone: ", indices, i)
{
	struct kvm_coalesced_mmio_ring *ring;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, flood_guest);

	zone(&vm, false, BELL, 4);
	ring = ring_of(v);
	ring->first = i->first;
	ring->last = i->last;
	if (i->exits) {
		want_mmio(v, BELL, 4, true);
		EXPECT_EQ(ring->last, i->last);
	}
	/* It goes on when they are right again. */
	ring->first = ring->last = 0;
	while (vcpu_run(v) == KVM_EXIT_MMIO)
		ring->first = ring->last;
	EXPECT(guest_said(v, PORT_DONE, NULL));
}

static void one_write(void)
{
	*(volatile uint32_t *)BELL = 1;
	guest_sync(1);
	*(volatile uint32_t *)BELL = 2;
	guest_done();
}

TEST(coalesced_end, "a write exits again once its zone is unregistered")
{
	struct kvm_coalesced_mmio_zone z = { .addr = BELL, .size = 4 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, one_write);

	zone(&vm, false, GPA_HOLE, 4096);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(ring_of(v)->last, 1);
	EXPECT_OK(ioctl(vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &z));
	want_mmio(v, BELL, 4, true);
	EXPECT_EQ(ring_of(v)->last, 1);
	vcpu_run_to_end(v);
}

TEST(coalesced_event, "an ioeventfd in a coalesced zone is signalled, and the ring stays empty")
{
	int fd = new_eventfd();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, one_write);

	zone(&vm, false, GPA_HOLE, 4096);
	ioeventfd(&vm, (struct kvm_ioeventfd) { .addr = BELL, .len = 4, .fd = fd });
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(signals(fd), 1);
	EXPECT_EQ(ring_of(v)->last, 0);
}

static volatile uint32_t g_ap_done;

static void half_guest(void)
{
	uint32_t i;

	for (i = 0; i < 40; i++)
		*(volatile uint32_t *)(BELL + 8) = i;
	g_ap_done = 1;
	for (;;)
		cpu_relax();
}

static void other_half(void)
{
	uint32_t i;

	for (i = 0; i < 40; i++)
		*(volatile uint32_t *)BELL = i;
	while (!g_ap_done)
		cpu_relax();
	guest_done();
}

static void *run_it(void *v)
{
	vcpu_run_raw(v);
	return NULL;
}

TEST(coalesced_two, "two vCPUs share one ring, and each one's writes are there, in its order")
{
	struct kvm_coalesced_mmio_ring *ring;
	uint32_t value, seen[2] = { 0 }, i;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, other_half), *w = vm_vcpu(&vm, 1);
	pthread_t t;

	vcpu_long_mode(w, half_guest);
	zone(&vm, false, BELL, 16);
	ASSERT(!pthread_create(&t, NULL, run_it, w));
	vcpu_run_to_end(v);
	ring = ring_of(w);
	EXPECT_EQ(ring->last, 80);
	for (i = 0; i < ring->last && i < RING; i++) {
		uint32_t *count = &seen[ring->coalesced_mmio[i].phys_addr == BELL];

		memcpy(&value, ring->coalesced_mmio[i].data, 4);
		EXPECT_EQ(value, (*count)++);
	}
	EXPECT_EQ(seen[0], 40);
	EXPECT_EQ(seen[1], 40);
}
