// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an exit means: one table from neutral reasons to handlers. A handler
 * returns >0 to enter the guest again, 0 to go to userspace with the run page
 * filled, <0 as KVM_RUN's errno.
 */
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>

#include "backend.h"
#include "emulate.h"
#include "failure.h"
#include "genl.h"
#include "iodev.h"
#include "irq.h"
#include "mmio.h"
#include "pv.h"
#include "stats.h"
#include "switches.h"
#include "trace.h"
#include "umbra.h"
#include "vcpu.h"

bool umbra_forced_emulation __ro_after_init;
module_param_named(force_emulation_prefix, umbra_forced_emulation, bool, 0444);
MODULE_PARM_DESC(force_emulation_prefix,
		 "emulate the instruction behind UD2 and the bytes 'kvm', for tests of the emulator (default off)");

int umbra_internal_error(struct umbra_vcpu *vcpu, u32 suberror, const u8 *bytes, unsigned int n)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	umbra_event_internal_error(vcpu, suberror);
	run->internal.ndata = 0;
	if (suberror != KVM_INTERNAL_ERROR_EMULATION)
		return 0;
	/* The count of u64 words that follow: flags, size and bytes, and what no flag names. */
	run->emulation_failure.ndata = 4;
	run->internal.data[3] = umbra_rip(vcpu);
	if (!n)
		return 0;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = n;
	memcpy(run->emulation_failure.insn_bytes, bytes, n);
	return 0;
}

int umbra_debug_exit(struct umbra_vcpu *vcpu, u8 vector, u64 dr6)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_DEBUG;
	run->debug.arch = (struct kvm_debug_exit_arch) {
		.exception = vector,
		.pc = umbra_code_address(vcpu),
		.dr6 = dr6 | DR6_RESERVED,
		.dr7 = vcpu->regs.debug_dr7,
	};
	return 0;
}

int umbra_after_insn(struct umbra_vcpu *vcpu, bool trap)
{
	if (!trap)
		return 1;
	if (vcpu->regs.guest_debug & KVM_GUESTDBG_SINGLESTEP)
		return umbra_debug_exit(vcpu, X86_TRAP_DB, DR_STEP);
	umbra_queue_debug(vcpu, DR_STEP);
	return 1;
}

/* The hardware told no length: find it out from the bytes, which the guest may have changed. */
static noinline int decoded_length(struct umbra_vcpu *vcpu, int insn, bool code64)
{
	u8 bytes[UMBRA_MAX_INSN];
	int idx, n, len;

	if (vcpu->exit.insn_len) {
		len = umbra_emul_length(vcpu->exit.insn, vcpu->exit.insn_len,
					umbra_emul_mode(vcpu), insn);
		if (len > 0)
			return len;
	}

	idx = srcu_read_lock(&vcpu->vm->srcu);
	n = umbra_fetch_insn(vcpu, bytes);
	len = n ? umbra_emul_length(bytes, n, umbra_emul_mode(vcpu), insn) : 0;
	if (len > 0 && code64)
		umbra_memo_learn(vcpu, bytes, len, insn, NULL, -1);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (len <= 0)
		umbra_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, bytes, n);
	return len;
}

/* Where the instruction that exited ends; false: an exit to userspace is set up. */
static noinline bool find_end(struct umbra_vcpu *vcpu, int insn)
{
	bool code64 = umbra_is_64bit_code(vcpu);
	const struct umbra_memo *memo = code64 ? umbra_memo_find(vcpu) : NULL;
	int len = memo && memo->insn == insn ? memo->len : decoded_length(vcpu, insn, code64);

	if (len <= 0)
		return false;
	vcpu->exit.next_rip = umbra_rip(vcpu) + len;
	if (!code64)
		vcpu->exit.next_rip = (u32)vcpu->exit.next_rip;
	return true;
}

static noinline int skip_insn(struct umbra_vcpu *vcpu, int insn)
{
	if (!vcpu->exit.next_rip && !find_end(vcpu, insn))
		return 0;
	umbra_set_rip(vcpu, vcpu->exit.next_rip);
	umbra_hot(set_interrupt_shadow)(vcpu, 0);
	if (likely(!(vcpu->regs.rflags & (X86_EFLAGS_RF | X86_EFLAGS_TF))))
		return 1;
	umbra_set_rflags(vcpu, umbra_rflags(vcpu) & ~(u64)X86_EFLAGS_RF);
	/* A debugger's TF too, which umbra_rflags() hides. */
	return umbra_after_insn(vcpu, vcpu->regs.rflags & X86_EFLAGS_TF);
}

int umbra_skip_insn(struct umbra_vcpu *vcpu, int insn)
{
	if (unlikely(!vcpu->exit.plain || !vcpu->exit.next_rip))
		return skip_insn(vcpu, insn);
	umbra_set_rip(vcpu, vcpu->exit.next_rip);
	return 1;
}

static int inject_gp(struct umbra_vcpu *vcpu)
{
	umbra_queue_exception_e(vcpu, X86_TRAP_GP, 0);
	return 1;
}

static int handle_resume(struct umbra_vcpu *vcpu)
{
	return 1;
}

static int handle_unknown(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	umbra_internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, NULL, 0);
	run->internal.ndata = 2;
	run->internal.data[0] = vcpu->exit.hw.code;
	run->internal.data[1] = raw_smp_processor_id();
	return 0;
}

static int handle_fail_entry(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 reason = umbra_backend->dump(vcpu);

	umbra_failure_note(vcpu, reason);
	umbra_event_entry_failed(vcpu, reason);
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = reason;
	run->fail_entry.cpu = raw_smp_processor_id();
	return 0;
}

static int handle_shutdown(struct umbra_vcpu *vcpu)
{
	umbra_event_vcpu(vcpu, UMBRA_NL_CMD_TRIPLE_FAULT);
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static noinline void other_cpuid(struct umbra_vcpu *vcpu)
{
	u64 *gpr = vcpu->regs.gpr;
	u32 eax = gpr[UMBRA_RAX], ebx, ecx = gpr[UMBRA_RCX], edx;

	umbra_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
	gpr[UMBRA_RAX] = eax;
	gpr[UMBRA_RBX] = ebx;
	gpr[UMBRA_RCX] = ecx;
	gpr[UMBRA_RDX] = edx;
}

static int handle_cpuid(struct umbra_vcpu *vcpu)
{
	u64 *gpr = vcpu->regs.gpr;
	const struct kvm_cpuid_entry2 *e = umbra_cpuid_again(&vcpu->cpuid, gpr[UMBRA_RAX],
							     gpr[UMBRA_RCX]);

	if (likely(e)) {
		umbra_trace(kvm_cpuid, gpr[UMBRA_RAX], gpr[UMBRA_RCX], e, true, false);
		gpr[UMBRA_RAX] = e->eax;
		gpr[UMBRA_RBX] = e->ebx;
		gpr[UMBRA_RCX] = e->ecx;
		gpr[UMBRA_RDX] = e->edx;
	} else {
		other_cpuid(vcpu);
	}
	return umbra_skip_insn(vcpu, UMBRA_INSN_CPUID);
}

static u64 edx_eax(struct umbra_vcpu *vcpu)
{
	u64 *gpr = vcpu->regs.gpr;

	return (u32)gpr[UMBRA_RAX] | gpr[UMBRA_RDX] << 32;
}

/* Inlined: with an event in it the compiler would make it a call, which costs more than the event. */
static __always_inline int finish_msr_read(struct umbra_vcpu *vcpu, u64 value)
{
	u64 *gpr = vcpu->regs.gpr;

	umbra_trace(kvm_msr, false, gpr[UMBRA_RCX], value, false);
	gpr[UMBRA_RAX] = (u32)value;
	gpr[UMBRA_RDX] = value >> 32;
	return umbra_skip_insn(vcpu, UMBRA_INSN_RDMSR);
}

static __always_inline int finish_msr_write(struct umbra_vcpu *vcpu)
{
	umbra_trace(kvm_msr, true, vcpu->regs.gpr[UMBRA_RCX], edx_eax(vcpu), false);
	return umbra_skip_insn(vcpu, UMBRA_INSN_WRMSR);
}

static int refuse_msr(struct umbra_vcpu *vcpu, bool write)
{
	umbra_trace(kvm_msr, write, vcpu->regs.gpr[UMBRA_RCX], write ? edx_eax(vcpu) : 0, true);
	return inject_gp(vcpu);
}

/* What userspace has answered; it may have gone elsewhere meanwhile. */
static int complete_msr(struct umbra_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (umbra_rip(vcpu) != vcpu->io.rip)
		return 1;
	if (READ_ONCE(run->msr.error))
		return refuse_msr(vcpu, !vcpu->io.in);
	if (vcpu->io.in)
		return finish_msr_read(vcpu, READ_ONCE(run->msr.data));
	return finish_msr_write(vcpu);
}

bool umbra_msr_exit(struct umbra_vcpu *vcpu, int result, bool write, u32 index, u64 value)
{
	static const u32 reasons[] = {
		[UMBRA_MSR_REFUSED] = KVM_MSR_EXIT_REASON_INVAL,
		[UMBRA_MSR_UNKNOWN] = KVM_MSR_EXIT_REASON_UNKNOWN,
		[UMBRA_MSR_FILTERED] = KVM_MSR_EXIT_REASON_FILTER,
	};
	struct kvm_run *run = vcpu->run;

	if (!(reasons[result] & READ_ONCE(vcpu->vm->user_msrs)))
		return false;
	memset(&run->msr, 0, sizeof(run->msr));
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.reason = reasons[result];
	run->msr.index = index;
	run->msr.data = value;
	return true;
}

static noinline int msr_failed(struct umbra_vcpu *vcpu, int result, bool write, u64 value)
{
	if (!umbra_msr_exit(vcpu, result, write, vcpu->regs.gpr[UMBRA_RCX], value))
		return refuse_msr(vcpu, write);
	vcpu->io.complete = complete_msr;
	vcpu->io.rip = umbra_rip(vcpu);
	vcpu->io.in = !write;
	return 0;
}

static int handle_msr_read(struct umbra_vcpu *vcpu)
{
	u64 *value = &vcpu->exit.msr.value;
	int r = umbra_msr_read(vcpu, vcpu->regs.gpr[UMBRA_RCX], value, false);

	return unlikely(r) ? msr_failed(vcpu, r, false, 0) : finish_msr_read(vcpu, *value);
}

static int handle_msr_write(struct umbra_vcpu *vcpu)
{
	u64 value = edx_eax(vcpu);
	int r = umbra_msr_write(vcpu, vcpu->regs.gpr[UMBRA_RCX], value, false);

	return unlikely(r) ? msr_failed(vcpu, r, true, value) : finish_msr_write(vcpu);
}

/* What IN has read: 4 bytes clear the upper half. */
static void set_in_result(struct umbra_vcpu *vcpu, u8 size, u32 value)
{
	u64 *rax = &vcpu->regs.gpr[UMBRA_RAX];

	if (size == 4)
		*rax = value;
	else if (size == 2)
		*rax = (*rax & ~0xffffull) | (u16)value;
	else
		*rax = (*rax & ~0xffull) | (u8)value;
}

static int skip_io(struct umbra_vcpu *vcpu, bool in)
{
	return umbra_skip_insn(vcpu, in ? UMBRA_INSN_IN : UMBRA_INSN_OUT);
}

static int complete_pio(struct umbra_vcpu *vcpu)
{
	struct umbra_io *io = &vcpu->io;

	/* Userspace went elsewhere, by a reset for example: the instruction is no more. */
	if (umbra_rip(vcpu) != io->rip)
		return 1;
	if (io->in) {
		umbra_trace(kvm_pio, false, vcpu->exit.io.port, io->size, 1, vcpu->pio_data);
		set_in_result(vcpu, io->size, READ_ONCE(*(u32 *)vcpu->pio_data));
	}
	return skip_io(vcpu, io->in);
}

void umbra_pio_exit(struct umbra_vcpu *vcpu, u16 port, u8 size, u32 count, bool in)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
}

static int pio_to_user(struct umbra_vcpu *vcpu, u16 port, u8 size, bool in)
{
	struct umbra_io *io = &vcpu->io;

	umbra_pio_exit(vcpu, port, size, 1, in);
	io->complete = complete_pio;
	io->rip = umbra_rip(vcpu);
	io->in = in;
	io->size = size;
	return 0;
}

static int handle_in(struct umbra_vcpu *vcpu)
{
	struct umbra_exit *exit = &vcpu->exit;

	if (umbra_io_read(vcpu, UMBRA_BUS_PIO, exit->io.port, exit->io.size, &exit->io.value))
		return pio_to_user(vcpu, exit->io.port, exit->io.size, true);
	umbra_trace(kvm_pio, false, exit->io.port, exit->io.size, 1, &exit->io.value);
	set_in_result(vcpu, exit->io.size, exit->io.value);
	return skip_io(vcpu, true);
}

static int handle_out(struct umbra_vcpu *vcpu)
{
	struct umbra_exit *exit = &vcpu->exit;

	exit->io.value = vcpu->regs.gpr[UMBRA_RAX];
	umbra_trace(kvm_pio, true, exit->io.port, exit->io.size, 1, &exit->io.value);
	if (!umbra_io_write(vcpu, UMBRA_BUS_PIO, exit->io.port, exit->io.size, &exit->io.value))
		return skip_io(vcpu, false);
	memcpy(vcpu->pio_data, &exit->io.value, exit->io.size);
	return pio_to_user(vcpu, exit->io.port, exit->io.size, false);
}

static int handle_io(struct umbra_vcpu *vcpu)
{
	if (vcpu->exit.io.string || umbra_breakpoints(vcpu))
		return umbra_emulate_insn(vcpu);
	return vcpu->exit.io.in ? handle_in(vcpu) : handle_out(vcpu);
}

static int handle_page_fault(struct umbra_vcpu *vcpu)
{
	int r = umbra_mmu_fault(vcpu, vcpu->exit.fault.gpa, vcpu->exit.fault.error);

	if (r == UMBRA_FAULT_DONE)
		return 1;
	if (r == UMBRA_FAULT_MMIO)
		return umbra_mmio_fault(vcpu);
	return r;
}

/* A #PF in a shadow mode; one that is the guest's own is queued there. */
static int handle_shadow_fault(struct umbra_vcpu *vcpu)
{
	int r = umbra_mmu_fault(vcpu, vcpu->exit.exc.payload, vcpu->exit.exc.error);

	if (r == UMBRA_FAULT_DONE)
		return 1;
	if (r == UMBRA_FAULT_EMULATE)
		return umbra_store_fault(vcpu);
	return r == UMBRA_FAULT_MMIO ? umbra_mmio_fault(vcpu) : r;
}

static int handle_hlt(struct umbra_vcpu *vcpu)
{
	int r = umbra_skip_insn(vcpu, UMBRA_INSN_HLT);

	if (r <= 0)
		return r;
	if (!vcpu->lapic) {
		vcpu->run->exit_reason = KVM_EXIT_HLT;
		return 0;
	}
	WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_HALTED);
	return 1;
}

static int handle_hypercall(struct umbra_vcpu *vcpu)
{
	u64 *gpr = vcpu->regs.gpr;
	bool wide = umbra_is_64bit_code(vcpu);
	long result = umbra_hypercall(vcpu, gpr, wide);

	gpr[UMBRA_RAX] = wide ? result : (u32)result;
	return umbra_skip_insn(vcpu, UMBRA_INSN_VMMCALL);
}

static int write_cr(struct umbra_vcpu *vcpu, u8 nr, u64 value)
{
	if (!umbra_is_64bit_code(vcpu))
		value = (u32)value;
	switch (nr) {
	case 0:
		return umbra_set_cr0(vcpu, value);
	case 3:
		return umbra_set_cr3(vcpu, value);
	case 4:
		return umbra_set_cr4(vcpu, value);
	case 8:
		return umbra_set_cr8(vcpu, value);
	default:
		return 1;
	}
}

/* MOV to CR3 or INVLPG as kernels write them: its length, and the register; 0: written otherwise. */
static int decode_operand(const u8 *bytes, int insn, bool code64, s8 *gpr)
{
	const u8 *p = bytes;
	u8 rex = 0;

	if (code64 && (*p & 0xf0) == 0x40)
		rex = *p++;
	/* Behind REX.R is no CR3. */
	if (rex & 4 || p[0] != 0x0f)
		return 0;
	*gpr = (p[2] & 7) | (rex & 1) << 3;
	if (insn == UMBRA_INSN_MOV_TO_CR)
		return p[1] == 0x22 && (p[2] >> 3 & 7) == 3 ? p - bytes + 3 : 0;
	/* What a register points to, neither with SIB nor relative to RIP. */
	if (!code64 || p[1] != 0x01 || p[2] >> 3 != 7 || (p[2] & 7) == 4 || (p[2] & 7) == 5)
		return 0;
	return p - bytes + 3;
}

/*
 * The hardware did not tell the register that @insn names, which kernels do often: it, and
 * where the instruction ends, or -1.
 */
static s8 find_operand(struct umbra_vcpu *vcpu, int insn)
{
	bool code64 = umbra_is_64bit_code(vcpu);
	const struct umbra_memo *memo = code64 ? umbra_memo_find(vcpu) : NULL;
	u8 bytes[UMBRA_MAX_INSN];
	s8 gpr;
	int len;

	if (memo && memo->insn == insn) {
		gpr = memo->gpr;
		len = memo->len;
	} else {
		if (umbra_fetch_insn(vcpu, bytes) < UMBRA_MAX_INSN)
			return -1;
		len = decode_operand(bytes, insn, code64, &gpr);
		if (len && code64)
			umbra_memo_learn(vcpu, bytes, len, insn, NULL, gpr);
	}
	if (!len || gpr < 0)
		return -1;
	vcpu->exit.next_rip = umbra_rip(vcpu) + len;
	if (!code64)
		vcpu->exit.next_rip = (u32)vcpu->exit.next_rip;
	return gpr;
}

/* A CPU with decode assists names the register; without, the emulator looks. */
static int handle_cr(struct umbra_vcpu *vcpu)
{
	s8 gpr = vcpu->exit.reg.gpr;
	u64 value;

	if (trace_kvm_cr_enabled() && !vcpu->exit.reg.write)
		umbra_trace(kvm_cr, false, vcpu->exit.reg.nr, umbra_cr(vcpu, vcpu->exit.reg.nr));
	if (gpr < 0 && vcpu->exit.reg.write && vcpu->exit.reg.nr == 3)
		gpr = find_operand(vcpu, UMBRA_INSN_MOV_TO_CR);
	if (gpr >= 0 && vcpu->exit.reg.nr == 3 && !vcpu->exit.reg.write) {
		value = umbra_cr3(vcpu);
		umbra_set_gpr(vcpu, gpr, umbra_is_64bit_code(vcpu) ? value : (u32)value);
		return umbra_skip_insn(vcpu, UMBRA_INSN_MOV_FROM_CR);
	}
	if (gpr < 0 || !vcpu->exit.reg.write)
		return umbra_emulate_insn(vcpu);
	umbra_trace(kvm_cr, true, vcpu->exit.reg.nr, umbra_gpr(vcpu, gpr & 15));
	if (write_cr(vcpu, vcpu->exit.reg.nr, umbra_gpr(vcpu, gpr & 15)))
		return inject_gp(vcpu);
	return umbra_skip_insn(vcpu, UMBRA_INSN_MOV_TO_CR);
}

static int handle_invlpg(struct umbra_vcpu *vcpu)
{
	u64 la = vcpu->exit.reg.value;
	s8 gpr;

	if (vcpu->exit.reg.gpr < 0) {
		gpr = find_operand(vcpu, UMBRA_INSN_SMSW_LMSW_INVLPG);
		if (gpr < 0)
			return umbra_emulate_insn(vcpu);
		la = umbra_gpr(vcpu, gpr);
	}
	umbra_mmu_flush_gva(vcpu, la);
	return umbra_skip_insn(vcpu, UMBRA_INSN_SMSW_LMSW_INVLPG);
}

static int handle_emulate(struct umbra_vcpu *vcpu)
{
	return umbra_emulate_insn(vcpu);
}

static bool debugger_wants(struct umbra_vcpu *vcpu, u8 vector)
{
	u32 debug = vcpu->regs.guest_debug;

	if (!(debug & KVM_GUESTDBG_ENABLE))
		return false;
	if (vector == X86_TRAP_BP)
		return debug & KVM_GUESTDBG_USE_SW_BP;
	return vector == X86_TRAP_DB && (debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP));
}

/* UD2 and three letters stand at RIP: go behind them. */
static bool take_forced_prefix(struct umbra_vcpu *vcpu)
{
	static const u8 prefix[] = { 0x0f, 0x0b, 'k', 'v', 'm' };
	u8 bytes[UMBRA_MAX_INSN];
	u64 rip;

	if (umbra_fetch_insn(vcpu, bytes) < sizeof(prefix) ||
	    memcmp(bytes, prefix, sizeof(prefix)))
		return false;
	rip = umbra_rip(vcpu) + sizeof(prefix);
	umbra_set_rip(vcpu, umbra_is_64bit_code(vcpu) ? rip : (u32)rip);
	return true;
}

/*
 * The other vendor's hypercall instruction, by a guest that does not know where it runs:
 * as KVM does, make it ours, with the rights that the guest has there. They differ in the
 * last byte. True: enter the guest again.
 */
static bool fix_hypercall(struct umbra_vcpu *vcpu)
{
	static const u8 vmcall[] = { 0x0f, 0x01, 0xc1 }, vmmcall[] = { 0x0f, 0x01, 0xd9 };
	const u8 *ours = umbra_backend->vmmcall ? vmmcall : vmcall;
	u32 error, access = PFERR_WRITE | (umbra_hot(get_cpl)(vcpu) == 3 ? PFERR_USER : 0);
	u8 bytes[UMBRA_MAX_INSN];
	gpa_t gpa;
	gva_t gva;
	int r;

	if (!umbra_has_quirk(vcpu->vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN) ||
	    umbra_fetch_insn(vcpu, bytes) < sizeof(vmcall) ||
	    memcmp(bytes, ours == vmcall ? vmmcall : vmcall, sizeof(vmcall)))
		return false;
	gva = umbra_code_address(vcpu) + sizeof(vmcall) - 1;
	r = umbra_gva_to_gpa(vcpu, gva, access, &gpa, &error);
	if (r == 1)
		umbra_queue_page_fault(vcpu, gva, error);
	return r == 1 || (!r && !umbra_guest_write(vcpu->vm, gpa, &ours[2], 1));
}

static int handle_exception(struct umbra_vcpu *vcpu)
{
	u8 vector = vcpu->exit.exc.vector;
	u64 payload = vcpu->exit.exc.payload;

	if (vector == X86_TRAP_PF && vcpu->mmu.shadow)
		return handle_shadow_fault(vcpu);
	if (vector == X86_TRAP_UD && umbra_forced_emulation && take_forced_prefix(vcpu))
		return umbra_emulate_unseen(vcpu);
	if (vector == X86_TRAP_UD && fix_hypercall(vcpu))
		return 1;
	if (debugger_wants(vcpu, vector))
		return umbra_debug_exit(vcpu, vector, payload);
	/*
	 * Real mode as a vm86 task: what that may not do, the guest may. INT3 and INTO, which
	 * nobody else intercepts but for a debugger, are not done.
	 */
	if ((vector == X86_TRAP_GP && !umbra_is_protected(vcpu)) || vector == X86_TRAP_BP ||
	    vector == X86_TRAP_OF)
		return umbra_emulate_insn(vcpu);
	if (vector == X86_TRAP_DB)
		umbra_queue_debug(vcpu, payload);
	else if (vector == X86_TRAP_PF)
		umbra_queue_page_fault(vcpu, payload, vcpu->exit.exc.error);
	else if (vcpu->exit.exc.has_error)
		umbra_queue_exception_e(vcpu, vector, vcpu->exit.exc.error);
	else
		umbra_queue_exception(vcpu, vector);
	return 1;
}

static int handle_undefined(struct umbra_vcpu *vcpu)
{
	umbra_queue_exception(vcpu, X86_TRAP_UD);
	return 1;
}

static int handle_xsetbv(struct umbra_vcpu *vcpu)
{
	u64 *gpr = vcpu->regs.gpr;
	u64 value = (u32)gpr[UMBRA_RAX] | gpr[UMBRA_RDX] << 32;

	if (umbra_hot(get_cpl)(vcpu) || (u32)gpr[UMBRA_RCX] || umbra_set_xcr0(vcpu, value))
		return inject_gp(vcpu);
	return umbra_skip_insn(vcpu, UMBRA_INSN_XSETBV);
}

/* No counters are offered. */
static int handle_rdpmc(struct umbra_vcpu *vcpu)
{
	return inject_gp(vcpu);
}

/* Only where the CPU counts them: the guest has spun for long. */
static int handle_pause(struct umbra_vcpu *vcpu)
{
	umbra_vcpu_on_spin(vcpu);
	return umbra_skip_insn(vcpu, UMBRA_INSN_PAUSE);
}

/* Hidden in CPUID; a guest that tries them all the same gets a no-op, as under KVM. */
static int handle_monitor(struct umbra_vcpu *vcpu)
{
	if (!umbra_cpuid_mwait(vcpu))
		return handle_undefined(vcpu);
	return umbra_skip_insn(vcpu, UMBRA_INSN_MONITOR);
}

static int handle_mwait(struct umbra_vcpu *vcpu)
{
	if (!umbra_cpuid_mwait(vcpu))
		return handle_undefined(vcpu);
	return umbra_skip_insn(vcpu, UMBRA_INSN_MWAIT);
}

static int handle_timer(struct umbra_vcpu *vcpu)
{
	umbra_lapic_timer_exit(vcpu);
	return 1;
}

/* Both come behind the instruction. */
static int handle_eoi(struct umbra_vcpu *vcpu)
{
	umbra_lapic_eoi_exit(vcpu, vcpu->exit.apic.vector);
	return umbra_after_insn(vcpu, vcpu->regs.rflags & X86_EFLAGS_TF);
}

static int handle_apic_write(struct umbra_vcpu *vcpu)
{
	umbra_lapic_write_exit(vcpu, vcpu->exit.apic.reg);
	return umbra_after_insn(vcpu, vcpu->regs.rflags & X86_EFLAGS_TF);
}

static __always_inline int with_srcu(struct umbra_vcpu *vcpu, int (*handle)(struct umbra_vcpu *vcpu))
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = handle(vcpu);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

static noinline int handle_io_exit(struct umbra_vcpu *vcpu)
{
	return with_srcu(vcpu, handle_io);
}

/* @srcu: the handler reads slots or buses. */
static const struct {
	int (*handle)(struct umbra_vcpu *vcpu);
	bool srcu;
} handlers[UMBRA_EXIT_NR] = {
	[UMBRA_EXIT_UNKNOWN]		= { handle_unknown },
	[UMBRA_EXIT_FAIL_ENTRY]		= { handle_fail_entry },
	[UMBRA_EXIT_INTERRUPT]		= { handle_resume },
	[UMBRA_EXIT_NMI]		= { handle_resume },
	[UMBRA_EXIT_INTR_WINDOW]	= { handle_resume },
	[UMBRA_EXIT_NMI_WINDOW]		= { handle_resume },
	[UMBRA_EXIT_EXCEPTION]		= { handle_exception, true },
	[UMBRA_EXIT_PAGE_FAULT]		= { handle_page_fault, true },
	[UMBRA_EXIT_IO]			= { handle_io_exit },
	[UMBRA_EXIT_CPUID]		= { handle_cpuid },
	[UMBRA_EXIT_MSR_READ]		= { handle_msr_read },
	[UMBRA_EXIT_MSR_WRITE]		= { handle_msr_write, true },
	[UMBRA_EXIT_CR]			= { handle_cr, true },
	[UMBRA_EXIT_DR]			= { handle_emulate, true },
	[UMBRA_EXIT_HLT]		= { handle_hlt },
	[UMBRA_EXIT_HYPERCALL]		= { handle_hypercall },
	[UMBRA_EXIT_INVLPG]		= { handle_invlpg, true },
	[UMBRA_EXIT_CACHE]		= { handle_emulate, true },
	[UMBRA_EXIT_XSETBV]		= { handle_xsetbv },
	[UMBRA_EXIT_RDPMC]		= { handle_rdpmc },
	[UMBRA_EXIT_PAUSE]		= { handle_pause },
	[UMBRA_EXIT_MONITOR]		= { handle_monitor },
	[UMBRA_EXIT_MWAIT]		= { handle_mwait },
	[UMBRA_EXIT_UNDEFINED]		= { handle_undefined },
	[UMBRA_EXIT_TASK_SWITCH]	= { umbra_emulate_task_switch, true },
	[UMBRA_EXIT_SHUTDOWN]		= { handle_shutdown },
	[UMBRA_EXIT_SPURIOUS]		= { handle_resume },
	[UMBRA_EXIT_TIMER]		= { handle_timer },
	[UMBRA_EXIT_EOI]		= { handle_eoi, true },
	[UMBRA_EXIT_LOG_FULL]		= { handle_resume },
	[UMBRA_EXIT_APIC_WRITE]		= { handle_apic_write, true },
};

static noinline int handle_by_table(struct umbra_vcpu *vcpu, u32 reason)
{
	if (WARN_ON_ONCE(!handlers[reason].handle))
		return handle_unknown(vcpu);
	if (!handlers[reason].srcu)
		return handlers[reason].handle(vcpu);
	return with_srcu(vcpu, handlers[reason].handle);
}

/* The quick ones first, and without a call by a pointer, which hosts with retpolines pay for. */
int umbra_handle_exit(struct umbra_vcpu *vcpu)
{
	u32 reason = vcpu->exit.reason;

	if (WARN_ON_ONCE(reason >= UMBRA_EXIT_NR))
		reason = vcpu->exit.reason = UMBRA_EXIT_UNKNOWN;
	umbra_stats_reason(vcpu, reason);
	umbra_trace(kvm_exit, vcpu);
	if (reason == UMBRA_EXIT_CPUID)
		return handle_cpuid(vcpu);
	if (reason == UMBRA_EXIT_MSR_READ)
		return handle_msr_read(vcpu);
	if (reason == UMBRA_EXIT_IO)
		return handle_io_exit(vcpu);
	return handle_by_table(vcpu, reason);
}
