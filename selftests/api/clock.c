// SPDX-License-Identifier: GPL-2.0-only
/* Guest time: TSCs, and the clock pages of KVM's paravirtual clock. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define MSR_TSC		0x10
#define MSR_TSC_ADJUST	0x3b
#define MSR_WALL	0x4b564d00
#define MSR_SYSTEM_TIME	0x4b564d01
#define PAGE_GPA	GPA_TEST
#define STABLE		1
#define STOPPED		2

/* As the interface has it. */
struct clock_page {
	uint32_t version, pad0;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

struct wall_clock {
	uint32_t version, sec, nsec;
};

static void steps(void)
{
	uint32_t i;

	for (i = 1; i < 100; i++)
		guest_sync(i);
	guest_done();
}

static volatile struct clock_page *page(struct vm *vm, uint64_t gpa)
{
	return (void *)(vm->mem + gpa);
}

/* The page's time of guest TSC @tsc. */
static uint64_t page_ns(volatile struct clock_page *p, uint64_t tsc)
{
	uint64_t delta = tsc - p->tsc;

	delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
	return p->ns + (uint64_t)((unsigned __int128)delta * p->mul >> 32);
}

static uint64_t msr(struct vcpu *v, uint32_t index)
{
	uint64_t value;

	ASSERT(vcpu_get_msr(v, index, &value) == 1);
	return value;
}

static void set_msr(struct vcpu *v, uint32_t index, uint64_t value)
{
	ASSERT(vcpu_set_msr(v, index, value) == 1);
}

static uint64_t clock_ns(struct vm *vm)
{
	struct kvm_clock_data c = { 0 };

	ASSERT(!ioctl(vm->fd, KVM_GET_CLOCK, &c));
	return c.clock;
}

static bool stable(struct vm *vm)
{
	struct kvm_clock_data c = { 0 };

	ASSERT(!ioctl(vm->fd, KVM_GET_CLOCK, &c));
	return c.flags & KVM_CLOCK_TSC_STABLE;
}

static bool host_counts_by_tsc(void)
{
	char name[16] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");

	ASSERT(f);
	ASSERT(fgets(name, sizeof(name), f));
	fclose(f);
	return !strcmp(name, "tsc\n");
}

TEST(stable_unused, "GET_CLOCK says that the clock is stable before the guest has used it")
{
	struct vm vm;

	vm_long_mode(&vm, 0, steps);
	EXPECT_EQ(stable(&vm), host_counts_by_tsc());
	vm_vcpu(&vm, 1);
	EXPECT_EQ(stable(&vm), host_counts_by_tsc());
}

TEST(tsc_begins, "the TSC of a new VM begins at 0")
{
	uint64_t before, begin = now_ns();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	long khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL);

	ASSERT(khz > 0);
	before = msr(v, MSR_TSC);
	EXPECT(before <= (now_ns() - begin + 1000000) * khz / 1000000);
	sleep_ms(20);
	EXPECT(msr(v, MSR_TSC) - before >= 20 * (uint64_t)khz);
}

TEST(tsc_equal, "a vCPU made later has the TSC of the first")
{
	struct vm vm;
	struct vcpu *v0 = vm_long_mode(&vm, 0, steps), *v1;
	uint64_t a, b, c;

	sleep_ms(50);
	v1 = vm_vcpu(&vm, 1);
	a = msr(v0, MSR_TSC);
	b = msr(v1, MSR_TSC);
	c = msr(v0, MSR_TSC);
	EXPECT(a <= b && b <= c);
}

TEST(tsc_restored, "one TSC value, given to each vCPU in turn, makes them equal")
{
	const uint64_t value = 1ULL << 40;
	struct vm vm;
	struct vcpu *v0 = vm_long_mode(&vm, 0, steps);
	struct vcpu *v1 = vm_vcpu(&vm, 1);
	uint64_t a, b, c;

	set_msr(v0, MSR_TSC, value);
	sleep_ms(50);
	set_msr(v1, MSR_TSC, value);
	a = msr(v0, MSR_TSC);
	b = msr(v1, MSR_TSC);
	c = msr(v0, MSR_TSC);
	EXPECT(a >= value);
	EXPECT(a <= b && b <= c);
}

TEST(tsc_young, "the first value written is taken as it is, however young the VM")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	uint64_t half_second = (uint64_t)ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL) * 500;

	if (!on_umbra())
		SKIP("stock KVM gives it the time since the VM was made, before 6.7");
	set_msr(v, MSR_TSC, half_second);
	EXPECT(msr(v, MSR_TSC) >= half_second);
}

TEST(tsc_apart, "values far apart stay apart, and end the stable clock")
{
	struct vm vm;
	struct vcpu *v0 = vm_long_mode(&vm, 0, steps);
	struct vcpu *v1 = vm_vcpu(&vm, 1);
	bool was = stable(&vm);

	set_msr(v0, MSR_TSC, 1ULL << 50);
	set_msr(v1, MSR_TSC, 1ULL << 40);
	EXPECT(msr(v0, MSR_TSC) - msr(v1, MSR_TSC) > 1ULL << 49);
	EXPECT(!stable(&vm));
	set_msr(v1, MSR_TSC, msr(v0, MSR_TSC));
	set_msr(v0, MSR_TSC, msr(v1, MSR_TSC));
	EXPECT_EQ(stable(&vm), was);
}

static volatile uint64_t g_adjust, g_moved;

static void write_tsc(void)
{
	uint64_t before = rdtsc();

	wrmsr(MSR_TSC, before + (1ULL << 40));
	g_moved = rdtsc() - before;
	g_adjust = rdmsr(MSR_TSC_ADJUST);
	guest_sync(1);
	wrmsr(MSR_TSC_ADJUST, g_adjust + (1ULL << 41));
	g_moved = rdtsc() - before;
	guest_done();
}

TEST(tsc_adjust, "a guest's writes of TSC and TSC_ADJUST move each other")
{
	const uint64_t slack = 1ULL << 38;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, write_tsc);
	uint64_t adjust;

	vcpu_run_to_sync(v, 1);
	EXPECT(G(&vm, g_moved) - (1ULL << 40) < slack);
	adjust = msr(v, MSR_TSC_ADJUST);
	EXPECT_EQ(G(&vm, g_adjust), adjust);
	EXPECT(adjust - (1ULL << 40) + slack < 2 * slack);
	/* The host restores each alone. */
	set_msr(v, MSR_TSC, msr(v, MSR_TSC));
	EXPECT_EQ(msr(v, MSR_TSC_ADJUST), adjust);
	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_moved) - (3ULL << 40) < slack);
}

static const struct {
	const char *name;
	long num, den;
	int error;
} rates[] = {
	{ "the host's", 1, 1, 0 },
	{ "0, which names the host's", 0, 1, 0 },
	{ "100 ppm more", 1000100, 1000000, 0 },
	{ "half", 1, 2, EINVAL },
	{ "double", 2, 1, EINVAL },
	{ "1000 ppm less", 999000, 1000000, EINVAL },
};

TEST_EACH(tsc_khz, "SET_TSC_KHZ without TSC scaling, of ", rates, r)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	long khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL);
	unsigned long want = khz * r->num / r->den;

	if (dev_cap(KVM_CAP_TSC_CONTROL) > 0)
		SKIP("this CPU scales");
	if (r->error == EINVAL && !on_umbra())
		SKIP("stock KVM takes it and lags behind");
	if (r->error)
		EXPECT_ERR(ioctl(v->fd, KVM_SET_TSC_KHZ, want), r->error);
	else
		EXPECT_OK(ioctl(v->fd, KVM_SET_TSC_KHZ, want));
	if (!r->error && want)
		EXPECT_EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL), (int)want);
	else
		EXPECT_EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL), (int)khz);
}

TEST(page_time, "the clock page tells the time that GET_CLOCK tells")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	volatile struct clock_page *p = page(&vm, PAGE_GPA);
	uint64_t before, after, ns;
	int i;

	set_msr(v, MSR_SYSTEM_TIME, PAGE_GPA | 1);
	EXPECT_EQ(msr(v, MSR_SYSTEM_TIME), PAGE_GPA | 1);
	for (i = 1; i <= 3; i++) {
		vcpu_run_to_sync(v, i);
		EXPECT(p->version && !(p->version & 1));
		before = clock_ns(&vm);
		ns = page_ns(p, msr(v, MSR_TSC));
		after = clock_ns(&vm);
		/* A stable clock is the same formula; others are read apart. */
		EXPECT_MSG(ns + 1000000 >= before && ns <= after + 1000000,
			   "%llu is not from %llu to %llu",
			   (unsigned long long)ns, (unsigned long long)before,
			   (unsigned long long)after);
		sleep_ms(30);
	}
}

TEST(page_shared, "the clock pages of two vCPUs come from one instant")
{
	struct vm vm;
	struct vcpu *v0 = vm_long_mode(&vm, 0, steps);
	struct vcpu *v1 = vm_vcpu(&vm, 1);
	volatile struct clock_page *p = page(&vm, PAGE_GPA);

	if (!stable(&vm))
		SKIP("the host's clock is not its TSC");
	vcpu_long_mode(v1, steps);
	set_msr(v0, MSR_SYSTEM_TIME, PAGE_GPA | 1);
	vcpu_run_to_sync(v0, 1);
	sleep_ms(20);
	set_msr(v1, MSR_SYSTEM_TIME, (PAGE_GPA + 64) | 1);
	vcpu_run_to_sync(v1, 1);
	EXPECT(p[0].flags & STABLE);
	EXPECT(p[2].flags & STABLE);
	EXPECT_EQ(p[0].tsc, p[2].tsc);
	EXPECT_EQ(p[0].ns, p[2].ns);
	EXPECT_EQ(p[0].mul, p[2].mul);
}

TEST(page_set_clock, "SET_CLOCK reaches the page")
{
	struct kvm_clock_data c = { .clock = 5000000000000ULL };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	volatile struct clock_page *p = page(&vm, PAGE_GPA);
	uint32_t version;

	set_msr(v, MSR_SYSTEM_TIME, PAGE_GPA | 1);
	vcpu_run_to_sync(v, 1);
	version = p->version;
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 2);
	EXPECT(p->version != version && !(p->version & 1));
	EXPECT(page_ns(p, msr(v, MSR_TSC)) - c.clock < 5000000000ULL);
}

TEST(page_stopped, "KVMCLOCK_CTRL tells the guest once that it was stopped")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	volatile struct clock_page *p = page(&vm, PAGE_GPA);
	struct kvm_clock_data c = { 0 };

	EXPECT_ERR(ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0UL), EINVAL);
	set_msr(v, MSR_SYSTEM_TIME, PAGE_GPA | 1);
	vcpu_run_to_sync(v, 1);
	EXPECT(!(p->flags & STOPPED));
	EXPECT_OK(ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0UL));
	vcpu_run_to_sync(v, 2);
	EXPECT(p->flags & STOPPED);
	/* It stays until the guest has cleared it. */
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 3);
	EXPECT(p->flags & STOPPED);
	p->flags &= ~STOPPED;
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 4);
	EXPECT(!(p->flags & STOPPED));
}

TEST(page_off, "a page that the guest has switched off is left alone")
{
	struct kvm_clock_data c = { 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	volatile struct clock_page *p = page(&vm, PAGE_GPA);
	uint32_t version;

	set_msr(v, MSR_SYSTEM_TIME, PAGE_GPA | 1);
	vcpu_run_to_sync(v, 1);
	version = p->version;
	EXPECT(version);
	set_msr(v, MSR_SYSTEM_TIME, PAGE_GPA);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(p->version, version);
	EXPECT_ERR(ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0UL), EINVAL);
}

static const struct { const char *name; uint64_t gpa; } holes[] = {
	{ "where no memory is", GPA_HOLE },
	{ "over the end of memory", MEM_SIZE - 8 },
	{ "over the boundary of two pages", PAGE_GPA - 8 },
	{ "in the LAPIC's window", 0xfee00000 },
	{ "beyond all addresses", ~0ULL << 52 },
	{ "at the last address", ~3ULL },
};

TEST_EACH(page_holes, "a clock page is harmless ", holes, h)
{
	struct kvm_clock_data c = { 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, steps);

	vcpu_set_msr(v, MSR_SYSTEM_TIME, h->gpa | 1);
	vcpu_run_to_sync(v, 1);
	vcpu_set_msr(v, MSR_WALL, h->gpa);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 2);
}

TEST(page_deleted, "a clock page whose slot goes away, or can't be written, is harmless")
{
	struct kvm_clock_data c = { 0 };
	uint8_t *mem = map_pages(8192);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	volatile struct clock_page *p = (void *)(mem + 4096 - 32);

	ASSERT(!vm_slot(&vm, 1, 0, GPA_HOLE, 8192, mem));
	set_msr(v, MSR_SYSTEM_TIME, (GPA_HOLE + 4096 - 32) | 1);
	vcpu_run_to_sync(v, 1);
	EXPECT(p->version && p->mul);
	ASSERT(!vm_slot(&vm, 1, 0, GPA_HOLE, 0, mem));
	memset(mem, 0, 8192);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(p->version, 0);
	ASSERT(!vm_slot(&vm, 1, KVM_MEM_READONLY, GPA_HOLE, 8192, mem));
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(p->version, 0);
}

TEST(wall, "the wall-clock page tells when the guest's clock was 0")
{
	struct timespec now;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);
	volatile struct wall_clock *w = (void *)(vm.mem + PAGE_GPA);
	uint64_t boot, told;

	sleep_ms(20);
	set_msr(v, MSR_WALL, PAGE_GPA);
	EXPECT_EQ(msr(v, MSR_WALL), PAGE_GPA);
	vcpu_run_to_sync(v, 1);
	EXPECT(w->version && !(w->version & 1));
	EXPECT(w->nsec < 1000000000);
	ASSERT(!clock_gettime(CLOCK_REALTIME, &now));
	boot = now.tv_sec * 1000000000ULL + now.tv_nsec - clock_ns(&vm);
	told = w->sec * 1000000000ULL + w->nsec;
	EXPECT_MSG(told + 100000000 > boot && told < boot + 100000000,
		   "%llu, not %llu", (unsigned long long)told,
		   (unsigned long long)boot);
}

TEST(set_clock_realtime, "SET_CLOCK with a past real time adds what has passed since")
{
	struct kvm_clock_data c = { 0 };
	struct vm vm;
	uint64_t clock;

	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	ASSERT(!ioctl(vm.fd, KVM_GET_CLOCK, &c));
	if (!(c.flags & KVM_CLOCK_REALTIME))
		SKIP("the host's clock is not its TSC");
	clock = c.clock;
	c.flags = KVM_CLOCK_REALTIME;
	c.realtime -= 7000000000ULL;
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	c.clock = clock_ns(&vm);
	EXPECT(c.clock - clock >= 7000000000ULL && c.clock - clock < 12000000000ULL);
	/* A time in the future does not turn the clock back. */
	c.flags = KVM_CLOCK_REALTIME;
	c.realtime += 1000000000000ULL;
	clock = c.clock;
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	EXPECT(clock_ns(&vm) >= clock);
}

static const struct { const char *name; uint32_t msr; uint64_t value; } unaligned[] = {
	{ "SYSTEM_TIME", MSR_SYSTEM_TIME, PAGE_GPA | 3 },
	{ "WALL_CLOCK", MSR_WALL, PAGE_GPA | 2 },
};

TEST_EACH(page_unaligned, "an address that is not aligned to 4 is refused: ", unaligned, u)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steps);

	if (!on_umbra())
		SKIP("stock KVM takes it");
	EXPECT_EQ(vcpu_set_msr(v, u->msr, u->value), 0);
	vcpu_run_to_sync(v, 1);
}
