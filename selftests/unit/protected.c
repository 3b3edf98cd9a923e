// SPDX-License-Identifier: GPL-2.0-only
#include "protected.h"
#include "tap.h"

struct model m;
u8 ram[RAM];

void put(u64 la, u64 val, unsigned int n)
{
	memcpy(ram + la, &val, n);
}

u64 mem(u64 la, unsigned int n)
{
	u64 v = 0;

	memcpy(&v, ram + la, n);
	return v;
}

/* @attr: access byte, then AVL, L, D and G, as in a segment register. */
void descriptor(u16 sel, u32 base, u32 limit, u16 attr)
{
	u64 d = (limit & 0xffff) | ((u64)(base & 0xffffff) << 16) | ((u64)(attr & 0xff) << 40) |
		((u64)(limit & 0xf0000) << 32) | ((u64)(attr & 0xf00) << 44) |
		((u64)(base & 0xff000000) << 32);

	put(GDT + sel, d, 8);
}

/* A gate: present, of @type, with @extra in the byte of parameters or IST. */
void gate(u64 la, u16 sel, u64 off, unsigned int type, unsigned int dpl, unsigned int extra)
{
	put(la, (off & 0xffff) | (u64)sel << 16 | (u64)extra << 32 |
	    (u64)(0x80 | dpl << 5 | type) << 40 | (off & 0xffff0000) << 32, 8);
}

void gate64(u64 la, u16 sel, u64 off, unsigned int type, unsigned int dpl, unsigned int ist)
{
	gate(la, sel, off, type, dpl, ist);
	put(la + 8, off >> 32, 8);
}

void load(unsigned int nr, u16 sel)
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

void set_up(unsigned int mode, unsigned int cpl)
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

bool faulted(int r, unsigned int vector, int error)
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
bool at(int r, unsigned int mode, u16 cs, unsigned int cpl, u64 rip)
{
	if (r == OK && m.e.mode == mode && m.seg[EMUL_CS].sel == cs && m.e.cpl == cpl &&
	    m.e.rip == rip)
		return true;
	tap_note("result %d vector %u error %#x: mode %u cs %#x cpl %u rip %#llx", r,
		 m.e.exception.vector, m.e.exception.error_code, m.e.mode, m.seg[EMUL_CS].sel,
		 m.e.cpl, (long long)m.e.rip);
	return false;
}

bool stack_is(u64 rsp, u16 ss, unsigned int size, unsigned int n, const u64 *vals)
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

/* JMP or CALL @sel:@off: in the instruction, or in 64-bit code through memory. */
int far_insn(bool call, u16 sel, u32 off)
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
bool busy(u16 sel)
{
	return ram[GDT + sel + 5] & 2;
}
