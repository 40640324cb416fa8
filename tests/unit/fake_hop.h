/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A next hop for tests: an SMTP server on the same loop, which takes mail
 * properly unless a rule tells it to misbehave.
 */
#ifndef TESTS_UNIT_FAKE_HOP_H
#define TESTS_UNIT_FAKE_HOP_H

#include "net/listener.h"

#define FAKE_CLOSE "close"   /* no reply: the connection is closed */
#define FAKE_SILENT "silent" /* no reply at all */
#define FAKE_END "."         /* the command to name for the final dot */
#define FAKE_OPEN ""         /* ... for the greeting */

struct fake_rule {
	const char *command; /* its beginning */
	const char *reply;   /* without CR LF, or one of the above */
	int times;           /* so often, then the next rule; -1: always */
	int after;           /* lets so many pass before */
};

struct fake_message {
	char from[256], rcpts[1024]; /* "a@b c@d" */
	char mail[512];              /* the whole MAIL command */
	char *body;                  /* as on the wire, stuffed */
	size_t body_size;
};

#define FAKE_RULES_MAX 8
#define FAKE_MESSAGES_MAX 512

struct fake {
	struct loop *loop;
	struct listener *listener;
	char address[NET_ADDR_TEXT_MAX];
	const char *ehlo; /* "250-PIPELINING\r\n250 8BITMIME" */
	bool naive;       /* 354 whatever came before */
	const char *cut; /* said after cut_at bytes of a text, then it closes */
	size_t cut_at;
	struct fake_rule rules[FAKE_RULES_MAX];
	struct list sessions;
	int connects, open, quits, resets;
	struct fake_message messages[FAKE_MESSAGES_MAX];
	int message_count; /* answered 250 or cut off after the dot */
};

struct fake *fake_new(struct loop *l);
void fake_free(struct fake *f);
void fake_stop(struct fake *f);  /* connections are refused from now on */
void fake_start(struct fake *f); /* again, on the same port */
void fake_kick_out(struct fake *f, const char *last); /* closes all sessions */
void fake_rule(struct fake *f, const char *command, const char *reply,
    int times, int after);
void fake_clear_rules(struct fake *f);

#endif
