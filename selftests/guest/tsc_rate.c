// SPDX-License-Identifier: GPL-2.0-only
/* A TSC of another rate than the CPU's, and what is counted by it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define MSR_TSC		0x10
#define MSR_SYSTEM_TIME	0x4b564d01
#define MS		1000000ULL

typedef unsigned __int128 u128;

/* What VMs and vCPUs have at first: the CPU's. */
static uint64_t host_khz(void)
{
	static int khz;
	struct vm vm;

	if (khz)
		return khz;
	vm_init(&vm, VM_NO_MEMORY);
	khz = ioctl(vm_vcpu_raw(&vm, 0)->fd, KVM_GET_TSC_KHZ, 0UL);
	vm_free(&vm);
	ASSERT(khz > 0);
	return khz;
}

struct rate { const char *name; uint64_t num, den; };

static const struct rate rates[] = {
	{ "half the CPU's", 1, 2 },
	{ "twice the CPU's", 2, 1 },
	{ "17.3 times the CPU's", 173, 10 },
};

static uint64_t khz_of(const struct rate *r)
{
	NEED_CAP(KVM_CAP_TSC_CONTROL);
	return host_khz() * r->num / r->den;
}

/* What the interface says of the fraction. */
static uint64_t multiplier(uint64_t khz)
{
	return ((u128)khz << 48) / host_khz();
}

static uint64_t scaled(uint64_t tsc, uint64_t by)
{
	return (u128)tsc * by >> 48;
}

static void set_khz(int fd, uint64_t khz)
{
	ASSERT(!ioctl(fd, KVM_SET_TSC_KHZ, khz));
	ASSERT((uint64_t)ioctl(fd, KVM_GET_TSC_KHZ, 0UL) == khz);
}

static uint64_t msr(struct vcpu *v, uint32_t index)
{
	uint64_t value;

	ASSERT(vcpu_get_msr(v, index, &value) == 1);
	return value;
}

static int offset_attr(struct vcpu *v, unsigned long cmd, uint64_t *offset)
{
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
				     .addr = (uintptr_t)offset };

	return ioctl(v->fd, cmd, &a);
}

static bool stable(struct vm *vm)
{
	struct kvm_clock_data c = { 0 };

	ASSERT(!ioctl(vm->fd, KVM_GET_CLOCK, &c));
	return c.flags & KVM_CLOCK_TSC_STABLE;
}

static uint64_t clock_ns(struct vm *vm)
{
	struct kvm_clock_data c = { 0 };

	ASSERT(!ioctl(vm->fd, KVM_GET_CLOCK, &c));
	return c.clock;
}

static volatile uint64_t g_tsc[8];

static uint64_t rdtscp(void)
{
	uint32_t lo, hi;

	asm volatile("rdtscp" : "=a"(lo), "=d"(hi) : : "rcx");
	return (uint64_t)hi << 32 | lo;
}

static void read_tscs(void)
{
	uint32_t step;

	for (step = 1;; step++) {
		g_tsc[0] = rdtsc();
		g_tsc[1] = rdtscp();
		g_tsc[2] = rdmsr(MSR_TSC);
		g_tsc[3] = rdtsc();
		guest_sync(step);
	}
}

/* Run to @step: RDTSC's value, between two of the host's. */
static uint64_t guest_tsc(struct vm *vm, uint32_t step, uint64_t *before, uint64_t *after)
{
	*before = rdtsc();
	vcpu_run_to_sync(&vm->vcpu[0], step);
	*after = rdtsc();
	return G(vm, g_tsc[0]);
}

/* Its TSC goes @by / 2^48 times as fast as the host's: between the least and the most it can. */
static void expect_ratio(struct vm *vm, uint32_t step, uint64_t by)
{
	uint64_t before[2], after[2], tsc[2], ticks;

	tsc[0] = guest_tsc(vm, step, &before[0], &after[0]);
	sleep_ms(100);
	tsc[1] = guest_tsc(vm, step + 1, &before[1], &after[1]);
	ticks = tsc[1] - tsc[0];
	EXPECT_MSG(ticks + 1 >= scaled(before[1] - after[0], by) &&
		   ticks <= scaled(after[1] - before[0], by) + 1,
		   "%llu, not from %llu to %llu", (unsigned long long)ticks,
		   (unsigned long long)scaled(before[1] - after[0], by),
		   (unsigned long long)scaled(after[1] - before[0], by));
	/* That says something: the two are at most a fifth apart. */
	EXPECT((after[1] - before[0]) * 5 < (before[1] - after[0]) * 6);
}

TEST_EACH(ratio, "while the host's TSC goes a way the guest's goes as much of it, RDTSC's: ", rates, r)
{
	uint64_t khz = khz_of(r);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_tscs);

	set_khz(v->fd, khz);
	expect_ratio(&vm, 1, multiplier(khz));
	/* And back. */
	ASSERT(!ioctl(v->fd, KVM_SET_TSC_KHZ, 0UL));
	expect_ratio(&vm, 3, 1ULL << 48);
}

TEST_EACH(agree, "RDTSC, RDTSCP, and MSR_IA32_TSC to guest and VMM are one clock at ", rates, r)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_tscs);
	uint64_t before, *t = (uint64_t *)&G(&vm, g_tsc);
	uint32_t step;

	set_khz(v->fd, khz_of(r));
	for (step = 1; step <= 5; step++) {
		before = msr(v, MSR_TSC);
		vcpu_run_to_sync(v, step);
		EXPECT(before <= t[0]);
		EXPECT(t[0] <= t[1] && t[1] <= t[2] && t[2] <= t[3]);
		EXPECT(t[3] <= msr(v, MSR_TSC));
	}
}

TEST_EACH(goes_on, "a TSC that gets another rate goes on from where it is: ", rates, r)
{
	uint64_t khz = khz_of(r), before, after;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_tscs);

	sleep_ms(20);
	before = msr(v, MSR_TSC);
	set_khz(v->fd, khz);
	after = msr(v, MSR_TSC);
	/* What it can go in a second. */
	EXPECT(after >= before && after - before < 1000 * (khz + host_khz()));
}

TEST_EACH(offset, "the attribute is what the scaled TSC of the host lacks to the guest's: ", rates, r)
{
	uint64_t khz = khz_of(r), by = multiplier(khz), offset = 5ULL << 50, got = 0;
	uint64_t before, after, tsc;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_tscs);

	set_khz(v->fd, khz);
	ASSERT(!offset_attr(v, KVM_SET_DEVICE_ATTR, &offset));
	ASSERT(!offset_attr(v, KVM_GET_DEVICE_ATTR, &got));
	EXPECT_EQ(got, offset);
	tsc = guest_tsc(&vm, 1, &before, &after);
	EXPECT(tsc >= scaled(before, by) + offset && tsc <= scaled(after, by) + offset);
}

TEST_EACH(equal, "vCPUs that get a rate in turn have equal TSCs and a stable clock: ", rates, r)
{
	uint64_t khz = khz_of(r), a, b, c;
	struct vm vm;
	struct vcpu *v0 = vm_long_mode(&vm, 0, read_tscs), *v1 = vm_vcpu(&vm, 1);
	bool was = stable(&vm);

	set_khz(v0->fd, khz);
	EXPECT(!stable(&vm));
	sleep_ms(50);
	set_khz(v1->fd, khz);
	a = msr(v0, MSR_TSC);
	b = msr(v1, MSR_TSC);
	c = msr(v0, MSR_TSC);
	EXPECT(a <= b && b <= c);
	EXPECT_EQ(stable(&vm), was);
}

TEST_EACH(restored, "a saved TSC, given to each vCPU in turn, makes them equal at ", rates, r)
{
	uint64_t khz = khz_of(r), a, b, c;
	const uint64_t value = 1ULL << 40;
	struct vm vm;
	struct vcpu *v0 = vm_long_mode(&vm, 0, read_tscs), *v1 = vm_vcpu(&vm, 1);

	set_khz(v0->fd, khz);
	set_khz(v1->fd, khz);
	ASSERT(vcpu_set_msr(v0, MSR_TSC, value) == 1);
	sleep_ms(50);
	ASSERT(vcpu_set_msr(v1, MSR_TSC, value) == 1);
	a = msr(v0, MSR_TSC);
	b = msr(v1, MSR_TSC);
	c = msr(v0, MSR_TSC);
	/* It went on from the first write, at its own rate. */
	EXPECT(a >= value + 50 * khz);
	EXPECT(a <= b && b <= c);
}

TEST(vm_rate, "a VM's rate is that of the vCPUs made from then on")
{
	const struct rate r = { "", 3, 2 };
	uint64_t khz = khz_of(&r), host = host_khz();
	struct vm vm;
	struct vcpu *v0 = vm_long_mode(&vm, 0, read_tscs), *v1;
	uint64_t a, b, c;

	NEED_CAP(KVM_CAP_VM_TSC_CONTROL);
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_TSC_KHZ, 0UL), host);
	set_khz(vm.fd, khz);
	v1 = vm_vcpu(&vm, 1);
	EXPECT_EQ(ioctl(v0->fd, KVM_GET_TSC_KHZ, 0UL), host);
	EXPECT_EQ(ioctl(v1->fd, KVM_GET_TSC_KHZ, 0UL), khz);
	EXPECT(!stable(&vm));
	/* The other begins where this is, and belongs to it when it has its rate again. */
	sleep_ms(20);
	ASSERT(!ioctl(v1->fd, KVM_SET_TSC_KHZ, host));
	a = msr(v0, MSR_TSC);
	b = msr(v1, MSR_TSC);
	c = msr(v0, MSR_TSC);
	EXPECT(a <= b && b <= c);
	ASSERT(!ioctl(vm.fd, KVM_SET_TSC_KHZ, 0UL));
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_TSC_KHZ, 0UL), host);
}

TEST(vm_rate_first, "a VM that has its rate before its vCPUs: its TSC begins at 0, and goes so fast")
{
	const struct rate r = { "", 5, 4 };
	uint64_t khz = khz_of(&r), begin = now_ns(), tsc;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	set_khz(vm.fd, khz);
	v = vm_vcpu(&vm, 0);
	tsc = msr(v, MSR_TSC);
	EXPECT(tsc <= (now_ns() - begin + MS) * khz / MS);
	vcpu_long_mode(v, read_tscs);
	expect_ratio(&vm, 1, multiplier(khz));
	EXPECT(stable(&vm) || !on_umbra());
}

static const struct { const char *name; uint64_t khz; } bad[] = {
	{ "2^31 - 1", 0x7fffffff },
	{ "2^31", 1UL << 31 },
	{ "2^32 - 1", 0xffffffff },
	{ "2^32 + 1000000", (1UL << 32) + 1000000 },
	{ "-1", ~0UL },
};

TEST_EACH(bad_rate, "SET_TSC_KHZ of vCPU and VM is EINVAL for ", bad, b)
{
	const struct rate same = { "", 1, 1 };
	uint64_t khz = khz_of(&same);
	struct vm vm;
	struct vcpu *v;

	if (b->khz > 0xffffffff && !on_umbra())
		SKIP("stock KVM looks at the lower half only");
	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu(&vm, 0);
	EXPECT_ERR(ioctl(v->fd, KVM_SET_TSC_KHZ, b->khz), EINVAL);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_TSC_KHZ, b->khz), EINVAL);
	EXPECT_EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL), khz);
	EXPECT_EQ(ioctl(vm.fd, KVM_GET_TSC_KHZ, 0UL), khz);
}

/* The clock pages. */

struct clock_page {
	uint32_t version, pad0;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

static uint64_t page_ns(volatile struct clock_page *p, uint64_t tsc)
{
	uint64_t delta = tsc - p->tsc;

	delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
	return p->ns + (uint64_t)((u128)delta * p->mul >> 32);
}

static uint64_t raw_ns(void)
{
	struct timespec t;

	ASSERT(!clock_gettime(CLOCK_MONOTONIC_RAW, &t));
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* The page's time, and the host's before and after it. */
static uint64_t page_now(struct vm *vm, uint32_t step, uint64_t *before, uint64_t *after)
{
	volatile struct clock_page *p = (void *)(vm->mem + GPA_TEST);

	*before = raw_ns();
	vcpu_run_to_sync(&vm->vcpu[0], step);
	*after = raw_ns();
	return page_ns(p, G(vm, g_tsc[0]));
}

TEST_EACH(clock, "the clock page goes with the host's clock and is GET_CLOCK's, with a TSC of ", rates, r)
{
	uint64_t khz = khz_of(r), before[2], after[2], ns[2], clock;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_tscs);

	ASSERT(vcpu_set_msr(v, MSR_SYSTEM_TIME, GPA_TEST | 1) == 1);
	/* At the CPU's rate first: the change is seen too. */
	vcpu_run_to_sync(v, 1);
	set_khz(v->fd, khz);
	ns[0] = page_now(&vm, 2, &before[0], &after[0]);
	sleep_ms(100);
	clock = clock_ns(&vm);
	ns[1] = page_now(&vm, 3, &before[1], &after[1]);
	/* To a microsecond: the two scales are of 32 bits. */
	EXPECT_MSG(ns[1] - ns[0] + 1000 >= before[1] - after[0] &&
		   ns[1] - ns[0] <= after[1] - before[0] + 1000,
		   "%llu, not from %llu to %llu", (unsigned long long)(ns[1] - ns[0]),
		   (unsigned long long)(before[1] - after[0]),
		   (unsigned long long)(after[1] - before[0]));
	if (!stable(&vm))
		SKIP("the host's clock is not its TSC");
	EXPECT(clock <= ns[1] && ns[1] <= clock_ns(&vm));
}

TEST(clock_goes_on, "the clock goes on over changes of the rate")
{
	uint64_t before, after;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_tscs);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		before = clock_ns(&vm);
		set_khz(v->fd, khz_of(&rates[i]));
		sleep_ms(10);
		after = clock_ns(&vm);
		EXPECT(after - before >= 10 * MS && after - before < 1000 * MS);
	}
}

/* Deadlines of the LAPIC's timer. */

static volatile uint64_t g_hits, g_way, g_deadline, g_hit_at;

static void hit(struct frame *f)
{
	(void)f;
	g_hit_at = rdtsc();
	g_hits++;
	apic_eoi();
}

static void arm(void)
{
	g_hits = 0;
	g_deadline = rdtsc() + g_way;
	wrmsr(MSR_TSC_DEADLINE, g_deadline);
}

#define ROUNDS	11

static void deadlines(void)
{
	unsigned int i;

	g_handlers[0x71] = hit;
	apic_on();
	apic_write(APIC_LVTT, 0x40071);
	asm volatile("mfence");
	arm();				/* a guest that halts */
	while (!g_hits)
		sti_hlt_cli();
	guest_sync(1);
	for (i = 0; i < ROUNDS; i++) {	/* one that runs */
		arm();
		sti();
		while (!g_hits)		/* without PAUSE, of which many exit too */
			asm volatile("" : : : "memory");
		cli();
	}
	guest_sync(2);
	arm();				/* one whose rate changes meanwhile */
	guest_sync(3);
	while (!g_hits)
		sti_hlt_cli();
	guest_done();
}

static void expect_hit(struct vm *vm, const char *who)
{
	uint64_t late = G(vm, g_hit_at) - G(vm, g_deadline);

	/* Never early, and by less than half the way late. */
	EXPECT_MSG(late < G(vm, g_way) / 2, "%s: %lld of %llu ticks late", who, (long long)late,
		   (unsigned long long)G(vm, g_way));
}

TEST_EACH(deadline, "a TSC deadline interrupts at its TSC, halted and running, at ", rates, r)
{
	uint64_t khz = khz_of(r);
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v;

	cpuid_find(c, 1, 0)->ecx |= BIT(24);
	vm_init(&vm, VM_IRQCHIP);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, deadlines);
	set_khz(v->fd, khz);
	G(&vm, g_way) = 50 * khz;
	vcpu_run_to_sync(v, 1);
	expect_hit(&vm, "halted");
	G(&vm, g_way) = khz;
	vcpu_run_to_sync(v, 2);
	expect_hit(&vm, "running");
	/* The CPU's timer, counted in its own ticks, is not set too early. */
	if (on_umbra() && umbra_parameter("preemption_timer") == 'Y')
		EXPECT(exit_count(&vm, "timer") <= ROUNDS);
	/* 50 ms again, at another rate. */
	G(&vm, g_way) = 50 * host_khz();
	vcpu_run_to_sync(v, 3);
	ASSERT(!ioctl(v->fd, KVM_SET_TSC_KHZ, 0UL));
	vcpu_run_to_end(v);
	expect_hit(&vm, "changed");
}
