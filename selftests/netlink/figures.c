// SPDX-License-Identifier: GPL-2.0-only
/* Figures as files of debugfs, and what of them and others outlives a VM. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/umbra.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"
#include "nl.h"
#include "vm.h"

#define ROOT	"/sys/kernel/debug/umbra"
#define CPUIDS	50

static void cpuids_and_sync(void)
{
	guest_cpuids_and_sync(CPUIDS);
	guest_done();
}

/* The file of this process's VM. */
static void path_of(char *path, size_t size, const char *file)
{
	static struct nl nl;

	if (access(ROOT, X_OK))
		SKIP("no debugfs here, or not for us");
	nl_open(&nl);
	snprintf(path, size, ROOT "/%d-%u/%s", getpid(), nl_own_vm(&nl), file);
	nl_close(&nl);
}

static int open_of(const char *file)
{
	char path[128];
	struct stat st;
	int fd;

	path_of(path, sizeof(path), file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_MSG(fd >= 0, "%s: %s", path, strerror(errno));
	ASSERT(!fstat(fd, &st));
	EXPECT_EQ(st.st_mode & 07777, 0444);
	return fd;
}

/* What stands behind a name, which begins a line; NULL: no such line. */
static const char *line_of(int fd, const char *name)
{
	static char text[65536];
	size_t len = strlen(name), used = 0;
	ssize_t n;
	char *line;

	while ((n = pread(fd, text + used, sizeof(text) - 1 - used, used)) > 0)
		used += n;
	ASSERT(!n && used && text[used - 1] == '\n');
	text[used] = '\0';
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (!strncmp(line, name, len) && line[len] == ' ')
			return line + len + 1;
	return NULL;
}

static uint64_t value_of(int fd, const char *name)
{
	const char *text = line_of(fd, name);
	char *end;
	uint64_t value;

	ASSERT_MSG(text, "no %s", name);
	value = strtoull(text, &end, 10);
	ASSERT(!*end);
	return value;
}

TEST(files, "debugfs: a VM's figures and a vCPU's, its histogram the ioctl's")
{
	struct umbra_exit_stats want = { .vcpu = 0 };
	const char *text;
	struct vcpu *v;
	struct vm vm;
	int fd, i;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	v = vm_long_mode(&vm, 0, cpuids_and_sync);
	vcpu_run_to_sync(v, 1);
	fd = open_of("vm");
	EXPECT_EQ(value_of(fd, "vcpus"), 1);
	EXPECT_EQ(value_of(fd, "memory"), MEM_SIZE);
	close(fd);
	fd = open_of("vcpu0");
	EXPECT_EQ(value_of(fd, "cpuid_exits"), CPUIDS);
	EXPECT_EQ(value_of(fd, "user_exits"), 1);
	do {
		ASSERT(!ioctl(vm.fd, UMBRA_GET_EXIT_STATS, &want));
		want.reason++;
	} while (strcmp(want.name, "cpuid"));
	EXPECT_EQ(value_of(fd, "cpuid_cycles"), want.ticks);
	text = line_of(fd, "cpuid_cycles_hist");
	ASSERT(text);
	EXPECT_EQ(strtoull(text, (char **)&text, 10), 0);
	for (i = 0; i < UMBRA_EXIT_BUCKETS; i++)
		EXPECT_EQ(strtoull(text, (char **)&text, 10), want.bucket[i]);
	EXPECT(!*text);
	close(fd);
}

TEST(meanings, "debugfs: each figure of a VM and a vCPU has its meaning told")
{
	static char name[128], text[256];
	struct vm vm;
	int fd, told, lines = 0;
	FILE *f;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	vm_init(&vm, VM_NO_MEMORY);
	vm_vcpu_raw(&vm, 0);
	fd = open_of("vcpu0");
	told = open(ROOT "/meanings", O_RDONLY);
	ASSERT(told >= 0);
	f = fdopen(fd, "r");
	while (fscanf(f, "%100s%*[^\n]", name) == 1) {
		snprintf(text, sizeof(text), "vcpu %s:", name);
		EXPECT_MSG(line_of(told, text), "%s is not explained", name);
		lines++;
	}
	EXPECT(lines > 20);
	EXPECT(line_of(told, "vm vcpus:"));
	fclose(f);
}

TEST(write, "debugfs: nothing can be written")
{
	char path[128];
	struct vm vm;
	int fd;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	vm_init(&vm, VM_NO_MEMORY);
	path_of(path, sizeof(path), "vm");
	/* Root may open anything. */
	fd = open(path, O_WRONLY | O_CLOEXEC);
	EXPECT(fd < 0 || write(fd, "1", 1) < 0);
}

/* ---- files that outlive the VM ---- */

TEST(outlive, "files held open while their VM ends (70): debugfs's are EIO, the stats fds keep it")
{
	static struct nl nl;
	int vm_file, vcpu_file, stats, vcpu_stats;
	char byte;
	struct nl_msg msg;
	struct vcpu *v;
	struct vm vm;
	uint32_t id;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	nl_open(&nl);
	v = vm_long_mode(&vm, 0, cpuids_and_sync);
	vcpu_run_to_sync(v, 1);
	id = nl_own_vm(&nl);
	vm_file = open_of("vm");
	vcpu_file = open_of("vcpu0");
	stats = ioctl(vm.fd, KVM_GET_STATS_FD, 0UL);
	vcpu_stats = ioctl(v->fd, KVM_GET_STATS_FD, 0UL);
	ASSERT(stats >= 0 && vcpu_stats >= 0);
	vm_free(&vm);
	/* A stats fd is one of the VM's: it is there as long as one is open. */
	EXPECT_EQ(value_of(vcpu_file, "cpuid_exits"), CPUIDS);
	EXPECT_EQ(nl_own_vm(&nl), id);
	close(stats);
	EXPECT_EQ(pread(vcpu_stats, &byte, 1, 0), 1);
	close(vcpu_stats);
	EXPECT_ERR(pread(vm_file, &byte, 1, 0), EIO);
	EXPECT_ERR(pread(vcpu_file, &byte, 1, 0), EIO);
	nl_ask(&nl, UMBRA_NL_CMD_VM_GET, 0, UMBRA_NL_A_VM_ID, id);
	EXPECT_EQ(nl_next(&nl, &msg), -ENOENT);
	close(vm_file);
	close(vcpu_file);
}

/* What reads all files below debugfs's directory, over and over. */
static volatile bool stop;
static volatile unsigned long reads;

static void read_all(const char *dir)
{
	char path[512], buf[4096];
	struct dirent *e;
	DIR *d = opendir(dir);
	ssize_t n;
	int fd;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_type == DT_DIR) {
			read_all(path);
			continue;
		}
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			reads += !!strcmp(dir, ROOT);
		if (n < 0)
			EXPECT_EQ(errno, EIO);
		close(fd);
	}
	if (d)
		closedir(d);
}

static void *reader(void *unused)
{
	(void)unused;
	while (!stop)
		read_all(ROOT);
	return NULL;
}

TEST(race, "debugfs read while its VMs come and go (70): figures, EIO, or no file")
{
	int vm, i, rounds = ktap_env("KTAP_SLOWER", 1) > 1 ? 30 : 200;
	pthread_t thread;
	struct vm first;

	if (!on_umbra())
		SKIP("these are Umbra's own");
	if (access(ROOT, X_OK))
		SKIP("no debugfs here, or not for us");
	vm_init(&first, VM_NO_MEMORY);
	ASSERT(!pthread_create(&thread, NULL, reader, NULL));
	for (i = 0; i < rounds || !reads; i++) {
		vm = ioctl(first.sys, KVM_CREATE_VM, 0UL);
		ASSERT(vm >= 0);
		close(ioctl(vm, KVM_CREATE_VCPU, 0UL));
		close(vm);
	}
	stop = true;
	ASSERT(!pthread_join(thread, NULL));
	ktap_diag("%lu reads", reads);
}
