/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Local parts and their quotes.
 */
#include "base/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
test_plain(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"a@x", "a@x"},
	    {"\"a\"@x", "a@x"},
	    {"\"A.b\"@X.", "A.b@X."},
	    {"\"a\\b\"@x", "ab@x"},
	    {"\"\\a\\b\"", "ab"},
	    {"\"a+t\"@x", "a+t@x"},
	    {"\"\xc3\xa9\"@x", "\xc3\xa9@x"},
	    {"\"a b\"@x", "\"a b\"@x"},
	    {"\"a\\ \\b\"@x", "\"a b\"@x"},
	    {"\"a@b\"@x", "\"a@b\"@x"},
	    {"\"\\\"\"@x", "\"\\\"\"@x"},
	    {"\"\\\\\"@x", "\"\\\\\"@x"},
	    {"\"\"@x", "\"\"@x"},
	    /* No addresses: as they came. */
	    {"", ""},
	    {"\"", "\""},
	    {"\"a@x", "\"a@x"},
	    {"\"a\\\"", "\"a\\\""},
	    {"\"a\"b@x", "\"a\"b@x"},
	    {"\"a\nb\"@x", "\"a\nb\"@x"},
	    {"\"a\\\xc3\xa9\"@x", "\"a\\\xc3\xa9\"@x"},
	};
	char out[MAILBOX_PLAIN_MAX], again[MAILBOX_PLAIN_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str plain = mailbox_plain(str_from(rows[i].in), out);

		if (!str_eq(plain, str_from(rows[i].out)))
			fail_msg("%s: %.*s", rows[i].in, STR_ARG(plain));
		assert_true(str_eq(mailbox_plain(plain, again), plain));
	}
}

/* Written by byte to one that is full, and longer ones left alone. */
static void
test_long(void **state)
{
	char in[MAILBOX_PLAIN_MAX + 1], out[MAILBOX_PLAIN_MAX];
	struct str plain;

	(void)state;
	memset(in, 'a', sizeof(in));
	in[0] = '"';
	memcpy(in + MAILBOX_PLAIN_MAX - 3, "\"@x", 3);
	plain = mailbox_plain((struct str){in, MAILBOX_PLAIN_MAX}, out);
	assert_int_equal(plain.n, MAILBOX_PLAIN_MAX - 2);
	in[1] = ' ';
	plain = mailbox_plain((struct str){in, MAILBOX_PLAIN_MAX}, out);
	assert_int_equal(plain.n, MAILBOX_PLAIN_MAX);
	plain = mailbox_plain((struct str){in, MAILBOX_PLAIN_MAX + 1}, out);
	assert_ptr_equal(plain.p, in);
}

static void
test_lengths(void **state)
{
	(void)state;
	assert_int_equal(mailbox_local_length(STR("a.b@x")), 3);
	assert_int_equal(mailbox_local_length(STR(".a.@x")), 3);
	assert_int_equal(mailbox_local_length(STR("\"a b\"@x")), 5);
	assert_int_equal(mailbox_local_length(STR("@x")), 0);
	assert_int_equal(mailbox_local_length((struct str){"a\0b", 3}), 1);
	assert_int_equal(mailbox_quoted_length(STR("a\"b\"")), 0);
	assert_int_equal(mailbox_quoted_length(STR("\"a\\")), 0);
}

static void
test_indirect(void **state)
{
	static const char *const direct[] = {"a@x", "\"a b\"@x", "a+b=c@x",
	    "\"a\\\\b\"@x", "a@[127.0.0.1]", "#$&'*/?^_`{|}~@x"};
	static const char *const indirect[] = {"a%y@x", "y!a@x", "\"a@y\"@x",
	    "\"a%y\"@x", "\"y!a\"@x", "\"a\\@y\"@x", "\"@r:a\"@x", "a", "",
	    "@x", "a b@x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(direct); i++)
		assert_false(mailbox_is_indirect(str_from(direct[i])));
	for (size_t i = 0; i < ARRAY_LEN(indirect); i++)
		assert_true(mailbox_is_indirect(str_from(indirect[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_long),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_indirect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
