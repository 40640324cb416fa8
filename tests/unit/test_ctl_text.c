/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weirctl shows: text from mail cannot steer a terminal, and tables fit.
 */
#include "base/header.h"
#include "ctl/table.h"
#include "ctl/text.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
expect_safe(const char *in, size_t columns, const char *want)
{
	char *got = text_safe(str_from(in), columns);

	assert_string_equal(got, want);
	if (columns > 0)
		assert_true(text_width(got) <= columns);
	free(got);
}

static int
use_utf8(void **state)
{
	(void)state;
	return setlocale(LC_CTYPE, "C.UTF-8") != NULL ? 0 : -1;
}

static int
use_ascii(void **state)
{
	(void)state;
	return setlocale(LC_CTYPE, "C") != NULL ? 0 : -1;
}

static void
test_safe(void **state)
{
	(void)state;
	expect_safe("plain \"text\" \\ $(x)", 0, "plain \"text\" \\ $(x)");
	expect_safe(
	    "\x1b[2J\a\r\n\t\x7f", 0, "\\x1b[2J\\x07\\x0d\\x0a\\x09\\x7f");
	expect_safe("h\xc3\xa9llo", 0, "h\xc3\xa9llo");
	expect_safe("\xc2\x9b"
		    "2J",
	    0, "?2J"); /* CSI in one character */
	expect_safe("\xe2\x80\xae"
		    "fdp.exe",
	    0, "?fdp.exe");                               /* turns it */
	expect_safe("\xe2\x80\x8b\xef\xbb\xbf", 0, "??"); /* no width */
	expect_safe("\xff\xc3", 0, "\\xff\\xc3");
	expect_safe("\xed\xa0\x80", 0, "\\xed\\xa0\\x80"); /* surrogate */
}

static void
test_cut(void **state)
{
	(void)state;
	expect_safe("abcdef", 6, "abcdef");
	expect_safe("abcdefg", 6, "abcde\xe2\x80\xa6");
	expect_safe("abc", 1, "\xe2\x80\xa6");
	/* Wide characters and escapes are never cut in two. */
	expect_safe("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 6,
	    "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2");
	expect_safe("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 4,
	    "\xe6\xbc\xa2\xe2\x80\xa6");
	expect_safe("a\x1b"
		    "bcdef",
	    6, "a\\x1b\xe2\x80\xa6");
	expect_safe("ab\x1b\x1b", 6, "ab\xe2\x80\xa6");
}

static void
test_without_utf8(void **state)
{
	(void)state;
	expect_safe("h\xc3\xa9llo", 0, "h?llo");
	expect_safe("abcdefg", 6, "abcde~");
}

static void
test_age_and_size(void **state)
{
	int64_t wall = INT64_C(1795000000000); /* 2026-11-18T11:06:40Z */
	char out[TEXT_AGE_MAX], count[TEXT_COUNT_MAX];

	(void)state;
	assert_string_equal(text_age("2026-11-18T11:06:40Z", wall, out), "0s");
	assert_string_equal(text_age("2026-11-18T11:05:41Z", wall, out), "59s");
	assert_string_equal(text_age("2026-11-18T08:06:40Z", wall, out), "3h");
	assert_string_equal(text_age("2026-11-20T11:06:40Z", wall, out), "2d");
	assert_string_equal(text_age("", wall, out), "-");
	assert_string_equal(text_age("soon", wall, out), "-");
	assert_string_equal(text_size(1023, out), "1023");
	assert_string_equal(text_size(1024, out), "1.0K");
	assert_string_equal(text_size(20 << 20, out), "20M");
	assert_string_equal(text_size(INT64_MAX, out), "8388608T");
	assert_string_equal(text_count(0, "host", "hosts", count), "0 hosts");
	assert_string_equal(text_count(1, "host", "hosts", count), "1 host");
	assert_string_equal(text_count(2, "host", "hosts", count), "2 hosts");
}

static void
test_decode(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
	    {"plain  text", "plain  text"},
	    {"=?utf-8?q?H=C3=A9llo_you?= 7", "H\xc3\xa9llo you 7"},
	    {"=?ISO-8859-1?Q?=E9?= =?utf-8*en?b?w6k=?=", "\xc3\xa9\xc3\xa9"},
	    {"a =?utf-8?B?w6nDqQ==?=  b", "a \xc3\xa9\xc3\xa9  b"},
	    {"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"},
	    {"=?no-such-set?q?a?=", "=?no-such-set?q?a?="},
	    {"=?utf-8?q?=FF?= =?utf-8?q?ok?=", "=?utf-8?q?=FF?= ok"},
	    {"=?utf-8//IGNORE?q?a?=", "=?utf-8//IGNORE?q?a?="},
	    {"=?ISO-2022-CN-EXT?q?a?=", "=?ISO-2022-CN-EXT?q?a?="},
	    {"=?utf-8?x?a?=", "=?utf-8?x?a?="},
	    {"=?utf-8?q?a=4?=", "=?utf-8?q?a=4?="},
	    {"=?utf-8?q?a?", "=?utf-8?q?a?"},
	    {"=?", "=?"},
	    {"=?utf-8?b?*?=", "=?utf-8?b?*?="},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *got = header_decode(str_from(cases[i].in));

		assert_string_equal(got, cases[i].want);
		free(got);
	}
}

/* ---- tables: what is printed is caught ---- */

static const struct table_column columns[] = {
    {.title = "ID", .keep = true, .whole = true},
    {.title = "N", .right = true, .keep = true},
    {.title = "SENDER"},
    {.title = "SUBJECT"},
};

static char *
print_table(size_t total, size_t rows)
{
	FILE *f = tmpfile();
	int was = dup(STDOUT_FILENO);
	char *text = xcalloc(1, 1u << 20);
	struct table t;

	fflush(stdout);
	dup2(fileno(f), STDOUT_FILENO);
	table_init(&t, columns, ARRAY_LEN(columns), total);
	for (size_t i = 0; i < rows; i++) {
		const char *cells[] = {"0123456789ABC",
		    i % 2 == 0 ? "7" : "4096", "alice@example.org",
		    "A rather long subject, \x1b[31m and red \xe6\xbc\xa2"};

		table_add(&t, cells);
	}
	table_finish(&t, "nothing");
	fflush(stdout);
	dup2(was, STDOUT_FILENO);
	close(was);
	rewind(f);
	assert_true(fread(text, 1, (1u << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

static void
test_table_fits(void **state)
{
	(void)state;
	for (size_t total = 25; total < 120; total++) {
		char *text = print_table(total, 500), *rest = text, *line;
		size_t lines = 0;

		for (; (line = strsep(&rest, "\n")) != NULL && *line != '\0';
		     lines++) {
			assert_true(text_width(line) <= total);
			assert_null(strchr(line, 0x1b));
			/* What one copies to another command stays whole. */
			assert_memory_equal(line,
			    lines == 0 ? "ID           " : "0123456789ABC", 13);
		}
		assert_int_equal(lines, 501);
		free(text);
	}
}

static void
test_table_uncut(void **state)
{
	char *text = print_table(0, 3);

	(void)state;
	assert_string_equal(text,
	    "ID                N  SENDER             SUBJECT\n"
	    "0123456789ABC     7  alice@example.org  A rather long subject, "
	    "\\x1b[31m and red \xe6\xbc\xa2\n"
	    "0123456789ABC  4096  alice@example.org  A rather long subject, "
	    "\\x1b[31m and red \xe6\xbc\xa2\n"
	    "0123456789ABC     7  alice@example.org  A rather long subject, "
	    "\\x1b[31m and red \xe6\xbc\xa2\n");
	free(text);
	text = print_table(0, 0);
	assert_string_equal(text, "nothing\n");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_safe, use_utf8),
	    cmocka_unit_test_setup(test_cut, use_utf8),
	    cmocka_unit_test_setup(test_without_utf8, use_ascii),
	    cmocka_unit_test(test_age_and_size),
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test_setup(test_table_fits, use_utf8),
	    cmocka_unit_test_setup(test_table_uncut, use_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
