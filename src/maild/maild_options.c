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

static const struct option maild_options[] = {
    /* ---- the daemon ---- */
    {
	.name = "hostname",
	.type = OPTION_STRING,
	AT(hostname),
	.reloadable = true,
	.sample = "relay.example.org",
	.check = maild_check_hostname,
	.doc = "Name of this relay in its greeting, in EHLO, in Received lines "
	       "and in bounces. The default is the name of the machine.",
    },
    {
	.name = "spool",
	.type = OPTION_STRING,
	AT(spool),
	.preset = WEIR_LOCALSTATEDIR "/lib/weir",
	.check = option_check_path,
	.doc = "Directory of held mail and durable state. It belongs to one "
	       "daemon alone.",
    },
    {
	.name = "control",
	.type = OPTION_STRING,
	AT(control),
	.preset = WEIR_RUNSTATEDIR "/weir/control.sock",
	.check = option_check_socket_path,
	.doc = "Unix socket on which weirctl talks to the daemon.",
    },
    {
	.name = "control_group",
	.type = OPTION_STRING,
	AT(control_group),
	.sample = "weir-admin",
	.check = option_check_group,
	.doc = "Group whose members may give commands on the control socket, "
	       "beside root and the daemon's own user.",
    },
    {
	.name = "socket_users",
	.type = OPTION_STRINGS,
	AT(socket_users),
	.sample = "postfix",
	.check = maild_check_text,
	.doc = "Users of this machine, by name or number, whose programs may "
	       "use listen sections "
	       "with protocol = milter or policy, beside root and the daemon's "
	       "own user. Whoever asks there is believed when it names a user "
	       "or a client. Default: postfix and smmsp. The user of a "
	       "connection is known on a Unix socket and, for TCP from this "
	       "machine, from the kernel's socket table. Exim asks as "
	       "Debian-exim.",
    },
    {
	.name = "user",
	.type = OPTION_STRING,
	AT(user),
	.sample = "weir",
	.check = option_check_user,
	.doc = "User that the daemon becomes after it has bound its sockets, "
	       "when it is started as root. Without it the daemon stays who it "
	       "is.",
    },
    {
	.name = "next_hop",
	.type = OPTION_STRINGS,
	AT(next_hop),
	.required = true,
	.reloadable = true,
	.sample = "127.0.0.1:10025",
	.check = maild_check_next_hop,
	.doc = "The mail server that delivers: \"address:port\", \"name:port\" "
	       "or \"unix:/path\"; with \"lmtp:\" before it where it speaks "
	       "LMTP. Several are tried in order. One that leads back to weir "
	       "is refused (554 5.4.6).",
    },
    {
	CHOICE("mode", mode, "enforce", mode_names),
	.doc = "enforce or observe. With observe, weir computes, logs and "
	       "counts every decision, "
	       "but holds and refuses nothing.",
    },
    {
	.name = "contact",
	.type = OPTION_STRING,
	AT(contact),
	.reloadable = true,
	.sample = "helpdesk@example.org, +1 555 0100",
	.check = maild_check_text,
	.doc =
	    "Who can help a person whose mail was refused; named in replies.",
    },
    {
	.name = "postmaster",
	.type = OPTION_STRING,
	AT(postmaster),
	.reloadable = true,
	.sample = "postmaster@example.org",
	.check = maild_check_text,
	.doc = "Address of the postmaster, named in bounces. The default is "
	       "postmaster at hostname.",
    },
    {
	CHOICE("log", log, "stderr", log_names),
	.doc = "Where log lines go: stderr, syslog or journal.",
    },
    {
	CHOICE("log_level", log_level, "info", level_names),
	.doc = "The least important lines that are written: debug, info, "
	       "warning or error.",
    },
    {
	.name = "freeze_command",
	.type = OPTION_STRING,
	AT(freeze_command),
	.reloadable = true,
	.sample = "/etc/weir/freeze-mail.sh",
	.check = option_check_program,
	.doc = "Program that runs once when a sender is frozen, with the facts "
	       "in its environment: WEIR_SENDER, WEIR_POLICY, WEIR_REASON, "
	       "WEIR_QUEUE_LENGTH, WEIR_FREEZE_AT, WEIR_TIME; WEIR_PASSED "
	       "(new recipients that its mail went to within a day or two), "
	       "WEIR_CLIENTS and WEIR_SUBJECTS (of its held mail, a few of "
	       "each).",
    },
    {
	NUMBER("senders_max", senders_max, "500000", 1000, 100000000),
	.doc = "Senders kept in memory and on disk. At this number a new "
	       "sender takes the place of the one with the least at stake: "
	       "few known recipients, the whole allowance, no mail waiting, "
	       "not frozen. If none of those looked at may go, new senders "
	       "share one source, [overflow].",
    },
    {
	SIZE("history_memory", history_memory, "16M", 0, MIB(65536)),
	.doc = "Memory for who wrote to whom in the last day, on which "
	       "weirctl explain --policy tries another configuration: about "
	       "100 bytes for each recipient. Past it the trial looks back "
	       "less far. 0 keeps nothing.",
    },
    {
	.name = "decoys",
	.type = OPTION_STRINGS,
	AT(decoys),
	.reloadable = true,
	.sample = "{\"file:/etc/weir/decoys\"}",
	.doc = "Addresses that nobody writes to, such as those hidden in web "
	       "pages or put into address books for the purpose, and domains "
	       "(@example.org). A sender that names one as a recipient is "
	       "frozen at once. The message is taken as others that must wait, "
	       "and none of its recipients gets it. Mail that comes in and "
	       "mail without an envelope sender touch no decoy; a sender to "
	       "whom incoming mail named the address within the last 30 days "
	       "(in From, Reply-To, To or Cc, or as its sender with "
	       "learn_inbound), or that is "
	       "in never_freeze, is not frozen: the event \"decoy\" tells of "
	       "it, and one in never_freeze has its allowance taken. The "
	       "policy service puts a message with a decoy on hold as a whole, "
	       "whatever service says, and cannot see a header. Policies "
	       "with exempt do not exclude a sender. Let the next "
	       "hop accept the addresses. file:/path reads them from a file, "
	       "one a line; nobody else should be able to read it.",
    },
    {
	.name = "never_freeze",
	.type = OPTION_STRINGS,
	AT(never_freeze),
	.reloadable = true,
	.sample = "{\"user:boss@example.org\", \"policy:machines\"}",
	.doc = "Senders that no rule may freeze. Their new recipients go on "
	       "waiting, up to queue_max, where others are frozen; the event "
	       "\"spare\" and a warning in the log say so. An administrator "
	       "may freeze them by hand all the same, and one that is frozen "
	       "when it is named here stays so until it is thawed. Entries as "
	       "in a policy's match, held against the sender that counts: a "
	       "network names senders known by their client address. "
	       "policy:NAME names all senders of a policy. file:/path reads "
	       "entries from a file, one a line.",
    },
    MAILD_INBOUND_OPTIONS,
    /* ---- sessions ---- */
    {
	SWITCH("verify_held", verify_held, "true"),
	.doc = "Ask the next hop about recipients that will be held, so that "
	       "one it does not know is refused in the session.",
    },
    {
	SIZE("message_size", message_size, "50M", 65536, MIB(4096)),
	.doc = "Largest message; a larger one is answered with 552. The next "
	       "hop's own limit holds too, less 1154 bytes of room for the "
	       "Received field that weir adds.",
    },
    {
	NUMBER("recipients_max", recipients_max, "1000", 100, 4096),
	.doc = "Recipients of one message; further ones get 452.",
    },
    {
	NUMBER("errors_max", errors_max, "20", 1, 10000),
	.doc = "Faulty commands in one session before it is ended with 421.",
    },
    {
	NUMBER("idle_commands_max", idle_commands_max, "100", 5, 100000),
	.doc = "Commands in one session that bring no mail (NOOP, RSET, VRFY "
	       "and the like) before it is ended with 421.",
    },
    {
	NUMBER("refused_max", refused_max, "100", 1, 100000),
	.doc = "Recipients refused for good in one session before it is ended "
	       "with 421. The same number of recipients may be asked about "
	       "(RCPT) and then given up (RSET, QUIT and the like), or named "
	       "for a message that weir refuses (too large, too many hops, "
	       "a bare line feed), by one client address (IPv6: one /64) in "
	       "10 minutes; past it MAIL is answered with 421, except to "
	       "clients in my_networks.",
    },
    {
	NUMBER("local_part_max", local_part_max, "64", 64, 254),
	.doc = "Longest part of an address before the @, in bytes; longer ones "
	       "get 553. 64 is what RFC 5321 promises. Raise it for replies "
	       "to senders made for one message (VERP, SRS), which are often "
	       "longer. A whole address has 254 at most.",
    },
    {
	NUMBER("sessions_max", sessions_max, "1000", 1, 100000),
	.doc = "Sessions open at once. When they are all taken, one without a "
	       "login and without a transaction is ended with 421 to make room "
	       "for a newcomer: the longest idle one of the client that has "
	       "the most sessions. If there is none, the newcomer gets 421.",
    },
    {
	NUMBER("client_sessions_max", client_sessions_max, "100", 1, 100000),
	.doc = "Sessions open at once from one client address, or one IPv6 "
	       "/64; a further one is answered with 421. A session of the same "
	       "client that has been idle for half a minute makes room.",
    },
    {
	SIZE("envelope_memory", envelope_memory, "64M", MIB(1), MIB(65536)),
	.doc = "Memory for the recipients of all messages under way. Past it "
	       "a further recipient is answered with 452 until others have "
	       "ended. When more than half is used, each login (or client "
	       "address, without one) has a share; see LIMITS.",
    },
    {
	FIXED_NUMBER(
	    "policy_connections_max", policy_connections_max, "500", 1, 100000),
	.doc = "Connections of mail servers to the policy service at once; a "
	       "further one is closed. When more than half are used, each "
	       "server has a share; see LIMITS.",
    },
    {
	FIXED_NUMBER(
	    "milter_connections_max", milter_connections_max, "500", 1, 10000),
	.doc = "Connections of mail servers to the milter at once, each of "
	       "which is a thread; a further one is closed, and the mail "
	       "server does what it does without a filter (Postfix: "
	       "milter_default_action). When more than half are used, each "
	       "client of the mail server has a share, and hears 451 beyond "
	       "it; see LIMITS.",
    },
    {
	FIXED_NUMBER(
	    "control_connections_max", control_connections_max, "32", 2, 1000),
	.doc = "Connections to the control socket at once; a further one is "
	       "told so and closed. When more than half are used, each user "
	       "has a share; see LIMITS.",
    },
    {
	TIME("greeting_delay", greeting_delay_ms, "0", 0, MINUTES(2)),
	.doc = "Pause before the greeting. A client that talks before it is "
	       "refused.",
    },
    {
	TIME("tarpit", tarpit_ms, "0", 0, MINUTES(1)),
	.doc = "Delay of replies to frozen senders, and of all replies to a "
	       "message after its first decoy, so that whoever sends so sends "
	       "slowly. Of sessions_max a twentieth may wait so at once; "
	       "further ones are answered without delay. Only the relay "
	       "delays: behind a milter or the policy service it would keep "
	       "the mail server's own processes waiting. 0: none.",
    },
    {
	TIME("command_timeout", command_timeout_ms, "5m", SECONDS(1), HOURS(1)),
	.doc = "Longest wait for a whole command.",
    },
    {
	TIME("data_timeout", data_timeout_ms, "3m", SECONDS(1), HOURS(1)),
	.doc = "Longest pause between two pieces of a message.",
    },
    {
	TIME("message_timeout", message_timeout_ms, "1h", SECONDS(10), DAYS(1)),
	.doc = "Longest time for a whole message.",
    },
    {
	SIZE("data_rate_min", data_rate_min, "64", 0, MIB(100)),
	.doc = "Bytes a second that a client must send on average while it "
	       "sends a message. 0 asks for none.",
    },
    {
	TIME("data_rate_window", data_rate_window_ms, "1m", SECONDS(1),
	    HOURS(1)),
	.doc = "Time over which data_rate_min is measured.",
    },
    {
	TIME("answer_timeout", answer_timeout_ms, "9m", SECONDS(1), HOURS(1)),
	.doc = "Longest time from the end of a message to the reply. When the "
	       "next hop or the disk takes longer, the client is answered with "
	       "451. RFC 5321 has clients wait 10 minutes (section 4.5.3.2.6), "
	       "and an answer before that costs a copy at each attempt where "
	       "the next hop is slow but takes the message in the end; so this "
	       "is a little less than they wait. A message that the next hop "
	       "accepts after that is remembered for 6 hours, until a restart: "
	       "the same message again is answered with 250 and makes no other "
	       "copy. A client that leaves earlier "
	       "is no reason to lower it: its message takes its course, as it "
	       "would without weir. For the milter it is 4 minutes at most, "
	       "since Postfix waits 5 (milter_content_timeout).",
    },
    {
	SIZE("line_max", line_max, "64K", 1000, MIB(16)),
	.doc = "Longest line of a message.",
    },
    {
	SIZE("header_max", header_max, "256K", 4096, MIB(64)),
	.doc = "Longest header of a message.",
    },
    {
	NUMBER("received_max", received_max, "50", 5, 1000),
	.doc = "Received lines of a message; one with more is in a loop and is "
	       "refused.",
    },
    {
	CHOICE("bare_newline", bare_newline, "reject", newline_names),
	.doc = "What is done with a message in which CR or LF stand alone: "
	       "refuse it, make them CR LF, or take them as line ends. They "
	       "never go on as they came, and never end a message.",
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
	.doc = "Networks of old devices that cannot be mended, such as "
	       "printers and scanners. They may say anything after HELO and "
	       "EHLO (what would break a header becomes a question mark), give "
	       "addresses without angle brackets, use AUTH, SIZE= and BODY= "
	       "after HELO, and end lines with a bare LF. A text whose first "
	       "line ends so is ended by LF . LF as well. Name no mail server "
	       "here that passes on the mail of others: they could hide a "
	       "second message in one of theirs (SMTP smuggling). What goes on "
	       "to the next hop always has CR LF. Clients that a mail server "
	       "names by XCLIENT are not meant.",
    },
    /* ---- who the client is ---- */
    {
	.name = "auth_socket",
	.type = OPTION_STRING,
	AT(auth_socket),
	.reloadable = true,
	.sample = "unix:/run/dovecot/auth-client",
	.check = maild_check_listen,
	.doc = "Dovecot's authentication service, for listen sections with "
	       "auth = dovecot: \"unix:/path\" or \"address:port\".",
    },
    {
	NUMBER("auth_failures_max", auth_failures_max, "20", 1, 100000),
	.doc = "Failed logins of one user at one client address (IPv6: /64) "
	       "until that user is answered with 421 there; the user can log "
	       "in from elsewhere. When an address has as many failures of any "
	       "users, logins from it are checked one at a time, 2 s apart at "
	       "first and up to 1 min; users who logged in from there within "
	       "a week need not wait. One failure a minute is forgiven. Each "
	       "is answered later than the one before: after 1 s, 2 s, 4 s and "
	       "so on up to 16 s.",
    },
    {
	CHOICE("login_form", login_form, "lower", login_form_names),
	.doc = "How a login is counted when it can be spelt in several ways. "
	       "lower: without regard to case, blanks around it, quotes and "
	       "the final dot of its domain. exact: as it was written. "
	       "localpart: in lower case and without its domain, for servers "
	       "that look at the local part alone. In every form, a login "
	       "whose domain is not in a non-empty local_domains counts by "
	       "its local part: list there every domain that users log in "
	       "with. With auth = dovecot the name is the one that Dovecot "
	       "gives. With auth = pass it is the one that the client writes; "
	       "spellings that differ in the domain (where local_domains is "
	       "empty), in dots or in a +tag count as one account if they log "
	       "in with the same password, except with exact. A sender begins "
	       "anew when its name changes by this option.",
    },
    {
	.name = "my_networks",
	.type = OPTION_STRINGS,
	AT(my_networks),
	.reloadable = true,
	.sample = "192.0.2.0/24",
	.check = option_check_network,
	.doc = "Networks of your own clients and servers. Loopback "
	       "(127.0.0.0/8 and ::1) where none is named; name it too where "
	       "others are. Their mail to local_domains is outgoing, while "
	       "mail from other clients comes in. They may ask about "
	       "recipients without sending mail, as call-outs do "
	       "(refused_max).",
    },
    {
	.name = "xclient_from",
	.type = OPTION_STRINGS,
	AT(xclient_from),
	.reloadable = true,
	.sample = "192.0.2.25",
	.check = option_check_network,
	.doc = "Networks of mail servers and proxies from which XCLIENT and "
	       "XFORWARD are taken, so that the client they name is the one "
	       "that is throttled, logged and named in Received. All others "
	       "are answered with 550.",
    },
    {
	.name = "proxy_from",
	.type = OPTION_STRINGS,
	AT(proxy_from),
	.reloadable = true,
	.sample = "192.0.2.80",
	.check = option_check_network,
	.doc = "Networks of the proxies whose PROXY header is believed on "
	       "listen sections with proxy = true. Connections from elsewhere "
	       "are closed there.",
    },
    {
	.name = "trace_clients",
	.type = OPTION_STRINGS,
	AT(trace_clients),
	.reloadable = true,
	.sample = "192.0.2.17",
	.check = option_check_network,
	.doc = "Networks whose clients are traced in the log, at level info: "
	       "the SMTP dialogue with them and with the next hop on their "
	       "behalf, changes of state, verdicts with their reasons. "
	       "Passwords and message text are left out. For a short look, "
	       "and for senders and next hops, use weirctl trace.",
    },
    /* ---- next hop ---- */
    {
	SWITCH("next_hop_xclient", next_hop_xclient, "false"),
	.doc = "Tell a next hop that offers XCLIENT who the client is, so that "
	       "its restrictions, logs and filters see that one instead of "
	       "weir. In Postfix, smtpd_authorized_xclient_hosts must name "
	       "weir's address. Each session then has a connection of its own; "
	       "mail that was held goes out in weir's own name.",
    },
    {
	.name = "next_hop_auth",
	.type = OPTION_STRING,
	AT(next_hop_auth),
	.reloadable = true,
	.sample = "/etc/weir/next_hop.auth",
	.check = option_check_path,
	.doc = "File with the name and password with which weir itself logs in "
	       "at the next hop (AUTH PLAIN or LOGIN). A line is "
	       "\"user:password\" or \"user password\" for every next hop, or "
	       "begins with one of next_hop as it is written there. Nobody but "
	       "its owner may have any right to the file (mode 0600), unless "
	       "it is root's, below $CREDENTIALS_DIRECTORY (LoadCredential of "
	       "systemd). It is read again at a reload.",
    },
    {
	SWITCH("next_hop_auth_in_clear", next_hop_auth_in_clear, "false"),
	.doc = "Send passwords without TLS too: that one, and those of clients "
	       "whose logins the next hop checks (auth = pass), who are "
	       "offered no AUTH otherwise. Within the machine (a loopback "
	       "address, a Unix socket) they always are.",
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
	.doc = "Certificates of the listeners, each a PEM file with the "
	       "certificate and its chain. A client that asks for a server "
	       "name gets the first certificate that is for it, any other the "
	       "first of all. They are read again at a reload; sessions go on, "
	       "and when a file is bad the old ones stay.",
    },
    {
	.name = "tls_key",
	.type = OPTION_STRINGS,
	AT(tls_key),
	.reloadable = true,
	.sample = "/etc/weir/relay.example.org.key",
	.check = option_check_path,
	.doc = "Their keys in the same order, PEM without a passphrase. "
	       "Without this the key stands in the certificate's file. A "
	       "daemon with a user reads them as that user at a reload.",
    },
    {
	TIME("tls_timeout", tls_timeout_ms, "1m", SECONDS(1), MINUTES(10)),
	.doc = "Longest time for a TLS handshake, with a client or the next "
	       "hop.",
    },
    {
	CHOICE("next_hop_tls", next_hop_tls, "none", hop_tls_names),
	.doc = "TLS to the next hop: none; may, where it offers STARTTLS, and "
	       "in plain where the handshake fails; require, with whatever "
	       "certificate; verify, with a certificate that is trusted and "
	       "for the next hop's name. Where it cannot be had, clients get "
	       "451 and released mail waits. With verify, clients over TLS are "
	       "offered REQUIRETLS (RFC 8689) where the next hop offers it: "
	       "such mail goes to no other one, and is returned (5.7.30; "
	       "5.7.10 when there is no TLS at all) rather than released "
	       "without. The header TLS-Required: No is "
	       "passed on and changes nothing here.",
    },
    {
	SWITCH("next_hop_tls_implicit", next_hop_tls_implicit, "false"),
	.doc = "The next hop speaks TLS from the first byte, as on port 465. "
	       "Not with next_hop_tls none or may.",
    },
    {
	.name = "next_hop_tls_ca",
	.type = OPTION_STRING,
	AT(next_hop_tls_ca),
	.reloadable = true,
	.sample = "/etc/weir/next-hop-ca.pem",
	.check = option_check_path,
	.doc = "PEM file of the authorities that verify trusts. The default "
	       "is those that the system trusts.",
    },
    {
	.name = "next_hop_tls_name",
	.type = OPTION_STRING,
	AT(next_hop_tls_name),
	.reloadable = true,
	.sample = "mx.example.org",
	.check = maild_check_hostname,
	.doc = "Name that the next hop is asked for, and that its certificate "
	       "must be for. The default is the host in next_hop.",
    },
    {
	.name = "next_hop_tls_fingerprint",
	.type = OPTION_STRINGS,
	AT(next_hop_tls_fingerprint),
	.reloadable = true,
	.check = maild_check_fingerprint,
	.doc = "SHA-256 fingerprints of certificates. With verify, one of them "
	       "must be the next hop's, and neither its name nor an authority "
	       "nor its date count.",
    },
    /* ---- spool and delivery ---- */
    {
	FIXED_SIZE("min_free", min_free, "100M", MIB(1)),
	.doc = "Free space of the spool's file system below which mail is "
	       "answered with 452.",
    },
    {
	FIXED_SIZE("body_memory", body_memory, "64M", MIB(1)),
	.doc = "Memory for the text of held messages on their way to the disk. "
	       "Past it the text goes to files in small pieces, and clients "
	       "are read as fast as the disk takes it.",
    },
    {
	FIXED_NUMBER("held_max", held_max, "200000", 1, 100000000),
	.doc = "Recipients in the spool in all. Past it a recipient that would "
	       "be held is answered with 452; known ones pass as ever. When "
	       "more than half is used each sender has a share; see LIMITS. "
	       "For one sender there is also queue_max.",
    },
    {
	FIXED_SIZE("held_bytes_max", held_bytes_max, "2G", MIB(1)),
	.doc = "Size of all messages in the spool, as far as min_free "
	       "leaves room for it. Past it a message with a held recipient is "
	       "answered with 452. When more than half is used each sender has "
	       "a share; see LIMITS.",
    },
    {
	NUMBER("delivery_concurrency", delivery_concurrency, "20", 1, 10000),
	.doc = "Released messages that are delivered at once.",
    },
    {
	TIME("retry_min", retry_min_ms, "1m", SECONDS(1), DAYS(1)),
	.doc = "Pause after the first failed attempt to deliver. It doubles "
	       "with each further one.",
    },
    {
	TIME("retry_max", retry_max_ms, "1h", SECONDS(1), DAYS(7)),
	.doc = "Longest pause between two attempts.",
    },
    {
	TIME("max_age", max_age_ms, "5d", MINUTES(1), DAYS(60)),
	.doc = "Age at which a released message that could not be delivered is "
	       "returned to its sender. Time spent in the delay queue does not "
	       "end a message.",
    },
    {
	TIME("notify_after", notify_after_ms, "0", 0, DAYS(60)),
	.doc = "Age at which mail that still waits is reported: to its sender, "
	       "once a message, with what waits and why, and to the log and "
	       "the events. 0 reports nothing.",
    },
    {
	.name = "notify_limit",
	.type = OPTION_RATE,
	AT(notify_limit),
	.preset = "10/1d",
	.reloadable = true,
	.doc = "Delay notices to one address in so long a time, as the sender "
	       "may be forged. Further messages that wait are told in the log "
	       "and the events alone.",
    },
    {
	.name = "report_limit",
	.type = OPTION_RATE,
	AT(report_rate),
	.preset = "50/1h",
	.reloadable = true,
	.doc = "Reports that weir itself sends (bounces, delay notices, and "
	       "what NOTIFY=SUCCESS asks for) for the mail of one sender, in "
	       "that time. At the limit a recipient that was refused stays in "
	       "the spool and is tried again when its bounce may go; a delay "
	       "notice or a report of success is left out. The log and the "
	       "events tell of each.",
    },
    {
	.name = "report_limit_address",
	.type = OPTION_RATE,
	AT(report_rate_address),
	.preset = "20/1h",
	.reloadable = true,
	.doc = "The same to one address, whose mail it may not be: VERP, BATV "
	       "and user+tag addresses count by their base. Delay notices have "
	       "notify_limit instead.",
    },
    {0},
};

static const struct option_section maild_sections[] = {
    {
	.name = "listen",
	.doc = "A socket on which mail comes in. There is at least one, each "
	       "with a name of its own.",
	.options = maild_listen_options,
	.size = sizeof(struct maild_listen),
	.offset = offsetof(struct maild_config, listen),
	.title_offset = offsetof(struct maild_listen, name),
	.place_offset = offsetof(struct maild_listen, place),
    },
    {
	.name = "http",
	.doc =
	    "A socket on which HTTP is answered: the dashboard, /metrics for "
	    "Prometheus, and an API below /api/v1 (doc/api.md). Tokens are "
	    "made by weirctl token new. Nothing is listened on without such a "
	    "section. At most 64 "
	    "connections, 16 from one address; a request has 30 seconds.",
	.options = web_conf_options,
	.size = sizeof(struct web_conf),
	.offset = offsetof(struct maild_config, http),
	.title_offset = offsetof(struct web_conf, name),
	.place_offset = offsetof(struct web_conf, place),
    },
    {
	.name = "policy",
	.doc = "The numbers for a class of senders. Policies are tried in the "
	       "order of the file; the first whose match fits is taken, else "
	       "the one called \"default\".",
	.options = policy_options,
	.size = sizeof(struct policy_conf),
	.offset = offsetof(struct maild_config, policy),
	.title_offset = offsetof(struct policy_conf, name),
	.place_offset = offsetof(struct policy_conf, place),
    },
    {
	.name = "scope",
	.doc = "Limits on the new recipients of many senders together, beside "
	       "what each may by its policy. A reply, the log and weirctl "
	       "show name the scope that makes a recipient wait.",
	.options = scope_options,
	.size = sizeof(struct scope_conf),
	.offset = offsetof(struct maild_config, scope),
	.title_offset = offsetof(struct scope_conf, name),
	.place_offset = offsetof(struct scope_conf, place),
	.is_example = true,
    },
    {
	.name = "alert",
	.doc = "Where alerts go, and which. Events are collected for "
	       "group_wait and sent as one message, which is kept in the spool "
	       "until it was taken. See alerts.md.",
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
