/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers of HTTP/1.1: status line, header fields, and which of several types a
 * client prefers. Without I/O and without a clock. Any thread.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include "base/buf.h"

#define HTTP_DATE_MAX 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

struct http_reply_field {
	const char *name;
	struct str value; /* one line; what could end it becomes a blank */
};

/* Status line, fields and the empty line. False: they do not fit. */
MUST_CHECK bool http_reply_head(struct buf *out, unsigned code,
    const struct http_reply_field *fields, size_t n);

/* "Not Found"; a code that nobody knows has "Unknown". */
const char *http_reason(unsigned code);

/* RFC 9110 5.6.7; wall time since 1970. Returns out. */
const char *http_date(int64_t wall_ms, char out[HTTP_DATE_MAX]);

/* How much an Accept field (NULL: none, which takes all) wants a type without
 * parameters: its q-value in thousandths, 0 not at all. The most specific range
 * decides (RFC 9110 12.5.1). A field that is malformed takes nothing but what
 * was read before. */
unsigned http_accepts(const struct str *accept, const char *type);

/* The value of the cookie of that name; empty: there is none, or two. */
struct str http_cookie(const struct str *cookie, const char *name);

#endif
