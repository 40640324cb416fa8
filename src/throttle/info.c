/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be read of sources and of the whole. Reading works off due ticks,
 * nothing else changes.
 */
#include "throttle/core.h"
#include "throttle/limiter.h"
#include "throttle/limits.h"

const void *
throttle_source_key(const struct throttle_source *src, size_t *key_len)
{
	*key_len = src->key_len;
	return src->key;
}

const struct throttle_policy *
throttle_source_policy(const struct throttle_source *src)
{
	return src->policy;
}

void *
throttle_source_user(const struct throttle_source *src)
{
	return src->user;
}

void
throttle_source_set_user(struct throttle_source *src, void *user)
{
	src->user = user;
}

void
throttle_queue_each(const struct throttle_source *src,
    void (*fn)(void *arg, uint64_t destination, uint64_t ticket), void *arg)
{
	const struct delay_queue *q;

	if (!src->busy)
		return;
	q = &src->busy->queue;
	for (uint32_t i = 0; i < q->owed + q->waiting; i++)
		fn(arg, q->entries[q->head + i].destination,
		    q->entries[q->head + i].ticket);
}

static int64_t
next_release(const struct throttle_source *src, int64_t now)
{
	if (src->busy && src->busy->queue.owed > 0)
		return delay_queue_owed_at(&src->busy->queue);
	return limiter_next(src, now);
}

static uint32_t
largest_blast(const struct throttle_source *src)
{
	const struct blast *largest =
	    src->busy ? blasts_largest(src->busy->queue.blasts) : NULL;

	return largest ? largest->waiting : 0;
}

void
throttle_source_info(struct throttle *t, struct throttle_source *src,
    int64_t now, struct throttle_source_info *out)
{
	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	source_schedule(t, src);
	*out = (struct throttle_source_info){
	    .frozen = source_is_frozen(src),
	    .freeze_reason = (enum throttle_freeze_reason)src->freeze,
	    .queue_length = source_waiting(src),
	    .own_waiting = source_own_waiting(src),
	    .blast = largest_blast(src),
	    .allowance = limiter_room(src),
	    .working_set = src->set_len,
	    .last_seen = src->last_seen,
	    .next_release = next_release(src, now),
	};
	for (uint32_t i = 0; i < src->policy->limit_count; i++)
		out->limit_used[i] = limits_used(src, i, now);
}

bool
throttle_expected(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, uint32_t *ahead, int64_t *due_ms)
{
	bool waits = false;

	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	source_schedule(t, src);
	if (!src->busy)
		return false;
	*ahead = delay_queue_ahead(&src->busy->queue, destination, &waits);
	*due_ms = source_is_frozen(src) ? TIME_NEVER
					: limiter_due(src, destination, 0, now);
	return waits;
}

size_t
throttle_source_count(const struct throttle *t)
{
	return t->table.count;
}

size_t
throttle_waiting_count(const struct throttle *t)
{
	return t->waiting;
}

size_t
throttle_frozen_count(const struct throttle *t)
{
	return t->frozen;
}

size_t
throttle_memory(const struct throttle *t)
{
	return t->bytes;
}

size_t
throttle_page(const struct throttle *t, uint64_t after,
    struct throttle_page_row *rows, size_t max)
{
	return source_table_page(&t->table, after, rows, max);
}

struct throttle_source *
throttle_each(const struct throttle *t, size_t *pos)
{
	size_t steps = SIZE_MAX;
	uint64_t at = *pos;
	struct throttle_source *src = source_table_each(&t->table, &at, &steps);

	*pos = (size_t)at;
	return src;
}
