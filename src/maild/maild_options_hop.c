/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf about connections to the next hop, see
 * maild_options.c.
 */
#include "config.h"

#include "maild/maild_options.h"

const struct option maild_options_hop[] = {
    {
	SWITCH("next_hop_xclient", relay.next_hop_xclient, "false"),
	.doc = "Pass the client's identity to a next hop that offers XCLIENT, "
	       "so that its restrictions, logs and filters see the client "
	       "instead of weir. In Postfix, smtpd_authorized_xclient_hosts "
	       "must list weir's address. Each session then has its own "
	       "connection; mail that was held is sent under weir's own name.",
    },
    {
	.name = "next_hop_auth",
	.type = OPTION_STRING,
	AT(next_hop_auth),
	.reloadable = true,
	.sample = "/etc/weir/next_hop.auth",
	.check = option_check_path,
	.doc = "File with the name and password that weir uses to log in at "
	       "the next hop (AUTH PLAIN or LOGIN). A line is "
	       "\"user:password\" or \"user password\" for every next hop, or "
	       "starts with one of next_hop as it is written there. Only the "
	       "owner may have access to the file (mode 0600), unless it "
	       "belongs to root below $CREDENTIALS_DIRECTORY (LoadCredential "
	       "of systemd). It is read again at a reload.",
    },
    {
	SWITCH("next_hop_auth_in_clear", hop.login_in_clear, "false"),
	.doc =
	    "Send passwords without TLS as well: the one of next_hop_auth, and "
	    "those of clients whose logins the next hop checks (auth = pass), "
	    "which are not offered AUTH otherwise. Within the machine (a "
	    "loopback address, a Unix socket) passwords are always sent.",
    },

    /* clang-format off */
	{
		TIME("connect_timeout", hop.connect_timeout_ms,
		    "30s", SECONDS(1), MINUTES(5)),
		.doc =
		    "Maximum time to wait for a connection to the next hop "
		    "and, while another next hop is left to be tried, for "
		    "its greeting and its reply to EHLO. For the last one, "
		    "next_hop_command_timeout applies to each of these.",
	},
	{
		TIME("next_hop_command_timeout",
		    hop.timeouts.command_ms, "5m", SECONDS(1), HOURS(1)),
		.doc =
		    "Maximum time to wait for the next hop's reply to a "
		    "command.",
	},
	{
		TIME("next_hop_data_timeout", hop.timeouts.data_ms,
		    "3m", SECONDS(1), HOURS(1)),
		.doc =
		    "Maximum time during which the next hop accepts no "
		    "data of a message.",
	},
	{
		TIME("next_hop_end_timeout", hop.timeouts.end_ms,
		    "10m", SECONDS(1), HOURS(1)),
		.doc =
		    "Maximum time to wait for the next hop's reply to a "
		    "whole message. While the client is waiting, "
		    "answer_timeout applies first.",
	},
	{
		NUMBER("next_hop_connections", hop.connections_max,
		    "200", 1, 50000),
		.doc =
		    "Maximum number of open connections to the next hop; "
		    "further sessions wait for one. Connections are opened "
		    "five at a time, or a quarter of those that are open. "
		    "One that has waited a second for the greeting does "
		    "not count, until such connections are a quarter of "
		    "all. A session whose login the next hop checks (auth "
		    "= pass) keeps its own connection from the login to "
		    "its end, even while it is idle; so does one with "
		    "next_hop_xclient. These use three quarters at most. "
		    "Beyond that, the session that has been idle longest, "
		    "and for at least next_hop_wait, is ended with 421; if "
		    "there is none, the login gets 454.",
	},
	{
		TIME("next_hop_wait", relay.next_hop_wait_ms,
		    "2s", 0, HOURS(1)),
		.doc =
		    "Time that a session waits for a connection before slow "
		    "sessions are ended: those that hold a connection and are "
		    "slower than slow_rate get 421, the oldest first. 0: "
		    "never. A session that waits for answer_timeout gets 451.",
	},
	{
		SIZE("slow_rate", relay.slow_rate, "4K", 1, MIB(100)),
		.doc =
		    "Minimum average rate over next_hop_wait, in bytes per "
		    "second, at which a client must send while others are "
		    "waiting. A recipient counts as 4096 bytes.",
	},
	{
		NUMBER("next_hop_idle", hop.idle_max, "20", 0, 10000),
		.doc =
		    "Maximum number of idle connections that are kept open.",
	},
	{
		TIME("next_hop_idle_timeout", hop.idle_timeout_ms,
		    "60s", SECONDS(1), HOURS(1)),
		.doc =
		    "Time after which an idle connection is closed.",
	},
	{
		NUMBER("next_hop_uses", hop.uses_max,
		    "0", 0, 1000000000),
		.doc =
		    "Maximum number of messages per connection; the next "
		    "hop's LIMITS MAILMAX applies too. 0: no limit for "
		    "LMTP and for a server whose greeting names Postfix, "
		    "Sendmail, OpenSMTPD, Haraka or Microsoft ESMTP, and "
		    "10 for every other. Exim delivers no more than ten "
		    "messages of a connection at once and leaves the "
		    "others in its queue "
		    "(smtp_accept_queue_per_connection).",
	},
	{
		TIME("next_hop_rest", hop.rest_ms,
		    "30s", 0, HOURS(1)),
		.doc =
		    "Time for which a failed next hop is not used while "
		    "another one works. After that, one connection at a "
		    "time tests whether it is back.",
	},
    {0},
};
