/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf: these tables drive parser, defaults, checks, sample
 * and manual page. The defaults protect a machine with 1 GB of memory. Checks
 * of a single value are here, so that an error names its line.
 */
#include "config.h"

#include "maild/maild_options.h"

static const char *const mode_names[] = {"enforce", "observe", NULL};
static const char *const log_names[] = {"stderr", "syslog", "journal", NULL};
static const char *const level_names[] = {
    "debug", "info", "warning", "error", NULL};

static const struct option daemon_options[] = {
    {
	.name = "hostname",
	.type = OPTION_STRING,
	AT(hostname),
	.reloadable = true,
	.sample = "relay.example.org",
	.check = maild_check_hostname,
	.doc =
	    "Name of this relay in its greeting, in EHLO, in Received header "
	    "fields and in bounces. Relays that share a throttle (shared) "
	    "identify each other by it: each needs a name of its own, and a "
	    "new name takes effect at the next start. Default: the name of "
	    "the machine.",
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
	.doc = "Memory for the senders and recipients of the last day's mail, "
	       "which weirctl explain --policy uses to test another "
	       "configuration: about 100 bytes per recipient. When it is "
	       "full, the test covers less time. 0: nothing is kept.",
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
	    "never_freeze is not frozen, but loses its allowance. Neither is "
	    "a sender frozen to which incoming mail named the address within "
	    "the last 30 days (in From, Reply-To, To or Cc, or as its sender "
	    "with learn_inbound). The event \"decoy\" reports both cases. The "
	    "policy service puts a message with a decoy on hold as a whole, "
	    "whatever service says, and cannot see header fields. Policies "
	    "with exempt do not exclude a sender. The next hop must accept "
	    "the addresses. file:/path reads them from a file, one per line; "
	    "only the daemon should be able to read it.",
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
    {0},
};

static const struct option spool_options[] = {
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
	.tables = OPTION_TABLES(maild_options_listen),
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
	.tables = web_conf_tables,
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
	.tables = OPTION_TABLES(policy_options),
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
	.tables = OPTION_TABLES(scope_options),
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
	.tables = OPTION_TABLES(alert_options),
	.size = sizeof(struct alert_conf),
	.offset = offsetof(struct maild_config, alert),
	.title_offset = offsetof(struct alert_conf, name),
	.place_offset = offsetof(struct alert_conf, place),
	.is_example = true,
    },
    {0},
};

const struct option_schema maild_schema = {
    .tables = OPTION_TABLES(daemon_options, maild_options_inbound,
	maild_options_session, maild_options_hop, maild_options_milter,
	maild_options_share, maild_options_tls, spool_options),
    .sections = maild_sections,
    .size = sizeof(struct maild_config),
    .lines_offset = offsetof(struct maild_config, lines),
};
