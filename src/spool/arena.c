/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Chunks in a list; the first one is filled, what does not fit gets a chunk of
 * its own size.
 */
#include "spool/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_LEAST 1000

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	alignas(max_align_t) char mem[];
};

void
arena_init(struct arena *a)
{
	*a = (struct arena){0};
}

void
arena_clear(struct arena *a)
{
	struct arena_chunk *next;

	for (struct arena_chunk *c = a->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	arena_init(a);
}

static void *
take(struct arena *a, size_t n, size_t align)
{
	size_t at = (a->used + align - 1) & ~(align - 1);
	struct arena_chunk *c = a->chunks;

	if (c == NULL || n > c->size || at > c->size - n) {
		size_t size = n > CHUNK_LEAST ? n : CHUNK_LEAST;

		c = xmalloc(sizeof(*c) + size);
		c->size = size;
		c->next = a->chunks;
		a->chunks = c;
		a->total += sizeof(*c) + size;
		at = 0;
	}
	a->used = at + n;
	return c->mem + at;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	return memset(take(a, n, alignof(max_align_t)), 0, n);
}

char *
arena_copy(struct arena *a, const void *p, size_t n)
{
	char *out = take(a, n + 1, 1);

	if (n > 0)
		memcpy(out, p, n);
	out[n] = '\0';
	return out;
}

char *
arena_string(struct arena *a, const char *s)
{
	return s != NULL ? arena_copy(a, s, strlen(s)) : NULL;
}

size_t
arena_total(const struct arena *a)
{
	return a->total;
}
