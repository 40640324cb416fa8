/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf about sessions and messages that come in, and about
 * who the client is, see maild_options.c.
 */
#include "config.h"

#include "maild/maild_options.h"

static const char *const login_form_names[] = {
    "lower", "exact", "localpart", NULL};
static const char *const newline_names[] = {
    "reject", "normalize", "allow", NULL};

const struct option maild_options_session[] = {
    {
	SWITCH("verify_held", relay.verify_held, "true"),
	.doc = "Ask the next hop about recipients that will be held, so that "
	       "unknown ones are refused during the session.",
    },
    {
	SIZE("message_size", relay.message_size_max, "50M", 65536, MIB(4096)),
	.doc = "Maximum message size; larger messages are refused with 552. "
	       "The next hop's own limit applies too, less 1154 bytes for the "
	       "Received header field that weir adds.",
    },
    {
	NUMBER(
	    "recipients_max", relay.limits.recipients_max, "1000", 100, 4096),
	.doc = "Maximum number of recipients per message; further ones are "
	       "refused with 452.",
    },
    {
	NUMBER("errors_max", relay.limits.errors_max, "20", 1, 10000),
	.doc = "Maximum number of faulty commands in one session before it is "
	       "ended with 421.",
    },
    {
	NUMBER("idle_commands_max", relay.limits.idle_commands_max, "100", 5,
	    100000),
	.doc = "Maximum number of commands in one session that carry no mail "
	       "(NOOP, RSET, VRFY and similar) before it is ended with 421.",
    },
    {
	NUMBER("refused_max", relay.limits.refused_max, "100", 1, 100000),
	.doc = "Maximum number of permanently refused recipients in one "
	       "session before it is ended with 421. It is also a limit per "
	       "client address (IPv6: per /64) in 10 minutes: for recipients "
	       "that were queried (RCPT) and then abandoned (RSET, QUIT and "
	       "similar), or named for a message that weir refuses (too large, "
	       "too many hops, a bare line feed). Beyond it MAIL is answered "
	       "with 421, except for clients in my_networks.",
    },
    {
	NUMBER("local_part_max", relay.limits.local_max, "64", 64, 254),
	.doc =
	    "Maximum length of the local part of an address, in bytes; longer "
	    "ones are refused with 553. RFC 5321 guarantees 64. Raise it for "
	    "replies to senders created for one message (VERP, SRS), which are "
	    "often longer. A whole address is limited to 254.",
    },
    {
	NUMBER("sessions_max", relay.sessions_max, "1000", 1, 100000),
	.doc =
	    "Maximum number of open sessions. When all are in use, one without "
	    "a login and without a transaction is ended with 421 to make room "
	    "for a new client: the longest idle one of the client with the "
	    "most sessions. If there is none, the new client gets 421.",
    },
    {
	NUMBER(
	    "client_sessions_max", relay.client_sessions_max, "100", 1, 100000),
	.doc = "Maximum number of open sessions per client address, or per "
	       "IPv6 /64; a further one is answered with 421. A session of the "
	       "same client that has been idle for half a minute is ended to "
	       "make room.",
    },
    {
	SIZE("envelope_memory", relay.envelope_memory, "64M", MIB(1),
	    MIB(65536)),
	.doc =
	    "Memory for the recipients of all messages in progress. When it is "
	    "full, a further recipient is refused with 452 until other "
	    "messages have finished. When more than half is used, each login "
	    "(or client address, without one) has a share; see LIMITS.",
    },
    {
	FIXED_NUMBER(
	    "policy_connections_max", policy_connections_max, "500", 1, 100000),
	.doc = "Maximum number of open connections from mail servers to the "
	       "policy service; a further one is closed. When more than half "
	       "are used, each server has a share; see LIMITS.",
    },
    {
	FIXED_NUMBER(
	    "milter_connections_max", milter.connections_max, "500", 1, 10000),
	.doc = "Maximum number of open connections from mail servers to the "
	       "milter, each of which uses a thread. A further one is closed, "
	       "and the mail server acts as it does without a filter (Postfix: "
	       "milter_default_action). When more than half are used, each "
	       "client of the mail server has a share and gets 451 beyond it; "
	       "see LIMITS.",
    },
    {
	FIXED_NUMBER(
	    "control_connections_max", control_connections_max, "32", 2, 1000),
	.doc = "Maximum number of open connections to the control socket; a "
	       "further one gets an error and is closed. When more than half "
	       "are used, each user has a share; see LIMITS.",
    },
    {
	TIME("greeting_delay", relay.greeting_delay_ms, "0", 0, MINUTES(2)),
	.doc = "Pause before the greeting. A client that sends data before the "
	       "greeting is refused.",
    },
    {
	TIME("tarpit", relay.tarpit_ms, "0", 0, MINUTES(1)),
	.doc = "Delay of replies to frozen senders, and of all replies to a "
	       "message after its first decoy, so that such a sender is slowed "
	       "down. At most a twentieth of sessions_max is delayed at once; "
	       "further sessions get their replies without delay. Only the "
	       "relay delays replies: the milter and the policy service would "
	       "keep the mail server's own processes waiting. 0: no delay.",
    },
    {
	TIME("command_timeout", relay.limits.command_timeout_ms, "5m",
	    SECONDS(1), HOURS(1)),
	.doc = "Maximum time to wait for a complete command.",
    },
    {
	TIME("data_timeout", relay.limits.data_timeout_ms, "3m", SECONDS(1),
	    HOURS(1)),
	.doc = "Maximum pause between two pieces of a message.",
    },
    {
	TIME("message_timeout", relay.limits.message_timeout_ms, "1h",
	    SECONDS(10), DAYS(1)),
	.doc = "Maximum time for a whole message.",
    },
    {
	SIZE("data_rate_min", relay.limits.data_rate_min, "64", 0, MIB(100)),
	.doc = "Minimum average rate, in bytes per second, at which a client "
	       "must send a message. 0: no minimum.",
    },
    {
	TIME("data_rate_window", relay.limits.data_rate_window_ms, "1m",
	    SECONDS(1), HOURS(1)),
	.doc = "Time over which data_rate_min is measured.",
    },
    {
	TIME("answer_timeout", relay.answer_timeout_ms, "9m", SECONDS(1),
	    HOURS(1)),
	.doc =
	    "Maximum time from the end of a message to the reply. When the "
	    "next hop or the disk takes longer, the client gets 451. RFC 5321 "
	    "has clients wait 10 minutes (section 4.5.3.2.6); the default is a "
	    "little less. A shorter time costs a duplicate at each attempt "
	    "where the next hop is slow but accepts the message in the end. A "
	    "message that the next hop accepts after the timeout is remembered "
	    "for 6 hours, until a restart: when the client sends it again, "
	    "weir replies with 250 and makes no second copy. Clients that "
	    "disconnect earlier are no reason to lower it: the message takes "
	    "the same course as it would without weir. In the milter it is 4 "
	    "minutes at most, since Postfix waits 5 (milter_content_timeout).",
    },
    {
	SIZE("line_max", line_max, "64K", 1000, MIB(16)),
	.doc = "Maximum length of a line in a message.",
    },
    {
	SIZE("header_max", header_max, "256K", 4096, MIB(64)),
	.doc = "Maximum size of a message header.",
    },
    {
	NUMBER("received_max", relay.limits.data.received_max, "50", 5, 1000),
	.doc = "Maximum number of Received header fields in a message; one "
	       "with more is in a loop and is refused.",
    },
    {
	CHOICE("bare_newline", relay.limits.data.bare_newline, "reject",
	    newline_names),
	.doc = "Handling of a message that contains a CR or LF on its own. "
	       "reject: refuse it. normalize: convert it to CR LF. allow: "
	       "treat it as a line end. It is never passed on as received and "
	       "never ends a message.",
    },
    {
	.name = "bare_newline_allow",
	.type = OPTION_STRINGS,
	AT(bare_newline_allow),
	.reloadable = true,
	.sample = "192.0.2.0/24",
	.check = option_check_network,
	.doc = "Networks of clients for which bare_newline is allow.",
    },
    {
	.name = "lenient_from",
	.type = OPTION_STRINGS,
	AT(lenient_from),
	.reloadable = true,
	.sample = "192.0.2.0/24",
	.check = option_check_network,
	.doc =
	    "Networks of old devices that cannot be fixed, such as printers "
	    "and scanners. They may send any text after HELO and EHLO "
	    "(characters that would break a header become question marks), "
	    "give addresses without angle brackets, use AUTH, SIZE= and BODY= "
	    "after HELO, and end lines with a bare LF. If the first line of a "
	    "message ends in a bare LF, LF . LF ends the message as well. Do "
	    "not list mail servers that relay other people's mail: somebody "
	    "could hide a second message in one of theirs (SMTP smuggling). "
	    "What is sent to the next hop always has CR LF. The option does "
	    "not apply to clients that a mail server names with XCLIENT.",
    },
    /* ---- who the client is ---- */
    {
	.name = "auth_socket",
	.type = OPTION_STRING,
	AT(auth_socket),
	.reloadable = true,
	.sample = "unix:/run/dovecot/auth-client",
	.check = maild_check_listen,
	.doc = "Dovecot's authentication service for listen sections with auth "
	       "= dovecot: \"unix:/path\" or \"address:port\".",
    },
    {
	NUMBER("auth_failures_max", relay.auth_failures_max, "20", 1, 100000),
	.doc =
	    "Maximum number of failed logins of one user from one client "
	    "address (IPv6: /64). Beyond it that user gets 421 there; logins "
	    "from elsewhere still work. When an address has this many failures "
	    "of any users, logins from it are checked one at a time, at first "
	    "2 s and later up to 1 min apart; users who have logged in from "
	    "there within a week do not wait. One failure per minute is "
	    "forgiven. Each reply to a failure takes longer than the one "
	    "before: 1 s, 2 s, 4 s and so on up to 16 s.",
    },
    {
	CHOICE("login_form", gate.login_form, "lower", login_form_names),
	.doc = "How a login is counted that can be written in several ways. "
	       "lower: ignoring case, surrounding blanks, quotes and the final "
	       "dot of its domain. exact: as written. localpart: in lower case "
	       "and without its domain, for servers that check only the local "
	       "part. In every form, a login whose domain is not in a "
	       "non-empty local_domains counts by its local part: list there "
	       "every domain that users log in with. With auth = dovecot, the "
	       "name is the one that Dovecot returns. With auth = pass, it is "
	       "the one that the client sends; spellings that differ in the "
	       "domain (where local_domains is empty), in dots or in a +tag "
	       "count as one account if they log in with the same password, "
	       "except with exact. When this option changes the name of a "
	       "sender, its counts start again.",
    },
    {
	.name = "my_networks",
	.type = OPTION_STRINGS,
	AT(my_networks),
	.reloadable = true,
	.sample = "192.0.2.0/24",
	.check = option_check_network,
	.doc = "Networks of your own clients and servers. Default: loopback "
	       "(127.0.0.0/8 and ::1); if you set others, list loopback too. "
	       "Mail from them to local_domains is outgoing; mail from other "
	       "clients is incoming. They may query recipients without sending "
	       "mail, as call-outs do (refused_max).",
    },
    {
	.name = "xclient_from",
	.type = OPTION_STRINGS,
	AT(xclient_from),
	.reloadable = true,
	.sample = "192.0.2.25",
	.check = option_check_network,
	.doc = "Networks of mail servers and proxies from which XCLIENT and "
	       "XFORWARD are accepted. The client they name is the one that is "
	       "throttled, logged and named in the Received header field. All "
	       "others get 550.",
    },
    {
	.name = "proxy_from",
	.type = OPTION_STRINGS,
	AT(proxy_from),
	.reloadable = true,
	.sample = "192.0.2.80",
	.check = option_check_network,
	.doc = "Networks of proxies whose PROXY header is trusted on listen "
	       "sections with proxy = true. Connections from elsewhere are "
	       "closed there.",
    },
    {
	.name = "trace_clients",
	.type = OPTION_STRINGS,
	AT(trace_clients),
	.reloadable = true,
	.sample = "192.0.2.17",
	.check = option_check_network,
	.doc = "Networks of clients to trace in the log, at level info: the "
	       "SMTP dialogue with them and with the next hop on their behalf, "
	       "state changes, verdicts with their reasons. Passwords and "
	       "message text are left out. For a short look, and for senders "
	       "and next hops, use weirctl trace.",
    },
    {0},
};
