/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of the row inl_vmm, which QEMU and our runner both boot as a kernel:
 * an ELF file entered in 64-bit mode, or by its PVH note in 32-bit mode. The code
 * means the same in both: registers only, and no one-byte INC.
 *
 * It prints on the first serial port how far the TSC went over 2000 port reads,
 * as 8 hexadecimal digits and a newline, and ends by the keyboard controller's
 * reset, which both VMMs have: a triple fault would end Bochs itself.
 */
#define PORT_NOBODY	0x5e8
#define WARM_UP		16
#define COUNT		2000
#define UART		0x3f8
#define UART_LSR	0x3fd
#define LSR_EMPTY	0x20
#define I8042_COMMAND	0x64
#define PULSE_RESET	0xfe

	.section .note.pvh, "a", @note
	.long	4, 4, 18		/* lengths of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start

	.text
	.code32
	.global	start
start:
	cli
	movl	$PORT_NOBODY, %edx
	movl	$WARM_UP, %ecx
1:	inl	%dx, %eax
	subl	$1, %ecx
	jnz	1b

	rdtsc
	movl	%eax, %esi
	movl	$PORT_NOBODY, %edx
	movl	$COUNT, %ecx
2:	inl	%dx, %eax
	subl	$1, %ecx
	jnz	2b
	rdtsc
	subl	%esi, %eax
	movl	%eax, %esi

	movl	$9, %ecx
3:	movl	$'\n', %edi
	cmpl	$1, %ecx
	je	4f
	roll	$4, %esi
	movl	%esi, %edi
	andl	$15, %edi
	addl	$'0', %edi
	cmpl	$'9', %edi
	jbe	4f
	addl	$('a' - '9' - 1), %edi
4:	movl	$UART_LSR, %edx
5:	inb	%dx, %al
	testb	$LSR_EMPTY, %al
	jz	5b
	movl	$UART, %edx
	movl	%edi, %eax
	outb	%al, %dx
	subl	$1, %ecx
	jnz	3b

	movl	$I8042_COMMAND, %edx
	movl	$PULSE_RESET, %eax
	outb	%al, %dx
6:	hlt
	jmp	6b
