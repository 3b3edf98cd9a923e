// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_STATS_FD: a file of figures that describes itself. */
#include <fcntl.h>
#include <linux/umbra.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

static void cpuid_guest(void)
{
	uint32_t a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	guest_sync(1);
	a = 0;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	guest_done();
}

struct stats {
	int fd;
	struct kvm_stats_header header;
	size_t desc_size;
};

static void stats_open(struct stats *s, int fd)
{
	char id[64];

	s->fd = ioctl(fd, KVM_GET_STATS_FD, 0UL);
	ASSERT(s->fd >= 0);
	EXPECT_EQ(fcntl(s->fd, F_GETFD), FD_CLOEXEC);
	ASSERT(read(s->fd, &s->header, sizeof(s->header)) == sizeof(s->header));
	ASSERT(s->header.name_size <= sizeof(id));
	ASSERT(s->header.num_desc > 0);
	ASSERT(pread(s->fd, id, s->header.name_size, s->header.id_offset) ==
	       (ssize_t)s->header.name_size);
	EXPECT(!strncmp(id, "kvm-", 4));
	s->desc_size = sizeof(struct kvm_stats_desc) + s->header.name_size;
}

static struct kvm_stats_desc *stats_desc(const struct stats *s, uint32_t i)
{
	struct kvm_stats_desc *d = malloc(s->desc_size);

	ASSERT(pread(s->fd, d, s->desc_size, s->header.desc_offset + i * s->desc_size) ==
	       (ssize_t)s->desc_size);
	return d;
}

static struct kvm_stats_desc *stats_find(const struct stats *s, const char *name)
{
	struct kvm_stats_desc *d;
	uint32_t i;

	for (i = 0; i < s->header.num_desc; i++) {
		d = stats_desc(s, i);
		if (!strcmp((char *)(d + 1), name))
			return d;
		free(d);
	}
	ktap_fail(__FILE__, __LINE__, "no figure %s", name);
	ktap_end_now();
}

/* The figure of that name, which must be one u64. */
static uint64_t stats_value(const struct stats *s, const char *name)
{
	struct kvm_stats_desc *d = stats_find(s, name);
	uint64_t value = 0;

	EXPECT_EQ(d->size, 1);
	ASSERT(pread(s->fd, &value, sizeof(value), s->header.data_offset + d->offset) ==
	       sizeof(value));
	free(d);
	return value;
}

TEST(stats_vcpu, "a vCPU's figures count its exits, while it lives and after its fd is closed")
{
	struct stats s;
	uint64_t before;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cpuid_guest);

	stats_open(&s, v->fd);
	EXPECT_EQ(stats_value(&s, "cpuid_exits"), 0);
	vcpu_run_to_sync(v, 1);
	before = stats_value(&s, "cpuid_exits");
	EXPECT_EQ(before, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(stats_value(&s, "cpuid_exits"), before + 1);
	EXPECT(stats_value(&s, "cpuid_cycles") > 0);
	vcpu_free(v);
	close(vm.fd);
	EXPECT_EQ(stats_value(&s, "cpuid_exits"), before + 1);
	close(s.fd);
}

TEST(stats_skipped, "what exits is skipped by its length, whether the CPU tells it or not: nothing is emulated")
{
	struct stats s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cpuid_guest);

	if (!on_umbra())
		SKIP("these are Umbra's own");
	stats_open(&s, v->fd);
	vcpu_run_to_sync(v, 1);
	vcpu_run_to_end(v);
	EXPECT_EQ(stats_value(&s, "cpuid_exits"), 2);
	EXPECT_EQ(stats_value(&s, "io_exits"), 2);
	EXPECT_EQ(stats_value(&s, "emulated"), 0);
}

TEST(stats_vm, "a VM's figures: its vCPUs, and the pages of its tables")
{
	struct stats s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cpuid_guest);

	stats_open(&s, vm.fd);
	EXPECT_EQ(stats_value(&s, "vcpus"), 1);
	vm_vcpu_raw(&vm, 1);
	EXPECT_EQ(stats_value(&s, "vcpus"), 2);
	vcpu_run_to_sync(v, 1);
	EXPECT(stats_value(&s, "mmu_table_pages") > 0);
}

TEST(stats_histogram, "histograms: one bucket below UMBRA_GET_EXIT_STATS's, the same from there on")
{
	struct umbra_exit_stats want = { .vcpu = 0 };
	uint64_t got[UMBRA_EXIT_BUCKETS + 1];
	struct kvm_stats_desc *d;
	struct stats s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cpuid_guest);

	if (!on_umbra())
		SKIP("these are Umbra's own");
	stats_open(&s, v->fd);
	vcpu_run_to_sync(v, 1);
	do {
		ASSERT(!ioctl(vm.fd, UMBRA_GET_EXIT_STATS, &want));
		want.reason++;
	} while (strcmp(want.name, "cpuid"));
	d = stats_find(&s, "cpuid_cycles_hist");
	EXPECT_EQ(d->flags & KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_LOG_HIST);
	EXPECT_EQ(d->flags & KVM_STATS_UNIT_MASK, KVM_STATS_UNIT_CYCLES);
	EXPECT_EQ(d->bucket_size, 0);
	ASSERT(d->size == UMBRA_EXIT_BUCKETS + 1);
	ASSERT(pread(s.fd, got, sizeof(got), s.header.data_offset + d->offset) == sizeof(got));
	EXPECT_EQ(got[0], 0);
	EXPECT(!memcmp(got + 1, want.bucket, sizeof(want.bucket)));
	EXPECT_EQ(want.count, 1);
	free(d);
}

TEST(stats_pieces, "the file reads the same byte by byte, and ends where its data end")
{
	uint8_t whole[32768], byte;
	struct kvm_stats_desc *last;
	ssize_t size, i;
	struct stats s;
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, cpuid_guest);

	stats_open(&s, v->fd);
	size = pread(s.fd, whole, sizeof(whole), 0);
	last = stats_desc(&s, s.header.num_desc - 1);
	ASSERT(size == (ssize_t)(s.header.data_offset + last->offset + last->size * 8));
	free(last);
	for (i = 0; i < size; i++) {
		ASSERT(pread(s.fd, &byte, 1, i) == 1);
		if (byte != whole[i])
			ktap_fail(__FILE__, __LINE__, "byte %zd differs", i);
	}
	EXPECT_EQ(pread(s.fd, &byte, 1, size), 0);
	EXPECT_EQ(pread(s.fd, &byte, 1, 1LL << 62), 0);
	EXPECT_EQ(pread(s.fd, &byte, 0, 0), 0);
	EXPECT_ERR(pread(s.fd, &byte, 1, -1), EINVAL);
	EXPECT_ERR(pread(s.fd, (void *)~0xfffUL, 1, 0), EFAULT);
	EXPECT_ERR(write(s.fd, &byte, 1), EBADF);
}
