// SPDX-License-Identifier: GPL-2.0-only
/* The task priority as VMMs of 32-bit Windows want it: reports, and a word of memory. */
#include "guest.h"
#include "vm.h"

#define VAPIC_GPA	GPA_TEST
#define ICR_SELF	(1u << 18)

static volatile uint64_t g_write_rip, g_read_rip;
static volatile uint32_t g_val;

static void report_guest(void)
{
	volatile uint32_t *tpr = (void *)(APIC_BASE_GPA + APIC_TPR);

	apic_on();
	guest_sync(1);
	asm volatile("leaq 1f(%%rip), %%rax\n\t"
		     "movq %%rax, g_write_rip\n"
		     "1: movl %1, (%0)"
		     : : "r"(tpr), "r"(0x35) : "rax", "memory");
	asm volatile("leaq 1f(%%rip), %%rax\n\t"
		     "movq %%rax, g_read_rip\n"
		     "1: movl (%1), %0"
		     : "=r"(g_val) : "r"(tpr) : "rax", "memory");
	guest_sync(2);
	*tpr = 0x20;
	guest_done();
}

static int report_tpr(struct vcpu *v, uint32_t enabled, uint32_t flags)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = enabled, .flags = flags };

	return ioctl(v->fd, KVM_TPR_ACCESS_REPORTING, &ctl);
}

TEST(tpr_reports, "each access to TPR is an exit with its RIP, while reports are on")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, report_guest);

	vcpu_run_to_sync(v, 1);
	ASSERT(!report_tpr(v, 1, 0));
	ASSERT(vcpu_run(v) == KVM_EXIT_TPR_ACCESS);
	EXPECT_EQ(v->run->tpr_access.rip, G(&vm, g_write_rip));
	EXPECT_EQ(v->run->tpr_access.is_write, 1);
	ASSERT(vcpu_run(v) == KVM_EXIT_TPR_ACCESS);
	EXPECT_EQ(v->run->tpr_access.rip, G(&vm, g_read_rip));
	EXPECT_EQ(v->run->tpr_access.is_write, 0);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_val), 0x35);
	ASSERT(!report_tpr(v, 0, 0));
	vcpu_run_to_end(v);
}

static int set_vapic(struct vcpu *v, uint64_t gpa)
{
	struct kvm_vapic_addr addr = { .vapic_addr = gpa };

	return ioctl(v->fd, KVM_SET_VAPIC_ADDR, &addr);
}

static void served(struct frame *f)
{
	volatile uint32_t *word = (void *)VAPIC_GPA;

	(void)f;
	/* A higher one waits: an access to the APIC is an exit behind which the word says so. */
	apic_write(APIC_ICR, ICR_SELF | 0x37);
	apic_read(APIC_LVR);
	g_val = *word;
	apic_eoi();
}

static void ended(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void word_guest(void)
{
	volatile uint32_t *word = (void *)VAPIC_GPA;

	g_handlers[0x41] = served;
	g_handlers[0x37] = ended;
	apic_on();
	apic_write(APIC_TPR, 0x23);
	GUEST_ASSERT(*word == 0x23);
	apic_write(APIC_ICR, ICR_SELF | 0x41);
	asm volatile("sti; nop; nop; cli" : : : "memory");
	*(volatile uint8_t *)word = 0x50;
	guest_sync(1);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x50);
	*(volatile uint8_t *)word = 0x60;
	guest_sync(2);
	GUEST_ASSERT(apic_read(APIC_TPR) == 0x60);
	apic_write(APIC_TPR, 0x70);
	guest_sync(3);
	guest_done();
}

TEST(vapic_word, "the word of SET_VAPIC_ADDR is TPR, what waits and what is in service")
{
	struct kvm_lapic_state lapic;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, word_guest);
	uint32_t *word = (void *)(vm.mem + VAPIC_GPA);

	ASSERT(!set_vapic(v, VAPIC_GPA));
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_val), 0x41003023);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &lapic));
	EXPECT_EQ(*(uint32_t *)(lapic.regs + APIC_TPR), 0x50);
	vcpu_run_to_sync(v, 2);
	/* Taken away, it is the guest's own memory. */
	ASSERT(!set_vapic(v, 0));
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(*word & 0xff, 0x60);
	vcpu_run_to_end(v);
}

TEST(vapic_slot_gone, "the slot of that word deleted under it is survived")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, report_guest);
	void *page = map_pages(4096);

	ASSERT(!vm_slot(&vm, 1, 0, 0x20000000, 4096, page));
	ASSERT(!set_vapic(v, 0x20000000));
	vcpu_run_to_sync(v, 1);
	ASSERT(!vm_slot(&vm, 1, 0, 0x20000000, 0, page));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_val), 0x35);
	vcpu_run_to_end(v);
}

TEST(tpr_errors, "TPR's two calls: no LAPIC, no memory, unknown flags")
{
	struct vm vm, bare;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, report_guest);
	struct vcpu *none = vm_long_mode(&bare, 0, report_guest);

	EXPECT_ERR(report_tpr(v, 1, 1), EINVAL);
	EXPECT_ERR(set_vapic(none, VAPIC_GPA), EINVAL);
	EXPECT_ERR(set_vapic(v, GPA_HOLE), EINVAL);
	EXPECT_ERR(set_vapic(v, -8ULL), EINVAL);
	EXPECT_OK(report_tpr(none, 1, 0));
	EXPECT_OK(set_vapic(v, 0));
}
