/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of sources: making, finding, walking, new policies, expiry, and the
 * order of what is due over all.
 */
#include "throttle_fixture.h"

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

/* Pages while sources come and go: who is there all the time comes once. */
static void
test_pages(void **state)
{
	enum { STAY = 3000, GUESTS = 4000 };
	struct throttle_policy p = throttle_profile_mail;
	struct throttle *t = throttle_new(7, SIZE_MAX, NULL, NULL);
	struct throttle_page_row rows[100];
	uint8_t *seen = calloc(STAY + GUESTS, 1);
	uint64_t after = 0;
	uint32_t guest = STAY;
	size_t n, calls = 0;

	(void)state;
	for (uint32_t i = 0; i < STAY; i++)
		assert_non_null(throttle_get(t, &i, sizeof(i), &p, 0));
	while ((n = throttle_page(t, after, rows, 100)) > 0) {
		for (size_t i = 0; i < n; i++) {
			size_t len;
			uint32_t id;
			const void *key =
			    throttle_source_key(rows[i].source, &len);

			memcpy(&id, key, sizeof(id));
			assert_true(rows[i].mark > after);
			after = rows[i].mark;
			assert_int_equal(seen[id]++, 0);
		}
		assert_true(after <= UINT64_C(1) << 62);
		/* Shards grow now, and shrink later. */
		for (int i = 0; i < 200 && guest < STAY + GUESTS; i++, guest++)
			assert_non_null(
			    throttle_get(t, &guest, sizeof(guest), &p, 0));
		for (int i = 0; ++calls > 20 && i < 300 && guest > STAY; i++) {
			guest--;
			throttle_forget(
			    t, throttle_find(t, &guest, sizeof(guest)));
		}
	}
	for (uint32_t i = 0; i < STAY; i++)
		assert_int_equal(seen[i], 1);
	assert_true(calls > 20);
	assert_int_equal(throttle_page(t, UINT64_MAX, rows, 100), 0);
	assert_int_equal(throttle_page(t, UINT64_C(1) << 62, rows, 100), 0);
	free(seen);
	throttle_free(t);
}

/* A small set lies behind the key, whatever its length; under a policy with a
 * larger one it moves out, and nothing of it is lost. */
static void
test_set_outgrows_its_slots(void **state)
{
	struct fixture *f = *state;
	struct throttle_policy large = f->p;
	size_t empty = throttle_memory(f->t);

	large.working_set = 40;
	for (size_t len = 0; len < 20; len++) {
		const char *key = "abcdefghijklmnopqrstuvwxyz";
		struct throttle_source *src =
		    throttle_get(f->t, key, len, &f->p, 0);

		for (uint64_t d = 1; d <= 5; d++)
			throttle_learn(f->t, src, d, 0);
		assert_ptr_equal(throttle_get(f->t, key, len, &large, 0), src);
		for (uint64_t d = 6; d <= 42; d++)
			throttle_learn(f->t, src, d, 0);
		for (uint64_t d = 3; d <= 42; d++) {
			throttle_request(f->t, src, d, d, 0, &f->r);
			assert_int_equal(f->r.reason, THROTTLE_KNOWN);
		}
		throttle_request(f->t, src, 1, 1, 0, &f->r);
		assert_int_equal(f->r.reason, THROTTLE_NEW);
		throttle_get(f->t, key, len, &f->p, 0);
		throttle_source_info(f->t, src, 0, &f->info);
		assert_int_equal(f->info.working_set, 4);
		throttle_forget(f->t, src);
	}
	assert_true(throttle_memory(f->t) <= empty + 16 * 64 * 16);
}

/* A machine with ten million of them has to be thought of. */
static void
test_small_sources_are_small(void **state)
{
	struct fixture *f = *state;
	struct throttle *t = throttle_new(1, 10000, NULL, NULL);
	size_t empty = throttle_memory(t);
	char key[24] = "";

	f->p.working_set = 16;
	for (int i = 0; i < 10000; i++) {
		struct throttle_source *src;

		snprintf(
		    key, sizeof(key), "u%hu@example.org", (unsigned short)i);
		src = throttle_get(t, key, sizeof(key), &f->p, 0);
		for (uint64_t d = 1; d <= 16; d++)
			throttle_learn(t, src, d, 0);
	}
	/* With the table, which is between 3/8 and 3/4 full. */
	assert_in_range((throttle_memory(t) - empty) / 10000, 224, 224 + 44);
	throttle_free(t);
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
test_used_limit_is_not_forgotten(void **state)
{
	struct fixture *f = *state;

	f->p.idle_expiry_ms = 1000;
	f->p.limit_count = 1;
	f->p.limits[0] = (struct throttle_limit){1, 60 * MINUTE};
	ask(f, 1, 0);
	assert_int_equal(throttle_expire(f->t, 60 * MINUTE - 1, SIZE_MAX), 0);
	assert_int_equal(throttle_expire(f->t, 60 * MINUTE, SIZE_MAX), 1);
}

static int64_t
earliest(struct fixture *f, struct throttle *t, int64_t now)
{
	struct throttle_source *src;
	int64_t first = INT64_MAX;
	size_t pos = 0;

	while ((src = throttle_each(t, &pos))) {
		throttle_source_info(t, src, now, &f->info);
		if (f->info.next_release < first)
			first = f->info.next_release;
	}
	return first;
}

/* Whatever moves a source's next release, to and fro, the earliest of all is
 * known. */
static void
test_next_due_over_many_sources(void **state)
{
	struct fixture *f = *state;
	struct throttle *t = throttle_new(3, 64, NULL, NULL);
	struct throttle_policy p[64];
	uint64_t seed = 12345;
	int64_t now = 0;

	for (uint32_t i = 0; i < ARRAY_LEN(p); i++) {
		p[i] = f->p;
		p[i].interval_ms = 100 + 37 * i;
	}
	for (uint64_t op = 0; op < 20000; op++) {
		uint32_t i = (seed >> 33) % ARRAY_LEN(p);
		struct throttle_source *src =
		    throttle_get(t, &i, sizeof(i), &p[i], now);

		if (seed >> 40 & 1)
			throttle_request(t, src, op, op, now, &f->r);
		else if (seed >> 41 & 1)
			throttle_thaw(t, src, now);
		else if (seed >> 42 & 1)
			throttle_freeze(t, src, THROTTLE_FREEZE_HAND, now);
		else if (seed >> 43 & 1)
			throttle_remove(t, src, match_odd, NULL, 0);
		else
			throttle_run(t, now, 0);
		now += (seed >> 44 & 3) == 0 ? (seed >> 46) % 90 : 0;
		assert_int_equal(throttle_next_due(t), earliest(f, t, now));
		seed = seed * UINT64_C(6364136223846793005) + 1442695;
	}
	throttle_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_policy_swap),
	    CASE(test_sources),
	    CASE(test_pages),
	    CASE(test_set_outgrows_its_slots),
	    CASE(test_small_sources_are_small),
	    CASE(test_memory_is_accounted),
	    CASE(test_expiry),
	    CASE(test_expiry_in_steps),
	    CASE(test_used_limit_is_not_forgotten),
	    CASE(test_next_due_over_many_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
