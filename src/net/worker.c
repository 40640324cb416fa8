/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock guards the two lists and `stops`; a job belongs to the thread while
 * it is in neither.
 */
#include "net/worker.h"

#include "os/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job {
	struct list entry;
	const struct worker_job *ops;
	void *arg;
};

struct worker {
	struct loop_watch *watch;
	int fd; /* tells the loop that jobs are done */
	unsigned max, count;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list waiting, done;
	bool stops;
};

static struct job *
first(struct list *l)
{
	return list_is_empty(l) ? NULL : LIST_ITEM(l->next, struct job, entry);
}

static void
wake_loop(struct worker *w)
{
	const uint64_t one = 1;

	/* A full counter wakes the loop as well. */
	while (write(w->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct job *job;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while ((job = first(&w->waiting)) == NULL && !w->stops)
			pthread_cond_wait(&w->changed, &w->lock);
		if (job == NULL)
			break;
		list_remove(&job->entry);
		pthread_mutex_unlock(&w->lock);
		job->ops->run(job->arg);
		pthread_mutex_lock(&w->lock);
		list_append(&w->done, &job->entry);
		wake_loop(w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static struct job *
take_done(struct worker *w)
{
	struct job *job;

	pthread_mutex_lock(&w->lock);
	job = first(&w->done);
	if (job != NULL) {
		list_remove(&job->entry);
		w->count--;
	}
	pthread_mutex_unlock(&w->lock);
	return job;
}

static void
on_done(void *arg, int64_t now)
{
	struct worker *w = arg;
	struct job *job;
	uint64_t n;

	if (read(w->fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
		panic("worker: eventfd");
	while ((job = take_done(w)) != NULL) {
		job->ops->done(job->arg, now);
		free(job);
	}
}

struct worker *
worker_new(struct loop *loop, unsigned waiting_max)
{
	struct worker *w = xcalloc(1, sizeof(*w));

	w->max = waiting_max;
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	list_init(&w->waiting);
	list_init(&w->done);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	if (w->fd >= 0 && process_start_thread(&w->thread, work, w) == 0) {
		w->watch = loop_watch_new(loop, w->fd, on_done, w);
		return w;
	}
	if (w->fd >= 0)
		close(w->fd);
	free(w);
	return NULL;
}

bool
worker_submit(struct worker *w, const struct worker_job *ops, void *arg)
{
	struct job *job;
	bool has_room;

	pthread_mutex_lock(&w->lock);
	has_room = w->count < w->max;
	if (has_room) {
		job = xcalloc(1, sizeof(*job));
		job->ops = ops;
		job->arg = arg;
		list_append(&w->waiting, &job->entry);
		w->count++;
		pthread_cond_signal(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return has_room;
}

void
worker_free(struct worker *w)
{
	struct job *job;

	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->stops = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	while ((job = take_done(w)) != NULL) {
		job->ops->drop(job->arg);
		free(job);
	}
	loop_watch_free(w->watch);
	close(w->fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->changed);
	free(w);
}
