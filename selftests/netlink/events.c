// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: what happens to VMs, in order, with what was lost. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/umbra.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "guest.h"
#include "nl.h"
#include "vm.h"

#define PATIENCE_S	60

static struct nl nl;

static void listen_to(struct nl *l, uint32_t group)
{
	struct timeval patience = { .tv_sec = PATIENCE_S * ktap_env("KTAP_SLOWER", 1) };

	if (getuid())
		SKIP("wants root, who may listen");
	ASSERT(!setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)));
	EXPECT_OK(nl_join(l, group));
}

/* By another socket, where no events come between. */
static uint32_t own_vm(void)
{
	static struct nl asker;
	uint32_t id;

	nl_open(&asker);
	id = nl_own_vm(&asker);
	nl_close(&asker);
	return id;
}

/* The next event, of any VM, which must have the next number. */
static struct nl_msg next_event(void)
{
	static uint64_t last;
	struct nl_msg msg;
	uint64_t seq;

	ASSERT(nl_next(&nl, &msg) == 1);
	seq = nl_u64(&msg, UMBRA_NL_A_SEQ);
	EXPECT_MSG(!last || seq == last + 1, "event %llu comes after %llu",
		   (unsigned long long)seq, (unsigned long long)last);
	last = seq;
	return msg;
}

/* The next event of VM @id; 0: of whichever is new. */
static struct nl_msg event_of(uint32_t id)
{
	struct nl_msg msg;

	do {
		msg = next_event();
	} while (id ? nl_u32(&msg, UMBRA_NL_A_VM_ID) != id : msg.cmd != UMBRA_NL_CMD_VM_NEW ||
		 nl_u32(&msg, UMBRA_NL_A_PID) != (uint32_t)getpid());
	return msg;
}

static void sync_and_end(void)
{
	guest_sync(1);
	guest_done();
}

TEST(life, "a VM's life: new, named, vCPU, running, its thread, vCPU gone, gone; numbered in order")
{
	static const uint8_t want[] = {
		UMBRA_NL_CMD_VM_STATE, UMBRA_NL_CMD_VCPU_NEW, UMBRA_NL_CMD_VM_STATE,
		UMBRA_NL_CMD_VCPU_STATE, UMBRA_NL_CMD_VCPU_GONE, UMBRA_NL_CMD_VM_GONE,
	};
	struct umbra_name name = { .name = "life" };
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;
	uint32_t id;
	unsigned int i;

	nl_open(&nl);
	listen_to(&nl, nl.events);
	vm_init(&vm, 0);
	ASSERT(!ioctl(vm.fd, UMBRA_SET_NAME, &name));
	v = vm_vcpu(&vm, 0);
	vcpu_long_mode(v, sync_and_end);
	vcpu_run_to_sync(v, 1);
	vm_free(&vm);
	msg = event_of(0);
	id = nl_u32(&msg, UMBRA_NL_A_VM_ID);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_STATE), UMBRA_NL_STATE_NEW);
	EXPECT(!nl_has(&msg, UMBRA_NL_A_NAME));
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		msg = event_of(id);
		EXPECT_EQ(msg.cmd, want[i]);
		EXPECT(!strcmp(nl_text(&msg, UMBRA_NL_A_NAME), "life"));
		if (msg.cmd == UMBRA_NL_CMD_VCPU_STATE)
			EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_TID), getpid());
		if (i == 2)
			EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_STATE), UMBRA_NL_STATE_RUNNING);
	}
}

static void triple_fault(void)
{
	static struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none;

	asm volatile("lidt %0; ud2" : : "m"(none));
}

/* Of this VM, what is of @cmd. */
static struct nl_msg event_like(uint32_t id, uint8_t cmd)
{
	struct nl_msg msg;

	do {
		msg = event_of(id);
	} while (msg.cmd != cmd);
	return msg;
}

TEST(shutdown, "a triple fault: VM and vCPU")
{
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;

	host_needs("svm-shutdown");
	nl_open(&nl);
	listen_to(&nl, nl.events);
	v = vm_long_mode(&vm, 0, triple_fault);
	EXPECT_EQ(vcpu_run(v), KVM_EXIT_SHUTDOWN);
	msg = event_like(own_vm(), UMBRA_NL_CMD_TRIPLE_FAULT);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_VCPU_ID), 0);
}

TEST(mode, "another MMU mode: the new one and the old one; the same one again is no event")
{
	struct umbra_info info;
	uint32_t mode, old, id;
	struct nl_msg msg;
	struct vm vm;

	nl_open(&nl);
	listen_to(&nl, nl.events);
	vm_init(&vm, VM_NO_MEMORY);
	id = own_vm();
	ASSERT(!ioctl(vm.sys, UMBRA_GET_INFO, &info));
	ASSERT(!ioctl(vm.fd, UMBRA_GET_MMU, &old));
	for (mode = UMBRA_MMU_HARDWARE; mode <= UMBRA_MMU_SHADOW_EAGER; mode++)
		if (mode != old && (info.modes & 1u << mode))
			break;
	if (mode > UMBRA_MMU_SHADOW_EAGER)
		SKIP("there is but one mode here");
	ASSERT(!ioctl(vm.fd, UMBRA_SET_MMU, &mode));
	ASSERT(!ioctl(vm.fd, UMBRA_SET_MMU, &mode));
	vm_free(&vm);
	msg = event_like(id, UMBRA_NL_CMD_MMU_MODE);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_MMU_MODE), mode);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_OLD_MMU_MODE), old);
	msg = event_of(id);
	EXPECT_EQ(msg.cmd, UMBRA_NL_CMD_VM_GONE);
}

/* VMX looks at an event to inject: a #GP must have an error code. */
TEST(refused, "an entry that the CPU refuses: reason, and the check that failed")
{
	struct kvm_vcpu_events ev;
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;

	if (!cpu_is_intel())
		SKIP("SVM has no such check");
	nl_open(&nl);
	listen_to(&nl, nl.events);
	v = vm_long_mode(&vm, 0, sync_and_end);
	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev));
	ev.exception.injected = 1;
	ev.exception.nr = 13;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev));
	ASSERT(vcpu_run(v) == KVM_EXIT_FAIL_ENTRY);
	msg = event_like(own_vm(), UMBRA_NL_CMD_ENTRY_FAILED);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_VCPU_ID), 0);
	EXPECT_EQ(nl_u64(&msg, UMBRA_NL_A_REASON), v->run->fail_entry.hardware_entry_failure_reason);
	EXPECT(strstr(nl_text(&msg, UMBRA_NL_A_CHECK), "error code"));
}

/* A triple fault that the VMM asks for: no guest runs. */
static void ask_triple_fault(struct vcpu *v)
{
	struct kvm_vcpu_events ev;

	ASSERT(!ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev));
	ev.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	ev.triple_fault.pending = 1;
	ASSERT(!ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev));
	ASSERT(vcpu_run(v) == KVM_EXIT_SHUTDOWN);
}

/* How many of VM @id's wait: they were sent before the calls that caused them returned. */
static unsigned int waiting(uint32_t id, uint8_t cmd)
{
	struct pollfd p = { .fd = nl.fd, .events = POLLIN };
	unsigned int count = 0;
	struct nl_msg msg;

	while (poll(&p, 1, 0) == 1) {
		msg = next_event();
		count += msg.cmd == cmd && nl_u32(&msg, UMBRA_NL_A_VM_ID) == id;
	}
	return count;
}

/* So many of a flood must be lost. */
#define LOSSES	20

TEST(flood, "a flood of triple faults: each one arrives or counts as lost, no number is missing")
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT, .args = { 1 } };
	unsigned int got = 0, all = 0;
	uint64_t lost_before;
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;
	uint32_t id;

	nl_open(&nl);
	listen_to(&nl, nl.events);
	vm_init(&vm, 0);
	ASSERT(!ioctl(vm.fd, KVM_ENABLE_CAP, &cap));
	v = vm_vcpu(&vm, 0);
	id = own_vm();
	msg = event_like(id, UMBRA_NL_CMD_VM_NEW);
	lost_before = nl_u64(&msg, UMBRA_NL_A_LOST);
	while (all - got < LOSSES) {
		ask_triple_fault(v);
		all++;
		got += waiting(id, UMBRA_NL_CMD_TRIPLE_FAULT);
	}
	EXPECT(got > 0);
	vm_free(&vm);
	msg = event_like(id, UMBRA_NL_CMD_VM_GONE);
	EXPECT_EQ(nl_u64(&msg, UMBRA_NL_A_LOST) - lost_before, all - got);
}

static void put_parameter(const char *text)
{
	int fd = open("/sys/module/umbra/parameters/stats_interval_ms", O_WRONLY | O_CLOEXEC);

	ASSERT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* The next sample of VM @id; samples have numbers of their own, which follow each other. */
static struct nl_msg sample_of(uint32_t id)
{
	static uint64_t last;
	struct nl_msg msg;
	uint64_t seq;

	do {
		ASSERT(nl_next(&nl, &msg) == 1);
		EXPECT_EQ(msg.cmd, UMBRA_NL_CMD_STATS);
		seq = nl_u64(&msg, UMBRA_NL_A_SEQ);
		EXPECT(!last || seq == last + 1);
		last = seq;
	} while (nl_u32(&msg, UMBRA_NL_A_VM_ID) != id);
	return msg;
}

static const struct nlattr *io_exits(const struct nl_msg *msg)
{
	return nl_nested(msg, UMBRA_NL_A_EXIT, UMBRA_NL_EXIT_NAME, "io");
}

TEST(samples, "group stats: figures of a VM come by themselves, numbered, and are those of the ioctl")
{
	const struct nlattr *nest;
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;
	uint32_t id;
	int i;

	nl_open(&nl);
	listen_to(&nl, nl.stats);
	put_parameter("100");
	v = vm_long_mode(&vm, 0, sync_and_end);
	id = own_vm();
	vcpu_run_to_sync(v, 1);
	/* The first ones may be older than what the guest did. */
	do {
		msg = sample_of(id);
	} while (!io_exits(&msg));
	for (i = 0; i < 2; i++) {
		nest = nl_nested(&msg, UMBRA_NL_A_COUNTER, UMBRA_NL_COUNTER_NAME, "vcpus");
		ASSERT(nest);
		EXPECT_EQ(nl_u64_of(nl_inside(nest, UMBRA_NL_COUNTER_VALUE)), 1);
		nest = io_exits(&msg);
		ASSERT(nest);
		EXPECT_EQ(nl_u64_of(nl_inside(nest, UMBRA_NL_EXIT_COUNT)), 1);
		EXPECT(!nl_inside(nest, UMBRA_NL_EXIT_BUCKETS));
		msg = sample_of(id);
	}
	put_parameter("1000");
}

static void fetch_hole(void)
{
	asm volatile("call *%0" : : "r"(GPA_HOLE) : "memory");
	guest_done();
}

TEST(internal, "an internal error: its number, that of the run page")
{
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;

	nl_open(&nl);
	listen_to(&nl, nl.events);
	v = vm_long_mode(&vm, 0, fetch_hole);
	ASSERT(vcpu_run(v) == KVM_EXIT_INTERNAL_ERROR);
	msg = event_like(own_vm(), UMBRA_NL_CMD_INTERNAL_ERROR);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_VCPU_ID), 0);
	EXPECT_EQ(nl_u32(&msg, UMBRA_NL_A_SUBERROR), v->run->internal.suberror);
}

/* ---- listeners that are too slow ---- */

#define VMS		64
#define LISTENERS	8

static bool is_own(const struct nl_msg *msg)
{
	return nl_u32(msg, UMBRA_NL_A_PID) == (uint32_t)getpid();
}

static void count_own(const struct nl_msg *msg, void *arg)
{
	*(int *)arg += is_own(msg);
}

static int own_vms(void)
{
	static struct nl asker;
	int count = 0;

	nl_open(&asker);
	ASSERT(!nl_dump(&asker, UMBRA_NL_CMD_VM_GET, 0, count_own, &count, NULL));
	nl_close(&asker);
	return count;
}

/* One that hears all: what it heard of this process's VMs, in the order of their numbers. */
struct heard {
	struct nl nl;
	uint64_t seq, events, missing, overruns;
	unsigned int born, died;
	uint32_t alive[VMS];
	unsigned int nr_alive;
};

static void hear_birth(struct heard *h, uint32_t id)
{
	ASSERT(h->nr_alive < VMS);
	h->alive[h->nr_alive++] = id;
	h->born++;
}

static void hear_death(struct heard *h, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < h->nr_alive && h->alive[i] != id; i++)
		;
	/* One whose birth was missed may be told dead. */
	EXPECT(i < h->nr_alive || h->missing);
	if (i < h->nr_alive)
		h->alive[i] = h->alive[--h->nr_alive];
	h->died++;
}

static void hear(struct heard *h, const struct nl_msg *msg)
{
	uint64_t seq = nl_u64(msg, UMBRA_NL_A_SEQ);

	if (h->events++) {
		EXPECT_MSG(seq > h->seq, "%llu after %llu", (unsigned long long)seq,
			   (unsigned long long)h->seq);
		h->missing += seq - h->seq - 1;
	}
	h->seq = seq;
	if (h->missing)
		h->nr_alive = 0;
	if (msg->cmd == UMBRA_NL_CMD_VM_NEW && is_own(msg))
		hear_birth(h, nl_u32(msg, UMBRA_NL_A_VM_ID));
	else if (msg->cmd == UMBRA_NL_CMD_VM_GONE && is_own(msg))
		hear_death(h, nl_u32(msg, UMBRA_NL_A_VM_ID));
}

/* Everything that waits in its queue. */
static void hear_out(struct heard *h)
{
	struct nl_msg msg;
	int r;

	while ((r = nl_next(&h->nl, &msg)) != -EAGAIN) {
		if (r == -ENOBUFS)
			h->overruns++;
		else if (r == 1)
			hear(h, &msg);
		else
			ASSERT_MSG(false, "%s", strerror(-r));
	}
}

static void start_hearing(struct heard *h, int room)
{
	nl_open(&h->nl);
	ASSERT(!setsockopt(h->nl.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	ASSERT(!fcntl(h->nl.fd, F_SETFL, O_NONBLOCK));
	EXPECT_OK(nl_join(&h->nl, h->nl.events));
}

static struct heard fast, slow[LISTENERS];

TEST_SECONDS(crowd, "64 VMs made and dropped, again and again, with 8 listeners that are too slow: in order, losses told, nothing left", 120)
{
	int sys, fds[VMS], round, i, rounds = ktap_env("KTAP_SLOWER", 1) > 1 ? 2 : 10;

	if (getuid())
		SKIP("wants root, who may listen");
	start_hearing(&fast, 1 << 24);
	for (i = 0; i < LISTENERS; i++)
		start_hearing(&slow[i], 4096);
	sys = dev_open();
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < VMS; i++) {
			fds[i] = ioctl(sys, KVM_CREATE_VM, 0UL);
			ASSERT(fds[i] >= 0);
		}
		EXPECT_EQ(own_vms(), VMS);
		hear_out(&slow[round % LISTENERS]);
		for (i = 0; i < VMS; i++)
			close(fds[i]);
	}
	EXPECT_EQ(own_vms(), 0);
	hear_out(&fast);
	EXPECT_EQ(fast.missing, 0);
	EXPECT_EQ(fast.overruns, 0);
	EXPECT_EQ(fast.born, rounds * VMS);
	EXPECT_EQ(fast.died, rounds * VMS);
	EXPECT_EQ(fast.nr_alive, 0);
	for (i = 0; i < LISTENERS; i++) {
		hear_out(&slow[i]);
		EXPECT(slow[i].overruns > 0);
		EXPECT(slow[i].events < fast.events);
	}
	/* With room again, the next event's number says how many were missed before it. */
	close(ioctl(sys, KVM_CREATE_VM, 0UL));
	hear_out(&fast);
	for (i = 0; i < LISTENERS; i++) {
		hear_out(&slow[i]);
		EXPECT(slow[i].missing > 0);
		EXPECT_EQ(slow[i].events + slow[i].missing, fast.events);
		EXPECT_EQ(slow[i].seq, fast.seq);
	}
}
