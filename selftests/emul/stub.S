/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's way into a case and out of it. Page-aligned code that the case's page tables map
 * too, for the supervisor alone; everything else here belongs to the test's own.
 */
#include "guest_entry.h"
#include "layout.h"

	.section .text.emul_stub, "ax"
	.code64
	.balign	4096
	.globl	emul_stub_begin
emul_stub_begin:

	.globl	emul_vectors
emul_vectors:
	GUEST_VECTORS NR_VECTORS, leave_case

/*
 * void emul_enter(struct frame *frame, uint64_t cr3, const void *xmm): load the registers of the
 * frame, which lies where both address spaces see it. Returns when a vector has been raised.
 */
	.globl	emul_enter
emul_enter:
	GUEST_PUSH_CALLEE_SAVED
	movq	%rsp, emul_saved_rsp
	movb	$1, emul_in_case
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	\n * 16(%rdx), %xmm\n
	.endr
	movq	%rdi, %rsp
	movq	%rsi, %cr3
	GUEST_POP_FRAME

leave_case:
	GUEST_PUSH_FRAME
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
	GUEST_POP_CALLEE_SAVED
	ret
2:	movq	%rsp, %rdi
	andq	$-16, %rsp
	call	emul_lost
	ud2

	.balign	4096
	.globl	emul_stub_end
emul_stub_end:

	.section .note.GNU-stack, "", @progbits
