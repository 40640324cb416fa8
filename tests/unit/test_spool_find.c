/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking for messages: by each of what people know, in steps, and names that
 * go with their message.
 */
#include "config.h"

#include "spool_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct found {
	uint64_t ids[16];
	size_t rcpts[16], n, calls;
	uint64_t after;
	char message_id[300], queue_id[80];
	bool end, done;
};

static void
on_found(void *arg, int error, const struct spool_found *found)
{
	struct found *f = arg;

	assert_int_equal(0, error);
	for (size_t i = 0; i < found->n; i++) {
		const struct spool_message *m = &found->messages[i];

		f->ids[f->n] = m->id;
		f->rcpts[f->n++] = m->rcpt_count;
		str_copy(str_from(m->message_id), f->message_id,
		    sizeof(f->message_id));
		str_copy(
		    str_from(m->queue_id), f->queue_id, sizeof(f->queue_id));
	}
	f->after = found->after;
	f->end = found->end;
	f->done = true;
}

static struct found
find(struct kit *k, struct spool_find what)
{
	struct found f = {0};

	do {
		f.done = false;
		f.calls++;
		spool_find(k->spool, &what, f.after, 2, on_found, &f);
		assert_true(kit_wait(k->spool, &f.done));
	} while (!f.end);
	return f;
}

static int
setup(void **state)
{
	struct kit *k = xcalloc(1, sizeof(*k));

	kit_init(k);
	kit_open(k);
	*state = k;
	return 0;
}

static int
teardown(void **state)
{
	kit_clear(*state);
	free(*state);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The first, and two that are like it and not the same. */
static uint64_t
add_three(struct kit *k)
{
	struct kit_message km;
	uint64_t first;

	kit_message(k, &km, 3, SPOOL_HELD);
	km.m.message_id = "Abc.1@mail.example.org";
	km.m.queue_id = "4jWFs55w7zz1cQhf";
	km.m.subject = "=?UTF-8?Q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?Q?_=C4nd?=";
	first = km.m.id;
	assert_int_equal(0, kit_put(k, &km.m, 10));
	kit_message(k, &km, 1, SPOOL_HELD);
	km.m.message_id = "Abc.12@mail.example.org";
	km.m.queue_id = "4jWFs55w7zz1cQhF"; /* another: case counts */
	km.m.client = "192.0.2.10";
	km.m.source = "bob";
	km.m.from = "";
	assert_int_equal(0, kit_put(k, &km.m, 10));
	kit_message(k, &km, 1, SPOOL_HELD);
	km.m.client = "local";
	km.m.source = "bob";
	km.m.from = "bob@example.org";
	km.m.subject = NULL;
	assert_int_equal(0, kit_put(k, &km.m, 10));
	return first;
}

static void
check_only(struct kit *k, struct spool_find what, uint64_t id, size_t rcpts)
{
	struct found f = find(k, what);

	if (f.n != 1 || f.ids[0] != id || f.rcpts[0] != rcpts)
		fail_msg("%zu found by %s", f.n,
		    what.term != NULL ? what.term : "an option");
}

static void
test_by_each(void **state)
{
	struct kit *k = *state;
	uint64_t id = add_three(k);
	char text[SPOOL_ID_TEXT];
	const char *terms[] = {spool_id_format(id, text),
	    "<abc.1@mail.example.org>", "Abc.1@mail.example.org",
	    "4jWFs55w7zz1cQhf", "192.0.2.1", "ALICE", "alice@EXAMPLE",
	    "gr\xc3\xbc\xc3\x9f", "\xc3\x84ND",
	    "\xc3\xbc\xc3\x9f"
	    "e \xc3\xa4"};

	for (size_t i = 0; i < ARRAY_LEN(terms); i++)
		check_only(k, (struct spool_find){.term = terms[i]}, id, 3);
	check_only(k,
	    (struct spool_find){.message_id = "<Abc.1@mail.example.org>"}, id,
	    3);
	check_only(k, (struct spool_find){.mta_id = "4jWFs55w7zz1cQhf"}, id, 3);
	check_only(k, (struct spool_find){.subject = "GR\xc3\x9c"}, id, 3);
	check_only(k, (struct spool_find){.client = "192.0.2.1"}, id, 3);
	check_only(k, (struct spool_find){.source = "alice"}, id, 3);
	/* By its recipients alone: those that fit. */
	check_only(k, (struct spool_find){.term = "R1@"}, id, 1);
	check_only(k, (struct spool_find){.recipient = "r2@*"}, id, 1);
	/* All that is given must fit. */
	check_only(k, (struct spool_find){.term = "alice", .recipient = "r0@*"},
	    id, 1);
	assert_int_equal(0,
	    find(k, (struct spool_find){.term = "alice", .source = "bob"}).n);
	assert_int_equal(0, find(k, (struct spool_find){.term = "nobody"}).n);
	assert_int_equal(
	    0, find(k, (struct spool_find){.client = "no address"}).n);
	assert_int_equal(0, find(k, (struct spool_find){.message_id = "<>"}).n);
	assert_int_equal(3, find(k, (struct spool_find){.term = "r0@"}).n);
}

/* More than an answer holds, and more than a step looks at. */
static void
test_in_steps(void **state)
{
	struct kit *k = *state;
	uint64_t last = 0;
	struct found f;

	for (int i = 0; i < 5; i++)
		last = kit_add(k, 2, SPOOL_HELD, 10, NULL);
	f = find(k, (struct spool_find){.term = "example.net"});
	assert_int_equal(5, f.n);
	assert_int_equal(last, f.ids[4]);
	assert_int_equal(3, f.calls);
	kit_close(k);
	/* Many rows of no use before the one that is looked for. */
	kit_sql(k,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	    " WHERE i < 5000) INSERT INTO message SELECT i * 4096, 0, 0, 0, 0,"
	    " 0, 0, 1, 1, 'eve', 'default', 'eve@x', '', '', NULL, 'x', x'00'"
	    " FROM n; INSERT INTO rcpt (ticket, state, attempts, next_try,"
	    " destination, notify, address, orcpt, last_error) SELECT id, 1, "
	    "0, 0, 1, 0, 'v@y', NULL,"
	    " NULL FROM message WHERE source = 'eve'");
	kit_open(k);
	f = find(k, (struct spool_find){.term = "hello"});
	assert_int_equal(5, f.n);
	assert_true(f.calls >= 5);
	f = find(k, (struct spool_find){.mta_id = "none"});
	assert_int_equal(0, f.n);
	assert_true(f.calls >= 3);
}

static void
test_names_go_with_it(void **state)
{
	struct kit *k = *state;
	struct kit_message km;
	char longer[400];
	struct found f;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	kit_message(k, &km, 1, SPOOL_HELD);
	km.m.message_id = longer;
	km.m.queue_id = "";
	assert_int_equal(0, kit_put(k, &km.m, 10));
	kit_add(k, 1, SPOOL_HELD, 10, NULL); /* has none */
	assert_int_equal(1, kit_ask(k, "SELECT count(*) FROM name"));
	/* Cut, and found by the whole of it. */
	f = find(k, (struct spool_find){.message_id = longer});
	assert_int_equal(1, f.n);
	assert_int_equal(SPOOL_NAME_MAX, strlen(f.message_id));
	assert_string_equal("", f.queue_id);
	kit_discard(k, &(struct spool_select){.all = true});
	assert_int_equal(0, kit_ask(k, "SELECT count(*) FROM name"));
}

/* A spool of the version before, and names that nobody of ours wrote: the
 * message stays what it is. */
static void
test_older_and_hostile(void **state)
{
	struct kit *k = *state;
	struct found f;

	kit_add(k, 1, SPOOL_HELD, 10, NULL);
	kit_close(k);
	kit_sql(k,
	    "DROP TABLE name; DROP TABLE mta_held; DROP TABLE acquaintance;"
	    " DROP TABLE alert;"
	    " ALTER TABLE inbound_left RENAME TO inbound;"
	    " ALTER TABLE source DROP COLUMN note;"
	    " ALTER TABLE rcpt DROP COLUMN lane;"
	    " ALTER TABLE source DROP COLUMN thaw_at;"
	    " DROP INDEX rcpt_owner; ALTER TABLE rcpt DROP COLUMN owner;"
	    " PRAGMA user_version = 3");
	kit_open(k);
	assert_int_equal(1, find(k, (struct spool_find){.term = "hello"}).n);
	kit_close(k);
	kit_sql(k, "INSERT INTO name SELECT id, x'0001', 'a' || char(0) || 'b'"
		   " FROM message");
	kit_open(k);
	f = find(k, (struct spool_find){.term = "hello"});
	assert_int_equal(1, f.n);
	assert_string_equal("", f.message_id);
	assert_string_equal("", f.queue_id);
}

/* What the audit log says of mail that was named by its ids. */
static void
test_whose(void **state)
{
	struct spool_row rows[8] = {{0}};
	char out[SPOOL_WHOSE_MAX], longer[600];

	(void)state;
	assert_string_equal("", spool_whose(rows, 0, out));
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (size_t i = 0; i < 8; i++)
		rows[i] = (struct spool_row){.ticket = i / 2 * 4096 + 4096 + i,
		    .source = i < 2 ? "alice" : longer,
		    .address = i < 2 ? "bob@x" : longer};
	spool_whose(rows, 2, out);
	assert_non_null(strstr(out, " of alice to bob@x and 1 more"));
	spool_whose(rows, 8, out);
	assert_non_null(strstr(out, "; and 1 more messages"));
	assert_true(strlen(out) < SPOOL_WHOSE_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_by_each),
	    TEST(test_in_steps),
	    TEST(test_names_go_with_it),
	    TEST(test_older_and_hostile),
	    cmocka_unit_test(test_whose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
