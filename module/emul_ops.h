/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files behind the emulator's ops share: emul_ops.c, memory and the way out; emul_ops_regs.c, the rest. */
#ifndef UMBRA_EMUL_OPS_H
#define UMBRA_EMUL_OPS_H

#include <linux/container_of.h>
#include <linux/kvm_types.h>

#include "emulate.h"

struct umbra_vcpu;

#define MMIO_CHUNK	8	/* bytes that one KVM_EXIT_MMIO carries */
/* What one instruction may read or write: of FXRSTOR's and FXSAVE's image 416 bytes. */
#define MMIO_ACCESSES	(416 / MMIO_CHUNK)

/* A RDMSR or WRMSR that userspace answers. */
enum { MSR_NONE, MSR_ASKED, MSR_ANSWERED, MSR_REFUSED };

struct mmio_access {
	gpa_t gpa;
	u8 len;
	u8 data[MMIO_CHUNK];
};

/**
 * struct umbra_vcpu_emul - an emulation under way
 * @vcpu: whose
 * @nr_reads: how many @reads hold data
 * @next_read: the next of them to be given
 * @nr_writes: how many @writes there are
 * @next_write: the next of them to be sent
 * @step: which unit of the instruction @reads belong to
 * @read_wanted: the entry behind the last of @reads waits for userspace
 * @pio: port I/O for userspace is set up in the run page
 * @pio_done: its data is in vcpu->pio_data
 * @msr: what userspace has said of a RDMSR or WRMSR, MSR_*
 * @msr_value: what it says that was read
 * @rcx: the guest's RCX when it was set up
 * @halt: the instruction was HLT
 * @trap: a single step over the instruction is due when userspace has its writes
 * @watched: DR6 bits of the breakpoints that its accesses hit
 * @fault_known: the exit told where the instruction's access faulted
 * @fault_write: and that it was a write
 * @fault_gpa: at this address
 * @e: the emulator's part
 * @reads: completed device reads of one unit
 * @writes: device writes for userspace
 */
struct umbra_vcpu_emul {
	struct umbra_vcpu *vcpu;
	u8 nr_reads, next_read, nr_writes, next_write;
	u32 step;
	u64 rcx;
	bool read_wanted, pio, pio_done, halt, trap;
	bool fault_known, fault_write;
	u8 watched, msr;
	u64 msr_value;
	gpa_t fault_gpa;
	struct umbra_emul e;
	struct mmio_access reads[MMIO_ACCESSES], writes[MMIO_ACCESSES];
};

static inline struct umbra_vcpu_emul *umbra_to_ve(struct umbra_emul *e)
{
	return container_of(e, struct umbra_vcpu_emul, e);
}

/* Note an exception to inject; UMBRA_EMUL_FAULT. */
int umbra_emul_fault(struct umbra_emul *e, u8 vector, bool has_error, u32 error, u64 cr2);

/* Members of struct umbra_emul_ops. */
void umbra_emul_get_seg(struct umbra_emul *e, unsigned int nr, struct umbra_emul_seg *seg);
int umbra_emul_set_seg(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_seg *seg);
u64 umbra_emul_get_cr(struct umbra_emul *e, unsigned int nr);
int umbra_emul_set_cr(struct umbra_emul *e, unsigned int nr, u64 val);
u64 umbra_emul_get_dr(struct umbra_emul *e, unsigned int nr);
int umbra_emul_set_dr(struct umbra_emul *e, unsigned int nr, u64 val);
int umbra_emul_rdmsr(struct umbra_emul *e, u32 index, u64 *val);
int umbra_emul_wrmsr(struct umbra_emul *e, u32 index, u64 val);
int umbra_emul_get_msr(struct umbra_emul *e, u32 index, u64 *val);
int umbra_emul_set_msr(struct umbra_emul *e, u32 index, u64 val);
int umbra_emul_cpuid(struct umbra_emul *e, u32 regs[4]);
void umbra_emul_get_dtable(struct umbra_emul *e, unsigned int nr, struct umbra_emul_dtable *dt);
int umbra_emul_set_dtable(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_dtable *dt);
u64 umbra_emul_tsc(struct umbra_emul *e, u32 *aux);
int umbra_emul_get_xmm(struct umbra_emul *e, unsigned int reg, void *buf, unsigned int n);
int umbra_emul_set_xmm(struct umbra_emul *e, unsigned int reg, const void *buf, unsigned int n);
int umbra_emul_hlt(struct umbra_emul *e);
int umbra_emul_wbinvd(struct umbra_emul *e);
int umbra_emul_invlpg(struct umbra_emul *e, u64 la);
int umbra_emul_get_fpu(struct umbra_emul *e, u8 *image);
int umbra_emul_set_fpu(struct umbra_emul *e, const u8 *image);
u64 umbra_emul_get_xcr0(struct umbra_emul *e);
int umbra_emul_get_xinuse(struct umbra_emul *e, u64 *val);
int umbra_emul_set_xcr0(struct umbra_emul *e, u64 val);
u32 umbra_emul_get_pkru(struct umbra_emul *e);
void umbra_emul_set_pkru(struct umbra_emul *e, u32 val);
bool umbra_emul_cpu_has(struct umbra_emul *e, enum umbra_emul_cpu feature);
int umbra_emul_invpcid(struct umbra_emul *e, unsigned int type, u16 pcid, u64 la);
int umbra_emul_rdpmc(struct umbra_emul *e, u32 index, u64 *val);
int umbra_emul_hypercall(struct umbra_emul *e);
void umbra_emul_nmi_unmask(struct umbra_emul *e);

#endif
