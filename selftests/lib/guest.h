/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What guest code calls. It runs from the same image as the test, but in the
 * guest: no libc, no thread-local storage, no host variable after the copy.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#include <stdint.h>

#include "x86.h"

#define PORT_DONE	0x5f0
#define PORT_SYNC	0x5f1
#define PORT_FAIL	0x5f2

/* The stack that the exception entry code makes. */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

#define NO_VECTOR	0xffff

/* The last exception that GUEST_TRY() caught. */
extern volatile uint64_t g_vector, g_error, g_cr2, g_rip, g_fixup;
/* Interrupts, and INT n, that a handler got from ring 0 while RFLAGS.IF was clear. */
extern volatile uint32_t g_masked_hits;
/* Set for vectors that the guest wants to see; NULL for all others. */
extern void (*volatile g_handlers[256])(struct frame *f);

extern char guest_idt_stubs[];
extern char guest_idt32_stubs[];
extern volatile uint32_t g_vector32, g_error32, g_has_error32, g_eip32;

static inline void guest_done(void)
{
	outl(PORT_DONE, 0);
	for (;;)
		asm volatile("hlt");
}

static inline void guest_sync(uint32_t step)
{
	outl(PORT_SYNC, step);
}

/* Ends the test; @where is a line number, or an odd thing worth printing. */
static inline void guest_fail(uint32_t where)
{
	outl(PORT_FAIL, where);
}

#define GUEST_ASSERT(cond)						\
	do {								\
		if (!(cond))						\
			guest_fail(__LINE__);				\
	} while (0)

/*
 * Run @insn and note which exception it raised, if any, in g_vector; execution
 * goes on after it. Further arguments are asm operands from the outputs on.
 */
#define GUEST_TRY(insn, ...)						\
	do {								\
		g_vector = NO_VECTOR;					\
		asm volatile("movq $19991f, g_fixup\n\t"		\
			     insn "\n"					\
			     "19991: movq $0, g_fixup"			\
			     __VA_ARGS__);				\
	} while (0)

static inline uint32_t apic_read(uint32_t reg)
{
	return *(volatile uint32_t *)(APIC_BASE_GPA + reg);
}

static inline void apic_write(uint32_t reg, uint32_t v)
{
	*(volatile uint32_t *)(APIC_BASE_GPA + reg) = v;
}

/* Enable the local APIC, spurious vector 0xff. */
static inline void apic_on(void)
{
	apic_write(APIC_SPIV, 0x1ff);
}

static inline void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

static inline void ioapic_write(uint32_t reg, uint32_t v)
{
	*(volatile uint32_t *)IOAPIC_GPA = reg;
	*(volatile uint32_t *)(IOAPIC_GPA + 0x10) = v;
}

static inline uint32_t ioapic_read(uint32_t reg)
{
	*(volatile uint32_t *)IOAPIC_GPA = reg;
	return *(volatile uint32_t *)(IOAPIC_GPA + 0x10);
}

/* @n exits by CPUID, and a sync. */
static inline void guest_cpuids_and_sync(unsigned int n)
{
	uint32_t a, b, c, d;

	while (n--) {
		a = c = 0;
		asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	}
	guest_sync(1);
}

/* Both 8259s: vectors from @base on, all lines masked but those in @open. */
void guest_pic_init(uint8_t base, uint16_t open);
void guest_exception(struct frame *f);
void guest_call_ring3(void (*fn)(void));

#endif
