/* SPDX-License-Identifier: GPL-2.0-only */
/* For assembly: a guest's vectors, and the registers of struct frame in guest.h. */
#ifndef SELFTESTS_GUEST_ENTRY_H
#define SELFTESTS_GUEST_ENTRY_H

#ifdef __ASSEMBLER__

/*
 * \nr entries of 16 bytes each that go on to \to with the vector and an error code on
 * the stack. Some vectors push an error code by themselves.
 */
.macro GUEST_VECTORS nr:req to:req
	vector = 0
	.rept	\nr
	.balign	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	\to
	vector = vector + 1
	.endr
.endm

/* Below the vector: the rest of the frame. */
.macro GUEST_PUSH_FRAME
	.irp	reg, rax, rbx, rcx, rdx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	pushq	%\reg
	.endr
.endm

/* All of the frame, and back to where it is from. */
.macro GUEST_POP_FRAME
	.irp	reg, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax
	popq	%\reg
	.endr
	addq	$16, %rsp
	iretq
.endm

/* What a function of C expects to find again. */
.macro GUEST_PUSH_CALLEE_SAVED
	.irp	reg, rbx, rbp, r12, r13, r14, r15
	pushq	%\reg
	.endr
.endm

.macro GUEST_POP_CALLEE_SAVED
	.irp	reg, r15, r14, r13, r12, rbp, rbx
	popq	%\reg
	.endr
.endm

#endif
#endif
