// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sources: the kernel's "The Linux/x86 Boot Protocol", version 2.12 and later
 * for the 64-bit entry, 2.10 for where a kernel wants to be; the ELF-64 object
 * file format.
 */
#include <elf.h>
#include <string.h>

#include "image.h"

#define BOOT_FLAG		0xaa55
#define HDR_MAGIC		0x53726448u	/* "HdrS" */
#define PROTOCOL_PLACE		0x020a
#define PROTOCOL_64BIT		0x020c
#define ENTRY64_OFFSET		0x200
#define SECTOR			512u
#define DEFAULT_SETUP_SECTS	4
#define LOW_LIMIT		0x100000ull
#define HIGH_LIMIT		0xc0000000ull	/* below the hole for devices */

static bool range_fits(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

static const char *parse_bzimage(const uint8_t *data, size_t size, struct image *img)
{
	struct setup_header *h = &img->setup;
	uint64_t setup_bytes, payload;

	memcpy(h, data + offsetof(struct boot_params, hdr), sizeof(*h));
	if (h->header != HDR_MAGIC)
		return "is no Linux kernel image (bzImage or vmlinux wanted)";
	if (!(h->loadflags & LOADED_HIGH))
		return "is a zImage; a bzImage is wanted";
	if (h->version < PROTOCOL_PLACE)
		return "is older than boot protocol 2.10; a kernel from Linux 2.6.31 on is wanted";
	img->narrow = h->version < PROTOCOL_64BIT || !(h->xloadflags & XLF_KERNEL_64);

	setup_bytes = ((h->setup_sects ? h->setup_sects : DEFAULT_SETUP_SECTS) + 1) * SECTOR;
	payload = (uint64_t)h->syssize * 16;
	/* syssize counts whole paragraphs; the file may end within the last one. */
	if (payload <= ENTRY64_OFFSET || setup_bytes >= size || payload - 15 > size - setup_bytes)
		return "is truncated";
	if (payload > size - setup_bytes)
		payload = size - setup_bytes;
	if (h->pref_address < LOW_LIMIT || h->pref_address >= HIGH_LIMIT)
		return "wants to be loaded where no memory can be";

	img->segment[0] = (struct image_segment){
		.gpa = h->pref_address,
		.offset = setup_bytes,
		.filesz = payload,
		.memsz = payload,
	};
	img->segments = 1;
	img->entry = h->pref_address + (img->narrow ? 0 : ENTRY64_OFFSET);
	img->top = h->pref_address + (h->init_size > payload ? h->init_size : payload);
	return NULL;
}

/* A vmlinux has no setup header: this is what its decompressor would have been told. */
static void make_setup_header(struct setup_header *h)
{
	memset(h, 0, sizeof(*h));
	h->boot_flag = BOOT_FLAG;
	h->header = HDR_MAGIC;
	h->version = PROTOCOL_64BIT;
	h->loadflags = LOADED_HIGH;
	h->kernel_alignment = 0x200000;
	h->initrd_addr_max = 0x7fffffff;
	h->cmdline_size = 2047;
	h->xloadflags = XLF_KERNEL_64;
}

static const char *add_segment(struct image *img, const Elf64_Phdr *ph, size_t size)
{
	if (!range_fits(ph->p_offset, ph->p_filesz, size) || ph->p_filesz > ph->p_memsz)
		return "is truncated";
	if (ph->p_paddr < LOW_LIMIT || ph->p_paddr >= HIGH_LIMIT ||
	    ph->p_memsz > HIGH_LIMIT - ph->p_paddr)
		return "wants to be loaded where no memory can be";
	if (img->segments == IMAGE_MAX_SEGMENTS)
		return "has too many segments for a kernel";
	img->segment[img->segments++] = (struct image_segment){
		.gpa = ph->p_paddr,
		.offset = ph->p_offset,
		.filesz = ph->p_filesz,
		.memsz = ph->p_memsz,
	};
	if (img->top < ph->p_paddr + ph->p_memsz)
		img->top = ph->p_paddr + ph->p_memsz;
	return NULL;
}

static const char *parse_vmlinux(const uint8_t *data, size_t size, struct image *img)
{
	Elf64_Ehdr eh;
	bool entry_loaded = false;
	unsigned int i;

	if (data[EI_CLASS] == ELFCLASS32)
		return "is a 32-bit vmlinux; its bzImage is wanted";
	if (size < sizeof(eh))
		return "is truncated";
	memcpy(&eh, data, sizeof(eh));
	if (eh.e_machine != EM_X86_64 || eh.e_type != ET_EXEC)
		return "is no x86-64 kernel (an ELF file, but not a vmlinux)";
	if (eh.e_phentsize != sizeof(Elf64_Phdr) ||
	    !range_fits(eh.e_phoff, (uint64_t)eh.e_phnum * sizeof(Elf64_Phdr), size))
		return "is truncated";

	make_setup_header(&img->setup);
	for (i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		const char *why;

		memcpy(&ph, data + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		why = add_segment(img, &ph, size);
		if (why)
			return why;
		if (eh.e_entry >= ph.p_paddr && eh.e_entry - ph.p_paddr < ph.p_filesz)
			entry_loaded = true;
	}
	if (!entry_loaded)
		return "is no kernel: its entry point is not a physical address that it loads";
	img->entry = eh.e_entry;
	return NULL;
}

const char *image_parse(const void *data, size_t size, struct image *img)
{
	const uint8_t *bytes = data;

	memset(img, 0, sizeof(*img));
	if (size >= EI_NIDENT && !memcmp(bytes, ELFMAG, SELFMAG))
		return parse_vmlinux(bytes, size, img);
	if (size < offsetof(struct boot_params, hdr) + sizeof(struct setup_header))
		return size ? "is truncated, or no Linux kernel image" : "is empty";
	return parse_bzimage(bytes, size, img);
}
