/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of mmu/oracle, for one width: it does what a list says, and notes what
 * became of it. stub.S includes this twice, with R(name) a register of that width.
 * RBP is the vCPU's context, RBX the op, RDI its result. A fault has no way back: its
 * handler goes on with the next op.
 */
#ifdef __ASSEMBLER__

	.text
	.balign	16
	.globl	S(vectors)
S(vectors):
	vector = 0
	.rept	NR_GATES
	.balign	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	push	$0
	.endif
	push	$vector
	jmp	S(raised)
	vector = vector + 1
	.endr

S(raised):
	mov	R(sp), R(bp)
	and	$-4096, R(bp)
	mov	CONTEXT_OP(R(bp)), R(bx)
	mov	CONTEXT_RESULT(R(bp)), R(di)
	pop	R(cx)
	pop	R(dx)
	lea	4096(R(bp)), R(sp)
	cmpl	$RETURN_VECTOR, %ecx
	je	S(done)
	cmpl	$0, CONTEXT_ACCESS(R(bp))
	je	S(lost)
	movl	%ecx, RESULT_VECTOR(R(di))
	movl	%edx, RESULT_ERROR(R(di))
	mov	%cr2, R(ax)
	mov	R(ax), RESULT_CR2(R(di))
	jmp	S(next)

S(lost):
	movl	%ecx, %eax
	movl	$SAYS_FAIL, %edx
	outl	%eax, %dx
	jmp	S(lost)

	/* The result's data is in EAX. */
S(done):
	movl	%eax, RESULT_DATA(R(di))
S(none):
	movl	$0xffff, RESULT_VECTOR(R(di))
S(next):
	push	$2
	popf
	addl	$OP_SIZE, CONTEXT_OP(R(bp))
	addl	$OP_SIZE, CONTEXT_RESULT(R(bp))
	.globl	S(start)
S(start):
	mov	CONTEXT_OP(R(bp)), R(bx)
	mov	CONTEXT_RESULT(R(bp)), R(di)
	movzbl	OP_KIND(R(bx)), %ecx
	xorl	%eax, %eax
	cmpl	$OP_STORE1, %ecx
	setb	%al
	movl	%eax, CONTEXT_ACCESS(R(bp))
	mov	OP_ADDR(R(bx)), R(si)
	mov	OP_VALUE(R(bx)), R(ax)
	jmp	*S(table)(, R(cx), 8)

	.balign	8
S(table):
	.quad	S(read), S(write), S(exec), S(to_user), S(to_user), S(to_user)
	.quad	S(store1), S(store2), S(store4), S(store8), S(locked4), S(load4)
	.quad	S(invlpg), S(cr3), S(control), S(pkru), S(yield), S(spin), S(end)

	/* RFLAGS.AC, for SMAP. */
.macro S(set_ac)
	cmpb	$0, OP_AC(R(bx))
	je	1f
	push	$0x40002
	popf
1:
.endm

S(read):
	S(set_ac)
	movl	(R(si)), %eax
	jmp	S(done)
S(write):
	S(set_ac)
	movl	%eax, (R(si))
	jmp	S(done)
S(exec):
	S(set_ac)
	call	*R(si)
	jmp	S(done)
S(to_user):
	push	$SEL_UDATA
	push	$USER_STACK
	push	$2
	push	$USER_CS
	mov	S(user_table) - OP_USER * 8(, R(cx), 8), R(dx)
	push	R(dx)
	IRET
	.balign	8
S(user_table):
	.quad	S(user_read), S(user_write), S(user_exec)

S(store1):
	movb	%al, (R(si))
	jmp	S(none)
S(store2):
	movw	%ax, (R(si))
	jmp	S(none)
S(store4):
	movl	%eax, (R(si))
	jmp	S(none)
S(store8):
	mov	R(ax), (R(si))
	jmp	S(none)
S(locked4):
	xchgl	%eax, (R(si))
	jmp	S(none)
S(load4):
	movl	(R(si)), %eax
	jmp	S(done)
S(invlpg):
	invlpg	(R(si))
	jmp	S(none)
S(cr3):
	mov	R(si), %cr3
	jmp	S(none)
S(control):
	mov	R(ax), R(si)
	movl	$0xc0000080, %ecx
	movl	OP_MORE(R(bx)), %eax
	xorl	%edx, %edx
	wrmsr
	mov	OP_ADDR(R(bx)), R(ax)
	mov	R(ax), %cr0
	cmpb	$0, OP_AC(R(bx))
	jne	1f
	xor	$0x80, R(si)		/* PGE, there and back */
	mov	R(si), %cr4
	xor	$0x80, R(si)
	mov	R(si), %cr4
1:	mov	%cr3, R(ax)
	mov	R(ax), %cr3
	jmp	S(none)
S(pkru):
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	.byte	0x0f, 0x01, 0xef	/* wrpkru */
	jmp	S(none)
S(yield):
	movl	$SAYS_SYNC, %edx
	outl	%eax, %dx
	jmp	S(none)
S(spin):
	testl	%eax, %eax
	jz	1f
	movl	%eax, TURN
1:	movl	OP_MORE(R(bx)), %ecx
2:	pause
	cmpl	%ecx, TURN
	jl	2b
	jmp	S(none)
S(end):
	movl	$0x7fffffff, TURN	/* the other need not wait */
	movl	$SAYS_DONE, %edx
	outl	%eax, %dx
	jmp	S(lost)

	.section .text.oracle_user, "ax"
S(user_read):
	movl	(R(si)), %eax
	int	$RETURN_VECTOR
S(user_write):
	movl	%eax, (R(si))
	int	$RETURN_VECTOR
S(user_exec):
	call	*R(si)
	int	$RETURN_VECTOR

#endif
