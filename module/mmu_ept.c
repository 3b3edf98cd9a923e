// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hardware mode: the CPU walks a second set of tables, gfn to pfn, which all
 * vCPUs of a VM share. AMD's NPT has the format of ordinary page tables; Intel's
 * EPT has its own, but the same shape, so that one descriptor of bits tells them
 * apart.
 *
 * Faults on different pages run side by side: they hold mmu_lock for reading and
 * install entries by cmpxchg. A page that only lacks the right to be written,
 * because the dirty log wants to see the first write, gets it without the lock.
 * Whoever takes something away holds mmu_lock for writing. A table that was
 * unlinked is freed after the CPUs have flushed and RCU's readers have left, so
 * a walk under rcu_read_lock() may run into a dead table, but never into freed
 * memory, and a cmpxchg there does no harm.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/umbra.h>
#include <asm/vmx.h>

#include "backend.h"
#include "trace.h"
#include "umbra.h"

/**
 * struct ept_format - the bits of an entry
 * @present: any of these: the entry is present
 * @read: makes a page readable, and executable where @execute is 0
 * @execute: makes it executable
 * @write: makes it writable
 * @accessed: the CPU sets it at a use of the entry
 * @dirty: the CPU sets it in the leaf at a write
 * @large: the entry is a leaf above the last level
 * @memory: the memory type of a leaf: write-back, to be weakened by the guest; a
 *	device's memory has 0, which is uncached in EPT and the MTRRs' affair in NPT
 * @table: all bits of an entry that points to a table
 */
struct ept_format {
	u64 present;
	u64 read;
	u64 execute;
	u64 write;
	u64 accessed;
	u64 dirty;
	u64 large;
	u64 memory;
	u64 table;
};

/* AMD64 manual 2, «Nested Paging»: every access of the guest is a user access. */
static const struct ept_format npt = {
	.present = _PAGE_PRESENT,
	.read = _PAGE_PRESENT | _PAGE_USER,
	.write = _PAGE_RW,
	.accessed = _PAGE_ACCESSED,
	.dirty = _PAGE_DIRTY,
	.large = _PAGE_PSE,
	.memory = 0,		/* PAT entry 0 */
	.table = _PAGE_PRESENT | _PAGE_USER | _PAGE_RW | _PAGE_ACCESSED,
};

/* Intel, volume 3, «EPT Translation Mechanism». Without A/D in the CPU the bits are ours alone. */
static const struct ept_format ept = {
	.present = VMX_EPT_RWX_MASK,
	.read = VMX_EPT_READABLE_MASK,
	.execute = VMX_EPT_EXECUTABLE_MASK,
	.write = VMX_EPT_WRITABLE_MASK,
	.accessed = VMX_EPT_ACCESS_BIT,
	.dirty = VMX_EPT_DIRTY_BIT,
	.large = _PAGE_PSE,
	.memory = VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT,
	.table = VMX_EPT_RWX_MASK | VMX_EPT_ACCESS_BIT,
};

static const struct ept_format *format __ro_after_init = &npt;

/** umbra_ept_setup() - choose the format once the backend is known */
void __init umbra_ept_setup(void)
{
	format = umbra_caps.ept ? &ept : &npt;
}

/*
 * Ours, where both formats ignore it: the host has the page writable, so that
 * the entry may become so without asking again.
 */
#define HOST_WRITABLE	BIT_ULL(52)

/* An entry that is not present is 0: it names no frame that speculation could read. */
#define ADDRESS_MASK	GENMASK_ULL(51, PAGE_SHIFT)

static bool is_present(u64 entry)
{
	return entry & format->present;
}

static bool is_leaf(u64 entry, int level)
{
	return level == 1 || entry & format->large;
}

static bool is_table(u64 entry, int level)
{
	return is_present(entry) && !is_leaf(entry, level);
}

static u64 address_of(u64 entry)
{
	return __sme_clr(entry & ADDRESS_MASK);
}

static u64 *table_of(u64 entry)
{
	return __va(address_of(entry));
}

static void trace_set(gfn_t gfn, int level, const u64 *entry, u64 new)
{
	struct umbra_rights rights = {
		.read = new & format->read,
		.execute = !format->execute || new & format->execute,
		.user = format->execute ? -1 : 1,
	};

	umbra_trace(kvm_mmu_set_spte, gfn, level, entry, new, &rights);
}

/* ------------------------------ walking ------------------------------ */

/*
 * The leaf that maps @gfn, or the place where it is missing; *@level tells where
 * that is. Under mmu_lock or RCU.
 */
static u64 *find_entry(struct umbra_vm *vm, gfn_t gfn, int *level)
{
	u64 *table = vm->mmu.root;
	int l;

	for (l = vm->mmu.root_level;; l--) {
		u64 *entry = &table[umbra_table_index(gfn, l)];
		u64 now = READ_ONCE(*entry);

		if (!is_table(now, l)) {
			*level = l;
			return entry;
		}
		table = table_of(now);
	}
}

/* One pass over the leaves that overlap [start, end); mmu_lock is held for writing. */
struct leaf_walk {
	gfn_t start, end;
	/* Called for each; what the calls return is ored. */
	bool (*leaf)(struct leaf_walk *walk, u64 *entry, int level, gfn_t gfn);
	u64 mask, taken;
	bool clear;
};

/* What a page under a log loses, to have its next write seen. */
static u64 log_bit(const struct umbra_vm *vm)
{
	return umbra_mmu_cpu_logs(vm) ? format->dirty : format->write;
}

static bool each_leaf(struct leaf_walk *walk, u64 *table, int level, gfn_t base)
{
	gfn_t step = UMBRA_LEVEL_PAGES(level);
	gfn_t gfn = max(ALIGN_DOWN(walk->start, step), base);
	gfn_t end = min(walk->end, base + step * UMBRA_TABLE_ENTRIES);
	bool any = false;

	for (; gfn < end; gfn += step) {
		u64 *entry = &table[umbra_table_index(gfn, level)];
		u64 now = READ_ONCE(*entry);

		if (!is_present(now))
			continue;
		if (is_leaf(now, level))
			any |= walk->leaf(walk, entry, level, gfn);
		else
			any |= each_leaf(walk, table_of(now), level - 1, gfn);
	}
	return any;
}

static bool walk_leaves(struct umbra_vm *vm, struct leaf_walk *walk)
{
	lockdep_assert_held_write(&vm->mmu_lock);
	return each_leaf(walk, vm->mmu.root, vm->mmu.root_level, 0);
}

/* ------------------------------ taking away ------------------------------ */

/* A table that was unlinked, and all below it. Its leaves stay: the flush makes them void. */
static void bury_table(struct umbra_vm *vm, u64 *table, int level)
{
	int i;

	for (i = 0; level > 1 && i < UMBRA_TABLE_ENTRIES; i++) {
		u64 entry = READ_ONCE(table[i]);

		if (is_table(entry, level))
			bury_table(vm, table_of(entry), level - 1);
	}
	umbra_mmu_bury_page(vm, table);
}

static bool is_empty(const u64 *table)
{
	return !memchr_inv(table, 0, PAGE_SIZE);
}

/* Forget what overlaps [start, end) below @table, which starts at gfn @base. */
static bool zap_table(struct umbra_vm *vm, u64 *table, int level, gfn_t base, gfn_t start,
		      gfn_t end)
{
	gfn_t step = UMBRA_LEVEL_PAGES(level);
	gfn_t gfn = max(ALIGN_DOWN(start, step), base);
	gfn_t stop = min(end, base + step * UMBRA_TABLE_ENTRIES);
	bool flush = false;

	for (; gfn < stop; gfn += step) {
		u64 *entry = &table[umbra_table_index(gfn, level)];
		u64 now = READ_ONCE(*entry);

		if (!is_present(now))
			continue;
		if (is_table(now, level) && (gfn < start || gfn + step > end)) {
			flush |= zap_table(vm, table_of(now), level - 1, gfn, start, end);
			/* Slots that come and go all over must not leave tables behind. */
			if (!is_empty(table_of(now)))
				continue;
		}
		/* Atomic: the CPU and those who hold no lock may change it under us. */
		now = xchg(entry, 0);
		umbra_trace(umbra_zap_spte, gfn, level, now);
		if (is_table(now, level))
			bury_table(vm, table_of(now), level - 1);
		flush = true;
	}
	return flush;
}

static bool ept_zap(struct umbra_vm *vm, gfn_t start, gfn_t end)
{
	lockdep_assert_held_write(&vm->mmu_lock);
	return zap_table(vm, vm->mmu.root, vm->mmu.root_level, 0, start, end);
}

static bool age_leaf(struct leaf_walk *walk, u64 *entry, int level, gfn_t gfn)
{
	if (!(READ_ONCE(*entry) & format->accessed))
		return false;
	if (walk->clear)
		clear_bit(__ffs64(format->accessed), (unsigned long *)entry);
	return true;
}

static bool ept_age(struct umbra_vm *vm, gfn_t start, gfn_t end, bool clear)
{
	struct leaf_walk walk = { .start = start, .end = end, .leaf = age_leaf, .clear = clear };

	return walk_leaves(vm, &walk);
}

/*
 * Make a page's next write fault, or be told by the CPU, which does that when it sets the
 * dirty bit; a large page would hide which page it was, so it goes.
 */
static bool protect_leaf(struct leaf_walk *walk, u64 *entry, int level, gfn_t gfn)
{
	if (level > 1) {
		u64 old = xchg(entry, 0);

		umbra_trace(umbra_zap_spte, gfn, level, old);
		return true;
	}
	if (!(walk->mask & BIT_ULL((gfn - walk->start) & 63)))
		return false;
	return test_and_clear_bit(__ffs64(walk->taken), (unsigned long *)entry);
}

static bool ept_write_protect(struct umbra_vm *vm, gfn_t gfn, u64 mask)
{
	struct leaf_walk walk = {
		.start = gfn, .end = gfn + 64, .leaf = protect_leaf, .mask = mask,
		.taken = log_bit(vm),
	};

	return walk_leaves(vm, &walk);
}

static bool ept_start_log(struct umbra_vm *vm, gfn_t start, gfn_t end)
{
	struct leaf_walk walk = {
		.start = start, .end = end, .leaf = protect_leaf, .mask = ~0ULL,
		.taken = log_bit(vm),
	};

	return walk_leaves(vm, &walk);
}

/* ------------------------------ faults ------------------------------ */

/* The page that a fault wants, and how. */
struct map_request {
	gfn_t gfn;
	int level;
	bool write, fetch;
	const struct umbra_slot *slot;
	struct umbra_pfn pfn;
};

/* May the access that faulted go on with this leaf? */
static bool suffices(u64 entry, const struct map_request *req)
{
	return is_present(entry) && (!req->write || entry & format->write) &&
	       (!req->fetch || !format->execute || entry & format->execute);
}

static int choose_level(struct umbra_vm *vm, const struct map_request *req)
{
	if (req->fetch && umbra_mmu_large_code_hurts())
		return 1;
	return umbra_mmu_page_level(vm, req->slot, req->gfn, umbra_caps.gbpages ? 3 : 2);
}

/*
 * A table where there is none, or where a leaf is too large. Returns what stands
 * in the entry afterwards: another CPU may have been faster.
 */
static u64 link_table(struct umbra_vcpu *vcpu, u64 *entry, u64 old, int level)
{
	void *page = umbra_mmu_take_page(&vcpu->mmu);
	u64 new = __sme_set(__pa(page)) | format->table;

	while (!is_table(old, level)) {
		if (!try_cmpxchg64(entry, &old, new))
			continue;
		atomic_long_inc(&vcpu->vm->mmu.pages);
		if (is_present(old))
			umbra_mmu_flush_remote(vcpu->vm);
		return new;
	}
	umbra_mmu_untake_page(&vcpu->mmu, page);
	return old;
}

static u64 make_leaf(const struct umbra_vm *vm, const struct map_request *req, int level)
{
	bool logged = umbra_slot_logged(req->slot), cpu_logs = umbra_mmu_cpu_logs(vm);
	u64 pfn = req->pfn.pfn & ~(UMBRA_LEVEL_PAGES(level) - 1);
	u64 leaf = pfn << PAGE_SHIFT | format->read | format->accessed;

	/* Only memory that the host encrypts is encrypted: not that of devices. */
	if (req->pfn.page)
		leaf = __sme_set(leaf | format->memory);
	if (level > 1)
		leaf |= format->large;
	if (level == 1 || !umbra_mmu_large_code_hurts())
		leaf |= format->execute;
	if (!req->pfn.writable)
		return leaf;
	leaf |= HOST_WRITABLE;
	/* With a log, a page becomes writable with its first write, unless the CPU tells of that. */
	if (req->write || !logged || cpu_logs)
		leaf |= format->write;
	/* It would tell of other pages too. */
	if (req->write || (!logged && cpu_logs))
		leaf |= format->dirty;
	return leaf;
}

/* Did the change of a present leaf take something away that CPUs may have cached? */
static bool lost_something(u64 old, u64 new)
{
	u64 rights = format->write | format->dirty;

	return is_present(old) && (address_of(old) != address_of(new) || (old & rights & ~new));
}

/* Map the page; mmu_lock is held for reading and the request is not stale. */
static void map_page(struct umbra_vcpu *vcpu, const struct map_request *req)
{
	struct umbra_vm *vm = vcpu->vm;
	u64 *table = vm->mmu.root;
	int level = vm->mmu.root_level;
	u64 *entry, now, new;

	for (;;) {
		entry = &table[umbra_table_index(req->gfn, level)];
		now = READ_ONCE(*entry);
		if (!is_table(now, level)) {
			if (suffices(now, req))
				return;		/* another vCPU has mapped it */
			if (level <= req->level) {
				new = make_leaf(vm, req, level);
				if (!try_cmpxchg64(entry, &now, new))
					continue;
				trace_set(req->gfn, level, entry, new);
				if (lost_something(now, new))
					umbra_mmu_flush_remote(vm);
				return;
			}
			now = link_table(vcpu, entry, now, level);
		}
		table = table_of(now);
		level--;
	}
}

/* It is in no slot and no log, and no instruction comes from there. */
static void map_apic_page(struct umbra_vcpu *vcpu)
{
	struct umbra_vm *vm = vcpu->vm;
	u64 leaf = __pa(vm->mmu.apic_page) | format->read | format->write | format->accessed |
		   format->dirty | format->memory;
	u64 *entry, *table = vm->mmu.root, now;
	int level;

	for (level = vm->mmu.root_level; level > 1; level--) {
		entry = &table[umbra_table_index(UMBRA_APIC_GFN, level)];
		table = table_of(link_table(vcpu, entry, READ_ONCE(*entry), level));
	}
	entry = &table[umbra_table_index(UMBRA_APIC_GFN, 1)];
	now = 0;
	if (try_cmpxchg64(entry, &now, leaf))
		trace_set(UMBRA_APIC_GFN, 1, entry, leaf);
}

void umbra_mmu_map_apic_page(struct umbra_vcpu *vcpu)
{
	struct umbra_vm *vm = vcpu->vm;
	int idx;

	/* It can do without. */
	if (umbra_mmu_topup(vcpu, UMBRA_MAX_LEVELS - 1))
		return;
	idx = srcu_read_lock(&vm->srcu);
	read_lock(&vm->mmu_lock);
	if (!vm->mmu.apic_page_left && !umbra_gfn_to_slot(vm, UMBRA_APIC_GFN))
		map_apic_page(vcpu);
	read_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
}

/*
 * The page is there and only lacks the right to be written: give it. The slot is
 * looked up after the entry was read: an entry that a log took the right from
 * was changed after the slot with the log was published.
 */
static bool gain_write(struct umbra_vm *vm, gfn_t gfn)
{
	const struct umbra_slot *slot;
	bool done = false;
	u64 *entry, now;
	int level;

	rcu_read_lock();
	entry = find_entry(vm, gfn, &level);
	now = READ_ONCE(*entry);
	if (!is_present(now) || !is_leaf(now, level))
		goto out;
	if (now & format->write) {
		done = true;	/* another vCPU was faster */
		goto out;
	}
	smp_rmb();	/* the entry before the slot; pairs with publish() under mmu_lock */
	slot = umbra_gfn_to_slot(vm, gfn);
	if (!(now & HOST_WRITABLE) || level > 1 || !slot)
		goto out;
	if (try_cmpxchg64(entry, &now, now | format->write | format->dirty)) {
		trace_set(gfn, level, entry, now | format->write | format->dirty);
		/* In this order: a log taken in between would lose the page otherwise. */
		umbra_mark_dirty(vm, slot, gfn);
		done = true;
	}
out:
	rcu_read_unlock();
	return done;
}

static int map_fault(struct umbra_vcpu *vcpu, struct map_request *req, unsigned long seq)
{
	struct umbra_vm *vm = vcpu->vm;
	int r;

	r = umbra_mmu_topup(vcpu, UMBRA_MAX_LEVELS - 1);
	if (r)
		return r;
	r = umbra_mmu_fault_pfn(vcpu, req->slot, req->gfn, req->write, &req->pfn);
	if (r)
		return umbra_mmu_page_error(req->slot, req->gfn, r);

	read_lock(&vm->mmu_lock);
	if (!umbra_mmu_stale(vm, seq, umbra_slot_hva(req->slot, req->gfn))) {
		req->level = choose_level(vm, req);
		map_page(vcpu, req);
		umbra_pfn_mapped(&req->pfn);
		if (req->write)
			umbra_mark_dirty(vm, req->slot, req->gfn);
	}
	read_unlock(&vm->mmu_lock);
	umbra_pfn_put(&req->pfn);
	return UMBRA_FAULT_DONE;
}

static int ept_fault(struct umbra_vcpu *vcpu, gpa_t gpa, u64 error)
{
	struct umbra_vm *vm = vcpu->vm;
	struct map_request req = {
		.gfn = gpa >> PAGE_SHIFT,
		.write = error & PFERR_WRITE,
		.fetch = error & PFERR_FETCH,
	};
	unsigned long seq;

	if (unlikely(error & PFERR_RSVD)) {
		pr_err_ratelimited("reserved bits in the tables for guest address 0x%llx\n", gpa);
		return -EIO;
	}
	if (error & PFERR_PRESENT && req.write && gain_write(vm, req.gfn))
		return UMBRA_FAULT_DONE;
	seq = umbra_mmu_read_seq(vm);
	req.slot = umbra_gfn_to_slot(vm, req.gfn);
	if (!req.slot || (req.write && req.slot->flags & KVM_MEM_READONLY))
		return UMBRA_FAULT_MMIO;
	return map_fault(vcpu, &req, seq);
}

/* ------------------------------ lifetime ------------------------------ */

/* What the guest's CPU can address, and what the levels of the tables reach. */
static gfn_t ept_max_gfn(void)
{
	int bits = min(PAGE_SHIFT + 9 * umbra_caps.paging_levels, (int)boot_cpu_data.x86_phys_bits);

	return 1ULL << (bits - PAGE_SHIFT);
}

static int ept_vm_init(struct umbra_vm *vm)
{
	void *root = umbra_mmu_alloc_root(vm);

	if (!root)
		return -ENOMEM;
	/* The VM may live in another mode. */
	write_lock(&vm->mmu_lock);
	vm->mmu.root_level = umbra_caps.paging_levels;
	vm->mmu.root = root;
	write_unlock(&vm->mmu_lock);
	return 0;
}

static void free_table(struct umbra_vm *vm, u64 *table, int level)
{
	int i;

	for (i = 0; level > 1 && i < UMBRA_TABLE_ENTRIES; i++) {
		if (is_table(table[i], level))
			free_table(vm, table_of(table[i]), level - 1);
	}
	umbra_mmu_free_page(vm, table);
	cond_resched();
}

static void ept_vm_free(struct umbra_vm *vm, void *root, struct umbra_vm_shadow *s)
{
	free_table(vm, root, vm->mmu.root_level);
}

static int ept_load_root(struct umbra_vcpu *vcpu)
{
	vcpu->mmu.root = __pa(vcpu->vm->mmu.root);
	vcpu->mmu.level = vcpu->vm->mmu.root_level;
	return 0;
}

const struct umbra_mmu_ops umbra_mmu_hardware = {
	.name = "hardware",
	.id = UMBRA_MMU_HARDWARE,
	.max_gfn = ept_max_gfn,
	.vm_init = ept_vm_init,
	.vm_free = ept_vm_free,
	.load_root = ept_load_root,
	.fault = ept_fault,
	.zap = ept_zap,
	.age = ept_age,
	.write_protect = ept_write_protect,
	.start_log = ept_start_log,
};
