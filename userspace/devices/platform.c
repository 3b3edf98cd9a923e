// SPDX-License-Identifier: GPL-2.0-only
/* ACPI Specification 6.4, "ACPI Hardware Specification", for PM1a and the timer. */
#include <time.h>

#include "platform.h"

#define PM1_CNT_SCI_EN	(1u << 0)
#define PM1_CNT_SLP_EN	(1u << 13)
#define PM1_CNT_SLP_TYP	10	/* shift */
#define PM_TIMER_HZ	3579545ull

uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* 24 bits wide: the FADT does not set TMR_VAL_EXT. */
static uint32_t pm_timer(void)
{
	uint64_t ns = clock_ns();

	return (ns / 1000000000ull * PM_TIMER_HZ +
		ns % 1000000000ull * PM_TIMER_HZ / 1000000000ull) & 0xffffff;
}

static uint32_t pm_read(void *dev, uint16_t off, unsigned int size)
{
	const struct pm *pm = dev;
	uint32_t value, mask = size == 4 ? ~0u : (1u << (size * 8)) - 1;

	if (off >= PM_TMR_OFF)
		value = pm_timer() >> (off - PM_TMR_OFF) * 8;
	else if (off >= PM_CNT_OFF)
		value = (uint32_t)pm->control >> (off - PM_CNT_OFF) * 8;
	else	/* no event ever comes up: the status half stays 0 */
		value = ((uint32_t)pm->enable << 16) >> (off - PM_EVT_OFF) * 8;
	return value & mask;
}

static void pm_write_control(struct pm *pm, uint16_t value)
{
	/* There is no SMI: the machine is in ACPI mode always. */
	pm->control = (value & ~PM1_CNT_SLP_EN) | PM1_CNT_SCI_EN;
	if ((value & PM1_CNT_SLP_EN) && ((value >> PM1_CNT_SLP_TYP) & 7) == PM_S5_TYPE)
		pm->board->stop(pm->board->ctx, STOP_POWEROFF);
}

static void pm_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	struct pm *pm = dev;

	if (off == PM_CNT_OFF && size >= 2)
		pm_write_control(pm, (uint16_t)value);
	else if (off == PM_CNT_OFF)
		pm_write_control(pm, (uint16_t)((pm->control & 0xff00) | value));
	else if (off == PM_CNT_OFF + 1)
		pm_write_control(pm, (uint16_t)((pm->control & 0xff) | value << 8));
	else if (off == PM_EVT_OFF + 2)
		pm->enable = (uint16_t)value;
	else if (off == PM_EVT_OFF && size == 4)
		pm->enable = (uint16_t)(value >> 16);
}

const struct bus_ops pm_bus_ops = {
	.name = "acpi",
	.max_size = 4,
	.read = pm_read,
	.write = pm_write,
};

/* Command 0xfe pulses the reset line; the rest of the controller is not there. */
static void i8042_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	const struct board *board = dev;

	(void)off;
	(void)size;
	if (value == 0xfe)
		board->stop(board->ctx, STOP_RESET);
}

const struct bus_ops i8042_bus_ops = {
	.name = "i8042",
	.max_size = 1,
	.write = i8042_write,
};

static void reset_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	const struct board *board = dev;

	(void)off;
	(void)size;
	if (value & 0x04)	/* RST_CPU */
		board->stop(board->ctx, STOP_RESET);
}

const struct bus_ops reset_bus_ops = {
	.name = "reset",
	.max_size = 1,
	.write = reset_write,
};

const struct bus_ops absent_bus_ops = {
	.name = "absent",
	.max_size = 4,
};

static void mark_write(void *dev, uint16_t off, uint32_t value, unsigned int size)
{
	struct mark *mark = dev;
	uint64_t now = clock_ns();
	unsigned int nr;

	(void)off;
	(void)value;
	(void)size;
	/* A guest that goes on writing makes no number twice. */
	if (atomic_load(&mark->count) >= MARKS_MAX)
		return;
	nr = atomic_fetch_add(&mark->count, 1);
	if (nr >= MARKS_MAX)
		return;
	mark->at[nr].begin_ns = now;
	if (mark->take)
		mark->take(mark->ctx, nr);
	mark->at[nr].end_ns = clock_ns();
}

const struct bus_ops mark_bus_ops = {
	.name = "mark",
	.max_size = 1,
	.write = mark_write,
};
