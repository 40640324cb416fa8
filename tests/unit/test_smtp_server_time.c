/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server engine's deadlines on a made-up clock, the owner's own ending of a
 * session, and the facts it may ask for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp_rig.h"

static void
begin_data(struct rig *r, bool later)
{
	rig_init(r, 0, later);
	feed(r, STR("EHLO c\r\n"));
	feed(r, STR("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"));
	assert_true(smtp_server_is_in_data(r->server));
	buf_reset(&r->out);
	buf_reset(&r->events);
}

static void
at(struct rig *r, int64_t now)
{
	r->now = now;
	smtp_server_run(r->server, now);
}

static void
test_command_deadline(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 0, false);
	assert_int_equal(smtp_server_next_due(r.server), 2000);
	/* A trickle does not move the deadline; a whole command does. */
	at(&r, 1900);
	feed(&r, STR("EHLO"));
	assert_int_equal(smtp_server_next_due(r.server), 2000);
	feed(&r, STR(" c\r\n"));
	assert_int_equal(smtp_server_next_due(r.server), 2900);
	buf_reset(&r.out);
	buf_reset(&r.events);
	at(&r, 2899);
	assert_false(r.closed);
	at(&r, 2900);
	check_out(&r, "deadline",
	    "421 4.4.2 timeout: no command, closing the connection\n");
	check_events(&r, "deadline", "CLOSE:TIMEOUT");
	assert_int_equal(smtp_server_next_due(r.server), INT64_MAX);
	at(&r, 9900);
	rig_clear(&r);
}

static void
test_clock_backwards(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 0, false);
	at(&r, 500);
	r.now = 0;
	feed(&r, STR("EHLO c\r\n"));
	assert_int_equal(smtp_server_next_due(r.server), 2000);
	rig_clear(&r);
}

static void
test_gap_deadline(void **state)
{
	struct rig r;

	(void)state;
	begin_data(&r, false);
	r.limits.data_rate_min = 1;
	r.now = 1399;
	feed(&r, STR("0123456789"));
	at(&r, 1400); /* window was good */
	at(&r, 1799);
	assert_false(r.closed);
	r.limits.data_rate_min = 0; /* only the gap counts now */
	at(&r, 1898);
	assert_false(r.closed);
	at(&r, 1899);
	check_out(
	    &r, "gap", "421 4.4.2 timeout: no data, closing the connection\n");
	check_events(&r, "gap", "0123456789RESET CLOSE:TIMEOUT");
	rig_clear(&r);
}

/* 100 bytes a second over 400 ms: a byte each 20 ms beats the gap alone. */
static void
test_slow_data(void **state)
{
	struct rig r;

	(void)state;
	begin_data(&r, false);
	for (int64_t t = 1000; t < 1400; t += 20) {
		at(&r, t);
		feed(&r, STR("a"));
	}
	assert_false(r.closed);
	assert_int_equal(smtp_server_next_due(r.server), 1400);
	at(&r, 1400);
	check_out(&r, "slow",
	    "421 4.4.2 data rate too low, closing the connection\n");
	rig_clear(&r);
}

static void
test_message_deadline(void **state)
{
	struct rig r;

	(void)state;
	begin_data(&r, false);
	r.limits.data.size_max = 0;
	for (int64_t t = 1000; t < 6000; t += 100) {
		at(&r, t);
		feed(&r, STR("aaaaaaaaaaaaaaaaaaaaaaaa\r\n"));
	}
	assert_false(r.closed);
	assert_int_equal(smtp_server_next_due(r.server), 6000);
	at(&r, 6000);
	check_out(
	    &r, "message", "421 4.4.2 timeout: the message took too long\n");
	rig_clear(&r);
}

static void
test_time_stands_still(void **state)
{
	struct rig r;

	(void)state;
	begin_data(&r, false);
	at(&r, 1100);
	smtp_server_pause(r.server, true, 1100);
	assert_int_equal(smtp_server_next_due(r.server), INT64_MAX);
	at(&r, 50000);
	assert_false(r.closed);
	smtp_server_pause(r.server, false, 50000);
	assert_int_equal(smtp_server_next_due(r.server), 50300);
	/* And while a question is open, whoever pauses meanwhile. */
	r.later = true;
	r.now = 50100;
	assert_int_equal(smtp_server_feed(r.server, "x\r\n.\r\n", 6, r.now), 6);
	assert_true(r.open);
	smtp_server_pause(r.server, true, 50200);
	smtp_server_pause(r.server, false, 50300);
	assert_int_equal(smtp_server_next_due(r.server), INT64_MAX);
	at(&r, 90000);
	answer_now(&r);
	assert_int_equal(smtp_server_next_due(r.server), 91000);
	rig_clear(&r);
}

static void
test_close_by_owner(void **state)
{
	struct smtp_reply bye = smtp_reply_make(421, "4.3.2", "shutting down");
	struct smtp_reply late = smtp_reply_make(250, "", "ok");
	struct rig r;

	(void)state;
	rig_init(&r, 0, true);
	smtp_server_feed(r.server, "EHLO c\r\n", 8, r.now);
	smtp_server_close(r.server, &bye, r.now);
	check_out(&r, "close", "421 shutting down\n");
	check_events(&r, "close", "E:c CLOSE:CLOSED");
	smtp_server_reply(r.server, &late, r.now);
	smtp_server_close(r.server, &bye, r.now);
	assert_int_equal(smtp_server_feed(r.server, "NOOP\r\n", 6, r.now), 6);
	rig_clear(&r);
}

static void
test_facts(void **state)
{
	struct rig r;

	(void)state;
	begin_data(&r, false);
	feed(&r, STR("Subject: a\r\n b\r\n\r\n..x\r\n.\r\n"));
	assert_true(str_eq(smtp_server_subject(r.server), STR("a b")));
	assert_int_equal(smtp_server_message_size(r.server), 22);
	assert_true(str_eq(smtp_server_helo(r.server), STR("c")));
	assert_true(smtp_server_is_esmtp(r.server));
	assert_false(smtp_server_is_utf8(r.server));
	rig_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_command_deadline),
	    cmocka_unit_test(test_clock_backwards),
	    cmocka_unit_test(test_gap_deadline),
	    cmocka_unit_test(test_slow_data),
	    cmocka_unit_test(test_message_deadline),
	    cmocka_unit_test(test_time_stands_still),
	    cmocka_unit_test(test_close_by_owner),
	    cmocka_unit_test(test_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
