/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One lock, one eventfd, one condition per question that waits. The eventfd is
 * written only when the list was empty, so that many threads cost one wake-up.
 */
#include "milter/milter_ask.h"

#include "net/loop.h"
#include "os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ASK_TEXT_MAX (1u << 20)

struct milter_port {
	pthread_mutex_t lock;
	struct list asks;
	bool closed;
	int fd;
	struct loop_watch *watch;
	void (*on_ask)(void *arg, struct milter_ask *ask);
	void *arg;
};

static void
on_readable(void *arg, int64_t now)
{
	struct milter_port *p = arg;
	struct list taken, *e, *next;
	uint64_t count;
	ssize_t n = read(p->fd, &count, sizeof(count));

	(void)n;
	(void)now;
	list_init(&taken);
	pthread_mutex_lock(&p->lock);
	list_each_safe (e, next, &p->asks) {
		list_remove(e);
		list_append(&taken, e);
	}
	pthread_mutex_unlock(&p->lock);
	list_each_safe (e, next, &taken) {
		list_remove(e);
		p->on_ask(p->arg, LIST_ITEM(e, struct milter_ask, entry));
	}
}

struct milter_port *
milter_port_new(struct loop *loop,
    void (*on_ask)(void *arg, struct milter_ask *ask), void *arg)
{
	struct milter_port *p = xcalloc(1, sizeof(*p));

	p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->fd < 0)
		panic("milter: no eventfd");
	pthread_mutex_init(&p->lock, NULL);
	list_init(&p->asks);
	p->on_ask = on_ask;
	p->arg = arg;
	p->watch = loop_watch_new(loop, p->fd, on_readable, p);
	return p;
}

void
milter_port_close(struct milter_port *p)
{
	struct list *e;

	loop_watch_free(p->watch);
	p->watch = NULL;
	pthread_mutex_lock(&p->lock);
	p->closed = true;
	list_each (e, &p->asks) {
		struct milter_ask *ask = LIST_ITEM(e, struct milter_ask, entry);

		if (ask->cond != NULL)
			pthread_cond_signal(ask->cond);
	}
	pthread_mutex_unlock(&p->lock);
}

void
milter_port_free(struct milter_port *p)
{
	/* Connections that closed when the loop heard no more: nobody else
	 * knows of their peers, which have no transaction any more. */
	while (!list_is_empty(&p->asks)) {
		struct milter_ask *ask =
		    LIST_ITEM(p->asks.next, struct milter_ask, entry);

		if (ask->verb == MILTER_CLOSE)
			free(ask->peer);
		milter_ask_free(ask);
	}
	pthread_mutex_destroy(&p->lock);
	close(p->fd);
	free(p);
}

struct milter_ask *
milter_ask_new(enum milter_verb verb, struct milter_peer *peer)
{
	struct milter_ask *ask = xcalloc(1, sizeof(*ask));

	list_init(&ask->entry);
	ask->verb = verb;
	ask->peer = peer;
	buf_init(&ask->text, ASK_TEXT_MAX);
	return ask;
}

void
milter_ask_free(struct milter_ask *ask)
{
	list_remove(&ask->entry);
	free(ask->user);
	free(ask->address);
	free(ask->helo);
	free(ask->queue_id);
	free(ask->orcpt);
	free(ask->envid);
	free(ask->bounced);
	free(ask->subject);
	free(ask->message_id);
	free(ask->names);
	free(ask->server);
	buf_clear(&ask->text);
	free(ask);
}

/* With the lock. */
static void
append(struct milter_port *p, struct milter_ask *ask)
{
	uint64_t one = 1;
	ssize_t n;

	if (list_is_empty(&p->asks)) {
		n = write(p->fd, &one, sizeof(one));
		(void)n; /* full is as good as written */
	}
	list_append(&p->asks, &ask->entry);
}

void
milter_post(struct milter_port *p, struct milter_ask *ask)
{
	pthread_mutex_lock(&p->lock);
	append(p, ask);
	pthread_mutex_unlock(&p->lock);
}

static struct timespec
deadline(int64_t timeout_ms)
{
	int64_t at = clock_mono_ms() + timeout_ms;

	return (struct timespec){
	    .tv_sec = (time_t)(at / 1000), .tv_nsec = at % 1000 * 1000000};
}

struct milter_ask *
milter_wait(struct milter_port *p, struct milter_ask *ask, int64_t timeout_ms)
{
	struct timespec end = deadline(timeout_ms);
	pthread_cond_t cond;
	pthread_condattr_t attr;
	int rc = 0;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&p->lock);
	/* cppcheck-suppress autoVariables ; taken back before the return */
	ask->cond = &cond;
	append(p, ask);
	while (!ask->is_answered && !p->closed && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&cond, &p->lock, &end);
	ask->cond = NULL;
	if (!ask->is_answered) {
		ask->is_abandoned = true;
		ask = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	pthread_cond_destroy(&cond);
	return ask;
}

bool
milter_answer(struct milter_port *p, struct milter_ask *ask)
{
	bool abandoned;

	pthread_mutex_lock(&p->lock);
	abandoned = ask->is_abandoned;
	ask->is_answered = true;
	if (!abandoned && ask->cond != NULL)
		pthread_cond_signal(ask->cond);
	pthread_mutex_unlock(&p->lock);
	if (abandoned)
		milter_ask_free(ask);
	return !abandoned;
}
