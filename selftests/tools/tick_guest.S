/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest for scripts/qemu-state-tests, entered by PVH in 32-bit mode: at each tick of the
 * PIT it adds one to a count, prints it on the first serial port, as 8 hexadecimal digits
 * and a newline, and looks whether memory has what the tick before has left there: else it
 * prints a line that is no number. Where a debugger looks for things is fixed by .org.
 */
#define UART		0x3f8
#define UART_LSR	0x3fd
#define LSR_EMPTY	0x20
#define PIC_VECTOR	0x20
#define PERIOD		11932		/* of the PIT: 100 Hz */
#define COUNT		0x210000	/* the count, and pages where it was left */
#define TICKS		0x210008
#define PAGES		0x220000
#define IDT		0x230000
#define STACK		0x240000

	.section .note.pvh, "a", @note
	.long	4, 4, 18		/* lengths of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start

	.text
	.code32
	.global	start
start:
	jmp	set_up

	/* Offset 0x20: what follows a tick. */
	.org	0x20
step:
	movl	COUNT, %eax
	incl	%eax
	movl	%eax, COUNT
	ret

	.org	0x40
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	23
	.long	gdt
idt_pointer:
	.word	0x7ff
	.long	IDT

set_up:
	cli
	movl	$STACK, %esp
	lgdt	gdt_pointer
	ljmp	$8, $1f
1:	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss

	movl	$tick, %eax
	movl	%eax, %edx
	andl	$0xffff, %eax
	orl	$0x80000, %eax
	andl	$0xffff0000, %edx
	orl	$0x8e00, %edx
	movl	%eax, IDT + PIC_VECTOR * 8
	movl	%edx, IDT + PIC_VECTOR * 8 + 4
	lidt	idt_pointer

	movb	$0x11, %al
	outb	%al, $0x20
	movb	$PIC_VECTOR, %al
	outb	%al, $0x21
	movb	$4, %al
	outb	%al, $0x21
	movb	$1, %al
	outb	%al, $0x21
	movb	$0xfe, %al
	outb	%al, $0x21
	movb	$0x34, %al
	outb	%al, $0x43
	movb	$(PERIOD & 0xff), %al
	outb	%al, $0x40
	movb	$(PERIOD >> 8), %al
	outb	%al, $0x40

	/* A reset leaves memory as it is. EBX: the ticks that were handled here. */
	xorl	%ebx, %ebx
	movl	%ebx, COUNT
	movl	%ebx, TICKS
	movl	%ebx, PAGES
2:	sti
	hlt
	cli
3:	cmpl	%ebx, TICKS
	je	2b
	incl	%ebx
	call	step
	/* Where it was left a tick ago: in another page each time. */
	movl	%eax, %ecx
	decl	%ecx
	movl	%ecx, %edx
	andl	$15, %edx
	shll	$12, %edx
	cmpl	%ecx, PAGES(%edx)
	jne	bad
	movl	%eax, %edx
	andl	$15, %edx
	shll	$12, %edx
	movl	%eax, PAGES(%edx)
	movl	%eax, %esi
	call	print
	jmp	3b

bad:	movl	$'!', %edi
	call	put
	movl	$'\n', %edi
	call	put
	cli
	hlt

tick:	pushl	%eax
	incl	TICKS
	movb	$0x20, %al
	outb	%al, $0x20
	popl	%eax
	iret

	/* ESI in hexadecimal. */
print:	movl	$8, %ecx
4:	roll	$4, %esi
	movl	%esi, %edi
	andl	$15, %edi
	addl	$'0', %edi
	cmpl	$'9', %edi
	jbe	5f
	addl	$('a' - '9' - 1), %edi
5:	call	put
	decl	%ecx
	jnz	4b
	movl	$'\n', %edi
put:	movl	$UART_LSR, %edx
6:	inb	%dx, %al
	testb	$LSR_EMPTY, %al
	jz	6b
	movl	$UART, %edx
	movl	%edi, %eax
	outb	%al, %dx
	ret
