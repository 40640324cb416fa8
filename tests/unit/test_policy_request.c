/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The policy protocol's parser: what Postfix sends, and what it does not.
 */
#include "policyd/policy_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct policy_parser parser;

static enum policy_parse
feed(const char *text)
{
	struct str in = str_from(text);

	policy_parser_init(&parser);
	return policy_parse(&parser, &in);
}

static void
test_a_request_as_postfix_sends_it(void **state)
{
	(void)state;
	assert_int_equal(
	    feed("request=smtpd_access_policy\n"
		 "protocol_state=RCPT\nsender=a@b.c\n"
		 "recipient=d@e.f\nclient_address=192.0.2.1\n"
		 "sasl_username=alice\ninstance=1.2.3\nfuture=x\n\n"),
	    POLICY_DONE);
	assert_string_equal(parser.request.request, "smtpd_access_policy");
	assert_string_equal(parser.request.protocol_state, "RCPT");
	assert_string_equal(parser.request.sender, "a@b.c");
	assert_string_equal(parser.request.recipient, "d@e.f");
	assert_string_equal(parser.request.client_address, "192.0.2.1");
	assert_string_equal(parser.request.sasl_username, "alice");
	assert_string_equal(parser.request.instance, "1.2.3");
	assert_false(parser.request.cut);
}

static void
test_equals_signs_belong_to_the_value(void **state)
{
	(void)state;
	assert_int_equal(feed("sender=prvs=1=a@b\n\n"), POLICY_DONE);
	assert_string_equal(parser.request.sender, "prvs=1=a@b");
	assert_int_equal(feed("sender=\n\n"), POLICY_DONE);
	assert_string_equal(parser.request.sender, "");
	assert_int_equal(feed("sender=long one\nsender=x\n\n"), POLICY_DONE);
	assert_string_equal(parser.request.sender, "x");
}

static void
test_long_attributes_take_no_memory(void **state)
{
	char *text = xmalloc(200000);
	size_t n;

	(void)state;
	memset(text, 'x', 199999);
	text[199999] = '\0';
	memcpy(text, "unknown_thing=", 14);
	memcpy(text + 199997, "\n\n", 2);
	assert_int_equal(feed(text), POLICY_DONE);
	assert_false(parser.request.cut);
	memcpy(text, "recipient=a@b.c\nsender=", 23);
	assert_int_equal(feed(text), POLICY_DONE);
	assert_true(parser.request.cut);
	n = strlen(parser.request.sender);
	assert_int_equal(n, POLICY_VALUE_MAX - 1);
	assert_string_equal(parser.request.recipient, "a@b.c");
	free(text);
}

static void
test_garbage_is_told(void **state)
{
	struct str nul = {"sender=\0x\n\n", 11};
	struct str much = {NULL, 65536};
	char *mem = xcalloc(1, much.n);
	int i;

	(void)state;
	assert_int_equal(feed("GET / HTTP/1.1\n\n"), POLICY_BAD);
	policy_parser_init(&parser);
	assert_int_equal(policy_parse(&parser, &nul), POLICY_BAD);
	memset(mem, 'y', much.n);
	policy_parser_init(&parser);
	for (i = 0; i < 100; i++) {
		much = (struct str){mem, 65536};
		if (policy_parse(&parser, &much) == POLICY_BAD)
			break;
	}
	assert_int_equal(i, POLICY_REQUEST_MAX / 65536);
	free(mem);
}

static void
test_two_requests_in_one_piece(void **state)
{
	struct str in = STR("sender=a@b\n\nsender=c@d\n\nsen");

	(void)state;
	policy_parser_init(&parser);
	assert_int_equal(policy_parse(&parser, &in), POLICY_DONE);
	assert_string_equal(parser.request.sender, "a@b");
	policy_parser_init(&parser);
	assert_int_equal(policy_parse(&parser, &in), POLICY_DONE);
	assert_string_equal(parser.request.sender, "c@d");
	policy_parser_init(&parser);
	assert_int_equal(policy_parse(&parser, &in), POLICY_MORE);
	in = STR("der=e@f\n\n");
	assert_int_equal(policy_parse(&parser, &in), POLICY_DONE);
	assert_string_equal(parser.request.sender, "e@f");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_request_as_postfix_sends_it),
	    cmocka_unit_test(test_equals_signs_belong_to_the_value),
	    cmocka_unit_test(test_long_attributes_take_no_memory),
	    cmocka_unit_test(test_garbage_is_told),
	    cmocka_unit_test(test_two_requests_in_one_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
