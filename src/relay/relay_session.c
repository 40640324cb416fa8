/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session: one client connection and its server engine. Bytes go from the
 * connection to the engine as long as no question is open and nothing behind
 * it is full; the engine's questions go to the transaction.
 */
#include "relay/relay_internal.h"

#include <stdlib.h>

#define LINGER_MS 5000

static const struct smtp_server_ops server_ops;
static const struct conn_ops session_conn_ops;

static void
session_reap(void *arg, int64_t now)
{
	struct session *s = arg;

	(void)now;
	loop_timer_clear(&s->timer);
	loop_task_clear(&s->reap);
	session_forget_forwarded(s);
	free(s->client_name);
	free(s->user);
	session_tls_clear(s);
	smtp_server_free(s->server);
	free(s);
}

void
session_set_timer(struct session *s)
{
	int64_t due, login = login_due(s);

	if (!session_is_greeted(s))
		return;
	if (s->txn != NULL && s->txn->state == TXN_END)
		due = s->txn->answer_due;
	else
		due = smtp_server_next_due(s->server);
	if (s->caps_hop != NULL && s->caps_due < due)
		due = s->caps_due;
	if (session_late_due(s) < due)
		due = session_late_due(s);
	loop_timer_set(&s->timer, login < due ? login : due);
}

/* Leaves the lists at once and is freed at the end of the turn, since the
 * engine may be on the stack. */
void
session_end(struct session *s)
{
	int64_t now = loop_now(s->relay->parts.loop);
	struct txn *t = s->txn;

	if (s->state == SESSION_ENDED)
		return;
	session_set_state(s, SESSION_ENDED);
	session_drop_helo(s);
	session_late_drop(s);
	login_drop(s, now);
	private_conn_forget(s, now);
	s->txn = NULL;
	if (t != NULL && t->state == TXN_END) {
		txn_doubt(t, now);
		txn_set_state(t, TXN_LEFT);
		t->session = NULL;
	} else if (t != NULL) {
		t->session = NULL;
		txn_abort(t, now);
	}
	loop_timer_set(&s->timer, INT64_MAX);
	relay_session_ended(s->relay, s);
	loop_task_set(&s->reap);
}

void
session_close(
    struct session *s, const struct smtp_reply *last_word, int64_t now)
{
	if (s->state != SESSION_ENDED)
		smtp_server_close(s->server, last_word, now);
}

void
session_txn_done(struct session *s)
{
	static const char text[] = "Service is shutting down, try again later";
	int64_t now = loop_now(s->relay->parts.loop);
	struct smtp_reply bye;

	s->txn = NULL;
	session_forget_forwarded(s);
	if (s->state == SESSION_ENDED)
		return;
	session_touch(s, now);
	/* What was full was the transaction's; it drains for nobody now. */
	session_set_blocked(s, false, now);
	if (!s->relay->draining)
		return;
	bye = smtp_reply_make(421, "4.3.2", text);
	session_close(s, &bye, now);
}

/* Reading stops while the next hop or the spool is full; and while input waits
 * for an answer, so that a client that sent all it has and closed its side
 * (nc -N) is still served. */
static void
session_set_reading(struct session *s)
{
	bool paused = s->blocked || (smtp_server_is_waiting(s->server) &&
					conn_input(s->conn).n > 0);

	if (s->state == SESSION_ENDED || paused == s->paused)
		return;
	s->paused = paused;
	if (paused)
		conn_pause(s->conn);
	else
		conn_resume(s->conn);
}

void
session_set_blocked(struct session *s, bool blocked, int64_t now)
{
	if (s->blocked == blocked)
		return;
	s->blocked = blocked;
	smtp_server_pause(s->server, blocked, now);
	session_set_reading(s);
	if (!blocked)
		session_set_timer(s);
}

/* A client that says nothing more has its replies; or what it said last is no
 * whole command. */
static bool
has_had_all(const struct session *s)
{
	return s->said_all && !smtp_server_is_waiting(s->server) &&
	       !conn_is_full(s->conn);
}

void
session_pump(struct session *s, int64_t now)
{
	struct str in;
	size_t used;

	if (s->pumping || !session_is_greeted(s))
		return;
	s->pumping = true;
	/* While a question is open the engine consumes nothing, but notes
	 * what came too early behind EHLO or DATA. */
	while (session_is_greeted(s) && !s->blocked && !conn_is_full(s->conn)) {
		in = conn_input(s->conn);
		if (in.n == 0)
			break;
		used = smtp_server_feed(s->server, in.p, in.n, now);
		if (used == 0 || s->state == SESSION_ENDED)
			break;
		conn_consume(s->conn, used);
	}
	s->pumping = false;
	if (s->state == SESSION_STARTTLS)
		session_tls_start(s, now);
	if (s->state == SESSION_ENDED)
		return;
	if (has_had_all(s)) {
		session_hang_up(s);
		return;
	}
	session_set_reading(s);
	session_set_timer(s);
}

static void
session_greet(struct session *s, int64_t now)
{
	session_set_state(s, SESSION_OPEN);
	conn_resume(s->conn);
	smtp_server_greet(s->server, conn_peek(s->conn), now);
	session_set_timer(s);
}

static void
run_deadline(struct session *s, int64_t now)
{
	if (s->caps_hop != NULL && s->caps_due <= now) {
		session_stop_asking(s, now);
		return;
	}
	if (session_late_due(s) <= now) {
		session_late_run(s, now);
		return;
	}
	if (login_due(s) <= now) {
		login_run(s, now);
		session_set_timer(s);
		return;
	}
	if (s->txn != NULL && s->txn->state == TXN_END &&
	    s->txn->answer_due <= now)
		txn_answer_late(s->txn, now);
	else
		smtp_server_run(s->server, now);
	session_set_timer(s);
}

static void
on_session_timer(void *arg, int64_t now)
{
	struct session *s = arg;

	switch (s->state) {
	case SESSION_NEW:
	case SESSION_TLS_FIRST: /* the connection has the deadline */
	case SESSION_ENDED:
		break;
	case SESSION_PROXY:
		session_proxy_late(s);
		break;
	case SESSION_SILENT:
		session_greet(s, now);
		break;
	case SESSION_OPEN:
	case SESSION_STARTTLS:
	case SESSION_SHAKING:
		run_deadline(s, now);
		break;
	}
}

static void
set_ends(struct session *s, int fd, const struct net_addr *peer)
{
	struct net_addr local = {.len = sizeof(local.ss)};

	s->peer = s->client = net_addr_ip(peer);
	s->client_port = net_addr_port(peer);
	if (getsockname(fd, (struct sockaddr *)&local.ss, &local.len) != 0)
		return;
	s->local = net_addr_ip(&local);
	s->local_port = net_addr_port(&local);
	s->ends = (struct nexthop_ends){.peer = s->peer,
	    .local = s->local,
	    .peer_port = s->client_port,
	    .local_port = s->local_port};
}

struct session *
session_new(struct relay *r, int fd, const struct net_addr *peer,
    const struct relay_listen *listen)
{
	struct session *s = xcalloc(1, sizeof(*s));

	list_init(&s->entry);
	s->relay = r;
	s->settings = r->settings;
	s->limits = r->settings->limits;
	s->listen = *listen;
	s->listen.tls_server = NULL;
	set_ends(s, fd, peer);
	s->conn = conn_new(r->parts.loop, fd, &session_conn_ops, s);
	conn_set_output_high(s->conn, CONN_REPLIES_HIGH);
	s->server =
	    smtp_server_new(&s->limits, s->settings->hostname, &server_ops, s);
	smtp_server_trust(s->server, session_is_trusted(s));
	session_tls_init(s, listen);
	loop_timer_init(&s->timer, r->parts.loop, on_session_timer, s);
	loop_task_init(&s->reap, r->parts.loop, session_reap, s);
	return s;
}

void
session_start(struct session *s, int64_t now)
{
	/* An implicit handshake clears it. */
	if (s->listen.tls == RELAY_TLS_IMPLICIT && s->tls_server != NULL) {
		session_tls_start(s, now);
	} else if (s->settings->greeting_delay_ms > 0) {
		/* Whoever talks in this time is a bot: see session_greet. */
		session_set_state(s, SESSION_SILENT);
		conn_pause(s->conn);
		loop_timer_set(&s->timer, now + s->settings->greeting_delay_ms);
	} else {
		session_greet(s, now);
	}
}

/* ---- the connection ---- */

static void
on_conn_read(void *arg, int64_t now)
{
	struct session *s = arg;

	session_touch(s, now);
	if (s->state == SESSION_PROXY)
		session_read_proxy(s, now);
	else
		session_pump(s, now);
}

static void
on_conn_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct session *s = arg;
	struct conn *c = s->conn;

	(void)why;
	(void)error;
	session_tls_log_end(s);
	if (s->txn != NULL)
		txn_given_up(s->txn, now);
	session_end(s);
	conn_free(c);
}

/* Whoever has half-closed (nc -N, or a script behind its final dot) hears the
 * answers to what it sent. Whether it has left altogether only shows when they
 * are sent. */
static void
on_conn_eof(void *arg, int64_t now)
{
	struct session *s = arg;

	s->said_all = true;
	if (s->txn != NULL)
		txn_doubt(s->txn, now);
	if (session_is_greeted(s))
		session_pump(s, now);
	else
		session_hang_up(s);
}

static const struct conn_ops session_conn_ops = {
    .on_read = on_conn_read,
    .on_drain = on_conn_read,
    .on_tls = session_on_tls,
    .on_eof = on_conn_eof,
    .on_end = on_conn_end,
};

/* ---- the engine's questions ---- */

static void
on_server_write(void *arg, const char *p, size_t n)
{
	struct session *s = arg;

	if (s->state != SESSION_ENDED && !conn_write(s->conn, p, n))
		smtp_server_yield(s->server);
}

static void
on_server_helo(void *arg, struct str name, bool esmtp)
{
	struct session *s = arg;

	session_on_helo(s, name, esmtp, loop_now(s->relay->parts.loop));
}

static void
on_server_mail(void *arg, const struct smtp_mail *mail)
{
	struct session *s = arg;

	txn_on_mail(s, mail, loop_now(s->relay->parts.loop));
}

static void
on_server_rcpt(void *arg, const struct smtp_rcpt *rcpt)
{
	struct session *s = arg;

	txn_on_rcpt(s->txn, rcpt, loop_now(s->relay->parts.loop));
}

static void
on_server_data(void *arg)
{
	struct session *s = arg;

	txn_on_data(s->txn, loop_now(s->relay->parts.loop));
}

static void
on_server_body(void *arg, struct str chunk)
{
	struct session *s = arg;

	txn_on_body(s->txn, chunk, loop_now(s->relay->parts.loop));
}

static void
on_server_end(void *arg, enum smtp_data_fault fault)
{
	struct session *s = arg;

	txn_on_end(s->txn, fault, loop_now(s->relay->parts.loop));
}

static void
on_server_reset(void *arg)
{
	struct session *s = arg;

	if (s->txn == NULL || s->txn->state == TXN_END)
		return;
	txn_given_up(s->txn, loop_now(s->relay->parts.loop));
	txn_abort(s->txn, loop_now(s->relay->parts.loop));
}

void
session_hang_up(struct session *s)
{
	struct conn *c = s->conn;

	if (s->txn != NULL)
		txn_given_up(s->txn, loop_now(s->relay->parts.loop));
	session_end(s);
	conn_close(c, LINGER_MS);
}

static void
on_server_close(void *arg, enum smtp_server_end why)
{
	struct session *s = arg;
	struct conn *c = s->conn;

	if (s->state == SESSION_ENDED)
		return;
	if (why != SMTP_SERVER_QUIT && why != SMTP_SERVER_CLOSED)
		counters_add(
		    s->relay->parts.counters, COUNT_PROTOCOL_ERRORS, 1);
	session_end(s);
	/* One that makes room keeps no descriptor: it has said nothing that
	 * the last word could be lost by. */
	if (why == SMTP_SERVER_QUIT || s->shed)
		conn_finish(c, LINGER_MS);
	else
		conn_close(c, LINGER_MS);
}

static void
on_server_auth(
    void *arg, enum sasl_mech mech, bool has_initial, struct str initial)
{
	struct session *s = arg;

	login_start(
	    s, mech, has_initial, initial, loop_now(s->relay->parts.loop));
}

static void
on_server_auth_line(void *arg, struct str line)
{
	struct session *s = arg;

	login_line(s, line, loop_now(s->relay->parts.loop));
}

static void
on_server_auth_cancel(void *arg)
{
	struct session *s = arg;

	login_drop(s, loop_now(s->relay->parts.loop));
}

static void
on_server_xclient(void *arg, const struct xclient *x)
{
	struct session *s = arg;

	session_on_xclient(s, x, loop_now(s->relay->parts.loop));
}

static void
on_server_xforward(void *arg, const struct xclient *x)
{
	struct session *s = arg;

	session_on_xforward(s, x, loop_now(s->relay->parts.loop));
}

static void
trace_line(const struct session *s, enum tap_part part, struct str text)
{
	struct tap *tap = log_tap(s->relay->parts.log);
	struct tap_who who = {0};

	if (!tap_is_on(tap))
		return;
	relay_whose(s, s->txn, &who);
	tap_write(tap, &who, part, text);
}

static void
on_server_heard(void *arg, struct str line)
{
	trace_line(arg, TAP_CLIENT, line);
}

static void
on_server_said(void *arg, struct str lines)
{
	trace_line(arg, TAP_REPLY, lines);
}

static const struct smtp_server_ops server_ops = {
    .write = on_server_write,
    .on_helo = on_server_helo,
    .on_mail = on_server_mail,
    .on_rcpt = on_server_rcpt,
    .on_data = on_server_data,
    .on_body = on_server_body,
    .on_end = on_server_end,
    .on_starttls = session_on_starttls,
    .on_reset = on_server_reset,
    .on_close = on_server_close,
    .on_auth = on_server_auth,
    .on_auth_line = on_server_auth_line,
    .on_auth_cancel = on_server_auth_cancel,
    .on_xclient = on_server_xclient,
    .on_xforward = on_server_xforward,
    .on_heard = on_server_heard,
    .on_said = on_server_said,
};
