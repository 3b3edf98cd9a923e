// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/virtio_mmio.h>

#include "disk.h"
#include "exitcode.h"
#include "util.h"

#define PROC_LOCKS_MAX	65536

static const struct umbra_cap needed[] = {
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ 0, NULL },
};

/* --- the file ----------------------------------------------------------- */

/* The guest is told by an error of the request; the user once, by the first one. */
static int failed(struct disk *d, const char *what, int code)
{
	if (!d->complained)
		complain("--disk %s: %s: %s; the guest gets I/O errors", d->cfg->path, what,
			 strerror(-code));
	d->complained = true;
	return code;
}

/* Drop what was done from the front of the buffers. */
static void advance(struct iovec **iov, unsigned int *n, size_t done)
{
	while (*n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		++*iov;
		--*n;
	}
	if (*n) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

typedef ssize_t (*vector_io)(int fd, const struct iovec *iov, int n, off_t at);

static int transfer(struct disk *d, vector_io io, const char *what, struct iovec *iov,
		    unsigned int n, uint64_t at)
{
	advance(&iov, &n, 0);
	while (n) {
		ssize_t done = io(d->fd, iov, (int)n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		/* The end of a file that has become shorter. */
		if (done <= 0)
			return failed(d, what, done ? -errno : -EIO);
		at += (uint64_t)done;
		advance(&iov, &n, (size_t)done);
	}
	return 0;
}

static int disk_read(void *ctx, struct iovec *iov, unsigned int n, uint64_t at)
{
	return transfer(ctx, preadv, "read", iov, n, at);
}

static int disk_write(void *ctx, struct iovec *iov, unsigned int n, uint64_t at)
{
	return transfer(ctx, pwritev, "write", iov, n, at);
}

static int disk_flush(void *ctx)
{
	struct disk *d = ctx;

	if (d->cfg->readonly || !fdatasync(d->fd))
		return 0;
	return failed(d, "fdatasync", -errno);
}

/* Who holds a lock of the file, into @text. */
static void name_owner(int fd, char *text, size_t size)
{
	char *locks = malloc(PROC_LOCKS_MAX);
	unsigned int pid = 0;
	struct stat st;

	if (locks && !fstat(fd, &st) && read_text("/proc/locks", locks, PROC_LOCKS_MAX) > 0)
		pid = flock_owner(locks, st.st_dev, st.st_ino);
	if (pid)
		snprintf(text, size, "process %u", pid);
	else
		snprintf(text, size, "another process");
	free(locks);
}

static int open_file(struct disk *d, struct umbra_err *err)
{
	const char *path = d->cfg->path;
	char owner[32];

	d->fd = open(path, (d->cfg->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (d->fd < 0)
		return umbra_fail(err, errno == EACCES || errno == EPERM || errno == EROFS ?
				  UMBRA_EXIT_NOT_PERMITTED : UMBRA_EXIT_MISSING,
				  "--disk %.150s: %s%s", path, strerror(errno),
				  d->cfg->readonly ? "" : "; to only read it, append ,ro");
	/* Not OFD locks: nobody can find out who has one. */
	if (!flock(d->fd, (d->cfg->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK)
		return umbra_fail(err, UMBRA_EXIT_MISSING, "--disk %.150s: cannot be locked: %s",
				  path, strerror(errno));
	name_owner(d->fd, owner, sizeof(owner));
	return umbra_fail(err, UMBRA_EXIT_MISSING,
			  "--disk %.150s: in use by %s; end that, or give ,ro on both sides",
			  path, owner);
}

static int file_sectors(const struct disk *d, uint64_t *sectors, struct umbra_err *err)
{
	const char *path = d->cfg->path;
	struct stat st;
	off_t size;

	if (fstat(d->fd, &st) || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "--disk %.150s: neither a file nor a block device", path);
	size = lseek(d->fd, 0, SEEK_END);
	if (size <= 0 || size % BLK_SECTOR)
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "--disk %.150s: %lld bytes are not whole sectors of %d; give a raw image",
				  path, (long long)size, BLK_SECTOR);
	*sectors = (uint64_t)size / BLK_SECTOR;
	return 0;
}

/* --- the device --------------------------------------------------------- */

static void kick(void *ctx)
{
	eventfd_write(((struct disk *)ctx)->kick_fd, 1);
}

static void irq(void *ctx)
{
	eventfd_write(((struct disk *)ctx)->irq_fd, 1);
}

int disk_open(struct disk *d, const struct disk_config *cfg, const struct guest_ram *ram,
	      unsigned int index, struct umbra_err *err)
{
	uint64_t sectors = 0;
	char id[VIRTIO_BLK_ID_BYTES];
	int ret;

	*d = (struct disk){
		.cfg = cfg, .gsi = DISK_FIRST_GSI + index,
		.fd = -1, .kick_fd = -1, .irq_fd = -1,
		.host = { .ctx = d, .read = disk_read, .write = disk_write, .flush = disk_flush },
		.machine = { .ctx = d, .kick = kick, .irq = irq },
	};
	ret = open_file(d, err);
	if (!ret)
		ret = file_sectors(d, &sectors, err);
	if (ret)
		return ret;
	d->kick_fd = eventfd(0, EFD_CLOEXEC);
	d->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->kick_fd < 0 || d->irq_fd < 0)
		return umbra_fail(err, UMBRA_EXIT_INTERNAL, "eventfd: %s", strerror(errno));
	snprintf(id, sizeof(id), "umbra-disk%u", index);
	blk_init(&d->blk, &d->host, &d->machine, ram, sectors, cfg->readonly, id);
	return 0;
}

int disk_attach(struct disk *d, const struct umbra_vm *kvm, struct bus *mmio,
		struct umbra_err *err)
{
	uint64_t base = DISK_BASE + (d->gsi - DISK_FIRST_GSI) * DISK_STRIDE;
	struct kvm_ioeventfd notify = {
		.addr = base + VIRTIO_MMIO_QUEUE_NOTIFY, .len = 4, .datamatch = 0,
		.fd = d->kick_fd, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};
	struct kvm_irqfd line = { .fd = (uint32_t)d->irq_fd, .gsi = d->gsi };
	const struct umbra_cap *missing = umbra_missing_cap(kvm->fd, needed);

	if (missing)
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "%s is missing, which --disk needs; use a newer hypervisor module",
				  missing->name);
	if (bus_add(mmio, base, VIRTIO_REGS, &virtio_bus_ops, &d->blk.virtio))
		return umbra_fail(err, UMBRA_EXIT_INTERNAL, "no room for a disk at %#llx",
				  (unsigned long long)base);
	if (UMBRA_IOCTL(kvm->fd, KVM_IOEVENTFD, &notify, err) < 0 ||
	    UMBRA_IOCTL(kvm->fd, KVM_IRQFD, &line, err) < 0)
		return UMBRA_EXIT_INTERNAL;
	return 0;
}

static void *disk_main(void *arg)
{
	struct disk *d = arg;
	eventfd_t n;

	while (!eventfd_read(d->kick_fd, &n) || errno == EINTR) {
		if (atomic_load(&d->stop))
			break;
		virtio_serve(&d->blk.virtio);
	}
	return NULL;
}

int disk_start(struct disk *d)
{
	int ret = pthread_create(&d->thread, NULL, disk_main, d);

	d->started = !ret;
	return -ret;
}

void disk_stop(struct disk *d)
{
	if (!d->started)
		return;
	atomic_store(&d->stop, true);
	kick(d);
	pthread_join(d->thread, NULL);
	d->started = false;
}

void disk_write_stats(const struct disk *d, unsigned int index, FILE *to)
{
	const struct blk_stats *s = &d->blk.stats;

	fprintf(to, "disk%u_reads %llu\ndisk%u_writes %llu\ndisk%u_flushes %llu\ndisk%u_errors %llu\n",
		index, (unsigned long long)s->reads, index, (unsigned long long)s->writes,
		index, (unsigned long long)s->flushes, index, (unsigned long long)s->errors);
}

void disk_close(struct disk *d)
{
	if (d->blk.host)
		virtio_destroy(&d->blk.virtio);
	if (d->irq_fd >= 0)
		close(d->irq_fd);
	if (d->kick_fd >= 0)
		close(d->kick_fd);
	if (d->fd >= 0)
		close(d->fd);
	d->blk.host = NULL;
	d->irq_fd = -1;
	d->kick_fd = -1;
	d->fd = -1;
}
