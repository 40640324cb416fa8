/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail mode by its properties, without a model: the bucket's bound in every
 * window, nothing lost, nothing twice, first come first served, the clock
 * going back. WEIR_TEST_SEED repeats a run.
 */
#include "throttle_random.h"

struct tape {
	int64_t at[20000]; /* new destinations that got through, when */
	uint32_t len;
	int64_t now;
	uint64_t last_ticket;
	uint8_t outcome[20000]; /* by ticket: 1 waits, 2 released, 3 removed */
};

static void
note(struct tape *tape, int64_t at)
{
	assert_true(tape->len < ARRAY_LEN(tape->at));
	tape->at[tape->len++] = at;
}

static void
on_tape_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct tape *tape = arg;

	(void)src;
	(void)destination;
	/* Each destination is unique here: strictly in order, each once. */
	assert_int_equal(tape->outcome[ticket], 1);
	assert_true(ticket > tape->last_ticket);
	tape->outcome[ticket] = 2;
	tape->last_ticket = ticket;
	note(tape, tape->now);
}

static const struct throttle_callbacks tape_callbacks = {
    .on_release = on_tape_release,
};

/* In no window of length e more than burst + floor(e / interval). */
static void
check_bound(const struct tape *tape, uint32_t burst, int64_t interval)
{
	for (uint32_t i = 0; i < tape->len; i++) {
		for (uint32_t k = i; k < tape->len; k++) {
			int64_t e = tape->at[k] - tape->at[i];

			assert_true(k - i + 1 <= burst + e / interval);
		}
	}
}

/* Never sleeps past a moment at which something is due, so that releases are
 * seen in their own moment. */
static void
advance(struct throttle *t, struct tape *tape, int64_t until)
{
	while (throttle_next_due(t) <= until) {
		if (throttle_next_due(t) > tape->now)
			tape->now = throttle_next_due(t);
		throttle_run(t, tape->now, 0);
	}
	tape->now = until;
}

static void
bound_round(uint64_t seed, bool reserved)
{
	static struct tape tape;
	struct throttle_policy p = throttle_profile_mail;
	struct throttle_reservation got;
	struct throttle_source *src;
	struct throttle *t;

	memset(&tape, 0, sizeof(tape));
	p.interval_ms = 1 + (int64_t)(draw(&seed) % 50);
	p.burst = 1 + (uint32_t)(draw(&seed) % 12);
	p.initial = p.burst;
	p.freeze_at = 0;
	if (draw(&seed) % 3 == 0)
		p.limits[p.limit_count++] =
		    (struct throttle_limit){1 + (uint32_t)(draw(&seed) % 20),
			1 + (int64_t)(draw(&seed) % 500)};
	t = throttle_new(seed, 1, &tape_callbacks, &tape);
	src = throttle_get(t, "a", 1, &p, 0);
	for (uint32_t i = 1; i <= 700; i++) {
		uint64_t mode = draw(&seed) % 40;
		int64_t step = mode == 0 ? (int64_t)(draw(&seed) % 1000)
					 : (int64_t)(draw(&seed) % 8);

		advance(t, &tape, tape.now + step);
		throttle_reserve(t, src, 1000 + i, tape.now, &got);
		if (reserved)
			advance(
			    t, &tape, tape.now + (int64_t)(draw(&seed) % 40));
		tape.outcome[i] = got.verdict == THROTTLE_HOLD;
		throttle_commit(t, src, &got, i, tape.now);
		if (got.verdict == THROTTLE_PASS)
			note(&tape, tape.now);
	}
	advance(t, &tape, tape.now + 700 * (p.interval_ms + 500));
	assert_int_equal(tape.len, 700); /* nothing was lost */
	check_bound(&tape, p.burst, p.interval_ms);
	throttle_free(t);
}

static void
test_bucket_bound(void **state)
{
	uint64_t seed = from_environment("WEIR_TEST_SEED", hash_random_seed());

	(void)state;
	printf("# WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
	for (uint64_t i = 0; i < 150; i++)
		bound_round(seed + i, i & 1);
}

static bool
match_third(void *arg, uint64_t destination, uint64_t ticket)
{
	struct tape *tape = arg;

	(void)destination;
	if (ticket % 3 != 0)
		return false;
	assert_int_equal(tape->outcome[ticket], 1);
	tape->outcome[ticket] = 3;
	return true;
}

/* Removing, late runs, a clock that goes back: each request has one outcome. */
static void
test_nothing_lost_or_twice(void **state)
{
	static struct tape tape;
	struct throttle_policy p = throttle_profile_mail;
	uint64_t seed = from_environment("WEIR_TEST_SEED", hash_random_seed());
	struct throttle_source *src;
	struct throttle *t = throttle_new(1, 1, &tape_callbacks, &tape);

	(void)state;
	printf("# WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
	p.freeze_at = 0;
	src = throttle_get(t, "a", 1, &p, 0);
	for (uint32_t i = 1; i < 15000; i++) {
		struct throttle_reservation got;
		int64_t back = draw(&seed) % 4 ? 0 : 200000;

		tape.now += (int64_t)(draw(&seed) % 70000);
		throttle_request(t, src, i, i, tape.now - back, &got);
		tape.outcome[i] = got.verdict == THROTTLE_HOLD;
		if (draw(&seed) % 50 == 0)
			throttle_run(t, tape.now - back, draw(&seed) % 30);
		if (draw(&seed) % 2000 == 0)
			throttle_remove(t, src, match_third, &tape, 0);
	}
	throttle_run(t, tape.now + INT64_C(1000000000), 0);
	for (uint32_t i = 1; i < 15000; i++)
		assert_int_not_equal(tape.outcome[i], 1);
	assert_int_equal(throttle_next_due(t), INT64_MAX);
	throttle_free(t);
}

/* A clock that goes back is one that stands: no token, no release, no time
 * in a limit window. */
static void
test_clock_going_back(void **state)
{
	struct throttle_policy p = throttle_profile_mail;
	struct throttle_source_info info;
	struct throttle_reservation got;
	struct throttle_source *src;
	struct throttle *t = throttle_new(1, 1, NULL, NULL);

	(void)state;
	p.limits[p.limit_count++] = (struct throttle_limit){5, 1000};
	src = throttle_get(t, "a", 1, &p, 1000000);
	for (uint64_t d = 1; d <= 5; d++)
		throttle_request(t, src, d, d, 1000000, &got);
	for (int64_t now = 1000000; now > -1000000; now -= 50000) {
		throttle_request(t, src, 6, 6, now, &got);
		assert_int_equal(got.verdict, THROTTLE_HOLD);
		assert_int_equal(got.reason, THROTTLE_LIMITED);
		assert_int_equal(throttle_run(t, now, 0), 0);
		throttle_source_info(t, src, now, &info);
		assert_int_equal(info.allowance, 5);
		assert_int_equal(info.last_seen, 1000000);
	}
	assert_int_equal(throttle_run(t, 1000999, 0), 0);
	assert_true(throttle_run(t, 1001000, 0) > 0);
	throttle_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bucket_bound),
	    cmocka_unit_test(test_nothing_lost_or_twice),
	    cmocka_unit_test(test_clock_going_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
