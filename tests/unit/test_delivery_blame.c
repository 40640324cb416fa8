/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Released mail: whose trouble it is. A message's is its own and keeps nobody
 * else waiting, a connection's end is no refusal, weir's missing login makes no
 * bounce.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "delivery/suspects.h"
#include "delivery_world.h"

/* ---- the message's ---- */

static void
send_good(struct world *w, int n)
{
	for (int i = 0; i < n; i++) {
		put(w, &(struct letter){.to = {"good@example.org"}});
		kick(w);
		wait_count(w, &w->fake->message_count, i + 1);
	}
}

/* The next hop hangs up on some: the others do not wait for them, first and
 * later, when they go by themselves. */
static void
test_messages_that_break_connections(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = w->settings.retry_max_ms = 20;
	start(w);
	fake_rule(w->fake, "RCPT TO:<bad@", FAKE_CLOSE, -1, 0);
	for (int i = 0; i < 12; i++)
		put(w, &(struct letter){.to = {"bad@example.org"}});
	kick(w);
	wait_count(w, &w->events_seen[EVENT_DEFER], 12);
	send_good(w, 40);
	wait_count(w, &w->events_seen[EVENT_DEFER], 40);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 40);
	fake_clear_rules(w->fake);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 52);
}

/* One that makes the next hop hang has a connection of its own, and one. */
static void
test_messages_that_hang(void **state)
{
	struct world *w = *state;

	w->settings.concurrency = 1;
	w->settings.retry_min_ms = w->settings.retry_max_ms = 20;
	w->hops.timeouts.command_ms = 50;
	w->fake->ehlo = "250 fake";
	start(w);
	fake_rule(w->fake, "RCPT TO:<bad@", FAKE_SILENT, -1, 0);
	for (int i = 0; i < 3; i++)
		put(w, &(struct letter){.to = {"bad@example.org"}});
	kick(w);
	wait_count(w, &w->events_seen[EVENT_DEFER], 6);
	send_good(w, 10);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 10);
}

static void
test_suspects(void **state)
{
	struct suspects *s = suspects_new();

	(void)state;
	suspects_note(s, 7);
	assert_false(suspects_has(s, 7));
	suspects_note(s, 7);
	assert_true(suspects_has(s, 7));
	suspects_forget(s, 7);
	suspects_forget(s, 7);
	assert_false(suspects_has(s, 7));
	suspects_note(s, 7);
	for (uint64_t i = 0; i < SUSPECTS_MAX; i++)
		suspects_note(s, 100 + i);
	/* The oldest went. */
	suspects_note(s, 7);
	assert_false(suspects_has(s, 7));
	suspects_note(s, 200);
	assert_true(suspects_has(s, 200));
	suspects_free(s);
}

/* What is no address is in no command, and ends nobody's connection. */
static void
test_addresses_that_cannot_be_written(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {"a b@example.org",
	    "a\r\nRCPT TO:<evil@example.org>", "b@example.org> NOTIFY=NEVER",
	    "\"open@example.org", "a@b@example.org", "u\xff@example.org", "",
	    "q@"};
	const struct fake_message *m;

	start(w);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int n = w->fake->message_count;

		put(w, &(struct letter){.to = {bad[i], "good@example.org"}});
		kick(w);
		wait_count(w, &w->fake->message_count, n + 2);
		wait_empty(w);
		for (int j = n; j < n + 2; j++) {
			m = &w->fake->messages[j];
			if (m->from[0] != '\0')
				assert_string_equal(
				    m->rcpts, "good@example.org");
			else
				assert_true(has(m, "Status: 5.1.3\r\n"));
			assert_null(strstr(m->rcpts, "evil"));
		}
	}
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
	/* A local part alone is for the next hop to complete. */
	put(w, &(struct letter){.to = {"root"}});
	kick(w);
	wait_empty(w);
	assert_string_equal(
	    w->fake->messages[w->fake->message_count - 1].rcpts, "root");
	/* As an old milter's rows have it. */
	put(w, &(struct letter){.to = {"<@r.example:in@example.org>"}});
	kick(w);
	wait_empty(w);
	assert_string_equal(w->fake->messages[w->fake->message_count - 1].rcpts,
	    "in@example.org");
}

/* The postmaster is told, and nothing breaks. */
static void
test_sender_that_cannot_be_written(void **state)
{
	struct world *w = *state;

	start(w);
	put(w, &(struct letter){
		   .from = "a <b@example.org", .to = {"b@example.org"}});
	put(w, &(struct letter){.to = {"c@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 2);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
}

static void
test_refused_within_the_text(void **state)
{
	struct world *w = *state;

	start(w);
	w->fake->cut = "552 5.3.4 too big";
	w->fake->cut_at = LARGE / 2;
	put(w, &(struct letter){.to = {"b@example.org"}, .body_size = LARGE});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_string_equal(w->fake->messages[0].from, "");
	assert_true(has(&w->fake->messages[0], "552 5.3.4 too big"));
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
}

/* ---- the connection's ---- */

static void
expect_anew(struct world *w, const char *command, const char *reply)
{
	int sent = w->fake->message_count, connects = w->fake->connects;

	fake_clear_rules(w->fake);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_count(w, &w->fake->message_count, sent + 1);
	wait_empty(w);
	fake_rule(w->fake, command, reply, 1, 0);
	put(w, &(struct letter){.to = {"c@example.org", "d@example.org"}});
	kick(w);
	wait_empty(w);
	if (w->fake->message_count != sent + 2 ||
	    w->events_seen[EVENT_DEFER] != 0 ||
	    w->fake->connects > connects + 2)
		fail_msg("%s %s", command, reply);
}

static void
test_connection_is_spent(void **state)
{
	struct world *w = *state;

	start(w);
	expect_anew(w, "MAIL", "452 4.5.3 Too many messages sent");
	expect_anew(w, "MAIL", "421 4.7.0 too many messages");
	expect_anew(w, "MAIL", "420 too many");
	expect_anew(w, "MAIL", "550 too many messages in this session");
	expect_anew(w, "RCPT", "421 4.3.2 closing");
	expect_anew(w, "DATA", "452 4.4.5 transfer limit");
	expect_anew(w, "DATA", "421 4.3.2 closing");
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 0);
}

/* On a new connection it is what it says. */
static void
test_refused_anew(void **state)
{
	struct world *w = *state;

	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	fake_rule(w->fake, "MAIL", "452 4.3.1 disk full", 2, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
	assert_int_equal(w->fake->connects, 2);
	assert_non_null(strstr(w->last_detail, "disk full"));
}

/* One message that goes as several obeys the bound as well. */
static void
test_uses_within_a_message(void **state)
{
	struct world *w = *state;

	w->hops.uses_max = 1;
	w->fake->ehlo = "250-fake\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1";
	start(w);
	put(w, &(struct letter){
		   .to = {"a@example.org", "b@example.org", "c@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 3);
	assert_int_equal(w->fake->connects, 3);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 3);
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
}

/* ---- weir's ---- */

static void
expect_wait(struct world *w, const char *command, const char *reply)
{
	int sent = w->fake->message_count, defers = w->events_seen[EVENT_DEFER];

	fake_rule(w->fake, command, reply, -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"},
		   .age_ms = 9 * (int64_t)DAY_MS,
		   .attempts = 9});
	kick(w);
	wait_count(w, &w->events_seen[EVENT_DEFER], defers + 2);
	if (strstr(delivery_problem(w->d), "authenticate") == NULL ||
	    w->counters.v[COUNT_BOUNCES] != 0)
		fail_msg("%s %s: %s", command, reply, delivery_problem(w->d));
	fake_clear_rules(w->fake);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, sent + 1);
	assert_string_equal(delivery_problem(w->d), "");
	w->events_seen[EVENT_DEFER] = 0;
}

static void
test_login_is_wanted(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = w->settings.retry_max_ms = 20;
	start(w);
	expect_wait(w, "MAIL", "530 5.7.0 Authentication required");
	expect_wait(w, "MAIL", "530 5.7.0 Must issue a STARTTLS command first");
	expect_wait(w, "MAIL", "538 5.7.11 Encryption required");
	expect_wait(w, "DATA", "550 5.7.57 Client not authenticated");
	expect_wait(
	    w, "RCPT", "550 relay not permitted, authentication required");
	expect_wait(w, FAKE_END, "530 5.7.57 Client was not authenticated");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_messages_that_break_connections),
	    TEST(test_messages_that_hang),
	    cmocka_unit_test(test_suspects),
	    TEST(test_addresses_that_cannot_be_written),
	    TEST(test_sender_that_cannot_be_written),
	    TEST(test_refused_within_the_text),
	    TEST(test_connection_is_spent),
	    TEST(test_refused_anew),
	    TEST(test_uses_within_a_message),
	    TEST(test_login_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
