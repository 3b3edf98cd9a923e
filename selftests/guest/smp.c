// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several vCPUs: whom an IPI reaches in each mode of the local APIC, INIT and SIPI, locked
 * instructions, shoot-downs, and threads that move between the host's CPUs.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define CPUS		4
#define VECTOR		0x81
#define FENCE		0x41	/* of a lower class: it comes after VECTOR */
#define ICR_ASSERT	0x4000u
#define ICR_LOGICAL	0x800u
#define ICR_LOWEST	0x100u
#define ICR_NMI		0x400u
#define ICR_INIT	0x500u
#define ICR_SIPI	0x600u
#define ICR_SELF	(1u << 18)
#define ICR_ALL		(2u << 18)
#define ICR_OTHERS	(3u << 18)
#define MSR_X2APIC_ICR	0x830

enum mode { FLAT, CLUSTER, X2APIC };

/* What the host tells the guest. */
static volatile uint32_t g_mode, g_icr, g_dest, g_want_mask, g_one_of;
static volatile uint32_t g_up, g_hits[CPUS], g_fences[CPUS];

static uint32_t my_id(void)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2)
		return rdmsr(0x802);
	return apic_read(APIC_ID) >> 24;
}

static void end_of_interrupt(void)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2)
		wrmsr(0x80b, 0);
	else
		apic_eoi();
}

static void send(uint32_t icr, uint32_t dest)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2) {
		wrmsr(MSR_X2APIC_ICR, (uint64_t)dest << 32 | icr);
		return;
	}
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, icr);
}

static void hit(struct frame *f)
{
	__atomic_fetch_add(&g_hits[my_id()], 1, __ATOMIC_SEQ_CST);
	if (f->vector != 2)
		end_of_interrupt();
}

static void fence(struct frame *f)
{
	(void)f;
	__atomic_fetch_add(&g_fences[my_id()], 1, __ATOMIC_SEQ_CST);
	end_of_interrupt();
}

static void apic_in_mode(void)
{
	uint32_t id;

	apic_on();
	id = my_id();
	if (g_mode == X2APIC) {
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
		return;
	}
	apic_write(APIC_DFR, g_mode == FLAT ? 0xffffffff : 0x0fffffff);
	apic_write(APIC_LDR, (g_mode == FLAT ? 1u << id : (id >> 1) << 4 | 1u << (id & 1)) << 24);
}

static void receiver(void)
{
	apic_in_mode();
	__atomic_fetch_add(&g_up, 1, __ATOMIC_SEQ_CST);
	sti();
	for (;;)
		asm volatile("hlt");
}

static bool all_came(void)
{
	uint32_t i, sum = 0;

	for (i = 0; i < CPUS; i++) {
		sum += g_hits[i];
		if (!g_one_of && (g_want_mask >> i & 1) && !g_hits[i])
			return false;
	}
	return !g_one_of || sum;
}

static void sender(void)
{
	uint32_t i;

	g_handlers[2] = hit;
	g_handlers[VECTOR] = hit;
	g_handlers[FENCE] = fence;
	apic_in_mode();
	__atomic_fetch_add(&g_up, 1, __ATOMIC_SEQ_CST);
	while (g_up != CPUS)
		cpu_relax();
	sti();
	send(g_icr, g_dest);
	while (!all_came())
		cpu_relax();
	/* What went to nobody's right has come before this one. */
	for (i = 0; i < CPUS; i++)
		send(ICR_ASSERT | FENCE, i);
	for (i = 0; i < CPUS; i++)
		while (!g_fences[i])
			cpu_relax();
	guest_done();
}

/* A vCPU that was started by SIPI comes back once, with EAGAIN. */
static void *run_ap(void *arg)
{
	while (vcpu_run_raw(arg) && errno == EAGAIN)
		;
	return NULL;
}

/* Start vCPU @id at @entry in a thread of its own; the test's end ends it. */
static pthread_t start_ap_with(struct vm *vm, int id, void (*entry)(void),
			       struct kvm_cpuid2 *cpuid)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vcpu *ap = vm_vcpu_raw(vm, id);
	pthread_t t;

	vcpu_set_cpuid(ap, cpuid);
	if (entry) {
		vcpu_long_mode(ap, entry);
		ASSERT(!ioctl(ap->fd, KVM_SET_MP_STATE, &mp));
	}
	ASSERT(!pthread_create(&t, NULL, run_ap, ap));
	return t;
}

static pthread_t start_ap(struct vm *vm, int id, void (*entry)(void))
{
	return start_ap_with(vm, id, entry, supported_cpuid());
}

static const struct dest {
	const char *name;
	enum mode mode;
	uint32_t icr, dest;
	uint32_t mask;
	bool one_of;		/* exactly one of the mask */
} dests[] = {
	{ "flat, two of four", FLAT, ICR_LOGICAL, 0x05, 0x5 },
	{ "flat, one", FLAT, ICR_LOGICAL, 0x02, 0x2 },
	{ "flat, nobody", FLAT, ICR_LOGICAL, 0x80, 0 },
	{ "flat, broadcast", FLAT, ICR_LOGICAL, 0xff, 0xf },
	{ "flat, lowest priority", FLAT, ICR_LOGICAL | ICR_LOWEST, 0x0e, 0xe, true },
	{ "cluster 0, both", CLUSTER, ICR_LOGICAL, 0x03, 0x3 },
	{ "cluster 1, one", CLUSTER, ICR_LOGICAL, 0x12, 0x8 },
	{ "cluster 1, all members", CLUSTER, ICR_LOGICAL, 0x1f, 0xc },
	{ "cluster 2, nobody", CLUSTER, ICR_LOGICAL, 0x21, 0 },
	{ "cluster, broadcast", CLUSTER, ICR_LOGICAL, 0xff, 0xf },
	{ "xAPIC, physical", FLAT, 0, 3, 0x8 },
	{ "xAPIC, physical, nobody", FLAT, 0, 9, 0 },
	{ "xAPIC, physical broadcast", FLAT, 0, 0xff, 0xf },
	{ "xAPIC, self", FLAT, ICR_SELF, 0, 0x1 },
	{ "xAPIC, all", FLAT, ICR_ALL, 0, 0xf },
	{ "xAPIC, all others", FLAT, ICR_OTHERS, 0, 0xe },
	{ "xAPIC, NMI to all others", FLAT, ICR_OTHERS | ICR_NMI, 0, 0xe },
	{ "x2APIC, logical, two of four", X2APIC, ICR_LOGICAL, 0xa, 0xa },
	{ "x2APIC, logical, another cluster", X2APIC, ICR_LOGICAL, 0x1000f, 0 },
	{ "x2APIC, logical broadcast", X2APIC, ICR_LOGICAL, 0xffffffff, 0xf },
	{ "x2APIC, lowest priority", X2APIC, ICR_LOGICAL | ICR_LOWEST, 0x6, 0x6, true },
	{ "x2APIC, physical", X2APIC, 0, 2, 0x4 },
	{ "x2APIC, physical, 0xff is an ID", X2APIC, 0, 0xff, 0 },
	{ "x2APIC, physical broadcast", X2APIC, 0, 0xffffffff, 0xf },
	{ "x2APIC, self", X2APIC, ICR_SELF, 0, 0x1 },
	{ "x2APIC, all", X2APIC, ICR_ALL, 0, 0xf },
	{ "x2APIC, all others", X2APIC, ICR_OTHERS, 0, 0xe },
	{ "x2APIC, NMI to all others", X2APIC, ICR_OTHERS | ICR_NMI, 0, 0xe },
};

TEST_EACH(ipi_dest, "an IPI reaches those it names: ", dests, d)
{
	struct vm vm;
	struct vcpu *v;
	uint32_t i, sum = 0;

	if (d->mode == X2APIC && !(cpuid_find(supported_cpuid(), 1, 0)->ecx & BIT(21)))
		SKIP("the device does not offer x2APIC");
	v = vm_long_mode(&vm, VM_IRQCHIP, sender);
	G(&vm, g_mode) = d->mode;
	G(&vm, g_icr) = d->icr | ICR_ASSERT | (d->icr & ICR_NMI ? 0 : VECTOR);
	G(&vm, g_dest) = d->dest;
	G(&vm, g_want_mask) = d->mask;
	G(&vm, g_one_of) = d->one_of;
	for (i = 1; i < CPUS; i++)
		start_ap(&vm, (int)i, receiver);
	vcpu_run_to_end(v);
	for (i = 0; i < CPUS; i++) {
		uint32_t hits = G(&vm, g_hits[i]);

		sum += hits;
		if (!(d->mask >> i & 1) || !d->one_of)
			EXPECT_MSG(hits == (d->mask >> i & 1), "vCPU %u: %u interrupts", i, hits);
	}
	EXPECT_MSG(!d->one_of || sum == 1, "%u interrupts instead of one", sum);
}

/*
 * INIT and SIPI. Real-mode code that counts at 0x600 and spins: lock incb, then
 * PAUSE and a jump back to it: where several vCPUs share a CPU that can tell, Bochs's
 * zambezi, PAUSE is what ends the turn of one with interrupts off (errata).
 */
static const uint8_t count_and_spin[] = {
	0xf0, 0xfe, 0x06, 0x00, 0x06, 0xf3, 0x90, 0xeb, 0xfc,
};

static void starter(void)
{
	volatile uint8_t *count = (volatile uint8_t *)0x600;
	uint32_t round;

	apic_in_mode();
	/* From the second round on INIT takes them out of running code. */
	for (round = 1; round <= 3; round++) {
		send(ICR_OTHERS | ICR_ASSERT | ICR_INIT, 0);
		send(ICR_OTHERS | ICR_ASSERT | ICR_SIPI | GPA_CODE16 >> 12, 0);
		while (*count != round * (CPUS - 1))
			cpu_relax();
	}
	send(ICR_ASSERT | ICR_INIT, 3);
	send(ICR_ASSERT | ICR_SIPI | GPA_CODE16 >> 12, 3);
	while (*count != 10)
		cpu_relax();
	guest_done();
}

/* Two of three running vCPUs are named by their logical IDs; SIPI is for these alone. */
static void logical_starter(void)
{
	volatile uint8_t *count = (volatile uint8_t *)0x600;

	g_handlers[VECTOR] = hit;
	apic_in_mode();
	__atomic_fetch_add(&g_up, 1, __ATOMIC_SEQ_CST);
	while (g_up != CPUS)
		cpu_relax();
	send(ICR_LOGICAL | ICR_ASSERT | ICR_INIT, 0x6);
	send(ICR_OTHERS | ICR_ASSERT | ICR_SIPI | GPA_CODE16 >> 12, 0);
	while (*count != 2)
		cpu_relax();
	/* The last one still runs what it ran, and takes interrupts. */
	send(ICR_ASSERT | VECTOR, 3);
	while (!g_hits[3])
		cpu_relax();
	guest_done();
}

static void run_starter(void (*entry)(void), void (*others)(void), uint8_t want)
{
	struct vm vm;
	struct vcpu *v;
	int i;

	/* The started spin with IF clear: what shares their CPU would never run again. */
	host_needs("vmx-interrupts");
	v = vm_long_mode(&vm, VM_IRQCHIP, entry);
	memcpy(vm.mem + GPA_CODE16, count_and_spin, sizeof(count_and_spin));
	for (i = 1; i < CPUS; i++)
		start_ap(&vm, i, others);
	vcpu_run_to_end(v);
	EXPECT_EQ(vm.mem[0x600], want);
}

TEST_SECONDS(init_sipi, "INIT and SIPI to all others, three times over, and to one", 60)
{
	run_starter(starter, NULL, 10);
}

TEST_SECONDS(init_logical, "INIT by logical IDs; SIPI to a vCPU that runs is dropped", 60)
{
	run_starter(logical_starter, receiver, 2);
}

/* Locked additions to a word across a border, which the emulator does. */
#define ADDITIONS	2000
static volatile uint64_t *volatile g_sum;
static volatile uint32_t g_adders;

static void add_some(void)
{
	uint32_t i;

	for (i = 0; i < ADDITIONS; i++)
		asm volatile("lock; addq $1, %0" : "+m"(*g_sum));
	__atomic_fetch_add(&g_adders, 1, __ATOMIC_SEQ_CST);
}

static void adder(void)
{
	add_some();
	for (;;)
		asm volatile("hlt");
}

static void first_adder(void)
{
	add_some();
	while (g_adders != 2)
		cpu_relax();
	GUEST_ASSERT(*g_sum == 2 * ADDITIONS);
	guest_done();
}

static const struct border {
	const char *name;
	uint64_t at;
} borders[] = {
	{ "16 bytes", GPA_TEST + 13 }, { "pages", GPA_TEST + 4096 - 3 },
};

TEST_EACH_SECONDS(split_lock, "locked additions by two vCPUs, emulated, across ", borders, b, 60)
{
	struct vm vm;
	struct vcpu *v;

	emulator_alone(true);
	v = vm_long_mode(&vm, VM_IRQCHIP, first_adder);
	emulator_alone(false);
	G(&vm, g_sum) = (volatile uint64_t *)b->at;
	start_ap(&vm, 1, adder);
	vcpu_run_to_end(v);
}

/*
 * Shoot-downs. Vector: the readers drop their TLB entry of one page and say so; the
 * page that was there before is poisoned then, and nobody may read it any more. The
 * readers' threads move between the host's CPUs all the while.
 */
#define SHOOT_VA	0x40000000ULL	/* 1 GiB, where no memory is */
#define PAGE_A		(GPA_TEST + 0x1000)
#define PAGE_B		(GPA_TEST + 0x2000)
#define SHOT_ROUNDS	100
#define POISON		0xdeadULL

static volatile uint32_t g_acks, g_reads[CPUS];
static volatile uint64_t g_stale;

static void shot(struct frame *f)
{
	(void)f;
	invlpg(SHOOT_VA);
	__atomic_fetch_add(&g_acks, 1, __ATOMIC_SEQ_CST);
	end_of_interrupt();
}

static void reader(void)
{
	volatile uint64_t *page = (volatile uint64_t *)SHOOT_VA;
	uint32_t id;

	apic_in_mode();
	id = my_id();
	__atomic_fetch_add(&g_up, 1, __ATOMIC_SEQ_CST);
	sti();
	for (;;) {
		if (*page == POISON)
			g_stale++;
		g_reads[id]++;
	}
}

static void shooter(void)
{
	volatile uint64_t *pte = (volatile uint64_t *)GPA_PT + (SHOOT_VA >> 12 & 511);
	uint64_t pages[2] = { PAGE_A, PAGE_B };
	uint32_t round;

	g_handlers[VECTOR] = shot;
	apic_in_mode();
	__atomic_fetch_add(&g_up, 1, __ATOMIC_SEQ_CST);
	for (round = 1; round <= SHOT_ROUNDS; round++) {
		while (g_up != CPUS)
			cpu_relax();
		*(volatile uint64_t *)pages[round & 1] = round + POISON;
		*pte = pages[round & 1] | PTE_P | PTE_W;
		g_acks = 0;
		send(ICR_OTHERS | ICR_ASSERT | VECTOR, 0);
		while (g_acks != CPUS - 1)
			cpu_relax();
		*(volatile uint64_t *)pages[~round & 1] = POISON;
	}
	guest_done();
}

/* Moves threads from CPU to CPU until told to stop. */
struct mover {
	pthread_t threads[CPUS];
	unsigned int count;
	cpu_set_t cpus;
	atomic_bool stop;
	pthread_t self;
};

static void *move(void *arg)
{
	struct mover *m = arg;
	unsigned int step = 0, i;
	int cpu = 0;

	while (!atomic_load(&m->stop)) {
		do {
			cpu = (cpu + 1) % CPU_SETSIZE;
		} while (!CPU_ISSET(cpu, &m->cpus));
		for (i = 0; i < m->count; i++) {
			cpu_set_t one;

			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			/* Half of them here, half where they were, in turns. */
			if ((i ^ step) & 1)
				ASSERT(!pthread_setaffinity_np(m->threads[i], sizeof(one), &one));
		}
		step++;
		sleep_ms(1);
	}
	return NULL;
}

static void start_mover(struct mover *m)
{
	ASSERT(!sched_getaffinity(0, sizeof(m->cpus), &m->cpus));
	if (CPU_COUNT(&m->cpus) < 2)
		SKIP("the host has one CPU");
	m->threads[m->count++] = pthread_self();
	ASSERT(!pthread_create(&m->self, NULL, move, m));
}

static void stop_mover(struct mover *m)
{
	atomic_store(&m->stop, true);
	pthread_join(m->self, NULL);
}

static void shoot(bool moving)
{
	struct mover m = { .count = 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, shooter);
	uint64_t pde = GPA_PT | PTE_P | PTE_W, pte = PAGE_A | PTE_P | PTE_W;
	int i;

	memcpy(vm.mem + GPA_PD + (SHOOT_VA >> 21) * 8, &pde, sizeof(pde));
	memcpy(vm.mem + GPA_PT + (SHOOT_VA >> 12 & 511) * 8, &pte, sizeof(pte));
	for (i = 1; i < CPUS; i++)
		m.threads[m.count++] = start_ap(&vm, i, reader);
	if (moving)
		start_mover(&m);
	vcpu_run_to_end(v);
	if (moving)
		stop_mover(&m);
	EXPECT_EQ(G(&vm, g_stale), 0);
	for (i = 1; i < CPUS; i++)
		EXPECT(G(&vm, g_reads[i]) > 0);
}

TEST_SECONDS(shoot_still, "100 shoot-downs of a page that three vCPUs read (27)", 120)
{
	shoot(false);
}

TEST_SECONDS(shoot_moving, "100 shoot-downs while the threads move between CPUs (27)", 120)
{
	shoot(true);
}

/* Each vCPU's own timer, by count and by deadline, goes on wherever its thread is. */
#define TICKS		300

static volatile uint32_t g_ticks[CPUS], g_deadline;
static volatile uint64_t g_tsc_step;

static void arm(void)
{
	if (g_deadline)
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + g_tsc_step);
}

static void tick(struct frame *f)
{
	(void)f;
	g_ticks[my_id()]++;
	apic_eoi();
	arm();
}

static void ticking(void)
{
	uint32_t id = my_id();

	g_handlers[0x71] = tick;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x71 | (g_deadline ? 0x40000 : 0x20000));
	if (!g_deadline)
		apic_write(APIC_TMICT, 500000);
	arm();
	while (g_ticks[id] < TICKS) {
		sti();
		asm volatile("hlt");
		cli();
	}
	__atomic_fetch_add(&g_up, 1, __ATOMIC_SEQ_CST);
	if (!id) {
		while (g_up != 2)
			cpu_relax();
		guest_done();
	}
	for (;;)
		asm volatile("hlt");
}

static void run_ticking(bool deadline)
{
	struct mover m = { .count = 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, ticking);
	struct kvm_cpuid2 *c = supported_cpuid();
	int khz;

	/* The mode is there where the capability says so; CPUID is the VMM's to set. */
	cpuid_find(c, 1, 0)->ecx |= BIT(24);
	vcpu_set_cpuid(v, c);
	khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	ASSERT(khz > 0);
	G(&vm, g_deadline) = deadline;
	G(&vm, g_tsc_step) = (uint64_t)khz / 2;
	m.threads[m.count++] = start_ap_with(&vm, 1, ticking, c);
	start_mover(&m);
	vcpu_run_to_end(v);
	stop_mover(&m);
	EXPECT(G(&vm, g_ticks[0]) >= TICKS && G(&vm, g_ticks[1]) >= TICKS);
}

TEST_SECONDS(timer_moving, "the APIC timer of a vCPU whose thread moves: 300 periods", 120)
{
	run_ticking(false);
}

TEST_SECONDS(deadline_moving, "the TSC deadline of a vCPU whose thread moves: 300 times", 120)
{
	NEED_CAP(KVM_CAP_TSC_DEADLINE_TIMER);
	run_ticking(true);
}

/* The PIT's timer fires while userspace replaces its state, and its vCPU is anywhere. */
#define PIT_VECTOR	0x30
#define PIT_TICKS	60

static volatile uint32_t g_pit_ticks;

static void on_pit(struct frame *f)
{
	(void)f;
	g_pit_ticks++;
	outb(0x20, 0x20);
}

static void pit_listener(void)
{
	g_handlers[PIT_VECTOR] = on_pit;
	guest_pic_init(PIT_VECTOR, 1);
	outb(0x43, 0x34);
	outb(0x40, 1193 & 0xff);
	outb(0x40, 1193 >> 8);
	while (g_pit_ticks < PIT_TICKS)
		asm volatile("sti; hlt; cli" : : : "memory");
	guest_done();
}

struct resetter {
	struct vm *vm;
	atomic_bool stop;
	unsigned long times;
};

static void *set_pit_again(void *arg)
{
	struct resetter *r = arg;
	struct kvm_pit_state2 state;

	while (!atomic_load(&r->stop)) {
		ASSERT(!ioctl(r->vm->fd, KVM_GET_PIT2, &state));
		ASSERT(!ioctl(r->vm->fd, KVM_SET_PIT2, &state));
		r->times++;
		/* The guest's turn, where there is one CPU. */
		usleep(100);
	}
	return NULL;
}

static const struct pit_case { const char *name; bool moving; } pit_cases[] = {
	{ "a vCPU", false }, { "a vCPU whose thread moves", true },
};

TEST_EACH_SECONDS(pit_set_again, "SET_PIT2 again and again while the PIT interrupts (56) ",
		  pit_cases, c, 120)
{
	struct mover m = { .count = 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP | VM_PIT, pit_listener);
	struct resetter r = { .vm = &vm };
	pthread_t thread;

	if (c->moving)
		start_mover(&m);
	ASSERT(!pthread_create(&thread, NULL, set_pit_again, &r));
	vcpu_run_to_end(v);
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	if (c->moving)
		stop_mover(&m);
	EXPECT(r.times > 0);
}
