/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A text that is one JSON document, such as rspamd's history: hands on each
 * object of its list as a line would be. Braces and quotes alone count; whether
 * an object is sound is for who takes it. Pure: pieces in, objects out.
 */
#ifndef REPLAY_ROWS_H
#define REPLAY_ROWS_H

#include "base/buf.h"

#define ROWS_MAX (1u << 20) /* bytes of one; longer ones are counted and go */

typedef void rows_fn(void *arg, struct str object);

struct rows {
	rows_fn *fn;
	void *arg;
	uint64_t long_count;
	bool is_in_list; /* the bracket opened last is "[" */
	bool is_quoted, is_escaped, is_skipping;
	uint32_t depth; /* of brackets in the object in hand; 0: none is */
	struct buf part;
};

/* Such a text begins so. */
bool rows_is_it(struct str first);
void rows_init(struct rows *r, rows_fn *fn, void *arg);
void rows_clear(struct rows *r);
void rows_push(struct rows *r, struct str piece);
/* The end of the text. What of an object came is handed on as it is. */
void rows_end(struct rows *r);

#endif
