// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's stack instructions, near control transfers, the flags register, and moves to and
 * from segment registers.
 */
#include "emul_priv.h"

int emul_op_push(struct umbra_emul *e)
{
	return emul_push(e, e->src.val, e->opsize);
}

int emul_op_pop(struct umbra_emul *e)
{
	return emul_pop(e, &e->dst.val, e->opsize);
}

/* Several values at once: all of them or, with a fault, none. */
static int push_frame(struct umbra_emul *e, const u64 *vals, unsigned int n, u64 *rsp)
{
	struct emul_stack st;
	int r;

	emul_current_stack(e, &st);
	r = emul_check_frame(e, &st, n, e->opsize);
	if (!r)
		r = emul_write_frame(e, &st, vals, n, e->opsize);
	*rsp = st.sp;
	return r;
}

int emul_op_pusha(struct umbra_emul *e)
{
	u64 rsp;
	int r = push_frame(e, e->gpr, 8, &rsp);

	if (!r)
		emul_set_rsp(e, rsp);
	return r;
}

int emul_op_popa(struct umbra_emul *e)
{
	u64 rsp = e->gpr[EMUL_RSP], val[8];
	unsigned int i;
	int r;

	for (i = 8; i-- > 0; rsp += e->opsize) {
		r = emul_stack_read(e, rsp, &val[i], e->opsize);
		if (r)
			return r;
	}
	for (i = 0; i < 8; i++)
		if (i != EMUL_RSP)
			emul_reg_write(e, i, e->opsize, val[i]);
	emul_set_rsp(e, rsp);
	return UMBRA_EMUL_OK;
}

/* Virtual-8086 mode without IOPL 3: #GP, or VIF in place of IF where CR4.VME is set, for 16 bits. */
static bool low_vm86(const struct umbra_emul *e)
{
	return e->mode == UMBRA_EMUL_VM86 && emul_iopl(e) < 3;
}

static bool has_vme(struct umbra_emul *e)
{
	return (e->ops->get_cr(e, 4) & EMUL_CR4_VME) && e->opsize == 2;
}

int emul_op_pushf(struct umbra_emul *e)
{
	u64 flags = e->rflags & ~(EMUL_VM | EMUL_RF);

	if (low_vm86(e)) {
		if (!has_vme(e))
			return emul_gp0(e);
		flags = (flags & ~EMUL_IF) | EMUL_IOPL;
		if (e->rflags & EMUL_VIF)
			flags |= EMUL_IF;
	}
	return emul_push(e, flags, e->opsize);
}

static int popf_vme(struct umbra_emul *e, u64 val)
{
	u64 mask = 0xffff & ~(EMUL_IF | EMUL_IOPL);

	if ((val & EMUL_TF) || ((val & EMUL_IF) && (e->rflags & EMUL_VIP)))
		return emul_gp0(e);
	e->new_flags = (e->rflags & ~(mask | EMUL_VIF)) | (val & mask);
	if (val & EMUL_IF)
		e->new_flags |= EMUL_VIF;
	return UMBRA_EMUL_OK;
}

int emul_op_popf(struct umbra_emul *e)
{
	u64 mask = EMUL_ARITH | EMUL_TF | EMUL_DF | EMUL_NT | EMUL_AC | EMUL_ID;
	u64 val;
	int r;

	/* Before the stack is read. */
	if (low_vm86(e) && !has_vme(e))
		return emul_gp0(e);
	r = emul_pop(e, &val, e->opsize);
	if (r)
		return r;
	if (low_vm86(e)) {
		r = popf_vme(e, val);
	} else {
		if (e->cpl == 0)
			mask |= EMUL_IOPL;
		if (e->mode == UMBRA_EMUL_REAL || e->cpl <= emul_iopl(e))
			mask |= EMUL_IF;
		mask &= emul_mask(e->opsize);
		/* VIF and VIP are cleared where they could be loaded. */
		if (e->opsize > 2 && e->mode != UMBRA_EMUL_VM86)
			e->new_flags &= ~(EMUL_VIF | EMUL_VIP);
		e->new_flags = (e->new_flags & ~mask) | (val & mask);
	}
	e->new_flags = (e->new_flags & ~0x8028ull) | EMUL_FIXED;
	return r;
}

int emul_op_push_sreg(struct umbra_emul *e)
{
	unsigned int nr = (e->opcode >> 3) & 7;
	u16 sel = emul_seg(e, nr)->sel;

	/* CPUs write the selector alone into a 32-bit slot and extend it to a 64-bit one. */
	if (e->opsize == 4) {
		u64 rsp = e->gpr[EMUL_RSP] - 4;
		int r = emul_stack_write(e, rsp, sel, 2);

		if (!r)
			emul_set_rsp(e, rsp);
		return r;
	}
	return emul_push(e, sel, e->opsize);
}

int emul_op_pop_sreg(struct umbra_emul *e)
{
	unsigned int nr = (e->opcode >> 3) & 7;
	u64 sel;
	int r;

	r = emul_stack_read(e, e->gpr[EMUL_RSP], &sel, 2);
	if (r)
		return r;
	emul_set_rsp(e, e->gpr[EMUL_RSP] + e->opsize);
	if (nr == EMUL_SS) {
		/* rSP moves by the width of the old stack. */
		e->pend[0].size = emul_stack_size(e);
		e->int_shadow = UMBRA_EMUL_SHADOW_MOV_SS;
	}
	return emul_load_seg(e, nr, sel);
}

int emul_op_mov_from_sreg(struct umbra_emul *e)
{
	e->dst.val = e->src.val;
	return UMBRA_EMUL_OK;
}

int emul_op_mov_to_sreg(struct umbra_emul *e)
{
	unsigned int nr = e->dst.reg;

	if (nr == EMUL_SS)
		e->int_shadow = UMBRA_EMUL_SHADOW_MOV_SS;
	return emul_load_seg(e, nr, e->src.val);
}

/*
 * What ENTER pushes, in the order of pushing: rBP, the outer levels' frame pointers, its own. All
 * is read before anything is written, but a CPU goes level by level: a frame pointer whose
 * place has been pushed over by then is the one that was pushed.
 */
static int enter_values(struct umbra_emul *e, unsigned int level, u64 *val)
{
	u64 mask = emul_mask(emul_stack_size(e)), rbp = e->gpr[EMUL_RBP];
	u8 pushed[33 * 8];	/* as in memory: the first at the end */
	unsigned int i, b, n = e->opsize;
	int r;

	val[0] = rbp;
	for (i = 1; i < level; i++) {
		memcpy(pushed + sizeof(pushed) - i * n, &val[i - 1], n);
		rbp -= n;
		r = emul_stack_read(e, rbp, &val[i], n);
		if (r)
			return r;
		for (b = 0; b < n; b++) {
			u64 below = (e->gpr[EMUL_RSP] - rbp - b) & mask;

			if (below - 1 < i * n)
				((u8 *)&val[i])[b] = pushed[sizeof(pushed) - below];
		}
	}
	if (level)
		val[level] = e->gpr[EMUL_RSP] - n;
	return UMBRA_EMUL_OK;
}

/* Intel's CPUs look whether the new top of the stack could be written (SDM, ENTER). */
static int check_new_top(struct umbra_emul *e, u64 rsp)
{
	u64 la;
	int r;

	if (e->ops->cpu_has(e, UMBRA_CPU_AMD))
		return UMBRA_EMUL_OK;
	rsp &= emul_mask(emul_stack_size(e));
	r = emul_linear(e, EMUL_SS, rsp, e->opsize, true, &la);
	return r ? r : emul_probe(e, la, e->opsize, EMUL_ACC_WRITE);
}

int emul_op_enter(struct umbra_emul *e)
{
	unsigned int level = e->src2.val & 31;
	u64 rsp, val[32];
	int r = enter_values(e, level, val);

	if (!r)
		r = push_frame(e, val, level + 1, &rsp);
	if (!r)
		r = check_new_top(e, rsp - e->src.val);
	if (r)
		return r;
	emul_pend(e, EMUL_RBP, e->opsize, e->gpr[EMUL_RSP] - e->opsize);
	emul_set_rsp(e, rsp - e->src.val);
	return UMBRA_EMUL_OK;
}

int emul_op_leave(struct umbra_emul *e)
{
	u64 frame = e->gpr[EMUL_RBP], val;
	int r = emul_stack_read(e, frame, &val, e->opsize);

	if (r)
		return r;
	emul_set_rsp(e, frame + e->opsize);
	emul_pend(e, EMUL_RBP, e->opsize, val);
	return UMBRA_EMUL_OK;
}

int emul_op_lea(struct umbra_emul *e)
{
	emul_pend(e, e->dst.reg, e->opsize, e->src.ea);
	return UMBRA_EMUL_OK;
}

int emul_op_nop(struct umbra_emul *e)
{
	(void)e;
	return UMBRA_EMUL_OK;
}

/* Near control transfers */

int emul_op_jmp(struct umbra_emul *e)
{
	return emul_branch(e, e->next_rip + emul_sext(e->src.val, e->src.size));
}

int emul_op_jmp_abs(struct umbra_emul *e)
{
	return emul_branch(e, e->src.val);
}

int emul_op_jcc(struct umbra_emul *e)
{
	return emul_condition(e->rflags, e->opcode) ? emul_op_jmp(e) : UMBRA_EMUL_OK;
}

int emul_op_jcxz(struct umbra_emul *e)
{
	return emul_reg_read(e, EMUL_RCX, e->adsize) ? UMBRA_EMUL_OK : emul_op_jmp(e);
}

/* LOOPNE, LOOPE, LOOP: opcodes e0 to e2. */
int emul_op_loop(struct umbra_emul *e)
{
	u64 count = (e->gpr[EMUL_RCX] - 1) & emul_mask(e->adsize);
	bool taken = count;

	if (e->opcode != 0xe2 && !(e->rflags & EMUL_ZF) != !(e->opcode & 1))
		taken = false;
	emul_pend(e, EMUL_RCX, e->adsize, count);
	return taken ? emul_op_jmp(e) : UMBRA_EMUL_OK;
}

static int call_to(struct umbra_emul *e, u64 target)
{
	u64 back = e->next_rip;
	int r = emul_branch(e, target);

	return r ? r : emul_push(e, back, e->opsize);
}

int emul_op_call(struct umbra_emul *e)
{
	return call_to(e, e->next_rip + emul_sext(e->src.val, e->src.size));
}

int emul_op_call_abs(struct umbra_emul *e)
{
	return call_to(e, e->src.val);
}

/* RET, with a number of bytes to drop in src. */
int emul_op_ret(struct umbra_emul *e)
{
	u64 target, drop = e->src.kind == K_IMM ? e->src.val : 0;
	int r = emul_stack_read(e, e->gpr[EMUL_RSP], &target, e->opsize);

	if (r)
		return r;
	emul_set_rsp(e, e->gpr[EMUL_RSP] + e->opsize + drop);
	return emul_branch(e, target);
}

/* Interrupt flag. In vm86 mode and under PVI without IOPL, VIF stands for IF. */

static bool virtual_if(struct umbra_emul *e)
{
	u64 cr4 = e->ops->get_cr(e, 4);

	if (e->mode == UMBRA_EMUL_VM86)
		return cr4 & EMUL_CR4_VME;
	return (cr4 & EMUL_CR4_PVI) && e->cpl == 3;
}

int emul_op_cli(struct umbra_emul *e)
{
	if (e->mode == UMBRA_EMUL_REAL || e->cpl <= emul_iopl(e)) {
		e->new_flags &= ~EMUL_IF;
		return UMBRA_EMUL_OK;
	}
	if (!virtual_if(e))
		return emul_gp0(e);
	e->new_flags &= ~EMUL_VIF;
	return UMBRA_EMUL_OK;
}

int emul_op_sti(struct umbra_emul *e)
{
	if (e->mode == UMBRA_EMUL_REAL || e->cpl <= emul_iopl(e)) {
		if (!(e->rflags & EMUL_IF))
			e->int_shadow = UMBRA_EMUL_SHADOW_STI;
		e->new_flags |= EMUL_IF;
		return UMBRA_EMUL_OK;
	}
	if (!virtual_if(e) || (e->rflags & EMUL_VIP))
		return emul_gp0(e);
	e->new_flags |= EMUL_VIF;
	return UMBRA_EMUL_OK;
}

int emul_op_xlat(struct umbra_emul *e)
{
	unsigned int seg = e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS;
	u64 off = (e->gpr[EMUL_RBX] + (e->gpr[EMUL_RAX] & 0xff)) & emul_mask(e->adsize);
	u64 val = 0;
	int r = emul_read(e, seg, off, &val, 1, 0);

	if (!r)
		emul_pend(e, EMUL_RAX, 1, val);
	return r;
}

/* BOUND: #BR unless dst lies between two signed words in memory. */
int emul_op_bound(struct umbra_emul *e)
{
	u64 low = 0, high = 0;
	s64 index = emul_sext(e->gpr[e->dst.reg & 15], e->opsize);
	int r = emul_read(e, e->seg, e->src.ea, &low, e->opsize, 0);

	if (r)
		return r;
	r = emul_read(e, e->seg, (e->src.ea + e->opsize) & emul_mask(e->adsize), &high, e->opsize,
		      0);
	if (r)
		return r;
	if (index < emul_sext(low, e->opsize) || index > emul_sext(high, e->opsize))
		return emul_fault(e, EMUL_BR);
	return UMBRA_EMUL_OK;
}
