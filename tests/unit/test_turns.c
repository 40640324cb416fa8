/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The turns of sources against a model of their queues: nobody starves, shares
 * go by weight within a bound, and what one has waiting is nothing to others.
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "spool/turns.h"

#include <string.h>

#define SOURCES 2000

struct source {
	uint32_t weight;
	uint64_t octets; /* of each of its messages, or of the next */
	size_t waiting;  /* due */
	bool is_there;   /* it has something, due or not */
	int64_t sent, sent_octets;
};

struct model {
	struct turns turns;
	struct source v[SOURCES]; /* key: index + 1 */
	size_t n;
	int64_t at;
	bool is_mixed; /* each next message has another size */
	uint32_t random;
	size_t looks;
};

static uint32_t
next_random(struct model *m)
{
	m->random = m->random * 1664525u + 1013904223u;
	return m->random >> 8;
}

static bool
on_next(void *arg, int64_t after, int64_t *key)
{
	struct model *m = arg;

	for (*key = after < 0 ? 1 : after + 1; *key <= (int64_t)m->n; ++*key) {
		if (m->v[*key - 1].is_there)
			return true;
	}
	return false;
}

static bool
on_head(void *arg, int64_t key, struct turns_head *out)
{
	struct model *m = arg;
	struct source *s = &m->v[key - 1];

	m->looks++;
	m->at = key;
	*out = (struct turns_head){s->octets, s->weight};
	return s->waiting > 0;
}

static bool
on_take(void *arg)
{
	struct model *m = arg;
	struct source *s = &m->v[m->at - 1];

	assert_true(s->waiting > 0);
	s->waiting--;
	s->sent++;
	s->sent_octets += (int64_t)s->octets + TURNS_MESSAGE;
	if (m->is_mixed)
		s->octets = next_random(m) % 200000;
	return true;
}

static const struct turns_ops ops = {on_next, on_head, on_take};

static void
model_init(struct model *m, size_t n, size_t waiting)
{
	memset(m, 0, sizeof(*m));
	turns_init(&m->turns);
	m->n = n;
	m->random = 1;
	for (size_t i = 0; i < n; i++)
		m->v[i] = (struct source){.weight = 1,
		    .octets = 1000,
		    .waiting = waiting,
		    .is_there = true};
}

static size_t
run(struct model *m, size_t max)
{
	bool looked;

	return turns_run(&m->turns, &ops, m, max, &looked);
}

static struct model model;

static void
test_one_of_many_goes_at_once(void **state)
{
	(void)state;
	for (size_t at = 0; at < 3; at++) {
		model_init(&model, 3, 0);
		for (size_t i = 0; i < 3; i++)
			model.v[i].waiting = i == at ? 1 : 100000;
		assert_int_equal(run(&model, 20), 20);
		assert_int_equal(model.v[at].sent, 1);
	}
}

static void
test_many_alone_are_not_slowed(void **state)
{
	(void)state;
	model_init(&model, 1, 1000);
	assert_int_equal(run(&model, 20), 20);
	assert_int_equal(run(&model, 2000), 980);
	assert_int_equal(run(&model, 20), 0);
	/* One look for each that went, and one for each turn. */
	assert_true(model.looks < 2500);
}

static void
test_large_one_alone_goes_at_once(void **state)
{
	(void)state;
	model_init(&model, 2, 0);
	model.v[1].waiting = 1;
	model.v[1].octets = 50 << 20;
	assert_int_equal(run(&model, 20), 1);
	assert_true(model.looks < 10);
}

/* The bound of the paper, for runs of any length: what two sources that always
 * have mail got differs, by weight, by no more than a quantum and a message of
 * each. */
static void
check_shares(struct model *m, int64_t largest)
{
	for (size_t i = 1; i < m->n; i++) {
		const struct source *a = &m->v[0], *b = &m->v[i];
		int64_t of_a = a->sent_octets / a->weight;
		int64_t of_b = b->sent_octets / b->weight;
		int64_t apart = of_a > of_b ? of_a - of_b : of_b - of_a;

		assert_true(apart <= TURNS_QUANTUM + largest / a->weight +
					 largest / b->weight);
	}
}

static void
test_shares_by_weight(void **state)
{
	static const uint32_t weights[] = {1, 1, 2, 5, 100};

	(void)state;
	for (int mixed = 0; mixed < 2; mixed++) {
		model_init(&model, 5, 1000000);
		model.is_mixed = mixed;
		for (size_t i = 0; i < 5; i++)
			model.v[i].weight = weights[i];
		for (int i = 0; i < 2000; i++) {
			size_t max = 1 + next_random(&model) % 40;

			assert_int_equal(run(&model, max), max);
			check_shares(
			    &model, (mixed ? 200000 : 1000) + TURNS_MESSAGE);
		}
	}
}

/* With sources that come and go, each message goes within a round: the quanta
 * of all, however much the others have. */
static void
test_nobody_starves(void **state)
{
	int64_t since[40] = {0};

	(void)state;
	model_init(&model, 40, 0);
	model.is_mixed = true;
	for (int64_t step = 0; step < 20000; step++) {
		size_t i = next_random(&model) % 40;

		if (next_random(&model) % 4 == 0)
			model.v[i].waiting += next_random(&model) % 50;
		model.v[i].is_there =
		    model.v[i].waiting > 0 || next_random(&model) % 2;
		for (i = 0; i < 40; i++)
			model.v[i].sent = 0;
		(void)run(&model, 1 + next_random(&model) % 20);
		for (i = 0; i < 40; i++) {
			bool had =
			    model.v[i].waiting > 0 && model.v[i].sent == 0;

			since[i] = had ? since[i] + 1 : 0;
			/* 7 rounds for the largest, of 40 turns. */
			assert_true(since[i] < 7 * 40);
		}
	}
}

static void
test_a_run_looks_at_so_many(void **state)
{
	bool looked;

	(void)state;
	model_init(&model, SOURCES, 0);
	model.v[SOURCES - 1].waiting = 1;
	assert_int_equal(turns_run(&model.turns, &ops, &model, 20, &looked), 0);
	assert_false(looked);
	assert_true(model.looks <= TURNS_VISITS);
	/* The next goes on there. */
	assert_int_equal(turns_run(&model.turns, &ops, &model, 20, &looked), 1);
}

/* More save octets than there is room for: the others do not wait for it. */
static void
test_more_large_ones_than_room(void **state)
{
	(void)state;
	model_init(&model, 600, 2);
	for (size_t i = 0; i < 600; i++)
		model.v[i].octets = 1 << 20;
	for (size_t n = 0; n < 1200;) {
		size_t more = run(&model, 20);

		assert_true(more > 0);
		n += more;
	}
	assert_int_equal(run(&model, 20), 0);
}

static void
test_gone_sources_leave_no_trace(void **state)
{
	(void)state;
	model_init(&model, 400, 1);
	for (size_t i = 0; i < 400; i++)
		model.v[i].octets = 1 << 20;
	model.v[399].octets = 1;
	(void)run(&model, 1);
	for (size_t i = 0; i < 400; i++) {
		model.v[i].is_there = i == 0;
		model.v[i].waiting = i == 0;
	}
	(void)run(&model, 5);
	(void)run(&model, 5);
	assert_int_equal(model.turns.n, 0);
}

static void
test_nothing(void **state)
{
	(void)state;
	model_init(&model, 0, 0);
	assert_int_equal(run(&model, 20), 0);
	model_init(&model, 3, 5);
	assert_int_equal(run(&model, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_of_many_goes_at_once),
	    cmocka_unit_test(test_many_alone_are_not_slowed),
	    cmocka_unit_test(test_large_one_alone_goes_at_once),
	    cmocka_unit_test(test_shares_by_weight),
	    cmocka_unit_test(test_nobody_starves),
	    cmocka_unit_test(test_a_run_looks_at_so_many),
	    cmocka_unit_test(test_more_large_ones_than_room),
	    cmocka_unit_test(test_gone_sources_leave_no_trace),
	    cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
