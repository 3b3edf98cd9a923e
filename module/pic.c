// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two 8259A interrupt controllers in cascade, as a PC has them: the slave's
 * output is pin 2 of the master, and ELCR chooses edge or level by pin.
 *
 * As in the chip sets that swallowed the 8259, SNGL and LTIM of ICW1 have no
 * effect: the cascade is wired and the trigger comes from ELCR.
 */
#include <linux/bitops.h>
#include <linux/string.h>

#include "eventfd.h"
#include "irqchip.h"
#include "umbra.h"

#define PIC_MASTER	0
#define PIC_SLAVE	1
#define PIC_CASCADE	2	/* the master's pin that the slave drives */
#define PIC_SPURIOUS	7	/* answered when the request is gone at INTA */

#define PIC_NONE	8	/* priority of nothing */

static const u8 elcr_mask[2] = { 0xf8, 0xde };

/* Priority of the first bit in @mask, 0 is highest. */
static unsigned int priority(const struct kvm_pic_state *c, u8 mask)
{
	return mask ? __ffs(ror8(mask, c->priority_add)) : PIC_NONE;
}

static unsigned int pin_of(const struct kvm_pic_state *c, unsigned int prio)
{
	return (prio + c->priority_add) & 7;
}

/* The pin that chip @nr would interrupt with now, or -1. */
static int pending_pin(const struct umbra_pic *pic, unsigned int nr)
{
	const struct kvm_pic_state *c = &pic->chip[nr];
	u8 service = c->isr;
	unsigned int prio = priority(c, c->irr & ~c->imr);

	if (prio == PIC_NONE)
		return -1;
	if (c->special_mask)
		service &= ~c->imr;
	if (c->special_fully_nested_mode && nr == PIC_MASTER)
		service &= ~BIT(PIC_CASCADE);
	return prio < priority(c, service) ? pin_of(c, prio) : -1;
}

/* Drive the cascade and the output anew. true: the output has risen. */
static bool update_output(struct umbra_pic *pic)
{
	struct kvm_pic_state *master = &pic->chip[PIC_MASTER];
	bool old = pic->output;

	if (pending_pin(pic, PIC_SLAVE) >= 0)
		master->irr |= BIT(PIC_CASCADE);
	else
		master->irr &= ~BIT(PIC_CASCADE);
	WRITE_ONCE(pic->output, pending_pin(pic, PIC_MASTER) >= 0);
	return pic->output && !old;
}

/* A pin of one chip changes its level; returns as umbra_set_irq(). */
static int set_pin(struct kvm_pic_state *c, unsigned int pin, bool level)
{
	u8 bit = BIT(pin);
	int ret = 1;

	if (c->elcr & bit) {
		if (level) {
			ret = !(c->irr & bit);
			c->irr |= bit;
		} else {
			c->irr &= ~bit;
		}
	} else if (level && !(c->last_irr & bit)) {
		ret = !(c->irr & bit);
		c->irr |= bit;
	}
	if (level)
		c->last_irr |= bit;
	else
		c->last_irr &= ~bit;
	return c->imr & bit ? -1 : ret;
}

int umbra_pic_set_pin(struct umbra_irqchip *chip, int source, unsigned int pin, int level)
{
	struct umbra_pic *pic = &chip->pic;
	unsigned long flags;
	bool risen;
	int ret;

	raw_spin_lock_irqsave(&pic->lock, flags);
	if (level)
		pic->lines[pin] |= BIT(source);
	else
		pic->lines[pin] &= ~BIT(source);
	if (pin == PIC_CASCADE) {
		ret = -1;	/* no device's: the slave's output is soldered to it */
		risen = false;
	} else {
		ret = set_pin(&pic->chip[pin >> 3], pin & 7, pic->lines[pin]);
		risen = update_output(pic);
	}
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (risen)
		umbra_lapic_pic_raised(chip->vm);
	return ret;
}

/*
 * Tell those who wait for it that interrupts of chip @nr have ended, before the
 * output is driven anew: they lower the lines, so that none comes in vain. The lock
 * is dropped meanwhile; interrupts stay off.
 */
static void tell_end(struct umbra_irqchip *chip, unsigned int nr, u8 ended)
	__must_hold(&chip->pic.lock)
{
	unsigned long pins = nr == PIC_MASTER ? ended & ~BIT(PIC_CASCADE) : ended << 8;
	unsigned int pin;

	if (!pins || !umbra_any_resampler(chip->vm))
		return;
	raw_spin_unlock(&chip->pic.lock);
	for_each_set_bit(pin, &pins, 16)
		umbra_resample_pin(chip->vm, false, pin);
	raw_spin_lock(&chip->pic.lock);
}

/* A chip's request @pin goes into service, and with automatic EOI out of it at once. */
static void acknowledge(struct umbra_irqchip *chip, unsigned int nr, unsigned int pin)
	__must_hold(&chip->pic.lock)
{
	struct kvm_pic_state *c = &chip->pic.chip[nr];

	if (!c->auto_eoi)
		c->isr |= BIT(pin);
	else if (c->rotate_on_auto_eoi)
		c->priority_add = (pin + 1) & 7;
	if (!(c->elcr & BIT(pin)))
		c->irr &= ~BIT(pin);
	if (c->auto_eoi)
		tell_end(chip, nr, BIT(pin));
}

int umbra_pic_ack(struct umbra_irqchip *chip)
{
	struct umbra_pic *pic = &chip->pic;
	unsigned int nr = PIC_MASTER;
	unsigned long flags;
	int pin, vector = -1;

	raw_spin_lock_irqsave(&pic->lock, flags);
	if (!pic->output)
		goto out;
	pin = pending_pin(pic, PIC_MASTER);
	if (pin == PIC_CASCADE) {
		int sub = pending_pin(pic, PIC_SLAVE);

		acknowledge(chip, PIC_MASTER, PIC_CASCADE);
		nr = PIC_SLAVE;
		pin = sub;
	}
	/* Kept for a state set from outside; update_output() leaves no such case. */
	vector = pic->chip[nr].irq_base + (pin < 0 ? PIC_SPURIOUS : pin);
	if (pin >= 0)
		acknowledge(chip, nr, pin);
	/*
	 * The output drops at INTA; where it is up again at once, the vCPU
	 * that acknowledges looks by itself before its next entry.
	 */
	update_output(pic);
out:
	raw_spin_unlock_irqrestore(&pic->lock, flags);
	return vector;
}

/* ICW1: start the initialisation. Lines that are up now need a new edge. */
static void write_icw1(struct kvm_pic_state *c, u8 val)
{
	c->init4 = val & 1;
	c->init_state = 1;
	c->irr &= c->elcr;
	c->imr = 0;
	c->isr = 0;
	c->priority_add = 0;
	c->special_mask = 0;
	c->read_reg_select = 0;
	c->poll = 0;
	c->auto_eoi = 0;
	c->rotate_on_auto_eoi = 0;
	c->special_fully_nested_mode = 0;
}

/* OCW2: end of interrupt and rotation. */
static void write_ocw2(struct kvm_pic_state *c, u8 val)
{
	u8 serving = c->special_mask ? c->isr & ~c->imr : c->isr;
	unsigned int prio = priority(c, serving);
	unsigned int pin = val & 7;
	bool specific = val & 0x40, eoi = val & 0x20, rotate = val & 0x80;

	if (!eoi) {
		if (!specific)
			c->rotate_on_auto_eoi = rotate;
		else if (rotate)
			c->priority_add = (pin + 1) & 7;
		return;
	}
	if (!specific) {
		if (prio == PIC_NONE)
			return;
		pin = pin_of(c, prio);
	}
	c->isr &= ~BIT(pin);
	if (rotate)
		c->priority_add = (pin + 1) & 7;
}

static void write_ocw3(struct kvm_pic_state *c, u8 val)
{
	if (val & 4)
		c->poll = 1;
	if (val & 2)
		c->read_reg_select = val & 1;
	if (val & 0x40)
		c->special_mask = (val >> 5) & 1;
}

static void write_command(struct kvm_pic_state *c, u8 val)
{
	if (val & 0x10)
		write_icw1(c, val);
	else if (val & 8)
		write_ocw3(c, val);
	else
		write_ocw2(c, val);
}

/* The odd port: OCW1, or the ICW that is next. */
static void write_data(struct kvm_pic_state *c, u8 val)
{
	switch (c->init_state) {
	case 0:
		c->imr = val;
		break;
	case 1:
		c->irq_base = val & 0xf8;
		c->init_state = 2;
		break;
	case 2:
		c->init_state = c->init4 ? 3 : 0;
		break;
	case 3:
		c->special_fully_nested_mode = (val >> 4) & 1;
		c->auto_eoi = (val >> 1) & 1;
		c->init_state = 0;
		break;
	}
}

static void write_chip(struct umbra_irqchip *chip, unsigned int nr, bool data, u8 val)
{
	struct umbra_pic *pic = &chip->pic;
	struct kvm_pic_state *c = &pic->chip[nr];
	unsigned long flags;
	bool risen;
	u8 served;

	raw_spin_lock_irqsave(&pic->lock, flags);
	served = c->isr;
	if (data)
		write_data(c, val);
	else
		write_command(c, val);
	tell_end(chip, nr, served & ~c->isr);
	risen = update_output(pic);
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (risen)
		umbra_lapic_pic_raised(chip->vm);
}

/* A read after OCW3 with P=1 is an INTA that tells the pin instead of a vector. */
static u8 poll_chip(struct umbra_irqchip *chip, unsigned int nr)
{
	struct umbra_pic *pic = &chip->pic;
	int pin = pending_pin(pic, nr);

	pic->chip[nr].poll = 0;
	if (pin < 0)
		return 0;
	acknowledge(chip, nr, pin);
	return 0x80 | pin;
}

static u8 read_chip(struct umbra_irqchip *chip, unsigned int nr, bool data)
{
	struct umbra_pic *pic = &chip->pic;
	struct kvm_pic_state *c = &pic->chip[nr];
	bool risen = false;
	unsigned long flags;
	u8 val;

	raw_spin_lock_irqsave(&pic->lock, flags);
	if (c->poll) {
		val = poll_chip(chip, nr);
		risen = update_output(pic);
	} else if (data) {
		val = c->imr;
	} else {
		val = c->read_reg_select ? c->isr : c->irr;
	}
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (risen)
		umbra_lapic_pic_raised(chip->vm);
	return val;
}

/* Trigger modes change: a level pin's request is its line. */
static void write_elcr(struct umbra_irqchip *chip, unsigned int nr, u8 val)
{
	struct umbra_pic *pic = &chip->pic;
	struct kvm_pic_state *c = &pic->chip[nr];
	unsigned long flags;
	bool risen;

	raw_spin_lock_irqsave(&pic->lock, flags);
	WRITE_ONCE(c->elcr, val & elcr_mask[nr]);
	c->irr = (c->irr & ~c->elcr) | (c->last_irr & c->elcr);
	risen = update_output(pic);
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (risen)
		umbra_lapic_pic_raised(chip->vm);
}

/*
 * Wider accesses are split by the bus into bytes at consecutive ports, so each
 * handler below serves any length that its range admits.
 */
static int pic_read(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		    unsigned int len, void *data)
{
	struct umbra_irqchip *chip = vcpu->vm->irqchip;
	unsigned int nr = dev == &chip->pic.slave ? PIC_SLAVE : PIC_MASTER;
	u8 *p = data;

	while (len--)
		*p++ = read_chip(chip, nr, addr++ & 1);
	return 0;
}

static int pic_write(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		     unsigned int len, const void *data)
{
	struct umbra_irqchip *chip = vcpu->vm->irqchip;
	unsigned int nr = dev == &chip->pic.slave ? PIC_SLAVE : PIC_MASTER;
	const u8 *p = data;

	while (len--)
		write_chip(chip, nr, addr++ & 1, *p++);
	return 0;
}

static int elcr_read(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		     unsigned int len, void *data)
{
	const struct umbra_pic *pic = container_of(dev, struct umbra_pic, elcr);
	u8 *p = data;

	while (len--)
		*p++ = READ_ONCE(pic->chip[addr++ & 1].elcr);
	return 0;
}

static int elcr_write(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		      unsigned int len, const void *data)
{
	const u8 *p = data;

	while (len--)
		write_elcr(vcpu->vm->irqchip, addr++ & 1, *p++);
	return 0;
}

static const struct umbra_iodev_ops pic_ops = { .read = pic_read, .write = pic_write };
static const struct umbra_iodev_ops elcr_ops = { .read = elcr_read, .write = elcr_write };

void umbra_pic_init(struct umbra_irqchip *chip)
{
	struct umbra_pic *pic = &chip->pic;
	unsigned int i;

	raw_spin_lock_init(&pic->lock);
	for (i = 0; i < 2; i++)
		pic->chip[i].elcr_mask = elcr_mask[i];
	pic->master.ops = &pic_ops;
	pic->slave.ops = &pic_ops;
	pic->elcr.ops = &elcr_ops;
}

int umbra_pic_register(struct umbra_irqchip *chip)
{
	struct umbra_pic *pic = &chip->pic;
	int ret;

	ret = umbra_iodev_register(chip->vm, UMBRA_BUS_PIO, 0x20, 2, &pic->master);
	if (!ret)
		ret = umbra_iodev_register(chip->vm, UMBRA_BUS_PIO, 0xa0, 2, &pic->slave);
	if (!ret)
		ret = umbra_iodev_register(chip->vm, UMBRA_BUS_PIO, 0x4d0, 2, &pic->elcr);
	if (ret)
		umbra_pic_unregister(chip);
	return ret;
}

void umbra_pic_unregister(struct umbra_irqchip *chip)
{
	struct umbra_pic *pic = &chip->pic;

	umbra_iodev_unregister(chip->vm, UMBRA_BUS_PIO, &pic->master);
	umbra_iodev_unregister(chip->vm, UMBRA_BUS_PIO, &pic->slave);
	umbra_iodev_unregister(chip->vm, UMBRA_BUS_PIO, &pic->elcr);
}

void umbra_pic_get(struct umbra_irqchip *chip, unsigned int nr, struct kvm_pic_state *state)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&chip->pic.lock, flags);
	*state = chip->pic.chip[nr];
	raw_spin_unlock_irqrestore(&chip->pic.lock, flags);
}

void umbra_pic_set(struct umbra_irqchip *chip, unsigned int nr, const struct kvm_pic_state *state)
{
	struct umbra_pic *pic = &chip->pic;
	struct kvm_pic_state c = *state;
	unsigned long flags;
	bool risen;

	c.priority_add &= 7;
	c.read_reg_select &= 1;
	c.poll &= 1;
	c.special_mask &= 1;
	c.init_state &= 3;
	c.auto_eoi &= 1;
	c.rotate_on_auto_eoi &= 1;
	c.special_fully_nested_mode &= 1;
	c.init4 &= 1;
	c.irq_base &= 0xf8;
	c.elcr_mask = elcr_mask[nr];
	c.elcr &= c.elcr_mask;

	raw_spin_lock_irqsave(&pic->lock, flags);
	pic->chip[nr] = c;
	risen = update_output(pic);
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (risen)
		umbra_lapic_pic_raised(chip->vm);
}
