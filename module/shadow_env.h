/* SPDX-License-Identifier: GPL-2.0-only */
/* From an entry to its table and back: all that the core of the shadow engine must know of memory. */
#ifndef UMBRA_SHADOW_ENV_H
#define UMBRA_SHADOW_ENV_H

#include "emul_types.h"

struct shadow_page;

#ifdef __KERNEL__

#include <linux/mem_encrypt.h>
#include <linux/mm.h>

#include "trace.h"

static inline void shadow_set_owner(u64 *spt, struct shadow_page *sp)
{
	set_page_private(virt_to_page(spt), (unsigned long)sp);
}

static inline struct shadow_page *shadow_owner(const u64 *sptep)
{
	return (struct shadow_page *)page_private(virt_to_page(sptep));
}

static inline u64 shadow_entry_of(const u64 *spt)
{
	return __sme_set(__pa(spt));
}

static inline u64 *shadow_table_of(u64 entry)
{
	return __va(__sme_clr(entry));
}

static inline void shadow_trace_set(u64 gfn, int level, const u64 *sptep)
{
	struct umbra_rights rights = {
		.read = true,
		.execute = !(*sptep & _PAGE_NX),
		.user = !!(*sptep & _PAGE_USER),
	};

	umbra_trace(kvm_mmu_set_spte, gfn, level, sptep, *sptep, &rights);
}

static inline void shadow_trace_zap(u64 gfn, int level, u64 spte)
{
	umbra_trace(umbra_zap_spte, gfn, level, spte);
}

static inline void shadow_trace_unsync(u64 gfn)
{
	umbra_trace(umbra_unsync, gfn);
}

static inline void shadow_trace_sync(u64 gfn)
{
	umbra_trace(umbra_sync, gfn);
}

#else /* userspace: a page has its owner behind it, and addresses are their own frames */

#define WRITE_ONCE(x, value)	(*(volatile __typeof__(x) *)&(x) = (value))
#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))

static inline void shadow_set_owner(u64 *spt, struct shadow_page *sp)
{
	*(struct shadow_page **)((char *)spt + 4096) = sp;
}

static inline struct shadow_page *shadow_owner(const u64 *sptep)
{
	uintptr_t page = (uintptr_t)sptep & ~(uintptr_t)4095;

	return *(struct shadow_page **)(page + 4096);
}

static inline u64 shadow_entry_of(const u64 *spt)
{
	return (uintptr_t)spt;
}

static inline u64 *shadow_table_of(u64 entry)
{
	return (u64 *)(uintptr_t)entry;
}

#define shadow_trace_set(gfn, level, sptep)	((void)0)
#define shadow_trace_zap(gfn, level, spte)	((void)0)
#define shadow_trace_unsync(gfn)	((void)0)
#define shadow_trace_sync(gfn)		((void)0)

#endif

#endif
