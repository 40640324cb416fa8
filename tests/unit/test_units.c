/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Durations, sizes, rates and times: what is read, refused and shown.
 */
#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
assert_duration(const char *text, int64_t want)
{
	int64_t ms = -1;

	assert_true(units_parse_duration(str_from(text), &ms));
	assert_true(ms == want);
}

static void
test_duration(void **state)
{
	static const char *const bad[] = {"", "60", "s", "-5s", "5 s", "5sec",
	    "5 parsecs", "1.5h", "5S", "36526d", "5218w",
	    "18446744073709551616ms", "9223372036854775807w", "1h30m"};
	int64_t ms;

	(void)state;
	assert_duration("0", 0);
	assert_duration("0s", 0);
	assert_duration("500ms", 500);
	assert_duration("90s", 90000);
	assert_duration("5m", 300000);
	assert_duration("1h", 3600000);
	assert_duration("2d", 172800000);
	assert_duration("1w", 604800000);
	assert_duration("36525d", 3155760000000);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(units_parse_duration(str_from(bad[i]), &ms));
}

static void
test_size(void **state)
{
	static const char *const bad[] = {"", "K", "1KB", "1.5M", "-1", "1P",
	    "16777216T", "18446744073709551615K", "1 M"};
	uint64_t v;

	(void)state;
	assert_true(units_parse_size(STR("256K"), &v) && v == 262144);
	assert_true(units_parse_size(STR("50M"), &v) && v == 52428800);
	assert_true(units_parse_size(STR("2g"), &v) && v == 2147483648);
	assert_true(units_parse_size(STR("1T"), &v) && v == 1099511627776);
	assert_true(units_parse_size(STR("123"), &v) && v == 123);
	assert_true(units_parse_size(STR("16777215T"), &v));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(units_parse_size(str_from(bad[i]), &v));
}

static void
test_rate(void **state)
{
	static const char *const bad[] = {"", "/", "100", "100/", "/1h", "0/1h",
	    "5/0", "5/0s", "5/60", "4294967296/1h", "5/1h/1h", "-1/1h"};
	uint32_t count;
	int64_t window;

	(void)state;
	assert_true(units_parse_rate(STR("100/1h"), &count, &window));
	assert_int_equal(count, 100);
	assert_true(window == 3600000);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(
		    units_parse_rate(str_from(bad[i]), &count, &window));
}

static void
assert_shown(int64_t ms, const char *want)
{
	char out[UNITS_TEXT_MAX];

	assert_string_equal(units_format_duration(ms, out), want);
}

static void
test_format_duration(void **state)
{
	(void)state;
	assert_shown(0, "0s");
	assert_shown(1, "1ms");
	assert_shown(1500, "1s 500ms");
	assert_shown(60000, "1m");
	assert_shown(250000, "4m 10s");
	assert_shown(183600000, "2d 3h");
	assert_shown(172800000 + 59000, "2d");
	assert_shown(864000000, "10d");
	assert_shown(-250000, "-4m 10s");
	assert_shown(INT64_MAX, "106751991167d 7h");
	assert_shown(INT64_MIN, "-106751991167d 7h");
}

static void
test_format_size(void **state)
{
	char out[UNITS_TEXT_MAX];

	(void)state;
	assert_string_equal(units_format_size(0, out), "0");
	assert_string_equal(units_format_size(1023, out), "1023");
	assert_string_equal(units_format_size(1024, out), "1K");
	assert_string_equal(units_format_size(1536, out), "1.5K");
	assert_string_equal(units_format_size(1048575, out), "1023.9K");
	assert_string_equal(units_format_size(52428800, out), "50M");
	assert_string_equal(units_format_size(UINT64_MAX, out), "16777215.9T");
}

static void
test_format_time(void **state)
{
	char out[UNITS_TEXT_MAX];

	(void)state;
	assert_string_equal(units_format_time(0, out), "1970-01-01T00:00:00Z");
	assert_string_equal(
	    units_format_time(1709164799999, out), "2024-02-28T23:59:59Z");
	assert_string_equal(units_format_time(-1, out), "1969-12-31T23:59:59Z");
	assert_string_equal(units_format_time(INT64_MAX, out), "-");
}

static void
test_parse_time(void **state)
{
	static const char *const wrong[] = {"", "2026", "2026-13-01",
	    "2026-02-29", "2026-00-10", "2026-01-00", "2026-1-1", "26-01-01",
	    "2026-01-01T", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z",
	    "2026-01-01T00:60:00Z", "2026-01-01T00:00:00Zx",
	    "2026-01-01 00:00:00Z", "-026-01-01", "2026-01-01x"};
	char out[UNITS_TEXT_MAX];
	int64_t at;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(units_parse_time(str_from(wrong[i]), &at));
	assert_true(units_parse_time(STR("2024-02-29"), &at));
	assert_string_equal(units_format_time(at, out), "2024-02-29T00:00:00Z");
	assert_true(units_parse_time(STR("2024-02-28T23:59:59Z"), &at));
	assert_int_equal(at, 1709164799000);
	assert_true(units_parse_time(STR("1970-01-01"), &at));
	assert_int_equal(at, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_duration),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_rate),
	    cmocka_unit_test(test_format_duration),
	    cmocka_unit_test(test_parse_time),
	    cmocka_unit_test(test_format_size),
	    cmocka_unit_test(test_format_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
