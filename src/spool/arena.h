/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that lives and dies together: the strings of a message, the rows of a
 * batch. Allocation failure aborts (base). One owner, any thread.
 */
#ifndef SPOOL_ARENA_H
#define SPOOL_ARENA_H

#include "base/str.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	size_t used; /* of the first chunk */
	size_t total;
};

void arena_init(struct arena *a);
void arena_clear(struct arena *a);
/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
char *arena_copy(struct arena *a, const void *p, size_t n); /* terminated */
/* NULL stays NULL. */
char *arena_string(struct arena *a, const char *s);
/* Bytes taken so far, for caps. */
size_t arena_total(const struct arena *a);

#endif
