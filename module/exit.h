/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A decoded exit: what a backend's decode() makes of the hardware's words, and
 * what exit.c decides by. Nothing here names a vendor.
 */
#ifndef UMBRA_EXIT_H
#define UMBRA_EXIT_H

#include <linux/kvm_types.h>
#include <linux/types.h>

#include "emulate.h"

struct umbra_vcpu;

/**
 * enum umbra_exit_reason - why the guest was left
 *
 * The numbers and their names in stats.c are ABI, by UMBRA_GET_EXIT_STATS: a new
 * one comes last.
 */
enum umbra_exit_reason {
	UMBRA_EXIT_UNKNOWN,		/* .hw: a code that the backend can't name */
	UMBRA_EXIT_FAIL_ENTRY,		/* .hw: the CPU refused the guest's state */
	UMBRA_EXIT_INTERRUPT,		/* a host interrupt, served already */
	UMBRA_EXIT_NMI,			/* a host NMI or #MC, served already */
	UMBRA_EXIT_INTR_WINDOW,		/* the guest can take an interrupt now */
	UMBRA_EXIT_NMI_WINDOW,		/* the guest can take an NMI now */
	UMBRA_EXIT_EXCEPTION,		/* .exc */
	UMBRA_EXIT_PAGE_FAULT,		/* .fault: EPT violation or nested page fault */
	UMBRA_EXIT_IO,			/* .io */
	UMBRA_EXIT_CPUID,
	UMBRA_EXIT_MSR_READ,
	UMBRA_EXIT_MSR_WRITE,
	UMBRA_EXIT_CR,			/* .reg */
	UMBRA_EXIT_DR,			/* .reg */
	UMBRA_EXIT_HLT,
	UMBRA_EXIT_HYPERCALL,
	UMBRA_EXIT_INVLPG,		/* .reg.value: gva, if .reg.gpr >= 0 */
	UMBRA_EXIT_CACHE,		/* INVD, WBINVD */
	UMBRA_EXIT_XSETBV,
	UMBRA_EXIT_RDPMC,
	UMBRA_EXIT_PAUSE,
	UMBRA_EXIT_MONITOR,		/* MONITOR: treated as a no-op */
	UMBRA_EXIT_MWAIT,		/* MWAIT: treated as a no-op */
	UMBRA_EXIT_UNDEFINED,		/* an instruction the guest's CPU does not have */
	UMBRA_EXIT_TASK_SWITCH,		/* .task */
	UMBRA_EXIT_SHUTDOWN,		/* triple fault */
	UMBRA_EXIT_SPURIOUS,		/* nothing to do: enter again */
	UMBRA_EXIT_TIMER,		/* the deadline of set_timer() */
	UMBRA_EXIT_EOI,			/* .apic.vector: its end, which somebody waits for */
	UMBRA_EXIT_LOG_FULL,		/* of written pages, taken already */
	UMBRA_EXIT_APIC_WRITE,		/* .apic.reg: has a new value that the CPU does not act on */
	UMBRA_EXIT_NR
};

#define UMBRA_MAX_INSN	15

/**
 * struct umbra_exit - one exit
 * @reason: enum umbra_exit_reason
 * @next_rip: where the exiting instruction ends, 0 if the CPU does not say
 * @insn_len: bytes in @insn that the CPU supplied (decode assists), or 0
 * @insn: those bytes
 */
struct umbra_exit {
	u32 reason;
	u8 insn_len;
	u8 insn[UMBRA_MAX_INSN];
	u64 next_rip;
	bool plain;		/* no interrupt shadow, no TF, no RF: to skip it is to move RIP */
	union {
		struct {
			u64 code, info[2];
		} hw;
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 payload;	/* #PF: CR2; #DB: DR6 bits */
		} exc;
		struct {
			gpa_t gpa;
			u64 error;	/* PFERR_* of mmu.h */
		} fault;
		struct {
			u16 port;
			u8 size;	/* 1, 2 or 4 */
			bool in, string, rep;
			u32 value;	/* the handler's: what is read or written */
		} io;
		struct {
			u64 value;	/* the handler's: what is read */
		} msr;
		struct {
			u8 nr;
			bool write;
			s8 gpr;		/* -1: not told, decode the instruction */
			u64 value;
		} reg;
		struct {
			u8 vector;
			u16 reg;	/* its offset in the page */
		} apic;
		struct {
			u16 selector;
			u8 source;	/* 0 CALL, 1 IRET, 2 JMP, 3 gate */
			bool has_error;
			u32 error;
		} task;
	};
};

/**
 * struct umbra_exit_words - an exit in the hardware's own words, for the trace
 * @reason: VMX's exit reason, SVM's exit code
 * @info1, @info2: VMX: qualification, IDT-vectoring information; SVM: EXITINFO1 and 2
 * @intr_info: VMX: exit interruption information; SVM: EXITINTINFO
 * @error_code: of @intr_info's event, or 0
 */
struct umbra_exit_words {
	u32 reason;
	u32 intr_info, error_code;
	u64 info1, info2;
};

/**
 * struct umbra_io - an access that userspace must finish before the guest goes on
 * @complete: what to do with userspace's answer, called by the next KVM_RUN
 *	before anything else, in vm->srcu; NULL: nothing is owed. >0 enter the
 *	guest, 0 another exit to userspace is set up, <0 errno
 * @rip: where the instruction was; userspace may have moved RIP meanwhile
 * @port, @size, @count, @in: port I/O, as the run page said
 * @mov: what a read by mmio.c was for
 *
 * The run page is the user's to scribble on, so that what matters is kept here.
 */
struct umbra_io {
	int (*complete)(struct umbra_vcpu *vcpu);
	u64 rip;
	u16 port;
	u8 size;
	bool in;
	u32 count;
	struct umbra_emul_mov mov;
};

/**
 * umbra_handle_exit() - decide what a decoded exit means
 * @vcpu: a loaded vCPU, its exit in vcpu->exit, interrupts and preemption on
 *
 * Return: >0 enter the guest again; 0 go to userspace, the run page is filled;
 * <0 errno for KVM_RUN
 */
int umbra_handle_exit(struct umbra_vcpu *vcpu);

/**
 * umbra_skip_insn() - the exiting instruction is done: go behind it
 * @vcpu: loaded, with its exit
 * @insn: enum umbra_emul_known, what it must be where the CPU gives no next RIP; with
 *	.next_rip set already it does not matter
 *
 * Ends the interrupt shadow and honours RFLAGS.TF.
 *
 * Return: 1; 0 with an exit to userspace set up (single step, or bytes that are
 * another instruction by now)
 */
int umbra_skip_insn(struct umbra_vcpu *vcpu, int insn);

/*
 * Set up KVM_EXIT_INTERNAL_ERROR; of an instruction that can't be emulated with its bytes, as far
 * as they could be read, and RIP; 0.
 */
int umbra_internal_error(struct umbra_vcpu *vcpu, u32 suberror, const u8 *bytes, unsigned int n);

/* Set up KVM_EXIT_DEBUG for @vector at RIP, with DR6's bits; 0. */
int umbra_debug_exit(struct umbra_vcpu *vcpu, u8 vector, u64 dr6);

/*
 * After an instruction that was not executed by the CPU: its single-step trap, if
 * it is due, goes to the debugger who steps (0) or to the guest (1).
 */
int umbra_after_insn(struct umbra_vcpu *vcpu, bool trap);

/* Set up KVM_EXIT_IO for @count items; their data is, or will be, in vcpu->pio_data. */
void umbra_pio_exit(struct umbra_vcpu *vcpu, u16 port, u8 size, u32 count, bool in);

/*
 * An access to an MSR that ended as @result, enum umbra_msr_result, for userspace to see, if it wants
 * to; else false, and it is #GP.
 */
bool umbra_msr_exit(struct umbra_vcpu *vcpu, int result, bool write, u32 index, u64 value);

/* emul_ops.c: decode and emulate the instruction at RIP; in vm->srcu; as umbra_handle_exit(). */
int umbra_emulate_insn(struct umbra_vcpu *vcpu);
/*
 * The same for one that writes to a guest's table which a shadow follows. With REP it is not
 * emulated: the frame is taken for a table no more, and the CPU does it.
 */
int umbra_emulate_store(struct umbra_vcpu *vcpu);

/* The same for one that the CPU has not come to: breakpoints on it are looked for first. */
int umbra_emulate_unseen(struct umbra_vcpu *vcpu);

/**
 * umbra_emulate_next() - do the instruction at RIP without entering the guest
 * @vcpu: loaded, with no event to deliver; not in vm->srcu
 *
 * For a state that the CPU can't hold; and for VMs that the module parameter emulate=
 * made, which tests compare with what the CPU does.
 *
 * Return: as umbra_emulate_insn()
 */
int umbra_emulate_next(struct umbra_vcpu *vcpu);
/**
 * umbra_emulate_event() - deliver an event in software, for an inject_*() of a backend
 * whose CPU can't
 * @vcpu: loaded; the event is marked as injected in vcpu->events; not in vm->srcu
 * @vector: its entry of the IVT or the IDT
 * @soft: an instruction raised it, INT n, INT3 or INTO, and RIP is behind that
 * @error: its error code, or NULL
 *
 * Return: true: it is delivered. false: another exception is queued in its place, it is
 * to be tried again, or the vCPU is lost (triple fault)
 */
bool umbra_emulate_event(struct umbra_vcpu *vcpu, u8 vector, bool soft, const u32 *error);
/* As umbra_emulate_insn() for a task switch that the hardware left to us. */
int umbra_emulate_task_switch(struct umbra_vcpu *vcpu);
int umbra_emul_create(struct umbra_vcpu *vcpu);		/* -ENOMEM */
void umbra_emul_destroy(struct umbra_vcpu *vcpu);
/* The linear address of CS:RIP. */
u64 umbra_code_address(struct umbra_vcpu *vcpu);
/* Code bytes at CS:RIP into @bytes (room for 15): how many, 0 for none. In vm->srcu. */
int umbra_fetch_insn(struct umbra_vcpu *vcpu, u8 *bytes);
int umbra_emul_mode(struct umbra_vcpu *vcpu);		/* enum umbra_emul_mode */

/*
 * exit.c, parameter force_emulation_prefix: a guest may have an instruction emulated.
 */
extern bool umbra_forced_emulation;

#endif
