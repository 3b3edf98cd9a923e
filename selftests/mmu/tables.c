// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest does to its page tables, and what it then finds behind an address, in
 * each way of virtualizing memory that the device has.
 */
#define _GNU_SOURCE
#include <linux/umbra.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE		4096ULL
#define RWU		(PTE_P | PTE_W | PTE_U)
#define PT2		(GPA_PT + PAGE)		/* another table */
#define OTHER		0x40000000ULL		/* linear, free */
#define EXTRA		0x20000000ULL		/* physical, for slots */

/* A vCPU at @entry in a VM of that mode; UMBRA_MMU_AUTO: what the device makes by itself. */
static struct vcpu *start(struct vm *vm, uint32_t mode, void (*entry)(void))
{
	struct vcpu *v;

	vm_init(vm, 0);
	if (mode != UMBRA_MMU_AUTO)
		ASSERT(!ioctl(vm->fd, UMBRA_SET_MMU, &mode));
	v = vm_vcpu(vm, 0);
	vcpu_long_mode(v, entry);
	return v;
}

static void each_mode(void (*test)(uint32_t mode))
{
	struct umbra_info info;
	uint32_t mode;

	if (!on_umbra()) {
		test(UMBRA_MMU_AUTO);
		return;
	}
	ASSERT(!ioctl(dev_open(), UMBRA_GET_INFO, &info));
	for (mode = UMBRA_MMU_HARDWARE; mode <= UMBRA_MMU_SHADOW_EAGER; mode++) {
		if (!(info.modes >> mode & 1))
			continue;
		ktap_diag("UMBRA_MMU_* %u", mode);
		test(mode);
	}
}

#define TEST_MODES(id, text)	TEST_MODES_SECONDS(id, text, 0)
#define TEST_MODES_SECONDS(id, text, limit)			\
	static void run_##id(uint32_t mode);			\
	TEST_SECONDS(id, text, limit)				\
	{							\
		each_mode(run_##id);				\
	}							\
	static void run_##id(uint32_t mode)

static volatile uint64_t g_val, g_val2, g_n;

/* ------------------------------ guest code ------------------------------ */

static inline volatile uint64_t *at(uint64_t address)
{
	return (volatile uint64_t *)address;
}

/* The 2 MiB at GPA_TEST in pages of 4 KiB, by the table @pt. */
static void small_pages(uint64_t pt)
{
	unsigned int i;

	for (i = 0; i < 512; i++)
		at(pt)[i] = (GPA_TEST + i * PAGE) | RWU;
	at(GPA_PD)[GPA_TEST >> 21] = pt | RWU;
	write_cr3(read_cr3());
	/* Each page tells its number. */
	for (i = 0; i < 512; i++)
		*at(GPA_TEST + i * PAGE) = i;
}

/* Does linear page @page of GPA_TEST lead to page @to now? */
static void check_page(unsigned int page, unsigned int to)
{
	invlpg(GPA_TEST + page * PAGE);
	if (*at(GPA_TEST + page * PAGE) != to)
		guest_fail(page << 16 | to);
}

static void stores_guest(void)
{
	uint64_t entry = (GPA_TEST + 9 * PAGE) | RWU, pair[2] = { entry, entry };
	volatile uint64_t *pt = at(GPA_PT);
	volatile uint8_t *bytes = (void *)GPA_PT;
	uint64_t old, count;

	small_pages(GPA_PT);
	pt[1] = entry;
	check_page(1, 9);
	*(volatile uint32_t *)&pt[2] = entry;
	check_page(2, 9);
	/* Bits 12 to 15 of its address, by one byte and by two. */
	bytes[3 * 8 + 1] = (bytes[3 * 8 + 1] & 0xf) | 0x90;
	check_page(3, 9);
	*(volatile uint16_t *)&bytes[4 * 8] = 0x9000 | RWU;
	check_page(4, 9);
	old = entry;
	asm volatile("xchg %0, %1" : "+r"(old), "+m"(pt[5]) : : "memory");
	check_page(5, 9);
	old = pt[6];
	asm volatile("lock cmpxchg %2, %1" : "+a"(old), "+m"(pt[6]) : "r"(entry) : "memory");
	check_page(6, 9);
	asm volatile("lock andq $-3, %0" : "+m"(pt[6]) : : "memory");
	invlpg(GPA_TEST + 6 * PAGE);
	GUEST_TRY("movq %%rax, (%0)", : : "r"(GPA_TEST + 6 * PAGE) : "memory");
	/* CR0.WP is set: the page is read-only for the supervisor too. */
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == (PFERR_P | PFERR_W));
	/* Two at once. */
	asm volatile("movdqu %1, %%xmm0; movdqu %%xmm0, %0"
		     : "=m"(*(volatile uint64_t(*)[2])&pt[10])
		     : "m"(pair) : "xmm0", "memory");
	check_page(10, 9);
	check_page(11, 9);
	old = pt[12];
	asm volatile("lock cmpxchg16b %0"
		     : "+m"(*(volatile uint64_t(*)[2])&pt[12])
		     : "a"(pt[12]), "d"(pt[13]), "b"(entry), "c"(entry) : "memory", "cc");
	check_page(12, 9);
	check_page(13, 9);
	/* Halves of two at once. */
	*(volatile uint64_t *)&bytes[14 * 8 + 4] = (entry & 0xffffffff) << 32;
	check_page(15, 9);
	count = 16;
	asm volatile("rep stosq" : "=D"(old), "+c"(count) : "a"(entry), "0"(&pt[20]) : "memory");
	for (old = 20; old < 36; old++)
		check_page(old, 9);
	/* Across the end of the table and the begin of another that is none. */
	*(volatile uint64_t *)&bytes[511 * 8 + 4] = 0;
	check_page(511, 511);
	guest_done();
}

TEST_MODES(stores, "stores of each size to a page table, locked, string and across entries")
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, stores_guest));
	vm_free(&vm);
}

/* Two entries of a directory with different rights lead to one table. */
static void rights_guest(void)
{
	small_pages(GPA_PT);
	at(GPA_PD)[OTHER >> 21] = GPA_PT | PTE_P;
	at(GPA_PD)[(OTHER >> 21) + 1] = GPA_PT | PTE_P | PTE_W | PTE_NX;
	write_cr3(read_cr3());
	GUEST_ASSERT(*at(OTHER + PAGE) == 1);
	GUEST_ASSERT(*at(OTHER + 0x200000 + PAGE) == 1);
	*at(OTHER + 0x200000 + PAGE) = 77;
	GUEST_TRY("movq %%rax, (%0)", : : "r"(OTHER + PAGE) : "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == (PFERR_P | PFERR_W));
	GUEST_ASSERT(*at(OTHER + PAGE) == 77 && *at(GPA_TEST + PAGE) == 77);
	GUEST_TRY("call *%0", : : "r"(OTHER + 0x200000 + PAGE) : "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == (PFERR_P | PFERR_I));
	guest_done();
}

TEST_MODES(rights, "one table with different rights by two entries")
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, rights_guest));
	vm_free(&vm);
}

/* The root maps itself, and the tables are written where that shows them. */
static void recursive_guest(void)
{
	const uint64_t slot = 0x1feULL, canon = 0xffffULL << 48;
	const uint64_t pts = canon | slot << 39;
	volatile uint64_t *pt = at(pts | (GPA_TEST >> 21) << 12);
	volatile uint64_t *root = at(pts | slot << 30 | slot << 21 | slot << 12);

	small_pages(GPA_PT);
	at(GPA_PML4)[slot] = GPA_PML4 | PTE_P | PTE_W;
	GUEST_ASSERT((root[slot] & ~0xfffULL) == GPA_PML4);
	GUEST_ASSERT((pt[5] & ~0xfffULL) == GPA_TEST + 5 * PAGE);
	pt[5] = (GPA_TEST + 7 * PAGE) | RWU;
	check_page(5, 7);
	pt[5] = (GPA_TEST + 8 * PAGE) | RWU;
	check_page(5, 8);
	/* The root's own entry, by itself: gone, nothing is there any more. */
	root[slot] = 0;
	invlpg((uint64_t)root);
	GUEST_TRY("movq (%0), %%rax", : : "r"(root) : "rax", "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR);
	check_page(5, 8);
	guest_done();
}

TEST_MODES(recursive, "a root that maps itself")
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, recursive_guest));
	vm_free(&vm);
}

#define STORES	100
#define ROUNDS	5

/* Each entry is written, its bits cleared, and its page used; then all is flushed. */
static void store_cost_guest(void)
{
	unsigned int round, i;

	small_pages(GPA_PT);
	for (round = 0; round < ROUNDS; round++) {
		write_cr3(read_cr3());
		guest_sync(1);
		for (i = 0; i < STORES; i++) {
			at(GPA_PT)[i] = (GPA_TEST + i * PAGE) | RWU;
			GUEST_ASSERT(*at(GPA_TEST + i * PAGE) == i);
		}
		guest_sync(2);
	}
	guest_done();
}

/* Exits that a guest's tables, or their shadow, can be the cause of. */
static uint64_t faults_of(struct vm *vm)
{
	struct umbra_exit_stats s = { 0 };
	uint64_t sum = 0;

	for (; !ioctl(vm->fd, UMBRA_GET_EXIT_STATS, &s); s.reason++) {
		if (!strcmp(s.name, "exception") || !strcmp(s.name, "page_fault"))
			sum += s.count;
	}
	return sum;
}

TEST_MODES(store_cost, "a store to a table in use: no exit, lazy the first after a flush, eager each")
{
	uint64_t least = -1ULL, before, n;
	struct vm vm;
	struct vcpu *v = start(&vm, mode, store_cost_guest);
	int round;

	if (!on_umbra())
		SKIP("the count is Umbra's own");
	/* The host may take memory away in one round, hardly in all. */
	for (round = 0; round < ROUNDS; round++) {
		vcpu_run_to_sync(v, 1);
		before = faults_of(&vm);
		vcpu_run_to_sync(v, 2);
		n = faults_of(&vm) - before;
		least = n < least ? n : least;
	}
	vcpu_run_to_end(v);
	if (mode == UMBRA_MMU_SHADOW_EAGER)
		EXPECT(least >= STORES);
	else
		EXPECT_EQ(least, mode == UMBRA_MMU_SHADOW_LAZY);
	vm_free(&vm);
}

/* A directory in use is cleared as Linux clears pages, and made anew, always at one address. */
static void cleared_guest(void)
{
	const uint64_t pd = GPA_TEST + 0x80000, pt = pd + PAGE;
	uint64_t at_end, count, i, round;

	for (round = 0; round < 20; round++)
		*at(GPA_TEST + round * PAGE) = round;
	at(GPA_PDPT)[OTHER >> 30] = pd | RWU;
	for (round = 0; round < 20; round++) {
		count = 512;
		asm volatile("rep stosq" : "=D"(at_end), "+c"(count) : "a"(0), "0"(pd) : "memory");
		GUEST_ASSERT(at_end == pd + PAGE && !count);
		invlpg(OTHER);
		for (i = 0; i < 512; i++)
			GUEST_ASSERT(!at(pd)[i]);
		GUEST_TRY("movq (%0), %%rax", : : "r"(OTHER) : "rax", "memory");
		GUEST_ASSERT(g_vector == PF_VECTOR && !g_error);
		at(pt)[0] = (GPA_TEST + round * PAGE) | RWU;
		at(pd)[0] = pt | RWU;
		GUEST_ASSERT(*at(OTHER) == round);
	}
	guest_done();
}

TEST_MODES(cleared, "a directory in use that REP STOS clears, twenty times")
{
	struct vm vm;
	struct vcpu *v = start(&vm, mode, cleared_guest);

	memset(vm.mem + GPA_TEST + 0x80000, 0, 2 * PAGE);
	vcpu_run_to_end(v);
	vm_free(&vm);
}

/* A right is lowered, which shows at the latest when the address is flushed, and raised. */
static void invlpg_guest(void)
{
	unsigned int i;

	small_pages(GPA_PT);
	for (i = 0; i < 8; i++) {
		at(GPA_PT)[i] = (GPA_TEST + (i + 8) * PAGE) | RWU;
		invlpg(GPA_TEST + i * PAGE);
		GUEST_ASSERT(*at(GPA_TEST + i * PAGE) == i + 8);
	}
	/* Without one: from not present to present there is nothing to be flushed. */
	for (i = 16; i < 24; i++) {
		at(GPA_PT)[i] = 0;
		invlpg(GPA_TEST + i * PAGE);
		at(GPA_PT)[i] = (GPA_TEST + (i + 8) * PAGE) | RWU;
		GUEST_ASSERT(*at(GPA_TEST + i * PAGE) == i + 8);
	}
	guest_done();
}

TEST_MODES(invlpg, "what INVLPG flushes, and what need not be")
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, invlpg_guest));
	vm_free(&vm);
}

/* A table is changed while nothing leads to it; then something does, without a flush. */
static void unlinked_guest(void)
{
	small_pages(GPA_PT);
	at(GPA_PD)[GPA_TEST >> 21] = 0;
	write_cr3(read_cr3());
	at(GPA_PT)[3] = (GPA_TEST + 4 * PAGE) | RWU;
	at(GPA_PD)[OTHER >> 21] = GPA_PT | RWU;
	GUEST_ASSERT(*at(OTHER + 3 * PAGE) == 4);
	guest_done();
}

TEST_MODES(unlinked, "a table that is changed before it is linked needs no flush")
{
	struct vm vm;
	struct vcpu *v = start(&vm, mode, unlinked_guest);

	memset(vm.mem + GPA_PD + (OTHER >> 21) * 8, 0, 8);
	vcpu_run_to_end(v);
	vm_free(&vm);
}

static void bits_guest(void)
{
	volatile uint64_t *pte = &at(GPA_PT)[1];
	unsigned int i;

	small_pages(GPA_PT);
	for (i = 0; i < 20; i++) {
		*pte &= ~(PTE_A | PTE_D);
		invlpg(GPA_TEST + PAGE);
		GUEST_ASSERT(*at(GPA_TEST + PAGE) == i + 1);
		GUEST_ASSERT((*pte & (PTE_A | PTE_D)) == PTE_A);
		*at(GPA_TEST + PAGE) = i + 2;
		GUEST_ASSERT((*pte & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
		*pte &= ~PTE_D;
		invlpg(GPA_TEST + PAGE);
		*at(GPA_TEST + PAGE) = i + 2;
		GUEST_ASSERT(*pte & PTE_D);
	}
	guest_done();
}

TEST_MODES(bits, "accessed and dirty bits come and come again")
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, bits_guest));
	vm_free(&vm);
}

static void ring3_write(void)
{
	GUEST_TRY("movq %%rax, (%0)", : : "r"(GPA_TEST + PAGE) : "memory");
	g_val = g_vector;
	g_val2 = g_error;
}

/* Without CR0.WP the supervisor writes what is read-only, and nobody else does. */
static void wp_guest(void)
{
	small_pages(GPA_PT);
	at(GPA_PT)[1] = (GPA_TEST + PAGE) | PTE_P | PTE_U;
	at(GPA_PT)[2] = (GPA_TEST + 2 * PAGE) | PTE_P;
	write_cr3(read_cr3());
	write_cr0(read_cr0() & ~CR0_WP);
	*at(GPA_TEST + PAGE) = 5;
	*at(GPA_TEST + 2 * PAGE) = 6;
	GUEST_ASSERT(*at(GPA_TEST + PAGE) == 5 && *at(GPA_TEST + 2 * PAGE) == 6);
	write_cr0(read_cr0() | CR0_WP);
	GUEST_TRY("movq %%rax, (%0)", : : "r"(GPA_TEST + PAGE) : "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == (PFERR_P | PFERR_W));
	GUEST_TRY("movq %%rax, (%0)", : : "r"(GPA_TEST + 2 * PAGE) : "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == (PFERR_P | PFERR_W));
	write_cr0(read_cr0() & ~CR0_WP);
	*at(GPA_TEST + PAGE) = 7;
	guest_call_ring3(ring3_write);
	GUEST_ASSERT(g_val == PF_VECTOR && g_val2 == (PFERR_P | PFERR_W | PFERR_U));
	guest_done();
}

TEST_MODES(wp, "CR0.WP on and off")
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, wp_guest));
	vm_free(&vm);
}

/* A table becomes a page of data, written by whatever there is. */
static void reused_guest(void)
{
	volatile uint64_t *pt = at(GPA_PT);
	uint8_t env[108];
	unsigned int i;

	small_pages(GPA_PT);
	at(GPA_PD)[GPA_TEST >> 21] = GPA_TEST | PTE_PS | RWU;
	write_cr3(read_cr3());
	/* An instruction of many writes, which an emulator need not know. */
	asm volatile("fninit; fnsave %0; frstor %0" : "=m"(env));
	asm volatile("fnsave %0" : "=m"(*(uint8_t(*)[108])GPA_PT) : : "memory");
	for (i = 0; i < 14; i++)
		GUEST_ASSERT(*(volatile uint16_t *)GPA_PT == *(uint16_t *)env);
	for (i = 0; i < 512; i++)
		pt[i] = i * 0x1234567;
	for (i = 0; i < 512; i++)
		GUEST_ASSERT(pt[i] == i * 0x1234567);
	small_pages(GPA_PT);
	for (i = 0; i < 512; i++)
		GUEST_ASSERT(*at(GPA_TEST + i * PAGE) == i);
	guest_done();
}

TEST_MODES(reused, "a table becomes data and a table again")
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, reused_guest));
	vm_free(&vm);
}

#define SPACES	1500

/* More address spaces than there is room for tables, each with a page of its own. */
static void spaces_guest(void)
{
	const uint64_t roots = GPA_TEST + 0x100000;
	uint64_t round, i;

	for (i = 0; i < SPACES; i++) {
		at(roots + i * PAGE)[0] = at(GPA_PML4)[0];
		at(roots + i * PAGE)[256] = GPA_PT | PTE_P | PTE_W;
	}
	for (i = 0; i < 512; i++) {
		at(GPA_PT)[i] = PT2 | PTE_P | PTE_W;
		at(PT2)[i] = (i << 21) | PTE_P | PTE_W | PTE_PS;
	}
	for (round = 0; round < 2; round++) {
		for (i = 0; i < SPACES; i++) {
			write_cr3(roots + i * PAGE);
			*at((0xffff8ULL << 44) + roots + i * PAGE + 64) = i + round;
			GUEST_ASSERT(*at(roots + i * PAGE + 64) == i + round);
		}
	}
	guest_done();
}

TEST_MODES_SECONDS(spaces, "1,500 address spaces in turn", 60)
{
	struct vm vm;

	vcpu_run_to_end(start(&vm, mode, spaces_guest));
	vm_free(&vm);
}

/* ------------------------------ user pages and the supervisor ------------------------------ */

#define USER_PAGE	(1ULL << 39)

/* One page is the user's, and what the guest runs on the supervisor's. */
static void user_page(uint64_t rights)
{
	const uint64_t tables = GPA_TEST + 0x100000;

	at(GPA_PML4)[1] = tables | RWU;
	at(tables)[0] = (tables + PAGE) | RWU;
	at(tables + PAGE)[0] = (tables + 2 * PAGE) | RWU;
	at(tables + 2 * PAGE)[0] = GPA_TEST | rights;
	at(GPA_PML4)[0] &= ~PTE_U;
	write_cr3(read_cr3());
}

/* Without EFER.NX no fault says that it was a fetch, which is none of SMAP's business. */
static void fetch_guest(void)
{
	*(volatile uint8_t *)GPA_TEST = 0xc3;	/* ret */
	user_page(RWU);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NX);
	write_cr4(read_cr4() | CR4_SMAP);
	GUEST_TRY("call *%0", : : "r"(USER_PAGE) : "memory");
	GUEST_ASSERT(g_vector == NO_VECTOR);
	GUEST_TRY("movq (%0), %%rax", : : "r"(USER_PAGE) : "rax", "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == PFERR_P);
	guest_done();
}

static void need_leaf7(uint32_t ebx, uint32_t ecx)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 7, 0);

	if (!e || (e->ebx & ebx) != ebx || (e->ecx & ecx) != ecx)
		SKIP("the CPU lacks it");
}

TEST_MODES(fetch, "SMAP does not bind fetches, also without EFER.NX")
{
	struct vm vm;

	need_leaf7(BIT(20), 0);
	vcpu_run_to_end(start(&vm, mode, fetch_guest));
	vm_free(&vm);
}

static inline void wrpkru(uint32_t value)
{
	asm volatile(".byte 0x0f, 0x01, 0xef" : : "a"(value), "c"(0), "d"(0) : "memory");
}

/* Key 1 refuses writes, which binds a supervisor only with CR0.WP, or everything. */
static void keys_guest(void)
{
	user_page(RWU | 1ULL << 59);
	write_cr4(read_cr4() | CR4_PKE);
	wrpkru(2 << 2);
	GUEST_TRY("movq %0, (%0)", : : "r"(USER_PAGE) : "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == (PFERR_P | PFERR_W | PFERR_PK));
	write_cr0(read_cr0() & ~CR0_WP);
	GUEST_TRY("movq %0, (%0)", : : "r"(USER_PAGE) : "memory");
	GUEST_ASSERT(g_vector == NO_VECTOR && *at(GPA_TEST) == USER_PAGE);
	wrpkru(1 << 2);
	GUEST_TRY("movq %0, (%0)", : : "r"(USER_PAGE) : "memory");
	GUEST_ASSERT(g_vector == PF_VECTOR && g_error == (PFERR_P | PFERR_W | PFERR_PK));
	wrpkru(0);
	guest_done();
}

TEST_MODES(keys, "protection keys of a supervisor with CR0.WP and without")
{
	struct vm vm;

	need_leaf7(0, BIT(3));
	vcpu_run_to_end(start(&vm, mode, keys_guest));
	vm_free(&vm);
}

/* ------------------------------ userspace changes things, too ------------------------------ */

static void touch_both(void)
{
	unsigned int step = 0;

	for (;;) {
		g_val = *at(OTHER);
		g_val2 = *at(OTHER + 5 * PAGE);
		guest_sync(++step);
		invlpg(OTHER);
		invlpg(OTHER + 5 * PAGE);
	}
}

static void set_entry(struct vm *vm, uint64_t table, unsigned int i, uint64_t entry)
{
	memcpy(vm->mem + table + i * 8, &entry, 8);
}

/*
 * A large page, a table in its place, by userspace's hand, and then the slot goes away:
 * what led there must not be found any more by the paths that take pages away.
 */
TEST_MODES(rewritten, "userspace turns a large page into a table and back")
{
	uint64_t *extra = mmap(NULL, 0x400000, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vm vm;
	struct vcpu *v = start(&vm, mode, touch_both);
	unsigned int i, step = 0;

	ASSERT(extra != MAP_FAILED);
	for (i = 0; i < 4; i++) {
		ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 0x400000, extra));
		extra[0] = 11;
		extra[5 * 512] = 12;
		extra[6 * 512] = 13;
		set_entry(&vm, GPA_PD, OTHER >> 21, EXTRA | PTE_PS | RWU);
		vcpu_run_to_sync(v, ++step);
		if (step > 1)
			vcpu_run_to_sync(v, ++step);
		EXPECT_EQ(G(&vm, g_val), 11);
		EXPECT_EQ(G(&vm, g_val2), 12);
		/* The first frame of the large page is the table. */
		set_entry(&vm, GPA_PD, OTHER >> 21, EXTRA | RWU);
		extra[0] = (EXTRA + 6 * PAGE) | RWU;
		extra[5] = (EXTRA + 5 * PAGE) | RWU;
		vcpu_run_to_sync(v, ++step);
		vcpu_run_to_sync(v, ++step);
		EXPECT_EQ(G(&vm, g_val), 13);
		EXPECT_EQ(G(&vm, g_val2), 12);
		set_entry(&vm, GPA_PD, OTHER >> 21, GPA_TEST | PTE_PS | RWU);
		vcpu_run_to_sync(v, ++step);
		vcpu_run_to_sync(v, ++step);
		ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 0, extra));
		ASSERT(!madvise(extra, 0x400000, MADV_DONTNEED));
	}
	vm_free(&vm);
	munmap(extra, 0x400000);
}

/* ------------------------------ other widths ------------------------------ */

/*
 * 32-bit code turns paging on, reads by it, changes the entry, flushes, and reads again.
 * The parameters are the host's.
 */
static volatile uint32_t g_cr3, g_cr4, g_linear, g_entry_at, g_entry, g_new;
static volatile uint32_t g_first, g_second;

extern char narrow_code[], cr3_code[];
asm(".text; .code32\n"
    "narrow_code:\n"
    "movl g_cr3, %eax; movl %eax, %cr3\n"
    "movl g_cr4, %eax; movl %eax, %cr4\n"
    "movl %cr0, %eax; orl $0x80010000, %eax; movl %eax, %cr0; jmp 1f\n"
    "1: movl g_linear, %ebx; movl (%ebx), %eax; movl %eax, g_first\n"
    "movl g_entry_at, %ecx; movl g_new, %eax; movl %eax, (%ecx)\n"
    "invlpg (%ebx); movl (%ebx), %eax; movl %eax, g_second\n"
    "movl $0x600d, (%ebx)\n"
    /* and off again */
    "movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0; jmp 2f\n"
    "2: movl $0x5f0, %edx; xorl %eax, %eax; outl %eax, %dx; hlt\n"
    /* Reads by two tables, by the second with an instruction that an emulator translates for. */
    "cr3_code:\n"
    "movl g_cr3, %eax; movl %eax, %cr3\n"
    "movl g_cr4, %eax; movl %eax, %cr4\n"
    "movl %cr0, %eax; orl $0x80010000, %eax; movl %eax, %cr0; jmp 1f\n"
    "1: movl g_linear, %esi; movl (%esi), %eax; movl %eax, g_first\n"
    "movl g_new, %eax; movl %eax, %cr3\n"
    "cld; movl $g_second, %edi; movsl\n"
    "movl $0x5f0, %edx; xorl %eax, %eax; outl %eax, %dx; hlt\n"
    ".code64");

enum width { NARROW, NARROW_LARGE, PAE };

static void put32(struct vm *vm, uint64_t gpa, uint32_t value)
{
	memcpy(vm->mem + gpa, &value, sizeof(value));
}

/* Tables that map all memory to itself, and LINEAR to the page at GPA_TEST. */
#define LINEAR	0xc0a03000U

static void narrow_tables(struct vm *vm, bool large)
{
	unsigned int i;

	for (i = 0; i < 4096; i++)
		put32(vm, GPA_TEST + 0x100000 + i * 4, i << 12 | RWU);
	for (i = 0; i < 4; i++)
		put32(vm, GPA_PD + i * 4, (GPA_TEST + 0x100000 + i * 4096) | RWU);
	put32(vm, GPA_PD + (LINEAR >> 22) * 4, large ? GPA_TEST | PTE_PS | RWU : GPA_PT | RWU);
	put32(vm, GPA_PT + (LINEAR >> 12 & 1023) * 4, GPA_TEST | RWU);
	G(vm, g_cr3) = GPA_PD;
	G(vm, g_cr4) = large ? CR4_PSE : 0;
	G(vm, g_entry_at) = large ? GPA_PD + (LINEAR >> 22) * 4 :
				    GPA_PT + (LINEAR >> 12 & 1023) * 4;
	G(vm, g_new) = (large ? (GPA_TEST + 0x400000) | PTE_PS : GPA_TEST + PAGE) | RWU;
}

static void pae_tables(struct vm *vm)
{
	unsigned int i;

	memset(vm->mem + GPA_PDPT, 0, 32);
	set_entry(vm, GPA_PDPT, 0, GPA_PD | PTE_P);
	set_entry(vm, GPA_PDPT, 3, PT2 | PTE_P);
	for (i = 0; i < 8; i++)
		set_entry(vm, GPA_PD, i, (uint64_t)i << 21 | PTE_PS | RWU);
	set_entry(vm, PT2, LINEAR >> 21 & 511, GPA_PT | RWU);
	set_entry(vm, GPA_PT, LINEAR >> 12 & 511, GPA_TEST | RWU);
	G(vm, g_cr3) = GPA_PDPT;
	G(vm, g_cr4) = CR4_PAE;
	G(vm, g_entry_at) = GPA_PT + (LINEAR >> 12 & 511) * 8;
	G(vm, g_new) = (GPA_TEST + PAGE) | RWU;
}

static void run_width(uint32_t mode, enum width width)
{
	uint64_t first = GPA_TEST, second = GPA_TEST + PAGE;
	struct vm vm;
	struct vcpu *v = start(&vm, mode, (void (*)(void))narrow_code);

	vcpu_prot32(v, (void (*)(void))narrow_code);
	memset(vm.mem + GPA_PD, 0, 2 * PAGE);
	memset(vm.mem + GPA_PT, 0, 2 * PAGE);
	if (width == PAE)
		pae_tables(&vm);
	else
		narrow_tables(&vm, width == NARROW_LARGE);
	if (width == NARROW_LARGE) {
		first += LINEAR & 0x3fffff;
		second = first + 0x400000;
	}
	G(&vm, g_linear) = LINEAR;
	put32(&vm, first, 0x1111);
	put32(&vm, second, 0x2222);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_first), 0x1111);
	EXPECT_EQ(G(&vm, g_second), 0x2222);
	EXPECT_EQ(*(uint32_t *)(vm.mem + second), 0x600d);
	vm_free(&vm);
}

TEST_MODES(narrow, "32-bit paging: off, on, an entry changed, off again")
{
	run_width(mode, NARROW);
}

TEST_MODES(narrow_large, "32-bit paging with 4 MiB pages, likewise")
{
	run_width(mode, NARROW_LARGE);
}

TEST_MODES(pae, "PAE paging, likewise")
{
	run_width(mode, PAE);
}

/* The guest's MOV to CR3 exits in no mode but a shadow's. */
TEST_MODES(pae_cr3, "PAE paging: a device found by the PDPTEs of another CR3")
{
	uint64_t pd = GPA_TEST + 0x100000, pt = pd + PAGE;
	uint32_t data = 0x2222;
	struct vm vm;
	struct vcpu *v = start(&vm, mode, (void (*)(void))cr3_code);

	vcpu_prot32(v, (void (*)(void))cr3_code);
	memset(vm.mem + GPA_PD, 0, 2 * PAGE);
	memset(vm.mem + GPA_PT, 0, 2 * PAGE);
	memset(vm.mem + pd, 0, 2 * PAGE);
	pae_tables(&vm);
	memset(vm.mem + GPA_PDPT + 32, 0, 32);
	set_entry(&vm, GPA_PDPT + 32, 0, GPA_PD | PTE_P);
	set_entry(&vm, GPA_PDPT + 32, 3, pd | PTE_P);
	set_entry(&vm, pd, LINEAR >> 21 & 511, pt | RWU);
	set_entry(&vm, pt, LINEAR >> 12 & 511, EXTRA | RWU);
	G(&vm, g_new) = GPA_PDPT + 32;
	G(&vm, g_linear) = LINEAR;
	put32(&vm, GPA_TEST, 0x1111);
	want_mmio(v, EXTRA, 4, false);
	memcpy(v->run->mmio.data, &data, sizeof(data));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_first), 0x1111);
	EXPECT_EQ(G(&vm, g_second), data);
	vm_free(&vm);
}

#define DROPS	200

/* The bits of entries that have gone from the host's page tables, or go meanwhile. */
static void dropped_guest(void)
{
	unsigned int round, i;

	at(GPA_PD)[OTHER >> 21] = EXTRA | RWU;
	for (round = 0; round < DROPS; round++) {
		for (i = 0; i < 8; i++)
			at(EXTRA)[i] = (GPA_TEST + i * PAGE) | RWU;
		write_cr3(read_cr3());
		guest_sync(1);
		for (i = 0; i < 8; i++)
			*at(OTHER + i * PAGE) = round;
		for (i = 0; i < 8; i++) {
			GUEST_ASSERT((at(EXTRA)[i] & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
			GUEST_ASSERT(*at(GPA_TEST + i * PAGE) == round);
		}
	}
	guest_done();
}

static void *file_page;
static bool enough;

static void *drop_always(void *unused)
{
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		madvise(file_page, PAGE, MADV_DONTNEED);
		sched_yield();
	}
	return unused;
}

TEST_MODES(dropped, "a table in a file's page, which the host drops while its bits are set")
{
	int fd = memfd_create("table", 0), i;
	pthread_t thread;
	struct vm vm;
	struct vcpu *v = start(&vm, mode, dropped_guest);

	ASSERT(fd >= 0 && !ftruncate(fd, PAGE));
	file_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(file_page != MAP_FAILED);
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, file_page));
	enough = false;
	ASSERT(!pthread_create(&thread, NULL, drop_always, NULL));
	for (i = 0; i < DROPS; i++) {
		vcpu_run_to_sync(v, 1);
		EXPECT_OK(madvise(file_page, PAGE, MADV_DONTNEED));
	}
	vcpu_run_to_end(v);
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	ASSERT(!pthread_join(thread, NULL));
	vm_free(&vm);
	munmap(file_page, PAGE);
	close(fd);
}
