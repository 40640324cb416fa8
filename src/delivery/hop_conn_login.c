/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir's own login at a next hop: PLAIN (RFC 4616), else LOGIN. Passwords, its
 * own and those that a client's login brings, go over TLS, a loopback or a Unix
 * socket alone, unless the configuration says otherwise. A next hop that offers
 * no AUTH although there are credentials for it fails: without them it would
 * refuse mail for good that has only to wait.
 */
#include "delivery/hop_conn.h"

#include <string.h>

#define SECRET_MAX 4096

bool
hop_conn_is_safe(const struct hop_conn *ch)
{
	struct ip ip = net_addr_ip(&ch->addr);

	return ch->login_in_clear || conn_is_tls(ch->conn) ||
	       ch->addr.ss.ss_family == AF_UNIX || ip_is_loopback(&ip);
}

/* Appends the pieces, with a NUL before each but the first. */
static bool
encode(struct buf *out, const char *const *pieces, size_t n)
{
	struct buf plain;
	bool ok = true;

	buf_init(&plain, SECRET_MAX);
	(void)buf_reserve(&plain, SECRET_MAX); /* growing would leave copies */
	for (size_t i = 0; i < n && ok; i++) {
		ok = (i == 0 || buf_append(&plain, "", 1)) &&
		     buf_append_str(&plain, str_from(pieces[i]));
	}
	ok = ok && base64_encode(buf_str(&plain), out);
	sasl_wipe(&plain);
	return ok;
}

static void
start_plain(struct hop_conn *ch, int64_t now)
{
	const char *pieces[] = {"", ch->login->user, ch->login->password};
	struct buf text;

	buf_init(&text, 2 * SECRET_MAX);
	if (encode(&text, pieces, ARRAY_LEN(pieces)))
		smtp_client_auth(
		    ch->client, SASL_PLAIN, true, buf_str(&text), 0, now);
	sasl_wipe(&text);
}

static void
answer_login(struct hop_conn *ch, const char *word, int64_t now)
{
	struct buf text;

	buf_init(&text, 2 * SECRET_MAX);
	if (encode(&text, &word, 1))
		smtp_client_auth_line(ch->client, buf_str(&text), 0, now);
	sasl_wipe(&text);
}

bool
hop_conn_login_start(struct hop_conn *ch, const char **why, int64_t now)
{
	unsigned mechs = smtp_client_caps(ch->client)->auth;

	if (strlen(ch->login->user) + strlen(ch->login->password) >
	    SECRET_MAX / 2) {
		*why = "next_hop_auth: the credentials are too long";
		return false;
	}
	if (!hop_conn_is_safe(ch)) {
		*why = "next_hop_auth: the password is not sent without TLS; "
		       "see next_hop_auth_in_clear";
		return false;
	}
	conn_set_secret(ch->conn, true);
	if (mechs & SASL_PLAIN) {
		start_plain(ch, now);
	} else if (mechs & SASL_LOGIN) {
		smtp_client_auth(
		    ch->client, SASL_LOGIN, false, STR(""), 0, now);
	} else {
		*why = "next_hop_auth: the next hop offers neither AUTH PLAIN "
		       "nor AUTH LOGIN";
		return false;
	}
	return true;
}

bool
hop_conn_login_reply(struct hop_conn *ch, const struct smtp_reply *reply,
    const char **why, int64_t now)
{
	bool is_login = !(smtp_client_caps(ch->client)->auth & SASL_PLAIN);

	if (reply->code == 334 && is_login && ch->login_step < 2) {
		answer_login(ch,
		    ch->login_step == 0 ? ch->login->user : ch->login->password,
		    now);
		ch->login_step++;
		return false;
	}
	conn_set_secret(ch->conn, false);
	if (reply->code == 235)
		return true;
	*why = smtp_reply_is_temporary(reply)
		   ? "next_hop_auth: the next hop cannot check the login now"
		   : "next_hop_auth: the next hop refuses the login";
	return true;
}
