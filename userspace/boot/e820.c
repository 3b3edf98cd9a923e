// SPDX-License-Identifier: GPL-2.0-only
#include "e820.h"

uint64_t mem_low(uint64_t memory)
{
	return memory < MEM_LOW_TOP ? memory : MEM_LOW_TOP;
}

unsigned int e820_build(uint64_t memory, struct boot_e820_entry *table)
{
	unsigned int n = 0;

	table[n++] = (struct boot_e820_entry){ 0, MEM_BASE_TOP, E820_RAM };
	table[n++] = (struct boot_e820_entry){
		MEM_BIOS_BASE, MEM_EXT_BASE - MEM_BIOS_BASE, E820_RESERVED
	};
	table[n++] = (struct boot_e820_entry){
		MEM_EXT_BASE, mem_low(memory) - MEM_EXT_BASE, E820_RAM
	};
	if (memory > MEM_LOW_TOP)
		table[n++] = (struct boot_e820_entry){
			MEM_HIGH_BASE, memory - MEM_LOW_TOP, E820_RAM
		};
	return n;
}

void *ram_at(const struct guest_ram *ram, uint64_t gpa, uint64_t len)
{
	uint64_t low = mem_low(ram->size), at = gpa, end = low;

	if (gpa >= MEM_HIGH_BASE) {
		at = gpa - MEM_HIGH_BASE + low;
		end = ram->size;
		/* Beyond all memory the sum may have wrapped. */
		if (gpa - MEM_HIGH_BASE > end - low)
			return NULL;
	}
	return at <= end && len <= end - at ? ram->host + at : NULL;
}
