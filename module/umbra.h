/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The private core types: a VM, a vCPU, and what passes between them.
 *
 * Each field carries a tag that says when it is set and what guards it:
 *   (c)  set at creation, constant afterwards
 *   (o)  touched only by the vCPU's owner: the thread that holds vcpu->mutex
 *   (m)  guarded by vm->lock
 *   (s)  written under vm->slots_lock, read under vm->srcu
 *   (i)  written under vm->irq_lock, read under RCU
 *   (M)  guarded by vm->mmu_lock
 *   (a)  atomic, or a bit protocol described at the field
 */
#ifndef UMBRA_UMBRA_H
#define UMBRA_UMBRA_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/rwlock.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "apf.h"
#include "cpuid.h"
#include "dirty.h"
#include "event.h"
#include "exit.h"
#include "fpu.h"
#include "memo.h"
#include "memslot.h"
#include "mmu.h"
#include "msr.h"
#include "pv.h"
#include "regs.h"
#include "registry.h"
#include "time.h"

/* Limits that KVM_CHECK_EXTENSION reports. */
#define UMBRA_MAX_VCPUS		288
#define UMBRA_MAX_VCPU_ID	1024

struct umbra_lapic;
struct umbra_stats;
struct umbra_entry_failure;
struct umbra_vcpu_emul;
struct umbra_irqchip;
struct umbra_pit;
struct umbra_io_bus;
struct umbra_ioevents;
struct umbra_msr_filter;
struct umbra_zones;

/**
 * enum umbra_request - what somebody wants a vCPU to do before it next enters
 * its guest; a bit in &umbra_vcpu.requests, see Documentation/requests.rst
 * @UMBRA_REQ_FLUSH_TLB: drop all translations of this guest
 * @UMBRA_REQ_LOAD_ROOT: the root may have been zapped: load it anew
 * @UMBRA_REQ_MMU_MODE: the VM's memory is virtualized in another way: go there
 * @UMBRA_REQ_EVENT: look again whether an event can be injected
 * @UMBRA_REQ_UNBLOCK: leave a HLT; a wake-up that carries no interrupt
 * @UMBRA_REQ_STOP: the VM is dead: KVM_RUN returns -EIO
 * @UMBRA_REQ_CLOCK: write the guest's clock page again
 * @UMBRA_REQ_APIC_TIMER: the LAPIC timer has expired: raise its interrupt
 * @UMBRA_REQ_MOVE_TIMER: the LAPIC timer may stand on another CPU
 * @UMBRA_REQ_TRIPLE_FAULT: report KVM_EXIT_SHUTDOWN
 * @UMBRA_REQ_RING_FULL: the dirty ring is nearly full: report it, if it still is
 * @UMBRA_REQ_IOAPIC_EOI: report KVM_EXIT_IOAPIC_EOI for ended_vector
 * @UMBRA_REQ_MSR_FILTER: other MSRs may pass to the CPU than before
 * @UMBRA_REQ_TPR_ACCESS: report KVM_EXIT_TPR_ACCESS
 * @UMBRA_REQ_STEAL: count steal time, and take back that the vCPU has no CPU
 * @UMBRA_REQ_APIC_VIRT: choose anew whether the CPU works on the LAPIC by itself
 * @UMBRA_REQ_APF_READY: pages have come that were fetched for it: see which, and tell the guest
 * @UMBRA_REQ_APF_WAIT: wait for the page that it faulted on, or for an event
 * @UMBRA_REQ_NONE_KICK: nothing to do, but leave the guest once
 */
enum umbra_request {
	UMBRA_REQ_FLUSH_TLB,
	UMBRA_REQ_LOAD_ROOT,
	UMBRA_REQ_MMU_MODE,
	UMBRA_REQ_EVENT,
	UMBRA_REQ_UNBLOCK,
	UMBRA_REQ_STOP,
	UMBRA_REQ_CLOCK,
	UMBRA_REQ_APIC_TIMER,
	UMBRA_REQ_MOVE_TIMER,
	UMBRA_REQ_TRIPLE_FAULT,
	UMBRA_REQ_RING_FULL,
	UMBRA_REQ_IOAPIC_EOI,
	UMBRA_REQ_MSR_FILTER,
	UMBRA_REQ_TPR_ACCESS,
	UMBRA_REQ_STEAL,
	UMBRA_REQ_APIC_VIRT,
	UMBRA_REQ_APF_READY,
	UMBRA_REQ_APF_WAIT,
	UMBRA_REQ_NONE_KICK,
};

/**
 * enum umbra_vcpu_mode - where a vCPU is, for those who kick it
 * @UMBRA_OUTSIDE_GUEST: it looks at its requests before it enters again
 * @UMBRA_IN_GUEST: it must be interrupted to see a request
 * @UMBRA_EXITING: somebody has sent that interrupt already
 *
 * The owner goes OUTSIDE to IN (full barrier, then it looks at requests) and
 * back; a kicker goes IN to EXITING by cmpxchg after it set the request.
 */
enum umbra_vcpu_mode {
	UMBRA_OUTSIDE_GUEST,
	UMBRA_IN_GUEST,
	UMBRA_EXITING,
};

/* What guest memory stands for while the guest runs: the TPR; that an EOI is needed. */
#define UMBRA_SHARES_TPR	BIT(0)
#define UMBRA_SHARES_EOI	BIT(1)

/* Why a guest may not be entered: it is never, the CPU but delivers events; the backend must be asked. */
#define UMBRA_EMULATE_ALL	BIT(0)
#define UMBRA_EMULATE_ASK	BIT(1)

struct umbra_vcpu {
	struct umbra_vm *vm;			/* (c) */
	int id;					/* (c) KVM_CREATE_VCPU's argument */
	int index;				/* (c) 0, 1, 2, ... by creation */
	struct kvm_run *run;			/* (c) page; the user may scribble on it */
	void *pio_data;				/* (c) page 1 of the mapping */
	struct mutex mutex;			/* one ioctl owns the vCPU */
	void *hw;				/* (c) the backend's part */

	unsigned long requests;			/* (a) enum umbra_request */
	int mode;				/* (a) enum umbra_vcpu_mode */
	int cpu;				/* last loaded CPU or -1; preemption off */
	bool prepared;				/* (o) prepare_switch() done since it was loaded */
	u8 emulate;				/* (o) UMBRA_EMULATE_*: may the CPU run the guest? */
	struct rcuwait wait;			/* where a halted vCPU sleeps */
	u32 poll_window;			/* (o) ns that the next halt polls, halt.c */
	bool starved;				/* its thread wants a CPU and has none; a hint */
	struct preempt_notifier preempt;	/* (o) */
	struct pid __rcu *pid;			/* (o) last thread that ran it; RCU: who spins */
	bool sigset_active;			/* (o) */
	sigset_t sigset;			/* (o) KVM_SET_SIGNAL_MASK */
	u32 mp_state;				/* (a) KVM_MP_STATE_*; others: INIT, SIPI, wake */
	int srcu_idx;				/* (o) while in umbra_vcpu_run() */

	struct umbra_regs regs;			/* (o) regs.h */
	struct umbra_events events;		/* (o) event.h */
	struct umbra_exit exit;			/* (o) exit.h: the last decoded exit */
	struct umbra_io io;			/* (o) exit.h: unfinished user I/O */
	u32 last_range[2];			/* (o) by enum umbra_bus: the one found last; iodev.c */
	struct umbra_memos memos;		/* (o) memo.h */
	struct umbra_cpuid cpuid;		/* (o) cpuid.h */
	struct umbra_msrs msrs;			/* (o) msr.h */
	struct umbra_fpu fpu;			/* (o) fpu.h */
	struct umbra_vcpu_time time;		/* (o) time.h */
	struct umbra_pv pv;			/* pv.h */
	struct umbra_apf apf;			/* (o) apf.h */
	struct umbra_vcpu_mmu mmu;		/* (o) mmu.h */
	struct umbra_dirty_ring ring;		/* dirty.h */
	struct umbra_lapic *lapic;		/* (c) NULL without in-kernel irqchip */
	u8 ended_vector;			/* (o) with UMBRA_REQ_IOAPIC_EOI */
	u8 shares;				/* (o) UMBRA_SHARES_*, with guest memory: vapic.c */
	u64 apic_base;				/* (o) MSR_IA32_APICBASE, LAPIC or not */
	struct umbra_vcpu_emul *emul;		/* (c) emul_ops.c */
	struct umbra_stats *stats;		/* (c) stats.h; written by the owner, read by anybody */
	struct umbra_entry_failure *failure;	/* (o) failure.c; NULL: no entry has failed */
	u64 exit_tsc;				/* (o) the host's TSC at the last exit; 0: none yet */
};

struct umbra_vm {
	struct mm_struct *mm;			/* (c) the creator's; only its threads may call */
	struct mutex lock;			/* creation of vCPUs and chips */
	struct kref ref;			/* fds of the VM and of its vCPUs */
	struct xarray vcpus;			/* (m) by index; read locklessly */
	int online_vcpus;			/* (m) written after the array: acquire it */
	bool dead;				/* (a) set once: every RUN returns -EIO */
	bool emulate;				/* (c) the emulator runs it, the CPU delivers events */
	char name[64];				/* (m) set once, its first byte last: umbra_vm_name() */
	u32 boot_vcpu_id;			/* (m) until a vCPU exists */
	u64 tss_addr, identity_map_addr;	/* (m) */

	struct mutex slots_lock;
	struct srcu_struct srcu;		/* slots and I/O buses */
	struct umbra_slots __rcu *slots;	/* (s) memslot.h */
	u32 manual_log;				/* (s) KVM_DIRTY_LOG_* */
	u32 ring_entries;			/* (m) of each vCPU's; (c) once there is one */
	struct mmu_notifier notifier;		/* (c) */
	rwlock_t mmu_lock;
	struct umbra_vm_mmu mmu;		/* mmu.h */

	struct mutex irq_lock;
	struct umbra_irqchip *irqchip;		/* (m) set once, release/acquire */
	struct umbra_pit *pit;			/* (m) set once */
	struct umbra_io_bus __rcu *pio_bus;	/* (s) iodev.h */
	struct umbra_io_bus __rcu *mmio_bus;	/* (s) */
	struct umbra_ioevents __rcu *ioevents[2];	/* (s) by enum umbra_bus; eventfd.c */
	struct umbra_zones __rcu *zones;	/* (s) coalesced.c */
	struct kvm_coalesced_mmio_ring *ring;	/* (c) page; the user may scribble on it */
	spinlock_t ring_lock;			/* writers of the ring */
	struct list_head irqfds;		/* vm->irq_lock; eventfd.c */
	struct list_head resamplers;		/* (i) those whose EOI somebody waits for */

	struct umbra_msr_filter __rcu *msr_filter;	/* written under vm->lock; msr_filter.c */
	u32 user_msrs;				/* KVM_MSR_EXIT_REASON_*: for whom #GP is an exit */
	bool exception_payload;			/* KVM_CAP_EXCEPTION_PAYLOAD */
	bool triple_fault_event;		/* KVM_CAP_X86_TRIPLE_FAULT_EVENT */
	bool no_platform_info;			/* the guest can't read MSR_PLATFORM_INFO */
	u64 disabled_quirks;			/* KVM_CAP_DISABLE_QUIRKS2 */
	u32 disabled_exits;			/* (m) KVM_X86_DISABLE_EXITS_*; (c) once there is a vCPU */
	u32 x2apic_api;				/* KVM_X2APIC_API_*, KVM_CAP_X2APIC_API */
	u32 max_vcpu_id;			/* (m) KVM_CAP_MAX_VCPU_ID; 0: not set */
	u32 halt_poll_ns;			/* KVM_CAP_HALT_POLL, halt.c */
	int last_boosted;			/* index of the vCPU that a spinning one last helped */

	struct umbra_vm_time time;		/* time.h */
	struct umbra_listing listing;		/* registry.h */
	void *hw;				/* (c) the backend's part */
};

/* vm.c */
struct umbra_vm *umbra_vm_create(unsigned long type);
void umbra_vm_get(struct umbra_vm *vm);
void umbra_vm_put(struct umbra_vm *vm);
void umbra_vm_kill(struct umbra_vm *vm, const char *why);
int umbra_vm_set_name(struct umbra_vm *vm, const char *name);
const char *umbra_vm_name(struct umbra_vm *vm);
struct umbra_vcpu *umbra_vm_create_vcpu(struct umbra_vm *vm, u32 id);
struct umbra_vcpu *umbra_vcpu_by_id(struct umbra_vm *vm, u32 id);

static inline struct umbra_vcpu *umbra_vcpu_by_index(struct umbra_vm *vm, int i)
{
	return xa_load(&vm->vcpus, i);
}

/* Every vCPU whose creation is complete; @i is an int, @v the vCPU. */
#define umbra_for_each_vcpu(vm, i, v)						\
	for ((i) = 0; (i) < smp_load_acquire(&(vm)->online_vcpus) &&		\
		      ((v) = umbra_vcpu_by_index(vm, i)) != NULL; (i)++)

/* vcpu.c */
int umbra_vcpu_run(struct umbra_vcpu *vcpu);
void umbra_vcpu_load(struct umbra_vcpu *vcpu);
void umbra_vcpu_put(struct umbra_vcpu *vcpu);
void umbra_vcpu_kick(struct umbra_vcpu *vcpu);
void umbra_vcpu_wake(struct umbra_vcpu *vcpu);
void umbra_request_all(struct umbra_vm *vm, enum umbra_request req);
struct umbra_vcpu *umbra_running_vcpu(void);

/**
 * umbra_request() - ask a vCPU for something before it next enters its guest
 * @vcpu: any vCPU
 * @req: what
 *
 * Follow it with umbra_vcpu_kick() unless the caller is the vCPU's owner. The
 * barrier makes what was written before visible to the vCPU that sees the bit.
 */
static inline void umbra_request(struct umbra_vcpu *vcpu, enum umbra_request req)
{
	smp_wmb();	/* pairs with the one in umbra_test_request() */
	set_bit(req, &vcpu->requests);
}

/* Take a request: true once after it was made. Only for the owner. */
static inline bool umbra_test_request(struct umbra_vcpu *vcpu, enum umbra_request req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	smp_mb__after_atomic();	/* pairs with umbra_request() */
	return true;
}

#include "regs_inline.h"

#endif
