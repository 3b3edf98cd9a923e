/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef UMBRA_SYNC_REGS_H
#define UMBRA_SYNC_REGS_H

struct umbra_vcpu;

/* At KVM_RUN's begin, loaded: what kvm_dirty_regs names; 0, -EINVAL (unknown bits, bad values). */
int umbra_sync_in(struct umbra_vcpu *vcpu);
/* At its end: what kvm_valid_regs names. */
void umbra_sync_out(struct umbra_vcpu *vcpu);

#endif
