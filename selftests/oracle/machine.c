// SPDX-License-Identifier: GPL-2.0-only
/* A VM that runs scripts. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/umbra.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "oracle.h"
#include "vm.h"

_Static_assert(sizeof(struct op) == OP_SIZE, "the stub goes by it");
_Static_assert(sizeof(struct result) == OP_SIZE, "the stub goes by it");

#define HIGH_SIZE	(DATA_FRAMES * 4096UL)

/*
 * @modes: bits of those that it goes among while it runs; @allowed: in this run
 * @stop: the run is over
 */
struct machine {
	struct vm vm;
	uint8_t *high;
	uint32_t modes, allowed;
	pthread_t switcher;
	bool stop;
	unsigned long switches;
};

/* Seconds for a script, which takes less than one. */
#define LONGEST		5

static struct machine *running;

extern char oracle64_vectors[], oracle32_vectors[], oracle64_start[], oracle32_start[];
extern char oracle_user_begin[], oracle_user_end[];

void machine_features(struct features *have)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	const struct kvm_cpuid_entry2 *l7 = cpuid_find(c, 7, 0), *e1 = cpuid_find(c, 0x80000001, 0);
	const struct kvm_cpuid_entry2 *e8 = cpuid_find(c, 0x80000008, 0);

	ASSERT(e1 && e8);
	*have = (struct features){
		.maxphyaddr = e8->eax,
		.nx = e1->edx & BIT(20),
		.gbpages = e1->edx & BIT(26),
		.smep = l7 && l7->ebx & BIT(7),
		.smap = l7 && l7->ebx & BIT(20),
		.pku = l7 && l7->ecx & BIT(3),
		.la57 = l7 && l7->ecx & BIT(16),
		.marks_pdptes = on_tcg(),
		.two_cpus = sysconf(_SC_NPROCESSORS_ONLN) > 1,
	};
}

/* ------------------------------ memory ------------------------------ */

static uint8_t *at(const struct machine *mc, uint64_t gpa)
{
	return gpa >= HIGH ? mc->high + gpa - HIGH - DATA : mc->vm.mem + gpa;
}

const void *machine_memory(const struct machine *mc, uint64_t gpa)
{
	return at(mc, gpa);
}

static void put(struct machine *mc, uint64_t gpa, uint64_t value, unsigned int size)
{
	memcpy(at(mc, gpa), &value, size);
}

static bool for_user(uint64_t gpa)
{
	return (gpa >= (uintptr_t)oracle_user_begin && gpa < (uintptr_t)oracle_user_end) ||
	       gpa == USER_STACK - 4096;
}

/* All memory below 16 MiB, for the supervisor, in each width. */
static void build_home(struct machine *mc)
{
	uint64_t gpa;

	for (gpa = 0; gpa < MEM_SIZE; gpa += 4096) {
		uint64_t pte = gpa | PTE_P | PTE_W | (for_user(gpa) ? PTE_U : 0);

		put(mc, HOME_PT32 + (gpa >> 12) * 4, pte, 4);
		put(mc, HOME_PT64 + (gpa >> 12) * 8, pte, 8);
	}
	for (gpa = 0; gpa < MEM_SIZE; gpa += 1 << 21)
		put(mc, HOME_PD + (gpa >> 21) * 8,
		    (HOME_PT64 + (gpa >> 21) * 4096) | PTE_P | PTE_W | PTE_U, 8);
	put(mc, HOME_PDPT, HOME_PD | PTE_P | PTE_W | PTE_U, 8);
	put(mc, HOME_PML4, HOME_PDPT | PTE_P | PTE_W | PTE_U, 8);
}

static void build_gates(struct machine *mc)
{
	unsigned int i;

	for (i = 0; i < NR_GATES; i++) {
		uint64_t wide = (uintptr_t)oracle64_vectors + i * 16;
		uint64_t narrow = (uintptr_t)oracle32_vectors + i * 16;
		uint64_t type = i == RETURN_VECTOR ? 0xee00 : 0x8e00;

		put(mc, IDT64 + i * 16, (wide & 0xffff) | SEL_CODE64 << 16 | type << 32 |
		    (wide >> 16 & 0xffff) << 48, 8);
		put(mc, IDT64 + i * 16 + 8, wide >> 32, 8);
		put(mc, IDT32 + i * 8, (narrow & 0xffff) | SEL_CODE32 << 16 | type << 32 |
		    (narrow >> 16 & 0xffff) << 48, 8);
	}
	put(mc, GPA_GDT + (SEL_UCODE32 & ~7), 0x00cffb000000ffffULL, 8);
	for (i = 0; i < MAX_CPUS; i++) {
		uint64_t top = CONTEXT + (i + 1) * 4096;

		put(mc, TSS64 + i * 256 + 4, top, 8);
		put(mc, TSS32 + i * 256 + 4, top, 4);
		put(mc, TSS32 + i * 256 + 8, SEL_DATA, 4);
	}
}

static uint64_t frame_gpa(unsigned int frame)
{
	return frame < DATA_FRAMES ? DATA + frame * 4096ULL :
	       HIGH + DATA + (frame - DATA_FRAMES) * 4096ULL;
}

/* mov $tag, %eax; ret */
static void build_frames(struct machine *mc)
{
	unsigned int i;

	for (i = 0; i < NR_FRAMES; i++) {
		uint64_t gpa = frame_gpa(i) + CODE_OFFSET;

		put(mc, gpa, 0xb8, 1);
		put(mc, gpa + 1, frame_tag(i), 4);
		put(mc, gpa + 5, 0xc3, 1);
	}
}

/* The tables as the script begins, and what an earlier one has written. */
static void build_tables(struct machine *mc, const struct model *m)
{
	unsigned int size = entry_size(m->paging), t, i;

	memset(at(mc, TABLES), 0, NR_TABLES * 4096);
	for (t = 0; t < NR_TABLES; t++) {
		for (i = 0; i < SLOTS; i++)
			put(mc, entry_gpa(m->paging, t, i), m->entry[t][i].value, size);
		if (m->paging == PAGING_PAE)
			memcpy(at(mc, TABLES + t * 4096), m->pdpte[t], 32);
		else if (m->paging >= PAGING_4)
			put(mc, TABLES + t * 4096, (m->paging == PAGING_4 ? HOME_PDPT : HOME_PML4) |
			    PTE_P | PTE_W | PTE_U, 8);
		else
			for (i = 0; i < 4; i++)
				put(mc, TABLES + t * 4096 + i * 4,
				    (HOME_PT32 + i * 4096) | PTE_P | PTE_W | PTE_U, 4);
	}
	for (i = 0; i < NR_FRAMES; i++)
		put(mc, frame_gpa(i) + WORD_OFFSET, m->word[i].value, 4);
}

static uint64_t ops_gpa(unsigned int cpu)
{
	return OPS + cpu * 0x10000;
}

static uint64_t results_gpa(unsigned int cpu)
{
	return RESULTS + cpu * 0x10000;
}

const struct result *machine_result(const struct machine *mc, unsigned int cpu, unsigned int i)
{
	return (const void *)at(mc, results_gpa(cpu) + i * sizeof(struct result));
}

/* ------------------------------ vCPUs ------------------------------ */

static struct kvm_segment flat(uint16_t selector, uint8_t type, bool l)
{
	return (struct kvm_segment){
		.selector = selector, .limit = 0xffffffff, .type = type, .present = 1, .s = 1,
		.g = 1, .l = l, .db = !l, .dpl = selector & 3,
	};
}

static void set_registers(struct machine *mc, const struct script *s, unsigned int i)
{
	const struct cpu *cpu = &s->start.cpu[i];
	bool wide = s->start.paging >= PAGING_4;
	struct vcpu *v = &mc->vm.vcpu[i];
	struct kvm_sregs sregs = vcpu_sregs(v);
	struct kvm_regs regs = {
		.rip = (uintptr_t)(wide ? oracle64_start : oracle32_start),
		.rsp = CONTEXT + (i + 1) * 4096,
		.rbp = CONTEXT + i * 4096,
		.rflags = FLAGS_FIXED,
	};

	sregs.cs = flat(wide ? SEL_CODE64 : SEL_CODE32, 0xb, wide);
	/* IRET to ring 3 empties those that ring 3 may not have. */
	sregs.ds = sregs.es = sregs.fs = sregs.gs = flat(SEL_UDATA, 0x3, false);
	sregs.ss = flat(SEL_DATA, 0x3, false);
	sregs.tr = (struct kvm_segment){
		.selector = SEL_TSS, .base = (wide ? TSS64 : TSS32) + i * 256, .limit = 0x67,
		/* QEMU's CPU takes a busy one that VMRUN has loaded for none, and gives up. */
		.type = on_tcg() ? 9 : 0xb, .present = 1,
	};
	sregs.ldt = (struct kvm_segment){ .unusable = 1, .type = 2 };
	sregs.gdt.base = GPA_GDT;
	sregs.gdt.limit = 0xfff;
	sregs.idt.base = wide ? IDT64 : IDT32;
	sregs.idt.limit = 0xfff;
	sregs.cr0 = cpu->cr0;
	sregs.cr3 = cpu->cr3;
	sregs.cr4 = cpu->cr4;
	sregs.efer = cpu->efer;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &sregs));
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
}

static void load_script(struct machine *mc, const struct script *s)
{
	unsigned int i;

	build_tables(mc, &s->start);
	memset(at(mc, TURN), 0, 4);
	for (i = 0; i < s->cpus; i++) {
		uint64_t context[3] = { ops_gpa(i), results_gpa(i) };

		memcpy(at(mc, CONTEXT + i * 4096), context, sizeof(context));
		memcpy(at(mc, ops_gpa(i)), s->op[i], s->nr[i] * sizeof(struct op));
		memset(at(mc, results_gpa(i)), 0, s->nr[i] * sizeof(struct result));
		set_registers(mc, s, i);
	}
}

static bool lost(struct machine *mc, struct vcpu *v)
{
	struct op op;
	uint64_t gpa;
	uint32_t vector;

	memcpy(&gpa, at(mc, CONTEXT + v->id * 4096 + CONTEXT_OP), sizeof(gpa));
	memcpy(&op, at(mc, gpa), sizeof(op));
	ktap_diag("vCPU %d at its op %u of kind %u, %#llx, %#llx, %#llx", v->id,
		  (unsigned int)((gpa - ops_gpa(v->id)) / sizeof(op)), op.kind,
		  (unsigned long long)op.addr, (unsigned long long)op.value,
		  (unsigned long long)op.more);
	if (guest_said(v, PORT_FAIL, &vector))
		ktap_diag("its stub met vector %u", vector);
	vcpu_diag(v);
	return false;
}

/* Until the vCPU gives its turn away, or has done all: *@end. */
static bool run_turn(struct machine *mc, unsigned int cpu, bool *end)
{
	struct vcpu *v = &mc->vm.vcpu[cpu];
	int r = vcpu_run_raw(v);

	if (r < 0)
		ktap_diag("KVM_RUN: %s", strerror(errno));
	if (r < 0 || v->run->exit_reason != KVM_EXIT_IO)
		return lost(mc, v);
	*end = guest_said(v, PORT_DONE, NULL);
	return *end || guest_said(v, PORT_SYNC, NULL) || lost(mc, v);
}

static bool run_in_turn(struct machine *mc, const struct script *s)
{
	bool end[MAX_CPUS] = { false, s->cpus == 1 };
	unsigned int i = 0;

	while (!end[0] || !end[1]) {
		if (!end[i] && !run_turn(mc, i, &end[i]))
			return false;
		i ^= 1;
	}
	return true;
}

static void *run_other(void *arg)
{
	bool end;

	return run_turn(arg, 1, &end) ? arg : NULL;
}

static bool run_at_once(struct machine *mc)
{
	pthread_t other;
	void *good;
	bool end;

	ASSERT(!pthread_create(&other, NULL, run_other, mc));
	if (!run_turn(mc, 0, &end))
		return false;
	ASSERT(!pthread_join(other, &good));
	return good;
}

/* A guest that does not come back is lost, too. */
static void stop_waiting(int sig)
{
	unsigned int i;

	(void)sig;
	for (i = 0; i < MAX_CPUS; i++)
		running->vm.vcpu[i].run->immediate_exit = 1;
	alarm(1);
}

static void wait_at_most(struct machine *mc, unsigned int seconds)
{
	struct sigaction act = { .sa_handler = stop_waiting };

	running = mc;
	ASSERT(!sigaction(SIGALRM, &act, NULL));
	alarm(seconds);
}

/* ------------------------------ live switches ------------------------------ */

/* To another mode than it has. A vCPU may still be on its way. */
static void switch_once(struct machine *mc, unsigned int *random)
{
	uint32_t mode, now;

	ASSERT(!ioctl(mc->vm.fd, UMBRA_GET_MMU, &now));
	do {
		mode = rand_r(random) % (UMBRA_MMU_SHADOW_EAGER + 1);
	} while (!(mc->allowed >> mode & 1) || mode == now);
	if (!ioctl(mc->vm.fd, UMBRA_SET_MMU, &mode))
		mc->switches++;
	else
		ASSERT(errno == EBUSY);
}

static void *keep_switching(void *arg)
{
	struct machine *mc = arg;
	unsigned int random = mc->switches;

	while (!__atomic_load_n(&mc->stop, __ATOMIC_RELAXED)) {
		switch_once(mc, &random);
		usleep(rand_r(&random) % 512);
	}
	return NULL;
}

static void start_switching(struct machine *mc, const struct script *s)
{
	unsigned int random = mc->switches;

	if (!mc->modes)
		return;
	mc->allowed = mc->modes;
	/* What its walk marks in PDPTEs is refused when they are loaded by us. */
	if (s->start.paging == PAGING_PAE && s->start.have->marks_pdptes)
		mc->allowed &= ~(1u << UMBRA_MMU_HARDWARE);
	mc->stop = false;
	switch_once(mc, &random);
	ASSERT(!pthread_create(&mc->switcher, NULL, keep_switching, mc));
}

static void end_switching(struct machine *mc)
{
	if (!mc->modes)
		return;
	__atomic_store_n(&mc->stop, true, __ATOMIC_RELAXED);
	ASSERT(!pthread_join(mc->switcher, NULL));
}

void machine_switch(struct machine *mc, uint32_t modes)
{
	mc->modes = modes;
}

unsigned long machine_switches(const struct machine *mc)
{
	return mc->switches;
}

bool machine_run(struct machine *mc, const struct script *s)
{
	bool good;

	load_script(mc, s);
	wait_at_most(mc, LONGEST * ktap_env("KTAP_SLOWER", 1));
	start_switching(mc, s);
	good = s->cpus == 2 && s->start.have->two_cpus ? run_at_once(mc) : run_in_turn(mc, s);
	end_switching(mc);
	alarm(0);
	return good;
}

uint32_t machine_modes(void)
{
	struct umbra_info info;
	int fd;

	if (!on_umbra())
		return 0;
	fd = dev_open();
	ASSERT(!ioctl(fd, UMBRA_GET_INFO, &info));
	close(fd);
	return info.modes & ~(1u << UMBRA_MMU_AUTO);
}

struct machine *machine_new(uint32_t mode)
{
	struct machine *mc = calloc(1, sizeof(*mc));
	unsigned int i;

	ASSERT(mc);
	vm_init(&mc->vm, 0);
	if (mode != UMBRA_MMU_AUTO)
		ASSERT(!ioctl(mc->vm.fd, UMBRA_SET_MMU, &mode));
	/* Where the guest has large pages there, so has the host, which has small ones elsewhere. */
	mc->high = map_aligned(HIGH_SIZE, 2 << 20);
	madvise(mc->high, HIGH_SIZE, MADV_HUGEPAGE);
	ASSERT(!vm_slot(&mc->vm, 1, 0, HIGH + DATA, HIGH_SIZE, mc->high));
	for (i = 0; i < MAX_CPUS; i++)
		vm_vcpu(&mc->vm, i);
	build_home(mc);
	build_gates(mc);
	build_frames(mc);
	return mc;
}

void machine_free(struct machine *mc)
{
	vm_free(&mc->vm);
	munmap(mc->high, HIGH_SIZE);
	free(mc);
}
