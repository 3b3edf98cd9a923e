/* SPDX-License-Identifier: GPL-2.0-only */
/* The world switch of SVM. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/cpufeatures.h>
#include <asm/frame.h>
#include <asm/msr-index.h>

#include "compat.h"
#include "world_switch.h"

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
	PUSH_HOST_REGS
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
	LOAD_GUEST_REGS

	/* Clobbers ZF only. */
	VM_CLEAR_CPU_BUFFERS

3:	vmrun	%rax
4:	cli

	/* RAX and RSP are the host's again, all else is the guest's. */
	movq	FRAME_GPRS(%rsp), %rax
	SAVE_GUEST_REGS

	/* FS, GS, TR, LDTR and the MSRs of SYSCALL: the guest's out, the host's in. */
	movq	FRAME_VMCB(%rsp), %rax
5:	vmsave	%rax
6:	movq	FRAME_HOST(%rsp), %rax
7:	vmload	%rax
8:
	xorl	%ebx, %ebx
	CLEAR_GUEST_REGS

	/* The guest's return predictions: before the first RET, and before SPEC_CTRL is back. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	SWITCH_SPEC_CTRL to=FRAME_HOST_SPEC from=FRAME_SPEC

	CLEAR_BRANCH_HISTORY_VMEXIT
	UMBRA_UNTRAIN_RET

	addq	$FRAME_SIZE, %rsp
	POP_HOST_REGS
	RET

	_ASM_EXTABLE(1b, 2b)
	_ASM_EXTABLE(3b, 4b)
	_ASM_EXTABLE(5b, 6b)
	_ASM_EXTABLE(7b, 8b)
SYM_FUNC_END(svm_world_switch)
