// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_MSRS and KVM_SET_MSRS. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define MAX	64

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry e[MAX];
};

#define UNKNOWN_MSR	0x40000123	/* no CPU has one there */

static struct vcpu *fresh(struct vm *vm)
{
	vm_init(vm, VM_IRQCHIP | VM_NO_MEMORY);
	return vm_vcpu(vm, 0);
}

static const struct round {
	const char *name;
	uint32_t msr;
	uint64_t value;
} rounds[] = {
	{ "STAR", MSR_STAR, 0x0023001000000000 },
	{ "LSTAR", MSR_LSTAR, 0xffffffff81000000 },
	{ "CSTAR", MSR_CSTAR, 0xffffffff82000000 },
	{ "SFMASK", MSR_SFMASK, 0x47700 },
	{ "KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0xffff888000000000 },
	{ "FS_BASE", MSR_FS_BASE, 0x7f1234567000 },
	{ "GS_BASE", MSR_GS_BASE, 0xffff88807fc00000 },
	{ "SYSENTER_CS", MSR_SYSENTER_CS, 0x10 },
	{ "SYSENTER_ESP", MSR_SYSENTER_ESP, 0x12342000 },
	{ "SYSENTER_EIP", MSR_SYSENTER_EIP, 0x81001000 },
	{ "PAT", MSR_PAT, 0x0007010600070106 },
	{ "EFER", MSR_EFER, EFER_SCE | EFER_NX },
	{ "KVM_WALL_CLOCK_NEW", 0x4b564d00, 0 },
	{ "POWER_CTL", 0x1fc, 0x1234 },
	{ "MTRR default type", 0x2ff, 0xc06 },
	{ "MTRR fixed 64K", 0x250, 0x0606060606060606 },
	{ "MTRR variable base 0", 0x200, 0x80000006 },
};

TEST_EACH(msr_round, "SET_MSRS then GET_MSRS: ", rounds, m)
{
	uint64_t got = 0x5a5a5a5a;
	struct vm vm;
	struct vcpu *v = fresh(&vm);

	EXPECT_EQ(vcpu_set_msr(v, m->msr, m->value), 1);
	EXPECT_EQ(vcpu_get_msr(v, m->msr, &got), 1);
	EXPECT_EQ(got, m->value);
}

static const struct round refused[] = {
	{ "an unknown MSR", UNKNOWN_MSR, 0 },
	{ "LSTAR, not canonical", MSR_LSTAR, 0x8000000000000000 },
	{ "CSTAR, not canonical", MSR_CSTAR, 0x8000000000000000 },
	{ "KERNEL_GS_BASE, not canonical", MSR_KERNEL_GS_BASE,
	  0x8000000000000000 },
	{ "FS_BASE, not canonical", MSR_FS_BASE, 0x8000000000000000 },
	{ "GS_BASE, not canonical", MSR_GS_BASE, 0x8000000000000000 },
	{ "PAT with a type that is none", MSR_PAT, 0x0202020202020202 },
	{ "EFER with a reserved bit", MSR_EFER, BIT(9) },
	{ "EFER bit 63", MSR_EFER, BIT(63) },
	{ "APIC_BASE with a reserved bit", MSR_APIC_BASE,
	  0xfee00000 | APIC_BASE_ON | 1 },
	{ "MTRR with a type that is none", 0x250, 0x0202020202020202 },
};

TEST_EACH(msr_refused, "SET_MSRS does 0 of 1 for ", refused, m)
{
	uint64_t before = 0, after = 1;
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	int has = vcpu_get_msr(v, m->msr, &before);

	EXPECT_EQ(vcpu_set_msr(v, m->msr, m->value), 0);
	EXPECT_EQ(vcpu_get_msr(v, m->msr, &after), has);
	if (has == 1)
		EXPECT_EQ(after, before);
}

TEST(msr_sysenter_canonical, "SET_MSRS of SYSENTER_ESP and _EIP, not canonical, is harmless")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	uint64_t got;

	/* Refused, or made canonical: an AMD CPU has 32 bits there. */
	vcpu_set_msr(v, MSR_SYSENTER_ESP, 0x8000000000000000);
	EXPECT_EQ(vcpu_get_msr(v, MSR_SYSENTER_ESP, &got), 1);
	EXPECT_EQ((int64_t)(got << 7) >> 7, got);
	vcpu_set_msr(v, MSR_SYSENTER_EIP, 0x8000000000000000);
	EXPECT_EQ(vcpu_get_msr(v, MSR_SYSENTER_EIP, &got), 1);
	EXPECT_EQ((int64_t)(got << 7) >> 7, got);
}

TEST(msr_partial_set, "SET_MSRS stops at the first bad one and says how many")
{
	struct msrs m = { .head.nmsrs = 3, .e = {
		{ .index = MSR_LSTAR, .data = 0x1000 },
		{ .index = UNKNOWN_MSR, .data = 1 },
		{ .index = MSR_CSTAR, .data = 0x2000 },
	} };
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	uint64_t got;

	EXPECT_EQ(ioctl(v->fd, KVM_SET_MSRS, &m), 1);
	EXPECT_EQ(vcpu_get_msr(v, MSR_LSTAR, &got), 1);
	EXPECT_EQ(got, 0x1000);
	EXPECT_EQ(vcpu_get_msr(v, MSR_CSTAR, &got), 1);
	EXPECT_EQ(got, 0);
}

TEST(msr_partial_get, "GET_MSRS stops at the first bad one and says how many")
{
	struct msrs m = { .head.nmsrs = 3, .e = {
		{ .index = MSR_PAT, .data = 0x5a },
		{ .index = UNKNOWN_MSR, .data = 0x5a },
		{ .index = MSR_PAT, .data = 0x5a },
	} };
	struct vm vm;
	struct vcpu *v = fresh(&vm);

	EXPECT_EQ(ioctl(v->fd, KVM_GET_MSRS, &m), 1);
	EXPECT_EQ(m.e[0].data, 0x0007040600070406);
	EXPECT_EQ(m.e[2].data, 0x5a);
}

TEST(msr_none, "GET and SET_MSRS of no MSR do none")
{
	struct kvm_msrs *m = map_guarded(sizeof(*m));
	struct vm vm;
	struct vcpu *v = fresh(&vm);

	m->nmsrs = 0;
	EXPECT_EQ(ioctl(v->fd, KVM_GET_MSRS, m), 0);
	EXPECT_EQ(ioctl(v->fd, KVM_SET_MSRS, m), 0);
}

TEST(msr_too_many, "GET and SET_MSRS of 256 and more, to 2^32 - 1, are E2BIG")
{
	static const uint32_t nr[] = { 256, 257, 65536, 1U << 31, -1U };
	struct kvm_msrs *m = map_guarded(sizeof(*m));
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nr); i++) {
		m->nmsrs = nr[i];
		EXPECT_ERR(ioctl(v->fd, KVM_GET_MSRS, m), E2BIG);
		EXPECT_ERR(ioctl(v->fd, KVM_SET_MSRS, m), E2BIG);
	}
}

TEST(msr_most, "GET_MSRS of 255 at once works")
{
	struct kvm_msrs *m = map_guarded(sizeof(*m) + 255 * sizeof(m->entries[0]));
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	int i;

	memset(m, 0, sizeof(*m));
	m->nmsrs = 255;
	for (i = 0; i < 255; i++)
		m->entries[i].index = MSR_PAT;
	EXPECT_EQ(ioctl(v->fd, KVM_GET_MSRS, m), 255);
	EXPECT_EQ(m->entries[254].data, 0x0007040600070406);
}

TEST(msr_guard, "GET_MSRS with entries that reach into a guard page is EFAULT")
{
	struct kvm_msrs *m = map_guarded(sizeof(*m) + 24);
	struct vm vm;
	struct vcpu *v = fresh(&vm);

	m->nmsrs = 2;
	EXPECT_ERR(ioctl(v->fd, KVM_GET_MSRS, m), EFAULT);
	EXPECT_ERR(ioctl(v->fd, KVM_SET_MSRS, m), EFAULT);
}

TEST(msr_save_restore, "all MSRs that are listed can be saved and restored")
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 4096 * 4);
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	uint64_t value;
	uint32_t i;

	list->nmsrs = 4096;
	ASSERT(!ioctl(vm.sys, KVM_GET_MSR_INDEX_LIST, list));
	for (i = 0; i < list->nmsrs; i++) {
		uint32_t msr = list->indices[i];

		/* Hyper-V's: listed by stock KVM, though no vCPU here has it. */
		if ((msr >> 8) == 0x400000)
			continue;
		if (vcpu_get_msr(v, msr, &value) != 1) {
			EXPECT_MSG(!on_umbra(), "%#x cannot be got", msr);
			continue;
		}
		EXPECT_MSG(vcpu_set_msr(v, msr, value) == 1 || !on_umbra(),
			   "%#x cannot be set to its own value %#llx", msr,
			   (unsigned long long)value);
	}
}

static const struct { const char *name; uint32_t from, to; } sweeps[] = {
	{ "0 to 0x1fff", 0, 0x1fff },
	{ "0xc0000000 to 0xc0001fff", 0xc0000000, 0xc0001fff },
	{ "0xc0010000 to 0xc0011fff", 0xc0010000, 0xc0011fff },
	{ "0x40000000 to 0x400001ff", 0x40000000, 0x400001ff },
	{ "0x4b564d00 to 0x4b564dff", 0x4b564d00, 0x4b564dff },
	{ "0xffffff00 to 0xfffffffe", 0xffffff00, 0xfffffffe },
};

TEST_EACH(msr_sweep, "GET_MSRS and writing it back answer 0 or 1 for ", sweeps, s)
{
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	uint32_t msr;

	for (msr = s->from; msr <= s->to; msr++) {
		uint64_t value;
		int r = vcpu_get_msr(v, msr, &value);

		EXPECT_MSG(r == 0 || r == 1, "%#x: %d", msr, r);
		if (r != 1)
			continue;
		r = vcpu_set_msr(v, msr, value);
		EXPECT_MSG(r == 0 || r == 1, "%#x set: %d", msr, r);
	}
}

TEST_SECONDS(msr_sweep_wild, "SET_MSRS of wild values to wild MSRs is survived", 60)
{
	static const uint64_t wild[] = { 0, 1, -1ULL, 0x8000000000000000,
		0x7fffffffffffffff, 0x00007ffffffff000, 0xfffffffffffff000 };
	unsigned int seed = ktap_env("SEED", 1), i, j;
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	uint64_t value;

	ktap_diag("SEED=%u", seed);
	for (i = 0; i < 4000; i++) {
		static const uint32_t base[] = { 0, 0xc0000000, 0xc0010000,
						 0x4b564d00, 0x800, 0x200 };
		uint32_t msr = base[rand_r(&seed) % ARRAY_SIZE(base)] +
			       rand_r(&seed) % 0x200;

		for (j = 0; j < ARRAY_SIZE(wild); j++)
			vcpu_set_msr(v, msr, wild[j]);
	}
	EXPECT_EQ(vcpu_get_msr(v, MSR_PAT, &value), 1);
}

TEST(msr_tsc, "SET_MSRS of the TSC sets it, and it counts from there")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm);
	uint64_t a, b;

	EXPECT_EQ(vcpu_set_msr(v, MSR_TSC, 0x123456789abcdef), 1);
	EXPECT_EQ(vcpu_get_msr(v, MSR_TSC, &a), 1);
	sleep_ms(5);
	EXPECT_EQ(vcpu_get_msr(v, MSR_TSC, &b), 1);
	EXPECT(a >= 0x123456789abcdef);
	EXPECT(a - 0x123456789abcdef < 100000000000ULL);
	EXPECT(b > a);
}
