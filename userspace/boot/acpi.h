/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine's ACPI tables. */
#ifndef UMBRA_ACPI_H
#define UMBRA_ACPI_H

#include <stddef.h>
#include <stdint.h>

/**
 * acpi_build() - write RSDP, XSDT, FADT, FACS, DSDT and MADT
 * @mem: where to write; zeroed
 * @size: bytes there
 * @gpa: @mem's guest-physical address, 64-byte aligned
 * @cpus: number of vCPUs; their APIC ids are 0 upwards
 *
 * Return: the RSDP's guest-physical address, or 0 when @size is too small.
 */
uint64_t acpi_build(void *mem, size_t size, uint64_t gpa, unsigned int cpus);

#endif
