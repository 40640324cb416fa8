/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What client.c (commands, deadlines), client_auth.c (AUTH, XCLIENT),
 * client_chunk.c (BDAT) and client_reply.c (what the peer says) share.
 *
 * Invariant: while body_open the queue is empty, but for chunks whose replies
 * are to come; the final dot or the last chunk closes it.
 */
#ifndef SMTP_CLIENT_PRIVATE_H
#define SMTP_CLIENT_PRIVATE_H

#include "smtp/client.h"
#include "smtp/client_queue.h"

enum client_phase { CLIENT_OPENING, CLIENT_READY, CLIENT_CLOSED };

struct client_chunks { /* of a message that goes by BDAT */
	bool on;
	bool failed; /* one was refused, and with what: */
	unsigned code;
	char enhanced[SMTP_ENHANCED_MAX];
	char *text;
	struct buf buf; /* the next one */
	int64_t now;
};

struct client_accepted { /* LMTP: tags of accepted recipients */
	uintptr_t *v;
	uint32_t count, cap;
};

struct smtp_client {
	const struct smtp_client_ops *ops;
	void *arg;
	struct smtp_client_timeouts timeouts;
	char *hostname;
	char greeting[128];
	struct smtp_caps caps;
	struct smtp_reply_parser parser;
	struct buf in; /* an unfinished line */
	struct client_queue queue;
	struct smtp_encoder encoder;
	enum client_phase phase;
	enum smtp_client_tls tls;
	bool tls_waits;    /* 220 came, the handshake is under way */
	bool verified;     /* see smtp_client_set_verified */
	bool said_helo;    /* EHLO was refused */
	bool body_open;    /* 354 came, the final dot did not go */
	bool tx_open;      /* MAIL was queued, neither dot nor RSET since */
	bool data_waits;   /* DATA has no reply yet */
	uint32_t rcpts_ok; /* accepted since the last reply to MAIL */
	unsigned xclients; /* commands without a reply yet */
	bool lmtp;
	struct client_accepted accepted;
	struct client_chunks chunks;
	uint32_t expected; /* replies that the input in hand may hold */
	const char *doom;  /* why the next run fails the connection */
	int64_t due;
	unsigned depth; /* of calls that call back */
	bool freed;
};

/* client.c */
void client_set_due(struct smtp_client *c, int64_t now);
void client_fail(struct smtp_client *c, const struct smtp_reply *reply);
/* With a 451 of our own. */
void client_fail_with(
    struct smtp_client *c, const char *enhanced, const char *text);
/* Around everything that calls back: a client freed meanwhile goes in
 * client_leave. */
void client_enter(struct smtp_client *c);
void client_leave(struct smtp_client *c);
void client_pump(struct smtp_client *c, int64_t now);
/* Commands must not call back: the next run fails the connection. */
void client_doom(struct smtp_client *c, const char *why);
/* Queues a command of this text. False: there are too many. */
bool client_queue_text_command(struct smtp_client *c,
    enum client_command_type type, uintptr_t tag, const char *text,
    int64_t now);
void client_queue_hello(
    struct smtp_client *c, enum client_command_type type, int64_t now);
/* The last n bytes of the queue's text are the command. */
void client_queue_command(struct smtp_client *c, enum client_command_type type,
    uintptr_t tag, size_t n, int64_t now);
/* A command may be queued; panics where the caller has no turn. */
bool client_may_start(const struct smtp_client *c, const char *name);
void client_queue_starttls(struct smtp_client *c, int64_t now);
/* Queues a command whose reply nobody wants. */
void client_queue_swallowed(struct smtp_client *c,
    enum client_command_type type, const char *text, int64_t now);

/* client_auth.c */
void client_on_xclient(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now);
/* client_chunk.c */
void client_chunks_clear(struct smtp_client *c);
void client_chunk_body(struct smtp_client *c, struct str text, int64_t now);
void client_chunk_end(struct smtp_client *c, uintptr_t tag, int64_t now);
/* A chunk before the last was refused. */
void client_chunk_refused(
    struct smtp_client *c, const struct smtp_reply *reply);
/* What was said when it was. */
struct smtp_reply client_chunk_failure(const struct smtp_client *c);

/* client_reply.c */
const char *client_command_name(enum client_command_type type);

#endif
