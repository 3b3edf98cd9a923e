/* SPDX-License-Identifier: GPL-2.0-only */
/* Laying a Linux guest out in memory, and a vCPU ready to enter it. */
#ifndef UMBRA_BOOT_H
#define UMBRA_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lib/libumbra.h"
#include "acpi.h"
#include "e820.h"

/* Where the start-up structures stand in guest-physical memory. */
#define BOOT_GDT	0x1000
#define BOOT_PARAMS	0x2000
#define BOOT_PAGETABLES	0x3000		/* one PML4, one PDPT, four directories */
#define BOOT_STACK	0xa000		/* grows down */
#define BOOT_CMDLINE	0x20000

/**
 * struct boot_entry - how the kernel is entered
 * @rip: where
 * @params: for RSI: the zero page's address
 * @narrow: in protected mode, with paging off, instead of in long mode
 */
struct boot_entry {
	uint64_t rip;
	uint64_t params;
	bool narrow;
};

/**
 * boot_load() - load kernel, initrd and command line, and write the zero page,
 *		 the ACPI tables, a GDT and identity page tables
 * @initrd: a file's name, or NULL
 * @machine: what the ACPI tables say
 *
 * Return: 0, or an exit code with @err telling what is wrong and the remedy.
 */
int boot_load(const struct guest_ram *ram, const char *kernel, const char *initrd,
	      const char *cmdline, const struct acpi_machine *machine,
	      struct boot_entry *entry, struct umbra_err *err);

/**
 * boot_firmware() - give a vCPU its CPUID and what a firmware leaves in each CPU
 * @cpus: number of vCPUs; this one's APIC id is its own
 *
 * Return: 0, or a negative errno with @err filled.
 */
int boot_firmware(struct umbra_vm *vm, struct umbra_vcpu *vcpu, uint32_t cpus,
		  struct umbra_err *err);

/**
 * boot_start() - set the registers of the vCPU that boots; the others wait for its SIPI
 *
 * Return: 0, or a negative errno with @err filled.
 */
int boot_start(struct umbra_vcpu *vcpu, const struct boot_entry *entry, struct umbra_err *err);

/**
 * boot_fix_cpuid() - make a list of supported CPUID leaves one vCPU's own
 * @list: as KVM_GET_SUPPORTED_CPUID gave it; changed in place
 * @apic_id: the vCPU's
 * @cpus: number of vCPUs, each a core of its own in one package
 * @tsc_deadline: the device has the LAPIC timer's TSC-deadline mode
 */
void boot_fix_cpuid(struct kvm_cpuid2 *list, uint32_t apic_id, uint32_t cpus,
		    bool tsc_deadline);

#endif
