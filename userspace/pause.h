/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Holding the vCPUs' threads between two entries into the guest.
 *
 * A thread looks at pause_wanted() before each KVM_RUN and parks itself; whoever
 * wants the pause kicks the threads out of KVM_RUN after pause_begin().  A kick
 * that comes before the look is seen by the look, one that comes after it ends
 * KVM_RUN by the run page's immediate_exit, which the thread clears before it looks.
 */
#ifndef UMBRA_PAUSE_H
#define UMBRA_PAUSE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/**
 * struct pause - whether the VM is to stand still, and how far it is
 * @lock: guards @active; a leaf
 * @changed: signalled when a parked thread must look again
 * @wanted: written by the main thread alone, under @lock
 * @active: threads that may be in KVM_RUN: neither parked nor ended
 * @idle_fd: an eventfd, written when @active becomes 0
 */
struct pause {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	atomic_bool wanted;
	unsigned int active;
	int idle_fd;
};

/** pause_init() - nothing is paused and no thread is there. Return: 0 or a negative errno. */
int pause_init(struct pause *p);

/** pause_destroy() - no thread uses it any more; harmless on one that pause_init() refused. */
void pause_destroy(struct pause *p);

/** pause_add_thread() - one more vCPU's thread; called before it is created. */
void pause_add_thread(struct pause *p);

/** pause_drop_thread() - it has ended, or could not be created. */
void pause_drop_thread(struct pause *p);

/** pause_wanted() - whether the calling thread has to park. */
static inline bool pause_wanted(struct pause *p)
{
	return atomic_load(&p->wanted);
}

/** pause_park() - wait for the end of the pause, or until *@stop is not 0 and pause_wake() came. */
void pause_park(struct pause *p, atomic_int *stop);

/** pause_begin() - from now on threads park; kick them. */
void pause_begin(struct pause *p);

/** pause_end() - the parked threads go on. */
void pause_end(struct pause *p);

/** pause_wake() - parked threads look at their stop word; it was set before. */
void pause_wake(struct pause *p);

/** pause_idle() - whether no thread can be in KVM_RUN; it stays so while the pause lasts. */
bool pause_idle(struct pause *p);

#endif
