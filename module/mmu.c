// SPDX-License-Identifier: GPL-2.0-only
/*
 * What every way of virtualizing memory shares: table pages and their
 * accounting, flushes of other CPUs, whether a fault is stale, and the choice of
 * the mode.
 */
#include <linux/cpumask.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/umbra.h>

#include "backend.h"
#include "gwalk.h"
#include "mmu_quota.h"
#include "stats.h"
#include "trace.h"
#include "umbra.h"

/* ------------------------------ table pages ------------------------------ */

/**
 * umbra_mmu_topup() - make sure that @count table pages can be taken
 * @vcpu: by its owner, no spinlock held: it sleeps
 * @count: at most UMBRA_MMU_CACHE
 *
 * Return: 0 or -ENOMEM
 */
int umbra_mmu_topup(struct umbra_vcpu *vcpu, int count)
{
	struct umbra_vcpu_mmu *mmu = &vcpu->mmu;

	while (mmu->nr_cached < count) {
		void *page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

		if (!page)
			return -ENOMEM;
		mmu->cache[mmu->nr_cached++] = page;
	}
	return 0;
}

/** umbra_mmu_alloc_root() - a zeroed table page, or NULL. Sleeps. */
void *umbra_mmu_alloc_root(struct umbra_vm *vm)
{
	void *page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (page)
		atomic_long_inc(&vm->mmu.pages);
	return page;
}

/** umbra_mmu_free_page() - free a table page that nobody can see any more */
void umbra_mmu_free_page(struct umbra_vm *vm, void *page)
{
	atomic_long_dec(&vm->mmu.pages);
	free_page((unsigned long)page);
}

/** umbra_mmu_bury_page() - a table page was unlinked; mmu_lock is held for writing */
void umbra_mmu_bury_page(struct umbra_vm *vm, void *page)
{
	lockdep_assert_held_write(&vm->mmu_lock);
	atomic_long_dec(&vm->mmu.pages);
	list_add(&virt_to_page(page)->lru, &vm->mmu.dead);
}

static void free_dead(struct rcu_head *head)
{
	__free_page(container_of(head, struct page, rcu_head));
}

/**
 * umbra_mmu_free_dead_pages() - free what was buried
 * @vm: mmu_lock held for writing
 *
 * The CPUs have flushed; who still walks the dead tables in software does so under RCU.
 */
void umbra_mmu_free_dead_pages(struct umbra_vm *vm)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &vm->mmu.dead, lru) {
		list_del(&page->lru);
		call_rcu(&page->rcu_head, free_dead);
	}
}

/* ------------------------------ flushes ------------------------------ */

/* The CPUs to interrupt. A CPU's own mask is used with preemption off, never in an interrupt. */
static DEFINE_PER_CPU(cpumask_t, flush_mask);

/* That it ran is enough: the CPU has left its guest. */
static void acknowledge(void *unused)
{
}

/* A request to all vCPUs, which have left their guests when it returns. */
static void request_and_wait(struct umbra_vm *vm, enum umbra_request req)
{
	struct umbra_vcpu *vcpu;
	struct cpumask *mask;
	int i, me, cpu;

	me = get_cpu();
	mask = this_cpu_ptr(&flush_mask);
	cpumask_clear(mask);
	umbra_for_each_vcpu(vm, i, vcpu) {
		umbra_request(vcpu, req);
		/*
		 * A full barrier, as the vCPU has one between IN_GUEST and its
		 * look at the requests: either it sees ours, or we see it in
		 * the guest. One that is EXITING may still be there too.
		 */
		if (cmpxchg(&vcpu->mode, UMBRA_IN_GUEST, UMBRA_EXITING) == UMBRA_OUTSIDE_GUEST)
			continue;
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu >= 0 && cpu != me)
			cpumask_set_cpu(cpu, mask);
	}
	if (!cpumask_empty(mask))
		smp_call_function_many(mask, acknowledge, NULL, true);
	put_cpu();
}

void umbra_mmu_flush_remote(struct umbra_vm *vm)
{
	u64 asked = umbra_ledger_ask(&vm->mmu.ledger);

	request_and_wait(vm, UMBRA_REQ_FLUSH_TLB);
	umbra_ledger_promise(&vm->mmu.ledger, asked);
}

bool umbra_mmu_cpu_logs(const struct umbra_vm *vm)
{
	return umbra_caps.write_log && !READ_ONCE(vm->ring_entries);
}

/* A vCPU that is outside has told all: enter() does it. */
void umbra_mmu_sync_log(struct umbra_vm *vm)
{
	if (umbra_mmu_cpu_logs(vm))
		request_and_wait(vm, UMBRA_REQ_NONE_KICK);
}

/* ------------------------------ changes of memory ------------------------------ */

/*
 * As long as a mode's tables that a piece covers are unlinked as a whole, a piece
 * of 1 GiB means at most some 512 entries to look at.
 */
#define PIECE_PAGES	UMBRA_LEVEL_PAGES(3)

typedef bool (*piece_fn)(struct umbra_vm *vm, gfn_t start, gfn_t end);

static void in_pieces(struct umbra_vm *vm, gfn_t start, gfn_t end, bool may_sleep, piece_fn fn)
{
	gfn_t to;

	for (; start < end; start = to) {
		to = min(end, ALIGN_DOWN(start, PIECE_PAGES) + PIECE_PAGES);
		write_lock(&vm->mmu_lock);
		if (fn(vm, start, to))
			umbra_mmu_flush_remote(vm);
		umbra_mmu_free_dead_pages(vm);
		write_unlock(&vm->mmu_lock);
		if (may_sleep)
			cond_resched();
	}
}

/* The modes that have tables are known only under the lock. */
static bool zap_piece(struct umbra_vm *vm, gfn_t start, gfn_t end)
{
	bool flush = false;

	umbra_each_mode(vm, ops)
		flush |= ops->zap(vm, start, end);
	return flush;
}

static bool log_piece(struct umbra_vm *vm, gfn_t start, gfn_t end)
{
	bool flush = false;

	umbra_each_mode(vm, ops)
		flush |= ops->start_log(vm, start, end);
	return flush;
}

bool umbra_mmu_write_protect(struct umbra_vm *vm, gfn_t gfn, u64 mask)
{
	bool flush = false;

	umbra_each_mode(vm, ops)
		flush |= ops->write_protect(vm, gfn, mask);
	return flush;
}

bool umbra_mmu_age(struct umbra_vm *vm, gfn_t start, gfn_t end, bool clear)
{
	bool young = false;

	umbra_each_mode(vm, ops)
		young |= ops->age(vm, start, end, clear);
	return young;
}

void umbra_mmu_zap(struct umbra_vm *vm, gfn_t start, gfn_t end, bool may_sleep)
{
	in_pieces(vm, start, end, may_sleep, zap_piece);
}

void umbra_mmu_start_log(struct umbra_vm *vm, gfn_t start, gfn_t end)
{
	in_pieces(vm, start, end, true, log_piece);
}

/** umbra_mmu_read_seq() - before a fault looks up its slot: see umbra_mmu_stale() */
unsigned long umbra_mmu_read_seq(struct umbra_vm *vm)
{
	/* What is looked up after this is at least as new as the number. */
	return smp_load_acquire(&vm->mmu.invalidate_seq);
}

bool umbra_mmu_stale(struct umbra_vm *vm, unsigned long seq, unsigned long hva)
{
	const struct umbra_vm_mmu *mmu = &vm->mmu;

	lockdep_assert_held(&vm->mmu_lock);
	if (mmu->invalidate_active && hva >= mmu->invalidate_start && hva < mmu->invalidate_end)
		return true;
	return mmu->invalidate_seq != seq;
}

int umbra_mmu_fault_pfn(struct umbra_vcpu *vcpu, const struct umbra_slot *slot, gfn_t gfn,
			bool write, struct umbra_pfn *out)
{
	int r = umbra_gfn_to_pfn(slot, gfn, write, false, out);

	if (likely(r != -EAGAIN) || umbra_apf_start(vcpu, slot, gfn, write))
		return r;
	return umbra_gfn_to_pfn(slot, gfn, write, true, out);
}

/**
 * umbra_mmu_page_error() - no page for a fault
 * @slot: that holds @gfn
 * @gfn: the page
 * @error: umbra_mmu_fault_pfn()'s
 *
 * Return: enum umbra_fault_result, or errno for KVM_RUN
 */
int umbra_mmu_page_error(const struct umbra_slot *slot, gfn_t gfn, int error)
{
	switch (error) {
	case -EHWPOISON:
		/* The signal ends KVM_RUN with EINTR. */
		umbra_mmu_send_hwpoison(umbra_slot_hva(slot, gfn));
		return UMBRA_FAULT_DONE;
	case -EINTR:
	case -EAGAIN:
		return UMBRA_FAULT_DONE;
	case -EROFS:
		return UMBRA_FAULT_MMIO;
	default:
		return error;
	}
}

void umbra_mmu_send_hwpoison(unsigned long hva)
{
	send_sig_mceerr(BUS_MCEERR_AR, (void __user *)hva, PAGE_SHIFT, current);
}

/* ------------------------------ the APIC-access page ------------------------------ */

int umbra_mmu_make_apic_page(struct umbra_vm *vm)
{
	lockdep_assert_held(&vm->lock);
	if (!vm->mmu.apic_page)
		vm->mmu.apic_page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vm->mmu.apic_page ? 0 : -ENOMEM;
}

bool umbra_mmu_has_apic_page(const struct umbra_vm *vm)
{
	return vm->mmu.apic_page && !READ_ONCE(vm->mmu.apic_page_left);
}

void umbra_mmu_leave_apic_page(struct umbra_vm *vm)
{
	if (!umbra_mmu_has_apic_page(vm))
		return;
	write_lock(&vm->mmu_lock);
	if (zap_piece(vm, UMBRA_APIC_GFN, UMBRA_APIC_GFN + 1))
		umbra_mmu_flush_remote(vm);
	umbra_mmu_free_dead_pages(vm);
	/* Last: a vCPU that sees it may enter its guest without the CPU's help. */
	WRITE_ONCE(vm->mmu.apic_page_left, true);
	write_unlock(&vm->mmu_lock);
}

/* ------------------------------ lifetime ------------------------------ */

/** umbra_mmu_vm_init() - a new VM gets the default mode; errno */
int umbra_mmu_vm_init(struct umbra_vm *vm)
{
	int r;

	INIT_LIST_HEAD(&vm->mmu.dead);
	umbra_ledger_init(&vm->mmu.ledger);
	umbra_mmu_mode_init(vm);
	vm->mmu.ops = umbra_mmu_default;
	r = vm->mmu.ops->vm_init(vm);
	if (!r)
		umbra_shrink_add(vm);
	return r;
}

/** umbra_mmu_vm_destroy() - after the notifier's end and that of the vCPUs */
void umbra_mmu_vm_destroy(struct umbra_vm *vm)
{
	umbra_shrink_del(vm);
	umbra_mmu_mode_destroy(vm);
	free_page((unsigned long)vm->mmu.apic_page);
	WARN_ON_ONCE(atomic_long_read(&vm->mmu.pages));
}

/** umbra_mmu_vcpu_init() - a new vCPU has no root yet */
int umbra_mmu_vcpu_init(struct umbra_vcpu *vcpu)
{
	const struct umbra_mmu_ops *ops = vcpu->vm->mmu.ops;

	vcpu->mmu.root = INVALID_PAGE;
	vcpu->mmu.ops = ops;
	if (!ops->vcpu_part)
		return 0;
	vcpu->mmu.shadow = ops->vcpu_part();
	return vcpu->mmu.shadow ? 0 : -ENOMEM;
}

void umbra_mmu_vcpu_destroy(struct umbra_vcpu *vcpu)
{
	if (vcpu->mmu.shadow)
		vcpu->mmu.ops->vcpu_destroy(vcpu, vcpu->mmu.shadow);
	if (vcpu->mmu.next)
		vcpu->vm->mmu.ops->vcpu_destroy(vcpu, vcpu->mmu.next);
	while (vcpu->mmu.nr_cached)
		free_page((unsigned long)umbra_mmu_take_page(&vcpu->mmu));
}

int umbra_mmu_load_root(struct umbra_vcpu *vcpu)
{
	int r = vcpu->mmu.ops->load_root(vcpu);

	if (r)
		return r;
	umbra_count(vcpu, root_loads);
	umbra_trace(umbra_load_root, vcpu);
	umbra_backend->load_root(vcpu, vcpu->mmu.root, vcpu->mmu.level);
	if (unlikely(vcpu->mmu.moved_at))
		umbra_mmu_moved(vcpu);
	return 0;
}

int umbra_mmu_fault(struct umbra_vcpu *vcpu, u64 addr, u64 error)
{
	umbra_trace(kvm_page_fault, vcpu, addr, error);
	return vcpu->mmu.ops->fault(vcpu, addr, error);
}

bool umbra_mmu_let_write(struct umbra_vcpu *vcpu)
{
	return vcpu->mmu.shadow && vcpu->mmu.ops->let_write(vcpu);
}

void umbra_mmu_written(struct umbra_vm *vm, gpa_t gpa, unsigned int len)
{
	umbra_mmu_shadow_lazy.written(vm, gpa, len);
}

void umbra_mmu_flush_gva(struct umbra_vcpu *vcpu, gva_t gva)
{
	if (vcpu->mmu.shadow)
		vcpu->mmu.ops->flush_gva(vcpu, gva);
	if (umbra_backend->flush_gva)
		umbra_backend->flush_gva(vcpu, gva);
	else
		umbra_backend->flush_all(vcpu);
}

void umbra_mmu_flush_guest(struct umbra_vcpu *vcpu)
{
	if (vcpu->mmu.shadow)
		umbra_mmu_paging_changed(vcpu);
	umbra_backend->flush_all(vcpu);
}

void umbra_mmu_tables_set(struct umbra_vcpu *vcpu)
{
	if (vcpu->mmu.shadow)
		vcpu->mmu.ops->tables_set(vcpu);
}

/**
 * umbra_mmu_paging_changed() - a control register that translation hangs on has changed
 * @vcpu: its owner
 *
 * The guest's CPU would have dropped its translations. Under nested paging they
 * are the hardware's, tagged with this guest's ASID; in a shadow mode there are other
 * tables for the new state.
 */
void umbra_mmu_paging_changed(struct umbra_vcpu *vcpu)
{
	if (vcpu->mmu.shadow)
		vcpu->mmu.root = INVALID_PAGE;
	umbra_request(vcpu, UMBRA_REQ_FLUSH_TLB);
}

/* ------------------------------ the guest's own tables ------------------------------ */

/* The walk knows memory only through its context, so that it can be tested outside the kernel. */
struct vcpu_walk {
	struct umbra_gwalk_ctx ctx;
	struct umbra_vm *vm;
};

static struct umbra_vm *vm_of_walk(const struct umbra_gwalk_ctx *ctx)
{
	return container_of(ctx, struct vcpu_walk, ctx)->vm;
}

static int read_gpte(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 *val, unsigned int size)
{
	return umbra_guest_read_entry(vm_of_walk(ctx), gpa, val, size);
}

/* With a lock held: what is not there now the walk at length brings. */
static int peek_gpte(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 *val, unsigned int size)
{
	return umbra_guest_peek_entries(vm_of_walk(ctx), gpa, val, 1, size) < 0 ? -EFAULT : 0;
}

static const struct umbra_gwalk_ops peek_ops = { .read_gpte = peek_gpte };

static int cmpxchg_gpte(const struct umbra_gwalk_ctx *ctx, u64 gpa, u64 old, u64 new,
			unsigned int size)
{
	struct umbra_vm *vm = vm_of_walk(ctx);
	bool writable;
	u64 seen = old;
	int r;

	/* Tables in ROM: the CPU's write of the bits comes to nothing, and the walk goes on. */
	if (umbra_gfn_to_hva(vm, gpa_to_gfn(gpa), &writable) && !writable)
		return 0;
	r = umbra_guest_cmpxchg(vm, gpa, &seen, &new, size);
	return r ? r : seen != old;
}

static const struct umbra_gwalk_ops walk_ops = {
	.read_gpte = read_gpte,
	.cmpxchg_gpte = cmpxchg_gpte,
};

/**
 * umbra_walk_gva() - translate by the guest's tables at its current state
 * @vcpu: its owner, in vm->srcu and the VM's mm
 * @gva: linear address
 * @access: UMBRA_GWALK_*
 * @walk: the result
 *
 * Return: enum umbra_gwalk_result
 */
int umbra_walk_gva(struct umbra_vcpu *vcpu, gva_t gva, u32 access, struct umbra_gwalk *walk)
{
	struct vcpu_walk w = {
		.ctx = {
			.ops = &walk_ops,
			.cr0 = umbra_cr0(vcpu),
			.cr3 = umbra_cr3(vcpu),
			.cr4 = umbra_cr4(vcpu),
			.efer = vcpu->regs.efer,
			.rflags = umbra_rflags(vcpu),
			.pkru = vcpu->fpu.pkru,
			.maxphyaddr = umbra_maxphyaddr(vcpu),
			.gbpages = vcpu->cpuid.gbpages,
		},
		.vm = vcpu->vm,
	};
	int r;

	if (umbra_is_paging(vcpu) && umbra_is_pae(vcpu) && !umbra_is_long(vcpu)) {
		if (!(vcpu->regs.avail & BIT(UMBRA_REG_PDPTR)))
			umbra_cache_reg(vcpu, UMBRA_REG_PDPTR);
		memcpy(w.ctx.pdpte, vcpu->regs.pdptr, sizeof(w.ctx.pdpte));
	}
	if (vcpu->mmu.shadow) {
		w.ctx.ops = &peek_ops;
		r = vcpu->mmu.ops->short_walk(vcpu, &w.ctx, gva, access, walk);
		if (r != UMBRA_GWALK_RACE)
			return r;
		w.ctx.ops = &walk_ops;
	}
	return umbra_gwalk(&w.ctx, gva, access, walk);
}

static u32 walk_access(u32 error)
{
	return (error & PFERR_WRITE ? UMBRA_GWALK_WRITE : 0) |
	       (error & PFERR_FETCH ? UMBRA_GWALK_EXEC : 0) |
	       (error & PFERR_USER ? UMBRA_GWALK_USER : 0) |
	       (error & PFERR_IMPLICIT ? UMBRA_GWALK_IMPLICIT : 0);
}

int umbra_gva_to_gpa(struct umbra_vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa, u32 *error)
{
	struct umbra_gwalk walk;

	switch (umbra_walk_gva(vcpu, gva, walk_access(access), &walk)) {
	case UMBRA_GWALK_OK:
		*gpa = walk.gpa;
		return 0;
	case UMBRA_GWALK_FAULT:
		*error = walk.error_code;
		return 1;
	case UMBRA_GWALK_NONCANONICAL:
		return -EINVAL;
	case UMBRA_GWALK_RACE:
		return -EAGAIN;
	default:
		return -EFAULT;
	}
}
