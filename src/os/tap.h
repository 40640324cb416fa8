/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For who looks at one client, sender or next hop at work: the SMTP dialogue
 * on both sides, changes of state, verdicts with their reasons. Parts tell what
 * they do; nobody looking costs a comparison. A secret never comes here: what
 * says a line has hidden it. Event loop's thread.
 */
#ifndef OS_TAP_H
#define OS_TAP_H

#include "base/ip_ranges.h"
#include "base/list.h"
#include "os/log.h"

#define TAP_WHAT_MAX 320

/* X(identifier, "name", "what its text is") */
#define TAP_TABLE(X)                                                  \
	X(CLIENT, "client", "a line of the client")                   \
	X(REPLY, "reply", "a line that the client was answered with") \
	X(COMMAND, "command", "a line that the next hop was sent")    \
	X(HOP, "hop", "a reply of the next hop")                      \
	X(STATE, "state", "a part's change of state")                 \
	X(VERDICT, "verdict", "whether a sender or recipient may go, and why")

enum tap_part {
#define TAP_ENUM(id, name, doc) TAP_##id,
	TAP_TABLE(TAP_ENUM)
#undef TAP_ENUM
	    TAP_PARTS
};

extern const char *const tap_part_name[TAP_PARTS];

/* Whom it is about, as far as it is known; all borrowed, NULL where not. */
struct tap_who {
	const struct ip *client;
	const char *sender; /* that counts: a login, or what the policy says */
	const char *from;   /* of the envelope */
	const char *hop;    /* "127.0.0.1:25" */
	char id[24];        /* of the message; "" where there is none */
	struct ip ip;       /* for client, where it is nobody else's */
};

struct tap_line {
	const struct tap_who *who;
	enum tap_part part;
	struct str
	    text; /* one line without its end; any bytes but NUL, CR, LF */
};

/* An address or a network, or the name of a sender or a next hop. */
struct tap_filter {
	bool is_net;
	struct ip_net net;
	char what[TAP_WHAT_MAX];
};

struct tap_follower { /* embedded in its owner */
	struct list entry;
	struct tap_filter filter;
	void (*on_line)(void *arg, const struct tap_line *line);
	void *arg;
};

struct tap;

/* log: where lines of tap_configure's clients go, and by which each part
 * finds the trace (log_tap), until tap_free; borrowed. */
struct tap *tap_new(struct log *log);
void tap_free(struct tap *t); /* nobody follows any more */
/* Lines of clients in these networks go to the log as well; taken, may be
 * NULL. */
void tap_configure(struct tap *t, struct ip_ranges *clients);

/* False: what is empty or too long. */
MUST_CHECK bool tap_filter_parse(struct str what, struct tap_filter *out);
/* A follower may leave from within its on_line, and no other may. */
void tap_follow(struct tap *t, struct tap_follower *f);
void tap_unfollow(struct tap_follower *f);

/* Somebody looks: only then is it worth a caller's while to say who it is. */
bool tap_is_on(const struct tap *t); /* t may be NULL */
/* text: one line or several, with or without their ends; each is told. */
void tap_write(struct tap *t, const struct tap_who *who, enum tap_part part,
    struct str text);
PRINTF_LIKE(4, 5)
void tap_print(struct tap *t, const struct tap_who *who, enum tap_part part,
    const char *fmt, ...);

#endif
