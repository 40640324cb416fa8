/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a refusal is about: the mail, the connection, or weir itself. Servers
 * end a connection that has carried enough in words of their own: OpenSMTPD
 * with 452 to MAIL after 100 messages, Stalwart with 452 to DATA, Exim and
 * Gmail with 421, others with 420, 550 or 554. A new connection tells which it
 * was.
 */
#include "delivery/nexthop_private.h"

#include <string.h>

/* Carried before this transaction. */
static bool
has_carried(const struct hop_conn *ch, enum smtp_client_what what)
{
	return ch->mails > (what == SMTP_CLIENT_MAIL ? 0 : 1);
}

static bool
is_end_of_connection(enum smtp_client_what what, const struct smtp_reply *reply)
{
	switch (what) {
	case SMTP_CLIENT_MAIL:
		return reply->code == 420 || hop_is_limit_code(reply->code) ||
		       reply->code == 452 || reply->code == 550 ||
		       reply->code == 552 || reply->code == 554;
	case SMTP_CLIENT_DATA:
		return reply->code == 421 || reply->code == 452;
	case SMTP_CLIENT_RCPT:
		return reply->code == 421;
	case SMTP_CLIENT_END: /* it has had the text: no second copy now */
	case SMTP_CLIENT_RSET:
	case SMTP_CLIENT_QUIT:
	case SMTP_CLIENT_AUTH:
		return false;
	}
	return false;
}

enum hop_blame
hop_blame(struct hop *h, enum smtp_client_what what,
    const struct smtp_reply *reply, int64_t now)
{
	struct hop_conn *ch = h->ch;

	if (smtp_reply_is_ok(reply))
		return HOP_BLAME_MESSAGE;
	if (smtp_reply_wants_login(reply))
		return HOP_BLAME_LOGIN;
	if (ch == NULL || !is_end_of_connection(what, reply))
		return HOP_BLAME_MESSAGE;
	if (has_carried(ch, what)) {
		ch->retired = true;
		return HOP_BLAME_SPENT;
	}
	if (what == SMTP_CLIENT_MAIL && hop_is_limit_code(reply->code) &&
	    hop_learn_limit(h, now)) {
		ch->retired = true;
		return HOP_BLAME_FULL;
	}
	return HOP_BLAME_MESSAGE;
}
