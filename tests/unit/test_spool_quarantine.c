/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail that waits in the mail server's hold queue, as the spool knows it:
 * claimed whole, by nobody else, and never twice without a reason.
 */
#include "spool_kit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTLE 10000
#define LATER (KIT_WALL + 1000000)

struct claimed {
	bool done;
	int error;
	size_t n;
	struct spool_quarantined v[16];
	int64_t next_due;
};

static void
on_claimed(void *arg, int error, const struct spool_quarantined *v, size_t n,
    int64_t next_due)
{
	struct claimed *c = arg;

	c->done = true;
	c->error = error;
	c->n = n;
	c->next_due = next_due;
	if (n > 0)
		memcpy(c->v, v, n * sizeof(*v));
}

static struct claimed
claim(struct kit *k, int64_t wall)
{
	struct claimed c = {.done = false};

	spool_quarantine_claim(k->spool, 16, wall, SETTLE, on_claimed, &c);
	assert_true(kit_wait(k->spool, &c.done));
	assert_int_equal(c.error, 0);
	return c;
}

static struct claimed
list(struct kit *k)
{
	struct claimed c = {.done = false};

	spool_quarantine_list(k->spool, 0, 16, on_claimed, &c);
	assert_true(kit_wait(k->spool, &c.done));
	return c;
}

struct answer {
	bool done;
	int error;
};

static void
on_done(void *arg, int error)
{
	struct answer *a = arg;

	a->done = true;
	a->error = error;
}

static void
finish(struct kit *k, uint64_t id, bool gone, int64_t next_try)
{
	struct spool_quarantine_result r = {.id = id,
	    .gone = gone,
	    .next_try = next_try,
	    .error = gone ? NULL : "status 77"};
	struct answer a = {.done = false};

	spool_quarantine_finish(k->spool, &r, 1, on_done, &a);
	assert_true(kit_wait(k->spool, &a.done));
	assert_int_equal(a.error, 0);
}

static uint64_t
add(struct kit *k, size_t held, size_t passing, bool pending)
{
	struct kit_message m;

	kit_message(k, &m, held + passing, SPOOL_HELD);
	for (size_t i = held; i < held + passing; i++)
		m.rcpts[i].state = SPOOL_RELEASED;
	m.m.whole = true;
	m.m.pending = pending;
	m.m.mta_id = "4jWDnr6BL8z1bdGS";
	assert_int_equal(kit_put(k, &m.m, 100), 0);
	return m.m.id;
}

static size_t
delivery_claims(struct kit *k)
{
	struct kit_claim c;
	size_t n;

	kit_claim(k, 16, INT64_MAX, &c);
	n = c.n;
	kit_claim_clear(&c);
	return n;
}

static uint64_t
quarantined(struct kit *k)
{
	struct spool_stats s;

	spool_stats(k->spool, &s);
	return s.quarantined;
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
test_goes_when_the_last_may(void **state)
{
	struct kit *k = *state;
	uint64_t id = add(k, 2, 1, false);
	struct claimed c = claim(k, LATER);

	assert_int_equal(c.n, 0);
	assert_int_equal(quarantined(k), 1);
	assert_int_equal(kit_release_ticket(k, SPOOL_TICKET(id, 0)), 0);
	assert_int_equal(claim(k, LATER).n, 0);
	assert_int_equal(kit_release_ticket(k, SPOOL_TICKET(id, 1)), 0);
	assert_int_equal(delivery_claims(k), 0);
	c = claim(k, LATER);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.v[0].id, id);
	assert_false(c.v[0].doomed);
	assert_string_equal(c.v[0].mta_id, "4jWDnr6BL8z1bdGS");
	/* A command is at it: nobody else may. */
	assert_int_equal(claim(k, INT64_MAX - 1).n, 0);
	assert_int_equal(
	    kit_discard(k, &(struct spool_select){.all = true}).n, 0);
	finish(k, id, true, 0);
	assert_int_equal(kit_list_all(k).n, 0);
	assert_int_equal(quarantined(k), 0);
	finish(k, id, true, 0); /* twice is once */
}

/* The mail server may still be writing it. */
static void
test_not_too_early(void **state)
{
	struct kit *k = *state;
	int64_t arrived;
	struct claimed c;

	add(k, 0, 1, false);
	arrived = kit_ask(k, "SELECT queued_at FROM message");
	c = claim(k, arrived + SETTLE - 1);
	assert_int_equal(c.n, 0);
	assert_int_equal(c.next_due, arrived + SETTLE);
	kit_discard(k, &(struct spool_select){.all = true});
	c = claim(k, arrived + SETTLE - 1);
	assert_int_equal(c.n, 0);
	assert_int_equal(c.next_due, arrived + SETTLE);
	assert_int_equal(claim(k, arrived + SETTLE).n, 1);
}

static void
test_failures_wait(void **state)
{
	struct kit *k = *state;
	uint64_t id = add(k, 1, 0, false);
	struct kit_list l;
	struct claimed c;

	kit_release(k, &(struct spool_select){.all = true});
	assert_int_equal(claim(k, LATER).n, 1);
	finish(k, id, false, LATER + 5000);
	c = claim(k, LATER + 4999);
	assert_int_equal(c.n, 0);
	assert_int_equal(c.next_due, LATER + 5000);
	l = kit_list_all(k);
	assert_string_equal(l.v[0].last_error, "status 77");
	assert_int_equal(l.v[0].state, SPOOL_RELEASED);
	assert_int_equal(delivery_claims(k), 0);
	c = claim(k, LATER + 5000);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.v[0].attempts, 1);
}

static void
test_pending(void **state)
{
	struct kit *k = *state;
	uint64_t id = add(k, 0, 1, true);

	assert_int_equal(claim(k, LATER).n, 0);
	assert_int_equal(list(k).n, 0);
	assert_int_equal(kit_settle(k, id, true), 0);
	assert_int_equal(list(k).n, 1);
	assert_int_equal(claim(k, LATER).n, 1);
	id = add(k, 1, 0, true);
	assert_int_equal(kit_settle(k, id, false), 0);
	assert_int_equal(quarantined(k), 1);
}

static void
test_discarded_whole_or_not(void **state)
{
	struct kit *k = *state;
	uint64_t id = add(k, 2, 1, false);
	struct spool_select all = {.all = true},
			    one = {.recipient = "r0@*", .all = true};
	struct kit_rows rows = kit_discard(k, &one);
	struct claimed c;

	assert_int_equal(rows.n, 0);
	rows = kit_discard(k, &all);
	assert_int_equal(rows.n, 3);
	assert_int_equal(kit_discard(k, &all).n, 0); /* it is doomed */
	assert_int_equal(kit_release(k, &all).n, 0);
	assert_int_equal(kit_list_all(k).n, 1);
	c = claim(k, LATER);
	assert_int_equal(c.n, 1);
	assert_true(c.v[0].doomed);
	finish(k, id, true, 0);
	assert_int_equal(kit_list_all(k).n, 0);
}

static void
test_gone(void **state)
{
	struct kit *k = *state;
	uint64_t id = add(k, 2, 0, false), other = add(k, 1, 0, false);
	struct spool_select gone = {.ids = &id, .id_count = 1, .gone = true};
	struct claimed c;

	assert_int_equal(kit_discard(k, &gone).n, 2);
	assert_int_equal(quarantined(k), 1);
	c = list(k);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.v[0].id, other);
	assert_int_equal(
	    c.v[0].queued_at, kit_ask(k, "SELECT queued_at FROM message"));
	assert_int_equal(kit_ask(k, "SELECT count(*) FROM quarantine"), 1);
	assert_int_equal(claim(k, LATER).n, 0);
}

/* What a command was at, what was doomed, what was pending, what waits. */
static void
test_restart(void **state)
{
	struct kit *k = *state;
	uint64_t sending = add(k, 1, 0, false), doomed, pending;
	struct spool_select select = {.ids = &sending, .id_count = 1};
	struct claimed c;

	kit_release(k, &select);
	assert_int_equal(claim(k, LATER).n, 1);
	doomed = add(k, 1, 0, false);
	select.ids = &doomed;
	kit_discard(k, &select);
	assert_int_equal(claim(k, LATER).n, 1);
	pending = add(k, 0, 1, true);
	add(k, 1, 1, true);
	kit_close(k);
	kit_open(k);
	assert_int_equal(quarantined(k), 4);
	assert_int_equal(
	    kit_ask(k, "SELECT count(*) FROM rcpt WHERE state = 2"), 0);
	assert_int_equal(delivery_claims(k), 0);
	c = claim(k, LATER);
	assert_int_equal(c.n, 3);
	assert_int_equal(c.v[0].id, sending);
	assert_false(c.v[0].doomed);
	assert_int_equal(c.v[1].id, doomed);
	assert_true(c.v[1].doomed);
	assert_int_equal(c.v[2].id, pending);
}

/* A spool of the version before. */
static void
test_from_version_1(void **state)
{
	struct kit *k = *state;
	int error;
	uint64_t id = kit_add(k, 1, SPOOL_HELD, 10, &error);

	kit_close(k);
	kit_sql(k, "DROP TABLE quarantine; DROP TABLE inbound_left;"
		   " DROP TABLE mta_held; DROP TABLE acquaintance;"
		   " DROP TABLE alert;"
		   " DROP TABLE name; ALTER TABLE source DROP COLUMN note;"
		   " ALTER TABLE source DROP COLUMN thaw_at;"
		   " ALTER TABLE rcpt DROP COLUMN lane;"
		   " DROP INDEX rcpt_owner; ALTER TABLE rcpt DROP COLUMN owner;"
		   " PRAGMA user_version = 1");
	kit_open(k);
	assert_int_equal(kit_list_all(k).v[0].id, id);
	add(k, 1, 0, false);
	assert_int_equal(quarantined(k), 1);
}

static void
test_hostile_rows(void **state)
{
	struct kit *k = *state;
	uint64_t id = add(k, 1, 0, false);
	struct claimed c;

	kit_release(k, &(struct spool_select){.all = true});
	kit_close(k);
	/* As if it were ours to deliver: its text is a header alone. */
	kit_sql(k, "UPDATE rcpt SET state = 2; DELETE FROM quarantine");
	kit_open(k);
	assert_int_equal(delivery_claims(k), 0);
	kit_close(k);
	kit_sql(k, "INSERT INTO quarantine VALUES (4096, x'00', 7, -1, 0)");
	kit_open(k);
	c = claim(k, LATER);
	assert_int_equal(c.n, 0);
	assert_int_equal(claim(k, LATER).n, 0);
	(void)id;
}

/* The text is in the mail server's queue: ours is only to be looked at. */
static void
test_lost_body_holds_up_nothing(void **state)
{
	struct kit *k = *state;
	char text[SPOOL_ID_TEXT];
	struct kit_message m;
	char *path;

	kit_message(k, &m, 1, SPOOL_HELD);
	m.m.whole = true;
	m.m.mta_id = "4jWDnr6BL8z1bdGS";
	assert_int_equal(kit_put(k, &m.m, 300000), 0);
	kit_close(k);
	path = xasprintf("%s/bodies/%s", k->dir, spool_id_format(m.m.id, text));
	assert_int_equal(unlink(path), 0);
	kit_open(k);
	assert_int_equal(kit_release_ticket(k, SPOOL_TICKET(m.m.id, 0)), 0);
	assert_int_equal(claim(k, LATER).n, 1);
	finish(k, m.m.id, true, 0);
	assert_int_equal(kit_list_all(k).n, 0);
	free(path);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_goes_when_the_last_may),
	    TEST(test_not_too_early),
	    TEST(test_failures_wait),
	    TEST(test_pending),
	    TEST(test_discarded_whole_or_not),
	    TEST(test_gone),
	    TEST(test_restart),
	    TEST(test_from_version_1),
	    TEST(test_lost_body_holds_up_nothing),
	    TEST(test_hostile_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
