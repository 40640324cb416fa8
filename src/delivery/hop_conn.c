/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Glue: bytes from the connection to the protocol engine and back. Its user may
 * close it in any callback; the engine is then still on the stack, so it stays
 * until hop_conn_free, and what it still says goes nowhere.
 */
#include "delivery/hop_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIT_LINGER_MS 1000

static void
fail(struct hop_conn *ch, enum hop_conn_fault fault,
    const struct smtp_reply *reply, int64_t now)
{
	if (ch->state != HOP_CONN_DEAD)
		ch->ops->on_fail(ch, fault, reply, now);
}

static void
on_client_write(void *arg, const char *p, size_t n)
{
	struct hop_conn *ch = arg;

	if (ch->conn != NULL)
		(void)conn_write(ch->conn, p, n);
}

static void
fail_login(struct hop_conn *ch, const char *why, int64_t now)
{
	struct smtp_reply reply = smtp_reply_make(451, "4.7.0", why);

	fail(ch, HOP_CONN_REFUSED, &reply, now);
}

static void
on_client_ready(void *arg, const struct smtp_caps *caps)
{
	struct hop_conn *ch = arg;
	const char *why;

	(void)caps;
	if (ch->state == HOP_CONN_DEAD)
		return;
	if (ch->state == HOP_CONN_GREETING && ch->login != NULL) {
		ch->state = HOP_CONN_LOGIN;
		if (!hop_conn_login_start(ch, &why, loop_now(ch->loop)))
			fail_login(ch, why, loop_now(ch->loop));
		return;
	}
	ch->state = HOP_CONN_READY;
	ch->ops->on_ready(ch, loop_now(ch->loop));
}

static void
on_login_reply(struct hop_conn *ch, const struct smtp_reply *reply, int64_t now)
{
	const char *why = NULL;

	if (!hop_conn_login_reply(ch, reply, &why, now))
		return;
	if (why != NULL) {
		fail_login(ch, why, now);
		return;
	}
	ch->state = HOP_CONN_READY;
	ch->ops->on_ready(ch, now);
}

/* What servers count: a message sets both back (Postfix, Exim). */
static void
count(struct hop_conn *ch, enum smtp_client_what what,
    const struct smtp_reply *reply)
{
	bool ok = smtp_reply_is_ok(reply);

	if (what == SMTP_CLIENT_END) {
		/* LMTP has a reply for each recipient. */
		ch->messages += !smtp_client_is_lmtp(ch->client) ||
				smtp_client_is_idle(ch->client);
		ch->refusals = ch->resets = 0;
	} else if (!ok) {
		ch->refusals++;
	} else if (what == SMTP_CLIENT_MAIL) {
		ch->mails++;
	}
}

static void
on_client_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply)
{
	struct hop_conn *ch = arg;

	if (ch->state == HOP_CONN_DEAD)
		return;
	if (ch->state == HOP_CONN_LOGIN) {
		on_login_reply(ch, reply, loop_now(ch->loop));
		return;
	}
	count(ch, what, reply);
	ch->ops->on_reply(ch, what, tag, reply, loop_now(ch->loop));
}

static void
on_client_fail(void *arg, const struct smtp_reply *reply)
{
	struct hop_conn *ch = arg;
	enum hop_conn_fault fault = HOP_CONN_BROKEN;

	if (ch->tls_failed)
		fault = HOP_CONN_TLS;
	else if (ch->state != HOP_CONN_READY)
		fault = ch->in_deadline ? HOP_CONN_TIMEOUT : HOP_CONN_REFUSED;
	fail(ch, fault, reply, loop_now(ch->loop));
}

static void
on_client_starttls(void *arg)
{
	struct hop_conn *ch = arg;

	ch->tls_due = true; /* when its input has been consumed */
}

static void
on_client_said(void *arg, struct str line)
{
	struct hop_conn *ch = arg;

	if (ch->state != HOP_CONN_DEAD)
		ch->ops->on_said(ch, line);
}

static void
on_client_heard(void *arg, const struct smtp_reply *reply)
{
	struct hop_conn *ch = arg;

	if (ch->state != HOP_CONN_DEAD)
		ch->ops->on_heard(ch, reply);
}

static const struct smtp_client_ops client_ops = {
    .write = on_client_write,
    .on_ready = on_client_ready,
    .on_starttls = on_client_starttls,
    .on_reply = on_client_reply,
    .on_fail = on_client_fail,
    .on_said = on_client_said,
    .on_heard = on_client_heard,
};

static void
greet(struct hop_conn *ch, int64_t now)
{
	enum smtp_client_tls tls = ch->tls.client == NULL || ch->tls.implicit
				       ? SMTP_CLIENT_TLS_NONE
				   : ch->tls.required ? SMTP_CLIENT_TLS_REQUIRE
						      : SMTP_CLIENT_TLS_MAY;

	ch->state = HOP_CONN_GREETING;
	if (ch->greeting_ms > 0)
		ch->greeting_due = now + ch->greeting_ms;
	ch->client =
	    smtp_client_new(ch->hostname, ch->timeouts, &client_ops, ch, now);
	smtp_client_set_tls(ch->client, tls);
	if (route_is_lmtp(ch->name))
		smtp_client_set_lmtp(ch->client);
}

static void
tls_done(struct hop_conn *ch, int64_t now)
{
	if (ch->client == NULL)
		greet(ch, now);
	if (conn_tls_info(ch->conn).verified)
		smtp_client_set_verified(ch->client);
	if (!ch->tls.implicit)
		smtp_client_tls_done(ch->client, now);
}

static void
start_tls(struct hop_conn *ch, int64_t now)
{
	struct smtp_reply reply = smtp_reply_make(
	    451, "4.7.5", "TLS: plaintext data before the handshake");
	struct tls *t = tls_connect(ch->tls.client, ch->tls.name, ch->name);

	ch->tls_due = false;
	if (!conn_start_tls(ch->conn, t, ch->tls.timeout_ms))
		fail(ch, HOP_CONN_TLS, &reply, now);
}

static void
on_conn_connect(void *arg, int64_t now)
{
	struct hop_conn *ch = arg;

	if (ch->tls.client != NULL && ch->tls.implicit)
		start_tls(ch, now);
	else
		greet(ch, now);
}

static void
on_conn_tls(void *arg, int64_t now)
{
	struct hop_conn *ch = arg;

	tls_done(ch, now);
}

static void
on_conn_read(void *arg, int64_t now)
{
	struct hop_conn *ch = arg;
	struct str in = conn_input(ch->conn);

	smtp_client_feed(ch->client, in.p, in.n, now);
	if (ch->conn == NULL)
		return;
	conn_consume(ch->conn, in.n);
	if (ch->tls_due)
		start_tls(ch, now);
}

static void
on_conn_drain(void *arg, int64_t now)
{
	struct hop_conn *ch = arg;

	ch->ops->on_drain(ch, now);
}

static void
on_conn_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct hop_conn *ch = arg;
	char tls[TLS_ERROR_MAX + 8];
	const char *text = why == CONN_EOF ? "connection closed by the peer"
			   : why == CONN_TIMEOUT ? "connection timed out"
						 : strerror(error);
	struct smtp_reply reply;

	ch->tls_failed = conn_is_shaking(ch->conn);
	if (ch->tls_failed || error == EPROTO) {
		snprintf(tls, sizeof(tls), "TLS: %s",
		    why == CONN_TIMEOUT ? "no handshake in time"
					: conn_tls_error(ch->conn));
		text = tls;
	}
	reply = smtp_reply_make(451, ch->tls_failed ? "4.7.5" : "4.4.2", text);
	if (ch->tls_failed && ch->client == NULL) {
		fail(ch, HOP_CONN_TLS, &reply, now);
		return;
	}
	if (ch->state == HOP_CONN_CONNECTING) {
		fail(ch, HOP_CONN_CONNECT, &reply, now);
		return;
	}
	smtp_client_lost(ch->client, text, now);
	/* Nothing was under way that the engine had to report. */
	fail(ch, HOP_CONN_BROKEN, &reply, now);
}

static const struct conn_ops conn_ops = {
    .on_connect = on_conn_connect,
    .on_tls = on_conn_tls,
    .on_read = on_conn_read,
    .on_drain = on_conn_drain,
    .on_end = on_conn_end,
};

struct hop_conn *
hop_conn_new(const struct hop_conn_settings *settings,
    const struct route_choice *to, const struct hop_conn_ops *ops, void *pool)
{
	struct hop_conn *ch = xcalloc(1, sizeof(*ch));

	list_init(&ch->entry);
	ch->ops = ops;
	ch->pool = pool;
	ch->loop = settings->loop;
	ch->hostname = settings->hostname;
	ch->timeouts = settings->timeouts;
	ch->greeting_ms = settings->greeting_ms;
	ch->opened_at = loop_now(settings->loop);
	ch->addr = to->addr;
	ch->target = to->target;
	str_copy(str_from(to->name), ch->name, sizeof(ch->name));
	ch->credentials = credentials_ref(settings->credentials);
	ch->login = credentials_find(ch->credentials, settings->next_hop);
	ch->login_in_clear = settings->login_in_clear;
	str_copy(str_from(to->host), ch->host, sizeof(ch->host));
	ch->tls = settings->tls;
	tls_client_ref(ch->tls.client);
	if (ch->tls.name != NULL)
		ch->tls.name = xstrdup(ch->tls.name);
	else if (ch->host[0] != '\0')
		ch->tls.name = xstrdup(ch->host);
	ch->conn = conn_connect(settings->loop, &to->addr,
	    settings->connect_timeout_ms, &conn_ops, ch);
	return ch;
}

/* A handshake has a deadline of its own. */
static bool
is_greeting_late(const struct hop_conn *ch, int64_t now)
{
	return ch->state == HOP_CONN_GREETING && ch->greeting_due != 0 &&
	       now >= ch->greeting_due && !conn_is_shaking(ch->conn);
}

void
hop_conn_run(struct hop_conn *ch, int64_t now)
{
	struct smtp_reply late =
	    smtp_reply_make(451, "4.4.2", "no greeting in time");

	if (is_greeting_late(ch, now)) {
		fail(ch, HOP_CONN_TIMEOUT, &late, now);
		return;
	}
	if (ch->client == NULL || smtp_client_next_due(ch->client) > now)
		return;
	ch->in_deadline = true;
	smtp_client_run(ch->client, now);
	ch->in_deadline = false;
}

void
hop_conn_close(struct hop_conn *ch, bool politely, int64_t now)
{
	if (ch->state == HOP_CONN_DEAD)
		return;
	if (politely && ch->state == HOP_CONN_READY) {
		smtp_client_quit(ch->client, now);
		conn_close(ch->conn, QUIT_LINGER_MS);
	} else {
		conn_free(ch->conn);
	}
	ch->conn = NULL;
	ch->state = HOP_CONN_DEAD;
}

void
hop_conn_free(struct hop_conn *ch)
{
	if (ch == NULL)
		return;
	if (ch->conn != NULL)
		conn_free(ch->conn);
	smtp_client_free(ch->client);
	credentials_free(ch->credentials);
	tls_client_unref(ch->tls.client);
	free((char *)ch->tls.name);
	free(ch);
}
