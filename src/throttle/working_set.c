/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The papers say "oldest" of the member that is discarded. Here that is the
 * least recently used one, a hit refreshes: the vocabulary of the design, and
 * what keeps a partner in daily use known.
 */
#include "throttle/working_set.h"

#include <string.h>

#include "throttle/mem.h"

#define SET_FIRST_LOG2 1

static size_t
set_size(const struct throttle_source *src)
{
	return ((size_t)1 << src->set_log2) * sizeof(*src->set);
}

/* From the most recent down, since that is where most hits are; four at a time
 * without a branch between them. */
int
working_set_find(const struct throttle_source *src, uint64_t destination)
{
	const uint64_t *set = src->set;
	int i = (int)src->set_len;

	for (; i >= 4; i -= 4) {
		if ((set[i - 1] == destination) | (set[i - 2] == destination) |
		    (set[i - 3] == destination) | (set[i - 4] == destination))
			break;
	}
	while (--i >= 0)
		if (set[i] == destination)
			break;
	return i;
}

void
working_set_touch(struct throttle_source *src, int at)
{
	uint64_t destination = src->set[at];
	size_t later = src->set_len - (size_t)at - 1;

	if (later == 0)
		return;
	memmove(src->set + at, src->set + at + 1, later * sizeof(*src->set));
	src->set[src->set_len - 1] = destination;
}

static void
grow(struct throttle *t, struct throttle_source *src)
{
	size_t old = src->set ? set_size(src) : 0;

	src->set_log2 = src->set ? src->set_log2 + 1 : SET_FIRST_LOG2;
	src->set = mem_resize(&t->bytes, src->set, old, set_size(src));
}

void
working_set_add(
    struct throttle *t, struct throttle_source *src, uint64_t destination)
{
	int at = working_set_find(src, destination);

	if (at >= 0)
		working_set_touch(src, at);
	else
		working_set_append(t, src, destination);
}

void
working_set_append(
    struct throttle *t, struct throttle_source *src, uint64_t destination)
{
	if (src->set_len >= src->policy->working_set)
		working_set_drop_oldest(
		    src, src->set_len - src->policy->working_set + 1);
	if (!src->set || src->set_len == UINT32_C(1) << src->set_log2)
		grow(t, src);
	src->set[src->set_len++] = destination;
}

void
working_set_drop_oldest(struct throttle_source *src, uint32_t count)
{
	src->set_len -= count;
	memmove(src->set, src->set + count, src->set_len * sizeof(*src->set));
}

void
working_set_free(struct throttle *t, struct throttle_source *src)
{
	mem_free(&t->bytes, src->set, src->set ? set_size(src) : 0);
	src->set = NULL;
	src->set_len = 0;
}
