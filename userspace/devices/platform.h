/* SPDX-License-Identifier: GPL-2.0-only */
/* The small fixed devices of the machine: ACPI registers, reset, PCI's absence, the mark. */
#ifndef UMBRA_PLATFORM_H
#define UMBRA_PLATFORM_H

#include <stdatomic.h>
#include <stdint.h>

#include "board.h"
#include "bus.h"

/* ACPI's fixed hardware: event block (4), control block (2, padded to 4), timer (4). */
#define PM_PORT		0x600
#define PM_PORTS	12
#define PM_EVT_OFF	0
#define PM_CNT_OFF	4
#define PM_TMR_OFF	8
#define PM_SCI_GSI	9
#define PM_S5_TYPE	5	/* SLP_TYP that \_S5 names */

#define I8042_DATA_PORT		0x60
#define I8042_CMD_PORT		0x64
#define RESET_PORT		0xcf9
#define RESET_VALUE		0x06
#define PCI_ADDR_PORT		0xcf8
#define PCI_DATA_PORT		0xcfc
#define MARK_PORT		0xf4

/** struct pm - ACPI PM1a. Of vCPUs that write a register at once, the last one's bytes stand. */
struct pm {
	const struct board *board;
	_Atomic uint16_t enable;
	_Atomic uint16_t control;
};

#define MARKS_MAX	32

/**
 * struct mark - the measurement port, a guest's way to say «now»
 * @count: the bytes written; of the first MARKS_MAX of them is kept
 * @at: when each was written, and when @take had returned
 * @take: called in between with the byte's number, on the vCPU's thread; or NULL
 * @ctx: for @take
 */
struct mark {
	atomic_uint count;
	struct mark_at {
		uint64_t begin_ns, end_ns;
	} at[MARKS_MAX];
	void (*take)(void *ctx, unsigned int nr);
	void *ctx;
};

extern const struct bus_ops pm_bus_ops;		/* struct pm */
extern const struct bus_ops i8042_bus_ops;	/* const struct board */
extern const struct bus_ops reset_bus_ops;	/* const struct board */
extern const struct bus_ops absent_bus_ops;	/* nothing there: all ones, not worth counting */
extern const struct bus_ops mark_bus_ops;	/* struct mark */

/** clock_ns() - CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);

#endif
