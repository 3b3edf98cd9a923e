// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX: what the manual's chapter «VM Entries» checks, in its order. Only what this
 * backend uses: no SMM, no host but one of 64 bits, no posted interrupts.
 */
#include "entry_check.h"

#define BIT_OF(n)		(1ull << (n))

#define PIN_INTERRUPT_EXITING	BIT_OF(0)
#define PIN_NMI_EXITING		BIT_OF(3)
#define PIN_VIRTUAL_NMIS	BIT_OF(5)
#define PRIMARY_TPR_SHADOW	BIT_OF(21)
#define PRIMARY_NMI_WINDOW	BIT_OF(22)
#define PRIMARY_MSR_BITMAPS	BIT_OF(28)
#define PRIMARY_SECONDARY	BIT_OF(31)
#define SECONDARY_APIC_ACCESSES	BIT_OF(0)
#define SECONDARY_EPT		BIT_OF(1)
#define SECONDARY_X2APIC	BIT_OF(4)
#define SECONDARY_VPID		BIT_OF(5)
#define SECONDARY_UNRESTRICTED	BIT_OF(7)
#define SECONDARY_APIC_REGS	BIT_OF(8)
#define SECONDARY_DELIVERY	BIT_OF(9)
#define SECONDARY_PML		BIT_OF(17)
#define ENTRY_IA32E		BIT_OF(9)
#define ENTRY_LOAD_EFER		BIT_OF(15)
#define EXIT_LOAD_EFER		BIT_OF(21)

#define EVENT_VALID		BIT_OF(31)
#define EVENT_HAS_ERROR		BIT_OF(11)
#define EVENT_TYPE(event)	((event) >> 8 & 7)
#define EVENT_VECTOR(event)	((event) & 0xff)
enum { EVENT_INTERRUPT, EVENT_RESERVED, EVENT_NMI, EVENT_EXCEPTION, EVENT_SOFT, EVENT_PRIVILEGED,
       EVENT_SOFT_EXCEPTION, EVENT_OTHER };
/* #DF, #TS, #NP, #SS, #GP, #PF, #AC push an error code. */
#define ERROR_VECTORS		(BIT_OF(8) | 0x7c00 | BIT_OF(17))

#define CR0_PE			BIT_OF(0)
#define CR0_PG			BIT_OF(31)
#define CR4_PAE			BIT_OF(5)
#define CR4_PCIDE		BIT_OF(17)
#define EFER_LME		BIT_OF(8)
#define EFER_LMA		BIT_OF(10)
#define EFER_BITS		(BIT_OF(0) | EFER_LME | EFER_LMA | BIT_OF(11))
#define RFLAGS_TF		BIT_OF(8)
#define RFLAGS_IF		BIT_OF(9)
#define RFLAGS_VM		BIT_OF(17)

#define SHADOW_STI		BIT_OF(0)
#define SHADOW_MOV_SS		BIT_OF(1)
#define SHADOW_SMI		BIT_OF(2)
#define SHADOW_NMI		BIT_OF(3)
#define PENDING_BS		BIT_OF(14)

#define RIGHTS_TYPE(r)		((r) & 0xf)
#define RIGHTS_S		BIT_OF(4)
#define RIGHTS_DPL(r)		((r) >> 5 & 3)
#define RIGHTS_P		BIT_OF(7)
#define RIGHTS_L		BIT_OF(13)
#define RIGHTS_DB		BIT_OF(14)
#define RIGHTS_G		BIT_OF(15)
#define RIGHTS_UNUSABLE		BIT_OF(16)
#define RIGHTS_RESERVED		0xfffe0f00ull

#define RPL(selector)		((selector) & 3)
#define SELECTOR_TI		BIT_OF(2)

#define V(id)			(w->value[VMX_F_##id])
#define BAD(cond, what, rule)	umbra_check_broken(c, cond, what, rule)

static bool canonical(u64 address)
{
	return umbra_check_canonical(address, 47);
}

static bool beyond(const struct vmx_entry_words *w, u64 address)
{
	return address >> w->phys_bits;
}

static bool bad_address(const struct vmx_entry_words *w, u64 address, u64 align)
{
	return (address & (align - 1)) || beyond(w, address);
}

/* A control word against its capability MSR. */
static bool bad_controls(u64 value, u64 caps)
{
	return ((u32)caps & ~value) || (value & ~(caps >> 32));
}

static bool bad_pat(u64 pat)
{
	int i;

	for (i = 0; i < 8; i++, pat >>= 8)
		if ((pat & 0xff) > 7 || (pat & 0xff) == 2 || (pat & 0xff) == 3)
			return true;
	return false;
}

/* ------------------------------ controls and host ------------------------------ */

static bool apic_broken(const struct vmx_entry_words *w, struct umbra_check *c, u64 secondary)
{
	bool shadow = V(PRIMARY) & PRIMARY_TPR_SHADOW;
	bool accesses = secondary & SECONDARY_APIC_ACCESSES;

	return BAD(shadow && bad_address(w, V(VIRTUAL_APIC), 4096), "virtual APIC", "address") ||
	       BAD(shadow && V(TPR_THRESHOLD) >> 4, "TPR threshold", "more than 15") ||
	       BAD(shadow && !accesses && !(secondary & SECONDARY_DELIVERY) &&
		   V(TPR_THRESHOLD) > w->vtpr >> 4, "TPR threshold", "above TPR") ||
	       BAD(!shadow && (secondary & (SECONDARY_X2APIC | SECONDARY_APIC_REGS | SECONDARY_DELIVERY)),
		   "virtual APIC", "without TPR shadow") ||
	       BAD(accesses && bad_address(w, V(APIC_ACCESS), 4096), "APIC access", "address") ||
	       BAD(accesses && (secondary & SECONDARY_X2APIC), "APIC access", "with x2APIC mode") ||
	       BAD((secondary & SECONDARY_DELIVERY) && !(V(PIN) & PIN_INTERRUPT_EXITING),
		   "interrupt delivery", "without interrupt exiting");
}

static bool execution_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	u64 secondary = V(PRIMARY) & PRIMARY_SECONDARY ? V(SECONDARY) : 0;

	c->section = "Checks on VM-Execution Control Fields";
	return BAD(bad_controls(V(PIN), w->pin), "pin controls", "bits that the CPU does not allow") ||
	       BAD(bad_controls(V(PRIMARY), w->primary), "primary controls",
		   "bits that the CPU does not allow") ||
	       BAD(bad_controls(secondary, w->secondary) && (V(PRIMARY) & PRIMARY_SECONDARY),
		   "secondary controls", "bits that the CPU does not allow") ||
	       BAD(V(CR3_TARGETS) > 4, "CR3 targets", "more than 4") ||
	       BAD((V(PRIMARY) & PRIMARY_MSR_BITMAPS) && bad_address(w, V(MSR_BITMAP), 4096),
		   "MSR bitmap", "address") ||
	       apic_broken(w, c, secondary) ||
	       BAD((V(PIN) & PIN_VIRTUAL_NMIS) && !(V(PIN) & PIN_NMI_EXITING),
		   "virtual NMIs", "without NMI exiting") ||
	       BAD((V(PRIMARY) & PRIMARY_NMI_WINDOW) && !(V(PIN) & PIN_VIRTUAL_NMIS),
		   "NMI window", "without virtual NMIs") ||
	       BAD((secondary & SECONDARY_VPID) && !V(VPID), "VPID", "0") ||
	       BAD((secondary & SECONDARY_EPT) && (beyond(w, V(EPTP)) || (V(EPTP) >> 3 & 7) != 3),
		   "EPT pointer", "address or depth") ||
	       BAD((secondary & SECONDARY_UNRESTRICTED) && !(secondary & SECONDARY_EPT),
		   "unrestricted guest", "without EPT") ||
	       BAD((secondary & SECONDARY_PML) && !(secondary & SECONDARY_EPT),
		   "page-modification log", "without EPT");
}

/* Does an event of this kind push an error code? */
static bool pushes_error(const struct vmx_entry_words *w)
{
	return EVENT_TYPE(w->event) == EVENT_EXCEPTION && (V(CR0) & CR0_PE) &&
	       EVENT_VECTOR(w->event) < 32 && (ERROR_VECTORS & BIT_OF(EVENT_VECTOR(w->event)));
}

static bool event_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	u32 type = EVENT_TYPE(w->event), vector = EVENT_VECTOR(w->event);

	if (!(w->event & EVENT_VALID))
		return false;
	return BAD(type == EVENT_RESERVED || type == EVENT_OTHER, "event", "type") ||
	       BAD((type == EVENT_NMI && vector != 2) || (type == EVENT_EXCEPTION && vector > 31),
		   "event", "vector") ||
	       BAD(!!(w->event & EVENT_HAS_ERROR) != pushes_error(w), "event",
		   "error code, or none, against the vector") ||
	       BAD(w->event & 0x7ffff000, "event", "reserved bits") ||
	       BAD(type >= EVENT_SOFT && V(INSN_LEN) > 15, "event", "instruction length");
}

static bool exit_entry_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	c->section = "Checks on VM-Exit Control Fields";
	if (BAD(bad_controls(V(EXIT), w->exit), "exit controls", "bits that the CPU does not allow") ||
	    BAD(bad_address(w, V(EXIT_STORE), 16) || bad_address(w, V(EXIT_LOAD), 16),
		"MSR areas", "address"))
		return true;
	c->section = "Checks on VM-Entry Control Fields";
	return BAD(bad_controls(V(ENTRY), w->entry), "entry controls",
		   "bits that the CPU does not allow") ||
	       event_broken(w, c) ||
	       BAD(bad_address(w, V(ENTRY_LOAD), 16), "MSR area", "address");
}

static bool host_registers_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	c->section = "Checks on Host Control Registers, MSRs, and SSP";
	return BAD((w->cr0_fixed & ~V(HOST_CR0)) || (V(HOST_CR0) & ~w->cr0_allowed),
		   "host CR0", "fixed bits") ||
	       BAD((w->cr4_fixed & ~V(HOST_CR4)) || (V(HOST_CR4) & ~w->cr4_allowed) ||
		   !(V(HOST_CR4) & CR4_PAE), "host CR4", "fixed bits, or no PAE") ||
	       BAD(beyond(w, V(HOST_CR3)), "host CR3", "beyond the physical address width") ||
	       BAD(!canonical(V(HOST_ESP)) || !canonical(V(HOST_EIP)), "host SYSENTER",
		   "not canonical") ||
	       BAD(bad_pat(V(HOST_PAT)), "host PAT", "memory type") ||
	       BAD((V(EXIT) & EXIT_LOAD_EFER) &&
		   ((V(HOST_EFER) & ~EFER_BITS) || !(V(HOST_EFER) & EFER_LMA) ||
		    !(V(HOST_EFER) & EFER_LME)), "host EFER", "reserved bits, or no long mode");
}

static bool host_segments_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	u64 selectors = V(HOST_CS) | V(HOST_SS) | V(HOST_DS) | V(HOST_ES) | V(HOST_FS) |
			V(HOST_GS) | V(HOST_TR);

	c->section = "Checks on Host Segment and Descriptor-Table Registers";
	return BAD(selectors & 7, "host selectors", "RPL or TI is not 0") ||
	       BAD(!V(HOST_CS) || !V(HOST_TR), "host CS or TR", "0") ||
	       BAD(!canonical(V(HOST_FS_BASE)) || !canonical(V(HOST_GS_BASE)) ||
		   !canonical(V(HOST_TR_BASE)) || !canonical(V(HOST_GDTR)) ||
		   !canonical(V(HOST_IDTR)) || !canonical(V(HOST_RIP)),
		   "host bases and RIP", "not canonical");
}

struct umbra_check vmx_check_controls(const struct vmx_entry_words *w)
{
	struct umbra_check c = { 0 };

	if (!execution_broken(w, &c) && !exit_entry_broken(w, &c) && !host_registers_broken(w, &c) &&
	    !host_segments_broken(w, &c))
		c.section = NULL;
	return c;
}

/* ------------------------------ the guest ------------------------------ */

static bool unrestricted(const struct vmx_entry_words *w)
{
	return (V(PRIMARY) & PRIMARY_SECONDARY) && (V(SECONDARY) & SECONDARY_UNRESTRICTED);
}

static bool efer_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	bool long_mode = V(ENTRY) & ENTRY_IA32E, paging = V(CR0) & CR0_PG;

	return BAD(V(EFER) & ~EFER_BITS, "EFER", "reserved bits") ||
	       BAD(!!(V(EFER) & EFER_LMA) != long_mode, "EFER", "LMA against the entry control") ||
	       BAD(paging && !(V(EFER) & EFER_LMA) != !(V(EFER) & EFER_LME), "EFER",
		   "LMA against LME");
}

static bool registers_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	u64 free = unrestricted(w) ? CR0_PE | CR0_PG : 0;
	bool long_mode = V(ENTRY) & ENTRY_IA32E, paging = V(CR0) & CR0_PG;

	c->section = "Checks on Guest Control Registers, Debug Registers, and MSRs";
	return BAD((w->cr0_fixed & ~free & ~V(CR0)) || (V(CR0) & ~w->cr0_allowed), "CR0",
		   "fixed bits") ||
	       BAD(paging && !(V(CR0) & CR0_PE), "CR0", "PG without PE") ||
	       BAD((w->cr4_fixed & ~V(CR4)) || (V(CR4) & ~w->cr4_allowed), "CR4", "fixed bits") ||
	       BAD(long_mode && !paging, "CR0", "no PG in long mode") ||
	       BAD(long_mode && !(V(CR4) & CR4_PAE), "CR4", "no PAE in long mode") ||
	       BAD(!long_mode && (V(CR4) & CR4_PCIDE), "CR4", "PCIDE outside long mode") ||
	       BAD(beyond(w, V(CR3)), "CR3", "beyond the physical address width") ||
	       BAD(V(DR7) >> 32, "DR7", "upper half") ||
	       BAD(!canonical(V(SYSENTER_ESP)), "SYSENTER_ESP", "not canonical") ||
	       BAD(!canonical(V(SYSENTER_EIP)), "SYSENTER_EIP", "not canonical") ||
	       BAD(bad_pat(V(PAT)), "PAT", "memory type") ||
	       ((V(ENTRY) & ENTRY_LOAD_EFER) && efer_broken(w, c));
}

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, NR_SEGS };
static const char *const seg_names[NR_SEGS] = { "ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR" };

struct segment {
	u64 selector, base, limit, rights;
};

static struct segment segment_of(const struct vmx_entry_words *w, int seg)
{
	const u64 *v = &w->value[VMX_F_ES_SEL + 4 * seg];

	return (struct segment){ v[0], v[1], v[2], v[3] };
}

static bool limit_against_granularity(const struct segment *s)
{
	return s->rights & RIGHTS_G ? (s->limit & 0xfff) != 0xfff : s->limit >> 20;
}

static bool vm86_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	int i;

	for (i = SEG_ES; i <= SEG_GS; i++) {
		struct segment s = segment_of(w, i);

		if (BAD(s.base != s.selector << 4, seg_names[i], "base in virtual-8086 mode") ||
		    BAD(s.limit != 0xffff, seg_names[i], "limit in virtual-8086 mode") ||
		    BAD(s.rights != 0xf3, seg_names[i], "access rights in virtual-8086 mode"))
			return true;
	}
	return false;
}

static bool code_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	struct segment cs = segment_of(w, SEG_CS), ss = segment_of(w, SEG_SS);
	u64 type = RIGHTS_TYPE(cs.rights), dpl = RIGHTS_DPL(cs.rights);
	bool flat = unrestricted(w) && type == 3;

	return BAD(!flat && (type & 9) != 9, "CS", "type") ||
	       BAD(flat && dpl, "CS", "DPL of a data segment is not 0") ||
	       BAD((type == 9 || type == 11) && dpl != RIGHTS_DPL(ss.rights), "CS",
		   "DPL is not SS's") ||
	       BAD((type == 13 || type == 15) && dpl > RIGHTS_DPL(ss.rights), "CS",
		   "DPL is above SS's") ||
	       BAD((V(ENTRY) & ENTRY_IA32E) && (cs.rights & RIGHTS_L) && (cs.rights & RIGHTS_DB),
		   "CS", "L and D together") ||
	       BAD(cs.base >> 32, "CS", "upper half of the base");
}

static bool stack_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	struct segment cs = segment_of(w, SEG_CS), ss = segment_of(w, SEG_SS);
	u64 dpl = RIGHTS_DPL(ss.rights);

	return BAD(!(ss.rights & RIGHTS_UNUSABLE) && RIGHTS_TYPE(ss.rights) != 3 &&
		   RIGHTS_TYPE(ss.rights) != 7, "SS", "type") ||
	       BAD(!unrestricted(w) && RPL(ss.selector) != RPL(cs.selector), "SS",
		   "RPL is not CS's") ||
	       BAD(!unrestricted(w) && dpl != RPL(ss.selector), "SS", "DPL is not the RPL") ||
	       BAD((RIGHTS_TYPE(cs.rights) == 3 || !(V(CR0) & CR0_PE)) && dpl, "SS",
		   "DPL is not 0 in real mode");
}

/* What the six of code, stack and data have in common. */
static bool usable_broken(const struct vmx_entry_words *w, struct umbra_check *c, int seg)
{
	struct segment s = segment_of(w, seg);
	const char *name = seg_names[seg];
	u64 type = RIGHTS_TYPE(s.rights);

	if (seg != SEG_CS && (s.rights & RIGHTS_UNUSABLE))
		return false;
	if (seg != SEG_CS && seg != SEG_SS &&
	    (BAD(!(type & 1) || ((type & 8) && !(type & 2)), name, "type") ||
	     BAD(!unrestricted(w) && type < 12 && RIGHTS_DPL(s.rights) < RPL(s.selector), name,
		 "DPL is below the RPL")))
		return true;
	return BAD(!(s.rights & RIGHTS_S), name, "a system segment") ||
	       BAD(!(s.rights & RIGHTS_P), name, "not present") ||
	       BAD(s.rights & RIGHTS_RESERVED, name, "reserved bits") ||
	       BAD(limit_against_granularity(&s), name, "limit against granularity") ||
	       BAD(seg <= SEG_DS && s.base >> 32, name, "upper half of the base");
}

static bool system_broken(const struct vmx_entry_words *w, struct umbra_check *c, int seg)
{
	struct segment s = segment_of(w, seg);
	const char *name = seg_names[seg];
	u64 type = RIGHTS_TYPE(s.rights);
	bool long_mode = V(ENTRY) & ENTRY_IA32E;

	if (seg == SEG_LDTR && (s.rights & RIGHTS_UNUSABLE))
		return false;
	return BAD(s.selector & SELECTOR_TI, name, "selector names the LDT") ||
	       BAD(!canonical(s.base), name, "base is not canonical") ||
	       BAD(seg == SEG_LDTR ? type != 2 : type != 11 && (type != 3 || long_mode), name,
		   "type") ||
	       BAD(s.rights & RIGHTS_S, name, "not a system segment") ||
	       BAD(!(s.rights & RIGHTS_P), name, "not present") ||
	       BAD(s.rights & RIGHTS_UNUSABLE, name, "unusable") ||
	       BAD(s.rights & RIGHTS_RESERVED, name, "reserved bits") ||
	       BAD(limit_against_granularity(&s), name, "limit against granularity");
}

static bool segments_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	int i;

	c->section = "Checks on Guest Segment Registers";
	if (system_broken(w, c, SEG_TR) || system_broken(w, c, SEG_LDTR) ||
	    BAD(!canonical(V(FS_BASE)), "FS", "base is not canonical") ||
	    BAD(!canonical(V(GS_BASE)), "GS", "base is not canonical"))
		return true;
	if (V(RFLAGS) & RFLAGS_VM)
		return vm86_broken(w, c);
	if (code_broken(w, c) || stack_broken(w, c))
		return true;
	for (i = SEG_ES; i <= SEG_GS; i++)
		if (usable_broken(w, c, i))
			return true;
	return false;
}

bool vmx_segments_pass(const struct vmx_entry_words *w)
{
	struct umbra_check c;

	return !segments_broken(w, &c);
}

static bool tables_and_rip_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	bool code64 = (V(ENTRY) & ENTRY_IA32E) && (V(CS_RIGHTS) & RIGHTS_L);
	bool interrupt = (w->event & EVENT_VALID) && EVENT_TYPE(w->event) == EVENT_INTERRUPT;

	c->section = "Checks on Guest Descriptor-Table Registers";
	if (BAD(!canonical(V(GDTR_BASE)) || !canonical(V(IDTR_BASE)), "GDTR or IDTR",
		"base is not canonical") ||
	    BAD(V(GDTR_LIMIT) >> 16 || V(IDTR_LIMIT) >> 16, "GDTR or IDTR", "limit above 65535"))
		return true;
	c->section = "Checks on Guest RIP, RFLAGS, and SSP";
	return BAD(!code64 && V(RIP) >> 32, "RIP", "upper half outside 64-bit code") ||
	       BAD(code64 && !canonical(V(RIP)), "RIP", "not canonical") ||
	       BAD((V(RFLAGS) & ~0x3f7fd7ull) || !(V(RFLAGS) & 2), "RFLAGS", "reserved bits") ||
	       BAD((V(RFLAGS) & RFLAGS_VM) &&
		   ((V(ENTRY) & ENTRY_IA32E) || !(V(CR0) & CR0_PE)), "RFLAGS", "VM in this mode") ||
	       BAD(interrupt && !(V(RFLAGS) & RFLAGS_IF), "RFLAGS", "IF is 0 for an interrupt");
}

static bool shadow_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	u64 shadow = V(SHADOW);
	bool valid = w->event & EVENT_VALID;
	u32 type = EVENT_TYPE(w->event);
	bool both = shadow & (SHADOW_STI | SHADOW_MOV_SS);

	return BAD(shadow & ~0x1full, "interruptibility", "reserved bits") ||
	       BAD((shadow & SHADOW_STI) && (shadow & SHADOW_MOV_SS), "interruptibility",
		   "STI's shadow and MOV SS's") ||
	       BAD((shadow & SHADOW_STI) && !(V(RFLAGS) & RFLAGS_IF), "interruptibility",
		   "STI's shadow with IF 0") ||
	       BAD(valid && type == EVENT_INTERRUPT && both, "interruptibility",
		   "an interrupt in a shadow") ||
	       BAD(valid && type == EVENT_NMI && (shadow & SHADOW_MOV_SS), "interruptibility",
		   "an NMI in MOV SS's shadow") ||
	       BAD(shadow & SHADOW_SMI, "interruptibility", "SMIs blocked outside of SMM") ||
	       BAD(valid && type == EVENT_NMI && (V(PIN) & PIN_VIRTUAL_NMIS) &&
		   (shadow & SHADOW_NMI), "interruptibility", "an NMI while they are blocked");
}

static bool other_state_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	bool shadow = V(SHADOW) & (SHADOW_STI | SHADOW_MOV_SS), halted = V(ACTIVITY) == 1;
	bool step = V(RFLAGS) & RFLAGS_TF, pending = V(PENDING_DB) & PENDING_BS;

	c->section = "Checks on Guest Non-Register State";
	return BAD(V(ACTIVITY) > 3, "activity", "no such state") ||
	       BAD(halted && RIGHTS_DPL(V(SS_RIGHTS)), "activity", "halted in ring 3") ||
	       BAD(shadow && V(ACTIVITY), "activity", "not active in a shadow") ||
	       shadow_broken(w, c) ||
	       BAD((shadow || halted) && step != pending, "pending debug", "step against TF") ||
	       BAD(V(LINK) != ~0ull, "VMCS link", "in use");
}

static bool pdptes_broken(const struct vmx_entry_words *w, struct umbra_check *c)
{
	/* Present: bits 1, 2, 5 to 8 and those of no physical address are 0. */
	const u64 reserved = 0x1e6ull | ~(BIT_OF(w->phys_bits) - 1);
	int i;

	c->section = "Checks on Guest Page-Directory-Pointer-Table Entries";
	/* Without EPT they are read from memory. */
	if (!(V(SECONDARY) & SECONDARY_EPT))
		return false;
	if (!(V(CR0) & CR0_PG) || !(V(CR4) & CR4_PAE) || (V(ENTRY) & ENTRY_IA32E))
		return false;
	for (i = 0; i < 4; i++) {
		u64 entry = w->value[VMX_F_PDPTE0 + i];

		if (BAD((entry & 1) && (entry & reserved), "PDPTE", "reserved bits"))
			return true;
	}
	return false;
}

struct umbra_check vmx_check_guest(const struct vmx_entry_words *w)
{
	struct umbra_check c = { 0 };

	if (!registers_broken(w, &c) && !segments_broken(w, &c) && !tables_and_rip_broken(w, &c) &&
	    !other_state_broken(w, &c) && !pdptes_broken(w, &c))
		c.section = NULL;
	return c;
}
