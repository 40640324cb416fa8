/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slices: searching, cutting, matching, and text made safe to show; errors in
 * words.
 */
#include "base/err.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_compare(void **state)
{
	(void)state;
	assert_true(str_eq(str_from(NULL), STR("")));
	assert_true(str_eq(STR("ab"), STR("ab")));
	assert_false(str_eq(STR("ab"), STR("aB")));
	assert_true(str_ieq(STR("aZ@["), STR("Az@[")));
	/* '@' and '`' differ by the bit that folds letters. */
	assert_false(str_ieq(STR("@"), STR("`")));
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_false(str_starts(STR("a"), STR("ab")));
	assert_true(str_istarts(STR("MAIL FROM"), STR("mail")));
	assert_true(str_iends(STR("x.EXAMPLE"), STR(".example")));
	assert_false(str_iends(STR("le"), STR("ple")));
}

static void
test_cut(void **state)
{
	struct str s = STR("a,b,,c"), rest = STR("  x \t");

	(void)state;
	assert_int_equal(str_index(s, ','), 1);
	assert_int_equal(str_rindex(s, ','), 4);
	assert_int_equal(str_rindex(s, 'x'), s.n);
	assert_true(str_eq(str_cut(&s, ','), STR("a")));
	assert_true(str_eq(str_cut(&s, ','), STR("b")));
	assert_true(str_eq(str_cut(&s, ','), STR("")));
	assert_true(str_eq(str_cut(&s, ','), STR("c")));
	assert_true(str_is_empty(s));
	assert_true(str_is_empty(str_cut(&s, ',')));
	assert_true(str_eq(str_trim(rest), STR("x")));
	assert_true(str_is_empty(str_trim(STR(" \t"))));
	assert_true(str_eq(str_sub(STR("abc"), 1, 99), STR("bc")));
	assert_true(str_is_empty(str_sub(STR("abc"), 9, 9)));
}

static void
test_to_u64(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_true(str_to_u64(STR("18446744073709551615"), &v));
	assert_true(v == UINT64_MAX);
	assert_false(str_to_u64(STR("18446744073709551616"), &v));
	assert_false(str_to_u64(STR("99999999999999999999"), &v));
	assert_false(str_to_u64(STR(""), &v));
	assert_false(str_to_u64(STR("-1"), &v));
	assert_false(str_to_u64(STR("+1"), &v));
	assert_false(str_to_u64(STR(" 1"), &v));
	assert_false(str_to_u64(STR("1x"), &v));
	assert_true(v == UINT64_MAX); /* untouched by failures */
	assert_true(str_to_u64(STR("007"), &v));
	assert_int_equal(v, 7);
}

static void
test_copy(void **state)
{
	char out[4] = "zzz", *dup;

	(void)state;
	assert_int_equal(str_copy(STR("abcdef"), out, sizeof(out)), 3);
	assert_string_equal(out, "abc");
	assert_int_equal(str_copy(STR("abc"), out, 0), 0);
	assert_string_equal(out, "abc");
	assert_int_equal(str_copy(str_from(NULL), out, 4), 0);
	assert_string_equal(out, "");
	dup = str_dup(STR("x\0y"));
	assert_memory_equal(dup, "x\0y", 4);
	free(dup);
}

static void
test_glob(void **state)
{
	(void)state;
	assert_true(str_iglob(STR("*@Example.org"), STR("Joe@example.ORG")));
	assert_true(str_iglob(STR("*"), STR("")));
	assert_true(str_iglob(STR("a?c*"), STR("abc")));
	assert_false(str_iglob(STR("a?c"), STR("ac")));
	assert_false(str_iglob(STR(""), STR("a")));
	assert_true(str_iglob(STR("a*b*c"), STR("aXbXbXc")));
	assert_false(str_iglob(STR("a*b*c"), STR("aXbXbX")));
	assert_true(str_iglob(STR("**x"), STR("x")));
}

static void
assert_escape(struct str in, size_t cap, const char *want)
{
	char out[64];

	memset(out, '#', sizeof(out));
	assert_ptr_equal(str_escape(in, out, 0), out);
	assert_int_equal(out[0], '#');
	assert_ptr_equal(str_escape(in, out, cap), out);
	assert_string_equal(out, want);
	for (size_t i = cap; i < sizeof(out); i++)
		assert_int_equal(out[i], '#');
}

static void
test_shown(void **state)
{
	(void)state;
	assert_int_equal(str_shown(STR("a\x1b")), 1);
	assert_int_equal(str_shown(STR("\"\\")), 1);
	assert_int_equal(str_shown(STR("\xc3\xbc")), 2);
	assert_int_equal(str_shown(STR("\x1b[")), 0);
	assert_int_equal(str_shown(STR("\xc2\x9b")), 0);
	assert_int_equal(str_shown(STR("\xe2\x80\xae")), 0);
	assert_int_equal(str_shown(STR("\xff")), 0);
	assert_true(str_is_shown(STR("J\xc3\xbcrg")));
	assert_true(str_is_shown(STR("")));
	assert_false(str_is_shown(STR("a\tb")));
	assert_false(str_is_shown(STR("a\xc3")));
}

static void
test_escape(void **state)
{
	(void)state;
	assert_escape(STR("plain text"), 64, "plain text");
	assert_escape(STR("a\r\nb\0c\x7f"), 64, "a\\x0d\\x0ab\\x00c\\x7f");
	assert_escape(STR("\"\\"), 64, "\\x22\\x5c");
	assert_escape(STR("J\xc3\xbcrg \xf0\x9f\x93\xa7"), 64,
	    "J\xc3\xbcrg \xf0\x9f\x93\xa7");
	/* Cut off, overlong, surrogate, past the end, lone continuation. */
	assert_escape(STR("\xc3"), 64, "\\xc3");
	assert_escape(STR("\xc0\xaf"), 64, "\\xc0\\xaf");
	assert_escape(STR("\xed\xa0\x80"), 64, "\\xed\\xa0\\x80");
	assert_escape(STR("\xf4\x90\x80\x80"), 64, "\\xf4\\x90\\x80\\x80");
	assert_escape(STR("\x80z\xff"), 64, "\\x80z\\xff");
	/* C1 control and right-to-left override. */
	assert_escape(STR("\xc2\x9b"), 64, "\\xc2\\x9b");
	assert_escape(STR("\xe2\x80\xae"), 64, "\\xe2\\x80\\xae");
}

static void
test_escape_cut(void **state)
{
	(void)state;
	assert_escape(STR("abcdefgh"), 9, "abcdefgh");
	assert_escape(STR("abcdefgh"), 8, "abcd...");
	assert_escape(STR("ab\n"), 6, "ab...");
	assert_escape(STR("a\xc3\xbc\xc3\xbc\xc3\xbc"), 7, "a\xc3\xbc...");
	assert_escape(STR("abc"), 3, "..");
	assert_escape(STR("abc"), 1, "");
}

static void
test_utf8(void **state)
{
	uint32_t code;

	(void)state;
	assert_true(str_is_utf8(STR("")));
	assert_true(str_is_utf8(STR("\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80")));
	assert_true(str_is_utf8(STR("\xf4\x8f\xbf\xbf\xed\x9f\xbf")));
	assert_false(str_is_utf8(STR("\xf8\x88\x80\x80\x80")));
	assert_false(str_is_utf8(STR("\xe0\x9f\xbf")));
	assert_false(str_is_utf8(STR("a\xe2\x82")));
	assert_int_equal(str_utf8(STR("\xe2\x82\xac\x80"), &code), 3);
	assert_int_equal(code, 0x20ac);
	assert_int_equal(str_utf8(STR("\xe2\x82"), &code), 0);
	assert_true(
	    str_is_alnum('z') && str_is_alnum('A') && str_is_alnum('0'));
	assert_false(
	    str_is_alnum('\0') || str_is_alnum('-') || str_is_alnum('\xe4'));
	assert_true(str_is_ascii(STR("a\x7f")));
	assert_false(str_is_ascii(STR("\x80")));
}

static void
test_err(void **state)
{
	struct err e;
	char longer[ERR_TEXT_MAX + 8];

	(void)state;
	assert_false(err_set(&e, "\"%s\" is no number", "x"));
	assert_false(err_set(&e, "%s:%d: %s", "weir.conf", 7, e.text));
	assert_string_equal(e.text, "weir.conf:7: \"x\" is no number");
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_set(&e, "%s", longer);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_compare),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_to_u64),
	    cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_glob),
	    cmocka_unit_test(test_escape),
	    cmocka_unit_test(test_shown),
	    cmocka_unit_test(test_escape_cut),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_err),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
