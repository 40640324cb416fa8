/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deferred mail after the wall clock was set: the functions of os/clock.h are
 * defined here, so that the library's are not linked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <time.h>

#include "delivery_world.h"
#include "os/clock.h"

/* By how much the wall clock is wrong. */
static int64_t ahead_ms;

static int64_t
read_ns(clockid_t id)
{
	struct timespec t;

	assert_int_equal(clock_gettime(id, &t), 0);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t
clock_mono_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t
clock_wall_ms(void)
{
	return read_ns(CLOCK_REALTIME) / 1000000 + ahead_ms;
}

static void
defer_one(struct world *w)
{
	fake_rule(w->fake, "RCPT", "451 4.7.1 greylisted", 1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
}

/* Its next try was written down by a clock that was a day ahead. */
static void
test_set_back(void **state)
{
	struct world *w = *state;

	ahead_ms = DAY_MS;
	start(w);
	defer_one(w);
	assert_true(look(w).next_try > clock_wall_ms());
	ahead_ms = 0;
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
}

/* By less than anybody would call a step: the pause is kept. */
static void
test_slewed(void **state)
{
	struct world *w = *state;
	int64_t due;

	ahead_ms = 0;
	start(w);
	defer_one(w);
	due = look(w).next_try;
	ahead_ms = -4000;
	/* Something else that is due makes it look. */
	put(w, &(struct letter){.to = {"c@example.org"}});
	kick(w);
	wait_count(w, &w->fake->message_count, 1);
	wait_deferred(w);
	assert_int_equal(look(w).next_try, due);
	ahead_ms = 0;
}

/* Set forward, what was due in an hour is due. */
static void
test_set_forward(void **state)
{
	struct world *w = *state;

	ahead_ms = 0;
	start(w);
	defer_one(w);
	ahead_ms = DAY_MS;
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	ahead_ms = 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_set_back),
	    TEST(test_slewed),
	    TEST(test_set_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
