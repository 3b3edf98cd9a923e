/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine with descriptor tables, gates and tasks, for the tests of the emulator's far transfers, task
 * switches and system calls.
 */
#ifndef UNIT_PROTECTED_H
#define UNIT_PROTECTED_H

#include "model.h"

#define RAM	0x10000
#define CODE(s)	s, sizeof(s) - 1
#define GDT	0x3000
#define IDT	0x5000
#define TSS	0x4000		/* the current task's */
#define TSS2	0x4100
#define TSS16	0x4200

enum { OK = UMBRA_EMUL_OK, FAULT = UMBRA_EMUL_FAULT };
enum { R16 = UMBRA_EMUL_REAL, V86 = UMBRA_EMUL_VM86, P16 = UMBRA_EMUL_PROT16,
       P32 = UMBRA_EMUL_PROT32, L64 = UMBRA_EMUL_LONG64 };
enum { AX, CX, DX, BX, SP, BP, SI, DI };
enum { DB = 1, UD = 6, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14 };

#define IF_	0x200
#define TF	0x100
#define NT	0x4000
#define RF	0x10000
#define VM	0x20000
#define VIF	0x80000
#define VIP	0x100000
#define EFER	0xc0000080
#define LMA	0x500

/* Selectors; each descriptor is what its name says. */
#define CODE32		0x08
#define DATA		0x10
#define CODE32_3	0x18
#define DATA_3		0x20
#define CODE_16		0x28
#define CODE64		0x30
#define CODE64_3	0x38
#define CONFORMING	0x40
#define TASK2		0x48
#define TASK		0x50
#define GATE		0x58		/* and 0x60 in long mode */
#define TASK_GATE	0x68
#define ABSENT		0x70
#define A_LDT		0x78
#define TASK16		0x80
#define CODE32_1	0x88
#define DATA_1		0x90
#define SHORT_CODE	0x98
#define BAD64		0xa0		/* L and D */
#define ABSENT_DATA	0xa8
#define GDT_LIMIT	0xaf

extern struct model m;
extern u8 ram[RAM];

void put(u64 la, u64 val, unsigned int n);
u64 mem(u64 la, unsigned int n);
/* @attr: access byte, then AVL, L, D and G, as in a segment register. */
void descriptor(u16 sel, u32 base, u32 limit, u16 attr);
/* A gate: present, of @type, with @extra in the byte of parameters or IST. */
void gate(u64 la, u16 sel, u64 off, unsigned int type, unsigned int dpl, unsigned int extra);
void gate64(u64 la, u16 sel, u64 off, unsigned int type, unsigned int dpl, unsigned int ist);
void load(unsigned int nr, u16 sel);
void set_up(unsigned int mode, unsigned int cpl);
bool faulted(int r, unsigned int vector, int error);
/* Where the guest is now. */
bool at(int r, unsigned int mode, u16 cs, unsigned int cpl, u64 rip);
bool stack_is(u64 rsp, u16 ss, unsigned int size, unsigned int n, const u64 *vals);
/* JMP or CALL @sel:@off: in the instruction, or in 64-bit code through memory. */
int far_insn(bool call, u16 sel, u32 off);
/* Bit 1 of a TSS descriptor's type. */
bool busy(u16 sel);

#define STACK(rsp, ss, size, ...)						\
	stack_is(rsp, ss, size, sizeof((u64[]) { __VA_ARGS__ }) / 8, (u64[]) { __VA_ARGS__ })

#endif
