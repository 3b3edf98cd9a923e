// SPDX-License-Identifier: GPL-2.0-only
/* What the VMM finds of its own CPU state behind a guest that changed everything. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define ROUNDS		20

static volatile uint64_t g_val;

/* Breakpoints of the guest's own on a variable of its own, at an exit each round. */
static void dr_user(void)
{
	uint64_t v, i;

	asm volatile("movq %0, %%dr0" : : "r"(&g_val));
	asm volatile("movq %0, %%dr1" : : "r"(0x11111000UL));
	asm volatile("movq %0, %%dr2" : : "r"(0x22222000UL));
	asm volatile("movq %0, %%dr3" : : "r"(0x33333000UL));
	asm volatile("movq %0, %%dr7" : : "r"(0x400UL | 3 << 2));
	for (i = 0; i < ROUNDS; i++) {
		guest_sync(i);
		asm volatile("movq %%dr0, %0" : "=r"(v));
		GUEST_ASSERT(v == (uintptr_t)&g_val);
		asm volatile("movq %%dr3, %0" : "=r"(v));
		GUEST_ASSERT(v == 0x33333000);
	}
	asm volatile("movq %0, %%dr7" : : "r"(0x400UL));
	guest_done();
}

static volatile uint64_t watched;

static int watch(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uintptr_t)&watched,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t hits(int fd)
{
	uint64_t n = 0;

	ASSERT(read(fd, &n, sizeof(n)) == sizeof(n));
	return n;
}

TEST(host_breakpoint, "a hardware breakpoint of the VMM's hits between the guest's own")
{
	struct vm vm;
	struct vcpu *v;
	uint64_t before;
	unsigned int i;
	int fd = watch();

	if (fd < 0)
		SKIP("no hardware breakpoints here");
	watched = 1;
	before = hits(fd);
	if (!before)
		SKIP("hardware breakpoints do not hit here");
	v = vm_long_mode(&vm, 0, dr_user);
	for (i = 0; i < ROUNDS; i++) {
		vcpu_run_to_sync(v, i);
		watched = i;
		EXPECT_EQ(hits(fd), before + i + 1);
	}
	vcpu_run_to_end(v);
	close(fd);
}

static void leaves_step(void)
{
	asm volatile("movq %0, %%dr6" : : "r"(0xffff4ff0UL));
	guest_sync(1);
	guest_done();
}

TEST(host_dr6, "a cause that a guest has left in DR6 is none of the VMM's next breakpoint")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, leaves_step);
	int fd;

	vcpu_run_to_sync(v, 1);
	fd = watch();
	if (fd < 0)
		SKIP("no hardware breakpoints here");
	/* Were it taken for a single step, SIGTRAP would end us here. */
	watched = 1;
	if (!hits(fd))
		SKIP("hardware breakpoints do not hit here");
	close(fd);
}

/*
 * An event that «Checks on VMX Controls» refuses: a #GP comes with an error code. The
 * debugger's breakpoint has been put into the CPU by then.
 */
TEST(host_refused, "a hardware breakpoint of the VMM's hits behind an entry that the CPU refuses")
{
	struct kvm_vcpu_events events = { .exception = { .injected = 1, .nr = GP_VECTOR } };
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [0] = GPA_HOLE, [7] = 0x402 },
	};
	struct vm vm;
	struct vcpu *v;
	uint64_t before;
	int fd = watch();

	if (fd < 0)
		SKIP("no hardware breakpoints here");
	if (!cpu_is_intel())
		SKIP("SVM has no such check");
	watched = 1;
	before = hits(fd);
	if (!before)
		SKIP("hardware breakpoints do not hit here");
	v = vm_long_mode(&vm, 0, leaves_step);
	ASSERT(!ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug));
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events));
	ASSERT(vcpu_run(v) == KVM_EXIT_FAIL_ENTRY);
	EXPECT_EQ(v->run->fail_entry.hardware_entry_failure_reason, 7);
	watched = 2;
	EXPECT_EQ(hits(fd), before + 1);
	/* Without it the guest runs on. */
	events.exception.injected = 0;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &events));
	vcpu_run_to_sync(v, 1);
	close(fd);
}

static void bases_user(void)
{
	uint64_t i;

	for (i = 0; i < ROUNDS; i++) {
		wrmsr(0xc0000100, 0x1111000 + i);	/* FS_BASE */
		wrmsr(0xc0000101, 0x2222000 + i);	/* GS_BASE */
		wrmsr(0xc0000102, 0x3333000 + i);	/* KERNEL_GS_BASE */
		wrmsr(0xc0000082, 0x4444000 + i);	/* LSTAR */
		asm volatile("movw %w0, %%gs" : : "r"(SEL_DATA));
		wrmsr(0xc0000101, 0x2222000 + i);
		guest_sync(i);
		GUEST_ASSERT(rdmsr(0xc0000100) == 0x1111000 + i);
		GUEST_ASSERT(rdmsr(0xc0000101) == 0x2222000 + i);
		GUEST_ASSERT(rdmsr(0xc0000102) == 0x3333000 + i);
	}
	guest_done();
}

static uint16_t gs_selector(void)
{
	uint16_t sel;

	asm volatile("movw %%gs, %0" : "=r"(sel));
	return sel;
}

static uint64_t gs_load(void)
{
	uint64_t v;

	asm volatile("movq %%gs:0, %0" : "=r"(v));
	return v;
}

TEST(host_bases, "FS, GS and the system calls are the VMM's again after each exit")
{
	static const uint64_t value = 0x1122334455667788;
	uint64_t base = 0;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, bases_user);
	unsigned int i;

	ASSERT(!syscall(SYS_arch_prctl, ARCH_SET_GS, &value));
	for (i = 0; i < ROUNDS; i++) {
		vcpu_run_to_sync(v, i);
		EXPECT_EQ(gs_load(), value);
		ASSERT(!syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
		EXPECT_EQ(base, (uintptr_t)&value);
	}
	vcpu_run_to_end(v);
}

/* One LDT entry of 32 bits, so that its base must lie low. */
static void set_ldt(void *base)
{
	struct user_desc d = {
		.entry_number = 0,
		.base_addr = (uintptr_t)base,
		.limit = 0xfffff,
		.seg_32bit = 1,
		.limit_in_pages = 1,
		.useable = 1,
	};

	ASSERT(!syscall(SYS_modify_ldt, 1, &d, sizeof(d)));
}

TEST(host_ldt, "a VMM with an LDT keeps it, also when it changes between two entries")
{
	uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	const uint16_t selector = 7;	/* entry 0 of the LDT, ring 3 */
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, bases_user);
	unsigned int i;

	ASSERT(page != MAP_FAILED);
	page[0] = 0xaaaa;
	page[1] = 0xbbbb;
	vcpu_run_to_sync(v, 0);		/* no LDT yet */
	for (i = 1; i < ROUNDS; i++) {
		set_ldt(&page[i & 1]);
		asm volatile("movw %w0, %%gs" : : "r"(selector));
		EXPECT_EQ(gs_load(), page[i & 1]);
		vcpu_run_to_sync(v, i);
		EXPECT_EQ(gs_selector(), selector);
		EXPECT_EQ(gs_load(), page[i & 1]);
		/* The LDT itself, not what a register still has of it. */
		asm volatile("movw %w0, %%gs; movw %w1, %%gs" : : "r"(0), "r"(selector));
		EXPECT_EQ(gs_load(), page[i & 1]);
	}
	vcpu_run_to_end(v);
	asm volatile("movw %w0, %%gs" : : "r"(0));
}

static uint32_t rdtscp_aux(void)
{
	uint32_t lo, hi, aux;

	asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
	return aux;
}

static void aux_user(void)
{
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		wrmsr(0xc0000103, 0xabc000 + i);
		GUEST_ASSERT(rdtscp_aux() == 0xabc000 + i);
		guest_sync(i);
		GUEST_ASSERT(rdtscp_aux() == 0xabc000 + i);
	}
	guest_done();
}

TEST(host_tsc_aux, "RDTSCP gives the VMM its own TSC_AUX, and the guest its own")
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 0x80000001, 0);
	cpu_set_t one;
	uint32_t aux;
	struct vm vm;
	struct vcpu *v;
	unsigned int i;

	if (!e || !(e->edx & (1u << 27)))
		SKIP("no RDTSCP");
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ASSERT(!sched_setaffinity(0, sizeof(one), &one));
	aux = rdtscp_aux();
	v = vm_long_mode(&vm, 0, aux_user);
	for (i = 0; i < ROUNDS; i++) {
		vcpu_run_to_sync(v, i);
		EXPECT_EQ(rdtscp_aux(), aux);
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(rdtscp_aux(), aux);
}

static uint32_t rdpkru(void)
{
	uint32_t eax, edx;

	asm volatile("rdpkru" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

static void wrpkru(uint32_t v)
{
	asm volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static uint64_t xgetbv0(void)
{
	uint32_t eax, edx;

	asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax | (uint64_t)edx << 32;
}

static void keys_user(void)
{
	uint32_t i;

	/* OSXSAVE and PKE */
	write_cr4(read_cr4() | 1u << 18 | 1u << 22);
	for (i = 0; i < ROUNDS; i++) {
		wrpkru(0x4000 + i * 4);
		guest_sync(i);
		GUEST_ASSERT(rdpkru() == 0x4000 + i * 4);
		GUEST_ASSERT(xgetbv0() == 3);
	}
	guest_done();
}

TEST(host_pkru, "PKRU and XCR0 are the VMM's own after each exit, and the guest's inside")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, 0);
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = 3 };
	uint64_t xcr0;
	uint32_t pkru;
	struct vm vm;
	struct vcpu *v;
	unsigned int i;

	if (!e || !(e->ecx & (1u << 3)))
		SKIP("no protection keys");
	xcr0 = xgetbv0();
	v = vm_long_mode(&vm, 0, keys_user);
	/* by ioctl: an emulated CPU may not intercept the guest's XSETBV */
	EXPECT_OK(ioctl(v->fd, KVM_SET_XCRS, &x));
	pkru = rdpkru() ^ 0xc;		/* key 1, which nothing here has */
	wrpkru(pkru);
	for (i = 0; i < ROUNDS; i++) {
		vcpu_run_to_sync(v, i);
		EXPECT_EQ(rdpkru(), pkru);
		EXPECT_EQ(xgetbv0(), xcr0);
	}
	vcpu_run_to_end(v);
}
