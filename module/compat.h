/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that looks at the kernel version. It also serves assembly: what
 * is C stands under __ASSEMBLY__.
 */
#ifndef UMBRA_COMPAT_H
#define UMBRA_COMPAT_H

#include <linux/version.h>
#include <asm/nospec-branch.h>

#define UMBRA_KERNEL_6_12	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0))

#ifdef __ASSEMBLY__

/*
 * After a guest: untrain returns, or IBPB, as the host has chosen; reset the
 * call depth. Clobbers RAX, RCX and RDX; needs the host's GS.
 */
#if UMBRA_KERNEL_6_12
#define UMBRA_UNTRAIN_RET	UNTRAIN_RET_VM
#else
.macro UMBRA_UNTRAIN_RET
	UNTRAIN_RET
#ifdef CONFIG_CPU_SRSO
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
#endif
.endm
#endif

/* The kernel's NMI handler as a VM exit may call it, on the stack that is in use. */
#if UMBRA_KERNEL_6_12
#define UMBRA_ASM_NMI	asm_exc_nmi_kvm_vmx
#else
#define UMBRA_ASM_NMI	asm_exc_nmi_noist
#endif

#else /* !__ASSEMBLY__ */

#include <linux/context_tracking.h>
#include <linux/cpuhotplug.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/smp.h>

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

/* A page of another process's memory is there, to be written where @write: false: it can't be. Sleeps. */
static inline bool umbra_fault_in_remote(struct mm_struct *mm, unsigned long hva, bool write)
{
	unsigned int flags = write ? FOLL_WRITE : 0;
	int locked = 1;
	long n;

	mmap_read_lock(mm);
#if UMBRA_KERNEL_6_12
	n = get_user_pages_remote(mm, hva, 1, flags, NULL, &locked);
#else
	n = get_user_pages_remote(mm, hva, 1, flags, NULL, NULL, &locked);
#endif
	if (locked)
		mmap_read_unlock(mm);
	return n == 1;
}

/*
 * The hotplug state that KVM uses, because it is placed right: no user task runs
 * on the CPU any more when it goes down. Two owners can't have it: that is meant.
 */
#if UMBRA_KERNEL_6_12
#define UMBRA_CPUHP_STATE	CPUHP_AP_KVM_ONLINE
#else
#define UMBRA_CPUHP_STATE	CPUHP_AP_KVM_STARTING
#endif

/*
 * KVM's vendor modules take the kernel's one slot for turning virtualization off
 * in an emergency: until 6.11 when they load, later when they turn the CPUs on.
 */
#define UMBRA_KVM_HOOKS_AT_LOAD	(!UMBRA_KERNEL_6_12)
/* The other owner may turn the extension on as soon as it is loaded. */
#define UMBRA_KVM_ENABLES_AT_LOAD	UMBRA_KERNEL_6_12

/* A guest counts as a quiescent state of RCU where no context tracking says so. */
static __always_inline void umbra_rcu_note_guest(void)
{
	instrumentation_begin();
#if UMBRA_KERNEL_6_12
	rcu_virt_note_context_switch();
#else
	rcu_virt_note_context_switch(smp_processor_id());
#endif
	instrumentation_end();
}

/* false: RCU wants to be told of a quiescent state at the guest's end too. */
static __always_inline bool umbra_context_guest_exit(void)
{
#if UMBRA_KERNEL_6_12
	return context_tracking_guest_exit();
#else
	context_tracking_guest_exit();
	return true;
#endif
}

/* The interrupt that makes a CPU leave its guest. 6.12's own macro wants a tracepoint of the kernel's. */
static inline void umbra_send_reschedule(int cpu)
{
#if UMBRA_KERNEL_6_12
	arch_smp_send_reschedule(cpu);
#else
	smp_send_reschedule(cpu);
#endif
}

/* Has userspace asked KVM_RUN to return at once? It may change its mind at any time. */
static inline bool umbra_immediate_exit(const struct kvm_run *run)
{
#if UMBRA_KERNEL_6_12
	return READ_ONCE(run->immediate_exit__unsafe);
#else
	return READ_ONCE(run->immediate_exit);
#endif
}

/* The attributes of a generic netlink dump's request. */
#if UMBRA_KERNEL_6_12
#define umbra_dump_attrs(cb)	(genl_info_dump(cb)->attrs)
#else
#define umbra_dump_attrs(cb)	(genl_dumpit_info(cb)->attrs)
#endif

typedef unsigned long (*umbra_shrink_fn)(struct shrinker *s, struct shrink_control *sc);

/* For umbra_shrinker_unregister(); or ERR_PTR(errno). */
static inline struct shrinker *umbra_shrinker_register(umbra_shrink_fn count, umbra_shrink_fn scan,
						       const char *name)
{
	struct shrinker *s;
#if UMBRA_KERNEL_6_12
	s = shrinker_alloc(0, "%s", name);
	if (!s)
		return ERR_PTR(-ENOMEM);
#else
	int r;

	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return ERR_PTR(-ENOMEM);
#endif
	s->count_objects = count;
	s->scan_objects = scan;
	s->seeks = DEFAULT_SEEKS;
#if UMBRA_KERNEL_6_12
	shrinker_register(s);
#else
	r = register_shrinker(s, "%s", name);
	if (r) {
		kfree(s);
		return ERR_PTR(r);
	}
#endif
	return s;
}

static inline void umbra_shrinker_unregister(struct shrinker *s)
{
#if UMBRA_KERNEL_6_12
	shrinker_free(s);
#else
	unregister_shrinker(s);
	kfree(s);
#endif
}

/* Count one event. Any context, no lock of a queue that an irqfd is in. */
static inline void umbra_eventfd_signal(struct eventfd_ctx *ctx)
{
#if UMBRA_KERNEL_6_12
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

#endif /* !__ASSEMBLY__ */

#endif
