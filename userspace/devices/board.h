/* SPDX-License-Identifier: GPL-2.0-only */
/* What a device may ask of the machine that it stands in, and nothing else. */
#ifndef UMBRA_BOARD_H
#define UMBRA_BOARD_H

#include <stdbool.h>

/** enum stop_why - why a VM ends; the first reason given stands */
enum stop_why {
	STOP_NOT,
	STOP_POWEROFF,		/* ACPI soft-off */
	STOP_RESET,		/* reset register or keyboard controller */
	STOP_SIGNAL,		/* SIGTERM and its like */
	STOP_USER,		/* Ctrl-A X */
	STOP_TRIPLE_FAULT,
	STOP_ENTRY_FAILED,
	STOP_INTERNAL,
};

/**
 * struct board - the machine as a device sees it
 * @set_irq: drive GSI @gsi; any thread
 * @stop: end the VM; any thread; returns at once
 */
struct board {
	void *ctx;
	void (*set_irq)(void *ctx, unsigned int gsi, bool level);
	void (*stop)(void *ctx, enum stop_why why);
};

#endif
