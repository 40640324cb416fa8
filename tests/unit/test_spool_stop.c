/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A freeze reaches what was let go and waits in the spool: it is claimed by
 * nobody, through restarts too, until the freeze ends or somebody releases it.
 */
#include "spool_kit.h"

#include <stdlib.h>
#include <string.h>

#define LATER (KIT_WALL + 1000000)

static void
set_frozen(struct kit *k, const char *source, bool frozen)
{
	const struct spool_source row = {.key = source,
	    .frozen = frozen,
	    .reason = 1,
	    .frozen_at = KIT_WALL};
	bool done = false;

	spool_set_frozen(k->spool, &row, NULL, kit_on_flag, &done);
	assert_true(kit_wait(k->spool, &done));
}

static void
reopen(struct kit *k)
{
	kit_close(k);
	kit_open(k);
}

static uint64_t
add_of(struct kit *k, const char *source, enum spool_state state)
{
	struct kit_message m;

	kit_message(k, &m, 1, state);
	m.m.source = source;
	assert_int_equal(kit_put(k, &m.m, 50), 0);
	return m.m.id;
}

static size_t
claims(struct kit *k)
{
	struct kit_claim c;
	size_t n;

	kit_claim(k, 16, LATER, &c);
	n = c.n;
	kit_claim_clear(&c);
	return n;
}

struct count {
	bool done;
	uint64_t n;
};

static void
on_count(void *arg, int error, uint64_t n, uint64_t mta_held)
{
	struct count *c = arg;

	assert_int_equal(error, 0);
	assert_int_equal(mta_held, 0);
	c->n = n;
	c->done = true;
}

static uint64_t
stopped(struct kit *k, const char *source)
{
	struct count c = {.done = false};

	spool_count_stopped(k->spool, source, on_count, &c);
	assert_true(kit_wait(k->spool, &c.done));
	return c.n;
}

static struct spool_stats
stats(struct kit *k)
{
	struct spool_stats s;

	spool_stats(k->spool, &s);
	return s;
}

static void
put_back(struct kit *k, uint64_t id)
{
	assert_int_equal(kit_finish(k, SPOOL_TICKET(id, 0), SPOOL_RETRY,
			     KIT_WALL + 500000, "later"),
	    0);
}

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
test_waits_for_the_thaw(void **state)
{
	struct kit *k = *state;

	add_of(k, "alice", SPOOL_RELEASED);
	add_of(k, "bob", SPOOL_RELEASED);
	set_frozen(k, "alice", true);
	assert_int_equal(stopped(k, "alice"), 1);
	assert_int_equal(stopped(k, "bob"), 0);
	assert_int_equal(stats(k).stopped, 1);
	assert_int_equal(stats(k).recipients[SPOOL_RELEASED], 2);
	assert_int_equal(claims(k), 1); /* bob's */
	reopen(k);
	assert_int_equal(stats(k).stopped, 1);
	assert_int_equal(claims(k), 1); /* bob's again */
	set_frozen(k, "alice", false);
	assert_int_equal(stats(k).stopped, 0);
	assert_int_equal(claims(k), 1);
}

/* Due at once, whatever its next try was. */
static void
test_thaw_makes_due(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_of(k, "alice", SPOOL_RELEASED);
	struct kit_claim c;

	assert_int_equal(claims(k), 1);
	put_back(k, id);
	set_frozen(k, "alice", true);
	kit_claim(k, 16, INT64_MAX, &c);
	assert_int_equal(c.n, 0);
	assert_true(c.next_due == INT64_MAX);
	kit_claim_clear(&c);
	set_frozen(k, "alice", false);
	kit_claim(k, 16, KIT_WALL, &c);
	assert_int_equal(c.n, 1);
	kit_claim_clear(&c);
}

/* What an attempt is at may end well; else it waits. */
static void
test_attempt_under_way(void **state)
{
	struct kit *k = *state;
	uint64_t a = add_of(k, "alice", SPOOL_RELEASED);
	uint64_t b = add_of(k, "alice", SPOOL_RELEASED);

	assert_int_equal(claims(k), 2);
	set_frozen(k, "alice", true);
	assert_int_equal(stats(k).recipients[SPOOL_SENDING], 2);
	assert_int_equal(
	    kit_finish(k, SPOOL_TICKET(a, 0), SPOOL_DELIVERED, 0, NULL), 0);
	put_back(k, b);
	assert_int_equal(stats(k).messages, 1);
	assert_int_equal(stats(k).recipients[SPOOL_SENDING], 0);
	assert_int_equal(stats(k).recipients[SPOOL_RELEASED], 1);
	assert_int_equal(stopped(k, "alice"), 1);
	assert_int_equal(claims(k), 0);
}

static void
test_attempt_cut_off_by_restart(void **state)
{
	struct kit *k = *state;

	add_of(k, "alice", SPOOL_RELEASED);
	assert_int_equal(claims(k), 1);
	set_frozen(k, "alice", true);
	reopen(k);
	assert_int_equal(claims(k), 0);
	set_frozen(k, "alice", false);
	assert_int_equal(claims(k), 1);
}

static void
test_thaw_during_the_attempt(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_of(k, "alice", SPOOL_RELEASED);

	assert_int_equal(claims(k), 1);
	set_frozen(k, "alice", true);
	set_frozen(k, "alice", false);
	put_back(k, id);
	assert_int_equal(claims(k), 1);
}

/* A release by hand counts for more than the freeze, and goes on counting. */
static void
test_released_by_hand(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_of(k, "alice", SPOOL_RELEASED);
	struct spool_select select = {.ids = &id, .id_count = 1};

	set_frozen(k, "alice", true);
	assert_int_equal(kit_flush(k, &select).n, 0);
	assert_int_equal(claims(k), 0);
	assert_int_equal(kit_release(k, &select).n, 1);
	assert_int_equal(claims(k), 1);
	put_back(k, id);
	reopen(k);
	assert_int_equal(claims(k), 1);
	assert_int_equal(stats(k).stopped, 0);
}

static void
test_discarded(void **state)
{
	struct kit *k = *state;
	struct spool_select select = {.source = "alice"};

	add_of(k, "alice", SPOOL_RELEASED);
	add_of(k, "alice", SPOOL_HELD);
	set_frozen(k, "alice", true);
	assert_int_equal(kit_discard(k, &select).n, 2);
	assert_int_equal(stats(k).messages, 0);
	assert_int_equal(stats(k).stopped, 0);
	assert_int_equal(stats(k).recipients[SPOOL_RELEASED], 0);
}

/* The schedule let it go, and its word came late. */
static void
test_schedule_behind_the_freeze(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_of(k, "alice", SPOOL_HELD);

	set_frozen(k, "alice", true);
	assert_int_equal(kit_release_ticket(k, SPOOL_TICKET(id, 0)), 0);
	assert_int_equal(claims(k), 0);
	assert_int_equal(stopped(k, "alice"), 1);
	set_frozen(k, "alice", false);
	assert_int_equal(claims(k), 1);
}

/* A bounce of weir's is under the null sender's name, and goes. */
static void
test_own_mail(void **state)
{
	struct kit *k = *state;
	struct kit_message m;

	kit_message(k, &m, 1, SPOOL_RELEASED);
	m.m.source = "<>";
	m.rcpts[0].destination = 0;
	assert_int_equal(kit_put(k, &m.m, 50), 0);
	set_frozen(k, "<>", true);
	assert_int_equal(stopped(k, "<>"), 0);
	assert_int_equal(claims(k), 1);
}

/* ---- in the mail server's queue ---- */

struct taken {
	bool done;
	size_t n;
};

static void
on_taken(void *arg, int error, const struct spool_quarantined *v, size_t n,
    int64_t next_due)
{
	struct taken *t = arg;

	(void)v;
	(void)next_due;
	assert_int_equal(error, 0);
	t->n = n;
	t->done = true;
}

static size_t
takes(struct kit *k)
{
	struct taken t = {.done = false};

	spool_quarantine_claim(k->spool, 16, LATER, 0, on_taken, &t);
	assert_true(kit_wait(k->spool, &t.done));
	return t.n;
}

static uint64_t
add_quarantined(struct kit *k)
{
	struct kit_message m;

	kit_message(k, &m, 2, SPOOL_RELEASED);
	m.m.whole = true;
	m.m.mta_id = "4jWDnr6BL8z1bdGS";
	assert_int_equal(kit_put(k, &m.m, 100), 0);
	return m.m.id;
}

static void
fail_command(struct kit *k, uint64_t id)
{
	struct spool_quarantine_result r = {
	    .id = id, .next_try = KIT_WALL, .error = "status 77"};
	bool done = false;

	spool_quarantine_finish(k->spool, &r, 1, kit_on_flag, &done);
	assert_true(kit_wait(k->spool, &done));
}

static void
test_quarantined(void **state)
{
	struct kit *k = *state;

	add_quarantined(k);
	set_frozen(k, "alice", true);
	assert_int_equal(takes(k), 0);
	assert_int_equal(claims(k), 0);
	assert_int_equal(stopped(k, "alice"), 2);
	reopen(k);
	assert_int_equal(takes(k), 0);
	set_frozen(k, "alice", false);
	assert_int_equal(takes(k), 1);
}

static void
test_quarantined_command_under_way(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_quarantined(k);

	assert_int_equal(takes(k), 1);
	set_frozen(k, "alice", true);
	fail_command(k, id);
	assert_int_equal(takes(k), 0);
	assert_int_equal(stopped(k, "alice"), 2);
	set_frozen(k, "alice", false);
	assert_int_equal(takes(k), 1);
	assert_int_equal(claims(k), 0);
}

static void
test_quarantined_by_hand(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_quarantined(k);
	struct spool_select select = {.ids = &id, .id_count = 1};

	set_frozen(k, "alice", true);
	assert_int_equal(kit_release(k, &select).n, 2);
	assert_int_equal(takes(k), 1);
	assert_int_equal(claims(k), 0);
}

/* What is doomed is deleted there, frozen or not. */
static void
test_quarantined_doomed(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_quarantined(k);
	struct spool_select select = {.source = "alice"};

	set_frozen(k, "alice", true);
	assert_int_equal(kit_discard(k, &select).n, 2);
	set_frozen(k, "alice", true);
	assert_int_equal(takes(k), 1);
	set_frozen(k, "alice", true);
	fail_command(k, id);
	assert_int_equal(takes(k), 1);
}

static void
test_upgrade(void **state)
{
	struct kit *k = *state;

	add_of(k, "alice", SPOOL_RELEASED);
	set_frozen(k, "alice", true);
	kit_close(k);
	kit_sql(k, "DROP TABLE mta_held; DROP TABLE acquaintance;"
		   " DROP TABLE alert;"
		   " ALTER TABLE inbound_left RENAME TO inbound;"
		   " UPDATE rcpt SET state = 2;"
		   "ALTER TABLE rcpt DROP COLUMN lane;"
		   " DROP INDEX rcpt_owner; ALTER TABLE rcpt DROP COLUMN owner;"
		   " PRAGMA user_version = 4");
	kit_open(k);
	assert_int_equal(claims(k), 0);
	assert_int_equal(stats(k).stopped, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_waits_for_the_thaw),
	    TEST(test_thaw_makes_due),
	    TEST(test_attempt_under_way),
	    TEST(test_attempt_cut_off_by_restart),
	    TEST(test_thaw_during_the_attempt),
	    TEST(test_released_by_hand),
	    TEST(test_discarded),
	    TEST(test_schedule_behind_the_freeze),
	    TEST(test_own_mail),
	    TEST(test_quarantined),
	    TEST(test_quarantined_command_under_way),
	    TEST(test_quarantined_by_hand),
	    TEST(test_quarantined_doomed),
	    TEST(test_upgrade),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
