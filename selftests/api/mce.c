// SPDX-License-Identifier: GPL-2.0-only
/* Machine checks from userspace, and SREGS2. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

#define MC_VECTOR	18
#define MCG_CAP		0x179
#define MCG_STATUS	0x17a
#define MC_BANK(n, r)	(0x400 + 4 * (n) + (r))
#define MCG_CTL_P	BIT(8)
#define STATUS_VAL	BIT(63)
#define STATUS_OVER	BIT(62)
#define STATUS_UC	BIT(61)
#define CR4_MCE		BIT(6)
#define BANKS		10

static volatile uint64_t g_seen, g_status, g_addr;

static uint64_t supported(void)
{
	uint64_t cap = 0;

	ASSERT(!ioctl(dev_open(), KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	return cap;
}

static uint64_t msr(struct vcpu *v, uint32_t index)
{
	uint64_t value;

	ASSERT(vcpu_get_msr(v, index, &value) == 1);
	return value;
}

TEST(setup, "X86_SETUP_MCE sets MCG_CAP and opens all banks")
{
	uint64_t cap = BANKS | (supported() & MCG_CTL_P);
	struct vm vm;
	struct vcpu *v;
	int i;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	EXPECT_OK(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	EXPECT_EQ(msr(v, MCG_CAP), cap);
	for (i = 0; i < BANKS; i++)
		EXPECT_EQ(msr(v, MC_BANK(i, 0)), ~0ULL);
}

static const struct { const char *name; uint64_t cap; } bad_caps[] = {
	{ "no bank", 0 },
	{ "255 banks", 255 },
	{ "a feature that nobody has (bit 63)", BIT(63) | BANKS },
	{ "CMCI, which is not emulated", BIT(10) | BANKS },
};

TEST_EACH(setup_bad, "X86_SETUP_MCE is EINVAL for ", bad_caps, b)
{
	uint64_t before, cap = b->cap;
	struct vm vm;
	struct vcpu *v;

	if (b->cap & supported() & ~0xffULL)
		SKIP("supported here");
	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	before = msr(v, MCG_CAP);
	EXPECT_ERR(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap), EINVAL);
	EXPECT_EQ(msr(v, MCG_CAP), before);
}

static struct vcpu *mce_vm(struct vm *vm, void (*entry)(void))
{
	uint64_t cap = BANKS | (supported() & MCG_CTL_P);
	struct vcpu *v = vm_long_mode(vm, VM_IRQCHIP, entry);

	ASSERT(!ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	return v;
}

static void nothing(void)
{
	guest_done();
}

static const struct {
	const char *name;
	struct kvm_x86_mce mce;
} bad_mces[] = {
	{ "a bank behind the last", { .bank = BANKS, .status = STATUS_VAL } },
	{ "bank 255", { .bank = 255, .status = STATUS_VAL } },
	{ "a status that is not valid", { .status = STATUS_UC } },
};

TEST_EACH(set_bad, "X86_SET_MCE is EINVAL for ", bad_mces, b)
{
	struct kvm_x86_mce mce = b->mce;
	struct vm vm;
	struct vcpu *v = mce_vm(&vm, nothing);

	EXPECT_ERR(ioctl(v->fd, KVM_X86_SET_MCE, &mce), EINVAL);
	vcpu_run_to_end(v);
}

TEST(corrected, "X86_SET_MCE logs a corrected error, and marks the second")
{
	struct kvm_x86_mce mce = { .bank = 2, .status = STATUS_VAL | 0x135,
				   .addr = 0x1234, .misc = 0x5678 };
	struct vm vm;
	struct vcpu *v = mce_vm(&vm, nothing);

	EXPECT_OK(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	EXPECT_EQ(msr(v, MC_BANK(2, 1)), STATUS_VAL | 0x135);
	EXPECT_EQ(msr(v, MC_BANK(2, 2)), 0x1234);
	EXPECT_EQ(msr(v, MC_BANK(2, 3)), 0x5678);
	mce.addr = 0x9abc;
	EXPECT_OK(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	EXPECT_EQ(msr(v, MC_BANK(2, 1)), STATUS_VAL | STATUS_OVER | 0x135);
	EXPECT_EQ(msr(v, MC_BANK(2, 2)), 0x9abc);
	/* Nothing is raised for it. */
	vcpu_run_to_end(v);
}

static void mc_seen(struct frame *f)
{
	(void)f;
	g_seen++;
	g_status = rdmsr(MC_BANK(1, 1));
	g_addr = rdmsr(MC_BANK(1, 2));
	wrmsr(MC_BANK(1, 1), 0);
	wrmsr(MCG_STATUS, 0);
}

static void wait_for_mc(void)
{
	asm volatile("mov %%cr4, %%rax; or %0, %%rax; mov %%rax, %%cr4"
		     : : "r"(CR4_MCE) : "rax");
	guest_sync(1);
	guest_sync(2);
	guest_done();
}

TEST(uncorrected, "X86_SET_MCE of an uncorrected error raises MC")
{
	struct kvm_x86_mce mce = { .bank = 1, .addr = 0x4242,
				   .status = STATUS_VAL | STATUS_UC, .mcg_status = 5 };
	struct vm vm;
	struct vcpu *v = mce_vm(&vm, wait_for_mc);

	G(&vm, g_handlers[MC_VECTOR]) = mc_seen;
	vcpu_run_to_sync(v, 1);
	EXPECT_OK(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	EXPECT_EQ(msr(v, MCG_STATUS), 5);
	vcpu_run_to_sync(v, 2);
	EXPECT_EQ(G(&vm, g_seen), 1);
	EXPECT_EQ(G(&vm, g_status), STATUS_VAL | STATUS_UC);
	EXPECT_EQ(G(&vm, g_addr), 0x4242);
	EXPECT_EQ(msr(v, MC_BANK(1, 1)), 0);
	vcpu_run_to_end(v);
}

TEST(no_handler, "X86_SET_MCE with CR4.MCE off or one in service: shutdown")
{
	struct kvm_x86_mce mce = { .bank = 1, .status = STATUS_VAL | STATUS_UC,
				   .mcg_status = 5 };
	struct vm vm;
	struct vcpu *v = mce_vm(&vm, nothing);

	EXPECT_OK(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_SHUTDOWN);
}

static const struct { const char *name; uint64_t value; int done; } ctls[] = {
	{ "0", 0, 1 },
	{ "all ones", ~0ULL, 1 },
	{ "anything between", 0xff00, 0 },
};

TEST_EACH(mci_ctl, "a bank's control MSR, written with ", ctls, c)
{
	struct vm vm;
	struct vcpu *v = mce_vm(&vm, nothing);

	EXPECT_EQ(vcpu_set_msr(v, MC_BANK(3, 0), c->value), c->done);
	EXPECT_EQ(msr(v, MC_BANK(3, 0)), c->done ? c->value : ~0ULL);
}

/* SREGS2. */

static struct kvm_sregs2 sregs2(struct vcpu *v)
{
	struct kvm_sregs2 s;

	memset(&s, 0xa5, sizeof(s));
	ASSERT(!ioctl(v->fd, KVM_GET_SREGS2, &s));
	return s;
}

TEST(sregs2_same, "GET_SREGS2 gives what GET_SREGS gives, no flag in long mode")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_sregs2 s2 = sregs2(v);

	EXPECT(!memcmp(&s, &s2, offsetof(struct kvm_sregs, interrupt_bitmap)));
	EXPECT_EQ(s2.flags, 0);
	EXPECT_OK(ioctl(v->fd, KVM_SET_SREGS2, &s2));
	vcpu_run_to_end(v);
}

TEST(sregs2_flags, "SET_SREGS2 with an unknown flag is EINVAL, nothing changed")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	struct kvm_sregs2 s = sregs2(v);

	s.flags = 2;
	s.cr2 = 0x1234;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_SREGS2, &s), EINVAL);
	EXPECT_EQ(sregs2(v).cr2, 0);
	vcpu_run_to_end(v);
}

TEST(sregs2_pdptes_long, "SET_SREGS2 with PDPTEs outside of PAE paging is EINVAL")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	struct kvm_sregs2 s = sregs2(v);

	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_SREGS2, &s), EINVAL);
	vcpu_run_to_end(v);
}

TEST(sregs2_pdptes, "SET_SREGS2 then GET_SREGS2: the PDPTEs of PAE paging")
{
	struct vm vm;
	struct vcpu *v;
	struct kvm_sregs2 s;
	int i;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	s = sregs2(v);
	s.cr0 = BIT(31) | BIT(4) | BIT(0);
	s.cr4 |= BIT(5);
	s.cr3 = GPA_TEST;
	s.efer = 0;
	s.cs.l = 0;
	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	for (i = 0; i < 4; i++)
		s.pdptrs[i] = GPA_TEST + 0x1000 * i + 1;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS2, &s));
	s = sregs2(v);
	EXPECT_EQ(s.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(s.pdptrs[i], GPA_TEST + 0x1000ULL * i + 1);

	/* Without the flag they come from the table that CR3 names. */
	((uint64_t *)(vm.mem + GPA_TEST))[2] = GPA_TEST + 0x8001;
	s.flags = 0;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS2, &s));
	s = sregs2(v);
	EXPECT_EQ(s.pdptrs[0], 0);
	EXPECT_EQ(s.pdptrs[2], GPA_TEST + 0x8001ULL);
}

TEST(debug2, "SET_GUEST_DEBUG takes the flags that DEBUG2 tells, no other")
{
	uint32_t valid = dev_cap(KVM_CAP_SET_GUEST_DEBUG2);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	int bit;

	for (bit = 1; bit < 32; bit++) {
		struct kvm_guest_debug d = { .control = 1u << bit };

		/* Injection changes the state; others tests do that. */
		if (d.control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP))
			continue;
		if (valid & d.control)
			EXPECT_OK(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d));
		else if (on_umbra())
			EXPECT_ERR(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d), EINVAL);
	}
	vcpu_run_to_end(v);
}
