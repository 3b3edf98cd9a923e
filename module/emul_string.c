// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's string instructions and their REP loop.
 *
 * Each iteration is a unit of its own: registers change after it, so a fault or a read that needs
 * userspace leaves the iterations before it done, as on a CPU. Each handler commits by itself.
 */
#include "emul_priv.h"

struct string_insn {
	/* One iteration. May batch: *done is how many items it moved. */
	int (*step)(struct umbra_emul *e, u64 count, u64 *done);
	bool uses_si, uses_di;
	bool compares;	/* REPE and REPNE look at ZF */
};

static unsigned int source_seg(const struct umbra_emul *e)
{
	return e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS;
}

static u64 index_reg(const struct umbra_emul *e, unsigned int reg)
{
	return emul_reg_read(e, reg, e->adsize);
}

static void advance(struct umbra_emul *e, unsigned int reg, u64 items)
{
	u64 bytes = items * e->opsize;

	emul_reg_write(e, reg, e->adsize,
		       e->gpr[reg] + ((e->rflags & EMUL_DF) ? -bytes : bytes));
}

static int finish(struct umbra_emul *e)
{
	e->new_flags = e->rflags & ~EMUL_RF;
	return emul_commit(e);
}

static int run_string(struct umbra_emul *e, const struct string_insn *s)
{
	unsigned int i;

	e->npend = 0;
	if (e->rep && !index_reg(e, EMUL_RCX))
		return finish(e);

	for (i = 0; i < UMBRA_EMUL_REP_MAX; i++) {
		u64 count = e->rep ? index_reg(e, EMUL_RCX) : 1, done = 1;
		int r;

		e->new_flags = e->rflags;
		r = s->step(e, count, &done);
		if (r)
			return r;
		if (s->uses_si)
			advance(e, EMUL_RSI, done);
		if (s->uses_di)
			advance(e, EMUL_RDI, done);
		if (!e->rep) {
			e->new_flags &= ~EMUL_RF;
			return emul_commit(e);
		}

		/* A compare leaves its flags, and each iteration is seen on its own. */
		e->rflags = e->new_flags;
		e->step++;
		emul_reg_write(e, EMUL_RCX, e->adsize, count - done);
		if (count == done ||
		    (s->compares && !(e->rflags & EMUL_ZF) == (e->rep == 0xf3)))
			return finish(e);
		if (e->stop_rep || (e->rflags & EMUL_TF))
			break;
	}
	e->trap_step = e->rflags & EMUL_TF;
	return UMBRA_EMUL_RESTART;
}

static int movs_step(struct umbra_emul *e, u64 count, u64 *done)
{
	u64 val = 0;
	int r = emul_read(e, source_seg(e), index_reg(e, EMUL_RSI), &val, e->opsize, 0);

	(void)count;
	(void)done;
	if (r)
		return r;
	return emul_write(e, EMUL_ES, index_reg(e, EMUL_RDI), &val, e->opsize, 0);
}

int emul_op_movs(struct umbra_emul *e)
{
	static const struct string_insn s = { movs_step, true, true, false };

	return run_string(e, &s);
}

static int stos_step(struct umbra_emul *e, u64 count, u64 *done)
{
	(void)count;
	(void)done;
	return emul_write(e, EMUL_ES, index_reg(e, EMUL_RDI), &e->gpr[EMUL_RAX], e->opsize, 0);
}

int emul_op_stos(struct umbra_emul *e)
{
	static const struct string_insn s = { stos_step, false, true, false };

	return run_string(e, &s);
}

static int lods_step(struct umbra_emul *e, u64 count, u64 *done)
{
	u64 val = 0;
	int r = emul_read(e, source_seg(e), index_reg(e, EMUL_RSI), &val, e->opsize, 0);

	(void)count;
	(void)done;
	if (!r)
		emul_reg_write(e, EMUL_RAX, e->opsize, val);
	return r;
}

int emul_op_lods(struct umbra_emul *e)
{
	static const struct string_insn s = { lods_step, true, false, false };

	return run_string(e, &s);
}

static int cmps_step(struct umbra_emul *e, u64 count, u64 *done)
{
	u64 a = 0, b = 0;
	int r = emul_read(e, source_seg(e), index_reg(e, EMUL_RSI), &a, e->opsize, 0);

	(void)count;
	(void)done;
	if (!r)
		r = emul_read(e, EMUL_ES, index_reg(e, EMUL_RDI), &b, e->opsize, 0);
	if (!r)
		emul_flags_sub(e, a, b, e->opsize);
	return r;
}

int emul_op_cmps(struct umbra_emul *e)
{
	static const struct string_insn s = { cmps_step, true, true, true };

	return run_string(e, &s);
}

static int scas_step(struct umbra_emul *e, u64 count, u64 *done)
{
	u64 b = 0;
	int r = emul_read(e, EMUL_ES, index_reg(e, EMUL_RDI), &b, e->opsize, 0);

	(void)count;
	(void)done;
	if (!r)
		emul_flags_sub(e, emul_reg_read(e, EMUL_RAX, e->opsize), b, e->opsize);
	return r;
}

int emul_op_scas(struct umbra_emul *e)
{
	static const struct string_insn s = { scas_step, false, true, true };

	return run_string(e, &s);
}

/*
 * How many items INS or OUTS may move at once: up to the buffer, inside one page of ordinary
 * memory, upwards, not under single-step. *la is where they are.
 */
static int io_batch(struct umbra_emul *e, unsigned int seg, u64 off, u64 count, bool write,
		    u64 *la, u64 *batch)
{
	unsigned int size = e->opsize;
	u64 room, items = 1;
	bool ram = false;
	int r = emul_linear(e, seg, off, size, write, la);

	if (r)
		return r;
	room = 4096 - (*la & 4095);
	if (room < size) {
		/* One item over a page border: both parts, so that no port is read in vain. */
		*batch = 1;
		r = e->ops->probe(e, *la, room, write ? EMUL_ACC_WRITE : 0, &ram);
		if (r)
			return r;
		return e->ops->probe(e, *la + room, size - room, write ? EMUL_ACC_WRITE : 0, &ram);
	}
	if (room > UMBRA_EMUL_IO_BUF)
		room = UMBRA_EMUL_IO_BUF;
	if (!(e->rflags & (EMUL_DF | EMUL_TF)) && count > 1) {
		items = room / size;
		if (items > count)
			items = count;
		/* Near the end of a segment, fall back to what a single item has checked. */
		if (emul_linear(e, seg, off, items * size, write, la))
			items = 1;
	}
	r = e->ops->probe(e, *la, items * size, write ? EMUL_ACC_WRITE : 0, &ram);
	*batch = ram ? items : 1;
	return r;
}

static int ins_step(struct umbra_emul *e, u64 count, u64 *done)
{
	u16 port = e->gpr[EMUL_RDX];
	u64 la;
	int r = emul_io_allowed(e, port, e->opsize);

	if (!r)
		r = io_batch(e, EMUL_ES, index_reg(e, EMUL_RDI), count, true, &la, done);
	if (!r)
		r = e->ops->pio_in(e, port, e->opsize, e->io_buf, *done);
	if (!r)
		r = e->ops->write_mem(e, la, e->io_buf, *done * e->opsize, EMUL_ACC_WRITE);
	return r;
}

int emul_op_ins(struct umbra_emul *e)
{
	static const struct string_insn s = { ins_step, false, true, false };

	return run_string(e, &s);
}

static int outs_step(struct umbra_emul *e, u64 count, u64 *done)
{
	u16 port = e->gpr[EMUL_RDX];
	u64 la;
	int r = emul_io_allowed(e, port, e->opsize);

	if (!r)
		r = io_batch(e, source_seg(e), index_reg(e, EMUL_RSI), count, false, &la, done);
	if (!r)
		r = e->ops->read_mem(e, la, e->io_buf, *done * e->opsize, 0);
	if (!r)
		r = e->ops->pio_out(e, port, e->opsize, e->io_buf, *done);
	/* One pio_out() for each execution: its queue has room for one. */
	e->stop_rep = true;
	return r;
}

int emul_op_outs(struct umbra_emul *e)
{
	static const struct string_insn s = { outs_step, true, false, false };

	return run_string(e, &s);
}
