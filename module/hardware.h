/* SPDX-License-Identifier: GPL-2.0-only */
/* The CPUs as the backends need them; what main.c and vm.c need is in backend.h. */
#ifndef UMBRA_HARDWARE_H
#define UMBRA_HARDWARE_H

#include <linux/types.h>

/**
 * umbra_load_tsc_aux() - a guest's TSC_AUX for this CPU
 * @value: what RDTSCP and RDPID shall read until this thread returns to userspace
 *
 * Preemption off, on a CPU whose extension is on and that has the MSR. The host's
 * kernel does not use it, so that its value comes back only before userspace could
 * read it, or when the last VM goes.
 */
void umbra_load_tsc_aux(u32 value);

#endif
