/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's way into a case and out of it. Page-aligned code that the case's page tables map
 * too, for the supervisor alone; everything else here belongs to the test's own.
 */
#include "guest_entry.h"
#include "layout.h"

#define XCR0_AVX	4

.macro LOAD_VECTORS insn, reg
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\insn	\n * 32(%rdx), %\reg\n
	.endr
.endm

.macro SAVE_VECTORS insn, reg
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\insn	%\reg\n, emul_out_vec + \n * 32
	.endr
.endm

	.section .text.emul_stub, "ax"
	.code64
	.balign	4096
	.globl	emul_stub_begin
emul_stub_begin:

	.globl	emul_vectors
emul_vectors:
	GUEST_VECTORS NR_VECTORS, leave_case

/*
 * void emul_enter(struct frame *frame, uint64_t cr3, const void *vec): load the registers of the
 * frame, which lies where both address spaces see it. Returns when a vector has been raised.
 */
	.globl	emul_enter
emul_enter:
	GUEST_PUSH_CALLEE_SAVED
	movq	%rsp, emul_saved_rsp
	movb	$1, emul_in_case
	testb	$XCR0_AVX, emul_xcr0
	jnz	1f
	LOAD_VECTORS movups, xmm
	jmp	2f
1:	LOAD_VECTORS vmovups, ymm
2:	movq	%rdi, %rsp
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
1:	movl	emul_xcr0, %ebx
	testl	%ebx, %ebx
	jz	3f
	xorl	%ecx, %ecx
	xgetbv
	movl	%eax, emul_out_xcr0
	cmpl	%ebx, %eax
	je	2f
	movl	%ebx, %eax
	xorl	%edx, %edx
	xsetbv
2:	testb	$XCR0_AVX, %bl
	jz	3f
	SAVE_VECTORS vmovups, ymm
	jmp	4f
3:	SAVE_VECTORS movups, xmm
4:	movw	%es, emul_out_seg
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
