/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The papers say "oldest" of the member that is discarded. Here that is the
 * least recently used one, a hit refreshes: the vocabulary of the design, and
 * what keeps a partner in daily use known.
 */
#include "throttle/working_set.h"

#include <string.h>

#include "base/hash.h"
#include "throttle/mem.h"

#define SET_FIRST_LOG2 1
#define NOBODY_SEED UINT64_C(0x6e6f626f6479)

/* NULL: none. */
static uint64_t *
own_slots(struct throttle_source *src)
{
	if (src->own_slots == 0)
		return NULL;
	return (
	    uint64_t *)(void *)((char *)src + source_slots_at(src->key_len));
}

void
working_set_init(struct throttle_source *src)
{
	src->set = own_slots(src);
	src->set_len = src->set_log2 = 0;
}

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

static bool
is_full(struct throttle_source *src)
{
	if (!src->set)
		return true;
	if (src->set == own_slots(src))
		return src->set_len == src->own_slots;
	return src->set_len == UINT32_C(1) << src->set_log2;
}

/* The own slots are full only under a policy that came later. */
static void
leave_own_slots(struct throttle *t, struct throttle_source *src)
{
	const uint64_t *own = src->set;

	while (UINT32_C(1) << src->set_log2 <= src->set_len)
		src->set_log2++;
	src->set = mem_new(&t->bytes, set_size(src));
	memcpy(src->set, own, src->set_len * sizeof(*own));
}

static void
grow(struct throttle *t, struct throttle_source *src)
{
	size_t old = src->set ? set_size(src) : 0;

	if (src->set && src->set == own_slots(src)) {
		leave_own_slots(t, src);
		return;
	}
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
	if (is_full(src))
		grow(t, src);
	src->set[src->set_len++] = destination;
}

uint64_t
working_set_nobody(const struct throttle_source *src, int64_t now, uint32_t i)
{
	uint64_t once = (uint64_t)now * THROTTLE_WORKING_SET_MAX + i;

	return hash_bytes(src->key, src->key_len, NOBODY_SEED + once);
}

void
working_set_fill(
    struct throttle *t, struct throttle_source *src, uint32_t n, int64_t now)
{
	uint32_t len = src->set_len;

	for (uint32_t i = 0; i < n; i++)
		working_set_append(
		    t, src, working_set_nobody(src, now, src->set_len));
	/* The others stay known for longer. */
	for (uint32_t i = 0; i < len; i++)
		working_set_touch(src, 0);
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
	if (src->set && src->set != own_slots(src))
		mem_free(&t->bytes, src->set, set_size(src));
	working_set_init(src);
}
