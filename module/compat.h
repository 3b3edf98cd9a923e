/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that looks at the kernel version. It also serves assembly: what
 * is C stands under __ASSEMBLY__.
 */
#ifndef UMBRA_COMPAT_H
#define UMBRA_COMPAT_H

#include <linux/version.h>

#define UMBRA_KERNEL_6_12	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0))

#ifndef __ASSEMBLY__

#include <linux/mm.h>

/* A signal ends a wait for memory that userspace must supply; before 6.2 only a deadly one does. */
#if UMBRA_KERNEL_6_12
#define UMBRA_FOLL_INTERRUPTIBLE	FOLL_INTERRUPTIBLE
#else
#define UMBRA_FOLL_INTERRUPTIBLE	0
#endif

/*
 * The pfn that the user's page tables have for an address in a VM_IO or VM_PFNMAP
 * mapping; mmap_lock held for reading. -EINVAL: no entry is present.
 */
static inline int umbra_follow_pfnmap(struct vm_area_struct *vma, unsigned long hva,
				      unsigned long long *pfn, bool *writable)
{
#if UMBRA_KERNEL_6_12
	struct follow_pfnmap_args args = { .vma = vma, .address = hva };
	int r = follow_pfnmap_start(&args);

	if (r)
		return r;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
	return 0;
#else
	spinlock_t *lock;
	pte_t *pte;
	int r = follow_pte(vma->vm_mm, hva, &pte, &lock);

	if (r)
		return r;
	__acquire(lock);	/* for sparse: follow_pte() does not tell it */
	*pfn = pte_pfn(*pte);
	*writable = pte_write(*pte);
	pte_unmap_unlock(pte, lock);
	return 0;
#endif
}

#endif /* !__ASSEMBLY__ */

#endif
