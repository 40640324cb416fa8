/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The users of the pool. A hop looks for a connection (kept, new, or after
 * waiting in line), goes through the addresses in order until one answers, and
 * speaks through its connection until its owner puts or drops it.
 *
 * No owner is called from within its own call, nor from within another owner's:
 * what such a call decides is told by the pool's task at the end of the turn.
 */
#include "delivery/nexthop_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Postfix delays from 10 refusals on (smtpd_soft_error_limit). */
#define REFUSALS_MAX 8

static struct hop *
first_in(struct nexthop *n, enum hop_state state)
{
	if (list_is_empty(&n->hops[state]))
		return NULL;
	return LIST_ITEM(n->hops[state].next, struct hop, entry);
}

static void
change_state(struct hop *h, enum hop_state state)
{
	h->n->dialing_count += (state == HOP_DIALING);
	h->n->dialing_count -= (h->state == HOP_DIALING);
	h->n->late_count -= h->late;
	h->late = false;
	h->state = state;
}

void
hop_set_state(struct hop *h, enum hop_state state)
{
	list_remove(&h->entry);
	list_append(&h->n->hops[state], &h->entry);
	change_state(h, state);
	if (state == HOP_HANDED || state == HOP_FAILED)
		loop_task_set(&h->n->task);
}

static struct hop *
take_hop(struct nexthop *n)
{
	struct hop *h = first_in(n, HOP_FREE);

	if (h == NULL) {
		h = xcalloc(1, sizeof(*h));
		h->n = n;
		list_init(&h->entry);
	}
	return h;
}

static void
free_hop(struct hop *h)
{
	struct nexthop *n = h->n;

	/* To the front: the next one finds it in the cache. */
	list_remove(&h->entry);
	list_insert(&n->hops[HOP_FREE], &h->entry);
	change_state(h, HOP_FREE);
	h->ch = NULL;
}

static void
start_resolve(struct hop *h, size_t target)
{
	struct nexthop *n = h->n;
	const char *host;
	uint16_t port;

	h->target = target;
	hop_set_state(h, HOP_RESOLVING);
	if (!route_begin_resolve(n->route, target))
		return;
	host = route_host(n->route, target, &port);
	resolver_ask(n->resolver, host, port, target);
}

static void
dial(struct hop *h, int64_t now)
{
	struct nexthop *n = h->n;
	struct route_choice choice;

	switch (route_next(n->route, &h->cursor, now, &choice)) {
	case ROUTE_CONNECT:
		h->ch = nexthop_open(n, &choice, false, h);
		hop_set_state(h, HOP_DIALING);
		break;
	case ROUTE_RESOLVE:
		start_resolve(h, choice.target);
		break;
	case ROUTE_NONE:
		hop_set_state(h, HOP_FAILED);
		break;
	}
}

static struct hop_conn *
oldest_idle(struct nexthop *n)
{
	return LIST_ITEM(n->idle.prev, struct hop_conn, entry);
}

static void
take_hop_conn(struct hop *h, struct hop_conn *ch, enum hop_state state)
{
	nexthop_attach(h->n, ch, h);
	h->ch = ch;
	h->reused = ch->served;
	hop_set_state(h, state);
}

/* Out of line, or back after a kept connection was lost: state as it goes. */
static void
start_dial(struct hop *h, int64_t now)
{
	memset(&h->cursor, 0, sizeof(h->cursor));
	h->reused = h->doubted = false;
	dial(h, now);
}

/* Finds a connection: a kept one, a new one, or a place in line. */
static void
seek(struct hop *h, int64_t now)
{
	struct nexthop *n = h->n;

	if (!h->fresh && n->idle_count > 0) {
		take_hop_conn(h,
		    LIST_ITEM(n->idle.next, struct hop_conn, entry),
		    HOP_HANDED);
		return;
	}
	if (h->is_private && nexthop_is_private_full(n)) {
		str_copy(STR("too many connections belong to sessions"),
		    h->reason, sizeof(h->reason));
		hop_set_state(h, HOP_FAILED);
		return;
	}
	if (hop_may_dial(n) && nexthop_is_full(n) && n->idle_count > 0)
		nexthop_shut(n, oldest_idle(n), true, now);
	if (hop_may_dial(n) && !nexthop_is_full(n))
		start_dial(h, now);
	else
		hop_set_state(h, HOP_WAITING);
}

static struct hop *
new_hop(struct nexthop *n, const struct hop_ops *ops, void *arg)
{
	struct hop *h = take_hop(n);

	h->ops = ops;
	h->arg = arg;
	h->fresh = h->is_private = h->reused = h->said = h->doubted = false;
	h->ch = NULL;
	h->reason[0] = '\0';
	return h;
}

struct hop *
nexthop_get_private(
    struct nexthop *n, const struct hop_ops *ops, void *arg, int64_t now)
{
	struct hop *h = new_hop(n, ops, arg);

	h->fresh = h->is_private = true;
	seek(h, now);
	return h;
}

struct hop *
nexthop_get(struct nexthop *n, bool fresh, const struct hop_ops *ops, void *arg,
    int64_t now)
{
	struct hop *h = new_hop(n, ops, arg);

	h->fresh = fresh;
	if (!fresh && n->idle_count > 0)
		take_hop_conn(h,
		    LIST_ITEM(n->idle.next, struct hop_conn, entry), HOP_READY);
	else
		seek(h, now);
	return h;
}

/* The first in line who can be served: one who needs a new connection keeps
 * nobody from a kept one. */
static struct hop *
first_servable(const struct nexthop *n)
{
	bool can_dial =
	    hop_may_dial(n) && (!nexthop_is_full(n) || n->idle_count > 0);
	struct list *entry;

	if (!can_dial && n->idle_count == 0)
		return NULL;
	list_each (entry, &n->hops[HOP_WAITING]) {
		struct hop *h = LIST_ITEM(entry, struct hop, entry);

		if (can_dial || !h->fresh)
			return h;
	}
	return NULL;
}

void
hop_serve_line(struct nexthop *n, int64_t now)
{
	struct hop *h;

	while ((h = first_servable(n)) != NULL)
		seek(h, now);
}

bool
hop_is_ready(const struct hop *h)
{
	return h->state == HOP_READY || h->state == HOP_HANDED;
}

bool
hop_is_reused(const struct hop *h)
{
	return h->reused;
}

struct smtp_client *
hop_client(struct hop *h)
{
	if (!hop_is_ready(h))
		panic("hop: spoken through before it is ready");
	return h->ch->client;
}

struct smtp_caps
hop_caps(struct hop *h)
{
	struct smtp_caps caps = *smtp_client_caps(hop_client(h));

	if (!hop_conn_is_safe(h->ch)) {
		caps.ext &= ~(uint32_t)SMTP_EXT_AUTH;
		caps.auth = 0;
	}
	return caps;
}

void
hop_set_secret(struct hop *h, bool secret)
{
	if (h->ch != NULL && h->ch->conn != NULL)
		conn_set_secret(h->ch->conn, secret);
}

bool
hop_is_full(const struct hop *h)
{
	return h->ch != NULL && h->ch->conn != NULL &&
	       conn_is_full(h->ch->conn);
}

bool
hop_is_tls(const struct hop *h)
{
	return hop_is_ready(h) && conn_is_tls(h->ch->conn);
}

void
hop_retire(struct hop *h)
{
	if (hop_is_ready(h))
		h->ch->retired = true;
}

const char *
hop_name(const struct hop *h)
{
	return h->ch != NULL ? h->ch->name : "";
}

static bool
is_at(uint32_t count, uint32_t max)
{
	return max > 0 && count >= max;
}

static bool
is_spent(const struct hop_conn *ch)
{
	return is_at(ch->messages, ch->messages_max) ||
	       is_at(ch->messages, smtp_client_caps(ch->client)->mail_max);
}

bool
hop_is_spent(const struct hop *h)
{
	return hop_is_ready(h) && is_spent(h->ch);
}

static bool
is_worth_keeping(const struct hop_conn *ch)
{
	return !ch->retired && !ch->is_private && !is_spent(ch) &&
	       ch->refusals < REFUSALS_MAX &&
	       ch->refusals + ch->resets < ch->resets_max;
}

void
hop_put(struct hop *h, int64_t now)
{
	struct nexthop *n = h->n;
	struct hop_conn *ch = h->ch;

	if (!hop_is_ready(h)) {
		hop_drop(h);
		return;
	}
	free_hop(h);
	ch->served = true;
	nexthop_detach(n, ch, now);
	if (!is_worth_keeping(ch))
		nexthop_shut(n, ch, true, now);
	if (!list_is_empty(&n->hops[HOP_WAITING]))
		hop_serve_line(n, now);
	if (n->idle_count > n->settings.idle_max)
		nexthop_shut(n, oldest_idle(n), true, now);
}

void
hop_drop(struct hop *h)
{
	struct nexthop *n = h->n;
	struct hop_conn *ch = h->ch;
	int64_t now = loop_now(n->loop);

	free_hop(h);
	if (ch != NULL)
		nexthop_shut(n, ch, false, now);
	hop_serve_line(n, now);
}

static void
report_failed(struct hop *h, int64_t now)
{
	const struct hop_ops *ops = h->ops;
	void *arg = h->arg;
	char text[HOP_REASON_MAX + 64];
	struct smtp_reply reply;

	snprintf(text, sizeof(text), "cannot reach the next hop: %s",
	    h->reason[0] != '\0' ? h->reason : "no address");
	reply = smtp_reply_make(451, "4.4.1", text);
	free_hop(h);
	ops->on_fail(arg, &reply, now);
}

void
hop_notify(struct nexthop *n, int64_t now)
{
	struct hop *h;

	while ((h = first_in(n, HOP_HANDED)) != NULL) {
		hop_set_state(h, HOP_READY);
		h->ops->on_ready(h->arg, now);
	}
	while ((h = first_in(n, HOP_FAILED)) != NULL)
		report_failed(h, now);
}

void
hop_redial_all(struct nexthop *n, int64_t now)
{
	struct hop *h;
	struct list again;

	list_init(&again);
	while ((h = first_in(n, HOP_DIALING)) != NULL ||
	       (h = first_in(n, HOP_RESOLVING)) != NULL) {
		if (h->ch != NULL)
			nexthop_shut(n, h->ch, false, now);
		h->ch = NULL;
		list_remove(&h->entry);
		list_append(&again, &h->entry);
	}
	while (!list_is_empty(&again))
		seek(LIST_ITEM(again.next, struct hop, entry), now);
}

/* What a server said tells more than that another address did not answer. */
static void
note_reason(struct hop *h, const char *where, struct str why, bool said)
{
	char safe[HOP_REASON_MAX / 2];

	if (h->said && !said)
		return;
	h->said = said;
	snprintf(h->reason, sizeof(h->reason), "%.200s: %s", where,
	    str_escape(why, safe, sizeof(safe)));
}

void
hop_on_resolved(void *arg, const struct resolver_answer *answer)
{
	struct nexthop *n = arg;
	int64_t now = loop_now(n->loop);
	struct list *entry, *next, again;
	uint16_t port;
	const char *host = route_host(n->route, answer->tag, &port);
	bool usable = route_end_resolve(n->route, answer->tag, answer->addrs,
	    answer->count, now, n->settings.rest_ms);

	if (!usable) {
		char name[HOP_REASON_MAX];

		route_set_target_reason(n->route, answer->tag, answer->error);
		snprintf(name, sizeof(name), "%.200s:%u", host, (unsigned)port);
		log_write(n->log, LOG_EV_NEXT_HOP_REST, KV(next_hop, name),
		    KV(reason, answer->error));
	}
	list_init(&again);
	list_each_safe (entry, next, &n->hops[HOP_RESOLVING]) {
		struct hop *h = LIST_ITEM(entry, struct hop, entry);

		if (h->target != answer->tag)
			continue;
		if (!usable) {
			route_skip(&h->cursor, answer->tag);
			note_reason(h, host, str_from(answer->error), false);
		}
		list_remove(entry);
		list_append(&again, entry);
	}
	while (!list_is_empty(&again)) {
		struct hop *h = LIST_ITEM(again.next, struct hop, entry);

		if (hop_may_dial(n) && !nexthop_is_full(n))
			dial(h, now);
		else
			hop_set_state(h, HOP_WAITING);
	}
}

/* ---- what connections say ---- */

/* A peer that refuses EHLO once, as busy ones do, has not lost what it told
 * before: clients are offered that still, and its next connection may carry
 * it. */
static void
learn_caps(struct nexthop *n, struct hop_conn *ch, struct hop *h)
{
	if (smtp_client_said_helo(ch->client) && n->caps_known &&
	    n->caps.ext != 0) {
		ch->retired = true;
		return;
	}
	n->caps = hop_caps(h);
	n->caps_known = true;
}

static void
on_hop_conn_ready(struct hop_conn *ch, int64_t now)
{
	struct nexthop *n = ch->pool;
	struct hop *h = ch->hop;

	if (h->state == HOP_DIALING) { /* not after XCLIENT */
		hop_set_state(h, HOP_READY);
		learn_caps(n, ch, h);
		ch->messages_max = hop_uses_max(n, ch);
		ch->resets_max = hop_resets_max(ch);
		hop_end_doubt(n, now);
		nexthop_note_up(n, ch);
		hop_serve_line(n, now);
	}
	h->ops->on_ready(h->arg, now);
}

static void
on_hop_conn_reply(struct hop_conn *ch, enum smtp_client_what what,
    uintptr_t tag, const struct smtp_reply *reply, int64_t now)
{
	struct hop *h = ch->hop;

	ch->heard = true;
	/* The next hop closes after this, whatever it answers. */
	if (reply->code == 421)
		ch->retired = true;
	if (h != NULL)
		h->ops->on_reply(h->arg, what, tag, reply, now);
}

static void
on_hop_conn_drain(struct hop_conn *ch, int64_t now)
{
	struct hop *h = ch->hop;

	if (h != NULL && h->state == HOP_READY)
		h->ops->on_drain(h->arg, now);
}

/* Where TLS is only wished for, an address whose handshake fails is tried once
 * more without. */
static bool
try_plain(struct hop *h, struct hop_conn *ch, const char *reason, int64_t now)
{
	struct nexthop *n = h->n;
	struct route_choice choice = {.addr = ch->addr, .target = ch->target};

	if (h->state != HOP_DIALING || ch->tls.required || ch->tls.implicit ||
	    ch->retired)
		return false;
	log_write(n->log, LOG_EV_NEXT_HOP_PLAIN, KV(next_hop, ch->name),
	    KV(reason, reason));
	str_copy(str_from(ch->name), choice.name, sizeof(choice.name));
	str_copy(str_from(ch->host), choice.host, sizeof(choice.host));
	nexthop_shut(n, ch, false, now);
	h->ch = nexthop_open(n, &choice, true, h);
	return true;
}

/* The next hop itself spoke; 451 may be our own. */
static bool
has_said(const struct smtp_reply *reply)
{
	return reply->code != 451;
}

static void
describe(const struct smtp_reply *reply, char *out, size_t cap)
{
	int n = has_said(reply) ? snprintf(out, cap, "%u ", reply->code) : 0;

	str_copy(reply->text, out + n, cap - (size_t)n);
}

/* It waits for one of those that work. */
static void
wait_in_line(struct hop *h, int64_t now)
{
	memset(&h->cursor, 0, sizeof(h->cursor));
	hop_set_state(h, HOP_WAITING);
	nexthop_watch_line(h->n, now);
}

/* Another address, where there is one, may take what this one does not. */
static bool
is_limit(struct hop *h, const struct smtp_reply *reply, int64_t now)
{
	return h->state == HOP_DIALING && hop_is_limit_code(reply->code) &&
	       !route_has_other(h->n->route, &h->cursor, now) &&
	       hop_learn_limit(h, now);
}

static void
on_hop_conn_fail(struct hop_conn *ch, enum hop_conn_fault fault,
    const struct smtp_reply *reply, int64_t now)
{
	struct nexthop *n = ch->pool;
	struct hop *h = ch->hop;
	const struct hop_ops *ops;
	void *arg;
	char why[HOP_REASON_MAX];
	bool limited;

	describe(reply, why, sizeof(why));
	if (h != NULL) {
		note_reason(h, ch->name, str_from(why), has_said(reply));
		h->ch = NULL;
	}
	if (h != NULL && fault == HOP_CONN_TLS && try_plain(h, ch, why, now))
		return;
	limited = h != NULL && is_limit(h, reply, now);
	/* A kept connection that was closed meanwhile may go quietly. */
	if (h != NULL && !limited &&
	    (fault != HOP_CONN_BROKEN || !ch->served || ch->heard))
		nexthop_note_fault(n, ch, fault, why, now);
	nexthop_shut(n, ch, false, now);
	if (limited) {
		wait_in_line(h, now);
	} else if (h != NULL && h->state == HOP_DIALING) {
		dial(h, now);
	} else if (h != NULL && h->state == HOP_HANDED) {
		seek(h, now);
	} else if (h != NULL) {
		ops = h->ops;
		arg = h->arg;
		free_hop(h);
		ops->on_fail(arg, reply, now);
	}
	hop_end_doubt(n, now);
	hop_serve_line(n, now);
}

/* ---- what a trace sees ---- */

static bool
whose(const struct hop_conn *ch, struct tap_who *who)
{
	const struct nexthop *n = ch->pool;
	const struct hop *h = ch->hop;

	if (!tap_is_on(log_tap(n->log)))
		return false;
	*who = (struct tap_who){.hop = ch->name};
	if (h != NULL && h->ops->on_trace != NULL)
		h->ops->on_trace(h->arg, who);
	return true;
}

static void
on_hop_conn_said(struct hop_conn *ch, struct str line)
{
	const struct nexthop *n = ch->pool;
	struct tap_who who;

	if (whose(ch, &who))
		tap_write(log_tap(n->log), &who, TAP_COMMAND, line);
}

static void
on_hop_conn_heard(struct hop_conn *ch, const struct smtp_reply *reply)
{
	const struct nexthop *n = ch->pool;
	struct tap_who who;

	if (whose(ch, &who))
		tap_print(log_tap(n->log), &who, TAP_HOP, "%u %s%s%.*s",
		    reply->code, reply->enhanced,
		    reply->enhanced[0] != '\0' ? " " : "",
		    STR_ARG(reply->text));
}

const struct hop_conn_ops pool_conn_ops = {
    .on_ready = on_hop_conn_ready,
    .on_reply = on_hop_conn_reply,
    .on_drain = on_hop_conn_drain,
    .on_fail = on_hop_conn_fail,
    .on_said = on_hop_conn_said,
    .on_heard = on_hop_conn_heard,
};
