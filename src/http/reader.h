/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests of HTTP/1.1 and 1.0 (RFC 9110, RFC 9112) out of a stream of bytes,
 * without I/O and without a clock. libhttp-parser reads the head; whatever two
 * parsers could read in two ways is refused before it is asked: bare CR or LF,
 * folded lines, blanks around names, doubled fields that decide something, any
 * Transfer-Encoding. So nobody can hide one request in another.
 *
 * Any thread, one owner. After a refusal the connection has to be closed.
 */
#ifndef HTTP_READER_H
#define HTTP_READER_H

#include "base/str.h"

#define HTTP_HEAD_MAX 16384 /* bytes of request line and header */
#define HTTP_FIELDS_MAX 64  /* header lines */
#define HTTP_BODY_MAX 65536 /* bytes */

struct http_field {
	struct str name, value; /* blanks around the value are cut off */
};

/* Slices into the reader, until http_reader_next. */
struct http_request {
	struct str method; /* "GET" */
	struct str target; /* origin form, as it came: "/a%20b?c=d" */
	struct str host;   /* of the one Host field, not looked at */
	struct http_field fields[HTTP_FIELDS_MAX];
	size_t field_count;
	struct str body;
	bool keeps_alive; /* the client wants to send more requests */
	bool is_1_0;      /* no chunks in the answer, no 100 */
};

struct http_refusal {
	unsigned code;    /* 4xx or 5xx */
	const char *text; /* one sentence */
};

enum http_progress {
	HTTP_MORE,     /* more bytes are needed */
	HTTP_CONTINUE, /* the same, and the client waits for "100 Continue" */
	HTTP_READY,    /* a request is complete */
	HTTP_REFUSED,  /* see http_reader_refusal */
};

struct http_reader;

struct http_reader *http_reader_new(void);
void http_reader_free(struct http_reader *r); /* takes NULL */

/* Takes bytes up to the end of one request; *used says how many. HTTP_CONTINUE
 * is said once. A call after HTTP_READY or HTTP_REFUSED takes nothing. */
enum http_progress http_reader_feed(
    struct http_reader *r, struct str in, size_t *used);
/* A request has begun: its first byte is here and its last is not. */
bool http_reader_is_inside(const struct http_reader *r);
bool http_reader_has_head(const struct http_reader *r);
const struct http_request *http_reader_request(const struct http_reader *r);
struct http_refusal http_reader_refusal(const struct http_reader *r);
/* The request has been answered: ready for the next. */
void http_reader_next(struct http_reader *r);

/* The first field of that name, in any case; NULL: there is none. */
const struct str *http_request_field(
    const struct http_request *q, const char *name);

#endif
