// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shadow modes: the CPU walks tables of ours from the guest's linear address.
 * What is in them is shadow.c's business; here are memory, locks and roots, and the faults
 * in mmu_shadow_fault.c.
 *
 * Everything of a VM's shadow is changed under mmu_lock held for writing. Who
 * writes to guest memory tells afterwards, by umbra_mmu_written(); a fault first
 * makes the guest's tables unwritable and then looks at them under the lock. So
 * either the fault sees the write, or the writer finds what the fault has made.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/umbra.h>

#include "backend.h"
#include "genl.h"
#include "gwalk.h"
#include "mmu_audit.h"
#include "mmu_quota.h"
#include "mmu_shadow.h"
#include "shadow_audit.h"
#include "shadow_env.h"
#include "umbra.h"

/* Bits of a guest's entry. */
#define PT_ACCESSED	BIT_ULL(5)
#define PT_DIRTY	BIT_ULL(6)

/* Ten pages: code, operands that cross pages, and what delivers an event; 4 tables each. */
#define TABLES_OF_INSN	40

/* Bounds the time to take one of many mappings of a page away. */
#define LONGEST_CHAIN	1024

/* Tables that a VM's end frees before it looks whether others want the CPU. */
#define ZAP_AT_ONCE	64

/* The same, of a VM that goes on: its vCPUs wait meanwhile. */
#define RENEW_AT_ONCE	8UL

static struct umbra_vm *vm_of(struct shadow *m)
{
	return container_of(m, struct umbra_vm_shadow, core)->vm;
}

/* ------------------------------ what the core needs ------------------------------ */

/* What is not there now the next walk brings, which may sleep. */
static int read_gptes(struct shadow *m, u64 gpa, u64 *values, unsigned int n, unsigned int size)
{
	return umbra_guest_peek_entries(vm_of(m), gpa, values, n, size);
}

static void made(struct shadow *m, struct shadow_page *sp)
{
	atomic_long_inc(&vm_of(m)->mmu.pages);
}

static void free_table(struct shadow *m, struct shadow_page *sp)
{
	umbra_spares_keep(vm_of(m), &container_of(m, struct umbra_vm_shadow, core)->spares, sp);
}

static void flush(struct shadow *m)
{
	umbra_mmu_flush_remote(vm_of(m));
	m->flush = m->stale = false;
}

static const struct shadow_ops core_ops = {
	.read_gptes = read_gptes,
	.free = free_table,
	.made = made,
	.flush = flush,
};

/* ------------------------------ the end of each change ------------------------------ */

/* Roots were zapped: their vCPUs find it out before they enter again. True: a flush is due. */
static bool flush_is_due(struct umbra_vm *vm)
{
	struct shadow *m = core_of(vm);
	struct umbra_vcpu *vcpu;
	int i;

	if (m->reload) {
		umbra_for_each_vcpu(vm, i, vcpu)
			umbra_request(vcpu, UMBRA_REQ_LOAD_ROOT);
		m->reload = false;
	}
	return m->flush;
}

void umbra_shadow_settle(struct umbra_vm *vm)
{
	if (flush_is_due(vm))
		flush(core_of(vm));
	umbra_mmu_free_dead_pages(vm);
}

int umbra_shadow_fill_pool(struct umbra_vcpu *vcpu)
{
	return umbra_pool_fill(vcpu->vm, &vcpu->vm->mmu.shadow->spares, &vcpu->mmu.shadow->pool);
}

/* ------------------------------ roots ------------------------------ */

union shadow_role umbra_shadow_mode(struct umbra_vcpu *vcpu)
{
	union shadow_role mode = {
		.access = SHADOW_MAY_ALL,
		.wp = !!(umbra_cr0(vcpu) & X86_CR0_WP),
		.nx = !!(vcpu->regs.efer & EFER_NX),
		.wide = umbra_is_long(vcpu),
	};

	if (!umbra_is_paging(vcpu)) {
		mode.word = 0;
		mode.access = SHADOW_MAY_ALL;
		mode.direct = true;
	} else if (!umbra_is_pae(vcpu)) {
		mode.narrow = true;
		mode.pse = !!(umbra_cr4(vcpu) & X86_CR4_PSE);
	}
	return mode;
}

static struct shadow_page *get_root(struct umbra_vcpu *vcpu, union shadow_role mode, gfn_t gfn)
{
	return shadow_get_root(core_of(vcpu->vm), &vcpu->mmu.shadow->pool, gfn, mode);
}

/* Outside long mode: a table for each GiB. NULL: the guest has none there. */
static struct shadow_page *get_quarter(struct umbra_vcpu *vcpu, union shadow_role mode, int i)
{
	u64 pdpte = vcpu->regs.pdptr[i];

	mode.level = 2;
	if (mode.direct)
		return get_root(vcpu, mode, (gfn_t)i << 18);
	if (mode.narrow) {
		mode.quadrant = i;
		return get_root(vcpu, mode, (u32)umbra_cr3(vcpu) >> PAGE_SHIFT);
	}
	return pdpte & SHADOW_P ? get_root(vcpu, mode, (pdpte & SHADOW_ADDR) >> PAGE_SHIFT) : NULL;
}

static void take_roots(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_shadow *sv = vcpu->mmu.shadow;
	union shadow_role mode = umbra_shadow_mode(vcpu);
	int i;

	if (mode.wide) {
		mode.level = umbra_cr4(vcpu) & X86_CR4_LA57 ? 5 : 4;
		sv->root[0] = get_root(vcpu, mode, (umbra_cr3(vcpu) & SHADOW_ADDR) >> PAGE_SHIFT);
		sv->roots = 1;
		vcpu->mmu.root = __pa(sv->root[0]->spt);
		vcpu->mmu.level = mode.level;
		return;
	}
	for (i = 0; i < 4; i++) {
		sv->root[i] = get_quarter(vcpu, mode, i);
		WRITE_ONCE(sv->pae[i], sv->root[i] ?
			   shadow_entry_of(sv->root[i]->spt) | SHADOW_P : 0);
	}
	sv->roots = 4;
	vcpu->mmu.root = __pa(sv->pae);
	vcpu->mmu.level = 3;
}

static void put_roots(struct umbra_vm *vm, struct shadow_page **root, unsigned int roots)
{
	unsigned int i;

	for (i = 0; i < roots; i++) {
		if (root[i])
			shadow_put_root(core_of(vm), root[i]);
	}
}

/* Whatever made the guest load a root has flushed what it had of it. */
static void sync_roots(struct umbra_vm *vm, const struct umbra_vcpu_shadow *sv)
{
	unsigned int i;

	for (i = 0; i < sv->roots; i++) {
		if (sv->root[i])
			shadow_sync(core_of(vm), sv->root[i]);
	}
}

/* Tables that one instruction of each vCPU can need, as they must not go before it is done. */
static unsigned long reserve(struct umbra_vm *vm)
{
	return READ_ONCE(vm->online_vcpus) * (unsigned long)TABLES_OF_INSN;
}

void umbra_shadow_set_limits(struct umbra_vm *vm)
{
	const struct umbra_slots *slots = umbra_slots(vm);
	struct umbra_vm_shadow *s = vm->mmu.shadow;
	int vcpus = READ_ONCE(vm->online_vcpus);

	if (slots == s->slots && vcpus == s->vcpus)
		return;
	s->slots = slots;
	s->vcpus = vcpus;
	s->core.quota = umbra_shadow_quota(vm) + reserve(vm);
}

bool umbra_shadow_make_room(struct umbra_vm *vm)
{
	unsigned int gone = shadow_make_room(core_of(vm));

	if (likely(!gone))
		return false;
	WRITE_ONCE(vm->mmu.recycled, vm->mmu.recycled + gone);
	return true;
}

static int shadow_load_root(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_shadow *sv = vcpu->mmu.shadow;
	struct umbra_vm *vm = vcpu->vm;
	struct shadow_page *old[4];
	unsigned int roots;
	bool tight;
	int idx, r;

	r = umbra_shadow_fill_pool(vcpu);
	if (r)
		return r;
	umbra_reg_get(vcpu, UMBRA_REG_PDPTR);
	/* The guest's tables may be read, by slots. */
	idx = srcu_read_lock(&vm->srcu);
	write_lock(&vm->mmu_lock);
	tight = umbra_shadow_make_room(vm);
	if (sv->resync)
		shadow_distrust(core_of(vm));
	sv->resync = false;
	memcpy(old, sv->root, sizeof(old));
	roots = sv->roots;
	take_roots(vcpu);
	sync_roots(vm, sv);
	put_roots(vm, old, roots);
	umbra_shadow_settle(vm);
	write_unlock(&vm->mmu_lock);
	if (unlikely(tight))
		umbra_event_quota(vm);
	srcu_read_unlock(&vm->srcu, idx);
	return 0;
}

/* ------------------------------ the CPU's registers ------------------------------ */

/* Our tables are walked always, and what they say of writes binds the supervisor too. */
u64 umbra_mmu_cr0(struct umbra_vcpu *vcpu, u64 cr0)
{
	return vcpu->mmu.shadow ? cr0 | X86_CR0_PG | X86_CR0_WP : cr0;
}

/*
 * They are in the PAE format where they are not in that of long mode. Their pages are all
 * the user's where the guest does not page. Each load of CR3 flushes, which PCIDs allow,
 * and none is in the shadow's CR3.
 */
u64 umbra_mmu_cr4(struct umbra_vcpu *vcpu, u64 cr4)
{
	if (!vcpu->mmu.shadow)
		return cr4;
	cr4 = (cr4 | X86_CR4_PAE) & ~(u64)X86_CR4_PCIDE;
	if (!umbra_is_paging(vcpu))
		cr4 &= ~(u64)(X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_LA57);
	return cr4;
}

/* LMA follows PG, which is set: in long mode only when the guest has that itself. */
u64 umbra_mmu_efer(struct umbra_vcpu *vcpu, u64 efer)
{
	if (!vcpu->mmu.shadow)
		return efer;
	if (!(efer & EFER_LMA))
		efer &= ~(u64)EFER_LME;
	/* Without it a fault does not say whether it was a fetch. */
	return efer | EFER_NX;
}

/* ------------------------------ the guest's walk ------------------------------ */

static gfn_t shadow_frame_of(struct umbra_vcpu *vcpu, gva_t gva)
{
	struct umbra_vm *vm = vcpu->vm;
	gfn_t gfn = SHADOW_NO_FRAME;
	struct shadow_page *root;

	if (vcpu->mmu.root == INVALID_PAGE)
		return gfn;
	read_lock(&vm->mmu_lock);
	root = root_of(vcpu, gva);
	if (root)
		gfn = shadow_frame_at(root, gva);
	read_unlock(&vm->mmu_lock);
	return gfn;
}

/* Has the walk found the bits that the access would set? What leads to where it began has them. */
static bool has_bits(const struct umbra_gwalk *walk, u32 access)
{
	u64 needed = access & UMBRA_GWALK_WRITE ? PT_ACCESSED | PT_DIRTY : PT_ACCESSED;
	unsigned int level;

	for (level = walk->level; level <= walk->top_level; level++) {
		if (needed & ~walk->gpte[level - 1])
			return false;
		needed = PT_ACCESSED;
	}
	return true;
}

static int shadow_short_walk(struct umbra_vcpu *vcpu, const struct umbra_gwalk_ctx *ctx, gva_t gva,
			     u32 access, struct umbra_gwalk *walk)
{
	struct umbra_vm *vm = vcpu->vm;
	struct umbra_gwalk_start start;
	int r = UMBRA_GWALK_RACE;

	/* There is no root yet for what the registers say now. */
	if (vcpu->mmu.root == INVALID_PAGE)
		return r;
	read_lock(&vm->mmu_lock);
	if (shadow_walk_start(core_of(vm), root_of(vcpu, gva), gva, &start))
		r = umbra_gwalk_from(ctx, gva, access | UMBRA_GWALK_NO_AD, &start, walk);
	read_unlock(&vm->mmu_lock);
	if (r == UMBRA_GWALK_NO_TABLE || (r == UMBRA_GWALK_OK && !(access & UMBRA_GWALK_NO_AD) &&
					  !has_bits(walk, access)))
		return UMBRA_GWALK_RACE;
	return r;
}

/* ------------------------------ what others tell ------------------------------ */

static void shadow_was_written(struct umbra_vm *vm, gpa_t gpa, unsigned int len)
{
	write_lock(&vm->mmu_lock);
	if (vm->mmu.shadow) {
		shadow_written(core_of(vm), gpa_to_gfn(gpa), offset_in_page(gpa), len);
		umbra_shadow_settle(vm);
	}
	write_unlock(&vm->mmu_lock);
}

static void shadow_gva_flushed(struct umbra_vcpu *vcpu, gva_t gva)
{
	struct umbra_vm *vm = vcpu->vm;
	struct shadow_page *root;
	bool wide = false;

	write_lock(&vm->mmu_lock);
	root = root_of(vcpu, gva);
	if (root && !root->dead)
		wide = shadow_flush_gva(core_of(vm), root, gva, &vcpu->mmu.shadow->split_gone);
	umbra_shadow_settle(vm);
	write_unlock(&vm->mmu_lock);
	if (wide)
		umbra_backend->flush_all(vcpu);
}

static void shadow_tables_set(struct umbra_vcpu *vcpu)
{
	vcpu->mmu.shadow->resync = true;
}

/* For changes whose caller flushes with the lock still held. */
static bool pass_on_flush(struct umbra_vm *vm)
{
	bool due = flush_is_due(vm);

	if (due)
		core_of(vm)->flush = core_of(vm)->stale = false;
	return due;
}

static bool shadow_ops_zap(struct umbra_vm *vm, gfn_t start, gfn_t end)
{
	shadow_zap(core_of(vm), start, end);
	return pass_on_flush(vm);
}

static bool shadow_ops_age(struct umbra_vm *vm, gfn_t start, gfn_t end, bool clear)
{
	return shadow_age(core_of(vm), start, end, clear);
}

/*
 * The caller may flush when it has dropped the lock; until then the core must not take
 * the pages for protected, so that it still wants a flush of its own.
 */
static bool shadow_write_protect(struct umbra_vm *vm, gfn_t gfn, u64 mask)
{
	for (; mask; mask &= mask - 1)
		shadow_protect(core_of(vm), gfn + __ffs64(mask), gfn + __ffs64(mask) + 1);
	return flush_is_due(vm);
}

static bool shadow_start_log(struct umbra_vm *vm, gfn_t start, gfn_t end)
{
	shadow_protect(core_of(vm), start, end);
	return pass_on_flush(vm);
}

/* ------------------------------ lifetime ------------------------------ */

static gfn_t shadow_max_gfn(void)
{
	return umbra_mmu_hardware.max_gfn();
}

static void free_shadow(struct umbra_vm_shadow *s)
{
	umbra_spares_free(&s->spares);
	kvfree(s->core.hash);
	kvfree(s->core.rmap);
	kvfree(s->core.tracked);
	kfree(s);
}

static int shadow_vm_init(struct umbra_vm *vm, bool lazy)
{
	struct umbra_vm_shadow *s;

	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	s->vm = vm;
	s->core.ops = &core_ops;
	s->core.lazy = lazy;
	s->core.quota = UMBRA_QUOTA_LEAST;
	s->core.longest = LONGEST_CHAIN;
	s->core.hash = kvcalloc(1 << SHADOW_HASH_BITS, sizeof(*s->core.hash), GFP_KERNEL_ACCOUNT);
	s->core.rmap = kvcalloc(1 << SHADOW_RMAP_BITS, sizeof(*s->core.rmap), GFP_KERNEL_ACCOUNT);
	s->core.tracked = kvcalloc(1 << SHADOW_TRACKED_BITS, sizeof(*s->core.tracked),
				   GFP_KERNEL_ACCOUNT);
	if (!s->core.hash || !s->core.rmap || !s->core.tracked) {
		free_shadow(s);
		return -ENOMEM;
	}
	write_lock(&vm->mmu_lock);
	WRITE_ONCE(vm->mmu.shadow, s);
	write_unlock(&vm->mmu_lock);
	return 0;
}

static int eager_vm_init(struct umbra_vm *vm)
{
	return shadow_vm_init(vm, false);
}

static int lazy_vm_init(struct umbra_vm *vm)
{
	return shadow_vm_init(vm, true);
}

static void shadow_vm_free(struct umbra_vm *vm, void *root, struct umbra_vm_shadow *s)
{
	while (s->core.nr) {
		write_lock(&vm->mmu_lock);
		shadow_zap_oldest(&s->core, ZAP_AT_ONCE);
		umbra_mmu_free_dead_pages(vm);
		write_unlock(&vm->mmu_lock);
		cond_resched();
	}
	free_shadow(s);
}

void umbra_shadow_set_lazy(struct umbra_vm *vm, bool lazy)
{
	struct shadow *m = core_of(vm);
	unsigned long left, n;

	write_lock(&vm->mmu_lock);
	m->lazy = lazy;
	left = lazy ? 0 : m->nr;
	write_unlock(&vm->mmu_lock);
	/*
	 * The guest may write some of these unseen, never roots: only those become newer. Each
	 * comes back when it is wanted.
	 */
	for (; left; left -= n) {
		write_lock(&vm->mmu_lock);
		left = min(left, m->nr);
		n = min(left, RENEW_AT_ONCE);
		shadow_zap_oldest(m, n);
		umbra_shadow_settle(vm);
		write_unlock(&vm->mmu_lock);
		cond_resched();
	}
}

unsigned int umbra_shadow_shrink(struct umbra_vm *vm, unsigned int count)
{
	unsigned int n;

	lockdep_assert_held_write(&vm->mmu_lock);
	if (!vm->mmu.shadow)
		return 0;
	n = shadow_zap_unused(core_of(vm), count);
	umbra_shadow_settle(vm);
	/* Who calls wants the memory. */
	umbra_spares_free(&vm->mmu.shadow->spares);
	return n;
}

static u64 pages_of(unsigned long parts)
{
	return DIV_ROUND_UP(parts * SHADOW_PART_SIZE, PAGE_SIZE);
}

u64 umbra_shadow_spare_pages(struct umbra_vm *vm)
{
	const struct umbra_vm_shadow *s;
	u64 n = 0;

	read_lock(&vm->mmu_lock);
	s = vm->mmu.shadow;
	if (s)
		n = s->spares.spts + pages_of(s->spares.parts);
	read_unlock(&vm->mmu_lock);
	return n;
}

u64 umbra_shadow_part_pages(struct umbra_vm *vm)
{
	u64 n = 0;

	read_lock(&vm->mmu_lock);
	if (vm->mmu.shadow)
		n = pages_of(core_of(vm)->parts);
	read_unlock(&vm->mmu_lock);
	return n;
}

unsigned int umbra_shadow_over_quota(struct umbra_vm *vm, unsigned long quota)
{
	struct umbra_vm_shadow *s = vm->mmu.shadow;
	unsigned long others;

	lockdep_assert_held_write(&vm->mmu_lock);
	if (!s)
		return 0;
	s->core.quota = quota + reserve(vm);
	others = s->core.nr - s->core.used;
	return others > s->core.quota ? others - s->core.quota : 0;
}

bool umbra_shadow_audit(struct umbra_vm *vm, struct shadow_audit *a)
{
	lockdep_assert_held_write(&vm->mmu_lock);
	/*
	 * On the way to the hardware's tables nobody enters the guest by these any more, and who
	 * has got there writes to what they were made of unseen.
	 */
	if (!vm->mmu.shadow || vm->mmu.ops == &umbra_mmu_hardware)
		return false;
	shadow_audit(core_of(vm), a);
	return true;
}

static struct umbra_vcpu_shadow *shadow_vcpu_part(void)
{
	struct umbra_vcpu_shadow *sv = kzalloc(sizeof(*sv), GFP_KERNEL_ACCOUNT);

	if (!sv)
		return NULL;
	/* CR3 has 32 bits there. */
	sv->pae = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_DMA32);
	if (!sv->pae) {
		kfree(sv);
		return NULL;
	}
	return sv;
}

static void shadow_vcpu_destroy(struct umbra_vcpu *vcpu, struct umbra_vcpu_shadow *sv)
{
	struct umbra_vm *vm = vcpu->vm;

	/* The vCPU is in no guest, and flushes before it enters one. */
	write_lock(&vm->mmu_lock);
	put_roots(vm, sv->root, sv->roots);
	write_unlock(&vm->mmu_lock);
	umbra_pool_free(&sv->pool);
	free_page((unsigned long)sv->pae);
	kfree(sv);
}

/* What the two have in common. */
#define SHADOW_MODE					\
	.max_gfn = shadow_max_gfn,			\
	.vm_free = shadow_vm_free,			\
	.vcpu_part = shadow_vcpu_part,			\
	.vcpu_destroy = shadow_vcpu_destroy,		\
	.load_root = shadow_load_root,			\
	.fault = umbra_shadow_fault,			\
	.let_write = umbra_shadow_let_write,		\
	.short_walk = shadow_short_walk,		\
	.frame_of = shadow_frame_of,			\
	.written = shadow_was_written,			\
	.flush_gva = shadow_gva_flushed,		\
	.tables_set = shadow_tables_set,		\
	.zap = shadow_ops_zap,				\
	.age = shadow_ops_age,				\
	.write_protect = shadow_write_protect,		\
	.start_log = shadow_start_log

const struct umbra_mmu_ops umbra_mmu_shadow_lazy = {
	.name = "shadow-lazy",
	.id = UMBRA_MMU_SHADOW_LAZY,
	.vm_init = lazy_vm_init,
	SHADOW_MODE,
};

const struct umbra_mmu_ops umbra_mmu_shadow_eager = {
	.name = "shadow-eager",
	.id = UMBRA_MMU_SHADOW_EAGER,
	.vm_init = eager_vm_init,
	SHADOW_MODE,
};
