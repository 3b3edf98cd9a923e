// SPDX-License-Identifier: GPL-2.0-only
/* The in-kernel interrupt chips, the PIT, and the routes to them. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "vm.h"
#include "x86.h"

static const struct { const char *name; uint32_t id; } chips[] = {
	{ "PIC master", KVM_IRQCHIP_PIC_MASTER },
	{ "PIC slave", KVM_IRQCHIP_PIC_SLAVE },
	{ "IOAPIC", KVM_IRQCHIP_IOAPIC },
};

TEST(chip_twice, "CREATE_IRQCHIP a second time is EEXIST")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0UL));
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0UL), EEXIST);
}

TEST(chip_late, "CREATE_IRQCHIP after a vCPU is EINVAL")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0UL), EINVAL);
	EXPECT_EQ(ioctl(vm.vcpu[0].fd, KVM_GET_REGS,
			&(struct kvm_regs){ 0 }), 0);
}

TEST_EACH(chip_absent, "GET and SET_IRQCHIP without a chip are ENXIO: ", chips, c)
{
	struct kvm_irqchip chip = { .chip_id = c->id };
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip), ENXIO);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip), ENXIO);
}

TEST(chip_bad_id, "GET and SET_IRQCHIP of an unknown chip are EINVAL")
{
	static const uint32_t ids[] = { 3, 0x80000000, -1U };
	struct kvm_irqchip chip = { 0 };
	struct vm vm;
	unsigned int i;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		chip.chip_id = ids[i];
		EXPECT_ERR(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip), EINVAL);
		EXPECT_ERR(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip), EINVAL);
	}
}

TEST_EACH(chip_round, "SET_IRQCHIP then GET_IRQCHIP gives the same: ", chips, c)
{
	struct kvm_irqchip a = { .chip_id = c->id }, b;
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &a));
	if (c->id == KVM_IRQCHIP_IOAPIC) {
		a.chip.ioapic.id = 5;
		a.chip.ioapic.ioregsel = 0x12;
		a.chip.ioapic.redirtbl[4].bits = 0x0100000000000034ULL | BIT(16);
	} else {
		a.chip.pic.imr = 0x5a;
		a.chip.pic.irq_base = 0x48;
		a.chip.pic.auto_eoi = 1;
		a.chip.pic.elcr = 0x08;
	}
	EXPECT_OK(ioctl(vm.fd, KVM_SET_IRQCHIP, &a));
	memset(&b, 0, sizeof(b));
	b.chip_id = c->id;
	EXPECT_OK(ioctl(vm.fd, KVM_GET_IRQCHIP, &b));
	EXPECT(!memcmp(&a, &b, sizeof(a)));
}

TEST_EACH(chip_padding, "GET_IRQCHIP leaves no caller's byte it should write: ",
	  chips, c)
{
	struct kvm_irqchip a, b;
	size_t used = c->id == KVM_IRQCHIP_IOAPIC ? sizeof(a.chip.ioapic) :
						    sizeof(a.chip.pic);
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	memset(&a, 0xa5, sizeof(a));
	memset(&b, 0x5a, sizeof(b));
	a.chip_id = b.chip_id = c->id;
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &a));
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &b));
	EXPECT(!memcmp(&a.chip, &b.chip, used));
}

TEST(chip_set_garbage, "SET_IRQCHIP of random bytes does not hurt the host")
{
	unsigned int seed = ktap_env("SEED", 1), i, j;
	struct kvm_irqchip chip;
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	for (i = 0; i < 300; i++) {
		for (j = 0; j < sizeof(chip); j++)
			((uint8_t *)&chip)[j] = rand_r(&seed) >> 7;
		chip.chip_id = i % 3;
		ioctl(vm.fd, KVM_SET_IRQCHIP, &chip);
		for (j = 0; j < 24; j++)
			vm_irq(&vm, j, i & 1);
	}
	chip.chip_id = 0;
	EXPECT_OK(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
}

TEST(irq_no_chip, "IRQ_LINE without a chip is ENXIO")
{
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(vm_irq(&vm, 1, 1), ENXIO);
}

TEST(irq_no_vcpu, "IRQ_LINE before any vCPU is harmless on all lines")
{
	struct vm vm;
	int i;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	for (i = 0; i < 24; i++) {
		EXPECT_OK(vm_irq(&vm, i, 1));
		EXPECT_OK(vm_irq(&vm, i, 0));
	}
}

TEST(irq_no_vcpu_modes, "IRQ_LINE before any vCPU, each IOAPIC delivery mode")
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct vm vm;
	unsigned int mode, logical;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	for (mode = 0; mode < 8; mode++) {
		for (logical = 0; logical < 2; logical++) {
			chip.chip.ioapic.redirtbl[5].bits =
				0x41 | mode << 8 | logical << 11 |
				0xff00000000000000ULL;
			EXPECT_OK(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip));
			EXPECT_OK(vm_irq(&vm, 5, 1));
			EXPECT_OK(vm_irq(&vm, 5, 0));
		}
	}
}

TEST(irq_far_gsi, "IRQ_LINE of a GSI without a route does not hurt the host")
{
	static const uint32_t gsis[] = { 24, 100, 1023, 4095, 4096, 65536,
					 0x7fffffff, 0x80000000, -1U };
	struct vm vm;
	unsigned int i;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	for (i = 0; i < ARRAY_SIZE(gsis); i++) {
		vm_irq(&vm, gsis[i], 1);
		vm_irq(&vm, gsis[i], 0);
	}
	EXPECT_OK(vm_irq(&vm, 1, 0));
}

TEST(msi_no_vcpu, "SIGNAL_MSI before any vCPU, each delivery mode, is harmless")
{
	struct vm vm;
	unsigned int mode, dest;

	NEED_CAP(KVM_CAP_SIGNAL_MSI);
	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	for (mode = 0; mode < 8; mode++)
		for (dest = 0; dest < 256; dest += 51)
			vm_msi(&vm, 0xfee00000 | dest << 12 | (dest & 1) << 2,
			       0x40 | mode << 8);
	EXPECT_OK(ioctl(vm.fd, KVM_CREATE_VCPU, 0UL));
}

/* Routing. */

struct routes {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry e[2];
};

#define ROUTE_CHIP(g, c, p)						\
	{ .gsi = g, .type = KVM_IRQ_ROUTING_IRQCHIP,			\
	  .u.irqchip = { .irqchip = c, .pin = p } }

static const struct bad_route {
	const char *name;
	uint32_t nr, flags;
	struct kvm_irq_routing_entry e;
} bad_routes[] = {
	{ "an unknown flag", 1, 1, ROUTE_CHIP(5, 0, 5) },
	{ "an unknown type", 1, 0, { .gsi = 5, .type = 99 } },
	{ "type 0", 1, 0, { .gsi = 5, .type = 0 } },
	{ "an unknown chip", 1, 0, ROUTE_CHIP(5, 3, 0) },
	{ "chip -1", 1, 0, ROUTE_CHIP(5, -1U, 0) },
	{ "PIC pin 8", 1, 0, ROUTE_CHIP(5, KVM_IRQCHIP_PIC_MASTER, 8) },
	{ "slave PIC pin 8", 1, 0, ROUTE_CHIP(5, KVM_IRQCHIP_PIC_SLAVE, 8) },
	{ "IOAPIC pin 24", 1, 0, ROUTE_CHIP(5, KVM_IRQCHIP_IOAPIC, 24) },
	{ "IOAPIC pin -1", 1, 0, ROUTE_CHIP(5, KVM_IRQCHIP_IOAPIC, -1U) },
	{ "GSI 4096", 1, 0, ROUTE_CHIP(4096, KVM_IRQCHIP_IOAPIC, 0) },
	{ "GSI -1", 1, 0, ROUTE_CHIP(-1U, KVM_IRQCHIP_IOAPIC, 0) },
	{ "a flag on a pin", 1, 0,
	  { .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP, .flags = 1 } },
	{ "an unknown flag on an MSI", 1, 0,
	  { .gsi = 5, .type = KVM_IRQ_ROUTING_MSI, .flags = 0x80 } },
	{ "more entries than 4096", 4097, 0, ROUTE_CHIP(5, 0, 5) },
	{ "2^31 entries", 1U << 31, 0, ROUTE_CHIP(5, 0, 5) },
};

TEST_EACH(route_bad, "SET_GSI_ROUTING is EINVAL for ", bad_routes, b)
{
	struct routes *r = calloc(1, sizeof(*r) + 4200 * sizeof(r->e[0]));
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	r->head.nr = b->nr;
	r->head.flags = b->flags;
	r->e[0] = b->e;
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_GSI_ROUTING, r), EINVAL);
}

TEST(route_dup, "SET_GSI_ROUTING is EINVAL for one GSI on one chip twice")
{
	struct routes r = {
		.head.nr = 2,
		.e = { ROUTE_CHIP(5, KVM_IRQCHIP_IOAPIC, 1),
		       ROUTE_CHIP(5, KVM_IRQCHIP_IOAPIC, 2) },
	};
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_GSI_ROUTING, &r), EINVAL);
}

TEST(route_fault, "SET_GSI_ROUTING with entries in a guard page is EFAULT")
{
	struct kvm_irq_routing *r = map_guarded(sizeof(*r));
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	r->nr = 4;
	r->flags = 0;
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_GSI_ROUTING, r), EFAULT);
}

TEST(route_no_chip, "SET_GSI_ROUTING of pins without a chip is EINVAL")
{
	struct routes r = { .head.nr = 1, .e = { ROUTE_CHIP(5, 0, 5) } };
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_GSI_ROUTING, &r), EINVAL);
}

TEST(route_empty, "SET_GSI_ROUTING of no entry removes all routes")
{
	struct routes r = { .head.nr = 0 };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_GSI_ROUTING, &r));
	vm_irq(&vm, 5, 1);
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(chip.chip.pic.irr & BIT(5), 0);
}

TEST(route_moved, "SET_GSI_ROUTING sends a GSI to another pin")
{
	struct routes r = {
		.head.nr = 1,
		.e = { ROUTE_CHIP(77, KVM_IRQCHIP_PIC_MASTER, 3) },
	};
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	EXPECT_OK(ioctl(vm.fd, KVM_SET_GSI_ROUTING, &r));
	EXPECT_OK(vm_irq(&vm, 77, 1));
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.pic.irr & BIT(3));
}

TEST(route_default, "a new chip routes GSI 0 to 15 to both PIC and IOAPIC")
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	EXPECT_OK(vm_irq(&vm, 5, 1));
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(chip.chip.ioapic.irr, BIT(5));
	chip.chip_id = KVM_IRQCHIP_PIC_MASTER;
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.pic.irr & BIT(5));
	EXPECT_OK(vm_irq(&vm, 23, 1));
	chip.chip_id = KVM_IRQCHIP_IOAPIC;
	ASSERT(!ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.ioapic.irr & BIT(23));
}

/* The PIT. */

TEST(pit_twice, "CREATE_PIT2 a second time is EEXIST")
{
	struct kvm_pit_config pit = { 0 };
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_PIT | VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_PIT2, &pit), EEXIST);
}

TEST(pit_no_chip, "CREATE_PIT2 without a chip fails")
{
	struct kvm_pit_config pit = { 0 };
	struct vm vm;

	vm_init(&vm, VM_NO_MEMORY);
	if (!ioctl(vm.fd, KVM_CREATE_PIT2, &pit) && !on_umbra())
		SKIP("stock KVM of this version makes one");
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_PIT2, &pit), ENOENT);
}

TEST(pit_flags, "CREATE_PIT2 with an unknown flag is EINVAL")
{
	struct kvm_pit_config pit = { .flags = 0x80 };
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	if (!ioctl(vm.fd, KVM_CREATE_PIT2, &pit) && !on_umbra())
		SKIP("stock KVM ignores it");
	EXPECT_ERR(ioctl(vm.fd, KVM_CREATE_PIT2, &pit), EINVAL);
}

TEST(pit_absent, "GET and SET_PIT2 without a PIT are ENXIO")
{
	struct kvm_pit_state2 s = { 0 };
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	EXPECT_ERR(ioctl(vm.fd, KVM_GET_PIT2, &s), ENXIO);
	EXPECT_ERR(ioctl(vm.fd, KVM_SET_PIT2, &s), ENXIO);
}

TEST(pit_round, "SET_PIT2 then GET_PIT2 gives count and mode of each channel")
{
	struct kvm_pit_state2 a = { 0 }, b;
	struct vm vm;
	int i;

	vm_init(&vm, VM_PIT | VM_NO_MEMORY);
	ASSERT(!ioctl(vm.fd, KVM_GET_PIT2, &a));
	for (i = 0; i < 3; i++) {
		a.channels[i].count = 0x1000 + i;
		a.channels[i].mode = 2 + (i & 1);
		a.channels[i].rw_mode = 3;
		a.channels[i].gate = 1;
	}
	EXPECT_OK(ioctl(vm.fd, KVM_SET_PIT2, &a));
	memset(&b, 0xa5, sizeof(b));
	EXPECT_OK(ioctl(vm.fd, KVM_GET_PIT2, &b));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(b.channels[i].count, 0x1000 + i);
		EXPECT_EQ(b.channels[i].mode, 2 + (i & 1));
		EXPECT_EQ(b.channels[i].rw_mode, 3);
		EXPECT_EQ(b.channels[i].gate, 1);
	}
	for (i = 0; i < 9; i++)
		EXPECT_EQ(b.reserved[i], 0);
}

TEST(pit_zero, "SET_PIT2 with count 0 in each channel and mode is survived")
{
	struct kvm_pit_state2 s;
	struct vm vm;
	int mode, ch;

	vm_init(&vm, VM_PIT | VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	for (mode = 0; mode < 256; mode++) {
		memset(&s, 0, sizeof(s));
		for (ch = 0; ch < 3; ch++) {
			s.channels[ch].mode = mode;
			s.channels[ch].gate = 1;
			s.channels[ch].rw_mode = mode;
			s.channels[ch].read_state = mode;
			s.channels[ch].write_state = mode;
		}
		ioctl(vm.fd, KVM_SET_PIT2, &s);
		ioctl(vm.fd, KVM_GET_PIT2, &s);
	}
	sleep_ms(20);
	EXPECT_OK(ioctl(vm.fd, KVM_GET_PIT2, &s));
}

/* The local APIC of a vCPU. */

TEST(lapic_no_chip, "GET and SET_LAPIC without a chip are EINVAL")
{
	struct kvm_lapic_state s = { 0 };
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	EXPECT_ERR(ioctl(v->fd, KVM_GET_LAPIC, &s), EINVAL);
	EXPECT_ERR(ioctl(v->fd, KVM_SET_LAPIC, &s), EINVAL);
}

static uint32_t lapic_reg(struct kvm_lapic_state *s, uint32_t reg)
{
	uint32_t v;

	memcpy(&v, s->regs + reg, 4);
	return v;
}

static void lapic_put(struct kvm_lapic_state *s, uint32_t reg, uint32_t v)
{
	memcpy(s->regs + reg, &v, 4);
}

TEST(lapic_reset, "GET_LAPIC of a new vCPU is the state after reset")
{
	struct kvm_lapic_state s;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 3);
	memset(&s, 0xa5, sizeof(s));
	EXPECT_OK(ioctl(v->fd, KVM_GET_LAPIC, &s));
	EXPECT_EQ(lapic_reg(&s, APIC_ID), 3U << 24);
	EXPECT_EQ(lapic_reg(&s, APIC_SPIV), 0xff);
	EXPECT_EQ(lapic_reg(&s, APIC_DFR), 0xffffffff);
	EXPECT_EQ(lapic_reg(&s, APIC_TPR), 0);
	EXPECT_EQ(lapic_reg(&s, APIC_LVTT), 0x10000);
	EXPECT_EQ(lapic_reg(&s, APIC_LVT1), 0x10000);
	EXPECT_EQ(lapic_reg(&s, APIC_TMICT), 0);
	EXPECT_EQ(lapic_reg(&s, APIC_LVR) & 0xf0, 0x10);
	/* Bytes between the registers are written too. */
	EXPECT_EQ(lapic_reg(&s, APIC_TPR + 4), 0);
}

TEST(lapic_round, "SET_LAPIC then GET_LAPIC gives the same registers")
{
	static const struct { uint32_t reg, v; } put[] = {
		{ APIC_TPR, 0x40 }, { APIC_LDR, 0x02000000 },
		{ APIC_SPIV, 0x1f0 }, { APIC_LVTERR, 0x10033 },
		{ APIC_LVT0, 0x700 }, { APIC_LVT1, 0x400 },
		{ APIC_LVTT, 0x10040 }, { APIC_TDCR, 0xb },
		{ APIC_ICR2, 0x05000000 }, { APIC_IRR + 0x20, 0x00010000 },
		/* Vectors that no LAPIC accepts are kept all the same. */
		{ APIC_IRR, 0x0000ffff }, { APIC_ISR, 0x00008001 },
	};
	struct kvm_lapic_state s;
	struct vm vm;
	struct vcpu *v;
	unsigned int i;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	for (i = 0; i < ARRAY_SIZE(put); i++)
		lapic_put(&s, put[i].reg, put[i].v);
	EXPECT_OK(ioctl(v->fd, KVM_SET_LAPIC, &s));
	memset(&s, 0, sizeof(s));
	EXPECT_OK(ioctl(v->fd, KVM_GET_LAPIC, &s));
	for (i = 0; i < ARRAY_SIZE(put); i++)
		EXPECT_MSG(lapic_reg(&s, put[i].reg) == put[i].v,
			   "register %#x is %#x, wanted %#x", put[i].reg,
			   lapic_reg(&s, put[i].reg), put[i].v);
}

TEST(lapic_reset_round, "what GET_LAPIC says of a new vCPU, set again, changes nothing")
{
	struct kvm_lapic_state a, b;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	v = vm_vcpu_raw(&vm, 0);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &a));
	EXPECT_EQ(lapic_reg(&a, APIC_LVT0), 0x700);
	EXPECT_OK(ioctl(v->fd, KVM_SET_LAPIC, &a));
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &b));
	EXPECT(!memcmp(&a, &b, sizeof(a)));
}

TEST(lapic_timer_extremes, "SET_LAPIC with extreme timer counts is survived")
{
	static const uint32_t counts[] = { 0, 1, 2, 0x7fffffff, 0xffffffff };
	static const uint32_t modes[] = { 0, 0x20000, 0x40000, 0x60000 };
	struct kvm_lapic_state s;
	struct vm vm;
	struct vcpu *v;
	unsigned int c, m, d;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	v = vm_vcpu(&vm, 0);
	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	lapic_put(&s, APIC_SPIV, 0x1ff);
	for (m = 0; m < ARRAY_SIZE(modes); m++) {
		for (d = 0; d < 16; d++) {
			for (c = 0; c < ARRAY_SIZE(counts); c++) {
				lapic_put(&s, APIC_LVTT, modes[m] | 0x40);
				lapic_put(&s, APIC_TDCR, d);
				lapic_put(&s, APIC_TMICT, counts[c]);
				lapic_put(&s, APIC_TMCCT, counts[c] / 2);
				ioctl(v->fd, KVM_SET_LAPIC, &s);
			}
		}
	}
	sleep_ms(20);
	EXPECT_OK(ioctl(v->fd, KVM_GET_LAPIC, &s));
}

TEST(lapic_garbage, "SET_LAPIC of random bytes does not hurt the host")
{
	unsigned int seed = ktap_env("SEED", 1), i, j;
	struct kvm_lapic_state s;
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	v = vm_vcpu(&vm, 0);
	for (i = 0; i < 300; i++) {
		for (j = 0; j < sizeof(s); j++)
			s.regs[j] = rand_r(&seed) >> 7;
		ioctl(v->fd, KVM_SET_LAPIC, &s);
		vm_irq(&vm, i % 24, i & 1);
	}
	EXPECT_OK(ioctl(v->fd, KVM_GET_LAPIC, &s));
}

TEST(apic_base, "SET_SREGS: the APIC base keeps to what an APIC can have")
{
	static const struct { uint64_t base; bool good; } t[] = {
		{ 0xfee00000 | APIC_BASE_ON | APIC_BASE_BSP, true },
		{ 0xfee00000 | APIC_BASE_BSP, true },
		{ 0xfee00000 | APIC_BASE_ON | APIC_BASE_X2, true },
		{ 0xfee00000 | APIC_BASE_X2, false },
		{ 0xfee00000 | APIC_BASE_ON | 1, false },
		{ 0xfee00000 | APIC_BASE_ON | BIT(9), false },
		{ 0xfee00000 | APIC_BASE_ON | BIT(63), false },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		struct kvm_sregs s;
		struct vm vm;
		struct vcpu *v;
		int r;

		vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
		v = vm_vcpu(&vm, 0);
		s = vcpu_sregs(v);
		s.apic_base = t[i].base;
		r = ioctl(v->fd, KVM_SET_SREGS, &s);
		EXPECT_MSG(!r == t[i].good, "%#llx: %d",
			   (unsigned long long)t[i].base, r);
		if (t[i].good)
			EXPECT_EQ(vcpu_sregs(v).apic_base, t[i].base);
		vm_free(&vm);
	}
}
