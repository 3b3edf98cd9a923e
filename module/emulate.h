/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instruction emulator: decode and execute one guest instruction behind an ops struct.
 *
 * It knows registers as numbers and memory as linear addresses; everything outside is reached
 * through struct umbra_emul_ops. No allocation, no recursion, bounded work, no kernel header:
 * the unit tests build these files as they are.
 */
#ifndef UMBRA_EMULATE_H
#define UMBRA_EMULATE_H

#include "emul_types.h"

struct umbra_emul;
struct emul_opcode;

#define UMBRA_EMUL_MAX_LEN	15	/* bytes of the longest legal instruction */
#define UMBRA_EMUL_IO_BUF	1024	/* bytes that one INS or OUTS batch moves at most */
#define UMBRA_EMUL_REP_MAX	512	/* REP iterations of one umbra_emul_execute() */

/**
 * enum umbra_emul_result - what decode, execute and every op return
 * @UMBRA_EMUL_OK: done. From execute: commit gpr, rip, rflags and int_shadow.
 * @UMBRA_EMUL_FAULT: inject @exception of struct umbra_emul. gpr and rflags hold what the
 *	architecture lets a fault leave behind (REP iterations already done); rip is unchanged,
 *	but for a fault in the first moment of a new task: there all three are that task's.
 * @UMBRA_EMUL_IO: an op needs userspace. Keep the struct umbra_emul untouched, complete the
 *	op, call umbra_emul_execute() again: the same accesses come in the same order.
 *	gpr is valid as after FAULT. Only read_mem(), pio_in(), rdmsr() and wrmsr() may return it.
 * @UMBRA_EMUL_RESTART: a REP instruction made progress and has more to do, or a locked
 *	instruction lost its race too often, or an op asks for another try: commit gpr and
 *	rflags, rip stays. The next entry of the guest goes on.
 * @UMBRA_EMUL_UNHANDLEABLE: an instruction this emulator does not know. Nothing changed.
 *	Report KVM_INTERNAL_ERROR_EMULATION with @bytes.
 */
enum umbra_emul_result {
	UMBRA_EMUL_OK,
	UMBRA_EMUL_FAULT,
	UMBRA_EMUL_IO,
	UMBRA_EMUL_RESTART,
	UMBRA_EMUL_UNHANDLEABLE,
};

/**
 * enum umbra_emul_mode - how the CPU decodes and addresses
 * @UMBRA_EMUL_REAL: CR0.PE is clear
 * @UMBRA_EMUL_VM86: RFLAGS.VM is set
 * @UMBRA_EMUL_PROT16: protected or compatibility mode, CS.D is clear
 * @UMBRA_EMUL_PROT32: protected or compatibility mode, CS.D is set
 * @UMBRA_EMUL_LONG64: EFER.LMA and CS.L
 */
enum umbra_emul_mode {
	UMBRA_EMUL_REAL,
	UMBRA_EMUL_VM86,
	UMBRA_EMUL_PROT16,
	UMBRA_EMUL_PROT32,
	UMBRA_EMUL_LONG64,
};

/* Registers in the order of their encodings. */
enum umbra_emul_gpr {
	EMUL_RAX, EMUL_RCX, EMUL_RDX, EMUL_RBX, EMUL_RSP, EMUL_RBP, EMUL_RSI, EMUL_RDI,
};

enum umbra_emul_seg_nr {
	EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS, EMUL_LDTR, EMUL_TR,
	EMUL_NR_SEGS
};

/* struct umbra_emul_seg.attr: bits 8..15 and 20..23 of a descriptor, as in a VMCB. */
#define EMUL_SEG_TYPE		0x000f
#define EMUL_SEG_ACCESSED	0x0001
#define EMUL_SEG_WRITE		0x0002	/* code segment: readable */
#define EMUL_SEG_DOWN		0x0004	/* code segment: conforming */
#define EMUL_SEG_CODE		0x0008
#define EMUL_SEG_S		0x0010
#define EMUL_SEG_DPL_SHIFT	5
#define EMUL_SEG_P		0x0080
#define EMUL_SEG_AVL		0x0100
#define EMUL_SEG_L		0x0200
#define EMUL_SEG_DB		0x0400
#define EMUL_SEG_G		0x0800

/**
 * struct umbra_emul_seg - a segment register with its hidden part
 * @base: linear address
 * @limit: last valid offset in bytes, whatever the granularity bit says
 * @sel: selector
 * @attr: EMUL_SEG_*; an unusable segment (null selector) has EMUL_SEG_P clear
 */
struct umbra_emul_seg {
	u64 base;
	u32 limit;
	u16 sel;
	u16 attr;
};

/**
 * struct umbra_emul_dtable - GDTR or IDTR
 * @base: linear address
 * @limit: last valid byte
 */
struct umbra_emul_dtable {
	u64 base;
	u16 limit;
};

enum umbra_emul_dtable_nr { EMUL_GDTR, EMUL_IDTR };

/**
 * enum umbra_emul_task - what made a task switch
 * @UMBRA_TASK_CALL: CALL: the new task is nested in the old one
 * @UMBRA_TASK_IRET: IRET with NT set, back to the task before
 * @UMBRA_TASK_JMP: JMP
 * @UMBRA_TASK_GATE: an interrupt or exception by a task gate of the IDT: nested
 */
enum umbra_emul_task {
	UMBRA_TASK_CALL,
	UMBRA_TASK_IRET,
	UMBRA_TASK_JMP,
	UMBRA_TASK_GATE,
};

/**
 * enum umbra_emul_cpu - what the guest's CPU may have or not
 * @UMBRA_CPU_NONE: no feature
 * @UMBRA_CPU_AMD: not a feature: it behaves as AMD's do, else as Intel's
 * @UMBRA_CPU_MWAIT: MONITOR too; CPUID is not all that decides
 */
enum umbra_emul_cpu {
	UMBRA_CPU_NONE,
	UMBRA_CPU_AMD,
	UMBRA_CPU_3DNOW,
	UMBRA_CPU_ADX,
	UMBRA_CPU_AVX,
	UMBRA_CPU_AVX2,
	UMBRA_CPU_AVX512F,
	UMBRA_CPU_BMI1,
	UMBRA_CPU_BMI2,
	UMBRA_CPU_CLFLUSH,
	UMBRA_CPU_CLFLUSHOPT,
	UMBRA_CPU_CLWB,
	UMBRA_CPU_CLZERO,
	UMBRA_CPU_CR8_LEGACY,
	UMBRA_CPU_CX16,
	UMBRA_CPU_CX8,
	UMBRA_CPU_FSGSBASE,
	UMBRA_CPU_FXSR,
	UMBRA_CPU_INVPCID,
	UMBRA_CPU_LZCNT,
	UMBRA_CPU_MMX,
	UMBRA_CPU_MOVBE,
	UMBRA_CPU_MOVDIR64B,
	UMBRA_CPU_MOVDIRI,
	UMBRA_CPU_MWAIT,
	UMBRA_CPU_PKU,
	UMBRA_CPU_POPCNT,
	UMBRA_CPU_RDPID,
	UMBRA_CPU_RDRAND,
	UMBRA_CPU_RDSEED,
	UMBRA_CPU_RDTSCP,
	UMBRA_CPU_SEP,
	UMBRA_CPU_SERIALIZE,
	UMBRA_CPU_SMAP,
	UMBRA_CPU_SSE2,
	UMBRA_CPU_SSE3,
	UMBRA_CPU_SSE41,
	UMBRA_CPU_SSE42,
	UMBRA_CPU_SSE4A,
	UMBRA_CPU_XOP,
	UMBRA_CPU_XSAVE,
	UMBRA_CPU_XSAVEC,
	UMBRA_CPU_XSAVEOPT,
	UMBRA_CPU_XSAVES,
	UMBRA_NR_CPU_FEATURES
};

/* Flags of a memory access. Without EMUL_ACC_SYSTEM the access has the rights of cpl. */
#define EMUL_ACC_SYSTEM		0x1	/* implicit supervisor access (descriptors, TSS) */
#define EMUL_ACC_WRITE		0x2	/* read_mem: a write to the same bytes follows, so the
					 * page must be writable; probe: the same question */
#define EMUL_ACC_OPERAND	0x4	/* the instruction's only access to memory, so that what
					 * the hardware said of a faulting access is about it */

/**
 * struct umbra_emul_ops - everything the emulator may do; all members are required
 *
 * @fetch: read @n code bytes at linear address @la, never across a 4 KiB boundary, with the
 *	rights of an instruction fetch at cpl. OK, FAULT (#PF) or UNHANDLEABLE.
 * @read_mem: read @n bytes (1 to 64; up to UMBRA_EMUL_IO_BUF inside one page that @probe called
 *	RAM) at @la. May cross a page. OK, FAULT (#PF), IO or UNHANDLEABLE. A completed
 *	device read is kept by the implementation for re-execution after IO, until @step of
 *	struct umbra_emul changes.
 * @write_mem: write @n bytes, sizes as for @read_mem. Every page is translated before the
 *	first byte is written. Device writes are queued, so OK, FAULT or UNHANDLEABLE; an
 *	implementation whose queue is full sets @stop_rep.
 * @probe: check that @n bytes at @la, inside one page, can be read (EMUL_ACC_WRITE: written)
 *	without moving data; *ram tells whether they are ordinary memory. OK, FAULT or
 *	UNHANDLEABLE.
 * @cmpxchg_mem: compare @n bytes (1, 2, 4, 8, 16) with @old and if equal write @new, in one
 *	atomic step on RAM. On a device the read has already happened: queue the write.
 *	When the comparison fails, @old receives what was found, with OK. FAULT or UNHANDLEABLE
 *	as @write_mem. RESTART: try the whole instruction again later.
 * @pio_in: read @count items of @size bytes (1, 2, 4) from @port into @buf. OK, IO, UNHANDLEABLE.
 * @pio_out: write them. Queued: OK or UNHANDLEABLE. At most one call for each execution.
 * @get_seg: read a segment register. Cannot fail.
 * @set_seg: load a segment register whose descriptor the emulator has checked.
 * @get_cr: read CR0, CR2, CR3, CR4 or CR8. Cannot fail.
 * @set_cr: write one; FAULT (#GP) for a value that the CPU would refuse.
 * @get_dr: read DR0 to DR3, DR6 or DR7. Cannot fail.
 * @set_dr: write one; FAULT (#GP) for reserved upper bits.
 * @rdmsr: RDMSR. OK, FAULT (#GP), IO, UNHANDLEABLE.
 * @wrmsr: WRMSR; likewise. The only write that may ask userspace first.
 * @get_msr: read an MSR that another instruction needs: nobody keeps it from that. OK, FAULT
 *	(#GP), UNHANDLEABLE.
 * @set_msr: write it.
 * @cpuid: regs[0..3] are EAX to EDX, EAX and ECX set on entry. OK or FAULT (CPUID faulting).
 * @get_dtable: read GDTR or IDTR. Cannot fail.
 * @set_dtable: load it.
 * @tsc: the guest's time-stamp counter and TSC_AUX. Cannot fail.
 * @get_xmm: read @n bytes (16 or 32) of vector register @reg. OK or UNHANDLEABLE.
 * @set_xmm: write them; 16 leaves the upper part alone, 32 clears all that lies above.
 * @get_fpu: the x87 and SSE state as FXSAVE64 stores it, 512 bytes. OK or UNHANDLEABLE.
 * @set_fpu: load it; MXCSR is valid.
 * @get_xcr0: read XCR0. Cannot fail.
 * @get_xinuse: which components of XCR0 are not as they were at the start, XGETBV with ECX 1.
 *	OK, FAULT (#GP) where the guest's CPU cannot tell, UNHANDLEABLE.
 * @set_xcr0: write it; FAULT (#GP) for a value that the CPU would refuse.
 * @get_pkru: read PKRU. Cannot fail.
 * @set_pkru: write it.
 * @cpu_has: enum umbra_emul_cpu: does the guest's CPU have it?
 * @hlt: the vCPU is to block once this instruction is committed.
 * @wbinvd: WBINVD or INVD, both harmless to the guest's memory.
 * @invlpg: forget translations of the page at linear address @la.
 * @invpcid: forget those of one address (@type 0) or of all of a PCID (1), or all (2, 3).
 *	The operands are checked.
 * @rdpmc: read a performance counter. OK or FAULT (#GP).
 * @hypercall: VMCALL or VMMCALL; number and arguments are in gpr, the result goes there.
 * @nmi_unmask: an IRET is done: the next NMI may come.
 *
 * An op that returns FAULT has filled @exception of struct umbra_emul. Any op on memory may also
 * return RESTART: nothing was done, enter the guest and let it try again.
 */
struct umbra_emul_ops {
	int (*fetch)(struct umbra_emul *e, u64 la, void *buf, unsigned int n);
	int (*read_mem)(struct umbra_emul *e, u64 la, void *buf, unsigned int n,
			unsigned int acc);
	int (*write_mem)(struct umbra_emul *e, u64 la, const void *buf, unsigned int n,
			 unsigned int acc);
	int (*probe)(struct umbra_emul *e, u64 la, unsigned int n, unsigned int acc, bool *ram);
	int (*cmpxchg_mem)(struct umbra_emul *e, u64 la, void *old, const void *new,
			   unsigned int n, unsigned int acc);
	int (*pio_in)(struct umbra_emul *e, u16 port, unsigned int size, void *buf,
		      unsigned int count);
	int (*pio_out)(struct umbra_emul *e, u16 port, unsigned int size, const void *buf,
		       unsigned int count);
	void (*get_seg)(struct umbra_emul *e, unsigned int nr, struct umbra_emul_seg *seg);
	int (*set_seg)(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_seg *seg);
	u64 (*get_cr)(struct umbra_emul *e, unsigned int nr);
	int (*set_cr)(struct umbra_emul *e, unsigned int nr, u64 val);
	u64 (*get_dr)(struct umbra_emul *e, unsigned int nr);
	int (*set_dr)(struct umbra_emul *e, unsigned int nr, u64 val);
	int (*rdmsr)(struct umbra_emul *e, u32 index, u64 *val);
	int (*wrmsr)(struct umbra_emul *e, u32 index, u64 val);
	int (*get_msr)(struct umbra_emul *e, u32 index, u64 *val);
	int (*set_msr)(struct umbra_emul *e, u32 index, u64 val);
	int (*cpuid)(struct umbra_emul *e, u32 regs[4]);
	void (*get_dtable)(struct umbra_emul *e, unsigned int nr, struct umbra_emul_dtable *dt);
	int (*set_dtable)(struct umbra_emul *e, unsigned int nr,
			  const struct umbra_emul_dtable *dt);
	u64 (*tsc)(struct umbra_emul *e, u32 *aux);
	int (*get_xmm)(struct umbra_emul *e, unsigned int reg, void *buf, unsigned int n);
	int (*set_xmm)(struct umbra_emul *e, unsigned int reg, const void *buf, unsigned int n);
	int (*get_fpu)(struct umbra_emul *e, u8 *image);
	int (*set_fpu)(struct umbra_emul *e, const u8 *image);
	u64 (*get_xcr0)(struct umbra_emul *e);
	int (*get_xinuse)(struct umbra_emul *e, u64 *val);
	int (*set_xcr0)(struct umbra_emul *e, u64 val);
	u32 (*get_pkru)(struct umbra_emul *e);
	void (*set_pkru)(struct umbra_emul *e, u32 val);
	bool (*cpu_has)(struct umbra_emul *e, enum umbra_emul_cpu feature);
	int (*hlt)(struct umbra_emul *e);
	int (*wbinvd)(struct umbra_emul *e);
	int (*invlpg)(struct umbra_emul *e, u64 la);
	int (*invpcid)(struct umbra_emul *e, unsigned int type, u16 pcid, u64 la);
	int (*rdpmc)(struct umbra_emul *e, u32 index, u64 *val);
	int (*hypercall)(struct umbra_emul *e);
	void (*nmi_unmask)(struct umbra_emul *e);
};

/**
 * struct umbra_emul_exception - a fault for the caller to inject
 * @cr2: faulting linear address, for #PF only
 * @error_code: pushed when @has_error_code
 * @vector: 0 to 31
 * @has_error_code: this vector pushes one
 */
struct umbra_emul_exception {
	u64 cr2;
	u32 error_code;
	u8 vector;
	bool has_error_code;
};

/* struct umbra_emul.int_shadow after OK: what holds off events for one instruction. */
#define UMBRA_EMUL_SHADOW_STI		0x1
#define UMBRA_EMUL_SHADOW_MOV_SS	0x2

/* One operand of the decoded instruction: private to the emulator. */
struct emul_operand {
	u8 kind;
	u8 size;	/* bytes */
	u8 reg;
	bool high;	/* AH, CH, DH or BH */
	u64 ea;		/* memory: offset in the segment */
	union {
		u64 val;
		u64 word[4];
		u8 raw[32];
	};
};

/**
 * struct umbra_emul - one emulation, from decode to commit
 *
 * Set by the caller before umbra_emul_decode():
 * @ops: the effects
 * @gpr: general registers in the order of their encoding
 * @rip: of the instruction; on OK of the next one
 * @rflags: as the guest sees them
 * @mode: enum umbra_emul_mode; behind a far transfer what it has become
 * @cpl: 0 in real mode, 3 in vm86 mode, else SS.DPL; likewise
 * @la_bits: width of a canonical address: 48, or 57 with CR4.LA57
 *
 * Set by the emulator:
 * @int_shadow: UMBRA_EMUL_SHADOW_*, valid after OK: the new shadow, which replaces the old one
 *	(no bit: the instruction ended it). STI sets it only if IF was clear, MOV SS and
 *	POP SS always. Otherwise valid as 0 after RESTART.
 * @trap_step: after OK or RESTART: RFLAGS.TF was set when the instruction began, and it was not
 *	a load of SS: the caller raises the #DB (DR6.BS) that the CPU would, once the
 *	registers are committed. The emulator itself never raises a single-step #DB; with TF
 *	a REP instruction returns after each iteration. RF is cleared by OK (IRET and a task
 *	switch load it), kept by RESTART and FAULT. The caller deals with instruction and data
 *	breakpoints.
 * @trap_task: after OK: a task switch to a TSS with T set: the caller raises a #DB (DR6.BT) once
 *	the registers are committed
 * @exception: after FAULT
 * @bytes: the code, fetched once, never read again
 * @nbytes: how many of @bytes are valid
 * @len: length of the instruction in bytes, after a successful decode
 * @step: units (REP iterations or batches) completed; when it changes, completed reads are to be
 *	dropped
 * @stop_rep: set by an op to end a REP loop after the current iteration; cleared by execute
 * @io_buf: data of one INS or OUTS batch
 *
 * The other members are private to the emulator. The struct needs no clearing before use.
 */
struct umbra_emul {
	const struct umbra_emul_ops *ops;
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	u8 mode;
	u8 cpl;
	u8 la_bits;

	u8 int_shadow;
	bool trap_step;
	bool trap_task;
	bool stop_rep;
	u32 step;
	struct umbra_emul_exception exception;
	u8 bytes[UMBRA_EMUL_MAX_LEN + 9];	/* room for an 8-byte load at any of them */
	u8 nbytes;
	u8 len;

	/* private: the decoded instruction */
	u8 pos;			/* next byte of @bytes to decode */
	u8 opcode;
	u8 modrm;
	u8 rex;
	u8 opsize;		/* bytes */
	u8 adsize;		/* bytes */
	u8 seg;			/* of the memory operand, override applied */
	u8 seg_override;	/* EMUL_NR_SEGS: none */
	u8 rep;			/* 0, 0xf2 or 0xf3 */
	bool opsize_prefix;
	bool lock;
	bool rip_relative;
	bool absolute;
	bool vex;
	u8 vexl;		/* VEX.L */
	bool vexw;		/* VEX.W, which outside of 64-bit code is no operand size */
	u8 vvvv;		/* VEX.vvvv as a register number */
	u8 step_rule;
	u8 npend;
	u8 segs_valid;		/* bit for each member of @segs that was read */
	u64 flags;		/* of the opcode */
	const struct emul_opcode *op;
	struct emul_operand dst, src, src2;

	/* private: results that commit when nothing can fail any more */
	u64 next_rip;
	u64 new_flags;
	struct {
		u8 reg, size;
		u64 val;
	} pend[2];

	struct umbra_emul_seg segs[EMUL_NR_SEGS];
	u8 io_buf[UMBRA_EMUL_IO_BUF] __attribute__((aligned(8)));
};

/**
 * umbra_emul_decode - decode the instruction at CS:rip
 * @e: with the caller's members set
 * @bytes: code already at hand (decode assists), or NULL
 * @n: how many bytes, at most UMBRA_EMUL_MAX_LEN count; fewer than the instruction has is fine
 *
 * Missing bytes are fetched through the ops. Effective addresses are taken from gpr here, so
 * gpr must not change between decode and execute.
 *
 * Return: OK; FAULT: #UD, #GP (longer than 15 bytes, beyond the limit) or the fetch's #PF;
 * RESTART if fetch() said so; UNHANDLEABLE.
 */
int umbra_emul_decode(struct umbra_emul *e, const u8 *bytes, unsigned int n);

/**
 * umbra_emul_execute - execute the decoded instruction
 * @e: after umbra_emul_decode() returned OK, or after an execution that returned IO
 *
 * Within a unit (the instruction, or one REP iteration) all reads come before the first write,
 * in an order that depends on the decoded instruction and the registers only.
 *
 * Return: any of enum umbra_emul_result.
 */
int umbra_emul_execute(struct umbra_emul *e);

/**
 * struct umbra_emul_mov - a MOV between memory and a register or constant
 * @write: to memory
 * @constant: it writes @value, no register
 * @size: bytes: 1, 2, 4 or 8
 * @reg: general register, all of whose low @size bytes are meant
 * @value: the constant
 * @base: register that the address is counted from, or one of the following
 * @offset: the address's low 16 bits, or what is added to those of @base
 */
struct umbra_emul_mov {
	bool write, constant;
	u8 size, reg, base;
	u16 offset;
	u64 value;
};

#define UMBRA_EMUL_NO_BASE	16	/* the address is the same each time */
#define UMBRA_EMUL_ANY_BASE	17	/* it depends on more than one register */

/** umbra_emul_repeats - is it a string instruction with REP? @e: after umbra_emul_decode() returned OK */
bool umbra_emul_repeats(const struct umbra_emul *e);

/**
 * umbra_emul_plain_mov - is it a MOV of nothing but memory and a register or constant?
 * @e: after umbra_emul_decode() returned OK
 * @mov: which, if it is
 *
 * One is left out: that of AH, BH, CH or DH.
 */
bool umbra_emul_plain_mov(const struct umbra_emul *e, struct umbra_emul_mov *mov);

/**
 * umbra_emul_task_switch - switch tasks for an event that names a task gate
 * @e: with the caller's members set, not decoded
 * @sel: selector of the new task's TSS
 * @how: what made it
 * @error: the error code that goes on the new task's stack, or NULL
 *
 * rip is what the old task will go on with.
 *
 * Return: OK, FAULT, RESTART or UNHANDLEABLE, as from umbra_emul_execute().
 */
int umbra_emul_task_switch(struct umbra_emul *e, u16 sel, enum umbra_emul_task how,
			   const u32 *error);

/**
 * umbra_emul_interrupt - deliver an interrupt or exception as the CPU does
 * @e: with the caller's members set, not decoded
 * @vector: through which entry of the IVT or the IDT
 * @soft: raised by INT n, INT3 or INTO: the gate's DPL counts
 * @error: the error code to push, or NULL; not in real mode
 *
 * rip and rflags are what is pushed: a fault's has RF set.
 *
 * Return: OK, FAULT, RESTART or UNHANDLEABLE, as from umbra_emul_execute(); IO.
 */
int umbra_emul_interrupt(struct umbra_emul *e, u8 vector, bool soft, const u32 *error);

/*
 * Instructions whose length a caller may ask for: what the exit reported, so that a guest that
 * rewrites its code meanwhile is noticed.
 */
enum umbra_emul_known {
	UMBRA_INSN_CPUID,
	UMBRA_INSN_RDMSR,
	UMBRA_INSN_WRMSR,
	UMBRA_INSN_HLT,
	UMBRA_INSN_VMMCALL,
	UMBRA_INSN_VMCALL,
	UMBRA_INSN_RDTSC,
	UMBRA_INSN_RDTSCP,
	UMBRA_INSN_RDPMC,
	UMBRA_INSN_INVD,
	UMBRA_INSN_WBINVD,
	UMBRA_INSN_XSETBV,
	UMBRA_INSN_MONITOR,
	UMBRA_INSN_MWAIT,
	UMBRA_INSN_PAUSE,
	UMBRA_INSN_INT3,
	UMBRA_INSN_INTO,
	UMBRA_INSN_INT,
	UMBRA_INSN_ICEBP,
	UMBRA_INSN_IN,
	UMBRA_INSN_OUT,
	UMBRA_INSN_CLTS,
	UMBRA_INSN_MOV_FROM_CR,
	UMBRA_INSN_MOV_TO_CR,
	UMBRA_INSN_MOV_FROM_DR,
	UMBRA_INSN_MOV_TO_DR,
	UMBRA_INSN_SMSW_LMSW_INVLPG,	/* 0F 01 with a ModRM operand of any kind */
	UMBRA_NR_INSNS
};

/**
 * umbra_emul_length - length of an instruction that the hardware has already decoded
 * @bytes: code at CS:rip
 * @n: how many bytes are valid, at least one
 * @mode: enum umbra_emul_mode
 * @insn: which instruction the exit said it is
 *
 * Touches nothing but @bytes: for skipping without next-RIP save.
 *
 * Return: length in bytes; 0 when the bytes are another instruction; -1 when @n is too small
 * to tell.
 */
int umbra_emul_length(const u8 *bytes, unsigned int n, unsigned int mode,
		      enum umbra_emul_known insn);

#endif /* UMBRA_EMULATE_H */
