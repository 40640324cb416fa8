/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happened, for `weirctl events`: recent events, bounded, and followers
 * that hear of each. What is repeated (the same of one sender and one message,
 * within an hour) is one entry that counts. Event loop's thread.
 */
#ifndef OS_EVENTS_H
#define OS_EVENTS_H

#include "base/list.h"
#include "base/str.h"

#define EVENTS_KEPT_MAIL 1024 /* entries */
#define EVENTS_KEPT_RARE 256  /* freezes, thaws, reloads, warnings */
#define EVENTS_KEPT_FAULT 256 /* clients at a limit, failed commands */
#define EVENTS_GROUP_MS (60 * 60 * INT64_C(1000))
#define EVENTS_REPORT_MS (60 * INT64_C(1000))

/*
 * X(identifier, "name", kind, "when it is reported"). MAIL: many, so that equal
 * ones count as one. FAULT: the same, and mail does not push them out. RARE:
 * each is kept.
 */
#define EVENT_TABLE(X)                                                        \
	X(MESSAGE, "message", MAIL, "a message was accepted with 250")        \
	X(HOLD, "hold", MAIL, "a recipient was held")                         \
	X(REFUSE, "refuse", MAIL, "a sender or a recipient was refused")      \
	X(LIMIT, "limit", FAULT, "a client was refused at a limit")           \
	X(OBSERVE, "observe", MAIL,                                           \
	    "enforce mode would have held or refused it")                     \
	X(RELEASE, "release", MAIL, "a held recipient was released")          \
	X(DISCARD, "discard", MAIL, "a held recipient was discarded")         \
	X(DELIVER, "deliver", MAIL, "a released recipient was delivered")     \
	X(DEFER, "defer", MAIL, "a delivery was deferred")                    \
	X(BOUNCE, "bounce", MAIL, "a bounce was generated")                   \
	X(DELAY, "delay", MAIL, "a message has waited for notify_after")      \
	X(FREEZE, "freeze", RARE, "a sender was frozen")                      \
	X(THAW, "thaw", RARE, "a sender was thawed")                          \
	X(DECOY, "decoy", RARE, "a sender wrote to a decoy")                  \
	X(CREDIT, "credit", RARE,                                             \
	    "a sender wrote to too many unknown recipients")                  \
	X(UNKNOWN, "unknown", MAIL,                                           \
	    "a bounce reported a recipient as unknown")                       \
	X(NETWORKS, "networks", RARE,                                         \
	    "a login is used from too many networks")                         \
	X(SPARE, "spare", RARE,                                               \
	    "a queue is full and its sender cannot be frozen")                \
	X(BLAST, "blast", RARE,                                               \
	    "much of a message to many recipients is held")                   \
	X(STRANGERS, "strangers", RARE, "messages to strangers are now held") \
	X(PERSISTENT, "persistent", RARE,                                     \
	    "a sender uses up a limit day after day")                         \
	X(WARN, "warn", RARE, "a sender or scope is near a limit")            \
	X(RULES, "rules", RARE, "firewall rules of weir-netd were missing")   \
	X(COMMAND, "command", FAULT, "a site command failed")                 \
	X(SHARED, "shared", RARE, "the shared server was lost or came back")  \
	X(RELOAD, "reload", RARE, "the configuration was reloaded")           \
	X(RELOAD_FAILED, "reload_failed", RARE,                               \
	    "a reload failed: the configuration has an error")                \
	X(DISK, "disk", RARE,                                                 \
	    "the spool is short of free space, or has enough again")          \
	X(NEXT_HOP, "next_hop", RARE, "a next hop failed or recovered")       \
	X(CERTIFICATE, "certificate", RARE, "a certificate expires soon")     \
	X(RESTART, "restart", RARE, "the previous daemon crashed or was killed")

enum event_type {
#define EVENT_ENUM(id, name, kind, doc) EVENT_##id,
	EVENT_TABLE(EVENT_ENUM)
#undef EVENT_ENUM
	    EVENT_TYPE_MAX
};

extern const char *const event_type_name[EVENT_TYPE_MAX];

struct event_item {
	uint64_t seq;  /* from 1; another one with each repetition */
	int64_t first; /* wall ms */
	int64_t at;    /* of the last time */
	uint64_t count;
	bool is_news; /* the first, or nobody heard of it for a minute */
	enum event_type type;
	char *sender;       /* "" when it concerns none */
	char *id;           /* queue id, "" none */
	const char *option; /* behind it, static; NULL: none is */
	char *detail;       /* plain text, of the last time */
};

struct events;

struct event_follower { /* embedded in its owner */
	struct list entry;
	void (*on_event)(void *arg, const struct event_item *item);
	void *arg;
};

struct events *events_new(void);
void events_free(struct events *e);
PRINTF_LIKE(6, 7)
void events_add(struct events *e, int64_t wall_ms, enum event_type type,
    const char *sender, const char *id, const char *detail, ...);
/* The same of what an option is behind, such as a limit; NULL: none is. It is
 * the only place where a refusal is told, whoever made it: os/problems.h hears
 * of it from here. */
PRINTF_LIKE(7, 8)
void events_add_option(struct events *e, int64_t wall_ms, enum event_type type,
    const char *option, const char *sender, const char *id, const char *detail,
    ...);
/* The seq above which the last max entries are; 0: all. */
uint64_t events_before(const struct events *e, size_t max);
/* Calls fn for what is kept above seq, by its last time. */
void events_each(const struct events *e, uint64_t above_seq,
    void (*fn)(void *arg, const struct event_item *item), void *arg);
void events_follow(struct events *e, struct event_follower *f);
void events_unfollow(struct event_follower *f);

#endif
