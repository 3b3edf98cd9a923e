// SPDX-License-Identifier: GPL-2.0-only
/*
 * Routes: what a GSI is wired to, and the life of the chips.
 *
 * Delivery is done with RCU and raw locks only, for the PIT raises its line in
 * hard interrupt context.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "irqchip.h"
#include "trace.h"
#include "umbra.h"

#define PIC_PINS	8

/* A pin or a message at the end of a route. */
struct route {
	u16 gsi;
	u8 kind;		/* ROUTE_* */
	u8 pin;
	struct umbra_irq_msg msg;
};

/*
 * ROUTE_NOWHERE: a message whose address is not the LAPICs'. A VMM may set such
 * a route for a vector that its guest has not programmed yet.
 */
enum { ROUTE_PIC, ROUTE_IOAPIC, ROUTE_MSI, ROUTE_NOWHERE };

/*
 * All routes, sorted by GSI; those of GSI n are route[first[n]] up to
 * route[first[n + 1]]. level_vectors: those of userspace's IOAPICs that are
 * level-triggered, whose end it wants to know.
 */
struct umbra_routes {
	struct rcu_head rcu;
	DECLARE_BITMAP(level_vectors, 256);
	u32 nr_gsis;
	u16 *first;
	struct route route[];
};

static void free_routes(struct umbra_routes *routes)
{
	kvfree(routes);
}

/* Room for @nr routes of GSIs below @nr_gsis, in one piece. */
static struct umbra_routes *alloc_routes(u32 nr, u32 nr_gsis)
{
	struct umbra_routes *routes;
	size_t size = struct_size(routes, route, nr);

	routes = kvzalloc(size + (nr_gsis + 1) * sizeof(*routes->first), GFP_KERNEL_ACCOUNT);
	if (!routes)
		return NULL;
	routes->nr_gsis = nr_gsis;
	routes->first = (void *)routes + size;
	return routes;
}

/* --- MSI ---------------------------------------------------------------- */

#define MSI_BASE		0xfee00000u
#define MSI_BASE_MASK		0xfff00000u
#define MSI_LOGICAL		BIT(2)
#define MSI_REDIRECT		BIT(3)
#define MSI_DEST_SHIFT		12
#define MSI_MODE_SHIFT		8
#define MSI_LEVEL		BIT(15)

/* The upper half of an address has bits 31 to 8 of an x2APIC's ID, where the VMM has asked. */
#define MSI_HI_RESERVED		0xffu

static bool wide_ids(const struct umbra_vm *vm)
{
	return READ_ONCE(vm->x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS;
}

/*
 * What an address and data of x86 mean. false: no interrupt message. Of the lower half bits
 * 31 to 20 are not looked at: of a device's store QEMU gives the offset in the APICs' page.
 */
static bool decode_msi(const struct umbra_vm *vm, u32 lo, u32 hi, u32 data,
		       struct umbra_irq_msg *msg)
{
	if (hi & (wide_ids(vm) ? MSI_HI_RESERVED : ~0u))
		return false;
	*msg = (struct umbra_irq_msg){
		.dest = hi | ((lo >> MSI_DEST_SHIFT) & 0xff),
		.mode = (data >> MSI_MODE_SHIFT) & 7,
		.vector = data & 0xff,
		.logical = lo & MSI_LOGICAL,
		.level = data & MSI_LEVEL,
	};
	if (msg->mode == UMBRA_DM_FIXED && (lo & MSI_REDIRECT) && msg->logical)
		msg->mode = UMBRA_DM_LOWEST;
	return true;
}

int umbra_signal_msi(struct umbra_vm *vm, const struct kvm_msi *msi)
{
	struct umbra_irq_msg msg;

	if (!umbra_irqchip_in_kernel(vm) || msi->flags ||
	    !decode_msi(vm, msi->address_lo, msi->address_hi, msi->data, &msg))
		return -EINVAL;
	return umbra_lapic_deliver(vm, &msg, NULL);
}

/* --- lines -------------------------------------------------------------- */

static int follow(struct umbra_irqchip *chip, const struct route *r, int source, int level)
{
	switch (r->kind) {
	case ROUTE_PIC:
		return umbra_pic_set_pin(chip, source, r->pin, level);
	case ROUTE_IOAPIC:
		return umbra_ioapic_set_pin(chip, source, r->pin, level);
	case ROUTE_MSI:
		return level ? umbra_lapic_deliver(chip->vm, &r->msg, NULL) : -1;
	}
	return -1;
}

/* The routes of a GSI, *@end behind the last; in RCU. */
static const struct route *routes_of(const struct umbra_irqchip *chip, u32 gsi,
				     const struct route **end)
{
	const struct umbra_routes *routes = rcu_dereference(chip->routes);

	*end = NULL;
	if (gsi >= routes->nr_gsis)
		return NULL;
	gsi = array_index_nospec(gsi, routes->nr_gsis);
	*end = routes->route + routes->first[gsi + 1];
	return routes->route + routes->first[gsi];
}

int umbra_set_irq(struct umbra_vm *vm, int source, u32 gsi, int level)
{
	struct umbra_irqchip *chip = smp_load_acquire(&vm->irqchip);
	const struct route *r, *end;
	int ret = -1;

	umbra_trace(kvm_set_irq, gsi, level, source);
	if (!chip)
		return -1;
	rcu_read_lock();
	for (r = routes_of(chip, gsi, &end); r < end; r++) {
		int took = follow(chip, r, source, level);

		if (took >= 0)
			ret = max(ret, 0) + took;
	}
	rcu_read_unlock();
	return ret;
}

void umbra_pulse_irq(struct umbra_vm *vm, int source, u32 gsi)
{
	struct umbra_irqchip *chip = smp_load_acquire(&vm->irqchip);
	const struct route *r, *end;

	if (!chip)
		return;
	rcu_read_lock();
	for (r = routes_of(chip, gsi, &end); r < end; r++) {
		follow(chip, r, source, 1);
		if (r->kind < ROUTE_MSI)
			follow(chip, r, source, 0);
	}
	rcu_read_unlock();
}

bool umbra_gsi_has_pin(struct umbra_vm *vm, u32 gsi, bool ioapic, unsigned int pin)
{
	u8 kind = ioapic ? ROUTE_IOAPIC : ROUTE_PIC;
	const struct route *r, *end;

	for (r = routes_of(vm->irqchip, gsi, &end); r < end; r++)
		if (r->kind == kind && r->pin == pin)
			return true;
	return false;
}

/* --- tables ------------------------------------------------------------- */

static int parse_pin(const struct kvm_irq_routing_entry *e, struct route *r)
{
	u32 pin = e->u.irqchip.pin;

	switch (e->u.irqchip.irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		if (pin >= PIC_PINS)
			return -EINVAL;
		r->kind = ROUTE_PIC;
		r->pin = pin + (e->u.irqchip.irqchip == KVM_IRQCHIP_PIC_SLAVE ? PIC_PINS : 0);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		if (pin >= UMBRA_IOAPIC_PINS)
			return -EINVAL;
		r->kind = ROUTE_IOAPIC;
		r->pin = pin;
		return 0;
	}
	return -EINVAL;
}

static int parse_entry(const struct umbra_irqchip *chip, const struct kvm_irq_routing_entry *e,
		       struct route *r)
{
	const struct kvm_irq_routing_msi *msi = &e->u.msi;

	if (e->gsi >= UMBRA_NR_GSIS || e->flags)
		return -EINVAL;
	r->gsi = e->gsi;
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return chip->split ? -EINVAL : parse_pin(e, r);
	case KVM_IRQ_ROUTING_MSI:
		if (wide_ids(chip->vm) && (msi->address_hi & MSI_HI_RESERVED))
			return -EINVAL;
		r->kind = (msi->address_lo & MSI_BASE_MASK) == MSI_BASE &&
			  decode_msi(chip->vm, msi->address_lo, msi->address_hi, msi->data,
				     &r->msg) ? ROUTE_MSI : ROUTE_NOWHERE;
		return 0;
	}
	return -EINVAL;
}

/* One GSI may have a pin of each chip, or one message. */
static bool routes_clash(const struct route *a, const struct route *b)
{
	if (a->kind >= ROUTE_MSI || b->kind >= ROUTE_MSI)
		return true;
	return a->kind == b->kind && (a->kind == ROUTE_IOAPIC || a->pin / 8 == b->pin / 8);
}

/* Put @parsed into @routes, sorted by counting. */
static int sort_routes(struct umbra_routes *routes, const struct route *parsed, u32 nr)
{
	u16 *first = routes->first;
	u32 i, j;

	/* first[n + 1] counts, then becomes the end, of GSI n's routes. */
	for (i = 0; i < nr; i++)
		first[parsed[i].gsi + 1]++;
	for (i = 0; i < routes->nr_gsis; i++)
		first[i + 1] += first[i];
	/* Filled from behind: first[n + 1] walks down to the start of n's. */
	for (i = nr; i-- > 0;) {
		u32 gsi = parsed[i].gsi;

		routes->route[--first[gsi + 1]] = parsed[i];
	}
	for (i = 0; i < routes->nr_gsis; i++)
		first[i] = first[i + 1];
	first[routes->nr_gsis] = nr;

	for (i = 0; i < nr; i++)
		for (j = i + 1; j < nr && routes->route[j].gsi == routes->route[i].gsi; j++)
			if (routes_clash(&routes->route[i], &routes->route[j]))
				return -EINVAL;
	return 0;
}

static void note_level_vectors(struct umbra_routes *routes, u32 nr, u32 reserved)
{
	u32 i;

	for (i = 0; i < nr && routes->route[i].gsi < reserved; i++) {
		const struct route *r = &routes->route[i];

		if (r->kind == ROUTE_MSI && r->msg.level && r->msg.mode <= UMBRA_DM_LOWEST)
			__set_bit(r->msg.vector, routes->level_vectors);
	}
}

static int build_routes(const struct umbra_irqchip *chip,
			const struct kvm_irq_routing_entry *entries, u32 nr,
			struct umbra_routes **result)
{
	struct umbra_routes *routes;
	struct route *parsed;
	u32 i, nr_gsis = 0;
	int ret = 0;

	parsed = kvcalloc(max(nr, 1u), sizeof(*parsed), GFP_KERNEL_ACCOUNT);
	if (!parsed)
		return -ENOMEM;
	for (i = 0; i < nr && !ret; i++) {
		ret = parse_entry(chip, &entries[i], &parsed[i]);
		nr_gsis = max(nr_gsis, parsed[i].gsi + 1u);
	}
	if (ret)
		goto out;

	routes = alloc_routes(nr, nr_gsis);
	if (!routes) {
		ret = -ENOMEM;
		goto out;
	}
	ret = sort_routes(routes, parsed, nr);
	if (ret) {
		free_routes(routes);
	} else {
		note_level_vectors(routes, nr, chip->reserved);
		*result = routes;
	}
out:
	kvfree(parsed);
	return ret;
}

int umbra_set_routing(struct umbra_vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr)
{
	struct umbra_irqchip *chip = smp_load_acquire(&vm->irqchip);
	struct umbra_routes *new = NULL, *old;
	int ret;

	if (!chip || nr > UMBRA_NR_GSIS)
		return -EINVAL;
	ret = build_routes(chip, entries, nr, &new);
	if (ret)
		return ret;

	mutex_lock(&vm->irq_lock);
	old = rcu_replace_pointer(chip->routes, new, lockdep_is_held(&vm->irq_lock));
	mutex_unlock(&vm->irq_lock);
	/* An interrupt on its way may still take the old one, as on any bus. */
	kvfree_rcu(old, rcu);
	return 0;
}

/* GSI n is pin n of the IOAPIC, and below 16 pin n of the PICs too. */
static int default_routes(struct umbra_irqchip *chip)
{
	struct umbra_routes *routes = NULL;
	struct kvm_irq_routing_entry *e;
	u32 i, n = 0;
	int ret;

	e = kcalloc(UMBRA_IOAPIC_PINS + 2 * PIC_PINS, sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	for (i = 0; i < UMBRA_IOAPIC_PINS; i++, n++) {
		e[n].gsi = i;
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e[n].u.irqchip.pin = i;
	}
	for (i = 0; i < 2 * PIC_PINS; i++, n++) {
		e[n].gsi = i;
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].u.irqchip.irqchip = i / PIC_PINS ? KVM_IRQCHIP_PIC_SLAVE :
							KVM_IRQCHIP_PIC_MASTER;
		e[n].u.irqchip.pin = i % PIC_PINS;
	}
	ret = build_routes(chip, e, n, &routes);
	if (!ret)
		rcu_assign_pointer(chip->routes, routes);
	kfree(e);
	return ret;
}

/* --- the chips ---------------------------------------------------------- */

static int put_on_buses(struct umbra_irqchip *chip)
{
	struct umbra_vm *vm = chip->vm;
	int ret;

	mutex_lock(&vm->slots_lock);
	ret = umbra_pic_register(chip);
	if (!ret) {
		ret = umbra_ioapic_register(chip);
		if (ret)
			umbra_pic_unregister(chip);
	}
	mutex_unlock(&vm->slots_lock);
	return ret;
}

static struct umbra_irqchip *new_chip(struct umbra_vm *vm)
{
	struct umbra_irqchip *chip = kzalloc(sizeof(*chip), GFP_KERNEL_ACCOUNT);

	if (!chip)
		return NULL;
	chip->vm = vm;
	umbra_pic_init(chip);
	umbra_ioapic_init(chip);
	return chip;
}

/* @ret: 0: whoever sees it finds it complete; else it is freed. Returns @ret. */
static int publish_chip(struct umbra_irqchip *chip, int ret)
{
	if (ret) {
		free_routes(rcu_dereference_protected(chip->routes, true));
		kfree(chip);
	} else {
		smp_store_release(&chip->vm->irqchip, chip);
	}
	return ret;
}

int umbra_irqchip_create(struct umbra_vm *vm)
{
	struct umbra_irqchip *chip;
	int ret;

	lockdep_assert_held(&vm->lock);
	if (vm->irqchip)
		return -EEXIST;
	if (vm->online_vcpus)
		return -EINVAL;
	chip = new_chip(vm);
	if (!chip)
		return -ENOMEM;
	ret = default_routes(chip);
	if (!ret)
		ret = put_on_buses(chip);
	return publish_chip(chip, ret);
}

int umbra_irqchip_split(struct umbra_vm *vm, const struct kvm_enable_cap *cap)
{
	struct umbra_routes *routes = NULL;
	struct umbra_irqchip *chip;
	int ret;

	lockdep_assert_held(&vm->lock);
	if (cap->args[0] > UMBRA_NR_GSIS || cap->args[1] || cap->args[2] || cap->args[3])
		return -EINVAL;
	if (vm->irqchip || vm->online_vcpus)
		return -EEXIST;
	chip = new_chip(vm);
	if (!chip)
		return -ENOMEM;
	chip->split = true;
	chip->reserved = cap->args[0];
	ret = build_routes(chip, NULL, 0, &routes);
	rcu_assign_pointer(chip->routes, routes);
	return publish_chip(chip, ret);
}

void umbra_vector_ended(struct umbra_vcpu *vcpu, u8 vector)
{
	struct umbra_irqchip *chip = vcpu->vm->irqchip;
	bool wanted;

	if (!chip->split) {
		umbra_ioapic_eoi(chip, vector);
		return;
	}
	rcu_read_lock();
	wanted = test_bit(vector, rcu_dereference(chip->routes)->level_vectors);
	rcu_read_unlock();
	if (!wanted)
		return;
	vcpu->ended_vector = vector;
	umbra_request(vcpu, UMBRA_REQ_IOAPIC_EOI);
}

void umbra_irqchip_quiesce(struct umbra_vm *vm)
{
	if (vm->irqchip)
		umbra_ioapic_stop(vm->irqchip);
}

void umbra_irqchip_destroy(struct umbra_vm *vm)
{
	struct umbra_irqchip *chip = vm->irqchip;

	if (!chip)
		return;
	vm->irqchip = NULL;
	free_routes(rcu_dereference_protected(chip->routes, true));
	kfree(chip);
}

bool umbra_irqchip_in_kernel(struct umbra_vm *vm)
{
	return smp_load_acquire(&vm->irqchip) != NULL;
}

bool umbra_pic_in_kernel(struct umbra_vm *vm)
{
	struct umbra_irqchip *chip = smp_load_acquire(&vm->irqchip);

	return chip && !chip->split;
}

int umbra_irqchip_get(struct umbra_vm *vm, struct kvm_irqchip *state)
{
	struct umbra_irqchip *chip = smp_load_acquire(&vm->irqchip);

	if (!chip || chip->split)
		return -ENXIO;
	memset(&state->chip, 0, sizeof(state->chip));
	state->pad = 0;
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
		umbra_pic_get(chip, 0, &state->chip.pic);
		return 0;
	case KVM_IRQCHIP_PIC_SLAVE:
		umbra_pic_get(chip, 1, &state->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		umbra_ioapic_get(chip, &state->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

int umbra_irqchip_set(struct umbra_vm *vm, const struct kvm_irqchip *state)
{
	struct umbra_irqchip *chip = smp_load_acquire(&vm->irqchip);

	if (!chip || chip->split)
		return -ENXIO;
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
		umbra_pic_set(chip, 0, &state->chip.pic);
		return 0;
	case KVM_IRQCHIP_PIC_SLAVE:
		umbra_pic_set(chip, 1, &state->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		return umbra_ioapic_set(chip, &state->chip.ioapic);
	}
	return -EINVAL;
}
