// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against this machine's CPU: each instruction of insns.S runs natively and emulated
 * from the same registers, flags and memory; afterwards all of it must be equal, but for the
 * flags that the manuals call undefined.
 *
 * usage: emul_native [rounds [seed]]
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "model.h"
#include "tap.h"

#define COUNT	1
#define BITOFF	2
#define DIVIDE	4
#define MATCH	8

#define ARITH	0x8d5
#define DF	0x400
#define BUF	8192

struct insn {
	const u8 *start, *end;
	const char *text;
	u32 undef, class;
};

extern const struct insn insns[], insns_end[];

/* Shared with insns.S. */
u64 native_gpr[16], native_flags, native_host_rsp;
u8 native_vec[16][32], native_avx;
void *native_code;
void native_run(void);
extern const u8 native_back[];

static volatile int native_signal;
static u8 *code, *native_buf;
static u8 start_buf[BUF], emul_buf[BUF];
static u64 seed;

/* What the high bits of a class ask of the CPU, from bit 8 on, as in insns.S. */
static bool cpu_has(u32 class)
{
	static bool have[10];
	unsigned int i;

	__builtin_cpu_init();
	have[0] = __builtin_cpu_supports("movbe");
	have[1] = __builtin_cpu_supports("popcnt");
	have[2] = __builtin_cpu_supports("lzcnt");
	have[3] = __builtin_cpu_supports("bmi");
	have[4] = __builtin_cpu_supports("bmi2");
	have[5] = __builtin_cpu_supports("sse4.2");
	have[6] = __builtin_cpu_supports("adx");
	have[7] = __builtin_cpu_supports("avx");
	have[8] = __builtin_cpu_supports("sse3");
	have[9] = __builtin_cpu_supports("sse4.1");
	for (i = 0; i < sizeof(have); i++)
		if (((class >> (8 + i)) & 1) && !have[i])
			return false;
	return true;
}

static u64 random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

/* Values near which arithmetic goes wrong come often. */
static u64 random_value(void)
{
	static const u64 edges[] = {
		0, 1, 2, 0x7f, 0x80, 0x81, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, ~1ull, 0x0f, 0x10,
	};
	u64 r = random64();

	switch (r & 3) {
	case 0:
		return edges[(r >> 8) % (sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return random64() >> ((r >> 8) & 63);
	default:
		return random64();
	}
}

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;

	(void)info;
	/* Only the instruction under test may fault. */
	if ((u8 *)uc->uc_mcontext.gregs[REG_RIP] != code)
		abort();
	native_signal = sig;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)native_back;
}

static void set_up(void)
{
	static u8 stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = {
		.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	native_buf = mmap(NULL, BUF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED || native_buf == MAP_FAILED)
		exit(1);
	native_code = code;
	sigaltstack(&ss, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
}

static void place_code(const struct insn *in)
{
	u8 *p = code;
	u64 back = (u64)native_back;

	memcpy(p, in->start, in->end - in->start);
	p += in->end - in->start;
	/* jmp *0(%rip) */
	memcpy(p, "\xff\x25\0\0\0\0", 6);
	memcpy(p + 6, &back, 8);
}

static void random_state(struct model *m, const struct insn *in)
{
	unsigned int i;

	for (i = 0; i < BUF; i += 8) {
		u64 v = random_value();

		memcpy(start_buf + i, &v, 8);
	}
	m->cr[4] |= 1 << 18;	/* OSXSAVE */
	for (i = 0; i < 16; i++) {
		unsigned int j;

		m->e.gpr[i] = random_value();
		for (j = 0; j < 32; j += 8)
			*(u64 *)&m->xmm[i][j] = random_value();
	}
	m->e.gpr[EMUL_RSP] = (u64)native_buf + 0x1800 + (random64() & 0xff);
	m->e.gpr[EMUL_RBX] = (u64)native_buf + (random64() & 0x3ff);
	m->e.gpr[EMUL_RBP] = random64() & 0x7f;
	m->e.gpr[EMUL_RSI] = (u64)native_buf + 0x400 + (random64() & 0xff0);
	m->e.gpr[EMUL_RDI] = (u64)native_buf + 0x400 + (random64() & 0xfff);
	if (in->class & COUNT) {
		m->e.gpr[EMUL_RCX] = random64() & 31;
		/* Equal strings are rare in random data. */
		if (random64() & 1)
			memset(start_buf + 0x300, random64(), 0x1200);
		if (random64() & 1)
			memcpy(&m->e.gpr[EMUL_RAX], start_buf + 0x700, 8);
	}
	if (in->class & BITOFF)
		m->e.gpr[EMUL_RDX] = (s64)(random64() & 0x1fff) - 0x1000;
	if ((in->class & DIVIDE) && (random64() & 1))
		m->e.gpr[EMUL_RDX] = random64() & 1 ? 0 : ~0ull;
	if ((in->class & MATCH) && (random64() & 1)) {
		u64 from = (in->text[strlen(in->text) - 2] == 'i' ? m->e.gpr[EMUL_RSI] :
			    m->e.gpr[EMUL_RDI]) - (u64)native_buf;

		if (strstr(in->text, "(%rdi)"))
			from = m->e.gpr[EMUL_RDI] - (u64)native_buf;
		memcpy(&m->e.gpr[EMUL_RAX], start_buf + from, 8);
		memcpy(&m->e.gpr[EMUL_RDX], start_buf + from + 8, 8);
		if (strstr(in->text, "8b"))
			memcpy(&m->e.gpr[EMUL_RDX], start_buf + from + 4, 4);
	}
	m->e.rflags = 0x202 | (random64() & ARITH) | (in->class & COUNT ? random64() & DF : 0);
}

static void native(const struct model *m)
{
	unsigned int i;

	memcpy(native_buf, start_buf, BUF);
	memcpy(native_gpr, m->e.gpr, sizeof(native_gpr));
	native_flags = m->e.rflags;
	for (i = 0; i < 16; i++)
		memcpy(native_vec[i], m->xmm[i], 32);
	native_signal = 0;
	native_run();
}

static bool same(const struct model *m, const struct insn *in, int r, u64 rip)
{
	static const u8 vec[] = { 1, 2, 3, 9, 15 };
	unsigned int i;
	u64 flags;

	if (native_signal) {
		int vector = native_signal == SIGFPE ? 0 : native_signal == SIGILL ? 6 : 13;

		if (r != UMBRA_EMUL_FAULT || m->e.exception.vector != vector || m->e.rip != rip) {
			tap_note("native signal %d, emulated %d vector %u", native_signal, r,
				 m->e.exception.vector);
			return false;
		}
	} else if (r != UMBRA_EMUL_OK || m->e.rip != rip + (in->end - in->start)) {
		tap_note("result %d vector %u, rip + %lld", r, m->e.exception.vector,
			 (long long)(m->e.rip - rip));
		return false;
	}
	for (i = 0; i < 16; i++)
		if (native_gpr[i] != m->e.gpr[i]) {
			tap_note("gpr %u: native %#llx, emulated %#llx", i,
				 (long long)native_gpr[i], (long long)m->e.gpr[i]);
			return false;
		}
	flags = (native_flags ^ m->e.rflags) & (ARITH | DF) & ~(u64)in->undef;
	if (!native_signal && flags) {
		tap_note("flags: native %#llx, emulated %#llx, differ %#llx",
			 (long long)native_flags, (long long)m->e.rflags, (long long)flags);
		return false;
	}
	for (i = 0; i < sizeof(vec); i++)
		if (memcmp(native_vec[vec[i]], m->xmm[vec[i]], 32)) {
			tap_note("xmm%u differs", vec[i]);
			return false;
		}
	for (i = 0; i < BUF; i++)
		if (native_buf[i] != emul_buf[i]) {
			tap_note("memory at %#x: native %#x, emulated %#x", i, native_buf[i],
				 emul_buf[i]);
			return false;
		}
	return true;
}

static void print_state(const struct model *m)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		tap_note("before: gpr %u %#llx", i, (long long)m->e.gpr[i]);
	tap_note("before: flags %#llx, buffer at %p", (long long)m->e.rflags,
		 (void *)native_buf);
}

static bool compare(const struct insn *in, unsigned int rounds)
{
	static struct model m, before;
	unsigned int i, len = in->end - in->start;

	place_code(in);
	for (i = 0; i < rounds; i++) {
		int r;

		model_init(&m, UMBRA_EMUL_LONG64);
		m.e.cpl = 3;
		asm("mov %%fs, %0" : "=rm" (m.seg[EMUL_FS].sel));
		m.e.rip = (u64)code;
		model_map(&m, (u64)native_buf, emul_buf, BUF, 0);
		random_state(&m, in);
		memcpy(emul_buf, start_buf, BUF);
		before = m;
		native(&m);
		r = model_run(&m, in->start, len);
		if (!same(&m, in, r, (u64)code)) {
			print_state(&before);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 400;
	const struct insn *in;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (u64)time(NULL) * 2654435761u + 1;
	tap_begin();
	tap_note("%u rounds of each, seed %llu", rounds, (unsigned long long)seed);
	set_up();
	native_avx = !!__builtin_cpu_supports("avx");
	for (in = insns; in < insns_end; in++) {
		if (cpu_has(in->class))
			tap_ok(compare(in, rounds), "as the CPU: %s", in->text);
		else
			tap_ok(true, "as the CPU: %s # SKIP it has none", in->text);
	}
	return tap_end();
}
