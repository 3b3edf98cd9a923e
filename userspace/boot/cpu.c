// SPDX-License-Identifier: GPL-2.0-only
/* vCPUs: CPUID, what a firmware would leave in MSRs and APIC, and the first one's mode. */
#include <stdlib.h>
#include <string.h>

#include "boot.h"

#define CR0_PE		(1ull << 0)
#define CR0_ET		(1ull << 4)
#define CR0_NE		(1ull << 5)
#define CR0_PG		(1ull << 31)
#define CR4_PAE		(1ull << 5)
#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)

#define SELECTOR_CODE	0x10
#define SELECTOR_DATA	0x18
#define SELECTOR_TSS	0x20
#define GDT_LIMIT	(6 * 8 - 1)

#define MSR_MISC_ENABLE		0x1a0
#define MISC_FAST_STRING	1ull
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MTRR_ENABLE_WRITEBACK	0x806ull

#define LAPIC_LVT_LINT0		0x350
#define LAPIC_LVT_LINT1		0x360
#define LVT_EXTINT		0x700u
#define LVT_NMI			0x400u

static void fix_leaf_1(struct kvm_cpuid_entry2 *e, uint32_t apic_id, uint32_t cpus,
		       bool tsc_deadline)
{
	e->ebx = (e->ebx & 0x0000ffff) | apic_id << 24 | cpus << 16;
	e->ecx |= 1u << 31;	/* a hypervisor is present */
	e->ecx &= ~(1u << 27);	/* OSXSAVE follows CR4, which is still clear */
	if (tsc_deadline)
		e->ecx |= 1u << 24;
	e->edx &= ~(1u << 28);	/* HTT: more than one logical CPU in the package */
	if (cpus > 1)
		e->edx |= 1u << 28;
}

/* The extended topology: level 0 threads (one), level 1 cores. */
static void fix_topology(struct kvm_cpuid_entry2 *e, uint32_t apic_id, uint32_t cpus)
{
	uint32_t shift = 0;

	while (1u << shift < cpus)
		shift++;
	e->edx = apic_id;
	switch (e->index) {
	case 0:
		e->eax = 0;
		e->ebx = 1;
		e->ecx = 1 << 8;
		break;
	case 1:
		e->eax = shift;
		e->ebx = cpus;
		e->ecx = 2 << 8 | 1;
		break;
	default:
		e->eax = 0;
		e->ebx = 0;
		e->ecx = e->index;
		break;
	}
}

void boot_fix_cpuid(struct kvm_cpuid2 *list, uint32_t apic_id, uint32_t cpus,
		    bool tsc_deadline)
{
	uint32_t i;

	for (i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 *e = &list->entries[i];

		switch (e->function) {
		case 1:
			fix_leaf_1(e, apic_id, cpus, tsc_deadline);
			break;
		case 4:		/* caches are each CPU's own, cores share the package */
		case 0x8000001d:
			e->eax &= e->function == 4 ? 0x00003fff : ~(0xfffu << 14);
			if (e->function == 4 && (e->eax & 0x1f))
				e->eax |= (cpus - 1) << 26;
			break;
		case 0xb:
		case 0x1f:
			fix_topology(e, apic_id, cpus);
			break;
		case 0x80000008:
			e->ecx = cpus - 1;
			break;
		case 0x8000001e:
			e->eax = apic_id;
			e->ebx = apic_id;
			e->ecx = 0;
			break;
		default:
			break;
		}
	}
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool wide)
{
	return (struct kvm_segment){
		.limit = 0xffffffff, .selector = selector, .type = type,
		.present = 1, .db = !wide, .l = wide, .s = 1, .g = 1,
	};
}

static int set_sregs(struct umbra_vcpu *vcpu, bool narrow, struct umbra_err *err)
{
	struct kvm_sregs s;
	struct kvm_segment data = segment(SELECTOR_DATA, 3, false);
	int ret = UMBRA_IOCTL(vcpu->fd, KVM_GET_SREGS, &s, err);

	if (ret < 0)
		return ret;
	s.cs = segment(SELECTOR_CODE, 11, !narrow);
	s.ds = data;
	s.es = data;
	s.fs = data;
	s.gs = data;
	s.ss = data;
	s.tr = (struct kvm_segment){
		.limit = 0x67, .selector = SELECTOR_TSS, .type = 11, .present = 1,
	};
	s.gdt = (struct kvm_dtable){ .base = BOOT_GDT, .limit = GDT_LIMIT };
	s.idt = (struct kvm_dtable){ .base = 0, .limit = 0 };
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (!narrow) {
		s.cr0 |= CR0_PG;
		s.cr3 = BOOT_PAGETABLES;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	}
	ret = UMBRA_IOCTL(vcpu->fd, KVM_SET_SREGS, &s, err);
	return ret < 0 ? ret : 0;
}

/* The PIC's output comes in at the first vCPU's LINT0, NMI at everyone's LINT1. */
static int set_lapic(struct umbra_vcpu *vcpu, struct umbra_err *err)
{
	struct kvm_lapic_state apic;
	uint32_t lint0 = LVT_EXTINT, lint1 = LVT_NMI;
	int ret = UMBRA_IOCTL(vcpu->fd, KVM_GET_LAPIC, &apic, err);

	if (ret < 0)
		return ret;
	if (!vcpu->id)
		memcpy(apic.regs + LAPIC_LVT_LINT0, &lint0, sizeof(lint0));
	memcpy(apic.regs + LAPIC_LVT_LINT1, &lint1, sizeof(lint1));
	ret = UMBRA_IOCTL(vcpu->fd, KVM_SET_LAPIC, &apic, err);
	return ret < 0 ? ret : 0;
}

static int set_cpuid(struct umbra_vm *vm, struct umbra_vcpu *vcpu, uint32_t cpus,
		     struct umbra_err *err)
{
	struct kvm_cpuid2 *list;
	int ret = umbra_supported_cpuid(vm->dev_fd, &list, err);

	if (ret)
		return ret;
	boot_fix_cpuid(list, vcpu->id, cpus,
		       umbra_check_cap(vm->fd, KVM_CAP_TSC_DEADLINE_TIMER));
	ret = UMBRA_IOCTL(vcpu->fd, KVM_SET_CPUID2, list, err);
	free(list);
	return ret < 0 ? ret : 0;
}

int boot_firmware(struct umbra_vm *vm, struct umbra_vcpu *vcpu, uint32_t cpus,
		  struct umbra_err *err)
{
	/* Memory is write-back, which Linux needs to believe in PAT. */
	static const struct kvm_msr_entry msrs[] = {
		{ .index = MSR_MISC_ENABLE, .data = MISC_FAST_STRING },
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE_WRITEBACK },
	};
	int ret = set_cpuid(vm, vcpu, cpus, err);

	if (!ret)
		ret = umbra_set_msrs(vcpu, msrs, sizeof(msrs) / sizeof(msrs[0]), err);
	if (!ret)
		ret = set_lapic(vcpu, err);
	return ret;
}

int boot_start(struct umbra_vcpu *vcpu, const struct boot_entry *entry, struct umbra_err *err)
{
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rsi = entry->params,
		.rsp = BOOT_STACK,
		.rflags = 2,
	};
	int ret = set_sregs(vcpu, entry->narrow, err);

	if (!ret)
		ret = UMBRA_IOCTL(vcpu->fd, KVM_SET_REGS, &regs, err);
	return ret < 0 ? ret : 0;
}
