/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replies: one value for what weir says and what a next hop said; and the
 * bounded parser of a reply stream (RFC 5321 section 4.2, RFC 2034).
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buf.h"

#define SMTP_REPLY_LINE_MAX 1024 /* longer lines from a next hop are cut */
#define SMTP_REPLY_LINES_MAX 128 /* more is a protocol error */
#define SMTP_REPLY_TEXT_MAX 4096 /* text kept of one reply */
#define SMTP_ENHANCED_MAX 12     /* "5.7.123", terminated */

struct smtp_reply {
	unsigned code;                    /* 200..599 */
	char enhanced[SMTP_ENHANCED_MAX]; /* "" when there is none */
	struct str text; /* lines joined by '\n', enhanced code taken off */
};

/* A reply of our own. enhanced may be "". text is borrowed. */
struct smtp_reply smtp_reply_make(
    unsigned code, const char *enhanced, const char *text);
static inline bool
smtp_reply_is_ok(const struct smtp_reply *r)
{
	return r->code >= 200 && r->code < 400;
}
static inline bool
smtp_reply_is_temporary(const struct smtp_reply *r)
{
	return r->code >= 400 && r->code < 500;
}
/* A refusal that is about the client's login or TLS and not about the mail:
 * 530, 534, 535, 538 (RFC 4954, RFC 3207), Exchange's 5.7.57, or words such as
 * "Authentication required" behind a code that says less. */
bool smtp_reply_wants_login(const struct smtp_reply *r);
/* Writes it to out in wire form, every line with code, and with the enhanced
 * code when with_enhanced and there is one. Text is made safe: no bare CR, LF
 * or NUL, lines within 512 bytes. False: out is full. */
MUST_CHECK bool smtp_reply_print(
    const struct smtp_reply *r, bool with_enhanced, struct buf *out);

enum smtp_reply_state { SMTP_REPLY_MORE, SMTP_REPLY_DONE, SMTP_REPLY_BAD };

struct smtp_reply_parser {
	struct buf text;
	unsigned code, lines;
	char enhanced[SMTP_ENHANCED_MAX];
	bool done;
};

void smtp_reply_parser_init(struct smtp_reply_parser *p);
void smtp_reply_parser_clear(struct smtp_reply_parser *p);
/* Takes whole lines off *in until one reply is complete. DONE: *out is valid
 * until the next call. BAD: mixed codes, no code, NUL, too long or endless:
 * the connection is useless. */
enum smtp_reply_state smtp_reply_parse(
    struct smtp_reply_parser *p, struct str *in, struct smtp_reply *out);

#endif
