/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The decision: reserve, commit, cancel. Every entry point works off the ticks
 * that are due first, then decides, then settles.
 */
#include "base/base.h"
#include "throttle/core.h"
#include "throttle/limiter.h"
#include "throttle/limits.h"
#include "throttle/working_set.h"

/* What every request begins with. Paper: the first one starts the clock. */
static int64_t
enter(struct throttle *t, struct throttle_source *src, int64_t now)
{
	now = source_clamp_now(t, now);
	src->last_seen = now;
	if (src->policy->paper)
		limiter_wake(src, now);
	limiter_advance(t, src, TIME_MIN, now);
	return now;
}

static bool
queue_has_room(const struct throttle_source *src, uint64_t used, bool frozen)
{
	const struct throttle_policy *p = src->policy;

	if (p->freeze_at > 0 && !p->hold_when_frozen && !frozen &&
	    used >= p->freeze_at)
		return false;
	return used < p->queue_max;
}

static void
hold(const struct throttle_source *src, enum throttle_reason reason,
    int64_t due, struct throttle_reservation *out)
{
	uint64_t used = (uint64_t)source_waiting(src) + src->hold_reserved;

	if (!queue_has_room(src, used, source_is_frozen(src))) {
		out->verdict = THROTTLE_REFUSE;
		out->reason = THROTTLE_FULL;
		return;
	}
	out->verdict = THROTTLE_HOLD;
	out->reason = reason;
	out->due_ms = due;
}

static void
decide_frozen(
    const struct throttle_source *src, struct throttle_reservation *out)
{
	if (src->policy->hold_when_frozen) {
		hold(src, THROTTLE_FROZEN, TIME_NEVER, out);
		return;
	}
	out->verdict = THROTTLE_REFUSE;
	out->reason = THROTTLE_FROZEN;
}

static void
decide_new(const struct throttle_source *src, int64_t now,
    struct throttle_reservation *out)
{
	uint8_t which = 0;
	bool full = limits_open_at(src, &which) > now;
	bool first = source_waiting(src) == 0 && src->hold_reserved == 0;

	if (full)
		out->limit_index = which;
	if (!full && first && limiter_room(src) > 0) {
		out->verdict = THROTTLE_PASS;
		out->reason = THROTTLE_NEW;
		return;
	}
	hold(src, full ? THROTTLE_LIMITED : THROTTLE_QUEUED,
	    limiter_due(src, out->destination, src->hold_reserved, now), out);
}

/* Returns the member's index for a known destination, else -1. Takes nothing
 * yet. */
static int
decide(const struct throttle_source *src, uint64_t destination, int64_t now,
    struct throttle_reservation *out)
{
	int at = -1;

	*out = (struct throttle_reservation){
	    .destination = destination,
	    .verdict = THROTTLE_PASS,
	    .reason = THROTTLE_KNOWN,
	    .queue_length = source_waiting(src) + src->hold_reserved,
	    .due_ms = now,
	};
	if (source_is_frozen(src)) {
		decide_frozen(src, out);
		return -1;
	}
	at = working_set_find(src, destination);
	if (at < 0)
		decide_new(src, now, out);
	return at;
}

static void
take(struct throttle_source *src, const struct throttle_reservation *r)
{
	if (r->verdict == THROTTLE_HOLD)
		src->hold_reserved++;
	else if (r->verdict == THROTTLE_PASS && r->reason == THROTTLE_KNOWN)
		src->known_reserved++;
	else if (r->verdict == THROTTLE_PASS)
		limiter_take(src);
}

/* Our caller ends what it reserved, once. */
static void
check_open(
    const struct throttle_source *src, const struct throttle_reservation *r)
{
	bool open;

	if (r->verdict == THROTTLE_HOLD)
		open = src->hold_reserved > 0;
	else if (r->reason == THROTTLE_KNOWN)
		open = src->known_reserved > 0;
	else
		open = src->pass_reserved > 0;
	if (!open)
		panic("throttle: a reservation was ended twice");
}

void
throttle_reserve(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out)
{
	now = enter(t, src, now);
	decide(src, destination, now, out);
	take(src, out);
	source_schedule(t, src);
}

/* at: the destination's index in the working set now, -1: not in it. */
static void
commit_pass(struct throttle *t, struct throttle_source *src,
    const struct throttle_reservation *r, int at, int64_t now)
{
	if (r->reason == THROTTLE_KNOWN) {
		src->known_reserved--;
	} else if (at >= 0) {
		/* Another transaction made it known meanwhile. */
		limiter_give_back(src);
	} else {
		limiter_spend(src, now);
		limits_note_pass(t, src, now);
	}
	if (at >= 0)
		working_set_touch(src, at);
	else
		working_set_append(t, src, r->destination);
}

static enum throttle_freeze_reason
detect(const struct throttle_source *src, int64_t now)
{
	const struct throttle_policy *p = src->policy;
	const struct time_ring *appends = src->busy->appends;
	uint32_t count = p->freeze_growth.count;

	/* Equal, not above: a thawed queue that is still too long does not
	 * freeze again by itself. */
	if (p->freeze_at > 0 && source_waiting(src) == p->freeze_at)
		return THROTTLE_FREEZE_LENGTH;
	if (count > 0 && time_ring_len(appends) >= count &&
	    time_ring_latest(appends, count) + p->freeze_growth.window_ms > now)
		return THROTTLE_FREEZE_GROWTH;
	return THROTTLE_FREEZE_NONE;
}

static void
append(struct throttle *t, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	delay_queue_append(
	    &source_busy(t, src)->queue, destination, ticket, &t->bytes);
}

/* Behind an append: freezes, or lets the queue move on. */
static void
end_append(struct throttle *t, struct throttle_source *src, int64_t now)
{
	enum throttle_freeze_reason reason = THROTTLE_FREEZE_NONE;

	limiter_wake(src, now);
	if (!source_is_frozen(src))
		reason = detect(src, now);
	if (reason != THROTTLE_FREEZE_NONE)
		source_freeze(t, src, reason);
	else
		source_settle(t, src, now);
}

static void
commit_hold(struct throttle *t, struct throttle_source *src,
    const struct throttle_reservation *r, uint64_t ticket, int64_t now)
{
	src->hold_reserved--;
	append(t, src, r->destination, ticket);
	if (src->policy->freeze_growth.count > 0)
		time_ring_add(&src->busy->appends,
		    src->policy->freeze_growth.count, now, &t->bytes);
	end_append(t, src, now);
}

void
throttle_commit(struct throttle *t, struct throttle_source *src,
    const struct throttle_reservation *r, uint64_t ticket, int64_t now)
{
	/* A refusal pins nothing: the source may be gone by now. */
	if (r->verdict == THROTTLE_REFUSE)
		return;
	check_open(src, r);
	now = enter(t, src, now);
	if (r->verdict == THROTTLE_HOLD) {
		commit_hold(t, src, r, ticket, now);
		return;
	}
	commit_pass(t, src, r, working_set_find(src, r->destination), now);
	source_settle(t, src, now);
}

void
throttle_cancel(struct throttle *t, struct throttle_source *src,
    const struct throttle_reservation *r, int64_t now)
{
	if (r->verdict == THROTTLE_REFUSE)
		return;
	check_open(src, r);
	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	if (r->verdict == THROTTLE_HOLD)
		src->hold_reserved--;
	else if (r->reason == THROTTLE_KNOWN)
		src->known_reserved--;
	else
		limiter_give_back(src);
	source_settle(t, src, now);
}

void
throttle_request(struct throttle *t, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now,
    struct throttle_reservation *out)
{
	int at;

	now = enter(t, src, now);
	at = decide(src, destination, now, out);
	if (at >= 0) {
		working_set_touch(src, at);
		source_schedule(t, src);
		return;
	}
	take(src, out);
	if (out->verdict == THROTTLE_HOLD) {
		commit_hold(t, src, out, ticket, now);
	} else {
		if (out->verdict == THROTTLE_PASS)
			commit_pass(t, src, out, -1, now);
		source_settle(t, src, now);
	}
}

void
throttle_requeue(struct throttle *t, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now)
{
	now = enter(t, src, now);
	append(t, src, destination, ticket);
	limiter_wake(src, now);
	source_settle(t, src, now);
}

void
throttle_append(struct throttle *t, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now)
{
	now = enter(t, src, now);
	append(t, src, destination, ticket);
	end_append(t, src, now);
}

void
throttle_learn(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now)
{
	now = source_clamp_now(t, now);
	src->last_seen = now;
	limiter_advance(t, src, TIME_MIN, now);
	working_set_add(t, src, destination);
	source_settle(t, src, now);
}
