// SPDX-License-Identifier: GPL-2.0-only
/* Kernel images good and bad, the memory map, the ACPI tables, CPUID. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../boot/acpi.h"
#include "../boot/boot.h"
#include "../boot/e820.h"
#include "../boot/image.h"
#include "tap.h"

#define FILE_SIZE	8192u
#define SETUP_SECTS	1
#define SETUP_BYTES	((SETUP_SECTS + 1) * 512)
#define PREF		0x1000000ull

/* A bzImage that is good as far as its header goes. */
static struct setup_header *make_bzimage(uint8_t *file)
{
	struct setup_header *h = (struct setup_header *)
		(file + offsetof(struct boot_params, hdr));

	memset(file, 0, FILE_SIZE);
	h->setup_sects = SETUP_SECTS;
	h->syssize = (FILE_SIZE - SETUP_BYTES) / 16;
	h->header = 0x53726448;
	h->version = 0x20f;
	h->loadflags = LOADED_HIGH;
	h->xloadflags = XLF_KERNEL_64;
	h->pref_address = PREF;
	h->init_size = 0x300000;
	return h;
}

/* A vmlinux of two segments, the second with a zeroed tail. */
static Elf64_Phdr *make_vmlinux(uint8_t *file)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)file;
	Elf64_Phdr *ph = (Elf64_Phdr *)(file + sizeof(*eh));

	memset(file, 0, FILE_SIZE);
	memcpy(eh->e_ident, ELFMAG, SELFMAG);
	eh->e_ident[EI_CLASS] = ELFCLASS64;
	eh->e_type = ET_EXEC;
	eh->e_machine = EM_X86_64;
	eh->e_entry = PREF + 16;
	eh->e_phoff = sizeof(*eh);
	eh->e_phentsize = sizeof(*ph);
	eh->e_phnum = 2;
	ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = PREF,
			      .p_filesz = 0x800, .p_memsz = 0x800 };
	ph[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x1800, .p_paddr = PREF + 0x1000,
			      .p_filesz = 0x800, .p_memsz = 0x2000 };
	return ph;
}

/* A copy of exactly @size bytes, so that ASan sees one read too far. */
static const char *parse(const uint8_t *file, size_t size, struct image *img)
{
	uint8_t *exact = malloc(size ? size : 1);
	const char *why;

	memcpy(exact, file, size);
	why = image_parse(exact, size, img);
	free(exact);
	return why;
}

static bool refused(const char *why, const char *word)
{
	return why && strstr(why, word);
}

static void test_bzimage(struct tap *tap)
{
	uint8_t *file = malloc(FILE_SIZE);
	struct setup_header *h = make_bzimage(file);
	struct image img;
	size_t size;
	bool all = true;

	tap_ok(tap, !parse(file, FILE_SIZE, &img) && img.entry == PREF + 0x200 && !img.narrow &&
	       img.segments == 1 && img.segment[0].offset == SETUP_BYTES &&
	       img.segment[0].filesz == FILE_SIZE - SETUP_BYTES && img.top == PREF + 0x300000,
	       "bzImage: good");
	for (size = 0; size < FILE_SIZE - 15; size++)
		all = all && parse(file, size, &img);
	tap_ok(tap, all, "bzImage: refused at every shorter length");
	tap_ok(tap, refused(parse(file, FILE_SIZE / 2, &img), "truncated"), "bzImage: truncated");
	tap_ok(tap, !parse(file, FILE_SIZE - 8, &img) &&
	       img.segment[0].filesz == FILE_SIZE - SETUP_BYTES - 8,
	       "bzImage: ends within its last paragraph");
	tap_ok(tap, refused(parse(file, 0, &img), "empty"), "bzImage: empty");

	h->xloadflags = 0;
	tap_ok(tap, !parse(file, FILE_SIZE, &img) && img.narrow && img.entry == PREF,
	       "bzImage: a 32-bit kernel, entered at its first byte");
	make_bzimage(file)->version = 0x20a;
	tap_ok(tap, !parse(file, FILE_SIZE, &img) && img.narrow,
	       "bzImage: before protocol 2.12 there is no 64-bit entry");
	make_bzimage(file)->version = 0x209;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "2.10"), "bzImage: old protocol");
	make_bzimage(file)->loadflags = 0;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "zImage"), "bzImage: a zImage");
	make_bzimage(file)->header = 0;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "no Linux"), "bzImage: no magic");
	make_bzimage(file)->syssize = 0xffffffff;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "truncated"), "bzImage: huge syssize");
	make_bzimage(file)->syssize = 1;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "truncated"), "bzImage: tiny syssize");
	make_bzimage(file)->pref_address = 0xfffffffffffff000ull;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "memory"), "bzImage: absurd address");
	free(file);
}

static void test_vmlinux(struct tap *tap)
{
	uint8_t *file = malloc(FILE_SIZE);
	Elf64_Phdr *ph = make_vmlinux(file);
	struct image img;

	tap_ok(tap, !parse(file, FILE_SIZE, &img) && img.entry == PREF + 16 &&
	       img.segments == 2 && img.top == PREF + 0x3000 &&
	       (img.setup.xloadflags & XLF_KERNEL_64), "vmlinux: good");
	tap_ok(tap, refused(parse(file, 0x1900, &img), "truncated"), "vmlinux: truncated");
	tap_ok(tap, refused(parse(file, 20, &img), "truncated"), "vmlinux: cut in its header");
	ph[1].p_offset = ~0ull - 16;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "truncated"),
	       "vmlinux: offset that wraps");
	ph = make_vmlinux(file);
	ph[1].p_memsz = 0x100;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "truncated"),
	       "vmlinux: more in the file than in memory");
	ph = make_vmlinux(file);
	ph[0].p_paddr = 0x1000;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "memory"), "vmlinux: low address");
	ph = make_vmlinux(file);
	ph[1].p_memsz = ~0ull;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "memory"), "vmlinux: huge segment");
	make_vmlinux(file);
	((Elf64_Ehdr *)file)->e_entry = 0xffffffff81000000ull;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "entry"), "vmlinux: virtual entry");
	make_vmlinux(file);
	((Elf64_Ehdr *)file)->e_phnum = 0xffff;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "truncated"),
	       "vmlinux: more headers than bytes");
	make_vmlinux(file);
	file[EI_CLASS] = ELFCLASS32;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "bzImage"), "vmlinux: 32-bit ELF");
	make_vmlinux(file);
	((Elf64_Ehdr *)file)->e_machine = EM_AARCH64;
	tap_ok(tap, refused(parse(file, FILE_SIZE, &img), "x86-64"), "vmlinux: another machine");
	free(file);
}

/* Any bytes at all: the sanitizers are the judges. */
static void test_garbage(struct tap *tap)
{
	uint8_t *file = malloc(FILE_SIZE);
	unsigned int seed, i, accepted = 0;
	struct image img;

	for (seed = 1; seed <= 4000; seed++) {
		srand(seed);
		if (seed % 2)
			make_bzimage(file);
		else
			make_vmlinux(file);
		for (i = 0; i < 1 + seed % 16; i++)
			file[(unsigned int)rand() % (seed % 2 ? 0x270 : 176)] = (uint8_t)rand();
		if (parse(file, FILE_SIZE, &img))
			continue;
		accepted++;
		for (i = 0; i < img.segments; i++)
			if (img.segment[i].offset + img.segment[i].filesz > FILE_SIZE ||
			    img.segment[i].gpa + img.segment[i].memsz > img.top)
				break;
		if (i < img.segments)
			break;
	}
	tap_ok(tap, seed > 4000, "images: 4000 damaged ones (%u taken), last seed %u", accepted,
	       seed - 1);
	free(file);
}

static void test_e820(struct tap *tap)
{
	static const struct {
		uint64_t memory, low_top, high;
	} cases[] = {
		{ 64ull << 20, 64ull << 20, 0 },
		{ MEM_LOW_TOP, MEM_LOW_TOP, 0 },
		{ MEM_LOW_TOP + 4096, MEM_LOW_TOP, 4096 },
		{ 8ull << 30, MEM_LOW_TOP, 5ull << 30 },
	};
	struct boot_e820_entry e[E820_MAX];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int n = e820_build(cases[i].memory, e), j;
		bool good = n == (cases[i].high ? 4 : 3);

		for (j = 1; j < n; j++)
			good = good && e[j].addr >= e[j - 1].addr + e[j - 1].size;
		good = good && e[2].addr + e[2].size == cases[i].low_top && e[1].type == 2 &&
		       e[0].type == 1 && e[2].type == 1;
		if (cases[i].high)
			good = good && e[3].addr == MEM_HIGH_BASE && e[3].size == cases[i].high;
		tap_ok(tap, good, "e820: %llu MiB", (unsigned long long)cases[i].memory >> 20);
	}
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

/* The DSDT, by the XSDT's first entry, the FADT, which names it at byte 140. */
static const uint8_t *find_dsdt(const uint8_t *mem, uint64_t base, uint32_t *len)
{
	uint64_t at;

	memcpy(&at, mem + 24, sizeof(at));
	memcpy(&at, mem + (at - base) + 36, sizeof(at));
	memcpy(&at, mem + (at - base) + 140, sizeof(at));
	memcpy(len, mem + (at - base) + 4, sizeof(*len));
	return mem + (at - base);
}

static void test_acpi_disks(struct tap *tap, uint8_t *mem, size_t size, uint64_t base)
{
	const struct acpi_machine none = { .cpus = 1 }, eight = {
		.cpus = 1, .disks = 8, .disk_base = 0xfeb00000, .disk_stride = 0x1000,
		.disk_gsi = 16,
	};
	uint32_t bare, len, addr, gsi;
	const uint8_t *dsdt, *p;
	unsigned int i = 0;
	bool good = acpi_build(mem, size, base, &none);

	find_dsdt(mem, base, &bare);
	good = good && acpi_build(mem, size, base, &eight);
	dsdt = find_dsdt(mem, base, &len);
	good = good && !memcmp(dsdt, "DSDT", 4) && !sum(dsdt, len) && len > bare;
	/* The scope's length reaches to the table's end. */
	p = dsdt + bare;
	good = good && *p == 0x10 && (p[1] & 0xf) + (p[2] << 4) == (int)(len - bare - 1);
	for (p = dsdt; good && (p = memmem(p, len - (size_t)(p - dsdt), "LNRO0005", 9)); i++) {
		/* _UID behind the ID, then the memory's base and the interrupt's number. */
		good = !memcmp(p + 9, "\x08_UID\x0a", 6) && p[15] == i;
		memcpy(&addr, p + 29, sizeof(addr));
		memcpy(&gsi, p + 42, sizeof(gsi));
		good = good && addr == eight.disk_base + i * 0x1000 && gsi == 16 + i;
		p += 9;
	}
	tap_ok(tap, good && i == 8, "ACPI: eight disks");
}

static void test_acpi(struct tap *tap)
{
	enum { SIZE = 4096, BASE = 0xe0000 };
	const struct acpi_machine two = { .cpus = 2 };
	uint8_t *mem = malloc(SIZE);
	uint64_t rsdp = acpi_build(mem, SIZE, BASE, &two), xsdt, entry;
	uint32_t len;
	bool good = true;
	unsigned int i;

	tap_ok(tap, rsdp == BASE && !memcmp(mem, "RSD PTR ", 8) && !sum(mem, 20) &&
	       !sum(mem, 36), "ACPI: RSDP with both sums right");
	memcpy(&xsdt, mem + 24, sizeof(xsdt));
	memcpy(&len, mem + (xsdt - BASE) + 4, sizeof(len));
	tap_ok(tap, !memcmp(mem + (xsdt - BASE), "XSDT", 4) && !sum(mem + (xsdt - BASE), len) &&
	       len == 36 + 16, "ACPI: XSDT with two entries");
	for (i = 0; i < 2; i++) {
		memcpy(&entry, mem + (xsdt - BASE) + 36 + i * 8, sizeof(entry));
		memcpy(&len, mem + (entry - BASE) + 4, sizeof(len));
		good = good && !memcmp(mem + (entry - BASE), i ? "APIC" : "FACP", 4) &&
		       !sum(mem + (entry - BASE), len);
	}
	tap_ok(tap, good, "ACPI: FADT and MADT with their sums right");
	test_acpi_disks(tap, mem, SIZE, BASE);
	tap_ok(tap, !acpi_build(mem, 512, BASE, &two) && !acpi_build(mem, 0, BASE, &two),
	       "ACPI: too little room is told");
	free(mem);
}

static struct kvm_cpuid_entry2 *leaf(struct kvm_cpuid2 *list, uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < list->nent; i++)
		if (list->entries[i].function == function && list->entries[i].index == index)
			return &list->entries[i];
	return NULL;
}

static void test_cpuid(struct tap *tap)
{
	static const struct kvm_cpuid_entry2 in[] = {
		{ .function = 1, .ebx = 0x05100800, .ecx = 1u << 27, .edx = 1u << 28 },
		{ .function = 0xb, .index = 0, .ebx = 2, .ecx = 0x100, .edx = 5 },
		{ .function = 0xb, .index = 1, .ebx = 16, .ecx = 0x201, .edx = 5 },
		{ .function = 4, .index = 0, .eax = 0x3c01c121 },
		{ .function = 7, .ebx = 0x1234 },
		{ .function = 0x80000008, .eax = 0x3030, .ecx = 0x400f },
		{ .function = 0x8000001e, .eax = 5, .ebx = 0x102, .ecx = 3 },
	};
	struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + sizeof(in));

	list->nent = sizeof(in) / sizeof(in[0]);
	memcpy(list->entries, in, sizeof(in));
	boot_fix_cpuid(list, 0, 1, true);
	tap_ok(tap, leaf(list, 1, 0)->ebx == 0x00010800 &&
	       leaf(list, 1, 0)->ecx == (1u << 31 | 1u << 24) && !leaf(list, 1, 0)->edx,
	       "CPUID: leaf 1 of the only vCPU");
	tap_ok(tap, !leaf(list, 0xb, 1)->edx && leaf(list, 0xb, 1)->ebx == 1 &&
	       leaf(list, 0xb, 0)->ebx == 1, "CPUID: topology of the only vCPU");
	tap_ok(tap, leaf(list, 4, 0)->eax == 0x121, "CPUID: caches not shared");
	tap_ok(tap, leaf(list, 7, 0)->ebx == 0x1234 && leaf(list, 0x80000008, 0)->eax == 0x3030 &&
	       !leaf(list, 0x80000008, 0)->ecx, "CPUID: the rest left alone");
	boot_fix_cpuid(list, 3, 4, false);
	tap_ok(tap, leaf(list, 1, 0)->ebx == 0x03040800 && leaf(list, 0xb, 1)->eax == 2 &&
	       leaf(list, 0xb, 1)->ebx == 4 && leaf(list, 0xb, 1)->edx == 3 &&
	       leaf(list, 0x8000001e, 0)->eax == 3, "CPUID: the fourth of four");
	free(list);
}

int main(void)
{
	struct tap tap = { 0 };

	test_bzimage(&tap);
	test_vmlinux(&tap);
	test_garbage(&tap);
	test_e820(&tap);
	test_acpi(&tap);
	test_cpuid(&tap);
	return tap_done(&tap);
}
