// SPDX-License-Identifier: GPL-2.0-only
/* What a guest does with its page tables, to be counted: by figures, and by tests. */
#include <linux/umbra.h>
#include <sys/mman.h>

#include "guest.h"
#include "paging_work.h"
#include "vm.h"

#define PAGE		4096ULL
#define RWU		(PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define AREA		0x40000000ULL		/* linear */
#define PAGES		512			/* of it: one table's */
#define TABLES		(GPA_TEST + 0x100000)	/* behind the measured program's own */
#define DATA		(GPA_TEST + 0x300000)
#define SPARE		0x20000000ULL		/* physical; nobody uses it */
#define SPARE_SIZE	(256ULL << 20)
#define WARM_UP		2			/* batches */
#define SPACES		64
#define TOUCHED		8			/* pages in each address space */
#define PIC_MASK	0x21
#define ROUND		2			/* a batch of dirty_writer begins */
#define IN_RING3	100			/* system calls of a visit there */
#define STORES		64			/* to a table between two flushes */
#define COPIES		(GPA_TEST + 0x500000)	/* what a fork's child gets */
#define FORKED		64			/* pages of a process */
#define WRITTEN		16			/* of them, by the child */
#define FRESH		32			/* pages of the program that it becomes */

static volatile uint64_t g_batches, g_ops, g_ticks, g_spaces, g_copies, g_space;

/* ------------------------------ the guest's side ------------------------------ */

static inline uint64_t rdtsc_now(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

static inline volatile uint64_t *at(uint64_t address)
{
	return (volatile uint64_t *)address;
}

static inline uint64_t page_of(unsigned int i)
{
	return AREA + i * PAGE;
}

static void set_table(uint64_t bits)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		at(TABLES)[i] = bits ? (DATA + i * PAGE) | bits : 0;
	write_cr3(read_cr3());
}

static void prepare(void)
{
	set_table(RWU);
	at(GPA_PD)[AREA >> 21] = TABLES | RWU;
	write_cr3(read_cr3());
}

/* What a kernel does for a page that is not there, or may not be written yet. */
static void on_page_fault(struct frame *f)
{
	unsigned int i = (read_cr2() - AREA) / PAGE;

	(void)f;
	at(TABLES)[i] = (DATA + i * PAGE) | RWU;
}

/*
 * @before each batch, which is not counted, all of @op is done @n times. None of it lies at
 * a page's end, where an instruction that exits has its length looked for each time anew.
 */
#define BATCHES(name, n, before, op)						\
static void __attribute__((aligned(1024))) name(void)				\
{										\
	uint64_t batch, i, start;						\
										\
	prepare();								\
	g_handlers[14] = on_page_fault;						\
	for (batch = 0; batch < WARM_UP + g_batches; batch++) {			\
		before;								\
		if (batch == WARM_UP)						\
			guest_sync(1);						\
		start = rdtsc_now();						\
		for (i = 0; i < (n); i++) {					\
			op;							\
		}								\
		if (batch >= WARM_UP)						\
			g_ticks += rdtsc_now() - start, g_ops += (n);		\
	}									\
	guest_done();								\
}

static void read_all(void)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		(void)*at(page_of(i));
}

/* Map, touch and unmap a few pages, as a process does with a buffer. */
static inline void churn(unsigned int first)
{
	unsigned int i;

	for (i = first; i < first + 16; i++)
		*at(page_of(i)) = i;
	for (i = first; i < first + 16; i++) {
		at(TABLES)[i] = 0;
		invlpg(page_of(i));
	}
}

/* Address spaces that share the table of what is below 1 GiB. */
static inline uint64_t space(unsigned int i)
{
	return TABLES + PAGE + i * 4 * PAGE;
}

/* A kernel's way in and out, with its page tables isolated (rdi, rsi: its root, the user's) or not. */
asm(".globl paging_syscall, paging_syscall_pti\n"
    ".balign 16\n"
    "paging_syscall_pti:\n"
    "	mov %rdi, %cr3\n"
    "	mov %rsi, %cr3\n"
    "paging_syscall:\n"
    "	sysretq\n");
extern char paging_syscall[], paging_syscall_pti[];

static void set_syscall(const char *entry)
{
	wrmsr(MSR_STAR, (uint64_t)(SEL_UDATA - 8) << 48 | (uint64_t)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, (uintptr_t)entry);
}

static void in_ring3_getpid(void)
{
	unsigned int i;

	for (i = 0; i < IN_RING3; i++)
		asm volatile("syscall" : : "D"(GPA_PML4), "S"(space(0)) : "rcx", "r11", "memory");
}

static void on_divide_error(struct frame *f)
{
	/* What divides is two bytes long. */
	f->rip += 2;
}

static inline void divide_by_zero(void)
{
	asm volatile("divl %0" : : "r"(0) : "eax", "edx", "cc");
}

/* What is in the area comes later. */
static void make_space(unsigned int s)
{
	uint64_t root = space(s);
	unsigned int i;

	for (i = 0; i < 512; i++) {
		at(root)[i] = 0;
		at(root + PAGE)[i] = i == 0 ? at(GPA_PDPT)[0] : 0;
		at(root + 2 * PAGE)[i] = 0;
		at(root + 3 * PAGE)[i] = 0;
	}
	at(root)[0] = (root + PAGE) | RWU;
	at(root + PAGE)[AREA >> 30] = (root + 2 * PAGE) | RWU;
	at(root + 2 * PAGE)[0] = (root + 3 * PAGE) | RWU;
}

static void fill_space(unsigned int s, unsigned int pages)
{
	unsigned int i;

	for (i = 0; i < pages; i++)
		at(space(s) + 3 * PAGE)[i] = (DATA + (s * pages + i) * PAGE) | RWU;
}

static void make_spaces(void)
{
	unsigned int s;

	for (s = 0; s < g_spaces; s++) {
		make_space(s);
		fill_space(s, TOUCHED);
	}
}

/* The parent has what it had for itself again; the child gets a copy, or an empty page. */
static void on_fork_fault(struct frame *f)
{
	unsigned int i = (read_cr2() - AREA) / PAGE, k;
	volatile uint64_t *entry = &at(space(g_space) + 3 * PAGE)[i];
	uint64_t copy;

	(void)f;
	if (!g_space) {
		*entry |= PTE_W | PTE_D;
		return;
	}
	copy = COPIES + g_copies++ * PAGE;
	for (k = 0; k < PAGE / 8; k++)
		at(copy)[k] = *entry & PTE_P ? at(page_of(i))[k] : 0;
	*entry = copy | RWU;
}

static void begin_fork(uint64_t batch)
{
	g_handlers[14] = on_fork_fault;
	if (batch)
		return;
	make_space(0);
	fill_space(0, FORKED);
	write_cr3(space(0));
}

/* As a kernel does, which need not ask the CPU for its CR3 then. */
static void enter_space(unsigned int s)
{
	g_space = s;
	write_cr3(space(s));
}

/* A process makes another, which writes some pages, becomes another program and ends. */
static void fork_exec(void)
{
	volatile uint64_t *parent = at(space(0) + 3 * PAGE), *child = at(space(1) + 3 * PAGE);
	unsigned int i;

	make_space(1);
	for (i = 0; i < FORKED; i++) {
		parent[i] &= ~(PTE_W | PTE_D);
		child[i] = parent[i];
	}
	enter_space(0);
	enter_space(1);
	g_copies = 0;
	for (i = 0; i < WRITTEN; i++)
		*at(page_of(i)) += 1;
	for (i = 0; i < FORKED; i++)
		child[i] = 0;
	enter_space(1);
	for (i = 0; i < FRESH; i++)
		*at(page_of(i)) = i;
	enter_space(0);
	for (i = 0; i < FORKED; i += FORKED / WRITTEN)
		*at(page_of(i)) += 1;
}

static inline void switch_to(unsigned int s)
{
	unsigned int i;

	write_cr3(space(s));
	for (i = 0; i < TOUCHED; i++)
		*at(page_of(i)) += 1;
}

/* The VMM takes its log of the spare memory before each batch. */
static void before_round(uint64_t batch)
{
	unsigned int i;

	for (i = 0; !batch && i < PAGES; i++)
		at(TABLES)[i] = (SPARE + i * PAGE) | RWU;
	if (!batch)
		write_cr3(read_cr3());
	guest_sync(ROUND);
}

/* Nothing is left to be mapped. */
static void read_once(uint64_t batch)
{
	if (!batch)
		read_all();
}

/* A bit that is software's: no flush is needed. */
static inline void store(unsigned int i, uint64_t batch)
{
	at(TABLES)[i] = (DATA + i * PAGE) | RWU | (batch & 1 ? 0 : BIT(9));
}

static inline void store_and_flush(unsigned int first, uint64_t batch)
{
	unsigned int i;

	for (i = first; i < first + STORES; i++)
		store(i, batch);
	write_cr3(GPA_PML4);
}

static inline void compute(void)
{
	unsigned int i;

	for (i = 0; i < 1000; i++)
		asm volatile("imul %0, %0" : "+r"(i) : : "cc");
}

BATCHES(g_fault_true, PAGES, set_table(0), *at(page_of(i)) = i)
BATCHES(g_fault_prot, PAGES, (set_table(RWU & ~(PTE_W | PTE_D)), read_all()), *at(page_of(i)) = i)
BATCHES(g_mmap_churn, PAGES / 16, set_table(0), churn(i * 16))
BATCHES(g_ctx, SPACES * 4, if (!batch) make_spaces(), switch_to(i % g_spaces))
BATCHES(g_fork_exec, 4, begin_fork(batch), fork_exec())
BATCHES(g_pte_store, PAGES, read_once(batch), store(i, batch); *at(page_of(i)) = i)
BATCHES(g_pte_flush, PAGES / STORES, read_once(batch), store_and_flush(i * STORES, batch))
BATCHES(g_dirty, PAGES, before_round(batch), *at(page_of(i)) = i)
BATCHES(g_getpid, 10, set_syscall(paging_syscall), guest_call_ring3(in_ring3_getpid))
BATCHES(g_getpid_pti, 10, if (!batch) make_spaces(); set_syscall(paging_syscall_pti),
	guest_call_ring3(in_ring3_getpid))
BATCHES(g_divzero, 1000, g_handlers[0] = on_divide_error, divide_by_zero())
BATCHES(g_io, 1000, , inb(PIC_MASK))
BATCHES(g_cpu, 100, , compute())

const struct paging_work paging_works[] = {
	{ "fault_true", g_fault_true, 4, 0, 1, "a write to a page that is not there; the handler puts it in" },
	{ "fault_prot", g_fault_prot, 4, 0, 1, "a write to a page that may only be read; the handler allows it" },
	{ "mmap_churn", g_mmap_churn, 4, 0, 1, "16 such pages touched, and taken away with INVLPG" },
	{ "ctx_2", g_ctx, 16, 2, 1, "MOV to CR3 of the other of 2 address spaces, and 8 pages touched" },
	{ "ctx_8", g_ctx, 16, 8, 1, "the same with 8" },
	{ "ctx_64", g_ctx, 16, 64, 1, "the same with 64" },
	{ "fork_exec", g_fork_exec, 8, 0, 1, "64 pages forked, 16 copied, all unmapped and 32 filled, and 16 the parent's again" },
	{ "pte_store", g_pte_store, 4, 0, 1, "a store to a page table, and to the page, which is in use" },
	{ "pte_flush", g_pte_flush, 80, 0, 1, "64 stores to a page table, and MOV to CR3" },
	{ "dirty_writer", g_dirty, 4, 0, 1, "a write to a page of a slot whose log the VMM takes before" },
	{ "getpid", g_getpid, 4, 0, IN_RING3, "SYSCALL and SYSRET" },
	{ "getpid_pti", g_getpid_pti, 4, 1, IN_RING3, "the same, and MOV to CR3 on each way" },
	{ "divzero", g_divzero, 4, 0, 1, "a division by zero, and its handler" },
	{ "io", g_io, 4, 0, 1, "IN from a device in the kernel" },
	{ "cpu", g_cpu, 40, 0, 1, "1000 rounds of arithmetic" },
};

const unsigned int nr_paging_works = ARRAY_SIZE(paging_works);

/* ------------------------------ the host's side ------------------------------ */

static void take_log(struct vm *vm)
{
	static uint64_t pages[SPARE_SIZE / PAGE / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = pages };

	ASSERT(!ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
}

/* Up to the first batch that counts. */
static void run_warm_up(struct vm *vm, struct vcpu *v, const struct paging_work *work)
{
	unsigned int batch;

	for (batch = 0; work->entry == g_dirty && batch <= WARM_UP; batch++) {
		vcpu_run_to_sync(v, ROUND);
		take_log(vm);
	}
	vcpu_run_to_sync(v, 1);
}

void paging_work_finish(struct vm *vm, const struct paging_work *work)
{
	struct vcpu *v = &vm->vcpu[0];
	unsigned int batch;

	for (batch = 1; work->entry == g_dirty && batch < work->batches; batch++) {
		vcpu_run_to_sync(v, ROUND);
		take_log(vm);
	}
	vcpu_run_to_end(v);
}

void paging_work_begin(struct vm *vm, const struct paging_work *work, int mode)
{
	uint32_t m = mode;
	struct vcpu *v;
	void *spare;

	vm_init(vm, VM_IRQCHIP);
	if (mode >= 0)
		ASSERT(!ioctl(vm->fd, UMBRA_SET_MMU, &m));
	/* A shadow's quota is a share of the memory: as much as small guests have. */
	spare = mmap(NULL, SPARE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT(spare != MAP_FAILED);
	ASSERT(!vm_slot(vm, 1, work->entry == g_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0, SPARE, SPARE_SIZE, spare));
	v = vm_vcpu(vm, 0);
	vcpu_long_mode(v, work->entry);
	G(vm, g_batches) = work->batches;
	G(vm, g_spaces) = work->spaces;
	run_warm_up(vm, v, work);
}

uint64_t paging_work_ops(struct vm *vm, const struct paging_work *work)
{
	return G(vm, g_ops) * work->each;
}

uint64_t paging_work_ticks(struct vm *vm)
{
	return G(vm, g_ticks);
}
