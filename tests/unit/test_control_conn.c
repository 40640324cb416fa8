/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: who may ask, and what a client cannot do to the daemon by
 * asking much, reading slowly, or leaving.
 */
#include "config.h"

#include "control_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void
test_requests_in_a_row(void **state)
{
	struct world *w = *state;
	struct client c;
	json_t *lines;

	client_open(w, &c);
	client_send(
	    &c, "{\"command\":\"senders\"}\n\n{\"command\":\"nothing\"}");
	assert_true(pump_until(w->loop, is_answered, &c));
	while (json_array_size(lines = client_take(&c)) < 1)
		json_decref(lines);
	if (json_array_size(lines) < 2) {
		json_decref(lines);
		assert_true(pump_until(w->loop, is_answered, &c));
		lines = client_take(&c);
	}
	assert_int_equal(number(last(lines), "status"), 2);
	json_decref(lines);
	client_send(&c, "{\"command\":\"senders\"}");
	assert_true(pump_until(w->loop, is_answered, &c));
	client_close(&c);
}

static void
test_events(void **state)
{
	struct world *w = *state;
	struct client c;
	json_t *lines;
	const json_t *e;

	for (int i = 0; i < 50; i++)
		events_add(w->events, clock_wall_ms(), EVENT_FREEZE, "s\xff",
		    "id", "old %d", i);
	for (int i = 0; i < 3; i++)
		events_add(w->events, clock_wall_ms(), EVENT_REFUSE, "bob", "",
		    "no %d", i);
	assert_int_equal(count_rows(w, "{\"command\":\"events\"}"), 51);
	lines = ask(w, "{\"command\":\"events\",\"max\":1}");
	e = json_object_get(json_array_get(lines, 0), "event");
	assert_int_equal(number(e, "count"), 3);
	assert_string_equal(text(e, "last"), text(e, "at"));
	assert_int_equal(strlen(text(e, "first")), 20);
	json_decref(lines);
	assert_int_equal(
	    count_rows(w, "{\"command\":\"events\",\"max\":7}"), 7);
	client_open(w, &c);
	client_send(&c, "{\"command\":\"events\",\"follow\":true,\"max\":2}");
	pump_turns(w->loop, 20);
	/* A repetition is not told within a minute. */
	events_add(w->events, clock_wall_ms(), EVENT_REFUSE, "bob", "", "no");
	events_add(
	    w->events, clock_wall_ms(), EVENT_FREEZE, "alice", "", "new");
	pump_turns(w->loop, 20);
	client_read(&c);
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 3);
	assert_string_equal(
	    text(json_object_get(last(lines), "event"), "type"), "freeze");
	assert_string_equal(
	    text(json_object_get(last(lines), "event"), "sender"), "alice");
	json_decref(lines);
	client_close(&c);
	pump_turns(w->loop, 20);
	assert_int_equal(places_used(w->control->places), 0);
	events_add(w->events, clock_wall_ms(), EVENT_FREEZE, "alice", "", "-");
}

static void
test_deaf_follower_is_dropped(void **state)
{
	struct world *w = *state;
	struct client c;
	int reported = 0;

	client_open(w, &c);
	client_send(&c, "{\"command\":\"events\",\"follow\":true}");
	pump_turns(w->loop, 20);
	assert_int_equal(places_used(w->control->places), 1);
	for (; reported < 20000 && places_used(w->control->places) > 0;
	     reported++) {
		events_add(w->events, clock_wall_ms(), EVENT_THAW, "alice", "",
		    "%0400d", reported);
		if (reported % 50 == 0)
			pump_turns(w->loop, 1);
	}
	/* What waits here, in the connection, and in the kernel. */
	assert_true(reported * 450 < 3 << 20);
	pump_turns(w->loop, 5);
	assert_int_equal(places_used(w->control->places), 0);
	assert_true(pump_until(w->loop, is_closed, &c));
	client_close(&c);
	expect_done(w, "{\"command\":\"status\"}", -1);
}

/* What waits for a client that does not read stays bounded, and it gets every
 * row once when it does. */
static void
test_long_listing_is_bounded(void **state)
{
	struct world *w = *state;
	struct client c, other;
	struct control_conn *conn;
	json_t *lines;
	char name[400];
	int64_t now;

	for (int i = 0; i < 900; i++) {
		struct gate_facts facts = {0};
		struct gate_txn *txn;
		uint64_t none = 0;
		enum throttle_verdict verdict;

		snprintf(name, sizeof(name), "%0200d@example.org", i);
		facts.sender = str_from(name);
		now = loop_now(w->loop);
		txn = gate_begin(w->gate, &facts, now);
		gate_recipient(txn, STR("x@example.net"), now, clock_wall_ms(),
		    take_verdict, &verdict);
		gate_commit(txn, &none, now, clock_wall_ms());
	}
	client_open(w, &c);
	for (int i = 0; i < 40; i++)
		client_send(&c, "{\"command\":\"senders\"}");
	pump_turns(w->loop, 50);
	conn = LIST_ITEM(w->control->conns.next, struct control_conn, entry);
	assert_true(conn->out.len > 0);
	assert_true(conn->out.len <= CONTROL_OUT_MAX);
	/* Others are served meanwhile. */
	client_open(w, &other);
	client_send(&other, "{\"command\":\"status\"}");
	assert_true(pump_until(w->loop, is_answered, &other));
	client_close(&other);
	for (int i = 0; i < 200; i++) {
		client_read(&c);
		pump_turns(w->loop, 2);
	}
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 40 * 901);
	json_decref(lines);
	client_close(&c);
}

static void
test_queue_pages(void **state)
{
	struct world *w = *state;
	json_t *lines;
	const char *before = "";

	submit_many(w, "alice@example.org", 99);
	submit_many(w, "bob@example.org", 99);
	submit_many(w, "carol@example.org", 99);
	lines = ask(w, "{\"command\":\"queue\"}");
	assert_int_equal(json_array_size(lines), 3 * 99 + 1);
	for (size_t i = 0; i < 3 * 99; i++) {
		assert_true(strcmp(before, text(row(lines, i), "id")) < 0);
		before = text(row(lines, i), "id");
	}
	json_decref(lines);
}

#define BIG_RCPTS 3000

static void
put_big(struct world *w, uint64_t id)
{
	struct spool_rcpt *rcpts = xcalloc(BIG_RCPTS, sizeof(*rcpts));
	struct spool_message m = {.id = id,
	    .source = ALICE,
	    .policy = "default",
	    .from = "a@b",
	    .client = "local",
	    .helo = "h",
	    .queued_at = clock_wall_ms(),
	    .rcpts = rcpts,
	    .rcpt_count = BIG_RCPTS};
	char address[151] = "";
	bool done = false;

	/* Each of these takes six bytes in JSON. */
	memset(address, 1, sizeof(address) - 1);
	for (size_t i = 0; i < BIG_RCPTS; i++) {
		rcpts[i].ticket = SPOOL_TICKET(id, i);
		rcpts[i].address = address;
		rcpts[i].state = SPOOL_HELD;
	}
	spool_put(w->spool, &m, spool_body_new(w->spool, id), on_put, &done);
	assert_true(pump_until(w->loop, pump_is_set, &done));
	free(rcpts);
}

/* A page that is larger than what may wait is asked for again from where it
 * was cut: each message comes once. */
static void
test_queue_of_large_messages(void **state)
{
	struct world *w = *state;
	const char *before = "";
	json_t *lines;

	for (int i = 0; i < 16; i++)
		put_big(w, spool_new_id(w->spool, clock_wall_ms()));
	lines = ask(w, "{\"command\":\"queue\"}");
	assert_int_equal(json_array_size(lines), 17);
	for (size_t i = 0; i < 16; i++) {
		assert_true(strcmp(before, text(row(lines, i), "id")) < 0);
		before = text(row(lines, i), "id");
		assert_int_equal(json_array_size(json_object_get(
				     row(lines, i), "recipients")),
		    BIG_RCPTS);
	}
	json_decref(lines);
}

static void
test_too_long_a_request(void **state)
{
	struct world *w = *state;
	struct client c;
	char *chunk = xmalloc(65536);
	json_t *lines;

	memset(chunk, 'x', 65536);
	client_open(w, &c);
	for (int i = 0; i < 100 && !c.closed; i++) {
		if (send(c.fd, chunk, 65536, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN)
			break;
		pump_turns(w->loop, 1);
	}
	assert_true(pump_until(w->loop, is_closed, &c));
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 1);
	assert_string_equal(text(last(lines), "error"), "request is too long");
	json_decref(lines);
	client_close(&c);
	free(chunk);
}

static void
test_too_many_connections(void **state)
{
	struct world *w = *state;
	struct client c[CONTROL_CONNS_MAX], extra;
	json_t *lines;

	for (size_t i = 0; i < CONTROL_CONNS_MAX; i++)
		client_open(w, &c[i]);
	pump_turns(w->loop, 20);
	assert_int_equal(places_used(w->control->places), CONTROL_CONNS_MAX);
	client_open(w, &extra);
	assert_true(pump_until(w->loop, is_closed, &extra));
	lines = client_take(&extra);
	assert_non_null(strstr(text(last(lines), "error"), "too many"));
	json_decref(lines);
	client_close(&extra);
	for (size_t i = 0; i < CONTROL_CONNS_MAX; i++)
		client_close(&c[i]);
	pump_turns(w->loop, 20);
	assert_int_equal(places_used(w->control->places), 0);
	expect_done(w, "{\"command\":\"status\"}", -1);
}

/* The operation goes on; its answer finds nobody. Until it came, the place is
 * taken: operations of those who left are bounded as well. */
static void
test_client_leaves(void **state)
{
	struct world *w = *state;
	struct client c;

	submit_many(w, "alice@example.org", 3);
	loop_watch_free(w->watch);
	client_open(w, &c);
	client_send(&c, "{\"command\":\"queue\"}");
	pump_turns(w->loop, 20);
	client_close(&c);
	pump_turns(w->loop, 20);
	assert_int_equal(places_used(w->control->places), 1);
	assert_false(list_is_empty(&w->control->ended));
	w->watch = loop_watch_new(w->loop, spool_fd(w->spool), on_spool, w);
	pump_turns(w->loop, 50);
	assert_int_equal(places_used(w->control->places), 0);
	assert_true(list_is_empty(&w->control->ended));
	expect_done(w, "{\"command\":\"release\",\"all\":true}", 3);
}

static void
test_strangers_are_refused(void **state)
{
	struct world *w = *state;
	struct client c;
	json_t *lines;

	if (geteuid() != 0) {
		skip();
		return;
	}
	/* The kernel takes the peer's user when it connects. */
	assert_int_equal(seteuid(65534), 0);
	client_open(w, &c);
	assert_int_equal(seteuid(0), 0);
	client_send(&c, "{\"command\":\"status\"}");
	assert_true(pump_until(w->loop, is_closed, &c));
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 1);
	assert_non_null(
	    strstr(text(last(lines), "error"), "permission denied"));
	assert_int_equal(number(last(lines), "status"), 1);
	json_decref(lines);
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_requests_in_a_row),
	    TEST(test_events),
	    TEST(test_deaf_follower_is_dropped),
	    TEST(test_long_listing_is_bounded),
	    TEST(test_queue_pages),
	    TEST(test_queue_of_large_messages),
	    TEST(test_too_long_a_request),
	    TEST(test_too_many_connections),
	    TEST(test_client_leaves),
	    TEST(test_strangers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
