// SPDX-License-Identifier: GPL-2.0-only
/* What VMX is asked and told at an exit, and its own timer for a guest's deadline. */
#include <fcntl.h>
#include <linux/umbra.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PARAMETERS	"/sys/module/umbra/parameters/"
#define ROUNDS		500
#define VECTOR		0x40
#define PORT_ELCR	0x4d0
#define FAR_AWAY	(1ULL << 40)

static volatile uint64_t g_far, g_ticks;

static void cpuid_once(void)
{
	uint32_t a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static uint64_t tsc_now(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

static void on_tick(struct frame *f)
{
	(void)f;
	g_ticks++;
	apic_eoi();
}

static void deadline_on(void)
{
	apic_on();
	g_handlers[VECTOR] = on_tick;
	apic_write(APIC_LVTT, 2u << 17 | VECTOR);
	asm volatile("sti");
}

/* Exits of some kinds, each in a loop of its own; with a deadline far away if asked for. */
static void many_exits(void)
{
	uint64_t i;

	if (g_far) {
		deadline_on();
		wrmsr(MSR_TSC_DEADLINE, tsc_now() + FAR_AWAY);
	}
	for (i = 0; i < ROUNDS; i++)
		cpuid_once();
	for (i = 0; i < ROUNDS; i++)
		rdmsr(MSR_TSC_ADJUST);
	for (i = 0; i < ROUNDS; i++)
		wrmsr(MSR_TSC_ADJUST, 0);
	for (i = 0; i < ROUNDS; i++)
		inb(PORT_ELCR);
	guest_sync(1);
	guest_done();
}

/* It never halts: each deadline is reached inside. */
static void many_deadlines(void)
{
	uint64_t i;

	deadline_on();
	for (i = 1; i <= ROUNDS; i++) {
		uint64_t at = tsc_now() + 20000;

		wrmsr(MSR_TSC_DEADLINE, at);
		while (g_ticks < i)
			asm volatile("pause");
		GUEST_ASSERT(tsc_now() >= at);
		GUEST_ASSERT(rdmsr(MSR_TSC_DEADLINE) == 0);
	}
	guest_done();
}

static void set_counting(bool on)
{
	int fd = open(PARAMETERS "count_vmcs", O_WRONLY);

	ASSERT(fd >= 0);
	ASSERT(write(fd, on ? "1" : "0", 1) == 1);
	close(fd);
}

static void need_vmx(void)
{
	if (!on_umbra())
		SKIP("these are Umbra's own");
	if (!cpu_is_intel())
		SKIP("this is SVM");
}

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

static const struct limit {
	const char *name, *reason;
	uint64_t far, reads, writes;	/* of an exit, at most */
} limits[] = {
	/* Reason, length, RIP, RFLAGS, interruptibility; RIP. */
	{ "CPUID", "cpuid", 0, 5, 1 },
	{ "RDMSR", "msr_read", 0, 5, 1 },
	{ "WRMSR", "msr_write", 0, 5, 1 },
	/* And the qualification. */
	{ "IN", "io", 0, 6, 1 },
	/* And the timer. */
	{ "CPUID with a deadline set", "cpuid", 1, 5, 2 },
	{ "IN with a deadline set", "io", 1, 6, 2 },
};

/*
 * A switch of tasks in the middle of an exit costs that one more: so the average is
 * told by its whole part.
 */
TEST_EACH(limits, "VMREADs and VMWRITEs of an exit: ", limits, l)
{
	struct umbra_vmcs_counts n = { 0 };
	uint64_t count;
	struct vm vm;
	struct vcpu *v;

	need_vmx();
	set_counting(true);
	v = deadline_vm(&vm, many_exits);
	G(&vm, g_far) = l->far;
	vcpu_run_to_sync(v, 1);
	n.reason = exit_reason(&vm, l->reason, &count);
	EXPECT_OK(ioctl(v->fd, UMBRA_GET_VMCS_COUNTS, &n));
	set_counting(false);
	ASSERT(n.exits >= ROUNDS);
	ktap_diag("%s: %llu exits, %llu reads, %llu writes", l->reason, (unsigned long long)n.exits,
		  (unsigned long long)n.reads, (unsigned long long)n.writes);
	EXPECT(n.reads / n.exits <= l->reads);
	EXPECT(n.writes / n.exits <= l->writes);
	/* None at all would be a counter that does not count. */
	EXPECT(n.reads >= n.exits && n.writes >= ROUNDS);
	vcpu_run_to_end(v);
}

TEST(refuses, "GET_VMCS_COUNTS: no such reason, padding, a vCPU that is not counted")
{
	struct umbra_vmcs_counts n = { .reason = 1000 };
	struct vm vm;
	struct vcpu *v;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	v = vm_long_mode(&vm, 0, many_exits);
	EXPECT_ERR(ioctl(v->fd, UMBRA_GET_VMCS_COUNTS, &n), ERANGE);
	n.reason = 0;
	EXPECT_ERR(ioctl(v->fd, UMBRA_GET_VMCS_COUNTS, &n), EOPNOTSUPP);
	n.pad = 1;
	EXPECT_ERR(ioctl(v->fd, UMBRA_GET_VMCS_COUNTS, &n), EINVAL);
	EXPECT_ERR(ioctl(v->fd, UMBRA_GET_VMCS_COUNTS, 8), EFAULT);
}

TEST(deadlines, "a deadline that a running guest reaches is an exit of its own where the CPU has the timer")
{
	uint64_t count;
	struct vm vm;
	struct vcpu *v;

	need_vmx();
	v = deadline_vm(&vm, many_deadlines);
	vcpu_run_to_end(v);
	count = exit_count(&vm, "timer");
	ktap_diag("%llu timer exits for %d deadlines", (unsigned long long)count, ROUNDS);
	if (umbra_parameter("preemption_timer") == 'Y')
		EXPECT(count >= ROUNDS / 2);
	else
		EXPECT_EQ(count, 0);
}
