// SPDX-License-Identifier: GPL-2.0-only
/*
 * One case in its world: a vCPU is put into the state that the case begins in, and runs until a
 * vector leads it to a HLT. What an exception has pushed is taken from the stack again, as if
 * it had been an exit.
 */
#include "guest.h"
#include "gen_priv.h"
#include "world_run.h"

#define FORCED		5	/* bytes of the prefix */
#define MAX_EXITS	4096

enum { SLOT_DATA, SLOT_LOW_DATA, SLOT_CODE, SLOT_LOW_CODE, SLOT_WORLD, SLOT_REAL };

/* An exception's frame: where it is, how far we are in it, and bytes of a value. */
struct stack {
	u64 base, sp, mask;
	u32 at, size;
};

static u32 cpuid_xstate_offset(u32 component)
{
	u32 r[4];

	cpuid(0xd, component, r);
	return r[1];
}

static void set_keys(struct worlds *w)
{
	const u32 pkru = CASE_PKRU, at = cpuid_xstate_offset(9);
	struct kvm_xsave x;
	u64 features;

	ASSERT(!ioctl(w->v->fd, KVM_GET_XSAVE, &x));
	ASSERT(at + 4 <= sizeof(x));
	memcpy(&features, (u8 *)&x + 512, 8);
	features |= 1 << 9;
	memcpy((u8 *)&x + 512, &features, 8);
	memcpy((u8 *)&x + at, &pkru, 4);
	ASSERT(!ioctl(w->v->fd, KVM_SET_XSAVE, &x));
}

/* @pages that the other guest has at @from. */
static void slot(struct worlds *w, u32 nr, u32 flags, u64 gpa, u32 pages, u32 from)
{
	ASSERT(!vm_slot(&w->vm, nr, flags, gpa, pages * 4096ull, w->mem + from));
}

static u16 patched(const struct gen_case *c)
{
	u16 pages = 0;
	u32 i;

	for (i = 0; i < c->nr_patches; i++) {
		pages |= 1u << c->patch[i].offset / 4096;
		pages |= 1u << (c->patch[i].offset + c->patch[i].n - 1) / 4096;
	}
	return pages;
}

void worlds_init(struct worlds *w, u8 *mem)
{
	w->mem = mem;
	vm_init(&w->vm, VM_NO_MEMORY);
	w->v = vm_vcpu(&w->vm, 0);
	w->start = vcpu_sregs(w->v);
	worlds_build(w);
	slot(w, SLOT_DATA, 0, DATA_LA, DATA_PAGES, DATA_GPA);
	slot(w, SLOT_LOW_DATA, 0, LOW_DATA_LA, DATA_PAGES, DATA_GPA);
	slot(w, SLOT_CODE, KVM_MEM_READONLY, CODE_LA, CODE_PAGES, CODE_GPA);
	slot(w, SLOT_LOW_CODE, KVM_MEM_READONLY, LOW_CODE_LA, CODE_PAGES, CODE_GPA);
	slot(w, SLOT_WORLD, 0, WORLD_LA, WORLD_PAGES, WORLD_GPA);
	slot(w, SLOT_REAL, KVM_MEM_READONLY, LOW_REAL_LA, 1, WORLD_GPA + WORLD_REAL_IDT * 4096);
	if (gen_guards & GUARD_PKE)
		set_keys(w);
	/* System calls outside of long mode: to where INT3 stands. */
	ASSERT(vcpu_set_msr(w->v, MSR_STAR, (u64)SEL_K32 << 32 | (CODE_LA + 0x1500)) == 1);
}

void worlds_free(struct worlds *w)
{
	vm_free(&w->vm);
}

/* State */

static void fill_segment(struct kvm_segment *s, const struct umbra_emul_seg *seg)
{
	u16 a = seg->attr;

	*s = (struct kvm_segment) {
		.base = seg->base, .limit = seg->limit, .selector = seg->sel, .type = a & 15,
		.s = a >> 4 & 1, .dpl = a >> 5 & 3, .present = a >> 7 & 1, .avl = a >> 8 & 1,
		.l = a >> 9 & 1, .db = a >> 10 & 1, .g = a >> 11 & 1,
	};
}

static void set_sregs(struct worlds *w, const struct gen_case *c)
{
	struct kvm_sregs s = w->start;
	struct kvm_segment *const to[] = { &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs };
	struct umbra_emul_seg seg;
	u32 i;

	for (i = 0; i < 6; i++) {
		gen_segment(c, i, &seg);
		fill_segment(to[i], &seg);
	}
	s.tr = (struct kvm_segment) {
		.base = world_page(gen_long(c) ? WORLD_TSS64 : WORLD_TSS32), .limit = 104 + 8192,
		/* QEMU ends itself where a busy one gives a stack; to LTR's it does not say so. */
		.selector = SEL_TR, .type = gen_strict ? 11 : 9, .present = 1,
	};
	s.gdt.base = world_table(c, true);
	s.gdt.limit = world_table_limit(c, true);
	s.idt.base = world_table(c, false);
	s.idt.limit = world_table_limit(c, false);
	s.cr0 = c->cr0;
	s.cr2 = 0;
	s.cr3 = c->cr3;
	s.cr4 = c->cr4;
	s.cr8 = 0;
	s.efer = gen_worlds[c->world].efer;
	ASSERT(!ioctl(w->v->fd, KVM_SET_SREGS, &s));
}

static void set_regs(struct worlds *w, const struct gen_case *c, bool emulated)
{
	const u64 *g = c->gpr;
	struct kvm_regs r = {
		.rax = g[0], .rcx = g[1], .rdx = g[2], .rbx = g[3],
		.rsp = g[4], .rbp = g[5], .rsi = g[6], .rdi = g[7],
		.r8 = g[8], .r9 = g[9], .r10 = g[10], .r11 = g[11],
		.r12 = g[12], .r13 = g[13], .r14 = g[14], .r15 = g[15],
		.rip = c->rip - (emulated ? FORCED : 0),
		.rflags = c->rflags | (c->step ? FLAGS_TF : 0),
	};

	ASSERT(!ioctl(w->v->fd, KVM_SET_REGS, &r));
}

static void set_fpu(struct worlds *w, const struct gen_case *c)
{
	struct kvm_fpu f = {
		.fcw = 0x37f, .fsw = (c->gpr[EMUL_RSI] & 7) << 11, .ftwx = c->vec[0][3],
		.mxcsr = 0x1f80,
	};
	u32 i;

	for (i = 0; i < 8; i++)
		memcpy(f.fpr[i], c->vec[i], 10);
	for (i = 0; i < 16; i++)
		memcpy(f.xmm[i], c->vec[i], 16);
	ASSERT(!ioctl(w->v->fd, KVM_SET_FPU, &f));
}

/* Whether the row has to do with what FXSAVE stores; of others the guest's own world tells. */
static bool uses_fpu(const struct gen_leaf *l)
{
	return l->flags & (F_SSE | F_AVX | F_MMX) || (l->map == 1 && l->opcode == 0xae) ||
	       (!l->map && (l->opcode & 0xf8) == 0xd8);
}

static void set_debug(struct worlds *w)
{
	struct kvm_debugregs d = {
		.db = { 0x1234, 0x1234, 0x1234, 0x1234 }, .dr6 = 0xffff0ff0, .dr7 = 0x400,
	};

	ASSERT(!ioctl(w->v->fd, KVM_SET_DEBUGREGS, &d));
}

/* Running */

static void clear_events(struct worlds *w)
{
	struct kvm_vcpu_events e;

	ASSERT(!ioctl(w->v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.exception.injected = 0;
	e.interrupt.injected = 0;
	e.interrupt.shadow = 0;
	ASSERT(!ioctl(w->v->fd, KVM_SET_VCPU_EVENTS, &e));
}

/* Go on as if the instruction were none. */
static void inject_ud(struct worlds *w)
{
	struct kvm_vcpu_events e;

	ASSERT(!ioctl(w->v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.exception.injected = 1;
	e.exception.nr = UD_VECTOR;
	e.exception.has_error_code = 0;
	ASSERT(!ioctl(w->v->fd, KVM_SET_VCPU_EVENTS, &e));
}

/* Ports and memory that is none always answer the same. */
static void answer(struct worlds *w)
{
	struct kvm_run *run = w->v->run;

	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
		memset(io_data(w->v), 0x5a, (size_t)run->io.size * run->io.count);
	else if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
		memset(run->mmio.data, 0x5a, sizeof(run->mmio.data));
}

/* Until a vector; else which end it was. */
static u32 go(struct worlds *w, bool emulated, volatile u8 *unknown)
{
	u32 i;

	for (i = 0; i < MAX_EXITS; i++) {
		switch (vcpu_run(w->v)) {
		case KVM_EXIT_HLT:
			return 0;
		case KVM_EXIT_SHUTDOWN:
			return VECTOR_SHUTDOWN;
		case KVM_EXIT_IO:
		case KVM_EXIT_MMIO:
			answer(w);
			break;
		case KVM_EXIT_SET_TPR:
			break;
		case KVM_EXIT_INTERNAL_ERROR:
			if (!emulated || *unknown ||
			    w->v->run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
				return VECTOR_NONE;
			*unknown = 1;
			inject_ud(w);
			break;
		default:
			vcpu_diag(w->v);
			return VECTOR_NONE;
		}
	}
	return VECTOR_NONE;
}

/* What it has become */

static u8 *known_memory(struct worlds *w, u64 la)
{
	if (la - DATA_LA < DATA_PAGES * 4096)
		return w->mem + DATA_GPA + (la - DATA_LA);
	if (la - LOW_DATA_LA < DATA_PAGES * 4096)
		return w->mem + DATA_GPA + (la - LOW_DATA_LA);
	if (la - WORLD_LA < WORLD_TABLES * 4096)
		return w->mem + WORLD_GPA + (la - WORLD_LA);
	return NULL;
}

/* The frame is taken from the stack, and leaves nothing there. */
static u64 pop(struct worlds *w, struct stack *s)
{
	u64 val = 0;
	u32 i;

	for (i = 0; i < s->size; i++, s->at++) {
		u8 *p = known_memory(w, s->base + ((s->sp + s->at) & s->mask));

		if (!p)
			continue;
		val |= (u64)*p << 8 * i;
		*p = 0;
	}
	return val;
}

/* Which vector's HLT it was. */
static u32 which_vector(const struct kvm_sregs *s, u64 rip)
{
	u64 first = s->cr0 & CR0_PE ? world_page(WORLD_HALT) : REAL_HALT;

	return rip - 1 - first < NR_VECTORS ? rip - 1 - first : VECTOR_NONE;
}

static bool has_error(u32 vector)
{
	return vector == DF_VECTOR || (vector >= TS_VECTOR && vector <= PF_VECTOR) ||
	       vector == AC_VECTOR;
}

static void take_frame(struct worlds *w, const struct kvm_sregs *sregs, struct outcome *o)
{
	bool real = !(sregs->cr0 & CR0_PE), wide = sregs->efer & EFER_LMA;
	struct stack s = {
		.base = wide ? 0 : sregs->ss.base, .sp = o->gpr[EMUL_RSP],
		.mask = wide ? ~0ull : sregs->ss.db ? 0xffffffff : 0xffff,
		.size = wide ? 8 : real ? 2 : 4,
	};
	u32 i;

	if (!real && has_error(o->vector))
		o->error = pop(w, &s);
	o->rip = pop(w, &s);
	o->cs = (u16)pop(w, &s);
	o->rflags = pop(w, &s);
	if (wide || (!real && (o->cs & 3 || o->rflags & FLAGS_VM))) {
		o->gpr[EMUL_RSP] = pop(w, &s);
		o->ss = (u16)pop(w, &s);
	} else {
		o->gpr[EMUL_RSP] = (s.sp & ~s.mask) | ((s.sp + s.at) & s.mask);
		o->ss = sregs->ss.selector;
	}
	for (i = 0; i < 4 && o->rflags & FLAGS_VM; i++)
		o->seg[i] = pop(w, &s);
}

static void take_segments(const struct kvm_sregs *s, const struct gen_case *c, struct outcome *o)
{
	const struct kvm_segment *const from[] = { &s->es, &s->ds, &s->fs, &s->gs, &s->ss };
	u64 *h = o->hidden;
	u32 i;

	for (i = 0; i < 5; i++, h += 3) {
		/* Where another stack is taken, SS is no longer that of the case. */
		if (i == 4 && (gen_long(c) || s->ss.selector != o->ss))
			continue;
		if (i < 4)
			o->seg[i] = from[i]->selector;
		if (from[i]->unusable || !from[i]->present)
			continue;
		h[0] = from[i]->base;
		h[1] = from[i]->limit;
		h[2] = from[i]->type | from[i]->s << 4 | from[i]->dpl << 5 | from[i]->db << 10 |
		       from[i]->g << 11;
	}
	h[0] = s->gdt.base;
	h[1] = s->idt.base;
	h[2] = s->tr.base;
	h[3] = s->ldt.base;
	h[4] = s->efer;
}

static void take_system(struct worlds *w, const struct kvm_sregs *s, const struct gen_case *c,
			struct outcome *o)
{
	struct kvm_debugregs d;

	o->cr2 = s->cr2;
	o->system[0] = s->cr0;
	o->system[1] = s->cr3;
	o->system[2] = s->cr4;
	o->system[3] = s->cr8;
	o->system[10] = s->gdt.limit;
	o->system[11] = s->idt.limit;
	o->system[12] = s->ldt.selector;
	o->system[13] = s->tr.selector | (u64)*worlds_idle_tss(w) << 16;
	*worlds_idle_tss(w) &= ~2;
	if (!c->debug)
		return;
	ASSERT(!ioctl(w->v->fd, KVM_GET_DEBUGREGS, &d));
	memcpy(o->system + 4, d.db, sizeof(d.db));
	o->system[8] = d.dr6;
	o->system[9] = d.dr7;
}

static void take_regs(const struct kvm_regs *r, const struct gen_case *c, struct outcome *o)
{
	const u64 gpr[16] = {
		r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
		r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
	};
	u32 i;

	/* What the upper halves hold outside of long mode is undefined. */
	for (i = 0; i < 16; i++)
		o->gpr[i] = gen_long(c) ? gpr[i] : i < 8 ? (u32)gpr[i] : 0;
}

static void take_fpu(struct worlds *w, struct outcome *o)
{
	struct kvm_fpu f;
	u32 i;

	ASSERT(!ioctl(w->v->fd, KVM_GET_FPU, &f));
	memcpy(o->fx, &f.fcw, 2);
	memcpy(o->fx + 2, &f.fsw, 2);
	o->fx[4] = f.ftwx;
	memcpy(o->fx + 24, &f.mxcsr, 4);
	for (i = 0; i < 8; i++)
		memcpy(o->fx + 32 + 16 * i, f.fpr[i], 16);
	for (i = 0; i < 16; i++)
		memcpy(o->vec + 4 * i, f.xmm[i], 16);
}

static void take(struct worlds *w, const struct gen_case *c, struct outcome *o)
{
	struct kvm_regs r = vcpu_regs(w->v);
	struct kvm_sregs s = vcpu_sregs(w->v);

	o->vector = which_vector(&s, r.rip);
	take_regs(&r, c, o);
	take_frame(w, &s, o);
	if (!(o->rflags & FLAGS_VM))
		take_segments(&s, c, o);
	take_system(w, &s, c, o);
	if (uses_fpu(&gen_leaves[c->leaf]))
		take_fpu(w, o);
}

void worlds_run(struct worlds *w, const struct gen_case *c, bool emulated, struct outcome *o,
		volatile u8 *unknown)
{
	u32 end, index = c->gpr[EMUL_RCX];
	bool msr = c->msr && index != 0xdeadbeef;
	u64 old = 0;

	if (gen_leaves[c->leaf].op->exec == emul_op_swapgs)
		ASSERT(vcpu_set_msr(w->v, MSR_KERNEL_GS_BASE, 0) == 1);
	memset(o, 0, sizeof(*o));
	worlds_clear_dirty(w, c);
	set_sregs(w, c);
	set_regs(w, c, emulated);
	if (uses_fpu(&gen_leaves[c->leaf]))
		set_fpu(w, c);
	if (c->debug)
		set_debug(w);
	if (msr)
		ASSERT(vcpu_get_msr(w->v, index, &old) == 1);
	end = go(w, emulated, unknown);
	if (end) {
		o->vector = end;
		clear_events(w);
	} else {
		take(w, c, o);
	}
	if (msr) {
		ASSERT(vcpu_get_msr(w->v, index, &o->system[4]) == 1);
		ASSERT(vcpu_set_msr(w->v, index, old) == 1);
	}
	o->dirty = worlds_dirty(w, c) | patched(c);
}
