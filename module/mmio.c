// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO: who answers, and the short way for the plain MOVs that drivers use.
 *
 * The hardware has walked the guest's tables for such an access, with its rights,
 * and says where it led; what is left of the instruction is a register or a
 * constant and a size. So one that was decoded here before is done without the
 * emulator.
 */
#include <linux/kvm.h>
#include <linux/string.h>
#include <asm/processor-flags.h>

#include "emulate.h"
#include "iodev.h"
#include "irq.h"
#include "mmio.h"
#include "trace.h"
#include "umbra.h"

/* Inlined by force: an event makes the compiler think them big. */
static __always_inline int device_read(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len,
				       void *data)
{
	if (umbra_lapic_mmio_read(vcpu, gpa, len, data) &&
	    umbra_io_read(vcpu, UMBRA_BUS_MMIO, gpa, len, data))
		return -EOPNOTSUPP;
	umbra_trace(kvm_mmio, UMBRA_MMIO_READ, len, gpa, data);
	return 0;
}

static __always_inline int device_write(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len,
					const void *data)
{
	if (umbra_lapic_mmio_write(vcpu, gpa, len, data) &&
	    umbra_io_write(vcpu, UMBRA_BUS_MMIO, gpa, len, data))
		return -EOPNOTSUPP;
	umbra_trace(kvm_mmio, UMBRA_MMIO_WRITE, len, gpa, data);
	return 0;
}

int umbra_device_read(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, void *data)
{
	return device_read(vcpu, gpa, len, data);
}

int umbra_device_write(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data)
{
	return device_write(vcpu, gpa, len, data);
}

bool umbra_mmio_address(struct umbra_vcpu *vcpu, gpa_t *gpa, bool *write)
{
	const struct umbra_exit *exit = &vcpu->exit;

	if (exit->reason != UMBRA_EXIT_PAGE_FAULT || !(exit->fault.error & PFERR_GUEST_FINAL) ||
	    (exit->fault.error & PFERR_FETCH))
		return false;
	*gpa = exit->fault.gpa;
	*write = exit->fault.error & PFERR_WRITE;
	return true;
}

void umbra_mmio_exit(struct umbra_vcpu *vcpu, gpa_t gpa, unsigned int len, const void *data)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = gpa;
	run->mmio.len = len;
	run->mmio.is_write = data != NULL;
	if (data) {
		umbra_trace(kvm_mmio, UMBRA_MMIO_WRITE, len, gpa, data);
		memcpy(run->mmio.data, data, len);
	} else {
		umbra_trace(kvm_mmio, UMBRA_MMIO_UNSATISFIED, len, gpa, NULL);
	}
}

/* The MOV has read @value; 4 bytes clear the upper half. */
static int finish_read(struct umbra_vcpu *vcpu, const struct umbra_emul_mov *mov, u64 value)
{
	u64 old = umbra_gpr(vcpu, mov->reg);

	switch (mov->size) {
	case 1:
		value = (old & ~0xffull) | (u8)value;
		break;
	case 2:
		value = (old & ~0xffffull) | (u16)value;
		break;
	case 4:
		value = (u32)value;
		break;
	}
	umbra_set_gpr(vcpu, mov->reg, value);
	return umbra_skip_insn(vcpu, UMBRA_NR_INSNS);
}

/* Userspace has answered; the instruction and its end are kept in vcpu->io and vcpu->exit. */
static int complete_read(struct umbra_vcpu *vcpu)
{
	u64 value = 0;

	/* Userspace went elsewhere, by a reset for example: the instruction is no more. */
	if (umbra_rip(vcpu) != vcpu->io.rip)
		return 1;
	memcpy(&value, vcpu->run->mmio.data, sizeof(value));
	umbra_trace(kvm_mmio, UMBRA_MMIO_READ, vcpu->io.mov.size, vcpu->exit.fault.gpa,
		    vcpu->run->mmio.data);
	return finish_read(vcpu, &vcpu->io.mov, value);
}

static int read_device(struct umbra_vcpu *vcpu, const struct umbra_emul_mov *mov, gpa_t gpa)
{
	u64 value = 0;

	if (!device_read(vcpu, gpa, mov->size, &value))
		return finish_read(vcpu, mov, value);
	umbra_mmio_exit(vcpu, gpa, mov->size, NULL);
	vcpu->io.complete = complete_read;
	vcpu->io.rip = umbra_rip(vcpu);
	vcpu->io.mov = *mov;
	return 0;
}

static int write_device(struct umbra_vcpu *vcpu, const struct umbra_emul_mov *mov, gpa_t gpa)
{
	u64 value = mov->constant ? mov->value : umbra_gpr(vcpu, mov->reg);
	bool to_user = device_write(vcpu, gpa, mov->size, &value);
	int r = umbra_skip_insn(vcpu, UMBRA_NR_INSNS);

	if (!to_user)
		return r;
	umbra_mmio_exit(vcpu, gpa, mov->size, &value);
	return 0;
}

/*
 * Does the operand begin where the fault was? At a page's first byte it may have come there from the
 * page before, which is the emulator's business.
 */
static bool begins_at(struct umbra_vcpu *vcpu, const struct umbra_emul_mov *mov, gpa_t gpa)
{
	u64 base = 0;

	if (likely(gpa & ~PAGE_MASK))
		return true;
	if (mov->base == UMBRA_EMUL_ANY_BASE)
		return false;
	if (mov->base != UMBRA_EMUL_NO_BASE)
		base = umbra_gpr(vcpu, mov->base);
	return !((base + mov->offset) & ~PAGE_MASK);
}

/* Single steps and breakpoints are the emulator's business, and so is what it must split or might refuse. */
static bool plain(struct umbra_vcpu *vcpu, const struct umbra_emul_mov *mov, gpa_t gpa, bool write)
{
	return write == mov->write && !(gpa & (mov->size - 1)) && begins_at(vcpu, mov, gpa) &&
	       !vcpu->regs.guest_debug && !(umbra_rflags(vcpu) & X86_EFLAGS_TF) &&
	       !umbra_breakpoints(vcpu);
}

/* The MOV at RIP, if it was seen before and that is all it takes; else NULL. */
static __always_inline const struct umbra_emul_mov *known_mov(struct umbra_vcpu *vcpu, gpa_t *gpa,
							     bool *write)
{
	const struct umbra_memo *memo;

	if (!umbra_mmio_address(vcpu, gpa, write) || !umbra_is_64bit_code(vcpu))
		return NULL;
	memo = umbra_memo_find(vcpu);
	if (!memo || memo->insn != UMBRA_NR_INSNS || !plain(vcpu, &memo->mov, *gpa, *write))
		return NULL;
	vcpu->exit.next_rip = umbra_rip(vcpu) + memo->len;
	return &memo->mov;
}

int umbra_mmio_fault(struct umbra_vcpu *vcpu)
{
	const struct umbra_events *ev = &vcpu->events;
	const struct umbra_emul_mov *mov;
	gpa_t gpa;
	bool write;

	/* The IDT, a stack or the like is where no memory is: that is no instruction's access. */
	if (ev->exc.injected || ev->irq.injected || ev->nmi_injected)
		return umbra_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV, NULL, 0);
	mov = known_mov(vcpu, &gpa, &write);
	if (!mov)
		return umbra_emulate_insn(vcpu);
	return write ? write_device(vcpu, mov, gpa) : read_device(vcpu, mov, gpa);
}

int umbra_store_fault(struct umbra_vcpu *vcpu)
{
	const struct umbra_emul_mov *mov;
	bool write;
	u64 value;
	gpa_t gpa;

	mov = known_mov(vcpu, &gpa, &write);
	if (!mov)
		return umbra_emulate_store(vcpu);
	value = mov->constant ? mov->value : umbra_gpr(vcpu, mov->reg);
	if (umbra_guest_write(vcpu->vm, gpa, &value, mov->size))
		return umbra_emulate_insn(vcpu);
	return umbra_skip_insn(vcpu, UMBRA_NR_INSNS);
}
