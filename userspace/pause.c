// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pause.h"

int pause_init(struct pause *p)
{
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	atomic_init(&p->wanted, false);
	p->active = 0;
	p->idle_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return p->idle_fd < 0 ? -errno : 0;
}

void pause_destroy(struct pause *p)
{
	if (p->idle_fd >= 0)
		close(p->idle_fd);
	p->idle_fd = -1;
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
}

void pause_add_thread(struct pause *p)
{
	pthread_mutex_lock(&p->lock);
	p->active++;
	pthread_mutex_unlock(&p->lock);
}

/* With the lock. */
static void leave(struct pause *p)
{
	if (!--p->active)
		eventfd_write(p->idle_fd, 1);
}

void pause_drop_thread(struct pause *p)
{
	pthread_mutex_lock(&p->lock);
	leave(p);
	pthread_mutex_unlock(&p->lock);
}

void pause_park(struct pause *p, atomic_int *stop)
{
	pthread_mutex_lock(&p->lock);
	leave(p);
	while (atomic_load(&p->wanted) && !atomic_load(stop))
		pthread_cond_wait(&p->changed, &p->lock);
	p->active++;
	pthread_mutex_unlock(&p->lock);
}

static void set_wanted(struct pause *p, bool wanted)
{
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->wanted, wanted);
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

void pause_begin(struct pause *p)
{
	set_wanted(p, true);
}

void pause_end(struct pause *p)
{
	set_wanted(p, false);
}

void pause_wake(struct pause *p)
{
	/* The lock: or the thread could go to sleep between its look and our broadcast. */
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

bool pause_idle(struct pause *p)
{
	bool idle;

	pthread_mutex_lock(&p->lock);
	idle = !p->active;
	pthread_mutex_unlock(&p->lock);
	return idle;
}
