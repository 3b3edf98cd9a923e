// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random code in random states: the emulator must come back, within bounds, and with the guest's
 * state untouched where it says so. The sanitizers judge the rest.
 *
 * usage: emul_random [count [seed]]
 */
#include <stdlib.h>
#include <time.h>

#include "model.h"
#include "tap.h"

#define RAM	0x10000

static struct model m;
static u8 ram[RAM], dev[4096];
static u64 seed;

static u64 random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static void random_state(void)
{
	unsigned int i;

	model_init(&m, random64() % 5);
	model_map(&m, 0, ram, RAM, 0);
	model_map(&m, 0x30000, dev, sizeof(dev), MODEL_MMIO);
	m.mmio_direct = random64() & 1;
	m.stop_after = 8;
	m.e.rip = random64() & 0xfff;
	for (i = 0; i < 16; i++) {
		u64 r = random64();

		/* RAM, the device, a small number, anything */
		static const u64 base[4] = { 0, 0x30000, 0, 0 }, mask[4] = { 0xffff, 0xfff, 0x1f, ~0ull };

		m.e.gpr[i] = base[r & 3] + ((r >> 8) & mask[r & 3]);
	}
	if (m.e.mode != UMBRA_EMUL_VM86 && m.e.mode != UMBRA_EMUL_REAL)
		m.e.cpl = random64() & 3;
	m.e.rflags = 2 | (random64() & 0x3fffd5);
	m.cr[0] |= random64() & 0x4000c;
	m.cr[4] = random64() & 0xfff;
	for (i = 0; i < EMUL_NR_SEGS; i++)
		if (!(random64() & 7)) {
			m.seg[i].attr = random64() & 0xfff;
			m.seg[i].limit = random64() & 0xffff;
			m.seg[i].base = random64() & 0xffff;
		}
	m.dt[0].limit = random64();
	m.dt[0].base = random64() & 0xfff0;
}

/* Random bytes seldom are a whole instruction: start with an opcode of the tables' kind. */
static unsigned int random_code(u8 *code)
{
	u64 r = random64();
	unsigned int i, n = 0;

	while ((r & 7) == 0 && n < 13) {
		static const u8 prefix[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x65, 0x48,
					     0x41, 0x4f };

		r = random64();
		code[n++] = prefix[(r >> 8) % sizeof(prefix)];
	}
	if (r & 0x100)
		code[n++] = 0x0f;
	for (i = n; i < 16; i++)
		code[i] = random64();
	return random64() & 3 ? 15 : random64() % 16;
}

static const char *one_round(unsigned int *counts)
{
	static u64 gpr[16];
	u64 rip, rflags;
	u8 code[16];
	unsigned int n;
	int r, rounds = 0;

	random_state();
	n = random_code(code);
	memcpy(gpr, m.e.gpr, sizeof(gpr));
	rip = m.e.rip;
	rflags = m.e.rflags;
	r = umbra_emul_decode(&m.e, code, n);
	if (r == UMBRA_EMUL_OK && (m.e.len == 0 || m.e.len > UMBRA_EMUL_MAX_LEN))
		return "a length out of bounds";
	if (memcmp(gpr, m.e.gpr, sizeof(gpr)) || rip != m.e.rip || rflags != m.e.rflags)
		return "decode changed registers";
	while (r == UMBRA_EMUL_OK) {
		r = umbra_emul_execute(&m.e);
		if (r != UMBRA_EMUL_IO)
			break;
		if (rip != m.e.rip)
			return "IO moved rip";
		if (rounds++ == 4)
			break;
		m.replayed = 0;
		m.answer[m.nr_answers++ & 7] = random64();
		r = UMBRA_EMUL_OK;
	}
	if (r < 0 || r > UMBRA_EMUL_UNHANDLEABLE)
		return "a result out of bounds";
	counts[r]++;
	/* But for the first fault of a new task. */
	if ((r == UMBRA_EMUL_FAULT || r == UMBRA_EMUL_RESTART) && rip != m.e.rip && !m.nr_tr)
		return "a fault or restart moved rip";
	if (r == UMBRA_EMUL_FAULT && (m.e.exception.vector > 31 || m.e.exception.vector == 2))
		return "a vector that is no fault";
	if (r == UMBRA_EMUL_UNHANDLEABLE && memcmp(gpr, m.e.gpr, sizeof(gpr)))
		return "an unknown instruction changed registers";
	if (r == UMBRA_EMUL_OK && !(m.e.rflags & 2))
		return "bit 1 of rflags is gone";
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000, i, counts[5] = {};
	const char *bad = NULL;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (u64)time(NULL) * 2654435761u + 1;
	tap_begin();
	tap_note("%u rounds, seed %llu", count, (unsigned long long)seed);
	for (i = 0; i < RAM; i++)
		ram[i] = random64();
	for (i = 0; i < count && !bad; i++)
		bad = one_round(counts);
	if (bad) {
		tap_note("round %u: %s", i, bad);
		for (i = 0; i < m.e.nbytes; i++)
			tap_note("byte %u: %#x", i, m.e.bytes[i]);
	}
	tap_ok(!bad, "%u random instructions", count);
	tap_note("done %u, faults %u, io %u, restarts %u, not known %u", counts[0], counts[1],
		 counts[2], counts[3], counts[4]);
	tap_ok(counts[0] > count / 20 && counts[1] && counts[2] && counts[3] && counts[4],
	       "every kind of result was seen");
	return tap_end();
}
