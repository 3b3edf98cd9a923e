// SPDX-License-Identifier: GPL-2.0-only
/* INIT and SIPI: latched by whoever sends them, acted on by the vCPU's owner. */
#include "backend.h"
#include "irq.h"
#include "lapic.h"
#include "umbra.h"
#include "vcpu.h"

bool umbra_lapic_has_init_sipi(struct umbra_vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->latched);
}

void umbra_lapic_latch_sipi(struct umbra_vcpu *vcpu)
{
	set_bit(LAPIC_LATCHED_SIPI, &vcpu->lapic->latched);
}

void umbra_lapic_set_sipi_vector(struct umbra_vcpu *vcpu, u32 vector)
{
	WRITE_ONCE(vcpu->lapic->sipi_vector, vector);
}

/* Start at the page that the SIPI named, in real mode as INIT left it. */
static void start_at_sipi(struct umbra_vcpu *vcpu, u8 vector)
{
	struct kvm_segment cs;

	umbra_backend->get_segment(vcpu, &cs, VCPU_SREG_CS);
	cs.selector = vector << 8;
	cs.base = vector << 12;
	umbra_backend->set_segment(vcpu, &cs, VCPU_SREG_CS);
	umbra_set_rip(vcpu, 0);
	WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
}

bool umbra_lapic_accept_events(struct umbra_vcpu *vcpu)
{
	struct umbra_lapic *apic = vcpu->lapic;
	u32 old = READ_ONCE(vcpu->mp_state);

	if (!apic || !READ_ONCE(apic->latched))
		return false;
	if (test_and_clear_bit(LAPIC_LATCHED_INIT, &apic->latched)) {
		umbra_vcpu_reset(vcpu, true);
		WRITE_ONCE(vcpu->mp_state, lapic_is_boot_cpu(vcpu) ? KVM_MP_STATE_RUNNABLE :
							       KVM_MP_STATE_INIT_RECEIVED);
	}
	if (test_and_clear_bit(LAPIC_LATCHED_SIPI, &apic->latched)) {
		smp_rmb();	/* pairs with accept() */
		/* A CPU that does not wait for a SIPI drops it. */
		if (vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED)
			start_at_sipi(vcpu, READ_ONCE(apic->sipi_vector));
	}
	return vcpu->mp_state != old;
}
