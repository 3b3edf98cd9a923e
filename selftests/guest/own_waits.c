// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_X86_DISABLE_EXITS: a guest that waits by itself. */
#include "guest.h"
#include "vm.h"

#define VECTOR		0x55
#define TICKS		5
#define PAUSES		20000

static volatile uint64_t g_ticks;
static volatile uint32_t g_watched;

static void on_tick(struct frame *f)
{
	(void)f;
	g_ticks++;
	apic_eoi();
}

static void prepare(void)
{
	g_handlers[VECTOR] = on_tick;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, VECTOR);
}

/* Any exit may end a wait too: the guest looks whether it was its own timer. */
static void halts(void)
{
	uint64_t n;

	prepare();
	for (n = 1; n <= TICKS; n++) {
		apic_write(APIC_TMICT, 3000000);
		while (g_ticks < n)
			asm volatile("sti; hlt; cli" : : : "memory");
	}
	guest_done();
}

static void mwaits(void)
{
	uint64_t n;

	prepare();
	sti();
	for (n = 1; n <= TICKS; n++) {
		apic_write(APIC_TMICT, 3000000);
		while (g_ticks < n) {
			asm volatile("monitor" : : "a"(&g_watched), "c"(0), "d"(0) : "memory");
			asm volatile("mwait" : : "a"(0), "c"(0) : "memory");
		}
	}
	guest_done();
}

static void pauses(void)
{
	unsigned int i;

	for (i = 0; i < PAUSES; i++)
		asm volatile("pause" : : : "memory");
	guest_done();
}

static int disable(struct vm *vm, uint64_t exits)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { exits } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static const struct wait {
	const char *name;
	uint64_t exit;
	void (*entry)(void);
	const char *reason;
	bool always;		/* without the capability each is an exit */
} waits[] = {
	{ "HLT", KVM_X86_DISABLE_EXITS_HLT, halts, "hlt", true },
	{ "MWAIT", KVM_X86_DISABLE_EXITS_MWAIT, mwaits, "mwait", true },
	{ "PAUSE", KVM_X86_DISABLE_EXITS_PAUSE, pauses, "pause", false },
};

TEST_EACH(own_wait, "a guest that may waits without an exit: ", waits, w)
{
	struct vcpu *v;
	struct vm vm;

	if (!(dev_cap(KVM_CAP_X86_DISABLE_EXITS) & (int)w->exit))
		SKIP("the device does not offer it");
	vm_init(&vm, VM_IRQCHIP);
	ASSERT(!disable(&vm, w->exit));
	v = vm_vcpu(&vm, 0);
	vcpu_long_mode(v, w->entry);
	vcpu_run_to_end(v);
	if (on_umbra())
		EXPECT_EQ(exit_count(&vm, w->reason), 0);
	vm_free(&vm);

	v = vm_long_mode(&vm, VM_IRQCHIP, w->entry);
	vcpu_run_to_end(v);
	if (on_umbra() && w->always)
		EXPECT(exit_count(&vm, w->reason) > 0);
}

TEST(refused, "KVM_CAP_X86_DISABLE_EXITS: what CHECK_EXTENSION says, and before the first vCPU")
{
	uint64_t can = (uint64_t)dev_cap(KVM_CAP_X86_DISABLE_EXITS);
	struct vm vm;

	EXPECT(can & KVM_X86_DISABLE_EXITS_HLT);
	EXPECT(can & KVM_X86_DISABLE_EXITS_PAUSE);
	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(disable(&vm, 1ULL << 32), EINVAL);
	EXPECT_ERR(disable(&vm, 16), EINVAL);
	if (on_umbra())
		EXPECT_ERR(disable(&vm, KVM_X86_DISABLE_EXITS_CSTATE), EINVAL);
	EXPECT_OK(disable(&vm, can));
	vm_vcpu_raw(&vm, 0);
	if (on_umbra())
		EXPECT_ERR(disable(&vm, can), EINVAL);
}
