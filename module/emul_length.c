// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long is an instruction that the hardware has decoded already? Only that instruction is
 * recognized: anything else at rIP means that the guest has rewritten its code meanwhile.
 */
#include "emul_priv.h"

/* The opcode after any prefixes: up to three bytes, then what follows. */
struct known_insn {
	u8 op[3];
	u8 nr_op;	/* bytes of @op */
	u8 last_mask;	/* of the last opcode byte: bits that count */
	u8 tail;	/* enum */
};

enum { TAIL_NONE, TAIL_BYTE, TAIL_MODRM, TAIL_REG, TAIL_PORT };

static const struct known_insn known[UMBRA_NR_INSNS] = {
	[UMBRA_INSN_CPUID]	= { { 0x0f, 0xa2 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_RDMSR]	= { { 0x0f, 0x32 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_WRMSR]	= { { 0x0f, 0x30 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_HLT]	= { { 0xf4 }, 1, 0xff, TAIL_NONE },
	[UMBRA_INSN_VMMCALL]	= { { 0x0f, 0x01, 0xd9 }, 3, 0xff, TAIL_NONE },
	[UMBRA_INSN_VMCALL]	= { { 0x0f, 0x01, 0xc1 }, 3, 0xff, TAIL_NONE },
	[UMBRA_INSN_RDTSC]	= { { 0x0f, 0x31 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_RDTSCP]	= { { 0x0f, 0x01, 0xf9 }, 3, 0xff, TAIL_NONE },
	[UMBRA_INSN_RDPMC]	= { { 0x0f, 0x33 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_INVD]	= { { 0x0f, 0x08 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_WBINVD]	= { { 0x0f, 0x09 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_XSETBV]	= { { 0x0f, 0x01, 0xd1 }, 3, 0xff, TAIL_NONE },
	[UMBRA_INSN_MONITOR]	= { { 0x0f, 0x01, 0xc8 }, 3, 0xff, TAIL_NONE },
	[UMBRA_INSN_MWAIT]	= { { 0x0f, 0x01, 0xc9 }, 3, 0xff, TAIL_NONE },
	[UMBRA_INSN_PAUSE]	= { { 0x90 }, 1, 0xff, TAIL_NONE },
	[UMBRA_INSN_INT3]	= { { 0xcc }, 1, 0xff, TAIL_NONE },
	[UMBRA_INSN_INTO]	= { { 0xce }, 1, 0xff, TAIL_NONE },
	[UMBRA_INSN_INT]	= { { 0xcd }, 1, 0xff, TAIL_BYTE },
	[UMBRA_INSN_ICEBP]	= { { 0xf1 }, 1, 0xff, TAIL_NONE },
	/* e4 e5 ec ed, and e6 e7 ee ef */
	[UMBRA_INSN_IN]		= { { 0xe4 }, 1, 0xf6, TAIL_PORT },
	[UMBRA_INSN_OUT]	= { { 0xe6 }, 1, 0xf6, TAIL_PORT },
	[UMBRA_INSN_CLTS]	= { { 0x0f, 0x06 }, 2, 0xff, TAIL_NONE },
	[UMBRA_INSN_MOV_FROM_CR]	= { { 0x0f, 0x20 }, 2, 0xff, TAIL_REG },
	[UMBRA_INSN_MOV_TO_CR]	= { { 0x0f, 0x22 }, 2, 0xff, TAIL_REG },
	[UMBRA_INSN_MOV_FROM_DR]	= { { 0x0f, 0x21 }, 2, 0xff, TAIL_REG },
	[UMBRA_INSN_MOV_TO_DR]	= { { 0x0f, 0x23 }, 2, 0xff, TAIL_REG },
	[UMBRA_INSN_SMSW_LMSW_INVLPG] = { { 0x0f, 0x01 }, 2, 0xff, TAIL_MODRM },
};

/* Bytes of a ModRM operand with @n bytes of code from the ModRM byte on; -1: too few. */
static int modrm_length(const u8 *p, unsigned int n, unsigned int adsize)
{
	unsigned int mod, rm;

	if (!n)
		return -1;
	mod = p[0] >> 6;
	rm = p[0] & 7;
	if (mod == 3)
		return 1;
	if (adsize == 2) {
		if (mod == 0)
			return rm == 6 ? 3 : 1;
		return 1 + mod;
	}
	if (rm == 4) {
		if (n < 2)
			return -1;
		if (mod == 0)
			return (p[1] & 7) == 5 ? 6 : 2;
		return mod == 1 ? 3 : 6;
	}
	if (mod == 0)
		return rm == 5 ? 5 : 1;
	return mod == 1 ? 2 : 5;
}

static unsigned int default_adsize(unsigned int mode)
{
	if (mode == UMBRA_EMUL_LONG64)
		return 8;
	return mode == UMBRA_EMUL_PROT32 ? 4 : 2;
}

/* Length of the prefixes; the address size they leave goes to *adsize. */
static unsigned int skip_prefixes(const u8 *bytes, unsigned int n, unsigned int mode,
				  unsigned int *adsize)
{
	unsigned int i;

	*adsize = default_adsize(mode);
	for (i = 0; i < n; i++) {
		u8 b = bytes[i];

		if (!(emul_opcodes[b].flags & F_PREFIX))
			break;
		if ((b & 0xf0) == 0x40) {
			if (mode != UMBRA_EMUL_LONG64)
				break;
		} else if (b == 0x67) {
			*adsize = default_adsize(mode) == 4 ? 2 : 4;
		}
	}
	return i;
}

/* What follows the opcode that ends before @p; -1: too few bytes to tell. */
static int tail_length(const struct known_insn *k, const u8 *p, unsigned int n,
		       unsigned int adsize)
{
	switch (k->tail) {
	case TAIL_BYTE:
	case TAIL_REG:
		return 1;
	case TAIL_MODRM:
		return modrm_length(p, n, adsize);
	case TAIL_PORT:
		return (p[-1] & 8) ? 0 : 1;
	default:
		return 0;
	}
}

int umbra_emul_length(const u8 *bytes, unsigned int n, unsigned int mode,
		      enum umbra_emul_known insn)
{
	const struct known_insn *k = &known[insn];
	unsigned int i, pos = 0, adsize = default_adsize(mode);
	int tail;

	/* Common case: no prefix. No first opcode byte here is one. */
	if (bytes[0] != k->op[0])
		pos = skip_prefixes(bytes, n, mode, &adsize);

	for (i = 0; i < k->nr_op; i++) {
		u8 mask = i + 1 == k->nr_op ? k->last_mask : 0xff;

		if (pos + i >= n)
			return n < UMBRA_EMUL_MAX_LEN ? -1 : 0;
		if ((bytes[pos + i] & mask) != k->op[i])
			return 0;
	}
	pos += k->nr_op;
	tail = tail_length(k, bytes + pos, n - pos, adsize);
	if (tail < 0)
		return n < UMBRA_EMUL_MAX_LEN ? -1 : 0;
	pos += tail;
	if (pos > UMBRA_EMUL_MAX_LEN)
		return 0;
	return pos <= n ? (int)pos : -1;
}
