/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trace events, in events/umbra/. Where KVM has the event it has KVM's name and
 * fields, so that a script for one serves the other; Documentation/tracing.rst has the list.
 *
 * An event stands in the code as umbra_trace(name, arguments). Off, that is a NOP. On, it
 * copies what it is given, never more than the guest's access was long. None may stand
 * between guest_state_enter() and _exit().
 */
#if !defined(UMBRA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define UMBRA_TRACE_H

#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/tracepoint.h>
#include <linux/umbra.h>
#include <asm/apicdef.h>
#include <asm/asm.h>
#include <asm/page.h>
#include <asm/pgtable_types.h>
#include <asm/svm.h>
#include <asm/trapnr.h>
#include <asm/vmx.h>

#include "backend.h"
#include "emulate.h"
#include "umbra.h"

#undef TRACE_SYSTEM
#define TRACE_SYSTEM umbra

/* ------------------------------ the world switch ------------------------------ */

TRACE_EVENT(kvm_entry,
	TP_PROTO(struct umbra_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, rip)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu->id;
		__entry->rip = umbra_rip(vcpu);
	),
	TP_printk("vcpu %u, rip 0x%lx", __entry->vcpu_id, __entry->rip)
);

#define UMBRA_ISA_VMX	1
#define UMBRA_ISA_SVM	2

TRACE_EVENT(kvm_exit,
	TP_PROTO(struct umbra_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(unsigned int, exit_reason)
		__field(unsigned long, guest_rip)
		__field(u32, isa)
		__field(u64, info1)
		__field(u64, info2)
		__field(u32, intr_info)
		__field(u32, error_code)
		__field(unsigned int, vcpu_id)
	),
	TP_fast_assign(
		struct umbra_exit_words words;

		umbra_backend->exit_words(vcpu, &words);
		__entry->exit_reason = words.reason;
		__entry->guest_rip = umbra_rip(vcpu);
		__entry->isa = umbra_backend == &umbra_vmx_ops ? UMBRA_ISA_VMX : UMBRA_ISA_SVM;
		__entry->info1 = words.info1;
		__entry->info2 = words.info2;
		__entry->intr_info = words.intr_info;
		__entry->error_code = words.error_code;
		__entry->vcpu_id = vcpu->id;
	),
	TP_printk("vcpu %u reason %s%s rip 0x%lx info1 0x%016llx info2 0x%016llx intr_info 0x%08x error_code 0x%08x",
		  __entry->vcpu_id,
		  __entry->isa == UMBRA_ISA_VMX ?
		  __print_symbolic(__entry->exit_reason & 0xffff, VMX_EXIT_REASONS) :
		  __print_symbolic(__entry->exit_reason, SVM_EXIT_REASONS),
		  __entry->isa == UMBRA_ISA_VMX &&
		  __entry->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY ? " FAILED_VMENTRY" : "",
		  __entry->guest_rip, __entry->info1, __entry->info2, __entry->intr_info,
		  __entry->error_code)
);

#define UMBRA_USER_EXIT(name)	{ KVM_EXIT_##name, "KVM_EXIT_" #name }
#define UMBRA_USER_EXITS							\
	UMBRA_USER_EXIT(UNKNOWN), UMBRA_USER_EXIT(IO), UMBRA_USER_EXIT(DEBUG),	\
	UMBRA_USER_EXIT(HLT), UMBRA_USER_EXIT(MMIO), UMBRA_USER_EXIT(IRQ_WINDOW_OPEN), \
	UMBRA_USER_EXIT(SHUTDOWN), UMBRA_USER_EXIT(FAIL_ENTRY), UMBRA_USER_EXIT(INTR), \
	UMBRA_USER_EXIT(INTERNAL_ERROR), UMBRA_USER_EXIT(IOAPIC_EOI),		\
	UMBRA_USER_EXIT(DIRTY_RING_FULL)

TRACE_EVENT(kvm_userspace_exit,
	TP_PROTO(u32 reason, int errno),
	TP_ARGS(reason, errno),
	TP_STRUCT__entry(
		__field(u32, reason)
		__field(int, errno)
	),
	TP_fast_assign(
		__entry->reason = reason;
		__entry->errno = errno;
	),
	TP_printk("reason %s (%d)",
		  __entry->errno < 0 ? (__entry->errno == -EINTR ? "restart" : "error") :
		  __print_symbolic(__entry->reason, UMBRA_USER_EXITS),
		  __entry->errno < 0 ? -__entry->errno : __entry->reason)
);

/* What a file descriptor was asked, and the answer. */
#define UMBRA_FD_SYSTEM	0
#define UMBRA_FD_VM	1
#define UMBRA_FD_VCPU	2

TRACE_EVENT(umbra_ioctl,
	TP_PROTO(const struct umbra_vm *vm, const struct umbra_vcpu *vcpu, u32 cmd, long result),
	TP_ARGS(vm, vcpu, cmd, result),
	TP_STRUCT__entry(
		__field(u32, fd)
		__field(int, vcpu_id)
		__field(u32, cmd)
		__field(long, result)
	),
	TP_fast_assign(
		__entry->fd = vcpu ? UMBRA_FD_VCPU : vm ? UMBRA_FD_VM : UMBRA_FD_SYSTEM;
		__entry->vcpu_id = vcpu ? vcpu->id : -1;
		__entry->cmd = cmd;
		__entry->result = result;
	),
	TP_printk("%s %d cmd 0x%08x (nr 0x%02x) = %ld",
		  __print_symbolic(__entry->fd, { UMBRA_FD_SYSTEM, "system" },
				   { UMBRA_FD_VM, "vm" }, { UMBRA_FD_VCPU, "vcpu" }),
		  __entry->vcpu_id, __entry->cmd, __entry->cmd & 0xff, __entry->result)
);

/* ------------------------------ what the guest did ------------------------------ */

/* The first item of @count, as far as it goes. */
TRACE_EVENT(kvm_pio,
	TP_PROTO(bool write, u16 port, unsigned int size, unsigned int count, const void *data),
	TP_ARGS(write, port, size, count, data),
	TP_STRUCT__entry(
		__field(unsigned int, rw)
		__field(unsigned int, port)
		__field(unsigned int, size)
		__field(unsigned int, count)
		__field(unsigned int, val)
	),
	TP_fast_assign(
		__entry->rw = write;
		__entry->port = port;
		__entry->size = size;
		__entry->count = count;
		__entry->val = 0;
		memcpy(&__entry->val, data, min_t(unsigned int, size, sizeof(u32)));
	),
	TP_printk("pio_%s at 0x%x size %u count %u val 0x%x%s",
		  __entry->rw ? "write" : "read", __entry->port, __entry->size,
		  __entry->count, __entry->val, __entry->count > 1 ? " (...)" : "")
);

/* KVM's types; the first is a read that userspace is asked to answer. */
#define UMBRA_MMIO_UNSATISFIED	0
#define UMBRA_MMIO_READ		1
#define UMBRA_MMIO_WRITE	2

TRACE_EVENT(kvm_mmio,
	TP_PROTO(u32 type, u32 len, u64 gpa, const void *data),
	TP_ARGS(type, len, gpa, data),
	TP_STRUCT__entry(
		__field(u32, type)
		__field(u32, len)
		__field(u64, gpa)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->type = type;
		__entry->len = len;
		__entry->gpa = gpa;
		__entry->val = 0;
		if (data)
			memcpy(&__entry->val, data, min_t(u32, len, sizeof(u64)));
	),
	TP_printk("mmio %s len %u gpa 0x%llx val 0x%llx",
		  __print_symbolic(__entry->type, { UMBRA_MMIO_UNSATISFIED, "unsatisfied-read" },
				   { UMBRA_MMIO_READ, "read" }, { UMBRA_MMIO_WRITE, "write" }),
		  __entry->len, __entry->gpa, __entry->val)
);

TRACE_EVENT(kvm_msr,
	TP_PROTO(bool write, u32 ecx, u64 data, bool exception),
	TP_ARGS(write, ecx, data, exception),
	TP_STRUCT__entry(
		__field(unsigned int, write)
		__field(u32, ecx)
		__field(u64, data)
		__field(u8, exception)
	),
	TP_fast_assign(
		__entry->write = write;
		__entry->ecx = ecx;
		__entry->data = data;
		__entry->exception = exception;
	),
	TP_printk("msr_%s %x = 0x%llx%s", __entry->write ? "write" : "read", __entry->ecx,
		  __entry->data, __entry->exception ? " (#GP)" : "")
);

TRACE_EVENT(kvm_cpuid,
	TP_PROTO(u32 function, u32 index, const struct kvm_cpuid_entry2 *e, bool found,
		 bool used_max_basic),
	TP_ARGS(function, index, e, found, used_max_basic),
	TP_STRUCT__entry(
		__field(unsigned int, function)
		__field(unsigned int, index)
		__field(unsigned long, rax)
		__field(unsigned long, rbx)
		__field(unsigned long, rcx)
		__field(unsigned long, rdx)
		__field(bool, found)
		__field(bool, used_max_basic)
	),
	TP_fast_assign(
		__entry->function = function;
		__entry->index = index;
		__entry->rax = e->eax;
		__entry->rbx = e->ebx;
		__entry->rcx = e->ecx;
		__entry->rdx = e->edx;
		__entry->found = found;
		__entry->used_max_basic = used_max_basic;
	),
	TP_printk("func %x idx %x rax %lx rbx %lx rcx %lx rdx %lx, cpuid entry %s%s",
		  __entry->function, __entry->index, __entry->rax, __entry->rbx, __entry->rcx,
		  __entry->rdx, __entry->found ? "found" : "not found",
		  __entry->used_max_basic ? ", used max basic" : "")
);

TRACE_EVENT(kvm_cr,
	TP_PROTO(bool write, unsigned int cr, unsigned long val),
	TP_ARGS(write, cr, val),
	TP_STRUCT__entry(
		__field(unsigned int, rw)
		__field(unsigned int, cr)
		__field(unsigned long, val)
	),
	TP_fast_assign(
		__entry->rw = write;
		__entry->cr = cr;
		__entry->val = val;
	),
	TP_printk("cr_%s %x = 0x%lx", __entry->rw ? "write" : "read", __entry->cr, __entry->val)
);

TRACE_EVENT(kvm_hypercall,
	TP_PROTO(const struct umbra_vcpu *vcpu, unsigned long nr),
	TP_ARGS(vcpu, nr),
	TP_STRUCT__entry(
		__field(unsigned long, nr)
		__field(unsigned long, a0)
		__field(unsigned long, a1)
		__field(unsigned long, a2)
		__field(unsigned long, a3)
	),
	TP_fast_assign(
		__entry->nr = nr;
		__entry->a0 = vcpu->regs.gpr[UMBRA_RBX];
		__entry->a1 = vcpu->regs.gpr[UMBRA_RCX];
		__entry->a2 = vcpu->regs.gpr[UMBRA_RDX];
		__entry->a3 = vcpu->regs.gpr[UMBRA_RSI];
	),
	TP_printk("nr 0x%lx a0 0x%lx a1 0x%lx a2 0x%lx a3 0x%lx", __entry->nr, __entry->a0,
		  __entry->a1, __entry->a2, __entry->a3)
);

/* KVM's encoding of the mode in which an instruction was decoded. */
#define UMBRA_INSN_PROT		BIT(0)
#define UMBRA_INSN_VM86		BIT(1)
#define UMBRA_INSN_CS_D		BIT(2)
#define UMBRA_INSN_CS_L		BIT(3)

#ifndef UMBRA_TRACE_HELPERS
#define UMBRA_TRACE_HELPERS
/*
 * The kernel's own trace_name() would put the call itself where it stands, for which the
 * compiler keeps values out of the registers that a call may change, and inlines less: an
 * exit would pay up to 8 % more for events that are off. So the arguments are pushed from
 * wherever they are, and the call goes through a thunk that changes no register.
 */
#define umbra_trace(name, ...)							\
do {										\
	if (unlikely(trace_##name##_enabled())) {				\
		if (0)		/* for the types */				\
			trace_##name(__VA_ARGS__);				\
		UMBRA_TRACE_CALL(name, __VA_ARGS__, 0, 0, 0, 0);		\
	}									\
} while (0)

/* Without frame pointers nothing need be set up for a call, and to ask for it costs. */
#ifdef CONFIG_FRAME_POINTER
#define UMBRA_TRACE_FRAME	ASM_CALL_CONSTRAINT
#else
#define UMBRA_TRACE_FRAME
#endif

/* Always five, of which the event's function takes as many as it has. */
#define UMBRA_TRACE_CALL(name, a, b, c, d, e, ...)				\
	asm volatile("push %[w5]\n\t"						\
		     "push %[w4]\n\t"						\
		     "push %[w3]\n\t"						\
		     "push %[w2]\n\t"						\
		     "push %[w1]\n\t"						\
		     "push $umbra_trace_" #name "\n\t"				\
		     "call umbra_trace_thunk\n\t"				\
		     "add $48, %%rsp"						\
		     : UMBRA_TRACE_FRAME					\
		     : UMBRA_TRACE_WORD(w1, a), UMBRA_TRACE_WORD(w2, b),	\
		       UMBRA_TRACE_WORD(w3, c), UMBRA_TRACE_WORD(w4, d),	\
		       UMBRA_TRACE_WORD(w5, e) : "cc", "memory")
#define UMBRA_TRACE_WORD(n, value)	[n] "re" ((unsigned long)(value))

/* What an entry allows; @user: -1 where its format has no such right. */
struct umbra_rights {
	bool read, execute;
	s8 user;
};

static inline u8 umbra_insn_flags(unsigned int mode)
{
	static const u8 flags[] = {
		[UMBRA_EMUL_REAL]	= 0,
		[UMBRA_EMUL_VM86]	= UMBRA_INSN_PROT | UMBRA_INSN_VM86,
		[UMBRA_EMUL_PROT16]	= UMBRA_INSN_PROT,
		[UMBRA_EMUL_PROT32]	= UMBRA_INSN_PROT | UMBRA_INSN_CS_D,
		[UMBRA_EMUL_LONG64]	= UMBRA_INSN_PROT | UMBRA_INSN_CS_L,
	};

	return flags[mode];
}

static inline u32 umbra_cs_base(struct umbra_vcpu *vcpu)
{
	struct kvm_segment cs;

	umbra_backend->get_segment(vcpu, &cs, VCPU_SREG_CS);
	return cs.base;
}
#endif

TRACE_EVENT(kvm_emulate_insn,
	TP_PROTO(struct umbra_vcpu *vcpu, const struct umbra_emul *e, bool failed),
	TP_ARGS(vcpu, e, failed),
	TP_STRUCT__entry(
		__field(__u64, rip)
		__field(__u32, csbase)
		__field(__u8, len)
		__array(__u8, insn, 15)
		__field(__u8, flags)
		__field(__u8, failed)
	),
	TP_fast_assign(
		__entry->rip = umbra_rip(vcpu);
		__entry->csbase = umbra_cs_base(vcpu);
		__entry->len = min_t(u8, e->nbytes, 15);
		memset(__entry->insn, 0, 15);
		memcpy(__entry->insn, e->bytes, __entry->len);
		__entry->flags = umbra_insn_flags(umbra_emul_mode(vcpu));
		__entry->failed = failed;
	),
	TP_printk("%x:%llx:%s (%s)%s", __entry->csbase, __entry->rip,
		  __print_hex(__entry->insn, __entry->len),
		  __print_symbolic(__entry->flags, { 0, "real" },
				   { UMBRA_INSN_PROT | UMBRA_INSN_VM86, "vm16" },
				   { UMBRA_INSN_PROT, "prot16" },
				   { UMBRA_INSN_PROT | UMBRA_INSN_CS_D, "prot32" },
				   { UMBRA_INSN_PROT | UMBRA_INSN_CS_L, "prot64" }),
		  __entry->failed ? " failed" : "")
);

/* ------------------------------ memory ------------------------------ */

TRACE_EVENT(kvm_page_fault,
	TP_PROTO(struct umbra_vcpu *vcpu, u64 fault_address, u64 error_code),
	TP_ARGS(vcpu, fault_address, error_code),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, guest_rip)
		__field(u64, fault_address)
		__field(u64, error_code)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu->id;
		__entry->guest_rip = umbra_rip(vcpu);
		__entry->fault_address = fault_address;
		__entry->error_code = error_code;
	),
	TP_printk("vcpu %u rip 0x%lx address 0x%016llx error_code 0x%llx", __entry->vcpu_id,
		  __entry->guest_rip, __entry->fault_address, __entry->error_code)
);

/* @sptep: shown as a physical address */
TRACE_EVENT(kvm_mmu_set_spte,
	TP_PROTO(u64 gfn, int level, const u64 *sptep, u64 spte, const struct umbra_rights *rights),
	TP_ARGS(gfn, level, sptep, spte, rights),
	TP_STRUCT__entry(
		__field(u64, gfn)
		__field(u64, spte)
		__field(u64, sptep)
		__field(u8, level)
		__field(bool, r)
		__field(bool, x)
		__field(signed char, u)
	),
	TP_fast_assign(
		__entry->gfn = gfn;
		__entry->spte = spte;
		__entry->sptep = __pa(sptep);
		__entry->level = level;
		__entry->r = rights->read;
		__entry->x = rights->execute;
		__entry->u = rights->user;
	),
	TP_printk("gfn %llx spte %llx (%s%s%s%s) level %d at %llx", __entry->gfn, __entry->spte,
		  __entry->r ? "r" : "-", __entry->spte & _PAGE_RW ? "w" : "-",
		  __entry->x ? "x" : "-", __entry->u == -1 ? "" : __entry->u ? "u" : "-",
		  __entry->level, __entry->sptep)
);

/* A leaf, or where @level says so a table and all that it maps, was taken away. */
TRACE_EVENT(umbra_zap_spte,
	TP_PROTO(u64 gfn, int level, u64 spte),
	TP_ARGS(gfn, level, spte),
	TP_STRUCT__entry(
		__field(u64, gfn)
		__field(u64, spte)
		__field(u8, level)
	),
	TP_fast_assign(
		__entry->gfn = gfn;
		__entry->spte = spte;
		__entry->level = level;
	),
	TP_printk("gfn %llx spte %llx level %d", __entry->gfn, __entry->spte, __entry->level)
);

/* From now on the guest writes to its table in frame @gfn unseen. */
TRACE_EVENT(umbra_unsync,
	TP_PROTO(u64 gfn),
	TP_ARGS(gfn),
	TP_STRUCT__entry(
		__field(u64, gfn)
	),
	TP_fast_assign(
		__entry->gfn = gfn;
	),
	TP_printk("gfn %llx", __entry->gfn)
);

/* No more: what it wrote is looked at. */
TRACE_EVENT(umbra_sync,
	TP_PROTO(u64 gfn),
	TP_ARGS(gfn),
	TP_STRUCT__entry(
		__field(u64, gfn)
	),
	TP_fast_assign(
		__entry->gfn = gfn;
	),
	TP_printk("gfn %llx", __entry->gfn)
);

TRACE_EVENT(umbra_load_root,
	TP_PROTO(struct umbra_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u64, root)
		__field(u64, cr3)
		__field(u8, level)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu->id;
		__entry->root = vcpu->mmu.root;
		__entry->cr3 = umbra_cr3(vcpu);
		__entry->level = vcpu->mmu.level;
	),
	TP_printk("vcpu %u root %llx level %d cr3 %llx", __entry->vcpu_id, __entry->root,
		  __entry->level, __entry->cr3)
);

#define UMBRA_MMU_MODES								\
	{ UMBRA_MMU_HARDWARE, "hardware" }, { UMBRA_MMU_SHADOW_LAZY, "shadow-lazy" },	\
	{ UMBRA_MMU_SHADOW_EAGER, "shadow-eager" }

/* A live VM goes to another mode: each vCPU by itself, which umbra_load_root shows. */
TRACE_EVENT(umbra_mmu_mode,
	TP_PROTO(u32 from, u32 to, unsigned int vcpus),
	TP_ARGS(from, to, vcpus),
	TP_STRUCT__entry(
		__field(u32, from)
		__field(u32, to)
		__field(unsigned int, vcpus)
	),
	TP_fast_assign(
		__entry->from = from;
		__entry->to = to;
		__entry->vcpus = vcpus;
	),
	TP_printk("%s to %s, vcpus %u", __print_symbolic(__entry->from, UMBRA_MMU_MODES),
		  __print_symbolic(__entry->to, UMBRA_MMU_MODES), __entry->vcpus)
);

/* A page of a logged slot was written, or got the right to be. */
TRACE_EVENT(umbra_mark_dirty,
	TP_PROTO(u32 slot, u64 gfn),
	TP_ARGS(slot, gfn),
	TP_STRUCT__entry(
		__field(u32, slot)
		__field(u64, gfn)
	),
	TP_fast_assign(
		__entry->slot = slot;
		__entry->gfn = gfn;
	),
	TP_printk("slot %u gfn %llx", __entry->slot, __entry->gfn)
);

TRACE_EVENT(kvm_dirty_ring_push,
	TP_PROTO(struct umbra_vcpu *vcpu, u32 slot, u64 offset),
	TP_ARGS(vcpu, slot, offset),
	TP_STRUCT__entry(
		__field(int, index)
		__field(u32, dirty_index)
		__field(u32, reset_index)
		__field(u32, slot)
		__field(u64, offset)
	),
	TP_fast_assign(
		__entry->index = vcpu->index;
		__entry->dirty_index = vcpu->ring.dirty;
		__entry->reset_index = vcpu->ring.reset;
		__entry->slot = slot;
		__entry->offset = offset;
	),
	TP_printk("ring %d: dirty 0x%x reset 0x%x slot %u offset 0x%llx (used %u)",
		  __entry->index, __entry->dirty_index, __entry->reset_index, __entry->slot,
		  __entry->offset, __entry->dirty_index - __entry->reset_index)
);

/* ------------------------------ interrupts ------------------------------ */

TRACE_EVENT(kvm_inj_virq,
	TP_PROTO(unsigned int vector, bool soft, bool reinjected),
	TP_ARGS(vector, soft, reinjected),
	TP_STRUCT__entry(
		__field(unsigned int, vector)
		__field(bool, soft)
		__field(bool, reinjected)
	),
	TP_fast_assign(
		__entry->vector = vector;
		__entry->soft = soft;
		__entry->reinjected = reinjected;
	),
	TP_printk("%s 0x%x%s", __entry->soft ? "Soft/INTn" : "IRQ", __entry->vector,
		  __entry->reinjected ? " [reinjected]" : "")
);

#define UMBRA_EXC(name)	{ X86_TRAP_##name, "#" #name }
#define UMBRA_EXCS								\
	UMBRA_EXC(DE), UMBRA_EXC(DB), UMBRA_EXC(BP), UMBRA_EXC(OF), UMBRA_EXC(BR),	\
	UMBRA_EXC(UD), UMBRA_EXC(NM), UMBRA_EXC(DF), UMBRA_EXC(TS), UMBRA_EXC(NP),	\
	UMBRA_EXC(SS), UMBRA_EXC(GP), UMBRA_EXC(PF), UMBRA_EXC(MF), UMBRA_EXC(AC),	\
	UMBRA_EXC(MC), UMBRA_EXC(XF)

TRACE_EVENT(kvm_inj_exception,
	TP_PROTO(u8 exception, bool has_error, u32 error_code, bool reinjected),
	TP_ARGS(exception, has_error, error_code, reinjected),
	TP_STRUCT__entry(
		__field(u8, exception)
		__field(u8, has_error)
		__field(u32, error_code)
		__field(bool, reinjected)
	),
	TP_fast_assign(
		__entry->exception = exception;
		__entry->has_error = has_error;
		__entry->error_code = error_code;
		__entry->reinjected = reinjected;
	),
	TP_printk("%s (0x%x)%s", __print_symbolic(__entry->exception, UMBRA_EXCS),
		  __entry->error_code, __entry->reinjected ? " [reinjected]" : "")
);

TRACE_EVENT(umbra_inj_nmi,
	TP_PROTO(bool reinjected),
	TP_ARGS(reinjected),
	TP_STRUCT__entry(
		__field(bool, reinjected)
	),
	TP_fast_assign(
		__entry->reinjected = reinjected;
	),
	TP_printk("NMI%s", __entry->reinjected ? " [reinjected]" : "")
);

TRACE_EVENT(kvm_set_irq,
	TP_PROTO(unsigned int gsi, int level, int irq_source_id),
	TP_ARGS(gsi, level, irq_source_id),
	TP_STRUCT__entry(
		__field(unsigned int, gsi)
		__field(int, level)
		__field(int, irq_source_id)
	),
	TP_fast_assign(
		__entry->gsi = gsi;
		__entry->level = level;
		__entry->irq_source_id = irq_source_id;
	),
	TP_printk("gsi %u level %d source %d", __entry->gsi, __entry->level,
		  __entry->irq_source_id)
);

/* An eventfd was signalled and raises its line. */
TRACE_EVENT(umbra_irqfd,
	TP_PROTO(unsigned int gsi, bool resample),
	TP_ARGS(gsi, resample),
	TP_STRUCT__entry(
		__field(unsigned int, gsi)
		__field(bool, resample)
	),
	TP_fast_assign(
		__entry->gsi = gsi;
		__entry->resample = resample;
	),
	TP_printk("gsi %u%s", __entry->gsi, __entry->resample ? " resample" : "")
);

/* The guest's write signals an eventfd. */
TRACE_EVENT(umbra_ioeventfd,
	TP_PROTO(bool pio, u64 addr, u32 len, u64 val),
	TP_ARGS(pio, addr, len, val),
	TP_STRUCT__entry(
		__field(bool, pio)
		__field(u64, addr)
		__field(u32, len)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->pio = pio;
		__entry->addr = addr;
		__entry->len = len;
		__entry->val = val;
	),
	TP_printk("%s 0x%llx len %u val 0x%llx", __entry->pio ? "port" : "gpa", __entry->addr,
		  __entry->len, __entry->val)
);

#define UMBRA_APIC_REG(name)	{ APIC_##name, "APIC_" #name }
#define UMBRA_APIC_REGS								\
	UMBRA_APIC_REG(ID), UMBRA_APIC_REG(LVR), UMBRA_APIC_REG(TASKPRI),	\
	UMBRA_APIC_REG(ARBPRI), UMBRA_APIC_REG(PROCPRI), UMBRA_APIC_REG(EOI),	\
	UMBRA_APIC_REG(RRR), UMBRA_APIC_REG(LDR), UMBRA_APIC_REG(DFR),		\
	UMBRA_APIC_REG(SPIV), UMBRA_APIC_REG(ISR), UMBRA_APIC_REG(TMR),		\
	UMBRA_APIC_REG(IRR), UMBRA_APIC_REG(ESR), UMBRA_APIC_REG(LVTCMCI),	\
	UMBRA_APIC_REG(ICR), UMBRA_APIC_REG(ICR2), UMBRA_APIC_REG(LVTT),	\
	UMBRA_APIC_REG(LVTTHMR), UMBRA_APIC_REG(LVTPC), UMBRA_APIC_REG(LVT0),	\
	UMBRA_APIC_REG(LVT1), UMBRA_APIC_REG(LVTERR), UMBRA_APIC_REG(TMICT),	\
	UMBRA_APIC_REG(TMCCT), UMBRA_APIC_REG(TDCR), UMBRA_APIC_REG(SELF_IPI)

TRACE_EVENT(kvm_apic,
	TP_PROTO(bool write, unsigned int reg, u64 val),
	TP_ARGS(write, reg, val),
	TP_STRUCT__entry(
		__field(unsigned int, rw)
		__field(unsigned int, reg)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->rw = write;
		__entry->reg = reg;
		__entry->val = val;
	),
	TP_printk("apic_%s %s = 0x%llx", __entry->rw ? "write" : "read",
		  __print_symbolic(__entry->reg, UMBRA_APIC_REGS), __entry->val)
);

#define UMBRA_DELIVERY_MODES							\
	{ 0, "Fixed" }, { 1, "LowPrio" }, { 2, "SMI" }, { 3, "Res3" },		\
	{ 4, "NMI" }, { 5, "INIT" }, { 6, "SIPI" }, { 7, "ExtINT" }

TRACE_EVENT(kvm_apic_ipi,
	TP_PROTO(u32 icr_low, u32 dest_id),
	TP_ARGS(icr_low, dest_id),
	TP_STRUCT__entry(
		__field(__u32, icr_low)
		__field(__u32, dest_id)
	),
	TP_fast_assign(
		__entry->icr_low = icr_low;
		__entry->dest_id = dest_id;
	),
	TP_printk("dst %x vec %u (%s|%s|shorthand %u)", __entry->dest_id,
		  __entry->icr_low & 0xff,
		  __print_symbolic(__entry->icr_low >> 8 & 7, UMBRA_DELIVERY_MODES),
		  __entry->icr_low & APIC_DEST_LOGICAL ? "logical" : "physical",
		  __entry->icr_low >> 18 & 3)
);

/* @dm: the delivery mode where a LAPIC's registers have it, in bits 8 to 10 */
TRACE_EVENT(kvm_apic_accept_irq,
	TP_PROTO(u32 apicid, u16 dm, u16 tm, u8 vec),
	TP_ARGS(apicid, dm, tm, vec),
	TP_STRUCT__entry(
		__field(__u32, apicid)
		__field(__u16, dm)
		__field(__u16, tm)
		__field(__u8, vec)
	),
	TP_fast_assign(
		__entry->apicid = apicid;
		__entry->dm = dm;
		__entry->tm = tm;
		__entry->vec = vec;
	),
	TP_printk("apicid %x vec %u (%s|%s)", __entry->apicid, __entry->vec,
		  __print_symbolic(__entry->dm >> 8 & 7, UMBRA_DELIVERY_MODES),
		  __entry->tm ? "level" : "edge")
);

TRACE_EVENT(kvm_eoi,
	TP_PROTO(u32 apicid, int vector),
	TP_ARGS(apicid, vector),
	TP_STRUCT__entry(
		__field(__u32, apicid)
		__field(int, vector)
	),
	TP_fast_assign(
		__entry->apicid = apicid;
		__entry->vector = vector;
	),
	TP_printk("apicid %x vector %d", __entry->apicid, __entry->vector)
);

/* ------------------------------ waiting ------------------------------ */

/* @gva: the guest's physical address, as with KVM where the hardware walks its tables */
TRACE_EVENT(kvm_try_async_get_page,
	TP_PROTO(u64 gva, u64 gfn),
	TP_ARGS(gva, gfn),
	TP_STRUCT__entry(
		__field(__u64, gva)
		__field(u64, gfn)
	),
	TP_fast_assign(
		__entry->gva = gva;
		__entry->gfn = gfn;
	),
	TP_printk("gva = %#llx, gfn = %#llx", __entry->gva, __entry->gfn)
);

TRACE_EVENT(kvm_async_pf_not_present,
	TP_PROTO(u64 token, u64 gva),
	TP_ARGS(token, gva),
	TP_STRUCT__entry(
		__field(__u64, token)
		__field(__u64, gva)
	),
	TP_fast_assign(
		__entry->token = token;
		__entry->gva = gva;
	),
	TP_printk("token %#llx gva %#llx", __entry->token, __entry->gva)
);

TRACE_EVENT(kvm_async_pf_ready,
	TP_PROTO(u64 token, u64 gva),
	TP_ARGS(token, gva),
	TP_STRUCT__entry(
		__field(__u64, token)
		__field(__u64, gva)
	),
	TP_fast_assign(
		__entry->token = token;
		__entry->gva = gva;
	),
	TP_printk("token %#llx gva %#llx", __entry->token, __entry->gva)
);

/* @valid: no signal ended it */
TRACE_EVENT(kvm_vcpu_wakeup,
	TP_PROTO(u64 ns, bool waited, bool valid),
	TP_ARGS(ns, waited, valid),
	TP_STRUCT__entry(
		__field(__u64, ns)
		__field(bool, waited)
		__field(bool, valid)
	),
	TP_fast_assign(
		__entry->ns = ns;
		__entry->waited = waited;
		__entry->valid = valid;
	),
	TP_printk("%s time %llu ns, polling %s", __entry->waited ? "wait" : "poll", __entry->ns,
		  __entry->valid ? "valid" : "invalid")
);

TRACE_EVENT(kvm_halt_poll_ns,
	TP_PROTO(unsigned int vcpu_id, unsigned int new, unsigned int old),
	TP_ARGS(vcpu_id, new, old),
	TP_STRUCT__entry(
		__field(bool, grow)
		__field(unsigned int, vcpu_id)
		__field(unsigned int, new)
		__field(unsigned int, old)
	),
	TP_fast_assign(
		__entry->grow = new > old;
		__entry->vcpu_id = vcpu_id;
		__entry->new = new;
		__entry->old = old;
	),
	TP_printk("vcpu %u: halt_poll_ns %u (%s %u)", __entry->vcpu_id, __entry->new,
		  __entry->grow ? "grow" : "shrink", __entry->old)
);

#endif /* UMBRA_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
