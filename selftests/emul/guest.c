// SPDX-License-Identifier: GPL-2.0-only
/* The guest of against_cpu: makes cases, runs each twice, and compares. */
#include "against_cpu.h"
#include "gen_priv.h"
#include "guest.h"
#include "world.h"

#define BATCH		4096	/* cases with the same pattern in memory */
#define FORCED		5	/* bytes of the prefix */

volatile u64 g_seed, g_first, g_count, g_index, g_cases, g_differences;
volatile u64 g_lost_rip;
volatile u8 g_tcg, g_unknown, g_emulating;
struct gen_case g_case;
struct difference g_difference;
u32 g_runs[GEN_MAX_LEAVES], g_unknowns[GEN_MAX_LEAVES], g_bad[GEN_MAX_LEAVES];
u64 g_masked[NR_MASKS], g_in_world[NR_WORLDS];
struct outcome g_outcome;

const char *const mask_reasons[NR_MASKS] = {
	[MASK_READ_FIRST] =
		"QEMU reads the operand it is to write as if that were all, so that #PF says so",
	[MASK_CANONICAL_STACK] =
		"QEMU raises #GP where a stack address is not canonical, and not #SS",
	[MASK_ABSENT_STACK] =
		"QEMU and Bochs raise #NP where the stack to return to is absent, and not #SS",
	[MASK_PARTIAL_RESTORE] =
		"QEMU and Bochs have restored a part of the state when FXRSTOR faults",
	[MASK_MMX_FIRST] =
		"QEMU and Bochs have turned the x87 to MMX when an instruction of that faults",
	[MASK_LOST_CR2] =
		"Bochs's VMRUN does not load CR2: what is emulated leaves the host's there",
};

/* Of stub.S */
volatile u64 emul_saved_rsp, emul_out_cr0, emul_out_cr3, emul_out_xcr0;
volatile u32 emul_xcr0;
volatile u8 emul_in_case;
u64 emul_out_vec[64];
volatile u16 emul_out_seg[4];
struct frame *volatile emul_out_frame;
void emul_enter(struct frame *frame, u64 cr3, const void *vec);
void emul_lost(struct frame *f);

static u8 native_data[DATA_PAGES][4096];

u64 emul_data_rights(u32 page)
{
	switch (page) {
	case DATA_ABSENT:
	case DATA_ABSENT2:
		return 0;
	case DATA_RO:
		return PTE_P | PTE_U;
	case DATA_KERNEL:
		return PTE_P | PTE_W;
	default:
		return PTE_P | PTE_W | PTE_U;
	}
}

/* An exception of the guest's own. */
void emul_lost(struct frame *f)
{
	g_lost_rip = f->rip;
	guest_fail(0xe0000000 | f->vector << 16 | (f->error & 0xffff));
}

static u8 *data_page(u32 page)
{
	return (u8 *)(uintptr_t)(DATA_GPA + page * 4096);
}

static volatile u64 *data_ptes(void)
{
	return (volatile u64 *)(uintptr_t)(TABLES_GPA + 0x3000);
}

static void copy_words(void *to, const void *from, u32 n)
{
	u64 *t = to;
	const u64 *f = from;

	for (n /= 8; n; n--)
		*t++ = *f++;
}

static void load_tables(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) gdt = { NR_DESC * 8 - 1, HIGH_LA + HIGH_GDT * 4096 },
	  idt = { NR_VECTORS * 16 - 1, HIGH_LA + HIGH_IDT * 4096 };

	asm volatile("lgdt %0; lidt %1" : : "m"(gdt), "m"(idt) : "memory");
	asm volatile("ltr %w0" : : "r"(SEL_TR) : "memory");
}

static volatile u8 *gdt_type(u16 sel)
{
	return (volatile u8 *)(HIGH_LA + HIGH_GDT * 4096) + sel + 5;
}

/* LDTR and TR, which nothing but LLDT and LTR can change. */
static void take_tables(u64 *r)
{
	u16 ldt, tr;

	asm volatile("sldt %w0; str %w1" : "=r"(ldt), "=r"(tr));
	r[0] = ldt;
	r[1] = tr | *gdt_type(SEL_IDLE_TSS) << 16;
	if (ldt)
		asm volatile("lldt %w0" : : "r"(0));
	if (tr == SEL_TR)
		return;
	*gdt_type(SEL_IDLE_TSS) &= ~2;
	*gdt_type(SEL_TR) &= ~2;
	asm volatile("ltr %w0" : : "r"(SEL_TR) : "memory");
}

static bool looks_at_msr(const struct gen_case *c)
{
	return c->msr && (u32)c->gpr[EMUL_RCX] != 0xdeadbeef;
}

static void load_drs(void)
{
	asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3"
		     : : "r"(0x1234UL));
	asm volatile("mov %0, %%dr6; mov %1, %%dr7" : : "r"(0xffff0ff0UL), "r"(0x400UL));
}

static void read_drs(u64 *d)
{
	asm volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2"
		     : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]));
	asm volatile("mov %%dr3, %0; mov %%dr6, %1; mov %%dr7, %2"
		     : "=r"(d[3]), "=r"(d[4]), "=r"(d[5]));
	load_drs();
}

static void place_code(const struct gen_case *c, bool there)
{
	static const u8 prefix[FORCED] = { 0x0f, 0x0b, 'k', 'v', 'm' };
	u32 at = gen_code_at(c), i;
	u8 *code = (u8 *)CODE_GPA;

	for (i = 0; i < FORCED; i++)
		code[at - FORCED + i] = there ? prefix[i] : 0xcc;
	for (i = 0; i < GEN_CODE && at + i < CODE_PAGES * 4096; i++)
		code[at + i] = there ? c->code[i] : 0xcc;
}

static void fill_frame(const struct gen_case *c, struct frame *f, u64 rip)
{
	const u64 *g = c->gpr;

	f->r15 = g[15];
	f->r14 = g[14];
	f->r13 = g[13];
	f->r12 = g[12];
	f->r11 = g[11];
	f->r10 = g[10];
	f->r9 = g[9];
	f->r8 = g[8];
	f->rdi = g[EMUL_RDI];
	f->rsi = g[EMUL_RSI];
	f->rbp = g[EMUL_RBP];
	f->rdx = g[EMUL_RDX];
	f->rcx = g[EMUL_RCX];
	f->rbx = g[EMUL_RBX];
	f->rax = g[EMUL_RAX];
	f->rip = rip;
	f->cs = c->sel[EMUL_CS];
	f->rflags = c->rflags | (c->step ? FLAGS_TF : 0);
	f->rsp = g[EMUL_RSP];
	f->ss = c->sel[EMUL_SS];
}

static void take_frame(struct outcome *o, const struct frame *f)
{
	const u64 gpr[16] = {
		f->rax, f->rcx, f->rdx, f->rbx, f->rsp, f->rbp, f->rsi, f->rdi,
		f->r8, f->r9, f->r10, f->r11, f->r12, f->r13, f->r14, f->r15,
	};

	copy_words(o->gpr, gpr, sizeof(gpr));
	o->rip = f->rip;
	o->rflags = f->rflags;
	o->cs = f->cs;
	o->ss = f->ss;
	o->vector = f->vector;
	o->error = f->error;
}

static void take_system(const struct gen_case *c, struct outcome *o, u64 msr)
{
	u8 gdt[10], idt[10];

	o->cr2 = read_cr2();
	o->system[0] = emul_out_cr0;
	o->system[1] = emul_out_cr3;
	o->system[2] = read_cr4();
	if (o->system[2] != gen_cr4())
		write_cr4(gen_cr4());
	asm volatile("sgdt %0; sidt %1" : "=m"(gdt), "=m"(idt));
	o->system[10] = gdt[0] | gdt[1] << 8;
	o->system[11] = idt[0] | idt[1] << 8;
	take_tables(o->system + 12);
	o->system[14] = emul_out_xcr0;
	if (c->debug)
		read_drs(o->system + 4);
	if (gen_leaves[c->leaf].op->exec == emul_op_mov_to_cr) {
		o->system[3] = read_cr8();
		write_cr8(0);
	}
	if (looks_at_msr(c)) {
		o->system[4] = rdmsr(c->gpr[EMUL_RCX]);
		wrmsr(c->gpr[EMUL_RCX], msr);
	}
}

/* An x87 in a state of its own for each case, without exceptions. */
static void load_fx(const struct gen_case *c)
{
	static u8 fx[512] __attribute__((aligned(16)));
	u16 cw = 0x37f, sw = (c->gpr[EMUL_RSI] & 7) << 11;
	u32 mxcsr = 0x1f80, i;

	memcpy(fx, &cw, 2);
	memcpy(fx + 2, &sw, 2);
	fx[4] = c->vec[0][3];
	memcpy(fx + 24, &mxcsr, 4);
	for (i = 0; i < 8; i++)
		memcpy(fx + 32 + 16 * i, c->vec[i], 10);
	asm volatile("fxrstor %0" : : "m"(fx));
}

/* Pointers to the last instruction, and reserved bytes: CPUs differ. */
static void take_fx(struct outcome *o)
{
	static u8 fx[512] __attribute__((aligned(16)));

	asm volatile("fxsave %0" : "=m"(fx));
	memset(fx + 5, 0, 19);
	memcpy(o->fx, fx, FX_SIZE);
}

/* Pages written by the case, or before it. */
static u16 dirty_pages(const struct gen_case *c)
{
	u16 dirty = 0;
	u32 i;

	for (i = 0; i < DATA_PAGES; i++)
		if (data_ptes()[i] & PTE_D)
			dirty |= 1u << i;
	for (i = 0; i < c->nr_patches; i++) {
		dirty |= 1u << c->patch[i].offset / 4096;
		dirty |= 1u << (c->patch[i].offset + c->patch[i].n - 1) / 4096;
	}
	return dirty;
}

static void prepare_memory(const struct gen_case *c)
{
	u32 i;

	for (i = 0; i < DATA_PAGES; i++)
		data_ptes()[i] &= ~(PTE_A | PTE_D);
	for (i = 0; i < c->nr_patches; i++)
		memcpy((u8 *)DATA_GPA + c->patch[i].offset, c->patch[i].bytes, c->patch[i].n);
}

/* The host has another virtual machine for it. */
static void run_elsewhere(const struct gen_case *c, struct outcome *o, bool emulated)
{
	prepare_memory(c);
	g_emulating = emulated;
	guest_sync(SYNC_WORLD);
	g_emulating = 0;
	*o = g_outcome;
}

static void run_once(const struct gen_case *c, struct outcome *o, bool emulated)
{
	struct frame *f = (struct frame *)(HIGH_LA + HIGH_FRAME * 4096 + 2048);
	u64 msr = 0;

	memset(o, 0, sizeof(*o));
	if (c->world != WORLD_OWN) {
		run_elsewhere(c, o, emulated);
		return;
	}
	prepare_memory(c);
	fill_frame(c, f, emulated ? c->rip - FORCED : c->rip);
	if (c->debug)
		load_drs();
	if (looks_at_msr(c))
		msr = rdmsr(c->gpr[EMUL_RCX]);
	load_fx(c);
	asm volatile("mov %0, %%cr2" : : "r"(0UL));
	asm volatile("mov %w0, %%ds; mov %w1, %%es; mov %w2, %%fs; mov %w3, %%gs"
		     : : "r"(c->sel[EMUL_DS]), "r"(c->sel[EMUL_ES]), "r"(c->sel[EMUL_FS]),
		       "r"(c->sel[EMUL_GS]));
	g_emulating = emulated;
	emul_enter(f, TABLES_GPA, c->vec);
	g_emulating = 0;
	take_frame(o, emul_out_frame);
	copy_words(o->vec, emul_out_vec, sizeof(o->vec));
	copy_words(o->seg, (const void *)emul_out_seg, sizeof(o->seg));
	take_system(c, o, msr);
	take_fx(o);
	o->dirty = dirty_pages(c);
}

/* What the native run wrote is kept, and the pattern restored. */
static void keep_memory(const struct outcome *native)
{
	u32 i;

	for (i = 0; i < DATA_PAGES; i++) {
		if (!(native->dirty & 1u << i))
			continue;
		copy_words(native_data[i], data_page(i), 4096);
		copy_words(data_page(i), gen_data + i * 4096, 4096);
	}
}

/* Bytes that the manuals leave undefined. */
static bool is_loose(const struct gen_case *c, u32 at)
{
	u32 off = at - c->loose;

	if (!c->fxsave)
		return off < c->nr_loose;
	/* The opcode, pointers; what is behind the ten bytes of a register; what is free. */
	return (off >= 5 && off < 24) || (off >= 32 && off < FX_SIZE && (off & 15) >= 10) ||
	       (off >= 416 && off < 512);
}

static void compare_page(struct difference *d, u32 page, const u8 *native)
{
	const u64 *n = (const u64 *)native, *e = (const u64 *)data_page(page);
	u32 i;

	for (i = 0; i < 512 && n[i] == e[i]; i++)
		;
	if (i == 512 || d->memory != NO_DIFFERENCE)
		return;
	for (i *= 8; i < 4096; i++)
		if (native[i] != data_page(page)[i] && !is_loose(&d->c, page * 4096 + i))
			break;
	if (i == 4096)
		return;
	d->memory = page * 4096 + i;
	d->memory_native = native[i];
	d->memory_emulated = data_page(page)[i];
}

static void compare_memory(struct difference *d)
{
	u32 i;

	d->memory = NO_DIFFERENCE;
	for (i = 0; i < DATA_PAGES; i++) {
		const u8 *pattern = gen_data + i * 4096;

		if (!((d->native.dirty | d->emulated.dirty) & 1u << i))
			continue;
		compare_page(d, i, d->native.dirty & 1u << i ? native_data[i] : pattern);
		copy_words(data_page(i), pattern, 4096);
	}
}

/* QEMU leaves sign and exponent of an MMX register alone. */
static void mask_mmx(struct outcome *n, struct outcome *e)
{
	u32 i;

	for (i = 32; i < FX_SIZE; i += 16)
		n->fx[i + 8] = n->fx[i + 9] = e->fx[i + 8] = e->fx[i + 9] = 0;
}

/* Where QEMU's CPU is wrong in a way that can be seen in what it did. */
static void apply_qemu_masks(const struct gen_case *c, struct difference *d)
{
	const struct gen_leaf *l = &gen_leaves[c->leaf];
	struct outcome *n = &d->native, *e = &d->emulated;

	/* A key that refuses writes alone refuses no read: PK may go with W. */
	if (c->writes && n->vector == PF_VECTOR && e->vector == PF_VECTOR &&
	    (e->error & ~n->error & PFERR_W) &&
	    (n->error == (e->error & ~PFERR_W) ||
	     n->error == (e->error & ~(PFERR_W | PFERR_PK)))) {
		e->error = n->error;
		g_masked[MASK_READ_FIRST]++;
	}
	if (c->mode == UMBRA_EMUL_LONG64 && e->vector == SS_VECTOR && !e->error &&
	    n->vector == GP_VECTOR && !n->error) {
		e->vector = GP_VECTOR;
		g_masked[MASK_CANONICAL_STACK]++;
	}
	if (l->flags & F_MMX)
		mask_mmx(n, e);
}

/* Code of 32 bits leaves the upper halves of its registers undefined: AMD64 vol. 1, 3.1.2. */
static void forget_upper_halves(const struct gen_case *c, struct outcome *n, struct outcome *e)
{
	u32 i;

	for (i = 0; i < 16 && c->mode != UMBRA_EMUL_LONG64; i++) {
		n->gpr[i] = (u32)n->gpr[i];
		e->gpr[i] = (u32)e->gpr[i];
	}
}

/* Where QEMU's and Bochs's are. */
static void apply_common_masks(const struct gen_case *c, struct difference *d, bool trap)
{
	const struct gen_leaf *l = &gen_leaves[c->leaf];
	struct outcome *n = &d->native, *e = &d->emulated;
	emul_exec_t exec = l->op->exec;

	if (l->flags & F_MMX && !trap && memcmp(n->fx, e->fx, FX_SIZE)) {
		memcpy(n->fx, e->fx, FX_SIZE);
		g_masked[MASK_MMX_FIRST]++;
	}
	if (exec == emul_op_fxrstor && !trap) {
		memcpy(n->fx, e->fx, FX_SIZE);
		memcpy(n->vec, e->vec, sizeof(n->vec));
		g_masked[MASK_PARTIAL_RESTORE]++;
	}
	if ((exec == emul_op_iret || exec == emul_op_retf) && n->vector == NP_VECTOR &&
	    e->vector == SS_VECTOR) {
		e->vector = NP_VECTOR;
		g_masked[MASK_ABSENT_STACK]++;
	}
}

static void apply_bochs_masks(const struct gen_case *c, struct difference *d)
{
	struct outcome *n = &d->native, *e = &d->emulated;

	if (c->scanned != NO_REGISTER && n->rflags & e->rflags & EMUL_ZF)
		n->gpr[c->scanned] = e->gpr[c->scanned];
	if (gen_bochs_svm && e->cr2 != n->cr2) {
		e->cr2 = n->cr2;
		g_masked[MASK_LOST_CR2]++;
	}
}

/* Take away what need not be equal. */
static void apply_masks(const struct gen_case *c, struct difference *d)
{
	struct outcome *n = &d->native, *e = &d->emulated;
	bool trap = n->vector == BP_VECTOR || n->vector == DB_VECTOR;
	u64 loose = c->undefined | FLAGS_RF | (trap ? 0 : c->fault_undefined);
	u32 i;

	/* RF in a pushed image is for breakpoints; undefined flags have their table. */
	n->rflags &= ~loose;
	e->rflags &= ~loose;
	if (c->time && n->vector == e->vector)
		for (i = EMUL_RAX; i <= EMUL_RDX; i += 2)
			n->gpr[i] = e->gpr[i] = 0;
	if (n->vector != PF_VECTOR && e->vector != PF_VECTOR &&
	    gen_leaves[c->leaf].op->exec != emul_op_mov_to_cr)
		n->cr2 = e->cr2 = 0;
	/* Parts of frames that nobody has taken hold all flags. */
	if (n->vector == VECTOR_SHUTDOWN)
		d->memory = NO_DIFFERENCE;
	/* Of several accesses, one after the other, CPUs may choose the order. */
	if (c->faulty && n->vector == e->vector && !trap) {
		d->memory = NO_DIFFERENCE;
		e->cr2 = n->cr2;
		if (n->vector == PF_VECTOR && !((n->error ^ e->error) & ~PFERR_W))
			e->error = n->error;
	}
	if (g_tcg)
		apply_qemu_masks(c, d);
	else
		forget_upper_halves(c, n, e);
	if (g_tcg || gen_bochs)
		apply_common_masks(c, d, trap);
	if (gen_bochs)
		apply_bochs_masks(c, d);
	n->dirty = e->dirty = 0;
}

static bool differ(const struct difference *d)
{
	return d->unknown || d->memory != NO_DIFFERENCE ||
	       memcmp(&d->native, &d->emulated, sizeof(d->native));
}

static void run_case(u64 index)
{
	struct difference *d = &g_difference;

	g_index = index;
	if (!gen_make(&g_case, g_seed, index))
		return;
	d->index = index;
	d->c = g_case;
	g_unknown = 0;
	place_code(&g_case, true);
	run_once(&g_case, &d->native, false);
	keep_memory(&d->native);
	if (d->native.vector == VECTOR_NONE) {
		place_code(&g_case, false);
		return;
	}
	run_once(&g_case, &d->emulated, true);
	place_code(&g_case, false);
	compare_memory(d);
	g_cases++;
	g_runs[g_case.leaf]++;
	g_in_world[g_case.world]++;
	d->unknown = g_unknown;
	if (d->unknown)
		g_unknowns[g_case.leaf]++;
	apply_masks(&g_case, d);
	if (!differ(d))
		return;
	g_differences++;
	g_bad[g_case.leaf]++;
	guest_sync(SYNC_REPORT);
}

void emul_guest(void)
{
	u64 i;

	load_tables();
	write_cr4(gen_cr4());
	emul_xcr0 = gen_xcr0;
	memset((void *)CODE_GPA, 0xcc, CODE_PAGES * 4096);
	for (i = g_first; g_cases < g_count; i++) {
		if (i == g_first || i % BATCH == 0) {
			gen_pattern(g_seed + i / BATCH);
			copy_words((void *)DATA_GPA, gen_data, sizeof(gen_data));
		}
		run_case(i);
	}
	guest_done();
}
