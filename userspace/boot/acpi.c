// SPDX-License-Identifier: GPL-2.0-only
/* ACPI Specification 6.4, "ACPI Software Programming Model", for every layout here. */
#include <stdbool.h>
#include <string.h>

#include "../devices/platform.h"
#include "../devices/virtio.h"
#include "acpi.h"

#define LAPIC_BASE	0xfee00000u
#define IOAPIC_BASE	0xfec00000u

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

/* Generic Address Structure */
struct gas {
	uint8_t space;		/* 1: system I/O */
	uint8_t bits;
	uint8_t bit_offset;
	uint8_t access;		/* 1 byte, 2 word, 3 dword */
	uint64_t address;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum;	/* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct xsdt {
	struct header h;
	uint64_t entry[2];
} __attribute__((packed));

struct facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));

/* The FADT as of revision 3. */
struct fadt {
	struct header h;
	uint32_t firmware_ctrl;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk;
	uint32_t pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	uint8_t reserved2[3];
	uint64_t x_firmware_ctrl, x_dsdt;
	struct gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk;
	struct gas x_pm2_cnt_blk, x_pm_tmr_blk, x_gpe0_blk, x_gpe1_blk;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 36, "ACPI table header");
_Static_assert(sizeof(struct fadt) == 244, "FADT, revision 3");
_Static_assert(sizeof(struct facs) == 64, "FACS");
_Static_assert(sizeof(struct rsdp) == 36, "RSDP");

/* IAPC_BOOT_ARCH: ISA devices are there; no 8042, no VGA, no MSI, no ASPM. */
#define BOOT_LEGACY_DEVICES	(1u << 0)
#define BOOT_NO_VGA		(1u << 2)
#define BOOT_NO_MSI		(1u << 3)
#define BOOT_NO_ASPM		(1u << 4)

/* Fixed feature flags: WBINVD works; C1 is there; no fixed power or sleep button. */
#define FADT_WBINVD		(1u << 0)
#define FADT_PROC_C1		(1u << 2)
#define FADT_PWR_BUTTON		(1u << 4)
#define FADT_SLP_BUTTON		(1u << 5)
#define FADT_FIX_RTC		(1u << 6)	/* the clock's wake event is not in PM1 */
#define FADT_RESET_REG		(1u << 10)

#define CENTURY_REG		0x32

/* Name (\_S5, Package () { PM_S5_TYPE, PM_S5_TYPE, Zero, Zero }) */
static const uint8_t dsdt_aml[] = {
	0x08, '_', 'S', '5', '_', 0x12, 0x08, 0x04,
	0x0a, PM_S5_TYPE, 0x0a, PM_S5_TYPE, 0x00, 0x00,
};

struct madt_lapic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_lapic_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

#define MADT_PCAT_COMPAT	1u
#define INTI_ACTIVE_HIGH_LEVEL	0x0d

/* Hands out @mem from below. */
struct arena {
	uint8_t *mem;
	size_t size, used;
	uint64_t gpa;
	bool used_up;
};

static void *take(struct arena *a, size_t len, uint64_t *gpa)
{
	size_t at = (a->used + 63) & ~(size_t)63;

	*gpa = 0;
	if (at > a->size || len > a->size - at) {
		a->used_up = true;
		return NULL;
	}
	a->used = at + len;
	*gpa = a->gpa + at;
	return a->mem + at;
}

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return (uint8_t)-sum;
}

static void finish(struct header *h, const char *signature, uint8_t revision, size_t length)
{
	memcpy(h->signature, signature, sizeof(h->signature));
	h->length = (uint32_t)length;
	h->revision = revision;
	memcpy(h->oem_id, "UMBRA ", sizeof(h->oem_id));
	memcpy(h->oem_table_id, "UMBRAVM ", sizeof(h->oem_table_id));
	h->oem_revision = 1;
	memcpy(h->creator_id, "UMBR", sizeof(h->creator_id));
	h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = checksum(h, length);
}

/* Lengths in AML: of two bytes, the first with the low four bits. */
#define PKG_LENGTH(n)	(0x40 | ((n) & 0xf)), ((n) >> 4)
#define LE32(n)		((n) & 0xff), ((n) >> 8 & 0xff), ((n) >> 16 & 0xff), ((n) >> 24)

/* Scope (\\_SB) around the devices: its op, length and name */
#define SCOPE_HEAD	8
/* One device, of which build_device() fills in what differs. */
#define DEVICE_SIZE	62

/*
 * Device (VD<n>0) {
 *	Name (_HID, "LNRO0005")
 *	Name (_UID, <n>)
 *	Name (_CRS, ResourceTemplate () {
 *		Memory32Fixed (ReadWrite, <base>, 0x200)
 *		Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { <gsi> }
 *	})
 * }
 */
static void build_device(uint8_t *at, unsigned int nr, uint32_t base, uint32_t gsi)
{
	const uint8_t aml[] = {
		0x5b, 0x82, PKG_LENGTH(DEVICE_SIZE - 2), 'V', 'D', '0' + nr, '0',
		0x08, '_', 'H', 'I', 'D', 0x0d, 'L', 'N', 'R', 'O', '0', '0', '0', '5', 0x00,
		0x08, '_', 'U', 'I', 'D', 0x0a, nr,
		0x08, '_', 'C', 'R', 'S', 0x11, 26, 0x0a, 23,
		0x86, 0x09, 0x00, 0x01, LE32(base), LE32(VIRTIO_REGS),
		0x89, 0x06, 0x00, 0x03, 1, LE32(gsi),
		0x79, 0x00,
	};

	_Static_assert(sizeof(aml) == DEVICE_SIZE, "AML of a device");
	memcpy(at, aml, sizeof(aml));
}

static size_t dsdt_length(const struct acpi_machine *m)
{
	return sizeof(struct header) + sizeof(dsdt_aml) +
	       (m->disks ? SCOPE_HEAD + m->disks * DEVICE_SIZE : 0);
}

static void build_dsdt(struct header *dsdt, const struct acpi_machine *m)
{
	uint8_t *at = (uint8_t *)(dsdt + 1);
	unsigned int i, length = SCOPE_HEAD - 1 + m->disks * DEVICE_SIZE;
	const uint8_t scope[] = { 0x10, PKG_LENGTH(length), '\\', '_', 'S', 'B', '_' };

	_Static_assert(sizeof(scope) == SCOPE_HEAD, "AML of a scope");
	memcpy(at, dsdt_aml, sizeof(dsdt_aml));
	at += sizeof(dsdt_aml);
	if (m->disks) {
		memcpy(at, scope, sizeof(scope));
		at += sizeof(scope);
	}
	for (i = 0; i < m->disks; i++, at += DEVICE_SIZE)
		build_device(at, i, m->disk_base + i * m->disk_stride, m->disk_gsi + i);
	finish(dsdt, "DSDT", 2, dsdt_length(m));
}

static struct gas io_register(uint16_t port, uint8_t bits, uint8_t access)
{
	return (struct gas){ .space = 1, .bits = bits, .access = access, .address = port };
}

static void build_fadt(struct fadt *f, uint64_t facs, uint64_t dsdt)
{
	f->firmware_ctrl = (uint32_t)facs;
	f->dsdt = (uint32_t)dsdt;
	f->x_dsdt = dsdt;
	f->sci_int = PM_SCI_GSI;
	f->pm1a_evt_blk = PM_PORT + PM_EVT_OFF;
	f->pm1_evt_len = 4;
	f->pm1a_cnt_blk = PM_PORT + PM_CNT_OFF;
	f->pm1_cnt_len = 2;
	f->pm_tmr_blk = PM_PORT + PM_TMR_OFF;
	f->pm_tmr_len = 4;
	f->p_lvl2_lat = 0xffff;		/* no C2, no C3 */
	f->p_lvl3_lat = 0xffff;
	f->century = CENTURY_REG;
	f->iapc_boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_MSI | BOOT_NO_ASPM;
	f->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON |
		   FADT_FIX_RTC | FADT_RESET_REG;
	f->reset_reg = io_register(RESET_PORT, 8, 1);
	f->reset_value = RESET_VALUE;
	f->x_pm1a_evt_blk = io_register(PM_PORT + PM_EVT_OFF, 32, 2);
	f->x_pm1a_cnt_blk = io_register(PM_PORT + PM_CNT_OFF, 16, 2);
	f->x_pm_tmr_blk = io_register(PM_PORT + PM_TMR_OFF, 32, 3);
	finish(&f->h, "FACP", 3, sizeof(*f));
}

struct madt {
	struct header h;
	uint32_t lapic_address, flags;
	struct madt_ioapic ioapic;
	struct madt_override timer, sci;
	struct madt_lapic_nmi nmi;
	struct madt_lapic lapic[];
} __attribute__((packed));

static void build_madt(struct madt *m, size_t size, unsigned int cpus)
{
	unsigned int i;

	m->lapic_address = LAPIC_BASE;
	m->flags = MADT_PCAT_COMPAT;
	m->ioapic = (struct madt_ioapic){
		.type = 1, .length = sizeof(m->ioapic), .address = IOAPIC_BASE,
	};
	/* The PIT's line goes to the second pin, as on every PC. */
	m->timer = (struct madt_override){
		.type = 2, .length = sizeof(m->timer), .source = 0, .gsi = 2,
	};
	m->sci = (struct madt_override){
		.type = 2, .length = sizeof(m->sci), .source = PM_SCI_GSI, .gsi = PM_SCI_GSI,
		.flags = INTI_ACTIVE_HIGH_LEVEL,
	};
	m->nmi = (struct madt_lapic_nmi){
		.type = 4, .length = sizeof(m->nmi), .processor = 0xff, .lint = 1,
	};
	for (i = 0; i < cpus; i++)
		m->lapic[i] = (struct madt_lapic){
			.type = 0, .length = sizeof(m->lapic[i]),
			.processor = (uint8_t)i, .apic_id = (uint8_t)i, .flags = 1,
		};
	finish(&m->h, "APIC", 3, size);
}

static void build_rsdp(struct rsdp *r, uint64_t xsdt)
{
	memcpy(r->signature, "RSD PTR ", sizeof(r->signature));
	memcpy(r->oem_id, "UMBRA ", sizeof(r->oem_id));
	r->revision = 2;
	r->length = sizeof(*r);
	r->xsdt = xsdt;
	r->checksum = checksum(r, 20);
	r->extended_checksum = checksum(r, sizeof(*r));
}

uint64_t acpi_build(void *mem, size_t size, uint64_t gpa, const struct acpi_machine *machine)
{
	struct arena a = { .mem = mem, .size = size, .gpa = gpa };
	size_t madt_size = sizeof(struct madt) + machine->cpus * sizeof(struct madt_lapic);
	size_t dsdt_size = dsdt_length(machine);
	uint64_t rsdp_gpa, xsdt_gpa, facs_gpa, dsdt_gpa, fadt_gpa, madt_gpa;
	struct rsdp *rsdp = take(&a, sizeof(*rsdp), &rsdp_gpa);
	struct xsdt *xsdt = take(&a, sizeof(*xsdt), &xsdt_gpa);
	struct facs *facs = take(&a, sizeof(*facs), &facs_gpa);
	struct header *dsdt = take(&a, dsdt_size, &dsdt_gpa);
	struct fadt *fadt = take(&a, sizeof(*fadt), &fadt_gpa);
	struct madt *madt = take(&a, madt_size, &madt_gpa);

	if (a.used_up)
		return 0;
	memset(mem, 0, a.used);
	memcpy(facs->signature, "FACS", sizeof(facs->signature));
	facs->length = sizeof(*facs);
	facs->version = 1;
	build_dsdt(dsdt, machine);
	build_fadt(fadt, facs_gpa, dsdt_gpa);
	build_madt(madt, madt_size, machine->cpus);
	xsdt->entry[0] = fadt_gpa;
	xsdt->entry[1] = madt_gpa;
	finish(&xsdt->h, "XSDT", 1, sizeof(*xsdt));
	build_rsdp(rsdp, xsdt_gpa);
	return rsdp_gpa;
}
