// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOAPIC: 24 pins, each with a redirection entry that makes an APIC message
 * of it. Register layout of the 82093AA, with the EOI register of its successors.
 *
 * As KVM's does, it takes a line's level as «asserted» whatever the entry's
 * polarity bit says (KVM_CAP_IOAPIC_POLARITY_IGNORED).
 */
#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/nospec.h>
#include <linux/string.h>

#include "eventfd.h"
#include "irqchip.h"
#include "umbra.h"

#define IOAPIC_BASE		0xfec00000ull
#define IOAPIC_LEN		0x100

/* Offsets of the directly mapped registers. */
#define IOAPIC_REGSEL		0x00
#define IOAPIC_WINDOW		0x10
#define IOAPIC_EOI		0x40

/* Registers behind the window. */
#define IOAPIC_REG_ID		0x00
#define IOAPIC_REG_VERSION	0x01
#define IOAPIC_REG_ARB		0x02
#define IOAPIC_REG_REDIR	0x10

#define IOAPIC_VERSION		(0x20 | (UMBRA_IOAPIC_PINS - 1) << 16)

/* Redirection entry. */
#define REDIR_VECTOR		0xffull
#define REDIR_MODE_SHIFT	8
#define REDIR_LOGICAL		BIT_ULL(11)
#define REDIR_STATUS		BIT_ULL(12)	/* read-only, always idle here */
#define REDIR_REMOTE_IRR	BIT_ULL(14)	/* read-only */
#define REDIR_LEVEL		BIT_ULL(15)
#define REDIR_MASKED		BIT_ULL(16)
#define REDIR_DEST_SHIFT	56
#define REDIR_WRITABLE		(GENMASK_ULL(11, 0) | BIT_ULL(13) | REDIR_LEVEL | REDIR_MASKED | \
				 GENMASK_ULL(63, REDIR_DEST_SHIFT))

/*
 * A guest that ends a level interrupt without quieting its device takes it
 * again at once. After so many times running it waits, so that whoever is to
 * lower the line gets to run.
 */
#define STORM_LIMIT		10000
#define STORM_DELAY		msecs_to_jiffies(10)

static bool is_level(u64 entry)
{
	unsigned int mode = (entry >> REDIR_MODE_SHIFT) & 7;

	/* The other modes are edge whatever the bit says. */
	return (entry & REDIR_LEVEL) && (mode == UMBRA_DM_FIXED || mode == UMBRA_DM_LOWEST);
}

/* Send pin's message, if it may go; lock held. Returns as umbra_set_irq(). */
static int service(struct umbra_irqchip *chip, unsigned int pin)
{
	u64 entry = chip->ioapic.redir[pin];
	struct umbra_irq_msg msg = {
		.dest = entry >> REDIR_DEST_SHIFT,
		.mode = (entry >> REDIR_MODE_SHIFT) & 7,
		.vector = entry & REDIR_VECTOR,
		.logical = entry & REDIR_LOGICAL,
		.level = is_level(entry),
	};
	int ret;

	if (entry & REDIR_MASKED)
		return -1;
	if (msg.level && (entry & REDIR_REMOTE_IRR))
		return 0;
	ret = umbra_lapic_deliver(chip->vm, &msg, NULL);
	if (msg.level && ret >= 0)
		chip->ioapic.redir[pin] |= REDIR_REMOTE_IRR;
	return ret;
}

int umbra_ioapic_set_pin(struct umbra_irqchip *chip, int source, unsigned int pin, int level)
{
	struct umbra_ioapic *io = &chip->ioapic;
	unsigned long flags;
	bool was_up;
	int ret = 1;

	raw_spin_lock_irqsave(&io->lock, flags);
	was_up = io->irr & BIT(pin);
	if (level)
		io->lines[pin] |= BIT(source);
	else
		io->lines[pin] &= ~BIT(source);

	if (!io->lines[pin]) {
		io->irr &= ~BIT(pin);
		io->storm[pin] = 0;
	} else {
		io->irr |= BIT(pin);
		if (was_up && !is_level(io->redir[pin]))
			ret = 0;
		else
			ret = service(chip, pin);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
	return ret;
}

/* A level pin's interrupt has ended; lock held. Once more if its line is still up. */
static void end_pin(struct umbra_irqchip *chip, unsigned int pin)
{
	struct umbra_ioapic *io = &chip->ioapic;

	io->redir[pin] &= ~REDIR_REMOTE_IRR;
	if (!(io->irr & BIT(pin)) || (io->redir[pin] & REDIR_MASKED))
		return;
	if (++io->storm[pin] < STORM_LIMIT) {
		service(chip, pin);
		return;
	}
	io->storm[pin] = 0;
	io->deferred |= BIT(pin);
	schedule_delayed_work(&io->work, STORM_DELAY);
}

static void end_vector(struct umbra_irqchip *chip, u8 vector)
{
	struct umbra_ioapic *io = &chip->ioapic;
	unsigned int pin;

	for (pin = 0; pin < UMBRA_IOAPIC_PINS; pin++) {
		u64 entry = io->redir[pin];

		if ((entry & REDIR_VECTOR) == vector && is_level(entry) &&
		    (entry & REDIR_REMOTE_IRR))
			end_pin(chip, pin);
	}
}

/*
 * Tell those who wait for the end of @vector's interrupts, edges too. They lower the
 * lines, and may raise them at once: remote IRR is still set, so that end_vector()
 * finds them up.
 */
static void tell_end(struct umbra_irqchip *chip, u8 vector)
{
	struct umbra_ioapic *io = &chip->ioapic;
	unsigned long flags, pins = 0;
	unsigned int pin;

	raw_spin_lock_irqsave(&io->lock, flags);
	for (pin = 0; pin < UMBRA_IOAPIC_PINS; pin++)
		if ((io->redir[pin] & REDIR_VECTOR) == vector)
			pins |= BIT(pin);
	raw_spin_unlock_irqrestore(&io->lock, flags);

	for_each_set_bit(pin, &pins, UMBRA_IOAPIC_PINS)
		umbra_resample_pin(chip->vm, true, pin);
}

void umbra_ioapic_eoi(struct umbra_irqchip *chip, u8 vector)
{
	unsigned long flags;

	if (umbra_any_resampler(chip->vm))
		tell_end(chip, vector);
	raw_spin_lock_irqsave(&chip->ioapic.lock, flags);
	end_vector(chip, vector);
	raw_spin_unlock_irqrestore(&chip->ioapic.lock, flags);
}

static void serve_deferred(struct work_struct *work)
{
	struct umbra_ioapic *io = container_of(to_delayed_work(work), struct umbra_ioapic, work);
	struct umbra_irqchip *chip = container_of(io, struct umbra_irqchip, ioapic);
	unsigned long flags;
	unsigned int pin;

	raw_spin_lock_irqsave(&io->lock, flags);
	for (pin = 0; pin < UMBRA_IOAPIC_PINS; pin++)
		if (io->deferred & io->irr & BIT(pin))
			service(chip, pin);
	io->deferred = 0;
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

/* Index of the entry that register @reg is half of, or -1. */
static int redir_index(u8 reg)
{
	unsigned int i = (reg - IOAPIC_REG_REDIR) / 2;

	if (reg < IOAPIC_REG_REDIR || i >= UMBRA_IOAPIC_PINS)
		return -1;
	return array_index_nospec(i, UMBRA_IOAPIC_PINS);
}

static u32 read_window(struct umbra_ioapic *io)
{
	int i = redir_index(io->regsel);

	if (i >= 0)
		return io->regsel & 1 ? io->redir[i] >> 32 : io->redir[i];
	switch (io->regsel) {
	case IOAPIC_REG_ID:
	case IOAPIC_REG_ARB:
		return io->id << 24;
	case IOAPIC_REG_VERSION:
		return IOAPIC_VERSION;
	}
	return 0;
}

static void write_redir(struct umbra_irqchip *chip, unsigned int pin, bool high, u32 val)
{
	u64 *entry = &chip->ioapic.redir[pin];
	u64 keep = REDIR_REMOTE_IRR | (high ? GENMASK_ULL(31, 0) : GENMASK_ULL(63, 32));

	*entry = (*entry & keep) | (((u64)val << (high ? 32 : 0)) & REDIR_WRITABLE);
	/* Guests that know of no EOI register clear remote IRR by a turn through edge. */
	if (!is_level(*entry))
		*entry &= ~REDIR_REMOTE_IRR;
	else if (chip->ioapic.irr & BIT(pin))
		service(chip, pin);
}

static void write_window(struct umbra_irqchip *chip, u32 val)
{
	struct umbra_ioapic *io = &chip->ioapic;
	int i = redir_index(io->regsel);

	if (i >= 0)
		write_redir(chip, i, io->regsel & 1, val);
	else if (io->regsel == IOAPIC_REG_ID)
		io->id = (val >> 24) & 0xf;
}

static int ioapic_read(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		       unsigned int len, void *data)
{
	struct umbra_ioapic *io = container_of(dev, struct umbra_ioapic, dev);
	unsigned long flags;
	u32 val = 0;

	raw_spin_lock_irqsave(&io->lock, flags);
	switch (addr & (IOAPIC_LEN - 1)) {
	case IOAPIC_REGSEL:
		val = io->regsel;
		break;
	case IOAPIC_WINDOW:
		val = read_window(io);
		break;
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);

	memset(data, 0, len);
	memcpy(data, &val, min_t(unsigned int, len, sizeof(val)));
	return 0;
}

static int ioapic_write(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
			unsigned int len, const void *data)
{
	struct umbra_ioapic *io = container_of(dev, struct umbra_ioapic, dev);
	struct umbra_irqchip *chip = container_of(io, struct umbra_irqchip, ioapic);
	unsigned long flags;
	u32 val = 0;

	memcpy(&val, data, min_t(unsigned int, len, sizeof(val)));
	if ((addr & (IOAPIC_LEN - 1)) == IOAPIC_EOI) {
		umbra_ioapic_eoi(chip, val);
		return 0;
	}

	raw_spin_lock_irqsave(&io->lock, flags);
	switch (addr & (IOAPIC_LEN - 1)) {
	case IOAPIC_REGSEL:
		io->regsel = val;
		break;
	case IOAPIC_WINDOW:
		write_window(chip, val);
		break;
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
	return 0;
}

static const struct umbra_iodev_ops ioapic_ops = { .read = ioapic_read, .write = ioapic_write };

void umbra_ioapic_init(struct umbra_irqchip *chip)
{
	struct umbra_ioapic *io = &chip->ioapic;
	unsigned int pin;

	raw_spin_lock_init(&io->lock);
	INIT_DELAYED_WORK(&io->work, serve_deferred);
	for (pin = 0; pin < UMBRA_IOAPIC_PINS; pin++)
		io->redir[pin] = REDIR_MASKED;
	io->dev.ops = &ioapic_ops;
}

void umbra_ioapic_stop(struct umbra_irqchip *chip)
{
	cancel_delayed_work_sync(&chip->ioapic.work);
}

int umbra_ioapic_register(struct umbra_irqchip *chip)
{
	return umbra_iodev_register(chip->vm, UMBRA_BUS_MMIO, IOAPIC_BASE, IOAPIC_LEN,
				    &chip->ioapic.dev);
}

void umbra_ioapic_get(struct umbra_irqchip *chip, struct kvm_ioapic_state *state)
{
	struct umbra_ioapic *io = &chip->ioapic;
	unsigned long flags;
	unsigned int pin;

	memset(state, 0, sizeof(*state));
	raw_spin_lock_irqsave(&io->lock, flags);
	state->base_address = IOAPIC_BASE;
	state->ioregsel = io->regsel;
	state->id = io->id;
	state->irr = io->irr;
	for (pin = 0; pin < UMBRA_IOAPIC_PINS; pin++)
		state->redirtbl[pin].bits = io->redir[pin];
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

int umbra_ioapic_set(struct umbra_irqchip *chip, const struct kvm_ioapic_state *state)
{
	struct umbra_ioapic *io = &chip->ioapic;
	unsigned long flags;
	unsigned int pin;

	/* This one can't move. */
	if (state->base_address != IOAPIC_BASE || state->ioregsel > 0xff)
		return -EINVAL;

	raw_spin_lock_irqsave(&io->lock, flags);
	io->regsel = state->ioregsel;
	io->id = state->id & 0xf;
	/* Who holds a line up has not changed: as on KVM, the next change of it counts. */
	io->irr = state->irr & GENMASK(UMBRA_IOAPIC_PINS - 1, 0);
	io->deferred = 0;
	for (pin = 0; pin < UMBRA_IOAPIC_PINS; pin++) {
		u64 entry = state->redirtbl[pin].bits & (REDIR_WRITABLE | REDIR_REMOTE_IRR);

		if (!is_level(entry))
			entry &= ~REDIR_REMOTE_IRR;
		io->redir[pin] = entry;
		io->storm[pin] = 0;
		if (is_level(entry) && (io->irr & BIT(pin)))
			service(chip, pin);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
	return 0;
}
