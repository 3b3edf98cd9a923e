// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts: PIC, IOAPIC, local APIC, IPIs, NMIs, and HLT. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "guest.h"
#include "vm.h"

static volatile uint64_t g_hits, g_last, g_val, g_val2;
static volatile uint32_t g_isr, g_irr_after;

/* Take what is pending, once, without waiting for anything. */
static void open_shut(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

static void hit(struct frame *f)
{
	g_hits++;
	g_last = f->vector;
}

static void pic_hit(struct frame *f)
{
	hit(f);
	if (f->vector >= 0x28)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void apic_hit(struct frame *f)
{
	hit(f);
	g_isr = apic_read(APIC_ISR + (f->vector >> 5) * 0x10);
	apic_eoi();
}

/* PIC. */

static void pic_guest(void)
{
	int i;

	for (i = 0x20; i < 0x30; i++)
		g_handlers[i] = pic_hit;
	guest_pic_init(0x20, 0xffff);
	guest_sync(1);
	open_shut();
	guest_sync(2);
	open_shut();
	guest_done();
}

static const struct { const char *name; uint32_t line; } pic_lines[] = {
	{ "1", 1 }, { "5", 5 }, { "7", 7 }, { "8", 8 }, { "15", 15 },
};

TEST_EACH(pic_line, "an edge on a PIC line interrupts once, line ", pic_lines, l)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, l->line, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x20 + l->line);
	/* Still high: an edge-triggered line says nothing more. */
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

static void pic_masked(void)
{
	int i;

	for (i = 0x20; i < 0x30; i++)
		g_handlers[i] = pic_hit;
	guest_pic_init(0x20, 0xffff & ~BIT(5));
	guest_sync(1);
	open_shut();
	guest_sync(2);
	outb(0x21, 0);
	open_shut();
	guest_done();
}

TEST(pic_mask, "a masked PIC line waits until it is unmasked")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_masked);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 5, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 0);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x25);
}

static void order_hit(struct frame *f)
{
	g_val = g_val << 8 | f->vector;
	if (f->vector >= 0x28)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

static void pic_priority(void)
{
	int i;

	for (i = 0x20; i < 0x30; i++)
		g_handlers[i] = order_hit;
	guest_pic_init(0x20, 0xffff);
	guest_sync(1);
	for (i = 0; i < 4; i++)
		open_shut();
	guest_done();
}

TEST(pic_order, "the PIC gives interrupts in order of priority")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_priority);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 6, 1));
	EXPECT_OK(vm_irq(&vm, 1, 1));
	EXPECT_OK(vm_irq(&vm, 12, 1));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0x212c26);
}

/* The line stays high: only a mask ends the interrupts. */
static void pic_level_hit(struct frame *f)
{
	if (g_hits == 2)
		outb(0x21, 0xff);
	pic_hit(f);
}

static void pic_level(void)
{
	g_handlers[0x25] = pic_level_hit;
	guest_pic_init(0x20, BIT(5));
	outb(0x4d0, BIT(5));
	GUEST_ASSERT(inb(0x4d0) == BIT(5));
	guest_sync(1);
	open_shut();
	guest_sync(2);
	outb(0x21, 0xff & ~BIT(5));
	open_shut();
	guest_done();
}

TEST(pic_level, "a level PIC line interrupts again after EOI while it is high")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_level);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 5, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 3);
	EXPECT_OK(vm_irq(&vm, 5, 0));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 3);
}

static void pic_regs(void)
{
	guest_pic_init(0x20, BIT(3));
	GUEST_ASSERT(inb(0x21) == (uint8_t)~BIT(3));
	outb(0x21, 0x5a);
	GUEST_ASSERT(inb(0x21) == 0x5a);
	outb(0x20, 0x0a);
	g_val = inb(0x20);
	guest_sync(1);
	outb(0x20, 0x0a);
	g_val2 = inb(0x20);
	guest_done();
}

TEST(pic_regs, "the PIC's mask reads back, its IRR shows a line that is up")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_regs);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 4, 1));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val) & BIT(4), 0);
	EXPECT_EQ(G(&vm, g_val2) & BIT(4), BIT(4));
}

/* IOAPIC. */

static void route(int pin, uint32_t low, uint8_t dest)
{
	ioapic_write(0x11 + pin * 2, (uint32_t)dest << 24);
	ioapic_write(0x10 + pin * 2, low);
}

static void ioapic_edge(void)
{
	g_handlers[0x61] = apic_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x61, 0);
	guest_sync(1);
	open_shut();
	guest_sync(2);
	open_shut();
	guest_sync(3);
	open_shut();
	guest_done();
}

TEST(ioapic_edge, "an edge at the IOAPIC interrupts once, the next one again")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, ioapic_edge);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 20, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x61);
	EXPECT_EQ(G(&vm, g_isr), BIT(1));
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_OK(vm_irq(&vm, 20, 0));
	EXPECT_OK(vm_irq(&vm, 20, 1));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 2);
}

static void ioapic_level_hit(struct frame *f)
{
	if (g_hits == 2)
		route(20, 0x61 | BIT(15) | BIT(16), 0);
	apic_hit(f);
}

static void ioapic_level(void)
{
	g_handlers[0x61] = ioapic_level_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x61 | BIT(15), 0);
	guest_sync(1);
	/* The next one may come a while after EOI, but it comes. */
	while (g_hits < 3)
		open_shut();
	guest_sync(2);
	route(20, 0x61 | BIT(15), 0);
	open_shut();
	g_val = ioapic_read(0x10 + 40);
	guest_done();
}

TEST(ioapic_level, "a level at the IOAPIC interrupts after each EOI until it drops")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, ioapic_level);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 20, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_OK(vm_irq(&vm, 20, 0));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 3);
	EXPECT_EQ(G(&vm, g_val) & BIT(14), 0);
}

static void level_no_eoi_hit(struct frame *f)
{
	hit(f);
}

static void ioapic_level_no_eoi(void)
{
	g_handlers[0x61] = level_no_eoi_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x61 | BIT(15), 0);
	guest_sync(1);
	open_shut();
	open_shut();
	g_val = ioapic_read(0x10 + 40);
	g_val2 = apic_read(APIC_ISR + 3 * 0x10);
	guest_sync(2);
	apic_eoi();
	g_val = ioapic_read(0x10 + 40);
	guest_done();
}

TEST(ioapic_remote_irr, "a level interrupt sets Remote IRR until EOI")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, ioapic_level_no_eoi);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 20, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_val) & BIT(14), BIT(14));
	EXPECT_EQ(G(&vm, g_val2), BIT(1));
	EXPECT_OK(vm_irq(&vm, 20, 0));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val) & BIT(14), 0);
}

static void ioapic_masked(void)
{
	g_handlers[0x61] = level_no_eoi_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x61 | BIT(15) | BIT(16), 0);
	guest_sync(1);
	open_shut();
	guest_sync(2);
	route(20, 0x61 | BIT(15), 0);
	open_shut();
	guest_done();
}

TEST(ioapic_mask, "a masked level at the IOAPIC interrupts once unmasked")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, ioapic_masked);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 20, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 0);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

static void ioapic_regs(void)
{
	uint32_t i;

	g_val = ioapic_read(1);
	route(3, 0xffffffff, 0xff);
	g_val2 = ioapic_read(0x16);
	ioapic_write(0, 0xffffffff);
	GUEST_ASSERT(ioapic_read(0) == 0x0f000000);
	/* Every index, those that are none too. */
	for (i = 0; i < 256; i++) {
		ioapic_read(i);
		ioapic_write(i, 0x10000);
		ioapic_write(i | 0xffffff00, 0x10000);
	}
	guest_done();
}

TEST(ioapic_regs, "the IOAPIC: version, 24 pins, read-only bits, any index")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, ioapic_regs);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val) >> 16 & 0xff, 23);
	/* Delivery status and Remote IRR are not the guest's to write. */
	EXPECT_EQ(G(&vm, g_val2) & (BIT(12) | BIT(14)), 0);
	EXPECT_EQ(G(&vm, g_val2) & 0xff, 0xff);
}

/* Local APIC. */

static void self_ipi(void)
{
	g_handlers[0x71] = apic_hit;
	apic_on();
	apic_write(APIC_ICR, 0x40071);
	GUEST_ASSERT(!g_hits);
	g_val = apic_read(APIC_IRR + 3 * 0x10);
	open_shut();
	guest_done();
}

TEST(self_ipi, "a self-IPI waits in IRR, then interrupts, with ISR set")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, self_ipi);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), BIT(0x71 & 31));
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x71);
	EXPECT_EQ(G(&vm, g_isr), BIT(0x71 & 31));
}

static void low_vectors(void)
{
	g_handlers[0x71] = apic_hit;
	apic_on();
	GUEST_ASSERT(apic_read(APIC_IRR) == 0xffff);
	open_shut();
	GUEST_ASSERT(!g_hits);
	apic_write(APIC_ICR, 0x40071);
	open_shut();
	guest_done();
}

TEST(low_vectors, "vectors 0 to 15 from SET_LAPIC stay where they are, and hold up none")
{
	struct kvm_lapic_state s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, low_vectors);

	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	*(uint32_t *)(s.regs + APIC_IRR) = 0xffff;
	*(uint32_t *)(s.regs + APIC_ISR) = 0x8001;
	ASSERT(!ioctl(v->fd, KVM_SET_LAPIC, &s));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), 0x71);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	EXPECT_EQ(*(uint32_t *)(s.regs + APIC_IRR), 0xffff);
	EXPECT_EQ(*(uint32_t *)(s.regs + APIC_ISR), 0x8001);
}

static void tpr_guest(void)
{
	g_handlers[0x71] = apic_hit;
	g_handlers[0xa1] = apic_hit;
	apic_on();
	write_cr8(8);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x80);
	apic_write(APIC_ICR, 0x40071);
	open_shut();
	GUEST_ASSERT(g_hits == 0);
	apic_write(APIC_ICR, 0x400a1);
	open_shut();
	GUEST_ASSERT(g_hits == 1 && g_last == 0xa1);
	write_cr8(7);
	open_shut();
	GUEST_ASSERT(g_hits == 1);
	write_cr8(6);
	open_shut();
	GUEST_ASSERT(g_hits == 2 && g_last == 0x71);
	apic_write(APIC_TPR, 0x30);
	GUEST_ASSERT(read_cr8() == 3);
	guest_done();
}

TEST(tpr, "TPR by CR8 or by the APIC holds lower vectors back until lowered")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, tpr_guest);

	vcpu_run_to_end(v);
}

static void priority_hit(struct frame *f)
{
	g_val = g_val << 8 | f->vector;
	apic_eoi();
}

static void apic_priority(void)
{
	g_handlers[0x41] = priority_hit;
	g_handlers[0x81] = priority_hit;
	g_handlers[0xe1] = priority_hit;
	apic_on();
	apic_write(APIC_ICR, 0x40041);
	apic_write(APIC_ICR, 0x400e1);
	apic_write(APIC_ICR, 0x40081);
	open_shut();
	open_shut();
	open_shut();
	guest_done();
}

TEST(apic_order, "the local APIC gives the highest vector first")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, apic_priority);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0xe18141);
}

static void nested_high(struct frame *f)
{
	g_val = g_val << 8 | f->vector;
	apic_eoi();
}

static void nested_low(struct frame *f)
{
	g_val = g_val << 8 | f->vector;
	apic_write(APIC_ICR, 0x40041);	/* the same class: must wait */
	apic_write(APIC_ICR, 0x400e1);	/* higher: comes in between */
	open_shut();
	g_val = g_val << 8 | 0xff;
	apic_eoi();
}

static void nested_guest(void)
{
	g_handlers[0x41] = nested_high;
	g_handlers[0x42] = nested_low;
	g_handlers[0xe1] = nested_high;
	apic_on();
	apic_write(APIC_ICR, 0x40042);
	open_shut();
	open_shut();
	guest_done();
}

TEST(apic_nested, "in a handler only a higher class interrupts before EOI")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, nested_guest);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0x42e1ff41);
}

static void apic_regs(void)
{
	g_val = apic_read(APIC_LVR);
	GUEST_ASSERT(apic_read(APIC_ID) == 0);
	apic_on();
	apic_write(APIC_LDR, 0x5a123456);
	GUEST_ASSERT(apic_read(APIC_LDR) == 0x5a000000);
	apic_write(APIC_DFR, 0x0fffffff);
	GUEST_ASSERT(apic_read(APIC_DFR) == 0x0fffffff);
	apic_write(APIC_LVTERR, 0x33);
	GUEST_ASSERT(apic_read(APIC_LVTERR) == 0x33);
	apic_write(APIC_TDCR, 0xb);
	GUEST_ASSERT(apic_read(APIC_TDCR) == 0xb);
	/* Switched off by software, every LVT entry is masked. */
	apic_write(APIC_SPIV, 0xff);
	GUEST_ASSERT(apic_read(APIC_LVTERR) & 0x10000);
	apic_write(APIC_LVTERR, 0x33);
	GUEST_ASSERT(apic_read(APIC_LVTERR) & 0x10000);
	/* A write to a read-only register changes nothing. */
	apic_write(APIC_LVR, 0);
	GUEST_ASSERT(apic_read(APIC_LVR) == g_val);
	guest_done();
}

TEST(apic_regs, "local APIC registers read back what they can hold")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, apic_regs);

	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_val) >> 16 >= 4);
}

static void apic_sweep(void)
{
	uint32_t reg, i;

	for (reg = 0; reg < 0x1000; reg += 4)
		apic_read(reg);
	for (i = 0; i < 4; i++)
		for (reg = 0; reg < 0x1000; reg += 4)
			if (reg != APIC_ICR)
				apic_write(reg, i ? 0xffffffff << i : 0);
	guest_done();
}

TEST(apic_sweep, "reading and writing every word of the APIC page is survived")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, apic_sweep);

	vcpu_run_to_end(v);
}

static void x2apic_guest(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	g_handlers[0x71] = hit;
	apic_on();
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	GUEST_ASSERT(rdmsr(0x802) == 0);
	GUEST_ASSERT(rdmsr(0x80d) == 1);
	wrmsr(0x808, 0x20);
	GUEST_ASSERT(read_cr8() == 2);
	wrmsr(0x83f, 0x71);
	open_shut();
	GUEST_ASSERT(g_hits == 1);
	wrmsr(0x80b, 0);
	wrmsr(0x830, 0x40071);
	open_shut();
	GUEST_ASSERT(g_hits == 2);
	wrmsr(0x80b, 0);
	/* Reserved. */
	GUEST_TRY("rdmsr", : : "c"(0x804) : "rax", "rdx", "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	/* Back to xAPIC goes only by way of off. */
	GUEST_TRY("wrmsr", : : "c"(MSR_APIC_BASE), "a"((uint32_t)base), "d"(0)
		  : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_done();
}

TEST(x2apic, "x2APIC mode: registers by MSR, self-IPI, reserved ones GP")
{
	struct vm vm;
	struct vcpu *v;

	if (!(cpuid_find(supported_cpuid(), 1, 0)->ecx & BIT(21)))
		SKIP("the device does not offer x2APIC");
	v = vm_long_mode(&vm, VM_IRQCHIP, x2apic_guest);
	vcpu_run_to_end(v);
}

static void msi_guest(void)
{
	g_handlers[0x81] = apic_hit;
	apic_on();
	guest_sync(1);
	open_shut();
	guest_done();
}

static void check_msi(uint64_t address)
{
	struct vm vm;
	struct vcpu *v;

	NEED_CAP(KVM_CAP_SIGNAL_MSI);
	v = vm_long_mode(&vm, VM_IRQCHIP, msi_guest);
	vcpu_run_to_sync(v, 1);
	EXPECT(vm_msi(&vm, address, 0x81) > 0);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_last), 0x81);
}

TEST(msi, "SIGNAL_MSI interrupts with its vector")
{
	check_msi(0xfee00000);
}

/* So QEMU has it of its AHCI's. */
TEST(msi_offset, "SIGNAL_MSI interrupts with an address that is an offset in the APICs' page")
{
	check_msi(0);
}

TEST(msi_route, "IRQ_LINE of a GSI routed as MSI interrupts with its vector")
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[1];
	} r = { .head.nr = 1, .e = { {
		.gsi = 30, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = 0x81 },
	} } };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, msi_guest);

	ASSERT(!ioctl(vm.fd, KVM_SET_GSI_ROUTING, &r));
	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 30, 1));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_last), 0x81);
}

/* NMI. */

static void nmi_guest(void)
{
	g_handlers[NMI_VECTOR] = hit;
	guest_sync(1);
	asm volatile("nop");
	guest_sync(2);
	guest_done();
}

TEST(nmi, "KVM_NMI interrupts with vector 2 though IF is clear")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nmi_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(ioctl(v->fd, KVM_NMI, 0UL));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT_EQ(G(&vm, g_last), NMI_VECTOR);
	vcpu_run_to_end(v);
}

static void nmi_in_nmi_hit(struct frame *f)
{
	hit(f);
	if (g_hits == 1) {
		guest_sync(5);
		/* The second one must wait for IRET. */
		asm volatile("nop; nop");
		g_val = g_hits;
	}
}

static void nmi_in_nmi(void)
{
	g_handlers[NMI_VECTOR] = nmi_in_nmi_hit;
	guest_sync(1);
	asm volatile("nop; nop");
	g_val2 = g_hits;
	guest_done();
}

TEST(nmi_blocked, "an NMI in an NMI handler waits for its IRET")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nmi_in_nmi);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(ioctl(v->fd, KVM_NMI, 0UL));
	vcpu_run_to_sync(v, 5);
	EXPECT_OK(ioctl(v->fd, KVM_NMI, 0UL));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 1);
	EXPECT_EQ(G(&vm, g_val2), 2);
}

static void nmi_hlt(void)
{
	g_handlers[NMI_VECTOR] = hit;
	guest_sync(1);
	asm volatile("hlt");
	guest_done();
}

TEST(nmi_wakes, "an NMI wakes a vCPU that halts with IF clear")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, nmi_hlt);

	vcpu_run_to_sync(v, 1);
	EXPECT_ERR(vcpu_run_for(v, 100), EINTR);
	EXPECT_EQ(G(&vm, g_hits), 0);
	EXPECT_OK(ioctl(v->fd, KVM_NMI, 0UL));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

/* HLT. */

static void hlt_wait(void)
{
	g_handlers[0x61] = apic_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	route(20, 0x61, 0);
	guest_sync(1);
	sti_hlt_cli();
	guest_done();
}

static void *irq_later(void *arg)
{
	sleep_ms(100);
	vm_irq(arg, 20, 1);
	return NULL;
}

TEST(hlt_wakes, "HLT sleeps in RUN until an interrupt comes")
{
	pthread_t t;
	uint64_t start;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, hlt_wait);

	vcpu_run_to_sync(v, 1);
	start = now_ns();
	ASSERT(!pthread_create(&t, NULL, irq_later, &vm));
	vcpu_run_to_end(v);
	EXPECT(now_ns() - start > 50000000);
	EXPECT_EQ(G(&vm, g_hits), 1);
	pthread_join(t, NULL);
}

TEST(hlt_pending, "HLT with an interrupt pending already does not sleep")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, hlt_wait);

	vcpu_run_to_sync(v, 1);
	vm_irq(&vm, 20, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

TEST(hlt_mp_state, "a halted vCPU has MP state HALTED; RUNNABLE lets it go on")
{
	struct kvm_mp_state mp;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, hlt_wait);

	vcpu_run_to_sync(v, 1);
	EXPECT_ERR(vcpu_run_for(v, 100), EINTR);
	ASSERT(!ioctl(v->fd, KVM_GET_MP_STATE, &mp));
	EXPECT_EQ(mp.mp_state, KVM_MP_STATE_HALTED);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	ASSERT(!ioctl(v->fd, KVM_SET_MP_STATE, &mp));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 0);
}

/* The shadow of STI and of MOV SS. */

static void sti_shadow(void)
{
	g_handlers[0x71] = apic_hit;
	apic_on();
	apic_write(APIC_ICR, 0x40071);
	asm volatile("sti; cli" : : : "memory");
	g_val = g_hits;
	asm volatile("sti; nop; cli" : : : "memory");
	g_val2 = g_hits;
	guest_done();
}

TEST(sti_shadow, "STI then CLI lets no interrupt in; one more instruction does")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, sti_shadow);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0);
	EXPECT_EQ(G(&vm, g_val2), 1);
}

extern const uint8_t shadowed_hlt[], shadowed_nop[];
static volatile uint64_t g_at;

static void note_rip(struct frame *f)
{
	g_at = f->rip;
	apic_eoi();
}

/* The VMM takes it over behind the port's instruction, in a shadow that no STI has made. */
static void before_hlt(void)
{
	g_handlers[0x71] = note_rip;
	apic_on();
	apic_write(APIC_ICR, 0x40071);
	asm volatile("outl %%eax, %%dx\n"
		     "shadowed_hlt: hlt\n"
		     "shadowed_nop: nop\n\t"
		     "cli" : : "a"(1), "d"(PORT_SYNC) : "memory");
	guest_done();
}

TEST(shadow_hlt, "HLT in STI's shadow ends at once for an interrupt that waits, which comes behind it")
{
	struct kvm_vcpu_events events;
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, before_hlt);

	vcpu_run_to_sync(v, 1);
	/* The port's instruction ends with the next run. */
	v->run->immediate_exit = 1;
	EXPECT_ERR(ioctl(v->fd, KVM_RUN, 0), EINTR);
	v->run->immediate_exit = 0;
	ASSERT(!ioctl(v->fd, KVM_GET_REGS, &regs));
	EXPECT_EQ(regs.rip, (uint64_t)shadowed_hlt);
	regs.rflags |= 0x200;	/* IF */
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
	events.flags = KVM_VCPUEVENT_VALID_SHADOW;
	events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_at), (uint64_t)shadowed_nop);
}

/* Two vCPUs. */

static volatile uint32_t g_ap_up, g_ap_hits;

static void ap_hit(struct frame *f)
{
	(void)f;
	g_ap_hits++;
	apic_eoi();
}

static void ap_guest(void)
{
	apic_on();
	g_ap_up = 1;
	sti();
	for (;;)
		asm volatile("hlt");
}

static void bsp_guest(void)
{
	int i;

	g_handlers[0x91] = ap_hit;
	apic_on();
	while (!g_ap_up)
		cpu_relax();
	for (i = 1; i <= 50; i++) {
		apic_write(APIC_ICR2, 1 << 24);
		apic_write(APIC_ICR, 0x4091);
		while (g_ap_hits != (uint32_t)i)
			cpu_relax();
	}
	guest_done();
}

/* A vCPU that was started by SIPI comes back once, with EAGAIN. */
static void *run_ap(void *arg)
{
	while (vcpu_run_raw(arg) && errno == EAGAIN)
		;
	return NULL;
}

TEST_SECONDS(ipi, "50 IPIs to another vCPU that halts, each one handled", 60)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	pthread_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, bsp_guest);
	struct vcpu *ap = vm_vcpu(&vm, 1);

	vcpu_long_mode(ap, ap_guest);
	ASSERT(!ioctl(ap->fd, KVM_SET_MP_STATE, &mp));
	ASSERT(!pthread_create(&t, NULL, run_ap, ap));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_ap_hits), 50);
}

/* INIT and SIPI: real-mode code that writes 0x77 to 0x600. */
static const uint8_t sipi_code[] = {
	0xc6, 0x06, 0x00, 0x06, 0x77, 0xf4, 0xeb, 0xfd,
};

static void sipi_guest(void)
{
	apic_on();
	apic_write(APIC_ICR2, 1 << 24);
	apic_write(APIC_ICR, 0xc500);
	apic_write(APIC_ICR2, 1 << 24);
	apic_write(APIC_ICR, 0x4600 | GPA_CODE16 >> 12);
	while (*(volatile uint8_t *)0x600 != 0x77)
		cpu_relax();
	guest_done();
}

TEST(init_sipi, "INIT and SIPI start another vCPU in real mode at their page")
{
	pthread_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, sipi_guest);
	struct vcpu *ap = vm_vcpu(&vm, 1);

	memcpy(vm.mem + GPA_CODE16, sipi_code, sizeof(sipi_code));
	ASSERT(!pthread_create(&t, NULL, run_ap, ap));
	vcpu_run_to_end(v);
	EXPECT_EQ(vm.mem[0x600], 0x77);
}

/* Who spins on one CPU. */

#define TURNS	40

static volatile uint32_t g_turn;

static void take_turns(uint32_t me)
{
	uint32_t i;

	for (i = 0; i < TURNS; i++) {
		while (g_turn % 2 != me)
			asm volatile("pause" : : : "memory");
		g_turn++;
	}
}

static void spin_first(void)
{
	take_turns(0);
	guest_done();
}

static void spin_second(void)
{
	take_turns(1);
	for (;;)
		asm volatile("hlt");
}

TEST_SECONDS(spin, "two vCPUs on one CPU that wait for each other with PAUSE both get on", 60)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	pthread_t t;
	cpu_set_t one;
	struct vm vm;
	struct vcpu *v, *w;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ASSERT(!sched_setaffinity(0, sizeof(one), &one));
	v = vm_long_mode(&vm, VM_IRQCHIP, spin_first);
	w = vm_vcpu(&vm, 1);
	vcpu_long_mode(w, spin_second);
	ASSERT(!ioctl(w->fd, KVM_SET_MP_STATE, &mp));
	ASSERT(!pthread_create(&t, NULL, run_ap, w));
	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_turn) >= 2 * TURNS - 1);
}
