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
	    "Whom the policy is for; the policies \"null\" (mail without an "
	    "envelope sender from this machine, the source <>; or any with "
	    "the single entry from:<>) and "
	    "\"overflow\" (new senders at senders_max, [overflow]) need "
	    "no match. Those two have interval 1s, burst 100 and working_set "
	    "1024 unless set, and never freeze. Mail without an envelope "
	    "sender counts for its login, or for its client elsewhere; "
	    "from <> it passes uncounted where it answers a message that came "
	    "in (local_domains) within the last day. user:NAME is a login, "
	    "user:@example.org all logins of a domain, 192.0.2.0/24 or "
	    "client:192.0.2.0/24 a client's network, "
	    "app:NAME what the application NAME asks about over HTTP (its "
	    "sources are called NAME:SOURCE), and "
	    "from:alice@example.org or from:@example.org an envelope "
	    "sender. There are no patterns: an entry with * or ? outside a "
	    "quoted local part is an error. An entry without such a word is "
	    "the source's own name: "
	    "the login, and the envelope sender only where that is the "
	    "source (key = envelope, or local = sender and a program of "
	    "this machine). Whoever may send can forge an envelope sender: "
	    "do not use from: where a policy gives more than others "
	    "(exempt, a larger burst), unless the mail server refuses "
	    "senders that do not belong to a login (Postfix: "
	    "reject_sender_login_mismatch). file:/path reads entries from "
	    "a file, one a line, with # for comments; it is read again at "
	    "a reload.",
    },
    {
	.name = "exempt",
	.type = OPTION_BOOL,
	.offset = AT(exempt),
	.preset = "false",
	.reloadable = true,
	.doc = "Mail of these senders always passes and is not counted. An "
	       "administrator may freeze them by hand all the same.",
    },
    {
	.name = "exempt_recipients",
	.type = OPTION_STRINGS,
	.offset = AT(exempt_recipients),
	.reloadable = true,
	.sample = "{\"postmaster@example.org\", \"@example.org\"}",
	.doc = "Recipients that always pass and are not counted: addresses, "
	       "domains (@example.org) and file:/path. A frozen sender does "
	       "not reach them either. A domain does not match an address "
	       "that may lead elsewhere, one with %, ! or @ in its local "
	       "part (user%example.net@example.org).",
    },
    {
	.name = "profile",
	.type = OPTION_ENUM,
	.offset = AT(profile),
	.preset = "mail",
	.names = profile_names,
	.reloadable = true,
	.doc =
	    "Where the numbers come from that the policy does not give. "
	    "mail is for people who write mail. machine is for shops, ticket "
	    "systems and mailing lists: the same but for limit, which is "
	    "2000/1d, and no stranger_messages. tcp, udp and paper (the "
	    "same as tcp) follow the published throttle to the letter: "
	    "the allowance is the free room in the working set, and "
	    "burst and initial have no effect.",
    },
    {
	.name = "working_set",
	.type = OPTION_UINT,
	.offset = AT(working_set),
	.min = 1,
	.max = THROTTLE_WORKING_SET_MAX,
	.reloadable = true,
	.sample = "64",
	.doc = "How many recipients of a sender are remembered as known; the "
	       "least recently used is forgotten first. Mail to them passes "
	       "at once. The profile mail has 64, the others 5.",
    },
    {
	.name = "interval",
	.type = OPTION_DURATION,
	.offset = AT(interval_ms),
	.min = 10,
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "1m",
	.doc = "One held recipient is let go each interval. An interval in "
	       "which nothing waits adds one to the allowance. The profile "
	       "mail has 1m, the others 1s.",
    },
    {
	.name = "burst",
	.type = OPTION_UINT,
	.offset = AT(burst),
	.min = 1,
	.max = 65535,
	.reloadable = true,
	.sample = "10",
	.doc = "The largest allowance: so many new recipients may pass at "
	       "once after a quiet time. The profile mail has 10.",
    },
    {
	.name = "initial",
	.type = OPTION_UINT,
	.offset = AT(initial),
	.preset = "10",
	.min = 0,
	.max = 65535,
	.reloadable = true,
	.doc = "The allowance of a sender that was never seen before. It is "
	       "never more than burst.",
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
	       "until an administrator thaws it. Of the messages that name "
	       "more than burst new recipients the largest one that waits "
	       "does not count; the event \"blast\" tells of each. The "
	       "message that freezes its sender is taken whole. 0 never "
	       "freezes on the length of the queue.",
    },
    {
	.name = "freeze_growth",
	.type = OPTION_RATE,
	.offset = AT(freeze_growth),
	.reloadable = true,
	.sample = "50/1m",
	.doc = "Freezes a sender whose queue takes in so many recipients in "
	       "so long a time, however short it is. Not set: only "
	       "freeze_at counts.",
    },
    {
	.name = "limit",
	.type = OPTION_RATES,
	.offset = AT(limit),
	.given = AT(has_limit),
	.reloadable = true,
	.sample = "{\"30/1h\", \"100/1d\"}",
	.doc = "Let at most this many new recipients go in any window of that "
	       "length, whatever the allowance says; others wait until the "
	       "window has room. Up to four; a short one and a long one "
	       "together leave people alone and keep the long-term rate low. "
	       "{} is none. If not set, the profile machine has {\"2000/1d\"}, "
	       "and the profile mail has {\"100/1d\"} where the policy sets "
	       "none of interval, burst and freeze_at either.",
    },
    {
	.name = "stranger_messages",
	.type = OPTION_RATE,
	.offset = AT(stranger_messages),
	.given = AT(has_stranger_messages),
	.reloadable = true,
	.sample = "40/1d",
	.doc = "Freeze a login that sends more messages to strangers than "
	       "this. A message counts, once, when it names a new recipient "
	       "that no earlier message in the window has named; so neither a "
	       "retry nor a second message to somebody who still waits "
	       "counts. The message that is one too many is taken. Senders "
	       "without a login (client addresses, programs, key = envelope) "
	       "are not frozen: their further new recipients wait until the "
	       "window has room, and the event \"strangers\" tells. \"0\" is "
	       "none. If not set, the profile mail has \"40/1d\" where the "
	       "policy sets none of interval, burst, freeze_at and limit; the "
	       "others have none.",
    },
    {
	.name = "familiar_for",
	.type = OPTION_DURATION,
	.offset = AT(familiar_for_ms),
	.preset = "365d",
	.min = 0,
	.max = 3650 * MS_DAY,
	.reloadable = true,
	.doc = "A recipient is familiar when it is not in the working set, but "
	       "mail of the sender went to it within this time, or "
	       "it is in one of internal_domains, whatever the time. The "
	       "time of the last mail is known to a week. A "
	       "familiar recipient is no new one: it takes "
	       "nothing from burst, limit and the limits of scopes, and has an "
	       "allowance of its own (familiar_burst, familiar_interval, "
	       "familiar_freeze_at), so that a thief does not reach a whole "
	       "address book at once. 0: no recipient is familiar, and all "
	       "that are not in the working set are new, and nobody is "
	       "remembered. The profiles tcp, udp and paper have no familiar "
	       "recipients. Of <>, and of senders that share one place, nobody "
	       "is remembered.",
    },
    {
	.name = "familiar_burst",
	.type = OPTION_UINT,
	.offset = AT(familiar_burst),
	.min = 1,
	.max = 65535,
	.reloadable = true,
	.sample = "100",
	.doc = "This many familiar recipients may pass at once after a quiet "
	       "time. If not set, 100, or burst where that is larger. It must "
	       "not be below burst. To do without familiar recipients, set "
	       "familiar_for to 0.",
    },
    {
	.name = "familiar_interval",
	.type = OPTION_DURATION,
	.offset = AT(familiar_interval_ms),
	.min = 10,
	.max = 365 * MS_DAY,
	.reloadable = true,
	.sample = "10s",
	.doc = "One familiar recipient that waits is released each time this "
	       "has passed. While none waits, each such time adds one to the "
	       "allowance, up to familiar_burst. If not set, 10s, or interval "
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
	       "waiting. 0 never freezes on them. The default 300 gives way "
	       "to freeze_at where that is larger or 0, and to queue_max where "
	       "that is smaller. freeze_at does not count familiar recipients, "
	       "and queue_max counts them apart from new ones.",
    },
    {
	.name = "warn_at",
	.type = OPTION_STRINGS,
	.offset = AT(warn_at),
	.preset = WARN_PRESET,
	.reloadable = true,
	.check = warn_check,
	.doc = "Warn when a sender has come to this part of freeze_at, "
	       "of familiar_freeze_at, of "
	       "one of its limits or of stranger_messages: with the event "
	       "\"warn\" and a line in the "
	       "log, once for each part, and again when the number has fallen "
	       "10 points below it in between. Up to four; {} warns of "
	       "nothing. After a restart of the daemon it may warn once "
	       "more.",
    },
    {
	.name = "notify_sender",
	.type = OPTION_ENUM,
	.offset = AT(notify_sender),
	.preset = "none",
	.names = notify_names,
	.reloadable = true,
	.doc = "Tell the sender itself, by mail to its own address. freeze: "
	       "that it was frozen, once for each freeze. warning: that too, "
	       "and that it came near a limit (warn_at), once a day at most. "
	       "The message says what to do and whom to ask (contact), and no "
	       "numbers, since whoever has stolen the account may read it. It "
	       "goes to the login where that is an address, to the login at "
	       "the first of local_domains where it is none, to an envelope "
	       "sender only where that is in local_domains, and to nobody for "
	       "clients by address and mail without an envelope sender. It "
	       "has the null sender and is not throttled.",
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
	    "Credit of a sender for unknown recipients. A new recipient "
	    "that the next hop refuses for good as unknown costs one: 5.1.1, "
	    "5.1.2 or 5.1.10, or 550 without such a code in answer to RCPT. "
	    "Each new recipient that accepts the mail gives a third back, "
	    "and time gives back all of it within a week. Without credit "
	    "new recipients wait, even where burst is not used up, until a "
	    "quarter of it is back; the event \"credit\" says so. "
	    "Recipients that were refused lately cost nothing again, nor "
	    "does mail without an envelope sender. A bounce of mail that weir "
	    "sent on counts like a refusal, for each new recipient once, but "
	    "never takes the last credit: weir knows such mail by the ENVID "
	    "(RFC 3461) that it gives where the client gave none and the next "
	    "hop offers DSN. A list with less than a quarter of dead "
	    "addresses never uses the credit up. 0 counts nothing. "
	    "The profiles tcp, udp and paper count nothing.",
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
	       "this time without a refusal, a minute at least, gives a "
	       "quarter of the credit back. 0s never freezes for it.",
    },
    {
	.name = "client_networks",
	.type = OPTION_RATE,
	.offset = AT(client_networks),
	.reloadable = true,
	.sample = "8/1h",
	.doc = "The largest number of new client networks from which one login "
	       "may be used within this time: /24 of IPv4, /48 of IPv6. A "
	       "network that is used again after a day is learnt and does not "
	       "count any more, until it has not been used for 90 days; none "
	       "is learnt while there are too many. Clients on this machine "
	       "do not count. Up to 32, within a day at most. The event "
	       "\"networks\" says when there are more. Not set: any number. "
	       "Mobile phones change their network often.",
    },
    {
	.name = "client_networks_action",
	.type = OPTION_ENUM,
	.offset = AT(client_networks_action),
	.preset = "hold",
	.names = networks_names,
	.reloadable = true,
	.doc = "What happens to a login that is used from more than "
	       "client_networks. hold: new recipients of mail from networks "
	       "that are not learnt wait, even where burst is not used up. "
	       "freeze: the login is frozen.",
    },
    {
	.name = "queue_max",
	.type = OPTION_UINT,
	.offset = AT(queue_max),
	.min = 1,
	.max = 1000000,
	.reloadable = true,
	.sample = "10000",
	.doc =
	    "No more than so many recipients of one sender wait, even "
	    "where nothing freezes it. A message that would bring more is "
	    "refused whole, with 452. Familiar recipients are counted apart. "
	    "Not below freeze_at. The profile mail "
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
	.doc = "A sender that was silent so long is forgotten with all its "
	       "known recipients, unless it is frozen or has mail waiting. "
	       "The profile mail has 30d, the others 1h.",
    },
    {
	.name = "key",
	.type = OPTION_ENUM,
	.offset = AT(key),
	.preset = "first",
	.names = key_names,
	.reloadable = true,
	.doc = "What counts as one sender. first: the authenticated user, "
	       "else the client's address, else the envelope sender; user "
	       "is the same. client: the client's address, whoever "
	       "authenticated. envelope: the envelope sender; it can be "
	       "forged, so use it only where clients are trusted to give "
	       "their own. Quotes that quote nothing make no other one.",
    },
    {
	.name = "local",
	.type = OPTION_ENUM,
	.offset = AT(local),
	.preset = "sender",
	.names = local_names,
	.reloadable = true,
	.doc = "Mail that programs of the mail server's own machine hand in "
	       "without authentication (sendmail(1), PHP; milter and policy "
	       "service alone), where key would name the client. sender: the "
	       "envelope sender counts. user: its local part counts, whatever "
	       "the domain, as in www-data. client: all of it is one sender. "
	       "Mail without an envelope sender is counted as <>, under the "
	       "policy \"null\"; so is what a mail server on this machine "
	       "sends through the relay without a login. "
	       "A program may choose its envelope sender freely unless the "
	       "mail server forbids it.",
    },
    {
	.name = "service",
	.type = OPTION_ENUM,
	.offset = AT(service),
	.preset = "defer",
	.names = service_names,
	.reloadable = true,
	.doc = "What the policy service (protocol = policy) answers for a "
	       "recipient that must wait: defer (DEFER_IF_PERMIT), hold (HOLD, "
	       "the whole message goes to the mail server's hold queue) or "
	       "reject (REJECT). A recipient that was deferred is let in when "
	       "its turn has come.",
    },
    {
	.name = "ipv6_prefix",
	.type = OPTION_UINT,
	.offset = AT(ipv6_prefix),
	.preset = "64",
	.min = 16,
	.max = 128,
	.reloadable = true,
	.doc = "IPv6 clients with so many leading bits in common are one "
	       "sender.",
    },
    {
	.name = "multi",
	.type = OPTION_ENUM,
	.offset = AT(multi),
	.preset = "split",
	.names = multi_names,
	.reloadable = true,
	.doc = "A message with known and new recipients: split sends it to "
	       "the known ones at once and to the others when they may go; "
	       "whole keeps it until all of them may.",
    },
    {
	.name = "when_frozen",
	.type = OPTION_ENUM,
	.offset = AT(when_frozen),
	.preset = "tempfail",
	.names = when_frozen_names,
	.reloadable = true,
	.doc = "Mail of a frozen sender: tempfail answers 451, so that an "
	       "honest client keeps it and tries again, but mail that a "
	       "program hands in by sendmail(1), which hears no answer, is "
	       "held by the milter; hold takes all of it into "
	       "the queue, up to queue_max; reject answers 550. A message that "
	       "was begun before the freeze is stopped at DATA or at its end: "
	       "with 451, or 550 for reject.",
    },
    {
	.name = "reverse_paths",
	.type = OPTION_ENUM,
	.offset = AT(reverse_paths),
	.preset = "count",
	.names = path_names,
	.reloadable = true,
	.doc = "Bounces carry the text of a message to its reverse path (MAIL "
	       "FROM). count: a reverse path that is new to the sender and "
	       "foreign to the site costs one new recipient; where none is "
	       "left, the whole message waits. Not foreign are the null path, "
	       "the login's own address, addresses in local_domains, "
	       "inbound_users and sender_address_file, and the first path that "
	       "a sender uses. VERP, BATV, SRS and user+tag count by their "
	       "base address. Mail from xclient_from without a login does not "
	       "count, nor does mail that comes in (local_domains), nor mail "
	       "without a login to exempt_recipients, unless a local program "
	       "hands it to the milter or asks the policy service. free: "
	       "no reverse path counts; for mail servers that forward other "
	       "people's mail without SRS. The profiles tcp, udp and paper are "
	       "always free.",
    },
    {
	.name = "sender_addresses",
	.type = OPTION_ENUM,
	.offset = AT(sender_addresses),
	.preset = "any",
	.names = sender_names,
	.reloadable = true,
	.doc = "Which envelope senders (MAIL FROM) a login may give. own: its "
	       "own address, which is the login itself, its name before @ in "
	       "one of local_domains, or what inbound_users or "
	       "sender_address_file give it; others are refused with 553 "
	       "5.7.1. The null sender is always allowed, and clients without "
	       "a login are not asked. It is what "
	       "reject_authenticated_sender_login_mismatch is in Postfix.",
    },
    {
	.name = "weight",
	.type = OPTION_UINT,
	.offset = AT(weight),
	.preset = "1",
	.min = 1,
	.max = 100,
	.reloadable = true,
	.doc = "The share of these senders in the delivery of released mail. "
	       "Senders with mail due take turns, so that the many messages "
	       "of one do not delay another's; a sender of weight 2 sends "
	       "twice as much in each round. It has no effect while only one "
	       "sender has mail due.",
    },
    {
	.name = "sender_address_file",
	.type = OPTION_STRING,
	.offset = AT(sender_address_file),
	.reloadable = true,
	.check = option_check_path,
	.sample = "\"/etc/weir/senders\"",
	.doc = "A file of the addresses that are a login's own beside its "
	       "login. Each line has a login and behind it addresses, or "
	       "@example.org for a whole domain, separated by blanks or "
	       "commas; # begins a comment. It is read again at a reload.",
    },
    {
	.name = "fold_tags",
	.type = OPTION_BOOL,
	.offset = AT(fold_tags),
	.preset = "false",
	.reloadable = true,
	.doc = "user+tag@example.org counts as the recipient "
	       "user@example.org.",
    },
    {
	.name = "learn_inbound",
	.type = OPTION_BOOL,
	.offset = AT(learn_inbound),
	.preset = "false",
	.reloadable = true,
	.doc = "Who wrote to one of these senders is somebody known: the "
	       "answer passes and takes nothing from the allowance. Learnt "
	       "from mail that comes in through weir's own listeners, without "
	       "a login, from an address outside of local_domains to one in "
	       "it, once the message has been accepted. Off unless asked for, "
	       "since what comes in can be forged: the bounds are "
	       "inbound_set, inbound_rate and inbound_expiry. A frozen sender "
	       "stays frozen, and mail that waits already goes on waiting.",
    },
    {
	.name = "inbound_set",
	.type = OPTION_UINT,
	.offset = AT(inbound_set),
	.preset = "256",
	.min = 1,
	.max = INBOUND_SET_MAX,
	.reloadable = true,
	.doc = "How many addresses are remembered from a sender's incoming "
	       "mail, apart from working_set; the one that was silent longest "
	       "is forgotten first.",
    },
    {
	.name = "inbound_rate",
	.type = OPTION_RATE,
	.offset = AT(inbound_rate),
	.preset = "50/1d",
	.reloadable = true,
	.doc = "So many new addresses are learnt at once, and then no more "
	       "than as many in each such time, evenly. It is what somebody "
	       "who has stolen an account gains by writing to it from forged "
	       "addresses. So that nobody uses it up for others, one domain "
	       "or one client network (/24, IPv6 /48) has half of it at most, "
	       "and one domain from one network a fifth, five at least: forged "
	       "mail from one "
	       "network leaves half for the rest, however many domains it "
	       "invents. With a client on this machine the domain alone "
	       "counts.",
    },
    {
	.name = "inbound_expiry",
	.type = OPTION_DURATION,
	.offset = AT(inbound_expiry_ms),
	.preset = "30d",
	.min = MS_MINUTE,
	.max = 3650 * MS_DAY,
	.reloadable = true,
	.doc = "An address is forgotten so long after its last mail.",
    },
    {
	.name = "contact",
	.type = OPTION_STRING,
	.offset = AT(contact),
	.reloadable = true,
	.sample = "\"postmaster@example.org\"",
	.doc = "Who can help, told in replies to clients. Not set: the "
	       "contact given for the whole relay.",
    },
    {.name = NULL},
};
