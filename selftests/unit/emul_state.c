// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator and what a CPU may have or not: features that CPUID hides, x87, MMX and SSE state, VEX,
 * extended control registers, and the system instructions that ask for rights.
 */
#include "model.h"
#include "tap.h"

#define RAM	0x10000
#define DEV	0x30000
#define CODE(s)	s, sizeof(s) - 1
#define BIT(n)	(1ull << (n))

enum { OK = UMBRA_EMUL_OK, FAULT = UMBRA_EMUL_FAULT, UNKNOWN = UMBRA_EMUL_UNHANDLEABLE };
enum { R16 = UMBRA_EMUL_REAL, V86 = UMBRA_EMUL_VM86, P16 = UMBRA_EMUL_PROT16,
       P32 = UMBRA_EMUL_PROT32, L64 = UMBRA_EMUL_LONG64 };
enum { AX, CX, DX, BX, SP, BP, SI, DI };
enum { BR = 5, UD = 6, NM = 7, GP = 13, PF = 14, MF = 16 };

#define EM	BIT(2)
#define TS	BIT(3)
#define NE	BIT(5)
#define OSXSAVE	BIT(18)
#define PKE	BIT(22)
/* Offsets in an FXSAVE image. */
#define FX_SW	2
#define FX_TAGS	4
#define FX_MXCSR 24
#define FX_ST	32
#define FX_XMM	160

static struct model m;
static u8 ram[RAM], dev[4096];

static void set_up(unsigned int mode)
{
	unsigned int i;

	for (i = 0; i < RAM; i++)
		ram[i] = i;
	model_init(&m, mode);
	model_map(&m, 0, ram, RAM, 0);
	model_map(&m, DEV, dev, sizeof(dev), MODEL_MMIO);
	m.e.gpr[BX] = 0x100;
	m.cr[0] |= NE;
	m.cr[4] |= OSXSAVE | PKE;
	for (i = 0; i < 512; i++)
		if (i >= FX_ST)
			m.fpu[i] = 0x80 ^ i;
}

static u64 mem(u64 la, unsigned int size)
{
	u64 v = 0;

	memcpy(&v, ram + la, size);
	return v;
}

static void put(u64 la, u64 val, unsigned int size)
{
	memcpy(ram + la, &val, size);
}

static bool faulted(int r, unsigned int vector, int error)
{
	if (r == FAULT && m.e.exception.vector == vector &&
	    m.e.exception.has_error_code == (error >= 0) &&
	    (error < 0 || m.e.exception.error_code == (u32)error) && m.e.rip == 0x1000)
		return true;
	tap_note("result %d vector %u error %#x", r, m.e.exception.vector,
		 m.e.exception.error_code);
	return false;
}

/* An instruction is #UD where its feature is missing, and something else where it is there. */
static void test_features(void)
{
	static const struct {
		const char *name, *code;
		u8 len, mode, feature;
		int with;
	} t[] = {
		{ "movbe", CODE("\x0f\x38\xf0\x03"), P32, UMBRA_CPU_MOVBE, OK },
		{ "crc32", CODE("\xf2\x0f\x38\xf1\x03"), P32, UMBRA_CPU_SSE42, OK },
		{ "popcnt", CODE("\xf3\x0f\xb8\x03"), P32, UMBRA_CPU_POPCNT, OK },
		{ "adcx", CODE("\x66\x0f\x38\xf6\x03"), P32, UMBRA_CPU_ADX, OK },
		{ "andn", CODE("\xc4\xe2\x70\xf2\x03"), P32, UMBRA_CPU_BMI1, OK },
		{ "mulx", CODE("\xc4\xe2\x73\xf6\x03"), P32, UMBRA_CPU_BMI2, OK },
		{ "vmovups", CODE("\xc5\xf8\x10\x03"), P32, UMBRA_CPU_AVX, OK },
		{ "vaddps", CODE("\xc5\xf0\x58\x03"), L64, UMBRA_CPU_AVX, UNKNOWN },
		{ "an EVEX prefix", CODE("\x62\xf1\x7c\x48\x10\x03"), L64, UMBRA_CPU_AVX512F, UNKNOWN },
		{ "movq mm", CODE("\x0f\x6f\x03"), P32, UMBRA_CPU_MMX, OK },
		{ "movntdqa", CODE("\x66\x0f\x38\x2a\x03"), P32, UMBRA_CPU_SSE41, OK },
		{ "lddqu", CODE("\xf2\x0f\xf0\x03"), P32, UMBRA_CPU_SSE3, OK },
		{ "movnti", CODE("\x0f\xc3\x03"), P32, UMBRA_CPU_SSE2, OK },
		{ "movdiri", CODE("\x0f\x38\xf9\x03"), P32, UMBRA_CPU_MOVDIRI, OK },
		{ "cmpxchg8b", CODE("\x0f\xc7\x0b"), P32, UMBRA_CPU_CX8, OK },
		{ "cmpxchg16b", CODE("\x48\x0f\xc7\x0b"), L64, UMBRA_CPU_CX16, OK },
		{ "clflush", CODE("\x0f\xae\x3b"), P32, UMBRA_CPU_CLFLUSH, OK },
		{ "clflushopt", CODE("\x66\x0f\xae\x3b"), P32, UMBRA_CPU_CLFLUSHOPT, OK },
		{ "clwb", CODE("\x66\x0f\xae\x33"), P32, UMBRA_CPU_CLWB, OK },
		{ "fxsave", CODE("\x0f\xae\x03"), P32, UMBRA_CPU_FXSR, OK },
		{ "rdtscp", CODE("\x0f\x01\xf9"), P32, UMBRA_CPU_RDTSCP, OK },
		{ "rdpid", CODE("\xf3\x0f\xc7\xf8"), P32, UMBRA_CPU_RDPID, OK },
		{ "invpcid", CODE("\x66\x0f\x38\x82\x03"), P32, UMBRA_CPU_INVPCID, FAULT },
		{ "mov cr8 by lock", CODE("\xf0\x0f\x20\xc0"), P32, UMBRA_CPU_CR8_LEGACY, OK },
		{ "xgetbv", CODE("\x0f\x01\xd0"), P32, UMBRA_CPU_XSAVE, OK },
		{ "xsave", CODE("\x0f\xae\x23"), P32, UMBRA_CPU_XSAVE, UNKNOWN },
		{ "xrstor", CODE("\x0f\xae\x2b"), P32, UMBRA_CPU_XSAVE, UNKNOWN },
		{ "xsaveopt", CODE("\x0f\xae\x33"), P32, UMBRA_CPU_XSAVEOPT, UNKNOWN },
		{ "xsavec", CODE("\x0f\xc7\x23"), P32, UMBRA_CPU_XSAVEC, UNKNOWN },
		{ "xsaves", CODE("\x0f\xc7\x2b"), P32, UMBRA_CPU_XSAVES, UNKNOWN },
		{ "xrstors", CODE("\x0f\xc7\x1b"), P32, UMBRA_CPU_XSAVES, UNKNOWN },
		{ "vmaskmovps", CODE("\xc4\xe2\x71\x2c\x03"), P32, UMBRA_CPU_AVX, OK },
		{ "vmovntdqa of 16 bytes", CODE("\xc4\xe2\x79\x2a\x03"), P32, UMBRA_CPU_AVX, OK },
		{ "vmovntdqa of 32 bytes", CODE("\xc4\xe2\x7d\x2a\x03"), P32, UMBRA_CPU_AVX2, OK },
		{ "vpmaskmovd", CODE("\xc4\xe2\x71\x8c\x03"), P32, UMBRA_CPU_AVX2, OK },
		{ "maskmovq", CODE("\x0f\xf7\xc1"), P32, UMBRA_CPU_SSE2, OK },
		{ "movdir64b", CODE("\x66\x0f\x38\xf8\x03"), P32, UMBRA_CPU_MOVDIR64B, OK },
		{ "clzero", CODE("\x0f\x01\xfc"), P32, UMBRA_CPU_CLZERO, OK },
		{ "stac", CODE("\x0f\x01\xcb"), P32, UMBRA_CPU_SMAP, OK },
		{ "serialize", CODE("\x0f\x01\xe8"), P32, UMBRA_CPU_SERIALIZE, OK },
		{ "rdpkru", CODE("\x0f\x01\xee"), P32, UMBRA_CPU_PKU, OK },
		{ "wrpkru", CODE("\x0f\x01\xef"), P32, UMBRA_CPU_PKU, OK },
		{ "rdrand", CODE("\x0f\xc7\xf0"), P32, UMBRA_CPU_RDRAND, UNKNOWN },
		{ "rdseed", CODE("\x0f\xc7\xf8"), P32, UMBRA_CPU_RDSEED, UNKNOWN },
		{ "3DNow", CODE("\x0f\x0f\x03\x9e"), P32, UMBRA_CPU_3DNOW, UNKNOWN },
		{ "XOP", CODE("\x8f\xe9\x78\x01\xcb"), P32, UMBRA_CPU_XOP, UNKNOWN },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bool ok;
		int r;

		set_up(t[i].mode);
		r = model_run(&m, t[i].code, t[i].len);
		ok = r == t[i].with && (r != FAULT || m.e.exception.vector != UD);
		if (!ok)
			tap_note("with it: result %d vector %u", r, m.e.exception.vector);
		set_up(t[i].mode);
		m.lacks |= BIT(t[i].feature);
		tap_ok(ok & faulted(model_run(&m, t[i].code, t[i].len), UD, -1),
		       "feature: %s", t[i].name);
	}

	set_up(P32);
	m.cr[8] = 5;
	tap_ok(model_run(&m, CODE("\xf0\x0f\x20\xc0")) == OK && m.e.gpr[AX] == 5 &&
	       (m.e.gpr[AX] = 7, model_run(&m, CODE("\xf0\x0f\x22\xc0")) == OK) && m.cr[8] == 7,
	       "feature: cr8 by lock mov cr0");

	/* These two are other instructions without it. */
	set_up(P32);
	m.lacks |= BIT(UMBRA_CPU_BMI1) | BIT(UMBRA_CPU_LZCNT);
	m.e.gpr[CX] = 0x80;
	tap_ok(model_run(&m, CODE("\xf3\x0f\xbc\xc1")) == OK && m.e.gpr[AX] == 7 &&
	       model_run(&m, CODE("\xf3\x0f\xbd\xc1")) == OK && m.e.gpr[AX] == 7,
	       "feature: tzcnt and lzcnt are bsf and bsr without theirs");
}

/* What no CPU has, in the modes in which it has none. */
static void test_undefined(void)
{
	static const struct {
		const char *name, *code;
		u8 len, mode;
	} t[] = {
		{ "ud0", CODE("\x0f\xff\xc0"), P32 }, { "ud1", CODE("\x0f\xb9\xc0"), P32 },
		{ "ud2", CODE("\x0f\x0b"), P32 }, { "0f 04", CODE("\x0f\x04"), P32 },
		{ "0f 24", CODE("\x0f\x24\xc0"), P32 }, { "0f a6", CODE("\x0f\xa6\xc0"), P32 },
		{ "rsm", CODE("\x0f\xaa"), P32 }, { "vmlaunch", CODE("\x0f\x01\xc2"), P32 },
		{ "vmrun", CODE("\x0f\x01\xd8"), P32 }, { "invept", CODE("\x66\x0f\x38\x80\x03"), L64 },
		{ "vmptrld", CODE("\x0f\xc7\x33"), P32 }, { "group 11 /3", CODE("\xc7\xd8\0\0\0\0"), P32 },
		{ "clflush with F3", CODE("\xf3\x0f\xae\x3b"), P32 },
		{ "xgetbv with 66", CODE("\x66\x0f\x01\xd0"), P32 },
		{ "far call in 64-bit code", CODE("\x9a\0\0\0\0\0\0"), L64 },
		{ "into in 64-bit code", CODE("\xce"), L64 },
		{ "vex after 66", CODE("\x66\xc5\xf8\x10\x03"), L64 },
		{ "vex after REX", CODE("\x48\xc5\xf8\x10\x03"), L64 },
		{ "vex after lock", CODE("\xf0\xc5\xf8\x10\x03"), L64 },
		{ "vex after F3", CODE("\xf3\xc5\xf8\x10\x03"), L64 },
		{ "vex with map 0", CODE("\xc4\xe0\x78\x10\x03"), L64 },
		{ "vex.vvvv without an operand", CODE("\xc5\xf0\x10\x03"), L64 },
		{ "andn with vex.L", CODE("\xc4\xe2\x74\xf2\x03"), L64 },
		{ "vmovd with vex.L", CODE("\xc5\xfd\x6e\x03"), L64 },
		{ "vex in real mode", CODE("\xc5\xf8\x10\x03"), R16 },
		{ "vex in vm86 mode", CODE("\xc5\xf8\x10\x03"), V86 },
		{ "movntps of a register", CODE("\x0f\x2b\xc1"), P32 },
		{ "ldmxcsr of a register", CODE("\x0f\xae\xd1"), P32 },
		{ "movq2dq from memory", CODE("\xf3\x0f\xd6\x03"), P32 },
		{ "maskmovdqu to memory", CODE("\x66\x0f\xf7\x03"), P32 },
		{ "vmaskmovdqu with vex.L", CODE("\xc5\xfd\xf7\xc1"), L64 },
		{ "vmaskmovps with vex.W", CODE("\xc4\xe2\xf1\x2c\x03"), L64 },
		{ "vmaskmovps of a register", CODE("\xc4\xe2\x71\x2c\xc3"), L64 },
		{ "movdir64b of a register", CODE("\x66\x0f\x38\xf8\xc3"), L64 },
		{ "enqcmd", CODE("\xf2\x0f\x38\xf8\x03"), L64 },
		{ "rdpkru with F3", CODE("\xf3\x0f\x01\xee"), L64 },
		{ "lock on a move", CODE("\xf0\x89\x03"), P32 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(t[i].mode);
		tap_ok(faulted(model_run(&m, t[i].code, t[i].len), UD, -1), "undefined: %s", t[i].name);
	}

	/* The same bytes where they are something else. */
	set_up(P32);
	m.e.gpr[AX] = 0x123;
	put(0x100, 0x100, 4);
	put(0x104, 0x200, 4);
	tap_ok(model_run(&m, CODE("\x62\x03")) == OK, "bound in 32-bit code");
	m.e.gpr[AX] = 0x201;
	m.e.rip = 0x1000;
	tap_ok(faulted(model_run(&m, CODE("\x62\x03")), BR, -1), "bound, beyond");
	set_up(R16);
	put(0x100, 0x12345678, 4);
	tap_ok(model_run(&m, CODE("\xc5\x07")) == OK && m.seg[EMUL_DS].base == 0x12340 &&
	       m.e.gpr[AX] == 0x5678, "lds in real mode");
}

static void test_rights(void)
{
	static const struct {
		const char *name, *code;
		u8 len;
		u64 cr0, cr4_clear;
		u8 vector;
	} t[] = {
		{ "movups, EM", CODE("\x0f\x10\x03"), EM, 0, UD },
		{ "movups, TS", CODE("\x0f\x10\x03"), TS, 0, NM },
		{ "movups, no OSFXSR", CODE("\x0f\x10\x03"), 0, BIT(9), UD },
		{ "vmovups, TS", CODE("\xc5\xf8\x10\x03"), TS, 0, NM },
		{ "vmovups, no OSXSAVE", CODE("\xc5\xf8\x10\x03"), 0, OSXSAVE, UD },
		{ "movq mm, EM", CODE("\x0f\x6f\x03"), EM, 0, UD },
		{ "movq mm, TS", CODE("\x0f\x6f\x03"), TS, 0, NM },
		{ "emms, EM", CODE("\x0f\x77"), EM, 0, UD },
		{ "fnstcw, EM", CODE("\xd9\x3b"), EM, 0, NM },
		{ "fnstcw, TS", CODE("\xd9\x3b"), TS, 0, NM },
		{ "fnstsw ax, TS", CODE("\xdf\xe0"), TS, 0, NM },
		{ "fldcw, TS", CODE("\xd9\x2b"), TS, 0, NM },
		{ "fninit, EM", CODE("\xdb\xe3"), EM, 0, NM },
		{ "fnclex, EM", CODE("\xdb\xe2"), EM, 0, NM },
		{ "fxsave, TS", CODE("\x0f\xae\x03"), TS, 0, NM },
		{ "fxrstor, EM", CODE("\x0f\xae\x0b"), EM, 0, NM },
		{ "ldmxcsr, TS", CODE("\x0f\xae\x13"), TS, 0, NM },
		{ "fwait, TS and MP", CODE("\x9b"), TS | BIT(1), 0, NM },
		{ "xgetbv, no OSXSAVE", CODE("\x0f\x01\xd0"), 0, OSXSAVE, UD },
		{ "xsetbv, no OSXSAVE", CODE("\x0f\x01\xd1"), 0, OSXSAVE, UD },
		{ "xsave, no OSXSAVE", CODE("\x0f\xae\x23"), 0, OSXSAVE, UD },
		{ "rdpkru, no PKE", CODE("\x0f\x01\xee"), 0, PKE, UD },
		{ "wrpkru, no PKE", CODE("\x0f\x01\xef"), 0, PKE, UD },
		{ "maskmovq, TS", CODE("\x0f\xf7\xc1"), TS, 0, NM },
		{ "maskmovdqu, EM", CODE("\x66\x0f\xf7\xc1"), EM, 0, UD },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(L64);
		m.cr[0] |= t[i].cr0;
		m.cr[4] &= ~t[i].cr4_clear;
		tap_ok(faulted(model_run(&m, t[i].code, t[i].len), t[i].vector, -1), "rights: %s",
		       t[i].name);
	}
	set_up(L64);
	m.xcr0 = 3;
	tap_ok(faulted(model_run(&m, CODE("\xc5\xf8\x10\x03")), UD, -1), "rights: vmovups, XCR0 without YMM");
	set_up(L64);
	m.cr[0] |= TS | EM;
	m.cr[4] &= ~OSXSAVE;
	tap_ok(model_run(&m, CODE("\xc4\xe2\x70\xf2\x03")) == OK, "rights: andn needs none of that");
	set_up(L64);
	m.cr[0] |= TS;
	tap_ok(model_run(&m, CODE("\x9b")) == OK, "rights: fwait with TS alone");
	set_up(L64);
	m.e.gpr[BX] = 0x101;
	tap_ok(faulted(model_run(&m, CODE("\xc5\xfc\x28\x03")), GP, 0) &&
	       (m.e.gpr[BX] = 0x110, faulted(model_run(&m, CODE("\xc5\xfc\x28\x03")), GP, 0)),
	       "rights: vmovaps of 32 bytes wants 32");
	m.e.gpr[BX] = 0x120;
	tap_ok(model_run(&m, CODE("\xc5\xfc\x28\x03")) == OK && m.xmm[0][31] == 0x3f,
	       "and has it then");
}

static void test_alignment(void)
{
	set_up(L64);
	m.e.gpr[BX] = 0x108;
	tap_ok(faulted(model_run(&m, CODE("\xf3\x0f\x12\x03")), GP, 0) &&
	       faulted(model_run(&m, CODE("\xf3\x0f\x16\x03")), GP, 0) &&
	       model_run(&m, CODE("\xc5\xfa\x12\x03")) == OK, "movsldup, movshdup: aligned, but not behind VEX");
	set_up(L64);
	tap_ok(faulted(model_run(&m, CODE("\xc5\xf9\xae\x1b")), UD, -1) &&
	       faulted(model_run(&m, CODE("\xc5\xfa\xae\x13")), UD, -1),
	       "vldmxcsr and vstmxcsr have no other prefix");
}

/* ENTER: 8 bytes for the frame, then 0x7000 more, which end where nothing is. */
static void test_enter(void)
{
	set_up(L64);
	m.e.gpr[EMUL_RSP] = 0x800;
	tap_ok(faulted(model_run(&m, CODE("\xc8\0\x70\0")), PF, 2) && m.e.gpr[EMUL_RSP] == 0x800 &&
	       m.e.exception.cr2 == 0x7f8 - 0x7000ull, "enter: Intel's CPU looks at the new top");
	m.lacks &= ~(1ull << UMBRA_CPU_AMD);
	tap_ok(model_run(&m, CODE("\xc8\0\x70\0")) == OK && m.e.gpr[EMUL_RSP] == 0x7f8 - 0x7000ull,
	       "and AMD's does not");
}

static void test_pkru(void)
{
	set_up(L64);
	m.pkru = 0x12345678;
	m.e.gpr[AX] = m.e.gpr[DX] = ~0ull;
	tap_ok(model_run(&m, CODE("\x0f\x01\xee")) == OK && m.e.gpr[AX] == 0x12345678 && !m.e.gpr[DX],
	       "rdpkru");
	m.e.gpr[AX] = 0xff000000aaull;
	m.e.gpr[CX] = m.e.gpr[DX] = BIT(32);
	tap_ok(model_run(&m, CODE("\x0f\x01\xef")) == OK && m.pkru == 0xaa, "wrpkru");
	m.e.rip = 0x1000;
	m.e.gpr[DX] = 1;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xef")), GP, 0), "wrpkru wants EDX 0");
	m.e.gpr[DX] = 0;
	m.e.gpr[CX] = 1;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xef")), GP, 0) &&
	       faulted(model_run(&m, CODE("\x0f\x01\xee")), GP, 0), "and both ECX 0");
}

static void set_vector(unsigned int reg, const char *bytes)
{
	memcpy(m.xmm[reg], bytes, 16);
}

/* Bytes 0, 1 and 4 of eight, or 0, 2, 4 and so on of sixteen. */
static void test_maskmov(void)
{
	set_up(L64);
	m.e.gpr[DI] = 0x200;
	set_vector(0, "ABCDEFGHIJKLMNOP");
	set_vector(1, "\x80\xff\x7f\0\x80\0\0\0\0\0\0\0\0\0\0\x80");
	tap_ok(model_run(&m, CODE("\x66\x0f\xf7\xc1")) == OK && mem(0x200, 8) == 0x0706054503024241ull &&
	       mem(0x208, 8) == 0x500e0d0c0b0a0908ull, "maskmovdqu");
	memcpy(m.fpu + FX_ST, "abcdefgh", 8);
	memcpy(m.fpu + FX_ST + 16, "\0\0\x80\0\0\0\0\x80", 8);
	m.e.gpr[BX] = 0;
	tap_ok(model_run(&m, CODE("\x0f\xf7\xc1")) == OK && mem(0x200, 8) == 0x6806054503634241ull &&
	       m.fpu[FX_TAGS] == 0xff, "maskmovq");
	set_up(L64);
	m.e.gpr[DI] = DEV;
	set_vector(1, "\x80\0\x80\0\x80\0\x80\0\x80\0\x80\0\x80\0\x80\x80");
	tap_ok(model_run(&m, CODE("\x66\x0f\xf7\xc1")) == OK && m.nr_log == 8 && m.log[7].la == DEV + 14 &&
	       m.log[7].size == 2, "maskmovdqu to a device: an access for each run of bytes");
	set_up(L64);
	m.e.gpr[DI] = RAM - 8;
	set_vector(1, "\x80\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0");
	tap_ok(faulted(model_run(&m, CODE("\x66\x0f\xf7\xc1")), PF, 2) && m.e.exception.cr2 == RAM + 1 &&
	       mem(RAM - 8, 1) == 0xf8, "maskmovdqu: a byte that is not there leaves all as it was");
	m.xmm[1][9] = 0;
	tap_ok(model_run(&m, CODE("\x66\x0f\xf7\xc1")) == OK && mem(RAM - 8, 2) == 0xf900,
	       "and it is not looked at without its mask");
	set_up(P32);
	m.seg[EMUL_ES].base = 0x1000;
	m.e.gpr[DI] = 0x200;
	set_vector(0, "ABCDEFGHIJKLMNOP");
	set_vector(1, "\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
	tap_ok(model_run(&m, CODE("\x26\x66\x0f\xf7\xc1")) == OK && mem(0x1200, 1) == 'A',
	       "maskmovdqu by another segment");
}

/* The mask is in register 1. */
static void test_vmaskmov(void)
{
	set_up(L64);
	memset(m.xmm[0], 0xee, 32);
	set_vector(1, "\0\0\0\x80\0\0\0\x7f\0\0\0\xff\0\0\0\0");
	tap_ok(model_run(&m, CODE("\xc4\xe2\x71\x2c\x03")) == OK && !memcmp(m.xmm[0],
	       "\0\1\2\3\0\0\0\0\x8\x9\xa\xb\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32),
	       "vmaskmovps loads");
	m.e.gpr[BX] = RAM - 4;
	m.xmm[1][11] = 0;
	tap_ok(model_run(&m, CODE("\xc4\xe2\x71\x2c\x03")) == OK && m.xmm[0][3] == 0xff,
	       "what has no mask need not be there");
	m.xmm[1][7] = 0x80;
	m.e.rip = 0x1000;
	tap_ok(faulted(model_run(&m, CODE("\xc4\xe2\x71\x2c\x03")), PF, 0) && m.e.exception.cr2 == RAM,
	       "what has one must be");
	set_up(L64);
	memset(m.xmm[1] + 16, 0x80, 8);
	memset(m.xmm[0] + 16, 0x77, 8);
	tap_ok(model_run(&m, CODE("\xc4\xe2\x75\x2f\x03")) == OK && mem(0x110, 8) == 0x7777777777777777ull &&
	       mem(0x118, 1) == 0x18 && mem(0x100, 8) == 0x0706050403020100ull, "vmaskmovpd stores 32 bytes' worth");
	m.xmm[1][7] = 0x80;
	memset(m.xmm[0], 0x55, 8);
	tap_ok(model_run(&m, CODE("\xc4\xe2\xf1\x8e\x03")) == OK && mem(0x100, 8) == 0x5555555555555555ull &&
	       model_run(&m, CODE("\xc4\xe2\x71\x8e\x03")) == OK && mem(0x108, 1) == 8,
	       "vpmaskmovq and vpmaskmovd store");
	tap_ok(model_run(&m, CODE("\xc4\xe2\xf1\x8c\x03")) == OK && m.xmm[0][7] == 0x55 && !m.xmm[0][8],
	       "vpmaskmovq loads");
	set_up(P32);
	set_vector(1, "\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0");
	tap_ok(model_run(&m, CODE("\xc4\xe2\xf1\x8c\x03")) == OK && m.xmm[0][3] == 3, "in 32-bit code too");
}

static void test_movdir64b(void)
{
	set_up(L64);
	m.e.gpr[AX] = 0x440;
	tap_ok(model_run(&m, CODE("\x66\x0f\x38\xf8\x03")) == OK && !memcmp(ram + 0x440, ram + 0x100, 64),
	       "movdir64b");
	m.e.rip = 0x1000;
	m.e.gpr[AX] = 0x448;
	tap_ok(faulted(model_run(&m, CODE("\x66\x0f\x38\xf8\x03")), GP, 0), "its destination is aligned");
	m.e.gpr[AX] = RAM;
	tap_ok(faulted(model_run(&m, CODE("\x66\x0f\x38\xf8\x03")), PF, 2), "and there");
	set_up(L64);
	m.e.gpr[AX] = BIT(32) | DEV;
	tap_ok(model_run(&m, CODE("\x67\x66\x0f\x38\xf8\x03")) == OK && m.nr_log == 1 &&
	       m.log[0].size == 64 && m.log[0].la == DEV, "to a device it is one access");
}

static void put16(unsigned int off, u16 val)
{
	memcpy(m.fpu + off, &val, 2);
}

static u16 get16(unsigned int off)
{
	u16 val;

	memcpy(&val, m.fpu + off, 2);
	return val;
}

static void test_x87(void)
{
	set_up(L64);
	put16(0, 0x127f);
	put16(FX_SW, 0x3802);
	tap_ok(model_run(&m, CODE("\xd9\x3b")) == OK && mem(0x100, 4) == 0x0302127f &&
	       model_run(&m, CODE("\xdd\x3b")) == OK && mem(0x100, 2) == 0x3802 &&
	       model_run(&m, CODE("\xdf\xe0")) == OK && m.e.gpr[AX] == 0x3802, "fnstcw, fnstsw");
	put(0x100, 0xffff, 2);
	tap_ok(model_run(&m, CODE("\xd9\x2b")) == OK && get16(0) == 0x1f7f && get16(FX_SW) == 0x3802,
	       "fldcw: bits that exist");
	put(0x100, 0x037d, 2);
	tap_ok(model_run(&m, CODE("\xd9\x2b")) == OK && get16(FX_SW) == 0xb882,
	       "fldcw unmasks what is pending");
	m.e.rip = 0x1000;
	tap_ok(faulted(model_run(&m, CODE("\x9b")), MF, -1) &&
	       faulted(model_run(&m, CODE("\xd9\x2b")), MF, -1) &&
	       faulted(model_run(&m, CODE("\x0f\x6f\x03")), MF, -1) &&
	       model_run(&m, CODE("\xdd\x3b")) == OK, "and then it is #MF, but not for fnstsw");
	m.cr[0] &= ~NE;
	tap_ok(model_run(&m, CODE("\x9b")) == OK, "without CR0.NE nothing comes");
	tap_ok(model_run(&m, CODE("\xdb\xe2")) == OK && get16(FX_SW) == 0x3800, "fnclex");
	m.fpu[FX_TAGS] = 0x55;
	memset(m.fpu + FX_ST, 0x11, 16);
	memset(m.fpu + FX_ST + 7 * 16, 0x66, 16);
	tap_ok(model_run(&m, CODE("\xdb\xe3")) == OK && get16(0) == 0x37f && get16(FX_SW) == 0 &&
	       m.fpu[FX_TAGS] == 0, "fninit");
	/* TOP was 7: what was on top of the stack is register 7 now, what was below it number 6. */
	tap_ok(m.fpu[FX_ST + 7 * 16] == 0x11 && m.fpu[FX_ST + 6 * 16] == 0x66,
	       "fninit leaves the registers where they are");
	set_up(L64);
	m.e.gpr[BX] = 0x50000;
	tap_ok(faulted(model_run(&m, CODE("\xd9\x3b")), PF, 2) &&
	       faulted(model_run(&m, CODE("\xd9\x2b")), PF, 0), "fnstcw and fldcw of nothing");

	set_up(L64);
	m.e.gpr[BX] = DEV;
	tap_ok(model_run(&m, CODE("\xd9\x3b")) == OK && m.nr_log == 1 && m.log[0].size == 2 &&
	       m.log[0].val == 0x37f, "fnstcw to a device");

	set_up(L64);
	put(0x100, 0x1f81, 4);
	tap_ok(model_run(&m, CODE("\x0f\xae\x13")) == OK && get16(FX_MXCSR) == 0x1f81 &&
	       model_run(&m, CODE("\x0f\xae\x5b\x08")) == OK && mem(0x108, 4) == 0x1f81,
	       "ldmxcsr, stmxcsr");
	put(0x100, 0x10000, 4);
	m.e.rip = 0x1000;
	tap_ok(faulted(model_run(&m, CODE("\x0f\xae\x13")), GP, 0), "ldmxcsr with a reserved bit");
	put(0x100, 0x40, 4);
	tap_ok(faulted(model_run(&m, CODE("\x0f\xae\x13")), GP, 0), "DAZ where the mask has none");
	m.fpu[28] = 0xff;
	m.fpu[29] = 0xff;
	tap_ok(model_run(&m, CODE("\xc5\xf8\xae\x13")) == OK && get16(FX_MXCSR) == 0x40,
	       "vldmxcsr, DAZ where it has");
}

static void test_mmx(void)
{
	set_up(L64);
	put16(FX_SW, 0x1800);		/* TOP 3: mm5 is ST(2) */
	tap_ok(model_run(&m, CODE("\x0f\x7f\x2b")) == OK &&
	       !memcmp(ram + 0x100, "\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7", 8) && get16(FX_SW) == 0 &&
	       m.fpu[FX_TAGS] == 0xff, "movq m, mm5: TOP becomes 0, all are valid");
	tap_ok(!memcmp(m.fpu + FX_ST + 5 * 16, ram + 0x100, 8), "and mm5 stays what it was");
	set_up(L64);
	tap_ok(model_run(&m, CODE("\x0f\x6f\x13")) == OK &&
	       !memcmp(m.fpu + FX_ST + 2 * 16, "\0\1\2\3\4\5\6\7\xff\xff", 10), "movq mm2, m");
	tap_ok(model_run(&m, CODE("\x0f\x6f\xda")) == OK &&
	       !memcmp(m.fpu + FX_ST + 3 * 16, "\0\1\2\3\4\5\6\7\xff\xff", 10), "movq mm3, mm2");
	m.e.gpr[CX] = 0x1122334455667788;
	tap_ok(model_run(&m, CODE("\x0f\x6e\xe1")) == OK &&
	       !memcmp(m.fpu + FX_ST + 4 * 16, "\x88\x77\x66\x55\0\0\0\0\xff\xff", 10) &&
	       model_run(&m, CODE("\x48\x0f\x6e\xe1")) == OK &&
	       !memcmp(m.fpu + FX_ST + 4 * 16, "\x88\x77\x66\x55\x44\x33\x22\x11", 8),
	       "movd and movq mm4, r");
	tap_ok(model_run(&m, CODE("\x0f\x7e\xe0")) == OK && m.e.gpr[AX] == 0x55667788 &&
	       model_run(&m, CODE("\x48\x0f\x7e\xe0")) == OK && m.e.gpr[AX] == 0x1122334455667788,
	       "movd and movq r, mm4");
	m.e.gpr[BX] = DEV;
	tap_ok(model_run(&m, CODE("\x0f\xe7\x23")) == OK && m.nr_log == 1 &&
	       m.log[0].val == 0x1122334455667788 && m.log[0].size == 8, "movntq to a device");
	memset(m.xmm[1], 0xee, 32);
	tap_ok(model_run(&m, CODE("\xf3\x0f\xd6\xcc")) == OK &&
	       *(u64 *)m.xmm[1] == 0x1122334455667788 && *(u64 *)(m.xmm[1] + 8) == 0 &&
	       m.xmm[1][16] == 0xee, "movq2dq");
	memset(m.xmm[2], 0x77, 16);
	tap_ok(model_run(&m, CODE("\xf2\x0f\xd6\xf2")) == OK &&
	       !memcmp(m.fpu + FX_ST + 6 * 16, "\x77\x77\x77\x77\x77\x77\x77\x77\xff\xff", 10),
	       "movdq2q");
	tap_ok(model_run(&m, CODE("\x0f\x77")) == OK && m.fpu[FX_TAGS] == 0, "emms");
	set_up(L64);
	m.e.gpr[BX] = 0x50000;
	m.fpu[FX_TAGS] = 0;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x7f\x2b")), PF, 2) && m.fpu[FX_TAGS] == 0,
	       "movq to nothing leaves the tags");
}

static void test_clzero(void)
{
	unsigned int i;

	set_up(L64);
	m.e.gpr[AX] = 0x17f;
	tap_ok(model_run(&m, CODE("\x0f\x01\xfc")) == OK && ram[0x13f] == 0x3f && ram[0x180] == 0x80,
	       "clzero leaves what is around its line");
	for (i = 0x140; i < 0x180 && !ram[i]; i++)
		;
	tap_ok(i == 0x180, "and clears that");
	m.e.rip = 0x1000;
	m.e.gpr[AX] = 0x50000;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xfc")), PF, 2), "clzero of nothing");
}

static void test_sse4a(void)
{
	u64 *one = (u64 *)m.xmm[1], *two = (u64 *)m.xmm[2];

	set_up(L64);
	one[0] = 0x1122334455667788;
	tap_ok(model_run(&m, CODE("\x66\x0f\x78\xc1\x10\x08")) == OK && one[0] == 0x6677,
	       "extrq: 16 bits from 8 on");
	one[0] = 0x1122334455667788;
	tap_ok(model_run(&m, CODE("\x66\x0f\x78\xc1\x40\x40")) == OK && one[0] == 0x1122334455667788,
	       "extrq: 0 means 64, six bits count");
	two[0] = 0x3804;		/* 4 bits from 56 on */
	tap_ok(model_run(&m, CODE("\x66\x0f\x79\xca")) == OK && one[0] == 1, "extrq by register");
	one[0] = 0x1122334455667788;
	two[0] = 0xeeee;
	tap_ok(model_run(&m, CODE("\xf2\x0f\x78\xca\x08\x10")) == OK && one[0] == 0x1122334455ee7788,
	       "insertq: 8 bits at 16");
	two[1] = 0x3c04;
	tap_ok(model_run(&m, CODE("\xf2\x0f\x79\xca")) == OK && one[0] == 0xe122334455ee7788,
	       "insertq by register");
	set_up(L64);
	tap_ok(faulted(model_run(&m, CODE("\x66\x0f\x78\x03\x10\x08")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x66\x0f\x78\xc9\x10\x08")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x0f\x78\xc1")), UD, -1) &&
	       faulted(model_run(&m, CODE("\xf3\x0f\x79\xc1")), UD, -1), "others are undefined");
}

static void test_fxsave(void)
{
	u8 want[512];

	set_up(L64);
	memcpy(want, m.fpu, 512);
	tap_ok(model_run(&m, CODE("\x48\x0f\xae\x03")) == OK && !memcmp(ram + 0x100, want, 416) &&
	       ram[0x100 + 416] == 0xa0, "fxsave64: 416 bytes");
	set_up(P32);
	memset(m.fpu + 8, 0xaa, 16);
	memcpy(want, m.fpu, 512);
	memset(want + 12, 0, 4);
	memset(want + 20, 0, 4);
	tap_ok(model_run(&m, CODE("\x0f\xae\x03")) == OK && !memcmp(ram + 0x100, want, 288) &&
	       ram[0x100 + 288] == 0x20, "fxsave in 32-bit code: 8 XMM registers");
	set_up(P32);
	m.cr[4] &= ~BIT(9);
	tap_ok(model_run(&m, CODE("\x0f\xae\x03")) == OK && ram[0x100 + FX_XMM] == FX_XMM,
	       "fxsave without OSFXSR: none");
	set_up(L64);
	model_msr(&m, 0xc0000080, BIT(14));
	tap_ok(model_run(&m, CODE("\x0f\xae\x03")) == OK && ram[0x100 + FX_XMM] == FX_XMM,
	       "fxsave by CPL 0 with EFER.FFXSR: none");
	set_up(L64);
	m.e.gpr[BX] = 0x108;
	tap_ok(faulted(model_run(&m, CODE("\x0f\xae\x03")), GP, 0) &&
	       faulted(model_run(&m, CODE("\x0f\xae\x0b")), GP, 0), "fxsave and fxrstor, misaligned");
	set_up(L64);
	m.e.gpr[BX] = RAM - 256;
	tap_ok(faulted(model_run(&m, CODE("\x0f\xae\x03")), PF, 2) && m.e.exception.cr2 == RAM &&
	       ram[RAM - 256] == 0, "fxsave over the end of memory writes nothing");
	set_up(L64);
	m.e.gpr[BX] = DEV;
	tap_ok(model_run(&m, CODE("\x0f\xae\x03")) == OK && m.nr_log == 13 &&
	       m.log[12].la == DEV + 384 && m.log[12].size == 32, "fxsave to a device: 416 bytes");

	set_up(L64);
	put(0x100 + FX_MXCSR, 0x1fa0, 4);
	memcpy(want, ram + 0x100, 416);
	memset(want + 28, 0, 4);	/* the mask stays what it is */
	tap_ok(model_run(&m, CODE("\x48\x0f\xae\x0b")) == OK && !memcmp(m.fpu, want, 416),
	       "fxrstor64");
	set_up(L64);
	m.e.gpr[BX] = DEV;
	m.mmio_direct = true;
	tap_ok(faulted(model_run(&m, CODE("\x0f\xae\x0b")), GP, 0) && m.nr_log == 13 &&
	       m.log[12].la == DEV + 384, "fxrstor from a device, whose MXCSR is none");
	set_up(P32);
	put(0x100 + FX_MXCSR, 0x1fa0, 4);
	tap_ok(model_run(&m, CODE("\x0f\xae\x0b")) == OK && m.fpu[FX_XMM + 127] == 0x1f &&
	       m.fpu[FX_XMM + 128] == (0x80 ^ 0x20), "fxrstor in 32-bit code leaves XMM8");
	set_up(L64);
	put(0x100 + FX_MXCSR, 0x10000, 4);
	memcpy(want, m.fpu, 512);
	tap_ok(faulted(model_run(&m, CODE("\x0f\xae\x0b")), GP, 0) && !memcmp(m.fpu, want, 512),
	       "fxrstor with a reserved bit loads nothing");
}

static void test_system(void)
{
	set_up(L64);
	m.xcr0 = 0xe7;
	tap_ok(model_run(&m, CODE("\x0f\x01\xd0")) == OK && m.e.gpr[AX] == 0xe7 && m.e.gpr[DX] == 0,
	       "xgetbv");
	m.e.gpr[AX] = 0xffffffff00000007;
	m.e.gpr[DX] = 0;
	tap_ok(model_run(&m, CODE("\x0f\x01\xd1")) == OK && m.xcr0 == 7, "xsetbv");
	m.e.rip = 0x1000;
	m.e.gpr[CX] = 1;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xd1")), GP, 0), "there is no XCR1 to write");
	tap_ok(model_run(&m, CODE("\x0f\x01\xd0")) == OK && m.e.gpr[AX] == 5,
	       "xgetbv 1: what is in use");
	m.e.rip = 0x1000;
	m.e.gpr[CX] = 2;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xd0")), GP, 0), "there is no XCR2");
	m.e.gpr[CX] = 0;
	m.e.cpl = 3;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xd1")), GP, 0), "xsetbv by CPL 3");

	set_up(L64);
	tap_ok(model_run(&m, CODE("\x0f\x01\xcb")) == OK && (m.e.rflags & BIT(18)) &&
	       model_run(&m, CODE("\x0f\x01\xca")) == OK && !(m.e.rflags & BIT(18)), "stac, clac");
	m.e.rip = 0x1000;
	m.e.cpl = 3;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xcb")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x0f\x01\xca")), UD, -1), "stac and clac by CPL 3");

	set_up(L64);
	m.e.gpr[CX] = 0x12;
	tap_ok(model_run(&m, CODE("\x0f\x33")) == OK && m.e.gpr[AX] == 0x12 && m.e.gpr[DX] == 0x99,
	       "rdpmc");
	m.e.rip = 0x1000;
	m.e.cpl = 3;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x33")), GP, 0), "rdpmc by CPL 3");
	m.cr[4] |= BIT(8);
	tap_ok(model_run(&m, CODE("\x0f\x33")) == OK, "rdpmc by CPL 3 with CR4.PCE");
	m.e.gpr[AX] = ~0ull;
	tap_ok(model_run(&m, CODE("\xf3\x0f\xc7\xf8")) == OK && m.e.gpr[AX] == 0x77, "rdpid");

	set_up(L64);
	tap_ok(model_run(&m, CODE("\x0f\x01\xc1")) == OK && m.nr_hypercall == 1 &&
	       m.e.gpr[AX] == 0x4321 && model_run(&m, CODE("\x0f\x01\xd9")) == OK &&
	       m.nr_hypercall == 2, "vmcall, vmmcall");
	tap_ok(model_run(&m, CODE("\x0f\x01\xc8")) == OK && model_run(&m, CODE("\x0f\x01\xc9")) == OK,
	       "monitor, mwait");
	m.e.rip = 0x1000;
	m.e.gpr[AX] = 0x50000;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xc8")), PF, 0), "monitor of nothing");
	m.e.gpr[CX] = 1;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xc8")), GP, 0), "monitor with an extension");
	tap_ok(model_run(&m, CODE("\x0f\x01\xc9")) == OK, "mwait with interrupts as an end");
	m.e.rip = 0x1000;
	m.e.gpr[CX] = 2;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xc9")), GP, 0), "mwait with an extension");
	m.e.cpl = 3;
	tap_ok(faulted(model_run(&m, CODE("\x0f\x01\xc8")), UD, -1) &&
	       faulted(model_run(&m, CODE("\x0f\x01\xc9")), UD, -1), "monitor and mwait by CPL 3");
}

static void test_invpcid(void)
{
	static const struct {
		const char *name;
		u64 type, pcid, la;
		u8 cpl;
		bool pcide, good;
	} t[] = {
		{ "an address", 0, 5, 0x1234000, 0, true, true },
		{ "a non-canonical address", 0, 5, 0x800000000000, 0, true, false },
		{ "a context", 1, 5, 0x800000000000, 0, true, true },
		{ "all", 2, 0, 0, 0, false, true },
		{ "all but global", 3, 0, 0, 0, false, true },
		{ "type 4", 4, 0, 0, 0, true, false },
		{ "a reserved bit", 2, 0x1000, 0, 0, true, false },
		{ "a PCID without CR4.PCIDE", 1, 5, 0, 0, false, false },
		{ "PCID 0 without CR4.PCIDE", 1, 0, 0, 0, false, true },
		{ "by CPL 3", 2, 0, 0, 3, true, false },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int r;

		set_up(L64);
		m.e.cpl = t[i].cpl;
		m.e.gpr[AX] = t[i].type;
		m.cr[4] |= t[i].pcide ? BIT(17) : 0;
		put(0x100, t[i].pcid, 8);
		put(0x108, t[i].la, 8);
		r = model_run(&m, CODE("\x66\x0f\x38\x82\x03"));
		if (t[i].good)
			tap_ok(r == OK && m.nr_invpcid == 1 && m.invpcid_type == t[i].type &&
			       m.invpcid_pcid == t[i].pcid && m.invpcid_la == t[i].la, "invpcid: %s",
			       t[i].name);
		else
			tap_ok(faulted(r, GP, 0) && !m.nr_invpcid, "invpcid: %s", t[i].name);
	}
}

int main(void)
{
	tap_begin();
	test_features();
	test_undefined();
	test_rights();
	test_x87();
	test_mmx();
	test_alignment();
	test_enter();
	test_pkru();
	test_maskmov();
	test_vmaskmov();
	test_movdir64b();
	test_clzero();
	test_sse4a();
	test_fxsave();
	test_system();
	test_invpcid();
	return tap_end();
}
