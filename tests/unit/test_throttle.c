/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One case per rule of the throttle core: what include/weir/throttle.h
 * promises, read line by line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/hash.h"
#include "weir/throttle.h"

#define MINUTE INT64_C(60000)

struct seen {
	uint64_t tickets[512];
	uint32_t released, frozen, expired;
	enum throttle_freeze_reason reason;
	struct throttle *t; /* set: thaw inside on_freeze */
	int64_t now;
};

static void
on_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct seen *seen = arg;

	(void)src;
	(void)destination;
	assert_true(seen->released < ARRAY_LEN(seen->tickets));
	seen->tickets[seen->released++] = ticket;
}

static void
on_freeze(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct seen *seen = arg;

	seen->frozen++;
	seen->reason = reason;
	if (seen->t)
		throttle_thaw(seen->t, src, seen->now);
}

static void
on_expire(void *arg, struct throttle_source *src)
{
	struct seen *seen = arg;

	(void)src;
	seen->expired++;
}

static const struct throttle_callbacks callbacks = {
    on_release, on_freeze, on_expire};

struct fixture {
	struct seen seen;
	struct throttle_policy p;
	struct throttle *t;
	struct throttle_source *src;
	struct throttle_reservation r;
	struct throttle_source_info info;
};

/* Mail: n 4, one a minute, two at once, frozen at 5. */
static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->p = throttle_profile_mail;
	f->p.working_set = 4;
	f->p.burst = f->p.initial = 2;
	f->p.freeze_at = 5;
	f->p.queue_max = 8;
	f->t = throttle_new(7, 100, &callbacks, &f->seen);
	f->src = throttle_get(f->t, "a", 1, &f->p, 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	throttle_free(f->t);
	free(f);
	return 0;
}

static void
ask(struct fixture *f, uint64_t d, int64_t now)
{
	throttle_request(f->t, f->src, d, d, now, &f->r);
}

static void
look(struct fixture *f, int64_t now)
{
	throttle_source_info(f->t, f->src, now, &f->info);
}

#define VERDICT(f, v, why)                                       \
	do {                                                     \
		assert_int_equal((f)->r.verdict, THROTTLE_##v);  \
		assert_int_equal((f)->r.reason, THROTTLE_##why); \
	} while (0)

static void
test_known_new_held(void **state)
{
	struct fixture *f = *state;

	ask(f, 1, 0);
	VERDICT(f, PASS, NEW);
	ask(f, 1, 0);
	VERDICT(f, PASS, KNOWN);
	ask(f, 2, 0);
	VERDICT(f, PASS, NEW);
	ask(f, 3, 10);
	VERDICT(f, HOLD, QUEUED);
	assert_int_equal(f->r.queue_length, 0);
	assert_int_equal(f->r.due_ms, MINUTE);
	ask(f, 4, 20);
	assert_int_equal(f->r.queue_length, 1);
	assert_int_equal(f->r.due_ms, 2 * MINUTE);
	ask(f, 3, 30); /* goes with the first of the same */
	assert_int_equal(f->r.due_ms, MINUTE);
	assert_int_equal(throttle_next_due(f->t), MINUTE);
	assert_int_equal(throttle_run(f->t, MINUTE - 1, 0), 0);
	assert_int_equal(throttle_run(f->t, MINUTE, 0), 2);
	assert_int_equal(throttle_run(f->t, 2 * MINUTE, 0), 1);
	assert_int_equal(throttle_next_due(f->t), INT64_MAX);
	assert_int_equal(f->seen.tickets[2], 4);
}

static void
test_allowance_grows_to_burst(void **state)
{
	struct fixture *f = *state;

	ask(f, 1, 0);
	ask(f, 2, 0);
	look(f, MINUTE - 1);
	assert_int_equal(f->info.allowance, 0);
	look(f, MINUTE);
	assert_int_equal(f->info.allowance, 1);
	look(f, 10 * MINUTE);
	assert_int_equal(f->info.allowance, 2);
	/* The clock stood; it starts with the next one spent. */
	ask(f, 3, 10 * MINUTE + 59999);
	look(f, 11 * MINUTE + 59998);
	assert_int_equal(f->info.allowance, 1);
	look(f, 11 * MINUTE + 59999);
	assert_int_equal(f->info.allowance, 2);
}

static void
test_least_recently_used_goes(void **state)
{
	struct fixture *f = *state;

	for (uint64_t d = 1; d <= 4; d++)
		throttle_learn(f->t, f->src, d, 0);
	ask(f, 1, 0);
	throttle_learn(f->t, f->src, 5, 0);
	ask(f, 1, 0);
	VERDICT(f, PASS, KNOWN);
	ask(f, 2, 0);
	VERDICT(f, PASS, NEW);
	look(f, 0);
	assert_int_equal(f->info.working_set, 4);
}

static void
fill(struct fixture *f, uint64_t from, uint32_t count, int64_t now)
{
	for (uint32_t i = 0; i < count; i++)
		ask(f, from + i, now);
}

static void
test_freeze_and_thaw(void **state)
{
	struct fixture *f = *state;

	fill(f, 1, 6, 0);
	assert_int_equal(f->seen.frozen, 0);
	ask(f, 7, 0);
	VERDICT(f, HOLD, QUEUED);
	assert_int_equal(f->seen.frozen, 1);
	assert_int_equal(f->seen.reason, THROTTLE_FREEZE_LENGTH);
	assert_int_equal(throttle_frozen_count(f->t), 1);
	ask(f, 1, 0); /* not even a known one */
	VERDICT(f, REFUSE, FROZEN);
	assert_int_equal(throttle_run(f->t, 100 * MINUTE, 0), 0);
	look(f, 100 * MINUTE);
	assert_int_equal(f->info.allowance, 0);
	assert_int_equal(f->info.next_release, INT64_MAX);

	throttle_thaw(f->t, f->src, 100 * MINUTE + 1);
	assert_int_equal(throttle_frozen_count(f->t), 0);
	ask(f, 8, 100 * MINUTE + 1);
	VERDICT(f, REFUSE, FULL);
	assert_int_equal(throttle_run(f->t, 101 * MINUTE, 0), 1);
	ask(f, 8, 101 * MINUTE);
	VERDICT(f, HOLD, QUEUED); /* grew to 5 anew */
	assert_int_equal(f->seen.frozen, 2);
}

static void
test_hold_when_frozen(void **state)
{
	struct fixture *f = *state;

	f->p.hold_when_frozen = true;
	fill(f, 1, 7, 0);
	ask(f, 1, 0);
	VERDICT(f, HOLD, FROZEN);
	assert_int_equal(f->r.due_ms, INT64_MAX);
	fill(f, 8, 2, 0);
	VERDICT(f, HOLD, FROZEN);
	ask(f, 10, 0);
	VERDICT(f, REFUSE, FULL);
	assert_int_equal(f->seen.frozen, 1);
	/* Thawed above freeze_at: does not freeze by itself. */
	throttle_thaw(f->t, f->src, 1);
	assert_int_equal(throttle_run(f->t, 2 * MINUTE, 0), 2);
	ask(f, 20, 2 * MINUTE);
	VERDICT(f, HOLD, QUEUED);
	assert_int_equal(f->seen.frozen, 1);
}

static bool
match_all(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)arg;
	(void)destination;
	(void)ticket;
	return true;
}

static bool
match_odd(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)arg;
	(void)destination;
	return ticket & 1;
}

static void
test_growth_freezes(void **state)
{
	struct fixture *f = *state;

	f->p.freeze_growth = (struct throttle_limit){3, 1000};
	fill(f, 1, 4, 0);    /* two pass, two wait */
	fill(f, 5, 1, 1000); /* the first two are out of the window */
	assert_int_equal(f->seen.frozen, 0);
	throttle_remove(f->t, f->src, match_all, NULL);
	fill(f, 6, 1, 1998); /* removed ones were growth all the same */
	assert_int_equal(f->seen.frozen, 0);
	fill(f, 7, 1, 1999);
	assert_int_equal(f->seen.frozen, 1);
	assert_int_equal(f->seen.reason, THROTTLE_FREEZE_GROWTH);
	throttle_thaw(f->t, f->src, 1999);
	fill(f, 8, 1, 1999); /* only growth since the thaw counts */
	assert_int_equal(f->seen.frozen, 1);
}

static void
test_freeze_by_hand(void **state)
{
	struct fixture *f = *state;

	throttle_freeze(f->t, f->src, THROTTLE_FREEZE_HAND, 0);
	throttle_freeze(f->t, f->src, THROTTLE_FREEZE_HAND, 0);
	assert_int_equal(f->seen.frozen, 1);
	ask(f, 1, 0);
	VERDICT(f, REFUSE, FROZEN);
	throttle_thaw(f->t, f->src, 0);
	ask(f, 1, 0);
	VERDICT(f, PASS, NEW);
}

static void
test_callback_may_call_back(void **state)
{
	struct fixture *f = *state;

	f->seen.t = f->t;
	fill(f, 1, 7, 0);
	assert_int_equal(f->seen.frozen, 1);
	look(f, 0);
	assert_false(f->info.frozen);
	assert_int_equal(throttle_run(f->t, MINUTE, 0), 1);
}

static void
test_remove_never_thaws(void **state)
{
	struct fixture *f = *state;

	fill(f, 1, 7, 0);
	assert_int_equal(throttle_remove(f->t, f->src, match_odd, NULL), 3);
	look(f, 0);
	assert_int_equal(f->info.queue_length, 2);
	assert_true(f->info.frozen);
	throttle_thaw(f->t, f->src, 0);
	assert_int_equal(throttle_run(f->t, 5 * MINUTE, 0), 2);
	assert_int_equal(f->seen.tickets[0], 4);
	assert_int_equal(f->seen.tickets[1], 6);
}

static void
test_remove_keeps_positions(void **state)
{
	struct fixture *f = *state;
	uint64_t ds[] = {3, 4, 3, 5};

	fill(f, 1, 2, 0);
	for (uint32_t i = 0; i < ARRAY_LEN(ds); i++)
		throttle_request(f->t, f->src, ds[i], i + 1, 0, &f->r);
	/* Left: 4 (ticket 2), 5 (ticket 4). */
	throttle_remove(f->t, f->src, match_odd, NULL);
	throttle_reserve(f->t, f->src, 5, 0, &f->r);
	assert_int_equal(f->r.due_ms, 2 * MINUTE);
	throttle_cancel(f->t, f->src, &f->r, 0);
	throttle_reserve(f->t, f->src, 3, 0, &f->r);
	assert_int_equal(f->r.due_ms, 3 * MINUTE);
	throttle_cancel(f->t, f->src, &f->r, 0);
}

/* Let go at its tick, not yet told: can still be taken out, and is not told
 * then; no decision counts it as waiting. */
static void
test_remove_what_is_owed(void **state)
{
	struct fixture *f = *state;

	fill(f, 1, 4, 0);
	look(f, 2 * MINUTE);
	assert_int_equal(f->info.queue_length, 0);
	assert_int_equal(f->info.next_release, MINUTE);
	assert_int_equal(throttle_remove(f->t, f->src, match_odd, NULL), 1);
	assert_int_equal(throttle_run(f->t, 2 * MINUTE, 0), 1);
	assert_int_equal(f->seen.tickets[0], 4);
}

static void
test_max_releases(void **state)
{
	struct fixture *f = *state;

	fill(f, 1, 6, 0);
	assert_int_equal(throttle_run(f->t, 4 * MINUTE, 3), 3);
	assert_true(throttle_next_due(f->t) <= 4 * MINUTE);
	assert_int_equal(throttle_run(f->t, 4 * MINUTE, 3), 1);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(f->seen.tickets[i], 3 + i);
}

static void
test_cancel_gives_back(void **state)
{
	struct fixture *f = *state;
	struct throttle_reservation pass[2], held[3];

	for (uint64_t i = 0; i < 2; i++)
		throttle_reserve(f->t, f->src, 1 + i, 0, &pass[i]);
	for (uint64_t i = 0; i < 3; i++)
		throttle_reserve(f->t, f->src, 3 + i, 0, &held[i]);
	assert_int_equal(held[2].verdict, THROTTLE_HOLD);
	assert_int_equal(held[2].queue_length, 2);
	for (uint64_t i = 1; i < 3; i++)
		throttle_cancel(f->t, f->src, &held[i], 0);
	throttle_commit(f->t, f->src, &held[0], 3, 0);
	look(f, 0);
	assert_int_equal(f->info.queue_length, 1);
	/* A token comes back while one waits: it is due at once. */
	throttle_cancel(f->t, f->src, &pass[0], 5);
	assert_int_equal(throttle_next_due(f->t), 5);
	assert_int_equal(throttle_run(f->t, 5, 0), 1);
	throttle_commit(f->t, f->src, &pass[1], 2, 5);
	look(f, 5);
	assert_int_equal(f->info.allowance, 0);
	assert_int_equal(f->info.working_set, 2);
}

static void
test_reservations_count_together(void **state)
{
	struct fixture *f = *state;
	struct throttle_reservation r[5];

	fill(f, 1, 2, 0);
	for (uint64_t i = 0; i < 5; i++) {
		throttle_reserve(f->t, f->src, 10 + i, 0, &r[i]);
		assert_int_equal(r[i].verdict, THROTTLE_HOLD);
	}
	throttle_reserve(f->t, f->src, 20, 0, &f->r);
	VERDICT(f, REFUSE, FULL);
	throttle_commit(f->t, f->src, &f->r, 20, 0); /* takes nothing */
	for (uint64_t i = 0; i < 5; i++)
		throttle_commit(f->t, f->src, &r[i], i, 0);
	assert_int_equal(f->seen.frozen, 1);
}

static void
test_twice_reserved_is_paid_once(void **state)
{
	struct fixture *f = *state;
	struct throttle_reservation a, b;

	throttle_reserve(f->t, f->src, 1, 0, &a);
	throttle_reserve(f->t, f->src, 1, 0, &b);
	assert_int_equal(b.reason, THROTTLE_NEW);
	throttle_commit(f->t, f->src, &a, 1, 0);
	look(f, 0);
	assert_int_equal(f->info.allowance, 0);
	throttle_commit(f->t, f->src, &b, 2, 0);
	look(f, 0);
	assert_int_equal(f->info.allowance, 1);
	assert_int_equal(f->info.working_set, 1);
}

static void
test_limit_windows(void **state)
{
	struct fixture *f = *state;

	f->p.limit_count = 2;
	f->p.limits[0] = (struct throttle_limit){0, 0}; /* off */
	f->p.limits[1] = (struct throttle_limit){1, 500};
	ask(f, 1, 0);
	ask(f, 2, 100);
	VERDICT(f, HOLD, LIMITED);
	assert_int_equal(f->r.limit_index, 1);
	assert_int_equal(f->r.due_ms, 500);
	ask(f, 3, 100);
	assert_int_equal(f->r.due_ms, MINUTE); /* the last token is 2's */
	look(f, 499);
	assert_int_equal(f->info.limit_used[1], 1);
	assert_int_equal(f->info.next_release, 500);
	assert_int_equal(throttle_run(f->t, 499, 0), 0);
	assert_int_equal(throttle_run(f->t, 500, 0), 1);
	assert_int_equal(throttle_run(f->t, MINUTE - 1, 0), 0);
	assert_int_equal(throttle_run(f->t, MINUTE, 0), 1);
}

static void
test_requeue_fires_nothing(void **state)
{
	struct fixture *f = *state;

	f->p.freeze_growth = (struct throttle_limit){2, 1000};
	f->p.initial = 0;
	f->src = throttle_get(f->t, "b", 1, &f->p, 0);
	for (uint64_t i = 0; i < 20; i++)
		throttle_requeue(f->t, f->src, i, i, 0);
	assert_int_equal(f->seen.frozen, 0);
	look(f, 0);
	assert_int_equal(f->info.queue_length, 20);
	assert_int_equal(throttle_run(f->t, 20 * MINUTE, 0), 20);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(f->seen.tickets[i], i);
}

static void
count_entry(void *arg, uint64_t destination, uint64_t ticket)
{
	uint64_t *last = arg;

	(void)destination;
	assert_true(ticket > *last);
	*last = ticket;
}

static void
test_long_queue(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	f->p.freeze_at = 0;
	f->p.queue_max = 1000;
	f->p.initial = 0;
	f->src = throttle_get(f->t, "b", 1, &f->p, 0);
	for (uint64_t i = 1; i <= 400; i++)
		throttle_request(f->t, f->src, 1000 + i % 100, i, 0, &f->r);
	assert_int_equal(f->r.due_ms, 100 * MINUTE);
	throttle_queue_each(f->src, count_entry, &last);
	assert_int_equal(last, 400);
	assert_int_equal(throttle_run(f->t, 3 * MINUTE, 0), 12);
	assert_int_equal(f->seen.tickets[0], 1);
	assert_int_equal(f->seen.tickets[1], 101);
	assert_int_equal(f->seen.tickets[4], 2);
	throttle_remove(f->t, f->src, match_odd, NULL);
	look(f, 3 * MINUTE);
	assert_int_equal(f->info.queue_length, 196);
	throttle_run(f->t, 52 * MINUTE, 0);
	look(f, 52 * MINUTE);
	assert_int_equal(f->info.queue_length, 0);
}

static void
test_policy_swap(void **state)
{
	struct fixture *f = *state;
	struct throttle_policy small = f->p, paper = throttle_profile_tcp;

	for (uint64_t d = 1; d <= 4; d++)
		throttle_learn(f->t, f->src, d, 0);
	small.working_set = 2;
	small.burst = small.initial = 1;
	assert_ptr_equal(throttle_get(f->t, "a", 1, &small, 0), f->src);
	look(f, 0);
	assert_int_equal(f->info.working_set, 2);
	assert_int_equal(f->info.allowance, 1);
	ask(f, 4, 0);
	VERDICT(f, PASS, KNOWN);
	throttle_get(f->t, "a", 1, &paper, 0);
	look(f, 0);
	assert_int_equal(f->info.allowance, 3);
	throttle_get(f->t, "a", 1, &f->p, 0);
	look(f, 0);
	assert_int_equal(f->info.allowance, 0);
	look(f, 2 * MINUTE);
	assert_int_equal(f->info.allowance, 2);
}

static void
test_sources(void **state)
{
	struct fixture *f = *state;
	char key[THROTTLE_KEY_MAX + 1] = "";
	size_t pos = 0, walked = 0, len;

	for (uint32_t i = 1; i < 100; i++)
		assert_non_null(throttle_get(f->t, &i, sizeof(i), &f->p, 0));
	assert_null(throttle_get(f->t, "more", 4, &f->p, 0));
	assert_null(throttle_find(f->t, "more", 4));
	assert_memory_equal(throttle_source_key(f->src, &len), "a", 1);
	assert_int_equal(len, 1);
	while (throttle_each(f->t, &pos))
		walked++;
	assert_int_equal(walked, 100);
	throttle_forget(f->t, f->src);
	assert_int_equal(f->seen.expired, 1);
	assert_null(throttle_find(f->t, "a", 1));
	assert_null(throttle_get(f->t, key, sizeof(key), &f->p, 0));
	assert_non_null(throttle_get(f->t, key, sizeof(key) - 1, &f->p, 0));
}

static void
test_memory_is_accounted(void **state)
{
	struct fixture *f = *state;
	size_t empty = throttle_memory(f->t);
	struct throttle_source *src;

	f->p.limit_count = 1;
	f->p.limits[0] = (struct throttle_limit){100, 1000};
	f->p.freeze_growth = (struct throttle_limit){1000, 1000};
	for (uint32_t round = 0; round < 3; round++) {
		src = throttle_get(f->t, "b", 1, &f->p, 0);
		for (uint64_t d = 0; d < 6; d++)
			throttle_request(f->t, src, d, d, 0, &f->r);
		throttle_forget(f->t, src);
		if (round == 0) /* table and heap were grown */
			empty = throttle_memory(f->t);
		assert_int_equal(throttle_memory(f->t), empty);
	}
}

static void
test_expiry(void **state)
{
	struct fixture *f = *state;
	struct throttle_reservation known;

	f->p.idle_expiry_ms = 1000;
	ask(f, 1, 0);
	assert_int_equal(throttle_expire(f->t, 999, SIZE_MAX), 0);
	/* Spent allowance would come back with a new source: not yet. */
	assert_int_equal(throttle_expire(f->t, 2000, SIZE_MAX), 0);
	throttle_reserve(f->t, f->src, 1, MINUTE, &known);
	assert_int_equal(throttle_expire(f->t, 9 * MINUTE, SIZE_MAX), 0);
	throttle_cancel(f->t, f->src, &known, 9 * MINUTE);
	throttle_freeze(f->t, f->src, THROTTLE_FREEZE_HAND, 9 * MINUTE);
	assert_int_equal(throttle_expire(f->t, 19 * MINUTE, SIZE_MAX), 0);
	throttle_thaw(f->t, f->src, 19 * MINUTE);
	throttle_requeue(f->t, f->src, 9, 9, 19 * MINUTE);
	assert_int_equal(throttle_expire(f->t, 29 * MINUTE, SIZE_MAX), 0);
	throttle_run(f->t, 29 * MINUTE, 0);
	assert_int_equal(throttle_expire(f->t, 39 * MINUTE, SIZE_MAX), 1);
	assert_int_equal(f->seen.expired, 1);
	assert_int_equal(throttle_source_count(f->t), 0);
}

static void
test_expiry_in_steps(void **state)
{
	struct fixture *f = *state;
	struct throttle *t = throttle_new(3, 5000, NULL, NULL);
	size_t forgotten = 0;

	f->p.idle_expiry_ms = 1000;
	for (uint32_t i = 0; i < 5000; i++)
		throttle_get(t, &i, sizeof(i), &f->p, 0);
	for (uint32_t i = 0; i < 5000; i += 2)
		throttle_learn(t, throttle_find(t, &i, sizeof(i)), i, 5000);
	assert_true(throttle_expire(t, 5500, 10) <= 10);
	for (uint32_t i = 0; i < 1000; i++)
		forgotten += throttle_expire(t, 5500, 64);
	assert_true(forgotten >= 2490);
	assert_int_equal(throttle_source_count(t), 2500);
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(
		    throttle_find(t, &i, sizeof(i)) != NULL, i % 2 == 0);
	throttle_free(t);
}

static void
test_policy_errors(void **state)
{
	struct throttle_policy p = throttle_profile_mail;

	(void)state;
	assert_null(throttle_policy_error(&throttle_profile_tcp));
	assert_null(throttle_policy_error(&throttle_profile_udp));
	assert_null(throttle_policy_error(&p));
	p.initial = p.burst + 1;
	assert_non_null(throttle_policy_error(&p));
	p = throttle_profile_mail;
	p.working_set = 0;
	assert_non_null(throttle_policy_error(&p));
	p = throttle_profile_mail;
	p.interval_ms = 0;
	assert_non_null(throttle_policy_error(&p));
	p = throttle_profile_mail;
	p.limit_count = THROTTLE_LIMITS_MAX + 1;
	assert_non_null(throttle_policy_error(&p));
	p.limit_count = 1;
	p.limits[0] = (struct throttle_limit){THROTTLE_COUNT_MAX + 1, 1};
	assert_non_null(throttle_policy_error(&p));
	p.limits[0] = (struct throttle_limit){1, 0};
	assert_non_null(throttle_policy_error(&p));
	p = throttle_profile_mail;
	p.queue_max = p.freeze_at - 1;
	assert_non_null(throttle_policy_error(&p));
}

/* Times at the ends of int64_t overflow nothing. */
static void
test_absurd_times(void **state)
{
	struct fixture *f = *state;

	ask(f, 1, INT64_MIN);
	ask(f, 2, INT64_MIN);
	ask(f, 3, INT64_MIN);
	VERDICT(f, HOLD, QUEUED);
	assert_int_equal(throttle_run(f->t, INT64_MAX, 0), 1);
	ask(f, 4, INT64_MAX);
	VERDICT(f, PASS, NEW);
	look(f, INT64_MAX);
	assert_int_equal(f->info.allowance, 1);
}

/* ---- snapshots ---- */

static struct throttle_source *
other(struct fixture *f)
{
	return throttle_get(f->t, "other", 5, &f->p, 0);
}

static void
make_rich(struct fixture *f)
{
	f->p.limit_count = 1;
	f->p.limits[0] = (struct throttle_limit){3, 10 * MINUTE};
	f->p.freeze_growth = (struct throttle_limit){7, 1000};
	fill(f, 1, 4, 0);
	throttle_run(f->t, MINUTE, 0);
	throttle_freeze(f->t, f->src, THROTTLE_FREEZE_HAND, MINUTE + 5);
}

static void
test_snapshot_round_trip(void **state)
{
	struct fixture *f = *state;
	struct throttle_source *twin;
	unsigned char bytes[1024], again[1024];
	size_t n;

	make_rich(f);
	n = throttle_save(f->src, 2 * MINUTE, NULL, 0);
	assert_true(n < sizeof(bytes));
	bytes[n] = 0xaa;
	assert_int_equal(
	    throttle_save(f->src, 2 * MINUTE, bytes, sizeof(bytes)), n);
	assert_int_equal(bytes[n], 0xaa);
	twin = other(f);
	assert_true(throttle_load(f->t, twin, bytes, n, 0, 2 * MINUTE));
	assert_int_equal(throttle_frozen_count(f->t), 2);
	assert_int_equal(f->seen.frozen, 1); /* an old freeze, not a new one */
	throttle_source_info(f->t, f->src, 2 * MINUTE, &f->info);
	assert_int_equal(f->info.limit_used[0], 3);
	throttle_source_info(f->t, twin, 2 * MINUTE, &f->info);
	assert_true(f->info.frozen);
	assert_int_equal(f->info.working_set, 3);
	assert_int_equal(f->info.limit_used[0], 3);
	f->src = other(f);
	look(f, 2 * MINUTE);
	assert_int_equal(throttle_save(twin, 2 * MINUTE, again, 1024), n);
	/* Twelve minutes later the windows are empty. */
	assert_true(
	    throttle_load(f->t, twin, bytes, n, 12 * MINUTE, 2 * MINUTE));
	look(f, 2 * MINUTE);
	assert_int_equal(f->info.limit_used[0], 0);
	assert_int_equal(f->info.last_seen, -12 * MINUTE);
}

static void
test_snapshot_allowance_grows_with_age(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[1024];
	size_t n;

	fill(f, 1, 2, 0);
	n = throttle_save(f->src, 30000, bytes, sizeof(bytes));
	f->src = other(f);
	assert_true(throttle_load(f->t, f->src, bytes, n, 29999, 0));
	look(f, 0);
	assert_int_equal(f->info.allowance, 0);
	look(f, 1);
	assert_int_equal(f->info.allowance, 1);
}

/* Any flipped bit, any cut: refused, and the source is as it was. */
static void
test_snapshot_damaged(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[1024], before[1024], after[1024];
	struct throttle_source *twin = other(f);
	size_t n, m;

	make_rich(f);
	throttle_learn(f->t, twin, 99, 2 * MINUTE);
	n = throttle_save(f->src, 2 * MINUTE, bytes, sizeof(bytes));
	m = throttle_save(twin, 2 * MINUTE, before, sizeof(before));
	for (size_t i = 0; i < 8 * n; i++) {
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
		assert_false(
		    throttle_load(f->t, twin, bytes, n, 0, 2 * MINUTE));
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	for (size_t cut = 0; cut < n; cut++)
		assert_false(
		    throttle_load(f->t, twin, bytes, cut, 0, 2 * MINUTE));
	assert_int_equal(
	    throttle_save(twin, 2 * MINUTE, after, sizeof(after)), m);
	assert_memory_equal(before, after, m);
	assert_true(throttle_load(f->t, twin, bytes, n, 0, 2 * MINUTE));
}

/* A forged checksum does not help against the checks of each field. */
static void
test_snapshot_forged(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[1024], forged[1024];
	uint32_t offsets[] = {0, 4, 5, 7, 10, 15, 19, 27, 35};
	size_t n;

	make_rich(f);
	n = throttle_save(f->src, 2 * MINUTE, bytes, sizeof(bytes));
	for (uint32_t i = 0; i < ARRAY_LEN(offsets); i++) {
		uint64_t sum;

		memcpy(forged, bytes, n);
		forged[offsets[i]] ^= 0x7f;
		sum = hash_bytes(forged, n - 8, UINT64_C(0x7765697274687274));
		for (uint32_t k = 0; k < 8; k++)
			forged[n - 8 + k] = (unsigned char)(sum >> 8 * k);
		assert_false(
		    throttle_load(f->t, other(f), forged, n, 0, 2 * MINUTE));
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_known_new_held),
	    CASE(test_allowance_grows_to_burst),
	    CASE(test_least_recently_used_goes),
	    CASE(test_freeze_and_thaw),
	    CASE(test_hold_when_frozen),
	    CASE(test_growth_freezes),
	    CASE(test_freeze_by_hand),
	    CASE(test_callback_may_call_back),
	    CASE(test_remove_never_thaws),
	    CASE(test_remove_keeps_positions),
	    CASE(test_remove_what_is_owed),
	    CASE(test_max_releases),
	    CASE(test_cancel_gives_back),
	    CASE(test_reservations_count_together),
	    CASE(test_twice_reserved_is_paid_once),
	    CASE(test_limit_windows),
	    CASE(test_requeue_fires_nothing),
	    CASE(test_long_queue),
	    CASE(test_policy_swap),
	    CASE(test_sources),
	    CASE(test_memory_is_accounted),
	    CASE(test_expiry),
	    CASE(test_expiry_in_steps),
	    CASE(test_policy_errors),
	    CASE(test_absurd_times),
	    CASE(test_snapshot_round_trip),
	    CASE(test_snapshot_allowance_grows_with_age),
	    CASE(test_snapshot_damaged),
	    CASE(test_snapshot_forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
