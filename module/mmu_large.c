// SPDX-License-Identifier: GPL-2.0-only
/* How large a page of the guest's may be mapped, in whatever tables. */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/pgtable.h>

#include "umbra.h"

bool umbra_mmu_large_code_hurts(void)
{
	/* No AMD CPU has it. */
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT);
}

/*
 * The size at which the user's page tables map @hva, as a level. Walked as the
 * kernel's own lockless walkers do: with interrupts off no table is freed, and
 * under mmu_lock, no invalidation in flight, what is found holds.
 */
static int host_level(struct mm_struct *mm, unsigned long hva)
{
	unsigned long flags;
	int level = 1;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		level = 3;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (!pmd_none(pmd) && pmd_present(pmd) && pmd_leaf(pmd))
		level = 2;
out:
	local_irq_restore(flags);
	return level;
}

int umbra_mmu_slot_level(const struct umbra_slot *slot, gfn_t gfn, int most)
{
	if (umbra_slot_logged(slot))
		return 1;
	while (most > 1 && !slot_fits_page(slot, gfn, UMBRA_LEVEL_PAGES(most)))
		most--;
	return most;
}

int umbra_mmu_page_level(struct umbra_vm *vm, const struct umbra_slot *slot, gfn_t gfn, int most)
{
	int level = umbra_mmu_slot_level(slot, gfn, most);

	lockdep_assert_held(&vm->mmu_lock);
	return level > 1 ? min(level, host_level(vm->mm, umbra_slot_hva(slot, gfn))) : 1;
}
