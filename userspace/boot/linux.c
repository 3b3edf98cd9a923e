// SPDX-License-Identifier: GPL-2.0-only
/* Lays a Linux guest out in memory as its boot protocol wants it, the 64-bit or the 32-bit one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../exitcode.h"
#include "boot.h"
#include "image.h"

#define PAGE		4096ull
#define HUGE_PAGE	0x200000ull
#define PTE_PRESENT_RW	0x3ull
#define PDE_HUGE	0x80ull
#define LOADER_UNDEFINED	0xff

static unsigned long long mib(uint64_t bytes)
{
	return (bytes + (1 << 20) - 1) >> 20;
}

/* Opens a file to be loaded; the text says which and why not. */
static int open_file(const char *what, const char *path, uint64_t *size, struct umbra_err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		int code = errno == EACCES || errno == EPERM ? UMBRA_EXIT_NOT_PERMITTED :
			   UMBRA_EXIT_MISSING;

		umbra_fail(err, code, "%s %s: %s; give a file that can be read", what, path,
			   strerror(errno));
		return -code;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -umbra_fail(err, UMBRA_EXIT_MISSING, "%s %s: not a regular file", what, path);
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

static int read_all(int fd, uint8_t *to, uint64_t size)
{
	while (size) {
		ssize_t n = read(fd, to, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		to += n;
		size -= (uint64_t)n;
	}
	return 0;
}

static int place_kernel(const struct guest_ram *ram, const char *path, const uint8_t *file,
			uint64_t size, struct image *img, struct umbra_err *err)
{
	const char *why = image_parse(file, size, img);
	unsigned int i;

	if (why)
		return umbra_fail(err, UMBRA_EXIT_MISSING, "kernel %s %s", path, why);
	if (img->top > mem_low(ram->size))
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "kernel %s needs %llu MiB to start, the guest has %llu; give more with --memory",
				  path, mib(img->top), mib(ram->size));
	for (i = 0; i < img->segments; i++) {
		const struct image_segment *s = &img->segment[i];

		/* What lies between filesz and memsz is zero: the memory is fresh. */
		memcpy(ram->host + s->gpa, file + s->offset, s->filesz);
	}
	return 0;
}

static int load_kernel(const struct guest_ram *ram, const char *path, struct image *img,
		       struct umbra_err *err)
{
	uint64_t size = 0;
	uint8_t *file;
	int fd, ret;

	fd = open_file("kernel", path, &size, err);
	if (fd < 0)
		return -fd;
	if (!size) {
		close(fd);
		return umbra_fail(err, UMBRA_EXIT_MISSING, "kernel %s is empty", path);
	}
	file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED) {
		ret = umbra_fail(err, UMBRA_EXIT_MISSING, "kernel %s: %s", path, strerror(errno));
	} else {
		ret = place_kernel(ram, path, file, size, img, err);
		munmap(file, size);
	}
	close(fd);
	return ret;
}

/* As high as the kernel allows, so that it is out of the decompressor's way. */
static int load_initrd(const struct guest_ram *ram, const char *path, const struct image *img,
		       struct setup_header *hdr, struct umbra_err *err)
{
	uint64_t size = 0, top = mem_low(ram->size), at;
	int fd, ret;

	fd = open_file("initrd", path, &size, err);
	if (fd < 0)
		return -fd;
	if (top > (uint64_t)hdr->initrd_addr_max + 1)
		top = (uint64_t)hdr->initrd_addr_max + 1;
	at = size > top ? 0 : (top - size) & ~(PAGE - 1);
	if (at < img->top) {
		ret = umbra_fail(err, UMBRA_EXIT_MISSING,
				 "initrd %s (%llu MiB) does not fit above the kernel in %llu MiB; give more with --memory",
				 path, mib(size), mib(ram->size));
	} else {
		ret = read_all(fd, ram->host + at, size);
		if (ret)
			ret = umbra_fail(err, UMBRA_EXIT_MISSING, "initrd %s: %s", path,
					 strerror(-ret));
		hdr->ramdisk_image = (uint32_t)at;
		hdr->ramdisk_size = (uint32_t)size;
	}
	close(fd);
	return ret;
}

static int load_cmdline(const struct guest_ram *ram, const char *cmdline,
			struct setup_header *hdr, struct umbra_err *err)
{
	size_t len = strlen(cmdline);

	if (len > hdr->cmdline_size)
		return umbra_fail(err, UMBRA_EXIT_USAGE,
				  "the kernel's command line has %zu bytes, this kernel takes %u; shorten --append",
				  len, hdr->cmdline_size);
	memcpy(ram->host + BOOT_CMDLINE, cmdline, len + 1);
	hdr->cmd_line_ptr = BOOT_CMDLINE;
	return 0;
}

/* The identity map of the first 4 GiB that the protocol wants. */
static void write_page_tables(uint8_t *host)
{
	uint64_t *pml4 = (uint64_t *)(host + BOOT_PAGETABLES);
	uint64_t *pdpt = pml4 + 512, *pd = pml4 + 1024;
	uint64_t i;

	pml4[0] = (BOOT_PAGETABLES + PAGE) | PTE_PRESENT_RW;
	for (i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PAGETABLES + (2 + i) * PAGE) | PTE_PRESENT_RW;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i * HUGE_PAGE | PTE_PRESENT_RW | PDE_HUGE;
}

/* Selectors 0x10 and 0x18 are the protocol's __BOOT_CS and __BOOT_DS. */
static void write_gdt(uint8_t *host, bool narrow)
{
	const uint64_t gdt[] = {
		0, 0,
		narrow ? 0x00cf9b000000ffffull : 0x00af9b000000ffffull,	/* 32- or 64-bit code */
		0x00cf93000000ffffull,	/* flat data */
		0x00008b0000000067ull,	/* busy TSS at 0; its second half is 0 */
		0,
	};

	memcpy(host + BOOT_GDT, gdt, sizeof(gdt));
}

int boot_load(const struct guest_ram *ram, const char *kernel, const char *initrd,
	      const char *cmdline, const struct acpi_machine *machine,
	      struct boot_entry *entry, struct umbra_err *err)
{
	struct boot_params *bp = (struct boot_params *)(ram->host + BOOT_PARAMS);
	struct image img;
	int ret;

	ret = load_kernel(ram, kernel, &img, err);
	if (ret)
		return ret;
	bp->hdr = img.setup;
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	if (initrd) {
		ret = load_initrd(ram, initrd, &img, &bp->hdr, err);
		if (ret)
			return ret;
	}
	ret = load_cmdline(ram, cmdline, &bp->hdr, err);
	if (ret)
		return ret;
	bp->e820_entries = (uint8_t)e820_build(ram->size, bp->e820_table);
	bp->acpi_rsdp_addr = acpi_build(ram->host + MEM_BIOS_BASE,
					MEM_EXT_BASE - MEM_BIOS_BASE, MEM_BIOS_BASE, machine);
	if (!img.narrow)
		write_page_tables(ram->host);
	write_gdt(ram->host, img.narrow);
	*entry = (struct boot_entry){
		.rip = img.entry, .params = BOOT_PARAMS, .narrow = img.narrow,
	};
	return 0;
}
