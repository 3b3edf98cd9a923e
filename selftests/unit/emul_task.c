// SPDX-License-Identifier: GPL-2.0-only
/* The emulator's task switches, and events that no instruction raises. */
#include "protected.h"
#include "tap.h"

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

int main(void)
{
	tap_begin();
	test_task();
	test_task16();
	test_event();
	return tap_end();
}
