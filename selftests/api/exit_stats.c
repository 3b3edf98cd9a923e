// SPDX-License-Identifier: GPL-2.0-only
/* Exit histograms: what is counted, by which name, and read while the guest runs. */
#include <linux/umbra.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define CPUIDS	1000
#define READS	50

static volatile uint64_t g_stop;

static void cpuid_once(void)
{
	uint32_t a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static void many_cpuids(void)
{
	int i;

	for (i = 0; i < CPUIDS; i++)
		cpuid_once();
	guest_done();
}

static void cpuids_until_stopped(void)
{
	while (!g_stop)
		cpuid_once();
	guest_done();
}

static void two_syncs(void)
{
	guest_sync(1);
	guest_sync(2);
	guest_done();
}

static void need_umbra(void)
{
	if (!on_umbra())
		SKIP("these are Umbra's own");
}

static int get(struct vm *vm, int vcpu, uint32_t reason, struct umbra_exit_stats *s)
{
	memset(s, 0xa5, sizeof(*s));
	s->vcpu = vcpu;
	s->reason = reason;
	s->pad = 0;
	return ioctl(vm->fd, UMBRA_GET_EXIT_STATS, s);
}

/* By name: whatever number it has. */
static struct umbra_exit_stats by_name(struct vm *vm, int vcpu, const char *name)
{
	struct umbra_exit_stats s;
	uint32_t reason;

	for (reason = 0; !get(vm, vcpu, reason, &s); reason++) {
		if (!strcmp(s.name, name))
			return s;
	}
	ktap_fail(__FILE__, __LINE__, "no reason is called %s", name);
	ktap_end_now();
}

static uint64_t timed(const struct umbra_exit_stats *s)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < UMBRA_EXIT_BUCKETS; i++)
		sum += s->bucket[i];
	return sum;
}

TEST(names, "each reason has a name of its own, zero-padded, until ERANGE")
{
	char seen[64][sizeof(((struct umbra_exit_stats *)0)->name)];
	struct umbra_exit_stats s;
	uint32_t reason, i;
	struct vm vm;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	for (reason = 0; !get(&vm, 0, reason, &s); reason++) {
		ASSERT(reason < ARRAY_SIZE(seen));
		EXPECT(s.name[0] && memchr(s.name, 0, sizeof(s.name)));
		for (i = strlen(s.name); i < sizeof(s.name); i++)
			EXPECT_EQ(s.name[i], 0);
		for (i = 0; i < reason; i++)
			EXPECT(strcmp(seen[i], s.name));
		memcpy(seen[reason], s.name, sizeof(s.name));
		EXPECT_EQ(s.vcpu, 0);
		EXPECT_EQ(s.reason, reason);
		EXPECT_EQ(s.pad, 0);
		EXPECT(s.tsc_khz > 0);
		EXPECT_EQ(s.count, 0);
		EXPECT_EQ(s.ticks, 0);
		EXPECT_EQ(timed(&s), 0);
	}
	EXPECT_EQ(errno, ERANGE);
	EXPECT(reason > 0);
}

TEST(count, "a guest's CPUIDs are counted and timed to the last one")
{
	struct umbra_exit_stats s;
	struct vm vm;
	struct vcpu *v;

	need_umbra();
	v = vm_long_mode(&vm, 0, many_cpuids);
	vcpu_run_to_end(v);
	s = by_name(&vm, 0, "cpuid");
	EXPECT_EQ(s.count, CPUIDS);
	EXPECT_EQ(timed(&s), CPUIDS);
	EXPECT(s.ticks >= CPUIDS);
	EXPECT_EQ(by_name(&vm, 0, "hypercall").count, 0);
}

TEST(userspace, "the time in userspace counts, once the guest is entered again")
{
	struct umbra_exit_stats before, after;
	struct vm vm;
	struct vcpu *v;

	need_umbra();
	v = vm_long_mode(&vm, 0, two_syncs);
	vcpu_run_to_sync(v, 1);
	before = by_name(&vm, 0, "io");
	EXPECT_EQ(before.count, 1);
	EXPECT_EQ(timed(&before), 0);
	EXPECT_EQ(before.ticks, 0);
	sleep_ms(20);
	vcpu_run_to_sync(v, 2);
	after = by_name(&vm, 0, "io");
	EXPECT_EQ(after.count, 2);
	EXPECT_EQ(timed(&after), 1);
	/* Half of it: the host may have measured its TSC badly. */
	EXPECT(after.ticks >= 10ULL * after.tsc_khz);
}

TEST(bucket, "an exit's bucket is that of its ticks")
{
	struct umbra_exit_stats s;
	struct vm vm;
	struct vcpu *v;
	unsigned int i;

	need_umbra();
	v = vm_long_mode(&vm, 0, two_syncs);
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_sync(v, 2);
	s = by_name(&vm, 0, "io");
	for (i = 0; i < UMBRA_EXIT_BUCKETS - 1; i++)
		EXPECT_EQ(s.bucket[i], s.ticks >> i == 1 || (!i && !s.ticks));
}

TEST(each_vcpu, "each vCPU has figures of its own, found by its id")
{
	struct umbra_exit_stats s;
	struct vm vm;
	struct vcpu *a, *b;

	need_umbra();
	vm_init(&vm, 0);
	a = vm_vcpu(&vm, 5);
	b = vm_vcpu(&vm, 1);
	vcpu_long_mode(a, many_cpuids);
	vcpu_long_mode(b, two_syncs);
	vcpu_run_to_end(a);
	vcpu_run_to_sync(b, 1);
	EXPECT_EQ(by_name(&vm, 5, "cpuid").count, CPUIDS);
	EXPECT_EQ(by_name(&vm, 1, "cpuid").count, 0);
	EXPECT_EQ(by_name(&vm, 1, "io").count, 1);
	EXPECT_ERR(get(&vm, 0, 0, &s), ENOENT);
}

static const struct {
	const char *name;
	uint32_t vcpu, reason, pad;
	int err;
} bad[] = {
	{ "a vCPU that is not there", 1, 0, 0, ENOENT },
	{ "a vCPU's id beyond all", -1U, 0, 0, ENOENT },
	{ "a vCPU's id with the sign's bit", 0x80000000, 0, 0, ENOENT },
	{ "a reason beyond the last", 0, 1000, 0, ERANGE },
	{ "a reason with the sign's bit", 0, 0x80000000, 0, ERANGE },
	{ "the last number as reason", 0, -1U, 0, ERANGE },
	{ "padding", 0, 0, 1, EINVAL },
};

TEST_EACH(bad_each, "GET_EXIT_STATS refuses ", bad, row)
{
	struct umbra_exit_stats s = {
		.vcpu = row->vcpu, .reason = row->reason, .pad = row->pad,
	};
	struct vm vm;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_GET_EXIT_STATS, &s), row->err);
}

TEST(fault, "GET_EXIT_STATS with a bad pointer is EFAULT")
{
	struct vm vm;

	need_umbra();
	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_GET_EXIT_STATS, NULL), EFAULT);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_GET_EXIT_STATS,
			 map_guarded(sizeof(struct umbra_exit_stats) - 1)), EFAULT);
}

static void *run_to_end(void *arg)
{
	vcpu_run_to_end(arg);
	return NULL;
}

TEST(running, "read while the vCPU runs: nobody waits, and no figure goes back")
{
	struct umbra_exit_stats s, last = { .count = 0 };
	unsigned int reads = 0;
	pthread_t thread;
	struct vm vm;
	struct vcpu *v;

	need_umbra();
	v = vm_long_mode(&vm, 0, cpuids_until_stopped);
	ASSERT(!pthread_create(&thread, NULL, run_to_end, v));
	/* The vCPU does not leave KVM_RUN before it is told to. */
	while (reads < READS) {
		s = by_name(&vm, 0, "cpuid");
		EXPECT(s.count >= last.count);
		EXPECT(s.ticks >= last.ticks);
		EXPECT(s.count >= timed(&s));
		EXPECT(timed(&s) >= timed(&last));
		reads += s.count > last.count;
		last = s;
	}
	G(&vm, g_stop) = 1;
	ASSERT(!pthread_join(thread, NULL));
	s = by_name(&vm, 0, "cpuid");
	EXPECT_EQ(s.count, timed(&s));
}

#define PAUSES	20000

static void many_pauses(void)
{
	int i;

	for (i = 0; i < PAUSES; i++)
		asm volatile("pause");
	guest_done();
}

/* By a flag of AMD's, or of Intel's VMX. */
static bool cpu_has(const char *flag)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[8192];
	bool found = false;

	ASSERT(f);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, flag);
	fclose(f);
	return found;
}

TEST(pauses, "a guest that spins has exits for PAUSE where the CPU filters it, and only there")
{
	uint64_t exits;
	struct vcpu *v;
	struct vm vm;

	need_umbra();
	if (cpu_has(" ple"))
		SKIP("VMX counts only a PAUSE that takes less than 128 cycles");
	v = vm_long_mode(&vm, 0, many_pauses);
	vcpu_run_to_end(v);
	exits = by_name(&vm, 0, "pause").count;
	ktap_diag("%llu exits", (unsigned long long)exits);
	if (cpu_has(" pausefilter"))
		EXPECT(exits > 0 && exits < PAUSES / 100);
	else
		EXPECT_EQ(exits, 0);
}
