// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator and the x87: its control instructions, FXSAVE and FXRSTOR, MXCSR, MMX registers. All
 * work on an image of the state as FXSAVE64 stores it. No arithmetic.
 */
#include "emul_priv.h"

#define FX_SIZE		512
/* Where things are in the image. */
#define FX_CW		0
#define FX_SW		2
#define FX_TAGS		4	/* a bit for each register that is not empty */
#define FX_OPCODE	6
#define FX_IP		8	/* 8 bytes; of 32 bits in the other format, with CS behind */
#define FX_DP		16
#define FX_MXCSR	24
#define FX_MXCSR_MASK	28
#define FX_ST		32	/* 8 registers, 16 bytes each */
#define FX_XMM		160

#define SW_EXCEPTIONS	0x003f
#define SW_ES		0x0080
#define SW_BUSY		0x8000
#define SW_TOP		0x3800
#define CW_INIT		0x037f
/* Where the image has no mask: the bits of the first SSE CPUs. */
#define MXCSR_MASK	0x0000ffbf

#define MSR_EFER	0xc0000080
#define EFER_FFXSR	(1ULL << 14)

static u16 get16(const u8 *fx, unsigned int off)
{
	u16 val;

	memcpy(&val, fx + off, 2);
	return val;
}

static void put16(u8 *fx, unsigned int off, u16 val)
{
	memcpy(fx + off, &val, 2);
}

/* CR0.EM and TS keep everybody from the x87. */
static int available(struct umbra_emul *e)
{
	if (e->ops->get_cr(e, 0) & (EMUL_CR0_EM | EMUL_CR0_TS))
		return emul_fault(e, EMUL_NM);
	return UMBRA_EMUL_OK;
}

static int pending(struct umbra_emul *e, const u8 *fx)
{
	if (!(get16(fx, FX_SW) & SW_ES))
		return UMBRA_EMUL_OK;
	/* Without NE the error leaves the CPU by a pin, which nobody has connected. */
	return (e->ops->get_cr(e, 0) & EMUL_CR0_NE) ? emul_fault(e, EMUL_MF) : UMBRA_EMUL_OK;
}

/* An exception that an earlier instruction has left: #MF. */
int emul_fpu_pending(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = e->ops->get_fpu(e, fx);

	return r ? r : pending(e, fx);
}

int emul_op_fwait(struct umbra_emul *e)
{
	u64 both = EMUL_CR0_MP | EMUL_CR0_TS;

	if ((e->ops->get_cr(e, 0) & both) == both)
		return emul_fault(e, EMUL_NM);
	return emul_fpu_pending(e);
}

/* The image has them in the order of the stack: with TOP 0 that is their own. */
static void rotate(u8 *fx)
{
	unsigned int top = (get16(fx, FX_SW) & SW_TOP) >> 11, i;
	u8 st[128];

	memcpy(st, fx + FX_ST, sizeof(st));
	for (i = 0; i < 8; i++)
		memcpy(fx + FX_ST + 16 * i, st + 16 * ((i - top) & 7), 16);
	put16(fx, FX_SW, get16(fx, FX_SW) & ~SW_TOP);
}

/* Control and status words */

int emul_op_fnstcw(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = available(e);

	if (!r)
		r = e->ops->get_fpu(e, fx);
	return r ? r : emul_write(e, e->seg, e->dst.ea, fx + FX_CW, 2, EMUL_ACC_OPERAND);
}

/* To memory, or to AX. */
int emul_op_fnstsw(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = available(e);

	if (!r)
		r = e->ops->get_fpu(e, fx);
	if (r)
		return r;
	if (e->dst.kind == K_MEM)
		return emul_write(e, e->seg, e->dst.ea, fx + FX_SW, 2, EMUL_ACC_OPERAND);
	emul_pend(e, EMUL_RAX, 2, get16(fx, FX_SW));
	return UMBRA_EMUL_OK;
}

/* A summary of the exceptions that the control word does not mask. */
static void update_summary(u8 *fx)
{
	u16 sw = get16(fx, FX_SW) & ~(SW_ES | SW_BUSY);

	if (sw & ~get16(fx, FX_CW) & SW_EXCEPTIONS)
		sw |= SW_ES | SW_BUSY;
	put16(fx, FX_SW, sw);
}

int emul_op_fldcw(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	u16 cw;
	int r = available(e);

	if (!r)
		r = e->ops->get_fpu(e, fx);
	if (!r)
		r = pending(e, fx);
	if (!r)
		r = emul_read(e, e->seg, e->dst.ea, &cw, 2, EMUL_ACC_OPERAND);
	if (r)
		return r;
	/* Bit 6 is always set; those above bit 12 are always clear. */
	put16(fx, FX_CW, (cw & 0x1f7f) | 0x40);
	update_summary(fx);
	return e->ops->set_fpu(e, fx);
}

int emul_op_fninit(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = available(e);

	if (!r)
		r = e->ops->get_fpu(e, fx);
	if (r)
		return r;
	/* The registers keep what they hold, where TOP was. */
	rotate(fx);
	memset(fx, 0, FX_MXCSR);
	put16(fx, FX_CW, CW_INIT);
	return e->ops->set_fpu(e, fx);
}

int emul_op_fnclex(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = available(e);

	if (!r)
		r = e->ops->get_fpu(e, fx);
	if (r)
		return r;
	put16(fx, FX_SW, get16(fx, FX_SW) & ~(SW_BUSY | 0xff));
	return e->ops->set_fpu(e, fx);
}

/* MMX registers are the low 64 bits of the x87's, counted from 0 and not from TOP. */

int emul_mmx_read(struct umbra_emul *e, unsigned int reg, u64 *val)
{
	u8 fx[FX_SIZE];
	unsigned int top;
	int r = e->ops->get_fpu(e, fx);

	if (r)
		return r;
	top = (get16(fx, FX_SW) & SW_TOP) >> 11;
	memcpy(val, fx + FX_ST + 16 * ((reg - top) & 7), 8);
	return UMBRA_EMUL_OK;
}

static int enter_mmx(struct umbra_emul *e, int reg, u64 val)
{
	u8 fx[FX_SIZE];
	int r = e->ops->get_fpu(e, fx);

	if (r)
		return r;
	rotate(fx);
	fx[FX_TAGS] = 0xff;
	if (reg >= 0) {
		memcpy(fx + FX_ST + 16 * reg, &val, 8);
		/* Sign and exponent: all ones. */
		put16(fx, FX_ST + 16 * reg + 8, 0xffff);
	}
	return e->ops->set_fpu(e, fx);
}

int emul_mmx_write(struct umbra_emul *e, unsigned int reg, u64 val)
{
	return enter_mmx(e, reg & 7, val);
}

/* Every MMX instruction makes all registers valid, those that only read too. */
int emul_mmx_enter(struct umbra_emul *e)
{
	return enter_mmx(e, -1, 0);
}

int emul_op_emms(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = e->ops->get_fpu(e, fx);

	if (r)
		return r;
	rotate(fx);
	fx[FX_TAGS] = 0;
	return e->ops->set_fpu(e, fx);
}

/* MXCSR */

static bool mxcsr_ok(const u8 *fx, u32 mxcsr)
{
	u32 mask;

	memcpy(&mask, fx + FX_MXCSR_MASK, 4);
	return !(mxcsr & ~(mask ? mask : MXCSR_MASK));
}

int emul_op_ldmxcsr(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = e->ops->get_fpu(e, fx);

	if (r)
		return r;
	if (!mxcsr_ok(fx, e->src.val))
		return emul_gp0(e);
	memcpy(fx + FX_MXCSR, &e->src.val, 4);
	return e->ops->set_fpu(e, fx);
}

int emul_op_stmxcsr(struct umbra_emul *e)
{
	u8 fx[FX_SIZE];
	int r = e->ops->get_fpu(e, fx);

	memcpy(&e->dst.val, fx + FX_MXCSR, r ? 0 : 4);
	return r;
}

/* FXSAVE and FXRSTOR */

/* Bytes of the image that this mode has: fewer XMM registers in 32-bit code, none without OSFXSR. */
static unsigned int image_size(struct umbra_emul *e)
{
	u64 efer;

	if (!(e->ops->get_cr(e, 4) & EMUL_CR4_OSFXSR))
		return FX_XMM;
	if (!emul_long(e))
		return FX_XMM + 8 * 16;
	if (!e->cpl && !e->ops->get_msr(e, MSR_EFER, &efer) && (efer & EFER_FFXSR))
		return FX_XMM;
	return FX_XMM + 16 * 16;
}

/* All of the operand can be accessed: nothing is to be done in part. */
static int image_linear(struct umbra_emul *e, bool write, u64 *la)
{
	int r = available(e);

	if (!r)
		r = emul_linear(e, e->seg, e->dst.ea, FX_SIZE, write, la);
	if (!r && (*la & 15))
		r = emul_gp0(e);
	return r ? r : emul_probe(e, *la, FX_SIZE, write ? EMUL_ACC_WRITE : 0);
}

int emul_op_fxsave(struct umbra_emul *e)
{
	unsigned int size = image_size(e), i;
	u8 fx[FX_SIZE];
	u64 la;
	int r = image_linear(e, true, &la);

	if (!r)
		r = e->ops->get_fpu(e, fx);
	/* Without REX.W: offsets of 32 bits, and selectors, of which the image has none. */
	if (!r && e->opsize != 8) {
		memset(fx + FX_IP + 4, 0, 4);
		memset(fx + FX_DP + 4, 0, 4);
	}
	for (i = 0; !r && i < size; i += 32)
		r = e->ops->write_mem(e, la + i, fx + i, 32, EMUL_ACC_WRITE);
	return r;
}

int emul_op_fxrstor(struct umbra_emul *e)
{
	unsigned int size = image_size(e), i;
	u8 fx[FX_SIZE], *new = e->io_buf;	/* two would be much for a kernel's stack */
	u32 mxcsr, keep;
	u64 la;
	int r = image_linear(e, false, &la);

	if (!r)
		r = e->ops->get_fpu(e, fx);
	for (i = 0; !r && i < size; i += 32)
		r = e->ops->read_mem(e, la + i, new + i, 32, 0);
	if (r)
		return r;
	memcpy(&mxcsr, new + FX_MXCSR, 4);
	if (!mxcsr_ok(fx, mxcsr))
		return emul_gp0(e);
	if (e->opsize != 8) {
		memset(new + FX_IP + 4, 0, 4);
		memset(new + FX_DP + 4, 0, 4);
	}
	memcpy(&keep, fx + FX_MXCSR_MASK, 4);
	memcpy(fx, new, size);
	memcpy(fx + FX_MXCSR_MASK, &keep, 4);
	return e->ops->set_fpu(e, fx);
}
