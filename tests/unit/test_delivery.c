/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Released mail from a real spool to a next hop that behaves or refuses: what
 * is sent, and what becomes of each recipient.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery_world.h"
#include "os/clock.h"

/* ---- delivered ---- */

static void
test_delivers(void **state)
{
	struct world *w = *state;
	const struct fake_message *m = &w->fake->messages[0];

	start(w);
	put(w, &(struct letter){.to = {"b@example.org", "c@example.org"},
		   .body = "Subject: x\r\n\r\n.\r\n..two\r\n",
		   .notify = SMTP_NOTIFY_SUCCESS,
		   .ret = SMTP_RET_HDRS,
		   .envid = "QQ123"});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_string_equal(m->from, "alice@example.org");
	assert_string_equal(m->rcpts, "b@example.org c@example.org");
	assert_true(
	    str_eq(body_of(m), STR("Subject: x\r\n\r\n..\r\n...two\r\n")));
	assert_non_null(strstr(m->mail, " ENVID=QQ123"));
	assert_non_null(strstr(m->mail, " RET=HDRS"));
	assert_int_equal(w->events_seen[EVENT_DELIVER], 2);
	assert_int_equal(w->counters.v[COUNT_DELIVERED_RECIPIENTS], 2);
	assert_int_equal(w->counters.v[COUNT_DEFERRED_RECIPIENTS], 0);
}

static void
test_many_on_few_connections(void **state)
{
	struct world *w = *state;
	char to[300][32];

	start(w);
	for (int i = 0; i < 300; i++) {
		snprintf(to[i], sizeof(to[i]), "r%d@example.org", i);
		put(w, &(struct letter){.to = {to[i]}});
	}
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 300);
	assert_true(w->fake->connects <= 4);
	/* Each of them, once. */
	for (int i = 0; i < 300; i++) {
		int n = 0;

		for (int j = 0; j < 300; j++)
			n += strcmp(w->fake->messages[j].rcpts, to[i]) == 0;
		assert_int_equal(n, 1);
	}
}

static void
test_large_body(void **state)
{
	struct world *w = *state;
	const struct letter large = {
	    .to = {"b@example.org"}, .body_size = 4 * LARGE};
	struct str got;
	size_t n;
	char *text = make_text(&large, &n);

	start(w);
	put(w, &large);
	put(w, &(struct letter){.to = {"c@example.org"}, .body_size = 100000});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 2);
	for (int i = 0; i < 2; i++) {
		struct fake_message *m = &w->fake->messages[i];
		size_t lines = 0;

		got = body_of(m);
		while (got.n > 0) {
			struct str line = str_cut(&got, '\n');

			assert_true(str_eq(
			    line, STR("..a line that starts with a dot\r")));
			lines++;
		}
		assert_int_equal(lines,
		    (strcmp(m->rcpts, "b@example.org") == 0 ? n : 100000) / 32);
	}
	free(text);
}

static void
test_empty_body(void **state)
{
	struct world *w = *state;

	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}, .body = ""});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_int_equal(w->fake->messages[0].body_size, 0);
}

static void
test_without_pipelining(void **state)
{
	struct world *w = *state;

	w->fake->ehlo = "250 fake";
	start(w);
	fake_rule(w->fake, "RCPT TO:<c@", "550 5.1.1 who?", -1, 0);
	put(w, &(struct letter){.to = {"b@example.org", "c@example.org"}});
	kick(w);
	wait_empty(w);
	/* The letter, and the bounce. */
	assert_int_equal(w->fake->message_count, 2);
	assert_string_equal(w->fake->messages[0].rcpts, "b@example.org");
	assert_string_equal(w->fake->messages[1].from, "");
}

/* ---- refused ---- */

static void
test_each_recipient_its_outcome(void **state)
{
	struct world *w = *state;
	int64_t before = clock_wall_ms();
	const struct fake_message *bounce = &w->fake->messages[1];
	struct left left;

	start(w);
	fake_rule(w->fake, "RCPT TO:<bad@", "550 5.1.1 no such user", -1, 0);
	fake_rule(w->fake, "RCPT TO:<full@", "452 4.2.2 mailbox full", -1, 0);
	put(w, &(struct letter){.to = {"good@example.org", "bad@example.org",
				    "full@example.org"}});
	kick(w);
	wait_deferred(w);
	left = look(w);
	if (left.messages == 2) { /* the bounce is not sent yet */
		wait_for(w, is_quiet, w);
		left = look(w);
	}
	assert_int_equal(left.rcpts, 1);
	assert_string_equal(left.address, "full@example.org");
	assert_string_equal(left.error, "452 4.2.2 mailbox full");
	assert_int_equal(left.state, SPOOL_RELEASED);
	assert_int_equal(left.attempts, 1);
	assert_in_range(left.next_try - before, HOUR_MS, HOUR_MS * 12 / 10);
	assert_int_equal(w->fake->message_count, 2);
	assert_string_equal(w->fake->messages[0].rcpts, "good@example.org");
	assert_string_equal(bounce->from, "");
	assert_string_equal(bounce->rcpts, "alice@example.org");
	assert_int_equal(count_lines(bounce, "Final-Recipient:"), 1);
	assert_true(has(bounce, "Final-Recipient: rfc822; bad@example.org"));
	assert_true(has(bounce, "Status: 5.1.1\r\n"));
	assert_true(has(bounce, "Subject: s\r\n"));
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 1);
	assert_int_equal(w->counters.v[COUNT_DEFERRED_RECIPIENTS], 1);
}

/* RFC 5321 section 4.5.3.1.10: the rest follows at once, in further messages.
 */
static void
test_too_many_for_one_message(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<c@", "452 4.5.3 too many", 1, 0);
	fake_rule(w->fake, "RCPT TO:<d@", "452 too many", 1, 0);
	fake_rule(w->fake, "RCPT TO:<d@", "552 5.5.3 too many", 1, 0);
	put(w, &(struct letter){.to = {"b@example.org", "c@example.org",
				    "d@example.org", "e@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 3);
	assert_string_equal(
	    w->fake->messages[0].rcpts, "b@example.org e@example.org");
	assert_string_equal(w->fake->messages[1].rcpts, "c@example.org");
	assert_string_equal(w->fake->messages[2].rcpts, "d@example.org");
	assert_true(has(&w->fake->messages[2], "\r\nx\r\n"));
	assert_int_equal(w->counters.v[COUNT_DELIVERED_RECIPIENTS], 4);
	assert_int_equal(w->counters.v[COUNT_DEFERRED_RECIPIENTS], 0);
}

/* Who has taken nobody would say it for ever. */
static void
test_too_many_at_the_first(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "452 4.5.3 too many", -1, 0);
	put(w, &(struct letter){.to = {"b@example.org", "a@example.org"}});
	kick(w);
	wait_deferred(w);
	assert_string_equal(look(w).address, "b@example.org");
	assert_int_equal(w->fake->message_count, 1);
}

static void
test_refused_at_mail(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "MAIL FROM:<alice@", "553 5.1.8 bad sender", 1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org", "c@example.org"}},
	    "Diagnostic-Code: smtp; 553 5.1.8 bad sender\r\n");
	assert_int_equal(
	    count_lines(&w->fake->messages[0], "Final-Recipient:"), 2);
}

static void
test_refused_at_data(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "DATA", "554 5.7.1 no data", 1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.7.1\r\n");
	assert_int_equal(w->fake->connects, 1);
	assert_int_equal(w->fake->resets, 1);
}

static void
test_refused_at_the_end(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, FAKE_END, "550 spam", 1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.0.0\r\n");
}

static void
test_all_recipients_refused(void **state)
{
	struct world *w = *state;

	w->fake->naive = true;
	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "550 5.1.1 no", -1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.1.1\r\n");
	/* An empty one for nobody may have been taken, alice's was not. */
	assert_false(has(&w->fake->messages[0], "\r\nx\r\n"));
}

static void
test_mail_refused_and_taken_all_the_same(void **state)
{
	struct world *w = *state;

	w->fake->naive = true;
	start(w);
	fake_rule(w->fake, "MAIL FROM:<alice@", "550 5.7.1 no", 1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.7.1\r\n");
	/* Only the bounce. */
	assert_int_equal(w->fake->message_count, 1);
}

static void
test_no_report_where_none_is_wanted(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT", "550 5.1.1 no", -1, 0);
	put(w, &(struct letter){.from = "", .to = {"b@example.org"}});
	put(w, &(struct letter){
		   .to = {"b@example.org"}, .notify = SMTP_NOTIFY_NEVER});
	put(w, &(struct letter){
		   .to = {"b@example.org"}, .notify = SMTP_NOTIFY_SUCCESS});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 0);
	assert_int_equal(w->events_seen[EVENT_BOUNCE], 3);
}

static void
test_bounce_of_a_bounce(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT", "550 5.1.1 no", -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 1);
	assert_int_equal(w->events_seen[EVENT_BOUNCE], 2);
}

/* Rows of a version whose milter took anything. */
static void
test_what_is_no_address_is_returned(void **state)
{
	static const char *const bad[] = {
	    "x y <b@example.org>", "b @example.org", "b(c)@example.org"};
	struct world *w = *state;

	start(w);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		put(w, &(struct letter){.to = {bad[i]}});
	put(w, &(struct letter){.to = {"a\rb@x", "good@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 4);
	assert_int_equal(w->counters.v[COUNT_DELIVERED_RECIPIENTS], 5);
	assert_int_equal(w->counters.v[COUNT_DEFERRED_RECIPIENTS], 0);
	/* The next hop never heard of it, and nothing broke. */
	for (int i = 0; i < w->fake->message_count; i++) {
		const struct fake_message *m = &w->fake->messages[i];

		if (m->from[0] != '\0')
			assert_string_equal(m->rcpts, "good@example.org");
		else
			assert_true(
			    has(m, "Status: 5.1.3") && !has(m, "Remote-MTA"));
	}
	assert_true(w->fake->connects <= 4);
}

static void
test_a_sender_that_is_no_address(void **state)
{
	struct world *w = *state;
	const struct fake_message *m = &w->fake->messages[0];

	start(w);
	put(w, &(struct letter){
		   .from = "x <alice@example.org>", .to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_string_equal(m->from, "");
	assert_non_null(strstr(m->rcpts, "postmaster@"));
	assert_true(has(m, "Status: 5.1.7"));
}

static void
test_full_return(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "550 5.1.1 no", -1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"}, .ret = SMTP_RET_FULL},
	    "message/rfc822\r\n\r\nSubject: s\r\n\r\nx\r\n");
}

static void
test_large_original(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "550 5.1.1 no", -1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"},
		.body_size = LARGE,
		.ret = SMTP_RET_FULL},
	    "text/rfc822-headers\r\n");
	assert_true(has(
	    &w->fake->messages[w->fake->message_count - 1], ".a line that"));
}

static void
test_next_hop_lost_an_extension(void **state)
{
	struct world *w = *state;

	w->fake->ehlo = "250-fake\r\n250 PIPELINING";
	start(w);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"},
		.body = "Subject: \xc3\xbc\r\n\r\n\r\n",
		.ret = SMTP_RET_FULL,
		.body_type = SMTP_BODY_8BITMIME},
	    "Status: 5.6.3\r\n");
	/* The bounce itself needs nothing. */
	assert_null(strstr(w->fake->messages[0].mail, "BODY"));
	assert_int_equal(w->fake->message_count, 1);
	w->counters.v[COUNT_BOUNCES] = 0;
	expect_bounce(w,
	    &(struct letter){.to = {"b\xc3\xb6@example.org"}, .utf8 = true},
	    "Status: 5.6.7\r\n");
}

/* It has said nothing of what it can do, so nothing is returned for it. */
static void
test_next_hop_refuses_ehlo_once(void **state)
{
	static const struct letter letters[] = {
	    {.to = {"b@example.org"},
		.body = "Subject: \xc3\xbc\r\n\r\n\r\n",
		.body_type = SMTP_BODY_8BITMIME},
	    {.to = {"b\xc3\xb6@example.org"}, .utf8 = true},
	};
	struct world *w = *state;

	w->fake->ehlo = "250-fake\r\n250-SMTPUTF8\r\n250 8BITMIME";
	w->settings.retry_min_ms = w->settings.retry_max_ms = 10;
	start(w);
	for (size_t i = 0; i < 2; i++) {
		fake_rule(w->fake, "EHLO", "554 5.5.1 busy", 1, 0);
		put(w, &letters[i]);
		kick(w);
		wait_empty(w);
		assert_int_equal(w->fake->message_count, i + 1);
		assert_string_equal(
		    w->fake->messages[i].rcpts, letters[i].to[0]);
		fake_kick_out(w->fake, "421 4.4.2 idle");
	}
	fake_rule(w->fake, "EHLO", "554 5.5.1 busy", -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}, .require_tls = true});
	kick(w);
	wait_deferred(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 0);
}

/* RFC 8689: no downgrade, the report has no text of the message, and goes on
 * to where it can. */
static void
test_next_hop_without_requiretls(void **state)
{
	struct world *w = *state;

	w->fake->ehlo = "250-fake\r\n250 REQUIRETLS"; /* in plain */
	start(w);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"},
		.body = "Subject: x\r\n\r\nthe secret itself\r\n",
		.ret = SMTP_RET_FULL,
		.require_tls = true},
	    "Status: 5.7.10\r\n");
	assert_int_equal(w->fake->message_count, 1);
	assert_null(strstr(w->fake->messages[0].mail, "REQUIRETLS"));
	assert_true(has(&w->fake->messages[0], "Subject: x"));
	assert_false(has(&w->fake->messages[0], "secret"));
}

/* ---- a frozen source ---- */

static void
set_frozen(struct world *w, bool frozen)
{
	const struct spool_source row = {
	    .key = "alice", .frozen = frozen, .frozen_at = clock_wall_ms()};
	struct spool_stats s;

	spool_set_frozen(w->spool, &row, NULL, NULL, NULL);
	do {
		pump_turns(w->loop, 1);
		spool_stats(w->spool, &s);
	} while ((s.stopped > 0) != frozen);
}

static bool
is_one_left(void *arg)
{
	struct world *w = arg;

	return delivery_active(w->d) == 1;
}

static bool
is_two_under_way(void *arg)
{
	struct world *w = arg;

	return delivery_active(w->d) >= 2;
}

/* What has a connection may end; what was claimed ahead of its turn goes back,
 * and nothing is claimed until the thaw. */
static void
test_freeze_stops_what_waits(void **state)
{
	struct world *w = *state;

	w->settings.concurrency = 1;
	fake_rule(w->fake, "DATA", FAKE_SILENT, 1, 0);
	start(w);
	for (int i = 0; i < 5; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_for(w, is_two_under_way, w);
	wait_count(w, &w->fake->connects, 1);
	set_frozen(w, true);
	delivery_stop(w->d, "alice", loop_now(w->loop));
	wait_for(w, is_one_left, w);
	fake_kick_out(w->fake, NULL);
	wait_for(w, is_quiet, w);
	kick(w);
	delivery_try_now(w->d, loop_now(w->loop));
	wait_for(w, is_quiet, w);
	assert_int_equal(w->fake->message_count, 0);
	assert_int_equal(look(w).messages, 5);
	set_frozen(w, false);
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 5);
}

static void
test_freeze_of_somebody_else(void **state)
{
	struct world *w = *state;

	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, 1, 0);
	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_for(w, is_one_left, w);
	delivery_stop(w->d, "bob", loop_now(w->loop));
	assert_int_equal(delivery_active(w->d), 1);
	set_frozen(w, true);
	delivery_stop(w->d, "alice", loop_now(w->loop));
	assert_int_equal(delivery_active(w->d), 0);
	wait_for(w, is_quiet, w);
	assert_non_null(strstr(look(w).error, "the sender is frozen"));
	assert_int_equal(look(w).attempts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_delivers),
	    TEST(test_many_on_few_connections),
	    TEST(test_large_body),
	    TEST(test_empty_body),
	    TEST(test_without_pipelining),
	    TEST(test_each_recipient_its_outcome),
	    TEST(test_too_many_for_one_message),
	    TEST(test_too_many_at_the_first),
	    TEST(test_refused_at_mail),
	    TEST(test_refused_at_data),
	    TEST(test_refused_at_the_end),
	    TEST(test_all_recipients_refused),
	    TEST(test_mail_refused_and_taken_all_the_same),
	    TEST(test_no_report_where_none_is_wanted),
	    TEST(test_bounce_of_a_bounce),
	    TEST(test_what_is_no_address_is_returned),
	    TEST(test_a_sender_that_is_no_address),
	    TEST(test_full_return),
	    TEST(test_large_original),
	    TEST(test_next_hop_lost_an_extension),
	    TEST(test_next_hop_refuses_ehlo_once),
	    TEST(test_next_hop_without_requiretls),
	    TEST(test_freeze_stops_what_waits),
	    TEST(test_freeze_of_somebody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
