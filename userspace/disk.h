/* SPDX-License-Identifier: GPL-2.0-only */
/* --disk: a file or block device behind a virtio block device, with a thread of its own. */
#ifndef UMBRA_DISK_H
#define UMBRA_DISK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "devices/blk.h"
#include "lib/libumbra.h"

/* Each has an I/O APIC pin of its own. */
#define DISKS_MAX	8
#define DISK_FIRST_GSI	16
#define DISK_BASE	0xfeb00000u
#define DISK_STRIDE	0x1000u

/** struct disk_config - @path: what --disk named */
struct disk_config {
	const char *path;
	bool readonly;
};

/*
 * [C] constant once its thread runs, [D] that thread's alone.
 * struct disk - a disk of the VM
 * @kick_fd: an eventfd: the guest has put something in the queue, or @stop is set
 * @irq_fd: an eventfd that the hypervisor turns into an edge of the interrupt
 */
struct disk {
	const struct disk_config *cfg;	/* C */
	struct blk blk;			/* has a lock of its own */
	struct blk_host host;		/* C */
	struct virtio_host machine;	/* C */
	unsigned int gsi;		/* C */
	int fd, kick_fd, irq_fd;	/* C */
	bool complained;		/* D */
	atomic_bool stop;
	pthread_t thread;		/* the main thread's */
	bool started;			/* the main thread's */
};

/**
 * disk_open() - open and lock the file, and make the device
 * @ram: the guest's memory, as it will be; @index: which of the VM's disks
 *
 * Return: 0, or an exit code with one line in @err. disk_close() either way.
 */
int disk_open(struct disk *d, const struct disk_config *cfg, const struct guest_ram *ram,
	      unsigned int index, struct umbra_err *err);

/**
 * disk_attach() - connect the device to the VM, by KVM_IOEVENTFD and KVM_IRQFD
 *
 * Return: 0, or an exit code with one line in @err.
 */
int disk_attach(struct disk *d, const struct umbra_vm *kvm, struct bus *mmio,
		struct umbra_err *err);

/** disk_start() - start its thread. Return: 0 or a negative errno. */
int disk_start(struct disk *d);

/** disk_stop() - end its thread, if it has one, after the request that it is in. */
void disk_stop(struct disk *d);

/** disk_write_stats() - what the disk did, as lines of --stats; once its thread has ended. */
void disk_write_stats(const struct disk *d, unsigned int index, FILE *to);

/** disk_close() - unlock and close. */
void disk_close(struct disk *d);

#endif
