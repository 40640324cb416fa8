/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who wrote to whom, against a plain model of the same rules, and its bounds:
 * addresses, new ones in a time, bytes, and stored state that lies.
 */
#include "base/hash.h"
#include "gate/inbound.h"
#include "throttle_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR (INT64_C(3600) * 1000)
#define DAY (24 * HOUR)
#define PLENTY ((size_t)1 << 30)
#define CHECKSUM_SEED UINT64_C(0x7765697277726f74)
#define ALICE STR("alice@example.org")
#define BOB STR("bob@example.org")

static const struct inbound_rules rules = {
    .set = 8, .rate = {4, DAY}, .expiry_ms = 10 * DAY};
static const struct inbound_rules free_rules = {
    .set = 256, .expiry_ms = 30 * DAY};

static bool
knows(struct inbound *in, uint64_t d, int64_t now)
{
	return inbound_knows(in, ALICE, d, rules.expiry_ms, now);
}

static void
save_all(struct inbound *in)
{
	struct inbound_user *u;

	while ((u = inbound_changed(in)) != NULL)
		inbound_saved(in, u);
}

/* ---- the model ---- */

#define USERS 3
#define DESTINATIONS 24

struct model_user {
	bool is_there[DESTINATIONS];
	int64_t at[DESTINATIONS];
	int64_t credit; /* ms of the window */
	int64_t credited_at;
};

struct model {
	struct model_user users[USERS];
};

static unsigned
model_count(struct model_user *u, int64_t now)
{
	unsigned n = 0;

	for (int d = 0; d < DESTINATIONS; d++) {
		if (u->is_there[d] && now - u->at[d] >= rules.expiry_ms)
			u->is_there[d] = false;
		n += u->is_there[d];
	}
	return n;
}

static void
model_drop_oldest(struct model_user *u)
{
	int oldest = -1;

	for (int d = 0; d < DESTINATIONS; d++) {
		if (u->is_there[d] && (oldest < 0 || u->at[d] < u->at[oldest]))
			oldest = d;
	}
	u->is_there[oldest] = false;
}

static enum inbound_result
model_learn(struct model_user *u, int d, int64_t now)
{
	int64_t step = rules.rate.window_ms / rules.rate.count;

	model_count(u, now);
	if (u->is_there[d]) {
		if (now - u->at[d] >= HOUR)
			u->at[d] = now;
		return INBOUND_AGAIN;
	}
	u->credit += now - u->credited_at;
	u->credited_at = now;
	if (u->credit > rules.rate.window_ms)
		u->credit = rules.rate.window_ms;
	if (u->credit < step)
		return INBOUND_TOO_MANY;
	u->credit -= step;
	if (model_count(u, now) == rules.set)
		model_drop_oldest(u);
	u->is_there[d] = true;
	u->at[d] = now;
	return INBOUND_LEARNT;
}

static struct str
user_name(int i)
{
	static const struct str names[USERS] = {
	    STR("alice"), STR("bob"), STR("[::1]")};

	return names[i];
}

static void
check_same(const struct inbound *in, struct model *m, int64_t now)
{
	for (int i = 0; i < USERS; i++) {
		struct model_user *u = &m->users[i];

		assert_int_equal(
		    model_count(u, now), inbound_count(in, user_name(i), now));
		for (uint64_t d = 0; d < DESTINATIONS; d++)
			assert_int_equal(
			    u->is_there[d], inbound_knows(in, user_name(i), d,
						rules.expiry_ms, now));
	}
}

/* ---- what a spool would keep ---- */

struct stored {
	unsigned char *state[USERS];
	size_t size[USERS];
	int64_t at[USERS];
};

static int
user_index(struct str key)
{
	for (int i = 0; i < USERS; i++) {
		if (str_eq(key, user_name(i)))
			return i;
	}
	fail_msg("a user of no such name");
	return 0;
}

static void
store(struct inbound *in, struct stored *s, int64_t now)
{
	struct inbound_user *u;

	while ((u = inbound_changed(in)) != NULL) {
		int i = user_index(inbound_user_key(u));

		s->size[i] = inbound_save(u, now, NULL, 0);
		free(s->state[i]);
		s->state[i] = xmalloc(s->size[i] + 1);
		assert_int_equal(
		    s->size[i], inbound_save(u, now, s->state[i], s->size[i]));
		s->at[i] = now;
		inbound_saved(in, u);
	}
}

static struct inbound *
restart(struct inbound *in, const struct stored *s, int64_t now)
{
	inbound_free(in);
	in = inbound_new(PLENTY);
	for (int i = 0; i < USERS; i++) {
		if (s->size[i] > 0)
			assert_true(inbound_load(in, user_name(i), s->state[i],
			    s->size[i], now - s->at[i], &rules, now));
	}
	assert_null(inbound_changed(in));
	return in;
}

static void
model_forget(struct model_user *u)
{
	memset(u->is_there, 0, sizeof(u->is_there));
	u->credit = rules.rate.window_ms;
}

static void
step(struct inbound **in, struct model *m, struct stored *s, uint64_t *seed,
    int64_t *now)
{
	int i = (int)(draw(seed) % USERS);
	uint64_t d = draw(seed) % DESTINATIONS;
	unsigned what = draw(seed) % 100;

	*now += 1 + (int64_t)(draw(seed) % (uint64_t)(6 * HOUR));
	if (what == 0) {
		unsigned n = model_count(&m->users[i], *now);

		inbound_expire(*in, *now, USERS);
		store(*in, s, *now);
		assert_int_equal(n, inbound_forget(*in, user_name(i)));
		model_forget(&m->users[i]);
	} else if (what < 4) {
		*now += (int64_t)(draw(seed) % (uint64_t)(3 * DAY));
		*in = restart(*in, s, *now);
	} else if (what < 8) {
		inbound_expire(*in, *now, 2);
	} else {
		assert_int_equal(model_learn(&m->users[i], (int)d, *now),
		    inbound_learn(*in, user_name(i), d, &rules, *now));
	}
	store(*in, s, *now);
	check_same(*in, m, *now);
}

static void
test_model(void **state)
{
	uint64_t seed = from_environment("INBOUND_SEED", 1);
	struct inbound *in = inbound_new(PLENTY);
	struct stored stored = {0};
	struct model m = {0};
	int64_t now = 5000;

	(void)state;
	for (int i = 0; i < USERS; i++) {
		m.users[i].credit = rules.rate.window_ms;
		m.users[i].credited_at = now;
	}
	for (int i = 0; i < 20000; i++)
		step(&in, &m, &stored, &seed, &now);
	inbound_free(in);
	for (int i = 0; i < USERS; i++)
		free(stored.state[i]);
}

/* ---- bounds ---- */

/* The one who did not write for longest goes first; who writes often stays. */
static void
test_full_set(void **state)
{
	struct inbound *in = inbound_new(PLENTY);
	struct inbound_rules r = {.set = 3, .expiry_ms = 30 * DAY};
	struct inbound_stats stats;
	int64_t now = 0;

	(void)state;
	for (uint64_t d = 1; d <= 3; d++)
		inbound_learn(in, ALICE, d, &r, now += HOUR);
	assert_int_equal(
	    INBOUND_AGAIN, inbound_learn(in, ALICE, 1, &r, now += HOUR));
	assert_int_equal(
	    INBOUND_LEARNT, inbound_learn(in, ALICE, 4, &r, now += HOUR));
	assert_true(knows(in, 1, now));
	assert_false(knows(in, 2, now));
	assert_true(knows(in, 3, now) && knows(in, 4, now));
	assert_false(inbound_knows(in, BOB, 1, r.expiry_ms, now));
	inbound_stats(in, &stats);
	assert_int_equal(3, stats.addresses);
	assert_int_equal(1, stats.replaced);
	/* A policy of today with less room. */
	r.set = 1;
	inbound_learn(in, ALICE, 5, &r, now += HOUR);
	assert_int_equal(1, inbound_count(in, ALICE, now));
	assert_true(knows(in, 5, now));
	inbound_free(in);
}

/* So many at once, then evenly, never more than twice that in any window. */
static void
test_rate(void **state)
{
	struct inbound *in = inbound_new(PLENTY);
	struct inbound_rules r = {
	    .set = 4096, .rate = {50, DAY}, .expiry_ms = 30 * DAY};
	int64_t now = 7, learnt_at[1000] = {0};
	unsigned n = 0;

	(void)state;
	for (uint64_t d = 0; d < 50; d++)
		assert_int_equal(
		    INBOUND_LEARNT, inbound_learn(in, ALICE, d, &r, now));
	assert_int_equal(
	    INBOUND_TOO_MANY, inbound_learn(in, ALICE, 50, &r, now));
	/* Those who are known already cost nothing, others have their own. */
	assert_int_equal(INBOUND_AGAIN, inbound_learn(in, ALICE, 1, &r, now));
	assert_int_equal(INBOUND_LEARNT, inbound_learn(in, BOB, 50, &r, now));
	assert_int_equal(INBOUND_TOO_MANY,
	    inbound_learn(in, ALICE, 50, &r, now + DAY / 50 - 1));
	assert_int_equal(
	    INBOUND_LEARNT, inbound_learn(in, ALICE, 50, &r, now + DAY / 50));
	/* A flood for ten days, a message a minute. */
	now += 5 * DAY;
	for (uint64_t d = 100; d < 100 + 10 * 1440; d++, now += 60000) {
		if (inbound_learn(in, ALICE, d, &r, now) != INBOUND_LEARNT)
			continue;
		learnt_at[n++] = now;
		if (n > 100)
			assert_true(now - learnt_at[n - 101] >= DAY);
	}
	assert_in_range(n, 540, 550);
	inbound_free(in);
}

static unsigned
learn_some(struct inbound *in, uint64_t first, unsigned n,
    struct inbound_origin origin, int64_t now)
{
	struct inbound_rules r = {
	    .set = 4096, .rate = {50, DAY}, .expiry_ms = 30 * DAY};
	unsigned learnt = 0;

	for (unsigned i = 0; i < n; i++) {
		struct inbound_origin o = origin;

		if (o.domain == 0)
			o.domain = (uint16_t)(1000 + i);
		learnt += inbound_learn_from(in, ALICE, first + i, o, &r,
			      now) == INBOUND_LEARNT;
	}
	return learnt;
}

/* Whoever writes from many invented addresses leaves a part to others. */
static void
test_shares(void **state)
{
	struct inbound *in = inbound_new(PLENTY);

	(void)state;
	/* One domain from one network, then many domains from it. */
	assert_int_equal(
	    learn_some(in, 1000, 100, (struct inbound_origin){1, 1}, 0), 10);
	assert_int_equal(
	    learn_some(in, 2000, 1, (struct inbound_origin){2, 1}, 0), 1);
	assert_int_equal(
	    learn_some(in, 3000, 100, (struct inbound_origin){0, 1}, 0), 14);
	/* The forged domain's real writers, and then that from everywhere. */
	assert_int_equal(
	    learn_some(in, 4000, 1, (struct inbound_origin){1, 2}, 0), 1);
	for (uint16_t network = 3; network < 30; network++)
		learn_some(in, 5000 + network, 1,
		    (struct inbound_origin){1, network}, 0);
	assert_int_equal(
	    learn_some(in, 6000, 5, (struct inbound_origin){7, 77}, 0), 5);
	/* The next day all is as it was. */
	assert_int_equal(
	    learn_some(in, 7000, 100, (struct inbound_origin){1, 1}, 2 * DAY),
	    10);
	inbound_free(in);
}

/* Of a rate that small nobody has a share. */
static void
test_no_shares(void **state)
{
	struct inbound *in = inbound_new(PLENTY);
	struct inbound_rules r = {
	    .set = 64, .rate = {3, DAY}, .expiry_ms = 30 * DAY};
	struct inbound_origin origin = {1, 1};

	(void)state;
	for (uint64_t d = 0; d < 3; d++)
		assert_int_equal(INBOUND_LEARNT,
		    inbound_learn_from(in, ALICE, d, origin, &r, 0));
	assert_int_equal(
	    INBOUND_TOO_MANY, inbound_learn_from(in, ALICE, 9, origin, &r, 0));
	inbound_free(in);
}

/* A window that is shorter now lets go of the longer one. */
static void
test_rate_that_changed(void **state)
{
	struct inbound *in = inbound_new(PLENTY);
	struct inbound_rules r = {
	    .set = 64, .rate = {1, 300 * DAY}, .expiry_ms = 900 * DAY};

	(void)state;
	inbound_learn(in, ALICE, 1, &r, 0);
	assert_int_equal(INBOUND_TOO_MANY, inbound_learn(in, ALICE, 2, &r, 1));
	r.rate = (struct throttle_limit){1, HOUR};
	assert_int_equal(INBOUND_TOO_MANY, inbound_learn(in, ALICE, 2, &r, 2));
	assert_int_equal(
	    INBOUND_LEARNT, inbound_learn(in, ALICE, 2, &r, 2 + HOUR));
	inbound_free(in);
}

static void
test_expiry(void **state)
{
	struct inbound *in = inbound_new(PLENTY);
	struct inbound_stats stats;

	(void)state;
	inbound_learn(in, ALICE, 1, &rules, 0);
	inbound_learn(in, ALICE, 2, &rules, 5 * DAY);
	save_all(in);
	assert_true(knows(in, 1, 10 * DAY - 1));
	assert_false(knows(in, 1, 10 * DAY));
	assert_int_equal(1, inbound_count(in, ALICE, 10 * DAY));
	inbound_expire(in, 10 * DAY, 100);
	assert_non_null(inbound_changed(in)); /* to be saved without it */
	save_all(in);
	inbound_expire(in, 15 * DAY, 100); /* the end of the table */
	inbound_expire(in, 15 * DAY, 100);
	assert_int_equal(
	    0, inbound_save(inbound_changed(in), 15 * DAY, NULL, 0));
	save_all(in);
	inbound_stats(in, &stats);
	assert_int_equal(0, stats.users);
	assert_int_equal(0, stats.addresses);
	assert_int_equal(0, stats.bytes);
	assert_int_equal(2, stats.expired);
	inbound_free(in);
}

/* A clock that goes backwards brings nothing back and frees nothing. */
static void
test_clock_backwards(void **state)
{
	struct inbound *in = inbound_new(PLENTY);

	(void)state;
	inbound_learn(in, ALICE, 1, &rules, 20 * DAY);
	inbound_learn(in, ALICE, 2, &rules, 0);
	assert_true(knows(in, 2, 29 * DAY));
	inbound_expire(in, 30 * DAY, 10);
	assert_int_equal(
	    INBOUND_LEARNT, inbound_learn(in, ALICE, 3, &rules, 0));
	assert_true(knows(in, 3, 40 * DAY - 1));
	inbound_free(in);
}

static void
test_memory_bound(void **state)
{
	size_t most = 200000;
	struct inbound *in = inbound_new(most);
	struct inbound_stats stats;
	unsigned full = 0, users = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		char name[32];
		struct str user = {name, 0};
		enum inbound_result got;

		user.n = (size_t)snprintf(
		    name, sizeof(name), "user%u@example.org", i);
		got = inbound_learn(in, user, 1, &free_rules, 0);
		users += got == INBOUND_LEARNT;
		full += got == INBOUND_FULL;
		inbound_stats(in, &stats);
		assert_true(stats.bytes <= most);
	}
	assert_true(users > 300 && full == 2000 - users);
	/* Who is there keeps its place, and newer ones in place of older. */
	for (uint64_t d = 2; d < 100; d++) {
		assert_int_equal(
		    INBOUND_LEARNT, inbound_learn(in, STR("user0@example.org"),
					d, &free_rules, 0));
		inbound_stats(in, &stats);
		assert_true(stats.bytes <= most);
	}
	assert_true(inbound_knows(
	    in, STR("user0@example.org"), 99, free_rules.expiry_ms, 0));
	assert_in_range(inbound_count(in, STR("user0@example.org"), 0), 4, 99);
	/* When they have expired there is room again. */
	inbound_expire(in, 31 * DAY, 10000); /* to the end of the table */
	inbound_expire(in, 31 * DAY, 10000);
	save_all(in);
	inbound_stats(in, &stats);
	assert_int_equal(0, stats.bytes);
	assert_int_equal(
	    INBOUND_LEARNT, inbound_learn(in, ALICE, 1, &free_rules, 31 * DAY));
	inbound_free(in);
}

static void
test_forget(void **state)
{
	struct inbound *in = inbound_new(PLENTY);

	(void)state;
	assert_int_equal(0, inbound_forget(in, ALICE));
	for (uint64_t d = 0; d < 100; d++)
		inbound_learn(in, ALICE, d, &free_rules, 0);
	assert_int_equal(100, inbound_forget(in, ALICE));
	assert_int_equal(0, inbound_count(in, ALICE, 0));
	assert_int_equal(0, inbound_save(inbound_changed(in), 0, NULL, 0));
	/* Learnt again before that was saved. */
	inbound_learn(in, ALICE, 1, &free_rules, 0);
	save_all(in);
	assert_int_equal(1, inbound_count(in, ALICE, 0));
	inbound_free(in);
}

/* Mail of every minute is not a write of every minute. */
static void
test_again_is_cheap(void **state)
{
	struct inbound *in = inbound_new(PLENTY);
	int64_t now = 0;

	(void)state;
	inbound_learn(in, ALICE, 1, &rules, now);
	save_all(in);
	while (now < HOUR - 60000) {
		inbound_learn(in, ALICE, 1, &rules, now += 60000);
		assert_null(inbound_changed(in));
	}
	inbound_learn(in, ALICE, 1, &rules, now += 60000);
	assert_non_null(inbound_changed(in));
	inbound_free(in);
}

/* ---- stored state that lies ---- */

static size_t
sample_state(unsigned char *out, size_t cap)
{
	struct inbound *in = inbound_new(PLENTY);
	size_t n;

	for (uint64_t d = 1; d <= 3; d++)
		inbound_learn(in, ALICE, d, &rules, (int64_t)d * HOUR);
	n = inbound_save(inbound_changed(in), 4 * HOUR, out, cap);
	inbound_free(in);
	return n;
}

static bool
loads(const unsigned char *p, size_t n, int64_t age)
{
	struct inbound *in = inbound_new(PLENTY);
	bool ok = inbound_load(in, ALICE, p, n, age, &rules, 0);
	struct inbound_stats stats;

	inbound_stats(in, &stats);
	assert_int_equal(ok ? 1 : 0, stats.users);
	if (!ok)
		assert_int_equal(0, stats.bytes);
	inbound_free(in);
	return ok;
}

static void
sign(unsigned char *p, size_t n)
{
	uint64_t sum = hash_bytes(p, n - 8, CHECKSUM_SEED);

	for (unsigned i = 0; i < 8; i++)
		p[n - 8 + i] = (unsigned char)(sum >> 8 * i);
}

static void
test_hostile_state(void **state)
{
	unsigned char good[128], bad[128];
	size_t n = sample_state(good, sizeof(good));

	(void)state;
	assert_int_equal(14 + 3 * 16 + 8, n);
	assert_true(loads(good, n, 0));
	assert_true(loads(good, n, -5));
	assert_true(loads(good, n, INT64_MAX));
	for (size_t i = 0; i < n; i++)
		assert_false(loads(good, i, 0));
	for (size_t i = 0; i < n; i++) { /* accident */
		memcpy(bad, good, n);
		bad[i] ^= 1;
		assert_false(loads(bad, n, 0));
	}
	memcpy(bad, good, n); /* the same address twice */
	memcpy(bad + 14 + 16, bad + 14, 8);
	sign(bad, n);
	assert_false(loads(bad, n, 0));
	memcpy(bad, good, n); /* the newest first */
	bad[14 + 8] = bad[14 + 9] = bad[14 + 10] = bad[14 + 11] = 0;
	sign(bad, n);
	assert_false(loads(bad, n, 0));
	memcpy(bad, good, n); /* a negative age */
	bad[14 + 15] = 0xff;
	sign(bad, n);
	assert_false(loads(bad, n, 0));
	memcpy(bad, good, n); /* no addresses, many addresses */
	bad[4] = 0;
	sign(bad, n);
	assert_false(loads(bad, n, 0));
	bad[4] = bad[5] = 0xff;
	sign(bad, n);
	assert_false(loads(bad, n, 0));
	memcpy(bad, good, n); /* a rate that ends in a thousand years */
	bad[13] = 0x7f;
	sign(bad, n);
	assert_false(loads(bad, n, 0));
}

/* No more than today's policy has room for, the newest; no second of a name;
 * nothing past the bytes. */
static void
test_load_fits(void **state)
{
	unsigned char good[128];
	size_t n = sample_state(good, sizeof(good));
	struct inbound_rules two = {.set = 2, .expiry_ms = 10 * DAY};
	struct inbound *in = inbound_new(PLENTY);

	(void)state;
	assert_true(inbound_load(in, ALICE, good, n, 0, &two, 0));
	assert_false(inbound_load(in, ALICE, good, n, 0, &two, 0));
	assert_int_equal(2, inbound_count(in, ALICE, 0));
	assert_false(knows(in, 1, 0));
	assert_true(knows(in, 2, 0) && knows(in, 3, 0));
	/* Ages go on: the third was an hour old when it was saved. */
	assert_true(knows(in, 3, 10 * DAY - HOUR - 1));
	assert_false(knows(in, 3, 10 * DAY - HOUR));
	inbound_set_bytes_max(in, 10);
	assert_false(inbound_load(in, BOB, good, n, 0, &two, 0));
	inbound_free(in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_full_set),
	    cmocka_unit_test(test_rate),
	    cmocka_unit_test(test_shares),
	    cmocka_unit_test(test_no_shares),
	    cmocka_unit_test(test_rate_that_changed),
	    cmocka_unit_test(test_expiry),
	    cmocka_unit_test(test_clock_backwards),
	    cmocka_unit_test(test_memory_bound),
	    cmocka_unit_test(test_forget),
	    cmocka_unit_test(test_again_is_cheap),
	    cmocka_unit_test(test_hostile_state),
	    cmocka_unit_test(test_load_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
