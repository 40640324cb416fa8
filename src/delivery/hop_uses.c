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

static const struct str names[] = {
    STR("Postfix"),
    STR("smtp-sink"), /* Postfix's, for tests of throughput */
    STR("Sendmail"),
    STR("OpenSMTPD"),
    STR("Microsoft ESMTP"),
    STR("Haraka"),
};

static bool
is_named(struct str greeting)
{
	for (size_t at = 0; at < greeting.n; at++) {
		struct str rest = str_sub(greeting, at, greeting.n);

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (str_istarts(rest, names[i]))
				return true;
		}
	}
	return false;
}

uint32_t
hop_uses_max(const struct nexthop *n, const struct channel *ch)
{
	uint32_t max = n->settings.uses_max;

	if (max > 0 || n->settings.uses_unknown_max == 0 ||
	    smtp_client_is_lmtp(ch->client) ||
	    is_named(str_from(smtp_client_greeting(ch->client))))
		return max;
	return n->settings.uses_unknown_max;
}
