/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: what is repeated is one entry, what is rare stays, and followers.
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "os/events.h"

#include <stdio.h>
#include <string.h>

#define WALL INT64_C(1800000000000)
#define MINUTE (60 * INT64_C(1000))

struct seen {
	size_t n, news;
	uint64_t last_seq;
	struct event_item last; /* texts are not looked at */
	char detail[64], types[64];
};

static void
on_item(void *arg, const struct event_item *item)
{
	struct seen *s = arg;

	assert_true(item->seq > s->last_seq);
	s->last_seq = item->seq;
	s->last = *item;
	snprintf(s->detail, sizeof(s->detail), "%s", item->detail);
	if (s->n < sizeof(s->types) - 1)
		s->types[s->n] = event_type_name[item->type][0];
	s->n++;
	s->news += item->is_news;
}

static struct seen
look(const struct events *e)
{
	struct seen s = {0};

	events_each(e, 0, on_item, &s);
	return s;
}

static void
test_grouped(void **state)
{
	struct events *e = events_new();
	struct seen s;

	(void)state;
	for (int i = 0; i < 37; i++)
		events_add(
		    e, WALL + i * 1000, EVENT_REFUSE, "alice", "", "try %d", i);
	s = look(e);
	assert_int_equal(1, s.n);
	assert_int_equal(37, s.last.count);
	assert_int_equal(WALL, s.last.first);
	assert_int_equal(WALL + 36000, s.last.at);
	assert_string_equal("try 36", s.detail);
	/* Others, other messages and other kinds stand for themselves. */
	events_add(e, WALL, EVENT_REFUSE, "bob", "", "-");
	events_add(e, WALL, EVENT_HOLD, "alice", "ID1", "-");
	events_add(e, WALL, EVENT_HOLD, "alice", "ID2", "-");
	events_add(e, WALL, EVENT_HOLD, "alice", "ID1", "again");
	s = look(e);
	assert_int_equal(4, s.n);
	assert_string_equal("again", s.detail); /* the latest is the last */
	assert_int_equal(2, s.last.count);
	/* After an hour it is the first again. */
	events_add(e, WALL + 36000 + 60 * MINUTE + 1, EVENT_REFUSE, "alice", "",
	    "later");
	s = look(e);
	assert_int_equal(5, s.n);
	assert_int_equal(1, s.last.count);
	events_add(
	    e, WALL + 37000 + 60 * MINUTE, EVENT_REFUSE, "alice", "", "later");
	assert_int_equal(2, look(e).last.count);
	events_free(e);
}

/* A freeze is told each time, and no amount of mail pushes it out. */
static void
test_freeze_stays(void **state)
{
	struct events *e = events_new();
	char id[16];
	struct seen s;

	(void)state;
	events_add(e, WALL, EVENT_FREEZE, "alice", "", "one");
	events_add(e, WALL, EVENT_FREEZE, "alice", "", "two");
	for (int i = 0; i < 5000; i++) {
		snprintf(id, sizeof(id), "%d", i);
		events_add(e, WALL, EVENT_MESSAGE, "bob", id, "-");
	}
	s = look(e);
	assert_int_equal(EVENTS_KEPT_MAIL + 2, s.n);
	assert_int_equal('f', s.types[0]);
	assert_int_equal('f', s.types[1]);
	assert_int_equal('m', s.types[2]);
	for (int i = 0; i < 1000; i++)
		events_add(e, WALL, EVENT_THAW, "alice", "", "-");
	assert_int_equal(EVENTS_KEPT_MAIL + EVENTS_KEPT_RARE, look(e).n);
	/* The last so many. */
	s = (struct seen){0};
	events_each(e, events_before(e, 7), on_item, &s);
	assert_int_equal(7, s.n);
	s = (struct seen){0};
	events_each(e, events_before(e, 100000), on_item, &s);
	assert_int_equal(EVENTS_KEPT_MAIL + EVENTS_KEPT_RARE, s.n);
	assert_int_equal(s.last_seq, events_before(e, 0));
	events_free(e);
}

static void
test_followers(void **state)
{
	struct events *e = events_new();
	struct seen s = {0};
	struct event_follower f = {.on_event = on_item, .arg = &s};

	(void)state;
	assert_int_equal(0, events_before(e, 5));
	list_init(&f.entry);
	events_follow(e, &f);
	for (int i = 0; i < 180; i++) /* three minutes */
		events_add(
		    e, WALL + i * 1000, EVENT_REFUSE, "alice", "", "%d", i);
	assert_int_equal(180, s.n);
	assert_int_equal(3, s.news);
	/* The clock is set back: told, and counted on. */
	events_add(e, WALL - 60 * MINUTE, EVENT_REFUSE, "alice", "", "back");
	assert_int_equal(4, s.news);
	assert_int_equal(181, s.last.count);
	events_unfollow(&f);
	events_add(e, WALL, EVENT_FREEZE, "alice", "", "-");
	assert_int_equal(181, s.n);
	events_free(e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_grouped),
	    cmocka_unit_test(test_freeze_stays),
	    cmocka_unit_test(test_followers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
