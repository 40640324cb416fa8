/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of a text that comes in pieces, numbered, none longer than LINES_MAX.
 * Pure: pieces in, lines out.
 */
#ifndef REPLAY_LINES_H
#define REPLAY_LINES_H

#include "base/buf.h"
#include "base/err.h"

#define LINES_MAX (1u << 20) /* bytes of one */

/* False: what is wrong with the line in why. */
typedef bool lines_fn(void *arg, struct str line, struct err *why);

struct lines {
	lines_fn *fn;
	void *arg;
	const char *name; /* of the file, borrowed, for err */
	unsigned long number;
	bool skips_long;          /* what is longer than LINES_MAX goes */
	unsigned long long_count; /* so many went */
	bool is_skipping;
	struct buf part; /* of a line whose end has not come */
};

void lines_init(struct lines *l, const char *name, lines_fn *fn, void *arg);
void lines_clear(struct lines *l);
/* False: "file:line: what is wrong" in err; no more is taken. */
MUST_CHECK bool lines_push(struct lines *l, struct str piece, struct err *err);
/* The end of the text; a last line needs no line end. */
MUST_CHECK bool lines_end(struct lines *l, struct err *err);

#endif
