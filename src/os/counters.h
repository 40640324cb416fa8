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

/* X(identifier, "name", type, "what it counts") */
#define COUNTER_TABLE(X)                                                      \
	X(SESSIONS, "sessions", TOTAL, "SMTP sessions accepted")              \
	X(SESSIONS_OPEN, "sessions_open", GAUGE, "SMTP sessions open now")    \
	X(SESSIONS_REFUSED, "sessions_refused", TOTAL,                        \
	    "sessions refused at a connection limit")                         \
	X(SESSIONS_SHED, "sessions_shed", TOTAL,                              \
	    "idle sessions ended to make room for others")                    \
	X(SLOW_ENDED, "slow_ended", TOTAL,                                    \
	    "slow or idle sessions ended while others needed the next hop")   \
	X(LIMIT_REFUSALS, "limit_refusals", TOTAL,                            \
	    "mail put off at envelope_memory, held_max and the like")         \
	X(TLS_SESSIONS, "tls_sessions", TOTAL, "TLS handshakes with clients") \
	X(TLS_FAILURES, "tls_failures", TOTAL,                                \
	    "TLS handshakes with clients that failed")                        \
	X(MESSAGES, "messages", TOTAL, "messages answered 250")               \
	X(MESSAGES_REPEATED, "messages_repeated", TOTAL,                      \
	    "of these, repeats of what the next hop accepted too late")       \
	X(MESSAGES_REFUSED, "messages_refused", TOTAL,                        \
	    "messages refused after DATA")                                    \
	X(PASSED_RECIPIENTS, "passed_recipients", TOTAL,                      \
	    "recipients passed at once")                                      \
	X(PASSED_KNOWN, "passed_known", TOTAL,                                \
	    "of these, recipients in the working set")                        \
	X(PASSED_FAMILIAR, "passed_familiar", TOTAL,                          \
	    "of these, familiar recipients (familiar_for)")                   \
	X(PASSED_INBOUND, "passed_inbound", TOTAL,                            \
	    "of these, recipients that had written to the sender")            \
	X(PASSED_REPLIES, "passed_replies", TOTAL,                            \
	    "of these, answers without an envelope sender to who wrote in")   \
	X(PASSED_INCOMING, "passed_incoming", TOTAL,                          \
	    "of these, recipients of mail that came in, not counted")         \
	X(DELAYED_RECIPIENTS, "delayed_recipients", TOTAL,                    \
	    "recipients held in the queue")                                   \
	X(DELAYED_FAMILIAR, "delayed_familiar", TOTAL,                        \
	    "of these, familiar recipients (familiar_for)")                   \
	X(RELEASED_RECIPIENTS, "released_recipients", TOTAL,                  \
	    "held recipients released by time or by hand")                    \
	X(DISCARDED_RECIPIENTS, "discarded_recipients", TOTAL,                \
	    "held recipients discarded by hand")                              \
	X(REFUSED_RECIPIENTS, "refused_recipients", TOTAL,                    \
	    "recipients refused by the throttle")                             \
	X(OBSERVED_HOLDS, "observed_holds", TOTAL,                            \
	    "recipients that enforce mode would have held or refused")        \
	X(SCOPE_HOLDS, "scope_holds", TOTAL,                                  \
	    "recipients that waited for a scope")                             \
	X(NEW_REVERSE_PATHS, "new_reverse_paths", TOTAL,                      \
	    "foreign reverse paths counted as new recipients")                \
	X(REVERSE_PATH_HOLDS, "reverse_path_holds", TOTAL,                    \
	    "messages held for their reverse path")                           \
	X(DELIVERED_RECIPIENTS, "delivered_recipients", TOTAL,                \
	    "released recipients accepted by the next hop")                   \
	X(DEFERRED_RECIPIENTS, "deferred_recipients", TOTAL,                  \
	    "attempts at released recipients put off")                        \
	X(BOUNCES, "bounces", TOTAL, "bounces made")                          \
	X(REPORTS_LIMITED, "reports_limited", TOTAL,                          \
	    "bounces and reports put off or left out at a limit")             \
	X(DEAD_LETTERS, "dead_letters", TOTAL,                                \
	    "mail without a sender, such as bounces, that was given up")      \
	X(FREEZES, "freezes", TOTAL, "senders frozen")                        \
	X(SPARED_FREEZES, "spared_freezes", TOTAL,                            \
	    "full queues of senders in never_freeze, once until they shrink") \
	X(DECOY_TOUCHES, "decoy_touches", TOTAL,                              \
	    "recipients that were decoys")                                    \
	X(UNKNOWN_RECIPIENTS, "unknown_recipients", TOTAL,                    \
	    "new recipients refused as unknown (refused_credit)")             \
	X(CREDIT_HOLDS, "credit_holds", TOTAL,                                \
	    "recipients held because their sender wrote to unknown ones")     \
	X(NETWORK_HOLDS, "network_holds", TOTAL,                              \
	    "recipients held because of client_networks")                     \
	X(TARPIT_REPLIES, "tarpit_replies", TOTAL,                            \
	    "replies that came late (tarpit)")                                \
	X(BLASTS, "blasts", TOTAL,                                            \
	    "messages to more new recipients than burst, some of whom wait")  \
	X(STRANGER_HOLDS, "stranger_holds", TOTAL,                            \
	    "senders that may not be frozen and came to stranger_messages")   \
	X(PERSISTENT, "persistent_senders", TOTAL,                            \
	    "senders that used up a day's limit on 3 days of 7")              \
	X(WARNINGS, "warnings", TOTAL,                                        \
	    "senders and scopes that came to a part of a limit (warn_at)")    \
	X(ALERTS_SENT_MAIL, "alerts_sent_mail", TOTAL,                        \
	    "alerts given to delivery, or sent by mail (alert)")              \
	X(ALERTS_SENT_WEBHOOK, "alerts_sent_webhook", TOTAL,                  \
	    "alerts that a webhook took")                                     \
	X(ALERTS_SENT_COMMAND, "alerts_sent_command", TOTAL,                  \
	    "alerts that a command took")                                     \
	X(ALERTS_FAILED_MAIL, "alerts_failed_mail", TOTAL,                    \
	    "tries to send an alert by mail that failed")                     \
	X(ALERTS_FAILED_WEBHOOK, "alerts_failed_webhook", TOTAL,              \
	    "tries of a webhook that failed")                                 \
	X(ALERTS_FAILED_COMMAND, "alerts_failed_command", TOTAL,              \
	    "runs of an alert's command that failed")                         \
	X(ALERTS_DROPPED_MAIL, "alerts_dropped_mail", TOTAL,                  \
	    "alerts by mail that were given up after retry_for")              \
	X(ALERTS_DROPPED_WEBHOOK, "alerts_dropped_webhook", TOTAL,            \
	    "alerts to a webhook that were given up")                         \
	X(ALERTS_DROPPED_COMMAND, "alerts_dropped_command", TOTAL,            \
	    "alerts to a command that were given up")                         \
	X(SENDERS, "senders", GAUGE, "senders in memory")                     \
	X(SENDERS_MADE_ROOM, "senders_made_room", TOTAL,                      \
	    "idle senders forgotten early, at senders_max")                   \
	X(SENDERS_SHARED, "senders_shared", TOTAL,                            \
	    "messages of new senders counted as [overflow], at senders_max")  \
	X(FROZEN_SENDERS, "frozen_senders", GAUGE, "senders frozen now")      \
	X(HELD_MESSAGES, "held_messages", GAUGE, "messages in the spool")     \
	X(HELD_RECIPIENTS, "held_recipients", GAUGE,                          \
	    "recipients waiting in the spool")                                \
	X(QUARANTINED_MESSAGES, "quarantined_messages", GAUGE,                \
	    "of these, messages in the mail server's own hold queue")         \
	X(QUARANTINE_ENDED, "quarantine_ended", TOTAL,                        \
	    "messages that a release_command or discard_command ended")       \
	X(MAILDROP_MESSAGES, "maildrop_messages", GAUGE,                      \
	    "messages in maildrop while a sender is frozen")                  \
	X(QUARANTINE_GONE, "quarantine_gone", TOTAL,                          \
	    "messages that left the hold queue by other hands")               \
	X(QUARANTINE_FAILURES, "quarantine_failures", TOTAL,                  \
	    "runs of release_, discard_ and queue_command that failed")       \
	X(MTA_HELD, "mta_held", GAUGE,                                        \
	    "messages that a freeze put on hold in the mail server's queue")  \
	X(MTA_HOLDS, "mta_holds", TOTAL,                                      \
	    "messages put on hold there by mta_hold_command")                 \
	X(MTA_HOLD_FAILURES, "mta_hold_failures", TOTAL,                      \
	    "runs of a command for a freeze or its thaw that failed")         \
	X(INBOUND_KNOWN, "inbound_known", GAUGE,                              \
	    "addresses learnt from incoming mail, of all senders")            \
	X(INBOUND_LEARNT, "inbound_learnt", TOTAL,                            \
	    "addresses learnt from incoming mail")                            \
	X(INBOUND_REFUSED, "inbound_refused", TOTAL,                          \
	    "addresses not learnt, at inbound_rate or inbound_memory")        \
	X(INBOUND_REPLACED, "inbound_replaced", TOTAL,                        \
	    "learnt addresses that made room for newer ones")                 \
	X(INBOUND_EXPIRED, "inbound_expired", TOTAL,                          \
	    "learnt addresses that expired")                                  \
	X(NEXT_HOP_CONNECTIONS, "next_hop_connections", TOTAL,                \
	    "connections made to a next hop")                                 \
	X(NEXT_HOP_FAILURES, "next_hop_failures", TOTAL,                      \
	    "next hop connections that failed")                               \
	X(SPOOL_ERRORS, "spool_errors", TOTAL, "spool writes that failed")    \
	X(AUTH_LOGINS, "auth_logins", TOTAL, "logins that succeeded")         \
	X(AUTH_FAILURES, "auth_failures", TOTAL, "logins that were refused")  \
	X(AUTH_LOCKED, "auth_locked", TOTAL,                                  \
	    "logins turned away unchecked at auth_failures_max")              \
	X(CONNECTIONS_REFUSED, "connections_refused", TOTAL,                  \
	    "connections to milter and policy service refused at a limit")    \
	X(OWN_MAIL, "own_mail", TOTAL,                                        \
	    "messages of weir's own that came back to its milter")            \
	X(PEERS_REFUSED, "peers_refused", TOTAL,                              \
	    "connections to milter and policy service that were not allowed") \
	X(SHARED_OUTAGES, "shared_outages", TOTAL,                            \
	    "times that the shared server was lost, or not there at start")   \
	X(SHARED_SPENT, "shared_spent", TOTAL,                                \
	    "new recipients of senders that other relays told of")            \
	X(PROTOCOL_ERRORS, "protocol_errors", TOTAL,                          \
	    "sessions ended for what they sent")

enum counter {
#define COUNTER_ENUM(id, name, type, doc) COUNT_##id,
	COUNTER_TABLE(COUNTER_ENUM)
#undef COUNTER_ENUM
	    COUNT_MAX
};

struct counter_info {
	const char *name;
	enum counter_type type;
	const char *doc;
};

extern const struct counter_info counter_info[COUNT_MAX];

struct counters {
	uint64_t v[COUNT_MAX];
};

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
