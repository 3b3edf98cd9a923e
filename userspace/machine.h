/* SPDX-License-Identifier: GPL-2.0-only */
/* Asking the machine that this runs on. */
#ifndef UMBRA_MACHINE_H
#define UMBRA_MACHINE_H

#include <stdbool.h>

#include "lib/judge.h"

/** machine_words() - collect this CPU's capability words, MSRs where /dev/cpu/0/msr lets us. */
void machine_words(struct judge_words *w);

/** machine_hypervisor() - the signature of the hypervisor below us, or NULL on bare metal. */
const char *machine_hypervisor(char buf[13]);

/** machine_secure_boot() - whether the firmware enforces signatures. */
bool machine_secure_boot(void);

#endif
