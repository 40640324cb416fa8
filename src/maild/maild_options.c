/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf: this table drives parser, defaults, checks, sample
 * and manual page. The defaults protect a machine with 1 GB of memory. Checks
 * of a single value are here, so that an error names its line.
 */
#include "config.h"

#include "maild/maild_check.h"
#include "maild/maild_config.h"
#include "maild/maild_options_hop.h"
#include "maild/maild_options_inbound.h"
#include "maild/maild_options_milter.h"
#include "maild/maild_options_share.h"
#include "os/option_check.h"

#define AT(field) .offset = offsetof(struct maild_config, field)
#define SECONDS(n) ((n)*INT64_C(1000))
#define MINUTES(n) SECONDS((n)*INT64_C(60))
#define HOURS(n) MINUTES((n)*INT64_C(60))
#define DAYS(n) HOURS((n)*INT64_C(24))
#define MIB(n) ((n) * (INT64_C(1) << 20))
#define TIME(option, field, text, least, most)                              \
	.name = option, .type = OPTION_DURATION, AT(field), .preset = text, \
	.min = least, .max = most, .reloadable = true
#define SIZE(option, field, text, least, most)                          \
	.name = option, .type = OPTION_SIZE, AT(field), .preset = text, \
	.min = least, .max = most, .reloadable = true
#define NUMBER(option, field, text, least, most)                        \
	.name = option, .type = OPTION_UINT, AT(field), .preset = text, \
	.min = least, .max = most, .reloadable = true
#define FIXED_NUMBER(option, field, text, least, most)                  \
	.name = option, .type = OPTION_UINT, AT(field), .preset = text, \
	.min = least, .max = most
#define FIXED_SIZE(option, field, text, least)                          \
	.name = option, .type = OPTION_SIZE, AT(field), .preset = text, \
	.min = least
#define SWITCH(option, field, text)                                     \
	.name = option, .type = OPTION_BOOL, AT(field), .preset = text, \
	.reloadable = true
#define CHOICE(option, field, text, list)                               \
	.name = option, .type = OPTION_ENUM, AT(field), .preset = text, \
	.names = list, .reloadable = true

static const char *const mode_names[] = {"enforce", "observe", NULL};
static const char *const hold_names[] = {
    "take", "tempfail", "quarantine", NULL};
static const char *const log_names[] = {"stderr", "syslog", "journal", NULL};
static const char *const level_names[] = {
    "debug", "info", "warning", "error", NULL};
static const char *const hop_tls_names[] = {
    "none", "may", "require", "verify", NULL};
static const char *const inbound_source_names[] = {
    "address", "localpart", "envelope", NULL};
static const char *const login_form_names[] = {
    "lower", "exact", "localpart", NULL};
static const char *const newline_names[] = {
    "reject", "normalize", "allow", NULL};

static const char *const shared_fail_names[] = {"local", "tempfail", NULL};

static const struct option maild_options[] = {
    /* ---- the daemon ---- */
    {
	.name = "hostname",
	.type = OPTION_STRING,
	AT(hostname),
	.reloadable = true,
	.sample = "relay.example.org",
	.check = maild_check_hostname,
	.doc =
	    "Name of this relay in its greeting, in EHLO, in Received header "
	    "fields and in bounces. Default: the name of the machine.",
    },
    {
	.name = "spool",
	.type = OPTION_STRING,
	AT(spool.dir),
	.preset = WEIR_LOCALSTATEDIR "/lib/weir",
	.check = option_check_path,
	.doc = "Directory of held mail and persistent state. Only one daemon "
	       "may use it.",
    },
    {
	.name = "control",
	.type = OPTION_STRING,
	AT(control),
	.preset = WEIR_RUNSTATEDIR "/weir/control.sock",
	.check = option_check_socket_path,
	.doc = "Unix socket through which weirctl talks to the daemon.",
    },
    {
	.name = "control_group",
	.type = OPTION_STRING,
	AT(control_group),
	.sample = "weir-admin",
	.check = option_check_group,
	.doc = "Group whose members may give commands on the control socket, "
	       "in addition to root and the daemon's own user.",
    },
    {
	.name = "socket_users",
	.type = OPTION_STRINGS,
	AT(socket_users),
	.sample = "postfix",
	.check = maild_check_text,
	.doc = "Users of this machine, by name or number, whose programs may "
	       "use listen sections with protocol = milter or policy, in "
	       "addition to root and the daemon's own user. These programs are "
	       "trusted to name users and clients. Default: postfix and smmsp. "
	       "Exim connects as Debian-exim. The user of a connection is "
	       "known on a Unix socket and, for TCP from this machine, from "
	       "the kernel's socket table.",
    },
    {
	.name = "user",
	.type = OPTION_STRING,
	AT(user),
	.sample = "weir",
	.check = option_check_user,
	.doc = "User that the daemon switches to after it has bound its "
	       "sockets, when it is started as root. If not set, the daemon "
	       "keeps running as the user that started it.",
    },
    {
	.name = "next_hop",
	.type = OPTION_STRINGS,
	AT(next_hop),
	.required = true,
	.reloadable = true,
	.sample = "127.0.0.1:10025",
	.check = maild_check_next_hop,
	.doc = "Mail server that delivers: \"address:port\", \"name:port\" or "
	       "\"unix:/path\", with \"lmtp:\" in front if it speaks LMTP. "
	       "Several are tried in order. One that leads back to weir is "
	       "refused (554 5.4.6).",
    },
    {
	CHOICE("mode", mode, "enforce", mode_names),
	.doc = "enforce or observe. With observe, weir computes, logs and "
	       "counts every decision, but holds and refuses nothing.",
    },
    {
	.name = "contact",
	.type = OPTION_STRING,
	AT(gate.contact),
	.reloadable = true,
	.sample = "helpdesk@example.org, +1 555 0100",
	.check = maild_check_text,
	.doc = "Contact for a person whose mail was refused; named in replies.",
    },
    {
	.name = "postmaster",
	.type = OPTION_STRING,
	AT(delivery.postmaster),
	.reloadable = true,
	.sample = "postmaster@example.org",
	.check = maild_check_text,
	.doc = "Address of the postmaster, named in bounces. Default: "
	       "postmaster at hostname.",
    },
    {
	CHOICE("log", log, "stderr", log_names),
	.doc = "Destination of log lines: stderr, syslog or journal.",
    },
    {
	CHOICE("log_level", log_level, "info", level_names),
	.doc = "Lowest level of the log lines that are written: debug, info, "
	       "warning or error.",
    },
    {
	.name = "freeze_command",
	.type = OPTION_STRING,
	AT(freeze_command),
	.reloadable = true,
	.sample = "/etc/weir/freeze-mail.sh",
	.check = option_check_program,
	.doc = "Program that is run once for each freeze, with the facts in "
	       "its environment: WEIR_SENDER, WEIR_POLICY, WEIR_REASON, "
	       "WEIR_QUEUE_LENGTH, WEIR_FREEZE_AT, WEIR_TIME; WEIR_PASSED "
	       "(number of new recipients that the sender's mail reached "
	       "within the last day or two), WEIR_CLIENTS and WEIR_SUBJECTS (a "
	       "few of each, from its held mail).",
    },
    {
	NUMBER("senders_max", gate.senders_max, "500000", 1000, 100000000),
	.doc = "Maximum number of senders kept in memory and on disk. At this "
	       "number a new sender replaces the one with the least at stake: "
	       "few known recipients, full allowance, no mail waiting, not "
	       "frozen. If none of the candidates can be replaced, new senders "
	       "share one source, [overflow].",
    },
    {
	SIZE("history_memory", gate.history_bytes, "16M", 0, MIB(65536)),
	.doc = "Memory for the record of who wrote to whom in the last day, on "
	       "which weirctl explain --policy tests another configuration: "
	       "about 100 bytes per recipient. When it is full, the test "
	       "covers less time. 0: nothing is kept.",
    },
    {
	.name = "decoys",
	.type = OPTION_STRINGS,
	AT(decoys),
	.reloadable = true,
	.sample = "{\"file:/etc/weir/decoys\"}",
	.doc =
	    "Addresses to which nobody has a reason to write, such as those "
	    "hidden in web pages or planted in address books, and domains "
	    "(@example.org). A sender that names one as a recipient is frozen "
	    "at once. The message is accepted like other mail that must wait, "
	    "but none of its recipients receives it. Incoming mail and mail "
	    "without an envelope sender never trigger a decoy. A sender in "
	    "never_freeze is not frozen, nor is one to which incoming mail "
	    "named the address within the last 30 days (in From, Reply-To, To "
	    "or Cc, or as its sender with learn_inbound): the event \"decoy\" "
	    "reports it, and a sender in never_freeze loses its allowance. The "
	    "policy service puts a message with a decoy on hold as a whole, "
	    "whatever service says, and cannot see header fields. Policies "
	    "with exempt do not exclude a sender. The next hop must accept the "
	    "addresses. file:/path reads them from a file, one per line; only "
	    "the daemon should be able to read it.",
    },
    {
	.name = "never_freeze",
	.type = OPTION_STRINGS,
	AT(never_freeze),
	.reloadable = true,
	.sample = "{\"user:boss@example.org\", \"policy:machines\"}",
	.doc = "Senders that no rule may freeze. Where others are frozen, "
	       "their new recipients continue to wait, up to queue_max; the "
	       "event \"spare\" and a warning in the log report it. An "
	       "administrator can still freeze them by hand. One that is "
	       "frozen when it is added here stays frozen until it is thawed. "
	       "Entries are as in a policy's match and are compared with the "
	       "sender that counts: a network matches senders known by their "
	       "client address. policy:NAME matches all senders of a policy. "
	       "file:/path reads entries from a file, one per line.",
    },
    MAILD_INBOUND_OPTIONS,
    /* ---- sessions ---- */
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
    /* ---- next hop ---- */
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
    MAILD_HOP_OPTIONS,
    /* ---- milter ---- */
    MAILD_MILTER_OPTIONS,
    /* ---- several relays ---- */
    MAILD_SHARE_OPTIONS,
    /* ---- TLS ---- */
    {
	.name = "tls_cert",
	.type = OPTION_STRINGS,
	AT(tls_cert),
	.reloadable = true,
	.sample = "/etc/weir/relay.example.org.pem",
	.check = option_check_path,
	.doc =
	    "Certificates of the listeners, each a PEM file with the "
	    "certificate and its chain. A client that requests a server name "
	    "gets the first certificate for that name; any other gets the "
	    "first of the list. They are read again at a reload. Sessions "
	    "continue, and if a file is bad, the old certificates stay in use.",
    },
    {
	.name = "tls_key",
	.type = OPTION_STRINGS,
	AT(tls_key),
	.reloadable = true,
	.sample = "/etc/weir/relay.example.org.key",
	.check = option_check_path,
	.doc = "Keys of tls_cert in the same order, PEM without a passphrase. "
	       "If not set, each key is read from the certificate's file. A "
	       "daemon with user set reads them as that user at a reload.",
    },
    {
	TIME("tls_timeout", hop.tls.timeout_ms, "1m", SECONDS(1), MINUTES(10)),
	.doc =
	    "Maximum time for a TLS handshake with a client or the next hop.",
    },
    {
	CHOICE("next_hop_tls", next_hop_tls, "none", hop_tls_names),
	.doc =
	    "TLS to the next hop. none: no TLS. may: TLS if the next hop "
	    "offers STARTTLS, plaintext if the handshake fails. require: TLS "
	    "with any certificate. verify: TLS with a trusted certificate that "
	    "matches the name of the next hop. If the required TLS is not "
	    "available, clients get 451 and released mail waits. With verify, "
	    "clients over TLS are offered REQUIRETLS (RFC 8689) where the next "
	    "hop offers it: such mail goes to no other next hop, and is "
	    "returned rather than released without it (5.7.30; 5.7.10 when "
	    "there is no TLS at all). The header field TLS-Required: No is "
	    "passed on and has no effect here.",
    },
    {
	SWITCH("next_hop_tls_implicit", hop.tls.implicit, "false"),
	.doc = "The next hop speaks TLS from the first byte, as on port 465. "
	       "Not allowed with next_hop_tls none or may.",
    },
    {
	.name = "next_hop_tls_ca",
	.type = OPTION_STRING,
	AT(next_hop_tls_ca),
	.reloadable = true,
	.sample = "/etc/weir/next-hop-ca.pem",
	.check = option_check_path,
	.doc = "PEM file of the authorities that verify trusts. Default: the "
	       "authorities that the system trusts.",
    },
    {
	.name = "next_hop_tls_name",
	.type = OPTION_STRING,
	AT(hop.tls.name),
	.reloadable = true,
	.sample = "mx.example.org",
	.check = maild_check_hostname,
	.doc = "Server name that is requested from the next hop and that its "
	       "certificate must match. Default: the host in next_hop.",
    },
    {
	.name = "next_hop_tls_fingerprint",
	.type = OPTION_STRINGS,
	AT(next_hop_tls_fingerprint),
	.reloadable = true,
	.check = maild_check_fingerprint,
	.doc = "SHA-256 fingerprints of certificates. With verify, the next "
	       "hop's certificate must be one of them; its name, authority and "
	       "date are then not checked.",
    },
    /* ---- spool and delivery ---- */
    {
	FIXED_SIZE("min_free", spool.min_free_bytes, "100M", MIB(1)),
	.doc = "Minimum free space on the spool's file system; below it mail "
	       "is refused with 452.",
    },
    {
	FIXED_SIZE("body_memory", spool.body_memory_bytes, "64M", MIB(1)),
	.doc = "Memory for the text of held messages on its way to the disk. "
	       "When it is full, the text goes to files in small pieces, and "
	       "clients are read only as fast as the disk accepts it.",
    },
    {
	FIXED_NUMBER("held_max", spool.held_max, "200000", 1, 100000000),
	.doc = "Maximum number of recipients in the spool. When it is reached, "
	       "a recipient that would be held is refused with 452; known ones "
	       "still pass. When more than half is used, each sender has a "
	       "share; see LIMITS. queue_max is the limit per sender.",
    },
    {
	FIXED_SIZE("held_bytes_max", spool.held_bytes_max, "2G", MIB(1)),
	.doc = "Maximum size of all messages in the spool, as far as min_free "
	       "leaves room. When it is reached, a message with a held "
	       "recipient is refused with 452. When more than half is used, "
	       "each sender has a share; see LIMITS.",
    },
    {
	NUMBER("delivery_concurrency", delivery.concurrency, "20", 1, 10000),
	.doc = "Maximum number of released messages that are delivered at the "
	       "same time.",
    },
    {
	TIME("retry_min", delivery.retry_min_ms, "1m", SECONDS(1), DAYS(1)),
	.doc = "Pause after the first failed delivery attempt. It doubles with "
	       "each further one.",
    },
    {
	TIME("retry_max", delivery.retry_max_ms, "1h", SECONDS(1), DAYS(7)),
	.doc = "Maximum pause between two attempts.",
    },
    {
	TIME("max_age", delivery.max_age_ms, "5d", MINUTES(1), DAYS(60)),
	.doc = "Age at which a released message that could not be delivered is "
	       "returned to its sender. Time spent on hold does not make a "
	       "message expire.",
    },
    {
	TIME("notify_after", delivery.notify_after_ms, "0", 0, DAYS(60)),
	.doc = "Age at which waiting mail is reported: to its sender, once per "
	       "message, with the waiting recipients and the reason, and in "
	       "the log and the events. 0: no reports.",
    },
    {
	.name = "notify_limit",
	.type = OPTION_RATE,
	AT(delivery.notify_limit),
	.preset = "10/1d",
	.reloadable = true,
	.doc = "Maximum rate of delay notices to one address, since the sender "
	       "may be forged. Further waiting messages are reported only in "
	       "the log and the events.",
    },
    {
	.name = "report_limit",
	.type = OPTION_RATE,
	AT(delivery.report_rate),
	.preset = "50/1h",
	.reloadable = true,
	.doc = "Maximum rate of reports that weir itself sends (bounces, delay "
	       "notices, and those requested by NOTIFY=SUCCESS) for the mail "
	       "of one sender. At the limit, a refused recipient stays in the "
	       "spool and is tried again when its bounce may be sent; a delay "
	       "notice or a success report is dropped. Each case is reported "
	       "in the log and the events.",
    },
    {
	.name = "report_limit_address",
	.type = OPTION_RATE,
	AT(delivery.report_rate_address),
	.preset = "20/1h",
	.reloadable = true,
	.doc = "Maximum rate of such reports to one address, which may not "
	       "have sent the mail. VERP, BATV and user+tag addresses count by "
	       "their base address. Delay notices have notify_limit instead.",
    },
    {0},
};

static const struct option_section maild_sections[] = {
    {
	.name = "listen",
	.doc = "A socket that accepts mail. At least one is required; each "
	       "needs a unique name.",
	.options = maild_listen_options,
	.size = sizeof(struct maild_listen),
	.offset = offsetof(struct maild_config, listen),
	.title_offset = offsetof(struct maild_listen, name),
	.place_offset = offsetof(struct maild_listen, place),
    },
    {
	.name = "http",
	.doc = "A socket that serves HTTP: the dashboard, /metrics for "
	       "Prometheus, and an API below /api/v1 (doc/api.md). weirctl "
	       "token new creates tokens. Without such a section there is no "
	       "HTTP. At most 64 connections, 16 from one address; a request "
	       "may take 30 seconds.",
	.options = web_conf_options,
	.size = sizeof(struct web_conf),
	.offset = offsetof(struct maild_config, http),
	.title_offset = offsetof(struct web_conf, name),
	.place_offset = offsetof(struct web_conf, place),
    },
    {
	.name = "policy",
	.doc = "The settings for a class of senders. Policies are tried in the "
	       "order of the file. The first one that matches applies, "
	       "otherwise the one named \"default\".",
	.options = policy_options,
	.size = sizeof(struct policy_conf),
	.offset = offsetof(struct maild_config, policy),
	.title_offset = offsetof(struct policy_conf, name),
	.place_offset = offsetof(struct policy_conf, place),
    },
    {
	.name = "scope",
	.doc = "Limits on the new recipients of many senders together, in "
	       "addition to the policy of each. Replies, the log and weirctl "
	       "show name the scope for which a recipient is waiting.",
	.options = scope_options,
	.size = sizeof(struct scope_conf),
	.offset = offsetof(struct maild_config, scope),
	.title_offset = offsetof(struct scope_conf, name),
	.place_offset = offsetof(struct scope_conf, place),
	.is_example = true,
    },
    {
	.name = "alert",
	.doc = "A destination of alerts and the events to report. Events are "
	       "collected for group_wait and sent as one message, which is "
	       "kept in the spool until it has been accepted. See alerts.md.",
	.options = alert_options,
	.size = sizeof(struct alert_conf),
	.offset = offsetof(struct maild_config, alert),
	.title_offset = offsetof(struct alert_conf, name),
	.place_offset = offsetof(struct alert_conf, place),
	.is_example = true,
    },
    {0},
};

const struct option_schema maild_schema = {
    .options = maild_options,
    .sections = maild_sections,
    .size = sizeof(struct maild_config),
};
