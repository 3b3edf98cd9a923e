// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC's timer of a vCPU that hops between the host's CPUs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "guest.h"
#include "vm.h"

static volatile uint64_t g_hits;

static void apic_hit(struct frame *f)
{
	(void)f;
	g_hits++;
	apic_eoi();
}

static void wait_hits(uint64_t n)
{
	while (g_hits < n)
		sti_hlt_cli();
}

#define HOPS	100

static void hop_oneshot(void)
{
	uint64_t i;

	g_handlers[0x41] = apic_hit;
	apic_on();
	apic_write(APIC_LVTT, 0x41);
	apic_write(APIC_TDCR, 0xb);
	for (i = 1; i <= HOPS; i++) {
		/* Longer and shorter than the stay on a CPU. */
		apic_write(APIC_TMICT, i * 20000);
		wait_hits(i);
		GUEST_ASSERT(g_hits == i);
	}
	guest_done();
}

static void hop_periodic(void)
{
	g_handlers[0x41] = apic_hit;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x20041);
	apic_write(APIC_TMICT, 1000000);
	wait_hits(HOPS);
	/* Stopped, it does not come back from wherever it stood. */
	apic_write(APIC_TMICT, 0);
	asm volatile("sti; nop; nop; cli" : : : "memory");
	g_hits = 0;
	apic_write(APIC_LVTT, 0x41);
	apic_write(APIC_TMICT, 20000000);
	wait_hits(1);
	GUEST_ASSERT(g_hits == 1);
	guest_done();
}

static void hop_deadline(void)
{
	uint64_t i, want;

	g_handlers[0x41] = apic_hit;
	apic_on();
	apic_write(APIC_LVTT, 0x40041);
	for (i = 1; i <= HOPS; i++) {
		want = rdtsc() + i * 50000;
		wrmsr(MSR_TSC_DEADLINE, want);
		wait_hits(i);
		GUEST_ASSERT(g_hits == i);
		/* Never early, on whatever CPU it fires. */
		GUEST_ASSERT(rdtsc() >= want);
	}
	guest_done();
}

struct hopper {
	pthread_t runner;
	volatile bool stop;
};

static void *hop(void *arg)
{
	struct hopper *h = arg;
	cpu_set_t all, one;
	int cpu = 0;

	ASSERT(!sched_getaffinity(0, sizeof(all), &all));
	while (!h->stop) {
		do
			cpu = (cpu + 1) % CPU_SETSIZE;
		while (!CPU_ISSET(cpu, &all));
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		ASSERT(!pthread_setaffinity_np(h->runner, sizeof(one), &one));
		sleep_ms(1);
	}
	return NULL;
}

static const struct { const char *name; void (*entry)(void); } hops[] = {
	{ "one-shot", hop_oneshot }, { "periodic", hop_periodic },
	{ "deadline", hop_deadline },
};

TEST_EACH(hop, "a timer goes along with a vCPU that hops between CPUs, and fires once each time: ",
	  hops, m)
{
	struct hopper h = { .runner = pthread_self() };
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct vm vm;
	struct vcpu *v;
	pthread_t t;

	vm_init(&vm, VM_IRQCHIP);
	v = vm_vcpu(&vm, 0);
	cpuid_find(cpuid, 1, 0)->ecx |= BIT(24);	/* the deadline mode */
	vcpu_set_cpuid(v, cpuid);
	vcpu_long_mode(v, m->entry);
	ASSERT(!pthread_create(&t, NULL, hop, &h));
	vcpu_run_to_end(v);
	h.stop = true;
	pthread_join(t, NULL);
}
