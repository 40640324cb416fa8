/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session's way to TLS: from the first byte on an implicit listener, or after
 * STARTTLS. A handshake that fails ends the session, and the log says why; mail
 * is never taken on in plain instead.
 */
#include "relay/relay_internal.h"

void
session_tls_init(struct session *s, const struct relay_listen *listen)
{
	static const enum smtp_server_tls engine[] = {
	    [RELAY_TLS_NONE] = SMTP_SERVER_TLS_NONE,
	    [RELAY_TLS_MAY] = SMTP_SERVER_TLS_OFFER,
	    [RELAY_TLS_REQUIRE] = SMTP_SERVER_TLS_REQUIRE,
	    [RELAY_TLS_IMPLICIT] = SMTP_SERVER_TLS_ACTIVE,
	};

	if (listen->tls == RELAY_TLS_NONE)
		return;
	s->tls_server = tls_server_ref(listen->tls_server);
	s->tls_timeout_ms = listen->tls_timeout_ms;
	smtp_server_set_tls(s->server, engine[listen->tls]);
}

void
session_tls_clear(struct session *s)
{
	tls_server_unref(s->tls_server);
	s->tls_server = NULL;
}

void
session_tls_start(struct session *s, int64_t now)
{
	struct conn *c = s->conn;

	(void)now;
	session_set_state(s,
	    s->state == SESSION_STARTTLS ? SESSION_SHAKING : SESSION_TLS_FIRST);
	if (conn_start_tls(c, tls_accept(s->tls_server), s->tls_timeout_ms)) {
		session_tls_clear(s);
		return;
	}
	counters_add(s->relay->parts.counters, COUNT_PROTOCOL_ERRORS, 1);
	session_end(s);
	conn_free(c);
}

void
session_on_starttls(void *arg)
{
	struct session *s = arg;

	session_set_state(s, SESSION_STARTTLS);
}

static void
log_done(const struct session *s)
{
	struct tls_info tls = conn_tls_info(s->conn);

	counters_add(s->relay->parts.counters, COUNT_TLS_SESSIONS, 1);
	if (!log_is_on(s->relay->parts.log, LOG_LEVEL_INFO))
		return;
	log_write(s->relay->parts.log, LOG_EV_SMTP_TLS, KV(client, &s->client),
	    KV(tls, tls.version), KV(cipher, tls.cipher),
	    KV(resumed, tls.resumed), KV(sni, tls.sni), KV(user, tls.user));
}

void
session_on_tls(void *arg, int64_t now)
{
	struct session *s = arg;

	log_done(s);
	if (s->state == SESSION_SHAKING) {
		session_set_state(s, SESSION_OPEN);
		session_forget_login(s, now);
		session_forget_forwarded(s);
		smtp_server_tls_done(s->server, now);
	} else {
		session_start(s, now);
	}
	session_pump(s, now);
}

void
session_tls_log_end(const struct session *s)
{
	const char *error = conn_tls_error(s->conn);

	if (!conn_is_shaking(s->conn))
		return;
	counters_add(s->relay->parts.counters, COUNT_TLS_FAILURES, 1);
	log_write(s->relay->parts.log, LOG_EV_SMTP_TLS_FAILED,
	    KV(client, &s->client),
	    KV(reason, error[0] != '\0' ? error : "no handshake in time"));
}

struct str
session_tls_user(const struct session *s)
{
	if (!conn_is_tls(s->conn))
		return (struct str){NULL, 0};
	return str_from(conn_tls_info(s->conn).user);
}
