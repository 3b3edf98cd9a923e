// SPDX-License-Identifier: GPL-2.0-only
/*
 * All trace events on while many VMs start at once: the kernel's buffers lose events, as they
 * are made far too small, and count each one.
 */
#define _GNU_SOURCE
#include <linux/umbra.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "tracefs.h"
#include "vm.h"

#define RUNNERS	4
#define VMS	6	/* of each runner, one after the other */
#define TIMES	40
#define PAGE	4096UL
#define GPA	0x20000000UL
#define PAGES	32
#define VECTOR	0x55

static void on_vector(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void busy(void)
{
	uint32_t r[4];
	uint64_t i;

	g_handlers[VECTOR] = on_vector;
	apic_on();
	sti();
	for (i = 0; i < TIMES; i++) {
		cpuid(0, 0, r);
		apic_write(APIC_ICR, 0x40000 | VECTOR);
		*(volatile uint64_t *)(GPA + i % PAGES * PAGE) = i;
		wrmsr(MSR_TSC_ADJUST, i);
	}
	guest_done();
}

/* What the module counted of the VM's exits. */
static uint64_t exits_of(struct vm *vm)
{
	struct umbra_exit_stats stats = { .vcpu = 0 };
	uint64_t sum = 0;

	for (; !ioctl(vm->fd, UMBRA_GET_EXIT_STATS, &stats); stats.reason++)
		sum += stats.count;
	ASSERT(errno == ERANGE);
	return sum;
}

static uint64_t run_vms(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < VMS; i++) {
		struct vm vm;
		struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, busy);
		void *pages = map_pages(PAGES * PAGE);

		ASSERT(!vm_slot(&vm, 7, 0, GPA, PAGES * PAGE, pages));
		vcpu_run_to_end(v);
		sum += exits_of(&vm);
		vm_free(&vm);
		munmap(pages, PAGES * PAGE);
	}
	return sum;
}

static uint64_t storm(void)
{
	volatile uint64_t *exits = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t sum = 0;
	pid_t pid[RUNNERS];
	int i, status;

	ASSERT(exits != MAP_FAILED);
	for (i = 0; i < RUNNERS; i++) {
		pid[i] = fork();
		ASSERT(pid[i] >= 0);
		if (!pid[i]) {
			exits[i] = run_vms();
			_exit(0);
		}
	}
	for (i = 0; i < RUNNERS; i++) {
		ASSERT(waitpid(pid[i], &status, 0) == pid[i] && !status);
		ASSERT(exits[i]);
		sum += exits[i];
	}
	return sum;
}

static const struct trace_ring all = { "umbra-all", "", 4 }, exits = { "umbra-exits", "kvm_exit", 4 },
	large = { "umbra-large", "", 16384 };

static void show(const struct trace_ring *ring, const struct trace_lost *lost)
{
	ktap_diag("%s: %llu kept, %llu lost", ring->name, (unsigned long long)lost->kept,
		  (unsigned long long)lost->lost);
}

TEST_SECONDS(storm, "all events on while 24 VMs start, four at once: what the ring lost is counted, one by one", 60)
{
	struct trace_lost of_all, of_exits, of_large;
	uint64_t count;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	if (!access("/sys/kernel/debug/kmemleak", F_OK))
		SKIP("to switch the events on three times takes the debug kernel long");
	trace_ring_start(&all);
	trace_ring_start(&exits);
	trace_ring_start(&large);
	count = storm();
	of_all = trace_ring_end(&all);
	of_exits = trace_ring_end(&exits);
	of_large = trace_ring_end(&large);
	ktap_diag("%llu exits", (unsigned long long)count);
	show(&all, &of_all);
	show(&exits, &of_exits);
	show(&large, &of_large);
	EXPECT(count >= RUNNERS * VMS * 3 * TIMES);
	EXPECT_EQ(of_exits.kept + of_exits.lost, count);
	EXPECT(of_exits.lost && of_all.lost);
	EXPECT_EQ(of_large.lost, 0);
	EXPECT_EQ(of_all.kept + of_all.lost, of_large.kept);
	EXPECT(of_large.kept > 2 * count);
}
