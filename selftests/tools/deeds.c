// SPDX-License-Identifier: GPL-2.0-only
/*
 * deeds [TABLES [MODE]]: a guest whose deeds are counted, for the tests of tracing/: it
 * executes CPUID, writes to a port, after which its page is gone, and touches it again, reads
 * from a device that this program is, and writes TABLES times to a table that maps nothing, with a flush after each. It
 * halts, and an irqfd wakes it each time. MODE: UMBRA_MMU_*. Prints what was done, as
 * lines NAME=VALUE.
 */
#define _GNU_SOURCE
#include <linux/umbra.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PORT	0x1230
#define PAGE	4096UL
#define GPA	0x20000000UL	/* a slot of its own, of small pages */
#define VECTOR	0x55
#define GSI	20	/* the IOAPIC alone has it */

#define CPUIDS	1000
#define OUTS	30
#define READS	20
#define HALTS	10

static struct vm vm;
static volatile uint64_t g_tables, g_woken, g_halts;
static void *page;
static pid_t runner;

extern char here_cpuid[];

static void on_vector(struct frame *f)
{
	(void)f;
	g_woken++;
	apic_eoi();
}

static void guest(void)
{
	volatile uint64_t *table = (void *)GPA_PT;
	uint32_t a, b, c, d;
	uint64_t i;

	for (i = 0; i < CPUIDS; i++) {
		a = c = 0;
		asm volatile(".globl here_cpuid\nhere_cpuid: cpuid"
			     : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	}
	for (i = 0; i < OUTS; i++) {
		outb(PORT, 1);
		*(volatile uint64_t *)GPA = 1;
	}
	for (i = 0; i < READS; i++)
		(void)*(volatile uint32_t *)GPA_HOLE;
	for (i = 0; i < 512; i++)
		table[i] = (GPA_TEST + i * PAGE) | 7;
	((volatile uint64_t *)GPA_PD)[GPA_TEST >> 21] = GPA_PT | 7;
	write_cr3(read_cr3());
	*(volatile uint64_t *)GPA_TEST = 1;
	for (i = 0; i < g_tables; i++) {
		table[1 + (i & 1)] = (GPA_TEST + (3 + i) * PAGE) | 7;
		write_cr3(read_cr3());
	}
	g_handlers[VECTOR] = on_vector;
	apic_on();
	ioapic_write(0x10 + 2 * GSI + 1, 0);
	ioapic_write(0x10 + 2 * GSI, VECTOR);
	for (i = 0; i < HALTS; i++) {
		g_halts = i + 1;
		while (g_woken <= i)
			sti_hlt_cli();
	}
	guest_done();
}

static void *run(void *arg)
{
	struct vcpu *v = arg;
	struct kvm_run *r = v->run;

	__atomic_store_n(&runner, gettid(), __ATOMIC_RELEASE);
	while (vcpu_run(v) == KVM_EXIT_MMIO || (r->exit_reason == KVM_EXIT_IO && r->io.port == PORT)) {
		if (r->exit_reason == KVM_EXIT_IO)
			ASSERT(!madvise(page, PAGE, MADV_DONTNEED));
	}
	ASSERT(r->exit_reason == KVM_EXIT_IO && r->io.port == PORT_DONE);
	return NULL;
}

static bool sleeps(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	ASSERT(f);
	ASSERT(fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
	fclose(f);
	return state == 'S';
}

static void wake(int event, unsigned long nr)
{
	uint64_t one = 1;

	while (G(&vm, g_halts) != nr || !sleeps(runner))
		sleep_ms(1);
	ASSERT(write(event, &one, sizeof(one)) == sizeof(one));
}

int main(int argc, char **argv)
{
	struct kvm_irqfd irqfd = { .gsi = GSI };
	pthread_t thread;
	struct vcpu *v;
	uint32_t mode;
	unsigned long i;

	vm_init(&vm, VM_IRQCHIP);
	if (argc > 2) {
		mode = strtoul(argv[2], NULL, 0);
		ASSERT(!ioctl(vm.fd, UMBRA_SET_MMU, &mode));
	}
	v = vm_vcpu(&vm, 0);
	vcpu_long_mode(v, guest);
	page = map_pages(PAGE);
	ASSERT(!vm_slot(&vm, 7, 0, GPA, PAGE, page));
	irqfd.fd = eventfd(0, EFD_NONBLOCK);
	ASSERT(!ioctl(vm.fd, KVM_IRQFD, &irqfd));
	G(&vm, g_tables) = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	ASSERT(!pthread_create(&thread, NULL, run, v));
	for (i = 1; i <= HALTS; i++)
		wake(irqfd.fd, i);
	ASSERT(!pthread_join(thread, NULL));
	printf("pid=%d\ncpuid_rip=0x%lx\ncpuids=%d\nouts=%d\nreads=%d\nhalts=%d\n",
	       getpid(), (unsigned long)here_cpuid, CPUIDS, OUTS, READS, HALTS);
	printf("gsi=%d\nport=0x%x\ndevice=0x%llx\npage=0x%lx\n", GSI, PORT, GPA_HOLE, GPA);
	return 0;
}
