// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory: slots under a running guest, dirty logs, the host's own moves. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define EXTRA	0x20000000ULL	/* where tests put a slot of their own */
#define PAGE	4096ULL

static volatile uint64_t g_val, g_val2;
static uint64_t g_at, g_n;

static void read_one(void)
{
	g_val = *(volatile uint64_t *)EXTRA;
	guest_sync(1);
	g_val = *(volatile uint64_t *)EXTRA;
	guest_done();
}

TEST(slot_new, "MMIO becomes memory when a slot is made there")
{
	uint64_t *page = map_pages(PAGE);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_one);

	*page = 0x1234567812345678;
	want_mmio(v, EXTRA, 8, false);
	*(uint64_t *)v->run->mmio.data = 42;
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_val), 42);
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, page));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), *page);
}

TEST(slot_gone, "memory becomes MMIO when its slot is deleted")
{
	uint64_t *page = map_pages(PAGE);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_one);

	*page = 0x77;
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, page));
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_val), 0x77);
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 0, page));
	want_mmio(v, EXTRA, 8, false);
	*(uint64_t *)v->run->mmio.data = 43;
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 43);
}

TEST(slot_replaced, "a slot deleted and made anew shows the new memory")
{
	uint64_t *a = map_pages(PAGE), *b = map_pages(PAGE);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_one);

	*a = 1;
	*b = 2;
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, a));
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_val), 1);
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 0, a));
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, b));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 2);
}

TEST(slot_moved, "a slot that was moved is MMIO at its old place")
{
	uint64_t *page = map_pages(PAGE);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, read_one);

	*page = 5;
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, PAGE, page));
	vcpu_run_to_sync(v, 1);
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA + PAGE, PAGE, page));
	want_mmio(v, EXTRA, 8, false);
	vcpu_run_to_end(v);
}

static void readonly_guest(void)
{
	g_val = *(volatile uint32_t *)EXTRA;
	*(volatile uint32_t *)(EXTRA + 8) = 0x55;
	g_val2 = *(volatile uint32_t *)(EXTRA + 8);
	guest_done();
}

TEST(readonly, "a write to a read-only slot is an MMIO exit; reads are memory")
{
	uint32_t *page = map_pages(PAGE);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, readonly_guest);

	page[0] = 0xabc;
	page[2] = 0xdef;
	ASSERT(!vm_slot(&vm, 1, KVM_MEM_READONLY, EXTRA, PAGE, page));
	want_mmio(v, EXTRA + 8, 4, true);
	EXPECT_EQ(*(uint32_t *)v->run->mmio.data, 0x55);
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_val), 0xabc);
	EXPECT_EQ(G(&vm, g_val2), 0xdef);
	EXPECT_EQ(page[2], 0xdef);
}

/* Writes to the pages @g_at, two apart, @g_n of them. */
static void write_pages(void)
{
	uint64_t i;

	for (i = 0; i < g_n; i++)
		*(volatile uint64_t *)(g_at + i * 2 * PAGE) = i + 1;
	guest_sync(1);
	for (i = 0; i < g_n; i++)
		g_val += *(volatile uint64_t *)(g_at + i * 2 * PAGE);
	guest_sync(2);
	*(volatile uint64_t *)(g_at + 6 * PAGE) = 9;
	guest_done();
}

static void get_log(struct vm *vm, uint64_t *bits)
{
	struct kvm_dirty_log log = { .slot = 1 };

	bits[0] = bits[1] = -1ULL;
	log.dirty_bitmap = bits;
	ASSERT(!ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
}

TEST(dirty_log, "the dirty log has just the pages written, and is cleared by reading")
{
	uint8_t *mem = map_pages(128 * PAGE);
	uint64_t bits[2];
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, write_pages);

	ASSERT(!vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, EXTRA, 128 * PAGE,
			mem));
	G(&vm, g_at) = EXTRA + PAGE;
	G(&vm, g_n) = 40;
	vcpu_run_to_sync(v, 1);
	get_log(&vm, bits);
	EXPECT_EQ(bits[0], 0xaaaaaaaaaaaaaaaa);
	EXPECT_EQ(bits[1], 0xaaaa);
	get_log(&vm, bits);
	EXPECT_EQ(bits[0] | bits[1], 0);
	vcpu_run_to_sync(v, 2);
	get_log(&vm, bits);
	EXPECT_EQ(bits[0] | bits[1], 0);
	vcpu_run_to_end(v);
	get_log(&vm, bits);
	EXPECT_EQ(bits[0], BIT(7));
	EXPECT_EQ(bits[1], 0);
}

TEST(dirty_log_late, "dirty logging switched on later finds pages written before")
{
	uint8_t *mem = map_pages(128 * PAGE);
	uint64_t bits[2];
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, write_pages);

	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 128 * PAGE, mem));
	G(&vm, g_at) = EXTRA + PAGE;
	G(&vm, g_n) = 40;
	vcpu_run_to_sync(v, 1);
	ASSERT(!vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, EXTRA, 128 * PAGE,
			mem));
	get_log(&vm, bits);
	EXPECT_EQ(bits[0] | bits[1], 0);
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_end(v);
	get_log(&vm, bits);
	EXPECT_EQ(bits[0], BIT(7));
}

TEST(dirty_log_huge, "dirty logging over a 2 MiB page logs single pages")
{
	/* 4 MiB, so that one aligned huge page is in it. */
	uint8_t *mem = map_pages(4 << 20), *huge;
	uint64_t bits[8];
	struct kvm_dirty_log log = { .slot = 1 };
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, write_pages);

	huge = (uint8_t *)(((uintptr_t)mem + (2 << 20) - 1) & -(2UL << 20));
	madvise(huge, 2 << 20, MADV_HUGEPAGE);
	memset(huge, 0, 2 << 20);
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 2 << 20, huge));
	G(&vm, g_at) = EXTRA;
	G(&vm, g_n) = 200;
	vcpu_run_to_sync(v, 1);
	ASSERT(!vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, EXTRA, 2 << 20, huge));
	vcpu_run_to_sync(v, 2);
	vcpu_run_to_end(v);
	log.dirty_bitmap = bits;
	ASSERT(!ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(bits[0], BIT(6));
	EXPECT_EQ(bits[1] | bits[2] | bits[3] | bits[4] | bits[5] | bits[6] |
		  bits[7], 0);
}

static void ins_page(void)
{
	uint64_t di = EXTRA + 5 * PAGE, cx = 4;

	asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(0x100) : "memory");
	guest_done();
}

TEST(dirty_log_emulated, "a write by REP INSB reaches the dirty log")
{
	uint8_t *mem = map_pages(64 * PAGE);
	uint64_t bits[2];
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, ins_page);

	ASSERT(!vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, EXTRA, 64 * PAGE, mem));
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == 0x100)
		;
	ASSERT(guest_said(v, PORT_DONE, NULL));
	get_log(&vm, bits);
	EXPECT_EQ(bits[0], BIT(5));
}

static void clock_page(void)
{
	wrmsr(0x4b564d01, (EXTRA + 3 * PAGE) | 1);
	guest_done();
}

TEST(dirty_log_kvmclock, "a write to the kvmclock page reaches the dirty log")
{
	uint8_t *mem = map_pages(64 * PAGE);
	uint64_t bits[2];
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, VM_IRQCHIP, clock_page);

	ASSERT(!vm_slot(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, EXTRA, 64 * PAGE, mem));
	vcpu_run_to_end(v);
	get_log(&vm, bits);
	EXPECT_EQ(bits[0], BIT(3));
}

/* The host changes what lies under the guest. */

static void sum_words(void)
{
	uint64_t i;

	for (;;) {
		g_val = 0;
		for (i = 0; i < g_n; i++)
			g_val += *(volatile uint64_t *)(g_at + i * PAGE);
		guest_sync(1);
	}
}

static struct vcpu *sum_vm(struct vm *vm, void *mem, uint64_t pages)
{
	struct vcpu *v = vm_long_mode(vm, 0, sum_words);

	ASSERT(!vm_slot(vm, 1, 0, EXTRA, pages * PAGE, mem));
	G(vm, g_at) = EXTRA;
	G(vm, g_n) = pages;
	return v;
}

static uint64_t guest_sum(struct vm *vm, struct vcpu *v)
{
	vcpu_run_to_sync(v, 1);
	return G(vm, g_val);
}

TEST(dontneed, "MADV_DONTNEED: the guest reads zeros")
{
	uint64_t *mem = map_pages(16 * PAGE);
	struct vm vm;
	struct vcpu *v = sum_vm(&vm, mem, 16);
	int i;

	for (i = 0; i < 16; i++)
		mem[i * 512] = 7;
	EXPECT_EQ(guest_sum(&vm, v), 16 * 7);
	ASSERT(!madvise(mem, 8 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(guest_sum(&vm, v), 8 * 7);
	ASSERT(!madvise(mem, 16 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(guest_sum(&vm, v), 0);
}

TEST(remap, "mmap over guest memory: the guest reads the new pages")
{
	uint64_t *mem = map_pages(16 * PAGE);
	struct vm vm;
	struct vcpu *v = sum_vm(&vm, mem, 16);

	mem[0] = 100;
	EXPECT_EQ(guest_sum(&vm, v), 100);
	ASSERT(mmap(mem, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	mem[512] = 23;
	EXPECT_EQ(guest_sum(&vm, v), 23);
}

TEST(cow_fork, "after fork the guest sees its owner's writes, not the child's")
{
	uint64_t *mem = map_pages(PAGE);
	struct vm vm;
	struct vcpu *v = sum_vm(&vm, mem, 1);
	int go[2], done[2];
	char c = 0;

	mem[0] = 1;
	EXPECT_EQ(guest_sum(&vm, v), 1);
	ASSERT(!pipe(go) && !pipe(done));
	if (!fork()) {
		if (read(go[0], &c, 1) == 1)
			mem[0] = 1000;
		if (write(done[1], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	EXPECT_EQ(guest_sum(&vm, v), 1);
	mem[0] = 2;		/* copies the page for us */
	EXPECT_EQ(guest_sum(&vm, v), 2);
	ASSERT(write(go[1], &c, 1) == 1);
	ASSERT(read(done[0], &c, 1) == 1);
	EXPECT_EQ(guest_sum(&vm, v), 2);
}

static const struct backing {
	const char *name;
	int huge;		/* MADV_ for the mapping, or 0 */
	uint64_t shift;		/* guest address off 2 MiB, in pages */
} backings[] = {
	{ "4 KiB pages", MADV_NOHUGEPAGE, 0 },
	{ "transparent huge pages", MADV_HUGEPAGE, 0 },
	{ "huge pages out of step with guest addresses", MADV_HUGEPAGE, 3 },
};

#define BIG	(6ULL << 20)

static void pattern_guest(void)
{
	uint64_t i;

	/* Each page holds its number; write back what it is not. */
	for (i = 0; i < g_n; i++) {
		volatile uint64_t *p = (void *)(g_at + i * PAGE);

		GUEST_ASSERT(p[0] == i * 3 + 1);
		p[511] = ~(i * 3 + 1);
	}
	guest_done();
}

TEST_EACH(backing, "each page of memory is where it belongs, over ", backings, b)
{
	uint8_t *mem = map_pages(BIG + (2 << 20));
	uint64_t i, pages = BIG / PAGE - b->shift;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, pattern_guest);

	mem = (uint8_t *)(((uintptr_t)mem + (2 << 20) - 1) & -(2UL << 20));
	madvise(mem, BIG, b->huge);
	for (i = 0; i < pages; i++)
		*(uint64_t *)(mem + i * PAGE) = i * 3 + 1;
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA + b->shift * PAGE, pages * PAGE, mem));
	G(&vm, g_at) = EXTRA + b->shift * PAGE;
	G(&vm, g_n) = pages;
	vcpu_run_to_end(v);
	for (i = 0; i < pages; i++)
		EXPECT_EQ(*(uint64_t *)(mem + i * PAGE + 4088), ~(i * 3 + 1));
}

TEST(shared_memfd, "memory of a memfd, and a hole punched in it")
{
	int fd = memfd_create("guest", 0);
	uint64_t *mem;
	struct vm vm;
	struct vcpu *v;

	ASSERT(fd >= 0 && !ftruncate(fd, 16 * PAGE));
	mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(mem != MAP_FAILED);
	mem[0] = 5;
	mem[512] = 6;
	v = sum_vm(&vm, mem, 16);
	EXPECT_EQ(guest_sum(&vm, v), 11);
	ASSERT(!madvise(mem, PAGE, MADV_REMOVE));
	EXPECT_EQ(guest_sum(&vm, v), 6);
}

TEST(truncated_file, "memory behind the end of a truncated file: EFAULT")
{
	int fd = memfd_create("guest", 0);
	uint64_t *mem;
	struct vm vm;
	struct vcpu *v;

	ASSERT(fd >= 0 && !ftruncate(fd, 16 * PAGE));
	mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT(mem != MAP_FAILED);
	v = sum_vm(&vm, mem, 16);
	EXPECT_EQ(guest_sum(&vm, v), 0);
	ASSERT(!ftruncate(fd, 0));
	EXPECT_ERR(vcpu_run_raw(v), EFAULT);
}

TEST(two_slots_one_page, "two slots over the same host page see each other")
{
	uint64_t *mem = map_pages(PAGE);
	struct vm vm;
	struct vcpu *v = sum_vm(&vm, mem, 1);

	ASSERT(!vm_slot(&vm, 2, 0, EXTRA + 0x10000, PAGE, mem));
	G(&vm, g_at) = EXTRA + 0x10000;
	mem[0] = 3;
	EXPECT_EQ(guest_sum(&vm, v), 3);
	G(&vm, g_at) = EXTRA;
	EXPECT_EQ(guest_sum(&vm, v), 3);
	ASSERT(!vm_slot(&vm, 1, 0, EXTRA, 0, mem));
	G(&vm, g_at) = EXTRA + 0x10000;
	mem[0] = 4;
	EXPECT_EQ(guest_sum(&vm, v), 4);
}

/* Above 4 GiB. */

static void high_guest(void)
{
	/* 1 GiB at 512 GiB: guest address 2^39 to guest-physical 2^33. */
	((volatile uint64_t *)GPA_PML4)[1] = GPA_PT | PTE_P | PTE_W;
	((volatile uint64_t *)GPA_PT)[0] = (GPA_PT + PAGE) | PTE_P | PTE_W;
	((volatile uint64_t *)(GPA_PT + PAGE))[0] =
		BIT(33) | PTE_P | PTE_W | PTE_PS;
	*(volatile uint64_t *)(BIT(39) + 0x1230) = 0x5555aaaa;
	g_val = *(volatile uint64_t *)(BIT(39) + 0x2000);
	guest_done();
}

TEST(high_memory, "memory above 4 GiB, by a guest mapping above 512 GiB")
{
	uint8_t *mem = map_pages(2 << 20);
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, high_guest);

	ASSERT(!vm_slot(&vm, 1, 0, BIT(33), 2 << 20, mem));
	*(uint64_t *)(mem + 0x2000) = 0x99;
	vcpu_run_to_end(v);
	EXPECT_EQ(*(uint64_t *)(mem + 0x1230), 0x5555aaaa);
	EXPECT_EQ(G(&vm, g_val), 0x99);
}

/* 32-bit code without paging: no exception, and memory stays what it is. */
static volatile uint32_t g_flushes, g_flushed;
static volatile uint64_t g_pcid[2];

extern char flush_code[];
asm(".text; .code32\n"
    "flush_code:\n"
    "movl $0x1234, g_val; invlpg g_val\n"
    "xorl %eax, %eax\n"
    "1: cmpl %eax, g_flushes; je 2f\n"
    "invpcid g_pcid, %eax; incl %eax; jmp 1b\n"
    "2: movl g_val, %eax; movl %eax, g_flushed\n"
    "movl $0x5f0, %edx; xorl %eax, %eax; outl %eax, %dx; hlt\n"
    ".code64");

TEST(flush_unpaged, "INVLPG and each type of INVPCID without paging (26)")
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 7, 0);
	struct vm vm;
	struct vcpu *v;

	vm_init(&vm, 0);
	v = vm_vcpu(&vm, 0);
	vcpu_set_cpuid(v, c);
	vcpu_prot32(v, (void (*)(void))flush_code);
	/* Types 0 to 3, where the CPU has any. */
	G(&vm, g_flushes) = e && e->ebx & BIT(10) ? 4 : 0;
	ktap_diag("%u types of INVPCID", G(&vm, g_flushes));
	vcpu_run_to_end(v);
	EXPECT_EQ(G(&vm, g_flushed), 0x1234);
	vm_free(&vm);
}
