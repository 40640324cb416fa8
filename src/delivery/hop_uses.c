/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many messages one connection may carry. Exim takes the 11th and all that
 * follow into its queue without delivering them (smtp_accept_queue_per_
 * connection), until its next queue run: mail that weir lets pass at once would
 * wait for half an hour. Exim's banner may say anything, so any server is
 * taken for one that does so, unless it names itself as another. A new
 * connection for ten messages costs a sixth of the throughput on a loopback;
 * those that are named here do not count, or say so by 421 or 452 (OpenSMTPD,
 * 100), after which the message goes on a new connection.
 */
#include "delivery/nexthop_private.h"

#define POSTFIX_NAMES 2

static const struct str names[] = {
    STR("Postfix"),
    STR("smtp-sink"), /* Postfix's, for tests of throughput */
    STR("Sendmail"),
    STR("OpenSMTPD"),
    STR("Microsoft ESMTP"),
    STR("Haraka"),
};

/* One of the first `count` names. */
static bool
is_named(const struct hop_conn *ch, size_t count)
{
	struct str greeting = str_from(smtp_client_greeting(ch->client));

	for (size_t at = 0; at < greeting.n; at++) {
		struct str rest = str_sub(greeting, at, greeting.n);

		for (size_t i = 0; i < count; i++) {
			if (str_istarts(rest, names[i]))
				return true;
		}
	}
	return false;
}

/* A question about a held recipient ends with RSET. Exim closes at 10 commands
 * without mail (smtp_accept_max_nonmail), Postfix at 100
 * (smtpd_junk_command_limit); a new connection for each eight questions costs a
 * fifth of the throughput of held mail. */
uint32_t
hop_resets_max(const struct hop_conn *ch)
{
	return is_named(ch, POSTFIX_NAMES) ? 80 : 8;
}

uint32_t
hop_uses_max(const struct nexthop *n, const struct hop_conn *ch)
{
	uint32_t max = n->settings.uses_max;

	if (max > 0 || n->settings.uses_unknown_max == 0 ||
	    smtp_client_is_lmtp(ch->client) || is_named(ch, ARRAY_LEN(names)))
		return max;
	return n->settings.uses_unknown_max;
}
