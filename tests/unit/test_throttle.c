/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One case per rule of the throttle core: what include/weir/throttle.h
 * promises, read line by line.
 */
#include "throttle_fixture.h"

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

/* Whatever the policy says, up to queue_max, and as ever before the freeze. */
static void
test_reserve_held(void **state)
{
	struct fixture *f = *state;

	throttle_reserve_held(f->t, f->src, 1, 0, &f->r);
	VERDICT(f, PASS, NEW);
	throttle_cancel(f->t, f->src, &f->r, 0);
	fill(f, 1, 7, 0);
	assert_int_equal(f->seen.frozen, 1);
	ask(f, 1, 0);
	VERDICT(f, REFUSE, FROZEN);
	for (uint64_t i = 0; i < 3; i++) {
		throttle_reserve_held(f->t, f->src, 1 + i, 0, &f->r);
		VERDICT(f, HOLD, FROZEN);
		assert_int_equal(f->r.due_ms, INT64_MAX);
		throttle_commit(f->t, f->src, &f->r, 100 + i, 0);
	}
	throttle_reserve_held(f->t, f->src, 10, 0, &f->r);
	VERDICT(f, REFUSE, FULL);
	throttle_thaw(f->t, f->src, 1);
}

static void
test_growth_freezes(void **state)
{
	struct fixture *f = *state;

	f->p.freeze_growth = (struct throttle_limit){3, 1000};
	fill(f, 1, 4, 0);    /* two pass, two wait */
	fill(f, 5, 1, 1000); /* the first two are out of the window */
	assert_int_equal(f->seen.frozen, 0);
	throttle_remove(f->t, f->src, match_all, NULL, 0);
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
	assert_int_equal(throttle_remove(f->t, f->src, match_odd, NULL, 0), 3);
	look(f, 0);
	assert_int_equal(f->info.queue_length, 2);
	assert_true(f->info.frozen);
	throttle_thaw(f->t, f->src, 0);
	assert_int_equal(throttle_run(f->t, 5 * MINUTE, 0), 2);
	assert_int_equal(f->seen.tickets[0], 4);
	assert_int_equal(f->seen.tickets[1], 6);
}

/* The first that match, and the others stay where they are. */
static void
test_remove_some(void **state)
{
	struct fixture *f = *state;

	const uint64_t left[] = {6, 8, 10, 11};

	f->p.freeze_at = 0;
	f->p.queue_max = 100;
	fill(f, 1, 40, 0); /* two pass */
	look(f, 0);
	assert_int_equal(f->info.queue_length, 38);
	assert_int_equal(throttle_remove(f->t, f->src, match_all, NULL, 3), 3);
	assert_int_equal(throttle_remove(f->t, f->src, match_odd, NULL, 2), 2);
	look(f, 0);
	assert_int_equal(f->info.queue_length, 33);
	throttle_reserve(f->t, f->src, 40, 0, &f->r);
	assert_int_equal(f->r.due_ms, 33 * MINUTE);
	throttle_cancel(f->t, f->src, &f->r, 0);
	assert_int_equal(throttle_run(f->t, 4 * MINUTE, 0), 4);
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		assert_int_equal(f->seen.tickets[i], left[i]);
}

/* What was let go and has not been taken stands in front. */
static void
test_remove_some_of_the_owed(void **state)
{
	struct fixture *f = *state;

	f->p.freeze_at = 0;
	fill(f, 1, 8, 0);
	assert_int_equal(throttle_run(f->t, 3 * MINUTE, 1), 1);
	look(f, 3 * MINUTE);
	assert_int_equal(f->info.queue_length, 3);
	assert_int_equal(throttle_remove(f->t, f->src, match_odd, NULL, 1), 1);
	look(f, 3 * MINUTE);
	assert_int_equal(f->info.queue_length, 3);
	assert_int_equal(throttle_remove(f->t, f->src, match_all, NULL, 2), 2);
	look(f, 3 * MINUTE);
	assert_int_equal(f->info.queue_length, 2);
	assert_int_equal(throttle_run(f->t, 5 * MINUTE, 0), 2);
	assert_int_equal(f->seen.tickets[0], 3);
	assert_int_equal(f->seen.tickets[1], 7);
	assert_int_equal(f->seen.tickets[2], 8);
}

static void
test_remove_some_leaves_the_owed(void **state)
{
	struct fixture *f = *state;

	f->p.freeze_at = 0;
	fill(f, 1, 8, 0);
	assert_int_equal(throttle_run(f->t, 4 * MINUTE, 1), 1);
	assert_int_equal(throttle_remove(f->t, f->src, match_all, NULL, 1), 1);
	look(f, 4 * MINUTE);
	assert_int_equal(f->info.queue_length, 2);
	assert_int_equal(throttle_run(f->t, 4 * MINUTE, 0), 2);
	assert_int_equal(f->seen.tickets[0], 3);
	assert_int_equal(f->seen.tickets[1], 5);
	assert_int_equal(f->seen.tickets[2], 6);
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
	throttle_remove(f->t, f->src, match_odd, NULL, 0);
	throttle_reserve(f->t, f->src, 5, 0, &f->r);
	assert_int_equal(f->r.due_ms, 2 * MINUTE);
	throttle_cancel(f->t, f->src, &f->r, 0);
	throttle_reserve(f->t, f->src, 3, 0, &f->r);
	assert_int_equal(f->r.due_ms, 3 * MINUTE);
	throttle_cancel(f->t, f->src, &f->r, 0);
}

static void
test_expected(void **state)
{
	struct fixture *f = *state;
	uint32_t ahead;
	int64_t due;

	fill(f, 1, 2, 0);
	for (uint64_t d = 3; d < 6; d++)
		throttle_request(f->t, f->src, d, d, 0, &f->r);
	assert_true(throttle_expected(f->t, f->src, 5, 0, &ahead, &due));
	assert_int_equal(ahead, 2);
	assert_int_equal(due, 3 * MINUTE);
	/* One has gone meanwhile. */
	assert_true(
	    throttle_expected(f->t, f->src, 5, 2 * MINUTE - 1, &ahead, &due));
	assert_int_equal(ahead, 1);
	assert_int_equal(due, 3 * MINUTE);
	assert_false(throttle_expected(f->t, f->src, 9, 0, &ahead, &due));
	throttle_freeze(f->t, f->src, THROTTLE_FREEZE_HAND, 2 * MINUTE - 1);
	assert_true(
	    throttle_expected(f->t, f->src, 5, 2 * MINUTE, &ahead, &due));
	assert_int_equal(due, INT64_MAX);
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
	assert_int_equal(throttle_remove(f->t, f->src, match_odd, NULL, 0), 1);
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
	f->p.queue_max = 5;
	throttle_reserve(f->t, f->src, 20, 0, &f->r);
	VERDICT(f, REFUSE, FULL);
	throttle_commit(f->t, f->src, &f->r, 20, 0); /* takes nothing */
	for (uint64_t i = 0; i < 5; i++)
		throttle_commit(f->t, f->src, &r[i], i, 0);
	assert_int_equal(f->seen.frozen, 1);
}

static int64_t
ask_again(
    void *arg, struct throttle_source *src, uint64_t destination, int64_t now)
{
	int64_t *open_at = arg;

	(void)src;
	(void)destination;
	return *open_at > now ? *open_at : now;
}

/* The caller's limit holds what the allowance would let pass; it goes when the
 * caller lets it, and freezes nobody before. */
static void
test_bar(void **state)
{
	static const struct throttle_callbacks bar = {.may_release = ask_again};
	struct fixture *f = *state;
	int64_t open_at = 5000;
	struct throttle *t = throttle_new(7, 100, &bar, &open_at);
	struct throttle_source *src = throttle_get(t, "a", 1, &f->p, 0);
	struct throttle_reservation r;

	throttle_reserve(t, src, 1, 0, &r);
	assert_int_equal(r.reason, THROTTLE_NEW);
	throttle_bar(t, src, &r, open_at, 0);
	assert_int_equal(r.verdict, THROTTLE_HOLD);
	assert_int_equal(r.reason, THROTTLE_BARRED);
	assert_int_equal(r.due_ms, 5000);
	throttle_commit(t, src, &r, 1, 0);
	/* 2 of the allowance are left: 6 waiting are 4. */
	for (uint64_t i = 2; i <= 6; i++)
		throttle_request(t, src, i, i, 0, &r);
	throttle_source_info(t, src, 0, &f->info);
	assert_false(f->info.frozen);
	assert_int_equal(throttle_run(t, 4999, 0), 0);
	assert_int_equal(throttle_run(t, 5000, 0), 2);
	assert_int_equal(throttle_run(t, 65000, 0), 1);
	open_at = 1000000;
	assert_int_equal(throttle_run(t, 999999, 0), 0);
	throttle_free(t);
}

/* One message to many: freeze_at is no bound of what it reserves, and all of
 * it is committed, the part behind the freeze as well. */
static void
test_reservations_never_freeze(void **state)
{
	struct fixture *f = *state;
	struct throttle_reservation r[12], late;

	f->p.queue_max = 12;
	fill(f, 1, 2, 0);
	for (uint64_t i = 0; i < 12; i++) {
		throttle_reserve(f->t, f->src, 10 + i, 0, &r[i]);
		assert_int_equal(r[i].verdict, THROTTLE_HOLD);
	}
	assert_int_equal(f->seen.frozen, 0);
	throttle_reserve(f->t, f->src, 30, 0, &late);
	assert_int_equal(late.reason, THROTTLE_FULL);
	for (uint64_t i = 0; i < 12; i++)
		throttle_commit(f->t, f->src, &r[i], i, 0);
	assert_int_equal(f->seen.frozen, 1);
	look(f, 0);
	assert_int_equal(f->info.queue_length, 12);
	/* Thawed with all that: no further. */
	throttle_thaw(f->t, f->src, 1);
	ask(f, 40, 1);
	VERDICT(f, REFUSE, FULL);
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

/* It is longer by what is appended, whatever the caps, and freezes once. */
static void
test_append(void **state)
{
	struct fixture *f = *state;

	f->p.initial = 0;
	f->p.freeze_at = f->p.queue_max = 3;
	f->p.freeze_growth = (struct throttle_limit){2, 1000};
	f->src = throttle_get(f->t, "b", 1, &f->p, 0);
	for (uint64_t i = 1; i <= 5; i++) {
		throttle_append(f->t, f->src, 7, i, 0);
		assert_int_equal(f->seen.frozen, i >= 3);
	}
	assert_int_equal(f->seen.reason, THROTTLE_FREEZE_LENGTH);
	look(f, 0);
	assert_int_equal(f->info.queue_length, 5);
	throttle_thaw(f->t, f->src, 0);
	throttle_append(f->t, f->src, 8, 6, 0);
	assert_int_equal(f->seen.frozen, 1);
	assert_int_equal(throttle_run(f->t, 2 * MINUTE, 0), 6);
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
	throttle_remove(f->t, f->src, match_odd, NULL, 0);
	look(f, 3 * MINUTE);
	assert_int_equal(f->info.queue_length, 196);
	throttle_run(f->t, 52 * MINUTE, 0);
	look(f, 52 * MINUTE);
	assert_int_equal(f->info.queue_length, 0);
}

/* The paper's clock runs from the first request, not from its commit. */
static void
test_paper_clock_starts_with_request(void **state)
{
	struct fixture *f = *state;

	f->src = throttle_get(f->t, "b", 1, &throttle_profile_tcp, 0);
	for (uint64_t d = 1; d <= 5; d++)
		throttle_learn(f->t, f->src, d, 100);
	throttle_reserve(f->t, f->src, 9, 1500, &f->r);
	VERDICT(f, HOLD, QUEUED);
	assert_int_equal(f->r.due_ms, 2500);
	throttle_commit(f->t, f->src, &f->r, 9, 1900);
	assert_int_equal(throttle_next_due(f->t), 2500);
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

/* ---- freeze_at is passed, not met ---- */

/* A reload took freeze_at below what waits: what comes next freezes, and is not
 * refused for ever. */
static void
test_freeze_past_the_mark(void **state)
{
	struct fixture *f = *state;
	struct throttle_policy lower = f->p;

	fill(f, 1, 6, 0);
	lower.freeze_at = 2;
	f->src = throttle_get(f->t, "a", 1, &lower, 0);
	assert_int_equal(f->seen.frozen, 0);
	ask(f, 7, 0);
	VERDICT(f, HOLD, QUEUED);
	assert_int_equal(f->seen.frozen, 1);
	assert_int_equal(f->seen.reason, THROTTLE_FREEZE_LENGTH);
	/* Somebody has looked: only a queue that was shorter freezes anew. */
	throttle_thaw(f->t, f->src, 1);
	ask(f, 8, 1);
	VERDICT(f, REFUSE, FULL);
	throttle_append(f->t, f->src, 8, 8, 1);
	assert_int_equal(f->seen.frozen, 1);
}

static void
ask_blast(struct fixture *f, uint64_t from, uint32_t count, int64_t now)
{
	throttle_blast_begin(f->t, f->src);
	fill(f, from, count, now);
	throttle_blast_end(f->t);
}

static void
test_largest_blast_is_left_out(void **state)
{
	struct fixture *f = *state;

	f->p.queue_max = 100;
	f->p.working_set = 1;
	ask_blast(f, 1, 43, 0); /* two pass */
	look(f, 0);
	assert_int_equal(f->info.queue_length, f->info.blast);
	assert_int_equal(f->info.own_waiting, 0);
	fill(f, 100, 4, 0);
	assert_int_equal(f->seen.frozen, 0);
	look(f, 0);
	assert_int_equal(f->info.own_waiting, 4);
	/* It moves like all else, and counts for less as it does. */
	throttle_run(f->t, 30 * MINUTE, 0);
	look(f, 30 * MINUTE);
	assert_int_equal(f->info.own_waiting, 4);
	assert_true(f->info.blast > 0);
	throttle_run(f->t, 60 * MINUTE, 0);
	look(f, 60 * MINUTE);
	assert_int_equal(f->info.queue_length, 0);
	assert_int_equal(f->info.blast, 0);
	/* The smaller of two counts. */
	ask_blast(f, 200, 10, 60 * MINUTE);
	assert_int_equal(f->seen.frozen, 0);
	ask_blast(f, 300, 4, 60 * MINUTE);
	assert_int_equal(f->seen.frozen, 0);
	ask_blast(f, 400, 1, 60 * MINUTE);
	assert_int_equal(f->seen.frozen, 1);
}

static bool
is_even(void *arg, uint64_t destination, uint64_t ticket)
{
	(void)arg;
	(void)destination;
	return ticket % 2 == 0;
}

static void
test_blast_is_taken_apart(void **state)
{
	struct fixture *f = *state;

	f->p.queue_max = 1000;
	f->p.hold_when_frozen = true;
	f->p.working_set = 1;
	ask_blast(f, 1, 43, 0);
	look(f, 0);
	assert_int_equal(f->info.blast, f->info.queue_length);
	throttle_remove(f->t, f->src, is_even, NULL, 0);
	look(f, 0);
	assert_int_equal(f->info.blast, f->info.queue_length);
	assert_in_range(f->info.blast, 19, 21);
	/* More of them than are told apart: those count. */
	for (uint32_t i = 0; i < 300; i++)
		ask_blast(f, 1000 + i, 1, 0);
	assert_int_equal(f->seen.frozen, 1);
	look(f, 0);
	assert_in_range(f->info.blast, 19, 21);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_known_new_held),
	    CASE(test_allowance_grows_to_burst),
	    CASE(test_least_recently_used_goes),
	    CASE(test_freeze_and_thaw),
	    CASE(test_hold_when_frozen),
	    CASE(test_reserve_held),
	    CASE(test_growth_freezes),
	    CASE(test_freeze_by_hand),
	    CASE(test_callback_may_call_back),
	    CASE(test_remove_never_thaws),
	    CASE(test_remove_some),
	    CASE(test_remove_some_of_the_owed),
	    CASE(test_remove_some_leaves_the_owed),
	    CASE(test_remove_keeps_positions),
	    CASE(test_expected),
	    CASE(test_remove_what_is_owed),
	    CASE(test_max_releases),
	    CASE(test_cancel_gives_back),
	    CASE(test_reservations_count_together),
	    CASE(test_reservations_never_freeze),
	    CASE(test_bar),
	    CASE(test_twice_reserved_is_paid_once),
	    CASE(test_limit_windows),
	    CASE(test_requeue_fires_nothing),
	    CASE(test_append),
	    CASE(test_long_queue),
	    CASE(test_paper_clock_starts_with_request),
	    CASE(test_policy_errors),
	    CASE(test_absurd_times),
	    CASE(test_freeze_past_the_mark),
	    CASE(test_largest_blast_is_left_out),
	    CASE(test_blast_is_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
