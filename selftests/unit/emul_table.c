// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator one instruction at a time: each line of the table is a machine state, an instruction
 * and what must come of it. Memory: 0 to 0xffff is RAM filled with its own address bytes, page
 * 0x20000 is read-only RAM, page 0x30000 is a device, all else is not mapped.
 */
#include "model.h"
#include "tap.h"

#define RAM	0x10000
#define RO	0x20000
#define DEV	0x30000

enum { OK = UMBRA_EMUL_OK, FAULT = UMBRA_EMUL_FAULT, UNKNOWN = UMBRA_EMUL_UNHANDLEABLE };
enum { R16 = UMBRA_EMUL_REAL, V86 = UMBRA_EMUL_VM86, P16 = UMBRA_EMUL_PROT16,
       P32 = UMBRA_EMUL_PROT32, L64 = UMBRA_EMUL_LONG64 };
/* Not zero, so that zero ends a list. */
enum { AX = 0x80, CX, DX, BX, SP, BP, SI, DI, R12 = 0x8c, R13 };

#define DE	0
#define DB	1
#define BR	5
#define UD	6
#define NM	7
#define SS	12
#define GP	13
#define PF	14
#define AC	17
#define NONE	-1

#define CODE(s)	.code = s, .len = sizeof(s) - 1

struct reg {
	u8 nr;
	u64 val;
};

struct line {
	const char *name;
	u8 mode;
	const char *code;
	u8 len;
	struct reg in[4];
	u8 cpl;
	u64 rflags;
	u64 cr0, cr4;			/* added to the mode's own */
	struct { u8 nr; u8 set; struct umbra_emul_seg seg; } seg;
	int want;
	int vector, error;		/* FAULT; error NONE: no error code */
	u64 cr2;
	struct reg out[3];
	u64 rip;			/* 0: after the instruction */
	u64 mem;			/* address of @memval */
	u64 memval;
	u8 memsize;
	u64 flags_set, flags_clear;
	u8 shadow;
};

#define SEG(n, b, l, a)	.seg = { n, 1, { .base = b, .limit = l, .attr = a } }
#define DATA	(EMUL_SEG_P | EMUL_SEG_S | 3)
#define BIG	EMUL_SEG_DB
#define NOCANON	0x0000800000000000ull

static const struct line lines[] = {
	/* Addressing */
	{ "16-bit bx+si, DS base", R16, CODE("\x8b\x40\x05"), { { BX, 0x100 }, { SI, 0x20 } },
	  SEG(EMUL_DS, 0x1000, 0xffff, DATA), .out = { { AX, 0x2625 } } },
	{ "16-bit bx+di", R16, CODE("\x8b\x41\x05"), { { BX, 0x100 }, { DI, 0x30 } },
	  .out = { { AX, 0x3635 } } },
	{ "16-bit bp+si is in SS", R16, CODE("\x8b\x02"), { { BP, 0x100 }, { SI, 0x20 } },
	  SEG(EMUL_SS, 0x40, 0xffff, DATA), .out = { { AX, 0x6160 } } },
	{ "16-bit bp+di is in SS", R16, CODE("\x8b\x03"), { { BP, 0x100 }, { DI, 0x20 } },
	  SEG(EMUL_SS, 0x50, 0xffff, DATA), .out = { { AX, 0x7170 } } },
	{ "16-bit si", R16, CODE("\x8b\x04"), { { SI, 0x20 } }, .out = { { AX, 0x2120 } } },
	{ "16-bit di", R16, CODE("\x8b\x05"), { { DI, 0x30 } }, .out = { { AX, 0x3130 } } },
	{ "16-bit disp16", R16, CODE("\x8b\x06\x34\x12"), .out = { { AX, 0x3534 } } },
	{ "16-bit bp+disp8 is in SS", R16, CODE("\x8b\x46\xff"), { { BP, 0x21 } },
	  SEG(EMUL_SS, 0x10, 0xffff, DATA), .out = { { AX, 0x3130 } } },
	{ "16-bit bx+disp16", R16, CODE("\x8b\x87\x00\x01"), { { BX, 0x21 } },
	  .out = { { AX, 0x2221 } } },
	{ "16-bit sums wrap at 64K", R16, CODE("\x8b\x00"), { { BX, 0xfff0 }, { SI, 0x30 } },
	  .out = { { AX, 0x2120 } } },
	{ "67 prefix in real mode", R16, CODE("\x67\x8b\x04\x8b"), { { BX, 0x10 }, { CX, 4 } },
	  .out = { { AX, 0x2120 } } },
	{ "66 prefix in real mode", R16, CODE("\x66\x8b\x04"), { { SI, 0x20 } },
	  .out = { { AX, 0x23222120 } } },
	{ "66 prefix in 32-bit code", P32, CODE("\x66\x8b\x03"), { { AX, 0xaaaa0000 }, { BX, 0x20 } },
	  .out = { { AX, 0xaaaa2120 } } },
	{ "67 prefix in 32-bit code", P32, CODE("\x67\x8b\x07"), { { BX, 0xf0020 } },
	  .out = { { AX, 0x23222120 } } },
	{ "esp base is in SS", P32, CODE("\x8b\x44\x24\x04"), { { SP, 0x10 } },
	  SEG(EMUL_SS, 0x100, 0xffff, DATA | BIG), .out = { { AX, 0x17161514 } } },
	{ "ebp base is in SS", P32, CODE("\x8b\x45\x00"), { { BP, 0x10 } },
	  SEG(EMUL_SS, 0x20, 0xffff, DATA | BIG), .out = { { AX, 0x33323130 } } },
	{ "SIB without base", P32, CODE("\x8b\x04\x8d\x10\x00\x00\x00"), { { CX, 4 } },
	  .out = { { AX, 0x23222120 } } },
	{ "SIB without index", P32, CODE("\x8b\x04\x23"), { { BX, 0x20 } },
	  .out = { { AX, 0x23222120 } } },
	{ "segment override", P32, CODE("\x64\x8b\x03"), { { BX, 0x20 } },
	  SEG(EMUL_FS, 0x100, 0xffff, DATA), .out = { { AX, 0x23222120 } } },
	{ "last override wins", P32, CODE("\x26\x65\x8b\x03"), { { BX, 0x20 } },
	  SEG(EMUL_GS, 0x30, 0xffff, DATA), .out = { { AX, 0x53525150 } } },
	{ "FS base in 64-bit mode", L64, CODE("\x64\x8b\x03"), { { BX, 0x20 } },
	  SEG(EMUL_FS, 0x30, 0, 0), .out = { { AX, 0x53525150 } } },
	{ "ES override is ignored in 64-bit mode", L64, CODE("\x26\x8b\x03"), { { BX, 0x20 } },
	  SEG(EMUL_ES, 0x30, 0, 0), .out = { { AX, 0x23222120 } } },
	{ "SS override", P32, CODE("\x36\x8b\x03"), { { BX, 0x20 } },
	  SEG(EMUL_SS, 0x30, 0xffff, DATA | BIG), .out = { { AX, 0x53525150 } } },
	{ "movups in 16-bit code", P16, CODE("\x0f\x10\x07"), { { BX, 0x20 } } },
	{ "rip-relative", L64, CODE("\x8b\x05\x10\x00\x00\x00"), .out = { { AX, 0x19181716 } } },
	{ "rip-relative counts the immediate", L64, CODE("\x80\x3d\x10\x00\x00\x00\x17"),
	  .flags_set = 0x40 },
	{ "eip-relative with 67", L64, CODE("\x67\x8b\x05\xf0\xff\xff\xff"),
	  .out = { { AX, 0xfaf9f8f7 } } },
	{ "67 in 64-bit mode drops the upper half", L64, CODE("\x67\x8b\x03"),
	  { { BX, 0xff00000020 } }, .out = { { AX, 0x23222120 } } },
	{ "r12 base needs SIB", L64, CODE("\x41\x8b\x04\x24"), { { R12, 0x20 } },
	  .out = { { AX, 0x23222120 } } },
	{ "r13 base needs disp", L64, CODE("\x41\x8b\x45\x01"), { { R13, 0x20 } },
	  .out = { { AX, 0x24232221 } } },
	{ "r12 index", L64, CODE("\x42\x8b\x04\x63"), { { BX, 0x10 }, { R12, 8 } },
	  .out = { { AX, 0x23222120 } } },
	{ "REX before another prefix does not count", L64, CODE("\x48\x66\x8b\x03"),
	  { { BX, 0x20 } }, .out = { { AX, 0x2120 } } },
	{ "AH without REX", L64, CODE("\x8a\x23"), { { AX, 0x11 }, { BX, 0x20 } },
	  .out = { { AX, 0x2011 } } },
	{ "SPL with REX", L64, CODE("\x40\x8a\x23"), { { SP, 0x11 }, { BX, 0x20 } },
	  .out = { { SP, 0x20 } } },
	{ "moffs in 64-bit mode has 8 bytes", L64, CODE("\xa1\x20\0\0\0\0\0\0\0"),
	  .out = { { AX, 0x23222120 } } },
	{ "moffs with 67 has 4 bytes", L64, CODE("\x67\xa1\x20\0\0\0"),
	  .out = { { AX, 0x23222120 } } },
	{ "moffs in real mode has 2 bytes", R16, CODE("\xa0\x20\0"), .out = { { AX, 0x20 } } },
	{ "moffs store", P32, CODE("\xa3\x20\0\0\0"), { { AX, 0x12345678 } },
	  .mem = 0x20, .memval = 0x12345678, .memsize = 4 },

	/* Segment checks */
	{ "limit, last byte", P32, CODE("\x8a\x03"), { { BX, 0xff } },
	  SEG(EMUL_DS, 0, 0xff, DATA), .out = { { AX, 0xff } } },
	{ "limit, one byte beyond", P32, CODE("\x66\x8b\x03"), { { BX, 0xff } },
	  SEG(EMUL_DS, 0, 0xff, DATA), .want = FAULT, .vector = GP },
	{ "limit of SS is #SS", P32, CODE("\x8b\x45\x00"), { { BP, 0xfd } },
	  SEG(EMUL_SS, 0, 0xff, DATA | BIG), .want = FAULT, .vector = SS },
	{ "word at ffff in real mode", R16, CODE("\x8b\x07"), { { BX, 0xffff } },
	  .want = FAULT, .vector = GP },
	{ "unreal mode reaches beyond 64K", R16, CODE("\x67\x8a\x03"), { { BX, RO }, { AX, 5 } },
	  SEG(EMUL_DS, 0, 0xffffffff, DATA), .out = { { AX, 0 } } },
	{ "expand-down below the limit", P32, CODE("\x8a\x03"), { { BX, 0xff } },
	  SEG(EMUL_DS, 0, 0xff, DATA | EMUL_SEG_DOWN | BIG), .want = FAULT, .vector = GP },
	{ "expand-down above the limit", P32, CODE("\x8a\x03"), { { BX, 0x100 }, { AX, 5 } },
	  SEG(EMUL_DS, 0, 0xff, DATA | EMUL_SEG_DOWN | BIG), .out = { { AX, 0 } } },
	{ "16-bit expand-down ends at 64K", P32, CODE("\x66\x8b\x03"), { { BX, 0xffff } },
	  SEG(EMUL_DS, 0, 0xff, DATA | EMUL_SEG_DOWN), .want = FAULT, .vector = GP },
	{ "write to a read-only segment", P32, CODE("\x88\x03"), { { BX, 0x20 } },
	  SEG(EMUL_DS, 0, 0xffff, EMUL_SEG_P | EMUL_SEG_S | 1), .want = FAULT, .vector = GP },
	{ "read-modify-write of a read-only segment", P32, CODE("\x00\x03"), { { BX, 0x20 } },
	  SEG(EMUL_DS, 0, 0xffff, EMUL_SEG_P | EMUL_SEG_S | 1), .want = FAULT, .vector = GP },
	{ "compare with a read-only segment", P32, CODE("\x38\x03"), { { BX, 0x20 } },
	  SEG(EMUL_DS, 0, 0xffff, EMUL_SEG_P | EMUL_SEG_S | 1), .flags_clear = 0x40 },
	{ "read through CS", P32, CODE("\x2e\x8a\x03"), { { BX, 0x20 } },
	  .out = { { AX, 0x20 } } },
	{ "read of execute-only code", P32, CODE("\x2e\x8a\x03"), { { BX, 0x20 } },
	  SEG(EMUL_CS, 0, 0xffff, EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_CODE | BIG),
	  .want = FAULT, .vector = GP },
	{ "write through CS", P32, CODE("\x2e\x88\x03"), { { BX, 0x20 } },
	  .want = FAULT, .vector = GP },
	{ "write through CS in real mode", R16, CODE("\x2e\x88\x07"), { { BX, 0x20 } },
	  .mem = 0x20, .memval = 0, .memsize = 1 },
	{ "null data segment", P32, CODE("\x8a\x03"), { { BX, 0x20 } },
	  SEG(EMUL_DS, 0, 0, 0), .want = FAULT, .vector = GP },
	{ "null stack segment", P32, CODE("\x50"), SEG(EMUL_SS, 0, 0, 0),
	  .want = FAULT, .vector = SS },
	{ "linear addresses wrap at 4G", P32, CODE("\x8a\x03"), { { BX, 0x120 } },
	  SEG(EMUL_DS, 0xffffff00, 0xffff, DATA), .out = { { AX, 0x20 } } },
	{ "non-canonical is #GP", L64, CODE("\x8b\x03"), { { BX, NOCANON } },
	  .want = FAULT, .vector = GP },
	{ "non-canonical in SS is #SS", L64, CODE("\x8b\x45\x00"), { { BP, NOCANON } },
	  .want = FAULT, .vector = SS },
	{ "non-canonical in its last byte", L64, CODE("\x8b\x03"), { { BX, NOCANON - 2 } },
	  .want = FAULT, .vector = GP },
	{ "non-canonical by its FS base", L64, CODE("\x64\x8b\x03"), { { BX, NOCANON - 0x20 } },
	  SEG(EMUL_FS, 0x20, 0, 0), .want = FAULT, .vector = GP },
	{ "alignment check", P32, CODE("\x8b\x03"), { { BX, 0x21 } }, .cpl = 3,
	  .rflags = 1 << 18, .cr0 = 1 << 18, .want = FAULT, .vector = AC },
	{ "no alignment check of CPL 0", P32, CODE("\x8b\x03"), { { BX, 0x21 } },
	  .rflags = 1 << 18, .cr0 = 1 << 18, .out = { { AX, 0x24232221 } } },
	{ "no alignment check without CR0.AM", P32, CODE("\x8b\x03"), { { BX, 0x21 } }, .cpl = 3,
	  .rflags = 1 << 18, .out = { { AX, 0x24232221 } } },

	/* Page faults */
	{ "read of nothing", P32, CODE("\x8b\x03"), { { BX, 0x50000 } },
	  .want = FAULT, .vector = PF, .cr2 = 0x50000 },
	{ "read of nothing by CPL 3", P32, CODE("\x8b\x03"), { { BX, 0x50000 } }, .cpl = 3,
	  .want = FAULT, .vector = PF, .error = 4, .cr2 = 0x50000 },
	{ "write to nothing", P32, CODE("\x89\x03"), { { BX, 0x50000 } },
	  .want = FAULT, .vector = PF, .error = 2, .cr2 = 0x50000 },
	{ "read over the end", P32, CODE("\x8b\x03"), { { BX, RAM - 2 } },
	  .want = FAULT, .vector = PF, .cr2 = RAM },
	{ "write to read-only", P32, CODE("\x89\x03"), { { BX, RO } },
	  .want = FAULT, .vector = PF, .error = 3, .cr2 = RO },
	{ "read-modify-write asks for a write", P32, CODE("\x01\x03"), { { BX, RO } },
	  .want = FAULT, .vector = PF, .error = 3, .cr2 = RO },
	{ "a faulting ADD leaves the flags", P32, CODE("\x01\x03"), { { BX, RO } },
	  .rflags = 0x8d5, .want = FAULT, .vector = PF, .error = 3, .cr2 = RO,
	  .flags_set = 0x8d5 },
	{ "a faulting PUSH leaves rSP", P32, CODE("\x50"), { { SP, RO + 8 } },
	  .want = FAULT, .vector = PF, .error = 3, .cr2 = RO + 4, .out = { { SP, RO + 8 } } },
	{ "a faulting POP to memory leaves rSP", P32, CODE("\x8f\x03"),
	  { { SP, 0x100 }, { BX, RO } },
	  .want = FAULT, .vector = PF, .error = 3, .cr2 = RO, .out = { { SP, 0x100 } } },
	{ "a faulting XCHG leaves the register", P32, CODE("\x87\x03"),
	  { { BX, RO }, { AX, 7 } },
	  .want = FAULT, .vector = PF, .error = 3, .cr2 = RO, .out = { { AX, 7 } } },
	{ "CMPXCHG writes even if unequal", P32, CODE("\x0f\xb1\x0b"), { { BX, RO }, { AX, 7 } },
	  .want = FAULT, .vector = PF, .error = 3, .cr2 = RO, .out = { { AX, 7 } } },

	/* Illegal */
	{ "UD2", L64, CODE("\x0f\x0b"), .want = FAULT, .vector = UD, .error = NONE },
	{ "LOCK on MOV", L64, CODE("\xf0\x89\x03"), { { BX, 0x20 } },
	  .want = FAULT, .vector = UD, .error = NONE },
	{ "LOCK on a register", L64, CODE("\xf0\x01\xc3"), .want = FAULT, .vector = UD, .error = NONE },
	{ "LOCK on CMP", L64, CODE("\xf0\x39\x03"), .want = FAULT, .vector = UD, .error = NONE },
	{ "LOCK on BT", L64, CODE("\xf0\x0f\xa3\x03"), .want = FAULT, .vector = UD, .error = NONE },
	{ "PUSHA in 64-bit mode", L64, CODE("\x60"), .want = FAULT, .vector = UD, .error = NONE },
	{ "DAA in 64-bit mode", L64, CODE("\x27"), .want = FAULT, .vector = UD, .error = NONE },
	{ "LEA of a register", L64, CODE("\x8d\xc3"), .want = FAULT, .vector = UD, .error = NONE },
	{ "LGDT of a register", P32, CODE("\x0f\x01\xd3"), .want = FAULT, .vector = UD,
	  .error = NONE },
	{ "MOV to CS", P32, CODE("\x8e\xc8"), .want = FAULT, .vector = UD, .error = NONE },
	{ "segment register 6", P32, CODE("\x8e\xf0"), .want = FAULT, .vector = UD, .error = NONE },
	{ "CR1", P32, CODE("\x0f\x20\xc8"), .want = FAULT, .vector = UD, .error = NONE },
	{ "CR15", L64, CODE("\x44\x0f\x20\xf8"), .want = FAULT, .vector = UD, .error = NONE },
	{ "DR8", L64, CODE("\x44\x0f\x21\xc0"), .want = FAULT, .vector = UD, .error = NONE },
	{ "MOVNTI of a register", L64, CODE("\x0f\xc3\xc0"), .want = FAULT, .vector = UD, .error = NONE },
	{ "CMPXCHG8B of a register", L64, CODE("\x0f\xc7\xc8"),
	  .want = FAULT, .vector = UD, .error = NONE },
	{ "SLDT in real mode", R16, CODE("\x0f\x00\xc0"), .want = FAULT, .vector = UD, .error = NONE },
	{ "FE /7", P32, CODE("\xfe\xf8"), .want = FAULT, .vector = UD, .error = NONE },
	{ "x87 is not known", L64, CODE("\xd8\x03"), .want = UNKNOWN },
	{ "0F 3A is not known", L64, CODE("\x0f\x3a\x0f\xc1\x05"), .want = UNKNOWN },
	{ "0F 38 below F0 is not known", L64, CODE("\x0f\x38\x00\xc1"), .want = UNKNOWN },
	{ "MMX arithmetic is not known", L64, CODE("\x0f\xfe\x03"), .want = UNKNOWN },
	{ "TZCNT is not BSF", L64, CODE("\xf3\x0f\xbc\xc3"), .out = { { AX, 32 } }, .flags_set = 1 },
	{ "66 on a near branch in 64-bit mode", L64, CODE("\x66\xe9\0\0\0\0"), .rip = 0x1006 },

	/* BCD, and what only other modes have */
	{ "DAA", P32, CODE("\x27"), { { AX, 0x9b } }, .out = { { AX, 0x01 } },
	  .flags_set = 0x11 },
	{ "DAS", P32, CODE("\x2f"), { { AX, 0x05 } }, .rflags = 0x10, .out = { { AX, 0xff } },
	  .flags_set = 0x91 },
	{ "AAA", P32, CODE("\x37"), { { AX, 0x0f } }, .out = { { AX, 0x0105 } },
	  .flags_set = 0x11 },
	{ "AAS", P32, CODE("\x3f"), { { AX, 0x020f } }, .out = { { AX, 0x0109 } },
	  .flags_set = 0x11 },
	{ "AAM", P32, CODE("\xd4\x0a"), { { AX, 0x3f } }, .out = { { AX, 0x0603 } } },
	{ "AAM by zero", P32, CODE("\xd4\x00"), .want = FAULT, .vector = DE, .error = NONE },
	{ "AAD", P32, CODE("\xd5\x0a"), { { AX, 0x0603 } }, .out = { { AX, 0x3f } } },
	{ "SALC", P32, CODE("\xd6"), .rflags = 1, .out = { { AX, 0xff } } },
	{ "inc by 40 in 32-bit code", P32, CODE("\x43"), { { BX, 0xffffffff } },
	  .out = { { BX, 0 } }, .flags_set = 0x40 },
	{ "BOUND inside", P32, CODE("\x62\x03"), { { BX, 0x20 }, { AX, 0x23222120 } } },
	{ "BOUND outside", P32, CODE("\x62\x03"), { { BX, 0x20 }, { AX, 5 } },
	  .want = FAULT, .vector = BR, .error = NONE },

	/* Stack and control flow */
	{ "PUSH on a 16-bit stack wraps", R16, CODE("\x50"), { { AX, 0x1234 }, { SP, 0x10000 } },
	  .out = { { SP, 0x1fffe } }, .mem = 0xfffe, .memval = 0x1234, .memsize = 2 },
	{ "PUSH at SP 1 is #SS", R16, CODE("\x50"), { { SP, 1 } }, .want = FAULT, .vector = SS },
	{ "16-bit stack in 32-bit code", P32, CODE("\x50"), { { AX, 5 }, { SP, 0xab0100 } },
	  SEG(EMUL_SS, 0, 0xffff, DATA), .out = { { SP, 0xab00fc } },
	  .mem = 0xfc, .memval = 5, .memsize = 4 },
	{ "66 PUSH in 64-bit mode", L64, CODE("\x66\x50"), { { AX, 5 }, { SP, 0x100 } },
	  .out = { { SP, 0xfe } }, .mem = 0xfe, .memval = 5, .memsize = 2 },
	{ "POP rSP", P32, CODE("\x5c"), { { SP, 0x20 } }, .out = { { SP, 0x23222120 } } },
	{ "POP [esp] uses the new esp", P32, CODE("\x8f\x04\x24"), { { SP, 0x20 } },
	  .out = { { SP, 0x24 } }, .mem = 0x24, .memval = 0x23222120, .memsize = 4 },
	{ "PUSHA", P32, CODE("\x60"), { { SP, 0x100 }, { DI, 7 } }, .out = { { SP, 0xe0 } },
	  .mem = 0xe0, .memval = 7, .memsize = 4 },
	{ "PUSHA stores the old esp", P32, CODE("\x60"), { { SP, 0x100 } },
	  .mem = 0xec, .memval = 0x100, .memsize = 4 },
	{ "POPA", P32, CODE("\x61"), { { SP, 0x20 } },
	  .out = { { SP, 0x40 }, { DI, 0x23222120 }, { AX, 0x3f3e3d3c } } },
	{ "ENTER 4, 0", P32, CODE("\xc8\x04\x00\x00"), { { SP, 0x100 }, { BP, 9 } },
	  .out = { { SP, 0xf8 }, { BP, 0xfc } }, .mem = 0xfc, .memval = 9, .memsize = 4 },
	{ "ENTER 0, 2", P32, CODE("\xc8\x00\x00\x02"), { { SP, 0x100 }, { BP, 0x44 } },
	  .out = { { SP, 0xf4 }, { BP, 0xfc } }, .mem = 0xf8, .memval = 0x43424140, .memsize = 4 },
	{ "LEAVE", P32, CODE("\xc9"), { { BP, 0x20 } }, .out = { { SP, 0x24 }, { BP, 0x23222120 } } },
	{ "CALL rel16", R16, CODE("\xe8\x10\x00"), { { SP, 0x100 } }, .rip = 0x1013,
	  .mem = 0xfe, .memval = 0x1003, .memsize = 2 },
	{ "CALL rel32", L64, CODE("\xe8\xf0\xff\xff\xff"), { { SP, 0x100 } }, .rip = 0xff5,
	  .mem = 0xf8, .memval = 0x1005, .memsize = 8 },
	{ "CALL [mem]", P32, CODE("\xff\x13"), { { SP, 0x100 }, { BX, 0x20 } }, .rip = 0x23222120,
	  .mem = 0xfc, .memval = 0x1002, .memsize = 4 },
	{ "JMP beyond the limit", P32, CODE("\xe9\x00\x00\x01\x00"),
	  SEG(EMUL_CS, 0, 0xffff, DATA | EMUL_SEG_CODE | BIG), .want = FAULT, .vector = GP },
	{ "JMP rax, non-canonical", L64, CODE("\xff\xe0"), { { AX, NOCANON } },
	  .want = FAULT, .vector = GP },
	{ "CALL rax, non-canonical, pushes nothing", L64, CODE("\xff\xd0"),
	  { { AX, NOCANON }, { SP, 0x100 } }, .want = FAULT, .vector = GP,
	  .out = { { SP, 0x100 } }, .mem = 0xf8, .memval = 0xfffefdfcfbfaf9f8, .memsize = 8 },
	{ "RET", P32, CODE("\xc3"), { { SP, 0x20 } }, .rip = 0x23222120, .out = { { SP, 0x24 } } },
	{ "RET 8", P32, CODE("\xc2\x08\x00"), { { SP, 0x20 } }, .rip = 0x23222120,
	  .out = { { SP, 0x2c } } },
	{ "66 RET cuts to 16 bits", P32, CODE("\x66\xc3"), { { SP, 0x20 } }, .rip = 0x2120,
	  .out = { { SP, 0x22 } } },
	{ "Jcc taken, 16 bits", R16, CODE("\x74\x80"), .rflags = 0x40, .rip = 0xf82 },
	{ "Jcc not taken", R16, CODE("\x75\x80"), .rflags = 0x40 },
	{ "LOOP taken", P32, CODE("\xe2\xfe"), { { CX, 2 } }, .rip = 0x1000, .out = { { CX, 1 } } },
	{ "LOOP with 67 counts CX", P32, CODE("\x67\xe2\xfd"), { { CX, 0x10000 } }, .rip = 0x1000,
	  .out = { { CX, 0x1ffff } } },
	{ "LOOPE ends on NZ", P32, CODE("\xe1\xfe"), { { CX, 2 } }, .out = { { CX, 1 } } },
	{ "LOOPNE ends on Z", P32, CODE("\xe0\xfe"), { { CX, 2 } }, .rflags = 0x40,
	  .out = { { CX, 1 } } },
	{ "JECXZ", P32, CODE("\xe3\x10"), .rip = 0x1012 },

	/* Flags register and the interrupt shadow */
	{ "PUSHF hides VM and RF", P32, CODE("\x9c"), { { SP, 0x100 } }, .rflags = 0x10246,
	  .mem = 0xfc, .memval = 0x246, .memsize = 4 },
	{ "POPF by CPL 0 changes IF and IOPL", P32, CODE("\x9d"), { { SP, 0x3200 } },
	  .flags_set = 0x3202, .flags_clear = 0x8028 },
	{ "POPF by CPL 3 leaves IF and IOPL", P32, CODE("\x9d"), { { SP, 0x3200 } }, .cpl = 3,
	  .flags_clear = 0x3200 },
	{ "POPF by CPL 1 with IOPL 1 changes IF", P32, CODE("\x9d"), { { SP, 0x3200 } }, .cpl = 1,
	  .rflags = 0x1000, .flags_set = 0x1200, .flags_clear = 0x2000 },
	{ "66 POPF leaves the upper half", P32, CODE("\x66\x9d"), { { SP, 0x3200 } },
	  .rflags = 1 << 18, .flags_set = 1 << 18 },
	{ "PUSHF in vm86, IOPL 0", V86, CODE("\x9c"), .want = FAULT, .vector = GP },
	{ "PUSHF in vm86, VME", V86, CODE("\x9c"), { { SP, 0x100 } }, .rflags = 1 << 19,
	  .cr4 = 1, .mem = 0xfe, .memval = 0x3202, .memsize = 2 },
	{ "POPF in vm86, VME sets VIF", V86, CODE("\x9d"), { { SP, 0x200 } }, .cr4 = 1,
	  .flags_clear = 1 << 9, .rip = 0x1001 },
	{ "POPF in vm86, VME and VIP", V86, CODE("\x9d"), { { SP, 0x203 } }, .cr4 = 1,
	  .rflags = 1 << 20, .want = FAULT, .vector = GP },
	{ "CLI by CPL 3", P32, CODE("\xfa"), .cpl = 3, .rflags = 0x200,
	  .want = FAULT, .vector = GP, .flags_set = 0x200 },
	{ "CLI by CPL 3 under PVI clears VIF", P32, CODE("\xfa"), .cpl = 3, .cr4 = 2,
	  .rflags = 0x80200, .flags_set = 0x200, .flags_clear = 1 << 19 },
	{ "CLI", P32, CODE("\xfa"), .rflags = 0x200, .flags_clear = 0x200 },
	{ "STI makes a shadow", P32, CODE("\xfb"), .flags_set = 0x200,
	  .shadow = UMBRA_EMUL_SHADOW_STI },
	{ "STI with IF set makes none", P32, CODE("\xfb"), .rflags = 0x200, .flags_set = 0x200 },
	{ "STI in vm86 with VIP", V86, CODE("\xfb"), .cr4 = 1, .rflags = 1 << 20,
	  .want = FAULT, .vector = GP },
	{ "MOV SS makes a shadow", R16, CODE("\x8e\xd0"), { { AX, 0x123 } },
	  .shadow = UMBRA_EMUL_SHADOW_MOV_SS },
	{ "POP SS makes a shadow", R16, CODE("\x17"), { { SP, 0x20 } }, .out = { { SP, 0x22 } },
	  .shadow = UMBRA_EMUL_SHADOW_MOV_SS },
	{ "MOV DS makes none", R16, CODE("\x8e\xd8"), { { AX, 0x123 } } },
	{ "RF is cleared", P32, CODE("\x90"), .rflags = 1 << 16, .flags_clear = 1 << 16 },
	{ "RF stays over a fault", P32, CODE("\x8b\x03"), { { BX, 0x50000 } }, .rflags = 1 << 16,
	  .want = FAULT, .vector = PF, .cr2 = 0x50000, .flags_set = 1 << 16 },
	{ "NOP leaves the upper half of rAX", L64, CODE("\x90"), { { AX, 0x1234567812345678 } },
	  .out = { { AX, 0x1234567812345678 } } },

	{ "PUSHF in vm86, VME, of 32 bits", V86, CODE("\x66\x9c"), .cr4 = 1,
	  .want = FAULT, .vector = GP },
	{ "POPF in vm86, IOPL 0, of 32 bits", V86, CODE("\x66\x9d"), .cr4 = 1,
	  .want = FAULT, .vector = GP },
	{ "POPF over the limit", P32, CODE("\x9d"), SEG(EMUL_SS, 0, 0x7fff, DATA | BIG),
	  .want = FAULT, .vector = SS },
	{ "STI in vm86, VME sets VIF", V86, CODE("\xfb"), .cr4 = 1, .flags_set = 1 << 19,
	  .flags_clear = 0x200 },
	{ "PUSHA over the limit leaves esp", P32, CODE("\x60"), { { SP, 0x10 } },
	  SEG(EMUL_SS, 0, 0xffff, DATA | BIG), .want = FAULT, .vector = SS, .out = { { SP, 0x10 } } },
	{ "PUSHA over a missing page writes nothing", P32, CODE("\x60"),
	  { { SP, 0x40010 } }, .want = FAULT, .vector = PF, .error = 2, .cr2 = 0x4000c,
	  .out = { { SP, 0x40010 } } },
	{ "PUSHA that runs out of memory writes nothing", P32, CODE("\x60"),
	  { { SP, RAM + 16 } }, .want = FAULT, .vector = PF, .error = 2, .cr2 = RAM + 12,
	  .out = { { SP, RAM + 16 } }, .mem = RAM - 8, .memval = 0xfffefdfcfbfaf9f8, .memsize = 8 },
	{ "PUSHA that meets the limit halfway writes nothing", P32, CODE("\x60"),
	  { { SP, 0x10 } }, SEG(EMUL_SS, 0, 0xffff, DATA | BIG), .want = FAULT, .vector = SS,
	  .mem = 8, .memval = 0x0f0e0d0c0b0a0908, .memsize = 8 },
	{ "ENTER that meets the limit halfway writes nothing", P32, CODE("\xc8\0\0\x03"),
	  { { SP, 8 }, { BP, 0x100 } }, SEG(EMUL_SS, 0, 0xffff, DATA | BIG), .want = FAULT, .vector = SS,
	  .mem = 0, .memval = 0x0706050403020100, .memsize = 8, .out = { { SP, 8 }, { BP, 0x100 } } },
	{ "ENTER with two levels", P32, CODE("\xc8\x10\0\x02"), { { SP, 0x200 }, { BP, 0x104 } },
	  .out = { { SP, 0x1e4 }, { BP, 0x1fc } }, .mem = 0x1f4, .memval = 0x03020100000001fc,
	  .memsize = 8 },
	{ "POPA over the limit loads nothing", P32, CODE("\x61"), { { SP, 0xf0 }, { DI, 7 } },
	  SEG(EMUL_SS, 0, 0xff, DATA | BIG), .want = FAULT, .vector = SS,
	  .out = { { SP, 0xf0 }, { DI, 7 } } },
	{ "PUSH FS of 32 bits writes 16", P32, CODE("\x0f\xa0"), { { SP, 0x104 } },
	  SEG(EMUL_FS, 0, 0xffff, DATA), .out = { { SP, 0x100 } },
	  .mem = 0x100, .memval = 0x03020000, .memsize = 4 },
	{ "PUSH FS over the limit", P32, CODE("\x0f\xa0"), { { SP, 2 } },
	  SEG(EMUL_SS, 0, 0xffff, DATA | BIG), .want = FAULT, .vector = SS, .out = { { SP, 2 } } },
	{ "POP DS over the limit", P32, CODE("\x1f"), SEG(EMUL_SS, 0, 0x7fff, DATA | BIG),
	  .want = FAULT, .vector = SS },
	{ "ENTER with a frame that cannot be read", P32, CODE("\xc8\0\0\x02"),
	  { { BP, 0x50004 } }, .want = FAULT, .vector = PF, .cr2 = 0x50000,
	  .out = { { BP, 0x50004 }, { SP, 0x8000 } } },
	{ "ENTER on a stack that cannot be written", P32, CODE("\xc8\0\0\0"),
	  { { SP, RO + 8 } }, .want = FAULT, .vector = PF, .error = 3, .cr2 = RO + 4,
	  .out = { { SP, RO + 8 } } },
	{ "LEAVE from nothing", P32, CODE("\xc9"), { { BP, 0x50000 } },
	  .want = FAULT, .vector = PF, .cr2 = 0x50000, .out = { { SP, 0x8000 } } },
	{ "RET over the limit", P32, CODE("\xc3"), SEG(EMUL_SS, 0, 0x7fff, DATA | BIG),
	  .want = FAULT, .vector = SS },
	{ "BOUND of nothing", P32, CODE("\x62\x03"), { { BX, 0x50000 } },
	  .want = FAULT, .vector = PF, .cr2 = 0x50000 },
	{ "BOUND with half its bounds", P32, CODE("\x62\x03"), { { BX, RAM - 4 } },
	  .want = FAULT, .vector = PF, .cr2 = RAM },
	/* Undefined by the manuals; as if the bits of both registers went round. */
	{ "SHLD of 16 bits by 17", P32, CODE("\x66\x0f\xa4\xc8\x11"),
	  { { AX, 0x9234 }, { CX, 0x8001 } }, .out = { { AX, 0x0003 } }, .flags_set = 1 },
	{ "SHRD of 16 bits by 17", P32, CODE("\x66\x0f\xac\xc8\x11"),
	  { { AX, 0x9235 }, { CX, 0x8001 } }, .out = { { AX, 0xc000 } }, .flags_set = 1 },

	/* Vector moves and what they need */
	{ "MOVAPS, misaligned", L64, CODE("\x0f\x28\x03"), { { BX, 0x28 } },
	  .want = FAULT, .vector = GP },
	{ "MOVDQA store, misaligned", L64, CODE("\x66\x0f\x7f\x03"), { { BX, 0x28 } },
	  .want = FAULT, .vector = GP },
	{ "MOVUPS with CR0.TS", L64, CODE("\x0f\x10\x03"), { { BX, 0x28 } }, .cr0 = 8,
	  .want = FAULT, .vector = NM, .error = NONE },
	{ "MOVUPS with CR0.EM", L64, CODE("\x0f\x10\x03"), { { BX, 0x28 } }, .cr0 = 4,
	  .want = FAULT, .vector = UD, .error = NONE },
	{ "MOVUPS over the end of RAM", L64, CODE("\x0f\x10\x03"), { { BX, RAM - 8 } },
	  .want = FAULT, .vector = PF, .cr2 = RAM },
	{ "CMPXCHG16B, misaligned", L64, CODE("\x48\x0f\xc7\x0b"), { { BX, 0x28 } },
	  .want = FAULT, .vector = GP },
	{ "CMPXCHG8B, misaligned", L64, CODE("\x0f\xc7\x0b"), { { BX, 0x21 } },
	  .out = { { AX, 0x24232221 }, { DX, 0x28272625 } }, .flags_clear = 0x40 },

	/* Privileged */
	{ "HLT by CPL 3", P32, CODE("\xf4"), .cpl = 3, .want = FAULT, .vector = GP },
	{ "WRMSR by CPL 1", P32, CODE("\x0f\x30"), .cpl = 1, .want = FAULT, .vector = GP },
	{ "MOV CR0 by CPL 3", P32, CODE("\x0f\x20\xc0"), .cpl = 3, .want = FAULT, .vector = GP },
	{ "MOV DR0 by CPL 3", P32, CODE("\x0f\x21\xc0"), .cpl = 3, .want = FAULT, .vector = GP },
	{ "INVLPG by CPL 3", P32, CODE("\x0f\x01\x38"), .cpl = 3, .want = FAULT, .vector = GP },
	{ "LGDT by CPL 3", P32, CODE("\x0f\x01\x10"), .cpl = 3, .want = FAULT, .vector = GP },
	{ "CLTS in vm86", V86, CODE("\x0f\x06"), .want = FAULT, .vector = GP },
	{ "RDTSC by CPL 3 under TSD", P32, CODE("\x0f\x31"), .cpl = 3, .cr4 = 4,
	  .want = FAULT, .vector = GP },
	{ "RDTSC", P32, CODE("\x0f\x31"), .out = { { AX, 0x55667788 }, { DX, 0x11223344 } } },
	{ "RDTSCP", L64, CODE("\x0f\x01\xf9"), { { CX, ~0ull } }, .out = { { CX, 0x77 } } },
	{ "CPUID", L64, CODE("\x0f\xa2"), { { AX, 0xffffffff00000001 }, { CX, 2 }, { BX, ~0ull } },
	  .out = { { AX, 0x11 }, { BX, 0x20 }, { CX, 0x32 } } },
	{ "SMSW by CPL 3 under UMIP", P32, CODE("\x0f\x01\xe0"), .cpl = 3, .cr4 = 1 << 11,
	  .want = FAULT, .vector = GP },
	{ "SMSW to memory is 16 bits", P32, CODE("\x0f\x01\x23"), { { BX, 0x20 } },
	  .mem = 0x20, .memval = 0x23220001, .memsize = 4 },
	{ "SGDT by CPL 3 under UMIP", P32, CODE("\x0f\x01\x03"), { { BX, 0x20 } }, .cpl = 3,
	  .cr4 = 1 << 11, .want = FAULT, .vector = GP },
	{ "MOV DR4 under CR4.DE", P32, CODE("\x0f\x21\xe0"), .cr4 = 8,
	  .want = FAULT, .vector = UD, .error = NONE },
	{ "SLDT by CPL 3 under UMIP", P32, CODE("\x0f\x00\xc0"), .cpl = 3, .cr4 = 1 << 11,
	  .want = FAULT, .vector = GP },
	{ "STR by CPL 3 under UMIP", P32, CODE("\x0f\x00\xc8"), .cpl = 3, .cr4 = 1 << 11,
	  .want = FAULT, .vector = GP },
	{ "RDTSCP by CPL 3 under TSD", L64, CODE("\x0f\x01\xf9"), .cpl = 3, .cr4 = 4,
	  .want = FAULT, .vector = GP },
	{ "LIDT of nothing", P32, CODE("\x0f\x01\x1b"), { { BX, 0x50000 } },
	  .want = FAULT, .vector = PF, .cr2 = 0x50000 },
	{ "MOV DR7 by CPL 3", P32, CODE("\x0f\x23\xf8"), .cpl = 3, .want = FAULT, .vector = GP },
	{ "MOV DR7 with upper bits", L64, CODE("\x0f\x23\xf8"), { { AX, 1ull << 32 } },
	  .want = FAULT, .vector = GP },
	{ "divide by zero", P32, CODE("\xf7\xf3"), { { AX, 5 } },
	  .want = FAULT, .vector = DE, .error = NONE },
};

static struct model m;
static u8 ram[RAM], ro[4096], dev[4096];

static void fill(void)
{
	unsigned int i;

	for (i = 0; i < RAM; i++)
		ram[i] = i;
	/* For POPF: IF and IOPL 3; 0x200 at 0x201 in other words. */
	ram[0x3200] = 0x00;
	ram[0x3201] = 0x32;
	ram[0x3202] = 0;
	ram[0x3203] = 0;
	ram[0x200] = 0x00;
	ram[0x201] = 0x02;
	ram[0x203] = 0x00;
	ram[0x204] = 0x02;
}

static bool note(const char *what, u64 got, u64 want)
{
	if (got != want)
		tap_note("%s is %#llx, not %#llx", what, (unsigned long long)got,
			 (unsigned long long)want);
	return got == want;
}

static void prepare(const struct line *l)
{
	unsigned int i;

	fill();
	model_init(&m, l->mode);
	model_map(&m, 0, ram, RAM, 0);
	model_map(&m, RO, ro, sizeof(ro), MODEL_RO);
	model_map(&m, DEV, dev, sizeof(dev), MODEL_MMIO);
	for (i = 0; i < 4 && l->in[i].nr; i++)
		m.e.gpr[l->in[i].nr & 15] = l->in[i].val;
	if (l->mode != V86)
		m.e.cpl = l->cpl;
	m.e.rflags |= l->rflags;
	m.cr[0] |= l->cr0;
	m.cr[4] |= l->cr4;
	if (l->seg.set)
		m.seg[l->seg.nr] = l->seg.seg;
}

static bool check_fault(const struct line *l)
{
	const struct umbra_emul_exception *x = &m.e.exception;
	bool ok = note("vector", x->vector, l->vector);

	ok &= note("has_error_code", x->has_error_code, l->error != NONE);
	if (l->error != NONE)
		ok &= note("error code", x->error_code, l->error);
	if (l->vector == PF)
		ok &= note("cr2", x->cr2, l->cr2);
	return ok & note("rip", m.e.rip, 0x1000);
}

static bool run_line(const struct line *l)
{
	unsigned int i;
	bool ok;
	int r;

	prepare(l);
	r = model_run(&m, l->code, l->len);
	ok = note("result", r, l->want);
	if (ok && r == FAULT)
		ok = check_fault(l);
	if (r == OK) {
		ok &= note("rip", m.e.rip, l->rip ? l->rip : 0x1000ull + l->len);
		ok &= note("shadow", m.e.int_shadow, l->shadow);
	}
	for (i = 0; i < 3 && l->out[i].nr; i++)
		ok &= note("register", m.e.gpr[l->out[i].nr & 15], l->out[i].val);
	if (l->memsize) {
		u64 v = 0;

		memcpy(&v, ram + l->mem, l->memsize);
		ok &= note("memory", v, l->memval);
	}
	ok &= note("flags set", m.e.rflags & l->flags_set, l->flags_set);
	ok &= note("flags clear", m.e.rflags & l->flags_clear, 0);
	return ok;
}

/* What MMIO's short way may do without the emulator. */
static const struct mov_line {
	const char *name, *code;
	unsigned int len;
	bool is;
	struct umbra_emul_mov want;
} mov_lines[] = {
#define MOV_LINE(name, code, ...) { name, code, sizeof(code) - 1, __VA_ARGS__ }
	MOV_LINE("MOV EAX, m", "\x8b\x03", true, { .size = 4, .reg = 0, .base = 3 }),
	MOV_LINE("MOV R9, m", "\x4c\x8b\x0b", true, { .size = 8, .reg = 9, .base = 3 }),
	MOV_LINE("MOV SIL, m", "\x40\x8a\x33", true, { .size = 1, .reg = 6, .base = 3 }),
	MOV_LINE("MOV EAX, [R13 + 0x12345]", "\x41\x8b\x85\x45\x23\x01\0", true,
		 { .size = 4, .base = 13, .offset = 0x2345 }),
	MOV_LINE("MOV EAX, [RIP + 0x10]", "\x8b\x05\x10\0\0\0", true,
		 { .size = 4, .base = UMBRA_EMUL_NO_BASE, .offset = 0x1016 }),
	MOV_LINE("MOV EAX, [0x2000]", "\x8b\x04\x25\0\x20\0\0", true,
		 { .size = 4, .base = UMBRA_EMUL_NO_BASE, .offset = 0x2000 }),
	MOV_LINE("MOV EAX, [RCX + 0x2000]", "\x8b\x04\x0d\0\x20\0\0", true,
		 { .size = 4, .base = UMBRA_EMUL_ANY_BASE }),
	MOV_LINE("MOV EAX, [RBX + RCX]", "\x8b\x04\x0b", true,
		 { .size = 4, .base = UMBRA_EMUL_ANY_BASE }),
	MOV_LINE("MOV EAX, FS:[RBX]", "\x64\x8b\x03", true,
		 { .size = 4, .base = UMBRA_EMUL_ANY_BASE }),
	MOV_LINE("MOV EAX, [EBX]", "\x67\x8b\x03", true,
		 { .size = 4, .base = UMBRA_EMUL_ANY_BASE }),
	MOV_LINE("MOV DH, m", "\x8a\x33", false),
	MOV_LINE("MOV m, AH", "\x88\x23", false),
	MOV_LINE("MOV m, CX", "\x66\x89\x0b", true, { .write = true, .size = 2, .reg = 1, .base = 3 }),
	MOV_LINE("MOV m, imm8", "\xc6\x03\xfe", true,
		 { .write = true, .constant = true, .size = 1, .value = 0xfe, .base = 3 }),
	MOV_LINE("MOV m64, imm32", "\x48\xc7\x03\xfe\xff\xff\xff", true,
		 { .write = true, .constant = true, .size = 8, .value = -2ull, .base = 3 }),
	MOV_LINE("MOV EAX, moffs", "\xa1\0\x20\0\0\0\0\0\0", true,
		 { .size = 4, .reg = 0, .base = UMBRA_EMUL_NO_BASE, .offset = 0x2000 }),
	MOV_LINE("MOV moffs, AL", "\xa2\0\x20\0\0\0\0\0\0", true,
		 { .write = true, .size = 1, .reg = 0, .base = UMBRA_EMUL_NO_BASE, .offset = 0x2000 }),
	MOV_LINE("MOV EAX, EBX", "\x89\xd8", false),
	MOV_LINE("MOV EAX, imm32", "\xb8\1\0\0\0", false),
	MOV_LINE("MOV m, DS", "\x8c\x1b", false),
	MOV_LINE("MOV DS, m", "\x8e\x1b", false),
	MOV_LINE("MOVZX EAX, m8", "\x0f\xb6\x03", false),
	MOV_LINE("ADD m, EAX", "\x01\x03", false),
	MOV_LINE("XCHG m, EAX", "\x87\x03", false),
	MOV_LINE("PUSH m", "\xff\x33", false),
	MOV_LINE("STOSD", "\xab", false),
};

static bool run_mov_line(const struct mov_line *l)
{
	struct umbra_emul_mov mov = { };
	bool is, ok = true;

	model_init(&m, UMBRA_EMUL_LONG64);
	if (umbra_emul_decode(&m.e, (const u8 *)l->code, l->len) != UMBRA_EMUL_OK)
		return false;
	is = umbra_emul_plain_mov(&m.e, &mov);
	ok &= note("plain", is, l->is);
	ok &= note("write", mov.write, l->want.write);
	ok &= note("constant", mov.constant, l->want.constant);
	ok &= note("size", mov.size, l->want.size);
	ok &= note("reg", mov.reg, l->want.reg);
	ok &= note("base", mov.base, l->want.base);
	if (is && mov.base != UMBRA_EMUL_ANY_BASE)
		ok &= note("offset", mov.offset, l->want.offset);
	return ok & note("value", mov.value, l->want.value);
}

int main(void)
{
	unsigned int i;

	tap_begin();
	for (i = 0; i < sizeof(mov_lines) / sizeof(mov_lines[0]); i++)
		tap_ok(run_mov_line(&mov_lines[i]), "plain MOV or not: %s", mov_lines[i].name);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		tap_ok(run_line(&lines[i]), "%s", lines[i].name);
	return tap_end();
}
