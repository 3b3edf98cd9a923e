// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator under a fuzzer: the input chooses mode, registers, segments, system registers, code
 * and what descriptor tables and stacks hold. Whatever it is, decode and execute come back within
 * bounded work and keep their promises about what they leave alone.
 *
 * Built twice: with libFuzzer (make fuzz-emul), and with the replay of emul_corpus.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "emul_priv.h"
#include "model.h"

#define RAM		0x4000
#define TABLES		0x2000	/* where descriptor tables and the TSS are, and stacks */
#define MAX_ACCESSES	(8 * UMBRA_EMUL_REP_MAX)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct header {
	u8 mode, cpl, cr, flags[4], seg_choice[EMUL_NR_SEGS], seg[4], model, gpr[16], nr_code;
};

static struct model m;
static u8 ram[RAM], before[RAM], ro[4096], dev[4096], top[4096], edge[4096];

static void broken(const char *what)
{
	unsigned int i;

	fprintf(stderr, "emul_fuzz: %s; mode %u, cpl %u, bytes", what, m.e.mode, m.e.cpl);
	for (i = 0; i < m.e.nbytes; i++)
		fprintf(stderr, " %02x", m.e.bytes[i]);
	fprintf(stderr, "\n");
	abort();
}

/* One byte says what kind of value a register has. */
static u64 value(u8 b)
{
	static const u64 base[8] = {
		0, 0x30000, 0x3ff0, 0x4ff8, 0xfffff000, 0x7ffffffff000, 0xffff800000000000, 0,
	};
	u64 low = b & 31;

	switch (b >> 5) {
	case 0:
		return low;
	case 7:
		return ~0ull << low;
	default:
		return base[b >> 5] + low * 0x7f;
	}
}

static void set_segments(const struct header *h)
{
	unsigned int i;

	for (i = 0; i < EMUL_NR_SEGS; i++) {
		struct umbra_emul_seg *s = &m.seg[i];
		u8 b = h->seg_choice[i];

		s->sel = b;
		if (b & 0x80)
			continue;
		s->attr = h->seg[0] | (h->seg[1] & 0xf) << 8;
		s->limit = b & 0x40 ? 0xffffffff >> (h->seg[2] & 31) : (u32)h->seg[2] << 4;
		s->base = b & 0x20 ? (u64)h->seg[3] << 4 : 0;
	}
	m.dt[EMUL_GDTR].base = TABLES;
	m.dt[EMUL_GDTR].limit = h->seg[2];
	m.dt[EMUL_IDTR].base = TABLES + 0x400;
	m.dt[EMUL_IDTR].limit = h->seg[3] << 4;
	m.seg[EMUL_TR].base = TABLES + 0x800;
	m.seg[EMUL_LDTR].base = TABLES + 0x80;
}

static void set_state(const struct header *h)
{
	unsigned int i;

	model_init(&m, h->mode % 5);
	model_map(&m, 0, ram, RAM, 0);
	model_map(&m, RAM, ro, sizeof(ro), MODEL_RO);
	model_map(&m, 0x30000, dev, sizeof(dev), MODEL_MMIO);
	model_map(&m, 0xfffff000, top, sizeof(top), 0);
	model_map(&m, 0x7ffffffff000, edge, sizeof(edge), 0);
	m.mmio_direct = h->model & 1;
	m.pio_user = h->model & 2;
	m.no_vector = (h->model & 0xc) == 0xc;
	m.cmpxchg_lose = h->model >> 4;
	m.lacks = h->model & 0x80 ? ~0ull >> (h->cr & 63) : 0;
	m.stop_after = 8;
	if (m.e.mode >= UMBRA_EMUL_PROT16)
		m.e.cpl = h->cpl & 3;
	m.e.la_bits = h->cpl & 4 ? 57 : 48;
	m.e.rip = h->cpl & 8 ? 0xffffffff - (h->cpl >> 4) : 0x100;
	memcpy(&m.e.rflags, h->flags, sizeof(h->flags));
	m.e.rflags = (m.e.rflags & 0x3f7fd5) | 2;
	if (m.e.mode != UMBRA_EMUL_VM86)
		m.e.rflags &= ~EMUL_VM;
	else
		m.e.rflags |= EMUL_VM;
	m.cr[0] |= (h->cr & 0xc) | (h->cr & 0x80 ? EMUL_CR0_AM : 0);
	m.cr[4] = (u64)h->flags[3] << 4 | (h->cr & 0x70) << 12 | (h->cr & 2 ? 0 : EMUL_CR4_OSFXSR);
	m.xcr0 = h->flags[3] & 7;
	for (i = 0; i < 16; i++)
		m.e.gpr[i] = value(h->gpr[i]);
	set_segments(h);
}

/* Memory: a pattern, and the rest of the input where tables and stacks are. */
static void set_memory(const u8 *data, size_t size)
{
	unsigned int i;

	for (i = 0; i < RAM; i += 8)
		*(u64 *)(ram + i) = i * 0x0101010101010101ull;
	for (i = 0; i < size && i < RAM - TABLES; i++)
		ram[TABLES + i] = data[i];
	memcpy(before, ram, RAM);
}

/* Instructions that write more than once, whose earlier writes a fault may leave behind. */
static bool writes_often(void)
{
	return m.e.flags & (F_STRING | F_SELF | F_TWOMEM) || m.e.op->exec == emul_op_pusha ||
	       m.e.op->exec == emul_op_enter;
}

static void check_result(int r, const u64 *gpr, u64 rip, u64 rflags)
{
	bool string = m.e.flags & F_STRING;

	if (r < UMBRA_EMUL_OK || r > UMBRA_EMUL_UNHANDLEABLE)
		broken("a result out of bounds");
	if (m.nr_operand + m.nr_other + m.nr_probe + m.nr_cmpxchg > MAX_ACCESSES)
		broken("work without bound");
	if (r == UMBRA_EMUL_OK) {
		if (!(m.e.rflags & EMUL_FIXED))
			broken("bit 1 of rflags is gone");
		return;
	}
	if (r == UMBRA_EMUL_FAULT &&
	    (m.e.exception.vector > 31 || m.e.exception.vector == 2))
		broken("a vector that is no fault");
	/* A fault in the first moment of a new task leaves that task's registers. */
	if (r == UMBRA_EMUL_FAULT && m.nr_tr)
		return;
	if (rip != m.e.rip)
		broken("rip moved");
	if (string || r == UMBRA_EMUL_RESTART)
		return;
	if (memcmp(gpr, m.e.gpr, sizeof(m.e.gpr)) || rflags != m.e.rflags)
		broken("registers changed by what did not happen");
	if (!writes_often() && memcmp(before, ram, RAM))
		broken("memory changed by what did not happen");
}

static void execute(void)
{
	u64 gpr[16], rip = m.e.rip, rflags = m.e.rflags;
	unsigned int rounds;
	int r;

	memcpy(gpr, m.e.gpr, sizeof(gpr));
	for (rounds = 0; rounds < 8; rounds++) {
		m.replayed = 0;
		m.nr_log = 0;
		r = umbra_emul_execute(&m.e);
		check_result(r, gpr, rip, rflags);
		if (r != UMBRA_EMUL_IO)
			return;
		if (m.pio_user)
			m.pio_ready = true;
		if (m.nr_answers < 8)
			m.answer[m.nr_answers++] = 0x8877665544332211ull;
		memcpy(gpr, m.e.gpr, sizeof(gpr));
		rflags = m.e.rflags;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u64 gpr[16], rip, rflags;
	struct header h;
	unsigned int n;
	int r;

	if (size < sizeof(h) + 1)
		return 0;
	memcpy(&h, data, sizeof(h));
	data += sizeof(h);
	size -= sizeof(h);
	set_state(&h);
	n = h.nr_code % 16;
	if (n > size)
		n = size;
	set_memory(data + n, size - n);
	/* What is not at hand is fetched. */
	if (m.e.rip < RAM)
		memcpy(ram + m.e.rip, data, n);
	memcpy(before, ram, RAM);
	memcpy(gpr, m.e.gpr, sizeof(gpr));
	rip = m.e.rip;
	rflags = m.e.rflags;
	r = umbra_emul_decode(&m.e, data, n);
	if (memcmp(gpr, m.e.gpr, sizeof(gpr)) || rip != m.e.rip || rflags != m.e.rflags)
		broken("decode changed registers");
	if (r != UMBRA_EMUL_OK)
		return 0;
	if (!m.e.len || m.e.len > UMBRA_EMUL_MAX_LEN)
		broken("a length out of bounds");
	execute();
	return 0;
}
