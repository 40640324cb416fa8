/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop (libevent): timers, signals, watched descriptors, and things
 * to do at the end of a turn. One thread.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/base.h"
#include "base/list.h"

struct event_base;
struct event;
struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop, also one before it */
void loop_stop(struct loop *l);
/* Monotonic ms. Read from the clock once per turn of the loop. */
int64_t loop_now(struct loop *l);
/* One buffer for all connections to read into, so that an idle connection
 * holds none. Its content ends with the callback that filled it. */
#define LOOP_SCRATCH 65536
char *loop_scratch(struct loop *l);

/* A timer that is embedded in its owner; fn runs once per arming. Arming costs
 * nothing when the new time is later than the armed one (it is moved lazily
 * when it fires). */
struct loop_timer {
	struct event *ev;
	struct loop *loop;
	int64_t due;       /* INT64_MAX: not armed */
	int64_t event_due; /* what libevent knows */
	void (*fn)(void *arg, int64_t now);
	void *arg;
};

void loop_timer_init(struct loop_timer *t, struct loop *l,
    void (*fn)(void *arg, int64_t now), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t due); /* INT64_MAX: off */
void loop_timer_clear(struct loop_timer *t); /* before its owner is freed */

/* Calls fn once at the end of this turn, before the loop waits again: where
 * output is flushed and closed objects are freed. Embedded; set twice is
 * once. */
struct loop_task {
	struct list entry;
	struct loop *loop;
	void (*fn)(void *arg, int64_t now);
	void *arg;
};

void loop_task_init(struct loop_task *t, struct loop *l,
    void (*fn)(void *arg, int64_t now), void *arg);
void loop_task_set(struct loop_task *t);
void loop_task_clear(struct loop_task *t);
/* Calls fn when the loop is freed, unless it is cleared before: for what
 * outlives its owner, such as a connection that closes by itself. */
void loop_task_set_at_free(struct loop_task *t);

/* Watches fd for reading (a spool's notification, a child's pipe). */
struct loop_watch;
struct loop_watch *loop_watch_new(
    struct loop *l, int fd, void (*fn)(void *arg, int64_t now), void *arg);
void loop_watch_free(struct loop_watch *w);
struct loop_signal;
struct loop_signal *loop_signal_new(
    struct loop *l, int signo, void (*fn)(void *arg, int64_t now), void *arg);
void loop_signal_free(struct loop_signal *s);

#endif
