// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults: a guest that is told of a page that the host does not have
 * yet does something else meanwhile. The host's memory is a userfaultfd's, so that each
 * page comes when the test says so.
 */
#define _GNU_SOURCE
#include <asm/kvm_para.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE		4096UL
#define PAGES		80
#define FAR_GPA		0x20000000UL
#define AREA		GPA_TEST
#define EN_ON		(AREA | KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)
#define EN_ALWAYS	(EN_ON | KVM_ASYNC_PF_SEND_ALWAYS)
#define APF_VECTOR	0x61
#define TIMER_VECTOR	0x62
#define ALL		0xffffffffu
#define AT_MOST		64	/* works of a vCPU */
#define ENOUGH		1000
#define MANY		200

/* ---- the guest ---- */

static volatile uint64_t g_en;
static volatile uint32_t g_work, g_ticks, g_depth, g_deep, g_hold;
/* Of each vCPU; tokens in turn, as they came. */
static volatile uint32_t g_missing[2], g_ready[2], g_alls[2], g_came[2][PAGES];

static uint32_t me(void)
{
	return apic_read(APIC_ID) >> 24;
}

static volatile struct kvm_vcpu_pv_apf_data *area(void)
{
	return (void *)(AREA + me() * 64UL);
}

static volatile uint64_t *word(unsigned int page)
{
	return (void *)(FAR_GPA + page * PAGE);
}

static uint64_t content(unsigned int page)
{
	return 0x1234567800000000 | page;
}

static int came(uint32_t cpu, uint32_t token, uint32_t alls)
{
	uint32_t i;

	for (i = 0; i < PAGES; i++) {
		if (g_came[cpu][i] == token)
			return 1;
	}
	return g_alls[cpu] != alls;
}

/* Missing pages as deep as asked for, each in the handler of the one before. */
static void on_fault(struct frame *f)
{
	uint32_t token = (uint32_t)read_cr2(), cpu = me(), alls = g_alls[cpu];

	(void)f;
	if (area()->flags != KVM_PV_REASON_PAGE_NOT_PRESENT)
		guest_fail(0x10000 | __LINE__);
	area()->flags = 0;
	g_missing[cpu]++;
	sti();
	if (g_depth < g_deep) {
		uint32_t page = ++g_depth;

		GUEST_ASSERT(*word(page) == content(page));
	}
	while (!came(cpu, token, alls) || g_hold) {
		g_work++;
		cpu_relax();
	}
	cli();
}

static void on_ready(struct frame *f)
{
	uint32_t token = area()->token, cpu = me();

	(void)f;
	GUEST_ASSERT(token);
	if (token == ALL)
		g_alls[cpu]++;
	else
		g_came[cpu][g_ready[cpu]++ % PAGES] = token;
	area()->token = 0;
	apic_eoi();
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
}

static void on_tick(struct frame *f)
{
	(void)f;
	g_ticks++;
	apic_eoi();
}

/* Switched on, and the first message of all, which says that nothing is waited for, has come. */
static void set_up(void)
{
	g_handlers[14] = on_fault;
	g_handlers[APF_VECTOR] = on_ready;
	g_handlers[TIMER_VECTOR] = on_tick;
	apic_on();
	wrmsr(MSR_KVM_ASYNC_PF_INT, APF_VECTOR);
	wrmsr(MSR_KVM_ASYNC_PF_EN, g_en + me() * 64);
	GUEST_ASSERT(rdmsr(MSR_KVM_ASYNC_PF_EN) == g_en + me() * 64);
	GUEST_ASSERT(rdmsr(MSR_KVM_ASYNC_PF_INT) == APF_VECTOR);
	sti();
	while (!g_alls[me()])
		cpu_relax();
	guest_sync(1);
}

static void start_timer(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 1u << 17 | TIMER_VECTOR);
	apic_write(APIC_TMICT, 1000000);
}

static void read_all(void)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		if (i & 1)
			*word(i) = content(i);
		GUEST_ASSERT(*word(i) == content(i));
	}
}

static void reading_guest(void)
{
	set_up();
	read_all();
	guest_done();
}

static void user(void)
{
	sti();
	read_all();
}

static void reading_user(void)
{
	set_up();
	guest_call_ring3(user);
	guest_done();
}

/* What is told nobody waits for it, and still takes interrupts. */
static void waiting_guest(void)
{
	set_up();
	start_timer();
	read_all();
	guest_done();
}

static void one_page_guest(void)
{
	set_up();
	GUEST_ASSERT(*word(0) == content(0));
	guest_done();
}

static void deaf_guest(void)
{
	set_up();
	cli();
	read_all();
	guest_done();
}

/* Its handler forgets all that it was told. */
static void ending_guest(void)
{
	set_up();
	g_handlers[14] = NULL;
	GUEST_TRY("mov (%0), %%rax", : : "r"(word(0)) : "rax", "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR);
	area()->flags = 0;
	guest_sync(2);
	wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
	guest_sync(3);
	for (g_work = 0; g_work < 20000; g_work++)
		cpu_relax();
	GUEST_ASSERT(!g_ready[0]);
	GUEST_ASSERT(*word(0) == content(0));
	guest_done();
}

/* Halted where only the message can end it. */
static void halting_guest(void)
{
	set_up();
	g_handlers[14] = NULL;
	GUEST_TRY("mov (%0), %%rax", : : "r"(word(0)) : "rax", "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR);
	area()->flags = 0;
	cli();
	g_work = 1;
	while (!g_ready[0])
		asm volatile("sti; hlt; cli" : : : "memory");
	GUEST_ASSERT(*word(0) == content(0));
	guest_done();
}

/* Again and again, whatever the host takes away meanwhile; with a timer's interrupts. */
static void restless_guest(void)
{
	uint32_t cpu = me(), x = cpu + 1;

	set_up();
	start_timer();
	while (g_missing[cpu] < MANY) {
		x = x * 1664525 + 1013904223;
		GUEST_ASSERT(*word((x >> 16) % PAGES) == content((x >> 16) % PAGES));
	}
	cli();
	guest_done();
}

/* ---- the host ---- */

static struct vm vm;
static struct vcpu *v;
static char *far, *pages;
static int uffd;

static void watch(void)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)far, .len = PAGES * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	ASSERT(!ioctl(uffd, UFFDIO_REGISTER, &reg));
}

static void prepare(uint64_t en, void (*entry)(void))
{
	struct uffdio_api api = { .api = UFFD_API };
	unsigned int i;

	NEED_CAP(KVM_CAP_ASYNC_PF);
	NEED_CAP(KVM_CAP_ASYNC_PF_INT);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		SKIP("no userfaultfd: %s", strerror(errno));
	far = map_pages(PAGES * PAGE);
	pages = map_pages(PAGES * PAGE);
	for (i = 0; i < PAGES; i++)
		*(uint64_t *)(pages + i * PAGE) = content(i);
	watch();
	v = vm_long_mode(&vm, VM_IRQCHIP, entry);
	G(&vm, g_en) = en;
	ASSERT(!vm_slot(&vm, 1, 0, FAR_GPA, PAGES * PAGE, far));
	vcpu_run_to_sync(v, 1);
}

static void *run_thread(void *arg)
{
	(void)arg;
	vcpu_run_to_end(v);
	return NULL;
}

static pthread_t start(void *(*fn)(void *))
{
	pthread_t t;

	ASSERT(!pthread_create(&t, NULL, fn, NULL));
	return t;
}

/* The page that is missed next. */
static unsigned int asked(void)
{
	struct uffd_msg msg;

	ASSERT(read(uffd, &msg, sizeof(msg)) == sizeof(msg));
	return (unsigned int)((msg.arg.pagefault.address - (uintptr_t)far) / PAGE);
}

static void supply(unsigned int page)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)far + page * PAGE,
		.src = (uintptr_t)pages + page * PAGE,
		.len = PAGE,
	};

	ASSERT(!ioctl(uffd, UFFDIO_COPY, &copy));
}

/* Until it is @n more than it is now: the guest gets on although it lacks a page. */
static void await(volatile uint32_t *p, uint32_t n)
{
	uint32_t from = *p;

	while (*p - from < n)
		sleep_ms(1);
}

#define AWAIT(var, n)	await(&G(&vm, var), n)

static void want_fetched(uint64_t n)
{
	if (on_umbra())
		EXPECT_EQ(figure(v->fd, "async_faults"), n);
}

static const struct way {
	const char *name;
	uint64_t en;
	void (*entry)(void);
} told[] = {
	{ "in ring 0", EN_ALWAYS, reading_guest },
	{ "in ring 3", EN_ON, reading_user },
};

TEST_EACH_SECONDS(works_on, "async #PF: a guest that is told of a missing page works on: ", told, w, 60)
{
	pthread_t t;
	unsigned int i;

	prepare(w->en, w->entry);
	t = start(run_thread);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(asked(), i);
		AWAIT(g_work, 50);
		supply(i);
	}
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_missing[0]), PAGES);
	EXPECT_EQ(G(&vm, g_ready[0]), PAGES);
	want_fetched(PAGES);
}

static const struct way untold[] = {
	{ "in ring 0, which it did not ask for", EN_ON, waiting_guest },
	{ "switched off", 0, NULL },
};

static void off_guest(void)
{
	g_handlers[TIMER_VECTOR] = on_tick;
	apic_on();
	start_timer();
	sti();
	guest_sync(1);
	read_all();
	guest_done();
}

TEST_EACH_SECONDS(takes_interrupts, "async #PF: a guest that is not told waits, and takes interrupts: ", untold, w, 60)
{
	unsigned int i;
	pthread_t t;

	prepare(w->en, w->entry ? w->entry : off_guest);
	t = start(run_thread);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(asked(), i);
		AWAIT(g_ticks, 2);
		supply(i);
	}
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_missing[0]), 0);
	EXPECT_EQ(G(&vm, g_ready[0]), 0);
	want_fetched(PAGES);
}

TEST(deaf, "async #PF: none while RFLAGS.IF is clear")
{
	unsigned int i;
	pthread_t t;

	prepare(EN_ALWAYS, deaf_guest);
	t = start(run_thread);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(asked(), i);
		supply(i);
	}
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_missing[0]), 0);
	want_fetched(0);
}

/* The guest acknowledges each before it is told of the next. */
TEST(many, "async #PF: many pages at once, and one more than that many")
{
	bool seen[PAGES] = { };
	unsigned int i, last;
	pthread_t t;

	prepare(EN_ALWAYS, one_page_guest);
	G(&vm, g_deep) = AT_MOST;
	t = start(run_thread);
	/* They are asked for in the order in which their threads get to it. */
	for (i = 0; i <= AT_MOST; i++)
		seen[asked()] = true;
	for (i = 0; i <= AT_MOST; i++)
		EXPECT_MSG(seen[i], "page %u not asked for", i);
	EXPECT_EQ(G(&vm, g_missing[0]), AT_MOST);
	/* The vCPU's thread sleeps for this one. */
	last = G(&vm, g_work);
	sleep_ms(50);
	EXPECT_EQ(G(&vm, g_work), last);
	supply(AT_MOST);
	AWAIT(g_work, 1);
	for (i = 0; i < AT_MOST; i++)
		supply(i);
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_ready[0]), AT_MOST);
	want_fetched(AT_MOST);
}

TEST(halted, "async #PF: the message ends a halt")
{
	pthread_t t;

	prepare(EN_ALWAYS, halting_guest);
	t = start(run_thread);
	EXPECT_EQ(asked(), 0);
	while (!G(&vm, g_work))
		sleep_ms(1);
	sleep_ms(50);
	EXPECT_EQ(G(&vm, g_ready[0]), 0);
	supply(0);
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_ready[0]), 1);
}

TEST(switched_off, "async #PF: switched off, the guest hears no more of what it waited for")
{
	if (!on_umbra())
		SKIP("stock KVM waits for the page");
	prepare(EN_ALWAYS, ending_guest);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(asked(), 0);
	vcpu_run_to_sync(v, 3);
	supply(0);
	vcpu_run_to_end(v);
}

static void *supply_thread(void *arg)
{
	struct uffd_msg msg;

	(void)arg;
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~(PAGE - 1),
			.len = PAGE,
		};

		copy.src = copy.dst - (uintptr_t)far + (uintptr_t)pages;
		/* Both vCPUs may lack it; who takes pages away may be faster. */
		while (ioctl(uffd, UFFDIO_COPY, &copy) && errno == EAGAIN)
			;
	}
	return NULL;
}

static void *run_other(void *arg)
{
	vcpu_run_to_end(arg);
	return NULL;
}

TEST_SECONDS(restless, "async #PF: two vCPUs whose pages come and go", 120)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	unsigned int seed = 1;
	struct vcpu *other;
	bool ran = true, other_ran = true;
	pthread_t t, t2;

	prepare(EN_ALWAYS, restless_guest);
	other = vm_vcpu(&vm, 1);
	vcpu_long_mode(other, restless_guest);
	ASSERT(!ioctl(other->fd, KVM_SET_MP_STATE, &mp));
	vcpu_run_to_sync(other, 1);
	start(supply_thread);
	t = start(run_thread);
	ASSERT(!pthread_create(&t2, NULL, run_other, other));
	while (ran || other_ran) {
		madvise(far + rand_r(&seed) % PAGES * PAGE, PAGE, MADV_DONTNEED);
		if (!(rand_r(&seed) % 64))
			sleep_ms(1);
		ran = ran && pthread_tryjoin_np(t, NULL);
		other_ran = other_ran && pthread_tryjoin_np(t2, NULL);
	}
	EXPECT_EQ(G(&vm, g_missing[0]), G(&vm, g_ready[0]));
	EXPECT_EQ(G(&vm, g_missing[1]), G(&vm, g_ready[1]));
}

/* ---- what the VMM does meanwhile ---- */

static void nothing(int sig)
{
	(void)sig;
}

static void *run_until_signal(void *arg)
{
	(void)arg;
	EXPECT_EQ(vcpu_run_raw(v), -1);
	return NULL;
}

/* The guest runs until it has missed @n pages; then KVM_RUN is over. */
static void run_to_missing(unsigned int n)
{
	struct sigaction act = { .sa_handler = nothing };
	pthread_t t;

	ASSERT(!sigaction(SIGUSR1, &act, NULL));
	t = start(run_until_signal);
	while (n--)
		asked();
	AWAIT(g_work, ENOUGH);
	do {
		pthread_kill(t, SIGUSR1);
		sleep_ms(1);
	} while (pthread_tryjoin_np(t, NULL));
}

TEST(restored, "async #PF: KVM_SET_MSRS, as at a restore, has the guest look again at all it waits for")
{
	uint64_t en, vector, ack;
	uint32_t alls;
	pthread_t t;

	if (!on_umbra())
		SKIP("stock KVM goes on with what was on its way, untold");
	prepare(EN_ALWAYS, one_page_guest);
	run_to_missing(1);
	alls = G(&vm, g_alls[0]);
	EXPECT_EQ(vcpu_get_msr(v, MSR_KVM_ASYNC_PF_EN, &en), 1);
	EXPECT_EQ(vcpu_get_msr(v, MSR_KVM_ASYNC_PF_INT, &vector), 1);
	EXPECT_EQ(vcpu_get_msr(v, MSR_KVM_ASYNC_PF_ACK, &ack), 1);
	EXPECT_EQ(en, EN_ALWAYS);
	EXPECT_EQ(vector, APF_VECTOR);
	EXPECT_EQ(ack, 0);
	EXPECT_EQ(vcpu_set_msr(v, MSR_KVM_ASYNC_PF_EN, en), 1);
	EXPECT_EQ(vcpu_set_msr(v, MSR_KVM_ASYNC_PF_INT, vector), 1);
	EXPECT_EQ(vcpu_set_msr(v, MSR_KVM_ASYNC_PF_ACK, ack), 1);
	t = start(run_thread);
	while (G(&vm, g_alls[0]) == alls)
		sleep_ms(1);
	/* It misses the page anew. */
	while (G(&vm, g_missing[0]) < 2)
		sleep_ms(1);
	supply(0);
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_alls[0]), alls + 1);
	EXPECT_EQ(G(&vm, g_ready[0]), 1);
}

TEST(slot_gone, "async #PF: a slot can be deleted while its page is on its way")
{
	prepare(EN_ALWAYS, one_page_guest);
	run_to_missing(1);
	ASSERT(!vm_slot(&vm, 1, 0, FAR_GPA, 0, far));
	supply(0);
	want_mmio(v, FAR_GPA, 8, false);
	EXPECT_EQ(G(&vm, g_ready[0]), 1);
}

/* What fetches it gives up; the next fault of the guest's is to find out why. */
TEST(refused, "async #PF: a page that can't be fetched is waited for the next time")
{
	struct uffdio_range range;
	pthread_t t;

	prepare(EN_ALWAYS, one_page_guest);
	if (!on_umbra())
		SKIP("stock KVM tries again and again");
	G(&vm, g_hold) = 1;
	run_to_missing(1);
	range = (struct uffdio_range){ .start = (uintptr_t)far, .len = PAGES * PAGE };
	ASSERT(!munmap(far, PAGES * PAGE));
	ASSERT(!ioctl(uffd, UFFDIO_WAKE, &range));
	t = start(run_thread);
	while (!G(&vm, g_ready[0]))
		sleep_ms(1);
	ASSERT(mmap(far, PAGES * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == far);
	watch();
	G(&vm, g_hold) = 0;
	EXPECT_EQ(asked(), 0);
	supply(0);
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_missing[0]), 1);
	want_fetched(1);
}

TEST(unmapped, "async #PF: memory that is gone for good ends KVM_RUN with EFAULT")
{
	struct uffdio_range range;

	prepare(EN_ALWAYS, one_page_guest);
	run_to_missing(1);
	range = (struct uffdio_range){ .start = (uintptr_t)far, .len = PAGES * PAGE };
	ASSERT(!munmap(far, PAGES * PAGE));
	ASSERT(!ioctl(uffd, UFFDIO_WAKE, &range));
	EXPECT_ERR(vcpu_run_raw(v), EFAULT);
}

/* Nobody waits for those who fetch them: they end with this process. */
TEST(vm_ends, "async #PF: a VM ends although its pages never come")
{
	if (!on_umbra())
		SKIP("stock KVM waits for them");
	prepare(EN_ALWAYS, one_page_guest);
	G(&vm, g_deep) = 20;
	run_to_missing(21);
	vm_free(&vm);
}

/* ---- what the registers hold ---- */

static volatile uint64_t g_msr, g_value;

static void try_guest(void)
{
	for (;;) {
		guest_sync(1);
		GUEST_TRY("wrmsr", : : "c"((uint32_t)g_msr), "a"((uint32_t)g_value),
			  "d"((uint32_t)(g_value >> 32)) : "memory");
		guest_sync(2);
	}
}

static const struct value {
	const char *name;
	uint32_t msr;
	uint64_t value;
	bool good;
	bool own;	/* stock KVM does otherwise */
} values[] = {
	{ "EN", MSR_KVM_ASYNC_PF_EN, EN_ALWAYS, true },
	{ "EN, all off", MSR_KVM_ASYNC_PF_EN, 0, true },
	{ "EN, without the interrupt", MSR_KVM_ASYNC_PF_EN, AREA | 1, true },
	{ "EN, aligned to 32", MSR_KVM_ASYNC_PF_EN, EN_ON | 0x20, false },
	{ "EN, aligned to 16", MSR_KVM_ASYNC_PF_EN, EN_ON | 0x10, false },
	{ "EN, exits of a nested guest", MSR_KVM_ASYNC_PF_EN,
	  EN_ON | KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT, false, true },
	{ "EN, in no slot", MSR_KVM_ASYNC_PF_EN, GPA_HOLE | 9, false },
	{ "EN, beyond the address width", MSR_KVM_ASYNC_PF_EN, BIT(60) | 9, false },
	{ "EN, -1", MSR_KVM_ASYNC_PF_EN, ~0ULL, false },
	{ "INT", MSR_KVM_ASYNC_PF_INT, 0xff, true },
	{ "INT, of an exception", MSR_KVM_ASYNC_PF_INT, 14, true },
	{ "INT, 9 bits", MSR_KVM_ASYNC_PF_INT, 0x161, false },
	{ "ACK", MSR_KVM_ASYNC_PF_ACK, 1, true },
	{ "ACK, nothing", MSR_KVM_ASYNC_PF_ACK, 0, true },
	{ "ACK, another bit", MSR_KVM_ASYNC_PF_ACK, 2, false, true },
};

static void want_value(struct vcpu *c, const struct value *b)
{
	G(c->vm, g_msr) = b->msr;
	G(c->vm, g_value) = b->value;
	vcpu_run_to_sync(c, 2);
	EXPECT_EQ(G(c->vm, g_vector), b->good ? NO_VECTOR : GP_VECTOR);
	EXPECT_EQ(vcpu_set_msr(c, b->msr, b->value), b->good);
	vcpu_run_to_sync(c, 1);
}

TEST_EACH(value, "async #PF: MSR_KVM_ASYNC_PF_", values, b)
{
	struct vcpu *c;

	if (b->own && !on_umbra())
		SKIP("stock KVM does otherwise");
	c = vm_long_mode(&vm, VM_IRQCHIP, try_guest);
	vcpu_run_to_sync(c, 1);
	want_value(c, b);
}

TEST(no_lapic, "async #PF: without a LAPIC in the kernel its registers hold 0 and nothing else")
{
	struct vcpu *c = vm_long_mode(&vm, 0, try_guest);

	EXPECT_EQ(vcpu_set_msr(c, MSR_KVM_ASYNC_PF_EN, 0), 1);
	EXPECT_EQ(vcpu_set_msr(c, MSR_KVM_ASYNC_PF_EN, EN_ON), 0);
	/* So that what was got can be set; stock KVM refuses even that. */
	if (on_umbra())
		EXPECT_EQ(vcpu_set_msr(c, MSR_KVM_ASYNC_PF_INT, 0), 1);
	EXPECT_EQ(vcpu_set_msr(c, MSR_KVM_ASYNC_PF_INT, APF_VECTOR), 0);
}

TEST(offered, "async #PF: CPUID and the capabilities offer it, but not for nested guests")
{
	uint32_t eax = cpuid_find(supported_cpuid(), KVM_CPUID_FEATURES, 0)->eax;

	EXPECT(eax & BIT(KVM_FEATURE_ASYNC_PF));
	EXPECT(eax & BIT(KVM_FEATURE_ASYNC_PF_INT));
	if (on_umbra())
		EXPECT(!(eax & BIT(KVM_FEATURE_ASYNC_PF_VMEXIT)));
	EXPECT_EQ(dev_cap(KVM_CAP_ASYNC_PF), 1);
	EXPECT_EQ(dev_cap(KVM_CAP_ASYNC_PF_INT), 1);
}
