// SPDX-License-Identifier: GPL-2.0-only
/* CPUID, MSRs, control registers, hypercalls and what a guest may not do. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

static volatile uint64_t g_val, g_val2;
static uint32_t g_regs[4], g_leaf, g_index;
static uint32_t g_msr;
static uint64_t g_data;

static void do_cpuid(void)
{
	cpuid(g_leaf, g_index, g_regs);
	guest_done();
}

static void run_cpuid(struct vm *vm, struct vcpu *v, uint32_t leaf,
		      uint32_t index)
{
	vcpu_long_mode(v, do_cpuid);
	G(vm, g_leaf) = leaf;
	G(vm, g_index) = index;
	vcpu_run_to_end(v);
}

TEST(cpuid_set, "CPUID gives what SET_CPUID2 set")
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[4];
	} c = { .head.nent = 4, .e = {
		{ .function = 0, .eax = 0xd, .ebx = 0x11111111,
		  .ecx = 0x22222222, .edx = 0x33333333 },
		{ .function = 0x80000000, .eax = 0x80000008 },
		{ .function = 0x80000002, .eax = 0x44444444, .ebx = 0x55555555,
		  .ecx = 0x66666666, .edx = 0x77777777 },
		{ .function = 0x80000008, .eax = 0x3030 },
	} };
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_set_cpuid(v, &c.head);
	vcpu_long_mode(v, do_cpuid);
	run_cpuid(&vm, v, 0, 0);
	EXPECT_EQ(G(&vm, g_regs)[0], 0xd);
	EXPECT_EQ(G(&vm, g_regs)[1], 0x11111111);
	EXPECT_EQ(G(&vm, g_regs)[2], 0x22222222);
	EXPECT_EQ(G(&vm, g_regs)[3], 0x33333333);
	run_cpuid(&vm, v, 0x80000002, 0);
	EXPECT_EQ(G(&vm, g_regs)[0], 0x44444444);
	EXPECT_EQ(G(&vm, g_regs)[1], 0x55555555);
	EXPECT_EQ(G(&vm, g_regs)[2], 0x66666666);
	EXPECT_EQ(G(&vm, g_regs)[3], 0x77777777);
}

TEST(cpuid_index, "CPUID of a leaf with an index goes by ECX")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v;
	uint32_t i;

	for (i = 0; i < 2; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[c->nent++];

		memset(e, 0, sizeof(*e));
		e->function = 0x40001000;
		e->index = i * 7;
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e->eax = 0x1000 + i;
	}
	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_set_cpuid(v, c);
	run_cpuid(&vm, v, 0x40001000, 0);
	EXPECT_EQ(G(&vm, g_regs)[0], 0x1000);
	run_cpuid(&vm, v, 0x40001000, 7);
	EXPECT_EQ(G(&vm, g_regs)[0], 0x1001);
	run_cpuid(&vm, v, 0x40001000, 3);
	EXPECT_EQ(G(&vm, g_regs)[0], 0);
}

TEST(cpuid_signature, "CPUID 0x40000000 is KVM's signature")
{
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	run_cpuid(&vm, v, 0x40000000, 0);
	EXPECT(!memcmp(&G(&vm, g_regs)[1], "KVMKVMKVM\0\0\0", 12));
}

TEST(cpuid_own, "CPUID 0x40000100 is Umbra's own signature")
{
	struct vm vm;
	struct vcpu *v;
	char sig[13] = { 0 };

	if (!on_umbra())
		SKIP("stock KVM has no such leaf");
	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	run_cpuid(&vm, v, 0x40000100, 0);
	memcpy(sig, &G(&vm, g_regs)[1], 12);
	EXPECT_MSG(sig[0] && !strncasecmp(sig, "umbra", 5), "'%s'", sig);
}

TEST(cpuid_osxsave, "CPUID tells OSXSAVE as CR4 has it, whatever was set")
{
	struct kvm_sregs s;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	run_cpuid(&vm, v, 1, 0);
	if (!(G(&vm, g_regs)[2] & BIT(26)))
		SKIP("no XSAVE");
	EXPECT(!(G(&vm, g_regs)[2] & BIT(27)));
	vcpu_long_mode(v, do_cpuid);
	s = vcpu_sregs(v);
	s.cr4 |= CR4_OSXSAVE;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	vcpu_run_to_end(v);
	EXPECT(G(&vm, g_regs)[2] & BIT(27));
}

TEST(cpuid_apic_id, "CPUID 1 gives the initial APIC id that was set")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v;

	cpuid_find(c, 1, 0)->ebx = 0x07000800;
	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_set_cpuid(v, c);
	run_cpuid(&vm, v, 1, 0);
	EXPECT_EQ(G(&vm, g_regs)[1] >> 24, 7);
}

/* MSRs from the guest. */

static void do_rdmsr(void)
{
	uint32_t lo = 0, hi = 0;

	GUEST_TRY("rdmsr", : "=a"(lo), "=d"(hi) : "c"(g_msr) : "memory");
	g_val = lo | (uint64_t)hi << 32;
	g_val2 = g_vector;
	guest_done();
}

static void do_wrmsr(void)
{
	GUEST_TRY("wrmsr", : : "c"(g_msr), "a"((uint32_t)g_data),
		  "d"((uint32_t)(g_data >> 32)) : "memory");
	g_val2 = g_vector;
	guest_done();
}

static struct vcpu *msr_vm(struct vm *vm, void (*fn)(void), uint32_t msr,
			   uint64_t data)
{
	struct vcpu *v = vm_long_mode(vm, VM_IRQCHIP, fn);

	G(vm, g_msr) = msr;
	G(vm, g_data) = data;
	return v;
}

static const struct msr_row {
	const char *name;
	uint32_t msr;
	uint64_t value;
} msrs[] = {
	{ "STAR", MSR_STAR, 0x0023001000000000 },
	{ "LSTAR", MSR_LSTAR, 0xffffffff81000000 },
	{ "CSTAR", MSR_CSTAR, 0x00007fffffffe000 },
	{ "SFMASK", MSR_SFMASK, 0x47700 },
	{ "KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0xffff888000000000 },
	{ "FS_BASE", MSR_FS_BASE, 0x7f1234567000 },
	{ "GS_BASE", MSR_GS_BASE, 0xffff88807fc00000 },
	{ "SYSENTER_CS", MSR_SYSENTER_CS, 0x10 },
	{ "SYSENTER_ESP", MSR_SYSENTER_ESP, 0x12345678 },
	{ "SYSENTER_EIP", MSR_SYSENTER_EIP, 0x23456789 },
	{ "PAT", MSR_PAT, 0x0007010600070106 },
	{ "MTRR default type", 0x2ff, 0xc06 },
};

TEST_EACH(wrmsr_seen, "WRMSR in the guest, then GET_MSRS: ", msrs, m)
{
	uint64_t got = 0;
	struct vm vm;
	struct vcpu *v = msr_vm(&vm, do_wrmsr, m->msr, m->value);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val2), NO_VECTOR);
	EXPECT_EQ(vcpu_get_msr(v, m->msr, &got), 1);
	EXPECT_EQ(got, m->value);
}

TEST_EACH(rdmsr_seen, "SET_MSRS, then RDMSR in the guest: ", msrs, m)
{
	struct vm vm;
	struct vcpu *v = msr_vm(&vm, do_rdmsr, m->msr, 0);

	EXPECT_EQ(vcpu_set_msr(v, m->msr, m->value), 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val2), NO_VECTOR);
	EXPECT_EQ(G(&vm, g_val), m->value);
}

/* A fault that is the CPU's to raise, where nothing is intercepted. */
static void expect_gp(struct vm *vm)
{
	if (G(vm, g_val2) == NO_VECTOR && on_tcg())
		SKIP("the emulated CPU does not check this");
	EXPECT_EQ(G(vm, g_val2), GP_VECTOR);
	EXPECT_EQ(G(vm, g_error), 0);
}

static const struct msr_row msr_gp[] = {
	{ "LSTAR, not canonical", MSR_LSTAR, 0x8000000000000000 },
	{ "CSTAR, not canonical", MSR_CSTAR, 0x8000000000000000 },
	{ "KERNEL_GS_BASE, not canonical", MSR_KERNEL_GS_BASE,
	  0x8000000000000000 },
	{ "FS_BASE, not canonical", MSR_FS_BASE, 0x8000000000000000 },
	{ "GS_BASE, not canonical", MSR_GS_BASE, 0x8000000000000000 },
	{ "PAT with a type that is none", MSR_PAT, 0x0202020202020202 },
	{ "EFER with a reserved bit", MSR_EFER,
	  EFER_LME | EFER_LMA | BIT(9) },
	{ "EFER without LME while paging", MSR_EFER, EFER_LMA },
	{ "APIC_BASE with a reserved bit", MSR_APIC_BASE,
	  0xfee00000 | APIC_BASE_ON | 1 },
	{ "APIC_BASE straight from off to x2APIC bit alone", MSR_APIC_BASE,
	  0xfee00000 | APIC_BASE_X2 },
	{ "an unknown MSR", 0x40000123, 0 },
	{ "an x2APIC MSR in xAPIC mode", 0x808, 0 },
};

TEST_EACH(wrmsr_gp, "WRMSR is GP(0) for ", msr_gp, m)
{
	struct vm vm;
	struct vcpu *v = msr_vm(&vm, do_wrmsr, m->msr, m->value);

	vcpu_run_to_end(v);
	expect_gp(&vm);
}

static const struct msr_row rdmsr_bad[] = {
	{ "an unknown MSR", 0x40000123 }, { "MSR 0xffffffff", 0xffffffff },
	{ "an x2APIC MSR in xAPIC mode", 0x802 },
	{ "MSR 0xbff", 0xbff },
};

TEST_EACH(rdmsr_gp, "RDMSR is GP(0) for ", rdmsr_bad, m)
{
	struct vm vm;
	struct vcpu *v = msr_vm(&vm, do_rdmsr, m->msr, 0);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val2), GP_VECTOR);
	EXPECT_EQ(G(&vm, g_error), 0);
}

static void ring3_rdmsr(void)
{
	uint32_t lo, hi;

	GUEST_TRY("rdmsr", : "=a"(lo), "=d"(hi) : "c"(MSR_TSC) : "memory");
	g_val2 = g_vector;
	(void)lo;
	(void)hi;
}

static void ring3_rdmsr_main(void)
{
	guest_call_ring3(ring3_rdmsr);
	guest_done();
}

TEST(rdmsr_ring3, "RDMSR in ring 3 is GP(0)")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, ring3_rdmsr_main);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val2), GP_VECTOR);
}

static void tsc_guest(void)
{
	uint64_t a = rdtsc(), b = rdtsc(), c = rdmsr(MSR_TSC);

	GUEST_ASSERT(b > a);
	GUEST_ASSERT(c > b);
	GUEST_ASSERT(c - a < 1000000000000ULL);
	wrmsr(MSR_TSC, 0x100000000000000);
	a = rdtsc();
	GUEST_ASSERT(a >= 0x100000000000000);
	GUEST_ASSERT(a < 0x100000000000000 + 1000000000000ULL);
	guest_done();
}

TEST(tsc, "RDTSC goes forward, agrees with the MSR, and WRMSR sets it")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, tsc_guest);

	vcpu_run_to_end(v);
}

/* Control registers. */

static void cr_guest(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	write_cr0(cr0 | CR0_TS);
	GUEST_ASSERT(read_cr0() == (cr0 | CR0_TS));
	asm volatile("clts");
	GUEST_ASSERT(read_cr0() == cr0);
	write_cr4(cr4 | CR4_TSD | CR4_PGE);
	GUEST_ASSERT(read_cr4() == (cr4 | CR4_TSD | CR4_PGE));
	write_cr4(cr4);
	write_cr8(11);
	GUEST_ASSERT(read_cr8() == 11);
	write_cr3(read_cr3());
	GUEST_ASSERT(read_cr3() == 0x4000);
	guest_done();
}

TEST(cr_round, "CR0, CR3, CR4 and CR8 read back what was written, CLTS works")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, cr_guest);

	vcpu_run_to_end(v);
	EXPECT_EQ(vcpu_sregs(v).cr8, 11);
}

static uint64_t g_cr;

#define CR_TRY(name, reg)						\
	static void name(void)						\
	{								\
		GUEST_TRY("movq %0, %%" reg, : : "r"(g_cr) : "memory");	\
		g_val2 = g_vector;					\
		guest_done();						\
	}

CR_TRY(try_cr0, "cr0")
CR_TRY(try_cr3, "cr3")
CR_TRY(try_cr4, "cr4")
CR_TRY(try_cr8, "cr8")

#define CR0_USUAL	(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG)
#define CR4_USUAL	(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)

static const struct cr_row {
	const char *name;
	void (*entry)(void);
	uint64_t value;
} cr_gp[] = {
	{ "CR0 with PG but not PE", try_cr0, CR0_USUAL & ~CR0_PE },
	{ "CR0 with NW but not CD", try_cr0, CR0_USUAL | CR0_NW },
	{ "CR0 bit 32", try_cr0, CR0_USUAL | BIT(32) },
	{ "CR0 bit 63", try_cr0, CR0_USUAL | BIT(63) },
	{ "CR4 without PAE in long mode", try_cr4, CR4_USUAL & ~CR4_PAE },
	{ "CR4 bit 15", try_cr4, CR4_USUAL | BIT(15) },
	{ "CR4 bit 63", try_cr4, CR4_USUAL | BIT(63) },
	{ "CR4.VMXE", try_cr4, CR4_USUAL | BIT(13) },
	{ "CR4.LA57 switched in long mode", try_cr4, CR4_USUAL | CR4_LA57 },
	{ "CR3 bit 62", try_cr3, 0x4000 | BIT(62) },
	{ "CR8 over 15", try_cr8, 16 },
	{ "CR8 -1", try_cr8, -1ULL },
};

TEST_EACH(cr_bad, "a bad control register is GP(0): ", cr_gp, c)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, c->entry);

	G(&vm, g_cr) = c->value;
	vcpu_run(v);
	if (v->run->exit_reason == KVM_EXIT_FAIL_ENTRY && on_tcg())
		SKIP("the emulated CPU notices only at the next entry");
	ASSERT(guest_said(v, PORT_DONE, NULL));
	expect_gp(&vm);
}

static void cr8_no_chip(void)
{
	write_cr8(6);
	g_val = read_cr8();
	guest_done();
}

TEST(cr8_no_chip, "CR8 without a chip: exit SET_TPR or none, the value holds")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cr8_no_chip);

	if (vcpu_run(v) == KVM_EXIT_SET_TPR) {
		EXPECT_EQ(v->run->cr8, 6);
		vcpu_run(v);
	}
	EXPECT(guest_said(v, PORT_DONE, NULL));
	EXPECT_EQ(G(&vm, g_val), 6);
	EXPECT_EQ(v->run->cr8, 6);
}

static void dr_guest(void)
{
	uint64_t v;

	asm volatile("movq %0, %%dr0" : : "r"(0x1234567890UL));
	asm volatile("movq %0, %%dr3" : : "r"(0xffff888000000000UL));
	asm volatile("movq %0, %%dr7" : : "r"(0x403UL));
	asm volatile("movq %%dr0, %0" : "=r"(v));
	GUEST_ASSERT(v == 0x1234567890);
	asm volatile("movq %%dr3, %0" : "=r"(v));
	GUEST_ASSERT(v == 0xffff888000000000);
	asm volatile("movq %%dr7, %0" : "=r"(v));
	GUEST_ASSERT(v == 0x403);
	asm volatile("movq %0, %%dr7" : : "r"(0x400UL));
	guest_done();
}

TEST(dr_round, "debug registers read back what was written, in and out")
{
	struct kvm_debugregs d;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, dr_guest);

	vcpu_run_to_end(v);
	ASSERT(!ioctl(v->fd, KVM_GET_DEBUGREGS, &d));
	EXPECT_EQ(d.db[0], 0x1234567890);
	EXPECT_EQ(d.db[3], 0xffff888000000000);
}

/* Instructions of a hypervisor, in a guest that is told it cannot be one. */

#define UD_GUEST(name, ...)						\
	static void name(void)						\
	{								\
		GUEST_TRY(__VA_ARGS__, : : "a"(GPA_TEST), "c"(0) : "memory"); \
		g_val2 = g_vector;					\
		guest_done();						\
	}

UD_GUEST(i_vmrun, "vmrun %%rax")
UD_GUEST(i_vmload, "vmload %%rax")
UD_GUEST(i_vmsave, "vmsave %%rax")
UD_GUEST(i_stgi, "stgi")
UD_GUEST(i_clgi, "clgi")
UD_GUEST(i_skinit, "skinit %%eax")
UD_GUEST(i_invlpga, "invlpga %%rax, %%ecx")
UD_GUEST(i_vmxon, "movq %%rax, 64(%%rax); vmxon 64(%%rax)")
UD_GUEST(i_ud2, "ud2")

static const struct ud_row { const char *name; void (*entry)(void); } ud[] = {
	{ "VMRUN", i_vmrun }, { "VMLOAD", i_vmload }, { "VMSAVE", i_vmsave },
	{ "STGI", i_stgi }, { "CLGI", i_clgi }, { "SKINIT", i_skinit },
	{ "INVLPGA", i_invlpga }, { "VMXON", i_vmxon }, { "UD2", i_ud2 },
};

TEST_EACH(virt_ud, "a guest without virtualization gets UD for ", ud, u)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v;

	cpuid_find(c, 1, 0)->ecx &= ~BIT(5);
	cpuid_find(c, 0x80000001, 0)->ecx &= ~BIT(2);
	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, u->entry);
	vcpu_run_to_end(v);
	if (G(&vm, g_val2) == NO_VECTOR && !on_umbra())
		SKIP("stock KVM lets it pass where the CPU has virtual GIF");
	EXPECT_EQ(G(&vm, g_val2), UD_VECTOR);
}

static void efer_svme(void)
{
	GUEST_TRY("wrmsr", : : "c"(MSR_EFER),
		  "a"((uint32_t)(EFER_LME | EFER_LMA | EFER_NX | EFER_SVME)),
		  "d"(0) : "memory");
	g_val2 = g_vector;
	guest_done();
}

TEST(efer_svme, "a guest without virtualization gets GP for EFER.SVME")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vm vm;
	struct vcpu *v;

	cpuid_find(c, 0x80000001, 0)->ecx &= ~BIT(2);
	vm_init(&vm, 0);
	v = vm_vcpu_raw(&vm, 0);
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, efer_svme);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val2), GP_VECTOR);
}

/* Hypercalls. */

static void vmcall_unknown(void)
{
	g_val = hypercall(0x7777);
	guest_done();
}

TEST(vmmcall_unknown, "a hypercall with an unknown number returns -ENOSYS")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, vmcall_unknown);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), -1000LL);
}

static void vmcall_ring3(void)
{
	g_val = hypercall(1);
}

static void vmcall_ring3_main(void)
{
	guest_call_ring3(vmcall_ring3);
	guest_done();
}

TEST(vmmcall_ring3, "a hypercall from ring 3 returns -EPERM")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, vmcall_ring3_main);

	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), -1LL);
}

/* The TLB instructions and cache controls a kernel uses while booting. */

static void cache_guest(void)
{
	asm volatile("wbinvd" : : : "memory");
	asm volatile("invd" : : : "memory");
	invlpg(GPA_TEST);
	invlpg(0x7f0000000000);
	write_cr0(read_cr0() | CR0_CD);
	write_cr0(read_cr0() & ~CR0_CD);
	asm volatile("pause; rep; nop");
	guest_done();
}

TEST(cache, "WBINVD, INVD, INVLPG, CR0.CD and PAUSE do no harm")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cache_guest);

	vcpu_run_to_end(v);
}

static void xsetbv_guest(void)
{
	uint32_t lo, hi;

	write_cr4(read_cr4() | CR4_OSXSAVE);
	asm volatile("xsetbv" : : "a"(3), "d"(0), "c"(0));
	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	g_val = lo | (uint64_t)hi << 32;
	GUEST_TRY("xsetbv", : : "a"(2), "d"(0), "c"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("xsetbv", : : "a"(3), "d"(0), "c"(1) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	GUEST_TRY("xsetbv", : : "a"(3), "d"(0x40000000), "c"(0) : "memory");
	GUEST_ASSERT(g_vector == GP_VECTOR);
	guest_done();
}

TEST(xsetbv, "XSETBV takes x87 and SSE, and is GP for what XCR0 cannot be")
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 1, 0);
	struct kvm_xcrs x;
	struct vm vm;
	struct vcpu *v;

	if (!(e->ecx & BIT(26)))
		SKIP("no XSAVE");
	v = vm_long_mode(&vm, 0, xsetbv_guest);
	vcpu_run_to_end(v);
	ASSERT(!ioctl(v->fd, KVM_GET_XCRS, &x));
	if (x.xcrs[0].value == 1 && on_tcg())
		SKIP("the emulated CPU does not intercept XSETBV");
	EXPECT_EQ(x.xcrs[0].value, 3);
	/* where not intercepted, an exit of the host's between the two undoes it */
	EXPECT_EQ(G(&vm, g_val), 3);
}

static void sse_guest(void)
{
	uint64_t out[2];

	asm volatile("movq %1, %%xmm7; punpcklqdq %%xmm7, %%xmm7;"
		     "outl %%eax, $0x50; movdqu %%xmm7, %0"
		     : "=m"(out) : "r"(0x1122334455667788UL), "a"(0)
		     : "xmm7", "memory");
	g_val = out[0];
	g_val2 = out[1];
	guest_done();
}

TEST(sse_kept, "guest SSE registers survive an exit; the VMM's do too")
{
	uint64_t host[2] = { 0x5555, 0x6666 }, back[2];
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, sse_guest);
	int r;

	asm volatile("movdqu %0, %%xmm7" : : "m"(host) : "xmm7");
	asm volatile("movdqu %2, %%xmm7; syscall; movdqu %%xmm7, %1"
		     : "=a"(r), "=m"(back)
		     : "m"(host), "a"(16), "D"(v->fd), "S"(KVM_RUN), "d"(0)
		     : "rcx", "r11", "xmm7", "memory");
	EXPECT_EQ(r, 0);
	EXPECT_EQ(v->run->exit_reason, KVM_EXIT_IO);
	EXPECT_EQ(back[0], host[0]);
	EXPECT_EQ(back[1], host[1]);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0x1122334455667788);
	EXPECT_EQ(G(&vm, g_val2), 0x1122334455667788);
}
