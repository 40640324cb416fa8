/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sources that wait for something, ordered by when: a binary heap whose
 * positions are kept in the sources. A source without a queue is not in it and
 * costs nothing.
 */
#ifndef THROTTLE_DUE_HEAP_H
#define THROTTLE_DUE_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct throttle_source;

struct due_item {
	int64_t due;
	struct throttle_source *src;
};

struct due_heap {
	struct due_item *items;
	uint32_t len, cap;
};

/* Both want a source that has its busy part. */
void due_heap_set(struct due_heap *h, struct throttle_source *src, int64_t due,
    size_t *bytes);
void due_heap_remove(struct due_heap *h, struct throttle_source *src);
/* TIME_NEVER: empty. */
int64_t due_heap_next(const struct due_heap *h);
void due_heap_clear(struct due_heap *h, size_t *bytes);

#endif
