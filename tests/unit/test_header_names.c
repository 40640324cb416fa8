/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses that a header names, however it is cut, and what is none.
 */
#include "smtp/header_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char got[4096];

static void
on_name(void *arg, struct str address)
{
	size_t n = strlen(got);

	(void)arg;
	assert_true(n + address.n + 2 < sizeof(got));
	memcpy(got + n, address.p, address.n);
	memcpy(got + n + address.n, " ", 2);
}

static const char *
names_in(struct str text, size_t piece)
{
	struct smtp_header_names s;

	got[0] = '\0';
	smtp_header_names_init(&s);
	for (size_t i = 0; i < text.n; i += piece)
		smtp_header_names_feed(
		    &s, str_sub(text, i, piece), on_name, NULL);
	return got;
}

static void
test_fields(void **state)
{
	static const struct str text =
	    STR("Received: from a@b.test by x\r\n"
		"From: \"A, B\" <a@x.test>\r\n"
		"reply-to:\ttrap@x.test,\r\n"
		"\tmore@x.test (a comment c@x.test)\r\n"
		"Subject: not@x.test\r\n"
		" nor@x.test\r\n"
		"CC : group: one@x.test; two@x.test\r\n"
		"To: @x.test, x@, plain\r\n"
		"bad line\r\n"
		" x@bad.test\r\n"
		"\r\n"
		"From: body@x.test\r\n");

	(void)state;
	for (size_t piece = 1; piece <= text.n; piece++)
		assert_string_equal(names_in(text, piece),
		    "a@x.test trap@x.test more@x.test c@x.test one@x.test "
		    "two@x.test ");
}

static void
test_bounds(void **state)
{
	struct str text = {NULL, 200000};
	char *p = xmalloc(text.n);
	struct smtp_header_names s;

	(void)state;
	text.p = p;
	memset(p, 'a', text.n);
	memcpy(p, "To: x@y.test,", 13);
	memcpy(p + 20, "@", 1);
	assert_string_equal(names_in(text, 1000), "x@y.test ");
	smtp_header_names_init(&s);
	smtp_header_names_feed(&s, text, on_name, NULL);
	assert_true(smtp_header_names_are_over(&s));
	/* A long word, and then an address. */
	memcpy(p + 400, ",z@y.test,", 10);
	assert_string_equal(names_in(text, 7), "x@y.test z@y.test ");
	free(p);
}

static void
test_one_field(void **state)
{
	(void)state;
	got[0] = '\0';
	smtp_header_names_of(
	    STR("Cc"), STR(" a@x.test,\n\tb@x.test"), on_name, NULL);
	smtp_header_names_of(STR("Subject"), STR("c@x.test"), on_name, NULL);
	assert_string_equal(got, "a@x.test b@x.test ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_one_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
