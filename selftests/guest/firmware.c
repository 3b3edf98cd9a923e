// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real-mode code from Debian's packages, run by the CPU and run again by the
 * emulator alone: what it leaves in memory and registers, and what it says to the
 * world on the way, must be the same.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define BIOS		"/usr/share/seabios/bios.bin"
#define MEMTEST		"/usr/lib/memtest86+/memtest86+x64.bin"

#define RAM_SIZE	(4u << 20)
#define PORT_PCI	0xcf8
#define GPA_STUB	0xf0000		/* what every interrupt leads to: CF is set */
#define GPA_SETUP	0x90000
#define GPA_KERNEL	0x100000

/* One run: the machine, where it stopped, and a hash of all that it said to ports. */
struct run {
	struct vm vm;
	struct vcpu *v;
	uint8_t *ram;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t said;
	unsigned int exits;
};

static void make(struct run *r, bool emulated)
{
	emulator_alone(emulated);
	vm_init(&r->vm, VM_NO_MEMORY);
	emulator_alone(false);
	r->v = vm_vcpu(&r->vm, 0);
	r->ram = map_pages(RAM_SIZE);
	ASSERT(!vm_slot(&r->vm, 0, 0, 0, RAM_SIZE, r->ram));
}

static size_t load(const char *path, void *to, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		SKIP("no %s", path);
	n = read(fd, to, room);
	close(fd);
	ASSERT(n > 0 && (size_t)n < room);
	return n;
}

/* What a port answers: a fixed list. */
static uint8_t answer(uint16_t port)
{
	switch (port) {
	case 0x402:
		return 0xe9;	/* the debug console is there */
	case 0x64:		/* the keyboard controller has nothing, and takes all */
	case 0x71:		/* CMOS: no shutdown code, no sizes */
		return 0;
	case 0x92:
		return 0x02;
	}
	return 0xff;
}

static void note(struct run *r, uint64_t word)
{
	r->said = (r->said ^ word) * 0x100000001b3;
}

/* One KVM_EXIT_IO; true: it was the port to stop at. */
static bool serve_port(struct run *r)
{
	struct kvm_run *run = r->v->run;
	uint32_t i, bytes = run->io.size * run->io.count;
	bool in = run->io.direction == KVM_EXIT_IO_IN;
	uint8_t *data = io_data(r->v);

	note(r, run->io.port | run->io.size << 16 | (uint32_t)in << 31);
	for (i = 0; i < bytes; i++) {
		if (in)
			data[i] = answer(run->io.port + i % run->io.size);
		note(r, data[i]);
	}
	return run->io.port == PORT_PCI;
}

/*
 * The mask of what may differ: a far jump sets the accessed bit of the code
 * segment's descriptor, but QEMU's CPU does not.
 */
static void mark_code_accessed(struct run *r)
{
	if (!(r->sregs.cr0 & 1))
		return;
	r->sregs.cs.type |= 1;
	r->ram[r->sregs.gdt.base + (r->sregs.cs.selector & ~7u) + 5] |= 1;
}

/* Until the first PCI access or a HLT. */
static void go(struct run *r)
{
	for (;;) {
		uint32_t reason = vcpu_run(r->v);

		r->exits++;
		if (reason == KVM_EXIT_HLT || (reason == KVM_EXIT_IO && serve_port(r)))
			break;
		if (reason != KVM_EXIT_IO)
			vcpu_diag(r->v);
		ASSERT(reason == KVM_EXIT_IO);
	}
	/* Whether RIP is behind an OUT at its exit is nobody's business. */
	r->v->run->immediate_exit = 1;
	EXPECT_ERR(vcpu_run_raw(r->v), EINTR);
	r->regs = vcpu_regs(r->v);
	r->sregs = vcpu_sregs(r->v);
	mark_code_accessed(r);
}

static void firmware(struct run *r)
{
	static uint8_t bios[256 << 10] __attribute__((aligned(4096)));
	size_t size = load(BIOS, bios, sizeof(bios));
	uint8_t *top = map_pages(size);

	memcpy(top, bios, size);
	memcpy(r->ram + (1u << 20) - size, bios, size);
	ASSERT(!vm_slot(&r->vm, 1, KVM_MEM_READONLY, (1ULL << 32) - size, size, top));
	/* The vCPU is as after a reset: its first instruction is at the top. */
	go(r);
}

static struct kvm_segment at(uint32_t base, uint8_t type)
{
	return (struct kvm_segment) {
		.base = base, .selector = base >> 4, .limit = 0xffff,
		.type = type, .s = 1, .present = 1,
	};
}

static void setup(struct run *r)
{
	/* push bp; mov bp, sp; or word [bp + 6], 1; pop bp; iret */
	static const uint8_t stub[] = { 0x55, 0x89, 0xe5, 0x83, 0x4e, 0x06, 0x01, 0x5d, 0xcf };
	static uint8_t image[1 << 20];
	size_t size = load(MEMTEST, image, sizeof(image));
	size_t sectors = (image[0x1f1] ? image[0x1f1] : 4) + 1;
	struct kvm_sregs s = vcpu_sregs(r->v);
	struct kvm_regs regs = { .rflags = 2, .rsp = 0xfff0 };
	int i;

	ASSERT(size > sectors * 512);
	memcpy(r->ram + GPA_SETUP, image, sectors * 512);
	memset(r->ram + GPA_KERNEL, 0xf4, 4096);
	memcpy(r->ram + GPA_STUB, stub, sizeof(stub));
	for (i = 0; i < 256; i++)
		*(uint32_t *)(r->ram + i * 4) = (uint32_t)GPA_STUB >> 4 << 16;

	s.cs = at(GPA_SETUP + 0x200, 0xb);
	s.ds = s.es = s.fs = s.gs = s.ss = at(GPA_SETUP, 0x3);
	ASSERT(!ioctl(r->v->fd, KVM_SET_SREGS, &s));
	ASSERT(!ioctl(r->v->fd, KVM_SET_REGS, &regs));
	go(r);
}

/* The first byte that differs is the one that is told. */
static void same(const char *what, const void *cpu, const void *emulator, size_t size)
{
	const uint8_t *a = cpu, *b = emulator;
	size_t i;

	for (i = 0; i < size && a[i] == b[i]; i++)
		;
	EXPECT_MSG(i == size, "%s: the CPU leaves %#x at %#zx, the emulator %#x", what, a[i], i,
		   b[i]);
}

static void compare(struct run *a, struct run *b)
{
	/* Only what the CPU leaves behind would be compared. */
	if (host_lacks("svm-cr2"))
		a->sregs.cr2 = b->sregs.cr2 = 0;
	EXPECT_EQ(b->exits, a->exits);
	EXPECT_EQ(b->said, a->said);
	EXPECT_EQ(b->regs.rip, a->regs.rip);
	same("registers", &a->regs, &b->regs, sizeof(a->regs));
	same("system registers", &a->sregs, &b->sregs, sizeof(a->sregs));
	same("memory", a->ram, b->ram, RAM_SIZE);
}

static const struct code {
	const char *name;
	void (*run)(struct run *r);
	uint32_t end;		/* the linear address that it gets to, or 0 */
	unsigned int exits;	/* at least so many, else it went astray */
} codes[] = {
	{ "SeaBIOS up to its first PCI access", firmware, 0, 4 },
	{ "memtest86+ up to protected mode", setup, GPA_KERNEL + 1, 6 },
};

TEST_EACH(packages, "the emulator alone does what the CPU does: ", codes, c)
{
	struct run native = { 0 }, emulated = { 0 };

	make(&native, false);
	c->run(&native);
	make(&emulated, true);
	c->run(&emulated);
	ktap_diag("%u exits to the VMM; at %#llx:%#llx", native.exits,
		  (unsigned long long)native.sregs.cs.base,
		  (unsigned long long)native.regs.rip);
	EXPECT(native.exits >= c->exits);
	if (c->end) {
		EXPECT_EQ(native.sregs.cs.base + native.regs.rip, c->end);
		EXPECT_EQ(native.sregs.cr0 & 1, 1);
	}
	compare(&native, &emulated);
}

static volatile uint64_t g_count;

static void spin(void)
{
	for (;;)
		g_count++;
}

TEST(signal, "a signal ends RUN of a guest that the emulator runs")
{
	struct vcpu *v;
	struct vm vm;
	int i = 0;

	emulator_alone(true);
	v = vm_long_mode(&vm, 0, spin);
	emulator_alone(false);
	do {
		EXPECT_ERR(vcpu_run_for(v, 100), EINTR);
	} while (!G(&vm, g_count) && ++i < 100);
	EXPECT(G(&vm, g_count) > 0);
}
