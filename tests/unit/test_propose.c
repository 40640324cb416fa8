/* SPDX-License-Identifier: BSD-3-Clause */
/* The search for a policy, on costs that are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "replay/propose.h"

/* Of 10000 recipients so many wait for what is stricter than people need, and
 * a thief reaches what burst and messages let him. */
struct site {
	uint32_t burst, messages; /* that people need */
	uint64_t always;          /* wait whatever the policy is */
	uint64_t frozen;
	size_t tried, fails_at;
};

static bool
try(void *arg, const struct propose_policy *p, struct propose_outcome *out)
{
	struct site *s = arg;
	uint64_t waited = s->always;

	if (s->tried++ == s->fails_at)
		return false;
	if (p->v[PROPOSE_BURST] < s->burst)
		waited += 100;
	if (p->v[PROPOSE_MESSAGES] < s->messages)
		waited += 100;
	*out = (struct propose_outcome){
	    .recipients = 10000,
	    .waited = waited,
	    .users = 10,
	    .frozen = s->frozen,
	    .reached =
		sqrt((double)p->v[PROPOSE_BURST] * p->v[PROPOSE_MESSAGES]),
	};
	return true;
}

static struct propose search;

static bool
run(struct site *s, double target)
{
	memset(&search, 0, sizeof(search));
	search.target = target;
	search.try = try;
	search.arg = s;
	if (s->fails_at == 0)
		s->fails_at = SIZE_MAX;
	return propose_search(&search);
}

static uint32_t
chosen(enum propose_number number)
{
	return search.best->policy.v[number];
}

/* As strict as people bear, and nothing else is changed. */
static void
test_tightens(void **state)
{
	struct site s = {.burst = 1, .messages = 30};

	(void)state;
	assert_true(run(&s, 0.001));
	assert_true(search.is_reached);
	assert_int_equal(chosen(PROPOSE_BURST), 5);
	assert_int_equal(chosen(PROPOSE_MESSAGES), 40);
	assert_int_equal(chosen(PROPOSE_INTERVAL), 60);
	assert_int_equal(chosen(PROPOSE_WEEK), 0);
}

static void
test_loosens(void **state)
{
	struct site s = {.burst = 30, .messages = 100};

	(void)state;
	assert_true(run(&s, 0.001));
	assert_true(search.is_reached);
	assert_int_equal(chosen(PROPOSE_BURST), 30);
	assert_int_equal(chosen(PROPOSE_MESSAGES), 100);
	assert_int_equal(chosen(PROPOSE_INTERVAL), 60);
	assert_int_equal(chosen(PROPOSE_FREEZE_AT), 100);
}

/* A share that may wait is used. */
static void
test_uses_target(void **state)
{
	struct site s = {.burst = 1000, .messages = 1000};

	(void)state;
	assert_true(run(&s, 0.02));
	assert_true(search.is_reached);
	assert_int_equal(chosen(PROPOSE_BURST), 5);
	assert_int_equal(chosen(PROPOSE_MESSAGES), 25);
}

static void
test_out_of_reach(void **state)
{
	struct site s = {.burst = 30, .messages = 30, .always = 500};

	(void)state;
	assert_true(run(&s, 0.001));
	assert_false(search.is_reached);
	assert_int_equal(search.best->outcome.waited, 500);
	s = (struct site){.frozen = 1};
	assert_true(run(&s, 0.001));
	assert_false(search.is_reached);
	assert_true(search.trial_count <= PROPOSE_TRIALS_MAX);
}

static void
test_stops(void **state)
{
	struct site s = {.burst = 30, .messages = 30, .fails_at = 7};

	(void)state;
	assert_false(run(&s, 0.001));
	assert_int_equal(s.tried, 8);
}

/* Nothing is tried twice. */
static void
test_each_once(void **state)
{
	struct site s = {.burst = 50, .messages = 200};

	(void)state;
	assert_true(run(&s, 0.001));
	assert_int_equal(s.tried, search.trial_count);
	for (size_t i = 0; i < search.trial_count; i++) {
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(search.trials[i].place,
			    search.trials[k].place, PROPOSE_NUMBERS);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tightens),
	    cmocka_unit_test(test_loosens),
	    cmocka_unit_test(test_uses_target),
	    cmocka_unit_test(test_out_of_reach),
	    cmocka_unit_test(test_stops),
	    cmocka_unit_test(test_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
