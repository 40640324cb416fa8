/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Graphs as the dashboard gets them: what was looked at, and null before.
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "control/graph.h"

#include <string.h>

static const struct trend_series series[] = {
    {"held", "Held", true},
    {"passed", "Passed", false},
    {0},
};

static void
look(void *arg, uint64_t *values)
{
	uint64_t *seen = arg;

	values[0] = 4;
	values[1] = ++*seen;
}

/* A step may have ended meanwhile: its values are in the one before. */
static json_int_t
latest(const json_t *row, size_t which, bool is_sum)
{
	const json_t *s = json_array_get(json_object_get(row, "series"), which);
	const json_t *values = json_object_get(s, "values");
	size_t n = json_array_size(values);
	json_int_t now = json_integer_value(json_array_get(values, n - 1));
	json_int_t before = json_integer_value(json_array_get(values, n - 2));

	return is_sum ? now + before : now > before ? now : before;
}

static void
test_row(void **state)
{
	struct loop *loop = loop_new();
	uint64_t seen = 0;
	struct graph *g = graph_new(&(struct graph_source){
	    .loop = loop, .series = series, .look = look, .arg = &seen});
	json_t *day = graph_row(g, TREND_DAY), *week = graph_row(g, TREND_WEEK);
	const json_t *list = json_object_get(day, "series");
	const json_t *held = json_array_get(list, 0);

	(void)state;
	/* Once at the start, and once for each row. */
	assert_int_equal(seen, 3);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(
	    json_string_value(json_object_get(held, "name")), "held");
	assert_true(json_is_true(json_object_get(held, "gauge")));
	assert_int_equal(latest(day, 0, false), 4);
	assert_int_equal(latest(day, 1, true), 2);
	assert_int_equal(latest(week, 1, true), 3);
	assert_true(
	    json_is_null(json_array_get(json_object_get(held, "values"), 0)));
	assert_int_equal(
	    json_integer_value(json_object_get(day, "step_s")), 300);
	assert_int_equal(
	    json_integer_value(json_object_get(week, "step_s")), 1800);
	assert_non_null(json_string_value(json_object_get(day, "start")));
	json_decref(day);
	json_decref(week);
	graph_free(g);
	loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
