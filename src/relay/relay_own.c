/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session's own connection to the next hop: one that speaks in the client's
 * name, because the client has logged in over it, or because XCLIENT has told
 * who it is. It serves this session's cut-through alone, one hop transaction at
 * a time, never goes back to the pool, and lives on without its session while a
 * hop transaction waits for the reply to its message. When as many are open as
 * may be, the one that has idled longest makes room for a session that needs
 * one.
 */
#include "relay/relay_internal.h"

#include <stdlib.h>
#include <string.h>

enum own_state {
	OWN_CONNECTING,
	OWN_NAMING, /* XCLIENT was sent */
	OWN_READY,
	OWN_LOST, /* an answer to a login or hop transaction has said so */
	OWN_OVER,
};

static const char *const own_names[] = {
    [OWN_CONNECTING] = "connecting",
    [OWN_NAMING] = "naming",
    [OWN_READY] = "ready",
    [OWN_LOST] = "lost",
    [OWN_OVER] = "over",
};

static const uint16_t own_may_follow[] = {
    [OWN_CONNECTING] = 0,
    [OWN_NAMING] = 1u << OWN_CONNECTING,
    [OWN_READY] = 1u << OWN_CONNECTING | 1u << OWN_NAMING,
    [OWN_LOST] = (1u << OWN_LOST) - 1,
    [OWN_OVER] = (1u << OWN_OVER) - 1,
};

static const struct relay_states own_states = {
    "own connection", own_names, own_may_follow};

struct own {
	struct list entry; /* among what is over */
	struct relay *relay;
	struct session *session; /* NULL: it has ended */
	struct hop *hop;
	enum own_state state;
	struct hop_txn *hop_txn; /* that uses it, NULL: none */
	bool auth_open;          /* AUTH was said and is not decided */
	bool served;             /* a hop transaction has given it back */
	int64_t idle_since;      /* without a login or a hop transaction */
	struct xclient client;   /* who it speaks for */
};

static const struct hop_ops own_ops;

static void
own_set_state(struct own *o, enum own_state state)
{
	relay_move(&own_states, o->relay, o->session,
	    o->hop_txn != NULL ? o->hop_txn->txn : NULL, o->state, state);
	o->state = state;
}

/* What the next hop is told of the client. */
static struct xclient
describe(const struct session *s, const struct txn *t)
{
	struct xclient x = {.given = XCLIENT_ATTRS,
	    .temp = s->client_temp,
	    .addr = t != NULL ? t->client : s->client,
	    .port = s->client_port,
	    .dest_addr = s->local,
	    .dest_port = s->local_port,
	    .esmtp = smtp_server_is_esmtp(s->server)};

	if (s->client_name != NULL && ip_eq(&x.addr, &s->client))
		str_copy(str_from(s->client_name), x.name, sizeof(x.name));
	if (!ip_eq(&x.addr, &s->client))
		x.port = 0;
	str_copy(t != NULL ? str_from(t->helo) : smtp_server_helo(s->server),
	    x.helo, sizeof(x.helo));
	str_copy(session_user(s), x.login, sizeof(x.login));
	return x;
}

static bool
is_same(const struct xclient *a, const struct xclient *b)
{
	return ip_eq(&a->addr, &b->addr) && a->port == b->port &&
	       a->esmtp == b->esmtp && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->helo, b->helo) == 0 && strcmp(a->login, b->login) == 0;
}

/* Nothing that the client has said is lost with it. */
static bool
is_idle(const struct session *s, int64_t now)
{
	const struct own *o = s->own;

	return o != NULL && o->state == OWN_READY && o->hop_txn == NULL &&
	       !o->auth_open && s->login == NULL && s->txn == NULL &&
	       now - o->idle_since >= s->relay->settings->next_hop_wait_ms;
}

static struct session *
find_idlest(const struct relay *r, int64_t now)
{
	struct session *found = NULL;
	struct list *e;

	list_each (e, &r->sessions) {
		struct session *s = LIST_ITEM(e, struct session, entry);

		if (is_idle(s, now) &&
		    (found == NULL ||
			s->own->idle_since < found->own->idle_since))
			found = s;
	}
	return found;
}

/* Who has logged in cannot go on without it. */
static void
make_room(struct relay *r, int64_t now)
{
	struct smtp_reply bye = smtp_reply_make(421, "4.3.2",
	    "Idle too long while others are waiting for a connection, try "
	    "again later");
	struct session *s;

	if (!nexthop_is_private_full(r->parts.nexthop) ||
	    r->settings->next_hop_wait_ms == 0)
		return;
	s = find_idlest(r, now);
	if (s == NULL)
		return;
	relay_tell_limit(r, RELAY_NEXT_HOP_CONNECTIONS, NULL, &s->client, now);
	if (!s->login_passed) {
		own_forget(s, now);
		return;
	}
	counters_add(r->parts.counters, COUNT_SLOW_ENDED, 1);
	session_close(s, &bye, now);
}

static void
own_new(struct session *s, const struct xclient *client, int64_t now)
{
	struct own *o = xcalloc(1, sizeof(*o));

	make_room(s->relay, now);
	o->relay = s->relay;
	o->session = s;
	o->client = *client;
	o->hop = nexthop_get_private(s->relay->parts.nexthop, &own_ops, o, now);
	s->own = o;
}

/* Takes it off its session; a hop transaction that uses it keeps it until it is
 * done. */
static void
own_let_go(struct own *o, int64_t now)
{
	if (o->session != NULL)
		o->session->own = NULL;
	o->session = NULL;
	if (o->hop_txn != NULL)
		return;
	/* Within a login a QUIT would be a response. */
	if (o->hop != NULL && o->auth_open)
		hop_drop(o->hop);
	else if (o->hop != NULL)
		hop_put(o->hop, now);
	o->hop = NULL;
	own_set_state(o, OWN_OVER);
	relay_reap_later(o->relay, &o->relay->owns_over, &o->entry);
}

void
own_free_all(struct list *over)
{
	struct list *e, *next;

	list_each_safe (e, next, over) {
		list_remove(e);
		free(LIST_ITEM(e, struct own, entry));
	}
}

void
own_forget(struct session *s, int64_t now)
{
	if (s->own != NULL)
		own_let_go(s->own, now);
}

bool
own_is_needed(const struct session *s)
{
	struct smtp_caps caps;

	if (s->login_passed)
		return true;
	return s->settings->next_hop_xclient &&
	       nexthop_caps(s->relay->parts.nexthop, &caps) &&
	       caps.xclient != 0;
}

bool
own_is_lost(const struct session *s)
{
	return s->login_passed && (s->own == NULL || s->own->state == OWN_LOST);
}

/* ---- for a login ---- */

void
own_start_login(struct session *s, int64_t now)
{
	struct xclient client = describe(s, NULL);

	own_forget(s, now);
	own_new(s, &client, now);
}

struct smtp_client *
own_client(struct session *s)
{
	return s->own != NULL && s->own->state == OWN_READY
		   ? hop_client(s->own->hop)
		   : NULL;
}

unsigned
own_mechs(struct session *s)
{
	return hop_caps(s->own->hop).auth;
}

void
own_auth(struct session *s, enum sasl_mech mech, bool has_initial,
    struct str initial, int64_t now)
{
	hop_set_secret(s->own->hop, true);
	s->own->auth_open = true;
	smtp_client_auth(own_client(s), mech, has_initial, initial, 0, now);
}

/* ---- for hop transactions ---- */

/* A connection that tells of the client of this transaction; NULL: the one
 * there is cannot be had. */
static struct own *
find_own(struct session *s, const struct txn *t, int64_t now)
{
	struct xclient client = describe(s, t);
	struct own *o = s->own;

	if (s->login_passed)
		return own_is_lost(s) || o->hop_txn != NULL ? NULL : o;
	if (o != NULL && o->hop_txn == NULL && o->state != OWN_LOST &&
	    is_same(&o->client, &client))
		return o;
	own_forget(s, now);
	own_new(s, &client, now);
	return s->own;
}

bool
own_take(struct hop_txn *l, int64_t now)
{
	struct own *o = find_own(l->txn->session, l->txn, now);

	if (o == NULL)
		return false;
	o->hop_txn = l;
	l->own = o;
	l->hop = o->hop;
	return true;
}

bool
own_is_ready(const struct own *o)
{
	return o->state == OWN_READY;
}

bool
own_is_reused(const struct own *o)
{
	return o->served;
}

void
own_put(struct own *o, bool usable, int64_t now)
{
	o->hop_txn = NULL;
	o->served = true;
	o->idle_since = now;
	if (!usable && o->hop != NULL) {
		hop_drop(o->hop);
		o->hop = NULL;
		own_set_state(o, OWN_LOST);
	}
	if (o->session == NULL)
		own_let_go(o, now);
	else if (o->state == OWN_READY)
		smtp_client_flush_reset(hop_client(o->hop), now);
}

/* ---- what the hop says ---- */

static void
tell_ready(struct own *o, int64_t now)
{
	own_set_state(o, OWN_READY);
	o->idle_since = now;
	if (o->hop_txn != NULL)
		hop_txn_ops.on_ready(o->hop_txn, now);
	else if (o->session != NULL)
		login_on_hop_ready(o->session, now);
}

static void
on_own_ready(void *arg, int64_t now)
{
	struct own *o = arg;
	bool names =
	    o->session != NULL && o->session->settings->next_hop_xclient;

	if (o->state == OWN_CONNECTING && names &&
	    smtp_client_xclient(hop_client(o->hop), &o->client, now))
		own_set_state(o, OWN_NAMING);
	else
		tell_ready(o, now);
}

static void
on_own_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	struct own *o = arg;

	if (what == SMTP_CLIENT_AUTH && reply->code != 334) {
		o->auth_open = false;
		o->idle_since = now;
		hop_set_secret(o->hop, false);
	}
	if (what == SMTP_CLIENT_AUTH && o->session != NULL)
		login_on_hop_reply(o->session, reply, now);
	else if (o->hop_txn != NULL)
		hop_txn_ops.on_reply(o->hop_txn, what, tag, reply, now);
}

static void
on_own_drain(void *arg, int64_t now)
{
	struct own *o = arg;

	if (o->hop_txn != NULL)
		hop_txn_ops.on_drain(o->hop_txn, now);
}

static void
on_own_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct own *o = arg;
	struct session *s = o->session;
	struct hop_txn *l = o->hop_txn;

	o->hop = NULL;
	own_set_state(o, OWN_LOST);
	o->hop_txn = NULL;
	if (s == NULL)
		own_let_go(o, now);
	if (l != NULL) {
		l->own = NULL;
		hop_txn_ops.on_fail(l, reply, now);
	} else if (s != NULL) {
		login_on_hop_fail(s, reply, now);
	}
}

static void
on_own_trace(void *arg, struct tap_who *out)
{
	const struct own *o = arg;

	relay_whose(
	    o->session, o->hop_txn != NULL ? o->hop_txn->txn : NULL, out);
}

static const struct hop_ops own_ops = {
    .on_trace = on_own_trace,
    .on_ready = on_own_ready,
    .on_reply = on_own_reply,
    .on_drain = on_own_drain,
    .on_fail = on_own_fail,
};
