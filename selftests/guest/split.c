// SPDX-License-Identifier: GPL-2.0-only
/*
 * The split irqchip: LAPICs in the kernel, PICs and IOAPICs in userspace, which is told
 * the end of level-triggered interrupts and injects the PICs' by KVM_INTERRUPT.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PINS	24

static volatile uint64_t g_hits, g_last, g_isr, g_val;

static int split(struct vm *vm, uint64_t pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { pins } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct vcpu *split_vm(struct vm *vm, void (*entry)(void))
{
	struct vcpu *v;

	NEED_CAP(KVM_CAP_SPLIT_IRQCHIP);
	vm_init(vm, 0);
	ASSERT(!split(vm, PINS));
	v = vm_vcpu(vm, 0);
	vcpu_long_mode(v, entry);
	return v;
}

/* ioctls */

static const struct {
	const char *name;
	struct kvm_enable_cap cap;
	bool kvm_takes;
} bad_caps[] = {
	{ "flags", { .cap = KVM_CAP_SPLIT_IRQCHIP, .flags = 1, .args = { 24 } }, false },
	{ "more pins than GSIs", { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 4097 } }, false },
	{ "many more pins", { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { ~0ULL } }, false },
	{ "an argument too many", { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24, 1 } }, true },
	{ "a poll of more than a second", { .cap = KVM_CAP_HALT_POLL, .args = { 1000000001 } },
	  true },
	{ "a poll of more than 32 bits", { .cap = KVM_CAP_HALT_POLL, .args = { 1ULL << 32 } },
	  false },
	{ "a poll with flags", { .cap = KVM_CAP_HALT_POLL, .flags = 1 }, false },
	{ "a poll with an argument too many", { .cap = KVM_CAP_HALT_POLL, .args = { 0, 0, 0, 1 } },
	  true },
	{ "a capability that needs no enabling", { .cap = KVM_CAP_IRQCHIP }, false },
	{ "a capability that is none", { .cap = 99999 }, false },
};

TEST_EACH(bad_caps, "KVM_ENABLE_CAP refuses with EINVAL ", bad_caps, b)
{
	struct vm vm;

	if (b->kvm_takes && !on_umbra())
		SKIP("stock KVM ignores it");
	EXPECT(dev_cap(KVM_CAP_SPLIT_IRQCHIP) > 0);
	EXPECT(dev_cap(KVM_CAP_ENABLE_CAP_VM) > 0);
	vm_init(&vm, 0);
	EXPECT_ERR(ioctl(vm.fd, KVM_ENABLE_CAP, &b->cap), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_ENABLE_CAP, NULL), EFAULT);
	/* Nothing has happened. */
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0UL));
}

TEST(order, "chips are split before there are vCPUs or chips, and once")
{
	struct vm with_chips, with_vcpu, twice;

	vm_init(&with_chips, VM_IRQCHIP);
	EXPECT_ERR(split(&with_chips, PINS), EEXIST);
	vm_init(&with_vcpu, 0);
	vm_vcpu(&with_vcpu, 0);
	EXPECT_ERR(split(&with_vcpu, PINS), EEXIST);
	vm_init(&twice, 0);
	EXPECT_OK(split(&twice, 0));
	EXPECT_ERR(split(&twice, PINS), EEXIST);
	EXPECT_ERR(ioctl(twice.fd, KVM_CREATE_IRQCHIP, 0UL), EEXIST);
}

static int set_routes(struct vm *vm, const struct kvm_irq_routing_entry *e, uint32_t nr)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[4];
	} r = { .head.nr = nr };

	memcpy(r.e, e, nr * sizeof(*e));
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

#define LEVEL	BIT(15)
#define MSI(n, d)							\
	{ .gsi = (n), .type = KVM_IRQ_ROUTING_MSI,			\
	  .u.msi = { .address_lo = 0xfee00000, .data = (d) } }

TEST(no_chips, "with split chips there are none to get, set, route to, or hang a PIT on")
{
	struct kvm_irq_routing_entry pin = {
		.gsi = 3, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 3 },
	}, msi = MSI(3, 0x81);
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_pit_config pit = { 0 };
	struct kvm_lapic_state lapic;
	struct kvm_irqfd irqfd = { .gsi = 3, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	struct vm vm;
	struct vcpu *v = split_vm(&vm, guest_done);

	EXPECT_ERR(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip), ENXIO);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip), ENXIO);
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_PIT2, &pit), ENOENT);
	EXPECT_ERR(set_routes(&vm, &pin, 1), EINVAL);
	EXPECT_OK(set_routes(&vm, &msi, 1));
	irqfd.fd = eventfd(0, 0);
	irqfd.resamplefd = eventfd(0, 0);
	EXPECT_ERR(ioctl(vm.fd, KVM_IRQFD, &irqfd), EINVAL);
	irqfd.flags = 0;
	EXPECT_OK(ioctl(vm.fd, KVM_IRQFD, &irqfd));
	EXPECT_OK(ioctl(v->fd, KVM_GET_LAPIC, &lapic));
	EXPECT_OK(ioctl(v->fd, KVM_SET_LAPIC, &lapic));
}

static int interrupt(struct vcpu *v, uint32_t vector)
{
	struct kvm_interrupt i = { .irq = vector };

	return ioctl(v->fd, KVM_INTERRUPT, &i);
}

TEST(interrupt_calls, "KVM_INTERRUPT with split chips: one at a time, a vector")
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, guest_done);

	EXPECT_ERR(interrupt(v, 256), EINVAL);
	EXPECT_OK(interrupt(v, 0x31));
	EXPECT_ERR(interrupt(v, 0x32), EEXIST);
}

/* EOI exits. */

static void open_shut(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

static void hit(struct frame *f)
{
	g_hits++;
	g_last = f->vector;
	g_isr = apic_read(APIC_ISR + (f->vector >> 5) * 0x10);
}

static void eoi_guest(void)
{
	g_handlers[0x81] = hit;
	apic_on();
	guest_sync(1);
	open_shut();
	guest_sync(2);
	apic_eoi();
	guest_done();
}

static void x2apic_guest(void)
{
	g_handlers[0x81] = hit;
	apic_on();
	guest_sync(1);
	open_shut();
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	guest_sync(2);
	wrmsr(0x80b, 0);
	guest_done();
}

static const struct eoi_row {
	const char *name;
	void (*entry)(void);
	struct kvm_irq_routing_entry e;
	bool exits;
} eois[] = {
	{ "level, the first GSI", eoi_guest, MSI(0, 0x81 | LEVEL), true },
	{ "level, the last one of the reserved", eoi_guest, MSI(PINS - 1, 0x81 | LEVEL), true },
	{ "level, by x2APIC", x2apic_guest, MSI(5, 0x81 | LEVEL), true },
	{ "level, a GSI that is not reserved", eoi_guest, MSI(PINS, 0x81 | LEVEL), false },
	{ "edge", eoi_guest, MSI(0, 0x81), false },
};

TEST_EACH(eoi, "EOI of an interrupt from a reserved GSI exits if it is a level: ", eois, r)
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, r->entry);

	ASSERT(!set_routes(&vm, &r->e, 1));
	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, r->e.gsi, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x81);
	if (r->exits) {
		EXPECT_EQ(vcpu_run(v), KVM_EXIT_IOAPIC_EOI);
		EXPECT_EQ(v->run->eoi.vector, 0x81);
	}
	vcpu_run_to_end(v);
}

TEST(eoi_other, "EOI of a level that no route has, or has no more, exits not")
{
	struct kvm_irq_routing_entry e[] = { MSI(0, 0x91 | LEVEL), MSI(1, 0x81 | LEVEL) };
	struct vm vm;
	struct vcpu *v = split_vm(&vm, eoi_guest);

	ASSERT(!set_routes(&vm, e, 2));
	vcpu_run_to_sync(v, 1);
	EXPECT(vm_msi(&vm, 0xfee00000, 0x81 | LEVEL) > 0);
	ASSERT(!set_routes(&vm, e, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	vcpu_run_to_end(v);
}

static void level_cycle_hit(struct frame *f)
{
	hit(f);
	apic_eoi();
}

static void level_cycle_guest(void)
{
	g_handlers[0x81] = level_cycle_hit;
	apic_on();
	sti();
	guest_sync(1);
	while (g_hits < 5)
		cpu_relax();
	cli();
	guest_done();
}

TEST(level_cycle, "a line of userspace's IOAPIC is raised anew at each EOI exit")
{
	struct kvm_irq_routing_entry e = MSI(9, 0x81 | LEVEL);
	struct vm vm;
	struct vcpu *v = split_vm(&vm, level_cycle_guest);
	int i;

	ASSERT(!set_routes(&vm, &e, 1));
	vcpu_run_to_sync(v, 1);
	for (i = 0; i < 5; i++) {
		EXPECT_OK(vm_irq(&vm, 9, 1));
		EXPECT_EQ(vcpu_run(v), KVM_EXIT_IOAPIC_EOI);
		EXPECT_EQ(v->run->eoi.vector, 0x81);
		EXPECT_EQ(G(&vm, g_hits), i + 1);
	}
	vcpu_run_to_end(v);
}

/* The PIC's interrupts. */

static void pic_guest(void)
{
	g_handlers[0x31] = hit;
	apic_on();
	guest_sync(1);
	open_shut();
	guest_sync(2);
	guest_done();
}

TEST(extint, "KVM_INTERRUPT reaches the guest by LINT0, with its vector and without EOI")
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, pic_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(interrupt(v, 0x31));
	EXPECT_EQ(G(&vm, g_hits), 0);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x31);
	EXPECT_EQ(G(&vm, g_isr), 0);
	/* There is room for the next one. */
	EXPECT_OK(interrupt(v, 0x31));
}

static void masked_guest(void)
{
	g_handlers[0x31] = hit;
	apic_on();
	apic_write(APIC_LVT0, 0x10700);
	guest_sync(1);
	open_shut();
	guest_sync(2);
	apic_write(APIC_LVT0, 0x700);
	open_shut();
	guest_done();
}

TEST(extint_masked, "an interrupt of the PIC waits while LINT0 is masked")
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, masked_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(v->run->ready_for_interrupt_injection, 0);
	EXPECT_OK(interrupt(v, 0x31));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 0);
	vcpu_run_to_end(v);
	/* Stock KVM does not look when LINT0 opens, but at the next event. */
	if (on_umbra())
		EXPECT_EQ(G(&vm, g_hits), 1);
}

static void window_guest(void)
{
	g_handlers[0x31] = hit;
	apic_on();
	guest_sync(1);
	sti();
	while (!g_hits)
		cpu_relax();
	guest_sync(2);
	guest_done();
}

TEST(window, "KVM_RUN ends when the guest can take what userspace asks to inject")
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, window_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(v->run->ready_for_interrupt_injection, 0);
	v->run->request_interrupt_window = 1;
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(v->run->ready_for_interrupt_injection, 1);
	EXPECT_EQ(v->run->if_flag, 1);
	v->run->request_interrupt_window = 0;
	EXPECT_OK(interrupt(v, 0x31));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

TEST(window_masked, "a window that LINT0 keeps shut does not stop the guest")
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, masked_guest);

	vcpu_run_to_sync(v, 1);
	v->run->request_interrupt_window = 1;
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(v->run->ready_for_interrupt_injection, 0);
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_IRQ_WINDOW_OPEN);
	v->run->request_interrupt_window = 0;
	vcpu_run_to_end(v);
}

static void halt_guest(void)
{
	g_handlers[0x31] = hit;
	apic_on();
	guest_sync(1);
	sti_hlt_cli();
	guest_done();
}

TEST(halt, "HLT waits in the kernel with split chips, and KVM_INTERRUPT ends it")
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, halt_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_ERR(vcpu_run_for(v, 100), EINTR);
	EXPECT_OK(interrupt(v, 0x31));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

static void timer_guest(void)
{
	g_handlers[0x81] = level_cycle_hit;
	apic_on();
	apic_write(APIC_LVTT, 0x81);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_TMICT, 100000);
	sti_hlt_cli();
	GUEST_ASSERT(g_hits == 1);
	apic_write(APIC_ICR, 0x40081);
	open_shut();
	GUEST_ASSERT(g_hits == 2);
	guest_done();
}

TEST(lapic, "the LAPIC is whole with split chips: timer, self-IPI, EOI")
{
	struct vm vm;
	struct vcpu *v = split_vm(&vm, timer_guest);

	vcpu_run_to_end(v);
}
