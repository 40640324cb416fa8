/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EHLO: what is offered to a client is what weir carries and the next hop
 * offers. One that was never reached is asked first; without an answer what
 * weir can hold is offered.
 */
#include "relay/relay_internal.h"

/* A next hop that makes others wait, too: of two relays that are each other's
 * next hop both would wait for the other for ever. */
#define CAPS_WAIT_MS 10000

/* Passwords go over TLS or within the machine, unless the listen says
 * otherwise. */
static bool
session_may_auth(const struct session *s)
{
	return s->listen.auth != RELAY_AUTH_NONE &&
	       (conn_is_tls(s->conn) || s->listen.auth_in_clear ||
		   s->client.family == IP_NONE || ip_is_loopback(&s->client));
}

/* Before the next hop was ever reached: what almost all clients have; it will
 * be told 454 rather than that there is no AUTH. */
#define AUTH_BLIND (SASL_PLAIN | SASL_LOGIN)

static void
session_offer(
    struct session *s, struct smtp_caps *caps, const struct smtp_caps *hop)
{
	if (session_may_auth(s) && s->user == NULL) {
		caps->auth = s->listen.auth == RELAY_AUTH_DOVECOT
				 ? auth_link_mechs(s->relay->auth_link)
			     : hop != NULL ? hop->auth
					   : AUTH_BLIND;
		conn_set_secret(s->conn, caps->auth != 0);
	}
	if (caps->auth != 0)
		caps->ext |= SMTP_EXT_AUTH;
	if (session_is_trusted(s)) {
		caps->ext |= SMTP_EXT_XCLIENT | SMTP_EXT_XFORWARD;
		caps->xclient = XCLIENT_ATTRS;
	}
}

/*
 * The next hop counts the trace header too: what is promised here must still
 * pass there, which may be days later. A next hop that takes hardly more than
 * that has no room to give: txn_on_end looks once more.
 */
static uint64_t
less_trace(uint64_t size)
{
	uint64_t room = RELAY_TRACE_MAX + SMTP_OPENING_MAX;

	return size > 2 * room ? size - room : size;
}

/* hop: NULL: nothing is known of it. What weir can hold is offered then: a
 * client without SMTPUTF8 in the reply returns such mail for good. A hop
 * transaction whose connection turns out to lack what the mail needs answers
 * 451, and the next session knows. */
static void
session_helo_done(struct session *s, const struct smtp_caps *hop, int64_t now)
{
	static const struct smtp_caps blind = {
	    .ext = SMTP_EXT_RELAYED & ~(uint32_t)SMTP_EXT_CHUNKING};
	struct smtp_caps theirs = hop != NULL ? *hop : blind;
	/* RFC 8689 section 2: over TLS alone. */
	uint32_t secure = conn_is_tls(s->conn) ? SMTP_EXT_REQUIRETLS : 0;
	struct smtp_caps ours = {.ext = SMTP_EXT_RELAYED | secure,
	    .size = s->settings->message_size_max,
	    .rcpt_max = s->limits.recipients_max};
	struct smtp_caps meet;

	theirs.size = less_trace(theirs.size);
	meet = smtp_caps_meet(&ours, &theirs);
	/* Said or not, SIZE= given or not: it holds. */
	s->limits.data.size_max = meet.size;
	session_offer(s, &meet, hop);
	smtp_server_helo_done(s->server, &meet, now);
	session_pump(s, now);
}

static void
on_caps_ready(void *arg, int64_t now)
{
	struct session *s = arg;
	struct hop *hop = s->caps_hop;
	struct smtp_caps caps = hop_caps(hop);

	s->caps_hop = NULL;
	hop_put(hop, now);
	session_helo_done(s, &caps, now);
}

static void
on_caps_fail(void *arg, const struct smtp_reply *reply, int64_t now)
{
	struct session *s = arg;

	(void)reply;
	s->caps_hop = NULL;
	session_helo_done(s, NULL, now);
}

void
session_drop_helo(struct session *s)
{
	if (s->caps_hop != NULL)
		hop_drop(s->caps_hop);
	s->caps_hop = NULL;
}

void
session_stop_asking(struct session *s, int64_t now)
{
	session_drop_helo(s);
	session_helo_done(s, NULL, now);
}

static void
on_caps_trace(void *arg, struct tap_who *out)
{
	relay_whose(arg, NULL, out);
}

static const struct hop_ops caps_ops = {
    .on_trace = on_caps_trace,
    .on_ready = on_caps_ready,
    .on_fail = on_caps_fail,
};

/* Not by the name alone: a mail server on the same machine often has the same
 * one. */
static bool
is_loop(const struct session *s, struct str name)
{
	return str_ieq(name, str_from(s->settings->hostname)) &&
	       nexthop_is_own(s->relay->parts.nexthop, &s->ends);
}

void
session_on_helo(struct session *s, struct str name, bool esmtp, int64_t now)
{
	struct smtp_reply loop = smtp_reply_make(554, "5.4.6",
	    "mail loops back to myself: the option next_hop leads to this "
	    "relay");
	struct smtp_caps caps;

	if (is_loop(s, name)) {
		smtp_server_reply(s->server, &loop, now);
		session_pump(s, now);
		return;
	}
	if (nexthop_caps(s->relay->parts.nexthop, &caps)) {
		session_helo_done(s, &caps, now);
	} else if (!esmtp) {
		session_helo_done(s, NULL, now);
	} else {
		s->caps_due = now + CAPS_WAIT_MS;
		s->caps_hop = nexthop_get(
		    s->relay->parts.nexthop, false, &caps_ops, s, now);
		if (hop_is_ready(s->caps_hop))
			on_caps_ready(s, now);
	}
}
