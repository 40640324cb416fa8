/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Trends: what each step holds, on the test's own clock.
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "os/trend.h"

#define MINUTE INT64_C(60000)
#define DAY (24 * 60 * MINUTE)
#define WALL (INT64_C(20000) * DAY) /* midnight: a step begins */

static const struct trend_series series[] = {
    {"passed", "Passed", false},
    {"held", "Held", true},
    {0},
};

static int
make(void **state)
{
	*state = trend_new(series);
	return 0;
}

static int
drop(void **state)
{
	trend_free(*state);
	return 0;
}

static void
sample(struct trend *t, uint64_t passed, uint64_t held, int64_t wall)
{
	trend_sample(t, (const uint64_t[]){passed, held}, wall);
}

/* Of the step `back` before the last one. */
static uint32_t
value(const struct trend *t, enum trend_span span, size_t which, size_t back,
    int64_t wall)
{
	struct trend_view view;

	trend_view(t, span, wall, &view);
	return trend_value(t, span, &view, which, view.count - 1 - back);
}

static void
test_total_is_what_a_step_added(void **state)
{
	struct trend *t = *state;

	sample(t, 7, 0, WALL);
	sample(t, 10, 0, WALL + 4 * MINUTE);
	sample(t, 15, 0, WALL + 5 * MINUTE);
	assert_int_equal(value(t, TREND_DAY, 0, 0, WALL + 5 * MINUTE), 5);
	assert_int_equal(value(t, TREND_DAY, 0, 1, WALL + 5 * MINUTE), 10);
	assert_int_equal(value(t, TREND_WEEK, 0, 0, WALL + 5 * MINUTE), 15);
}

static void
test_gauge_is_its_largest(void **state)
{
	struct trend *t = *state;

	sample(t, 0, 3, WALL);
	sample(t, 0, 9, WALL + MINUTE);
	sample(t, 0, 1, WALL + 2 * MINUTE);
	assert_int_equal(value(t, TREND_DAY, 1, 0, WALL), 9);
}

static void
test_unseen_steps_are_unknown(void **state)
{
	struct trend *t = *state;

	sample(t, 1, 1, WALL);
	sample(t, 2, 2, WALL + 20 * MINUTE);
	assert_int_equal(
	    value(t, TREND_DAY, 0, 1, WALL + 20 * MINUTE), TREND_UNKNOWN);
	assert_int_equal(value(t, TREND_DAY, 0, 4, WALL + 20 * MINUTE), 1);
	assert_int_equal(
	    value(t, TREND_DAY, 0, 5, WALL + 20 * MINUTE), TREND_UNKNOWN);
}

static void
test_slots_are_used_again(void **state)
{
	struct trend *t = *state;
	struct trend_view view;

	sample(t, 1, 1, WALL);
	/* The same slot, a day later: what was is not taken for it. */
	assert_int_equal(value(t, TREND_DAY, 0, 0, WALL + DAY), TREND_UNKNOWN);
	sample(t, 4, 1, WALL + DAY);
	assert_int_equal(value(t, TREND_DAY, 0, 0, WALL + DAY), 3);
	trend_view(t, TREND_DAY, WALL + DAY, &view);
	assert_int_equal(view.start, WALL + 5 * MINUTE);
	assert_int_equal(view.count * (size_t)view.step_ms, (size_t)DAY);
	assert_int_equal(trend_value(t, TREND_DAY, &view, 0, 0), TREND_UNKNOWN);
}

static void
test_a_clock_that_jumps(void **state)
{
	struct trend *t = *state;

	sample(t, 5, 0, WALL + 100 * DAY);
	sample(t, 6, 0, WALL);
	assert_int_equal(value(t, TREND_DAY, 0, 0, WALL), 1);
	sample(t, 8, 0, -1);
	assert_int_equal(value(t, TREND_DAY, 0, 0, -1), TREND_UNKNOWN);
	/* What a total loses is no step. */
	sample(t, 2, 0, WALL);
	assert_int_equal(value(t, TREND_DAY, 0, 0, WALL), 1);
	sample(t, 3, 0, WALL);
	assert_int_equal(value(t, TREND_DAY, 0, 0, WALL), 2);
}

static void
test_large_values_are_no_unknown_ones(void **state)
{
	struct trend *t = *state;

	sample(t, UINT64_MAX / 2, UINT64_MAX, WALL);
	assert_int_equal(value(t, TREND_DAY, 0, 0, WALL), TREND_UNKNOWN - 1);
	assert_int_equal(value(t, TREND_DAY, 1, 0, WALL), TREND_UNKNOWN - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_total_is_what_a_step_added, make, drop),
	    cmocka_unit_test_setup_teardown(
		test_gauge_is_its_largest, make, drop),
	    cmocka_unit_test_setup_teardown(
		test_unseen_steps_are_unknown, make, drop),
	    cmocka_unit_test_setup_teardown(
		test_slots_are_used_again, make, drop),
	    cmocka_unit_test_setup_teardown(
		test_a_clock_that_jumps, make, drop),
	    cmocka_unit_test_setup_teardown(
		test_large_values_are_no_unknown_ones, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
