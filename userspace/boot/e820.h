/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's physical address space: where RAM is, and where the hole for devices. */
#ifndef UMBRA_E820_H
#define UMBRA_E820_H

#include <stddef.h>
#include <stdint.h>
#include <asm/bootparam.h>

#define MEM_LOW_TOP	0xc0000000ull	/* RAM below 4 GiB ends here */
#define MEM_HIGH_BASE	0x100000000ull	/* and goes on here */
#define MEM_BASE_TOP	0xa0000ull	/* end of conventional memory */
#define MEM_BIOS_BASE	0xe0000ull	/* the ACPI tables stand here */
#define MEM_EXT_BASE	0x100000ull
#define MEM_MIN		0x200000ull	/* room for the start-up structures */
#define MEM_MAX		0x10000000000ull	/* 1 TiB */

#define E820_RAM	1
#define E820_RESERVED	2
#define E820_MAX	8

/**
 * e820_build() - the memory map of a guest
 * @memory: bytes of RAM, a multiple of a page from MEM_MIN to MEM_MAX
 * @table: room for E820_MAX entries; filled in ascending order
 *
 * Return: the number of entries.
 */
unsigned int e820_build(uint64_t memory, struct boot_e820_entry *table);

/** struct guest_ram - @host: where GPA 0 is; the part above 4 GiB follows the low part there */
struct guest_ram {
	uint8_t *host;
	uint64_t size;
};

/** ram_at() - where @len bytes of the guest's memory stand, or NULL if not all of them do. */
void *ram_at(const struct guest_ram *ram, uint64_t gpa, uint64_t len);

/** mem_low() - how much of @memory bytes lies below the hole. */
uint64_t mem_low(uint64_t memory);

#endif
