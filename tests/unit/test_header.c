/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a Message-ID is called, and text without case. (Encoded words are in
 * test_ctl_text.c.)
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "base/fold.h"
#include "base/header.h"

#include <stdlib.h>
#include <string.h>

static void
test_message_id(void **state)
{
	static const struct {
		const char *raw, *id;
	} cases[] = {
	    {"<a@b>", "a@b"},
	    {" <a@b>\r\n", "a@b"},
	    {"\r\n\t<a@b> (comment)", "a@b"},
	    {"a@b", "a@b"},
	    {"  a@b c", "a@b"},
	    {"<a@b", "a@b"},
	    {"<>", ""},
	    {"<", ""},
	    {">", ">"},
	    {"", ""},
	    {" \t", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *got = str_dup(header_message_id(str_from(cases[i].raw)));

		assert_string_equal(cases[i].id, got);
		free(got);
	}
}

static void
test_fold(void **state)
{
	static const struct {
		const char *text, *folded;
	} cases[] = {
	    {"Hello, World", "hello, world"},
	    {"\xc3\x84NDERUNG \xc3\x9c", "\xc3\xa4nderung \xc3\xbc"},
	    {"\xd0\x9f\xd1\x80\xd0\x98", "\xd0\xbf\xd1\x80\xd0\xb8"},
	    {"\xce\xa3", "\xcf\x83"},
	    {"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"},
	    /* What is no UTF-8 stays. */
	    {"A\xff\xc3", "a\xff\xc3"},
	    {"", ""},
	};
	struct fold *f = fold_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str got = fold_text(f, str_from(cases[i].text));

		assert_int_equal(strlen(cases[i].folded), got.n);
		assert_memory_equal(cases[i].folded, got.p, got.n);
	}
	assert_true(fold_has(f, STR("\xc3\x84nderung"), STR("\xc3\xa4nd")));
	assert_true(fold_has(f, STR("x"), STR("")));
	assert_false(fold_has(f, STR("short"), STR("shorter")));
	fold_free(f);
}

/* More than there is room for is cut, and nothing is written past it. */
static void
test_fold_long(void **state)
{
	struct fold *f = fold_new();
	char *text = xmalloc(FOLD_MAX + 100);

	(void)state;
	memset(text, 'A', FOLD_MAX + 100);
	text[FOLD_MAX - 1] = '\xc3'; /* a character is cut in two */
	text[FOLD_MAX] = '\x84';
	assert_int_equal(
	    FOLD_MAX, fold_text(f, (struct str){text, FOLD_MAX + 100}).n);
	free(text);
	fold_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_message_id),
	    cmocka_unit_test(test_fold),
	    cmocka_unit_test(test_fold_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
