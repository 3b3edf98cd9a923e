// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM's mode changes at random while it works. Two kinds of work take turns: the
 * oracle's scripts, which change page tables, load control registers and fault, in each
 * paging mode; and a guest that checks all it does itself: memory under a dirty log,
 * page tables, MMIO, string I/O, interrupts to itself.
 */
#include <getopt.h>
#include <linux/umbra.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../oracle/oracle.h"
#include "guest.h"
#include "vm.h"

#define PAGE		4096UL
#define LOGGED		0x20000000UL	/* memory under a log: each vCPU's pages */
#define SLOT		7
#define PAGES		128UL		/* of each vCPU */
#define WINDOW		0x3f000000UL	/* linear: 2 MiB for each vCPU, by a table of its own */
#define PORT		0x600
#define BYTES		48
#define VECTOR		0x40
#define ROUNDS		8		/* between two looks at whether it shall end */

static unsigned int random_state;
static struct features have;

static unsigned int below(unsigned int limit)
{
	return rand_r(&random_state) % limit;
}

/* ------------------------------ the guest ------------------------------ */

struct worker {
	uint32_t random, interrupts, sent;
	uint64_t word[PAGES];
	uint8_t buffer[2 * PAGE] __attribute__((aligned(PAGE)));
};

static volatile struct worker worker[MAX_CPUS];

static uint32_t next_random(volatile struct worker *w)
{
	w->random = w->random * 1664525 + 1013904223;
	return w->random >> 8;
}

/* Its own pages, each of which has the word that was last written to it. */
static void use_memory(volatile struct worker *w, unsigned int me)
{
	unsigned int n;

	for (n = 0; n < 8; n++) {
		unsigned int page = next_random(w) % PAGES;
		volatile uint64_t *p = (uint64_t *)(LOGGED + (me * PAGES + page) * PAGE);

		GUEST_ASSERT(*p == w->word[page]);
		*p = (uint64_t)next_random(w) << 32 | page;
		w->word[page] = *p;
	}
}

/* The same by another address, where now this page is and now that one. */
static void use_window(volatile struct worker *w, unsigned int me)
{
	volatile uint64_t *pt = (uint64_t *)(GPA_PT + me * PAGE);
	unsigned int page = next_random(w) % PAGES, slot = next_random(w) % 4;
	uint64_t at = WINDOW + (me << 21) + slot * PAGE;
	uint64_t gpa = LOGGED + (me * PAGES + page) * PAGE;

	pt[slot] = gpa | PTE_P | PTE_W;
	if (next_random(w) & 1)
		invlpg(at);
	else
		write_cr3(read_cr3());
	GUEST_ASSERT(*(volatile uint64_t *)at == w->word[page]);
	GUEST_ASSERT((pt[slot] & (PTE_A | PTE_D)) == PTE_A);
	*(volatile uint64_t *)at = gpa + me;
	w->word[page] = gpa + me;
	GUEST_ASSERT(*(volatile uint64_t *)gpa == gpa + me);
	GUEST_ASSERT((pt[slot] & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
}

/* The host gives back the complement of what it was given. */
static void use_mmio(volatile struct worker *w, unsigned int me)
{
	volatile uint32_t *reg = (uint32_t *)(GPA_HOLE + me * PAGE);
	uint32_t value = next_random(w);

	*reg = value;
	GUEST_ASSERT(*reg == ~value);
}

/* So it does with bytes, which lie across a page's end. */
static void use_strings(volatile struct worker *w, unsigned int me)
{
	volatile uint8_t *buffer = w->buffer + PAGE - BYTES / 2, *p = buffer;
	uint32_t before = w->random;
	unsigned long n = BYTES;
	unsigned int i;

	for (i = 0; i < BYTES; i++)
		buffer[i] = next_random(w);
	asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(PORT + me) : "memory");
	GUEST_ASSERT(!n && p == buffer + BYTES);
	p = buffer;
	n = BYTES;
	asm volatile("rep insb" : "+D"(p), "+c"(n) : "d"(PORT + me) : "memory");
	GUEST_ASSERT(!n && p == buffer + BYTES);
	w->random = before;
	for (i = 0; i < BYTES; i++)
		GUEST_ASSERT(buffer[i] == (uint8_t)~next_random(w));
}

static void on_interrupt(struct frame *f)
{
	(void)f;
	worker[apic_read(APIC_ID) >> 24].interrupts++;
	apic_eoi();
}

static void use_interrupts(volatile struct worker *w)
{
	unsigned long patience = 10000000;

	apic_write(APIC_ICR, 1 << 18 | VECTOR);
	w->sent++;
	while (w->interrupts != w->sent)
		GUEST_ASSERT(--patience);
}

static void work(void)
{
	unsigned int me, i;
	volatile struct worker *w;

	apic_on();
	me = apic_read(APIC_ID) >> 24;
	w = &worker[me];
	sti();
	for (;;) {
		for (i = 0; i < ROUNDS; i++) {
			use_memory(w, me);
			use_window(w, me);
			use_mmio(w, me);
			use_strings(w, me);
			use_interrupts(w);
		}
		guest_sync(1);
	}
}

/* ------------------------------ its host ------------------------------ */

struct device {
	struct vcpu *v;
	uint32_t reg;
	uint8_t fifo[BYTES];
	unsigned int in, out;
	pthread_t thread;
};

/* @copy: the guest's logged memory, as the log tells of it. */
static struct host {
	struct vm vm;
	struct device device[MAX_CPUS];
	unsigned int cpus;
	uint8_t *memory, *copy;
	bool stop;
	unsigned long switches, errors;
} host;

static unsigned long ways[UMBRA_MMU_SHADOW_EAGER + 1][UMBRA_MMU_SHADOW_EAGER + 1];

static bool stopping(void)
{
	return __atomic_load_n(&host.stop, __ATOMIC_RELAXED);
}

static void *wrong(struct device *d, const char *what)
{
	uint32_t line;

	__atomic_add_fetch(&host.errors, 1, __ATOMIC_RELAXED);
	printf("# vCPU %d: %s\n", d->v->id, what);
	if (guest_said(d->v, PORT_FAIL, &line))
		printf("# the guest's line %u (%#x)\n", line, line);
	vcpu_diag(d->v);
	return NULL;
}

static bool mmio(struct device *d)
{
	struct kvm_run *run = d->v->run;

	if (run->mmio.phys_addr != GPA_HOLE + d->v->id * PAGE || run->mmio.len != 4)
		return false;
	if (run->mmio.is_write)
		memcpy(&d->reg, run->mmio.data, 4);
	else
		*(uint32_t *)run->mmio.data = ~d->reg;
	return true;
}

static bool bytes(struct device *d)
{
	struct kvm_run *run = d->v->run;
	uint8_t *data = io_data(d->v);
	unsigned int i;

	if (run->io.port != PORT + d->v->id || run->io.size != 1)
		return false;
	for (i = 0; i < run->io.count; i++) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			d->fifo[d->in++ % BYTES] = data[i];
		else
			data[i] = ~d->fifo[d->out++ % BYTES];
	}
	return true;
}

static void *serve(void *arg)
{
	struct device *d = arg;

	for (;;) {
		int r = vcpu_run_raw(d->v);

		if (r && errno != EAGAIN && errno != EINTR)
			return wrong(d, strerror(errno));
		if (r)
			continue;
		if (guest_said(d->v, PORT_SYNC, NULL)) {
			if (stopping())
				return NULL;
		} else if (d->v->run->exit_reason == KVM_EXIT_MMIO) {
			if (!mmio(d))
				return wrong(d, "an MMIO access that it did not make");
		} else if (d->v->run->exit_reason != KVM_EXIT_IO || !bytes(d)) {
			return wrong(d, "an exit that it did not ask for");
		}
	}
}

/* Bring the copy up to date with what the log says was written. */
static void take_log(void)
{
	uint64_t bits[MAX_CPUS * PAGES / 64] = { 0 };
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bits };
	unsigned long i;

	ASSERT(!ioctl(host.vm.fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < MAX_CPUS * PAGES; i++) {
		if (bits[i / 64] >> i % 64 & 1)
			memcpy(host.copy + i * PAGE, host.memory + i * PAGE, PAGE);
	}
}

static void compare_copy(void)
{
	unsigned long i;

	take_log();
	for (i = 0; i < MAX_CPUS * PAGES; i++) {
		if (!memcmp(host.copy + i * PAGE, host.memory + i * PAGE, PAGE))
			continue;
		printf("# the log has missed a write to page %lu of vCPU %lu\n", i % PAGES,
		       i / PAGES);
		host.errors++;
		return;
	}
}

static void change_mode(uint32_t modes)
{
	uint32_t mode, now;

	ASSERT(!ioctl(host.vm.fd, UMBRA_GET_MMU, &now));
	do {
		mode = below(UMBRA_MMU_SHADOW_EAGER + 1);
	} while (!(modes >> mode & 1) || mode == now);
	if (ioctl(host.vm.fd, UMBRA_SET_MMU, &mode)) {
		/* A vCPU has not come round since. */
		ASSERT(errno == EBUSY);
		sched_yield();
		return;
	}
	host.switches++;
	ways[now][mode]++;
}

static void start_guest(unsigned int cpus)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	unsigned int i;

	memset(&host, 0, offsetof(struct host, switches));
	host.cpus = cpus;
	vm_init(&host.vm, VM_IRQCHIP);
	host.memory = map_pages(MAX_CPUS * PAGES * PAGE);
	host.copy = map_pages(MAX_CPUS * PAGES * PAGE);
	ASSERT(!vm_slot(&host.vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, LOGGED,
			MAX_CPUS * PAGES * PAGE, host.memory));
	G(&host.vm, g_handlers[VECTOR]) = on_interrupt;
	for (i = 0; i < cpus; i++) {
		uint64_t pde = (GPA_PT + i * PAGE) | PTE_P | PTE_W;

		memcpy(host.vm.mem + GPA_PD + ((WINDOW >> 21) + i) * 8, &pde, 8);
		G(&host.vm, worker[i].random) = below(1 << 30);
		host.device[i].v = vm_vcpu(&host.vm, i);
		vcpu_long_mode(host.device[i].v, work);
		ASSERT(!ioctl(host.device[i].v->fd, KVM_SET_MP_STATE, &mp));
	}
	for (i = 0; i < cpus; i++)
		ASSERT(!pthread_create(&host.device[i].thread, NULL, serve, &host.device[i]));
}

static void end_guest(void)
{
	unsigned int i;

	__atomic_store_n(&host.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < host.cpus; i++)
		ASSERT(!pthread_join(host.device[i].thread, NULL));
	compare_copy();
	vm_free(&host.vm);
	munmap(host.memory, MAX_CPUS * PAGES * PAGE);
	munmap(host.copy, MAX_CPUS * PAGES * PAGE);
}

static void too_long(int sig)
{
	static const char text[] = "not ok 1 in time\n# a guest does not come round\n";

	(void)sig;
	_exit(write(1, text, sizeof(text) - 1) < 0 ? KSFT_FAIL : KSFT_FAIL);
}

/* @count more changes while it works. */
static void run_guest(unsigned int cpus, uint32_t modes, unsigned long count)
{
	struct sigaction act = { .sa_handler = too_long };
	unsigned long end = host.switches + count;

	ASSERT(!sigaction(SIGALRM, &act, NULL));
	alarm(60 * ktap_env("KTAP_SLOWER", 1));
	start_guest(cpus);
	while (host.switches < end && !host.errors) {
		change_mode(modes);
		if (!below(4))
			take_log();
		if (!below(4))
			audit_shadows();
		usleep(below(1000));
	}
	end_guest();
	alarm(0);
}

/* ------------------------------ all ------------------------------ */

static const char *const name[] = {
	[UMBRA_MMU_HARDWARE] = "hardware",
	[UMBRA_MMU_SHADOW_LAZY] = "shadow-lazy",
	[UMBRA_MMU_SHADOW_EAGER] = "shadow-eager",
};

/* Was each way from mode to mode taken? */
static bool each_way(uint32_t modes, bool print)
{
	uint32_t from, to;
	bool all = true;

	for (from = UMBRA_MMU_HARDWARE; from <= UMBRA_MMU_SHADOW_EAGER; from++) {
		for (to = UMBRA_MMU_HARDWARE; to <= UMBRA_MMU_SHADOW_EAGER; to++) {
			if (from == to || !(modes >> from & modes >> to & 1))
				continue;
			if (print)
				printf("# from %s to %s: %lu\n", name[from], name[to],
				       ways[from][to]);
			all &= ways[from][to] > 0;
		}
	}
	return all;
}

static void check(unsigned int nr, bool good, const char *what)
{
	printf("%sok %u %s\n", good ? "" : "not ", nr, what);
}

static int run(uint64_t seed, unsigned long count, uint32_t modes)
{
	static struct judge j = { .name = "a VM that changes its mode" };
	static struct script script;
	struct machine *mc = machine_new(UMBRA_MMU_AUTO);
	unsigned long total = 0, number = 0;

	j.lacks_p = on_tcg();
	machine_switch(mc, modes);
	while ((total < count || !each_way(modes, false)) && !j.differences && !host.errors) {
		script_make(&script, &have, seed, number);
		if (machine_run(mc, &script))
			judge(&j, mc, &script, number, false);
		else
			judge_lost(&j, &script, number);
		if (number++ % 8 == 0)
			run_guest(1 + below(2), modes, 32);
		total = machine_switches(mc) + host.switches;
	}
	machine_free(mc);
	each_way(modes, true);
	check(1, !j.differences, "accesses end as the walker says");
	check(2, !host.errors, "memory, its log, tables, MMIO, strings and interrupts are right");
	printf("1..2\n# %lu switches, %lu errors\n", total, j.differences + host.errors);
	return j.differences || host.errors;
}

static int usage(int status)
{
	printf("Usage: switch [--count N] [--seed S]\n"
	       "N changes of mode (100 by default) of VMs that work, in a random order.\n");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	unsigned long count = 100;
	uint32_t modes;
	uint64_t seed = 1;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			count = strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		default:
			return usage(c == 'h' ? 0 : 64);
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	modes = machine_modes();
	if (!(modes & (modes - 1))) {
		printf("1..0 # SKIP one mode only\n");
		return KSFT_SKIP;
	}
	random_state = seed;
	machine_features(&have);
	return run(seed, count, modes);
}
