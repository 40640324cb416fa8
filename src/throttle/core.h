/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the throttle's modules share: the source and the table of all. Nothing
 * outside src/throttle includes this. One thread per struct throttle.
 *
 * A source is 64 bytes and its key, and behind them its working set where that
 * is small: one block, whose lines are fetched together. A larger one grows by
 * itself. All that only a busy source needs hangs on `busy`, so that millions
 * of idle ones are cheap.
 * Every change of a source begins with limiter_advance and ends with
 * source_settle, so that between two calls nothing is due that was not run.
 */
#ifndef THROTTLE_CORE_H
#define THROTTLE_CORE_H

#include "throttle/delay_queue.h"
#include "throttle/due_heap.h"
#include "throttle/source_table.h"
#include "throttle/time_ring.h"
#include "weir/throttle.h"

#define TIME_NEVER INT64_MAX
/* `now` is cut to this range, and the policy's durations to DURATION_MAX, so
 * that no sum below can overflow. */
#define TIME_MIN (-(INT64_C(1) << 60))
#define TIME_MAX (INT64_C(1) << 61)
#define DURATION_MAX (INT64_C(1) << 40)
#define BURST_MAX UINT16_MAX
#define QUEUE_MAX (UINT32_C(1) << 20)

struct source_busy {
	struct delay_queue queue;
	struct time_ring *passes;  /* new destinations let go */
	struct time_ring *appends; /* to the queue, for freeze_growth */
	int64_t due;               /* as the heap has it */
	int64_t barred_until;      /* when may_release is asked again */
	bool is_barred;            /* the head, by may_release */
	bool is_counted;           /* in throttle_waiting_count */
	uint32_t heap_pos;         /* 1-based; 0: in no heap */
};

struct throttle_source {
	uint64_t *set; /* least recently used first; own_slots, or its own */
	const struct throttle_policy *policy;
	struct source_busy *busy; /* NULL: nothing waits, no ring */
	void *user;
	int64_t next_tick; /* TIME_NEVER: the clock stands */
	int64_t last_seen;
	/* Mail: tokens at hand. pass_reserved are out with reservations; the
	 * two together are the bucket's level, never over burst. */
	uint16_t allowance;
	uint16_t pass_reserved;
	uint32_t hold_reserved;
	/* Somebody looked at a queue as long as freeze_at: it freezes again
	 * when it was shorter in between. */
	uint32_t is_excused : 1;
	uint32_t own_slots : 5;       /* of a set, behind the key */
	uint32_t is_loading : 1;      /* its queue is still to come */
	uint32_t known_reserved : 25; /* only pins the source */
	uint32_t key_len : 10;
	uint32_t set_len : 13;
	uint32_t set_log2 : 4; /* slots allocated, where set is its own */
	uint32_t freeze : 4;   /* enum throttle_freeze_reason */
	uint32_t is_spared : 1;
	unsigned char key[];
};

#define OWN_SLOTS_MAX 16

_Static_assert(sizeof(void *) < 8 || sizeof(struct throttle_source) == 64,
    "a line of the cache");
_Static_assert(
    sizeof(struct throttle_source) % sizeof(uint64_t) == 0, "its slots");

/* Of a source's block, the key, and where its own slots begin. */
static inline size_t
source_slots_at(size_t key_len)
{
	return sizeof(struct throttle_source) +
	       ((key_len + sizeof(uint64_t) - 1) & ~(sizeof(uint64_t) - 1));
}

static inline size_t
source_size(size_t key_len, uint32_t own_slots)
{
	return source_slots_at(key_len) + own_slots * sizeof(uint64_t);
}

struct throttle {
	struct source_table table;
	struct due_heap heap;
	const struct throttle_callbacks *callbacks;
	void *arg;
	uint64_t seed;
	size_t max_sources;
	size_t frozen, waiting; /* waiting: and not frozen */
	size_t bytes;
	/* throttle_blast_begin: appends to it are of one message; NULL: none */
	struct throttle_source *blast_of;
	uint8_t blast; /* its number in that queue; 0: not opened yet */
	int64_t now;   /* the latest seen */
	uint64_t expire_pos;
};

static inline uint32_t
source_waiting(const struct throttle_source *src)
{
	return src->busy ? src->busy->queue.waiting : 0;
}

/* What freeze_at counts: not the largest blast, and not what waits behind a bar
 * that is not the source's own, where as many wait as could have gone. */
static inline uint32_t
source_own_waiting(const struct throttle_source *src)
{
	uint32_t waiting = source_waiting(src);
	const struct blast *largest;

	if (waiting == 0 || src->policy->paper)
		return waiting;
	largest = blasts_largest(src->busy->queue.blasts);
	if (largest)
		waiting -= largest->waiting;
	if (!src->busy->is_barred)
		return waiting;
	return waiting > src->allowance ? waiting - src->allowance : 0;
}

/* Its queue is as long as freeze_at. */
static inline bool
source_is_long(const struct throttle_source *src)
{
	uint32_t freeze_at = src->policy->freeze_at;

	return freeze_at > 0 && source_own_waiting(src) >= freeze_at;
}

static inline bool
source_is_frozen(const struct throttle_source *src)
{
	return src->freeze != THROTTLE_FREEZE_NONE;
}

/* Cuts `now` to the range and to the latest seen. */
int64_t source_clamp_now(struct throttle *t, int64_t now);
/* The busy part, made where it is missing. */
struct source_busy *source_busy(struct throttle *t, struct throttle_source *s);
/* After a change at `now`: releases what may go at once, puts the source in its
 * place in the heap, gives back what it needs no more. */
void source_settle(
    struct throttle *t, struct throttle_source *src, int64_t now);
/* The same for a change that can let nothing go. */
void source_schedule(struct throttle *t, struct throttle_source *src);
/* Sets the state and calls on_freeze; src is settled by then. */
void source_freeze(struct throttle *t, struct throttle_source *src,
    enum throttle_freeze_reason reason);

#endif
