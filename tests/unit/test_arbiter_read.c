/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the script answers is an input: which answers are none, and that an age
 * never makes one none. The script itself is in test_arbiter_oracle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "share/arbiter.h"

#define NET (UINT64_C(4) << 56 | 0x0a0b0c)

struct reply {
	struct seal *seal;
	struct share_answer a;
	struct share_network networks[SHARE_NETWORKS_MAX];
	struct throttle_reservation ruling;
	uint64_t granted[8];
};

static bool
parse(struct reply *r, struct str text, size_t reserves)
{
	static const uint64_t destinations[] = {7};
	struct arbiter_room room = {.granted = r->granted,
	    .rulings = &r->ruling,
	    .networks = r->networks};
	struct resp *resp = resp_new();
	struct resp_value *v;
	bool ok;

	assert_true(resp_feed(resp, text.p, text.n));
	v = resp_next(resp);
	assert_non_null(v);
	ok = arbiter_read(v, r->seal, destinations, reserves, &r->a, &room);
	resp_value_free(v);
	resp_free(resp);
	return ok;
}

static bool
rule(struct reply *r, int verdict, int reason)
{
	char text[200];
	int n = snprintf(text, sizeof(text),
	    "*14\r\n:1\r\n:0\r\n:-1\r\n:0\r\n:0\r\n:0\r\n:-1\r\n:0\r\n$0\r\n"
	    "\r\n:%d\r\n:%d\r\n:0\r\n:0\r\n:0\r\n",
	    verdict, reason);

	return parse(r, (struct str){text, (size_t)n}, 1);
}

/* The throttle takes one that passes from an allowance that may be 0. */
static void
test_verdicts_go_with_their_reasons(void **state)
{
	static const bool is_one[THROTTLE_REFUSE + 1][THROTTLE_FULL + 1] = {
	    [THROTTLE_PASS] = {[THROTTLE_KNOWN] = true, [THROTTLE_NEW] = true},
	    [THROTTLE_HOLD] = {[THROTTLE_QUEUED] = true,
		[THROTTLE_LIMITED] = true,
		[THROTTLE_BARRED] = true,
		[THROTTLE_FROZEN] = true},
	    [THROTTLE_REFUSE] =
		{[THROTTLE_FROZEN] = true, [THROTTLE_FULL] = true},
	};
	struct reply *r = *state;

	for (int v = THROTTLE_PASS; v <= THROTTLE_REFUSE; v++) {
		for (int why = THROTTLE_KNOWN; why <= THROTTLE_FULL; why++)
			assert_int_equal(rule(r, v, why), is_one[v][why]);
	}
	assert_false(rule(r, THROTTLE_REFUSE + 1, THROTTLE_FULL));
	assert_false(rule(r, THROTTLE_REFUSE, THROTTLE_FULL + 1));
}

/* A network's entry: its name is bytes. */
static bool
signals(struct reply *r, const char *credit, const char *ages)
{
	unsigned char name[SEAL_NUMBER];
	struct buf text;
	bool ok;

	seal_number(r->seal, NET, name);
	buf_init(&text, 1000);
	ok = buf_printf(&text,
		 "*12\r\n:1\r\n:0\r\n:-1\r\n:0\r\n:0\r\n:0\r\n:-1\r\n:0\r\n"
		 "$0\r\n\r\n$0\r\n\r\n$%zu\r\n%s\r\n$%zu\r\n0",
		 strlen(credit), credit, 2 + sizeof(name) + strlen(ages)) &&
	     buf_append(&text, name, sizeof(name)) &&
	     buf_printf(&text, "1%s\r\n", ages);
	assert_true(ok);
	ok = parse(r, buf_str(&text), 0);
	buf_clear(&text);
	return ok;
}

/* As a relay whose clock stood at 1970 may have made it, and 40 days more. */
static void
test_a_great_age_is_an_age(void **state)
{
	const int64_t most = INT64_C(1) << 41;
	struct reply *r = *state;

	assert_true(signals(r, "5 10 20", "7 3 "));
	assert_int_equal(r->a.signals.left, 5);
	assert_int_equal(r->a.signals.networks_n, 1);
	assert_true(r->networks[0].net == NET);
	assert_int_equal(r->networks[0].since_ms, 7);
	assert_true(signals(r, "5 2199023255999 2199023255999",
	    "2202479255552 2202479255552 "));
	assert_int_equal(r->a.signals.empty_ms, most);
	assert_int_equal(r->a.signals.refused_ms, most);
	assert_int_equal(r->networks[0].since_ms, most);
	assert_int_equal(r->networks[0].last_ms, most);
	assert_false(signals(r, "5 10 20", "7 1234567890123456 "));
	assert_false(signals(r, "5 10 20", "7 -3 "));
	assert_false(signals(r, "5 10 20", "7 3"));
	assert_false(signals(r, "5 -2 20", "7 3 "));
}

static int
set_up(void **state)
{
	struct reply *r = xcalloc(1, sizeof(*r));

	r->seal = seal_new(STR("a secret of this site alone"));
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct reply *r = *state;

	seal_free(r->seal);
	free(r);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_verdicts_go_with_their_reasons),
	    cmocka_unit_test(test_a_great_age_is_an_age),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
