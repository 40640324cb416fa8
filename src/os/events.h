/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happened, for `weirctl events`: a bounded ring of recent events and the
 * followers that hear of new ones. Event loop's thread.
 */
#ifndef OS_EVENTS_H
#define OS_EVENTS_H

#include "base/list.h"
#include "base/str.h"

#define EVENTS_KEPT 1024

/* X(identifier, "name", "when it is told") */
#define EVENT_TABLE(X)                                                   \
	X(MESSAGE, "message", "a message was answered 250")              \
	X(HOLD, "hold", "a recipient is held")                           \
	X(REFUSE, "refuse", "a recipient was refused by the throttle")   \
	X(OBSERVE, "observe", "enforce mode would have held or refused") \
	X(RELEASE, "release", "a held recipient was let go")             \
	X(DISCARD, "discard", "a held recipient was discarded")          \
	X(DELIVER, "deliver", "a released recipient was delivered")      \
	X(DEFER, "defer", "delivery was put off")                        \
	X(BOUNCE, "bounce", "a bounce was made")                         \
	X(DELAY, "delay", "a message waits for notify_after")            \
	X(FREEZE, "freeze", "a sender was frozen")                       \
	X(THAW, "thaw", "a sender was thawed")                           \
	X(DECOY, "decoy", "a decoy was touched, and nobody frozen")      \
	X(SPARE, "spare", "a queue is full, and nobody may be frozen")   \
	X(RULES, "rules", "rules of weir-netd were missing")             \
	X(RELOAD, "reload", "the configuration was read again")

enum event_type {
#define EVENT_ENUM(id, name, doc) EVENT_##id,
	EVENT_TABLE(EVENT_ENUM)
#undef EVENT_ENUM
	    EVENT_TYPE_MAX
};

extern const char *const event_type_name[EVENT_TYPE_MAX];

struct event_item {
	uint64_t seq; /* from 1 */
	int64_t at;   /* wall ms */
	enum event_type type;
	char *sender; /* "" when it concerns none */
	char *id;     /* queue id, "" none */
	char *detail; /* plain text */
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
/* Calls fn for what is kept above seq, oldest first. */
void events_each(const struct events *e, uint64_t above_seq,
    void (*fn)(void *arg, const struct event_item *item), void *arg);
void events_follow(struct events *e, struct event_follower *f);
void events_unfollow(struct event_follower *f);

#endif
