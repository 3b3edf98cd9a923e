/* SPDX-License-Identifier: GPL-2.0-only */
/* Virtual machines for tests, by KVM's ABI and nothing else. */
#ifndef SELFTESTS_VM_H
#define SELFTESTS_VM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "ktap.h"

/*
 * Guest physical memory, all of it identity-mapped in long mode. The test
 * program itself lies in guest memory at the address it is linked at, so guest
 * code is ordinary C and its variables have one address on both sides.
 */
#define MEM_SIZE	(16u << 20)
#define GPA_GDT		0x1000
#define GPA_IDT		0x2000
#define GPA_TSS		0x3000
#define GPA_PML4	0x4000
#define GPA_PDPT	0x5000
#define GPA_CODE16	0x8000
#define GPA_PD		0x10000		/* four pages, 4 GiB in 2 MiB pages */
#define GPA_PT		0x14000		/* for tests that map 4 KiB pages */
#define GPA_STACK_USER	0x70000		/* tops, growing down */
#define GPA_STACK	0x80000		/* vCPU n: n * 8 KiB lower */
#define GPA_STACK_INT	0x90000		/* entered from ring 3 */
#define GPA_STACK_IST	0xa0000
#define GPA_TEST	0x800000	/* from here on, free for the test */
#define GPA_HOLE	0x10000000ULL	/* mapped by the guest, no slot there */

#define SEL_CODE64	0x08
#define SEL_DATA	0x10
#define SEL_CODE32	0x18
#define SEL_UDATA	0x23
#define SEL_UCODE64	0x2b
#define SEL_TSS		0x30		/* 16 bytes */
#define SEL_FREE	0x40		/* not present, for the test to fill */

/* What vm_init() shall make besides memory. */
#define VM_IRQCHIP	1u
#define VM_PIT		2u
#define VM_NO_MEMORY	4u
#define VM_SPEAKER	8u	/* with the PIT: port 0x61 too */

#define MAX_VCPUS	8

struct vm;

struct vcpu {
	struct vm *vm;
	int fd;
	int id;
	struct kvm_run *run;
	size_t run_size;
};

struct vm {
	int sys;
	int fd;
	uint8_t *mem;
	struct vcpu vcpu[MAX_VCPUS];
	int nr_vcpus;
};

/* A guest variable as the host sees it. */
#define G(vm, var)							\
	(*(__typeof__(var) *)((vm)->mem + (uintptr_t)&(var)))

const char *dev_path(void);
int dev_open(void);
bool on_umbra(void);
bool on_tcg(void);
bool restricted_guest(void);
char umbra_parameter(const char *name);
/* VMs made from now on are the emulator's alone, or no more; skips on another module. */
void emulator_alone(bool on);
uint32_t exit_reason(struct vm *vm, const char *name, uint64_t *count);
uint64_t exit_count(struct vm *vm, const char *name);
bool vm_shadow(struct vm *vm);
int dev_cap(int cap);
void need_cap(int cap, const char *name);
#define NEED_CAP(cap)	need_cap(cap, #cap)

void vm_init(struct vm *vm, unsigned int flags);
void vm_free(struct vm *vm);
/* Tables of shadows: all, the guest's frames that they are of, and those that are of none. */
struct shadow_size {
	unsigned long tables, frames, direct;
};
/*
 * Every shadow table of this process's VMs must be what the module's auditor holds it to; so it
 * is before a VM is freed. Who may not read debugfs asks nothing, and gets zeroes.
 */
struct shadow_size audit_shadows(void);
int vm_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa,
	    uint64_t size, const void *hva);
void *map_pages(size_t size);
/* Where an address is a multiple of @align, a power of 2 of pages. */
void *map_aligned(size_t size, size_t align);
void *map_guarded(size_t size);
struct vcpu *vm_vcpu_raw(struct vm *vm, int id);
struct vcpu *vm_vcpu(struct vm *vm, int id);
void vcpu_free(struct vcpu *v);

struct kvm_cpuid2 *supported_cpuid(void);
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, uint32_t fn,
				    uint32_t index);
void vcpu_set_cpuid(struct vcpu *v, struct kvm_cpuid2 *c);

void vcpu_long_mode(struct vcpu *v, void (*entry)(void));
void vcpu_prot32(struct vcpu *v, void (*entry)(void));
void vcpu_real_mode(struct vcpu *v, const void *code, size_t size);
/* A new VM with one vCPU in long mode at @entry. */
struct vcpu *vm_long_mode(struct vm *vm, unsigned int flags,
			  void (*entry)(void));

int vcpu_run_raw(struct vcpu *v);
int vcpu_run_for(struct vcpu *v, unsigned int ms);
uint32_t vcpu_run(struct vcpu *v);
void vcpu_run_to_sync(struct vcpu *v, uint32_t step);
void vcpu_run_to_end(struct vcpu *v);
bool guest_said(struct vcpu *v, uint16_t port, uint32_t *value);
void want_io(struct vcpu *v, int direction, uint16_t port, int size,
	     uint32_t count);
void *io_data(struct vcpu *v);
void want_mmio(struct vcpu *v, uint64_t gpa, uint32_t len, bool is_write);
const char *exit_name(uint32_t reason);
void vcpu_diag(struct vcpu *v);

struct kvm_regs vcpu_regs(struct vcpu *v);
struct kvm_sregs vcpu_sregs(struct vcpu *v);
int vcpu_get_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
int vcpu_set_msr(struct vcpu *v, uint32_t msr, uint64_t value);
int vm_irq(struct vm *vm, uint32_t gsi, uint32_t level);
int vm_msi(struct vm *vm, uint64_t addr, uint32_t data);
/* The figure @name of the VM or the vCPU whose fd this is. */
uint64_t figure(int of, const char *name);
/* What a table of a shadow's is in mmu_table_pages, at most: a direct one is one less. */
#define SHADOW_TABLE_PAGES	3
void sleep_ms(unsigned int ms);
uint64_t now_ns(void);

#endif
