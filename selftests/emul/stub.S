/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's way into a case and out of it. Page-aligned code that the case's page tables map
 * too, for the supervisor alone; everything else here belongs to the test's own.
 */
#include "layout.h"

	.section .text.emul_stub, "ax"
	.code64
	.balign	4096
	.globl	emul_stub_begin
emul_stub_begin:

/* All vectors of the IDT, 16 bytes each; these push an error code by themselves. */
	.globl	emul_vectors
emul_vectors:
	vector = 0
	.rept	NR_VECTORS
	.balign	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	leave_case
	vector = vector + 1
	.endr

/*
 * void emul_enter(struct frame *frame, uint64_t cr3, const void *xmm): load the registers of the
 * frame, which lies where both address spaces see it. Returns when a vector has been raised.
 */
	.globl	emul_enter
emul_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, emul_saved_rsp
	movb	$1, emul_in_case
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	\n * 16(%rdx), %xmm\n
	.endr
	movq	%rdi, %rsp
	movq	%rsi, %cr3
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

leave_case:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movl	$MAIN_CR3, %eax
	movq	%cr3, %rbx
	movq	%rax, %cr3
	movq	%rbx, emul_out_cr3
	movq	%cr0, %rax
	movq	%rax, emul_out_cr0
	movl	$CASE_CR0, %ebx
	cmpq	%rbx, %rax
	je	1f
	movq	%rbx, %cr0
1:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, emul_out_xmm + \n * 16
	.endr
	movw	%es, emul_out_seg
	movw	%ds, emul_out_seg + 2
	movw	%fs, emul_out_seg + 4
	movw	%gs, emul_out_seg + 6
	movq	%rsp, emul_out_frame
	cmpb	$1, emul_in_case
	movb	$0, emul_in_case
	jne	2f
	movq	emul_saved_rsp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
2:	movq	%rsp, %rdi
	andq	$-16, %rsp
	call	emul_lost
	ud2

	.balign	4096
	.globl	emul_stub_end
emul_stub_end:

	.section .note.GNU-stack, "", @progbits
