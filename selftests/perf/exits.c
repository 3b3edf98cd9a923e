// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an exit costs: instructions per operation, Umbra beside stock KVM, one
 * guest program for both. It reads the TSC, which counts instructions in a host
 * that `lab/run -i` boots; elsewhere the figures are cycles and noise.
 */
#include <cpuid.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

#include "guest.h"
#include "sides.h"
#include "vm.h"

#define PORT_ELCR	0x4d0
#define PORT_NOBODY	0x5e8
#define PORT_RESULT	0x5f3
#define WARM_UP		16
#define VECTOR		0x40
#define VMM_COUNT	2000		/* of vmm_guest.S */
#define ROW_SECONDS	2		/* of the host's clock: under -i 2 G instructions */

static volatile uint64_t g_count, g_result, g_ticks;

static inline uint64_t rdtsc_now(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (uint64_t)hi << 32;
}

/* ---- the guest's side: a loop around each operation ---- */

#define LOOP(name, prepare, op)							\
static void name(void)								\
{										\
	uint64_t i, start = 0;							\
										\
	prepare;								\
	for (i = 0; i < WARM_UP + g_count; i++) {				\
		if (i == WARM_UP)						\
			start = rdtsc_now();					\
		op;								\
	}									\
	g_result = rdtsc_now() - start;						\
	guest_done();								\
}

static inline void op_cpuid(void)
{
	uint32_t a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static inline void op_wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline void op_rdmsr(uint32_t msr)
{
	uint32_t a, d;

	asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(msr));
}

static inline void op_hypercall(bool intel)
{
	uint64_t a = 0x7777;

	if (intel)
		asm volatile("vmcall" : "+a"(a) : : "memory");
	else
		asm volatile("vmmcall" : "+a"(a) : : "memory");
}

static inline void op_cr8(void)
{
	uint64_t v;

	asm volatile("movq %%cr8, %0" : "=r"(v));
}

static inline void op_dr(void)
{
	uint64_t v = 0;

	asm volatile("movq %0, %%dr0" : : "r"(v));
}

static void on_tick(struct frame *f)
{
	(void)f;
	g_ticks++;
	apic_eoi();
}

static void prepare_interrupts(void)
{
	g_handlers[VECTOR] = on_tick;
	apic_on();
	asm volatile("sti");
}

static inline void self_ipi(void)
{
	apic_write(APIC_ICR, 1u << 18 | VECTOR);
}

static inline void op_hlt_wake(void)
{
	asm volatile("cli");
	self_ipi();
	asm volatile("sti; hlt" : : : "memory");
}

static inline void op_deadline(void)
{
	uint64_t want = g_ticks + 1;

	op_wrmsr(MSR_TSC_DEADLINE, rdtsc_now() + 1000);
	while (g_ticks < want)
		asm volatile("pause");
}

static void prepare_deadline(void)
{
	prepare_interrupts();
	apic_write(APIC_LVTT, 2u << 17 | VECTOR);
}

/* Two vCPUs throw one interrupt to and fro; each sleeps while the other has it. */
static inline void op_ipi_halt(void)
{
	uint64_t want = g_ticks + 1;

	apic_write(APIC_ICR2, 1u << 24);
	apic_write(APIC_ICR, VECTOR + 1);
	asm volatile("cli");
	while (g_ticks < want)
		asm volatile("sti; hlt; cli" : : : "memory");
	asm volatile("sti");
}

static void on_ping(struct frame *f)
{
	(void)f;
	apic_eoi();
	apic_write(APIC_ICR2, 0);
	apic_write(APIC_ICR, VECTOR);
}

static void ipi_peer(void)
{
	apic_on();
	g_handlers[VECTOR + 1] = on_ping;
	guest_sync(1);
	for (;;)
		asm volatile("sti; hlt" : : : "memory");
}

LOOP(g_cpuid, , op_cpuid())
LOOP(g_msr_read, , op_rdmsr(MSR_TSC_ADJUST))
LOOP(g_msr_write, , op_wrmsr(MSR_TSC_ADJUST, 0))
LOOP(g_hypercall, bool intel = cpu_is_intel(), op_hypercall(intel))
LOOP(g_inl_kernel, , inb(PORT_ELCR))
LOOP(g_outl_kernel, , outb(PORT_ELCR, 0))
LOOP(g_inl_user, , inl(PORT_NOBODY))
LOOP(g_mmio_kernel, , *(volatile uint32_t *)(IOAPIC_GPA + 0x10))
LOOP(g_mmio_user, , *(volatile uint32_t *)GPA_HOLE)
LOOP(g_hlt_wake, prepare_interrupts(), op_hlt_wake())
LOOP(g_self_ipi, apic_on(), self_ipi())
LOOP(g_eoi, apic_on(), apic_eoi())
LOOP(g_deadline, prepare_deadline(), op_deadline())
LOOP(g_ipi_halt, prepare_interrupts(), op_ipi_halt())
LOOP(g_cr8_read, , op_cr8())
LOOP(g_dr_move, , op_dr())
LOOP(g_kernel_gs, , op_wrmsr(MSR_KERNEL_GS_BASE, 0))

/* Whole VMMs that boot %s, with its serial port going to %s. */
#define RUNNER	"umbra run --dev /dev/umbra --kernel '%s' --memory 16M --console file='%s'"
#define QEMU	"qemu-system-x86_64 -accel kvm -cpu host -m 16 -nodefaults -display none " \
		"-no-reboot -kernel '%s' -serial file:'%s'"
/* A node to put ours on, which goes with KVM's module. */
#define ON_UMBRA "[ -e /dev/kvm ] || { mknod /dev/kvm c 10 232 && trap 'rm /dev/kvm' EXIT; }; " \
		"umbra exec -- "

static const struct row {
	const char *name;
	void (*entry)(void);	/* NULL: vmm_guest.S, by the VMMs of .vmm */
	void (*peer)(void);	/* the second vCPU's program */
	unsigned int count;
	const char *what;
	bool skips;		/* KVM emulates it where the CPU saves no next RIP */
	const char *vmm[2];	/* on Umbra and on KVM */
} rows[] = {
	{ "cpuid", g_cpuid, NULL, 2000, "CPUID, leaf 0", true },
	{ "msr_read", g_msr_read, NULL, 2000, "RDMSR of IA32_TSC_ADJUST", true },
	{ "msr_write", g_msr_write, NULL, 2000, "WRMSR of IA32_TSC_ADJUST, the value it has", true },
	{ "hypercall", g_hypercall, NULL, 2000, "VMMCALL with a number that nobody knows", true },
	{ "inl_kernel", g_inl_kernel, NULL, 2000, "IN AL from port 0x4d0, answered by the 8259 in the kernel" },
	{ "outl_kernel", g_outl_kernel, NULL, 2000, "OUT AL to that port" },
	{ "inl_user", g_inl_user, NULL, 2000, "IN EAX from a port that the small VMM in this program answers" },
	{ "inl_vmm", NULL, NULL, VMM_COUNT,
	  "the same IN, answered by our runner on Umbra and by QEMU on KVM",
	  .vmm = { RUNNER, QEMU } },
	{ "inl_qemu", NULL, NULL, VMM_COUNT, "the same IN, answered by QEMU on both",
	  .vmm = { ON_UMBRA QEMU, QEMU } },
	{ "mmio_kernel", g_mmio_kernel, NULL, 2000, "MOV from the IOAPIC's data register" },
	{ "mmio_user", g_mmio_user, NULL, 2000, "MOV from an address that this program answers" },
	{ "hlt_wake", g_hlt_wake, NULL, 1000, "CLI, ICR write to itself, STI, HLT, handler with EOI",
	  true },
	{ "self_ipi", g_self_ipi, NULL, 1000, "MOV to the ICR: to itself, not taken (IF is 0)" },
	{ "ipi_halt", g_ipi_halt, ipi_peer, 500, "an interrupt to a halted vCPU and one back, both with HLT and EOI",
	  true },
	{ "eoi", g_eoi, NULL, 2000, "MOV to the LAPIC's EOI register, none in service" },
	{ "tscdeadline", g_deadline, NULL, 500, "WRMSR of a deadline 1000 ahead, wait, handler with EOI", true },
	{ "cr8_read", g_cr8_read, NULL, 2000, "MOV from CR8: no exit" },
	{ "dr_move", g_dr_move, NULL, 2000, "MOV to DR0: no exit" },
	{ "kernel_gs_base_write", g_kernel_gs, NULL, 2000, "WRMSR of KERNEL_GS_BASE: no exit" },
};

#define NR_ROWS	ARRAY_SIZE(rows)

/* ---- the host's side ---- */

static const char *only_row;		/* --only */
static unsigned int forced_count;	/* --count */
static volatile bool peer_up;

static void *run_peer(void *arg)
{
	struct vcpu *v = arg;

	while (!ioctl(v->fd, KVM_RUN, 0) || errno == EINTR || errno == EAGAIN) {
		if (v->run->exit_reason == KVM_EXIT_IO && v->run->io.port == PORT_SYNC)
			peer_up = true;
	}
	return NULL;
}

/* Answers what the guest reads, in as few instructions as a VMM can. */
static bool run_to_done(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	for (;;) {
		if (ioctl(v->fd, KVM_RUN, 0) && errno != EAGAIN) {
			vcpu_diag(v);
			return false;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.port == PORT_DONE)
				return true;
			if (run->io.port == PORT_FAIL)
				return false;
			break;
		case KVM_EXIT_MMIO:
		case KVM_EXIT_INTR:
			break;
		default:
			return false;
		}
	}
}

/* With the TSC deadline in CPUID, which is the VMM's to set. */
static struct vcpu *make_vm(struct vm *vm, void (*entry)(void))
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct vcpu *v;

	cpuid_find(c, 1, 0)->ecx |= BIT(24);
	vm_init(vm, VM_IRQCHIP);
	v = vm_vcpu_raw(vm, 0);
	vcpu_set_cpuid(v, c);
	vcpu_long_mode(v, entry);
	return v;
}

/* A tenth of an instruction is the unit, so that integers do. 0: it failed. */
static uint64_t measure(const struct row *row, unsigned int count)
{
	struct vm vm;
	struct vcpu *v = make_vm(&vm, row->entry);
	pthread_t peer;
	uint64_t result;

	G(&vm, g_count) = count;
	if (row->peer) {
		struct vcpu *p = vm_vcpu(&vm, 1);
		struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

		vcpu_long_mode(p, row->peer);
		ASSERT(!ioctl(p->fd, KVM_SET_MP_STATE, &runnable));
		peer_up = false;
		pthread_create(&peer, NULL, run_peer, p);
		while (!peer_up)
			sleep_ms(1);
	}
	if (!run_to_done(v))
		return 0;
	result = G(&vm, g_result);
	return result * 10 / count;
}

/*
 * A VMM that boots vmm_guest.S, which prints the sum on its serial port and then
 * resets the machine, to each VMM an end of its own kind.
 */
static uint64_t measure_vmm(const char *vmm)
{
	char self[256], kernel[300], out[] = "/tmp/exits.XXXXXX", command[1024];
	unsigned long sum = 0;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd = mkstemp(out);
	FILE *f;

	if (n < 0 || fd < 0)
		return 0;
	self[n] = 0;
	*strrchr(self, '/') = 0;
	snprintf(kernel, sizeof(kernel), "%s/vmm_guest.elf", self);
	snprintf(command, sizeof(command), vmm, kernel, out);
	strcat(command, " </dev/null >/dev/null 2>&1");
	/* The status is no news: see what the guest has said. */
	if (system(command) < 0)
		return 0;
	f = fdopen(fd, "r");
	if (!f || fscanf(f, "%8lx", &sum) != 1)
		sum = 0;
	unlink(out);
	return sum * 10 / VMM_COUNT;
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Each row in a process of its own: what it leaves behind dies with it. */
static void measure_all(const char *dev, uint64_t *out)
{
	const struct sigaction interrupting = { .sa_handler = on_alarm };
	const bool on_kvm = !strcmp(dev, "/dev/kvm");
	unsigned int i;

	setenv("UMBRA_DEV", dev, 1);
	for (i = 0; i < NR_ROWS; i++) {
		pid_t pid;
		int status;

		if (only_row && strcmp(only_row, rows[i].name))
			continue;
		pid = fork();
		if (!pid) {
			sigaction(SIGALRM, &interrupting, NULL);
			alarm(ROW_SECONDS);
			out[i] = !rows[i].entry ? measure_vmm(rows[i].vmm[on_kvm]) :
				 measure(&rows[i], forced_count ? forced_count : rows[i].count);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		if (status || !out[i])
			fprintf(stderr, "exits: %s fails on %s\n", rows[i].name, dev);
	}
}

static uint64_t *results;

static void umbra_side(void)
{
	measure_all("/dev/umbra", results);
}

static void kvm_side(void)
{
	measure_all("/dev/kvm", results + NR_ROWS);
}

static const struct side kvm_sides[] = {
	{ "", kvm_side },
	{ }
};

/* Does the CPU say where an instruction that exited ends? Intel's all do. */
static bool next_rip(void)
{
	uint32_t a, b, c, d;

	if (cpu_is_intel())
		return true;
	if (!__get_cpuid(0x8000000a, &a, &b, &c, &d))
		return false;
	return d & BIT(3);
}

static void print_table(const uint64_t *umbra, const uint64_t *kvm)
{
	unsigned int i;

	printf("%-22s %10s %10s %7s\n", "operation", "umbra", "kvm", "ratio");
	for (i = 0; i < NR_ROWS; i++) {
		if (!umbra[i] && !kvm[i])
			continue;
		printf("%-22s %10.1f %10.1f %7.2f%s\n", rows[i].name, umbra[i] / 10.0, kvm[i] / 10.0,
		       kvm[i] ? (double)umbra[i] / kvm[i] : 0.0,
		       rows[i].skips && !next_rip() ? "  no next-RIP" : "");
	}
}

static void print_json(const uint64_t *umbra, const uint64_t *kvm)
{
	const char *comma = "";
	unsigned int i;

	printf("{\"rows\":[");
	for (i = 0; i < NR_ROWS; i++) {
		if (!umbra[i] && !kvm[i])
			continue;
		printf("%s{\"name\":\"%s\",\"mode\":\"hardware\",\"umbra\":%.1f,\"kvm\":%.1f,\"ratio\":%.3f}",
		       comma, rows[i].name, umbra[i] / 10.0, kvm[i] / 10.0,
		       kvm[i] ? (double)umbra[i] / kvm[i] : 0.0);
		comma = ",";
	}
	printf("]}\n");
}

static void usage(void)
{
	unsigned int i;

	printf("Usage: exits [--json] [--only NAME] [--count N] [--umbra]\n"
	       "Instructions per operation, Umbra beside stock KVM, in a host that counts them\n"
	       "(lab/run -i). Loads and unloads both modules. MODULE= names umbra.ko; with\n"
	       "--umbra nothing else is measured, to compare two of them.\n\n");
	for (i = 0; i < NR_ROWS; i++)
		printf("  %-22s %s\n", rows[i].name, rows[i].what);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "only", required_argument, NULL, 'o' },
		{ "count", required_argument, NULL, 'c' },
		{ "umbra", no_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	const struct side *kvm = kvm_sides;
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'o':
			only_row = optarg;
			break;
		case 'c':
			forced_count = strtoul(optarg, NULL, 0);
			break;
		case 'u':
			kvm = kvm_sides + ARRAY_SIZE(kvm_sides) - 1;
			break;
		case 'h':
			usage();
			return 0;
		default:
			return 64;
		}
	}
	results = mmap(NULL, 2 * NR_ROWS * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || !both_sides(umbra_side, kvm))
		return 1;
	(json ? print_json : print_table)(results, results + NR_ROWS);
	return 0;
}
