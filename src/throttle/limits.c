/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All windows of a source read one ring that holds the last max(count) passes:
 * window i is full while the count_i-th latest is younger than the window.
 */
#include "throttle/limits.h"

static const struct time_ring *
passes(const struct throttle_source *src)
{
	return src->busy ? src->busy->passes : NULL;
}

/* When one limit has room for its m-th (1..count) pass from now on. */
static int64_t
room_at(const struct throttle_source *src, const struct throttle_limit *limit,
    uint32_t m, int64_t reserved_opens)
{
	uint32_t k = limit->count - m + 1; /* the k-th latest must be out */

	if (k <= src->pass_reserved)
		return reserved_opens;
	k -= src->pass_reserved;
	if (k > time_ring_len(passes(src)))
		return TIME_MIN;
	return time_ring_latest(passes(src), k) + limit->window_ms;
}

int64_t
limits_open_at(const struct throttle_source *src, uint8_t *which)
{
	const struct throttle_policy *p = src->policy;
	int64_t open = TIME_MIN;

	for (uint32_t i = 0; i < p->limit_count; i++) {
		int64_t at;

		if (p->limits[i].count == 0)
			continue;
		at = room_at(src, &p->limits[i], 1, TIME_NEVER);
		if (at > open) {
			open = at;
			if (which)
				*which = (uint8_t)i;
		}
	}
	return open;
}

int64_t
limits_bound(const struct throttle_source *src, uint32_t n, int64_t now)
{
	const struct throttle_policy *p = src->policy;
	int64_t bound = now;

	for (uint32_t i = 0; i < p->limit_count; i++) {
		const struct throttle_limit *limit = &p->limits[i];
		int64_t at;

		if (limit->count == 0)
			continue;
		/* The n-th waits for the (n - count)-th, and so on down. */
		at = room_at(src, limit, (n - 1) % limit->count + 1,
		    now + limit->window_ms);
		if (at < now)
			at = now;
		at += (n - 1) / limit->count * limit->window_ms;
		if (at > bound)
			bound = at;
	}
	return bound;
}

void
limits_note_pass(struct throttle *t, struct throttle_source *src, int64_t at)
{
	const struct throttle_policy *p = src->policy;
	uint32_t keep = 0;

	for (uint32_t i = 0; i < p->limit_count; i++)
		if (p->limits[i].count > keep)
			keep = p->limits[i].count;
	if (keep > 0)
		time_ring_add(
		    &source_busy(t, src)->passes, keep, at, &t->bytes);
}

uint32_t
limits_used(const struct throttle_source *src, uint32_t i, int64_t now)
{
	const struct throttle_limit *limit = &src->policy->limits[i];

	if (limit->count == 0)
		return 0;
	return src->pass_reserved +
	       time_ring_count_after(passes(src), now - limit->window_ms);
}

bool
limits_are_idle(const struct throttle_source *src, int64_t now)
{
	for (uint32_t i = 0; i < src->policy->limit_count; i++)
		if (limits_used(src, i, now) > 0)
			return false;
	return true;
}
