/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A ledger of flushes, for kernels that look for errors (CONFIG_PROVE_LOCKING). Emulators flush
 * their TLBs at each world switch, so that a flush which is missing changes nothing there. Here is
 * what a CPU's TLB is known by: a tag (ASID or VPID) that is a VM's, and the root that was walked
 * when it was filled. What it must have forgotten and has not been told to is a warning.
 */
#ifndef UMBRA_LEDGER_H
#define UMBRA_LEDGER_H

#include <linux/atomic.h>
#include <linux/types.h>

struct umbra_vm;
struct umbra_vcpu;

#ifdef CONFIG_PROVE_LOCKING

/**
 * struct umbra_ledger - a VM's part
 * @id: the VM's, of which there is no second
 * @asked: flushes of all its vCPUs that were begun
 * @promised: those up to this have ended: no CPU enters its guest with what was there before
 */
struct umbra_ledger {
	u64 id;
	atomic64_t asked, promised;
};

void umbra_ledger_init(struct umbra_ledger *ledger);
/* Around a flush of all vCPUs, after what was in the tables was taken away. */
u64 umbra_ledger_ask(struct umbra_ledger *ledger);
void umbra_ledger_promise(struct umbra_ledger *ledger, u64 asked);

/* The rest for the backend, on the way into the guest, interrupts off. */

/* This CPU forgets what it has of @tag, which is this vCPU's. */
void umbra_ledger_flush(struct umbra_vcpu *vcpu, u32 tag);
/* Or of all tags. */
void umbra_ledger_flush_all(void);
/* It is given to this vCPU and not flushed, as nothing may have been cached of it. */
void umbra_ledger_give(struct umbra_vcpu *vcpu, u32 tag);
/* It enters with this tag, and the root that its tables begin with. */
void umbra_ledger_enter(struct umbra_vcpu *vcpu, u32 tag);

#else

struct umbra_ledger {
};

static inline void umbra_ledger_init(struct umbra_ledger *ledger)
{
}

static inline u64 umbra_ledger_ask(struct umbra_ledger *ledger)
{
	return 0;
}

static inline void umbra_ledger_promise(struct umbra_ledger *ledger, u64 asked)
{
}

static inline void umbra_ledger_flush(struct umbra_vcpu *vcpu, u32 tag)
{
}

static inline void umbra_ledger_flush_all(void)
{
}

static inline void umbra_ledger_give(struct umbra_vcpu *vcpu, u32 tag)
{
}

static inline void umbra_ledger_enter(struct umbra_vcpu *vcpu, u32 tag)
{
}

#endif

#endif
