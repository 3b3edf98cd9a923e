// SPDX-License-Identifier: GPL-2.0-only
/*
 * What single instructions need to be worth executing, or not to lose the machine; and the flags
 * that they leave undefined.
 */
#include "gen_priv.h"
#include "world.h"

#define CARE(name) static bool care_##name(struct gen_build *b)

#define CR0_TS		(1u << 3)
#define CR0_MP		(1u << 1)

static bool in_long(const struct gen_build *b)
{
	return b->c->mode == UMBRA_EMUL_LONG64;
}

static bool has_prefix(const struct gen_build *b, u8 prefix)
{
	u32 i;

	for (i = 0; i < b->opcode_at; i++)
		if (b->c->code[i] == prefix)
			return true;
	return false;
}

static bool below_limit(const struct gen_build *b, u32 nr, u64 off, u32 size)
{
	struct umbra_emul_seg s;

	gen_segment(b->c, nr, &s);
	return in_long(b) || emul_limit_ok(&s, off, size);
}

/* Let the source operand be @val. */
static void set_source(struct gen_build *b, u64 val)
{
	const struct emul_operand *o = &b->e.src;

	if (o->kind == K_GPR && !o->high)
		gen_set(b->c, o->reg, 8, val);
	else if (o->kind == K_MEM && b->target != NO_TARGET)
		gen_patch(b->c, b->target, &val, o->size);
}

/* Ports: the 8259s' masks, which no device changes by itself, and some that userspace answers. */
static const u16 ports[] = { 0x21, 0xa1, 0x80, 0xe8, 0x1234, 0xffff };

CARE(io)
{
	u64 r = gen_random();
	u16 port = ports[r % (sizeof(ports) / sizeof(ports[0]))];

	gen_set(b->c, EMUL_RDX, 2, port);
	if (b->leaf->opcode >= 0xe4 && b->leaf->opcode <= 0xe7)
		b->c->code[b->n] = ports[r % 4];
	/* Whether a port that nothing is to be done with must be allowed is the CPU's affair. */
	if (b->leaf->flags & F_STRING)
		gen_set(b->c, EMUL_RCX, 2, b->c->gpr[EMUL_RCX] | 1);
	return true;
}

CARE(supervisor_only_faults)
{
	return b->c->cpl != 0;
}

CARE(tsc)
{
	b->c->time = true;
	return true;
}

CARE(msr)
{
	static const u32 index[] = {
		0xc0000100, 0xc0000101, 0xc0000102, 0xc0000081, 0xc0000082, 0xc0000083,
		0xc0000084, 0x174, 0x175, 0x176, 0xc0000103, 0xdeadbeef,
	};
	u32 nr = index[gen_random() % (sizeof(index) / sizeof(index[0]))];

	gen_set(b->c, EMUL_RCX, 4, nr);
	/* QEMU takes addresses that are not canonical. */
	if (!gen_strict || gen_chance(2))
		gen_set(b->c, EMUL_RDX, 8, gen_random() & 0x7fff);
	/* SYSENTER_CS is a selector: not every CPU refuses more. */
	if (nr == 0x174) {
		gen_set(b->c, EMUL_RDX, 8, 0);
		gen_set(b->c, EMUL_RAX, 8, gen_random() & 0xffff);
	}
	b->c->msr = true;
	return true;
}

CARE(to_cr)
{
	u64 r = gen_random(), val = gen_value();

	/* QEMU takes all 64 bits of rSP in 32-bit code. */
	if (!gen_strict && !in_long(b) && b->e.src.reg == EMUL_RSP)
		return false;
	switch (b->e.dst.reg) {
	case 2:
		if (!in_long(b))
			val = (u32)val;
		break;
	case 0:
		val = b->c->cr0 ^ (r & (CR0_TS | CR0_MP));
		break;
	case 3:
		/* QEMU marks PDPTEs as accessed, where that bit is reserved. */
		if (!gen_strict && gen_pdptes(b->c))
			return false;
		val = b->c->cr3;
		break;
	case 4:
		/* Likewise: CR4.PGE has them read anew. */
		if (!gen_strict && gen_pdptes(b->c))
			r &= ~0x80ull;
		/* TSD, DE, MCE, PGE, UMIP; or a reserved bit */
		val = b->c->cr4 ^ (r & 0x8cc);
		if (gen_chance(8))
			val |= 1ull << 31;
		break;
	case 8:
		/* QEMU takes more than the priority. */
		val = r & (gen_strict && gen_chance(4) ? 0x1f : 0xf);
		break;
	}
	set_source(b, val);
	return true;
}

CARE(lmsw)
{
	set_source(b, (b->c->cr0 & 1) | (gen_random() & 0xe));
	return true;
}

CARE(dr)
{
	b->c->debug = true;
	/* QEMU takes all 64 bits of rSP in 32-bit code. */
	if (!gen_strict && !in_long(b) && b->e.src.reg == EMUL_RSP)
		return false;
	/* No breakpoint, and no general detection. */
	if (b->e.dst.kind == K_DR)
		set_source(b, (b->e.dst.reg & 5) == 5 ? 0x400 | (gen_random() & 0x300) :
			   gen_random() & 0xffffefff);
	return true;
}

CARE(descriptor_table)
{
	bool gdt = b->leaf->reg == 2;
	u64 base = world_table(b->c, gdt);
	u16 limit = world_table_limit(b->c, gdt);
	u8 image[10];

	b->c->faulty = true;
	/* QEMU takes 66 for bases of 24 bits everywhere. */
	if (b->e.opsize == 2 && (!gen_strict || base >> 24))
		return false;
	if (b->c->cpl || b->leaf->reg < 2)
		return true;
	/* Tables that stand above 4 GiB cannot be loaded by 32-bit code. */
	if ((!in_long(b) && base >> 32) || b->target == NO_TARGET)
		return false;
	memcpy(image, &limit, 2);
	memcpy(image + 2, &base, 8);
	gen_patch(b->c, b->target, image, sizeof(image));
	return true;
}

/* Selectors of every kind, also of none. */
static u64 draw_selector(const struct gen_build *b, u32 reg)
{
	static const u16 sel[] = {
		SEL_KSTACK, SEL_FLAT, SEL_DATA16, SEL_KSTACK16, SEL_BASED, SEL_RO, SEL_XO,
		SEL_CONF, SEL_ABSENT, SEL_SYSTEM, SEL_K64, SEL_U32, 0, 4, 0xfff8, SEL_TR,
	};
	u64 r = gen_random();
	u64 val = gen_paragraphs(b->c) ? gen_paragraph(b->c, reg) :
					 sel[r & 15] | (r >> 8 & 3);

	/* The vendors disagree about the RPL of a null SS. */
	if (!gen_paragraphs(b->c) && (gen_chance(2) || !(val & ~3ull)))
		val = (val & ~3ull) | b->c->cpl;
	return val;
}

CARE(selector)
{
	u64 val = draw_selector(b, b->e.dst.reg);
	u32 top = b->c->gpr[EMUL_RSP] - gen_offset(b->c, EMUL_SS, 0);

	/* Who knows what is elsewhere; and Bochs takes REX.R for segments. */
	if ((b->e.src.kind == K_MEM && b->target == NO_TARGET) || (gen_bochs && (b->e.rex & 4)))
		return false;
	if (b->e.op->exec == emul_op_pop_sreg)
		gen_patch(b->c, top, &val, 8);
	else
		set_source(b, val);
	return true;
}

CARE(from_sreg)
{
	return !gen_bochs || !(b->e.rex & 4);
}

/*
 * A null selector passes in QEMU, which ends itself at the next exception. To Bochs a TSS's
 * descriptor has 8 bytes in compatibility mode.
 */
CARE(ltr)
{
	static const u16 sel[] = { SEL_IDLE_TSS, SEL_IDLE_TSS, SEL_TR, SEL_SYSTEM, SEL_U64, 4, 0xfff8, 0 };
	u64 val = sel[gen_random() & 7] | (gen_random() & 3);

	if (gen_bochs && !in_long(b))
		return false;
	if (!gen_strict && (val < 4 || (b->e.src.kind == K_MEM && b->target == NO_TARGET)))
		return false;
	set_source(b, val);
	return true;
}

/* Where a branch through a register or memory goes: to an address that can be one. */
CARE(target)
{
	u64 val = gen_random() & 0x7fffffffffff;

	/* QEMU takes all 64 bits of a register in 32-bit code, and checks no limit. */
	if (!gen_strict && !in_long(b))
		val &= gen_paragraphs(b->c) ? 0xffff : 0xffffffff;
	else if (gen_chance(4))
		val |= ~0x7fffffffffffull;
	if (in_long(b) && b->e.src.kind == K_MEM && b->target == NO_TARGET)
		return false;
	set_source(b, val);
	return true;
}

CARE(ret)
{
	u64 val = gen_random() & 0x7fffffffffff;
	u32 top = b->c->gpr[EMUL_RSP] - gen_offset(b->c, EMUL_SS, 0);

	/* QEMU takes the number of bytes to drop as signed. */
	if (!gen_strict && b->leaf->opcode == 0xc2)
		b->c->code[b->n + 1] &= 0x7f;
	if (!gen_strict && gen_paragraphs(b->c))
		val &= 0xffff;
	if (top > sizeof(gen_data) - 8)
		return !in_long(b);
	gen_patch(b->c, top, &val, 8);
	return true;
}

/* Often what is compared is equal. */
CARE(cmpxchg)
{
	const struct emul_operand *o = &b->e.dst;
	u64 found = 0;

	/* Unequal, QEMU and Bochs leave the upper half of a 32-bit register alone; rSP's is not ours. */
	if ((!gen_strict || gen_bochs) && o->kind == K_GPR && o->size == 4) {
		gen_set(b->c, o->reg, 8, (u32)b->c->gpr[o->reg]);
		if (o->reg == EMUL_RSP && !in_long(b))
			return false;
	}
	if (gen_chance(2))
		return true;
	if (o->kind == K_GPR)
		found = b->c->gpr[o->reg] >> (o->high ? 8 : 0);
	else if (b->target <= sizeof(gen_data) - 8)
		memcpy(&found, gen_data + b->target, 8);
	if (o->reg != EMUL_RAX || o->kind != K_GPR)
		gen_set(b->c, EMUL_RAX, o->size, found);
	return true;
}

CARE(cmpxchg8b)
{
	u32 half = b->e.dst.size / 2;
	u64 low, high = 0;

	if (b->target > sizeof(gen_data) - 16)
		return true;
	/* 16 bytes have to be aligned, and are not always. */
	if (gen_chance(2) || (half == 8 && (b->target & 15)))
		return true;
	memcpy(&low, gen_data + b->target, 8);
	memcpy(&high, gen_data + b->target + half, half);
	/* The address must not move with them. */
	if ((b->e.modrm & 7) == EMUL_RAX || (b->e.modrm & 7) == EMUL_RDX || (b->e.modrm & 7) == 4)
		return true;
	gen_set(b->c, EMUL_RAX, half, low);
	gen_set(b->c, EMUL_RDX, half, high);
	return true;
}

CARE(divide)
{
	if (gen_chance(2) && b->e.opsize > 1)
		gen_set(b->c, EMUL_RDX, b->e.opsize, gen_chance(2) ? 0 : ~0ull);
	else if (gen_chance(2))
		gen_set(b->c, EMUL_RAX, 2, gen_random() & 0xfff);
	return true;
}

CARE(double_shift)
{
	/* Beyond the operand's size the result is undefined. */
	if (b->e.opsize == 2 && (b->e.src2.val & 31) > 16)
		return false;
	/* QEMU forgets the immediate when it computes an address relative to rIP. */
	return gen_strict || !b->e.rip_relative || (b->leaf->opcode & 1);
}

/* Most of the pages may be user pages. */
static bool smap_refuses(const struct gen_case *c)
{
	return !c->cpl && c->cr4 & GUARD_SMAP;
}

CARE(clflush)
{
	/* QEMU does not look at the address. */
	if (gen_strict)
		return true;
	return b->target != NO_TARGET && gen_is_plain(b->target) && !smap_refuses(b->c);
}

CARE(sti)
{
	/* QEMU holds back a single step behind STI too. */
	b->c->step &= gen_strict;
	return true;
}

/* QEMU has it in real mode too. */
CARE(syscall)
{
	return gen_strict || !gen_paragraphs(b->c);
}

CARE(sysret)
{
	/* QEMU loads the flags from R11 in compatibility mode too. */
	if (!gen_strict && gen_long(b->c) && !in_long(b))
		return false;
	/* It takes VM from there, which nobody takes away any more, and not VIF and VIP. */
	if (!gen_strict)
		b->c->gpr[11] &= ~(EMUL_VM | EMUL_VIF | EMUL_VIP);
	/* It makes SS flat, which code behind it would see: INT3 does not. */
	if (!gen_long(b->c))
		gen_set(b->c, EMUL_RCX, 8, CODE_LA + 0x1400 + (gen_random() & 0x3ff));
	/* To Bochs TF counts as it was before. */
	if (gen_bochs) {
		b->c->gpr[11] &= ~EMUL_TF;
		b->c->step = false;
	}
	return true;
}

/*
 * QEMU has SYSENTER and SYSEXIT in compatibility mode, and Bochs in long mode, as Intel's CPUs have,
 * whatever it is.
 */
CARE(sysenter)
{
	if (gen_bochs_svm)
		return !gen_long(b->c);
	return gen_strict || in_long(b);
}

CARE(xsetbv)
{
	static const u8 xcr0[] = { 7, 7, 0, 2, 5, 0x13, 1, 3 };
	u64 r = gen_random();

	gen_set(b->c, EMUL_RCX, 8, r & 15 ? 0 : r >> 8);
	/* No hypervisor learns what QEMU's CPU was given. */
	gen_set(b->c, EMUL_RAX, 8, xcr0[(r >> 4) % (gen_strict ? 8 : 6)] & (gen_xcr0 | 0x12));
	gen_set(b->c, EMUL_RDX, 8, r >> 12 & 7 ? 0 : r >> 16);
	/* Without OSXSAVE QEMU finds the level first. */
	return gen_strict || b->c->cr4 & CASE_CR4_XSAVE || !b->c->cpl;
}

CARE(clzero)
{
	u32 seg = b->e.seg_override != EMUL_NR_SEGS ? b->e.seg_override : EMUL_DS;

	gen_set(b->c, EMUL_RAX, b->e.adsize, gen_offset(b->c, seg, gen_target()));
	return true;
}

/* Bytes at rDI; to Bochs all of them are accessed. */
CARE(maskmov)
{
	u32 seg = b->e.seg_override != EMUL_NR_SEGS ? b->e.seg_override : EMUL_DS;
	u32 to = gen_bochs ? gen_plain_target() : gen_target();

	gen_set(b->c, EMUL_RDI, b->e.adsize, gen_offset(b->c, seg, to));
	b->c->faulty = true;
	return true;
}

/* To QEMU all that a load could want is accessed, and VEX.W says nothing. */
CARE(vmaskmov)
{
	b->c->faulty = true;
	return gen_strict || (b->target != NO_TARGET && gen_is_plain(b->target));
}

/* The CPU lacks it, or it is not run: no hypervisor would see what it does. */
CARE(xsave)
{
	return !(b->c->cr4 & CASE_CR4_XSAVE);
}

/* What is written is what there is: nobody puts it back. */
CARE(pkru)
{
	u64 r = gen_random();

	gen_set(b->c, EMUL_RAX, 8, (r & 0xffffffff00000000) | CASE_PKRU);
	gen_set(b->c, EMUL_RCX, 8, r & 3 ? 0xffull << 32 : r >> 8 & 3);
	gen_set(b->c, EMUL_RDX, 8, r & 12 ? 0xffull << 32 : r >> 8 & 3);
	return true;
}

/* A field that ends behind bit 63 is undefined. */
CARE(field)
{
	u32 reg = (b->e.modrm & 7) | (b->e.rex & 1) << 3, how = gen_random();
	u32 len = how & 63, at = how >> 8 & 63;

	if ((len ? len : 64) + at > 64)
		how &= len ? ~0x3f00u | (64 - len) << 8 : ~0x3f00u;
	if (b->leaf->opcode == 0x78)
		memcpy(b->c->code + b->n, &how, 2);
	else
		memcpy(b->c->vec[reg] + (b->e.op->exec == emul_op_insertq ? 8 : 0), &how, 2);
	return true;
}

/* QEMU clears the registers too that 32-bit code does not have. */
CARE(vzero)
{
	return gen_strict || in_long(b);
}

CARE(xgetbv)
{
	gen_set(b->c, EMUL_RCX, 8, gen_random() & 3);
	return true;
}

CARE(fldcw)
{
	/* QEMU keeps bits that do not exist. */
	u16 cw = (gen_random() & 0x1f7f) | 0x40;

	if (b->target == NO_TARGET)
		return gen_strict;
	gen_patch(b->c, b->target, &cw, 2);
	return true;
}

CARE(emms)
{
	/* QEMU leaves TOP alone; it is made of RSI. */
	if (!gen_strict)
		b->c->gpr[EMUL_RSI] &= ~7ull;
	return true;
}

CARE(monitor)
{
	u32 seg = b->e.seg_override != EMUL_NR_SEGS ? b->e.seg_override : EMUL_DS;
	bool looks = gen_strict && !gen_bochs;
	u64 off = gen_offset(b->c, seg, looks ? gen_target() : gen_plain_target());

	/* QEMU does not look at the address, and Bochs exits before it would. */
	if (!looks && (smap_refuses(b->c) || (off & ~emul_mask(b->e.adsize)) ||
		       !below_limit(b, seg, off, 1)))
		return false;
	gen_set(b->c, EMUL_RAX, b->e.adsize, off);
	/* Bochs wants no prefix, and exits before it looks at RCX. */
	if (gen_bochs && (has_prefix(b, 0x66) || b->e.rep))
		return false;
	/* Extensions and hints that some CPUs have. */
	if (gen_bochs || gen_chance(2))
		gen_set(b->c, EMUL_RCX, 8, 0);
	return (b->c->gpr[EMUL_RCX] & 0xffffffff) != 1;
}

#define MXCSR_DEFINED	0xffff

/* QEMU takes all bits of MXCSR. */
CARE(ldmxcsr)
{
	if (!gen_strict || gen_chance(2))
		set_source(b, gen_random() & MXCSR_DEFINED);
	return gen_strict || b->target != NO_TARGET;
}

#define FX_IMAGE	512

/* QEMU does not look for the end of the image, which is reserved: it has to be there. */
static bool image_is_there(struct gen_build *b)
{
	if (gen_strict)
		return true;
	if (b->target == NO_TARGET || !below_limit(b, b->e.seg, gen_memory(b)->ea, FX_IMAGE))
		return false;
	return (b->target & 4095) <= 4096 - FX_IMAGE || gen_is_plain(b->target + FX_IMAGE - 65);
}

/* QEMU stores piece by piece, and no reserved bytes. */
CARE(fxsave)
{
	b->c->faulty = true;
	b->c->fxsave = true;
	b->c->loose = b->target;
	return image_is_there(b);
}

CARE(fxrstor)
{
	u32 mxcsr = gen_random() & MXCSR_DEFINED;

	b->c->faulty = true;
	if (b->target != NO_TARGET && (!gen_strict || gen_chance(2)))
		gen_patch(b->c, b->target + 24, &mxcsr, 4);
	return image_is_there(b);
}

/* To Bochs the far pointers of AMD's CPUs are Intel's: 64 bits of offset behind REX.W. */
static bool far_pointer_known(const struct gen_build *b)
{
	return !gen_bochs_svm || b->e.opsize != 8;
}

/* Where there are no descriptors any selector can be loaded; a stack still has to be there. */
CARE(far_pointer)
{
	u16 sel;

	b->c->faulty = true;
	if (!gen_paragraphs(b->c))
		return far_pointer_known(b);
	sel = gen_paragraph(b->c, EMUL_ES);
	if (b->target != NO_TARGET)
		gen_patch(b->c, b->target + b->e.opsize, &sel, 2);
	return b->target != NO_TARGET;
}

CARE(lss)
{
	u64 val = draw_selector(b, EMUL_SS);

	if (b->target == NO_TARGET || !far_pointer_known(b))
		return false;
	gen_patch(b->c, b->target + b->e.opsize, &val, 2);
	b->c->faulty = true;
	/* QEMU holds back a single step behind LSS as behind MOV SS. */
	b->c->step &= gen_strict;
	return true;
}

CARE(pause)
{
	/* QEMU forgets the step over a PAUSE. */
	if (b->e.rep == 0xf3)
		b->c->step &= gen_strict;
	return true;
}

/* Of nothing: AMD64 vol. 3 has the register unchanged, Intel's manual undefined. */
CARE(scan)
{
	if (gen_bochs)
		b->c->scanned = b->e.dst.reg;
	return true;
}

CARE(bswap)
{
	/* Undefined for 16 bits. */
	return b->e.opsize != 2;
}

CARE(xlat)
{
	u32 seg = b->e.seg_override != EMUL_NR_SEGS ? b->e.seg_override : EMUL_DS;

	gen_set(b->c, EMUL_RBX, b->e.adsize, gen_offset(b->c, seg, gen_target() & 0xfeff));
	return true;
}

/* A 32-bit push of a selector writes two bytes or four: Intel's manual, PUSH. */
CARE(push_sreg)
{
	b->c->loose = b->c->gpr[EMUL_RSP] - gen_offset(b->c, EMUL_SS, 0) - 2;
	b->c->nr_loose = b->e.opsize == 4 ? 2 : 0;
	return true;
}

CARE(rotate_carry)
{
	/* QEMU has changed the carry flag when its store faults, also where that is the hypervisor's affair. */
	b->c->fault_undefined = gen_strict ? 0 : EMUL_CF | EMUL_OF;
	return gen_strict || gen_paged(b->c) || !gen_memory(b) || b->target != NO_TARGET;
}

/* MOVBE and CRC32 */
CARE(data_prefix)
{
	/* QEMU takes 66 for 16 bits in 16-bit mode and besides REX.W too. */
	return gen_strict || (b->e.opsize == 2) == has_prefix(b, 0x66);
}

/* Of several accesses to the stack, CPUs may choose which one faults. */
CARE(popa)
{
	u32 top = gen_plain_target() & 0xffc0;

	/* QEMU has loaded some registers when one access faults. */
	if (!gen_strict)
		gen_set(b->c, EMUL_RSP, 8, gen_offset(b->c, EMUL_SS, top));
	return true;
}

/* ENTER and LEAVE: in 64-bit code Bochs knows 64 bits only. */
static bool knows_stack_size(const struct gen_build *b)
{
	return !gen_bochs || !in_long(b) || b->e.opsize == 8;
}

CARE(enter)
{
	u32 top = gen_plain_target() | 0x800;

	b->c->faulty = true;
	if (!gen_is_plain(top))
		return false;
	gen_set(b->c, EMUL_RBP, 8, gen_offset(b->c, EMUL_SS, top));
	/* Bochs looks at the new top of the stack, as Intel's CPUs do, whatever it is. */
	if (gen_bochs)
		b->c->code[b->n + 1] &= 3;
	if (gen_bochs_svm)
		gen_set(b->c, EMUL_RSP, 8, gen_offset(b->c, EMUL_SS, top));
	return knows_stack_size(b);
}

CARE(leave)
{
	return knows_stack_size(b);
}

/* MOVSLDUP and MOVSHDUP */
CARE(duplicate)
{
	/* QEMU asks for no alignment. */
	return gen_strict || b->e.vex || !gen_memory(b) || !(gen_memory(b)->ea & 15);
}

CARE(partial)
{
	b->c->faulty = true;
	return true;
}

CARE(interrupt)
{
	return gen_interrupt(b);
}

CARE(iret)
{
	return gen_iret(b);
}

CARE(retf)
{
	return gen_retf(b);
}

CARE(far)
{
	return gen_far(b);
}

CARE(far_mem)
{
	return gen_far_mem(b);
}

#define C(name, care) { emul_op_##name, care_##care }
static const struct {
	emul_exec_t exec;
	bool (*care)(struct gen_build *b);
} cares[] = {
	C(in, io), C(out, io), C(ins, io), C(outs, io),
	/* A halt ends the test. */
	C(hlt, supervisor_only_faults),
	C(rdtsc, tsc), C(rdtscp, tsc), C(rdmsr, msr), C(wrmsr, msr),
	C(mov_to_cr, to_cr), C(lmsw, lmsw), C(mov_to_dr, dr), C(mov_from_dr, dr),
	C(sgdt, descriptor_table), C(sidt, descriptor_table),
	C(lgdt, descriptor_table), C(lidt, descriptor_table),
	C(mov_to_sreg, selector), C(mov_from_sreg, from_sreg), C(pop_sreg, selector),
	C(leave, leave),
	C(vdup_even, duplicate), C(vdup_odd, duplicate), C(lldt, selector), C(ltr, ltr),
	C(call_abs, target), C(jmp_abs, target), C(ret, ret),
	C(cmpxchg, cmpxchg), C(cmpxchg8b, cmpxchg8b), C(div, divide), C(idiv, divide),
	C(int, interrupt), C(clflush, clflush), C(sti, sti), C(lss, lss), C(les, far_pointer),
	C(lds, far_pointer), C(lfs, far_pointer), C(lgs, far_pointer),
	C(syscall, syscall), C(sysret, sysret), C(sysenter, sysenter), C(sysexit, sysenter),
	C(monitor, monitor), C(mwait, monitor), C(xsetbv, xsetbv), C(xgetbv, xgetbv), C(vzero, vzero),
	C(maskmov, maskmov), C(vmaskmov, vmaskmov), C(xsave, xsave),
	C(rdpkru, pkru), C(wrpkru, pkru),
	C(clzero, clzero), C(extrq, field), C(insertq, field), C(fldcw, fldcw), C(emms, emms),
	C(iret, iret), C(retf, retf), C(call_far, far), C(jmp_far, far), C(call_far_mem, far_mem),
	C(jmp_far_mem, far_mem), C(ldmxcsr, ldmxcsr), C(fxsave, fxsave),
	C(fxrstor, fxrstor), C(xchg_acc, pause),
	C(bsf, scan), C(bsr, scan), C(tzcnt, scan), C(lzcnt, scan), C(shld, double_shift), C(shrd, double_shift), C(bswap, bswap), C(xlat, xlat),
	C(rcl, rotate_carry), C(rcr, rotate_carry), C(movbe, data_prefix), C(crc32, data_prefix),
	C(push_sreg, push_sreg), C(popa, popa), C(enter, enter), C(pusha, partial),
};

bool gen_care(struct gen_build *b)
{
	u32 i;

	for (i = 0; i < sizeof(cares) / sizeof(cares[0]); i++)
		if (cares[i].exec == b->e.op->exec)
			return cares[i].care(b);
	return true;
}

/* What QEMU 7.2 does otherwise than the manuals say, whatever the operands. */
static const char *qemu_excludes(const struct gen_leaf *l)
{
	bool undefined = l->flags & F_UNDEF;

	if (!l->map && (l->opcode & 0xfe) == 0xf6 && l->reg == 1)
		return "QEMU does not know the second encoding of TEST, F6 /1 and F7 /1";
	if (!l->map && (l->opcode & 0xfe) == 0xc6 && l->reg > 0)
		return "QEMU takes C6 and C7 for MOV whatever the reg field says";
	if (l->op->exec == emul_op_int1)
		return "QEMU does not know INT1";
	if (l->op->exec == emul_op_adcx || l->op->exec == emul_op_adox)
		return "QEMU leaves in RFLAGS what it was to add, behind ADCX and ADOX";
	if ((l->map & 0xf) == 1 && l->opcode == 0x77 && undefined)
		return "QEMU takes EMMS, VZEROUPPER and VZEROALL with any prefix";
	if (l->map == (GEN_VEX | 1) && l->opcode == 0xae && undefined)
		return "QEMU takes VLDMXCSR and VSTMXCSR with any prefix";
	if (l->map == (GEN_VEX | 1) && undefined && (l->flags & F_AVX) && l->prefix == 0)
		return "QEMU has MMX behind VEX too";
	if (l->op->exec == emul_op_extrq && l->reg >= 0)
		return "QEMU takes the ModRM byte's reg field, which is 0 here, for the register";
	if (l->map == 1 && (l->opcode & 0xfe) == 0x78 && undefined)
		return "QEMU takes EXTRQ and INSERTQ with any prefix";
	if (l->map == 1 && l->opcode == 0xae && undefined)
		return "QEMU takes the group 0F AE with any prefix";
	return NULL;
}

const char *gen_excluded(const struct gen_leaf *l)
{
	if (gen_only && gen_only != gen_name(l->op->exec))
		return "not asked for";
	if (l->op->exec == emul_op_vmcall)
		return "a call of the hypervisor does what the hypervisor wants";
	if (l->map == 1 && l->opcode == 1 && l->reg == 3 && l->mod == 1)
		return "a guest of SVM has its instructions, but for an intercept behind other checks";
	if (gen_bochs && l->op->exec == emul_op_adox)
		return "Bochs has another carry behind ADOX";
	return gen_strict ? NULL : qemu_excludes(l);
}

/* Before anything is decoded. */
bool gen_allowed(const struct gen_build *b)
{
	const struct gen_leaf *l = b->leaf;

	/* Rows about which CPUs disagree: PREFETCH of a register is #UD or nothing. */
	if (l->map == 1 && l->opcode == 0x0d && b->c->code[b->modrm_at] >= 0xc0)
		return false;
	if (!gen_strict && l->map == 1 && l->opcode == 0x18 && b->c->code[b->modrm_at] >= 0xc0)
		return false;
	/* QEMU takes prefixes where they are undefined. */
	if (!gen_strict && (l->flags & F_NODATA66) &&
	    (has_prefix(b, 0x66) || has_prefix(b, 0xf2) || has_prefix(b, 0xf3)))
		return false;
	/* To QEMU 16-bit code has no VEX. */
	if (!gen_strict && (l->map & GEN_VEX) && b->c->mode <= UMBRA_EMUL_PROT16)
		return false;
	/* Bochs has BMI where there is no VEX. */
	if (gen_bochs && (l->map & GEN_VEX) && !(l->flags & F_AVX) &&
	    (b->c->mode == UMBRA_EMUL_REAL || b->c->mode == UMBRA_EMUL_VM86))
		return false;
	/* QEMU takes an ES in 64-bit mode behind FS or GS. */
	if (!gen_strict && in_long(b) && (has_prefix(b, 0x64) || has_prefix(b, 0x65)) &&
	    (has_prefix(b, 0x26) || has_prefix(b, 0x2e) || has_prefix(b, 0x36) ||
	     has_prefix(b, 0x3e)))
		return false;
	/* How much of an undefined instruction is fetched is the CPU's affair. */
	if (((l->flags & F_UNDEF) || ((l->flags & F_NO64) && in_long(b))) && b->n > 8)
		return false;
	/* QEMU lets LOCK pass where there is nothing to lock. */
	if (!gen_strict && has_prefix(b, 0xf0) &&
	    (!(l->flags & F_MODRM) || b->c->code[b->modrm_at] >= 0xc0))
		return false;
	if (!(b->leaf->flags & F_NEAR) || !in_long(b))
		return true;
	/* The vendors disagree about 66 on a near branch, so that the emulator does not know it. */
	return !has_prefix(b, 0x66);
}

bool gen_string(struct gen_build *b)
{
	const struct umbra_emul *e = &b->e;
	u32 seg = e->seg_override != EMUL_NR_SEGS ? e->seg_override : EMUL_DS, to;

	gen_set(b->c, EMUL_RSI, e->adsize, gen_offset(b->c, seg, gen_target()));
	/* Of two operands that fault, CPUs may choose. */
	to = e->op->exec == emul_op_cmps ? gen_plain_target() : gen_target();
	if (e->op->exec == emul_op_cmps && gen_offset(b->c, EMUL_ES, to) > emul_mask(e->adsize))
		return false;
	/* CR4.SMAP may refuse both. */
	if (e->op->exec == emul_op_cmps && !b->c->cpl && b->c->cr4 & GUARD_SMAP)
		return false;
	gen_set(b->c, EMUL_RDI, e->adsize, gen_offset(b->c, EMUL_ES, to));
	gen_set(b->c, EMUL_RCX, e->adsize, gen_random() % 40);
	if (gen_chance(4))
		gen_set(b->c, EMUL_RAX, 8, gen_random() & 0xff);
	return true;
}

/*
 * Flags that are undefined after an instruction, by the table «Instruction Effects on RFLAGS» of
 * the AMD64 manual, volume 3, and the pages of single instructions there and in Intel's volume 2;
 * where they differ, undefined in either.
 */
static u64 shift_undefined(const struct umbra_emul *e, u64 val, bool rotate, bool arithmetic)
{
	u32 bits = e->dst.size * 8, count = val & (bits == 64 ? 63 : 31);
	u64 f = rotate ? 0 : EMUL_AF;

	if (!count)
		return 0;
	if (count > 1)
		f |= EMUL_OF;
	if (!rotate && !arithmetic && count >= bits)
		f |= EMUL_CF;
	return f;
}

#define U(name, flags) { emul_op_##name, flags }
#define BITS	(EMUL_OF | EMUL_SF | EMUL_ZF | EMUL_AF | EMUL_PF)
static const struct {
	emul_exec_t exec;
	u64 flags;
} undefined[] = {
	U(and, EMUL_AF), U(or, EMUL_AF), U(xor, EMUL_AF), U(test, EMUL_AF),
	U(bt, BITS), U(bts, BITS), U(btr, BITS), U(btc, BITS),
	U(bsf, EMUL_ARITH & ~EMUL_ZF), U(bsr, EMUL_ARITH & ~EMUL_ZF),
	U(mul, EMUL_SF | EMUL_ZF | EMUL_AF | EMUL_PF),
	U(imul, EMUL_SF | EMUL_ZF | EMUL_AF | EMUL_PF),
	U(imul3, EMUL_SF | EMUL_ZF | EMUL_AF | EMUL_PF),
	/* On a CPU that lacks BMI1 TZCNT is BSF. */
	U(tzcnt, EMUL_ARITH & ~EMUL_ZF), U(lzcnt, EMUL_ARITH & ~EMUL_ZF),
	U(andn, EMUL_AF | EMUL_PF), U(blsr, EMUL_AF | EMUL_PF), U(blsmsk, EMUL_AF | EMUL_PF),
	U(blsi, EMUL_AF | EMUL_PF), U(bzhi, EMUL_AF | EMUL_PF),
	U(bextr, EMUL_SF | EMUL_AF | EMUL_PF),
	U(div, EMUL_ARITH), U(idiv, EMUL_ARITH),
	U(daa, EMUL_OF), U(das, EMUL_OF),
	U(aaa, EMUL_OF | EMUL_SF | EMUL_ZF | EMUL_PF),
	U(aas, EMUL_OF | EMUL_SF | EMUL_ZF | EMUL_PF),
	U(aam, EMUL_OF | EMUL_AF | EMUL_CF), U(aad, EMUL_OF | EMUL_AF | EMUL_CF),
};

u64 gen_undefined(const struct umbra_emul *e)
{
	emul_exec_t x = e->op->exec;
	u64 count = e->src.kind == K_IMM ? e->src.val : 0;
	u32 i;

	/* QEMU has BLSI's carry the other way round, and none of these flags behind SYSCALL. */
	if (x == emul_op_blsi && !gen_strict)
		return EMUL_AF | EMUL_PF | EMUL_CF;
	if (x == emul_op_syscall && !gen_strict)
		return EMUL_ARITH | EMUL_DF;

	if (x == emul_op_rol || x == emul_op_ror || x == emul_op_rcl || x == emul_op_rcr)
		return shift_undefined(e, count, true, false);
	if (x == emul_op_shl || x == emul_op_shr || x == emul_op_sar)
		return shift_undefined(e, count, false, x == emul_op_sar);
	if (x == emul_op_shld || x == emul_op_shrd)
		return shift_undefined(e, e->src2.val, false, false);
	for (i = 0; i < sizeof(undefined) / sizeof(undefined[0]); i++)
		if (undefined[i].exec == x)
			return undefined[i].flags;
	return 0;
}
