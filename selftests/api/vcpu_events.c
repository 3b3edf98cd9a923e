// SPDX-License-Identifier: GPL-2.0-only
/* Events, CPUID, address translation, TSC rate and signal mask of a vCPU. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

static struct vcpu *fresh(struct vm *vm, unsigned int flags)
{
	vm_init(vm, flags | VM_NO_MEMORY);
	return vm_vcpu(vm, 0);
}

static void nothing(void)
{
	guest_done();
}

TEST(events_reset, "GET_VCPU_EVENTS of a new vCPU: nothing pending, padding 0")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_vcpu_events e;
	unsigned int i;

	memset(&e, 0xa5, sizeof(e));
	EXPECT_OK(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT_EQ(e.exception.injected, 0);
	EXPECT_EQ(e.exception.pending, 0);
	EXPECT_EQ(e.interrupt.injected, 0);
	EXPECT_EQ(e.nmi.injected, 0);
	EXPECT_EQ(e.nmi.pending, 0);
	EXPECT_EQ(e.nmi.masked, 0);
	EXPECT_EQ(e.nmi.pad, 0);
	for (i = 0; i < ARRAY_SIZE(e.reserved); i++)
		EXPECT_EQ(e.reserved[i], 0);
}

TEST(events_round, "SET_VCPU_EVENTS then GET_VCPU_EVENTS: NMI and interrupt")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, VM_IRQCHIP);
	struct kvm_vcpu_events e = { 0 };

	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.interrupt.injected = 1;
	e.interrupt.nr = 0x55;
	e.nmi.pending = 1;
	e.nmi.masked = 1;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	EXPECT_OK(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	memset(&e, 0, sizeof(e));
	EXPECT_OK(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT_EQ(e.interrupt.injected, 1);
	EXPECT_EQ(e.interrupt.nr, 0x55);
	EXPECT_EQ(e.nmi.pending, 1);
	EXPECT_EQ(e.nmi.masked, 1);
}

TEST(events_round_exception, "SET_VCPU_EVENTS then GET_VCPU_EVENTS: exception")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	struct kvm_vcpu_events e = { 0 };

	e.exception.injected = 1;
	e.exception.nr = GP_VECTOR;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x1234;
	EXPECT_OK(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	memset(&e, 0, sizeof(e));
	EXPECT_OK(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT_EQ(e.exception.injected, 1);
	EXPECT_EQ(e.exception.nr, GP_VECTOR);
	EXPECT_EQ(e.exception.has_error_code, 1);
	EXPECT_EQ(e.exception.error_code, 0x1234);
}

TEST(events_bad, "SET_VCPU_EVENTS is EINVAL for vector 2, 32, 255, bad flags")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	static const uint8_t nr[] = { 2, 32, 255 };
	struct kvm_vcpu_events e;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nr); i++) {
		memset(&e, 0, sizeof(e));
		e.exception.injected = 1;
		e.exception.nr = nr[i];
		EXPECT_ERR(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	}
	memset(&e, 0, sizeof(e));
	e.flags = 0x80000000;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	e.flags = 0x40;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e), EINVAL);
}

static int enable(struct vm *vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &c);
}

static volatile uint64_t g_address;

static void page_fault(struct frame *f)
{
	g_address = read_cr2();
	f->rip = g_fixup;
}

static void payload_guest(void)
{
	g_handlers[PF_VECTOR] = page_fault;
	guest_sync(1);
	asm volatile("movq $1f, g_fixup\n\t"
		     "outl %%eax, %%dx\n"
		     "1:" : : "a"(2), "d"(PORT_SYNC) : "memory");
	g_fixup = 0;
	guest_done();
}

TEST(events_payload, "EXCEPTION_PAYLOAD: a pending #PF keeps its address until it is delivered")
{
	struct kvm_vcpu_events e;
	struct vm vm;
	struct kvm_sregs sregs;
	struct vcpu *v;

	host_needs("svm-cr2");
	v = vm_long_mode(&vm, 0, payload_guest);
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_sync(v, 2);
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT(!(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD));
	e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	ASSERT(!enable(&vm, KVM_CAP_EXCEPTION_PAYLOAD, 1));
	EXPECT_ERR(enable(&vm, KVM_CAP_EXCEPTION_PAYLOAD, 2), EINVAL);
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
	e.exception.pending = 1;
	e.exception.nr = 32;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	e.exception.nr = PF_VECTOR;
	e.exception.has_error_code = 1;
	e.exception_has_payload = 1;
	e.exception_payload = 0x123456789000;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	memset(&e, 0, sizeof(e));
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT_EQ(e.exception.pending, 1);
	EXPECT_EQ(e.exception.injected, 0);
	EXPECT_EQ(e.exception_has_payload, 1);
	EXPECT_EQ(e.exception_payload, 0x123456789000);
	/* As a VMM restores: CR2 after the events. */
	ASSERT(!ioctl(v->fd, KVM_GET_SREGS, &sregs));
	EXPECT(sregs.cr2 != 0x123456789000);
	sregs.cr2 = 0x5000;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &sregs));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_address), 0x123456789000);
}

TEST(events_triple_fault, "X86_TRIPLE_FAULT_EVENT: one that is pending is got, set and taken away")
{
	struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, payload_guest);

	EXPECT_ERR(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e), EINVAL);
	ASSERT(!enable(&vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1));
	EXPECT_ERR(enable(&vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 2), EINVAL);
	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	EXPECT_EQ(e.triple_fault.pending, 0);
	e.triple_fault.pending = 1;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	memset(&e, 0, sizeof(e));
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	EXPECT_EQ(e.triple_fault.pending, 1);
	e.triple_fault.pending = 0;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	vcpu_run_to_sync(v, 2);
	e.triple_fault.pending = 1;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_SHUTDOWN);
}

/* Interrupts without a chip. */

TEST(interrupt_range, "INTERRUPT takes vectors to 255, from 256 on EINVAL")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_interrupt irq;

	irq.irq = 255;
	EXPECT_OK(ioctl(v->fd, KVM_INTERRUPT, &irq));
	irq.irq = 256;
	EXPECT_ERR(ioctl(v->fd, KVM_INTERRUPT, &irq), EINVAL);
	irq.irq = -1U;
	EXPECT_ERR(ioctl(v->fd, KVM_INTERRUPT, &irq), EINVAL);
}

TEST(interrupt_chip, "INTERRUPT with the chip in the kernel is ENXIO")
{
	struct kvm_interrupt irq = { .irq = 0x40 };
	struct vm vm;
	struct vcpu *v = fresh(&vm, VM_IRQCHIP);

	EXPECT_ERR(ioctl(v->fd, KVM_INTERRUPT, &irq), ENXIO);
}

/* CPUID. */

TEST(cpuid_round, "SET_CPUID2 then GET_CPUID2 gives the same entries")
{
	struct kvm_cpuid2 *c = supported_cpuid(), *got;
	size_t size = sizeof(*c) + c->nent * sizeof(c->entries[0]);
	struct vm vm;
	struct vcpu *v;
	uint32_t i;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	EXPECT_OK(ioctl(v->fd, KVM_SET_CPUID2, c));
	got = map_guarded(size);
	memset(got, 0xa5, size);
	got->nent = c->nent;
	EXPECT_OK(ioctl(v->fd, KVM_GET_CPUID2, got));
	ASSERT(got->nent == c->nent);
	for (i = 0; i < c->nent; i++) {
		EXPECT_EQ(got->entries[i].function, c->entries[i].function);
		EXPECT_EQ(got->entries[i].index, c->entries[i].index);
		EXPECT_EQ(got->entries[i].eax, c->entries[i].eax);
		EXPECT_EQ(got->entries[i].padding[0], 0);
		EXPECT_EQ(got->entries[i].padding[1], 0);
		EXPECT_EQ(got->entries[i].padding[2], 0);
	}
}

TEST(cpuid_get_short, "GET_CPUID2 with too little room is E2BIG")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_cpuid2 *c = map_guarded(sizeof(*c) + sizeof(c->entries[0]));

	c->nent = 1;
	EXPECT_ERR(ioctl(v->fd, KVM_GET_CPUID2, c), E2BIG);
}

static const struct {
	const char *name;
	uint32_t nent;
	size_t room;
	int err;
} cpuid_sizes[] = {
	{ "0 entries are taken", 0, 0, 0 },
	{ "1 entry is taken", 1, 1, 0 },
	{ "256 entries are taken", 256, 256, 0 },
	{ "257 entries are E2BIG", 257, 257, E2BIG },
	{ "2^31 entries are E2BIG", 1U << 31, 0, E2BIG },
	{ "2^32 - 1 entries are E2BIG", -1U, 0, E2BIG },
	{ "entries in a guard page are EFAULT", 2, 1, EFAULT },
};

TEST_EACH(cpuid_size, "SET_CPUID2: ", cpuid_sizes, s)
{
	struct kvm_cpuid2 *c;
	struct vm vm;
	struct vcpu *v;
	uint32_t i;
	int r;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	c = map_guarded(sizeof(*c) + s->room * sizeof(c->entries[0]));
	c->nent = s->nent;
	for (i = 0; i < s->room; i++)
		c->entries[i].function = 0x50000000 + i;
	r = ioctl(v->fd, KVM_SET_CPUID2, c);
	if (s->err)
		EXPECT_MSG(r == -1 && errno == s->err, "%d, %s", r,
			   strerror(errno));
	else
		EXPECT_MSG(!r, "%s", strerror(errno));
}

TEST(cpuid_after_run, "SET_CPUID2 after a run: the same is fine, another EINVAL")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	struct kvm_cpuid2 *c = supported_cpuid();

	vcpu_run_to_end(v);
	EXPECT_OK(ioctl(v->fd, KVM_SET_CPUID2, c));
	c->nent--;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_CPUID2, c), EINVAL);
}

/* Translation. */

TEST(translate, "TRANSLATE walks the guest's page tables")
{
	struct kvm_translation t;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	memset(&t, 0xa5, sizeof(t));
	t.linear_address = GPA_TEST + 0x123;
	EXPECT_OK(ioctl(v->fd, KVM_TRANSLATE, &t));
	EXPECT_EQ(t.valid, 1);
	EXPECT_EQ(t.physical_address, GPA_TEST + 0x123);

	/* 4 KiB pages, backwards. */
	*(uint64_t *)(vm.mem + GPA_PD + 2 * 8) = GPA_PT | 7;
	*(uint64_t *)(vm.mem + GPA_PT + 5 * 8) = 0x999000 | 7;
	t.linear_address = 0x400000 + 5 * 4096 + 0x456;
	EXPECT_OK(ioctl(v->fd, KVM_TRANSLATE, &t));
	EXPECT_EQ(t.valid, 1);
	EXPECT_EQ(t.physical_address, 0x999456);
}

TEST(translate_none, "TRANSLATE of an unmapped address says that it is none")
{
	struct kvm_translation t = { .linear_address = 0x7f0000000000 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	EXPECT_OK(ioctl(v->fd, KVM_TRANSLATE, &t));
	EXPECT_EQ(t.valid, 0);
}

TEST(translate_off, "TRANSLATE without paging is the address itself")
{
	struct kvm_translation t = { .linear_address = 0x12345678 };
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);

	EXPECT_OK(ioctl(v->fd, KVM_TRANSLATE, &t));
	EXPECT_EQ(t.valid, 1);
	EXPECT_EQ(t.physical_address, 0x12345678);
}

/* TSC. */

TEST(tsc_khz, "GET_TSC_KHZ is a rate, and SET_TSC_KHZ takes it back")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL);

	EXPECT(khz > 10000);
	EXPECT_OK(ioctl(v->fd, KVM_SET_TSC_KHZ, (unsigned long)khz));
	EXPECT_EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL), khz);
	EXPECT_OK(ioctl(v->fd, KVM_SET_TSC_KHZ, 0UL));
	EXPECT_EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL), khz);
}

TEST(tsc_khz_low, "SET_TSC_KHZ of a tenth of the host's is EINVAL without scaling")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	unsigned long khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL);

	if (dev_cap(KVM_CAP_TSC_CONTROL) > 0)
		SKIP("the CPU scales the TSC");
	EXPECT_ERR(ioctl(v->fd, KVM_SET_TSC_KHZ, khz / 10), EINVAL);
	/* Stock KVM refuses it, but reports it from then on. */
	if (on_umbra())
		EXPECT_EQ(ioctl(v->fd, KVM_GET_TSC_KHZ, 0UL), khz);
}

/* Signal mask. */

TEST(sigmask_len, "SET_SIGNAL_MASK with a length other than 8 is EINVAL")
{
	static const uint32_t lens[] = { 0, 4, 7, 9, 16, 128, -1U };
	struct { struct kvm_signal_mask m; uint8_t room[256]; } s = { 0 };
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		s.m.len = lens[i];
		EXPECT_ERR(ioctl(v->fd, KVM_SET_SIGNAL_MASK, &s), EINVAL);
	}
	s.m.len = 8;
	EXPECT_OK(ioctl(v->fd, KVM_SET_SIGNAL_MASK, &s));
	EXPECT_OK(ioctl(v->fd, KVM_SET_SIGNAL_MASK, NULL));
}

TEST(sigmask_fault, "SET_SIGNAL_MASK with the mask in a guard page is EFAULT")
{
	struct kvm_signal_mask *m = map_guarded(sizeof(*m));
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);

	m->len = 8;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_SIGNAL_MASK, m), EFAULT);
}

/* Every ioctl that copies. */

static const struct { const char *name; unsigned long cmd; } copying[] = {
	{ "GET_REGS", KVM_GET_REGS }, { "SET_REGS", KVM_SET_REGS },
	{ "GET_SREGS", KVM_GET_SREGS }, { "SET_SREGS", KVM_SET_SREGS },
	{ "GET_FPU", KVM_GET_FPU }, { "SET_FPU", KVM_SET_FPU },
	{ "GET_XSAVE", KVM_GET_XSAVE }, { "SET_XSAVE", KVM_SET_XSAVE },
	{ "GET_XCRS", KVM_GET_XCRS }, { "SET_XCRS", KVM_SET_XCRS },
	{ "GET_MSRS", KVM_GET_MSRS }, { "SET_MSRS", KVM_SET_MSRS },
	{ "SET_CPUID2", KVM_SET_CPUID2 }, { "GET_CPUID2", KVM_GET_CPUID2 },
	{ "GET_LAPIC", KVM_GET_LAPIC }, { "SET_LAPIC", KVM_SET_LAPIC },
	{ "GET_MP_STATE", KVM_GET_MP_STATE },
	{ "SET_MP_STATE", KVM_SET_MP_STATE },
	{ "GET_VCPU_EVENTS", KVM_GET_VCPU_EVENTS },
	{ "SET_VCPU_EVENTS", KVM_SET_VCPU_EVENTS },
	{ "GET_DEBUGREGS", KVM_GET_DEBUGREGS },
	{ "SET_DEBUGREGS", KVM_SET_DEBUGREGS },
	{ "INTERRUPT", KVM_INTERRUPT }, { "TRANSLATE", KVM_TRANSLATE },
};

TEST_EACH(fault, "argument in a guard page or the kernel is EFAULT: ", copying, c)
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, VM_IRQCHIP);
	uint8_t *edge = map_guarded(2);

	memset(edge, 0, 2);
	EXPECT_ERR(ioctl(v->fd, c->cmd, edge), EFAULT);
	EXPECT_ERR(ioctl(v->fd, c->cmd, NULL), EFAULT);
	EXPECT_ERR(ioctl(v->fd, c->cmd, 0xffff888000000000UL), EFAULT);
	EXPECT_ERR(ioctl(v->fd, c->cmd, -8UL), EFAULT);
}

static const struct { const char *name; unsigned long cmd; size_t size; }
getters[] = {
	{ "GET_REGS", KVM_GET_REGS, sizeof(struct kvm_regs) },
	{ "GET_SREGS", KVM_GET_SREGS, sizeof(struct kvm_sregs) },
	{ "GET_FPU", KVM_GET_FPU, sizeof(struct kvm_fpu) },
	{ "GET_XSAVE", KVM_GET_XSAVE, sizeof(struct kvm_xsave) },
	{ "GET_XCRS", KVM_GET_XCRS, sizeof(struct kvm_xcrs) },
	{ "GET_LAPIC", KVM_GET_LAPIC, sizeof(struct kvm_lapic_state) },
	{ "GET_MP_STATE", KVM_GET_MP_STATE, sizeof(struct kvm_mp_state) },
	{ "GET_VCPU_EVENTS", KVM_GET_VCPU_EVENTS,
	  sizeof(struct kvm_vcpu_events) },
	{ "GET_DEBUGREGS", KVM_GET_DEBUGREGS, sizeof(struct kvm_debugregs) },
};

TEST_EACH(no_leak, "every byte is written, and just its size: ", getters, g)
{
	uint8_t *a = map_guarded(g->size), *b = map_guarded(g->size);
	struct vm vm;
	struct vcpu *v = fresh(&vm, VM_IRQCHIP);
	struct kvm_sregs noise;
	size_t i;

	memset(a, 0xa5, g->size);
	memset(b, 0x5a, g->size);
	EXPECT_OK(ioctl(v->fd, g->cmd, a));
	/* Something else on the kernel's stack in between. */
	memset(&noise, 0xff, sizeof(noise));
	ioctl(v->fd, KVM_SET_SREGS, &noise);
	EXPECT_OK(ioctl(v->fd, g->cmd, b));
	for (i = 0; i < g->size; i++)
		EXPECT_MSG(a[i] == b[i], "byte %zu: %#x and %#x", i, a[i], b[i]);
}
