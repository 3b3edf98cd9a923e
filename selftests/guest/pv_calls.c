// SPDX-License-Identifier: GPL-2.0-only
/* KVM's offers to guests that know it, beyond clocks: steal time, EOI without an exit, hypercalls. */
#define _GNU_SOURCE
#include <asm/kvm_para.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "guest.h"
#include "vm.h"

#define AREA		GPA_TEST
#define VECTOR		0x51
#define LOWER		0x41
#define FAR_VA		0x40000000ULL	/* 1 GiB, where no memory is */
#define PAGE_A		(GPA_TEST + 0x1000)
#define PAGE_B		(GPA_TEST + 0x2000)
#define ICR_ASSERT	0x4000u
#define ICR_SELF	(1u << 18)
#define ICR_NMI		0x400u

static volatile uint64_t g_a0, g_a1, g_a2, g_a3, g_result, g_result2;
static volatile uint32_t g_in_handler, g_seen, g_after;

static uint64_t call(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	if (cpu_is_intel())
		asm volatile("vmcall" : "+a"(nr) : "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	else
		asm volatile("vmmcall" : "+a"(nr) : "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	return nr;
}

static void *run_to_done(void *arg)
{
	vcpu_run_to_end(arg);
	return NULL;
}

static pthread_t start(struct vcpu *v)
{
	pthread_t t;

	ASSERT(!pthread_create(&t, NULL, run_to_done, v));
	return t;
}

/* ---- steal time ---- */

static void steal_guest(void)
{
	volatile struct kvm_steal_time *st = (void *)AREA;
	uint64_t first;

	wrmsr(MSR_KVM_STEAL_TIME, AREA | KVM_MSR_ENABLED);
	GUEST_ASSERT(rdmsr(MSR_KVM_STEAL_TIME) == (AREA | KVM_MSR_ENABLED));
	GUEST_ASSERT(st->version && !(st->version & 1));
	first = st->steal;
	while (st->steal == first || (st->version & 1))
		cpu_relax();
	GUEST_ASSERT(!st->preempted);
	g_result = st->steal;
	guest_done();
}

static atomic_bool enough;

static void *hog(void *arg)
{
	while (!atomic_load(&enough))
		;
	return arg;
}

TEST(steal_time, "steal time: a vCPU whose CPU another thread wants sees it pass, and no more than passed")
{
	cpu_set_t one;
	pthread_t t;
	uint64_t begin = now_ns();
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, steal_guest);

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ASSERT(!sched_setaffinity(0, sizeof(one), &one));
	ASSERT(!pthread_create(&t, NULL, hog, NULL));
	vcpu_run_to_end(v);
	atomic_store(&enough, true);
	pthread_join(t, NULL);
	EXPECT(G(&vm, g_result) > 0);
	EXPECT(G(&vm, g_result) <= now_ns() - begin);
}

static void bad_steal_guest(void)
{
	uint64_t value = g_a0;

	GUEST_TRY("wrmsr", : : "c"(MSR_KVM_STEAL_TIME), "a"((uint32_t)value),
		  "d"((uint32_t)(value >> 32)) : "memory");
	guest_sync((uint32_t)g_vector);
	guest_sync(1);
	guest_done();
}

static const struct bad_area { const char *name; uint64_t value; bool refused; } bad_areas[] = {
	{ "unaligned", AREA | 0x20 | KVM_MSR_ENABLED, true },
	{ "reserved bit 1", AREA | 2 | KVM_MSR_ENABLED, true },
	{ "in MMIO", GPA_HOLE | KVM_MSR_ENABLED },
	{ "behind the end of memory", MEM_SIZE | KVM_MSR_ENABLED },
	{ "in the APIC page", APIC_BASE_GPA | KVM_MSR_ENABLED },
	{ "beyond the address width", BIT(60) | KVM_MSR_ENABLED },
};

TEST_EACH(steal_bad, "steal time in a bad place is refused or survived: ", bad_areas, b)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, bad_steal_guest);

	G(&vm, g_a0) = b->value;
	vcpu_run_to_sync(v, b->refused ? GP_VECTOR : NO_VECTOR);
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(vcpu_set_msr(v, MSR_KVM_STEAL_TIME, b->value), !b->refused);
}

TEST(steal_slot_gone, "steal time: its slot deleted under it is survived")
{
	uint8_t *page = map_pages(4096);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, bad_steal_guest);

	G(&vm, g_a0) = 0x20000000 | KVM_MSR_ENABLED;
	ASSERT(!vm_slot(&vm, 1, 0, 0x20000000, 4096, page));
	vcpu_run_to_sync(v, NO_VECTOR);
	EXPECT(((struct kvm_steal_time *)page)->version);
	ASSERT(!vm_slot(&vm, 1, 0, 0x20000000, 0, page));
	vcpu_run_to_sync(v, 1);
	sleep_ms(10);
	vcpu_run_to_end(v);
}

/* What others may do for a vCPU that has no CPU. */

static void wake_up(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void flushed_guest(void)
{
	volatile uint64_t *far = (volatile uint64_t *)FAR_VA;
	volatile struct kvm_steal_time *st = (void *)AREA;

	g_handlers[VECTOR] = wake_up;
	apic_on();
	wrmsr(MSR_KVM_STEAL_TIME, AREA | KVM_MSR_ENABLED);
	g_result = *far;
	g_seen = 1;
	sti_hlt_cli();
	GUEST_ASSERT(!st->preempted);
	g_result2 = *far;
	guest_done();
}

/* The other vCPU: gives the page another frame, and leaves the flush to the first one's entry. */
static void flusher(void)
{
	volatile uint64_t *pte = (volatile uint64_t *)GPA_PT + (FAR_VA >> 12 & 511);
	struct kvm_steal_time *st = (void *)AREA;

	uint8_t marked;

	while (!g_seen)
		cpu_relax();
	*pte = PAGE_B | PTE_P | PTE_W;
	do {
		cpu_relax();
		marked = KVM_VCPU_PREEMPTED;
	} while (!__atomic_compare_exchange_n(&st->preempted, &marked,
					      KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	GUEST_ASSERT(call(KVM_HC_SEND_IPI, 1, 0, 0, VECTOR) == 1);
	guest_done();
}

TEST(steal_flush, "steal time: a halted vCPU is marked; a flush asked for there is done before it runs on")
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	uint64_t pde = GPA_PT | PTE_P | PTE_W, pte = PAGE_A | PTE_P | PTE_W;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, flushed_guest), *other = vm_vcpu(&vm, 1);
	pthread_t t;

	memcpy(vm.mem + GPA_PD + FAR_VA / (2 << 20) * 8, &pde, sizeof(pde));
	memcpy(vm.mem + GPA_PT + (FAR_VA >> 12 & 511) * 8, &pte, sizeof(pte));
	*(uint64_t *)(vm.mem + PAGE_A) = 0xa;
	*(uint64_t *)(vm.mem + PAGE_B) = 0xb;
	vcpu_long_mode(other, flusher);
	ASSERT(!ioctl(other->fd, KVM_SET_MP_STATE, &mp));
	t = start(v);
	vcpu_run_to_end(other);
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_result), 0xa);
	EXPECT_EQ(G(&vm, g_result2), 0xb);
}

/* ---- EOI ---- */

static bool take_offer(void)
{
	volatile uint8_t *word = (volatile uint8_t *)AREA;
	bool offered = *word & KVM_PV_EOI_ENABLED;

	*word = 0;
	return offered;
}

static void eoi_handler(struct frame *f)
{
	(void)f;
	g_in_handler++;
	guest_sync(1);
	if (g_in_handler == 1) {
		g_seen = take_offer();
	} else {
		/* What waits for the end of this one must be delivered at once. */
		apic_write(APIC_ICR, ICR_ASSERT | ICR_SELF | LOWER);
		g_after = take_offer();
		apic_eoi();
	}
}

static void lower_handler(struct frame *f)
{
	(void)f;
	g_in_handler += 0x10;
	apic_eoi();
}

static void self_ipi(void)
{
	apic_write(APIC_ICR, ICR_ASSERT | ICR_SELF | VECTOR);
	asm volatile("sti; nop; cli" : : : "memory");
}

static void eoi_guest(void)
{
	g_handlers[VECTOR] = eoi_handler;
	g_handlers[LOWER] = lower_handler;
	apic_on();
	wrmsr(MSR_KVM_PV_EOI_EN, AREA | KVM_MSR_ENABLED);
	self_ipi();
	guest_sync(2);
	/* The same vector again: the first one is over. */
	self_ipi();
	asm volatile("sti; nop; cli" : : : "memory");
	guest_sync(3);
	guest_done();
}

static bool in_service(struct vcpu *v, int vector)
{
	struct kvm_lapic_state s;

	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	return s.regs[APIC_ISR + vector / 32 * 16 + vector / 8 % 4] >> (vector % 8) & 1;
}

TEST(pv_eoi, "EOI by memory: offered for a lone interrupt alone, taken back at each exit")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, eoi_guest);

	vcpu_run_to_sync(v, 1);
	/* While the VMM looks, the LAPIC knows all. */
	EXPECT_EQ(vm.mem[AREA], 0);
	EXPECT(in_service(v, VECTOR));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_seen), 1);
	EXPECT(!in_service(v, VECTOR));
	EXPECT_EQ(vm.mem[AREA], 0);
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_sync(v, 3);
	EXPECT_EQ(G(&vm, g_after), 0);
	EXPECT_EQ(G(&vm, g_in_handler), 0x12);
	EXPECT(!in_service(v, VECTOR) && !in_service(v, LOWER));
	vcpu_run_to_end(v);
}

static void level_handler(struct frame *f)
{
	(void)f;
	g_in_handler++;
	g_seen |= take_offer();
	guest_sync(1);
	g_seen |= take_offer();
	apic_eoi();
}

static void level_guest(void)
{
	g_handlers[VECTOR] = level_handler;
	guest_pic_init(0x20, 0);
	apic_on();
	wrmsr(MSR_KVM_PV_EOI_EN, AREA | KVM_MSR_ENABLED);
	ioapic_write(0x10 + 2 * 5 + 1, 0);
	ioapic_write(0x10 + 2 * 5, VECTOR | 1u << 15);
	guest_sync(2);
	asm volatile("sti; nop; cli" : : : "memory");
	guest_done();
}

TEST(pv_eoi_level, "EOI by memory: never for a level-triggered interrupt")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, level_guest);

	vcpu_run_to_sync(v, 2);
	ASSERT(!vm_irq(&vm, 5, 1));
	vcpu_run_to_sync(v, 1);
	ASSERT(!vm_irq(&vm, 5, 0));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_in_handler), 1);
	EXPECT_EQ(G(&vm, g_seen), 0);
}

static void eoi_nowhere_guest(void)
{
	g_handlers[VECTOR] = lower_handler;
	apic_on();
	GUEST_TRY("wrmsr", : : "c"(MSR_KVM_PV_EOI_EN), "a"(AREA | 3), "d"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	wrmsr(MSR_KVM_PV_EOI_EN, GPA_HOLE | KVM_MSR_ENABLED);
	self_ipi();
	self_ipi();
	guest_done();
}

TEST(pv_eoi_nowhere, "EOI by memory that is not there: by its register; unaligned is #GP")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, eoi_nowhere_guest);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_in_handler), 0x20);
}

/* ---- hypercalls ---- */

static void ipi_guest(void)
{
	g_result = call(KVM_HC_SEND_IPI, g_a0, g_a1, g_a2, g_a3);
	guest_done();
}

static const struct ipi {
	const char *name;
	uint64_t low, high, first, icr;
	uint32_t mask;		/* of the vCPUs that get it */
	int64_t result;
} ipis[] = {
	{ "two of four", 0x5, 0, 0, VECTOR, 0x5, 2 },
	{ "from an ID on", 0x3, 0, 2, VECTOR, 0xc, 2 },
	{ "some that are not there", 0xf0f, ~0ULL, 1, VECTOR, 0xe, 3 },
	{ "in the upper half", 0, 0x6, (uint32_t)-64, VECTOR, 0x6, 2 },
	{ "nobody", 0, 0, 0, VECTOR, 0, 0 },
	{ "NMI", 0xa, 0, 0, ICR_NMI, 0xa, 2 },
	{ "a shorthand is refused", 0xf, 0, 0, ICR_SELF | VECTOR, 0, -KVM_EINVAL },
	{ "a logical destination is refused", 0xf, 0, 0, 0x800 | VECTOR, 0, -KVM_EINVAL },
};

static bool has_irq(struct vcpu *v)
{
	struct kvm_vcpu_events events;
	struct kvm_lapic_state s;

	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
	return events.nmi.pending || (s.regs[APIC_IRR + VECTOR / 32 * 16 + VECTOR / 8 % 4] >>
				      (VECTOR % 8) & 1);
}

TEST_EACH(send_ipi, "hypercall SEND_IPI: ", ipis, t)
{
	struct kvm_lapic_state s;
	struct vcpu *v[4];
	struct vm vm;
	int i;

	v[0] = vm_long_mode(&vm, VM_IRQCHIP, ipi_guest);
	for (i = 0; i < 4; i++) {
		if (i)
			v[i] = vm_vcpu(&vm, i);
		ASSERT(!ioctl(v[i]->fd, KVM_GET_LAPIC, &s));
		s.regs[APIC_SPIV + 1] |= 1;
		ASSERT(!ioctl(v[i]->fd, KVM_SET_LAPIC, &s));
	}
	G(&vm, g_a0) = t->low;
	G(&vm, g_a1) = t->high;
	G(&vm, g_a2) = t->first;
	G(&vm, g_a3) = t->icr;
	vcpu_run_to_end(v[0]);
	EXPECT_EQ((int64_t)G(&vm, g_result), t->result);
	for (i = 0; i < 4; i++)
		EXPECT_MSG(has_irq(v[i]) == (t->mask >> i & 1), "vCPU %d", i);
}

static void sleeper(void)
{
	/* Interrupts are off: nothing else ends it. */
	asm volatile("hlt" : : : "memory");
	g_seen = 1;
	guest_done();
}

static void kicker(void)
{
	g_result = call(KVM_HC_KICK_CPU, 0, 1, 0, 0);
	g_result2 = call(KVM_HC_KICK_CPU, 0, 77, 0, 0);
	guest_done();
}

static const struct order { const char *name; bool asleep; } orders[] = {
	{ "that sleeps", true },
	{ "that is about to", false },
};

TEST_EACH(kick, "hypercall KICK_CPU ends the halt of a vCPU ", orders, o)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, kicker), *other = vm_vcpu(&vm, 1);
	volatile struct kvm_steal_time *st = (void *)(vm.mem + AREA);
	pthread_t t;

	vcpu_long_mode(other, sleeper);
	ASSERT(!ioctl(other->fd, KVM_SET_MP_STATE, &mp));
	ASSERT(vcpu_set_msr(other, MSR_KVM_STEAL_TIME, AREA | KVM_MSR_ENABLED) == 1);
	if (!o->asleep)
		vcpu_run_to_end(v);
	t = start(other);
	if (o->asleep) {
		while (!(st->preempted & KVM_VCPU_PREEMPTED))
			sched_yield();
		EXPECT_EQ(G(&vm, g_seen), 0);
		vcpu_run_to_end(v);
	}
	pthread_join(t, NULL);
	EXPECT_EQ(G(&vm, g_seen), 1);
	EXPECT_EQ(G(&vm, g_result), 0);
	EXPECT_EQ(G(&vm, g_result2), 0);
}

static void yield_guest(void)
{
	uint64_t i;

	for (i = 0; i < 4; i++)
		GUEST_ASSERT(!call(KVM_HC_SCHED_YIELD, i, 0, 0, 0));
	guest_done();
}

TEST(yield, "hypercall SCHED_YIELD: to itself, to another, to nobody")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, yield_guest);

	vm_vcpu(&vm, 1);
	vcpu_run_to_end(v);
}

/* ---- what CPUID says ---- */

static const uint32_t msrs[] = { MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN, MSR_KVM_POLL_CONTROL };
static const uint64_t calls[] = { KVM_HC_KICK_CPU, KVM_HC_SEND_IPI, KVM_HC_SCHED_YIELD };

static void hidden_guest(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		GUEST_TRY("rdmsr", : : "c"(msrs[i]) : "rax", "rdx");
		GUEST_ASSERT(g_vector == GP_VECTOR);
		GUEST_TRY("wrmsr", : : "c"(msrs[i]), "a"(0), "d"(0));
		GUEST_ASSERT(g_vector == GP_VECTOR);
	}
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		GUEST_ASSERT(call(calls[i], 0, 0, 0, 0) == (uint64_t)-KVM_ENOSYS);
	guest_done();
}

TEST(pv_hidden, "ENFORCE_PV_FEATURE_CPUID: MSRs and hypercalls that CPUID does not name are not there")
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, VM_IRQCHIP);
	v = vm_vcpu_raw(&vm, 0);
	cpuid_find(c, KVM_CPUID_FEATURES, 0)->eax = 0;
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, hidden_guest);
	ASSERT(!ioctl(v->fd, KVM_ENABLE_CAP, &cap));
	vcpu_run_to_end(v);
}

static const struct feature { const char *name; uint32_t bit; } features[] = {
	{ "steal time", KVM_FEATURE_STEAL_TIME },
	{ "EOI", KVM_FEATURE_PV_EOI },
	{ "kicks", KVM_FEATURE_PV_UNHALT },
	{ "TLB flush", KVM_FEATURE_PV_TLB_FLUSH },
	{ "IPIs", KVM_FEATURE_PV_SEND_IPI },
	{ "poll control", KVM_FEATURE_POLL_CONTROL },
	{ "yield", KVM_FEATURE_PV_SCHED_YIELD },
};

TEST_EACH(pv_offered, "CPUID offers ", features, f)
{
	EXPECT(cpuid_find(supported_cpuid(), KVM_CPUID_FEATURES, 0)->eax >> f->bit & 1);
}

static const struct saved { const char *name; uint32_t msr; uint64_t value, first; } saved[] = {
	{ "steal time", MSR_KVM_STEAL_TIME, AREA | KVM_MSR_ENABLED, 0 },
	{ "EOI", MSR_KVM_PV_EOI_EN, AREA | KVM_MSR_ENABLED, 0 },
	{ "poll control", MSR_KVM_POLL_CONTROL, 0, 1 },
};

TEST_EACH(pv_saved, "the MSR is in the list of saved ones, and keeps its value: ", saved, s)
{
	struct { struct kvm_msr_list head; uint32_t index[512]; } list = { .head.nmsrs = 512 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, yield_guest);
	uint64_t got = 77;
	uint32_t i;

	ASSERT(!ioctl(vm.sys, KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < list.head.nmsrs && list.head.indices[i] != s->msr; i++)
		;
	EXPECT(i < list.head.nmsrs);
	EXPECT_EQ(vcpu_get_msr(v, s->msr, &got), 1);
	EXPECT_EQ(got, s->first);
	EXPECT_EQ(vcpu_set_msr(v, s->msr, s->value), 1);
	EXPECT_EQ(vcpu_get_msr(v, s->msr, &got), 1);
	EXPECT_EQ(got, s->value);
	EXPECT_EQ(vcpu_set_msr(v, MSR_KVM_POLL_CONTROL, 2), 0);
}
