/* SPDX-License-Identifier: BSD-3-Clause */
/* What weir let go: bounds, ages, ids that come again, and replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "delivery/let_go.h"

static struct let_go_id ids[LET_GO_SOURCE_MAX];

static int
setup(void **state)
{
	struct let_go *g = let_go_new();

	let_go_set(g, true);
	*state = g;
	return 0;
}

static int
teardown(void **state)
{
	let_go_free(*state);
	return 0;
}

static size_t
known(struct let_go *g, const char *source, int64_t now)
{
	return let_go_of(g, source, now, ids);
}

static void
test_by_source(void **state)
{
	struct let_go *g = *state;

	let_go_note(g, "alice", STR("4jWalice01"), 1);
	let_go_note(g, "bob", STR("4jWbob0001"), 2);
	let_go_note(g, "alice", STR("4jWalice02"), 3);
	assert_int_equal(known(g, "alice", 4), 2);
	assert_string_equal(ids[0].id, "4jWalice01");
	assert_string_equal(ids[1].id, "4jWalice02");
	assert_int_equal(ids[1].at, 3);
	/* Given again, to a message of another. */
	let_go_note(g, "bob", STR("4jWalice01"), 5);
	assert_int_equal(known(g, "alice", 5), 1);
	assert_int_equal(known(g, "bob", 5), 2);
	let_go_forget(g, "4jWalice02");
	let_go_forget(g, "4jWnobody1");
	assert_int_equal(known(g, "alice", 5), 0);
	assert_int_equal(let_go_count(g), 2);
	let_go_set(g, false);
	assert_int_equal(let_go_count(g), 0);
	let_go_note(g, "alice", STR("4jWalice01"), 6);
	assert_int_equal(let_go_count(g), 0);
}

static void
test_bounds(void **state)
{
	struct let_go *g = *state;
	char id[32], source[32];

	for (int i = 0; i < LET_GO_SOURCE_MAX + 10; i++) {
		snprintf(id, sizeof(id), "4jWone%05d", i);
		let_go_note(g, "one", str_from(id), i);
	}
	assert_int_equal(known(g, "one", 1000), LET_GO_SOURCE_MAX);
	assert_string_equal(ids[0].id, "4jWone00010");
	for (int i = 0; i < LET_GO_MAX; i++) {
		snprintf(id, sizeof(id), "4jWmany%06d", i);
		snprintf(source, sizeof(source), "s%d", i % 1000);
		let_go_note(g, source, str_from(id), 1000);
	}
	assert_int_equal(let_go_count(g), LET_GO_MAX);
	assert_int_equal(known(g, "one", 1000), 0);
	assert_int_equal(known(g, "s999", 999 + LET_GO_MS), LET_GO_MAX / 1000);
	assert_int_equal(known(g, "s999", 1000 + LET_GO_MS), 0);
	assert_int_equal(let_go_count(g), 0);
}

static void
test_replies(void **state)
{
	static const char *const none[] = {"", "queued as", "queued as ",
	    "Ok: queued as -d", "Ok: queued as ALL", "Ok: queued as 4jW/../x1",
	    "Ok: queued as 4jWalice0123456789012345678901234567",
	    "Ok 4jWalice01"};
	struct let_go *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		let_go_note_reply(g, "alice", str_from(none[i]), 1);
	assert_int_equal(let_go_count(g), 0);
	let_go_note_reply(g, "alice", STR("Ok: queued as 4jWalice01"), 1);
	let_go_note_reply(g, "alice",
	    STR("from MTA(x): 250 2.0.0 Ok: queued as A1B2C3\nbye"), 1);
	assert_int_equal(known(g, "alice", 2), 2);
	assert_string_equal(ids[0].id, "4jWalice01");
	assert_string_equal(ids[1].id, "A1B2C3");
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_by_source),
	    TEST(test_bounds),
	    TEST(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
