/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of the `policy` section. Where the default depends on the
 * profile, the table has none: the field stays 0, which none of these options
 * accepts from a file, and policy.c takes the profile's value.
 */
#include "gate/policy.h"

#include "os/option_check.h"

#define MS_MINUTE ((int64_t)60 * 1000)
#define MS_DAY (24 * 60 * MS_MINUTE)
#define AT(field) offsetof(struct policy_conf, field)

static const char *const profile_names[] = {
    "mail", "machine", "tcp", "udp", "paper", NULL};
static const char *const key_names[] = {
    "first", "user", "client", "envelope", NULL};
static const char *const local_names[] = {"sender", "user", "client", NULL};
static const char *const service_names[] = {"defer", "hold", "reject", NULL};
static const char *const path_names[] = {"count", "free", NULL};
static const char *const sender_names[] = {"any", "own", NULL};
static const char *const notify_names[] = {"none", "freeze", "warning", NULL};
static const char *const networks_names[] = {"hold", "freeze", NULL};
static const char *const multi_names[] = {"split", "whole", NULL};
static const char *const when_frozen_names[] = {
    "tempfail", "hold", "reject", NULL};

const struct option policy_options[] = {
    {
	.name = "match",
	.type = OPTION_STRINGS,
	.offset = AT(match),
	.reloadable = true,
	.sample = "{\"user:news@example.org\", \"user:@lists.example.org\", "
		  "\"192.0.2.0/24\"}",
	.doc =
	    "Senders that the policy applies to. The policies \"null\" (mail "
	    "without an envelope sender from this machine, the source <>; or "
	    "any with the single entry from:<>) and \"overflow\" (new senders "
	    "at senders_max, [overflow]) need no match. Those two have "
	    "interval 1s, burst 100 and working_set 1024 unless set, and never "
	    "freeze. Mail without an envelope sender counts for its login, or "
	    "elsewhere for its client. From <> it passes uncounted if it "
	    "answers a message that arrived (local_domains) within the last "
	    "day. user:NAME is a login, user:@example.org all logins of a "
	    "domain, 192.0.2.0/24 or client:192.0.2.0/24 a client's network, "
	    "app:NAME what the application NAME asks about over HTTP (its "
	    "sources are named NAME:SOURCE), and from:alice@example.org or "
	    "from:@example.org an envelope sender. There are no patterns: an "
	    "entry with * or ? outside a quoted local part is an error. An "
	    "entry without such a prefix is the sender's own name: the login, "
	    "or the envelope sender where that is what counts (key = envelope, "
	    "or local = sender and a program of this machine). Envelope "
	    "senders can be forged: do not use from: where a policy allows "
	    "more than others (exempt, a larger burst), unless the mail server "
	    "refuses senders that do not belong to a login (Postfix: "
	    "reject_sender_login_mismatch). file:/path reads entries from a "
	    "file, one per line, with # for comments; it is read again at a "
	    "reload.",
    },
    {
	.name = "exempt",
	.type = OPTION_BOOL,
	.offset = AT(exempt),
	.preset = "false",
	.reloadable = true,
	.doc = "Mail from these senders always passes and is not counted. An "
	       "administrator can still freeze them by hand.",
    },
    {
	.name = "exempt_recipients",
	.type = OPTION_STRINGS,
	.offset = AT(exempt_recipients),
	.reloadable = true,
	.sample = "{\"postmaster@example.org\", \"@example.org\"}",
	.doc = "Recipients that always pass and are not counted: addresses, "
	       "domains (@example.org) and file:/path. A frozen sender cannot "
	       "write to them either. A domain does not match an address that "
	       "may lead elsewhere, that is, one with %, ! or @ in its local "
	       "part (user%example.net@example.org).",
    },
    {
	.name = "profile",
	.type = OPTION_ENUM,
	.offset = AT(profile),
	.preset = "mail",
	.names = profile_names,
	.reloadable = true,
	.doc = "Source of the values that the policy does not set. mail is for "
	       "people who write mail. machine is for shops, ticket systems "
	       "and mailing lists: the same as mail, but with limit 2000/1d "
	       "and without stranger_messages. tcp, udp and paper (the same as "
	       "tcp) follow the published throttle to the letter: the "
	       "allowance is the free room in the working set, and burst and "
	       "initial have no effect.",
    },
    {
	.name = "working_set",
	.type = OPTION_UINT,
	.offset = AT(working_set),
	.min = 1,
	.max = THROTTLE_WORKING_SET_MAX,
	.reloadable = true,
	.sample = "64",
	.doc = "Number of known recipients remembered per sender. The least "
	       "recently used one is forgotten first. Mail to known recipients "
	       "passes at once. The profile mail has 64, the others 5.",
    },
    {
	.name = "interval",
	.type = OPTION_DURATION,
	.offset = AT(interval_ms),
	.min = 10,
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "1m",
	.doc = "Time between two releases: one held recipient is released per "
	       "interval. Each interval in which nothing is waiting adds one "
	       "to the allowance. The profile mail has 1m, the others 1s.",
    },
    {
	.name = "burst",
	.type = OPTION_UINT,
	.offset = AT(burst),
	.min = 1,
	.max = 65535,
	.reloadable = true,
	.sample = "10",
	.doc = "Maximum allowance: this many new recipients may pass at once "
	       "after a quiet period. The profile mail has 10.",
    },
    {
	.name = "initial",
	.type = OPTION_UINT,
	.offset = AT(initial),
	.preset = "10",
	.min = 0,
	.max = 65535,
	.reloadable = true,
	.doc = "Allowance of a sender that has not been seen before. It is "
	       "capped at burst.",
    },
    {
	.name = "freeze_at",
	.type = OPTION_UINT,
	.offset = AT(freeze_at),
	.given = AT(has_freeze_at),
	.preset = "100",
	.min = 0,
	.max = 1000000,
	.reloadable = true,
	.doc = "Freeze a sender when this many of its recipients are waiting, "
	       "until an administrator thaws it. The largest waiting message "
	       "with more than burst new recipients does not count; the event "
	       "\"blast\" reports each such message. The message that causes "
	       "the freeze is accepted as a whole. 0: never freeze because of "
	       "the queue length.",
    },
    {
	.name = "freeze_growth",
	.type = OPTION_RATE,
	.offset = AT(freeze_growth),
	.reloadable = true,
	.sample = "50/1m",
	.doc = "Freeze a sender when this many recipients join its queue "
	       "within this time, whatever the queue length. If not set, only "
	       "freeze_at applies.",
    },
    {
	.name = "limit",
	.type = OPTION_RATES,
	.offset = AT(limit),
	.given = AT(has_limit),
	.reloadable = true,
	.sample = "{\"30/1h\", \"100/1d\"}",
	.doc = "Maximum number of new recipients released in any window of "
	       "this length, whatever the allowance; others wait until the "
	       "window has room. Up to four limits. A short window and a long "
	       "one together leave people undisturbed and keep the long-term "
	       "rate low. {}: no limit. If not set, the profile machine has "
	       "{\"2000/1d\"}, and the profile mail has {\"100/1d\"} where the "
	       "policy sets none of interval, burst and freeze_at either.",
    },
    {
	.name = "stranger_messages",
	.type = OPTION_RATE,
	.offset = AT(stranger_messages),
	.given = AT(has_stranger_messages),
	.reloadable = true,
	.sample = "40/1d",
	.doc = "Freeze a login that sends more messages than this to "
	       "strangers. A message counts once, when it names a new "
	       "recipient that no earlier message in the window has named. A "
	       "retry, or a second message to a recipient who is still "
	       "waiting, does not count. The message that exceeds the limit is "
	       "accepted. Senders without a login (client addresses, programs, "
	       "key = envelope) are not frozen: their further new recipients "
	       "wait until the window has room, and the event \"strangers\" "
	       "reports it. \"0\": no limit. If not set, the profile mail has "
	       "\"40/1d\" where the policy sets none of interval, burst, "
	       "freeze_at and limit; the others have no limit.",
    },
    {
	.name = "familiar_for",
	.type = OPTION_DURATION,
	.offset = AT(familiar_for_ms),
	.preset = "365d",
	.min = 0,
	.max = 3650 * MS_DAY,
	.reloadable = true,
	.doc =
	    "How long a recipient stays familiar after the last mail from the "
	    "sender. A recipient is familiar when it is not in the working "
	    "set and the sender has written to it within this time, or when "
	    "its domain is in internal_domains. The time of the last mail is "
	    "recorded to the week. A familiar recipient is not new: it uses "
	    "up nothing of burst, limit and the limits of scopes, but has an "
	    "allowance of its own (familiar_burst, familiar_interval, "
	    "familiar_freeze_at). So a thief cannot reach a whole address "
	    "book at once. 0: no recipient is familiar; every recipient "
	    "outside the working set is new, and none is remembered. The "
	    "profiles tcp, udp and paper have no familiar recipients. None "
	    "are remembered for <> and for senders that share one source.",
    },
    {
	.name = "familiar_burst",
	.type = OPTION_UINT,
	.offset = AT(familiar_burst),
	.min = 1,
	.max = 65535,
	.reloadable = true,
	.sample = "100",
	.doc = "Maximum allowance for familiar recipients: this many may pass "
	       "at once after a quiet period. If not set, 100, or burst where "
	       "that is larger. It must not be below burst. To turn familiar "
	       "recipients off, set familiar_for to 0.",
    },
    {
	.name = "familiar_interval",
	.type = OPTION_DURATION,
	.offset = AT(familiar_interval_ms),
	.min = 10,
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "10s",
	.doc =
	    "Time between two releases of familiar recipients: one is released "
	    "per interval. Each interval in which none is waiting adds one to "
	    "the allowance, up to familiar_burst. If not set, 10s, or interval "
	    "where that is shorter. It must not be longer than interval.",
    },
    {
	.name = "familiar_freeze_at",
	.type = OPTION_UINT,
	.offset = AT(familiar_freeze_at),
	.preset = "300",
	.min = 0,
	.max = 1000000,
	.reloadable = true,
	.doc = "Freeze a sender when this many familiar recipients are "
	       "waiting. 0: never. If not set: 300, or freeze_at where that "
	       "is larger or 0, or queue_max where that is smaller. freeze_at "
	       "does not count familiar recipients, and queue_max counts them "
	       "separately from new ones.",
    },
    {
	.name = "warn_at",
	.type = OPTION_STRINGS,
	.offset = AT(warn_at),
	.preset = WARN_PRESET,
	.reloadable = true,
	.check = warn_check,
	.doc =
	    "Warn when a sender reaches this part of freeze_at, of "
	    "familiar_freeze_at, of one of its limits or of stranger_messages. "
	    "The warning is the event \"warn\" and a log line, once for each "
	    "part; it is repeated only after the number has fallen 10 points "
	    "below that part. Up to four; {}: no warnings. After a restart of "
	    "the daemon a warning may be repeated once.",
    },
    {
	.name = "notify_sender",
	.type = OPTION_ENUM,
	.offset = AT(notify_sender),
	.preset = "none",
	.names = notify_names,
	.reloadable = true,
	.doc = "Notify the sender by mail to its own address. freeze: that it "
	       "was frozen, once per freeze. warning: also that it came close "
	       "to a limit (warn_at), at most once a day. The message says "
	       "what to do and whom to contact (contact). It contains no "
	       "numbers, since whoever has stolen the account may read it. It "
	       "goes to the login if that is an address; to the login at the "
	       "first of local_domains if it is not; to an envelope sender "
	       "only if that is in local_domains. It is not sent for client "
	       "addresses and mail without an envelope sender. It has the null "
	       "sender and is not throttled.",
    },
    {
	.name = "refused_credit",
	.type = OPTION_UINT,
	.offset = AT(refused_credit),
	.preset = "20",
	.min = 0,
	.max = CREDIT_MAX,
	.reloadable = true,
	.doc =
	    "Credit of a sender for unknown recipients. A new recipient that "
	    "the next hop permanently rejects as unknown costs one: 5.1.1, "
	    "5.1.2 or 5.1.10, or 550 without such a code in the reply to RCPT. "
	    "Each new recipient that accepts the mail restores a third of one, "
	    "and time restores the whole credit within a week. Without credit, "
	    "new recipients wait even if burst is not used up, until a quarter "
	    "of the credit is restored; the event \"credit\" reports it. "
	    "Recipients that were refused recently do not cost credit again, "
	    "nor does mail without an envelope sender. A list with less than a "
	    "quarter of dead addresses never uses up the credit. 0: nothing is "
	    "counted. The profiles tcp, udp and paper count nothing.",
    },
    {
	.name = "credit_freeze",
	.type = OPTION_DURATION,
	.offset = AT(credit_freeze_ms),
	.preset = "1h",
	.min = 0,
	.max = 365 * MS_DAY,
	.reloadable = true,
	.doc = "Freeze a sender that has been without refused_credit for this "
	       "long and is still sending to unknown recipients. A quarter of "
	       "this time without a refusal, but at least a minute, restores a "
	       "quarter of the credit. 0s: never freeze for it.",
    },
    {
	.name = "client_networks",
	.type = OPTION_RATE,
	.offset = AT(client_networks),
	.reloadable = true,
	.sample = "8/1h",
	.doc = "Maximum number of new client networks from which one login may "
	       "be used within this time: /24 of IPv4, /48 of IPv6. A network "
	       "that is used again after a day is learned and no longer "
	       "counts, until it has not been used for 90 days. None is "
	       "learned while the limit is exceeded. Clients on this machine "
	       "do not count. Up to 32, within a day at most. The event "
	       "\"networks\" reports when the limit is exceeded. If not set, "
	       "no limit. Mobile phones change networks often.",
    },
    {
	.name = "client_networks_action",
	.type = OPTION_ENUM,
	.offset = AT(client_networks_action),
	.preset = "hold",
	.names = networks_names,
	.reloadable = true,
	.doc =
	    "Action for a login that is used from more than client_networks. "
	    "hold: new recipients of mail from networks that are not learned "
	    "wait, even if burst is not used up. freeze: the login is frozen.",
    },
    {
	.name = "queue_max",
	.type = OPTION_UINT,
	.offset = AT(queue_max),
	.min = 1,
	.max = 1000000,
	.reloadable = true,
	.sample = "10000",
	.doc = "Maximum number of waiting recipients per sender, even where "
	       "nothing freezes it. A message that would exceed it is refused "
	       "as a whole, with 452. Familiar recipients are counted "
	       "separately. It must not be below freeze_at. The profile mail "
	       "has 10000, the others 100.",
    },
    {
	.name = "idle_expiry",
	.type = OPTION_DURATION,
	.offset = AT(idle_expiry_ms),
	.min = MS_MINUTE,
	.max = 3650 * MS_DAY,
	.reloadable = true,
	.sample = "30d",
	.doc = "Forget a sender and all its known recipients after this much "
	       "inactivity, unless it is frozen or has mail waiting. The "
	       "profile mail has 30d, the others 1h.",
    },
    {
	.name = "key",
	.type = OPTION_ENUM,
	.offset = AT(key),
	.preset = "first",
	.names = key_names,
	.reloadable = true,
	.doc = "What counts as one sender. first: the authenticated user, else "
	       "the client address, else the envelope sender; user is the "
	       "same. client: the client address, whoever is authenticated. "
	       "envelope: the envelope sender; it can be forged, so use it "
	       "only where clients are trusted to give their own. Redundant "
	       "quotes in the local part do not make a different sender.",
    },
    {
	.name = "local",
	.type = OPTION_ENUM,
	.offset = AT(local),
	.preset = "sender",
	.names = local_names,
	.reloadable = true,
	.doc =
	    "What counts as one sender for mail that programs on the mail "
	    "server's own machine submit without authentication (sendmail(1), "
	    "PHP; milter and policy service only), where key would be the "
	    "client. sender: the envelope sender. user: its local part, "
	    "whatever the domain, as in www-data. client: all such mail is one "
	    "sender. Mail without an envelope sender counts as <>, under the "
	    "policy \"null\"; so does what a mail server on this machine sends "
	    "through the relay without a login. A program can choose its "
	    "envelope sender freely unless the mail server forbids it.",
    },
    {
	.name = "service",
	.type = OPTION_ENUM,
	.offset = AT(service),
	.preset = "defer",
	.names = service_names,
	.reloadable = true,
	.doc =
	    "Reply of the policy service (protocol = policy) for a recipient "
	    "that must wait. defer: DEFER_IF_PERMIT. hold: HOLD, the whole "
	    "message goes to the mail server's hold queue. reject: REJECT. A "
	    "deferred recipient is accepted once it is due for release.",
    },
    {
	.name = "ipv6_prefix",
	.type = OPTION_UINT,
	.offset = AT(ipv6_prefix),
	.preset = "64",
	.min = 16,
	.max = 128,
	.reloadable = true,
	.doc = "IPv6 clients that share this many leading bits are one sender.",
    },
    {
	.name = "multi",
	.type = OPTION_ENUM,
	.offset = AT(multi),
	.preset = "split",
	.names = multi_names,
	.reloadable = true,
	.doc = "Handling of a message with known and new recipients. split: "
	       "send it to the known ones at once and to the others when they "
	       "are released. whole: keep it until all of them are released.",
    },
    {
	.name = "when_frozen",
	.type = OPTION_ENUM,
	.offset = AT(when_frozen),
	.preset = "tempfail",
	.names = when_frozen_names,
	.reloadable = true,
	.doc =
	    "Reply to mail from a frozen sender. tempfail: 451, so that an "
	    "honest client keeps the mail and tries again; mail that a program "
	    "submits with sendmail(1), which sees no reply, is held by the "
	    "milter. hold: accept all of it into the queue, up to queue_max. "
	    "reject: 550. A message that was started before the freeze is "
	    "stopped at DATA or at its end: with 451, or 550 for reject.",
    },
    {
	.name = "reverse_paths",
	.type = OPTION_ENUM,
	.offset = AT(reverse_paths),
	.preset = "count",
	.names = path_names,
	.reloadable = true,
	.doc =
	    "Bounces carry the text of a message to its reverse path (MAIL "
	    "FROM). count: a reverse path that is new to the sender and "
	    "foreign to the site costs one new recipient; if none is left, the "
	    "whole message waits. Not foreign are the null path, the login's "
	    "own address, addresses in local_domains, inbound_users and "
	    "sender_address_file, and the first path that a sender uses. VERP, "
	    "BATV, SRS and user+tag count by their base address. Mail from "
	    "xclient_from without a login does not count, nor does incoming "
	    "mail (local_domains), nor mail without a login to "
	    "exempt_recipients, unless a local program submits it to the "
	    "milter or asks the policy service. free: no reverse path counts; "
	    "for mail servers that forward other people's mail without SRS. "
	    "The profiles tcp, udp and paper always use free.",
    },
    {
	.name = "sender_addresses",
	.type = OPTION_ENUM,
	.offset = AT(sender_addresses),
	.preset = "any",
	.names = sender_names,
	.reloadable = true,
	.doc = "Envelope senders (MAIL FROM) that a login may use. any: every "
	       "address. own: its own addresses only, that is, the login "
	       "itself, its name before @ in one of local_domains, and those "
	       "that inbound_users or sender_address_file assign to it; others "
	       "are refused with 553 5.7.1. The null sender is always allowed, "
	       "and clients without a login are not checked. It corresponds to "
	       "reject_authenticated_sender_login_mismatch in Postfix.",
    },
    {
	.name = "weight",
	.type = OPTION_UINT,
	.offset = AT(weight),
	.preset = "1",
	.min = 1,
	.max = 100,
	.reloadable = true,
	.doc =
	    "Share of these senders in the delivery of released mail. Senders "
	    "with mail due take turns, so that the many messages of one do not "
	    "delay another's. A sender of weight 2 sends twice as much in each "
	    "round. It has no effect while only one sender has mail due.",
    },
    {
	.name = "sender_address_file",
	.type = OPTION_STRING,
	.offset = AT(sender_address_file),
	.reloadable = true,
	.check = option_check_path,
	.sample = "\"/etc/weir/senders\"",
	.doc = "File with further addresses that belong to a login. Each line "
	       "has a login, followed by addresses or @example.org for a whole "
	       "domain, separated by blanks or commas; # starts a comment. It "
	       "is read again at a reload.",
    },
    {
	.name = "fold_tags",
	.type = OPTION_BOOL,
	.offset = AT(fold_tags),
	.preset = "false",
	.reloadable = true,
	.doc = "Count user+tag@example.org as the recipient user@example.org.",
    },
    {
	.name = "learn_inbound",
	.type = OPTION_BOOL,
	.offset = AT(learn_inbound),
	.preset = "false",
	.reloadable = true,
	.doc =
	    "Treat addresses that wrote to one of these senders as familiar "
	    "recipients (familiar_for): answers use up no allowance for new "
	    "recipients. Addresses are learned from mail that arrives at "
	    "weir's own listeners, without a login, from an address outside "
	    "local_domains to one inside, once the message has been accepted. "
	    "Mail with a login between addresses in local_domains makes its "
	    "sender, and the other recipients that it reached, familiar to "
	    "each recipient there. It is off by default, since incoming mail "
	    "can be forged; inbound_set, inbound_rate and inbound_expiry "
	    "limit it. A frozen sender stays frozen, and mail that is already "
	    "waiting continues to wait.",
    },
    {
	.name = "inbound_set",
	.type = OPTION_UINT,
	.offset = AT(inbound_set),
	.preset = "256",
	.min = 1,
	.max = ACQUAINTANCES_MAX,
	.reloadable = true,
	.doc = "Maximum number of addresses that a sender knows only from "
	       "incoming mail. The one that has not written for the longest "
	       "time is forgotten first.",
    },
    {
	.name = "inbound_rate",
	.type = OPTION_RATE,
	.offset = AT(inbound_rate),
	.preset = "50/1d",
	.reloadable = true,
	.doc = "Maximum rate of newly learned addresses per sender; 50/1d "
	       "allows 50 at once, then one every 29 minutes. This is what "
	       "somebody who has stolen an account can gain by writing to it "
	       "from forged addresses. One domain or one client network (/24, "
	       "IPv6 /48) gets at most half of it, and one domain from one "
	       "network a fifth, but at least five. So forged mail from one "
	       "network leaves half for the rest, however many domains it "
	       "invents. For a client on this machine only the domain counts.",
    },
    {
	.name = "inbound_expiry",
	.type = OPTION_DURATION,
	.offset = AT(inbound_expiry_ms),
	.preset = "30d",
	.min = MS_MINUTE,
	.max = 3650 * MS_DAY,
	.reloadable = true,
	.doc = "Forget an address that a sender knows only from incoming mail "
	       "this long after its last mail. Whole days are counted; part "
	       "of a day counts as one.",
    },
    {
	.name = "contact",
	.type = OPTION_STRING,
	.offset = AT(contact),
	.reloadable = true,
	.sample = "\"postmaster@example.org\"",
	.doc = "Contact named in replies to clients. If not set, the contact "
	       "of the whole relay.",
    },
    {.name = NULL},
};
