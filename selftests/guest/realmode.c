// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the reset vector through real mode, unreal mode, protected mode, vm86 mode and
 * 64-bit mode, and back. Intel's CPUs without unrestricted guest can't hold some of
 * these states; no guest may notice.
 */
#define _GNU_SOURCE
#include <linux/umbra.h>
#include <pthread.h>

#include "guest.h"
#include "vm.h"

/*
 * The guest's code is copied to 0:GPA_CODE16. SAY tells the host EAX. Each vector of the
 * IVT leads to the same place, vec_real, by another CS: that tells which it was.
 */
#define GPA_IVT_CODE	0x7000
#define GPA_CR3_32	0x20000

asm(".text; .code16;"
    ".macro SAY; movw $0x5f1, %dx; outl %eax, %dx; .endm;"
    ".macro SAYI value; movl $\\value, %eax; movw $0x5f1, %dx; outl %eax, %dx; .endm;"
    ".macro DONE; xorl %eax, %eax; movw $0x5f0, %dx; outl %eax, %dx; hlt; .endm;"

    /* Vector and return address; the flags pushed stay in ECX. */
    "vec_real:"
    "  movw %cs, %ax; movl $0x700, %ebx; subw %ax, %bx; shll $16, %ebx;"
    "  popw %bx; popw %ax; popw %cx; movl %ebx, %eax; SAY; DONE;"
    "vec_real_end:"

    "rm_start:"
    /* Exceptions. Each sets up what it needs; what comes next stands behind fault_*. */
    "rm_ud: ud2;"
    "rm_de: xorw %cx, %cx; rm_de_at: divw %cx;"
    "rm_bp: int3; rm_bp_at:"
    "rm_of: movb $0x7f, %al; addb $1, %al; into; rm_of_at:"
    "rm_br: movw $7, %ax; rm_br_at: boundw %ax, rm_bounds - rm_start + 0x8000;"
    "rm_bounds: .word 0, 5;"
    "rm_limit: movw $0xffff, %bx; rm_limit_at: movw (%bx), %ax;"
    "rm_stack: movw $0xffff, %bp; rm_stack_at: movw (%bp), %ax;"
    "rm_lldt: lldt %ax;"
    "rm_str: str %ax;"
    "rm_cr0: movl $0x80000000, %eax; rm_cr0_at: movl %eax, %cr0;"
    "rm_sysenter: movl $0x174, %ecx; movl $0x8, %eax; xorl %edx, %edx; wrmsr;"
    "  rdmsr; cmpl $8, %eax; jne rm_bad; rm_sysenter_at: sysenter;"
    "rm_msr: movl $0x12345678, %ecx; rm_msr_at: rdmsr;"
    "rm_tf: pushw $0x102; popfw; nop; rm_tf_at: nop; nop;"
    "rm_tf_int: pushw $0x102; popfw; int $0x40; rm_tf_int_at: nop;"
    "rm_int: int $0xff; rm_int_at:"
    "rm_bad: DONE;"

    /* FLAGS go in and come out, by POPF, PUSHF, INT and IRET. */
    "rm_flags:"
    "  movw $rm_flags_isr - rm_start + 0x8000, 4 * 0x41; movw $0, 4 * 0x41 + 2;"
    "  pushw $0x3002; popfw; pushfw; popw %ax; movzwl %ax, %eax; SAY;"
    "  pushw $0xfcd7; popfw; pushfw; popw %ax; movzwl %ax, %eax; SAY;"
    "  pushw $0x5202; popfw; int $0x41;"
    "  pushfw; popw %ax; movzwl %ax, %eax; SAY;"
    "  sti; pushfw; popw %ax; movzwl %ax, %eax; SAY;"
    "  cli; pushfw; popw %ax; movzwl %ax, %eax; SAY;"
    "  pushl $0x243002; popfl; pushfl; popl %eax; SAY;"
    "  DONE;"
    "rm_flags_isr:"
    "  pushfw; popw %ax; movzwl %ax, %eax; SAY;"
    "  movw %sp, %bp; movzwl 4(%bp), %eax; SAY; iretw;"

    /* What the VMM may see between instructions of real mode. */
    "rm_see:"
    "  movw $0x1234, %ax; movw %ax, %ds; movw $0x2345, %ax; movw %ax, %fs;"
    "  sgdtw %es:0x500; sidtw %es:0x508; smsw %ax; movzwl %ax, %eax; SAY;"
    "  ljmpw $0x300, $rm_seen - rm_start + 0x5000;"
    "rm_seen: SAYI 2; DONE;"

    /* Interrupts of the 8259 and NMIs. */
    "rm_irq:"
    "  movw $rm_irq_isr - rm_start + 0x8000, 4 * 0x25; movw $0, 4 * 0x25 + 2;"
    "  movw $rm_nmi_isr - rm_start + 0x8000, 4 * 2; movw $0, 4 * 2 + 2;"
    "  movb $0x11, %al; outb %al, $0x20; movb $0x20, %al; outb %al, $0x21;"
    "  movb $4, %al; outb %al, $0x21; movb $1, %al; outb %al, $0x21;"
    "  movb $0xdf, %al; outb %al, $0x21; xorl %ebx, %ebx;"
    "  SAYI 1;"
    "  sti; hlt; cli; movl %ebx, %eax; SAY;"
    "  movl %ebx, %eax; SAY;"
    "  DONE;"
    "rm_irq_isr: incw %bx; movb $0x20, %al; outb %al, $0x20; iretw;"
    "rm_nmi_isr: addl $0x10000, %ebx; iretw;"

    /* A device in memory, and strings to and from ports. */
    "rm_io:"
    "  movw $0xb800, %ax; movw %ax, %ds; movw $0x1234, 6; movw 8, %bx;"
    "  movw %bx, %es:0x600;"
    "  movw $rm_text - rm_start + 0x8000, %si; movw $3, %cx; movw $0x10, %dx;"
    "  cld; rep outsb %es:(%si), (%dx);"
    "  movw $0x602, %di; movw $4, %cx; movw $0x11, %dx; rep insb (%dx), %es:(%di);"
    "  DONE;"
    "rm_text: .ascii \"abc\";"

    /* Unreal mode: protected mode's limit stays, loads of real mode notwithstanding. */
    ".macro UNREAL;"
    "  lgdtl %cs:rm_gdtr - rm_start + 0x8000; movl %cr0, %eax; orb $1, %al; movl %eax, %cr0;"
    "  movw $0x10, %bx; movw %bx, %ds; andb $0xfe, %al; movl %eax, %cr0; .endm;"
    "rm_unreal:"
    "  UNREAL;"
    "  movl $0x800000, %ebx; movl $0x11223344, (%ebx); SAYI 1;"
    "  xorw %ax, %ax; movw %ax, %ds; movl $0x800004, %ebx; addl $0x55667788, (%ebx);"
    "  movw $rm_unreal_isr - rm_start + 0x8000, 4 * 0x42; movw $0, 4 * 0x42 + 2;"
    "  int $0x42;"
    "  movl $0x10000000, %ebx; movl %eax, (%ebx); movl 4(%ebx), %eax; SAY;"
    "  DONE;"
    "rm_unreal_isr: movl $0x99, %eax; iretw;"

    /* Zeros over a page that may be the hypervisor's, and then 16-bit code once more. */
    "rm_wreck:"
    "  UNREAL; xorl %edx, %edx; movl $0xfeffc000, %edi; movl $1024, %ecx;"
    "1: movl %edx, (%edi); addl $4, %edi; decl %ecx; jnz 1b;"
    "  orb $1, %al; movl %eax, %cr0; movw $0x20, %bx; movw %bx, %ds; andb $0xfe, %al;"
    "  movl %eax, %cr0; xorw %bx, %bx; movw %bx, %ds; SAYI 1; DONE;"

    /* It spins there until an interrupt comes. */
    "rm_spin:"
    "  UNREAL; xorw %ax, %ax; movw %ax, %ds;"
    "  movw $rm_spin_isr - rm_start + 0x8000, 4 * 0x25; movw $0, 4 * 0x25 + 2;"
    "  movb $0x11, %al; outb %al, $0x20; movb $0x20, %al; outb %al, $0x21;"
    "  movb $4, %al; outb %al, $0x21; movb $1, %al; outb %al, $0x21;"
    "  movb $0xdf, %al; outb %al, $0x21; xorl %ebx, %ebx; SAYI 1; sti;"
    "rm_spinning: movl $0x800000, %esi; incl (%esi); testl %ebx, %ebx; jz rm_spinning;"
    "  SAYI 2; DONE;"
    "rm_spin_isr: movb $1, %bl; iretw;"

    /* Protected mode with the segments of real mode: an exception on its very first instruction. */
    "rm_early:"
    "  lgdtl rm_gdtr - rm_start + 0x8000; lidtl rm_idtr - rm_start + 0x8000;"
    "  movw $0x20, %ax; movw %ax, %ss; movw $0x7000, %sp;"
    "  movl %cr0, %eax; orb $1, %al; movl %eax, %cr0; rm_early_at: ud2;"
    ".code32;"
    "pm_ud: movw $0x10, %ax; movw %ax, %ds; popl %eax; SAY; popl %eax; SAY; DONE;"

    /* All the way, and back. */
    ".code16;"
    "rm_tour:"
    "  movw $rm_isr - rm_start + 0x8000, 4 * 0x43; movw $0, 4 * 0x43 + 2; int $0x43;"
    "  lgdtl rm_gdtr - rm_start + 0x8000; lidtl rm_idtr - rm_start + 0x8000;"
    "  movl %cr0, %eax; orb $1, %al; movl %eax, %cr0; SAYI 1;"
    "  ljmpw $0x18, $pm_16 - rm_start + 0x8000;"
    "pm_16: movw $0x20, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %ss; movw $0x7000, %sp;"
    "  SAYI 2; ljmpl $0x08, $pm_32 - rm_start + 0x8000;"
    ".code32;"
    "pm_32: movw $0x10, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %fs; movw %ax, %gs;"
    "  movw %ax, %ss; movl $0x7000, %esp; movw $0x30, %ax; ltr %ax;"
    /* No paging yet; CR3 is the guest's to keep. */
    "  movl $0x20000, %eax; movl %eax, %cr3; movl %cr3, %eax; SAY;"
    "  movl %cr4, %eax; SAY;"
    "  int $0x30; movl %ebx, %eax; SAY;"
    /* vm86 mode and out of it: INT is #GP, whose handler goes on at pm_back. */
    "  pushl $0; pushl $0; pushl $0; pushl $0x800; pushl $0x900; pushl $0x100;"
    "  pushl $0x20002; pushl $0x800; pushl $vm_task - rm_start; iretl;"
    ".code16; vm_task: movw $0x5a5a, %bx; movw %cs, %cx; vm_task_at: int $0x21; .code32;"
    "pm_gp:"
    "  addl $4, %esp; popl %eax; SAY; popl %eax; popl %eax; shrl $17, %eax; SAY;"
    "  movw $0x10, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %fs; movw %ax, %gs;"
    "  movl $0x7000, %esp; movzwl %bx, %eax; shll $16, %eax; movw %cx, %ax; SAY;"
    /* Paging of 32 bits, with a page where it is not identical. */
    "  movl %cr4, %eax; orl $0x10, %eax; movl %eax, %cr4;"
    "  movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0; jmp 1f; 1:"
    "  movl 0xc00000, %eax; SAY;"
    "  movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0; jmp 1f; 1:"
    "  movl 0xc00000, %eax; SAY;"
    /* 64 bits. */
    "  movl $0x4000, %eax; movl %eax, %cr3; movl $0x20, %eax; movl %eax, %cr4;"
    "  movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr; SAYI 3;"
    "  movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0; SAYI 4;"
    "  ljmpl $0x28, $lm_64 - rm_start + 0x8000;"
    ".code64;"
    "lm_64: movabsq $0x123456789abcdef0, %rax; shrq $32, %rax; SAY;"
    "  pushq $0x08; pushq $pm_again - rm_start + 0x8000; lretq;"
    ".code32;"
    "pm_again: movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0;"
    "  movl $0xc0000080, %ecx; rdmsr; movl %eax, %ebx; andl $0xfffffeff, %eax; wrmsr;"
    "  movl %ebx, %eax; andl $0x500, %eax; SAY; xorl %eax, %eax; movl %eax, %cr4;"
    "  ljmpl $0x18, $pm_16_again - rm_start + 0x8000;"
    ".code16;"
    "pm_16_again: movw $0x20, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %fs;"
    "  movw %ax, %gs; movw %ax, %ss;"
    "  movl %cr0, %eax; andb $0xfe, %al; movl %eax, %cr0; SAYI 5;"
    "  ljmpw $0, $rm_again - rm_start + 0x8000;"
    "rm_again: xorw %ax, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %fs; movw %ax, %gs;"
    "  movw %ax, %ss; movw $0x7000, %sp; lidtl rm_ivtr - rm_start + 0x8000;"
    "  xorl %ebx, %ebx; int $0x43; movl %ebx, %eax; SAY; DONE;"
    "rm_isr: movl $0x43, %ebx; iretw;"
    ".code32;"
    "pm_soft: movl $0x30, %ebx; iretl;"

    ".balign 8;"
    "rm_gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00009b000000ffff,"
    "  0x000093000000ffff, 0x00af9b000000ffff;"
    "  .word 0x67, rm_tss - rm_start + 0x8000, 0x8900, 0;"
    "rm_gdtr: .word . - rm_gdt - 1; .long rm_gdt - rm_start + 0x8000;"
    "rm_ivtr: .word 0x3ff; .long 0;"
    "rm_idtr: .word 0x31 * 8 - 1; .long rm_idt - rm_start + 0x8000;"
    ".balign 8;"
    "rm_tss: .long 0, 0x6000, 0x10; .skip 0x67 - 12 + 1;"
    ".balign 8;"
    "rm_idt: .skip 6 * 8; .word pm_ud - rm_start + 0x8000, 0x08, 0x8e00, 0;"
    "  .skip 6 * 8; .word pm_gp - rm_start + 0x8000, 0x08, 0x8e00, 0;"
    "  .skip (0x30 - 14) * 8; .word pm_soft - rm_start + 0x8000, 0x08, 0x8e00, 0;"
    "rm_end:"

    /* The ROM at the reset vector: its parts at 0xe000, 0xe020 and 0xfff0. */
    ".code16;"
    "rom_high: movzbl %cs:0xe100, %eax; SAY; ljmpw $0xf000, $0xe020; rom_high_end:"
    "rom_low: movzbl %cs:0xe100, %eax; SAY; DONE; rom_low_end:"
    ".code64");

#define CODE(name)	extern char name[]
CODE(vec_real); CODE(vec_real_end); CODE(rm_start); CODE(rm_end); CODE(rom_high);
CODE(rom_high_end); CODE(rom_low); CODE(rom_low_end);
CODE(rm_ud); CODE(rm_de); CODE(rm_de_at); CODE(rm_bp); CODE(rm_bp_at); CODE(rm_of);
CODE(rm_of_at); CODE(rm_br); CODE(rm_br_at); CODE(rm_limit); CODE(rm_limit_at); CODE(rm_stack);
CODE(rm_stack_at); CODE(rm_lldt); CODE(rm_str); CODE(rm_cr0); CODE(rm_cr0_at);
CODE(rm_sysenter); CODE(rm_sysenter_at); CODE(rm_msr); CODE(rm_msr_at); CODE(rm_tf);
CODE(rm_tf_at); CODE(rm_tf_int); CODE(rm_tf_int_at); CODE(rm_int); CODE(rm_int_at); CODE(rm_bad);
CODE(rm_flags); CODE(rm_see); CODE(rm_irq); CODE(rm_io); CODE(rm_unreal); CODE(rm_spin);
CODE(rm_wreck); CODE(rm_early); CODE(rm_early_at); CODE(rm_tour); CODE(vm_task_at);

static uint32_t addr(const char *label)
{
	return label - rm_start + GPA_CODE16;
}

static struct vcpu *start(struct vm *vm, unsigned int flags, const char *entry)
{
	struct kvm_regs regs;
	struct vcpu *v;
	int i;

	vm_init(vm, flags);
	v = vm_vcpu(vm, 0);
	vcpu_real_mode(v, rm_start, rm_end - rm_start);
	memcpy(vm->mem + GPA_IVT_CODE, vec_real, vec_real_end - vec_real);
	for (i = 0; i < 256; i++)
		*(uint32_t *)(vm->mem + 4 * i) = ((GPA_IVT_CODE >> 4) - i) << 16 | i << 4;
	regs = vcpu_regs(v);
	regs.rip = addr(entry);
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
	return v;
}

/*
 * Userspace may read all and write it back at any time. QEMU itself ends when a level
 * changes by a 32-bit TSS that the VMCB says is busy.
 */
static struct kvm_sregs see(struct vcpu *v)
{
	struct kvm_sregs s = vcpu_sregs(v), again;
	struct kvm_regs regs = vcpu_regs(v), regs_again;

	if (on_tcg() && s.tr.selector)
		return s;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
	again = vcpu_sregs(v);
	regs_again = vcpu_regs(v);
	EXPECT(!memcmp(&s, &again, sizeof(s)));
	EXPECT(!memcmp(&regs, &regs_again, sizeof(regs)));
	return s;
}

/* At each stop the VM goes to the mode that comes next. */
static bool changing;

static void change_mode(struct vcpu *v)
{
	uint32_t mode;

	ASSERT(!ioctl(v->vm->fd, UMBRA_GET_MMU, &mode));
	do
		mode = mode % UMBRA_MMU_SHADOW_EAGER + 1;
	while (ioctl(v->vm->fd, UMBRA_SET_MMU, &mode));
}

static struct kvm_sregs stop_at(struct vcpu *v, uint32_t value)
{
	vcpu_run_to_sync(v, value);
	if (changing)
		change_mode(v);
	return see(v);
}

TEST(reset_vector, "the reset vector: CS has its base until the first far jump")
{
	static const uint8_t jump[] = { 0xe9, 0x0d, 0xe0 };	/* to 0xe000 */
	uint8_t *ram = map_pages(1 << 20), *rom = map_pages(1 << 16), *low = ram + 0xf0000;
	struct kvm_sregs s;
	struct vcpu *v;
	struct vm vm;

	memcpy(rom + 0xfff0, jump, sizeof(jump));
	memcpy(rom + 0xe000, rom_high, rom_high_end - rom_high);
	rom[0xe100] = 0xaa;
	memcpy(low + 0xe020, rom_low, rom_low_end - rom_low);
	low[0xe100] = 0x55;
	vm_init(&vm, VM_NO_MEMORY);
	ASSERT(!vm_slot(&vm, 0, 0, 0, 1 << 20, ram));
	ASSERT(!vm_slot(&vm, 1, KVM_MEM_READONLY, 0xffff0000, 1 << 16, rom));
	v = vm_vcpu(&vm, 0);
	s = stop_at(v, 0xaa);
	EXPECT_EQ(s.cs.selector, 0xf000);
	EXPECT_EQ(s.cs.base, 0xffff0000);
	EXPECT_EQ(s.cr0, CR0_CD | CR0_NW | CR0_ET);
	s = stop_at(v, 0x55);
	EXPECT_EQ(s.cs.selector, 0xf000);
	EXPECT_EQ(s.cs.base, 0xf0000);
	vcpu_run_to_end(v);
}

static const struct exception {
	const char *name, *entry, *at;
	unsigned int vector;
	bool limit;		/* QEMU's CPU does not check it */
} exceptions[] = {
	{ "UD2", rm_ud, rm_ud, UD_VECTOR },
	{ "DIV by 0", rm_de, rm_de_at, DE_VECTOR },
	{ "INT3", rm_bp, rm_bp_at, BP_VECTOR },
	{ "INTO", rm_of, rm_of_at, OF_VECTOR },
	{ "BOUND", rm_br, rm_br_at, BR_VECTOR },
	{ "a word at the limit", rm_limit, rm_limit_at, GP_VECTOR, true },
	{ "a word at the stack's limit", rm_stack, rm_stack_at, SS_VECTOR, true },
	{ "LLDT", rm_lldt, rm_lldt, UD_VECTOR },
	{ "STR", rm_str, rm_str, UD_VECTOR },
	{ "CR0.PG without PE", rm_cr0, rm_cr0_at, GP_VECTOR },
	{ "SYSENTER, though its MSR is there", rm_sysenter, rm_sysenter_at, GP_VECTOR },
	{ "an MSR that is not there", rm_msr, rm_msr_at, GP_VECTOR },
	{ "TF", rm_tf, rm_tf_at, DB_VECTOR },
	{ "INT with TF", rm_tf_int, rm_tf_int_at, 0x40 },
	{ "INT 0xff", rm_int, rm_int_at, 0xff },
};

TEST_EACH(exception, "real mode, through the IVT: ", exceptions, x)
{
	struct vm vm;
	struct vcpu *v;

	if (x->limit && on_tcg())
		SKIP("QEMU's CPU checks no limits");
	v = start(&vm, 0, x->entry);
	vcpu_run_to_sync(v, x->vector << 16 | addr(x->at));
	EXPECT_EQ(see(v).cr0 & CR0_PE, 0);
	/* The flags that were pushed had no bit that the guest has not set. */
	EXPECT_EQ(vcpu_regs(v).rcx & 0x7000, 0);
	vcpu_run_to_end(v);
	EXPECT_EQ(vcpu_regs(v).rsp & 0xffff, 0x7ffe);
}

TEST(flags, "real mode: FLAGS are the guest's own to the bit, IOPL and NT too")
{
	static const uint32_t want[] = {
		0x3002, 0x7cd7, 0x5002, 0x5202, 0x5202, 0x5202, 0x5002, 0x243002,
	};
	struct vm vm;
	struct vcpu *v = start(&vm, 0, rm_flags);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(want); i++)
		stop_at(v, want[i]);
	EXPECT_EQ(vcpu_regs(v).rflags & 0x3000, 0x3000);
	vcpu_run_to_end(v);
}

TEST(see, "real mode: segments and tables as the VMM and the guest see them")
{
	struct kvm_sregs before, s;
	struct vm vm;
	struct vcpu *v = start(&vm, 0, rm_see);

	before = vcpu_sregs(v);
	s = stop_at(v, 0x10);
	EXPECT_EQ(s.ds.selector, 0x1234);
	EXPECT_EQ(s.ds.base, 0x12340);
	EXPECT_EQ(s.ds.limit, 0xffff);
	EXPECT_EQ(s.ds.type, 3);
	EXPECT_EQ(s.ds.dpl, 0);
	EXPECT_EQ(s.fs.base, 0x23450);
	EXPECT(!memcmp(&s.tr, &before.tr, sizeof(s.tr)));
	EXPECT(!memcmp(&s.ldt, &before.ldt, sizeof(s.ldt)));
	EXPECT_EQ(*(uint16_t *)(vm.mem + 0x500), before.gdt.limit);
	EXPECT_EQ(*(uint32_t *)(vm.mem + 0x502) & 0xffffff, before.gdt.base);
	EXPECT_EQ(*(uint16_t *)(vm.mem + 0x508), 0x3ff);
	s = stop_at(v, 2);
	EXPECT_EQ(s.cs.selector, 0x300);
	EXPECT_EQ(s.cs.base, 0x3000);
	EXPECT_EQ(s.cr0, before.cr0);
	EXPECT_EQ(s.cr4, before.cr4);
	vcpu_run_to_end(v);
}

TEST(interrupts, "real mode: an interrupt ends HLT, an NMI comes with IF clear, through the IVT")
{
	struct vm vm;
	struct vcpu *v = start(&vm, VM_IRQCHIP, rm_irq);

	vcpu_run_to_sync(v, 1);
	vm_irq(&vm, 5, 1);
	vm_irq(&vm, 5, 0);
	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(v->fd, KVM_NMI));
	vcpu_run_to_sync(v, 0x10001);
	vcpu_run_to_end(v);
}

TEST(devices, "real mode: a device in memory, and strings to and from ports")
{
	uint8_t *ram = map_pages(0xa0000);
	struct kvm_sregs s;
	struct kvm_regs regs = { .rflags = FLAGS_FIXED, .rsp = 0x7ffe };
	struct vcpu *v;
	struct vm vm;
	int i;

	vm_init(&vm, VM_NO_MEMORY);
	ASSERT(!vm_slot(&vm, 0, 0, 0, 0xa0000, ram));
	memcpy(ram + GPA_CODE16, rm_start, rm_end - rm_start);
	v = vm_vcpu(&vm, 0);
	s = vcpu_sregs(v);
	s.cs.base = 0;
	s.cs.selector = 0;
	regs.rip = addr(rm_io);
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &regs));
	want_mmio(v, 0xb8006, 2, true);
	EXPECT_EQ(*(uint16_t *)v->run->mmio.data, 0x1234);
	want_mmio(v, 0xb8008, 2, false);
	*(uint16_t *)v->run->mmio.data = 0x4321;
	for (i = 0; i < 3;) {
		ASSERT(vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == 0x10);
		EXPECT_EQ(*(uint8_t *)io_data(v), "abc"[i]);
		i += v->run->io.count;
	}
	EXPECT_EQ(*(uint16_t *)(ram + 0x600), 0x4321);
	for (i = 0; i < 4;) {
		ASSERT(vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == 0x11);
		memcpy(io_data(v), "defg" + i, v->run->io.count);
		i += v->run->io.count;
	}
	vcpu_run_to_end(v);
	EXPECT(!memcmp(ram + 0x602, "defg", 4));
}

TEST(unreal, "unreal mode: memory beyond 1 MiB, an interrupt, and a device there")
{
	struct kvm_sregs s;
	struct vm vm;
	struct vcpu *v = start(&vm, 0, rm_unreal);

	*(uint32_t *)(vm.mem + 0x800004) = 1;
	s = stop_at(v, 1);
	EXPECT_EQ(s.cr0 & CR0_PE, 0);
	EXPECT_EQ(s.ds.limit, 0xffffffff);
	EXPECT_EQ(*(uint32_t *)(vm.mem + 0x800000), 0x11223344);
	want_mmio(v, GPA_HOLE, 4, true);
	EXPECT_EQ(*(uint32_t *)v->run->mmio.data, 0x99);
	want_mmio(v, GPA_HOLE + 4, 4, false);
	*(uint32_t *)v->run->mmio.data = 0xfeed;
	vcpu_run_to_sync(v, 0xfeed);
	EXPECT_EQ(*(uint32_t *)(vm.mem + 0x800004), 0x55667789);
	vcpu_run_to_end(v);
}

static void *raise_later(void *p)
{
	struct vm *vm = p;

	while (!*(volatile uint32_t *)(vm->mem + 0x800000))
		;
	vm_irq(vm, 5, 1);
	return NULL;
}

TEST(spin, "unreal mode: a signal ends RUN, an interrupt reaches a guest that spins")
{
	pthread_t thread;
	struct vm vm;
	struct vcpu *v = start(&vm, VM_IRQCHIP, rm_spin);
	volatile uint32_t *count = (uint32_t *)(vm.mem + 0x800000);
	int i = 0;

	vcpu_run_to_sync(v, 1);
	do {
		EXPECT_ERR(vcpu_run_for(v, 100), EINTR);
	} while (!*count && ++i < 100);
	EXPECT(*count > 0);
	*count = 0;
	ASSERT(!pthread_create(&thread, NULL, raise_later, &vm));
	vcpu_run_to_sync(v, 2);
	pthread_join(thread, NULL);
	vcpu_run_to_end(v);
}

TEST(wreck, "a guest that writes to the hypervisor's pages below 4 GiB harms itself only")
{
	struct vm vm, other;
	struct vcpu *v = start(&vm, 0, rm_wreck);
	int i;

	/* Without an identity table there is nothing: writes are the VMM's to see. */
	for (i = 0; i < 1100 && vcpu_run_for(v, 500) == 0; i++) {
		if (v->run->exit_reason != KVM_EXIT_MMIO)
			break;
	}
	EXPECT(i <= 1024);
	if (i == 1024)
		EXPECT(guest_said(v, PORT_SYNC, NULL));
	vcpu_run_to_end(start(&other, 0, rm_bad));
}

TEST(pages, "the hypervisor's pages below 4 GiB are no place for a slot, nor is one for them")
{
	unsigned char *page = map_pages(4096);
	const uint64_t identity = 0xfeffc000;
	struct vm vm, taken;

	vm_init(&vm, 0);
	vm_vcpu(&vm, 0);
	vm_init(&taken, 0);
	ASSERT(!vm_slot(&taken, 1, 0, identity, 4096, page));
	if (!restricted_guest()) {
		EXPECT_OK(vm_slot(&vm, 1, 0, identity, 4096, page));
		EXPECT_OK(ioctl(taken.fd, KVM_CREATE_VCPU, 0UL));
		return;
	}
	EXPECT_ERR(vm_slot(&vm, 1, 0, identity, 4096, page), EEXIST);
	EXPECT_ERR(vm_slot(&vm, 1, 0, identity + 0x3000, 4096, page), EEXIST);
	EXPECT_OK(vm_slot(&vm, 1, 0, identity + 0x4000, 4096, page));
	EXPECT_ERR(ioctl(taken.fd, KVM_CREATE_VCPU, 0UL), EEXIST);
	/* Once it is free the vCPU can be made. */
	ASSERT(!vm_slot(&taken, 1, 0, identity, 0, page));
	EXPECT_OK(ioctl(taken.fd, KVM_CREATE_VCPU, 0UL));
}

TEST(early, "protected mode with real mode's segments: an exception is delivered")
{
	struct vm vm;
	struct vcpu *v = start(&vm, 0, rm_early);

	vcpu_run_to_sync(v, addr(rm_early_at));
	EXPECT_EQ(vcpu_sregs(v).cs.selector, 8);
	vcpu_run_to_sync(v, 0);
	vcpu_run_to_end(v);
}

/* 4 MiB pages, identical but for the one at 12 MiB, which is at 8. */
static void fill_cr3_32(struct vm *vm)
{
	uint32_t *pd = (uint32_t *)(vm->mem + GPA_CR3_32), i;

	for (i = 0; i < 1024; i++)
		pd[i] = i << 22 | PTE_PS | PTE_W | PTE_P;
	pd[3] = 0x800000 | PTE_PS | PTE_W | PTE_P;
	*(uint32_t *)(vm->mem + 0x800000) = 0x8;
	*(uint32_t *)(vm->mem + 0xc00000) = 0xc;
}

static void tour(void)
{
	struct kvm_sregs s;
	struct vm vm;
	struct vcpu *v = start(&vm, 0, rm_tour);

	fill_cr3_32(&vm);
	s = stop_at(v, 1);
	EXPECT_EQ(s.cr0 & (CR0_PE | CR0_PG), CR0_PE);
	EXPECT_EQ(s.cs.selector, 0);
	s = stop_at(v, 2);
	EXPECT_EQ(s.cs.selector, 0x18);
	s = stop_at(v, GPA_CR3_32);
	EXPECT_EQ(s.cr3, GPA_CR3_32);
	EXPECT_EQ(s.cr4, 0);
	EXPECT_EQ(s.tr.selector, 0x30);
	stop_at(v, 0);			/* CR4 as it reads it */
	stop_at(v, 0x30);			/* INT by a gate */
	stop_at(v, vm_task_at - rm_start);	/* #GP of the vm86 task: EIP, VM, and its registers */
	stop_at(v, 1);
	stop_at(v, 0x5a5a0800);
	s = stop_at(v, 0x8);		/* paged */
	EXPECT_EQ(s.cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
	EXPECT_EQ(s.cr4, CR4_PSE);
	s = stop_at(v, 0xc);		/* not any more */
	EXPECT_EQ(s.cr0 & (CR0_PE | CR0_PG), CR0_PE);
	EXPECT_EQ(s.cr3, GPA_CR3_32);
	s = stop_at(v, 3);
	EXPECT_EQ(s.cr3, GPA_PML4);
	EXPECT_EQ(s.cr4, CR4_PAE);
	EXPECT_EQ(s.efer, EFER_LME);
	s = stop_at(v, 4);
	EXPECT_EQ(s.efer, EFER_LME | EFER_LMA);
	EXPECT_EQ(s.cs.l, 0);
	s = stop_at(v, 0x12345678);
	EXPECT_EQ(s.cs.l, 1);
	stop_at(v, 0x100);			/* LME is left, LMA is not */
	s = stop_at(v, 5);
	EXPECT_EQ(s.cr0 & (CR0_PE | CR0_PG), 0);
	EXPECT_EQ(s.cs.selector, 0x18);
	EXPECT_EQ(s.cs.base, 0);
	EXPECT_EQ(s.efer, 0);
	s = stop_at(v, 0x43);
	EXPECT_EQ(s.cs.selector, 0);
	vcpu_run_to_end(v);
}

TEST(tour, "real, 16-bit, 32-bit, vm86, paged, 64-bit mode, and back to real mode")
{
	tour();
}

TEST(tour_changing, "the same, while the way to virtualize memory changes at each stop")
{
	if (!on_umbra())
		SKIP("not Umbra's device");
	changing = true;
	tour();
}
