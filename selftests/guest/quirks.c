// SPDX-License-Identifier: GPL-2.0-only
/* What KVM does against the manuals for the sake of old guests, and how a VMM ends that. */
#include <asm/kvm_para.h>
#include <linux/kvm_para.h>

#include "guest.h"
#include "vm.h"

#define CODE		GPA_TEST
#define FAR_VA		0x40000000ULL	/* 1 GiB, where no memory is */
#define MSR_MISC_ENABLE	0x1a0
#define MISC_MWAIT	BIT(18)

static const uint8_t vmcall[] = { 0x0f, 0x01, 0xc1, 0xc3 }, vmmcall[] = { 0x0f, 0x01, 0xd9, 0xc3 };

static volatile uint64_t g_result, g_va;

static int disable(struct vm *vm, uint64_t quirks)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2, .args = { quirks } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static const struct bad { const char *name; uint64_t args[4]; uint32_t flags; } bads[] = {
	{ "an unknown one", { BIT(7) } },
	{ "an unknown one among others", { BIT(40) | KVM_X86_QUIRK_LINT0_REENABLED } },
	{ "one that is not built", { KVM_X86_QUIRK_CD_NW_CLEARED } },
	{ "a second argument", { 0, 1 } },
	{ "flags", { 0 }, 1 },
};

TEST_EACH(quirks_bad, "DISABLE_QUIRKS2 refuses ", bads, b)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2, .flags = b->flags };
	struct vm vm;

	memcpy(cap.args, b->args, sizeof(cap.args));
	vm_init(&vm, 0);
	EXPECT_ERR(ioctl(vm.fd, KVM_ENABLE_CAP, &cap), EINVAL);
	EXPECT_OK(disable(&vm, dev_cap(KVM_CAP_DISABLE_QUIRKS2)));
	EXPECT_OK(disable(&vm, 0));
}

/* ---- the other vendor's hypercall ---- */

static void foreign_guest(void)
{
	uint64_t nr = KVM_HC_VAPIC_POLL_IRQ;

	GUEST_TRY("call *%1", : "+a"(nr) : "r"(g_va) : "memory");
	g_result = nr;
	guest_done();
}

static struct vcpu *foreign(struct vm *vm)
{
	struct vcpu *v = vm_long_mode(vm, VM_IRQCHIP, foreign_guest);

	memcpy(vm->mem + CODE, cpu_is_intel() ? vmmcall : vmcall, sizeof(vmcall));
	G(vm, g_va) = CODE;
	G(vm, g_result) = 77;
	return v;
}

TEST(hypercall_fixed, "the other vendor's hypercall becomes this CPU's")
{
	struct vm vm;
	struct vcpu *v = foreign(&vm);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_vector), NO_VECTOR);
	EXPECT_EQ(G(&vm, g_result), 0);
	EXPECT(!memcmp(vm.mem + CODE, cpu_is_intel() ? vmcall : vmmcall, sizeof(vmcall)));
}

TEST(hypercall_undefined, "without that quirk it is #UD, and stays as it is")
{
	struct vm vm;
	struct vcpu *v = foreign(&vm);

	ASSERT(!disable(&vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN));
	/* The fault comes with the return address pushed. */
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_vector), UD_VECTOR);
	EXPECT(!memcmp(vm.mem + CODE, cpu_is_intel() ? vmmcall : vmcall, sizeof(vmcall)));
}

TEST(hypercall_readonly, "where the guest may not write it is #PF for a write")
{
	uint64_t pde = GPA_PT | PTE_P | PTE_W, pte = CODE | PTE_P;
	struct vm vm;
	struct vcpu *v = foreign(&vm);

	host_needs("svm-cr2");
	memcpy(vm.mem + GPA_PD + FAR_VA / (2 << 20) * 8, &pde, sizeof(pde));
	memcpy(vm.mem + GPA_PT, &pte, sizeof(pte));
	G(&vm, g_va) = FAR_VA;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_vector), PF_VECTOR);
	EXPECT_EQ(G(&vm, g_error), PFERR_P | PFERR_W);
	EXPECT_EQ(G(&vm, g_cr2), FAR_VA + 2);
}

/* ---- MONITOR and MWAIT ---- */

static void mwait_guest(void)
{
	uint32_t out[4];

	GUEST_TRY("monitor", : : "a"(CODE), "c"(0), "d"(0) : "memory");
	g_result = g_vector;
	GUEST_TRY("mwait", : : "a"(0), "c"(0) : "memory");
	GUEST_ASSERT(g_result == g_vector);
	cpuid(1, 0, out);
	guest_sync(g_vector | (out[2] & 8) << 16);
	guest_done();
}

#define SHOWN	(8u << 16)

static const struct mwait { const char *name; uint64_t quirks, misc; uint32_t want; } mwaits[] = {
	{ "do nothing where CPUID hides them", 0, 0, NO_VECTOR },
	{ "are hidden whatever MISC_ENABLE says", 0, MISC_MWAIT, NO_VECTOR },
	{ "are #UD then, without that quirk", KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS, MISC_MWAIT,
	  UD_VECTOR },
	{ "are shown by MISC_ENABLE, without the other one", KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT,
	  MISC_MWAIT, SHOWN | NO_VECTOR },
	{ "are shown and there, without both", KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |
	  KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS, MISC_MWAIT, SHOWN | NO_VECTOR },
	{ "are hidden and #UD, without both", KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |
	  KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS, 0, UD_VECTOR },
};

TEST_EACH(mwait, "MONITOR and MWAIT ", mwaits, m)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v;

	cpuid_find(c, 1, 0)->ecx &= ~8u;
	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, mwait_guest);
	ASSERT(!disable(&vm, m->quirks));
	ASSERT(vcpu_set_msr(v, MSR_MISC_ENABLE, m->misc) == 1);
	vcpu_run_to_sync(v, m->want);
	vcpu_run_to_end(v);
}

/* ---- the LAPIC ---- */

TEST(lint0, "after reset LINT0 hears the PIC; without that quirk it is masked, as the manuals say")
{
	struct kvm_lapic_state s;
	struct vm vm;
	uint32_t lvt;

	vm_init(&vm, VM_IRQCHIP);
	ASSERT(!ioctl(vm_vcpu_raw(&vm, 0)->fd, KVM_GET_LAPIC, &s));
	memcpy(&lvt, s.regs + APIC_LVT0, sizeof(lvt));
	EXPECT_EQ(lvt, 0x700);
	vm_free(&vm);

	vm_init(&vm, VM_IRQCHIP);
	ASSERT(!disable(&vm, KVM_X86_QUIRK_LINT0_REENABLED));
	ASSERT(!ioctl(vm_vcpu_raw(&vm, 0)->fd, KVM_GET_LAPIC, &s));
	memcpy(&lvt, s.regs + APIC_LVT0, sizeof(lvt));
	EXPECT_EQ(lvt, BIT(16));
}

static void hole_guest(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	g_result = apic_read(APIC_LVR);
	apic_write(APIC_TPR, 0x20);
	guest_done();
}

TEST(lapic_hole, "in x2APIC mode the LAPIC's page reads as ones; without that quirk it is the VMM's")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, hole_guest);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), 0xffffffff);
	vm_free(&vm);

	v = vm_long_mode(&vm, VM_IRQCHIP, hole_guest);
	ASSERT(!disable(&vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE));
	want_mmio(v, APIC_BASE_GPA + APIC_LVR, 4, false);
	memset(v->run->mmio.data, 0x5a, 4);
	want_mmio(v, APIC_BASE_GPA + APIC_TPR, 4, true);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_result), 0x5a5a5a5a);
}

/* ---- the PIT's ticks ---- */

#define TICK_NS		10000000ULL
#define TICKS		20

static volatile uint32_t g_ticks;

static void tick(struct frame *f)
{
	(void)f;
	g_ticks++;
	outb(0x20, 0x20);
}

static void ticks_guest(void)
{
	const uint16_t count = 1193182 * TICK_NS / 1000000000;

	guest_pic_init(0x20, 1);
	g_handlers[0x20] = tick;
	outb(0x43, 0x34);
	outb(0x40, (uint8_t)count);
	outb(0x40, count >> 8);
	while (!g_ticks)
		sti_hlt_cli();
	guest_sync(1);
	g_ticks = 0;
	while (g_ticks < TICKS)
		sti_hlt_cli();
	guest_done();
}

TEST(lost_ticks, "REINJECT_CONTROL: ticks that the guest has missed are not made up for")
{
	struct kvm_reinject_control control = { .pit_reinject = 0 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP | VM_PIT, ticks_guest);
	uint64_t begin;

	ASSERT(!ioctl(vm.fd, KVM_REINJECT_CONTROL, &control));
	vcpu_run_to_sync(v, 1);
	sleep_ms(2 * TICKS * TICK_NS / 1000000);
	begin = now_ns();
	vcpu_run_to_end(v);
	/* One that waits at the PIC, one that has gathered, and the first may be near. */
	EXPECT_MSG(now_ns() - begin > (TICKS - 4) * TICK_NS, "%llu ns",
		   (unsigned long long)(now_ns() - begin));
}

TEST(no_pit, "REINJECT_CONTROL without a PIT: ENXIO")
{
	struct kvm_reinject_control control = { .pit_reinject = 1 };
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP);
	EXPECT_ERR(ioctl(vm.fd, KVM_REINJECT_CONTROL, &control), ENXIO);
}
