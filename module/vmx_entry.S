/* SPDX-License-Identifier: GPL-2.0-only */
/* The world switch of VMX. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/cpufeatures.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#include "compat.h"

/* Offsets into the array of general registers: their encodings times 8. */
#define GPR_RAX		(0 * 8)
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

#define VMCS_HOST_RSP	0x6c14

.section .noinstr.text, "ax"

/*
 * unsigned int vmx_world_switch(u64 *gprs, unsigned int launched, unsigned long *host_rsp)
 * @gprs: the guest's registers but RSP, which the VMCS holds
 * @launched: 1 when this VMCS has been launched
 * @host_rsp: the host's RSP as the VMCS has it
 *
 * Called with interrupts off. Returns 0 after an exit and 1 when there was no entry.
 * The CPU comes back at vmx_left_guest with the host's segments, RSP, control
 * registers and MSRs, so that nothing here but the registers is the guest's.
 */
SYM_FUNC_START(vmx_world_switch)
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	pushq	%rdi

	cmpq	%rsp, (%rdx)
	je	2f
	movq	%rsp, (%rdx)
	movl	$VMCS_HOST_RSP, %eax
1:	vmwrite	%rsp, %rax
2:
	/* CF keeps the choice of the instruction while registers are loaded. */
	btl	$0, %esi

	movq	GPR_RAX(%rdi), %rax
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

	jnc	.Llaunch
	UNWIND_HINT_SAVE
3:	vmresume
	jmp	.Lno_entry
.Llaunch:
4:	vmlaunch
	jmp	.Lno_entry

SYM_INNER_LABEL_ALIGN(vmx_left_guest, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	pushq	%rax
	movq	8(%rsp), %rax
	popq	GPR_RAX(%rax)
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
	xorl	%ebx, %ebx

.Lclean:
	/* No value of the guest's stays where speculation could use it. */
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

	/* The guest's return predictions: before the first RET. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

	CLEAR_BRANCH_HISTORY_VMEXIT
	UMBRA_UNTRAIN_RET

	movl	%ebx, %eax
	addq	$8, %rsp
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	RET

.Lno_entry:
	movl	$1, %ebx
	jmp	.Lclean

	_ASM_EXTABLE(1b, 2b)
	_ASM_EXTABLE(3b, .Lno_entry)
	_ASM_EXTABLE(4b, .Lno_entry)
SYM_FUNC_END(vmx_world_switch)

/*
 * The NMI that ended the guest's time was taken by the exit: give it to the
 * kernel's handler as if it had come here. The handler returns by IRET, which
 * also lets NMIs come again.
 */
SYM_FUNC_START(vmx_serve_nmi)
	pushq	%rbp
	movq	%rsp, %rbp
	andq	$-16, %rsp
	pushq	$__KERNEL_DS
	pushq	%rbp
	pushfq
	pushq	$__KERNEL_CS
	call	UMBRA_ASM_NMI
	movq	%rbp, %rsp
	popq	%rbp
	RET
SYM_FUNC_END(vmx_serve_nmi)
