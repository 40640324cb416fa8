/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In the place of libevent: the calls that weir makes, over the descriptors of
 * net.c and the clock of core.c. Events that are ready at once run in an order
 * that the seed gives.
 */
#include "sim.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define CALLBACK(ev) ((ev)->ev_evcallback.evcb_cb_union.evcb_callback)
#define ARG(ev) ((ev)->ev_evcallback.evcb_arg)
#define INDEX(ev) ((ev)->ev_timeout_pos.min_heap_idx)
#define IS_IN 1
#define HAS_TIMEOUT 2

struct event_base {
	struct event **v;
	size_t n, cap;
	uint32_t signals; /* that came */
};

struct event_config {
	int unused;
};

static struct event_base *current;

struct event_config *
event_config_new(void)
{
	return xcalloc(1, sizeof(struct event_config));
}

void
event_config_free(struct event_config *c)
{
	free(c);
}

int
event_config_set_flag(struct event_config *c, int flag)
{
	(void)c;
	(void)flag;
	return 0;
}

struct event_base *
event_base_new_with_config(const struct event_config *c)
{
	(void)c;
	current = xcalloc(1, sizeof(*current));
	return current;
}

void
event_base_free(struct event_base *b)
{
	if (current == b)
		current = NULL;
	free(b->v);
	free(b);
}

void
event_forget(void)
{
	current = NULL;
}

void
event_signal(int signo)
{
	if (current != NULL)
		current->signals |= 1u << signo;
}

int
event_assign(struct event *ev, struct event_base *b, evutil_socket_t fd,
    short what, event_callback_fn fn, void *arg)
{
	memset(ev, 0, sizeof(*ev));
	ev->ev_base = b;
	ev->ev_fd = fd;
	ev->ev_events = what;
	CALLBACK(ev) = fn;
	ARG(ev) = arg;
	return 0;
}

struct event *
event_new(struct event_base *b, evutil_socket_t fd, short what,
    event_callback_fn fn, void *arg)
{
	struct event *ev = xcalloc(1, sizeof(*ev));

	event_assign(ev, b, fd, what, fn, arg);
	return ev;
}

int
event_del(struct event *ev)
{
	struct event_base *b = ev->ev_base;
	struct event *last;

	if (!(ev->ev_evcallback.evcb_flags & IS_IN))
		return 0;
	last = b->v[--b->n];
	b->v[INDEX(ev)] = last;
	INDEX(last) = INDEX(ev);
	ev->ev_evcallback.evcb_flags = 0;
	return 0;
}

void
event_free(struct event *ev)
{
	event_del(ev);
	free(ev);
}

int
event_add(struct event *ev, const struct timeval *tv)
{
	struct event_base *b = ev->ev_base;

	if (!(ev->ev_evcallback.evcb_flags & IS_IN)) {
		if (b->n == b->cap) {
			b->cap = b->cap > 0 ? 2 * b->cap : 64;
			b->v = xrealloc(b->v, b->cap * sizeof(struct event *));
		}
		INDEX(ev) = b->n;
		b->v[b->n++] = ev;
		ev->ev_evcallback.evcb_flags = IS_IN;
	}
	if (tv != NULL) {
		int64_t due = sim_now() + tv->tv_sec * SECOND_US + tv->tv_usec;

		ev->ev_timeout.tv_sec = due / SECOND_US;
		ev->ev_timeout.tv_usec = due % SECOND_US;
		ev->ev_evcallback.evcb_flags |= HAS_TIMEOUT;
	}
	return 0;
}

static int64_t
due_of(const struct event *ev)
{
	if (!(ev->ev_evcallback.evcb_flags & HAS_TIMEOUT))
		return INT64_MAX;
	return ev->ev_timeout.tv_sec * SECOND_US + ev->ev_timeout.tv_usec;
}

static short
is_ready(const struct event_base *b, const struct event *ev)
{
	unsigned state;
	short what = 0;

	if (due_of(ev) <= sim_now())
		return EV_TIMEOUT;
	if (ev->ev_events & EV_SIGNAL)
		return b->signals >> ev->ev_fd & 1 ? EV_SIGNAL : 0;
	if (ev->ev_fd < 0 || !(ev->ev_events & (EV_READ | EV_WRITE)))
		return 0;
	state = net_state(ev->ev_fd);
	if (ev->ev_events & EV_ET)
		return state & NET_BROKEN ? EV_READ : 0;
	if (ev->ev_events & EV_READ && state & (NET_READABLE | NET_BROKEN))
		what |= EV_READ;
	if (ev->ev_events & EV_WRITE && state & (NET_WRITABLE | NET_BROKEN))
		what |= EV_WRITE;
	return what;
}

struct hit {
	struct event *ev;
	short what;
	evutil_socket_t fd;
};

static size_t
gather(struct event_base *b, struct hit **out, int64_t *next)
{
	size_t n = 0;

	*out = xmalloc((b->n + 1) * sizeof(**out));
	*next = INT64_MAX;
	for (size_t i = 0; i < b->n; i++) {
		short what = is_ready(b, b->v[i]);

		if (what != 0)
			(*out)[n++] =
			    (struct hit){b->v[i], what, b->v[i]->ev_fd};
		else if (due_of(b->v[i]) < *next)
			*next = due_of(b->v[i]);
	}
	for (size_t i = n; i > 1; i--) {
		size_t k = sim_below(i);
		struct hit h = (*out)[k];

		(*out)[k] = (*out)[i - 1];
		(*out)[i - 1] = h;
	}
	return n;
}

/* It may be gone by now, or be another's. */
static bool
is_still_there(const struct event_base *b, const struct event *ev)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->v[i] == ev)
			return true;
	}
	return false;
}

int
event_base_loop(struct event_base *b, int flags)
{
	struct hit *hits;
	int64_t next;
	size_t n = gather(b, &hits, &next);

	while (n == 0 && !(flags & EVLOOP_NONBLOCK)) {
		free(hits);
		(void)co_wait(next);
		n = gather(b, &hits, &next);
	}
	b->signals = 0;
	for (size_t i = 0; i < n; i++) {
		struct event *ev = hits[i].ev;

		if (!is_still_there(b, ev) || ev->ev_fd != hits[i].fd)
			continue;
		sim_point();
		sim_mix((uint64_t)hits[i].what + 17);
		if (!(ev->ev_events & EV_PERSIST) || hits[i].what == EV_TIMEOUT)
			event_del(ev);
		CALLBACK(ev)(ev->ev_fd, hits[i].what, ARG(ev));
	}
	free(hits);
	return 0;
}
