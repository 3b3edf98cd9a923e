// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that race. What is wanted is that nothing breaks: each call gives one
 * of the results it may give, and the host is alive and clean afterwards.
 * RACE_MS is how long each of them goes on.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define EXTRA	0x20000000ULL
#define PAGE	4096ULL

static volatile bool stop;

static void on_signal(int sig)
{
	(void)sig;
}

static void race_begin(void)
{
	struct sigaction act = { .sa_handler = on_signal };

	ASSERT(!sigaction(SIGUSR1, &act, NULL));
	stop = false;
}

static void race_for_a_while(void)
{
	sleep_ms(ktap_env("RACE_MS", 1000));
	stop = true;
}

static pthread_t start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	ASSERT(!pthread_create(&t, NULL, fn, arg));
	return t;
}

/* End a thread that is in RUN: the signal may come before it is there. */
static void end_runner(pthread_t t, struct vcpu *v)
{
	struct timespec until;

	do {
		v->run->immediate_exit = 1;
		pthread_kill(t, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 20000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
	} while (pthread_timedjoin_np(t, NULL, &until));
}

/* Runs until told to stop, whatever comes; a triple fault starts it anew. */
static void *runner(void *arg)
{
	struct vcpu *v = arg;

	while (!stop) {
		int r = vcpu_run_raw(v);

		/* EBADF: another thread closed the vCPU. */
		if (r && errno == EBADF)
			break;
		if (r && errno != EINTR && errno != EAGAIN && errno != EFAULT) {
			ktap_fail(__FILE__, __LINE__, "KVM_RUN: %s",
				  strerror(errno));
			break;
		}
	}
	return NULL;
}

/* Bochs lets no interrupt end the turn of a guest that began it with IF clear. */
static void toucher(void)
{
	volatile uint64_t *p = (void *)EXTRA;
	uint64_t i;

	sti();
	for (i = 0;; i++)
		p[(i * 521) % (64 * 512)] += i;
}

static void *slot_flipper(void *arg)
{
	struct vm *vm = arg;
	void *mem = map_pages(64 * PAGE);

	while (!stop) {
		vm_slot(vm, 1, 0, EXTRA, 64 * PAGE, mem);
		vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, EXTRA, 64 * PAGE, mem);
		vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, EXTRA + 64 * PAGE,
			64 * PAGE, mem);
		vm_slot(vm, 1, 0, EXTRA, 0, mem);
	}
	return NULL;
}

TEST(run_slots, "RUN against slots created, moved, logged and deleted")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, toucher);
	pthread_t r, s;

	race_begin();
	r = start(runner, v);
	s = start(slot_flipper, &vm);
	race_for_a_while();
	end_runner(r, v);
	pthread_join(s, NULL);
	vcpu_regs(v);
}

static void *log_reader(void *arg)
{
	uint64_t bits[1];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bits };
	struct vm *vm = arg;

	while (!stop)
		ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
	return NULL;
}

TEST(run_slots_log, "RUN against slots that come and go and their dirty log")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, toucher);
	pthread_t r, s, l;

	race_begin();
	r = start(runner, v);
	s = start(slot_flipper, &vm);
	l = start(log_reader, &vm);
	race_for_a_while();
	end_runner(r, v);
	pthread_join(s, NULL);
	pthread_join(l, NULL);
	vcpu_regs(v);
}

static void *dontneeder(void *arg)
{
	while (!stop) {
		madvise(arg, 64 * PAGE, MADV_DONTNEED);
		mprotect(arg, 32 * PAGE, PROT_READ);
		mprotect(arg, 32 * PAGE, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

TEST(run_notifier, "RUN against MADV_DONTNEED and mprotect of its memory")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, toucher);
	void *mem = map_pages(64 * PAGE);
	pthread_t r, d;

	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 64 * PAGE, mem));
	race_begin();
	r = start(runner, v);
	d = start(dontneeder, mem);
	race_for_a_while();
	end_runner(r, v);
	pthread_join(d, NULL);
}

/* The run page, scribbled over while the vCPU reads and writes it. */

static void exits_galore(void)
{
	uint32_t i;

	for (i = 0;; i++) {
		outl(0x100, i);
		inl(0x104);
		*(volatile uint32_t *)(GPA_HOLE + (i & 0xfff)) = i;
		(void)*(volatile uint32_t *)(GPA_HOLE + 8);
		asm volatile("rep outsb" : : "S"(EXTRA), "c"(3), "d"(0x100)
			     : "memory");
	}
}

static void *scribbler(void *arg)
{
	struct vcpu *v = arg;
	unsigned int seed = 1;

	while (!stop) {
		uint32_t *p = (uint32_t *)v->run;
		unsigned int i = rand_r(&seed) % (v->run_size / 4);

		p[i] = rand_r(&seed) * 3;
		/* The first words, where RUN takes its orders from. */
		p[rand_r(&seed) % 96] = rand_r(&seed) & 1 ? -1U : 0x80000000;
	}
	return NULL;
}

static void *wild_runner(void *arg)
{
	struct vcpu *v = arg;

	while (!stop)
		vcpu_run_raw(v);
	return NULL;
}

TEST(run_page, "RUN with its whole run page scribbled over meanwhile")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, exits_galore);
	struct kvm_regs regs;
	pthread_t r, s;

	race_begin();
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, map_pages(PAGE)));
	r = start(wild_runner, v);
	s = start(scribbler, v);
	race_for_a_while();
	pthread_join(s, NULL);
	end_runner(r, v);
	EXPECT_OK(ioctl(v->fd, KVM_GET_REGS, &regs));
}

TEST(run_page_no_chip, "the same without an interrupt chip")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, exits_galore);
	struct kvm_regs regs;
	pthread_t r, s;

	race_begin();
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, map_pages(PAGE)));
	r = start(wild_runner, v);
	s = start(scribbler, v);
	race_for_a_while();
	pthread_join(s, NULL);
	end_runner(r, v);
	EXPECT_OK(ioctl(v->fd, KVM_GET_REGS, &regs));
}

/* Creation. */

static pthread_barrier_t gate;
static int irqchip_result, vcpu_result;

static void *make_irqchip(void *arg)
{
	struct vm *vm = arg;

	pthread_barrier_wait(&gate);
	irqchip_result = ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0UL) ? errno : 0;
	return NULL;
}

static void *make_vcpu(void *arg)
{
	struct vm *vm = arg;
	int fd;

	pthread_barrier_wait(&gate);
	fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0UL);
	vcpu_result = fd < 0 ? errno : 0;
	if (fd >= 0) {
		struct kvm_lapic_state s;

		/* Its APIC is there, or there is none: nothing in between. */
		ioctl(fd, KVM_GET_LAPIC, &s);
		close(fd);
	}
	return NULL;
}

TEST_SECONDS(irqchip_vcpu, "CREATE_IRQCHIP against CREATE_VCPU: one order or the other",
	     60)
{
	long i, n = ktap_env("RACE_COUNT", 50);

	race_begin();
	pthread_barrier_init(&gate, NULL, 2);
	for (i = 0; i < n; i++) {
		pthread_t a, b;
		struct vm vm;

		vm_init(&vm, VM_NO_MEMORY);
		a = start(make_irqchip, &vm);
		b = start(make_vcpu, &vm);
		pthread_join(a, NULL);
		pthread_join(b, NULL);
		EXPECT_EQ(vcpu_result, 0);
		EXPECT_MSG(!irqchip_result || irqchip_result == EINVAL, "%s",
			   strerror(irqchip_result));
		vm_irq(&vm, 1, 1);
		vm_free(&vm);
	}
}

static void *make_same_vcpu(void *arg)
{
	struct vm *vm = arg;
	int fd;

	pthread_barrier_wait(&gate);
	fd = ioctl(vm->fd, KVM_CREATE_VCPU, 7UL);
	if (fd >= 0)
		__atomic_fetch_add(&vcpu_result, 1, __ATOMIC_SEQ_CST);
	else
		EXPECT_EQ(errno, EEXIST);
	return NULL;
}

TEST_SECONDS(same_vcpu, "one vCPU id created by two threads: one of them gets it",
	     60)
{
	long i, n = ktap_env("RACE_COUNT", 50);

	race_begin();
	pthread_barrier_init(&gate, NULL, 2);
	for (i = 0; i < n; i++) {
		pthread_t a, b;
		struct vm vm;

		vm_init(&vm, VM_NO_MEMORY | VM_IRQCHIP);
		vcpu_result = 0;
		a = start(make_same_vcpu, &vm);
		b = start(make_same_vcpu, &vm);
		pthread_join(a, NULL);
		pthread_join(b, NULL);
		EXPECT_EQ(vcpu_result, 1);
		vm_free(&vm);
	}
}

static void *closer(void *arg)
{
	int next = *(int *)arg;

	while (!stop)
		close(next);
	return NULL;
}

TEST_SECONDS(guessed_fd, "CREATE_VM and CREATE_VCPU, their fd closed before they return",
	     60)
{
	int next = dup(0), i;
	int sys = dev_open();
	pthread_t t;

	close(next);
	/* The number that is free now is the one that comes next. */
	race_begin();
	t = start(closer, &next);
	for (i = 0; i < ktap_env("RACE_COUNT", 50) * 5; i++) {
		int vm = ioctl(sys, KVM_CREATE_VM, 0UL);

		if (vm >= 0) {
			int fd = ioctl(vm, KVM_CREATE_VCPU, 0UL);

			if (fd >= 0)
				close(fd);
			close(vm);
		}
	}
	stop = true;
	pthread_join(t, NULL);
	vm_init(&(struct vm){ 0 }, 0);
}

/* One vCPU, many threads. */

static void *getter_setter(void *arg)
{
	struct vcpu *v = arg;
	struct kvm_sregs s;
	struct kvm_regs r;
	struct kvm_vcpu_events e;
	struct kvm_lapic_state l;

	while (!stop) {
		ioctl(v->fd, KVM_GET_REGS, &r);
		ioctl(v->fd, KVM_GET_SREGS, &s);
		ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e);
		ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
		ioctl(v->fd, KVM_GET_LAPIC, &l);
		ioctl(v->fd, KVM_NMI, 0UL);
	}
	return NULL;
}

static void *irq_storm(void *arg)
{
	struct vm *vm = arg;
	unsigned int i;

	for (i = 0; !stop; i++)
		vm_irq(vm, i % 24, i & 1);
	return NULL;
}

static void count_up(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void interruptible(void)
{
	int i;

	for (i = 2; i < 256; i = i == 2 ? 32 : i + 1)
		g_handlers[i] = count_up;
	apic_on();
	guest_pic_init(0x20, 0);
	for (i = 0; i < 24; i++) {
		ioapic_write(0x11 + i * 2, 0);
		ioapic_write(0x10 + i * 2, 0x40 + i);
	}
	sti();
	for (;;) {
		outb(0x80, 1);
		asm volatile("hlt");
	}
}

TEST(one_vcpu_many_threads, "RUN against every getter, NMI and IRQ_LINE")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT, interruptible);
	pthread_t r, g, i;

	race_begin();
	r = start(runner, v);
	g = start(getter_setter, v);
	i = start(irq_storm, &vm);
	race_for_a_while();
	end_runner(r, v);
	pthread_join(g, NULL);
	pthread_join(i, NULL);
	EXPECT_EQ(v->run->exit_reason == KVM_EXIT_INTERNAL_ERROR, false);
}

static void *route_flipper(void *arg)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[2];
	} r = { .head.nr = 2, .e = {
		{ .gsi = 3, .type = KVM_IRQ_ROUTING_IRQCHIP,
		  .u.irqchip = { KVM_IRQCHIP_IOAPIC, 3 } },
		{ .gsi = 500, .type = KVM_IRQ_ROUTING_MSI,
		  .u.msi = { .address_lo = 0xfee00000, .data = 0x50 } },
	} };
	struct vm *vm = arg;

	while (!stop) {
		r.head.nr = 2;
		ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
		r.head.nr = 0;
		ioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
		vm_irq(vm, 500, 1);
	}
	return NULL;
}

TEST(run_routes, "RUN against IRQ_LINE while routes come and go")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_PIT, interruptible);
	pthread_t r, f, i;

	race_begin();
	r = start(runner, v);
	f = start(route_flipper, &vm);
	i = start(irq_storm, &vm);
	race_for_a_while();
	end_runner(r, v);
	pthread_join(f, NULL);
	pthread_join(i, NULL);
}

TEST(two_vcpus_slots, "two vCPUs in RUN against slots that come and go")
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vm vm;
	struct vcpu *a = vm_long_mode(&vm, VM_IRQCHIP, toucher);
	struct vcpu *b = vm_vcpu(&vm, 1);
	pthread_t ra, rb, s;

	vcpu_long_mode(b, toucher);
	ASSERT(!ioctl(b->fd, KVM_SET_MP_STATE, &mp));
	race_begin();
	ra = start(runner, a);
	rb = start(runner, b);
	s = start(slot_flipper, &vm);
	race_for_a_while();
	end_runner(ra, a);
	end_runner(rb, b);
	pthread_join(s, NULL);
}

TEST_SECONDS(close_in_run, "the vCPU's and the VM's fd closed while RUN goes on",
	     60)
{
	long i, n = ktap_env("RACE_COUNT", 50) / 5;

	race_begin();
	for (i = 0; i < n; i++) {
		struct vm vm;
		struct vcpu *v = vm_long_mode(&vm, 0, toucher);
		pthread_t r = start(runner, v);

		sleep_ms(i % 5);
		close(vm.fd);
		close(v->fd);
		stop = true;
		end_runner(r, v);
		munmap(v->run, v->run_size);
		munmap(vm.mem, MEM_SIZE);
		close(vm.sys);
		stop = false;
	}
}
