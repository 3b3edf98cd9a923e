// SPDX-License-Identifier: GPL-2.0-only
/* Entries that the CPU refuses, and what the record of each says. */
#include <linux/umbra.h>

#include "guest.h"
#include "vm.h"

#define CPUIDS	3

static void cpuids_and_sync(void)
{
	guest_cpuids_and_sync(CPUIDS);
	guest_done();
}

/* What a row spoils: one of these three. */
struct state {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_vcpu_events events;
};

#define SPOIL(name, what)	static void name(struct state *s) { what; }
SPOIL(cs_limit, s->sregs.cs.limit = 0xffffffff; s->sregs.cs.g = 0)
SPOIL(cs_type, s->sregs.cs.type = 1)
SPOIL(ss_type, s->sregs.ss.type = 1)
SPOIL(ds_system, s->sregs.ds.s = 0)
SPOIL(fs_base, s->sregs.fs.base = BIT(62))
SPOIL(tr_limit, s->sregs.tr.limit = 0x123000; s->sregs.tr.g = 1)
SPOIL(ldt_type, s->sregs.ldt.type = 3; s->sregs.ldt.present = 1; s->sregs.ldt.unusable = 0;
      s->sregs.ldt.s = 0)
SPOIL(gdt_base, s->sregs.gdt.base = BIT(62))
SPOIL(sti_shadow, s->regs.rflags &= ~0x200ull;
      s->events.flags = KVM_VCPUEVENT_VALID_SHADOW;
      s->events.interrupt.shadow = KVM_X86_SHADOW_INT_STI)
SPOIL(no_error, s->events.exception.injected = 1; s->events.exception.nr = GP_VECTOR)

#define REFUSED_STATE	(BIT(31) | 33)
#define SEGMENTS	"Checks on Guest Segment Registers: "

static const struct row {
	const char *name;
	void (*spoil)(struct state *s);
	uint64_t reason;
	const char *check;
} rows[] = {
	{ "CS's limit", cs_limit, REFUSED_STATE, SEGMENTS "CS: limit against granularity" },
	{ "CS's type", cs_type, REFUSED_STATE, SEGMENTS "CS: type" },
	{ "SS's type", ss_type, REFUSED_STATE, SEGMENTS "SS: type" },
	{ "a system segment in DS", ds_system, REFUSED_STATE, SEGMENTS "DS: a system segment" },
	{ "FS's base", fs_base, REFUSED_STATE, SEGMENTS "FS: base is not canonical" },
	{ "TR's limit", tr_limit, REFUSED_STATE, SEGMENTS "TR: limit against granularity" },
	{ "LDTR's type", ldt_type, REFUSED_STATE, SEGMENTS "LDTR: type" },
	{ "GDTR's base", gdt_base, REFUSED_STATE,
	  "Checks on Guest Descriptor-Table Registers: GDTR or IDTR: base is not canonical" },
	{ "STI's shadow with IF 0", sti_shadow, REFUSED_STATE,
	  "Checks on Guest Non-Register State: interruptibility: STI's shadow with IF 0" },
	{ "a #GP without error code", no_error, 7,
	  "Checks on VM-Entry Control Fields: event: error code, or none, against the vector" },
};

static struct umbra_entry_failure record;

static struct state get_state(struct vcpu *v)
{
	struct state s = { .sregs = vcpu_sregs(v), .regs = vcpu_regs(v) };

	return s;
}

static void set_state(struct vcpu *v, struct state *s)
{
	ASSERT(!ioctl(v->fd, KVM_SET_SREGS, &s->sregs));
	ASSERT(!ioctl(v->fd, KVM_SET_REGS, &s->regs));
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &s->events));
}

static uint64_t field(const char *name)
{
	uint32_t i;

	for (i = 0; i < record.nr_fields; i++)
		if (!strcmp(record.field[i].name, name))
			return record.field[i].value;
	ktap_fail(__FILE__, __LINE__, "no field is called %s", name);
	return 0;
}

static void get_record(struct vcpu *v)
{
	memset(&record, 0xa5, sizeof(record));
	ASSERT(!ioctl(v->fd, UMBRA_GET_ENTRY_FAILURE, &record));
	ASSERT(record.nr_fields <= UMBRA_ENTRY_FIELDS && record.nr_exits <= UMBRA_ENTRY_EXITS);
}

/* Of every CPU's: the exits before, and the state as the guest had it. */
static void expect_record(struct vcpu *v, const struct row *row, const struct state *spoilt)
{
	uint32_t i;

	EXPECT_EQ(v->run->fail_entry.hardware_entry_failure_reason, row->reason);
	get_record(v);
	EXPECT_EQ(record.count, 1);
	EXPECT_EQ(record.reason, row->reason);
	EXPECT_MSG(!strcmp(record.check, row->check), "the check is '%s'", record.check);
	EXPECT_EQ(!!record.event, spoilt->events.exception.injected);
	EXPECT_EQ(field("guest RIP"), spoilt->regs.rip);
	EXPECT_EQ(field("guest CS"), spoilt->sregs.cs.selector);
	EXPECT_EQ(field("guest TR limit"), spoilt->sregs.tr.limit);
	/* This failure itself, the exit of guest_sync(), and the CPUIDs. */
	ASSERT(record.nr_exits >= 2 + CPUIDS);
	for (i = 0; i < CPUIDS; i++)
		EXPECT_EQ(record.exit[2 + i].reason, record.exit[2].reason);
	EXPECT(record.exit[1].reason != record.exit[2].reason);
	EXPECT_EQ(record.exit[0].rip, spoilt->regs.rip);
}

/*
 * VMX only: what VMRUN checks of this, KVM_SET_SREGS has refused before, or the backend
 * sets itself.
 */
TEST_EACH(refused, "VMX refuses, and the record names the check: ", rows, row)
{
	struct state good, bad;
	struct vm vm;
	struct vcpu *v;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	if (!cpu_is_intel())
		SKIP("SVM has no such check");
	if (restricted_guest() && !strncmp(row->check, SEGMENTS, strlen(SEGMENTS)))
		SKIP("without unrestricted guest such a state is emulated");
	v = vm_long_mode(&vm, 0, cpuids_and_sync);
	vcpu_run_to_sync(v, 1);
	EXPECT_ERR(ioctl(v->fd, UMBRA_GET_ENTRY_FAILURE, &record), ENOENT);
	/* With the port access over, which would else be done first. */
	v->run->immediate_exit = 1;
	EXPECT_ERR(vcpu_run_raw(v), EINTR);
	v->run->immediate_exit = 0;
	good = get_state(v);
	bad = good;
	row->spoil(&bad);
	set_state(v, &bad);
	vcpu_run(v);
	ASSERT_MSG(v->run->exit_reason == KVM_EXIT_FAIL_ENTRY, "exit %s",
		   exit_name(v->run->exit_reason));
	expect_record(v, row, &bad);
	EXPECT_ERR(ioctl(v->fd, UMBRA_GET_ENTRY_FAILURE, 8), EFAULT);
	/* Refused once more: the record is of the last time, and counts. */
	set_state(v, &bad);
	ASSERT(vcpu_run(v) == KVM_EXIT_FAIL_ENTRY);
	get_record(v);
	EXPECT_EQ(record.count, 2);
	EXPECT_EQ(record.exit[0].reason, record.exit[1].reason);
	/* Mended, the guest runs on. */
	good.events.flags = KVM_VCPUEVENT_VALID_SHADOW;
	set_state(v, &good);
	vcpu_run_to_end(v);
}
