/* SPDX-License-Identifier: GPL-2.0-only */
/* A virtual machine: everything that belongs to one stands in its struct vm. */
#ifndef UMBRA_VM_H
#define UMBRA_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "boot/boot.h"
#include "control.h"
#include "devices/board.h"
#include "devices/bus.h"
#include "devices/platform.h"
#include "devices/rtc.h"
#include "devices/uart.h"
#include "disk.h"
#include "lib/libumbra.h"
#include "pause.h"
#include "refusal.h"
#include "port.h"

/** struct vm_config - what the command line asked for */
struct vm_config {
	const char *dev;
	const char *kernel;
	const char *initrd;	/* or NULL */
	const char *cmdline;
	const char *mmu;
	const char *name;
	const char *console;	/* "stdio", "pty" or "file=F" */
	const char *channel;	/* or NULL */
	const char *stats;	/* or NULL */
	uint64_t memory;	/* bytes */
	unsigned int cpus;
	unsigned int disk_count;
	struct disk_config disks[DISKS_MAX];
};

/**
 * struct vcpu_stats - counted by the vCPU's thread, read once it has ended
 * @start_ns, @end_ns: CLOCK_MONOTONIC at the first KVM_RUN and after the last one
 */
struct vcpu_stats {
	uint64_t exits;
	uint64_t io;
	uint64_t mmio;
	uint64_t interrupted;
	uint64_t start_ns;
	uint64_t end_ns;
};

#define EXIT_REASONS_MAX	64

/**
 * struct mark_exits - all vCPUs' exits when the guest wrote a mark; an empty name ends them
 * @total: of stock KVM, which does not tell them apart
 */
struct mark_exits {
	uint64_t total;
	struct {
		char name[16];
		uint64_t count, ticks;
	} by[EXIT_REASONS_MAX];
};

/*
 * [C] constant once the vCPUs' threads run, [V] the vCPU's thread's alone until it
 * has ended, [M] the main thread's alone, [A] atomic, [O] has a lock of its own.
 */

/** struct vcpu_figures - stock KVM's file of a vCPU's figures. @exits: where their number stands */
struct vcpu_figures {
	int fd;			/* -1: none */
	uint64_t exits;
};

/** struct vcpu - a vCPU and its thread */
struct vcpu {
	struct vm *vm;			/* C */
	struct umbra_vcpu kvm;		/* C; its run page is V, but for immediate_exit */
	struct vcpu_figures figures;	/* C */
	struct vcpu_stats stats;	/* V */
	pthread_t thread;		/* M */
};

struct vm {
	const struct vm_config *cfg;	/* C */
	struct umbra_vm kvm;		/* C */
	struct vcpu *vcpus;		/* C: cfg->cpus of them */
	unsigned int started;		/* M: how many have a thread */
	struct guest_ram ram;		/* C */
	void *map;			/* C: the mapping that ram stands in */
	size_t map_size;		/* C */
	struct board board;		/* C */
	struct bus pio, mmio;		/* C, their counts A */
	struct rtc_host rtc_host;	/* C */
	int rtc_timer;			/* C: timerfd of the clock's next second */
	struct pm pm;			/* A */
	struct mark mark;		/* A */
	struct mark_exits mark_exits[MARKS_MAX]; /* V, of the vCPU that wrote the mark */
	struct vcpu_stats stats;	/* M: the sum, once the threads have ended */
	char stop_text[256];		/* V, of the vCPU that stopped the VM */
	char refusal[REFUSAL_MAX];	/* V, of that one: the record of a failed entry, or empty */
	struct uart com1, com2;		/* O */
	struct rtc rtc;			/* O */
	struct port console, channel;	/* M */
	struct disk disks[DISKS_MAX];	/* O */
	unsigned int disks_open;	/* C */
	char name[64];			/* C */
	struct control control;		/* M */
	struct pause pause;		/* O */
	atomic_int stop;		/* A: enum stop_why */
	int done_fd;			/* C: eventfd, written when a vCPU's thread ends */
};

/**
 * vm_create() - a VM with its memory, devices and loaded guest, not running yet
 *
 * Return: 0, or an exit code with one line written to @err. vm_destroy() either way.
 */
int vm_create(struct vm *vm, const struct vm_config *cfg, struct umbra_err *err);

/**
 * vm_start() - run each vCPU in a thread of its own
 *
 * Return: 0, or a negative errno with no thread left.
 */
int vm_start(struct vm *vm);

/**
 * vm_stop() - have the VM end, for this reason if it is the first; any thread
 *
 * The vCPU that calls it ends next; the others must be kicked.
 *
 * Return: whether it is the first.
 */
bool vm_stop(struct vm *vm, enum stop_why why);

/**
 * vm_kick() - make all vCPUs' threads look at what they were told, in KVM_RUN or parked;
 * the main thread.
 */
void vm_kick(struct vm *vm);

/** vm_join() - wait for all vCPUs' threads to end, which were told to. */
void vm_join(struct vm *vm);

/** vm_destroy() - undo vm_create(), as far as it came. */
void vm_destroy(struct vm *vm);

/** vm_loop() - the main thread's work until the VM has ended. Return: 0 or a negative errno. */
int vm_loop(struct vm *vm);

/** vm_run_vcpu() - the body of a vCPU's thread: enter, and answer exits. */
void vm_run_vcpu(struct vcpu *vcpu);

/** vm_marks_open() - where stock KVM counts its vCPUs' exits, if it does; before they run. */
void vm_marks_open(struct vm *vm);

/** vm_mark() - of a byte at the measurement port: count the exits until now; a vCPU's thread. */
void vm_mark(void *ctx, unsigned int nr);

/** vm_marks_write() - the measurement port's bytes as lines of --stats; once all threads have ended. */
void vm_marks_write(const struct vm *vm, FILE *to);

/** vm_write_stats() - write the measurements to a file. Return: 0 or a negative errno. */
int vm_write_stats(const struct vm *vm, const char *path);

#endif
