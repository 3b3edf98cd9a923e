// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's way to the world: guest memory through the guest's tables,
 * devices through the buses, and userspace for what no device in the kernel
 * answers.
 *
 * A device read must happen once, though its instruction is executed again
 * after each trip to userspace. So completed reads are remembered in order, and
 * an execution is given those first. Device writes come after all reads of
 * their instruction; those for userspace are queued and sent when it is done.
 */
#include <linux/kvm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "emul_ops.h"
#include "iodev.h"
#include "irq.h"
#include "mmio.h"
#include "stats.h"
#include "trace.h"
#include "umbra.h"

int umbra_emul_fault(struct umbra_emul *e, u8 vector, bool has_error, u32 error, u64 cr2)
{
	e->exception = (struct umbra_emul_exception) {
		.vector = vector,
		.has_error_code = has_error,
		.error_code = error,
		.cr2 = cr2,
	};
	return UMBRA_EMUL_FAULT;
}

/* ---- breakpoints ---- */

/* Which breakpoints does an access of @n bytes at @addr hit? @types: bits by R/W field of DR7. */
static void note_access(struct umbra_vcpu_emul *ve, u64 addr, unsigned int n, unsigned int types)
{
	static const u8 sizes[] = { 1, 2, 8, 4 };
	struct umbra_vcpu *vcpu = ve->vcpu;
	u64 dr7 = vcpu->regs.effective_dr7, start;
	unsigned int i, control;

	for (i = 0; i < 4; i++) {
		control = dr7 >> (DR_CONTROL_SHIFT + i * DR_CONTROL_SIZE);
		if (!((dr7 >> (i * DR_ENABLE_SIZE)) & 3) || !((types >> (control & 3)) & 1))
			continue;
		start = umbra_effective_dr(vcpu, i) & ~(u64)(sizes[(control >> 2) & 3] - 1);
		if (addr < start + sizes[(control >> 2) & 3] && start < addr + n)
			ve->watched |= BIT(i);
	}
}

static void note_memory(struct umbra_emul *e, u64 la, unsigned int n, bool write)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);

	if (umbra_breakpoints(ve->vcpu))
		note_access(ve, la, n, write ? BIT(DR_RW_WRITE) | BIT(DR_RW_READ) : BIT(DR_RW_READ));
}

/* R/W 2 means ports, with CR4.DE. */
static void note_port(struct umbra_vcpu_emul *ve, u16 port, unsigned int n)
{
	if (umbra_breakpoints(ve->vcpu) && (umbra_cr4(ve->vcpu) & X86_CR4_DE))
		note_access(ve, port, n, BIT(2));
}

/* ---- memory ---- */

static int translate(struct umbra_emul *e, u64 la, u32 access, gpa_t *gpa)
{
	u32 error;
	int r = umbra_gva_to_gpa(umbra_to_ve(e)->vcpu, la, access, gpa, &error);

	if (!r)
		return UMBRA_EMUL_OK;
	if (r > 0)
		return umbra_emul_fault(e, X86_TRAP_PF, true, error, la);
	return r == -EAGAIN ? UMBRA_EMUL_RESTART : UMBRA_EMUL_UNHANDLEABLE;
}

/*
 * As translate(), for one piece of what the instruction reads or writes. The hardware has walked the
 * guest's tables for the access that faulted, with its rights, and said where it led.
 */
static int translate_operand(struct umbra_emul *e, u64 la, u32 access, unsigned int acc, gpa_t *gpa)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);

	if ((acc & EMUL_ACC_OPERAND) && ve->fault_known &&
	    !((la ^ ve->fault_gpa) & ~PAGE_MASK) && (ve->fault_write || !(access & PFERR_WRITE))) {
		*gpa = ve->fault_gpa;
		return UMBRA_EMUL_OK;
	}
	return translate(e, la, access, gpa);
}

static u32 access_bits(struct umbra_emul *e, unsigned int acc, bool write)
{
	u32 access = write ? PFERR_WRITE : 0;

	if (acc & EMUL_ACC_SYSTEM)
		access |= PFERR_IMPLICIT;
	else if (e->cpl == 3)
		access |= PFERR_USER;
	return access;
}

/* Bytes from @la on that lie in its page. */
static unsigned int in_page(u64 la, unsigned int n)
{
	return min_t(u64, n, PAGE_SIZE - (la & ~PAGE_MASK));
}

static int op_fetch(struct umbra_emul *e, u64 la, void *buf, unsigned int n)
{
	gpa_t gpa;
	int r = translate(e, la, PFERR_FETCH | access_bits(e, 0, false), &gpa);

	if (r)
		return r;
	return umbra_guest_read(umbra_to_ve(e)->vcpu->vm, gpa, buf, n) ?
		UMBRA_EMUL_UNHANDLEABLE : UMBRA_EMUL_OK;
}

/* One piece of at most 8 bytes of a device read: remembered, from the kernel, or wanted from userspace. */
static int mmio_read_chunk(struct umbra_vcpu_emul *ve, gpa_t gpa, void *buf, unsigned int n)
{
	struct mmio_access *a;

	if (ve->next_read < ve->nr_reads) {
		a = &ve->reads[ve->next_read];
		if (a->gpa != gpa || a->len != n)
			return UMBRA_EMUL_UNHANDLEABLE;
		memcpy(buf, a->data, n);
		ve->next_read++;
		return UMBRA_EMUL_OK;
	}
	if (ve->nr_reads == MMIO_ACCESSES)
		return UMBRA_EMUL_UNHANDLEABLE;
	a = &ve->reads[ve->nr_reads];
	a->gpa = gpa;
	a->len = n;
	if (umbra_device_read(ve->vcpu, gpa, n, a->data)) {
		ve->read_wanted = true;
		return UMBRA_EMUL_IO;
	}
	memcpy(buf, a->data, n);
	ve->nr_reads++;
	ve->next_read++;
	return UMBRA_EMUL_OK;
}

static int mmio_read(struct umbra_vcpu_emul *ve, gpa_t gpa, void *buf, unsigned int n)
{
	unsigned int piece;
	int r;

	/* A new unit of a string instruction: what the last one read is used up. */
	if (ve->step != ve->e.step) {
		ve->step = ve->e.step;
		ve->nr_reads = 0;
		ve->next_read = 0;
	}
	for (; n; n -= piece, gpa += piece, buf += piece) {
		piece = min_t(unsigned int, n, MMIO_CHUNK);
		r = mmio_read_chunk(ve, gpa, buf, piece);
		if (r)
			return r;
	}
	return UMBRA_EMUL_OK;
}

static int mmio_write(struct umbra_vcpu_emul *ve, gpa_t gpa, const void *buf, unsigned int n)
{
	struct mmio_access *a;
	unsigned int piece;

	for (; n; n -= piece, gpa += piece, buf += piece) {
		piece = min_t(unsigned int, n, MMIO_CHUNK);
		/* Behind a write that waits for userspace none may overtake. */
		if (!ve->nr_writes && !umbra_device_write(ve->vcpu, gpa, piece, buf))
			continue;
		if (ve->nr_writes == MMIO_ACCESSES)
			return UMBRA_EMUL_UNHANDLEABLE;
		a = &ve->writes[ve->nr_writes++];
		a->gpa = gpa;
		a->len = piece;
		memcpy(a->data, buf, piece);
		ve->e.stop_rep = true;
	}
	return UMBRA_EMUL_OK;
}

/* Is @gpa memory for this kind of access? A read-only slot takes no writes: they are MMIO. */
static bool is_ram(struct umbra_vcpu *vcpu, gpa_t gpa, bool write)
{
	bool writable;

	return umbra_gfn_to_hva(vcpu->vm, gpa >> PAGE_SHIFT, &writable) && (writable || !write);
}

/* The page behind @la: outside of 64-bit mode addresses wrap at 4 GiB. */
static u64 next_la(struct umbra_emul *e, u64 la, unsigned int n)
{
	if (e->mode != UMBRA_EMUL_LONG64 && !(la >> 32))
		return (u32)(la + n);
	return la + n;
}

static int op_read_mem(struct umbra_emul *e, u64 la, void *buf, unsigned int n, unsigned int acc)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);
	u32 access = access_bits(e, acc, acc & EMUL_ACC_WRITE);
	unsigned int piece;
	gpa_t gpa;
	int r;

	note_memory(e, la, n, false);
	for (; n; n -= piece, la = next_la(e, la, piece), buf += piece) {
		piece = in_page(la, n);
		r = translate_operand(e, la, access, acc, &gpa);
		if (r)
			return r;
		/* No slot, or nothing behind it: either may change while we look. */
		if (!umbra_guest_read(ve->vcpu->vm, gpa, buf, piece))
			continue;
		r = mmio_read(ve, gpa, buf, piece);
		if (r)
			return r;
	}
	return UMBRA_EMUL_OK;
}

static int write_piece(struct umbra_vcpu_emul *ve, gpa_t gpa, const void *buf, unsigned int n)
{
	if (!umbra_guest_write(ve->vcpu->vm, gpa, buf, n))
		return UMBRA_EMUL_OK;
	return mmio_write(ve, gpa, buf, n);
}

static int op_write_mem(struct umbra_emul *e, u64 la, const void *buf, unsigned int n, unsigned int acc)
{
	u32 access = access_bits(e, acc, true);
	unsigned int first = in_page(la, n);
	gpa_t gpa, gpa2 = 0;
	int r;

	note_memory(e, la, n, true);
	/* Both pages are checked before the first byte is written. */
	r = translate_operand(e, la, access, acc, &gpa);
	if (!r && first < n)
		r = translate_operand(e, next_la(e, la, first), access, acc, &gpa2);
	if (r)
		return r;
	r = write_piece(umbra_to_ve(e), gpa, buf, first);
	if (!r && first < n)
		r = write_piece(umbra_to_ve(e), gpa2, buf + first, n - first);
	return r;
}

static int op_probe(struct umbra_emul *e, u64 la, unsigned int n, unsigned int acc, bool *ram)
{
	bool write = acc & EMUL_ACC_WRITE;
	gpa_t gpa;
	int r = translate(e, la, access_bits(e, acc, write), &gpa);

	if (!r)
		*ram = is_ram(umbra_to_ve(e)->vcpu, gpa, write);
	return r;
}

static int op_cmpxchg_mem(struct umbra_emul *e, u64 la, void *old, const void *new,
			  unsigned int n, unsigned int acc)
{
	u32 access = access_bits(e, acc, true);
	unsigned int first = in_page(la, n);
	gpa_t gpa, behind;
	int r;

	note_memory(e, la, n, true);
	r = translate_operand(e, la, access, acc, &gpa);
	if (r)
		return r;
	behind = gpa + first;
	if (first < n)
		r = translate_operand(e, next_la(e, la, first), access, acc, &behind);
	if (r)
		return r;
	/* The CPU locks the bus for any two pages, the kernel can for neighbours. */
	if (behind == gpa + first &&
	    !umbra_guest_cmpxchg(umbra_to_ve(e)->vcpu->vm, gpa, old, new, n))
		return UMBRA_EMUL_OK;
	/* A device, or what cannot be locked: the write is merely done. */
	return op_write_mem(e, la, new, n, acc);
}

/* ---- ports ---- */

static int op_pio_in(struct umbra_emul *e, u16 port, unsigned int size, void *buf, unsigned int count)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);
	unsigned int i;

	note_port(ve, port, size);
	if (ve->pio_done) {
		ve->pio_done = false;
		memcpy(buf, ve->vcpu->pio_data, size * count);
		umbra_trace(kvm_pio, false, port, size, count, buf);
		return UMBRA_EMUL_OK;
	}
	for (i = 0; i < count; i++) {
		if (!umbra_io_read(ve->vcpu, UMBRA_BUS_PIO, port, size, buf + i * size))
			continue;
		if (i)		/* a device that answers once and then no more */
			memset(buf + i * size, 0xff, size);
		else {
			umbra_pio_exit(ve->vcpu, port, size, count, true);
			ve->pio = true;
			return UMBRA_EMUL_IO;
		}
	}
	umbra_trace(kvm_pio, false, port, size, count, buf);
	return UMBRA_EMUL_OK;
}

static int op_pio_out(struct umbra_emul *e, u16 port, unsigned int size, const void *buf,
		      unsigned int count)
{
	struct umbra_vcpu_emul *ve = umbra_to_ve(e);
	unsigned int i;

	note_port(ve, port, size);
	umbra_trace(kvm_pio, true, port, size, count, buf);
	for (i = 0; i < count; i++) {
		if (!umbra_io_write(ve->vcpu, UMBRA_BUS_PIO, port, size, buf + i * size))
			continue;
		/* An ioeventfd takes some values and not others: the rest is userspace's, in order. */
		memcpy(ve->vcpu->pio_data, buf + i * size, size * (count - i));
		umbra_pio_exit(ve->vcpu, port, size, count - i, false);
		ve->pio = true;
		break;
	}
	return UMBRA_EMUL_OK;
}

static const struct umbra_emul_ops emul_ops = {
	.fetch = op_fetch,
	.read_mem = op_read_mem,
	.write_mem = op_write_mem,
	.probe = op_probe,
	.cmpxchg_mem = op_cmpxchg_mem,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.get_seg = umbra_emul_get_seg,
	.set_seg = umbra_emul_set_seg,
	.get_cr = umbra_emul_get_cr,
	.set_cr = umbra_emul_set_cr,
	.get_dr = umbra_emul_get_dr,
	.set_dr = umbra_emul_set_dr,
	.rdmsr = umbra_emul_rdmsr,
	.wrmsr = umbra_emul_wrmsr,
	.get_msr = umbra_emul_get_msr,
	.set_msr = umbra_emul_set_msr,
	.cpuid = umbra_emul_cpuid,
	.get_dtable = umbra_emul_get_dtable,
	.set_dtable = umbra_emul_set_dtable,
	.tsc = umbra_emul_tsc,
	.get_xmm = umbra_emul_get_xmm,
	.set_xmm = umbra_emul_set_xmm,
	.hlt = umbra_emul_hlt,
	.wbinvd = umbra_emul_wbinvd,
	.invlpg = umbra_emul_invlpg,
	.get_fpu = umbra_emul_get_fpu,
	.set_fpu = umbra_emul_set_fpu,
	.get_xcr0 = umbra_emul_get_xcr0,
	.get_xinuse = umbra_emul_get_xinuse,
	.set_xcr0 = umbra_emul_set_xcr0,
	.get_pkru = umbra_emul_get_pkru,
	.set_pkru = umbra_emul_set_pkru,
	.cpu_has = umbra_emul_cpu_has,
	.invpcid = umbra_emul_invpcid,
	.rdpmc = umbra_emul_rdpmc,
	.hypercall = umbra_emul_hypercall,
	.nmi_unmask = umbra_emul_nmi_unmask,
};

/* ---- from the exit to the commit ---- */

int umbra_emul_mode(struct umbra_vcpu *vcpu)
{
	struct kvm_segment cs;

	if (umbra_is_64bit_code(vcpu))
		return UMBRA_EMUL_LONG64;
	if (!umbra_is_protected(vcpu))
		return UMBRA_EMUL_REAL;
	if (umbra_rflags(vcpu) & X86_EFLAGS_VM)
		return UMBRA_EMUL_VM86;
	umbra_backend->get_segment(vcpu, &cs, VCPU_SREG_CS);
	return cs.db ? UMBRA_EMUL_PROT32 : UMBRA_EMUL_PROT16;
}

u64 umbra_code_address(struct umbra_vcpu *vcpu)
{
	struct kvm_segment cs;

	if (umbra_is_64bit_code(vcpu))
		return umbra_rip(vcpu);
	umbra_backend->get_segment(vcpu, &cs, VCPU_SREG_CS);
	return (u32)(umbra_rip(vcpu) + cs.base);
}

int umbra_fetch_insn(struct umbra_vcpu *vcpu, u8 *bytes)
{
	u32 access = PFERR_FETCH | (umbra_hot(get_cpl)(vcpu) == 3 ? PFERR_USER : 0);
	unsigned int first;
	u32 error;
	gpa_t gpa;
	u64 la = umbra_code_address(vcpu);

	first = in_page(la, UMBRA_MAX_INSN);
	if (umbra_gva_to_gpa(vcpu, la, access, &gpa, &error) ||
	    umbra_guest_read(vcpu->vm, gpa, bytes, first))
		return 0;
	/* What lies behind the page's end counts only where it can be read. */
	if (first < UMBRA_MAX_INSN &&
	    (umbra_gva_to_gpa(vcpu, la + first, access, &gpa, &error) ||
	     umbra_guest_read(vcpu->vm, gpa, bytes + first, UMBRA_MAX_INSN - first)))
		return first;
	return UMBRA_MAX_INSN;
}

static void commit(struct umbra_vcpu *vcpu, struct umbra_emul *e)
{
	memcpy(vcpu->regs.gpr, e->gpr, sizeof(vcpu->regs.gpr));
	umbra_set_gpr(vcpu, UMBRA_RSP, e->gpr[UMBRA_RSP]);
	umbra_set_rflags(vcpu, e->rflags);
}

static int complete_mmio_read(struct umbra_vcpu *vcpu);
static int send_mmio_writes(struct umbra_vcpu *vcpu);
static int complete_pio_in(struct umbra_vcpu *vcpu);
static int complete_msr(struct umbra_vcpu *vcpu);

/* What the finished instruction owes to debuggers: breakpoints that it hit, and its single step. */
static int debug_events(struct umbra_vcpu *vcpu, struct umbra_vcpu_emul *ve)
{
	u64 bits = ve->watched | (ve->e.trap_task ? DR_SWITCH : 0);

	if (!bits)
		return umbra_after_insn(vcpu, ve->trap);
	if (ve->e.trap_step)
		bits |= DR_STEP;
	if (ve->watched && (vcpu->regs.guest_debug & KVM_GUESTDBG_USE_HW_BP))
		return umbra_debug_exit(vcpu, X86_TRAP_DB, bits);
	umbra_queue_debug(vcpu, bits);
	return 1;
}

/* Userspace has all that the instruction wrote: what is left is the step over it. */
static int complete_writes(struct umbra_vcpu *vcpu)
{
	/* Unless userspace went elsewhere. */
	if (umbra_rip(vcpu) != vcpu->io.rip)
		return 1;
	return debug_events(vcpu, vcpu->emul);
}

static void mmio_exit(struct umbra_vcpu *vcpu, const struct mmio_access *a, bool write)
{
	umbra_mmio_exit(vcpu, a->gpa, a->len, write ? a->data : NULL);
	vcpu->io.complete = write ? send_mmio_writes : complete_mmio_read;
	vcpu->io.rip = umbra_rip(vcpu);
}

static int send_mmio_writes(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;

	if (ve->next_write == ve->nr_writes)
		return complete_writes(vcpu);
	mmio_exit(vcpu, &ve->writes[ve->next_write++], true);
	return 0;
}

static int wait_for_read(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;

	if (ve->read_wanted) {
		mmio_exit(vcpu, &ve->reads[ve->nr_reads], false);
	} else if (ve->msr) {
		vcpu->io.complete = complete_msr;
		vcpu->io.rip = umbra_rip(vcpu);
	} else {
		vcpu->io.complete = complete_pio_in;
		vcpu->io.rip = umbra_rip(vcpu);
		ve->rcx = vcpu->regs.gpr[UMBRA_RCX];
		ve->pio = false;
	}
	return 0;
}

/* The instruction, or a part of a string one, is done. */
static int finish_done(struct umbra_vcpu *vcpu, struct umbra_vcpu_emul *ve, bool whole)
{
	struct umbra_emul *e = &ve->e;
	u32 shadow = 0;

	commit(vcpu, e);
	if (whole) {
		umbra_set_rip(vcpu, e->rip);
		if (e->int_shadow & UMBRA_EMUL_SHADOW_STI)
			shadow |= KVM_X86_SHADOW_INT_STI;
		if (e->int_shadow & UMBRA_EMUL_SHADOW_MOV_SS)
			shadow |= KVM_X86_SHADOW_INT_MOV_SS;
		umbra_hot(set_interrupt_shadow)(vcpu, shadow);
	}
	/* A load of SS hides them, as AMD's CPUs do. */
	if (e->int_shadow & UMBRA_EMUL_SHADOW_MOV_SS)
		ve->watched = 0;
	ve->trap = e->trap_step || (vcpu->regs.guest_debug & KVM_GUESTDBG_SINGLESTEP);
	if (ve->pio) {
		ve->pio = false;
		vcpu->io.complete = complete_writes;
		vcpu->io.rip = umbra_rip(vcpu);
		return 0;
	}
	if (ve->nr_writes)
		return send_mmio_writes(vcpu);
	if (ve->halt && whole) {
		if (!vcpu->lapic) {
			vcpu->run->exit_reason = KVM_EXIT_HLT;
			return 0;
		}
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_HALTED);
	}
	return debug_events(vcpu, ve);
}

static int finish_fault(struct umbra_vcpu *vcpu, struct umbra_emul *e)
{
	const struct umbra_emul_exception *x = &e->exception;

	commit(vcpu, e);
	/* It has moved where a new task faults in its first moment. */
	umbra_set_rip(vcpu, e->rip);
	if (x->vector == X86_TRAP_PF) {
		umbra_mmu_flush_gva(vcpu, x->cr2);
		umbra_queue_page_fault(vcpu, x->cr2, x->error_code);
	} else if (x->has_error_code) {
		umbra_queue_exception_e(vcpu, x->vector, x->error_code);
	} else {
		umbra_queue_exception(vcpu, x->vector);
	}
	return 1;
}

static int finish(struct umbra_vcpu *vcpu, struct umbra_vcpu_emul *ve, int result)
{
	switch (result) {
	case UMBRA_EMUL_OK:
		return finish_done(vcpu, ve, true);
	case UMBRA_EMUL_RESTART:
		return finish_done(vcpu, ve, false);
	case UMBRA_EMUL_FAULT:
		return finish_fault(vcpu, &ve->e);
	case UMBRA_EMUL_IO:
		commit(vcpu, &ve->e);
		return wait_for_read(vcpu);
	default:
		umbra_trace(kvm_emulate_insn, vcpu, &ve->e, true);
		if (umbra_mmu_let_write(vcpu))
			return 1;
		return umbra_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION,
					    ve->e.bytes, min_t(u8, ve->e.nbytes, UMBRA_MAX_INSN));
	}
}

static int execute(struct umbra_vcpu *vcpu, struct umbra_vcpu_emul *ve)
{
	ve->next_read = 0;
	ve->nr_writes = 0;
	ve->next_write = 0;
	ve->read_wanted = false;
	ve->watched = 0;
	return finish(vcpu, ve, umbra_emul_execute(&ve->e));
}

/* Userspace answered a read: give the same execution what it asked for. */
static int complete_mmio_read(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;
	struct mmio_access *a = &ve->reads[ve->nr_reads];

	if (umbra_rip(vcpu) != vcpu->io.rip)
		return 1;
	memcpy(a->data, vcpu->run->mmio.data, a->len);
	umbra_trace(kvm_mmio, UMBRA_MMIO_READ, a->len, a->gpa, a->data);
	ve->nr_reads++;
	return execute(vcpu, ve);
}

static int complete_pio_in(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;

	if (umbra_rip(vcpu) != vcpu->io.rip)
		return 1;
	ve->pio_done = true;
	/* As on KVM, a count that userspace has changed holds for what is left to do. */
	if (vcpu->regs.gpr[UMBRA_RCX] != ve->rcx)
		ve->e.gpr[EMUL_RCX] = vcpu->regs.gpr[UMBRA_RCX];
	return execute(vcpu, ve);
}

static int complete_msr(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;

	if (umbra_rip(vcpu) != vcpu->io.rip)
		return 1;
	ve->msr = READ_ONCE(vcpu->run->msr.error) ? MSR_REFUSED : MSR_ANSWERED;
	ve->msr_value = READ_ONCE(vcpu->run->msr.data);
	return execute(vcpu, ve);
}

/* The vCPU's state as the emulator wants it. */
static void prepare(struct umbra_vcpu *vcpu, struct umbra_vcpu_emul *ve)
{
	struct umbra_emul *e = &ve->e;

	umbra_gpr(vcpu, UMBRA_RSP);	/* make the cache whole */
	memcpy(e->gpr, vcpu->regs.gpr, sizeof(e->gpr));
	e->ops = &emul_ops;
	e->rip = umbra_rip(vcpu);
	e->rflags = umbra_rflags(vcpu);
	e->mode = umbra_emul_mode(vcpu);
	e->cpl = umbra_hot(get_cpl)(vcpu);
	e->la_bits = umbra_cr4(vcpu) & X86_CR4_LA57 ? 57 : 48;
	ve->nr_reads = 0;
	ve->nr_writes = 0;
	ve->pio = false;
	ve->pio_done = false;
	ve->msr = MSR_NONE;
	ve->halt = false;
	ve->watched = 0;
}

static int emulate(struct umbra_vcpu *vcpu, bool to_table)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;
	struct umbra_emul *e = &ve->e;
	struct umbra_emul_mov mov;
	int r;

	umbra_count(vcpu, emulated);
	prepare(vcpu, ve);
	ve->fault_known = umbra_mmio_address(vcpu, &ve->fault_gpa, &ve->fault_write);

	r = umbra_emul_decode(e, vcpu->exit.insn_len ? vcpu->exit.insn : NULL, vcpu->exit.insn_len);
	if (r)
		return finish(vcpu, ve, r);
	ve->step = e->step;
	/* Who clears or copies pages means none that is a table now: the CPU does it faster. */
	if (to_table && umbra_emul_repeats(e) && umbra_mmu_let_write(vcpu))
		return 1;
	umbra_trace(kvm_emulate_insn, vcpu, e, false);
	if (ve->fault_known && e->mode == UMBRA_EMUL_LONG64 && umbra_emul_plain_mov(e, &mov))
		umbra_memo_learn(vcpu, e->bytes, e->len, UMBRA_NR_INSNS, &mov, -1);
	return execute(vcpu, ve);
}

int umbra_emulate_insn(struct umbra_vcpu *vcpu)
{
	return emulate(vcpu, false);
}

int umbra_emulate_store(struct umbra_vcpu *vcpu)
{
	return emulate(vcpu, true);
}

/* Does a breakpoint stop the guest in front of its instruction? The CPU has not looked. */
static bool stopped_before(struct umbra_vcpu *vcpu, struct umbra_vcpu_emul *ve)
{
	ve->watched = 0;
	if (!umbra_breakpoints(vcpu) || (umbra_rflags(vcpu) & X86_EFLAGS_RF) ||
	    (umbra_backend->interrupt_shadow(vcpu) & KVM_X86_SHADOW_INT_MOV_SS))
		return false;
	note_access(ve, umbra_code_address(vcpu), 1, BIT(DR_RW_EXECUTE));
	return ve->watched;
}

int umbra_emulate_unseen(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;

	if (!stopped_before(vcpu, ve))
		return umbra_emulate_insn(vcpu);
	if (vcpu->regs.guest_debug & KVM_GUESTDBG_USE_HW_BP)
		return umbra_debug_exit(vcpu, X86_TRAP_DB, ve->watched);
	/* A fault: IRET goes on with the instruction. */
	umbra_set_rflags(vcpu, umbra_rflags(vcpu) | X86_EFLAGS_RF);
	umbra_queue_debug(vcpu, ve->watched);
	return 1;
}

int umbra_emulate_next(struct umbra_vcpu *vcpu)
{
	int idx, r;

	/* Nothing has exited, so nothing of an exit is known. */
	memset(&vcpu->exit, 0, sizeof(vcpu->exit));
	vcpu->exit.reason = UMBRA_EXIT_SPURIOUS;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = umbra_emulate_unseen(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/* The delivery of an event faulted. Of an exception stays what tells whether that makes a #DF. */
static int faulted_delivery(struct umbra_vcpu *vcpu, struct umbra_emul *e)
{
	vcpu->events.irq.injected = false;
	vcpu->events.nmi_injected = false;
	return finish_fault(vcpu, e);
}

bool umbra_emulate_event(struct umbra_vcpu *vcpu, u8 vector, bool soft, const u32 *error)
{
	struct umbra_vcpu_emul *ve = vcpu->emul;
	int idx, r;

	prepare(vcpu, ve);
	ve->fault_known = false;
	ve->e.nbytes = 0;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = umbra_emul_interrupt(&ve->e, vector, soft, error);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	/* A table or a stack in a device is beyond what can be done: the CPU is lost. */
	if (r == UMBRA_EMUL_OK && ve->nr_writes)
		r = UMBRA_EMUL_UNHANDLEABLE;
	switch (r) {
	case UMBRA_EMUL_OK:
		commit(vcpu, &ve->e);
		umbra_set_rip(vcpu, ve->e.rip);
		umbra_hot(set_interrupt_shadow)(vcpu, 0);
		umbra_events_delivered(&vcpu->events);
		break;
	case UMBRA_EMUL_FAULT:
		faulted_delivery(vcpu, &ve->e);
		break;
	case UMBRA_EMUL_RESTART:
		umbra_request(vcpu, UMBRA_REQ_EVENT);
		break;
	default:
		umbra_request(vcpu, UMBRA_REQ_TRIPLE_FAULT);
	}
	return r == UMBRA_EMUL_OK;
}

int umbra_emulate_task_switch(struct umbra_vcpu *vcpu)
{
	struct umbra_events *ev = &vcpu->events;
	struct umbra_vcpu_emul *ve = vcpu->emul;
	u32 error = vcpu->exit.task.error;
	int r;

	/* JMP, CALL, IRET, or INT by a task gate: the whole instruction is done here. */
	if (!ev->exc.injected && !ev->irq.injected && !ev->nmi_injected)
		return umbra_emulate_insn(vcpu);

	prepare(vcpu, ve);
	ve->fault_known = false;
	ve->e.nbytes = 0;
	r = umbra_emul_task_switch(&ve->e, vcpu->exit.task.selector, UMBRA_TASK_GATE,
				   vcpu->exit.task.has_error ? &error : NULL);
	if (r == UMBRA_EMUL_FAULT)
		return faulted_delivery(vcpu, &ve->e);
	if (r == UMBRA_EMUL_OK)
		umbra_events_delivered(&vcpu->events);
	/* A TSS in a device is beyond what can be done. */
	return finish(vcpu, ve, r == UMBRA_EMUL_IO ? UMBRA_EMUL_UNHANDLEABLE : r);
}

int umbra_emul_create(struct umbra_vcpu *vcpu)
{
	vcpu->emul = kzalloc(sizeof(*vcpu->emul), GFP_KERNEL_ACCOUNT);
	if (!vcpu->emul)
		return -ENOMEM;
	vcpu->emul->vcpu = vcpu;
	return 0;
}

void umbra_emul_destroy(struct umbra_vcpu *vcpu)
{
	kfree(vcpu->emul);
}
