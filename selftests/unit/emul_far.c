// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator's far control transfers, interrupts and IRET: frames, checks, error codes and what is
 * left unchanged, by the pseudo-code of the manuals.
 */
#include "protected.h"
#include "tap.h"

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

	set_up(V86, 0);
	m.seg[EMUL_SS].base = RAM;
	tap_ok(faulted(model_run(&m, CODE("\x9d")), GP, 0), "popf in vm86, IOPL 0, without a stack");
	set_up(V86, 0);
	m.cr[4] |= 1;
	m.seg[EMUL_SS].base = RAM;
	tap_ok(faulted(model_run(&m, CODE("\x9d")), PF, 4), "popf in vm86, VME, without a stack");

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

int main(void)
{
	tap_begin();
	test_far_code();
	test_far_memory();
	test_call_gate();
	test_inner_stack();
	test_retf();
	test_iret();
	test_int_real();
	test_int_prot();
	return tap_end();
}
