/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one table of what weir counts. `status`, metrics and the dashboard are
 * driven by it. Counters belong to the event loop's thread; threads hand in
 * their figures through the loop.
 */
#ifndef OS_COUNTERS_H
#define OS_COUNTERS_H

#include "base/base.h"

enum counter_type { COUNTER_TOTAL, COUNTER_GAUGE };

/*
 * X(identifier, "name", type, "what it counts")
 * O(the same): metrics have it otherwise, by its parts or from its owner
 * S(identifier, "name" or NULL, type, "what it counts", "family", "labels"): in
 * metrics a series of a family, whose help is in COUNTER_FAMILIES. NULL: in
 * metrics alone. Series of a family stand together.
 */
#define COUNTER_TABLE(X, O, S)                                                \
	X(SESSIONS, "sessions", TOTAL, "SMTP sessions accepted")              \
	X(SESSIONS_OPEN, "sessions_open", GAUGE, "SMTP sessions open now")    \
	X(SESSIONS_REFUSED, "sessions_refused", TOTAL,                        \
	    "sessions refused at a connection limit")                         \
	X(SESSIONS_SHED, "sessions_shed", TOTAL,                              \
	    "idle sessions closed to make room for others")                   \
	X(SLOW_ENDED, "slow_ended", TOTAL,                                    \
	    "slow or idle sessions closed while others waited for the next "  \
	    "hop")                                                            \
	X(LIMIT_REFUSALS, "limit_refusals", TOTAL,                            \
	    "mail refused with 4xx at envelope_memory, held_max and other "   \
	    "limits")                                                         \
	X(TLS_SESSIONS, "tls_sessions", TOTAL, "TLS handshakes with clients") \
	X(TLS_FAILURES, "tls_failures", TOTAL,                                \
	    "TLS handshakes with clients that failed")                        \
	X(MESSAGES, "messages", TOTAL, "messages accepted with 250")          \
	X(MESSAGES_REPEATED, "messages_repeated", TOTAL,                      \
	    "of these, retries of messages that the next hop accepted too "   \
	    "late")                                                           \
	X(MESSAGES_REFUSED, "messages_refused", TOTAL,                        \
	    "messages refused after DATA")                                    \
	O(PASSED_RECIPIENTS, "passed_recipients", TOTAL,                      \
	    "recipients passed without delay")                                \
	O(PASSED_KNOWN, "passed_known", TOTAL,                                \
	    "of these, recipients in the working set")                        \
	O(PASSED_FAMILIAR, "passed_familiar", TOTAL,                          \
	    "of these, familiar recipients (familiar_for)")                   \
	O(PASSED_INBOUND, "passed_inbound", TOTAL,                            \
	    "of these, recipients that had written to the sender")            \
	O(PASSED_REPLIES, "passed_replies", TOTAL,                            \
	    "of these, replies with the null sender to whoever wrote first")  \
	O(PASSED_INCOMING, "passed_incoming", TOTAL,                          \
	    "of these, recipients of incoming mail, which does not count")    \
	O(DELAYED_RECIPIENTS, "delayed_recipients", TOTAL, "recipients held") \
	O(DELAYED_FAMILIAR, "delayed_familiar", TOTAL,                        \
	    "of these, familiar recipients (familiar_for)")                   \
	S(PASS_ALLOWED, NULL, TOTAL, "within the allowance", "recipients",    \
	    "verdict=\"pass\",why=\"allowed\"")                               \
	S(PASS_RECENT, NULL, TOTAL, "reached recently", "recipients",         \
	    "verdict=\"pass\",why=\"recent\"")                                \
	S(PASS_FAMILIAR, NULL, TOTAL, "familiar", "recipients",               \
	    "verdict=\"pass\",why=\"familiar\"")                              \
	S(PASS_WROTE_TO_SENDER, NULL, TOTAL, "had written to the sender",     \
	    "recipients", "verdict=\"pass\",why=\"wrote_to_sender\"")         \
	S(PASS_REPLY, NULL, TOTAL, "a reply with the null sender",            \
	    "recipients", "verdict=\"pass\",why=\"reply\"")                   \
	S(PASS_INCOMING, NULL, TOTAL, "incoming mail", "recipients",          \
	    "verdict=\"pass\",why=\"incoming\"")                              \
	S(PASS_EXEMPT, NULL, TOTAL, "of an exempt policy", "recipients",      \
	    "verdict=\"pass\",why=\"exempt\"")                                \
	S(PASS_OBSERVED, NULL, TOTAL,                                         \
	    "enforce mode would have held or refused it", "recipients",       \
	    "verdict=\"pass\",why=\"observed\"")                              \
	S(HOLD_ALLOWANCE, NULL, TOTAL, "the allowance was used up",           \
	    "recipients", "verdict=\"hold\",why=\"allowance\"")               \
	S(HOLD_FAMILIAR, NULL, TOTAL, "the familiar allowance was used up",   \
	    "recipients", "verdict=\"hold\",why=\"familiar\"")                \
	S(HOLD_SCOPE, NULL, TOTAL, "a scope was full", "recipients",          \
	    "verdict=\"hold\",why=\"scope\"")                                 \
	S(HOLD_CREDIT, NULL, TOTAL, "refused_credit", "recipients",           \
	    "verdict=\"hold\",why=\"credit\"")                                \
	S(HOLD_NETWORKS, NULL, TOTAL, "client_networks", "recipients",        \
	    "verdict=\"hold\",why=\"networks\"")                              \
	S(HOLD_STRANGERS, NULL, TOTAL, "stranger_messages", "recipients",     \
	    "verdict=\"hold\",why=\"strangers\"")                             \
	S(HOLD_REVERSE_PATH, NULL, TOTAL, "a new reverse-path", "recipients", \
	    "verdict=\"hold\",why=\"reverse_path\"")                          \
	S(HOLD_FROZEN, NULL, TOTAL, "the sender is frozen", "recipients",     \
	    "verdict=\"hold\",why=\"frozen\"")                                \
	S(REFUSE_FROZEN, NULL, TOTAL, "the sender is frozen", "recipients",   \
	    "verdict=\"refuse\",why=\"frozen\"")                              \
	S(REFUSE_NO_ROOM, NULL, TOTAL, "no room in the queue or the spool",   \
	    "recipients", "verdict=\"refuse\",why=\"no_room\"")               \
	S(REFUSE_REVERSE_PATH, NULL, TOTAL, "sender_addresses", "recipients", \
	    "verdict=\"refuse\",why=\"reverse_path\"")                        \
	S(REFUSE_SYNTAX, NULL, TOTAL, "invalid address", "recipients",        \
	    "verdict=\"refuse\",why=\"syntax\"")                              \
	S(REFUSE_OTHER, NULL, TOTAL, "other, such as a failing spool",        \
	    "recipients", "verdict=\"refuse\",why=\"other\"")                 \
	X(RELEASED_RECIPIENTS, "released_recipients", TOTAL,                  \
	    "held recipients released, by schedule or by command")            \
	X(DISCARDED_RECIPIENTS, "discarded_recipients", TOTAL,                \
	    "held recipients discarded by command")                           \
	O(REFUSED_RECIPIENTS, "refused_recipients", TOTAL,                    \
	    "recipients refused by the throttle")                             \
	X(OBSERVED_HOLDS, "observed_holds", TOTAL,                            \
	    "recipients that enforce mode would have held or refused")        \
	X(SCOPE_HOLDS, "scope_holds", TOTAL, "recipients held by a scope")    \
	X(NEW_REVERSE_PATHS, "new_reverse_paths", TOTAL,                      \
	    "foreign reverse-paths counted as new recipients")                \
	X(REVERSE_PATH_HOLDS, "reverse_path_holds", TOTAL,                    \
	    "messages held because of their reverse-path")                    \
	X(DELIVERED_RECIPIENTS, "delivered_recipients", TOTAL,                \
	    "recipients delivered from the queue, with those of bounces")     \
	X(DEFERRED_RECIPIENTS, "deferred_recipients", TOTAL,                  \
	    "deferred delivery attempts for released recipients")             \
	X(BOUNCES, "bounces", TOTAL, "bounces generated")                     \
	X(REPORTS_LIMITED, "reports_limited", TOTAL,                          \
	    "bounces and reports delayed or omitted at a limit")              \
	X(DEAD_LETTERS, "dead_letters", TOTAL,                                \
	    "undeliverable mail with the null sender, such as bounces, "      \
	    "dropped")                                                        \
	X(FREEZES, "freezes", TOTAL, "senders frozen")                        \
	X(SPARED_FREEZES, "spared_freezes", TOTAL,                            \
	    "full queues of senders in never_freeze, once each until they "   \
	    "shrink")                                                         \
	X(DECOY_TOUCHES, "decoy_touches", TOTAL,                              \
	    "recipients that were decoys")                                    \
	X(UNKNOWN_RECIPIENTS, "unknown_recipients", TOTAL,                    \
	    "new recipients refused as unknown (refused_credit)")             \
	X(BOUNCED_RECIPIENTS, "bounced_recipients", TOTAL,                    \
	    "new recipients that a bounce reported as unknown "               \
	    "(refused_credit)")                                               \
	X(BOUNCES_IGNORED, "bounces_ignored", TOTAL,                          \
	    "bounces of mail that weir did not send, or repeated bounces")    \
	X(CREDIT_HOLDS, "credit_holds", TOTAL,                                \
	    "recipients held because of refused_credit")                      \
	X(NETWORK_HOLDS, "network_holds", TOTAL,                              \
	    "recipients held because of client_networks")                     \
	X(TARPIT_REPLIES, "tarpit_replies", TOTAL,                            \
	    "replies delayed by tarpit")                                      \
	X(BLASTS, "blasts", TOTAL,                                            \
	    "messages to more new recipients than burst, some of them held")  \
	X(STRANGER_HOLDS, "stranger_holds", TOTAL,                            \
	    "senders that cannot be frozen and reached stranger_messages")    \
	X(PERSISTENT, "persistent_senders", TOTAL,                            \
	    "senders that used up a daily limit on 3 of 7 days")              \
	X(WARNINGS, "warnings", TOTAL,                                        \
	    "senders and scopes that reached a part of a limit (warn_at)")    \
	S(ALERTS_SENT_MAIL, "alerts_sent_mail", TOTAL,                        \
	    "alerts sent by mail, or queued for delivery", "alerts",          \
	    "channel=\"mail\",result=\"sent\"")                               \
	S(ALERTS_SENT_WEBHOOK, "alerts_sent_webhook", TOTAL,                  \
	    "alerts accepted by a webhook", "alerts",                         \
	    "channel=\"webhook\",result=\"sent\"")                            \
	S(ALERTS_SENT_COMMAND, "alerts_sent_command", TOTAL,                  \
	    "alerts accepted by a command", "alerts",                         \
	    "channel=\"command\",result=\"sent\"")                            \
	S(ALERTS_FAILED_MAIL, "alerts_failed_mail", TOTAL,                    \
	    "failed attempts to send an alert by mail", "alerts",             \
	    "channel=\"mail\",result=\"failed\"")                             \
	S(ALERTS_FAILED_WEBHOOK, "alerts_failed_webhook", TOTAL,              \
	    "failed attempts to call a webhook", "alerts",                    \
	    "channel=\"webhook\",result=\"failed\"")                          \
	S(ALERTS_FAILED_COMMAND, "alerts_failed_command", TOTAL,              \
	    "failed runs of an alert command", "alerts",                      \
	    "channel=\"command\",result=\"failed\"")                          \
	S(ALERTS_DROPPED_MAIL, "alerts_dropped_mail", TOTAL,                  \
	    "alerts by mail dropped after retry_for", "alerts",               \
	    "channel=\"mail\",result=\"dropped\"")                            \
	S(ALERTS_DROPPED_WEBHOOK, "alerts_dropped_webhook", TOTAL,            \
	    "alerts to a webhook dropped after retry_for", "alerts",          \
	    "channel=\"webhook\",result=\"dropped\"")                         \
	S(ALERTS_DROPPED_COMMAND, "alerts_dropped_command", TOTAL,            \
	    "alerts to a command dropped after retry_for", "alerts",          \
	    "channel=\"command\",result=\"dropped\"")                         \
	O(SENDERS, "senders", GAUGE, "senders in memory")                     \
	X(SENDERS_MADE_ROOM, "senders_made_room", TOTAL,                      \
	    "idle senders forgotten early at senders_max")                    \
	X(SENDERS_SHARED, "senders_shared", TOTAL,                            \
	    "messages of new senders counted as [overflow] at senders_max")   \
	O(FROZEN_SENDERS, "frozen_senders", GAUGE, "senders frozen now")      \
	O(HELD_MESSAGES, "held_messages", GAUGE, "messages in the spool")     \
	O(HELD_RECIPIENTS, "held_recipients", GAUGE,                          \
	    "recipients waiting in the spool")                                \
	O(QUARANTINED_MESSAGES, "quarantined_messages", GAUGE,                \
	    "of these, messages in the mail server's hold queue")             \
	X(QUARANTINE_ENDED, "quarantine_ended", TOTAL,                        \
	    "messages released or discarded by release_ or discard_command")  \
	X(MAILDROP_MESSAGES, "maildrop_messages", GAUGE,                      \
	    "messages in maildrop while a sender is frozen")                  \
	X(QUARANTINE_GONE, "quarantine_gone", TOTAL,                          \
	    "messages removed from the hold queue, but not by weir")          \
	X(QUARANTINE_FAILURES, "quarantine_failures", TOTAL,                  \
	    "failed runs of release_, discard_ and queue_command")            \
	X(MTA_HELD, "mta_held", GAUGE,                                        \
	    "messages that a freeze put on hold in the mail server's queue")  \
	X(MTA_HOLDS, "mta_holds", TOTAL,                                      \
	    "messages put on hold by mta_hold_command")                       \
	X(MTA_HOLD_FAILURES, "mta_hold_failures", TOTAL,                      \
	    "failed runs of the commands for a freeze or its thaw")           \
	X(INBOUND_LEARNT, "inbound_learnt", TOTAL,                            \
	    "addresses learned from incoming mail")                           \
	X(INBOUND_REFUSED, "inbound_refused", TOTAL,                          \
	    "addresses not learned, at inbound_rate or for lack of room")     \
	X(INBOUND_REPLACED, "inbound_replaced", TOTAL,                        \
	    "learned addresses replaced by newer ones")                       \
	X(INBOUND_EXPIRED, "inbound_expired", TOTAL,                          \
	    "learned addresses that expired")                                 \
	O(NEXT_HOP_CONNECTIONS, "next_hop_connections", TOTAL,                \
	    "connections made to a next hop")                                 \
	O(NEXT_HOP_FAILURES, "next_hop_failures", TOTAL,                      \
	    "connections to a next hop that failed")                          \
	X(SPOOL_ERRORS, "spool_errors", TOTAL, "spool writes that failed")    \
	X(AUTH_LOGINS, "auth_logins", TOTAL, "successful logins")             \
	X(AUTH_FAILURES, "auth_failures", TOTAL, "refused logins")            \
	X(AUTH_LOCKED, "auth_locked", TOTAL,                                  \
	    "logins refused without a check at auth_failures_max")            \
	X(CONNECTIONS_REFUSED, "connections_refused", TOTAL,                  \
	    "connections to the milter and the policy service refused at a "  \
	    "limit")                                                          \
	X(OWN_MAIL, "own_mail", TOTAL,                                        \
	    "messages sent by weir that came back to its milter")             \
	X(PEERS_REFUSED, "peers_refused", TOTAL,                              \
	    "connections to the milter and the policy service not allowed")   \
	X(SHARED_OUTAGES, "shared_outages", TOTAL,                            \
	    "times that the shared server, or one of its cluster, was lost")  \
	X(SHARED_SPENT, "shared_spent", TOTAL,                                \
	    "new recipients reported by other relays")                        \
	X(SHARED_LEARNT, "shared_learnt", TOTAL,                              \
	    "known recipients reported by other relays")                      \
	X(PROTOCOL_ERRORS, "protocol_errors", TOTAL,                          \
	    "sessions closed because of protocol errors")

enum counter {
#define COUNTER_ENUM(id, ...) COUNT_##id,
	COUNTER_TABLE(COUNTER_ENUM, COUNTER_ENUM, COUNTER_ENUM)
#undef COUNTER_ENUM
	    COUNT_MAX
};

struct counter_info {
	const char *name; /* NULL: in metrics alone */
	enum counter_type type;
	const char *doc;
	/* In metrics: "" in family: not there; NULL: a family of its own.
	 * labels are written as they stand there. */
	const char *family, *labels;
};

extern const struct counter_info counter_info[COUNT_MAX];

/* ---- of what the configuration names ---- */

enum counter_kind {
	COUNTER_POLICY,
	COUNTER_LISTENER,
	COUNTER_NEXT_HOP,
	COUNTER_SCOPE,
	COUNTER_KINDS
};
/* By enum counter_kind, as the label is called. */
extern const char *const counter_kind_name[COUNTER_KINDS];

/* X(identifier, kind, "family", "further labels") */
#define NAMED_COUNTER_TABLE(X)                                               \
	X(POLICY_PASSED, POLICY, "policy_recipients", "verdict=\"pass\"")    \
	X(POLICY_HELD, POLICY, "policy_recipients", "verdict=\"hold\"")      \
	X(POLICY_REFUSED, POLICY, "policy_recipients", "verdict=\"refuse\"") \
	X(POLICY_FREEZES, POLICY, "policy_freezes", "")                      \
	X(LISTENER_CONNECTIONS, LISTENER, "connections", "")                 \
	X(HOP_CONNECTED, NEXT_HOP, "next_hop_connections", "")               \
	X(HOP_FAILED, NEXT_HOP, "next_hop_failures", "")                     \
	X(SCOPE_HELD, SCOPE, "scope_recipients_held", "")

enum named_counter {
#define NAMED_ENUM(id, ...) NAMED_##id,
	NAMED_COUNTER_TABLE(NAMED_ENUM)
#undef NAMED_ENUM
	    NAMED_MAX
};

struct named_counter_info {
	enum counter_kind kind;
	const char *family, *labels;
};

extern const struct named_counter_info named_counter_info[NAMED_MAX];

struct counter_row { /* of one name */
	char *name;
	bool is_kept;
	uint64_t v[NAMED_MAX];
};

/* Of one kind there are never more. */
#define COUNTER_NAMES_MAX 1000

struct counter_names {
	struct counter_row *rows;
	size_t n;
};

/* ---- how long things took ---- */

/* X(identifier, "family") */
#define HISTOGRAM_TABLE(X) X(HELD, "held_duration_seconds")

enum histogram {
#define HISTOGRAM_ENUM(id, name) HISTOGRAM_##id,
	HISTOGRAM_TABLE(HISTOGRAM_ENUM)
#undef HISTOGRAM_ENUM
	    HISTOGRAM_MAX
};

extern const char *const histogram_name[HISTOGRAM_MAX];

/* Upper bounds in seconds, 1 minute to 3 days. */
#define HISTOGRAM_BUCKETS 12
extern const uint32_t histogram_bounds[HISTOGRAM_BUCKETS];

struct histogram_values {
	uint64_t in[HISTOGRAM_BUCKETS + 1]; /* the last: above all bounds */
	uint64_t sum_ms;
};

/* ---- all of it ---- */

/* What a family is about; of families named in the tables above. */
#define COUNTER_FAMILIES(X)                                                  \
	X("recipients",                                                      \
	    "Recipients by the throttle's verdict and its reason.")          \
	X("alerts",                                                          \
	    "Alerts by channel and result: sent, failed attempts, dropped.") \
	X("policy_recipients",                                               \
	    "Recipients by the policy of their sender and the verdict.")     \
	X("policy_freezes", "Senders frozen, by their policy.")              \
	X("connections", "Connections accepted, by listener.")               \
	X("next_hop_connections", "Connections made to each next hop.")      \
	X("next_hop_failures", "Connections to each next hop that failed.")  \
	X("scope_recipients_held",                                           \
	    "Recipients that waited for room in a scope.")                   \
	X("held_duration_seconds",                                           \
	    "How long released recipients had been held.")

/* NULL: there is no such family. */
const char *counter_family_doc(const char *family);

/* All zero: nothing was counted, and no name is known. */
struct counters {
	uint64_t v[COUNT_MAX];
	struct counter_names names[COUNTER_KINDS];
	struct histogram_values histograms[HISTOGRAM_MAX];
};

void counters_clear(struct counters *c); /* frees the names */
/* Of a name that is not known yet it begins at 0. */
void counters_name(
    struct counters *c, enum counter_kind kind, const char *name);
/* Between the two the names of a new configuration are given; others go. */
void counters_names_begin(struct counters *c);
void counters_names_end(struct counters *c);
/* Nothing for a name that the configuration has not. */
void counters_add_named(
    struct counters *c, enum named_counter id, const char *name, uint64_t n);
void counters_observe(struct counters *c, enum histogram id, int64_t ms);

static inline void
counters_add(struct counters *c, enum counter id, uint64_t n)
{
	c->v[id] += n;
}

static inline void
counters_set(struct counters *c, enum counter id, uint64_t n)
{
	c->v[id] = n;
}

#endif
