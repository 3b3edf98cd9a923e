// SPDX-License-Identifier: GPL-2.0-only
/* SVM: «Canonicalization and Consistency Checks» of VMRUN. */
#include "entry_check.h"

#define BIT_OF(n)		(1ull << (n))

#define CR0_PE			BIT_OF(0)
#define CR0_NW			BIT_OF(29)
#define CR0_CD			BIT_OF(30)
#define CR0_PG			BIT_OF(31)
#define CR4_PAE			BIT_OF(5)
#define EFER_LME		BIT_OF(8)
#define EFER_LMA		BIT_OF(10)
#define EFER_SVME		BIT_OF(12)
#define RIGHTS_L		BIT_OF(9)
#define RIGHTS_DB		BIT_OF(10)
#define INTERCEPT4_VMRUN	BIT_OF(0)

#define EVENT_VALID		BIT_OF(31)
#define EVENT_TYPE(event)	((event) >> 8 & 7)
#define EVENT_VECTOR(event)	((event) & 0xff)
enum { EVENT_INTERRUPT, EVENT_NMI = 2, EVENT_EXCEPTION, EVENT_SOFT };

#define V(id)			(w->value[SVM_F_##id])
#define BAD(cond, what, rule)	umbra_check_broken(c, cond, what, rule)

static bool registers_broken(const struct svm_entry_words *w, struct umbra_check *c)
{
	bool entering_long = (V(EFER) & EFER_LME) && (V(CR0) & CR0_PG);

	return BAD(!(V(EFER) & EFER_SVME), "EFER", "SVME is 0") ||
	       BAD((V(CR0) & CR0_NW) && !(V(CR0) & CR0_CD), "CR0", "NW without CD") ||
	       BAD(V(CR0) >> 32, "CR0", "upper half") ||
	       BAD((V(EFER) & EFER_LMA) && V(CR3) >> w->phys_bits, "CR3",
		   "beyond the physical address width") ||
	       BAD(V(CR4) & ~w->cr4_allowed, "CR4", "reserved bits") ||
	       BAD(V(DR6) >> 32, "DR6", "upper half") ||
	       BAD(V(DR7) >> 32, "DR7", "upper half") ||
	       BAD(V(EFER) & ~w->efer_allowed, "EFER", "reserved bits") ||
	       BAD(entering_long && !(V(CR4) & CR4_PAE), "CR4", "no PAE in long mode") ||
	       BAD(entering_long && !(V(CR0) & CR0_PE), "CR0", "PG without PE in long mode") ||
	       BAD(entering_long && (V(CR4) & CR4_PAE) && (V(CS_RIGHTS) & RIGHTS_L) &&
		   (V(CS_RIGHTS) & RIGHTS_DB), "CS", "L and D together");
}

static bool controls_broken(const struct svm_entry_words *w, struct umbra_check *c)
{
	u32 type = EVENT_TYPE(w->event), vector = EVENT_VECTOR(w->event);
	bool known = type == EVENT_INTERRUPT || type == EVENT_NMI || type == EVENT_EXCEPTION ||
		     type == EVENT_SOFT;

	return BAD(!(V(INTERCEPT4) & INTERCEPT4_VMRUN), "intercepts", "VMRUN's is 0") ||
	       BAD(V(MSRPM) >> w->phys_bits, "MSR bitmap", "beyond the physical address width") ||
	       BAD(V(IOPM) >> w->phys_bits, "I/O bitmap", "beyond the physical address width") ||
	       BAD(!V(ASID), "ASID", "0") ||
	       BAD((w->event & EVENT_VALID) && !known, "event", "type") ||
	       BAD((w->event & EVENT_VALID) && type == EVENT_EXCEPTION && (vector == 2 || vector > 31),
		   "event", "vector of no exception");
}

struct umbra_check svm_check_entry(const struct svm_entry_words *w)
{
	struct umbra_check c = { .section = "Canonicalization and Consistency Checks" };

	if (!registers_broken(w, &c) && !controls_broken(w, &c))
		c.section = NULL;
	return c;
}
