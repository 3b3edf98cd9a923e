// SPDX-License-Identifier: GPL-2.0-only
/*
 * An x2APIC, on whose registers a CPU may work by itself: what the guest sees of it, what
 * userspace reads and writes, and that the guest need not be left for it.
 */
#include <linux/umbra.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define X2(reg)		(0x800 + ((reg) >> 4))
#define SELF_IPI	0x3f0
#define LOW		0x41
#define MIDDLE		0x61
#define HIGH		0x81
#define ROUNDS		200

static volatile uint64_t g_hits, g_order, g_seen, g_stop;

static void x2_on(void)
{
	apic_on();
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
}

static void x2_eoi(void)
{
	wrmsr(X2(APIC_EOI), 0);
}

static void send(uint8_t vector)
{
	wrmsr(X2(SELF_IPI), vector);
}

static uint64_t bank(uint32_t reg, uint8_t vector)
{
	return rdmsr(X2(reg + vector / 32 * 0x10)) >> vector % 32 & 1;
}

/* Take what is deliverable, once. */
static void open_shut(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

static void note(struct frame *f)
{
	g_hits++;
	g_order = g_order << 8 | f->vector;
	GUEST_ASSERT(bank(APIC_ISR, f->vector) && !bank(APIC_IRR, f->vector));
	GUEST_ASSERT(rdmsr(X2(APIC_PPR)) >> 4 == f->vector >> 4);
	x2_eoi();
	GUEST_ASSERT(!bank(APIC_ISR, f->vector));
}

static void handlers(void)
{
	g_handlers[LOW] = note;
	g_handlers[MIDDLE] = note;
	g_handlers[HIGH] = note;
}

static struct vcpu *x2_vm(struct vm *vm, void (*entry)(void))
{
	if (!(cpuid_find(supported_cpuid(), 1, 0)->ecx & BIT(21)))
		SKIP("the device does not offer x2APIC");
	return vm_long_mode(vm, VM_IRQCHIP, entry);
}

static void self_guest(void)
{
	int i;

	handlers();
	x2_on();
	asm volatile("sti");
	guest_sync(1);
	for (i = 1; i <= ROUNDS; i++) {
		send(LOW);
		while (g_hits < (uint64_t)i)
			asm volatile("pause");
	}
	guest_sync(2);
	guest_done();
}

TEST(self, "interrupts to itself are taken and ended; by a CPU that can do so, without an exit")
{
	struct vm vm;
	struct vcpu *v = x2_vm(&vm, self_guest);
	uint64_t before;

	vcpu_run_to_sync(v, 1);
	before = on_umbra() ? exit_count(&vm, "msr_write") + exit_count(&vm, "msr_read") : 0;
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), ROUNDS);
	if (on_umbra()) {
		before = exit_count(&vm, "msr_write") + exit_count(&vm, "msr_read") - before;
		if (cpu_is_intel() && umbra_parameter("apicv") == 'Y' && !vm_shadow(&vm))
			EXPECT_EQ(before, 0);
		else
			EXPECT(before >= 2 * ROUNDS);
	}
	vcpu_run_to_end(v);
}

static void priority_guest(void)
{
	handlers();
	x2_on();
	/* All three wait, the highest comes first. */
	send(MIDDLE);
	send(LOW);
	send(HIGH);
	GUEST_ASSERT(bank(APIC_IRR, LOW) && bank(APIC_IRR, MIDDLE) && bank(APIC_IRR, HIGH));
	asm volatile("sti; nop; nop; nop; nop; cli" : : : "memory");
	GUEST_ASSERT(g_hits == 3 && g_order == (HIGH << 16 | MIDDLE << 8 | LOW));
	/* The task priority holds up what is not above it; lowered, by register or by MSR, no more. */
	g_hits = 0;
	wrmsr(X2(APIC_TPR), 0x65);
	GUEST_ASSERT(read_cr8() == 6 && rdmsr(X2(APIC_PPR)) == 0x65);
	send(MIDDLE);
	open_shut();
	GUEST_ASSERT(g_hits == 0);
	send(HIGH);
	open_shut();
	GUEST_ASSERT(g_hits == 1);
	asm volatile("sti");
	write_cr8(5);
	asm volatile("nop; cli" : : : "memory");
	GUEST_ASSERT(g_hits == 2 && rdmsr(X2(APIC_TPR)) == 0x50);
	send(LOW);
	open_shut();
	GUEST_ASSERT(g_hits == 2);
	asm volatile("sti");
	wrmsr(X2(APIC_TPR), 0);
	asm volatile("nop; cli" : : : "memory");
	GUEST_ASSERT(g_hits == 3);
	guest_done();
}

TEST(priority, "priorities: the highest first, TPR holds up what is not above it")
{
	struct vm vm;

	vcpu_run_to_end(x2_vm(&vm, priority_guest));
}

#define MASKED_TICKS	20000000ULL	/* of the TSC: some ticks of the host */

static void masked_guest(void)
{
	uint64_t start;

	handlers();
	x2_on();
	asm volatile("sti; nop; nop; cli" : : : "memory");
	send(LOW);
	start = rdtsc();
	while (rdtsc() - start < MASKED_TICKS)
		;
	g_seen = g_hits;
	open_shut();
	guest_done();
}

TEST(masked, "one that waits is held up by a clear IF, however the host interrupts")
{
	struct vm vm;
	struct vcpu *v = x2_vm(&vm, masked_guest);

	if (cpu_is_intel() && umbra_parameter("apicv") == 'Y' && !vm_shadow(&vm))
		host_needs("vmx-virtual-if");
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_seen), 0);
	EXPECT_EQ(G(&vm, g_hits), 1);
}

static void refused_guest(void)
{
	x2_on();
	GUEST_TRY("wrmsr", : : "c"(X2(APIC_EOI)), "a"(1), "d"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("wrmsr", : : "c"(X2(APIC_TPR)), "a"(0x100), "d"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("wrmsr", : : "c"(X2(SELF_IPI)), "a"(0x100), "d"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	/* Read-only, write-only, none at all. */
	GUEST_TRY("wrmsr", : : "c"(X2(APIC_PPR)), "a"(0), "d"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("rdmsr", : : "c"(X2(APIC_EOI)) : "rax", "rdx", "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("rdmsr", : : "c"(X2(SELF_IPI)) : "rax", "rdx", "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("rdmsr", : : "c"(0x840) : "rax", "rdx", "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	/* An exception's vector can't be sent. */
	send(5);
	wrmsr(X2(APIC_ESR), 0);
	GUEST_ASSERT(rdmsr(X2(APIC_ESR)) == 0x20);
	/* Disabled by software it takes none, not even its own. */
	wrmsr(X2(APIC_SPIV), 0xff);
	send(LOW);
	wrmsr(X2(APIC_SPIV), 0x1ff);
	GUEST_ASSERT(!bank(APIC_IRR, LOW));
	/* Without an interrupt in service EOI does nothing. */
	x2_eoi();
	/* Off, and as an xAPIC on again. */
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(uint64_t)(APIC_BASE_X2 | APIC_BASE_ON));
	GUEST_TRY("rdmsr", : : "c"(X2(APIC_TPR)) : "rax", "rdx", "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("wrmsr", : : "c"(X2(APIC_EOI)), "a"(0), "d"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ON);
	GUEST_TRY("rdmsr", : : "c"(X2(APIC_TPR)) : "rax", "rdx", "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0);
	guest_done();
}

TEST(refused, "what is reserved or not there is refused, and so is all of it in another mode")
{
	struct vm vm;

	vcpu_run_to_end(x2_vm(&vm, refused_guest));
}

/* In the handler of one, another waits and a third is held up. */
static void saved_hit(struct frame *f)
{
	g_hits++;
	g_order = g_order << 8 | f->vector;
	if (f->vector == MIDDLE) {
		send(LOW);
		guest_sync(2);
		GUEST_ASSERT(bank(APIC_ISR, MIDDLE) && bank(APIC_IRR, LOW));
		GUEST_ASSERT(rdmsr(X2(APIC_PPR)) == 0x60);
	}
	x2_eoi();
}

static void saved_guest(void)
{
	g_handlers[LOW] = saved_hit;
	g_handlers[MIDDLE] = saved_hit;
	x2_on();
	wrmsr(X2(APIC_TPR), 0x20);
	guest_sync(1);
	send(MIDDLE);
	asm volatile("sti; nop; nop; nop; cli" : : : "memory");
	GUEST_ASSERT(g_hits == 2 && g_order == (MIDDLE << 8 | LOW));
	guest_done();
}

static uint32_t reg(const struct kvm_lapic_state *s, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, s->regs + offset, sizeof(value));
	return value;
}

TEST(saved, "GET_LAPIC shows what is in service and what waits, and SET_LAPIC makes it so")
{
	struct kvm_lapic_state in_service, before;
	struct vm vm;
	struct vcpu *v = x2_vm(&vm, saved_guest);

	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &before));
	vcpu_run_to_sync(v, 2);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &in_service));
	EXPECT_EQ(reg(&in_service, APIC_ISR + MIDDLE / 32 * 0x10), BIT(MIDDLE % 32));
	EXPECT_EQ(reg(&in_service, APIC_IRR + LOW / 32 * 0x10), BIT(LOW % 32));
	EXPECT_EQ(reg(&in_service, APIC_TPR), 0x20);
	EXPECT_EQ(reg(&in_service, APIC_PPR), 0x60);
	EXPECT_EQ(reg(&in_service, APIC_ID), 0);
	/* Forgotten, and there again. */
	ASSERT(!ioctl(v->fd, KVM_SET_LAPIC, &before));
	ASSERT(!ioctl(v->fd, KVM_SET_LAPIC, &in_service));
	vcpu_run_to_end(v);
}

static void message_guest(void)
{
	handlers();
	x2_on();
	asm volatile("sti");
	guest_sync(1);
	while (!g_hits)
		asm volatile("pause");
	/* Behind a halt. */
	guest_sync(2);
	asm volatile("cli");
	guest_sync(3);
	while (g_hits < 2)
		asm volatile("sti; hlt; cli" : : : "memory");
	guest_done();
}

TEST(message, "a message of userspace's is taken by a guest that runs, and ends its halt")
{
	struct vm vm;
	struct vcpu *v = x2_vm(&vm, message_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT(vm_msi(&vm, 0xfee00000, HIGH) > 0);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	vcpu_run_to_sync(v, 3);
	EXPECT(vm_msi(&vm, 0xfee00000, LOW) > 0);
	/* It waits already. */
	EXPECT_EQ(vm_msi(&vm, 0xfee00000, LOW), 0);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 2);
}

static void level_guest(void)
{
	handlers();
	guest_pic_init(0x20, 0);
	x2_on();
	ioapic_write(0x10 + 2 * 9, 1u << 15 | MIDDLE);
	guest_sync(1);
	asm volatile("sti; nop; nop; cli" : : : "memory");
	g_seen = ioapic_read(0x10 + 2 * 9);
	guest_sync(2);
	guest_done();
}

TEST(level, "the end of a level-triggered interrupt reaches the IOAPIC")
{
	struct vm vm;
	struct vcpu *v = x2_vm(&vm, level_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_OK(vm_irq(&vm, 9, 1));
	EXPECT_OK(vm_irq(&vm, 9, 0));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	/* Neither remote IRR nor delivery status. */
	EXPECT_EQ(G(&vm, g_seen), 1u << 15 | MIDDLE);
	vcpu_run_to_end(v);
}

static void resample_guest(void)
{
	handlers();
	guest_pic_init(0x20, 0);
	x2_on();
	ioapic_write(0x10 + 2 * 9, 1u << 15 | MIDDLE);
	asm volatile("sti");
	guest_sync(1);
	while (!g_hits)
		asm volatile("pause");
	guest_sync(2);
	guest_done();
}

TEST(resample, "a resamplefd is signalled at the end of its interrupt")
{
	struct kvm_irqfd irqfd = { .gsi = 9, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	uint64_t n = 1;
	struct vm vm;
	struct vcpu *v = x2_vm(&vm, resample_guest);

	vcpu_run_to_sync(v, 1);
	irqfd.fd = eventfd(0, 0);
	irqfd.resamplefd = eventfd(0, EFD_NONBLOCK);
	ASSERT(!ioctl(vm.fd, KVM_IRQFD, &irqfd));
	ASSERT(write(irqfd.fd, &n, sizeof(n)) == sizeof(n));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_hits), 1);
	EXPECT(read(irqfd.resamplefd, &n, sizeof(n)) == sizeof(n));
	EXPECT_EQ(n, 1);
	vcpu_run_to_end(v);
	close(irqfd.fd);
	close(irqfd.resamplefd);
}

/* Each step in another mode of the VM's, with one interrupt in service and one that waits. */
static void switched_hit(struct frame *f)
{
	g_hits++;
	if (f->vector == MIDDLE) {
		send(LOW);
		guest_sync(g_hits);
	}
	x2_eoi();
}

static void switched_guest(void)
{
	int i;

	g_handlers[LOW] = switched_hit;
	g_handlers[MIDDLE] = switched_hit;
	x2_on();
	asm volatile("sti");
	for (i = 1; i <= 4; i++) {
		send(MIDDLE);
		while (g_hits < (uint64_t)2 * i)
			asm volatile("pause");
	}
	guest_done();
}

TEST(switched, "with its VM's mode changed, what is in service and what waits goes on")
{
	static const uint32_t modes[] = {
		UMBRA_MMU_SHADOW_LAZY, UMBRA_MMU_HARDWARE, UMBRA_MMU_SHADOW_EAGER, UMBRA_MMU_HARDWARE,
	};
	struct vm vm;
	struct vcpu *v;
	unsigned int i;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	v = x2_vm(&vm, switched_guest);
	if (vm_shadow(&vm))
		SKIP("no hardware mode to leave");
	for (i = 0; i < 4; i++) {
		vcpu_run_to_sync(v, 2 * i + 1);
		ASSERT(!ioctl(vm.fd, UMBRA_SET_MMU, &modes[i]));
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 8);
}
