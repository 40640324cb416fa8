/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection of HTTP and the request on it, shared by web.c, web_route.c and
 * web_answer.c.
 */
#ifndef CONTROL_WEB_PRIVATE_H
#define CONTROL_WEB_PRIVATE_H

#include "control/web.h"

#include "base/list.h"
#include "base/share.h"
#include "http/reply.h"
#include "net/conn.h"

#define WEB_LINGER_MS 2000
#define WEB_WRITE_CHUNK 32768
#define WEB_OUT_MAX (8u << 20) /* bytes of an answer */

enum web_state {
	WEB_OPENING, /* the TLS handshake */
	WEB_READING,
	WEB_ANSWERING, /* its handler runs, or has promised to answer */
	WEB_WRITING,
	WEB_STREAMING, /* an answer without an end */
	WEB_ENDED,     /* to be freed */
};

struct web_listener {
	struct list entry;
	struct web *web;
	struct listener *listener;
	const struct web_access *access;
};

struct web {
	struct web_server server;
	struct list listeners, conns, ended;
	struct share *clients;
	uint32_t count;
	struct loop_task reap;
	int64_t refused_due; /* the next line about a connection refused */
};

struct web_exchange {
	struct list entry;
	struct web *web;
	const struct web_access *access;
	struct ip peer_ip; /* IP_NONE: a Unix socket */
	struct ip client_ip;
	struct share_user *client;
	struct conn *conn;
	enum web_state state;
	struct loop_timer deadline;
	struct loop_task more; /* of what the client sent */
	struct http_reader *reader;
	struct http_target target;
	int64_t began_at; /* the request's first byte */
	/* When the last answer was written; 0: none was. */
	int64_t idle_since;
	struct buf out;
	bool has_ended;  /* the client sends no more */
	bool closes;     /* after the answer */
	bool is_waiting; /* for web_answer, from outside a handler */

	/* The request at hand. */
	struct web_who who;
	const struct web_route *route;
	struct http_reply_field fields[WEB_FIELDS_MAX];
	size_t field_count;
	char allow[128]; /* of 405 */

	/* Who waits, or streams. */
	void (*on_gone)(void *arg);
	void (*on_beat)(void *arg, int64_t now);
	void *gone_arg;
	int64_t beat_ms, taken_at; /* the client took something last */
};

/* web.c */
void web_set_state(struct web_exchange *x, enum web_state to, int64_t deadline);
/* linger_ms 0: what was not written is lost. */
void web_end(struct web_exchange *x, int64_t linger_ms);
/* Hands on what the client takes of an answer. */
void web_push(struct web_exchange *x, int64_t now);

/* web_answer.c */
void web_clear_answer(struct web_exchange *x);
void web_answer_file(struct web_exchange *x, const struct page_file *file);
/* Of a stream. */
void web_push_stream(struct web_exchange *x, int64_t now);

/* web_route.c: finds who answers, and lets him. */
void web_answer_request(struct web_exchange *x, int64_t now);

#endif
