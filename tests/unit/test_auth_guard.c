/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Failed logins per address: growing delays, forgiving, bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "front/auth_guard.h"

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(str_from(text), &ip));
	return ip;
}

static void
test_delays_grow(void **state)
{
	static const int64_t want[] = {
	    1000, 2000, 4000, 8000, 16000, 16000, 16000};
	struct auth_guard *g = auth_guard_new();
	struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(auth_guard_count(g, &a, 1000), i);
		assert_int_equal(auth_guard_failed(g, &a, 1000), want[i]);
	}
	assert_int_equal(auth_guard_count(g, &b, 1000), 0);
	assert_int_equal(auth_guard_failed(g, &b, 1000), 1000);
	auth_guard_free(g);
}

static void
test_one_a_minute_is_forgiven(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip a = ip_of("192.0.2.1");

	(void)state;
	for (int i = 0; i < 5; i++)
		auth_guard_failed(g, &a, 0);
	assert_int_equal(auth_guard_count(g, &a, 59999), 5);
	assert_int_equal(auth_guard_count(g, &a, 60000), 4);
	/* A failure does not stop the minute that runs. */
	auth_guard_failed(g, &a, 90000);
	assert_int_equal(auth_guard_count(g, &a, 90000), 5);
	assert_int_equal(auth_guard_count(g, &a, 120000), 4);
	assert_int_equal(auth_guard_count(g, &a, 3600000), 0);
	assert_int_equal(auth_guard_failed(g, &a, 3600000), 1000);
	auth_guard_free(g);
}

static void
test_a_network_of_ipv6_is_one(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip a = ip_of("2001:db8:0:1::1"), b = ip_of("2001:db8:0:1:f::2"),
		  c = ip_of("2001:db8:0:2::1");

	(void)state;
	auth_guard_failed(g, &a, 0);
	assert_int_equal(auth_guard_count(g, &b, 0), 1);
	assert_int_equal(auth_guard_count(g, &c, 0), 0);
	auth_guard_free(g);
}

static void
test_bounded(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip ip = ip_of("10.0.0.0");

	(void)state;
	for (uint32_t i = 0; i < AUTH_GUARD_ADDRESSES_MAX + 10; i++) {
		ip.bytes[1] = (uint8_t)(i >> 16);
		ip.bytes[2] = (uint8_t)(i >> 8);
		ip.bytes[3] = (uint8_t)i;
		auth_guard_failed(g, &ip, 1000);
	}
	/* No room: slow at once, not counted; a minute later there is some. */
	assert_int_equal(auth_guard_count(g, &ip, 1000), 0);
	assert_int_equal(
	    auth_guard_failed(g, &ip, 1000), AUTH_GUARD_DELAY_MAX_MS);
	assert_int_equal(auth_guard_failed(g, &ip, 62000), 1000);
	assert_int_equal(auth_guard_count(g, &ip, 62000), 1);
	auth_guard_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_delays_grow),
	    cmocka_unit_test(test_one_a_minute_is_forgiven),
	    cmocka_unit_test(test_a_network_of_ipv6_is_one),
	    cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
