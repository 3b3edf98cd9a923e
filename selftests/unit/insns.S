/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instructions that emul_native.c runs on this CPU and in the emulator, and the way in and out of
 * native execution. An entry: start, end, text, undefined flags, class.
 */
#define CF 0x001
#define PF 0x004
#define AF 0x010
#define ZF 0x040
#define SF 0x080
#define OF 0x800

	.macro	insn undef:req, class:req, text:vararg
	.pushsection .text.insns, "ax"
9001:	\text
9002:	.popsection
	.pushsection .rodata.names, "a"
9003:	.asciz	"\text"
	.popsection
	.quad	9001b, 9002b, 9003b
	.long	\undef, \class
	.endm

/* Classes, as in emul_native.c. */
#define PLAIN	0
#define COUNT	1	/* rCX is a small count */
#define BITOFF	2	/* rDX is a bit offset that stays in the buffer */
#define DIVIDE	4	/* rDX:rAX often fits the divisor */
#define MATCH	8	/* rAX often equals the memory operand */
/* and what the CPU must have */
#define C_MOVBE		0x100
#define C_POPCNT	0x200
#define C_LZCNT		0x400
#define C_BMI1		0x800
#define C_BMI2		0x1000
#define C_CRC		0x2000
#define C_ADX		0x4000
#define C_AVX		0x8000
#define C_SSE3		0x10000
#define C_SSE41		0x20000

	.macro	alu op, undef
	.irp	r, "%cl, %al", "%ch, %dh", "%cx, %ax", "%ecx, %eax", "%rcx, %r9", "%sil, %r10b"
	insn	\undef, PLAIN, \op \r
	.endr
	insn	\undef, PLAIN, \op %dl, (%rdi)
	insn	\undef, PLAIN, \op %dx, 6(%rdi)
	insn	\undef, PLAIN, \op %edx, -0x99(%rdi)
	insn	\undef, PLAIN, \op %rdx, 0x88(%rdi)
	insn	\undef, PLAIN, \op (%rdi), %r8
	insn	\undef, PLAIN, \op 1(%rdi), %bl
	insn	\undef, PLAIN, \op $0x7f, %al
	insn	\undef, PLAIN, \op $0x12345678, %rax
	insn	\undef, PLAIN, \op $-3, %r12d
	insn	\undef, PLAIN, \op $0x8001, %bx
	insn	\undef, PLAIN, \op\()l $-2, (%rdi)
	insn	\undef, PLAIN, \op\()q $0x7fffffff, 8(%rdi)
	insn	\undef, PLAIN, \op\()b $0x80, 3(%rdi)
	.endm

	.macro	unary op, undef, class=PLAIN
	.irp	r, %cl, %ch, %cx, %ecx, %rcx, %r9, %r10b
	insn	\undef, \class, \op \r
	.endr
	insn	\undef, \class, \op\()b (%rdi)
	insn	\undef, \class, \op\()w 5(%rdi)
	insn	\undef, \class, \op\()l 9(%rdi)
	insn	\undef, \class, \op\()q 17(%rdi)
	.endm

	.macro	lockunary op
	insn	0, PLAIN, lock \op\()b (%rdi)
	insn	0, PLAIN, lock \op\()q 16(%rdi)
	.endm

	/* undef1: for one bit; undef: for more, but not more than the operand has; far: any */
	.macro	shift op, undef1, undef, far
	.irp	r, %al, %ah, %dx, %edx, %rdx, %r8
	insn	\undef1, PLAIN, \op $1, \r
	insn	\undef, PLAIN, \op $5, \r
	insn	\far, PLAIN, \op $31, \r
	insn	\far, PLAIN, \op %cl, \r
	.endr
	insn	\far, PLAIN, \op\()b %cl, (%rdi)
	insn	\far, PLAIN, \op\()w %cl, (%rdi)
	insn	\undef, PLAIN, \op\()l %cl, (%rdi)
	insn	\undef, PLAIN, \op\()q $63, (%rdi)
	.endm

	.section .data.rel.ro, "aw"
	.balign	8
	.globl	insns, insns_end
insns:
	alu	add, 0
	alu	adc, 0
	alu	sub, 0
	alu	sbb, 0
	alu	cmp, 0
	alu	and, AF
	alu	or, AF
	alu	xor, AF
	insn	0, PLAIN, lock addl %ecx, (%rdi)
	insn	0, PLAIN, lock subq $9, 8(%rdi)
	insn	AF, PLAIN, lock orb $1, (%rdi)
	insn	AF, PLAIN, test %cl, %dl
	insn	AF, PLAIN, test %rcx, %r11
	insn	AF, PLAIN, testl $0x80000000, (%rdi)
	insn	AF, PLAIN, test $0x5555, %ax
	insn	AF, PLAIN, testb %al, (%rdi)

	unary	inc, 0
	unary	dec, 0
	unary	not, 0
	unary	neg, 0
	lockunary inc
	lockunary dec
	lockunary not
	lockunary neg

	/* OF is defined for single-bit shifts only; AF never. */
	shift	shl, AF, AF | OF, AF | OF | CF
	shift	shr, AF, AF | OF, AF | OF | CF
	shift	sar, AF, AF | OF, AF | OF
	shift	rol, 0, OF, OF
	shift	ror, 0, OF, OF
	shift	rcl, 0, OF, OF
	shift	rcr, 0, OF, OF
	.irp	r, "%cx, %ax", "%ecx, %eax", "%rcx, %rax", "%rdx, (%rdi)"
	insn	AF, PLAIN, shld $1, \r
	insn	AF | OF, PLAIN, shld $13, \r
	insn	AF, PLAIN, shrd $1, \r
	insn	AF | OF, PLAIN, shrd $13, \r
	.endr
	insn	AF | OF, PLAIN, shld %cl, %edx, %eax
	insn	AF | OF, PLAIN, shld %cl, %rdx, (%rdi)
	insn	AF | OF, PLAIN, shrd %cl, %edx, %eax
	insn	AF | OF, PLAIN, shrd %cl, %rdx, (%rdi)

	.irp	op, bt, bts, btr, btc
	insn	PF | AF | SF | OF, PLAIN, \op %cx, %ax
	insn	PF | AF | SF | OF, PLAIN, \op %ecx, %eax
	insn	PF | AF | SF | OF, PLAIN, \op %rcx, %r9
	insn	PF | AF | SF | OF, PLAIN, \op\()w $15, (%rdi)
	insn	PF | AF | SF | OF, PLAIN, \op\()q $61, (%rdi)
	insn	PF | AF | SF | OF, BITOFF, \op %dx, (%rdi)
	insn	PF | AF | SF | OF, BITOFF, \op %edx, 1(%rdi)
	insn	PF | AF | SF | OF, BITOFF, \op %rdx, (%rdi)
	.endr
	.irp	op, bts, btr, btc
	insn	PF | AF | SF | OF, BITOFF, lock \op %edx, (%rdi)
	.endr
	insn	PF | AF | SF | OF | CF, PLAIN, bsf %rcx, %rax
	insn	PF | AF | SF | OF | CF, PLAIN, bsf (%rdi), %r8w
	insn	PF | AF | SF | OF | CF, PLAIN, bsr %rcx, %rax
	insn	PF | AF | SF | OF | CF, PLAIN, bsr (%rdi), %r8w

	unary	mul, SF | ZF | AF | PF
	unary	imul, SF | ZF | AF | PF
	unary	div, CF | PF | AF | ZF | SF | OF, DIVIDE
	unary	idiv, CF | PF | AF | ZF | SF | OF, DIVIDE
	insn	SF | ZF | AF | PF, PLAIN, imul %cx, %ax
	insn	SF | ZF | AF | PF, PLAIN, imul (%rdi), %eax
	insn	SF | ZF | AF | PF, PLAIN, imul %rcx, %r9
	insn	SF | ZF | AF | PF, PLAIN, imul $-7, %rcx, %r9
	insn	SF | ZF | AF | PF, PLAIN, imul $0x12345, (%rdi), %ebx
	insn	SF | ZF | AF | PF, PLAIN, imul $0x1234, %cx, %dx
	.irp	op, cbtw, cwtl, cltq, cwtd, cltd, cqto
	insn	0, PLAIN, \op
	.endr

	insn	0, PLAIN, mov (%rdi), %eax
	insn	0, PLAIN, mov %ah, 7(%rdi)
	insn	0, PLAIN, mov %r13, -8(%rdi)
	insn	0, PLAIN, movw $0x1234, 2(%rdi)
	insn	0, PLAIN, movq $-5, 2(%rdi)
	insn	0, PLAIN, movabs $0x1122334455667788, %r11
	insn	0, PLAIN, mov $0x99, %dh
	insn	0, PLAIN, movzbl (%rdi), %eax
	insn	0, PLAIN, movzbw %dh, %ax
	insn	0, PLAIN, movzwq 3(%rdi), %rcx
	insn	0, PLAIN, movsbl (%rdi), %eax
	insn	0, PLAIN, movsbq %cl, %r9
	insn	0, PLAIN, movswl %cx, %edx
	insn	0, PLAIN, movslq (%rdi), %rdx
	insn	0, PLAIN, mov 4(%rdi,%rbp,8), %rax
	insn	0, PLAIN, mov %ecx, -4(%rsi,%rbp,2)
	insn	0, PLAIN, lea 0x1234(%rcx,%rdx,4), %rax
	insn	0, PLAIN, lea (%rcx,%rdx,2), %eax
	insn	0, PLAIN, lea -1(%ecx,%r12d), %r9
	insn	0, PLAIN, lea (,%rdx,8), %bx
	insn	0, PLAIN, movnti %rcx, (%rdi)
	insn	0, C_MOVBE, movbe (%rdi), %rax
	insn	0, C_MOVBE, movbe (%rdi), %ax
	insn	0, C_MOVBE, movbe %ecx, 4(%rdi)
	insn	0, PLAIN, bswap %ecx
	insn	0, PLAIN, bswap %r10
	.irp	c, o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g
	insn	0, PLAIN, set\c %bh
	insn	0, PLAIN, set\c (%rdi)
	insn	0, PLAIN, cmov\c %ecx, %eax
	insn	0, PLAIN, cmov\c (%rdi), %r9
	.endr

	insn	0, PLAIN, xchg %cl, %dh
	insn	0, PLAIN, xchg %rcx, (%rdi)
	insn	0, PLAIN, xchg %ecx, %eax
	insn	0, PLAIN, xchg %r8, %rax
	insn	0, PLAIN, nop
	insn	0, PLAIN, pause
	insn	0, PLAIN, xadd %cl, %dl
	insn	0, PLAIN, xadd %ecx, %ecx
	insn	0, PLAIN, xadd %rcx, (%rdi)
	insn	0, PLAIN, lock xadd %cx, 2(%rdi)
	insn	0, MATCH, cmpxchg %cl, (%rdi)
	insn	0, MATCH, cmpxchg %cx, (%rdi)
	insn	0, MATCH, lock cmpxchg %ecx, (%rdi)
	insn	0, MATCH, lock cmpxchg %rcx, (%rdi)
	insn	0, MATCH, cmpxchg %rcx, %rax
	insn	0, MATCH, cmpxchg8b (%rdi)
	insn	0, MATCH, lock cmpxchg8b (%rdi)
	insn	0, MATCH, cmpxchg16b (%rsi)
	insn	0, MATCH, lock cmpxchg16b (%rsi)

	insn	0, PLAIN, push %rcx
	insn	0, PLAIN, push %rsp
	insn	0, PLAIN, pushw %cx
	insn	0, PLAIN, push $-9
	insn	0, PLAIN, push $0x12345678
	insn	0, PLAIN, pushq (%rdi)
	insn	0, PLAIN, pushq 8(%rsp)
	insn	0, PLAIN, pop %r9
	insn	0, PLAIN, popw %dx
	insn	0, PLAIN, popq (%rdi)
	insn	0, PLAIN, popq 8(%rsp)
	insn	0, PLAIN, push %fs
	insn	0, PLAIN, enter $0x20, $0
	insn	0, PLAIN, lahf
	insn	0, PLAIN, sahf
	insn	0, PLAIN, clc
	insn	0, PLAIN, stc
	insn	0, PLAIN, cmc
	insn	0, PLAIN, cld
	insn	0, PLAIN, std
	insn	0, PLAIN, xlat %ds:(%rbx)
	insn	0, COUNT, loop . + 2
	insn	0, COUNT, jrcxz . + 2
	insn	0, PLAIN, jc . + 2
	insn	0, PLAIN, prefetcht0 (%rdi)
	insn	0, PLAIN, clflush (%rdi)
	insn	0, PLAIN, mfence
	insn	0, PLAIN, sfence
	insn	0, PLAIN, lfence

	.irp	s, b, w, l, q
	insn	0, COUNT, movs\s
	insn	0, COUNT, rep movs\s
	insn	0, COUNT, stos\s
	insn	0, COUNT, rep stos\s
	insn	0, COUNT, lods\s
	insn	0, COUNT, rep lods\s
	insn	0, COUNT, cmps\s
	insn	0, COUNT, repe cmps\s
	insn	0, COUNT, repne cmps\s
	insn	0, COUNT, scas\s
	insn	0, COUNT, repe scas\s
	insn	0, COUNT, repne scas\s
	.endr

	insn	0, PLAIN, movups (%rdi), %xmm1
	insn	0, PLAIN, movups %xmm1, 3(%rdi)
	insn	0, PLAIN, movupd 1(%rdi), %xmm15
	insn	0, PLAIN, movaps (%rsi), %xmm2
	insn	0, PLAIN, movaps %xmm2, (%rsi)
	insn	0, PLAIN, movaps %xmm2, %xmm3
	insn	0, PLAIN, movapd %xmm2, (%rsi)
	insn	0, PLAIN, movdqa (%rsi), %xmm9
	insn	0, PLAIN, movdqa %xmm9, (%rsi)
	insn	0, PLAIN, movdqu 1(%rsi), %xmm9
	insn	0, PLAIN, movdqu %xmm9, 5(%rsi)
	insn	0, C_SSE3, lddqu 5(%rsi), %xmm9
	insn	0, PLAIN, movntps %xmm1, (%rsi)
	insn	0, PLAIN, movntdq %xmm1, (%rsi)
	insn	0, PLAIN, movss (%rdi), %xmm1
	insn	0, PLAIN, movss %xmm1, (%rdi)
	insn	0, PLAIN, movss %xmm1, %xmm2
	insn	0, PLAIN, movsd (%rdi), %xmm1
	insn	0, PLAIN, movsd %xmm1, (%rdi)
	insn	0, PLAIN, movsd %xmm1, %xmm2
	insn	0, PLAIN, movlps (%rdi), %xmm1
	insn	0, PLAIN, movlps %xmm1, (%rdi)
	insn	0, PLAIN, movhps (%rdi), %xmm1
	insn	0, PLAIN, movhpd %xmm1, (%rdi)
	insn	0, PLAIN, movd %ecx, %xmm1
	insn	0, PLAIN, movd %xmm1, %ecx
	insn	0, PLAIN, movd %xmm1, (%rdi)
	insn	0, PLAIN, movq %rcx, %xmm1
	insn	0, PLAIN, movq %xmm1, %rcx
	insn	0, PLAIN, movq (%rdi), %xmm1
	insn	0, PLAIN, movq %xmm1, (%rdi)
	insn	0, PLAIN, movq %xmm1, %xmm2
	insn	0, PLAIN, movhlps %xmm1, %xmm2
	insn	0, PLAIN, movlhps %xmm1, %xmm2
	insn	0, PLAIN, movlpd %xmm9, 1(%rdi)
	insn	0, C_SSE3, movddup 3(%rdi), %xmm1
	insn	0, C_SSE3, movddup %xmm1, %xmm3
	insn	0, C_SSE3, movsldup (%rsi), %xmm1
	insn	0, C_SSE3, movshdup %xmm2, %xmm1
	insn	0, C_SSE41, movntdqa (%rsi), %xmm1

	insn	0, C_POPCNT, popcnt %cx, %ax
	insn	0, C_POPCNT, popcnt %ecx, %eax
	insn	0, C_POPCNT, popcnt (%rdi), %r9
	.irp	r, "%cx, %ax", "%ecx, %eax", "%rcx, %r9", "1(%rdi), %edx", "(%rdi), %rax"
	insn	OF | SF | PF | AF, C_BMI1, tzcnt \r
	insn	OF | SF | PF | AF, C_LZCNT, lzcnt \r
	.endr
	insn	0, C_CRC, crc32b %cl, %eax
	insn	0, C_CRC, crc32b %dh, %eax
	insn	0, C_CRC, crc32w %cx, %eax
	insn	0, C_CRC, crc32l 3(%rdi), %eax
	insn	0, C_CRC, crc32b (%rdi), %r9
	insn	0, C_CRC, crc32q (%rdi), %rdx
	insn	0, C_ADX, adcx %ecx, %eax
	insn	0, C_ADX, adcx (%rdi), %r9
	insn	0, C_ADX, adox %ecx, %eax
	insn	0, C_ADX, adox (%rdi), %r9

	.irp	r, "%ecx, %edx, %eax", "%rcx, %rdx, %r9", "(%rdi), %edx, %eax", "(%rdi), %rcx, %rdx"
	insn	AF | PF, C_BMI1, andn \r
	insn	0, C_BMI2, pdep \r
	insn	0, C_BMI2, pext \r
	insn	0, C_BMI2, mulx \r
	.endr
	.irp	r, "%ecx, %edx, %eax", "%rcx, %rdx, %r9", "%ecx, (%rdi), %eax", "%rdx, (%rdi), %r12"
	insn	AF | SF | PF, C_BMI1, bextr \r
	insn	AF | PF, C_BMI2, bzhi \r
	insn	0, C_BMI2, sarx \r
	insn	0, C_BMI2, shlx \r
	insn	0, C_BMI2, shrx \r
	.endr
	.irp	r, "%ecx, %eax", "%rcx, %r9", "(%rdi), %edx", "3(%rdi), %rdx"
	insn	AF | PF, C_BMI1, blsr \r
	insn	AF | PF, C_BMI1, blsmsk \r
	insn	AF | PF, C_BMI1, blsi \r
	insn	0, C_BMI2, rorx $13, \r
	insn	0, C_BMI2, rorx $0, \r
	.endr
	insn	0, C_BMI2, mulx %rcx, %rax, %rax

	insn	0, C_AVX, vmovups 1(%rdi), %xmm1
	insn	0, C_AVX, vmovups 1(%rdi), %ymm1
	insn	0, C_AVX, vmovupd %ymm9, 3(%rdi)
	insn	0, C_AVX, vmovaps (%rsi), %xmm2
	insn	0, C_AVX, vmovaps %ymm1, %ymm15
	insn	0, C_AVX, vmovapd %xmm3, (%rsi)
	insn	0, C_AVX, vmovdqa %xmm3, %xmm9
	insn	0, C_AVX, vmovdqa (%rsi), %xmm9
	insn	0, C_AVX, vmovdqu 5(%rdi), %ymm9
	insn	0, C_AVX, vmovdqu %ymm9, 5(%rdi,%rbp,4)
	insn	0, C_AVX, vlddqu 5(%rdi), %ymm2
	insn	0, C_AVX, vmovntps %xmm1, (%rsi)
	insn	0, C_AVX, vmovntdq %xmm15, (%rsi)
	insn	0, C_AVX, vmovntdqa (%rsi), %xmm1
	insn	0, C_AVX, vmovss (%rdi), %xmm1
	insn	0, C_AVX, vmovss %xmm1, (%rdi)
	insn	0, C_AVX, vmovss %xmm1, %xmm2, %xmm3
	insn	0, C_AVX, vmovsd (%rdi), %xmm1
	insn	0, C_AVX, vmovsd %xmm9, 2(%rdi)
	insn	0, C_AVX, vmovsd %xmm15, %xmm9, %xmm3
	insn	0, C_AVX, vmovlps (%rdi), %xmm2, %xmm1
	insn	0, C_AVX, vmovlpd %xmm2, (%rdi)
	insn	0, C_AVX, vmovhps (%rdi), %xmm2, %xmm1
	insn	0, C_AVX, vmovhpd %xmm2, (%rdi)
	insn	0, C_AVX, vmovhlps %xmm1, %xmm2, %xmm3
	insn	0, C_AVX, vmovlhps %xmm1, %xmm2, %xmm3
	insn	0, C_AVX, vmovsldup %ymm1, %ymm2
	insn	0, C_AVX, vmovddup 3(%rdi), %xmm2
	insn	0, C_AVX, vmovddup 3(%rdi), %ymm3
	insn	0, C_AVX, vmovddup %xmm1, %xmm2
	insn	0, C_AVX, vmovddup %ymm1, %ymm2
	insn	0, C_AVX, vmovshdup (%rdi), %ymm2
	insn	0, C_AVX, vmovshdup %xmm9, %xmm15
	insn	0, C_AVX, vmovd %ecx, %xmm1
	insn	0, C_AVX, vmovd %xmm1, %ecx
	insn	0, C_AVX, vmovq %rcx, %xmm9
	insn	0, C_AVX, vmovq %xmm9, %r9
	insn	0, C_AVX, vmovq (%rdi), %xmm1
	insn	0, C_AVX, vmovq %xmm1, (%rdi)
	insn	0, C_AVX, vmovq %xmm1, %xmm15
	insn	0, C_AVX, vzeroupper
	insn	0, C_AVX, vzeroall
insns_end:

/* Run native.code with the registers of native, and put them back there. */
	.text
	.globl	native_run, native_back
	.type	native_run, @function
native_run:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, native_host_rsp(%rip)
	cmpb	$0, native_avx(%rip)
	jne	1f
	movdqu	native_vec + 32 * 1(%rip), %xmm1
	movdqu	native_vec + 32 * 2(%rip), %xmm2
	movdqu	native_vec + 32 * 3(%rip), %xmm3
	movdqu	native_vec + 32 * 9(%rip), %xmm9
	movdqu	native_vec + 32 * 15(%rip), %xmm15
	jmp	2f
1:
	vmovdqu	native_vec + 32 * 1(%rip), %ymm1
	vmovdqu	native_vec + 32 * 2(%rip), %ymm2
	vmovdqu	native_vec + 32 * 3(%rip), %ymm3
	vmovdqu	native_vec + 32 * 9(%rip), %ymm9
	vmovdqu	native_vec + 32 * 15(%rip), %ymm15
2:
	pushq	native_flags(%rip)
	popfq
	mov	native_gpr + 8 * 0(%rip), %rax
	mov	native_gpr + 8 * 1(%rip), %rcx
	mov	native_gpr + 8 * 2(%rip), %rdx
	mov	native_gpr + 8 * 3(%rip), %rbx
	mov	native_gpr + 8 * 4(%rip), %rsp
	mov	native_gpr + 8 * 5(%rip), %rbp
	mov	native_gpr + 8 * 6(%rip), %rsi
	mov	native_gpr + 8 * 7(%rip), %rdi
	mov	native_gpr + 8 * 8(%rip), %r8
	mov	native_gpr + 8 * 9(%rip), %r9
	mov	native_gpr + 8 * 10(%rip), %r10
	mov	native_gpr + 8 * 11(%rip), %r11
	mov	native_gpr + 8 * 12(%rip), %r12
	mov	native_gpr + 8 * 13(%rip), %r13
	mov	native_gpr + 8 * 14(%rip), %r14
	mov	native_gpr + 8 * 15(%rip), %r15
	jmp	*native_code(%rip)
native_back:
	mov	%rax, native_gpr + 8 * 0(%rip)
	mov	%rcx, native_gpr + 8 * 1(%rip)
	mov	%rdx, native_gpr + 8 * 2(%rip)
	mov	%rbx, native_gpr + 8 * 3(%rip)
	mov	%rsp, native_gpr + 8 * 4(%rip)
	mov	%rbp, native_gpr + 8 * 5(%rip)
	mov	%rsi, native_gpr + 8 * 6(%rip)
	mov	%rdi, native_gpr + 8 * 7(%rip)
	mov	%r8, native_gpr + 8 * 8(%rip)
	mov	%r9, native_gpr + 8 * 9(%rip)
	mov	%r10, native_gpr + 8 * 10(%rip)
	mov	%r11, native_gpr + 8 * 11(%rip)
	mov	%r12, native_gpr + 8 * 12(%rip)
	mov	%r13, native_gpr + 8 * 13(%rip)
	mov	%r14, native_gpr + 8 * 14(%rip)
	mov	%r15, native_gpr + 8 * 15(%rip)
	mov	native_host_rsp(%rip), %rsp
	pushfq
	popq	native_flags(%rip)
	cld
	cmpb	$0, native_avx(%rip)
	jne	1f
	movdqu	%xmm1, native_vec + 32 * 1(%rip)
	movdqu	%xmm2, native_vec + 32 * 2(%rip)
	movdqu	%xmm3, native_vec + 32 * 3(%rip)
	movdqu	%xmm9, native_vec + 32 * 9(%rip)
	movdqu	%xmm15, native_vec + 32 * 15(%rip)
	jmp	2f
1:
	vmovdqu	%ymm1, native_vec + 32 * 1(%rip)
	vmovdqu	%ymm2, native_vec + 32 * 2(%rip)
	vmovdqu	%ymm3, native_vec + 32 * 3(%rip)
	vmovdqu	%ymm9, native_vec + 32 * 9(%rip)
	vmovdqu	%ymm15, native_vec + 32 * 15(%rip)
	vzeroupper
2:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size	native_run, . - native_run

	.section .note.GNU-stack, "", @progbits
