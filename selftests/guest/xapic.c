// SPDX-License-Identifier: GPL-2.0-only
/*
 * An xAPIC, on whose registers a CPU may work by itself where all vCPUs of a VM have theirs at
 * the same place: what a guest reads and writes there by any instruction, and what ends it.
 */
#include <linux/umbra.h>
#include <string.h>

#include "guest.h"
#include "vm.h"

#define VECTOR		0x71
#define SELF		(1u << 18 | VECTOR)
#define ROUNDS		100
#define TRIES		3
#define MOVED		0xfee10000ULL
#define PAGE		0xfee00000ULL
#define DEADLINE	(2u << 17)
#define MASKED		(1u << 16)

static volatile uint64_t g_hits, g_seen, g_step_rip;

/* Does this CPU do it for a guest of this VM? */
static bool by_cpu(struct vm *vm)
{
	return on_umbra() && cpu_is_intel() && umbra_parameter("apicv") == 'Y' && !vm_shadow(vm);
}

static uint64_t left(struct vm *vm)
{
	return on_umbra() ? exit_count(vm, "page_fault") + exit_count(vm, "apic_write") +
			    exit_count(vm, "exception") : 0;
}

static void hit(struct frame *f)
{
	(void)f;
	g_hits++;
	GUEST_ASSERT(apic_read(APIC_ISR + 3 * 0x10) == BIT(VECTOR & 31));
	GUEST_ASSERT(apic_read(APIC_PPR) == (VECTOR & 0xf0));
	apic_eoi();
	GUEST_ASSERT(!apic_read(APIC_ISR + 3 * 0x10));
}

/* TPR by register and by CR8, an interrupt to itself, held up and taken. */
static void use(void)
{
	uint64_t before = g_hits;

	apic_write(APIC_TPR, 0x85);
	GUEST_ASSERT(read_cr8() == 8 && apic_read(APIC_TPR) == 0x85 && apic_read(APIC_PPR) == 0x85);
	apic_write(APIC_ICR, SELF);
	GUEST_ASSERT(apic_read(APIC_IRR + 3 * 0x10) == BIT(VECTOR & 31));
	asm volatile("sti; nop; nop" : : : "memory");
	GUEST_ASSERT(g_hits == before);
	apic_write(APIC_TPR, 0x60);
	asm volatile("nop; nop; cli" : : : "memory");
	GUEST_ASSERT(g_hits == before + 1);
	write_cr8(4);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x40);
	apic_write(APIC_TPR, 0);
	GUEST_ASSERT(read_cr8() == 0);
}

static void count_guest(void)
{
	int i, try;

	g_handlers[VECTOR] = hit;
	apic_on();
	use();
	for (try = 0; try < TRIES; try++) {
		guest_sync(1);
		for (i = 0; i < ROUNDS; i++) {
			apic_write(APIC_TPR, i & 0xff);
			GUEST_ASSERT(apic_read(APIC_TPR) == (uint32_t)(i & 0xff));
			GUEST_ASSERT(apic_read(APIC_SPIV) == 0x1ff && !apic_read(APIC_IRR));
		}
		guest_sync(2);
	}
	for (i = 0; i < ROUNDS; i++)
		apic_eoi();
	guest_sync(3);
	guest_done();
}

TEST(count, "an interrupt to itself, TPR, EOI; by a CPU that can do so, TPR and reads are no exits")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, count_guest);
	uint64_t before, written, least = UINT64_MAX;
	int try;

	/* A page of code that is new, or that the host has moved, is an exit of one of them. */
	for (try = 0; try < TRIES; try++) {
		vcpu_run_to_sync(v, 1);
		before = left(&vm);
		vcpu_run_to_sync(v, 2);
		if (left(&vm) - before < least)
			least = left(&vm) - before;
	}
	if (by_cpu(&vm))
		EXPECT_EQ(least, 0);
	else if (on_umbra())
		EXPECT(least >= 4 * ROUNDS);
	written = on_umbra() ? exit_count(&vm, "apic_write") : 0;
	vcpu_run_to_sync(v, 3);
	if (by_cpu(&vm))
		EXPECT_EQ(exit_count(&vm, "apic_write") - written, ROUNDS);
	vcpu_run_to_end(v);
}

static void regs_guest(void)
{
	uint32_t lvr = apic_read(APIC_LVR);

	apic_on();
	/* What is read-only. */
	apic_write(APIC_ID, 0x5000000);
	apic_write(APIC_LVR, 0);
	apic_write(APIC_PPR, 0x77);
	apic_write(APIC_ISR, 1);
	apic_write(APIC_IRR, 1);
	GUEST_ASSERT(!apic_read(APIC_ID) && apic_read(APIC_LVR) == lvr && !apic_read(APIC_PPR));
	GUEST_ASSERT(!apic_read(APIC_ISR) && !apic_read(APIC_IRR));
	/* What holds only some of its bits. */
	apic_write(APIC_TPR, 0xffffff21);
	apic_write(APIC_LDR, 0x5a123456);
	apic_write(APIC_DFR, 0);
	apic_write(APIC_ICR2, 0x3a123456);
	apic_write(APIC_SPIV, 0xffffffff);
	apic_write(APIC_LVTERR, 0xffffff33);
	apic_write(APIC_TDCR, 0xffffffff);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x21 && apic_read(APIC_LDR) == 0x5a000000);
	GUEST_ASSERT(apic_read(APIC_DFR) == 0x0fffffff && apic_read(APIC_ICR2) == 0x3a000000);
	GUEST_ASSERT(apic_read(APIC_SPIV) == 0x3ff && apic_read(APIC_LVTERR) == (MASKED | 0x33));
	GUEST_ASSERT(apic_read(APIC_TDCR) == 0xb);
	/* An exception's vector can't be sent. */
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ICR, 1u << 18 | 5);
	apic_write(APIC_ESR, 0xffffffff);
	GUEST_ASSERT(apic_read(APIC_ESR) == 0x20);
	/* Sent, it is not busy. */
	apic_write(APIC_ICR, SELF | 1u << 12);
	GUEST_ASSERT(apic_read(APIC_ICR) == SELF);
	/* Disabled by software it masks all. */
	apic_write(APIC_LVTERR, 0x33);
	apic_write(APIC_SPIV, 0xff);
	GUEST_ASSERT(apic_read(APIC_LVTERR) == (MASKED | 0x33));
	apic_write(APIC_LVTERR, 0x34);
	GUEST_ASSERT(apic_read(APIC_LVTERR) == (MASKED | 0x34));
	guest_done();
}

TEST(regs, "each register holds what it can, whatever was written")
{
	struct vm vm;

	vcpu_run_to_end(vm_long_mode(&vm, VM_IRQCHIP, regs_guest));
}

static void timer_guest(void)
{
	uint32_t count;

	apic_on();
	apic_write(APIC_TDCR, 0xa);
	apic_write(APIC_LVTT, MASKED | VECTOR);
	apic_write(APIC_TMICT, 0xf0000000);
	count = apic_read(APIC_TMCCT);
	GUEST_ASSERT(count && count <= 0xf0000000);
	/* Slower it has no less to go; the initial count stays. */
	apic_write(APIC_TDCR, 0xb);
	GUEST_ASSERT(apic_read(APIC_TMCCT) && apic_read(APIC_TMCCT) <= count);
	GUEST_ASSERT(apic_read(APIC_TMCCT) > count / 2);
	apic_write(APIC_LVTT, MASKED | 1u << 17 | VECTOR);
	GUEST_ASSERT(apic_read(APIC_TMCCT) > count / 2 && apic_read(APIC_TMICT) == 0xf0000000);
	/* By the deadline there is no count, and none can be set. */
	apic_write(APIC_LVTT, MASKED | DEADLINE | VECTOR);
	GUEST_ASSERT(!apic_read(APIC_TMICT) && !apic_read(APIC_TMCCT));
	apic_write(APIC_TMICT, 0x1234);
	GUEST_ASSERT(!apic_read(APIC_TMICT) && !apic_read(APIC_TMCCT));
	apic_write(APIC_LVTT, MASKED | VECTOR);
	GUEST_ASSERT(!apic_read(APIC_TMICT) && !apic_read(APIC_TMCCT));
	guest_done();
}

TEST(timer, "the timer goes by what its registers said before, too")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, timer_guest);

	/* The VMM's to set: the LAPIC has it by a capability. */
	cpuid_find(c, 1, 0)->ecx |= BIT(24);
	vcpu_set_cpuid(v, c);
	vcpu_run_to_end(v);
}

#define READ(type, offset)		(*(volatile type *)(PAGE + (offset)))

/* Of a register, and of what lies beside it. */
static void sizes_guest(void)
{
	uint64_t pushed;

	apic_on();
	apic_write(APIC_TPR, 0x35);
	apic_write(APIC_LDR, 0x5a000000);
	GUEST_ASSERT(READ(uint8_t, APIC_TPR) == 0x35 && READ(uint16_t, APIC_TPR) == 0x35);
	GUEST_ASSERT(READ(uint8_t, APIC_LDR + 3) == 0x5a && READ(uint16_t, APIC_LDR + 2) == 0x5a00);
	GUEST_ASSERT(READ(uint32_t, APIC_TPR + 4) == 0 && READ(uint64_t, APIC_TPR) == 0);
	GUEST_ASSERT(READ(uint32_t, APIC_TPR - 2) == 0 && READ(uint8_t, APIC_TPR + 15) == 0);
	/* Over its edge, beside it, wider than it. */
	READ(uint32_t, APIC_TPR + 4) = 0x77;
	READ(uint32_t, APIC_TPR - 2) = 0x770077;
	READ(uint64_t, APIC_TPR) = 0x77;
	READ(uint64_t, APIC_SPIV) = 0;
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x35 && apic_read(APIC_SPIV) == 0x1ff);
	/* Both ways at once, and by other instructions than MOV. */
	asm volatile("orl $0x40, (%0)" : : "r"(PAGE + APIC_TPR) : "memory");
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x75);
	asm volatile("pushq (%1); popq %0" : "=r"(pushed) : "r"(PAGE + APIC_TPR) : "memory");
	GUEST_ASSERT(pushed == 0);
	asm volatile("xchgl %k0, (%1)" : "+r"(pushed) : "r"(PAGE + APIC_LVTERR) : "memory");
	GUEST_ASSERT(pushed == MASKED && apic_read(APIC_LVTERR) == 0);
	guest_done();
}

TEST(sizes, "reads of any size; writes that are not of a register's four bytes do nothing")
{
	struct vm vm;

	vcpu_run_to_end(vm_long_mode(&vm, VM_IRQCHIP, sizes_guest));
}

static void on_step(struct frame *f)
{
	g_seen++;
	g_step_rip = f->rip;
	f->rflags &= ~0x100ULL;
}

static void step_guest(void)
{
	uint64_t behind;

	apic_on();
	g_handlers[1] = on_step;
	asm volatile("leaq 1f(%%rip), %0\n\t"
		     "pushfq; orq $0x100, (%%rsp); popfq\n\t"
		     "movl $0, (%1)\n"
		     "1: nop" : "=&r"(behind) : "r"(PAGE + APIC_EOI) : "memory", "cc");
	GUEST_ASSERT(g_seen == 1 && g_step_rip == behind);
	guest_done();
}

TEST(step, "a single step over a write of EOI ends behind it")
{
	struct vm vm;

	vcpu_run_to_end(vm_long_mode(&vm, VM_IRQCHIP, step_guest));
}

static uint32_t reg(const struct kvm_lapic_state *s, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, s->regs + offset, sizeof(value));
	return value;
}

static void saved_guest(void)
{
	g_handlers[VECTOR] = hit;
	apic_on();
	apic_write(APIC_LDR, 0x11ffffff);
	apic_write(APIC_TPR, 0x93);
	apic_write(APIC_TPR, 0x95);
	apic_write(APIC_ICR, SELF);
	guest_sync(1);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x20 && read_cr8() == 2 && apic_read(APIC_PPR) == 0x20);
	asm volatile("sti; nop; nop; cli" : : : "memory");
	GUEST_ASSERT(g_hits == 1);
	use();
	guest_done();
}

TEST(saved, "GET_LAPIC has what the guest wrote last, SET_LAPIC what it reads next")
{
	struct kvm_lapic_state s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, saved_guest);

	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	EXPECT_EQ(reg(&s, APIC_TPR), 0x95);
	EXPECT_EQ(reg(&s, APIC_PPR), 0x95);
	EXPECT_EQ(reg(&s, APIC_LDR), 0x11000000);
	EXPECT_EQ(reg(&s, APIC_IRR + 3 * 0x10), BIT(VECTOR & 31));
	s.regs[APIC_TPR] = 0x20;
	ASSERT(!ioctl(v->fd, KVM_SET_LAPIC, &s));
	vcpu_run_to_end(v);
}

static void moved_guest(void)
{
	volatile uint32_t *tpr = (void *)(MOVED + APIC_TPR);
	uint64_t base = rdmsr(MSR_APIC_BASE);

	g_handlers[VECTOR] = hit;
	apic_on();
	use();
	apic_write(APIC_TPR, 0x10);
	wrmsr(MSR_APIC_BASE, (base & 0xfff) | MOVED);
	GUEST_ASSERT(*tpr == 0x10);
	*tpr = 0x20;
	GUEST_ASSERT(read_cr8() == 2);
	guest_sync(1);
	wrmsr(MSR_APIC_BASE, base);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x20);
	use();
	/* Off, and on again. */
	wrmsr(MSR_APIC_BASE, base & ~(uint64_t)APIC_BASE_ON);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0xffffffff);
	apic_write(APIC_TPR, 0x30);
	wrmsr(MSR_APIC_BASE, base);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0 && apic_read(APIC_SPIV) == 0xff);
	apic_on();
	use();
	guest_done();
}

TEST(moved, "elsewhere and back, off and on")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, moved_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_hits), 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 3);
}

static void other_guest(void)
{
	g_handlers[VECTOR] = hit;
	apic_on();
	use();
	guest_sync(1);
	use();
	guest_sync(2);
	use();
	guest_done();
}

/* Whose APIC is not there any more finds nothing there, and not what the others have. */
static void leaving_guest(void)
{
	apic_on();
	apic_write(APIC_TPR, 0x50);
	guest_sync(1);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	GUEST_ASSERT(rdmsr(0x808) == 0x50);
	apic_write(APIC_TPR, 0x60);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0xffffffff && rdmsr(0x808) == 0x50);
	guest_done();
}

TEST(others, "one vCPU's goes to x2APIC mode, and that of another stays what it is")
{
	struct vm vm;
	struct kvm_mp_state runs = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, other_guest), *w;

	if (!(cpuid_find(supported_cpuid(), 1, 0)->ecx & BIT(21)))
		SKIP("the device does not offer x2APIC");
	w = vm_vcpu(&vm, 1);
	vcpu_long_mode(w, leaving_guest);
	ASSERT(!ioctl(w->fd, KVM_SET_MP_STATE, &runs));
	vcpu_run_to_sync(w, 1);
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_end(w);
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 3);
}

static void covered_guest(void)
{
	g_handlers[VECTOR] = hit;
	apic_on();
	use();
	guest_sync(1);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x12345678);
	apic_write(APIC_TPR, 0x87654321);
	guest_sync(2);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0);
	use();
	guest_done();
}

TEST(covered, "memory that is put there is what the guest finds, until it is gone")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, covered_guest);
	volatile uint32_t *page = map_pages(4096);

	if (!on_umbra())
		SKIP("KVM may refuse it");
	vcpu_run_to_sync(v, 1);
	page[APIC_TPR / 4] = 0x12345678;
	ASSERT(!vm_slot(&vm, 5, 0, PAGE, 4096, (void *)page));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(page[APIC_TPR / 4], 0x87654321);
	ASSERT(!vm_slot(&vm, 5, 0, PAGE, 0, (void *)page));
	vcpu_run_to_end(v);
}

static void switched_guest(void)
{
	int i;

	g_handlers[VECTOR] = hit;
	apic_on();
	for (i = 1; i <= 6; i++) {
		use();
		apic_write(APIC_TPR, i << 4);
		guest_sync(i);
		GUEST_ASSERT(apic_read(APIC_TPR) == (uint32_t)i << 4);
	}
	guest_done();
}

TEST(switched, "with its VM's mode changed, on goes what was there")
{
	static const uint32_t modes[] = {
		UMBRA_MMU_SHADOW_LAZY, UMBRA_MMU_HARDWARE, UMBRA_MMU_SHADOW_EAGER, UMBRA_MMU_HARDWARE,
	};
	uint64_t written;
	struct vm vm;
	struct vcpu *v;
	unsigned int i;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	v = vm_long_mode(&vm, VM_IRQCHIP, switched_guest);
	if (vm_shadow(&vm))
		SKIP("no hardware mode to leave");
	for (i = 0; i < 4; i++) {
		vcpu_run_to_sync(v, i + 1);
		ASSERT(!ioctl(vm.fd, UMBRA_SET_MMU, &modes[i]));
	}
	vcpu_run_to_sync(v, 5);
	written = exit_count(&vm, "apic_write");
	vcpu_run_to_sync(v, 6);
	/* Back in the hardware's mode, it is as at the start. */
	if (by_cpu(&vm))
		EXPECT(exit_count(&vm, "apic_write") > written);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_hits), 6);
}

static void fetch_guest(void)
{
	apic_on();
	apic_read(APIC_TPR);
	guest_sync(1);
	((void (*)(void))(PAGE + APIC_TPR))();
}

TEST(fetch, "no instruction comes from there")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, fetch_guest);

	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(v->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
}
