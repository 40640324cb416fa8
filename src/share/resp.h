/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The protocol of Redis and Valkey (RESP 2) without I/O: replies in, commands
 * out. hiredis is the codec; the bounds are ours, since the server is an input
 * like any other. One owner.
 */
#ifndef SHARE_RESP_H
#define SHARE_RESP_H

#include "base/buf.h"

#define RESP_REPLY_MAX (1u << 20)   /* bytes of one reply */
#define RESP_ELEMENTS_MAX 8192      /* of one reply, in all of its arrays */
#define RESP_COMMAND_MAX (1u << 16) /* bytes of one command */

enum resp_type {
	RESP_STRING,
	RESP_STATUS,
	RESP_ERROR,
	RESP_INTEGER,
	RESP_NIL,
	RESP_ARRAY
};

struct resp_value {
	enum resp_type type;
	int64_t integer;
	struct str text; /* of strings, statuses and errors */
	struct resp_value **v;
	size_t count;
};

struct resp;

struct resp *resp_new(void);
void resp_free(struct resp *r); /* takes NULL */
/* False: what came is no reply, or one that is too large. From then on nothing
 * more is read. */
MUST_CHECK bool resp_feed(struct resp *r, const char *p, size_t n);
/* The next whole reply, for resp_value_free; NULL: more bytes are needed, or
 * resp_is_broken. */
struct resp_value *resp_next(struct resp *r);
bool resp_is_broken(const struct resp *r);
void resp_value_free(struct resp_value *v); /* takes NULL */

/* The i-th element of an array; a nil where there is none. */
const struct resp_value *resp_at(const struct resp_value *v, size_t i);
/* Text of a string or a status; empty of anything else. */
struct str resp_text(const struct resp_value *v);
/* An error reply that begins with this word. */
bool resp_is_error(const struct resp_value *v, const char *word);

/* Appends a command. False: it passes RESP_COMMAND_MAX. */
MUST_CHECK bool resp_command(
    struct buf *out, const struct str *args, size_t count);

#endif
