/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Credit for refused recipients: what costs, what pays, when it is gone, and
 * what is kept of it; the book of all senders, and stored state that lies.
 */
#include "gate/signals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE (INT64_C(60) * 1000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define START (1000 * DAY)

static const unsigned char envid_key[ENVID_KEY] = {7};
static const struct credit_rules rules = {.credit = 20, .freeze_ms = HOUR};

static enum credit_result
refuse(struct credit *c, uint64_t destination, int64_t now)
{
	return credit_refused(c, &rules, destination, false, now);
}

/* All but the last. */
static uint64_t
spend(struct credit *c, int64_t now)
{
	uint64_t d = 1;

	for (; d < 20; d++)
		assert_int_equal(refuse(c, d, now), CREDIT_TAKEN);
	assert_false(credit_is_empty(c, &rules, now));
	return d;
}

static void
test_costs_and_pays(void **state)
{
	struct credit c = {0};
	uint64_t d;

	(void)state;
	assert_int_equal(credit_left(&c, &rules, START), 20);
	d = spend(&c, START);
	assert_int_equal(credit_left(&c, &rules, START), 1);
	/* The same again is free. */
	assert_int_equal(refuse(&c, 5, START), CREDIT_FREE);
	for (int i = 0; i < 3; i++)
		credit_delivered(&c, &rules, START);
	assert_int_equal(credit_left(&c, &rules, START), 2);
	assert_int_equal(refuse(&c, d++, START), CREDIT_TAKEN);
	assert_int_equal(refuse(&c, d++, START), CREDIT_EMPTIED);
	assert_true(credit_is_empty(&c, &rules, START));
	assert_int_equal(credit_left(&c, &rules, START), 0);

	/* Until a quarter is back. */
	for (int i = 0; i < 14; i++)
		credit_delivered(&c, &rules, START);
	assert_true(credit_is_empty(&c, &rules, START));
	credit_delivered(&c, &rules, START);
	assert_false(credit_is_empty(&c, &rules, START));
	/* Never more than all. */
	for (int i = 0; i < 1000; i++)
		credit_delivered(&c, &rules, START);
	assert_int_equal(credit_left(&c, &rules, START), 20);
	assert_true(credit_is_whole(&c, &rules, START));
}

static void
test_time_gives_it_back(void **state)
{
	struct credit c = {0};

	(void)state;
	spend(&c, START);
	assert_int_equal(credit_left(&c, &rules, START + 7 * DAY / 2), 11);
	/* In however small steps. */
	for (int64_t t = START; t <= START + 7 * DAY; t += MINUTE)
		(void)credit_left(&c, &rules, t);
	assert_int_equal(credit_left(&c, &rules, START + 7 * DAY), 20);
	/* A clock that goes backwards takes nothing. */
	assert_int_equal(credit_left(&c, &rules, START), 20);
}

static void
test_freezes_who_goes_on(void **state)
{
	struct credit c = {0};
	uint64_t d = spend(&c, START);
	int64_t t = START;

	(void)state;
	assert_int_equal(refuse(&c, d++, t), CREDIT_EMPTIED);
	for (t += 10 * MINUTE; t < START + HOUR; t += 10 * MINUTE) {
		/* Half of it arrives: too little. */
		credit_delivered(&c, &rules, t);
		assert_int_equal(refuse(&c, d++, t), CREDIT_TAKEN);
		assert_true(credit_is_empty(&c, &rules, t));
	}
	assert_int_equal(refuse(&c, d++, t), CREDIT_FREEZE);
	/* Another chance for whoever is thawed. */
	assert_false(credit_is_empty(&c, &rules, t));
	assert_int_equal(credit_left(&c, &rules, t), 5);
}

/* Somebody who mistypes an address the next day is not frozen for it. */
static void
test_a_pause_ends_it(void **state)
{
	struct credit c = {0};
	uint64_t d = spend(&c, START);

	(void)state;
	assert_int_equal(refuse(&c, d++, START), CREDIT_EMPTIED);
	assert_true(credit_is_empty(&c, &rules, START + 15 * MINUTE - 1));
	assert_false(credit_is_empty(&c, &rules, START + 15 * MINUTE));
	assert_int_equal(refuse(&c, d++, START + 2 * HOUR), CREDIT_TAKEN);
}

/* Bounces can be forged: they take all but the last. */
static void
test_hearsay(void **state)
{
	struct credit c = {0};
	uint64_t d = 1;

	(void)state;
	for (; d <= 500; d++)
		(void)credit_refused(
		    &c, &rules, d, true, START + (int64_t)d * MINUTE);
	assert_false(credit_is_empty(&c, &rules, START + 500 * MINUTE));
	assert_true(credit_left(&c, &rules, START + 500 * MINUTE) >= 1);
}

/* One message in three to a dead address: for a long time; and one in five
 * never. */
static void
test_a_list_with_dead_addresses(void **state)
{
	struct credit c = {0};

	(void)state;
	for (uint64_t d = 1; d < 5000; d++) {
		if (d % 5 == 0)
			(void)refuse(&c, d, START);
		else
			credit_delivered(&c, &rules, START);
		assert_false(credit_is_empty(&c, &rules, START));
	}
}

static void
test_off(void **state)
{
	const struct credit_rules off = {0};
	const struct credit_rules never = {.credit = 1};
	struct credit c = {0};

	(void)state;
	assert_int_equal(
	    credit_refused(&c, &off, 1, false, START), CREDIT_FREE);
	assert_false(c.is_known);
	assert_int_equal(
	    credit_refused(&c, &never, 1, false, START), CREDIT_EMPTIED);
	for (uint64_t d = 2; d < 50; d++)
		assert_int_not_equal(credit_refused(&c, &never, d, false,
					 START + (int64_t)d * HOUR),
		    CREDIT_FREEZE);
}

/* ---- the book ---- */

static struct signals *
get(struct signals_book *b, const char *key)
{
	return signals_get(b, str_from(key), START);
}

static void
test_is_kept(void **state)
{
	struct signals_book *b = signals_book_new(envid_key), *again;
	struct signals_state s;
	struct signals *alice = get(b, "alice@example.org");
	uint64_t d = spend(&alice->credit, START);
	struct str bytes = {(const char *)s.bytes, 0};

	(void)state;
	assert_int_equal(refuse(&alice->credit, d, START), CREDIT_EMPTIED);
	assert_true(signals_have_changed(b));
	assert_true(signals_next_changed(b, START + MINUTE, &s));
	assert_false(signals_next_changed(b, START + MINUTE, &s));
	assert_string_equal(s.row, "[signals] alice@example.org");
	bytes.n = s.n;

	/* A minute under way, a minute on the disk: of the hour two are over.
	 */
	again = signals_book_new(envid_key);
	assert_true(
	    signals_load(again, str_from(s.row), bytes, MINUTE, 5 * HOUR));
	alice = signals_find(again, STR("alice@example.org"));
	assert_non_null(alice);
	assert_true(credit_is_empty(&alice->credit, &rules, 5 * HOUR));
	assert_int_equal(alice->credit.empty_since, 5 * HOUR - 2 * MINUTE);
	assert_int_equal(refuse(&alice->credit, d, 5 * HOUR), CREDIT_FREE);
	/* Twice the same row is a lie. */
	assert_false(
	    signals_load(again, str_from(s.row), bytes, MINUTE, 5 * HOUR));

	/* Cut, longer, of other bytes: refused, or read as something sane. */
	for (size_t n = 0; n < bytes.n; n++) {
		struct signals_book *bad = signals_book_new(envid_key);

		assert_false(n != 2 && signals_load(bad, str_from(s.row),
					   str_sub(bytes, 0, n), 0, START));
		signals_book_free(bad);
	}
	for (size_t n = 0; n < bytes.n * 8; n++) {
		struct signals_book *bad = signals_book_new(envid_key);
		struct signals *found;

		s.bytes[n / 8] ^= (unsigned char)(1u << n % 8);
		if (signals_load(bad, str_from(s.row), bytes, 0, START)) {
			found = signals_find(bad, STR("alice@example.org"));
			assert_true(
			    credit_left(&found->credit, &rules, START) <= 20);
			(void)refuse(&found->credit, 77, START);
		}
		s.bytes[n / 8] ^= (unsigned char)(1u << n % 8);
		signals_book_free(bad);
	}
	signals_book_free(again);
	signals_book_free(b);
}

static void
test_is_forgotten(void **state)
{
	struct signals_book *b = signals_book_new(envid_key);
	struct signals_state s;

	(void)state;
	(void)get(b, "alice@example.org");
	assert_true(signals_next_changed(b, START, &s));
	signals_sweep(b, 10, START + 13 * DAY);
	assert_int_equal(signals_count(b), 1);
	signals_sweep(b, 10, START + 14 * DAY);
	assert_int_equal(signals_count(b), 0);
	/* Its row goes. */
	assert_true(signals_next_changed(b, START, &s));
	assert_int_equal(s.n, 0);
	assert_string_equal(s.row, "[signals] alice@example.org");
	assert_false(signals_have_changed(b));
	assert_null(signals_get(b, STR(""), START));
	signals_book_free(b);
}

static void
test_is_bounded(void **state)
{
	struct signals_book *b = signals_book_new(envid_key);
	char key[32];

	(void)state;
	for (int i = 0; i < SIGNALS_MAX + 10; i++) {
		int n = snprintf(key, sizeof(key), "u%d@example.org", i);

		assert_non_null(
		    signals_get(b, (struct str){key, (size_t)n}, START + i));
	}
	assert_int_equal(signals_count(b), SIGNALS_MAX);
	assert_null(signals_find(b, STR("u0@example.org")));
	assert_non_null(signals_find(b, str_from(key)));
	signals_book_free(b);
}

/* One is checked for months after it was made: it may never change. */
static void
test_envid_stays_the_same(void **state)
{
	static const char text[] = "weir-e5f9139c1ea3f44f-00000000000004d2-"
				   "3dffd75da037693700df9a0d9dad0303";
	struct envid_key *k = envid_key_new(envid_key);
	struct envid id = {.message = 1234}, read;
	char out[ENVID_TEXT_MAX], bad[ENVID_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 3; i++) {
		id.sender = envid_sender(k, STR("ann@example.com"));
		assert_string_equal(envid_format(k, &id, out), text);
		assert_true(envid_parse(k, str_from(text), &read));
		assert_int_equal(read.sender, id.sender);
		assert_int_equal(read.message, id.message);
	}
	memcpy(bad, text, sizeof(bad));
	bad[ENVID_TEXT_MAX - 2] ^= 1;
	assert_false(envid_parse(k, str_from(bad), &read));
	envid_key_free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_costs_and_pays),
	    cmocka_unit_test(test_time_gives_it_back),
	    cmocka_unit_test(test_freezes_who_goes_on),
	    cmocka_unit_test(test_a_pause_ends_it),
	    cmocka_unit_test(test_hearsay),
	    cmocka_unit_test(test_a_list_with_dead_addresses),
	    cmocka_unit_test(test_off),
	    cmocka_unit_test(test_is_kept),
	    cmocka_unit_test(test_is_forgotten),
	    cmocka_unit_test(test_is_bounded),
	    cmocka_unit_test(test_envid_stays_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
