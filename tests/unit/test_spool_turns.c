/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Claims take turns between sources: one message waits for nobody's thousands,
 * whether they were let go before it or wait for their next try, before and
 * after a restart.
 */
#include "spool_kit.h"

#include <string.h>

#define MANY 300
#define LATER (KIT_WALL + 1000000)

static int
setup(void **state)
{
	static struct kit k;

	kit_init(&k);
	kit_open(&k);
	*state = &k;
	return 0;
}

static int
teardown(void **state)
{
	kit_clear(*state);
	return 0;
}

static void
add_of(struct kit *k, const char *source, const char *policy,
    enum spool_state state)
{
	struct kit_message m;

	kit_message(k, &m, 1, state);
	m.m.source = source;
	m.m.policy = policy;
	assert_int_equal(kit_put(k, &m.m, 50), 0);
}

static void
add_many_of(struct kit *k, const char *source, const char *policy, size_t n)
{
	while (n-- > 0)
		add_of(k, source, policy, SPOOL_RELEASED);
}

/* Claims max messages; how many are of the source. */
static size_t
claim_of(struct kit *k, size_t max, const char *source)
{
	struct kit_claim c;
	size_t n = 0;

	kit_claim(k, max, LATER, &c);
	assert_int_equal(c.error, 0);
	assert_int_equal(c.n, max);
	for (size_t i = 0; i < c.n; i++)
		n += strcmp(c.jobs[i]->m.source, source) == 0;
	kit_claim_clear(&c);
	return n;
}

static void
test_one_among_many(void **state)
{
	struct kit *k = *state;

	add_many_of(k, "eve", "default", MANY);
	assert_int_equal(claim_of(k, 20, "eve"), 20);
	add_of(k, "bob", "default", SPOOL_RELEASED);
	assert_int_equal(claim_of(k, 20, "bob"), 1);
	add_of(k, "bob", "default", SPOOL_HELD);
	assert_int_equal(
	    kit_release(k, &(struct spool_select){.source = "bob"}).n, 1);
	kit_close(k);
	kit_open(k);
	assert_int_equal(claim_of(k, 20, "bob"), 2);
}

/* Their next try was due long before. */
static void
test_deferred(void **state)
{
	struct kit *k = *state;
	struct kit_claim c;

	add_many_of(k, "eve", "default", MANY);
	kit_claim(k, MANY, LATER, &c);
	assert_int_equal(c.n, MANY);
	for (size_t i = 0; i < c.n; i++)
		assert_int_equal(
		    kit_finish(k, c.jobs[i]->m.rcpts[0].ticket, SPOOL_RETRY,
			KIT_WALL - 1000000, "451 later"),
		    0);
	kit_claim_clear(&c);
	add_of(k, "bob", "default", SPOOL_RELEASED);
	assert_int_equal(claim_of(k, 20, "bob"), 1);
}

static void
test_weights(void **state)
{
	static const struct spool_weight weights[] = {{"big", 3}, {"x", 9}};
	struct kit *k = *state;
	size_t of_eve;

	add_many_of(k, "eve", "big", MANY);
	add_many_of(k, "bob", "default", MANY);
	spool_set_weights(k->spool, weights, 2);
	of_eve = claim_of(k, 160, "eve");
	assert_in_range(of_eve, 120 - 12, 120 + 12);
	spool_set_weights(k->spool, NULL, 0);
	of_eve = claim_of(k, 40, "eve");
	assert_in_range(of_eve, 20 - 8, 20 + 8);
}

/* More sources wait for a next try than a claim looks at. */
static void
test_more_sources_than_a_claim_looks_at(void **state)
{
	struct kit *k = *state;

	add_of(k, "bob", "default", SPOOL_RELEASED);
	kit_close(k);
	kit_sql(k,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	    " WHERE i < 5000) INSERT INTO rcpt (ticket, state, attempts,"
	    " next_try, destination, notify, address, owner)"
	    " SELECT i * 4096, 2, 1, 9000000000000, 1, 0, 'v@y', i FROM n;"
	    "INSERT INTO message SELECT r.ticket, pending, whole, in_file,"
	    " body_type, ret, utf8, size, queued_at, 'eve' || r.ticket, policy,"
	    " sender, client, helo, envid, subject, body FROM message m,"
	    " rcpt r WHERE r.attempts = 1");
	kit_open(k);
	assert_int_equal(claim_of(k, 1, "bob"), 1);
}

/* A row that says nothing of its source, as no weir writes it, goes too. */
static void
test_no_owner(void **state)
{
	struct kit *k = *state;

	add_of(k, "bob", "default", SPOOL_RELEASED);
	add_of(k, "eve", "default", SPOOL_RELEASED);
	kit_sql(k, "UPDATE rcpt SET owner = CASE WHEN rowid ="
		   " (SELECT min(ticket) FROM rcpt) THEN NULL ELSE 'x' END");
	assert_int_equal(claim_of(k, 2, "bob"), 1);
	kit_close(k);
	kit_open(k);
	assert_int_equal(claim_of(k, 2, "bob"), 1);
	assert_int_equal(
	    kit_ask(k, "SELECT count(*) FROM rcpt WHERE owner IS NULL"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_one_among_many),
	    TEST(test_deferred),
	    TEST(test_weights),
	    TEST(test_more_sources_than_a_claim_looks_at),
	    TEST(test_no_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
