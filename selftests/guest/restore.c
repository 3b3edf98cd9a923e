// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that looks at all that it has, again and again, while it is saved at random
 * points and restored in a new process each time: it must not notice.
 * RESTORES= how often (500), SEED= of the points.
 */
#define _GNU_SOURCE
#include <asm/kvm_para.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PORT_TELL	0x600
#define PORT_ASK	0x604
#define LAPIC_VECTOR	0x61
#define DEADLINE_VECTOR	0x62
#define PIT_VECTOR	0x30
#define CLOCK_GPA	GPA_TEST
#define STEAL_GPA	(GPA_TEST + 0x1000)
#define NOWHERE		(GPA_HOLE + 0x200000)
#define HOLD		300		/* loops that hold registers */
#define MSRS_MAX	255
#define CLOCK_STABLE	1
#define SLACK_NS	100000000ULL

struct clock_page {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

/* ---- the guest ---- */

static volatile uint64_t g_rounds, g_lapic_ticks, g_deadlines, g_pit_ticks, g_halts;
static volatile uint64_t g_step;
static uint64_t g_vectors[16][2], g_stored[16][2];

static const struct { uint32_t msr; uint64_t value; } msrs[] = {
	{ MSR_STAR, 0x0023001000000000 }, { MSR_LSTAR, 0xffffffff81234567 },
	{ MSR_CSTAR, 0xffffffff89abcdef }, { MSR_SFMASK, 0x47700 },
	{ MSR_KERNEL_GS_BASE, 0xffff888012345678 }, { MSR_FS_BASE, 0x7fff12345000 },
	{ MSR_SYSENTER_CS, 0x10 }, { MSR_SYSENTER_ESP, 0xffffffff80001000 },
	{ MSR_SYSENTER_EIP, 0xffffffff80002000 }, { MSR_PAT, 0x0007040600010406 },
	{ 0x250, 0x0606060606060606 }, { 0x2ff, 0xc06 }, { MSR_KVM_PV_EOI_EN, STEAL_GPA + 0x101 },
	{ MSR_KVM_STEAL_TIME, STEAL_GPA | 1 }, { MSR_KVM_POLL_CONTROL, 0 },
	{ MSR_KVM_SYSTEM_TIME_NEW, CLOCK_GPA | 1 },
};

static void on_lapic(struct frame *f)
{
	(void)f;
	g_lapic_ticks++;
	apic_eoi();
}

static void arm_deadline(void)
{
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 300000);
}

static void on_pit(struct frame *f)
{
	(void)f;
	g_pit_ticks++;
	outb(0x20, 0x20);
}

static void on_deadline(struct frame *f)
{
	(void)f;
	g_deadlines++;
	apic_eoi();
	arm_deadline();
}

static volatile uint32_t g_deadline_mode;

static void set_up(void)
{
	const uint16_t count = 1193182 / 500;
	unsigned int i;

	/* First: QEMU ends at a MOV to CR8 while an interrupt waits (errata). */
	write_cr8(1);
	g_handlers[LAPIC_VECTOR] = on_lapic;
	g_handlers[DEADLINE_VECTOR] = on_deadline;
	g_handlers[PIT_VECTOR] = on_pit;
	guest_pic_init(PIT_VECTOR, 1);
	outb(0x43, 0x34);
	outb(0x40, (uint8_t)count);
	outb(0x40, count >> 8);
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	if (g_deadline_mode) {
		apic_write(APIC_LVTT, 2u << 17 | DEADLINE_VECTOR);
		arm_deadline();
	} else {
		apic_write(APIC_LVTT, 1u << 17 | LAPIC_VECTOR);
		apic_write(APIC_TMICT, 1000000);
	}
	for (i = 0; i < ARRAY_SIZE(msrs); i++)
		wrmsr(msrs[i].msr, msrs[i].value);
	asm volatile("mov %0, %%dr0; mov %1, %%dr3" : : "r"(0x1234500UL), "r"(0x6789a00UL));
	sti();
}

/* General registers that stay what they were while interrupts come. */
static void hold_registers(uint64_t x)
{
	uint64_t same;

	asm volatile("push %%rbp\n\t"
		     "mov %1, %%rax\n\t"
		     "lea 1(%%rax), %%rbx\n\t lea 2(%%rax), %%rdx\n\t lea 3(%%rax), %%rsi\n\t"
		     "lea 4(%%rax), %%rdi\n\t lea 5(%%rax), %%r8\n\t lea 6(%%rax), %%r9\n\t"
		     "lea 7(%%rax), %%r10\n\t lea 8(%%rax), %%r11\n\t lea 9(%%rax), %%r12\n\t"
		     "lea 10(%%rax), %%r13\n\t lea 11(%%rax), %%r14\n\t lea 12(%%rax), %%rbp\n\t"
		     "mov %2, %%ecx\n"
		     "1: dec %%ecx\n\t jnz 1b\n\t"
		     "sub %%rax, %%rbx\n\t sub %%rax, %%rdx\n\t sub %%rax, %%rsi\n\t"
		     "sub %%rax, %%rdi\n\t sub %%rax, %%r8\n\t sub %%rax, %%r9\n\t"
		     "sub %%rax, %%r10\n\t sub %%rax, %%r11\n\t sub %%rax, %%r12\n\t"
		     "sub %%rax, %%r13\n\t sub %%rax, %%r14\n\t sub %%rax, %%rbp\n\t"
		     "shl $4, %%rdx\n\t shl $8, %%rsi\n\t shl $12, %%rdi\n\t shl $16, %%r8\n\t"
		     "shl $20, %%r9\n\t shl $24, %%r10\n\t shl $28, %%r11\n\t shl $32, %%r12\n\t"
		     "shl $36, %%r13\n\t shl $40, %%r14\n\t shl $44, %%rbp\n\t"
		     "or %%rdx, %%rbx\n\t or %%rsi, %%rbx\n\t or %%rdi, %%rbx\n\t"
		     "or %%r8, %%rbx\n\t or %%r9, %%rbx\n\t or %%r10, %%rbx\n\t"
		     "or %%r11, %%rbx\n\t or %%r12, %%rbx\n\t or %%r13, %%rbx\n\t"
		     "or %%r14, %%rbx\n\t or %%rbp, %%rbx\n\t"
		     "mov %%rbx, %%rax\n\t"
		     "pop %%rbp"
		     : "=&a"(same) : "r"(x), "i"(HOLD)
		     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
		       "r13", "r14", "memory", "cc");
	GUEST_ASSERT(same == 0xcba987654321);
}

#define EACH_XMM(op)								\
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)				\
	op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD(n)		"movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n)	"movups %%xmm" #n ", " #n "*16(%1)\n\t"

static void hold_vectors(uint64_t x)
{
	int64_t number = (int64_t)(x & 0xffffff), back;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		g_vectors[i][0] = x * (i + 1);
		g_vectors[i][1] = ~x + i;
	}
	asm volatile("fildll %3\n\t"
		     EACH_XMM(LOAD)
		     "mov %4, %%ecx\n"
		     "1: dec %%ecx\n\t jnz 1b\n\t"
		     EACH_XMM(STORE)
		     "fistpll %2"
		     : : "r"(g_vectors), "r"(g_stored), "m"(back), "m"(number), "i"(HOLD)
		     : "rcx", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
		       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
		       "xmm14", "xmm15");
	GUEST_ASSERT(*(volatile int64_t *)&back == number);
	for (i = 0; i < 16; i++)
		GUEST_ASSERT(g_stored[i][0] == x * (i + 1) && g_stored[i][1] == ~x + i);
}

static uint64_t clock_now(void)
{
	volatile struct clock_page *t = (void *)CLOCK_GPA;
	uint64_t delta, ns;
	uint32_t version;

	do {
		version = t->version & ~1U;
		asm volatile("" : : : "memory");
		delta = rdtsc() - t->tsc_timestamp;
		delta = t->shift >= 0 ? delta << t->shift : delta >> -t->shift;
		ns = t->system_time + (uint64_t)((unsigned __int128)delta * t->mul >> 32);
		asm volatile("" : : : "memory");
	} while (version != t->version);
	return ns;
}

static volatile uint64_t g_last_ns, g_ns, g_clock_flags;

static void look_at_time(void)
{
	volatile struct clock_page *page = (void *)CLOCK_GPA;
	static uint64_t last_tsc, last_ns;
	uint64_t tsc = rdtsc(), ns = clock_now();

	g_last_ns = last_ns;
	g_ns = ns;
	g_clock_flags = page->flags;
	GUEST_ASSERT(tsc > last_tsc);
	/* On a host whose clock is not its TSC the page runs ahead between two updates. */
	GUEST_ASSERT(ns + (page->flags & CLOCK_STABLE ? 0 : SLACK_NS) >= last_ns);
	last_tsc = tsc;
	last_ns = ns;
}

static void look_at_state(void)
{
	uint64_t dr0, dr3;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msrs); i++)
		GUEST_ASSERT(rdmsr(msrs[i].msr) == msrs[i].value);
	asm volatile("mov %%dr0, %0; mov %%dr3, %1" : "=r"(dr0), "=r"(dr3));
	GUEST_ASSERT(dr0 == 0x1234500 && dr3 == 0x6789a00);
	GUEST_ASSERT(read_cr8() == 1);
	GUEST_ASSERT(apic_read(APIC_TDCR) == 0xb && inb(0x21) == 0xfe);
}

/* Each is raised and handled exactly once. */
static void raise_faults(void)
{
	GUEST_TRY("ud2");
	GUEST_ASSERT(g_vector == UD_VECTOR);
	GUEST_TRY("int3");
	GUEST_ASSERT(g_vector == BP_VECTOR);
	GUEST_TRY("movq (%0), %%rax", : : "r"(1ULL << 40) : "rax", "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_cr2 == 1ULL << 40);
	GUEST_TRY("movq (%0), %%rax", : : "r"(1ULL << 63) : "rax", "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR && !g_error);
}

static void busy_guest(void)
{
	uint64_t x;

	set_up();
	for (;;) {
		x = (g_rounds + 1) * 0x9e3779b97f4a7c15;
		g_step = 1;
		hold_registers(x);
		g_step = 2;
		hold_vectors(x);
		g_step = 3;
		look_at_time();
		look_at_state();
		g_step = 4;
		raise_faults();
		g_step = 5;
		outl(PORT_TELL, (uint32_t)x);
		GUEST_ASSERT(inl(PORT_ASK) == (uint32_t)~x);
		g_step = 6;
		*(volatile uint32_t *)NOWHERE = (uint32_t)x;
		GUEST_ASSERT(*(volatile uint32_t *)NOWHERE == (uint32_t)x + 1);
		if (!(g_rounds % 4)) {
			g_halts++;
			asm volatile("hlt" : : : "memory");
		}
		g_rounds++;
	}
}

/* ---- saved state, which the processes share ---- */

struct saved {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_debugregs debug;
	struct kvm_xcrs xcrs;
	struct kvm_lapic_state lapic;
	struct kvm_irqchip chips[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	struct { struct kvm_msrs head; struct kvm_msr_entry entries[MSRS_MAX]; } msrs;
	uint8_t xsave[16384];
	uint32_t told, mmio;		/* of the test's own devices */
};

static struct saved *saved;
static uint8_t *memory;

#define DO(call) ASSERT_MSG((call) >= 0, "%s: %s", #call, strerror(errno))

static void save(struct vm *vm, struct vcpu *v)
{
	int i;

	DO(ioctl(v->fd, KVM_GET_MP_STATE, &saved->mp));
	DO(ioctl(v->fd, KVM_GET_REGS, &saved->regs));
	DO(ioctl(v->fd, KVM_GET_SREGS, &saved->sregs));
	DO(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &saved->events));
	DO(ioctl(v->fd, KVM_GET_DEBUGREGS, &saved->debug));
	DO(ioctl(v->fd, KVM_GET_XCRS, &saved->xcrs));
	DO(ioctl(v->fd, KVM_GET_XSAVE2, saved->xsave));
	DO(ioctl(v->fd, KVM_GET_LAPIC, &saved->lapic));
	EXPECT_EQ(ioctl(v->fd, KVM_GET_MSRS, &saved->msrs), saved->msrs.head.nmsrs);
	for (i = 0; i < 3; i++) {
		saved->chips[i].chip_id = (uint32_t)i;
		DO(ioctl(vm->fd, KVM_GET_IRQCHIP, &saved->chips[i]));
	}
	DO(ioctl(vm->fd, KVM_GET_PIT2, &saved->pit));
	DO(ioctl(vm->fd, KVM_GET_CLOCK, &saved->clock));
	saved->clock.flags = 0;
}

/* A vCPU with TSC deadlines, which are the VMM's to offer. */
static struct vcpu *with_deadline(struct vm *vm)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vcpu *v = vm_vcpu_raw(vm, 0);

	cpuid_find(c, 1, 0)->ecx |= BIT(24);
	vcpu_set_cpuid(v, c);
	return v;
}

/* In the order that Documentation/api.rst has. */
static struct vcpu *restore(struct vm *vm)
{
	struct vcpu *v;
	int i;

	vm_init(vm, VM_IRQCHIP | VM_PIT | VM_NO_MEMORY);
	ASSERT(!vm_slot(vm, 0, 0, 0, MEM_SIZE, memory));
	vm->mem = memory;
	v = with_deadline(vm);
	DO(ioctl(v->fd, KVM_SET_SREGS, &saved->sregs));
	DO(ioctl(v->fd, KVM_SET_REGS, &saved->regs));
	DO(ioctl(v->fd, KVM_SET_XCRS, &saved->xcrs));
	DO(ioctl(v->fd, KVM_SET_XSAVE, saved->xsave));
	DO(ioctl(v->fd, KVM_SET_LAPIC, &saved->lapic));
	EXPECT_EQ(ioctl(v->fd, KVM_SET_MSRS, &saved->msrs), saved->msrs.head.nmsrs);
	DO(ioctl(v->fd, KVM_SET_DEBUGREGS, &saved->debug));
	DO(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &saved->events));
	DO(ioctl(v->fd, KVM_SET_MP_STATE, &saved->mp));
	for (i = 0; i < 3; i++)
		DO(ioctl(vm->fd, KVM_SET_IRQCHIP, &saved->chips[i]));
	DO(ioctl(vm->fd, KVM_SET_PIT2, &saved->pit));
	DO(ioctl(vm->fd, KVM_SET_CLOCK, &saved->clock));
	return v;
}

/* ---- one life ---- */

static struct kvm_run *running;
static volatile bool time_is_up;

static void stop(int sig)
{
	(void)sig;
	time_is_up = true;
	running->immediate_exit = 1;
}

/* What the guest asks of its devices; false: it has found something wrong. */
static bool serve(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint32_t value;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (guest_said(v, PORT_TELL, &value)) {
			saved->told = value;
			return true;
		}
		if (run->io.port == PORT_ASK) {
			value = ~saved->told;
			memcpy(io_data(v), &value, sizeof(value));
			return true;
		}
		break;
	case KVM_EXIT_MMIO:
		value = saved->mmio + 1;
		if (run->mmio.is_write)
			memcpy(&saved->mmio, run->mmio.data, sizeof(saved->mmio));
		else
			memcpy(run->mmio.data, &value, sizeof(value));
		return true;
	case KVM_EXIT_INTR:
		return true;
	}
	vcpu_diag(v);
	return false;
}

/* An exit's answer is taken by the next KVM_RUN, which then goes no further. */
static void finish_io(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	while (!vcpu_run_raw(v))
		ASSERT(serve(v));
	ASSERT(errno == EINTR);
	v->run->immediate_exit = 0;
}

/*
 * Up to a random point: a number of exits, so that each life goes on from the one before,
 * and then a moment of time.
 */
static void live(struct vcpu *v)
{
	struct itimerval on = { .it_interval.tv_usec = 20000 }, off = { 0 };
	struct sigaction act = { .sa_handler = stop };
	long exits = random() % 12;

	running = v->run;
	on.it_value.tv_usec = 1 + random() % 2000;
	while (exits-- && !vcpu_run_raw(v))
		ASSERT(serve(v));
	ASSERT(!sigaction(SIGALRM, &act, NULL));
	ASSERT(!setitimer(ITIMER_REAL, &on, NULL));
	while (!time_is_up) {
		if (!vcpu_run_raw(v))
			ASSERT(serve(v));
		else
			ASSERT(errno == EINTR);
	}
	ASSERT(!setitimer(ITIMER_REAL, &off, NULL));
	v->run->immediate_exit = 0;
	finish_io(v);
}

static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT(p != MAP_FAILED);
	return p;
}

/* The guest's first state. */
static void begin(bool deadline)
{
	struct { struct kvm_msr_list head; uint32_t index[512]; } list = { .head.nmsrs = 512 };
	struct vm vm;
	struct vcpu *v;
	uint32_t i;

	vm_init(&vm, VM_IRQCHIP | VM_PIT);
	v = with_deadline(&vm);
	vcpu_long_mode(v, busy_guest);

	ASSERT(dev_cap(KVM_CAP_XSAVE2) <= (int)sizeof(saved->xsave));
	saved = shared(sizeof(*saved));
	memory = shared(MEM_SIZE);
	G(&vm, g_deadline_mode) = deadline;
	memcpy(memory, vm.mem, MEM_SIZE);
	ASSERT(!ioctl(vm.sys, KVM_GET_MSR_INDEX_LIST, &list));
	ASSERT(list.head.nmsrs <= MSRS_MAX);
	saved->msrs.head.nmsrs = list.head.nmsrs;
	for (i = 0; i < list.head.nmsrs; i++)
		saved->msrs.entries[i].index = list.head.indices[i];
	save(&vm, v);
	vm_free(&vm);
}

static bool alive(pid_t pid)
{
	int status;

	ASSERT(waitpid(pid, &status, 0) == pid);
	return !status;
}

#define SHARED_G(var) (*(__typeof__(var) *)(memory + (uintptr_t)&(var)))

/* Ticks of each kind, rounds: what must go on. */
static bool goes_on(uint64_t rounds, uint64_t timer, uint64_t pit)
{
	return SHARED_G(g_rounds) > rounds && SHARED_G(g_pit_ticks) > pit &&
	       SHARED_G(g_lapic_ticks) + SHARED_G(g_deadlines) > timer;
}

static const struct timer { const char *name; bool deadline; } timers[] = {
	{ "a periodic timer", false },
	{ "TSC deadlines", true },
};

TEST_EACH_SECONDS(restored, "saved at random points and restored in a new process each time, with ",
		  timers, t, 240)
{
	long i, lives = ktap_env("RESTORES", 500) / 2, seed = ktap_env("SEED", 1);
	uint64_t rounds = 0, timer = 0, pit = 0;
	bool on = true;
	pid_t pid;

	NEED_CAP(KVM_CAP_XSAVE2);
	begin(t->deadline);
	/* Then until it is seen to go on: each life may be too short for that. */
	for (i = 0; on && (i < lives || !goes_on(rounds, timer, pit)); i++) {
		if (i == lives - 1) {
			rounds = SHARED_G(g_rounds);
			timer = SHARED_G(g_lapic_ticks) + SHARED_G(g_deadlines);
			pit = SHARED_G(g_pit_ticks);
		}
		pid = fork();
		ASSERT(pid >= 0);
		if (!pid) {
			struct vm vm;
			struct vcpu *v;

			srandom((unsigned int)(seed * 100003 + i));
			v = restore(&vm);
			live(v);
			save(&vm, v);
			_exit(ktap_failed());
		}
		on = alive(pid);
	}
	EXPECT_MSG(on, "life %ld of seed %ld; its clock last %llu, then %llu, flags %llu", i, seed,
		   (unsigned long long)SHARED_G(g_last_ns), (unsigned long long)SHARED_G(g_ns),
		   (unsigned long long)SHARED_G(g_clock_flags));
	ktap_diag("%ld lives, %llu rounds, %llu halts, %llu and %llu ticks", i,
		  (unsigned long long)SHARED_G(g_rounds), (unsigned long long)SHARED_G(g_halts),
		  (unsigned long long)timer, (unsigned long long)pit);
}
