// SPDX-License-Identifier: GPL-2.0-only
/* kvmclock, and where a guest may put its page. */
#include <asm/kvm_para.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define CLOCK_GPA	GPA_TEST

/* The pages' formats, which are in no header for userspace. */
struct pvclock_vcpu_time_info {
	uint32_t version;
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
};

struct pvclock_wall_clock {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
};

static uint64_t g_msr_value;
static volatile uint64_t g_val, g_val2, g_times[3];

/* Nanoseconds by the guest's TSC and its kvmclock page. */
static uint64_t read_clock(volatile struct pvclock_vcpu_time_info *t)
{
	uint64_t delta, ns;
	uint32_t version;

	do {
		version = t->version & ~1U;
		asm volatile("" : : : "memory");
		delta = rdtsc() - t->tsc_timestamp;
		if (t->tsc_shift >= 0)
			delta <<= t->tsc_shift;
		else
			delta >>= -t->tsc_shift;
		ns = t->system_time +
		     (uint64_t)((unsigned __int128)delta *
				t->tsc_to_system_mul >> 32);
		asm volatile("" : : : "memory");
	} while (version != t->version);
	return ns;
}

static void clock_guest(void)
{
	volatile struct pvclock_vcpu_time_info *t = (void *)CLOCK_GPA;
	uint64_t last = 0, now;
	int i;

	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, CLOCK_GPA | 1);
	GUEST_ASSERT(t->version && !(t->version & 1));
	GUEST_ASSERT(t->tsc_to_system_mul);
	for (i = 0; i < 1000; i++) {
		now = read_clock(t);
		GUEST_ASSERT(now >= last);
		last = now;
	}
	g_times[0] = last;
	guest_sync(1);
	g_times[1] = read_clock(t);
	GUEST_ASSERT(rdmsr(MSR_KVM_SYSTEM_TIME_NEW) == (CLOCK_GPA | 1));
	guest_done();
}

TEST(kvmclock, "kvmclock: its page is filled, time is monotonic and the host's")
{
	struct kvm_clock_data c;
	uint64_t t0, t1, went;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, clock_guest);

	vcpu_run_to_sync(v, 1);
	t0 = now_ns();
	ASSERT(!ioctl(vm.fd, KVM_GET_CLOCK, &c));
	sleep_ms(100);
	vcpu_run_to_end(v);
	t1 = now_ns();
	went = G(&vm, g_times)[1] - G(&vm, g_times)[0];
	EXPECT_MSG(went >= 99000000 && went < t1 - t0 + 500000000,
		   "guest %llu ns, host %llu ns", (unsigned long long)went,
		   (unsigned long long)(t1 - t0));
	EXPECT_MSG(c.clock + 10000000 > G(&vm, g_times)[0] &&
		   c.clock < G(&vm, g_times)[1] + 10000000,
		   "GET_CLOCK %llu, guest %llu and %llu",
		   (unsigned long long)c.clock,
		   (unsigned long long)G(&vm, g_times)[0],
		   (unsigned long long)G(&vm, g_times)[1]);
}

static void clock_set_guest(void)
{
	volatile struct pvclock_vcpu_time_info *t = (void *)CLOCK_GPA;

	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, CLOCK_GPA | 1);
	g_times[0] = read_clock(t);
	guest_sync(1);
	g_times[1] = read_clock(t);
	guest_done();
}

TEST(kvmclock_set, "kvmclock: SET_CLOCK is what the guest reads next")
{
	struct kvm_clock_data c = { .clock = 5000000000000ULL };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, clock_set_guest);

	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_times)[1] >= c.clock);
	EXPECT(G(&vm, g_times)[1] < c.clock + 5000000000ULL);
}

static void clock_version_guest(void)
{
	volatile struct pvclock_vcpu_time_info *t = (void *)CLOCK_GPA;

	t->version = 1000;
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, CLOCK_GPA | 1);
	g_times[0] = t->version;
	t->version = 2001;
	guest_sync(1);
	g_times[1] = t->version;
	t->version = UINT32_MAX;
	guest_sync(2);
	g_times[2] = t->version;
	guest_done();
}

/* Who was saved between two readings of it is restored to a VM that never wrote it. */
TEST(kvmclock_version, "kvmclock: a page's version goes on from what stands there")
{
	struct kvm_clock_data c = { .clock = 1 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, clock_version_guest);

	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 2);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_times)[0] == 1002);
	EXPECT(G(&vm, g_times)[1] == 2002);
	EXPECT(G(&vm, g_times)[2] == 0);
}

static void wall_guest(void)
{
	volatile struct pvclock_wall_clock *w = (void *)CLOCK_GPA;

	wrmsr(MSR_KVM_WALL_CLOCK_NEW, CLOCK_GPA);
	GUEST_ASSERT(w->version && !(w->version & 1));
	g_val = w->sec;
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (CLOCK_GPA + 64) | 1);
	g_val2 = read_clock((void *)(CLOCK_GPA + 64));
	guest_done();
}

TEST(wall_clock, "wall clock plus system time is the host's time of day")
{
	uint64_t now;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, wall_guest);

	vcpu_run_to_end(v);
	now = time(NULL);
	EXPECT_MSG(G(&vm, g_val) + G(&vm, g_val2) / 1000000000 + 3 >= now &&
		   G(&vm, g_val) <= now, "%llu, now %llu",
		   (unsigned long long)G(&vm, g_val), (unsigned long long)now);
}

static void clock_off_guest(void)
{
	volatile struct pvclock_vcpu_time_info *t = (void *)CLOCK_GPA;
	uint32_t i;

	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, CLOCK_GPA | 1);
	GUEST_ASSERT(t->version);
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
	guest_sync(1);
	for (i = 0; i < sizeof(*t); i++)
		((volatile uint8_t *)t)[i] = 0xa5;
	guest_sync(2);
	for (i = 0; i < sizeof(*t); i++)
		GUEST_ASSERT(((volatile uint8_t *)t)[i] == 0xa5);
	guest_done();
}

TEST(kvmclock_off, "kvmclock: switched off, the page is the guest's again")
{
	struct kvm_clock_data c = { .clock = 1000 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, clock_off_guest);

	vcpu_run_to_sync(v, 1);
	vcpu_run_to_sync(v, 2);
	/* What would make it write. */
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_end(v);
}

static void bad_clock_guest(void)
{
	GUEST_TRY("wrmsr", : : "c"(MSR_KVM_SYSTEM_TIME_NEW),
		  "a"((uint32_t)g_msr_value), "d"((uint32_t)(g_msr_value >> 32))
		  : "memory");
	guest_sync(1);
	guest_sync(2);
	guest_done();
}

static const struct bad_clock { const char *name; uint64_t value; } bad[] = {
	{ "8 bytes before the end of a page", (GPA_TEST + 0xff8) | 1 },
	{ "in MMIO", GPA_HOLE | 1 },
	{ "across the end of memory", (MEM_SIZE - 4) | 1 },
	{ "in the APIC page", APIC_BASE_GPA | 1 },
	{ "unaligned", (GPA_TEST + 2) | 1 },
	{ "beyond the address width", BIT(60) | 1 },
	{ "at -1", -1ULL },
};

TEST_EACH(kvmclock_bad, "kvmclock page in a bad place is survived: ", bad, b)
{
	struct kvm_clock_data c = { .clock = 1000 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, bad_clock_guest);

	G(&vm, g_msr_value) = b->value;
	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_end(v);
}

static void clock_slot_guest(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0x20000000 | 1);
	guest_sync(1);
	guest_sync(2);
	guest_done();
}

TEST(kvmclock_slot_gone, "kvmclock: its slot deleted under it is survived")
{
	struct kvm_clock_data c = { .clock = 1000 };
	uint8_t *page = map_pages(4096);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, clock_slot_guest);
	uint64_t sum = 0;
	int i;

	ASSERT(!vm_slot(&vm, 1, 0, 0x20000000, 4096, page));
	vcpu_run_to_sync(v, 1);
	EXPECT(page[0] || page[1]);
	ASSERT(!vm_slot(&vm, 1, 0, 0x20000000, 0, page));
	memset(page, 0, 4096);
	ASSERT(!ioctl(vm.fd, KVM_SET_CLOCK, &c));
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_end(v);
	/* And the memory that backed it is the host's alone again. */
	for (i = 0; i < 4096; i++)
		sum += page[i];
	EXPECT_EQ(sum, 0);
}

TEST(kvmclock_no_vcpu_run, "kvmclock set by the VMM on a vCPU that never ran")
{
	struct kvm_clock_data c = { .clock = 1000 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, clock_guest);

	EXPECT_EQ(vcpu_set_msr(v, MSR_KVM_SYSTEM_TIME_NEW, CLOCK_GPA | 1), 1);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_CLOCK, &c));
	EXPECT_OK(ioctl(vm.fd, KVM_GET_CLOCK, &c));
	vcpu_run_to_sync(v, 1);
}

static void enforced_guest(void)
{
	GUEST_TRY("rdmsr", : : "c"(MSR_KVM_SYSTEM_TIME_NEW) : "rax", "rdx");
	GUEST_ASSERT(g_vector == NO_VECTOR);
	guest_sync(1);
	GUEST_TRY("rdmsr", : : "c"(MSR_KVM_SYSTEM_TIME_NEW) : "rax", "rdx");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("wrmsr", : : "c"(MSR_KVM_SYSTEM_TIME), "a"(0), "d"(0));
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_sync(2);
	GUEST_TRY("rdmsr", : : "c"(MSR_KVM_SYSTEM_TIME_NEW) : "rax", "rdx");
	GUEST_ASSERT(g_vector == NO_VECTOR);
	guest_done();
}

static int enforce(struct vcpu *v, uint64_t on)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { on } };

	return ioctl(v->fd, KVM_ENABLE_CAP, &c);
}

TEST(pv_enforced, "ENFORCE_PV_FEATURE_CPUID: what CPUID does not name is #GP")
{
	struct kvm_enable_cap other = { .cap = KVM_CAP_HALT_POLL };
	struct kvm_cpuid2 *c = supported_cpuid();
	uint64_t got;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	cpuid_find(c, KVM_CPUID_FEATURES, 0)->eax = 0;
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, enforced_guest);
	vcpu_run_to_sync(v, 1);
	ASSERT(!enforce(v, 1));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(vcpu_get_msr(v, MSR_KVM_SYSTEM_TIME_NEW, &got), 1);
	ASSERT(!enforce(v, 0));
	vcpu_run_to_end(v);
	EXPECT_ERR(enforce(v, 2), EINVAL);
	EXPECT_ERR(ioctl(v->fd, KVM_ENABLE_CAP, &other), EINVAL);
}
