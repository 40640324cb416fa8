/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which address is tried next, on a clock of the test's own: order, rest, and
 * who finds out whether one that failed is back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "delivery/route.h"

#define REST 30000

static const char *const addresses[] = {"192.0.2.1:25", "192.0.2.2:25"};

static struct route *
make_route(size_t count)
{
	char err[128];
	struct route *r = route_new(addresses, count, err, sizeof(err));

	assert_non_null(r);
	return r;
}

/* The address that a search tries first; it goes on with *cursor. */
static struct route_choice
search(struct route *r, struct route_cursor *cursor, int64_t now)
{
	struct route_choice out;

	*cursor = (struct route_cursor){0};
	assert_int_equal(route_next(r, cursor, now, &out), ROUTE_CONNECT);
	return out;
}

static void
expect_first(struct route *r, int64_t now, size_t target)
{
	struct route_cursor cursor;

	assert_int_equal(search(r, &cursor, now).target, target);
}

static void
test_one_search_looks_whether_it_is_back(void **state)
{
	struct route *r = make_route(2);
	struct route_cursor cursor;
	struct route_choice first = search(r, &cursor, 0);

	(void)state;
	assert_true(route_set_down(r, &first.addr, 0, REST));
	expect_first(r, REST - 1, 1);
	/* The first that comes after its rest asks, and nobody else does while
	 * it hangs. */
	expect_first(r, REST, 0);
	expect_first(r, REST, 1);
	expect_first(r, 2 * REST - 1, 1);
	/* Nothing came of that, so it was given up: the next one asks. */
	expect_first(r, 2 * REST, 0);
	expect_first(r, 2 * REST, 1);
	assert_true(route_set_up(r, &first.addr));
	expect_first(r, 2 * REST, 0);
	expect_first(r, 2 * REST, 0);
	route_free(r);
}

static void
test_the_only_one_is_always_tried(void **state)
{
	struct route *r = make_route(1);
	struct route_cursor cursor;
	struct route_choice only = search(r, &cursor, 0);

	(void)state;
	assert_true(route_set_down(r, &only.addr, 0, REST));
	for (int64_t now = 0; now < 3 * REST; now += REST / 4)
		expect_first(r, now, 0);
	route_free(r);
}

static void
test_has_other(void **state)
{
	struct route *r = make_route(2);
	struct route_cursor cursor;
	struct route_choice first = search(r, &cursor, 0), second;

	(void)state;
	assert_true(route_has_other(r, &cursor, 0));
	assert_int_equal(route_next(r, &cursor, 0, &second), ROUTE_CONNECT);
	assert_false(route_has_other(r, &cursor, 0));
	/* One that rests is no reason to hurry. */
	assert_true(route_set_down(r, &second.addr, 0, REST));
	assert_int_equal(search(r, &cursor, 1).target, first.target);
	assert_false(route_has_other(r, &cursor, 1));
	assert_true(route_has_other(r, &cursor, REST));
	route_free(r);
}

/* Each that failed last, with the reason, until it is known to be back; a name
 * without addresses too. */
static void
test_how_each_does(void **state)
{
	static const char *const named[] = {"192.0.2.1:25", "mx.test:25"};
	char err[128];
	struct route *r = route_new(named, 2, err, sizeof(err));
	struct route_cursor cursor;
	struct route_choice first = search(r, &cursor, 0);
	struct route_place place;
	size_t pos = 0;

	(void)state;
	assert_true(route_each(r, &pos, &place));
	assert_string_equal(place.name, "192.0.2.1:25");
	assert_int_equal(place.health, ROUTE_UNTRIED);
	assert_string_equal(place.why, "");
	assert_true(route_each(r, &pos, &place));
	assert_string_equal(place.name, "mx.test:25");
	assert_int_equal(place.health, ROUTE_UNTRIED);
	assert_false(route_each(r, &pos, &place));
	assert_true(route_set_down(r, &first.addr, 5000, REST));
	route_set_reason(r, &first.addr, "refused");
	assert_true(route_begin_resolve(r, 1));
	assert_false(route_end_resolve(r, 1, NULL, 0, 6000, REST));
	route_set_target_reason(r, 1, "no such name");
	pos = 0;
	assert_true(route_each(r, &pos, &place));
	assert_string_equal(place.name, "192.0.2.1:25");
	assert_int_equal(place.health, ROUTE_DOWN);
	assert_string_equal(place.why, "refused");
	assert_int_equal(place.failed_at, 5000);
	assert_int_equal(place.rest_until, 5000 + REST);
	assert_true(route_each(r, &pos, &place));
	assert_string_equal(place.name, "mx.test:25");
	assert_int_equal(place.health, ROUTE_DOWN);
	assert_string_equal(place.why, "no such name");
	assert_int_equal(place.failed_at, 6000);
	assert_false(route_each(r, &pos, &place));
	assert_true(route_set_up(r, &first.addr));
	assert_true(route_end_resolve(r, 1, &first.addr, 1, 7000, REST));
	pos = 0;
	assert_true(route_each(r, &pos, &place));
	assert_int_equal(place.health, ROUTE_UP);
	assert_string_equal(place.why, "");
	assert_true(route_each(r, &pos, &place));
	assert_string_equal(place.name, "mx.test[192.0.2.1]:25");
	assert_int_equal(place.health, ROUTE_UNTRIED);
	assert_false(route_each(r, &pos, &place));
	route_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_search_looks_whether_it_is_back),
	    cmocka_unit_test(test_the_only_one_is_always_tried),
	    cmocka_unit_test(test_has_other),
	    cmocka_unit_test(test_how_each_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
