/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Networks of a login: which are learnt, how many others there may be, and
 * stored state that lies.
 */
#include "gate/networks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE (INT64_C(60) * 1000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define START (1000 * DAY)

static const struct networks_rules rules = {.count = 3, .window_ms = HOUR};

static uint64_t
net(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(str_from(text), &ip));
	return networks_of(&ip);
}

static enum networks_result
use(struct networks *s, uint64_t n, int64_t now)
{
	return networks_use(s, &rules, n, now);
}

static uint64_t
nth(unsigned i)
{
	return UINT64_C(4) << 56 | 0x0a0000 | i;
}

static void
test_names(void **state)
{
	struct ip none = {.family = IP_NONE};
	char text[NETWORKS_TEXT_MAX];

	(void)state;
	assert_int_equal(net("192.0.2.1"), net("192.0.2.255"));
	assert_int_not_equal(net("192.0.2.1"), net("192.0.3.1"));
	assert_int_equal(net("2001:db8:1::1"), net("2001:db8:1:ffff::2"));
	assert_int_not_equal(net("2001:db8:1::1"), net("2001:db8:2::1"));
	assert_int_equal(net("127.0.0.1"), 0);
	assert_int_equal(net("::1"), 0);
	assert_int_equal(networks_of(&none), 0);
	assert_string_equal(
	    networks_format(net("192.0.2.1"), text), "192.0.2.0/24");
	assert_string_equal(
	    networks_format(net("2001:db8:1::1"), text), "2001:db8:1::/48");
}

static void
test_too_many(void **state)
{
	struct networks s = {0};
	uint32_t fresh, learnt;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(use(&s, nth(i), START), NETWORKS_FEW);
	assert_int_equal(use(&s, nth(1), START), NETWORKS_FEW); /* again */
	assert_true(networks_are_many(&s, &rules, nth(3), START));
	assert_false(networks_are_many(&s, &rules, nth(2), START));
	assert_int_equal(use(&s, nth(3), START + MINUTE), NETWORKS_MORE);
	assert_int_equal(use(&s, nth(4), START + MINUTE), NETWORKS_MANY);
	assert_int_equal(use(&s, nth(0), START + MINUTE), NETWORKS_MANY);
	assert_true(networks_are_many(&s, &rules, nth(0), START + MINUTE));
	networks_count(&s, &rules, START + MINUTE, &fresh, &learnt);
	assert_int_equal(fresh, 5);
	assert_int_equal(learnt, 0);
	/* When they have been quiet for the window, it begins anew. */
	assert_int_equal(use(&s, nth(9), START + HOUR + MINUTE), NETWORKS_FEW);
	networks_clear(&s);
}

static void
test_learnt_is_free(void **state)
{
	struct networks s = {0};
	int64_t t = START;

	(void)state;
	assert_int_equal(use(&s, nth(0), t), NETWORKS_FEW);
	assert_int_equal(use(&s, nth(0), t + DAY - 1), NETWORKS_FEW);
	assert_int_equal(use(&s, nth(0), t += DAY), NETWORKS_LEARNT);
	/* A flood of others neither counts it nor pushes it out. */
	for (unsigned i = 1; i < 1000; i++)
		(void)use(&s, nth(i), t);
	assert_int_equal(use(&s, nth(0), t), NETWORKS_LEARNT);
	assert_false(networks_are_many(&s, &rules, nth(0), t));
	assert_true(s.n <= NETWORKS_MAX);
	/* After three months without it, it is new. */
	assert_int_equal(use(&s, nth(0), t + NETWORKS_EXPIRY_MS), NETWORKS_FEW);
	networks_clear(&s);
}

/* Networks of a botnet are not learnt, however long it goes on. */
static void
test_many_are_not_learnt(void **state)
{
	struct networks s = {0};

	(void)state;
	for (int64_t t = START; t < START + 5 * DAY; t += 10 * MINUTE) {
		for (unsigned i = 0; i < 5; i++)
			assert_int_not_equal(
			    use(&s, nth(i), t), NETWORKS_LEARNT);
	}
	networks_clear(&s);
}

/* One of them that goes on when the others have stopped: its day begins with
 * the last moment at which there were too many. */
static void
test_a_day_begins_anew(void **state)
{
	struct networks s = {0};
	int64_t t = START;

	(void)state;
	assert_int_equal(use(&s, nth(0), t), NETWORKS_FEW);
	t += 23 * HOUR;
	for (unsigned i = 0; i < 5; i++)
		assert_int_not_equal(use(&s, nth(i), t), NETWORKS_LEARNT);
	assert_int_equal(use(&s, nth(0), t + 2 * HOUR), NETWORKS_FEW);
	assert_int_equal(use(&s, nth(0), t + DAY - 1), NETWORKS_FEW);
	assert_int_equal(use(&s, nth(0), t + DAY), NETWORKS_LEARNT);
	networks_clear(&s);
}

static void
test_off(void **state)
{
	const struct networks_rules off = {0};
	struct networks s = {0};

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(
		    networks_use(&s, &off, nth(i), START), NETWORKS_LEARNT);
		assert_false(networks_are_many(&s, &off, nth(i), START));
		assert_int_equal(use(&s, 0, START), NETWORKS_LEARNT);
	}
	assert_int_equal(s.n, 0);
}

static void
test_stored(void **state)
{
	unsigned char bytes[NETWORKS_STATE_MAX];
	struct networks s = {0}, back = {0};
	size_t n;

	(void)state;
	assert_int_equal(use(&s, nth(0), START), NETWORKS_FEW);
	assert_int_equal(use(&s, nth(0), START + DAY), NETWORKS_LEARNT);
	assert_int_equal(use(&s, nth(1), START + DAY), NETWORKS_FEW);
	n = networks_save(&s, START + DAY, bytes);
	assert_true(networks_load(&back, bytes, n, MINUTE, 7 * MINUTE));
	assert_int_equal(back.n, 2);
	assert_int_equal(use(&back, nth(0), 7 * MINUTE), NETWORKS_LEARNT);
	assert_int_equal(use(&back, nth(1), 7 * MINUTE), NETWORKS_FEW);
	assert_int_equal(back.v[1].since, 6 * MINUTE);
	networks_clear(&back);

	for (size_t i = 0; i < n; i++)
		assert_false(networks_load(&back, bytes, i, 0, START));
	for (size_t i = 0; i < 8 * n; i++) {
		bytes[i / 8] ^= (unsigned char)(1u << i % 8);
		if (networks_load(&back, bytes, n, 0, START)) {
			assert_true(back.n <= NETWORKS_MAX);
			(void)use(&back, nth(7), START);
			networks_clear(&back);
		}
		bytes[i / 8] ^= (unsigned char)(1u << i % 8);
	}
	networks_clear(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_too_many),
	    cmocka_unit_test(test_learnt_is_free),
	    cmocka_unit_test(test_many_are_not_learnt),
	    cmocka_unit_test(test_a_day_begins_anew),
	    cmocka_unit_test(test_off),
	    cmocka_unit_test(test_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
