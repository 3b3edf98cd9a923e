// SPDX-License-Identifier: GPL-2.0-only
/* The way to virtualize memory changes while there are vCPUs: what stays as it was. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/umbra.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL
#define GPA	0x20000000UL
#define SLOT	7
#define PAGES	64UL

static struct vm vm;

static bool has(uint32_t mode)
{
	struct umbra_info info;
	int fd = dev_open();

	ASSERT(!ioctl(fd, UMBRA_GET_INFO, &info));
	close(fd);
	return info.modes >> mode & 1;
}

/* Skips where no mode can follow another. */
static void need_switch(void)
{
	struct umbra_info info;

	if (!on_umbra())
		SKIP("not Umbra's device");
	ASSERT(!ioctl(dev_open(), UMBRA_GET_INFO, &info));
	if (!(info.flags & UMBRA_INFO_LIVE_MMU) || !has(UMBRA_MMU_SHADOW_LAZY))
		SKIP("a VM's mode can't change here once it has a vCPU");
}

static int set_mode(uint32_t mode)
{
	return ioctl(vm.fd, UMBRA_SET_MMU, &mode);
}

static uint32_t get_mode(void)
{
	uint32_t mode;

	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &mode));
	return mode;
}

/* One that @mode is not: with it as @i counts up, each there is. */
static uint32_t other_mode(uint32_t mode, unsigned int i)
{
	uint32_t next = mode;

	do {
		next = next % UMBRA_MMU_SHADOW_EAGER + 1;
	} while (!has(next) || next == mode || i--);
	return next;
}

/* To where all vCPUs are, whatever the change before has left to do. */
static void change_to(uint32_t mode)
{
	while (set_mode(mode)) {
		ASSERT(errno == EBUSY);
		sleep_ms(1);
	}
}

/* Done by all vCPUs: a further change is not refused. */
static void settled(void)
{
	change_to(get_mode());
}

/* ---- between two runs ---- */

static volatile uint64_t g_value, g_round;

/* Counts on in memory, in a register, and through a table that it changes. */
static void counter(void)
{
	uint64_t *pt = (uint64_t *)GPA_PT, *pd = (uint64_t *)GPA_PD, i = 0;
	uint64_t at = 0x3f000000;

	pd[at >> 21] = GPA_PT | PTE_P | PTE_W;
	for (;; i++) {
		uint64_t frame = GPA_TEST + (i % 16) * PAGE;

		*(volatile uint64_t *)frame = i;
		pt[0] = frame | PTE_P | PTE_W;
		invlpg(at);
		GUEST_ASSERT(*(volatile uint64_t *)at == i);
		*(volatile uint64_t *)at = ~i;
		GUEST_ASSERT(*(volatile uint64_t *)frame == ~i);
		GUEST_ASSERT((pt[0] & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
		g_round = i;
		guest_sync(1);
	}
}

TEST(stopped, "live: each way from mode to mode, between two runs of the vCPU")
{
	unsigned int i, round = 0;
	struct vcpu *v;

	need_switch();
	v = vm_long_mode(&vm, 0, counter);
	for (i = 0; i < 60; i++) {
		uint32_t mode = other_mode(get_mode(), i / 3 % 2);

		vcpu_run_to_sync(v, 1);
		EXPECT_EQ(G(&vm, g_round), round++);
		/* Nobody has the vCPU: it is done when the call ends. */
		EXPECT_OK(set_mode(mode));
		EXPECT_EQ(get_mode(), mode);
	}
}

TEST(same, "live: a change to what there is, and auto, cost nothing")
{
	uint32_t mode;

	need_switch();
	vm_long_mode(&vm, 0, counter);
	mode = get_mode();
	EXPECT_OK(set_mode(mode));
	EXPECT_OK(set_mode(UMBRA_MMU_AUTO));
	EXPECT_EQ(get_mode(), has(UMBRA_MMU_HARDWARE) ? UMBRA_MMU_HARDWARE : UMBRA_MMU_SHADOW_LAZY);
}

TEST(bad, "live: what is no mode, and a bad pointer, change nothing")
{
	static const uint32_t bad[] = { UMBRA_MMU_SHADOW_EAGER + 1, 31, 32, 0x80000000, -1U };
	uint32_t mode, before;
	struct vcpu *v;
	unsigned int i;

	need_switch();
	v = vm_long_mode(&vm, 0, counter);
	vcpu_run_to_sync(v, 1);
	before = get_mode();
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERR(set_mode(bad[i]), EINVAL);
	for (mode = UMBRA_MMU_HARDWARE; mode <= UMBRA_MMU_SHADOW_EAGER; mode++)
		if (!has(mode))
			EXPECT_ERR(set_mode(mode), EOPNOTSUPP);
	EXPECT_ERR(ioctl(vm.fd, UMBRA_SET_MMU, map_guarded(2)), EFAULT);
	EXPECT_EQ(get_mode(), before);
	vcpu_run_to_sync(v, 1);
}

TEST(late_vcpu, "live: a vCPU that is made after a change")
{
	struct vcpu *v;
	uint32_t mode;

	need_switch();
	v = vm_long_mode(&vm, 0, counter);
	vcpu_run_to_sync(v, 1);
	mode = other_mode(get_mode(), 0);
	EXPECT_OK(set_mode(mode));
	v = vm_vcpu(&vm, 1);
	vcpu_long_mode(v, counter);
	vcpu_run_to_sync(v, 1);
	EXPECT_OK(set_mode(other_mode(mode, 1)));
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_round), 1);
}

/* ---- while it runs ---- */

static volatile uint64_t g_spins, g_stop;

static void spinner(void)
{
	while (!g_stop)
		g_spins++;
	guest_done();
}

static void *run_thread(void *arg)
{
	int r;

	do {
		r = vcpu_run_raw(arg);
	} while (r && errno == EAGAIN);
	return r ? arg : NULL;
}

static pthread_t run_alone(struct vcpu *v)
{
	pthread_t t;

	ASSERT(!pthread_create(&t, NULL, run_thread, v));
	return t;
}

static void came_to_end(pthread_t t, struct vcpu *v)
{
	void *failed;

	ASSERT(!pthread_join(t, &failed));
	EXPECT(!failed);
	EXPECT(guest_said(v, PORT_DONE, NULL));
}

static void wait_for_more(volatile uint64_t *counter)
{
	uint64_t before = *counter;

	while (*counter == before)
		sleep_ms(1);
}

TEST(running, "live: a vCPU that never leaves its guest by itself")
{
	struct vcpu *v;
	unsigned int i;
	pthread_t t;

	host_needs("vmx-interrupts");
	need_switch();
	v = vm_long_mode(&vm, 0, spinner);
	t = run_alone(v);
	for (i = 0; i < 30; i++) {
		wait_for_more(&G(&vm, g_spins));
		change_to(other_mode(get_mode(), i / 3 % 2));
		settled();
	}
	wait_for_more(&G(&vm, g_spins));
	G(&vm, g_stop) = 1;
	came_to_end(t, v);
}

/* ---- while it sleeps ---- */

static volatile uint64_t g_awake;

static void on_wake(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void sleeper(void)
{
	g_handlers[0x40] = on_wake;
	apic_on();
	for (;;) {
		g_awake++;
		if (g_stop)
			guest_done();
		sti_hlt_cli();
	}
}

TEST(asleep, "live: a halted vCPU changes and sleeps on, and an interrupt wakes it")
{
	struct vcpu *v;
	unsigned int i;
	pthread_t t;

	need_switch();
	v = vm_long_mode(&vm, VM_IRQCHIP, sleeper);
	t = run_alone(v);
	while (!G(&vm, g_awake))
		sleep_ms(1);
	for (i = 0; i < 12; i++) {
		change_to(other_mode(get_mode(), i / 3 % 2));
		settled();
	}
	EXPECT_EQ(G(&vm, g_awake), 1);
	EXPECT_EQ(pthread_tryjoin_np(t, NULL), EBUSY);
	G(&vm, g_stop) = 1;
	ASSERT(vm_msi(&vm, 0xfee00000, 0x40) > 0);
	came_to_end(t, v);
}

static void nothing(int sig)
{
	(void)sig;
}

static void *run_once(void *arg)
{
	return vcpu_run_raw(arg) ? (void *)(long)errno : NULL;
}

TEST(unstarted, "live: a vCPU that nobody has started changes and waits on for its SIPI")
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct sigaction act = { .sa_handler = nothing };
	struct vcpu *v;
	unsigned int i;
	void *result;
	pthread_t t;

	need_switch();
	ASSERT(!sigaction(SIGUSR1, &act, NULL));
	vm_long_mode(&vm, VM_IRQCHIP, sleeper);
	v = vm_vcpu(&vm, 1);
	ASSERT(!pthread_create(&t, NULL, run_once, v));
	for (i = 0; i < 12; i++) {
		change_to(other_mode(get_mode(), i / 3 % 2));
		settled();
	}
	EXPECT_EQ(pthread_tryjoin_np(t, NULL), EBUSY);
	v->run->immediate_exit = 1;
	ASSERT(!pthread_kill(t, SIGUSR1) && !pthread_join(t, &result));
	EXPECT_EQ((long)result, EINTR);
	v->run->immediate_exit = 0;
	vcpu_long_mode(v, counter);
	ASSERT(!ioctl(v->fd, KVM_SET_MP_STATE, &mp));
	vcpu_run_to_sync(v, 1);
}

/* ---- under way ---- */

static void toucher(void)
{
	for (;;) {
		g_value = *(volatile uint64_t *)GPA;
		guest_sync(1);
	}
}

/* A page of the guest's that comes when @fd says so. */
static char *page_on_demand(int *fd)
{
	struct uffdio_api api = { .api = UFFD_API };
	char *mem = map_pages(PAGE);
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	*fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (*fd < 0 || ioctl(*fd, UFFDIO_API, &api) || ioctl(*fd, UFFDIO_REGISTER, &reg))
		SKIP("no userfaultfd: %s", strerror(errno));
	return mem;
}

TEST(under_way, "live: a change while a vCPU is on its way from the last one is EBUSY")
{
	uint32_t first, mode;
	struct uffd_msg msg;
	struct uffdio_zeropage zero = { .range.len = PAGE };
	struct vcpu *v;
	pthread_t t;
	char *mem;
	int fd;

	need_switch();
	mem = page_on_demand(&fd);
	v = vm_long_mode(&vm, 0, toucher);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGE, mem));
	change_to(UMBRA_MMU_SHADOW_LAZY);
	first = has(UMBRA_MMU_HARDWARE) ? UMBRA_MMU_HARDWARE : 0;
	if (!first)
		SKIP("the shadow modes have the same tables: nobody is on the way");
	t = run_alone(v);
	ASSERT(read(fd, &msg, sizeof(msg)) == sizeof(msg));
	/* The vCPU waits for its page. */
	EXPECT_OK(set_mode(first));
	EXPECT_EQ(get_mode(), first);
	for (mode = UMBRA_MMU_AUTO; mode <= UMBRA_MMU_SHADOW_EAGER; mode++)
		EXPECT_ERR(set_mode(mode), EBUSY);
	EXPECT_ERR(set_mode(mode), EINVAL);
	EXPECT_EQ(get_mode(), first);
	zero.range.start = (uintptr_t)mem;
	ASSERT(!ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	ASSERT(!pthread_join(t, NULL));
	EXPECT(guest_said(v, PORT_SYNC, NULL));
	EXPECT_OK(set_mode(UMBRA_MMU_SHADOW_EAGER));
	vcpu_run_to_sync(v, 1);
}

TEST(left_behind, "live: a table is written unseen by who is past the shadow that another is on")
{
	struct uffdio_zeropage zero = { .range.len = PAGE };
	struct vcpu *waits, *writes;
	struct uffd_msg msg;
	unsigned int i;
	pthread_t t;
	char *mem;
	int fd;

	need_switch();
	if (!has(UMBRA_MMU_HARDWARE))
		SKIP("no tables but shadows");
	mem = page_on_demand(&fd);
	waits = vm_long_mode(&vm, 0, toucher);
	writes = vm_vcpu(&vm, 1);
	vcpu_long_mode(writes, counter);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGE, mem));
	change_to(UMBRA_MMU_SHADOW_LAZY);
	vcpu_run_to_sync(writes, 1);
	t = run_alone(waits);
	ASSERT(read(fd, &msg, sizeof(msg)) == sizeof(msg));
	EXPECT_OK(set_mode(UMBRA_MMU_HARDWARE));
	for (i = 0; i < 4; i++)
		vcpu_run_to_sync(writes, 1);
	audit_shadows();
	EXPECT_ERR(set_mode(UMBRA_MMU_SHADOW_LAZY), EBUSY);
	zero.range.start = (uintptr_t)mem;
	ASSERT(!ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	ASSERT(!pthread_join(t, NULL));
	EXPECT(guest_said(waits, PORT_SYNC, NULL));
	/* The way back begins with no table of the shadow that was left. */
	change_to(UMBRA_MMU_SHADOW_EAGER);
	vcpu_run_to_sync(writes, 1);
	vcpu_run_to_sync(waits, 1);
}

TEST(ended, "live: a VM that ends while a vCPU is on its way")
{
	unsigned int i;

	need_switch();
	for (i = 0; i < 4; i++) {
		struct vcpu *v = vm_long_mode(&vm, 0, counter);

		vcpu_run_to_sync(v, 1);
		EXPECT_OK(set_mode(other_mode(get_mode(), i % 2)));
		vm_free(&vm);
	}
}

/* ---- what stays ---- */

static void page_writer(void)
{
	uint64_t i;

	for (;;) {
		for (i = g_value; i < PAGES; i += 2)
			*(volatile uint64_t *)(GPA + i * PAGE) = i;
		guest_sync(1);
	}
}

static uint64_t dirty_pages(void)
{
	uint64_t bits = 0;
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = &bits };

	ASSERT(!ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	return bits;
}

TEST(dirty, "live: the dirty log keeps what was written before, and sees what is after")
{
	const uint64_t even = 0x5555555555555555, odd = ~even;
	struct vcpu *v;
	unsigned int i;

	need_switch();
	v = vm_long_mode(&vm, 0, page_writer);
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE,
			map_pages(PAGES * PAGE)));
	for (i = 0; i < 12; i++) {
		G(&vm, g_value) = 0;
		vcpu_run_to_sync(v, 1);
		EXPECT_OK(set_mode(other_mode(get_mode(), i / 3 % 2)));
		EXPECT_EQ(dirty_pages(), even);
		EXPECT_EQ(dirty_pages(), 0);
		/* Writable once more, then protected in one mode and written in another. */
		vcpu_run_to_sync(v, 1);
		EXPECT_EQ(dirty_pages(), even);
		EXPECT_OK(set_mode(other_mode(get_mode(), 0)));
		G(&vm, g_value) = 1;
		vcpu_run_to_sync(v, 1);
		EXPECT_EQ(dirty_pages(), odd);
	}
}

static void cpuid_guest(void)
{
	uint32_t was[4], now[4], leaf;

	cpuid(7, 0, was);
	for (leaf = 0;; leaf++) {
		cpuid(7, 0, now);
		GUEST_ASSERT(now[0] == was[0] && now[1] == was[1] && now[2] == was[2] &&
			     now[3] == was[3]);
		guest_sync(1);
	}
}

TEST(registers, "live: registers and CPUID stay as they are")
{
	struct kvm_sregs before, after;
	struct kvm_regs regs, same;
	struct vcpu *v;
	unsigned int i;

	need_switch();
	v = vm_long_mode(&vm, 0, cpuid_guest);
	for (i = 0; i < 12; i++) {
		vcpu_run_to_sync(v, 1);
		before = vcpu_sregs(v);
		regs = vcpu_regs(v);
		EXPECT_OK(set_mode(other_mode(get_mode(), i / 3 % 2)));
		after = vcpu_sregs(v);
		same = vcpu_regs(v);
		EXPECT(!memcmp(&before, &after, sizeof(before)));
		EXPECT(!memcmp(&regs, &same, sizeof(regs)));
	}
}
