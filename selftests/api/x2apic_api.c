// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_X2APIC_API: interrupts to APIC IDs of more than 8 bits, and what 0xff means. */
#include "vm.h"
#include "x86.h"

#define BASE_X2APIC	0xfee00c00ULL
#define VECTOR		0x51
#define MSI_LOW		0xfee00000u
#define FAR_ID		0x12c		/* 0x2c in its low byte */

static int enable(struct vm *vm, uint64_t flags)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API, .args = { flags } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static uint32_t reg(const struct kvm_lapic_state *s, uint32_t offset)
{
	uint32_t v;

	memcpy(&v, s->regs + offset, sizeof(v));
	return v;
}

static struct kvm_lapic_state get(struct vcpu *v)
{
	struct kvm_lapic_state s;

	ASSERT(!ioctl(v->fd, KVM_GET_LAPIC, &s));
	return s;
}

static int set_reg(struct vcpu *v, uint32_t offset, uint32_t value)
{
	struct kvm_lapic_state s = get(v);

	memcpy(s.regs + offset, &value, sizeof(value));
	return ioctl(v->fd, KVM_SET_LAPIC, &s);
}

/* A vCPU that never runs; its LAPIC takes interrupts in x2APIC mode, or in xAPIC mode. */
static struct vcpu *listener(struct vm *vm, int id, bool x2)
{
	struct vcpu *v = vm_vcpu(vm, id);
	struct kvm_sregs sregs = vcpu_sregs(v);

	if (x2) {
		sregs.apic_base |= BASE_X2APIC;
		ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &sregs));
	}
	ASSERT(!set_reg(v, APIC_SPIV, 0x1ff));
	return v;
}

static bool got(struct vcpu *v)
{
	struct kvm_lapic_state s = get(v);

	return reg(&s, APIC_IRR + VECTOR / 32 * 16) >> VECTOR % 32 & 1;
}

/* A message to @dest, by a call or by a route. */
static int send(struct vm *vm, uint32_t high, uint8_t low, bool by_route)
{
	struct kvm_msi msi = { .address_lo = MSI_LOW | (uint32_t)low << 12, .address_hi = high,
			       .data = VECTOR };
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e; } routes = {
		.head.nr = 1,
		.e = { .gsi = 40, .type = KVM_IRQ_ROUTING_MSI,
		       .u.msi = { .address_lo = msi.address_lo, .address_hi = high,
				  .data = VECTOR } },
	};

	if (!by_route)
		return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, &routes))
		return -1;
	return vm_irq(vm, 40, 1);
}

TEST(flags, "KVM_CAP_X2APIC_API: what CHECK_EXTENSION says is taken, nothing else")
{
	struct kvm_enable_cap more = { .cap = KVM_CAP_X2APIC_API, .args = { 1, 1 } };
	int flags = dev_cap(KVM_CAP_X2APIC_API);
	struct vm vm;

	EXPECT_EQ(flags, KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	EXPECT_ERR(enable(&vm, (uint64_t)flags + 1), EINVAL);
	EXPECT_ERR(enable(&vm, 1ULL << 63), EINVAL);
	if (on_umbra())
		EXPECT_ERR(ioctl(vm.fd, KVM_ENABLE_CAP, &more), EINVAL);
	EXPECT_OK(enable(&vm, 0));
	EXPECT_OK(enable(&vm, (uint64_t)flags));
}

TEST(id_register, "with 32-bit IDs GET and SET_LAPIC have an x2APIC's whole ID")
{
	struct kvm_lapic_state s;
	struct vcpu *far, *old;
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	old = listener(&vm, 3, false);
	far = listener(&vm, FAR_ID, true);
	s = get(far);
	EXPECT_EQ(reg(&s, APIC_ID), (uint32_t)FAR_ID << 24);
	ASSERT(!enable(&vm, KVM_X2APIC_API_USE_32BIT_IDS));
	s = get(far);
	EXPECT_EQ(reg(&s, APIC_ID), FAR_ID);
	EXPECT_OK(ioctl(far->fd, KVM_SET_LAPIC, &s));
	EXPECT_ERR(set_reg(far, APIC_ID, (uint32_t)FAR_ID << 24), EINVAL);
	EXPECT_ERR(set_reg(far, APIC_ID, FAR_ID + 1), EINVAL);
	/* In xAPIC mode the register is what it was. */
	s = get(old);
	EXPECT_EQ(reg(&s, APIC_ID), 3u << 24);
	EXPECT_OK(ioctl(old->fd, KVM_SET_LAPIC, &s));
}

static const struct way { const char *name; bool by_route; } ways[] = {
	{ "KVM_SIGNAL_MSI", false }, { "a route", true },
};

TEST_EACH(far_id, "a message reaches an ID of 9 bits, with 32-bit IDs only: ", ways, w)
{
	struct vcpu *far, *near;
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	near = listener(&vm, FAR_ID & 0xff, true);
	far = listener(&vm, FAR_ID, true);
	/* Without, stock KVM does not look at the upper half. */
	if (on_umbra()) {
		send(&vm, FAR_ID & ~0xffu, FAR_ID & 0xff, w->by_route);
		EXPECT(!got(near) && !got(far));
	}
	ASSERT(!enable(&vm, KVM_X2APIC_API_USE_32BIT_IDS));
	EXPECT_OK(send(&vm, FAR_ID & ~0xffu, FAR_ID & 0xff, w->by_route));
	EXPECT(!got(near) && got(far));
	EXPECT_OK(send(&vm, 0, FAR_ID & 0xff, w->by_route));
	EXPECT(got(near));
}

TEST(reserved, "with 32-bit IDs the low byte of a message's upper address must be 0")
{
	struct vcpu *v;
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	v = listener(&vm, 1, true);
	ASSERT(!enable(&vm, KVM_X2APIC_API_USE_32BIT_IDS));
	EXPECT_ERR(send(&vm, 0x01, 1, true), EINVAL);
	/* Which error stock KVM gives for that is not said anywhere. */
	EXPECT_EQ(send(&vm, 0x80, 1, false), -1);
	EXPECT(!on_umbra() || errno == EINVAL);
	EXPECT(!got(v));
}

TEST_EACH(broadcast, "0xff is all x2APICs, or without the quirk the one of that ID: ", ways, w)
{
	struct vcpu *a, *b;
	struct vm vm;

	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	a = listener(&vm, 0, true);
	b = listener(&vm, 0xff, true);
	ASSERT(!enable(&vm, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK));
	EXPECT_OK(send(&vm, 0, 0xff, w->by_route));
	EXPECT(!got(a) && got(b));

	vm_free(&vm);
	vm_init(&vm, VM_IRQCHIP | VM_NO_MEMORY);
	a = listener(&vm, 0, true);
	b = listener(&vm, 7, true);
	EXPECT_OK(send(&vm, 0, 0xff, w->by_route));
	EXPECT(got(a) && got(b));
}
