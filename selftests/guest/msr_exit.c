// SPDX-License-Identifier: GPL-2.0-only
/* MSRs that userspace serves, or keeps from the guest. */
#include "guest.h"
#include "vm.h"

#define NO_MSR		0x40000123	/* no CPU has one there */
#define REASONS		(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | \
			 KVM_MSR_EXIT_REASON_FILTER)

static volatile uint64_t g_got;

static int user_msrs(struct vm *vm, uint64_t mask)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { mask } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

/* One range of @nmsrs, each allowed as its bit in @bitmap says. */
static int filter(struct vm *vm, uint32_t how, uint32_t access, uint32_t base, uint32_t nmsrs,
		  void *bitmap)
{
	struct kvm_msr_filter f = {
		.flags = how,
		.ranges[3] = { .flags = access, .base = base, .nmsrs = nmsrs, .bitmap = bitmap },
	};

	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f);
}

static void want_msr(struct vcpu *v, uint32_t exit, uint32_t reason, uint32_t index)
{
	uint32_t got = vcpu_run(v);

	if (got != exit)
		vcpu_diag(v);
	ASSERT(got == exit);
	EXPECT_EQ(v->run->msr.reason, reason);
	EXPECT_EQ(v->run->msr.index, index);
	EXPECT_EQ(v->run->msr.error, 0);
}

static void unknown_guest(void)
{
	uint32_t a, d;

	GUEST_TRY("rdmsr", : "=a"(a), "=d"(d) : "c"(NO_MSR));
	GUEST_ASSERT(g_vector == NO_VECTOR);
	g_got = (uint64_t)d << 32 | a;
	guest_sync(1);
	GUEST_TRY("wrmsr", : : "c"(NO_MSR), "a"(0x55667788), "d"(0x11223344));
	GUEST_ASSERT(g_vector == NO_VECTOR);
	GUEST_TRY("rdmsr", : : "c"(NO_MSR) : "rax", "rdx");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	/* EFER has no bit 60. */
	GUEST_TRY("wrmsr", : : "c"(MSR_EFER), "a"(0), "d"(1 << 28));
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_sync(2);
	GUEST_TRY("rdmsr", : : "c"(NO_MSR) : "rax", "rdx");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_done();
}

TEST(msr_user, "MSRs that there are none of, and bad values, are userspace's to answer")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, unknown_guest);

	ASSERT(!user_msrs(&vm, REASONS));
	want_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, NO_MSR);
	v->run->msr.data = 0x1122334455667788;
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_got), 0x1122334455667788);
	want_msr(v, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_UNKNOWN, NO_MSR);
	EXPECT_EQ(v->run->msr.data, 0x1122334455667788);
	want_msr(v, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, NO_MSR);
	v->run->msr.error = 1;
	want_msr(v, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_INVAL, MSR_EFER);
	v->run->msr.error = 1;
	vcpu_run_to_sync(v, 2);
	/* Without the reason it is #GP, without an exit. */
	ASSERT(!user_msrs(&vm, KVM_MSR_EXIT_REASON_FILTER));
	vcpu_run_to_end(v);
}

static void filter_guest(void)
{
	GUEST_TRY("rdmsr", : : "c"(MSR_KERNEL_GS_BASE) : "rax", "rdx");
	GUEST_ASSERT(g_vector == NO_VECTOR);
	GUEST_TRY("wrmsr", : : "c"(MSR_KERNEL_GS_BASE), "a"(0x1000), "d"(0));
	GUEST_ASSERT(g_vector == NO_VECTOR);
	guest_sync(1);
	GUEST_TRY("rdmsr", : : "c"(MSR_KERNEL_GS_BASE) : "rax", "rdx");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("wrmsr", : : "c"(MSR_KERNEL_GS_BASE), "a"(0x2000), "d"(0));
	GUEST_ASSERT(g_vector == NO_VECTOR);
	GUEST_TRY("wrmsr", : : "c"(MSR_LSTAR), "a"(0x3000), "d"(0));
	GUEST_ASSERT(g_vector == NO_VECTOR);
	guest_sync(2);
	GUEST_TRY("wrmsr", : : "c"(MSR_KERNEL_GS_BASE), "a"(0x4000), "d"(0));
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_sync(3);
	GUEST_TRY("rdmsr", : : "c"(MSR_KERNEL_GS_BASE) : "rax", "rdx");
	GUEST_ASSERT(g_vector == NO_VECTOR);
	guest_done();
}

TEST(msr_filter, "a filtered MSR is #GP, or an exit, also one that the CPU would serve")
{
	uint64_t none = 0, all = ~0ULL, got;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, filter_guest);

	vcpu_run_to_sync(v, 1);
	/* Reads alone. */
	ASSERT(!filter(&vm, 0, KVM_MSR_FILTER_READ, MSR_KERNEL_GS_BASE, 1, &none));
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(vcpu_get_msr(v, MSR_KERNEL_GS_BASE, &got), 1);	/* the VMM's own */
	EXPECT_EQ(got, 0x2000);
	/* All but those of the range; of which a clear bit is one that is not allowed. */
	all &= ~(1ULL << (MSR_KERNEL_GS_BASE - 0xc0000100));
	ASSERT(!filter(&vm, KVM_MSR_FILTER_DEFAULT_DENY,
		       KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, 0xc0000100, 64, &all));
	ASSERT(!user_msrs(&vm, KVM_MSR_EXIT_REASON_FILTER));
	want_msr(v, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_KERNEL_GS_BASE);
	EXPECT_EQ(v->run->msr.data, 0x4000);
	v->run->msr.error = 1;
	vcpu_run_to_sync(v, 3);
	ASSERT(!filter(&vm, 0, 0, 0, 0, NULL));
	vcpu_run_to_end(v);
}

static void x2apic_guest(void)
{
	uint32_t a, d;

	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	guest_sync(1);
	GUEST_TRY("rdmsr", : "=a"(a), "=d"(d) : "c"(0x803));
	GUEST_ASSERT(g_vector == NO_VECTOR);
	GUEST_TRY("rdmsr", : "=a"(a), "=d"(d) : "c"(MSR_PAT));
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_done();
}

TEST(msr_filter_new, "a filter binds a vCPU that is made later, and not its x2APIC")
{
	uint64_t none = 0;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, VM_IRQCHIP);
	v = vm_vcpu(&vm, 0);
	vcpu_long_mode(v, x2apic_guest);
	vcpu_run_to_sync(v, 1);
	ASSERT(!filter(&vm, KVM_MSR_FILTER_DEFAULT_DENY, KVM_MSR_FILTER_WRITE, 0, 1, &none));
	vcpu_run_to_end(v);
	v = vm_vcpu(&vm, 1);
	ASSERT(!ioctl(v->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE }));
	vcpu_long_mode(v, filter_guest);
	/* Its first RDMSR is refused, which it does not expect. */
	ASSERT(vcpu_run(v) == KVM_EXIT_IO);
	EXPECT_EQ(v->run->io.port, PORT_FAIL);
}

TEST(msr_filter_bad, "SET_MSR_FILTER: unknown flags, no access, too many, no memory, all denied")
{
	uint64_t none = 0;
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(filter(&vm, 2, KVM_MSR_FILTER_READ, 0, 1, &none), EINVAL);
	EXPECT_ERR(filter(&vm, 0, 4, 0, 1, &none), EINVAL);
	EXPECT_ERR(filter(&vm, 0, 0, 0, 1, &none), EINVAL);
	EXPECT_ERR(filter(&vm, 0, KVM_MSR_FILTER_READ, 0, 0x600 * 8 + 1, &none), EINVAL);
	EXPECT_ERR(filter(&vm, 0, KVM_MSR_FILTER_READ, 0, -1U, &none), EINVAL);
	EXPECT_ERR(filter(&vm, 0, KVM_MSR_FILTER_READ, 0, 64, (void *)8), EFAULT);
	EXPECT_ERR(filter(&vm, KVM_MSR_FILTER_DEFAULT_DENY, 0, 0, 0, NULL), EINVAL);
	EXPECT_OK(filter(&vm, 0, 0, 0, 0, NULL));
	EXPECT_ERR(user_msrs(&vm, REASONS + 1), EINVAL);
	EXPECT_ERR(user_msrs(&vm, 1ULL << 32), EINVAL);
}
