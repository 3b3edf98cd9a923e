// SPDX-License-Identifier: GPL-2.0-only
/* State of a vCPU: what is set can be got, what cannot be is refused. */
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

/* General registers. */

TEST(regs_reset, "GET_REGS of a new vCPU: RIP 0xfff0, RFLAGS 2, RDX its model")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_regs r;

	memset(&r, 0xa5, sizeof(r));
	ASSERT(!ioctl(v->fd, KVM_GET_REGS, &r));
	EXPECT_EQ(r.rip, 0xfff0);
	EXPECT_EQ(r.rflags, 2);
	EXPECT_EQ(r.rax, 0);
	EXPECT_EQ(r.rsp, 0);
	EXPECT_EQ(r.r15, 0);
	EXPECT(r.rdx != 0);
}

TEST(regs_round, "SET_REGS then GET_REGS gives all registers")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_regs a, b;
	uint64_t *p = (uint64_t *)&a;
	unsigned int i;

	for (i = 0; i < sizeof(a) / 8; i++)
		p[i] = 0x0123456789abcdefULL * (i + 1);
	a.rip = 0x7fff12345678;
	a.rflags = FLAGS_FIXED | FLAGS_IF | 0x8d5;
	EXPECT_OK(ioctl(v->fd, KVM_SET_REGS, &a));
	memset(&b, 0, sizeof(b));
	EXPECT_OK(ioctl(v->fd, KVM_GET_REGS, &b));
	EXPECT(!memcmp(&a, &b, sizeof(a)));
}

TEST(regs_fixed_flag, "SET_REGS with RFLAGS 0 keeps the bit that is always 1")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_regs r = { 0 };

	EXPECT_OK(ioctl(v->fd, KVM_SET_REGS, &r));
	EXPECT_EQ(vcpu_regs(v).rflags, 2);
}

/* Special registers. */

TEST(sregs_reset, "GET_SREGS of a new vCPU is the state after reset")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, VM_IRQCHIP);
	struct kvm_sregs s = vcpu_sregs(v);

	EXPECT_EQ(s.cr0, 0x60000010);
	EXPECT_EQ(s.cr3, 0);
	EXPECT_EQ(s.cr4, 0);
	EXPECT_EQ(s.cr8, 0);
	EXPECT_EQ(s.efer, 0);
	EXPECT_EQ(s.cs.selector, 0xf000);
	EXPECT_EQ(s.cs.base, 0xffff0000);
	EXPECT_EQ(s.cs.limit, 0xffff);
	EXPECT_EQ(s.ds.base, 0);
	EXPECT_EQ(s.ds.limit, 0xffff);
	EXPECT_EQ(s.gdt.limit, 0xffff);
	EXPECT_EQ(s.idt.limit, 0xffff);
	EXPECT_EQ(s.apic_base, 0xfee00900);
}

TEST(sregs_padding, "GET_SREGS leaves no old byte in the padding")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	const struct kvm_segment *seg;
	struct kvm_sregs s;
	unsigned int i;

	memset(&s, 0xa5, sizeof(s));
	ASSERT(!ioctl(v->fd, KVM_GET_SREGS, &s));
	for (i = 0, seg = &s.cs; i < 8; i++)
		EXPECT_EQ(seg[i].padding, 0);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(s.gdt.padding[i], 0);
		EXPECT_EQ(s.idt.padding[i], 0);
	}
	for (i = 0; i < ARRAY_SIZE(s.interrupt_bitmap); i++)
		EXPECT_EQ(s.interrupt_bitmap[i], 0);
}

static void nothing(void)
{
	guest_done();
}

static struct vcpu *long_mode_vm(struct vm *vm)
{
	return vm_long_mode(vm, 0, nothing);
}

TEST(sregs_round, "SET_SREGS then GET_SREGS gives long-mode state")
{
	struct vm vm;
	struct vcpu *v = long_mode_vm(&vm);
	struct kvm_sregs a = vcpu_sregs(v), b;

	a.fs.base = 0x00007abcdef01000;
	a.gs.base = 0xffff888012345000;
	a.cr2 = 0xdeadbeef000;
	a.cr8 = 9;
	a.gdt.base = 0xfffffe0000001000;
	a.gdt.limit = 0x7f;
	a.idt.limit = 0x123;
	a.ds.selector = 0;
	a.ds.unusable = 1;
	a.ds.present = 0;
	EXPECT_OK(ioctl(v->fd, KVM_SET_SREGS, &a));
	b = vcpu_sregs(v);
	EXPECT_EQ(b.fs.base, a.fs.base);
	EXPECT_EQ(b.gs.base, a.gs.base);
	EXPECT_EQ(b.cr0, a.cr0);
	EXPECT_EQ(b.cr2, a.cr2);
	EXPECT_EQ(b.cr3, a.cr3);
	EXPECT_EQ(b.cr4, a.cr4);
	EXPECT_EQ(b.cr8, a.cr8);
	EXPECT_EQ(b.efer, a.efer);
	EXPECT_EQ(b.gdt.base, a.gdt.base);
	EXPECT_EQ(b.gdt.limit, a.gdt.limit);
	EXPECT_EQ(b.idt.limit, a.idt.limit);
	EXPECT_EQ(b.cs.selector, a.cs.selector);
	EXPECT_EQ(b.cs.l, 1);
	EXPECT_EQ(b.cs.db, 0);
	EXPECT_EQ(b.cs.type, a.cs.type);
	EXPECT_EQ(b.tr.base, a.tr.base);
	EXPECT_EQ(b.tr.type, a.tr.type);
	EXPECT_EQ(b.ds.unusable, 1);
}

enum sreg { CR0, CR3, CR4, CR8, EFER, CS_L };

static const struct bad_sreg {
	const char *name;
	enum sreg reg;
	uint64_t flip;
} bad_sregs[] = {
	{ "PG without PE", CR0, CR0_PE },
	{ "a bit of CR0's upper half", CR0, BIT(32) },
	{ "CR0 bit 63", CR0, BIT(63) },
	{ "NW without CD", CR0, CR0_NW },
	{ "long mode without PAE", CR4, CR4_PAE },
	{ "long mode without LMA", EFER, EFER_LMA },
	{ "CR4 bit 15, reserved", CR4, BIT(15) },
	{ "CR4 bit 19, reserved", CR4, BIT(19) },
	{ "CR4 bit 31, reserved", CR4, BIT(31) },
	{ "CR4 bit 63, reserved", CR4, BIT(63) },
	{ "CR4.VMXE", CR4, BIT(13) },
	{ "CR3 bit 63", CR3, BIT(63) },
	{ "CR3 beyond the address width", CR3, BIT(55) },
};

static uint64_t *sreg(struct kvm_sregs *s, enum sreg reg)
{
	switch (reg) {
	case CR0:
		return (uint64_t *)&s->cr0;
	case CR3:
		return (uint64_t *)&s->cr3;
	case CR4:
		return (uint64_t *)&s->cr4;
	case CR8:
		return (uint64_t *)&s->cr8;
	default:
		return (uint64_t *)&s->efer;
	}
}

TEST_EACH(sregs_bad, "SET_SREGS is EINVAL for ", bad_sregs, b)
{
	struct vm vm;
	struct vcpu *v = long_mode_vm(&vm);
	struct kvm_sregs s = vcpu_sregs(v), after;

	*sreg(&s, b->reg) ^= b->flip;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_SREGS, &s), EINVAL);
	after = vcpu_sregs(v);
	EXPECT_EQ(*sreg(&after, b->reg), *sreg(&s, b->reg) ^ b->flip);
	/* The vCPU is as it was: it still runs. */
	vcpu_run_to_end(v);
}

TEST(sregs_osxsave_without, "SET_SREGS with OSXSAVE on a vCPU without XSAVE is EINVAL")
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 leaf[2];
	} cpuid = { .head.nent = 2, .leaf[0].eax = 1, .leaf[1].function = 1 };
	struct vm vm;
	struct kvm_sregs s;
	struct vcpu *v;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	ASSERT(!ioctl(v->fd, KVM_SET_CPUID2, &cpuid));
	s = vcpu_sregs(v);
	s.cr4 |= CR4_OSXSAVE;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_SREGS, &s), EINVAL);
}

static const struct { const char *name; enum sreg reg; } flips[] = {
	{ "CR0", CR0 }, { "CR4", CR4 }, { "EFER", EFER }, { "CR3", CR3 },
	{ "CR8", CR8 },
};

/*
 * Whatever a single flipped bit means: it is refused, or it can be read back
 * and the vCPU runs to some exit. An error of KVM_RUN itself is neither.
 */
TEST_EACH(sregs_flip, "SET_SREGS with each single bit flipped is sane: ", flips, f)
{
	unsigned int bit;

	host_needs("vmx-interrupts");
	for (bit = 0; bit < 64; bit++) {
		struct vm vm;
		struct vcpu *v = long_mode_vm(&vm);
		struct kvm_sregs s = vcpu_sregs(v), t;
		int r;

		*sreg(&s, f->reg) ^= BIT(bit);
		if (ioctl(v->fd, KVM_SET_SREGS, &s)) {
			EXPECT_MSG(errno == EINVAL, "bit %u: %s", bit,
				   strerror(errno));
			vm_free(&vm);
			continue;
		}
		t = vcpu_sregs(v);
		if (f->reg != CR8)
			EXPECT_MSG(*sreg(&t, f->reg) == *sreg(&s, f->reg),
				   "bit %u: %#llx became %#llx", bit,
				   (unsigned long long)*sreg(&s, f->reg),
				   (unsigned long long)*sreg(&t, f->reg));
		/* It may spin, where its page tables are nowhere. */
		r = vcpu_run_for(v, 50);
		EXPECT_MSG(!r || errno == EINVAL || errno == EINTR,
			   "bit %u: KVM_RUN: %s", bit, strerror(errno));
		vm_free(&vm);
	}
}

TEST(sregs_odd_segments, "SET_SREGS with odd segments, then RUN: some exit, no harm")
{
	unsigned int seed = ktap_env("SEED", 1), i, j;

	host_needs("vmx-interrupts");
	ktap_diag("SEED=%u", seed);
	for (i = 0; i < 60; i++) {
		struct vm vm;
		struct vcpu *v = long_mode_vm(&vm);
		struct kvm_sregs s = vcpu_sregs(v);
		struct kvm_segment *seg = &s.cs + rand_r(&seed) % 8;
		uint8_t *p = (uint8_t *)seg;

		for (j = 0; j < 3; j++)
			p[rand_r(&seed) % sizeof(*seg)] = rand_r(&seed) >> 7;
		/* A wild guest need not exit by itself. */
		if (!ioctl(v->fd, KVM_SET_SREGS, &s))
			vcpu_run_for(v, 50);
		vcpu_regs(v);
		vm_free(&vm);
	}
}

/* FPU, XSAVE, XCRs. */

TEST(fpu_round, "SET_FPU then GET_FPU gives the x87 and SSE registers")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_fpu a = { 0 }, b;
	unsigned int i;

	for (i = 0; i < sizeof(a.xmm); i++)
		((uint8_t *)a.xmm)[i] = i * 3 + 1;
	for (i = 0; i < 8; i++)
		memset(a.fpr[i], 0x10 + i, 10);
	a.fcw = 0x27f;
	a.fsw = 0x3800;
	a.ftwx = 0xff;
	a.last_opcode = 0x123;
	a.last_ip = 0x1122334455;
	a.last_dp = 0x5544332211;
	EXPECT_OK(ioctl(v->fd, KVM_SET_FPU, &a));
	memset(&b, 0xa5, sizeof(b));
	EXPECT_OK(ioctl(v->fd, KVM_GET_FPU, &b));
	EXPECT(!memcmp(a.xmm, b.xmm, sizeof(a.xmm)));
	for (i = 0; i < 8; i++)
		EXPECT(!memcmp(a.fpr[i], b.fpr[i], 10));
	EXPECT_EQ(b.fcw, a.fcw);
	EXPECT_EQ(b.fsw, a.fsw);
	EXPECT_EQ(b.ftwx, a.ftwx);
	EXPECT_EQ(b.last_opcode, a.last_opcode);
	EXPECT_EQ(b.last_ip, a.last_ip);
	EXPECT_EQ(b.last_dp, a.last_dp);
	EXPECT_EQ(b.pad1, 0);
	EXPECT_EQ(b.pad2, 0);
}

/* Offsets in the XSAVE area, in 32-bit words. */
#define XSAVE_MXCSR	6
#define XSAVE_XMM	40
#define XSAVE_BV	128

TEST(xsave_round, "SET_XSAVE then GET_XSAVE gives SSE state and its bit")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_xsave a, b;

	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE, &a));
	a.region[XSAVE_BV] |= 3;
	a.region[XSAVE_XMM] = 0x12345678;
	a.region[XSAVE_XMM + 63] = 0x9abcdef0;
	a.region[XSAVE_MXCSR] = 0x1f00;
	EXPECT_OK(ioctl(v->fd, KVM_SET_XSAVE, &a));
	memset(&b, 0xa5, sizeof(b));
	EXPECT_OK(ioctl(v->fd, KVM_GET_XSAVE, &b));
	EXPECT_EQ(b.region[XSAVE_XMM], 0x12345678);
	EXPECT_EQ(b.region[XSAVE_XMM + 63], 0x9abcdef0);
	EXPECT_EQ(b.region[XSAVE_MXCSR], 0x1f00);
	EXPECT_EQ(b.region[XSAVE_BV] & 2, 2);
}

TEST(xsave_bad_mxcsr, "SET_XSAVE with reserved bits of MXCSR is EINVAL")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_xsave a;

	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE, &a));
	a.region[XSAVE_BV] |= 2;
	a.region[XSAVE_MXCSR] = 0x80000000;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_XSAVE, &a), EINVAL);
}

TEST(xsave_bad_bv, "SET_XSAVE with a component nobody has is EINVAL")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_xsave a;

	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE, &a));
	a.region[XSAVE_BV + 1] = 0x40000000;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_XSAVE, &a), EINVAL);
}

TEST(xsave_clean, "GET_XSAVE of a new vCPU holds no old byte")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_xsave a, b;

	memset(&a, 0xa5, sizeof(a));
	memset(&b, 0x5a, sizeof(b));
	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE, &a));
	ASSERT(!ioctl(v->fd, KVM_GET_XSAVE, &b));
	EXPECT(!memcmp(&a, &b, sizeof(a)));
	EXPECT_EQ(a.region[0] & 0xffff, 0x37f);
	EXPECT_EQ(a.region[XSAVE_MXCSR], 0x1f80);
}

TEST(xcrs_reset, "GET_XCRS of a new vCPU: one register, XCR0 is 1")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_xcrs x;
	unsigned int i;

	memset(&x, 0xa5, sizeof(x));
	EXPECT_OK(ioctl(v->fd, KVM_GET_XCRS, &x));
	EXPECT_EQ(x.nr_xcrs, 1);
	EXPECT_EQ(x.flags, 0);
	EXPECT_EQ(x.xcrs[0].xcr, 0);
	EXPECT_EQ(x.xcrs[0].value, 1);
	for (i = 0; i < ARRAY_SIZE(x.padding); i++)
		EXPECT_EQ(x.padding[i], 0);
}

static const struct bad_xcr {
	const char *name;
	uint32_t nr, flags;
	uint64_t value;
	int err;
} xcr_rows[] = {
	{ "3 is taken", 1, 0, 3, 0 },
	{ "1 is taken", 1, 0, 1, 0 },
	{ "0 is EINVAL", 1, 0, 0, EINVAL },
	{ "2, SSE without x87, is EINVAL", 1, 0, 2, EINVAL },
	{ "5, AVX without SSE, is EINVAL", 1, 0, 5, EINVAL },
	{ "bit 62 is EINVAL", 1, 0, 3 | BIT(62), EINVAL },
	{ "flags are EINVAL", 1, 1, 3, EINVAL },
	{ "17 registers are EINVAL", 17, 0, 3, EINVAL },
	{ "2^32 - 1 registers are EINVAL", -1U, 0, 3, EINVAL },
};

TEST_EACH(xcrs_set, "SET_XCRS: ", xcr_rows, row)
{
	struct kvm_xcrs x = { .nr_xcrs = row->nr, .flags = row->flags };
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);

	x.xcrs[0].value = row->value;
	if (row->err) {
		EXPECT_ERR(ioctl(v->fd, KVM_SET_XCRS, &x), EINVAL);
		return;
	}
	EXPECT_OK(ioctl(v->fd, KVM_SET_XCRS, &x));
	memset(&x, 0, sizeof(x));
	EXPECT_OK(ioctl(v->fd, KVM_GET_XCRS, &x));
	EXPECT_EQ(x.xcrs[0].value, row->value);
}

/* Debug registers. */

TEST(debugregs_reset, "GET_DEBUGREGS of a new vCPU: DR6 0xffff0ff0, DR7 0x400")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_debugregs d;
	unsigned int i;

	memset(&d, 0xa5, sizeof(d));
	EXPECT_OK(ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	EXPECT_EQ(d.dr6, 0xffff0ff0);
	EXPECT_EQ(d.dr7, 0x400);
	EXPECT_EQ(d.flags, 0);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(d.db[i], 0);
	for (i = 0; i < ARRAY_SIZE(d.reserved); i++)
		EXPECT_EQ(d.reserved[i], 0);
}

TEST(debugregs_round, "SET_DEBUGREGS then GET_DEBUGREGS gives the same")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);
	struct kvm_debugregs a = {
		.db = { 0x1000, 0x7fff00002000, 0xffff888000003000, 4 },
		.dr6 = 0xffff0ff1, .dr7 = 0x403,
	}, b;

	EXPECT_OK(ioctl(v->fd, KVM_SET_DEBUGREGS, &a));
	memset(&b, 0, sizeof(b));
	EXPECT_OK(ioctl(v->fd, KVM_GET_DEBUGREGS, &b));
	EXPECT(!memcmp(&a, &b, sizeof(a)));
}

TEST(debugregs_bad, "SET_DEBUGREGS is EINVAL for flags, wide DR6, wide DR7")
{
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);

	d.flags = 1;
	EXPECT_ERR(ioctl(v->fd, KVM_SET_DEBUGREGS, &d), EINVAL);
	d.flags = 0;
	d.dr6 |= BIT(32);
	EXPECT_ERR(ioctl(v->fd, KVM_SET_DEBUGREGS, &d), EINVAL);
	d.dr6 = 0xffff0ff0;
	d.dr7 |= BIT(63);
	EXPECT_ERR(ioctl(v->fd, KVM_SET_DEBUGREGS, &d), EINVAL);
}

/* MP state. */

static int get_mp(struct vcpu *v)
{
	struct kvm_mp_state m = { .mp_state = 0xa5a5a5a5 };

	ASSERT(!ioctl(v->fd, KVM_GET_MP_STATE, &m));
	return m.mp_state;
}

static int set_mp(struct vcpu *v, uint32_t state)
{
	struct kvm_mp_state m = { .mp_state = state };

	return ioctl(v->fd, KVM_SET_MP_STATE, &m);
}

TEST(mp_reset, "GET_MP_STATE: the BSP is runnable, the others uninitialized")
{
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	vm_vcpu(&vm, 0);
	vm_vcpu(&vm, 1);
	EXPECT_EQ(get_mp(&vm.vcpu[0]), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(get_mp(&vm.vcpu[1]), KVM_MP_STATE_UNINITIALIZED);
}

TEST(mp_round, "SET_MP_STATE sets each state there is with a chip")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, VM_IRQCHIP);
	static const uint32_t s[] = {
		KVM_MP_STATE_HALTED, KVM_MP_STATE_UNINITIALIZED,
		KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(s); i++) {
		EXPECT_OK(set_mp(v, s[i]));
		EXPECT_EQ(get_mp(v), s[i]);
	}
}

TEST(mp_no_chip, "SET_MP_STATE without a chip takes RUNNABLE only")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, 0);

	EXPECT_EQ(get_mp(v), KVM_MP_STATE_RUNNABLE);
	EXPECT_OK(set_mp(v, KVM_MP_STATE_RUNNABLE));
	EXPECT_ERR(set_mp(v, KVM_MP_STATE_HALTED), EINVAL);
	EXPECT_ERR(set_mp(v, KVM_MP_STATE_UNINITIALIZED), EINVAL);
}

TEST(mp_bad, "SET_MP_STATE is EINVAL for states of other machines and none")
{
	struct vm vm;
	struct vcpu *v = fresh(&vm, VM_IRQCHIP);
	static const uint32_t s[] = { KVM_MP_STATE_STOPPED,
		KVM_MP_STATE_CHECK_STOP, KVM_MP_STATE_LOAD, 100, 0x80000000,
		-1U };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(s); i++)
		if (!set_mp(v, s[i]) && !on_umbra())
			SKIP("stock KVM takes %u", s[i]);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		EXPECT_ERR(set_mp(v, s[i]), EINVAL);
}
