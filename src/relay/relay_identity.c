/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who the client is, where another says it: a proxy in front (PROXY, the first
 * bytes of a connection), or a mail server (XCLIENT, XFORWARD). Believed from
 * listed networks alone, by the address that the connection really has.
 */
#include "relay/relay_internal.h"

#include "net/proxy.h"

#include <stdlib.h>
#include <string.h>

#define PROXY_WAIT_MS 10000

static bool
nets_have(const struct ip_net *nets, size_t n, const struct ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (ip_net_has(&nets[i], ip))
			return true;
	}
	return false;
}

/* What depends on the client's address. False: it has too many sessions. */
bool
session_set_client(struct session *s, const struct ip *ip, uint16_t port)
{
	const struct relay_settings *st = s->settings;

	relay_uncount_client(s);
	s->client = *ip;
	s->client_port = port;
	s->limits.lenient =
	    nets_have(st->lenient_nets, st->lenient_net_count, ip);
	s->limits.data.bare_newline =
	    s->limits.lenient ? SMTP_BARE_ENDS
	    : nets_have(st->bare_newline_nets, st->bare_newline_net_count, ip)
		? SMTP_BARE_ALLOW
		: st->limits.data.bare_newline;
	return relay_count_client(s);
}

bool
session_is_mine(const struct session *s)
{
	return s->client.family == IP_NONE ||
	       nets_have(
		   s->settings->my_nets, s->settings->my_net_count, &s->client);
}

bool
session_is_trusted(const struct session *s)
{
	return nets_have(s->settings->xclient_nets,
	    s->settings->xclient_net_count, &s->peer);
}

struct str
session_user(const struct session *s)
{
	struct str user = str_from(s->user);

	return user.n > 0 ? user : session_tls_user(s);
}

/* RFC 3207 section 4.2: what was said in plain is forgotten. */
void
session_forget_login(struct session *s, int64_t now)
{
	private_conn_forget(s, now);
	s->login_passed = false;
	s->proof = 0;
	free(s->user);
	s->user = NULL;
}

/* ---- PROXY ---- */

static void
refuse_proxy(struct session *s, const char *why)
{
	struct conn *c = s->conn;

	counters_add(s->relay->parts.counters, COUNT_PROTOCOL_ERRORS, 1);
	log_write(s->relay->parts.log, LOG_EV_SMTP_PROXY, KV(peer, &s->peer),
	    KV(listener, s->listen.name), KV(error, why));
	session_end(s);
	conn_free(c);
}

/* Nothing is said before the header: whoever sends something else learns
 * nothing. */
bool
session_await_proxy(struct session *s, int64_t now)
{
	const struct relay_settings *st = s->settings;

	if (!s->listen.proxy)
		return false;
	if (!nets_have(st->proxy_nets, st->proxy_net_count, &s->peer)) {
		refuse_proxy(s, "the peer is not in proxy_from");
		return true;
	}
	session_set_state(s, SESSION_PROXY);
	/* Behind the header may come a TLS handshake. */
	conn_set_read_max(s->conn, PROXY_LEAST);
	loop_timer_set(&s->timer, now + PROXY_WAIT_MS);
	return true;
}

void
session_proxy_late(struct session *s)
{
	refuse_proxy(s, "no header in time");
}

void
session_read_proxy(struct session *s, int64_t now)
{
	static const char line[] =
	    "421 4.7.0 Too many connections, try again later\r\n";
	struct proxy_header h;
	bool room;

	switch (proxy_parse(conn_input(s->conn), &h)) {
	case PROXY_MORE:
		conn_set_read_max(s->conn, h.need);
		return;
	case PROXY_BAD:
		refuse_proxy(s, "the first bytes are not a PROXY header");
		return;
	case PROXY_DONE:
		break;
	}
	conn_consume(s->conn, h.length);
	conn_set_read_max(s->conn, 0);
	if (h.is_local) {
		room = session_set_client(s, &s->peer, s->client_port);
	} else {
		s->local = h.server;
		s->local_port = h.server_port;
		room = session_set_client(s, &h.client, h.client_port);
	}
	if (room) {
		session_start(s, now);
		return;
	}
	conn_write(s->conn, line, sizeof(line) - 1);
	session_hang_up(s);
}

/* ---- XCLIENT, XFORWARD ---- */

static void
set_text(char **field, const char *text)
{
	free(*field);
	*field = text[0] != '\0' ? xstrdup(text) : NULL;
}

void
session_on_xclient(struct session *s, const struct xclient *x, int64_t now)
{
	struct smtp_reply full = smtp_reply_make(
	    421, "4.7.0", "Too many connections, try again later");
	bool room = true;

	session_forget_login(s, now);
	s->client_temp = (s->client_temp & ~x->given) | x->temp;
	if (x->given & XCLIENT_PORT)
		s->client_port = x->port;
	if (x->given & XCLIENT_ADDR)
		room = session_set_client(s,
		    x->addr.family != IP_NONE ? &x->addr : &s->peer,
		    s->client_port);
	/* It is the mail server that speaks, and it is no old device: what it
	 * passes on may be anybody's. */
	s->limits.lenient = false;
	if (s->limits.data.bare_newline == SMTP_BARE_ENDS)
		s->limits.data.bare_newline =
		    s->settings->limits.data.bare_newline;
	if (x->given & XCLIENT_NAME)
		set_text(&s->client_name, x->name);
	if (x->given & XCLIENT_LOGIN)
		set_text(&s->user, x->login);
	if (x->given & XCLIENT_DESTADDR)
		s->local = x->dest_addr;
	if (x->given & XCLIENT_DESTPORT)
		s->local_port = x->dest_port;
	log_write(s->relay->parts.log, LOG_EV_SMTP_XCLIENT, KV(peer, &s->peer),
	    KV(client, &s->client), KV(user, s->user));
	if (room)
		smtp_server_xclient_done(s->server, s->user != NULL, now);
	else
		smtp_server_reply(s->server, &full, now);
	session_pump(s, now);
}

/* For the next transaction. */
void
session_on_xforward(struct session *s, const struct xclient *x, int64_t now)
{
	struct smtp_reply ok = smtp_reply_make(250, "2.0.0", "Ok");

	if (s->forwarded == NULL)
		s->forwarded = xcalloc(1, sizeof(*s->forwarded));
	/* Postfix tells in several commands. */
	if (x->given & XCLIENT_ADDR)
		s->forwarded->addr = x->addr;
	if (x->given & XCLIENT_HELO)
		memcpy(s->forwarded->helo, x->helo, sizeof(x->helo));
	s->forwarded->given |= x->given;
	smtp_server_reply(s->server, &ok, now);
	session_pump(s, now);
}

void
session_forget_forwarded(struct session *s)
{
	free(s->forwarded);
	s->forwarded = NULL;
}
