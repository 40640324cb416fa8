/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool of connections, on a real loop against a scripted next hop: reuse,
 * limits, the line, idle time, what breaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "nexthop_world.h"

static bool
has_code(void *arg)
{
	return ((struct user *)arg)->code != 0;
}

struct line {
	struct world *w;
	uint32_t least;
};

static bool
is_line(void *arg)
{
	const struct line *l = arg;

	return nexthop_line(l->w->n) >= l->least;
}

static void
wait_line(struct world *w, uint32_t least)
{
	struct line l = {w, least};

	assert_true(pump_until(w->loop, is_line, &l));
}

static void
test_reuse(void **state)
{
	struct world *w = *state;
	struct user u;
	struct smtp_caps caps;

	start(w);
	assert_false(nexthop_caps(w->n, &caps));
	get(&u, w, false);
	assert_false(u.ready);
	wait_ready(&u);
	assert_false(u.reused);
	assert_string_equal(u.name, w->fake->address);
	assert_true(nexthop_caps(w->n, &caps));
	assert_true(caps.ext & SMTP_EXT_8BITMIME);
	for (int i = 0; i < 5; i++) {
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
		assert_int_equal(u.code, 250);
		/* Given back within its own callback: ready at once. */
		get(&u, w, false);
		assert_true(u.ready);
		assert_true(hop_is_reused(u.hop));
	}
	put(&u);
	assert_int_equal(w->fake->connects, 1);
	assert_int_equal(w->fake->message_count, 5);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_CONNECTIONS], 1);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
}

/* What it told before is told to clients still, and its connection is used
 * once: the next one may be a better one. */
static void
test_helo_takes_nothing_back(void **state)
{
	struct world *w = *state;
	struct user u, v;
	struct smtp_caps caps;

	fake_rule(w->fake, "EHLO", "554 5.5.1 busy", 1, 1);
	start(w);
	get(&u, w, false);
	wait_ready(&u);
	assert_false(smtp_client_said_helo(hop_client(u.hop)));
	get(&v, w, false);
	wait_ready(&v);
	assert_true(smtp_client_said_helo(hop_client(v.hop)));
	assert_true(nexthop_caps(w->n, &caps));
	assert_true(caps.ext & SMTP_EXT_8BITMIME);
	put(&v);
	get(&v, w, false);
	wait_ready(&v);
	assert_false(hop_is_reused(v.hop));
	assert_false(smtp_client_said_helo(hop_client(v.hop)));
	put(&v);
	put(&u);
	assert_int_equal(w->fake->connects, 3);
}

static void
test_fresh(void **state)
{
	struct world *w = *state;
	struct user a, b;

	start(w);
	get(&a, w, false);
	wait_ready(&a);
	put(&a);
	get(&b, w, true);
	assert_false(b.ready);
	wait_ready(&b);
	assert_false(b.reused);
	assert_int_equal(w->fake->connects, 2);
	put(&b);
}

static void
test_most_recent_first(void **state)
{
	struct world *w = *state;
	struct user a, b, c;
	struct smtp_client *recent;

	start(w);
	get(&a, w, false);
	get(&b, w, false);
	wait_ready(&a);
	wait_ready(&b);
	recent = hop_client(b.hop);
	put(&a);
	put(&b);
	get(&c, w, false);
	assert_ptr_equal(hop_client(c.hop), recent);
	put(&c);
}

static void
test_line_is_fifo(void **state)
{
	struct world *w = *state;
	struct user u[5];

	w->settings.connections_max = 2;
	start(w);
	for (int i = 0; i < 5; i++)
		get(&u[i], w, false);
	wait_ready(&u[0]);
	wait_ready(&u[1]);
	pump_turns(w->loop, 5);
	assert_false(u[2].ready);
	/* One in the middle of the line goes away. */
	hop_drop(u[3].hop);
	put(&u[0]);
	assert_false(u[4].ready);
	wait_ready(&u[2]);
	assert_true(u[2].reused);
	assert_false(u[4].ready);
	/* A dropped connection gives room for a new one. */
	hop_drop(u[1].hop);
	wait_ready(&u[4]);
	assert_false(u[4].reused);
	assert_int_equal(w->fake->connects, 3);
	put(&u[2]);
	put(&u[4]);
}

/* A server that has not greeted yet is not sent more than five. */
static void
test_few_dial_at_once(void **state)
{
	struct world *w = *state;
	struct user u[9];

	start(w);
	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, 5, 0);
	for (int i = 0; i < 9; i++)
		get(&u[i], w, i == 8);
	wait_count(w, &w->fake->connects, 5);
	pump_turns(w->loop, 20);
	assert_int_equal(w->fake->connects, 5);
	/* One gives up, and the next one's turn has come: with its greeting
	 * the line moves on, though four are still silent. */
	hop_drop(u[0].hop);
	for (int i = 5; i < 9; i++)
		wait_ready(&u[i]);
	assert_int_equal(w->fake->connects, 9);
	for (int i = 1; i < 5; i++)
		hop_drop(u[i].hop);
	for (int i = 5; i < 9; i++)
		put(&u[i]);
}

/* Those that have waited for long keep nobody from dialing, as long as they are
 * not too many: a server that pauses before its greeting, or has lost some. */
static void
test_late_ones_hold_up_nobody(void **state)
{
	struct world *w = *state;
	struct user u[8];

	w->settings.connections_max = 24;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, 6, 0);
	for (int i = 0; i < 8; i++)
		get(&u[i], w, true);
	wait_count(w, &w->fake->connects, 5);
	pump_turns(w->loop, 20);
	assert_int_equal(w->fake->connects, 5);
	/* A quarter of 24, and no more. */
	wait_count(w, &w->fake->connects, 6);
	pump_turns(w->loop, 20);
	assert_int_equal(w->fake->connects, 6);
	hop_drop(u[0].hop);
	wait_ready(&u[6]);
	wait_ready(&u[7]);
	for (int i = 1; i < 6; i++)
		hop_drop(u[i].hop);
	put(&u[6]);
	put(&u[7]);
}

/* Who waits for a new connection keeps nobody from a kept one. */
static void
test_kept_ones_pass_the_line(void **state)
{
	struct world *w = *state;
	struct user a, kept, u[5], fresh;

	start(w);
	get(&a, w, false);
	wait_ready(&a);
	fake_rule(w->fake, FAKE_OPEN, FAKE_SILENT, 5, 0);
	for (int i = 0; i < 5; i++)
		get(&u[i], w, true);
	get(&fresh, w, true);
	get(&kept, w, false);
	wait_count(w, &w->fake->connects, 6);
	put(&a);
	wait_ready(&kept);
	assert_true(kept.reused);
	assert_false(fresh.ready);
	for (int i = 0; i < 5; i++)
		hop_drop(u[i].hop);
	wait_ready(&fresh);
	put(&fresh);
	put(&kept);
}

static void
test_fresh_at_the_limit(void **state)
{
	struct world *w = *state;
	struct user a, b, c;

	w->settings.connections_max = 1;
	start(w);
	get(&a, w, false);
	wait_ready(&a);
	put(&a);
	/* The kept one makes room. */
	get(&b, w, true);
	wait_ready(&b);
	assert_false(b.reused);
	get(&c, w, true);
	put(&b);
	wait_ready(&c);
	assert_false(c.reused);
	assert_int_equal(w->fake->connects, 3);
	put(&c);
}

static void
test_idle_max(void **state)
{
	struct world *w = *state;
	struct user u[3];

	w->settings.idle_max = 1;
	start(w);
	for (int i = 0; i < 3; i++)
		get(&u[i], w, false);
	for (int i = 0; i < 3; i++)
		wait_ready(&u[i]);
	for (int i = 0; i < 3; i++)
		put(&u[i]);
	wait_count(w, &w->fake->open, 1);
	assert_int_equal(w->fake->quits, 2);
}

static void
test_idle_timeout(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.idle_timeout_ms = 50;
	start(w);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
	assert_true(pump_until(w->loop, is_gone, w->fake));
	assert_int_equal(w->fake->quits, 1);
	/* Not a failure, and the next one connects anew. */
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
}

static void
test_uses_max(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.uses_max = 2;
	start(w);
	for (int i = 0; i < 6; i++) {
		get(&u, w, false);
		wait_ready(&u);
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
	}
	assert_int_equal(w->fake->connects, 3);
	assert_int_equal(w->fake->message_count, 6);
}

/* Exim only queues from the 11th on; who names itself as another does not. */
static void
test_uses_of_unknown_servers(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.uses_unknown_max = 2;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, "220 mx.example ESMTP Postfix", 1, 2);
	for (int i = 0; i < 12; i++) {
		get(&u, w, false);
		wait_ready(&u);
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
	}
	assert_int_equal(w->fake->connects, 3);
}

/* RFC 9422: what the next hop declares holds beside our own bound. */
static void
test_mailmax(void **state)
{
	struct world *w = *state;
	struct user u;

	w->fake->ehlo = "250-fake\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=3";
	start(w);
	for (int i = 0; i < 6; i++) {
		get(&u, w, false);
		wait_ready(&u);
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
	}
	assert_int_equal(w->fake->connects, 2);
}

/* Questions alone, as they are asked for held recipients. */
static void
ask(struct user *u)
{
	struct smtp_client *c = hop_client(u->hop);
	const struct smtp_mail mail = {.from = STR("a@example.org")};
	int64_t now = loop_now(u->w->loop);

	u->code = 0;
	smtp_client_mail(c, &mail, 0, now);
	assert_true(pump_until(u->w->loop, has_code, u));
	smtp_client_abandon(c, now);
	put(u);
}

static void
test_questions_wear_a_connection_out(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	for (int i = 0; i < 40; i++) {
		get(&u, w, false);
		wait_ready(&u);
		ask(&u);
		/* A message sets the count back. */
		if (i % 4 != 3 || i >= 20)
			continue;
		get(&u, w, false);
		wait_ready(&u);
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
	}
	assert_in_range(w->fake->connects, 3, 6);
	assert_true(w->fake->resets < 8 * w->fake->connects + 20);
}

/* Exim closes at ten commands without mail, Postfix at a hundred. */
static void
test_postfix_takes_more_questions(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	fake_rule(w->fake, FAKE_OPEN, "220 mx.example ESMTP Postfix", -1, 0);
	for (int i = 0; i < 90; i++) {
		get(&u, w, false);
		wait_ready(&u);
		ask(&u);
	}
	assert_int_equal(w->fake->connects, 2);
}

/* ---- what a next hop takes ---- */

static enum hop_blame
blame(struct user *u, enum smtp_client_what what, unsigned code,
    const char *enhanced, const char *text)
{
	struct smtp_reply reply = smtp_reply_make(code, enhanced, text);

	return hop_blame(u->hop, what, &reply, loop_now(u->w->loop));
}

static void
test_blame(void **state)
{
	struct world *w = *state;
	struct user a, b;

	start(w);
	get(&a, w, false);
	wait_ready(&a);
	/* New, and the only one. */
	assert_int_equal(blame(&a, SMTP_CLIENT_MAIL, 452, "4.5.3", "full"),
	    HOP_BLAME_MESSAGE);
	assert_int_equal(blame(&a, SMTP_CLIENT_MAIL, 421, "4.7.0", "many"),
	    HOP_BLAME_MESSAGE);
	assert_int_equal(
	    blame(&a, SMTP_CLIENT_MAIL, 530, "5.7.0", "x"), HOP_BLAME_LOGIN);
	assert_int_equal(blame(&a, SMTP_CLIENT_RCPT, 550, "",
			     "relay not permitted, authentication required"),
	    HOP_BLAME_LOGIN);
	assert_int_equal(blame(&a, SMTP_CLIENT_MAIL, 550, "5.7.57",
			     "Client not authenticated to send mail"),
	    HOP_BLAME_LOGIN);
	assert_int_equal(
	    blame(&a, SMTP_CLIENT_END, 550, "5.7.26",
		"Unauthenticated email from example.org is not accepted"),
	    HOP_BLAME_MESSAGE);
	a.put_at_end = false;
	send_message(&a);
	assert_true(pump_until(w->loop, is_over, &a));
	assert_int_equal(blame(&a, SMTP_CLIENT_RCPT, 452, "4.2.2", "quota"),
	    HOP_BLAME_MESSAGE);
	assert_int_equal(blame(&a, SMTP_CLIENT_MAIL, 451, "4.7.1", "grey"),
	    HOP_BLAME_MESSAGE);
	assert_int_equal(
	    blame(&a, SMTP_CLIENT_MAIL, 452, "4.5.3", "full"), HOP_BLAME_SPENT);
	/* Beside one that works. */
	get(&b, w, true);
	wait_ready(&b);
	assert_int_equal(
	    blame(&b, SMTP_CLIENT_MAIL, 421, "4.7.0", "many"), HOP_BLAME_FULL);
	assert_true(nexthop_is_full(w->n));
	hop_drop(b.hop);
	put(&a);
	/* Neither was kept. */
	assert_true(pump_until(w->loop, is_gone, w->fake));
}

/* 421 to a third connection: it waits for one of the two. */
static void
test_limit_is_learnt(void **state)
{
	struct world *w = *state;
	struct user u[6];

	start(w);
	fake_rule(w->fake, FAKE_OPEN, "421 4.7.0 too many connections", -1, 2);
	for (int i = 0; i < 6; i++)
		get(&u[i], w, false);
	wait_ready(&u[0]);
	wait_ready(&u[1]);
	wait_line(w, 4);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
	for (int i = 0; i < 6; i++) {
		wait_ready(&u[i]);
		send_message(&u[i]);
		assert_true(pump_until(w->loop, is_over, &u[i]));
		assert_false(u[i].failed);
	}
	assert_int_equal(w->fake->message_count, 6);
}

/* It counts the connection that was closed a moment ago. */
static void
test_limit_of_one_and_a_new_one(void **state)
{
	struct world *w = *state;
	struct user u;

	w->settings.uses_max = 1;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, "421 4.7.0 too many connections", 2, 1);
	for (int i = 0; i < 2; i++) {
		get(&u, w, false);
		wait_ready(&u);
		send_message(&u);
		assert_true(pump_until(w->loop, is_over, &u));
		assert_false(u.failed);
	}
	assert_int_equal(w->fake->connects, 4);
}

/* Where there is another next hop, that one takes what the first does not. */
static void
test_limit_of_the_first_of_two(void **state)
{
	struct world *w = *state;
	struct user a, b, c;

	w->settings.address_count = 2;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, "421 4.7.0 too many connections", -1, 1);
	get(&a, w, false);
	wait_ready(&a);
	get(&b, w, false);
	get(&c, w, false);
	wait_ready(&b);
	wait_ready(&c);
	assert_string_equal(b.name, w->second->address);
	assert_string_equal(c.name, w->second->address);
	put(&a);
	put(&b);
	put(&c);
}

static void
test_idle_is_dropped_quietly(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
	fake_kick_out(w->fake, "421 4.3.2 going down");
	pump_turns(w->loop, 10);
	get(&u, w, false);
	assert_false(u.ready);
	wait_ready(&u);
	assert_int_equal(w->fake->connects, 2);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
	put(&u);
}

static void
test_closed_as_it_is_taken(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
	get(&u, w, false);
	assert_true(u.ready);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, 1, 0);
	send_message(&u);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_true(u.failed);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 0);
}

static void
test_breaks_in_use(void **state)
{
	struct world *w = *state;
	struct user u;

	start(w);
	fake_rule(w->fake, "RCPT", FAKE_CLOSE, 1, 0);
	get(&u, w, false);
	wait_ready(&u);
	send_message(&u);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_true(u.failed);
	assert_int_equal(u.code / 100, 4);
	assert_int_equal(w->counters.v[COUNT_NEXT_HOP_FAILURES], 1);
	/* The address does not rest for it. */
	get(&u, w, false);
	wait_ready(&u);
	put(&u);
}

static void
test_abandoned_is_reset(void **state)
{
	struct world *w = *state;
	struct user u;
	const struct smtp_mail mail = {.from = STR("a@example.org")};

	start(w);
	get(&u, w, false);
	wait_ready(&u);
	smtp_client_mail(hop_client(u.hop), &mail, 0, loop_now(w->loop));
	wait_count(w, (int *)&u.code, 250);
	smtp_client_abandon(hop_client(u.hop), loop_now(w->loop));
	put(&u);
	assert_int_equal(w->fake->resets, 0);
	wait_count(w, &w->fake->resets, 1);
	get(&u, w, false);
	assert_true(u.ready);
	send_message(&u);
	assert_true(pump_until(w->loop, is_over, &u));
	assert_int_equal(u.code, 250);
	assert_int_equal(w->fake->resets, 1);
	assert_int_equal(w->fake->connects, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_reuse),
	    TEST(test_helo_takes_nothing_back),
	    TEST(test_fresh),
	    TEST(test_most_recent_first),
	    TEST(test_line_is_fifo),
	    TEST(test_few_dial_at_once),
	    TEST(test_late_ones_hold_up_nobody),
	    TEST(test_kept_ones_pass_the_line),
	    TEST(test_fresh_at_the_limit),
	    TEST(test_idle_max),
	    TEST(test_idle_timeout),
	    TEST(test_uses_max),
	    TEST(test_uses_of_unknown_servers),
	    TEST(test_mailmax),
	    TEST(test_questions_wear_a_connection_out),
	    TEST(test_postfix_takes_more_questions),
	    TEST(test_blame),
	    TEST(test_limit_is_learnt),
	    TEST(test_limit_of_one_and_a_new_one),
	    TEST(test_limit_of_the_first_of_two),
	    TEST(test_idle_is_dropped_quietly),
	    TEST(test_closed_as_it_is_taken),
	    TEST(test_breaks_in_use),
	    TEST(test_abandoned_is_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
