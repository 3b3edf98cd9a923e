// SPDX-License-Identifier: GPL-2.0-only
/* The rarer ways of the interrupt chips and timers: what BIOSes and old kernels use. */
#define _GNU_SOURCE
#include <pthread.h>

#include "guest.h"
#include "vm.h"

#define ICR_ASSERT	0x4000u
#define ICR_LOGICAL	0x0800u
#define ICR_SELF	0x40000u
#define ICR_ALL		0x80000u
#define ICR_LOWEST	0x0100u
#define ICR_NMI		0x0400u

static volatile uint64_t g_hits, g_val[8], g_loops;
static volatile uint8_t g_order[8];

static void open_shut(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

/* Note the order of arrival. */
static void note(struct frame *f)
{
	if (g_hits < sizeof(g_order))
		g_order[g_hits] = f->vector;
	g_hits++;
}

static void note_and_eoi(struct frame *f)
{
	note(f);
	apic_eoi();
}

static void take_all(void (*handler)(struct frame *))
{
	int i;

	for (i = 0x20; i < 0x30; i++)
		g_handlers[i] = handler;
}

/* PIC. */

static void pic_aeoi(void)
{
	take_all(note);
	guest_pic_init(0x20, BIT(5));
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 3);			/* automatic EOI */
	outb(0x21, (uint8_t)~BIT(5));
	guest_sync(1);
	open_shut();
	guest_sync(2);
	open_shut();
	outb(0x20, 0x0b);
	g_val[0] = inb(0x20);		/* nothing in service */
	guest_done();
}

TEST(pic_aeoi, "the PIC with automatic EOI interrupts again without one")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_aeoi);

	vcpu_run_to_sync(v, 1);
	vm_irq(&vm, 5, 1);
	vm_irq(&vm, 5, 0);
	vcpu_run_to_sync(v, 2);
	vm_irq(&vm, 5, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(G(&vm, g_val[0]), 0);
}

static void note_pic_eoi(struct frame *f)
{
	note(f);
	outb(0x20, 0x20);
}

static void pic_rotated(void)
{
	take_all(note_pic_eoi);
	guest_pic_init(0x20, BIT(3) | BIT(5));
	outb(0x20, 0xc3);		/* line 3 is the lowest now */
	guest_sync(1);
	open_shut();
	open_shut();
	guest_done();
}

TEST(pic_rotated, "the PIC's priorities rotate")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_rotated);

	vcpu_run_to_sync(v, 1);
	vm_irq(&vm, 3, 1);
	vm_irq(&vm, 5, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(G(&vm, g_order[0]), 0x25);
	EXPECT_EQ(G(&vm, g_order[1]), 0x23);
}

static void pic_poll(void)
{
	guest_pic_init(0x20, BIT(5));
	guest_sync(1);
	outb(0x20, 0x0c);
	g_val[0] = inb(0x20);
	outb(0x20, 0x0b);
	g_val[1] = inb(0x20);
	outb(0x20, 0x20);
	outb(0x20, 0x0c);
	g_val[2] = inb(0x20);
	guest_done();
}

TEST(pic_poll, "the PIC's poll command tells the line and takes it into service")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_poll);

	if (!on_umbra())
		SKIP("stock KVM answers without bit 7");
	vcpu_run_to_sync(v, 1);
	vm_irq(&vm, 5, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]), 0x85);
	EXPECT_EQ(G(&vm, g_val[1]), 0x20);
	EXPECT_EQ(G(&vm, g_val[2]) & 0x80, 0);
}

static void pic_special(void)
{
	take_all(note);			/* no EOI: line 3 stays in service */
	guest_pic_init(0x20, BIT(3) | BIT(5));
	guest_sync(1);
	open_shut();
	g_val[0] = g_hits;
	outb(0x21, (uint8_t)~BIT(5));
	outb(0x20, 0x68);		/* special mask mode */
	open_shut();
	guest_done();
}

TEST(pic_special, "special mask mode lets a lower line through")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_special);

	if (!on_umbra())
		SKIP("stock KVM lets it wait");
	vcpu_run_to_sync(v, 1);
	vm_irq(&vm, 3, 1);
	vm_irq(&vm, 5, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]), 1);
	EXPECT_EQ(G(&vm, g_hits), 2);
	EXPECT_EQ(G(&vm, g_order[1]), 0x25);
}

static void pic_elcr(void)
{
	outb(0x4d0, 0xff);
	outb(0x4d1, 0xff);
	g_val[0] = inb(0x4d0);
	g_val[1] = inb(0x4d1);
	guest_done();
}

TEST(pic_elcr, "ELCR keeps the lines that can be level")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, pic_elcr);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]), 0xf8);
	EXPECT_EQ(G(&vm, g_val[1]), 0xde);
}

/* The local APIC. */

static uint64_t sent(uint32_t icr, uint32_t dest)
{
	uint64_t before = g_hits;

	apic_write(0x310, dest << 24);
	apic_write(APIC_ICR, icr);
	open_shut();
	return g_hits - before;
}

static void logical(void)
{
	g_handlers[0x61] = note_and_eoi;
	apic_on();
	apic_write(APIC_LDR, 4u << 24);
	g_val[0] = sent(ICR_ASSERT | ICR_LOGICAL | 0x61, 4);
	g_val[1] = sent(ICR_ASSERT | ICR_LOGICAL | 0x61, 3);
	g_val[2] = sent(ICR_ASSERT | ICR_LOGICAL | 0x61, 0xff);
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, 0x21u << 24);
	g_val[3] = sent(ICR_ASSERT | ICR_LOGICAL | 0x61, 0x21);
	g_val[4] = sent(ICR_ASSERT | ICR_LOGICAL | 0x61, 0x31);
	g_val[5] = sent(ICR_ASSERT | ICR_LOGICAL | 0x61, 0x22);
	g_val[6] = sent(ICR_ASSERT | ICR_LOGICAL | 0x61, 0x2f);
	g_val[7] = sent(ICR_ASSERT | ICR_LOWEST | ICR_LOGICAL | 0x61, 0x2f);
	guest_done();
}

TEST(logical, "logical destinations, flat and in clusters")
{
	static const uint64_t want[8] = { 1, 0, 1, 1, 0, 0, 1, 1 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, logical);
	int i;

	vcpu_run_to_end(v);
	/* Stock KVM loses the last, of lowest priority. */
	for (i = 0; i < (on_umbra() ? 8 : 7); i++)
		EXPECT_MSG(G(&vm, g_val[i]) == want[i], "message %d: %llu hits", i,
			   (unsigned long long)G(&vm, g_val[i]));
}

static void physical(void)
{
	g_handlers[0x61] = note_and_eoi;
	g_handlers[NMI_VECTOR] = note;
	apic_on();
	g_val[0] = sent(ICR_ASSERT | 0x61, 0);
	g_val[1] = sent(ICR_ASSERT | 0x61, 7);		/* nobody */
	g_val[2] = sent(ICR_ASSERT | 0x61, 0xff);
	g_val[3] = sent(ICR_ASSERT | ICR_ALL | 0x61, 0);
	g_val[4] = sent(ICR_ASSERT | ICR_SELF | ICR_ALL | 0x61, 0);	/* all but self */
	g_val[5] = sent(ICR_ASSERT | ICR_NMI, 0);
	guest_done();
}

TEST(physical, "physical destinations, broadcast, shorthands, an NMI")
{
	static const uint64_t want[6] = { 1, 0, 1, 1, 0, 1 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, physical);
	int i;

	vcpu_run_to_end(v);
	for (i = 0; i < 6; i++)
		EXPECT_MSG(G(&vm, g_val[i]) == want[i], "message %d: %llu hits", i,
			   (unsigned long long)G(&vm, g_val[i]));
}

static uint32_t errors(void)
{
	apic_write(APIC_ESR, 0);
	return apic_read(APIC_ESR);
}

static void esr(void)
{
	g_handlers[0x71] = note_and_eoi;
	apic_on();
	apic_write(APIC_LVTERR, 0x71);
	apic_write(APIC_ICR, ICR_ASSERT | ICR_SELF | 5);
	open_shut();
	g_val[0] = g_hits;
	g_val[1] = errors();
	g_val[2] = errors();
	apic_write(0x3b0, 1);
	open_shut();
	g_val[3] = g_hits;
	g_val[4] = errors();
	guest_done();
}

TEST(esr, "ESR tells a bad vector and a bad register, and interrupts")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, esr);

	if (!on_umbra())
		SKIP("stock KVM records no error");
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]), 1);
	EXPECT_EQ(G(&vm, g_val[1]), 0x20);
	EXPECT_EQ(G(&vm, g_val[2]), 0);
	EXPECT_EQ(G(&vm, g_val[3]), 2);
	EXPECT_EQ(G(&vm, g_val[4]), 0x80);
}

static void modes(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	g_val[0] = apic_read(APIC_LVR);
	wrmsr(MSR_APIC_BASE, base & ~APIC_BASE_ON);
	g_val[1] = apic_read(APIC_LVR);
	apic_on();			/* goes nowhere */
	GUEST_TRY("wrmsr", : : "c"(MSR_APIC_BASE), "a"((uint32_t)(base | APIC_BASE_X2)), "d"(0));
	g_val[2] = g_vector;
	wrmsr(MSR_APIC_BASE, base);
	g_val[3] = apic_read(APIC_SPIV) & 0x100;
	GUEST_TRY("rdmsr", : : "c"(0x802) : "rax", "rdx");
	g_val[4] = g_vector;
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	g_val[5] = apic_read(APIC_LVR);
	GUEST_TRY("wrmsr", : : "c"(MSR_APIC_BASE), "a"((uint32_t)base), "d"(0));
	g_val[6] = g_vector;
	g_val[7] = rdmsr(0x803);
	guest_done();
}

TEST(modes, "APIC off, on and x2APIC: only legal steps, the page answers in one mode only")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, modes);

	cpuid_find(c, 1, 0)->ecx |= BIT(21);
	vcpu_set_cpuid(v, c);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]) & 0xf0, 0x10);
	EXPECT_EQ(G(&vm, g_val[1]), 0xffffffff);
	EXPECT_EQ(G(&vm, g_val[2]), 13);
	EXPECT_EQ(G(&vm, g_val[3]), 0);
	EXPECT_EQ(G(&vm, g_val[4]), 13);
	EXPECT_EQ(G(&vm, g_val[5]), 0xffffffff);
	EXPECT_EQ(G(&vm, g_val[6]), 13);
	EXPECT_EQ(G(&vm, g_val[7]), G(&vm, g_val[0]));
}

/* Storms. */

#define STORM	10050

static void storm_hit(struct frame *f)
{
	(void)f;
	g_hits++;
	apic_eoi();			/* and the line stays up */
}

static void storm(void)
{
	g_handlers[0x61] = storm_hit;
	apic_on();
	guest_pic_init(0x20, 0);
	ioapic_write(0x11 + 40, 0);
	ioapic_write(0x10 + 40, 0x61 | BIT(15));
	guest_sync(1);
	sti();
	while (g_hits < STORM)
		g_loops++;
	cli();
	guest_done();
}

TEST_SECONDS(storm, "a level that nobody lowers does not starve what it interrupts", 120)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, storm);

	vcpu_run_to_sync(v, 1);
	vm_irq(&vm, 20, 1);
	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_loops) > 1000);
}

#define SHORT_NS	200000ULL

static void short_period(void)
{
	g_handlers[0x61] = storm_hit;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x20061);
	guest_sync(1);
	apic_write(APIC_TMICT, 1);
	sti();
	while (g_hits < 200)
		cpu_relax();
	cli();
	guest_done();
}

TEST(short_period, "the APIC timer with a period of 1 ns interrupts, but not that often")
{
	uint64_t start;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, short_period);

	vcpu_run_to_sync(v, 1);
	start = now_ns();
	vcpu_run_to_end(v);
	EXPECT(now_ns() - start > 199 * SHORT_NS);
}

static void tsc_jump(void)
{
	g_handlers[0x61] = note_and_eoi;
	apic_on();
	apic_write(APIC_LVTT, 0x40061);
	asm volatile("mfence");
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1UL << 45));
	open_shut();
	g_val[0] = g_hits;
	wrmsr(MSR_TSC, rdtsc() + (1UL << 46));
	while (!g_hits)
		open_shut();
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1UL << 45));
	wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) + (1UL << 46));
	while (g_hits < 2)
		open_shut();
	guest_done();
}

TEST(tsc_jump, "a TSC that is set beyond the deadline brings its interrupt")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, tsc_jump);

	if (!on_umbra())
		SKIP("stock KVM waits for the time that was left");
	cpuid_find(c, 1, 0)->ecx |= BIT(24);
	vcpu_set_cpuid(v, c);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]), 0);
	EXPECT_EQ(G(&vm, g_hits), 2);
}

/* The PIT. */

static void pit_set(int ch, int mode, int bcd, uint16_t count)
{
	outb(0x43, ch << 6 | 0x30 | mode << 1 | bcd);
	outb(0x40 + ch, count);
	outb(0x40 + ch, count >> 8);
}

static uint16_t pit_latched(int ch)
{
	uint8_t low;

	outb(0x43, ch << 6);
	low = inb(0x40 + ch);
	return low | inb(0x40 + ch) << 8;
}

static void pit_bcd(void)
{
	int i, shift;

	pit_set(1, 2, 1, 0x1000);
	for (i = 0; i < 200; i++) {
		uint16_t count = pit_latched(1);

		for (shift = 0; shift < 16; shift += 4)
			GUEST_ASSERT((count >> shift & 0xf) <= 9);
		GUEST_ASSERT(count && count <= 0x1000);
	}
	/* Low byte only, and what a latched status says: mode 2, BCD, low byte. */
	outb(0x43, 1 << 6 | 0x10 | 2 << 1 | 1);
	outb(0x41, 0x50);
	outb(0x43, 0xe4);
	g_val[0] = inb(0x41) & 0x3f;
	guest_done();
}

TEST(pit_bcd, "the PIT counts in BCD, and by its low byte")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT, pit_bcd);

	if (!on_umbra())
		SKIP("stock KVM counts in binary whatever it was told");
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]), 0x10 | 2 << 1 | 1);
}

static void pit_gate(void)
{
	outb(0x61, 0);			/* gate closed */
	pit_set(2, 0, 0, 100);
	g_val[0] = pit_latched(2);
	g_val[1] = inb(0x61) & 0x20;
	outb(0x61, 1);
	while (!(inb(0x61) & 0x20))
		;
	outb(0x61, 0);
	pit_set(2, 1, 0, 100);		/* a one-shot that the gate triggers */
	g_val[2] = inb(0x61) & 0x20;
	outb(0x61, 1);
	while (!(inb(0x61) & 0x20))
		;
	g_val[3] = 1;
	guest_done();
}

TEST(pit_gate, "the gate of PIT channel 2 holds the count, and triggers mode 1")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT | VM_SPEAKER, pit_gate);

	if (!on_umbra())
		SKIP("stock KVM counts whatever the gate says");
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val[0]), 100);
	EXPECT_EQ(G(&vm, g_val[1]), 0);
	EXPECT_EQ(G(&vm, g_val[2]), 0x20);
	EXPECT_EQ(G(&vm, g_val[3]), 1);
}

#define TICK_NS		10000000ULL
#define TICKS		60

static void count_ticks(void)
{
	take_all(note_pic_eoi);
	guest_pic_init(0x20, BIT(0));
	guest_sync(1);
	pit_set(0, 2, 0, 11932);	/* 100 Hz */
	while (g_hits < 5)
		sti_hlt_cli();
	guest_sync(2);
	while (g_hits < TICKS)
		sti_hlt_cli();
	guest_done();
}

TEST(pit_catch_up, "ticks of the PIT while the vCPU does not run are made up for")
{
	uint64_t start, ns;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT, count_ticks);

	vcpu_run_to_sync(v, 1);
	start = now_ns();
	vcpu_run_to_sync(v, 2);
	sleep_ms(250);
	vcpu_run_to_end(v);
	ns = now_ns() - start;
	EXPECT_MSG(ns > (TICKS - 1) * TICK_NS && ns < (TICKS + 6) * TICK_NS,
		   "%d ticks took %llu ms", TICKS, (unsigned long long)ns / 1000000);
}

/* Routes. */

static void msi_nowhere(void)
{
	g_handlers[0x61] = note_and_eoi;
	apic_on();
	guest_sync(1);
	open_shut();
	guest_done();
}

TEST(msi_nowhere, "a route to an address that is no APIC's is taken, and leads nowhere")
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[2];
	} r = {
		.head.nr = 2,
		.e = {
			{ .gsi = 40, .type = KVM_IRQ_ROUTING_MSI, .u.msi.data = 0x61 },
			{ .gsi = 41, .type = KVM_IRQ_ROUTING_MSI,
			  .u.msi = { .address_lo = 0xfee00000, .data = 0x61 } },
		},
	};
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, msi_nowhere);

	ASSERT(!ioctl(vm.fd, KVM_SET_GSI_ROUTING, &r));
	vcpu_run_to_sync(v, 1);
	if (on_umbra())
		vm_irq(&vm, 40, 1);
	vm_irq(&vm, 41, 1);
	vm_irq(&vm, 41, 0);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

/* Two vCPUs: each start of the second one adds 1 to the byte at 0x600. */
static const uint8_t sipi_code[] = {
	0xfe, 0x06, 0x00, 0x06,		/* incb 0x600 */
	0xf4, 0xeb, 0xfd,		/* hlt, for ever */
};

static volatile uint8_t *const g_starts = (void *)0x600;

static void ipi(uint32_t icr)
{
	apic_write(0x310, 1u << 24);
	apic_write(APIC_ICR, icr);
}

static void wait_starts(uint8_t n)
{
	volatile uint8_t *starts = g_starts;

	asm("" : "+r"(starts));
	while (*starts != n)
		cpu_relax();
}

static void sipi_guest(void)
{
	int i;

	apic_on();
	ipi(0xc500);
	ipi(0x4600 | GPA_CODE16 >> 12);
	wait_starts(1);
	ipi(0x4600 | GPA_CODE16 >> 12);	/* it waits for none */
	for (i = 0; i < 10000; i++)
		cpu_relax();
	wait_starts(1);
	ipi(0xc500);
	ipi(0x8500);			/* de-assert: nothing */
	ipi(0x4600 | GPA_CODE16 >> 12);
	wait_starts(2);
	guest_done();
}

static void *run_ap(void *arg)
{
	while (vcpu_run_raw(arg) && errno == EAGAIN)
		;
	return NULL;
}

TEST(sipi_again, "a SIPI without INIT is dropped, INIT and SIPI start a CPU anew")
{
	pthread_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, sipi_guest);
	struct vcpu *ap = vm_vcpu(&vm, 1);

	memcpy(vm.mem + GPA_CODE16, sipi_code, sizeof(sipi_code));
	ASSERT(!pthread_create(&t, NULL, run_ap, ap));
	vcpu_run_to_end(v);
	EXPECT_EQ(vm.mem[0x600], 2);
}
