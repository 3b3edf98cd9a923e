// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: what VMs there are, who may know, and requests that are none. */
#define _GNU_SOURCE
#include <linux/umbra.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "nl.h"
#include "nl_spec.h"
#include "vm.h"

#define CPUIDS	100
#define NOBODY	65534

static void cpuids_and_sync(void)
{
	guest_cpuids_and_sync(CPUIDS);
	guest_done();
}

static struct nl nl;

/* One VM, asked for by its number. */
static struct nl_msg get_vm(uint32_t id)
{
	struct nl_msg msg;

	nl_ask(&nl, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_VM_ID, id);
	ASSERT(nl_next(&nl, &msg) == 1);
	EXPECT_EQ(msg.cmd, UMBRA_NL_CMD_VM_GET);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_VM_ID), id);
	return msg;
}

TEST(vm, "VM_GET: maker, user, state, vCPUs, memory and mode of a VM, as they become")
{
	struct umbra_name name = { .name = "what-it-is" };
	char comm[16] = "";
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;
	uint32_t id, mode;
	FILE *f;

	nl_open(&nl);
	vm_init(&vm, VM_NO_MEMORY);
	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &mode));
	f = fopen("/proc/self/comm", "r");
	ASSERT(f && fscanf(f, "%15s", comm) == 1);
	fclose(f);
	id = nl_own_vm(&nl);
	msg = get_vm(id);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_PID), getpid());
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_UID), getuid());
	EXPECT(!strcmp(nl_text(&msg, UMBRA_NL_A_COMM), comm));
	EXPECT(!nl_has(&msg, UMBRA_NL_A_NAME));
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_STATE), UMBRA_NL_STATE_NEW);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_MMU_MODE), mode);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_VCPUS), 0);
	EXPECT_EQ(nl_u64(&msg, UMBRA_NL_A_MEMORY), 0);
	ASSERT(!ioctl(vm.fd, UMBRA_SET_NAME, &name));
	msg = get_vm(id);
	EXPECT(!strcmp(nl_text(&msg, UMBRA_NL_A_NAME), name.name));
	vm_free(&vm);

	v = vm_long_mode(&vm, 0, cpuids_and_sync);
	id = nl_own_vm(&nl);
	vcpu_run_to_sync(v, 1);
	msg = get_vm(id);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_STATE), UMBRA_NL_STATE_RUNNING);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_VCPUS), 1);
	EXPECT_EQ(nl_u64(&msg, UMBRA_NL_A_MEMORY), MEM_SIZE);
}

struct seen_vcpus {
	uint32_t vm;
	int count;
	uint32_t tid[4], mp_state[4];
};

static void note_vcpu(const struct nl_msg *msg, void *arg)
{
	struct seen_vcpus *seen = arg;
	uint32_t id = nl_u32(msg, UMBRA_NL_A_VCPU_ID);

	EXPECT_EQ(nl_u32(msg, UMBRA_NL_A_VM_ID), seen->vm);
	ASSERT(id < ARRAY_SIZE(seen->tid));
	seen->tid[id] = nl_u32(msg, UMBRA_NL_A_TID);
	seen->mp_state[id] = nl_u32(msg, UMBRA_NL_A_MP_STATE);
	seen->count++;
}

TEST(vcpus, "VCPU_GET: a VM's vCPUs, the thread that ran each, their state")
{
	struct seen_vcpus seen = { .count = 0 };
	struct vcpu *v;
	struct vm vm;

	nl_open(&nl);
	v = vm_long_mode(&vm, VM_IRQCHIP, cpuids_and_sync);
	vm_vcpu_raw(&vm, 3);
	vcpu_run_to_sync(v, 1);
	seen.vm = nl_own_vm(&nl);
	EXPECT_EQ(nl_dump(&nl, UMBRA_NL_CMD_VCPU_GET, seen.vm, note_vcpu, &seen, NULL), 0);
	EXPECT_EQ(seen.count, 2);
	EXPECT_EQ(seen.tid[0], getpid());
	EXPECT_EQ(seen.tid[3], 0);
	EXPECT_EQ(seen.mp_state[0], KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(seen.mp_state[3], KVM_MP_STATE_UNINITIALIZED);
}

struct seen_stats {
	int vms, vcpus;
	struct umbra_exit_stats want;
};

static uint64_t counter(const struct nl_msg *msg, const char *name)
{
	const struct nlattr *nest = nl_nested(msg, UMBRA_NL_A_COUNTER, UMBRA_NL_COUNTER_NAME, name);

	ASSERT_MSG(nest, "no counter %s", name);
	return nl_u64_of(nl_inside(nest, UMBRA_NL_COUNTER_VALUE));
}

static void note_stats(const struct nl_msg *msg, void *arg)
{
	const struct nlattr *nest, *buckets;
	struct seen_stats *seen = arg;

	if (!nl_has(msg, UMBRA_NL_A_VCPU_ID)) {
		seen->vms++;
		EXPECT_EQ(counter(msg, "vcpus"), 1);
		EXPECT_EQ(counter(msg, "slots"), 1);
		EXPECT_EQ(counter(msg, "memory"), MEM_SIZE);
		EXPECT(counter(msg, "mmu_table_pages") > 0);
		return;
	}
	seen->vcpus++;
	/* The kernel may have had something to do meanwhile, and have called again. */
	EXPECT(counter(msg, "runs") >= 1);
	EXPECT_EQ(counter(msg, "user_exits"), 1);
	EXPECT(counter(msg, "root_loads") > 0);
	nest = nl_nested(msg, UMBRA_NL_A_EXIT, UMBRA_NL_EXIT_NAME, "cpuid");
	ASSERT(nest);
	EXPECT_EQ(nl_u64_of(nl_inside(nest, UMBRA_NL_EXIT_COUNT)), CPUIDS);
	EXPECT_EQ(nl_u64_of(nl_inside(nest, UMBRA_NL_EXIT_TICKS)), seen->want.ticks);
	buckets = nl_inside(nest, UMBRA_NL_EXIT_BUCKETS);
	ASSERT(buckets && nl_size(buckets) == sizeof(seen->want.bucket));
	EXPECT(!memcmp(nl_data(buckets), seen->want.bucket, sizeof(seen->want.bucket)));
	EXPECT_EQ(nl_u32(msg, UMBRA_NL_A_TSC_KHZ), seen->want.tsc_khz);
	EXPECT(!nl_nested(msg, UMBRA_NL_A_EXIT, UMBRA_NL_EXIT_NAME, "hypercall"));
}

TEST(stats, "STATS_GET: a VM's figures and its vCPU's, the exits as the ioctl has them")
{
	struct seen_stats seen = { .vms = 0 };
	struct vcpu *v;
	struct vm vm;

	nl_open(&nl);
	v = vm_long_mode(&vm, 0, cpuids_and_sync);
	vcpu_run_to_sync(v, 1);
	do {
		ASSERT(!ioctl(vm.fd, UMBRA_GET_EXIT_STATS, &seen.want));
		seen.want.reason++;
	} while (strcmp(seen.want.name, "cpuid"));
	EXPECT_EQ(nl_dump(&nl, UMBRA_NL_CMD_STATS_GET, nl_own_vm(&nl), note_stats, &seen, NULL), 0);
	EXPECT_EQ(seen.vms, 1);
	EXPECT_EQ(seen.vcpus, 1);
}

/* ---- requests that are none ---- */

struct bad_request {
	const char *name;
	int err;
	uint8_t cmd;
	uint16_t flags, attr;
	uint32_t value;
};

static const struct bad_request refused[] = {
	{ "no VM named", EINVAL, UMBRA_NL_CMD_VM_GET },
	{ "VM 0", ERANGE, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_VM_ID, 0 },
	{ "a VM that there is not", ENOENT, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_VM_ID, 0x7fffffff },
	{ "a VM beyond all", ENOENT, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_VM_ID, ~0u },
	{ "a dump of VM 0", ERANGE, UMBRA_NL_CMD_STATS_GET, NLM_F_DUMP, UMBRA_NL_A_VM_ID, 0 },
	{ "a dump of a VM that there is not", ENOENT, UMBRA_NL_CMD_STATS_GET, NLM_F_DUMP,
	  UMBRA_NL_A_VM_ID, ~0u },
	{ "an attribute that is no request's", EINVAL, UMBRA_NL_CMD_VCPU_GET, NLM_F_DUMP,
	  UMBRA_NL_A_VCPU_ID, 1 },
	{ "padding", EINVAL, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_PAD, 1 },
	{ "an attribute that there is not", EINVAL, UMBRA_NL_CMD_VM_GET, NLM_F_DUMP, 0x3fff, 1 },
	{ "a number that is marked as nested", EINVAL, UMBRA_NL_CMD_VM_GET, 0,
	  UMBRA_NL_A_VM_ID | NLA_F_NESTED, 1 },
	{ "one vCPU without a dump", EOPNOTSUPP, UMBRA_NL_CMD_VCPU_GET, 0, UMBRA_NL_A_VM_ID, 1 },
	{ "statistics without a dump", EOPNOTSUPP, UMBRA_NL_CMD_STATS_GET },
	{ "command 0", EOPNOTSUPP, UMBRA_NL_CMD_UNSPEC, NLM_F_DUMP },
	{ "an event as a request", EOPNOTSUPP, UMBRA_NL_CMD_VM_GONE, 0, UMBRA_NL_A_VM_ID, 1 },
	{ "a sample as a dump", EOPNOTSUPP, UMBRA_NL_CMD_STATS, NLM_F_DUMP },
	{ "a command that there is not", EOPNOTSUPP, 0xff },
};

TEST_EACH(refused_each, "refused: ", refused, row)
{
	struct nl_msg msg;

	nl_open(&nl);
	nl_ask(&nl, row->cmd, row->flags | NLM_F_ACK, row->attr, row->value);
	EXPECT_EQ(-nl_next(&nl, &msg), row->err);
}

struct raw {
	struct nlmsghdr nlh;
	struct genlmsghdr genl;
	struct nlattr attr;
	uint32_t value, more;
};

static struct raw good(void)
{
	return (struct raw){
		.nlh = {
			.nlmsg_len = offsetof(struct raw, more), .nlmsg_type = nl.family,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
		.genl = { .cmd = UMBRA_NL_CMD_VM_GET, .version = UMBRA_NL_VERSION },
		.attr = { .nla_len = NLA_HDRLEN + 4, .nla_type = UMBRA_NL_A_VM_ID },
		.value = 1,
	};
}

static void no_genl(struct raw *raw)
{
	raw->nlh.nlmsg_len = offsetof(struct raw, genl);
}

static void half_genl(struct raw *raw)
{
	raw->nlh.nlmsg_len = offsetof(struct raw, genl) + 2;
}

static void half_value(struct raw *raw)
{
	raw->attr.nla_len -= 2;
	raw->nlh.nlmsg_len -= 2;
}

static void long_value(struct raw *raw)
{
	raw->attr.nla_len += 4;
	raw->nlh.nlmsg_len += 4;
}

static void attr_beyond(struct raw *raw)
{
	raw->attr.nla_len = 0xffff;
}

static void attr_of_nothing(struct raw *raw)
{
	raw->attr.nla_len = 0;
}

static void attr_half_header(struct raw *raw)
{
	raw->attr.nla_len = 2;
}

static void trailing(struct raw *raw)
{
	raw->nlh.nlmsg_len += 3;
}

static void reserved(struct raw *raw)
{
	raw->genl.reserved = 1;
}

static const struct {
	const char *name;
	void (*spoil)(struct raw *raw);
} malformed[] = {
	{ "no header of the family's", no_genl },
	{ "half of that header", half_genl },
	{ "half a number", half_value },
	{ "a number that is too long", long_value },
	{ "an attribute that ends behind the message", attr_beyond },
	{ "an attribute without length", attr_of_nothing },
	{ "half an attribute's header", attr_half_header },
	{ "bytes behind the last attribute", trailing },
	{ "the header's reserved bits", reserved },
};

TEST_EACH(malformed_each, "malformed is EINVAL: ", malformed, row)
{
	struct nl_msg msg;
	struct raw raw;

	nl_open(&nl);
	raw = good();
	row->spoil(&raw);
	nl_send(&nl, &raw, raw.nlh.nlmsg_len);
	EXPECT_EQ(nl_next(&nl, &msg), -EINVAL);
}

/* The length in a header may be a lie: what the kernel then does not answer, it drops. */
TEST(chance, "1,000 requests with some bytes changed by chance are answered or dropped")
{
	unsigned int i, flips;
	struct nl_msg msg;
	struct raw raw;
	uint32_t id;
	struct vm vm;

	nl_open(&nl);
	vm_init(&vm, VM_NO_MEMORY);
	id = nl_own_vm(&nl);
	srandom(1);
	for (i = 0; i < 1000; i++) {
		raw = good();
		raw.value = id;
		for (flips = random() % 4 + 1; flips; flips--)
			((uint8_t *)&raw)[random() % sizeof(raw)] ^= 1 << random() % 8;
		raw.nlh.nlmsg_type = nl.family;
		nl_send(&nl, &raw, sizeof(raw));
		while (recv(nl.fd, nl.buf, sizeof(nl.buf), MSG_DONTWAIT) > 0)
			;
	}
	nl.pos = nl.len;
	nl_ask(&nl, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_VM_ID, id);
	ASSERT(nl_next(&nl, &msg) == 1);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_PID), getpid());
}

TEST(spec, "the family's requests and groups are those of its description")
{
	char groups[64];
	unsigned int cmd;

	nl_open(&nl);
	for (cmd = 1; cmd <= UMBRA_NL_CMD_MAX; cmd++) {
		const struct nl_spec_op *op = &nl_spec_ops[cmd];

		EXPECT_MSG(!(nl.can[cmd] & GENL_CMD_CAP_DO) == !op->can_do, "do %s", op->name);
		EXPECT_MSG(!(nl.can[cmd] & GENL_CMD_CAP_DUMP) == !op->can_dump, "dump %s",
			   op->name);
	}
	snprintf(groups, sizeof(groups), "%s %s", UMBRA_NL_GROUP_EVENTS, UMBRA_NL_GROUP_STATS);
	EXPECT(!strcmp(groups, nl_spec_groups));
	EXPECT_EQ(nl.groups, 2);
}

/* ---- who may see what ---- */

static void count_by_uid(const struct nl_msg *msg, void *arg)
{
	int *count = arg;

	if (nl_has(msg, UMBRA_NL_A_UID))
		count[nl_u32(msg, UMBRA_NL_A_UID) != NOBODY]++;
	else
		count[1]++;
}

/* With a VM of his own. @roots: a VM that is not his. */
static void look_as_nobody(int sys, uint32_t roots)
{
	static struct nl own;
	int count[2] = { 0, 0 };
	struct nl_msg msg;
	int fd;

	ASSERT(!setgid(NOBODY) && !setuid(NOBODY));
	nl_open(&own);
	nl_ask(&own, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_VM_ID, roots);
	EXPECT_EQ(nl_next(&own, &msg), -ENOENT);
	EXPECT_EQ(nl_dump(&own, UMBRA_NL_CMD_STATS_GET, roots, NULL, NULL, NULL), -ENOENT);
	EXPECT_EQ(nl_dump(&own, UMBRA_NL_CMD_STATS_GET, 0, count_by_uid, count, NULL), 0);
	EXPECT_EQ(count[1], 0);
	fd = ioctl(sys, KVM_CREATE_VM, 0UL);
	ASSERT(fd >= 0);
	EXPECT_EQ(nl_dump(&own, UMBRA_NL_CMD_VM_GET, 0, count_by_uid, count, NULL), 0);
	EXPECT_EQ(count[0], 1);
	EXPECT_EQ(count[1], 0);
	EXPECT_ERR(nl_join(&own, own.events), EPERM);
	EXPECT_ERR(nl_join(&own, own.stats), EPERM);
	exit(ktap_failed());
}

TEST(unprivileged, "without privileges: one's own VMs only, as if there were no others, and no group")
{
	struct vm vm;
	uint32_t id;
	int status;
	pid_t pid;

	if (getuid())
		SKIP("wants root, to be somebody else too");
	nl_open(&nl);
	vm_init(&vm, VM_NO_MEMORY);
	id = nl_own_vm(&nl);
	pid = fork();
	ASSERT(pid >= 0);
	if (!pid)
		look_as_nobody(vm.sys, id);
	ASSERT(waitpid(pid, &status, 0) == pid);
	EXPECT_EQ(status, 0);
}

/* ---- dumps while VMs come and go ---- */

#define CROWD	48

static void count_messages(const struct nl_msg *msg, void *arg)
{
	(void)msg;
	++*(int *)arg;
}

/* Two vCPUs each: more than one of a dump's buffers holds. */
static void make_crowd(int sys, int *fds)
{
	int i;

	for (i = 0; i < CROWD; i++) {
		fds[i] = ioctl(sys, KVM_CREATE_VM, 0UL);
		ASSERT(fds[i] >= 0);
		close(ioctl(fds[i], KVM_CREATE_VCPU, 0UL));
		close(ioctl(fds[i], KVM_CREATE_VCPU, 1UL));
	}
}

TEST(dying, "VMs that end in the middle of a dump: it ends well, and says that it is inconsistent")
{
	int fds[CROWD], i, count = 0, r, sys;
	bool intr = false;
	struct nl_msg msg;

	nl_open(&nl);
	sys = dev_open();
	make_crowd(sys, fds);
	EXPECT_EQ(nl_dump(&nl, UMBRA_NL_CMD_STATS_GET, 0, count_messages, &count, &intr), 0);
	EXPECT(count >= 3 * CROWD);
	EXPECT(!intr);
	/* By a new socket, whose first buffer is small, and full when the request returns. */
	nl_close(&nl);
	nl_open(&nl);
	nl_ask(&nl, UMBRA_NL_CMD_STATS_GET, NLM_F_DUMP, 0, 0);
	for (i = 0; i < CROWD; i++)
		close(fds[i]);
	for (i = 0; (r = nl_next(&nl, &msg)) == 1; i++)
		intr |= msg.flags & NLM_F_DUMP_INTR;
	intr |= msg.flags & NLM_F_DUMP_INTR;
	EXPECT_EQ(r, 0);
	EXPECT_MSG(i > 0 && i < count, "%d of %d messages", i, count);
	EXPECT(intr);
}

TEST(left, "a dump that nobody reads on, and its socket closed")
{
	int fds[CROWD], i, sys;

	nl_open(&nl);
	sys = dev_open();
	make_crowd(sys, fds);
	nl_ask(&nl, UMBRA_NL_CMD_STATS_GET, NLM_F_DUMP, 0, 0);
	nl_close(&nl);
	for (i = 0; i < CROWD; i++)
		close(fds[i]);
}
