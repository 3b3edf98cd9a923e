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
