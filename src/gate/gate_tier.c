/* SPDX-License-Identifier: BSD-3-Clause */
/* See gate_tier.h. The user pointer of a source in the second throttle is the
 * source in the first. */
#include "gate/gate_tier.h"

#include <stdlib.h>

static struct throttle_source *
owner_of(const struct throttle_source *lane)
{
	return throttle_source_user(lane);
}

struct throttle_source *
tier_of(const struct throttle_source *src)
{
	return source_data(src)->familiar;
}

/* ---- what the throttle tells ---- */

/* Reached, hence in the working set. */
static void
on_release(void *arg, struct throttle_source *lane, uint64_t destination,
    uint64_t ticket)
{
	struct throttle_source *src = owner_of(lane);
	struct gate *g = arg;

	throttle_learn(g->throttle, src, destination, g->now);
	release_add(g, src, destination, ticket, true);
}

static int64_t
may_release(
    void *arg, struct throttle_source *lane, uint64_t destination, int64_t now)
{
	struct throttle_source *src = owner_of(lane);
	int64_t at = shared_may_release(arg, src, SHARE_FAMILIAR, now);

	(void)destination;
	if (at <= now)
		shared_note_alone(arg, src, SHARE_FAMILIAR);
	return at;
}

static void
on_freeze(
    void *arg, struct throttle_source *lane, enum throttle_freeze_reason reason)
{
	(void)reason;
	freeze_on_throttle(arg, owner_of(lane), THROTTLE_FREEZE_FAMILIAR);
}

static void
on_spare(
    void *arg, struct throttle_source *lane, enum throttle_freeze_reason reason)
{
	(void)reason;
	freeze_on_spare(arg, owner_of(lane), THROTTLE_FREEZE_FAMILIAR);
}

static void
on_expire(void *arg, struct throttle_source *lane)
{
	struct throttle_source *src = owner_of(lane);

	(void)arg;
	source_data(src)->familiar = NULL;
	throttle_unpin(src);
}

const struct throttle_callbacks tier_callbacks = {
    .on_release = on_release,
    .may_release = may_release,
    .on_freeze = on_freeze,
    .on_spare = on_spare,
    .on_expire = on_expire,
};

/* ---- life ---- */

struct throttle_source *
tier_get(struct gate *g, struct throttle_source *src, int64_t now)
{
	struct gate_source *data = source_data(src);
	size_t n;
	const void *key = throttle_source_key(src, &n);

	if (data->familiar != NULL)
		return data->familiar;
	data->familiar = throttle_get(
	    g->familiar, key, n, &source_policy(src)->familiar, now);
	if (data->familiar == NULL)
		panic("gate: a source has no place for familiar recipients");
	throttle_source_set_user(data->familiar, src);
	throttle_pin(src);
	throttle_spare(data->familiar, throttle_is_spared(src));
	if (freeze_is_on(src))
		tier_freeze(g, src);
	return data->familiar;
}

void
tier_adapt(struct gate *g, struct throttle_source *src)
{
	struct throttle_source *lane = tier_of(src);
	size_t n;
	const void *key = throttle_source_key(src, &n);

	if (lane == NULL)
		return;
	throttle_get(
	    g->familiar, key, n, &source_policy(src)->familiar, g->now);
	throttle_spare(lane, throttle_is_spared(src));
}

void
tier_forget(struct gate *g, struct throttle_source *src)
{
	if (tier_of(src) != NULL)
		throttle_forget(g->familiar, tier_of(src));
}

void
tier_drop_idle(struct gate *g, struct throttle_source *src, int64_t now)
{
	struct throttle_source *lane = tier_of(src);

	if (lane != NULL && source_data(src)->load == LOAD_DONE &&
	    throttle_stake(g->familiar, lane, now) < THROTTLE_STAKE_SPENT)
		throttle_forget(g->familiar, lane);
}

enum throttle_stake
tier_stake(struct gate *g, struct throttle_source *src, int64_t now)
{
	struct throttle_source *lane = tier_of(src);
	enum throttle_stake mine, other;

	if (lane == NULL)
		return throttle_stake(g->throttle, src, now);
	throttle_unpin(src);
	mine = throttle_stake(g->throttle, src, now);
	throttle_pin(src);
	other = throttle_stake(g->familiar, lane, now);
	return other > THROTTLE_STAKE_KNOWN && other > mine ? other : mine;
}

/* ---- both queues ---- */

void
tier_freeze(struct gate *g, struct throttle_source *src)
{
	bool was_quiet = g->is_quiet;

	if (tier_of(src) == NULL)
		return;
	g->is_quiet = true;
	throttle_freeze(
	    g->familiar, tier_of(src), THROTTLE_FREEZE_FAMILIAR, g->now);
	g->is_quiet = was_quiet;
}

void
tier_thaw(struct gate *g, struct throttle_source *src)
{
	if (tier_of(src) != NULL)
		throttle_thaw(g->familiar, tier_of(src), g->now);
}

uint32_t
tier_queue(struct gate *g, struct throttle_source *src)
{
	struct throttle_source_info info;

	if (tier_of(src) == NULL)
		return 0;
	throttle_source_info(g->familiar, tier_of(src), g->now, &info);
	return info.queue_length;
}

void
tier_info(struct gate *g, struct throttle_source *src,
    const struct policy *policy, int64_t now, struct throttle_source_info *out)
{
	if (src != NULL && tier_of(src) != NULL)
		throttle_source_info(g->familiar, tier_of(src), now, out);
	else
		*out = (struct throttle_source_info){
		    .allowance = policy->familiar.burst,
		    .next_release = INT64_MAX,
		};
}

size_t
tier_remove(struct gate *g, struct throttle_source *src,
    bool (*match)(void *arg, uint64_t destination, uint64_t ticket), void *arg,
    size_t max)
{
	size_t n = throttle_remove(g->throttle, src, match, arg, max);
	size_t familiar = 0;

	if (n > 0)
		shared_note_removed(g, src, SHARE_NEW);
	if (tier_of(src) != NULL && (max == 0 || n < max))
		familiar = throttle_remove(g->familiar, tier_of(src), match,
		    arg, max > 0 ? max - n : 0);
	if (familiar > 0)
		shared_note_removed(g, src, SHARE_FAMILIAR);
	return n + familiar;
}

void
tier_queue_each(const struct throttle_source *src,
    void (*fn)(void *arg, uint64_t destination, uint64_t ticket), void *arg)
{
	throttle_queue_each(src, fn, arg);
	if (tier_of(src) != NULL)
		throttle_queue_each(tier_of(src), fn, arg);
}

/* ---- stored state ---- */

size_t
tier_save(struct gate *g, struct throttle_source *src, int64_t now, void *out,
    size_t cap)
{
	(void)g;
	return tier_of(src) != NULL ? throttle_save(tier_of(src), now, out, cap)
				    : 0;
}

bool
tier_load(struct gate *g, struct throttle_source *src, struct str state,
    int64_t age_ms, int64_t now)
{
	struct throttle_source *lane = tier_get(g, src, now);

	if (throttle_load(g->familiar, lane, state.p, state.n, age_ms, now))
		return true;
	throttle_exhaust(g->familiar, lane, now);
	return false;
}

/* What waits has used up the allowance; a state that knows better was loaded
 * before. */
void
tier_requeue(struct gate *g, struct throttle_source *src, uint64_t destination,
    uint64_t ticket, int64_t now)
{
	bool is_new = tier_of(src) == NULL;
	struct throttle_source *lane = tier_get(g, src, now);

	if (is_new)
		throttle_exhaust(g->familiar, lane, now);
	throttle_requeue(g->familiar, lane, destination, ticket, now);
}

struct queueing {
	struct gate *g;
	struct throttle_source *src;
	int64_t now;
};

static void
requeue(void *arg, uint64_t destination, uint64_t ticket)
{
	struct queueing *q = arg;

	throttle_requeue(
	    q->g->familiar, tier_of(q->src), destination, ticket, q->now);
}

void
tier_copy(struct gate *g, struct throttle_source *src,
    struct throttle_source *from, int64_t now)
{
	struct queueing q = {g, src, now};
	size_t n;
	void *state;

	if (tier_of(from) == NULL)
		return;
	n = throttle_save(tier_of(from), now, NULL, 0);
	state = xmalloc(n);
	throttle_save(tier_of(from), now, state, n);
	if (!tier_load(g, src, (struct str){state, n}, 0, now))
		panic("gate: a snapshot that was just taken is none");
	free(state);
	throttle_queue_each(tier_of(from), requeue, &q);
}
