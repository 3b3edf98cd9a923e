// SPDX-License-Identifier: GPL-2.0-only
/* Timers: the PIT, and the local APIC's in its three modes. */
#include "guest.h"
#include "vm.h"

static volatile uint64_t g_hits, g_val, g_val2, g_t0, g_t1, g_tsc_deadline;

static void apic_hit(struct frame *f)
{
	(void)f;
	g_hits++;
	apic_eoi();
}

static void wait_hits(uint64_t n)
{
	while (g_hits < n)
		sti_hlt_cli();
}

static void pit_hit(struct frame *f)
{
	(void)f;
	g_hits++;
	outb(0x20, 0x20);
}

/* Channel @ch, low byte then high byte, in @mode. */
static void pit_set(int ch, int mode, uint16_t count)
{
	outb(0x43, ch << 6 | 0x30 | mode << 1);
	outb(0x40 + ch, count);
	outb(0x40 + ch, count >> 8);
}

static void pit_periodic(void)
{
	g_handlers[0x20] = pit_hit;
	guest_pic_init(0x20, BIT(0));
	guest_sync(1);
	pit_set(0, 2, 11932);		/* 100 Hz */
	wait_hits(20);
	guest_done();
}

TEST(pit_periodic, "PIT channel 0, mode 2 at 100 Hz: 20 interrupts in 0.2 s")
{
	uint64_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT, pit_periodic);

	vcpu_run_to_sync(v, 1);
	t = now_ns();
	vcpu_run_to_end(v);
	t = now_ns() - t;
	EXPECT_MSG(t > 150000000 && t < 3000000000, "%llu ns",
		   (unsigned long long)t);
}

static void pit_oneshot(void)
{
	uint64_t i;

	g_handlers[0x20] = pit_hit;
	guest_pic_init(0x20, BIT(0));
	pit_set(0, 0, 11932);		/* 10 ms */
	wait_hits(1);
	/* 30 ms more by polling channel 2: no second interrupt comes. */
	sti();
	for (i = 0; i < 3; i++) {
		outb(0x61, (inb(0x61) & ~2) | 1);
		pit_set(2, 0, 11932);
		while (!(inb(0x61) & 0x20))
			cpu_relax();
	}
	cli();
	guest_done();
}

TEST(pit_oneshot, "PIT channel 0, mode 0: one interrupt; channel 2 by port 0x61")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT | VM_SPEAKER, pit_oneshot);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

static void pit_count(void)
{
	uint16_t a, b;

	pit_set(0, 2, 60000);
	outb(0x43, 0);			/* latch channel 0 */
	a = inb(0x40);
	a |= inb(0x40) << 8;
	outb(0x43, 0);
	b = inb(0x40);
	b |= inb(0x40) << 8;
	GUEST_ASSERT(a <= 60000 && b <= 60000);
	g_val = a;
	g_val2 = b;
	/* Read-back of the status: mode 2, both bytes. */
	outb(0x43, 0xe2);
	GUEST_ASSERT((inb(0x40) & 0x3f) == 0x34);
	guest_done();
}

TEST(pit_count, "the PIT's count, latched, goes down; its status reads back")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT, pit_count);

	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_val) != G(&vm, g_val2));
}

/* The local APIC's timer. */

static void lapic_periodic(void)
{
	g_handlers[0x71] = apic_hit;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x20071);
	guest_sync(1);
	apic_write(APIC_TMICT, 10000000);	/* 10 ms at 1 GHz */
	wait_hits(20);
	apic_write(APIC_TMICT, 0);
	guest_done();
}

TEST(lapic_periodic, "APIC timer, periodic, 10 ms: 20 interrupts in 0.2 s")
{
	uint64_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, lapic_periodic);

	vcpu_run_to_sync(v, 1);
	t = now_ns();
	vcpu_run_to_end(v);
	t = now_ns() - t;
	EXPECT_MSG(t > 150000000 && t < 3000000000, "%llu ns",
		   (unsigned long long)t);
}

static void lapic_oneshot(void)
{
	g_handlers[0x71] = apic_hit;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x71);
	apic_write(APIC_TMICT, 20000000);
	g_val = apic_read(APIC_TMCCT);
	wait_hits(1);
	g_val2 = apic_read(APIC_TMCCT);
	guest_sync(1);
	sti();
	asm volatile("nop; nop");
	cli();
	guest_done();
}

TEST(lapic_oneshot, "APIC timer, one-shot: one interrupt, count falls to 0")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, lapic_oneshot);

	vcpu_run_to_sync(v, 1);
	EXPECT(G(&vm, g_val) > 0 && G(&vm, g_val) <= 20000000);
	EXPECT_EQ(G(&vm, g_val2), 0);
	sleep_ms(60);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

static void lapic_divide(void)
{
	uint32_t t1, t16;

	apic_on();
	apic_write(APIC_LVTT, 0x10071);
	apic_write(APIC_TDCR, 0xb);		/* by 1 */
	apic_write(APIC_TMICT, 0xffffffff);
	outb(0x80, 1);
	t1 = 0xffffffff - apic_read(APIC_TMCCT);
	apic_write(APIC_TDCR, 0x3);		/* by 16 */
	apic_write(APIC_TMICT, 0xffffffff);
	outb(0x80, 2);
	t16 = 0xffffffff - apic_read(APIC_TMCCT);
	g_val = t1;
	g_val2 = t16;
	guest_done();
}

TEST(lapic_divide, "APIC timer: divided by 16 it counts 16 times slower")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, lapic_divide);
	uint64_t t1, t16;

	want_io(v, KVM_EXIT_IO_OUT, 0x80, 1, 1);
	sleep_ms(100);
	want_io(v, KVM_EXIT_IO_OUT, 0x80, 1, 1);
	sleep_ms(100);
	vcpu_run_to_end(v);
	t1 = G(&vm, g_val);
	t16 = G(&vm, g_val2);
	EXPECT_MSG(t1 > 100000000 && t1 < t16 * 32 && t1 > t16 * 8,
		   "%llu by 1, %llu by 16", (unsigned long long)t1,
		   (unsigned long long)t16);
}

static void lapic_masked(void)
{
	g_handlers[0x71] = apic_hit;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x10071);
	apic_write(APIC_TMICT, 1000000);
	guest_sync(1);
	sti();
	asm volatile("nop; nop");
	cli();
	guest_done();
}

TEST(lapic_masked, "APIC timer, masked: it runs out without an interrupt")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, lapic_masked);

	vcpu_run_to_sync(v, 1);
	sleep_ms(50);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 0);
}

static void lapic_extremes(void)
{
	static const uint32_t lvt[] = { 0x71, 0x20071, 0x40071, 0x60071 };
	static const uint32_t count[] = { 0, 1, 2, 0xffffffff };
	unsigned int m, c, d;

	g_handlers[0x71] = apic_hit;
	apic_on();
	for (m = 0; m < 4; m++) {
		for (d = 0; d < 12; d++) {
			for (c = 0; c < 4; c++) {
				apic_write(APIC_LVTT, lvt[m]);
				apic_write(APIC_TDCR, d);
				apic_write(APIC_TMICT, count[c]);
				apic_read(APIC_TMCCT);
				asm volatile("sti; nop; nop; cli");
			}
		}
	}
	guest_done();
}

TEST(lapic_extremes, "APIC timer: every mode and divider with extreme counts")
{
	struct kvm_lapic_state s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, lapic_extremes);

	vcpu_run_to_end(v);
	EXPECT_OK(ioctl(v->fd, KVM_GET_LAPIC, &s));
}

/* The CPUID bit is the VMM's to set where the capability is there. */
static struct vcpu *deadline_vm(struct vm *vm, void (*entry)(void))
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vcpu *v;

	cpuid_find(c, 1, 0)->ecx |= BIT(24);
	vm_init(vm, VM_IRQCHIP);
	v = vm_vcpu_raw(vm, 0);
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, entry);
	return v;
}

static void deadline(void)
{
	uint64_t now;

	g_handlers[0x71] = apic_hit;
	apic_on();
	apic_write(APIC_LVTT, 0x40071);
	asm volatile("mfence");
	now = rdtsc();
	g_t0 = now + g_tsc_deadline;
	wrmsr(MSR_TSC_DEADLINE, g_t0);
	GUEST_ASSERT(rdmsr(MSR_TSC_DEADLINE) == g_t0);
	wait_hits(1);
	g_t1 = rdtsc();
	g_val = rdmsr(MSR_TSC_DEADLINE);
	guest_done();
}

TEST(tsc_deadline, "TSC deadline: one interrupt, not early; the MSR is 0 then")
{
	struct vm vm;
	struct vcpu *v = deadline_vm(&vm, deadline);

	/* 20 ms. */
	G(&vm, g_tsc_deadline) = 20ULL * ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT(G(&vm, g_t1) >= G(&vm, g_t0));
	EXPECT_EQ(G(&vm, g_val), 0);
}

static void deadline_past(void)
{
	uint32_t i;

	g_handlers[0x71] = apic_hit;
	apic_on();
	apic_write(APIC_LVTT, 0x40071);
	for (i = 1; i <= 100; i++) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1000);
		wait_hits(i);
	}
	wrmsr(MSR_TSC_DEADLINE, 0);
	guest_done();
}

TEST(tsc_deadline_past, "TSC deadline in the past, 100 times: each one interrupts")
{
	struct vm vm;
	struct vcpu *v = deadline_vm(&vm, deadline_past);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 100);
}

static void deadline_off(void)
{
	g_handlers[0x71] = apic_hit;
	apic_on();
	/* Not in this mode: the MSR does nothing and reads 0. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
	g_val = rdmsr(MSR_TSC_DEADLINE);
	apic_write(APIC_LVTT, 0x40071);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + g_tsc_deadline);
	wrmsr(MSR_TSC_DEADLINE, 0);		/* disarmed */
	guest_sync(1);
	sti();
	asm volatile("nop; nop");
	cli();
	guest_done();
}

TEST(tsc_deadline_off, "TSC deadline: disarmed by 0, ignored in another mode")
{
	struct vm vm;
	struct vcpu *v = deadline_vm(&vm, deadline_off);

	G(&vm, g_tsc_deadline) = 20ULL * ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL);
	vcpu_run_to_sync(v, 1);
	sleep_ms(60);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 0);
	EXPECT_EQ(G(&vm, g_val), 0);
}
