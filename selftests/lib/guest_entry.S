/* SPDX-License-Identifier: GPL-2.0-only */
/* Exception entry of the guests, and their way to ring 3 and back. */
#include "guest_entry.h"

	.text
	.code64

	.balign	16
	.globl	guest_idt_stubs
guest_idt_stubs:
	GUEST_VECTORS 256, common64

common64:
	GUEST_PUSH_FRAME
	movq	%rsp, %rdi
	movq	%rsp, %rbx
	andq	$-16, %rsp
	cld
	call	guest_exception
	movq	%rbx, %rsp
	GUEST_POP_FRAME

/*
 * guest_call_ring3(fn): run fn in ring 3; INT 0x80 from there comes back here,
 * by way of guest_exception(), with the stack pointer kept in ring3_return.
 */
	.globl	guest_call_ring3
guest_call_ring3:
	GUEST_PUSH_CALLEE_SAVED
	movq	%rsp, ring3_return
	pushq	$0x23
	pushq	$0x70000
	pushq	$0x3002			/* IOPL 3, so that ring 3 may do port I/O */
	pushq	$0x2b
	pushq	$ring3_entry
	iretq
ring3_entry:
	call	*%rdi
	int	$0x80
	ud2

	.globl	guest_ring3_back
guest_ring3_back:
	movq	ring3_return, %rsp
	GUEST_POP_CALLEE_SAVED
	ret

	.bss
	.balign	8
ring3_return:
	.quad	0

/*
 * 32-bit guests: the first exception is noted and ends the test. The vector
 * stub says whether there is an error code.
 */
	.text
	.code32
	.balign	16
	.globl	guest_idt32_stubs
guest_idt32_stubs:
	vector = 0
	.rept	256
	.balign	16
	movl	$vector, g_vector32
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	jmp	with_error32
	.else
	jmp	without_error32
	.endif
	vector = vector + 1
	.endr

with_error32:
	movl	$1, g_has_error32
	popl	%eax
	movl	%eax, g_error32
without_error32:
	popl	%eax
	movl	%eax, g_eip32
	xorl	%eax, %eax
	movw	$0x5f0, %dx
	outl	%eax, %dx
1:	hlt
	jmp	1b

	.section .note.GNU-stack, "", @progbits
