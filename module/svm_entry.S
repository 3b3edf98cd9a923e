/* SPDX-License-Identifier: GPL-2.0-only */
/* The world switch of SVM. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/cpufeatures.h>
#include <asm/frame.h>
#include <asm/msr-index.h>

#include "compat.h"

/* Offsets into the array of general registers: their encodings times 8. */
#define GPR_RCX		(1 * 8)
#define GPR_RDX		(2 * 8)
#define GPR_RBX		(3 * 8)
#define GPR_RBP		(5 * 8)
#define GPR_RSI		(6 * 8)
#define GPR_RDI		(7 * 8)
#define GPR_R8		(8 * 8)
#define GPR_R9		(9 * 8)
#define GPR_R10		(10 * 8)
#define GPR_R11		(11 * 8)
#define GPR_R12		(12 * 8)
#define GPR_R13		(13 * 8)
#define GPR_R14		(14 * 8)
#define GPR_R15		(15 * 8)

/* What the frame keeps below the saved registers, from RSP up. */
#define FRAME_GPRS	0
#define FRAME_VMCB	8
#define FRAME_HOST	16
#define FRAME_SPEC	24		/* the guest's SPEC_CTRL */
#define FRAME_HOST_SPEC	32
#define FRAME_SIZE	40

.section .noinstr.text, "ax"

/*
 * Fill SPEC_CTRL with what lies at \to in the frame, unless \from is the same.
 * Clobbers RAX, RCX, RDX.
 */
.macro SWITCH_SPEC_CTRL to:req from:req
	ALTERNATIVE "jmp .Lspec_done_\@", "", X86_FEATURE_MSR_SPEC_CTRL
	movq	\to(%rsp), %rax
	cmpq	\from(%rsp), %rax
	je	.Lspec_done_\@
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	movq	%rax, %rdx
	shrq	$32, %rdx
	wrmsr
.Lspec_done_\@:
.endm

/*
 * void svm_world_switch(u64 *gprs, u64 vmcb_pa, u64 host_pa, u64 guest_spec, u64 host_spec)
 * @gprs: the guest's registers but RAX and RSP, which the VMCB holds
 * @vmcb_pa: the guest's VMCB
 * @host_pa: where VMSAVE has put what VMRUN does not switch of the host
 * @guest_spec, @host_spec: SPEC_CTRL inside and outside
 *
 * Called with GIF clear and RFLAGS.IF clear. Until the host's VMLOAD on the way
 * out GS, FS and TR are the guest's: nothing in between may use per-CPU data,
 * take an exception or return. An instruction of SVM faults only when a crash
 * has turned SVM off under us: skip it, the state is lost anyway.
 */
SYM_FUNC_START(svm_world_switch)
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	pushq	%r8			/* FRAME_HOST_SPEC */
	pushq	%rcx			/* FRAME_SPEC */
	pushq	%rdx			/* FRAME_HOST */
	pushq	%rsi			/* FRAME_VMCB */
	pushq	%rdi			/* FRAME_GPRS */

	SWITCH_SPEC_CTRL to=FRAME_SPEC from=FRAME_HOST_SPEC

	movq	FRAME_VMCB(%rsp), %rax
1:	vmload	%rax
2:
	/*
	 * RFLAGS.IF of the host decides whether physical interrupts leave the guest;
	 * GIF keeps them from being taken here. Well before VMRUN: the shadow behind
	 * STI would go with it into the guest, whose own STI then has none.
	 */
	sti
	movq	FRAME_GPRS(%rsp), %rdi
	movq	GPR_RCX(%rdi), %rcx
	movq	GPR_RDX(%rdi), %rdx
	movq	GPR_RBX(%rdi), %rbx
	movq	GPR_RBP(%rdi), %rbp
	movq	GPR_RSI(%rdi), %rsi
	movq	GPR_R8(%rdi), %r8
	movq	GPR_R9(%rdi), %r9
	movq	GPR_R10(%rdi), %r10
	movq	GPR_R11(%rdi), %r11
	movq	GPR_R12(%rdi), %r12
	movq	GPR_R13(%rdi), %r13
	movq	GPR_R14(%rdi), %r14
	movq	GPR_R15(%rdi), %r15
	movq	GPR_RDI(%rdi), %rdi

	/* Clobbers ZF only. */
	VM_CLEAR_CPU_BUFFERS

3:	vmrun	%rax
4:	cli

	/* RAX and RSP are the host's again, all else is the guest's. */
	movq	FRAME_GPRS(%rsp), %rax
	movq	%rcx, GPR_RCX(%rax)
	movq	%rdx, GPR_RDX(%rax)
	movq	%rbx, GPR_RBX(%rax)
	movq	%rbp, GPR_RBP(%rax)
	movq	%rsi, GPR_RSI(%rax)
	movq	%rdi, GPR_RDI(%rax)
	movq	%r8, GPR_R8(%rax)
	movq	%r9, GPR_R9(%rax)
	movq	%r10, GPR_R10(%rax)
	movq	%r11, GPR_R11(%rax)
	movq	%r12, GPR_R12(%rax)
	movq	%r13, GPR_R13(%rax)
	movq	%r14, GPR_R14(%rax)
	movq	%r15, GPR_R15(%rax)

	/* FS, GS, TR, LDTR and the MSRs of SYSCALL: the guest's out, the host's in. */
	movq	FRAME_VMCB(%rsp), %rax
5:	vmsave	%rax
6:	movq	FRAME_HOST(%rsp), %rax
7:	vmload	%rax
8:
	/* No value of the guest's stays where speculation could use it. */
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
	xorl	%r12d, %r12d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d

	/* The guest's return predictions: before the first RET, and before SPEC_CTRL is back. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	SWITCH_SPEC_CTRL to=FRAME_HOST_SPEC from=FRAME_SPEC

	CLEAR_BRANCH_HISTORY_VMEXIT
	UMBRA_UNTRAIN_RET

	addq	$FRAME_SIZE, %rsp
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	RET

	_ASM_EXTABLE(1b, 2b)
	_ASM_EXTABLE(3b, 4b)
	_ASM_EXTABLE(5b, 6b)
	_ASM_EXTABLE(7b, 8b)
SYM_FUNC_END(svm_world_switch)
