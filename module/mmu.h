/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How guest memory is virtualized. What every mode shares lives in mmu.c; a
 * mode is a struct umbra_mmu_ops. No part of it reads a VMCS or VMCB: it hands
 * a root to the backend and asks for flushes.
 */
#ifndef UMBRA_MMU_H
#define UMBRA_MMU_H

#include <linux/atomic.h>
#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "ledger.h"

struct umbra_vm;
struct umbra_vcpu;
struct umbra_slot;
struct umbra_pfn;
struct umbra_gwalk;
struct umbra_gwalk_ctx;

/* Page-fault error code: the architecture's low bits, and what SVM adds. */
#define PFERR_PRESENT	(1ULL << 0)
#define PFERR_WRITE	(1ULL << 1)
#define PFERR_USER	(1ULL << 2)
#define PFERR_RSVD	(1ULL << 3)
#define PFERR_FETCH	(1ULL << 4)
#define PFERR_PK	(1ULL << 5)
/* The emulator's: a supervisor access that no instruction asked for, to a descriptor or TSS. */
#define PFERR_IMPLICIT	(1ULL << 31)
#define PFERR_GUEST_FINAL	(1ULL << 32)
#define PFERR_GUEST_PAGE	(1ULL << 33)

/* What became of a fault; negative: errno for KVM_RUN. */
enum umbra_fault_result {
	UMBRA_FAULT_DONE,	/* mapped, or somebody else did: enter again */
	UMBRA_FAULT_MMIO,	/* no memory there, or a write to read-only memory: emulate */
	UMBRA_FAULT_EMULATE,	/* memory, but the CPU can't be let do that: emulate */
};

/* A vCPU's mmu.root before load_root; UMBRA_REQ_LOAD_ROOT sets it to ask for another. */
#define INVALID_PAGE	(~(hpa_t)0)

struct umbra_vm_shadow;
struct umbra_vcpu_shadow;
struct umbra_mmu_ops;

#define UMBRA_MMU_CACHE	16
#define UMBRA_MAX_LEVELS	5

/* Tables of every mode that walks from the gfn: 512 entries, 9 bits a level. */
#define UMBRA_TABLE_ENTRIES	512
#define UMBRA_LEVEL_PAGES(level)	(1UL << (9 * ((level) - 1)))

static inline unsigned int umbra_table_index(gfn_t gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (UMBRA_TABLE_ENTRIES - 1);
}

/**
 * struct umbra_vcpu_mmu - a vCPU's part
 * @root: hpa of the root it runs on (without the host's memory encryption
 *	bit), INVALID_PAGE before load_root
 * @level: levels of that root
 * @nr_cached: of @cache
 * @cache: zeroed table pages, topped up before mmu_lock is taken
 * @ops: the mode that it runs in: the VM's, but for the time of a switch
 * @shadow: in a shadow mode, mmu_shadow.c; NULL: the hardware translates what
 *	the guest's tables give
 * @next: what it is to have as @shadow in the mode it shall go to; set before @must_move
 * @must_move: it has not gone there yet (M)
 * @moved_at: the host's TSC when it went, until it has a root there; 0: it has (o)
 */
struct umbra_vcpu_mmu {
	const struct umbra_mmu_ops *ops;
	struct umbra_vcpu_shadow *next;
	bool must_move;
	u64 moved_at;
	hpa_t root;
	u8 level;
	u8 nr_cached;
	void *cache[UMBRA_MMU_CACHE];
	struct umbra_vcpu_shadow *shadow;
};

/**
 * struct umbra_vm_mmu - a VM's part
 * @ops: the mode (M)
 * @moving: vCPUs that have not gone there yet: till then there are both @root and @shadow (M)
 * @switches: how often the mode was changed (M)
 * @move_ticks: of the last time, the longest that a vCPU took on its way: ticks of the
 *	host's TSC (M)
 * @reaper: frees what a switch has left
 * @old_root, @old_shadow: which is this (M)
 * @root: hardware mode's root table, shared by all vCPUs (M)
 * @root_level: its levels
 * @shadow: shadow modes' tables, mmu_shadow.c (M)
 * @quota: how many tables a shadow may have; 0: by the size of memory
 * @recycled: how many tables went for want of quota (M)
 * @shrink: among the VMs that mmu_quota.c knows
 * @invalidate_seq: grows at the end of each invalidation of host memory, and
 *	when the slots change (M)
 * @invalidate_active: invalidations in flight (M)
 * @invalidate_start: with @invalidate_end a span of host addresses that holds
 *	all of them (M)
 * @dead: unlinked table pages that a CPU may still walk: to be freed after the
 *	next flush (M)
 * @pages: table pages in use, for accounting (a)
 * @logged: slots that keep a log; written under slots_lock
 * @apic_page: what the hardware's tables may have at UMBRA_APIC_GFN, which no CPU ever
 *	reads or writes; set with vm->lock before there is a vCPU, or NULL
 * @apic_page_left: it is mapped no more, and never will be (M)
 * @ledger: of flushes, in kernels that look for errors
 */
struct umbra_vm_mmu {
	const struct umbra_mmu_ops *ops;
	int moving;
	u64 switches, move_ticks;
	struct work_struct reaper;
	void *old_root;
	struct umbra_vm_shadow *old_shadow;
	void *root;
	u8 root_level;
	struct umbra_vm_shadow *shadow;
	unsigned long quota;
	u64 recycled;
	struct list_head shrink;
	unsigned long invalidate_seq;
	int invalidate_active;
	unsigned long invalidate_start, invalidate_end;
	struct list_head dead;
	atomic_long_t pages;
	unsigned int logged;
	void *apic_page;
	bool apic_page_left;
	struct umbra_ledger ledger;
};

/* Where an xAPIC's registers are after power-up. */
#define UMBRA_APIC_GFN	(0xfee00000ULL >> PAGE_SHIFT)

/**
 * struct umbra_mmu_ops - one mode
 * @name: as --mmu takes it
 * @id: its UMBRA_MMU_* number in the uapi header
 * @max_gfn: gfns from here on can't be mapped
 * @vm_init: make what the VM shares; errno
 * @vm_free: nobody uses what it made; sleeps
 * @vcpu_part: shadow modes: a vCPU's, NULL without memory; sleeps
 * @vcpu_destroy: shadow modes: its counterpart; the vCPU is in no guest
 * @load_root: make sure vcpu->mmu.root is valid; may sleep; errno
 * @fault: a fault with PFERR_* @error at @addr, the guest's physical address, in a
 *	shadow mode the linear one; vcpu in srcu, may sleep; enum umbra_fault_result
 *	or errno. A #PF that is the guest's own is queued, which is UMBRA_FAULT_DONE
 * @let_write: shadow modes: the faulting write can't be emulated: let the CPU do it,
 *	true, if that can be
 * @short_walk: shadow modes: umbra_walk_gva() where nothing sleeps and no bit has to be
 *	set, which begins as low as our tables allow; UMBRA_GWALK_RACE: it must be done at
 *	length
 * @frame_of: shadow modes: the gfn that the CPU finds at @gva, where none is mapped one that
 *	no slot has
 * @written: shadow modes: [@gpa, @gpa + @len), in one page, was written; in srcu
 * @flush_gva: shadow modes: the guest has flushed @gva; in srcu
 * @tables_set: shadow modes: userspace has set registers, and memory before
 * @zap: mmu_lock held for writing: forget [start, end); table pages go to
 *	vm->mmu.dead; true: a flush is needed
 * @age: mmu_lock held for writing: was [start, end) used since asked last
 *	(@clear: and forget that it was)
 * @write_protect: mmu_lock held for writing: of the 64 pages from @gfn those in
 *	@mask; true: flush is needed
 * @start_log: mmu_lock held for writing: from now on each write to a page of
 *	[start, end) must be seen alone: no large pages, none writable; true: a
 *	flush is needed
 */
struct umbra_mmu_ops {
	const char *name;
	u32 id;
	gfn_t (*max_gfn)(void);
	int (*vm_init)(struct umbra_vm *vm);
	void (*vm_free)(struct umbra_vm *vm, void *root, struct umbra_vm_shadow *s);
	int (*load_root)(struct umbra_vcpu *vcpu);
	struct umbra_vcpu_shadow *(*vcpu_part)(void);
	void (*vcpu_destroy)(struct umbra_vcpu *vcpu, struct umbra_vcpu_shadow *sv);
	int (*fault)(struct umbra_vcpu *vcpu, u64 addr, u64 error);
	bool (*let_write)(struct umbra_vcpu *vcpu);
	int (*short_walk)(struct umbra_vcpu *vcpu, const struct umbra_gwalk_ctx *ctx, gva_t gva,
			  u32 access, struct umbra_gwalk *walk);
	gfn_t (*frame_of)(struct umbra_vcpu *vcpu, gva_t gva);
	void (*written)(struct umbra_vm *vm, gpa_t gpa, unsigned int len);
	void (*flush_gva)(struct umbra_vcpu *vcpu, gva_t gva);
	void (*tables_set)(struct umbra_vcpu *vcpu);
	bool (*zap)(struct umbra_vm *vm, gfn_t start, gfn_t end);
	bool (*age)(struct umbra_vm *vm, gfn_t start, gfn_t end, bool clear);
	bool (*write_protect)(struct umbra_vm *vm, gfn_t gfn, u64 mask);
	bool (*start_log)(struct umbra_vm *vm, gfn_t start, gfn_t end);
};

/* mmu_ept.c: at load, once the backend has told what it has. */
void umbra_ept_setup(void);

extern const struct umbra_mmu_ops umbra_mmu_hardware;
extern const struct umbra_mmu_ops umbra_mmu_shadow_lazy;
extern const struct umbra_mmu_ops umbra_mmu_shadow_eager;

/* By name, if this machine can do it: "auto", a mode's name, or its paging's ("npt"). Else NULL. */
const struct umbra_mmu_ops *umbra_mmu_find(const char *name);
bool umbra_mmu_is_hardware(const char *name);
/* What KVM_CREATE_VM takes: parameter mmu's, set at load. */
extern const struct umbra_mmu_ops *umbra_mmu_default;

/* Bits 1 << UMBRA_MMU_* that this machine can do. */
u32 umbra_mmu_modes(void);
/* mmu_mode.c: UMBRA_SET_MMU, vm->lock held. */
int umbra_mmu_set_mode(struct umbra_vm *vm, u32 id);
/* The vCPU's, loaded, outside its guest, for UMBRA_REQ_MMU_MODE. */
void umbra_mmu_move(struct umbra_vcpu *vcpu);
void umbra_mmu_moved(struct umbra_vcpu *vcpu);
void umbra_mmu_mode_init(struct umbra_vm *vm);
void umbra_mmu_mode_destroy(struct umbra_vm *vm);
/* The modes that have tables of @vm, with mmu_lock held: two while it is switched. */
const struct umbra_mmu_ops *umbra_mmu_next_mode(struct umbra_vm *vm,
						const struct umbra_mmu_ops *ops);
#define umbra_each_mode(vm, ops)						\
	for (const struct umbra_mmu_ops *ops = NULL; (ops = umbra_mmu_next_mode(vm, ops));)
/* mmu_shadow.c: may the guest write tables unseen from now on? Sleeps. */
void umbra_shadow_set_lazy(struct umbra_vm *vm, bool lazy);

bool umbra_mmu_write_protect(struct umbra_vm *vm, gfn_t gfn, u64 mask);
bool umbra_mmu_age(struct umbra_vm *vm, gfn_t start, gfn_t end, bool clear);

int umbra_mmu_vm_init(struct umbra_vm *vm);
void umbra_mmu_vm_destroy(struct umbra_vm *vm);
int umbra_mmu_vcpu_init(struct umbra_vcpu *vcpu);
void umbra_mmu_vcpu_destroy(struct umbra_vcpu *vcpu);
/* The loop's, when mmu.root is INVALID_PAGE: one in the backend; 0, errno. */
int umbra_mmu_load_root(struct umbra_vcpu *vcpu);
/* exit.c's: enum umbra_fault_result, or errno. The caller is in vm->srcu. */
int umbra_mmu_fault(struct umbra_vcpu *vcpu, u64 addr, u64 error);
/*
 * The emulator's: the write that faulted is of an instruction that it does not know, or not want.
 * True: enter the guest again, the CPU can do it now.
 */
bool umbra_mmu_let_write(struct umbra_vcpu *vcpu);
/* memslot.c's, in a shadow mode: part of a page was written; in vm->srcu, no lock held. */
void umbra_mmu_written(struct umbra_vm *vm, gpa_t gpa, unsigned int len);
/* The guest's INVLPG: forget its translations of @gva. In vm->srcu. */
void umbra_mmu_flush_gva(struct umbra_vcpu *vcpu, gva_t gva);
/* The guest's INVPCID: forget all its translations, those of this address space at least. */
void umbra_mmu_flush_guest(struct umbra_vcpu *vcpu);
/* regs.c's: userspace has set the control registers, and may have written the tables. */
void umbra_mmu_tables_set(struct umbra_vcpu *vcpu);
/* regs.c's: CR0, CR3, CR4 or EFER changed what translates. */
void umbra_mmu_paging_changed(struct umbra_vcpu *vcpu);
/**
 * umbra_mmu_flush_remote() - no vCPU uses an old translation when this returns
 * @vm: any context with interrupts on; mmu_lock may be held
 *
 * Each vCPU is asked to flush before it enters its guest again, and those that
 * are in their guest are interrupted and waited for.
 */
void umbra_mmu_flush_remote(struct umbra_vm *vm);

/* For the modes: table pages. Top up before mmu_lock is taken, so that taking one can't fail. */
int umbra_mmu_topup(struct umbra_vcpu *vcpu, int count);
static inline void *umbra_mmu_take_page(struct umbra_vcpu_mmu *mmu)
{
	return mmu->cache[--mmu->nr_cached];
}

/* A page that was taken and not used; it is still zero. */
static inline void umbra_mmu_untake_page(struct umbra_vcpu_mmu *mmu, void *page)
{
	mmu->cache[mmu->nr_cached++] = page;
}

void *umbra_mmu_alloc_root(struct umbra_vm *vm);
/* Unlinked under mmu_lock for writing: free it after the flush. */
void umbra_mmu_bury_page(struct umbra_vm *vm, void *page);
/* With mmu_lock still held, after the flush. */
void umbra_mmu_free_dead_pages(struct umbra_vm *vm);
/*
 * umbra_gfn_to_pfn() for a fault of the guest's, which does not wait if the guest has
 * something better to do: -EAGAIN.
 */
int umbra_mmu_fault_pfn(struct umbra_vcpu *vcpu, const struct umbra_slot *slot, gfn_t gfn,
			bool write, struct umbra_pfn *out);
/* What became of a fault whose page that did not find: its @error as a result. */
int umbra_mmu_page_error(const struct umbra_slot *slot, gfn_t gfn, int error);
/* Nobody can see it any more. */
void umbra_mmu_free_page(struct umbra_vm *vm, void *page);

/**
 * umbra_mmu_stale() - may a page found for a fault no longer be mapped?
 * @vm: mmu_lock held, for reading at least
 * @seq: vm->mmu.invalidate_seq as it was before the slot was looked up, read
 *	by umbra_mmu_read_seq()
 * @hva: the page's user address
 *
 * True while an invalidation of that address is in flight, and when one ended or
 * the slots changed since @seq was read. The fault is taken again then.
 */
bool umbra_mmu_stale(struct umbra_vm *vm, unsigned long seq, unsigned long hva);
unsigned long umbra_mmu_read_seq(struct umbra_vm *vm);
/* For a signal or two: the page behind @hva is broken memory. */
void umbra_mmu_send_hwpoison(unsigned long hva);

/*
 * mmu_large.c: a guest that runs code from a large page while it changes the page's size makes
 * some Intel CPUs end in a machine check (CVE-2018-12207): large pages there are for data, and
 * code gets small ones.
 */
bool umbra_mmu_large_code_hurts(void);
/* The largest page around @gfn that the slot may have mapped, as a level up to @most. */
int umbra_mmu_slot_level(const struct umbra_slot *slot, gfn_t gfn, int most);
/* And the host, which has @gfn; mmu_lock held, the fault is not stale. */
int umbra_mmu_page_level(struct umbra_vm *vm, const struct umbra_slot *slot, gfn_t gfn, int most);

/*
 * For memslot.c. Forget a range, flush, and free its tables, in bounded pieces:
 * mmu_lock is taken for each, and others run in between if it @may_sleep.
 */
void umbra_mmu_zap(struct umbra_vm *vm, gfn_t start, gfn_t end, bool may_sleep);

/*
 * The APIC-access page, which a CPU knows by its address: a guest that is led there
 * reaches its LAPIC's registers instead. All vCPUs of the VM are led by the same tables,
 * so it is mapped only while each of them has an xAPIC at its default address and runs
 * with the CPU's help (UMBRA_APIC_PAGE), and no slot is there. What ends that ends it for
 * good: it is unmapped, and only then may a vCPU enter its guest without.
 */
/* There may be vCPUs that want it; vm->lock held; -ENOMEM */
int umbra_mmu_make_apic_page(struct umbra_vm *vm);
/* It may be mapped, and always might until now. */
bool umbra_mmu_has_apic_page(const struct umbra_vm *vm);
/* The owner is about to enter with UMBRA_APIC_PAGE in the hardware mode. It sleeps. */
void umbra_mmu_map_apic_page(struct umbra_vcpu *vcpu);
/* One has, or will have, its APIC otherwise, or a slot is there. Any context that may lock. */
void umbra_mmu_leave_apic_page(struct umbra_vm *vm);
/* A slot begins to keep a log; takes mmu_lock, sleeps. */
void umbra_mmu_start_log(struct umbra_vm *vm, gfn_t start, gfn_t end);
/*
 * Does the CPU itself tell of writes under a log (umbra_caps.write_log)? Not to a ring, which
 * could run over: what one exit tells has no room in its reserve.
 */
bool umbra_mmu_cpu_logs(const struct umbra_vm *vm);
/* What the CPU has told: page addresses. By the vCPU's thread, interrupts off. */
void umbra_log_writes(struct umbra_vm *vm, const u64 *gpas, unsigned int nr);
/* Return when all vCPUs have told of their guests' writes up to now. May sleep. */
void umbra_mmu_sync_log(struct umbra_vm *vm);

/*
 * What the CPU's registers must be for the mode's tables, where the guest's are @cr0, @cr4,
 * @efer, and regs.cr0 is its CR0: the same, but in a shadow mode.
 */
u64 umbra_mmu_cr0(struct umbra_vcpu *vcpu, u64 cr0);
u64 umbra_mmu_cr4(struct umbra_vcpu *vcpu, u64 cr4);
u64 umbra_mmu_efer(struct umbra_vcpu *vcpu, u64 efer);

/*
 * gva to gpa by the guest's own tables, with the rights of @access (PFERR_WRITE,
 * _USER, _FETCH) at the current CR0, CR4, EFER, RFLAGS.AC: 0 with *@gpa; 1 with
 * the #PF's error code in *@error; -EFAULT: tables in a hole; -EINVAL: @gva is
 * not canonical; -EAGAIN: other vCPUs keep changing the tables, enter again.
 */
int umbra_gva_to_gpa(struct umbra_vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa, u32 *error);
/* The whole walk: @access is UMBRA_GWALK_*, returns enum umbra_gwalk_result. */
int umbra_walk_gva(struct umbra_vcpu *vcpu, gva_t gva, u32 access, struct umbra_gwalk *walk);

#endif
