/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One source as bytes. Little endian; all times relative to the moment of the
 * save; a checksum against accident (it does not hold off forgery, so every
 * field is validated as well). Read into a plan first; the source is touched
 * when all of it has been found good.
 *
 *   "WTS" 1 | freeze u8, clock runs u8, set u16 | allowance u32 | passes u32 |
 *   appends u32 | tick in i64 | seen ago i64 | set u64... | passes ago i64... |
 *   appends ago i64... | checksum u64
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "throttle/core.h"
#include "throttle/limiter.h"
#include "throttle/limits.h"
#include "throttle/working_set.h"

#define MAGIC UINT32_C(0x01535457)
#define HEADER 36
#define CHECKSUM 8
#define CHECKSUM_SEED UINT64_C(0x7765697274687274)
#define AGE_MAX (2 * DURATION_MAX)

struct snapshot {
	unsigned freeze, clock, set_len;
	uint32_t allowance, passes, appends;
	int64_t tick_in, seen_ago;
	const unsigned char *set, *pass_ages, *append_ages;
};

static int64_t
age(int64_t at, int64_t now)
{
	int64_t ago = at < now ? now - at : 0;

	return ago < AGE_MAX ? ago : AGE_MAX;
}

static void
put_ring(unsigned char **p, const struct time_ring *ring, int64_t now)
{
	for (uint32_t k = time_ring_len(ring); k > 0; k--)
		bytes_put(p, (uint64_t)age(time_ring_latest(ring, k), now), 8);
}

/* Of what is reserved, as passes of this moment where windows are counted. */
static uint32_t
reserved_passes(const struct throttle_source *src, uint32_t n_passes)
{
	uint32_t room = THROTTLE_COUNT_MAX - n_passes;

	if (src->policy->limit_count == 0)
		return 0;
	return src->pass_reserved < room ? src->pass_reserved : room;
}

/* The same as members of a set whose free room is the allowance: nobody's. */
static uint32_t
reserved_members(const struct throttle_source *src)
{
	uint32_t room = THROTTLE_WORKING_SET_MAX - src->set_len;

	if (!src->policy->paper)
		return 0;
	return src->pass_reserved < room ? src->pass_reserved : room;
}

size_t
throttle_save(
    const struct throttle_source *src, int64_t now, void *out, size_t cap)
{
	const struct time_ring *passes = src->busy ? src->busy->passes : NULL;
	const struct time_ring *appends = src->busy ? src->busy->appends : NULL;
	uint32_t old_passes = time_ring_len(passes);
	uint32_t n_passes = old_passes + reserved_passes(src, old_passes);
	uint32_t n_appends = time_ring_len(appends);
	uint32_t n_set = src->set_len + reserved_members(src);
	size_t size =
	    HEADER + CHECKSUM + 8 * ((size_t)n_set + n_passes + n_appends);
	bool clock = src->next_tick != TIME_NEVER;
	unsigned char *p = out;

	if (size > cap)
		return size;
	if (now > TIME_MAX)
		now = TIME_MAX;
	bytes_put(&p, MAGIC, 4);
	bytes_put(&p, src->freeze, 1);
	bytes_put(&p, clock, 1);
	bytes_put(&p, n_set, 2);
	bytes_put(&p, src->allowance, 4);
	bytes_put(&p, n_passes, 4);
	bytes_put(&p, n_appends, 4);
	bytes_put(&p, clock ? (uint64_t)(src->next_tick - now) : 0, 8);
	bytes_put(&p, (uint64_t)age(src->last_seen, now), 8);
	for (uint32_t i = 0; i < src->set_len; i++)
		bytes_put(&p, src->set[i], 8);
	for (uint32_t i = src->set_len; i < n_set; i++)
		bytes_put(&p, working_set_nobody(src, now, i), 8);
	put_ring(&p, passes, now);
	for (uint32_t i = old_passes; i < n_passes; i++)
		bytes_put(&p, 0, 8);
	put_ring(&p, appends, now);
	bytes_put(&p, hash_bytes(out, size - CHECKSUM, CHECKSUM_SEED), 8);
	return size;
}

/* Ages: none negative, none absurd, oldest first. */
static bool
ages_are_valid(const unsigned char *p, uint32_t n)
{
	uint64_t last = AGE_MAX;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t ago = bytes_get(&p, 8);

		if (ago > last)
			return false;
		last = ago;
	}
	return true;
}

static int
compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool
set_is_valid(const unsigned char *p, uint32_t n)
{
	uint64_t members[THROTTLE_WORKING_SET_MAX];

	for (uint32_t i = 0; i < n; i++)
		members[i] = bytes_get(&p, 8);
	qsort(members, n, sizeof(*members), compare_u64);
	for (uint32_t i = 1; i < n; i++)
		if (members[i] == members[i - 1])
			return false;
	return true;
}

static bool
header_is_valid(const struct snapshot *s)
{
	return s->freeze <= THROTTLE_FREEZE_LAST && s->clock <= 1 &&
	       s->set_len <= THROTTLE_WORKING_SET_MAX &&
	       s->allowance <= BURST_MAX && s->passes <= THROTTLE_COUNT_MAX &&
	       s->appends <= THROTTLE_COUNT_MAX && s->tick_in >= -AGE_MAX &&
	       s->tick_in <= DURATION_MAX && s->seen_ago >= 0 &&
	       s->seen_ago <= AGE_MAX;
}

static bool
parse(const unsigned char *in, size_t n, struct snapshot *s)
{
	const unsigned char *p = in, *end;

	if (n < HEADER + CHECKSUM || bytes_get(&p, 4) != MAGIC)
		return false;
	s->freeze = (unsigned)bytes_get(&p, 1);
	s->clock = (unsigned)bytes_get(&p, 1);
	s->set_len = (unsigned)bytes_get(&p, 2);
	s->allowance = (uint32_t)bytes_get(&p, 4);
	s->passes = (uint32_t)bytes_get(&p, 4);
	s->appends = (uint32_t)bytes_get(&p, 4);
	s->tick_in = (int64_t)bytes_get(&p, 8);
	s->seen_ago = (int64_t)bytes_get(&p, 8);
	if (!header_is_valid(s) ||
	    n != HEADER + CHECKSUM +
		     8 * ((size_t)s->set_len + s->passes + s->appends))
		return false;
	s->set = p;
	s->pass_ages = s->set + 8 * (size_t)s->set_len;
	s->append_ages = s->pass_ages + 8 * (size_t)s->passes;
	end = in + n - CHECKSUM;
	return bytes_get(&end, 8) ==
		   hash_bytes(in, n - CHECKSUM, CHECKSUM_SEED) &&
	       set_is_valid(s->set, s->set_len) &&
	       ages_are_valid(s->pass_ages, s->passes) &&
	       ages_are_valid(s->append_ages, s->appends);
}

/* keep: what the policy of today needs; none: the ages are of no use. */
static void
restore_ring(struct throttle *t, struct time_ring **ring, uint32_t keep,
    const unsigned char *p, uint32_t n, int64_t saved_at)
{
	time_ring_free(ring, &t->bytes);
	for (uint32_t i = 0; i < n && keep > 0; i++)
		time_ring_add(ring, keep, saved_at - (int64_t)bytes_get(&p, 8),
		    &t->bytes);
}

static uint32_t
passes_needed(const struct throttle_policy *p)
{
	uint32_t keep = 0;

	for (uint32_t i = 0; i < p->limit_count; i++)
		if (p->limits[i].count > keep)
			keep = p->limits[i].count;
	return keep;
}

static void
restore_set(struct throttle *t, struct throttle_source *src,
    const unsigned char *p, uint32_t n)
{
	working_set_free(t, src);
	for (uint32_t i = 0; i < n; i++)
		working_set_add(t, src, bytes_get(&p, 8));
}

static void
apply(struct throttle *t, struct throttle_source *src, const struct snapshot *s,
    int64_t saved_at, int64_t now)
{
	struct source_busy *busy = source_busy(t, src);

	t->frozen += (s->freeze != 0) - source_is_frozen(src);
	src->freeze = s->freeze & 15;
	restore_set(t, src, s->set, s->set_len);
	restore_ring(t, &busy->passes, passes_needed(src->policy), s->pass_ages,
	    s->passes, saved_at);
	restore_ring(t, &busy->appends, src->policy->freeze_growth.count,
	    s->append_ages, s->appends, saved_at);
	src->last_seen = saved_at - s->seen_ago;
	src->allowance = (uint16_t)s->allowance;
	src->next_tick = s->clock ? saved_at + s->tick_in : TIME_NEVER;
	/* The policy may have another burst or interval by now. */
	limiter_adapt(src, saved_at);
	limiter_advance(t, src, saved_at, now);
}

void
throttle_exhaust(struct throttle *t, struct throttle_source *src, int64_t now)
{
	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	src->allowance = 0;
	if (src->policy->paper)
		working_set_fill(
		    t, src, src->policy->working_set - src->set_len, now);
	limiter_wake(src, now);
	source_settle(t, src, now);
}

void
throttle_take(
    struct throttle *t, struct throttle_source *src, uint32_t n, int64_t now)
{
	now = source_clamp_now(t, now);
	limiter_advance(t, src, TIME_MIN, now);
	if (!src->policy->paper)
		src->allowance =
		    src->allowance > n ? (uint16_t)(src->allowance - n) : 0;
	else
		working_set_fill(
		    t, src, n < limiter_room(src) ? n : limiter_room(src), now);
	for (uint32_t i = 0; i < n && i < THROTTLE_COUNT_MAX; i++)
		limits_note_pass(t, src, now);
	limiter_wake(src, now);
	source_settle(t, src, now);
}

bool
throttle_load(struct throttle *t, struct throttle_source *src, const void *in,
    size_t n, int64_t age_ms, int64_t now)
{
	struct snapshot s;

	if (!parse(in, n, &s))
		return false;
	now = source_clamp_now(t, now);
	if (age_ms < 0)
		age_ms = 0;
	if (age_ms > AGE_MAX)
		age_ms = AGE_MAX;
	apply(t, src, &s, now - age_ms, now);
	source_settle(t, src, now);
	return true;
}
