/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first line of a text that goes behind a field of our own. One that begins
 * with a blank would be read as a continuation of that field, so an empty line
 * is put in front of it; an mbox "From " line (">From " too) would end the
 * header, so it becomes a field, "X-Mailbox-Line:". Both as in Postfix's
 * smtpd. Everything else goes on as it came. Without I/O.
 */
#ifndef SMTP_OPENING_H
#define SMTP_OPENING_H

#include "base/str.h"

#define SMTP_OPENING_KEPT 16
#define SMTP_OPENING_LINES 8 /* mbox lines that become fields */
/* Bytes that it adds to a text at most. */
#define SMTP_OPENING_MAX (SMTP_OPENING_LINES * 16 + 2)

struct smtp_opening {                 /* opening.c's own */
	char kept[SMTP_OPENING_KEPT]; /* of a line that may be an mbox line */
	uint8_t n;
	uint8_t lines;
	uint8_t state;
};

void smtp_opening_init(struct smtp_opening *o);
/* The text goes on as it comes from here on: feed it no more. */
bool smtp_opening_is_over(const struct smtp_opening *o);
/*
 * Takes text with lines that end in CR LF, cut anywhere, and gives to sink what
 * is decided. Returns the rest of the text, which goes on as it came behind
 * what sink was given.
 */
struct str smtp_opening_feed(struct smtp_opening *o, struct str text,
    void (*sink)(void *arg, struct str piece), void *arg);
/* The text has ended: what was kept goes on. */
void smtp_opening_end(struct smtp_opening *o,
    void (*sink)(void *arg, struct str piece), void *arg);

#endif
