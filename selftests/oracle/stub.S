/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest of mmu/oracle, in 32-bit and in 64-bit code. */
#include "layout.h"

#define SEL_UDATA	0x23

	/* A page of its own, open to ring 3. */
	.section .text.oracle_user, "ax"
	.balign	4096
	.globl	oracle_user_begin
oracle_user_begin:

	.code64
#define S(name)		oracle64_##name
#define R(name)		%r##name
#define IRET		iretq
#define USER_CS		0x2b
#include "stub_body.h"
#undef S
#undef R
#undef IRET
#undef USER_CS

	.code32
#define S(name)		oracle32_##name
#define R(name)		%e##name
#define IRET		iretl
#define USER_CS		SEL_UCODE32
#include "stub_body.h"

	.section .text.oracle_user, "ax"
	.balign	4096
	.globl	oracle_user_end
oracle_user_end:

	.section .note.GNU-stack, "", @progbits
