/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread is only woken when it sleeps, and the loop only when its list was
 * empty: under load neither costs a system call per op.
 */
#include "spool/queue.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void
move_all(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

void
queue_init(struct queue *q)
{
	pthread_condattr_t attr;

	*q = (struct queue){0};
	list_init(&q->ops);
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->wake, &attr);
	pthread_condattr_destroy(&attr);
}

void
queue_clear(struct queue *q)
{
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
}

void
queue_put(struct queue *q, struct op *op)
{
	bool wake;

	pthread_mutex_lock(&q->lock);
	list_append(&q->ops, &op->entry);
	wake = q->waiting;
	q->waiting = false;
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->wake);
}

bool
queue_take(struct queue *q, struct list *out, size_t max, size_t max_cost,
    int64_t deadline)
{
	struct timespec until = {deadline / 1000, deadline % 1000 * 1000000};
	size_t cost = 0;
	bool more;

	pthread_mutex_lock(&q->lock);
	while (list_is_empty(&q->ops) && !q->stopped) {
		q->waiting = true;
		if (pthread_cond_timedwait(&q->wake, &q->lock, &until) ==
		    ETIMEDOUT)
			break;
	}
	q->waiting = false;
	more = !list_is_empty(&q->ops) || !q->stopped;
	for (; max > 0 && cost <= max_cost && !list_is_empty(&q->ops); max--) {
		struct list *e = q->ops.next;

		cost += LIST_ITEM(e, struct op, entry)->cost;
		list_remove(e);
		list_append(out, e);
	}
	pthread_mutex_unlock(&q->lock);
	return more;
}

void
queue_stop(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopped = true;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_signal(&q->wake);
}

int
done_init(struct done *d)
{
	d->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->fd < 0)
		return errno;
	list_init(&d->ops);
	pthread_mutex_init(&d->lock, NULL);
	return 0;
}

void
done_clear(struct done *d)
{
	pthread_mutex_destroy(&d->lock);
	close(d->fd);
}

void
done_put_all(struct done *d, struct list *ops)
{
	uint64_t one = 1;
	bool first;

	if (list_is_empty(ops))
		return;
	pthread_mutex_lock(&d->lock);
	first = list_is_empty(&d->ops);
	move_all(&d->ops, ops);
	pthread_mutex_unlock(&d->lock);
	/* Only fails when the counter is full, and then it is readable. */
	while (first && write(d->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

void
done_put(struct done *d, struct op *op)
{
	struct list ops;

	list_init(&ops);
	list_append(&ops, &op->entry);
	done_put_all(d, &ops);
}

/* The event is cleared first: what comes between is taken now, and at worst
 * leaves a readable descriptor with nothing behind it. */
void
done_take(struct done *d, struct list *out)
{
	uint64_t count;

	while (read(d->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		continue;
	pthread_mutex_lock(&d->lock);
	move_all(out, &d->ops);
	pthread_mutex_unlock(&d->lock);
}
