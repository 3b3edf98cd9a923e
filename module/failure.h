/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of entries that the CPU has refused. */
#ifndef UMBRA_FAILURE_H
#define UMBRA_FAILURE_H

#include <linux/umbra.h>

#include "umbra.h"

struct umbra_check;

/* Called by a backend's describe_failure(): one more field; what the checks have found. */
void umbra_failure_field(struct umbra_entry_failure *out, const char *name, u64 value);
void umbra_failure_check(struct umbra_entry_failure *out, const struct umbra_check *check);

void umbra_failure_note(struct umbra_vcpu *vcpu, u64 reason);
int umbra_failure_get(struct umbra_vcpu *vcpu, struct umbra_entry_failure *out);
void umbra_failure_destroy(struct umbra_vcpu *vcpu);

#endif
