// SPDX-License-Identifier: GPL-2.0-only
/* Making virtual machines, running them, and reading what they did. */
#define _GNU_SOURCE
#include "vm.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/umbra.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

const char *dev_path(void)
{
	const char *s = getenv("UMBRA_DEV");

	return s && *s ? s : "/dev/umbra";
}

int dev_open(void)
{
	int fd = open(dev_path(), O_RDWR | O_CLOEXEC);

	ASSERT_MSG(fd >= 0, "%s: %s", dev_path(), strerror(errno));
	return fd;
}

/*
 * Whether the device is Umbra's rather than stock KVM's: for the few tests of
 * what they mean to do differently. The node may be called kvm in both.
 */
bool on_umbra(void)
{
	char path[64], target[256];
	struct stat st;
	ssize_t n;

	if (stat(dev_path(), &st))
		return false;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	if (strstr(target, "umbra"))
		return true;
	return !access("/sys/module/umbra", F_OK) &&
	       access("/sys/module/kvm", F_OK);
}

/* The first letter of a parameter of the module's. */
char umbra_parameter(const char *name)
{
	char path[64], value = 0;
	int fd;

	snprintf(path, sizeof(path), "/sys/module/umbra/parameters/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ASSERT(read(fd, &value, 1) == 1);
	close(fd);
	return value;
}

void emulator_alone(bool on)
{
	int fd = open("/sys/module/umbra/parameters/emulate", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		SKIP("the module alone emulates on request");
	ASSERT(write(fd, on ? "1" : "0", 1) == 1);
	close(fd);
}

/* The number of one of Umbra's reasons for an exit; the first vCPU's exits for it so far. */
uint32_t exit_reason(struct vm *vm, const char *name, uint64_t *count)
{
	struct umbra_exit_stats s = { .vcpu = 0 };

	for (s.reason = 0; !ioctl(vm->fd, UMBRA_GET_EXIT_STATS, &s); s.reason++) {
		if (strcmp(s.name, name))
			continue;
		*count = s.count;
		return s.reason;
	}
	ktap_fail(__FILE__, __LINE__, "no reason is called %s", name);
	ktap_end_now();
}

uint64_t exit_count(struct vm *vm, const char *name)
{
	uint64_t count;

	exit_reason(vm, name, &count);
	return count;
}

/*
 * Does Umbra run guests without VMX's unrestricted guest, which a shadow mode has not
 * either? It has pages of its own in guest memory then, and emulates what an entry with such
 * segments would refuse.
 */
bool restricted_guest(void)
{
	struct umbra_info info;

	if (!on_umbra())
		return false;
	ASSERT(!ioctl(dev_open(), UMBRA_GET_INFO, &info));
	return !strcmp(info.backend, "VMX") &&
	       (umbra_parameter("unrestricted_guest") == 'N' || umbra_parameter("mmu") == 's');
}

/*
 * Whether the host's CPU is QEMU's TCG, which lets some things pass that a CPU
 * faults on: without an intercept no hypervisor can see them.
 */
bool on_tcg(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	if (!(r[2] & BIT(31)))
		return false;
	cpuid(0x40000000, 0, r);
	return !memcmp(&r[1], "TCGTCGTCGTCG", 12);
}

/* Does the CPU walk tables of the hypervisor's, not the guest's own? */
bool vm_shadow(struct vm *vm)
{
	uint32_t mode;

	return on_umbra() && !ioctl(vm->fd, UMBRA_GET_MMU, &mode) &&
	       (mode == UMBRA_MMU_SHADOW_LAZY || mode == UMBRA_MMU_SHADOW_EAGER);
}

int dev_cap(int cap)
{
	int fd = dev_open();
	int r = ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	close(fd);
	return r;
}

void need_cap(int cap, const char *name)
{
	if (dev_cap(cap) <= 0)
		SKIP("the device does not have %s", name);
}

void *map_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT(p != MAP_FAILED);
	return p;
}

void *map_aligned(size_t size, size_t align)
{
	uint8_t *p = map_pages(size + align);
	size_t before = -(uintptr_t)p & (align - 1);

	if (before)
		ASSERT(!munmap(p, before));
	ASSERT(!munmap(p + before + size, align - before));
	return p + before;
}

/* @size bytes that end where an inaccessible page begins. */
void *map_guarded(size_t size)
{
	size_t pages = (size + 4095) & ~4095UL;
	uint8_t *p = map_pages(pages + 4096);

	ASSERT(!mprotect(p + pages, 4096, PROT_NONE));
	return p + pages - size;
}

int vm_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa,
	    uint64_t size, const void *hva)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

/* Lay this program into guest memory where it lies in our own. */
static void load_image(struct vm *vm)
{
	const Elf64_Phdr *ph = (const void *)getauxval(AT_PHDR);
	unsigned long i, nr = getauxval(AT_PHNUM);

	for (i = 0; i < nr; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		ASSERT(ph[i].p_vaddr + ph[i].p_memsz <= GPA_TEST);
		memcpy(vm->mem + ph[i].p_vaddr, (void *)ph[i].p_vaddr,
		       ph[i].p_memsz);
	}
}

static void put64(struct vm *vm, uint64_t gpa, uint64_t v)
{
	memcpy(vm->mem + gpa, &v, sizeof(v));
}

static void build_page_tables(struct vm *vm)
{
	const uint64_t rwu = PTE_P | PTE_W | PTE_U;
	unsigned int i;

	put64(vm, GPA_PML4, GPA_PDPT | rwu);
	for (i = 0; i < 4; i++)
		put64(vm, GPA_PDPT + i * 8, (GPA_PD + i * 4096) | rwu);
	for (i = 0; i < 4 * 512; i++)
		put64(vm, GPA_PD + i * 8,
		      ((uint64_t)i << 21) | PTE_PS | rwu |
		      (i >= 3 * 512 ? PTE_PCD : 0));
}

static void build_gdt(struct vm *vm)
{
	put64(vm, GPA_GDT + SEL_CODE64, 0x00af9b000000ffffULL);
	put64(vm, GPA_GDT + SEL_DATA, 0x00cf93000000ffffULL);
	put64(vm, GPA_GDT + SEL_CODE32, 0x00cf9b000000ffffULL);
	put64(vm, GPA_GDT + (SEL_UDATA & ~7), 0x00cff3000000ffffULL);
	put64(vm, GPA_GDT + (SEL_UCODE64 & ~7), 0x00affb000000ffffULL);
	put64(vm, GPA_GDT + SEL_TSS,
	      0x00008b0000000067ULL | (uint64_t)GPA_TSS << 16);
	put64(vm, GPA_GDT + SEL_TSS + 8, 0);
}

/*
 * The IDT and the TSS that it needs: #DF and NMI have a stack of their own.
 * INT3, INTO and INT 0x80 are open to ring 3.
 */
static void build_idt64(struct vm *vm)
{
	uint64_t rsp0 = GPA_STACK_INT, ist1 = GPA_STACK_IST;
	unsigned int i;

	for (i = 0; i < 256; i++) {
		uint64_t at = (uintptr_t)guest_idt_stubs + i * 16;
		uint64_t attr = i == BP_VECTOR || i == OF_VECTOR || i == 0x80 ?
				0xee00 : 0x8e00;

		attr |= i == DF_VECTOR;
		put64(vm, GPA_IDT + i * 16, (at & 0xffff) | SEL_CODE64 << 16 |
		      attr << 32 | (at >> 16 & 0xffff) << 48);
		put64(vm, GPA_IDT + i * 16 + 8, at >> 32);
	}
	memset(vm->mem + GPA_TSS, 0, 104);
	memcpy(vm->mem + GPA_TSS + 4, &rsp0, 8);
	memcpy(vm->mem + GPA_TSS + 36, &ist1, 8);
	vm->mem[GPA_TSS + 102] = 104;
}

static void build_idt32(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < 256; i++) {
		uint64_t at = (uintptr_t)guest_idt32_stubs + i * 16;

		put64(vm, GPA_IDT + i * 8, (at & 0xffff) | SEL_CODE32 << 16 |
		      0xee00ULL << 32 | (at >> 16) << 48);
	}
}

/* Of the VM made last, which may have unmapped it. */
static uint8_t *last_memory;

/* May QEMU's CPU have delivered an interrupt once more, in its own handler? */
static bool interrupt_twice(void)
{
	uint32_t hits = 0;
	struct iovec here = { &hits, sizeof(hits) };
	struct iovec there = { last_memory + (uintptr_t)&g_masked_hits, sizeof(hits) };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == sizeof(hits) &&
	       hits && on_tcg();
}

/**
 * vm_init - make a VM, by default with MEM_SIZE bytes at 0 as slot 0
 * @vm:    filled in
 * @flags: VM_IRQCHIP, VM_PIT, VM_SPEAKER, VM_NO_MEMORY
 */
void vm_init(struct vm *vm, unsigned int flags)
{
	uint64_t identity = 0xfeffc000;

	memset(vm, 0, sizeof(*vm));
	vm->sys = dev_open();
	vm->fd = ioctl(vm->sys, KVM_CREATE_VM, 0UL);
	ASSERT_MSG(vm->fd >= 0, "KVM_CREATE_VM: %s", strerror(errno));
	/* Pages of its own that an Intel CPU may need for real mode. */
	ASSERT(!ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity));
	ASSERT(!ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfeffd000UL));
	if (flags & (VM_IRQCHIP | VM_PIT))
		ASSERT(!ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0UL));
	if (flags & VM_PIT) {
		struct kvm_pit_config pit = {
			.flags = flags & VM_SPEAKER ? KVM_PIT_SPEAKER_DUMMY : 0,
		};

		ASSERT(!ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	}
	if (flags & VM_NO_MEMORY)
		return;
	vm->mem = map_pages(MEM_SIZE);
	last_memory = vm->mem;
	ktap_doubts = interrupt_twice;
	load_image(vm);
	build_page_tables(vm);
	build_gdt(vm);
	build_idt64(vm);
	ASSERT(!vm_slot(vm, 0, 0, 0, MEM_SIZE, vm->mem));
}

#define DEBUGFS	"/sys/kernel/debug/umbra"

/* What stands in the audit of the VM whose directory this is; adds to @size. */
static void check_audit(const char *dir, struct shadow_size *size)
{
	char path[300], line[200] = "";
	struct shadow_size own = { 0 };
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "/%s/mmu_audit", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* The VM may have gone meanwhile. */
	if (fd < 0)
		return;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n > 0)
		ASSERT_MSG(strncmp(line, "broken", 6), "the shadow tables are %s", line);
	sscanf(line, "ok tables %lu frames %lu direct %lu", &own.tables, &own.frames, &own.direct);
	size->tables += own.tables;
	size->frames += own.frames;
	size->direct += own.direct;
}

struct shadow_size audit_shadows(void)
{
	struct shadow_size size = { 0 };
	DIR *root = opendir(DEBUGFS);
	const struct dirent *d;
	char own[16];

	if (!root)
		return size;
	snprintf(own, sizeof(own), "%d-", getpid());
	while ((d = readdir(root))) {
		if (!strncmp(d->d_name, own, strlen(own)))
			check_audit(d->d_name, &size);
	}
	closedir(root);
	return size;
}

void vm_free(struct vm *vm)
{
	int i;

	audit_shadows();
	for (i = 0; i < vm->nr_vcpus; i++)
		vcpu_free(&vm->vcpu[i]);
	if (vm->mem)
		munmap(vm->mem, MEM_SIZE);
	close(vm->fd);
	close(vm->sys);
}

/* A vCPU as the device makes it, without CPUID. */
struct vcpu *vm_vcpu_raw(struct vm *vm, int id)
{
	struct vcpu *v = &vm->vcpu[vm->nr_vcpus];
	int size;

	ASSERT(vm->nr_vcpus < MAX_VCPUS);
	v->vm = vm;
	v->id = id;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	ASSERT_MSG(v->fd >= 0, "KVM_CREATE_VCPU: %s", strerror(errno));
	size = ioctl(vm->sys, KVM_GET_VCPU_MMAP_SIZE, 0UL);
	ASSERT(size >= (int)sizeof(struct kvm_run));
	v->run_size = size;
	v->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	ASSERT(v->run != MAP_FAILED);
	vm->nr_vcpus++;
	return v;
}

/* A vCPU with all the CPUID that the device offers. */
struct vcpu *vm_vcpu(struct vm *vm, int id)
{
	struct vcpu *v = vm_vcpu_raw(vm, id);

	vcpu_set_cpuid(v, supported_cpuid());
	return v;
}

void vcpu_free(struct vcpu *v)
{
	munmap(v->run, v->run_size);
	close(v->fd);
}

/* What the device offers; static, good until the next call. */
struct kvm_cpuid2 *supported_cpuid(void)
{
	static struct kvm_cpuid2 *c;
	int sys = dev_open();

	if (!c)
		c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	ASSERT(c);
	c->nent = 256;
	ASSERT(!ioctl(sys, KVM_GET_SUPPORTED_CPUID, c));
	close(sys);
	return c;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, uint32_t fn,
				    uint32_t index)
{
	uint32_t i;

	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function != fn)
			continue;
		if (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
		    e->index == index)
			return e;
	}
	return NULL;
}

void vcpu_set_cpuid(struct vcpu *v, struct kvm_cpuid2 *c)
{
	ASSERT(!ioctl(v->fd, KVM_SET_CPUID2, c));
}

struct kvm_regs vcpu_regs(struct vcpu *v)
{
	struct kvm_regs r;

	ASSERT(!ioctl(v->fd, KVM_GET_REGS, &r));
	return r;
}

struct kvm_sregs vcpu_sregs(struct vcpu *v)
{
	struct kvm_sregs s;

	ASSERT(!ioctl(v->fd, KVM_GET_SREGS, &s));
	return s;
}

static struct kvm_segment flat(uint16_t sel, uint8_t type, bool l, bool db)
{
	return (struct kvm_segment) {
		.selector = sel, .limit = 0xffffffff, .type = type,
		.present = 1, .s = 1, .g = 1, .l = l, .db = db,
		.dpl = sel & 3,
	};
}

static void set_start(struct vcpu *v, uint64_t rip, uint64_t rsp)
{
	struct kvm_regs r = {
		.rip = rip, .rsp = rsp, .rflags = FLAGS_FIXED,
	};

	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &r));
}

/* Put @v into 64-bit mode at @entry, ring 0, interrupts off. */
void vcpu_long_mode(struct vcpu *v, void (*entry)(void))
{
	struct kvm_sregs s = vcpu_sregs(v);

	s.cs = flat(SEL_CODE64, 0xb, true, false);
	s.ds = s.es = s.fs = s.gs = s.ss = flat(SEL_DATA, 0x3, false, true);
	s.tr = (struct kvm_segment) {
		.selector = SEL_TSS, .base = GPA_TSS, .limit = 0x67,
		.type = 0xb, .present = 1,
	};
	s.ldt = (struct kvm_segment) { .unusable = 1, .type = 2 };
	s.gdt.base = GPA_GDT;
	s.gdt.limit = 0xfff;
	s.idt.base = GPA_IDT;
	s.idt.limit = 0xfff;
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s.cr3 = GPA_PML4;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s.efer = EFER_LME | EFER_LMA | EFER_NX | EFER_SCE;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	/* As if entry had been called: 8 off a multiple of 16. */
	set_start(v, (uintptr_t)entry, GPA_STACK - v->id * 0x2000 - 8);
}

/* Put @v into flat 32-bit protected mode without paging, code at @entry. */
void vcpu_prot32(struct vcpu *v, void (*entry)(void))
{
	struct kvm_sregs s = vcpu_sregs(v);

	build_idt32(v->vm);
	s.cs = flat(SEL_CODE32, 0xb, false, true);
	s.ds = s.es = s.fs = s.gs = s.ss = flat(SEL_DATA, 0x3, false, true);
	s.tr = (struct kvm_segment) {
		.selector = SEL_TSS, .base = GPA_TSS, .limit = 0x67,
		.type = 0xb, .present = 1,
	};
	s.ldt = (struct kvm_segment) { .unusable = 1, .type = 2 };
	s.gdt.base = GPA_GDT;
	s.gdt.limit = 0xfff;
	s.idt.base = GPA_IDT;
	s.idt.limit = 0x7ff;
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE;
	s.cr4 = 0;
	s.efer = 0;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	set_start(v, (uintptr_t)entry, GPA_STACK - 4);
}

/* Put @v into real mode with @size bytes of code at 0:GPA_CODE16. */
void vcpu_real_mode(struct vcpu *v, const void *code, size_t size)
{
	struct kvm_sregs s = vcpu_sregs(v);
	struct kvm_segment seg = flat(0, 0x3, false, false);

	ASSERT(size <= GPA_PD - GPA_CODE16);
	memcpy(v->vm->mem + GPA_CODE16, code, size);
	seg.limit = 0xffff;
	seg.g = 0;
	s.ds = s.es = s.fs = s.gs = s.ss = s.cs = seg;
	s.cs.type = 0xb;
	s.idt.base = 0;
	s.idt.limit = 0x3ff;
	s.cr0 = CR0_ET;
	s.cr4 = 0;
	s.efer = 0;
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s));
	set_start(v, GPA_CODE16, 0x7ffe);
}

struct vcpu *vm_long_mode(struct vm *vm, unsigned int flags,
			  void (*entry)(void))
{
	struct vcpu *v;

	vm_init(vm, flags);
	v = vm_vcpu(vm, 0);
	vcpu_long_mode(v, entry);
	return v;
}

/* KVM_RUN as it is. */
int vcpu_run_raw(struct vcpu *v)
{
	return ioctl(v->fd, KVM_RUN, 0UL);
}

static struct kvm_run *run_to_stop;

static void stop_run(int sig)
{
	(void)sig;
	run_to_stop->immediate_exit = 1;
}

/*
 * KVM_RUN, broken off by a signal after about @ms milliseconds: what
 * vcpu_run_raw() gives, EINTR when it was broken off. One thread only.
 */
int vcpu_run_for(struct vcpu *v, unsigned int ms)
{
	struct sigaction act = { .sa_handler = stop_run }, old;
	struct itimerval on = {
		.it_value.tv_sec = ms / 1000,
		.it_value.tv_usec = ms % 1000 * 1000,
		/* Again and again, should the first one come too early. */
		.it_interval.tv_usec = 20000,
	}, off = { 0 };
	int r, e;

	run_to_stop = v->run;
	ASSERT(!sigaction(SIGALRM, &act, &old));
	ASSERT(!setitimer(ITIMER_REAL, &on, NULL));
	r = vcpu_run_raw(v);
	e = errno;
	ASSERT(!setitimer(ITIMER_REAL, &off, NULL));
	ASSERT(!sigaction(SIGALRM, &old, NULL));
	v->run->immediate_exit = 0;
	errno = e;
	return r;
}

/* KVM_RUN that has to succeed; the exit reason. */
uint32_t vcpu_run(struct vcpu *v)
{
	int r;

	do {
		r = vcpu_run_raw(v);
	} while (r < 0 && errno == EAGAIN);
	if (r < 0) {
		vcpu_diag(v);
		ASSERT_MSG(r >= 0, "KVM_RUN: %s", strerror(errno));
	}
	return v->run->exit_reason;
}

/* Whether the guest stopped at 4 bytes out on @port, and with what value. */
bool guest_said(struct vcpu *v, uint16_t port, uint32_t *value)
{
	struct kvm_run *run = v->run;

	if (run->exit_reason != KVM_EXIT_IO ||
	    run->io.direction != KVM_EXIT_IO_OUT || run->io.port != port ||
	    run->io.size != 4)
		return false;
	if (value)
		memcpy(value, io_data(v), 4);
	return true;
}

static void want_report(struct vcpu *v, uint16_t port, uint32_t want)
{
	uint32_t got;

	if (guest_said(v, PORT_FAIL, &got)) {
		if (got >> 28 == 0xe)
			ktap_fail(__FILE__, __LINE__,
				  "guest: unexpected vector %u, error code %#x",
				  got >> 16 & 0xff, got & 0xffff);
		else
			ktap_fail(__FILE__, __LINE__,
				  "guest: assertion in line %u", got);
		vcpu_diag(v);
		ktap_end_now();
	}
	if (guest_said(v, port, &got) && got == want)
		return;
	ktap_fail(__FILE__, __LINE__, "guest did not reach port %#x step %u",
		  port, want);
	vcpu_diag(v);
	ktap_end_now();
}

/* Run until the guest calls guest_sync(@step); all else ends the test. */
void vcpu_run_to_sync(struct vcpu *v, uint32_t step)
{
	vcpu_run(v);
	want_report(v, PORT_SYNC, step);
}

/* Run until guest_done(); all else ends the test. */
void vcpu_run_to_end(struct vcpu *v)
{
	vcpu_run(v);
	want_report(v, PORT_DONE, 0);
}

void *io_data(struct vcpu *v)
{
	return (uint8_t *)v->run + v->run->io.data_offset;
}

/* The next exit must be this one. */
void want_io(struct vcpu *v, int direction, uint16_t port, int size,
	     uint32_t count)
{
	struct kvm_run *run = v->run;
	uint32_t reason = vcpu_run(v);

	if (reason == KVM_EXIT_IO && run->io.direction == direction &&
	    run->io.port == port && run->io.size == size &&
	    run->io.count == count)
		return;
	vcpu_diag(v);
	ASSERT_MSG(0, "wanted port %#x, direction %d, size %d, count %u", port,
		   direction, size, count);
}

void want_mmio(struct vcpu *v, uint64_t gpa, uint32_t len, bool is_write)
{
	struct kvm_run *run = v->run;
	uint32_t reason = vcpu_run(v);

	if (reason == KVM_EXIT_MMIO && run->mmio.phys_addr == gpa &&
	    run->mmio.len == len && run->mmio.is_write == is_write)
		return;
	vcpu_diag(v);
	ASSERT_MSG(0, "wanted MMIO at %#llx, length %u, write %d",
		   (unsigned long long)gpa, len, is_write);
}

const char *exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "EXCEPTION",
		[KVM_EXIT_IO] = "IO",
		[KVM_EXIT_HYPERCALL] = "HYPERCALL",
		[KVM_EXIT_DEBUG] = "DEBUG",
		[KVM_EXIT_HLT] = "HLT",
		[KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
		[KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_SET_TPR] = "SET_TPR",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
		[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	};

	if (reason < ARRAY_SIZE(names) && names[reason])
		return names[reason];
	return "?";
}

/* Say where @v stands, for the reader of a failure. */
void vcpu_diag(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct kvm_regs r = vcpu_regs(v);
	struct kvm_sregs s = vcpu_sregs(v);

	ktap_diag("exit %u (%s) rip %#llx rsp %#llx rax %#llx rflags %#llx",
		  run->exit_reason, exit_name(run->exit_reason), r.rip, r.rsp,
		  r.rax, r.rflags);
	ktap_diag("vCPU %u cs %#x %#llx cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx efer %#llx idt %#llx",
		  v->id, s.cs.selector, s.cs.base, s.cr0, s.cr2, s.cr3, s.cr4, s.efer,
		  s.idt.base);
	if (run->exit_reason == KVM_EXIT_IO)
		ktap_diag("port %#x direction %u size %u count %u data %#x",
			  run->io.port, run->io.direction, run->io.size,
			  run->io.count, *(uint32_t *)io_data(v));
	if (run->exit_reason == KVM_EXIT_MMIO)
		ktap_diag("MMIO %#llx length %u write %u data %#llx",
			  run->mmio.phys_addr, run->mmio.len,
			  run->mmio.is_write,
			  *(unsigned long long *)run->mmio.data);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		ktap_diag("internal error %u ndata %u: %#llx %#llx %#llx",
			  run->internal.suberror, run->internal.ndata,
			  run->internal.data[0], run->internal.data[1],
			  run->internal.data[2]);
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		ktap_diag("entry failure %#llx",
			  run->fail_entry.hardware_entry_failure_reason);
}

int vcpu_get_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry.index = msr };
	int r = ioctl(v->fd, KVM_GET_MSRS, &m);

	*value = m.entry.data;
	return r;
}

int vcpu_set_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry.index = msr, .entry.data = value };

	return ioctl(v->fd, KVM_SET_MSRS, &m);
}

int vm_irq(struct vm *vm, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &irq);
}

int vm_msi(struct vm *vm, uint64_t addr, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = addr,
		.address_hi = addr >> 32,
		.data = data,
	};

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

uint64_t figure(int of, const char *name)
{
	int fd = ioctl(of, KVM_GET_STATS_FD, 0UL);
	struct kvm_stats_header h;
	uint64_t value = 0;
	size_t size;
	char *d;
	uint32_t i;

	ASSERT(fd >= 0 && read(fd, &h, sizeof(h)) == sizeof(h));
	size = sizeof(struct kvm_stats_desc) + h.name_size;
	d = malloc(size);
	for (i = 0; i < h.num_desc; i++) {
		ASSERT(pread(fd, d, size, h.desc_offset + i * size) == (ssize_t)size);
		if (strcmp(d + sizeof(struct kvm_stats_desc), name))
			continue;
		ASSERT(pread(fd, &value, 8, h.data_offset +
			     ((struct kvm_stats_desc *)d)->offset) == 8);
		break;
	}
	ASSERT(i < h.num_desc);
	free(d);
	close(fd);
	return value;
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
			      .tv_nsec = ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}
