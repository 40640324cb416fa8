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

/* What is reserved counts towards queue_max alone: the requests of one message
 * are taken together, and their commit is what freezes. Only a source that was
 * thawed with a queue as long as freeze_at gets no further into it. */
static bool
queue_has_room(const struct throttle_source *src, uint64_t used, bool frozen)
{
	const struct throttle_policy *p = src->policy;

	if (src->is_excused && !p->hold_when_frozen && !frozen &&
	    !src->is_spared && source_is_long(src))
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
	if (out->verdict == THROTTLE_HOLD && src->busy &&
	    src->busy->is_barred && out->due_ms < src->busy->barred_until)
		out->due_ms = src->busy->barred_until;
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

void
throttle_reserve_held(struct throttle *t, struct throttle_source *src,
    uint64_t destination, int64_t now, struct throttle_reservation *out)
{
	now = enter(t, src, now);
	decide(src, destination, now, out);
	if (out->reason == THROTTLE_FROZEN)
		hold(src, THROTTLE_FROZEN, TIME_NEVER, out);
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

/* New entries later than that, without the largest blast's. */
static uint64_t
grown_since(const struct throttle_source *src, int64_t since)
{
	const struct blasts *blasts = src->busy->queue.blasts;
	const struct blast *largest = blasts_largest(blasts);
	uint64_t n = time_ring_count_after(src->busy->appends, since) +
		     blasts_named_after(blasts, since);

	return largest && largest->at > since ? n - largest->named : n;
}

static enum throttle_freeze_reason
detect(const struct throttle_source *src, int64_t now)
{
	const struct throttle_policy *p = src->policy;

	if (source_is_long(src) && !src->is_excused)
		return THROTTLE_FREEZE_LENGTH;
	if (p->freeze_growth.count > 0 &&
	    grown_since(src, now - p->freeze_growth.window_ms) >=
		p->freeze_growth.count)
		return THROTTLE_FREEZE_GROWTH;
	return THROTTLE_FREEZE_NONE;
}

/* The number that the next entry of its queue has. */
static uint8_t
blast_number(struct throttle *t, struct delay_queue *q, int64_t at)
{
	if (t->blast == 0 || !q->blasts || t->blast > q->blasts->n)
		t->blast = blasts_open(&q->blasts, at, &t->bytes);
	return t->blast;
}

/* at: TIME_MIN where it is not known. */
static void
append(struct throttle *t, struct throttle_source *src, uint64_t destination,
    uint64_t ticket, int64_t at)
{
	struct delay_queue *q = &source_busy(t, src)->queue;
	uint8_t blast = 0;

	if (!source_is_long(src))
		src->is_excused = false;
	if (t->blast_of == src && !src->policy->paper)
		blast = blast_number(t, q, at);
	delay_queue_append(q, destination, ticket, blast, &t->bytes);
	if (blast == 0 && at != TIME_MIN &&
	    src->policy->freeze_growth.count > 0)
		time_ring_add(&src->busy->appends,
		    src->policy->freeze_growth.count, at, &t->bytes);
}

void
throttle_blast_begin(struct throttle *t, struct throttle_source *src)
{
	t->blast_of = src;
	t->blast = 0;
}

void
throttle_blast_end(struct throttle *t)
{
	t->blast_of = NULL;
}

/* Behind an append: freezes, or lets the queue move on. */
static void
end_append(struct throttle *t, struct throttle_source *src, int64_t now)
{
	enum throttle_freeze_reason reason = THROTTLE_FREEZE_NONE;

	limiter_wake(src, now);
	if (!source_is_frozen(src))
		reason = detect(src, now);
	if (reason != THROTTLE_FREEZE_NONE && !src->is_spared) {
		source_freeze(t, src, reason);
		return;
	}
	source_settle(t, src, now);
	if (reason != THROTTLE_FREEZE_NONE && t->callbacks->on_spare)
		t->callbacks->on_spare(t->arg, src, reason);
}

static void
commit_hold(struct throttle *t, struct throttle_source *src,
    const struct throttle_reservation *r, uint64_t ticket, int64_t now)
{
	src->hold_reserved--;
	append(t, src, r->destination, ticket, now);
	if (r->reason == THROTTLE_BARRED && !src->busy->is_barred) {
		src->busy->is_barred = true;
		src->busy->barred_until = now + 1; /* asked again */
	}
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
throttle_bar(struct throttle *t, struct throttle_source *src,
    struct throttle_reservation *r, int64_t open_at, int64_t now)
{
	if (r->verdict != THROTTLE_PASS || r->reason != THROTTLE_NEW)
		panic("throttle: barred what does not pass");
	check_open(src, r);
	limiter_give_back(src);
	hold(src, THROTTLE_BARRED, open_at > now ? open_at : now + 1, r);
	take(src, r);
	source_schedule(t, src);
}

void
throttle_rule(struct throttle *t, struct throttle_source *src,
    struct throttle_reservation *r, const struct throttle_reservation *ruling)
{
	if (r->verdict != THROTTLE_REFUSE)
		check_open(src, r);
	if (r->verdict == THROTTLE_HOLD)
		src->hold_reserved--;
	else if (r->verdict == THROTTLE_PASS && r->reason == THROTTLE_KNOWN)
		src->known_reserved--;
	else if (r->verdict == THROTTLE_PASS)
		limiter_give_back(src);
	*r = *ruling;
	if (r->verdict == THROTTLE_PASS && r->reason == THROTTLE_NEW &&
	    !src->policy->paper && src->allowance == 0)
		src->allowance = 1;
	take(src, r);
	source_schedule(t, src);
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
	append(t, src, destination, ticket, TIME_MIN);
	src->is_excused = source_is_long(src);
	limiter_wake(src, now);
	source_settle(t, src, now);
}

void
throttle_append(struct throttle *t, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now)
{
	now = enter(t, src, now);
	append(t, src, destination, ticket, TIME_MIN);
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
