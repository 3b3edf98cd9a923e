// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's vector moves: what drivers use on device memory. No arithmetic.
 */
#include "emul_priv.h"

/*
 * A move of dst.size bytes. A load from memory or a general register clears the rest of the
 * 16-byte register; so do MOVQ and the full moves between registers, which come here too.
 */
int emul_op_vmov(struct umbra_emul *e)
{
	unsigned int size = e->src.size < e->dst.size ? e->src.size : e->dst.size;

	memset(e->dst.raw, 0, sizeof(e->dst.raw));
	memcpy(e->dst.raw, e->src.raw, size);
	return UMBRA_EMUL_OK;
}

/* MOVSS, MOVSD between registers and MOVLPS: the low part alone changes. */
int emul_op_vmov_low(struct umbra_emul *e)
{
	memcpy(e->dst.raw, e->src.raw, e->src.size);
	return UMBRA_EMUL_OK;
}

/* MOVHPS: the upper eight bytes of the register. */
int emul_op_vmov_high(struct umbra_emul *e)
{
	if (e->dst.kind == K_MEM)
		e->dst.word[0] = e->src.word[1];
	else
		e->dst.word[1] = e->src.word[0];
	return UMBRA_EMUL_OK;
}
