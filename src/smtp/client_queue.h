/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's commands from queued to answered: a ring whose front part has
 * been sent and waits for replies, and whose rest waits to be sent with its
 * text. client.c's own.
 */
#ifndef SMTP_CLIENT_QUEUE_H
#define SMTP_CLIENT_QUEUE_H

#include "base/buf.h"

/* Far above recipients of a message; and their text without PIPELINING. */
#define CLIENT_QUEUE_MAX 16384
#define CLIENT_QUEUE_TEXT_MAX (8u << 20)

enum client_command_type {
	CLIENT_GREETING, /* nothing is sent for it */
	CLIENT_EHLO,
	CLIENT_HELO,
	CLIENT_STARTTLS,
	CLIENT_MAIL,
	CLIENT_RCPT,
	CLIENT_DATA,
	CLIENT_END,
	CLIENT_RSET,
	CLIENT_QUIT,
	CLIENT_AUTH, /* and the responses that follow it */
	CLIENT_XCLIENT,
	CLIENT_COMMANDS, /* how many */
};

struct client_command {
	enum client_command_type type;
	bool swallow;  /* nobody wants its reply */
	bool drop;     /* not to be sent any more */
	uint32_t text; /* bytes to send */
	uintptr_t tag;
};

struct client_queue {
	struct client_command *v;
	uint32_t head, count, cap;
	uint32_t sent; /* of count, from the front */
	struct buf text;
};

void client_queue_init(struct client_queue *q);
void client_queue_clear(struct client_queue *q);
/* The caller has appended the command's n bytes to q->text. False: the cap is
 * met. */
MUST_CHECK bool client_queue_push(struct client_queue *q,
    enum client_command_type type, uintptr_t tag, size_t n);
/* i-th from the front, i < count. */
struct client_command *client_queue_at(
    const struct client_queue *q, uint32_t i);
/* First that was not sent, NULL: none; its text through
 * client_queue_text. */
struct client_command *client_queue_unsent(const struct client_queue *q);
struct str client_queue_text(const struct client_queue *q);
void client_queue_mark_sent(struct client_queue *q); /* text is gone */
/* Takes the front off; it was sent. */
struct client_command client_queue_pop(struct client_queue *q);
/* Takes the front off; it was not sent, and nothing else was. */
void client_queue_drop(struct client_queue *q);

#endif
