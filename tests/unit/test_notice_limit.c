/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Delay notices to one address: so many in a window, counted apart, and the
 * number of addresses counted is bounded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "delivery/notice_limit.h"
#include "delivery/report_limit.h"

#define DAY (INT64_C(24) * 3600 * 1000)

static bool
take(struct notice_limit *l, const char *address, int64_t now)
{
	return notice_limit_take(l, str_from(address), 2, DAY, now);
}

static void
test_window(void **state)
{
	struct notice_limit *l = notice_limit_new();

	(void)state;
	assert_true(take(l, "a@example.org", 5));
	assert_true(take(l, "A@Example.org", 6));
	assert_false(take(l, "a@example.org", 7));
	assert_true(take(l, "b@example.org", 7));
	assert_false(take(l, "a@example.org", 4 + DAY));
	assert_true(take(l, "a@example.org", 5 + DAY));
	assert_true(take(l, "a@example.org", 6 + DAY));
	assert_false(take(l, "a@example.org", 7 + DAY));
	notice_limit_free(l);
}

/* By source, then by the base of the address. */
static void
test_reports(void **state)
{
	static const struct option_rate three = {3, DAY}, two = {2, DAY};
	struct report_limit *l = report_limit_new();
	int64_t wait = 0;

	(void)state;
	assert_true(report_limit_take(
	    l, STR("alice"), &three, STR("a+1@x"), &two, 0, &wait));
	assert_true(report_limit_take(
	    l, STR("bob"), &three, STR("prvs=12ab=a@x"), &two, 0, &wait));
	assert_false(report_limit_take(
	    l, STR("alice"), &three, STR("A@X"), &two, 0, &wait));
	assert_int_equal(wait, DAY);
	assert_true(report_limit_take(
	    l, STR("alice"), &three, STR("b@x"), &two, 0, &wait));
	assert_false(report_limit_take(
	    l, STR("alice"), &three, STR("c@x"), &two, 0, &wait));
	assert_true(report_limit_take(
	    l, STR("alice"), &three, STR("c@x"), &two, DAY, &wait));
	report_limit_free(l);
}

static void
test_no_limit(void **state)
{
	struct notice_limit *l = notice_limit_new();

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(notice_limit_take(l, STR("a@x"), 0, 0, i));
	notice_limit_free(l);
}

static void
test_many_addresses(void **state)
{
	struct notice_limit *l = notice_limit_new();
	char name[32];

	(void)state;
	for (unsigned i = 0; i < NOTICE_LIMIT_SENDERS_MAX; i++) {
		snprintf(name, sizeof(name), "%u@example.org", i);
		assert_true(take(l, name, 1));
	}
	/* One more is not counted, hence not told; the known ones are. */
	assert_false(take(l, "more@example.org", 2));
	assert_true(take(l, "7@example.org", 2));
	/* When their windows are over there is room again. */
	assert_true(take(l, "more@example.org", 1 + DAY));
	notice_limit_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_no_limit),
	    cmocka_unit_test(test_reports),
	    cmocka_unit_test(test_many_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
