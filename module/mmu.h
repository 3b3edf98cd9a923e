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

struct umbra_vm;
struct umbra_vcpu;
struct umbra_slot;

/* Page-fault error code: the architecture's low bits, and what SVM adds. */
#define PFERR_PRESENT	(1ULL << 0)
#define PFERR_WRITE	(1ULL << 1)
#define PFERR_USER	(1ULL << 2)
#define PFERR_RSVD	(1ULL << 3)
#define PFERR_FETCH	(1ULL << 4)
#define PFERR_PK	(1ULL << 5)
#define PFERR_GUEST_FINAL	(1ULL << 32)
#define PFERR_GUEST_PAGE	(1ULL << 33)

/* What became of a fault; negative: errno for KVM_RUN. */
enum umbra_fault_result {
	UMBRA_FAULT_DONE,	/* mapped, or somebody else did: enter again */
	UMBRA_FAULT_MMIO,	/* no memory there, or a write to read-only memory: emulate */
};

#define UMBRA_MMU_CACHE	16

#define INVALID_PAGE	(~(hpa_t)0)

/**
 * struct umbra_vcpu_mmu - a vCPU's part
 * @root: hpa of the root it runs on, INVALID_PAGE before load_root
 * @level: levels of that root
 * @cache: zeroed table pages, topped up before mmu_lock is taken
 */
struct umbra_vcpu_mmu {
	hpa_t root;
	u8 level;
	u8 nr_cached;
	void *cache[UMBRA_MMU_CACHE];
};

/**
 * struct umbra_vm_mmu - a VM's part
 * @ops: the mode (c, until switching exists)
 * @root: hardware mode's root table, shared by all vCPUs (M)
 * @invalidate_seq: grows at the end of each invalidation (M)
 * @invalidate_active: invalidations in flight (M)
 * @pages: table pages in use, for accounting (a)
 */
struct umbra_vm_mmu {
	const struct umbra_mmu_ops *ops;
	void *root;
	u8 root_level;
	unsigned long invalidate_seq;
	int invalidate_active;
	gfn_t invalidate_start, invalidate_end;
	atomic_long_t pages;
};

/**
 * struct umbra_mmu_ops - one mode
 * @name: as --mmu takes it
 * @id: its UMBRA_MMU_* number in the uapi header
 * @vm_init: make what the VM shares; errno
 * @load_root: make sure vcpu->mmu.root is valid; may sleep; errno
 * @fault: a fault at @gpa with PFERR_* @error; vcpu in srcu, may sleep;
 *	enum umbra_fault_result or errno
 * @zap: mmu_lock held for writing: forget [start, end); true: flush is needed
 * @age: mmu_lock held for writing: was [start, end) used since asked last
 *	(@clear: and forget that it was)
 * @write_protect: mmu_lock held for writing: @mask of 64 pages from @gfn;
 *	true: flush is needed
 */
struct umbra_mmu_ops {
	const char *name;
	u32 id;
	int (*vm_init)(struct umbra_vm *vm);
	void (*vm_destroy)(struct umbra_vm *vm);
	int (*load_root)(struct umbra_vcpu *vcpu);
	int (*fault)(struct umbra_vcpu *vcpu, gpa_t gpa, u64 error);
	bool (*zap)(struct umbra_vm *vm, gfn_t start, gfn_t end);
	bool (*age)(struct umbra_vm *vm, gfn_t start, gfn_t end, bool clear);
	bool (*write_protect)(struct umbra_vm *vm, const struct umbra_slot *slot, gfn_t gfn, u64 mask);
};

extern const struct umbra_mmu_ops umbra_mmu_hardware;

/* What KVM_CREATE_VM takes: parameter mmu's, set at load. */
extern const struct umbra_mmu_ops *umbra_mmu_default;

/* By name, of those this machine can do; "auto" and the paging's own name too. NULL: -EINVAL */
const struct umbra_mmu_ops *umbra_mmu_find(const char *name);

/* Bits 1 << UMBRA_MMU_* that this machine can do. */
u32 umbra_mmu_modes(void);
/* UMBRA_SET_MMU before the first vCPU, vm->lock held: 0, -EINVAL, -EOPNOTSUPP. */
int umbra_mmu_set_mode(struct umbra_vm *vm, u32 id);

int umbra_mmu_vm_init(struct umbra_vm *vm);
void umbra_mmu_vm_destroy(struct umbra_vm *vm);
int umbra_mmu_vcpu_init(struct umbra_vcpu *vcpu);
void umbra_mmu_vcpu_destroy(struct umbra_vcpu *vcpu);
/* The loop's: a valid root in the backend; 0, errno. */
int umbra_mmu_load_root(struct umbra_vcpu *vcpu);
/* exit.c's. */
int umbra_mmu_fault(struct umbra_vcpu *vcpu, gpa_t gpa, u64 error);
/* regs.c's: CR0, CR3, CR4 or EFER changed what translates. */
void umbra_mmu_paging_changed(struct umbra_vcpu *vcpu);
/* Ask every vCPU of the VM to flush, and wait until none runs on old translations. */
void umbra_mmu_flush_remote(struct umbra_vm *vm);

/*
 * gva to gpa by the guest's own tables, with the rights of @access (PFERR_WRITE,
 * _USER, _FETCH) at the current CR0, CR4, EFER, RFLAGS.AC: 0 with *@gpa, or 1
 * with the #PF's error code in *@error, or -EFAULT: tables in a hole.
 */
int umbra_gva_to_gpa(struct umbra_vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa, u32 *error);

#endif
