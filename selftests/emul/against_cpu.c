// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulator against the CPU: each generated instruction runs twice from the same state, as it is
 * and behind the prefix that has it emulated. Registers, flags, memory and faults have to be equal,
 * but for what the manuals leave undefined.
 *
 * The guest generates the cases, runs them and compares; the host prints what it found.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "against_cpu.h"
#include "guest.h"
#include "vm.h"
#include "world_run.h"

#define MAX_PRINTED	20
#define MAX_LOST	64

static const char *const register_names[16] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
};

static void put64(struct vm *vm, uint64_t gpa, uint64_t v)
{
	memcpy(vm->mem + gpa, &v, sizeof(v));
}

/* The way out of a case, where the program is linked, for the supervisor alone. */
static void map_stub(struct vm *vm, uint64_t pd, uint64_t pt)
{
	uint64_t at = (uintptr_t)emul_stub_begin, end = (uintptr_t)emul_stub_end;

	ASSERT(at >> 21 == (end - 1) >> 21);
	put64(vm, pd + (at >> 21) * 8, pt | PTE_P | PTE_W | PTE_U);
	for (; at < end; at += 4096)
		put64(vm, pt + (at >> 12 & 511) * 8, at | PTE_P);
}

static void build_case_tables(struct vm *vm)
{
	const uint64_t t = TABLES_GPA, rwu = PTE_P | PTE_W | PTE_U;
	const uint64_t pdpt = t + 0x1000, pd = t + 0x2000, data = t + 0x3000, code = t + 0x4000;
	const uint64_t stub = t + 0x5000, pdpt_high = t + 0x6000, pd_high = t + 0x7000;
	const uint64_t high = t + 0x8000;
	unsigned int i;

	put64(vm, t, pdpt | rwu);
	put64(vm, pdpt, pd | rwu);
	put64(vm, pd + (DATA_LA >> 21) * 8, data | rwu);
	put64(vm, pd + (CODE_LA >> 21) * 8, code | rwu);
	map_stub(vm, pd, stub);
	for (i = 0; i < DATA_PAGES; i++)
		put64(vm, data + i * 8, (DATA_GPA + i * 4096) | emul_data_rights(i) | PTE_NX);
	for (i = 0; i < CODE_PAGES; i++)
		put64(vm, code + i * 8, (CODE_GPA + i * 4096) | PTE_P | PTE_U);
	/* Seen in both address spaces. */
	put64(vm, t + (HIGH_LA >> 39 & 511) * 8, pdpt_high | rwu);
	put64(vm, GPA_PML4 + (HIGH_LA >> 39 & 511) * 8, pdpt_high | rwu);
	put64(vm, pdpt_high, pd_high | rwu);
	put64(vm, pd_high, high | rwu);
	for (i = 0; i < HIGH_PAGES; i++)
		put64(vm, high + i * 8, (HIGH_GPA + i * 4096) | PTE_P | PTE_W | PTE_NX);
}

static void build_case_descriptors(struct vm *vm)
{
	const uint64_t gdt = HIGH_GPA + HIGH_GDT * 4096, idt = HIGH_GPA + HIGH_IDT * 4096;
	const uint64_t tss = HIGH_GPA + HIGH_TSS * 4096;
	const uint64_t tss_la = HIGH_LA + HIGH_TSS * 4096, top = HIGH_LA + (HIGH_STACK + 1) * 4096;
	unsigned int i;

	for (i = 0; i < NR_DESC; i++)
		put64(vm, gdt + i * 8, gen_gdt[i].descriptor);
	put64(vm, gdt + SEL_TR, (uint64_t)(104 + 8192) | (tss_la & 0xffffff) << 16 |
	      0x89ULL << 40 | (tss_la >> 24 & 0xff) << 56);
	put64(vm, gdt + SEL_TR + 8, tss_la >> 32);
	for (i = 0; i < NR_VECTORS; i++) {
		uint64_t at = (uintptr_t)emul_vectors + i * 16;
		bool user = i == BP_VECTOR || i == OF_VECTOR || (i >= 32 && i < 48);

		put64(vm, idt + i * 16, (at & 0xffff) | SEL_K64 << 16 |
		      (user ? 0xee01ULL : 0x8e01ULL) << 32 | (at >> 16 & 0xffff) << 48);
		put64(vm, idt + i * 16 + 8, at >> 32);
	}
	put64(vm, tss + 4, top);
	put64(vm, tss + 36, top);
	vm->mem[tss + 102] = 104;
	/* Some ports are open to everybody. */
	memset(vm->mem + tss + 104, 0xff, 8193);
	vm->mem[tss + 104 + 0x21 / 8] = 0;
	vm->mem[tss + 104 + 0x80 / 8] = 0;
	vm->mem[tss + 104 + 0x1234 / 8] = 0x0f;
}

/* Printing a difference */

static void print_bytes(const char *what, const uint8_t *p, unsigned int n)
{
	char line[128];
	unsigned int i, at = 0;

	for (i = 0; i < n; i++)
		at += snprintf(line + at, sizeof(line) - at, " %02x", p[i]);
	printf("#   %s:%s\n", what, line);
}

static void print_value(const char *name, uint64_t native, uint64_t emulated)
{
	if (native != emulated)
		printf("#   %s: native %#llx, emulated %#llx\n", name,
		       (unsigned long long)native, (unsigned long long)emulated);
}

static const char *const hidden_names[NR_HIDDEN] = {
	"es base", "es limit", "es attributes", "ds base", "ds limit", "ds attributes",
	"fs base", "fs limit", "fs attributes", "gs base", "gs limit", "gs attributes",
	"ss base", "ss limit", "ss attributes", "gdt", "idt", "tss", "ldt", "efer",
};

static void print_outcomes(const struct difference *d)
{
	const struct outcome *n = &d->native, *e = &d->emulated;
	unsigned int i;

	print_value("vector", n->vector, e->vector);
	print_value("error code", n->error, e->error);
	print_value("cr2", n->cr2, e->cr2);
	print_value("rip", n->rip, e->rip);
	print_value("rflags", n->rflags, e->rflags);
	print_value("cs", n->cs, e->cs);
	print_value("ss", n->ss, e->ss);
	for (i = 0; i < 16; i++)
		print_value(register_names[i], n->gpr[i], e->gpr[i]);
	for (i = 0; i < 4; i++)
		print_value("a data segment", n->seg[i], e->seg[i]);
	for (i = 0; i < 64; i++)
		print_value("a vector register's quarter", n->vec[i], e->vec[i]);
	for (i = 0; i < FX_SIZE; i++)
		if (n->fx[i] != e->fx[i])
			printf("#   FXSAVE's byte %u: native %#x, emulated %#x\n", i, n->fx[i],
			       e->fx[i]);
	for (i = 0; i < NR_SYSTEM; i++)
		print_value("a system register", n->system[i], e->system[i]);
	for (i = 0; i < NR_HIDDEN; i++)
		print_value(hidden_names[i], n->hidden[i], e->hidden[i]);
	if (d->memory != NO_DIFFERENCE)
		printf("#   data at %#x: native %#x, emulated %#x\n", d->memory, d->memory_native,
		       d->memory_emulated);
}

static void print_difference(const struct difference *d)
{
	static const char *const modes[] = { "16-bit", "16-bit", "16-bit", "32-bit", "64-bit" };
	const struct gen_case *c = &d->c;
	const struct gen_leaf *l = &gen_leaves[c->leaf];
	unsigned int i;

	printf("# case %llu: %s, opcode %02x of map %u, %s, %s, ring %u%s\n",
	       (unsigned long long)d->index, gen_name(l->op->exec), l->opcode, l->map,
	       gen_worlds[c->world].name, modes[c->mode], c->cpl, c->step ? ", stepped" : "");
	print_bytes("bytes", c->code, c->len ? c->len : 15);
	printf("#   cr0 %#llx cr3 %#llx cr4 %#llx\n", (unsigned long long)c->cr0,
	       (unsigned long long)c->cr3, (unsigned long long)c->cr4);
	printf("#   at %#llx, rflags %#llx, ds %#x es %#x fs %#x gs %#x ss %#x\n",
	       (unsigned long long)c->rip, (unsigned long long)c->rflags, c->sel[EMUL_DS],
	       c->sel[EMUL_ES], c->sel[EMUL_FS], c->sel[EMUL_GS], c->sel[EMUL_SS]);
	for (i = 0; i < 16; i += 4)
		printf("#   %s %#llx %s %#llx %s %#llx %s %#llx\n", register_names[i],
		       (unsigned long long)c->gpr[i], register_names[i + 1],
		       (unsigned long long)c->gpr[i + 1], register_names[i + 2],
		       (unsigned long long)c->gpr[i + 2], register_names[i + 3],
		       (unsigned long long)c->gpr[i + 3]);
	for (i = 0; i < c->nr_patches; i++) {
		printf("#   patch at %#x\n", c->patch[i].offset);
		print_bytes("patch", c->patch[i].bytes, c->patch[i].n);
	}
	if (d->unknown)
		printf("#   the emulator does not know it\n");
	else
		print_outcomes(d);
	fflush(stdout);
}

/* Some of each row, lest one hides the others. */
static unsigned int max_a_row = 2;

static void report(const struct difference *d)
{
	static unsigned int printed[GEN_MAX_LEAVES];

	if (printed[d->c.leaf] == max_a_row)
		return;
	printed[d->c.leaf]++;
	print_difference(d);
}

/* What all guests have done: one that is lost gives way to another, behind its case. */
static struct {
	uint64_t cases, differences, lost, masked[NR_MASKS], in_world[NR_WORLDS];
	uint32_t runs[GEN_MAX_LEAVES], unknowns[GEN_MAX_LEAVES], bad[GEN_MAX_LEAVES];
} total;

static void add_up(struct vm *vm)
{
	unsigned int i;

	total.cases += G(vm, g_cases);
	total.differences += G(vm, g_differences);
	for (i = 0; i < NR_MASKS; i++)
		total.masked[i] += G(vm, g_masked)[i];
	for (i = 0; i < NR_WORLDS; i++)
		total.in_world[i] += G(vm, g_in_world)[i];
	for (i = 0; i < gen_nr_leaves; i++) {
		total.runs[i] += G(vm, g_runs)[i];
		total.unknowns[i] += G(vm, g_unknowns)[i];
		total.bad[i] += G(vm, g_bad)[i];
	}
}

/* Running the guest */

static void answer_port(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	if (run->io.direction == KVM_EXIT_IO_IN)
		memset(io_data(v), 0x5a, (size_t)run->io.size * run->io.count);
}

/* The guest goes on as if the instruction were none, and knows better. */
static void unknown_instruction(struct vm *vm, struct vcpu *v)
{
	struct kvm_vcpu_events e;

	G(vm, g_unknown) = 1;
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.exception.injected = 1;
	e.exception.nr = UD_VECTOR;
	e.exception.has_error_code = 0;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
}

static bool machine_lost(struct vm *vm, struct vcpu *v)
{
	struct difference d = { .index = G(vm, g_index), .memory = NO_DIFFERENCE };
	uint32_t where;

	if (guest_said(v, PORT_FAIL, &where))
		printf("# the guest gave up: %#x at %#llx\n", where,
		       (unsigned long long)G(vm, g_lost_rip));
	vcpu_diag(v);
	d.c = G(vm, g_case);
	report(&d);
	return false;
}

static void run_in_world(struct vm *vm, struct worlds *w)
{
	worlds_run(w, &G(vm, g_case), G(vm, g_emulating), &G(vm, g_outcome), &G(vm, g_unknown));
}

static bool run_guest(struct vm *vm, struct vcpu *v, struct worlds *w)
{
	uint32_t step;

	for (;;) {
		uint32_t reason = vcpu_run(v);

		if (reason == KVM_EXIT_INTERNAL_ERROR &&
		    v->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
		    G(vm, g_emulating)) {
			unknown_instruction(vm, v);
			continue;
		}
		if (reason != KVM_EXIT_IO)
			return machine_lost(vm, v);
		if (guest_said(v, PORT_DONE, NULL))
			return true;
		if (guest_said(v, PORT_FAIL, NULL))
			return machine_lost(vm, v);
		if (!guest_said(v, PORT_SYNC, &step))
			answer_port(v);
		else if (step == SYNC_WORLD)
			run_in_world(vm, w);
		else
			report(&G(vm, g_difference));
	}
}

/* The verdict */

static void print_row(const struct gen_leaf *l)
{
	printf("#   %s: opcode %02x of map %u, /%d, prefix %d\n", gen_name(l->op->exec), l->opcode,
	       l->map, l->reg, l->prefix);
}

static unsigned int rows_without_case(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < gen_nr_leaves; i++) {
		if (total.runs[i])
			continue;
		if (gen_excluded(&gen_leaves[i])) {
			print_row(&gen_leaves[i]);
			printf("#     not tried: %s\n", gen_excluded(&gen_leaves[i]));
			continue;
		}
		if (n++ < MAX_PRINTED)
			print_row(&gen_leaves[i]);
	}
	return n;
}

static unsigned int rows_unknown(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < gen_nr_leaves; i++) {
		if (!total.unknowns[i])
			continue;
		print_row(&gen_leaves[i]);
		n++;
	}
	return n;
}

static void print_bad_rows(void)
{
	unsigned int i;

	for (i = 0; i < gen_nr_leaves; i++) {
		if (!total.bad[i])
			continue;
		print_row(&gen_leaves[i]);
		printf("#     %u of %u cases differ\n", total.bad[i], total.runs[i]);
	}
}

static void result(bool good, const char *what, int *failed)
{
	static int nr;

	printf("%sok %d %s\n", good ? "" : "not ", ++nr, what);
	*failed |= !good;
}

static int verdict(uint64_t seed)
{
	unsigned int empty = rows_without_case(), unknown = rows_unknown(), i;
	int failed = 0;

	print_bad_rows();
	for (i = 0; i < NR_WORLDS; i++)
		printf("# %llu cases in %s\n", (unsigned long long)total.in_world[i],
		       gen_worlds[i].name);
	printf("# %u rows of the opcode tables, %u without a case, %u not known\n", gen_nr_leaves,
	       empty, unknown);
	for (i = 0; i < NR_MASKS; i++)
		if (total.masked[i])
			printf("# %llu differences set aside: %s\n",
			       (unsigned long long)total.masked[i], mask_reasons[i]);
	result(!total.lost, "no case took the machine along", &failed);
	result(!empty, "every row of the opcode tables has a case", &failed);
	result(!unknown, "the emulator knows what its tables say it knows", &failed);
	result(!total.differences, "the emulator does what the CPU does", &failed);
	printf("# %llu cases, %llu differences, seed %llu\n", (unsigned long long)total.cases,
	       (unsigned long long)(total.differences + total.lost), (unsigned long long)seed);
	return failed;
}

/* From outside: there are CPUs whose XSETBV no hypervisor sees. */
static void set_xcr0(struct vcpu *v)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = gen_xcr0 };

	if (gen_xcr0)
		ASSERT(!ioctl(v->fd, KVM_SET_XCRS, &x));
}

/* Cases from @first on, @count at most; where the next one goes on, 0 if none is left. */
static uint64_t one_guest(uint64_t count, uint64_t first, uint64_t seed)
{
	struct vcpu *v;
	struct worlds w;
	struct vm vm;
	uint64_t next = 0;

	v = vm_long_mode(&vm, VM_IRQCHIP, emul_guest);
	set_xcr0(v);
	build_case_tables(&vm);
	build_case_descriptors(&vm);
	G(&vm, g_seed) = seed;
	G(&vm, g_first) = first;
	G(&vm, g_count) = count;
	G(&vm, g_tcg) = !gen_strict;
	worlds_init(&w, vm.mem);
	if (!run_guest(&vm, v, &w)) {
		total.lost++;
		next = G(&vm, g_index) + 1;
	}
	add_up(&vm);
	worlds_free(&w);
	vm_free(&vm);
	return next;
}

/* What the guest's CPU has of the bits of CR4 that cases draw. */
static uint64_t guards(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(supported_cpuid(), 7, 0);
	uint64_t g = GUARD_TSD;

	if (!e)
		return g;
	g |= e->ebx & BIT(7) ? GUARD_SMEP : 0;
	g |= e->ebx & BIT(20) ? GUARD_SMAP : 0;
	g |= e->ecx & BIT(2) ? GUARD_UMIP : 0;
	g |= e->ecx & BIT(3) ? GUARD_PKE : 0;
	return g;
}

/* Of the x87, SSE and AVX, what a guest can turn on. */
static uint64_t xcr0_offered(void)
{
	struct kvm_cpuid2 *c = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, 0);

	return e && cpuid_find(c, 1, 0)->ecx & BIT(26) ? e->eax & 7 : 0;
}

static int against_cpu(uint64_t count, uint64_t first, uint64_t seed)
{
	gen_tables();
	gen_strict = !on_tcg();
	gen_bochs_svm = gen_bochs && !cpu_is_intel();
	gen_guards = guards();
	gen_xcr0 = xcr0_offered();
	printf("TAP version 13\n1..4\n# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	do {
		first = one_guest(count - total.cases, first, seed);
	} while (first && total.cases < count && total.lost < MAX_LOST);
	return verdict(seed);
}

/* The module */

static bool prefix_on(void)
{
	char c = 'N';
	FILE *f = fopen("/sys/module/umbra/parameters/force_emulation_prefix", "r");

	if (!f)
		return false;
	if (fread(&c, 1, 1, f) != 1)
		c = 'N';
	fclose(f);
	return c == 'Y';
}

static bool load_module(void)
{
	const char *ko = getenv("MODULE");
	char command[512];

	snprintf(command, sizeof(command), "insmod %s force_emulation_prefix=1",
		 ko ? ko : "/umbra/umbra.ko");
	return system(command) == 0;
}

static const char *row_name(const char *name)
{
	unsigned int i;

	for (i = 0; i < gen_nr_leaves; i++)
		if (!strcmp(gen_name(gen_leaves[i].op->exec), name))
			return gen_name(gen_leaves[i].op->exec);
	return NULL;
}

static const struct gen_world *world_by_name(const char *name)
{
	unsigned int i;

	for (i = 0; i < NR_WORLDS; i++)
		if (!strcmp(gen_worlds[i].name, name))
			return &gen_worlds[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "bochs", no_argument, NULL, 'b' },
		{ "count", required_argument, NULL, 'c' },
		{ "first", required_argument, NULL, 'f' },
		{ "print", required_argument, NULL, 'p' },
		{ "only", required_argument, NULL, 'o' },
		{ "random", no_argument, NULL, 'r' },
		{ "seed", required_argument, NULL, 's' },
		{ "world", required_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	uint64_t count = 20000, first = 0, seed = 1;
	bool loaded = false;
	struct stat st;
	int c, failed;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'b':
			gen_bochs = true;
			break;
		case 'c':
			count = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			first = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			max_a_row = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			gen_tables();
			gen_only = row_name(optarg);
			if (!gen_only) {
				fprintf(stderr, "against_cpu: no row is called %s\n", optarg);
				return 64;
			}
			break;
		case 'r':
			seed = now_ns();
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			gen_elsewhere = !strcmp(optarg, "other");
			gen_only_world = world_by_name(optarg);
			if (!gen_only_world && !gen_elsewhere) {
				fprintf(stderr, "against_cpu: no world is called %s\n", optarg);
				return 64;
			}
			break;
		default:
			printf("Usage: against_cpu [--count N] [--seed S | --random] [--first INDEX]\n"
			       "                   [--only NAME] [--world NAME] [--print N] [--bochs]\n"
			       "N generated instructions, natively and emulated. Loads the module with\n"
			       "force_emulation_prefix=1 if it is not loaded; MODULE= names umbra.ko.\n"
			       "--seed: 1 by default, so that two runs are alike; --random: the time.\n"
			       "--only: rows of one handler alone, as a report names it.\n"
			       "--world: cases in one state of the machine alone, likewise; other: in\n"
			       "all but long mode as it is.\n"
			       "--print: as many differences of a row of the tables, 2 by default.\n"
			       "--bochs: the CPU is that of Bochs, whose own ways are left out.\n");
			return c == 'h' ? 0 : 64;
		}
	}
	if (stat("/sys/module/umbra", &st))
		loaded = load_module();
	if (on_umbra() && !prefix_on()) {
		printf("TAP version 13\n1..0 # SKIP the module lacks force_emulation_prefix=1\n");
		return KSFT_SKIP;
	}
	failed = against_cpu(count, first, seed);
	if (loaded && system("rmmod umbra"))
		failed = 1;
	return failed;
}
