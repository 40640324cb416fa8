/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Problems: who was refused within an hour on the test's own clock, what makes
 * room, and what is heard of the events.
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "os/problems.h"

#include <stdio.h>
#include <string.h>

#define WALL INT64_C(1800000000000) /* a bucket begins */
#define MINUTE (60 * INT64_C(1000))
#define HOUR (60 * MINUTE)

struct seen {
	size_t n, max;
	char who[512];      /* of all, with a blank after each */
	struct problem one; /* the last; texts are below */
	char why[300], option[64];
};

static bool
on_problem(void *arg, const struct problem *p)
{
	struct seen *s = arg;
	size_t at = strlen(s->who);

	snprintf(s->who + at, sizeof(s->who) - at, "%.20s ", p->who);
	snprintf(s->why, sizeof(s->why), "%s", p->why);
	snprintf(s->option, sizeof(s->option), "%s",
	    p->option != NULL ? p->option : "-");
	s->one = *p;
	return ++s->n != s->max;
}

static struct seen
look(const struct problems *p, enum problem_kind kind, int64_t wall)
{
	struct seen s = {0};

	problems_each(p, kind, UINT64_MAX, wall, on_problem, &s);
	return s;
}

struct both {
	struct events *events;
	struct problems *problems;
};

static int
setup(void **state)
{
	static struct both b;

	b.events = events_new();
	b.problems = problems_new(b.events);
	*state = &b;
	return 0;
}

static int
teardown(void **state)
{
	struct both *b = *state;

	problems_free(b->problems);
	events_free(b->events);
	return 0;
}

static void
note(struct problems *p, const char *who, int64_t wall)
{
	problems_note(p, PROBLEM_SENDER, who, "queue_max", "full", wall);
}

static void
test_hour(void **state)
{
	struct problems *p = ((struct both *)*state)->problems;
	struct seen s;

	for (int i = 0; i < 60; i++)
		note(p, "alice", WALL + i * MINUTE);
	s = look(p, PROBLEM_SENDER, WALL + HOUR - 1);
	assert_int_equal(60, s.one.count);
	assert_true(s.one.last == WALL + 59 * MINUTE);
	/* Five minutes at a time fall out. */
	s = look(p, PROBLEM_SENDER, WALL + HOUR);
	assert_int_equal(55, s.one.count);
	s = look(p, PROBLEM_SENDER, WALL + HOUR + 54 * MINUTE);
	assert_int_equal(5, s.one.count);
	s = look(p, PROBLEM_SENDER, WALL + HOUR + 55 * MINUTE);
	assert_int_equal(0, s.n);
	/* A new one begins at one. */
	note(p, "alice", WALL + 5 * HOUR);
	assert_int_equal(1, look(p, PROBLEM_SENDER, WALL + 5 * HOUR).one.count);
}

/* The clock is set back: nothing is lost, and nothing counts twice. */
static void
test_clock_back(void **state)
{
	struct problems *p = ((struct both *)*state)->problems;

	note(p, "alice", WALL + HOUR);
	note(p, "alice", WALL);
	note(p, "alice", -5);
	assert_int_equal(3, look(p, PROBLEM_SENDER, WALL).one.count);
	assert_int_equal(
	    3, look(p, PROBLEM_SENDER, WALL + HOUR + MINUTE).one.count);
	assert_int_equal(0, look(p, PROBLEM_SENDER, WALL + 3 * HOUR).n);
}

static void
test_latest_first(void **state)
{
	struct problems *p = ((struct both *)*state)->problems;
	struct seen s = {.max = 1};

	note(p, "a", WALL);
	note(p, "b", WALL + 1);
	note(p, "c", WALL + 2);
	note(p, "a", WALL + 3);
	assert_string_equal("a c b ", look(p, PROBLEM_SENDER, WALL + 4).who);
	/* In parts. */
	problems_each(p, PROBLEM_SENDER, UINT64_MAX, WALL, on_problem, &s);
	s.max = 0;
	problems_each(p, PROBLEM_SENDER, s.one.seq, WALL, on_problem, &s);
	assert_string_equal("a c b ", s.who);
}

/* What tells more stays, until the hour is over. */
static void
test_words(void **state)
{
	struct problems *p = ((struct both *)*state)->problems;
	struct seen s;

	problems_note(p, PROBLEM_SENDER, "a", NULL, "first", WALL);
	assert_string_equal("first", look(p, PROBLEM_SENDER, WALL).why);
	problems_note(p, PROBLEM_SENDER, "a", "queue_max", "second", WALL);
	problems_note(p, PROBLEM_SENDER, "a", NULL, "third", WALL);
	s = look(p, PROBLEM_SENDER, WALL);
	assert_string_equal("second", s.why);
	assert_string_equal("queue_max", s.option);
	assert_int_equal(3, s.one.count);
	problems_note(p, PROBLEM_SENDER, "a", NULL, "x", WALL + 2 * HOUR);
	s = look(p, PROBLEM_SENDER, WALL + 2 * HOUR);
	assert_string_equal("x", s.why);
	assert_string_equal("-", s.option);
}

/* Very many: the quiet ones make room, each kind for itself, and names of any
 * length are taken. */
static void
test_bounded(void **state)
{
	struct problems *p = ((struct both *)*state)->problems;
	size_t max = problems_max[PROBLEM_SENDER];
	struct seen first = {.max = 1};
	char who[32], huge[5000];

	note(p, "old", WALL);
	note(p, "kept", WALL);
	for (size_t i = 0; i < max - 1; i++) {
		snprintf(who, sizeof(who), "s%zu", i);
		if (i == max / 2)
			note(p, "kept", WALL);
		note(p, who, WALL);
	}
	for (size_t i = 0; i < 3 * problems_max[PROBLEM_CLIENT]; i++) {
		snprintf(who, sizeof(who), "c%zu", i);
		problems_note(p, PROBLEM_CLIENT, who, "x", "y", WALL);
	}
	assert_int_equal(max, look(p, PROBLEM_SENDER, WALL).n);
	assert_int_equal(
	    problems_max[PROBLEM_CLIENT], look(p, PROBLEM_CLIENT, WALL).n);
	note(p, "kept", WALL);
	problems_each(p, PROBLEM_SENDER, UINT64_MAX, WALL, on_problem, &first);
	assert_string_equal("kept ", first.who);
	assert_int_equal(3, first.one.count);
	memset(huge, 'h', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	problems_note(p, PROBLEM_SENDER, huge, NULL, huge, WALL);
	assert_int_equal(max, look(p, PROBLEM_SENDER, WALL).n);
}

/* One place for all fronts: an event. */
static void
test_events(void **state)
{
	struct both *b = *state;
	struct seen s;

	events_add(b->events, WALL, EVENT_HOLD, "alice", "1", "x");
	events_add(b->events, WALL, EVENT_MESSAGE, "alice", "1", "x");
	events_add_option(b->events, WALL, EVENT_REFUSE, "when_frozen", "alice",
	    "", "%s: sender is %s", "bob@example.net", "frozen");
	events_add(b->events, WALL + 1, EVENT_REFUSE, "alice", "", "again");
	events_add_option(b->events, WALL, EVENT_LIMIT, "refused_max",
	    "192.0.2.1", "", "too many");
	events_add_option(b->events, WALL, EVENT_COMMAND, "release_command",
	    "release_command", "", "status 1");
	s = look(b->problems, PROBLEM_SENDER, WALL + 1);
	assert_int_equal(1, s.n);
	assert_string_equal("alice ", s.who);
	assert_string_equal("bob@example.net: sender is frozen", s.why);
	assert_string_equal("when_frozen", s.option);
	assert_int_equal(2, s.one.count);
	s = look(b->problems, PROBLEM_CLIENT, WALL + 1);
	assert_string_equal("192.0.2.1 ", s.who);
	s = look(b->problems, PROBLEM_COMMAND, WALL + 1);
	assert_string_equal("release_command ", s.who);
	assert_string_equal("status 1", s.why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_hour, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_clock_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_latest_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_words, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_events, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
