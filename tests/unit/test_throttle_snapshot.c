/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots: a round trip keeps everything, damage and forgery change nothing.
 */
#include "throttle_fixture.h"

#include "base/hash.h"

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

static void
put_checksum(unsigned char *bytes, size_t n)
{
	uint64_t sum = hash_bytes(bytes, n - 8, UINT64_C(0x7765697274687274));

	for (uint32_t k = 0; k < 8; k++)
		bytes[n - 8 + k] = (unsigned char)(sum >> 8 * k);
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
		memcpy(forged, bytes, n);
		forged[offsets[i]] ^= 0x7f;
		put_checksum(forged, n);
		assert_false(
		    throttle_load(f->t, other(f), forged, n, 0, 2 * MINUTE));
	}
	/* A member of the set twice. */
	memcpy(forged, bytes, n);
	memcpy(forged + 36, forged + 44, 8);
	put_checksum(forged, n);
	assert_false(throttle_load(f->t, other(f), forged, n, 0, 2 * MINUTE));
	/* Passes in no order: the set has 3 members, then come 3 ages. */
	memcpy(forged, bytes, n);
	memset(forged + 36 + 3 * 8, 0, 8);
	put_checksum(forged, n);
	assert_false(throttle_load(f->t, other(f), forged, n, 0, 2 * MINUTE));
	put_checksum(bytes, n);
	assert_true(throttle_load(f->t, other(f), bytes, n, 0, 2 * MINUTE));
}

/* What is reserved to pass is gone, as if it had been committed. */
static void
test_snapshot_of_reserved(void **state)
{
	struct fixture *f = *state;
	struct throttle_reservation r[2];
	unsigned char bytes[1024];
	size_t n;

	f->p.limit_count = 1;
	f->p.limits[0] = (struct throttle_limit){3, 10 * MINUTE};
	throttle_reserve(f->t, f->src, 1, 0, &r[0]);
	throttle_reserve(f->t, f->src, 2, 0, &r[1]);
	n = throttle_save(f->src, 0, bytes, sizeof(bytes));
	assert_true(n <= sizeof(bytes));
	throttle_cancel(f->t, f->src, &r[0], 0);
	throttle_cancel(f->t, f->src, &r[1], 0);
	f->src = other(f);
	assert_true(throttle_load(f->t, f->src, bytes, n, 0, 0));
	look(f, 0);
	assert_int_equal(f->info.allowance, 0);
	assert_int_equal(f->info.limit_used[0], 2);
	look(f, MINUTE); /* the clock runs */
	assert_int_equal(f->info.allowance, 1);
}

/* The paper's allowance is the room in the set. */
static void
test_snapshot_of_reserved_paper(void **state)
{
	struct fixture *f = *state;
	struct throttle_policy p = throttle_profile_tcp;
	struct throttle_reservation r[3];
	unsigned char bytes[1024];
	size_t n;

	f->src = throttle_get(f->t, "p", 1, &p, 0);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 2; i++)
			throttle_reserve(
			    f->t, f->src, 10 * round + i, 0, &r[i]);
		n = throttle_save(f->src, 0, bytes, sizeof(bytes));
		assert_true(n <= sizeof(bytes));
		throttle_cancel(f->t, f->src, &r[0], 0);
		throttle_cancel(f->t, f->src, &r[1], 0);
		f->src = throttle_get(f->t, &round, sizeof(round), &p, 0);
		assert_true(throttle_load(f->t, f->src, bytes, n, 0, 0));
		look(f, 0);
		assert_int_equal(f->info.allowance, 3 - 2 * round);
	}
	throttle_exhaust(f->t, f->src, 0);
	look(f, 0);
	assert_int_equal(f->info.allowance, 0);
	n = throttle_save(f->src, 0, bytes, sizeof(bytes));
	assert_true(throttle_load(f->t, f->src, bytes, n, 0, 0));
}

static void
test_exhaust(void **state)
{
	struct fixture *f = *state;

	throttle_exhaust(f->t, f->src, 0);
	ask(f, 1, 0);
	assert_int_equal(f->r.verdict, THROTTLE_HOLD);
	assert_int_equal(throttle_run(f->t, MINUTE - 1, 0), 0);
	assert_int_equal(throttle_run(f->t, MINUTE, 0), 1);
}

static void
test_take(void **state)
{
	struct fixture *f = *state;
	struct throttle_source_info info;

	throttle_source_info(f->t, f->src, 0, &info);
	throttle_take(f->t, f->src, info.allowance - 1, 0);
	ask(f, 1, 0);
	assert_int_equal(f->r.verdict, THROTTLE_PASS);
	ask(f, 2, 0);
	assert_int_equal(f->r.verdict, THROTTLE_HOLD);
	/* More than there is left is no debt. */
	throttle_take(f->t, f->src, 1000000, 0);
	assert_int_equal(throttle_run(f->t, MINUTE - 1, 0), 0);
	assert_int_equal(throttle_run(f->t, MINUTE, 0), 1);
}

static void
test_take_counts_in_the_windows(void **state)
{
	struct fixture *f = *state;
	struct throttle_policy p = *throttle_source_policy(f->src);
	struct throttle_source_info info;
	struct throttle_source *src;

	p.burst = p.initial = 10;
	p.limit_count = 1;
	p.limits[0] = (struct throttle_limit){3, 60 * MINUTE};
	src = throttle_get(f->t, "windows", 7, &p, 0);
	throttle_take(f->t, src, 2, 0);
	throttle_source_info(f->t, src, 0, &info);
	assert_int_equal(info.limit_used[0], 2);
	throttle_request(f->t, src, 1, 1, 0, &f->r);
	assert_int_equal(f->r.verdict, THROTTLE_PASS);
	throttle_request(f->t, src, 2, 2, 0, &f->r);
	assert_int_equal(f->r.reason, THROTTLE_LIMITED);
	throttle_forget(f->t, src);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_snapshot_round_trip),
	    CASE(test_snapshot_allowance_grows_with_age),
	    CASE(test_snapshot_damaged),
	    CASE(test_snapshot_forged),
	    CASE(test_snapshot_of_reserved),
	    CASE(test_snapshot_of_reserved_paper),
	    CASE(test_exhaust),
	    CASE(test_take),
	    CASE(test_take_counts_in_the_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
