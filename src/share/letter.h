/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What relays of a site leave in the shared server for each other, before it is
 * sealed: a card, which says that a relay is there, and a letter, which asks
 * another relay or answers it. Pure: bytes in, bytes out; what comes from the
 * server is an input like any other.
 */
#ifndef SHARE_LETTER_H
#define SHARE_LETTER_H

#include "base/buf.h"

#define LETTER_NAME_MAX 255   /* of a relay */
#define LETTER_TEXT_MAX 40000 /* bytes of text in one */
#define LETTER_PLAIN_MAX (LETTER_TEXT_MAX + LETTER_NAME_MAX + 64)
#define CARD_PLAIN_MAX (LETTER_NAME_MAX + 64)

struct card {
	/* Whoever writes to the relay names it: a letter that was written
	 * before it was changed twice is not read. */
	uint64_t token;
	struct str name; /* borrowed */
};

enum letter_kind { LETTER_QUESTION = 1, LETTER_ANSWER = 2 };

struct letter {
	enum letter_kind kind;
	uint64_t question; /* of the question that it is, or is about */
	uint64_t token;    /* the receiver's */
	uint32_t number;   /* of the parts of one text, from 0 */
	bool is_last;
	struct str from; /* the sender's name; borrowed */
	struct str text; /* borrowed */
};

/* False: a name or a text is too long, or out has no room. */
MUST_CHECK bool card_write(const struct card *c, struct buf *out);
MUST_CHECK bool letter_write(const struct letter *l, struct buf *out);
/* False: it is none, or of another version. */
MUST_CHECK bool card_read(struct str in, struct card *out);
MUST_CHECK bool letter_read(struct str in, struct letter *out);

#endif
