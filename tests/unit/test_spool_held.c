/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was held at the start: read in pages, counted on the way, and in one
 * order with what changes it.
 */
#include "spool_kit.h"

#include <stdio.h>
#include <string.h>

static uint64_t
held(struct kit *k)
{
	struct spool_stats st;

	spool_stats(k->spool, &st);
	return st.recipients[SPOOL_HELD];
}

static uint64_t
messages(struct kit *k)
{
	struct spool_stats st;

	spool_stats(k->spool, &st);
	return st.messages;
}

static uint64_t
add_of(struct kit *k, const char *source, size_t rcpts)
{
	struct kit_message m;

	kit_message(k, &m, rcpts, SPOOL_HELD);
	m.m.source = source;
	assert_int_equal(0, kit_put(k, &m.m, 10));
	return m.m.id;
}

/* Pages of two messages from here on. */
static void
reopen(struct kit *k)
{
	kit_close(k);
	k->settings.load_page = 2;
	kit_open(k);
}

static void
test_pages(void **state)
{
	struct kit k;
	struct kit_held h = {0};
	uint64_t ids[5];

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (size_t i = 0; i < 5; i++)
		ids[i] = add_of(&k, i % 2 == 0 ? "alice" : "bob", 2);
	reopen(&k);
	assert_false(spool_is_counted(k.spool));
	assert_int_equal(0, held(&k));
	kit_held_page(&k, NULL, &h);
	assert_int_equal(4, h.n);
	assert_int_equal(4, held(&k));
	assert_int_equal(2, messages(&k));
	/* New mail is no part of it, and counts at once. */
	add_of(&k, "bob", 1);
	assert_int_equal(5, held(&k));
	while (!h.end)
		kit_held_page(&k, NULL, &h);
	assert_true(spool_is_counted(k.spool));
	assert_int_equal(10, h.n);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(SPOOL_TICKET(ids[i / 2], i % 2), h.tickets[i]);
	assert_int_equal(11, held(&k));
	assert_int_equal(6, messages(&k));
	kit_clear(&k);
}

/* Of one source those that the walk has not come to. */
static void
test_one_source(void **state)
{
	struct kit k;
	struct kit_held all = {0}, alice, nobody;
	uint64_t ids[8];

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (size_t i = 0; i < 8; i++)
		ids[i] = add_of(&k, i % 2 == 0 ? "alice" : "bob", 1);
	reopen(&k);
	kit_held_page(&k, NULL, &all);
	alice = kit_held(&k, "alice");
	assert_int_equal(3, alice.n);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ids[2 + 2 * i], alice.tickets[i]);
	nobody = kit_held(&k, "nobody");
	assert_int_equal(0, nobody.n);
	assert_int_equal(2, held(&k));
	kit_clear(&k);
}

/* What an administrator changes ahead of the walk is not read as held, and the
 * counts are right at its end. */
static void
test_changes_meanwhile(void **state)
{
	struct spool_select alice = {.source = "alice"};
	struct spool_select bob = {.source = "bob"};
	struct kit k;
	struct kit_held h = {0};
	struct spool_usage usage;
	struct spool_stats st;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (size_t i = 0; i < 12; i++)
		add_of(&k,
		    i % 3 == 0   ? "alice"
		    : i % 3 == 1 ? "bob"
				 : "carol",
		    2);
	reopen(&k);
	kit_held_page(&k, NULL, &h);
	assert_int_equal(8, kit_discard(&k, &alice).n);
	assert_int_equal(8, kit_release(&k, &bob).n);
	while (!h.end)
		kit_held_page(&k, NULL, &h);
	/* Those of the first page, and carol's. */
	assert_int_equal(4 + 8, h.n);
	spool_stats(k.spool, &st);
	assert_int_equal(8, st.messages);
	assert_int_equal(8, st.recipients[SPOOL_HELD]);
	assert_int_equal(8, st.recipients[SPOOL_RELEASED]);
	/* The limits count the same: 16 are left. */
	kit_close(&k);
	k.settings.held_max = 16;
	k.settings.load_page = 0;
	kit_open(&k);
	assert_false(spool_room(k.spool, "dave", 2, 0, &usage));
	assert_int_equal(16, usage.used);
	kit_clear(&k);
}

/* held_max holds before anything has been counted, and goes by the count after
 * it, whatever the last daemon noted. */
static void
test_limit_before_the_count(void **state)
{
	struct kit k;
	struct spool_usage usage;

	(void)state;
	kit_init(&k);
	k.settings.held_max = 10;
	kit_open(&k);
	for (size_t i = 0; i < 5; i++)
		add_of(&k, "alice", 2);
	reopen(&k);
	assert_false(spool_room(k.spool, "bob", 1, 0, &usage));
	assert_int_equal(10, usage.used);
	(void)kit_held(&k, NULL);
	assert_false(spool_room(k.spool, "bob", 1, 0, &usage));
	kit_close(&k);
	kit_sql(&k, "UPDATE meta SET value = 9223372036854775807"
		    " WHERE key LIKE 'used_%'; DELETE FROM rcpt"
		    " WHERE ticket & 4095 = 1");
	kit_open(&k);
	assert_false(spool_room(k.spool, "bob", 1, 0, &usage));
	(void)kit_held(&k, NULL);
	assert_true(spool_room(k.spool, "bob", 1, 0, &usage));
	kit_clear(&k);
}

/* A row whose id is none has no recipients: those behind it are another's. */
static void
test_no_id(void **state)
{
	char sql[400];
	struct kit k;
	struct kit_held h = {0};
	uint64_t first, second;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	first = add_of(&k, "alice", 2);
	second = add_of(&k, "alice", 2);
	kit_close(&k);
	snprintf(sql, sizeof(sql),
	    "CREATE TEMP TABLE t AS SELECT * FROM message WHERE id = %lld;"
	    "UPDATE t SET id = %lld, source = 'mallory';"
	    "INSERT INTO message SELECT * FROM t",
	    (long long)first, (long long)(second - SPOOL_RCPT_MAX + 1));
	kit_sql(&k, sql);
	k.settings.load_page = 2;
	kit_open(&k);
	assert_int_equal(0, kit_held(&k, "mallory").n);
	assert_int_equal(4, kit_held(&k, "alice").n);
	h = kit_held(&k, NULL);
	assert_int_equal(4, h.n);
	assert_int_equal(SPOOL_TICKET(second, 0), h.tickets[2]);
	assert_int_equal(4, held(&k));
	kit_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pages),
	    cmocka_unit_test(test_one_source),
	    cmocka_unit_test(test_changes_meanwhile),
	    cmocka_unit_test(test_limit_before_the_count),
	    cmocka_unit_test(test_no_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
