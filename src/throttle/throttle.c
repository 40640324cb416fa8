/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All sources: making, finding and forgetting them, freeze and thaw, and the
 * run that pays what the limiters owe. Sources that wait for something are in
 * the heap under the moment at which they move next, or under the oldest
 * release that they owe; so releases come in the order of their moments over
 * all sources, however late the run.
 */
#include <string.h>

#include "base/hash.h"
#include "throttle/core.h"
#include "throttle/limiter.h"
#include "throttle/limits.h"
#include "throttle/mem.h"
#include "throttle/working_set.h"

static const struct throttle_callbacks no_callbacks;

struct throttle *
throttle_new(uint64_t seed, size_t max_sources,
    const struct throttle_callbacks *callbacks, void *arg)
{
	struct throttle *t = xcalloc(1, sizeof(*t));

	t->callbacks = callbacks ? callbacks : &no_callbacks;
	t->arg = arg;
	t->seed = seed;
	t->max_sources = max_sources;
	t->now = TIME_MIN;
	t->bytes = mem_taken(sizeof(*t));
	return t;
}

int64_t
source_clamp_now(struct throttle *t, int64_t now)
{
	if (now > TIME_MAX)
		now = TIME_MAX;
	if (now > t->now)
		t->now = now;
	return t->now;
}

struct source_busy *
source_busy(struct throttle *t, struct throttle_source *src)
{
	if (!src->busy)
		src->busy = mem_new(&t->bytes, sizeof(*src->busy));
	return src->busy;
}

static void
drop_busy(struct throttle *t, struct throttle_source *src)
{
	struct source_busy *busy = src->busy;

	if (!busy)
		return;
	t->waiting -= busy->is_counted;
	due_heap_remove(&t->heap, src);
	delay_queue_clear(&busy->queue, &t->bytes);
	time_ring_free(&busy->passes, &t->bytes);
	time_ring_free(&busy->appends, &t->bytes);
	mem_free(&t->bytes, busy, sizeof(*busy));
	src->busy = NULL;
}

/* When throttle_run has to look at it. */
static int64_t
next_due(const struct throttle_source *src)
{
	if (src->is_loading)
		return TIME_NEVER;
	if (src->busy && src->busy->queue.owed > 0)
		return delay_queue_owed_at(&src->busy->queue);
	return limiter_next(src, TIME_MIN);
}

void
source_schedule(struct throttle *t, struct throttle_source *src)
{
	struct source_busy *busy = src->busy;
	bool waits = source_waiting(src) > 0 && !source_is_frozen(src);
	int64_t due;

	if (!busy)
		return;
	t->waiting += waits;
	t->waiting -= busy->is_counted;
	busy->is_counted = waits;
	if (busy->queue.owed + busy->queue.waiting == 0) {
		if (!busy->passes && !busy->appends) {
			drop_busy(t, src);
			return;
		}
		delay_queue_clear(&busy->queue, &t->bytes);
		busy->is_barred = false;
	}
	due = next_due(src);
	if (due == TIME_NEVER)
		due_heap_remove(&t->heap, src);
	else
		due_heap_set(&t->heap, src, due, &t->bytes);
}

void
source_settle(struct throttle *t, struct throttle_source *src, int64_t now)
{
	limiter_advance(t, src, now, now);
	source_schedule(t, src);
}

static uint64_t
hash_of(const struct throttle *t, const void *key, size_t key_len)
{
	return hash_bytes(key, key_len, t->seed);
}

/* These are read next: their lines come in while the caller still works. */
static void
prefetch(const struct throttle_source *src)
{
	if (src->busy) {
		__builtin_prefetch(src->busy);
		__builtin_prefetch((const char *)src->busy + 64);
	}
	if (src->own_slots > 0)
		return;
	for (uint32_t i = 0; i < src->set_len; i += 8)
		__builtin_prefetch(src->set + i);
}

struct throttle_source *
throttle_find(const struct throttle *t, const void *key, size_t key_len)
{
	return source_table_find(
	    &t->table, hash_of(t, key, key_len), key, key_len);
}

static void
check_policy(const struct throttle_policy *policy)
{
	const char *error = throttle_policy_error(policy);

	if (error)
		panic("throttle: policy not checked: %s", error);
}

static void
set_policy(struct throttle *t, struct throttle_source *src,
    const struct throttle_policy *policy, int64_t now)
{
	check_policy(policy);
	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	src->policy = policy;
	if (src->set_len > policy->working_set)
		working_set_drop_oldest(
		    src, src->set_len - policy->working_set);
	limiter_adapt(src, now);
	source_settle(t, src, now);
}

static struct throttle_source *
add_source(struct throttle *t, uint64_t hash, const void *key, size_t key_len,
    const struct throttle_policy *policy, int64_t now)
{
	struct throttle_source *src;
	uint32_t own_slots;

	check_policy(policy);
	own_slots =
	    policy->working_set <= OWN_SLOTS_MAX ? policy->working_set : 0;
	src = mem_new(&t->bytes, source_size(key_len, own_slots));
	src->own_slots = own_slots & 31;
	src->policy = policy;
	src->key_len = key_len & 1023;
	if (key_len > 0)
		memcpy(src->key, key, key_len);
	working_set_init(src);
	src->last_seen = source_clamp_now(t, now);
	limiter_start(src, src->last_seen);
	source_table_add(&t->table, hash, src, &t->bytes);
	return src;
}

struct throttle_source *
throttle_get(struct throttle *t, const void *key, size_t key_len,
    const struct throttle_policy *policy, int64_t now)
{
	uint64_t hash = hash_of(t, key, key_len);
	struct throttle_source *src =
	    source_table_find(&t->table, hash, key, key_len);

	if (src) {
		prefetch(src);
		if (src->policy != policy)
			set_policy(t, src, policy, now);
		return src;
	}
	if (key_len > THROTTLE_KEY_MAX || t->table.count >= t->max_sources)
		return NULL;
	return add_source(t, hash, key, key_len, policy, now);
}

static bool
is_pinned(const struct throttle_source *src)
{
	return src->pass_reserved > 0 || src->hold_reserved > 0 ||
	       src->known_reserved > 0;
}

void
throttle_pin(struct throttle_source *src)
{
	src->known_reserved++;
}

void
throttle_unpin(struct throttle_source *src)
{
	if (src->known_reserved == 0)
		panic("throttle: a pin was taken away twice");
	src->known_reserved--;
}

static void
destroy(struct throttle *t, struct throttle_source *src)
{
	if (t->callbacks->on_expire)
		t->callbacks->on_expire(t->arg, src);
	if (source_is_frozen(src))
		t->frozen--;
	drop_busy(t, src);
	working_set_free(t, src);
	mem_free(&t->bytes, src, source_size(src->key_len, src->own_slots));
}

void
throttle_forget(struct throttle *t, struct throttle_source *src)
{
	if (is_pinned(src))
		panic("throttle: forgot a source with a reservation");
	source_table_remove(
	    &t->table, hash_of(t, src->key, src->key_len), src, &t->bytes);
	destroy(t, src);
}

void
throttle_free(struct throttle *t)
{
	struct throttle_source *src;
	size_t steps = SIZE_MAX;
	uint64_t pos = 0;

	if (!t)
		return;
	while ((src = source_table_each(&t->table, &pos, &steps)))
		destroy(t, src);
	source_table_clear(&t->table, &t->bytes);
	due_heap_clear(&t->heap, &t->bytes);
	free(t);
}

void
source_freeze(struct throttle *t, struct throttle_source *src,
    enum throttle_freeze_reason reason)
{
	src->freeze = reason & 15;
	t->frozen++;
	source_schedule(t, src);
	if (t->callbacks->on_freeze)
		t->callbacks->on_freeze(t->arg, src, reason);
}

void
throttle_freeze(struct throttle *t, struct throttle_source *src,
    enum throttle_freeze_reason reason, int64_t now)
{
	if (source_is_frozen(src))
		return;
	limiter_advance(t, src, TIME_MIN, source_clamp_now(t, now));
	source_freeze(t, src,
	    reason == THROTTLE_FREEZE_NONE ? THROTTLE_FREEZE_HAND : reason);
}

void
throttle_spare(struct throttle_source *src, bool is_spared)
{
	src->is_spared = is_spared;
}

bool
throttle_is_spared(const struct throttle_source *src)
{
	return src->is_spared;
}

void
throttle_set_loading(struct throttle *t, struct throttle_source *src,
    bool is_loading, int64_t now)
{
	if (src->is_loading == is_loading)
		return;
	src->is_loading = is_loading;
	source_settle(t, src, source_clamp_now(t, now));
}

void
throttle_thaw(struct throttle *t, struct throttle_source *src, int64_t now)
{
	if (!source_is_frozen(src))
		return;
	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	src->freeze = THROTTLE_FREEZE_NONE;
	src->is_excused = source_is_long(src);
	t->frozen--;
	/* Somebody has looked at this growth: only new growth counts. */
	if (src->busy) {
		time_ring_free(&src->busy->appends, &t->bytes);
		blasts_forget_growth(src->busy->queue.blasts);
	}
	limiter_wake(src, now);
	source_settle(t, src, now);
}

size_t
throttle_remove(struct throttle *t, struct throttle_source *src,
    bool (*match)(void *arg, uint64_t destination, uint64_t ticket), void *arg,
    size_t max)
{
	size_t removed;

	if (!src->busy)
		return 0;
	/* No `now` is given: the ticks up to the last one seen were the
	 * queue's, and stay so. */
	limiter_advance(t, src, TIME_MIN, t->now);
	removed = delay_queue_remove(
	    &src->busy->queue, match, arg, max > 0 ? max : SIZE_MAX, &t->bytes);
	source_settle(t, src, t->now);
	return removed;
}

/* One release, or a look at the clock of the source that is due first. */
static size_t
run_one(struct throttle *t, struct throttle_source *src, int64_t now)
{
	struct delay_entry entry;

	if (src->busy->queue.owed == 0) {
		limiter_advance(t, src, TIME_MIN, now);
		source_schedule(t, src);
		return 0;
	}
	entry = delay_queue_take(&src->busy->queue, &t->bytes);
	source_schedule(t, src);
	if (t->callbacks->on_release)
		t->callbacks->on_release(
		    t->arg, src, entry.destination, entry.ticket);
	return 1;
}

size_t
throttle_run(struct throttle *t, int64_t now, size_t max_releases)
{
	size_t released = 0;

	now = source_clamp_now(t, now);
	while (due_heap_next(&t->heap) <= now &&
	       (max_releases == 0 || released < max_releases))
		released += run_one(t, t->heap.items[0].src, now);
	return released;
}

int64_t
throttle_next_due(const struct throttle *t)
{
	return due_heap_next(&t->heap);
}

enum throttle_stake
throttle_stake(struct throttle *t, struct throttle_source *src, int64_t now)
{
	bool is_waiting =
	    src->busy && src->busy->queue.owed + src->busy->queue.waiting > 0;

	if (is_pinned(src) || source_is_frozen(src) || is_waiting)
		return THROTTLE_STAKE_BUSY;
	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	source_schedule(t, src);
	if (!limiter_is_idle(src) || !limits_are_idle(src, now))
		return THROTTLE_STAKE_SPENT;
	/* More than a new one has was saved up. */
	if (src->set_len > 0 || src->allowance > src->policy->initial)
		return THROTTLE_STAKE_KNOWN;
	return THROTTLE_STAKE_NONE;
}

/* Silent for long enough, and nothing is lost or given away with it: an
 * allowance that was spent, or a limit that was used, would come back. */
static bool
is_idle(struct throttle *t, struct throttle_source *src, int64_t now)
{
	int64_t expiry = src->policy->idle_expiry_ms;

	return expiry != 0 && now - src->last_seen >= expiry &&
	       throttle_stake(t, src, now) < THROTTLE_STAKE_SPENT &&
	       (t->callbacks->may_expire == NULL ||
		   t->callbacks->may_expire(t->arg, src, now));
}

size_t
throttle_expire(struct throttle *t, int64_t now, size_t steps)
{
	size_t forgotten = 0;

	now = source_clamp_now(t, now);
	do {
		uint64_t pos = t->expire_pos;
		struct throttle_source *src =
		    source_table_each(&t->table, &pos, &steps);

		t->expire_pos = pos;
		if (!src)
			break;
		if (is_idle(t, src, now)) {
			/* Its slot may hold the next one now. */
			t->expire_pos = pos - 1;
			throttle_forget(t, src);
			forgotten++;
		}
	} while (steps > 0);
	return forgotten;
}
