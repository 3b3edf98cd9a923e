/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the emulator's own files share: the form of an opcode-table entry, operand kinds, helpers.
 */
#ifndef UMBRA_EMUL_PRIV_H
#define UMBRA_EMUL_PRIV_H

#include "emulate.h"

#define EMUL_CF		(1ULL << 0)
#define EMUL_PF		(1ULL << 2)
#define EMUL_AF		(1ULL << 4)
#define EMUL_ZF		(1ULL << 6)
#define EMUL_SF		(1ULL << 7)
#define EMUL_TF		(1ULL << 8)
#define EMUL_IF		(1ULL << 9)
#define EMUL_DF		(1ULL << 10)
#define EMUL_OF		(1ULL << 11)
#define EMUL_IOPL	(3ULL << 12)
#define EMUL_IOPL_SHIFT	12
#define EMUL_NT		(1ULL << 14)
#define EMUL_RF		(1ULL << 16)
#define EMUL_VM		(1ULL << 17)
#define EMUL_AC		(1ULL << 18)
#define EMUL_VIF	(1ULL << 19)
#define EMUL_VIP	(1ULL << 20)
#define EMUL_ID		(1ULL << 21)
#define EMUL_FIXED	(1ULL << 1)
#define EMUL_FLAGS_ALL	0x3f7fd5ULL	/* all that exist but the fixed one */
#define EMUL_ARITH	(EMUL_CF | EMUL_PF | EMUL_AF | EMUL_ZF | EMUL_SF | EMUL_OF)

#define EMUL_CR0_MP	(1ULL << 1)
#define EMUL_CR0_EM	(1ULL << 2)
#define EMUL_CR0_TS	(1ULL << 3)
#define EMUL_CR0_NE	(1ULL << 5)
#define EMUL_CR0_AM	(1ULL << 18)
#define EMUL_CR4_VME	(1ULL << 0)
#define EMUL_CR4_PVI	(1ULL << 1)
#define EMUL_CR4_TSD	(1ULL << 2)
#define EMUL_CR4_DE	(1ULL << 3)
#define EMUL_CR4_PCE	(1ULL << 8)
#define EMUL_CR4_OSFXSR	(1ULL << 9)
#define EMUL_CR4_UMIP	(1ULL << 11)
#define EMUL_CR4_FSGSBASE	(1ULL << 16)
#define EMUL_CR4_PCIDE	(1ULL << 17)
#define EMUL_CR4_OSXSAVE	(1ULL << 18)
#define EMUL_CR4_PKE	(1ULL << 22)

enum {
	EMUL_DE = 0, EMUL_DB = 1, EMUL_BP = 3, EMUL_OF_TRAP = 4, EMUL_BR = 5, EMUL_UD = 6, EMUL_NM = 7,
	EMUL_TS = 10, EMUL_NP = 11, EMUL_SS_FAULT = 12, EMUL_GP = 13, EMUL_MF = 16,
	EMUL_AC_FAULT = 17,
};

/* Operand kinds: first where the table says an operand is, then what decode made of it. */
enum {
	O_NONE,
	O_RM,		/* ModRM r/m of operand size */
	O_REG,		/* ModRM reg of operand size */
	O_OPREG,	/* low three bits of the opcode */
	O_ACC,		/* AL, AX, EAX or RAX */
	O_IMM,		/* immediate of operand size, at most 32 bits, sign-extended */
	O_SIMM8,	/* byte, sign-extended */
	O_UIMM8,	/* byte, zero-extended */
	O_UIMM16,
	O_IMMV,		/* immediate of operand size, 64 bits included */
	O_ONE,
	O_CL,
	O_MOFFS,	/* memory at an absolute offset */
	O_RM8,		/* r/m with a size of its own */
	O_RM16,
	O_RM32,
	O_RMW,		/* a register of operand size, or 16 bits of memory */
	O_RMNATIVE,	/* r/m of 64 bits in long mode, else 32 */
	O_MEM2X,	/* memory of twice the operand size: CMPXCHG8B and 16B */
	O_ADDR,		/* memory, address only: its data is none or the handler's business */
	O_SREG,		/* ModRM reg as a segment register */
	O_CR,
	O_DR,
	O_DX,
	O_XREG,		/* ModRM reg as a vector register, size from the table */
	O_XRM,		/* ModRM r/m as vector register or memory */
	O_MREG,		/* ModRM reg as an MMX register */
	O_MRM,		/* ModRM r/m as an MMX register or 8 bytes of memory */
	O_VVVV,		/* VEX.vvvv as a general register */
};

enum { K_NONE, K_GPR, K_MEM, K_IMM, K_SREG, K_CR, K_DR, K_XMM, K_MMX };

/* Entry flags; the three operand kinds and the vector size stand below bit 20. */
#define F_DST(k)	((u64)(k))
#define F_SRC(k)	((u64)(k) << 5)
#define F_SRC2(k)	((u64)(k) << 10)
#define F_OP(d, s)	(F_DST(d) | F_SRC(s))
#define F_VSIZE_SHIFT	15
#define F_VSIZE(n)	((u64)(n) << F_VSIZE_SHIFT)	/* log2 of bytes: 2 to 4 */

#define F_BYTE		(1ull << 20)	/* operand size is one byte */
#define F_MODRM		(1ull << 21)
#define F_MOV		(1ull << 22)	/* dst is not read */
#define F_NOWRITE	(1ull << 23)	/* dst is not written */
#define F_LOCK		(1ull << 24)	/* LOCK is legal with a memory dst */
#define F_PRIV		(1ull << 25)	/* CPL 0 only, else #GP */
#define F_NO64		(1ull << 26)	/* #UD in 64-bit mode */
#define F_MMX		(1ull << 27)	/* needs CR0.EM and TS clear, no x87 exception pending */
#define F_PROT		(1ull << 28)	/* #UD in real and vm86 mode */
#define F_D64		(1ull << 29)	/* 64-bit operand size by default in 64-bit mode */
#define F_NEAR		(1ull << 30)	/* near branch: 64-bit operand size in 64-bit mode */
#define F_BITOFF	(1ull << 31)	/* src register is a bit offset that moves the address */
#define F_STRING	(1ull << 32)	/* handler runs the REP loop and commits by itself */
#define F_MEMONLY	(1ull << 33)	/* register r/m is #UD */
#define F_VVVV		(1ull << 34)	/* VEX.vvvv is an operand; else it must be all ones */
#define F_SSE		(1ull << 35)	/* needs CR0.EM clear, OSFXSR, TS clear */
#define F_ALIGN		(1ull << 36)	/* a memory operand of 16 or 32 bytes must be aligned */
#define F_XCHG		(1ull << 37)	/* src register is written back too; locked by itself */
#define F_WBSRC		(1ull << 38)	/* src register is written back too */
#define F_POPEA		(1ull << 39)	/* address is formed after rSP was incremented */
#define F_NOREP		(1ull << 40)	/* 66, F2, F3 select the instruction and mean nothing else */
#define F_PREFIX	(1ull << 41)	/* legacy or REX prefix */
#define F_ESC0F		(1ull << 42)
#define F_GROUP		(1ull << 43)	/* table by ModRM reg */
#define F_DUAL		(1ull << 44)	/* table by memory or register r/m */
#define F_MANDATORY	(1ull << 45)	/* table by prefix: none, 66, F3, F2 */
#define F_GROUPRM	(1ull << 46)	/* table by ModRM r/m */
#define F_BY64		(1ull << 47)	/* table by 64-bit mode: 0 other, 1 long */
#define F_ESC38		(1ull << 48)
#define F_REGRM		(1ull << 49)	/* ModRM mod is ignored: r/m is a register (CR, DR) */
#define F_UNDEF		(1ull << 50)	/* #UD on every CPU */
#define F_IO		(1ull << 51)	/* port I/O: at most four bytes */
#define F_SELF		(1ull << 52)	/* the handler reads and writes the operands itself */
#define F_TWOMEM	(1ull << 53)	/* memory is accessed beside the operand, too */
#define F_CPU_SHIFT	54
#define F_CPU(name)	((u64)UMBRA_CPU_##name << F_CPU_SHIFT)	/* #UD without this feature */
#define F_CPU_MASK	(63ull << F_CPU_SHIFT)
#define F_L0		(1ull << 60)	/* #UD unless VEX.L is 0 */
#define F_VECL		(1ull << 61)	/* VEX.L doubles the vector operands */
#define F_AVX		(1ull << 62)	/* needs OSXSAVE and the state in XCR0, TS clear */
#define F_NODATA66	(1ull << 63)	/* #UD with a 66, F2 or F3 prefix */
/* Behind VEX, where nothing is locked and there are no such escapes. */
#define F_W0		F_LOCK		/* #UD unless VEX.W is 0 */
#define F_L_AVX2	F_ESC38		/* with VEX.L it is one of AVX2's */

#define F_TABLE		(F_GROUP | F_DUAL | F_MANDATORY | F_GROUPRM | F_BY64)
/* What decode has to look at after the tables. */
#define F_DECODED	(F_UNDEF | F_NO64 | F_PROT | F_MEMONLY | F_NEAR | F_CPU_MASK | F_L0 | F_NODATA66)
/* What execute has to look at before the operands. */
#define F_CHECK		(F_PRIV | F_SSE | F_AVX | F_MMX | F_STRING | F_SELF)

typedef int (*emul_exec_t)(struct umbra_emul *e);

struct emul_opcode {
	u64 flags;
	union {
		emul_exec_t exec;
		const struct emul_opcode *table;
	};
};

extern const struct emul_opcode emul_opcodes[256];
extern const struct emul_opcode emul_opcodes_0f[256];
extern const struct emul_opcode emul_opcodes_0f38[256];
/* By VEX.mmmmm: 0F, 0F 38; of 0F 3A there is one instruction, F0. */
extern const struct emul_opcode emul_vex_0f[256];
extern const struct emul_opcode emul_vex_0f38[256];
extern const struct emul_opcode emul_vex_0f3a_f0;
extern const struct emul_opcode emul_vex_unknown;
extern const struct emul_opcode emul_evex;

/* Faults. */
static inline int emul_fault(struct umbra_emul *e, u8 vector)
{
	e->exception.vector = vector;
	e->exception.has_error_code = false;
	e->exception.error_code = 0;
	e->exception.cr2 = 0;
	return UMBRA_EMUL_FAULT;
}

static inline int emul_fault_err(struct umbra_emul *e, u8 vector, u32 error_code)
{
	e->exception.vector = vector;
	e->exception.has_error_code = true;
	e->exception.error_code = error_code;
	e->exception.cr2 = 0;
	return UMBRA_EMUL_FAULT;
}

static inline int emul_gp0(struct umbra_emul *e)
{
	return emul_fault_err(e, EMUL_GP, 0);
}

static inline int emul_ud(struct umbra_emul *e)
{
	return emul_fault(e, EMUL_UD);
}

/* Modes. */
static inline bool emul_long(const struct umbra_emul *e)
{
	return e->mode == UMBRA_EMUL_LONG64;
}

static inline bool emul_prot(const struct umbra_emul *e)
{
	return e->mode >= UMBRA_EMUL_PROT16;
}

static inline unsigned int emul_iopl(const struct umbra_emul *e)
{
	return (e->rflags & EMUL_IOPL) >> EMUL_IOPL_SHIFT;
}

/* All ones in the low @size bytes. */
static inline u64 emul_mask(unsigned int size)
{
	return ~0ull >> (64 - 8 * size);
}

static inline u64 emul_sign_bit(unsigned int size)
{
	return 1ull << (8 * size - 1);
}

static inline s64 emul_sext(u64 val, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (s64)(val << shift) >> shift;
}

static inline bool emul_canonical(const struct umbra_emul *e, u64 la)
{
	return !((la + (1ull << (e->la_bits - 1))) >> e->la_bits);
}

static inline u64 emul_reg_read(const struct umbra_emul *e, unsigned int reg, unsigned int size)
{
	return e->gpr[reg & 15] & emul_mask(size);
}

/* A 32-bit write clears the upper half, smaller ones leave the rest alone. */
static inline void emul_reg_write(struct umbra_emul *e, unsigned int reg, unsigned int size,
				  u64 val)
{
	u64 *p = &e->gpr[reg & 15];

	if (size >= 4)
		*p = val & emul_mask(size);
	else
		*p = (*p & ~emul_mask(size)) | (val & emul_mask(size));
}

/* Queue a register write that commits with the instruction. */
static inline void emul_pend(struct umbra_emul *e, unsigned int reg, unsigned int size, u64 val)
{
	unsigned int i = e->npend++ & 1;

	e->pend[i].reg = reg;
	e->pend[i].size = size;
	e->pend[i].val = val;
}

static inline const struct umbra_emul_seg *emul_seg(struct umbra_emul *e, unsigned int nr)
{
	nr &= EMUL_NR_SEGS - 1;
	if (!(e->segs_valid & (1u << nr))) {
		e->ops->get_seg(e, nr, &e->segs[nr]);
		e->segs_valid |= 1u << nr;
	}
	return &e->segs[nr];
}

/* emul_mem.c: segmentation, memory operands, the stack. */
int emul_linear_slow(struct umbra_emul *e, unsigned int seg, u64 off, unsigned int size,
		     bool write, u64 *la);

/*
 * Turn @seg:@off into a linear address after the checks of segmentation. @size is 1 to 64 bytes
 * from there. #SS for the stack segment, else #GP. Flat segments in 64-bit mode come first.
 */
static inline int emul_linear(struct umbra_emul *e, unsigned int seg, u64 off, unsigned int size,
			      bool write, u64 *la)
{
	/* Moved up by half their range, canonical addresses are the small numbers. */
	u64 shifted = off + (1ull << (e->la_bits - 1));

	*la = off;
	if (likely(emul_long(e) && seg < EMUL_FS && !(e->flags & F_ALIGN) &&
		   !(e->rflags & EMUL_AC) && !((shifted | (shifted + size - 1)) >> e->la_bits)))
		return UMBRA_EMUL_OK;
	return emul_linear_slow(e, seg, off, size, write, la);
}

int emul_read(struct umbra_emul *e, unsigned int seg, u64 off, void *buf, unsigned int size,
	      unsigned int acc);
int emul_write(struct umbra_emul *e, unsigned int seg, u64 off, const void *buf,
	       unsigned int size, unsigned int acc);
int emul_check_alignment(struct umbra_emul *e, u64 la, unsigned int size);
unsigned int emul_stack_size(struct umbra_emul *e);
int emul_stack_read(struct umbra_emul *e, u64 rsp, u64 *val, unsigned int size);
int emul_stack_write(struct umbra_emul *e, u64 rsp, u64 val, unsigned int size);
int emul_push(struct umbra_emul *e, u64 val, unsigned int size);
int emul_pop(struct umbra_emul *e, u64 *val, unsigned int size);
void emul_set_rsp(struct umbra_emul *e, u64 rsp);
int emul_branch(struct umbra_emul *e, u64 target);
int emul_io_allowed(struct umbra_emul *e, u16 port, unsigned int size);


static inline bool emul_limit_ok(const struct umbra_emul_seg *s, u64 off, unsigned int size)
{
	u64 last = off + size - 1;

	if ((s->attr & (EMUL_SEG_CODE | EMUL_SEG_DOWN)) == EMUL_SEG_DOWN) {
		u64 top = (s->attr & EMUL_SEG_DB) ? 0xffffffff : 0xffff;

		return off > s->limit && last <= top;
	}
	return last <= s->limit;
}

/* emul_desc.c: descriptors and the segment registers loaded from them. */

/* Types of system descriptors; busy TSSs have EMUL_TYPE_BUSY besides. */
enum {
	EMUL_TYPE_TSS16 = 1, EMUL_TYPE_LDT = 2, EMUL_TYPE_CALL16 = 4, EMUL_TYPE_TASK_GATE = 5,
	EMUL_TYPE_INT16 = 6, EMUL_TYPE_TRAP16 = 7, EMUL_TYPE_TSS32 = 9, EMUL_TYPE_CALL32 = 12,
	EMUL_TYPE_INT32 = 14, EMUL_TYPE_TRAP32 = 15,
};
#define EMUL_TYPE_BUSY		2
#define EMUL_DESC_ACCESSED	(1ULL << 40)
#define EMUL_DESC_BUSY		(1ULL << 41)

/**
 * struct emul_desc - a descriptor as its table has it
 * @la: where its first 8 bytes are
 * @raw: those bytes
 * @seg: the same, as a segment register would have it; nothing of it is checked
 */
struct emul_desc {
	u64 la, raw;
	struct umbra_emul_seg seg;
};

static inline unsigned int emul_dpl(const struct umbra_emul_seg *seg)
{
	return (seg->attr >> EMUL_SEG_DPL_SHIFT) & 3;
}

static inline u16 emul_gate_sel(u64 raw)
{
	return raw >> 16;
}

static inline u64 emul_gate_offset(u64 raw)
{
	return (raw & 0xffff) | ((raw >> 32) & 0xffff0000);
}

bool emul_lma(struct umbra_emul *e);
/* The descriptor of @sel; beyond its table's limit: fault @vector with the selector. */
int emul_read_desc(struct umbra_emul *e, u16 sel, u8 vector, struct emul_desc *d);
/* The second half of a descriptor that has 16 bytes in long mode. */
int emul_read_desc_upper(struct umbra_emul *e, const struct emul_desc *d, u64 *upper);
/* Change bits of it in memory; RESTART if somebody else has changed it since it was read. */
int emul_change_desc(struct umbra_emul *e, struct emul_desc *d, u64 clear, u64 set);
int emul_mark_accessed(struct umbra_emul *e, struct emul_desc *d);
int emul_put_seg(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_seg *seg);
int emul_load_seg(struct umbra_emul *e, unsigned int nr, u16 sel);
/* Type and privilege: may code at @cpl load @seg into register @nr? */
bool emul_data_seg_ok(const struct umbra_emul_seg *seg, unsigned int nr, unsigned int cpl);
int emul_read_far(struct umbra_emul *e, u64 *off, u16 *sel);
bool emul_umip_denied(struct umbra_emul *e);

/* emul_far.c: stacks and code segments of far transfers. */

/**
 * struct emul_stack - a stack to push a frame on, or to return to
 * @ss: its segment, @desc.seg where there is a descriptor to mark as accessed
 * @desc: valid with @has_desc
 * @sp: stack pointer
 * @error: of the #SS when a frame does not fit
 * @width: bytes of @sp that count; 8: 64-bit mode, without segmentation
 * @cpl: whose rights pushes have
 */
struct emul_stack {
	struct umbra_emul_seg ss;
	struct emul_desc desc;
	u64 sp;
	u16 error;
	u8 width, cpl;
	bool has_desc;
};

int emul_probe(struct umbra_emul *e, u64 la, unsigned int n, unsigned int acc);
void emul_current_stack(struct umbra_emul *e, struct emul_stack *st);
int emul_inner_stack(struct umbra_emul *e, unsigned int cpl, struct emul_stack *st);
int emul_inner_stack64(struct umbra_emul *e, unsigned int nr, unsigned int cpl,
		       struct emul_stack *st);
/* Could @n values of @size bytes be pushed? */
int emul_check_frame(struct umbra_emul *e, const struct emul_stack *st, unsigned int n,
		     unsigned int size);
/* Push them, the first one highest. */
int emul_write_frame(struct umbra_emul *e, struct emul_stack *st, const u64 *vals,
		     unsigned int n, unsigned int size);
int emul_enter_stack(struct umbra_emul *e, struct emul_stack *st, const u64 *frame,
		     unsigned int n, unsigned int size);
bool emul_is_code(const struct umbra_emul_seg *seg);
unsigned int emul_code_mode(const struct umbra_emul_seg *cs, bool lma);
int emul_check_target(struct umbra_emul *e, const struct umbra_emul_seg *cs, unsigned int mode,
		      u64 rip);
int emul_enter_code(struct umbra_emul *e, const struct umbra_emul_seg *cs, unsigned int mode,
		    unsigned int cpl, u64 rip);
int emul_enter_real(struct umbra_emul *e, u16 sel, u64 ip);
int emul_return_code(struct umbra_emul *e, u16 sel, struct emul_desc *d);
int emul_return_stack(struct umbra_emul *e, u16 sel, unsigned int cpl, unsigned int mode,
		      struct emul_stack *st);
int emul_return_to(struct umbra_emul *e, struct emul_desc *code, u64 rip, struct emul_stack *st);

/* emul_fpu.c: MMX registers; they are part of the x87's state. */
int emul_fpu_pending(struct umbra_emul *e);
int emul_mmx_read(struct umbra_emul *e, unsigned int reg, u64 *val);
int emul_mmx_write(struct umbra_emul *e, unsigned int reg, u64 val);
int emul_mmx_enter(struct umbra_emul *e);

/* emul_task.c. @error: the code to push on the new task's stack, or NULL. */
int emul_task_switch(struct umbra_emul *e, u16 sel, enum umbra_emul_task how, const u32 *error);

/* emulate.c */

/* struct umbra_emul.step_rule: is a single-step trap due, by TF before or behind the instruction? */
enum { EMUL_STEP_OLD, EMUL_STEP_NEW, EMUL_STEP_NONE };

void emul_begin(struct umbra_emul *e);
/* The same where no instruction was decoded. */
void emul_begin_event(struct umbra_emul *e);
int emul_commit(struct umbra_emul *e);

/* emul_alu.c: helpers for string compares. */
void emul_flags_sub(struct umbra_emul *e, u64 a, u64 b, unsigned int size);
bool emul_condition(u64 rflags, unsigned int cc);

#define EMUL_HANDLERS(X)						\
	/* emul_alu.c */						\
	X(add) X(or) X(adc) X(sbb) X(and) X(sub) X(xor) X(cmp) X(test)	\
	X(inc) X(dec) X(not) X(neg) X(mov) X(movsx) X(xchg) X(xadd)	\
	X(xchg_acc) X(cmpxchg) X(cmpxchg8b) X(bswap) X(movbe) X(setcc) X(cmov)	\
	X(rol) X(ror) X(rcl) X(rcr) X(shl) X(shr) X(sar) X(shld) X(shrd)\
	X(bt) X(bts) X(btr) X(btc) X(bsf) X(bsr)			\
	X(mul) X(imul) X(imul3) X(div) X(idiv) X(cwde) X(cdq)		\
	X(daa) X(das) X(aaa) X(aas) X(aam) X(aad)			\
	X(clc) X(stc) X(cmc) X(cld) X(std) X(lahf) X(sahf) X(salc)	\
	/* emul_bits.c */						\
	X(popcnt) X(tzcnt) X(lzcnt) X(crc32) X(andn) X(blsr) X(blsmsk)	\
	X(blsi) X(bextr) X(bzhi) X(pdep) X(pext) X(mulx) X(rorx) X(sarx)\
	X(shlx) X(shrx) X(adcx) X(adox)					\
	/* emul_stack.c: stack, control flow, flags register */		\
	X(push) X(pop) X(pusha) X(popa) X(pushf) X(popf) X(push_sreg)	\
	X(pop_sreg) X(enter) X(leave) X(lea) X(nop) X(jmp) X(jmp_abs)	\
	X(jcc) X(jcxz) X(loop) X(call) X(call_abs) X(ret)		\
	X(cli) X(sti) X(xlat) X(mov_from_sreg) X(mov_to_sreg)		\
	X(bound)							\
	/* emul_desc.c */						\
	X(les) X(lds) X(lss) X(lfs) X(lgs) X(sldt) X(str) X(lldt) X(ltr)\
	X(lar) X(lsl) X(verr) X(verw) X(arpl)				\
	/* emul_far.c */						\
	X(call_far) X(jmp_far) X(call_far_mem) X(jmp_far_mem) X(retf)	\
	/* emul_int.c */						\
	X(int) X(int3) X(into) X(int1) X(iret)				\
	/* emul_syscall.c */						\
	X(syscall) X(sysret) X(sysenter) X(sysexit) X(swapgs)		\
	X(rdbase) X(wrbase)						\
	/* emul_string.c */						\
	X(movs) X(stos) X(lods) X(cmps) X(scas) X(ins) X(outs)		\
	/* emul_sys.c */						\
	X(in) X(out) X(hlt) X(cpuid) X(rdmsr) X(wrmsr) X(rdtsc)		\
	X(rdtscp) X(rdpmc) X(rdpid) X(clts) X(smsw) X(lmsw) X(invlpg)	\
	X(invpcid) X(wbinvd) X(mov_from_cr) X(mov_to_cr) X(mov_from_dr)	\
	X(mov_to_dr) X(sgdt) X(sidt) X(lgdt) X(lidt) X(clflush)		\
	X(xgetbv) X(xsetbv) X(clac) X(stac) X(monitor) X(mwait) X(vmcall)\
	X(clzero) X(movdir64b) X(rdpkru) X(wrpkru) X(xsave)		\
	/* emul_sse.c */						\
	X(vmov) X(vmov_low) X(vmov_high) X(vmov_hl) X(vdup_low)		\
	X(vdup_even) X(vdup_odd) X(vmovddup) X(vzero) X(extrq)		\
	X(insertq) X(maskmov) X(vmaskmov) X(ldmxcsr) X(stmxcsr)		\
	/* emul_fpu.c */						\
	X(fxsave) X(fxrstor) X(fldcw) X(fnstcw) X(fnstsw) X(fninit)	\
	X(fnclex) X(fwait) X(emms)

#define X(name) int emul_op_##name(struct umbra_emul *e);
EMUL_HANDLERS(X)
#undef X

#endif /* UMBRA_EMUL_PRIV_H */
