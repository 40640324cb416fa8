/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The date of a trace header, beside what strftime makes of it.
 */
#include "front/settle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#define DAY_MS (INT64_C(86400) * 1000)

static void
test_every_day(void **state)
{
	char ours[SETTLE_DATE_MAX], theirs[SETTLE_DATE_MAX];

	(void)state;
	for (int64_t day = 0; day < INT64_C(400) * 366; day++) {
		/* At another second of each. */
		int64_t wall = day * DAY_MS + day * 7919 * 1000 % DAY_MS + 999;
		time_t t = (time_t)(wall / 1000);
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		strftime(
		    theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S +0000", &tm);
		assert_string_equal(settle_date(wall, ours), theirs);
	}
	assert_string_equal(
	    settle_date(0, ours), "Thu, 01 Jan 1970 00:00:00 +0000");
	/* A clock beyond all years. */
	assert_string_equal(settle_date(INT64_MAX, ours), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
