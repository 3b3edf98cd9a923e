// SPDX-License-Identifier: GPL-2.0-only
/* KVM_RUN: how it is interrupted, and what it does with a bad state. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

static volatile uint64_t g_count;

static void nothing(void)
{
	guest_done();
}

/* With interrupts on: Bochs's VMX holds the host's back from a guest that masks them. */
static void spin(void)
{
	sti();
	for (;;)
		g_count++;
}

static void halt(void)
{
	asm volatile("sti; hlt");
	guest_done();
}

TEST(run_arg, "RUN with an argument is EINVAL")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	EXPECT_ERR(ioctl(v->fd, KVM_RUN, 1UL), EINVAL);
	vcpu_run_to_end(v);
}

TEST(immediate_exit, "immediate_exit: EINTR, and no guest instruction ran")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	uint64_t rip = vcpu_regs(v).rip;
	int i;

	v->run->immediate_exit = 1;
	for (i = 0; i < 100; i++) {
		EXPECT_ERR(vcpu_run_raw(v), EINTR);
		EXPECT_EQ(vcpu_regs(v).rip, rip);
	}
	v->run->immediate_exit = 0;
	vcpu_run_to_end(v);
}

static void two_ins(void)
{
	g_count = inl(0x100);
	guest_done();
}

TEST(immediate_exit_io, "immediate_exit completes a pending IN before EINTR")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, two_ins);
	uint64_t rip;

	want_io(v, KVM_EXIT_IO_IN, 0x100, 4, 1);
	rip = vcpu_regs(v).rip;
	*(uint32_t *)io_data(v) = 0xabcdef01;
	v->run->immediate_exit = 1;
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	EXPECT_EQ((uint32_t)vcpu_regs(v).rax, 0xabcdef01);
	EXPECT(vcpu_regs(v).rip >= rip);
	v->run->immediate_exit = 0;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_count), 0xabcdef01);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void catch(int sig)
{
	struct sigaction act = { .sa_handler = on_signal };

	ASSERT(!sigaction(sig, &act, NULL));
}

static pthread_t main_thread;

static void *signal_later(void *arg)
{
	(void)arg;
	sleep_ms(100);
	pthread_kill(main_thread, SIGUSR1);
	return NULL;
}

static void interrupt_soon(pthread_t *t)
{
	main_thread = pthread_self();
	catch(SIGUSR1);
	ASSERT(!pthread_create(t, NULL, signal_later, NULL));
}

TEST(signal_spin, "a signal ends RUN of a spinning guest: EINTR, exit INTR")
{
	pthread_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);

	interrupt_soon(&t);
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	EXPECT_EQ(v->run->exit_reason, KVM_EXIT_INTR);
	EXPECT(G(&vm, g_count) > 0);
}

TEST(signal_halt, "a signal ends RUN of a halted guest: EINTR")
{
	pthread_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, halt);

	interrupt_soon(&t);
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	EXPECT_EQ(v->run->exit_reason, KVM_EXIT_INTR);
}

TEST(signal_uninit, "a signal ends RUN of a vCPU that waits for INIT")
{
	pthread_t t;
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP);
	vm_vcpu(&vm, 0);
	vm_vcpu(&vm, 1);
	interrupt_soon(&t);
	EXPECT_ERR(vcpu_run_raw(&vm.vcpu[1]), EINTR);
}

TEST(signal_resume, "after EINTR the guest goes on where it was")
{
	pthread_t t;
	uint64_t count;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);
	int i;

	for (i = 0; i < 3; i++) {
		count = G(&vm, g_count);
		interrupt_soon(&t);
		EXPECT_ERR(vcpu_run_raw(v), EINTR);
		EXPECT(G(&vm, g_count) > count);
		pthread_join(t, NULL);
	}
}

/* SIGUSR1 is blocked in this thread, and open in RUN. */
static void open_in_run(struct vcpu *v)
{
	struct {
		struct kvm_signal_mask m;
		uint64_t bits;
	} mask = { .m.len = 8, .bits = 0 };
	sigset_t set;

	memcpy(mask.m.sigset, &(uint64_t){ 0 }, 8);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ASSERT(!ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask));
}

/* It was not delivered, only seen: it is pending and still blocked. */
static void expect_pending(void)
{
	sigset_t set;

	sigpending(&set);
	EXPECT(sigismember(&set, SIGUSR1));
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	EXPECT(sigismember(&set, SIGUSR1));
}

TEST(signal_mask_run, "SET_SIGNAL_MASK opens a signal for RUN alone")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);

	catch(SIGUSR1);
	open_in_run(v);
	raise(SIGUSR1);
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	expect_pending();
}

TEST(signal_mask_fatal, "SET_SIGNAL_MASK: a signal without a handler ends RUN, not the process")
{
	pthread_t t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);

	signal(SIGUSR1, SIG_DFL);
	open_in_run(v);
	main_thread = pthread_self();
	ASSERT(!pthread_create(&t, NULL, signal_later, NULL));
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	expect_pending();
}

TEST(sigstop, "RUN goes on after SIGSTOP and SIGCONT, or is EINTR")
{
	pid_t child;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);
	pid_t me = getpid();
	uint64_t count;

	child = fork();
	if (!child) {
		sleep_ms(100);
		kill(me, SIGSTOP);
		sleep_ms(100);
		kill(me, SIGCONT);
		sleep_ms(100);
		kill(me, SIGUSR1);
		_exit(0);
	}
	catch(SIGUSR1);
	do {
		count = G(&vm, g_count);
		EXPECT_ERR(vcpu_run_raw(v), EINTR);
	} while (G(&vm, g_count) == count);
}

/* Bad states. */

TEST(no_memory, "RUN of a VM without memory ends in some exit")
{
	struct vm vm;
	struct vcpu *v;
	uint32_t reason;
	int r;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu(&vm, 0);
	r = vcpu_run_for(v, 500);
	reason = v->run->exit_reason;
	ktap_diag("%d (%s), exit %s", r, strerror(errno), exit_name(reason));
	/* Stock KVM allows no page table without memory: ENOSPC. */
	EXPECT(r ? errno == EINTR || errno == EFAULT || errno == ENOSPC :
		   reason == KVM_EXIT_INTERNAL_ERROR ||
		   reason == KVM_EXIT_SHUTDOWN || reason == KVM_EXIT_MMIO);
}

TEST(no_cpuid, "a vCPU without CPUID runs real-mode code")
{
	static const uint8_t code[] = { 0xb0, 0x42, 0xe6, 0x10, 0xf4 };
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_real_mode(v, code, sizeof(code));
	want_io(v, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	EXPECT_EQ(*(uint8_t *)io_data(v), 0x42);
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_HLT);
}

TEST(memory_gone, "RUN with guest memory unmapped under it: EFAULT, host alive")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	ASSERT(!munmap(vm.mem, MEM_SIZE));
	EXPECT_ERR(vcpu_run_raw(v), EFAULT);
	vm.mem = NULL;
}

TEST(memory_readonly, "a guest write to memory mapped read-only: EFAULT")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);

	ASSERT(!mprotect(vm.mem, MEM_SIZE, PROT_READ));
	EXPECT_ERR(vcpu_run_raw(v), EFAULT);
}

TEST(guest_in_two_vms, "two VMs of one process keep their memory apart")
{
	struct vm a, b;
	struct vcpu *va = vm_long_mode(&a, 0, two_ins);
	struct vcpu *vb = vm_long_mode(&b, 0, two_ins);

	want_io(va, KVM_EXIT_IO_IN, 0x100, 4, 1);
	want_io(vb, KVM_EXIT_IO_IN, 0x100, 4, 1);
	*(uint32_t *)io_data(va) = 111;
	*(uint32_t *)io_data(vb) = 222;
	vcpu_run_to_end(va);
	vcpu_run_to_end(vb);
	EXPECT_EQ(G(&a, g_count), 111);
	EXPECT_EQ(G(&b, g_count), 222);
}

TEST(run_page_state, "the run page tells IF, CR8 and APIC base at an exit")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	struct kvm_sregs s = vcpu_sregs(v);

	s.cr8 = 5;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	v->run->cr8 = 5;
	vcpu_run_to_end(v);
	EXPECT_EQ(v->run->if_flag, 0);
	EXPECT_EQ(v->run->cr8, 5);
	EXPECT_EQ(v->run->apic_base, vcpu_sregs(v).apic_base);
}

TEST(run_cr8, "without a chip the run page's CR8 is the guest's at entry")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	v->run->cr8 = 7;
	vcpu_run_to_end(v);
	EXPECT_EQ(vcpu_sregs(v).cr8, 7);
}

TEST(run_cr8_bad, "without a chip a CR8 over 15 in the run page is EINVAL")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	v->run->cr8 = 16;
	EXPECT_ERR(vcpu_run_raw(v), EINVAL);
	v->run->cr8 = 0;
	vcpu_run_to_end(v);
}

TEST(irq_window, "request_interrupt_window exits once the guest takes IRQs")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);

	v->run->request_interrupt_window = 1;
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(v->run->ready_for_interrupt_injection, 1);
	EXPECT_EQ(v->run->if_flag, 1);
}

static void irq_seen(struct frame *f)
{
	(void)f;
	guest_done();
}

static void irq_spin(void)
{
	g_handlers[0x55] = irq_seen;
	spin();
}

TEST(interrupt_delivered, "INTERRUPT reaches the guest's handler without a chip")
{
	struct kvm_interrupt irq = { .irq = 0x55 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, irq_spin);

	v->run->request_interrupt_window = 1;
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_IRQ_WINDOW_OPEN);
	v->run->request_interrupt_window = 0;
	EXPECT_OK(ioctl(v->fd, KVM_INTERRUPT, &irq));
	vcpu_run_to_end(v);
}

static void cli_hlt(void)
{
	asm volatile("cli; hlt");
	guest_done();
}

TEST(hlt_no_chip, "HLT without a chip is exit HLT, and RUN goes on behind it")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cli_hlt);

	EXPECT_EQ(vcpu_run(v), KVM_EXIT_HLT);
	vcpu_run_to_end(v);
}

/* Ticks of guest time that this thread has had. */
static unsigned long guest_ticks(void)
{
	FILE *f = fopen("/proc/thread-self/stat", "r");
	unsigned long ticks = 0;
	char line[1024], *field;
	int i;

	ASSERT(f);
	ASSERT(fgets(line, sizeof(line), f));
	fclose(f);
	/* the second field, the name, may hold blanks; the third is a letter */
	field = strrchr(line, ')') + 4;
	for (i = 4; i <= 43; i++)
		ticks = strtoul(field, &field, 10);
	return ticks;
}

TEST(guest_time, "what the guest runs is its thread's guest time")
{
	unsigned long begin, ticks;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, spin);
	int i = 0;

	begin = guest_ticks();
	do {
		vcpu_run_for(v, 100);
		ticks = guest_ticks() - begin;
	} while (ticks < 10 && ++i < 200);
	EXPECT(ticks >= 10);
	EXPECT(G(&vm, g_count) > 0);
}
