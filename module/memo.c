// SPDX-License-Identifier: GPL-2.0-only
/* Instructions that have exited before: see memo.h. */
#include <linux/hash.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "backend.h"
#include "umbra.h"

static struct umbra_memo *set_of(struct umbra_vcpu *vcpu, u64 rip)
{
	return vcpu->memos.set[hash_64(rip, UMBRA_MEMO_SET_BITS)];
}

static struct umbra_memo *look_up(struct umbra_vcpu *vcpu, u64 rip)
{
	struct umbra_memo *m = set_of(vcpu, rip);
	int i;

	for (i = 0; i < UMBRA_MEMO_WAYS; i++, m++)
		if (m->rip == rip)
			return m;
	return NULL;
}

/* Where to remember it: its old place, or each one's in turn. */
static struct umbra_memo *place_for(struct umbra_vcpu *vcpu, u64 rip)
{
	return look_up(vcpu, rip) ? : &set_of(vcpu, rip)[vcpu->memos.turn++ % UMBRA_MEMO_WAYS];
}

/* Does our table, or the register, still lead where it did? */
static bool way_agrees(struct umbra_vcpu *vcpu, const struct umbra_memo *m)
{
	if (vcpu->mmu.shadow)
		return vcpu->mmu.ops->frame_of(vcpu, m->rip) == m->gfn;
	return m->cr3 == umbra_cr3(vcpu);
}

/* Do @levels tables still lead to the code, and the code still hold the instruction? */
static bool memory_agrees(const struct umbra_memo *m, unsigned int levels)
{
	const u64 __user * const *at = m->gpte_at;
	const u64 *gpte = m->gpte, *end = gpte + levels;
	u64 now;

	/*
	 * The entries' addresses are of slots as well, which lie in the user's half.
	 * Pointers instead of indices: UBSan's check of those calls a function.
	 */
	if (!user_access_begin(m->code, sizeof(m->word)))
		return false;
	while (gpte < end) {
		unsafe_get_user(now, *at++, differs);
		if (now != *gpte++)
			goto differs;
	}
	unsafe_get_user(now, m->code, differs);
	if ((now & m->mask[0]) != m->word[0])
		goto differs;
	unsafe_get_user(now, m->code + 1, differs);
	if ((now & m->mask[1]) != m->word[1])
		goto differs;
	user_access_end();
	return true;
differs:
	user_access_end();
	return false;
}

const struct umbra_memo *umbra_memo_find(struct umbra_vcpu *vcpu)
{
	u64 rip = umbra_rip(vcpu);
	const struct umbra_memo *m = look_up(vcpu, rip);

	if (!m || !m->levels || !way_agrees(vcpu, m) ||
	    m->cr4 != umbra_cr4(vcpu) || m->efer != vcpu->regs.efer ||
	    m->cpl != umbra_hot(get_cpl)(vcpu) || m->seq != umbra_mmu_read_seq(vcpu->vm))
		return NULL;
	return memory_agrees(m, vcpu->mmu.shadow ? 0 : m->levels) ? m : NULL;
}

/* The user addresses of the entries that a walk has used; false: it would come out otherwise next time. */
static bool note_entries(struct umbra_vcpu *vcpu, struct umbra_memo *m, const struct umbra_gwalk *walk)
{
	unsigned int level;

	for (level = walk->top_level; level >= walk->level; level--) {
		gpa_t gpa = walk->table_gpa[level - 1];
		unsigned long hva = umbra_gfn_to_hva(vcpu->vm, gpa_to_gfn(gpa), NULL);

		if (!hva)
			return false;
		m->gpte_at[m->levels] = (const u64 __user *)(hva + offset_in_page(gpa));
		m->gpte[m->levels++] = walk->gpte[level - 1];
	}
	return true;
}

static void note_bytes(struct umbra_memo *m, const u8 *bytes, unsigned int len)
{
	u8 *mask = (u8 *)m->mask;

	memset(m->word, 0, sizeof(m->word));
	memset(m->mask, 0, sizeof(m->mask));
	memcpy(m->word, bytes, len);
	memset(mask, 0xff, len);
	m->len = len;
}

void umbra_memo_learn(struct umbra_vcpu *vcpu, const u8 *bytes, unsigned int len, u8 insn,
		      const struct umbra_emul_mov *mov, s8 gpr)
{
	struct umbra_memo *m = place_for(vcpu, umbra_rip(vcpu));
	u32 user = umbra_hot(get_cpl)(vcpu) == 3 ? UMBRA_GWALK_USER : 0;
	struct umbra_gwalk walk;
	unsigned long hva;

	m->levels = 0;
	m->seq = umbra_mmu_read_seq(vcpu->vm);
	m->rip = umbra_rip(vcpu);
	if (len > UMBRA_EMUL_MAX_LEN || offset_in_page(m->rip) > PAGE_SIZE - sizeof(m->word) ||
	    umbra_walk_gva(vcpu, m->rip, UMBRA_GWALK_EXEC | user, &walk) != UMBRA_GWALK_OK)
		return;
	hva = umbra_gfn_to_hva(vcpu->vm, gpa_to_gfn(walk.gpa), NULL);
	if (!hva)
		return;
	m->code = (const u64 __user *)(hva + offset_in_page(walk.gpa));
	m->gfn = gpa_to_gfn(walk.gpa);
	/* A shadow's walk need not tell of all levels: no way for the hardware's mode to agree on. */
	m->cr3 = vcpu->mmu.shadow ? ~0ULL : umbra_cr3(vcpu);
	m->cr4 = umbra_cr4(vcpu);
	m->efer = vcpu->regs.efer;
	m->cpl = umbra_hot(get_cpl)(vcpu);
	m->insn = insn;
	m->gpr = gpr;
	if (mov)
		m->mov = *mov;
	note_bytes(m, bytes, len);
	if (!note_entries(vcpu, m, &walk))
		m->levels = 0;
}
