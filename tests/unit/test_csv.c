/* SPDX-License-Identifier: BSD-3-Clause */
/* Cells of a table with commas: what is quoted, and what is defused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "replay/csv.h"

static char *text;
static size_t text_n;

static struct csv
begin(void)
{
	struct csv c = {.out = open_memstream(&text, &text_n)};

	assert_non_null(c.out);
	return c;
}

static void
assert_written(struct csv *c, const char *expected)
{
	assert_int_equal(fclose(c->out), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void
test_rows(void **state)
{
	static const char *const heads[] = {"a", "b,c", NULL};
	struct csv c = begin();

	(void)state;
	csv_heads(&c, heads);
	csv_text(&c, STR("say \"x\""));
	csv_number(&c, 7);
	csv_duration(&c, 1500);
	csv_end_row(&c);
	assert_written(&c, "\"a\",\"b,c\"\r\n\"say \"\"x\"\"\",7,1.5\r\n");
}

static void
test_formulas(void **state)
{
	static const char *const bad[] = {"=1+1", "+1", "-1", "@SUM(A1)"};
	struct csv c = begin();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		csv_text(&c, str_from(bad[i]));
	csv_text(&c, STR("a=b"));
	assert_written(&c, "\"'=1+1\",\"'+1\",\"'-1\",\"'@SUM(A1)\",\"a=b\"");
}

/* A line end within a cell, a tab in front, and what is no UTF-8. */
static void
test_control_characters(void **state)
{
	struct csv c = begin();

	(void)state;
	csv_text(&c, STR("\t=x\r\ny\xff"));
	assert_written(
	    &c, "\"'\xef\xbf\xbd=x\xef\xbf\xbd\xef\xbf\xbdy\xef\xbf\xbd\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_formulas),
	    cmocka_unit_test(test_control_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
