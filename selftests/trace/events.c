// SPDX-License-Identifier: GPL-2.0-only
/* Trace events: of a guest whose deeds are known each is seen, with the right fields. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/umbra.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "tracefs.h"
#include "vm.h"

#define TIMES	7
#define PORT	0x1230
#define PAGE	4096UL
#define GPA	0x20000000UL	/* a slot of its own, of small pages */
#define SLOT	7
#define PAGES	8
#define VECTOR	0x55

static struct vm vm;
static struct vcpu *v;
static volatile uint64_t g_cpuid[4], g_cr4, g_ready;
static char *pages;
static pid_t runner;

extern char here_cpuid[], here_add[];

/* ---- what the guests do ---- */

static void cpuids(void)
{
	uint32_t a, b, c, d;
	int i;

	for (i = 0; i < TIMES; i++) {
		a = 0x40000000;
		c = 0;
		asm volatile(".globl here_cpuid\nhere_cpuid: cpuid"
			     : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	}
	g_cpuid[0] = a;
	g_cpuid[1] = b;
	g_cpuid[2] = c;
	g_cpuid[3] = d;
	a = 0x50000000;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	guest_done();
}

static void ports(void)
{
	static const uint16_t words[] = { 0x1111, 0x2222, 0x3333 };
	const uint16_t *s = words;
	uint64_t n = 3;

	outb(PORT, 0x12);
	outw(PORT, 0x1234);
	outl(PORT, 0x12345678);
	inb(PORT);
	asm volatile("rep outsw" : "+S"(s), "+c"(n) : "d"(PORT) : "memory");
	guest_done();
}

static void mmio(void)
{
	volatile uint8_t *p = (void *)GPA_HOLE;

	asm volatile("movb %%al, %0" : "=m"(p[0]) : "a"(0x1122335a));
	asm volatile("movq %1, %0" : "=m"(p[8]) : "r"(0x1122334455667788UL));
	(void)*(volatile uint16_t *)(p + 16);
	(void)*(volatile uint16_t *)(p + 16);
	guest_done();
}

static void add_mmio(void)
{
	asm volatile(".globl here_add\nhere_add: addl $1, (%%rax)" : : "a"(GPA_HOLE) : "memory");
	guest_done();
}

static void msrs(void)
{
	wrmsr(MSR_TSC_ADJUST, 0x1234500000);
	rdmsr(MSR_TSC_ADJUST);
	GUEST_TRY("rdmsr", : : "c"(0x12345) : "rax", "rdx");
	GUEST_ASSERT(g_vector == 13);
	guest_done();
}

static void crs(void)
{
	uint64_t cr4 = read_cr4();

	write_cr4(cr4 ^ 8);
	g_cr4 = cr4 ^ 8;
	read_cr3();
	guest_done();
}

static void hypercalls(void)
{
	uint64_t rax = 99;

	if (cpu_is_intel())
		asm volatile("vmcall" : "+a"(rax) : "b"(1), "c"(2), "d"(3), "S"(4) : "memory");
	else
		asm volatile("vmmcall" : "+a"(rax) : "b"(1), "c"(2), "d"(3), "S"(4) : "memory");
	guest_done();
}

static void on_vector(struct frame *f)
{
	(void)f;
	apic_eoi();
}

static void self_ipis(void)
{
	int i;

	g_handlers[VECTOR] = on_vector;
	apic_on();
	sti();
	for (i = 0; i < TIMES; i++)
		apic_write(APIC_ICR, 0x40000 | VECTOR);
	cli();
	guest_sync(1);
	guest_done();
}

static void halt_once(void)
{
	g_handlers[VECTOR] = on_vector;
	apic_on();
	for (;;) {
		g_ready = 1;
		sti_hlt_cli();
		guest_sync(1);
	}
}

/* Its own timer ends it, so that the host need do nothing meanwhile. */
static void halt_20ms(void)
{
	g_handlers[VECTOR] = on_vector;
	apic_on();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, VECTOR);
	for (;;) {
		apic_write(APIC_TMICT, 20000000);
		sti_hlt_cli();
		guest_sync(1);
	}
}

static void touch_pages(void)
{
	uint64_t i;

	for (i = 0; i < PAGES; i++)
		*(volatile uint64_t *)(GPA + i * PAGE) = 1;
	guest_sync(1);
	for (i = 0; i < PAGES; i++)
		*(volatile uint64_t *)(GPA + i * PAGE) = 2;
	guest_done();
}

static void touch_pages_open(void)
{
	sti();
	touch_pages();
}

static void on_nmi(struct frame *f)
{
	(void)f;
}

static void wait_nmi(void)
{
	g_handlers[2] = on_nmi;
	guest_sync(1);
	guest_done();
}

static void doorbell(void)
{
	*(volatile uint32_t *)GPA_HOLE = 0x77;
	outw(PORT, 0x99);
	guest_done();
}

/* ---- what is wanted ---- */

static void need_umbra(void)
{
	if (!on_umbra())
		SKIP("these are Umbra's own");
}

__attribute__((format(printf, 3, 4)))
static void want(unsigned int count, const char *event, const char *fmt, ...)
{
	unsigned int seen;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	seen = trace_count(event, text);
	if (seen == count)
		return;
	ktap_fail(__FILE__, __LINE__, "%s: \"%s\": %u times, wanted %u", event, text, seen, count);
	trace_show(40);
}

static void start(unsigned int flags, void (*entry)(void))
{
	need_umbra();
	v = vm_long_mode(&vm, flags, entry);
	trace_start();
}

static void finish(void)
{
	vcpu_run_to_end(v);
	trace_stop();
}

TEST(cpuid, "kvm_cpuid: leaves, and what the guest got")
{
	start(0, cpuids);
	finish();
	want(TIMES, "kvm_cpuid",
	     "func 40000000 idx 0 rax %lx rbx %lx rcx %lx rdx %lx, cpuid entry found\n",
	     G(&vm, g_cpuid[0]), G(&vm, g_cpuid[1]), G(&vm, g_cpuid[2]), G(&vm, g_cpuid[3]));
	EXPECT(G(&vm, g_cpuid[1]));
	want(1, "kvm_cpuid", "func 50000000 idx ");
	want(0, "kvm_cpuid", "func 50000000 idx 0 rax 0 rbx 0 rcx 0 rdx 0, cpuid entry found");
	EXPECT_EQ(trace_count("kvm_cpuid", ""), TIMES + 1);
}

TEST(exits, "kvm_exit and kvm_entry: reason and RIP of each; an exit for each entry")
{
	bool intel = cpu_is_intel();

	start(0, cpuids);
	finish();
	want(TIMES, "kvm_exit", "vcpu 0 reason %s rip 0x%lx info1 0x", intel ? "CPUID" : "cpuid",
	     (unsigned long)here_cpuid);
	want(1, "kvm_exit", "vcpu 0 reason %s rip ", intel ? "IO_INSTRUCTION" : "io");
	EXPECT(trace_count("kvm_entry", "vcpu 0, rip 0x") >= TIMES + 2);
	EXPECT_EQ(trace_count("kvm_entry", ""), trace_count("kvm_exit", ""));
	want(1, "kvm_userspace_exit", "reason KVM_EXIT_IO (2)\n");
}

TEST(pio, "kvm_pio: direction, port, size, count, and no more than the value")
{
	static const uint8_t answer = 0x77;
	int i;

	start(0, ports);
	for (i = 0; i < 3; i++)
		want_io(v, KVM_EXIT_IO_OUT, PORT, 1 << i, 1);
	want_io(v, KVM_EXIT_IO_IN, PORT, 1, 1);
	memset(io_data(v), 0xee, 8);
	memcpy(io_data(v), &answer, 1);
	/* How many at once is not told: by three, or one by one. */
	while (vcpu_run(v) == KVM_EXIT_IO && v->run->io.port == PORT)
		;
	EXPECT_EQ(v->run->io.port, PORT_DONE);
	trace_stop();
	want(1, "kvm_pio", "pio_write at 0x1230 size 1 count 1 val 0x12\n");
	want(1, "kvm_pio", "pio_write at 0x1230 size 2 count 1 val 0x1234\n");
	want(1, "kvm_pio", "pio_write at 0x1230 size 4 count 1 val 0x12345678\n");
	want(1, "kvm_pio", "pio_read at 0x1230 size 1 count 1 val 0x77\n");
	want(1, "kvm_pio", "pio_write at 0x1230 size 2 count %u val 0x1111%s\n",
	     trace_count("kvm_pio", "pio_write at 0x1230 size 2 count 3") ? 3 : 1,
	     trace_count("kvm_pio", "pio_write at 0x1230 size 2 count 3") ? " (...)" : "");
	want(1, "kvm_pio", "pio_write at 0x5f0 size 4 count 1 val 0x0\n");
}

TEST(mmio, "kvm_mmio: type, length, address, and no more than the value")
{
	start(0, mmio);
	want_mmio(v, GPA_HOLE, 1, true);
	want_mmio(v, GPA_HOLE + 8, 8, true);
	want_mmio(v, GPA_HOLE + 16, 2, false);
	memset(v->run->mmio.data, 0xee, 8);
	want_mmio(v, GPA_HOLE + 16, 2, false);
	memset(v->run->mmio.data, 0xdd, 8);
	finish();
	want(1, "kvm_mmio", "mmio write len 1 gpa 0x10000000 val 0x5a\n");
	want(1, "kvm_mmio", "mmio write len 8 gpa 0x10000008 val 0x1122334455667788\n");
	want(2, "kvm_mmio", "mmio unsatisfied-read len 2 gpa 0x10000010 val 0x0\n");
	want(1, "kvm_mmio", "mmio read len 2 gpa 0x10000010 val 0xeeee\n");
	want(1, "kvm_mmio", "mmio read len 2 gpa 0x10000010 val 0xdddd\n");
	EXPECT_EQ(trace_count("kvm_mmio", ""), 6);
}

TEST(emulate, "kvm_emulate_insn: RIP and the bytes that stand there")
{
	const uint8_t *code = (void *)here_add;

	start(0, add_mmio);
	want_mmio(v, GPA_HOLE, 4, false);
	want_mmio(v, GPA_HOLE, 4, true);
	finish();
	want(1, "kvm_emulate_insn", "0:%lx:%02x %02x %02x", (unsigned long)here_add, code[0],
	     code[1], code[2]);
	EXPECT_EQ(trace_count("kvm_emulate_insn", ""), 1);
}

TEST(msr, "kvm_msr: reads, writes, and one that raised #GP, which kvm_inj_exception shows")
{
	start(0, msrs);
	finish();
	want(1, "kvm_msr", "msr_write 3b = 0x1234500000\n");
	want(1, "kvm_msr", "msr_read 3b = 0x1234500000\n");
	want(1, "kvm_msr", "msr_read 12345 = 0x0 (#GP)\n");
	/* Its delivery may exit, for want of a page; then it goes in again. */
	want(1, "kvm_inj_exception", "#GP (0x0)\n");
	EXPECT_EQ(trace_count("kvm_inj_exception", ""),
		  1 + trace_count("kvm_inj_exception", "#GP (0x0) [reinjected]\n"));
}

TEST(cr, "kvm_cr: a write that exits, and where the tables are ours a read of CR3")
{
	start(0, crs);
	finish();
	want(1, "kvm_cr", "cr_write 4 = 0x%lx\n", G(&vm, g_cr4));
	want(vm_shadow(&vm) ? 1 : 0, "kvm_cr", "cr_read 3 = 0x%x\n", GPA_PML4);
}

TEST(hypercall, "kvm_hypercall: number and arguments")
{
	start(0, hypercalls);
	finish();
	want(1, "kvm_hypercall", "nr 0x63 a0 0x1 a1 0x2 a2 0x3 a3 0x4\n");
	EXPECT_EQ(trace_count("kvm_hypercall", ""), 1);
}

TEST(hypercall_emulated, "kvm_hypercall: of the emulator's, too")
{
	need_umbra();
	emulator_alone(true);
	start(0, hypercalls);
	emulator_alone(false);
	finish();
	want(1, "kvm_hypercall", "nr 0x63 a0 0x1 a1 0x2 a2 0x3 a3 0x4\n");
	EXPECT_EQ(trace_count("kvm_hypercall", ""), 1);
}

TEST(apic, "a self-IPI: kvm_apic, _apic_ipi, _apic_accept_irq, _inj_virq, _eoi, each time")
{
	start(VM_IRQCHIP, self_ipis);
	vcpu_run_to_sync(v, 1);
	trace_stop();
	want(1, "kvm_apic", "apic_write APIC_SPIV = 0x1ff\n");
	want(TIMES, "kvm_apic", "apic_write APIC_ICR = 0x%x\n", 0x40000 | VECTOR);
	want(TIMES, "kvm_apic", "apic_write APIC_EOI = 0x0\n");
	want(TIMES, "kvm_apic_ipi", "dst 0 vec %u (Fixed|physical|shorthand 1)\n", VECTOR);
	want(TIMES, "kvm_apic_accept_irq", "apicid 0 vec %u (Fixed|edge)\n", VECTOR);
	want(TIMES, "kvm_eoi", "apicid 0 vector %u\n", VECTOR);
	want(TIMES, "kvm_inj_virq", "IRQ 0x%x\n", VECTOR);
}

TEST(nmi, "umbra_inj_nmi: KVM_NMI's")
{
	start(0, wait_nmi);
	vcpu_run_to_sync(v, 1);
	ASSERT(!ioctl(v->fd, KVM_NMI));
	finish();
	want(1, "umbra_inj_nmi", "NMI\n");
	EXPECT_EQ(trace_count("umbra_inj_nmi", ""), trace_count("umbra_inj_nmi", "NMI"));
}

TEST(lines, "kvm_set_irq and umbra_irqfd: which line")
{
	struct kvm_irqfd irqfd = { .gsi = 6 };
	uint64_t one = 1;

	start(VM_IRQCHIP, self_ipis);
	irqfd.fd = eventfd(0, EFD_NONBLOCK);
	ASSERT(!ioctl(vm.fd, KVM_IRQFD, &irqfd));
	ASSERT(!vm_irq(&vm, 5, 1));
	ASSERT(!vm_irq(&vm, 5, 0));
	ASSERT(write(irqfd.fd, &one, sizeof(one)) == sizeof(one));
	trace_stop();
	want(1, "kvm_set_irq", "gsi 5 level 1 source 0\n");
	want(1, "kvm_set_irq", "gsi 5 level 0 source 0\n");
	want(1, "umbra_irqfd", "gsi 6\n");
}

TEST(ioeventfd, "umbra_ioeventfd: address, length and value")
{
	struct kvm_ioeventfd mem = { .addr = GPA_HOLE, .len = 4 };
	struct kvm_ioeventfd port = { .addr = PORT, .len = 2, .flags = KVM_IOEVENTFD_FLAG_PIO };

	start(0, doorbell);
	mem.fd = port.fd = eventfd(0, EFD_NONBLOCK);
	ASSERT(!ioctl(vm.fd, KVM_IOEVENTFD, &mem));
	ASSERT(!ioctl(vm.fd, KVM_IOEVENTFD, &port));
	finish();
	want(1, "umbra_ioeventfd", "gpa 0x10000000 len 4 val 0x77\n");
	want(1, "umbra_ioeventfd", "port 0x1230 len 2 val 0x99\n");
	EXPECT_EQ(trace_count("umbra_ioeventfd", ""), 2);
}

static void start_pages(uint32_t flags)
{
	start(0, touch_pages);
	pages = map_pages(PAGES * PAGE);
	ASSERT(!vm_slot(&vm, SLOT, flags, GPA, PAGES * PAGE, pages));
}

TEST(memory, "kvm_page_fault, kvm_mmu_set_spte, umbra_zap_spte, umbra_load_root: page by page")
{
	unsigned long i;

	start_pages(0);
	vcpu_run_to_sync(v, 1);
	want(0, "umbra_zap_spte", "gfn 20003 ");
	ASSERT(!madvise(pages + 3 * PAGE, PAGE, MADV_DONTNEED));
	want(1, "umbra_zap_spte", "gfn 20003 ");
	finish();
	want(1, "umbra_zap_spte", "gfn 20003 ");
	want(0, "umbra_zap_spte", "gfn 20004 ");
	for (i = 0; i < PAGES; i++) {
		char fault[64], spte[64];

		snprintf(fault, sizeof(fault), "address 0x%016lx error_code 0x", GPA + i * PAGE);
		EXPECT_EQ(trace_count("kvm_page_fault", fault), i == 3 ? 2 : 1);
		snprintf(spte, sizeof(spte), "gfn %lx spte ", (GPA >> 12) + i);
		EXPECT_EQ(trace_count("kvm_mmu_set_spte", spte), i == 3 ? 2 : 1);
	}
	EXPECT(trace_count("umbra_load_root", "vcpu 0 root ") >= 1);
}

static void write_table(void)
{
	volatile uint64_t *pd = (void *)GPA_PD, *pt = (void *)GPA_PT;
	int i;

	for (i = 0; i < 512; i++)
		pt[i] = (GPA_TEST + i * PAGE) | 7;
	pd[GPA_TEST >> 21] = GPA_PT | 7;
	write_cr3(read_cr3());
	*(volatile uint64_t *)GPA_TEST = 1;
	guest_sync(1);
	pt[1] = (GPA_TEST + 2 * PAGE) | 7;
	pt[2] = (GPA_TEST + 1 * PAGE) | 7;
	guest_sync(2);
	write_cr3(read_cr3());
	guest_done();
}

TEST(sync, "umbra_unsync, umbra_sync: a table's first write and the flush, in shadow-lazy alone")
{
	unsigned int unsyncs, syncs, one;
	uint32_t mode;

	start(0, write_table);
	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &mode));
	one = mode == UMBRA_MMU_SHADOW_LAZY;
	vcpu_run_to_sync(v, 1);
	unsyncs = trace_count("umbra_unsync", "gfn 14\n");
	vcpu_run_to_sync(v, 2);
	want(unsyncs + one, "umbra_unsync", "gfn 14\n");
	syncs = trace_count("umbra_sync", "gfn 14\n");
	EXPECT_EQ(syncs, unsyncs);
	finish();
	want(syncs + one, "umbra_sync", "gfn 14\n");
}

TEST(mode, "umbra_mmu_mode: from which to which, and how many vCPUs")
{
	static const char *const names[] = {
		[UMBRA_MMU_HARDWARE] = "hardware", [UMBRA_MMU_SHADOW_LAZY] = "shadow-lazy",
		[UMBRA_MMU_SHADOW_EAGER] = "shadow-eager",
	};
	uint32_t from, to;

	start(0, cpuids);
	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &from));
	/* One that every host has beside it, if it has two. */
	to = from == UMBRA_MMU_SHADOW_LAZY ? UMBRA_MMU_SHADOW_EAGER : UMBRA_MMU_SHADOW_LAZY;
	if (ioctl(vm.fd, UMBRA_SET_MMU, &to)) {
		ASSERT(errno == EOPNOTSUPP);
		SKIP("this host has no other mode");
	}
	finish();
	want(1, "umbra_mmu_mode", "%s to %s, vcpus 1\n", names[from], names[to]);
	EXPECT_EQ(trace_count("umbra_mmu_mode", ""), 1);
}

TEST(dirty, "umbra_mark_dirty: each page of a logged slot that is written, once a round")
{
	start_pages(KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_run_to_sync(v, 1);
	trace_stop();
	want(PAGES, "umbra_mark_dirty", "slot 7 gfn 2000");
	want(1, "umbra_mark_dirty", "slot 7 gfn 20005\n");
	EXPECT_EQ(trace_count("kvm_dirty_ring_push", ""), 0);
}

TEST(ring, "kvm_dirty_ring_push: its indexes, slot and offset")
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { 65536 } };

	need_umbra();
	vm_init(&vm, 0);
	ASSERT(!ioctl(vm.fd, KVM_ENABLE_CAP, &cap));
	v = vm_vcpu(&vm, 0);
	vcpu_long_mode(v, touch_pages);
	trace_start();
	pages = map_pages(PAGES * PAGE);
	ASSERT(!vm_slot(&vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, PAGES * PAGE, pages));
	vcpu_run_to_sync(v, 1);
	trace_stop();
	want(1, "kvm_dirty_ring_push", "ring 0: dirty 0x5 reset 0x0 slot 7 offset 0x5 (used 5)\n");
	EXPECT_EQ(trace_count("kvm_dirty_ring_push", ""), PAGES);
}

TEST(ioctls, "umbra_ioctl: on which descriptor, what, and the answer, unknown ones too")
{
	struct kvm_regs regs;

	start(0, cpuids);
	ASSERT(ioctl(vm.sys, KVM_GET_API_VERSION, 0) == 12);
	EXPECT_ERR(ioctl(vm.fd, _IO(KVMIO, 0xfe), 0), ENOTTY);
	EXPECT_ERR(ioctl(v->fd, _IO(KVMIO, 0xff), 0), ENOTTY);
	ASSERT(!ioctl(v->fd, KVM_GET_REGS, &regs));
	trace_stop();
	want(1, "umbra_ioctl", "system -1 cmd 0x0000ae00 (nr 0x00) = 12\n");
	want(1, "umbra_ioctl", "vm -1 cmd 0x0000aefe (nr 0xfe) = -25\n");
	want(1, "umbra_ioctl", "vcpu 0 cmd 0x0000aeff (nr 0xff) = -25\n");
	want(1, "umbra_ioctl", "(nr 0x81) = 0\n");
	EXPECT_EQ(trace_count("umbra_ioctl", ""), 4);
}

TEST(user_exits, "kvm_userspace_exit: an errno is no reason")
{
	start(0, cpuids);
	v->run->immediate_exit = 1;
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	v->run->immediate_exit = 0;
	finish();
	want(1, "kvm_userspace_exit", "reason restart (4)\n");
	want(1, "kvm_userspace_exit", "reason KVM_EXIT_IO (2)\n");
}

static void *run_to_sync(void *arg)
{
	__atomic_store_n(&runner, gettid(), __ATOMIC_RELEASE);
	vcpu_run_to_sync(arg, 1);
	return NULL;
}

static char state_of(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	ASSERT(f);
	ASSERT(fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
	fclose(f);
	return state;
}

/* The guest halts, and is woken once its thread sleeps. */
static void one_halt(void)
{
	pthread_t thread;

	G(&vm, g_ready) = 0;
	ASSERT(!pthread_create(&thread, NULL, run_to_sync, v));
	while (!G(&vm, g_ready) || state_of(runner) != 'S')
		sleep_ms(1);	/* who has a rival for the CPU does not poll */
	ASSERT(vm_msi(&vm, 0xfee00000, VECTOR) == 1);
	ASSERT(!pthread_join(thread, NULL));
}

TEST(halt, "kvm_vcpu_wakeup of each halt, and the interrupt that ended it")
{
	unsigned int i;

	start(VM_IRQCHIP, halt_once);
	for (i = 0; i < 3; i++)
		one_halt();
	trace_stop();
	want(3, "kvm_vcpu_wakeup", "ns, polling valid\n");
	EXPECT(trace_count("kvm_vcpu_wakeup", "wait time ") >= 1);
	want(3, "kvm_apic_accept_irq", "apicid 0 vec 85 (Fixed|edge)\n");
}

/* Whose memory is at GPA: nothing yet. */
static int watch(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)pages, .len = PAGES * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		SKIP("no userfaultfd: %s", strerror(errno));
	return fd;
}

TEST(async_pf, "kvm_try_async_get_page, kvm_async_pf_not_present and _ready of a page that comes late")
{
	struct uffdio_zeropage zero = { .range.len = PAGE };
	struct uffd_msg msg;
	pthread_t thread;
	int fd, i;

	pages = map_pages(PAGES * PAGE);
	fd = watch();
	start(VM_IRQCHIP, touch_pages_open);
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGES * PAGE, pages));
	ASSERT(!pthread_create(&thread, NULL, run_to_sync, v));
	for (i = 0; i < PAGES; i++) {
		ASSERT(read(fd, &msg, sizeof(msg)) == sizeof(msg));
		zero.range.start = msg.arg.pagefault.address;
		ASSERT(!ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	}
	ASSERT(!pthread_join(thread, NULL));
	trace_stop();
	for (i = 0; i < PAGES; i++) {
		want(1, "kvm_async_pf_not_present", "token 0x%x000 gva 0x%lx\n", i + 1,
		     GPA + i * PAGE);
		want(1, "kvm_async_pf_ready", "token 0x%x000 gva 0x%lx\n", i + 1, GPA + i * PAGE);
		EXPECT(trace_count("kvm_try_async_get_page", "gva = ") >= PAGES);
	}
	close(fd);
}

TEST(poll, "kvm_halt_poll_ns when a short halt makes the poll longer")
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { 1000000000 } };
	unsigned int halts = 0;

	/* Its own threads may be busy for minutes when a trace was removed. */
	if (!access("/sys/kernel/debug/kmemleak", F_OK))
		SKIP("the debug kernel rarely leaves the CPU to one thread");
	start(VM_IRQCHIP, halt_20ms);
	ASSERT(!ioctl(vm.fd, KVM_ENABLE_CAP, &cap));
	/* On a CPU that nobody else wants just then. */
	do {
		vcpu_run_to_sync(v, 1);
		halts++;
	} while (!trace_count("kvm_halt_poll_ns", "vcpu 0: halt_poll_ns 10000 (grow 0)\n"));
	trace_stop();
	ktap_diag("%u halts", halts);
}

TEST(off, "off again: nothing more is traced")
{
	unsigned int before;

	start(0, cpuids);
	vcpu_run_to_end(v);
	trace_off();
	before = trace_count(NULL, NULL);
	EXPECT(before > TIMES);
	vcpu_long_mode(v, cpuids);
	vcpu_run_to_end(v);
	EXPECT_EQ(trace_count(NULL, NULL), before);
}

/* What the tests above have seen. */
static const char *const seen[] = {
	"kvm_entry", "kvm_exit", "kvm_userspace_exit", "umbra_ioctl", "kvm_pio", "kvm_mmio",
	"kvm_msr", "kvm_cpuid", "kvm_cr", "kvm_hypercall", "kvm_emulate_insn", "kvm_page_fault",
	"kvm_mmu_set_spte", "umbra_zap_spte", "umbra_load_root", "umbra_unsync", "umbra_sync",
	"umbra_mmu_mode", "umbra_mark_dirty", "kvm_dirty_ring_push", "kvm_inj_virq",
	"kvm_inj_exception", "umbra_inj_nmi", "kvm_set_irq", "umbra_irqfd", "umbra_ioeventfd",
	"kvm_apic", "kvm_apic_ipi", "kvm_apic_accept_irq", "kvm_eoi", "kvm_vcpu_wakeup",
	"kvm_halt_poll_ns", "kvm_try_async_get_page", "kvm_async_pf_not_present",
	"kvm_async_pf_ready",
};

TEST(all, "there is no other event")
{
	struct dirent *d;
	size_t i, n = 0;
	DIR *dir;

	need_umbra();
	dir = opendir(TRACEFS "/events/umbra");
	if (!dir)
		SKIP("no tracefs on " TRACEFS);
	while ((d = readdir(dir))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		for (i = 0; i < ARRAY_SIZE(seen) && strcmp(seen[i], d->d_name); i++)
			;
		EXPECT_MSG(i < ARRAY_SIZE(seen), "%s has no test", d->d_name);
		n++;
	}
	closedir(dir);
	trace_end();
	EXPECT_EQ(n, ARRAY_SIZE(seen));
}
