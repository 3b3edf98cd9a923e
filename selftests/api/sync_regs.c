// SPDX-License-Identifier: GPL-2.0-only
/* Registers by way of the run page: KVM_CAP_SYNC_REGS. */
#include "guest.h"
#include "vm.h"

#define ALL	(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

static volatile uint64_t g_seen;

static void add_guest(void)
{
	uint64_t rbx = 5;

	for (;;) {
		asm volatile("outl %%eax, %%dx"
			     : "+b"(rbx) : "a"(0), "d"(PORT_SYNC) : "memory");
		g_seen = rbx++;
	}
}

static void run_to_out(struct vcpu *v)
{
	ASSERT(vcpu_run(v) == KVM_EXIT_IO);
	ASSERT(v->run->io.port == PORT_SYNC);
}

TEST(sync_out, "kvm_valid_regs: the run page has the registers that the calls give")
{
	struct kvm_vcpu_events events = { 0 };
	struct kvm_sync_regs *s;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, add_guest);

	EXPECT_EQ(dev_cap(KVM_CAP_SYNC_REGS) & ALL, ALL);
	s = &v->run->s.regs;
	v->run->kvm_valid_regs = ALL;
	run_to_out(v);
	ASSERT(!ioctl(v->fd, KVM_GET_REGS, &regs));
	ASSERT(!ioctl(v->fd, KVM_GET_SREGS, &sregs));
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(s->regs.rbx, 5);
	EXPECT(!memcmp(&s->regs, &regs, sizeof(regs)));
	EXPECT(!memcmp(&s->sregs, &sregs, sizeof(sregs)));
	EXPECT(!memcmp(&s->events, &events, sizeof(events)));
	/* What is not asked for stays as it is. */
	memset(&s->regs, 0xa5, sizeof(s->regs));
	v->run->kvm_valid_regs = 0;
	run_to_out(v);
	EXPECT_EQ(s->regs.rbx, 0xa5a5a5a5a5a5a5a5);
}

TEST(sync_in, "kvm_dirty_regs: what stands in the run page is taken, once")
{
	struct kvm_sync_regs *s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, add_guest);

	s = &v->run->s.regs;
	v->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	run_to_out(v);
	s->regs.rbx = 0x100;
	s->sregs.fs.base = 0x12345000;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	v->run->kvm_valid_regs = 0;
	run_to_out(v);
	EXPECT_EQ(v->run->kvm_dirty_regs, 0);
	EXPECT_EQ(G(&vm, g_seen), 0x100);
	EXPECT_EQ(vcpu_sregs(v).fs.base, 0x12345000);
	s->regs.rbx = 0x200;
	run_to_out(v);
	EXPECT_EQ(G(&vm, g_seen), 0x101);
}

TEST(sync_events, "kvm_dirty_regs: an exception goes in by the run page")
{
	struct kvm_sync_regs *s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, add_guest);

	s = &v->run->s.regs;
	v->run->kvm_valid_regs = KVM_SYNC_X86_EVENTS;
	run_to_out(v);
	s->events.exception.injected = 1;
	s->events.exception.nr = 32;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
	EXPECT_ERR(ioctl(v->fd, KVM_RUN, 0UL), EINVAL);
	/* Not taken, so that it is still to be taken. */
	EXPECT_EQ(v->run->kvm_dirty_regs, KVM_SYNC_X86_EVENTS);
	s->events.exception.injected = 0;
	run_to_out(v);
	EXPECT_EQ(v->run->kvm_dirty_regs, 0);
}

TEST(sync_bad, "unknown bits, and registers that no CPU has, are EINVAL")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, add_guest);
	uint64_t bit;

	for (bit = ALL + 1; bit; bit <<= 1) {
		v->run->kvm_valid_regs = bit;
		EXPECT_ERR(ioctl(v->fd, KVM_RUN, 0UL), EINVAL);
		v->run->kvm_valid_regs = 0;
		v->run->kvm_dirty_regs = bit;
		EXPECT_ERR(ioctl(v->fd, KVM_RUN, 0UL), EINVAL);
		v->run->kvm_dirty_regs = 0;
	}
	v->run->kvm_valid_regs = KVM_SYNC_X86_SREGS;
	run_to_out(v);
	v->run->s.regs.sregs.cr4 |= 1ULL << 40;
	v->run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	EXPECT_ERR(ioctl(v->fd, KVM_RUN, 0UL), EINVAL);
}
