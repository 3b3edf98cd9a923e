/* SPDX-License-Identifier: GPL-2.0-only */
/* Why a machine can't be served; apart, so that userspace builds it too. */
#ifndef UMBRA_MISSING_H
#define UMBRA_MISSING_H

/**
 * enum umbra_missing - why a backend can't serve this machine; bits
 * @UMBRA_MISSING_CPU: the CPU has no such extension
 * @UMBRA_MISSING_FIRMWARE: the firmware has locked it off
 * @UMBRA_MISSING_OWNER: another hypervisor holds it
 */
enum umbra_missing {
	UMBRA_MISSING_CPU	= 1 << 0,
	UMBRA_MISSING_FIRMWARE	= 1 << 1,
	UMBRA_MISSING_OWNER	= 1 << 2,
};

#endif
