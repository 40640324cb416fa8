/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source that several throttles share, of which this one follows another:
 * what that one says of the allowance and of who goes next is made so here.
 */
#include "throttle/core.h"
#include "throttle/limiter.h"
#include "throttle/limits.h"
#include "throttle/working_set.h"

void
throttle_level(struct throttle *t, struct throttle_source *src, int64_t now,
    struct throttle_level *out)
{
	const struct time_ring *ring;
	uint32_t len, n = 0;

	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	source_schedule(t, src);
	ring = src->busy ? src->busy->passes : NULL;
	len = time_ring_len(ring);
	*out = (struct throttle_level){.allowance = limiter_room(src),
	    .tick_in_ms =
		src->next_tick == TIME_NEVER ? -1 : src->next_tick - now};
	if (len > THROTTLE_LEVEL_AGES)
		len = THROTTLE_LEVEL_AGES;
	for (uint32_t k = len; k > 0; k--)
		out->ages_ms[n++] = now - time_ring_latest(ring, k);
	out->ages = n;
}

/* Whom other throttles let go takes its place here, as nobody. */
static void
follow_paper(
    struct throttle *t, struct throttle_source *src, uint32_t room, int64_t now)
{
	uint32_t most = src->policy->working_set;
	uint32_t taken = room + src->pass_reserved;
	uint32_t len = taken < most ? most - taken : 0;

	if (src->set_len > len)
		working_set_drop_oldest(src, src->set_len - len);
	else
		working_set_fill(t, src, len - src->set_len, now);
}

void
throttle_follow(struct throttle *t, struct throttle_source *src,
    uint32_t allowance, int64_t tick_in_ms, int64_t now)
{
	const struct throttle_policy *p = src->policy;

	now = source_clamp_now(t, now);
	if (p->paper) {
		follow_paper(t, src, allowance, now);
		src->next_tick = tick_in_ms < 0 ? TIME_NEVER : now + tick_in_ms;
		source_schedule(t, src);
		return;
	}
	if (allowance > p->burst)
		allowance = p->burst;
	src->allowance = (uint16_t)allowance;
	if (tick_in_ms > p->interval_ms)
		tick_in_ms = p->interval_ms;
	src->next_tick = tick_in_ms < 0 ? TIME_NEVER : now + tick_in_ms;
	limiter_wake(src, now);
	source_schedule(t, src);
}

bool
throttle_let_go(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now)
{
	now = source_clamp_now(t, now);
	if (!src->busy || !delay_queue_let_go_of(
			      &src->busy->queue, destination, now, &t->bytes))
		return false;
	working_set_add(t, src, destination);
	limits_note_pass(t, src, now);
	source_schedule(t, src);
	return true;
}
