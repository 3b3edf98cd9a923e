/* SPDX-License-Identifier: GPL-2.0-only */
/* The call of a trace event that is on: see umbra_trace() in trace.h. */
#include <linux/linkage.h>
#include <asm/frame.h>
#include <asm/nospec-branch.h>

/* On the stack: the function and five arguments. No register is lost. */
SYM_FUNC_START(umbra_trace_thunk)
	FRAME_BEGIN
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rax
	push %r8
	push %r9
	push %r10
	push %r11
	lea FRAME_OFFSET + 80(%rsp), %r9
	mov (%r9), %rax
	mov 8(%r9), %rdi
	mov 16(%r9), %rsi
	mov 24(%r9), %rdx
	mov 32(%r9), %rcx
	mov 40(%r9), %r8
	CALL_NOSPEC rax
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rax
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	FRAME_END
	RET
SYM_FUNC_END(umbra_trace_thunk)
