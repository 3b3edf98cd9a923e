// SPDX-License-Identifier: GPL-2.0-only
/*
 * What would reach the host if nobody intercepted it, and what must be delivered twice:
 * cases 48 and 49 of Documentation/hardening.rst.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

/* 48 */

#define X2APIC_FIRST	0x800
#define X2APIC_LAST	0xbff
#define X2APIC_ENABLE	0xc00

static volatile uint32_t g_first, g_x2, g_through, g_which;

static void note(uint32_t msr)
{
	if (g_vector == GP_VECTOR)
		return;
	g_through++;
	g_which = msr;
}

static void try_msrs(void)
{
	uint32_t msr;

	if (g_x2)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | X2APIC_ENABLE);
	for (msr = g_first; msr <= X2APIC_LAST; msr++) {
		GUEST_TRY("rdmsr", : : "c"(msr) : "rax", "rdx", "memory");
		note(msr);
		GUEST_TRY("wrmsr", : : "c"(msr), "a"(0), "d"(0) : "memory");
		note(msr);
	}
	guest_done();
}

/* From where on there is no register in this mode. */
static const struct gap { const char *name; uint32_t first; bool x2; } gaps[] = {
	{ "in xAPIC mode, all", X2APIC_FIRST, false },
	{ "in x2APIC mode, those without a register", 0x840, true },
};

TEST_EACH(msr_gap, "case 48: RDMSR and WRMSR of 0x800 to 0xbff are exits, and GP: ", gaps, g)
{
	const uint64_t count = X2APIC_LAST + 1 - g->first;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, try_msrs);

	G(&vm, g_first) = g->first;
	G(&vm, g_x2) = g->x2;
	vcpu_run_to_end(v);
	EXPECT_MSG(!G(&vm, g_through), "%u of them, the last %#x", G(&vm, g_through),
		   G(&vm, g_which));
	if (on_umbra()) {
		EXPECT(exit_count(&vm, "msr_read") >= count);
		EXPECT(exit_count(&vm, "msr_write") >= count);
	}
}

/* 49 */

#define TIMES		20
#define SOFT_VECTOR	0x71

static volatile uint64_t g_wanted, g_came, g_wrong;

static void on_soft(struct frame *f)
{
	g_came++;
	if (f->rip != g_wanted)
		g_wrong++;
}

#define SOFT_GUEST(name, vec, insn)							\
static void name(void)									\
{											\
	unsigned int i;									\
											\
	((volatile uint8_t *)GPA_IDT)[(vec) * 16 + 4] = 1;				\
	g_handlers[vec] = on_soft;							\
	for (i = 0; i < TIMES; i++) {							\
		guest_sync(i);								\
		asm volatile("movq $1f, g_wanted\n\t" insn "\n1:" : : : "memory");	\
	}										\
	guest_done();									\
}

SOFT_GUEST(soft_int3, BP_VECTOR, "int3")
SOFT_GUEST(soft_int, SOFT_VECTOR, "int $0x71")

static const struct soft { const char *name; void (*entry)(void); } softs[] = {
	{ "INT3", soft_int3 }, { "INT n", soft_int },
};

/* The host takes the page of its frame away before each one, so that delivery faults. */
TEST_EACH(soft_again, "case 49: on a stack that is not there, delivered once, RIP behind it: ",
	  softs, s)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, s->entry);
	unsigned int i;

	for (i = 0; i < TIMES; i++) {
		vcpu_run_to_sync(v, i);
		ASSERT(!madvise(vm.mem + GPA_STACK_IST - 4096, 4096, MADV_DONTNEED));
	}
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_came), TIMES);
	EXPECT_EQ(G(&vm, g_wrong), 0);
}
