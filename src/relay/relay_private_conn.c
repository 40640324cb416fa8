/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session's private connection to the next hop: one that speaks in the
 * client's name, because the client has logged in over it, or because XCLIENT
 * has told who it is. It serves this session's cut-through alone, one hop
 * transaction at a time, never goes back to the pool, and lives on without its
 * session while a hop transaction waits for the reply to its message. When as
 * many are open as may be, the one that has idled longest makes room for a
 * session that needs one.
 */
#include "relay/relay_internal.h"

#include <stdlib.h>
#include <string.h>

enum private_conn_state {
	PRIVATE_CONN_CONNECTING,
	PRIVATE_CONN_NAMING, /* XCLIENT was sent */
	PRIVATE_CONN_READY,
	PRIVATE_CONN_LOST, /* an answer to a login or hop transaction has said
			      so */
	PRIVATE_CONN_OVER,
};

static const char *const private_conn_names[] = {
    [PRIVATE_CONN_CONNECTING] = "connecting",
    [PRIVATE_CONN_NAMING] = "naming",
    [PRIVATE_CONN_READY] = "ready",
    [PRIVATE_CONN_LOST] = "lost",
    [PRIVATE_CONN_OVER] = "over",
};

static const uint16_t private_conn_may_follow[] = {
    [PRIVATE_CONN_CONNECTING] = 0,
    [PRIVATE_CONN_NAMING] = 1u << PRIVATE_CONN_CONNECTING,
    [PRIVATE_CONN_READY] =
	1u << PRIVATE_CONN_CONNECTING | 1u << PRIVATE_CONN_NAMING,
    [PRIVATE_CONN_LOST] = (1u << PRIVATE_CONN_LOST) - 1,
    [PRIVATE_CONN_OVER] = (1u << PRIVATE_CONN_OVER) - 1,
};

static const struct relay_states private_conn_states = {
    "private connection", private_conn_names, private_conn_may_follow};

struct private_conn {
	struct list entry; /* among what is over */
	struct relay *relay;
	struct session *session; /* NULL: it has ended */
	struct hop *hop;
	enum private_conn_state state;
	struct hop_txn *hop_txn; /* that uses it, NULL: none */
	bool auth_open;          /* AUTH was said and is not decided */
	bool served;             /* a hop transaction has given it back */
	int64_t idle_since;      /* without a login or a hop transaction */
	struct xclient client;   /* who it speaks for */
};

static const struct hop_ops private_conn_ops;

static void
private_conn_set_state(struct private_conn *o, enum private_conn_state state)
{
	relay_move(&private_conn_states, o->relay, o->session,
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
	const struct private_conn *o = s->private_conn;

	return o != NULL && o->state == PRIVATE_CONN_READY &&
	       o->hop_txn == NULL && !o->auth_open && s->login == NULL &&
	       s->txn == NULL &&
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
		    (found == NULL || s->private_conn->idle_since <
					  found->private_conn->idle_since))
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
	relay_report_limit(
	    r, RELAY_NEXT_HOP_CONNECTIONS, NULL, &s->client, now);
	if (!s->login_passed) {
		private_conn_forget(s, now);
		return;
	}
	counters_add(r->parts.counters, COUNT_SLOW_ENDED, 1);
	session_close(s, &bye, now);
}

static void
private_conn_new(struct session *s, const struct xclient *client, int64_t now)
{
	struct private_conn *o = xcalloc(1, sizeof(*o));

	make_room(s->relay, now);
	o->relay = s->relay;
	o->session = s;
	o->client = *client;
	o->hop = nexthop_get_private(
	    s->relay->parts.nexthop, &private_conn_ops, o, now);
	s->private_conn = o;
}

/* Takes it off its session; a hop transaction that uses it keeps it until it is
 * done. */
static void
private_conn_let_go(struct private_conn *o, int64_t now)
{
	if (o->session != NULL)
		o->session->private_conn = NULL;
	o->session = NULL;
	if (o->hop_txn != NULL)
		return;
	/* Within a login a QUIT would be a response. */
	if (o->hop != NULL && o->auth_open)
		hop_drop(o->hop);
	else if (o->hop != NULL)
		hop_put(o->hop, now);
	o->hop = NULL;
	private_conn_set_state(o, PRIVATE_CONN_OVER);
	relay_reap_later(o->relay, &o->relay->private_conns_over, &o->entry);
}

void
private_conn_free_all(struct list *over)
{
	struct list *e, *next;

	list_each_safe (e, next, over) {
		list_remove(e);
		free(LIST_ITEM(e, struct private_conn, entry));
	}
}

void
private_conn_forget(struct session *s, int64_t now)
{
	if (s->private_conn != NULL)
		private_conn_let_go(s->private_conn, now);
}

bool
private_conn_is_needed(const struct session *s)
{
	struct smtp_caps caps;

	if (s->login_passed)
		return true;
	return s->settings->next_hop_xclient &&
	       nexthop_caps(s->relay->parts.nexthop, &caps) &&
	       caps.xclient != 0;
}

bool
private_conn_is_lost(const struct session *s)
{
	return s->login_passed &&
	       (s->private_conn == NULL ||
		   s->private_conn->state == PRIVATE_CONN_LOST);
}

/* ---- for a login ---- */

void
private_conn_start_login(struct session *s, int64_t now)
{
	struct xclient client = describe(s, NULL);

	private_conn_forget(s, now);
	private_conn_new(s, &client, now);
}

struct smtp_client *
private_conn_client(struct session *s)
{
	return s->private_conn != NULL &&
		       s->private_conn->state == PRIVATE_CONN_READY
		   ? hop_client(s->private_conn->hop)
		   : NULL;
}

unsigned
private_conn_mechs(struct session *s)
{
	return hop_caps(s->private_conn->hop).auth;
}

void
private_conn_auth(struct session *s, enum sasl_mech mech, bool has_initial,
    struct str initial, int64_t now)
{
	hop_set_secret(s->private_conn->hop, true);
	s->private_conn->auth_open = true;
	smtp_client_auth(
	    private_conn_client(s), mech, has_initial, initial, 0, now);
}

/* ---- for hop transactions ---- */

/* A connection that tells of the client of this transaction; NULL: the one
 * there is cannot be had. */
static struct private_conn *
find_private_conn(struct session *s, const struct txn *t, int64_t now)
{
	struct xclient client = describe(s, t);
	struct private_conn *o = s->private_conn;

	if (s->login_passed)
		return private_conn_is_lost(s) || o->hop_txn != NULL ? NULL : o;
	if (o != NULL && o->hop_txn == NULL && o->state != PRIVATE_CONN_LOST &&
	    is_same(&o->client, &client))
		return o;
	private_conn_forget(s, now);
	private_conn_new(s, &client, now);
	return s->private_conn;
}

bool
private_conn_take(struct hop_txn *l, int64_t now)
{
	struct private_conn *o =
	    find_private_conn(l->txn->session, l->txn, now);

	if (o == NULL)
		return false;
	o->hop_txn = l;
	l->private_conn = o;
	l->hop = o->hop;
	return true;
}

bool
private_conn_is_ready(const struct private_conn *o)
{
	return o->state == PRIVATE_CONN_READY;
}

bool
private_conn_is_reused(const struct private_conn *o)
{
	return o->served;
}

void
private_conn_put(struct private_conn *o, bool usable, int64_t now)
{
	o->hop_txn = NULL;
	o->served = true;
	o->idle_since = now;
	if (!usable && o->hop != NULL) {
		hop_drop(o->hop);
		o->hop = NULL;
		private_conn_set_state(o, PRIVATE_CONN_LOST);
	}
	if (o->session == NULL)
		private_conn_let_go(o, now);
	else if (o->state == PRIVATE_CONN_READY)
		smtp_client_flush_reset(hop_client(o->hop), now);
}

/* ---- what the hop says ---- */

static void
report_ready(struct private_conn *o, int64_t now)
{
	private_conn_set_state(o, PRIVATE_CONN_READY);
	o->idle_since = now;
	if (o->hop_txn != NULL)
		hop_txn_ops.on_ready(o->hop_txn, now);
	else if (o->session != NULL)
		login_on_hop_ready(o->session, now);
}

static void
on_private_conn_ready(void *arg, int64_t now)
{
	struct private_conn *o = arg;
	bool names =
	    o->session != NULL && o->session->settings->next_hop_xclient;

	if (o->state == PRIVATE_CONN_CONNECTING && names &&
	    smtp_client_xclient(hop_client(o->hop), &o->client, now))
		private_conn_set_state(o, PRIVATE_CONN_NAMING);
	else
		report_ready(o, now);
}

static void
on_private_conn_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply, int64_t now)
{
	struct private_conn *o = arg;

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
on_private_conn_drain(void *arg, int64_t now)
{
	struct private_conn *o = arg;

	if (o->hop_txn != NULL)
		hop_txn_ops.on_drain(o->hop_txn, now);
}

static void
on_private_conn_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct private_conn *o = arg;
	struct session *s = o->session;
	struct hop_txn *l = o->hop_txn;

	o->hop = NULL;
	private_conn_set_state(o, PRIVATE_CONN_LOST);
	o->hop_txn = NULL;
	if (s == NULL)
		private_conn_let_go(o, now);
	if (l != NULL) {
		l->private_conn = NULL;
		hop_txn_ops.on_fail(l, reply, now);
	} else if (s != NULL) {
		login_on_hop_fail(s, reply, now);
	}
}

static void
on_private_conn_trace(void *arg, struct tap_who *out)
{
	const struct private_conn *o = arg;

	relay_whose(
	    o->session, o->hop_txn != NULL ? o->hop_txn->txn : NULL, out);
}

static const struct hop_ops private_conn_ops = {
    .on_trace = on_private_conn_trace,
    .on_ready = on_private_conn_ready,
    .on_reply = on_private_conn_reply,
    .on_drain = on_private_conn_drain,
    .on_fail = on_private_conn_fail,
};
