/* SPDX-License-Identifier: BSD-3-Clause */
/* Recipients asked about and given up, per client address. */
#include "relay/ask_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX 100
#define STEP 6000 /* 10 minutes for MAX of them */

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(str_from(text), &ip));
	return ip;
}

static void
test_over_at_max_and_forgiven_one_by_one(void **state)
{
	struct ask_guard *g = ask_guard_new();
	struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2");

	(void)state;
	for (int i = 0; i < MAX; i++) {
		assert_false(ask_guard_is_over(g, &a, MAX, 0));
		ask_guard_add(g, &a, 1, MAX, 0);
	}
	assert_true(ask_guard_is_over(g, &a, MAX, 0));
	assert_false(ask_guard_is_over(g, &b, MAX, 0));
	assert_true(ask_guard_is_over(g, &a, MAX, STEP - 1));
	assert_false(ask_guard_is_over(g, &a, MAX, STEP));
	ask_guard_add(g, &a, 1, MAX, STEP);
	assert_true(ask_guard_is_over(g, &a, MAX, STEP));
	ask_guard_free(g);
}

static void
test_many_at_once_are_over_for_ten_minutes(void **state)
{
	struct ask_guard *g = ask_guard_new();
	struct ip a = ip_of("2001:db8::1"), same = ip_of("2001:db8::ffff");

	(void)state;
	ask_guard_add(g, &a, 0, MAX, 0);
	assert_false(ask_guard_is_over(g, &a, MAX, 0));
	for (int i = 0; i < 10; i++)
		ask_guard_add(g, &a, SIZE_MAX, MAX, 0);
	assert_true(ask_guard_is_over(g, &same, MAX, 600000));
	assert_false(ask_guard_is_over(g, &a, MAX, 600000 + STEP));
	/* The least and the most that the option takes. */
	a = ip_of("192.0.2.1");
	ask_guard_add(g, &a, 1, 1, 0);
	assert_true(ask_guard_is_over(g, &a, 1, 0));
	a = ip_of("192.0.2.2");
	ask_guard_add(g, &a, 99999, 100000, 0);
	assert_false(ask_guard_is_over(g, &a, 100000, 0));
	ask_guard_add(g, &a, 1, 100000, 0);
	assert_true(ask_guard_is_over(g, &a, 100000, 0));
	ask_guard_free(g);
}

static void
test_bounded(void **state)
{
	struct ask_guard *g = ask_guard_new();
	struct ip late = ip_of("203.0.113.1"), a;
	char text[32];

	(void)state;
	for (unsigned i = 0; i < ASK_GUARD_ADDRESSES_MAX; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i >> 8, i & 255);
		a = ip_of(text);
		ask_guard_add(g, &a, MAX, MAX, 0);
	}
	ask_guard_add(g, &late, MAX, MAX, 1);
	assert_false(ask_guard_is_over(g, &late, MAX, 1));
	/* All are forgiven by now, and make room. */
	ask_guard_add(g, &late, MAX, MAX, 600001);
	assert_true(ask_guard_is_over(g, &late, MAX, 600001));
	ask_guard_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_over_at_max_and_forgiven_one_by_one),
	    cmocka_unit_test(test_many_at_once_are_over_for_ten_minutes),
	    cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
