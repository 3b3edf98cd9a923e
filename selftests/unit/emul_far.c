// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's far control transfers, interrupts, IRET, task switches and fast system calls: frames,
 * checks, error codes and what is left unchanged, by the pseudo-code of the manuals.
 */
#include "model.h"
#include "tap.h"

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

static struct model m;
static u8 ram[RAM];

static void put(u64 la, u64 val, unsigned int n)
{
	memcpy(ram + la, &val, n);
}

static u64 mem(u64 la, unsigned int n)
{
	u64 v = 0;

	memcpy(&v, ram + la, n);
	return v;
}

/* @attr: access byte, then AVL, L, D and G, as in a segment register. */
static void descriptor(u16 sel, u32 base, u32 limit, u16 attr)
{
	u64 d = (limit & 0xffff) | ((u64)(base & 0xffffff) << 16) | ((u64)(attr & 0xff) << 40) |
		((u64)(limit & 0xf0000) << 32) | ((u64)(attr & 0xf00) << 44) |
		((u64)(base & 0xff000000) << 32);

	put(GDT + sel, d, 8);
}

/* A gate: present, of @type, with @extra in the byte of parameters or IST. */
static void gate(u64 la, u16 sel, u64 off, unsigned int type, unsigned int dpl, unsigned int extra)
{
	put(la, (off & 0xffff) | (u64)sel << 16 | (u64)extra << 32 |
	    (u64)(0x80 | dpl << 5 | type) << 40 | (off & 0xffff0000) << 32, 8);
}

static void gate64(u64 la, u16 sel, u64 off, unsigned int type, unsigned int dpl, unsigned int ist)
{
	gate(la, sel, off, type, dpl, ist);
	put(la + 8, off >> 32, 8);
}

static void load(unsigned int nr, u16 sel)
{
	u64 d = mem(GDT + (sel & ~7), 8);
	struct umbra_emul_seg *s = &m.seg[nr];

	s->sel = sel;
	s->base = ((d >> 16) & 0xffffff) | ((d >> 32) & 0xff000000);
	s->attr = ((d >> 40) & 0xff) | ((d >> 44) & 0xf00);
	s->limit = (d & 0xffff) | ((d >> 32) & 0xf0000);
	if (s->attr & EMUL_SEG_G)
		s->limit = s->limit << 12 | 0xfff;
}

static void set_up(unsigned int mode, unsigned int cpl)
{
	memset(ram, 0, sizeof(ram));
	model_init(&m, mode);
	model_map(&m, 0, ram, RAM, 0);
	model_msr(&m, EFER, mode == L64 ? LMA : 0);
	descriptor(CODE32, 0, 0xfffff, 0xc9b);
	descriptor(DATA, 0, 0xfffff, 0xc93);
	descriptor(CODE32_3, 0, 0xfffff, 0xcfb);
	descriptor(DATA_3, 0, 0xfffff, 0xcf3);
	descriptor(CODE_16, 0x100, 0xffff, 0x09b);
	descriptor(CODE64, 0, 0xfffff, 0xa9b);
	descriptor(CODE64_3, 0, 0xfffff, 0xafb);
	descriptor(CONFORMING, 0, 0xfffff, 0xc9f);
	descriptor(TASK2, TSS2, 0x67, 0x089);
	descriptor(TASK, TSS, mode == L64 ? 0x67 : 0x167, 0x08b);
	gate(GDT + TASK_GATE, TASK2, 0, 5, 3, 0);
	descriptor(ABSENT, 0, 0xfffff, 0xc1b);
	descriptor(A_LDT, 0x3800, 0xff, 0x082);
	descriptor(TASK16, TSS16, 0x2b, 0x081);
	descriptor(CODE32_1, 0, 0xfffff, 0xcbb);
	descriptor(DATA_1, 0, 0xfffff, 0xcb3);
	descriptor(SHORT_CODE, 0, 0xff, 0x49b);
	descriptor(BAD64, 0, 0xfffff, 0xe9b);
	descriptor(ABSENT_DATA, 0, 0xfffff, 0xc13);
	m.dt[EMUL_GDTR] = (struct umbra_emul_dtable) { GDT, GDT_LIMIT };
	m.dt[EMUL_IDTR] = (struct umbra_emul_dtable) { IDT, mode == R16 ? 0x3ff : 0xfff };
	/* Stacks of levels 0 and 1. */
	if (mode == L64) {
		put(TSS + 4, 0x9008, 8);
		put(TSS + 12, 0xa008, 8);
		put(TSS + 36, 0xb008, 8);	/* IST 1 */
	} else {
		put(TSS + 4, 0x9000, 4);
		put(TSS + 8, DATA, 2);
		put(TSS + 12, 0xa000, 4);
		put(TSS + 16, DATA_1 | 1, 2);
	}
	load(EMUL_TR, TASK);
	m.e.cpl = mode == V86 ? 3 : cpl;
	if (mode < P16)
		return;
	if (mode == L64)
		load(EMUL_CS, cpl ? CODE64_3 | 3 : CODE64);
	else if (mode == P32)
		load(EMUL_CS, cpl == 3 ? CODE32_3 | 3 : cpl ? CODE32_1 | 1 : CODE32);
	load(EMUL_SS, cpl == 3 ? DATA_3 | 3 : cpl ? DATA_1 | 1 : DATA);
	load(EMUL_DS, DATA_3 | 3);
	load(EMUL_ES, DATA_3 | 3);
	load(EMUL_FS, DATA_3 | 3);
	load(EMUL_GS, DATA_3 | 3);
}

static bool faulted(int r, unsigned int vector, int error)
{
	const struct umbra_emul_exception *x = &m.e.exception;

	if (r == FAULT && x->vector == vector && x->has_error_code == (error >= 0) &&
	    (error < 0 || x->error_code == (u32)error) && m.e.rip == 0x1000)
		return true;
	tap_note("result %d vector %u error %#x rip %#llx", r, x->vector, x->error_code,
		 (long long)m.e.rip);
	return false;
}

/* Where the guest is now. */
static bool at(int r, unsigned int mode, u16 cs, unsigned int cpl, u64 rip)
{
	if (r == OK && m.e.mode == mode && m.seg[EMUL_CS].sel == cs && m.e.cpl == cpl &&
	    m.e.rip == rip)
		return true;
	tap_note("result %d vector %u error %#x: mode %u cs %#x cpl %u rip %#llx", r,
		 m.e.exception.vector, m.e.exception.error_code, m.e.mode, m.seg[EMUL_CS].sel,
		 m.e.cpl, (long long)m.e.rip);
	return false;
}

static bool stack_is(u64 rsp, u16 ss, unsigned int size, unsigned int n, const u64 *vals)
{
	unsigned int i;
	bool ok = m.e.gpr[SP] == rsp && m.seg[EMUL_SS].sel == ss;

	if (!ok)
		tap_note("rsp %#llx ss %#x", (long long)m.e.gpr[SP], m.seg[EMUL_SS].sel);
	for (i = 0; i < n; i++)
		if (mem(rsp + i * size, size) != vals[i]) {
			tap_note("stack + %u: %#llx, not %#llx", i * size,
				 (long long)mem(rsp + i * size, size), (long long)vals[i]);
			ok = false;
		}
	return ok;
}
#define STACK(rsp, ss, size, ...)						\
	stack_is(rsp, ss, size, sizeof((u64[]) { __VA_ARGS__ }) / 8, (u64[]) { __VA_ARGS__ })

/* JMP or CALL @sel:@off: in the instruction, or in 64-bit code through memory. */
static int far_insn(bool call, u16 sel, u32 off)
{
	u8 code[7] = { call ? 0x9a : 0xea };

	if (m.e.mode == L64) {
		put(0x700, off, 4);
		put(0x704, sel, 2);
		m.e.gpr[BX] = 0x700;
		return call ? model_run(&m, CODE("\xff\x1b")) : model_run(&m, CODE("\xff\x2b"));
	}
	memcpy(code + 1, &off, 4);
	memcpy(code + 5, &sel, 2);
	if (m.e.mode == P32)
		return model_run(&m, code, 7);
	memcpy(code + 3, &sel, 2);
	return model_run(&m, code, 5);
}

/* Bit 1 of a TSS descriptor's type. */
static bool busy(u16 sel)
{
	return ram[GDT + sel + 5] & 2;
}

static void test_far_code(void)
{
	static const struct {
		const char *name;
		u8 mode, cpl;
		u16 sel;
		int vector, error;	/* vector -1: goes there */
		u8 new_mode;
	} t[] = {
		{ "32-bit code", P32, 0, CODE32, -1, 0, P32 },
		{ "32-bit code by CPL 3", P32, 3, CODE32_3 | 3, -1, 0, P32 },
		{ "RPL below CPL", P32, 3, CODE32_3, -1, 0, P32 },
		{ "16-bit code", P32, 0, CODE_16, -1, 0, P16 },
		{ "conforming code by CPL 3", P32, 3, CONFORMING | 3, -1, 0, P32 },
		{ "64-bit code", L64, 0, CODE64, -1, 0, L64 },
		{ "32-bit code in long mode", L64, 0, CODE32, -1, 0, P32 },
		{ "L without long mode is nothing", P32, 0, CODE64, -1, 0, P16 },
		{ "a null selector", P32, 0, 3, GP, 0, 0 },
		{ "code of DPL 0 by CPL 3", P32, 3, CODE32 | 3, GP, CODE32, 0 },
		{ "code of DPL 3 by CPL 0", P32, 0, CODE32_3, GP, CODE32_3, 0 },
		{ "RPL above CPL", P32, 0, CODE32 | 3, GP, CODE32, 0 },
		{ "data", P32, 0, DATA, GP, DATA, 0 },
		{ "an LDT", P32, 0, A_LDT, GP, A_LDT, 0 },
		{ "beyond the GDT", P32, 0, GDT_LIMIT + 1, GP, GDT_LIMIT + 1, 0 },
		{ "no LDT", P32, 0, 0x0c, GP, 0x0c, 0 },
		{ "not present", P32, 0, ABSENT, NP, ABSENT, 0 },
		{ "an offset beyond the limit", P32, 0, SHORT_CODE, GP, 0, 0 },
		{ "L and D in long mode", L64, 0, BAD64, GP, BAD64, 0 },
		{ "a TSS in long mode", L64, 0, TASK2, GP, TASK2, 0 },
		{ "a task gate in long mode", L64, 0, TASK_GATE, GP, TASK_GATE, 0 },
	};
	unsigned int i, call;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (call = 0; call < 2; call++) {
			bool ok;
			int r;

			set_up(t[i].mode, t[i].cpl);
			r = far_insn(call, t[i].sel, 0x1234);
			if (t[i].vector >= 0)
				ok = faulted(r, t[i].vector, t[i].error) && m.e.gpr[SP] == 0x8000 &&
				     mem(0x7ff8, 8) == 0;
			else
				ok = at(r, t[i].new_mode, (t[i].sel & ~3) | t[i].cpl, t[i].cpl, 0x1234);
			if (t[i].vector < 0 && call)
				ok &= mem(0x7ff8, 4) == 0x1000 + (t[i].mode == L64 ? 2u : 7u) &&
				      (mem(0x7ffc, 4) & 3) == t[i].cpl && m.e.gpr[SP] == 0x7ff8;
			tap_ok(ok, "%s far: %s", call ? "call" : "jmp", t[i].name);
		}

	set_up(P32, 0);
	descriptor(CODE32, 0x200, 0xffff, 0x49a);
	tap_ok(at(far_insn(false, CODE32, 0x1234), P32, CODE32, 0, 0x1234) &&
	       m.seg[EMUL_CS].base == 0x200 && m.seg[EMUL_CS].limit == 0xffff &&
	       mem(GDT + CODE32 + 5, 1) == 0x9b, "jmp far: base and limit, and the accessed bit");
	set_up(P32, 0);
	m.e.gpr[SP] = 4;
	m.seg[EMUL_SS].limit = 0xffff;
	m.seg[EMUL_SS].attr &= ~EMUL_SEG_G;
	tap_ok(faulted(far_insn(true, CODE32, 0x1234), SS, 0) && m.e.gpr[SP] == 4 &&
	       mem(0, 4) == 0, "call far: half a frame over the limit writes nothing");
	set_up(P32, 0);
	m.e.gpr[SP] = RAM + 4;
	tap_ok(faulted(far_insn(true, CODE32, 0x1234), PF, 2) && m.e.exception.cr2 == RAM &&
	       mem(RAM - 4, 4) == 0, "call far: half a frame on a missing page writes nothing");

	set_up(R16, 0);
	tap_ok(at(far_insn(false, 0x234, 0x5678), R16, 0x234, 0, 0x5678) &&
	       m.seg[EMUL_CS].base == 0x2340, "jmp far in real mode");
	set_up(R16, 0);
	m.seg[EMUL_CS].sel = 0x77;
	tap_ok(at(far_insn(true, 0x234, 0x5678), R16, 0x234, 0, 0x5678) &&
	       STACK(0x7ffc, 0, 2, 0x1005, 0x77), "call far in real mode");
	set_up(V86, 0);
	m.seg[EMUL_CS].sel = 0x77;
	tap_ok(at(far_insn(true, 0x234, 0x5678), V86, 0x234, 3, 0x5678) &&
	       STACK(0x7ffc, 0, 2, 0x1005, 0x77), "call far in vm86 mode");
	set_up(R16, 0);
	m.seg[EMUL_CS].limit = 0x1fff;
	tap_ok(faulted(far_insn(false, 0x234, 0x5678), GP, 0), "jmp far in real mode over the limit");
}

/* Operand sizes of far pointers in 64-bit code, where the vendors disagree. */
static void test_far_memory(void)
{
	set_up(P32, 0);
	put(0x700, 0x0000001200345678, 8);
	put(0x704, CODE32, 2);
	m.e.gpr[BX] = 0x700;
	tap_ok(at(model_run(&m, CODE("\xff\x2b")), P32, CODE32, 0, 0x345678), "jmp far m16:32");
	tap_ok(faulted((m.e.rip = 0x1000, model_run(&m, CODE("\xff\xeb"))), UD, -1),
	       "jmp far of a register");
	set_up(P32, 0);
	put(0x700, 0x1234, 2);
	put(0x702, CODE32, 2);
	m.e.gpr[BX] = 0x700;
	tap_ok(at(model_run(&m, CODE("\x66\xff\x1b")), P32, CODE32, 0, 0x1234) &&
	       STACK(0x7ffc, DATA, 2, 0x1003, CODE32), "call far m16:16");
	set_up(L64, 0);
	put(0x700, 0xffff800000001234, 8);
	put(0x708, CODE64, 2);
	m.e.gpr[BX] = 0x700;
	tap_ok(at(model_run(&m, CODE("\x48\xff\x1b")), L64, CODE64, 0, 0xffff800000001234) &&
	       STACK(0x7ff0, DATA, 8, 0x1003, CODE64), "call far m16:64 by Intel");
	set_up(L64, 0);
	m.lacks = 0;
	put(0x700, 0x1234, 4);
	put(0x704, CODE64, 2);
	m.e.gpr[BX] = 0x700;
	tap_ok(at(model_run(&m, CODE("\x48\xff\x1b")), L64, CODE64, 0, 0x1234) &&
	       STACK(0x7ff8, DATA, 4, 0x1003, CODE64), "to AMD that is m16:32");
	set_up(L64, 0);
	put(0x700, 0x0000800000001234, 8);
	put(0x708, CODE64, 2);
	m.e.gpr[BX] = 0x700;
	tap_ok(faulted(model_run(&m, CODE("\x48\xff\x2b")), GP, 0), "jmp far, non-canonical");

	set_up(P32, 0);
	put(0x700, 0x11223344, 4);
	put(0x704, DATA, 2);
	m.e.gpr[BX] = 0x700;
	tap_ok(model_run(&m, CODE("\xc5\x03")) == OK && m.e.gpr[AX] == 0x11223344 &&
	       m.seg[EMUL_DS].sel == DATA, "lds");
	tap_ok(model_run(&m, CODE("\xc4\x03")) == OK && m.seg[EMUL_ES].sel == DATA &&
	       model_run(&m, CODE("\x0f\xb4\x03")) == OK && m.seg[EMUL_FS].sel == DATA &&
	       model_run(&m, CODE("\x0f\xb5\x03")) == OK && m.seg[EMUL_GS].sel == DATA,
	       "les, lfs, lgs");
	m.seg[EMUL_SS].sel = 0;
	tap_ok(model_run(&m, CODE("\x0f\xb2\x23")) == OK && m.e.gpr[SP] == 0x11223344 &&
	       m.seg[EMUL_SS].sel == DATA && !m.e.int_shadow, "lss, which holds nothing off");
	m.e.rip = 0x1000;
	m.e.gpr[AX] = 5;
	put(0x704, ABSENT_DATA, 2);
	tap_ok(faulted(model_run(&m, CODE("\xc5\x03")), NP, ABSENT_DATA) && m.e.gpr[AX] == 5,
	       "lds of an absent segment leaves the register");
	set_up(L64, 0);
	put(0x700, 0x1122334455667788, 8);
	put(0x708, DATA, 2);
	m.e.gpr[BX] = 0x700;
	tap_ok(model_run(&m, CODE("\x48\x0f\xb4\x03")) == OK &&
	       m.e.gpr[AX] == 0x1122334455667788, "lfs m16:64 by Intel");
	put(0x704, DATA, 2);
	m.lacks = 0;
	tap_ok(model_run(&m, CODE("\x48\x0f\xb4\x03")) == OK && m.e.gpr[AX] == 0x55667788,
	       "lfs m16:64 by AMD");
}

static void test_call_gate(void)
{
	static const struct {
		const char *name;
		u8 mode, cpl;
		u16 gsel;		/* selector of the gate */
		u8 type, dpl;
		u16 sel;		/* in the gate */
		int vector, error;
	} t[] = {
		{ "DPL below CPL", P32, 3, GATE | 3, 12, 2, CODE32, GP, GATE },
		{ "RPL above DPL", P32, 0, GATE | 3, 12, 2, CODE32, GP, GATE },
		{ "a null selector in it", P32, 0, GATE, 12, 3, 0, GP, 0 },
		{ "data behind it", P32, 0, GATE, 12, 3, DATA, GP, DATA },
		{ "less privilege behind it", P32, 0, GATE, 12, 3, CODE32_3, GP, CODE32_3 },
		{ "absent code behind it", P32, 0, GATE, 12, 3, ABSENT, NP, ABSENT },
		{ "a gate of 16 bits in long mode", L64, 0, GATE, 4, 3, CODE64, GP, GATE },
		{ "32-bit code behind one in long mode", L64, 0, GATE, 12, 3, CODE32, GP, CODE32 },
	};
	unsigned int i, call;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (call = 0; call < 2; call++) {
			set_up(t[i].mode, t[i].cpl);
			gate64(GDT + GATE, t[i].sel, 0x1234, t[i].type, t[i].dpl, 0);
			tap_ok(faulted(far_insn(call, t[i].gsel, 0), t[i].vector, t[i].error),
			       "%s, gate: %s", call ? "call" : "jmp", t[i].name);
		}

	set_up(P32, 0);
	gate(GDT + GATE, CODE32, 0x345678, 12, 0, 0);
	put(GDT + GATE + 5, 0x0c, 1);
	tap_ok(faulted(far_insn(true, GATE, 0), NP, GATE), "gate: not present");
	set_up(P32, 0);
	gate(GDT + GATE, CODE32, 0x345678, 12, 0, 0);
	tap_ok(at(far_insn(false, GATE, 0x99), P32, CODE32, 0, 0x345678), "jmp by a gate");
	set_up(P32, 0);
	gate(GDT + GATE, CODE32, 0x345678, 4, 0, 0);
	tap_ok(at(far_insn(true, GATE, 0x99), P32, CODE32, 0, 0x5678) &&
	       STACK(0x7ffc, DATA, 2, 0x1007, CODE32), "call by a gate of 16 bits");
	set_up(P32, 3);
	gate(GDT + GATE, CONFORMING, 0x345678, 12, 3, 2);
	tap_ok(at(far_insn(true, GATE | 3, 0), P32, CONFORMING | 3, 3, 0x345678) &&
	       STACK(0x7ff8, DATA_3 | 3, 4, 0x1007, CODE32_3 | 3), "call to conforming code");
	set_up(P32, 3);
	gate(GDT + GATE, CODE32, 0x345678, 12, 3, 0);
	tap_ok(faulted(far_insn(false, GATE | 3, 0), GP, CODE32), "jmp to more privilege");

	set_up(P32, 3);
	gate(GDT + GATE, CODE32, 0x345678, 12, 3, 3);
	put(0x8000, 0x11, 4);
	put(0x8004, 0x22, 4);
	put(0x8008, 0x33, 4);
	tap_ok(at(far_insn(true, GATE | 3, 0), P32, CODE32, 0, 0x345678) &&
	       STACK(0x9000 - 28, DATA, 4, 0x1007, CODE32_3 | 3, 0x11, 0x22, 0x33, 0x8000,
		     DATA_3 | 3), "call to level 0, with parameters");
	set_up(P32, 3);
	gate(GDT + GATE, CODE32_1, 0x345678, 4, 3, 1);
	put(0x8000, 0x2211, 2);
	tap_ok(at(far_insn(true, GATE | 3, 0), P32, CODE32_1 | 1, 1, 0x5678) &&
	       STACK(0xa000 - 10, DATA_1 | 1, 2, 0x1007, CODE32_3 | 3, 0x2211, 0x8000, DATA_3 | 3),
	       "call to level 1 by 16 bits, with a parameter");

	set_up(L64, 3);
	gate64(GDT + GATE, CODE64, 0xffff800000005678, 12, 3, 0);
	tap_ok(at(far_insn(true, GATE | 3, 0), L64, CODE64, 0, 0xffff800000005678) &&
	       STACK(0x9008 - 32, 0, 8, 0x1002, CODE64_3 | 3, 0x8000, DATA_3 | 3) &&
	       !(m.seg[EMUL_SS].attr & EMUL_SEG_P), "call to level 0 in long mode: SS is null");
	set_up(L64, 3);
	gate64(GDT + GATE, CODE64, 0x0000800000005678, 12, 3, 0);
	tap_ok(faulted(far_insn(true, GATE | 3, 0), GP, 0), "a non-canonical offset in a gate");
	set_up(L64, 0);
	gate64(GDT + GATE, CODE64, 0x5678, 12, 3, 0);
	put(GDT + GATE + 13, 1, 1);
	tap_ok(faulted(far_insn(true, GATE, 0), GP, GATE), "a type in a gate's second half");
}

/* What can be wrong with the stack in the TSS. */
static void test_inner_stack(void)
{
	static const struct {
		const char *name;
		u16 ss;
		u32 esp;
		int vector, error;
	} t[] = {
		{ "null", 0, 0x9000, TS, 0 },
		{ "RPL", DATA | 3, 0x9000, TS, DATA },
		{ "DPL", DATA_3, 0x9000, TS, DATA_3 },
		{ "code", CODE32, 0x9000, TS, CODE32 },
		{ "beyond the GDT", GDT_LIMIT + 1, 0x9000, TS, GDT_LIMIT + 1 },
		{ "absent", ABSENT_DATA, 0x9000, SS, ABSENT_DATA },
		{ "not mapped", DATA, 0x50000, PF, 2 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(P32, 3);
		gate(GDT + GATE, CODE32, 0x1234, 12, 3, 0);
		put(TSS + 4, t[i].esp, 4);
		put(TSS + 8, t[i].ss, 2);
		tap_ok(faulted(far_insn(true, GATE | 3, 0), t[i].vector, t[i].error) &&
		       m.e.cpl == 3 && m.seg[EMUL_SS].sel == (DATA_3 | 3), "inner stack: %s",
		       t[i].name);
	}
	set_up(P32, 3);
	gate(GDT + GATE, CODE32, 0x1234, 12, 3, 0);
	descriptor(DATA, 0, 0x8ff3, 0x493);
	tap_ok(faulted(far_insn(true, GATE | 3, 0), SS, DATA), "inner stack: too small");
	set_up(P32, 3);
	gate(GDT + GATE, CODE32, 0x1234, 12, 3, 0);
	m.seg[EMUL_TR].limit = 8;
	tap_ok(faulted(far_insn(true, GATE | 3, 0), TS, TASK), "inner stack: TSS too short");
	set_up(L64, 3);
	gate64(GDT + GATE, CODE64, 0x1234, 12, 3, 0);
	put(TSS + 4, 0x0000900000000000, 8);
	tap_ok(faulted(far_insn(true, GATE | 3, 0), SS, 0), "inner stack: non-canonical");
	set_up(P32, 3);
	gate(GDT + GATE, CODE32, 0x1234, 12, 3, 0);
	m.write_cpl = 9;
	tap_ok(far_insn(true, GATE | 3, 0) == OK && m.write_cpl == 0,
	       "inner stack: written with the rights of level 0");
	set_up(P32, 3);
	m.write_cpl = 9;
	tap_ok(far_insn(true, CODE32_3 | 3, 0) == OK && m.write_cpl == 3,
	       "a stack of level 3: with those of level 3");
}

static void test_retf(void)
{
	static const struct {
		const char *name;
		u8 mode, cpl;
		u16 cs, ss;
		int vector, error;
	} t[] = {
		{ "a null CS", P32, 0, 0, 0, GP, 0 },
		{ "RPL below CPL", P32, 3, CODE32_3 | 1, 0, GP, CODE32_3 },
		{ "data", P32, 0, DATA, 0, GP, DATA },
		{ "DPL is not RPL", P32, 0, CODE32 | 3, 0, GP, CODE32 },
		{ "absent code", P32, 0, ABSENT, 0, NP, ABSENT },
		{ "a null SS", P32, 0, CODE32_3 | 3, 3, GP, 0 },
		{ "a null SS for 64-bit code of CPL 3", L64, 0, CODE64_3 | 3, 3, GP, 0 },
		{ "RPL of SS", P32, 0, CODE32_3 | 3, DATA_3, GP, DATA_3 },
		{ "DPL of SS", P32, 0, CODE32_3 | 3, DATA | 3, GP, DATA },
		{ "code in SS", P32, 0, CODE32_3 | 3, CODE32_3 | 3, GP, CODE32_3 },
		{ "beyond the limit", P32, 0, SHORT_CODE, 0, GP, 0 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(t[i].mode, t[i].cpl);
		put(0x8000, 0x1234, 4);
		put(0x8004, t[i].cs, 4);
		put(0x8008, 0x7000, 4);
		put(0x800c, t[i].ss, 4);
		tap_ok(faulted(model_run(&m, CODE("\xcb")), t[i].vector, t[i].error) &&
		       m.e.gpr[SP] == 0x8000, "retf: %s", t[i].name);
	}

	set_up(P32, 0);
	put(0x8000, 0x1234, 4);
	put(0x8004, CODE32, 4);
	tap_ok(at(model_run(&m, CODE("\xca\x10\x00")), P32, CODE32, 0, 0x1234) &&
	       m.e.gpr[SP] == 0x8018, "retf with bytes to drop");
	set_up(P32, 0);
	load(EMUL_DS, DATA);
	load(EMUL_FS, CONFORMING);
	put(0x8000, 0x1234, 4);
	put(0x8004, CODE32_3 | 3, 4);
	put(0x8018, 0x7000, 4);
	put(0x801c, DATA_3 | 3, 4);
	tap_ok(at(model_run(&m, CODE("\xca\x10\x00")), P32, CODE32_3 | 3, 3, 0x1234) &&
	       m.e.gpr[SP] == 0x7010 && m.seg[EMUL_SS].sel == (DATA_3 | 3),
	       "retf to level 3 drops from both stacks");
	tap_ok(!m.seg[EMUL_DS].sel && !(m.seg[EMUL_DS].attr & EMUL_SEG_P) &&
	       m.seg[EMUL_ES].sel == (DATA_3 | 3) && m.seg[EMUL_FS].sel == CONFORMING,
	       "and takes segments of level 0 away, but conforming ones");
	set_up(L64, 0);
	put(0x8000, 0x1234, 8);
	put(0x8008, CODE64, 8);
	tap_ok(at(model_run(&m, CODE("\x48\xcb")), L64, CODE64, 0, 0x1234) && m.e.gpr[SP] == 0x8010,
	       "retf of 64 bits");
	set_up(L64, 0);
	put(0x8000, 0x0000800000000000, 8);
	put(0x8008, CODE64, 8);
	tap_ok(faulted(model_run(&m, CODE("\x48\xcb")), GP, 0), "retf, non-canonical");
	set_up(R16, 0);
	put(0x8000, 0x2345678, 4);
	tap_ok(at(model_run(&m, CODE("\xcb")), R16, 0x234, 0, 0x5678) && m.e.gpr[SP] == 0x8004,
	       "retf in real mode");
}

static void frame(unsigned int size, u64 rip, u64 cs, u64 flags, u64 rsp, u64 ss)
{
	put(0x8000, rip, size);
	put(0x8000 + size, cs, size);
	put(0x8000 + 2 * size, flags, size);
	put(0x8000 + 3 * size, rsp, size);
	put(0x8000 + 4 * size, ss, size);
}

static void test_iret(void)
{
	int r;

	set_up(R16, 0);
	m.e.rflags |= VIF | VIP;
	frame(2, 0x1234, 0x567, 0x7ed7, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcf")), R16, 0x567, 0, 0x1234) && m.e.gpr[SP] == 0x8006 &&
	       m.e.rflags == (VIF | VIP | 0x7ed7) && m.nr_nmi_unmask == 1, "iret in real mode");
	set_up(R16, 0);
	m.e.rflags |= VIF;
	frame(4, 0x1234, 0x567, 0xffffffff, 0, 0);
	tap_ok(at(model_run(&m, CODE("\x66\xcf")), R16, 0x567, 0, 0x1234) &&
	       m.e.rflags == (0x257fd7 | VIF), "iret of 32 bits in real mode: not VM, VIF, VIP");
	set_up(R16, 0);
	frame(4, 0x12345, 0x567, 2, 0, 0);
	tap_ok(faulted(model_run(&m, CODE("\x66\xcf")), GP, 0) && !m.nr_nmi_unmask,
	       "iret in real mode over the limit");

	set_up(V86, 0);
	frame(2, 0x1234, 0x567, 0xff, 0, 0);
	tap_ok(faulted(model_run(&m, CODE("\xcf")), GP, 0), "iret in vm86, IOPL 0");
	set_up(V86, 0);
	m.e.rflags |= VM | 0x3000;
	frame(2, 0x1234, 0x567, 0x4ed7, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcf")), V86, 0x567, 3, 0x1234) &&
	       m.e.rflags == (VM | 0x3000 | 0x4ed7), "iret in vm86, IOPL 3: not IOPL");
	set_up(V86, 0);
	m.cr[4] |= 1;
	m.e.rflags |= VM;
	frame(2, 0x1234, 0x567, IF_ | 0x3001, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcf")), V86, 0x567, 3, 0x1234) &&
	       m.e.rflags == (VM | VIF | 3), "iret in vm86, VME: IF goes to VIF");
	set_up(V86, 0);
	m.cr[4] |= 1;
	m.e.rflags |= VM | VIP;
	frame(2, 0x1234, 0x567, IF_, 0, 0);
	tap_ok(faulted(model_run(&m, CODE("\xcf")), GP, 0), "iret in vm86, VME: IF with VIP");

	set_up(P32, 0);
	frame(4, 0x1234, CODE32, 0x3f7fd7 & ~VM, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcf")), P32, CODE32, 0, 0x1234) && m.e.gpr[SP] == 0x800c &&
	       m.e.rflags == (0x3f7fd7 & ~VM), "iret, same level, by CPL 0: all flags, RF too");
	set_up(P32, 3);
	m.e.rflags |= IF_;
	frame(4, 0x1234, CODE32_3 | 3, 0x3f7dd7 & ~VM, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcf")), P32, CODE32_3 | 3, 3, 0x1234) &&
	       m.e.rflags == (0x254fd7 | IF_), "iret by CPL 3: not IF, IOPL, VIF, VIP");
	set_up(P32, 1);
	m.e.rflags |= IF_ | 0x1000;
	frame(4, 0x1234, CODE32_1 | 1, 2, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcf")), P32, CODE32_1 | 1, 1, 0x1234) &&
	       m.e.rflags == 0x1002, "iret by CPL 1 with IOPL 1: IF, but not IOPL");
	set_up(P32, 0);
	m.e.rflags |= VIF;
	frame(2, 0x1234, CODE32, IF_, 0, 0);
	tap_ok(at(model_run(&m, CODE("\x66\xcf")), P32, CODE32, 0, 0x1234) &&
	       m.e.rflags == (VIF | IF_ | 2) && m.e.gpr[SP] == 0x8006, "iret of 16 bits");
	set_up(P32, 0);
	load(EMUL_ES, DATA);
	frame(4, 0x1234, CODE32_3 | 3, IF_, 0x7000, DATA_3 | 3);
	tap_ok(at(model_run(&m, CODE("\xcf")), P32, CODE32_3 | 3, 3, 0x1234) &&
	       m.e.gpr[SP] == 0x7000 && m.seg[EMUL_SS].sel == (DATA_3 | 3) && !m.seg[EMUL_ES].sel &&
	       m.e.rflags == (IF_ | 2), "iret to level 3");
	set_up(P32, 0);
	frame(4, 0x1234, CODE32_3 | 3, 0, 0x7000, DATA | 3);
	tap_ok(faulted(model_run(&m, CODE("\xcf")), GP, DATA) && m.e.gpr[SP] == 0x8000,
	       "iret to level 3 with a stack of level 0");
	set_up(P32, 0);
	m.seg[EMUL_SS].limit = 0x800f;
	m.seg[EMUL_SS].attr &= ~EMUL_SEG_G;
	frame(4, 0x1234, CODE32_3 | 3, 0, 0x7000, DATA_3 | 3);
	tap_ok(faulted(model_run(&m, CODE("\xcf")), SS, 0), "iret: a frame over the limit");

	set_up(P32, 0);
	frame(4, 0x1234, 0x567, VM | VIP | 0x3202, 0x6000, 0x111);
	put(0x8014, 0x222, 4);
	put(0x8018, 0x333, 4);
	put(0x801c, 0x444, 4);
	put(0x8020, 0x555, 4);
	r = model_run(&m, CODE("\xcf"));
	tap_ok(at(r, V86, 0x567, 3, 0x1234) && m.e.rflags == (VM | VIP | 0x3202) &&
	       m.e.gpr[SP] == 0x6000 && m.seg[EMUL_SS].base == 0x1110 &&
	       m.seg[EMUL_ES].base == 0x2220 && m.seg[EMUL_DS].base == 0x3330 &&
	       m.seg[EMUL_FS].base == 0x4440 && m.seg[EMUL_GS].base == 0x5550 &&
	       m.seg[EMUL_CS].limit == 0xffff && m.seg[EMUL_CS].attr == 0xf3, "iret to vm86");
	set_up(P32, 0);
	frame(4, 0x12345, 0x567, VM | 2, 0x6000, 0x111);
	tap_ok(faulted(model_run(&m, CODE("\xcf")), GP, 0), "iret to vm86 over the limit");
	set_up(P32, 3);
	frame(4, 0x1234, CODE32_3 | 3, VM | 2, 0x6000, 0x111);
	tap_ok(at(model_run(&m, CODE("\xcf")), P32, CODE32_3 | 3, 3, 0x1234) && !(m.e.rflags & VM),
	       "VM is nothing to CPL 3");

	set_up(L64, 0);
	frame(8, 0xffff800000001234, CODE64, RF | IF_, 0x7008, 0);
	tap_ok(at(model_run(&m, CODE("\x48\xcf")), L64, CODE64, 0, 0xffff800000001234) &&
	       m.e.gpr[SP] == 0x7008 && m.seg[EMUL_SS].sel == 0 && m.e.rflags == (RF | IF_ | 2),
	       "iretq takes the stack always, SS null for CPL 0");
	set_up(L64, 0);
	frame(8, 0x1234, CODE64_3 | 3, IF_, 0x7008, DATA_3 | 3);
	tap_ok(at(model_run(&m, CODE("\x48\xcf")), L64, CODE64_3 | 3, 3, 0x1234) &&
	       m.e.gpr[SP] == 0x7008, "iretq to level 3");
	set_up(L64, 0);
	frame(8, 0x1234, CODE32_3 | 3, IF_, 0xff00007008, DATA_3 | 3);
	tap_ok(at(model_run(&m, CODE("\x48\xcf")), P32, CODE32_3 | 3, 3, 0x1234) &&
	       m.e.gpr[SP] == 0x7008, "iretq to 32-bit code");
	set_up(L64, 0);
	frame(8, 0x1234, CODE64_3 | 3, IF_, 0x7008, 3);
	tap_ok(faulted(model_run(&m, CODE("\x48\xcf")), GP, 0), "iretq: SS null for CPL 3");
	set_up(L64, 0);
	frame(8, 0x0000800000000000, CODE64, IF_, 0x7008, 0);
	tap_ok(faulted(model_run(&m, CODE("\x48\xcf")), GP, 0), "iretq, non-canonical");
	set_up(L64, 0);
	m.e.rflags |= NT;
	frame(8, 0x1234, CODE64, IF_, 0x7008, 0);
	tap_ok(faulted(model_run(&m, CODE("\x48\xcf")), GP, 0), "iretq with NT");
}

static void test_int_real(void)
{
	set_up(R16, 0);
	m.dt[EMUL_IDTR].base = 0;
	m.seg[EMUL_CS].sel = 0x77;
	m.e.rflags |= IF_ | TF | 0x40001;
	put(0x21 * 4, 0x2345678, 4);
	tap_ok(at(model_run(&m, CODE("\xcd\x21")), R16, 0x234, 0, 0x5678) &&
	       STACK(0x7ffa, 0, 2, 0x1002, 0x77, 0x303) && m.e.rflags == 3 && !m.e.trap_step,
	       "int in real mode: IF, TF and AC are cleared");
	set_up(R16, 0);
	put(IDT + 3 * 4, 0x2345678, 4);
	tap_ok(at(model_run(&m, CODE("\xcc")), R16, 0x234, 0, 0x5678) &&
	       STACK(0x7ffa, 0, 2, 0x1001, 0, 2), "int3 in real mode");
	set_up(R16, 0);
	m.dt[EMUL_IDTR].limit = 0x21 * 4 + 2;
	tap_ok(faulted(model_run(&m, CODE("\xcd\x21")), GP, 0x10a), "int beyond the IVT");
	set_up(R16, 0);
	m.e.gpr[SP] = 4;
	m.seg[EMUL_SS].limit = 0xfff;
	tap_ok(faulted(model_run(&m, CODE("\xcd\x21")), SS, 0) && m.e.gpr[SP] == 4,
	       "int without room on the stack");
	set_up(R16, 0);
	put(IDT + 4 * 4, 0x2345678, 4);
	tap_ok(model_run(&m, CODE("\xce")) == OK && m.e.rip == 0x1001, "into without OF");
	m.e.rflags |= 0x800;
	tap_ok(at(model_run(&m, CODE("\xce")), R16, 0x234, 0, 0x5678), "into with OF");

	/* vm86: IOPL, and the redirection of CR4.VME */
	set_up(V86, 0);
	tap_ok(faulted(model_run(&m, CODE("\xcd\x21")), GP, 0), "int in vm86, IOPL 0");
	set_up(V86, 0);
	m.cr[4] |= 1;
	m.e.rflags |= VM | VIF | IF_;
	put(TSS + 102, 0x88, 2);
	put(0x21 * 4, 0x2345678, 4);
	m.seg[EMUL_CS].sel = 0x77;
	tap_ok(at(model_run(&m, CODE("\xcd\x21")), V86, 0x234, 3, 0x5678) &&
	       STACK(0x7ffa, 0, 2, 0x1002, 0x77, 0x3202) && m.e.rflags == (VM | IF_ | 2),
	       "int in vm86, redirected: VIF on the stack as IF, and cleared");
	set_up(V86, 0);
	m.cr[4] |= 1;
	m.e.rflags |= VM | IF_ | TF | 0x3000;
	put(TSS + 102, 0x88, 2);
	put(0x21 * 4, 0x2345678, 4);
	tap_ok(at(model_run(&m, CODE("\xcd\x21")), V86, 0x234, 3, 0x5678) &&
	       mem(0x7ffe, 2) == 0x3302 && m.e.rflags == (VM | 0x3002),
	       "int in vm86, redirected, IOPL 3: IF and TF are cleared");
	set_up(V86, 0);
	m.cr[4] |= 1;
	put(TSS + 102, 0x88, 2);
	put(TSS + 0x68 + 4, 2, 1);
	tap_ok(faulted(model_run(&m, CODE("\xcd\x21")), GP, 0), "int in vm86, not redirected");
	set_up(V86, 0);
	m.cr[4] |= 1;
	put(TSS + 102, 0x188, 2);
	tap_ok(faulted(model_run(&m, CODE("\xcd\x21")), GP, 0), "int in vm86, map beyond the TSS");

	set_up(V86, 0);
	m.e.rflags |= VM | IF_ | 0x3000;
	gate(IDT + 0x21 * 8, CODE32, 0x345678, 14, 3, 0);
	m.seg[EMUL_CS].sel = 0x77;
	m.seg[EMUL_SS].sel = 0x66;
	m.seg[EMUL_ES].sel = 0x11;
	m.seg[EMUL_DS].sel = 0x22;
	m.seg[EMUL_FS].sel = 0x33;
	m.seg[EMUL_GS].sel = 0x44;
	tap_ok(at(model_run(&m, CODE("\xcd\x21")), P32, CODE32, 0, 0x345678) &&
	       STACK(0x9000 - 36, DATA, 4, 0x1002, 0x77, VM | IF_ | 0x3002, 0x8000, 0x66, 0x11,
		     0x22, 0x33, 0x44) && m.e.rflags == 0x3002 && !m.seg[EMUL_DS].sel &&
	       !(m.seg[EMUL_GS].attr & EMUL_SEG_P), "int in vm86, IOPL 3: to level 0");
	set_up(V86, 0);
	m.e.rflags |= VM;
	gate(IDT + 3 * 8, CODE32, 0x345678, 15, 3, 0);
	tap_ok(at(model_run(&m, CODE("\xcc")), P32, CODE32, 0, 0x345678),
	       "int3 in vm86 does not ask for IOPL");
	set_up(V86, 0);
	m.e.rflags |= VM | 0x3000;
	gate(IDT + 0x21 * 8, CONFORMING, 0x345678, 14, 3, 0);
	tap_ok(faulted(model_run(&m, CODE("\xcd\x21")), GP, CONFORMING),
	       "from vm86 to conforming code");
}

static void test_int_prot(void)
{
	static const struct {
		const char *name;
		u8 mode, cpl, type, dpl;
		u16 sel;
		int vector, error;
	} t[] = {
		{ "DPL of the gate", P32, 3, 14, 2, CODE32, GP, 0x40 * 8 + 2 },
		{ "a call gate", P32, 0, 12, 3, CODE32, GP, 0x40 * 8 + 2 },
		{ "a gate of 16 bits in long mode", L64, 0, 6, 3, CODE64, GP, 0x40 * 8 + 2 },
		{ "a task gate in long mode", L64, 0, 5, 3, TASK2, GP, 0x40 * 8 + 2 },
		{ "a null selector", P32, 0, 14, 3, 0, GP, 0 },
		{ "data", P32, 0, 14, 3, DATA, GP, DATA },
		{ "less privilege", P32, 0, 14, 3, CODE32_3, GP, CODE32_3 },
		{ "absent code", P32, 0, 14, 3, ABSENT, NP, ABSENT },
		{ "32-bit code in long mode", L64, 0, 14, 3, CODE32, GP, CODE32 },
		{ "an offset beyond the limit", P32, 0, 14, 3, SHORT_CODE, GP, 0 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(t[i].mode, t[i].cpl);
		gate64(IDT + 0x40 * (t[i].mode == L64 ? 16 : 8), t[i].sel, 0x1234, t[i].type,
		       t[i].dpl, 0);
		tap_ok(faulted(model_run(&m, CODE("\xcd\x40")), t[i].vector, t[i].error) &&
		       m.e.gpr[SP] == 0x8000, "int: %s", t[i].name);
	}
	set_up(P32, 0);
	m.dt[EMUL_IDTR].limit = 0x40 * 8 + 6;
	tap_ok(faulted(model_run(&m, CODE("\xcd\x40")), GP, 0x202), "int beyond the IDT");
	set_up(P32, 0);
	gate(IDT + 0x40 * 8, CODE32, 0x1234, 14, 3, 0);
	put(IDT + 0x40 * 8 + 5, 0x6e, 1);
	tap_ok(faulted(model_run(&m, CODE("\xcd\x40")), NP, 0x202), "int: an absent gate");

	set_up(P32, 0);
	m.e.rflags |= IF_ | TF | NT | RF;
	gate(IDT + 0x40 * 8, CODE32, 0x345678, 14, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), P32, CODE32, 0, 0x345678) &&
	       STACK(0x7ff4, DATA, 4, 0x1002, CODE32, IF_ | TF | NT | 2) && m.e.rflags == 2 &&
	       !m.e.trap_step, "int by an interrupt gate");
	set_up(P32, 0);
	m.e.rflags |= IF_;
	gate(IDT + 0x40 * 8, CODE32, 0x345678, 7, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), P32, CODE32, 0, 0x5678) &&
	       STACK(0x7ffa, DATA, 2, 0x1002, CODE32, IF_ | 2) && m.e.rflags == (IF_ | 2),
	       "int by a trap gate of 16 bits leaves IF");
	set_up(P32, 3);
	gate(IDT + 0x40 * 8, CODE32, 0x345678, 14, 3, 0);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), P32, CODE32, 0, 0x345678) &&
	       STACK(0x9000 - 20, DATA, 4, 0x1002, CODE32_3 | 3, 2, 0x8000, DATA_3 | 3),
	       "int to level 0");
	set_up(P32, 3);
	gate(IDT + 0x40 * 8, CONFORMING, 0x345678, 14, 3, 0);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), P32, CONFORMING | 3, 3, 0x345678) &&
	       m.e.gpr[SP] == 0x7ff4, "int to conforming code stays at its level");
	set_up(P32, 3);
	gate(IDT + 1 * 8, CODE32, 0x345678, 14, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xf1")), P32, CODE32, 0, 0x345678),
	       "int1 does not look at the gate's DPL");
	set_up(P32, 3);
	gate(IDT + 3 * 8, CODE32, 0x345678, 14, 0, 0);
	tap_ok(faulted(model_run(&m, CODE("\xcc")), GP, 3 * 8 + 2), "int3 does");

	set_up(L64, 0);
	m.e.gpr[SP] = 0x8009;
	gate64(IDT + 0x40 * 16, CODE64, 0xffff800000005678, 14, 0, 0);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), L64, CODE64, 0, 0xffff800000005678) &&
	       STACK(0x8000 - 40, DATA, 8, 0x1002, CODE64, 2, 0x8009, DATA),
	       "int in long mode: aligned, with SS:RSP, SS stays");
	set_up(L64, 3);
	gate64(IDT + 0x40 * 16, CODE64, 0x5678, 14, 3, 0);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), L64, CODE64, 0, 0x5678) &&
	       STACK(0x9000 - 40, 0, 8, 0x1002, CODE64_3 | 3, 2, 0x8000, DATA_3 | 3),
	       "int to level 0 in long mode: SS is null");
	set_up(L64, 0);
	gate64(IDT + 0x40 * 16, CODE64, 0x5678, 14, 3, 1);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), L64, CODE64, 0, 0x5678) &&
	       STACK(0xb000 - 40, DATA, 8, 0x1002, CODE64, 2, 0x8000, DATA), "int with an IST");
	set_up(L64, 0);
	gate64(IDT + 0x40 * 16, CODE64, 0x0000800000000000, 14, 3, 0);
	tap_ok(faulted(model_run(&m, CODE("\xcd\x40")), GP, 0), "int: a non-canonical handler");
	set_up(L64, 0);
	m.seg[EMUL_TR].limit = 0x2a;
	gate64(IDT + 0x40 * 16, CODE64, 0x5678, 14, 3, 1);
	tap_ok(faulted(model_run(&m, CODE("\xcd\x40")), TS, TASK), "int: an IST beyond the TSS");
	set_up(P32, 3);
	model_msr(&m, EFER, LMA);
	put(TSS + 4, 0x9008, 8);
	gate64(IDT + 0x40 * 16, CODE64, 0x5678, 14, 3, 0);
	tap_ok(at(model_run(&m, CODE("\xcd\x40")), L64, CODE64, 0, 0x5678) &&
	       STACK(0x9000 - 40, 0, 8, 0x1002, CODE32_3 | 3, 2, 0x8000, DATA_3 | 3),
	       "int from 32-bit code in long mode");
}

/* A whole task in a TSS of 32 bits. */
static void fill_tss(u64 tss)
{
	unsigned int i;

	put(tss + 0x1c, 0x77000, 4);
	put(tss + 0x20, 0x345678, 4);
	put(tss + 0x24, 0x202, 4);
	for (i = 0; i < 8; i++)
		put(tss + 0x28 + 4 * i, 0x1010 * (i + 1), 4);
	put(tss + 0x48, DATA_3 | 3, 2);
	put(tss + 0x4c, CODE32, 2);
	put(tss + 0x50, DATA, 2);
	put(tss + 0x54, DATA, 2);
	put(tss + 0x58, 0, 2);
	put(tss + 0x5c, DATA_3, 2);
	put(tss + 0x60, A_LDT, 2);
}

static void set_up_task(unsigned int cpl)
{
	unsigned int i;

	set_up(P32, cpl);
	m.cr[0] |= 1u << 31;
	m.dr[7] = 0x7ff;
	fill_tss(TSS2);
	for (i = 0; i < 8; i++)
		if (i != SP)
			m.e.gpr[i] = 0x11 * (i + 1);
}

static bool in_new_task(u32 flags)
{
	unsigned int i;
	bool ok = m.cr[3] == 0x77000 && (m.cr[0] & 8) && m.e.rflags == flags &&
		  m.seg[EMUL_TR].sel == TASK2 && m.seg[EMUL_TR].attr == 0x8b &&
		  m.seg[EMUL_TR].base == TSS2 && m.seg[EMUL_LDTR].base == 0x3800 &&
		  m.seg[EMUL_ES].sel == (DATA_3 | 3) && m.seg[EMUL_SS].sel == DATA &&
		  !(m.seg[EMUL_FS].attr & EMUL_SEG_P) && m.seg[EMUL_GS].sel == DATA_3 &&
		  m.dr[7] == 0x6aa && !m.e.trap_step;

	for (i = 0; i < 8; i++)
		ok &= m.e.gpr[i] == 0x1010 * (i + 1);
	if (!ok)
		tap_note("cr3 %#llx flags %#llx tr %#x dr7 %#llx", (long long)m.cr[3],
			 (long long)m.e.rflags, m.seg[EMUL_TR].sel, (long long)m.dr[7]);
	return ok;
}

static bool old_task_saved(u32 eip, u32 flags)
{
	return mem(TSS + 0x20, 4) == eip && mem(TSS + 0x24, 4) == flags &&
	       mem(TSS + 0x28, 4) == 0x11 && mem(TSS + 0x38, 4) == 0x8000 &&
	       mem(TSS + 0x44, 4) == 0x88 && mem(TSS + 0x4c, 2) == CODE32 &&
	       mem(TSS + 0x50, 2) == DATA && mem(TSS + 0x48, 2) == (DATA_3 | 3) &&
	       mem(TSS + 0x1c, 4) == 0;
}

static void test_task(void)
{
	u32 error = 0x1234;
	int r;

	set_up_task(0);
	m.e.rflags |= TF;
	r = far_insn(false, TASK2, 0);
	tap_ok(at(r, P32, CODE32, 0, 0x345678) && in_new_task(0x202) &&
	       old_task_saved(0x1007, TF | 2) && !busy(TASK) && busy(TASK2) && mem(TSS2, 2) == 0,
	       "jmp to a TSS");
	set_up_task(0);
	r = far_insn(true, TASK2, 0);
	tap_ok(at(r, P32, CODE32, 0, 0x345678) && in_new_task(0x202 | NT) &&
	       old_task_saved(0x1007, 2) && busy(TASK) && busy(TASK2) && mem(TSS2, 2) == TASK,
	       "call to a TSS: nested");
	set_up_task(3);
	r = far_insn(true, TASK_GATE | 3, 0);
	tap_ok(at(r, P32, CODE32, 0, 0x345678) && mem(TSS + 0x4c, 2) == (CODE32_3 | 3),
	       "call of a task gate by CPL 3");
	set_up_task(0);
	gate(IDT + 0x40 * 8, TASK2, 0, 5, 0, 0);
	r = model_run(&m, CODE("\xcd\x40"));
	tap_ok(at(r, P32, CODE32, 0, 0x345678) && in_new_task(0x202 | NT) &&
	       old_task_saved(0x1002, 2), "int by a task gate");

	set_up_task(0);
	m.e.rflags |= NT;
	put(TSS, TASK2, 2);
	descriptor(TASK2, TSS2, 0x67, 0x08b);
	r = model_run(&m, CODE("\xcf"));
	tap_ok(at(r, P32, CODE32, 0, 0x345678) && in_new_task(0x202) && old_task_saved(0x1001, 2) &&
	       !busy(TASK) && busy(TASK2) && m.nr_nmi_unmask == 1, "iret to the task before");
	set_up_task(0);
	m.e.rflags |= NT;
	put(TSS, TASK2, 2);
	tap_ok(faulted(model_run(&m, CODE("\xcf")), TS, TASK2), "iret to a task that is not busy");
	set_up_task(0);
	descriptor(TASK2, TSS2, 0x67, 0x08b);
	tap_ok(faulted(far_insn(false, TASK2, 0), GP, TASK2), "jmp to a busy task");
	set_up_task(3);
	tap_ok(faulted(far_insn(false, TASK2 | 3, 0), GP, TASK2), "jmp to a TSS of DPL 0 by CPL 3");
	set_up_task(0);
	descriptor(TASK2, TSS2, 0x66, 0x089);
	tap_ok(faulted(far_insn(false, TASK2, 0), TS, TASK2), "a TSS that is too short");
	set_up_task(0);
	descriptor(TASK2, TSS2, 0x67, 0x009);
	tap_ok(faulted(far_insn(false, TASK2, 0), NP, TASK2), "a TSS that is absent");
	set_up_task(0);
	descriptor(TASK2, 0x50000, 0x67, 0x089);
	tap_ok(faulted(far_insn(false, TASK2, 0), PF, 0) && busy(TASK), "a TSS that is not mapped");
	set_up_task(0);
	m.seg[EMUL_TR].base = RAM - 0x40;
	tap_ok(faulted(far_insn(false, TASK2, 0), PF, 2) && busy(TASK) && !busy(TASK2) &&
	       mem(RAM - 0x20, 4) == 0, "an old TSS that cannot be written whole");

	/* Faults of the new task: the state is its own, and RIP its first. */
	set_up_task(0);
	put(TSS2 + 0x50, DATA_3, 2);
	r = far_insn(false, TASK2, 0);
	tap_ok(r == FAULT && m.e.exception.vector == TS && m.e.exception.error_code == DATA_3 &&
	       m.e.rip == 0x345678 && m.e.gpr[AX] == 0x1010 && m.e.rflags == 0x202 &&
	       m.seg[EMUL_TR].sel == TASK2, "a bad SS is the new task's fault");
	set_up_task(0);
	put(TSS2 + 0x54, ABSENT_DATA, 2);
	r = far_insn(false, TASK2, 0);
	tap_ok(r == FAULT && m.e.exception.vector == NP && m.e.exception.error_code == ABSENT_DATA &&
	       m.e.rip == 0x345678, "an absent DS is");
	set_up_task(0);
	put(TSS2 + 0x60, DATA, 2);
	r = far_insn(false, TASK2, 0);
	tap_ok(r == FAULT && m.e.exception.vector == TS && m.e.exception.error_code == DATA,
	       "what is no LDT is");
	set_up_task(0);
	put(TSS2 + 0x4c, DATA, 2);
	r = far_insn(false, TASK2, 0);
	tap_ok(r == FAULT && m.e.exception.vector == TS && m.e.exception.error_code == DATA,
	       "data in CS is");
	set_up_task(0);
	put(TSS2 + 0x4c, 0, 2);
	r = far_insn(false, TASK2, 0);
	tap_ok(r == FAULT && m.e.exception.vector == TS && m.e.exception.error_code == 0,
	       "nothing in CS is");
	set_up_task(0);
	put(TSS2 + 0x4c, SHORT_CODE, 2);
	r = far_insn(false, TASK2, 0);
	tap_ok(r == FAULT && m.e.exception.vector == GP && m.e.exception.error_code == 0 &&
	       m.e.rip == 0x345678, "EIP beyond the limit is");

	set_up_task(0);
	put(TSS2 + 0x24, VM | 0x202, 4);
	put(TSS2 + 0x4c, 0x567, 2);
	put(TSS2 + 0x20, 0x1234, 4);
	tap_ok(at(far_insn(false, TASK2, 0), V86, 0x567, 3, 0x1234) &&
	       m.seg[EMUL_CS].base == 0x5670 && m.seg[EMUL_GS].base == (DATA_3 << 4),
	       "a task in vm86 mode");
	set_up_task(0);
	put(TSS2 + 0x64, 1, 1);
	tap_ok(far_insn(false, TASK2, 0) == OK && m.e.trap_task, "a task that traps");
	set_up_task(0);
	tap_ok(far_insn(false, TASK2, 0) == OK && !m.e.trap_task, "a task that does not");

	set_up_task(0);
	r = umbra_emul_task_switch(&m.e, TASK2, UMBRA_TASK_GATE, &error);
	tap_ok(r == OK && m.e.rip == 0x345678 && m.e.gpr[SP] == 0x5050 - 4 &&
	       mem(0x504c, 4) == error && mem(TSS + 0x20, 4) == 0x1000 && (m.e.rflags & NT),
	       "an exception by a task gate pushes its error code");
	set_up_task(0);
	r = umbra_emul_task_switch(&m.e, TASK2 | 4, UMBRA_TASK_GATE, NULL);
	tap_ok(faulted(r, GP, TASK2 | 4), "a TSS in the LDT");
	set_up_task(0);
	tap_ok(faulted(umbra_emul_task_switch(&m.e, 0, UMBRA_TASK_GATE, NULL), GP, 0),
	       "a null TSS");
}

/* Events that no instruction of the guest's has raised: umbra_emul_interrupt(). */
static void test_event(void)
{
	const u32 error = 0x1234;
	int r;

	set_up(R16, 0);
	m.dt[EMUL_IDTR].base = 0;
	m.e.rflags |= IF_ | RF;
	put(0x21 * 4, 0x2345678, 4);
	r = umbra_emul_interrupt(&m.e, 0x21, false, NULL);
	tap_ok(at(r, R16, 0x234, 0, 0x5678) && STACK(0x7ffa, 0, 2, 0x1000, 0, IF_ | 2) &&
	       m.e.rflags == 2 && !m.e.trap_step, "an event in real mode");
	set_up(P32, 0);
	m.e.rflags |= IF_ | RF;
	gate(IDT + GP * 8, CODE32, 0x345678, 14, 0, 0);
	r = umbra_emul_interrupt(&m.e, GP, false, &error);
	tap_ok(at(r, P32, CODE32, 0, 0x345678) &&
	       STACK(0x7ff0, DATA, 4, error, 0x1000, CODE32, IF_ | RF | 2) && m.e.rflags == 2,
	       "an exception pushes its error code, and RF as it stands");
	set_up(L64, 3);
	gate64(IDT + GP * 16, CODE64, 0x5678, 14, 0, 0);
	r = umbra_emul_interrupt(&m.e, GP, false, &error);
	tap_ok(at(r, L64, CODE64, 0, 0x5678) &&
	       STACK(0x9000 - 48, 0, 8, error, 0x1000, CODE64_3 | 3, 2, 0x8000, DATA_3 | 3),
	       "an exception in long mode");
	set_up_task(0);
	gate(IDT + GP * 8, TASK2, 0, 5, 0, 0);
	r = umbra_emul_interrupt(&m.e, GP, false, &error);
	tap_ok(r == OK && m.e.rip == 0x345678 && mem(0x504c, 4) == error,
	       "an exception by a task gate of the IDT");

	set_up(P32, 3);
	gate(IDT + 0x40 * 8, CODE32, 0x345678, 14, 0, 0);
	tap_ok(faulted(umbra_emul_interrupt(&m.e, 0x40, true, NULL), GP, 0x202),
	       "of a soft one the gate's DPL counts, and EXT is clear");
	tap_ok(at(umbra_emul_interrupt(&m.e, 0x40, false, NULL), P32, CODE32, 0, 0x345678),
	       "of another it does not");
	set_up(P32, 0);
	m.dt[EMUL_IDTR].limit = 0x40 * 8 + 6;
	tap_ok(faulted(umbra_emul_interrupt(&m.e, 0x40, false, NULL), GP, 0x203),
	       "a fault of its delivery has EXT set");
}

static void test_task16(void)
{
	unsigned int i;

	set_up_task(0);
	put(TSS16 + 0x0e, 0x5678, 2);
	put(TSS16 + 0x10, 0x202, 2);
	for (i = 0; i < 8; i++)
		put(TSS16 + 0x12 + 2 * i, 0x1010 * (i + 1), 2);
	put(TSS16 + 0x22, DATA_3, 2);
	put(TSS16 + 0x24, CODE_16, 2);
	put(TSS16 + 0x26, DATA, 2);
	put(TSS16 + 0x28, 0, 2);
	m.cr[3] = 0x88000;
	tap_ok(at(far_insn(true, TASK16, 0), P16, CODE_16, 0, 0x5678) && m.cr[3] == 0x88000 &&
	       m.e.gpr[AX] == 0x1010 && m.e.gpr[DI] == 0x8080 && m.e.rflags == (0x202 | NT) &&
	       m.seg[EMUL_TR].attr == 0x83 && mem(TSS16, 2) == TASK && m.seg[EMUL_ES].sel == DATA_3 &&
	       !(m.seg[EMUL_GS].attr & EMUL_SEG_P) && !(m.seg[EMUL_LDTR].attr & EMUL_SEG_P),
	       "call to a TSS of 16 bits");
	m.e.rflags |= NT;
	m.e.gpr[AX] = 0x12345678;
	fill_tss(TSS);
	tap_ok(at(model_run(&m, CODE("\xcf")), P32, CODE32, 0, 0x345678) &&
	       mem(TSS16 + 0x12, 2) == 0x5678 && mem(TSS16 + 0x10, 2) == 0x202 &&
	       mem(TSS16 + 0x14, 2) == 0x2020 && !busy(TASK16) && m.seg[EMUL_TR].sel == TASK,
	       "and back: 16 bits of each register were saved");
}

static void star(u64 efer)
{
	model_msr(&m, EFER, efer);
	model_msr(&m, 0xc0000081, 0x0033002055667788);
	model_msr(&m, 0xc0000082, 0xffff800000001234);
	model_msr(&m, 0xc0000083, 0xffff800000005678);
	model_msr(&m, 0xc0000084, IF_ | TF | 1);
}

static bool flat(unsigned int nr, u16 sel, u16 attr)
{
	const struct umbra_emul_seg *s = &m.seg[nr];

	if (s->sel == sel && s->attr == attr && s->base == 0 && s->limit == 0xffffffff)
		return true;
	tap_note("segment %u: %#x, attr %#x", nr, s->sel, s->attr);
	return false;
}

static void test_syscall(void)
{
	int r;

	set_up(L64, 3);
	star(LMA | 1);
	m.e.rflags |= IF_ | RF | 1;
	r = model_run(&m, CODE("\x0f\x05"));
	tap_ok(at(r, L64, 0x20, 0, 0xffff800000001234) && m.e.gpr[CX] == 0x1002 &&
	       m.e.gpr[11] == (IF_ | 3) && m.e.rflags == 2 && flat(EMUL_CS, 0x20, 0xa9b) &&
	       flat(EMUL_SS, 0x28, 0xc93), "syscall in 64-bit mode");
	set_up(L64, 3);
	star(LMA | 1);
	m.e.rflags |= TF;
	tap_ok(model_run(&m, CODE("\x0f\x05")) == OK && !m.e.trap_step &&
	       m.e.gpr[11] == (TF | 2), "syscall that masks TF does not trap");
	set_up(L64, 3);
	star(LMA | 1);
	model_msr(&m, 0xc0000084, 0);
	m.e.rflags |= TF;
	tap_ok(model_run(&m, CODE("\x0f\x05")) == OK && m.e.trap_step, "one that does not, does");
	set_up(L64, 3);
	star(LMA);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x05")), UD, -1), "syscall without SCE");
	set_up(P32, 3);
	star(LMA | 1);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x05")), UD, -1), "syscall in 32-bit code by Intel");
	set_up(P32, 3);
	star(LMA | 1);
	m.lacks = 0;
	tap_ok(at(model_run(&m, CODE("\x0f\x05")), L64, 0x20, 0, 0xffff800000005678) &&
	       m.e.gpr[CX] == 0x1002 && m.e.gpr[11] == 2, "by AMD it goes to CSTAR");
	set_up(P32, 3);
	star(1);
	m.lacks = 0;
	m.e.rflags |= IF_ | 1;
	tap_ok(at(model_run(&m, CODE("\x0f\x05")), P32, 0x20, 0, 0x55667788) &&
	       m.e.gpr[CX] == 0x1002 && m.e.rflags == 3 && flat(EMUL_CS, 0x20, 0xc9b),
	       "syscall in legacy mode by AMD");
	set_up(R16, 0);
	star(1);
	m.lacks = 0;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x05")), UD, -1), "syscall in real mode");

	set_up(L64, 0);
	star(LMA | 1);
	m.e.gpr[CX] = 0x7fff00001234;
	m.e.gpr[11] = 0xffffffff;
	tap_ok(at(model_run(&m, CODE("\x48\x0f\x07")), L64, 0x43, 3, 0x7fff00001234) &&
	       m.e.rflags == 0x3c7fd7 && flat(EMUL_CS, 0x43, 0xafb) && flat(EMUL_SS, 0x3b, 0xcf3),
	       "sysret to 64-bit code: not RF and VM");
	set_up(L64, 0);
	star(LMA | 1);
	m.e.gpr[11] = 0x102;
	tap_ok(model_run(&m, CODE("\x48\x0f\x07")) == OK && m.e.trap_step,
	       "sysret with TF in R11 steps at once");
	set_up(L64, 0);
	star(LMA | 1);
	m.e.rflags |= 0x100;
	m.e.gpr[11] = 2;
	tap_ok(model_run(&m, CODE("\x48\x0f\x07")) == OK && !m.e.trap_step,
	       "and without it there is none");
	set_up(L64, 0);
	star(LMA | 1);
	m.e.gpr[CX] = 0xff00001234;
	tap_ok(at(model_run(&m, CODE("\x0f\x07")), P32, 0x33, 3, 0x1234) &&
	       flat(EMUL_CS, 0x33, 0xcfb), "sysret to 32-bit code");
	set_up(L64, 0);
	star(LMA | 1);
	m.e.gpr[CX] = 0x800000000000;
	tap_ok(faulted(model_run(&m, CODE("\x48\x0f\x07")), GP, 0), "sysret, non-canonical, by Intel");
	m.lacks = 0;
	m.seg[EMUL_SS].attr = 0x493;
	m.seg[EMUL_SS].limit = 0x1234;
	tap_ok(at(model_run(&m, CODE("\x48\x0f\x07")), L64, 0x43, 3, 0x800000000000) &&
	       m.seg[EMUL_SS].sel == 0x3b && m.seg[EMUL_SS].attr == 0x4f3 &&
	       m.seg[EMUL_SS].limit == 0x1234, "by AMD it goes there, and SS keeps what it has");
	set_up(L64, 3);
	star(LMA | 1);
	tap_ok(faulted(model_run(&m, CODE("\x48\x0f\x07")), GP, 0), "sysret by CPL 3");
	set_up(R16, 0);
	star(1);
	m.lacks = 0;
	r = faulted(model_run(&m, CODE("\x0f\x07")), GP, 0);
	star(0);
	tap_ok(r && faulted(model_run(&m, CODE("\x0f\x07")), UD, -1),
	       "sysret in real mode: #GP, but #UD first without SCE");
	set_up(P32, 0);
	star(1);
	m.lacks = 0;
	m.e.gpr[CX] = 0x4444;
	tap_ok(at(model_run(&m, CODE("\x0f\x07")), P32, 0x33, 3, 0x4444) &&
	       m.e.rflags == (IF_ | 2), "sysret in legacy mode sets IF");
	set_up(P32, 0);
	star(LMA | 1);
	m.lacks = 0;
	m.e.gpr[CX] = 0x4444;
	m.e.gpr[11] = 1;
	tap_ok(at(model_run(&m, CODE("\x0f\x07")), P32, 0x33, 3, 0x4444) &&
	       m.e.rflags == (IF_ | 2), "and in compatibility mode");
}

static void sysenter_msrs(u64 cs)
{
	model_msr(&m, 0x174, cs);
	model_msr(&m, 0x175, 0xffff800000006000);
	model_msr(&m, 0x176, 0xffff800000001234);
}

static void test_sysenter(void)
{
	set_up(P32, 3);
	sysenter_msrs(0x23);
	m.e.rflags |= IF_ | TF | RF;
	tap_ok(at(model_run(&m, CODE("\x0f\x34")), P32, 0x20, 0, 0x1234) &&
	       m.e.gpr[SP] == 0x6000 && m.e.rflags == (TF | 2) && flat(EMUL_CS, 0x20, 0xc9b) &&
	       flat(EMUL_SS, 0x28, 0xc93), "sysenter");
	set_up(V86, 3);
	sysenter_msrs(0x20);
	m.e.rflags |= VM;
	tap_ok(at(model_run(&m, CODE("\x0f\x34")), P32, 0x20, 0, 0x1234) && m.e.rflags == 2,
	       "sysenter from vm86 mode");
	set_up(L64, 3);
	sysenter_msrs(0x20);
	tap_ok(at(model_run(&m, CODE("\x0f\x34")), L64, 0x20, 0, 0xffff800000001234) &&
	       m.e.gpr[SP] == 0xffff800000006000 && flat(EMUL_CS, 0x20, 0xa9b),
	       "sysenter in long mode by Intel");
	m.e.rip = 0x1000;
	m.lacks = 0;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x34")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x0f\x35")), UD, -1), "by AMD there is none");
	set_up(P32, 3);
	sysenter_msrs(3);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x34")), GP, 0), "sysenter with a null selector");
	set_up(R16, 0);
	sysenter_msrs(0x20);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x34")), GP, 0), "sysenter in real mode");
	set_up(P32, 3);
	m.lacks |= 1ull << UMBRA_CPU_SEP;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x34")), UD, -1), "sysenter where CPUID has none");

	set_up(P32, 0);
	sysenter_msrs(0x20);
	m.e.gpr[CX] = 0x7000;
	m.e.gpr[DX] = 0x4444;
	tap_ok(at(model_run(&m, CODE("\x0f\x35")), P32, 0x33, 3, 0x4444) &&
	       m.e.gpr[SP] == 0x7000 && flat(EMUL_CS, 0x33, 0xcfb) && flat(EMUL_SS, 0x3b, 0xcf3),
	       "sysexit");
	set_up(L64, 0);
	sysenter_msrs(0x20);
	m.e.gpr[CX] = 0x7fff00007000;
	m.e.gpr[DX] = 0x7fff00004444;
	tap_ok(at(model_run(&m, CODE("\x48\x0f\x35")), L64, 0x43, 3, 0x7fff00004444) &&
	       m.e.gpr[SP] == 0x7fff00007000 && flat(EMUL_SS, 0x4b, 0xcf3), "sysexit to 64-bit code");
	set_up(L64, 0);
	sysenter_msrs(0x20);
	m.e.gpr[CX] = 0x800000000000;
	tap_ok(faulted(model_run(&m, CODE("\x48\x0f\x35")), GP, 0), "sysexit, non-canonical");
	set_up(P32, 3);
	sysenter_msrs(0x20);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x35")), GP, 0), "sysexit by CPL 3");
	set_up(P32, 0);
	sysenter_msrs(0);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x35")), GP, 0), "sysexit with a null selector");

	set_up(L64, 0);
	model_msr(&m, 0xc0000101, 0x111);
	model_msr(&m, 0xc0000102, 0x222);
	tap_ok(model_run(&m, CODE("\x0f\x01\xf8")) == OK && model_get_msr(&m, 0xc0000101) == 0x222 &&
	       model_get_msr(&m, 0xc0000102) == 0x111, "swapgs");
	set_up(L64, 3);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xf8")), GP, 0), "swapgs by CPL 3");
	set_up(P32, 0);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xf8")), UD, -1), "swapgs in 32-bit code");
	set_up(L64, 3);
	m.cr[4] |= 1 << 16;
	model_msr(&m, 0xc0000100, 0x1122334455667788);
	model_msr(&m, 0xc0000101, 0x222);
	m.e.gpr[CX] = 0xffffffff00001234;
	tap_ok(model_run(&m, CODE("\xf3\x48\x0f\xae\xc0")) == OK && m.e.gpr[AX] == 0x1122334455667788 &&
	       model_run(&m, CODE("\xf3\x0f\xae\xc0")) == OK && m.e.gpr[AX] == 0x55667788 &&
	       model_run(&m, CODE("\xf3\x48\x0f\xae\xc8")) == OK && m.e.gpr[AX] == 0x222 &&
	       model_run(&m, CODE("\xf3\x0f\xae\xd1")) == OK &&
	       model_get_msr(&m, 0xc0000100) == 0x1234 &&
	       model_run(&m, CODE("\xf3\x48\x0f\xae\xd9")) == OK &&
	       model_get_msr(&m, 0xc0000101) == 0xffffffff00001234,
	       "rdfsbase, rdgsbase, wrfsbase, wrgsbase");
	m.e.rip = 0x1000;
	m.cr[4] &= ~(1ull << 16);
	tap_ok(faulted(model_run(&m, CODE("\xf3\x48\x0f\xae\xc0")), UD, -1),
	       "rdfsbase without CR4.FSGSBASE");
}

/* LLDT and LTR, and the instructions that only ask. */
static void test_descriptors(void)
{
	static const struct {
		const char *name;
		u8 mode, cpl;
		u16 sel;
		bool lar, lsl, verr, verw;
	} t[] = {
		{ "data", P32, 0, DATA, true, true, true, true },
		{ "data of DPL 0 by CPL 3", P32, 3, DATA, false, false, false, false },
		{ "RPL above DPL", P32, 0, DATA | 3, false, false, false, false },
		{ "data of DPL 3 by CPL 3", P32, 3, DATA_3 | 3, true, true, true, true },
		{ "code", P32, 0, CODE32, true, true, true, false },
		{ "conforming code by CPL 3", P32, 3, CONFORMING | 3, true, true, true, false },
		{ "absent data", P32, 0, ABSENT_DATA, true, true, true, true },
		{ "a TSS", P32, 0, TASK2, true, true, false, false },
		{ "a busy TSS of 16 bits in long mode", L64, 0, TASK16, false, false, false, false },
		{ "an LDT", P32, 0, A_LDT, true, true, false, false },
		{ "a task gate", P32, 0, TASK_GATE, true, false, false, false },
		{ "a task gate in long mode", L64, 0, TASK_GATE, false, false, false, false },
		{ "an interrupt gate", P32, 0, GATE, false, false, false, false },
		{ "null", P32, 0, 0, false, false, false, false },
		{ "beyond the GDT", P32, 0, GDT_LIMIT + 1, false, false, false, false },
		{ "no LDT", P32, 0, 4, false, false, false, false },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		u32 ar, limit;
		bool ok;

		set_up(t[i].mode, t[i].cpl);
		gate(GDT + GATE, CODE32, 0, 14, 3, 0);
		m.e.rflags |= t[i].lar ? 0 : 0x40;
		m.e.gpr[AX] = 0x1234;
		m.e.gpr[CX] = t[i].sel;
		ar = t[i].lar ? mem(GDT + (t[i].sel & ~7) + 4, 4) & 0xf0ff00 : 0x1234;
		ok = model_run(&m, CODE("\x0f\x02\xc1")) == OK && m.e.gpr[AX] == ar &&
		     !(m.e.rflags & 0x40) == !t[i].lar;
		limit = mem(GDT + (t[i].sel & ~7), 2) | (mem(GDT + (t[i].sel & ~7) + 6, 1) & 15) << 16;
		if (mem(GDT + (t[i].sel & ~7) + 6, 1) & 0x80)
			limit = limit << 12 | 0xfff;
		m.e.gpr[AX] = 0x1234;
		ok &= model_run(&m, CODE("\x0f\x03\xc1")) == OK &&
		      m.e.gpr[AX] == (t[i].lsl ? limit : 0x1234) && !(m.e.rflags & 0x40) == !t[i].lsl;
		ok &= model_run(&m, CODE("\x0f\x00\xe1")) == OK && !(m.e.rflags & 0x40) == !t[i].verr;
		ok &= model_run(&m, CODE("\x0f\x00\xe9")) == OK && !(m.e.rflags & 0x40) == !t[i].verw;
		tap_ok(ok, "lar, lsl, verr, verw: %s", t[i].name);
	}
	set_up(P32, 0);
	descriptor(DATA, 0, 0xffff, 0x91);
	descriptor(CODE32, 0, 0xffff, 0x99);
	m.e.gpr[CX] = DATA;
	m.e.gpr[DX] = CODE32;
	tap_ok(model_run(&m, CODE("\x0f\x00\xe9")) == OK && !(m.e.rflags & 0x40) &&
	       model_run(&m, CODE("\x0f\x00\xe2")) == OK && !(m.e.rflags & 0x40),
	       "verw of read-only data, verr of execute-only code");
	set_up(P32, 0);
	m.e.gpr[AX] = 0xaaaabbbb;
	m.e.gpr[CX] = CODE32;
	tap_ok(model_run(&m, CODE("\x66\x0f\x02\xc1")) == OK && m.e.gpr[AX] == 0xaaaa9b00,
	       "lar of 16 bits");
	set_up(R16, 0);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x02\xc1")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x0f\x00\xe1")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x63\xc1")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x0f\x00\xd1")), UD, -1), "none of them in real mode");

	set_up(P32, 0);
	m.e.gpr[AX] = 0x12340010;
	m.e.gpr[CX] = 0x23;
	tap_ok(model_run(&m, CODE("\x63\xc8")) == OK && m.e.gpr[AX] == 0x12340013 &&
	       (m.e.rflags & 0x40), "arpl raises RPL");
	tap_ok(model_run(&m, CODE("\x63\xc8")) == OK && m.e.gpr[AX] == 0x12340013 &&
	       !(m.e.rflags & 0x40), "arpl leaves what is high enough");

	set_up(P32, 0);
	m.e.gpr[AX] = A_LDT;
	tap_ok(model_run(&m, CODE("\x0f\x00\xd0")) == OK && m.seg[EMUL_LDTR].sel == A_LDT &&
	       m.seg[EMUL_LDTR].base == 0x3800 && m.seg[EMUL_LDTR].limit == 0xff, "lldt");
	m.e.gpr[AX] = 3;
	tap_ok(model_run(&m, CODE("\x0f\x00\xd0")) == OK && m.seg[EMUL_LDTR].sel == 3 &&
	       !(m.seg[EMUL_LDTR].attr & EMUL_SEG_P), "lldt of null");
	m.e.rip = 0x1000;
	m.e.gpr[AX] = DATA;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd0")), GP, DATA), "lldt of data");
	m.e.gpr[AX] = A_LDT | 4;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd0")), GP, A_LDT | 4), "lldt from the LDT");
	descriptor(A_LDT, 0x3800, 0xff, 0x002);
	m.e.gpr[AX] = A_LDT;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd0")), NP, A_LDT), "lldt of an absent one");
	m.e.cpl = 3;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd0")), GP, 0), "lldt by CPL 3");
	set_up(L64, 0);
	put(GDT + A_LDT + 8, 0xffff8000, 8);
	m.e.gpr[AX] = A_LDT;
	tap_ok(model_run(&m, CODE("\x0f\x00\xd0")) == OK &&
	       m.seg[EMUL_LDTR].base == 0xffff800000003800, "lldt in long mode: a base of 64 bits");
	put(GDT + A_LDT + 8, 0x00008000, 8);
	m.e.rip = 0x1000;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd0")), GP, A_LDT), "lldt, non-canonical");

	set_up(P32, 0);
	m.e.gpr[AX] = TASK2;
	tap_ok(model_run(&m, CODE("\x0f\x00\xd8")) == OK && m.seg[EMUL_TR].sel == TASK2 &&
	       m.seg[EMUL_TR].attr == 0x8b && busy(TASK2), "ltr makes the TSS busy");
	m.e.rip = 0x1000;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd8")), GP, TASK2), "ltr of a busy one");
	m.e.gpr[AX] = 0;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd8")), GP, 0), "ltr of null");
	set_up(L64, 0);
	m.e.gpr[AX] = TASK16;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x00\xd8")), GP, TASK16),
	       "ltr of a TSS of 16 bits in long mode");
}

int main(void)
{
	tap_begin();
	test_descriptors();
	test_far_code();
	test_far_memory();
	test_call_gate();
	test_inner_stack();
	test_retf();
	test_iret();
	test_int_real();
	test_int_prot();
	test_event();
	test_task();
	test_task16();
	test_syscall();
	test_sysenter();
	return tap_end();
}
