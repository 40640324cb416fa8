/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walks the messages of a selection in order of their ids, a page at a time, so
 * that a large one is never held whole.
 */
#ifndef SPOOL_WALK_H
#define SPOOL_WALK_H

#include "base/fold.h"
#include "spool/core.h"

struct walk {
	struct spool_select select; /* strings in the owner's memory */
	struct str subject;         /* folded */
	uint64_t after;             /* last message that was looked at */
	uint64_t upto;
};

struct walk_message {
	struct spool_message m; /* without recipients */
	int pending;            /* DB_ value */
	bool in_file;
};

/* Copies the selection into mem. 0, or EINVAL: it selects nothing. */
MUST_CHECK int walk_init(
    struct walk *w, struct arena *mem, const struct spool_select *select);
struct walk_page {
	struct walk_message *v; /* in mem */
	size_t n;
	uint64_t last; /* looked at up to here, wanted or not */
	bool end;      /* nothing above that */
};
/* Up to max messages above w->after, which the owner moves on: to page->last
 * when it is through with all of them, or to the last that it did. */
void walk_page(const struct walk *w, struct db *db, struct arena *mem,
    size_t max, struct walk_page *page);
/* A part that was folded, of a message's decoded subject. */
bool walk_has_subject(
    struct fold *fold, const struct spool_message *m, struct str part);
bool walk_matches(const struct walk *w, const char *address);

#endif
