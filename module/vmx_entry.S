/* SPDX-License-Identifier: GPL-2.0-only */
/* The world switch of VMX. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/cpufeatures.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#include "compat.h"
#include "world_switch.h"

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
	PUSH_HOST_REGS
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
	LOAD_GUEST_REGS

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
	SAVE_GUEST_REGS
	xorl	%ebx, %ebx

.Lclean:
	CLEAR_GUEST_REGS

	/* The guest's return predictions: before the first RET. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

	CLEAR_BRANCH_HISTORY_VMEXIT
	UMBRA_UNTRAIN_RET

	movl	%ebx, %eax
	addq	$8, %rsp
	POP_HOST_REGS
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
