// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults that are not the host's to mend: a page that userspace does not supply,
 * broken memory, and mappings that are not memory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL
#define MIB	(1UL << 20)
#define GPA	0x20000000UL
#define SLOT	7

static volatile uint64_t g_at, g_value;
static volatile bool g_write, g_narrow;

/* One access for each KVM_RUN, but for the exit that tells of it. */
static void accessor(void)
{
	for (;;) {
		if (g_narrow && g_write)
			*(volatile uint32_t *)g_at = g_value;
		else if (g_narrow)
			g_value = *(volatile uint32_t *)g_at;
		else if (g_write)
			*(volatile uint64_t *)g_at = g_value;
		else
			g_value = *(volatile uint64_t *)g_at;
		guest_sync(1);
	}
}

static struct vm vm;
static struct vcpu *v;

static void start(void *mem, size_t size, uint32_t flags)
{
	v = vm_long_mode(&vm, 0, accessor);
	ASSERT(!vm_slot(&vm, SLOT, flags, GPA, size, mem));
}

static void order(bool write, size_t offset, uint64_t value)
{
	G(&vm, g_write) = write;
	G(&vm, g_at) = GPA + offset;
	G(&vm, g_value) = value;
}

static uint64_t guest_read(size_t offset)
{
	order(false, offset, 0);
	vcpu_run_to_sync(v, 1);
	return G(&vm, g_value);
}

static void guest_write(size_t offset, uint64_t value)
{
	order(true, offset, value);
	vcpu_run_to_sync(v, 1);
}

/* ---- a page that never comes ---- */

static void *run_thread(void *arg)
{
	(void)arg;
	vcpu_run_raw(v);
	return NULL;
}

TEST(never_supplied, "fault: a vCPU that waits for a page for ever can be killed")
{
	struct uffdio_api api = { .api = UFFD_API };
	char *mem = map_pages(PAGE);
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffd_msg msg;
	pthread_t thread;

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		SKIP("no userfaultfd: %s", strerror(errno));
	start(mem, PAGE, 0);
	order(false, 0, 0);
	ASSERT(!pthread_create(&thread, NULL, run_thread, NULL));
	EXPECT_EQ(read(fd, &msg, sizeof(msg)), sizeof(msg));
	/* The end of this test's process is the test: it must come, and does with ktap's limit. */
	EXPECT_EQ(pthread_tryjoin_np(thread, NULL), EBUSY);
}

/* ---- broken memory ---- */

static volatile int bus_code, bus_lsb, bus_thread, signals;
static void *volatile bus_address;
static volatile int vcpu_thread;	/* where the tester's is another: 6.12 tells that one too */

static void bus_error(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (vcpu_thread && vcpu_thread != syscall(SYS_gettid))
		return;
	signals++;
	bus_code = info->si_code;
	bus_address = info->si_addr;
	bus_lsb = info->si_addr_lsb;
	bus_thread = syscall(SYS_gettid);
}

static void catch_bus_errors(void)
{
	struct sigaction act = { .sa_sigaction = bus_error, .sa_flags = SA_SIGINFO };

	ASSERT(!sigaction(SIGBUS, &act, NULL));
}

static void poison(char *page)
{
	if (madvise(page, PAGE, MADV_HWPOISON))
		SKIP("this kernel can't poison memory: %s", strerror(errno));
	signals = 0;
}

/* A new page heals it. */
static void heal(char *page)
{
	ASSERT(mmap(page, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
}

static void want_bus_error(const char *page)
{
	EXPECT_EQ(signals, 1);
	EXPECT_EQ(bus_code, BUS_MCEERR_AR);
	EXPECT_EQ((uintptr_t)bus_address, (uintptr_t)page);
	EXPECT_EQ(bus_lsb, 12);
}

static const struct broken {
	const char *name;
	bool write;
	int advice;
	uint32_t flags;
} broken[] = {
	{ "read", false, MADV_NOHUGEPAGE, 0 },
	{ "written", true, MADV_NOHUGEPAGE, 0 },
	{ "read, part of a large page", false, MADV_HUGEPAGE, 0 },
	{ "written, part of a large page", true, MADV_HUGEPAGE, 0 },
	{ "read in a read-only slot", false, MADV_NOHUGEPAGE, KVM_MEM_READONLY },
	{ "written while logged", true, MADV_NOHUGEPAGE, KVM_MEM_LOG_DIRTY_PAGES },
};

TEST_EACH(poisoned, "fault: broken memory is a SIGBUS that names it: ", broken, b)
{
	char *mem = map_pages(4 * MIB);
	int i;

	mem = (void *)(((uintptr_t)mem + 2 * MIB - 1) & ~(2 * MIB - 1));
	madvise(mem, 2 * MIB, b->advice);
	memset(mem, 0x11, 2 * MIB);
	catch_bus_errors();
	start(mem, 2 * MIB, b->flags);
	EXPECT_EQ(guest_read(7 * PAGE), 0x1111111111111111);
	poison(mem + 7 * PAGE);
	order(b->write, 7 * PAGE + 8, 5);
	/* As often as it is touched. */
	for (i = 0; i < 3; i++) {
		signals = 0;
		EXPECT_ERR(vcpu_run_raw(v), EINTR);
		want_bus_error(mem + 7 * PAGE);
		EXPECT_EQ(bus_thread, syscall(SYS_gettid));
	}
	heal(mem + 7 * PAGE);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(G(&vm, g_value), b->write ? 5 : 0);
	/* Its neighbours are well. */
	EXPECT_EQ(guest_read(6 * PAGE), 0x1111111111111111);
	EXPECT_EQ(guest_read(8 * PAGE), 0x1111111111111111);
}

static volatile int run_result;

/* The vCPU goes round until the signal ends it. */
static void *run_until_signal(void *arg)
{
	(void)arg;
	vcpu_thread = syscall(SYS_gettid);
	for (;;) {
		run_result = vcpu_run_raw(v) ? errno : 0;
		if (run_result)
			return NULL;
	}
}

TEST(poisoned_in_use, "fault: memory that breaks while a vCPU uses it")
{
	char *mem = map_pages(4 * PAGE);
	pthread_t thread;

	memset(mem, 0x11, 4 * PAGE);
	catch_bus_errors();
	start(mem, 4 * PAGE, 0);
	order(true, PAGE, 1);
	ASSERT(!pthread_create(&thread, NULL, run_until_signal, NULL));
	while (*(volatile uint64_t *)(mem + PAGE) != 1)
		sleep_ms(1);
	if (madvise(mem + PAGE, PAGE, MADV_HWPOISON))
		SKIP("this kernel can't poison memory: %s", strerror(errno));
	ASSERT(!pthread_join(thread, NULL));
	EXPECT_EQ(run_result, EINTR);
	want_bus_error(mem + PAGE);
	/* It is the vCPU's thread that has to do with it. */
	EXPECT_EQ(bus_thread, vcpu_thread);
	heal(mem + PAGE);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(*(uint64_t *)(mem + PAGE), 1);
}

/* ---- what is no memory ---- */

/* The page of variables that the kernel shows to every process: VM_IO, VM_PFNMAP, read-only. */
static const uint64_t *find_vvar(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long from = 0;
	char line[300];

	ASSERT(f);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "[vvar]"))
			ASSERT(sscanf(line, "%lx-", &from) == 1);
	}
	fclose(f);
	return (void *)from;
}

TEST(kernel_page, "fault: a page of the kernel's (VM_PFNMAP): read as it is, written by the VMM")
{
	const volatile uint64_t *page = find_vvar();
	unsigned int i, compared = 0;
	uint64_t before, got;

	if (!page)
		SKIP("no [vvar] here");
	start((void *)page, PAGE, 0);
	for (i = 0; i < PAGE / 8; i++) {
		before = page[i];
		got = guest_read(i * 8);
		/* Some of it changes all the time. */
		if (before != page[i])
			continue;
		EXPECT_EQ(got, before);
		compared += !!got;
	}
	ktap_diag("%u words that are not 0", compared);
	EXPECT(compared);
	order(true, 0, 1);
	want_mmio(v, GPA, 8, true);
	vcpu_run_to_sync(v, 1);
	EXPECT_EQ(guest_read(PAGE - 8), page[PAGE / 8 - 1]);
}

/*
 * QEMU's device for teaching, which lab/run gives its hosts: its registers have 32
 * bits, one names it, and one holds the complement of what was written there last.
 */
#define EDU_ID		0x00
#define EDU_COMPLEMENT	0x04
#define EDU_IS		0x010000edu
#define EDU_SIZE	MIB

static bool pci_has(const char *device, const char *file, unsigned int want)
{
	unsigned int got = 0;
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, file);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fscanf(f, "%x", &got) != 1)
		got = 0;
	fclose(f);
	return got == want;
}

static int open_edu(const char *file, int flags)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *d;
	char path[400];
	int fd = -1;

	while (dir && fd < 0 && (d = readdir(dir))) {
		if (!pci_has(d->d_name, "vendor", 0x1234) || !pci_has(d->d_name, "device", 0x11e8))
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", d->d_name, file);
		fd = open(path, flags);
	}
	if (dir)
		closedir(dir);
	return fd;
}

/* The device's BAR, at @at unless that is NULL. */
static volatile uint32_t *map_edu(void *at, int prot)
{
	int fd = open_edu("enable", O_WRONLY);
	volatile uint32_t *bar;

	if (fd < 0)
		SKIP("this host has no edu, QEMU's PCI device");
	ASSERT(write(fd, "1", 1) == 1);
	close(fd);
	fd = open_edu("resource0", prot & PROT_WRITE ? O_RDWR : O_RDONLY);
	ASSERT(fd >= 0);
	bar = mmap(at, EDU_SIZE, prot, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
	ASSERT(bar != MAP_FAILED);
	close(fd);
	/* Without ACPI's word on what is whose, Linux has put the BAR on the LAPIC's page. */
	if (bar[EDU_ID / 4] != EDU_IS)
		SKIP("the host itself does not reach edu's registers");
	return bar;
}

static void want_edu(const volatile uint32_t *bar, uint32_t value)
{
	EXPECT_EQ(guest_read(EDU_ID), EDU_IS);
	EXPECT_EQ(guest_read(EDU_COMPLEMENT), value);
	EXPECT_EQ(bar[EDU_COMPLEMENT / 4], value);
}

static const struct bar {
	const char *name;
	int prot;
	uint32_t flags;
	bool mmio;
} bars[] = {
	{ "the guest reads and writes the device", PROT_READ | PROT_WRITE, 0, false },
	{ "the same while writes are logged", PROT_READ | PROT_WRITE, KVM_MEM_LOG_DIRTY_PAGES,
	  false },
	{ "mapped PROT_READ, a write is the VMM's", PROT_READ, 0, true },
	{ "in a read-only slot, a write is the VMM's", PROT_READ | PROT_WRITE, KVM_MEM_READONLY,
	  true },
};

TEST_EACH(pci_bar, "fault: a PCI device's BAR (VM_IO, VM_PFNMAP) as guest memory: ", bars, b)
{
	volatile uint32_t *bar = map_edu(NULL, b->prot);
	uint64_t bitmap[EDU_SIZE / PAGE / 64];
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };
	uint32_t before, written;
	int i;

	before = bar[EDU_COMPLEMENT / 4];
	start((void *)bar, EDU_SIZE, b->flags);
	G(&vm, g_narrow) = true;
	want_edu(bar, before);
	/* What has no register reads as ones: it is the device that answers. */
	EXPECT_EQ(guest_read(EDU_SIZE - PAGE), ~0u);
	for (i = 0; i < 3; i++) {
		written = 0x12345678 * (i + 1) ^ before;
		if (b->mmio) {
			order(true, EDU_COMPLEMENT, written);
			want_mmio(v, GPA + EDU_COMPLEMENT, 4, true);
			vcpu_run_to_sync(v, 1);
			want_edu(bar, before);
		} else {
			guest_write(EDU_COMPLEMENT, written);
			want_edu(bar, ~written);
		}
		if (!(b->flags & KVM_MEM_LOG_DIRTY_PAGES))
			continue;
		ASSERT(!ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
		EXPECT_EQ(bitmap[0], 1);
		EXPECT_EQ(bitmap[1], 0);
	}
}

TEST(pci_bar_goes, "fault: a PCI device's BAR is unmapped, and mapped again, behind its slot")
{
	volatile uint32_t *bar = map_edu(NULL, PROT_READ | PROT_WRITE);
	uint32_t *memory;

	start((void *)bar, EDU_SIZE, 0);
	G(&vm, g_narrow) = true;
	guest_write(EDU_COMPLEMENT, 0x600d);
	want_edu(bar, ~0x600du);
	memory = mmap((void *)bar, EDU_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT(memory == (void *)bar);
	EXPECT_EQ(guest_read(EDU_ID), 0);
	guest_write(EDU_COMPLEMENT, 0xbad);
	EXPECT_EQ(memory[EDU_COMPLEMENT / 4], 0xbad);
	/* The device has not seen that. */
	map_edu(memory, PROT_READ | PROT_WRITE);
	want_edu(bar, ~0x600du);
	ASSERT(!munmap((void *)bar, EDU_SIZE));
	order(false, EDU_ID, 0);
	EXPECT_ERR(vcpu_run_raw(v), EFAULT);
}

static const struct file {
	const char *name;
	uint32_t flags;
	bool mmio;
} files[] = {
	{ "a write is EFAULT", 0, false },
	{ "in a read-only slot a write is the VMM's", KVM_MEM_READONLY, true },
};

/* The test's own text. */
TEST_EACH(readonly_file, "fault: a file's pages mapped PROT_READ: ", files, f)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	const uint64_t *file = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);

	ASSERT(fd >= 0 && file != MAP_FAILED);
	start((void *)file, 4 * PAGE, f->flags);
	EXPECT_EQ(guest_read(0), file[0]);
	EXPECT_EQ(guest_read(3 * PAGE), file[3 * PAGE / 8]);
	order(true, PAGE, ~file[PAGE / 8]);
	if (f->mmio) {
		want_mmio(v, GPA + PAGE, 8, true);
		vcpu_run_to_sync(v, 1);
	} else {
		EXPECT_ERR(vcpu_run_raw(v), EFAULT);
		vcpu_long_mode(v, accessor);
	}
	EXPECT_EQ(guest_read(PAGE), file[PAGE / 8]);
}

TEST(own_run_page, "fault: a vCPU's own run page as guest memory")
{
	struct kvm_run *run;

	v = vm_long_mode(&vm, 0, accessor);
	run = v->run;
	ASSERT(!vm_slot(&vm, SLOT, 0, GPA, PAGE, run));
	guest_write(PAGE - 8, 0x77);
	EXPECT_EQ(*(uint64_t *)((char *)run + PAGE - 8), 0x77);
	EXPECT_EQ(guest_read(PAGE - 8), 0x77);
}
