/* SPDX-License-Identifier: GPL-2.0-only */
/* Events without a trip to userspace: writes that signal eventfds, eventfds that interrupt. */
#ifndef UMBRA_EVENTFD_H
#define UMBRA_EVENTFD_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/types.h>

#include "iodev.h"
#include "umbra.h"

/* Ioeventfds of one bus; an irqfd needs an eventfd of its own, so that their number is bounded. */
#define UMBRA_MAX_IOEVENTS	16384

void umbra_eventfd_vm_init(struct umbra_vm *vm);
/* No vCPU runs and none will: after it no eventfd interrupts. The vCPUs still exist. Sleeps. */
void umbra_irqfds_release(struct umbra_vm *vm);
/* Nobody reads the buses any more. */
void umbra_ioevents_release(struct umbra_vm *vm);

/*
 * KVM_IOEVENTFD: 0; -EINVAL (flags, length, range, an fd that is no eventfd); -EBADF;
 * -EEXIST (a write would match both); -ENOENT (to remove); -ENOSPC; -ENOMEM
 */
int umbra_ioeventfd(struct umbra_vm *vm, const struct kvm_ioeventfd *args);
/*
 * KVM_IRQFD: 0; -EINVAL (flags, GSI, no chips, an fd that is no eventfd); -EBADF;
 * -EBUSY (the eventfd is one already); -ENOMEM
 */
int umbra_irqfd(struct umbra_vm *vm, const struct kvm_irqfd *args);

/* In vm->srcu. true: an eventfd was signalled, and that is all of the write. */
bool umbra_ioevent_write(struct umbra_vm *vm, enum umbra_bus bus, gpa_t addr, unsigned int len,
			 const void *data);
/* Does anybody wait for the end of an interrupt? Any context. */
static inline bool umbra_any_resampler(const struct umbra_vm *vm)
{
	return unlikely(!list_empty(&vm->resamplers));
}

/*
 * The guest has ended the interrupt of a chip's pin: lower the lines that irqfds with a
 * resamplefd hold up there, and signal those. No lock of a chip is held.
 */
void umbra_resample_pin(struct umbra_vm *vm, bool ioapic, unsigned int pin);

#endif
