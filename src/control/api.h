/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The API over HTTP: a table of routes onto the commands of the control socket.
 * Which right a command needs and what it takes the command table says; the
 * routes say where it is and what its answer looks like. Besides there are
 * sessions, the stream of events, and a description of all of it (OpenAPI).
 * Event loop's thread.
 */
#ifndef CONTROL_API_H
#define CONTROL_API_H

#include "control/access_store.h"
#include "control/control.h"
#include "control/web.h"

#define API_PATH "/api/v1"
#define API_LIMIT 100
#define API_LIMIT_MAX 1000
#define API_BEAT_MS 15000
#define API_SESSION "weir_session"
#define API_SESSION_TLS "__Host-weir_session"

enum api_flag {               /* of struct web_route: what the answer is */
	API_LIST = 1 << 0,    /* {"items": [row, ...], ...} */
	API_PAGED = 1 << 1,   /* the same, by limit and cursor */
	API_ONE = 1 << 2,     /* the row */
	API_CHANGE = 1 << 3,  /* {"recipients": ..., "notes": [...]} */
	API_CONTENT = 1 << 4, /* a message's text */
	API_LINES = 1 << 5,   /* {"lines": [...]} */
	API_MADE = 1 << 6,    /* 201 and the row */
	API_REMOVED = 1 << 7, /* 204 */
	API_BODY = 1 << 8,    /* no command, but takes a body: see the doc */
	API_OF_RUN = 1 << 9,  /* its cursors end with the daemon */
};

struct api;
struct page;

struct api_settings { /* all borrowed */
	struct loop *loop;
	struct log *log;
	struct events *events;
	struct control *control;
	struct access_store *store; /* NULL: nobody can come but by a socket */
	const char *daemon, *version; /* "weir-maild" */
	const char *page_dir;         /* NULL: the page that is built in */
	/* Routes of the daemon's own, path NULL at the end; their handlers ask
	 * api_arg. */
	const struct web_route *routes;
	void *arg;
};

struct api *api_new(const struct api_settings *settings);
/* Before control_stop; drops every connection. */
void api_free(struct api *a); /* takes NULL */
struct web *api_web(struct api *a);
/* Of a route's handler. */
void *api_arg(const struct web_exchange *x);
struct api *api_of(const struct web_exchange *x);

/* The body of a request as a JSON object; a new one where there is none. NULL:
 * the request is refused. */
json_t *api_body(struct web_exchange *x);
/* value is taken. */
void api_answer(struct web_exchange *x, unsigned code, json_t *value);
/* Path, query and body as the request of the route's command; limit and cursor
 * are the page's. NULL: the request is refused. */
json_t *api_request(
    struct web_exchange *x, uint64_t *limit, struct control_cursor *cursor);
/* The status for how a command ended. */
unsigned api_code(enum control_fault fault);
/* Who asks, as the log has it, and what he may. */
struct control_asker api_asker(const struct web_exchange *x);

/* "senders" and 7 as "s7", at another daemon as "s7-9f31c2d5"; hostile text is
 * false. */
#define API_CURSOR_MAX 32
const char *api_cursor_format(
    const char *command, struct control_cursor at, char out[API_CURSOR_MAX]);
MUST_CHECK bool api_cursor_parse(
    const char *command, struct str text, struct control_cursor *out);

/* ---- between the files of the API ---- */

struct api {
	struct api_settings settings;
	struct web *web;
	struct web_route *routes;
	struct page *page;
	char boot[20]; /* of this run of the daemon */
};

/* api_login.c */
void api_identify(
    const struct web_exchange *x, struct web_who *out, int64_t now);
void api_get_session(struct web_exchange *x, int64_t now);
void api_post_session(struct web_exchange *x, int64_t now);
void api_delete_session(struct web_exchange *x, int64_t now);

/* api_stream.c */
#define API_STREAM_TYPES "type" /* its parameter */
void api_get_stream(struct web_exchange *x, int64_t now);
void api_get_trace(struct web_exchange *x, int64_t now);

/* api_doc.c */
void api_get_description(struct web_exchange *x, int64_t now);

#endif
