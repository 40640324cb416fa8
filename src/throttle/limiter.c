/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paper: the clock runs from the first request on, for ever. The allowance is
 * the free room of the working set.
 *
 * Mail: a token bucket. Its level is allowance + pass_reserved; a reservation
 * only earmarks, the commit spends. A full bucket needs no clock, so the clock
 * stands, and starts with the next token spent: hence in no window of length e
 * more than burst + floor(e / interval) new destinations get through. (burst 0
 * has no tokens: the clock starts with the queue.) A tick with a queue lets
 * its head go instead of adding a token; a tick whose head a limit window bars
 * gives nothing. Tokens that meet a queue are used at once.
 */
#include "throttle/limiter.h"

#include "throttle/limits.h"
#include "throttle/working_set.h"

static uint32_t
level(const struct throttle_source *src)
{
	return (uint32_t)src->allowance + src->pass_reserved;
}

static bool
bucket_is_full(const struct throttle_source *src)
{
	return level(src) >= src->policy->burst;
}

uint32_t
limiter_room(const struct throttle_source *src)
{
	uint32_t used = src->set_len + src->pass_reserved;

	if (!src->policy->paper)
		return src->allowance;
	return used < src->policy->working_set ? src->policy->working_set - used
					       : 0;
}

void
limiter_start(struct throttle_source *src, int64_t now)
{
	src->next_tick = TIME_NEVER;
	if (!src->policy->paper) {
		src->allowance = (uint16_t)src->policy->initial;
		limiter_wake(src, now);
	}
}

void
limiter_wake(struct throttle_source *src, int64_t now)
{
	bool needed;

	if (src->next_tick != TIME_NEVER)
		return;
	needed = src->policy->paper || !bucket_is_full(src) ||
		 (src->policy->burst == 0 && source_waiting(src) > 0);
	if (needed)
		src->next_tick = now + src->policy->interval_ms;
}

/* The first tick not before `at`; the clock runs. */
static int64_t
tick_from(const struct throttle_source *src, int64_t at)
{
	int64_t interval = src->policy->interval_ms;

	if (src->next_tick >= at)
		return src->next_tick;
	return src->next_tick +
	       (at - src->next_tick + interval - 1) / interval * interval;
}

/* Whether a tick may let the head go, limit windows aside. */
static bool
tick_releases(const struct throttle_source *src)
{
	return src->next_tick != TIME_NEVER &&
	       (src->policy->paper || src->policy->burst == 0 ||
		   !bucket_is_full(src));
}

int64_t
limiter_next(const struct throttle_source *src, int64_t from)
{
	int64_t open, next = TIME_NEVER;

	if (source_is_frozen(src) || source_waiting(src) == 0)
		return TIME_NEVER;
	open = limits_open_at(src, NULL);
	if (open == TIME_NEVER)
		return TIME_NEVER;
	if (src->busy->is_barred && src->busy->barred_until > open)
		open = src->busy->barred_until;
	if (!src->policy->paper && src->allowance > 0)
		next = open > from ? open : from;
	if (tick_releases(src) && tick_from(src, open) < next)
		next = tick_from(src, open);
	return next;
}

static void
let_head_go(struct throttle *t, struct throttle_source *src, int64_t at)
{
	uint64_t destination =
	    delay_queue_let_go(&src->busy->queue, at, &t->bytes);

	working_set_add(t, src, destination);
	limits_note_pass(t, src, at);
}

/* The queue moves at `at`, as limiter_next said; the ticks before that a limit
 * window barred. A tick comes before a token of the same moment. */
static void
step(struct throttle *t, struct throttle_source *src, int64_t at)
{
	if (tick_releases(src) && tick_from(src, at) == at) {
		src->next_tick = at + src->policy->interval_ms;
	} else {
		if (src->next_tick != TIME_NEVER)
			src->next_tick = tick_from(src, at);
		src->allowance--;
		limiter_wake(src, at);
	}
	let_head_go(t, src, at);
}

/* Ticks up to now that let nothing go. */
static void
pass_ticks(struct throttle_source *src, int64_t now)
{
	const struct throttle_policy *p = src->policy;
	int64_t ticks, missing;

	if (src->next_tick > now)
		return;
	ticks = (now - src->next_tick) / p->interval_ms + 1;
	src->next_tick += ticks * p->interval_ms;
	if (source_is_frozen(src) || source_waiting(src) > 0)
		return;
	if (p->paper) {
		/* The first makes room, the others find it. */
		if (src->set_len >= p->working_set)
			working_set_drop_oldest(src, 1);
		return;
	}
	missing = bucket_is_full(src) ? 0 : (int64_t)p->burst - level(src);
	if (ticks >= missing) {
		ticks = missing;
		src->next_tick = TIME_NEVER;
	}
	src->allowance += (uint16_t)ticks;
}

/* The caller's word on the head. */
static bool
may_go(struct throttle *t, struct throttle_source *src, int64_t now)
{
	struct source_busy *busy = src->busy;
	int64_t again;

	if (t->callbacks->may_release == NULL)
		return true;
	again = t->callbacks->may_release(
	    t->arg, src, delay_queue_head(&busy->queue), now);
	if (again <= now)
		return true; /* what was barred before it stays in the past */
	busy->is_barred = true;
	busy->barred_until = again;
	return false;
}

void
limiter_advance(
    struct throttle *t, struct throttle_source *src, int64_t from, int64_t now)
{
	int64_t at;

	/* A frozen one has nothing to catch up with. */
	if (src->is_loading && !source_is_frozen(src))
		return;
	while ((at = limiter_next(src, from)) <= now) {
		if (may_go(t, src, now))
			step(t, src, at);
	}
	pass_ticks(src, now);
}

void
limiter_take(struct throttle_source *src)
{
	if (!src->policy->paper)
		src->allowance--;
	src->pass_reserved++;
}

void
limiter_spend(struct throttle_source *src, int64_t now)
{
	src->pass_reserved--;
	limiter_wake(src, now);
}

void
limiter_give_back(struct throttle_source *src)
{
	src->pass_reserved--;
	/* A smaller burst may have come in between. */
	if (!src->policy->paper && !bucket_is_full(src))
		src->allowance++;
}

int64_t
limiter_due(const struct throttle_source *src, uint64_t destination,
    uint32_t reserved, int64_t now)
{
	bool known = false;
	uint32_t ahead = 0, tokens = 0;
	int64_t due, tick;

	if (src->busy)
		ahead =
		    delay_queue_ahead(&src->busy->queue, destination, &known);
	if (!known)
		ahead += reserved;
	due = limits_bound(src, ahead + 1, now);
	if (!src->policy->paper)
		tokens = src->allowance;
	if (ahead < tokens)
		return due;
	tick = src->next_tick != TIME_NEVER ? src->next_tick
					    : now + src->policy->interval_ms;
	tick += (ahead - tokens) * src->policy->interval_ms;
	if (tick < due)
		tick += (due - tick + src->policy->interval_ms - 1) /
			src->policy->interval_ms * src->policy->interval_ms;
	return tick;
}

void
limiter_adapt(struct throttle_source *src, int64_t now)
{
	const struct throttle_policy *p = src->policy;

	if (src->next_tick != TIME_NEVER &&
	    src->next_tick > now + p->interval_ms)
		src->next_tick = now + p->interval_ms;
	if (p->paper) {
		src->allowance = 0;
		return;
	}
	if (src->allowance > p->burst)
		src->allowance = (uint16_t)p->burst;
	if (level(src) > p->burst)
		src->allowance = p->burst > src->pass_reserved
				     ? (uint16_t)(p->burst - src->pass_reserved)
				     : 0;
	if (bucket_is_full(src) && p->burst > 0)
		src->next_tick = TIME_NEVER;
	limiter_wake(src, now);
}

bool
limiter_is_idle(const struct throttle_source *src)
{
	return src->policy->paper || bucket_is_full(src) ||
	       src->allowance >= src->policy->initial;
}
