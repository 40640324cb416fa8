/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop runs libevent one batch of events at a time; between two batches
 * it drains its tasks. libevent's own order within a batch means nothing to
 * us: what must happen after everything else of a turn is a task.
 */
#include "net/loop.h"
#include "os/clock.h"

#include <event2/event.h>
#include <stdlib.h>

/* Tasks may set tasks; past so many rounds the sockets get their turn. */
#define ROUNDS_MAX 16
/* libevent is told nothing longer; what is later is armed again. */
#define WAIT_MAX_MS (24 * 3600 * INT64_C(1000))

struct loop {
	struct event_base *base;
	struct list tasks, at_free;
	int64_t now;
	bool fresh; /* now is of this turn */
	bool running, stop;
	char *scratch;
};

struct loop_watch {
	struct event *ev;
	struct loop *loop;
	void (*fn)(void *arg, int64_t now);
	void *arg;
};

struct loop_signal {
	struct loop_watch watch;
};

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	struct event_config *conf = event_config_new();

	if (conf == NULL)
		panic("loop: out of memory");
	/* With the change list, what is switched off and on again within a
	 * turn costs no epoll_ctl. It forbids watching dup'ed descriptors
	 * of one file, which nothing here does. */
	event_config_set_flag(conf, EVENT_BASE_FLAG_NOLOCK |
					EVENT_BASE_FLAG_IGNORE_ENV |
					EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	l->base = event_base_new_with_config(conf);
	event_config_free(conf);
	if (l->base == NULL)
		panic("loop: no event base");
	list_init(&l->tasks);
	list_init(&l->at_free);
	l->scratch = xmalloc(LOOP_SCRATCH);
	return l;
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

char *
loop_scratch(struct loop *l)
{
	return l->scratch;
}

int64_t
loop_now(struct loop *l)
{
	int64_t now;

	if (l->fresh)
		return l->now;
	now = clock_mono_ms();
	if (now > l->now)
		l->now = now;
	l->fresh = l->running;
	return l->now;
}

static void
run_tasks(struct loop *l, struct list *tasks)
{
	struct loop_task *t;

	while (!list_is_empty(tasks)) {
		t = LIST_ITEM(tasks->next, struct loop_task, entry);
		list_remove(&t->entry);
		t->fn(t->arg, loop_now(l));
	}
}

static void
drain_tasks(struct loop *l)
{
	struct list round;
	int i;

	for (i = 0; i < ROUNDS_MAX && !list_is_empty(&l->tasks); i++) {
		/* What is set from now on belongs to the next round. */
		list_insert(&l->tasks, &round);
		list_remove(&l->tasks);
		run_tasks(l, &round);
	}
}

void
loop_run(struct loop *l)
{
	int flags;

	l->running = true;
	drain_tasks(l);
	while (!l->stop) {
		flags =
		    list_is_empty(&l->tasks) ? EVLOOP_ONCE : EVLOOP_NONBLOCK;
		l->fresh = false;
		if (event_base_loop(l->base, flags | EVLOOP_NO_EXIT_ON_EMPTY) <
		    0)
			panic("loop: event_base_loop failed");
		drain_tasks(l);
	}
	l->running = l->fresh = l->stop = false;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	drain_tasks(l);
	run_tasks(l, &l->at_free);
	drain_tasks(l);
	event_base_free(l->base);
	free(l->scratch);
	free(l);
}

static void
arm(struct loop_timer *t)
{
	int64_t wait = t->due - loop_now(t->loop);
	struct timeval tv;

	if (wait > WAIT_MAX_MS)
		wait = WAIT_MAX_MS;
	if (wait < 0)
		wait = 0;
	tv.tv_sec = wait / 1000;
	tv.tv_usec = wait % 1000 * 1000;
	t->event_due = t->due;
	if (event_add(t->ev, &tv) != 0)
		panic("loop: cannot add a timer");
}

static void
on_timer_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;
	int64_t now = loop_now(t->loop);

	(void)fd;
	(void)what;
	t->event_due = INT64_MAX;
	if (t->due == INT64_MAX)
		return;
	/* Moved since it was armed, or libevent's coarse clock is ahead. */
	if (t->due > now) {
		arm(t);
		return;
	}
	t->due = INT64_MAX;
	t->fn(t->arg, now);
}

void
loop_timer_init(struct loop_timer *t, struct loop *l,
    void (*fn)(void *arg, int64_t now), void *arg)
{
	*t = (struct loop_timer){
	    .loop = l,
	    .due = INT64_MAX,
	    .event_due = INT64_MAX,
	    .fn = fn,
	    .arg = arg,
	};
}

void
loop_timer_set(struct loop_timer *t, int64_t due)
{
	t->due = due;
	if (due >= t->event_due)
		return;
	if (t->ev == NULL) {
		t->ev = event_new(t->loop->base, -1, 0, on_timer_event, t);
		if (t->ev == NULL)
			panic("loop: out of memory");
	}
	arm(t);
}

void
loop_timer_clear(struct loop_timer *t)
{
	if (t->ev != NULL)
		event_free(t->ev);
	t->ev = NULL;
	t->due = t->event_due = INT64_MAX;
}

void
loop_task_init(struct loop_task *t, struct loop *l,
    void (*fn)(void *arg, int64_t now), void *arg)
{
	list_init(&t->entry);
	t->loop = l;
	t->fn = fn;
	t->arg = arg;
}

static void
set_task(struct loop_task *t, struct list *tasks)
{
	if (list_is_empty(&t->entry))
		list_append(tasks, &t->entry);
}

void
loop_task_set(struct loop_task *t)
{
	set_task(t, &t->loop->tasks);
}

void
loop_task_set_at_free(struct loop_task *t)
{
	set_task(t, &t->loop->at_free);
}

void
loop_task_clear(struct loop_task *t)
{
	list_remove(&t->entry);
}

static void
on_watch_event(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;

	(void)fd;
	(void)what;
	w->fn(w->arg, loop_now(w->loop)); /* may free w */
}

static void
start_watch(struct loop_watch *w, struct loop *l, int fd, short what,
    void (*fn)(void *arg, int64_t now), void *arg)
{
	w->loop = l;
	w->fn = fn;
	w->arg = arg;
	w->ev = event_new(l->base, fd, what | EV_PERSIST, on_watch_event, w);
	if (w->ev == NULL || event_add(w->ev, NULL) != 0)
		panic("loop: cannot watch %d", fd);
}

struct loop_watch *
loop_watch_new(
    struct loop *l, int fd, void (*fn)(void *arg, int64_t now), void *arg)
{
	struct loop_watch *w = xcalloc(1, sizeof(*w));

	start_watch(w, l, fd, EV_READ, fn, arg);
	return w;
}

void
loop_watch_free(struct loop_watch *w)
{
	if (w == NULL)
		return;
	event_free(w->ev);
	free(w);
}

struct loop_signal *
loop_signal_new(
    struct loop *l, int signo, void (*fn)(void *arg, int64_t now), void *arg)
{
	struct loop_signal *s = xcalloc(1, sizeof(*s));

	start_watch(&s->watch, l, signo, EV_SIGNAL, fn, arg);
	return s;
}

void
loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	event_free(s->watch.ev);
	free(s);
}
