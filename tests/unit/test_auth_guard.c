/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Failed logins per address and user: growing delays, forgiving, the line of an
 * address, bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "relay/auth_guard.h"

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
		assert_int_equal(
		    auth_guard_failed(g, &a, STR("u"), 1000), want[i]);
	}
	assert_int_equal(auth_guard_count(g, &b, 1000), 0);
	assert_int_equal(auth_guard_failed(g, &b, STR("u"), 1000), 1000);
	auth_guard_free(g);
}

static void
test_one_a_minute_is_forgiven(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip a = ip_of("192.0.2.1");

	(void)state;
	for (int i = 0; i < 5; i++)
		auth_guard_failed(g, &a, STR("u"), 0);
	assert_int_equal(auth_guard_count(g, &a, 59999), 5);
	assert_int_equal(auth_guard_count(g, &a, 60000), 4);
	/* A failure does not stop the minute that runs. */
	auth_guard_failed(g, &a, STR("u"), 90000);
	assert_int_equal(auth_guard_count(g, &a, 90000), 5);
	assert_int_equal(auth_guard_count(g, &a, 120000), 4);
	assert_int_equal(auth_guard_count(g, &a, 3600000), 0);
	assert_int_equal(auth_guard_failed(g, &a, STR("u"), 3600000), 1000);
	auth_guard_free(g);
}

static void
test_a_network_of_ipv6_is_one(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip a = ip_of("2001:db8:0:1::1"), b = ip_of("2001:db8:0:1:f::2"),
		  c = ip_of("2001:db8:0:2::1");

	(void)state;
	auth_guard_failed(g, &a, STR("u"), 0);
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
		auth_guard_failed(g, &ip, STR("u"), 1000);
	}
	/* No room: slow at once, not counted; a minute later there is some. */
	assert_int_equal(auth_guard_count(g, &ip, 1000), 0);
	assert_int_equal(
	    auth_guard_failed(g, &ip, STR("u"), 1000), AUTH_GUARD_DELAY_MAX_MS);
	assert_int_equal(auth_guard_failed(g, &ip, STR("u"), 62000), 1000);
	assert_int_equal(auth_guard_count(g, &ip, 62000), 1);
	auth_guard_free(g);
}

#define CAP 20

static struct auth_guard_answer
ask(struct auth_guard *g, const struct ip *ip, const char *user, int64_t now)
{
	return auth_guard_ask(g, ip, str_from(user), CAP, now);
}

static void
guess(struct auth_guard *g, const struct ip *ip, const char *user, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		auth_guard_failed(g, ip, str_from(user), 0);
}

static void
guess_many(struct auth_guard *g, const struct ip *ip, unsigned n)
{
	char user[16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(user, sizeof(user), "x%u", i);
		guess(g, ip, user, 1);
	}
}

/* A user is locked where somebody guessed, and nowhere else. */
static void
test_a_user_is_locked_at_one_address(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip nat = ip_of("192.0.2.1"), home = ip_of("192.0.2.2");
	struct auth_guard_answer a;

	(void)state;
	guess(g, &nat, "Alice", CAP);
	a = ask(g, &nat, "alice", 0);
	assert_false(a.may);
	assert_true(a.of_user);
	assert_int_equal(a.wait_ms, AUTH_GUARD_FORGIVE_MS);
	assert_true(auth_guard_is_locked(g, &nat, STR("alice"), CAP, 0));
	assert_true(ask(g, &home, "alice", 0).may);
	assert_false(auth_guard_is_locked(g, &home, STR("alice"), CAP, 0));
	/* Others at that address are served, bob at once. */
	assert_true(ask(g, &nat, "bob", 0).may);
	assert_int_equal(ask(g, &home, "bob", 0).wait_ms, 0);
	assert_true(ask(g, &nat, "alice", AUTH_GUARD_FORGIVE_MS).may);
	auth_guard_free(g);
}

/* Guesses at many users of one address: those that it knows go on, others
 * stand in a line that becomes slower. */
static void
test_the_line_of_an_address(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip nat = ip_of("192.0.2.1");
	struct auth_guard_answer a;

	(void)state;
	auth_guard_passed(g, &nat, STR("known"), 0);
	guess_many(g, &nat, CAP);
	for (int i = 0; i < 3; i++) {
		a = ask(g, &nat, "known", 0);
		assert_true(a.may);
		assert_int_equal(a.wait_ms, 0);
	}
	for (int i = 0; i <= 10; i++) {
		a = ask(g, &nat, "new", 0);
		assert_true(a.may);
		assert_int_equal(a.wait_ms, i * 2000);
	}
	a = ask(g, &nat, "new", 0);
	assert_false(a.may);
	assert_false(a.of_user);
	assert_int_equal(a.wait_ms, 22000);
	assert_true(ask(g, &nat, "new", 22000).may);
	/* Who goes on gets no further than failures are forgiven. */
	guess_many(g, &nat, 100);
	assert_true(ask(g, &nat, "new", 30000).may);
	assert_false(ask(g, &nat, "new", 30000).may);
	assert_false(ask(g, &nat, "new", 60000).may);
	assert_true(ask(g, &nat, "new", 70000).may);
	assert_int_equal(ask(g, &nat, "known", 70000).wait_ms, 0);
	auth_guard_free(g);
}

/* Who owns an account is not free to try others by it. */
static void
test_a_success_forgives_its_own(void **state)
{
	struct auth_guard *g = auth_guard_new();
	struct ip nat = ip_of("192.0.2.1");

	(void)state;
	guess(g, &nat, "alice", 5);
	auth_guard_passed(g, &nat, STR("alice"), 0);
	assert_int_equal(auth_guard_count(g, &nat, 0), 5);
	guess(g, &nat, "alice", CAP - 1);
	assert_true(ask(g, &nat, "alice", 0).may);
	guess(g, &nat, "alice", 1);
	assert_false(ask(g, &nat, "alice", 0).may);
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
	    cmocka_unit_test(test_a_user_is_locked_at_one_address),
	    cmocka_unit_test(test_the_line_of_an_address),
	    cmocka_unit_test(test_a_success_forgives_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
