/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine's ACPI tables. */
#ifndef UMBRA_ACPI_H
#define UMBRA_ACPI_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct acpi_machine - what differs between machines
 * @cpus: number of vCPUs; their APIC ids are 0 upwards
 * @disks: virtio-mmio devices, @disk_stride bytes apart from @disk_base on
 * @disk_gsi: the first one's, edge-triggered; the others' follow
 */
struct acpi_machine {
	unsigned int cpus;
	unsigned int disks;
	uint32_t disk_base, disk_stride, disk_gsi;
};

/**
 * acpi_build() - write RSDP, XSDT, FADT, FACS, DSDT and MADT
 * @mem: where to write; zeroed
 * @size: bytes there
 * @gpa: @mem's guest-physical address, 64-byte aligned
 *
 * Return: the RSDP's guest-physical address, or 0 when @size is too small.
 */
uint64_t acpi_build(void *mem, size_t size, uint64_t gpa, const struct acpi_machine *machine);

#endif
