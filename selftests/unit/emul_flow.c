// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator over more than one step: fetching, device reads that need userspace, REP loops and what
 * interrupts them, ports, atomic operations, segment loads, effects on system registers, lengths.
 */
#include "model.h"
#include "tap.h"

#define RAM	0x10000
#define DEV	0x30000
#define CODE(s)	s, sizeof(s) - 1

enum { OK = UMBRA_EMUL_OK, FAULT = UMBRA_EMUL_FAULT, IO = UMBRA_EMUL_IO,
       RESTART = UMBRA_EMUL_RESTART, UNKNOWN = UMBRA_EMUL_UNHANDLEABLE };
enum { R16 = UMBRA_EMUL_REAL, V86 = UMBRA_EMUL_VM86, P16 = UMBRA_EMUL_PROT16,
       P32 = UMBRA_EMUL_PROT32, L64 = UMBRA_EMUL_LONG64 };
enum { AX, CX, DX, BX, SP, BP, SI, DI };

#define ANSWER	0x8877665544332211ull

static struct model m;
static u8 ram[RAM], dev[8192];

static void set_up(unsigned int mode)
{
	unsigned int i;

	for (i = 0; i < RAM; i++)
		ram[i] = i;
	model_init(&m, mode);
	model_map(&m, 0, ram, RAM, 0);
	model_map(&m, DEV, dev, sizeof(dev), MODEL_MMIO);
}

static bool faulted(int r, unsigned int vector, int error)
{
	if (r == FAULT && m.e.exception.vector == vector &&
	    m.e.exception.has_error_code == (error >= 0) &&
	    (error < 0 || m.e.exception.error_code == (u32)error))
		return true;
	tap_note("result %d vector %u error %#x", r, m.e.exception.vector,
		 m.e.exception.error_code);
	return false;
}

static u64 mem(u64 la, unsigned int size)
{
	u64 v = 0;

	memcpy(&v, ram + la, size);
	return v;
}

static void put(u64 la, const void *p, unsigned int n)
{
	memcpy(ram + la, p, n);
}

/* Fetching */

static void test_fetch(void)
{
	static const u8 longest[16] = "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90";
	u8 prefixes[16];

	memset(prefixes, 0x66, sizeof(prefixes));

	set_up(P32);
	put(0x1000, longest, 15);
	tap_ok(model_run(&m, NULL, 0) == OK && m.e.rip == 0x100f, "15 bytes are legal");

	set_up(P32);
	put(0x1000, prefixes, 16);
	tap_ok(faulted(model_run(&m, NULL, 0), 13, 0), "a 16th byte is #GP");

	set_up(P32);
	put(0x1000, prefixes, 14);
	put(0x100e, CODE("\x01\xc8"));
	tap_ok(faulted(model_run(&m, NULL, 0), 13, 0), "#GP when ModRM is the 16th byte");

	set_up(P32);
	put(0xffe, CODE("\x89\xc8"));
	m.e.rip = 0xffe;
	tap_ok(model_run(&m, NULL, 0) == OK && m.nr_fetch == 1 && m.fetch_bytes == 2,
	       "no fetch beyond the page that holds the instruction");

	set_up(P32);
	put(0xffd, CODE("\xb8\x78\x56\x34\x12"));
	m.e.rip = 0xffd;
	tap_ok(model_run(&m, NULL, 0) == OK && m.e.gpr[AX] == 0x12345678 && m.nr_fetch == 2,
	       "an instruction over a page border takes two fetches");

	set_up(P32);
	put(RAM - 2, CODE("\xb8\x78"));
	m.e.rip = RAM - 2;
	tap_ok(faulted(model_run(&m, NULL, 0), 14, 0x10) && m.e.exception.cr2 == RAM &&
	       m.e.rip == RAM - 2, "the second page is not there: #PF on it");

	set_up(P32);
	put(RAM - 1, CODE("\x90"));
	m.e.rip = RAM - 1;
	tap_ok(model_run(&m, NULL, 0) == OK && m.nr_fetch == 1,
	       "the second page is not there and not needed");

	set_up(P32);
	put(0x1000, CODE("\xb8\x78\x56\x34\x12"));
	tap_ok(model_run(&m, CODE("\xb8\x99\x56")) == OK && m.e.gpr[AX] == 0x12345699,
	       "bytes at hand are not fetched again");

	set_up(P32);
	put(RAM - 1, CODE("\x0f"));
	m.e.rip = RAM - 1;
	tap_ok(faulted(model_run(&m, NULL, 0), 14, 0x10), "an escape byte at the end of the page");
	set_up(P32);
	put(RAM - 2, CODE("\x0f\x38"));
	m.e.rip = RAM - 2;
	tap_ok(faulted(model_run(&m, NULL, 0), 14, 0x10), "two of them");
	set_up(P32);
	put(RAM - 2, CODE("\x8b\x04"));
	m.e.rip = RAM - 2;
	tap_ok(faulted(model_run(&m, NULL, 0), 14, 0x10), "no SIB byte");
	set_up(P32);
	tap_ok(model_run(&m, "\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90",
			 16) == OK && m.e.nbytes == 15, "more than 15 bytes at hand");

	set_up(P32);
	m.e.rip = RAM + 0x1000;
	tap_ok(faulted(model_run(&m, NULL, 0), 14, 0x10), "no code at all");

	set_up(P32);
	m.seg[EMUL_CS].limit = 0x1001;
	put(0x1000, CODE("\x89\xc8"));
	tap_ok(model_run(&m, NULL, 0) == OK, "code up to the limit");

	set_up(P32);
	m.seg[EMUL_CS].limit = 0x1000;
	put(0x1000, CODE("\x89\xc8"));
	tap_ok(faulted(model_run(&m, NULL, 0), 13, 0), "code beyond the limit is #GP");

	set_up(R16);
	m.seg[EMUL_CS].base = 0x200;
	m.e.rip = 0x10;
	put(0x210, CODE("\xb0\x42"));
	tap_ok(model_run(&m, NULL, 0) == OK && m.e.gpr[AX] == 0x42 && m.e.rip == 0x12,
	       "code comes from the base of CS");

	set_up(L64);
	m.e.rip = 0x0000800000000000ull;
	tap_ok(faulted(model_run(&m, NULL, 0), 13, 0), "non-canonical rip is #GP");

	set_up(L64);
	m.e.la_bits = 57;
	m.e.gpr[BX] = 0x0000800000000000ull;
	tap_ok(faulted(model_run(&m, CODE("\x8b\x03")), 14, 0),
	       "with 57 bits that address is canonical");
}

/* Devices */

static bool log_is(unsigned int i, bool write, u64 la, u32 size, u64 val)
{
	const struct model_access *a = &m.log[i];

	if (i < m.nr_log && a->write == write && a->la == la && a->size == size && a->val == val)
		return true;
	tap_note("access %u of %u: write %d la %#llx size %u val %#llx", i, m.nr_log, a->write,
		 (long long)a->la, a->size, (long long)a->val);
	return false;
}

static void test_mmio(void)
{
	int r;

	set_up(L64);
	m.e.gpr[BX] = DEV + 0x20;
	m.e.gpr[AX] = 0x55;
	r = umbra_emul_decode(&m.e, (const u8 *)"\x8b\x03", 2);
	tap_ok(!r && umbra_emul_execute(&m.e) == IO && m.e.gpr[AX] == 0x55 && m.e.rip == 0x1000 &&
	       m.want_la == DEV + 0x20 && m.want_size == 4, "a device read asks userspace first");
	m.replayed = 0;
	m.answer[0] = ANSWER;
	m.nr_answers = 1;
	tap_ok(umbra_emul_execute(&m.e) == OK && m.e.gpr[AX] == 0x44332211 && m.e.rip == 0x1002,
	       "executed again, it has its data");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.e.gpr[AX] = 0x12345678;
	tap_ok(model_run(&m, CODE("\x89\x43\x08")) == OK && m.nr_log == 1 &&
	       log_is(0, true, DEV + 8, 4, 0x12345678), "a device write");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.e.gpr[AX] = 0x10;
	tap_ok(model_run(&m, CODE("\x00\x03")) == OK && m.nr_log == 2 &&
	       log_is(0, false, DEV, 1, 0x11) && log_is(1, true, DEV, 1, 0x21),
	       "read-modify-write of a device");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.e.gpr[AX] = 0x10;
	tap_ok(model_run(&m, CODE("\xf0\x48\x01\x03")) == OK && m.nr_log == 2 &&
	       log_is(1, true, DEV, 8, ANSWER + 0x10), "locked read-modify-write of a device");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.e.gpr[AX] = 0x10;
	tap_ok(model_run(&m, CODE("\x87\x03")) == OK && m.nr_log == 2 &&
	       log_is(1, true, DEV, 4, 0x10) && m.e.gpr[AX] == 0x44332211, "xchg with a device");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.e.gpr[AX] = ~0ull;
	tap_ok(model_run(&m, CODE("\x0f\xb6\x03")) == OK && m.e.gpr[AX] == 0x11,
	       "movzx of a device byte");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	tap_ok(model_run(&m, CODE("\x48\x0f\xbe\x43\x01")) == OK && m.want_size == 1 &&
	       m.e.gpr[AX] == 0x11, "movsx of a device byte");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	memset(m.xmm[1], 0xee, 16);
	tap_ok(model_run(&m, CODE("\x66\x0f\x7f\x0b")) == OK && log_is(0, true, DEV, 16, 0xeeeeeeeeeeeeeeee),
	       "a 16-byte device write");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	tap_ok(model_run(&m, CODE("\x0f\x10\x0b")) == OK && m.want_size == 16 &&
	       !memcmp(m.xmm[1], "\x11\x22\x33\x44\x55\x66\x77\x88", 8), "a 16-byte device read");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.e.gpr[AX] = 0x44332211;
	m.e.gpr[CX] = 9;
	tap_ok(model_run(&m, CODE("\x0f\xb1\x0b")) == OK && log_is(1, true, DEV, 4, 9) &&
	       (m.e.rflags & 0x40), "cmpxchg of a device, equal");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.no_vector = true;
	tap_ok(model_run(&m, CODE("\x0f\x10\x0b")) == UNKNOWN && m.e.rip == 0x1000,
	       "no way to the vector registers");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	tap_ok(model_run(&m, CODE("\xff\x33")) == OK && mem(0x7ff8, 8) == ANSWER &&
	       m.e.gpr[SP] == 0x7ff8, "push from a device");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.e.gpr[SP] = 0x20;
	tap_ok(model_run(&m, CODE("\x8f\x03")) == OK && log_is(0, true, DEV, 8, 0x2726252423222120) &&
	       m.e.gpr[SP] == 0x28, "pop to a device");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	tap_ok(model_run(&m, CODE("\x0f\xba\x6b\x04\x05")) == OK && log_is(1, true, DEV + 4, 4, 0x44332231),
	       "bts of a device");

	set_up(L64);
	m.e.gpr[BX] = DEV + 8;
	m.e.gpr[AX] = -33ll;
	tap_ok(model_run(&m, CODE("\x48\x0f\xa3\x03")) == OK && m.want_la == DEV && m.want_size == 8,
	       "bt reaches before its operand");
}

/* Which accesses may use what the hardware said of the faulting one: the only one there is. */
static void test_operand_flag(void)
{
	static const struct {
		const char *name, *code;
		unsigned int len, operand, other;
	} t[] = {
		{ "mov r, m", "\x8b\x03", 2, 1, 0 },
		{ "mov m, r", "\x89\x03", 2, 1, 0 },
		{ "add m, r", "\x01\x03", 2, 2, 0 },
		{ "mov moffs", "\xa1\x20\0\0\0", 5, 1, 0 },
		{ "push m", "\xff\x33", 2, 0, 2 },
		{ "pop m", "\x8f\x03", 2, 0, 2 },
		{ "call m", "\xff\x13", 2, 0, 2 },
		{ "mov ds, m", "\x8e\x1b", 2, 0, 1 },
		{ "push r", "\x50", 1, 0, 1 },
		{ "movs", "\xa4", 1, 0, 2 },
		{ "lgdt", "\x0f\x01\x13", 3, 0, 1 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(P32);
		put(0x20, "\0\0\0\0\0\0", 6);
		m.e.gpr[BX] = 0x20;
		m.e.gpr[SI] = 0x100;
		m.e.gpr[DI] = 0x200;
		tap_ok(model_run(&m, t[i].code, t[i].len) == OK && m.nr_operand == t[i].operand &&
		       m.nr_other == t[i].other, "accesses of %s", t[i].name);
	}
}

/* REP */

static void test_repeats(void)
{
	static const struct { const char *name; const u8 code[4]; bool repeats; } t[] = {
		{ "rep movs", { 0xf3, 0xa5 }, true }, { "repne scas", { 0xf2, 0x48, 0xaf }, true },
		{ "movs", { 0xa5 }, false }, { "pause", { 0xf3, 0x90 }, false },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(L64);
		tap_ok(umbra_emul_decode(&m.e, t[i].code, sizeof(t[i].code)) == OK &&
		       umbra_emul_repeats(&m.e) == t[i].repeats, "%s: %s", t[i].name,
		       t[i].repeats ? "again and again" : "once");
	}
}

static void test_rep(void)
{
	unsigned int i;
	int r;

	set_up(L64);
	m.e.gpr[SI] = DEV;
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 3;
	r = umbra_emul_decode(&m.e, (const u8 *)"\xf3\xa5", 2);
	r = r ? r : umbra_emul_execute(&m.e);
	tap_ok(r == IO && m.e.gpr[CX] == 3 && m.e.step == 0, "rep movs from a device stops at once");
	m.answer[0] = ANSWER;
	m.nr_answers = 1;
	m.replayed = 0;
	r = umbra_emul_execute(&m.e);
	tap_ok(r == IO && m.e.gpr[CX] == 2 && m.e.gpr[DI] == 0x104 && m.e.rip == 0x1000 &&
	       mem(0x100, 4) == 0x44332211, "and has done one when it stops again");
	r = model_execute(&m);
	tap_ok(r == OK && m.e.gpr[CX] == 0 && m.e.gpr[SI] == DEV + 12 && m.e.rip == 0x1002 &&
	       m.nr_log == 3 && mem(0x108, 4) == 0x44332211, "and ends");

	set_up(L64);
	m.e.gpr[SI] = DEV;
	m.e.gpr[DI] = DEV + 0x100;
	m.e.gpr[CX] = 2;
	tap_ok(model_run(&m, CODE("\xf3\xa6")) == OK && m.nr_log == 4 &&
	       log_is(0, false, DEV, 1, 0x11) && log_is(1, false, DEV + 0x100, 1, 0x11) &&
	       log_is(2, false, DEV + 1, 1, 0x11) && m.e.gpr[CX] == 0,
	       "repe cmps of two devices: source first");

	set_up(L64);
	m.e.gpr[DI] = DEV;
	m.e.gpr[CX] = 1000;
	r = model_run(&m, CODE("\xf3\xaa"));
	tap_ok(r == RESTART && m.e.gpr[CX] == 1000 - UMBRA_EMUL_REP_MAX && m.e.rip == 0x1000,
	       "rep stos is bounded");
	m.nr_log = 0;
	r = model_run(&m, CODE("\xf3\xaa"));
	tap_ok(r == OK && m.e.gpr[CX] == 0 && m.e.gpr[DI] == DEV + 1000, "and goes on where it was");

	set_up(L64);
	m.e.gpr[DI] = DEV;
	m.e.gpr[CX] = 10;
	m.stop_after = 4;
	r = model_run(&m, CODE("\xf3\xaa"));
	tap_ok(r == RESTART && m.e.gpr[CX] == 6 && m.nr_log == 4, "an op can end the loop");

	set_up(L64);
	m.e.gpr[SI] = 0;
	m.e.gpr[DI] = RAM - 8;
	m.e.gpr[CX] = 20;
	r = model_run(&m, CODE("\xf3\xa5"));
	tap_ok(faulted(r, 14, 2) && m.e.exception.cr2 == RAM && m.e.gpr[CX] == 18 &&
	       m.e.gpr[DI] == RAM && m.e.gpr[SI] == 8 && m.e.rip == 0x1000 &&
	       mem(RAM - 4, 4) == 0x07060504, "a fault in the middle keeps what was done");

	set_up(L64);
	m.e.gpr[DI] = 0x100;
	m.e.gpr[AX] = 0x7777;
	m.e.gpr[CX] = 4;
	m.e.rflags |= 1 << 10;
	tap_ok(model_run(&m, CODE("\xf3\x66\xab")) == OK && m.e.gpr[DI] == 0xf8 &&
	       mem(0xfa, 8) == 0x7777777777777777, "downwards");

	set_up(L64);
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 3;
	m.e.rflags |= 1 << 8;
	r = model_run(&m, CODE("\xf3\xaa"));
	tap_ok(r == RESTART && m.e.trap_step && m.e.gpr[CX] == 2, "single-step sees each iteration");

	set_up(L64);
	m.e.gpr[DI] = 0x50000;
	m.e.gpr[CX] = 0;
	tap_ok(model_run(&m, CODE("\xf3\xaa")) == OK && m.e.rip == 0x1002, "a count of zero does nothing");

	set_up(R16);
	m.e.gpr[DI] = 0xabfffe;
	m.e.gpr[CX] = 0x12340004;
	m.e.gpr[AX] = 0x99;
	tap_ok(model_run(&m, CODE("\xf3\xaa")) == OK && m.e.gpr[DI] == 0xab0002 &&
	       m.e.gpr[CX] == 0x12340000 && ram[0xffff] == 0x99 && ram[1] == 0x99 &&
	       ram[2] == 2, "16-bit registers wrap and keep their upper halves");

	set_up(L64);
	m.e.gpr[DI] = 0xff00000100;
	m.e.gpr[CX] = 0xff00000002;
	tap_ok(model_run(&m, CODE("\x67\xf3\xaa")) == OK && m.e.gpr[DI] == 0x102 && m.e.gpr[CX] == 0,
	       "67 in 64-bit mode counts in 32 bits");

	set_up(P32);
	m.seg[EMUL_ES].base = 0x1000;
	m.seg[EMUL_FS].base = 0x20;
	m.e.gpr[DI] = 0x10;
	m.e.gpr[SI] = 0x10;
	tap_ok(model_run(&m, CODE("\x64\xa4")) == OK && ram[0x1010] == 0x30,
	       "an override moves the source alone");

	set_up(P32);
	m.e.gpr[DI] = 0x100;
	m.e.gpr[AX] = 0x05;
	m.e.gpr[CX] = 100;
	tap_ok(model_run(&m, CODE("\xf2\xae")) == OK && m.e.gpr[CX] == 94 && m.e.gpr[DI] == 0x106 &&
	       (m.e.rflags & 0x40), "repne scas finds");

	set_up(P32);
	m.e.gpr[SI] = 0xfffd;
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 10;
	m.seg[EMUL_DS].limit = 0xffff;
	r = model_run(&m, CODE("\xf3\xa4"));
	tap_ok(faulted(r, 13, 0) && m.e.gpr[CX] == 7, "the segment ends in the middle");

	set_up(P32);
	m.e.gpr[SI] = 0x100;
	m.e.gpr[CX] = 600;
	for (i = 0; i < 3; i++) {
		r = model_run(&m, CODE("\xf3\xad"));
		if (r != RESTART)
			break;
	}
	tap_ok(r == OK && i == 1 && m.e.gpr[SI] == 0x100 + 2400, "rep lods in two executions");
}

/* Ports */

static void test_pio(void)
{
	int r;

	set_up(P32);
	m.e.gpr[AX] = 0xaabbccdd;
	m.pio_next = 0x11;
	tap_ok(model_run(&m, CODE("\xe4\x60")) == OK && m.e.gpr[AX] == 0xaabbcc11 && m.port == 0x60 &&
	       m.pio_size == 1, "in al, imm8");

	set_up(P32);
	m.e.gpr[DX] = 0xff03f8;
	m.pio_next = 0x11;
	tap_ok(model_run(&m, CODE("\xed")) == OK && m.e.gpr[AX] == 0x14131211 && m.port == 0x3f8,
	       "in eax, dx");

	set_up(L64);
	m.e.gpr[AX] = ~0ull;
	m.pio_next = 1;
	tap_ok(model_run(&m, CODE("\x48\xed")) == OK && m.e.gpr[AX] == 0x04030201 && m.pio_size == 4,
	       "REX.W does not widen a port");

	set_up(P32);
	m.e.gpr[DX] = 0xcf8;
	m.e.gpr[AX] = 0x80001234;
	tap_ok(model_run(&m, CODE("\x66\xef")) == OK && m.port == 0xcf8 && m.pio_size == 2 &&
	       !memcmp(m.pio_data, "\x34\x12", 2), "out dx, ax");

	set_up(P32);
	tap_ok(model_run(&m, CODE("\xe6\xff")) == OK && m.port == 0xff && m.nr_out == 1, "out imm8, al");

	set_up(P32);
	m.pio_user = true;
	r = umbra_emul_decode(&m.e, (const u8 *)"\xec", 1);
	r = r ? r : umbra_emul_execute(&m.e);
	tap_ok(r == IO && m.e.rip == 0x1000 && !m.nr_in, "in asks userspace");
	m.pio_ready = true;
	tap_ok(umbra_emul_execute(&m.e) == OK && m.nr_in == 1, "and has its data then");

	set_up(L64);
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 8;
	m.pio_next = 0x40;
	tap_ok(model_run(&m, CODE("\xf3\x66\x6d")) == OK && m.nr_in == 1 && m.pio_count == 8 &&
	       mem(0x100, 8) == 0x4746454443424140 && ram[0x110] == 0x10 && m.e.gpr[DI] == 0x110 &&
	       m.e.gpr[CX] == 0, "rep ins in one batch");

	set_up(L64);
	m.pio_user = true;
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 4;
	tap_ok(model_run(&m, CODE("\xf3\x6c")) == OK && m.nr_in == 1 && m.in_items == 4 &&
	       mem(0x100, 4) == 0x03020100, "rep ins through userspace");

	set_up(L64);
	m.e.gpr[DI] = 0x1ffe;
	m.e.gpr[CX] = 4;
	tap_ok(model_run(&m, CODE("\xf3\x6c")) == OK && m.nr_in == 2 && m.in_items == 4,
	       "a batch ends at the page");

	set_up(L64);
	m.e.gpr[DI] = 0x1ffe;
	m.e.gpr[CX] = 1;
	tap_ok(model_run(&m, CODE("\xf3\x6d")) == OK && m.in_items == 1 && m.nr_probe == 2 &&
	       mem(0x1ffe, 4) == 0x03020100, "one item over a page border");

	set_up(L64);
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 3;
	m.e.rflags |= 1 << 10;
	tap_ok(model_run(&m, CODE("\xf3\x6c")) == OK && m.nr_in == 3 && mem(0xfe, 3) == 0x000102,
	       "rep ins downwards, one by one");

	set_up(L64);
	m.e.gpr[DI] = DEV;
	m.e.gpr[CX] = 2;
	tap_ok(model_run(&m, CODE("\xf3\x6c")) == OK && m.nr_in == 2 && m.nr_log == 2,
	       "rep ins to a device, one by one");

	set_up(L64);
	m.e.gpr[DI] = 0x50000;
	m.e.gpr[CX] = 2;
	tap_ok(faulted(model_run(&m, CODE("\xf3\x6c")), 14, 2) && m.nr_in == 0,
	       "a fault comes before the port is read");

	set_up(L64);
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 3000;
	r = model_run(&m, CODE("\xf3\x6c"));
	tap_ok(r == OK && m.in_items == 3000 && m.nr_in >= 3, "batches fit the buffer");

	set_up(L64);
	m.e.gpr[SI] = 0x120;
	m.e.gpr[CX] = 2000;
	m.e.gpr[DX] = 0x1f0;
	r = model_run(&m, CODE("\xf3\x66\x6f"));
	tap_ok(r == RESTART && m.nr_out == 1 && m.pio_count == UMBRA_EMUL_IO_BUF / 2 &&
	       m.e.gpr[CX] == 2000 - UMBRA_EMUL_IO_BUF / 2 && !memcmp(m.pio_data, ram + 0x120, 1024),
	       "rep outs does one batch an execution");

	set_up(L64);
	m.e.gpr[SI] = 0x120;
	m.e.gpr[CX] = 2;
	tap_ok(model_run(&m, CODE("\xf3\x6f")) == OK && m.nr_out == 1 && m.pio_count == 2 &&
	       m.e.gpr[SI] == 0x128 && m.e.rip == 0x1002, "rep outs");

	set_up(L64);
	m.e.gpr[SI] = DEV;
	tap_ok(model_run(&m, CODE("\x6e")) == OK && m.nr_out == 1 && m.pio_data[0] == 0x11,
	       "outs from a device");

	set_up(L64);
	m.e.gpr[DI] = RAM - 2;
	tap_ok(faulted(model_run(&m, CODE("\x6d")), 14, 2) && m.nr_in == 0 && m.e.exception.cr2 == RAM,
	       "the second page of an item faults before the port is read");
	set_up(L64);
	model_map(&m, 0x4f000, ram, 0x100, 0);
	m.e.gpr[DI] = 0x4effe;
	tap_ok(faulted(model_run(&m, CODE("\x6d")), 14, 2) && m.nr_in == 0,
	       "and so does the first");

	set_up(P32);
	m.e.gpr[DI] = 0x100;
	m.e.gpr[CX] = 16;
	m.seg[EMUL_ES].limit = 0x107;
	r = model_run(&m, CODE("\xf3\x6c"));
	tap_ok(faulted(r, 13, 0) && m.in_items == 8 && m.e.gpr[CX] == 8, "the segment ends in a batch");
}

/* The I/O permission bitmap */

static void tss(u16 limit, u16 map, unsigned int type)
{
	m.seg[EMUL_TR].base = 0x2000;
	m.seg[EMUL_TR].limit = limit;
	m.seg[EMUL_TR].attr = EMUL_SEG_P | type;
	memset(ram + 0x2000, 0, 0x1000);
	put(0x2066, &map, 2);
	ram[0x2000 + map + 0x60 / 8] = 0x12;	/* ports 61 and 64 are closed */
}

static void test_io_rights(void)
{
	static const struct {
		const char *name;
		u16 limit, map;
		u8 type, mode, cpl, iopl, port, size;
		bool allowed;
	} t[] = {
		{ "port in the map", 0x1ff, 0x68, 11, P32, 3, 0, 0x60, 1, true },
		{ "port closed by the map", 0x1ff, 0x68, 11, P32, 3, 0, 0x61, 1, false },
		{ "word over a closed port", 0x1ff, 0x68, 11, P32, 3, 0, 0x60, 2, false },
		{ "dword over open ports", 0x1ff, 0x68, 11, P32, 3, 0, 0x65, 2, true },
		{ "dword with its last port closed", 0x1ff, 0x68, 11, P32, 3, 0, 0x62, 4, false },
		{ "CPL 3 with IOPL 3", 0x1ff, 0x68, 11, P32, 3, 3, 0x61, 1, true },
		{ "CPL 1 with IOPL 0", 0x1ff, 0x68, 11, P32, 1, 0, 0x61, 1, false },
		{ "CPL 0", 0, 0, 0, P32, 0, 0, 0x61, 1, true },
		{ "vm86 with IOPL 3 still asks the map", 0x1ff, 0x68, 11, V86, 3, 3, 0x61, 1, false },
		{ "vm86, port in the map", 0x1ff, 0x68, 11, V86, 3, 0, 0x60, 1, true },
		{ "real mode", 0, 0, 0, R16, 0, 0, 0x61, 1, true },
		{ "map beyond the limit", 0x1ff, 0x1f8, 11, P32, 3, 0, 0x60, 1, false },
		{ "map ends just after the port", 0x75, 0x68, 11, P32, 3, 0, 0x60, 1, true },
		{ "map ends with the port's byte", 0x74, 0x68, 11, P32, 3, 0, 0x60, 1, false },
		{ "TSS too short for a map", 0x66, 0x68, 11, P32, 3, 0, 0x60, 1, false },
		{ "16-bit TSS", 0x1ff, 0x68, 3, P32, 3, 0, 0x60, 1, false },
		{ "64-bit mode", 0x1ff, 0x68, 11, L64, 3, 0, 0x60, 1, true },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *code = t[i].size == 1 ? "\xec" : "\xed";
		bool prefix = t[i].size == 2;
		int r;

		set_up(t[i].mode);
		tss(t[i].limit, t[i].map, t[i].type);
		m.e.cpl = t[i].cpl;
		m.e.rflags |= t[i].iopl << 12;
		m.e.gpr[DX] = t[i].port;
		r = prefix ? model_run(&m, "\x66\xed", 2) : model_run(&m, code, 1);
		tap_ok(t[i].allowed ? r == OK && m.nr_in == 1 : faulted(r, 13, 0) && !m.nr_in,
		       "in: %s", t[i].name);
	}
}

/* Atomic operations */

static void test_locked(void)
{
	int r;

	set_up(L64);
	m.e.gpr[BX] = 0x100;
	m.e.gpr[AX] = 1;
	m.cmpxchg_lose = 3;
	r = model_run(&m, CODE("\xf0\x01\x03"));
	tap_ok(r == OK && m.nr_cmpxchg == 4 && mem(0x100, 4) == 0x03020102, "a lost race is run again");

	set_up(L64);
	m.e.gpr[BX] = 0x100;
	m.e.gpr[AX] = 1;
	m.cmpxchg_lose = 100;
	r = model_run(&m, CODE("\xf0\x0f\xc1\x03"));
	tap_ok(r == RESTART && m.nr_cmpxchg < 100 && m.e.gpr[AX] == 1 && m.e.rip == 0x1000 &&
	       m.e.rflags == 2, "but not for ever");

	set_up(L64);
	m.e.gpr[BX] = 0x0000800000000000;
	tap_ok(faulted(model_run(&m, CODE("\xf0\x01\x03")), 13, 0), "locked, non-canonical");

	set_up(L64);
	m.e.gpr[BX] = 0x100;
	m.e.gpr[CX] = 5;
	tap_ok(model_run(&m, CODE("\x87\x0b")) == OK && m.nr_cmpxchg == 1, "xchg locks by itself");

	set_up(L64);
	m.e.gpr[BX] = 0x100;
	tap_ok(model_run(&m, CODE("\x01\x0b")) == OK && m.nr_cmpxchg == 0, "add does not");

	set_up(L64);
	m.e.gpr[BX] = 0x100;
	m.e.gpr[AX] = 0x0706050403020100;
	m.e.gpr[DX] = 0x0f0e0d0c0b0a0908;
	m.e.gpr[CX] = 0x77;
	tap_ok(model_run(&m, CODE("\xf0\x48\x0f\xc7\x0b")) == OK && m.nr_cmpxchg == 1 &&
	       mem(0x100, 8) == 0x100 && mem(0x108, 8) == 0x77 && (m.e.rflags & 0x40),
	       "cmpxchg16b in one step");
}

/* Segment loads in protected mode */

#define GDT	0x3000
#define LDT	0x3800

static void descriptor(u64 la, u32 base, u32 limit, u16 attr)
{
	u64 d = (limit & 0xffff) | ((u64)(base & 0xffffff) << 16) | ((u64)(attr & 0xff) << 40) |
		((u64)(limit & 0xf0000) << 32) | ((u64)(attr & 0xf00) << 44) |
		((u64)(base & 0xff000000) << 32);

	put(la, &d, 8);
}

static void test_segments(void)
{
	static const struct {
		const char *name;
		u16 attr;		/* of descriptor 0x10 */
		u16 sel;
		u8 cpl, mode;
		const char *code;	/* two bytes */
		int vector;		/* -1: loads */
		int error;
	} t[] = {
		{ "data into DS", 0x493, 0x10, 0, P32, "\x8e\xd8", -1, 0 },
		{ "data into ES by CPL 3", 0x4f3, 0x13, 3, P32, "\x8e\xc0", -1, 0 },
		{ "data of DPL 0 by CPL 3", 0x493, 0x13, 3, P32, "\x8e\xd8", 13, 0x10 },
		{ "RPL 3 for DPL 0", 0x493, 0x13, 0, P32, "\x8e\xd8", 13, 0x10 },
		{ "readable code into DS", 0x49b, 0x10, 0, P32, "\x8e\xd8", -1, 0 },
		{ "execute-only code into DS", 0x499, 0x10, 0, P32, "\x8e\xd8", 13, 0x10 },
		{ "conforming code by CPL 3", 0x49f, 0x13, 3, P32, "\x8e\xd8", -1, 0 },
		{ "a system segment into DS", 0x08b, 0x10, 0, P32, "\x8e\xd8", 13, 0x10 },
		{ "not present", 0x413, 0x10, 0, P32, "\x8e\xd8", 11, 0x10 },
		{ "null into DS", 0x493, 0x3, 0, P32, "\x8e\xd8", -1, 0 },
		{ "null into SS", 0x493, 0x0, 0, P32, "\x8e\xd0", 13, 0 },
		{ "null into SS in 64-bit mode", 0x493, 0x0, 0, L64, "\x8e\xd0", -1, 0 },
		{ "null into SS by CPL 3", 0x493, 0x3, 3, L64, "\x8e\xd0", 13, 0 },
		{ "stack into SS", 0x493, 0x10, 0, P32, "\x8e\xd0", -1, 0 },
		{ "read-only data into SS", 0x491, 0x10, 0, P32, "\x8e\xd0", 13, 0x10 },
		{ "code into SS", 0x49b, 0x10, 0, P32, "\x8e\xd0", 13, 0x10 },
		{ "DPL 3 into SS by CPL 0", 0x4f3, 0x10, 0, P32, "\x8e\xd0", 13, 0x10 },
		{ "RPL 3 into SS by CPL 0", 0x493, 0x13, 0, P32, "\x8e\xd0", 13, 0x10 },
		{ "SS not present", 0x413, 0x10, 0, P32, "\x8e\xd0", 12, 0x10 },
		{ "beyond the GDT", 0x493, 0x20, 0, P32, "\x8e\xd8", 13, 0x20 },
		{ "from the LDT", 0x493, 0x0c, 0, P32, "\x8e\xd8", -1, 0 },
		{ "beyond the LDT", 0x493, 0x1c, 0, P32, "\x8e\xd8", 13, 0x1c },
		{ "no LDT", 0x493, 0x24, 0, P32, "\x8e\xd8", 13, 0x24 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		unsigned int nr = (t[i].code[1] >> 3) & 7;
		struct umbra_emul_seg old;
		bool ok;
		int r;

		set_up(t[i].mode);
		m.dt[EMUL_GDTR].base = GDT;
		m.dt[EMUL_GDTR].limit = 0x1f;
		m.seg[EMUL_LDTR].base = LDT;
		m.seg[EMUL_LDTR].limit = 0xf;
		m.seg[EMUL_LDTR].attr = EMUL_SEG_P | 2;
		descriptor(GDT + 0x10, 0x12345678, 0xfffff, t[i].attr | EMUL_SEG_G);
		descriptor(LDT + 8, 0x12345678, 0xfffff, t[i].attr | EMUL_SEG_G);
		if (t[i].sel == 0x24)
			m.seg[EMUL_LDTR].attr = 0;
		m.e.cpl = t[i].cpl;
		m.e.gpr[AX] = t[i].sel;
		old = m.seg[nr];
		r = model_run(&m, t[i].code, 2);
		if (t[i].vector >= 0)
			ok = faulted(r, t[i].vector, t[i].error) && !memcmp(&old, &m.seg[nr], sizeof(old));
		else if (t[i].sel & ~3)
			ok = r == OK && m.seg[nr].sel == t[i].sel && m.seg[nr].base == 0x12345678 &&
			     m.seg[nr].limit == 0xffffffff &&
			     m.seg[nr].attr == (t[i].attr | EMUL_SEG_G);
		else
			ok = r == OK && m.seg[nr].sel == t[i].sel && !(m.seg[nr].attr & EMUL_SEG_P);
		tap_ok(ok, "segment: %s", t[i].name);
	}

	set_up(P32);
	m.dt[EMUL_GDTR].base = GDT;
	m.dt[EMUL_GDTR].limit = 0x1f;
	descriptor(GDT + 0x10, 0, 0xffff, 0x492);
	m.e.gpr[AX] = 0x10;
	m.e.cpl = 0;
	tap_ok(model_run(&m, CODE("\x8e\xd8")) == OK && ram[GDT + 0x15] == 0x93 &&
	       m.seg[EMUL_DS].attr == 0x493, "segment: the accessed bit is set in the table");

	set_up(P32);
	m.dt[EMUL_GDTR].base = 0x40000 - 0x10;
	m.dt[EMUL_GDTR].limit = 0x1f;
	m.e.gpr[AX] = 0x10;
	tap_ok(faulted(model_run(&m, CODE("\x8e\xd8")), 14, 0) && m.e.exception.cr2 == 0x40000,
	       "segment: a table that is not mapped");
	set_up(P32);
	m.e.cpl = 3;
	m.dt[EMUL_GDTR].base = 0x40000 - 0x10;
	m.dt[EMUL_GDTR].limit = 0x1f;
	m.e.gpr[AX] = 0x13;
	tap_ok(faulted(model_run(&m, CODE("\x8e\xd8")), 14, 0),
	       "segment: tables are read with system rights");
	set_up(P32);
	m.seg[EMUL_TR].base = 0x50000;
	m.seg[EMUL_TR].limit = 0x1ff;
	m.seg[EMUL_TR].attr = EMUL_SEG_P | 11;
	m.e.cpl = 3;
	tap_ok(faulted(model_run(&m, CODE("\xec")), 14, 0), "in: a TSS that is not mapped");

	set_up(R16);
	m.e.gpr[AX] = 0x1234;
	m.seg[EMUL_DS].limit = 0xffffffff;
	tap_ok(model_run(&m, CODE("\x8e\xd8")) == OK && m.seg[EMUL_DS].base == 0x12340 &&
	       m.seg[EMUL_DS].limit == 0xffffffff, "segment: real mode keeps the limit");

	set_up(P32);
	m.seg[EMUL_SS].sel = 0x18;
	m.e.gpr[AX] = 0xffffffff;
	tap_ok(model_run(&m, CODE("\x8c\xd0")) == OK && m.e.gpr[AX] == 0x18,
	       "segment: mov r32, sreg clears the upper half");

	set_up(P32);
	m.e.rflags |= 1 << 8;
	m.e.gpr[AX] = 0;
	tap_ok(model_run(&m, CODE("\x90")) == OK && m.e.trap_step, "trap_step with TF");
	set_up(R16);
	m.e.rflags |= 1 << 8;
	tap_ok(model_run(&m, CODE("\x8e\xd0")) == OK && !m.e.trap_step, "no trap_step after mov ss");
}

/* System registers */

static void test_system(void)
{
	int r;

	set_up(P32);
	tap_ok(model_run(&m, CODE("\xf4")) == OK && m.nr_hlt == 1 && m.e.rip == 0x1001, "hlt");

	set_up(P32);
	m.cr[0] = 0x80000001 | 8;
	tap_ok(model_run(&m, CODE("\x0f\x06")) == OK && m.cr[0] == 0x80000001, "clts");

	set_up(R16);
	m.cr[0] = 0x10;
	m.e.gpr[AX] = 0xffff;
	tap_ok(model_run(&m, CODE("\x0f\x01\xf0")) == OK && m.cr[0] == 0x1f, "lmsw sets PE, MP, EM, TS");
	m.e.gpr[AX] = 0;
	m.e.mode = P16;
	tap_ok(model_run(&m, CODE("\x0f\x01\xf0")) == OK && m.cr[0] == 0x11, "lmsw does not clear PE");

	set_up(L64);
	m.cr[8] = 5;
	tap_ok(model_run(&m, CODE("\x44\x0f\x20\xc0")) == OK && m.e.gpr[AX] == 5, "mov rax, cr8");
	m.e.gpr[AX] = 0x123456789abcull;
	tap_ok(model_run(&m, CODE("\x0f\x22\xd8")) == OK && m.cr[3] == 0x123456789abcull, "mov cr3, rax");
	tap_ok(model_run(&m, CODE("\x0f\x22\x18")) == OK, "mov cr3: mod is ignored");

	set_up(P32);
	m.dr[7] = 1 << 13;
	m.dr[6] = 0xffff0ff0;
	r = model_run(&m, CODE("\x0f\x21\xc0"));
	tap_ok(faulted(r, 1, -1) && m.dr[6] == 0xffff2ff0, "DR7.GD: #DB and DR6.BD");
	set_up(L64);
	m.dr[6] = 0xffff0ff0;
	tap_ok(model_run(&m, CODE("\x0f\x21\xf0")) == OK && m.e.gpr[AX] == 0xffff0ff0,
	       "mov rax, dr6");
	set_up(P32);
	m.e.gpr[AX] = 0x400;
	tap_ok(model_run(&m, CODE("\x0f\x23\xe8")) == OK && m.dr[7] == 0x400, "DR5 is DR7");

	set_up(L64);
	m.e.gpr[CX] = 0xc0000080;
	m.e.gpr[AX] = 0xffffffff11223344;
	m.e.gpr[DX] = 0xffffffff00000055;
	tap_ok(model_run(&m, CODE("\x0f\x30")) == OK && m.msr_index == 0xc0000080 &&
	       m.msr_val == 0x5511223344ull, "wrmsr");
	tap_ok(model_run(&m, CODE("\x0f\x32")) == OK && m.e.gpr[AX] == 0x11223344 && m.e.gpr[DX] == 0x55,
	       "rdmsr");

	set_up(P32);
	put(0x100, "\xff\x00\x78\x56\x34\x12", 6);
	m.e.gpr[BX] = 0x100;
	tap_ok(model_run(&m, CODE("\x0f\x01\x13")) == OK && m.dt[EMUL_GDTR].limit == 0xff &&
	       m.dt[EMUL_GDTR].base == 0x12345678, "lgdt");
	tap_ok(model_run(&m, CODE("\x66\x0f\x01\x1b")) == OK && m.dt[EMUL_IDTR].base == 0x345678,
	       "lidt of 16 bits has a base of 24");
	m.e.gpr[BX] = 0x200;
	tap_ok(model_run(&m, CODE("\x0f\x01\x03")) == OK && mem(0x200, 6) == 0x1234567800ffull,
	       "sgdt");
	put(0x300, "\0\0\0\0\0\0\0\0\0\0", 10);
	m.e.gpr[BX] = 0x300;
	tap_ok(model_run(&m, CODE("\x0f\x01\x0b")) == OK && mem(0x300, 6) == 0x34567800ffull,
	       "sidt");
	m.seg[EMUL_LDTR].sel = 0x28;
	m.seg[EMUL_TR].sel = 0x40;
	tap_ok(model_run(&m, CODE("\x0f\x00\xc0")) == OK && m.e.gpr[AX] == 0x28 &&
	       model_run(&m, CODE("\x0f\x00\x0b")) == OK && mem(0x300, 2) == 0x40, "sldt and str");
	m.seg[EMUL_DS].base = 0xfffff000;
	m.e.gpr[BX] = 0x2345;
	tap_ok(model_run(&m, CODE("\x0f\x01\x3b")) == OK && m.invlpg_la == 0x1345,
	       "invlpg in 32-bit mode wraps at 4 GiB");
	set_up(L64);
	m.e.gpr[BX] = 0x100;
	put(0x100, "\xff\x0f\x00\x00\x00\x00\x00\x80\x00\x00", 10);
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\x13")), 13, 0), "lgdt of a non-canonical base");
	put(0x100, "\xff\x0f\x00\x10\x00\x00\x00\x80\xff\xff", 10);
	tap_ok(model_run(&m, CODE("\x0f\x01\x1b")) == OK &&
	       m.dt[EMUL_IDTR].base == 0xffff800000001000ull, "lidt in 64-bit mode");

	set_up(L64);
	m.e.gpr[BX] = 0xffff800000001000ull;
	m.seg[EMUL_GS].base = 0x20;
	tap_ok(model_run(&m, CODE("\x65\x0f\x01\x3b")) == OK && m.invlpg_la == 0xffff800000001020ull,
	       "invlpg");
	m.e.gpr[BX] = 0x0000800000000000ull;
	tap_ok(model_run(&m, CODE("\x0f\x01\x3b")) == OK && m.nr_invlpg == 1,
	       "invlpg of a non-canonical address does nothing");
	tap_ok(model_run(&m, CODE("\x0f\x09")) == OK && model_run(&m, CODE("\x0f\x08")) == OK &&
	       m.nr_wbinvd == 2, "wbinvd and invd");
	tap_ok(faulted(model_run(&m, CODE("\x0f\xae\x3b")), 13, 0), "clflush checks its address");
}

/* Lengths of known instructions */

static void test_lengths(void)
{
	static const struct {
		const char *code;
		u8 n, mode, insn;
		int want;
	} t[] = {
		{ "\x0f\xa2", 2, L64, UMBRA_INSN_CPUID, 2 },
		{ "\x0f\xa2", 2, L64, UMBRA_INSN_RDMSR, 0 },
		{ "\x0f", 1, L64, UMBRA_INSN_CPUID, -1 },
		{ "\x48\x0f\xa2", 3, L64, UMBRA_INSN_CPUID, 3 },
		{ "\x48\x0f\xa2", 3, P32, UMBRA_INSN_CPUID, 0 },
		{ "\x66\xf3\x2e\x0f\xa2", 5, R16, UMBRA_INSN_CPUID, 5 },
		{ "\x66\x66", 2, R16, UMBRA_INSN_CPUID, -1 },
		{ "\x0f\x32", 2, L64, UMBRA_INSN_RDMSR, 2 },
		{ "\x0f\x30", 2, L64, UMBRA_INSN_WRMSR, 2 },
		{ "\xf4", 1, L64, UMBRA_INSN_HLT, 1 },
		{ "\x90", 1, L64, UMBRA_INSN_HLT, 0 },
		{ "\xf3\x90", 2, L64, UMBRA_INSN_PAUSE, 2 },
		{ "\x0f\x01\xd9", 3, L64, UMBRA_INSN_VMMCALL, 3 },
		{ "\x0f\x01\xc1", 3, L64, UMBRA_INSN_VMMCALL, 0 },
		{ "\x0f\x01\xc1", 3, L64, UMBRA_INSN_VMCALL, 3 },
		{ "\x0f\x01", 2, L64, UMBRA_INSN_VMMCALL, -1 },
		{ "\x0f\x01\xf9", 3, L64, UMBRA_INSN_RDTSCP, 3 },
		{ "\xcc", 1, P32, UMBRA_INSN_INT3, 1 },
		{ "\xcd\x80", 2, P32, UMBRA_INSN_INT, 2 },
		{ "\xcd", 1, P32, UMBRA_INSN_INT, -1 },
		{ "\xe4\x60", 2, P32, UMBRA_INSN_IN, 2 },
		{ "\xed", 1, P32, UMBRA_INSN_IN, 1 },
		{ "\x66\xed", 2, P32, UMBRA_INSN_IN, 2 },
		{ "\xee", 1, P32, UMBRA_INSN_OUT, 1 },
		{ "\xee", 1, P32, UMBRA_INSN_IN, 0 },
		{ "\xe7\x80", 2, P32, UMBRA_INSN_OUT, 2 },
		{ "\x0f\x20\xc0", 3, L64, UMBRA_INSN_MOV_FROM_CR, 3 },
		{ "\x44\x0f\x20\xc0", 4, L64, UMBRA_INSN_MOV_FROM_CR, 4 },
		{ "\x0f\x22\xd8", 3, L64, UMBRA_INSN_MOV_TO_CR, 3 },
		{ "\x0f\x22", 2, L64, UMBRA_INSN_MOV_TO_CR, -1 },
		{ "\x0f\x23\xf8", 3, L64, UMBRA_INSN_MOV_TO_DR, 3 },
		{ "\x0f\x01\x38", 3, L64, UMBRA_INSN_SMSW_LMSW_INVLPG, 3 },
		{ "\x0f\x01\x3d\0\0\0\0", 7, L64, UMBRA_INSN_SMSW_LMSW_INVLPG, 7 },
		{ "\x0f\x01\x7c\x24\x08", 5, L64, UMBRA_INSN_SMSW_LMSW_INVLPG, 5 },
		{ "\x0f\x01\xbc\x24\0\0\0\0", 8, L64, UMBRA_INSN_SMSW_LMSW_INVLPG, 8 },
		{ "\x0f\x01\x3c\x25\0\0\0\0", 8, L64, UMBRA_INSN_SMSW_LMSW_INVLPG, 8 },
		{ "\x0f\x01\x3e\0\0", 5, R16, UMBRA_INSN_SMSW_LMSW_INVLPG, 5 },
		{ "\x0f\x01\x7f\x01", 4, R16, UMBRA_INSN_SMSW_LMSW_INVLPG, 4 },
		{ "\x0f\x01\x7f\x01", 4, P32, UMBRA_INSN_SMSW_LMSW_INVLPG, 4 },
		{ "\x0f\x01\xbf\0\0\0\0", 7, P32, UMBRA_INSN_SMSW_LMSW_INVLPG, 7 },
		{ "\x0f\x01", 2, L64, UMBRA_INSN_SMSW_LMSW_INVLPG, -1 },
		{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\xcd", 15, R16,
		  UMBRA_INSN_INT, 0 },
		{ "\x67\x0f\x01\x7f\x01", 5, P32, UMBRA_INSN_SMSW_LMSW_INVLPG, 5 },
		{ "\x0f\x01\xf0", 3, R16, UMBRA_INSN_SMSW_LMSW_INVLPG, 3 },
		{ "\x0f\x01\x3c", 3, L64, UMBRA_INSN_SMSW_LMSW_INVLPG, -1 },
		{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2", 15, R16,
		  UMBRA_INSN_CPUID, 15 },
		{ "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f", 15, R16,
		  UMBRA_INSN_CPUID, 0 },
	};
	unsigned int i, bad = 0;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int got = umbra_emul_length((const u8 *)t[i].code, t[i].n, t[i].mode, t[i].insn);

		tap_ok(got == t[i].want, "length %u: insn %u, %d", i, t[i].insn, t[i].want);
	}

	/* Whatever decode also knows, it must call as long. */
	set_up(L64);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		m.e.mode = t[i].mode;
		if (t[i].want > 0 && umbra_emul_decode(&m.e, (const u8 *)t[i].code, t[i].n) == OK &&
		    m.e.len != t[i].want) {
			tap_note("line %u: decode says %u", i, m.e.len);
			bad++;
		}
	}
	tap_ok(!bad, "decode and length agree");
}

int main(void)
{
	tap_begin();
	test_fetch();
	test_mmio();
	test_operand_flag();
	test_repeats();
	test_rep();
	test_pio();
	test_io_rights();
	test_locked();
	test_segments();
	test_system();
	test_lengths();
	return tap_end();
}
