// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that drivers seldom use on a device, on a device: the emulator does
 * them, from bit counts to far transfers. Also breakpoints on what it accesses,
 * and the delivery of events where no memory is.
 */
#include "guest.h"
#include "vm.h"

#define HOLE	GPA_HOLE
#define MAX_ACCESSES	5

static volatile uint64_t g_val, g_db_rip, g_db_dr6, g_nr_db;

#define E_GUEST(name, insn, ...)					\
	static void name(void)						\
	{								\
		uint64_t val = 0x1122334455667788;			\
									\
		asm volatile(insn : "+a"(val) : "D"(HOLE + 0x40), ##__VA_ARGS__ \
			     : "memory", "rcx", "rdx", "r8");		\
		g_val = val;						\
		guest_done();						\
	}

E_GUEST(popcnt4, "popcnt (%%rdi), %%eax")
E_GUEST(tzcnt8, "tzcnt (%%rdi), %%rax")
E_GUEST(movbe4, "movbe (%%rdi), %%eax")
E_GUEST(crc8, "xorl %%eax, %%eax; crc32q (%%rdi), %%rax")
E_GUEST(andn8, "movq $0xff, %%rcx; andn (%%rdi), %%rcx, %%rax")
E_GUEST(mm_read, "movq (%%rdi), %%mm3; movq %%mm3, %%rax; emms")
E_GUEST(fnstcw2, "fninit; fnstcw (%%rdi); xorl %%eax, %%eax")
E_GUEST(ldmxcsr4, "ldmxcsr (%%rdi); pushq $0; stmxcsr (%%rsp); popq %%rax")
E_GUEST(lfs6, "lfs (%%rdi), %%ecx; movl %%fs, %%eax; shlq $32, %%rcx; orq %%rcx, %%rax")
E_GUEST(ljmp6, "xorl %%eax, %%eax; ljmp *(%%rdi); movl $1, %%eax\n"
	".globl far_target\nfar_target: nop")
E_GUEST(iret5, "movq %%rsp, %%r8; movq %%rdi, %%rsp; iretq\n"
	".globl iret_target\niret_target: movq %%rsp, %%rax; movq %%r8, %%rsp")
E_GUEST(lret2, "movq %%rsp, %%r8; movq %%rdi, %%rsp; lretq\n"
	".globl lret_target\nlret_target: movq %%rsp, %%rax; movq %%r8, %%rsp")
E_GUEST(sgdt10, "sgdt (%%rdi); xorl %%eax, %%eax")
E_GUEST(lock_xadd, "lock xaddq %%rax, (%%rdi)")

extern char far_target[], iret_target[], lret_target[];

static const struct insn {
	const char *name;
	void (*entry)(void);
	/* The feature: leaf, register (0: none, 2: EBX, 3: ECX), bit. */
	struct { uint32_t leaf; uint8_t reg, bit; } need;
	struct { uint8_t off, len; bool write; uint64_t data; } a[MAX_ACCESSES];
	uint64_t want;
} insns[] = {
	{ "POPCNT", popcnt4, { 1, 3, 23 }, { { 0, 4, false, 0xf0f01111 } }, 12 },
	{ "TZCNT", tzcnt8, { 7, 2, 3 }, { { 0, 8, false, 1ULL << 40 } }, 40 },
	{ "MOVBE", movbe4, { 1, 3, 22 }, { { 0, 4, false, 0x11223344 } }, 0x44332211 },
	/* iSCSI's polynomial over eight zero bytes, from 0 */
	{ "CRC32", crc8, { 1, 3, 20 }, { { 0, 8, false, 0 } }, 0 },
	{ "ANDN", andn8, { 7, 2, 3 }, { { 0, 8, false, 0x1234 } }, 0x1200 },
	{ "MOVQ of an MMX register", mm_read, { 0 }, { { 0, 8, false, 0x1234567812345678 } },
	  0x1234567812345678 },
	{ "FNSTCW", fnstcw2, { 0 }, { { 0, 2, true, 0x37f } }, 0 },
	{ "LDMXCSR", ldmxcsr4, { 0 }, { { 0, 4, false, 0x1fa0 } }, 0x1fa0 },
	{ "LFS", lfs6, { 0 }, { { 0, 4, false, 0x5678 }, { 4, 2, false, SEL_DATA } },
	  0x567800000000 | SEL_DATA },
	{ "JMP far", ljmp6, { 0 },
	  { { 0, 4, false, (uintptr_t)far_target }, { 4, 2, false, SEL_CODE64 } }, 0 },
	{ "IRET, its frame there", iret5, { 0 },
	  { { 0, 8, false, (uintptr_t)iret_target }, { 8, 8, false, SEL_CODE64 },
	    { 16, 8, false, 2 }, { 24, 8, false, 0x7766 }, { 32, 8, false, SEL_DATA } }, 0x7766 },
	{ "RET far", lret2, { 0 },
	  { { 0, 8, false, (uintptr_t)lret_target }, { 8, 8, false, SEL_CODE64 } }, HOLE + 0x50 },
	{ "SGDT", sgdt10, { 0 }, { { 0, 8, true, (uint64_t)GPA_GDT << 16 | 0xfff },
				   { 8, 2, true, 0 } }, 0 },
	{ "LOCK XADD", lock_xadd, { 0 }, { { 0, 8, false, 5 }, { 0, 8, true, 0x112233445566778d } }, 5 },
};

static bool guest_has(uint32_t leaf, unsigned int reg, unsigned int bit)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), leaf, 0);

	return !reg || (e && (((reg == 2 ? e->ebx : e->ecx) >> bit) & 1));
}

static void check_access(struct vcpu *v, const struct insn *i, unsigned int nr)
{
	uint64_t data = i->a[nr].data, got = 0;

	want_mmio(v, HOLE + 0x40 + i->a[nr].off, i->a[nr].len, i->a[nr].write);
	if (i->a[nr].write) {
		memcpy(&got, v->run->mmio.data, i->a[nr].len);
		EXPECT_EQ(got, data);
	} else {
		memcpy(v->run->mmio.data, &data, i->a[nr].len);
	}
}

TEST_EACH(emulate_mmio, "on MMIO: ", insns, i)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, i->entry);
	struct kvm_sregs s = vcpu_sregs(v);
	unsigned int nr;

	if (!on_umbra())
		SKIP("stock KVM's emulator knows some of these only");
	if (!guest_has(i->need.leaf, i->need.reg, i->need.bit))
		SKIP("the CPU has none");
	s.gdt.limit = 0xfff;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	for (nr = 0; nr < MAX_ACCESSES && i->a[nr].len; nr++)
		check_access(v, i, nr);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), i->want);
}

#define IMAGE		416	/* bytes of FXSAVE's that are not the system's to use */
#define IMAGE_XMM5	240

static void image_there(void)
{
	uint64_t low = 0x1122334455667788;

	asm volatile("movq %0, %%xmm5; fxsave64 (%1); fxrstor64 0x200(%1); movq %%xmm5, %0"
		     : "+r"(low) : "r"(HOLE) : "xmm5", "memory");
	g_val = low;
	guest_done();
}

TEST(emulate_image, "on MMIO: FXSAVE, and FXRSTOR of what it saved but for one register")
{
	uint64_t image[IMAGE / 8];
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, image_there);
	unsigned int i;

	if (!on_umbra())
		SKIP("stock KVM refuses images in a device");
	for (i = 0; i < IMAGE / 8; i++) {
		want_mmio(v, HOLE + 8 * i, 8, true);
		memcpy(&image[i], v->run->mmio.data, 8);
	}
	EXPECT_EQ(image[IMAGE_XMM5 / 8], 0x1122334455667788);
	image[IMAGE_XMM5 / 8] = 0x99;
	for (i = 0; i < IMAGE / 8; i++) {
		want_mmio(v, HOLE + 0x200 + 8 * i, 8, false);
		memcpy(v->run->mmio.data, &image[i], 8);
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0x99);
}

static void int3_there(void)
{
	asm volatile("movq %0, %%rsp\n"
		     ".globl int3_at\nint3_at: int3" : : "r"(HOLE + 0x100) : "memory");
	guest_fail(__LINE__);
}

extern char int3_at[];

TEST(emulate_int3, "INT3 with its stack in MMIO writes a frame and goes to the handler")
{
	const uint64_t frame[] = { SEL_DATA, HOLE + 0x100, 2, SEL_CODE64, (uintptr_t)int3_at + 1 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, int3_there);
	unsigned int i;

	if (!on_umbra())
		SKIP("stock KVM loops here");
	/* Vector 3 without an IST. */
	vm.mem[GPA_IDT + 3 * 16 + 4] = 0;
	for (i = 0; i < ARRAY_SIZE(frame); i++) {
		want_mmio(v, HOLE + 0xf8 - 8 * i, 8, true);
		if (i == 2)
			EXPECT_EQ(*(uint64_t *)v->run->mmio.data & 0x202, 2);
		else
			EXPECT_EQ(*(uint64_t *)v->run->mmio.data, frame[i]);
	}
	v->run->immediate_exit = 1;
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	EXPECT_EQ(vcpu_regs(v).rsp, HOLE + 0xd8);
	EXPECT_EQ(vcpu_sregs(v).cs.selector, SEL_CODE64);
}

static void idt_there(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) idt = { 0xfff, HOLE };

	asm volatile("lidt %0; ud2" : : "m"(idt));
	guest_fail(__LINE__);
}

TEST(emulate_delivery, "an exception whose IDT is in MMIO is an error exit, not a loop")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, idt_there);
	int r;

	if (!on_umbra())
		SKIP("stock KVM may loop here");
	r = vcpu_run_for(v, 1000);
	ASSERT_MSG(!r, "KVM_RUN: %s", strerror(errno));
	EXPECT_EQ(v->run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(v->run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
}

/* Breakpoints of the guest's own on what is emulated */

static void on_db(struct frame *f)
{
	uint64_t dr6;

	asm volatile("movq %%dr6, %0" : "=r"(dr6));
	g_db_rip = f->rip;
	g_db_dr6 = dr6;
	g_nr_db++;
}

#define WATCH_GUEST(name, where, dr7, insn, ...)			\
	extern char name##_end[];					\
	static void name(void)						\
	{								\
		g_handlers[DB_VECTOR] = on_db;				\
		asm volatile("movq %%cr4, %%rax; orq $8, %%rax; movq %%rax, %%cr4" : : : "rax"); \
		asm volatile("movq %0, %%dr0" : : "r"((uint64_t)(where)));	\
		asm volatile("movq %0, %%dr7" : : "r"((uint64_t)(dr7)));	\
		asm volatile(insn "\n" #name "_end: nop" : : __VA_ARGS__ : "memory"); \
		asm volatile("movq %0, %%dr7" : : "r"(0x400UL));	\
		guest_done();						\
	}

#define DR7_WRITE4	0xd0403
#define DR7_ACCESS4	0xf0403
#define DR7_PORT1	0x20403

WATCH_GUEST(w_write, HOLE + 4, DR7_WRITE4, "movl %%eax, (%%rdi)", "a"(1), "D"(HOLE + 4))
WATCH_GUEST(w_wide, HOLE + 4, DR7_WRITE4, "movq %%rax, (%%rdi)", "a"(1), "D"(HOLE))
WATCH_GUEST(w_beside, HOLE + 4, DR7_WRITE4, "movl %%eax, (%%rdi)", "a"(1), "D"(HOLE + 8))
WATCH_GUEST(w_read, HOLE + 4, DR7_ACCESS4, "movb (%%rdi), %%al", "a"(1), "D"(HOLE + 7))
WATCH_GUEST(w_only, HOLE + 4, DR7_WRITE4, "movl (%%rdi), %%eax", "a"(1), "D"(HOLE + 4))
WATCH_GUEST(w_out, 0x123, DR7_PORT1, "outb %%al, %%dx", "a"(1), "d"(0x123))
WATCH_GUEST(w_in, 0x123, DR7_PORT1, "inb %%dx, %%al", "a"(1), "d"(0x123))
WATCH_GUEST(w_other, 0x123, DR7_PORT1, "outb %%al, %%dx", "a"(1), "d"(0x124))

static const struct watch {
	const char *name;
	void (*entry)(void);
	char *end;
	uint32_t exit;
	unsigned int hits;
} watches[] = {
	{ "a write of what is watched", w_write, w_write_end, KVM_EXIT_MMIO, 1 },
	{ "a wider write", w_wide, w_wide_end, KVM_EXIT_MMIO, 1 },
	{ "a write beside it", w_beside, w_beside_end, KVM_EXIT_MMIO, 0 },
	{ "a read of a part", w_read, w_read_end, KVM_EXIT_MMIO, 1 },
	{ "a read where writes are watched", w_only, w_only_end, KVM_EXIT_MMIO, 0 },
	{ "OUT", w_out, w_out_end, KVM_EXIT_IO, 1 },
	{ "IN", w_in, w_in_end, KVM_EXIT_IO, 1 },
	{ "OUT to another port", w_other, w_other_end, KVM_EXIT_IO, 0 },
};

TEST_EACH(emulate_watch, "the guest's breakpoint on a device: ", watches, w)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, w->entry);

	if (!on_umbra())
		SKIP("stock KVM has no breakpoints on what it emulates");
	ASSERT(vcpu_run(v) == w->exit);
	vcpu_run_to_end(v);
	ASSERT(G(&vm, g_nr_db) == w->hits);
	if (!w->hits)
		return;
	EXPECT_EQ(G(&vm, g_db_rip), (uintptr_t)w->end);
	EXPECT_EQ(G(&vm, g_db_dr6) & 0xf, 1);
}
