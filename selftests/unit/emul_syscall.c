// SPDX-License-Identifier: GPL-2.0-only
/* The emulator's fast system calls, and what loads or asks for descriptors. */
#include "protected.h"
#include "tap.h"

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
	test_syscall();
	test_sysenter();
	return tap_end();
}
